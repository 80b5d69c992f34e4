package planner

import (
	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/physical"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/udf"
	"github.com/volleydb/volley/vector"
)

// layout maps column IDs to positions in an operator's input.
type layout map[ColID]int

func layoutOf(cols []Col) layout {
	l := layout{}
	for i, c := range cols {
		if _, ok := l[c.ID]; !ok {
			l[c.ID] = i
		}
	}
	return l
}

// lowerExpr turns a bound expression into its wire form over the columns of in.
func lowerExpr(e Expr, in layout) (*proto.Expr, error) {
	out := &proto.Expr{Type: physical.TypeProto(e.Type())}
	list := func(es []Expr) ([]*proto.Expr, error) { return lowerExprs(es, in) }
	switch e := e.(type) {
	case *Column:
		i, ok := in[e.ID]
		if !ok {
			return nil, pgerr.New(pgerr.InternalError, "column %q (%d) is not in the operator's input", e.Name, e.ID)
		}
		out.Node = &proto.Expr_Column{Column: &proto.Column{Index: uint32(i)}}
	case *Const:
		if e.T.ID == types.Unknown {
			out.Type = physical.TypeProto(types.T(types.Text))
		}
		c := &proto.Const{Null: true}
		if e.V != nil {
			c = physical.EncodeConst(e.V, 0)
		}
		out.Node = &proto.Expr_Const{Const: c}
	case *Param:
		return nil, pgerr.New(pgerr.UndefinedParameter, "there is no parameter $%d", e.N).At(e.Pos)
	case *Call:
		args, err := list(e.Args)
		if err != nil {
			return nil, err
		}
		c := &proto.Call{Args: args, Site: uint32(e.Site), Position: int32(e.Pos)}
		if e.F.UDF != nil {
			c.Udf = udf.RefToProto(e.F)
		} else {
			c.Function = e.F.ID
		}
		out.Node = &proto.Expr_Call{Call: c}
	case *Case:
		c := &proto.Case{}
		for _, w := range e.Whens {
			cond, err := lowerExpr(w.Cond, in)
			if err != nil {
				return nil, err
			}
			res, err := lowerExpr(w.Result, in)
			if err != nil {
				return nil, err
			}
			c.Whens = append(c.Whens, &proto.When{Cond: cond, Result: res})
		}
		if e.Else != nil {
			var err error
			if c.Else, err = lowerExpr(e.Else, in); err != nil {
				return nil, err
			}
		}
		out.Node = &proto.Expr_Case{Case: c}
	case *Bool:
		args, err := list(e.Args)
		if err != nil {
			return nil, err
		}
		out.Node = &proto.Expr_Bool{Bool: &proto.Bool{Op: e.Op, Args: args}}
	case *Is:
		is := &proto.IsTest{Op: e.Op}
		var err error
		if is.Arg, err = lowerExpr(e.Arg, in); err != nil {
			return nil, err
		}
		if e.Right != nil {
			if is.Right, err = lowerExpr(e.Right, in); err != nil {
				return nil, err
			}
		}
		out.Node = &proto.Expr_Is{Is: is}
	case *Cast:
		arg, err := lowerExpr(e.Arg, in)
		if err != nil {
			return nil, err
		}
		out.Node = &proto.Expr_Cast{Cast: &proto.Cast{Arg: arg, Explicit: e.Explicit, Position: int32(e.Pos)}}
	case *Coalesce:
		args, err := list(e.Args)
		if err != nil {
			return nil, err
		}
		out.Node = &proto.Expr_Coalesce{Coalesce: &proto.Coalesce{Op: e.Op, Args: args}}
	case *InList:
		arg, err := lowerExpr(e.Arg, in)
		if err != nil {
			return nil, err
		}
		l := &proto.InList{Arg: arg, Not: e.Not}
		for _, v := range e.Values {
			c := &proto.Const{Null: true}
			if v.V != nil {
				c = physical.EncodeConst(v.V, 0)
			}
			l.Values = append(l.Values, c)
		}
		out.Node = &proto.Expr_In{In: l}
	case *Array:
		elems, err := list(e.Elems)
		if err != nil {
			return nil, err
		}
		out.Node = &proto.Expr_Array{Array: &proto.ArrayExpr{Elems: elems}}
	default:
		return nil, pgerr.New(pgerr.InternalError, "expression %T cannot be planned", e)
	}
	return out, nil
}

