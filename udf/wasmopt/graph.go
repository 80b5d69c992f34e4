package wasmopt

import (
	"math/bits"
	"slices"
)

// graph is the flow between the regions of a function. Node 0 is where it begins;
// region i is node i+1.
type graph struct {
	f    *function
	n    int
	succ [][]int
	// resume says which regions a parked goroutine can go on in; places are their
	// numbers.
	places [][]uint32
	enter  []bool
	// dispatch lists, for the beginning and for heads of loops, the nodes that lead to
	// regions in which the function can go on, with the places to go on at.
	dispatch []map[int][]uint32

	order []int // reverse postorder
	rpo   []int // of a node in it; -1 = it cannot be reached
	idom  []int
	preds [][]int
	loop  map[int][]int // by its head: the nodes of a loop
}

// flow collects the regions to which steps lead; ends is false if what follows them
// can be reached.
func flow(steps []step, out *[]int) (ends bool) {
	for i := range steps {
		s := &steps[i]
		switch s.kind {
		case stepJump:
			*out = append(*out, s.target+1)
			return true
		case stepEnds:
			return true
		case stepUnwind:
			if s.neverComes {
				return true
			}
		case stepNest:
			flow(s.then, out)
			flow(s.els, out)
		case stepPlain:
			if s.in.op == opBr {
				return true
			}
		}
	}
	return false
}

// runsDeferred says that the first call of a region is the one that runs deferred
// functions: the runtime enters there after a panic. Where the names of functions
// are not known, any call without arguments that a region begins with may be that.
func (f *function) runsDeferred(steps []step) bool {
	for i := range steps {
		if steps[i].kind != stepPlain {
			break
		}
		if steps[i].in.op == opCall {
			if f.known.deferReturn(uint32(steps[i].in.arg)) {
				return true
			}
			break
		}
	}
	if f.known.named {
		return false
	}
	for len(steps) > 0 && steps[0].kind == stepPlain && steps[0].in.op == opNop {
		steps = steps[1:]
	}
	want := [...]byte{opLocalGet, opI32Const, opI32Sub, opLocalTee, opGlobalSet, opLocalGet, opI64Const, opI64Store}
	for i, op := range want {
		if i >= len(steps) || steps[i].kind != stepPlain || steps[i].in.op != op {
			return false
		}
	}
	return true
}

func newGraph(f *function) (*graph, error) {
	n := len(f.regions) + 1
	g := &graph{f: f, n: n, succ: make([][]int, n), places: make([][]uint32, n), enter: make([]bool, n), dispatch: make([]map[int][]uint32, n)}
	g.succ[0] = []int{1}
	for i, steps := range f.regions {
		to := []int{}
		ends := flow(steps, &to)
		if !ends && i+1 < len(f.regions) {
			to = append(to, i+2)
		}
		slices.Sort(to)
		g.succ[i+1] = slices.Compact(to)
		if i == 0 {
			continue
		}
		before := f.regions[i-1]
		if k := len(before); k > 0 && before[k-1].kind == stepUnwind && !before[k-1].neverComes || f.runsDeferred(steps) {
			g.enter[i+1] = true
		}
	}
	for place, r := range f.table[:len(f.table)-1] {
		g.places[r+1] = append(g.places[r+1], uint32(place))
	}
	last := len(f.table) - 1
	g.places[f.table[last]+1] = append(g.places[f.table[last]+1], uint32(last))
	for x := range n {
		if g.enter[x] && len(g.places[x]) == 0 {
			g.enter[x] = false
		}
	}
	// The loops are those of the code without the ways in. What cannot be reached but
	// by a way in begins there.
	g.number()
	var roots []int
	for x := range n {
		if g.enter[x] && g.rpo[x] < 0 {
			roots = append(roots, x)
		}
	}
	body := slices.Clone(g.succ)
	for _, x := range roots {
		g.succ[0] = append(g.succ[0], x)
		g.number()
	}
	if !g.dominators() {
		return nil, errShape
	}
	heads := g.loops()
	g.succ = body
	for x := range n {
		if !g.enter[x] {
			continue
		}
		// From the beginning through the heads of the loops that it lies in.
		at := 0
		for _, h := range append(heads[x], x) {
			if at == h {
				continue
			}
			if g.dispatch[at] == nil {
				g.dispatch[at] = map[int][]uint32{}
			}
			g.dispatch[at][h] = append(g.dispatch[at][h], g.places[x]...)
			at = h
		}
	}
	for x := range n {
		if x > 0 && g.enter[x] && g.dispatch[x] != nil {
			return nil, errShape // one number cannot say both here and further in
		}
		for to := range g.dispatch[x] {
			if !slices.Contains(g.succ[x], to) {
				g.succ[x] = append(slices.Clip(g.succ[x]), to)
			}
		}
		slices.Sort(g.succ[x])
	}
	g.number()
	if !g.dominators() {
		return nil, errShape
	}
	g.loops()
	return g, nil
}

