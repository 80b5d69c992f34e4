package scheduler

import (
	"github.com/volleydb/volley/exchange"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
)

// refresh finds the stages whose outputs are still wanted: by the client, or by
// a wanted stage that has unfinished tasks.
func (q *query) refresh() {
	for i := len(q.stages) - 1; i >= 0; i-- {
		st := q.stages[i]
		st.need = st.result && st.unfinished > 0
		for _, c := range st.consumers {
			st.need = st.need || c.need && c.unfinished > 0
		}
	}
}

// ready reports whether the stage's idle tasks may run.
func (st *stage) ready() bool {
	for _, in := range st.inputs {
		if in.unfinished > 0 {
			return false
		}
	}
	return st.unfinished > 0 && st.need
}

// dispatch rolls back what must be, fills the free slots, and ends queries
// that nobody can run.
func (s *Scheduler) dispatch() {
	for i := 0; i < len(s.queries); {
		q := s.queries[i]
		s.rollBack(q)
		if i < len(s.queries) && s.queries[i] == q {
			i++
		}
	}
	for s.startOne() {
	}
	for i := 0; i < len(s.queries); {
		q := s.queries[i]
		s.starve(q)
		if i < len(s.queries) && s.queries[i] == q {
			i++
		}
	}
}

// rollBack starts a new epoch of volatile stages of which an output must be made
// again although consumers may have read the old one.
func (s *Scheduler) rollBack(q *query) {
	for again := true; again; {
		q.refresh()
		again = false
		for _, st := range q.stages {
			switch st.mustReset() {
			case resetNo:
				continue
			case resetPossible:
				if s.reset(q, st, map[*stage]bool{}) {
					again = true // it may need others again
					break
				}
				fallthrough
			default:
				s.fail(q, cannotRollBack())
				return
			}
		}
	}
}

const (
	resetNo = iota
	resetPossible
	resetImpossible // the client has some rows of a task that must run again
)

func (st *stage) mustReset() int {
	if !st.def.Volatile || st.unfinished == 0 || !st.need {
		return resetNo
	}
	lost := false
	for i := range st.tasks {
		t := &st.tasks[i]
		if !t.lost || t.finished() {
			continue
		}
		lost = true
		if st.result && t.begun {
			return resetImpossible
		}
	}
	if lost && touched(st) {
		return resetPossible
	}
	return resetNo
}

func cannotRollBack() *pgerr.Error {
	return pgerr.New(pgerr.SerializationFailure, "could not repeat a volatile part of the query whose rows were sent already").
		WithDetail("A worker was lost while the result was being read.").WithHint("Run the statement again.")
}

// touched reports whether some consumer task has read, or may be reading.
func touched(st *stage) bool {
	for _, c := range st.consumers {
		for i := range c.tasks {
			if t := &c.tasks[i]; t.state != idle || t.lost || t.begun {
				return true
			}
		}
	}
	return false
}

// reset gives a stage and its consumers a new epoch. It reports false when rows
// of one of them are with the client.
func (s *Scheduler) reset(q *query, st *stage, seen map[*stage]bool) bool {
	if seen[st] {
		return true
	}
	seen[st] = true
	for i := range st.tasks {
		t := &st.tasks[i]
		if t.begun {
			return false
		}
		switch t.state {
		case running:
			s.emit(CancelTask{t.worker.Worker, q.key(st, t)})
			s.stop(q, t)
		case sealed:
			s.lose(q, st, t)
		}
		t.worker, t.lost = nil, false
	}
	st.epoch++
	for _, c := range st.consumers {
		if !s.reset(q, c, seen) {
			return false
		}
	}
	return true
}

// startOne starts one task: of the query that runs fewest, so that a short query
// is not held up by a long one.
func (s *Scheduler) startOne() bool {
	var (
		bestQ *query
		bestS *stage
		bestT *task
		bestW *worker
	)
	for _, q := range s.queries {
		if bestQ != nil && q.running >= bestQ.running {
			continue
		}
		if st, t, w := s.pick(q); t != nil {
			bestQ, bestS, bestT, bestW = q, st, t, w
		}
	}
	if bestT == nil {
		return false
	}
	s.start(bestQ, bestS, bestT, bestW)
	return true
}

