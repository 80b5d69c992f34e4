package function

import (
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

func castVector(c *Ctx, v *vector.Vector, to types.Type, explicit bool) (*vector.Vector, error) {
	if v.Type == to {
		return v, nil
	}
	return nil, errCannotCast(v.Type, to)
}
