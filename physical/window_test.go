package physical

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

func windowFn(t testing.TB, name string, returns types.Type, frame *proto.Frame, args ...*proto.Expr) *proto.WindowCall {
	t.Helper()
	ts := make([]types.Type, len(args))
	for i, a := range args {
		ts[i] = TypeOf(a.Type)
	}
	f, _, _, err := function.Resolve(name, function.Lookup(name), ts)
	if err != nil {
		t.Fatal(err)
	}
	return &proto.WindowCall{Function: f.ID, Args: args, Frame: frame, Returns: TypeProto(returns)}
}

func windowPlan(ts []types.Type, calls ...*proto.WindowCall) *proto.Operator {
	out := slices.Clone(ts)
	for _, c := range calls {
		out = append(out, TypeOf(c.Returns))
	}
	return &proto.Operator{Id: 1, Fields: fieldsOf(out...), Inputs: []*proto.Operator{read(0, ts)},
		Node: &proto.Operator_Window{Window: &proto.Window{
			PartitionBy: []*proto.Expr{col(0, ts[0])},
			OrderBy:     []*proto.SortKey{sortKey(1, ts[1], keyOrder{})},
			Calls:       calls,
		}}}
}

// refFrame computes a frame from its definition: [lo, hi) in a partition of rows,
// peers gives each row's peer group.
func refFrame(f *proto.Frame, i, n int, peers []int) (lo, hi int) {
	in := func(k int, b *proto.FrameBound, start bool) bool {
		d := 0
		switch {
		case f.Mode == proto.Frame_ROWS:
			d = k - i
		default:
			d = peers[k] - peers[i]
		}
		off := int(b.Offset)
		at := 0
		switch b.Kind {
		case proto.FrameBound_UNBOUNDED_PRECEDING:
			return start
		case proto.FrameBound_UNBOUNDED_FOLLOWING:
			return !start
		case proto.FrameBound_PRECEDING:
			at = -off
		case proto.FrameBound_FOLLOWING:
			at = off
		}
		if start {
			return d >= at
		}
		return d <= at
	}
	lo, hi = -1, -1
	for k := range n {
		if in(k, f.Start, true) && in(k, f.End, false) {
			if lo < 0 {
				lo = k
			}
			hi = k + 1
		}
	}
	if lo < 0 {
		return 0, 0
	}
	return lo, hi
}

type windowRef func(part [][]any, i, lo, hi int, peers []int) any

