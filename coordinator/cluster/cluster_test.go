package cluster

import (
	"bytes"
	"context"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/volleydb/volley/exchange"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/worker"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const rowsPerTask = 20_000

// One task on the embedded worker streams: no store, and closing early stops it.
func TestDirect(t *testing.T) {
	e := newEnv(t, Config{RunLocally: true})
	r := e.start(e.one())
	if b, err := r.Next(context.Background()); err != nil || b.Rows() != 1000 {
		t.Fatal(b, err)
	}
	if _, _, n := e.local.Store().Usage(); n != 0 || e.f.running.Load() != 1 {
		t.Errorf("%d outputs, %d running", n, e.f.running.Load())
	}
	r.Close()
	r.Close()
	if e.f.running.Load() != 0 {
		t.Error("the pipeline was not closed")
	}
	if _, err := r.Next(context.Background()); pgerr.Code(err) != pgerr.QueryCanceled {
		t.Errorf("Next after Close: %v", err)
	}
	r = e.start(e.one())
	rows, err := read(r, nil)
	if err != nil || len(rows) != rowsPerTask {
		t.Fatal(len(rows), err)
	}
	if s := r.Stats()[1]; s.Rows != rowsPerTask || r.Progress() != 1 {
		t.Error(s, r.Progress())
	}
	r.Close()
}

// Local streams batches while the query runs, in task order.
func TestEmbeddedStages(t *testing.T) {
	e := newEnv(t, Config{RunLocally: true})
	p := e.plan(4, 3)
	r := e.start(p)
	rows, err := read(r, nil)
	e.same(p, rows, err)
	st := r.Stats()
	for stage := uint32(1); stage <= 3; stage++ {
		if st[stage].Rows != 4*rowsPerTask || st[stage].PeakMemory != 7 {
			t.Errorf("stage %d: %v", stage, st[stage])
		}
	}
	r.Close()
	if len(e.c.Queries()) != 0 {
		t.Error("the query is still listed")
	}
}

// Three workers over gRPC give the rows that one process gives, in its order.
func TestRemote(t *testing.T) {
	e := newEnv(t, Config{})
	var nodes []*node
	for _, id := range []string{"a", "b", "c"} {
		nodes = append(nodes, e.join(id, nil))
	}
	p := e.plan(6, 5)
	r := e.start(p)
	rows, err := read(r, nil)
	r.Close()
	e.same(p, rows, err)
	if e.f.started.Load() != 0 {
		t.Error("the embedded worker ran something")
	}
	for _, n := range nodes {
		if n.f.started.Load() == 0 {
			t.Error("a worker had nothing to do")
		}
		e.wait("outputs to be freed", func() bool { m, d, k := n.st.Usage(); return m+d+int64(k) == 0 && n.w.Idle() })
	}
}

// Closing a query ends its tasks everywhere, promptly.
func TestCancel(t *testing.T) {
	e := newEnv(t, Config{})
	e.f.hook = func(ctx context.Context, task *worker.Task, batch int) error {
		if task.Key.Stage == 2 {
			<-ctx.Done()
		}
		return nil
	}
	a := e.join("a", nil)
	for range 3 {
		r := e.start(e.plan(3, 2))
		e.wait("stage 2", func() bool { q := e.c.Queries(); return len(q) == 1 && q[0].Stages[1].Running > 0 })
		if p := r.Progress(); p <= 0 || p >= 1 {
			t.Errorf("progress %v", p)
		}
		got := make(chan error)
		go func() { _, err := r.Next(context.Background()); got <- err }()
		start := time.Now()
		r.Close()
		if d := time.Since(start); d > time.Second {
			t.Errorf("Close took %v", d)
		}
		if err := <-got; pgerr.Code(err) != pgerr.QueryCanceled {
			t.Errorf("Next: %v", err)
		}
		if n := a.f.running.Load(); n != 0 {
			t.Errorf("%d tasks still run after Close", n)
		}
		if m, d, n := a.st.Usage(); m+d+int64(n) != 0 {
			t.Errorf("%d outputs left", n)
		}
	}
	r := e.start(e.plan(3, 2))
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := r.Next(ctx); pgerr.Code(err) != pgerr.QueryCanceled {
		t.Errorf("Next: %v", err)
	}
	r.Close()
}

// Without workers a coordinator still answers what needs none, and says what is
// missing for the rest.
func TestNoWorkers(t *testing.T) {
	e := newEnv(t, Config{NoWorkerWait: 50 * time.Millisecond})
	r := e.start(e.plan(1, 1))
	_, err := read(r, nil)
	r.Close()
	if pe := pgerr.From(err); pe == nil || pe.Code != pgerr.CannotConnectNow || pe.Hint == "" {
		t.Fatalf("%+v", pe)
	}
	p := e.one()
	p.Stages[0].Root = &proto.Operator{Node: &proto.Operator_Values{Values: &proto.Values{}}}
	r = e.start(p)
	defer r.Close()
	if rows, err := read(r, nil); err != nil || len(rows) != rowsPerTask {
		t.Fatal(len(rows), err)
	}
}

// Stages over catalog tables stay with the coordinator; workers read their
// output from it.
func TestMixedPlan(t *testing.T) {
	for _, reachable := range []bool{false, true} {
		e := newEnv(t, Config{})
		if reachable {
			e.c.cfg.ExchangeAddress = e.addr
			e.c.mu.Lock()
			e.c.handle(schedulerUp(e))
			e.c.mu.Unlock()
		}
		n := e.join("a", nil)
		p := e.plan(2, 2)
		p.Stages[0].CoordinatorOnly = true
		r := e.start(p)
		rows, err := read(r, nil)
		r.Close()
		e.same(p, rows, err)
		if remote := n.f.started.Load() > 0; remote != reachable || e.f.started.Load() == 0 {
			t.Errorf("reachable %v: %d tasks on the worker, %d here", reachable, n.f.started.Load(), e.f.started.Load())
		}
	}
}

// A draining worker finishes, keeps its outputs while they are needed, and goes.
func TestDrain(t *testing.T) {
	e := newEnv(t, Config{})
	release := make(chan struct{})
	e.f.hook = func(ctx context.Context, task *worker.Task, batch int) error {
		if task.Key.Query == "q1" && batch == 1 {
			select {
			case <-release:
			case <-ctx.Done():
			}
		}
		return nil
	}
	a, b := e.join("a", nil), e.join("b", nil)
	p := e.plan(4, 2)
	r := e.start(p)
	defer r.Close()
	e.wait("tasks", func() bool { return a.f.running.Load() == 2 && b.f.running.Load() == 2 })
	drained := make(chan struct{})
	go func() { defer close(drained); a.w.Drain(context.Background()) }()
	e.wait("the drain to be known", func() bool { return e.state("a") == "draining" })
	close(release)
	rows, err := read(r, nil)
	r.Close()
	e.same(p, rows, err)
	<-drained
	<-a.done
	if n := a.f.started.Load(); n != 2 {
		t.Errorf("the draining worker started %d tasks", n)
	}
	if n := a.f.started.Load() + b.f.started.Load(); n != 8 {
		t.Errorf("%d attempts for 8 tasks: the drain cost work", n)
	}
}

type artifacts struct{ fetched, pins atomic.Int64 }

func (a *artifacts) Pin(string) func() {
	a.pins.Add(1)
	return func() { a.pins.Add(-1) }
}

func (a *artifacts) Ensure(ctx context.Context, digest string, fetch func(context.Context, io.Writer) ([]byte, error)) (string, error) {
	var buf bytes.Buffer
	signatures, err := fetch(ctx, &buf)
	if err != nil {
		return "", err
	}
	if a.pins.Load() == 0 || string(signatures) != "signed" {
		return "", pgerr.New(pgerr.InternalError, "%d pins, signatures %q", a.pins.Load(), signatures)
	}
	a.fetched.Add(int64(buf.Len()))
	return "/dir/" + digest, nil
}

// Artifacts travel from the coordinator before the task that needs them runs.
func TestArtifacts(t *testing.T) {
	content := bytes.Repeat([]byte("plugin"), 200_000)
	e := newEnv(t, Config{Artifacts: func(_ context.Context, digest string) (io.ReadCloser, []byte, error) {
		if digest != "d1" {
			return nil, nil, pgerr.New(pgerr.UndefinedObject, "artifact %s does not exist", digest)
		}
		return io.NopCloser(bytes.NewReader(content)), []byte("signed"), nil
	}})
	dirs := make(chan string, 10)
	e.f.hook = func(_ context.Context, task *worker.Task, batch int) error {
		if task.Key.Stage == 2 && batch == 0 {
			dirs <- task.ArtifactDir("d1")
		}
		return nil
	}
	arts := &artifacts{}
	e.join("a", func(c *worker.Config) { c.Artifacts = arts })
	for _, digest := range []string{"d1", "d2"} {
		p := e.plan(1, 1)
		call := &proto.Expr{Node: &proto.Expr_Call{Call: &proto.Call{Udf: &proto.UDF{Digest: digest}}}}
		p.Stages[1].Root = &proto.Operator{
			Inputs: []*proto.Operator{p.Stages[1].Root},
			Node:   &proto.Operator_Filter{Filter: &proto.Filter{Cond: &proto.Expr{Node: &proto.Expr_Bool{Bool: &proto.Bool{Args: []*proto.Expr{call}}}}}},
		}
		r := e.start(p)
		_, err := read(r, nil)
		r.Close()
		if digest == "d2" {
			if pgerr.Code(err) != pgerr.UndefinedObject {
				t.Errorf("missing artifact: %v", err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if d := <-dirs; d != "/dir/d1" || arts.fetched.Load() != int64(len(content)) {
			t.Errorf("dir %q, %d bytes", d, arts.fetched.Load())
		}
		e.wait("the artifact is let go", func() bool { return arts.pins.Load() == 0 })
	}
}

// Closing the cluster fails what runs with 57P01.
func TestShutdown(t *testing.T) {
	e := newEnv(t, Config{})
	e.f.hook = func(ctx context.Context, _ *worker.Task, _ int) error { <-ctx.Done(); return pgerr.From(ctx.Err()) }
	e.join("a", nil)
	r := e.start(e.plan(1, 1))
	direct, err := e.c.Run(context.Background(), e.one(), Options{ForceEmbedded: true})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(e.c.Queries()); n != 2 {
		t.Errorf("%d queries listed", n)
	}
	got := make(chan error)
	go func() { _, err := read(direct, nil); got <- err }()
	if err := e.c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-got; pgerr.Code(err) != pgerr.AdminShutdown {
		t.Error(err)
	}
	if _, err := read(r, nil); pgerr.Code(err) != pgerr.AdminShutdown {
		t.Error(err)
	}
	r.Close()
	direct.Close()
	if _, err := e.c.Run(context.Background(), e.plan(1, 1), Options{}); pgerr.Code(err) != pgerr.AdminShutdown {
		t.Error(err)
	}
}

func BenchmarkDirect(b *testing.B) {
	f := &fake{}
	st, err := exchange.NewStore(exchange.StoreConfig{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	w, err := worker.New(worker.Config{ID: "e", Store: st, Runner: f.run})
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	c, err := New(Config{Embedded: w, RunLocally: true})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	e := &env{c: c}
	p := e.one()
	for b.Loop() {
		r, err := c.Run(context.Background(), p, Options{})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := r.Next(context.Background()); err != nil {
			b.Fatal(err)
		}
		r.Close()
	}
}
