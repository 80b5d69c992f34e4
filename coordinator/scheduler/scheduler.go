package scheduler

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/volleydb/volley/exchange"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
)

// The budgets of a task.
const (
	maxAttempts = 4  // failed attempts, of errors that may pass
	maxLosses   = 4  // outputs that readers could not get from a living worker
	maxDeaths   = 16 // workers that died while running it: it may be what kills them
	maxFetches  = 64 // failed reads, of whatever reason
	lostVotes   = 2  // failed reads after which an output counts as lost
)

// Config says how long to wait. Zero durations get the defaults.
type Config struct {
	NoWorkerWait time.Duration // for a query's first worker; 10 s
	LostWait     time.Duration // when all workers are gone; 30 s
	RetryDelay   time.Duration // after a first transient failure, doubled each time; 100 ms
	// RunLocally lets the embedded worker stand in while there is no other.
	RunLocally bool
	// ResultAhead is about how many bytes of result are made before the client
	// has read what comes before them; 64 MiB.
	ResultAhead int64
}

// Scheduler is the state machine. It is not safe for concurrent use.
type Scheduler struct {
	cfg     Config
	now     time.Duration
	workers []*worker // by ID
	queries []*query  // in order of submission
	out     []Command
}

type worker struct {
	WorkerUp
	suspect, draining bool
	running           int
	done, failed      int64
}

type state uint8

const (
	idle state = iota // to be run, if its stage is needed
	running
	sealed
)

type task struct {
	index     uint32
	state     state
	attempt   uint32 // current or next
	started   bool   // attempt has been given out
	worker    *worker
	parts     []*proto.PartitionStat
	progress  float64
	notBefore time.Duration
	failures  int
	alone     bool      // an attempt failed where it may have been another task's fault
	lostOn    []*worker // living workers from which readers could not get its output
	deaths    int
	votes     int
	fetches   int
	lost      bool    // an output of this epoch was lost after it was sealed
	avoid     *worker // where it failed last
	begun     bool    // result: the client has some of its rows
	taken     bool    // result: the client has all of them
}

func (t *task) finished() bool { return t.state == sealed || t.taken }

type stage struct {
	def        *proto.Stage
	epoch      uint32
	tasks      []task
	inputs     []*stage
	consumers  []*stage
	unfinished int  // tasks that are neither sealed nor taken
	need       bool // its outputs are wanted; as of the last refresh
	result     bool
	attempts   int
}

type query struct {
	id       string
	plan     *proto.Plan
	stages   []*stage
	embedded bool
	wait     time.Duration
	hadWork  bool // a worker could run it at some time
	starved  time.Duration
	waiting  bool // starved is set
	running  int
	used     []*worker
}

// New makes a scheduler without workers.
func New(cfg Config) *Scheduler {
	if cfg.NoWorkerWait <= 0 {
		cfg.NoWorkerWait = 10 * time.Second
	}
	if cfg.LostWait <= 0 {
		cfg.LostWait = 30 * time.Second
	}
	if cfg.RetryDelay <= 0 {
		cfg.RetryDelay = 100 * time.Millisecond
	}
	if cfg.ResultAhead <= 0 {
		cfg.ResultAhead = 64 << 20
	}
	return &Scheduler{cfg: cfg}
}

// Handle takes an event and returns what is to be done, in order.
func (s *Scheduler) Handle(e Event) []Command {
	s.out = nil
	switch e := e.(type) {
	case WorkerUp:
		s.workerUp(e)
	case WorkerSuspect:
		if w := s.worker(e.Worker); w != nil {
			w.suspect = e.Suspect
		}
	case WorkerDraining:
		if w := s.worker(e.Worker); w != nil {
			w.draining = true
		}
	case WorkerLost:
		s.workerLost(e.Worker)
	case WorkerResync:
		s.resync(e)
	case QuerySubmitted:
		s.submit(e)
	case TaskSealed:
		s.taskSealed(e)
	case TaskProgress:
		if _, _, t := s.current(e.Task); t != nil {
			t.progress = max(t.progress, min(e.Progress, 1))
		}
		return nil
	case TaskFailed:
		s.taskFailed(e)
	case FetchFailed:
		if q, st, t := s.sealedTask(e.Task); t != nil && st.result {
			s.vote(q, st, t, e.Gone)
			if t.state == sealed && s.query(q.id) != nil {
				s.emitReady(q, st, t)
			}
		}
	case ResultTaken:
		s.resultTaken(e)
	case Cancelled:
		if q := s.query(e.Query); q != nil {
			s.end(q)
		}
	case Tick:
		s.now = max(s.now, e.Now)
	}
	s.dispatch()
	return s.out
}

