package wasmopt

import (
	"maps"
	"slices"
)

// emitter writes a function with loops and blocks instead of jumps, by the tree of
// dominators: a node's code contains that of the nodes it dominates, those to which
// more than one way leads behind a block that these ways leave. (Norman Ramsey,
// Beyond Relooper, ICFP 2022.)
type emitter struct {
	g      *graph
	out    []byte
	frames []frame
	kids   [][]int // nodes of the tree with more than one way to them, in order
	head   []bool
	merge  []bool
	resume uint32 // local: the place to go on at, 0 on the way from there
	loops  bool   // resume is needed
	// narrow has, for locals of 64 bits that are used as addresses, locals for their
	// lower halves, and known says which hold them now. The engine checks the bounds
	// of an address once if it sees that it is the same.
	narrow map[uint32]uint32
	known  map[uint32]bool
	// arrives is what is known on all ways to a node so far.
	arrives map[int]map[uint32]bool
	touch   uint32 // bytes above the stack pointer that the function uses, 0 if unknown
	setUp   int    // steps of the first region after which it has its frame; 0: never
}

// frame is what a branch can lead to.
type frame struct {
	kind byte // opLoop: to the head node, opBlock: behind it, to node; 0: anything else
	node int
}

const (
	nodeNone   = -1
	nodeUnwind = -2
)

// restructure writes the body of f anew.
func restructure(f *function) ([]byte, error) {
	g, err := newGraph(f)
	if err != nil {
		return nil, err
	}
	e := &emitter{g: g, kids: make([][]int, g.n), head: make([]bool, g.n), merge: make([]bool, g.n), resume: f.nlocals,
		narrow: map[uint32]uint32{}, known: map[uint32]bool{}, arrives: map[int]map[uint32]bool{}}
	// What is jumped to under a condition stands behind what follows the condition,
	// which is the likelier way.
	aside := make([]bool, g.n)
	for i, r := range f.regions {
		if g.rpo[i+1] >= 0 {
			for _, s := range r {
				if s.kind == stepNest {
					var to []int
					flow([]step{s}, &to)
					for _, x := range to {
						aside[x] = true
					}
				}
			}
		}
	}
	for _, x := range g.order[1:] {
		ways := 0
		for _, p := range g.preds[x] {
			if g.rpo[p] < g.rpo[x] {
				ways += e.ways(p, x)
			} else {
				e.head[x] = true
			}
			if g.dispatch[p][x] != nil {
				ways = 2 // a table of branches needs something to branch to
			}
		}
		if e.merge[x] = ways > 1 || aside[x]; e.merge[x] {
			d := g.idom[x]
			e.kids[d] = append(e.kids[d], x)
		}
		e.loops = e.loops || g.dispatch[x] != nil
	}
	s := simplifier{sp: f.prefix != nil}
	for i, r := range f.regions {
		f.regions[i] = s.steps(r)
	}
	if s.sp && s.frame < 1<<20 {
		e.touch = uint32(s.frame)
		e.setUp = f.setsUp()
	}
	e.out = slices.Clone(f.prefix)
	if f.unwinds {
		e.open(opBlock, frame{opBlock, nodeUnwind})
	}
	if err := e.tree(0); err != nil {
		return nil, err
	}
	e.out = append(e.out, opUnreachable)
	if f.unwinds {
		e.close()
		e.out = appendI32Const(e.out, 1)
	}
	e.out = append(e.out, opEnd)
	out := appendU32(nil, f.groups+1)
	out = append(out, f.locals...)
	out = appendU32(out, uint32(1+len(e.narrow)))
	out = append(out, i32)
	return append(out, e.out...), nil
}

// ways counts the jumps from p to x: a node has its code once.
func (e *emitter) ways(p, x int) int {
	if p == 0 {
		return 1
	}
	var to []int
	ends := flow(e.g.f.regions[p-1], &to)
	if !ends {
		to = append(to, p+1)
	}
	n := 0
	for _, y := range to {
		if y == x {
			n++
		}
	}
	return n
}

func (e *emitter) open(op byte, f frame) {
	e.out = append(e.out, op, noType)
	e.frames = append(e.frames, f)
}

func (e *emitter) close() {
	e.out = append(e.out, opEnd)
	e.frames = e.frames[:len(e.frames)-1]
}

