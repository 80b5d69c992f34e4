package udf

import (
	"slices"
	"time"

	"github.com/volleydb/volley/udf/sdk/wire"
)

// spanRows is how many rows a cheap function gets at once where values are decoded and
// encoded: they are then still in the cache when they are used.
const spanRows = 2048

// cheapRow is the cost of a row from which on the cache does not matter, and functions
// get all there is: they may ask a model in another place.
const cheapRow = 500 * time.Nanosecond

// spans calls a scalar function on the rows of a batch, some at a time. One LocalScalar
// or stream uses it; slices of strings are used again.
type spans struct {
	fn    *function
	apart bool // rows of a batch can be had apart, and it may pay
	cheap bool // a row costs less than cheapRow
	args  []column
	in    [][]string
	out   []string
}

func newSpans(fn *function) *spans {
	s := &spans{fn: fn}
	types := append(fn.args[:len(fn.args):len(fn.args)], fn.out...)
	if slices.ContainsFunc(types, func(t Type) bool { return t.parts() != nil }) {
		return s // the elements of a span would have to be found
	}
	s.apart = slices.ContainsFunc(types, func(t Type) bool { return t < Bool || t > Float64 })
	if s.apart {
		s.args, s.in = make([]column, len(fn.args)), make([][]string, len(fn.args))
	}
	return s
}

// call runs user code for all rows of c, some at a time if apart and if it pays. When
// it panics, c is about the span in which it did, which begins at row c.base.
func (s *spans) call(c *call, apart bool) {
	if !s.apart {
		s.fn.scalar(c)
		return
	}
	n := c.n
	begin := time.Now()
	if s.cheap && apart {
		s.each(c)
	} else {
		s.fn.scalar(c)
	}
	s.cheap = time.Since(begin) < cheapRow*time.Duration(n)
}

func (s *spans) each(c *call) {
	all, direct, n := c.args, c.direct, c.n
	c.args, c.strings = s.args, &s.out
	for c.base = 0; ; {
		to := min(c.base+spanRows, n)
		c.n, c.lo, c.hi, c.row = to-c.base, 0, 0, -1
		for i := range all {
			s.args[i] = all[i].part(c.base, to)
			s.args[i].strs = &s.in[i]
		}
		if direct != nil {
			width := len(direct) / max(n, 1)
			c.direct = direct[c.base*width : to*width]
		} else {
			c.out.base = c.out.n
		}
		s.fn.scalar(c)
		if to == n { // the caller sends all of it
			c.args, c.direct, c.n, c.base = all, direct, n, 0
			return
		}
		c.base = to
		c.timed = time.Time{}
		c.progress.Add(1)
		if c.stop.Load() {
			panic(cancelled{})
		}
	}
}

// fail describes what user code panicked with or returned, with its place in the
// batch.
func (c *call) fail(v any) *wire.ErrorMsg {
	m := placed(v, int64(c.row), -1, c.args, c.row)
	switch {
	case m.Row >= int64(c.n):
		m.Row = -1
	case m.Row >= 0:
		m.Row += int64(c.base)
	}
	return m
}

// part is rows [from, to) of a column without kids; from is a multiple of 8.
func (c *column) part(from, to int) column {
	p := *c
	p.n, p.cache = to-from, nil
	if p.n == c.n {
		return p
	}
	if c.valid != nil {
		p.valid = c.valid[from/8:]
	}
	if w := c.typ.kind().Width(); w > 0 {
		p.data = c.data[from*w : to*w]
	} else {
		p.data = c.data[4*from : 4*(to+1)]
	}
	return p
}
