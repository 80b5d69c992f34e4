package cluster

import (
	"context"
	"errors"
	"sync"
	"time"

	gproto "google.golang.org/protobuf/proto"

	"github.com/volleydb/volley/coordinator/scheduler"
	"github.com/volleydb/volley/exchange"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/planner"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/vector"
	"github.com/volleydb/volley/worker"
)

// Running is a query under way. One goroutine calls Next; the other methods may
// be called by any.
type Running struct {
	c       *Cluster
	id      string
	plan    *proto.Plan
	opts    Options
	started time.Time
	stages  map[uint32]*stagePlan
	tasks   uint32 // of the result stage

	ctx    context.Context // ended by Close
	cancel context.CancelFunc

	// Guarded by the cluster's mutex.
	ready    map[uint32]scheduler.ResultReady
	err      *pgerr.Error
	finished bool
	stats    map[[2]uint32]taskStats
	runs     map[exchange.TaskKey]*TaskRun // nil unless Options.Timed
	notify   chan struct{}                 // capacity 1

	endOnce sync.Once // calls Options.Ended

	readMu sync.Mutex // held by Next and, last, by Close
	closed bool
	task   uint32 // that is being read
	begun  bool
	given  int64 // rows of it that Next has returned
	skip   int64 // rows to pass over, after a re-read
	src    exchange.Source
	srcKey exchange.TaskKey

	// The fast path: one task, read directly.
	direct  bool
	attempt uint32
	pipeMu  sync.Mutex
	pipe    worker.Pipeline
	// pipeCtx is that of all calls of pipe.
	pipeCtx    context.Context
	pipeCancel context.CancelCauseFunc
	failed     error                  // how it ended
	lastPipe   []*proto.OperatorStats // after its end
}

type taskStats struct {
	ops   []*proto.OperatorStats
	final bool
}

// stagePlan is a stage as workers get it: without the splits, which travel with
// the tasks.
type stagePlan struct {
	wire   *proto.Stage
	byTask [][]*proto.TaskSplits // task → scan → its splits
}

func (s *stagePlan) splits(task uint32) []*proto.TaskSplits {
	if int(task) >= len(s.byTask) {
		return nil
	}
	return s.byTask[task]
}

func planStage(st *proto.Stage) *stagePlan {
	p := &stagePlan{wire: &proto.Stage{
		Id: st.Id, Root: st.Root, Output: st.Output, Inputs: st.Inputs, Tasks: st.Tasks,
		Volatile: st.Volatile, CoordinatorOnly: st.CoordinatorOnly,
	}}
	if len(st.Splits) == 0 {
		return p
	}
	p.byTask = make([][]*proto.TaskSplits, max(st.Tasks, 1))
	for t := range p.byTask {
		p.byTask[t] = make([]*proto.TaskSplits, len(st.Splits))
		for i := range st.Splits {
			p.byTask[t][i] = &proto.TaskSplits{}
		}
	}
	for scan, ts := range st.Splits {
		for i, split := range ts.Splits {
			t := uint32(0)
			if i < len(ts.Task) {
				t = ts.Task[i]
			}
			if int(t) < len(p.byTask) {
				x := p.byTask[t][scan]
				x.Splits, x.Task = append(x.Splits, split), append(x.Task, t)
			}
		}
	}
	return p
}

// Run starts a plan. ctx bounds the start only; end the query with Close.
func (c *Cluster) Run(ctx context.Context, plan *proto.Plan, o Options) (*Running, error) {
	if len(plan.Stages) == 0 || plan.Context.GetQueryId() == "" {
		return nil, pgerr.New(pgerr.InternalError, "the plan has no stage or no query id")
	}
	if err := ctx.Err(); err != nil {
		return nil, pgerr.From(err)
	}
	last := plan.Stages[len(plan.Stages)-1]
	r := &Running{
		c: c, id: plan.Context.QueryId, plan: plan, opts: o, started: time.Now(), tasks: max(last.Tasks, 1),
		notify: make(chan struct{}, 1),
	}
	// The query's life is not that of the call that starts it.
	r.ctx, r.cancel = context.WithCancel(context.WithoutCancel(ctx))
	embedded := o.ForceEmbedded || coordinatorOnly(plan) || light(plan)
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		r.cancel()
		return nil, pgerr.New(pgerr.AdminShutdown, "terminating connection due to administrator command")
	}
	embedded = embedded || c.cfg.RunLocally && len(c.members) == 1
	if embedded && len(plan.Stages) == 1 && r.tasks == 1 {
		r.direct = true
		c.direct[r] = true
		c.mu.Unlock()
		err := r.runDirect(0)
		for r.again(err) {
			err = r.runDirect(r.attempt)
		}
		if err != nil {
			r.Close()
			return nil, err
		}
		return r, nil
	}
	defer c.mu.Unlock()
	if c.queries[r.id] != nil {
		r.cancel()
		return nil, pgerr.New(pgerr.DuplicateObject, "query %s is running already", r.id)
	}
	r.stages = make(map[uint32]*stagePlan, len(plan.Stages))
	for _, st := range plan.Stages {
		r.stages[st.Id] = planStage(st)
	}
	r.ready, r.stats = map[uint32]scheduler.ResultReady{}, map[[2]uint32]taskStats{}
	c.queries[r.id] = r
	c.handle(scheduler.QuerySubmitted{Query: r.id, Plan: plan, Embedded: embedded, Wait: o.NoWorkerWait})
	return r, nil
}

