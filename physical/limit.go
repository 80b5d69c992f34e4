package physical

import (
	"context"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// limit passes rows offset … offset+limit-1 and stops asking its input.
type limit struct {
	in         Operator
	skip, left int64 // left < 0: all
}

func newLimit(n *node, op *proto.Limit) (Operator, error) {
	return &limit{in: n.ins[0], skip: op.Offset, left: op.Limit}, nil
}

func (l *limit) Next(ctx context.Context) (*vector.Batch, error) {
	for l.left != 0 {
		b, err := l.in.Next(ctx)
		if b == nil || err != nil {
			return nil, err
		}
		rows := int64(b.Rows())
		from := min(l.skip, rows)
		l.skip -= from
		to := rows
		if l.left >= 0 {
			to = from + min(rows-from, l.left)
			l.left -= to - from
		}
		if to > from {
			return b.Slice(int(from), int(to)), nil
		}
	}
	return nil, nil
}

func (l *limit) Close() error { return l.in.Close() }

// singleRow passes the only row, gives NULLs for none and refuses more: the
// value of a scalar subquery.
type singleRow struct {
	n    *node
	done bool
}

func (s *singleRow) Next(ctx context.Context) (*vector.Batch, error) {
	if s.done {
		return nil, nil
	}
	s.done = true
	var row *vector.Batch
	for {
		b, err := s.n.ins[0].Next(ctx)
		if err != nil {
			return nil, err
		}
		if b == nil {
			break
		}
		if row != nil || b.Rows() > 1 {
			return nil, moreThanOneRow()
		}
		row = b
	}
	if row == nil {
		return nullRow(s.n.types), nil
	}
	return row, nil
}

func (s *singleRow) Close() error { return s.n.closeInputs() }

func moreThanOneRow() error {
	return pgerr.New(pgerr.CardinalityViolation, "more than one row returned by a subquery used as an expression")
}

// union passes its inputs one after the other.
type union struct {
	n  *node
	at int
}

func (u *union) Next(ctx context.Context) (*vector.Batch, error) {
	for u.at < len(u.n.ins) {
		b, err := u.n.ins[u.at].Next(ctx)
		if err != nil {
			return nil, err
		}
		if b != nil {
			return retypeBatch(b, u.n.types), nil
		}
		u.at++
	}
	return nil, nil
}

func (u *union) Close() error { return u.n.closeInputs() }

// retypeBatch gives the columns the types ts, of the same representation.
func retypeBatch(b *vector.Batch, ts []types.Type) *vector.Batch {
	same := true
	for i, t := range ts {
		same = same && b.Col(i).Type == t
	}
	if same {
		return b
	}
	cols := make([]*vector.Vector, len(ts))
	for i, t := range ts {
		cols[i] = b.Col(i).Retype(t)
	}
	return vector.NewBatch(cols, b.Rows())
}

func nullRow(ts []types.Type) *vector.Batch {
	cols := make([]*vector.Vector, len(ts))
	for i, t := range ts {
		cols[i] = vector.NewNull(t, 1)
	}
	return vector.NewBatch(cols, 1)
}
