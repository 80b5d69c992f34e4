package physical

import (
	"bytes"
	"context"

	"github.com/zeebo/xxh3"

	"github.com/volleydb/volley/vector"
)

// joinBuild is the right side of a join in memory: its columns one after the
// other, and a table chained through next. Rows of a chain ascend, so matches
// come in build order.
type joinBuild struct {
	cols []*vector.Vector
	rows int

	head []int32 // by hash: the first row of the chain, -1 = none
	next []int32 // per row
	mask uint64

	isInt bool
	ints  []int64 // the keys, if one integer column
	enc   encodedKeys
	null  []bool // rows with a NULL in a key that is not null-safe; nil = none
	seen  []bool // RIGHT, FULL: rows that found a match
	keys  []*vector.Vector
	// nullRows are the rows of null, for MARK.
	nullRows []int32
}

// isIntKey says whether the single key of a join goes without encoding.
func isIntKey(a, b []*Expr, nullSafe []bool) bool {
	return len(a) == 1 && isIntPhys(a[0].Type.Phys()) && isIntPhys(b[0].Type.Phys()) && !nullSafeAt(nullSafe, 0)
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

// newJoinBuild makes the table over columns cols and keys. Without keys there is
// none: every row is a candidate.
func newJoinBuild(ctx context.Context, cols, keys []*vector.Vector, nullSafe []bool, isInt bool, n int) (*joinBuild, error) {
	b := &joinBuild{cols: cols, rows: n, keys: keys, isInt: isInt}
	if len(keys) == 0 {
		return b, nil
	}
	b.null = nullKeys(keys, nullSafe, n)
	for i, x := range b.null {
		if x {
			b.nullRows = append(b.nullRows, int32(i))
		}
	}
	size := 1024
	for size < 2*n {
		size *= 2
	}
	b.mask = uint64(size - 1)
	b.head = make([]int32, size)
	for i := range b.head {
		b.head[i] = -1
	}
	b.next = make([]int32, n)
	if isInt {
		b.ints = widen(keys[0].Flatten())
	} else {
		b.enc = encodeKeys(keys, nil, n)
	}
	// From the last row to the first, so that chains ascend.
	for i := n - 1; i >= 0; i-- {
		if i&0xffff == 0 {
			if err := cancelled(ctx); err != nil {
				return nil, err
			}
		}
		if b.null != nil && b.null[i] {
			continue
		}
		var h uint64
		if isInt {
			h = hashInt(b.ints[i])
		} else {
			h = xxh3.Hash(b.enc.at(i))
		}
		h &= b.mask
		b.next[i] = b.head[h]
		b.head[h] = int32(i)
	}
	return b, nil
}

// probeKeys are the keys of a probe batch.
type probeKeys struct {
	ints []int64
	enc  encodedKeys
	null []bool
	at   []int32 // first row of each row's chain
	// Of integer keys: what stands at the first row of the chain. Read for the
	// whole batch at once, the cache misses overlap.
	key0  []int64
	next0 []int32
	vs    []*vector.Vector
}

func (b *joinBuild) probe(keys []*vector.Vector, nullSafe []bool, n int) *probeKeys {
	p := &probeKeys{vs: keys}
	if len(b.keys) == 0 {
		return p
	}
	p.null = nullKeys(keys, nullSafe, n)
	p.at = make([]int32, n)
	if b.isInt {
		p.ints = widen(keys[0].Flatten())

		for i, k := range p.ints {
			p.at[i] = b.head[hashInt(k)&b.mask]
		}
		p.key0, p.next0 = make([]int64, n), make([]int32, n)
		for i, r := range p.at {
			if r >= 0 {
				p.key0[i], p.next0[i] = b.ints[r], b.next[r]
			}
		}
	} else {
		p.enc = encodeKeys(keys, nil, n)
		for i := range n {
			p.at[i] = b.head[xxh3.Hash(p.enc.at(i))&b.mask]
		}
	}
	for i, x := range p.null {
		if x {
			p.at[i] = -1
		}
	}
	return p
}

// first returns the first match of probe row i, -1 for none.
func (b *joinBuild) first(p *probeKeys, i int) int32 {
	if len(b.keys) == 0 {
		if b.rows == 0 {
			return -1
		}
		return 0
	}
	r := p.at[i]
	if b.isInt && r >= 0 {
		if p.key0[i] == p.ints[i] {
			return r
		}
		r = p.next0[i]
	}
	return b.match(p, i, r)
}

// following returns the match after row r.
func (b *joinBuild) following(p *probeKeys, i int, r int32) int32 {
	if len(b.keys) == 0 {
		if int(r)+1 < b.rows {
			return r + 1
		}
		return -1
	}
	if b.isInt && r == p.at[i] {
		r = p.next0[i]
	} else {
		r = b.next[r]
	}
	if r < 0 {
		return r
	}
	return b.match(p, i, r)
}

func (b *joinBuild) match(p *probeKeys, i int, r int32) int32 {
	if b.isInt {
		k := p.ints[i]
		for r >= 0 && b.ints[r] != k {
			r = b.next[r]
		}
		return r
	}
	if r < 0 {
		return r
	}
	k := p.enc.at(i)
	for r >= 0 && !bytes.Equal(b.enc.at(int(r)), k) {
		r = b.next[r]
	}
	return r
}

// mayEqual reports whether the keys of a probe row and a build row are equal or
// not comparable for a NULL: then x IN (…) is NULL where no other row matches.
func (b *joinBuild) mayEqual(p *probeKeys, i int, r int32, nullSafe []bool) bool {
	for c, k := range b.keys {
		pn, bn := p.vs[c].IsNull(i), k.IsNull(int(r))
		if (pn || bn) && !nullSafeAt(nullSafe, c) {
			continue
		}
		x := encodeKeys([]*vector.Vector{vector.Slice(p.vs[c], i, i+1)}, nil, 1)
		y := encodeKeys([]*vector.Vector{vector.Slice(k, int(r), int(r)+1).Retype(p.vs[c].Type)}, nil, 1)
		if isIntPhys(k.Type.Phys()) && k.Type.Phys() != p.vs[c].Type.Phys() {
			if widen(vector.Slice(p.vs[c], i, i+1).Flatten())[0] != widen(vector.Slice(k, int(r), int(r)+1).Flatten())[0] {
				return false
			}
			continue
		}
		if !bytes.Equal(x.at(0), y.at(0)) {
			return false
		}
	}
	return true
}

// joinTableBytes is the memory of the table beside the columns.
func joinTableBytes(rows int, isInt bool) int64 {
	per := int64(4 + 16 + 1) // next, heads at most half full and rounded up, marks
	if !isInt {
		per += 24
	}
	return int64(rows) * per
}