func lowerExprs(es []Expr, in layout) ([]*proto.Expr, error) {
	var out []*proto.Expr
	for _, e := range es {
		p, err := lowerExpr(e, in)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

func lowerKeys(ks []SortKey, in layout) ([]*proto.SortKey, error) {
	var out []*proto.SortKey
	for _, k := range ks {
		e, err := lowerExpr(k.Expr, in)
		if err != nil {
			return nil, err
		}
		out = append(out, &proto.SortKey{Expr: e, Desc: k.Desc, NullsFirst: k.NullsFirst})
	}
	return out, nil
}

func lowerAgg(c *AggCall, in layout) (*proto.AggCall, error) {
	out := &proto.AggCall{Distinct: c.Distinct, Returns: physical.TypeProto(c.T)}
	var err error
	switch {
	case c.parts != nil:
		if out.Parts, err = lowerParts(c.F, c.parts); err != nil {
			return nil, err
		}
	case c.F.UDF != nil:
		out.Udf = udf.RefToProto(c.F)
	default:
		out.Function = c.F.ID
	}
	for _, t := range c.ArgTypes {
		out.ArgTypes = append(out.ArgTypes, physical.TypeProto(t))
	}
	if out.Args, err = lowerExprs(c.Args, in); err != nil {
		return nil, err
	}
	if c.Filter != nil {
		if out.Filter, err = lowerExpr(c.Filter, in); err != nil {
			return nil, err
		}
	}
	out.OrderBy, err = lowerKeys(c.Order, in)
	return out, err
}

func lowerWindowCall(c *WindowCall, in layout) (*proto.WindowCall, error) {
	out := &proto.WindowCall{Frame: c.Frame, Returns: physical.TypeProto(c.T), IgnoreNulls: c.IgnoreNulls}
	var err error
	switch {
	case c.parts != nil:
		if out.Parts, err = lowerParts(c.F, c.parts); err != nil {
			return nil, err
		}
	case c.F.UDF != nil:
		out.Udf = udf.RefToProto(c.F)
	default:
		out.Function = c.F.ID
	}
	if out.Args, err = lowerExprs(c.Args, in); err != nil {
		return nil, err
	}
	if c.Filter != nil {
		if out.Filter, err = lowerExpr(c.Filter, in); err != nil {
			return nil, err
		}
	}
	for i, r := range c.Ranges {
		if r == nil {
			continue
		}
		if i == 0 || c.Ranges[0] == nil {
			out.Frame = &proto.Frame{Mode: c.Frame.Mode, Start: c.Frame.Start, End: c.Frame.End, Exclude: c.Frame.Exclude}
		}
		at := &out.Frame.Start
		if i == 1 {
			at = &out.Frame.End
		}
		*at = &proto.FrameBound{Kind: (*at).Kind}
		if (*at).Key, err = lowerExpr(r.Key, in); err != nil {
			return nil, err
		}
		if (*at).Limit, err = lowerExpr(r.Limit, in); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func fieldsOf(cols []Col) []*proto.Field {
	fs := make([]*proto.Field, len(cols))
	for i, c := range cols {
		fs[i] = &proto.Field{Name: c.Name, Type: physical.TypeProto(concrete(c.T))}
	}
	return fs
}

// concrete is the type of a column in operators: an untyped literal is text.
func concrete(t types.Type) types.Type {
	if t.ID == types.Unknown {
		return types.T(types.Text)
	}
	return t
}

func protoFields(fs []vector.Field) []*proto.Field {
	out := make([]*proto.Field, len(fs))
	for i, f := range fs {
		out[i] = &proto.Field{Name: f.Name, Type: physical.TypeProto(concrete(f.Type))}
	}
	return out
}

// volatileUDF reports a call of user code whose result may differ between attempts.
func volatileUDF(es ...Expr) bool {
	found := false
	for _, e := range es {
		walk(e, func(e Expr) bool {
			if c, ok := e.(*Call); ok && c.F.UDF != nil && c.F.Volatility == function.Volatile {
				found = true
			}
			return !found
		})
	}
	return found
}
