package coordinator

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/catalog"
	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/planner"
	"github.com/volleydb/volley/types"
)

// aggregateParts are the options of CREATE AGGREGATE that name functions.
type aggregateParts struct {
	names  map[string][]*pg.Node // sfunc, finalfunc, …
	at     map[string]int
	state  types.Type
	moving types.Type
	init   *string
	extra  bool
}

// define is CREATE AGGREGATE, in its two forms: name(args) (SFUNC = f, STYPE = t, …)
// makes an aggregate of functions; name(args) (ARTIFACT = '…', SYMBOL = '…'), or AS
// with source, takes one from an artifact.
func (x *statement) define(ctx context.Context, n *pg.DefineStmt) (*Result, error) {
	if n.Kind != pg.ObjectType_OBJECT_AGGREGATE {
		return nil, unsupportedStatement(x.st)
	}
	d := &definition{aggregate: true, replace: n.Replace, language: "go"}
	names := n.Defnames
	d.name = names[len(names)-1].GetString_().GetSval()
	if len(names) > 1 {
		d.schema = names[len(names)-2].GetString_().GetSval()
	}
	var err error
	if d.schema, err = x.functionSchema(ctx, d.schema); err != nil {
		return nil, err
	}
	if err := x.aggregateArgs(ctx, d, n); err != nil {
		return nil, err
	}
	p := &aggregateParts{names: map[string][]*pg.Node{}, at: map[string]int{}}
	for _, o := range n.Definition {
		if err := x.aggregateOption(d, p, o.GetDefElem()); err != nil {
			return nil, err
		}
	}
	if len(p.at) == 0 && (d.artifact != "" || n.Oldstyle) {
		if n.Oldstyle {
			return nil, pgerr.New(pgerr.InvalidFunctionDefinition, "aggregate stype must be specified")
		}
		return x.defineFunction(ctx, d, "CREATE AGGREGATE")
	}
	if d.artifact != "" {
		return nil, pgerr.New(pgerr.InvalidFunctionDefinition, "an aggregate is made of functions, or is one of an artifact").
			WithHint("Leave out %s, or SFUNC and what belongs to it.", "ARTIFACT and AS").At(d.pos)
	}
	return x.aggregateOfFunctions(ctx, d, p)
}

// aggregateArgs reads the arguments: in parentheses after the name, or in the old
// form by BASETYPE.
func (x *statement) aggregateArgs(ctx context.Context, d *definition, n *pg.DefineStmt) error {
	if n.Oldstyle {
		i := slices.IndexFunc(n.Definition, func(o *pg.Node) bool { return strings.EqualFold(o.GetDefElem().Defname, "basetype") })
		if i < 0 {
			return pgerr.New(pgerr.InvalidFunctionDefinition, "aggregate input type must be specified")
		}
		e := n.Definition[i].GetDefElem()
		if _, name := objectName(e.Arg); strings.EqualFold(name, "any") || strings.EqualFold(e.Arg.GetString_().GetSval(), "any") {
			return nil
		}
		t, err := planner.ResolveType(x.st, e.Arg.GetTypeName(), x.names())
		if err != nil {
			return err
		}
		d.args = append(d.args, catalog.Arg{Type: t})
		return nil
	}
	if len(n.Args) == 0 {
		return nil
	}
	if len(n.Args) > 1 && n.Args[1].GetInteger().GetIval() >= 0 {
		return pgerr.New(pgerr.FeatureNotSupported, "ordered-set aggregates of users are not supported").
			WithHint("An ordinary aggregate can be called with ORDER BY in its arguments.")
	}
	for _, p := range n.Args[0].GetList().GetItems() {
		fp := p.GetFunctionParameter()
		pos := x.st.Pos(fp.ArgType.Location)
		t, err := planner.ResolveType(x.st, fp.ArgType, x.names())
		if err != nil {
			return err
		}
		switch fp.Mode {
		case pg.FunctionParameterMode_FUNC_PARAM_OUT, pg.FunctionParameterMode_FUNC_PARAM_INOUT, pg.FunctionParameterMode_FUNC_PARAM_TABLE:
			return pgerr.New(pgerr.InvalidFunctionDefinition, "aggregates cannot have output arguments").At(pos)
		case pg.FunctionParameterMode_FUNC_PARAM_VARIADIC:
			if t.ID != types.Array && t.ID != types.AnyArray {
				return pgerr.New(pgerr.InvalidFunctionDefinition, "VARIADIC parameter must be an array").At(pos)
			}
			d.inline.variadic = true
		}
		if fp.Defexpr != nil {
			return pgerr.New(pgerr.InvalidFunctionDefinition, "only input parameters can have default values").At(pos)
		}
		d.args = append(d.args, catalog.Arg{Name: fp.Name, Type: t})
	}
	return nil
}

