package wasmopt

// The engine calls out of its machine code for memory.copy and memory.fill, which
// costs more than to move a small struct. So moves of a small size that is known
// become loads and stores, and those of an unknown size, of which Go's runtime has
// few, look at the size first.
const (
	maxFill = 128 // bytes of a memory.fill that becomes stores
	maxMove = 64  // bytes of a memory.copy that becomes loads and stores
)

const (
	opDrop     = 0x1a
	opI64Load  = 0x29
	opI32Add   = 0x6a
	opI32LeU   = 0x4d
	opMemory   = 0xfc
	memoryCopy = 10
	memoryFill = 11
	i64        = 0x7e
)

// width is a size of loads and stores: their opcodes, and the exponent of the
// size.
type width struct {
	size        int
	load, store byte
	log         byte
}

var widths = [...]width{{8, 0x29, 0x37, 3}, {4, 0x35, 0x3e, 2}, {2, 0x33, 0x3d, 1}, {1, 0x31, 0x3c, 0}}

// piece is a load or store of w at an offset.
type piece struct {
	at int
	w  width
}

// pieces cuts n bytes, the last first: when the engine has checked the bounds of
// that one, the others are in, too.
func pieces(n int) []piece {
	var out []piece
	at := 0
	for _, w := range widths {
		for n-at >= w.size {
			out = append(out, piece{at, w})
			at += w.size
		}
		if at > 0 && at < n && n >= w.size { // one that overlaps
			out = append(out, piece{n - w.size, w})
			at = n
		}
	}
	for i, k := 0, len(out)-1; i < k; i, k = i+1, k-1 {
		out[i], out[k] = out[k], out[i]
	}
	return out
}

// coder writes instructions.
type coder struct{ b []byte }

func (c *coder) op(b ...byte)          { c.b = append(c.b, b...) }
func (c *coder) get(local uint32)      { c.b = appendU32(append(c.b, opLocalGet), local) }
func (c *coder) set(local uint32)      { c.b = appendU32(append(c.b, opLocalSet), local) }
func (c *coder) i32(v int)             { c.b = appendI32Const(c.b, int32(v)) }
func (c *coder) load(w width, at int)  { c.b = appendU32(append(c.b, w.load, 0), uint32(at)) }
func (c *coder) store(w width, at int) { c.b = appendU32(append(c.b, w.store, 0), uint32(at)) }

// scratch are locals that a function gets for this: destination, source and size,
// and what is on its way.
type scratch struct {
	dst, src, n uint32
	val         uint32 // the first of maxMove/8
}

// blocks rewrites the moves of blocks of memory in the body of a function of params
// parameters.
func blocks(body []byte, params uint32) ([]byte, error) {
	r := reader{b: body}
	groups := r.u32()
	start := r.b
	locals := params
	for range groups {
		locals += r.u32()
		r.byte()
		if r.err != nil {
			return nil, r.err
		}
	}
	decl := start[:len(start)-len(r.b)]
	s := scratch{locals, locals + 1, locals + 2, locals + 3}
	var c coder
	changed := false
	ends := [3]int{} // where the last three instructions begin
	var last [3]instr
	for len(r.b) > 0 {
		in := r.next()
		if r.err != nil {
			return nil, r.err
		}
		done := false
		if in.op == opMemory {
			sub := reader{b: in.raw[1:]}
			n := -1 // unknown
			if last[2].op == opI32Const && last[2].arg < 1<<20 {
				n = int(last[2].arg)
			}
			switch sub.u32() {
			case memoryFill:
				if last[1].op == opI32Const && last[1].arg == 0 && n >= 0 && n <= maxFill {
					c.b = c.b[:ends[1]]
					c.fill(s, n)
					done = true
				}
			case memoryCopy:
				switch {
				case n >= 0 && n <= maxMove:
					c.b = c.b[:ends[2]]
					c.move(s, n)
					done = true
				case n < 0:
					c.moveSome(s, in.raw)
					done = true
				}
			}
		}
		ends = [3]int{ends[1], ends[2], len(c.b)}
		last = [3]instr{last[1], last[2], in}
		if done {
			changed = true
			last[2] = instr{}
			continue
		}
		c.op(in.raw...)
	}
	if !changed {
		return body, nil
	}
	out := appendU32(nil, groups+2)
	out = append(out, decl...)
	out = append(out, 3, i32, maxMove/8, i64)
	return append(out, c.b...), nil
}

// fill clears n bytes at the address on the stack.
func (c *coder) fill(s scratch, n int) {
	c.set(s.dst)
	for _, p := range pieces(n) {
		c.get(s.dst)
		c.op(opI64Const, 0)
		c.store(p.w, p.at)
	}
}

// move copies n bytes between the addresses on the stack. They can overlap, so all
// is loaded before anything is stored.
func (c *coder) move(s scratch, n int) {
	c.set(s.src)
	c.set(s.dst)
	c.through(pieces(n), s.val, func() { c.get(s.src) }, func() { c.get(s.dst) })
}

func (c *coder) through(ps []piece, val uint32, src, dst func()) {
	for i, p := range ps {
		src()
		c.load(p.w, p.at)
		c.set(val + uint32(i))
	}
	for i, p := range ps {
		dst()
		c.get(val + uint32(i))
		c.store(p.w, p.at)
	}
}

// moveSome copies as many bytes as the stack says: up to 32 as the first and the
// last of them, in pieces that overlap.
func (c *coder) moveSome(s scratch, raw []byte) {
	c.set(s.n)
	c.set(s.src)
	c.set(s.dst)
	atMost := func(n int) {
		c.get(s.n)
		c.i32(n)
		c.op(opI32LeU, opIf, noType)
	}
	both := func(w width, count int) {
		var ps []piece
		for i := count - 1; i >= 0; i-- {
			ps = append(ps, piece{i * w.size, w})
		}
		end := func(base uint32) func() {
			return func() {
				c.get(base)
				c.get(s.n)
				c.op(opI32Add)
				c.i32(count * w.size)
				c.op(opI32Sub)
			}
		}
		// Loads of both halves, then stores.
		for i, p := range ps {
			c.get(s.src)
			c.load(p.w, p.at)
			c.set(s.val + uint32(i))
		}
		for i, p := range ps {
			end(s.src)()
			c.load(p.w, p.at)
			c.set(s.val + uint32(count+i))
		}
		for i, p := range ps {
			c.get(s.dst)
			c.get(s.val + uint32(i))
			c.store(p.w, p.at)
		}
		for i, p := range ps {
			end(s.dst)()
			c.get(s.val + uint32(count+i))
			c.store(p.w, p.at)
		}
	}
	atMost(32)
	atMost(15)
	atMost(7)
	atMost(3)
	atMost(1)
	c.get(s.n)
	c.op(opIf, noType)
	c.get(s.dst)
	c.get(s.src)
	c.load(widths[3], 0)
	c.store(widths[3], 0)
	c.op(opEnd)
	c.op(opElse)
	both(widths[2], 1)
	c.op(opEnd, opElse)
	both(widths[1], 1)
	c.op(opEnd, opElse)
	both(widths[0], 1)
	c.op(opEnd, opElse)
	both(widths[0], 2)
	c.op(opEnd, opElse)
	c.get(s.dst)
	c.get(s.src)
	c.get(s.n)
	c.op(raw...)
	c.op(opEnd)
}
