package udf

import (
	"context"
	"fmt"
	"time"

	"github.com/volleydb/volley/udf/sdk/wire"
)

// GroupedMap declares a function of whole groups: `GROUP BY k APPLY name(…)`
// calls fn once per group with the columns in, and fn emits rows of the columns
// out. Rows come in batches (see Group), so a group may be larger than memory.
func GroupedMap(name string, in, out Columns, fn func(ctx *Context, g *Group) error, opts ...Option) Decl {
	types := func(what string, cols Columns) []Type {
		ts := make([]Type, len(cols))
		for i, c := range cols {
			if !c.Type.valid() {
				panic(fmt.Sprintf("udf: %s column %q of %q has no type", what, c.Name, name))
			}
			ts[i] = c.Type
		}
		return ts
	}
	f := newFunction(name, kindGroupedMap, types("input", in), types("output", out), nil)
	f.desc.Args, f.desc.Columns = in.params(), out.params()
	f.grouped = fn
	for _, o := range opts {
		o(f)
	}
	f.mustDescribe()
	return f
}

// WholeGroup is for a grouped map that needs all rows of a group at once: Next is
// true once. A group that is larger than volley.max_group_bytes (or MaxGroupBytes)
// ends the statement.
func WholeGroup(f *function) { f.desc.Contract = wire.ContractGroup }

// MaxGroupBytes bounds the groups of a WholeGroup function, where CREATE FUNCTION
// does not SET volley.max_group_bytes.
func MaxGroupBytes(n int64) Option { return func(f *function) { f.desc.MaxGroupBytes = n } }

// RowBatches is for a grouped map to which keys mean nothing: every call gets up to
// n rows, all at once. It is called as GROUP BY () APPLY f(…), by every worker on the
// rows it has.
func RowBatches(n int) Option {
	if n <= 0 {
		panic("udf: RowBatches of no rows")
	}
	return func(f *function) { f.desc.Contract, f.desc.BatchRows = wire.ContractRows, n }
}

// Context is what a grouped map knows of its surroundings. As a context.Context
// it ends when the statement is cancelled.
type Context struct {
	context.Context
	// Function is the declared name of the function.
	Function string
	log      func(level uint8, text string)
}

// Log writes a line to the worker's log, with the function's name.
func (c *Context) Log(format string, args ...any) { c.log(levelInfo, fmt.Sprintf(format, args...)) }

// Group is the rows of one group. Use it in the call that was given it only.
//
//	for g.Next() {
//		x := g.Float64("x")
//		for i := range g.Len() {
//			g.Emit(x[i] * 2)
//		}
//	}
//
// Column accessors return the current batch; slices of numbers and booleans are
// valid until the next call of Next. A column that is not there, or asked for
// under another type, ends the statement with an error.
type Group struct {
	s      *stream
	from   int // current batch: rows of the frame
	to     int
	before int64 // rows of the group before the current batch
	ended  bool  // the current batch is the last
	begun  bool  // Next was called
	row    int
}

// Next moves to the next batch of the group's rows; false at the end.
func (g *Group) Next() bool {
	for {
		if !g.begun {
			g.begun = true
		} else {
			g.before += int64(g.to - g.from)
			g.from = g.to
			if g.ended || !g.s.nextSegment(g) {
				return false
			}
		}
		g.row = -1
		g.s.progress.Add(1)
		if g.s.stop.Load() {
			panic(cancelled{})
		}
		if g.to > g.from {
			g.s.checkNulls(g)
			return true
		}
	}
}

// Len is the number of rows in the current batch.
func (g *Group) Len() int { return g.to - g.from }

// Row tells Volley which row of the current batch is being worked on, for the
// errors and panics that follow. It is free to call per row.
func (g *Group) Row(i int) { g.row = i }

// Offset is the number of the group's rows before the current batch.
func (g *Group) Offset() int64 { return g.before }

func (g *Group) column(name string, want ...Type) *column {
	for i := range g.s.cols {
		c := &g.s.cols[i]
		if c.name != name {
			continue
		}
		for _, w := range want {
			if c.typ.reads(w) {
				return c
			}
		}
		panic(Errorf("39000", "column %q is of type %s and cannot be read as %s", name, c.typ, want[0]))
	}
	panic(Errorf("39000", "there is no input column %q", name))
}

func rows[T any](g *Group, name string, want ...Type) []T {
	return decode[T](g.column(name, want...))[g.from:g.to:g.to]
}

// Bool returns a boolean column.
func (g *Group) Bool(name string) []bool { return rows[bool](g, name, Bool) }

// Int16 returns a smallint column.
func (g *Group) Int16(name string) []int16 { return rows[int16](g, name, Int16) }

// Int32 returns an integer column.
func (g *Group) Int32(name string) []int32 { return rows[int32](g, name, Int32) }

// Int64 returns a bigint column.
func (g *Group) Int64(name string) []int64 { return rows[int64](g, name, Int64) }

// Float32 returns a real column.
func (g *Group) Float32(name string) []float32 { return rows[float32](g, name, Float32) }

// Float64 returns a double precision column.
func (g *Group) Float64(name string) []float64 { return rows[float64](g, name, Float64) }

// String returns a text column. The strings may be kept.
func (g *Group) String(name string) []string { return rows[string](g, name, String) }