// depth finds the frame to branch to.
func (e *emitter) depth(f frame) (uint32, error) {
	for i := len(e.frames) - 1; i >= 0; i-- {
		if e.frames[i] == f {
			return uint32(len(e.frames) - 1 - i), nil
		}
	}
	return 0, errShape
}

// tree writes x and all that it dominates.
func (e *emitter) tree(x int) error {
	if e.merge[x] {
		e.known = e.arrives[x]
	}
	if e.head[x] {
		e.known = maps.Clone(e.known)
		for _, y := range e.g.loop[x] {
			if y > 0 {
				forget(e.known, e.g.f.regions[y-1])
			}
		}
	}
	if !e.head[x] {
		return e.within(x, e.kids[x])
	}
	e.open(opLoop, frame{opLoop, x})
	err := e.within(x, e.kids[x])
	e.close()
	e.out = append(e.out, opUnreachable) // where a jump left values on the stack, nothing follows them
	return err
}

// within writes x in blocks behind which stand the nodes ys, the last of them
// outermost.
func (e *emitter) within(x int, ys []int) error {
	n := len(ys)
	for i := n - 1; i >= 0; i-- {
		e.open(opBlock, frame{opBlock, ys[i]})
	}
	err := e.node(x)
	for _, y := range ys {
		e.close()
		if err == nil {
			err = e.tree(y)
		}
	}
	return err
}

// node writes x itself.
func (e *emitter) node(x int) error {
	if e.g.enter[x] && e.loops {
		e.out = appendI32Const(e.out, 0)
		e.out = append(e.out, opLocalSet)
		e.out = appendU32(e.out, e.resume)
	}
	if to := e.g.dispatch[x]; to != nil {
		if err := e.goOn(x, to); err != nil {
			return err
		}
	}
	if x == 0 {
		return e.jump(0, 1)
	}
	steps := e.g.f.regions[x-1]
	if x == 1 && e.setUp > 0 {
		if _, err := e.steps(x, steps[:e.setUp]); err != nil {
			return err
		}
		e.checkFrame()
		steps = steps[e.setUp:]
	} else if e.g.enter[x] && e.setUp > 0 {
		e.checkFrame()
	}
	ended, err := e.steps(x, steps)
	if err != nil || ended {
		return err
	}
	if x+1 >= e.g.n {
		e.out = append(e.out, opUnreachable)
		return nil
	}
	return e.jump(x, x+1)
}

// checkFrame reads the last byte of the function's frame: then the engine knows that
// all of it is within the memory, and does not check again (and does not read).
func (e *emitter) checkFrame() {
	if e.touch == 0 {
		return
	}
	e.out = appendU32(append(e.out, opLocalGet), spLocal)
	e.out = appendU32(append(e.out, opI32LoadByte, 0), e.touch-1)
	e.out = append(e.out, opDrop)
}

// setsUp is the number of steps of the first region until the stack pointer has been
// moved by the size of the frame.
func (f *function) setsUp() int {
	want := [...]byte{opLocalGet, opI32Const, opI32Sub, opLocalTee, opGlobalSet}
	steps := f.regions[0]
next:
	for i := range steps {
		if i+len(want) > len(steps) {
			break
		}
		for k, op := range want {
			if steps[i+k].kind != stepPlain || steps[i+k].in.op != op {
				continue next
			}
		}
		if steps[i].in.arg == spLocal && steps[i+3].in.arg == spLocal {
			return i + len(want)
		}
	}
	return 0
}

// goOn writes the branches to where a parked goroutine goes on.
func (e *emitter) goOn(x int, to map[int][]uint32) error {
	place := e.resume
	if x == 0 {
		place = 0
	}
	get := func(local uint32) { e.out = appendU32(append(e.out, opLocalGet), local) }
	var nodes []int
	lo, hi := ^uint32(0), uint32(0)
	for y, places := range to {
		nodes = append(nodes, y)
		lo, hi = min(lo, slices.Min(places)), max(hi, slices.Max(places))
	}
	slices.Sort(nodes)
	get(place)
	if x == 0 {
		// Places of the first region are the beginning, too.
		e.out = appendI32Const(e.out, int32(slices.Max(append(e.g.places[1], 0))))
		e.out = append(e.out, opI32Const+10) // i32.gt_u
	}
	e.open(opIf, frame{0, nodeNone})
	if x == 0 && e.loops {
		get(0)
		e.out = appendU32(append(e.out, opLocalSet), e.resume)
	}
	e.open(opBlock, frame{0, nodeNone})
	get(place)
	e.out = appendI32Const(e.out, int32(lo))
	e.out = append(e.out, opI32Sub, opBrTable)
	e.out = appendU32(e.out, hi-lo+1)
	labels := make([]uint32, hi-lo+2) // 0: out of the block, where nothing is
	for _, y := range nodes {
		d, err := e.depth(frame{opBlock, y})
		if err != nil {
			return err
		}
		e.arrives[y] = map[uint32]bool{}
		for _, p := range to[y] {
			labels[p-lo] = d
		}
	}
	for _, l := range labels {
		e.out = appendU32(e.out, l)
	}
	e.close()
	e.out = append(e.out, opUnreachable)
	e.close()
	return nil
}

