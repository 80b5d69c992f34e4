package udf

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"time"
	"unsafe"
)

// goCodec moves columns to and from Go values of one type that lie in memory at a
// fixed distance (stride): a slice, or one field of all structs of a slice. Codecs
// are made by reflection, once per type; their loops are over typed pointers.
//
// Memory that decode writes to is zero before and was allocated as what it is, so
// that the garbage collector sees the pointers in it.
type goCodec struct {
	typ    Type // with Nullable for Null[T]
	size   uintptr
	decode func(c *column, from, to int, p unsafe.Pointer, stride uintptr)
	encode func(o *outCol, n int, p unsafe.Pointer, stride uintptr)
}

var codecs sync.Map // reflect.Type → *goCodec

// codecFor returns the codec of a Go type; it panics for a type that is none.
func codecFor(t reflect.Type) *goCodec {
	if c, ok := codecs.Load(t); ok {
		return c.(*goCodec)
	}
	c := makeCodec(t, nil)
	codecs.Store(t, c)
	return c
}

var nullableType = reflect.TypeFor[nullable]()

// makeCodec makes the codec of t, which is inside of outer.
func makeCodec(t reflect.Type, outer []reflect.Type) *goCodec {
	for _, o := range outer {
		if o == t {
			panic(fmt.Sprintf("udf: %s contains itself", t))
		}
	}
	outer = append(outer[:len(outer):len(outer)], t)
	switch t {
	case reflect.TypeFor[bool]():
		return fixedCodec[bool](Bool)
	case reflect.TypeFor[int16]():
		return fixedCodec[int16](Int16)
	case reflect.TypeFor[int32]():
		return fixedCodec[int32](Int32)
	case reflect.TypeFor[int64]():
		return fixedCodec[int64](Int64)
	case reflect.TypeFor[float32]():
		return fixedCodec[float32](Float32)
	case reflect.TypeFor[float64]():
		return fixedCodec[float64](Float64)
	case reflect.TypeFor[Decimal]():
		return fixedCodec[Decimal](TypeNumeric)
	case reflect.TypeFor[Interval]():
		return fixedCodec[Interval](TypeInterval)
	case reflect.TypeFor[UUID]():
		return fixedCodec[UUID](TypeUUID)
	case reflect.TypeFor[Clock]():
		return fixedCodec[Clock](TypeClock)
	case reflect.TypeFor[string]():
		return stringCodec(String)
	case reflect.TypeFor[JSON]():
		return stringCodec(TypeJSON)
	case reflect.TypeFor[JSONB]():
		return stringCodec(TypeJSONB)
	case reflect.TypeFor[[]byte]():
		return bytesCodec()
	case reflect.TypeFor[time.Time]():
		return timeCodec(Time)
	case reflect.TypeFor[Timestamp]():
		return timeCodec(TypeTimestamp)
	case reflect.TypeFor[Timestamptz]():
		return timeCodec(TypeTimestamptz)
	case reflect.TypeFor[Day]():
		return timeCodec(Date)
	}
	switch {
	case t.Implements(nullableType):
		return nullCodec(t, outer)
	case t.Kind() == reflect.Slice:
		return listCodec(t, outer)
	case t.Kind() == reflect.Struct:
		return structCodec(t, outer)
	}
	panic(badType(t))
}

func fixedCodec[T any](t Type) *goCodec {
	var z T
	size := unsafe.Sizeof(z)
	return &goCodec{
		typ: t, size: size,
		decode: func(c *column, from, to int, p unsafe.Pointer, stride uintptr) {
			vals := fixed[T](c)[from:to]
			if stride == size && c.valid == nil {
				copy(unsafe.Slice((*T)(p), len(vals)), vals)
				return
			}
			for i, v := range vals {
				if !c.isNull(from + i) {
					*(*T)(unsafe.Add(p, uintptr(i)*stride)) = v
				}
			}
		},
		encode: func(o *outCol, n int, p unsafe.Pointer, stride uintptr) {
			if stride == size {
				appendFixedAll(o, unsafe.Slice((*T)(p), n))
				return
			}
			for i := range n {
				appendFixed(o, *(*T)(unsafe.Add(p, uintptr(i)*stride)))
			}
		},
	}
}

