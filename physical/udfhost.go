package physical

import (
	"context"

	"github.com/volleydb/volley/exchange"
	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/udf"
	"github.com/volleydb/volley/vector"
)

// Source is one producer task's output.
type Source = exchange.Source

// UDFHost runs user code. HostOf makes one of a udf.Host; functions linked into
// the binary are another.
type UDFHost interface {
	// Scalar opens a scalar function for one call site of one task.
	Scalar(ctx context.Context, ref *proto.UDF) (UDFScalar, error)
	// Aggregate makes the state of a user-defined aggregate.
	Aggregate(ctx context.Context, ref *proto.UDF, argTypes []types.Type) (function.Aggregator, error)
	// GroupedMap opens a stream of groups to a grouped-map function.
	GroupedMap(ctx context.Context, ref *proto.UDF, o udf.GroupOptions) (GroupedMapStream, error)
}

// UDFScalar is udf.ScalarStream: it gives NULL for rows whose NULLs the
// function cannot take.
type UDFScalar interface {
	Call(ctx context.Context, args []*vector.Vector, n int) (*vector.Vector, error)
	Close() error
}

// UDFPipeline is a UDFScalar that works on batches while its caller does other
// things; see udf.ScalarStream. udf.MaxSubmitted batches may be under way.
type UDFPipeline interface {
	UDFScalar
	Submit(ctx context.Context, args []*vector.Vector, n int) error
	Collect(ctx context.Context) (*vector.Vector, error)
	// Window is how many batches should be under way.
	Window() int
}

// GroupedMapStream is udf.GroupedMapStream; see there.
type GroupedMapStream interface {
	Send(ctx context.Context, cols []*vector.Vector, n int, ends []int32) error
	CloseSend() error
	Wait(ctx context.Context) (canSend, canRecv bool, err error)
	Recv(ctx context.Context) (*udf.GroupOutput, error)
	Close() error
}

// HostOf adapts a host of child processes; nil stays nil.
func HostOf(h *udf.Host) UDFHost {
	if h == nil {
		return nil
	}
	return processHost{h}
}

type processHost struct{ h *udf.Host }

func (p processHost) Scalar(ctx context.Context, ref *proto.UDF) (UDFScalar, error) {
	s, err := p.h.Scalar(ctx, ref)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (p processHost) Aggregate(ctx context.Context, ref *proto.UDF, argTypes []types.Type) (function.Aggregator, error) {
	return p.h.Aggregate(ctx, ref, argTypes)
}

func (p processHost) GroupedMap(ctx context.Context, ref *proto.UDF, o udf.GroupOptions) (GroupedMapStream, error) {
	if o.OnError != udf.OnErrorFail {
		s, err := p.h.TolerantGroupedMap(ctx, ref, o)
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	s, err := p.h.GroupedMap(ctx, ref, o)
	if err != nil {
		return nil, err
	}
	return s, nil
}