// jump writes the way from x to y.
func (e *emitter) jump(x, y int) error {
	to := frame{opBlock, y}
	switch {
	case e.g.rpo[y] <= e.g.rpo[x]:
		to.kind = opLoop
	case !e.merge[y]:
		return e.tree(y)
	}
	e.arrive(y)
	d, err := e.depth(to)
	e.out = appendU32(append(e.out, opBr), d)
	return err
}

// arrive notes what is known on a way to y.
func (e *emitter) arrive(y int) {
	have, ok := e.arrives[y]
	if !ok {
		e.arrives[y] = maps.Clone(e.known)
		return
	}
	for l := range have {
		if !e.known[l] {
			delete(have, l)
		}
	}
}

// steps writes steps of x; ended says that nothing follows them.
func (e *emitter) steps(x int, steps []step) (ended bool, err error) {
	for i := 0; i < len(steps); i++ {
		s := &steps[i]
		switch s.kind {
		case stepNest:
			if s.in.op == opIf && !s.otherwise && len(s.then) == 1 && s.then[0].kind == stepJump {
				y := s.then[0].target + 1
				to := frame{opBlock, y}
				if e.g.rpo[y] <= e.g.rpo[x] {
					to.kind = opLoop
				}
				if d, err := e.depth(to); err == nil {
					e.arrive(y)
					e.out = appendU32(append(e.out, opBrIf), d)
					continue
				}
			}
			e.out = append(e.out, s.in.raw...)
			e.frames = append(e.frames, frame{0, nodeNone})
			before := e.known
			if s.in.op == opLoop {
				before = map[uint32]bool{}
			}
			e.known = maps.Clone(before)
			if _, err := e.steps(x, s.then); err != nil {
				return false, err
			}
			if s.otherwise {
				e.out = append(e.out, opElse)
				e.known = maps.Clone(before)
				if _, err := e.steps(x, s.els); err != nil {
					return false, err
				}
			}
			e.known = before
			forget(before, s.then)
			forget(before, s.els)
			e.close()
		case stepJump:
			return true, e.jump(x, s.target+1)
		case stepUnwind:
			d, err := e.depth(frame{opBlock, nodeUnwind})
			if err != nil {
				return false, err
			}
			e.out = appendU32(append(e.out, opBrIf), d)
			if s.neverComes {
				e.out = append(e.out, opUnreachable)
				return true, nil
			}
		case stepEnds:
			e.out = append(e.out, s.in.raw...)
			return true, nil
		default:
			local := uint32(s.in.arg)
			switch s.in.op {
			case opLocalSet, opLocalTee:
				delete(e.known, local)
			case opLocalGet:
				if i+1 == len(steps) || steps[i+1].in.op != opI32WrapI64 || steps[i+1].kind != stepPlain {
					break
				}
				i++
				to, ok := e.narrow[local]
				if !ok {
					to = e.resume + 1 + uint32(len(e.narrow))
					e.narrow[local] = to
				}
				if e.known[local] {
					e.out = appendU32(append(e.out, opLocalGet), to)
					continue
				}
				e.known[local] = true
				e.out = append(e.out, s.in.raw...)
				e.out = appendU32(append(e.out, opI32WrapI64, opLocalTee), to)
				continue
			}
			e.out = append(e.out, s.in.raw...)
			if s.in.op == opBr {
				return true, nil
			}
		}
	}
	return false, nil
}

// forget takes out what steps, or what is nested in them, set.
func forget(known map[uint32]bool, steps []step) {
	for i := range steps {
		s := &steps[i]
		if s.in.op == opLocalSet || s.in.op == opLocalTee {
			delete(known, uint32(s.in.arg))
		}
		forget(known, s.then)
		forget(known, s.els)
	}
}
