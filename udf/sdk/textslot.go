package udf

import (
	"slices"
	"unsafe"

	"github.com/volleydb/volley/udf/sdk/wire"
)

// textSlot is where a column of text is written straight into an output slot: room for
// the validity, the offsets, the bytes.
type textSlot struct {
	slot  int // -1 = nowhere
	mem   []byte
	offs  []int32
	bytes []byte  // empty; as much as there is room for
	per   float64 // bytes per row of the last results, 0 = not known
}

// placeText lets out write n rows into a slot if there should be room for them in one
// Result, judging by the rows before.
func (s *stream) placeText(p *textSlot, out *outCol, n int) {
	if out.kind != wire.Bytes || p.per == 0 {
		return
	}
	valid := wire.Align((n + 7) / 8)
	from := valid + wire.Align(4*(n+1))
	guess := p.per * float64(n+n/8)
	if guess > chunkBytes {
		return
	}
	size := from + wire.Align(int(guess)+256)
	if size > chunkBytes {
		return
	}
	p.slot = s.acquire(size)
	p.mem = s.outSl[p.slot].mem
	p.offs = unsafe.Slice((*int32)(unsafe.Pointer(&p.mem[valid])), n+1)
	p.offs[0] = 0
	to := min(len(p.mem), chunkBytes)
	p.bytes = p.mem[from:from:to]
	out.offs, out.bytes, out.rows = p.offs[1:1], p.bytes, n
}

// sendPlaced sends what out has written to p. It returns false, and gives the slot
// back, when there was no room for all: the values are elsewhere then.
func (s *stream) sendPlaced(p *textSlot, out *outCol, nanos int64) bool {
	j := p.slot
	p.slot = -1
	at := func(b unsafe.Pointer) uint32 { return uint32(uintptr(b) - uintptr(unsafe.Pointer(&p.mem[0]))) }
	if unsafe.SliceData(out.bytes) != unsafe.SliceData(p.bytes) {
		out.offs = slices.Clone(out.offs) // sendRows may write to the slot
		s.free <- j
		return false
	}
	c := wire.Col{Kind: wire.Bytes, Data: at(unsafe.Pointer(&p.offs[0])), Bytes: at(unsafe.Pointer(unsafe.SliceData(p.bytes))), BytesLen: uint32(len(out.bytes))}
	if len(out.nulls) > 0 {
		c.HasValid = true
		out.fillValid(p.mem, 0, out.n)
	}
	s.msg = wire.BatchMsg{Rows: uint32(out.n), Done: nanos, Cols: append(s.msg.Cols[:0], c)}
	end := int(c.Bytes) + len(out.bytes)
	s.sendResult(wire.Header{Type: wire.Result, Flags: wire.FlagLast, Slot: uint16(j), Seq: s.cur.h.Seq}, p.mem[:end])
	return true
}
