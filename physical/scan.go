package physical

import (
	"context"
	"slices"

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

	// Of a reader that can, the columns of the filter are read first, the others
	// for the rows that pass.
	late  storage.LateReader
	first []bool
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
		s.first = make([]bool, max(len(n.types), len(op.Columns)))
		markColumns(op.Filter, s.first)
		if !slices.Contains(s.first[:len(op.Columns)], false) {
			s.first = nil
		}
		if op.Limit > 0 {
			// The limit counts rows that pass the filter; the reader must not stop early.
			c := &proto.Scan{ScanId: op.ScanId, Format: op.Format, Name: op.Name, Columns: op.Columns,
				FileSchema: op.FileSchema, Csv: op.Csv, Filter: op.Filter, RowId: op.RowId,
				Json: op.Json, Extra: op.Extra, ByName: op.ByName}
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
		if s.first != nil {
			s.late, _ = s.in.(storage.LateReader)
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

// filtered reads a batch and applies the filter, which may leave no row of it.
func (s *scan) filtered(ctx context.Context) (*vector.Batch, error) {
	if s.late != nil {
		return s.filteredLate(ctx)
	}
	b, err := s.in.Next(ctx)
	if b == nil || err != nil {
		return nil, err
	}
	if err := s.checkWidth(b.NumCols()); err != nil {
		return nil, err
	}
	return filterBatch(ctx, s.conds, retypeBatch(b, s.n.types))
}

func (s *scan) checkWidth(n int) error {
	if n != len(s.n.types) {
		return pgerr.New(pgerr.InternalError, "scan of %s gave %d columns instead of %d", s.op.Name, n, len(s.n.types))
	}
	return nil
}

func (s *scan) filteredLate(ctx context.Context) (*vector.Batch, error) {
	cols, n, err := s.late.Begin(ctx, s.first)
	if err != nil || n == 0 {
		return nil, err
	}
	if err := s.checkWidth(len(cols)); err != nil {
		return nil, err
	}
	retype := func() {
		for i, c := range cols {
			if c != nil {
				cols[i] = c.Retype(s.n.types[i])
			}
		}
	}
	retype()
	rows, err := filterRows(ctx, s.conds, vector.NewBatch(cols, n))
	if err != nil {
		return nil, err
	}
	if rows != nil && len(rows) <= n/2 {
		// Few rows: what is read now has these only, and the rest follows.
		for i, c := range cols {
			if c != nil {
				cols[i] = vector.Gather(c, rows)
			}
		}
		err := s.late.Rest(ctx, cols, rows)
		if err != nil || len(rows) == 0 {
			return vector.NewBatch(nil, 0), err
		}
		retype()
		return vector.NewBatch(cols, len(rows)), nil
	}
	if err := s.late.Rest(ctx, cols, nil); err != nil {
		return nil, err
	}
	retype()
	b := vector.NewBatch(cols, n)
	if rows != nil {
		b = b.Select(rows)
	}
	return b, nil
}

func (s *scan) Close() error {
	if s.in == nil {
		return nil
	}
	return s.in.Close()
}
