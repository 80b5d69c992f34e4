package vector

import (
	"unsafe"

	"github.com/volleydb/volley/types"
)

// Gather returns the rows of v at idx, in that order; Const, Dict and Scaled stay so.
func Gather(v *Vector, idx []int32) *Vector {
	n := len(idx)
	out := &Vector{Type: v.Type, Form: v.Form, Len: n, Scale: v.Scale}
	if v.Form == Const {
		c := *v
		c.Len = n
		return &c
	}
	out.Valid = gatherValid(v.Valid, idx)
	if v.Form == Dict {
		out.Child = v.Child
		out.Codes = gatherInts(v.Codes, idx)
		return out
	}
	switch v.Type.Phys() {
	case types.PhysBytes:
		out.Offs, out.Bytes = gatherBytes(v.Offs, v.Bytes, idx)
	case types.PhysList:
		offs := make([]int32, n+1)
		total := int32(0)
		for i, r := range idx {
			total += v.Offs[r+1] - v.Offs[r]
			offs[i+1] = total
		}
		sub := make([]int32, 0, total)
		for _, r := range idx {
			for e := v.Offs[r]; e < v.Offs[r+1]; e++ {
				sub = append(sub, e)
			}
		}
		out.Offs, out.Child = offs, Gather(v.Child, sub)
	default:
		w := v.width()
		out.buf = dirtyBytes(n * w)
		if n == 0 {
			return out
		}
		gatherWidth(w, out.buf, v.buf, idx)
	}
	return out
}

// gatherWidth copies values of w bytes, with their padding.
func gatherWidth(w int, dst, src []byte, idx []int32) {
	switch w {
	case 1:
		gatherFixed[uint8](dst, src, idx)
	case 2:
		gatherFixed[uint16](dst, src, idx)
	case 4:
		gatherFixed[uint32](dst, src, idx)
	case 8:
		gatherFixed[uint64](dst, src, idx)
	case 16:
		gatherFixed[[2]uint64](dst, src, idx)
	default:
		gatherFixed[[3]uint64](dst, src, idx)
	}
}

func gatherFixed[T any](dst, src []byte, idx []int32) {
	var z T
	w := int(unsafe.Sizeof(z))
	d := unsafe.Slice((*T)(unsafe.Pointer(&dst[0])), len(idx))
	s := unsafe.Slice((*T)(unsafe.Pointer(&src[0])), len(src)/w)
	for i, r := range idx {
		d[i] = s[r]
	}
}

func gatherInts(src, idx []int32) []int32 {
	out := Values[int32](&Vector{Type: types.T(types.Int4), Len: len(idx), buf: dirtyBytes(4 * len(idx))})
	for i, r := range idx {
		out[i] = src[r]
	}
	return out
}

func gatherBytes(offs []int32, data []byte, idx []int32) ([]int32, []byte) {
	o := make([]int32, len(idx)+1)
	total := int32(0)
	for i, r := range idx {
		total += offs[r+1] - offs[r]
		o[i+1] = total
	}
	b := dirtyBytes(int(total))
	for i, r := range idx {
		from, size, at := int(offs[r]), int(offs[r+1]-offs[r]), int(o[i])
		if size <= wideCopy && from+wideCopy <= len(data) && at+wideCopy <= len(b) {
			// What is too much is overwritten by the next value.
			*(*[wideCopy]byte)(b[at : at+wideCopy]) = *(*[wideCopy]byte)(data[from:])
			continue
		}
		copy(b[at:at+size], data[from:])
	}
	return o, b
}

// wideCopy is the size up to which a string is copied as so many bytes, which
// costs less than a call of memmove.
const wideCopy = 32

func gatherValid(valid []byte, idx []int32) []byte {
	if valid == nil {
		return nil
	}
	out := make([]byte, (len(idx)+7)/8)
	all := true
	for i, r := range idx {
		if valid[r>>3]&(1<<(r&7)) != 0 {
			out[i>>3] |= 1 << (i & 7)
		} else {
			all = false
		}
	}
	if all {
		return nil
	}
	return out
}

// GatherNull is Gather where an index of -1 gives NULL (the unmatched side of
// an outer join).
func GatherNull(v *Vector, idx []int32) *Vector {
	if !anyNegative(idx) {
		return Gather(v, idx)
	}
	if v.stored() == 0 || v.Len == 0 || v.Form == Dict && v.Child.Len == 0 {
		return NewNull(v.Type, len(idx)).Flatten()
	}
	if v.Form == Const {
		v = v.Flatten()
	}
	safe := make([]int32, len(idx))
	for i, r := range idx {
		safe[i] = max(r, 0)
	}
	out := Gather(v, safe)
	if out.Valid == nil {
		out.Valid = NewValid(len(idx))
	}
	for i, r := range idx {
		if r < 0 {
			SetNull(out.Valid, i)
		}
	}
	return out
}

func anyNegative(idx []int32) bool {
	all := int32(0)
	for _, r := range idx {
		all |= r
	}
	return all < 0
}

