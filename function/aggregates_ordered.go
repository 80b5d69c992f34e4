package function

import (
	"math"
	"slices"

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
	// unsorted: the values come in any order, and are not more than one fraction of
	// a percentile_cont needs.
	unsorted bool
	scratch  []float64
}

// SelfSorting is an Aggregator over ordered rows that may do without the order.
type SelfSorting interface {
	// TakeUnsorted says, before the first row, that rows are not in ascending order
	// of the last argument. false: they have to be.
	TakeUnsorted() bool
}

// TakeUnsorted implements SelfSorting.
func (a *percentileAgg) TakeUnsorted() bool {
	a.unsorted = a.cont && !a.many
	return a.unsorted
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
	if v.HasNulls() {
		a.add(groups, args[1:], n, func(i int) bool { return !v.IsNull(i) })
	} else {
		a.add(groups, args[1:], n, nil)
	}
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
		var lo, hi float64
		if a.unsorted {
			lo, hi = a.ranked(vals, rows, int(math.Floor(at)), int(math.Ceil(at)))
		} else {
			lo, hi = floatAt(vals, int(rows[int(math.Floor(at))])), floatAt(vals, int(rows[int(math.Ceil(at))]))
		}
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

// ranked returns the values of ranks i and j, i ≤ j ≤ i+1, among rows.
func (a *percentileAgg) ranked(vals *vector.Vector, rows []int32, i, j int) (lo, hi float64) {
	x := grown(a.scratch, len(rows))[:len(rows)]
	a.scratch = x
	flat := vector.Values[float64](vals)
	n := 0 // NaN sorts behind all numbers
	for _, r := range rows {
		if f := flat[r]; f == f {
			x[n] = f
			n++
		}
	}
	lo, hi = math.NaN(), math.NaN()
	if i < n {
		lo = selectRank(x[:n], i)
	}
	switch {
	case i == j:
		hi = lo
	case j < n:
		hi = slices.Min(x[j:n])
	}
	return lo, hi
}

// selectRank returns the value of rank k of x, which has no NaN: those before it are
// moved to its left, the others to its right.
func selectRank(x []float64, k int) float64 {
	from, to := 0, len(x)-1
	for tries := 0; from < to; tries++ {
		if tries > 64 {
			slices.Sort(x[from : to+1]) // an order that defeats the choice of pivots
			break
		}
		mid := from + (to-from)/2
		if x[mid] < x[from] {
			x[mid], x[from] = x[from], x[mid]
		}
		if x[to] < x[from] {
			x[to], x[from] = x[from], x[to]
		}
		if x[to] < x[mid] {
			x[to], x[mid] = x[mid], x[to]
		}
		pivot := x[mid]
		i, j := from, to
		for i <= j {
			for x[i] < pivot {
				i++
			}
			for pivot < x[j] {
				j--
			}
			if i <= j {
				x[i], x[j] = x[j], x[i]
				i++
				j--
			}
		}
		switch {
		case k <= j:
			to = j
		case k >= i:
			from = i
		default:
			return x[k]
		}
	}
	return x[k]
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
				out = types.ListOf(t)
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
			f.ReturnType = func(args []types.Type) types.Type { return types.ListOf(args[1]) }
		})
	r.aggregate("mode(anyelement) anyelement", func(args []types.Type) Aggregator {
		return &modeAgg{t: args[0].Bare(), equal: Comparer(args[0].Bare())}
	}, nil, doc("most common value"))
	r.aggregate("approx_percentile(float8,float8) float8", func([]types.Type) Aggregator { return &digestAgg{} }, states(types.Bytea),
		doc("estimate of the value at a fraction of the sorted input"))
}
