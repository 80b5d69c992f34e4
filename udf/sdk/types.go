package udf

import (
	"fmt"
	"reflect"
	"time"

	"github.com/volleydb/volley/udf/sdk/wire"
)

// Type is the type of a column of a grouped map. Nullable is added with |.
type Type uint8

// The types. Time is a timestamp with or without time zone.
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

	// Nullable marks a column that may hold NULL: {"note", udf.String | udf.Nullable}.
	// NULL in another column is an error.
	Nullable Type = 0x80
)

var typeNames = [...]string{"", "bool", "int16", "int32", "int64", "float32", "float64", "string", "bytes", "time", "date"}

func (t Type) base() Type { return t &^ Nullable }

func (t Type) String() string {
	if b := t.base(); int(b) < len(typeNames) {
		return typeNames[b]
	}
	return fmt.Sprintf("type(%d)", uint8(t))
}

func (t Type) valid() bool { return t.base() >= Bool && t.base() <= Date }

func (t Type) kind() wire.Kind {
	switch t.base() {
	case Bool:
		return wire.Bool
	case Int16:
		return wire.Int16
	case Int32, Date:
		return wire.Int32
	case Int64, Time:
		return wire.Int64
	case Float32:
		return wire.Float32
	case Float64:
		return wire.Float64
	}
	return wire.Bytes
}

func typeByName(s string) (Type, bool) {
	for i, n := range typeNames {
		if i > 0 && n == s {
			return Type(i), true
		}
	}
	return 0, false
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
	typeOf() Type
	decode(c *column) any
	encode(o *outCol, from int, vals any)
}

func (Null[T]) typeOf() Type { return typeOf[T]() | Nullable }

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
		vs[i] = n.V
	}
	at := o.n
	encode(o, vs)
	for i, n := range ns {
		if !n.Valid {
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
	default:
		var z T
		if n, ok := any(z).(nullable); ok {
			return n.typeOf()
		}
		panic(badType(reflect.TypeFor[T]()))
	}
}

func badType(t reflect.Type) string {
	return fmt.Sprintf("udf: %s cannot be the type of an argument or a result; use bool, int16, int32, int64, float32, float64, string, []byte, time.Time or udf.Null of one of them", t)
}

func epochDate(days int32) time.Time   { return time.Unix(int64(days)*86400, 0).UTC() }
func epochTime(micros int64) time.Time { return time.UnixMicro(micros).UTC() }

// toDate is the calendar day of t in t's own zone.
func toDate(t time.Time) int32 {
	y, m, d := t.Date()
	s := time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix()
	return int32(s / 86400) // exact: midnight UTC
}
