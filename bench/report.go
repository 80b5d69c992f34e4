package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/volleydb/volley/coordinator"
)

// times are the repetitions of one contestant.
type times []time.Duration

// timing is what is told of them, in milliseconds.
type timing struct {
	Best   float64 `json:"best_ms"`
	Median float64 `json:"median_ms"`
}

func (t times) timing() *timing {
	if len(t) == 0 {
		return nil
	}
	s := slices.Sorted(slices.Values(t))
	ms := func(d time.Duration) float64 { return float64(d) / 1e6 }
	return &timing{Best: ms(s[0]), Median: ms((s[(len(s)-1)/2] + s[len(s)/2]) / 2)}
}

// result is one line. Ratios are below 1 where Volley is faster; they are of the
// best times, which what else the machine does disturbs least.
type result struct {
	Name    string  `json:"name"`
	Threads int     `json:"threads"`
	Volley  *timing `json:"volley"`
	DuckDB  *timing `json:"duckdb,omitempty"`
	Loop    *timing `json:"go_loop,omitempty"`
	// Ratio is Volley / DuckDB, LoopRatio Volley / the single-threaded Go loop.
	Ratio     float64 `json:"ratio,omitempty"`
	LoopRatio float64 `json:"go_loop_ratio,omitempty"`
	NsPerRow  float64 `json:"ns_per_row"`
	LoopNs    float64 `json:"go_loop_ns_per_row,omitempty"`
}

func newResult(name string, c config, v, d, l times) *result {
	r := &result{Name: name, Threads: c.threads, Volley: v.timing(), DuckDB: d.timing(), Loop: l.timing()}
	r.NsPerRow = r.Volley.Best * 1e6 / float64(c.rows)
	if r.DuckDB != nil {
		r.Ratio = r.Volley.Best / r.DuckDB.Best
	}
	if r.Loop != nil {
		r.LoopRatio = r.Volley.Best / r.Loop.Best
		r.LoopNs = r.Loop.Best * 1e6 / float64(c.rows)
	}
	return r
}

// report is a whole run.
type report struct {
	Date    string   `json:"date"`
	Machine string   `json:"machine"`
	Volley  string   `json:"volley"`
	DuckDB  string   `json:"duckdb"`
	Rows    int      `json:"rows"`
	Reps    int      `json:"repetitions"`
	Results []result `json:"results"`
}

func (r *report) versions(ctx context.Context, d *duckDB) error {
	rows, err := d.rows(ctx, "SELECT version()")
	if err != nil {
		return err
	}
	r.Volley, r.DuckDB = coordinator.Version, rows[0][0]
	return nil
}

// emit prints the table, and writes the JSON where it is asked for.
func (r *report) emit(path string, out io.Writer) error {
	if path != "" {
		text, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return err
		}
		text = append(text, '\n')
		if path == "-" {
			_, err = out.Write(text)
			return err
		}
		if err := os.WriteFile(path, text, 0o644); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "\n%s; %s; Volley %s, DuckDB %s; %d rows; %d repetitions, ms as best/median, ns/row and ratios of the best\n\n",
		r.Date, r.Machine, r.Volley, r.DuckDB, r.Rows, r.Reps)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "query\tthreads\tVolley ms\tDuckDB ms\tratio\tns/row\tGo loop ns/row\tratio")
	for _, x := range r.Results {
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\n", x.Name, x.Threads, x.Volley, x.DuckDB, number(x.Ratio), number(x.NsPerRow), number(x.LoopNs), number(x.LoopRatio))
	}
	return w.Flush()
}

func (t *timing) String() string {
	if t == nil {
		return ""
	}
	return fmt.Sprintf("%.0f/%.0f", t.Best, t.Median)
}

func number(x float64) string {
	if x == 0 {
		return ""
	}
	if x >= 10 {
		return fmt.Sprintf("%.0f", x)
	}
	return fmt.Sprintf("%.2f", x)
}

// machine says what the figures were taken on.
func machine() string {
	name := runtime.GOARCH
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(info)) {
			if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "model name" {
				name = strings.TrimSpace(v)
				break
			}
		}
	}
	return fmt.Sprintf("%s, %d CPUs, %s, %s", name, runtime.NumCPU(), runtime.GOOS, runtime.Version())
}
