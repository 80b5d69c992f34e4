package worker

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/volleydb/volley/exchange"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/udf"
	"github.com/volleydb/volley/vector"
	"google.golang.org/grpc"
)

// PlanVersionMin and PlanVersionMax are the plan versions that this build runs.
const (
	PlanVersionMin = 0
	PlanVersionMax = 1
)

// Config says what a Worker is made of.
type Config struct {
	ID     string // stable name; must be unique in a cluster
	Slots  int    // tasks that run at once; the scheduler keeps to it
	Memory int64  // bytes for tasks, as registered
	Store  *exchange.Store
	Runner Runner
	// Artifacts may be nil when no UDF with an artifact is ever run.
	Artifacts Artifacts
	// FetchArtifact gets an artifact that is missing. Connect supplies the
	// coordinator's; nil means there is nowhere to fetch from.
	FetchArtifact func(ctx context.Context, digest string, w io.Writer) (signatures []byte, err error)
	// ExchangeAddress is where other processes reach this one's exchange.
	ExchangeAddress string
	// Dial are the options for connections to other workers' exchanges; none
	// means plaintext.
	Dial    []grpc.DialOption
	Version string
	// Logs returns lines that user code has written after the first n, and the next n;
	// a connected worker sends them to its coordinator. nil = none.
	Logs func(n uint64, most int) ([]udf.LogLine, uint64)
	Log  *slog.Logger
}

// Worker runs tasks. All methods may be called concurrently.
type Worker struct {
	cfg   Config
	peers *exchange.Peers

	ctx    context.Context // ends every task
	cancel context.CancelFunc
	wg     sync.WaitGroup // tasks and the progress reporter

	mu       sync.Mutex
	queries  map[string]*query
	running  int
	draining bool
	closed   bool
	changed  chan struct{} // closed and replaced when running or queries shrink
	fetch    func(ctx context.Context, digest string, w io.Writer) ([]byte, error)
}

// query is what the worker knows of a query, until it is dropped.
type query struct {
	stages  map[uint32]*proto.Stage
	context *proto.QueryContext
	tasks   map[exchange.TaskKey]*attempt
	ending  map[*attempt]bool // cancelled, still running
	dropped bool
	gone    chan struct{} // closed when a drop has ended
}

type attempt struct {
	key    exchange.TaskKey
	cancel context.CancelFunc
	done   chan struct{}
	report func(*proto.TaskReport)

	mu   sync.Mutex
	pipe Pipeline          // while it runs
	last *proto.TaskReport // latest state, for a reconnection
}

