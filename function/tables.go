package function

import (
	"context"
	"math"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// noRows is the generator of a call with a NULL argument.
type noRows struct{}

func (noRows) Next(context.Context) (*vector.Batch, error) { return nil, nil }

func anyNull(args []*vector.Vector) bool {
	for _, a := range args {
		if a.IsNull(0) {
			return true
		}
	}
	return false
}

func errZeroStep() error {
	return pgerr.New(pgerr.InvalidParameterValue, "step size cannot equal zero")
}

// intSeries counts from next in steps; left rows are to come.
type intSeries[T int32 | int64] struct {
	t          types.ID
	next, step T
	left       uint64
}

func newIntSeries[T int32 | int64](t types.ID) func(*Ctx, []*vector.Vector) (Generator, error) {
	return func(_ *Ctx, args []*vector.Vector) (Generator, error) {
		if anyNull(args) {
			return noRows{}, nil
		}
		start, stop, step := vector.At[T](args[0], 0), vector.At[T](args[1], 0), T(1)
		if len(args) > 2 {
			step = vector.At[T](args[2], 0)
		}
		if step == 0 {
			return nil, errZeroStep()
		}
		g := &intSeries[T]{t: t, next: start, step: step}
		// Differences are taken modulo 2^64, where they cannot overflow. The
		// whole range of int8 in steps of 1 is the one count that does not fit;
		// it loses a row that nobody will live to see.
		if step > 0 && start <= stop {
			g.left = (uint64(stop)-uint64(start))/uint64(step) + 1
		} else if step < 0 && start >= stop {
			g.left = (uint64(start)-uint64(stop))/magnitude(int64(step)) + 1
		}
		return g, nil
	}
}

func (g *intSeries[T]) Next(ctx context.Context) (*vector.Batch, error) {
	if g.left == 0 {
		return nil, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	n := int(min(g.left, vector.DefaultRows))
	out := vector.New(types.T(g.t), n)
	dst := vector.Values[T](out)
	v, step := g.next, g.step
	for i := range dst {
		dst[i] = v
		v += step
	}
	g.next = v
	g.left -= uint64(n)
	return vector.NewBatch([]*vector.Vector{out}, n), nil
}

// Count is the number of rows to come, for the planner's and the scan's sizes.
func (g *intSeries[T]) Count() int64 { return int64(min(g.left, math.MaxInt64)) }

// steps generates values of any fixed type by adding a step until past the end.
type steps[T vector.Fixed] struct {
	t    types.ID
	cur  T
	past func(T) bool
	add  func(T) (T, error)
	done bool
}

func (g *steps[T]) Next(ctx context.Context) (*vector.Batch, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b := vector.NewBuilder(types.T(g.t), 64)
	for !g.done && b.Len() < vector.DefaultRows {
		if g.past(g.cur) {
			g.done = true
			break
		}
		vector.Append(b, g.cur)
		next, err := g.add(g.cur)
		if err != nil {
			return nil, err
		}
		g.cur = next
	}
	n := b.Len()
	if n == 0 {
		return nil, nil
	}
	return vector.NewBatch([]*vector.Vector{b.Build()}, n), nil
}

func numericSeries(_ *Ctx, args []*vector.Vector) (Generator, error) {
	if anyNull(args) {
		return noRows{}, nil
	}
	start, stop, step := vector.At[types.Decimal](args[0], 0), vector.At[types.Decimal](args[1], 0), types.DecimalFromInt64(1)
	if len(args) > 2 {
		step = vector.At[types.Decimal](args[2], 0)
	}
	for _, p := range []struct {
		name string
		d    types.Decimal
	}{{"start value", start}, {"stop value", stop}, {"step size", step}} {
		if p.d.NaN {
			return nil, pgerr.New(pgerr.InvalidParameterValue, "%s cannot be NaN", p.name)
		}
	}
	sign := step.Sign()
	if sign == 0 {
		return nil, errZeroStep()
	}
	return &steps[types.Decimal]{
		t: types.Numeric, cur: start,
		past: func(d types.Decimal) bool { return d.Cmp(stop)*sign > 0 },
		add:  func(d types.Decimal) (types.Decimal, error) { return addDecimal(d, step) },
	}, nil
}

func timeSeries(t types.ID) func(*Ctx, []*vector.Vector) (Generator, error) {
	return func(c *Ctx, args []*vector.Vector) (Generator, error) {
		if anyNull(args) {
			return noRows{}, nil
		}
		start, stop := vector.At[int64](args[0], 0), vector.At[int64](args[1], 0)
		step := vector.At[types.IntervalValue](args[2], 0)
		sign := step.Cmp(types.IntervalValue{})
		if sign == 0 {
			return nil, errZeroStep()
		}
		loc := c.location()
		add := func(ts int64) (int64, error) { return types.TimestampAdd(ts, step) }
		if t == types.Timestamptz {
			add = func(ts int64) (int64, error) { return types.TimestamptzAdd(ts, step, loc) }
		}
		past := func(ts int64) bool { return ts > stop }
		if sign < 0 {
			past = func(ts int64) bool { return ts < stop }
		}
		return &steps[int64]{t: t, cur: start, past: past, add: add}, nil
	}
}

// slices yields a vector in batches.
type sliced struct {
	v  *vector.Vector
	at int
}

func (g *sliced) Next(ctx context.Context) (*vector.Batch, error) {
	if g.at >= g.v.Len {
		return nil, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	to := min(g.at+vector.DefaultRows, g.v.Len)
	out := vector.Slice(g.v, g.at, to)
	g.at = to
	return vector.NewBatch([]*vector.Vector{out}, out.Len), nil
}

func unnest(_ *Ctx, args []*vector.Vector) (Generator, error) {
	if anyNull(args) {
		return noRows{}, nil
	}
	from, to := args[0].ListAt(0)
	return &sliced{v: vector.Slice(args[0].Child, from, to)}, nil
}

// generateSubscripts counts the subscripts of an array, backwards if argument 2 is true.
func generateSubscripts(_ *Ctx, args []*vector.Vector) (Generator, error) {
	if anyNull(args) || vector.At[int32](args[1], 0) != 1 {
		return noRows{}, nil
	}
	from, to := args[0].ListAt(0)
	g := &intSeries[int32]{t: types.Int4, next: int32(lowerBound(args[0].Type)), step: 1, left: uint64(to - from)}
	if len(args) > 2 && vector.At[bool](args[2], 0) {
		g.next, g.step = g.next+int32(to-from)-1, -1
	}
	return g, nil
}

// textRows makes a table function of strings, or of text arrays, from f, which
// fills a builder of the result's type.
func textRows(t types.Type, f func(b *vector.Builder, r *row) error) func(*Ctx, []*vector.Vector) (Generator, error) {
	return func(c *Ctx, args []*vector.Vector) (Generator, error) {
		if anyNull(args) {
			return noRows{}, nil
		}
		b := vector.NewBuilder(t, 16)
		if err := f(b, &row{c: c, args: args}); err != nil {
			return nil, err
		}
		return &sliced{v: b.Build()}, nil
	}
}

func regexMatches(b *vector.Builder, r *row) error {
	var k regexCache
	re, err := k.get(r.str(1), regexFlagsArg(r, 2), false)
	if err != nil {
		return err
	}
	limit := 1
	if k.f.global {
		limit = -1
	}
	for _, m := range re.FindAllStringSubmatchIndex(r.str(0), limit) {
		appendGroups(b, r.str(0), m)
	}
	return nil
}

func regexSplitRows(b *vector.Builder, r *row) error {
	var k regexCache
	re, err := k.get(r.str(1), regexFlagsArg(r, 2), false)
	if err == nil {
		splitRegex(re, r.str(0), b.AppendString)
	}
	return err
}

func registerTables(r *registry) {
	series := doc("non-persistent series generator")
	r.table("generate_series(int4,int4) int4", newIntSeries[int32](types.Int4), series)
	r.table("generate_series(int4,int4,int4) int4", newIntSeries[int32](types.Int4), series)
	r.table("generate_series(int8,int8) int8", newIntSeries[int64](types.Int8), series)
	r.table("generate_series(int8,int8,int8) int8", newIntSeries[int64](types.Int8), series)
	r.table("generate_series(numeric,numeric) numeric", numericSeries, series)
	r.table("generate_series(numeric,numeric,numeric) numeric", numericSeries, series)
	r.table("generate_series(timestamp,timestamp,interval) timestamp", timeSeries(types.Timestamp), series)
	r.table("generate_series(timestamptz,timestamptz,interval) timestamptz", timeSeries(types.Timestamptz), series, stable)
	r.table("unnest(anyarray) anyelement", unnest, doc("expand array to set of rows"))
	r.table("generate_subscripts(anyarray,int4) int4", generateSubscripts, doc("array subscripts generator"))
	r.table("generate_subscripts(anyarray,int4,bool) int4", generateSubscripts, doc("array subscripts generator"))
	matches := textRows(types.ArrayOf(types.Text), regexMatches)
	r.table("regexp_matches(text,text) text[]", matches)
	r.table("regexp_matches(text,text,text) text[]", matches)
	split := textRows(textType, regexSplitRows)
	r.table("regexp_split_to_table(text,text) text", split)
	r.table("regexp_split_to_table(text,text,text) text", split)
	r.table("string_to_table(text,text) text", textRows(textType, func(b *vector.Builder, r *row) error {
		splitText(r.str(0), r.str(1), false, b.AppendString)
		return nil
	}))
	r.table("string_to_table(text,text,text) text", textRows(textType, func(b *vector.Builder, r *row) error {
		null := r.str(2)
		splitText(r.str(0), r.str(1), false, func(s string) {
			if s == null {
				b.AppendNull()
			} else {
				b.AppendString(s)
			}
		})
		return nil
	}))
}

// batches yields batches made beforehand.
type batches struct{ b []*vector.Batch }

func (g *batches) Next(ctx context.Context) (*vector.Batch, error) {
	if len(g.b) == 0 {
		return nil, ctx.Err()
	}
	b := g.b[0]
	g.b = g.b[1:]
	return b, nil
}
