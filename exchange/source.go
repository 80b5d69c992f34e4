package exchange

import (
	"context"
	"fmt"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/vector"
)

// Source yields the batches of one producer task that are for one consumer
// task, in the producer's order. Next returns nil at the end. Batches are dense
// and shared with other readers.
type Source interface {
	Next(ctx context.Context) (*vector.Batch, error)
	Close() error
}

// TaskKey is the identity of a task's attempt, as a map key.
type TaskKey struct {
	Query   string
	Stage   uint32
	Epoch   uint32
	Task    uint32
	Attempt uint32
}

// KeyOf converts the wire form; a nil id gives the zero key.
func KeyOf(id *proto.TaskID) TaskKey {
	return TaskKey{id.GetQuery(), id.GetStage(), id.GetEpoch(), id.GetTask(), id.GetAttempt()}
}

// Proto is the wire form.
func (k TaskKey) Proto() *proto.TaskID {
	return &proto.TaskID{Query: k.Query, Stage: k.Stage, Epoch: k.Epoch, Task: k.Task, Attempt: k.Attempt}
}

func (k TaskKey) String() string {
	return fmt.Sprintf("%s/%d.%d/%d.%d", k.Query, k.Stage, k.Epoch, k.Task, k.Attempt)
}

// FetchError says that a sealed output could not be read. It is a vote about
// the producer, not a verdict, unless Gone: then the producer's worker itself
// said that it does not have the output, or the data is damaged.
type FetchError struct {
	Task TaskKey
	Gone bool
	Err  *pgerr.Error // of class FetchFailed
}

func (e *FetchError) Error() string { return e.Err.Error() }

// Unwrap gives the *pgerr.Error.
func (e *FetchError) Unwrap() error { return e.Err }

func fetchError(k TaskKey, gone bool, format string, args ...any) *FetchError {
	e := pgerr.New(pgerr.IOError, "could not read the output of task %s: %s", k, fmt.Sprintf(format, args...))
	return &FetchError{Task: k, Gone: gone, Err: e.WithClass(pgerr.FetchFailed)}
}

// Partitions returns the partitions of an output that task number task of a
// stage of tasks tasks reads: all of it for gathers and broadcasts, else a
// contiguous range, so that there may be more partitions than tasks.
func Partitions(p *proto.Partitioning, task, tasks int) (from, to int) {
	switch p.GetKind() {
	case proto.Partitioning_HASH, proto.Partitioning_CHUNK:
		n := Count(p)
		return task * n / tasks, (task + 1) * n / tasks
	}
	return 0, 1
}

// Count is the number of partitions of an output.
func Count(p *proto.Partitioning) int {
	switch p.GetKind() {
	case proto.Partitioning_HASH, proto.Partitioning_CHUNK:
		return int(max(p.GetCount(), 1))
	}
	return 1
}

// Slice is a Source over batches in memory.
type Slice struct{ batches []*vector.Batch }

// NewSlice makes a Source of dense batches.
func NewSlice(batches ...*vector.Batch) *Slice { return &Slice{batches} }

// Next implements Source.
func (s *Slice) Next(ctx context.Context) (*vector.Batch, error) {
	if err := ctx.Err(); err != nil {
		return nil, pgerr.From(err)
	}
	if len(s.batches) == 0 {
		return nil, nil
	}
	b := s.batches[0]
	s.batches = s.batches[1:]
	return b, nil
}

// Close implements Source.
func (s *Slice) Close() error {
	s.batches = nil
	return nil
}
