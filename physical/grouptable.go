package physical

import (
	"bytes"
	"context"
	"math/bits"

	"github.com/zeebo/xxh3"

	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// groupTable numbers distinct keys in the order of their first appearance. NULL
// is a key like others. Open addressing with linear probing, at most half full;
// the key columns are kept as they first came.
//
// Three ways to find a group: a single integer key stands in the slot itself;
// other keys are encoded (encodeKeys), with their hash in the slot; and keys that
// are all dictionary codes go through a table from the combined code to the
// group, which holds as long as the dictionaries are the same ones.
type groupTable struct {
	ts   []types.Type
	n    int
	keys []*vector.Appender

	isInt     bool
	ints      []intSlot
	nullGroup int32
	touched   int32 // keeps the reads of findInts from being optimised away

	slots  []byteSlot
	hashes []uint32 // per group
	arena  []byte
	offs   []int // per group: its key is arena[offs[g]:offs[g+1]]

	codes     []int32 // combined code → group, -1 = not looked up yet
	codeDicts []*vector.Vector
	codeOne   []codeGroup

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
	t := &groupTable{ts: ts, nullGroup: -1, offs: []int{0}}
	for _, k := range ts {
		t.keys = append(t.keys, vector.NewAppender(k))
	}
	t.isInt = len(ts) == 1 && isIntPhys(ts[0].Phys())
	return t
}

// size is the bytes held.
func (t *groupTable) size() int64 {
	s := 16*int64(cap(t.ints)) + 8*int64(cap(t.slots)) + 4*int64(cap(t.hashes)) +
		int64(cap(t.arena)) + 8*int64(cap(t.offs)) + 4*int64(cap(t.codes))
	for _, k := range t.keys {
		s += k.Size()
	}
	return s
}

// columns returns the keys of all groups and empties the table.
func (t *groupTable) columns() []*vector.Vector {
	out := make([]*vector.Vector, len(t.keys))
	for i, k := range t.keys {
		out[i] = k.Build()
	}
	return out
}

// find writes the group of each of n rows, making new groups when insert, else
// -1 for unknown keys. It reports the rows that made new groups; the slice is
// valid until the next call.
func (t *groupTable) find(ctx context.Context, vs []*vector.Vector, n int, groups []int32, insert bool) ([]int32, error) {
	t.fresh = t.fresh[:0]
	switch {
	case t.findCodes(vs, n, groups, insert):
	case t.isInt:
		v := vs[0].Flatten()
		t.findInts(v, widen(v), groups, insert)
	default:
		t.findBytes(vs, n, groups, insert)
	}
	if len(t.fresh) > 0 {
		for c, v := range vs {
			t.keys[c].Append(v, t.fresh)
		}
		if err := cancelled(ctx); err != nil {
			return nil, err
		}
	}
	return t.fresh, nil
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

func (t *groupTable) findInts(v *vector.Vector, keys []int64, groups []int32, insert bool) {
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
			t.findIntBlock(v, keys, from, to, groups, insert)
		}
		return
	}
	t.findIntBlock(v, keys, 0, len(keys), groups, insert)
}

func (t *groupTable) findIntBlock(v *vector.Vector, all []int64, from, to int, groups []int32, insert bool) {
	slots, mask := t.ints, uint64(len(t.ints)-1)
	for i := from; i < to; i++ {
		k := all[i]
		if v.Valid != nil && v.Valid[i>>3]&(1<<(i&7)) == 0 {
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

func (t *groupTable) growSlots() {
	size := grown(len(t.slots))
	t.slots = make([]byteSlot, size)
	for i := range t.slots {
		t.slots[i].group = -1
	}
	mask := uint32(size - 1)
	for g, h := range t.hashes {
		at := h & mask
		for t.slots[at].group >= 0 {
			at = (at + 1) & mask
		}
		t.slots[at] = byteSlot{hash: h, group: int32(g)}
	}
}

func (t *groupTable) findBytes(vs []*vector.Vector, n int, groups []int32, insert bool) {
	k := encodeKeys(vs, nil, n)
	hashes := make([]uint32, n)
	for i := range hashes {
		hashes[i] = uint32(xxh3.Hash(k.at(i)))
	}
	for i, h := range hashes {
		groups[i] = t.findKey(k.at(i), h, insert, int32(i))
	}
}

func (t *groupTable) findKey(key []byte, h uint32, insert bool, row int32) int32 {
	if len(t.slots) == 0 {
		t.growSlots()
	}
	mask := uint32(len(t.slots) - 1)
	at := h & mask
	for {
		s := &t.slots[at]
		if s.group < 0 {
			break
		}
		if s.hash == h && bytes.Equal(key, t.arena[t.offs[s.group]:t.offs[s.group+1]]) {
			return s.group
		}
		at = (at + 1) & mask
	}
	if !insert {
		return -1
	}
	g := int32(t.n)
	t.slots[at] = byteSlot{hash: h, group: g}
	t.n++
	t.hashes = append(t.hashes, h)
	t.arena = append(t.arena, key...)
	t.offs = append(t.offs, len(t.arena))
	t.fresh = append(t.fresh, row)
	if 2*t.n > len(t.slots) {
		t.growSlots()
	}
	return g
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
	code := make([]int32, n)
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
	t.findBytes(sub, len(rows), found, insert)
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
