package udf

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// wasmBuilds are the artifacts of the wasm runtime that tests share.
var wasmBuilds sync.Map

// wasmArtifact builds a directory, or packs a .wasm file, into the tests' store.
func wasmArtifact(t testing.TB, dir string, deterministic bool) *Artifact {
	t.Helper()
	if plugin == nil {
		t.Skip("there is no Go toolchain: plugins cannot be built")
	}
	key := fmt.Sprint(dir, deterministic)
	if a, ok := wasmBuilds.Load(key); ok {
		return a.(*Artifact)
	}
	a, err := Build(context.Background(), dir, BuildOptions{Runtime: RuntimeWasm, Deterministic: deterministic})
	if err != nil {
		t.Fatal(detail(err))
	}
	if _, err := pluginStore.PutFile(context.Background(), a.Path); err != nil {
		t.Fatal(detail(err))
	}
	wasmBuilds.Store(key, a)
	return a
}

func wasmRef(a *Artifact, symbol string, memory int64, returns types.ID, args ...types.ID) *proto.UDF {
	return RefToProto(&function.Function{Name: symbol, Kind: function.Scalar, Args: typeList(args...), Returns: types.T(returns),
		UDF: &function.UDFRef{Digest: a.Digest, Symbol: symbol, MemoryLimit: memory}})
}

// TestWasmKinds runs the tests of the native runtime on the same plugin, compiled
// to WebAssembly.
func TestWasmKinds(t *testing.T) {
	native := plugin
	wasm := wasmArtifact(t, "testdata/plugin", false)
	plugin = wasm
	defer func() { plugin = native }()
	if wasm.Manifest.Runtime != RuntimeWasm || len(wasm.Manifest.Functions) != len(native.Manifest.Functions) {
		t.Fatalf("manifest %+v", wasm.Manifest)
	}
	t.Run("types", TestScalarTypesAndNulls)
	t.Run("large", TestScalarLarge)
	t.Run("errors", TestScalarErrors)
	t.Run("aggregate", TestAggregate)
	t.Run("states", TestAggregateStates)
	t.Run("grouped", TestGroupedMap)
	t.Run("grouped errors", TestGroupedMapErrors)
	t.Run("exploding", TestExplodingGroup)
	t.Run("ahead", TestSubmitAhead)
	t.Run("many", TestManyStreams)
}

// TestWasmText has values of all small lengths: they are copied in words.
func TestWasmText(t *testing.T) {
	a := wasmArtifact(t, "testdata/plugin", false)
	s, err := testHost(t, nil).Scalar(context.Background(), wasmRef(a, "upper", 0, types.Text, types.Text))
	if err != nil {
		t.Fatal(detail(err))
	}
	defer s.Close()
	var in []string
	for n := range 200 {
		b := make([]byte, n%100)
		for i := range b {
			b[i] = byte('a' + (i*7+n)%26)
		}
		in = append(in, string(b))
	}
	for range 3 { // the slots have been used then
		out, err := s.Call(context.Background(), []*vector.Vector{texts(in...)}, len(in))
		if err != nil {
			t.Fatal(detail(err))
		}
		for i, x := range in {
			if got := string(out.BytesAt(i)); got != strings.ToUpper(x) {
				t.Fatalf("row %d is %q, want %q", i, got, strings.ToUpper(x))
			}
		}
	}
}

func TestWasmSandbox(t *testing.T) {
	a := wasmArtifact(t, "testdata/sandbox", false)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	h := testHost(t, nil)
	ctx := testContext(t)
	for _, c := range []struct{ symbol, arg, want string }{
		{"read_file", secret, `"refused"`},
		{"read_file", "/etc/passwd", `"refused"`},
		{"read_file", "../../../../etc/passwd", `"refused"`},
		{"write_file", filepath.Join(t.TempDir(), "new"), `"refused"`},
		{"write_file", "new", `"refused"`},
		{"dial", l.Addr().String(), `"refused"`},
		{"environment", "", `"VOLLEY_UDF GOGC GOMEMLIMIT"`},
	} {
		v, err := call(ctx, h, wasmRef(a, c.symbol, 0, types.Text, types.Text), texts(c.arg))
		if err != nil || show(v) != c.want {
			t.Errorf("%s(%s) = %v, want %s: %s", c.symbol, c.arg, v, c.want, detail(err))
		}
	}
}

