package wasmopt

import "errors"

// errShape says that a function is not of the form that this package knows; it
// stays as it is.
var errShape = errors.New("unknown form")

// Opcodes that matter here.
const (
	opUnreachable  = 0x00
	opNop          = 0x01
	opBlock        = 0x02
	opLoop         = 0x03
	opIf           = 0x04
	opElse         = 0x05
	opEnd          = 0x0b
	opBr           = 0x0c
	opBrIf         = 0x0d
	opBrTable      = 0x0e
	opReturn       = 0x0f
	opCall         = 0x10
	opCallIndirect = 0x11
	opLocalGet     = 0x20
	opLocalSet     = 0x21
	opLocalTee     = 0x22
	opGlobalGet    = 0x23
	opGlobalSet    = 0x24
	opI32Const     = 0x41
	opI64Const     = 0x42
	opI64Store     = 0x37
	opI32Eqz       = 0x45
	opI32Sub       = 0x6b
	opI32GeU       = 0x4f

	noType = 0x40 // of a block without results
	i32    = 0x7f
)

// instr is an instruction without what is nested in it.
type instr struct {
	op  byte
	arg uint64 // of those with one index, or the bits of an i32.const
	raw []byte // all of it
	to  []uint32
}

// reader takes a binary apart; err is the first error.
type reader struct {
	b   []byte
	err error
	any bool // next reads what other compilers than Go's emit, too
}

func (r *reader) fail() {
	if r.err == nil {
		r.err = errShape
	}
	r.b = nil
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail()
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) u32() uint32 {
	v := uint32(0)
	for s := 0; s < 35; s += 7 {
		c := r.byte()
		v |= uint32(c&0x7f) << s
		if c < 0x80 {
			return v
		}
	}
	r.fail()
	return 0
}

// s64 reads a signed number of up to 64 bits.
func (r *reader) s64() int64 {
	v := int64(0)
	for s := 0; s < 70; s += 7 {
		c := r.byte()
		v |= int64(c&0x7f) << s
		if c < 0x80 {
			if s < 57 && c&0x40 != 0 {
				v |= -1 << (s + 7)
			}
			return v
		}
	}
	r.fail()
	return 0
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.fail()
		return nil
	}
	p := r.b[:n]
	r.b = r.b[n:]
	return p
}

// next reads an instruction. What Go does not emit is refused, unless any is set.
func (r *reader) next() instr {
	start := r.b
	in := instr{op: r.byte()}
	switch op := in.op; {
	case op == opUnreachable || op == opNop || op == opElse || op == opEnd || op == opReturn || op == 0x1a || op == 0x1b:
	case op == opBlock || op == opLoop || op == opIf:
		if r.any {
			r.s64() // of a block with several results the number of its type
			break
		}
		if in.arg = uint64(r.byte()); in.arg != noType && (in.arg < 0x7c || in.arg > 0x7f) {
			r.fail()
		}
	case op == opBr || op == opBrIf || op == opCall || op >= opLocalGet && op <= opGlobalSet:
		in.arg = uint64(r.u32())
	case op == opBrTable:
		n := r.u32()
		if int(n) >= len(r.b) {
			r.fail()
			break
		}
		for range n + 1 {
			in.to = append(in.to, r.u32())
		}
	case op == opCallIndirect:
		in.arg = uint64(r.u32())
		r.u32()
	case op >= 0x28 && op <= 0x3e: // loads and stores
		r.u32()
		in.arg = uint64(r.u32())
	case op == 0x3f || op == 0x40:
		r.byte()
	case op == opI32Const:
		in.arg = uint64(uint32(r.s64()))
	case op == 0x42:
		in.arg = uint64(r.s64())
	case op == 0x43:
		r.take(4)
	case op == 0x44:
		r.take(8)
	case op >= 0x45 && op <= 0xc4:
	case op == 0xfc:
		switch sub := r.u32(); {
		case sub <= 7:
		case sub == 10:
			r.take(2)
		case sub == 11:
			r.take(1)
		case !r.any || sub > 17:
			r.fail()
		case sub == 8 || sub == 12 || sub == 14: // of segments and tables
			r.u32()
			r.u32()
		default:
			r.u32()
		}
	case r.any:
		r.other(op)
	default:
		r.fail()
	}
	if r.err == nil {
		in.raw = start[:len(start)-len(r.b)]
	}
	return in
}

// other skips the rest of an instruction of references or vectors.
func (r *reader) other(op byte) {
	switch op {
	case 0x1c: // select with types
		r.take(int(r.u32()))
	case 0x25, 0x26, 0xd0, 0xd2:
		r.u32()
	case 0xd1:
	case 0xfd:
		switch sub := r.u32(); {
		case sub <= 11 || sub == 92 || sub == 93: // loads and stores
			r.u32()
			r.u32()
		case sub == 12 || sub == 13:
			r.take(16)
		case sub >= 21 && sub <= 34: // a lane
			r.take(1)
		case sub >= 84 && sub <= 91:
			r.u32()
			r.u32()
			r.take(1)
		case sub > 255:
			r.fail()
		}
	default:
		r.fail()
	}
}

func appendU32(b []byte, v uint32) []byte {
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}

func appendI32Const(b []byte, v int32) []byte {
	b = append(b, opI32Const)
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if v == 0 && c&0x40 == 0 || v == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}
