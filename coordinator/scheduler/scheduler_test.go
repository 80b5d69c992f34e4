package scheduler

import (
	"testing"
	"time"

	"github.com/volleydb/volley/exchange"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
)

var wa, wb = Worker{"a", "1"}, Worker{"b", "1"}

// plan2 is two stages: n tasks, then one that gathers them.
func plan2(n uint32) *proto.Plan {
	return &proto.Plan{Stages: []*proto.Stage{
		{Id: 1, Tasks: n, Output: &proto.Partitioning{}},
		{Id: 2, Tasks: 1, Inputs: []uint32{1}, Output: &proto.Partitioning{Kind: proto.Partitioning_RESULT}},
	}}
}

func runs(cs []Command) (out []RunTask) {
	for _, c := range cs {
		if r, ok := c.(RunTask); ok {
			out = append(out, r)
		}
	}
	return out
}

func failed(cs []Command) *pgerr.Error {
	for _, c := range cs {
		if f, ok := c.(QueryFailed); ok {
			return f.Err
		}
	}
	return nil
}

func sealEvent(r RunTask) TaskSealed {
	return TaskSealed{Worker: r.Worker, Task: r.Task, Partitions: []*proto.PartitionStat{{Rows: 1, Bytes: 10}}}
}

// Losing a worker re-runs exactly the tasks whose outputs were there and are
// still needed.
func TestRerunOnlyWhatWasLost(t *testing.T) {
	s := New(Config{})
	s.Handle(WorkerUp{Worker: wa, Slots: 2})
	s.Handle(WorkerUp{Worker: wb, Slots: 2})
	first := runs(s.Handle(QuerySubmitted{Query: "q", Plan: plan2(4)}))
	if len(first) != 4 {
		t.Fatalf("%d tasks started", len(first))
	}
	var last []RunTask
	lost := 0
	for _, r := range first {
		last = runs(s.Handle(sealEvent(r)))
		if r.Worker == wb {
			lost++
		}
	}
	if len(last) != 1 || len(last[0].Sources) != 4 {
		t.Fatalf("gather: %+v", last)
	}
	again := runs(s.Handle(WorkerLost{wb}))
	for len(again) > 0 && again[0].Task.Stage == 1 {
		r := again[0]
		if r.Task.Attempt != 1 || r.Worker != wa {
			t.Errorf("re-run as %+v", r)
		}
		lost--
		again = append(again[1:], runs(s.Handle(sealEvent(r)))...)
	}
	if lost != 0 {
		t.Errorf("%d more tasks than lost were run (negative) or missing", lost)
	}
}

// What is not retried fails the query with the very error; what is, after four.
func TestErrorClasses(t *testing.T) {
	for class := pgerr.User; class <= pgerr.Bug; class++ {
		s := New(Config{})
		s.Handle(WorkerUp{Worker: wa, Slots: 1})
		next := runs(s.Handle(QuerySubmitted{Query: "q", Plan: plan2(1)}))
		attempts := 0
		var err *pgerr.Error
		for now := time.Second; err == nil; now += time.Second {
			if len(next) != 1 {
				t.Fatalf("%s: %d tasks started", class, len(next))
			}
			attempts++
			cs := s.Handle(TaskFailed{Worker: wa, Task: next[0].Task, Err: pgerr.New(pgerr.IOError, "boom").WithClass(class)})
			err = failed(cs)
			if next = runs(cs); len(next) == 0 && err == nil {
				next = runs(s.Handle(Tick{now}))
			}
		}
		want := 1
		switch class {
		case pgerr.FetchFailed, pgerr.WorkerLost, pgerr.Transient, pgerr.Cancelled:
			want = maxAttempts
		}
		if attempts != want || err.Message != "boom" || err.Class != class {
			t.Errorf("%s: %d attempts, %v", class, attempts, err)
		}
	}
}

