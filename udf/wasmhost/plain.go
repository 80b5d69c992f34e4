package wasmhost

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/tetratelabs/wazero/api"

	"github.com/volleydb/volley/udf/sdk/wire"
)

// PlainABI is the version of the functions that a module of another language
// exports: what volley_abi returns.
const PlainABI = 1

// plainExport is a function that a plain module has to export.
type plainExport struct {
	name          string
	params, gives []api.ValueType
}

var plainExports = []plainExport{
	{"volley_abi", nil, []api.ValueType{api.ValueTypeI32}},
	{"volley_manifest", nil, []api.ValueType{api.ValueTypeI64}},
	{"volley_alloc", []api.ValueType{api.ValueTypeI32}, []api.ValueType{api.ValueTypeI32}},
	{"volley_free", []api.ValueType{api.ValueTypeI32, api.ValueTypeI32}, nil},
	{"volley_call", []api.ValueType{api.ValueTypeI32, api.ValueTypeI32, api.ValueTypeI32}, []api.ValueType{api.ValueTypeI64}},
}

func (p *plainExport) check(d api.FunctionDefinition) error {
	if !slices.Equal(d.ParamTypes(), p.params) || !slices.Equal(d.ResultTypes(), p.gives) {
		return fmt.Errorf("the module's %s has another signature", p.name)
	}
	return nil
}

// plainInstance speaks the protocol for a module that does not.
type plainInstance struct {
	in    *instance
	ctx   context.Context
	funcs []wire.Function

	call     api.Function
	alloc    api.Function
	release  api.Function
	fail     api.Function // nil: the module has no messages
	buf, cap uint32       // where batches go in the module

	// The stream.
	id      uint32
	fn      int
	stop    bool
	batches []item
	free    []int
	size    [wire.OutSlots]int
	grown   bool
	msg     wire.BatchMsg
	out     []byte
}

// servePlain serves streams, one after the other, until the input ends.
func (in *instance) servePlain(ctx context.Context) error {
	p := &plainInstance{in: in, ctx: ctx,
		call: in.mod.ExportedFunction("volley_call"), alloc: in.mod.ExportedFunction("volley_alloc"),
		release: in.mod.ExportedFunction("volley_free"), fail: in.mod.ExportedFunction("volley_error")}
	for _, name := range []string{"_initialize", "_start"} {
		// A library has the first, a program that only sets things up the second.
		if f := in.mod.ExportedFunction(name); f != nil {
			if _, err := f.Call(ctx); err != nil {
				return err
			}
			break
		}
	}
	if err := p.hello(); err != nil {
		return err
	}
	for {
		it, ok := in.pop()
		if !ok {
			return nil
		}
		if it.h.Type != wire.Open {
			continue // of a stream that has failed to open
		}
		p.id, p.stop, p.batches, p.free, p.grown = it.h.Stream, false, nil, nil, false
		p.size = [wire.OutSlots]int{}
		if m, err := p.open(it); err != nil {
			return err
		} else if m != nil {
			p.error(0, m)
		} else if err := p.serve(); err != nil {
			return err
		}
		for !p.stop {
			if !p.pump() {
				return nil
			}
		}
		p.send(wire.Header{Type: wire.Closed}, nil, nil)
	}
}

func (p *plainInstance) send(h wire.Header, payload, body []byte) {
	h.Stream = p.id
	p.in.emit(p.in, h, payload, body)
}

func (p *plainInstance) error(seq uint64, m *wire.ErrorMsg) {
	b, err := json.Marshal(m)
	if err != nil {
		b = []byte(`{"code":"38000","message":"the module failed","row":-1,"group":-1}`)
	}
	p.send(wire.Header{Type: wire.Error, Seq: seq}, b, nil)
}

// text reads what a function returned as address << 32 | length.
func (p *plainInstance) text(v uint64) ([]byte, error) {
	b, ok := p.in.mod.Memory().Read(uint32(v>>32), uint32(v))
	if !ok {
		return nil, fmt.Errorf("the module returned %d bytes at %d, outside of its memory", uint32(v), v>>32)
	}
	return b, nil
}

