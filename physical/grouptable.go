package physical

import (
	"context"
	"math/bits"

	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// groupTable numbers distinct keys in the order of their first appearance. NULL
// is a key like others. Open addressing with linear probing, at most half full;
// the key columns are kept as they first came.
//
// Ways to find a group: a single integer key stands in the slot itself; a single
// string key is numbered by a valueTable; several keys are packed into words, in
// which strings and what else has no fixed small width stand as the numbers that
// valueTables of their columns give them (groupwords.go); a single key of another
// type is encoded (encodeKeys) and numbered. Keys that are all dictionary codes go
// through a table from the combined code to the group, which holds as long as the
// dictionaries are the same ones.
type groupTable struct {
	ts   []types.Type
	n    int
	keys []*vector.Appender // nil where the column's valueTable has the values

	isInt     bool
	ints      []intSlot
	nullGroup int32
	touched   int32 // keeps reads ahead of time from being optimised away

	values *valueTable // of a single key: its numbers are the groups
	words  *wordTable  // of several

	codes     []int32 // combined code → group, -1 = not looked up yet
	codeDicts []*vector.Vector
	codeOne   []codeGroup
	codeOf    []int32

	fresh []int32 // scratch: rows that made new groups
}

type intSlot struct {
	key   int64
	group int32 // -1 = empty
}

type byteSlot struct {
	hash  uint32
	group int32 // -1 = empty
}

type codeGroup struct{ code, row int32 }

// maxCodes bounds the table of combined codes.
const maxCodes = 1 << 16

func newGroupTable(ts []types.Type) *groupTable {
	t := &groupTable{ts: ts, nullGroup: -1}
	t.keys = make([]*vector.Appender, len(ts))
	for i, k := range ts {
		if !plainBytes(k) {
			t.keys[i] = vector.NewAppender(k)
		}
	}
	switch {
	case len(ts) == 1 && isIntPhys(ts[0].Phys()):
		t.isInt = true
	case len(ts) == 1:
		t.values = newValueTable(ts[0])
	default:
		t.words = newWordTable(ts)
	}
	return t
}

// size is the bytes held.
func (t *groupTable) size() int64 {
	s := 16*int64(cap(t.ints)) + 4*int64(cap(t.codes))
	if t.values != nil {
		s += t.values.size()
	}
	if t.words != nil {
		s += t.words.size()
	}
	for _, k := range t.keys {
		if k != nil {
			s += k.Size()
		}
	}
	return s
}

// smallDict is the size of dictionaries that many batches may share: each counts
// all of it, and has it in a file or on the wire.
const smallDict = 256

// piece returns rows of a column that columns gave, for a batch.
func piece(v *vector.Vector, from, to int) *vector.Vector {
	v = vector.Slice(v, from, to)
	if v.Form == vector.Dict && v.Child.Len > min(smallDict, to-from) {
		return v.Flatten()
	}
	return v
}

// columns returns the keys of all groups and empties the table. Taken together
// the values of one column may exceed the bytes that a Flat vector can have: see
// piece.
func (t *groupTable) columns() []*vector.Vector {
	out := make([]*vector.Vector, len(t.keys))
	for i, k := range t.keys {
		switch {
		case k != nil:
			out[i] = k.Build()
		case t.values != nil:
			out[i] = t.values.column(t.ts[i])
		default:
			out[i] = t.words.column(i, t.ts[i])
		}
	}
	return out
}

// find writes the group of each of n rows, making new groups when insert, else
// -1 for unknown keys. It reports the rows that made new groups; the slice is
// valid until the next call.
func (t *groupTable) find(ctx context.Context, vs []*vector.Vector, n int, groups []int32, insert bool) ([]int32, error) {
	t.fresh = t.fresh[:0]
	if !t.findCodes(vs, n, groups, insert) {
		t.lookup(vs, n, groups, insert)
	}
	if len(t.fresh) > 0 {
		for c, v := range vs {
			if t.keys[c] != nil {
				t.keys[c].Append(v, t.fresh)
			}
		}
		if err := cancelled(ctx); err != nil {
			return nil, err
		}
	}
	return t.fresh, nil
}

// lookup is find without combined codes.
func (t *groupTable) lookup(vs []*vector.Vector, n int, groups []int32, insert bool) {
	switch {
	case t.isInt:
		v := vs[0].Flatten()
		t.findInts(v.Valid, widen(v), groups, insert)
	case t.values != nil:
		t.values.number(vs[0], n, groups, insert)
		for i, g := range groups[:n] {
			if int(g) >= t.n {
				t.n++
				t.fresh = append(t.fresh, int32(i))
			}
		}
	default:
		t.findWords(vs, n, groups, insert)
	}
}

func hashInt(k int64) uint64 {
	hi, lo := bits.Mul64(uint64(k)^0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93)
	return hi ^ lo
}

// grown is the next size of a table: small tables grow faster, since filling one
// again costs more than the memory.
func grown(size int) int {
	switch {
	case size == 0:
		return 1024
	case size < 1<<20:
		return 4 * size
	}
	return 2 * size
}

func (t *groupTable) growInts(n int) {
	size := grown(len(t.ints))
	for size < 2*n {
		size *= 2
	}
	old := t.ints
	t.ints = make([]intSlot, size)
	for i := range t.ints {
		t.ints[i].group = -1
	}
	mask := uint64(size - 1)
	for _, s := range old {
		if s.group < 0 {
			continue
		}
		at := hashInt(s.key) & mask
		for t.ints[at].group >= 0 {
			at = (at + 1) & mask
		}
		t.ints[at] = s
	}
}

func (t *groupTable) findInts(valid []byte, keys []int64, groups []int32, insert bool) {
	if len(t.ints) == 0 {
		t.growInts(0)
	}
	if len(t.ints) > 1<<15 {
		// Read the slots of a block of rows first: their cache misses overlap.
		const block = 128
		for from := 0; from < len(keys); from += block {
			to := min(from+block, len(keys))
			var touched int32
			mask := uint64(len(t.ints) - 1)
			for _, k := range keys[from:to] {
				touched += t.ints[hashInt(k)&mask].group
			}
			t.touched = touched
			t.findIntBlock(valid, keys, from, to, groups, insert)
		}
		return
	}
	t.findIntBlock(valid, keys, 0, len(keys), groups, insert)
}

func (t *groupTable) findIntBlock(valid []byte, all []int64, from, to int, groups []int32, insert bool) {
	slots, mask := t.ints, uint64(len(t.ints)-1)
	for i := from; i < to; i++ {
		k := all[i]
		if valid != nil && valid[i>>3]&(1<<(i&7)) == 0 {
			if t.nullGroup < 0 && insert {
				t.nullGroup = int32(t.n)
				t.n++
				t.fresh = append(t.fresh, int32(i))
			}
			groups[i] = t.nullGroup
			continue
		}
		at := hashInt(k) & mask
		for {
			s := &slots[at]
			if s.group >= 0 {
				if s.key == k {
					groups[i] = s.group
					break
				}
				at = (at + 1) & mask
				continue
			}
			if !insert {
				groups[i] = -1
				break
			}
			s.key, s.group = k, int32(t.n)
			groups[i] = s.group
			t.n++
			t.fresh = append(t.fresh, int32(i))
			if 2*t.n > len(slots) {
				t.growInts(t.n)
				slots, mask = t.ints, uint64(len(t.ints)-1)
			}
			break
		}
	}
}

// findCodes serves keys that are all dictionary columns with few combinations.
func (t *groupTable) findCodes(vs []*vector.Vector, n int, groups []int32, insert bool) bool {
	if len(vs) == 0 || n < 16 {
		return false
	}
	total := 1
	for _, v := range vs {
		if v.Form != vector.Dict {
			return false
		}
		total *= v.Child.Len + 1 // one more for NULL
		if total > maxCodes {
			return false
		}
	}
	if total > 4*n && total > 4096 {
		return false
	}
	same := len(t.codeDicts) == len(vs)
	for c := 0; same && c < len(vs); c++ {
		same = t.codeDicts[c] == vs[c].Child
	}
	if !same {
		t.codeDicts = t.codeDicts[:0]
		for _, v := range vs {
			t.codeDicts = append(t.codeDicts, v.Child)
		}
		t.codes = make([]int32, total)
		for i := range t.codes {
			t.codes[i] = -1
		}
	}
	if cap(t.codeOf) < n {
		t.codeOf = make([]int32, n)
	}
	code := t.codeOf[:n]
	clear(code)
	for _, v := range vs {
		size := int32(v.Child.Len + 1)
		if v.Valid == nil {
			for i, c := range v.Codes[:n] {
				code[i] = code[i]*size + c
			}
			continue
		}
		for i, c := range v.Codes[:n] {
			if v.IsNull(i) {
				c = size - 1
			}
			code[i] = code[i]*size + c
		}
	}
	missing := false
	for i, c := range code {
		g := t.codes[c]
		groups[i] = g
		missing = missing || g < 0
	}
	if !missing {
		return true
	}
	// Look each combination up once, at its first row.
	t.codeOne = t.codeOne[:0]
	const seen = -2
	for i, c := range code {
		if t.codes[c] == -1 {
			t.codes[c] = seen
			t.codeOne = append(t.codeOne, codeGroup{c, int32(i)})
		}
	}
	rows := make([]int32, len(t.codeOne))
	for i, o := range t.codeOne {
		rows[i] = o.row
	}
	sub := make([]*vector.Vector, len(vs))
	for c, v := range vs {
		sub[c] = vector.Gather(v, rows)
	}
	found := make([]int32, len(rows))
	t.lookup(sub, len(rows), found, insert)
	for i, o := range t.codeOne {
		t.codes[o.code] = found[i] // -1 again for what is unknown
	}
	for i, r := range t.fresh {
		t.fresh[i] = rows[r]
	}
	for i, c := range code {
		groups[i] = t.codes[c]
	}
	return true
}
