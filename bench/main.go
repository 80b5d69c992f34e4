package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"time"
)

// config is the command line.
type config struct {
	rows    int
	dir     string
	threads int
	memory  int64
	reps    int
	only    string
	json    string
	profile string
	// single also measures the UDF lines with one CPU, in a child process.
	single bool
	volley bool // skip the peers' repetitions
	burn   time.Duration
	// timeout ends a query of a suite.
	timeout time.Duration
	answers string // directory to write answers into
}

func main() {
	var c config
	short := flag.Bool("short", false, "200,000 rows and one repetition")
	flag.IntVar(&c.rows, "rows", 5_000_000, "`rows` of the main table")
	flag.StringVar(&c.dir, "dir", filepath.Join(os.TempDir(), "volley-bench"), "cache `directory` of the generated files")
	flag.IntVar(&c.threads, "threads", runtime.NumCPU(), "threads of both engines")
	flag.Int64Var(&c.memory, "memory", 8<<30, "memory limit of both engines in `bytes`")
	flag.IntVar(&c.reps, "reps", 5, "repetitions of each pair")
	flag.StringVar(&c.only, "only", "", "run the queries whose name or tags (-udf calls: the runtimes whose name) contain one of these `words` (comma-separated)")
	flag.StringVar(&c.json, "json", "", "also write the results to this `file` (- for standard output, in place of the table)")
	flag.StringVar(&c.profile, "cpuprofile", "", "write a CPU profile of Volley's repetitions to this `file`")
	flag.BoolVar(&c.single, "single", true, "also measure the UDF lines on one CPU")
	flag.BoolVar(&c.volley, "volley-only", false, "measure Volley alone, after the answers have been compared")
	suite := flag.String("suite", "", "run the queries of a `suite` on both engines instead: tpch, tpcds, clickbench, h2o, features, or several with commas")
	scale := flag.Float64("sf", 0, "scale factor of TPC's suites, of the others millions of rows (default: 1 and 10)")
	scaling := flag.Bool("scaling", false, "run the suite on one CPU and on all, Volley alone, and print the efficiency")
	memory := flag.String("peak-of", "", "measure how operators keep to work_mem, running this volley `program`; -sf is millions of rows")
	functions := flag.String("udf", "", "measure user-defined functions: `parts` of calls (every runtime, beside plain loops, DuckDB and Spark), groups (grouped maps), costly (a long function on several workers)")
	flag.DurationVar(&c.burn, "burn", 3500*time.Microsecond, "`time` per row of the function of -udf costly")
	program := flag.String("program", filepath.Join("..", "bin", "volley"), "volley `program` of -udf")
	python := flag.String("python", "", "Python `interpreter` of -udf that has pandas, pyarrow and pyspark (default: $VOLLEY_PYTHON, or python3)")
	flag.DurationVar(&c.timeout, "timeout", 2*time.Minute, "a suite's query fails after this `time`")
	flag.StringVar(&c.answers, "answers", "", "write DuckDB's answers to the suite's queries, and the data, into this `directory` instead")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "bench: unknown argument %q\n", flag.Arg(0))
		os.Exit(2)
	}
	if *short {
		c.rows, c.reps = 200_000, 1
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	if *scale == 0 && (*memory != "" || *scaling || c.answers != "") {
		*scale = defaultScale(*suite)
	}
	if *functions != "" {
		c.threads, c.reps, c.rows = max(c.threads, 1), max(c.reps, 1), max(c.rows, 10)
		err = runFunctions(ctx, c, strings.Split(*functions, ","), *program, *python, os.Stdout, os.Stderr)
	} else if *memory != "" {
		err = runMemory(ctx, c, *memory, *scale, os.Stdout, os.Stderr)
	} else if *suite != "" && *scaling {
		err = runScaling(ctx, c, *suite, *scale, os.Stdout, os.Stderr)
	} else if *suite != "" && c.answers != "" {
		err = writeAnswers(ctx, c, *suite, *scale, os.Stderr)
	} else if *suite != "" {
		c.threads, c.reps = max(c.threads, 1), max(c.reps, 1)
		err = runSuites(ctx, c, strings.Split(*suite, ","), *scale, os.Stdout, os.Stderr)
	} else {
		err = run(ctx, c, os.Stdout, os.Stderr)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, c config, out, log io.Writer) error {
	say := func(format string, args ...any) { fmt.Fprintf(log, format, args...) }
	c.threads, c.reps, c.rows = max(c.threads, 1), max(c.reps, 1), max(c.rows, 10)
	r := report{Date: time.Now().UTC().Format("2006-01-02"), Machine: machine(), Rows: c.rows, Reps: c.reps}
	if c.threads < runtime.NumCPU() {
		if err := pinned(ctx, c, &r, log); err != nil {
			return err
		}
		return r.emit(c.json, out)
	}
	if err := measure(ctx, c, &r, say); err != nil {
		return err
	}
	if c.single && c.threads > 1 && hasUDF(r.Results) {
		say("the UDF lines on one CPU\n")
		one := c
		one.threads = 1
		if c.only == "" {
			one.only = "udf"
		}
		if err := pinned(ctx, one, &r, log); err != nil {
			return err
		}
	}
	return r.emit(c.json, out)
}

func hasUDF(rs []result) bool {
	for _, r := range rs {
		if r.Loop != nil {
			return true
		}
	}
	return false
}

// pinned runs this program again with fewer CPUs and adds its results.
func pinned(ctx context.Context, c config, r *report, log io.Writer) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	args := []string{"-rows", strconv.Itoa(c.rows), "-dir", c.dir, "-threads", strconv.Itoa(c.threads), "-memory", strconv.FormatInt(c.memory, 10),
		"-reps", strconv.Itoa(c.reps), "-only", c.only, "-json", "-", "-single=false", "-volley-only=" + strconv.FormatBool(c.volley)}
	cmd := exec.CommandContext(ctx, exe, args...)
	cmd.Env = append(os.Environ(), childEnv+"=1")
	var got bytes.Buffer
	cmd.Stdout, cmd.Stderr = &got, log
	if err := startPinned(cmd, c.threads); err != nil {
		return err
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("on %d CPUs: %w", c.threads, err)
	}
	var child report
	if err := json.Unmarshal(got.Bytes(), &child); err != nil {
		return err
	}
	r.Volley, r.DuckDB = child.Volley, child.DuckDB
	r.Results = append(r.Results, child.Results...)
	return nil
}