// TestWasmFaults: what goes wrong ends the instance, or at worst the child, and
// the next call works.
func TestWasmFaults(t *testing.T) {
	a := wasmArtifact(t, "testdata/sandbox", false)
	p := wasmArtifact(t, "testdata/plugin", false)
	h := testHost(t, nil)
	ctx := testContext(t)
	const limit = 64 << 20
	for _, c := range []struct {
		a      *Artifact
		symbol string
		arg    int64
		want   []string
	}{
		{a, "bomb", 1000, []string{"53200", "needs more memory than its limit of 64 MB", "volley.memory"}},
		{a, "nil_map", 1, []string{"38000", "panic: assignment to entry in nil map", "row 1, function nil_map"}},
		{p, "exits", 1, []string{"38000", "the module exited with status 3"}},
		{p, "recurse", 1, []string{"stack"}},
	} {
		_, err := call(ctx, h, wasmRef(c.a, c.symbol, limit, types.Int8, types.Int8), ints(c.arg))
		for _, w := range c.want {
			if !strings.Contains(detail(err), w) {
				t.Errorf("%s: %s, want %q", c.symbol, detail(err), w)
			}
		}
		pids := fmt.Sprint(h.Children())
		v, err := call(ctx, h, wasmRef(a, "count", limit, types.Int8, types.Int8), ints(1, 2))
		if err != nil || v.Len != 2 {
			t.Errorf("after %s: %s", c.symbol, detail(err))
		}
		if c.a == a && fmt.Sprint(h.Children()) != pids {
			t.Errorf("%s ended the child", c.symbol)
		}
	}
	// A loop is ended by the timeout of the function, with its child.
	ref := wasmRef(p, "loops", limit, types.Int8, types.Int8)
	ref.TimeoutMs = 500
	begin := time.Now()
	_, err := call(ctx, h, ref, ints(1))
	if took := time.Since(begin); !strings.Contains(detail(err), "did not finish within 500ms") || took > 10*time.Second {
		t.Errorf("%s after %v", detail(err), took)
	}
	v, err := call(ctx, h, wasmRef(p, "inits", limit, types.Int8, types.Int8), ints(1))
	if err != nil || show(v) != "1" {
		t.Errorf("after the loop: %s", detail(err))
	}
	// Slow is not stuck: the rows take longer than the timeout, each less.
	ref = wasmRef(p, "sleeps", limit, types.Int8, types.Int8)
	ref.TimeoutMs = 1000
	slow := make([]int64, 200)
	for i := range slow {
		slow[i] = 10
	}
	if _, err := call(ctx, h, ref, ints(slow...)); err != nil {
		t.Errorf("a slow function: %s", detail(err))
	}
}

// TestWasmParallel: streams have instances of their own, which are used again.
func TestWasmParallel(t *testing.T) {
	a := wasmArtifact(t, "testdata/sandbox", false)
	h := testHost(t, func(c *HostConfig) { c.Procs = 2 })
	ctx := testContext(t)
	var wg sync.WaitGroup
	for range 6 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range 5 {
				v, err := call(ctx, h, wasmRef(a, "twice_plus_one", 0, types.Float8, types.Float8), nulls(floats(1, 2, 3), 1))
				if err != nil || show(v) != "3 NULL 7" {
					t.Errorf("%s", detail(err))
				}
			}
		}()
	}
	wg.Wait()
	if n := len(h.Children()); n != 1 {
		t.Errorf("%d children", n)
	}
}

func TestWasmDeterministic(t *testing.T) {
	a := wasmArtifact(t, "testdata/sandbox", true)
	var got []string
	for range 2 {
		h := testHost(t, nil)
		ctx := testContext(t)
		s := ""
		for _, f := range []string{"random", "clock"} {
			v, err := call(ctx, h, wasmRef(a, f, 0, types.Int8, types.Int8), ints(1, 2))
			if err != nil {
				t.Fatal(detail(err))
			}
			s += show(v) + " "
		}
		got = append(got, s)
		h.Close()
	}
	if got[0] != got[1] {
		t.Errorf("%s and %s", got[0], got[1])
	}
}

