package conformance

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// states makes the states of an aggregate; they are closed with the test.
func (s *suite) states(ctx context.Context, t *testing.T, symbol string, returns types.Type, args ...types.Type) function.Aggregator {
	t.Helper()
	a, err := s.host.Aggregate(ctx, s.ref(symbol, function.Aggregate, args, returns), args)
	if err != nil {
		t.Fatal(detail(err))
	}
	t.Cleanup(func() { a.Close() })
	return a
}

// halves updates two sets of states with the halves of the rows, merges the states of
// the second into the first, and returns the results.
func (s *suite) halves(t *testing.T, symbol string, returns types.Type, groups int, numbers []int32, cols ...*vector.Vector) *vector.Vector {
	t.Helper()
	ctx := s.context(t)
	var args []types.Type
	for _, c := range cols {
		args = append(args, c.Type)
	}
	a, b := s.states(ctx, t, symbol, returns, args...), s.states(ctx, t, symbol, returns, args...)
	half := func(from, to int) []*vector.Vector {
		var out []*vector.Vector
		for _, c := range cols {
			out = append(out, vector.Slice(c, from, to))
		}
		return out
	}
	n := len(numbers)
	a.Grow(groups)
	b.Grow(groups)
	err := a.Update(numbers[:n/2], half(0, n/2), n/2)
	if err == nil {
		err = b.Update(numbers[n/2:], half(n/2, n), n-n/2)
	}
	var states []*vector.Vector
	if err == nil {
		states, err = b.State(0, groups)
	}
	into := make([]int32, groups)
	for i := range into {
		into[i] = int32(i)
	}
	if err == nil {
		err = a.Merge(into, states, groups)
	}
	var v *vector.Vector
	if err == nil {
		v, err = a.Final(0, groups)
	}
	if err != nil {
		t.Fatal(detail(err))
	}
	return v
}

// first runs first_X over groups, in two halves whose states are merged.
func (s *suite) first(t *testing.T, c typeCase) {
	symbol := "first_" + c.name
	s.run(t, symbol, c.typ.String(), func(t *testing.T) {
		const groups = 5
		col := c.flat(t, 40, 3)
		numbers := make([]int32, 40)
		var firsts []int32
		for i := range numbers {
			numbers[i] = int32(i % (groups - 1)) // the last group has no row
			if i < groups-1 {
				firsts = append(firsts, int32(i))
			}
		}
		v := s.halves(t, symbol, c.typ, groups, numbers, col)
		same(t, symbol, v, c.typ, append(show(vector.Gather(col, firsts)), "NULL"))
	})
}

// aggregates runs the aggregates of other states and arguments.
func (s *suite) aggregates(t *testing.T) {
	int8, float8, text := types.T(types.Int8), types.T(types.Float8), types.T(types.Text)
	for _, name := range slices.Sorted(maps.Keys(numberTypes)) {
		id := numberTypes[name]
		s.run(t, "sum_"+name, "", func(t *testing.T) {
			typ := types.T(id)
			a := s.states(s.context(t), t, "sum_"+name, typ, typ)
			x := sample(t, id, "1", "2", "3", "100").WithValid([]byte{0b0111})
			a.Grow(2)
			err := a.Update(nil, []*vector.Vector{x}, 4)
			var v *vector.Vector
			if err == nil {
				v, err = a.Final(0, 2)
			}
			if err != nil {
				t.Fatal(detail(err))
			}
			same(t, "sum", v, typ, []string{"6", "NULL"})
		})
	}
	s.run(t, "sum_int64", "many groups", func(t *testing.T) {
		const groups = 40_000
		numbers, vals, want := make([]int32, 3*groups), make([]int64, 3*groups), make([]string, groups)
		for i := range numbers {
			numbers[i], vals[i] = int32(i*7919%groups), int64(i)
		}
		sums := make([]int64, groups)
		for i, g := range numbers {
			sums[g] += vals[i]
		}
		for i := range want {
			want[i] = fmt.Sprint(sums[i])
		}
		same(t, "sums", s.halves(t, "sum_int64", int8, groups, numbers, vector.FromSlice(int8, vals)), int8, want)
	})
	s.run(t, "sum_int64", "states in parts", func(t *testing.T) {
		a := s.states(s.context(t), t, "sum_int64", int8, int8)
		a.Grow(3)
		err := a.Update([]int32{2, 1, 2}, []*vector.Vector{sample(t, types.Int8, "1", "2", "3")}, 3)
		var parts []*vector.Vector
		for i := range 3 {
			if err == nil {
				var v []*vector.Vector
				if v, err = a.State(i, i+1); err == nil {
					parts = append(parts, v[0])
				}
			}
		}
		// A state may be folded into any group, more than once, and of the same set.
		if err == nil {
			err = a.Merge([]int32{0, 0, 0, 1}, []*vector.Vector{vector.Concat(append(parts, parts[2]))}, 4)
		}
		var v *vector.Vector
		if err == nil {
			v, err = a.Final(0, 3)
		}
		if err != nil {
			t.Fatal(detail(err))
		}
		same(t, "sums", v, int8, []string{"6", "6", "4"})
	})
	s.run(t, "sum_int64", "another's state", func(t *testing.T) {
		a := s.states(s.context(t), t, "sum_int64", int8, int8)
		a.Grow(1)
		err := a.Merge([]int32{0}, []*vector.Vector{sample(t, types.Bytea, `\x09010203`)}, 1)
		if err == nil {
			_, err = a.Final(0, 1)
		}
		check(t, "a state of another format", err, "39000", "state of the aggregate cannot be decoded")
	})
	numbers := []int32{0, 1, 0, 1, 0, 1, 0, 2}
	s.run(t, "weighted", "", func(t *testing.T) {
		x := sample(t, types.Float8, "1", "2", "3", "4", "5", "6", "7", "8").WithValid([]byte{0b01111111}) // group 2 has no row that counts
		w := sample(t, types.Float8, "1", "1", "1", "3", "1", "1", "0", "1").WithValid([]byte{0b11011111})
		same(t, "weighted", s.halves(t, "weighted", float8, 4, numbers, x, w), float8, []string{"3", "4", "NULL", "NULL"})
	})
	s.run(t, "joined", "", func(t *testing.T) {
		sep := vector.NewConst(sample(t, types.Text, "-"), 8)
		x := sample(t, types.Text, "a", "b", "c", "d", "e", "f", "é", "").WithValid([]byte{0b11110111})
		n := sample(t, types.Int8, "1", "2", "1", "1", "0", "1", "1", "2")
		same(t, "joined", s.halves(t, "joined", text, 4, numbers, sep, x, n), text, []string{"a-c-é", "b-b-NULL-f", "-", ""})
	})
	s.run(t, "distinct_int64", "", func(t *testing.T) {
		x := sample(t, types.Int8, "1", "1", "2", "1", "1", "3", "9", "5")
		same(t, "distinct", s.halves(t, "distinct_int64", int8, 4, numbers, x), int8, []string{"3", "2", "1", "0"})
	})
}