func (s *Scheduler) emit(c Command) { s.out = append(s.out, c) }

func (s *Scheduler) worker(id Worker) *worker {
	for _, w := range s.workers {
		if w.Worker == id {
			return w
		}
	}
	return nil
}

func (s *Scheduler) query(id string) *query {
	for _, q := range s.queries {
		if q.id == id {
			return q
		}
	}
	return nil
}

// find returns the task whose current attempt key names, nil otherwise.
func (s *Scheduler) find(key exchange.TaskKey) (*query, *stage, *task) {
	q := s.query(key.Query)
	if q == nil {
		return nil, nil, nil
	}
	for _, st := range q.stages {
		if st.def.Id != key.Stage {
			continue
		}
		if st.epoch != key.Epoch || int(key.Task) >= len(st.tasks) {
			return nil, nil, nil
		}
		if t := &st.tasks[key.Task]; t.started && t.attempt == key.Attempt {
			return q, st, t
		}
	}
	return nil, nil, nil
}

func (s *Scheduler) current(key exchange.TaskKey) (*query, *stage, *task) {
	if q, st, t := s.find(key); t != nil && t.state == running {
		return q, st, t
	}
	return nil, nil, nil
}

func (s *Scheduler) sealedTask(key exchange.TaskKey) (*query, *stage, *task) {
	if q, st, t := s.find(key); t != nil && t.state == sealed {
		return q, st, t
	}
	return nil, nil, nil
}

func (q *query) key(st *stage, t *task) exchange.TaskKey {
	return exchange.TaskKey{Query: q.id, Stage: st.def.Id, Epoch: st.epoch, Task: t.index, Attempt: t.attempt}
}

func (s *Scheduler) workerUp(e WorkerUp) {
	for _, w := range s.workers {
		if w.Worker == e.Worker {
			w.WorkerUp, w.suspect = e, false
			return
		}
		if w.Worker.ID == e.Worker.ID {
			s.workerLost(w.Worker)
			break
		}
	}
	s.workers = append(s.workers, &worker{WorkerUp: e})
	slices.SortFunc(s.workers, func(a, b *worker) int { return cmp.Compare(a.Worker.ID, b.Worker.ID) })
}

func (s *Scheduler) workerLost(id Worker) {
	w := s.worker(id)
	if w == nil {
		return
	}
	s.workers = slices.DeleteFunc(s.workers, func(x *worker) bool { return x == w })
	for _, q := range slices.Clone(s.queries) {
		q.used = slices.DeleteFunc(q.used, func(x *worker) bool { return x == w })
		for _, st := range q.stages {
			for i := range st.tasks {
				t := &st.tasks[i]
				// What readers said of it was its death.
				t.lostOn = slices.DeleteFunc(t.lostOn, func(x *worker) bool { return x == w })
				if t.worker != w {
					continue
				}
				switch t.state {
				case running:
					t.deaths++
					s.stop(q, t)
					if t.deaths >= maxDeaths {
						s.fail(q, pgerr.New(pgerr.CrashShutdown, "task %d of stage %d was running on %d workers when they were lost", i, st.def.Id, t.deaths).
							WithClass(pgerr.WorkerLost))
					}
				case sealed:
					s.lose(q, st, t)
				}
				t.worker = nil
			}
		}
	}
}

