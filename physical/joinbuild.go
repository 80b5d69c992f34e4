package physical

import (
	"bytes"
	"context"

	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// joinBuild is the right side of a join in memory: its columns one after the
// other, and for every key the rows that have it, in build order.
//
// Integer keys, if all their ranges together fit one word, are packed into it
// (joinWord) and found in an array over the range where that is small, else in an
// open table; other keys are numbered by a groupTable, which knows how to look up
// the codes of dictionaries once.
type joinBuild struct {
	cols []*vector.Vector
	rows int
	keys []*vector.Vector
	null []bool // rows with a NULL in a key that is not null-safe; nil = none
	// nullRows are the rows of null, for MARK.
	nullRows []int32
	seen     []bool         // RIGHT, FULL: rows that found a match
	number   *vector.Vector // of the rows, where they were in files and it is needed

	// Rows are kept with one added, so that 0 is none.
	next []int32 // per row: the next one of the same key; nil when all keys differ

	words []joinWord
	array []int32  // by word: the first row
	slots []uint64 // by hash: its high bits, and the first row; open addressing
	mask  uint64
	ints  []int64 // words of the rows, for slots

	table *groupTable
	first []int32 // by group: the first row
	// Groups of rows under way.
	groups []int32
}

// joinWord is the part of an integer key in the word of a row: the difference to
// the least of the build side, shifted.
type joinWord struct {
	lo    int64
	width uint64 // the greatest difference
	shift uint8
}

// isIntKey says whether the keys of a join are integers that may be packed.
func isIntKey(a, b []*Expr, nullSafe []bool) bool {
	for i := range a {
		if !isIntPhys(a[i].Type.Phys()) || !isIntPhys(b[i].Type.Phys()) || nullSafeAt(nullSafe, i) {
			return false
		}
	}
	return len(a) > 0
}

func nullSafeAt(nullSafe []bool, i int) bool { return i < len(nullSafe) && nullSafe[i] }

// nullKeys marks the rows that cannot match since a key is NULL; nil = none.
func nullKeys(keys []*vector.Vector, nullSafe []bool, n int) []bool {
	var out []bool
	for c, k := range keys {
		if k.Valid == nil || nullSafeAt(nullSafe, c) {
			continue
		}
		if out == nil {
			out = make([]bool, n)
		}
		for i := range out {
			out[i] = out[i] || k.IsNull(i)
		}
	}
	return out
}

// newJoinBuild makes the table over columns cols and keys; lts are the types of
// the other side's keys. Without keys there is none: every row is a candidate.
func newJoinBuild(ctx context.Context, cols, keys []*vector.Vector, lts []types.Type, nullSafe []bool, isInt bool, n int) (*joinBuild, error) {
	b := &joinBuild{cols: cols, rows: n, keys: keys}
	if len(keys) == 0 {
		return b, nil
	}
	b.null = nullKeys(keys, nullSafe, n)
	for i, x := range b.null {
		if x {
			b.nullRows = append(b.nullRows, int32(i))
		}
	}
	if isInt && b.packed() {
		return b, b.enterWords(ctx)
	}
	return b, b.enterGroups(ctx, lts)
}

// enterWords enters the rows by their words, from the last to the first, so that
// the rows of a key ascend.
func (b *joinBuild) enterWords(ctx context.Context) error {
	ints := make([]int64, b.rows)
	if !b.arrayFits() {
		b.ints = ints
		size := 64
		for 2*size < 3*b.rows {
			size *= 2
		}
		b.slots, b.mask = make([]uint64, size), uint64(size-1)
	}
	for c := range b.keys {
		packWords(b.keys[c].Flatten(), b.words[c], c == 0, ints, nil)
	}
	for to := b.rows; to > 0; to -= min(to, 1<<16) {
		if err := cancelled(ctx); err != nil {
			return err
		}
		from := to - min(to, 1<<16)
		if b.array != nil {
			for i := to - 1; i >= from; i-- {
				if b.null == nil || !b.null[i] {
					at := &b.array[ints[i]]
					if *at != 0 {
						b.follow(i, *at)
					}
					*at = int32(i) + 1
				}
			}
			continue
		}
		for i := to - 1; i >= from; i-- {
			if b.null == nil || !b.null[i] {
				b.enterSlot(i)
			}
		}
	}
	return nil
}

func (b *joinBuild) enterSlot(i int) {
	x := b.ints[i]
	h := hashInt(x)
	at := h & b.mask
	for {
		s := b.slots[at]
		if s == 0 {
			break
		}
		if s>>32 == h>>32 && b.ints[uint32(s)-1] == x {
			b.follow(i, int32(uint32(s)))
			break
		}
		at = (at + 1) & b.mask
	}
	b.slots[at] = h>>32<<32 | uint64(i+1)
}

// follow notes that row i is followed by one that has its key.
func (b *joinBuild) follow(i int, next int32) {
	if b.next == nil {
		b.next = make([]int32, b.rows)
	}
	b.next[i] = next
}

// enterGroups enters the rows by the groups that a groupTable gives their keys.
func (b *joinBuild) enterGroups(ctx context.Context, lts []types.Type) error {
	b.table = newJoinTable(b.keys, lts)
	groups := make([]int32, b.rows)
	const block = 1 << 16
	for from := 0; from < b.rows; from += block {
		to := min(from+block, b.rows)
		part := make([]*vector.Vector, len(b.keys))
		for c, k := range b.keys {
			part[c] = vector.Slice(k, from, to)
		}
		if _, err := b.table.find(ctx, part, to-from, groups[from:to], true); err != nil {
			return err
		}
		if err := cancelled(ctx); err != nil {
			return err
		}
	}
	b.first = make([]int32, b.table.n)
	for i := b.rows - 1; i >= 0; i-- {
		if b.null != nil && b.null[i] {
			continue
		}
		at := &b.first[groups[i]]
		if *at != 0 {
			b.follow(i, *at)
		}
		*at = int32(i) + 1
	}
	return nil
}

// newJoinTable makes a groupTable for keys that does not keep them; lts are the
// types of those that are looked up in it.
func newJoinTable(keys []*vector.Vector, lts []types.Type) *groupTable {
	ts := make([]types.Type, len(keys))
	for c, k := range keys {
		ts[c] = k.Type
	}
	t := newGroupTable(ts)
	clear(t.keys)
	for c := range keys {
		if plainBytes(lts[c]) {
			continue
		}
		switch {
		case t.values != nil:
			t.values.plain = false
		case t.words != nil && t.words.fields[c].values != nil:
			t.words.fields[c].values.plain = false
		}
	}
	return t
}

// probeKeys are the keys of a probe batch.
type probeKeys struct {
	null []bool
	at   []int32 // the first match of each row, -1 = none
	hits int     // rows that have one
	vs   []*vector.Vector
}

// probe finds the first match of every row.
func (b *joinBuild) probe(ctx context.Context, keys []*vector.Vector, nullSafe []bool, n int) (*probeKeys, error) {
	p := &probeKeys{vs: keys, at: dirtyInts(n)}
	if len(b.keys) == 0 {
		if b.rows > 0 {
			clear(p.at)
			p.hits = n
			return p, nil
		}
		for i := range p.at {
			p.at[i] = -1
		}
		return p, nil
	}
	p.null = nullKeys(keys, nullSafe, n)
	if b.table != nil {
		if err := b.probeGroups(ctx, p, n); err != nil {
			return nil, err
		}
	} else {
		b.probeWords(p, n)
	}
	for i, x := range p.null {
		if x && p.at[i] >= 0 {
			p.at[i] = -1
			p.hits--
		}
	}
	return p, nil
}

func (b *joinBuild) probeGroups(ctx context.Context, p *probeKeys, n int) error {
	if cap(b.groups) < n {
		b.groups = make([]int32, n)
	}
	groups := b.groups[:n]
	if b.table.values != nil {
		b.table.values.number(p.vs[0], n, groups, false)
	} else if _, err := b.table.find(ctx, p.vs, n, groups, false); err != nil {
		return err
	}
	hits := 0
	for i, g := range groups {
		r := int32(0)
		if g >= 0 {
			r = b.first[g]
		}
		p.at[i] = r - 1
		if r != 0 {
			hits++
		}
	}
	p.hits = hits
	return nil
}

// pairs are candidates: rows of a batch with build rows that have their keys.
// Left is nil where it would be 0, 1, 2, …
type pairs struct{ left, right []int32 }

// dirtyInts returns n numbers that hold anything, for a caller that writes those
// that it uses.
func dirtyInts(n int) []int32 { return vector.Values[int32](vector.NewDirty(types.T(types.Int4), n)) }

// unique returns the pairs of a batch whose rows have one match at most.
func (p *probeKeys) unique() pairs {
	if p.hits == len(p.at) {
		return pairs{nil, p.at}
	}
	left, right := dirtyInts(len(p.at)), dirtyInts(len(p.at))
	k := 0
	for i, r := range p.at {
		left[k], right[k] = int32(i), r
		k += int(uint32(r)>>31 ^ 1)
	}
	return pairs{left[:k:k], right[:k:k]}
}

// mayEqual reports whether the keys of a probe row and a build row are equal or
// not comparable for a NULL: then x IN (…) is NULL where no other row matches.
func (b *joinBuild) mayEqual(p *probeKeys, i int, r int32, nullSafe []bool) bool {
	for c, k := range b.keys {
		pn, bn := p.vs[c].IsNull(i), k.IsNull(int(r))
		if (pn || bn) && !nullSafeAt(nullSafe, c) {
			continue
		}
		x := vector.Slice(p.vs[c], i, i+1).Flatten()
		y := vector.Slice(k, int(r), int(r)+1).Flatten()
		if isIntPhys(k.Type.Phys()) && k.Type.Phys() != p.vs[c].Type.Phys() {
			if widen(x)[0] != widen(y)[0] {
				return false
			}
			continue
		}
		kx := encodeKeys([]*vector.Vector{x}, nil, 1)
		ky := encodeKeys([]*vector.Vector{y.Retype(x.Type)}, nil, 1)
		if !bytes.Equal(kx.at(0), ky.at(0)) {
			return false
		}
	}
	return true
}

// joinTableBytes is the memory of the table beside the columns, at most.
func joinTableBytes(rows int, keys []*vector.Vector, isInt bool) int64 {
	per := int64(32 + 8 + 4 + 1) // array or slots, words, next, marks
	if isInt {
		return int64(rows) * per
	}
	bytes := int64(rows) * (per + 8*int64(len(keys)))
	for _, k := range keys {
		if w := keyWidth(k.Type.Phys()); w >= 0 {
			bytes += int64(rows) * int64(w+16)
			continue
		}
		bytes += vectorBytes(k) + int64(rows)*24
	}
	return bytes
}
