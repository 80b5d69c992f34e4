package physical

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/storage"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

func ints(n ...int64) [][]any {
	out := make([][]any, len(n))
	for i, x := range n {
		out[i] = []any{x}
	}
	return out
}

func one(op *proto.Operator, id uint32, in ...*proto.Operator) *proto.Operator {
	op.Id, op.Inputs = id, in
	return op
}

func limitPlan(in *proto.Operator, limit, offset int64) *proto.Operator {
	return one(&proto.Operator{Fields: in.Fields, Node: &proto.Operator_Limit{Limit: &proto.Limit{Limit: limit, Offset: offset}}}, 50, in)
}

// input is one int4 column 0 … n-1 in batches of up to 7 rows.
func sequence(n int) setup {
	tab := table{ts: []types.Type{tInt4}}
	for i := range n {
		tab.rows = append(tab.rows, []any{int64(i)})
	}
	return setup{inputs: [][]*vector.Batch{tab.batches(rand.New(rand.NewPCG(1, uint64(n))), 7)}}
}

func TestLimit(t *testing.T) {
	for _, c := range []struct{ n, limit, offset, from, to int }{
		{20, 5, 0, 0, 5}, {20, 5, 17, 17, 20}, {20, -1, 15, 15, 20}, {20, 0, 3, 0, 0}, {20, 100, 0, 0, 20}, {0, 5, 5, 0, 0}, {20, 3, 30, 0, 0},
	} {
		got := sequence(c.n).must(t, limitPlan(read(0, []types.Type{tInt4}), int64(c.limit), int64(c.offset)))
		var want [][]any
		for i := c.from; i < c.to; i++ {
			want = append(want, []any{int64(i)})
		}
		same(t, "limit", got, want)
	}
}

func valuesPlan(t types.Type, vals ...any) *proto.Operator {
	v := &proto.Values{}
	for _, x := range vals {
		v.Rows = append(v.Rows, &proto.Row{Exprs: []*proto.Expr{lit(t, x)}})
	}
	return &proto.Operator{Id: 60, Fields: fieldsOf(t), Node: &proto.Operator_Values{Values: v}}
}

func TestValuesAndUnion(t *testing.T) {
	a := valuesPlan(tInt4, int64(1), nil, int64(3))
	b := valuesPlan(tInt4)
	c := valuesPlan(tInt4, int64(9))
	c.GetValues().Rows[0].Exprs[0] = callOf(t, "+", lit(tInt4, int64(4)), lit(tInt4, int64(5)))
	u := one(&proto.Operator{Fields: fieldsOf(tInt4), Node: &proto.Operator_Union{Union: &proto.Union{}}}, 1, a, b, c)
	same(t, "union", setup{rows: 2}.must(t, u), [][]any{{int64(1)}, {nil}, {int64(3)}, {int64(9)}})
}

func TestSingleRow(t *testing.T) {
	for n, want := range map[int][][]any{0: {{nil}}, 1: ints(0)} {
		in := read(0, []types.Type{tInt4})
		got := sequence(n).must(t, one(&proto.Operator{Fields: in.Fields, Node: &proto.Operator_SingleRow{SingleRow: &proto.SingleRow{}}}, 1, in))
		same(t, "single row", got, want)
	}
	in := read(0, []types.Type{tInt4})
	_, err := sequence(2).run(t, one(&proto.Operator{Fields: in.Fields, Node: &proto.Operator_SingleRow{SingleRow: &proto.SingleRow{}}}, 1, in))
	hasCode(t, err, "21000")
}

func series(t testing.TB, from, to *proto.Expr) *proto.TableFunction {
	f, _, _, err := function.Resolve("generate_series", function.Lookup("generate_series"), []types.Type{tInt4, tInt4})
	if err != nil {
		t.Fatal(err)
	}
	return &proto.TableFunction{Function: f.ID, Args: []*proto.Expr{from, to}}
}

func TestTableFunction(t *testing.T) {
	f := series(t, lit(tInt4, int64(3)), lit(tInt4, int64(5)))
	plan := &proto.Operator{Id: 1, Fields: fieldsOf(tInt4), Node: &proto.Operator_TableFunction{TableFunction: f}}
	same(t, "series", setup{}.must(t, plan), ints(3, 4, 5))
	f.Ordinality = true
	plan.Fields = fieldsOf(tInt4, tInt8)
	same(t, "with ordinality", setup{}.must(t, plan), [][]any{{int64(3), int64(1)}, {int64(4), int64(2)}, {int64(5), int64(3)}})
	f.Ordinality = false
	f.Args[1] = lit(tInt4, nil)
	plan.Fields = fieldsOf(tInt4)
	same(t, "strict", setup{}.must(t, plan), nil)
}