func coordinatorOnly(p *proto.Plan) bool {
	for _, st := range p.Stages {
		if !st.CoordinatorOnly {
			return false
		}
	}
	return true
}

// lightRows bounds what a coordinator computes by itself.
const lightRows = 100_000

// light reports whether a plan is one task that reads no data, calls no user
// code and is expected to be short, as SELECT 1 is: the coordinator runs it even
// where it leaves work to others.
func light(p *proto.Plan) bool {
	return len(p.Stages) == 1 && p.Stages[0].Tasks <= 1 && lightOp(p.Stages[0].Root) && len(worker.Digests(p.Stages[0])) == 0
}

func lightOp(op *proto.Operator) bool {
	switch op.GetNode().(type) {
	case *proto.Operator_Scan, *proto.Operator_TableWrite, *proto.Operator_GroupedMap, *proto.Operator_ExchangeRead:
		return false
	}
	if op.GetRowsEstimate() > lightRows {
		return false
	}
	for _, in := range op.GetInputs() {
		if !lightOp(in) {
			return false
		}
	}
	return true
}

// directAttempts bounds how often the only task runs when it fails where it may have
// been another query's fault.
const directAttempts = 3

// runDirect opens the only task's pipeline, for its first or a later attempt.
func (r *Running) runDirect(attempt uint32) error {
	st := planStage(r.plan.Stages[0])
	run := &proto.RunTask{
		Id: &proto.TaskID{Query: r.id, Stage: st.wire.Id, Attempt: attempt}, CoordinatorEpoch: r.c.epoch,
		Stage: st.wire, Context: r.plan.Context, Splits: st.splits(0), Alone: attempt > 0,
	}
	// Operators keep the context for what they open, longer than for one Next.
	ctx, cancel := context.WithCancelCause(r.ctx)
	pipe, err := r.c.cfg.Embedded.Stream(ctx, run, r.opts.Local)
	if err != nil {
		cancel(nil)
		return err
	}
	r.pipeMu.Lock()
	r.pipe, r.pipeCtx, r.pipeCancel = pipe, ctx, cancel
	r.pipeMu.Unlock()
	return nil
}

// Next returns the next result batch (dense), nil at the end. Batches come in
// task order, each task's as soon as it is sealed.
func (r *Running) Next(ctx context.Context) (*vector.Batch, error) {
	r.readMu.Lock()
	defer r.readMu.Unlock()
	if r.closed {
		return nil, pgerr.New(pgerr.QueryCanceled, "canceling statement due to user request")
	}
	var b *vector.Batch
	var err error
	if r.direct {
		b, err = r.nextDirect(ctx)
	} else {
		ctx, cancel := context.WithCancel(ctx)
		stop := context.AfterFunc(r.ctx, cancel)
		b, err = r.nextResult(ctx)
		stop()
		cancel()
	}
	if err != nil || b == nil {
		r.end(err != nil)
	}
	return b, err
}

// end reports the query's figures, once.
func (r *Running) end(failed bool) {
	if r.opts.Ended != nil {
		r.endOnce.Do(func() { r.opts.Ended(r.figures(), failed) })
	}
}

// figures are those of all tasks, of each the attempt that counts.
func (r *Running) figures() (out []*proto.OperatorStats) {
	if r.direct {
		r.pipeMu.Lock()
		defer r.pipeMu.Unlock()
		if r.pipe != nil {
			return r.pipe.Stats()
		}
		return r.lastPipe
	}
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	for _, t := range r.stats {
		out = append(out, t.ops...)
	}
	return out
}

