package function

import (
	"slices"

	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// intSumAgg is sum(int2), sum(int4) and their avg: sums of 64 bits with counts.
type intSumAgg[T int16 | int32] struct {
	noClose
	avg bool
	sum []int64
	n   []int64
}

func (a *intSumAgg[T]) Grow(n int)  { a.sum, a.n = grown(a.sum, n), grown(a.n, n) }
func (a *intSumAgg[T]) Size() int64 { return sliceSize(a.sum, 8) + sliceSize(a.n, 8) }

func (a *intSumAgg[T]) Update(groups []int32, args []*vector.Vector, n int) error {
	if n == 0 {
		return nil
	}
	v := args[0].Flatten()
	x, valid := vector.Values[T](v)[:n], v.Valid
	var bad int64
	switch {
	case groups == nil:
		// A batch of narrow integers cannot overflow 64 bits by itself.
		var s int64
		if valid == nil {
			for _, y := range x {
				s += int64(y)
			}
		} else {
			for i, y := range x {
				s += int64(y) & -int64(valid[i>>3]>>(i&7)&1)
			}
		}
		r := a.sum[0] + s
		bad = (a.sum[0] ^ r) & (s ^ r)
		a.sum[0] = r
		a.n[0] += int64(vector.CountValid(valid, n))
	case valid == nil:
		sum, counts := a.sum, a.n[:len(a.sum)]
		groups = groups[:len(x)]
		for i, y := range x {
			g := groups[i]
			s := sum[g]
			r := s + int64(y)
			bad |= (s ^ r) & (int64(y) ^ r)
			sum[g] = r
			counts[g]++
		}
	default:
		for i, y := range x {
			if valid[i>>3]&(1<<(i&7)) == 0 {
				continue
			}
			g := groups[i]
			r := a.sum[g] + int64(y)
			bad |= (a.sum[g] ^ r) & (int64(y) ^ r)
			a.sum[g] = r
			a.n[g]++
		}
	}
	if bad < 0 {
		return errRange(types.T(types.Int8))
	}
	return nil
}

func (a *intSumAgg[T]) Merge(groups []int32, states []*vector.Vector, n int) error {
	s, c := vector.Values[int64](states[0].Flatten()), vector.Values[int64](states[1].Flatten())
	for i := range n {
		g := group(groups, i)
		r := a.sum[g] + s[i]
		if (a.sum[g]^r)&(s[i]^r) < 0 {
			return errRange(types.T(types.Int8))
		}
		a.sum[g] = r
		a.n[g] += c[i]
	}
	return nil
}

func (a *intSumAgg[T]) State(from, to int) ([]*vector.Vector, error) {
	s, c := vector.New(types.T(types.Int8), to-from), vector.New(types.T(types.Int8), to-from)
	copy(vector.Values[int64](s), a.sum[from:to])
	copy(vector.Values[int64](c), a.n[from:to])
	return []*vector.Vector{s, c}, nil
}

func (a *intSumAgg[T]) Final(from, to int) (*vector.Vector, error) {
	var out *vector.Vector
	if a.avg {
		out = vector.New(types.T(types.Numeric), to-from)
		for i, d := 0, vector.Values[types.Decimal](out); i < len(d); i++ {
			if n := a.n[from+i]; n > 0 {
				q, err := types.DecimalFromInt64(a.sum[from+i]).Div(types.DecimalFromInt64(n))
				if err != nil {
					return nil, err
				}
				d[i] = q
			}
		}
	} else {
		out = vector.New(types.T(types.Int8), to-from)
		copy(vector.Values[int64](out), a.sum[from:to])
	}
	return uncountedNull(out, a.n, from), nil
}

func uncountedNull(out *vector.Vector, n []int64, from int) *vector.Vector {
	for i := range out.Len {
		if n[from+i] == 0 {
			if out.Valid == nil {
				out.Valid = vector.NewValid(out.Len)
			}
			vector.SetNull(out.Valid, i)
		}
	}
	return out
}

// foldFloatSum adds in input order. An infinite sum of finite values is 22003.
func foldFloatSum[T float](a *reduceAgg[T], groups []int32, x []T, valid []byte) error {
	if groups == nil && valid == nil {
		was, s := a.vals[0], a.vals[0]
		for _, v := range x {
			s += v
		}
		a.vals[0], a.seen[0] = s, true
		if isInf(s) && !isInf(was) {
			for _, v := range x {
				if isInf(v) {
					return nil
				}
			}
			return errOverflow()
		}
		return nil
	}
	for i, v := range x {
		if valid != nil && valid[i>>3]&(1<<(i&7)) == 0 {
			continue
		}
		g := group(groups, i)
		r := a.vals[g] + v
		if !finite(r) && isInf(r) && !isInf(v) && !isInf(a.vals[g]) {
			return errOverflow()
		}
		a.vals[g], a.seen[g] = r, true
	}
	return nil
}

// floatAvgAgg is avg of float4 and float8.
type floatAvgAgg[T float] struct {
	noClose
	sum []float64
	n   []int64
}

func (a *floatAvgAgg[T]) Grow(n int)  { a.sum, a.n = grown(a.sum, n), grown(a.n, n) }
func (a *floatAvgAgg[T]) Size() int64 { return sliceSize(a.sum, 8) + sliceSize(a.n, 8) }

func (a *floatAvgAgg[T]) Update(groups []int32, args []*vector.Vector, n int) error {
	if n == 0 {
		return nil
	}
	v := args[0].Flatten()
	x, valid := vector.Values[T](v)[:n], v.Valid
	if groups == nil && valid == nil {
		was := a.sum[0]
		s := was
		for _, y := range x {
			s += float64(y)
		}
		if overflows(s, was, 0) && !slices.ContainsFunc(x, isInf[T]) {
			return errOverflow()
		}
		a.sum[0] = s
		a.n[0] += int64(n)
		return nil
	}
	sum, counts := a.sum, a.n[:len(a.sum)]
	if valid == nil {
		groups = groups[:len(x)]
		for i, y := range x {
			g := groups[i]
			r := sum[g] + float64(y)
			if r-r != 0 && overflows(r, sum[g], float64(y)) { // r-r: 0 of all but infinities and NaN
				return errOverflow()
			}
			sum[g] = r
			counts[g]++
		}
		return nil
	}
	for i, y := range x {
		if valid[i>>3]&(1<<(i&7)) == 0 {
			continue
		}
		g := group(groups, i)
		r := sum[g] + float64(y)
		if r-r != 0 && overflows(r, sum[g], float64(y)) {
			return errOverflow()
		}
		sum[g] = r
		counts[g]++
	}
	return nil
}

func (a *floatAvgAgg[T]) Merge(groups []int32, states []*vector.Vector, n int) error {
	s, c := vector.Values[float64](states[0].Flatten()), vector.Values[int64](states[1].Flatten())
	for i := range n {
		g := group(groups, i)
		r := a.sum[g] + s[i]
		if overflows(r, a.sum[g], s[i]) {
			return errOverflow()
		}
		a.sum[g] = r
		a.n[g] += c[i]
	}
	return nil
}

func (a *floatAvgAgg[T]) State(from, to int) ([]*vector.Vector, error) {
	s, c := vector.New(types.T(types.Float8), to-from), vector.New(types.T(types.Int8), to-from)
	copy(vector.Values[float64](s), a.sum[from:to])
	copy(vector.Values[int64](c), a.n[from:to])
	return []*vector.Vector{s, c}, nil
}

func (a *floatAvgAgg[T]) Final(from, to int) (*vector.Vector, error) {
	out := vector.New(types.T(types.Float8), to-from)
	for i, dst := 0, vector.Values[float64](out); i < len(dst); i++ {
		dst[i] = a.sum[from+i] / float64(max(a.n[from+i], 1))
	}
	return uncountedNull(out, a.n, from), nil
}

// intervalAvgAgg is avg(interval).
type intervalAvgAgg struct {
	noClose
	sum []types.IntervalValue
	n   []int64
}

func (a *intervalAvgAgg) Grow(n int)  { a.sum, a.n = grown(a.sum, n), grown(a.n, n) }
func (a *intervalAvgAgg) Size() int64 { return sliceSize(a.sum, 16) + sliceSize(a.n, 8) }

func (a *intervalAvgAgg) add(g int32, x types.IntervalValue, n int64) error {
	s, err := a.sum[g].Add(x)
	if err != nil {
		return err
	}
	a.sum[g] = s
	a.n[g] += n
	return nil
}

func (a *intervalAvgAgg) Update(groups []int32, args []*vector.Vector, n int) error {
	for i := range n {
		if args[0].IsNull(i) {
			continue
		}
		if err := a.add(group(groups, i), vector.At[types.IntervalValue](args[0], i), 1); err != nil {
			return err
		}
	}
	return nil
}

func (a *intervalAvgAgg) Merge(groups []int32, states []*vector.Vector, n int) error {
	for i := range n {
		if err := a.add(group(groups, i), vector.At[types.IntervalValue](states[0], i), vector.At[int64](states[1], i)); err != nil {
			return err
		}
	}
	return nil
}

func (a *intervalAvgAgg) State(from, to int) ([]*vector.Vector, error) {
	s, c := vector.New(types.T(types.Interval), to-from), vector.New(types.T(types.Int8), to-from)
	copy(vector.Values[types.IntervalValue](s), a.sum[from:to])
	copy(vector.Values[int64](c), a.n[from:to])
	return []*vector.Vector{s, c}, nil
}

func (a *intervalAvgAgg) Final(from, to int) (*vector.Vector, error) {
	out := vector.New(types.T(types.Interval), to-from)
	for i, dst := 0, vector.Values[types.IntervalValue](out); i < len(dst); i++ {
		if n := a.n[from+i]; n > 0 {
			x, err := a.sum[from+i].Div(float64(n))
			if err != nil {
				return nil, err
			}
			dst[i] = x
		}
	}
	return uncountedNull(out, a.n, from), nil
}

func registerSums(r *registry) {
	twoInts := states(types.Int8, types.Int8)
	r.aggregate("sum(int2) int8", func([]types.Type) Aggregator { return &intSumAgg[int16]{} }, twoInts)
	r.aggregate("sum(int4) int8", func([]types.Type) Aggregator { return &intSumAgg[int32]{} }, twoInts)
	r.aggregate("avg(int2) numeric", func([]types.Type) Aggregator { return &intSumAgg[int16]{avg: true} }, twoInts)
	r.aggregate("avg(int4) numeric", func([]types.Type) Aggregator { return &intSumAgg[int32]{avg: true} }, twoInts)
	for _, t := range []string{"int8", "numeric"} {
		ints := t == "int8"
		r.aggregate("sum("+t+") numeric", func([]types.Type) Aggregator { return &exactSumAgg{ints: ints} }, states(types.Numeric, types.Bytea))
		r.aggregate("avg("+t+") numeric", func([]types.Type) Aggregator { return &exactSumAgg{ints: ints, avg: true} }, states(types.Numeric, types.Int8, types.Bytea))
	}
	registerReduce(r, "sum", "float4", foldFloatSum[float32])
	registerReduce(r, "sum", "float8", foldFloatSum[float64])
	registerReduce(r, "sum", "interval", foldBy(types.IntervalValue.Add))
	r.aggregate("avg(float4) float8", func([]types.Type) Aggregator { return &floatAvgAgg[float32]{} }, states(types.Float8, types.Int8))
	r.aggregate("avg(float8) float8", func([]types.Type) Aggregator { return &floatAvgAgg[float64]{} }, states(types.Float8, types.Int8))
	r.aggregate("avg(interval) interval", func([]types.Type) Aggregator { return &intervalAvgAgg{} }, states(types.Interval, types.Int8))
}
