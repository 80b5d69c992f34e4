package physical

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/volleydb/volley/exchange"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

var keyTypes = []types.Type{tBool, tInt2, tInt4, tInt8, tFloat8, tNumeric, tText, tBpchar}

// Encoded keys order and equate values of every type as SQL does.
func TestKeysOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, ty := range keyTypes {
		tab := randomTable(r, 200, 20, 0.2, ty)
		vals := make([]any, len(tab.rows))
		for i := range vals {
			vals[i] = tab.rows[i][0]
		}
		v := column1(ty, vals...)
		eq := encodeKeys([]*vector.Vector{v}, nil, v.Len)
		for _, o := range []keyOrder{{}, {desc: true}, {nullsFirst: true}, {desc: true, nullsFirst: true}} {
			k := encodeKeys([]*vector.Vector{v}, []keyOrder{o}, v.Len)
			for i := range vals {
				for j := range vals {
					want := orderedCompare(ty, vals[i], vals[j], o)
					if got := bytes.Compare(k.at(i), k.at(j)); got != want {
						t.Fatalf("%s %+v: %v against %v is %d, want %d", ty, o, vals[i], vals[j], got, want)
					}
					if got := bytes.Equal(eq.at(i), eq.at(j)); got != (want == 0) {
						t.Fatalf("%s: %v equals %v: %v", ty, vals[i], vals[j], got)
					}
				}
			}
		}
	}
}

func orderedCompare(t types.Type, a, b any, o keyOrder) int {
	if a == nil || b == nil {
		c := compareValues(a, b)
		if o.nullsFirst {
			return -c
		}
		return c
	}
	c := compareValues(trimmed(t, a), trimmed(t, b))
	if o.desc {
		return -c
	}
	return c
}

func TestKeysOfSpecialValues(t *testing.T) {
	iv := func(m, d int32, us int64) types.IntervalValue {
		return types.IntervalValue{Months: m, Days: d, Micros: us}
	}
	const day = 86_400_000_000
	v := vector.FromSlice(types.T(types.Interval), []types.IntervalValue{
		iv(-1, 0, 0), iv(0, -1, 0), iv(0, 0, -1), iv(0, 0, 0), iv(0, 1, 0), iv(0, 0, day), iv(1, 0, 0), iv(0, 30, 0), iv(1<<30, 0, 0)})
	k := encodeKeys([]*vector.Vector{v}, []keyOrder{{}}, v.Len)
	for i, want := range []int{-1, -1, -1, -1, 0, -1, 0, -1} {
		if got := bytes.Compare(k.at(i), k.at(i+1)); got != want {
			t.Errorf("interval %d against the next: %d, want %d", i, got, want)
		}
	}
	neg := func(n int64, scale int32) types.Decimal {
		return types.Decimal{Lo: uint64(n), Hi: n >> 63, Scale: scale}
	}
	d := vector.FromSlice(tNumeric, []types.Decimal{neg(-1000, 0), neg(-101, 1), neg(-10, 0), neg(-1, 5), neg(0, 3), neg(0, 0), neg(1, 9),
		neg(99, 2), neg(100, 2), neg(1, 0), {Lo: 1 << 63, Hi: 1 << 50}, {NaN: true}})
	k = encodeKeys([]*vector.Vector{d}, []keyOrder{{}}, d.Len)
	for i, want := range []int{-1, -1, -1, -1, 0, -1, -1, -1, 0, -1, -1} {
		if got := bytes.Compare(k.at(i), k.at(i+1)); got != want {
			t.Errorf("decimal %d against the next: %d, want %d", i, got, want)
		}
	}
}

func sortKey(i int, t types.Type, o keyOrder) *proto.SortKey {
	return &proto.SortKey{Expr: col(i, t), Desc: o.desc, NullsFirst: o.nullsFirst}
}

func sortPlan(ts []types.Type, limit int64, keys ...*proto.SortKey) *proto.Operator {
	return &proto.Operator{Id: 1, Fields: fieldsOf(ts...), Inputs: []*proto.Operator{read(0, ts)},
		Node: &proto.Operator_Sort{Sort: &proto.Sort{Keys: keys, Limit: limit}}}
}

// Sorting is stable, for every type and order, in memory and spilled.
func TestSort(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for trial := range 80 {
		n := []int{0, 1, 50, 700, 3000}[r.IntN(5)]
		ts := []types.Type{keyTypes[r.IntN(len(keyTypes))], keyTypes[r.IntN(len(keyTypes))], tInt4}
		tab := randomTable(r, n, 1+r.IntN(300), []float64{0, 0.2}[r.IntN(2)], ts...)
		for i := range tab.rows {
			tab.rows[i][2] = int64(i) // shows whether equal rows keep their order
		}
		os := []keyOrder{{r.IntN(2) == 0, r.IntN(2) == 0}, {r.IntN(2) == 0, r.IntN(2) == 0}}
		keys := []*proto.SortKey{sortKey(0, ts[0], os[0]), sortKey(1, ts[1], os[1])}[:1+r.IntN(2)]
		want := slices.Clone(tab.rows)
		slices.SortStableFunc(want, func(a, b []any) int {
			for k := range keys {
				if c := orderedCompare(ts[k], a[k], b[k], os[k]); c != 0 {
					return c
				}
			}
			return 0
		})
		limit := []int64{0, 0, 1, 10, 1000}[r.IntN(5)]
		if limit > 0 && int(limit) < len(want) {
			want = want[:limit]
		}
		s := setup{inputs: [][]*vector.Batch{tab.batches(r, 1+r.IntN(1000))}, rows: 1 + r.IntN(1000)}
		if r.IntN(2) == 0 {
			s.budget = []int64{1, 20_000}[r.IntN(2)]
		}
		got := s.must(t, sortPlan(ts, limit, keys...))
		same(t, fmt.Sprintf("trial %d, %v limit %d budget %d", trial, ts, limit, s.budget), got, want)
	}
}

