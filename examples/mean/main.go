// Mean is an aggregate with a state that moves between workers.
package main

import "github.com/volleydb/volley/udf/sdk"

// state is a running mean: it does not lose precision as a plain sum does when
// there are many values. It has no pointers, so it needs no encoding.
type state struct {
	N    int64
	Mean float64
}

func step(s *state, x float64) {
	s.N++
	s.Mean += (x - s.Mean) / float64(s.N)
}

func merge(into, from *state) {
	if from.N == 0 {
		return
	}
	n := into.N + from.N
	into.Mean += (from.Mean - into.Mean) * float64(from.N) / float64(n)
	into.N = n
}

// finish gives NULL for no rows, as SQL's avg does.
func finish(s *state) udf.Null[float64] {
	if s.N == 0 {
		return udf.None[float64]()
	}
	return udf.Some(s.Mean)
}

func main() {
	udf.Main(
		udf.Version("1.0"),
		udf.Aggregate("mean", nil, step, merge, finish, udf.Immutable, udf.Doc("arithmetic mean")),
	)
}
