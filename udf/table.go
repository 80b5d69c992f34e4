package udf

import (
	"context"
	"errors"
	"io"

	goproto "google.golang.org/protobuf/proto"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/udf/sdk/wire"
	"github.com/volleydb/volley/vector"
)

// The kinds of functions that run over the stream of a grouped map: to a table
// function every row of arguments is a group, to a window function every partition.
const (
	kindTable  = "table"
	kindWindow = "window"
)

// maxDescribed bounds the columns that a function can describe.
const maxDescribed = 1600

// Describe asks a function that computes its output columns for those of a call. args
// are one row: the constant arguments, NULL for the others.
func (h *Host) Describe(ctx context.Context, ref *proto.UDF, args []*vector.Vector) ([]vector.Field, error) {
	text := types.T(types.Text)
	s, _, err := h.open(ctx, ref, wire.DescribeKind, []types.Type{text, text})
	if err != nil {
		return nil, err
	}
	g := &GroupedMapStream{s: s}
	defer g.Close()
	if err := g.Send(ctx, args, 1, []int32{1}); err != nil {
		return nil, err
	}
	if err := g.CloseSend(); err != nil {
		return nil, err
	}
	var out []vector.Field
	seen := map[string]bool{}
	for {
		o, err := g.Recv(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		for i := range o.N {
			name, of := string(o.Cols[0].BytesAt(i)), string(o.Cols[1].BytesAt(i))
			t, ok := SQLType(ManifestParam{Type: of})
			if !ok || o.Cols[0].IsNull(i) || name == "" || seen[name] || len(out) == maxDescribed {
				return nil, pgerr.New(pgerr.ExternalRoutineInvocationError, "function %s describes its column %d as %q of type %q", s.name, len(out)+1, name, of)
			}
			seen[name] = true
			out = append(out, vector.Field{Name: name, Type: t})
		}
	}
	if len(out) == 0 {
		return nil, pgerr.New(pgerr.ExternalRoutineInvocationError, "function %s describes no columns", s.name)
	}
	return out, nil
}

// withFrames is the reference of a window function with the two arguments that its
// stream has besides: where the frame of each row starts and ends in its partition.
func withFrames(ref *proto.UDF) *proto.UDF {
	int8 := typeToProto(types.T(types.Int8))
	r := goproto.Clone(ref).(*proto.UDF)
	r.Args = append(r.Args, int8, int8)
	return r
}
