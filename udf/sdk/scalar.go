package udf

import (
	"fmt"
	"reflect"
	"sync/atomic"
	"time"
	"unsafe"
)

//go:generate go run gen.go

// call is one batch on its way through a function.
type call struct {
	n      int
	args   []column
	out    *outCol // results on the heap …
	direct []byte  // … or, for fixed-width results, their place in the slot
	lends  bool    // out is sent before anything else is done with it
	row    int     // the row being worked on, -1 = unknown
	base   int     // of row 0, see spans

	strings *[]string // to collect results in, nil for fresh memory

	dead     []bool // groups of an aggregate that have failed, nil for none
	lo, hi   int
	step     int       // rows of a block, 0 = blockRows
	timed    time.Time // when the first row began, if the step is to be measured
	progress *atomic.Uint64
	stop     *atomic.Bool
}

// blockRows is how many rows run between two looks at cancellation; a row of a
// slow function counts as progress only at the end of its block.
const blockRows = 64

// block moves [lo, hi) to the next rows; false at the end.
func (c *call) block() bool {
	c.progress.Add(1)
	if c.stop.Load() {
		panic(cancelled{})
	}
	c.lo = c.hi
	step := c.step
	switch {
	case step == 0:
		step = blockRows
	case c.lo == 1 && !c.timed.IsZero():
		step = stepOf(time.Since(c.timed), 1)
		c.step = step
	}
	c.hi = min(c.lo+step, c.n)
	return c.lo < c.hi
}

// stepOf is the rows of a block, so that slow functions make progress, too, if n rows
// took d.
func stepOf(d time.Duration, n int) int {
	return int(min(max(10*time.Millisecond*time.Duration(n)/max(d, 1), 1), blockRows))
}

// results returns where a kernel writes its n results. finish must follow.
func results[R any](c *call) []R {
	if c.direct != nil && isFixed[R]() {
		if c.n == 0 {
			return nil
		}
		return unsafe.Slice((*R)(unsafe.Pointer(&c.direct[0])), c.n)
	}
	if p, ok := any(c.strings).(*[]R); ok && p != nil {
		out := room(p, c.n)
		clear(out)
		return out
	}
	return make([]R, c.n)
}

// room is a slice of n elements of what p has, or of what it gets.
func room[T any](p *[]T, n int) []T {
	if cap(*p) < n {
		*p = make([]T, n)
	}
	*p = (*p)[:n]
	return *p
}

func finish[R any](c *call, out []R) {
	if c.direct != nil && isFixed[R]() {
		return
	}
	if vs, ok := any(out).([]string); ok && c.lends {
		c.out.lend(vs)
		return
	}
	encode(c.out, out)
}

func check(err error) {
	if err != nil {
		panic(raised{err})
	}
}

// Scalar declares a function of one row: fn is a func of 1 to 12 arguments that
// returns a value, or a value and an error; a variadic one is declared VARIADIC.
// Functions of one argument, of two
// among int64, float64 and string, and of up to twelve of the same one of these
// run without reflection; for others Scalar1 … Scalar12 do (and ScalarErr1 … for
// those that return an error), while Scalar calls them by reflection at some
// hundred nanoseconds per row.
func Scalar(name string, fn any, opts ...Option) Decl {
	v := reflect.ValueOf(fn)
	t := v.Type()
	if t.Kind() != reflect.Func || t.NumOut() < 1 || t.NumOut() > 2 ||
		t.NumOut() == 2 && t.Out(1) != reflect.TypeFor[error]() {
		panic(fmt.Sprintf("udf: function %q is a %s; want a func that returns a value, or a value and an error", name, t))
	}
	if t.IsVariadic() {
		opts = append([]Option{Variadic}, opts...)
	}
	args := make([]Type, t.NumIn())
	for i := range args {
		args[i] = goType(t.In(i)).typ
	}
	f := newFunction(name, kindScalar, args, []Type{goType(t.Out(0)).typ}, opts)
	f.scalar = fastKernel(fn)
	if f.scalar == nil {
		f.scalar = reflectKernel(v)
	}
	return f
}

// goTypeInfo is what reflection needs of a Go type, one entry per type.
type goTypeInfo struct {
	typ    Type
	decode func(*column) reflect.Value // a slice
	make   func(*call) reflect.Value   // results
	finish func(*call, reflect.Value)  // results as make made them
}

func infoOf[T any]() goTypeInfo {
	return goTypeInfo{
		typ:    typeOf[T](),
		decode: func(c *column) reflect.Value { return reflect.ValueOf(decode[T](c)) },
		make:   func(c *call) reflect.Value { return reflect.ValueOf(results[T](c)) },
		finish: func(c *call, v reflect.Value) { finish(c, v.Interface().([]T)) },
	}
}

