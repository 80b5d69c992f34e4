// The plugin that package udf is tested with.
package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"sync/atomic"
	"time"

	udf "github.com/volleydb/volley/udf/sdk"
)

type meanState struct {
	N   int64
	Sum float64
}

// words is a state with pointers: encoding/gob.
type words struct{ All []string }

var inits int64

var sink [][]byte

var running atomic.Int64

func main() {
	udf.Main(
		udf.Name("testplugin"), udf.Version("1.2"),
		udf.Init(func(context.Context) error { inits++; fmt.Println("init runs"); return nil }),

		udf.Scalar("upper", strings.ToUpper, udf.Immutable),
		udf.Scalar("add", func(a, b float64) float64 { return a + b }, udf.Immutable, udf.Args("a", "b")),
		udf.Scalar("inits", func(int64) int64 { return inits }),
		udf.Scalar("boom", func(x int64) int64 {
			if x == 1000 {
				panic("thirteen")
			}
			return x
		}, udf.Args("x")),
		udf.Scalar("refuse", func(x int64) (int64, error) {
			if x < 0 {
				return 0, &udf.Error{Code: "22003", Message: "x is negative", Hint: "Give a positive x."}
			}
			return x, nil
		}),
		udf.Scalar("fails", func(x int64) (int64, error) { return 0, errors.New("does not work") }),
		udf.Scalar("exits", func(x int64) int64 { os.Exit(3); return 0 }),
		udf.Scalar("exits_at_one", func(x int64) int64 {
			if x == 1 {
				os.Exit(3)
			}
			return x
		}),
		udf.Scalar("recurse", recurse),
		udf.Scalar("loops", func(x int64) int64 {
			for x >= 0 {
				x++
				if x < 0 {
					x = 0
				}
			}
			return x
		}),
		udf.Scalar("sleeps", func(ms int64) int64 { time.Sleep(time.Duration(ms) * time.Millisecond); return ms }),
		udf.Scalar("at_once", func(int64) int64 { // how many there are
			defer running.Add(-1)
			n := running.Add(1)
			time.Sleep(time.Millisecond)
			return max(n, running.Load())
		}),
		udf.Scalar("leaks", func(mb int64) int64 {
			for range mb {
				b := make([]byte, 1<<20)
				for i := range b {
					b[i] = 1
				}
				sink = append(sink, b)
			}
			time.Sleep(time.Second)
			return mb
		}),
		udf.Scalar("repeat", func(s string, n int64) string { return strings.Repeat(s, int(n)) }),
		udf.Scalar("garbage", func(s string) string { return s + "\xff" }),
		udf.Scalar("slow_path", func(a int16, b float32, c bool) string { return fmt.Sprint(a, b, c) }),
		udf.Scalar3("coalesce3", func(a, b udf.Null[string], c string) udf.Null[string] {
			switch {
			case a.Valid:
				return a
			case b.Valid:
				return b
			case c == "none":
				return udf.None[string]()
			}
			return udf.Some(c)
		}),
		udf.Scalar("id_bool", func(x bool) bool { return x }),
		udf.Scalar("id_int16", func(x int16) int16 { return x }),
		udf.Scalar("id_int32", func(x int32) int32 { return x }),
		udf.Scalar("id_int64", func(x int64) int64 { return x }),
		udf.Scalar("id_float32", func(x float32) float32 { return x }),
		udf.Scalar("id_float64", func(x float64) float64 { return x }),
		udf.Scalar("id_string", func(x string) string { return x }),
		udf.Scalar("id_bytes", func(x []byte) []byte { return x }),
		udf.Scalar("id_time", func(x time.Time) time.Time { return x }),
		udf.Scalar("null_int64", func(x udf.Null[int64]) udf.Null[int64] { return x }),
		udf.Scalar("null_time", func(x udf.Null[time.Time]) udf.Null[time.Time] { return x }),
		udf.Vector("vadd", func(a, b, out []float64) error {
			for i := range out {
				out[i] = a[i] + b[i]
			}
			return nil
		}),
		udf.Vector("vupper", func(s []string, out []udf.Null[string]) error {
			for i := range out {
				if s[i] != "" {
					out[i] = udf.Some(strings.ToUpper(s[i]))
				}
			}
			return nil
		}),
		udf.Vector("vfail", func(a, out []int64) error {
			for i := range a {
				if a[i] == 7 {
					return udf.AtRow(i, errors.New("seven"))
				}
			}
			return nil
		}),
		udf.Vector("vfail_text", func(s, out []string) error {
			for i := range s {
				if s[i] == "refused" {
					return udf.AtRow(i, errors.New("a word that is refused"))
				}
				if s[i] == "far" {
					return udf.AtRow(i+1<<20, errors.New("a row that there is not"))
				}
			}
			return nil
		}),
		udf.Scalar("boom_text", func(s string) string {
			if s == "refused" {
				panic("boom")
			}
			return s
		}),
		udf.Vector("vlength", func(s []string, out []int64) {
			for i := range out {
				out[i] = int64(len(s[i]))
			}
		}),
		udf.Vector("vfirst", func(s, out []string) { // the first that it has seen; results from before are not there
			if first == "" {
				first = s[0]
			}
			for i := range out {
				if out[i] != "" {
					panic("a result is there already")
				}
				out[i] = first
			}
		}),
		udf.Vector("score_row", scoreRow, udf.Immutable),

		udf.Aggregate("mean", nil,
			func(s *meanState, x float64) { s.N++; s.Sum += x },
			func(into, from *meanState) { into.N += from.N; into.Sum += from.Sum },
			func(s *meanState) udf.Null[float64] {
				if s.N == 0 {
					return udf.None[float64]()
				}
				return udf.Some(s.Sum / float64(s.N))
			}, udf.Immutable),
		udf.Aggregate2("join_words", func() words { return words{} },
			func(s *words, w, sep string) error {
				if w == "bad" {
					return errors.New("bad word")
				}
				s.All = append(s.All, w+sep)
				return nil
			},
			func(into, from *words) { into.All = append(into.All, from.All...) },
			func(s *words) string { return strings.Join(s.All, "") }),

		udf.GroupedMap("sums",
			udf.Columns{{"k", udf.Int64}, {"x", udf.Float64 | udf.Nullable}},
			udf.Columns{{"k", udf.Int64}, {"n", udf.Int64}, {"sum", udf.Float64}}, sums),
		udf.GroupedMap("echo", udf.Columns{{"s", udf.String}, {"n", udf.Int64}}, udf.Columns{{"s", udf.String}, {"n", udf.Int64}}, echo),
		udf.GroupedMap("explode", udf.Columns{{"n", udf.Int64}}, udf.Columns{{"i", udf.Int64}, {"s", udf.String}},
			func(ctx *udf.Context, g *udf.Group) error {
				for g.Next() {
					for _, n := range g.Int64("n") {
						for i := range n {
							g.Emit(i, "some text that takes room in the output")
						}
					}
				}
				return nil
			}),
		udf.GroupedMap("gboom", udf.Columns{{"x", udf.Int64}}, udf.Columns{{"x", udf.Int64}},
			func(ctx *udf.Context, g *udf.Group) error {
				for g.Next() {
					for i, x := range g.Int64("x") {
						g.Row(i)
						if x == 13 {
							var m map[string]int
							m["a"] = 1
						}
						g.Emit(x)
					}
				}
				return nil
			}),
		udf.GroupedMap("first_only", udf.Columns{{"x", udf.Int64}}, udf.Columns{{"x", udf.Int64}},
			func(ctx *udf.Context, g *udf.Group) error {
				if g.Next() {
					g.Emit(g.Int64("x")[0])
				}
				return nil
			}),
		udf.GroupedMap("gloops", udf.Columns{{"x", udf.Int64}}, udf.Columns{{"x", udf.Int64}},
			func(ctx *udf.Context, g *udf.Group) error {
				for {
				}
			}),
		udf.GroupedMap("waits", udf.Columns{{"x", udf.Int64}}, udf.Columns{{"x", udf.Int64}},
			func(ctx *udf.Context, g *udf.Group) error {
				ctx.Log("waiting")
				<-ctx.Done()
				return ctx.Err()
			}),
		udf.GroupedMap("emits_wrong", udf.Columns{{"x", udf.Int64}}, udf.Columns{{"x", udf.Int64}},
			func(ctx *udf.Context, g *udf.Group) error { g.Emit("text"); return nil }),
	)
}