// aggregateOption reads one option.
func (x *statement) aggregateOption(d *definition, p *aggregateParts, e *pg.DefElem) error {
	pos := x.st.Pos(e.Location)
	text := func(to *string) error {
		switch a := e.Arg.GetNode().(type) {
		case *pg.Node_String_:
			*to = a.String_.Sval
		case *pg.Node_TypeName:
			_, *to = objectName(e.Arg)
		case *pg.Node_Integer:
			*to = strconv.Itoa(int(a.Integer.Ival))
		case *pg.Node_Float:
			*to = a.Float.Fval
		default:
			return pgerr.New(pgerr.SyntaxError, "%s takes a string", e.Defname).At(pos)
		}
		return nil
	}
	typ := func(to *types.Type) (err error) {
		if e.Arg.GetTypeName() == nil {
			return pgerr.New(pgerr.SyntaxError, "%s takes a type", strings.ToUpper(e.Defname)).At(pos)
		}
		*to, err = planner.ResolveType(x.st, e.Arg.GetTypeName(), x.names())
		return err
	}
	name := strings.ToLower(e.Defname)
	switch name {
	case "sfunc1":
		name = "sfunc"
	case "stype1":
		name = "stype"
	case "initcond1":
		name = "initcond"
	}
	switch name {
	case "artifact", "as":
		d.pos = pos
		return text(&d.artifact)
	case "symbol":
		return text(&d.symbol)
	case "language":
		return text(&d.language)
	case "returns":
		return typ(&d.returns)
	case "volatility":
		return text(&d.volatility)
	case "memory", "timeout":
		v := ""
		if err := text(&v); err != nil {
			return err
		}
		return d.limit("volley."+name, v, pos)
	case "basetype":
		return nil // read with the arguments
	case "sfunc", "finalfunc", "combinefunc", "msfunc", "minvfunc", "mfinalfunc", "serialfunc", "deserialfunc":
		switch a := e.Arg.GetNode().(type) {
		case *pg.Node_TypeName:
			p.names[name] = a.TypeName.Names
		case *pg.Node_String_:
			p.names[name] = []*pg.Node{e.Arg}
		default:
			return pgerr.New(pgerr.SyntaxError, "%s requires a function name", strings.ToUpper(name)).At(pos)
		}
		p.at[name] = pos
		return nil
	case "stype", "mstype":
		p.at[name] = pos
		if name == "mstype" {
			return typ(&p.moving)
		}
		return typ(&p.state)
	case "initcond", "minitcond":
		v := ""
		p.at[name] = pos
		if err := text(&v); err != nil {
			return err
		}
		if name == "initcond" {
			p.init = &v
		}
		return nil
	case "finalfunc_extra", "mfinalfunc_extra":
		p.at[name] = pos
		if name == "finalfunc_extra" {
			p.extra = boolOption(e)
		}
		return nil
	case "sspace", "msspace", "parallel", "finalfunc_modify", "mfinalfunc_modify", "sortop":
		// Said of how it may be run, not of what it gives.
		p.at[name] = pos
		return nil
	case "hypothetical":
		return pgerr.New(pgerr.FeatureNotSupported, "ordered-set aggregates of users are not supported").At(pos)
	}
	return pgerr.New(pgerr.SyntaxError, "aggregate attribute %q not recognized", e.Defname).At(pos).
		WithHint("There are SFUNC, STYPE, INITCOND, FINALFUNC, FINALFUNC_EXTRA and COMBINEFUNC, or ARTIFACT, AS, SYMBOL, LANGUAGE, RETURNS, VOLATILITY, MEMORY and TIMEOUT.")
}

