package cluster

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/volleydb/volley/coordinator/scheduler"
	"github.com/volleydb/volley/exchange"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/worker"
)

// Cluster is the membership and the running queries. All methods may be called
// concurrently.
//
// One mutex guards the scheduler and everything that its commands touch. What
// is done under it never blocks: commands to remote workers are queued, tasks of
// the embedded worker start in the background.
type Cluster struct {
	cfg   Config
	epoch uint64 // of this coordinator process
	peers *exchange.Peers
	start time.Time

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup // monitor, probes, drops of the embedded worker

	mu       sync.Mutex
	sched    *scheduler.Scheduler
	members  map[scheduler.Worker]*member
	embedded scheduler.Worker
	queries  map[string]*Running
	direct   map[*Running]bool // on the fast path: unknown to the scheduler
	drops    map[string]*drop
	closed   bool
}

// drop tracks who has yet to confirm that a query's tasks have ended.
type drop struct {
	waiting map[scheduler.Worker]bool
	done    chan struct{}
}

// New starts a cluster of the embedded worker.
func New(cfg Config) (*Cluster, error) {
	if cfg.Embedded == nil {
		return nil, pgerr.New(pgerr.InternalError, "cluster needs an embedded worker")
	}
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&cfg.SuspectAfter, 5*time.Second)
	def(&cfg.DeadAfter, 15*time.Second)
	def(&cfg.NoWorkerWait, 10*time.Second)
	def(&cfg.LostWait, 30*time.Second)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	now := time.Now()
	c := &Cluster{
		cfg: cfg, epoch: uint64(now.UnixNano()), peers: exchange.NewPeers(cfg.Dial...), start: now,
		sched:    scheduler.New(scheduler.Config{NoWorkerWait: cfg.NoWorkerWait, LostWait: cfg.LostWait, RunLocally: cfg.RunLocally}),
		members:  map[scheduler.Worker]*member{},
		embedded: scheduler.Worker{ID: cfg.Embedded.ID(), Incarnation: cfg.Embedded.Incarnation()},
		queries:  map[string]*Running{}, direct: map[*Running]bool{}, drops: map[string]*drop{},
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.members[c.embedded] = &member{id: c.embedded, embedded: true, connected: now, seen: now, reg: &proto.Register{
		WorkerId: c.embedded.ID, Incarnation: c.embedded.Incarnation, ExchangeAddress: cfg.ExchangeAddress,
		Slots: uint32(cfg.Embedded.Slots()), Memory: cfg.Embedded.Memory(),
		PlanVersionMin: worker.PlanVersionMin, PlanVersionMax: worker.PlanVersionMax,
	}}
	c.handle(scheduler.WorkerUp{Worker: c.embedded, Address: cfg.ExchangeAddress, Slots: cfg.Embedded.Slots(), Embedded: true})
	c.wg.Add(1)
	go c.monitor()
	return c, nil
}

// Close fails what runs with 57P01, ends all sessions and waits. The embedded
// worker stays: it belongs to the caller.
func (c *Cluster) Close() error {
	c.mu.Lock()
	c.closed = true
	for r := range c.direct {
		r.fail(pgerr.New(pgerr.AdminShutdown, "terminating connection due to administrator command"))
		r.cancel()
	}
	for id, r := range c.queries {
		r.fail(pgerr.New(pgerr.AdminShutdown, "terminating connection due to administrator command"))
		c.handle(scheduler.Cancelled{Query: id})
	}
	for _, m := range c.members {
		m.hangUp()
		if !m.embedded {
			c.forgetDrops(m.id)
		}
	}
	c.mu.Unlock()
	c.cancel()
	c.wg.Wait()
	return c.peers.Close()
}

// handle gives an event to the scheduler and does what it says. c.mu is held
// (or the cluster is not shared yet).
func (c *Cluster) handle(e scheduler.Event) {
	for _, cmd := range c.sched.Handle(e) {
		c.do(cmd)
	}
}

