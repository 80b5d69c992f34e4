package function

import (
	"math"
	"unsafe"

	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// moments are the sums of Youngs and Cramer, as Postgres keeps them: they lose
// no precision where the mean is large beside the deviation.
type moments struct{ n, sx, sxx float64 }

// add reports false where finite values have left the range of floats.
func (m *moments) add(x float64) bool {
	was := m.sx
	m.n++
	m.sx += x
	if m.n > 1 {
		t := x*m.n - m.sx
		m.sxx += t * t / (m.n * (m.n - 1))
	} else if !finite(x) {
		m.sxx = math.NaN()
	}
	if isInf(m.sx) || isInf(m.sxx) {
		if !isInf(was) && !isInf(x) {
			return false
		}
		m.sxx = math.NaN()
	}
	return true
}

// overflows reports that a sum left the range of floats, unless a and b say why.
func overflows(sum, a, b float64) bool { return isInf(sum) && !isInf(a) && !isInf(b) }

func (m *moments) merge(o moments) bool {
	switch {
	case o.n == 0:
	case m.n == 0:
		*m = o
	default:
		n := m.n + o.n
		t := m.sx/m.n - o.sx/o.n
		m.sxx += o.sxx + m.n*o.n*t*t/n
		sx := m.sx + o.sx
		if isInf(m.sxx) || overflows(sx, m.sx, o.sx) {
			return false
		}
		m.n, m.sx = n, sx
	}
	return true
}

// variant says which of the four a variance aggregate is.
type variant struct{ sample, root bool }

// varianceAgg is variance and stddev of float4 and float8.
type varianceAgg[T float] struct {
	noClose
	variant
	m []moments
}

func (a *varianceAgg[T]) Grow(n int)  { a.m = grown(a.m, n) }
func (a *varianceAgg[T]) Size() int64 { return sliceSize(a.m, 24) }

func (a *varianceAgg[T]) Update(groups []int32, args []*vector.Vector, n int) error {
	if n == 0 {
		return nil
	}
	v := args[0].Flatten()
	vals := vector.Values[T](v)[:n]
	if groups != nil && v.Valid == nil {
		for i, g := range groups[:n] {
			if !a.m[g].add(float64(vals[i])) {
				return errOverflow()
			}
		}
		return nil
	}
	for i, x := range vals {
		if vector.IsValid(v.Valid, i) && !a.m[group(groups, i)].add(float64(x)) {
			return errOverflow()
		}
	}
	return nil
}

func (a *varianceAgg[T]) Merge(groups []int32, states []*vector.Vector, n int) error {
	for i := range n {
		if !a.m[group(groups, i)].merge(moments{floatAt(states[0], i), floatAt(states[1], i), floatAt(states[2], i)}) {
			return errOverflow()
		}
	}
	return nil
}

func floatAt(v *vector.Vector, i int) float64 { return vector.At[float64](v, i) }

func (a *varianceAgg[T]) State(from, to int) ([]*vector.Vector, error) {
	return floatColumns(to-from, func(i int, row []float64) {
		m := a.m[from+i]
		row[0], row[1], row[2] = m.n, m.sx, m.sxx
	}, 3), nil
}

// floatColumns fills width float8 columns row by row.
func floatColumns(n int, fill func(i int, row []float64), width int) []*vector.Vector {
	out := make([]*vector.Vector, width)
	cols := make([][]float64, width)
	for k := range out {
		out[k] = vector.New(types.T(types.Float8), n)
		cols[k] = vector.Values[float64](out[k])
	}
	row := make([]float64, width)
	for i := range n {
		fill(i, row)
		for k := range cols {
			cols[k][i] = row[k]
		}
	}
	return out
}

func (a *varianceAgg[T]) Final(from, to int) (*vector.Vector, error) {
	return floatResults(to-from, func(i int) (float64, bool) {
		m := a.m[from+i]
		d := m.n
		if a.sample {
			d--
		}
		if d <= 0 {
			return 0, false
		}
		x := m.sxx / d
		if a.root {
			x = math.Sqrt(x)
		}
		return x, true
	}), nil
}

func floatResults(n int, f func(i int) (float64, bool)) *vector.Vector {
	out := vector.New(types.T(types.Float8), n)
	dst := vector.Values[float64](out)
	var nulls []int
	for i := range dst {
		x, ok := f(i)
		if !ok {
			nulls = append(nulls, i)
			continue
		}
		dst[i] = x
	}
	return setNulls(out, nulls)
}

// exactVarianceAgg is variance and stddev of integers and numeric, exact until
// the last division.
type exactVarianceAgg struct {
	noClose
	variant
	phys types.Phys
	m    []types.DecimalMoments
}

func (a *exactVarianceAgg) Grow(n int) { a.m = grown(a.m, n) }
func (a *exactVarianceAgg) Size() int64 {
	return sliceSize(a.m, int64(unsafe.Sizeof(types.DecimalMoments{})))
}

func (a *exactVarianceAgg) Update(groups []int32, args []*vector.Vector, n int) error {
	v := args[0]
	for i := range n {
		if v.IsNull(i) {
			continue
		}
		var d types.Decimal
		switch a.phys {
		case types.PhysInt16:
			d = types.DecimalFromInt64(int64(vector.At[int16](v, i)))
		case types.PhysInt32:
			d = types.DecimalFromInt64(int64(vector.At[int32](v, i)))
		case types.PhysInt64:
			d = types.DecimalFromInt64(vector.At[int64](v, i))
		default:
			d = vector.At[types.Decimal](v, i)
		}
		a.m[group(groups, i)].Add(d)
	}
	return nil
}

func (a *exactVarianceAgg) Merge(groups []int32, states []*vector.Vector, n int) error {
	for i := range n {
		if states[0].IsNull(i) {
			continue
		}
		var m types.DecimalMoments
		if _, err := m.DecodeState(states[0].BytesAt(i)); err != nil {
			return err
		}
		a.m[group(groups, i)].Merge(&m)
	}
	return nil
}

func (a *exactVarianceAgg) State(from, to int) ([]*vector.Vector, error) {
	b := vector.NewBuilder(types.T(types.Bytea), to-from)
	for i := from; i < to; i++ {
		b.AppendTo(a.m[i].AppendState)
	}
	return []*vector.Vector{b.Build()}, nil
}

func (a *exactVarianceAgg) Final(from, to int) (*vector.Vector, error) {
	out := vector.New(types.T(types.Numeric), to-from)
	dst := vector.Values[types.Decimal](out)
	var nulls []int
	for i := range dst {
		f := a.m[from+i].Variance
		if a.root {
			f = a.m[from+i].Stddev
		}
		d, ok, err := f(a.sample)
		if err != nil {
			return nil, err
		}
		if !ok {
			nulls = append(nulls, i)
		}
		dst[i] = d
	}
	return setNulls(out, nulls), nil
}

// regression are the sums over pairs.
type regression struct{ n, sx, sxx, sy, syy, sxy float64 }

// add reports false where finite values have left the range of floats.
func (r *regression) add(y, x float64) bool {
	sx, sy := r.sx, r.sy
	r.n++
	r.sx += x
	r.sy += y
	if r.n > 1 {
		tx, ty := x*r.n-r.sx, y*r.n-r.sy
		s := 1 / (r.n * (r.n - 1))
		r.sxx += tx * tx * s
		r.syy += ty * ty * s
		r.sxy += tx * ty * s
		// sxy is infinite only where one of the squares is.
		if math.Abs(r.sx)+math.Abs(r.sy)+r.sxx+r.syy <= math.MaxFloat64 {
			return true
		}
		return r.inRange(sx, sy, x, y)
	}
	if !finite(x) {
		r.sxx, r.sxy = math.NaN(), math.NaN()
	}
	if !finite(y) {
		r.syy, r.sxy = math.NaN(), math.NaN()
	}
	return true
}

// inRange reports false if infinities came of finite values, x and y beside the
// sums sx and sy; squares of infinities become NaN.
func (r *regression) inRange(sx, sy, x, y float64) bool {
	fromX, fromY := isInf(sx) || isInf(x), isInf(sy) || isInf(y)
	if !fromX && (isInf(r.sx) || isInf(r.sxx)) || !fromY && (isInf(r.sy) || isInf(r.syy)) || !fromX && !fromY && isInf(r.sxy) {
		return false
	}
	for _, s := range []*float64{&r.sxx, &r.syy, &r.sxy} {
		if isInf(*s) {
			*s = math.NaN()
		}
	}
	return true
}

func (r *regression) merge(o regression) bool {
	switch {
	case o.n == 0:
	case r.n == 0:
		*r = o
	default:
		n := r.n + o.n
		tx, ty := r.sx/r.n-o.sx/o.n, r.sy/r.n-o.sy/o.n
		w := r.n * o.n / n
		r.sxx += o.sxx + w*tx*tx
		r.syy += o.syy + w*ty*ty
		r.sxy += o.sxy + w*tx*ty
		sx, sy := r.sx+o.sx, r.sy+o.sy
		if isInf(r.sxx) || isInf(r.syy) || isInf(r.sxy) || overflows(sx, r.sx, o.sx) || overflows(sy, r.sy, o.sy) {
			return false
		}
		r.n, r.sx, r.sy = n, sx, sy
	}
	return true
}

// regressionAgg is corr, covar_* and regr_*; final gives the result of a state
// of at least one pair, false for NULL.
type regressionAgg struct {
	noClose
	r     []regression
	final func(r *regression) (float64, bool)
	count bool // regr_count
}

func (a *regressionAgg) Grow(n int)  { a.r = grown(a.r, n) }
func (a *regressionAgg) Size() int64 { return sliceSize(a.r, 48) }

func (a *regressionAgg) Update(groups []int32, args []*vector.Vector, n int) error {
	if n == 0 {
		return nil
	}
	v, w := args[0].Flatten(), args[1].Flatten()
	y, x := vector.Values[float64](v)[:n], vector.Values[float64](w)[:n]
	switch {
	case a.count: // no sum that could leave the range
		for i := range n {
			if vector.IsValid(v.Valid, i) && vector.IsValid(w.Valid, i) {
				a.r[group(groups, i)].n++
			}
		}
	case v.Valid != nil || w.Valid != nil:
		for i := range n {
			if vector.IsValid(v.Valid, i) && vector.IsValid(w.Valid, i) && !a.r[group(groups, i)].add(y[i], x[i]) {
				return errOverflow()
			}
		}
	case groups == nil:
		for i := range n {
			if !a.r[0].add(y[i], x[i]) {
				return errOverflow()
			}
		}
	default:
		for i, g := range groups[:n] {
			if !a.r[g].add(y[i], x[i]) {
				return errOverflow()
			}
		}
	}
	return nil
}

func (a *regressionAgg) Merge(groups []int32, s []*vector.Vector, n int) error {
	if n == 0 {
		return nil
	}
	var c [6][]float64
	for k := range c {
		c[k] = vector.Values[float64](s[k].Flatten())[:n]
	}
	for i := range n {
		if !a.r[group(groups, i)].merge(regression{c[0][i], c[1][i], c[2][i], c[3][i], c[4][i], c[5][i]}) {
			return errOverflow()
		}
	}
	return nil
}

func (a *regressionAgg) State(from, to int) ([]*vector.Vector, error) {
	return floatColumns(to-from, func(i int, row []float64) {
		r := &a.r[from+i]
		row[0], row[1], row[2], row[3], row[4], row[5] = r.n, r.sx, r.sxx, r.sy, r.syy, r.sxy
	}, 6), nil
}

func (a *regressionAgg) Final(from, to int) (*vector.Vector, error) {
	if a.count {
		out := vector.New(types.T(types.Int8), to-from)
		for i, dst := 0, vector.Values[int64](out); i < len(dst); i++ {
			dst[i] = int64(a.r[from+i].n)
		}
		return out, nil
	}
	return floatResults(to-from, func(i int) (float64, bool) {
		if a.r[from+i].n < 1 {
			return 0, false
		}
		return a.final(&a.r[from+i])
	}), nil
}

func registerStatistics(r *registry) {
	for _, v := range []struct {
		names []string
		variant
	}{
		{[]string{"variance", "var_samp"}, variant{sample: true}},
		{[]string{"var_pop"}, variant{}},
		{[]string{"stddev", "stddev_samp"}, variant{sample: true, root: true}},
		{[]string{"stddev_pop"}, variant{root: true}},
	} {
		three := states(types.Float8, types.Float8, types.Float8)
		for _, name := range v.names {
			r.aggregate(name+"(float4) float8", func([]types.Type) Aggregator { return &varianceAgg[float32]{variant: v.variant} }, three)
			r.aggregate(name+"(float8) float8", func([]types.Type) Aggregator { return &varianceAgg[float64]{variant: v.variant} }, three)
			for _, t := range []string{"int2", "int4", "int8", "numeric"} {
				phys := signatureType(t).Phys()
				r.aggregate(name+"("+t+") numeric", func([]types.Type) Aggregator { return &exactVarianceAgg{variant: v.variant, phys: phys} }, states(types.Bytea))
			}
		}
	}
	six := states(types.Float8, types.Float8, types.Float8, types.Float8, types.Float8, types.Float8)
	pair := func(name string, final func(r *regression) (float64, bool)) {
		r.aggregate(name+"(float8,float8) float8", func([]types.Type) Aggregator { return &regressionAgg{final: final} }, six)
	}
	r.aggregate("regr_count(float8,float8) int8", func([]types.Type) Aggregator { return &regressionAgg{count: true} }, six)
	pair("corr", func(r *regression) (float64, bool) { return r.sxy / math.Sqrt(r.sxx*r.syy), r.sxx != 0 && r.syy != 0 })
	pair("covar_pop", func(r *regression) (float64, bool) { return r.sxy / r.n, true })
	pair("covar_samp", func(r *regression) (float64, bool) { return r.sxy / (r.n - 1), r.n > 1 })
	pair("regr_avgx", func(r *regression) (float64, bool) { return r.sx / r.n, true })
	pair("regr_avgy", func(r *regression) (float64, bool) { return r.sy / r.n, true })
	pair("regr_sxx", func(r *regression) (float64, bool) { return r.sxx, true })
	pair("regr_syy", func(r *regression) (float64, bool) { return r.syy, true })
	pair("regr_sxy", func(r *regression) (float64, bool) { return r.sxy, true })
	pair("regr_slope", func(r *regression) (float64, bool) { return r.sxy / r.sxx, r.sxx != 0 })
	pair("regr_intercept", func(r *regression) (float64, bool) { return (r.sy - r.sx*r.sxy/r.sxx) / r.n, r.sxx != 0 })
	pair("regr_r2", func(r *regression) (float64, bool) {
		if r.syy == 0 {
			return 1, r.sxx != 0
		}
		return r.sxy * r.sxy / (r.sxx * r.syy), r.sxx != 0
	})
}
