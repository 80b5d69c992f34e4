package cluster

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/worker"
)

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
