package wasmopt

import "slices"

// spLocal is where Go's functions keep the stack pointer.
const spLocal = 1

const (
	opI32LoadFirst = 0x28
	opLoadLast     = 0x35
	opStoreFirst   = 0x36
	opStoreLast    = 0x3e
	opI32LoadByte  = 0x2d
	opI32WrapI64   = 0xa7
	opI64ExtendU   = 0xad
	opI64Add       = 0x7c
	opSelect       = 0x1b
	opI64Load8U    = 0x31
	opI64Load16U   = 0x33
	opI64Shl       = 0x86
	opI32Eq        = 0x46
	opI64Eqz       = 0x50
	opI32And       = 0x71
	opI64And       = 0x83
	opI64Eq        = 0x51
	opI64Ne        = 0x52
)

func simple(op byte) instr { return instr{op: op, raw: []byte{op}} }

func indexed(op byte, arg uint32) instr {
	return instr{op: op, arg: uint64(arg), raw: appendU32([]byte{op}, arg)}
}

func i32Const(v uint32) instr {
	return instr{op: opI32Const, arg: uint64(v), raw: appendI32Const(nil, int32(v))}
}

func isLoad(op byte) bool  { return op >= opI32LoadFirst && op <= opLoadLast }
func isStore(op byte) bool { return op >= opStoreFirst && op <= opStoreLast }

// accessSize is how many bytes a load or store moves.
func accessSize(op byte) uint64 {
	sizes := [...]uint64{4, 8, 4, 8, 1, 1, 2, 2, 1, 1, 2, 2, 4, 4, 4, 8, 4, 8, 1, 2, 1, 2, 4}
	return sizes[op-opI32LoadFirst]
}

// narrower are, for loads into 64 bits of what is no larger than 32, those into 32.
var narrower = [256]byte{0x30: 0x2c, 0x31: 0x2d, 0x32: 0x2e, 0x33: 0x2f, 0x34: 0x28, 0x35: 0x28}

// moved is a load or store at a place by later.
func moved(in instr, by uint64) instr {
	in.arg += by
	in.raw = appendU32([]byte{in.raw[0], in.raw[1]}, uint32(in.arg))
	return in
}

// inverse is the comparison of integers that holds when op does not; 0: op is none.
func inverse(op byte) byte {
	// eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u
	with := [...]byte{1, 0, 8, 9, 6, 7, 4, 5, 2, 3}
	switch {
	case op >= opI32Eq && op < opI32Eq+10:
		return opI32Eq + with[op-opI32Eq]
	case op >= opI64Eq && op < opI64Eq+10:
		return opI64Eq + with[op-opI64Eq]
	}
	return 0
}

// pushes is by how much an instruction changes the height of the stack, ok false
// for those of which this package does not know.
func pushes(in instr) (n int, ok bool) {
	switch op := in.op; {
	case op == opLocalGet || op == opGlobalGet || op >= 0x41 && op <= 0x44:
		return 1, true
	case op == opLocalTee || isLoad(op):
		return 0, true
	case op == opLocalSet || op == opGlobalSet || op == opDrop:
		return -1, true
	case isStore(op) || op == opSelect:
		return -2, true
	case op == 0x45 || op == 0x50 || op >= 0x67 && op <= 0x69 || op >= 0x79 && op <= 0x7b ||
		op >= 0x8b && op <= 0x91 || op >= 0x99 && op <= 0x9f || op >= 0xa7 && op <= 0xc4:
		return 0, true
	case op >= 0x46 && op <= 0xa6:
		return -1, true
	}
	return 0, false
}

// simplifier rewrites instructions none of which begins or ends a block.
type simplifier struct {
	sp    bool   // the stack pointer is in spLocal
	frame uint64 // how far above it the function reaches, as far as is known
}

// steps simplifies steps and what is nested in them.
func (s *simplifier) steps(in []step) []step {
	var out []step
	var run []instr
	end := func() {
		for _, x := range s.simplify(run) {
			out = append(out, step{in: x})
		}
		run = run[:0]
	}
	for _, x := range in {
		if x.kind == stepPlain && x.in.op != opBr && x.in.op != opBrIf {
			run = append(run, x.in)
			continue
		}
		end()
		if x.kind == stepNest {
			x.then, x.els = s.steps(x.then), s.steps(x.els)
			if n := len(out); x.in.op == opIf && x.in.arg == noType && !x.otherwise && n > 0 && out[n-1].in.op == opI32Eqz && out[n-1].kind == stepPlain {
				out = out[:n-1]
				x.then, x.els, x.otherwise = nil, x.then, true
			}
		}
		out = append(out, x)
	}
	end()
	return out
}

// takes is how many values an instruction takes that gives one.
func takes(in instr) (n int, ok bool) {
	d, ok := pushes(in)
	switch {
	case in.op == opSelect:
		return 3, true
	case !ok || d < -1 || in.op == opLocalSet || in.op == opGlobalSet || in.op == opDrop:
		return 0, false
	}
	return 1 - d, true
}

