package planner

import (
	"context"
	"slices"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/parser"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/physical"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
)

// aggParts is a function.AggParts bound for a call: expressions over columns of
// their own.
type aggParts struct {
	state       types.Type
	left, right Col   // states
	args        []Col // of the call
	init        Expr  // nil: NULL
	step        Expr
	combine     Expr // nil: states cannot be merged
	final       Expr // nil: the state
}

// partsOf binds the functions of an aggregate for arguments of these types.
func (b *binder) partsOf(f *function.Function, args []types.Type, loc int32) (*aggParts, error) {
	p := f.Parts
	out := &aggParts{}
	var err error
	if out.state, err = partState(f, args); err != nil {
		return nil, b.at(err, loc)
	}
	out.left, out.right = b.newCol("", out.state), b.newCol("", out.state)
	given := []Expr{out.left.ref()}
	for _, t := range args {
		c := b.newCol("", t)
		out.args = append(out.args, c)
		given = append(given, c.ref())
	}
	if p.Init != nil {
		if out.init, err = b.literal(textConst(*p.Init, types.Unknown, 0), out.state, false); err != nil {
			return nil, b.at(err, loc)
		}
	}
	if out.step, err = b.part(f, p.Step, given, out.state, loc); err != nil {
		return nil, err
	}
	if p.Step.Strict && p.Init == nil && (len(args) == 0 || !coercible(args[0], out.state)) {
		return nil, pgerr.New(pgerr.InvalidFunctionDefinition, "must not omit initial value when transition function is strict and transition type is not compatible with input type").At(b.pos(loc))
	}
	if p.Combine != nil {
		if out.combine, err = b.part(f, p.Combine, []Expr{out.left.ref(), out.right.ref()}, out.state, loc); err != nil {
			return nil, err
		}
		if !b.neutral(out) {
			out.combine = nil
		}
	}
	if p.Final != nil {
		in := []Expr{out.left.ref()}
		if p.Extra {
			for _, t := range args {
				in = append(in, &Const{T: t})
			}
		}
		if out.final, err = b.part(f, p.Final, in, types.Type{}, loc); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// partState is the type of the state.
func partState(f *function.Function, args []types.Type) (types.Type, error) {
	s := f.Parts.State
	if s.ID != types.AnyElement && s.ID != types.AnyArray {
		return s, nil
	}
	for i, t := range f.Args {
		if i >= len(args) || args[i].ID == types.Unknown {
			continue
		}
		var e types.Type
		switch t.ID {
		case types.AnyElement:
			e = args[i].Bare()
		case types.AnyArray:
			e = args[i].ElemType()
		default:
			continue
		}
		if s.ID == types.AnyArray {
			return types.ListOf(e), nil
		}
		return e, nil
	}
	return s, pgerr.New(pgerr.InvalidFunctionDefinition, "cannot determine transition data type").
		WithDetail("A result of type %s requires at least one input of type anyelement, anyarray, anynonarray, anyenum, anyrange, or anymultirange.", s)
}

// part binds a call of one of the functions of an aggregate. want is the type that
// it has to give, Invalid for any.
func (b *binder) part(agg, f *function.Function, args []Expr, want types.Type, loc int32) (Expr, error) {
	if g, ok := b.o.Catalog.(FunctionGuard); ok && f.OID >= firstUserOID && f.Schema != "pg_catalog" {
		if err := g.UseFunction(f, agg.Definer, false); err != nil {
			return nil, b.at(err, loc)
		}
	}
	called := *f
	called.Canary = nil // rows of one group are folded by one version
	_, ats, t, err := function.Resolve(f.Name, []*function.Function{&called}, typesOf(args))
	if err != nil {
		return nil, b.at(err, loc)
	}
	if want.ID != types.Invalid && !t.Same(want) {
		return nil, pgerr.New(pgerr.DatatypeMismatch, "return type of function %s is %s, and the state of aggregate %s is %s", f.Name, t.Bare(), agg.Name, want.Bare()).At(b.pos(loc))
	}
	args = append([]Expr(nil), args...)
	for i := range args {
		if args[i], err = b.coerce(args[i], ats[i], function.Implicit, "argument of "+f.Name); err != nil {
			return nil, b.at(err, loc)
		}
	}
	if called.Body == "" && called.UDF == nil && called.Eval == nil {
		return nil, b.unsupported(loc, "function %s in an aggregate", f.Name)
	}
	before := Node(&Values{Rows: [][]Expr{{}}})
	body := &selectCtx{b: b, plan: before, clause: "SELECT"}
	e, err := body.call(&called, args, t, loc)
	if err != nil {
		return nil, err
	}
	if body.plan != before {
		return nil, b.unsupported(loc, "function %s in an aggregate", f.Name).
			WithDetail("Its body reads tables, or is more than SELECT and an expression.")
	}
	return e, nil
}

// neutral reports whether combining initial states gives the initial state, as far
// as that can be known: otherwise each of the states that are merged would bring its
// own initial value into the result.
func (b *binder) neutral(p *aggParts) bool {
	if p.init == nil {
		return true
	}
	both := substitute(p.combine, map[ColID]Expr{p.left.ID: p.init, p.right.ID: p.init})
	c, ok := b.refold(both).(*Const)
	i, isConst := p.init.(*Const)
	if !ok || !isConst {
		return true
	}
	return isTrue(b.fold(&Is{Op: proto.IsTest_NOT_DISTINCT, Arg: c, Right: i}))
}

// coercible reports types whose values are the same bytes.
func coercible(from, to types.Type) bool {
	return from.Same(to) || from.ID == types.Varchar && to.ID == types.Text || from.ID == types.Text && to.ID == types.Varchar ||
		to.ID == types.AnyElement || to.ID == types.AnyArray && from.ID == types.Array
}

func isPoly(t types.Type) bool { return t.ID == types.AnyElement || t.ID == types.AnyArray }

// stateTypes are the columns of the partial states, nil when states cannot be
// merged: those of parts are the state, and whether there were rows.
func (c *AggCall) stateTypes() []types.Type {
	switch {
	case c.parts != nil && c.parts.combine == nil, c.parts == nil && c.F.StateTypes == nil:
		return nil
	case c.parts != nil:
		return []types.Type{c.parts.state, types.T(types.Bool)}
	}
	return c.F.StateTypes(c.ArgTypes)
}

// volatileCode reports calls of user code that must not be repeated.
func (p *aggParts) volatileCode() bool {
	return p != nil && volatileUDF(p.exprs()...)
}

func (p *aggParts) exprs() []Expr {
	out := []Expr{p.step}
	for _, e := range []Expr{p.init, p.combine, p.final} {
		if e != nil {
			out = append(out, e)
		}
	}
	return out
}

// lowerParts makes the message of an aggregate made of functions; nil for others.
func lowerParts(f *function.Function, p *aggParts) (*proto.AggParts, error) {
	if p == nil {
		return nil, nil
	}
	out := &proto.AggParts{Name: f.Name, State: physical.TypeProto(p.state), StepStrict: f.Parts.Step.Strict, Volatile: p.volatileCode()}
	states := layoutOf([]Col{p.left, p.right})
	for _, e := range []struct {
		to *(*proto.Expr)
		e  Expr
		in layout
	}{
		{&out.Init, p.init, nil}, {&out.Step, p.step, layoutOf(append([]Col{p.left}, p.args...))},
		{&out.Combine, p.combine, states}, {&out.Final, p.final, layoutOf([]Col{p.left})},
	} {
		if e.e == nil {
			continue
		}
		var err error
		if *e.to, err = lowerExpr(e.e, e.in); err != nil {
			return nil, err
		}
	}
	if p.combine != nil {
		out.CombineStrict = f.Parts.Combine.Strict
	}
	return out, nil
}

// CheckAggregate binds an aggregate made of functions as a call would, so that
// CREATE AGGREGATE finds what is wrong with it. A polymorphic one can only be
// checked when it is called.
func CheckAggregate(ctx context.Context, st *parser.Statement, f *function.Function, o *Options) error {
	for _, t := range f.Args {
		if t.ID == types.AnyElement || t.ID == types.AnyArray || t.ID == types.Any {
			return nil
		}
	}
	_, err := newBinder(ctx, st, o).partsOf(f, f.Args, -1)
	return err
}

// FindFunction finds the function of a name for exactly these arguments, with
// Postgres' rules of what stands for what without a conversion, and what it returns.
func FindFunction(ctx context.Context, st *parser.Statement, names []*pg.Node, args []types.Type, o *Options) (*function.Function, types.Type, error) {
	b := newBinder(ctx, st, o)
	schema, name := lastName(names)
	shown := name
	if schema != "" {
		shown = schema + "." + name
	}
	none := types.Type{}
	cands := unhidden(b.candidates(schema, name))
	var f *function.Function
	var ats []types.Type
	var t types.Type
	var err error
	if len(cands) > 0 {
		f, ats, t, err = function.Resolve(shown, cands, args)
	}
	if len(cands) == 0 || err != nil {
		return nil, none, pgerr.New(pgerr.UndefinedFunction, "function %s(%s) does not exist", shown, typeList(args))
	}
	if f.Kind == function.Table || f.Kind == function.GroupedMap {
		return nil, none, pgerr.New(pgerr.DatatypeMismatch, "function %s(%s) returns a set", shown, typeList(args))
	}
	if f.Kind != function.Scalar {
		return nil, none, pgerr.New(pgerr.WrongObjectType, "function %s(%s) is an aggregate or window function", shown, typeList(args))
	}
	if slices.ContainsFunc(args, isPoly) && isPoly(f.Returns) {
		t = f.Returns // what it is depends on each call
	}
	for i, a := range args {
		if !coercible(a, ats[i]) && !(isPoly(a) && isPoly(f.Args[i])) {
			return nil, none, pgerr.New(pgerr.DatatypeMismatch, "function %s(%s) requires run-time type coercion", shown, typeList(f.Args))
		}
	}
	return f, t, nil
}