// Slice returns rows [from, to) of v, aliasing it where the layout allows.
func Slice(v *Vector, from, to int) *Vector {
	if from == 0 && to == v.Len {
		return v
	}
	c := *v
	c.Len = to - from
	if v.Form == Const {
		return &c
	}
	c.Valid = sliceValid(v.Valid, from, to)
	if v.Form == Dict {
		c.Codes = v.Codes[from:to]
		return &c
	}
	switch v.Type.Phys() {
	case types.PhysBytes:
		base := v.Offs[from]
		if base == 0 {
			c.Offs = v.Offs[from : to+1]
			c.Bytes = v.Bytes[:v.Offs[to]]
			break
		}
		c.Offs = rebase(v.Offs[from : to+1])
		c.Bytes = v.Bytes[base:v.Offs[to]]
	case types.PhysList:
		c.Child = Slice(v.Child, int(v.Offs[from]), int(v.Offs[to]))
		c.Offs = rebase(v.Offs[from : to+1])
	default:
		w := v.width()
		c.buf = v.buf[from*w : to*w]
		if c.Len > 0 && uintptr(unsafe.Pointer(&c.buf[0]))%8 != 0 && w != 8 {
			// Narrow values may start anywhere; IPC and FromRaw want 8-byte alignment.
			b := alignedBytes(len(c.buf))
			copy(b, c.buf)
			c.buf = b
		}
	}
	return &c
}

func rebase(offs []int32) []int32 {
	out := make([]int32, len(offs))
	for i, o := range offs {
		out[i] = o - offs[0]
	}
	return out
}

func sliceValid(valid []byte, from, to int) []byte {
	if valid == nil {
		return nil
	}
	if from&7 == 0 {
		return valid[from>>3 : (to+7)>>3]
	}
	n := to - from
	out := make([]byte, (n+7)/8)
	sh := uint(from & 7)
	for i := range out {
		b := valid[from>>3+i] >> sh
		if from>>3+i+1 < len(valid) {
			b |= valid[from>>3+i+1] << (8 - sh)
		}
		out[i] = b
	}
	return out
}

// Join is Concat that keeps dictionaries where they are small against the rows:
// the result's dictionary is then the pieces' one after the other, each once.
func Join(vs []*Vector) *Vector {
	n, size := 0, 0
	base := map[*Vector]int{}
	var dicts []*Vector
	anyNull := false
	for _, v := range vs {
		if v.Form != Dict {
			return Concat(vs)
		}
		n += v.Len
		anyNull = anyNull || v.Valid != nil
		if _, ok := base[v.Child]; !ok {
			base[v.Child] = size
			dicts = append(dicts, v.Child)
			size += v.Child.Len
		}
	}
	if len(vs) < 2 || size > n/4 {
		return Concat(vs)
	}
	out := &Vector{Type: vs[0].Type, Form: Dict, Len: n, Child: dicts[0], Codes: make([]int32, n)}
	if len(dicts) > 1 {
		out.Child = Concat(dicts)
	}
	if anyNull {
		out.Valid = NewValid(n)
	}
	at := 0
	for _, v := range vs {
		b := int32(base[v.Child])
		dst := out.Codes[at : at+v.Len]
		for i, c := range v.Codes[:v.Len] {
			dst[i] = c + b
		}
		if v.Valid != nil {
			for i := range v.Len {
				if v.IsNull(i) {
					SetNull(out.Valid, at+i)
				}
			}
		}
		at += v.Len
	}
	return out
}

// Concat returns the rows of all vs after each other, Flat, or Scaled where all
// are at one scale. All have the same Phys; the type is that of the first.
func Concat(vs []*Vector) *Vector {
	if out := concatScaled(vs); out != nil {
		return out
	}
	if len(vs) == 1 {
		return vs[0].Flatten()
	}
	n, anyNull := 0, false
	flat := make([]*Vector, len(vs))
	for i, v := range vs {
		flat[i] = v.Flatten()
		n += v.Len
		anyNull = anyNull || v.Valid != nil
	}
	out := &Vector{Type: vs[0].Type, Len: n}
	if anyNull {
		out.Valid = concatValid(flat, n)
	}
	switch p := out.Type.Phys(); p {
	case types.PhysBytes, types.PhysList:
		out.Offs = make([]int32, 1, n+1)
		base := int32(0)
		var kids []*Vector
		total := 0
		for _, v := range flat {
			total += int(v.Offs[v.Len] - v.Offs[0])
		}
		out.Bytes = make([]byte, 0, total)
		for _, v := range flat {
			for i := range v.Len {
				out.Offs = append(out.Offs, base+v.Offs[i+1]-v.Offs[0])
			}
			lo, hi := v.Offs[0], v.Offs[v.Len]
			base += hi - lo
			if p == types.PhysBytes {
				out.Bytes = append(out.Bytes, v.Bytes[lo:hi]...)
			} else {
				kids = append(kids, Slice(v.Child, int(lo), int(hi)))
			}
		}
		if p == types.PhysList {
			out.Child = Concat(kids)
		}
	default:
		out.buf = dirtyBytes(n * Width(p))
		at := 0
		for _, v := range flat {
			at += copy(out.buf[at:], v.buf[:v.Len*Width(p)])
		}
	}
	return out
}

// concatValid returns the bitmap over the n rows of all vs.
func concatValid(vs []*Vector, n int) []byte {
	valid := NewValid(n)
	at := 0
	for _, v := range vs {
		if v.Valid != nil {
			for i := range v.Len {
				if v.IsNull(i) {
					SetNull(valid, at+i)
				}
			}
		}
		at += v.Len
	}
	return valid
}