// New makes a worker; it is idle until told to run something.
func New(cfg Config) (*Worker, error) {
	if cfg.Store == nil || cfg.Runner == nil {
		return nil, pgerr.New(pgerr.InternalError, "worker needs a store and a runner")
	}
	if cfg.Slots <= 0 {
		cfg.Slots = 1
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	w := &Worker{
		cfg: cfg, peers: exchange.NewPeers(cfg.Dial...),
		queries: map[string]*query{}, changed: make(chan struct{}), fetch: cfg.FetchArtifact,
	}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	w.wg.Add(1)
	go w.reportProgress()
	return w, nil
}

// ID is the worker's name.
func (w *Worker) ID() string { return w.cfg.ID }

// Incarnation is that of the process.
func (w *Worker) Incarnation() string { return w.cfg.Store.Incarnation() }

// Slots is the number of tasks that may run at once.
func (w *Worker) Slots() int { return w.cfg.Slots }

// Memory is the bytes for tasks.
func (w *Worker) Memory() int64 { return w.cfg.Memory }

// Store is where the outputs are.
func (w *Worker) Store() *exchange.Store { return w.cfg.Store }

// Serve adds the worker's Exchange service to a gRPC server.
func (w *Worker) Serve(s grpc.ServiceRegistrar) { exchange.Register(s, w.cfg.Store) }

// Close cancels all tasks, waits for them and closes the connections. The store
// stays open: it belongs to the caller.
func (w *Worker) Close() error {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.cancel()
	w.wg.Wait()
	return w.peers.Close()
}

// Start runs a task in the background. report is called for its states, never
// from within Start; a STARTED (progress) may come after the final one. local
// becomes Task.Local.
func (w *Worker) Start(run *proto.RunTask, local any, report func(*proto.TaskReport)) {
	key := exchange.KeyOf(run.Id)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	if w.cfg.Store.Dropped(key.Query) {
		// Late. The report is for a coordinator that should think otherwise.
		err := pgerr.New(pgerr.QueryCanceled, "the query has been dropped on worker %s", w.cfg.ID)
		w.wg.Add(1)
		go func() {
			defer w.wg.Done()
			report(&proto.TaskReport{Id: run.Id, State: proto.TaskReport_FAILED, Error: proto.FromError(err)})
		}()
		return
	}
	q := w.queries[key.Query]
	if q == nil {
		q = &query{stages: map[uint32]*proto.Stage{}, tasks: map[exchange.TaskKey]*attempt{}, ending: map[*attempt]bool{}, gone: make(chan struct{})}
		w.queries[key.Query] = q
	}
	if q.dropped {
		// After a lost lease: what the query had here is still being ended, and a
		// task that found it so would have its output freed with the rest.
		w.wg.Add(1)
		go func() {
			defer w.wg.Done()
			select {
			case <-q.gone:
				w.Start(run, local, report)
			case <-w.ctx.Done():
			}
		}()
		return
	}
	if q.tasks[key] != nil {
		return // a duplicate
	}
	if run.Stage != nil {
		q.stages[key.Stage] = run.Stage
	} else {
		run.Stage = q.stages[key.Stage]
	}
	if run.Context != nil {
		q.context = run.Context
	} else {
		run.Context = q.context
	}
	ctx, cancel := context.WithCancel(w.ctx)
	a := &attempt{key: key, cancel: cancel, done: make(chan struct{}), report: report,
		last: &proto.TaskReport{Id: run.Id, State: proto.TaskReport_STARTED}}
	q.tasks[key] = a
	w.running++
	w.wg.Add(1)
	go func() {
		defer w.wg.Done()
		defer cancel()
		r := w.run(ctx, a, run, local)
		a.mu.Lock()
		a.last = r
		a.mu.Unlock()
		w.mu.Lock()
		w.running--
		w.signal()
		w.mu.Unlock()
		close(a.done)
		report(r)
	}()
}

// signal wakes those who wait for fewer tasks or queries; w.mu is held.
func (w *Worker) signal() {
	close(w.changed)
	w.changed = make(chan struct{})
}

// run executes an attempt and returns its final report.
func (w *Worker) run(ctx context.Context, a *attempt, run *proto.RunTask, local any) *proto.TaskReport {
	r := &proto.TaskReport{Id: run.Id, State: proto.TaskReport_SEALED, Progress: 1}
	err := w.execute(ctx, a, run, local, r)
	a.mu.Lock()
	a.pipe = nil
	a.mu.Unlock()
	if err == nil {
		return r
	}
	r.State, r.Partitions = proto.TaskReport_FAILED, nil
	var fe *exchange.FetchError
	if errors.As(err, &fe) {
		r.LostInput, r.LostGone = fe.Task.Proto(), fe.Gone
	}
	r.Error = proto.FromError(err)
	return r
}

func (w *Worker) execute(ctx context.Context, a *attempt, run *proto.RunTask, local any, r *proto.TaskReport) (err error) {
	if run.Stage == nil || run.Context == nil {
		return pgerr.New(pgerr.ProtocolViolation, "task %s came without its stage", a.key).WithClass(pgerr.Transient)
	}
	out, err := w.cfg.Store.Create(a.key, exchange.Count(run.Stage.Output))
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			out.Abort()
		}
	}()
	pipe, err := w.Stream(ctx, run, local)
	if err != nil {
		return err
	}
	a.mu.Lock()
	a.pipe = pipe
	a.mu.Unlock()
	wr := exchange.NewWriter(out, run.Stage.Output, int(a.key.Task), int(run.Context.BatchRows))
	err = pump(ctx, pipe, wr, run.Stage.Output.GetKind() == proto.Partitioning_HASH)
	if cerr := pipe.Close(); err == nil {
		err = cerr
	}
	r.Operators = pipe.Stats()
	if err != nil {
		return err
	}
	r.Partitions, err = wr.Seal()
	return err
}