func (r *Running) nextDirect(ctx context.Context) (*vector.Batch, error) {
	if r.pipe == nil {
		return nil, r.failed
	}
	for {
		stop := context.AfterFunc(ctx, func() { r.pipeCancel(context.Cause(ctx)) })
		b, err := r.pipe.Next(r.pipeCtx)
		stop()
		if err != nil && ctx.Err() == nil && r.again(err) {
			_ = r.closePipe() // of the attempt that has failed
			for err = r.runDirect(r.attempt); r.again(err); {
				err = r.runDirect(r.attempt)
			}
			r.failed = err
			if err == nil {
				continue
			}
		}
		if err != nil {
			r.c.mu.Lock()
			defer r.c.mu.Unlock()
			if r.err != nil {
				return nil, r.err // why it was cancelled
			}
			if pgerr.ProcessEnded(err) && r.fixed() {
				e := *pgerr.From(err)
				e.Hint = "Another statement may have ended the process. Rows of this one were sent already, so that it could not be repeated: run it again."
				err = &e
			}
			return nil, err
		}
		if b == nil {
			if r.skip > 0 {
				return nil, pgerr.New(pgerr.InternalError, "query %s gave %d rows, and %d less when it was repeated", r.id, r.given, r.skip)
			}
			return nil, r.closePipe()
		}
		if n := int(min(r.skip, int64(b.Rows()))); n > 0 {
			r.skip -= int64(n)
			b = b.Slice(n, b.Rows())
		}
		if b.Rows() > 0 {
			r.given += int64(b.Rows())
			return b.Dense(), nil
		}
	}
}

// fixed reports whether the client has rows that another attempt might not give again.
func (r *Running) fixed() bool {
	st := r.plan.Stages[0]
	return r.given > 0 && (st.Volatile || st.CoordinatorOnly)
}

// again counts an attempt that failed where it may have been another query's fault, and
// notes the rows that the client has, which are not to be given again; false if there are
// to be no more attempts.
func (r *Running) again(err error) bool {
	if !pgerr.ProcessEnded(err) || r.fixed() || r.ctx.Err() != nil || r.attempt+1 >= directAttempts {
		return false
	}
	r.attempt++
	r.skip = r.given
	return true
}

func (r *Running) closePipe() error {
	r.pipeMu.Lock()
	defer r.pipeMu.Unlock()
	if r.pipe == nil {
		return nil
	}
	err := r.pipe.Close()
	r.pipeCancel(nil)
	r.lastPipe, r.pipe = r.pipe.Stats(), nil
	return err
}

// wake tells the reader that something has changed.
func (r *Running) wake() {
	select {
	case r.notify <- struct{}{}:
	default:
	}
}

// fail and finish end the query for its reader. c.mu is held.
func (r *Running) fail(err *pgerr.Error) { r.finish(err) }

func (r *Running) finish(err *pgerr.Error) {
	if !r.finished {
		r.err, r.finished = err, true
	}
	r.wake()
}

func (r *Running) nextResult(ctx context.Context) (*vector.Batch, error) {
	for {
		r.c.mu.Lock()
		rr, ok := r.ready[r.task]
		err, finished := r.err, r.finished
		r.c.mu.Unlock()
		switch {
		case err != nil:
			return nil, err
		case finished || r.task == r.tasks:
			return nil, nil
		case !ok:
			select {
			case <-ctx.Done():
				return nil, pgerr.From(ctx.Err())
			case <-r.notify:
			}
			continue
		}
		b, err2 := r.readOne(ctx, rr)
		if b != nil || err2 != nil {
			return b, err2
		}
	}
}

// readOne makes a step in the output rr: it returns a batch, or nothing when
// there is none yet and the caller is to look again.
func (r *Running) readOne(ctx context.Context, rr scheduler.ResultReady) (*vector.Batch, error) {
	if r.src == nil || r.srcKey != rr.Task {
		r.closeSource()
		r.srcKey, r.skip = rr.Task, r.given
		switch {
		case rr.Rows == 0:
			r.src = exchange.NewSlice()
		case rr.Worker == r.c.embedded:
			src, err := r.c.cfg.Embedded.Store().Open(rr.Task, 0)
			if err != nil {
				return nil, r.fetchFailed(ctx, err)
			}
			r.src = src
		default:
			r.src = r.c.peers.Remote(rr.Address, rr.Worker.Incarnation, rr.Task, 0)
		}
	}
	b, err := r.src.Next(ctx)
	if err != nil {
		return nil, r.fetchFailed(ctx, err)
	}
	if b != nil && r.skip > 0 {
		n := min(r.skip, int64(b.Rows()))
		r.skip -= n
		b = b.Slice(int(n), b.Rows())
	}
	if b != nil && b.Rows() == 0 {
		return nil, nil
	}
	c := r.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.ready[r.task].Task != r.srcKey {
		return nil, nil // it was lost, or rolled back, in the meantime
	}
	if b == nil {
		c.handle(scheduler.ResultTaken{Query: r.id, Task: r.task, Done: true})
		r.closeSource()
		r.task, r.begun, r.given = r.task+1, false, 0
		return nil, nil
	}
	if !r.begun {
		r.begun = true
		c.handle(scheduler.ResultTaken{Query: r.id, Task: r.task})
		if r.err != nil {
			return nil, r.err
		}
	}
	r.given += int64(b.Rows())
	return b, nil
}

