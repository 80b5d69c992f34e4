package coordinator

import (
	"cmp"
	"context"
	"errors"
	"os"
	"strconv"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/catalog"
	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/parser"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/planner"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/udf"
	"github.com/volleydb/volley/vector"
)

// inlineDef is what a definition has besides an artifact: argument modes, and
// source text.
type inlineDef struct {
	outArgs  bool // columns are OUT arguments
	variadic bool
	setof    bool
	source   string // the AS clause, where it is source and not an artifact's name
}

// functionParameters reads the arguments of CREATE FUNCTION.
func (x *statement) functionParameters(ctx context.Context, d *definition, n *pg.CreateFunctionStmt) error {
	defaults := false
	var outs []catalog.Column
	seen := map[string]bool{}
	for _, p := range n.Parameters {
		fp := p.GetFunctionParameter()
		pos := x.st.Pos(fp.ArgType.Location)
		t, err := planner.ResolveType(x.st, fp.ArgType, x.names())
		if err != nil {
			return err
		}
		if fp.ArgType.Setof {
			return pgerr.New(pgerr.InvalidFunctionDefinition, "functions cannot accept set arguments").At(pos)
		}
		input, output := true, false
		switch fp.Mode {
		case pg.FunctionParameterMode_FUNC_PARAM_OUT:
			input, output = false, true
		case pg.FunctionParameterMode_FUNC_PARAM_INOUT:
			output = true
		case pg.FunctionParameterMode_FUNC_PARAM_TABLE:
			if fp.Name != "" && seen["out "+fp.Name] {
				return pgerr.New(pgerr.InvalidFunctionDefinition, "parameter name %q used more than once", fp.Name).At(pos)
			}
			seen["out "+fp.Name] = true
			d.table = true
			d.columns = append(d.columns, catalog.Column{Name: fp.Name, Type: t})
			continue
		}
		if d.inline.variadic && input {
			return pgerr.New(pgerr.InvalidFunctionDefinition, "VARIADIC parameter must be the last input parameter").At(pos)
		}
		for _, in := range []struct {
			is   bool
			side string
		}{{input, "in "}, {output, "out "}} {
			if !in.is || fp.Name == "" {
				continue
			}
			if seen[in.side+fp.Name] {
				return pgerr.New(pgerr.InvalidFunctionDefinition, "parameter name %q used more than once", fp.Name).At(pos)
			}
			seen[in.side+fp.Name] = true
		}
		if fp.Mode == pg.FunctionParameterMode_FUNC_PARAM_VARIADIC {
			d.inline.variadic = true
			if t.ID != types.Array && t.ID != types.AnyArray {
				return pgerr.New(pgerr.InvalidFunctionDefinition, "VARIADIC parameter must be an array").At(pos)
			}
		}
		a := catalog.Arg{Name: fp.Name, Type: t}
		switch {
		case fp.Defexpr != nil && !input:
			return pgerr.New(pgerr.InvalidFunctionDefinition, "only input parameters can have default values").At(pos)
		case fp.Defexpr != nil:
			if a.Default, err = x.defaultText(ctx, fp.Defexpr, t); err != nil {
				return err
			}
			defaults = true
		case defaults && input:
			return pgerr.New(pgerr.InvalidFunctionDefinition, "input parameters after one with a default value must also have defaults").At(pos)
		}
		if input {
			d.args = append(d.args, a)
		}
		if output {
			outs = append(outs, catalog.Column{Name: fp.Name, Type: t})
		}
	}
	if len(outs) == 0 {
		return nil
	}
	if d.table {
		return pgerr.New(pgerr.InvalidFunctionDefinition, "OUT and INOUT arguments aren't allowed in TABLE functions")
	}
	d.inline.outArgs = true
	for i := range outs {
		if outs[i].Name == "" {
			outs[i].Name = "column" + strconv.Itoa(i+1)
		}
	}
	d.columns = outs
	return nil
}