// A death of the worker is not the task's fault.
func TestDeathsAreNotCounted(t *testing.T) {
	s := New(Config{})
	s.Handle(QuerySubmitted{Query: "q", Plan: plan2(1)})
	for i := range 2 * maxAttempts {
		w := Worker{"w", string(rune('a' + i))}
		next := runs(s.Handle(WorkerUp{Worker: w, Slots: 1}))
		if len(next) != 1 {
			t.Fatalf("death %d: not run again", i)
		}
		if err := failed(s.Handle(WorkerLost{w})); err != nil {
			t.Fatalf("death %d: %v", i, err)
		}
	}
}

// Messages of another attempt, epoch or incarnation change nothing.
func TestStaleMessages(t *testing.T) {
	s := New(Config{})
	s.Handle(WorkerUp{Worker: wa, Slots: 4})
	r := runs(s.Handle(QuerySubmitted{Query: "q", Plan: plan2(1)}))[0]
	for _, change := range []func(*TaskSealed){
		func(e *TaskSealed) { e.Task.Attempt++ }, func(e *TaskSealed) { e.Task.Epoch++ },
		func(e *TaskSealed) { e.Worker.Incarnation = "0" }, func(e *TaskSealed) { e.Task.Query = "p" },
		func(e *TaskSealed) { e.Task.Task = 77 }, func(e *TaskSealed) { e.Task.Stage = 77 },
	} {
		e := sealEvent(r)
		change(&e)
		if cs := s.Handle(e); len(cs) != 0 {
			t.Errorf("%+v had an effect: %v", e, cs)
		}
	}
	if cs := s.Handle(sealEvent(r)); len(runs(cs)) != 1 {
		t.Errorf("the right one had none: %v", cs)
	}
}

func TestNoWorkers(t *testing.T) {
	s := New(Config{})
	s.Handle(WorkerUp{Worker: wa, Slots: 1, Embedded: true})
	s.Handle(Tick{time.Minute})
	if cs := s.Handle(QuerySubmitted{Query: "q", Plan: plan2(1)}); len(cs) != 0 {
		t.Fatal(cs)
	}
	if cs := s.Handle(Tick{time.Minute + 9*time.Second}); len(cs) != 0 {
		t.Fatal(cs)
	}
	if err := failed(s.Handle(Tick{time.Minute + 10*time.Second})); err == nil || err.Code != pgerr.CannotConnectNow || err.Hint == "" {
		t.Fatal(err)
	}
	// Coordinator-only stages run on the embedded worker.
	p := plan2(1)
	p.Stages[0].CoordinatorOnly, p.Stages[1].CoordinatorOnly = true, true
	if r := runs(s.Handle(QuerySubmitted{Query: "c", Plan: p})); len(r) != 1 || r[0].Worker != wa {
		t.Fatal(r)
	}
}

// A task that may have failed through another's fault runs alone from then on; one
// whose worker was lost does not.
func TestAlone(t *testing.T) {
	s := New(Config{})
	s.Handle(WorkerUp{Worker: wa, Slots: 2})
	r := runs(s.Handle(QuerySubmitted{Query: "q", Plan: plan2(1)}))[0]
	for i, class := range []pgerr.Class{pgerr.WorkerLost, pgerr.Transient, pgerr.WorkerLost} {
		if r.Alone != (i > 1) {
			t.Fatalf("attempt %d: %v", i, r.Alone)
		}
		s.Handle(TaskFailed{Worker: r.Worker, Task: r.Task, Err: pgerr.New(pgerr.ExternalRoutineException, "x").WithClass(class)})
		next := runs(s.Handle(Tick{time.Duration(i+1) * time.Minute}))
		if len(next) != 1 {
			t.Fatalf("attempt %d: %v", i+1, next)
		}
		r = next[0]
	}
	if !r.Alone {
		t.Fatal("forgotten")
	}
}

