package worker

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/volleydb/volley/exchange"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/vector"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Artifacts are found wherever a UDF may stand in a plan.
func TestDigests(t *testing.T) {
	udf := func(d string) *proto.UDF { return &proto.UDF{Digest: d} }
	call := func(d string) *proto.Expr {
		return &proto.Expr{Node: &proto.Expr_Call{Call: &proto.Call{Udf: udf(d)}}}
	}
	st := &proto.Stage{Root: &proto.Operator{
		Node: &proto.Operator_GroupedMap{GroupedMap: &proto.GroupedMap{Udf: udf("map"), Args: []*proto.Expr{
			{Node: &proto.Expr_Case{Case: &proto.Case{Whens: []*proto.When{{Cond: call("cond"), Result: call("map")}}, Else: call("else")}}},
		}}},
		Inputs: []*proto.Operator{
			{Node: &proto.Operator_Aggregate{Aggregate: &proto.Aggregate{Calls: []*proto.AggCall{{Udf: udf("agg"), Filter: call("filter")}}}}},
			{Node: &proto.Operator_Window{Window: &proto.Window{Calls: []*proto.WindowCall{{Udf: udf("win")}}, OrderBy: []*proto.SortKey{{Expr: call("key")}}}}},
			{Node: &proto.Operator_ProjectSet{ProjectSet: &proto.ProjectSet{Calls: []*proto.Call{{Udf: udf("set")}}}}},
			{Node: &proto.Operator_TableFunction{TableFunction: &proto.TableFunction{Udf: udf("table")}}},
			{Node: &proto.Operator_Scan{Scan: &proto.Scan{Filter: call("pushed")}}},
			{Node: &proto.Operator_Values{Values: &proto.Values{Rows: []*proto.Row{{Exprs: []*proto.Expr{call(""), call("values")}}}}}},
		},
	}}
	want := []string{"agg", "cond", "else", "filter", "key", "map", "pushed", "set", "table", "values", "win"}
	if got := Digests(st); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := Digests(&proto.Stage{}); got != nil {
		t.Errorf("empty stage: %v", got)
	}
}

type blocking struct{ opened chan struct{} }

func (b *blocking) Next(ctx context.Context) (*vector.Batch, error) {
	close(b.opened)
	<-ctx.Done()
	return nil, pgerr.From(ctx.Err())
}
func (*blocking) Keys(*vector.Batch) ([]*vector.Vector, error) { return nil, nil }
func (*blocking) Stats() []*proto.OperatorStats                { return nil }
func (*blocking) Progress() float64                            { return 0 }
func (*blocking) Close() error                                 { return nil }

// A task that comes after its query was dropped is refused; one that came twice
// runs once; a dropped query leaves nothing.
func TestLateAndDuplicateTasks(t *testing.T) {
	st, err := exchange.NewStore(exchange.StoreConfig{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	opened := make(chan struct{})
	w, err := New(Config{ID: "w", Store: st, Runner: func(context.Context, *Task) (Pipeline, error) {
		return &blocking{opened}, nil // closed a second time it would panic
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	task := func() *proto.RunTask {
		return &proto.RunTask{Id: &proto.TaskID{Query: "q"}, Stage: &proto.Stage{}, Context: &proto.QueryContext{}}
	}
	reports := make(chan *proto.TaskReport, 10)
	report := func(r *proto.TaskReport) { reports <- r }
	w.Start(task(), nil, report)
	w.Start(task(), nil, report)
	<-opened
	if r := w.Reports(); len(r) != 1 || r[0].State != proto.TaskReport_STARTED || w.Idle() {
		t.Errorf("reports: %v", r)
	}
	w.Drop("q")
	if r := <-reports; r.State != proto.TaskReport_FAILED || r.Error.Code != pgerr.QueryCanceled {
		t.Errorf("dropped: %v", r)
	}
	w.Start(task(), nil, report)
	if r := <-reports; r.State != proto.TaskReport_FAILED || r.Error.Code != pgerr.QueryCanceled {
		t.Errorf("late: %v", r)
	}
	if _, _, n := st.Usage(); n != 0 || !w.Idle() || len(reports) != 0 {
		t.Errorf("%d outputs, idle %v, %d more reports", n, w.Idle(), len(reports))
	}
	// A stage that was never sent is the sender's fault, and may pass.
	r := task()
	r.Id.Query, r.Stage = "p", nil
	w.Start(r, nil, report)
	if r := <-reports; r.Error.GetClass() != uint32(pgerr.Transient) {
		t.Errorf("without stage: %v", r)
	}
	w.Drop("p")
}

// stubborn ends some time after its context.
type stubborn struct {
	blocking
	release chan struct{}
}

func (s *stubborn) Next(ctx context.Context) (*vector.Batch, error) {
	b, err := s.blocking.Next(ctx)
	<-s.release
	return b, err
}

// finished is a pipeline without rows.
type finished struct{ blocking }

func (*finished) Next(context.Context) (*vector.Batch, error) { return nil, nil }

// A worker whose lease was lost comes back and gets tasks of a query that it is
// still ending: they run once that is done, with outputs that stay.
func TestTaskWhileDropping(t *testing.T) {
	st, err := exchange.NewStore(exchange.StoreConfig{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	opened, release := make(chan struct{}), make(chan struct{})
	w, err := New(Config{ID: "w", Store: st, Runner: func(_ context.Context, t *Task) (Pipeline, error) {
		if t.Key.Attempt > 0 {
			return &finished{}, nil
		}
		return &stubborn{blocking{opened}, release}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	task := func(attempt uint32) *proto.RunTask {
		return &proto.RunTask{Id: &proto.TaskID{Query: "q", Attempt: attempt}, Stage: &proto.Stage{}, Context: &proto.QueryContext{}}
	}
	reports := make(chan *proto.TaskReport, 10)
	report := func(r *proto.TaskReport) { reports <- r }
	w.Start(task(0), nil, report)
	<-opened
	dropped := make(chan struct{})
	go func() { defer close(dropped); w.dropAll() }()
	for len(w.Reports()) > 0 {
		time.Sleep(time.Millisecond)
	}
	w.Start(task(1), nil, report)
	close(release)
	<-dropped
	states := map[uint32]proto.TaskReport_State{}
	for len(states) < 2 {
		select {
		case r := <-reports:
			states[r.Id.Attempt] = r.State
		case <-time.After(5 * time.Second):
			t.Fatalf("reports: %v", states)
		}
	}
	if states[0] != proto.TaskReport_FAILED || states[1] != proto.TaskReport_SEALED {
		t.Errorf("states %v", states)
	}
	if _, err := st.Open(exchange.TaskKey{Query: "q", Attempt: 1}, 0); err != nil {
		t.Errorf("the new output: %v", err)
	}
	w.Drop("q")
}
