package udf

import (
	"context"
	"io"
	"log/slog"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// HostConfig configures a Host.
type HostConfig struct {
	Store *Store
	// Fetch writes the bytes of an artifact that the store lacks; nil = there is
	// nowhere to fetch from.
	Fetch func(ctx context.Context, digest string, w io.Writer) error
	// MemoryFraction of the machine's (or cgroup's) memory is the limit of a
	// child whose functions set none; 0 = 0.25.
	MemoryFraction float64
	Logger         *slog.Logger // nil = slog.Default()
	TempDir        string       // for children's working directories; "" = the system's
	Procs          int          // GOMAXPROCS of a child; 0 = all
	NoSharedMemory bool         // send columns over the socket
}

// Host runs artifacts in child processes: one process per digest. It is safe for
// concurrent use; the streams it gives out belong to one goroutine each, unless
// they say otherwise.
type Host struct{}

// NewHost makes a host. It starts no process yet.
func NewHost(c HostConfig) (*Host, error) { return nil, nil }

// Close ends all children and waits until they and the host's goroutines are
// gone. Streams in use fail.
func (h *Host) Close() error { return nil }

// ScalarStream calls one scalar function; vectorised or per row is the plugin's
// choice.
type ScalarStream struct{}

// Scalar opens a stream to a scalar function.
func (h *Host) Scalar(ctx context.Context, ref *proto.UDF) (*ScalarStream, error) { return nil, nil }

// Call computes the function for n rows. Rows with NULL in an argument that the
// function cannot take (a STRICT function's, or a Go parameter that has no NULL)
// give NULL without a call. Large calls are cut in pieces of which two are in
// flight. When the child is lost through no fault of this call it is repeated on
// a fresh one.
func (s *ScalarStream) Call(ctx context.Context, args []*vector.Vector, n int) (*vector.Vector, error) {
	return nil, nil
}

// Close ends the stream.
func (s *ScalarStream) Close() error { return nil }

// Aggregate makes the states of an aggregate, which live in the child. ctx
// bounds all calls of the Aggregator.
func (h *Host) Aggregate(ctx context.Context, ref *proto.UDF, argTypes []types.Type) (function.Aggregator, error) {
	return nil, nil
}

// GroupOptions are the choices of GroupedMap.
type GroupOptions struct {
	// MaxOutputRows bounds the rows of one GroupOutput; 0 = no bound of its own.
	MaxOutputRows int
}

// GroupedMapStream runs a grouped-map function over consecutive groups. One
// goroutine may send while another receives; a single goroutine uses Wait to
// know which of the two will not block:
//
//	for !done {
//		canSend, canRecv, err := s.Wait(ctx)
//		switch {
//		case err != nil: …
//		case canRecv: out, err := s.Recv(ctx) // io.EOF when all is done
//		case canSend: s.Send(ctx, cols, n, ends) or s.CloseSend()
//		}
//	}
type GroupedMapStream struct{}

// GroupOutput is rows that the function emitted.
type GroupOutput struct {
	Cols []*vector.Vector // the function's columns, n rows each
	N    int
	// Row i belongs to group Base + Groups[i]; groups are numbered from 0 in the
	// order they were sent. Rows come in ascending order of groups.
	Base   int64
	Groups []int32
	// Done says that groups below it are finished: no later output names them.
	Done int64
}

// GroupedMap opens a stream to a grouped-map function.
func (h *Host) GroupedMap(ctx context.Context, ref *proto.UDF, o GroupOptions) (*GroupedMapStream, error) {
	return nil, nil
}

// Send queues n rows. ends are the rows at which groups end (exclusive,
// ascending, repeated for a group of no rows): with n = 10 and ends 3, 7 the
// rows 7 to 9 belong to a group that goes on in the next piece. It blocks while
// an earlier piece waits for room.
func (s *GroupedMapStream) Send(ctx context.Context, cols []*vector.Vector, n int, ends []int32) error {
	return nil
}

// CloseSend says that no more rows come; it ends the open group. It does not block.
func (s *GroupedMapStream) CloseSend() error { return nil }

// Wait blocks until Send would not block (and CloseSend was not called), or Recv
// has something to return.
func (s *GroupedMapStream) Wait(ctx context.Context) (canSend, canRecv bool, err error) {
	return false, false, nil
}

// Recv returns the next output, io.EOF after the last. An error that belongs to
// a group is a *CallError.
func (s *GroupedMapStream) Recv(ctx context.Context) (*GroupOutput, error) { return nil, nil }

// Close ends the stream, wherever it is.
func (s *GroupedMapStream) Close() error { return nil }
