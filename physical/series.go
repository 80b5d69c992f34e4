package physical

import (
	"context"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// seriesReader makes the ranges of generate_series that a task was given, as if
// they were files: a split is the first value (offset), the number of values
// (length) and the step (size).
type seriesReader struct {
	t           types.Type
	columns     int // 0 or 1: nobody may want the values
	splits      []*proto.Split
	at          int64 // values done of splits[0]
	rows        int
	done, total int64
}

func newSeriesReader(ts []types.Type, splits []*proto.Split, rows int) (*seriesReader, error) {
	r := &seriesReader{columns: len(ts), splits: splits, rows: rows}
	if len(ts) == 1 {
		r.t = ts[0]
	}
	if len(ts) > 1 || len(ts) == 1 && r.t.ID != types.Int4 && r.t.ID != types.Int8 {
		return nil, pgerr.New(pgerr.InternalError, "a series has one integer column")
	}
	for _, s := range splits {
		r.total += s.Length
	}
	return r, nil
}

func (r *seriesReader) Next(context.Context) (*vector.Batch, error) {
	for len(r.splits) > 0 && r.at >= r.splits[0].Length {
		r.splits, r.at = r.splits[1:], 0
	}
	if len(r.splits) == 0 {
		return nil, nil
	}
	s := r.splits[0]
	n := int(min(int64(r.rows), s.Length-r.at))
	first := s.Offset + r.at*s.Size
	r.at += int64(n)
	r.done += int64(n)
	if r.columns == 0 {
		return vector.NewBatch(nil, n), nil
	}
	v := vector.New(r.t, n)
	if r.t.ID == types.Int4 {
		fillSeries(vector.Values[int32](v), int32(first), int32(s.Size))
	} else {
		fillSeries(vector.Values[int64](v), first, s.Size)
	}
	return vector.NewBatch([]*vector.Vector{v}, n), nil
}

func fillSeries[T int32 | int64](out []T, v, step T) {
	for i := range out {
		out[i] = v
		v += step
	}
}

func (r *seriesReader) Close() error { return nil }

func (r *seriesReader) Progress() (done, total int64) { return r.done, r.total }