// The longest set decides; shorter ones are padded; a row whose sets are all
// empty vanishes.
func TestProjectSet(t *testing.T) {
	f := series(t, nil, nil)
	calls := []*proto.Call{
		{Function: f.Function, Args: []*proto.Expr{lit(tInt4, int64(1)), col(0, tInt4)}},
		{Function: f.Function, Args: []*proto.Expr{lit(tInt4, int64(2)), col(0, tInt4)}},
	}
	plan := one(&proto.Operator{Fields: fieldsOf(tInt4, tInt4, tInt4), Node: &proto.Operator_ProjectSet{ProjectSet: &proto.ProjectSet{Calls: calls}}}, 1, read(0, []types.Type{tInt4}))
	var want [][]any
	for i := range int64(40) {
		for k := int64(1); k <= i; k++ {
			row := []any{i, k, nil}
			if k < i {
				row[2] = k + 1
			}
			want = append(want, row)
		}
	}
	s := sequence(40)
	s.rows = 16
	same(t, "sets", s.must(t, plan), want)
}

// A set that does not fit memory is made as far as it is asked for.
func TestProjectSetIsLazy(t *testing.T) {
	f := series(t, nil, nil)
	calls := []*proto.Call{{Function: f.Function, Args: []*proto.Expr{lit(tInt4, int64(1)), lit(tInt4, int64(2_000_000_000))}}}
	plan := one(&proto.Operator{Fields: fieldsOf(tInt4, tInt4), Node: &proto.Operator_ProjectSet{ProjectSet: &proto.ProjectSet{Calls: calls}}}, 1, read(0, []types.Type{tInt4}))
	same(t, "lazy", sequence(2).must(t, limitPlan(plan, 2, 20_000)), [][]any{{int64(0), int64(20_001)}, {int64(0), int64(20_002)}})
}

// dependent runs generate_series(1, outer) for every outer row.
func dependentPlan(t testing.TB, kind proto.DependentJoin_Kind, inner *proto.Operator, out ...types.Type) *proto.Operator {
	return one(&proto.Operator{Fields: fieldsOf(out...), Node: &proto.Operator_DependentJoin{DependentJoin: &proto.DependentJoin{
		Kind: kind, OuterColumns: []uint32{0}, Level: 1}}}, 1, read(0, []types.Type{tInt4}), inner)
}

func TestDependentJoin(t *testing.T) {
	ref := &proto.Operator{Id: 2, Fields: fieldsOf(tInt4), Node: &proto.Operator_OuterRef{OuterRef: &proto.OuterRef{Level: 1}}}
	upTo := func(n int64) *proto.Operator {
		f := series(t, lit(tInt4, n), col(0, tInt4))
		return one(&proto.Operator{Fields: fieldsOf(tInt4), Node: &proto.Operator_TableFunction{TableFunction: f}}, 3, ref)
	}
	n := func(x ...int64) []any {
		out := make([]any, len(x))
		for i, v := range x {
			out[i] = v
		}
		return out
	}
	list := types.ArrayOf(types.Int4)
	for _, c := range []struct {
		kind  proto.DependentJoin_Kind
		inner *proto.Operator
		out   types.Type
		want  [][]any
	}{
		{proto.DependentJoin_INNER, upTo(1), tInt4, [][]any{n(1, 1), n(2, 1), n(2, 2)}},
		{proto.DependentJoin_LEFT, upTo(1), tInt4, [][]any{{int64(0), nil}, n(1, 1), n(2, 1), n(2, 2)}},
		{proto.DependentJoin_SCALAR, upTo(2), tInt4, [][]any{{int64(0), nil}, {int64(1), nil}, n(2, 2)}},
		{proto.DependentJoin_EXISTS, upTo(1), tBool, [][]any{{int64(0), false}, {int64(1), true}, {int64(2), true}}},
		{proto.DependentJoin_ARRAY, upTo(1), list, [][]any{{int64(0), []any{}}, {int64(1), n(1)}, {int64(2), n(1, 2)}}},
	} {
		got := sequence(3).must(t, dependentPlan(t, c.kind, c.inner, tInt4, c.out))
		same(t, c.kind.String(), got, c.want)
	}
	_, err := sequence(3).run(t, dependentPlan(t, proto.DependentJoin_SCALAR, upTo(1), tInt4, tInt4))
	hasCode(t, err, "21000")
	_, err = sequence(3).run(t, ref)
	hasCode(t, err, "XX000")
}

// What the context's end stops, and with which code.
func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := sequence(100)
	s.ctx = ctx
	_, err := s.run(t, sortPlan([]types.Type{tInt4}, 0, sortKey(0, tInt4, keyOrder{})))
	hasCode(t, err, pgerr.QueryCanceled)
}