// defaultText is the text of an argument's default, which is bound once to see
// that it can be.
func (x *statement) defaultText(ctx context.Context, e *pg.Node, t types.Type) (string, error) {
	sel := &pg.Node{Node: &pg.Node_SelectStmt{SelectStmt: &pg.SelectStmt{
		TargetList:  []*pg.Node{{Node: &pg.Node_ResTarget{ResTarget: &pg.ResTarget{Val: e}}}},
		LimitOption: pg.LimitOption_LIMIT_OPTION_DEFAULT, Op: pg.SetOperation_SETOP_NONE}}}
	text, err := parser.Deparse(sel)
	if err != nil {
		return "", err
	}
	q, err := planner.Bind(ctx, x.st, sel, []types.Type{t}, x.options())
	if err != nil {
		return "", err
	}
	if got := q.Fields()[0].Type; t.ID != types.AnyElement && t.ID != types.AnyArray && !got.Same(t) && !function.CastAllowed(got, t, function.Assignment) {
		return "", pgerr.New(pgerr.DatatypeMismatch, "argument of DEFAULT must be type %s, not type %s", t.Bare(), got.Bare())
	}
	return strings.TrimPrefix(text, "SELECT "), nil
}

// languageOf is the language of CREATE FUNCTION in lower case: sql without one
// when the body is not a string.
func languageOf(n *pg.CreateFunctionStmt) string {
	for _, o := range n.Options {
		if e := o.GetDefElem(); e.Defname == "language" {
			return strings.ToLower(e.Arg.GetString_().GetSval())
		}
	}
	if n.SqlBody != nil {
		return "sql"
	}
	return ""
}

// createSQLFunction is CREATE FUNCTION … LANGUAGE sql, whose arguments are read.
func (x *statement) createSQLFunction(ctx context.Context, d *definition, n *pg.CreateFunctionStmt) (*Result, error) {
	path := ""
	for _, o := range n.Options {
		e := o.GetDefElem()
		if e.Defname == "set" {
			v := e.Arg.GetVariableSetStmt()
			if !strings.EqualFold(v.Name, "search_path") {
				return nil, pgerr.New(pgerr.FeatureNotSupported, "setting %s of a function in SQL is not supported", v.Name).
					WithDetail("Its body becomes part of the query that calls it.").WithHint("Only search_path can be set.").At(x.st.Pos(e.Location))
			}
			var err error
			if path, err = x.bodyPath(v, x.st.Pos(e.Location)); err != nil {
				return nil, err
			}
			continue
		}
		if e.Defname == "as" && len(e.Arg.GetList().GetItems()) > 1 {
			return nil, pgerr.New(pgerr.InvalidFunctionDefinition, "only one AS item needed for language \"sql\"").At(x.st.Pos(e.Location))
		}
		if err := x.functionOption(ctx, d, e); err != nil {
			return nil, err
		}
	}
	def := catalog.FunctionDef{Schema: d.schema, Name: d.name, Args: d.args, Columns: d.columns, Language: "sql", Variadic: d.inline.variadic,
		OutArgs: d.inline.outArgs, Volatility: uint8(function.Volatile), Owner: x.s.o.User}
	if err := x.sqlResult(&def, d, n); err != nil {
		return nil, err
	}
	body, err := x.sqlBody(d, n)
	if err != nil {
		return nil, err
	}
	def.Body, def.Source = body, d.artifact
	if d.strict != nil {
		def.Strict = *d.strict
	}
	if d.volatility != "" {
		v, ok := map[string]function.Volatility{"immutable": function.Immutable, "stable": function.Stable, "volatile": function.Volatile}[strings.ToLower(d.volatility)]
		if !ok {
			return nil, pgerr.New(pgerr.InvalidFunctionDefinition, "volatility %q is not immutable, stable or volatile", d.volatility)
		}
		def.Volatility = uint8(v)
	}
	def.Cost, def.Rows = d.cost, d.rows
	if def.SecurityDefiner = d.definer; d.definer && path == "" {
		path = x.definerPath()
	}
	if path != "" {
		def.Settings = map[string]string{"search_path": path}
	}
	d.language = "sql"
	if err := x.mayDefine(d); err != nil {
		return nil, err
	}
	f := functionOf(&def)
	f.ID = "" // it is not there yet: a call of this name in the body is of another
	if err := planner.CheckBody(ctx, f, x.options()); err != nil {
		return nil, err
	}
	err = x.change(ctx, func(tx *catalog.Tx) error {
		return x.putFunction(tx, def, d.replace)
	})
	if err != nil {
		return nil, err
	}
	return done("CREATE FUNCTION"), nil
}

