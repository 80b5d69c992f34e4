package physical

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// aggCallOf builds a call of an aggregate by name.
func aggCallOf(t testing.TB, name string, args ...*proto.Expr) *proto.AggCall {
	t.Helper()
	ts := make([]types.Type, len(args))
	c := &proto.AggCall{Args: args}
	for i, a := range args {
		ts[i] = TypeOf(a.Type)
		c.ArgTypes = append(c.ArgTypes, a.Type)
	}
	f, _, res, err := function.Resolve(name, function.Lookup(name), ts)
	if err != nil {
		t.Fatal(err)
	}
	c.Function, c.Returns = f.ID, TypeProto(res)
	return c
}

func aggPlan(mode proto.Aggregate_Mode, in *proto.Operator, keys []*proto.Expr, out []types.Type, calls ...*proto.AggCall) *proto.Operator {
	return &proto.Operator{Id: 1, Fields: fieldsOf(out...), Inputs: []*proto.Operator{in},
		Node: &proto.Operator_Aggregate{Aggregate: &proto.Aggregate{Mode: mode, Keys: keys, Calls: calls}}}
}

// refGroup groups rows by the first k columns in order of first appearance.
func refGroup(ts []types.Type, rows [][]any, k int) (keys [][]any, groups [][][]any) {
	at := map[string]int{}
	for _, r := range rows {
		id := keyText(ts[:k], r[:k])
		g, ok := at[id]
		if !ok {
			g = len(keys)
			at[id] = g
			keys, groups = append(keys, r[:k]), append(groups, nil)
		}
		groups[g] = append(groups[g], r)
	}
	return keys, groups
}

// Grouping against a reference, over key types, batch sizes, phases and budgets.
// Columns: the keys, x int4, s text.
func TestAggregate(t *testing.T) {
	was := passAfter
	defer func() { passAfter = was }()
	r := rand.New(rand.NewPCG(5, 5))
	for trial := range 60 {
		k := r.IntN(4)
		var ts []types.Type
		for range k {
			ts = append(ts, keyTypes[r.IntN(len(keyTypes))])
		}
		ts = append(ts, tInt4, tText)
		n := []int{0, 1, 100, 2000}[r.IntN(4)]
		tab := randomTable(r, n, 1+r.IntN([]int{3, 30, 1000}[r.IntN(3)]), []float64{0, 0.2}[r.IntN(2)], ts...)
		x, s := col(k, tInt4), col(k+1, tText)
		var keys []*proto.Expr
		for i := range k {
			keys = append(keys, col(i, ts[i]))
		}
		plain := []*proto.AggCall{aggCallOf(t, "count"), aggCallOf(t, "count", x), aggCallOf(t, "sum", x), aggCallOf(t, "min", s)}
		filtered := aggCallOf(t, "count")
		filtered.Filter = callOf(t, ">", x, lit(tInt4, int64(5)))
		plain = append(plain, filtered)
		distinct := aggCallOf(t, "count", x)
		distinct.Distinct = true
		listed := aggCallOf(t, "string_agg", s, lit(tText, ","))
		listed.OrderBy = []*proto.SortKey{{Expr: x, Desc: true}}
		set := aggCallOf(t, "string_agg", s, lit(tText, ","))
		set.Distinct = true
		special := []*proto.AggCall{distinct, listed, set}

		var plainWant, want [][]any
		refKeys, groups := refGroup(ts, tab.rows, k)
		if k == 0 && n == 0 {
			refKeys, groups = [][]any{{}}, [][][]any{nil}
		}
		for g, rows := range groups {
			row := append(slices.Clone(refKeys[g]), refPlain(rows, k)...)
			plainWant = append(plainWant, row)
			want = append(want, append(slices.Clone(row), refSpecial(rows, k)...))
		}
		outPlain := append(slices.Clone(ts[:k]), tInt8, tInt8, tInt8, tText, tInt8)
		out := append(slices.Clone(outPlain), tInt8, tText, tText)
		in := setup{inputs: [][]*vector.Batch{tab.batches(r, 1+r.IntN(1000))}, rows: 1 + r.IntN(1000)}
		if r.IntN(2) == 0 {
			in.budget = []int64{1, 30_000}[r.IntN(2)]
		}
		what := fmt.Sprintf("trial %d, %v, %d rows, budget %d", trial, ts, n, in.budget)
		got := in.must(t, aggPlan(proto.Aggregate_SINGLE, read(0, ts), keys, out, append(slices.Clone(plain), special...)...))
		same(t, what, got, want) // in this order, whatever the budget is

		// In two phases.
		var states []types.Type
		states = append(states, ts[:k]...)
		for _, c := range plain {
			f, _ := function.ByID(c.Function)
			var at []types.Type
			for _, a := range c.ArgTypes {
				at = append(at, TypeOf(a))
			}
			states = append(states, f.StateTypes(at)...)
		}
		var finalKeys []*proto.Expr
		for i := range k {
			finalKeys = append(finalKeys, col(i, ts[i]))
		}
		partial := aggPlan(proto.Aggregate_PARTIAL, read(0, ts), keys, states, plain...)
		partial.Id = 2
		passAfter = []int64{1 << 16, 20}[r.IntN(2)]
		got = in.must(t, aggPlan(proto.Aggregate_FINAL, partial, finalKeys, outPlain, plain...))
		same(t, what+", two phases", got, plainWant)
	}
}