func TestTableWriteAndScan(t *testing.T) {
	for _, format := range []string{"parquet", "csv"} {
		dir := t.TempDir()
		r := rand.New(rand.NewPCG(11, 11))
		tab := randomTable(r, 500, 30, 0, tInt4, tText)
		w := &proto.TableWrite{Directory: dir, Format: format, Schema: fieldsOf(tab.ts...), NotNull: []bool{true, true}, Table: "t",
			Csv: &proto.CsvOptions{Delimiter: ",", Quote: `"`, Escape: `"`, Header: true}}
		out := fieldsOf(tText, tInt8, tInt8, types.T(types.Bytea))
		plan := one(&proto.Operator{Fields: out, Node: &proto.Operator_TableWrite{TableWrite: w}}, 1, read(0, tab.ts))
		got := setup{inputs: [][]*vector.Batch{tab.batches(r, 100)}}.must(t, plan)
		if len(got) != 1 || got[0][1] != int64(500) {
			t.Fatalf("%s: %v", format, showAll(got))
		}
		tab.rows[77][1] = nil
		_, err := setup{inputs: [][]*vector.Batch{tab.batches(r, 100)}}.run(t, plan)
		hasCode(t, err, "23502")
		if rows := (setup{inputs: [][]*vector.Batch{nil}}).must(t, plan); len(rows) != 0 {
			t.Errorf("a file without rows: %v", showAll(rows))
		}
	}
}

func TestAccount(t *testing.T) {
	root := NewAccount("query", 100)
	a, b := root.Child("a"), root.Child("b")
	if err := a.Grow(60); err != nil {
		t.Fatal(err)
	}
	hasCode(t, b.Grow(41), "53200")
	if root.Used() != 60 || b.Used() != 0 {
		t.Errorf("a refusal charged: %d, %d", root.Used(), b.Used())
	}
	if err := b.Must(200); err != nil {
		t.Fatal(err)
	}
	b.release()
	a.release()
	if root.Used() != 0 || root.Peak() != 260 {
		t.Errorf("used %d, peak %d", root.Used(), root.Peak())
	}
	if err := (*Account)(nil).Child("x").Grow(1 << 60); err != nil {
		t.Error(err)
	}
}

// The checker finds operators that break the contract.
func TestChecker(t *testing.T) {
	ok := vector.NewBatch([]*vector.Vector{vector.New(tInt4, 2)}, 2)
	for name, b := range map[string]*vector.Batch{
		"empty":        vector.NewBatch([]*vector.Vector{vector.New(tInt4, 0)}, 0),
		"wrong type":   vector.NewBatch([]*vector.Vector{vector.New(tInt8, 2)}, 2),
		"wrong length": vector.NewBatch([]*vector.Vector{vector.New(tInt4, 3)}, 2),
		"columns":      vector.NewBatch(nil, 2),
		"code":         vector.NewBatch([]*vector.Vector{vector.FromDict(tText, []int32{0, 9}, vector.FromStrings(tText, []string{"a"}))}, 2),
	} {
		ts := []types.Type{tInt4}
		if name == "code" {
			ts[0] = tText
		}
		c := &checker{in: &outerRef{row: b}, types: ts, name: "x"}
		if _, err := c.Next(t.Context()); err == nil {
			t.Errorf("%s passes", name)
		}
	}
	c := &checker{in: &outerRef{row: ok}, types: []types.Type{tInt4}, name: "x"}
	if _, err := c.Next(t.Context()); err != nil {
		t.Error(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := c.Next(t.Context()); err == nil {
		t.Error("Next after Close passes")
	}
}

// What TableWrite writes Scan reads, with a filter and a limit that counts the
// rows that pass it.
func TestScan(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 13))
	tab := randomTable(r, 500, 30, 0.1, tInt4, tText)
	w := &proto.TableWrite{Directory: t.TempDir(), Format: "parquet", Schema: fieldsOf(tab.ts...), Table: "t"}
	plan := one(&proto.Operator{Fields: fieldsOf(tText, tInt8, tInt8, types.T(types.Bytea)), Node: &proto.Operator_TableWrite{TableWrite: w}}, 1, read(0, tab.ts))
	info := setup{inputs: [][]*vector.Batch{tab.batches(r, 100)}}.must(t, plan)
	planned, err := storage.PlanParquet(t.Context(), []string{info[0][0].(string)})
	if err != nil {
		t.Fatal(err)
	}
	var want [][]any
	for _, row := range tab.rows {
		if n, ok := row[0].(int64); ok && n > 5 {
			want = append(want, row)
		}
	}
	for _, limit := range []int64{0, 7} {
		scan := &proto.Scan{Format: "parquet", Name: "t", Columns: []string{"c0", "c1"}, Limit: limit,
			Filter: callOf(t, ">", col(0, tInt4), lit(tInt4, int64(5)))}
		s := setup{rows: 64}
		s.splits = []*proto.TaskSplits{{Splits: planned.Splits}}
		if limit > 0 {
			want = want[:limit]
		}
		got := s.must(t, &proto.Operator{Id: 1, Fields: fieldsOf(tab.ts...), Node: &proto.Operator_Scan{Scan: scan}})
		same(t, "scan", got, want)
	}
}
