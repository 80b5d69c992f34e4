package udf

import (
	"strings"
	"testing"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

func aggRef(symbol string, returns types.ID, args ...types.ID) *proto.UDF {
	return ref(symbol, function.Aggregate, typeList(args...), types.T(returns))
}

func TestAggregate(t *testing.T) {
	h := testHost(t, nil)
	ctx := testContext(t)
	newMean := func() function.Aggregator {
		a, err := h.Aggregate(ctx, aggRef("mean", types.Float8, types.Float8), typeList(types.Float8))
		if err != nil {
			t.Fatal(detail(err))
		}
		return a
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(detail(err))
		}
	}
	a, b := newMean(), newMean()
	a.Grow(3)
	must(a.Update([]int32{0, 1, 0, 1}, []*vector.Vector{nulls(floats(1, 2, 3, 100), 3)}, 4))
	b.Grow(2)
	must(b.Update([]int32{1, 1, 0}, []*vector.Vector{floats(4, 6, 8)}, 3))
	v, err := a.Final(0, 3)
	must(err)
	if got := show(v); got != "2 2 NULL" {
		t.Error(got)
	}
	// b's group 0 into a's group 2, its group 1 into a's group 1.
	st, err := b.State(0, 2)
	must(err)
	must(a.Merge([]int32{2, 1}, st, 2))
	v, err = a.Final(0, 3)
	must(err)
	if got := show(v); got != "2 4 8" {
		t.Error(got)
	}
	v, err = a.Final(1, 2)
	must(err)
	if got := show(v); got != "4" {
		t.Error(got)
	}
	if a.Size() <= 0 {
		t.Error("no size")
	}
	must(a.Close())
	must(b.Close())

	// All rows in one group, many pieces; and many groups.
	a = newMean()
	a.Grow(1)
	xs := make([]float64, 200_000)
	for i := range xs {
		xs[i] = float64(i)
	}
	must(a.Update(nil, []*vector.Vector{floats(xs...)}, len(xs)))
	v, err = a.Final(0, 1)
	must(err)
	if got := vector.At[float64](v, 0); got != 99999.5 {
		t.Error(got)
	}
	groups := make([]int32, len(xs))
	for i := range groups {
		groups[i] = int32(i) / 2
	}
	b = newMean()
	b.Grow(len(xs) / 2)
	must(b.Update(groups, []*vector.Vector{floats(xs...)}, len(xs)))
	v, err = b.Final(0, len(xs)/2)
	must(err)
	for i, m := range vector.Values[float64](v) {
		if m != float64(2*i)+0.5 {
			t.Fatalf("group %d: %v", i, m)
		}
	}
	states, err := b.State(0, len(xs)/2)
	must(err)
	if states[0].Len != len(xs)/2 {
		t.Error(states[0].Len)
	}
	must(a.Close())
	must(b.Close())
}

// A state with pointers, an error in a step, and states of another aggregate.
func TestAggregateStates(t *testing.T) {
	h := testHost(t, nil)
	ctx := testContext(t)
	r := aggRef("join_words", types.Text, types.Text, types.Text)
	open := func() function.Aggregator {
		a, err := h.Aggregate(ctx, r, typeList(types.Text, types.Text))
		if err != nil {
			t.Fatal(detail(err))
		}
		t.Cleanup(func() { a.Close() })
		return a
	}
	a, b := open(), open()
	a.Grow(1)
	b.Grow(1)
	a.Update(nil, []*vector.Vector{texts("x", "y"), vector.NewConst(texts(","), 2)}, 2)
	b.Update(nil, []*vector.Vector{texts("z"), texts(".")}, 1)
	st, err := b.State(0, 1)
	if err != nil {
		t.Fatal(detail(err))
	}
	a.Merge(nil, st, 1)
	v, err := a.Final(0, 1)
	if err != nil || show(v) != `"x,y,z."` {
		t.Error(show(v), detail(err))
	}
	b.Update(nil, []*vector.Vector{texts("q", "bad"), texts(".", ".")}, 2)
	_, err = b.Final(0, 1)
	if d := detail(err); pgerr.Code(err) != "38000" || !strings.Contains(d, "bad word") || !strings.Contains(d, "'bad', '.'") || !strings.Contains(d, "row 2,") {
		t.Error(d)
	}
	c := open()
	c.Grow(1)
	c.Merge(nil, []*vector.Vector{vector.FromStrings(types.T(types.Bytea), []string{"\x01garbage"})}, 1)
	if _, err = c.Final(0, 1); pgerr.Code(err) != "39000" {
		t.Error(detail(err))
	}
}