// small finds where the instructions begin that leave the last value on the stack, and
// how large it can be; from is -1 if that is not known.
func small(ins []instr) (from int, most uint64) {
	n := len(ins)
	if n == 0 {
		return -1, 0
	}
	switch last := ins[n-1]; last.op {
	case opI64Load8U, opI64Load16U:
		most = 1<<(8*accessSize(last.op)) - 1
		k := n - 1
		for need := 1; ; k-- {
			if k < 0 {
				return -1, 0
			}
			t, ok := takes(ins[k])
			if !ok {
				return -1, 0
			}
			if need += t - 1; need == 0 {
				return k, most
			}
		}
	case opI64Shl:
		if n > 1 && ins[n-2].op == opI64Const && ins[n-2].arg <= 8 {
			from, most = small(ins[:n-2])
			return from, most << ins[n-2].arg
		}
	}
	return -1, 0
}

// zeroLast gives the comparison in of 0 with a bitwise and, of which out ends with the
// and, as that of the and with 0. (Release 1.12 of the engine takes the former for
// the latter without turning it round.)
func zeroLast(out []instr, in instr) ([]instr, bool) {
	// eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u
	with := [...]byte{0, 1, 4, 5, 2, 3, 8, 9, 6, 7}
	n := len(out)
	if inverse(in.op) == 0 || n < 2 || out[n-1].op != opI32And && out[n-1].op != opI64And {
		return out, false
	}
	first := byte(opI64Eq)
	if in.op < opI64Eq {
		first = opI32Eq
	}
	k := n
	for need := 1; need > 0; {
		if k--; k < 1 {
			return out, false
		}
		t, ok := takes(out[k])
		if !ok {
			return out, false
		}
		need += t - 1
	}
	zero := out[k-1]
	switch zero.op {
	case opI64Const, opI32Const:
		if zero.arg != 0 {
			return out, false
		}
	case opLocalGet: // the engine can know that it is 0
		for _, x := range out[k:] {
			if x.op == opLocalTee && x.arg == zero.arg {
				return out, false
			}
		}
	default:
		return out, false
	}
	return append(slices.Delete(out, k-1, k), zero, simple(first+with[in.op-first])), true
}

// simplify rewrites instructions none of which begins or ends a block.
func (s *simplifier) simplify(ins []instr) []instr {
	out := ins[:0:0]
	ins = append([]instr(nil), ins...)
	for i := 0; i < len(ins); i++ {
		in := ins[i]
		if turned, ok := zeroLast(out, in); ok {
			out = turned
			continue
		}
		n := len(out)
		switch {
		case in.op == opI32Eqz && n > 0 && inverse(out[n-1].op) != 0:
			out[n-1] = simple(inverse(out[n-1].op))
			continue
		case in.op == opI32Eqz && n > 0 && out[n-1].op == opI64Eqz:
			out[n-1] = instr{op: opI64Const, raw: []byte{opI64Const, 0}}
			out = append(out, simple(opI64Ne))
			continue
		case in.op == opI32WrapI64 && n > 0 && out[n-1].op == opI64ExtendU:
			out = out[:n-1]
			continue
		case in.op == opI32WrapI64 && n > 0 && narrower[out[n-1].op] != 0:
			out[n-1].raw = append([]byte{narrower[out[n-1].op]}, out[n-1].raw[1:]...)
			out[n-1].op = out[n-1].raw[0]
			continue
		case in.op == opI32WrapI64 && n > 0 && out[n-1].op == opI64Const:
			out[n-1] = i32Const(uint32(out[n-1].arg))
			continue
		case s.sp && in.op == opI32WrapI64 && n >= 4 && out[n-1].op == opI64Add && out[n-2].op == opI64Const && out[n-2].arg < 1<<20 &&
			out[n-3].op == opI64ExtendU && out[n-4].op == opLocalGet && out[n-4].arg == spLocal:
			// An address in the frame: the distance belongs into the load or store.
			by := out[n-2].arg
			out = out[:n-3]
			height := 0
			k := i + 1
			for ; k < len(ins) && height >= 0; k++ {
				if isLoad(ins[k].op) && height == 0 || isStore(ins[k].op) && height == 1 {
					break
				}
				d, ok := pushes(ins[k])
				if !ok {
					height = -1
					break
				}
				// What it takes must not reach down to the address.
				if height+min(d, 0) < 0 || d == 0 && height == 0 || ins[k].op >= 0x46 && d == -1 && height < 2 ||
					ins[k].op == opSelect && height < 3 {
					height = -1
					break
				}
				height += d
			}
			if height >= 0 && k < len(ins) && (isLoad(ins[k].op) || isStore(ins[k].op)) && ins[k].arg+by < 1<<30 {
				ins[k] = moved(ins[k], by)
				s.frame = max(s.frame, ins[k].arg+accessSize(ins[k].op))
			} else {
				out = append(out, i32Const(uint32(by)), simple(opI32Add))
			}
			continue
		case in.op == opI32WrapI64 && n >= 3 && out[n-1].op == opI64Add && i+1 < len(ins) && isLoad(ins[i+1].op):
			// An element of a table that is a variable: what is small cannot reach around
			// the end of the addresses.
			from, most := small(out[:n-1])
			if from < 1 || out[from-1].op != opI64Const || out[from-1].arg >= 1<<31 || out[from-1].arg+ins[i+1].arg+most >= 1<<31 {
				break
			}
			by := out[from-1].arg
			out = slices.Delete(out[:n-1], from-1, from)
			ins[i+1] = moved(ins[i+1], by)
			i-- // the rest of the address
			continue
		case s.sp && isLoad(in.op) && n > 0 && out[n-1].op == opLocalGet && out[n-1].arg == spLocal:
			s.frame = max(s.frame, in.arg+accessSize(in.op))
		}
		out = append(out, in)
	}
	return out
}