// boolOption is an option that is true when it stands alone.
func boolOption(e *pg.DefElem) bool {
	switch a := e.Arg.GetNode().(type) {
	case *pg.Node_Boolean:
		return a.Boolean.Boolval
	case *pg.Node_String_:
		return a.String_.Sval != "false" && a.String_.Sval != "off"
	case *pg.Node_Integer:
		return a.Integer.Ival != 0
	case *pg.Node_TypeName:
		_, name := objectName(e.Arg)
		return name != "false" && name != "off"
	}
	return true
}

// aggregateOfFunctions is CREATE AGGREGATE … (SFUNC = …), with Postgres' checks.
func (x *statement) aggregateOfFunctions(ctx context.Context, d *definition, p *aggregateParts) (*Result, error) {
	bad := func(option, format string, args ...any) error {
		return pgerr.New(pgerr.InvalidFunctionDefinition, format, args...).At(p.at[option])
	}
	if p.state.ID == types.Invalid {
		return nil, bad("", "aggregate stype must be specified")
	}
	if p.names["sfunc"] == nil {
		return nil, bad("", "aggregate sfunc must be specified")
	}
	moving := p.moving.ID != types.Invalid
	for _, o := range []string{"msfunc", "minvfunc"} {
		if moving && p.names[o] == nil {
			return nil, bad("mstype", "aggregate %s must be specified when mstype is specified", o)
		}
	}
	for _, o := range []string{"msfunc", "minvfunc", "mfinalfunc", "msspace", "minitcond"} {
		if _, ok := p.at[o]; ok && !moving {
			return nil, bad(o, "aggregate %s must not be specified without mstype", o)
		}
	}
	if s, d := p.names["serialfunc"], p.names["deserialfunc"]; s != nil && d != nil {
		return nil, bad("serialfunc", "serialization functions may be specified only when the aggregate transition data type is internal")
	} else if s != nil || d != nil {
		return nil, bad("serialfunc", "must specify both or neither of serialization and deserialization functions")
	}
	poly := slices.ContainsFunc(d.args, func(a catalog.Arg) bool { return polymorphic(a.Type) })
	switch {
	case p.state.ID == types.Record, p.state.ID == types.Void, p.state.ID == types.Any:
		return nil, bad("stype", "aggregate transition data type cannot be %s", p.state.Bare())
	case polymorphic(p.state) && !poly:
		return nil, pgerr.New(pgerr.InvalidFunctionDefinition, "cannot determine transition data type").
			WithDetail("A result of type %s requires at least one input of type anyelement, anyarray, anynonarray, anyenum, anyrange, or anymultirange.", p.state).At(p.at["stype"])
	}
	var args []types.Type
	for _, a := range d.args {
		args = append(args, a.Type)
	}
	agg := &catalog.AggDef{State: p.state, Init: p.init, Extra: p.extra}
	with := func(ts ...types.Type) []types.Type { return ts }
	find := func(option string, ts []types.Type) (*function.Function, types.Type, error) {
		f, t, err := planner.FindFunction(ctx, x.st, p.names[option], ts, x.options())
		if err != nil {
			return nil, t, pgerr.From(err).At(p.at[option])
		}
		if f.OID >= firstUserOID && !x.snap.HasPrivilege(x.s.o.User, f.OID, "EXECUTE") {
			return nil, t, pgerr.New(pgerr.InsufficientPrivilege, "permission denied for function %s", f.Name).At(p.at[option])
		}
		return f, t, nil
	}
	step, t, err := find("sfunc", append(with(p.state), args...))
	if err != nil {
		return nil, err
	}
	if !t.Same(p.state) {
		return nil, pgerr.New(pgerr.DatatypeMismatch, "return type of transition function %s is not %s", step.Name, p.state.Bare()).At(p.at["sfunc"])
	}
	agg.Step = *refTo(step)
	result := p.state
	if p.names["finalfunc"] != nil {
		in := with(p.state)
		if p.extra {
			in = append(in, args...)
		}
		f, t, err := find("finalfunc", in)
		if err != nil {
			return nil, err
		}
		if p.extra && f.Strict {
			return nil, bad("finalfunc", "final function with extra arguments must not be declared STRICT")
		}
		agg.Final, result = refTo(f), t
	}
	if polymorphic(result) && !poly {
		return nil, pgerr.New(pgerr.InvalidFunctionDefinition, "cannot determine result data type").At(p.at["finalfunc"])
	}
	if p.names["combinefunc"] != nil {
		f, t, err := find("combinefunc", with(p.state, p.state))
		if err != nil {
			return nil, err
		}
		if !t.Same(p.state) {
			return nil, pgerr.New(pgerr.DatatypeMismatch, "return type of combine function %s is not %s", f.Name, p.state.Bare()).At(p.at["combinefunc"])
		}
		agg.Combine = refTo(f)
	}
	if moving {
		// What they compute is what SFUNC does: they are looked at and not called.
		for _, o := range []string{"msfunc", "minvfunc"} {
			f, t, err := find(o, append(with(p.moving), args...))
			if err != nil {
				return nil, err
			}
			if !t.Same(p.moving) {
				what := map[string]string{"msfunc": "transition", "minvfunc": "inverse transition"}[o]
				return nil, pgerr.New(pgerr.DatatypeMismatch, "return type of %s function %s is not %s", what, f.Name, p.moving.Bare()).At(p.at[o])
			}
		}
		if p.names["mfinalfunc"] != nil {
			if _, _, err := find("mfinalfunc", with(p.moving)); err != nil {
				return nil, err
			}
		}
	}
	if !strings.HasPrefix(d.schema, tempPrefix) {
		x.uses = map[uint32]bool{}
		for _, r := range []*catalog.FuncRef{&agg.Step, agg.Final, agg.Combine} {
			if r != nil && r.OID != 0 {
				x.uses[r.OID] = true
			}
		}
		if err := x.noTemporary("a lasting aggregate"); err != nil {
			return nil, err
		}
	}
	def := catalog.FunctionDef{Schema: d.schema, Name: d.name, Kind: catalog.FuncAggregate, Args: d.args, Returns: result, Language: "internal",
		Source: "aggregate_dummy", Variadic: d.inline.variadic, Volatility: uint8(function.Immutable), Agg: agg, Owner: x.s.o.User}
	if old := x.snap.Function(d.schema, d.name, args); old != nil && d.replace {
		if err := x.mustOwnFunction(old); err != nil {
			return nil, err
		}
	}
	f := functionOf(&def)
	x.names().parts(f, &def)
	if err := planner.CheckAggregate(ctx, x.st, f, x.options()); err != nil {
		return nil, err
	}
	err = x.change(ctx, func(tx *catalog.Tx) error { return x.putFunction(tx, def, d.replace) })
	if err != nil {
		return nil, err
	}
	return done("CREATE AGGREGATE"), nil
}

