package scheduler

import (
	"cmp"
	"flag"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/volleydb/volley/exchange"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
)

var seeds = flag.Int("seeds", 3000, "histories to simulate")

// sim is a cluster in which everything that can go wrong does, at random, but
// reproducibly: messages are delayed, duplicated and reordered between workers,
// workers die and join, reads fail. Outputs have values: a function of the
// stage, the task and the values read; of a volatile stage also of the attempt.
type sim struct {
	t       testing.TB
	r       *rand.Rand
	s       *Scheduler
	now     time.Duration
	workers map[Worker]*simWorker
	events  []simEvent // in flight to the scheduler
	nextID  int
	plan    *proto.Plan
	faults  int // left

	ready   map[uint32]ResultReady // of the result stage
	taken   map[uint32]string      // value the client has
	source  map[uint32]map[[2]uint32]exchange.TaskKey
	sealed  map[exchange.TaskKey]int // accepted seals
	done    bool
	err     *pgerr.Error
	drop    bool
	cleaned map[Worker]bool
}

type simWorker struct {
	id      Worker
	running map[exchange.TaskKey]RunTask
	outputs map[exchange.TaskKey]simOutput
	dead    bool
}

// simOutput is a value and, for consistency, which attempt of every upstream
// task went into it.
type simOutput struct {
	value string
	from  map[[2]uint32]exchange.TaskKey
}

type simEvent struct {
	at time.Duration
	e  Event
}

func (m *sim) send(e Event) {
	m.events = append(m.events, simEvent{m.now + time.Duration(m.r.IntN(300))*time.Millisecond, e})
	if m.r.IntN(20) == 0 { // a duplicate, late
		m.events = append(m.events, simEvent{m.now + time.Duration(m.r.IntN(3000))*time.Millisecond, e})
	}
}

func (m *sim) join() {
	m.nextID++
	id := Worker{fmt.Sprint("w", m.r.IntN(5)), fmt.Sprint("i", m.nextID)}
	for _, w := range m.workers { // same name: a restart, so the old one is dead
		if w.id.ID == id.ID {
			w.dead = true
		}
	}
	m.workers[id] = &simWorker{id: id, running: map[exchange.TaskKey]RunTask{}, outputs: map[exchange.TaskKey]simOutput{}}
	m.handle(WorkerUp{Worker: id, Address: id.ID + id.Incarnation, Slots: 1 + m.r.IntN(3)})
}

func (m *sim) alive() []*simWorker {
	var ws []*simWorker
	for _, w := range m.workers {
		if !w.dead {
			ws = append(ws, w)
		}
	}
	slices.SortFunc(ws, func(a, b *simWorker) int { return cmp.Compare(a.id.Incarnation, b.id.Incarnation) })
	return ws
}

func (m *sim) handle(e Event) {
	if s, ok := e.(TaskSealed); ok {
		if _, _, t := m.s.current(s.Task); t != nil && t.worker.Worker == s.Worker {
			m.sealed[s.Task]++
			if m.sealed[s.Task] > 1 {
				m.t.Fatalf("output of %s committed twice", s.Task)
			}
		}
	}
	for _, c := range m.s.Handle(e) {
		m.command(c)
	}
	m.check()
}

func (m *sim) command(c Command) {
	switch c := c.(type) {
	case RunTask:
		w := m.workers[c.Worker]
		if w == nil {
			m.t.Fatalf("task %s sent to unknown worker", c.Task)
		}
		if !w.dead {
			w.running[c.Task] = c
		}
	case CancelTask:
		delete(m.workers[c.Worker].running, c.Task)
		delete(m.workers[c.Worker].outputs, c.Task)
	case DropQuery:
		for _, id := range c.Workers {
			w := m.workers[id]
			clear(w.running)
			clear(w.outputs)
			m.cleaned[id] = true
		}
		m.drop = true
	case Probe:
		if m.workers[c.Worker].dead {
			m.send(WorkerLost(c))
		}
	case ResultReady:
		m.ready[c.Task.Task] = c
	case ResultLost:
		if m.ready[c.Task.Task].Task == c.Task {
			delete(m.ready, c.Task.Task)
		}
	case QueryDone:
		m.done = true
	case QueryFailed:
		m.err = c.Err
	}
}