// pick returns a runnable task of the query and the worker for it.
func (s *Scheduler) pick(q *query) (*stage, *task, *worker) {
	for _, st := range q.stages {
		if !st.ready() || !s.anySlot(q, st) {
			continue
		}
		// A client that reads slowly must not fill memory and disks: only the task
		// that it reads next goes on then.
		full := st.result && st.unread() >= s.cfg.ResultAhead
		for i := range st.tasks {
			t := &st.tasks[i]
			if t.taken {
				continue
			}
			if t.state == idle && t.notBefore <= s.now {
				if w := s.place(q, st, i); w != nil {
					return st, t, w
				}
			}
			if full {
				break
			}
		}
	}
	return nil, nil, nil
}

// unread estimates the bytes of result that wait for the client: those of sealed
// outputs, and as much again per running task as sealed ones had on average.
func (st *stage) unread() int64 {
	var waiting, all, sealedTasks, runningTasks int64
	for i := range st.tasks {
		t := &st.tasks[i]
		if t.state == running {
			runningTasks++
		}
		if len(t.parts) == 0 {
			continue
		}
		sealedTasks++
		all += t.parts[0].Bytes
		if !t.taken {
			waiting += t.parts[0].Bytes
		}
	}
	if sealedTasks > 0 {
		waiting += runningTasks * (all / sealedTasks)
	}
	return waiting
}

func (s *Scheduler) remotes() bool {
	for _, w := range s.workers {
		if !w.Embedded {
			return true
		}
	}
	return false
}

// may reports whether a worker is one that runs tasks of a stage.
func (s *Scheduler) may(q *query, st *stage, w *worker) bool {
	if w.draining || w.PlanMax > 0 && (q.plan.Version < w.PlanMin || q.plan.Version > w.PlanMax) {
		return false
	}
	if st.def.CoordinatorOnly || q.embedded {
		return w.Embedded
	}
	return !w.Embedded || s.cfg.RunLocally && !s.remotes()
}

func (s *Scheduler) anySlot(q *query, st *stage) bool {
	for _, w := range s.workers {
		if !w.suspect && w.running < w.Slots && s.may(q, st, w) {
			return true
		}
	}
	return false
}

// place chooses a worker: the one that holds most of the input, if that is a
// clear majority, else the least loaded; not where the task failed last, if
// there is another.
func (s *Scheduler) place(q *query, st *stage, index int) *worker {
	t := &st.tasks[index]
	var best *worker
	for _, w := range s.workers {
		if w.suspect || w.running >= w.Slots || !s.may(q, st, w) {
			continue
		}
		if best == nil || best == t.avoid || w != t.avoid && w.running*best.Slots < best.running*w.Slots {
			best = w
		}
	}
	if best == nil || len(st.inputs) == 0 || len(s.workers) == 1 {
		return best
	}
	total, at := int64(0), map[*worker]int64{}
	for _, in := range st.inputs {
		from, to := exchange.Partitions(in.def.Output, index, len(st.tasks))
		for i := range in.tasks {
			p := &in.tasks[i]
			for _, part := range p.parts[min(from, len(p.parts)):min(to, len(p.parts))] {
				total += part.Bytes
				at[p.worker] += part.Bytes
			}
		}
	}
	for _, w := range s.workers {
		if 2*at[w] > total && w != t.avoid && !w.suspect && w.running < w.Slots && s.may(q, st, w) {
			return w
		}
	}
	return best
}