func stringCodec(t Type) *goCodec {
	return &goCodec{
		typ: t, size: unsafe.Sizeof(""),
		decode: func(c *column, from, to int, p unsafe.Pointer, stride uintptr) {
			if from == to {
				return
			}
			offs := c.offsets()[from : to+1]
			base := offs[0]
			all := c.text(base, offs[len(offs)-1])
			for i := range to - from {
				if !c.isNull(from + i) {
					*(*string)(unsafe.Add(p, uintptr(i)*stride)) = all[offs[i]-base : offs[i+1]-base]
				}
			}
		},
		encode: func(o *outCol, n int, p unsafe.Pointer, stride uintptr) {
			for i := range n {
				o.appendString(*(*string)(unsafe.Add(p, uintptr(i)*stride)))
			}
		},
	}
}

func bytesCodec() *goCodec {
	return &goCodec{
		typ: Bytes, size: unsafe.Sizeof([]byte(nil)),
		decode: func(c *column, from, to int, p unsafe.Pointer, stride uintptr) {
			if from == to {
				return
			}
			offs := c.offsets()[from : to+1]
			base := offs[0]
			all := append([]byte{}, c.bytes[base:offs[len(offs)-1]]...)
			for i := range to - from {
				if !c.isNull(from + i) {
					a, b := offs[i]-base, offs[i+1]-base
					*(*[]byte)(unsafe.Add(p, uintptr(i)*stride)) = all[a:b:b]
				}
			}
		},
		encode: func(o *outCol, n int, p unsafe.Pointer, stride uintptr) {
			for i := range n {
				o.appendBytes(*(*[]byte)(unsafe.Add(p, uintptr(i)*stride)))
			}
		},
	}
}

// timeCodec is for time.Time and the structs of one.
func timeCodec(t Type) *goCodec {
	return &goCodec{
		typ: t, size: unsafe.Sizeof(time.Time{}),
		decode: func(c *column, from, to int, p unsafe.Pointer, stride uintptr) {
			day := c.typ.base() == Date
			for i := range to - from {
				if c.isNull(from + i) {
					continue
				}
				at := (*time.Time)(unsafe.Add(p, uintptr(i)*stride))
				if day {
					*at = epochDate(fixed[int32](c)[from+i])
				} else {
					*at = epochTime(fixed[int64](c)[from+i])
				}
			}
		},
		encode: func(o *outCol, n int, p unsafe.Pointer, stride uintptr) {
			for i := range n {
				o.appendTime(*(*time.Time)(unsafe.Add(p, uintptr(i)*stride)))
			}
		},
	}
}

// nullCodec is for Null[T]: T and, behind it, whether it is valid.
func nullCodec(t reflect.Type, outer []reflect.Type) *goCodec {
	inner := makeCodec(t.Field(0).Type, outer)
	if inner.typ&Nullable != 0 {
		panic(badType(t))
	}
	valid := reflect.Zero(t).Interface().(nullable).validAt()
	zero := reflect.New(t.Field(0).Type).UnsafePointer()
	return &goCodec{
		typ: inner.typ | Nullable, size: t.Size(),
		decode: func(c *column, from, to int, p unsafe.Pointer, stride uintptr) {
			inner.decode(c, from, to, p, stride)
			for i := range to - from {
				*(*bool)(unsafe.Add(p, uintptr(i)*stride+valid)) = !c.isNull(from + i)
			}
		},
		encode: func(o *outCol, n int, p unsafe.Pointer, stride uintptr) {
			for i := 0; i < n; {
				// Runs of values, and NULLs one by one: what stands beside a NULL may
				// be no value at all.
				end := i
				for end < n && *(*bool)(unsafe.Add(p, uintptr(end)*stride+valid)) {
					end++
				}
				if end > i {
					inner.encode(o, end-i, unsafe.Add(p, uintptr(i)*stride), stride)
				}
				for i = end; i < n && !*(*bool)(unsafe.Add(p, uintptr(i)*stride+valid)); i++ {
					at, nulls := o.n, len(o.nulls)
					inner.encode(o, 1, zero, stride)
					o.nulls = append(o.nulls[:nulls], int32(at))
				}
			}
		},
	}
}

// sliceHeader is a slice in memory.
type sliceHeader struct {
	data     unsafe.Pointer
	len, cap int
}

