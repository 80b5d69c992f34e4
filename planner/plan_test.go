package planner

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/parser"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

var rewritePlans = flag.Bool("rewrite", false, "write the actual plans into testdata")

// fakeCatalog has tables of several sizes and a few user-defined functions; no
// file exists.
type fakeCatalog struct {
	tables    map[string]*Relation
	functions map[string][]*function.Function
}

func fields(s string) []vector.Field {
	var out []vector.Field
	for _, c := range strings.Split(s, ",") {
		name, typ, _ := strings.Cut(strings.TrimSpace(c), " ")
		t, ok := types.ByName(typ)
		if !ok {
			panic(typ)
		}
		out = append(out, vector.Field{Name: name, Type: t})
	}
	return out
}

func newFakeCatalog() *fakeCatalog {
	c := &fakeCatalog{tables: map[string]*Relation{}}
	table := func(name, cols string, rows int64, splits int) {
		fs := &FileSet{Format: "parquet", Rows: rows, Bytes: rows * 8, Schema: fields(cols)}
		for i := 0; i < splits; i++ {
			fs.Splits = append(fs.Splits, &proto.Split{Path: name, Offset: int64(i), Length: 1, Rows: rows / int64(splits)})
		}
		c.tables[name] = &Relation{Schema: "public", Name: name, Columns: fields(cols), Files: fs}
	}
	table("small", "id int8, k int4, name text, x float8", 1000, 1)
	table("big", "id int8, k int4, name text, x float8, ts timestamp", 5_000_000, 40)
	table("mid", "id int8, k int4, v numeric", 2_000_000, 16)
	table("Mixed", "G1 int8, g2 int8, G2 int8", 10, 1)
	c.tables["pg_things"] = &Relation{Kind: VirtualRelation, Schema: "pg_catalog", Name: "pg_things", Columns: fields("oid oid, relname name")}
	st, err := parser.ParseOne("SELECT k, sum(x) AS total FROM big GROUP BY k")
	if err != nil {
		panic(err)
	}
	c.tables["totals"] = &Relation{Kind: ViewRelation, Schema: "public", Name: "totals", View: st, Columns: fields("k int4, total float8")}
	return c
}

func (c *fakeCatalog) Relation(schema, name string) (*Relation, error) { return c.tables[name], nil }

func (c *fakeCatalog) RelationNames() []string {
	return []string{"small", "big", "mid", "Mixed", "totals"}
}

func (c *fakeCatalog) Functions(schema, name string) []*function.Function {
	fs, ok := c.functions[name]
	if !ok {
		if c.functions == nil {
			c.functions = map[string][]*function.Function{}
		}
		fs = userFunctions(name)
		c.functions[name] = fs
	}
	return fs
}

func userFunctions(name string) []*function.Function {
	ref := &function.UDFRef{Digest: "sha256:" + strings.Repeat("ab", 32), Symbol: name, Display: name}
	f8 := types.T(types.Float8)
	switch name {
	case "score":
		return []*function.Function{{ID: "u/score", Name: name, Kind: function.GroupedMap, Args: []types.Type{types.T(types.Int8), f8},
			ArgNames: []string{"id", "x"}, Returns: types.T(types.Record), Columns: fields("id int8, p float8"), UDF: ref}}
	case "score_row":
		return []*function.Function{{ID: "u/score_row", Name: name, Args: []types.Type{f8}, Returns: f8, UDF: ref}}
	case "noisy":
		return []*function.Function{{ID: "u/noisy", Name: name, Args: []types.Type{f8}, Returns: f8, Volatility: function.Volatile, UDF: ref}}
	}
	return nil
}

func (c *fakeCatalog) FunctionNames() []string { return []string{"score", "score_row", "noisy"} }

func testOptions() *Options {
	return &Options{Catalog: newFakeCatalog(), Params: []*Const{},
		Functions: &function.Ctx{Context: context.Background(), Location: time.UTC, Now: time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC).UnixMicro(), User: "u", Database: "d"}}
}

// planText is EXPLAIN of a query, or its error.
func planText(sql string) string { return planTextWith(sql, testOptions()) }

