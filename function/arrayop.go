package function

import (
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// ArrayOp resolves "x op ANY (array)", or ALL, for the types of x and of the
// array. It returns an internal function of the two, whose ID names the
// operator's function; Lookup finds the same ones as "array_any(=)" and so on.
func ArrayOp(op string, all bool, args []types.Type) (f *Function, argTypes []types.Type, err error) {
	elem := types.T(types.Unknown)
	if args[1].ID != types.Unknown {
		if !isArray(args[1]) {
			return nil, nil, pgerr.New(pgerr.WrongObjectType, "op ANY/ALL (array) requires array on right side")
		}
		elem = args[1].ElemType()
	}
	inner, ts, result, err := ResolveOperator(op, []types.Type{args[0], elem})
	if err != nil {
		return nil, nil, err
	}
	if result.ID != types.Bool {
		return nil, nil, pgerr.New(pgerr.WrongObjectType, "op ANY/ALL (array) requires operator to yield boolean")
	}
	if isArray(ts[1]) {
		return nil, nil, pgerr.New(pgerr.FeatureNotSupported, "arrays of arrays are not supported")
	}
	argTypes = []types.Type{ts[0], types.ListOf(ts[1])}
	if isArray(args[1]) && ts[1].Same(elem) {
		argTypes[1] = args[1]
	}
	prefix := anyPrefix
	if all {
		prefix = allPrefix
	}
	f, ok := ByID(prefix + inner.ID + ")")
	if !ok {
		return nil, nil, pgerr.New(pgerr.FeatureNotSupported, "operator %s is not supported with ANY and ALL", op)
	}
	return f, argTypes, nil
}

const (
	anyPrefix = "pg_catalog.array_any("
	allPrefix = "pg_catalog.array_all("
)

// registerArrayOps enters array_any and array_all of every operator that gives a
// boolean. They are internal: All, and so pg_proc, does not show them.
func registerArrayOps(r *registry) {
	for op, fs := range r.binary {
		for _, inner := range fs {
			if inner.Returns.ID != types.Bool || inner.Args[1].Phys() == types.PhysInvalid || isArray(inner.Args[1]) {
				continue
			}
			for _, all := range []bool{false, true} {
				f := arrayFunction(inner, all)
				r.byID[f.ID] = f
				name := f.Name + "(" + op + ")"
				r.byName[name] = append(r.byName[name], f)
			}
		}
	}
}

func arrayFunction(inner *Function, all bool) *Function {
	f := &Function{
		ID:         anyPrefix + inner.ID + ")",
		Schema:     "pg_catalog",
		Name:       "array_any",
		Op:         inner.Op + " ANY",
		Args:       []types.Type{inner.Args[0], types.ListOf(inner.Args[1])},
		Returns:    types.T(types.Bool),
		Volatility: inner.Volatility,
	}
	if all {
		f.ID, f.Name, f.Op = allPrefix+inner.ID+")", "array_all", inner.Op+" ALL"
	}
	f.Eval = func(c *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
		if args[1].Form == vector.Const && n > 0 && !args[1].IsNull(0) {
			return arrayConst(c, inner, all, args, n)
		}
		return arrayRows(c, inner, all, args, n)
	}
	return f
}

// truth is the three-valued result under construction for each row: ANY starts
// false and is decided by a true, ALL starts true and is decided by a false.
type truth struct {
	all  bool
	val  []bool
	null []bool // an undecided row has met a NULL
}

func newTruth(n int, all bool) *truth {
	t := &truth{all: all, val: make([]bool, n), null: make([]bool, n)}
	for i := range t.val {
		t.val[i] = all
	}
	return t
}

// meet folds one comparison into row i.
func (t *truth) meet(i int, x, null bool) {
	if null {
		t.null[i] = true
	} else if x != t.all {
		t.val[i] = !t.all
	}
}

func (t *truth) vector() *vector.Vector {
	out := vector.FromSlice(types.T(types.Bool), t.val)
	for i, null := range t.null {
		if null && t.val[i] == t.all {
			if out.Valid == nil {
				out.Valid = vector.NewValid(len(t.val))
			}
			vector.SetNull(out.Valid, i)
		}
	}
	return out
}

// arrayConst evaluates against one array: by a set for = ANY and <> ALL, which
// is what IN and NOT IN become, and otherwise one comparison of the whole
// column per element.
func arrayConst(c *Ctx, inner *Function, all bool, args []*vector.Vector, n int) (*vector.Vector, error) {
	left, arr := args[0], args[1]
	from, to := arr.ListAt(0)
	if from == to {
		return vector.NewConst(vector.FromSlice(types.T(types.Bool), []bool{all}), n), nil
	}
	if to-from > setThreshold && (inner.Op == "=" && !all || inner.Op == "<>" && all) {
		if find := elementSet(left, arr.Child, from, to); find != nil {
			hasNull := false
			for e := from; e < to; e++ {
				hasNull = hasNull || arr.Child.IsNull(e)
			}
			return arrayInSet(left, n, all, hasNull, find), nil
		}
	}
	t := newTruth(n, all)
	for e := from; e < to; e++ {
		elem := vector.NewConst(vector.Slice(arr.Child, e, e+1).Flatten(), n)
		x, err := Call(c, inner, []*vector.Vector{left, elem}, n)
		if err != nil {
			return nil, err
		}
		x = x.Flatten()
		for i, b := range vector.Values[bool](x) {
			t.meet(i, b, x.IsNull(i))
		}
	}
	return t.vector(), nil
}

// setThreshold is the number of elements from which a set beats comparing with
// each of them.
const setThreshold = 8

// elementSet returns a test of rows of left for equality with an element, nil
// where the types do not allow one.
func elementSet(left, child *vector.Vector, from, to int) func(i int) bool {
	switch {
	case left.Type.Phys() == types.PhysBytes && child.Type.Phys() == types.PhysBytes && left.Type.ID != types.Bpchar && child.Type.ID != types.Bpchar:
		set := make(map[string]struct{}, to-from)
		for e := from; e < to; e++ {
			if !child.IsNull(e) {
				set[child.StringAt(e)] = struct{}{}
			}
		}
		return func(i int) bool { _, ok := set[left.StringAt(i)]; return ok }
	case left.Type.Same(child.Type) || left.Type.IsInteger() && child.Type.IsInteger():
		elem, ok := integerAt(child)
		if !ok {
			return nil
		}
		at, _ := integerAt(left)
		set := newIntSet(to - from)
		for e := from; e < to; e++ {
			if !child.IsNull(e) {
				set.add(elem(e))
			}
		}
		return func(i int) bool { return set.has(at(i)) }
	}
	return nil
}

// integerAt reads a vector of one of the integer representations.
func integerAt(v *vector.Vector) (func(i int) int64, bool) {
	m := indexMask(v)
	switch v.Type.Phys() {
	case types.PhysInt16:
		x := vector.Values[int16](v)
		return func(i int) int64 { return int64(x[i&m]) }, true
	case types.PhysInt32:
		x := vector.Values[int32](v)
		return func(i int) int64 { return int64(x[i&m]) }, true
	case types.PhysInt64:
		x := vector.Values[int64](v)
		return func(i int) int64 { return x[i&m] }, true
	}
	return nil, false
}

// intSet is an open-addressing set of integers, at most half full.
type intSet struct {
	slots []int64
	used  []bool
	shift uint
}

func newIntSet(n int) *intSet {
	bits := uint(4)
	for 1<<bits < 2*n {
		bits++
	}
	return &intSet{slots: make([]int64, 1<<bits), used: make([]bool, 1<<bits), shift: 64 - bits}
}

// slot returns where x is or would be.
func (s *intSet) slot(x int64) int {
	i := int(uint64(x) * 0x9e3779b97f4a7c15 >> s.shift)
	for s.used[i] && s.slots[i] != x {
		i = (i + 1) & (len(s.slots) - 1)
	}
	return i
}

func (s *intSet) add(x int64) {
	i := s.slot(x)
	s.slots[i], s.used[i] = x, true
}

func (s *intSet) has(x int64) bool { return s.used[s.slot(x)] }

func arrayInSet(left *vector.Vector, n int, all, hasNull bool, find func(i int) bool) *vector.Vector {
	out := vector.New(types.T(types.Bool), n)
	res := vector.Values[bool](out)
	var nulls []int
	for i := range res {
		if left.IsNull(i) {
			nulls = append(nulls, i)
			continue
		}
		found := find(i)
		res[i] = found != all
		if hasNull && !found {
			nulls = append(nulls, i)
		}
	}
	return setNulls(out, nulls)
}

// arrayRows evaluates against an array per row: the elements of all rows are
// compared in one go.
func arrayRows(c *Ctx, inner *Function, all bool, args []*vector.Vector, n int) (*vector.Vector, error) {
	arr := args[1]
	t := newTruth(n, all)
	var owner, elems []int32
	for i := range n {
		if arr.IsNull(i) {
			t.null[i] = true
			continue
		}
		from, to := arr.ListAt(i)
		for e := from; e < to; e++ {
			owner = append(owner, int32(i))
			elems = append(elems, int32(e))
		}
	}
	if len(owner) > 0 {
		x, err := Call(c, inner, []*vector.Vector{vector.Gather(args[0], owner), vector.Gather(arr.Child, elems)}, len(owner))
		if err != nil {
			return nil, err
		}
		x = x.Flatten()
		for k, b := range vector.Values[bool](x) {
			t.meet(int(owner[k]), b, x.IsNull(k))
		}
	}
	return t.vector(), nil
}
