package physical

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// refAsof is the definition: of the right rows with equal keys that are not behind
// the left one, the last in order; of several of these the last of the input.
func refAsof(l, r table, keys int, after, strict, outer bool) [][]any {
	var out [][]any
	for _, a := range l.rows {
		best := -1
		for j, b := range r.rows {
			fits := true
			for k := range keys + 1 {
				if a[k] == nil || b[k] == nil {
					fits = false
					break
				}
				c := compareValues(trimmed(r.ts[k], b[k]), trimmed(l.ts[k], a[k]))
				if k == keys {
					if after {
						c = -c
					}
					fits = fits && (c < 0 || c == 0 && !strict)
				} else {
					fits = fits && c == 0
				}
			}
			if !fits {
				continue
			}
			if best >= 0 {
				c := compareValues(trimmed(r.ts[keys], b[keys]), trimmed(r.ts[keys], r.rows[best][keys]))
				if after {
					c = -c
				}
				if c < 0 {
					continue
				}
			}
			best = j
		}
		switch {
		case best >= 0:
			out = append(out, append(slices.Clone(a), r.rows[best]...))
		case outer:
			out = append(out, append(slices.Clone(a), make([]any, len(r.ts))...))
		}
	}
	return out
}

func asofPlan(lts, rts []types.Type, keys int, after, strict, outer bool) *proto.Operator {
	j := &proto.AsofJoin{After: after, Strict: strict, Outer: outer}
	side := func(input int, ts []types.Type) *proto.Operator {
		s := &proto.Sort{}
		for k := range keys + 1 {
			s.Keys = append(s.Keys, &proto.SortKey{Expr: col(k, ts[k]), Desc: k == keys && after})
		}
		return &proto.Operator{Id: uint32(2 + input), Fields: fieldsOf(ts...), Inputs: []*proto.Operator{read(input, ts)}, Node: &proto.Operator_Sort{Sort: s}}
	}
	for k := range keys + 1 {
		j.LeftKeys = append(j.LeftKeys, col(k, lts[k]))
		j.RightKeys = append(j.RightKeys, col(k, rts[k]))
	}
	return &proto.Operator{Id: 1, Fields: fieldsOf(append(slices.Clone(lts), rts...)...), Inputs: []*proto.Operator{side(0, lts), side(1, rts)},
		Node: &proto.Operator_AsofJoin{AsofJoin: j}}
}

// All kinds against the definition: key types, NULLs, batch sizes, budgets that
// make the sorts spill.
func TestAsofJoin(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	for trial := range 200 {
		keys := r.IntN(3)
		var ts []types.Type
		for range keys + 1 {
			ts = append(ts, keyTypes[r.IntN(len(keyTypes))])
		}
		after, strict, outer := r.IntN(2) == 0, r.IntN(2) == 0, r.IntN(2) == 0
		lts := append(slices.Clone(ts), tText, tInt4)
		rts := append(slices.Clone(ts), tNumeric, tInt8)
		nulls := []float64{0, 0.1}[r.IntN(2)]
		domain := []int{5, 40}[r.IntN(2)]
		size := func() int { return []int{0, 1, 20, 200}[r.IntN(4)] }
		l := randomTable(r, size(), domain, nulls, lts...)
		rt := randomTable(r, size(), domain, nulls, rts...)
		s := setup{inputs: [][]*vector.Batch{l.batches(r, 1+r.IntN(60)), rt.batches(r, 1+r.IntN(60))}, rows: 1 + r.IntN(100)}
		if r.IntN(3) == 0 {
			s.budget = 5000
		}
		what := fmt.Sprintf("trial %d: %v, after %v, strict %v, outer %v, %d × %d", trial, ts, after, strict, outer, len(l.rows), len(rt.rows))
		got, err := s.run(t, asofPlan(lts, rts, keys, after, strict, outer))
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		sameSet(t, what, got, refAsof(l, rt, keys, after, strict, outer))
	}
}

func BenchmarkAsofJoin(b *testing.B) {
	const n = 1 << 18
	ts := []types.Type{tInt4, tInt8}
	r := rand.New(rand.NewPCG(8, 8))
	make1 := func() []*vector.Batch {
		var out []*vector.Batch
		for from := 0; from < n; from += 1 << 13 {
			k, at := make([]int32, 1<<13), make([]int64, 1<<13)
			for i := range k {
				k[i], at[i] = int32(r.IntN(1000)), r.Int64N(1<<40)
			}
			out = append(out, vector.NewBatch([]*vector.Vector{vector.FromSlice(tInt4, k), vector.FromSlice(tInt8, at)}, 1<<13))
		}
		return out
	}
	s := setup{inputs: [][]*vector.Batch{make1(), make1()}, rows: 1 << 13}
	plan := asofPlan(ts, ts, 1, false, false, true)
	b.SetBytes(2 * n * 12)
	for b.Loop() {
		s.must(b, plan)
	}
}