// check verifies what must always hold.
func (m *sim) check() {
	for _, w := range m.s.workers {
		n := 0
		for _, q := range m.s.queries {
			for _, st := range q.stages {
				unfinished := 0
				for i := range st.tasks {
					t := &st.tasks[i]
					if t.state == running && t.worker == w {
						n++
					}
					if t.state != idle && t.worker == nil {
						m.t.Fatalf("stage %d task %d without worker", st.def.Id, i)
					}
					if !t.finished() {
						unfinished++
					}
				}
				if unfinished != st.unfinished {
					m.t.Fatalf("stage %d: %d unfinished, counted %d", st.def.Id, unfinished, st.unfinished)
				}
			}
		}
		if n != w.running || n > w.Slots {
			m.t.Fatalf("worker %v runs %d, counted %d, slots %d", w.Worker, n, w.running, w.Slots)
		}
	}
}

func byName(a, b exchange.TaskKey) int { return cmp.Compare(a.String(), b.String()) }

// runSome lets one task end.
func (m *sim) runSome(w *simWorker) {
	keys := make([]exchange.TaskKey, 0, len(w.running))
	for k := range w.running {
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return
	}
	slices.SortFunc(keys, byName)
	k := keys[m.r.IntN(len(keys))]
	run := w.running[k]
	delete(w.running, k)
	if m.faults > 0 && m.r.IntN(30) == 0 {
		m.faults--
		m.send(TaskFailed{Worker: w.id, Task: k, Err: pgerr.New(pgerr.IOError, "blip").WithClass(pgerr.Transient)})
		return
	}
	h := fnv.New64a()
	fmt.Fprint(h, k.Stage, k.Task)
	out := simOutput{from: map[[2]uint32]exchange.TaskKey{}}
	if run.Stage.Volatile {
		fmt.Fprint(h, k)
	}
	for _, src := range run.Sources {
		pk := exchange.KeyOf(src.Producer)
		pw := m.workers[Worker{src.WorkerId, src.Incarnation}]
		got, ok := pw.outputs[pk]
		fail := TaskFailed{Worker: w.id, Task: k, Lost: &pk, Err: pgerr.New(pgerr.IOError, "fetch").WithClass(pgerr.FetchFailed)}
		if pw.dead {
			m.send(fail)
			return
		}
		if !ok {
			fail.Gone = true
			m.send(fail)
			return
		}
		if m.faults > 0 && m.r.IntN(60) == 0 {
			m.faults--
			fail.Gone = m.r.IntN(2) == 0
			m.send(fail)
			return
		}
		fmt.Fprint(h, got.value)
		for id, a := range got.from {
			out.from[id] = a
		}
		out.from[[2]uint32{pk.Stage, pk.Task}] = pk
	}
	out.value = fmt.Sprintf("%x", h.Sum64())
	w.outputs[k] = out
	parts := []*proto.PartitionStat{{Rows: 1, Bytes: int64(m.r.IntN(100))}}
	m.send(TaskSealed{Worker: w.id, Task: k, Partitions: parts})
}

// read lets the client take the next result.
func (m *sim) read() {
	next := uint32(len(m.taken))
	c, ok := m.ready[next]
	if !ok || m.done || m.err != nil {
		return
	}
	w := m.workers[c.Worker]
	out, has := w.outputs[c.Task]
	if w.dead || !has {
		delete(m.ready, next)
		m.handle(FetchFailed{Task: c.Task, Gone: !w.dead})
		return
	}
	m.handle(ResultTaken{Query: "q", Task: next})
	if m.r.IntN(3) == 0 {
		return // rows were handed out, but not all
	}
	m.taken[next], m.source[next] = out.value, out.from
	m.handle(ResultTaken{Query: "q", Task: next, Done: true})
}

func randomPlan(r *rand.Rand, volatile bool) *proto.Plan {
	p := &proto.Plan{}
	n := 1 + r.IntN(6)
	for i := range n {
		st := &proto.Stage{Id: uint32(i + 1), Tasks: uint32(1 + r.IntN(4)), Output: &proto.Partitioning{}}
		st.Volatile = volatile && r.IntN(3) == 0
		for j := range i {
			if r.IntN(3) == 0 || j == i-1 {
				st.Inputs = append(st.Inputs, uint32(j+1))
			}
		}
		p.Stages = append(p.Stages, st)
	}
	return p
}

// oracle computes the results of a plan without volatile stages.
func oracle(p *proto.Plan) map[uint32]string {
	vals := map[uint32][]string{}
	for _, st := range p.Stages {
		for i := range st.Tasks {
			h := fnv.New64a()
			fmt.Fprint(h, st.Id, i)
			for _, in := range st.Inputs {
				for _, v := range vals[in] {
					fmt.Fprint(h, v)
				}
			}
			vals[st.Id] = append(vals[st.Id], fmt.Sprintf("%x", h.Sum64()))
		}
	}
	out := map[uint32]string{}
	for i, v := range vals[p.Stages[len(p.Stages)-1].Id] {
		out[uint32(i)] = v
	}
	return out
}

