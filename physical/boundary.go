package physical

import (
	"bytes"
	"context"

	"github.com/volleydb/volley/types"
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
	for _, v := range vs {
		markChanges(out, v)
	}
	out[0] = first || !bytes.Equal(k.last, row(0))
	k.last = row(n - 1)
	return out, nil
}

// markChanges marks the rows whose values differ from those of the row before.
func markChanges(out []bool, v *vector.Vector) {
	n := len(out)
	if v.Valid == nil {
		switch p := v.Type.Phys(); {
		case v.Form == vector.Const:
			return
		case v.Form == vector.Dict:
			if v.Child.Valid == nil && v.Child.Form == vector.Flat && (v.Type.ID == types.Text || v.Type.ID == types.Varchar) {
				for i := 1; i < n; i++ {
					if a, b := v.Codes[i-1], v.Codes[i]; a != b && !bytes.Equal(v.Child.BytesAt(int(a)), v.Child.BytesAt(int(b))) {
						out[i] = true
					}
				}
				return
			}
		case v.Form == vector.Scaled || isIntPhys(p):
			if v.Form == vector.Scaled {
				mark(out, vector.Values[int64](v))
			} else {
				mark(out, widen(v))
			}
			return
		case p == types.PhysFloat64:
			x := vector.Values[float64](v)
			for i := 1; i < n; i++ {
				if x[i] != x[i-1] && (x[i] == x[i] || x[i-1] == x[i-1]) {
					out[i] = true
				}
			}
			return
		}
	}
	e := encodeKeys([]*vector.Vector{v}, nil, n)
	for i := 1; i < n; i++ {
		if !out[i] {
			out[i] = !bytes.Equal(e.at(i), e.at(i-1))
		}
	}
}

func mark(out []bool, keys []int64) {
	for i := 1; i < len(out); i++ {
		if keys[i] != keys[i-1] {
			out[i] = true
		}
	}
}
