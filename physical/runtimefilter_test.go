package physical

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/storage"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// stored writes a table to a Parquet file and returns a scan of it.
func stored(t testing.TB, r *rand.Rand, tab table) (*proto.Operator, *proto.TaskSplits) {
	t.Helper()
	w := &proto.TableWrite{Directory: t.TempDir(), Format: "parquet", Schema: fieldsOf(tab.ts...), Table: "t"}
	plan := one(&proto.Operator{Fields: fieldsOf(tText, tInt8, tInt8, types.T(types.Bytea)), Node: &proto.Operator_TableWrite{TableWrite: w}}, 1, read(0, tab.ts))
	scan := &proto.Scan{Format: "parquet", Name: "t"}
	for c := range tab.ts {
		scan.Columns = append(scan.Columns, fmt.Sprint("c", c))
	}
	op := &proto.Operator{Id: 90, Fields: fieldsOf(tab.ts...), Node: &proto.Operator_Scan{Scan: scan}}
	info := setup{inputs: [][]*vector.Batch{tab.batches(r, 100)}}.must(t, plan)
	if len(info) == 0 {
		return op, &proto.TaskSplits{}
	}
	planned, err := storage.PlanParquet(t.Context(), []string{info[0][0].(string)})
	if err != nil {
		t.Fatal(err)
	}
	return op, &proto.TaskSplits{Splits: planned.Splits}
}

// Joins over a scan give what they give over the same rows from elsewhere, which
// nothing filters: all kinds, key types, dictionaries, NULLs, null-safe keys, an
// empty build side, two joins one above the other, other operators between.
func TestRuntimeFilterJoins(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 21))
	keys := []types.Type{tInt2, tInt4, tInt8, tText, tBpchar, tFloat8, tBool}
	filtered := 0
	for trial := range 200 {
		k1, k2 := keys[r.IntN(len(keys))], keys[r.IntN(len(keys))]
		lts := []types.Type{k1, k2, tText, tInt4}
		domain := []int{5, 400}[r.IntN(2)]
		nulls := []float64{0, 0.2}[r.IntN(2)]
		left := randomTable(r, 1+r.IntN(600), domain, nulls, lts...)
		size := func() int { return []int{0, 1, 10, 50}[r.IntN(4)] }
		rts1, rts2 := []types.Type{k1, tInt4}, []types.Type{k2, tInt4}
		b1, b2 := randomTable(r, size(), domain, nulls, rts1...), randomTable(r, size(), domain, nulls, rts2...)
		kind1 := []proto.Join_Kind{proto.Join_INNER, proto.Join_SEMI, proto.Join_LEFT, proto.Join_ANTI, proto.Join_RIGHT, proto.Join_MARK, proto.Join_FULL}[r.IntN(7)]
		kind2 := []proto.Join_Kind{proto.Join_INNER, proto.Join_SEMI, proto.Join_RIGHT}[r.IntN(3)]
		safe := r.IntN(5) == 0
		between := r.IntN(5)
		scan, splits := stored(t, r, left)
		if r.IntN(2) == 0 {
			// A condition of the plan beside those of the joins.
			scan.GetScan().Filter = callOf(t, ">", col(3, tInt4), lit(tInt4, int64(domain/3)))
		}
		plan := func(in *proto.Operator) *proto.Operator {
			switch between {
			case 0:
				in = one(&proto.Operator{Fields: fieldsOf(k2, k1, tInt4), Node: &proto.Operator_Project{Project: &proto.Project{Exprs: []*proto.Expr{col(1, k2), col(0, k1), col(3, tInt4)}}}}, 2, in)
				in = one(&proto.Operator{Fields: fieldsOf(k1, k2, tText, tInt4), Node: &proto.Operator_Project{Project: &proto.Project{Exprs: []*proto.Expr{col(1, k1), col(0, k2), lit(tText, "x"), col(2, tInt4)}}}}, 3, in)
			case 1:
				in = one(&proto.Operator{Fields: in.Fields, Node: &proto.Operator_Filter{Filter: &proto.Filter{Cond: callOf(t, "<", col(3, tInt4), lit(tInt4, int64(domain/2)))}}}, 2, in)
			case 2:
				in = one(&proto.Operator{Fields: in.Fields, Node: &proto.Operator_Sort{Sort: &proto.Sort{Limit: int64(r.IntN(2) * 40), Keys: []*proto.SortKey{{Expr: col(3, tInt4)}}}}}, 2, in)
			case 3:
				in = one(&proto.Operator{Fields: in.Fields, Node: &proto.Operator_Limit{Limit: &proto.Limit{Limit: 30}}}, 2, in)
			}
			j1 := joinPlan(t, kind1, lts, rts1, 1, []bool{false}, false)
			j1.Id, j1.Inputs = 4, []*proto.Operator{in, read(1, rts1)}
			outs := fieldTypes(j1.Fields)
			j2 := joinPlan(t, kind2, outs, rts2, 0, nil, false)
			j2.Inputs[1] = read(2, rts2)
			j2.Inputs[0] = j1
			j2.GetJoin().LeftKeys = []*proto.Expr{col(1, k2)}
			j2.GetJoin().RightKeys = []*proto.Expr{col(0, k2)}
			j2.GetJoin().NullSafe = []bool{safe}
			return j2
		}
		s := setup{inputs: [][]*vector.Batch{nil, b1.batches(r, 20), b2.batches(r, 20)}, rows: []int{7, 100}[r.IntN(2)], splits: []*proto.TaskSplits{splits}}
		seed := r.Uint64()
		r = rand.New(rand.NewPCG(seed, 1))
		op := plan(scan)
		filtered += len(RuntimeFilters(op)) + len(RuntimeFilters(op.Inputs[0]))
		got := s.must(t, op)

		kept := table{ts: left.ts}
		for _, row := range left.rows {
			if n, ok := row[3].(int64); scan.GetScan().Filter == nil || ok && n > int64(domain/3) {
				kept.rows = append(kept.rows, row)
			}
		}
		s.inputs[0] = kept.batches(rand.New(rand.NewPCG(1, 2)), 50)
		r = rand.New(rand.NewPCG(seed, 1))
		want := s.must(t, plan(read(0, lts)))
		same(t, fmt.Sprintf("trial %d: %s, %s above it, of %s and %s, null-safe %v, %d × %d × %d, between %d", trial, kind1, kind2, k1, k2, safe, len(left.rows), len(b1.rows), len(b2.rows), between), got, want)
	}
	if filtered < 100 {
		t.Errorf("only %d filters", filtered)
	}
}