func pump(ctx context.Context, pipe Pipeline, wr *exchange.Writer, hash bool) error {
	for {
		b, err := pipe.Next(ctx)
		if err != nil || b == nil {
			return err
		}
		var keys []*vector.Vector
		if hash {
			if keys, err = pipe.Keys(b); err != nil {
				return err
			}
		}
		if err := wr.Write(ctx, b, keys); err != nil {
			return err
		}
	}
}

// Stream opens a task's pipeline without an output: the caller reads it. A panic
// in an operator is an error of class Bug there and here. The task must have its
// stage and context.
func (w *Worker) Stream(ctx context.Context, run *proto.RunTask, local any) (p Pipeline, err error) {
	defer w.recovered(run, &err)
	t := &Task{Run: run, Key: exchange.KeyOf(run.Id), Local: local}
	t.Exchange = func(_ context.Context, read *proto.ExchangeRead) ([]exchange.Source, error) {
		return w.sources(run, read.Stage)
	}
	dirs, release, err := w.artifacts(ctx, run.Stage)
	if err != nil {
		return nil, err
	}
	defer func() {
		if p == nil { // also after a panic
			release()
		}
	}()
	t.ArtifactDir = func(digest string) string { return dirs[digest] }
	pipe, err := w.cfg.Runner(ctx, t)
	if err != nil {
		return nil, err
	}
	return &guarded{pipe, w, run, release}, nil
}

// guarded turns panics of operators into errors: one query's bug must not end
// the others on this worker.
type guarded struct {
	Pipeline
	w       *Worker
	run     *proto.RunTask
	release func() // of its artifacts
}

func (g *guarded) Next(ctx context.Context) (b *vector.Batch, err error) {
	defer g.w.recovered(g.run, &err)
	return g.Pipeline.Next(ctx)
}

func (g *guarded) Keys(b *vector.Batch) (v []*vector.Vector, err error) {
	defer g.w.recovered(g.run, &err)
	return g.Pipeline.Keys(b)
}

func (g *guarded) Close() (err error) {
	defer g.release()
	defer g.w.recovered(g.run, &err)
	return g.Pipeline.Close()
}

func (w *Worker) recovered(run *proto.RunTask, err *error) {
	if p := recover(); p != nil {
		w.cfg.Log.Error("panic in a task", "task", exchange.KeyOf(run.Id).String(), "panic", p, "stack", string(debug.Stack()))
		*err = pgerr.New(pgerr.InternalError, "panic while running the query: %v", p)
	}
}

// sources opens what the task reads of a stage.
func (w *Worker) sources(run *proto.RunTask, stage uint32) ([]exchange.Source, error) {
	var out []exchange.Source
	for _, s := range run.Sources {
		if s.Producer.GetStage() != stage {
			continue
		}
		rows := int64(0)
		for _, p := range s.Partitions {
			rows += p.Rows
		}
		key := exchange.KeyOf(s.Producer)
		switch {
		case rows == 0:
			out = append(out, exchange.NewSlice())
		case s.Address == "":
			src, err := w.cfg.Store.Open(key, s.Read...)
			if err != nil {
				return nil, err
			}
			out = append(out, src)
		default:
			out = append(out, w.peers.Remote(s.Address, s.Incarnation, key, s.Read...))
		}
	}
	return out, nil
}

// Cancel stops an attempt and frees its output; it does not wait.
func (w *Worker) Cancel(key exchange.TaskKey) {
	w.mu.Lock()
	defer w.mu.Unlock()
	q := w.queries[key.Query]
	if q == nil || w.closed {
		return
	}
	a := q.tasks[key]
	if a == nil {
		return
	}
	delete(q.tasks, key)
	q.ending[a] = true
	a.cancel()
	w.wg.Add(1)
	go func() {
		defer w.wg.Done()
		<-a.done
		w.cfg.Store.Discard(key)
		w.mu.Lock()
		delete(q.ending, a)
		w.mu.Unlock()
	}()
}