// stop takes a running task back, its attempt spent.
func (s *Scheduler) stop(q *query, t *task) {
	t.state, t.started, t.progress = idle, false, 0
	t.attempt++
	t.worker.running--
	q.running--
}

// lose forgets a sealed output, the attempt spent.
func (s *Scheduler) lose(q *query, st *stage, t *task) {
	if st.result {
		s.emit(ResultLost{q.key(st, t)})
	}
	t.state, t.started, t.progress, t.parts, t.votes, t.lost = idle, false, 0, nil, 0, true
	t.attempt++
	if !t.taken {
		st.unfinished++
	}
}

func (s *Scheduler) resync(e WorkerResync) {
	w := s.worker(e.Worker)
	if w == nil {
		return
	}
	w.suspect = false
	for _, q := range s.queries {
		for _, st := range q.stages {
			for i := range st.tasks {
				t := &st.tasks[i]
				if t.worker != w || t.state == idle || e.Known[q.key(st, t)] {
					continue
				}
				if t.state == running {
					s.stop(q, t)
				} else {
					s.lose(q, st, t)
				}
			}
		}
	}
	dropped := map[string]bool{}
	for _, k := range sortedKeys(e.Known) {
		switch q, _, t := s.find(k); {
		case t != nil:
		case q == nil && s.query(k.Query) == nil:
			if !dropped[k.Query] {
				dropped[k.Query] = true
				s.emit(DropQuery{Query: k.Query, Workers: []Worker{e.Worker}})
			}
		default:
			s.emit(CancelTask{e.Worker, k})
		}
	}
}

func sortedKeys(m map[exchange.TaskKey]bool) []exchange.TaskKey {
	keys := make([]exchange.TaskKey, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b exchange.TaskKey) int { return cmp.Compare(a.String(), b.String()) })
	return keys
}

func (s *Scheduler) submit(e QuerySubmitted) {
	if s.query(e.Query) != nil {
		return
	}
	q := &query{id: e.Query, plan: e.Plan, embedded: e.Embedded, wait: e.Wait}
	if q.wait <= 0 {
		q.wait = s.cfg.NoWorkerWait
	}
	byID := map[uint32]*stage{}
	local, reachable := 0, true
	for i, def := range e.Plan.Stages {
		n := int(max(def.Tasks, 1))
		st := &stage{def: def, tasks: make([]task, n), unfinished: n, result: i == len(e.Plan.Stages)-1}
		for t := range st.tasks {
			st.tasks[t].index = uint32(t)
		}
		for _, in := range def.Inputs {
			p := byID[in]
			if p == nil {
				s.emit(QueryFailed{q.id, pgerr.New(pgerr.InternalError, "stage %d reads stage %d, which does not come before it", def.Id, in)})
				return
			}
			st.inputs = append(st.inputs, p)
			p.consumers = append(p.consumers, st)
		}
		if byID[def.Id] != nil {
			s.emit(QueryFailed{q.id, pgerr.New(pgerr.InternalError, "two stages have number %d", def.Id)})
			return
		}
		byID[def.Id] = st
		q.stages = append(q.stages, st)
		if def.CoordinatorOnly {
			local++
		}
	}
	if len(q.stages) == 0 {
		s.emit(QueryFailed{q.id, pgerr.New(pgerr.InternalError, "the plan has no stage")})
		return
	}
	for _, w := range s.workers {
		if w.Embedded && w.Address == "" {
			reachable = false
		}
	}
	if local == len(q.stages) || local > 0 && !reachable {
		q.embedded = true
	}
	s.queries = append(s.queries, q)
}

func (s *Scheduler) taskSealed(e TaskSealed) {
	q, st, t := s.current(e.Task)
	if t == nil || t.worker.Worker != e.Worker {
		return
	}
	t.state, t.parts, t.votes, t.progress, t.lost = sealed, e.Partitions, 0, 1, false
	t.worker.running--
	t.worker.done++
	q.running--
	if !t.taken {
		st.unfinished--
	}
	if st.result {
		s.emitReady(q, st, t)
	}
}

