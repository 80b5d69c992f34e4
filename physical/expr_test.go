package physical

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// oneToTen has a column of int4 1…10 and NULL, and one of text.
func numbers() *vector.Batch {
	return vector.NewBatch([]*vector.Vector{
		column1(tInt4, int64(0), int64(1), int64(2), nil, int64(4)),
		toDict(column1(tText, "a", nil, "b", "a", "c")),
	}, 5)
}

func evalValues(t testing.TB, e *proto.Expr, b *vector.Batch) ([]any, error) {
	t.Helper()
	ts := make([]types.Type, b.NumCols())
	for i := range ts {
		ts[i] = b.Col(i).Type
	}
	x, err := Compile(&Env{Check: true}, e, ts)
	if err != nil {
		return nil, err
	}
	v, err := x.Eval(t.Context(), b)
	if err != nil {
		return nil, err
	}
	if err := (&checker{name: "test"}).column(v, b.Rows(), TypeOf(e.Type)); err != nil {
		t.Fatal(err)
	}
	out := make([]any, v.Len)
	for i := range out {
		out[i] = value(v, i)
	}
	return out, nil
}

func isOf(op proto.IsTest_Op, a, b *proto.Expr) *proto.Expr {
	return typed(tBool, &proto.Expr{Node: &proto.Expr_Is{Is: &proto.IsTest{Op: op, Arg: a, Right: b}}})
}

func coalesceOf(op proto.Coalesce_Op, t types.Type, args ...*proto.Expr) *proto.Expr {
	return typed(t, &proto.Expr{Node: &proto.Expr_Coalesce{Coalesce: &proto.Coalesce{Op: op, Args: args}}})
}

func inOf(a *proto.Expr, not bool, vals ...any) *proto.Expr {
	t := TypeOf(a.Type)
	in := &proto.InList{Arg: a, Not: not}
	for _, x := range vals {
		in.Values = append(in.Values, lit(t, x).GetConst())
	}
	return typed(tBool, &proto.Expr{Node: &proto.Expr_In{In: in}})
}

func caseOf(t types.Type, otherwise *proto.Expr, pairs ...*proto.Expr) *proto.Expr {
	c := &proto.Case{Else: otherwise}
	for i := 0; i < len(pairs); i += 2 {
		c.Whens = append(c.Whens, &proto.When{Cond: pairs[i], Result: pairs[i+1]})
	}
	return typed(t, &proto.Expr{Node: &proto.Expr_Case{Case: c}})
}

