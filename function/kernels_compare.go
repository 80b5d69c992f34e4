package function

import (
	"bytes"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

type integer interface{ int16 | int32 | int64 | uint8 }
type float interface{ float32 | float64 }

// compareRows is CompareOp without the NULLs.
func compareRows(op CompareKind, a, b *vector.Vector, n int) (*vector.Vector, error) {
	out := vector.New(types.T(types.Bool), n)
	if n == 0 {
		return out, nil
	}
	res := vector.Values[bool](out)
	if a.Form == vector.Const && b.Form != vector.Const {
		a, b, op = b, a, op.Swap()
	}
	switch p := a.Type.Phys(); {
	case p != b.Type.Phys():
		return nil, pgerr.New(pgerr.InternalError, "comparison of %s with %s", a.Type, b.Type)
	case p == types.PhysBool:
		compareVectors(op, boolBytes(a), boolBytes(b), a.Form, b.Form, res, compareInts[uint8], compareIntConst[uint8])
	case p == types.PhysInt16:
		compareVectors(op, vector.Values[int16](a), vector.Values[int16](b), a.Form, b.Form, res, compareInts, compareIntConst)
	case p == types.PhysInt32:
		compareVectors(op, vector.Values[int32](a), vector.Values[int32](b), a.Form, b.Form, res, compareInts, compareIntConst)
	case p == types.PhysInt64:
		compareVectors(op, vector.Values[int64](a), vector.Values[int64](b), a.Form, b.Form, res, compareInts, compareIntConst)
	case p == types.PhysFloat32:
		compareVectors(op, vector.Values[float32](a), vector.Values[float32](b), a.Form, b.Form, res, compareFloats, compareFloatConst)
	case p == types.PhysFloat64:
		compareVectors(op, vector.Values[float64](a), vector.Values[float64](b), a.Form, b.Form, res, compareFloats, compareFloatConst)
	case p == types.PhysBytes:
		compareStrings(op, a, b, res)
	case p == types.PhysNumeric && (compareScaled(op, a, b, res) || compareScaled(op.Swap(), b, a, res)):
	case p == types.PhysNumeric:
		compareBy(op, a, b, res, cmpDecimal)
	case p == types.PhysInterval:
		compareBy(op, a, b, res, types.IntervalValue.Cmp)
	case p == types.PhysList:
		cmp := comparer(a.Type)
		if cmp == nil {
			return nil, errNoOrder(a.Type.ElemType())
		}
		for i := range res {
			if !a.IsNull(i) && !b.IsNull(i) {
				res[i] = holds(op, cmp(a, i, b, i))
			}
		}
	}
	return out, nil
}

func errNoOrder(t types.Type) error {
	return pgerr.New(pgerr.UndefinedFunction, "could not identify a comparison function for type %s", t)
}

// boolBytes views the stored booleans as 0 and 1.
func boolBytes(v *vector.Vector) []uint8 {
	n := v.Len
	if v.Form == vector.Const {
		n = 1
	}
	return v.Raw()[:n]
}

func compareVectors[T any](op CompareKind, a, b []T, fa, fb vector.Form, res []bool,
	rows func(CompareKind, []T, []T, []bool), toConst func(CompareKind, []T, T, []bool)) {
	switch {
	case fb != vector.Const:
		rows(op, a, b, res)
	case fa != vector.Const:
		toConst(op, a, b[0], res)
	default:
		rows(op, a[:1], b[:1], res[:1])
		for i := range res {
			res[i] = res[0]
		}
	}
}

func compareInts[T integer](op CompareKind, a, b []T, res []bool) {
	a, b = a[:len(res)], b[:len(res)]
	switch op {
	case EQ:
		for i := range res {
			res[i] = a[i] == b[i]
		}
	case NE:
		for i := range res {
			res[i] = a[i] != b[i]
		}
	case LT:
		for i := range res {
			res[i] = a[i] < b[i]
		}
	case LE:
		for i := range res {
			res[i] = a[i] <= b[i]
		}
	case GT:
		for i := range res {
			res[i] = a[i] > b[i]
		}
	case GE:
		for i := range res {
			res[i] = a[i] >= b[i]
		}
	}
}

func compareIntConst[T integer](op CompareKind, a []T, c T, res []bool) {
	a = a[:len(res)]
	switch op {
	case EQ:
		for i := range res {
			res[i] = a[i] == c
		}
	case NE:
		for i := range res {
			res[i] = a[i] != c
		}
	case LT:
		for i := range res {
			res[i] = a[i] < c
		}
	case LE:
		for i := range res {
			res[i] = a[i] <= c
		}
	case GT:
		for i := range res {
			res[i] = a[i] > c
		}
	case GE:
		for i := range res {
			res[i] = a[i] >= c
		}
	}
}

// compareFloats orders NaN above everything and equal to itself: a > b is "a is
// NaN and b is not, or a > b", which is what not-(a <= b) gives unless b is NaN.
func compareFloats[T float](op CompareKind, a, b []T, res []bool) {
	a, b = a[:len(res)], b[:len(res)]
	switch op {
	case EQ:
		for i := range res {
			res[i] = a[i] == b[i] || a[i] != a[i] && b[i] != b[i]
		}
	case NE:
		for i := range res {
			res[i] = a[i] != b[i] && (a[i] == a[i] || b[i] == b[i])
		}
	case LT:
		for i := range res {
			res[i] = !(a[i] >= b[i]) && a[i] == a[i]
		}
	case LE:
		for i := range res {
			res[i] = a[i] <= b[i] || b[i] != b[i]
		}
	case GT:
		for i := range res {
			res[i] = !(a[i] <= b[i]) && b[i] == b[i]
		}
	case GE:
		for i := range res {
			res[i] = a[i] >= b[i] || a[i] != a[i]
		}
	}
}

func compareFloatConst[T float](op CompareKind, a []T, c T, res []bool) {
	a = a[:len(res)]
	if c != c {
		for i := range res {
			res[i] = holds(op, types.CompareFloat(a[i], c))
		}
		return
	}
	switch op {
	case EQ:
		for i := range res {
			res[i] = a[i] == c
		}
	case NE:
		for i := range res {
			res[i] = a[i] != c
		}
	case LT:
		for i := range res {
			res[i] = a[i] < c
		}
	case LE:
		for i := range res {
			res[i] = a[i] <= c
		}
	case GT:
		for i := range res {
			res[i] = !(a[i] <= c)
		}
	case GE:
		for i := range res {
			res[i] = !(a[i] < c)
		}
	}
}

// holds turns a three-way result into that of a comparison.
func holds(op CompareKind, c int) bool {
	switch op {
	case EQ:
		return c == 0
	case NE:
		return c != 0
	case LT:
		return c < 0
	case LE:
		return c <= 0
	case GT:
		return c > 0
	}
	return c >= 0
}

func compareBy[T vector.Fixed](op CompareKind, a, b *vector.Vector, res []bool, cmp func(T, T) int) {
	x, y := vector.Values[T](a), vector.Values[T](b)
	ma, mb := indexMask(a), indexMask(b)
	for i := range res {
		res[i] = holds(op, cmp(x[i&ma], y[i&mb]))
	}
}

// indexMask maps a row number to an index into a vector's stored values: all
// ones for Flat, zero for Const.
func indexMask(v *vector.Vector) int {
	if v.Form == vector.Const {
		return 0
	}
	return -1
}

// cmpDecimal is Decimal.Cmp with the usual case, equal scales, inline.
func cmpDecimal(a, b types.Decimal) int {
	if a.Scale != b.Scale || a.NaN || b.NaN {
		return a.Cmp(b)
	}
	switch {
	case a.Hi != b.Hi:
		if a.Hi < b.Hi {
			return -1
		}
		return 1
	case a.Lo < b.Lo:
		return -1
	case a.Lo > b.Lo:
		return 1
	}
	return 0
}

func trimBlanks(b []byte) []byte {
	for len(b) > 0 && b[len(b)-1] == ' ' {
		b = b[:len(b)-1]
	}
	return b
}

func compareStrings(op CompareKind, a, b *vector.Vector, res []bool) {
	switch a.Type.ID {
	case types.JSONB, types.Record:
		for i := range res {
			if !a.IsNull(i) && !b.IsNull(i) {
				res[i] = holds(op, bytes.Compare(vector.KeyBytes(a, i), vector.KeyBytes(b, i)))
			}
		}
		return
	}
	if a.Type.ID == types.Bpchar || b.Type.ID == types.Bpchar {
		for i := range res {
			res[i] = holds(op, bytes.Compare(trimBlanks(a.BytesAt(i)), trimBlanks(b.BytesAt(i))))
		}
		return
	}
	if op == EQ || op == NE {
		equalStrings(a, b, res, op == EQ)
		return
	}
	if a.Form == vector.Flat && b.Form == vector.Const {
		c := b.BytesAt(0)
		offs, data := a.Offs[:len(res)+1], a.Bytes
		for i := range res {
			res[i] = holds(op, bytes.Compare(data[offs[i]:offs[i+1]], c))
		}
		return
	}
	for i := range res {
		res[i] = holds(op, bytes.Compare(a.BytesAt(i), b.BytesAt(i)))
	}
}

func equalStrings(a, b *vector.Vector, res []bool, want bool) {
	if a.Form == vector.Flat && b.Form == vector.Const {
		c := string(b.BytesAt(0))
		offs, data := a.Offs[:len(res)+1], a.Bytes
		for i := range res {
			x := data[offs[i]:offs[i+1]]
			res[i] = (len(x) == len(c) && string(x) == c) == want
		}
		return
	}
	for i := range res {
		res[i] = bytes.Equal(a.BytesAt(i), b.BytesAt(i)) == want
	}
}

// comparer is Comparer.
func comparer(t types.Type) func(a *vector.Vector, i int, b *vector.Vector, j int) int {
	switch t.Phys() {
	case types.PhysBool:
		return fixedComparer(types.CompareBool)
	case types.PhysInt16:
		return fixedComparer(types.CompareInt[int16])
	case types.PhysInt32:
		return fixedComparer(types.CompareInt[int32])
	case types.PhysInt64:
		return fixedComparer(types.CompareInt[int64])
	case types.PhysFloat32:
		return fixedComparer(types.CompareFloat[float32])
	case types.PhysFloat64:
		return fixedComparer(types.CompareFloat[float64])
	case types.PhysNumeric:
		return fixedComparer(cmpDecimal)
	case types.PhysInterval:
		return fixedComparer(types.IntervalValue.Cmp)
	case types.PhysBytes:
		switch t.ID {
		case types.JSON, types.JSONPathType, types.Void:
			return nil
		case types.JSONB, types.Record:
			return func(a *vector.Vector, i int, b *vector.Vector, j int) int {
				return bytes.Compare(vector.KeyBytes(a, i), vector.KeyBytes(b, j))
			}
		case types.Bpchar:
			return func(a *vector.Vector, i int, b *vector.Vector, j int) int {
				return bytes.Compare(trimBlanks(a.BytesAt(i)), trimBlanks(b.BytesAt(j)))
			}
		}
		return func(a *vector.Vector, i int, b *vector.Vector, j int) int {
			return bytes.Compare(a.BytesAt(i), b.BytesAt(j))
		}
	case types.PhysList:
		elem := comparer(t.ElemType())
		if elem == nil {
			return nil
		}
		return func(a *vector.Vector, i int, b *vector.Vector, j int) int { return compareLists(a, i, b, j, elem) }
	}
	return nil
}

func fixedComparer[T vector.Fixed](cmp func(T, T) int) func(a *vector.Vector, i int, b *vector.Vector, j int) int {
	return func(a *vector.Vector, i int, b *vector.Vector, j int) int {
		return cmp(vector.At[T](a, i), vector.At[T](b, j))
	}
}

// compareLists orders by the first elements that differ, a NULL element above
// all others, then by length.
func compareLists(a *vector.Vector, i int, b *vector.Vector, j int, elem func(*vector.Vector, int, *vector.Vector, int) int) int {
	af, at := a.ListAt(i)
	bf, bt := b.ListAt(j)
	for x, y := af, bf; x < at && y < bt; x, y = x+1, y+1 {
		xn, yn := a.Child.IsNull(x), b.Child.IsNull(y)
		switch {
		case xn && yn:
		case xn:
			return 1
		case yn:
			return -1
		default:
			if c := elem(a.Child, x, b.Child, y); c != 0 {
				return c
			}
		}
	}
	return types.CompareInt(int64(at-af), int64(bt-bf))
}

// registerComparisons registers the six comparisons of all types that have them.
func registerComparisons(r *registry) {
	for op, sym := range compareNames {
		k := CompareKind(op)
		eval := func(_ *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
			return compareRows(k, args[0], args[1], n)
		}
		for _, t := range []string{"bool", "int2", "int4", "int8", "float4", "float8", "numeric", "text", "bpchar", "name", `"char"`,
			"bytea", "date", "time", "timestamp", "timestamptz", "interval", "uuid", "oid", "anyarray"} {
			r.op(sym+"("+t+","+t+") bool", eval)
		}
		r.op(sym+"(name,text) bool", eval)
		r.op(sym+"(text,name) bool", eval)
		mixed := func(wide types.Type) EvalFunc {
			return func(c *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
				a, b, err := widen(c, args[0], args[1], wide)
				if err != nil {
					return nil, err
				}
				return compareRows(k, a, b, n)
			}
		}
		for _, p := range [][2]string{{"int2", "int4"}, {"int2", "int8"}, {"int4", "int2"}, {"int4", "int8"}, {"int8", "int2"}, {"int8", "int4"}} {
			r.op(sym+"("+p[0]+","+p[1]+") bool", mixed(types.T(types.Int8)))
		}
		r.op(sym+"(float4,float8) bool", mixed(types.T(types.Float8)))
		r.op(sym+"(float8,float4) bool", mixed(types.T(types.Float8)))
		r.op(sym+"(date,timestamp) bool", mixed(types.T(types.Timestamp)))
		r.op(sym+"(timestamp,date) bool", mixed(types.T(types.Timestamp)))
		for _, p := range []string{"date", "timestamp"} {
			r.op(sym+"("+p+",timestamptz) bool", mixed(types.T(types.Timestamptz)), stable)
			r.op(sym+"(timestamptz,"+p+") bool", mixed(types.T(types.Timestamptz)), stable)
		}
	}
}

// widen casts both sides to a type that holds all values of both. An integer
// constant that fits the other side's narrower type is narrowed instead, which
// leaves the column as it is.
func widen(c *Ctx, a, b *vector.Vector, wide types.Type) (*vector.Vector, *vector.Vector, error) {
	if wide.ID == types.Int8 {
		if b.Form == vector.Const && a.Form != vector.Const {
			if nb, err := castVector(c, b, a.Type, false); err == nil {
				return a, nb, nil
			}
		}
		if a.Form == vector.Const && b.Form != vector.Const {
			if na, err := castVector(c, a, b.Type, false); err == nil {
				return na, b, nil
			}
		}
	}
	a, err := castVector(c, a, wide, false)
	if err != nil {
		return nil, nil, err
	}
	b, err = castVector(c, b, wide, false)
	return a, b, err
}