// One failed read is a vote; two, or the word of the worker itself, are a loss.
func TestFetchVotes(t *testing.T) {
	setup := func() (*Scheduler, RunTask, RunTask) {
		s := New(Config{})
		s.Handle(WorkerUp{Worker: wa, Slots: 2})
		s.Handle(WorkerUp{Worker: wb, Slots: 2})
		a := runs(s.Handle(QuerySubmitted{Query: "q", Plan: plan2(1)}))[0]
		return s, a, runs(s.Handle(sealEvent(a)))[0]
	}
	lost := func(r RunTask, input exchange.TaskKey, gone bool) TaskFailed {
		return TaskFailed{Worker: r.Worker, Task: r.Task, Lost: &input, Gone: gone,
			Err: pgerr.New(pgerr.IOError, "x").WithClass(pgerr.FetchFailed)}
	}
	s, a, b := setup()
	cs := s.Handle(lost(b, a.Task, false))
	if p, ok := cs[0].(Probe); !ok || p.Worker != a.Worker || len(runs(cs)) != 0 {
		t.Fatalf("first vote: %v", cs)
	}
	b = runs(s.Handle(Tick{time.Second}))[0]
	if b.Task.Stage != 2 {
		t.Fatalf("after a vote the consumer tries again, got %v", b.Task)
	}
	if r := runs(s.Handle(lost(b, a.Task, false))); len(r) != 1 || r[0].Task.Stage != 1 || r[0].Task.Attempt != 1 {
		t.Fatalf("second vote: %v", r)
	}
	s, a, b = setup()
	if r := runs(s.Handle(lost(b, a.Task, true))); len(r) != 1 || r[0].Task.Stage != 1 {
		t.Fatalf("gone: %v", r)
	}
}

// A consumer that meets many outputs of one unreachable worker does not spend
// its own budget on them.
func TestUnreachableProducers(t *testing.T) {
	s := New(Config{})
	s.Handle(WorkerUp{Worker: wa, Slots: 8})
	first := runs(s.Handle(QuerySubmitted{Query: "q", Plan: plan2(6)}))
	var next []RunTask
	for _, r := range first {
		next = runs(s.Handle(sealEvent(r)))
	}
	s.Handle(WorkerUp{Worker: wb, Slots: 8})
	now := time.Second
	for _, r := range first {
		for range lostVotes {
			if len(next) != 1 || next[0].Task.Stage != 2 {
				t.Fatalf("consumer expected: %+v", next)
			}
			cs := s.Handle(TaskFailed{Worker: next[0].Worker, Task: next[0].Task, Lost: &r.Task,
				Err: pgerr.New(pgerr.IOError, "x").WithClass(pgerr.FetchFailed)})
			if err := failed(cs); err != nil {
				t.Fatal(err)
			}
			next = append(runs(cs), runs(s.Handle(Tick{now}))...)
			now += time.Second
			if len(next) == 1 && next[0].Task.Stage == 1 {
				next = runs(s.Handle(sealEvent(next[0])))
				if len(next) == 0 {
					next = runs(s.Handle(Tick{now}))
				}
			}
		}
	}
	if cs := s.Handle(sealEvent(next[0])); len(cs) == 0 {
		t.Fatal("no result")
	}
}

// Result tasks run ahead of the client only so far, and what it has read is freed.
func TestResultAhead(t *testing.T) {
	s := New(Config{ResultAhead: 25}) // of outputs of 10
	s.Handle(WorkerUp{Worker: wa, Slots: 2})
	plan := &proto.Plan{Stages: []*proto.Stage{{Id: 1, Tasks: 9, Output: &proto.Partitioning{Kind: proto.Partitioning_RESULT}}}}
	queue := runs(s.Handle(QuerySubmitted{Query: "q", Plan: plan}))
	made := 0
	drain := func() {
		for len(queue) > 0 {
			r := queue[0]
			made++
			queue = append(queue[1:], runs(s.Handle(sealEvent(r)))...)
		}
	}
	drain()
	if made != 3 {
		t.Fatalf("%d tasks were run before the client read anything", made)
	}
	for next := uint32(0); next < 9; next++ {
		if int(next) >= made {
			t.Fatalf("task %d was not run", next)
		}
		cs := s.Handle(ResultTaken{Query: "q", Task: next, Done: true})
		freed := false
		for _, c := range cs {
			x, ok := c.(CancelTask)
			freed = freed || ok && x.Task.Task == next && x.Worker == wa
		}
		if !freed {
			t.Errorf("the output of task %d was kept", next)
		}
		queue = runs(cs)
		drain()
		if ahead := made - int(next) - 1; ahead > 3 {
			t.Fatalf("%d tasks ahead", ahead)
		}
	}
}