// number orders the nodes so that all but the edges back to the heads of loops lead
// onwards.
func (g *graph) number() {
	g.rpo = make([]int, g.n)
	for i := range g.rpo {
		g.rpo[i] = -1
	}
	seen := make([]bool, g.n)
	type frame struct{ x, i int }
	stack := []frame{{0, 0}}
	seen[0] = true
	post := make([]int, 0, g.n)
	for len(stack) > 0 {
		t := &stack[len(stack)-1]
		if s := g.succ[t.x]; t.i < len(s) {
			// Backwards, so that of two ways the one that stands first comes first.
			y := s[len(s)-1-t.i]
			t.i++
			if !seen[y] {
				seen[y] = true
				stack = append(stack, frame{y, 0})
			}
			continue
		}
		post = append(post, t.x)
		stack = stack[:len(stack)-1]
	}
	slices.Reverse(post)
	g.order = post
	for i, x := range post {
		g.rpo[x] = i
	}
	g.preds = make([][]int, g.n)
	for _, x := range post {
		for _, y := range g.succ[x] {
			g.preds[y] = append(g.preds[y], x)
		}
	}
}

// dominators computes idom; false if a loop has more than one head.
func (g *graph) dominators() bool {
	g.idom = make([]int, g.n)
	for i := range g.idom {
		g.idom[i] = -1
	}
	g.idom[0] = 0
	for changed := true; changed; {
		changed = false
		for _, x := range g.order[1:] {
			d := -1
			for _, p := range g.preds[x] {
				switch {
				case g.idom[p] < 0:
				case d < 0:
					d = p
				default:
					a, b := p, d
					for a != b {
						for g.rpo[a] > g.rpo[b] {
							a = g.idom[a]
						}
						for g.rpo[b] > g.rpo[a] {
							b = g.idom[b]
						}
					}
					d = a
				}
			}
			if d != g.idom[x] {
				g.idom[x], changed = d, true
			}
		}
	}
	for _, x := range g.order {
		for _, y := range g.succ[x] {
			if g.rpo[y] <= g.rpo[x] && !g.dominates(y, x) {
				return false
			}
		}
	}
	return true
}

func (g *graph) dominates(a, b int) bool {
	for g.rpo[b] > g.rpo[a] {
		b = g.idom[b]
	}
	return a == b
}

// loops returns the heads of the loops that each node lies in, the outermost first.
func (g *graph) loops() [][]int {
	heads := make([][]int, g.n)
	g.loop = map[int][]int{}
	words := (g.n + 63) / 64
	for _, h := range g.order {
		var in []uint64
		var work []int
		for _, p := range g.preds[h] {
			if g.rpo[p] < g.rpo[h] {
				continue
			}
			if in == nil {
				in = make([]uint64, words)
				in[h/64] |= 1 << (h % 64)
			}
			work = append(work, p)
		}
		for len(work) > 0 {
			x := work[len(work)-1]
			work = work[:len(work)-1]
			if in[x/64]&(1<<(x%64)) != 0 {
				continue
			}
			in[x/64] |= 1 << (x % 64)
			work = append(work, g.preds[x]...)
		}
		for w, v := range in {
			for ; v != 0; v &= v - 1 {
				x := w*64 + bits.TrailingZeros64(v)
				g.loop[h] = append(g.loop[h], x)
				heads[x] = append(heads[x], h) // heads come in reverse postorder: outer loops first
			}
		}
	}
	return heads
}