// Drop stops a query's tasks, waits for them and frees its outputs. Tasks of the
// query that come later are refused by the store.
func (w *Worker) Drop(id string) { w.drop(id, w.cfg.Store.DropQuery) }

func (w *Worker) drop(id string, free func(query string)) {
	w.mu.Lock()
	q := w.queries[id]
	var as []*attempt
	if q != nil {
		q.dropped = true
		for _, a := range q.tasks {
			as = append(as, a)
			a.cancel()
		}
		for a := range q.ending {
			as = append(as, a)
		}
	}
	w.mu.Unlock()
	for _, a := range as {
		<-a.done
	}
	free(id)
	w.mu.Lock()
	if q != nil && w.queries[id] == q {
		delete(w.queries, id)
		close(q.gone)
		w.signal()
	}
	w.mu.Unlock()
}

// dropAll stops and frees everything. The queries may go on elsewhere, and come
// back.
func (w *Worker) dropAll() {
	w.mu.Lock()
	ids := make([]string, 0, len(w.queries))
	for id := range w.queries {
		ids = append(ids, id)
	}
	w.mu.Unlock()
	for _, id := range ids {
		w.drop(id, w.cfg.Store.FreeQuery)
	}
}

// Reports returns the last report of every attempt that the worker knows.
func (w *Worker) Reports() []*proto.TaskReport {
	w.mu.Lock()
	defer w.mu.Unlock()
	var rs []*proto.TaskReport
	for _, q := range w.queries {
		if q.dropped {
			continue
		}
		for _, a := range q.tasks {
			a.mu.Lock()
			rs = append(rs, a.last)
			a.mu.Unlock()
		}
	}
	return rs
}

// Idle reports whether no task runs and no query holds outputs here.
func (w *Worker) Idle() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.running == 0 && len(w.queries) == 0
}

// progressEvery is how often running tasks report their progress.
const progressEvery = time.Second

func (w *Worker) reportProgress() {
	defer w.wg.Done()
	t := time.NewTicker(progressEvery)
	defer t.Stop()
	for {
		select {
		case <-w.ctx.Done():
			return
		case <-t.C:
		}
		w.mu.Lock()
		var as []*attempt
		for _, q := range w.queries {
			for _, a := range q.tasks {
				as = append(as, a)
			}
		}
		w.mu.Unlock()
		for _, a := range as {
			a.mu.Lock()
			pipe := a.pipe
			a.mu.Unlock()
			if pipe != nil {
				a.report(&proto.TaskReport{
					Id: a.key.Proto(), State: proto.TaskReport_STARTED,
					Progress: pipe.Progress(), Operators: pipe.Stats(),
				})
			}
		}
	}
}

// artifacts makes the stage's artifacts available and returns their folders, which
// stay until release is called.
func (w *Worker) artifacts(ctx context.Context, st *proto.Stage) (dirs map[string]string, release func(), err error) {
	digests := Digests(st)
	var pins []func()
	release = func() {
		for _, p := range pins {
			p()
		}
	}
	if len(digests) == 0 || w.cfg.Artifacts == nil {
		return nil, release, nil
	}
	dirs = make(map[string]string, len(digests))
	for _, d := range digests {
		pins = append(pins, w.cfg.Artifacts.Pin(d))
		dir, err := w.cfg.Artifacts.Ensure(ctx, d, func(ctx context.Context, dst io.Writer) ([]byte, error) {
			w.mu.Lock()
			fetch := w.fetch
			w.mu.Unlock()
			if fetch == nil {
				return nil, pgerr.New(pgerr.UndefinedObject, "artifact %s does not exist", d)
			}
			return fetch(ctx, d, dst)
		})
		if err != nil {
			release()
			return nil, nil, err
		}
		dirs[d] = dir
	}
	return dirs, release, nil
}

// Digests lists the artifacts that a stage's UDFs come from, sorted. UDFs that
// are linked in have no digest.
func Digests(st *proto.Stage) []string {
	var out []string
	forUDFs(st.GetRoot().ProtoReflect(), func(u *proto.UDF) {
		if u.Digest != "" && !slices.Contains(out, u.Digest) {
			out = append(out, u.Digest)
		}
	})
	slices.Sort(out)
	return out
}
