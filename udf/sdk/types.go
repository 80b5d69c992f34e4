package udf

import (
	"fmt"
	"reflect"
	"time"
	"unsafe"

	"github.com/volleydb/volley/udf/sdk/wire"
)

// Type is the type of a column, an argument or a result. Nullable is added with |.
// Arrays and composite types are made by ListOf, StructOf and T; TypeOf gives the
// type of a Go type.
type Type uint32

// The types. Time is a timestamp with or without time zone or a date: whichever
// the SQL function declares. The others stand for one SQL type each.
const (
	Bool Type = iota + 1
	Int16
	Int32
	Int64
	Float32
	Float64
	String
	Bytes
	Time
	Date
	TypeTimestamp   // timestamp
	TypeTimestamptz // timestamptz
	TypeClock       // time
	TypeInterval
	TypeUUID
	TypeJSON
	TypeJSONB
	TypeNumeric
	listType   // with the index of its parts in the bits from compositeShift on
	structType // likewise

	// Nullable marks a column that may hold NULL: {"note", udf.String | udf.Nullable}.
	// NULL in another column is an error.
	Nullable Type = 0x80

	compositeShift = 8
)

var typeNames = [...]string{"", "bool", "int16", "int32", "int64", "float32", "float64", "string", "bytes", "time", "date",
	"timestamp", "timestamptz", "clock", "interval", "uuid", "json", "jsonb", "numeric"}

func (t Type) base() Type { return t &^ Nullable }

// form is base without the index of parts.
func (t Type) form() Type { return t & 0x7f }

// String is the type as manifests write it.
func (t Type) String() string {
	b := t.base()
	if c := b.parts(); c != nil {
		return c.spec
	}
	if int(b) < len(typeNames) {
		return typeNames[b]
	}
	return fmt.Sprintf("type(%d)", uint32(t))
}

func (t Type) valid() bool {
	return t.base() >= Bool && t.base() <= TypeNumeric || t.parts() != nil
}

func (t Type) kind() wire.Kind {
	switch t.form() {
	case Bool:
		return wire.Bool
	case Int16:
		return wire.Int16
	case Int32, Date:
		return wire.Int32
	case Int64, Time, TypeTimestamp, TypeTimestamptz, TypeClock:
		return wire.Int64
	case Float32:
		return wire.Float32
	case Float64:
		return wire.Float64
	case TypeNumeric:
		return wire.Decimal
	case TypeInterval:
		return wire.Interval
	case TypeUUID:
		return wire.Fixed16
	case listType:
		return wire.List
	case structType:
		return wire.Struct
	}
	return wire.Bytes
}

// typeByName reads a type as manifests write it.
func typeByName(s string) (Type, bool) {
	w, err := wire.ParseType(s)
	if err != nil {
		return 0, false
	}
	return fromWire(w), true
}

// Columns names and types the columns of a grouped map.
type Columns []Column

// Column is one of Columns.
type Column struct {
	Name string
	Type Type
}

// Col is Column{name, t}, for those who like go vet.
func Col(name string, t Type) Column { return Column{Name: name, Type: t} }

func (c Columns) params() []wire.Param {
	ps := make([]wire.Param, len(c))
	for i, x := range c {
		ps[i] = wire.Param{Name: x.Name, Type: x.Type.String(), Nullable: x.Type&Nullable != 0}
	}
	return ps
}

// Null is a T or NULL.
type Null[T any] struct {
	V     T
	Valid bool // false is NULL
}

// Some is a value that is not NULL.
func Some[T any](v T) Null[T] { return Null[T]{v, true} }

// None is NULL.
func None[T any]() Null[T] { return Null[T]{} }

// Or returns the value, or v for NULL.
func (n Null[T]) Or(v T) T {
	if n.Valid {
		return n.V
	}
	return v
}

// nullable is what Null[T] offers to code that knows only that it has some
// argument type; all methods work on the type, not the value.
type nullable interface {
	decode(c *column) any
	encode(o *outCol, from int, vals any)
	validAt() uintptr
}

func (n Null[T]) validAt() uintptr { return unsafe.Offsetof(n.Valid) }

func (Null[T]) decode(c *column) any {
	vals := decode[T](c)
	out := make([]Null[T], len(vals))
	for i, v := range vals {
		if c.isNull(i) {
			continue
		}
		out[i] = Null[T]{v, true}
	}
	return out
}

func (Null[T]) encode(o *outCol, from int, vals any) {
	ns := vals.([]Null[T])[from:]
	vs := make([]T, len(ns))
	for i, n := range ns {
		if n.Valid { // what stands beside NULL may be no value at all
			vs[i] = n.V
		}
	}
	at := o.n
	before := len(o.nulls)
	encode(o, vs)
	o.nulls = o.nulls[:before] // a nil []byte is NULL already
	bs, isBytes := any(vs).([][]byte)
	for i, n := range ns {
		if !n.Valid || isBytes && bs[i] == nil {
			o.setNull(at + i)
		}
	}
}

// typeOf returns the SDK type of a Go type. It panics for one that is none: at
// registration, so that the author sees it at the first start.
func typeOf[T any]() Type {
	switch any((*T)(nil)).(type) {
	case *bool:
		return Bool
	case *int16:
		return Int16
	case *int32:
		return Int32
	case *int64:
		return Int64
	case *float32:
		return Float32
	case *float64:
		return Float64
	case *string:
		return String
	case *[]byte:
		return Bytes
	case *time.Time:
		return Time
	}
	return codecFor(reflect.TypeFor[T]()).typ
}

// TypeOf returns the type of a column whose values are Ts in Go: TypeNumeric for
// Decimal, ListOf(Float64) for []float64, a composite type for a struct.
func TypeOf[T any]() Type { return typeOf[T]() }

func badType(t reflect.Type) string {
	return fmt.Sprintf("udf: %s cannot be the type of an argument or a result; use bool, int16, int32, int64, float32, float64, string, []byte, time.Time, udf.Decimal, Timestamp, Timestamptz, Day, Clock, Interval, UUID, JSON, JSONB, a slice or a struct of these, or udf.Null of one of them", t)
}

func epochDate(days int32) time.Time   { return time.Unix(int64(days)*86400, 0).UTC() }
func epochTime(micros int64) time.Time { return time.UnixMicro(micros).UTC() }

// toDate is the calendar day of t in t's own zone; ok is false for a time of day.
func toDate(t time.Time) (days int32, ok bool) {
	y, m, d := t.Date()
	s := time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix()
	h, mi, sec := t.Clock()
	return int32(s / 86400), h|mi|sec|t.Nanosecond() == 0 // exact: midnight UTC
}