func (c *Cluster) do(cmd scheduler.Command) {
	switch x := cmd.(type) {
	case scheduler.RunTask:
		c.runTask(x)
	case scheduler.CancelTask:
		if x.Worker == c.embedded {
			c.cfg.Embedded.Cancel(x.Task)
		} else if m := c.members[x.Worker]; m != nil {
			m.send(&proto.WorkerCommand{Command: &proto.WorkerCommand_Cancel{Cancel: &proto.CancelTask{Id: x.Task.Proto()}}})
		}
	case scheduler.DropQuery:
		c.dropQuery(x)
	case scheduler.Probe:
		c.probe(x.Worker)
	case scheduler.ResultReady:
		if r := c.queries[x.Task.Query]; r != nil {
			r.ready[x.Task.Task] = x
			r.wake()
		}
	case scheduler.ResultLost:
		if r := c.queries[x.Task.Query]; r != nil && r.ready[x.Task.Task].Task == x.Task {
			delete(r.ready, x.Task.Task)
		}
	case scheduler.QueryDone:
		if r := c.queries[x.Query]; r != nil {
			r.finish(nil)
		}
	case scheduler.QueryFailed:
		if r := c.queries[x.Query]; r != nil {
			r.fail(x.Err)
		}
	}
}

func (c *Cluster) runTask(x scheduler.RunTask) {
	r, m := c.queries[x.Task.Query], c.members[x.Worker]
	if r == nil || m == nil {
		return
	}
	r.launched(x.Task, x.Worker)
	st := r.stages[x.Task.Stage]
	run := &proto.RunTask{
		Id: x.Task.Proto(), CoordinatorEpoch: c.epoch, Stage: st.wire, Context: r.plan.Context,
		Splits: st.splits(x.Task.Task), Sources: x.Sources, Alone: x.Alone,
	}
	if m.embedded {
		c.cfg.Embedded.Start(run, r.opts.Local, func(rep *proto.TaskReport) { c.report(c.embedded, rep) })
		return
	}
	m.run(run)
}

// report takes a task report.
func (c *Cluster) report(from scheduler.Worker, rep *proto.TaskReport) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.takeReport(from, rep)
}

func (c *Cluster) takeReport(from scheduler.Worker, rep *proto.TaskReport) {
	key := exchange.KeyOf(rep.Id)
	r := c.queries[key.Query]
	if r == nil {
		return
	}
	if len(rep.Operators) > 0 {
		r.noteStats(key, rep.Operators, rep.State != proto.TaskReport_STARTED, rep.State == proto.TaskReport_FAILED)
	}
	r.reported(key, rep)
	switch rep.State {
	case proto.TaskReport_STARTED:
		c.handle(scheduler.TaskProgress{Task: key, Progress: rep.Progress})
	case proto.TaskReport_SEALED:
		c.handle(scheduler.TaskSealed{Worker: from, Task: key, Partitions: rep.Partitions})
	case proto.TaskReport_FAILED:
		err := rep.Error.PgError()
		if err == nil {
			err = pgerr.New(pgerr.InternalError, "task %s failed without an error", key)
		}
		e := scheduler.TaskFailed{Worker: from, Task: key, Err: err, Gone: rep.LostGone}
		if rep.LostInput != nil {
			lost := exchange.KeyOf(rep.LostInput)
			e.Lost = &lost
		}
		c.handle(e)
	}
}

// dropWait bounds how long Running.Close waits for remote workers.
const dropWait = 5 * time.Second

func (c *Cluster) dropQuery(x scheduler.DropQuery) {
	d := c.drops[x.Query]
	if d == nil {
		d = &drop{waiting: map[scheduler.Worker]bool{}, done: make(chan struct{})}
		c.drops[x.Query] = d
	}
	for _, id := range x.Workers {
		m := c.members[id]
		if m == nil {
			continue
		}
		if m.embedded {
			d.waiting[id] = true
			c.wg.Add(1)
			go func() {
				defer c.wg.Done()
				c.cfg.Embedded.Drop(x.Query)
				c.dropped(id, x.Query)
			}()
			continue
		}
		m.forget(x.Query)
		if m.send(&proto.WorkerCommand{Command: &proto.WorkerCommand_Drop{Drop: &proto.DropQuery{Query: x.Query}}}) && x.Running {
			d.waiting[id] = true
		}
	}
	c.settle(x.Query)
}

// settle ends the wait for a drop that everybody has confirmed. c.mu is held.
func (c *Cluster) settle(query string) {
	if d := c.drops[query]; d != nil && len(d.waiting) == 0 {
		delete(c.drops, query)
		close(d.done)
		if r := c.queries[query]; r != nil {
			delete(c.queries, query)
		}
	}
}

func (c *Cluster) dropped(from scheduler.Worker, query string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d := c.drops[query]; d != nil {
		delete(d.waiting, from)
		c.settle(query)
	}
}

