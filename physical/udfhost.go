package physical

import (
	"context"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// Source is one producer task's output, as package exchange gives it.
type Source interface {
	Next(ctx context.Context) (*vector.Batch, error)
	Close() error
}

// UDFHost runs user code; package udf implements it.
type UDFHost interface {
	// Scalar prepares a scalar function for one call site of one task.
	Scalar(ctx context.Context, ref *proto.UDF) (function.EvalFunc, error)
	// Aggregate makes the state of a user-defined aggregate.
	Aggregate(ctx context.Context, ref *proto.UDF, argTypes []types.Type) (function.Aggregator, error)
	// GroupedMap opens a stream of groups to a grouped-map function.
	GroupedMap(ctx context.Context, ref *proto.UDF) (GroupedMapStream, error)
}

// GroupedMapStream feeds groups to a grouped-map function and takes what it
// emits. It belongs to one goroutine.
type GroupedMapStream interface {
	// Send hands on rows; offsets are the starts of the groups in them and their
	// end. The first group continues the last one of the previous Send when
	// continued; the last group is complete when last.
	Send(ctx context.Context, args []*vector.Vector, offsets []int32, continued, last bool) ([]GroupedRows, error)
	// Finish ends the input and returns what is still to come.
	Finish(ctx context.Context) ([]GroupedRows, error)
	Close() error
}

// GroupedRows are rows that a grouped-map function emitted.
type GroupedRows struct {
	Batch  *vector.Batch
	Groups []int64 // per row: the ordinal of its group in the stream, ascending
}