func (p *plainInstance) hello() error {
	if p.in.mod.Memory() == nil {
		return fmt.Errorf("the module exports no memory")
	}
	r, err := p.in.mod.ExportedFunction("volley_abi").Call(p.ctx)
	if err != nil {
		return err
	}
	if r[0] != PlainABI {
		return fmt.Errorf("the module has version %d of the ABI, this server version %d", r[0], PlainABI)
	}
	if r, err = p.in.mod.ExportedFunction("volley_manifest").Call(p.ctx); err != nil {
		return err
	}
	b, err := p.text(r[0])
	if err != nil {
		return err
	}
	m := wire.HelloMsg{Magic: wire.Magic, ABI: wire.ABI}
	if err := json.Unmarshal(b, &m.Manifest); err != nil {
		return fmt.Errorf("the module's manifest: %w", err)
	}
	m.Manifest.ABI = wire.ABI
	if m.Manifest.Toolchain == "" {
		m.Manifest.Toolchain = "wasm"
	}
	for i := range m.Manifest.Functions {
		f := &m.Manifest.Functions[i]
		if f.Kind == "" {
			f.Kind = "scalar"
		}
		if f.Kind != "scalar" || f.Returns == nil {
			return fmt.Errorf("function %q of the module is not scalar: others need the Go SDK", f.Name)
		}
		if f.Volatility == "" {
			f.Volatility = "volatile"
		}
		for k := range f.Args {
			if _, err := wire.ParseType(f.Args[k].Type); err != nil {
				return fmt.Errorf("function %q of the module: %w", f.Name, err)
			}
		}
		if _, err := wire.ParseType(f.Returns.Type); err != nil {
			return fmt.Errorf("function %q of the module: %w", f.Name, err)
		}
	}
	p.funcs = m.Manifest.Functions
	if b, err = json.Marshal(m); err != nil {
		return err
	}
	p.in.emit(p.in, wire.Header{Type: wire.Hello}, b, nil)
	return nil
}

// open checks what the host wants to call; a message is for the host.
func (p *plainInstance) open(it item) (*wire.ErrorMsg, error) {
	var o wire.OpenMsg
	if err := json.Unmarshal(it.head[wire.HeaderSize:], &o); err != nil {
		return nil, err
	}
	bad := func(format string, args ...any) (*wire.ErrorMsg, error) {
		return &wire.ErrorMsg{Code: "39000", Message: fmt.Sprintf(format, args...), Row: -1, Group: -1}, nil
	}
	p.fn = slices.IndexFunc(p.funcs, func(f wire.Function) bool { return f.Name == o.Function })
	if p.fn < 0 {
		return bad("the module has no function %q", o.Function)
	}
	f := &p.funcs[p.fn]
	if o.Kind != f.Kind || len(o.Args) != len(f.Args) || len(o.Out) != 1 {
		return bad("function %q has another signature", o.Function)
	}
	for i, a := range append(slices.Clone(f.Args), *f.Returns) {
		given := append(slices.Clone(o.Args), o.Out...)[i]
		want, err := wire.ParseType(a.Type)
		if err != nil {
			return nil, err
		}
		have, err := wire.ParseType(given)
		if err != nil || !want.Accepts(have) {
			return bad("function %q: column %d is %s, want %s", o.Function, i+1, given, a.Type)
		}
	}
	return nil, nil
}

// pump takes the next frame of the stream; false at the end of the input.
func (p *plainInstance) pump() bool {
	it, ok := p.in.pop()
	if !ok {
		return false
	}
	switch it.h.Type {
	case wire.Slot:
		var m wire.SlotMsg
		if m.Parse(it.head[wire.HeaderSize:]) != nil || !m.Out || int(it.h.Slot) >= len(p.size) {
			break
		}
		if p.size[it.h.Slot] == 0 {
			p.free = append(p.free, int(it.h.Slot))
		} else {
			p.grown = true
		}
		p.size[it.h.Slot] = int(m.Size)
	case wire.Credit:
		p.free = append(p.free, int(it.h.Slot))
	case wire.Batch, wire.End:
		p.batches = append(p.batches, it)
	case wire.Cancel:
		p.stop = true
	}
	return true
}