// Bytes returns a bytea column, nil for NULL. The slices may be kept.
func (g *Group) Bytes(name string) [][]byte { return rows[[]byte](g, name, Bytes) }

// Time returns a timestamp or date column, in UTC.
func (g *Group) Time(name string) []time.Time { return rows[time.Time](g, name, Time) }

// Values returns a column as Ts; with Null[T] for a column that may hold NULL.
func Values[T any](g *Group, name string) []T {
	return decode[T](g.column(name, typeOf[T]().base()))[g.from:g.to:g.to]
}

// IsNull reports whether row i of the current batch is NULL in a column that was
// declared Nullable; the accessors hold a zero value there.
func (g *Group) IsNull(name string, i int) bool {
	for k := range g.s.cols {
		if g.s.cols[k].name == name {
			return g.s.cols[k].isNull(g.from + i)
		}
	}
	panic(Errorf("39000", "there is no input column %q", name))
}

// Emit adds one output row: a value per output column, nil or an empty Null[T]
// for NULL. Int values go into any integer column they fit.
func (g *Group) Emit(vals ...any) {
	cols := g.s.out
	if len(vals) != len(cols) {
		panic(Errorf("39000", "Emit of %d values for %d columns", len(vals), len(cols)))
	}
	for i, v := range vals {
		emitValue(cols[i], v)
	}
	g.emitted(1)
}

func emitValue(o *outCol, v any) {
	t := o.typ.base()
	switch x := v.(type) {
	case nil:
		o.appendNull()
		return
	case float64:
		if t == Float64 {
			appendFixed(o, x)
			return
		}
	case int64:
		if t == Int64 {
			appendFixed(o, x)
			return
		}
	case int:
		switch {
		case t == Int64:
			appendFixed(o, int64(x))
			return
		case t == Int32 && int(int32(x)) == x:
			appendFixed(o, int32(x))
			return
		case t == Int16 && int(int16(x)) == x:
			appendFixed(o, int16(x))
			return
		}
	case string:
		if t == String {
			o.appendString(x)
			return
		}
	case bool:
		if t == Bool {
			appendFixed(o, x)
			return
		}
	case int32:
		if t == Int32 {
			appendFixed(o, x)
			return
		}
	case int16:
		if t == Int16 {
			appendFixed(o, x)
			return
		}
	case float32:
		if t == Float32 {
			appendFixed(o, x)
			return
		}
	case []byte:
		if t == Bytes {
			o.appendBytes(x)
			return
		}
	case time.Time:
		if t == Time || t == Date {
			o.appendTime(x)
			return
		}
	}
	if encodeAny(o, v) {
		return
	}
	panic(Errorf("39000", "column %q is of type %s and cannot hold a %T", o.name, t, v))
}

// EmitColumns adds rows by columns: a slice per output column, all of the same
// length. The values are copied.
func (g *Group) EmitColumns(cols ...any) {
	if len(cols) != len(g.s.out) {
		panic(Errorf("39000", "EmitColumns of %d columns for %d", len(cols), len(g.s.out)))
	}
	n := -1
	for i, c := range cols {
		o := g.s.out[i]
		at := o.n
		ok := false
		switch x := c.(type) {
		case []float64:
			ok = emitSlice(o, Float64, x)
		case []int64:
			ok = emitSlice(o, Int64, x)
		case []string:
			ok = emitSlice(o, String, x)
		case []int32:
			ok = emitSlice(o, Int32, x)
		case []int16:
			ok = emitSlice(o, Int16, x)
		case []float32:
			ok = emitSlice(o, Float32, x)
		case []bool:
			ok = emitSlice(o, Bool, x)
		case [][]byte:
			ok = emitSlice(o, Bytes, x)
		case []time.Time:
			if ok = o.typ.base() == Time || o.typ.base() == Date; ok {
				encode(o, x)
			}
		case []Null[float64]:
			ok = emitSlice(o, Float64, x)
		case []Null[int64]:
			ok = emitSlice(o, Int64, x)
		case []Null[string]:
			ok = emitSlice(o, String, x)
		default:
			ok = encodeSlice(o, c)
		}
		if !ok {
			panic(Errorf("39000", "column %q is of type %s and cannot hold a %T", o.name, o.typ.base(), c))
		}
		if n >= 0 && o.n-at != n {
			panic(Errorf("39000", "EmitColumns of columns of %d and %d rows", n, o.n-at))
		}
		n = o.n - at
	}
	g.emitted(max(n, 0))
}

func emitSlice[T any](o *outCol, t Type, vals []T) bool {
	if o.typ.base() != t {
		return false
	}
	encode(o, vals)
	return true
}

func (g *Group) emitted(n int) {
	s := g.s
	if len(s.outGroups) == 0 {
		s.outBase = s.group
	}
	if len(s.out) == 0 {
		panic(Errorf("39000", "the function has no output columns"))
	}
	for range n {
		s.outGroups = append(s.outGroups, int32(s.group-s.outBase))
	}
	s.progress.Add(1)
	if s.stop.Load() {
		panic(cancelled{})
	}
	size := 4 * len(s.outGroups)
	for _, o := range s.out {
		size += o.size()
	}
	if size >= flushBytes || s.due.Load() {
		s.flush()
	}
}
