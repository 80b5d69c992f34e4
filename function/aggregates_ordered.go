package function

import (
	"math"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// OrderedSet reports whether an aggregate is called with WITHIN GROUP: its last
// argument is the ordered one, and rows reach it in that order.
func OrderedSet(name string) bool {
	switch name {
	case "percentile_cont", "percentile_disc", "mode":
		return true
	}
	return false
}

// percentileAgg is percentile_cont and percentile_disc, of one fraction or of an
// array of them. The fraction is the one beside a group's first value.
type percentileAgg struct {
	noClose
	collector
	cont  bool
	many  bool
	out   types.Type
	fracs []*vector.Vector // per group, one row; nil before its first value
}

func (a *percentileAgg) Grow(n int) {
	a.collector.Grow(n)
	a.fracs = grown(a.fracs, n)
}

func (a *percentileAgg) Size() int64 { return a.collector.Size() + sliceSize(a.fracs, 128) }

func (a *percentileAgg) Update(groups []int32, args []*vector.Vector, n int) error {
	v := args[1]
	for i := range n {
		if g := group(groups, i); a.fracs[g] == nil && !v.IsNull(i) {
			a.fracs[g] = vector.Gather(args[0], []int32{int32(i)}).Flatten()
		}
	}
	a.add(groups, args[1:], n, func(i int) bool { return !v.IsNull(i) })
	return nil
}

func (a *percentileAgg) Merge([]int32, []*vector.Vector, int) error {
	return pgerr.New(pgerr.InternalError, "percentiles have no partial states")
}

func (a *percentileAgg) State(int, int) ([]*vector.Vector, error) {
	return nil, a.Merge(nil, nil, 0)
}

func (a *percentileAgg) Final(from, to int) (*vector.Vector, error) {
	if err := a.sort(); err != nil {
		return nil, err
	}
	vals := a.chunks[0][0]
	out := vector.NewBuilder(a.out, to-from)
	one := func(dst *vector.Builder, rows []int32, p float64) error {
		if !(p >= 0 && p <= 1) {
			return pgerr.New(pgerr.NumericValueOutOfRange, "percentile value %g is not between 0 and 1", p)
		}
		n := float64(len(rows))
		if !a.cont {
			dst.AppendFrom(vals, int(rows[max(int(math.Ceil(p*n)), 1)-1]))
			return nil
		}
		at := p * (n - 1)
		lo, hi := floatAt(vals, int(rows[int(math.Floor(at))])), floatAt(vals, int(rows[int(math.Ceil(at))]))
		if lo != hi {
			lo += (at - math.Floor(at)) * (hi - lo)
		}
		vector.Append(dst, lo)
		return nil
	}
	for g := from; g < to; g++ {
		rows, f := a.rows(g), a.fracs[g]
		if len(rows) == 0 || f.IsNull(0) {
			out.AppendNull()
			continue
		}
		if !a.many {
			if err := one(out, rows, floatAt(f, 0)); err != nil {
				return nil, err
			}
			continue
		}
		lo, hi := f.ListAt(0)
		for e := lo; e < hi; e++ {
			if f.Child.IsNull(e) {
				out.Elems().AppendNull()
			} else if err := one(out.Elems(), rows, floatAt(f.Child, e)); err != nil {
				return nil, err
			}
		}
		out.EndList()
	}
	return out.Build(), nil
}

// modeAgg is mode: the most frequent value, the first one in order among several.
// As equal values come together, a group needs the best run and the current one.
type modeAgg struct {
	noClose
	t          types.Type
	equal      func(a *vector.Vector, i int, b *vector.Vector, j int) int
	best, cur  []*vector.Vector // one row each
	bestN, num []int64
	used       int64
}

func (a *modeAgg) Grow(n int) {
	a.best, a.cur = grown(a.best, n), grown(a.cur, n)
	a.bestN, a.num = grown(a.bestN, n), grown(a.num, n)
}

func (a *modeAgg) Size() int64 {
	return sliceSize(a.best, 128) + sliceSize(a.cur, 128) + sliceSize(a.num, 16) + a.used
}

func (a *modeAgg) Update(groups []int32, args []*vector.Vector, n int) error {
	v := args[0].Flatten()
	for i := range n {
		if v.IsNull(i) {
			continue
		}
		g := group(groups, i)
		if a.cur[g] != nil && a.equal(a.cur[g], 0, v, i) == 0 {
			a.num[g]++
		} else {
			if a.cur[g] != nil {
				a.used -= a.cur[g].Size()
			}
			a.cur[g], a.num[g] = vector.Gather(v, []int32{int32(i)}), 1
			a.used += a.cur[g].Size()
		}
		if a.num[g] > a.bestN[g] {
			a.best[g], a.bestN[g] = a.cur[g], a.num[g]
		}
	}
	return nil
}

func (a *modeAgg) Merge([]int32, []*vector.Vector, int) error {
	return pgerr.New(pgerr.InternalError, "mode has no partial states")
}

func (a *modeAgg) State(int, int) ([]*vector.Vector, error) { return nil, a.Merge(nil, nil, 0) }

func (a *modeAgg) Final(from, to int) (*vector.Vector, error) {
	out := vector.NewBuilder(a.t, to-from)
	for _, b := range a.best[from:to] {
		if b == nil {
			out.AppendNull()
		} else {
			out.AppendFrom(b, 0)
		}
	}
	return out.Build(), nil
}

func registerOrderedSets(r *registry) {
	percentile := func(cont, many bool) func(args []types.Type) Aggregator {
		return func(args []types.Type) Aggregator {
			t := args[1].Bare()
			out := t
			if many {
				out = types.ArrayOf(t.ID)
			}
			return &percentileAgg{collector: newCollector(t), cont: cont, many: many, out: out}
		}
	}
	r.aggregate("percentile_cont(float8,float8) float8", percentile(true, false), nil, doc("continuous distribution percentile"))
	r.aggregate("percentile_cont(float8[],float8) float8[]", percentile(true, true), nil, doc("multiple continuous percentiles"))
	r.aggregate("percentile_disc(float8,anyelement) anyelement", percentile(false, false), nil, doc("discrete percentile"))
	r.aggregate("percentile_disc(float8[],anyelement) anyelement", percentile(false, true), nil, doc("multiple discrete percentiles"),
		func(f *Function) {
			f.Returns = types.T(types.AnyArray)
			f.ReturnType = func(args []types.Type) types.Type { return types.ArrayOf(args[1].ID) }
		})
	r.aggregate("mode(anyelement) anyelement", func(args []types.Type) Aggregator {
		return &modeAgg{t: args[0].Bare(), equal: Comparer(args[0].Bare())}
	}, nil, doc("most common value"))
	r.aggregate("approx_percentile(float8,float8) float8", func([]types.Type) Aggregator { return &digestAgg{} }, states(types.Bytea),
		doc("estimate of the value at a fraction of the sorted input"))
}
