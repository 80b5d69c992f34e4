package exchange

import (
	"context"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/vector"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
)

// maxChunk is the most bytes of a block in one message.
const maxChunk = 1 << 20

// MaxMessage bounds a message between coordinator and workers: a stage with many
// literal rows, the reports of a worker that comes back.
const MaxMessage = 512 << 20

// ServerOptions are what a gRPC server of the Exchange or Control service needs.
func ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(MaxMessage), grpc.InitialWindowSize(4 << 20), grpc.InitialConnWindowSize(16 << 20),
		// Readers ask whether the process still lives, see NewPeers.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: pingEvery / 2, PermitWithoutStream: true}),
	}
}

// Server serves a store's outputs to other processes.
type Server struct {
	proto.UnimplementedExchangeServer
	store *Store
}

// Register adds the Exchange service for a store to a gRPC server.
func Register(s grpc.ServiceRegistrar, store *Store) {
	proto.RegisterExchangeServer(s, &Server{store: store})
}

// Ping tells who answers.
func (s *Server) Ping(context.Context, *proto.PingRequest) (*proto.PingReply, error) {
	return &proto.PingReply{Incarnation: s.store.cfg.Incarnation}, nil
}

// Fetch streams partitions of a sealed output as blocks, in order. What is not
// here is status NotFound; another incarnation asked for, FailedPrecondition;
// both carry a proto.Error as detail.
func (s *Server) Fetch(req *proto.FetchRequest, stream grpc.ServerStreamingServer[proto.Chunk]) error {
	key := KeyOf(req.Task)
	if req.Incarnation != s.store.cfg.Incarnation {
		return Status(codes.FailedPrecondition, fetchError(key, true, "the worker has been restarted"))
	}
	parts := req.Partitions
	if len(parts) == 0 {
		parts = []uint32{req.Partition}
	}
	out, err := s.store.find(key, parts)
	if err != nil {
		return Status(codes.NotFound, err)
	}
	skip := req.Skip
	var buf []byte
	for _, p := range parts {
		if n := uint64(out.blocks(p)); skip >= n {
			skip -= n
			continue
		}
		for i := int(skip); ; i++ {
			b, raw, ok, err := out.read(p, i)
			if err != nil {
				return Status(codes.NotFound, err)
			}
			if !ok {
				break
			}
			if b != nil {
				// Send copies, so one buffer serves all blocks.
				if buf, err = vector.EncodeBatch(buf[:0], b); err != nil {
					return Status(codes.Internal, err)
				}
				raw = buf
			}
			for len(raw) > 0 {
				c := raw[:min(len(raw), maxChunk)]
				raw = raw[len(c):]
				if err := stream.Send(&proto.Chunk{Data: c, More: len(raw) > 0}); err != nil {
					return err
				}
			}
		}
		skip = 0
	}
	return nil
}

// Status makes a gRPC status that carries err as a proto.Error.
func Status(c codes.Code, err error) error {
	st := status.New(c, err.Error())
	if d, e := st.WithDetails(proto.FromError(err)); e == nil {
		st = d
	}
	return st.Err()
}

// FromStatus turns an error of a gRPC call into a *pgerr.Error: the one that
// the peer attached, else one of class Transient for what may pass, 57014 for a
// cancelled call.
func FromStatus(err error) *pgerr.Error {
	st, ok := status.FromError(err)
	if !ok {
		return pgerr.From(err)
	}
	for _, d := range st.Details() {
		if x, ok := d.(*proto.Error); ok {
			return x.PgError()
		}
	}
	switch st.Code() {
	case codes.Canceled, codes.DeadlineExceeded:
		return pgerr.New(pgerr.QueryCanceled, "canceling statement due to user request")
	case codes.Unavailable, codes.ResourceExhausted, codes.Aborted:
		return pgerr.New(pgerr.IOError, "%s", st.Message()).WithClass(pgerr.Transient)
	}
	return pgerr.New(pgerr.InternalError, "%s", st.Message())
}
