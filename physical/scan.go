package physical

import (
	"context"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/storage"
	"github.com/volleydb/volley/vector"
)

// scan reads this task's splits of files and applies the pushed-down filter and
// what joins above have found out (RuntimeFilters). Readers use both to skip what
// they cannot match; they do not apply them.
type scan struct {
	n     *node
	op    *proto.Scan
	conds []*Expr
	in    storage.Reader
	left  int64 // rows until the limit, -1 = all

	// Of a reader that can, the columns of the first condition are read first, the
	// others for the rows that pass.
	late    storage.LateReader
	fixed   []*scanStep // of conds, in order
	filters []*scanFilter
	steps   []*scanStep // of both, in the order of the next batch
	passed  share       // of conds

	dicts []bool // columns that an aggregate groups by: of these dictionaries stay
}

func newScan(n *node, op *proto.Scan) (*scan, error) {
	s := &scan{n: n, op: op, left: -1}
	if op.Limit > 0 {
		s.left = op.Limit
	}
	if op.Filter != nil {
		var err error
		if s.conds, err = compileConjuncts(n, op.Filter, n.types); err != nil {
			return nil, err
		}
		s.fixed = stepsOf(s.conds, conjuncts(op.Filter, nil), s.width())
		if op.Limit > 0 {
			// The limit counts rows that pass the filter; the reader must not stop early.
			c := &proto.Scan{ScanId: op.ScanId, Format: op.Format, Name: op.Name, Columns: op.Columns,
				FileSchema: op.FileSchema, Csv: op.Csv, Filter: op.Filter, RowId: op.RowId, Json: op.Json, Extra: op.Extra, ByName: op.ByName}
			s.op = c
		}
	}
	return s, nil
}

func (s *scan) width() int { return max(len(s.n.types), len(s.op.Columns)) }

func (s *scan) open(ctx context.Context) error {
	var splits []*proto.Split
	if id := int(s.op.ScanId); id < len(s.n.env.Splits) {
		splits = s.n.env.Splits[id].GetSplits()
	}
	var in storage.Reader
	var err error
	if s.op.Format == "series" {
		in, err = newSeriesReader(s.n.types, splits, s.n.env.batchRows())
	} else {
		in, err = storage.OpenScan(ctx, s.op, splits, s.n.env.batchRows(), storage.WithText(s.n.env.text()))
	}
	if err != nil {
		return err
	}
	s.in = in
	s.late, _ = in.(storage.LateReader)
	s.begin()
	return nil
}

func (s *scan) Next(ctx context.Context) (*vector.Batch, error) {
	if s.in == nil {
		if err := s.open(ctx); err != nil {
			return nil, err
		}
	}
	for s.left != 0 {
		if err := cancelled(ctx); err != nil {
			return nil, err
		}
		b, err := s.filtered(ctx)
		if b == nil || err != nil {
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

func (s *scan) checkWidth(n int) error {
	if n != len(s.n.types) {
		return pgerr.New(pgerr.InternalError, "scan of %s gave %d columns instead of %d", s.op.Name, n, len(s.n.types))
	}
	return nil
}

func (s *scan) Close() error {
	if s.in == nil {
		return nil
	}
	return s.in.Close()
}
