package cluster

import (
	"sort"
	"time"

	"github.com/volleydb/volley/coordinator/scheduler"
	"github.com/volleydb/volley/exchange"
	"github.com/volleydb/volley/proto"
)

// TaskRun is an attempt of a task as its coordinator saw it: from the command to the
// report of its end.
type TaskRun struct {
	Stage, Task, Attempt uint32
	Worker               string
	Start, End           time.Time // End is zero where no end was reported
	Failed               bool
	Operators            []*proto.OperatorStats
}

// launched notes that a task was given to a worker. c.mu is held.
func (r *Running) launched(key exchange.TaskKey, w scheduler.Worker) {
	if !r.opts.Timed {
		return
	}
	if r.runs == nil {
		r.runs = map[exchange.TaskKey]*TaskRun{}
	}
	r.runs[key] = &TaskRun{Stage: key.Stage, Task: key.Task, Attempt: key.Attempt, Worker: w.ID, Start: time.Now()}
}

// reported notes what a task has reported. c.mu is held.
func (r *Running) reported(key exchange.TaskKey, rep *proto.TaskReport) {
	t := r.runs[key]
	if t == nil {
		return
	}
	if len(rep.Operators) > 0 {
		t.Operators = rep.Operators
	}
	if rep.State != proto.TaskReport_STARTED && t.End.IsZero() {
		t.End, t.Failed = time.Now(), rep.State == proto.TaskReport_FAILED
	}
}

// Tasks returns the attempts of tasks so far, in the order of their starts, where
// Options.Timed asked for them.
func (r *Running) Tasks() []TaskRun {
	if !r.opts.Timed {
		return nil
	}
	if r.direct {
		return []TaskRun{{Stage: r.plan.Stages[0].Id, Worker: r.c.embedded.ID, Start: r.started, End: time.Now(), Operators: r.figures()}}
	}
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	out := make([]TaskRun, 0, len(r.runs))
	for _, t := range r.runs {
		out = append(out, *t)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Start.Before(out[j].Start) })
	return out
}
