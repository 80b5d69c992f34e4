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
	// With counts only the values of the ranks that the fractions ask for are kept.
	counts []int64   // per group
	seen   []int64   // rows so far, per group
	ranks  [][]int64 // per group, ascending
}

// SelfSorting is an Aggregator over ordered rows that may do without the order.
type SelfSorting interface {
	// TakeUnsorted says, before the first row, that rows are not in ascending order
	// of the last argument. false: they have to be.
	TakeUnsorted() bool
}

// Ranked is an Aggregator over rows in ascending order of their groups and of its
// last argument that keeps but a few of them when it knows how many there are.
type Ranked interface {
	// TakeCounts says, before the first row, how many rows whose last argument is not
	// NULL each group has.
	TakeCounts(counts []int64)
}

// TakeCounts implements Ranked.
func (a *percentileAgg) TakeCounts(counts []int64) {
	a.counts = counts
	a.seen, a.ranks = make([]int64, len(counts)), make([][]int64, len(counts))
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

func (a *percentileAgg) Size() int64 {
	return a.collector.Size() + sliceSize(a.fracs, 128) + sliceSize(a.counts, 8) + sliceSize(a.seen, 8) + sliceSize(a.ranks, 48)
}

func (a *percentileAgg) Update(groups []int32, args []*vector.Vector, n int) error {
	v := args[1]
	for i := range n {
		if g := group(groups, i); a.fracs[g] == nil && !v.IsNull(i) {
			a.fracs[g] = vector.Gather(args[0], []int32{int32(i)}).Flatten()
			if a.counts != nil {
				a.ranks[g] = a.ranksOf(a.fracs[g], a.counts[g])
			}
		}
	}
	if a.counts != nil {
		a.pick(groups, v, n)
		return nil
	}
	if v.HasNulls() {
		a.add(groups, args[1:], n, func(i int) bool { return !v.IsNull(i) })
	} else {
		a.add(groups, args[1:], n, nil)
	}
	return nil
}

// ranksOf lists the ranks of n values that decide the percentiles of f.
func (a *percentileAgg) ranksOf(f *vector.Vector, n int64) []int64 {
	var ranks []int64
	one := func(p float64) {
		if !(p >= 0 && p <= 1) {
			return // Final's error
		}
		lo, hi := a.places(p, n)
		ranks = append(ranks, lo, hi)
	}
	switch {
	case f.IsNull(0):
	case !a.many:
		one(floatAt(f, 0))
	default:
		lo, hi := f.ListAt(0)
		for e := lo; e < hi; e++ {
			if !f.Child.IsNull(e) {
				one(floatAt(f.Child, e))
			}
		}
	}
	slices.Sort(ranks)
	return slices.Compact(ranks)
}

// places are the ranks, from 0, of the values around fraction p of n.
func (a *percentileAgg) places(p float64, n int64) (lo, hi int64) {
	if !a.cont {
		lo = max(int64(math.Ceil(p*float64(n))), 1) - 1
		return lo, lo
	}
	at := p * float64(n-1)
	return int64(math.Floor(at)), int64(math.Ceil(at))
}

// pick keeps those of v's rows, which come in order, that have a rank asked for.
func (a *percentileAgg) pick(groups []int32, v *vector.Vector, n int) {
	var rows, owner []int32
	for i := 0; i < n; {
		g := group(groups, i)
		end := i + 1
		for end < n && group(groups, end) == g {
			end++
		}
		if !v.HasNulls() {
			from, _ := slices.BinarySearch(a.ranks[g], a.seen[g])
			for _, r := range a.ranks[g][from:] {
				at := r - a.seen[g]
				if at >= int64(end-i) {
					break
				}
				rows, owner = append(rows, int32(i)+int32(at)), append(owner, g)
			}
			a.seen[g] += int64(end - i)
		} else {
			for k := i; k < end; k++ {
				if v.IsNull(k) {
					continue
				}
				if _, ok := slices.BinarySearch(a.ranks[g], a.seen[g]); ok {
					rows, owner = append(rows, int32(k)), append(owner, g)
				}
				a.seen[g]++
			}
		}
		i = end
	}
	if len(rows) > 0 {
		a.add(owner, []*vector.Vector{vector.Gather(v, rows)}, len(rows), nil)
	}
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
	one := func(dst *vector.Builder, g int, rows []int32, p float64) error {
		if !(p >= 0 && p <= 1) {
			return pgerr.New(pgerr.NumericValueOutOfRange, "percentile value %g is not between 0 and 1", p)
		}
		n := int64(len(rows))
		row := func(rank int64) int { return int(rows[rank]) }
		if a.counts != nil {
			n = a.counts[g]
			row = func(rank int64) int {
				k, _ := slices.BinarySearch(a.ranks[g], rank)
				return int(rows[k])
			}
		}
		first, second := a.places(p, n)
		if !a.cont {
			dst.AppendFrom(vals, row(first))
			return nil
		}
		var lo, hi float64
		if a.unsorted {
			lo, hi = a.ranked(vals, rows, int(first), int(second))
		} else {
			lo, hi = floatAt(vals, row(first)), floatAt(vals, row(second))
		}
		if at := p * float64(n-1); lo != hi {
			lo += (at - math.Floor(at)) * (hi - lo)
		}
		vector.Append(dst, lo)
		return nil
	}
	for g := from; g < to; g++ {
		rows, f := a.rows(g), a.fracs[g]
		if f == nil || f.IsNull(0) || len(rows) == 0 && a.counts == nil {
			out.AppendNull()
			continue
		}
		if !a.many {
			if err := one(out, g, rows, floatAt(f, 0)); err != nil {
				return nil, err
			}
			continue
		}
		lo, hi := f.ListAt(0)
		for e := lo; e < hi; e++ {
			if f.Child.IsNull(e) {
				out.Elems().AppendNull()
			} else if err := one(out.Elems(), g, rows, floatAt(f.Child, e)); err != nil {
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
