// Package decls declares the functions of the conformance suite with the Go SDK, for
// every runtime that runs Go: a plugin of its own, WASM, a program that embeds
// Volley.
package decls

import (
	"encoding/binary"
	"errors"
	"strconv"
	"strings"
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
	ds = append(ds, scalars()...)
	ds = append(ds, aggregates()...)
	ds = append(ds, groups()...)
	return append(ds, tables()...)
}

// scalars are the scalar functions that are not one per type.
func scalars() []udf.Decl {
	return []udf.Decl{
		udf.Scalar2("add_numeric", udf.Decimal.Add, udf.Immutable),
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
		udf.ScalarErr1("fail_at_seven", func(x int64) (int64, error) { return x, seven(x) }, udf.Args("x")),
		udf.ScalarErr1("raise_at_seven", func(x int64) (int64, error) {
			if x == 7 {
				return 0, &udf.Error{Code: "22012", Message: "no sevens", Detail: "There is a seven.", Hint: "Use eight."}
			}
			return x, nil
		}, udf.Args("x")),
		udf.Scalar1("panic_at_seven", func(x int64) int64 {
			if x == 7 {
				panic("seven")
			}
			return x
		}, udf.Args("x")),
		udf.Vector("vector_fails", func(x, out []int64) error {
			for i := range x {
				if err := seven(x[i]); err != nil {
					return udf.AtRow(i, err)
				}
				out[i] = x[i]
			}
			return nil
		}, udf.Args("x")),
		udf.Scalar1("sleep_ms", func(ms int64) int64 { time.Sleep(time.Duration(ms) * time.Millisecond); return ms }),
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
	}
}

func seven(x int64) error {
	if x == 7 {
		return errors.New("seven")
	}
	return nil
}

// aggregates are the aggregates that are not one per type.
func aggregates() []udf.Decl {
	int64s := func(s *total[int64]) int64 { return s.Sum }
	fold := func(into, from *total[int64]) { into.Sum += from.Sum }
	return []udf.Decl{
		sum("sum_numeric", udf.Decimal.Add),
		udf.Aggregate2("weighted", nil, func(s *[2]float64, x float64, w udf.Null[float64]) error {
			s[0] += x * w.Or(1)
			s[1] += w.Or(1)
			return nil
		}, func(into, from *[2]float64) {
			into[0] += from[0]
			into[1] += from[1]
		}, func(s *[2]float64) udf.Null[float64] {
			if s[1] == 0 {
				return udf.None[float64]()
			}
			return udf.Some(s[0] / s[1])
		}),
		udf.Aggregate3("joined", nil, func(s *texts, sep string, x udf.Null[string], n int64) error {
			for range n {
				s.All = append(s.All, x.Or("NULL"))
			}
			s.Sep = sep
			return nil
		}, func(into, from *texts) {
			into.All = append(into.All, from.All...)
			into.Sep = max(into.Sep, from.Sep)
		}, func(s *texts) string { return strings.Join(s.All, s.Sep) }),
		udf.Aggregate1("distinct_int64", nil, func(s *set, x int64) error {
			if s.all == nil {
				s.all = map[int64]bool{}
			}
			s.all[x] = true
			return nil
		}, func(into, from *set) {
			if into.all == nil {
				into.all = map[int64]bool{}
			}
			for x := range from.all {
				into.all[x] = true
			}
		}, func(s *set) int64 { return int64(len(s.all)) }),
		udf.Aggregate1("fail_step", nil, func(s *total[int64], x int64) error { s.Sum += x; return seven(x) }, fold, int64s, udf.Args("x")),
		udf.Aggregate1("fail_finish", nil, func(s *total[int64], x int64) error { s.Sum += x; return nil }, fold, func(s *total[int64]) int64 {
			if s.Sum == 7 {
				panic(udf.Errorf("22012", "seven"))
			}
			return s.Sum
		}),
	}
}

// texts is a state with pointers.
type texts struct {
	Sep string
	All []string
}

// set is a state that writes itself.
type set struct{ all map[int64]bool }

func (s *set) MarshalBinary() ([]byte, error) {
	b := []byte{}
	for x := range s.all {
		b = binary.LittleEndian.AppendUint64(b, uint64(x))
	}
	return b, nil
}

func (s *set) UnmarshalBinary(b []byte) error {
	s.all = map[int64]bool{}
	for ; len(b) >= 8; b = b[8:] {
		s.all[int64(binary.LittleEndian.Uint64(b))] = true
	}
	return nil
}

