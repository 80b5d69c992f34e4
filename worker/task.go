package worker

import (
	"context"
	"io"

	"github.com/volleydb/volley/exchange"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/vector"
)

// Task is one attempt as a Runner sees it.
type Task struct {
	Run *proto.RunTask // identity, stage, query context, splits
	Key exchange.TaskKey

	// Exchange opens the outputs that an ExchangeRead reads: one source per
	// producer task, in task order. The caller closes them.
	Exchange func(ctx context.Context, read *proto.ExchangeRead) ([]exchange.Source, error)

	// ArtifactDir gives the folder of an artifact that the task's stage uses;
	// all of them have been fetched when the Runner is called.
	ArtifactDir func(digest string) string

	// Local is what the coordinator passes beside the plan to tasks of its own
	// process (a *Local for NewRunner's tasks); nil for remote tasks.
	Local any
}

// Pipeline is a task's operator tree, opened. One goroutine calls Next and Keys;
// Stats and Progress may be called by another at any time.
type Pipeline interface {
	// Next returns the next batch of the stage's root, nil at the end.
	Next(ctx context.Context) (*vector.Batch, error)
	// Keys evaluates the keys of the stage's HASH partitioning over a batch.
	Keys(b *vector.Batch) ([]*vector.Vector, error)
	Stats() []*proto.OperatorStats // also after Close
	Progress() float64             // 0…1 of the task's input
	Close() error
}

// Runner builds the pipeline of a task.
type Runner func(ctx context.Context, t *Task) (Pipeline, error)

// Artifacts is the local store of UDF artifacts. Ensure returns the folder of
// an artifact, calling fetch once when it is missing; it verifies the digest and,
// where signatures are demanded, those that fetch returns. Pin keeps an artifact
// in the store until release is called.
type Artifacts interface {
	Ensure(ctx context.Context, digest string, fetch func(ctx context.Context, w io.Writer) (signatures []byte, err error)) (dir string, err error)
	Pin(digest string) (release func())
}
