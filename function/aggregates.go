package function

import (
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// aggregate registers an aggregate; state gives the columns of its partial state.
func (r *registry) aggregate(sig string, newAgg func(args []types.Type) Aggregator, state func(args []types.Type) []types.Type, opts ...option) {
	f := parseSignature(sig)
	f.Kind, f.Strict = Aggregate, false
	f.NewAggregate, f.StateTypes = newAgg, state
	r.add(f, opts)
}

// states makes a StateTypes of fixed types.
func states(ids ...types.ID) func([]types.Type) []types.Type {
	ts := make([]types.Type, len(ids))
	for i, id := range ids {
		ts[i] = types.T(id)
	}
	return func([]types.Type) []types.Type { return ts }
}

// noClose is the Close of states that live in Go memory.
type noClose struct{}

func (noClose) Close() error { return nil }

// grown returns s with at least n elements, new ones zero. It doubles, since the
// states of many groups are copied often otherwise.
func grown[T any](s []T, n int) []T {
	if n <= len(s) {
		return s
	}
	if n <= cap(s) {
		return s[:n]
	}
	out := make([]T, n, max(2*cap(s), n, 16))
	copy(out, s)
	return out
}

func sliceSize[T any](s []T, width int64) int64 { return int64(cap(s)) * width }

// fixedOut copies states [from, to) into a vector, NULL where nothing was seen.
func fixedOut[T vector.Fixed](t types.Type, vals []T, seen []bool, from, to int) *vector.Vector {
	out := vector.New(t, to-from)
	copy(vector.Values[T](out), vals[from:to])
	return unseenNull(out, seen, from)
}

func unseenNull(out *vector.Vector, seen []bool, from int) *vector.Vector {
	for i := range out.Len {
		if !seen[from+i] {
			if out.Valid == nil {
				out.Valid = vector.NewValid(out.Len)
			}
			vector.SetNull(out.Valid, i)
		}
	}
	return out
}

// group returns the group of row i.
func group(groups []int32, i int) int32 {
	if groups == nil {
		return 0
	}
	return groups[i]
}

// countAgg is count(*) without and count(x) with an argument.
type countAgg struct {
	noClose
	n []int64
}

func (a *countAgg) Grow(n int)  { a.n = grown(a.n, n) }
func (a *countAgg) Size() int64 { return sliceSize(a.n, 8) }

// TakesDict implements DictTaker: only the NULLs count.
func (a *countAgg) TakesDict() {}

func (a *countAgg) Update(groups []int32, args []*vector.Vector, n int) error {
	var valid []byte
	if len(args) > 0 {
		valid = args[0].RowValid()
	}
	switch {
	case groups == nil:
		a.n[0] += int64(vector.CountValid(valid, n))
	case valid == nil:
		for _, g := range groups[:n] {
			a.n[g]++
		}
	default:
		for i, g := range groups[:n] {
			a.n[g] += int64(valid[i>>3] >> (i & 7) & 1)
		}
	}
	return nil
}

func (a *countAgg) Merge(groups []int32, states []*vector.Vector, n int) error {
	for i, x := range vector.Values[int64](states[0].Flatten())[:n] {
		a.n[group(groups, i)] += x
	}
	return nil
}

func (a *countAgg) State(from, to int) ([]*vector.Vector, error) {
	v, err := a.Final(from, to)
	return []*vector.Vector{v}, err
}

func (a *countAgg) Final(from, to int) (*vector.Vector, error) {
	out := vector.New(types.T(types.Int8), to-from)
	copy(vector.Values[int64](out), a.n[from:to])
	return out, nil
}

// reduceAgg folds values with an associative operation over one type: the state
// is a value, and merging is updating with states.
type reduceAgg[T vector.Fixed] struct {
	noClose
	t    types.Type
	vals []T
	seen []bool
	// fold folds rows into vals; valid is nil when no row is NULL.
	fold func(a *reduceAgg[T], groups []int32, x []T, valid []byte) error
}

func (a *reduceAgg[T]) Grow(n int) { a.vals, a.seen = grown(a.vals, n), grown(a.seen, n) }
func (a *reduceAgg[T]) Size() int64 {
	return sliceSize(a.vals, int64(vector.Width(a.t.Phys()))) + sliceSize(a.seen, 1)
}

func (a *reduceAgg[T]) Update(groups []int32, args []*vector.Vector, n int) error {
	if n == 0 {
		return nil
	}
	v := args[0].Flatten()
	return a.fold(a, groups, vector.Values[T](v)[:n], v.Valid)
}

func (a *reduceAgg[T]) Merge(groups []int32, states []*vector.Vector, n int) error {
	return a.Update(groups, states, n)
}

func (a *reduceAgg[T]) State(from, to int) ([]*vector.Vector, error) {
	v, err := a.Final(from, to)
	return []*vector.Vector{v}, err
}

func (a *reduceAgg[T]) Final(from, to int) (*vector.Vector, error) {
	return fixedOut(a.t, a.vals, a.seen, from, to), nil
}

// foldBy makes a fold of an operation on two values.
func foldBy[T vector.Fixed](op func(T, T) (T, error)) func(a *reduceAgg[T], groups []int32, x []T, valid []byte) error {
	return func(a *reduceAgg[T], groups []int32, x []T, valid []byte) error {
		for i, v := range x {
			if !vector.IsValid(valid, i) {
				continue
			}
			g := group(groups, i)
			if !a.seen[g] {
				a.vals[g], a.seen[g] = v, true
				continue
			}
			r, err := op(a.vals[g], v)
			if err != nil {
				return err
			}
			a.vals[g] = r
		}
		return nil
	}
}

// registerReduce registers a reduceAgg over the type it is declared with.
func registerReduce[T vector.Fixed](r *registry, name, typ string, fold func(a *reduceAgg[T], groups []int32, x []T, valid []byte) error, opts ...option) {
	t := signatureType(typ)
	r.aggregate(name+"("+typ+") "+typ,
		func([]types.Type) Aggregator { return &reduceAgg[T]{t: t, fold: fold} },
		states(t.ID), opts...)
}

func registerAggregates(r *registry) {
	newCount := func([]types.Type) Aggregator { return &countAgg{} }
	r.aggregate("count() int8", newCount, states(types.Int8), doc("number of input rows"))
	r.aggregate("count(any) int8", newCount, states(types.Int8), doc("number of input rows for which the input expression is not null"))

	and := foldBy(func(a, b bool) (bool, error) { return a && b, nil })
	or := foldBy(func(a, b bool) (bool, error) { return a || b, nil })
	registerReduce(r, "bool_and", "bool", and, doc("boolean-and aggregate"))
	registerReduce(r, "every", "bool", and, doc("boolean-and aggregate"))
	registerReduce(r, "bool_or", "bool", or, doc("boolean-or aggregate"))
	registerBits[int16](r, "int2")
	registerBits[int32](r, "int4")
	registerBits[int64](r, "int8")

	registerSums(r)
	registerMinMax(r)
	registerStatistics(r)
	registerCollectors(r)
	registerApproximate(r)
	registerOrderedSets(r)
}

func registerBits[T signed](r *registry, typ string) {
	registerReduce(r, "bit_and", typ, foldBy(func(a, b T) (T, error) { return a & b, nil }))
	registerReduce(r, "bit_or", typ, foldBy(func(a, b T) (T, error) { return a | b, nil }))
	registerReduce(r, "bit_xor", typ, foldBy(func(a, b T) (T, error) { return a ^ b, nil }))
}

// registerWindows registers the pure window functions. Package physical
// evaluates them by name.
func registerWindows(r *registry) {
	r.window("row_number() int8", doc("row number within partition"))
	r.window("rank() int8", doc("integer rank with gaps"))
	r.window("dense_rank() int8", doc("integer rank without gaps"))
	r.window("percent_rank() float8", doc("fractional rank within partition"))
	r.window("cume_dist() float8", doc("fractional row number within partition"))
	r.window("ntile(int4) int4", doc("split rows into N groups"))
	for _, name := range []string{"lag", "lead"} {
		r.window(name + "(anyelement) anyelement")
		r.window(name + "(anyelement,int4) anyelement")
		r.window(name + "(anyelement,int4,anyelement) anyelement")
	}
	r.window("first_value(anyelement) anyelement", doc("fetch the first row value"))
	r.window("last_value(anyelement) anyelement", doc("fetch the last row value"))
	r.window("nth_value(anyelement,int4) anyelement", doc("fetch the Nth row value"))
}
