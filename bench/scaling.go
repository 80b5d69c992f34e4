package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"text/tabwriter"
)

// suiteResult is a query of a suite for programs.
type suiteResult struct {
	Name   string  `json:"name"`
	Error  string  `json:"error,omitempty"`
	Rows   int     `json:"rows"`
	Volley *timing `json:"volley,omitempty"`
	DuckDB *timing `json:"duckdb,omitempty"`
}

func suiteJSON(done []*outcome, out io.Writer) error {
	list := make([]suiteResult, len(done))
	for i, o := range done {
		list[i] = suiteResult{Name: o.name, Rows: o.rows, Volley: o.volley.timing(), DuckDB: o.duckdb.timing()}
		if o.err != nil {
			list[i].Error = o.err.Error()
		}
	}
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(list)
}

// runScaling runs a suite on one CPU and on all, each in a process that sees no
// other, and prints how much of the CPUs' number the speed gains. One and all
// take turns, so that what else the machine does disturbs both alike.
func runScaling(ctx context.Context, c config, suite string, scale float64, out, log io.Writer) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	counts := []int{1, runtime.NumCPU()}
	best := [2]map[string]float64{{}, {}}
	var names []string
	const rounds = 2
	for range rounds {
		for k, n := range counts {
			cmd := exec.CommandContext(ctx, exe, "-suite", suite, "-sf", strconv.FormatFloat(scale, 'g', -1, 64), "-dir", c.dir, "-threads", strconv.Itoa(n),
				"-memory", strconv.FormatInt(c.memory, 10), "-reps", strconv.Itoa(c.reps), "-only", c.only, "-timeout", c.timeout.String(), "-volley-only", "-json", "-")
			var got bytes.Buffer
			cmd.Stdout, cmd.Stderr = &got, log
			cmd.Env = append(os.Environ(), childEnv+"=1")
			if err := startPinned(cmd, n); err != nil {
				return err
			}
			if err := cmd.Wait(); err != nil {
				return fmt.Errorf("on %d CPUs: %w", n, err)
			}
			var list []suiteResult
			if err := json.Unmarshal(got.Bytes(), &list); err != nil {
				return err
			}
			for _, r := range list {
				if r.Volley == nil {
					return fmt.Errorf("%s: %s", r.Name, r.Error)
				}
				if b, ok := best[k][r.Name]; ok {
					best[k][r.Name] = min(b, r.Volley.Best)
					continue
				}
				best[k][r.Name] = r.Volley.Best
				if k == 0 {
					names = append(names, r.Name)
				}
			}
		}
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "query\t1 CPU ms\t%d CPUs ms\tspeed-up\tefficiency\n", counts[1])
	logs := 0.0
	for _, q := range names {
		up := best[0][q] / best[1][q]
		logs += math.Log(up / float64(counts[1]))
		fmt.Fprintf(w, "%s\t%.0f\t%.0f\t%.2f\t%.2f\n", q, best[0][q], best[1][q], up, up/float64(counts[1]))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "\n%s, scale %g: geometric mean of the efficiencies %.2f\n", suite, scale, math.Exp(logs/float64(len(names))))
	return err
}