// The scan gives fewer rows, and groups below an aggregate go as a whole.
func TestRuntimeFilterDrops(t *testing.T) {
	left := table{ts: []types.Type{tInt4, tInt8, tText}}
	for i := range 20_000 {
		left.rows = append(left.rows, []any{int64(i / 10), int64(i % 100), fmt.Sprint("s", i%7)})
	}
	r := rand.New(rand.NewPCG(3, 3))
	scan, splits := stored(t, r, left)
	build := func(t types.Type, vals ...any) []*vector.Batch {
		return []*vector.Batch{vector.NewBatch([]*vector.Vector{column1(t, vals...)}, len(vals))}
	}
	agg := one(&proto.Operator{Fields: fieldsOf(tInt4, tInt8), Node: &proto.Operator_Aggregate{Aggregate: &proto.Aggregate{
		Keys: []*proto.Expr{col(0, tInt4)}, Calls: []*proto.AggCall{{Function: countID(t), Returns: TypeProto(tInt8)}}}}}, 5, scan)
	for _, c := range []struct {
		name  string
		in    *proto.Operator
		key   int
		build []*vector.Batch
		want  int64 // rows of the scan
		rows  int   // of the join
	}{
		{"integers", scan, 0, build(tInt4, int64(3), int64(900), nil), 20, 20},
		{"other width", scan, 1, build(tInt4, int64(5)), 200, 200},
		{"text", scan, 2, build(tText, "s1", "none"), 2857, 2857},
		{"below an aggregate", agg, 0, build(tInt4, int64(3), int64(-4)), 10, 1},
		{"all", scan, 2, build(tText, "s0", "s1", "s2", "s3", "s4", "s5", "s6"), 20_000, 20_000},
	} {
		ts := fieldTypes(c.in.Fields)
		bt := c.build[0].Col(0).Type
		j := joinPlan(t, proto.Join_INNER, ts, []types.Type{bt}, 0, nil, false)
		j.Inputs[0] = c.in
		j.GetJoin().LeftKeys = []*proto.Expr{col(c.key, ts[c.key])}
		j.GetJoin().RightKeys = []*proto.Expr{col(0, bt)}
		s := setup{inputs: [][]*vector.Batch{nil, c.build}, stats: NewRecorder(), splits: []*proto.TaskSplits{splits}}
		got := s.must(t, j)
		if n := s.stats.operator(90).Rows; n != c.want || len(got) != c.rows {
			t.Errorf("%s: the scan gives %d rows instead of %d, the join %d instead of %d", c.name, n, c.want, len(got), c.rows)
		}
	}
}

func countID(t testing.TB) string {
	return callOf(t, "count").GetCall().Function
}

