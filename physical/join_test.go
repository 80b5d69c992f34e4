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

// refJoin is the definition of a join: try every pair. The first keys columns of
// both sides are the keys; the residual, if any, is left last column < right last
// column. It returns rows in probe, then build order.
func refJoin(kind proto.Join_Kind, l, r table, keys int, nullSafe []bool, residual bool) [][]any {
	var out [][]any
	seen := make([]bool, len(r.rows))
	nulls := func(n int) []any { return make([]any, n) }
	for _, a := range l.rows {
		matched, unknown := false, false
		for j, b := range r.rows {
			eq := any(true)
			for k := range keys {
				switch {
				case nullSafe[k]:
					if keyText(l.ts[k:k+1], a[k:k+1]) != keyText(r.ts[k:k+1], b[k:k+1]) {
						eq = false
					}
				case a[k] == nil || b[k] == nil:
					if eq == true {
						eq = nil
					}
				case compareValues(trimmed(l.ts[k], a[k]), trimmed(r.ts[k], b[k])) != 0:
					eq = false
				}
				if eq == false {
					break
				}
			}
			pass := true
			if residual {
				x, y := a[len(a)-1], b[len(b)-1]
				pass = x != nil && y != nil && compareValues(x, y) < 0
			}
			if eq == nil && pass {
				unknown = true
			}
			if eq == true && pass {
				matched, seen[j] = true, true
				switch kind {
				case proto.Join_INNER, proto.Join_LEFT, proto.Join_RIGHT, proto.Join_FULL, proto.Join_CROSS:
					out = append(out, append(slices.Clone(a), b...))
				}
			}
		}
		switch kind {
		case proto.Join_LEFT, proto.Join_FULL:
			if !matched {
				out = append(out, append(slices.Clone(a), nulls(len(r.ts))...))
			}
		case proto.Join_SEMI:
			if matched {
				out = append(out, a)
			}
		case proto.Join_ANTI:
			if !matched {
				out = append(out, a)
			}
		case proto.Join_MARK:
			m := any(matched)
			if !matched && unknown {
				m = nil
			}
			out = append(out, append(slices.Clone(a), m))
		}
	}
	if kind == proto.Join_RIGHT || kind == proto.Join_FULL {
		for j, b := range r.rows {
			if !seen[j] {
				out = append(out, append(nulls(len(l.ts)), b...))
			}
		}
	}
	return out
}

func joinPlan(t testing.TB, kind proto.Join_Kind, lts, rts []types.Type, keys int, nullSafe []bool, residual bool) *proto.Operator {
	j := &proto.Join{Kind: kind, NullSafe: nullSafe}
	for k := range keys {
		j.LeftKeys = append(j.LeftKeys, col(k, lts[k]))
		j.RightKeys = append(j.RightKeys, col(k, rts[k]))
	}
	if residual {
		j.Residual = callOf(t, "<", col(len(lts)-1, tInt4), col(len(lts)+len(rts)-1, tInt4))
	}
	out := slices.Clone(lts)
	switch kind {
	case proto.Join_SEMI, proto.Join_ANTI:
	case proto.Join_MARK:
		out = append(out, tBool)
	default:
		out = append(out, rts...)
	}
	return &proto.Operator{Id: 1, Fields: fieldsOf(out...), Inputs: []*proto.Operator{read(0, lts), read(1, rts)},
		Node: &proto.Operator_Join{Join: j}}
}

// All kinds against trying every pair: key types, several keys, null-safe ones,
// residuals, batch sizes, budgets.
func TestJoin(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	for trial := range 250 {
		kind := proto.Join_Kind(r.IntN(8))
		keys := r.IntN(3)
		if kind == proto.Join_CROSS {
			keys = 0
		}
		var ts []types.Type
		nullSafe := make([]bool, keys)
		for k := range keys {
			ts = append(ts, keyTypes[r.IntN(len(keyTypes))])
			nullSafe[k] = r.IntN(4) == 0
		}
		residual := kind != proto.Join_CROSS && r.IntN(2) == 0
		lts := append(slices.Clone(ts), tText, tInt4)
		rts := append(slices.Clone(ts), tNumeric, tInt4)
		nulls := []float64{0, 0.1}[r.IntN(2)]
		domain := []int{5, 40}[r.IntN(2)]
		size := func() int { return []int{0, 1, 20, 150}[r.IntN(4)] }
		l := randomTable(r, size(), domain, nulls, lts...)
		rt := randomTable(r, size(), domain, nulls, rts...)
		s := setup{inputs: [][]*vector.Batch{l.batches(r, 1+r.IntN(60)), rt.batches(r, 1+r.IntN(60))}, rows: 1 + r.IntN(100)}
		if r.IntN(3) == 0 {
			s.budget = []int64{1, 5000}[r.IntN(2)]
		}
		what := fmt.Sprintf("trial %d: %s of %v, null-safe %v, residual %v, %d × %d, budget %d", trial, kind, ts, nullSafe, residual, len(l.rows), len(rt.rows), s.budget)
		plan := joinPlan(t, kind, lts, rts, keys, nullSafe, residual)
		plan.Inputs[1].RowsEstimate = float64(r.IntN(2)) // with 1 the right side is held in any case
		got, err := s.run(t, plan)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		same(t, what, got, refJoin(kind, l, rt, keys, nullSafe, residual))
	}
}

