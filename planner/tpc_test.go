package planner

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/volleydb/volley/parser"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/storage"
	"github.com/volleydb/volley/vector"
)

// tpcCatalog has the tables of TPC-H or TPC-DS with the statistics of their
// Parquet files at scale factor 1; the files do not exist.
func tpcCatalog(t *testing.T, suite string) *fakeCatalog {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "tpc", suite+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var tables map[string]struct {
		Rows    int64
		Columns []struct {
			Name, Type string
			Nulls      int64
			Distinct   int64
			Min, Max   *string
		}
	}
	if err := json.Unmarshal(data, &tables); err != nil {
		t.Fatal(err)
	}
	c := &fakeCatalog{tables: map[string]*Relation{}}
	for name, tab := range tables {
		r := &Relation{Schema: "public", Name: name}
		fs := &FileSet{Format: "parquet", Rows: tab.Rows, Bytes: tab.Rows * int64(len(tab.Columns)) * 4}
		for _, col := range tab.Columns {
			st, err := parser.ParseOne("SELECT NULL::" + col.Type)
			if err != nil {
				t.Fatal(err)
			}
			typ, err := ResolveType(st, st.Node.GetSelectStmt().TargetList[0].GetResTarget().Val.GetTypeCast().TypeName, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Columns = append(r.Columns, vector.Field{Name: col.Name, Type: typ})
			fs.Stats = append(fs.Stats, storage.ColumnStats{Name: col.Name, Nulls: col.Nulls, Distinct: col.Distinct, Min: col.Min, Max: col.Max})
		}
		for at := int64(0); at < tab.Rows; at += 122_880 {
			fs.Splits = append(fs.Splits, &proto.Split{Path: name, Offset: at, Length: 1, Rows: min(122_880, tab.Rows-at)})
		}
		fs.Schema, r.Files = r.Columns, fs
		c.tables[name] = r
	}
	return c
}

// TestTPC compares the plans of all TPC-H and TPC-DS queries with those in
// testdata/tpc: operators, join keys and conditions.
func TestTPC(t *testing.T) {
	for _, suite := range []string{"tpch", "tpcds"} {
		t.Run(suite, func(t *testing.T) {
			files, err := filepath.Glob(filepath.Join("..", "bench", "queries", suite, "*.sql"))
			if err != nil || len(files) == 0 {
				t.Fatal("no queries", err)
			}
			o := testOptions()
			o.Catalog = tpcCatalog(t, suite)
			var out strings.Builder
			for _, f := range files {
				sql, err := os.ReadFile(f)
				if err != nil {
					t.Fatal(err)
				}
				plan := planTextWith(string(sql), o)
				if strings.HasPrefix(plan, "ERROR") || strings.HasPrefix(plan, "INVALID") {
					t.Errorf("%s: %s", f, plan)
				}
				if suite == "tpch" && strings.Contains(plan, "Cross join") && !strings.Contains("q11 q15 q22", filepath.Base(f)[:3]) {
					t.Errorf("%s has a cross product:\n%s", f, plan)
				}
				fmt.Fprintf(&out, "-- %s\n", strings.TrimSuffix(filepath.Base(f), ".sql"))
				for line := range strings.Lines(plan) {
					switch l := strings.TrimSpace(line); {
					case strings.HasPrefix(l, "Columns:"), strings.HasPrefix(l, "Output:"), strings.HasPrefix(l, "Compute:"), strings.HasPrefix(l, "result:"):
					default:
						out.WriteString(line)
					}
				}
				out.WriteByte('\n')
			}
			name := filepath.Join("testdata", "tpc", suite+".plans")
			if *rewritePlans {
				if err := os.WriteFile(name, []byte(out.String()), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			got, exp := strings.Split(out.String(), "\n\n"), strings.Split(string(want), "\n\n")
			if len(got) != len(exp) {
				t.Fatalf("%d plans, %d written; see the flag -rewrite", len(got), len(exp))
			}
			for i := range got {
				if got[i] != exp[i] {
					t.Errorf("got:\n%s\nwant:\n%s", got[i], exp[i])
				}
			}
		})
	}
}

// TestEstimates: what statistics say about conditions.
func TestEstimates(t *testing.T) {
	o := testOptions()
	o.Catalog = tpcCatalog(t, "tpch")
	for _, c := range []struct {
		from   string
		lo, hi float64
	}{
		{"lineitem", 6001215, 6001215},
		{"orders WHERE o_orderkey = 5", 1, 1},
		{"orders WHERE o_orderkey = -5", 1, 1},
		{"orders WHERE o_orderdate >= date '1995-01-01' AND o_orderdate < date '1996-01-01'", 200_000, 250_000},
		{"lineitem WHERE l_linenumber IN (1, 2)", 1_600_000, 1_800_000},
		{"lineitem WHERE NOT l_linenumber = 1", 5_000_000, 5_300_000},
		{"lineitem WHERE l_discount BETWEEN 0.05 AND 0.10", 2_500_000, 4_200_000},
		{"orders JOIN customer ON o_custkey = c_custkey", 1_400_000, 1_600_000},
		{"lineitem JOIN orders ON l_orderkey = o_orderkey", 5_500_000, 6_500_000},
		// Both columns are the key of partsupp: no more matches than lines.
		{"lineitem JOIN partsupp ON l_partkey = ps_partkey AND l_suppkey = ps_suppkey", 5_500_000, 6_500_000},
		{"lineitem JOIN part ON l_partkey = p_partkey WHERE p_partkey <= 2000", 50_000, 70_000},
	} {
		st, err := parser.ParseOne("SELECT * FROM " + c.from)
		if err != nil {
			t.Fatal(err)
		}
		q, err := Bind(t.Context(), st, st.Node, nil, o)
		if err != nil {
			t.Fatal(err)
		}
		p, err := q.Plan(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Stages[len(p.Stages)-1].Root.RowsEstimate; got < c.lo || got > c.hi {
			t.Errorf("%s: %.0f rows, want %.0f to %.0f", c.from, got, c.lo, c.hi)
		}
	}
}
