// The plugin with which the walls of the wasm runtime are tested.
package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"time"

	"github.com/volleydb/volley/udf/sdk"
)

var sink [][]byte

var calls int64

func main() {
	udf.Main(
		udf.Name("sandbox"),
		udf.Scalar("read_file", func(path string) string {
			b, err := os.ReadFile(path)
			if err != nil {
				return "refused"
			}
			return "read " + string(b)
		}),
		udf.Scalar("write_file", func(path string) string {
			if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
				return "refused"
			}
			return "written"
		}),
		udf.Scalar("environment", func(prefix string) string {
			var names []string
			for _, e := range os.Environ() {
				k, _, _ := strings.Cut(e, "=")
				names = append(names, k)
			}
			return strings.Join(names, " ")
		}),
		udf.Scalar("dial", func(addr string) string {
			c, err := net.DialTimeout("tcp", addr, time.Second)
			if err != nil {
				return "refused"
			}
			c.Close()
			return "connected"
		}),
		udf.Scalar("bomb", func(mb int64) int64 {
			for range mb {
				b := make([]byte, 1<<20)
				for i := 0; i < len(b); i += 4096 {
					b[i] = 1
				}
				sink = append(sink, b)
			}
			return int64(len(sink))
		}),
		udf.Scalar("clock", func(int64) int64 { return time.Now().UnixMicro() }),
		udf.Scalar("random", func(int64) int64 { return rand.Int64() }),
		udf.Scalar("count", func(int64) int64 { calls++; return calls }),
		udf.Scalar("nil_map", func(int64) int64 {
			var m map[string]int
			m["a"] = 1
			return 0
		}),
		udf.Vector("twice_plus_one", func(x, out []float64) {
			for i := range out {
				out[i] = x[i]*2 + 1
			}
		}, udf.Immutable),
		udf.Scalar("twice_plus_one_row", func(x float64) float64 { return x*2 + 1 }, udf.Immutable),
		udf.Scalar("describe", func(x float64) string { return fmt.Sprint(x) }),
	)
}