// What may not be filtered: rows that are kept without a match, or counted.
func TestRuntimeFilterTargets(t *testing.T) {
	scan := func(limit int64) *proto.Operator {
		return &proto.Operator{Id: 9, Fields: fieldsOf(tInt4, tInt4), Node: &proto.Operator_Scan{Scan: &proto.Scan{Format: "parquet", Columns: []string{"a", "b"}, Limit: limit}}}
	}
	ts := []types.Type{tInt4, tInt4}
	over := func(kind proto.Join_Kind, in *proto.Operator, key int) *proto.Operator {
		j := joinPlan(t, kind, fieldTypes(in.Fields), ts, 0, nil, false)
		j.Inputs[0] = in
		j.GetJoin().LeftKeys, j.GetJoin().RightKeys = []*proto.Expr{col(key, tInt4)}, []*proto.Expr{col(0, tInt4)}
		return j
	}
	random := callOf(t, "random")
	volatile := one(&proto.Operator{Fields: fieldsOf(tInt4, tInt4, tFloat8), Node: &proto.Operator_Project{Project: &proto.Project{Exprs: []*proto.Expr{col(0, tInt4), col(1, tInt4), random}}}}, 5, scan(0))
	window := func(by int) *proto.Operator {
		return one(&proto.Operator{Fields: fieldsOf(tInt4, tInt4, tInt8), Node: &proto.Operator_Window{Window: &proto.Window{PartitionBy: []*proto.Expr{col(by, tInt4)}}}}, 5, scan(0))
	}
	for _, c := range []struct {
		name string
		op   *proto.Operator
		want int
	}{
		{"inner", over(proto.Join_INNER, scan(0), 1), 1},
		{"semi", over(proto.Join_SEMI, scan(0), 1), 1},
		{"right", over(proto.Join_RIGHT, scan(0), 1), 1},
		{"left", over(proto.Join_LEFT, scan(0), 1), 0},
		{"full", over(proto.Join_FULL, scan(0), 1), 0},
		{"anti", over(proto.Join_ANTI, scan(0), 1), 0},
		{"mark", over(proto.Join_MARK, scan(0), 1), 0},
		{"limit", over(proto.Join_INNER, scan(5), 1), 0},
		{"volatile", over(proto.Join_INNER, volatile, 1), 0},
		{"window by the key", over(proto.Join_INNER, window(1), 1), 1},
		{"window by another", over(proto.Join_INNER, window(0), 1), 0},
		{"preserved side", over(proto.Join_INNER, over(proto.Join_LEFT, scan(0), 0), 1), 1},
		{"other side", over(proto.Join_INNER, over(proto.Join_LEFT, scan(0), 0), 2), 0},
		{"build side", over(proto.Join_INNER, func() *proto.Operator { j := over(proto.Join_INNER, scan(0), 0); j.Inputs[1] = scan(0); return j }(), 2), 1},
		{"below full", over(proto.Join_INNER, over(proto.Join_FULL, scan(0), 0), 1), 0},
	} {
		if got := RuntimeFilters(c.op); len(got) != c.want {
			t.Errorf("%s: %d filters instead of %d", c.name, len(got), c.want)
		}
	}
}

// A filter refuses no key that it was made of, and few others.
func TestKeyFilter(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	free := func(int64) error { return nil }
	for _, n := range []int{0, 1, 100, 30_000} {
		for _, span := range []int64{1, 1000, 1 << 40} {
			keys := make([]int64, n)
			in := map[int64]bool{}
			null := make([]bool, n)
			for i := range keys {
				keys[i] = r.Int64N(span) - span/2
				if null[i] = i%5 == 3; !null[i] {
					in[keys[i]] = true
				}
			}
			f := newKeyFilter(vector.FromSlice(tInt8, keys), null, n, free)
			probe := append(slices.Clone(keys), 0, span, -span, 1<<62, -1<<63)
			for range 1000 {
				probe = append(probe, r.Int64N(span)-span/2)
			}
			got := map[int32]bool{}
			for _, i := range f.rows(vector.FromSlice(tInt8, probe), nil, nil) {
				got[i] = true
			}
			wrong := 0
			for i, x := range probe {
				if in[x] && !got[int32(i)] {
					t.Fatalf("%d of %d: %d is refused", n, span, x)
				}
				if !in[x] && got[int32(i)] {
					wrong++
				}
			}
			if f.bits != nil && wrong > 0 || wrong > len(probe)/10 {
				t.Errorf("%d of %d: %d of %d pass that should not", n, span, wrong, len(probe))
			}
		}
	}
	if f := newKeyFilter(vector.FromSlice(tInt8, []int64{1}), nil, 1, func(int64) error { return errShort }); f != nil {
		t.Error("a filter beyond the budget")
	}
}

var errShort = fmt.Errorf("no memory")

// Filters know of ranges without any of their integers.
func TestKeyFilterAnyIn(t *testing.T) {
	for _, keys := range [][]int64{{5}, {-3, 64, 65, 127, 128, 500}, {math.MinInt64, 0, 1 << 40, math.MaxInt64}, {}} {
		f := newKeyFilter(vector.FromSlice(tInt8, keys), nil, len(keys), func(int64) error { return nil })
		probes := []int64{math.MinInt64, math.MinInt64 + 1, -4, -3, 0, 1, 5, 6, 63, 64, 66, 126, 127, 128, 129, 499, 500, 501, 1 << 40, math.MaxInt64}
		for _, lo := range probes {
			for _, hi := range probes {
				want := slices.ContainsFunc(keys, func(k int64) bool { return lo <= k && k <= hi })
				if got := f.anyIn(lo, hi); got != want {
					t.Errorf("%v: any in %d … %d is %v", keys, lo, hi, got)
				}
			}
		}
	}
}