// Every window function and aggregates over many frames against their
// definitions. Columns: partition int4, order int4, x int4, s text.
func TestWindow(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	ts := []types.Type{tInt4, tInt4, tInt4, tText}
	x, s := col(2, tInt4), col(3, tText)
	bound := func() *proto.FrameBound {
		return &proto.FrameBound{Kind: proto.FrameBound_Kind(r.IntN(5)), Offset: int64(r.IntN(4))}
	}
	frame := func() *proto.Frame {
		for {
			f := &proto.Frame{Mode: proto.Frame_Mode(r.IntN(3)), Start: bound(), End: bound()}
			offset := func(b *proto.FrameBound) bool {
				return b.Kind == proto.FrameBound_PRECEDING || b.Kind == proto.FrameBound_FOLLOWING
			}
			if f.Mode == proto.Frame_RANGE && (offset(f.Start) || offset(f.End)) ||
				f.Start.Kind == proto.FrameBound_UNBOUNDED_FOLLOWING || f.End.Kind == proto.FrameBound_UNBOUNDED_PRECEDING ||
				f.Start.Kind > f.End.Kind {
				continue
			}
			return f
		}
	}
	running := &proto.Frame{Mode: proto.Frame_ROWS, Start: &proto.FrameBound{Kind: proto.FrameBound_UNBOUNDED_PRECEDING},
		End: &proto.FrameBound{Kind: proto.FrameBound_CURRENT_ROW}}
	type fn struct {
		call *proto.WindowCall
		ref  windowRef
	}
	sum := func(part [][]any, _, lo, hi int, _ []int) any {
		var n int64
		any := false
		for _, row := range part[lo:hi] {
			if row[2] != nil {
				n, any = n+row[2].(int64), true
			}
		}
		if !any {
			return nil
		}
		return n
	}
	least := func(part [][]any, _, lo, hi int, _ []int) any {
		var m any
		for _, row := range part[lo:hi] {
			if row[3] != nil && (m == nil || compareValues(row[3], m) < 0) {
				m = row[3]
			}
		}
		return m
	}
	count := func(part [][]any, _, lo, hi int, _ []int) any { return int64(hi - lo) }
	big := func(part [][]any, _, lo, hi int, _ []int) any {
		n := int64(0)
		for _, row := range part[lo:hi] {
			if row[2] != nil && row[2].(int64) > 3 {
				n++
			}
		}
		return n
	}
	nulls := func(c *proto.WindowCall) *proto.WindowCall { c.IgnoreNulls = true; return c }
	at := func(part [][]any, k int) any {
		if k < 0 || k >= len(part) {
			return nil
		}
		return part[k][2]
	}
	everything := func(f *proto.Frame) []fn {
		filtered := windowFn(t, "count", tInt8, f)
		filtered.Filter = callOf(t, ">", x, lit(tInt4, int64(3)))
		return []fn{
			{windowFn(t, "sum", tInt8, f, x), sum},
			{windowFn(t, "min", tText, f, s), least},
			{windowFn(t, "count", tInt8, f), count},
			{filtered, big},
		}
	}
	streaming := func() []fn {
		return append(everything(running),
			fn{windowFn(t, "row_number", tInt8, nil), func(_ [][]any, i, _, _ int, _ []int) any { return int64(i + 1) }},
			fn{windowFn(t, "rank", tInt8, nil), func(_ [][]any, i, _, _ int, p []int) any { return int64(slices.Index(p, p[i]) + 1) }},
			fn{windowFn(t, "dense_rank", tInt8, nil), func(_ [][]any, i, _, _ int, p []int) any { return int64(p[i] - p[0] + 1) }},
			fn{windowFn(t, "lag", tInt4, nil, x), func(part [][]any, i, _, _ int, _ []int) any { return at(part, i-1) }},
			fn{windowFn(t, "lag", tInt4, nil, x, lit(tInt4, int64(3)), lit(tInt4, int64(-9))), func(part [][]any, i, _, _ int, _ []int) any {
				if i < 3 {
					return int64(-9)
				}
				return at(part, i-3)
			}})
	}
	upToPeers := &proto.Frame{Mode: proto.Frame_RANGE, Start: running.Start, End: running.End}
	whole := &proto.Frame{Mode: proto.Frame_ROWS, Start: running.Start, End: &proto.FrameBound{Kind: proto.FrameBound_UNBOUNDED_FOLLOWING}}
	for trial := range 300 {
		tab := randomTable(r, []int{0, 1, 40, 300}[r.IntN(4)], []int{2, 8}[r.IntN(2)], 0.15, ts...)
		slices.SortStableFunc(tab.rows, func(a, b []any) int {
			if c := compareValues(a[0], b[0]); c != 0 {
				return c
			}
			return compareValues(a[1], b[1])
		})
		var fns []fn
		f := frame()
		first := func(f *proto.Frame) fn {
			return fn{windowFn(t, "first_value", tInt4, f, x), func(part [][]any, _, _, _ int, _ []int) any { return part[0][2] }}
		}
		switch trial % 5 {
		case 2:
			f = whole
			fns = append(append(everything(f), streaming()[4:]...), first(f))
		case 0:
			f = running
			fns = append(streaming(), first(f))
		case 1:
			f = upToPeers
			fns = append(append(everything(f), streaming()[4:]...), first(f))
		default:
			fns = append(everything(f), streaming()[4:]...)
			fns = append(fns,
				fn{windowFn(t, "percent_rank", tFloat8, nil), func(part [][]any, i, _, _ int, p []int) any {
					if len(part) == 1 {
						return 0.0
					}
					return float64(slices.Index(p, p[i])) / float64(len(part)-1)
				}},
				fn{windowFn(t, "cume_dist", tFloat8, nil), func(part [][]any, i, _, _ int, p []int) any {
					k := i
					for k < len(p) && p[k] == p[i] {
						k++
					}
					return float64(k) / float64(len(part))
				}},
				fn{windowFn(t, "ntile", tInt4, nil, lit(tInt4, int64(3))), func(part [][]any, i, _, _ int, _ []int) any {
					n, at := len(part), 0
					for b := range 3 {
						size := n / 3
						if b < n%3 {
							size++
						}
						if at += size; i < at {
							return int64(b + 1)
						}
					}
					return nil
				}},
				fn{windowFn(t, "lead", tInt4, nil, x, lit(tInt4, int64(2))), func(part [][]any, i, _, _ int, _ []int) any { return at(part, i+2) }},
				fn{nulls(windowFn(t, "lead", tInt4, nil, x)), func(part [][]any, i, _, _ int, _ []int) any {
					for k := i + 1; k < len(part); k++ {
						if part[k][2] != nil {
							return part[k][2]
						}
					}
					return nil
				}},
				fn{windowFn(t, "first_value", tInt4, f, x), func(part [][]any, _, lo, hi int, _ []int) any {
					if lo == hi {
						return nil
					}
					return part[lo][2]
				}},
				fn{nulls(windowFn(t, "last_value", tInt4, f, x)), func(part [][]any, _, lo, hi int, _ []int) any {
					for k := hi - 1; k >= lo; k-- {
						if part[k][2] != nil {
							return part[k][2]
						}
					}
					return nil
				}},
				fn{windowFn(t, "nth_value", tInt4, f, x, lit(tInt4, int64(2))), func(part [][]any, _, lo, hi int, _ []int) any {
					if lo+1 < hi {
						return part[lo+1][2]
					}
					return nil
				}})
		}
		var calls []*proto.WindowCall
		for _, f := range fns {
			calls = append(calls, f.call)
		}
		var want [][]any
		for from := 0; from < len(tab.rows); {
			to := from
			for to < len(tab.rows) && tab.rows[to][0] == tab.rows[from][0] {
				to++
			}
			part := tab.rows[from:to]
			peers := make([]int, len(part))
			for i := 1; i < len(part); i++ {
				peers[i] = peers[i-1]
				if part[i][1] != part[i-1][1] {
					peers[i]++
				}
			}
			for i, row := range part {
				lo, hi := refFrame(f, i, len(part), peers)
				out := slices.Clone(row)
				for _, f := range fns {
					out = append(out, f.ref(part, i, lo, hi, peers))
				}
				want = append(want, out)
			}
			from = to
		}
		in := setup{inputs: [][]*vector.Batch{tab.batches(r, 1+r.IntN(100))}, rows: 1 + r.IntN(100)}
		in.budget = []int64{0, 1, 20_000}[r.IntN(3)]
		same(t, fmt.Sprintf("trial %d, %s", trial, f), in.must(t, windowPlan(ts, calls...)), want)
	}
}

