package physical

import (
	"context"
	"sort"
	"sync"
	"time"

	gproto "google.golang.org/protobuf/proto"

	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/vector"
)

// Recorder collects figures per operator of one task. A nil Recorder records
// nothing.
type Recorder struct {
	mu    sync.Mutex
	ops   map[uint32]*OperatorStats
	ended bool // the task is over: its failed rows are complete
}

// End says that the task has ended: Stats then has its failed rows.
func (r *Recorder) End() {
	if r != nil {
		r.mu.Lock()
		r.ended = true
		r.mu.Unlock()
	}
}

// OperatorStats are the figures of one operator of a task. They are written by
// the task's goroutine; read them after it has ended, or accept slightly old
// values.
type OperatorStats struct {
	Rows         int64
	Batches      int64
	Nanos        int64 // wall time inside Next, inputs included
	PeakMemory   int64 // bytes
	SpilledBytes int64
	UDFCalls     int64 // batches handed to user code
	UDFNanos     int64
	UDFs         []*proto.UDFStats // per function
	UDFErrors    []*proto.UDFError // rows that failed and did not fail the statement

	moreErrors int64 // beyond maxUDFErrors
}

// NewRecorder makes an empty recorder.
func NewRecorder() *Recorder { return &Recorder{ops: map[uint32]*OperatorStats{}} }

func (r *Recorder) operator(id uint32) *OperatorStats {
	if r == nil {
		return &OperatorStats{}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.ops[id]
	if s == nil {
		s = &OperatorStats{}
		r.ops[id] = s
	}
	return s
}

// Stats returns the figures in the order of operator ids.
func (r *Recorder) Stats() []*proto.OperatorStats {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]*proto.OperatorStats, 0, len(r.ops))
	for id, s := range r.ops {
		o := &proto.OperatorStats{Id: id, Rows: s.Rows, Batches: s.Batches, Nanos: s.Nanos,
			PeakMemory: s.PeakMemory, SpilledBytes: s.SpilledBytes, UdfCalls: s.UDFCalls, UdfNanos: s.UDFNanos}
		for _, u := range s.UDFs { // copied: the task goes on while somebody reads them
			o.Udfs = append(o.Udfs, gproto.Clone(u).(*proto.UDFStats))
		}
		if r.ended {
			o.UdfErrors = s.UDFErrors
		}
		out = append(out, o)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Id < out[j].Id })
	return out
}

// measured counts what an operator yields and gives its memory back at the end.
type measured struct {
	in    Operator
	stats *OperatorStats
	mem   *Account
	done  bool
}

func (m *measured) Next(ctx context.Context) (*vector.Batch, error) {
	if m.done {
		return nil, nil
	}
	if err := cancelled(ctx); err != nil {
		return nil, err
	}
	start := time.Now()
	b, err := m.in.Next(ctx)
	m.stats.Nanos += int64(time.Since(start))
	if err != nil {
		return nil, err
	}
	if b == nil {
		m.done = true
		return nil, nil
	}
	m.stats.Rows += int64(b.Rows())
	m.stats.Batches++
	return b, nil
}

func (m *measured) Close() error {
	err := m.in.Close()
	m.mem.release()
	return err
}
