package planner

import (
	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

func (sc *selectCtx) arrayExpr(x *pg.A_ArrayExpr) (Expr, error) {
	elems, err := sc.exprs(x.Elements)
	if err != nil {
		return nil, err
	}
	if len(elems) == 0 {
		return nil, pgerr.New(pgerr.IndeterminateDatatype, "cannot determine type of empty array").
			WithHint("Explicitly cast to the desired type, for example ARRAY[]::integer[].").At(sc.b.pos(x.Location))
	}
	ts := make([]types.Type, len(elems))
	for i, e := range elems {
		ts[i] = e.Type()
	}
	t, err := commonType(ts, "ARRAY")
	if err != nil {
		return nil, sc.b.at(err, x.Location)
	}
	if t.ID == types.Unknown {
		t = types.T(types.Text)
	}
	return sc.arrayOf(elems, t.Bare(), x.Location)
}

func (sc *selectCtx) arrayOf(elems []Expr, t types.Type, loc int32) (Expr, error) {
	if t.ID == types.Array || t.ArrayOID() == 0 {
		return nil, sc.b.unsupported(loc, "an array of %s", t)
	}
	for i := range elems {
		var err error
		if elems[i], err = sc.b.coerce(elems[i], t, function.Explicit, "ARRAY"); err != nil {
			return nil, err
		}
	}
	at := types.ListOf(t)
	at.Typmod = t.Typmod
	return sc.b.fold(&Array{Elems: elems, T: at}), nil
}

func (sc *selectCtx) typedArray(x *pg.A_ArrayExpr, t types.Type) (Expr, error) {
	elems, err := sc.exprs(x.Elements)
	if err != nil {
		return nil, err
	}
	return sc.arrayOf(elems, t.ElemType(), x.Location)
}

// indirection binds a[i] and refuses the rest.
func (sc *selectCtx) indirection(x *pg.A_Indirection) (Expr, error) {
	b := sc.b
	loc := nodeLocation(x.Arg)
	rest := x.Indirection
	e, err := sc.setField(x)
	if e != nil {
		rest = rest[1:]
	} else if err == nil {
		e, err = sc.expr(x.Arg)
	}
	if err != nil {
		return nil, err
	}
	for _, n := range rest {
		ix := n.GetAIndices()
		if ix == nil {
			if n.GetAStar() != nil {
				return nil, b.unsupported(loc, "row expansion via * here")
			}
			if e, err = b.field(e, n.GetString_().GetSval(), loc); err != nil {
				return nil, err
			}
			continue
		}
		if e.Type().ID == types.JSONB {
			if e, err = sc.subscriptJSON(e, ix, loc); err != nil {
				return nil, err
			}
			continue
		}
		if e.Type().ID == types.Name && !ix.IsSlice {
			// A name is an array of "char" from 0.
			if e, err = sc.nameByte(e, ix.Uidx, loc); err != nil {
				return nil, err
			}
			continue
		}
		if et := e.Type().ElemType(); et.ID == types.Invalid {
			return nil, pgerr.New(pgerr.DatatypeMismatch, "cannot subscript type %s because it does not support subscripting", e.Type()).At(b.pos(loc))
		}
		name, args := "array_get", []Expr{e}
		bounds := []*pg.Node{ix.Uidx}
		if ix.IsSlice {
			if ix.Lidx == nil || ix.Uidx == nil {
				return nil, b.unsupported(loc, "an array slice without both bounds")
			}
			name, bounds = "array_slice", []*pg.Node{ix.Lidx, ix.Uidx}
		}
		for _, n := range bounds {
			i, err := sc.expr(n)
			if err != nil {
				return nil, err
			}
			if i, err = b.coerce(i, types.T(types.Int4), function.Assignment, "array subscript"); err != nil {
				return nil, err
			}
			args = append(args, i)
		}
		if e, err = b.callByName(name, args, loc); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// nameByte binds n[i] of a name.
func (sc *selectCtx) nameByte(e Expr, index *pg.Node, loc int32) (Expr, error) {
	b := sc.b
	i, err := sc.expr(index)
	if err != nil {
		return nil, err
	}
	if i, err = b.coerce(i, types.T(types.Int4), function.Assignment, "array subscript"); err != nil {
		return nil, err
	}
	one := &Const{T: types.T(types.Int4), V: vector.FromSlice(types.T(types.Int4), []int32{1})}
	if i, err = b.operator("+", []Expr{i, one}, loc); err != nil {
		return nil, err
	}
	if e, err = b.coerce(e, types.T(types.Text), function.Implicit, ""); err != nil {
		return nil, err
	}
	if e, err = b.callByName("substr", []Expr{e, i, one}, loc); err != nil {
		return nil, err
	}
	return b.coerce(e, types.T(types.Char), function.Explicit, "")
}