// TestWasmPlain is a module that was not made from the Go SDK.
func TestWasmPlain(t *testing.T) {
	a := wasmArtifact(t, "testdata/tiny/tiny.wasm", false)
	for _, plain := range []bool{false, true} {
		h := testHost(t, func(c *HostConfig) { c.NoSharedMemory = plain })
		ctx := testContext(t)
		large := make([]float64, 300_000)
		for i := range large {
			large[i] = float64(i)
		}
		s, err := h.Scalar(ctx, wasmRef(a, "twice_plus_one", 0, types.Float8, types.Float8))
		if err != nil {
			t.Fatal(detail(err))
		}
		for range 3 {
			v, err := s.Call(ctx, []*vector.Vector{floats(large...)}, len(large))
			if err != nil {
				t.Fatal(detail(err))
			}
			for i := range large {
				if vector.At[float64](v, i) != large[i]*2+1 {
					t.Fatalf("row %d is %v", i, vector.At[float64](v, i))
				}
			}
		}
		s.Close()
		long := strings.Repeat("long ", 1<<18)
		v, err := call(ctx, h, wasmRef(a, "same", 0, types.Text, types.Text), nulls(texts("a", "", "c", long), 2))
		if err != nil || show(v) != fmt.Sprintf(`"a" "" NULL %q`, long) {
			t.Errorf("same: %s", detail(err))
		}
		for symbol, want := range map[string]string{
			"traps":   "38000 function traps: the module trapped: unreachable",
			"refuses": "22003 function refuses: too tiny | ",
			"lies":    "38000 function lies: the module trapped: the module returned 96 bytes at 1073741824",
		} {
			_, err := call(ctx, h, wasmRef(a, symbol, 0, types.Int8, types.Int8), ints(1))
			if !strings.Contains(detail(err), want) {
				t.Errorf("%s: %s, want %s", symbol, detail(err), want)
			}
		}
		ref := wasmRef(a, "loops", 0, types.Int8, types.Int8)
		ref.TimeoutMs = 300
		if _, err := call(ctx, h, ref, ints(1)); !strings.Contains(detail(err), "did not finish") {
			t.Errorf("loops: %s", detail(err))
		}
		if v, err := call(ctx, h, wasmRef(a, "same", 0, types.Text, types.Text), texts("x")); err != nil || show(v) != `"x"` {
			t.Errorf("after the loop: %s", detail(err))
		}
	}
}

// BenchmarkWasm compares with a plain loop.
func BenchmarkWasm(b *testing.B) {
	const rows = 65536
	x := make([]float64, rows)
	for i := range x {
		x[i] = float64(i%1000) / 7
	}
	b.Run("x*2+1/plain", func(b *testing.B) {
		for range b.N {
			out := make([]float64, rows)
			for i, v := range x {
				out[i] = v*2 + 1
			}
			x[0] = out[1]
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/row")
	})
	a := wasmArtifact(b, "testdata/sandbox", false)
	p := wasmArtifact(b, "testdata/plugin", false)
	h := testHost(b, nil)
	run := func(name string, ref *proto.UDF, args ...*vector.Vector) {
		b.Run(name, func(b *testing.B) {
			ctx := context.Background()
			s, err := h.Scalar(ctx, ref)
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			for range b.N {
				if _, err := s.Call(ctx, args, rows); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/row")
		})
	}
	run("x*2+1/vector", wasmRef(a, "twice_plus_one", 0, types.Float8, types.Float8), floats(x...))
	run("x*2+1/row", wasmRef(a, "twice_plus_one_row", 0, types.Float8, types.Float8), floats(x...))
	ids := make([]types.ID, 11)
	cols := make([]*vector.Vector, 11)
	raw := make([][]float64, 11)
	for i := range ids {
		ids[i], cols[i], raw[i] = types.Float8, floats(x...), x
	}
	b.Run("score/plain", func(b *testing.B) {
		for range b.N {
			plainScore(raw, make([]float64, rows))
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/row")
	})
	run("score/vector", wasmRef(p, "score_row", 0, types.Float8, ids...), cols...)
}
