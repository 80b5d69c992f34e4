package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/volleydb/volley/bench/udffuncs"
	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/udf"
	"github.com/volleydb/volley/udf/remote"
	sdk "github.com/volleydb/volley/udf/sdk"
	"github.com/volleydb/volley/vector"
)

// shortest is how long the plain loop takes at least in the view of calls alone: a
// millisecond, as it would for 16 batches of x*2+1, is spent in waking up.
const shortest = 25 * time.Millisecond

// batchRows is how many rows the functions get at once in the view of calls alone.
const batchRows = 64 << 10

// udfCase is a function of the benchmark.
type udfCase struct {
	name   string // of the declarations in udffuncs, and of lines
	params string // with names and types
	args   string // columns of the file
	ret    string
	rest   string // what the SQL view asks of the result: an expression over %s
	goBody string
	python string
	loop   func(args []*vector.Vector, n int)
}

func floatArgs(args []*vector.Vector) [][]float64 {
	out := make([][]float64, len(args))
	for i, a := range args {
		out[i] = vector.Values[float64](a)
	}
	return out
}

var keep any // what loops made: it must not be optimised away

var udfCases = []udfCase{
	{name: "lin", params: "x float8", args: "g1", ret: "float8", rest: "sum(%s)", goBody: "return x*2 + 1",
		python: "def f(x: pd.Series) -> pd.Series:\n    return x * 2 + 1\n",
		loop: func(args []*vector.Vector, n int) {
			out := make([]float64, n)
			for i, x := range vector.Values[float64](args[0]) {
				out[i] = x*2 + 1
			}
			keep = out
		}},
	{name: "score", params: "g1 float8, g2 float8, g3 float8, g4 float8, g5 float8, g6 float8, g7 float8, g8 float8",
		args: "g1, g2, g3, g4, g5, g6, g7, g8", ret: "float8", rest: "sum(%s)",
		goBody: "return 1 / (1 + math.Exp(-(-0.3 + 0.8*g1 - 1.1*g2 + 0.45*g3 + 0.2*g4 - 0.65*g5 + 1.3*g6 - 0.15*g7 + 0.7*g8)))",
		python: `def f(g1: pd.Series, g2: pd.Series, g3: pd.Series, g4: pd.Series, g5: pd.Series, g6: pd.Series, g7: pd.Series, g8: pd.Series) -> pd.Series:
    z = -0.3 + 0.8*g1 - 1.1*g2 + 0.45*g3 + 0.2*g4 - 0.65*g5 + 1.3*g6 - 0.15*g7 + 0.7*g8
    return 1 / (1 + np.exp(-z))
`,
		loop: func(args []*vector.Vector, n int) {
			g, out := floatArgs(args), make([]float64, n)
			udffuncs.ScoreVector(g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7], out)
			keep = out
		}},
	{name: "norm", params: "s text", args: "s", ret: "text", rest: "sum(length(%s))::bigint",
		python: `def f(s: pd.Series) -> pd.Series:
    return s.str.lower().str.replace('[\x00-/:-` + "`" + `{-\x7f]+', ' ', regex=True).str.strip(' ')
`},
}

// pythonHead precedes the functions in Python, for Volley and for Spark.
const pythonHead = "import numpy as np\nimport pandas as pd\n"

// udfRuntime is a way to run the functions: create is the text of CREATE FUNCTION
// after the result type.
type udfRuntime struct {
	name   string
	create func(c *udfCase) string
	digest string // instead of create, of functions of this program
	lacks  string // why it cannot be measured here, "" if it can
	goal   map[string]float64
}

// udfBench is one run of the benchmark of functions.
type udfBench struct {
	c    config
	tmp  string
	v    *volley
	duck *duckDB
	host *udf.Host
	file string // Parquet
	say  func(string, ...any)
	runs []*udfRuntime
	out  io.Writer
}

