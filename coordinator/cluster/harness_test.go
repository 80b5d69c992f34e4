package cluster

import (
	"context"
	"fmt"
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
	"google.golang.org/grpc"
)

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
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
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
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
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
