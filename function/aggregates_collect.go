package function

import (
	"math"
	"slices"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// collector keeps rows of columns per group, in input order within a group. It
// holds on to the vectors it is given and sorts row numbers by group once
// somebody asks.
type collector struct {
	t      []types.Type
	chunks [][]*vector.Vector // per column
	owner  []int32            // group of each row, chunk after chunk
	groups int
	size   int64

	sorted bool
	order  []int32 // rows by group
	offs   []int32 // group g has order[offs[g]:offs[g+1]]
}

func newCollector(ts ...types.Type) collector {
	return collector{t: ts, chunks: make([][]*vector.Vector, len(ts))}
}

func (c *collector) Grow(n int) {
	if n > c.groups {
		c.groups, c.sorted = n, false
	}
}

func (c *collector) Size() int64 {
	return c.size + sliceSize(c.owner, 4) + sliceSize(c.order, 4) + sliceSize(c.offs, 4)
}

// add keeps the rows of cols for which keep is true, all if keep is nil.
func (c *collector) add(groups []int32, cols []*vector.Vector, n int, keep func(i int) bool) {
	var sel []int32
	if keep != nil {
		for i := range n {
			if keep(i) {
				sel = append(sel, int32(i))
			}
		}
		if len(sel) == n {
			sel = nil
		} else if len(sel) == 0 {
			return
		}
	}
	if sel == nil {
		if groups == nil {
			c.owner = grown(c.owner, len(c.owner)+n)
		} else {
			c.owner = append(c.owner, groups[:n]...)
		}
	} else {
		for _, i := range sel {
			c.owner = append(c.owner, group(groups, int(i)))
		}
	}
	for k, v := range cols {
		if sel != nil {
			v = vector.Gather(v, sel)
		}
		c.chunks[k] = append(c.chunks[k], v.Retype(c.t[k]))
		c.size += v.Size()
	}
	c.sorted = false
}

// merge adds the elements of list columns.
func (c *collector) merge(groups []int32, states []*vector.Vector, n int) {
	flat := make([]*vector.Vector, len(states))
	for k, s := range states {
		flat[k] = s.Flatten()
	}
	var owner, elems []int32
	for i := range n {
		if flat[0].IsNull(i) {
			continue
		}
		from, to := flat[0].ListAt(i)
		for e := from; e < to; e++ {
			owner = append(owner, group(groups, i))
			elems = append(elems, int32(e))
		}
	}
	if len(owner) == 0 {
		return
	}
	cols := make([]*vector.Vector, len(flat))
	for k, s := range flat {
		cols[k] = vector.Gather(s.Child, elems)
	}
	c.add(owner, cols, len(owner), nil)
}

// sort makes one chunk per column, and the rows of each group.
func (c *collector) sort() error {
	if c.sorted {
		return nil
	}
	for k := range c.chunks {
		total := 0
		for _, v := range c.chunks[k] {
			if v.Form == vector.Const && v.Type.Phys() == types.PhysBytes {
				total += v.Len * len(v.BytesAt(0))
			} else {
				total += len(v.Bytes)
			}
		}
		if total > maxBytes {
			return pgerr.New(pgerr.ProgramLimitExceeded, "the values collected by one aggregate exceed 2 GB")
		}
		if len(c.chunks[k]) > 0 {
			c.chunks[k] = []*vector.Vector{vector.Concat(c.chunks[k])}
		} else {
			c.chunks[k] = []*vector.Vector{vector.New(c.t[k], 0)}
		}
	}
	c.offs = make([]int32, c.groups+1)
	for _, g := range c.owner {
		c.offs[g+1]++
	}
	for g := range c.groups {
		c.offs[g+1] += c.offs[g]
	}
	at := slices.Clone(c.offs)
	c.order = make([]int32, len(c.owner))
	for i, g := range c.owner {
		c.order[at[g]] = int32(i)
		at[g]++
	}
	c.sorted = true
	return nil
}

// lists returns column k of groups [from, to) as arrays of type t; groups
// without rows are NULL.
func (c *collector) lists(k int, t types.Type, from, to int) (*vector.Vector, error) {
	if err := c.sort(); err != nil {
		return nil, err
	}
	base := c.offs[from]
	offs := make([]int32, to-from+1)
	var nulls []int
	for i := range offs {
		offs[i] = c.offs[from+i] - base
		if i > 0 && offs[i] == offs[i-1] {
			nulls = append(nulls, i-1)
		}
	}
	elems := vector.Gather(c.chunks[k][0], c.order[base:c.offs[to]])
	return setNulls(vector.FromList(t, offs, elems.Flatten()), nulls), nil
}

// rows returns the columns and the row numbers of group g.
func (c *collector) rows(g int) []int32 { return c.order[c.offs[g]:c.offs[g+1]] }

// arrayAgg is array_agg.
type arrayAgg struct {
	noClose
	collector
}

func (a *arrayAgg) Update(groups []int32, args []*vector.Vector, n int) error {
	a.add(groups, args, n, nil)
	return nil
}

func (a *arrayAgg) Merge(groups []int32, states []*vector.Vector, n int) error {
	a.merge(groups, states, n)
	return nil
}

func (a *arrayAgg) State(from, to int) ([]*vector.Vector, error) {
	v, err := a.Final(from, to)
	return []*vector.Vector{v}, err
}

func (a *arrayAgg) Final(from, to int) (*vector.Vector, error) {
	return a.lists(0, types.ListOf(a.t[0]), from, to)
}

// stringAgg is string_agg of text and bytea: values and their delimiters, as
// the delimiter of the first value of a group is known only once states meet.
type stringAgg struct {
	noClose
	collector
}

func (a *stringAgg) Update(groups []int32, args []*vector.Vector, n int) error {
	v := args[0]
	a.add(groups, args[:2], n, func(i int) bool { return !v.IsNull(i) })
	return nil
}

func (a *stringAgg) Merge(groups []int32, states []*vector.Vector, n int) error {
	a.merge(groups, states, n)
	return nil
}

func (a *stringAgg) State(from, to int) ([]*vector.Vector, error) {
	t := types.ListOf(a.t[0])
	v, err := a.lists(0, t, from, to)
	if err != nil {
		return nil, err
	}
	d, err := a.lists(1, t, from, to)
	return []*vector.Vector{v, d}, err
}

func (a *stringAgg) Final(from, to int) (*vector.Vector, error) {
	if err := a.sort(); err != nil {
		return nil, err
	}
	vals, delims := a.chunks[0][0], a.chunks[1][0]
	out := vector.NewBuilder(a.t[0], to-from)
	var buf []byte
	for g := from; g < to; g++ {
		rows := a.rows(g)
		if len(rows) == 0 {
			out.AppendNull()
			continue
		}
		buf = buf[:0]
		for i, r := range rows {
			if i > 0 && !delims.IsNull(int(r)) {
				buf = append(buf, delims.BytesAt(int(r))...)
			}
			buf = append(buf, vals.BytesAt(int(r))...)
		}
		if out.Size()+int64(len(buf)) > maxBytes {
			return nil, errTooLong()
		}
		out.AppendBytes(buf)
	}
	return out.Build(), nil
}

// medianAgg is median(float8): the mean of the two values in the middle.
type medianAgg struct {
	noClose
	collector
}

func (a *medianAgg) Update(groups []int32, args []*vector.Vector, n int) error {
	v := args[0]
	var keep func(int) bool
	if v.HasNulls() {
		keep = func(i int) bool { return !v.IsNull(i) }
	}
	a.add(groups, args, n, keep)
	return nil
}

func (a *medianAgg) Merge(groups []int32, states []*vector.Vector, n int) error {
	a.merge(groups, states, n)
	return nil
}

func (a *medianAgg) State(from, to int) ([]*vector.Vector, error) {
	v, err := a.lists(0, types.ArrayOf(types.Float8), from, to)
	return []*vector.Vector{v}, err
}

func (a *medianAgg) Final(from, to int) (*vector.Vector, error) {
	if err := a.sort(); err != nil {
		return nil, err
	}
	vals := vector.Values[float64](a.chunks[0][0])
	var buf []float64
	return floatResults(to-from, func(i int) (float64, bool) {
		buf = buf[:0]
		for _, r := range a.rows(from + i) {
			buf = append(buf, vals[r])
		}
		if len(buf) == 0 {
			return 0, false
		}
		slices.SortFunc(buf, types.CompareFloat[float64])
		lo, hi := buf[(len(buf)-1)/2], buf[len(buf)/2]
		if lo == hi || math.IsNaN(hi) {
			return hi, true
		}
		return lo + (hi-lo)*0.5, true
	}), nil
}

// anyValueAgg keeps the first value that is not NULL.
type anyValueAgg struct {
	noClose
	collector
	seen []bool
}

func (a *anyValueAgg) Grow(n int) {
	a.collector.Grow(n)
	a.seen = grown(a.seen, n)
}

func (a *anyValueAgg) Size() int64 { return a.collector.Size() + sliceSize(a.seen, 1) }

func (a *anyValueAgg) Update(groups []int32, args []*vector.Vector, n int) error {
	if groups == nil && a.seen[0] {
		return nil
	}
	v := args[0]
	if v.Form == vector.Const {
		v = v.Flatten()
	}
	a.add(groups, []*vector.Vector{v}, n, func(i int) bool {
		g := group(groups, i)
		if a.seen[g] || v.IsNull(i) {
			return false
		}
		a.seen[g] = true
		return true
	})
	return nil
}

func (a *anyValueAgg) Merge(groups []int32, states []*vector.Vector, n int) error {
	return a.Update(groups, states, n)
}

func (a *anyValueAgg) State(from, to int) ([]*vector.Vector, error) {
	v, err := a.Final(from, to)
	return []*vector.Vector{v}, err
}

func (a *anyValueAgg) Final(from, to int) (*vector.Vector, error) {
	if err := a.sort(); err != nil {
		return nil, err
	}
	idx := make([]int32, to-from)
	for i := range idx {
		idx[i] = -1
		if rows := a.rows(from + i); len(rows) > 0 {
			idx[i] = rows[0]
		}
	}
	return vector.GatherNull(a.chunks[0][0], idx).Retype(a.t[0]), nil
}

func registerCollectors(r *registry) {
	r.aggregate("array_agg(anyelement) anyarray", func(args []types.Type) Aggregator {
		return &arrayAgg{collector: newCollector(args[0].Bare())}
	}, func(args []types.Type) []types.Type { return []types.Type{types.ListOf(args[0])} }, doc("concatenate aggregate input into an array"))
	for _, typ := range []string{"text", "bytea"} {
		t := signatureType(typ)
		r.aggregate("string_agg("+typ+","+typ+") "+typ, func([]types.Type) Aggregator {
			return &stringAgg{collector: newCollector(t, t)}
		}, func([]types.Type) []types.Type { return []types.Type{types.ListOf(t), types.ListOf(t)} },
			doc("concatenate aggregate input into a string"))
	}
	r.aggregate("median(float8) float8", func([]types.Type) Aggregator {
		return &medianAgg{collector: newCollector(types.T(types.Float8))}
	}, func([]types.Type) []types.Type { return []types.Type{types.ArrayOf(types.Float8)} }, doc("middle value, the mean of two for an even number"))
	r.aggregate("any_value(anyelement) anyelement", func(args []types.Type) Aggregator {
		return &anyValueAgg{collector: newCollector(args[0])}
	}, func(args []types.Type) []types.Type { return args[:1] }, doc("some value that is not null"))
}