var goTypes = map[reflect.Type]goTypeInfo{
	reflect.TypeFor[bool]():      infoOf[bool](),
	reflect.TypeFor[int16]():     infoOf[int16](),
	reflect.TypeFor[int32]():     infoOf[int32](),
	reflect.TypeFor[int64]():     infoOf[int64](),
	reflect.TypeFor[float32]():   infoOf[float32](),
	reflect.TypeFor[float64]():   infoOf[float64](),
	reflect.TypeFor[string]():    infoOf[string](),
	reflect.TypeFor[[]byte]():    infoOf[[]byte](),
	reflect.TypeFor[time.Time](): infoOf[time.Time](),

	reflect.TypeFor[Null[bool]]():      infoOf[Null[bool]](),
	reflect.TypeFor[Null[int16]]():     infoOf[Null[int16]](),
	reflect.TypeFor[Null[int32]]():     infoOf[Null[int32]](),
	reflect.TypeFor[Null[int64]]():     infoOf[Null[int64]](),
	reflect.TypeFor[Null[float32]]():   infoOf[Null[float32]](),
	reflect.TypeFor[Null[float64]]():   infoOf[Null[float64]](),
	reflect.TypeFor[Null[string]]():    infoOf[Null[string]](),
	reflect.TypeFor[Null[[]byte]]():    infoOf[Null[[]byte]](),
	reflect.TypeFor[Null[time.Time]](): infoOf[Null[time.Time]](),
}

func goType(t reflect.Type) goTypeInfo {
	if i, ok := goTypes[t]; ok {
		return i
	}
	cd := codecFor(t)
	slice := reflect.SliceOf(t)
	return goTypeInfo{
		typ: cd.typ,
		decode: func(c *column) reflect.Value {
			out := reflect.MakeSlice(slice, c.n, c.n)
			cd.decode(c, 0, c.n, out.UnsafePointer(), cd.size)
			return out
		},
		make:   func(c *call) reflect.Value { return reflect.MakeSlice(slice, c.n, c.n) },
		finish: func(c *call, v reflect.Value) { cd.encode(c.out, v.Len(), v.UnsafePointer(), cd.size) },
	}
}

func reflectKernel(fn reflect.Value) func(*call) {
	t := fn.Type()
	args := make([]goTypeInfo, t.NumIn())
	for i := range args {
		args[i] = goType(t.In(i))
	}
	ret := goType(t.Out(0))
	run := fn.Call
	if t.IsVariadic() {
		run = fn.CallSlice
	}
	return func(c *call) {
		cols := make([]reflect.Value, len(args))
		for i := range args {
			cols[i] = args[i].decode(&c.args[i])
		}
		out := ret.make(c)
		in := make([]reflect.Value, len(args))
		for c.block() {
			for i := c.lo; i < c.hi; i++ {
				c.row = i
				for k := range in {
					in[k] = cols[k].Index(i)
				}
				r := run(in)
				if len(r) == 2 && !r[1].IsNil() {
					panic(raised{r[1].Interface().(error)})
				}
				out.Index(i).Set(r[0])
			}
		}
		ret.finish(c, out)
	}
}

// Vector declares a function of whole columns: fn gets a slice per argument and,
// last, the slice to write the results into, all of the same length, and returns
// nothing or an error. How many rows a call has is not defined. The slices are valid
// during the call only; strings and []byte in them may be kept. Elements of type
// Null[T] take and give NULL.
func Vector(name string, fn any, opts ...Option) Decl {
	v := reflect.ValueOf(fn)
	t := v.Type()
	bad := t.Kind() != reflect.Func || t.IsVariadic() || t.NumIn() < 1 || t.NumOut() > 1 ||
		t.NumOut() == 1 && t.Out(0) != reflect.TypeFor[error]()
	for i := 0; !bad && i < t.NumIn(); i++ {
		bad = t.In(i).Kind() != reflect.Slice
	}
	if bad {
		panic(fmt.Sprintf("udf: vectorised function %q is a %s; want a func(x []X, …, out []R) error", name, t))
	}
	infos := make([]goTypeInfo, t.NumIn())
	types := make([]Type, t.NumIn())
	for i := range infos {
		infos[i] = goType(t.In(i).Elem())
		types[i] = infos[i].typ
	}
	last := len(infos) - 1
	f := newFunction(name, kindScalar, types[:last], types[last:], opts)
	f.scalar = func(c *call) {
		c.row = -1
		in := make([]reflect.Value, len(infos))
		for i := range last {
			in[i] = infos[i].decode(&c.args[i])
		}
		in[last] = infos[last].make(c)
		clear(c.direct) // the slot has an old batch in it
		if r := v.Call(in); len(r) == 1 && !r[0].IsNil() {
			panic(raised{r[0].Interface().(error)})
		}
		infos[last].finish(c, in[last])
	}
	return f
}
