package physical

import (
	"context"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// checker holds an operator to its contract. It costs a walk over the columns
// per batch, so it runs in tests only.
type checker struct {
	in     Operator
	types  []types.Type
	name   string
	closed bool
	ended  bool
}

func (c *checker) bug(format string, args ...any) error {
	return pgerr.New(pgerr.InternalError, c.name+": "+format, args...)
}

func (c *checker) Next(ctx context.Context) (*vector.Batch, error) {
	if c.closed {
		return nil, c.bug("Next after Close")
	}
	if c.ended {
		return nil, c.bug("Next after an error")
	}
	b, err := c.in.Next(ctx)
	if err != nil {
		c.ended = true
		if b != nil {
			return nil, c.bug("batch beside an error")
		}
		return nil, err
	}
	if b == nil {
		return nil, nil
	}
	if b.Rows() == 0 {
		return nil, c.bug("empty batch")
	}
	if b.NumCols() != len(c.types) {
		return nil, c.bug("%d columns instead of %d", b.NumCols(), len(c.types))
	}
	for i, t := range c.types {
		v := b.Col(i)
		if err := c.column(v, b.Rows(), t); err != nil {
			return nil, pgerr.Wrap(err, pgerr.InternalError, "column %d", i)
		}
	}
	return b, nil
}

func (c *checker) column(v *vector.Vector, n int, t types.Type) error {
	if v.Len != n {
		return c.bug("%d rows instead of %d", v.Len, n)
	}
	if !v.Type.Same(t) {
		return c.bug("type %s instead of %s", v.Type, t)
	}
	stored := n
	if v.Form == vector.Const {
		stored = 1
	}
	if v.Valid != nil && len(v.Valid) < (stored+7)/8 {
		return c.bug("validity of %d bytes for %d rows", len(v.Valid), stored)
	}
	switch {
	case v.Form == vector.Dict:
		if len(v.Codes) != n {
			return c.bug("%d codes for %d rows", len(v.Codes), n)
		}
		for _, k := range v.Codes {
			if k < 0 || int(k) >= v.Child.Len {
				return c.bug("code %d of %d", k, v.Child.Len)
			}
		}
	case v.Offs != nil:
		if len(v.Offs) < stored+1 {
			return c.bug("%d offsets for %d rows", len(v.Offs), stored)
		}
		for i := range stored {
			if v.Offs[i] > v.Offs[i+1] {
				return c.bug("offsets go down at row %d", i)
			}
		}
	default:
		w := vector.Width(t.Phys())
		if v.Form == vector.Scaled {
			w = 8
		}
		if len(v.Raw()) < stored*w {
			return c.bug("%d bytes for %d rows", len(v.Raw()), stored)
		}
	}
	return nil
}

func (c *checker) Close() error {
	if c.closed {
		return c.bug("closed twice")
	}
	c.closed = true
	return c.in.Close()
}