func (s *Scheduler) start(q *query, st *stage, t *task, w *worker) {
	if w.Embedded && !st.def.CoordinatorOnly {
		// The embedded worker stands in. It may have no address, so that others
		// could not read what it makes: the rest of the query stays with it.
		q.embedded = true
	}
	t.state, t.started, t.worker = running, true, w
	w.running++
	q.running++
	st.attempts++
	q.hadWork = true
	seen := false
	for _, u := range q.used {
		seen = seen || u == w
	}
	if !seen {
		q.used = append(q.used, w)
	}
	key := q.key(st, t)
	run := RunTask{Worker: w.Worker, Task: key, Stage: st.def, Alone: t.alone}
	for _, in := range st.inputs {
		from, to := exchange.Partitions(in.def.Output, int(key.Task), len(st.tasks))
		for i := range in.tasks {
			p := &in.tasks[i]
			src := &proto.TaskSource{
				Producer: q.key(in, p).Proto(), WorkerId: p.worker.Worker.ID,
				Incarnation: p.worker.Worker.Incarnation,
			}
			if p.worker != w {
				src.Address = p.worker.Address
			}
			for part := from; part < to && part < len(p.parts); part++ {
				src.Read = append(src.Read, uint32(part))
				src.Partitions = append(src.Partitions, p.parts[part])
			}
			run.Sources = append(run.Sources, src)
		}
	}
	s.emit(run)
}

// starve fails a query that has waited too long for any worker at all.
func (s *Scheduler) starve(q *query) {
	if q.running > 0 {
		q.waiting = false
		return
	}
	stuck := false
	for _, st := range q.stages {
		if !st.ready() {
			continue
		}
		able := false
		for _, w := range s.workers {
			able = able || s.may(q, st, w)
		}
		stuck = stuck || !able
	}
	if !stuck {
		q.waiting = false
		return
	}
	if !q.waiting {
		q.waiting, q.starved = true, s.now
	}
	switch wait := s.now - q.starved; {
	case !q.hadWork && wait >= q.wait:
		s.fail(q, pgerr.New(pgerr.CannotConnectNow, "no workers are connected").WithClass(pgerr.Resource).
			WithHint("Start one with: volley worker --coordinator HOST:PORT"))
	case q.hadWork && wait >= s.cfg.LostWait:
		s.fail(q, pgerr.New(pgerr.CrashShutdown, "all workers of the query were lost").WithClass(pgerr.WorkerLost).
			WithHint("Start a worker with: volley worker --coordinator HOST:PORT"))
	}
}

// StageState describes a stage of a query.
type StageState struct {
	ID, Epoch                      uint32
	Tasks, Waiting, Running, Ended int
	Attempts                       int
}

// Query describes a query under way; ok is false when there is none.
func (s *Scheduler) Query(id string) (stages []StageState, progress float64, ok bool) {
	q := s.query(id)
	if q == nil {
		return nil, 0, false
	}
	var sum, n float64
	for _, st := range q.stages {
		x := StageState{ID: st.def.Id, Epoch: st.epoch, Tasks: len(st.tasks), Attempts: st.attempts}
		for i := range st.tasks {
			t := &st.tasks[i]
			n++
			switch {
			case t.finished():
				x.Ended++
				sum++
			case t.state == running:
				x.Running++
				sum += t.progress
			default:
				x.Waiting++
			}
		}
		stages = append(stages, x)
	}
	return stages, sum / n, true
}

// WorkerState describes a worker's tasks.
type WorkerState struct {
	Suspect, Draining bool
	Running, Sealed   int
	Done, Failed      int64
}

// Worker describes a worker; ok is false when there is none.
func (s *Scheduler) Worker(id Worker) (x WorkerState, ok bool) {
	w := s.worker(id)
	if w == nil {
		return x, false
	}
	x = WorkerState{Suspect: w.suspect, Draining: w.draining, Running: w.running, Done: w.done, Failed: w.failed}
	for _, q := range s.queries {
		for _, st := range q.stages {
			for i := range st.tasks {
				if t := &st.tasks[i]; t.worker == w && t.state == sealed {
					x.Sealed++
				}
			}
		}
	}
	return x, true
}
