package physical

import (
	"context"

	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// filter passes the rows for which a condition is true, by selection: no value
// is copied. The conjuncts run one after the other, each over the rows that are
// left, so that a later one cannot raise an error for a row that an earlier one
// has refused.
type filter struct {
	in    Operator
	conds []*Expr
	skip  *skipSet
}

func newFilter(n *node, op *proto.Filter) (Operator, error) {
	var conds []*Expr
	skip, err := n.skipping(func() (err error) { conds, err = compileConjuncts(n, op.Cond, n.inTypes(0)); return err })
	if err != nil {
		return nil, err
	}
	in := n.ins[0]
	if skip != nil {
		in = &numbered{in}
	}
	if len(conds) > 0 {
		in = pipelined(in, conds[:1]) // the others are for the rows that are left
	}
	return &filter{in: in, conds: conds, skip: skip}, nil
}

func (f *filter) Next(ctx context.Context) (*vector.Batch, error) {
	for {
		b, err := f.in.Next(ctx)
		if b == nil || err != nil {
			return nil, err
		}
		if f.skip != nil {
			b, err = f.skipped(ctx, b)
		} else {
			b, err = filterBatch(ctx, f.conds, b)
		}
		if err != nil {
			return nil, err
		}
		if b.Rows() > 0 {
			return b, nil
		}
		if err := cancelled(ctx); err != nil {
			return nil, err
		}
	}
}

// skipped is filterBatch where rows may be left out besides.
func (f *filter) skipped(ctx context.Context, b *vector.Batch) (*vector.Batch, error) {
	rows, err := filterRows(ctx, f.conds, b)
	if err != nil {
		return nil, err
	}
	if len(f.skip.rows) > 0 {
		rows = f.skip.keep(b.Rows(), rows)
	}
	b = withoutNumbers(b)
	if rows == nil {
		return b, nil
	}
	return b.Select(rows), nil
}

func (f *filter) Close() error { return f.in.Close() }

// filterBatch returns the rows of b for which all conditions are true.
func filterBatch(ctx context.Context, conds []*Expr, b *vector.Batch) (*vector.Batch, error) {
	rows, err := filterRows(ctx, conds, b)
	if err != nil || rows == nil {
		return b, err
	}
	return b.Select(rows), nil
}

// filterRows returns the rows of b for which all conditions are true, nil if
// that is all of them.
func filterRows(ctx context.Context, conds []*Expr, b *vector.Batch) ([]int32, error) {
	var passed []int32
	all := b
	for _, c := range conds {
		rows, err := c.trueRows(ctx, b)
		if err != nil {
			return nil, err
		}
		if len(rows) == b.Rows() {
			continue
		}
		for i, r := range rows {
			if passed != nil {
				rows[i] = passed[r]
			}
		}
		passed = rows
		if len(rows) == 0 {
			break
		}
		b = all.Select(rows)
	}
	return passed, nil
}

// conjuncts splits nested ANDs.
func conjuncts(e *proto.Expr, dst []*proto.Expr) []*proto.Expr {
	if b, ok := e.Node.(*proto.Expr_Bool); ok && b.Bool.Op == proto.Bool_AND {
		for _, a := range b.Bool.Args {
			dst = conjuncts(a, dst)
		}
		return dst
	}
	return append(dst, e)
}

// compileConjuncts compiles the conjuncts of a condition over columns of types ts.
func compileConjuncts(n *node, cond *proto.Expr, ts []types.Type) ([]*Expr, error) {
	if cond == nil {
		return nil, nil
	}
	var out []*Expr
	for _, e := range conjuncts(cond, nil) {
		x, err := Compile(n.env, e, ts)
		if err != nil {
			return nil, err
		}
		out = append(out, x)
	}
	return out, nil
}