func refPlain(rows [][]any, k int) []any {
	var count, sum, big int64
	var least any
	for _, r := range rows {
		if x, ok := r[k].(int64); ok {
			count++
			sum += x
			if x > 5 {
				big++
			}
		}
		if s := r[k+1]; s != nil && (least == nil || compareValues(s, least) < 0) {
			least = s
		}
	}
	out := []any{int64(len(rows)), count, sum, least, big}
	if count == 0 {
		out[2] = nil
	}
	return out
}

func refSpecial(rows [][]any, k int) []any {
	distinct := map[any]bool{}
	words := map[string]bool{}
	for _, r := range rows {
		if r[k] != nil {
			distinct[r[k]] = true
		}
		if r[k+1] != nil {
			words[r[k+1].(string)] = true
		}
	}
	ordered := slices.Clone(rows)
	slices.SortStableFunc(ordered, func(a, b []any) int { return orderedCompare(tInt4, a[k], b[k], keyOrder{desc: true}) })
	var list []string
	for _, r := range ordered {
		if r[k+1] != nil {
			list = append(list, r[k+1].(string))
		}
	}
	var set []string
	for w := range words {
		set = append(set, w)
	}
	slices.Sort(set)
	out := []any{int64(len(distinct)), nil, nil}
	if len(list) > 0 {
		out[1], out[2] = strings.Join(list, ","), strings.Join(set, ",")
	}
	return out
}

// A dictionary that changes between batches, and NULLs beside it.
func TestAggregateDictionaries(t *testing.T) {
	var in []*vector.Batch
	want := map[string]int64{}
	for k := range 6 {
		words := []string{"a", "b", fmt.Sprint("only", k)}
		codes := make([]int32, 300)
		for i := range codes {
			codes[i] = int32(i % 3)
			want[words[i%3]]++
		}
		d := vector.FromDict(tText, codes, vector.FromStrings(tText, words))
		valid := vector.NewValid(300)
		vector.SetNull(valid, 299)
		want[words[299%3]]--
		in = append(in, vector.NewBatch([]*vector.Vector{d.WithValid(valid), d.WithValid(valid)}, 300))
	}
	ts := []types.Type{tText, tText}
	got := setup{inputs: [][]*vector.Batch{in}}.must(t, aggPlan(proto.Aggregate_SINGLE, read(0, ts),
		[]*proto.Expr{col(0, tText), col(1, tText)}, []types.Type{tText, tText, tInt8}, aggCallOf(t, "count")))
	if len(got) != 9 {
		t.Fatalf("%d groups: %v", len(got), showAll(got))
	}
	for _, row := range got {
		n := int64(6)
		if row[0] != nil {
			n = want[row[0].(string)]
		}
		if row[2] != n {
			t.Errorf("%v, want %d", row, n)
		}
	}
}