// sqlResult finds the kind and the result of a function in SQL.
func (x *statement) sqlResult(def *catalog.FunctionDef, d *definition, n *pg.CreateFunctionStmt) error {
	rt := n.ReturnType
	if rt != nil && !d.table {
		d.inline.setof = rt.Setof
		rt.Setof = false // the parse tree is this statement's own
		t, err := planner.ResolveType(x.st, rt, x.names())
		rt.Setof = d.inline.setof
		if err != nil {
			return err
		}
		d.returns = t
	}
	def.SetOf = d.table || d.inline.setof
	switch {
	case d.table, len(d.columns) > 1:
		if !d.table && rt != nil && d.returns.ID != types.Record {
			return pgerr.New(pgerr.InvalidFunctionDefinition, "function result type must be record because of OUT parameters").At(x.st.Pos(rt.Location))
		}
		def.Kind, def.Returns = catalog.FuncTable, types.T(types.Record)
		return nil
	case len(d.columns) == 1:
		t := d.columns[0].Type
		if rt != nil && !d.returns.Same(t) {
			return pgerr.New(pgerr.InvalidFunctionDefinition, "function result type must be %s because of OUT parameters", t.Bare()).At(x.st.Pos(rt.Location))
		}
		d.returns = t
		if !def.SetOf {
			def.Columns, def.OutArgs = nil, false
		}
	case rt == nil:
		return pgerr.New(pgerr.InvalidFunctionDefinition, "function result type must be specified")
	case d.returns.ID == types.Record:
		return pgerr.New(pgerr.FeatureNotSupported, "a function in SQL that returns record without OUT arguments is not supported").
			WithHint("Use RETURNS TABLE (…) or OUT arguments.").At(x.st.Pos(rt.Location))
	case d.returns.ID == types.Void:
		return pgerr.New(pgerr.FeatureNotSupported, "a function in SQL that returns void is not supported").
			WithDetail("Functions in SQL are queries; they change nothing.").At(x.st.Pos(rt.Location))
	}
	def.Kind, def.Returns = catalog.FuncScalar, d.returns
	if def.SetOf {
		def.Kind = catalog.FuncTable
	}
	if r := d.returns.ID; r == types.AnyElement || r == types.AnyArray {
		poly := false
		for _, a := range d.args {
			poly = poly || a.Type.ID == types.AnyElement || a.Type.ID == types.AnyArray
		}
		if !poly {
			return pgerr.New(pgerr.InvalidFunctionDefinition, "cannot determine result data type").
				WithDetail("A result of type %s requires at least one input of type anyelement, anyarray, anynonarray, anyenum, anyrange, or anymultirange.", d.returns)
		}
	}
	return nil
}