// childEnv makes a test binary act as the program: see TestMain.
const childEnv = "VOLLEY_BENCH_CHILD"

func measure(ctx context.Context, c config, r *report, say func(string, ...any)) (err error) {
	runtime.GOMAXPROCS(c.threads)
	tmp, err := os.MkdirTemp("", "volley-bench-run-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	duck, err := openDuckDB(ctx, c.threads, c.memory, filepath.Join(tmp, "duckdb"))
	if err != nil {
		return err
	}
	defer duck.close()
	d, err := prepare(ctx, c.dir, c.rows, duck, say)
	if err != nil {
		return err
	}
	v, err := openVolley(ctx, filepath.Join(tmp, "volley"), c.threads, c.memory)
	if err != nil {
		return err
	}
	defer v.close()
	src := filepath.Join(tmp, "score")
	if err := os.Mkdir(src, 0o755); err != nil {
		return err
	}
	if err := v.registerScore(ctx, src); err != nil {
		return err
	}
	if err := r.versions(ctx, duck); err != nil {
		return err
	}
	var p profiler
	if c.profile != "" {
		p.path = c.profile
	}
	defer func() {
		if perr := p.close(); err == nil {
			err = perr
		}
	}()
	var cols *columns
	for _, q := range queries(d) {
		if !wanted(q, c.only) {
			continue
		}
		if q.loop && cols == nil {
			if cols, err = loadColumns(ctx, v, d); err != nil {
				return err
			}
		}
		say("%s\n", q.name)
		res, err := compare(ctx, q, v, duck, cols, c, &p)
		if err != nil {
			return fmt.Errorf("%s: %w", q.name, err)
		}
		r.Results = append(r.Results, *res)
	}
	return nil
}

func wanted(q query, only string) bool {
	if only == "" {
		return true
	}
	for _, w := range strings.Split(only, ",") {
		if strings.Contains(q.name, w) || strings.Contains(q.tags, w) {
			return true
		}
	}
	return false
}

// compare checks that the answers are equal, which also warms the file cache,
// and then measures the contestants in turn.
func compare(ctx context.Context, q query, v *volley, duck *duckDB, cols *columns, c config, p *profiler) (*result, error) {
	peer := q.sql
	if q.peer != "" {
		peer = q.peer
	}
	got, err := v.rows(ctx, q.sql)
	if err != nil {
		return nil, err
	}
	if peer != "-" {
		want, err := duck.rows(ctx, peer)
		if err != nil {
			return nil, err
		}
		if err := sameAnswer(got, want); err != nil {
			return nil, fmt.Errorf("Volley and DuckDB differ: %w", err)
		}
	}
	if q.loop {
		if err := sameAnswer(got, [][]string{{strconv.FormatFloat(cols.score(), 'g', -1, 64)}}); err != nil {
			return nil, fmt.Errorf("Volley and the Go loop differ: %w", err)
		}
	}
	var vt, dt, lt times
	clock := func(t *times, f func() error) error {
		// Garbage of the one contestant is not collected on the other's time.
		runtime.GC()
		start := time.Now()
		err := f()
		*t = append(*t, time.Since(start))
		return err
	}
	for range c.reps {
		p.start()
		err := clock(&vt, func() error { _, err := v.rows(ctx, q.sql); return err })
		p.stop()
		if err != nil {
			return nil, err
		}
		if peer != "-" && !c.volley {
			if err := clock(&dt, func() error { _, err := duck.rows(ctx, peer); return err }); err != nil {
				return nil, err
			}
		}
		if q.loop {
			_ = clock(&lt, func() error { cols.score(); return nil })
		}
	}
	return newResult(q.name, c, vt, dt, lt), nil
}

// profiler profiles the stretches in which Volley runs. The runtime writes a
// profile per stretch; the files are merged by pprof.
type profiler struct {
	path string
	n    int
	f    *os.File
	err  error
}

func (p *profiler) start() {
	if p.path == "" || p.err != nil {
		return
	}
	if p.f, p.err = os.Create(fmt.Sprintf("%s.%d", p.path, p.n)); p.err == nil {
		p.err = pprof.StartCPUProfile(p.f)
	}
	p.n++
}

func (p *profiler) stop() {
	if p.f == nil {
		return
	}
	pprof.StopCPUProfile()
	p.err = p.f.Close()
	p.f = nil
}

func (p *profiler) close() error { return p.err }
