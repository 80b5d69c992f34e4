package udf

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// pythonHost makes a host with a store of its own, and skips where there is no
// Python, or none with the modules that a test needs.
func pythonHost(t testing.TB, modules ...string) *Host {
	t.Helper()
	python, err := Python(context.Background())
	if err != nil {
		t.Skip(err)
	}
	if len(modules) > 0 {
		if err := exec.Command(python, "-I", "-c", "import "+strings.Join(modules, ", ")).Run(); err != nil {
			t.Skipf("Python has no %s", strings.Join(modules, ", "))
		}
	}
	store, err := OpenStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	logs := &strings.Builder{}
	h, err := NewHost(HostConfig{Store: store, TempDir: t.TempDir(), Logger: slog.New(slog.NewTextHandler(logs, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		h.Close()
		if os.Getenv("VOLLEY_TEST_LOG") != "" {
			t.Log(logs.String())
		}
	})
	return h
}

// pythonRef stores source and returns the plan's reference to its function.
func pythonRef(t testing.TB, h *Host, source string, f *function.Function) *proto.UDF {
	t.Helper()
	d := Declaration{Symbol: f.Name, Kind: f.Kind, Args: f.Args, Returns: f.Returns, Columns: f.Columns}
	for i := range f.Args {
		d.Names = append(d.Names, string(rune('x'+i)))
	}
	digest, err := h.cfg.Store.PutPythonSource(testContext(t), source, d)
	if err != nil {
		t.Fatalf("%s: %s", f.Name, detail(err))
	}
	f.UDF = &function.UDFRef{Digest: digest, Symbol: f.Name}
	return RefToProto(f)
}

func scalarFunc(name string, returns types.ID, args ...types.ID) *function.Function {
	return &function.Function{Name: name, Kind: function.Scalar, Args: typeList(args...), Returns: types.T(returns)}
}

func TestPythonScalar(t *testing.T) {
	h := pythonHost(t)
	cases := []struct {
		source  string
		returns types.ID
		args    []*vector.Vector
		want    string
	}{
		{"return x*2+1", types.Float8, []*vector.Vector{floats(1, 2.5)}, "3 6"},
		{"\n    if x is None:\n        return -1\n    return x + y\n", types.Int8, []*vector.Vector{nulls(ints(1, 2, 3), 1), ints(10, 20, 30)}, "11 -1 33"},
		{"def f(x: int) -> int:\n    return x + 1", types.Int8, []*vector.Vector{nulls(ints(1, 2, 3), 1)}, "2 NULL 4"},
		{"def f(x):\n  'Upper case.'\n  return x and x.upper()", types.Text, []*vector.Vector{nulls(texts("é", "", "x"), 2)}, `"É" "" NULL`},
		{"return x", types.Text, []*vector.Vector{vector.FromDict(types.T(types.Text), []int32{1, 0, 1}, texts("a", "bb"))}, `"bb" "a" "bb"`},
		{"return x[::-1]", types.Bytea, []*vector.Vector{vector.FromStrings(types.T(types.Bytea), []string{"\x00\xff", ""})}, `"\xff\x00" ""`},
		{"return not x", types.Bool, []*vector.Vector{vector.New(types.T(types.Bool), 2)}, "true true"},
		{"return x", types.Int2, []*vector.Vector{vector.FromSlice(types.T(types.Int2), []int16{-32768, 7})}, "-32768 7"},
		{"return x", types.Float4, []*vector.Vector{vector.FromSlice(types.T(types.Float4), []float32{0.5})}, "0.5"},
		{"import datetime\nreturn x + datetime.timedelta(days=1)", types.Date, []*vector.Vector{vector.FromSlice(types.T(types.Date), []int32{-1, 0, 20000})}, "0 1 20001"},
		{"import datetime\nreturn x + datetime.timedelta(microseconds=1)", types.Timestamp, []*vector.Vector{vector.FromSlice(types.T(types.Timestamp), []int64{1700000000123456, -1})}, "1700000000123457 0"},
	}
	for _, c := range cases {
		var args []types.ID
		for _, a := range c.args {
			args = append(args, a.Type.ID)
		}
		ctx := testContext(t)
		s, err := h.Scalar(ctx, pythonRef(t, h, c.source, scalarFunc("f", c.returns, args...)))
		if err != nil {
			t.Fatalf("%s: %s", c.source, detail(err))
		}
		for range 3 {
			v, err := s.Call(ctx, c.args, c.args[0].Len)
			if err != nil {
				t.Fatalf("%s: %s", c.source, detail(err))
			}
			if got := show(v); got != c.want {
				t.Errorf("%s = %s, want %s", c.source, got, c.want)
			}
		}
		s.Close()
	}
}

func TestPythonErrors(t *testing.T) {
	h := pythonHost(t)
	put := func(source string, f *function.Function) error {
		_, err := h.cfg.Store.PutPythonSource(testContext(t), source, Declaration{Symbol: f.Name, Kind: f.Kind, Args: f.Args, Returns: f.Returns, Columns: f.Columns, Names: []string{"x", "y"}[:len(f.Args)]})
		return err
	}
	f := scalarFunc("f", types.Int8, types.Int8)
	for source, want := range map[string]string{
		"return x +":                    "42P13 invalid syntax (line 1)",
		"y = 1":                         "42P13 the source neither returns a value nor defines a function f",
		"def f(): return 1":             "42P13 f takes 0 arguments, not 1",
		"import nosuchmodule\nreturn x": "", // imported when it runs
		"import nosuchmodule\ndef f(x): return x": "58000 module nosuchmodule is not installed",
		"1/0\ndef f(x): return x":                 "42P13 ZeroDivisionError: division by zero",
		"import os; os._exit(3)\ndef f(x): pass":  "42P13 the code ended Python while it was loaded: exit status 3",
		"def f(x: 'Iterator[pd.Series]'): pass":   "0A000 functions over iterators of batches (Iterator[pd.Series]) are not supported",
	} {
		err := put(source, f)
		if got := detail(err); want == "" && err != nil || !strings.HasPrefix(got, want) {
			t.Errorf("%q: %s, want %s", source, got, want)
		}
	}
	for source, want := range map[string]string{
		"return 1 // (x - 2)":            "38000 function f: ZeroDivisionError: integer division or modulo by zero | Arguments: x = 2.",
		"import nosuchmodule\nreturn x":  "38000 function f: ModuleNotFoundError: No module named 'nosuchmodule'",
		"return 'a'":                     "39000 function f: the function returned a str for a result of type bigint",
		"return 1.5":                     "39000 function f: the function returned a float for a result of type bigint",
		"return 2 ** 63 if x > 2 else 1": "22003 function f: bigint out of range",
		"import volley\nraise volley.Error('no', code='22023', hint='h')": "22023 function f: no | ",
		"import sys; sys.exit(3)\nreturn 1":                               "38000 function f: SystemExit: 3",
		"import os\nif x > 1: os._exit(3)\nreturn 1":                      "38000 plugin process exited: exit status 3",
		"import ctypes\nctypes.string_at(0)\nreturn x":                    "38000 plugin process exited: signal: segmentation fault",
	} {
		ctx := testContext(t)
		s, err := h.Scalar(ctx, pythonRef(t, h, source, scalarFunc("f", types.Int8, types.Int8)))
		if err == nil {
			_, err = s.Call(ctx, []*vector.Vector{ints(1, 2, 3)}, 3)
			s.Close()
		}
		if got := detail(err); !strings.HasPrefix(got, want) {
			t.Errorf("%q: %s\nwant %s", source, got, want)
		}
		if strings.Contains(want, "bigint out of range") && !strings.Contains(detail(err), "row 3") {
			t.Errorf("%s", detail(err))
		}
	}
}

// Code that hangs ends at its timeout, code that eats memory at its limit, and
// both leave the host as it was.
func TestPythonContained(t *testing.T) {
	h := pythonHost(t)
	ctx := testContext(t)
	r := pythonRef(t, h, "while True: pass\nreturn x", scalarFunc("f", types.Int8, types.Int8))
	r.TimeoutMs = 700
	s, err := h.Scalar(ctx, r)
	if err == nil {
		_, err = s.Call(ctx, []*vector.Vector{ints(1)}, 1)
		s.Close()
	}
	if got := detail(err); !strings.HasPrefix(got, "57014 function f did not finish within 700ms") || !strings.Contains(got, "(<function f>:1)") {
		t.Error(got)
	}
	r = pythonRef(t, h, "a = []\nwhile True: a.append(bytearray(1 << 20))\nreturn x", scalarFunc("f", types.Int8, types.Int8))
	r.MemoryLimit = 64 << 20
	if s, err = h.Scalar(ctx, r); err == nil {
		_, err = s.Call(ctx, []*vector.Vector{ints(1)}, 1)
		s.Close()
	}
	if got := detail(err); !strings.HasPrefix(got, "53200 plugin python.f@") {
		t.Error(got)
	}
	// Slow is not stuck, and a cancel is obeyed between rows.
	r = pythonRef(t, h, "import time\ntime.sleep(0.02)\nreturn x", scalarFunc("f", types.Int8, types.Int8))
	r.TimeoutMs = 600
	if s, err = h.Scalar(ctx, r); err != nil {
		t.Fatal(detail(err))
	}
	if _, err = s.Call(ctx, []*vector.Vector{ints(make([]int64, 60)...)}, 60); err != nil {
		t.Error(detail(err))
	}
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	pids := h.Children()
	if _, err = s.Call(short, []*vector.Vector{ints(make([]int64, 60)...)}, 60); pgerr.Code(err) != pgerr.QueryCanceled {
		t.Error(detail(err))
	}
	s.Close()
	time.Sleep(400 * time.Millisecond)
	if now := h.Children(); len(now) != len(pids) {
		t.Errorf("%d children, then %d", len(pids), len(now))
	}
}

const pythonMean = `
class mean:
    def __init__(self):
        self.n, self.s = 0, 0.0
    def step(self, x):
        self.n += 1
        self.s += x
    def merge(self, other):
        self.n += other.n
        self.s += other.s
    def finish(self):
        return self.s / self.n if self.n else None
`

func TestPythonAggregate(t *testing.T) {
	h := pythonHost(t)
	for _, source := range []string{pythonMean, "def mean(x):\n    x = [v for v in x if v is not None]\n    return sum(x) / len(x) if x else None"} {
		ctx := testContext(t)
		r := pythonRef(t, h, source, &function.Function{Name: "mean", Kind: function.Aggregate, Args: typeList(types.Float8), Returns: types.T(types.Float8)})
		open := func() function.Aggregator {
			a, err := h.Aggregate(ctx, r, typeList(types.Float8))
			if err != nil {
				t.Fatal(detail(err))
			}
			return a
		}
		a, b := open(), open()
		a.Grow(3)
		ok := func(err error) {
			if err != nil {
				t.Fatal(detail(err))
			}
		}
		ok(a.Update([]int32{0, 1, 0, 1}, []*vector.Vector{nulls(floats(1, 2, 3, 9), 3)}, 4))
		states, err := a.State(0, 3)
		ok(err)
		b.Grow(2)
		ok(b.Update(nil, []*vector.Vector{floats(5)}, 1))
		ok(b.Merge([]int32{0, 1, 1}, states, 3))
		v, err := b.Final(0, 2)
		ok(err)
		if got := show(v); got != "3 2" {
			t.Error(got)
		}
		v, err = a.Final(0, 3)
		ok(err)
		if got := show(v); got != "2 2 NULL" {
			t.Error(got)
		}
		a.Close()
		b.Close()
	}
}

func groupedFunc(name string) *function.Function {
	return &function.Function{Name: name, Kind: function.GroupedMap, Args: typeList(types.Int8, types.Text),
		Columns: []vector.Field{{Name: "n", Type: types.T(types.Int8)}, {Name: "all", Type: types.T(types.Text)}}}
}

// runPieces sends rows in pieces of two and returns what comes back as text.
func runPieces(t *testing.T, h *Host, r *proto.UDF, cols []*vector.Vector, ends []int32) (string, error) {
	t.Helper()
	ctx := testContext(t)
	g, err := h.GroupedMap(ctx, r, GroupOptions{})
	if err != nil {
		return "", err
	}
	defer g.Close()
	n := cols[0].Len
	sent, k := 0, 0
	var out strings.Builder
	for {
		send, recv, err := g.Wait(ctx)
		if err != nil {
			return out.String(), err
		}
		if recv {
			o, err := g.Recv(ctx)
			if err != nil {
				if err.Error() == "EOF" {
					return out.String(), nil
				}
				return out.String(), err
			}
			for i := range o.N {
				fmt.Fprintf(&out, "%d:%s/%s ", o.Base+int64(o.Groups[i]), show(vector.Slice(o.Cols[0], i, i+1)), show(vector.Slice(o.Cols[1], i, i+1)))
			}
			continue
		}
		if send && sent == n {
			g.CloseSend()
			continue
		}
		to := min(sent+2, n)
		var sub []*vector.Vector
		for _, c := range cols {
			sub = append(sub, vector.Slice(c, sent, to))
		}
		var e []int32
		for k < len(ends) && int(ends[k]) <= to {
			e = append(e, ends[k]-int32(sent))
			k++
		}
		if err := g.Send(ctx, sub, to-sent, e); err != nil {
			return out.String(), err
		}
		sent = to
	}
}

func TestPythonGrouped(t *testing.T) {
	h := pythonHost(t)
	cols := []*vector.Vector{nulls(ints(1, 2, 3, 4, 5, 6, 7), 1), texts("a", "b", "c", "d", "é", "f", "g")}
	ends := []int32{1, 4, 4, 6}
	const want = `0:1/"a" 1:7/"bcd" 2:0/"" 3:11/"éf" 4:7/"g" `
	for _, source := range []string{
		"def f(g: dict):\n    return [(sum(v or 0 for v in g['x']), ''.join(g['y']))]",
		"def f(g: dict):\n    return {'all': ''.join(g['y']), 'n': sum(v or 0 for v in g['x'])}",
		"def f(g: dict):\n    yield {'n': [sum(v or 0 for v in g['x'])], 'all': [''.join(g['y'])]}",
	} {
		got, err := runPieces(t, h, pythonRef(t, h, source, groupedFunc("f")), cols, ends)
		if err != nil {
			t.Fatalf("%s: %s", source, detail(err))
		}
		if got != want {
			t.Errorf("%s: %s\nwant %s", source, got, want)
		}
	}
	_, err := runPieces(t, h, pythonRef(t, h, "def f(g: dict):\n    return [(1 // (g['x'][0] - 1), 'a')]", groupedFunc("f")), cols[:2], []int32{2})
	var ce *CallError
	if !errors.As(err, &ce) || ce.Group != 0 || pgerr.Code(err) != "38000" {
		t.Error(detail(err))
	}
	_, err = runPieces(t, h, pythonRef(t, h, "def f(g: dict):\n    return {'n': [1]}", groupedFunc("f")), cols, ends)
	if got := detail(err); !strings.HasPrefix(got, "39000 function f: the function returned the columns n, not n, all") {
		t.Error(got)
	}
}

func BenchmarkPython(b *testing.B) {
	for _, c := range []struct{ name, source string }{
		{"numpy", "import numpy as np\ndef f(x: np.ndarray): return x * 2 + 1"},
		{"pandas", "import pandas as pd\ndef f(x: pd.Series): return x * 2 + 1"},
		{"rows", "return x * 2 + 1"},
	} {
		b.Run(c.name, func(b *testing.B) {
			h := pythonHost(b, "numpy", "pandas")
			s, err := h.Scalar(testContext(b), pythonRef(b, h, c.source, scalarFunc("f", types.Float8, types.Float8)))
			if err != nil {
				b.Fatal(detail(err))
			}
			defer s.Close()
			const n = 64 << 10
			args := []*vector.Vector{floats(make([]float64, n)...)}
			for b.Loop() {
				if _, err := s.Call(testContext(b), args, n); err != nil {
					b.Fatal(detail(err))
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/row")
		})
	}
}
