// Faulty has functions that fail on some rows, in the ways that functions do.
package main

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/volleydb/volley/udf/sdk"
)

var calls, running, most atomic.Int64

var leaked [][]byte

func main() {
	udf.Main(append(groups(),
		udf.Scalar("panic_mod", func(x, m int64) int64 {
			if x%m == 0 {
				panic(fmt.Sprintf("no value for %d", x))
			}
			return 2 * x
		}, udf.Immutable, udf.Args("x", "m")),
		udf.Scalar("exit_at", func(x, at int64) int64 {
			if x == at {
				os.Exit(3)
			}
			return 2 * x
		}, udf.Immutable, udf.Args("x", "at")),
		udf.Scalar("hang_at", func(x, at int64) int64 {
			for x == at {
			}
			return 2 * x
		}, udf.Immutable, udf.Args("x", "at")),
		udf.Scalar("leak_at", func(x, at int64) int64 {
			for x == at {
				b := make([]byte, 8<<20)
				for i := range b {
					b[i] = 1
				}
				leaked = append(leaked, b)
				time.Sleep(time.Millisecond)
			}
			return 2 * x
		}, udf.Immutable, udf.Args("x", "at")),
		udf.Vector("vector_at", func(x, at, out []int64) error {
			for i := range x {
				if x[i] == at[i] {
					return errors.New("this batch is no good")
				}
				out[i] = 2 * x[i]
			}
			return nil
		}, udf.Immutable, udf.Args("x", "at")),
		udf.Vector("one_at_most", func(x, out []int64) error {
			if len(x) > 1 {
				return errors.New("this batch is too large")
			}
			copy(out, x)
			return nil
		}, udf.Args("x")),
		udf.Scalar("count_calls", func(s string) int64 { return calls.Add(1) }, udf.Immutable, udf.Args("s")),
		udf.Scalar("at_once", func(x int64) int64 {
			n := running.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			time.Sleep(2 * time.Millisecond)
			running.Add(-1)
			return most.Load()
		}, udf.Args("x")),
		udf.Scalar("slow", func(x int64) int64 { time.Sleep(100 * time.Millisecond); return x }, udf.Immutable, udf.Args("x")),
		udf.Scalar("says", func(x int64) int64 { fmt.Println("value", x); return x }, udf.Args("x")),
	)...)
}
