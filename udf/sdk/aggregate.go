package udf

import (
	"bytes"
	"encoding"
	"encoding/gob"
	"fmt"
	"reflect"
	"time"
	"unsafe"
)

// aggregate is the states of one aggregate call, by group number.
type aggregate interface {
	grow(n int)
	step(c *call, groups []int32)
	merge(c *call, groups []int32)
	state(o *outCol, from, to int)
	final(o *outCol, from, to int, row *int)
	size() int64
	// kill says that a group has failed: its rows are passed over, its result is NULL,
	// also where its state is merged into another.
	kill(g int)
}

// Aggregate declares an aggregate function with state S: init makes a state (nil:
// the zero value), step folds a row into it, merge folds another state into it,
// finish gives the result. step is a func(*S, A) for one of the argument types A;
// for more arguments, and for steps that fail, there are Aggregate1 … Aggregate4.
// finish is a func(*S) R.
//
// States move between workers. A state without pointers is copied as it is;
// another implements encoding.BinaryMarshaler and BinaryUnmarshaler, or is
// encoded by encoding/gob, which keeps exported fields only.
func Aggregate[S any](name string, init func() S, step any, merge func(into, from *S), finish any, opts ...Option) Decl {
	a := &aggDef[S]{init: init, merge: merge}
	var arg Type
	switch f := step.(type) {
	case func(*S, bool):
		arg, a.step = Bool, step1(f)
	case func(*S, int16):
		arg, a.step = Int16, step1(f)
	case func(*S, int32):
		arg, a.step = Int32, step1(f)
	case func(*S, int64):
		arg, a.step = Int64, step1(f)
	case func(*S, float32):
		arg, a.step = Float32, step1(f)
	case func(*S, float64):
		arg, a.step = Float64, step1(f)
	case func(*S, string):
		arg, a.step = String, step1(f)
	case func(*S, []byte):
		arg, a.step = Bytes, step1(f)
	case func(*S, time.Time):
		arg, a.step = Time, step1(f)
	default:
		panic(fmt.Sprintf("udf: step of aggregate %q is a %T; want a func(*%s, A), or use Aggregate1 … Aggregate4", name, step, reflect.TypeFor[S]()))
	}
	v := reflect.ValueOf(finish)
	t := v.Type()
	if t.Kind() != reflect.Func || t.NumIn() != 1 || t.In(0) != reflect.TypeFor[*S]() || t.NumOut() != 1 {
		panic(fmt.Sprintf("udf: finish of aggregate %q is a %s; want a func(*%s) R", name, t, reflect.TypeFor[S]()))
	}
	ret := goType(t.Out(0))
	switch f := finish.(type) {
	case func(*S) int64:
		a.finish = finish1(f)
	case func(*S) float64:
		a.finish = finish1(f)
	case func(*S) string:
		a.finish = finish1(f)
	case func(*S) Null[int64]:
		a.finish = finish1(f)
	case func(*S) Null[float64]:
		a.finish = finish1(f)
	case func(*S) Null[string]:
		a.finish = finish1(f)
	default:
		a.finish = func(states []S, o *outCol, row *int) {
			c := &call{n: len(states), out: o}
			out := ret.make(c)
			for i := range states {
				*row = i
				out.Index(i).Set(v.Call([]reflect.Value{reflect.ValueOf(&states[i])})[0])
			}
			ret.finish(c, out)
		}
	}
	return a.declare(name, []Type{arg}, ret.typ, opts)
}

// Aggregate1 is Aggregate with its types in the signature.
func Aggregate1[S, A, R any](name string, init func() S, step func(*S, A) error, merge func(into, from *S), finish func(*S) R, opts ...Option) Decl {
	a := &aggDef[S]{init: init, merge: merge, finish: finish1(finish)}
	a.step = func(c *call, st []S, g []int32) {
		x := decode[A](&c.args[0])
		for c.block() {
			for i := c.lo; i < c.hi; i++ {
				if c.dead != nil && c.dead[g[i]] {
					continue
				}
				c.row = i
				check(step(&st[g[i]], x[i]))
			}
		}
	}
	return a.declare(name, []Type{typeOf[A]()}, typeOf[R](), opts)
}

// Aggregate2 is an aggregate of two arguments.
func Aggregate2[S, A, B, R any](name string, init func() S, step func(*S, A, B) error, merge func(into, from *S), finish func(*S) R, opts ...Option) Decl {
	a := &aggDef[S]{init: init, merge: merge, finish: finish1(finish)}
	a.step = func(c *call, st []S, g []int32) {
		x, y := decode[A](&c.args[0]), decode[B](&c.args[1])
		for c.block() {
			for i := c.lo; i < c.hi; i++ {
				if c.dead != nil && c.dead[g[i]] {
					continue
				}
				c.row = i
				check(step(&st[g[i]], x[i], y[i]))
			}
		}
	}
	return a.declare(name, []Type{typeOf[A](), typeOf[B]()}, typeOf[R](), opts)
}

