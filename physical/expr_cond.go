package physical

import (
	"bytes"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// scatterer collects results that were computed for parts of the rows of a
// batch and puts them into row order.
type scatterer struct {
	n     int
	parts []*vector.Vector
	at    []int32 // per row: its index in the parts one after the other; -1 = NULL
	len   int32
}

func newScatterer(n int) *scatterer {
	s := &scatterer{n: n, at: make([]int32, n)}
	for i := range s.at {
		s.at[i] = -1
	}
	return s
}

func (s *scatterer) add(rows []int32, v *vector.Vector) {
	for i, r := range rows {
		s.at[r] = s.len + int32(i)
	}
	s.parts = append(s.parts, v)
	s.len += int32(len(rows))
}

func (s *scatterer) result(t types.Type) *vector.Vector {
	if len(s.parts) == 0 {
		return vector.NewNull(t, s.n)
	}
	for i, p := range s.parts {
		s.parts[i] = p.Retype(t)
	}
	return vector.GatherNull(vector.Concat(s.parts), s.at)
}

func allRows(n int) []int32 {
	rows := make([]int32, n)
	for i := range rows {
		rows[i] = int32(i)
	}
	return rows
}

// subtract returns rows without those of taken; both ascend.
func subtract(rows, taken []int32) []int32 {
	out := make([]int32, 0, len(rows)-len(taken))
	k := 0
	for _, r := range rows {
		if k < len(taken) && taken[k] == r {
			k++
			continue
		}
		out = append(out, r)
	}
	return out
}

// pick maps indexes into rows to the rows.
func pick(rows, idx []int32) []int32 {
	out := make([]int32, len(idx))
	for i, k := range idx {
		out[i] = rows[k]
	}
	return out
}

// caseExpr is CASE: each condition is evaluated for the rows that no earlier
// one took, each result for the rows its condition took.
type caseExpr struct {
	conds, results []evaluator
	otherwise      evaluator // nil = NULL
	typ            types.Type
}

func (c *compiler) caseExpr(n *proto.Case, t types.Type) (evaluator, error) {
	x := &caseExpr{typ: t}
	for _, w := range n.Whens {
		cond, err := c.compile(w.Cond)
		if err != nil {
			return nil, err
		}
		res, err := c.compile(w.Result)
		if err != nil {
			return nil, err
		}
		if k, ok := cond.(*constant); ok && (k.one.IsNull(0) || !vector.Values[bool](k.one)[0]) {
			continue
		}
		x.conds, x.results = append(x.conds, cond), append(x.results, res)
	}
	if n.Else != nil {
		var err error
		if x.otherwise, err = c.compile(n.Else); err != nil {
			return nil, err
		}
	}
	return x, nil
}

func (x *caseExpr) eval(fc *function.Ctx, b *vector.Batch) (*vector.Vector, error) {
	n := b.Rows()
	out := newScatterer(n)
	rows := allRows(n)
	for k, cond := range x.conds {
		if len(rows) == 0 {
			break
		}
		sub := selectRows(b, rows)
		v, err := cond.eval(fc, sub)
		if err != nil {
			return nil, err
		}
		taken := trueRows(flat(v))
		if len(taken) == 0 {
			continue
		}
		if len(taken) < len(rows) {
			sub = sub.Select(taken)
			taken = pick(rows, taken)
		} else {
			taken = rows
		}
		if v, err = x.results[k].eval(fc, sub); err != nil {
			return nil, err
		}
		if len(taken) == n {
			return v.Retype(x.typ), nil
		}
		out.add(taken, v)
		rows = subtract(rows, taken)
	}
	if x.otherwise != nil && len(rows) > 0 {
		v, err := x.otherwise.eval(fc, selectRows(b, rows))
		if err != nil {
			return nil, err
		}
		if len(rows) == n {
			return v.Retype(x.typ), nil
		}
		out.add(rows, v)
	}
	return out.result(x.typ), nil
}

// selectRows restricts b to rows, b itself if they are all.
func selectRows(b *vector.Batch, rows []int32) *vector.Batch {
	if len(rows) == b.Rows() {
		return b
	}
	return b.Select(rows)
}

// coalesce gives the first argument that is not NULL; an argument is evaluated
// only for the rows where all before it are NULL.
type coalesce struct {
	args []evaluator
	typ  types.Type
}

func (x *coalesce) eval(fc *function.Ctx, b *vector.Batch) (*vector.Vector, error) {
	n := b.Rows()
	out := newScatterer(n)
	rows := allRows(n)
	for _, arg := range x.args {
		if len(rows) == 0 {
			break
		}
		v, err := arg.eval(fc, selectRows(b, rows))
		if err != nil {
			return nil, err
		}
		if v.Valid == nil && len(rows) == n {
			return v.Retype(x.typ), nil
		}
		var taken, left, idx []int32
		for i, r := range rows {
			if v.IsNull(i) {
				left = append(left, r)
			} else {
				taken, idx = append(taken, r), append(idx, int32(i))
			}
		}
		if len(taken) > 0 {
			if len(taken) < v.Len {
				v = vector.Gather(v, idx)
			}
			out.add(taken, v)
		}
		rows = left
	}
	return out.result(x.typ), nil
}

// extremum is GREATEST or LEAST, which skip NULLs.
type extremum struct {
	args     []evaluator
	typ      types.Type
	greatest bool
}

func (x *extremum) eval(fc *function.Ctx, b *vector.Batch) (*vector.Vector, error) {
	n := b.Rows()
	vs := make([]*vector.Vector, len(x.args))
	best := make([]int32, n) // index into the arguments one after the other
	keys := make([]encodedKeys, len(x.args))
	for k, arg := range x.args {
		v, err := arg.eval(fc, b)
		if err != nil {
			return nil, err
		}
		vs[k] = v.Flatten().Retype(x.typ)
		keys[k] = encodeKeys([]*vector.Vector{vs[k]}, []keyOrder{{}}, n)
	}
	for i := range n {
		at := -1
		for k := range vs {
			if vs[k].IsNull(i) {
				continue
			}
			if at < 0 {
				at = k
				continue
			}
			c := bytes.Compare(keys[k].at(i), keys[at].at(i))
			if x.greatest && c > 0 || !x.greatest && c < 0 {
				at = k
			}
		}
		best[i] = -1
		if at >= 0 {
			best[i] = int32(at*n + i)
		}
	}
	if n == 0 {
		return vector.New(x.typ, 0), nil
	}
	return vector.GatherNull(vector.Concat(vs), best), nil
}

// nullif is NULL where a equals b, else a.
type nullif struct {
	a, b evaluator
	typ  types.Type
}

func (x *nullif) eval(fc *function.Ctx, b *vector.Batch) (*vector.Vector, error) {
	v, err := x.a.eval(fc, b)
	if err != nil {
		return nil, err
	}
	w, err := x.b.eval(fc, b)
	if err != nil {
		return nil, err
	}
	v = v.Flatten()
	eq, err := equalRows(v, w.Flatten())
	if err != nil {
		return nil, err
	}
	valid := vector.NewValid(v.Len)
	for i, e := range eq {
		if e || v.IsNull(i) {
			vector.SetNull(valid, i)
		}
	}
	return v.WithValid(valid).Retype(x.typ), nil
}

// equalRows compares row by row as GROUP BY does: NULL equals NULL.
func equalRows(a, b *vector.Vector) ([]bool, error) {
	if a.Type.Phys() != b.Type.Phys() && isIntPhys(a.Type.Phys()) && isIntPhys(b.Type.Phys()) {
		a = vector.FromSlice(int8Type, widen(a)).WithValid(a.Valid)
		b = vector.FromSlice(int8Type, widen(b)).WithValid(b.Valid)
	}
	if a.Type.Phys() != b.Type.Phys() {
		return nil, pgerr.New(pgerr.InternalError, "comparison of %s and %s in a plan", a.Type, b.Type)
	}
	n := a.Len
	out := make([]bool, n)
	switch a.Type.Phys() {
	case types.PhysInt16:
		equalFixed(out, vector.Values[int16](a), vector.Values[int16](b))
	case types.PhysInt32:
		equalFixed(out, vector.Values[int32](a), vector.Values[int32](b))
	case types.PhysInt64:
		equalFixed(out, vector.Values[int64](a), vector.Values[int64](b))
	case types.PhysBool:
		equalFixed(out, vector.Values[bool](a), vector.Values[bool](b))
	default:
		order := []keyOrder{{}}
		ka := encodeKeys([]*vector.Vector{a}, order, n)
		kb := encodeKeys([]*vector.Vector{b.Retype(a.Type)}, order, n)
		for i := range out {
			out[i] = bytes.Equal(ka.at(i), kb.at(i))
		}
		return out, nil
	}
	if a.Valid != nil || b.Valid != nil {
		for i := range out {
			if an, bn := a.IsNull(i), b.IsNull(i); an || bn {
				out[i] = an && bn
			}
		}
	}
	return out, nil
}

func equalFixed[T comparable](out []bool, a, b []T) {
	for i := range out {
		out[i] = a[i] == b[i]
	}
}

// isTest is IS [NOT] NULL, TRUE, FALSE.
type isTest struct {
	op  proto.IsTest_Op
	arg evaluator
}

func (c *compiler) is(n *proto.IsTest) (evaluator, error) {
	arg, err := c.compile(n.Arg)
	if err != nil {
		return nil, err
	}
	if n.Op == proto.IsTest_DISTINCT || n.Op == proto.IsTest_NOT_DISTINCT {
		right, err := c.compile(n.Right)
		if err != nil {
			return nil, err
		}
		return c.fold(&distinctFrom{a: arg, b: right, not: n.Op == proto.IsTest_NOT_DISTINCT}, arg, right), nil
	}
	return c.fold(&isTest{op: n.Op, arg: arg}, arg), nil
}

func (x *isTest) eval(fc *function.Ctx, b *vector.Batch) (*vector.Vector, error) {
	v, err := x.arg.eval(fc, b)
	if err != nil {
		return nil, err
	}
	n := v.Len
	out := make([]bool, n)
	switch x.op {
	case proto.IsTest_NULL, proto.IsTest_NOT_NULL:
		want := x.op == proto.IsTest_NULL
		if v.Valid == nil {
			for i := range out {
				out[i] = !want
			}
			break
		}
		for i := range out {
			out[i] = v.IsNull(i) == want
		}
	default:
		v = v.Flatten()
		vals := vector.Values[bool](v)
		want := x.op == proto.IsTest_TRUE || x.op == proto.IsTest_NOT_TRUE
		neg := x.op == proto.IsTest_NOT_TRUE || x.op == proto.IsTest_NOT_FALSE
		for i, t := range vals {
			out[i] = (!v.IsNull(i) && t == want) != neg
		}
	}
	return vector.FromSlice(boolType, out), nil
}

// distinctFrom is a IS [NOT] DISTINCT FROM b.
type distinctFrom struct {
	a, b evaluator
	not  bool
}

func (x *distinctFrom) eval(fc *function.Ctx, b *vector.Batch) (*vector.Vector, error) {
	v, err := x.a.eval(fc, b)
	if err != nil {
		return nil, err
	}
	w, err := x.b.eval(fc, b)
	if err != nil {
		return nil, err
	}
	out, err := equalRows(v.Flatten(), w.Flatten())
	if err != nil {
		return nil, err
	}
	if !x.not {
		for i := range out {
			out[i] = !out[i]
		}
	}
	return vector.FromSlice(boolType, out), nil
}

// inList is arg [NOT] IN (constants).
type inList struct {
	arg     evaluator
	ints    map[int64]struct{}
	keys    map[string]struct{} // encoded keys, for other types
	decs    []types.Decimal     // the constants of a numeric argument
	coefs   map[int64]struct{}  // and those of a Scaled one, at scale
	scale   int32
	hasNull bool
	not     bool
	kept    entries
}

func (c *compiler) in(n *proto.InList) (evaluator, error) {
	arg, err := c.compile(n.Arg)
	if err != nil {
		return nil, err
	}
	x := &inList{arg: arg, not: n.Not}
	t := TypeOf(n.Arg.Type)
	if isIntPhys(t.Phys()) {
		x.ints = map[int64]struct{}{}
	} else {
		x.keys = map[string]struct{}{}
	}
	for _, k := range n.Values {
		v, err := DecodeConst(t, k)
		if err != nil {
			return nil, err
		}
		switch {
		case v.IsNull(0):
			x.hasNull = true
		case x.ints != nil:
			x.ints[widen(v.Flatten())[0]] = struct{}{}
		default:
			e := encodeKeys([]*vector.Vector{v.Flatten()}, nil, 1)
			x.keys[string(e.at(0))] = struct{}{}
			if t.Phys() == types.PhysNumeric {
				x.decs = append(x.decs, vector.At[types.Decimal](v, 0))
			}
		}
	}
	return c.fold(x, arg), nil
}

func (x *inList) eval(fc *function.Ctx, b *vector.Batch) (*vector.Vector, error) {
	v, dict, err := x.evalDict(fc, b)
	if err != nil || dict == nil {
		return v, err
	}
	v = vector.Gather(v, dict.Codes)
	return v.WithValid(vector.AndValid(v.Valid, dict.Valid, dict.Len)), nil
}

func (x *inList) evalDict(fc *function.Ctx, b *vector.Batch) (out, dict *vector.Vector, err error) {
	v, err := x.arg.eval(fc, b)
	if err != nil {
		return nil, nil, err
	}
	switch {
	case v.Form == vector.Dict && x.kept.worth(v, true):
		if x.kept.out == nil {
			x.kept.out = x.test(v.Child.Retype(v.Type))
		}
		return x.kept.out, v, nil
	case v.Form == vector.Const && v.Len > 0:
		return vector.NewConst(x.test(vector.Slice(v, 0, 1).Flatten()), v.Len), nil, nil
	default:
		v = flatOrScaled(v)
		out = x.test(v)
	}
	return out.WithValid(vector.AndValid(out.Valid, v.Valid, v.Len)), nil, nil
}

func (x *inList) test(v *vector.Vector) *vector.Vector {
	out := make([]bool, v.Len)
	switch {
	case x.ints != nil:
		for i, k := range widen(v) {
			_, out[i] = x.ints[k]
		}
	case v.Form == vector.Scaled:
		coefs := x.coefsAt(v.Scale)
		for i, k := range vector.Values[int64](v) {
			_, out[i] = coefs[k]
		}
	default:
		// The encoding has a leading NULL mark; NULL rows are masked by the caller.
		e := encodeKeys([]*vector.Vector{v}, nil, v.Len)
		for i := range out {
			_, out[i] = x.keys[string(e.at(i))]
		}
	}
	var valid []byte
	if x.hasNull {
		valid = vector.NewValid(v.Len)
		for i, found := range out {
			if !found {
				vector.SetNull(valid, i)
			}
		}
	}
	if v.Valid != nil && (v.Form == vector.Flat || v.Form == vector.Scaled) {
		valid = vector.AndValid(valid, v.Valid, v.Len)
	}
	if x.not {
		for i := range out {
			out[i] = !out[i]
		}
	}
	return vector.FromSlice(boolType, out).WithValid(valid)
}

// coefsAt returns the coefficients that the constants have at a scale.
func (x *inList) coefsAt(scale int32) map[int64]struct{} {
	if x.coefs == nil || x.scale != scale {
		x.coefs, x.scale = map[int64]struct{}{}, scale
		for _, d := range x.decs {
			if c, exact, ok := d.FloorAt(scale); ok && exact {
				x.coefs[c] = struct{}{}
			}
		}
	}
	return x.coefs
}

func isIntPhys(p types.Phys) bool {
	return p == types.PhysInt16 || p == types.PhysInt32 || p == types.PhysInt64
}

// widen returns the values of an integer vector as int64, aliasing where it can.
func widen(v *vector.Vector) []int64 {
	switch v.Type.Phys() {
	case types.PhysInt64:
		return vector.Values[int64](v)
	case types.PhysInt32:
		return widenTo(vector.Values[int32](v))
	case types.PhysInt16:
		return widenTo(vector.Values[int16](v))
	}
	return nil
}

func widenTo[T int16 | int32](in []T) []int64 {
	out := make([]int64, len(in))
	for i, x := range in {
		out[i] = int64(x)
	}
	return out
}