// fetchFailed tells the scheduler that the current output could not be read;
// only what is not about that output is returned.
func (r *Running) fetchFailed(ctx context.Context, err error) error {
	r.closeSource()
	if ctx.Err() != nil {
		return pgerr.From(ctx.Err())
	}
	var fe *exchange.FetchError
	if !errors.As(err, &fe) {
		return err
	}
	c := r.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.ready[r.task].Task == r.srcKey {
		delete(r.ready, r.task)
		c.handle(scheduler.FetchFailed{Task: r.srcKey, Gone: fe.Gone})
	}
	return nil
}

func (r *Running) closeSource() {
	if r.src != nil {
		_ = r.src.Close() // a reader's end has nothing to say
		r.src = nil
	}
}

// noteStats keeps a task's statistics: the last of its attempts that ended.
// c.mu is held.
func (r *Running) noteStats(key exchange.TaskKey, ops []*proto.OperatorStats, final, failed bool) {
	k := [2]uint32{key.Stage, key.Task}
	if failed {
		// Its rows were not kept; neither are those of them that failed.
		for i, o := range ops {
			if len(o.UdfErrors) > 0 {
				ops[i] = gproto.Clone(o).(*proto.OperatorStats)
				ops[i].UdfErrors = nil
			}
		}
	}
	if final || !r.stats[k].final {
		r.stats[k] = taskStats{ops, final}
	}
}

// Stats returns what is known of the operators, by operator id.
func (r *Running) Stats() map[uint32]*planner.Figures {
	out := map[uint32]*planner.Figures{}
	if r.direct {
		r.pipeMu.Lock()
		ops := r.lastPipe
		if r.pipe != nil {
			ops = r.pipe.Stats()
		}
		r.pipeMu.Unlock()
		merge(out, ops)
		return out
	}
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	for _, t := range r.stats {
		merge(out, t.ops)
	}
	return out
}

// merge adds the figures of one task.
func merge(out map[uint32]*planner.Figures, ops []*proto.OperatorStats) {
	for _, o := range ops {
		if out[o.Id] == nil {
			out[o.Id] = &planner.Figures{}
		}
		out[o.Id].Add(o)
	}
}

// Progress is the part of the work that has been done, 0…1.
func (r *Running) Progress() float64 {
	if r.direct {
		return r.directProgress()
	}
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	if r.finished {
		return 1
	}
	_, p, _ := r.c.sched.Query(r.id)
	return p
}

func (r *Running) directProgress() float64 {
	r.pipeMu.Lock()
	defer r.pipeMu.Unlock()
	if r.pipe == nil {
		return 1
	}
	return r.pipe.Progress()
}

// Close ends the query everywhere and waits: when it returns no task of it runs
// on this process, nor on any worker that answers within a few seconds. It may
// be called at any time and more than once.
func (r *Running) Close() {
	r.cancel()
	r.readMu.Lock()
	defer r.readMu.Unlock()
	if r.closed {
		return
	}
	r.closed = true
	r.closeSource()
	c := r.c
	if r.direct {
		_ = r.closePipe() // its end was not waited for: nobody wants its error
		r.end(false)
		c.mu.Lock()
		delete(c.direct, r)
		c.mu.Unlock()
		return
	}
	r.end(false)
	c.mu.Lock()
	c.handle(scheduler.Cancelled{Query: r.id})
	r.finish(pgerr.New(pgerr.QueryCanceled, "canceling statement due to user request"))
	d := c.drops[r.id]
	if d == nil && c.queries[r.id] == r {
		delete(c.queries, r.id)
	}
	c.mu.Unlock()
	if d == nil {
		return
	}
	t := time.NewTimer(dropWait)
	defer t.Stop()
	select {
	case <-d.done:
	case <-t.C:
		c.mu.Lock()
		if c.drops[r.id] == d {
			clear(d.waiting)
			c.settle(r.id)
		}
		c.mu.Unlock()
	}
}
