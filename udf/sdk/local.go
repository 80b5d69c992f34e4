package udf

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/volleydb/volley/udf/sdk/wire"
)

// Init runs the Init hooks, once in the life of the server. Calls of functions
// through connections run them, too.
func (s *Server) Init() (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &Error{Message: fmt.Sprint("panic: ", v), Detail: userStack()}
		}
	}()
	for _, f := range s.plugin.inits {
		if err := f(context.Background()); err != nil {
			return err
		}
	}
	return nil
}

// LocalScalar calls a scalar function from within its own program, on the caller's
// buffers. One goroutine calls; Cancel and Progress may be used beside it.
type LocalScalar struct {
	fn       *function
	args     []Type
	out      Type
	cols     []column
	rows     *spans
	room     int // bytes of the results of the last call
	step     int // rows of a block, see stepOf; 0 = not known yet
	stop     atomic.Bool
	progress atomic.Uint64
}

// LocalScalar returns a scalar function. args and out are the types of its SQL
// function, as Open messages write them.
func (s *Server) LocalScalar(symbol string, args []string, out string) (*LocalScalar, error) {
	fn := s.plugin.find(symbol)
	if fn == nil || fn.scalar == nil {
		return nil, fmt.Errorf("there is no scalar function %q", symbol)
	}
	l := &LocalScalar{fn: fn, cols: make([]column, len(args)), rows: newSpans(fn)}
	var err error
	if l.args, err = parseTypes(args, fn.args); err != nil {
		return nil, err
	}
	outs, err := parseTypes([]string{out}, fn.out)
	if err != nil {
		return nil, err
	}
	l.out = outs[0]
	return l, nil
}

// Direct reports whether Call writes its results into the memory that it is given:
// numbers and booleans that cannot be NULL.
func (l *LocalScalar) Direct() bool {
	t := l.fn.out[0]
	return t >= Bool && t <= Float64
}

// Cancel makes the call under way return as soon as it can, and all that follow.
func (l *LocalScalar) Cancel() { l.stop.Store(true) }

// Progress grows with each call, and while a function that is called row by row goes on.
func (l *LocalScalar) Progress() uint64 { return l.progress.Load() }

// Call calls the function on n rows. direct is where the results go, if Direct;
// else they are returned. ok is false for a call that was cancelled.
func (l *LocalScalar) Call(n int, args []wire.Mem, direct []byte) (res wire.Mem, fail *wire.ErrorMsg, ok bool) {
	if l.stop.Load() {
		return res, nil, false
	}
	l.progress.Add(1)
	for i := range args {
		name := ""
		if i < len(l.fn.desc.Args) {
			name = l.fn.desc.Args[i].Name
		}
		l.cols[i] = newColumn(&args[i], l.args[i], name)
	}
	c := &call{n: n, args: l.cols, direct: direct, row: -1, step: l.step, progress: &l.progress, stop: &l.stop}
	begin := time.Now()
	if l.step == 0 {
		c.step, c.timed = 1, begin
	}
	if direct == nil {
		c.out = newOutCol("", l.out)
		if c.out.kind == wire.Bytes {
			c.out.bytes, c.out.offs = dirty(l.room + l.room/16)[:0], make([]int32, 0, n)
		}
	}
	defer func() {
		if v := recover(); v != nil {
			if _, is := v.(cancelled); is {
				return
			}
			fail, ok = c.fail(v), true
		}
	}()
	l.rows.call(c, true)
	l.step = stepOf(time.Since(begin), max(n, 1))
	if direct == nil {
		l.room = len(c.out.bytes)
		res = c.out.mem()
	}
	return res, nil, true
}

// mem is what o has collected, which is then the caller's.
func (o *outCol) mem() wire.Mem {
	m := wire.Mem{Kind: o.kind, Rows: o.n, Stays: true}
	if len(o.nulls) > 0 {
		m.Valid = make([]byte, (o.n+7)/8)
		for i := range m.Valid {
			m.Valid[i] = 0xff
		}
		for _, r := range o.nulls {
			m.Valid[r>>3] &^= 1 << (r & 7)
		}
	}
	switch {
	case o.width > 0:
		m.Data = o.fixed
	case o.kind != wire.Struct:
		offs := make([]int32, o.n+1)
		copy(offs[1:], o.offs)
		m.Data = unsafe.Slice((*byte)(unsafe.Pointer(&offs[0])), 4*len(offs))
		m.Bytes = o.bytes
	}
	for _, k := range o.kids {
		m.Kids = append(m.Kids, k.mem())
	}
	return m
}