// until takes frames until ready holds; false when the stream or the input ended.
func (p *plainInstance) until(ready func() bool) bool {
	for !ready() {
		if p.stop || !p.pump() {
			return false
		}
	}
	return !p.stop
}

// serve runs the stream; an error is the instance's end.
func (p *plainInstance) serve() error {
	p.send(wire.Header{Type: wire.Opened}, nil, nil)
	for p.until(func() bool { return len(p.batches) > 0 }) {
		it := p.batches[0]
		p.batches = p.batches[1:]
		if it.h.Type == wire.End {
			p.send(wire.Header{Type: wire.Finished}, nil, nil)
			continue
		}
		m, err := p.batch(it)
		if err != nil {
			return err
		}
		if m != nil {
			p.error(it.h.Seq, m)
			return nil
		}
	}
	return nil
}

// batch computes one batch; a message is an error of the function's.
func (p *plainInstance) batch(it item) (*wire.ErrorMsg, error) {
	if err := p.msg.Parse(it.head[wire.HeaderSize:]); err != nil {
		return nil, err
	}
	rows := int(p.msg.Rows)
	begin := time.Now()
	// The message, and behind it the slot; the places of columns become addresses.
	headLen := wire.Align(len(it.head) - wire.HeaderSize)
	need := uint32(headLen + len(it.body))
	if need > p.cap {
		if p.cap > 0 {
			if _, err := p.release.Call(p.ctx, uint64(p.buf), uint64(p.cap)); err != nil {
				return nil, err
			}
			p.cap = 0
		}
		r, err := p.alloc.Call(p.ctx, uint64(need))
		if err != nil {
			return nil, err
		}
		if uint32(r[0]) == 0 || uint32(r[0])%8 != 0 {
			return &wire.ErrorMsg{Code: "53200", Message: fmt.Sprintf("the module has no room for a batch of %d bytes", need), Row: -1, Group: -1}, nil
		}
		p.buf, p.cap = uint32(r[0]), need
	}
	dst, ok := p.in.mod.Memory().Read(p.buf, need)
	if !ok {
		return nil, fmt.Errorf("volley_alloc returned %d for %d bytes, outside of the module's memory", p.buf, need)
	}
	move(p.msg.Cols, p.buf+uint32(headLen))
	p.msg.GroupsAt += p.buf + uint32(headLen)
	p.out = p.msg.Append(p.out[:0])
	copy(dst, p.out)
	copy(dst[headLen:], it.body)
	r, err := p.call.Call(p.ctx, uint64(p.fn), uint64(p.buf), uint64(len(p.out)))
	if err != nil {
		return nil, err
	}
	if r[0] == 0 {
		return p.message()
	}
	b, err := p.text(r[0])
	if err != nil {
		return nil, err
	}
	broken := func(format string, args ...any) (*wire.ErrorMsg, error) {
		return &wire.ErrorMsg{Code: "39000", Message: "the module returned " + fmt.Sprintf(format, args...), Row: -1, Group: -1}, nil
	}
	if err := p.msg.Parse(b); err != nil {
		return broken("what is no batch: %v", err)
	}
	if int(p.msg.Rows) != rows || len(p.msg.Cols) != 1 {
		return broken("%d rows of %d columns, want %d of 1", p.msg.Rows, len(p.msg.Cols), rows)
	}
	mem, _ := p.in.mod.Memory().Read(0, p.in.mod.Memory().Size())
	src := p.msg.Cols
	if err := src[0].Check(rows, len(mem)); err != nil {
		return broken("a %v", err)
	}
	res := wire.BatchMsg{Rows: uint32(rows), Cols: clone(src), Done: int64(time.Since(begin))}
	size := 0
	place(res.Cols, rows, &size)
	if !p.until(func() bool { return len(p.free) > 0 }) {
		return nil, nil
	}
	j := p.free[0]
	p.free = p.free[1:]
	if p.size[j] < size {
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], uint64(size))
		p.grown = false
		p.send(wire.Header{Type: wire.Grow, Slot: uint16(j)}, b[:], nil)
		if !p.until(func() bool { return p.grown }) {
			return nil, nil
		}
	}
	var to []byte
	if size > 0 {
		if to = p.in.slot(p.in, j, size); to == nil {
			return broken("%d bytes, more than fit", size)
		}
	}
	fill(to, mem, res.Cols, src, rows)
	p.out = res.Append(p.out[:0])
	p.send(wire.Header{Type: wire.Result, Flags: wire.FlagLast, Slot: uint16(j), Seq: it.h.Seq}, p.out, to)
	return nil, nil
}

