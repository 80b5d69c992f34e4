package physical

import (
	"context"
	"time"

	gproto "google.golang.org/protobuf/proto"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/udf"
	"github.com/volleydb/volley/vector"
)

// udfMeasured is a stream to user code that measures what it does.
type udfMeasured interface{ Figures() udf.Figures }

// meter adds what a stream to a function measures to the figures of an operator.
type meter struct {
	stats   *OperatorStats
	figures *proto.UDFStats
	stream  udfMeasured // nil where the host measures nothing
	last    udf.Figures // of stream, that figures has
}

func (s *OperatorStats) meter(ref *proto.UDF) *meter {
	return &meter{stats: s, figures: s.udf(ref)}
}

// of says which stream is measured from now on.
func (m *meter) of(stream any) {
	m.read()
	m.stream, _ = stream.(udfMeasured)
	m.last = udf.Figures{}
	m.read()
}

// waited notes the time since start, in which an operator had nothing else to do.
func (m *meter) waited(start time.Time) {
	took := int64(time.Since(start))
	m.stats.UDFNanos += took
	m.figures.TotalNanos += took
}

// called notes a call; its rows are among the stream's figures.
func (m *meter) called() {
	m.stats.UDFCalls++
	m.figures.Calls++
}

// read adds what the stream has measured since the last time.
func (m *meter) read() {
	if m.stream == nil {
		return
	}
	f, l := m.stream.Figures(), m.last
	m.last = f
	m.figures.Rows += f.Rows - l.Rows
	m.addStream(f, l)
}

// addStream adds what has come to the figures l, but for rows, which callers of
// scalar functions count.
func (m *meter) addStream(f, l udf.Figures) {
	u := m.figures
	u.Batches += f.Batches - l.Batches
	u.UserNanos += f.UserNanos - l.UserNanos
	u.QueueNanos += f.QueueNanos - l.QueueNanos
	u.StartNanos += f.StartNanos - l.StartNanos
	u.Restarts += f.Restarts - l.Restarts
	u.Errors += f.Errors - l.Errors
}

// aggregator opens an aggregate of user code and measures it.
func (env *Env) aggregator(ctx context.Context, ref *proto.UDF, ts []types.Type, stats *OperatorStats) (function.Aggregator, error) {
	m := stats.meter(ref)
	if mode := env.onError(ref); mode != udf.ParseOnError(ref.OnError) { // the session's
		ref = gproto.Clone(ref).(*proto.UDF)
		ref.OnError = map[udf.OnError]string{udf.OnErrorFail: "fail", udf.OnErrorNull: "null"}[mode]
	}
	start := time.Now()
	a, err := env.UDF.Aggregate(ctx, ref, ts)
	m.waited(start)
	if err != nil {
		return nil, err
	}
	m.of(a)
	return &measuredAggregate{Aggregator: a, meter: m, ref: ref, attempt: env.attempt()}, nil
}

// measuredAggregate is an aggregate of user code.
type measuredAggregate struct {
	function.Aggregator
	meter   *meter
	ref     *proto.UDF
	attempt uint32
}

func (a *measuredAggregate) end(start time.Time) {
	a.meter.waited(start)
	a.meter.called()
	a.meter.read()
	if t, ok := a.Aggregator.(udfTolerantGroups); ok {
		for _, f := range t.TakeFailures() {
			a.meter.stats.failedRow(f.Proto(a.ref, "", a.attempt))
		}
	}
}

func (a *measuredAggregate) Update(groups []int32, args []*vector.Vector, n int) error {
	defer a.end(time.Now())
	return a.Aggregator.Update(groups, args, n)
}

func (a *measuredAggregate) Merge(groups []int32, states []*vector.Vector, n int) error {
	defer a.end(time.Now())
	return a.Aggregator.Merge(groups, states, n)
}

func (a *measuredAggregate) State(from, to int) ([]*vector.Vector, error) {
	defer a.end(time.Now())
	return a.Aggregator.State(from, to)
}

func (a *measuredAggregate) Final(from, to int) (*vector.Vector, error) {
	defer a.end(time.Now())
	return a.Aggregator.Final(from, to)
}

func (a *measuredAggregate) Close() error {
	a.meter.read()
	return a.Aggregator.Close()
}