func TestExpressions(t *testing.T) {
	x, s := col(0, tInt4), col(1, tText)
	i := func(n int64) *proto.Expr { return lit(tInt4, n) }
	inverse := callOf(t, "/", i(12), x) // fails for x = 0
	null := lit(tBool, nil)
	yes, no := lit(tBool, true), lit(tBool, false)
	gt := callOf(t, ">", x, i(1))
	for _, c := range []struct {
		name string
		e    *proto.Expr
		want []any
	}{
		{"AND guards against division by zero", boolOf(proto.Bool_AND, callOf(t, "<>", x, i(0)), callOf(t, ">", inverse, i(3))),
			[]any{false, true, true, nil, false}},
		{"OR guards against division by zero", boolOf(proto.Bool_OR, callOf(t, "=", x, i(0)), callOf(t, ">", inverse, i(3))),
			[]any{true, true, true, nil, false}},
		{"CASE guards against division by zero", caseOf(tInt4, i(-1), callOf(t, ">", x, i(0)), inverse),
			[]any{int64(-1), int64(12), int64(6), int64(-1), int64(3)}},
		{"CASE takes the first true branch, NULL without one", caseOf(tInt4, nil, callOf(t, "=", x, i(1)), i(10), gt, x),
			[]any{nil, int64(10), int64(2), nil, int64(4)}},
		{"CASE over a dictionary", caseOf(tText, lit(tText, "-"), callOf(t, "=", s, lit(tText, "a")), s), []any{"a", "-", "-", "a", "-"}},
		{"NULL AND false is false", boolOf(proto.Bool_AND, null, no), []any{false, false, false, false, false}},
		{"NULL OR true is true", boolOf(proto.Bool_OR, null, yes), []any{true, true, true, true, true}},
		{"NULL AND true is NULL", boolOf(proto.Bool_AND, null, gt), []any{false, false, nil, nil, nil}},
		{"NOT", boolOf(proto.Bool_NOT, gt), []any{true, true, false, nil, false}},
		{"IS NULL", isOf(proto.IsTest_NULL, x, nil), []any{false, false, false, true, false}},
		{"IS NOT TRUE", isOf(proto.IsTest_NOT_TRUE, gt, nil), []any{true, true, false, true, false}},
		{"IS FALSE", isOf(proto.IsTest_FALSE, gt, nil), []any{true, true, false, false, false}},
		{"IS NOT DISTINCT FROM NULL", isOf(proto.IsTest_NOT_DISTINCT, x, lit(tInt4, nil)), []any{false, false, false, true, false}},
		{"text IS DISTINCT FROM", isOf(proto.IsTest_DISTINCT, s, lit(tText, "a")), []any{false, true, true, false, true}},
		{"IN", inOf(x, false, int64(1), int64(4)), []any{false, true, false, nil, true}},
		{"IN with NULL is never false", inOf(x, false, int64(1), nil), []any{nil, true, nil, nil, nil}},
		{"NOT IN with NULL is never true", inOf(x, true, int64(1), nil), []any{nil, false, nil, nil, nil}},
		{"IN over a dictionary", inOf(s, false, "a", "c"), []any{true, nil, false, true, true}},
		{"COALESCE evaluates only what it needs", coalesceOf(proto.Coalesce_COALESCE, tInt4, x, i(7)), []any{int64(0), int64(1), int64(2), int64(7), int64(4)}},
		{"NULLIF", coalesceOf(proto.Coalesce_NULLIF, tInt4, x, i(2)), []any{int64(0), int64(1), nil, nil, int64(4)}},
		{"NULLIF of integers of different widths", coalesceOf(proto.Coalesce_NULLIF, tInt4, x, lit(tInt8, int64(2))), []any{int64(0), int64(1), nil, nil, int64(4)}},
		{"GREATEST skips NULL", coalesceOf(proto.Coalesce_GREATEST, tInt4, x, i(2)), []any{int64(2), int64(2), int64(2), int64(2), int64(4)}},
		{"LEAST of NULLs is NULL", coalesceOf(proto.Coalesce_LEAST, tInt4, x, lit(tInt4, nil)), []any{int64(0), int64(1), int64(2), nil, int64(4)}},
		{"ARRAY", typed(types.ArrayOf(types.Int4), &proto.Expr{Node: &proto.Expr_Array{Array: &proto.ArrayExpr{Elems: []*proto.Expr{x, i(9)}}}}),
			[]any{[]any{int64(0), int64(9)}, []any{int64(1), int64(9)}, []any{int64(2), int64(9)}, []any{nil, int64(9)}, []any{int64(4), int64(9)}}},
		{"strict function of a constant NULL", callOf(t, "+", x, lit(tInt4, nil)), []any{nil, nil, nil, nil, nil}},
		{"a constant is spread", callOf(t, "+", i(1), i(2)), []any{int64(3), int64(3), int64(3), int64(3), int64(3)}},
		{"function of a dictionary", callOf(t, "upper", s), []any{"A", nil, "B", "A", "C"}},
		{"CAST", typed(tInt8, &proto.Expr{Node: &proto.Expr_Cast{Cast: &proto.Cast{Arg: x, Explicit: true}}}), []any{int64(0), int64(1), int64(2), nil, int64(4)}},
	} {
		got, err := evalValues(t, c.e, numbers())
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		same(t, c.name, [][]any{got}, [][]any{c.want})
		// The same over a part of the rows.
		sel := []int32{1, 3, 4}
		if got, err = evalValues(t, c.e, numbers().Select(sel)); err != nil {
			t.Errorf("%s, selected: %v", c.name, err)
			continue
		}
		same(t, c.name+", selected", [][]any{got}, [][]any{{c.want[1], c.want[3], c.want[4]}})
	}
	_, err := evalValues(t, inverse, numbers())
	hasCode(t, err, "22012")
	// A constant that fails does so only when a row reaches it.
	broken := callOf(t, "/", i(1), i(0))
	got, err := evalValues(t, caseOf(tInt4, i(5), isOf(proto.IsTest_NULL, i(1), nil), broken), numbers())
	if err != nil || got[0] != int64(5) {
		t.Errorf("unreached constant: %v, %v", got, err)
	}
	_, err = evalValues(t, broken, numbers())
	hasCode(t, err, "22012")
}

// A dictionary entry that no row refers to must not fail.
func TestDictionaryErrors(t *testing.T) {
	d := vector.FromDict(tText, []int32{0, 0, 0, 0, 0, 0}, vector.FromStrings(tText, []string{"12", "bad"}))
	e := typed(tInt4, &proto.Expr{Node: &proto.Expr_Cast{Cast: &proto.Cast{Arg: col(0, tText), Explicit: true}}})
	for range 2 {
		got, err := evalValues(t, e, vector.NewBatch([]*vector.Vector{d}, 6))
		if err != nil || got[5] != int64(12) {
			t.Errorf("%v, %v", got, err)
		}
		d = vector.FromDict(tText, d.Codes, vector.FromStrings(tText, []string{"12", "13"}))
	}
}

