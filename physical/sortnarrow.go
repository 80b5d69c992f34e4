package physical

import (
	"bytes"
	"hash/maphash"
	"math"
	"slices"

	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// narrowSortKeys replaces sort keys by columns of the same order that packKeys can put
// into fewer bits: text with few values by the ranks of those, and floats that are
// decimals of few digits, such as amounts of money, by those decimals as integers.
// It reports false if nothing can be replaced, or text cannot.
func narrowSortKeys(vs []*vector.Vector) ([]*vector.Vector, bool) {
	out := slices.Clone(vs)
	changed := false
	for c, v := range vs {
		switch p := v.Type.Phys(); {
		case p == types.PhysBytes:
			r := textRanks(v)
			if r == nil {
				return nil, false
			}
			out[c], changed = r, true
		case keyRangeless(v):
			return nil, false
		}
	}
	for c, v := range vs {
		if v.Type.Phys() == types.PhysFloat64 {
			if x := decimalFloats(v); x != nil {
				out[c], changed = vector.FromSlice(int8Type, x).WithValid(v.Valid), true
			}
		}
	}
	return out, changed
}

// keyRangeless says that packKeys refuses the column for its type.
func keyRangeless(v *vector.Vector) bool {
	switch v.Type.Phys() {
	case types.PhysBool, types.PhysInt16, types.PhysInt32, types.PhysInt64, types.PhysFloat32, types.PhysFloat64:
		return false
	}
	return v.Form != vector.Scaled
}

// maxTextRanks is the number of values up to which text is ranked.
const maxTextRanks = 256

// rankable says for which types of strings the order is that of the bytes.
func rankable(t types.Type) bool { return t.ID == types.Text || t.ID == types.Varchar }

// textRanks returns the ranks of text values among all that occur, nil if those
// are many or the order of the type is not that of the bytes.
func textRanks(v *vector.Vector) *vector.Vector {
	if !rankable(v.Type) {
		return nil
	}
	if v.Form != vector.Dict {
		if v = rankedText(v.Flatten()); v == nil {
			return nil
		}
	}
	d := v.Child
	if d.Len > math.MaxInt16 || d.Form != vector.Flat || d.Valid != nil {
		return nil
	}
	order := make([]int16, d.Len)
	for i := range order {
		order[i] = int16(i)
	}
	slices.SortFunc(order, func(a, b int16) int { return bytes.Compare(d.BytesAt(int(a)), d.BytesAt(int(b))) })
	ranks := make([]int16, d.Len)
	rank := int16(0)
	for i, c := range order {
		if i > 0 && !bytes.Equal(d.BytesAt(int(c)), d.BytesAt(int(order[i-1]))) {
			rank++
		}
		ranks[c] = rank
	}
	out := make([]int16, v.Len)
	for i, c := range v.Codes {
		if v.Valid == nil || !v.IsNull(i) {
			out[i] = ranks[c]
		}
	}
	return vector.FromSlice(types.T(types.Int2), out).WithValid(v.Valid)
}

// rankedText returns Flat text with few values as a dictionary of them, nil
// where they are many.
func rankedText(v *vector.Vector) *vector.Vector {
	// An open table, four times as large as it gets full, of 1 + the value's code.
	const slots = 4 * maxTextRanks
	var table [slots]uint16
	var values [][]byte
	seed := maphash.MakeSeed()
	codes := make([]int32, v.Len)
	code := -1
	for i := range codes {
		if v.Valid != nil && v.IsNull(i) {
			continue
		}
		x := v.Bytes[v.Offs[i]:v.Offs[i+1]]
		if code < 0 || !bytes.Equal(x, values[code]) {
			at := maphash.Bytes(seed, x) % slots
			for {
				if code = int(table[at]) - 1; code < 0 || bytes.Equal(x, values[code]) {
					break
				}
				at = (at + 1) % slots
			}
			if code < 0 {
				if len(values) == maxTextRanks {
					return nil
				}
				code = len(values)
				values = append(values, x)
				table[at] = uint16(code + 1)
			}
		}
		codes[i] = int32(code)
	}
	if len(values) == 0 {
		return nil
	}
	b := vector.NewBuilder(v.Type, len(values))
	for _, x := range values {
		b.AppendBytes(x)
	}
	return vector.FromDict(v.Type, codes, b.Build()).WithValid(v.Valid)
}

// rankText makes dictionaries of the key columns that are text with few values,
// so that what is gathered and compared of them is numbers.
func (s *sortKeys) rankText(b *vector.Batch) *vector.Batch {
	var cols []*vector.Vector
	for _, x := range s.exprs {
		k, ok := x.root.(*column)
		if !ok || !rankable(x.Type) || b.Col(k.i).Form != vector.Flat {
			continue
		}
		if d := rankedText(b.Col(k.i)); d != nil {
			if cols == nil {
				cols = slices.Clone(b.Cols())
			}
			cols[k.i] = d
		}
	}
	if cols == nil {
		return b
	}
	return vector.NewBatch(cols, b.Rows())
}

// decimalFloats returns the values times the least power of ten, up to 10^4, that
// makes all of them integers whose quotients by it are the values again; nil if
// there is none. Different values have different integers in the same order.
func decimalFloats(v *vector.Vector) []int64 {
	x := vector.Values[float64](v)
	p := 1.0
	for _, y := range x[:min(len(x), 256)] {
		for p <= 1e4 && math.RoundToEven(y*p)/p != y && y == y {
			p *= 10
		}
	}
	for ; p <= 1e4; p *= 10 {
		if out := timesPower(v, x, p); out != nil {
			return out
		}
	}
	return nil
}

func timesPower(v *vector.Vector, x []float64, p float64) []int64 {
	out := make([]int64, len(x))
	for i, y := range x {
		z := math.RoundToEven(y * p)
		if z/p != y || math.Abs(z) > 1<<53 {
			if v.Valid != nil && v.IsNull(i) {
				continue
			}
			return nil
		}
		out[i] = int64(z)
	}
	return out
}
