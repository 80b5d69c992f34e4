package physical

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/udf"
	"github.com/volleydb/volley/vector"
)

// doubles is a function that doubles, on a stream that wants window batches.
type doubles struct {
	window int
	queue  []*vector.Vector
	most   int
	calls  int
}

func (d *doubles) double(v *vector.Vector) (*vector.Vector, error) {
	out := vector.New(v.Type, v.Len)
	for i, x := range vector.Values[int64](v.Flatten()) {
		if x < 0 {
			return nil, errors.New("negative")
		}
		vector.Values[int64](out)[i] = 2 * x
	}
	return out, nil
}

func (d *doubles) Call(_ context.Context, args []*vector.Vector, _ int) (*vector.Vector, error) {
	if len(d.queue) > 0 {
		return nil, errors.New("Call before Collect")
	}
	d.calls++
	return d.double(args[0])
}

func (d *doubles) Submit(_ context.Context, args []*vector.Vector, _ int) error {
	d.queue = append(d.queue, args[0])
	d.most = max(d.most, len(d.queue))
	return nil
}

func (d *doubles) Collect(context.Context) (*vector.Vector, error) {
	v := d.queue[0]
	d.queue = d.queue[1:]
	return d.double(v)
}

func (d *doubles) Window() int  { return d.window }
func (d *doubles) Close() error { return nil }

type doublesHost struct{ d *doubles }

func (h doublesHost) Scalar(context.Context, *proto.UDF) (UDFScalar, error) { return h.d, nil }
func (h doublesHost) Aggregate(context.Context, *proto.UDF, []types.Type) (function.Aggregator, error) {
	return nil, errors.New("no aggregates")
}
func (h doublesHost) GroupedMap(context.Context, *proto.UDF, udf.GroupOptions) (GroupedMapStream, error) {
	return nil, errors.New("no groups")
}

// listed hands out batches, and an error behind them.
type listed struct {
	batches []*vector.Batch
	err     error
	read    int
}

func (l *listed) Next(context.Context) (*vector.Batch, error) {
	if l.read == len(l.batches) {
		return nil, l.err
	}
	l.read++
	return l.batches[l.read-1], nil
}

func (l *listed) Close() error { return nil }

// Batches are read ahead as far as the function wants, step by step and within bounds
// of memory; results are those of their batches, errors come in their turn, and what
// is not submitted is evaluated before what comes after it.
func TestAheadWindow(t *testing.T) {
	int8s := types.T(types.Int8)
	number := func(k int64) *vector.Vector { return vector.FromSlice(int8s, []int64{k, k + 1, k + 2}) }
	batch := func(v *vector.Vector) *vector.Batch { return vector.NewBatch([]*vector.Vector{v}, v.Len) }
	wide := func(k int64) *vector.Batch {
		return vector.NewBatch([]*vector.Vector{number(k), vector.FromStrings(types.T(types.Text), []string{strings.Repeat("x", 9<<20), "", ""})}, 3)
	}
	dict := func() *vector.Batch {
		return batch(vector.FromDict(int8s, []int32{0, 0, 0, 0}, vector.FromSlice(int8s, []int64{7})))
	}
	var many, mixed, fat []*vector.Batch
	for k := range int64(20) {
		many = append(many, batch(number(10*k)))
		fat = append(fat, wide(10*k))
		if k%3 == 2 {
			mixed = append(mixed, dict())
		}
		mixed = append(mixed, batch(number(10*k)))
	}
	for _, c := range []struct {
		name         string
		in           []*vector.Batch
		err          error
		window, most int // batches submitted at once
		calls        int
		firstRead    int // batches that were read when the first is handed out
	}{
		{"one", many, nil, 1, 2, 0, 2},
		{"four", many, nil, 4, 5, 0, 2},
		{"the input fails", many[:7], errors.New("disk"), 8, 5, 0, 2},
		{"wide rows", fat, nil, 8, 3, 0, 2},
		{"dictionaries between", mixed, nil, 8, 3, 6, 2},
	} {
		d := &doubles{window: c.window}
		env := &Env{UDF: doublesHost{d}, Functions: &function.Ctx{}}
		x, err := newUDFCall(env, call{args: []evaluator{&column{0, int8s}}, typ: int8s, strict: true, volatility: function.Immutable}, &proto.UDF{Display: "double"})
		if err != nil {
			t.Fatal(err)
		}
		in := &listed{batches: c.in, err: c.err}
		a := &ahead{in: in, calls: []*udfCall{x}}
		fc := *env.ctx()
		fc.Context = context.Background()
		for i, want := range c.in {
			b, err := a.Next(fc.Context)
			if err != nil || b != want {
				t.Fatalf("%s: batch %d: %v", c.name, i, err)
			}
			if i == 0 && in.read != c.firstRead {
				t.Errorf("%s: %d batches read for the first", c.name, in.read)
			}
			v, err := x.eval(&fc, b)
			if err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			got, args := vector.Values[int64](v.Flatten()), vector.Values[int64](want.Col(0).Flatten())
			for k := range args {
				if got[k] != 2*args[k] {
					t.Fatalf("%s: batch %d: %v of %v", c.name, i, got, args)
				}
			}
		}
		for range 2 {
			if b, err := a.Next(fc.Context); b != nil || err != c.err {
				t.Errorf("%s: at the end: %v", c.name, err)
			}
		}
		if d.most != c.most || d.calls != c.calls {
			t.Errorf("%s: %d batches submitted at once, %d evaluated alone; want %d, %d", c.name, d.most, d.calls, c.most, c.calls)
		}
	}

	// The error of a batch comes with that batch.
	d := &doubles{window: 8}
	env := &Env{UDF: doublesHost{d}, Functions: &function.Ctx{}}
	x, err := newUDFCall(env, call{args: []evaluator{&column{0, int8s}}, typ: int8s, strict: true, volatility: function.Immutable}, &proto.UDF{Display: "double"})
	if err != nil {
		t.Fatal(err)
	}
	a := &ahead{in: &listed{batches: append(append([]*vector.Batch{}, many[:6]...), batch(number(-5)))}, calls: []*udfCall{x}}
	fc := *env.ctx()
	fc.Context = context.Background()
	for i := range 7 {
		b, err := a.Next(fc.Context)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := x.eval(&fc, b); (err != nil) != (i == 6) {
			t.Errorf("batch %d: %v", i, err)
		}
	}
}
