package physical

import (
	"bytes"
	"context"

	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// batchSource is what the merger reads: exchange sources, spilled runs.
type batchSource interface {
	Next(ctx context.Context) (*vector.Batch, error)
}

// merger merges inputs that are each sorted by the keys. Ties come in the order
// of the inputs, so the merge is stable. A tree of losers compares the first 64
// bits of the keys, which stand in one array; whole keys are encoded for batches
// in which those tie. What one input gives in a round is copied as a piece, then
// all columns are gathered from the pieces, which are a batch in total and stay
// in the cache.
type merger struct {
	keys  *sortKeys
	ts    []types.Type
	ins   []batchSource
	cur   []mergeInput
	head  []uint64 // prefix of each input's current row
	tree  []int32  // tree[0] is the input with the first row, the others lost there
	start bool
	left  int // inputs that are not at their end
	rows  int
}

type mergeInput struct {
	b       *vector.Batch // nil at the end
	prefix  []uint64
	exact   bool
	vs      []*vector.Vector
	full    encodedKeys
	encoded bool
	at      int
	from    int   // first row that this round has not copied
	part    int32 // this round's piece of b, -1 = none yet
}

func newMerger(keys *sortKeys, ts []types.Type, ins []batchSource, rows int) *merger {
	return &merger{keys: keys, ts: ts, ins: ins, cur: make([]mergeInput, len(ins)), head: make([]uint64, len(ins)), rows: rows}
}

// advance loads the next batch of input i.
func (m *merger) advance(ctx context.Context, i int32) error {
	for {
		b, err := m.ins[i].Next(ctx)
		if err != nil {
			return err
		}
		if b == nil {
			m.cur[i] = mergeInput{part: -1}
			m.head[i] = 1<<64 - 1
			m.left--
			return nil
		}
		if b.Rows() == 0 {
			continue
		}
		b = b.Dense()
		vs, err := evalAll(ctx, m.keys.exprs, b)
		if err != nil {
			return err
		}
		p := keyPrefixes(vs, m.keys.orders, b.Rows())
		m.cur[i] = mergeInput{b: b, vs: vs, prefix: p.bits, exact: p.exact, part: -1}
		m.head[i] = p.bits[0]
		return nil
	}
}

func (m *merger) less(i, j int32) bool {
	a, b := m.head[i], m.head[j]
	if a != b {
		return a < b
	}
	return m.lessTied(i, j)
}

// lessTied compares rows with equal prefixes. An input at its end is behind all.
func (m *merger) lessTied(i, j int32) bool {
	a, b := &m.cur[i], &m.cur[j]
	if a.b == nil || b.b == nil {
		return a.b != nil || b.b == nil && i < j
	}
	if !a.exact || !b.exact {
		if c := bytes.Compare(m.key(a), m.key(b)); c != 0 {
			return c < 0
		}
	}
	return i < j
}

func (m *merger) key(c *mergeInput) []byte {
	if !c.encoded {
		c.full = encodeKeys(c.vs, m.keys.orders, c.b.Rows())
		c.encoded = true
	}
	return c.full.at(c.at)
}

// replay lets input w, whose row has changed, play its way up again.
func (m *merger) replay(w int32) {
	tree, head := m.tree, m.head
	k := head[w]
	for t := (int(w) + len(tree)) >> 1; t > 0; t >>= 1 {
		l := tree[t]
		lk := head[l]
		if lk < k || lk == k && m.lessTied(l, w) {
			tree[t], w, k = w, l, lk
		}
	}
	tree[0] = w
}

func (m *merger) open(ctx context.Context) error {
	m.start = true
	m.left = len(m.ins)
	for i := range m.ins {
		if err := m.advance(ctx, int32(i)); err != nil {
			return err
		}
	}
	// Play the tree from its leaves: node t has the children 2t and 2t+1, and
	// leaf k+i is input i.
	k := len(m.ins)
	m.tree = make([]int32, k)
	win := make([]int32, 2*k)
	for i := range k {
		win[k+i] = int32(i)
	}
	for t := k - 1; t > 0; t-- {
		a, b := win[2*t], win[2*t+1]
		if m.less(b, a) {
			a, b = b, a
		}
		win[t], m.tree[t] = a, b
	}
	if k > 1 {
		m.tree[0] = win[1]
	}
	return nil
}

// next is the least key among the inputs other than the winner.
func (m *merger) next() uint64 {
	least := ^uint64(0)
	for t := (int(m.tree[0]) + len(m.tree)) >> 1; t > 0; t >>= 1 {
		least = min(least, m.head[m.tree[t]])
	}
	return least
}

// longRun is the rows that one input must have given in a row before its next
// rows are compared with one bound rather than one by one.
const longRun = 8

// Next merges up to a batch of rows.
func (m *merger) Next(ctx context.Context) (*vector.Batch, error) {
	if !m.start {
		if err := m.open(ctx); err != nil {
			return nil, err
		}
	}
	if m.left == 0 {
		return nil, nil
	}
	if err := cancelled(ctx); err != nil {
		return nil, err
	}
	var pieces []*vector.Batch // nil until its end is known
	order := make([]int32, 0, m.rows)
	last, streak := int32(-1), 0
	for len(order) < m.rows && m.left > 0 {
		w := m.tree[0]
		c := &m.cur[w]
		if c.part < 0 {
			c.part = int32(len(pieces))
			c.from = c.at
			pieces = append(pieces, nil)
		}
		if w == last {
			streak++
		} else {
			last, streak = w, 0
		}
		order = append(order, c.part)
		c.at++
		if streak >= longRun {
			bound := m.next()
			for c.at < len(c.prefix) && len(order) < m.rows && c.prefix[c.at] < bound {
				order = append(order, c.part)
				c.at++
			}
			streak = 0
		}
		if c.at < len(c.prefix) {
			m.head[w] = c.prefix[c.at]
		} else {
			pieces[c.part] = c.b.Slice(c.from, c.at)
			if err := m.advance(ctx, w); err != nil {
				return nil, err
			}
		}
		m.replay(w)
	}
	for i := range m.cur {
		if c := &m.cur[i]; c.part >= 0 {
			pieces[c.part] = c.b.Slice(c.from, c.at)
			c.part = -1
		}
	}
	if len(pieces) == 1 {
		return pieces[0].Dense(), nil
	}
	// The rows of a piece come in order: its next row is the next of its number.
	at := make([]int32, len(pieces))
	n := int32(0)
	for i, p := range pieces {
		at[i] = n
		n += int32(p.Rows())
	}
	for i, p := range order {
		order[i] = at[p]
		at[p]++
	}
	cols := make([]*vector.Vector, len(m.ts))
	col := make([]*vector.Vector, len(pieces))
	for c := range cols {
		for i, p := range pieces {
			col[i] = p.Col(c)
		}
		cols[c] = vector.Gather(vector.Join(col), order)
	}
	return vector.NewBatch(cols, len(order)), nil
}