func TestWindowRefuses(t *testing.T) {
	ts := []types.Type{tInt4, tInt4}
	s := setup{inputs: [][]*vector.Batch{{vector.NewBatch([]*vector.Vector{column1(tInt4, int64(1)), column1(tInt4, int64(0))}, 1)}}}
	ranged := &proto.Frame{Mode: proto.Frame_RANGE, Start: &proto.FrameBound{Kind: proto.FrameBound_PRECEDING, Offset: 1},
		End: &proto.FrameBound{Kind: proto.FrameBound_CURRENT_ROW}}
	_, err := s.run(t, windowPlan(ts, windowFn(t, "count", tInt8, ranged)))
	hasCode(t, err, "XX000")
	_, err = s.run(t, windowPlan(ts, windowFn(t, "ntile", tInt4, nil, col(1, tInt4))))
	hasCode(t, err, "22014")
	_, err = s.run(t, windowPlan(ts, windowFn(t, "nth_value", tInt4, nil, col(1, tInt4), col(1, tInt4))))
	hasCode(t, err, "22016")
}

// row_number over one partition keeps nothing, however many rows there are.
func TestRowNumberStreams(t *testing.T) {
	ts := []types.Type{tInt4, tInt4}
	var in []*vector.Batch
	for range 100 {
		in = append(in, vector.NewBatch([]*vector.Vector{vector.New(tInt4, 1000), vector.New(tInt4, 1000)}, 1000))
	}
	s := setup{inputs: [][]*vector.Batch{in}, budget: 1, stats: NewRecorder()}
	rows := s.must(t, windowPlan(ts, windowFn(t, "row_number", tInt8, nil)))
	if last := rows[len(rows)-1][2]; last != int64(100_000) {
		t.Errorf("the last number is %v", last)
	}
	if peak := s.stats.Stats()[0].PeakMemory; peak != 0 {
		t.Errorf("it held %d bytes", peak)
	}
}

func BenchmarkRowNumber(b *testing.B) {
	const n, per = 1 << 22, 1 << 14
	var in []*vector.Batch
	for range n / per {
		in = append(in, vector.NewBatch([]*vector.Vector{vector.New(tInt4, per)}, per))
	}
	ts := []types.Type{tInt4}
	plan := &proto.Operator{Id: 1, Fields: fieldsOf(tInt4, tInt8), Inputs: []*proto.Operator{read(0, ts)},
		Node: &proto.Operator_Window{Window: &proto.Window{Calls: []*proto.WindowCall{windowFn(b, "row_number", tInt8, nil)}}}}
	benchmarkPlan(b, plan, n, in)
}

func BenchmarkSlidingSum(b *testing.B) {
	const n, per = 1 << 17, 1 << 14
	var in []*vector.Batch
	for range n / per {
		in = append(in, vector.NewBatch([]*vector.Vector{vector.New(tInt4, per), vector.New(tInt4, per)}, per))
	}
	frame := &proto.Frame{Mode: proto.Frame_ROWS, Start: &proto.FrameBound{Kind: proto.FrameBound_PRECEDING, Offset: 100},
		End: &proto.FrameBound{Kind: proto.FrameBound_FOLLOWING, Offset: 100}}
	benchmarkPlan(b, windowPlan([]types.Type{tInt4, tInt4}, windowFn(b, "sum", tInt8, frame, col(1, tInt4))), n, in)
}
