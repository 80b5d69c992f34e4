package answers

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/volleydb/volley/test/engine"
)

// suites are how many queries each has.
var suites = map[string]int{"tpch": 22, "tpcds": 99, "clickbench": 43, "h2o": 15}

// cutRows is volley.rows_per_task of the cluster: the tables have some thousand
// rows.
const cutRows = 700

func TestAnswers(t *testing.T) {
	for _, workers := range []int{0, 3} {
		name := "embedded"
		if workers > 0 {
			name = strconv.Itoa(workers) + "workers-cut"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := engine.Start(t, workers)
			for suite, n := range suites {
				t.Run(suite, func(t *testing.T) { runSuite(t, e, suite, n, workers > 0) })
			}
		})
	}
}

func runSuite(t *testing.T, e *engine.Engine, suite string, n int, cut bool) {
	s := e.Session()
	defer s.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	run := func(sql string) [][]string {
		t.Helper()
		rows, err := s.Run(ctx, sql)
		if err != nil {
			t.Fatalf("%s\n%v", sql, err)
		}
		return rows.Rows
	}
	if cut {
		run("SET volley.rows_per_task = " + strconv.Itoa(cutRows))
	}
	run("CREATE SCHEMA " + suite)
	run("SET search_path = " + suite)
	dir, err := filepath.Abs(filepath.Join("testdata", suite))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.parquet"))
	if err != nil || len(files) == 0 {
		t.Fatal("no data", err)
	}
	for _, f := range files {
		run(fmt.Sprintf("CREATE VIEW %s AS SELECT * FROM read_parquet('%s')", strings.TrimSuffix(filepath.Base(f), ".parquet"), f))
	}
	file, err := os.Open(filepath.Join("testdata", suite+".answers"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	list, err := Read(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != n {
		t.Errorf("%d answers, want %d", len(list), n)
	}
	for _, a := range list {
		sql, err := os.ReadFile(filepath.Join("../../bench/queries", suite, a.Name+".sql"))
		if err != nil {
			t.Fatal(err)
		}
		rows, err := s.Run(ctx, string(sql))
		if err != nil {
			t.Errorf("%s %s: %v", suite, a.Name, err)
			continue
		}
		for _, r := range rows.Rows {
			for c := range r {
				if r[c] == "NULL" {
					r[c] = Null
				}
			}
		}
		if err := a.Check(rows.Rows); err != nil {
			t.Errorf("%s %s: %v", suite, a.Name, err)
		}
	}
}

// The check has to see what is wrong.
func TestCheck(t *testing.T) {
	kinds := []string{"VARCHAR", "BIGINT", "DOUBLE", "DECIMAL(10,2)"}
	all := [][]string{{"a", "3", "0.5", "1.50"}, {"b", "2", "0.1", "2"}, {"c", "2", "7", Null}, {"d", "2", "8", "3"}, {"e", "1", "9", "4"}}
	limited := NewLimited(kinds, []int{1}, all, 0, 3)
	if len(limited.Pool) != 4 {
		t.Errorf("%d rows tie", len(limited.Pool))
	}
	row := func(i int) []string { return all[i] }
	for _, c := range []struct {
		name string
		a    *Answer
		rows [][]string
		ok   bool
	}{
		{"as it is", New(kinds, []int{1}, all), all, true},
		{"ties in another order", New(kinds, []int{1}, all), [][]string{row(0), row(3), row(1), row(2), row(4)}, true},
		{"another order", New(kinds, []int{1}, all), [][]string{row(1), row(0), row(2), row(3), row(4)}, false},
		{"any order", New(kinds, nil, all), [][]string{row(4), row(0), row(2), row(3), row(1)}, true},
		{"a row less", New(kinds, nil, all), all[:4], false},
		{"a row twice", New(kinds, nil, all), [][]string{row(0), row(0), row(2), row(3), row(4)}, false},
		{"last digit of a float", New(kinds, nil, all[:1]), [][]string{{"a", "3", "0.50000000000000011", "1.5"}}, true},
		{"a float", New(kinds, nil, all[:1]), [][]string{{"a", "3", "0.5001", "1.5"}}, false},
		{"an integer", New(kinds, nil, all[:1]), [][]string{{"a", "4", "0.5", "1.5"}}, false},
		{"a decimal", New(kinds, nil, all[:1]), [][]string{{"a", "3", "0.5", "1.51"}}, false},
		{"NULL", New(kinds, nil, all[:1]), [][]string{{"a", "3", Null, "1.5"}}, false},
		{"one tie", limited, [][]string{row(0), row(1), row(3)}, true},
		{"another tie", limited, [][]string{row(0), row(2), row(1)}, true},
		{"a tie twice", limited, [][]string{row(0), row(2), row(2)}, false},
		{"beyond the ties", limited, [][]string{row(0), row(2), row(4)}, false},
		{"without a certain row", limited, [][]string{row(3), row(2), row(1)}, false},
		{"offset", NewLimited(kinds, []int{1}, all, 2, 1), [][]string{row(1)}, true},
		{"beyond", NewLimited(kinds, []int{1}, all, 2, 1), [][]string{row(0)}, false},
	} {
		if err := c.a.Check(c.rows); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestOrder(t *testing.T) {
	for _, c := range []struct {
		sql   string
		keys  []int
		whole string
	}{
		{"SELECT a, b FROM t", nil, "SELECT a, b FROM t"},
		{"SELECT a, b FROM t ORDER BY b, 1 LIMIT 3", []int{1, 0}, "SELECT a, b FROM t ORDER BY b, 1"},
		{"SELECT a, count(*) FROM t GROUP BY a ORDER BY count(*) DESC, a+1, a", []int{1}, ""},
		{"SELECT t.a, b x FROM t ORDER BY t.a, x LIMIT 1 OFFSET 2", []int{0, 1}, "SELECT t.a, b x FROM t ORDER BY t.a, x"},
	} {
		names := map[int][]string{0: {"a", "b"}, 2: {"a", "count"}, 3: {"a", "x"}}
		cols := names[0]
		if strings.Contains(c.sql, "count") {
			cols = names[2]
		} else if strings.Contains(c.sql, " x ") {
			cols = names[3]
		}
		o, err := ReadOrder(c.sql, cols)
		if err != nil || fmt.Sprint(o.Keys) != fmt.Sprint(c.keys) || c.whole != "" && o.Whole != c.whole {
			t.Errorf("%s: %+v %v", c.sql, o, err)
		}
	}
}
