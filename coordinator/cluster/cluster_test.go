package cluster

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/volleydb/volley/exchange"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
	"github.com/volleydb/volley/worker"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const rowsPerTask = 20_000

// fake is a Runner that needs no operators. A stage without inputs generates
// rows, one with inputs passes on the rows of all of them.
type fake struct {
	hook    func(ctx context.Context, t *worker.Task, batch int) error // before each batch
	running atomic.Int64
	started atomic.Int64
}

func (f *fake) run(ctx context.Context, t *worker.Task) (worker.Pipeline, error) {
	f.running.Add(1)
	f.started.Add(1)
	p := &fakePipe{f: f, t: t}
	for _, in := range t.Run.Stage.Inputs {
		srcs, err := t.Exchange(ctx, &proto.ExchangeRead{Stage: in})
		if err != nil {
			f.running.Add(-1)
			return nil, err
		}
		p.srcs = append(p.srcs, srcs...)
	}
	return p, nil
}

type fakePipe struct {
	f      *fake
	t      *worker.Task
	srcs   []exchange.Source
	batch  int
	rows   atomic.Int64
	closed bool
}

func (p *fakePipe) Next(ctx context.Context) (*vector.Batch, error) {
	if err := ctx.Err(); err != nil {
		return nil, pgerr.From(err)
	}
	if p.f.hook != nil {
		if err := p.f.hook(ctx, p.t, p.batch); err != nil {
			return nil, err
		}
	}
	p.batch++
	if len(p.t.Run.Stage.Inputs) == 0 {
		const size = 1000
		at := (p.batch - 1) * size
		if at >= rowsPerTask {
			return nil, nil
		}
		xs := make([]int64, size)
		for i := range xs {
			xs[i] = int64(int(p.t.Key.Task)*rowsPerTask + at + i)
		}
		p.rows.Add(size)
		return vector.NewBatch([]*vector.Vector{vector.FromSlice(types.T(types.Int8), xs)}, size), nil
	}
	for len(p.srcs) > 0 {
		b, err := p.srcs[0].Next(ctx)
		if err != nil {
			return nil, err
		}
		if b != nil {
			p.rows.Add(int64(b.Rows()))
			return b, nil
		}
		if err := p.srcs[0].Close(); err != nil {
			return nil, err
		}
		p.srcs = p.srcs[1:]
	}
	return nil, nil
}

func (p *fakePipe) Keys(b *vector.Batch) ([]*vector.Vector, error) {
	return []*vector.Vector{b.Col(0)}, nil
}

func (p *fakePipe) Stats() []*proto.OperatorStats {
	return []*proto.OperatorStats{{Id: p.t.Key.Stage, Rows: p.rows.Load(), PeakMemory: 7}}
}

func (p *fakePipe) Progress() float64 { return 0.5 }

func (p *fakePipe) Close() error {
	if p.closed {
		return pgerr.New(pgerr.InternalError, "closed twice")
	}
	p.closed = true
	for _, s := range p.srcs {
		_ = s.Close()
	}
	p.f.running.Add(-1)
	return nil
}

// node is a remote worker.
type node struct {
	w    *worker.Worker
	f    *fake
	kill func() // abruptly
	done chan struct{}
	st   *exchange.Store
	net  *tracked
}

type env struct {
	t       *testing.T
	c       *Cluster
	local   *worker.Worker
	f       *fake
	addr    string
	conns   *connTracker
	serials int
	query   int

	lostAfter time.Duration // of workers' leases; 0 = default
}

// connTracker can cut every connection of a server without a goodbye.
type connTracker struct {
	net.Listener
	mu    sync.Mutex
	conns []net.Conn
}

func (l *connTracker) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.mu.Lock()
		l.conns = append(l.conns, c)
		l.mu.Unlock()
	}
	return c, err
}

func (l *connTracker) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		_ = c.(*net.TCPConn).SetLinger(0) // a reset, as after SIGKILL
		_ = c.Close()
	}
	l.conns = nil
}

func listen(t *testing.T) *connTracker {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return &connTracker{Listener: l}
}

func serve(g *grpc.Server, l net.Listener) (stop func()) {
	done := make(chan struct{})
	go func() { defer close(done); _ = g.Serve(l) }()
	return func() { g.Stop(); <-done }
}

