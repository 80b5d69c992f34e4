package physical

import (
	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// EncodeConst returns row i of v as a constant of the plan.
func EncodeConst(v *vector.Vector, i int) *proto.Const {
	if v.IsNull(i) {
		return &proto.Const{Null: true}
	}
	return &proto.Const{Value: vector.AppendBinary([]byte{}, v, i)}
}

// DecodeConst returns a constant of the plan as a vector of one row.
func DecodeConst(t types.Type, c *proto.Const) (*vector.Vector, error) {
	if t.Phys() == types.PhysInvalid {
		return nil, pgerr.New(pgerr.InternalError, "constant of type %s in a plan", t)
	}
	if c == nil || c.Null {
		return vector.NewNull(t, 1), nil
	}
	b := vector.NewBuilder(t, 1)
	if err := vector.ParseBinary(b, c.Value); err != nil {
		return nil, err
	}
	return vector.NewConst(b.Build(), 1), nil
}

// EvalConst evaluates an expression without columns, for the planner's constant
// folding; the result has one row.
func EvalConst(fc *function.Ctx, e *proto.Expr) (*vector.Vector, error) {
	x, err := Compile(&Env{Functions: fc}, e, nil)
	if err != nil {
		return nil, err
	}
	return x.Eval(fc.Context, vector.NewBatch(nil, 1))
}