// message is the error that the module has for a call that returned 0: JSON as in
// an Error frame, or text.
func (p *plainInstance) message() (*wire.ErrorMsg, error) {
	m := &wire.ErrorMsg{Code: "38000", Message: "the module reported an error without a message", Row: -1, Group: -1}
	if p.fail == nil {
		return m, nil
	}
	r, err := p.fail.Call(p.ctx)
	if err != nil {
		return nil, err
	}
	b, err := p.text(r[0])
	if err != nil {
		return nil, err
	}
	b = []byte(clip(string(b), 8<<10))
	if len(b) > 0 && b[0] == '{' && json.Unmarshal(b, m) == nil {
		if len(m.Code) != 5 {
			m.Code = "38000"
		}
		m.Group = -1
	} else if len(b) > 0 {
		m.Message = string(b)
	}
	return m, nil
}

// move adds base to the places of columns.
func move(cols []wire.Col, base uint32) {
	for i := range cols {
		c := &cols[i]
		c.Valid += base
		c.Data += base
		if c.Kind == wire.Bytes {
			c.Bytes += base
		}
		move(c.Kids, base)
	}
}

func clone(cols []wire.Col) []wire.Col {
	out := slices.Clone(cols)
	for i := range out {
		if len(out[i].Kids) > 0 {
			out[i].Kids = clone(out[i].Kids)
		}
	}
	return out
}

// place lays columns out in a slot behind at.
func place(cols []wire.Col, rows int, at *int) {
	put := func(n int) uint32 {
		where := uint32(*at)
		*at += wire.Align(n)
		return where
	}
	for i := range cols {
		c := &cols[i]
		c.Valid = 0
		if c.HasValid {
			c.Valid = put((rows + 7) / 8)
		}
		kids := rows
		switch {
		case c.Kind == wire.Struct:
			c.Data = 0
		case c.Kind == wire.List:
			c.Data, kids = put(4*(rows+1)), int(c.BytesLen)
		case c.Kind == wire.Bytes:
			c.Data = put(4 * (rows + 1))
			c.Bytes = put(int(c.BytesLen))
		default:
			c.Data = put(rows * c.Kind.Width())
		}
		place(c.Kids, kids, at)
	}
}

// fill copies the columns src of mem to where cols has them in to.
func fill(to, mem []byte, cols, src []wire.Col, rows int) {
	put := func(at, from uint32, n int) { copy(to[at:int(at)+n], mem[from:int(from)+n]) }
	for i := range cols {
		c, s := &cols[i], &src[i]
		if c.HasValid {
			put(c.Valid, s.Valid, (rows+7)/8)
		}
		kids := rows
		switch {
		case c.Kind == wire.Struct:
		case c.Kind == wire.List:
			put(c.Data, s.Data, 4*(rows+1))
			kids = int(c.BytesLen)
		case c.Kind == wire.Bytes:
			put(c.Data, s.Data, 4*(rows+1))
			put(c.Bytes, s.Bytes, int(c.BytesLen))
		default:
			put(c.Data, s.Data, rows*c.Kind.Width())
		}
		fill(to, mem, c.Kids, s.Kids, kids)
	}
}