func (s *Scheduler) emitReady(q *query, st *stage, t *task) {
	c := ResultReady{Task: q.key(st, t), Worker: t.worker.Worker, Address: t.worker.Address}
	if len(t.parts) > 0 {
		c.Rows, c.Bytes = t.parts[0].Rows, t.parts[0].Bytes
	}
	s.emit(c)
}

func (s *Scheduler) taskFailed(e TaskFailed) {
	q, st, t := s.current(e.Task)
	if t == nil || t.worker.Worker != e.Worker {
		return
	}
	w := t.worker
	w.failed++
	s.stop(q, t)
	t.worker, t.avoid = nil, w
	switch e.Err.Class {
	case pgerr.FetchFailed:
		t.fetches++
		if e.Lost != nil && t.fetches < maxFetches {
			// The fault lies with the input, whose losses are counted there: a
			// task that reads from many outputs of one unreachable worker fails
			// at each of them in turn.
			if pq, ps, p := s.sealedTask(*e.Lost); p != nil && pq == q {
				s.vote(q, ps, p, e.Gone)
			}
			if !e.Gone {
				t.notBefore = s.now + s.cfg.RetryDelay
			}
			return
		}
	case pgerr.WorkerLost, pgerr.Transient, pgerr.Cancelled:
		// Cancelled: not by the client, or the query would be gone. The worker
		// ends or has lost its lease.
	default:
		s.fail(q, e.Err)
		return
	}
	t.failures++
	t.alone = t.alone || pgerr.ProcessEnded(e.Err)
	if t.failures >= maxAttempts {
		err := *e.Err
		if err.Detail == "" {
			err.Detail = fmt.Sprintf("Task %d of stage %d failed %d times; this is the last error.", t.index, st.def.Id, t.failures)
		}
		s.fail(q, &err)
		return
	}
	t.notBefore = s.now + s.cfg.RetryDelay<<(t.failures-1)
}

// vote records that a sealed output could not be read.
func (s *Scheduler) vote(q *query, st *stage, t *task, gone bool) {
	s.emit(Probe{t.worker.Worker})
	t.votes++
	if !gone && t.votes < lostVotes {
		return
	}
	t.lostOn = append(t.lostOn, t.worker)
	if len(t.lostOn) >= maxLosses {
		s.fail(q, pgerr.New(pgerr.IOError, "the output of task %d of stage %d was lost %d times", t.index, st.def.Id, len(t.lostOn)).
			WithClass(pgerr.FetchFailed))
		return
	}
	t.avoid = t.worker
	s.lose(q, st, t)
	t.worker = nil
}

func (s *Scheduler) resultTaken(e ResultTaken) {
	q := s.query(e.Query)
	if q == nil {
		return
	}
	st := q.stages[len(q.stages)-1]
	if int(e.Task) >= len(st.tasks) {
		return
	}
	t := &st.tasks[e.Task]
	t.begun = true
	if !e.Done || t.taken {
		return
	}
	if t.state != sealed {
		st.unfinished--
	}
	t.taken = true
	if t.state == sealed {
		s.emit(CancelTask{t.worker.Worker, q.key(st, t)}) // nobody will read it again
	}
	for i := range st.tasks {
		if !st.tasks[i].taken {
			return
		}
	}
	s.emit(QueryDone{q.id})
	s.end(q)
}

func (s *Scheduler) fail(q *query, err *pgerr.Error) {
	if s.query(q.id) == nil {
		return // failed already in the same event
	}
	s.emit(QueryFailed{q.id, err})
	s.end(q)
}

// end forgets a query; DropQuery stops what runs.
func (s *Scheduler) end(q *query) {
	drop := DropQuery{Query: q.id, Running: q.running > 0}
	for _, w := range q.used {
		drop.Workers = append(drop.Workers, w.Worker)
	}
	for _, st := range q.stages {
		for i := range st.tasks {
			if t := &st.tasks[i]; t.state == running {
				t.worker.running--
				t.state = idle
			}
		}
	}
	s.queries = slices.DeleteFunc(s.queries, func(x *query) bool { return x == q })
	s.emit(drop)
}
