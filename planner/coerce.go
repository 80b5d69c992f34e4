package planner

import (
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/parser"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/physical"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// at puts a position on an error that has none.
func (b *binder) at(err error, loc int32) error {
	if err == nil {
		return nil
	}
	e := pgerr.From(err)
	if e.Position == 0 && loc >= 0 {
		c := *e
		return c.At(b.pos(loc))
	}
	return e
}

func atPos(err error, pos int) error {
	e := pgerr.From(err)
	if e.Position == 0 && pos > 0 {
		c := *e
		return c.At(pos)
	}
	return e
}

// exprPos is the position to blame for an expression, 0 if it has none.
func exprPos(e Expr) int {
	pos := 0
	walk(e, func(e Expr) bool {
		switch e := e.(type) {
		case *Column:
			pos = e.Pos
		case *Const:
			pos = e.Pos
		case *Param:
			pos = e.Pos
		case *Call:
			pos = e.Pos
		case *Cast:
			pos = e.Pos
		}
		return pos == 0
	})
	return pos
}

// coerce converts e to a type as a context allows. An untyped literal or
// parameter takes the type on.
func (b *binder) coerce(e Expr, to types.Type, ctx function.CastContext, what string) (Expr, error) {
	from := e.Type()
	if from == to || from.Same(to) && to.Typmod == -1 {
		return e, nil
	}
	switch to.ID {
	case types.Unknown, types.Any, types.AnyElement, types.AnyArray:
		return e, nil
	}
	switch e := e.(type) {
	case *Param:
		if from.ID == types.Unknown {
			b.params[e.N-1] = to.Bare()
			return &Param{N: e.N, T: to, Pos: e.Pos}, nil
		}
	case *Const:
		if e.V == nil {
			if from.ID == types.Unknown || function.CastAllowed(from, to, ctx) {
				return &Const{T: to, Pos: e.Pos}, nil
			}
		} else if from.ID == types.Unknown {
			return b.literal(e, to, ctx == function.Explicit)
		}
	}
	if from.ID != types.Unknown && (!from.Same(to) || to.ID == types.Record) && !function.CastAllowed(from, to, ctx) {
		if ctx == function.Explicit {
			return nil, pgerr.New(pgerr.CannotCoerce, "cannot cast type %s to %s", from, to).At(exprPos(e))
		}
		msg := pgerr.New(pgerr.DatatypeMismatch, "expression is of type %s where %s is expected", from, to)
		if what != "" {
			msg = pgerr.New(pgerr.DatatypeMismatch, "%s could not convert type %s to %s", what, from, to)
		}
		return nil, msg.WithHint("You will need to rewrite or cast the expression.").At(exprPos(e))
	}
	return b.fold(&Cast{Arg: e, T: to, Explicit: ctx == function.Explicit, Pos: exprPos(e)}), nil
}

// literal gives an untyped literal its type; a bad one is an error now.
func (b *binder) literal(c *Const, to types.Type, explicit bool) (Expr, error) {
	in := types.T(types.Text)
	if to.ID == types.Interval {
		in = types.T(types.Unknown) // the fields of the type are units of a bare number
	}
	v, err := function.Cast(b.functions(), c.V.Retype(in), to, explicit || to.Typmod == -1)
	if err != nil {
		return nil, atPos(err, c.Pos)
	}
	return &Const{T: to, V: v, Pos: c.Pos}, nil
}

// commonType is function.CommonType, but Unknown where nothing is known yet.
func commonType(ts []types.Type, context string) (types.Type, error) {
	known := false
	for _, t := range ts {
		known = known || t.ID != types.Unknown
	}
	if !known {
		return types.T(types.Unknown), nil
	}
	return function.CommonType(ts, context)
}

func (b *binder) functions() *function.Ctx {
	if b.o.Functions != nil {
		return b.o.Functions
	}
	return &function.Ctx{Context: b.ctx}
}

// fold evaluates an expression of constants. One that fails is left as it is:
// the error belongs to the row that reaches it, if any does.
func (b *binder) fold(e Expr) Expr {
	if isConst(e) || b.o.Functions == nil {
		return e
	}
	ok := true
	children(e, func(c Expr) { ok = ok && isConst(c) })
	if !ok {
		return e
	}
	if c, is := e.(*Call); is && (c.F.Volatility == function.Volatile || c.F.UDF != nil || c.F.Eval == nil) {
		return e
	}
	p, err := lowerExpr(e, nil)
	if err != nil {
		return e
	}
	v, err := physical.EvalConst(b.o.Functions, p)
	if err != nil || v == nil {
		return e
	}
	out := &Const{T: e.Type(), Pos: exprPos(e)}
	if !v.IsNull(0) {
		out.V = vector.Slice(v.Flatten(), 0, 1)
	}
	return out
}

// ResolveType resolves a type name of the grammar.
// Those of users are known to cat, which may be nil.
func ResolveType(st *parser.Statement, tn *pg.TypeName, cat Catalog) (types.Type, error) {
	at := func(e *pgerr.Error) error { return e.At(st.Pos(tn.Location)) }
	schema, name := lastName(tn.Names)
	if u, ok := cat.(interface {
		Type(schema, name string) (types.Type, bool)
	}); ok && schema != "pg_catalog" {
		array := len(tn.ArrayBounds) > 0
		t, found := u.Type(schema, name)
		if !found && strings.HasPrefix(name, "_") {
			t, found = u.Type(schema, name[1:])
			array = true
		}
		if found {
			switch {
			case tn.Setof:
				return types.Type{}, at(pgerr.New(pgerr.FeatureNotSupported, "SETOF is not supported here"))
			case len(tn.Typmods) > 0:
				return types.Type{}, at(pgerr.New(pgerr.SyntaxError, "type modifier is not allowed for type %q", name))
			case array:
				t = types.ListOf(t)
			}
			return t, nil
		}
	}
	if schema != "" && schema != "pg_catalog" {
		return types.Type{}, at(pgerr.New(pgerr.UndefinedObject, "type %q does not exist", schema+"."+name))
	}
	if tn.Setof {
		return types.Type{}, at(pgerr.New(pgerr.FeatureNotSupported, "SETOF is not supported here"))
	}
	if tn.PctType {
		return types.Type{}, at(pgerr.New(pgerr.FeatureNotSupported, "%%TYPE is not supported"))
	}
	array := len(tn.ArrayBounds) > 0
	if strings.HasPrefix(name, "_") && schema == "" || strings.HasPrefix(name, "_") {
		name, array = name[1:], true
	}
	t, ok := types.ByName(strings.ToLower(name))
	if !ok {
		switch name {
		case "serial", "bigserial", "smallserial", "serial4", "serial8":
			return types.Type{}, at(pgerr.New(pgerr.FeatureNotSupported, "type %s is not supported", name).WithHint("Use bigint and fill it with row_number() OVER ()."))
		}
		e := pgerr.New(pgerr.UndefinedObject, "type %q does not exist", name)
		var names []string
		types.All(func(t types.Type) { names = append(names, t.Bare().String()) })
		if s := suggest(name, names); s != "" {
			e = e.WithHint("Perhaps you meant %q.", s)
		}
		return types.Type{}, at(e)
	}
	var mods []int64
	for _, m := range tn.Typmods {
		v, ok := intConst(m)
		if !ok {
			return types.Type{}, at(pgerr.New(pgerr.InvalidParameterValue, "type modifiers must be simple constants"))
		}
		mods = append(mods, v)
	}
	switch {
	case len(mods) == 0:
	case t.ID == types.Numeric:
		p, s := mods[0], int64(0)
		if len(mods) > 1 {
			s = mods[1]
		}
		if p < 1 || p > 38 {
			return types.Type{}, at(pgerr.New(pgerr.InvalidParameterValue, "NUMERIC precision %d must be between 1 and 38", p))
		}
		if s < 0 || s > p {
			return types.Type{}, at(pgerr.New(pgerr.InvalidParameterValue, "NUMERIC scale %d must be between 0 and precision %d", s, p))
		}
		t = types.NumericOf(int(p), int(s))
	case t.ID == types.Varchar || t.ID == types.Bpchar:
		if mods[0] < 1 || mods[0] > 10485760 {
			return types.Type{}, at(pgerr.New(pgerr.InvalidParameterValue, "length for type %s must be between 1 and 10485760", t))
		}
		t.Typmod = int32(mods[0]) + 4
	case t.ID == types.Timestamp || t.ID == types.Timestamptz || t.ID == types.Time:
		if mods[0] < 0 {
			return types.Type{}, at(pgerr.New(pgerr.InvalidParameterValue, "%s(%d) precision must not be negative", t, mods[0]))
		}
		if mods[0] < 6 {
			t.Typmod = int32(mods[0])
		}
	case t.ID == types.Interval:
		// The grammar gives the mask of the fields and the precision of seconds.
		precision := int64(0xFFFF)
		if len(mods) > 1 {
			if precision = mods[1]; precision < 0 {
				return types.Type{}, at(pgerr.New(pgerr.InvalidParameterValue, "INTERVAL(%d) precision must not be negative", precision))
			}
			precision = min(precision, 6)
		}
		if mods[0] != int64(types.IntervalFull) || precision < 6 {
			t.Typmod = int32(mods[0]<<16 | precision)
		}
	default:
		return types.Type{}, at(pgerr.New(pgerr.SyntaxError, "type modifier is not allowed for type %q", name))
	}
	if t.ID == types.Bpchar && len(mods) == 0 && schema == "pg_catalog" && name == "bpchar" {
		t.Typmod = -1
	}
	if array {
		mod := t.Typmod
		if t.ID == types.Array || t.ArrayOID() == 0 {
			return types.Type{}, at(pgerr.New(pgerr.UndefinedObject, "there is no array type of %s", t))
		}
		t = types.ListOf(t)
		t.Typmod = mod
	}
	return t, nil
}
