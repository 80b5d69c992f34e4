package physical

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/udf"
	"github.com/volleydb/volley/vector"
)

// fakeHost runs user code in the test: a scalar function that doubles, and a
// grouped map that emits for each group its rows so far and, at its end, their sum.
type fakeHost struct {
	r      *rand.Rand
	open   int // streams not closed
	calls  int
	failAt int64 // group that fails, -1 = none
}

func (h *fakeHost) Scalar(context.Context, *proto.UDF) (UDFScalar, error) {
	h.open++
	return &fakeScalar{h}, nil
}

type fakeScalar struct{ h *fakeHost }

func (s *fakeScalar) Call(_ context.Context, args []*vector.Vector, n int) (*vector.Vector, error) {
	s.h.calls++
	v := args[0].Flatten()
	out := make([]int64, n)
	for i, x := range widen(v) {
		out[i] = 2 * x
	}
	return vector.FromSlice(tInt8, out).WithValid(v.Valid), nil
}

func (s *fakeScalar) Close() error { s.h.open--; return nil }

func (h *fakeHost) Aggregate(context.Context, *proto.UDF, []types.Type) (function.Aggregator, error) {
	return nil, pgerr.New(pgerr.FeatureNotSupported, "no aggregates here")
}

func (h *fakeHost) GroupedMap(context.Context, *proto.UDF, udf.GroupOptions) (GroupedMapStream, error) {
	h.open++
	h.calls++
	return &fakeGroups{h: h}, nil
}

type fakeGroups struct {
	h      *fakeHost
	group  int64 // the open one
	sum    int64
	out    []*udf.GroupOutput
	closed bool
	rows   []fakeRow
	any    bool
}

type fakeRow struct {
	group int64
	x     int64
	end   bool
}

func (g *fakeGroups) Send(_ context.Context, cols []*vector.Vector, n int, ends []int32) error {
	g.any = true
	vals := widen(cols[0])
	k := 0
	for i := 0; i <= n; i++ {
		for k < len(ends) && int(ends[k]) == i {
			if err := g.end(); err != nil {
				return err
			}
			k++
		}
		if i < n {
			g.sum += vals[i]
			g.rows = append(g.rows, fakeRow{g.group, vals[i], false})
		}
	}
	if g.h.r.IntN(2) == 0 {
		g.flush()
	}
	return nil
}

func (g *fakeGroups) end() error {
	if g.group == g.h.failAt {
		return &udf.CallError{Group: g.group, Row: 3, Err: pgerr.New(pgerr.ExternalRoutineException, "boom")}
	}
	g.rows = append(g.rows, fakeRow{g.group, g.sum, true})
	g.sum = 0
	g.group++
	return nil
}

func (g *fakeGroups) flush() {
	if len(g.rows) == 0 {
		return
	}
	o := &udf.GroupOutput{N: len(g.rows), Base: g.rows[0].group, Done: g.group}
	xs, es := make([]int64, o.N), make([]bool, o.N)
	for i, r := range g.rows {
		o.Groups = append(o.Groups, int32(r.group-o.Base))
		xs[i], es[i] = r.x, r.end
	}
	o.Cols = []*vector.Vector{vector.FromSlice(tInt8, xs), vector.FromSlice(tBool, es)}
	g.out = append(g.out, o)
	g.rows = nil
}

func (g *fakeGroups) CloseSend() error {
	g.closed = true
	if g.group == 0 || g.any {
		if err := g.end(); err != nil {
			return err
		}
	}
	g.flush()
	return nil
}

func (g *fakeGroups) Wait(context.Context) (bool, bool, error) {
	return !g.closed, len(g.out) > 0 || g.closed, nil
}

func (g *fakeGroups) Recv(context.Context) (*udf.GroupOutput, error) {
	if len(g.out) == 0 {
		return nil, io.EOF
	}
	o := g.out[0]
	g.out = g.out[1:]
	return o, nil
}

func (g *fakeGroups) Close() error { g.h.open--; return nil }

func groupedPlan(ts []types.Type, keys int) *proto.Operator {
	g := &proto.GroupedMap{Udf: &proto.UDF{Display: "f", Columns: fieldsOf(tInt8, tBool)}, EmptyGroup: keys == 0}
	out := []types.Type{}
	for k := range keys {
		g.Keys = append(g.Keys, col(k, ts[k]))
		g.KeyNames = append(g.KeyNames, fmt.Sprint("k", k))
		out = append(out, ts[k])
	}
	g.Args = []*proto.Expr{col(keys, ts[keys])}
	return one(&proto.Operator{Fields: fieldsOf(append(out, tInt8, tBool)...), Node: &proto.Operator_GroupedMap{GroupedMap: g}}, 1, read(0, ts))
}

