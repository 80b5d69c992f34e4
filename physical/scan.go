package physical

import (
	"context"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/storage"
	"github.com/volleydb/volley/vector"
)

// scan reads this task's splits of files and applies the pushed-down filter.
// Readers use the filter to skip what it cannot match; they do not apply it.
type scan struct {
	n     *node
	op    *proto.Scan
	conds []*Expr
	in    storage.Reader
	left  int64 // rows until the limit, -1 = all
}

func newScan(n *node, op *proto.Scan) (Operator, error) {
	s := &scan{n: n, op: op, left: -1}
	if op.Limit > 0 {
		s.left = op.Limit
	}
	if op.Filter != nil {
		var err error
		if s.conds, err = compileConjuncts(n, op.Filter, n.types); err != nil {
			return nil, err
		}
		if op.Limit > 0 {
			// The limit counts rows that pass the filter; the reader must not stop early.
			c := &proto.Scan{ScanId: op.ScanId, Format: op.Format, Name: op.Name, Columns: op.Columns,
				FileSchema: op.FileSchema, Csv: op.Csv, Filter: op.Filter, RowId: op.RowId}
			s.op = c
		}
	}
	return s, nil
}

func (s *scan) Next(ctx context.Context) (*vector.Batch, error) {
	if s.in == nil {
		var splits []*proto.Split
		if id := int(s.op.ScanId); id < len(s.n.env.Splits) {
			splits = s.n.env.Splits[id].GetSplits()
		}
		var err error
		if s.op.Format == "series" {
			s.in, err = newSeriesReader(s.n.types, splits, s.n.env.batchRows())
		} else {
			s.in, err = storage.OpenScan(ctx, s.op, splits, s.n.env.batchRows(), storage.WithText(s.n.env.text()))
		}
		if err != nil {
			s.in = nil
			return nil, err
		}
	}
	for s.left != 0 {
		if err := cancelled(ctx); err != nil {
			return nil, err
		}
		b, err := s.in.Next(ctx)
		if b == nil || err != nil {
			return nil, err
		}
		if b.NumCols() != len(s.n.types) {
			return nil, pgerr.New(pgerr.InternalError, "scan of %s gave %d columns instead of %d", s.op.Name, b.NumCols(), len(s.n.types))
		}
		b = retypeBatch(b, s.n.types)
		if b, err = filterBatch(ctx, s.conds, b); err != nil {
			return nil, err
		}
		if b.Rows() == 0 {
			continue
		}
		if s.left > 0 {
			if int64(b.Rows()) > s.left {
				b = b.Slice(0, int(s.left))
			}
			s.left -= int64(b.Rows())
		}
		return b, nil
	}
	return nil, nil
}

func (s *scan) Close() error {
	if s.in == nil {
		return nil
	}
	return s.in.Close()
}