func planTextWith(sql string, o *Options) string {
	ctx := context.Background()
	fail := func(err error) string {
		e := pgerr.From(err)
		out := fmt.Sprintf("ERROR %s: %s\n", e.Code, e.Message)
		if e.Position > 0 {
			r := []rune(sql)
			out += fmt.Sprintf("at: %s\n", strings.TrimSpace(string(r[e.Position-1:min(len(r), e.Position+19)])))
		}
		if e.Hint != "" {
			out += "hint: " + e.Hint + "\n"
		}
		return out
	}
	st, err := parser.ParseOne(sql)
	if err != nil {
		return fail(err)
	}
	q, err := Bind(ctx, st, st.Node, nil, o)
	if err != nil {
		return fail(err)
	}
	plan, err := q.Plan(ctx, nil)
	if err != nil {
		return fail(err)
	}
	if err := checkPlan(plan); err != nil {
		return "INVALID PLAN: " + err.Error() + "\n"
	}
	var cols []string
	for _, f := range q.Fields() {
		cols = append(cols, f.Name+" "+f.Type.String())
	}
	return "result: " + strings.Join(cols, ", ") + "\n" + strings.Join(Explain(plan, nil), "\n") + "\n"
}

// TestPlans compares the plans of the queries in testdata with those written
// there. A file is queries, each ended by a line "----" and followed by its plan
// up to an empty line.
func TestPlans(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no plans", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			rest := string(data)
			for strings.TrimSpace(rest) != "" {
				head, after, ok := strings.Cut(rest, "\n----\n")
				if !ok {
					t.Fatalf("no ---- after %q", rest)
				}
				want, next, _ := strings.Cut("\n"+after, "\n\n")
				rest = next
				sql := strings.TrimSpace(head)
				var lines []string
				for _, l := range strings.Split(sql, "\n") {
					if !strings.HasPrefix(l, "#") {
						lines = append(lines, l)
					}
				}
				got := planText(strings.Join(lines, "\n"))
				out.WriteString(sql + "\n----\n" + got + "\n")
				if strings.TrimSpace(got) != strings.TrimSpace(want) && !*rewritePlans {
					t.Errorf("%s\ngot:\n%s\nwant:\n%s", sql, got, want)
				}
			}
			if *rewritePlans {
				if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// checkPlan verifies what every plan promises: stages in order, column numbers
// in range, exchanges that agree about their columns, one task per split.
func checkPlan(p *proto.Plan) error {
	for i, s := range p.Stages {
		if int(s.Id) != i || s.Tasks == 0 {
			return fmt.Errorf("stage %d has id %d and %d tasks", i, s.Id, s.Tasks)
		}
		inputs := map[uint32]bool{}
		for _, in := range s.Inputs {
			if in >= s.Id {
				return fmt.Errorf("stage %d reads stage %d", i, in)
			}
			inputs[in] = true
		}
		for _, sp := range s.Splits {
			if len(sp.Splits) != len(sp.Task) {
				return fmt.Errorf("stage %d: %d splits, %d tasks", i, len(sp.Splits), len(sp.Task))
			}
			for j, t := range sp.Task {
				if t >= s.Tasks || j > 0 && t < sp.Task[j-1] {
					return fmt.Errorf("stage %d: split %d goes to task %d", i, j, t)
				}
			}
		}
		if err := checkOperator(p, s, s.Root, inputs); err != nil {
			return fmt.Errorf("stage %d: %w", i, err)
		}
		if s.Output.Kind == proto.Partitioning_HASH && len(s.Output.Keys) == 0 {
			return fmt.Errorf("stage %d is hashed by nothing", i)
		}
	}
	if k := p.Stages[len(p.Stages)-1].Output.Kind; k != proto.Partitioning_RESULT {
		return fmt.Errorf("the last stage's output is %v", k)
	}
	return nil
}

func checkOperator(p *proto.Plan, s *proto.Stage, op *proto.Operator, inputs map[uint32]bool) error {
	if r := op.GetExchangeRead(); r != nil {
		if !inputs[r.Stage] {
			return fmt.Errorf("reads stage %d, which is not among its inputs", r.Stage)
		}
		src := p.Stages[r.Stage]
		if len(src.Root.Fields) != len(op.Fields) {
			return fmt.Errorf("reads %d columns of %d", len(op.Fields), len(src.Root.Fields))
		}
		if k := src.Output.Kind; k == proto.Partitioning_SINGLE && s.Tasks != 1 || k == proto.Partitioning_HASH && src.Output.Count != s.Tasks {
			return fmt.Errorf("%d tasks read %v output of %d partitions", s.Tasks, k, src.Output.Count)
		}
	}
	if sc := op.GetScan(); sc != nil && int(sc.ScanId) >= len(s.Splits) {
		return fmt.Errorf("scan %d has no splits", sc.ScanId)
	}
	for _, in := range op.Inputs {
		if err := checkOperator(p, s, in, inputs); err != nil {
			return err
		}
	}
	return nil
}

// TestSameTasksForAnyOrder: planning the same statement twice gives the same plan.
func TestDeterministic(t *testing.T) {
	const sql = `WITH a AS (SELECT k, count(*) c, sum(x) s FROM big GROUP BY k)
		SELECT * FROM a JOIN a b ON a.k = b.k AND a.c < b.c LEFT JOIN mid ON mid.k = a.k WHERE a.s > 1 AND mid.v IS NULL ORDER BY 1, 2 LIMIT 5`
	first := planText(sql)
	for i := 0; i < 20; i++ {
		if got := planText(sql); got != first {
			t.Fatalf("plan %d differs:\n%s\n%s", i, got, first)
		}
	}
}

func TestAssign(t *testing.T) {
	splits := func(rows ...int64) []*proto.Split {
		var out []*proto.Split
		for _, r := range rows {
			out = append(out, &proto.Split{Rows: r})
		}
		return out
	}
	for _, c := range []struct {
		splits []*proto.Split
		n      int
		want   string
	}{
		{nil, 4, "[] 1"},
		{splits(1), 4, "[0] 1"},
		{splits(5, 5, 5, 5), 2, "[0 0 1 1] 2"},
		{splits(5, 5, 5, 5), 4, "[0 1 2 3] 4"},
		{splits(5, 5, 5, 5), 64, "[0 1 2 3] 4"},
		{splits(100, 1, 1, 1), 2, "[0 1 1 1] 2"},
		{splits(1, 1, 1, 100), 3, "[0 0 1 2] 3"},
		{splits(0, 0, 0), 3, "[0 1 2] 3"},
	} {
		task, n := assign(c.splits, c.n)
		if got := fmt.Sprint(task, " ", n); got != strings.Replace(c.want, "] ", "]  ", 1) && fmt.Sprint(task)+" "+fmt.Sprint(n) != c.want {
			t.Errorf("assign(%v, %d) = %v %d, want %s", c.splits, c.n, task, n, c.want)
		}
	}
}

// TestParams: the types of parameters follow from their context.
func TestParams(t *testing.T) {
	for _, c := range []struct{ sql, want string }{
		{"SELECT $1 + 1", "integer"},
		{"SELECT $1::date, $2", "date,text"},
		{"SELECT * FROM big WHERE id = $1 AND name LIKE $2 AND x BETWEEN $3 AND $4", "bigint,text,double precision,double precision"},
		{"SELECT * FROM big WHERE k IN ($1, $2, 3)", "integer,integer"},
		{"SELECT k FROM big LIMIT $1 OFFSET $2", "bigint,bigint"},
		{"SELECT coalesce($1, x), CASE WHEN $2 THEN 1 ELSE $3 END FROM small", "double precision,boolean,integer"},
		{"SELECT abs($1) FROM small WHERE ts_ = 1", ""},
		{"SELECT k FROM big WHERE ts - interval '1 day' > $1", "timestamp without time zone"},
		{"SELECT id = ANY($1) FROM big", "bigint[]"},
		{"VALUES ($1, 1), (2, $2)", "integer,integer"},
	} {
		st, err := parser.ParseOne(c.sql)
		if err != nil {
			t.Fatal(err)
		}
		o := testOptions()
		o.Params = nil
		q, err := Bind(context.Background(), st, st.Node, nil, o)
		if c.want == "" {
			if err == nil {
				t.Errorf("%s: no error", c.sql)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.sql, err)
			continue
		}
		var ts []string
		for _, p := range q.Params() {
			ts = append(ts, p.String())
		}
		if got := strings.Join(ts, ","); got != c.want {
			t.Errorf("%s: parameters %s, want %s", c.sql, got, c.want)
		}
	}
}
