package function

import (
	"bytes"

	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

type number interface {
	int16 | int32 | int64 | float32 | float64
}

// foldMin keeps the least value. NaN is above all numbers; for integers the
// comparisons of a value with itself compile to nothing.
func foldMin[T number](a *reduceAgg[T], groups []int32, x []T, valid []byte) error {
	if groups == nil && valid == nil {
		m := a.vals[0]
		if !a.seen[0] {
			m = x[0]
		}
		for _, v := range x {
			if v < m || m != m {
				m = v
			}
		}
		a.vals[0], a.seen[0] = m, true
		return nil
	}
	for i, v := range x {
		if valid != nil && valid[i>>3]&(1<<(i&7)) == 0 {
			continue
		}
		g := group(groups, i)
		if m := a.vals[g]; !a.seen[g] || v < m || m != m {
			a.vals[g], a.seen[g] = v, true
		}
	}
	return nil
}

// foldMax keeps the greatest value.
func foldMax[T number](a *reduceAgg[T], groups []int32, x []T, valid []byte) error {
	if groups == nil && valid == nil {
		m := a.vals[0]
		if !a.seen[0] {
			m = x[0]
		}
		for _, v := range x {
			if v > m || v != v {
				m = v
			}
		}
		a.vals[0], a.seen[0] = m, true
		return nil
	}
	for i, v := range x {
		if valid != nil && valid[i>>3]&(1<<(i&7)) == 0 {
			continue
		}
		g := group(groups, i)
		if m := a.vals[g]; !a.seen[g] || v > m || v != v {
			a.vals[g], a.seen[g] = v, true
		}
	}
	return nil
}

// foldExtreme is foldMin (sign -1) or foldMax (sign 1) by a comparison.
func foldExtreme[T vector.Fixed](sign int, cmp func(T, T) int) func(a *reduceAgg[T], groups []int32, x []T, valid []byte) error {
	return func(a *reduceAgg[T], groups []int32, x []T, valid []byte) error {
		for i := range x {
			if !vector.IsValid(valid, i) {
				continue
			}
			g := group(groups, i)
			if !a.seen[g] || cmp(x[i], a.vals[g])*sign > 0 {
				a.vals[g], a.seen[g] = x[i], true
			}
		}
		return nil
	}
}

// numericExtremeAgg is min and max of numeric, which compares coefficients where
// it can.
type numericExtremeAgg struct {
	reduceAgg[types.Decimal]
	sign int
}

func (a *numericExtremeAgg) Update(groups []int32, args []*vector.Vector, n int) error {
	v := args[0]
	if v.Form != vector.Scaled || n == 0 {
		return a.reduceAgg.Update(groups, args, n)
	}
	x, valid := vector.Values[int64](v)[:n], v.Valid
	flip := int64(0) // turns the order round for min
	if a.sign < 0 {
		flip = -1
	}
	if groups == nil && valid == nil {
		m := x[0] ^ flip
		for _, y := range x {
			m = max(m, y^flip)
		}
		x = []int64{m ^ flip}
	}
	for i, y := range x {
		if !vector.IsValid(valid, i) {
			continue
		}
		g := group(groups, i)
		if m := &a.vals[g]; a.seen[g] {
			if m.Scale == v.Scale && narrow(m) {
				if y^flip <= int64(m.Lo)^flip {
					continue
				}
			} else if cmpDecimal(types.NewDecimal(y, v.Scale), *m)*a.sign <= 0 {
				continue
			}
		}
		a.vals[g], a.seen[g] = types.NewDecimal(y, v.Scale), true
	}
	return nil
}

func newNumericExtreme(sign int) func([]types.Type) Aggregator {
	return func([]types.Type) Aggregator {
		return &numericExtremeAgg{reduceAgg[types.Decimal]{t: numericType, fold: foldExtreme(sign, cmpDecimal)}, sign}
	}
}

// stringExtremeAgg is min and max of strings.
type stringExtremeAgg struct {
	noClose
	t     types.Type
	sign  int
	vals  [][]byte // owned; nil = none yet
	bytes int64
	has   []bool // scratch
}

func (a *stringExtremeAgg) Grow(n int)  { a.vals = grown(a.vals, n) }
func (a *stringExtremeAgg) Size() int64 { return sliceSize(a.vals, 24) + a.bytes }

// TakesDict implements DictTaker.
func (a *stringExtremeAgg) TakesDict() {}

func (a *stringExtremeAgg) Update(groups []int32, args []*vector.Vector, n int) error {
	v := args[0]
	if groups == nil && v.Form == vector.Dict && v.Child.Len < n && a.t.ID != types.Bpchar {
		// One look at each entry that some row has. Of equal values the first row's
		// counts, and those of bpchar may differ in their blanks.
		a.has = append(a.has[:0], make([]bool, v.Child.Len)...)
		for i, c := range v.Codes[:n] {
			if v.Valid == nil || !v.IsNull(i) {
				a.has[c] = true
			}
		}
		for c, has := range a.has {
			if has {
				a.fold(0, v.Child.BytesAt(c))
			}
		}
		return nil
	}
	for i := range n {
		if !v.IsNull(i) {
			a.fold(group(groups, i), v.BytesAt(i))
		}
	}
	return nil
}

// fold folds one value.
func (a *stringExtremeAgg) fold(g int32, x []byte) {
	if m := a.vals[g]; m != nil {
		var c int
		if a.t.ID == types.Bpchar {
			c = bytes.Compare(trimBlanks(x), trimBlanks(m))
		} else {
			c = bytes.Compare(x, m)
		}
		if c*a.sign <= 0 {
			return
		}
	}
	a.bytes -= int64(cap(a.vals[g]))
	if a.vals[g] == nil {
		a.vals[g] = make([]byte, 0, len(x))
	}
	a.vals[g] = append(a.vals[g][:0], x...)
	a.bytes += int64(cap(a.vals[g]))
}

func (a *stringExtremeAgg) Merge(groups []int32, states []*vector.Vector, n int) error {
	return a.Update(groups, states, n)
}

func (a *stringExtremeAgg) State(from, to int) ([]*vector.Vector, error) {
	v, err := a.Final(from, to)
	return []*vector.Vector{v}, err
}

func (a *stringExtremeAgg) Final(from, to int) (*vector.Vector, error) {
	b := vector.NewBuilder(a.t, to-from)
	for _, x := range a.vals[from:to] {
		if x == nil {
			b.AppendNull()
		} else {
			b.AppendBytes(x)
		}
	}
	return b.Build(), nil
}

// listExtremeAgg is min and max of arrays.
type listExtremeAgg struct {
	noClose
	t    types.Type
	sign int
	cmp  func(*vector.Vector, int, *vector.Vector, int) int
	vals []*vector.Vector // one row each, nil = none yet
	size int64
}

func (a *listExtremeAgg) Grow(n int)  { a.vals = grown(a.vals, n) }
func (a *listExtremeAgg) Size() int64 { return sliceSize(a.vals, 8) + a.size }

func (a *listExtremeAgg) Update(groups []int32, args []*vector.Vector, n int) error {
	if a.cmp == nil {
		return errNoOrder(a.t.ElemType())
	}
	v := args[0].Flatten()
	for i := range n {
		if v.IsNull(i) {
			continue
		}
		g := group(groups, i)
		if m := a.vals[g]; m != nil {
			if a.cmp(v, i, m, 0)*a.sign <= 0 {
				continue
			}
			a.size -= m.Size()
		}
		a.vals[g] = vector.Gather(v, []int32{int32(i)})
		a.size += a.vals[g].Size()
	}
	return nil
}

func (a *listExtremeAgg) Merge(groups []int32, states []*vector.Vector, n int) error {
	return a.Update(groups, states, n)
}

func (a *listExtremeAgg) State(from, to int) ([]*vector.Vector, error) {
	v, err := a.Final(from, to)
	return []*vector.Vector{v}, err
}

func (a *listExtremeAgg) Final(from, to int) (*vector.Vector, error) {
	b := vector.NewBuilder(a.t, to-from)
	for _, x := range a.vals[from:to] {
		if x == nil {
			b.AppendNull()
		} else {
			b.AppendFrom(x, 0)
		}
	}
	return b.Build(), nil
}

func registerMinMax(r *registry) {
	for _, t := range []string{"int4", "date"} {
		registerReduce(r, "min", t, foldMin[int32])
		registerReduce(r, "max", t, foldMax[int32])
	}
	for _, t := range []string{"int8", "oid", "time", "timestamp", "timestamptz"} {
		registerReduce(r, "min", t, foldMin[int64])
		registerReduce(r, "max", t, foldMax[int64])
	}
	registerReduce(r, "min", "int2", foldMin[int16])
	registerReduce(r, "max", "int2", foldMax[int16])
	registerReduce(r, "min", "float4", foldMin[float32])
	registerReduce(r, "max", "float4", foldMax[float32])
	registerReduce(r, "min", "float8", foldMin[float64])
	registerReduce(r, "max", "float8", foldMax[float64])
	r.aggregate("min(numeric) numeric", newNumericExtreme(-1), states(types.Numeric))
	r.aggregate("max(numeric) numeric", newNumericExtreme(1), states(types.Numeric))
	registerReduce(r, "min", "interval", foldExtreme(-1, types.IntervalValue.Cmp))
	registerReduce(r, "max", "interval", foldExtreme(1, types.IntervalValue.Cmp))
	registerReduce(r, "min", "bool", foldExtreme(-1, types.CompareBool))
	registerReduce(r, "max", "bool", foldExtreme(1, types.CompareBool))
	for name, sign := range map[string]int{"min": -1, "max": 1} {
		for _, typ := range []string{"text", "bpchar", "uuid", "bytea", "anyenum"} {
			t := signatureType(typ)
			if t.ID == types.Enum {
				r.aggregate(name+"(anyenum) anyenum", func(args []types.Type) Aggregator { return &stringExtremeAgg{t: args[0], sign: sign} },
					func(args []types.Type) []types.Type { return args },
					func(f *Function) { f.ReturnType = func(args []types.Type) types.Type { return args[0] } })
				continue
			}
			r.aggregate(name+"("+typ+") "+typ, func([]types.Type) Aggregator { return &stringExtremeAgg{t: t, sign: sign} }, states(t.ID))
		}
		r.aggregate(name+"(anyarray) anyarray", func(args []types.Type) Aggregator {
			return &listExtremeAgg{t: args[0], sign: sign, cmp: comparer(args[0])}
		}, func(args []types.Type) []types.Type { return args })
	}
}