// A top-N sort drops rows early and still keeps the first of equal rows.
func TestTopNCutoff(t *testing.T) {
	const n = 300_000
	vals := make([]int64, n)
	ord := make([]int32, n)
	for i := range vals {
		vals[i], ord[i] = int64((i*7919)%1000), int32(i)
	}
	var in []*vector.Batch
	for from := 0; from < n; from += 10_000 {
		in = append(in, vector.NewBatch([]*vector.Vector{vector.FromSlice(tInt8, vals[from:from+10_000]), vector.FromSlice(tInt4, ord[from:from+10_000])}, 10_000))
	}
	ts := []types.Type{tInt8, tInt4}
	got := setup{inputs: [][]*vector.Batch{in}}.must(t, sortPlan(ts, 5, sortKey(0, tInt8, keyOrder{})))
	for i, row := range got {
		if row[0] != int64(0) || i > 0 && row[1].(int64) != got[i-1][1].(int64)+1000 {
			t.Fatalf("row %d is %v", i, row)
		}
	}
}

func TestSpillLeavesNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	tab := randomTable(r, 2000, 100, 0, tInt8, tText)
	s := setup{inputs: [][]*vector.Batch{tab.batches(r, 100)}, budget: 1, stats: NewRecorder()}
	env := s.env(t)
	root, err := Build(t.Context(), env, sortPlan(tab.ts, 0, sortKey(0, tInt8, keyOrder{})))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := root.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(env.SpillDir)
	if err != nil || len(files) != 0 {
		t.Errorf("files in sight while sorting: %v, %v", files, err)
	}
	if err := root.Close(); err != nil {
		t.Fatal(err)
	}
	if st := s.stats.Stats(); st[0].SpilledBytes == 0 {
		t.Errorf("nothing was spilled: %v", st)
	}
}

func TestOutOfMemoryWithoutSpill(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	tab := randomTable(r, 2000, 100, 0, tInt8)
	s := setup{inputs: [][]*vector.Batch{tab.batches(r, 100)}}
	env := s.env(t)
	env.Memory = NewAccount("query", 1000)
	root, err := Build(t.Context(), env, sortPlan(tab.ts, 0, sortKey(0, tInt8, keyOrder{})))
	if err != nil {
		t.Fatal(err)
	}
	_, err = root.Next(t.Context())
	hasCode(t, err, "53200")
	if err := root.Close(); err != nil {
		t.Fatal(err)
	}
}

// Merging sorted producers gives the stable sort of all, ties by producer.
func TestExchangeMerge(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	for trial := range 40 {
		ts := []types.Type{keyTypes[r.IntN(len(keyTypes))], tInt4}
		o := keyOrder{r.IntN(2) == 0, r.IntN(2) == 0}
		by := func(a, b []any) int { return orderedCompare(ts[0], a[0], b[0], o) }
		var want [][]any
		var srcs []Source
		for p := range r.IntN(6) {
			tab := randomTable(r, r.IntN(400), 30, 0.1, ts...)
			for i := range tab.rows {
				tab.rows[i][1] = int64(p*1000 + i)
			}
			slices.SortStableFunc(tab.rows, by)
			want = append(want, tab.rows...)
			var bs []*vector.Batch
			for _, b := range tab.batches(r, 1+r.IntN(100)) {
				bs = append(bs, b.Dense())
			}
			srcs = append(srcs, exchange.NewSlice(bs...))
		}
		slices.SortStableFunc(want, by)
		op := read(0, ts)
		op.GetExchangeRead().Merge = []*proto.SortKey{sortKey(0, ts[0], o)}
		s := setup{rows: 1 + r.IntN(200), sources: func(*proto.ExchangeRead) []Source { return srcs }}
		same(t, fmt.Sprint("trial ", trial), s.must(t, op), want)
	}
}

func BenchmarkSortInt64(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	const n = 1 << 20
	ks := make([]int64, n)
	for i := range ks {
		ks[i] = r.Int64()
	}
	batch := vector.NewBatch([]*vector.Vector{vector.FromSlice(tInt8, ks)}, n)
	keys, err := compileSortKeys(&Env{}, []*proto.SortKey{sortKey(0, tInt8, keyOrder{})}, []types.Type{tInt8})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(8 * n)
	for b.Loop() {
		if _, err := keys.sortRows(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
}
