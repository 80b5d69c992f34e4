package physical

import (
	"bytes"

	"github.com/zeebo/xxh3"

	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// valueTable numbers the distinct values of one column in the order of their first
// appearance; NULL is one of them. Strings are kept as they are, so that the table
// is the column of its values; others in the encoding of encodeKeys.
type valueTable struct {
	plain  bool
	n      int
	null   int32 // number of NULL, -1 before the first
	slots  []byteSlot
	hashes []uint32 // per value
	offs   []int32  // value g is data[offs[g]:offs[g+1]]; that of NULL is empty
	data   []byte

	dict    *vector.Vector // the last dictionary seen
	ofCode  []int32        // its codes' numbers, -1 = not looked up yet, unknownCode
	unknown bool           // ofCode has unknownCode
	hashed  []uint32       // scratch
	touched int32
}

// plainBytes reports types whose values are equal exactly if their bytes are.
func plainBytes(t types.Type) bool {
	switch t.ID {
	case types.Text, types.Varchar, types.Bytea:
		return true
	}
	return false
}

func newValueTable(t types.Type) *valueTable {
	return &valueTable{plain: plainBytes(t), null: -1, offs: []int32{0}}
}

func (t *valueTable) size() int64 {
	return 8*int64(cap(t.slots)) + 4*int64(cap(t.hashes)) + 4*int64(cap(t.offs)) + int64(cap(t.data)) + 4*int64(cap(t.ofCode))
}

// column returns the values of plain bytes as a column. The table must not be
// used any more.
func (t *valueTable) column(typ types.Type) *vector.Vector {
	v := vector.FromBytes(typ, t.offs, t.data)
	if t.null >= 0 {
		valid := vector.NewValid(t.n)
		vector.SetNull(valid, int(t.null))
		v = v.WithValid(valid)
	}
	return v
}

func (t *valueTable) at(g int32) []byte { return t.data[t.offs[g]:t.offs[g+1]] }

// number writes the numbers of n rows, -1 for unknown values unless insert.
func (t *valueTable) number(v *vector.Vector, n int, out []int32, insert bool) {
	switch {
	case !t.plain:
		t.numberKeys(v, n, out, insert) // the encoding tells NULL from values
	case v.Form == vector.Dict:
		t.numberDict(v, n, out, insert)
	case v.Form == vector.Const:
		g := t.nullOr(v, 0, insert)
		for i := range out[:n] {
			out[i] = g
		}
	default:
		t.numberFlat(v, n, out, insert)
	}
}

// nullOr is the number of row i.
func (t *valueTable) nullOr(v *vector.Vector, i int, insert bool) int32 {
	if v.IsNull(i) {
		return t.nullNumber(insert)
	}
	b := v.BytesAt(i)
	return t.find(b, uint32(xxh3.Hash(b)), insert)
}

func (t *valueTable) nullNumber(insert bool) int32 {
	if t.null < 0 && insert {
		t.null = t.add(nil, 0)
	}
	return t.null
}

// add appends a value without entering it in the slots.
func (t *valueTable) add(b []byte, h uint32) int32 {
	if t.unknown {
		t.unknown, t.dict = false, nil
	}
	g := int32(t.n)
	t.n++
	t.hashes = append(doubled(t.hashes, 1), h)
	t.data = append(doubled(t.data, len(b)), b...)
	t.offs = append(doubled(t.offs, 1), int32(len(t.data)))
	return g
}

// unknownCode marks a code whose value had no number when it was looked up: it has
// none before values are added again.
const unknownCode = -2

// doubled makes room for n more elements. append grows large slices by a quarter,
// which would copy what a table of unknown size holds many times.
func doubled[T any](s []T, n int) []T {
	if len(s)+n <= cap(s) {
		return s
	}
	out := make([]T, len(s), max(2*cap(s), len(s)+n, 64))
	copy(out, s)
	return out
}

func (t *valueTable) numberDict(v *vector.Vector, n int, out []int32, insert bool) {
	if t.dict != v.Child {
		t.dict = v.Child
		if cap(t.ofCode) < v.Child.Len {
			t.ofCode = make([]int32, v.Child.Len)
		}
		t.ofCode = t.ofCode[:v.Child.Len]
		for i := range t.ofCode {
			t.ofCode[i] = -1
		}
	}
	of := t.ofCode
	for i, c := range v.Codes[:n] {
		if v.Valid != nil && v.Valid[i>>3]&(1<<(i&7)) == 0 {
			out[i] = t.nullNumber(insert)
			continue
		}
		g := of[c]
		if g < 0 {
			if g != unknownCode || insert {
				b := v.Child.BytesAt(int(c))
				g = t.find(b, uint32(xxh3.Hash(b)), insert)
				if of[c] = g; g < 0 {
					of[c], t.unknown = unknownCode, true
				}
			}
			g = max(g, -1)
		}
		out[i] = g
	}
}

// blockRows is how many rows are looked up together: their cache misses overlap.
const blockRows = 128

func (t *valueTable) numberFlat(v *vector.Vector, n int, out []int32, insert bool) {
	if len(t.slots) == 0 {
		t.growSlots()
	}
	if cap(t.hashed) < blockRows {
		t.hashed = make([]uint32, blockRows)
	}
	hashed := t.hashed[:blockRows]
	offs, data := v.Offs, v.Bytes
	for from := 0; from < n; from += blockRows {
		to := min(from+blockRows, n)
		for i := from; i < to; i++ {
			hashed[i-from] = uint32(xxh3.Hash(data[offs[i]:offs[i+1]]))
		}
		if t.n > 1<<13 {
			t.touch(hashed[:to-from])
		}
		if v.Valid == nil {
			for i := from; i < to; i++ {
				out[i] = t.find(data[offs[i]:offs[i+1]], hashed[i-from], insert)
			}
			continue
		}
		for i := from; i < to; i++ {
			if v.Valid[i>>3]&(1<<(i&7)) == 0 {
				out[i] = t.nullNumber(insert)
				continue
			}
			out[i] = t.find(data[offs[i]:offs[i+1]], hashed[i-from], insert)
		}
	}
}

// touch reads what find will read for hashes: the slots first, then where the
// values of the groups in them begin, then these.
func (t *valueTable) touch(hashes []uint32) {
	mask := uint32(len(t.slots) - 1)
	var at [blockRows]int32
	for i, h := range hashes {
		at[i] = max(t.slots[h&mask].group, 0)
	}
	for i := range hashes {
		at[i] = t.offs[at[i]]
	}
	sum := int32(0)
	for i := range hashes {
		if p := int(at[i]); p < len(t.data) {
			sum += int32(t.data[p])
		}
	}
	t.touched = sum
}

// numberKeys numbers values of other types by their encoding.
func (t *valueTable) numberKeys(v *vector.Vector, n int, out []int32, insert bool) {
	k := encodeKeys([]*vector.Vector{v}, nil, n)
	for i := range n {
		b := k.at(i)
		out[i] = t.find(b, uint32(xxh3.Hash(b)), insert)
	}
}

func (t *valueTable) growSlots() {
	size := grown(len(t.slots))
	t.slots = make([]byteSlot, size)
	for i := range t.slots {
		t.slots[i].group = -1
	}
	mask := uint32(size - 1)
	for g, h := range t.hashes {
		if int32(g) == t.null {
			continue
		}
		at := h & mask
		for t.slots[at].group >= 0 {
			at = (at + 1) & mask
		}
		t.slots[at] = byteSlot{hash: h, group: int32(g)}
	}
}

func (t *valueTable) find(key []byte, h uint32, insert bool) int32 {
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
		if s.hash == h && bytes.Equal(key, t.at(s.group)) {
			return s.group
		}
		at = (at + 1) & mask
	}
	if !insert {
		return -1
	}
	g := t.add(key, h)
	t.slots[at] = byteSlot{hash: h, group: g}
	if 2*t.n > len(t.slots) {
		t.growSlots()
	}
	return g
}