// runFunctions runs the parts of the benchmark of functions.
func runFunctions(ctx context.Context, c config, parts []string, program, python string, out, log io.Writer) error {
	for _, p := range parts {
		var err error
		switch {
		case strings.HasPrefix(p, "group-"):
			err = runGroupChild(ctx, c, p, program, out)
		case p == "groups":
			err = runGroups(ctx, c, out, log)
		case p == "calls":
			err = runUDF(ctx, c, python, out, log)
		case p == "costly":
			err = runCostly(ctx, c, program, out, log)
		default:
			err = fmt.Errorf("there is no part %q", p)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// runUDF measures functions by themselves and in queries.
func runUDF(ctx context.Context, c config, python string, out, log io.Writer) (err error) {
	say := func(format string, args ...any) { fmt.Fprintf(log, format, args...) }
	if python != "" {
		if err := os.Setenv(udf.PythonEnv, python); err != nil {
			return err
		}
	}
	tmp, err := os.MkdirTemp("", "volley-bench-udf-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	b := &udfBench{c: c, tmp: tmp, say: say, out: out}
	if b.duck, err = openDuckDB(ctx, c.threads, c.memory, filepath.Join(tmp, "duckdb")); err != nil {
		return err
	}
	defer b.duck.close()
	if err := b.data(ctx); err != nil {
		return err
	}
	if b.v, err = openVolley(ctx, filepath.Join(tmp, "volley"), c.threads, c.memory); err != nil {
		return err
	}
	defer b.v.close()
	if b.host, err = udf.NewHost(udf.HostConfig{Store: b.v.server.Artifacts, Logger: slog.New(slog.DiscardHandler), TempDir: tmp, Procs: c.threads}); err != nil {
		return err
	}
	defer b.host.Close()
	serving, stop := context.WithCancel(ctx)
	served := make(chan error, 1)
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		stop()
		return err
	}
	go func() { served <- remote.Serve(serving, lis, remote.Options{}, udffuncs.Decls()...) }()
	defer func() {
		stop()
		if e := <-served; err == nil {
			err = e
		}
	}()
	if err := b.register(ctx, lis.Addr().String()); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s; %s; %d rows, batches of %d, best of %d\n", machine(), runtime.Version(), c.rows, batchRows, c.reps)
	if err := b.calls(ctx); err != nil {
		return err
	}
	return b.queries(ctx)
}

// data makes the file: eight features, x for groups, and text.
func (b *udfBench) data(ctx context.Context) error {
	b.file = filepath.Join(b.c.dir, fmt.Sprintf("udf-%d-v%d.parquet", b.c.rows, dataVersion))
	if _, err := os.Stat(b.file); err == nil {
		return nil
	}
	if err := os.MkdirAll(b.c.dir, 0o755); err != nil {
		return err
	}
	b.say("generating %d rows in %s\n", b.c.rows, b.file)
	var cols []string
	for i := range 8 {
		cols = append(cols, fmt.Sprintf("(i * %d %% 20011)::double / 10000 - 1 AS g%d", 7919+2*i, i+1))
	}
	_, err := b.duck.rows(ctx, fmt.Sprintf(`COPY (SELECT %s, '  User-' || lpad((i * 7919 %% 1000003)::varchar, 8, '0') || ', "Segment ' || (i %% 97) || '"  <X>' AS s
		FROM range(%d) t(i)) TO %s (FORMAT parquet)`, strings.Join(cols, ", "), b.c.rows, quote(b.file+".tmp")))
	if err != nil {
		return err
	}
	return os.Rename(b.file+".tmp", b.file)
}

// register makes the functions in every runtime.
func (b *udfBench) register(ctx context.Context, server string) error {
	src := filepath.Join(b.tmp, "plugin")
	if err := os.Mkdir(src, 0o755); err != nil {
		return err
	}
	if err := udffuncs.WriteSource(src); err != nil {
		return err
	}
	digest := map[string]string{}
	for _, r := range []string{udf.RuntimeGo, udf.RuntimeWasm} {
		var err error
		if digest[r], err = b.v.putPlugin(ctx, src, "bench_"+r, r); err != nil {
			return err
		}
	}
	plugin := func(r, suffix string) func(*udfCase) string {
		return func(c *udfCase) string {
			return "LANGUAGE " + r + " IMMUTABLE STRICT AS " + quote(digest[r]) + ", " + quote(c.name+suffix)
		}
	}
	decls := append(udffuncs.Decls(), sdk.Name("linked"), sdk.Version("1"))
	linked, _, err := b.host.Link(ctx, decls...)
	if err != nil {
		return err
	}
	if _, err := b.v.rows(ctx, "CREATE SCHEMA linked"); err != nil {
		return err
	}
	if err := b.v.server.Register(ctx, "linked", decls...); err != nil {
		return err
	}
	b.runs = []*udfRuntime{
		{name: "in process", digest: linked, goal: map[string]float64{"lin": 1.1, "score": 1.1, "norm": 1.1}},
		{name: "native", create: plugin(udf.RuntimeGo, ""), goal: map[string]float64{"lin": 3, "score": 1.2}},
		{name: "native, per row", create: plugin(udf.RuntimeGo, "_row")},
		{name: "inline go", create: func(c *udfCase) string {
			body := c.goBody
			if c.name == "norm" {
				body = strings.Replace(udffuncs.NormSource(), "func Norm(", "func norm_inline_go(", 1)
			}
			return "LANGUAGE go IMMUTABLE STRICT AS $$\n" + body + "\n$$"
		}},
		{name: "wasm", create: plugin(udf.RuntimeWasm, ""), goal: map[string]float64{"lin": 4, "score": 4, "norm": 4}},
		{name: "grpc", create: func(c *udfCase) string {
			return "LANGUAGE grpc IMMUTABLE STRICT AS " + quote(server) + ", " + quote(c.name)
		}},
		b.pandas(ctx),
	}
	b.runs = slices.DeleteFunc(b.runs, func(r *udfRuntime) bool { return !wanted(query{name: r.name}, b.c.only) })
	for _, r := range b.runs {
		for i := range udfCases {
			c := &udfCases[i]
			if r.lacks != "" || r.digest != "" {
				continue
			}
			if _, err := b.v.rows(ctx, "CREATE FUNCTION "+sqlName(r, c)+"("+c.params+") RETURNS "+c.ret+" "+r.create(c)); err != nil {
				return fmt.Errorf("%s, %s: %w", r.name, c.name, err)
			}
		}
	}
	return nil
}

// putPlugin builds a directory and returns the artifact as CREATE FUNCTION names it.
func (v *volley) putPlugin(ctx context.Context, dir, name, runtime string) (string, error) {
	a, err := udf.Build(ctx, dir, udf.BuildOptions{Name: name, Runtime: runtime, Output: filepath.Join(dir, name+".vudf")})
	if err != nil {
		return "", err
	}
	if _, err := v.server.Artifacts.PutFile(ctx, a.Path); err != nil {
		return "", err
	}
	return name + "@" + a.Digest, nil
}

func sqlName(r *udfRuntime, c *udfCase) string {
	if r.digest != "" {
		return "linked." + c.name
	}
	return c.name + "_" + strings.ReplaceAll(strings.ReplaceAll(r.name, ",", ""), " ", "_")
}

// pandas is Python, if there is one with the modules.
func (b *udfBench) pandas(ctx context.Context) *udfRuntime {
	r := &udfRuntime{name: "python pandas", create: func(c *udfCase) string {
		return "LANGUAGE python IMMUTABLE STRICT AS $$\n" + pythonHead + strings.Replace(c.python, "def f(", "def "+c.name+"_python_pandas(", 1) + "$$"
	}}
	path, err := udf.Python(ctx)
	if err == nil {
		err = pythonHas(ctx, path, "pandas, pyarrow")
	}
	if err != nil {
		r.lacks = "not installed: python3 -m venv DIR && DIR/bin/pip install pandas 'pyarrow<18' 'numpy<2', then make bench-udf PYTHON=DIR/bin/python"
	}
	return r
}

// ref finds what a plan says of a function.
func (b *udfBench) ref(ctx context.Context, r *udfRuntime, c *udfCase) (*function.Function, error) {
	if r.digest != "" {
		return c.function(r, r.digest, c.name), nil
	}
	rows, err := b.v.rows(ctx, "SELECT digest, symbol FROM volley.functions WHERE current AND function = "+quote(sqlName(r, c)))
	if err == nil && len(rows) != 1 {
		err = fmt.Errorf("%d functions %s", len(rows), sqlName(r, c))
	}
	if err != nil {
		return nil, err
	}
	return c.function(r, rows[0][0], rows[0][1]), nil
}

func (c *udfCase) function(r *udfRuntime, digest, symbol string) *function.Function {
	f := &function.Function{Name: sqlName(r, c), Kind: function.Scalar, Volatility: function.Immutable, Strict: true, Returns: types.T(types.Float8),
		UDF: &function.UDFRef{Digest: digest, Symbol: symbol}}
	for range strings.Split(c.params, ",") {
		f.Args = append(f.Args, types.T(types.Float8))
	}
	if c.ret == "text" {
		f.Args, f.Returns = []types.Type{types.T(types.Text)}, types.T(types.Text)
	}
	return f
}

// batches reads the arguments of c, at most a million rows, in batches.
func (b *udfBench) batches(ctx context.Context, c *udfCase) ([][]*vector.Vector, error) {
	var cols [][]*vector.Vector
	err := b.v.each(ctx, fmt.Sprintf("SELECT %s FROM read_parquet(%s) LIMIT %d", c.args, quote(b.file), 16*batchRows), func(x *vector.Batch, _ []vector.Field) error {
		for len(cols) < x.NumCols() {
			cols = append(cols, nil)
		}
		for i := range cols {
			cols[i] = append(cols[i], x.Col(i).Flatten())
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(cols) == 0 {
		return nil, errors.New("there are no rows")
	}
	var out [][]*vector.Vector
	for i, parts := range cols {
		v := vector.Concat(parts)
		for k := 0; k*batchRows < v.Len; k++ {
			if i == 0 {
				out = append(out, nil)
			}
			out[k] = append(out[k], vector.Slice(v, k*batchRows, min((k+1)*batchRows, v.Len)))
		}
	}
	return out, nil
}

// callStream is what a host gives out.
type callStream interface {
	Submit(ctx context.Context, args []*vector.Vector, n int) error
	Collect(ctx context.Context) (*vector.Vector, error)
	Close() error
}

// calls measures the call alone: columns in memory in, columns out, one batch ahead
// as in queries, beside a plain loop.
func (b *udfBench) calls(ctx context.Context) error {
	w := tabwriter.NewWriter(b.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nthe call alone, ns/row (ratio to the plain Go loop)\t"+strings.Join(caseNames(), "\t"))
	ns := map[string][]string{}
	missed := []string{}
	for i := range udfCases {
		c := &udfCases[i]
		batches, err := b.batches(ctx, c)
		if err != nil {
			return err
		}
		loop := c.loop
		if loop == nil {
			loop = normLoop(batches)
		}
		runLoop := func() time.Duration {
			start := time.Now()
			for _, args := range batches {
				loop(args, args[0].Len)
			}
			return time.Since(start)
		}
		runLoop()
		batches = slices.Repeat(batches, int(shortest/max(runLoop(), time.Microsecond))+1)
		rows := 0
		for _, x := range batches {
			rows += x[0].Len
		}
		type contestant struct {
			r    *udfRuntime
			s    callStream
			best time.Duration
		}
		all := []*contestant{{}}
		for _, r := range b.runs {
			if r.lacks != "" {
				continue
			}
			f, err := b.ref(ctx, r, c)
			if err != nil {
				return err
			}
			s, err := b.host.Scalar(ctx, udf.RefToProto(f))
			if err != nil {
				return fmt.Errorf("%s, %s: %w", r.name, c.name, err)
			}
			defer s.Close()
			all = append(all, &contestant{r: r, s: s})
		}
		for rep := range b.c.reps + 1 { // the first warms up
			for _, x := range all {
				runtime.GC()
				start := time.Now()
				if x.s == nil {
					runLoop()
				} else if err := throughStream(ctx, x.s, batches); err != nil {
					return fmt.Errorf("%s, %s: %w", x.r.name, c.name, err)
				}
				if took := time.Since(start); rep > 0 && (x.best == 0 || took < x.best) {
					x.best = took
				}
			}
		}
		base := float64(all[0].best) / float64(rows)
		ns["plain Go loop"] = append(ns["plain Go loop"], fmt.Sprintf("%.2f", base))
		for _, r := range b.runs {
			k := slices.IndexFunc(all, func(x *contestant) bool { return x.r == r })
			if k < 0 {
				ns[r.name] = append(ns[r.name], "")
				continue
			}
			x := float64(all[k].best) / float64(rows)
			ns[r.name] = append(ns[r.name], fmt.Sprintf("%.2f (%.2f)", x, x/base))
			if g := r.goal[c.name]; g > 0 && x/base > g {
				missed = append(missed, fmt.Sprintf("%s, %s: %.2f, goal %.1f", r.name, c.name, x/base, g))
			}
		}
	}
	fmt.Fprintln(w, "plain Go loop\t"+strings.Join(ns["plain Go loop"], "\t"))
	for _, r := range b.runs {
		if r.lacks != "" {
			fmt.Fprintln(w, r.name+"\t"+r.lacks)
			continue
		}
		fmt.Fprintln(w, r.name+"\t"+strings.Join(ns[r.name], "\t"))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, m := range missed {
		fmt.Fprintln(b.out, "missed: "+m)
	}
	return nil
}

func caseNames() []string {
	return []string{"x*2+1", "logistic score of 8", "text normaliser"}
}

// throughStream runs all batches with one ahead.
func throughStream(ctx context.Context, s callStream, batches [][]*vector.Vector) error {
	for i, args := range batches {
		if err := s.Submit(ctx, args, args[0].Len); err != nil {
			return err
		}
		if i == 0 {
			continue
		}
		v, err := s.Collect(ctx)
		if err != nil {
			return err
		}
		keep = v
	}
	v, err := s.Collect(ctx)
	keep = v
	return err
}

// normLoop is the loop over strings, which are there as Go has them.
func normLoop(batches [][]*vector.Vector) func(args []*vector.Vector, n int) {
	in := map[*vector.Vector][]string{}
	for _, b := range batches {
		v := b[0]
		ss := make([]string, v.Len)
		for i := range ss {
			ss[i] = string(v.BytesAt(i))
		}
		in[v] = ss
	}
	return func(args []*vector.Vector, n int) {
		out := make([]string, n)
		for i, s := range in[args[0]] {
			out[i] = udffuncs.Norm(s)
		}
		keep = out
	}
}