func simulate(t testing.TB, seed uint64) (rollbacks bool) {
	defer func() {
		if p := recover(); p != nil {
			t.Fatalf("seed %d: panic: %v", seed, p)
		}
	}()
	m := &sim{
		t: t, r: rand.New(rand.NewPCG(seed, 99)), s: New(Config{}),
		workers: map[Worker]*simWorker{}, ready: map[uint32]ResultReady{}, taken: map[uint32]string{},
		source: map[uint32]map[[2]uint32]exchange.TaskKey{}, sealed: map[exchange.TaskKey]int{}, cleaned: map[Worker]bool{},
	}
	volatile := seed%2 == 1
	m.plan = randomPlan(m.r, volatile)
	m.faults = m.r.IntN(4)
	deaths := m.r.IntN(8)
	for range 1 + m.r.IntN(4) {
		m.join()
	}
	m.handle(QuerySubmitted{Query: "q", Plan: m.plan})
	for steps := 0; !m.done && m.err == nil; steps++ {
		if steps > 20_000 {
			t.Fatalf("seed %d: no end; %+v", seed, m.s.queries[0])
		}
		m.now += 20 * time.Millisecond
		m.handle(Tick{m.now})
		// Deliver what has arrived.
		var rest []simEvent
		due := m.events
		m.events = nil
		for _, e := range due {
			if e.at <= m.now {
				m.handle(e.e)
			} else {
				rest = append(rest, e)
			}
		}
		m.events = append(rest, m.events...)
		ws := m.alive()
		if len(ws) > 0 && m.r.IntN(2) == 0 {
			m.runSome(ws[m.r.IntN(len(ws))])
		}
		if m.r.IntN(4) == 0 {
			m.read()
		}
		switch {
		case deaths > 0 && len(ws) > 0 && m.r.IntN(25) == 0:
			deaths--
			w := ws[m.r.IntN(len(ws))]
			switch m.r.IntN(4) {
			case 0: // forgets an output: a damaged file
				if keys := slices.SortedFunc(maps.Keys(w.outputs), byName); len(keys) > 0 && m.faults > 0 {
					m.faults--
					delete(w.outputs, keys[0])
				}
			case 1: // a hiccup: some commands never arrived
				known := map[exchange.TaskKey]bool{}
				for k := range w.running {
					known[k] = true
				}
				for k := range w.outputs {
					known[k] = true
				}
				for k := range known {
					if k.Task == 0 {
						delete(w.running, k)
						delete(w.outputs, k)
						delete(known, k)
					}
				}
				m.handle(WorkerResync{w.id, known})
			default:
				w.dead = true
				m.send(WorkerLost{w.id})
			}
		case m.r.IntN(50) == 0 && len(ws) < 5, len(ws) == 0 && m.r.IntN(20) == 0:
			m.join()
		case len(ws) > 0 && m.r.IntN(60) == 0:
			m.handle(WorkerSuspect{ws[0].id, true})
			m.send(WorkerSuspect{ws[0].id, false})
		}
	}
	for _, x := range m.s.queries {
		t.Fatalf("seed %d: query %s is still there", seed, x.id)
	}
	if !m.drop {
		t.Fatalf("seed %d: no DropQuery", seed)
	}
	if m.err != nil {
		// The only fault that may reach the client here.
		if volatile && m.err.Code == pgerr.SerializationFailure {
			return true
		}
		t.Fatalf("seed %d: %v", seed, m.err)
	}
	// Every result is built from one attempt of each volatile task.
	used := map[[2]uint32]exchange.TaskKey{}
	for task := range m.taken {
		for id, a := range m.source[task] {
			if !m.plan.Stages[id[0]-1].Volatile {
				continue
			}
			if b, ok := used[id]; ok && a != b {
				t.Fatalf("seed %d: result built from %s and %s", seed, a, b)
			}
			used[id] = a
		}
	}
	if !volatile {
		want := oracle(m.plan)
		for i, v := range want {
			if m.taken[i] != v {
				t.Fatalf("seed %d: result %d is %s, want %s", seed, i, m.taken[i], v)
			}
		}
	}
	return false
}

// Whatever happens, a query ends; with the right result as long as workers
// come back, each output committed once.
func TestSimulation(t *testing.T) {
	failed := 0
	for seed := range uint64(*seeds) {
		if simulate(t, seed) {
			failed++
		}
	}
	t.Logf("%d of %d histories ended with 40001", failed, *seeds)
	if failed > *seeds/10 {
		t.Errorf("too many: %d of %d", failed, *seeds)
	}
}