// Every group is one call with all its rows in order, however the input is cut;
// its keys stand before its output.
func TestGroupedMap(t *testing.T) {
	r := rand.New(rand.NewPCG(12, 12))
	for trial := range 60 {
		keys := 1 + r.IntN(2)
		ts := append([]types.Type{tText, tInt4}[:keys:keys], tInt8)
		n := []int{0, 1, 50, 600}[r.IntN(4)]
		tab := table{ts: ts}
		var want [][]any
		group, left, sum := []any(nil), 0, int64(0)
		end := func() {
			if group != nil {
				want = append(want, append(append([]any{}, group...), sum, true))
			}
			sum = 0
		}
		for i := range n {
			if left == 0 {
				end()
				left = 1 + r.IntN(1+r.IntN(100))
				group = []any{fmt.Sprint("g", i), int64(i)}[:keys]
				if i%5 == 0 {
					group[keys-1] = nil
					if keys == 2 {
						group[0] = nil
					}
				}
				if len(tab.rows) > 0 && show(tab.rows[len(tab.rows)-1][:keys]) == show(group) {
					group[0] = "other"
				}
			}
			left--
			x := r.Int64N(100)
			sum += x
			tab.rows = append(tab.rows, append(append([]any{}, group...), x))
			want = append(want, append(append([]any{}, group...), x, false))
		}
		end()
		host := &fakeHost{r: r, failAt: -1}
		s := setup{inputs: [][]*vector.Batch{tab.batches(r, 1+r.IntN(100))}, host: host, rows: 64}
		same(t, fmt.Sprint("trial ", trial), s.must(t, groupedPlan(ts, keys)), want)
		if host.open != 0 || host.calls > 1 || n == 0 && host.calls != 0 {
			t.Errorf("%d streams are open, %d were opened for %d rows", host.open, host.calls, n)
		}
	}
}

func TestGroupedMapEmptyGroup(t *testing.T) {
	host := &fakeHost{r: rand.New(rand.NewPCG(1, 1)), failAt: -1}
	got := setup{inputs: [][]*vector.Batch{nil}, host: host}.must(t, groupedPlan([]types.Type{tInt8}, 0))
	if host.calls != 1 || len(got) == 0 {
		t.Errorf("%d calls, %v", host.calls, showAll(got))
	}
}

func TestGroupedMapError(t *testing.T) {
	ts := []types.Type{tText, tInt8}
	tab := table{ts: ts, rows: [][]any{{"a", int64(1)}, {"b", int64(1)}, {nil, int64(2)}, {"c", int64(2)}}}
	r := rand.New(rand.NewPCG(1, 1))
	for failAt, key := range []string{"k0 = a", "k0 = b", "k0 = NULL", "k0 = c"} {
		host := &fakeHost{r: r, failAt: int64(failAt)}
		_, err := setup{inputs: [][]*vector.Batch{tab.batches(r, 2)}, host: host}.run(t, groupedPlan(ts, 1))
		hasCode(t, err, "38000")
		if where := pgerr.From(err).Where; !strings.Contains(where, key) {
			t.Errorf("where %q, want %q", where, key)
		}
		if host.open != 0 {
			t.Error("the stream is open")
		}
	}
}

func TestUDFScalar(t *testing.T) {
	host := &fakeHost{r: rand.New(rand.NewPCG(1, 1)), failAt: -1}
	s := sequence(30)
	s.host = host
	call := typed(tInt8, &proto.Expr{Node: &proto.Expr_Call{Call: &proto.Call{Udf: &proto.UDF{Display: "twice"}, Args: []*proto.Expr{col(0, tInt4)}}}})
	s.stats = NewRecorder()
	got := s.must(t, one(&proto.Operator{Fields: fieldsOf(tInt8), Node: &proto.Operator_Project{Project: &proto.Project{Exprs: []*proto.Expr{call}}}}, 1, read(0, []types.Type{tInt4})))
	if len(got) != 30 || got[7][0] != int64(14) || host.open != 0 {
		t.Errorf("%v, %d open", showAll(got), host.open)
	}
	if st := s.stats.Stats()[0]; st.UdfCalls != int64(host.calls) || st.Rows != 30 {
		t.Errorf("stats %v", st)
	}
}
