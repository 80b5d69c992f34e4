// Faulty has functions that go wrong in the ways that functions do.
package main

import (
	"os"

	"github.com/volleydb/volley/udf/sdk"
)

func main() {
	udf.Main(
		udf.Scalar("panic_at", func(x, at int64) int64 {
			if x == at {
				panic("no value for 42")
			}
			return x
		}, udf.Immutable, udf.Args("x", "at")),
		udf.Scalar("loop_at", func(x, at int64) int64 {
			for x == at {
			}
			return x
		}, udf.Immutable, udf.Args("x", "at")),
		udf.Scalar("exit_at", func(x, at int64) int64 {
			if x == at {
				os.Exit(3)
			}
			return x
		}, udf.Immutable, udf.Args("x", "at")),
		udf.GroupedMap("PanicGroup", udf.Columns{udf.Col("id", udf.Int64)}, udf.Columns{udf.Col("id", udf.Int64)},
			func(ctx *udf.Context, g *udf.Group) error {
				for g.Next() {
					for _, id := range g.Int64("id") {
						if id == 77 {
							panic("no model for 77")
						}
						g.Emit(id)
					}
				}
				return nil
			}, udf.Immutable),
	)
}