// groups are the grouped maps that are not one per type.
func groups() []udf.Decl {
	x := udf.Columns{udf.Col("x", udf.Int64)}
	counts := udf.Columns{udf.Col("rows", udf.Int64), udf.Col("sum", udf.Int64)}
	count := func(_ *udf.Context, g *udf.Group) error {
		rows, sum := int64(0), int64(0)
		for g.Next() {
			rows += int64(g.Len())
			for i, v := range g.Int64("x") {
				g.Row(i)
				if err := seven(v); err != nil {
					return err
				}
				sum += v
			}
		}
		g.Emit(rows, sum)
		return nil
	}
	return []udf.Decl{
		udf.GroupedMap("count_stream", x, counts, count),
		udf.GroupedMap("count_whole", x, counts, count, udf.WholeGroup),
		udf.GroupedMap("count_small", x, counts, count, udf.WholeGroup, udf.MaxGroupBytes(4096)),
		udf.GroupedMap("count_batch", x, counts, count, udf.RowBatches(1000)),
		udf.GroupedMap("explode", x, x, func(_ *udf.Context, g *udf.Group) error {
			for g.Next() {
				for _, n := range g.Int64("x") {
					for i := range n {
						g.Emit(i)
					}
				}
			}
			return nil
		}),
		udf.GroupedMap("pick_group", x, nil, func(_ *udf.Context, g *udf.Group) error {
			for g.Next() {
				for _, n := range g.Int64("x") {
					vals := make([]any, len(g.OutColumns()))
					for i := range vals {
						vals[i] = n
					}
					g.Emit(vals...)
				}
			}
			return nil
		}, udf.Describe(func(c *udf.TableCall) (udf.Columns, error) {
			return udf.Columns{udf.Col("a", udf.Int64), udf.Col("b", udf.Int64)}, nil
		})),
		udf.GroupedMap("strict_column", x, x, func(_ *udf.Context, g *udf.Group) error {
			for g.Next() {
				g.EmitColumns(g.Int64("x"))
			}
			return nil
		}),
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
	}
}

// tables are the table and window functions that are not one per type.
func tables() []udf.Decl {
	x := udf.Columns{udf.Col("x", udf.Int64)}
	return []udf.Decl{
		udf.Table("series", udf.Columns{udf.Col("lo", udf.Int64), udf.Col("hi", udf.Int64)}, udf.Columns{udf.Col("n", udf.Int64)},
			func(_ *udf.Context, c *udf.TableCall) error {
				for i := udf.Arg[int64](c, 0); i <= udf.Arg[int64](c, 1); i++ {
					c.Emit(i)
				}
				return nil
			}),
		udf.Table("table_fails", x, x, func(_ *udf.Context, c *udf.TableCall) error {
			v := udf.Arg[int64](c, 0)
			c.Emit(v)
			return seven(v)
		}),
		// The columns are those that the first argument names, of the types that it
		// says; the rows are NULL but for the first column.
		udf.Table("pick", udf.Columns{udf.Col("columns", udf.String), udf.Col("n", udf.Int64)}, nil,
			func(_ *udf.Context, c *udf.TableCall) error {
				for i := range udf.Arg[int64](c, 1) {
					vals := make([]any, len(c.OutColumns()))
					vals[0] = i
					c.Emit(vals...)
				}
				return nil
			},
			udf.Describe(func(c *udf.TableCall) (udf.Columns, error) {
				if c.IsNull(0) {
					return nil, udf.Errorf("22023", "the columns have to be a constant")
				}
				known := map[string]udf.Type{"int64": udf.Int64, "string": udf.String, "numeric": udf.TypeNumeric,
					"floats": udf.ListOf(udf.Float64), "timestamptz": udf.TypeTimestamptz, "point": udf.TypeOf[Point]()}
				cols := udf.Columns{}
				for _, n := range strings.Fields(udf.Arg[string](c, 0)) {
					cols = append(cols, udf.Column{Name: "c" + strconv.Itoa(len(cols)+1), Type: known[n]})
				}
				return cols, nil
			})),
		udf.Window("frame_rows", x, func(_ *udf.Context, p *udf.Partition, out []int64) error {
			for i := range out {
				from, to := p.Frame(i)
				out[i] = int64(to - from)
			}
			return nil
		}),
		udf.Window("window_fails", x, func(_ *udf.Context, p *udf.Partition, out []int64) error {
			for i, v := range udf.PartitionColumn[int64](p, 0) {
				p.Row(i)
				if err := seven(v); err != nil {
					return err
				}
			}
			return nil
		}),
	}
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
		udf.Vector("vector_"+name, func(x, out []udf.Null[T]) { copy(out, x) }, udf.Immutable),
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
		udf.GroupedMap("whole_"+name, cols, cols, func(_ *udf.Context, g *udf.Group) error {
			for g.Next() {
				ks, xs := g.Int64("k"), udf.Values[udf.Null[T]](g, "x")
				for i := len(ks) - 1; i >= 0; i-- {
					g.Emit(ks[i], xs[i])
				}
			}
			return nil
		}, udf.WholeGroup),
		udf.GroupedMap("batch_"+name, cols, cols, func(_ *udf.Context, g *udf.Group) error {
			for g.Next() {
				xs := udf.Values[udf.Null[T]](g, "x")
				for i := range xs {
					g.Emit(g.Len(), xs[i])
				}
			}
			return nil
		}, udf.RowBatches(batchRows)),
		udf.Table("table_"+name, cols, cols, func(_ *udf.Context, c *udf.TableCall) error {
			for i := range udf.Arg[int64](c, 0) {
				c.Emit(i, udf.Arg[udf.Null[T]](c, 1))
			}
			return nil
		}),
		udf.Window("window_"+name, cols[1:], func(_ *udf.Context, p *udf.Partition, out []udf.Null[T]) error {
			xs := udf.PartitionColumn[udf.Null[T]](p, 0)
			for i := range out {
				if from, to := p.Frame(i); to > from {
					out[i] = xs[to-1]
				}
			}
			return nil
		}),
	}
}

// batchRows is the rows of a call of batch_….
const batchRows = 4

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