// firstUserOID is the first OID of users' objects.
const firstUserOID = 16384

func polymorphic(t types.Type) bool { return t.ID == types.AnyElement || t.ID == types.AnyArray }

func refTo(f *function.Function) *catalog.FuncRef {
	if f.OID >= firstUserOID && f.Schema != "pg_catalog" {
		return &catalog.FuncRef{OID: f.OID}
	}
	return &catalog.FuncRef{Builtin: f.ID}
}

// parts gives the aggregate f of the definition d the functions that it is made of,
// in their current versions, or those that the session has pinned.
func (n *names) parts(f *function.Function, d *catalog.FunctionDef) {
	if d.Agg == nil {
		return
	}
	find := func(r *catalog.FuncRef) *function.Function {
		if r == nil {
			return nil
		}
		if r.OID == 0 {
			b, _ := function.ByID(r.Builtin)
			return b
		}
		if n.rp != nil {
			if d := n.rp.part(n, r.OID); d != nil {
				return n.arm(d)
			}
		}
		def := n.snap.FunctionByOID(r.OID)
		if def == nil {
			return nil
		}
		v := n.snap.FunctionVersion(r.OID, n.pinned(def))
		part := n.arm(cmp.Or(v, def))
		n.rec.candidate(def.Schema, def.Name, cmp.Or(v, def), part, nil, v == nil)
		return part
	}
	f.Parts = &function.AggParts{Step: find(&d.Agg.Step), Combine: find(d.Agg.Combine), Final: find(d.Agg.Final), State: d.Agg.State,
		Init: d.Agg.Init, Extra: d.Agg.Extra}
}
