package main

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/volleydb/volley/udf"
)

// queries measures SELECT agg(f(columns)) over the file: Volley with every runtime,
// DuckDB with functions in Go, Spark with pandas.
func (b *udfBench) queries(ctx context.Context) error {
	w := tabwriter.NewWriter(b.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "\nSELECT sum(f(…)) FROM the Parquet file, %d threads, ms\t%s\n", b.c.threads, strings.Join(caseNames(), "\t"))
	if err := registerDuckDB(b.duck); err != nil {
		return err
	}
	spark := &sparkResult{lacks: "not asked for"}
	if b.c.only == "" {
		var err error
		if spark, err = b.spark(ctx); err != nil {
			return err
		}
	}
	lines := map[string][]string{}
	best := map[string][]float64{}
	for i := range udfCases {
		c := &udfCases[i]
		from := " FROM read_parquet(" + quote(b.file) + ")"
		type contestant struct {
			name string
			run  func() ([][]string, error)
			t    times
		}
		scan := make([]string, 0, 8)
		for _, a := range strings.Split(c.args, ", ") {
			scan = append(scan, fmt.Sprintf(c.rest, a))
		}
		all := []*contestant{
			{name: "no function", run: func() ([][]string, error) { return b.v.rows(ctx, "SELECT "+strings.Join(scan, ", ")+from) }},
			{name: "DuckDB, no function", run: func() ([][]string, error) { return b.duck.rows(ctx, "SELECT "+strings.Join(scan, ", ")+from) }},
			{name: "DuckDB, Go function", run: func() ([][]string, error) {
				return b.duck.rows(ctx, "SELECT "+fmt.Sprintf(c.rest, c.name+"_go("+c.args+")")+from)
			}},
		}
		for _, r := range b.runs {
			if r.lacks == "" {
				all = append(all, &contestant{name: r.name, run: func() ([][]string, error) {
					return b.v.rows(ctx, "SELECT "+fmt.Sprintf(c.rest, sqlName(r, c)+"("+c.args+")")+from)
				}})
			}
		}
		var want [][]string
		for rep := range b.c.reps + 1 {
			for _, x := range all {
				runtime.GC()
				start := time.Now()
				got, err := x.run()
				took := time.Since(start)
				switch {
				case err != nil:
					return fmt.Errorf("%s, %s: %w", x.name, c.name, err)
				case rep > 0:
					x.t = append(x.t, took)
				case x.name == "DuckDB, Go function":
					want = got
				case want != nil && !strings.HasSuffix(x.name, "no function"):
					if err := sameAnswer(got, want); err != nil {
						return fmt.Errorf("%s and DuckDB differ on %s: %w", x.name, c.name, err)
					}
				}
			}
		}
		for _, x := range all {
			ms := x.t.timing().Best
			best[x.name] = append(best[x.name], ms)
			lines[x.name] = append(lines[x.name], fmt.Sprintf("%.0f", ms))
		}
		if spark.lacks == "" {
			if err := sameAnswer([][]string{{fmt.Sprint(spark.Answers[c.name])}}, want); err != nil {
				return fmt.Errorf("Spark and DuckDB differ on %s: %w", c.name, err)
			}
			ms := slices.Min(spark.Times[c.name]) * 1000
			best["Spark, pandas"] = append(best["Spark, pandas"], ms)
			lines["Spark, pandas"] = append(lines["Spark, pandas"], fmt.Sprintf("%.0f", ms))
		}
	}
	order := []string{"no function"}
	for _, r := range b.runs {
		order = append(order, r.name)
	}
	for _, name := range append(order, "DuckDB, no function", "DuckDB, Go function", "Spark, pandas") {
		why := ""
		for _, r := range b.runs {
			if r.name == name {
				why = r.lacks
			}
		}
		if name == "Spark, pandas" {
			why = spark.lacks
		}
		if why != "" {
			fmt.Fprintln(w, name+"\t"+why)
			continue
		}
		fmt.Fprintln(w, name+"\t"+strings.Join(lines[name], "\t"))
	}
	ratios := func(title string, f func(i int) float64) {
		var r []string
		for i := range udfCases {
			r = append(r, fmt.Sprintf("%.1fx", f(i)))
		}
		fmt.Fprintf(w, "%s\t%s\n", title, strings.Join(r, "\t"))
	}
	for _, name := range []string{"in process", "native", "wasm", "python pandas"} {
		own := best[name]
		for _, peer := range []string{"DuckDB, Go function", "Spark, pandas"} {
			if p := best[peer]; p != nil && own != nil {
				ratios(peer+" / Volley, "+name, func(i int) float64 { return p[i] / own[i] })
			}
		}
		if own != nil {
			// What the calls add to the scans.
			ratios("DuckDB, Go function / Volley, "+name+", both without their scans", func(i int) float64 {
				return (best["DuckDB, Go function"][i] - best["DuckDB, no function"][i]) / max(own[i]-best["no function"][i], 0.1)
			})
		}
	}
	return w.Flush()
}

// sparkResult is what the script prints.
type sparkResult struct {
	Times   map[string][]float64 `json:"times"` // seconds
	Answers map[string]any       `json:"answers"`
	Version string               `json:"version"`
	lacks   string
}

func (b *udfBench) spark(ctx context.Context) (*sparkResult, error) {
	path, err := udf.Python(ctx)
	if err == nil {
		err = pythonHas(ctx, path, "pyspark, pandas, pyarrow")
	}
	if err != nil {
		return &sparkResult{lacks: "not installed: a JDK, and python3 -m venv DIR && DIR/bin/pip install 'pyspark==3.5.*' pandas 'pyarrow<18' 'numpy<2', then make bench-udf PYTHON=DIR/bin/python"}, nil
	}
	b.say("Spark\n")
	text, err := b.runSpark(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("Spark: %w", err)
	}
	r := &sparkResult{}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("Spark: %w: %s", err, text)
	}
	fmt.Fprintf(b.out, "Spark %s, local[%d]\n", r.Version, b.c.threads)
	return r, nil
}
