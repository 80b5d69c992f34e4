package physical

import (
	"context"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// Expr is a compiled expression. It belongs to one goroutine: volatile calls
// count their rows.
type Expr struct {
	Type types.Type
	root evaluator
	fc   *function.Ctx
}

// evaluator computes a vector of b.Rows() rows, of any form. Part of the rows
// of a batch are evaluated by selecting them first.
type evaluator interface {
	eval(fc *function.Ctx, b *vector.Batch) (*vector.Vector, error)
}

// Compile checks and prepares an expression over columns of the given types.
// Immutable calls of constants are evaluated now, unless that fails: then the
// error is left to the rows that reach it.
func Compile(env *Env, e *proto.Expr, inputTypes []types.Type) (*Expr, error) {
	c := &compiler{env: env, fc: env.ctx(), inputs: inputTypes}
	root, err := c.compile(e)
	if err != nil {
		return nil, err
	}
	return &Expr{Type: TypeOf(e.Type), root: root, fc: c.fc}, nil
}

// Eval computes the expression for the rows of b.
func (x *Expr) Eval(ctx context.Context, b *vector.Batch) (*vector.Vector, error) {
	if ctx != nil {
		x.fc.Context = ctx
	}
	return x.root.eval(x.fc, b)
}

// evalAll computes several expressions over one batch.
func evalAll(ctx context.Context, xs []*Expr, b *vector.Batch) ([]*vector.Vector, error) {
	out := make([]*vector.Vector, len(xs))
	for i, x := range xs {
		var err error
		if out[i], err = x.Eval(ctx, b); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// isConst returns the value of an expression that is a constant.
func (x *Expr) isConst() (*vector.Vector, bool) {
	k, ok := x.root.(*constant)
	if !ok {
		return nil, false
	}
	return k.one, true
}

type compiler struct {
	env    *Env
	fc     *function.Ctx
	inputs []types.Type
}

func (c *compiler) compile(e *proto.Expr) (evaluator, error) {
	if e == nil {
		return nil, pgerr.New(pgerr.InternalError, "expression missing in a plan")
	}
	t := TypeOf(e.Type)
	switch n := e.Node.(type) {
	case *proto.Expr_Column:
		i := int(n.Column.Index)
		if i >= len(c.inputs) {
			return nil, pgerr.New(pgerr.InternalError, "column %d of an input of %d columns", i, len(c.inputs))
		}
		return &column{i: i, typ: t}, nil
	case *proto.Expr_Const:
		one, err := DecodeConst(t, n.Const)
		if err != nil {
			return nil, err
		}
		return &constant{one: one}, nil
	case *proto.Expr_Call:
		return c.call(n.Call, t)
	case *proto.Expr_Case:
		return c.caseExpr(n.Case, t)
	case *proto.Expr_Bool:
		args, err := c.all(n.Bool.Args)
		if err != nil {
			return nil, err
		}
		if n.Bool.Op == proto.Bool_NOT {
			if len(args) != 1 {
				return nil, pgerr.New(pgerr.InternalError, "NOT of %d arguments", len(args))
			}
			return c.fold(&not{arg: args[0]}, args...), nil
		}
		return c.fold(&logic{or: n.Bool.Op == proto.Bool_OR, args: args}, args...), nil
	case *proto.Expr_Is:
		return c.is(n.Is)
	case *proto.Expr_Cast:
		arg, err := c.compile(n.Cast.Arg)
		if err != nil {
			return nil, err
		}
		return c.fold(&cast{arg: arg, to: t, explicit: n.Cast.Explicit, pos: int(n.Cast.Position)}, arg), nil
	case *proto.Expr_Coalesce:
		args, err := c.all(n.Coalesce.Args)
		if err != nil {
			return nil, err
		}
		if len(args) == 0 || n.Coalesce.Op == proto.Coalesce_NULLIF && len(args) != 2 {
			return nil, pgerr.New(pgerr.InternalError, "%s of %d arguments", n.Coalesce.Op, len(args))
		}
		var x evaluator
		switch n.Coalesce.Op {
		case proto.Coalesce_COALESCE:
			x = &coalesce{args: args, typ: t}
		case proto.Coalesce_NULLIF:
			x = &nullif{a: args[0], b: args[1], typ: t}
		default:
			x = &extremum{args: args, typ: t, greatest: n.Coalesce.Op == proto.Coalesce_GREATEST}
		}
		return c.fold(x, args...), nil
	case *proto.Expr_In:
		return c.in(n.In)
	case *proto.Expr_Array:
		elems, err := c.all(n.Array.Elems)
		if err != nil {
			return nil, err
		}
		return c.fold(&arrayOf{elems: elems, typ: t}, elems...), nil
	}
	return nil, pgerr.New(pgerr.InternalError, "expression of an unknown kind")
}

func (c *compiler) all(es []*proto.Expr) ([]evaluator, error) {
	out := make([]evaluator, len(es))
	for i, e := range es {
		var err error
		if out[i], err = c.compile(e); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// fold evaluates x now when its arguments are constants. An error is left to
// run time, where the row may never be reached.
func (c *compiler) fold(x evaluator, args ...evaluator) evaluator {
	for _, a := range args {
		if _, ok := a.(*constant); !ok {
			return x
		}
	}
	v, err := x.eval(c.fc, vector.NewBatch(nil, 1))
	if err != nil {
		return x
	}
	return &constant{one: vector.NewConst(v, 1)}
}

// column passes an input column on.
type column struct {
	i   int
	typ types.Type
}

func (x *column) eval(_ *function.Ctx, b *vector.Batch) (*vector.Vector, error) {
	v := b.Col(x.i)
	if v.Type != x.typ {
		if v.Type.Phys() != x.typ.Phys() {
			return nil, pgerr.New(pgerr.InternalError, "column %d is %s, the plan says %s", x.i, v.Type, x.typ)
		}
		v = v.Retype(x.typ)
	}
	return v, nil
}

// constant is one value for all rows.
type constant struct{ one *vector.Vector }

func (x *constant) eval(_ *function.Ctx, b *vector.Batch) (*vector.Vector, error) {
	c := *x.one
	c.Len = b.Rows()
	return &c, nil
}

// not is NOT arg.
type not struct{ arg evaluator }

func (x *not) eval(fc *function.Ctx, b *vector.Batch) (*vector.Vector, error) {
	v, err := x.arg.eval(fc, b)
	if err != nil {
		return nil, err
	}
	in := vector.Values[bool](v)
	out := make([]bool, len(in))
	for i, t := range in {
		out[i] = !t
	}
	return reform(vector.FromSlice(boolType, out).WithValid(v.Valid), v), nil
}

var boolType = types.T(types.Bool)

// reform gives v, made of the stored values of like, the form and length of like.
func reform(v, like *vector.Vector) *vector.Vector {
	v.Form, v.Len = like.Form, like.Len
	return v
}

// flat returns v without a dictionary: Flat or Const.
func flat(v *vector.Vector) *vector.Vector {
	if v.Form == vector.Dict {
		return v.Flatten()
	}
	return v
}

// logic is AND or OR in SQL's three values. Arguments are evaluated left to
// right, each only for the rows that the ones before have left undecided.
type logic struct {
	or   bool
	args []evaluator
}

func (x *logic) eval(fc *function.Ctx, b *vector.Batch) (*vector.Vector, error) {
	n := b.Rows()
	out := make([]bool, n)
	if !x.or {
		for i := range out {
			out[i] = true
		}
	}
	var unknown []bool // rows with a NULL so far
	var rows []int32   // undecided rows, nil = all
	for k, arg := range x.args {
		sub := b
		if rows != nil {
			if len(rows) == 0 {
				break
			}
			sub = b.Select(rows)
		}
		v, err := arg.eval(fc, sub)
		if err != nil {
			return nil, err
		}
		v = v.Flatten()
		vals := vector.Values[bool](v)
		next := make([]int32, 0, len(vals))
		for i, t := range vals {
			r := int32(i)
			if rows != nil {
				r = rows[i]
			}
			switch {
			case v.Valid != nil && v.IsNull(i):
				if unknown == nil {
					unknown = make([]bool, n)
				}
				unknown[r] = true
				next = append(next, r)
			case t == x.or:
				out[r] = x.or
				if unknown != nil {
					unknown[r] = false
				}
			default:
				next = append(next, r)
			}
		}
		if k < len(x.args)-1 && len(next) < n {
			rows = next
		}
	}
	res := vector.FromSlice(boolType, out)
	if unknown != nil {
		res.Valid = vector.NewValid(n)
		for i, u := range unknown {
			if u {
				out[i] = false
				vector.SetNull(res.Valid, i)
			}
		}
	}
	return res, nil
}

// trueRows returns the rows (indexes into b's rows) where cond is true.
func trueRows(v *vector.Vector) []int32 {
	if v.Form == vector.Const {
		if v.IsNull(0) || !vector.Values[bool](v)[0] {
			return []int32{}
		}
		all := make([]int32, v.Len)
		for i := range all {
			all[i] = int32(i)
		}
		return all
	}
	vals := vector.Values[bool](v)
	rows := dirtyRows(len(vals))
	k := 0
	if v.Valid == nil {
		// Written without a branch: the outcome of a filter is not predictable.
		for i, t := range vals {
			rows[k] = int32(i)
			if t {
				k++
			}
		}
		return rows[:k]
	}
	for i, t := range vals {
		if t && v.Valid[i>>3]&(1<<(i&7)) != 0 {
			rows[k] = int32(i)
			k++
		}
	}
	return rows[:k]
}

// dirtyRows returns n row numbers that hold anything: to clear those of a batch
// takes as long as to test it.
func dirtyRows(n int) []int32 {
	if n == 0 {
		return []int32{} // nil is all rows in places
	}
	return vector.Values[int32](vector.NewDirty(types.T(types.Int4), n))
}

// cast converts values between types.
type cast struct {
	arg      evaluator
	to       types.Type
	explicit bool
	pos      int
}

func (x *cast) eval(fc *function.Ctx, b *vector.Batch) (*vector.Vector, error) {
	v, err := x.arg.eval(fc, b)
	if err != nil {
		return nil, err
	}
	n := v.Len
	if v.Form == vector.Const && n > 1 {
		v = vector.Slice(v, 0, 1)
	}
	if n == 0 {
		return vector.New(x.to, 0), nil
	}
	if v.Form == vector.Dict && v.Child.Len > 0 && v.Child.Len <= n/2 {
		// Once per entry; an entry at fault may not be referenced by any row.
		if out, err := function.Cast(fc, v.Child.Retype(v.Type), x.to, x.explicit); err == nil {
			out = vector.Gather(out.Flatten().Retype(x.to), v.Codes)
			return out.WithValid(vector.AndValid(out.Valid, v.Valid, n)), nil
		}
	}
	out, err := function.Cast(fc, flat(v), x.to, x.explicit)
	if err != nil {
		return nil, positioned(err, x.pos)
	}
	if v.Form == vector.Const {
		out = vector.NewConst(out, n)
	}
	return out.Retype(x.to), nil
}

// positioned adds the place in the statement to an error that has none.
func positioned(err error, pos int) error {
	if pos <= 0 {
		return err
	}
	pe := *pgerr.From(err)
	return (&pe).At(pos)
}

// arrayOf builds an array of its elements.
type arrayOf struct {
	elems []evaluator
	typ   types.Type
}

func (x *arrayOf) eval(fc *function.Ctx, b *vector.Batch) (*vector.Vector, error) {
	n := b.Rows()
	vs := make([]*vector.Vector, len(x.elems))
	for k, e := range x.elems {
		v, err := e.eval(fc, b)
		if err != nil {
			return nil, err
		}
		vs[k] = v.Flatten()
	}
	k := len(vs)
	offs := make([]int32, n+1)
	for i := range offs {
		offs[i] = int32(i * k)
	}
	elem := x.typ.ElemType()
	if k == 0 || n == 0 {
		return vector.FromList(x.typ, make([]int32, n+1), vector.New(elem, 0)), nil
	}
	// The elements stand column after column; interleave them.
	all := vector.Concat(vs).Retype(elem)
	idx := make([]int32, n*k)
	for i := range n {
		for j := range k {
			idx[i*k+j] = int32(j*n + i)
		}
	}
	return vector.FromList(x.typ, offs, vector.Gather(all, idx)), nil
}
