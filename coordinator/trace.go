package coordinator

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/volleydb/volley/coordinator/cluster"
)

// tracePlan records the spans of a plan that has ended: one for the plan, below it
// one per stage, per attempt of a task, and per function that the task called. They
// are made of what the tasks have reported, all at once: while a plan runs tracing
// costs a note per task.
func (x *statement) tracePlan(r *cluster.Running, started time.Time, failed bool) {
	tracer := x.s.c.cfg.Tracer
	if tracer == nil || r == nil {
		return
	}
	tasks := r.Tasks()
	now := time.Now()
	ctx, query := tracer.Start(context.Background(), "query", trace.WithTimestamp(started), trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(
			attribute.String("db.system.name", "volley"),
			attribute.String("db.namespace", x.s.o.Database),
			attribute.String("db.query.text", x.st.SQL),
			attribute.String("volley.user", x.s.o.User),
			attribute.String("volley.query_id", x.id),
		))
	if failed {
		query.SetStatus(codes.Error, "the statement failed")
	}
	defer query.End(trace.WithTimestamp(now))
	type stage struct {
		id         uint32
		start, end time.Time
		tasks      []*cluster.TaskRun
	}
	var stages []*stage
	byID := map[uint32]*stage{}
	for i := range tasks {
		t := &tasks[i]
		if t.End.IsZero() {
			t.End = now
		}
		s := byID[t.Stage]
		if s == nil {
			s = &stage{id: t.Stage, start: t.Start}
			byID[t.Stage] = s
			stages = append(stages, s)
		}
		if t.End.After(s.end) {
			s.end = t.End
		}
		s.tasks = append(s.tasks, t)
	}
	for _, s := range stages {
		sctx, span := tracer.Start(ctx, "stage", trace.WithTimestamp(s.start), trace.WithAttributes(
			attribute.Int("volley.stage", int(s.id)), attribute.Int("volley.tasks", len(s.tasks))))
		for _, t := range s.tasks {
			traceTask(sctx, tracer, t)
		}
		span.End(trace.WithTimestamp(s.end))
	}
}

func traceTask(ctx context.Context, tracer trace.Tracer, t *cluster.TaskRun) {
	ctx, span := tracer.Start(ctx, "task", trace.WithTimestamp(t.Start), trace.WithAttributes(
		attribute.Int("volley.stage", int(t.Stage)), attribute.Int("volley.task", int(t.Task)),
		attribute.Int("volley.attempt", int(t.Attempt)+1), attribute.String("volley.worker", t.Worker)))
	if t.Failed {
		span.SetStatus(codes.Error, "the task failed")
	}
	for _, o := range t.Operators {
		for _, u := range o.Udfs {
			// The calls of a task together: their time is a sum, from its start.
			end := t.Start.Add(time.Duration(u.TotalNanos))
			if end.After(t.End) {
				end = t.End
			}
			_, call := tracer.Start(ctx, "function "+u.Function, trace.WithTimestamp(t.Start), trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
				attribute.String("volley.function", u.Function), attribute.Int("volley.function.version", int(u.Version)),
				attribute.String("volley.function.digest", u.Digest), attribute.Int64("volley.calls", u.Calls), attribute.Int64("volley.batches", u.Batches),
				attribute.Int64("volley.rows", u.Rows), attribute.Int64("volley.user_us", u.UserNanos/1000), attribute.Int64("volley.queue_us", u.QueueNanos/1000),
				attribute.Int64("volley.cold_start_us", u.StartNanos/1000),
				attribute.Int64("volley.transfer_us", max(u.TotalNanos-u.UserNanos-u.QueueNanos-u.StartNanos, 0)/1000),
				attribute.Int64("volley.restarts", u.Restarts), attribute.Int64("volley.errors", u.Errors)))
			if u.Errors > 0 {
				call.SetStatus(codes.Error, "rows or groups failed")
			}
			call.End(trace.WithTimestamp(end))
		}
	}
	span.End(trace.WithTimestamp(t.End))
}
