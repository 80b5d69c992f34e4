package costly

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/volleydb/volley/test/engine"
)

// rows of the table; a row of burn takes some 0.3 ms.
const (
	rows   = 500
	rounds = 100_000
)

const definition = `CREATE FUNCTION burn(x float8, rounds bigint) RETURNS float8 LANGUAGE go IMMUTABLE STRICT %s AS $$
	for i := int64(0); i < rounds; i++ {
		x = x*0.999999 + 1e-6
	}
	return x
$$`

func burn(x float64, rounds int) float64 {
	for range rounds {
		x = x*0.999999 + 1e-6
	}
	return x
}

func run(t testing.TB, s *engine.Session, sql string) string {
	t.Helper()
	return s.Must(t, sql).Text("|", "\n")
}

// input writes the CSV file and returns what the query has to make of it.
func input(t testing.TB, path string) (want string) {
	var in, out strings.Builder
	in.WriteString("id,x\n")
	out.WriteString("id,y\n")
	for i := range rows {
		x := float64(i*7919%1000) / 8
		fmt.Fprintf(&in, "%d,%v\n", i, x)
		fmt.Fprintf(&out, "%d,%s\n", i, strconv.FormatFloat(burn(x, rounds), 'g', -1, 64))
	}
	if err := os.WriteFile(path, []byte(in.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestSameBytes is Wallaroo's experiment: CSV in, a costly function, CSV out, on one
// worker and on several.
func TestSameBytes(t *testing.T) {
	dir := t.TempDir()
	in := filepath.Join(dir, "in.csv")
	want := input(t, in)
	for _, workers := range []int{0, 1, 2, 4} {
		e := engine.Open(t, t.TempDir(), workers)
		s := e.Session()
		run(t, s, fmt.Sprintf(definition, "COST 12000"))
		query := fmt.Sprintf("SELECT id, burn(x, %d) AS y FROM read_csv('%s')", rounds, in)
		if plan := run(t, s, "EXPLAIN "+query); !strings.Contains(plan, "deal over") {
			t.Errorf("the rows are not dealt:\n%s", plan)
		}
		out := filepath.Join(dir, fmt.Sprintf("out-%d.csv", workers))
		run(t, s, fmt.Sprintf("COPY (%s) TO '%s' (FORMAT csv, HEADER)", query, out))
		got, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Errorf("%d workers wrote another file than a loop:\n%.200s\nwant\n%.200s", workers, got, want)
		}
		e.Stop()
	}
}

// TestMeasured: without COST the figures of earlier calls count, and the answers of
// queries stay what they were.
func TestMeasured(t *testing.T) {
	in := filepath.Join(t.TempDir(), "in.csv")
	input(t, in)
	s := engine.Start(t, 0).Session()
	run(t, s, fmt.Sprintf(definition, ""))
	run(t, s, "CREATE FUNCTION wild(x float8, rounds bigint) RETURNS float8 LANGUAGE go VOLATILE COST 100000 AS $$ return x + float64(rounds) $$")
	from := fmt.Sprintf(" FROM read_csv('%s')", in)
	// Well beyond the cost from which rows are dealt, also where the machine is fast.
	call := fmt.Sprintf("burn(x, %d)", 3*rounds)
	cases := []struct {
		sql   string
		dealt bool
	}{
		{"SELECT id, " + call + from, true},
		{"SELECT id" + from + " WHERE " + call + " > 60 AND id > 2 OR id = 1", true},
		{"SELECT id FROM (SELECT id, x" + from + " ORDER BY x, id LIMIT 400) t WHERE " + call + " > 60", true},
		{"SELECT sum(" + call + "), avg(" + call + "), count(*)" + from, true},
		{"SELECT id % 3 AS k, sum(" + call + ")" + from + " GROUP BY 1 ORDER BY 1", true},
		{"SELECT id, CASE WHEN id < 100 THEN " + call + " END" + from, true},
		{"SELECT a.id FROM (SELECT id, " + call + " y" + from + ") a JOIN (SELECT id, " + call + " y" + from + ") b ON a.y = b.y AND a.id <> b.id ORDER BY 1", true},
		// What follows has to stay where it is.
		{"SELECT id, " + call + from + " LIMIT 5", false},
		{"SELECT id, " + call + " + 0 * random()" + from, false},
		{"SELECT count(*) FROM (SELECT " + call + from + ") t WHERE random() < 2", false},
		{"SELECT wild(x, 1)" + from, false},
	}
	before := make([]string, len(cases))
	for i, c := range cases {
		if plan := run(t, s, "EXPLAIN "+c.sql); strings.Contains(plan, "deal over") && i == 0 {
			t.Fatalf("nobody can know yet what it costs:\n%s", plan)
		}
		before[i] = run(t, s, c.sql)
	}
	for i, c := range cases {
		if plan := run(t, s, "EXPLAIN "+c.sql); strings.Contains(plan, "deal over") != c.dealt {
			t.Errorf("%s: the plan should deal: %v\n%s", c.sql, c.dealt, plan)
		}
		if after := run(t, s, c.sql); after != before[i] {
			t.Errorf("%s was\n%.300s\nand now is\n%.300s", c.sql, before[i], after)
		}
	}
	run(t, s, "SET volley.on_error = 'skip'")
	if plan := run(t, s, "EXPLAIN "+cases[0].sql); strings.Contains(plan, "deal over") {
		t.Errorf("rows that are left out cannot be collected in order:\n%s", plan)
	}
}

// TestDealingBySlots: the workers that there are decide over how many tasks rows are
// dealt, but not where that could change what a query gives.
func TestDealingBySlots(t *testing.T) {
	in := filepath.Join(t.TempDir(), "in.csv")
	input(t, in)
	tasks := func(plan string) string {
		_, after, ok := strings.Cut(plan, "deal over ")
		if !ok {
			t.Fatalf("the rows are not dealt:\n%s", plan)
		}
		n, _, _ := strings.Cut(after, " ")
		return n
	}
	plain := map[string]bool{}
	union := map[string]bool{}
	for _, workers := range []int{1, 3} {
		s := engine.Start(t, workers).Session()
		run(t, s, fmt.Sprintf(definition, "COST 200000")) // 5 ms
		q := fmt.Sprintf("EXPLAIN SELECT id, burn(x, 1) AS y FROM read_csv('%s')", in)
		plain[tasks(run(t, s, q))] = true
		union[tasks(run(t, s, q+" UNION SELECT 1, 2.0"))] = true
	}
	if len(plain) != 2 || len(union) != 1 {
		t.Errorf("dealt over %v tasks for 1 and 3 workers, with UNION over %v", plain, union)
	}
}