// Aggregate3 is an aggregate of three arguments.
func Aggregate3[S, A, B, C, R any](name string, init func() S, step func(*S, A, B, C) error, merge func(into, from *S), finish func(*S) R, opts ...Option) Decl {
	a := &aggDef[S]{init: init, merge: merge, finish: finish1(finish)}
	a.step = func(c *call, st []S, g []int32) {
		x, y, z := decode[A](&c.args[0]), decode[B](&c.args[1]), decode[C](&c.args[2])
		for c.block() {
			for i := c.lo; i < c.hi; i++ {
				if c.dead != nil && c.dead[g[i]] {
					continue
				}
				c.row = i
				check(step(&st[g[i]], x[i], y[i], z[i]))
			}
		}
	}
	return a.declare(name, []Type{typeOf[A](), typeOf[B](), typeOf[C]()}, typeOf[R](), opts)
}

// Aggregate4 is an aggregate of four arguments.
func Aggregate4[S, A, B, C, D, R any](name string, init func() S, step func(*S, A, B, C, D) error, merge func(into, from *S), finish func(*S) R, opts ...Option) Decl {
	a := &aggDef[S]{init: init, merge: merge, finish: finish1(finish)}
	a.step = func(c *call, st []S, g []int32) {
		x, y, z, w := decode[A](&c.args[0]), decode[B](&c.args[1]), decode[C](&c.args[2]), decode[D](&c.args[3])
		for c.block() {
			for i := c.lo; i < c.hi; i++ {
				if c.dead != nil && c.dead[g[i]] {
					continue
				}
				c.row = i
				check(step(&st[g[i]], x[i], y[i], z[i], w[i]))
			}
		}
	}
	return a.declare(name, []Type{typeOf[A](), typeOf[B](), typeOf[C](), typeOf[D]()}, typeOf[R](), opts)
}

func step1[S, A any](f func(*S, A)) func(*call, []S, []int32) {
	return func(c *call, st []S, g []int32) {
		x := decode[A](&c.args[0])
		for c.block() {
			for i := c.lo; i < c.hi; i++ {
				if c.dead != nil && c.dead[g[i]] {
					continue
				}
				c.row = i
				f(&st[g[i]], x[i])
			}
		}
	}
}

func finish1[S, R any](f func(*S) R) func([]S, *outCol, *int) {
	return func(states []S, o *outCol, row *int) {
		out := make([]R, len(states))
		for i := range states {
			*row = i
			out[i] = f(&states[i])
		}
		encode(o, out)
	}
}

// aggDef is a declared aggregate; aggStates its states in one stream.
type aggDef[S any] struct {
	init   func() S
	step   func(c *call, states []S, groups []int32)
	merge  func(into, from *S)
	finish func(states []S, o *outCol, row *int)
	codec  codec[S]
}

func (a *aggDef[S]) declare(name string, args []Type, ret Type, opts []Option) Decl {
	if a.merge == nil || a.step == nil || a.finish == nil {
		panic(fmt.Sprintf("udf: aggregate %q without step, merge or finish", name))
	}
	if a.init == nil {
		a.init = func() (s S) { return s }
	}
	a.codec = newCodec[S](name)
	f := newFunction(name, kindAggregate, args, []Type{ret}, opts)
	f.agg = func() aggregate { return &aggStates[S]{def: a} }
	return f
}

type aggStates[S any] struct {
	def    *aggDef[S]
	states []S
	dead   []bool // groups that have failed; nil = none
}

func (a *aggStates[S]) grow(n int) {
	for len(a.states) < n {
		a.states = append(a.states, a.def.init())
	}
	for a.dead != nil && len(a.dead) < n {
		a.dead = append(a.dead, false)
	}
}

func (a *aggStates[S]) kill(g int) {
	if a.dead == nil {
		a.dead = make([]bool, len(a.states))
	}
	a.dead[g] = true
}

func (a *aggStates[S]) step(c *call, groups []int32) {
	c.dead = a.dead
	a.def.step(c, a.states, groups)
}

func (a *aggStates[S]) merge(c *call, groups []int32) {
	col := &c.args[0]
	offs := col.offsets()
	all := col.bytes
	for c.block() {
		for i := c.lo; i < c.hi; i++ {
			c.row = i
			if col.isNull(i) || a.dead != nil && a.dead[groups[i]] {
				continue
			}
			if offs[i+1]-offs[i] == 1 && all[offs[i]] == stateDead {
				a.kill(int(groups[i]))
				continue
			}
			var s S
			if err := a.def.codec.decode(all[offs[i]:offs[i+1]], &s); err != nil {
				panic(Errorf("39000", "state of the aggregate cannot be decoded: %v", err))
			}
			a.def.merge(&a.states[groups[i]], &s)
		}
	}
}