// A partial aggregate stops grouping when its first rows are nearly all
// different, and only then.
func TestPartialPassesThrough(t *testing.T) {
	was := passAfter
	defer func() { passAfter = was }()
	passAfter = 1000
	for _, c := range []struct {
		domain, rows, want int
	}{
		{1000, 3000, 3000}, // all rows of the first 1000 differ, the rest repeats them
		{200, 3000, 200},
	} {
		var in []*vector.Batch
		for from := 0; from < c.rows; from += 250 {
			ks, xs := make([]int64, 250), make([]float64, 250)
			for i := range ks {
				ks[i], xs[i] = int64((from+i)%c.domain), float64(from+i)
			}
			in = append(in, vector.NewBatch([]*vector.Vector{vector.FromSlice(tInt8, ks), vector.FromSlice(tFloat8, xs)}, 250))
		}
		x := col(1, tFloat8)
		odd := aggCallOf(t, "count")
		odd.Filter = callOf(t, ">", x, lit(tFloat8, 100.0))
		calls := []*proto.AggCall{aggCallOf(t, "count"), aggCallOf(t, "max", x), aggCallOf(t, "sum", x), odd}
		states := []types.Type{tInt8, tInt8, tFloat8, tFloat8, tInt8}
		plan := aggPlan(proto.Aggregate_PARTIAL, read(0, []types.Type{tInt8, tFloat8}), []*proto.Expr{col(0, tInt8)}, states, calls...)
		s := setup{inputs: [][]*vector.Batch{in}}
		if got := s.must(t, plan); len(got) != c.want {
			t.Errorf("%d keys, %d rows: %d groups", c.domain, c.rows, len(got))
		}
		plan.Id = 2
		got := s.must(t, aggPlan(proto.Aggregate_FINAL, plan, []*proto.Expr{col(0, tInt8)}, states, calls...))
		want := s.must(t, aggPlan(proto.Aggregate_SINGLE, read(0, []types.Type{tInt8, tFloat8}), []*proto.Expr{col(0, tInt8)}, states, calls...))
		same(t, "two phases", got, want)
	}
}

func benchmarkGroup(b *testing.B, groups int64) {
	const n, per = 1 << 20, 1 << 14
	r := rand.New(rand.NewPCG(1, 1))
	var in []*vector.Batch
	for range n / per {
		ks := make([]int64, per)
		for i := range ks {
			ks[i] = r.Int64N(groups) * 7919
		}
		in = append(in, vector.NewBatch([]*vector.Vector{vector.FromSlice(tInt8, ks), vector.FromSlice(tFloat8, make([]float64, per))}, per))
	}
	ts := []types.Type{tInt8, tFloat8}
	plan := aggPlan(proto.Aggregate_SINGLE, read(0, ts), []*proto.Expr{col(0, tInt8)}, []types.Type{tInt8, tInt8, tFloat8},
		aggCallOf(b, "count"), aggCallOf(b, "sum", col(1, tFloat8)))
	benchmarkPlan(b, plan, n, in)
}

func BenchmarkGroupBy10k(b *testing.B) { benchmarkGroup(b, 10_000) }
func BenchmarkGroupBy1M(b *testing.B)  { benchmarkGroup(b, 1_000_000) }

// benchmarkPlan runs a plan without the checker.
func benchmarkPlan(b *testing.B, plan *proto.Operator, rows int, inputs ...[]*vector.Batch) {
	for b.Loop() {
		env := setup{inputs: inputs}.env(b)
		env.Check = false
		root, err := Build(b.Context(), env, plan)
		if err != nil {
			b.Fatal(err)
		}
		for {
			out, err := root.Next(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			if out == nil {
				break
			}
		}
		if err := root.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(rows), "ns/row")
}

func BenchmarkGroupByText1M(b *testing.B) {
	const n, per = 1 << 19, 1 << 14
	r := rand.New(rand.NewPCG(1, 1))
	var in []*vector.Batch
	for range n / per {
		words := make([]string, per)
		for i := range words {
			words[i] = fmt.Sprint("customer#", r.IntN(1_000_000))
		}
		in = append(in, vector.NewBatch([]*vector.Vector{vector.FromStrings(tText, words)}, per))
	}
	plan := aggPlan(proto.Aggregate_SINGLE, read(0, []types.Type{tText}), []*proto.Expr{col(0, tText)}, []types.Type{tText, tInt8}, aggCallOf(b, "count"))
	benchmarkPlan(b, plan, n, in)
}

func BenchmarkGroupByDictionary(b *testing.B) {
	const n, per = 1 << 21, 1 << 14
	words := vector.FromStrings(tText, []string{"A", "N", "R", "F", "O"})
	codes := make([]int32, per)
	for i := range codes {
		codes[i] = int32(i % 5)
	}
	var in []*vector.Batch
	for range n / per {
		in = append(in, vector.NewBatch([]*vector.Vector{vector.FromDict(tText, codes, words), vector.New(tFloat8, per)}, per))
	}
	plan := aggPlan(proto.Aggregate_SINGLE, read(0, []types.Type{tText, tFloat8}), []*proto.Expr{col(0, tText)}, []types.Type{tText, tInt8, tFloat8},
		aggCallOf(b, "count"), aggCallOf(b, "sum", col(1, tFloat8)))
	benchmarkPlan(b, plan, n, in)
}
