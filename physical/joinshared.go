package physical

import (
	"context"
	"sync"

	"github.com/volleydb/volley/proto"
)

// SharedBuilds keeps build sides of joins that the tasks of a query have in common
// on one worker: each of them reads the whole of a broadcast input, and the first
// makes the table for all. Only tables that a probe does not write to are shared.
// They stay, charged to the query, until Close or until memory is short and no
// task uses them. Safe for concurrent use; nil shares nothing.
type SharedBuilds struct {
	mem    *Account
	mu     sync.Mutex
	builds map[sharedKey]*sharedBuild
}

// sharedKey names the rows and what is made of them.
type sharedKey struct {
	stage int
	op    uint32
	input string
}

type sharedBuild struct {
	ready chan struct{} // closed when its maker knows what becomes of it
	refs  int           // tasks that use it or wait for it
	again bool          // the maker failed: another task is to try

	// Of a build that is ready. Without one every task makes its own.
	build               *joinBuild
	held                int64
	made                map[int]*keyFilter
	anyRight, nullRight bool
}

// NewSharedBuilds makes the builds of a query whose account on this worker is mem.
func NewSharedBuilds(mem *Account) *SharedBuilds {
	s := &SharedBuilds{mem: mem, builds: map[sharedKey]*sharedBuild{}}
	mem.spare = s.spare
	return s
}

// Close frees all builds; no task uses them any more.
func (s *SharedBuilds) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := range s.builds {
		s.drop(k)
	}
}

// drop forgets a build; s.mu is held.
func (s *SharedBuilds) drop(k sharedKey) {
	s.mem.Shrink(s.builds[k].held)
	delete(s.builds, k)
}

// spare frees what no task uses and reports whether that was anything.
func (s *SharedBuilds) spare() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	any := false
	for k, e := range s.builds {
		if e.refs == 0 && e.held > 0 {
			s.drop(k)
			any = true
		}
	}
	return any
}

// acquire returns the build of a key for this task, which releases it. With make
// the task is the one to make it, and says what became of it by publish.
func (s *SharedBuilds) acquire(ctx context.Context, k sharedKey) (e *sharedBuild, make bool, err error) {
	for {
		s.mu.Lock()
		e := s.builds[k]
		if e == nil {
			e = &sharedBuild{ready: newReady(), refs: 1}
			s.builds[k] = e
			s.mu.Unlock()
			return e, true, nil
		}
		e.refs++
		s.mu.Unlock()
		select {
		case <-e.ready:
		case <-ctx.Done():
			s.release(e)
			return nil, false, cancelled(ctx)
		}
		if e.again {
			s.release(e)
			continue
		}
		return e, false, nil
	}
}

func newReady() chan struct{} { return make(chan struct{}) }

func (s *SharedBuilds) release(e *sharedBuild) {
	s.mu.Lock()
	e.refs--
	s.mu.Unlock()
}

// fail lets another task try to make the build.
func (s *SharedBuilds) fail(k sharedKey, e *sharedBuild) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.again = true
	e.refs--
	if s.builds[k] == e {
		delete(s.builds, k)
	}
	close(e.ready)
}

// sharedKey names the build of a join that reads the same rows in every task.
func (j *join) sharedKey() (k sharedKey, ok bool) {
	env, op := j.n.env, j.n.op
	switch j.kind {
	case proto.Join_RIGHT, proto.Join_FULL:
		return k, false // they note which rows have matched
	}
	read := op.Inputs[1].GetExchangeRead()
	if env.Builds == nil || env.Input == nil || read == nil || len(env.outer) > 0 || len(env.work) > 0 ||
		volatileExprs(op.GetJoin().RightKeys...) {
		return k, false
	}
	in := env.Input(read.Stage)
	return sharedKey{env.Stage, op.Id, in}, in != ""
}

// beginFirst is begin for the inputs of the operator, with a build that tasks share
// where there is one.
func (j *join) beginFirst(ctx context.Context, left batchSource) error {
	k, ok := j.sharedKey()
	if !ok {
		return j.begin(ctx, left, j.n.ins[1], 0)
	}
	s := j.n.env.Builds
	e, first, err := s.acquire(ctx, k)
	if err != nil {
		return err
	}
	if first {
		done := false
		defer func() {
			if !done {
				s.fail(k, e)
			}
		}()
		if err := j.begin(ctx, left, j.n.ins[1], 0); err != nil {
			return err
		}
		done = true
		j.publish(s, e)
		return nil
	}
	if e.build == nil {
		s.release(e)
		return j.begin(ctx, left, j.n.ins[1], 0)
	}
	j.anyRight, j.nullRight = e.anyRight, e.nullRight
	for _, f := range j.filters {
		f.set = e.made[f.key]
	}
	j.probeWith(e.build, left, 0)
	j.pass.shared = e
	return nil
}

// publish hands the build of this task to the others, if they can share it.
func (j *join) publish(s *SharedBuilds, e *sharedBuild) {
	defer close(e.ready)
	p := j.pass
	if p == nil || p.build.table != nil || s.mem.Grow(p.held) != nil {
		s.release(e)
		return
	}
	j.n.mem.Shrink(p.held)
	e.build, e.held, e.made = p.build, p.held, j.made
	e.anyRight, e.nullRight = j.anyRight, j.nullRight
	p.held, p.shared = 0, e
}
