package physical

import (
	"bytes"
	"context"

	"github.com/volleydb/volley/vector"
)

// boundary finds where keys change in a sequence of batches.
type boundary struct {
	exprs []*Expr
	last  []byte // encoded key of the last row seen
	any   bool
}

// starts marks the rows whose keys differ from those of the row before; the very
// first row of the sequence is marked. Without keys only that one is.
func (k *boundary) starts(ctx context.Context, b *vector.Batch) ([]bool, error) {
	n := b.Rows()
	out := make([]bool, n)
	first := !k.any
	k.any = true
	if len(k.exprs) == 0 {
		out[0] = first
		return out, nil
	}
	vs, err := evalAll(ctx, k.exprs, b)
	if err != nil {
		return nil, err
	}
	row := func(i int) []byte {
		one := make([]*vector.Vector, len(vs))
		for c, v := range vs {
			one[c] = vector.Slice(v, i, i+1).Flatten()
		}
		e := encodeKeys(one, nil, 1)
		return e.at(0)
	}
	if len(vs) == 1 && isIntPhys(vs[0].Type.Phys()) && vs[0].Valid == nil && vs[0].Form == vector.Flat {
		keys := widen(vs[0])
		for i := 1; i < n; i++ {
			out[i] = keys[i] != keys[i-1]
		}
		out[0] = first || !bytes.Equal(k.last, row(0))
		k.last = row(n - 1)
		return out, nil
	}
	e := encodeKeys(vs, nil, n)
	for i := 1; i < n; i++ {
		out[i] = !bytes.Equal(e.at(i), e.at(i-1))
	}
	out[0] = first || !bytes.Equal(k.last, e.at(0))
	k.last = append(k.last[:0], e.at(n-1)...)
	return out, nil
}
