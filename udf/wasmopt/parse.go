package wasmopt

import "slices"

// What a step of a region is.
const (
	stepPlain  = iota // an instruction that goes on to the next
	stepNest          // if, block or loop
	stepJump          // to another region
	stepUnwind        // leaves the function if the number on the stack is not 0
	stepEnds          // an instruction after which nothing follows
)

// step is a step of a region.
type step struct {
	kind       int
	in         instr
	then, els  []step // of a stepNest; els only of an if
	otherwise  bool   // there is an else
	target     int    // of a stepJump
	neverComes bool   // of a stepUnwind: the call never returns
}

// function is a function in the form that Go's compiler gives to those with jumps:
//
//	[global.get sp; local.set sp]
//	[block                     unwind: leaving it returns 1]
//	loop
//	  block … block            one per region
//	    local.get 0; br_table  to the region of the number
//	  end
//	  region 0
//	  end
//	  region 1
//	  …
//	end
//	unreachable
//	[end; i32.const 1]
//
// Local 0, its parameter, is the number of the place where it begins, 0 for a
// call, others when a goroutine goes on that was parked below this function. A
// jump sets it and starts the loop again.
type function struct {
	locals  []byte // the declarations of locals, without their count
	prefix  []byte // what it begins with
	groups  uint32
	nlocals uint32 // with the parameter
	unwinds bool
	table   []uint32 // of places: their regions; the last is for all others
	regions [][]step
	known   callees
}

// callees says what is known of the functions that a function calls.
type callees struct {
	noReturn    func(callee uint32) bool // the compiler lets no code follow
	deferReturn func(callee uint32) bool // it runs deferred functions
	named       bool                     // and who they are
}

// region is the region of a place.
func (f *function) region(place uint64) int {
	return int(f.table[min(place, uint64(len(f.table)-1))])
}

// maxNested is how deep blocks can be nested in a region; Go has a few.
const maxNested = 100

// parser is a reader within a function.
type parser struct {
	reader
	f     *function
	outer int // frames between the current region and the loop
}

// parse reads a function's body, errShape if it has not got the form.
func parse(body []byte, known callees) (*function, error) {
	p := &parser{reader: reader{b: body}, f: &function{nlocals: 1, known: known}}
	f := p.f
	f.groups = p.u32()
	start := p.b
	for range f.groups {
		n := p.u32()
		if n > 1000 {
			p.fail()
		}
		f.nlocals += n
		p.byte()
		if p.err != nil {
			return nil, p.err
		}
	}
	f.locals = start[:len(start)-len(p.b)]
	in := p.next()
	if in.op == opGlobalGet {
		// The stack pointer has a local, too.
		set := p.next()
		if set.op != opLocalSet || set.arg != spLocal {
			return nil, errShape
		}
		f.prefix = slices.Concat(in.raw, set.raw)
		in = p.next()
	}
	if in.op == opBlock {
		f.unwinds = true
		in = p.next()
	}
	if in.op != opLoop || in.arg != noType {
		return nil, errShape
	}
	n := 0
	for in = p.next(); in.op == opBlock && in.arg == noType; in = p.next() {
		n++
	}
	if in.op != opLocalGet || in.arg != 0 || n == 0 {
		return nil, errShape
	}
	if in = p.next(); in.op != opBrTable {
		return nil, errShape
	}
	f.table = in.to
	for _, r := range f.table {
		if int(r) >= n {
			return nil, errShape
		}
	}
	if p.next().op != opEnd || p.err != nil {
		return nil, errShape
	}
	for i := range n {
		p.outer = n - 1 - i
		steps, last := p.steps(0)
		if p.err != nil || last != opEnd {
			return nil, errShape
		}
		f.regions = append(f.regions, steps)
	}
	if p.next().op != opUnreachable {
		return nil, errShape
	}
	if f.unwinds {
		if p.next().op != opEnd {
			return nil, errShape
		}
		if in = p.next(); in.op != opI32Const || in.arg != 1 {
			return nil, errShape
		}
	}
	if p.next().op != opEnd || p.err != nil || len(p.b) > 0 {
		return nil, errShape
	}
	return f, nil
}

// steps reads up to the end or else of what is nested depth deep; what follows
// the end of a path is left out.
func (p *parser) steps(depth int) (out []step, last byte) {
	if depth > maxNested {
		p.fail()
	}
	dead := false
	add := func(s step) {
		if !dead {
			out = append(out, s)
		}
		if s.kind == stepJump || s.kind == stepEnds || s.neverComes {
			dead = true
		}
	}
	for p.err == nil {
		in := p.next()
		switch in.op {
		case opEnd, opElse:
			return out, in.op
		case opBlock, opLoop, opIf:
			s := step{kind: stepNest, in: in}
			s.then, last = p.steps(depth + 1)
			if last == opElse {
				if in.op != opIf {
					p.fail()
				}
				s.otherwise = true
				if s.els, last = p.steps(depth + 1); last != opEnd {
					p.fail()
				}
			}
			add(s)
		case opBr, opBrIf:
			to := int(in.arg) - depth
			switch {
			case to < 0: // within the region
				add(step{in: in})
				dead = dead || in.op == opBr
			case to == p.outer && in.op == opBr:
				// i32.const place; local.set 0; br
				n := len(out)
				if dead {
					break
				}
				if n < 2 || out[n-1].in.op != opLocalSet || out[n-1].in.arg != 0 || out[n-2].in.op != opI32Const ||
					out[n-1].kind != stepPlain || out[n-2].kind != stepPlain {
					p.fail()
					break
				}
				place := out[n-2].in.arg
				out = out[:n-2]
				add(step{kind: stepJump, target: p.f.region(place)})
			case to == p.outer+1 && p.f.unwinds && in.op == opBrIf:
				s := step{kind: stepUnwind, in: in}
				n := len(out)
				for n > 0 && out[n-1].kind == stepPlain && (out[n-1].in.op == opGlobalGet || out[n-1].in.op == opLocalSet) {
					n-- // the stack pointer
				}
				if n > 0 && out[n-1].kind == stepPlain && out[n-1].in.op == opCall {
					s.neverComes = p.f.known.noReturn(uint32(out[n-1].in.arg))
				}
				add(s)
			default:
				p.fail()
			}
		case opBrTable:
			p.fail()
		case opReturn, opUnreachable:
			add(step{kind: stepEnds, in: in})
		default:
			add(step{in: in})
		}
	}
	return nil, 0
}
