package main

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// TestMain lets the test binary stand in for the program when the benchmark
// starts itself again with fewer CPUs.
func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// Every query runs on few rows, and the answers of all contestants agree.
func TestShort(t *testing.T) {
	dir := t.TempDir()
	c := config{rows: 200_000, reps: 1, dir: dir, threads: 2, memory: 2 << 30, single: true, json: filepath.Join(dir, "out.json")}
	if err := run(context.Background(), c, t.Output(), io.Discard); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(c.json)
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	all := queries(dataset{rows: c.rows})
	seen := map[string]bool{}
	for _, x := range r.Results {
		seen[x.Name] = true
		if x.Volley == nil || x.Volley.Best <= 0 {
			t.Errorf("%s was not measured", x.Name)
		}
	}
	for _, q := range all {
		if !seen[q.name] {
			t.Errorf("%s is missing", q.name)
		}
	}
}

func TestSameAnswer(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"1", "1", true}, {"0.1", "0.10000000000000001", true}, {"1", "1.00001", false},
		{"1e300", "1.0000000001e300", true}, {"a", "b", false}, {"NaN", "1", false}, {"2", "<nil>", false},
	} {
		if got := sameAnswer([][]string{{c.a}}, [][]string{{c.b}}) == nil; got != c.same {
			t.Errorf("%s and %s: %v", c.a, c.b, got)
		}
	}
	if sameAnswer([][]string{{"1"}}, nil) == nil {
		t.Error("a missing row is not noticed")
	}
}
