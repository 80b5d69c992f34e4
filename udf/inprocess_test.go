package udf

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	sdk "github.com/volleydb/volley/udf/sdk"
	"github.com/volleydb/volley/vector"
)

// linkedHost is a host with functions of this program.
func linkedHost(t testing.TB, decls ...sdk.Decl) (*Host, func(symbol string, returns types.ID, args ...types.ID) *proto.UDF) {
	t.Helper()
	store, err := OpenStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	h, err := NewHost(HostConfig{Store: store, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	digest, _, err := h.Link(context.Background(), append(decls, sdk.Name("linked"))...)
	if err != nil {
		t.Fatal(err)
	}
	return h, func(symbol string, returns types.ID, args ...types.ID) *proto.UDF {
		r := scalarRef(symbol, returns, args...)
		r.Digest = digest
		return r
	}
}

func twice(x, out []float64) {
	for i := range out {
		out[i] = x[i]*2 + 1
	}
}

func TestInProcessScalar(t *testing.T) {
	h, ref := linkedHost(t,
		sdk.Vector("twice", twice, sdk.Immutable),
		sdk.Scalar("upper", strings.ToUpper),
		sdk.Scalar1("or_zero", func(x sdk.Null[int64]) int64 { return x.Or(0) }))
	ctx := testContext(t)
	for _, c := range []struct {
		ref  *proto.UDF
		arg  *vector.Vector
		want string
	}{
		{ref("twice", types.Float8, types.Float8), floats(1, 2, -3), "3 5 -5"},
		{ref("twice", types.Float8, types.Float8), vector.Slice(floats(9, 1, 2, 9), 1, 3), "3 5"},
		{ref("twice", types.Float8, types.Float8), vector.NewConst(floats(4), 3), "9 9 9"},
		{ref("twice", types.Float8, types.Float8), nulls(floats(1, 2, 3), 1), "3 NULL 7"},
		{ref("twice", types.Float8, types.Float8), floats(), ""},
		{ref("or_zero", types.Int8, types.Int8), nulls(ints(1, 2, 3), 0, 2), "0 2 0"},
		{ref("upper", types.Text, types.Text), vector.Slice(texts("no", "añb", "", "c"), 1, 4), `"AÑB" "" "C"`},
		{ref("upper", types.Text, types.Text), vector.FromDict(types.T(types.Text), []int32{1, 0, 1}, texts("x", "y")), `"Y" "X" "Y"`},
	} {
		s, err := h.Scalar(ctx, c.ref)
		if err != nil {
			t.Fatal(detail(err))
		}
		for range 2 {
			v, err := s.Call(ctx, []*vector.Vector{c.arg}, c.arg.Len)
			if err != nil {
				t.Fatal(detail(err))
			}
			if got := show(v); got != c.want {
				t.Errorf("%s: %s, want %s", c.ref.Symbol, got, c.want)
			}
		}
		if f := s.Figures(); f.Errors != 0 || c.arg.Len > 0 && f.Rows == 0 {
			t.Errorf("figures %+v", f)
		}
		s.Close()
	}
	if len(h.Children()) != 0 {
		t.Error("a function of this program has started a process")
	}
}

// What user code keeps of strings stays what it was, and arguments are handed on
// without a copy.
func TestInProcessHandsBuffers(t *testing.T) {
	var kept []string
	var at *float64
	h, ref := linkedHost(t,
		sdk.Vector("keep", func(s []string, out []bool) { kept = append(kept, s...) }),
		sdk.Vector("place", func(x, out []float64) { at = &x[0] }))
	ctx := testContext(t)
	s, err := h.Scalar(ctx, ref("keep", types.Bool, types.Text))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []string{"one", "two"} {
		if _, err := s.Call(ctx, []*vector.Vector{texts(w)}, 1); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	if strings.Join(kept, " ") != "one two" {
		t.Errorf("kept %q", kept)
	}
	if s, err = h.Scalar(ctx, ref("place", types.Float8, types.Float8)); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	x := floats(1, 2, 3)
	if _, err := s.Call(ctx, []*vector.Vector{x}, 3); err != nil {
		t.Fatal(err)
	}
	if at != &vector.Values[float64](x)[0] {
		t.Error("the argument was copied")
	}
}

func failing() []sdk.Decl {
	return []sdk.Decl{
		sdk.Scalar("boom", func(x int64) int64 {
			if x == 13 {
				panic("thirteen")
			}
			return x
		}, sdk.Args("x")),
		sdk.Vector("vboom", func(x, out []int64) {
			for i := range out {
				if out[i] = x[i]; x[i] == 13 {
					panic("thirteen")
				}
			}
		}, sdk.Args("x")),
		sdk.Scalar("refuse", func(x int64) (int64, error) {
			if x == 13 {
				return 0, sdk.Errorf("22003", "not thirteen")
			}
			return x, nil
		}, sdk.Args("x")),
		sdk.Scalar("garbage", func(x int64) string {
			if x == 13 {
				return "\xff"
			}
			return "ok"
		}, sdk.Args("x")),
	}
}

func TestInProcessErrors(t *testing.T) {
	h, ref := linkedHost(t, failing()...)
	ctx := testContext(t)
	vals := make([]int64, 5000)
	for i := range vals {
		vals[i] = int64(i) + 1000
	}
	vals[4321] = 13
	arg := nulls(ints(vals...), 7)
	for _, c := range []struct {
		symbol, code string
		returns      types.ID
		words        []string
	}{
		{"boom", "38000", types.Int8, []string{"thirteen", "inprocess_test.go"}},
		{"vboom", "38000", types.Int8, []string{"thirteen", "inprocess_test.go"}},
		{"refuse", "22003", types.Int8, []string{"not thirteen"}},
		{"garbage", "39000", types.Text, []string{"not valid UTF-8"}},
	} {
		for _, on := range []OnError{OnErrorFail, OnErrorNull} {
			s, err := h.Scalar(ctx, ref(c.symbol, c.returns, types.Int8))
			if err != nil {
				t.Fatal(detail(err))
			}
			s.SetOnError(on)
			v, err := s.Call(ctx, []*vector.Vector{arg}, arg.Len)
			if on == OnErrorNull {
				f := s.TakeFailures()
				if err != nil || !v.IsNull(4321) || v.NullCount() != 2 || len(f) != 1 || f[0].Row != 4321 || f[0].Args != "x = 13" || f[0].Err.Code != c.code {
					t.Errorf("%s: %v, failures %+v", c.symbol, err, f)
				}
				s.Close()
				continue
			}
			for _, w := range append(c.words, "row 4322", "x = 13", "function "+c.symbol) {
				if err == nil || pgerr.Code(err) != c.code || !strings.Contains(detail(err), w) {
					t.Errorf("%s: %s, lacks %q", c.symbol, detail(err), w)
				}
			}
			// The stream goes on after an error.
			if v, err := s.Call(ctx, []*vector.Vector{ints(1)}, 1); err != nil || v.Len != 1 {
				t.Errorf("%s after an error: %v", c.symbol, err)
			}
			s.Close()
		}
	}
	if _, err := h.Scalar(ctx, ref("boom", types.Int8, types.Int4)); pgerr.Code(err) != "39000" {
		t.Errorf("other types: %v", err)
	}
	if _, err := h.Scalar(ctx, ref("nobody", types.Int8, types.Int4)); pgerr.Code(err) != pgerr.UndefinedFunction {
		t.Errorf("an unknown function: %v", err)
	}
}

func TestInProcessHangs(t *testing.T) {
	var stop atomic.Bool
	defer stop.Store(true)
	h, ref := linkedHost(t, sdk.Scalar("hangs", func(x int64) int64 {
		for x == 13 && !stop.Load() {
			time.Sleep(time.Millisecond)
		}
		return x
	}), sdk.Scalar("slow", func(x int64) int64 { time.Sleep(time.Millisecond); return x }))
	ctx := testContext(t)
	r := ref("hangs", types.Int8, types.Int8)
	r.TimeoutMs = 50
	s, err := h.Scalar(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, err = s.Call(ctx, []*vector.Vector{ints(1, 13)}, 2)
	if pgerr.Code(err) != pgerr.QueryCanceled || !strings.Contains(err.Error(), "did not finish within 50ms") {
		t.Errorf("timeout: %s", detail(err))
	}
	if v, err := s.Call(ctx, []*vector.Vector{ints(1)}, 1); err != nil || show(v) != "1" {
		t.Errorf("after a timeout: %v", err)
	}
	// A cancelled statement does not wait for it either; slow is not stuck.
	c, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	begin := time.Now()
	if _, err = s.Call(c, []*vector.Vector{ints(13)}, 1); err == nil || time.Since(begin) > 2*time.Second {
		t.Errorf("cancel: %v after %s", err, time.Since(begin))
	}
	r = ref("slow", types.Int8, types.Int8)
	r.TimeoutMs = 400
	slow, err := h.Scalar(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	if _, err := slow.Call(ctx, []*vector.Vector{ints(make([]int64, 600)...)}, 600); err != nil {
		t.Errorf("a slow function: %s", detail(err))
	}
}

func TestInProcessInit(t *testing.T) {
	inits, ok := 0, false
	h, ref := linkedHost(t,
		sdk.Init(func(context.Context) error {
			if inits++; !ok {
				return errors.New("no model")
			}
			return nil
		}),
		sdk.Scalar("id", func(x int64) int64 { return x }))
	ctx := testContext(t)
	if _, err := h.Scalar(ctx, ref("id", types.Int8, types.Int8)); pgerr.Code(err) != "38000" || !strings.Contains(err.Error(), "no model") {
		t.Errorf("init: %s", detail(err))
	}
	if inits != 1 {
		t.Errorf("Init ran %d times", inits)
	}
}

// Another host has the artifact, not the functions.
func TestInProcessElsewhere(t *testing.T) {
	h, ref := linkedHost(t, failing()...)
	other, err := NewHost(HostConfig{Store: h.cfg.Store, Logger: h.log, TempDir: t.TempDir(), Worker: "w1"})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	ctx := testContext(t)
	_, err = other.Scalar(ctx, ref("boom", types.Int8, types.Int8))
	for _, w := range []string{"part of the program", "Worker w1", "volley udf build"} {
		if pgerr.Code(err) != pgerr.FeatureNotSupported || !strings.Contains(detail(err), w) {
			t.Errorf("%s: lacks %q", detail(err), w)
		}
	}
	d1, _, _ := h.Link(ctx, sdk.Scalar("a", math.Sqrt))
	d2, _, _ := h.Link(ctx, sdk.Scalar("a", math.Sqrt))
	d3, _, _ := h.Link(ctx, sdk.Scalar("a", math.Sqrt), sdk.Version("2"))
	if d1 != d2 || d1 == d3 {
		t.Errorf("digests %s %s %s", d1, d2, d3)
	}
	if b := programBuild(); len(b) < 20 {
		t.Errorf("build %q", b)
	}
	_, _, err = h.Link(ctx, sdk.Scalar("a", math.Sqrt), sdk.Scalar("a", math.Sqrt))
	if pgerr.Code(err) != pgerr.InvalidFunctionDefinition || !strings.Contains(err.Error(), "declared twice") {
		t.Errorf("declared twice: %v", err)
	}
}

// The other kinds go through a pipe in memory.
func TestInProcessGrouped(t *testing.T) {
	h, ref := linkedHost(t, sdk.GroupedMap("sums", sdk.Columns{sdk.Col("x", sdk.Int64)}, sdk.Columns{sdk.Col("sum", sdk.Int64)},
		func(ctx *sdk.Context, g *sdk.Group) error {
			sum := int64(0)
			for g.Next() {
				for i, x := range g.Int64("x") {
					if g.Row(i); x == 13 {
						panic("thirteen")
					}
					sum += x
				}
			}
			g.Emit(sum)
			return nil
		}))
	ctx := testContext(t)
	r := ref("sums", types.Int8, types.Int8)
	r.Kind = uint32(function.GroupedMap)
	r.Columns = []*proto.Field{{Name: "sum", Type: typeToProto(types.T(types.Int8))}}
	run := func(n int, bad bool) (int64, error) {
		s, err := h.GroupedMap(ctx, r, GroupOptions{})
		if err != nil {
			return 0, err
		}
		defer s.Close()
		vals := make([]int64, n)
		for i := range vals {
			vals[i] = 2
		}
		if bad {
			vals[n/2] = 13
		}
		done := make(chan error, 1)
		go func() {
			for range 20 {
				if err := s.Send(ctx, []*vector.Vector{ints(vals...)}, n, nil); err != nil {
					done <- err
					return
				}
			}
			if err := s.Send(ctx, []*vector.Vector{ints()}, 0, []int32{0}); err != nil {
				done <- err
				return
			}
			done <- s.CloseSend()
		}()
		sum := int64(0)
		for {
			o, err := s.Recv(ctx)
			if errors.Is(err, io.EOF) {
				return sum, <-done
			}
			if err != nil {
				s.Close()
				<-done
				return 0, err
			}
			for _, x := range vector.Values[int64](o.Cols[0]) {
				sum += x
			}
		}
	}
	if sum, err := run(50_000, false); err != nil || sum != 2_000_000 {
		t.Errorf("sum %d, %v", sum, err)
	}
	_, err := run(1000, true)
	if pgerr.Code(err) != "38000" || !strings.Contains(detail(err), "x = 13") {
		t.Errorf("panic: %s", detail(err))
	}
}

// BenchmarkInProcess is x*2+1 over batches of 64k rows: as a plain loop that
// allocates its output, as a vectorised function and as a function of one row.
func BenchmarkInProcess(b *testing.B) {
	const rows, batches = 64 << 10, 16
	vecs := make([]*vector.Vector, batches)
	for k := range vecs {
		col := make([]float64, rows)
		for i := range col {
			col[i] = float64(i + k)
		}
		vecs[k] = floats(col...)
	}
	perRow := func(b *testing.B) { b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/row") }
	b.Run("plain", func(b *testing.B) {
		for i := range b.N {
			twice(vector.Values[float64](vecs[i%batches]), make([]float64, rows))
		}
		perRow(b)
	})
	row := func(x float64) float64 { return x*2 + 1 }
	b.Run("plain calls", func(b *testing.B) {
		f := []func(float64) float64{row, math.Sqrt}[b.N/(b.N+1)]
		for i := range b.N {
			out := make([]float64, rows)
			for j, x := range vector.Values[float64](vecs[i%batches]) {
				out[j] = f(x)
			}
		}
		perRow(b)
	})
	h, ref := linkedHost(b, sdk.Vector("vector", twice), sdk.Scalar("scalar", row))
	ctx := context.Background()
	// Taken in turns, since a machine that is shared is not the same machine a second
	// later: the ratio of the medians.
	b.Run("ratio", func(b *testing.B) {
		s, err := h.Scalar(ctx, ref("vector", types.Float8, types.Float8))
		if err != nil {
			b.Fatal(err)
		}
		defer s.Close()
		var times [2][]float64
		for i := range b.N {
			v := vecs[i%batches]
			begin := time.Now()
			twice(vector.Values[float64](v), make([]float64, rows))
			middle := time.Now()
			if _, err := s.Call(ctx, []*vector.Vector{v}, rows); err != nil {
				b.Fatal(err)
			}
			times[0] = append(times[0], float64(middle.Sub(begin)))
			times[1] = append(times[1], float64(time.Since(middle)))
		}
		slices.Sort(times[0])
		slices.Sort(times[1])
		b.ReportMetric(times[1][b.N/2]/times[0][b.N/2], "ratio")
		b.ReportMetric(times[1][b.N/2]/rows, "ns/row")
		b.ReportMetric(0, "ns/op")
	})
	for _, symbol := range []string{"vector", "scalar"} {
		b.Run(symbol, func(b *testing.B) {
			s, err := h.Scalar(ctx, ref(symbol, types.Float8, types.Float8))
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			for i := range b.N {
				if _, err := s.Call(ctx, []*vector.Vector{vecs[i%batches]}, rows); err != nil {
					b.Fatal(err)
				}
			}
			perRow(b)
		})
	}
}
