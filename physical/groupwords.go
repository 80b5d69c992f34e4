package physical

import (
	"math"
	"math/bits"

	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// wordTable is the part of a groupTable for several keys: the keys of a row are
// packed into words of 64 bits. A value of a fixed width of at most 64 bits takes
// these and one more for NULL; others take 31 for the number, from 1, that a
// valueTable of the column gives them, 0 being NULL. One word is looked up in the
// groupTable's slots for integers, several here.
type wordTable struct {
	count  int // words per row
	fields []wordField
	slots  []byteSlot
	hashes []uint32 // per group
	keys   []int64  // count per group

	// Scratch of a batch.
	rows    []int64 // count per row
	numbers []int32
	unknown []bool // rows with a value that no group has; nil if there is none
}

// wordField is where a key stands in the words.
type wordField struct {
	word, shift         int
	width               int // bits
	nullWord, nullShift int // of the bit that marks NULL; without values
	values              *valueTable
	numbers             []int32 // per group, where the table has the column
}

// valueBits is the width of a valueTable's numbers from 1.
const valueBits = 31

func newWordTable(ts []types.Type) *wordTable {
	t := &wordTable{fields: make([]wordField, len(ts))}
	var room []int
	place := func(width int) (word, shift int) {
		for w, left := range room {
			if left >= width {
				room[w] -= width
				return w, 64 - left
			}
		}
		room = append(room, 64-width)
		return len(room) - 1, 0
	}
	for i, k := range ts {
		f := &t.fields[i]
		if f.width = packedWidth(k.Phys()); f.width == 0 {
			f.width, f.values = valueBits, newValueTable(k)
		}
	}
	// The widest first, then the marks: no order packs these sizes better.
	for _, width := range []int{64, 32, valueBits, 16, 8} {
		for i := range t.fields {
			if f := &t.fields[i]; f.width == width {
				if width == 32 {
					// With its mark, so that it shares a word with a number.
					f.word, f.shift = place(33)
					f.nullWord, f.nullShift = f.word, f.shift+32
					continue
				}
				f.word, f.shift = place(width)
			}
		}
	}
	for i := range t.fields {
		if f := &t.fields[i]; f.values == nil && f.width != 32 {
			f.nullWord, f.nullShift = place(1)
		}
	}
	t.count = len(room)
	return t
}

// packedWidth is the bits of a fixed-width value in words, 0 for others.
func packedWidth(p types.Phys) int {
	switch p {
	case types.PhysBool:
		return 8
	case types.PhysInt16:
		return 16
	case types.PhysInt32, types.PhysFloat32:
		return 32
	case types.PhysInt64, types.PhysFloat64:
		return 64
	}
	return 0
}

func (t *wordTable) size() int64 {
	s := 8*int64(cap(t.slots)) + 4*int64(cap(t.hashes)) + 8*int64(cap(t.keys))
	for i := range t.fields {
		if f := &t.fields[i]; f.values != nil {
			s += f.values.size() + 4*int64(cap(f.numbers))
		}
	}
	return s
}

// column returns key c of all groups, of plain bytes, as a dictionary column.
func (t *wordTable) column(c int, typ types.Type) *vector.Vector {
	f := &t.fields[c]
	v := vector.FromDict(typ, f.numbers, f.values.column(typ))
	v.Child.Valid = nil
	if f.values.null >= 0 {
		valid := vector.NewValid(v.Len)
		for i, g := range f.numbers {
			if g == f.values.null {
				vector.SetNull(valid, i)
			}
		}
		v = v.WithValid(valid)
	}
	return v
}

// pack fills rows with the words of n rows.
func (t *wordTable) pack(vs []*vector.Vector, n int, insert bool) {
	if cap(t.rows) < n*t.count {
		t.rows = make([]int64, n*t.count)
	}
	t.rows = t.rows[:n*t.count]
	clear(t.rows)
	t.unknown = nil
	for c, v := range vs {
		f := &t.fields[c]
		if f.values != nil {
			t.packNumbers(f, v, n, insert)
			continue
		}
		v = v.Flatten()
		switch v.Type.Phys() {
		case types.PhysBool:
			packField(t, f, vector.Values[bool](v), boolKey)
		case types.PhysInt16:
			packInts(t, f, vector.Values[int16](v))
		case types.PhysInt32:
			packInts(t, f, vector.Values[int32](v))
		case types.PhysInt64:
			packInts(t, f, vector.Values[int64](v))
		case types.PhysFloat32:
			packField(t, f, vector.Values[float32](v), func(x float32) uint64 { return uint64(float32Key(x)) })
		case types.PhysFloat64:
			packField(t, f, vector.Values[float64](v), types.FloatKey)
		}
		if v.Valid != nil {
			t.packNulls(f, v, n)
		}
	}
}

func packField[T any](t *wordTable, f *wordField, vals []T, bits func(T) uint64) {
	at := f.word
	for _, x := range vals {
		t.rows[at] |= int64(bits(x) << f.shift)
		at += t.count
	}
}

func packInts[T int16 | int32 | int64](t *wordTable, f *wordField, vals []T) {
	rows, at, step := t.rows, f.word, t.count
	shift, mask := f.shift, uint64(math.MaxUint64)>>(64-f.width)
	for _, x := range vals {
		rows[at] |= int64(uint64(x) & mask << shift)
		at += step
	}
}

// packNulls gives NULLs their mark, and one value.
func (t *wordTable) packNulls(f *wordField, v *vector.Vector, n int) {
	mask := int64(uint64(math.MaxUint64) >> (64 - f.width) << f.shift)
	for i := range n {
		if v.Valid[i>>3]&(1<<(i&7)) == 0 {
			t.rows[i*t.count+f.word] &^= mask
			t.rows[i*t.count+f.nullWord] |= 1 << f.nullShift
		}
	}
}

func (t *wordTable) packNumbers(f *wordField, v *vector.Vector, n int, insert bool) {
	if cap(t.numbers) < n {
		t.numbers = make([]int32, n)
	}
	numbers := t.numbers[:n]
	f.values.number(v, n, numbers, insert)
	at := f.word
	for i, g := range numbers {
		if g < 0 {
			if t.unknown == nil {
				t.unknown = make([]bool, n)
			}
			t.unknown[i] = true
		}
		t.rows[at] |= int64(uint64(uint32(g+1)) << f.shift)
		at += t.count
	}
}

// keep notes the numbers of new groups.
func (t *wordTable) keep(fresh []int32) {
	for c := range t.fields {
		f := &t.fields[c]
		if f.values == nil || !f.values.plain {
			continue
		}
		for _, r := range fresh {
			w := uint64(t.rows[int(r)*t.count+f.word]) >> f.shift & (1<<valueBits - 1)
			f.numbers = append(doubled(f.numbers, 1), int32(w)-1)
		}
	}
}

func (t *groupTable) findWords(vs []*vector.Vector, n int, groups []int32, insert bool) {
	w := t.words
	w.pack(vs, n, insert)
	if w.count == 1 {
		t.findInts(nil, w.rows, groups[:n], insert)
	} else {
		t.findRows(n, groups, insert)
	}
	for i, u := range w.unknown {
		if u {
			groups[i] = -1
		}
	}
	w.keep(t.fresh)
}

// findRows finds groups by several words.
func (t *groupTable) findRows(n int, groups []int32, insert bool) {
	w := t.words
	k := w.count
	if len(w.slots) == 0 {
		w.growSlots()
	}
	var hashes [blockRows]uint32
	for from := 0; from < n; from += blockRows {
		to := min(from+blockRows, n)
		for i := from; i < to; i++ {
			hashes[i-from] = hashWords(w.rows[i*k : i*k+k])
		}
		if t.n > 1<<13 {
			w.touch(hashes[:to-from], &t.touched)
		}
		for i := from; i < to; i++ {
			groups[i] = t.findRow(w.rows[i*k:i*k+k], hashes[i-from], insert, int32(i))
		}
	}
}

func hashWords(ws []int64) uint32 {
	h := uint64(0)
	for _, w := range ws {
		hi, lo := bits.Mul64(h^uint64(w)^0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93)
		h = hi ^ lo
	}
	return uint32(h)
}

// touch reads what findRow will read, so that the cache misses overlap.
func (w *wordTable) touch(hashes []uint32, touched *int32) {
	mask := uint32(len(w.slots) - 1)
	var at [blockRows]int32
	for i, h := range hashes {
		at[i] = max(w.slots[h&mask].group, 0)
	}
	sum := int64(0)
	for i := range hashes {
		sum += w.keys[int(at[i])*w.count]
	}
	*touched = int32(sum)
}

func (t *groupTable) findRow(key []int64, h uint32, insert bool, row int32) int32 {
	w := t.words
	mask := uint32(len(w.slots) - 1)
	at := h & mask
	for {
		s := w.slots[at]
		if s.group < 0 {
			break
		}
		if s.hash == h {
			have := w.keys[int(s.group)*len(key):]
			have = have[:len(key)]
			same := true
			for i, x := range key {
				same = same && have[i] == x
			}
			if same {
				return s.group
			}
		}
		at = (at + 1) & mask
	}
	if !insert {
		return -1
	}
	g := int32(t.n)
	w.slots[at] = byteSlot{hash: h, group: g}
	t.n++
	w.hashes = append(doubled(w.hashes, 1), h)
	w.keys = append(doubled(w.keys, len(key)), key...)
	t.fresh = append(t.fresh, row)
	if 2*t.n > len(w.slots) {
		w.growSlots()
	}
	return g
}

func (w *wordTable) growSlots() {
	size := grown(len(w.slots))
	w.slots = make([]byteSlot, size)
	for i := range w.slots {
		w.slots[i].group = -1
	}
	mask := uint32(size - 1)
	for g, h := range w.hashes {
		at := h & mask
		for w.slots[at].group >= 0 {
			at = (at + 1) & mask
		}
		w.slots[at] = byteSlot{hash: h, group: int32(g)}
	}
}