//go:noinline
func recurse(x int64) int64 { return recurse(x+1) + 1 }

func sums(ctx *udf.Context, g *udf.Group) error {
	var n, key int64
	var sum float64
	for g.Next() {
		key = g.Int64("k")[0]
		for i, x := range g.Float64("x") {
			if !g.IsNull("x", i) {
				sum += x
			}
			n++
		}
	}
	g.Emit(key, n, sum)
	return nil
}

func echo(ctx *udf.Context, g *udf.Group) error {
	for g.Next() {
		g.EmitColumns(g.String("s"), g.Int64("n"))
	}
	return nil
}

var weights = [10]float64{0.1, -0.2, 0.3, -0.4, 0.5, -0.6, 0.7, -0.8, 0.9, -1}

func scoreRow(id, g1, g2, g3, g4, g5, g6, g7, g8, g9, g10, out []float64) error {
	w := &weights
	for i := range out {
		z := w[0]*g1[i] + w[1]*g2[i] + w[2]*g3[i] + w[3]*g4[i] + w[4]*g5[i] + w[5]*g6[i] + w[6]*g7[i] + w[7]*g8[i] + w[8]*g9[i] + w[9]*g10[i]
		out[i] = 1 / (1 + math.Exp(-z))
	}
	return nil
}

var first string // of vfirst
