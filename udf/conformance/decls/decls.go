// Package decls declares the functions of the conformance suite with the Go SDK, for
// every runtime that runs Go: a plugin of its own, WASM, a program that embeds
// Volley.
package decls

import (
	"errors"
	"time"

	"github.com/volleydb/volley/udf/sdk"
)

// Point is the composite type of the suite.
type Point struct {
	A int64
	B udf.Null[string]
	C []float64
	D udf.Null[udf.Decimal] `udf:"d d"`
}

// All returns the functions of the suite.
func All() []udf.Decl {
	var ds []udf.Decl
	ds = append(ds, both[bool]("bool")...)
	ds = append(ds, both[int16]("int16")...)
	ds = append(ds, both[int32]("int32")...)
	ds = append(ds, both[int64]("int64")...)
	ds = append(ds, both[float32]("float32")...)
	ds = append(ds, both[float64]("float64")...)
	ds = append(ds, both[string]("string")...)
	ds = append(ds, both[[]byte]("bytes")...)
	ds = append(ds, both[time.Time]("time")...)
	ds = append(ds, both[udf.Day]("date")...)
	ds = append(ds, both[udf.Timestamp]("timestamp")...)
	ds = append(ds, both[udf.Timestamptz]("timestamptz")...)
	ds = append(ds, both[udf.Clock]("clock")...)
	ds = append(ds, both[udf.Interval]("interval")...)
	ds = append(ds, both[udf.UUID]("uuid")...)
	ds = append(ds, both[udf.JSON]("json")...)
	ds = append(ds, both[udf.JSONB]("jsonb")...)
	ds = append(ds, both[udf.Decimal]("numeric")...)
	ds = append(ds, both[Point]("struct")...)
	ds = append(ds, number[int16]("int16")...)
	ds = append(ds, number[int32]("int32")...)
	ds = append(ds, number[int64]("int64")...)
	ds = append(ds, number[float32]("float32")...)
	ds = append(ds, number[float64]("float64")...)
	return append(ds,
		udf.Scalar2("add_numeric", udf.Decimal.Add, udf.Immutable),
		sum("sum_numeric", udf.Decimal.Add),
		udf.Scalar("concat_string", func(a, b string) string { return a + b }, udf.Immutable),
		udf.Scalar("concat_all", func(sep string, xs ...udf.Null[string]) string {
			s := ""
			for i, x := range xs {
				if i > 0 {
					s += sep
				}
				s += x.Or("NULL")
			}
			return s
		}, udf.Immutable, udf.Args("sep", "xs")),
		udf.Scalar2("with_default", func(x, y int64) int64 { return x + y }, udf.Immutable, udf.Args("x", "y"), udf.Default(1, "10")),
		udf.Scalar1("strict_elements", func(xs []int64) int64 {
			s := int64(0)
			for _, x := range xs {
				s += x
			}
			return s
		}),
		udf.ScalarErr1("fail_at_seven", func(x int64) (int64, error) {
			if x == 7 {
				return 0, errors.New("seven")
			}
			return x, nil
		}, udf.Args("x")),
		udf.Scalar1("bad_text", func(x int64) string {
			if x == 7 {
				return "\xff"
			}
			return ""
		}),
		udf.Scalar1("bad_json", func(x int64) udf.JSON {
			if x == 7 {
				return "{"
			}
			return "{}"
		}),
		udf.Scalar1("bad_clock", func(x int64) udf.Clock { return udf.Clock(x) * 86400e6 / 6 }),
		udf.GroupedMap("bad_column", udf.Columns{udf.Col("x", udf.Int64)}, udf.Columns{udf.Col("x", udf.Int64), udf.Col("js", udf.ListOf(udf.TypeJSONB))},
			func(_ *udf.Context, g *udf.Group) error {
				for g.Next() {
					for _, x := range g.Int64("x") {
						js := udf.JSONB("1")
						if x == 7 {
							js = "]"
						}
						g.Emit(x, []udf.JSONB{"{}", js})
					}
				}
				return nil
			}),
	)
}

// both declares the functions of a type and of arrays of it.
func both[T any](name string) []udf.Decl {
	return append(of[T](name), append(of[[]udf.Null[T]]("list_"+name),
		udf.Scalar2("append_"+name, func(xs []udf.Null[T], x udf.Null[T]) []udf.Null[T] {
			return append(xs[:len(xs):len(xs)], x)
		}, udf.Immutable))...)
}

// first is the state of first_…: the first row's value, which may be NULL.
type first[T any] struct {
	Set bool
	V   udf.Null[T]
}

func of[T any](name string) []udf.Decl {
	cols := udf.Columns{udf.Col("k", udf.Int64), udf.Col("x", udf.TypeOf[T]()|udf.Nullable)}
	return []udf.Decl{
		udf.Scalar1("id_"+name, func(x T) T { return x }, udf.Immutable),
		udf.Scalar1("null_"+name, func(x udf.Null[T]) udf.Null[T] { return x }, udf.Immutable),
		udf.Scalar1("is_null_"+name, func(x udf.Null[T]) bool { return !x.Valid }, udf.Immutable),
		udf.Aggregate1("first_"+name, nil,
			func(s *first[T], x udf.Null[T]) error {
				if !s.Set {
					*s = first[T]{true, x}
				}
				return nil
			},
			func(into, from *first[T]) {
				if !into.Set {
					*into = *from
				}
			},
			func(s *first[T]) udf.Null[T] { return s.V }, udf.Immutable),
		udf.GroupedMap("echo_"+name, cols, cols, func(_ *udf.Context, g *udf.Group) error {
			for g.Next() {
				ks, xs := g.Int64("k"), udf.Values[udf.Null[T]](g, "x")
				if g.Offset()%2 == 0 {
					g.EmitColumns(ks, xs)
					continue
				}
				for i := range ks {
					g.Emit(ks[i], xs[i])
				}
			}
			return nil
		}),
	}
}

type numbers interface {
	int16 | int32 | int64 | float32 | float64
}

func number[T numbers](name string) []udf.Decl {
	return []udf.Decl{
		udf.Scalar2("add_"+name, func(a, b T) T { return a + b }, udf.Immutable),
		sum("sum_"+name, func(a, b T) T { return a + b }),
	}
}

// total is the state of sum_….
type total[T any] struct {
	N   int64
	Sum T
}

func sum[T any](name string, add func(a, b T) T) udf.Decl {
	return udf.Aggregate1(name, nil,
		func(s *total[T], x T) error {
			s.N++
			s.Sum = add(s.Sum, x)
			return nil
		},
		func(into, from *total[T]) {
			into.N += from.N
			into.Sum = add(into.Sum, from.Sum)
		},
		func(s *total[T]) udf.Null[T] {
			if s.N == 0 {
				return udf.None[T]()
			}
			return udf.Some(s.Sum)
		}, udf.Immutable)
}
