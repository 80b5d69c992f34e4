// The plugin that the kinds of functions are tested with.
package main

import (
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/volleydb/volley/udf/sdk"
)

// span is the range of the values seen: a state that can be merged.
type span struct {
	N      int64
	Lo, Hi int64
}

// list is the values seen, in the order they came.
type list struct{ All []string }

func main() {
	udf.Main(
		udf.Name("kinds"),

		udf.Scalar("joined", func(sep string, words ...string) string { return strings.Join(words, sep) }, udf.Immutable, udf.Args("sep", "words")),
		udf.Scalar2("plus", func(x, y int64) int64 { return x + y }, udf.Immutable, udf.Args("x", "y"), udf.Default(1, "4 + 6")),

		udf.Table("words", udf.Columns{{"s", udf.String}}, udf.Columns{{"word", udf.String}},
			func(_ *udf.Context, c *udf.TableCall) error {
				for _, w := range strings.Fields(udf.Arg[string](c, 0)) {
					c.Emit(w)
				}
				return nil
			}, udf.Immutable),
		udf.Table("squares", udf.Columns{{"lo", udf.Int64}, {"hi", udf.Int64 | udf.Nullable}},
			udf.Columns{{"n", udf.Int64}, {"square", udf.Int64}, {"note", udf.String | udf.Nullable}},
			func(_ *udf.Context, c *udf.TableCall) error {
				lo, hi := udf.Arg[int64](c, 0), udf.Arg[udf.Null[int64]](c, 1)
				for i := lo; !hi.Valid || i <= hi.V; i++ {
					if i == 13 {
						return fmt.Errorf("unlucky")
					}
					if i%2 == 0 {
						c.Emit(i, i*i, "even")
					} else {
						c.Emit(i, i*i, nil)
					}
				}
				return nil
			}),
		udf.Table("ticks", nil, udf.Columns{{"n", udf.Int64}}, func(ctx *udf.Context, c *udf.TableCall) error {
			for i := int64(0); ; i++ {
				c.Emit(i)
				select {
				case <-ctx.Done():
					return ctx.Err()
				case <-time.After(20 * time.Millisecond):
				}
			}
		}),
		udf.Table("pick", udf.Columns{{"names", udf.String}, {"n", udf.Int64}}, nil,
			func(_ *udf.Context, c *udf.TableCall) error {
				n := udf.Arg[int64](c, 1)
				for i := range n {
					var vals []any
					for range c.OutColumns() {
						vals = append(vals, i)
					}
					c.Emit(vals...)
				}
				return nil
			},
			udf.Describe(func(c *udf.TableCall) (udf.Columns, error) {
				if c.IsNull(0) {
					return nil, udf.Errorf("22023", "the names have to be a constant")
				}
				var cols udf.Columns
				for _, n := range strings.Split(udf.Arg[string](c, 0), ",") {
					cols = append(cols, udf.Column{Name: n, Type: udf.Int64})
				}
				return cols, nil
			})),

		udf.GroupedMap("Pieces", udf.Columns{{"id", udf.Int64}}, udf.Columns{{"rows", udf.Int64}, {"calls", udf.Int64}, {"total", udf.Int64}}, pieces),
		udf.GroupedMap("Whole", udf.Columns{{"id", udf.Int64}}, udf.Columns{{"rows", udf.Int64}, {"calls", udf.Int64}, {"total", udf.Int64}}, pieces, udf.WholeGroup),
		udf.GroupedMap("Batches", udf.Columns{{"id", udf.Int64}}, udf.Columns{{"rows", udf.Int64}, {"calls", udf.Int64}, {"total", udf.Int64}}, pieces, udf.RowBatches(1000)),
		udf.GroupedMap("Payload", udf.Columns{{"s", udf.String}}, udf.Columns{{"rows", udf.Int64}, {"bytes", udf.Int64}},
			func(_ *udf.Context, g *udf.Group) error {
				rows, size := int64(0), int64(0)
				for g.Next() {
					rows += int64(g.Len())
					for _, s := range g.String("s") {
						size += int64(len(s))
					}
				}
				g.Emit(rows, size)
				return nil
			}),
		udf.GroupedMap("Scale", udf.Columns{{"id", udf.Int64}, {"x", udf.Float64}, {"factor", udf.Float64}}, udf.Columns{{"id", udf.Int64}, {"y", udf.Float64}},
			func(_ *udf.Context, g *udf.Group) error {
				for g.Next() {
					id, x, f := g.Int64("id"), g.Float64("x"), g.Float64("factor")
					for i := range g.Len() {
						g.Emit(id[i], x[i]*f[i])
					}
				}
				return nil
			}),

		udf.Aggregate("span", nil, func(s *span, v int64) {
			if s.N == 0 || v < s.Lo {
				s.Lo = v
			}
			if s.N == 0 || v > s.Hi {
				s.Hi = v
			}
			s.N++
		}, func(into, from *span) {
			switch {
			case from.N == 0:
			case into.N == 0:
				*into = *from
			default:
				into.Lo, into.Hi, into.N = min(into.Lo, from.Lo), max(into.Hi, from.Hi), into.N+from.N
			}
		}, func(s *span) udf.Null[string] {
			if s.N == 0 {
				return udf.None[string]()
			}
			return udf.Some(fmt.Sprintf("%d..%d/%d", s.Lo, s.Hi, s.N))
		}),
		udf.Aggregate("chain", nil, func(s *list, v string) { s.All = append(s.All, v) },
			func(into, from *list) { into.All = append(into.All, from.All...) },
			func(s *list) string { return strings.Join(s.All, ">") }),

		udf.Window("smooth", udf.Columns{{"x", udf.Float64}}, func(_ *udf.Context, p *udf.Partition, out []float64) error {
			x := udf.PartitionColumn[float64](p, 0)
			for i := range out {
				from, to := p.Frame(i)
				for _, v := range x[from:to] {
					out[i] += v / float64(to-from)
				}
			}
			return nil
		}),
		udf.Window("nth_largest", udf.Columns{{"x", udf.Int64 | udf.Nullable}, {"n", udf.Int64}},
			func(_ *udf.Context, p *udf.Partition, out []udf.Null[int64]) error {
				x, n := udf.PartitionColumn[udf.Null[int64]](p, 0), udf.PartitionColumn[int64](p, 1)
				var all []int64
				for i := range out {
					all = all[:0]
					from, to := p.Frame(i)
					for _, v := range x[from:to] {
						if v.Valid {
							all = append(all, v.V)
						}
					}
					sort.Slice(all, func(a, b int) bool { return all[a] > all[b] })
					if k := n[i]; k < 1 {
						p.Row(i)
						return udf.Errorf("22023", "n is %d", k)
					} else if int(k) <= len(all) {
						out[i] = udf.Some(all[k-1])
					}
				}
				return nil
			}),
	)
}

func pieces(_ *udf.Context, g *udf.Group) error {
	rows, calls, total := int64(0), int64(0), int64(0)
	for g.Next() {
		rows += int64(g.Len())
		calls++
		for _, id := range g.Int64("id") {
			total += id
		}
	}
	g.Emit(rows, calls, total)
	return nil
}