// Ways to find a key: arrays, packed words in slots, groups; keys that differ and
// keys that repeat; dictionaries that go on over batches; sides of more than a block.
func TestJoinTables(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 8))
	ints := []types.Type{tInt2, tInt4, tInt8}
	for trial := range 80 {
		kind := proto.Join_Kind(r.IntN(7))
		keys := 1 + r.IntN(3)
		var ts []types.Type
		for range keys {
			ts = append(ts, ints[r.IntN(3)])
		}
		if r.IntN(3) == 0 {
			ts[r.IntN(keys)] = []types.Type{tText, types.T(types.Bytea), tBpchar}[r.IntN(3)]
		}
		spread := []int64{1, 1, 1 << 9, 1 << 40}[r.IntN(4)]
		distinct := r.IntN(3) > 0
		side := func(n, domain int) table {
			out := table{ts: append(slices.Clone(ts), tInt4)}
			used := map[string]bool{}
			for i := range n {
				row := make([]any, keys, keys+1)
				for c, ty := range ts {
					x := (int64(r.IntN(domain)) - 5) * spread
					switch {
					case r.IntN(20) == 0:
					case ty.ID == types.Int2:
						row[c] = int64(int16(x))
					case ty.ID == types.Int4:
						row[c] = int64(int32(x))
					case ty.ID == types.Int8:
						row[c] = x
					default:
						row[c] = fmt.Sprint("k", x)
					}
				}
				if k := fmt.Sprint(row); distinct && used[k] {
					continue
				} else {
					used[k] = true
				}
				out.rows = append(out.rows, append(row, int64(i)))
			}
			return out
		}
		distinct, rd := false, distinct
		left := side([]int{0, 3, 300, 700}[r.IntN(4)], 40)
		distinct = rd
		right := side([]int{0, 1, 90, 400}[r.IntN(4)], []int{3, 60}[r.IntN(2)])
		residual := r.IntN(3) == 0
		s := setup{inputs: [][]*vector.Batch{left.batches(r, 1+r.IntN(300)), right.batches(r, 1+r.IntN(300))}, rows: 1 + r.IntN(500)}
		if d := 0; left.ts[d].ID == types.Text && len(left.rows) > 0 {
			s.inputs[0] = oneDict(left, d, s.inputs[0])
		}
		compare := same
		if r.IntN(4) == 0 {
			s.budget, compare = []int64{1, 20_000}[r.IntN(2)], sameSet
		}
		what := fmt.Sprintf("trial %d: %s of %v, distinct %v, residual %v, %d × %d, budget %d", trial, kind, ts, rd, residual, len(left.rows), len(right.rows), s.budget)
		nullSafe := make([]bool, keys)
		plan := joinPlan(t, kind, left.ts, right.ts, keys, nullSafe, residual)
		plan.Inputs[1].RowsEstimate = float64(r.IntN(2))
		got, err := s.run(t, plan)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		compare(t, what, got, refJoin(kind, left, right, keys, nullSafe, residual))
	}
}

// oneDict gives column c of all batches one dictionary, as scans do.
func oneDict(tab table, c int, bs []*vector.Batch) []*vector.Batch {
	var vals []any
	for _, row := range tab.rows {
		vals = append(vals, row[c])
	}
	all := toDict(column1(tab.ts[c], vals...))
	out, at := make([]*vector.Batch, len(bs)), 0
	for i, b := range bs {
		cols := slices.Clone(b.Dense().Cols())
		cols[c] = vector.Slice(all, at, at+b.Rows())
		at += b.Rows()
		out[i] = vector.NewBatch(cols, b.Rows())
	}
	return out
}

// Integer keys of different widths join by value.
func TestJoinIntWidths(t *testing.T) {
	l := table{ts: []types.Type{tInt2}, rows: [][]any{{int64(-1)}, {nil}, {int64(7)}}}
	r := table{ts: []types.Type{tInt8}, rows: [][]any{{int64(7)}, {int64(-1)}, {int64(-1)}}}
	rnd := rand.New(rand.NewPCG(1, 1))
	s := setup{inputs: [][]*vector.Batch{l.batches(rnd, 5), r.batches(rnd, 5)}}
	got := s.must(t, joinPlan(t, proto.Join_INNER, l.ts, r.ts, 1, nil, false))
	same(t, "int2 = int8", got, [][]any{{int64(-1), int64(-1)}, {int64(-1), int64(-1)}, {int64(7), int64(7)}})
}

func BenchmarkHashJoin(b *testing.B) {
	const n, per, build = 1 << 20, 1 << 14, 1 << 18
	r := rand.New(rand.NewPCG(1, 1))
	side := func(n int, key func(i int) int64) []*vector.Batch {
		var out []*vector.Batch
		for from := 0; from < n; from += per {
			ks := make([]int64, per)
			for i := range ks {
				ks[i] = key(from + i)
			}
			out = append(out, vector.NewBatch([]*vector.Vector{vector.FromSlice(tInt8, ks), vector.FromSlice(tInt8, ks)}, per))
		}
		return out
	}
	ts := []types.Type{tInt8, tInt8}
	left := side(n, func(int) int64 { return r.Int64N(build) })
	right := side(build, func(i int) int64 { return int64(i) })
	benchmarkPlan(b, joinPlan(b, proto.Join_INNER, ts, ts, 1, nil, false), n, left, right)
}