func (a *aggStates[S]) state(o *outCol, from, to int) {
	for i := from; i < to; i++ {
		o.room(0)
		if a.dead != nil && a.dead[i] {
			o.appendBytes([]byte{stateDead})
			continue
		}
		b, err := a.def.codec.encode(o.bytes, &a.states[i])
		if err != nil {
			panic(Errorf("39000", "state of the aggregate cannot be encoded: %v", err))
		}
		o.room(len(b) - len(o.bytes))
		o.bytes = b
		o.offs = append(o.offs, int32(len(b)))
		o.n++
	}
}

func (a *aggStates[S]) final(o *outCol, from, to int, row *int) {
	if a.dead == nil {
		a.def.finish(a.states[from:to], o, row)
		return
	}
	for at := from; at < to; {
		end := at
		for end < to && !a.dead[end] {
			end++
		}
		if end > at {
			a.finishPart(o, at, end, at-from, row)
		}
		if end < to {
			o.appendNull()
			end++
		}
		at = end
	}
}

// finishPart is finish for some of the states; row counts from before them.
func (a *aggStates[S]) finishPart(o *outCol, from, to, before int, row *int) {
	at := -1
	defer func() {
		if *row = -1; at >= 0 {
			*row = before + at
		}
	}()
	a.def.finish(a.states[from:to], o, &at)
}

func (a *aggStates[S]) size() int64 {
	var z S
	return int64(cap(a.states)) * int64(unsafe.Sizeof(z))
}

// codec writes states as bytes that a child of the same artifact reads. The
// first byte says how, so that a mixed-up state is an error.
type codec[S any] struct {
	encode func(dst []byte, s *S) ([]byte, error)
	decode func(b []byte, s *S) error
}

const (
	stateDead = 0 // of a group that has failed, alone
	stateRaw  = 1
	stateBin  = 2
	stateGob  = 3
	stateHead = 1 // bytes before the state itself
)

func newCodec[S any](name string) codec[S] {
	head := func(b []byte, want byte) ([]byte, error) {
		if len(b) < stateHead || b[0] != want {
			return nil, fmt.Errorf("%d bytes of another format", len(b))
		}
		return b[stateHead:], nil
	}
	t := reflect.TypeFor[S]()
	var z S
	_, canWrite := any(&z).(encoding.BinaryMarshaler)
	_, canRead := any(&z).(encoding.BinaryUnmarshaler)
	switch {
	case canWrite && canRead:
		return codec[S]{
			encode: func(dst []byte, s *S) ([]byte, error) {
				b, err := any(s).(encoding.BinaryMarshaler).MarshalBinary()
				return append(append(dst, stateBin), b...), err
			},
			decode: func(b []byte, s *S) error {
				b, err := head(b, stateBin)
				if err != nil {
					return err
				}
				return any(s).(encoding.BinaryUnmarshaler).UnmarshalBinary(bytes.Clone(b))
			},
		}
	case pointerFree(t):
		size := int(unsafe.Sizeof(z))
		return codec[S]{
			encode: func(dst []byte, s *S) ([]byte, error) {
				dst = append(dst, stateRaw)
				return append(dst, unsafe.Slice((*byte)(unsafe.Pointer(s)), size)...), nil
			},
			decode: func(b []byte, s *S) error {
				b, err := head(b, stateRaw)
				if err != nil {
					return err
				}
				if len(b) != size {
					return fmt.Errorf("%d bytes, want %d", len(b), size)
				}
				copy(unsafe.Slice((*byte)(unsafe.Pointer(s)), size), b)
				return nil
			},
		}
	}
	if t.Kind() == reflect.Struct {
		for i := range t.NumField() {
			if !t.Field(i).IsExported() {
				panic(fmt.Sprintf("udf: state %s of aggregate %q has the unexported field %s, which would be lost between workers: export it, or implement MarshalBinary and UnmarshalBinary on *%s",
					t, name, t.Field(i).Name, t))
			}
		}
	}
	return codec[S]{
		encode: func(dst []byte, s *S) ([]byte, error) {
			var buf bytes.Buffer
			err := gob.NewEncoder(&buf).Encode(s)
			return append(append(dst, stateGob), buf.Bytes()...), err
		},
		decode: func(b []byte, s *S) error {
			b, err := head(b, stateGob)
			if err != nil {
				return err
			}
			return gob.NewDecoder(bytes.NewReader(b)).Decode(s)
		},
	}
}

func pointerFree(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64,
		reflect.Float32, reflect.Float64, reflect.Complex64, reflect.Complex128:
		return true
	case reflect.Array:
		return pointerFree(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if !pointerFree(t.Field(i).Type) {
				return false
			}
		}
		return true
	}
	return false
}
