package udf

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// RecordedCalls lists the calls that a host has recorded in its RecordDir, oldest
// first. What is no record is passed over.
func RecordedCalls(dir string) ([]*FailedCall, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, pgerr.Wrap(err, pgerr.IOError, "could not read %q", dir)
	}
	var out []*FailedCall
	for _, e := range entries {
		if c, err := ReadRecordedCall(filepath.Join(dir, e.Name())); err == nil {
			out = append(out, c)
		}
	}
	return out, nil
}

// ReadRecordedCall reads the description of a recorded call.
func ReadRecordedCall(dir string) (*FailedCall, error) {
	b, err := os.ReadFile(filepath.Join(dir, "call.json"))
	if err != nil {
		return nil, pgerr.Wrap(err, pgerr.UndefinedFile, "%q is not a recorded call", dir)
	}
	c := &FailedCall{}
	if err := json.Unmarshal(b, c); err != nil {
		return nil, pgerr.Wrap(err, pgerr.DataCorrupted, "%q is not a recorded call", dir)
	}
	c.Dir = dir
	return c, nil
}

// Batch reads the arguments of a recorded call.
func (c *FailedCall) Batch() (*vector.Batch, error) {
	data, err := os.ReadFile(filepath.Join(c.Dir, "args.arrow"))
	if err != nil {
		return nil, pgerr.Wrap(err, pgerr.UndefinedFile, "could not read a recorded batch")
	}
	ref, err := c.Ref()
	if err != nil {
		return nil, err
	}
	var want []types.Type
	for _, t := range ref.GetArgs() {
		want = append(want, typeFromProto(t))
	}
	b, err := vector.DecodeStream(want, data)
	if err != nil {
		return nil, err
	}
	if b.Rows() != c.Rows || c.Row < 0 || c.Row >= c.Rows {
		return nil, pgerr.New(pgerr.DataCorrupted, "the recorded batch has %d rows, its description says row %d of %d", b.Rows(), c.Row+1, c.Rows)
	}
	return b, nil
}

// Ref is the function that the call was one of.
func (c *FailedCall) Ref() (*proto.UDF, error) {
	ref := &proto.UDF{}
	if len(c.Reference) == 0 {
		return nil, pgerr.New(pgerr.DataCorrupted, "the recorded call does not say what function it was one of")
	}
	if err := protojson.Unmarshal(c.Reference, ref); err != nil {
		return nil, pgerr.Wrap(err, pgerr.DataCorrupted, "the recorded call cannot be read")
	}
	return ref, nil
}

// Replay calls ref on rows [from, to) of a recorded batch. ready is told the process
// that is about to be called, 0 if there is none here. An error of user code is a
// *CallError with the row at fault, counted in the batch.
func (h *Host) Replay(ctx context.Context, ref *proto.UDF, b *vector.Batch, from, to int, ready func(pid int) error) (*vector.Vector, error) {
	s, err := h.Scalar(ctx, ref)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	pid := 0
	if all := h.Children(); len(all) > 0 {
		pid = all[0]
	}
	if err := ready(pid); err != nil {
		return nil, err
	}
	args := make([]*vector.Vector, b.NumCols())
	for i := range args {
		args[i] = vector.Slice(b.Col(i), from, to).Flatten()
	}
	v, err := s.Call(ctx, args, to-from)
	var ce *CallError
	if errors.As(err, &ce) && ce.Row >= 0 {
		return nil, &CallError{Group: -1, Row: ce.Row + int64(from), Err: ce.Err}
	}
	return v, err
}