// monitor lets time pass for the scheduler and the leases.
func (c *Cluster) monitor() {
	defer c.wg.Done()
	t := time.NewTicker(min(100*time.Millisecond, c.cfg.SuspectAfter/4))
	defer t.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-t.C:
		}
		c.mu.Lock()
		now := time.Now()
		c.handle(scheduler.Tick{Now: now.Sub(c.start)})
		for _, m := range c.members {
			if m.embedded {
				continue
			}
			switch silent := now.Sub(m.seen); {
			case silent > c.cfg.DeadAfter:
				c.lost(m, "no lease renewal")
			case silent > c.cfg.SuspectAfter && !m.suspect:
				c.suspect(m, "no lease renewal")
			case silent <= c.cfg.SuspectAfter && m.suspect && m.session != nil:
				m.suspect = false
				c.handle(scheduler.WorkerSuspect{Worker: m.id})
			case m.suspect && now.Sub(m.probed) > probeEvery:
				c.probe(m.id) // it may have been dying when it answered
			}
		}
		c.mu.Unlock()
	}
}

// suspect gives a member no new tasks and asks on a second path. c.mu is held.
func (c *Cluster) suspect(m *member, why string) {
	m.suspect = true
	c.cfg.Log.Warn("worker suspected", "worker", m.id.ID, "reason", why)
	c.handle(scheduler.WorkerSuspect{Worker: m.id, Suspect: true})
	c.probe(m.id)
}

// lost is the one way in which a member goes. c.mu is held.
func (c *Cluster) lost(m *member, why string) {
	if c.members[m.id] != m {
		return
	}
	delete(c.members, m.id)
	m.hangUp()
	c.peers.Forget(m.reg.ExchangeAddress)
	c.cfg.Log.Warn("worker lost", "worker", m.id.ID, "incarnation", m.id.Incarnation, "reason", why)
	c.forgetDrops(m.id)
	c.handle(scheduler.WorkerLost{Worker: m.id})
}

// Remote counts the workers of other processes.
func (c *Cluster) Remote() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.members) - 1 // the embedded one is always there
}

// Slots is how many tasks the workers that are up run at once: the embedded one's if
// there is no other.
func (c *Cluster) Slots() int {
	here, others := 0, 0
	for _, w := range c.Workers() {
		switch {
		case w.State != "up":
		case w.Embedded:
			here = w.Slots
		default:
			others += w.Slots
		}
	}
	if others > 0 {
		return others
	}
	return here
}

// Workers lists the members, the embedded one first.
func (c *Cluster) Workers() []WorkerInfo {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []WorkerInfo
	for _, m := range c.members {
		st, _ := c.sched.Worker(m.id)
		i := WorkerInfo{
			ID: m.id.ID, Incarnation: m.id.Incarnation, Address: m.reg.ExchangeAddress, Version: m.reg.Version,
			State: "up", Embedded: m.embedded, Slots: int(m.reg.Slots), Memory: m.reg.Memory,
			RunningTasks: st.Running, PlanVersionMin: int(m.reg.PlanVersionMin), PlanVersionMax: int(m.reg.PlanVersionMax),
			ConnectedAt: m.connected, LastSeen: m.seen,
			CompletedTasks: st.Done, FailedTasks: st.Failed, RetainedOutputs: int64(st.Sealed),
		}
		switch {
		case m.embedded:
			i.LastSeen = time.Now()
		case st.Suspect:
			i.State = "suspect"
		case st.Draining:
			i.State = "draining"
		}
		out = append(out, i)
	}
	slices.SortFunc(out, func(a, b WorkerInfo) int {
		if a.Embedded != b.Embedded {
			if a.Embedded {
				return -1
			}
			return 1
		}
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return out
}

// Queries lists the running queries, by start. One that runs as a single task
// here has no stages.
func (c *Cluster) Queries() []QueryInfo {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []QueryInfo
	for r := range c.direct {
		out = append(out, QueryInfo{ID: r.id, Started: r.started, Progress: r.directProgress()})
	}
	for id, r := range c.queries {
		q := QueryInfo{ID: id, Started: r.started}
		stages, progress, _ := c.sched.Query(id)
		q.Progress = progress
		for _, s := range stages {
			q.Stages = append(q.Stages, StageInfo(s))
		}
		out = append(out, q)
	}
	slices.SortFunc(out, func(a, b QueryInfo) int { return a.Started.Compare(b.Started) })
	return out
}