// random() gives the same rows however they are cut into batches, and two calls
// differ.
func TestVolatile(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 8))
	tab := randomTable(r, 500, 10, 0, tInt4)
	rnd := func(site uint32) *proto.Expr {
		e := callOf(t, "random")
		e.GetCall().Site = site
		return e
	}
	plan := &proto.Operator{Id: 1, Fields: fieldsOf(tFloat8, tFloat8), Inputs: []*proto.Operator{read(0, tab.ts)},
		Node: &proto.Operator_Project{Project: &proto.Project{Exprs: []*proto.Expr{rnd(1), rnd(2)}}}}
	want := setup{inputs: [][]*vector.Batch{tab.batches(r, 500)}}.must(t, plan)
	for _, limit := range []int{1, 7, 300} {
		same(t, "batches", setup{inputs: [][]*vector.Batch{tab.batches(r, limit)}}.must(t, plan), want)
	}
	seen := map[any]bool{}
	for _, row := range want {
		seen[row[0]], seen[row[1]] = true, true
	}
	if len(seen) != 1000 {
		t.Errorf("%d different values of 1000", len(seen))
	}
}

func TestConst(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	for _, ty := range keyTypes {
		for range 20 {
			x := random(r, ty, 20, 0.2)
			v, err := DecodeConst(ty, EncodeConst(column1(ty, x), 0))
			if err != nil {
				t.Fatalf("%s: %v", ty, err)
			}
			if got := value(v, 0); show([]any{got}) != show([]any{x}) && !(got == 0.0 && math.Signbit(x.(float64))) {
				t.Errorf("%s: %v became %v", ty, x, got)
			}
		}
	}
	fc := &function.Ctx{Context: t.Context()}
	v, err := EvalConst(fc, callOf(t, "+", lit(tInt4, int64(2)), lit(tInt4, int64(3))))
	if err != nil || value(v, 0) != int64(5) {
		t.Errorf("%v, %v", v, err)
	}
	if _, err = EvalConst(fc, callOf(t, "/", lit(tInt4, int64(2)), lit(tInt4, int64(0)))); err == nil {
		t.Error("no error")
	}
}

func TestBrokenPlans(t *testing.T) {
	for _, e := range []*proto.Expr{nil, {}, typed(tInt4, &proto.Expr{}), col(9, tInt4),
		typed(tInt4, &proto.Expr{Node: &proto.Expr_Call{Call: &proto.Call{Function: "no.such()"}}})} {
		_, err := Compile(&Env{}, e, []types.Type{tInt4})
		hasCode(t, err, "XX000")
	}
	_, err := Compile(&Env{}, typed(tInt4, &proto.Expr{Node: &proto.Expr_Call{Call: &proto.Call{Udf: &proto.UDF{Display: "f"}}}}), nil)
	hasCode(t, err, "0A000")
	for _, op := range []*proto.Operator{nil, {}, {Node: &proto.Operator_Limit{Limit: &proto.Limit{}}}} {
		_, err := Build(t.Context(), &Env{}, op)
		hasCode(t, err, "XX000")
	}
}

// Filters keep the rows for which all conjuncts are true, and do not evaluate a
// later one for rows that an earlier one refused.
func TestFilter(t *testing.T) {
	r := rand.New(rand.NewPCG(10, 10))
	tab := randomTable(r, 2000, 30, 0.1, tInt4, tText)
	x := col(0, tInt4)
	cond := boolOf(proto.Bool_AND, callOf(t, "<>", x, lit(tInt4, int64(0))),
		callOf(t, ">", callOf(t, "/", lit(tInt4, int64(100)), x), lit(tInt4, int64(6))))
	plan := &proto.Operator{Id: 1, Fields: fieldsOf(tab.ts...), Inputs: []*proto.Operator{read(0, tab.ts)},
		Node: &proto.Operator_Filter{Filter: &proto.Filter{Cond: cond}}}
	var want [][]any
	for _, row := range tab.rows {
		if n, ok := row[0].(int64); ok && n != 0 && 100/n > 6 {
			want = append(want, row)
		}
	}
	for _, limit := range []int{1, 50, 1000} {
		same(t, "filter", setup{inputs: [][]*vector.Batch{tab.batches(r, limit)}}.must(t, plan), want)
	}
	if len(want) == 0 || slices.Equal(showAll(want), showAll(tab.rows)) {
		t.Error("the test does not select")
	}
}

func BenchmarkFilter(b *testing.B) {
	const n, per = 1 << 22, 1 << 14
	r := rand.New(rand.NewPCG(1, 1))
	var in []*vector.Batch
	for range n / per {
		xs := make([]int64, per)
		for i := range xs {
			xs[i] = r.Int64N(100)
		}
		in = append(in, vector.NewBatch([]*vector.Vector{vector.FromSlice(tInt8, xs), vector.FromSlice(tInt8, xs)}, per))
	}
	ts := []types.Type{tInt8, tInt8}
	plan := &proto.Operator{Id: 1, Fields: fieldsOf(ts...), Inputs: []*proto.Operator{read(0, ts)},
		Node: &proto.Operator_Filter{Filter: &proto.Filter{Cond: callOf(b, "<", col(0, tInt8), lit(tInt8, int64(50)))}}}
	benchmarkPlan(b, plan, n, in)
}