func listCodec(t reflect.Type, outer []reflect.Type) *goCodec {
	elem := makeCodec(t.Elem(), outer)
	if elem.typ.form() == listType {
		panic(badType(t))
	}
	takesNull := elem.typ&Nullable != 0
	return &goCodec{
		typ: ListOf(elem.typ), size: t.Size(),
		decode: func(c *column, from, to int, p unsafe.Pointer, stride uintptr) {
			if from == to {
				return
			}
			kid := &c.kids[0]
			offs := c.offsets()[from : to+1]
			lo, hi := int(offs[0]), int(offs[len(offs)-1])
			if !takesNull && kid.valid != nil {
				for i := range to - from {
					if c.isNull(from + i) {
						continue
					}
					if r := kid.firstNull(int(offs[i]), int(offs[i+1])); r >= 0 {
						c.refuseNull(from+i, fmt.Sprintf("null element in an array of %s", elem.typ), "Take the elements as udf.Null values.")
					}
				}
			}
			data := reflect.MakeSlice(t, hi-lo, hi-lo).UnsafePointer()
			elem.decode(kid, lo, hi, data, elem.size)
			for i := range to - from {
				if c.isNull(from + i) {
					continue
				}
				n := int(offs[i+1] - offs[i])
				at := data
				if n > 0 { // never a pointer past the end
					at = unsafe.Add(data, uintptr(int(offs[i])-lo)*elem.size)
				}
				*(*sliceHeader)(unsafe.Add(p, uintptr(i)*stride)) = sliceHeader{at, n, n}
			}
		},
		encode: func(o *outCol, n int, p unsafe.Pointer, stride uintptr) {
			kid := o.kids[0]
			for i := range n {
				h := (*sliceHeader)(unsafe.Add(p, uintptr(i)*stride))
				kid.room(h.len)
				if h.len > 0 {
					elem.encode(kid, h.len, h.data, elem.size)
				}
				o.offs = append(o.offs, int32(kid.n))
				o.n++
			}
		},
	}
}

func structCodec(t reflect.Type, outer []reflect.Type) *goCodec {
	type member struct {
		*goCodec
		name string
		at   uintptr
	}
	var fields []member
	var cols []Column
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("udf"), ",")
		if name == "-" {
			continue
		}
		if !f.IsExported() {
			panic(fmt.Sprintf("udf: field %s of %s is not exported; export it, or leave it out with the tag `udf:\"-\"`", f.Name, t))
		}
		if name == "" {
			name = snake(f.Name)
		}
		c := makeCodec(f.Type, outer)
		fields = append(fields, member{c, name, f.Offset})
		cols = append(cols, Column{name, c.typ})
	}
	if len(fields) == 0 {
		panic(badType(t))
	}
	return &goCodec{
		typ: StructOf(cols...), size: t.Size(),
		decode: func(c *column, from, to int, p unsafe.Pointer, stride uintptr) {
			for k := range fields {
				f, kid := &fields[k], &c.kids[k]
				if f.typ&Nullable == 0 && kid.valid != nil {
					for i := from; i < to; i++ {
						if kid.isNull(i) && !c.isNull(i) {
							c.refuseNull(i, fmt.Sprintf("null value in field %q", f.name), "Make the field a udf.Null.")
						}
					}
				}
				f.decode(kid, from, to, unsafe.Add(p, f.at), stride)
			}
		},
		encode: func(o *outCol, n int, p unsafe.Pointer, stride uintptr) {
			for k := range fields {
				fields[k].encode(o.kids[k], n, unsafe.Add(p, fields[k].at), stride)
			}
			o.n += n
		},
	}
}

// refuseNull raises the error of a NULL inside of row i.
func (c *column) refuseNull(i int, message, hint string) {
	err := &Error{Code: "22004", Message: message, Hint: hint}
	if c.name != "" {
		err.Message += fmt.Sprintf(" of %q", c.name)
	}
	if c.inner {
		panic(err)
	}
	panic(raised{&rowError{i, err}})
}

// eface is an interface value in memory. Values of the types that have codecs are
// never pointers themselves, so that data points to the value.
type eface struct {
	_    unsafe.Pointer
	data unsafe.Pointer
}

// encodeAny appends one value of a type that the column has; false for others.
func encodeAny(o *outCol, v any) (ok bool) {
	c := knownCodec(reflect.TypeOf(v))
	if c == nil || !o.typ.reads(c.typ) {
		return false
	}
	c.encode(o, 1, (*eface)(unsafe.Pointer(&v)).data, c.size)
	return true
}

// encodeSlice appends the values of a slice.
func encodeSlice(o *outCol, v any) (ok bool) {
	t := reflect.TypeOf(v)
	if t == nil || t.Kind() != reflect.Slice {
		return false
	}
	c := knownCodec(t.Elem())
	if c == nil || !o.typ.reads(c.typ) {
		return false
	}
	h := (*sliceHeader)((*eface)(unsafe.Pointer(&v)).data)
	c.encode(o, h.len, h.data, c.size)
	return true
}

// knownCodec is codecFor for types that come from values: nil instead of a panic.
func knownCodec(t reflect.Type) (c *goCodec) {
	if t == nil {
		return nil
	}
	defer func() {
		if v := recover(); v != nil {
			c = nil
		}
	}()
	return codecFor(t)
}