// sqlBody is the query of a function in SQL, from AS '…', RETURN or BEGIN ATOMIC.
func (x *statement) sqlBody(d *definition, n *pg.CreateFunctionStmt) (string, error) {
	one := func(count int, node *pg.Node) error {
		switch {
		case count == 0:
			return pgerr.New(pgerr.InvalidFunctionDefinition, "return type mismatch in function declared to return %s", d.returns.Bare()).
				WithDetail("Function's final statement must be SELECT or INSERT/UPDATE/DELETE RETURNING.")
		case count > 1:
			return pgerr.New(pgerr.FeatureNotSupported, "a function in SQL of several statements is not supported").At(d.pos)
		case node.GetSelectStmt() == nil:
			return pgerr.New(pgerr.FeatureNotSupported, "a function in SQL can only be a query").
				WithHint("Its body is one SELECT, VALUES or WITH … SELECT.").At(d.pos)
		}
		return nil
	}
	if n.SqlBody == nil {
		if d.pos == 0 && d.artifact == "" {
			return "", pgerr.New(pgerr.InvalidFunctionDefinition, "no function body specified")
		}
		list, err := parser.Parse(d.artifact)
		if err != nil {
			e := *pgerr.From(err)
			e.Position = d.pos
			return "", (&e).WithWhere("SQL function %q", d.name)
		}
		if len(list) == 0 {
			return "", one(0, nil)
		}
		return list[0].SQL, one(len(list), list[0].Node)
	}
	if d.artifact != "" {
		return "", pgerr.New(pgerr.InvalidFunctionDefinition, "duplicate function body specified").At(d.pos)
	}
	if r := n.SqlBody.GetReturnStmt(); r != nil {
		return parser.Deparse(&pg.Node{Node: &pg.Node_SelectStmt{SelectStmt: &pg.SelectStmt{
			TargetList:  []*pg.Node{{Node: &pg.Node_ResTarget{ResTarget: &pg.ResTarget{Val: r.Returnval}}}},
			LimitOption: pg.LimitOption_LIMIT_OPTION_DEFAULT, Op: pg.SetOperation_SETOP_NONE}}})
	}
	var list []*pg.Node
	for _, l := range n.SqlBody.GetList().GetItems() {
		for _, s := range l.GetList().GetItems() {
			if s.GetNode() != nil {
				list = append(list, s)
			}
		}
	}
	if len(list) == 0 {
		return "", one(0, nil)
	}
	if r := list[0].GetReturnStmt(); r != nil && len(list) == 1 {
		return "", pgerr.New(pgerr.FeatureNotSupported, "RETURN in BEGIN ATOMIC is not supported").WithHint("Write SELECT.")
	}
	if err := one(len(list), list[0]); err != nil {
		return "", err
	}
	return parser.Deparse(list[0])
}

// buildInline compiles the source in the AS clause, stores the artifact and
// makes d name it.
func (x *statement) buildInline(ctx context.Context, d *definition) error {
	in := udf.Inline{Name: d.name, Kind: function.Scalar, Returns: d.returns, Columns: fieldsOf(d.columns), Volatility: strings.ToLower(d.volatility),
		NullInput: d.strict != nil && !*d.strict, Source: d.artifact}
	switch {
	case d.aggregate:
		in.Kind = function.Aggregate
	case d.table:
		in.Kind = function.GroupedMap
	case d.window:
		in.Kind = function.Window
	}
	for _, a := range d.args {
		in.Args = append(in.Args, vector.Field{Name: a.Name, Type: a.Type})
	}
	dir, err := os.MkdirTemp("", "volley-create-")
	if err != nil {
		return pgerr.Wrap(err, pgerr.IOError, "could not build function %q", d.name)
	}
	defer os.RemoveAll(dir)
	a, err := udf.BuildInline(ctx, in, udf.BuildOptions{TempDir: dir})
	if err != nil {
		var ce *udf.CompileError
		if errors.As(err, &ce) {
			return ce.Err.At(x.inSource(d, ce.Line, ce.Column))
		}
		return pgerr.From(err).At(d.pos)
	}
	f, err := os.Open(a.Path)
	if err != nil {
		return pgerr.Wrap(err, pgerr.IOError, "could not build function %q", d.name)
	}
	defer f.Close()
	if _, err := x.s.c.cfg.Artifacts.PutOwn(ctx, f); err != nil {
		return err
	}
	d.inline.source, d.artifact = d.artifact, a.Digest
	d.symbol = udf.InlineSymbol(a.Manifest, cmp.Or(d.symbol, d.name))
	return nil
}

// inSource is the position in the statement of a place in a source that stands in
// it as it is (dollar quoted); else that of the AS clause.
func (x *statement) inSource(d *definition, line, column int) int {
	at := strings.Index(x.st.SQL, d.artifact)
	if at < 0 || line < 1 {
		return d.pos
	}
	src := d.artifact
	off := 0
	for range line - 1 {
		i := strings.IndexByte(src[off:], '\n')
		if i < 0 {
			return d.pos
		}
		off += i + 1
	}
	off = min(off+max(column-1, 0), len(src))
	return x.st.PosAt(at + off)
}

// sourceText is what the catalog keeps of the AS clause.
func (d *definition) sourceText() string { return cmp.Or(d.inline.source, d.artifact) }

func fieldsOf(cols []catalog.Column) []vector.Field {
	out := make([]vector.Field, len(cols))
	for i, c := range cols {
		out[i] = vector.Field{Name: c.Name, Type: c.Type}
	}
	return out
}