func newStore(t *testing.T, incarnation string) *exchange.Store {
	s, err := exchange.NewStore(exchange.StoreConfig{Dir: t.TempDir(), Incarnation: incarnation, Memory: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newEnv(t *testing.T, cfg Config) *env {
	f := &fake{}
	return newEnvOf(t, cfg, f, f.run)
}

func newEnvOf(t *testing.T, cfg Config, f *fake, run worker.Runner) *env {
	e := &env{t: t, f: f, conns: listen(t)}
	st := newStore(t, "coordinator")
	w, err := worker.New(worker.Config{ID: "embedded", Slots: 2, Store: st, Runner: run})
	if err != nil {
		t.Fatal(err)
	}
	e.local, cfg.Embedded, e.addr = w, w, e.conns.Addr().String()
	if e.c, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer(exchange.ServerOptions()...)
	e.c.Serve(g)
	w.Serve(g)
	stop := serve(g, e.conns)
	t.Cleanup(func() {
		if err := e.c.Close(); err != nil {
			t.Error(err)
		}
		stop()
		_ = w.Close()
		if m, d, n := st.Usage(); m != 0 || d != 0 || n != 0 {
			t.Errorf("embedded store: %d bytes, %d on disk, %d outputs left", m, d, n)
		}
		_ = st.Close()
	})
	return e
}

// join starts a remote worker and waits until it is a member.
func (e *env) join(id string, change func(*worker.Config)) *node {
	e.t.Helper()
	e.serials++
	n := &node{f: &fake{hook: e.f.hook}, done: make(chan struct{}), st: newStore(e.t, fmt.Sprint(id, "-", e.serials))}
	l := listen(e.t)
	cfg := worker.Config{ID: id, Slots: 2, Store: n.st, Runner: n.f.run, ExchangeAddress: l.Addr().String(), Version: "test"}
	if change != nil {
		change(&cfg)
	}
	var err error
	if n.w, err = worker.New(cfg); err != nil {
		e.t.Fatal(err)
	}
	g := grpc.NewServer(exchange.ServerOptions()...)
	n.w.Serve(g)
	stop := serve(g, l)
	ctx, cancel := context.WithCancel(context.Background())
	dialer := &tracked{}
	n.net = dialer
	go func() {
		defer close(n.done)
		_ = n.w.Connect(ctx, worker.ConnectConfig{Address: e.addr, Renew: 50 * time.Millisecond, LostAfter: e.lostAfter, Dial: dialer.options()})
	}()
	n.kill = sync.OnceFunc(func() {
		dialer.cut()
		l.cut()
		stop()
		cancel()
		_ = n.w.Close()
		<-n.done
		_ = n.st.Close()
	})
	e.t.Cleanup(n.kill)
	e.wait("worker "+id+" to join", func() bool { return e.state(id) == "up" })
	return n
}

func (e *env) state(id string) string {
	for _, w := range e.c.Workers() {
		if w.ID == id {
			return w.State
		}
	}
	return "gone"
}

func (e *env) wait(what string, ok func() bool) {
	e.t.Helper()
	for end := time.Now().Add(8 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			e.t.Fatalf("waited in vain for %s", what)
		}
	}
}

// plan is generate × tasks → hash → pass × parts → hash → pass × parts.
func (e *env) plan(tasks, parts uint32) *proto.Plan {
	e.query++
	hash := &proto.Partitioning{Kind: proto.Partitioning_HASH, Count: 16}
	scan := &proto.Operator{Node: &proto.Operator_Scan{Scan: &proto.Scan{}}}
	read := &proto.Operator{Node: &proto.Operator_ExchangeRead{ExchangeRead: &proto.ExchangeRead{}}}
	return &proto.Plan{
		Context: &proto.QueryContext{QueryId: fmt.Sprint("q", e.query)},
		Stages: []*proto.Stage{
			{Id: 1, Root: scan, Tasks: tasks, Output: hash},
			{Id: 2, Root: read, Tasks: parts, Inputs: []uint32{1}, Output: hash},
			{Id: 3, Root: read, Tasks: parts, Inputs: []uint32{2}, Output: &proto.Partitioning{Kind: proto.Partitioning_RESULT}},
		},
	}
}

func (e *env) one() *proto.Plan {
	p := e.plan(1, 1)
	p.Stages = p.Stages[:1]
	p.Stages[0].Output = &proto.Partitioning{Kind: proto.Partitioning_RESULT}
	return p
}

func (e *env) start(p *proto.Plan) *Running {
	e.t.Helper()
	r, err := e.c.Run(context.Background(), p, Options{})
	if err != nil {
		e.t.Fatal(err)
	}
	return r
}

// read returns the rest of the rows.
func read(r *Running, each func(rows int)) ([]int64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var out []int64
	for {
		b, err := r.Next(ctx)
		if err != nil || b == nil {
			return out, err
		}
		out = append(out, vector.Values[int64](b.Col(0))...)
		if each != nil {
			each(len(out))
		}
	}
}

// expected runs the plan undisturbed in one process.
func (e *env) expected(p *proto.Plan) []int64 {
	e.t.Helper()
	other := newEnv(e.t, Config{RunLocally: true})
	r := other.start(p)
	defer r.Close()
	rows, err := read(r, nil)
	if err != nil {
		e.t.Fatal(err)
	}
	if n := int(p.Stages[0].Tasks) * rowsPerTask; len(rows) != n {
		e.t.Fatalf("%d rows, want %d", len(rows), n)
	}
	return rows
}

func (e *env) same(p *proto.Plan, got []int64, err error) {
	e.t.Helper()
	if err != nil {
		e.t.Fatal(err)
	}
	if want := e.expected(p); !slices.Equal(got, want) {
		e.t.Fatalf("%d rows that differ from the %d of an undisturbed run", len(got), len(want))
	}
}

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

// A worker that is killed in the middle costs a part of the work, not the result.
func TestKill(t *testing.T) {
	for _, at := range []struct {
		name  string
		stage uint32
		batch int
	}{{"first stage", 1, 5}, {"outputs sealed", 2, 3}, {"result stage", 3, 2}} {
		t.Run(at.name, func(t *testing.T) {
			e := newEnv(t, Config{})
			hit, killed := make(chan struct{}), make(chan struct{})
			var once sync.Once
			e.f.hook = func(ctx context.Context, task *worker.Task, batch int) error {
				if task.Key.Stage == at.stage && batch == at.batch && task.Key.Query == "q1" {
					once.Do(func() { close(hit) })
					select { // everybody waits for the kill
					case <-killed:
					case <-ctx.Done():
					}
				}
				return nil
			}
			nodes := []*node{e.join("a", nil), e.join("b", nil), e.join("c", nil)}
			p := e.plan(6, 6)
			r := e.start(p)
			defer r.Close()
			go func() {
				<-hit
				for end := time.Now().Add(2 * time.Second); nodes[0].f.running.Load() == 0 && time.Now().Before(end); {
					time.Sleep(time.Millisecond)
				}
				nodes[0].kill()
				close(killed)
			}()
			rows, err := read(r, nil)
			if e.state("a") != "gone" {
				t.Error("the loss was not noticed")
			}
			e.same(p, rows, err)
			if n := nodes[0].f.started.Load() + nodes[1].f.started.Load() + nodes[2].f.started.Load(); n <= 18 {
				t.Errorf("%d attempts for 18 tasks: nothing was repeated", n)
			}
		})
	}
}

// A worker may be lost while its output is being read: the client gets every row
// once.
func TestKillWhileReading(t *testing.T) {
	e := newEnv(t, Config{})
	nodes := []*node{e.join("a", nil), e.join("b", nil)}
	p := e.plan(8, 4)
	r := e.start(p)
	defer r.Close()
	var once sync.Once
	rows, err := read(r, func(n int) {
		if n > rowsPerTask {
			once.Do(nodes[0].kill)
		}
	})
	e.same(p, rows, err)
}

// A volatile result whose rows were sent in part cannot be repeated: 40001.
func TestKillVolatileWhileReading(t *testing.T) {
	e := newEnv(t, Config{})
	nodes := []*node{e.join("a", nil), e.join("b", nil)}
	p := e.plan(8, 1)
	for _, s := range p.Stages {
		s.Volatile = true
	}
	r := e.start(p)
	defer r.Close()
	var once sync.Once
	rows, err := read(r, func(int) { once.Do(func() { nodes[0].kill(); nodes[1].kill(); e.join("c", nil) }) })
	if pgerr.Code(err) != pgerr.SerializationFailure {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
}

// A session that breaks is not the end of the worker: it comes back with what it
// has, nothing is lost and nothing runs twice for nothing.
func TestReconnect(t *testing.T) {
	e := newEnv(t, Config{})
	var cuts atomic.Int64
	e.f.hook = func(_ context.Context, task *worker.Task, batch int) error {
		if batch == 2 && task.Key.Query == "q1" && cuts.Add(1)%4 == 1 {
			e.conns.cut()
		}
		return nil
	}
	nodes := []*node{e.join("a", nil), e.join("b", nil)}
	p := e.plan(6, 6)
	r := e.start(p)
	defer r.Close()
	rows, err := read(r, nil)
	e.same(p, rows, err)
	for _, n := range nodes {
		e.wait("the worker to be up", func() bool { return e.state(n.w.ID()) == "up" })
	}
}

// A second worker of the same name is refused while the first lives, and replaces
// it when it is gone.
func TestRestart(t *testing.T) {
	e := newEnv(t, Config{})
	first := e.join("a", nil)
	second := e.join("a", nil)
	for end := time.Now().Add(300 * time.Millisecond); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ws := e.c.Workers(); len(ws) != 2 || ws[1].Incarnation != first.w.Incarnation() {
			t.Fatalf("the first worker was thrown out: %v", ws)
		}
	}
	first.kill()
	e.wait("the second to take over", func() bool {
		ws := e.c.Workers()
		return len(ws) == 2 && ws[1].Incarnation == second.w.Incarnation()
	})
	p := e.plan(2, 2)
	r := e.start(p)
	defer r.Close()
	rows, err := read(r, nil)
	e.same(p, rows, err)
}

// Every class of error reaches the client through the real stack with all its
// fields; those that may pass are tried four times.
func TestErrors(t *testing.T) {
	e := newEnv(t, Config{})
	var attempts atomic.Int64
	var class atomic.Uint32
	e.f.hook = func(_ context.Context, task *worker.Task, batch int) error {
		if task.Key.Stage == 2 && task.Key.Task == 0 && batch == 1 {
			attempts.Add(1)
			return pgerr.New("22012", "division by zero").WithDetail("d").WithHint("h").WithWhere("w").At(9).WithClass(pgerr.Class(class.Load()))
		}
		return nil
	}
	e.join("a", nil)
	e.join("b", nil)
	for _, c := range []pgerr.Class{pgerr.User, pgerr.UDF, pgerr.Resource, pgerr.Bug, pgerr.Transient} {
		class.Store(uint32(c))
		attempts.Store(0)
		r := e.start(e.plan(2, 2))
		_, err := read(r, nil)
		r.Close()
		pe := pgerr.From(err)
		if pe == nil || pe.Code != "22012" || pe.Message != "division by zero" || pe.Detail != "d" || pe.Hint != "h" || pe.Where != "w" || pe.Position != 9 || pe.Class != c {
			t.Errorf("%s: %+v", c, pe)
		}
		want := int64(1)
		if c == pgerr.Transient {
			want = 4
		}
		if attempts.Load() != want {
			t.Errorf("%s: %d attempts", c, attempts.Load())
		}
	}
}

// A panic fails its query and nothing else.
func TestPanic(t *testing.T) {
	e := newEnv(t, Config{RunLocally: true})
	e.f.hook = func(_ context.Context, task *worker.Task, batch int) error {
		if task.Key.Query == "q1" || task.Key.Query == "q2" {
			panic("boom")
		}
		return nil
	}
	for _, p := range []*proto.Plan{e.plan(2, 2), e.one(), e.plan(1, 1)} {
		r := e.start(p)
		_, err := read(r, nil)
		r.Close()
		bad := p.Context.QueryId != "q3"
		if bad != (pgerr.Code(err) == pgerr.InternalError) {
			t.Errorf("%s: %v", p.Context.QueryId, err)
		}
	}
	if e.f.running.Load() != 0 {
		t.Error("pipelines left open")
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

// Cut off from the coordinator, a worker stops its tasks and frees its memory
// when its lease is over; the query goes on elsewhere.
func TestPartition(t *testing.T) {
	e := newEnv(t, Config{SuspectAfter: 100 * time.Millisecond, DeadAfter: 300 * time.Millisecond})
	e.lostAfter = 300 * time.Millisecond
	var stuck atomic.Bool
	stuck.Store(true)
	e.f.hook = func(ctx context.Context, task *worker.Task, batch int) error {
		if stuck.Load() && task.Key.Query == "q1" && task.Key.Stage == 2 {
			<-ctx.Done()
		}
		return nil
	}
	a := e.join("a", nil)
	p := e.plan(2, 2)
	r := e.start(p)
	defer r.Close()
	e.wait("stage 2", func() bool { return len(e.c.Queries()[0].Stages) > 1 && e.c.Queries()[0].Stages[1].Running == 2 })
	a.net.cut() // its exchange still answers probes
	e.wait("the coordinator to give it up", func() bool { return e.state("a") == "gone" })
	e.wait("the worker to stop", func() bool {
		m, d, n := a.st.Usage()
		return a.f.running.Load() == 0 && m+d+int64(n) == 0
	})
	stuck.Store(false)
	e.join("b", nil)
	rows, err := read(r, nil)
	e.same(p, rows, err)
}

type artifacts struct{ fetched atomic.Int64 }

func (a *artifacts) Ensure(ctx context.Context, digest string, fetch func(context.Context, io.Writer) error) (string, error) {
	var buf bytes.Buffer
	if err := fetch(ctx, &buf); err != nil {
		return "", err
	}
	a.fetched.Add(int64(buf.Len()))
	return "/dir/" + digest, nil
}

// Artifacts travel from the coordinator before the task that needs them runs.
func TestArtifacts(t *testing.T) {
	content := bytes.Repeat([]byte("plugin"), 200_000)
	e := newEnv(t, Config{Artifacts: func(_ context.Context, digest string) (io.ReadCloser, error) {
		if digest != "d1" {
			return nil, pgerr.New(pgerr.UndefinedObject, "artifact %s does not exist", digest)
		}
		return io.NopCloser(bytes.NewReader(content)), nil
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
