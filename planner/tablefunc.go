package planner

import (
	"slices"
	"strconv"

	pg "github.com/pganalyze/pg_query_go/v6"
	goproto "google.golang.org/protobuf/proto"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/udf"
	"github.com/volleydb/volley/vector"
)

// Table functions of plugins are grouped maps to which every row is a group: one
// stream serves all rows, whose columns are passed on as if they were keys.

// tableMap plans FROM in, f(columns of in).
func tableMap(in Node, tf *TableFunc) *GroupedMap {
	g := &GroupedMap{In: in, F: tf.F, Args: tf.Args, BatchRows: 1, Ordinality: tf.Ordinality, Out: concatCols(in.Cols(), tf.Out)}
	for _, c := range in.Cols() {
		g.Keys = append(g.Keys, c.ref())
	}
	return g
}

// pluginSet makes a grouped map of a call in the select list; nil for built-ins.
func pluginSet(n *ProjectSet) (*GroupedMap, error) {
	for _, c := range n.Calls {
		if c.F.UDF == nil {
			continue
		}
		if len(n.Calls) > 1 {
			return nil, pgerr.New(pgerr.FeatureNotSupported, "a table function in Go beside another set-returning function in the select list is not supported").
				WithHint("Call them in FROM: FROM t, f(t.x), g(t.x).").At(c.Pos)
		}
		return tableMap(n.In, &TableFunc{F: c.F, Args: c.Args, Out: n.Out}), nil
	}
	return nil, nil
}

// batchMap lowers a grouped map whose groups are numbers of rows: it runs wherever
// its input is.
func (p *phys) batchMap(n *GroupedMap) (*stream, error) {
	s, err := p.lower(n.In)
	if err != nil {
		return nil, err
	}
	if s, err = p.ensure(s, n.Args...); err != nil {
		return nil, err
	}
	rows := s.rows
	if n.BatchRows == 1 {
		rows *= 10
	}
	return p.mapOver(s, n, rows)
}

func (p *phys) mapOver(s *stream, n *GroupedMap, rows float64) (*stream, error) {
	g := &proto.GroupedMap{Udf: udf.RefToProto(n.F), BatchRows: uint32(n.BatchRows), Ordinality: n.Ordinality}
	var err error
	if g.Keys, err = lowerExprs(n.Keys, s.layout()); err != nil {
		return nil, err
	}
	if g.Args, err = lowerExprs(n.Args, s.layout()); err != nil {
		return nil, err
	}
	for i := range n.Keys {
		g.KeyNames = append(g.KeyNames, n.Out[i].Name)
	}
	op := p.node(n.Out, rows, s)
	op.Node = &proto.Operator_GroupedMap{GroupedMap: g}
	f := *impure(s.frag)
	f.volatile = f.volatile || n.F.Volatility == function.Volatile
	return &stream{op: op, cols: n.Out, frag: &f, rows: rows}, nil
}

// oneRow is a single row without columns, for calls with constant arguments.
func (p *phys) oneRow() *stream {
	op := p.node(nil, 1)
	op.Node = &proto.Operator_Values{Values: &proto.Values{Rows: []*proto.Row{{}}}}
	return &stream{op: op, rows: 1, frag: &fragment{tasks: 1}}
}

// tableArgument puts the columns of TABLE(t), which the parser writes as
// volley_table_arg(t.*), in the places of the arguments that have their names; all of
// them, in order, where a function's arguments have no names.
func (sc *selectCtx) tableArgument(fc *pg.FuncCall) (*pg.FuncCall, error) {
	b := sc.b
	at := -1
	var table *pg.FuncCall
	for i, n := range fc.Args {
		a := n
		if na := n.GetNamedArgExpr(); na != nil {
			a = na.Arg
		}
		if c := a.GetFuncCall(); c != nil && len(c.Args) == 1 {
			if _, name := lastName(c.Funcname); name == "volley_table_arg" {
				at, table = i, c
			}
		}
	}
	if at < 0 {
		return fc, nil
	}
	alias, _ := nameParts(table.Args[0].GetColumnRef().GetFields())
	var have []string
	for _, c := range sc.scope {
		if !c.Hidden && len(alias) > 0 && c.Table == alias[0] {
			have = append(have, c.Name)
		}
	}
	column := func(name string) *pg.Node {
		return &pg.Node{Node: &pg.Node_ColumnRef{ColumnRef: &pg.ColumnRef{Location: table.Location, Fields: []*pg.Node{
			pg.MakeStrNode(alias[0]), pg.MakeStrNode(name)}}}}
	}
	rest := append(append([]*pg.Node(nil), fc.Args[:at]...), fc.Args[at+1:]...)
	given := map[string]bool{}
	positional := 0
	for _, n := range rest {
		if na := n.GetNamedArgExpr(); na != nil {
			given[na.Name] = true
		} else {
			positional++
		}
	}
	schema, name := lastName(fc.Funcname)
	missing := ""
	for _, f := range b.candidates(schema, name) {
		if f.Kind != function.GroupedMap {
			continue
		}
		call := goproto.Clone(fc).(*pg.FuncCall)
		if named := len(f.ArgNames) == len(f.Args) && !slices.Contains(f.ArgNames, ""); !named {
			if len(have)+len(rest) != len(f.Args) || len(given) > 0 {
				missing = "the " + strconv.Itoa(len(f.Args)) + " arguments of " + name + " have no names, and the table has " + strconv.Itoa(len(have)) + " columns"
				continue
			}
			call.Args = append([]*pg.Node(nil), fc.Args[:at]...)
			for _, c := range have {
				call.Args = append(call.Args, column(c))
			}
			call.Args = append(call.Args, fc.Args[at+1:]...)
			return call, nil
		}
		call.Args = append([]*pg.Node(nil), rest...)
		fits := positional <= len(f.ArgNames)
		for _, a := range f.ArgNames[min(positional, len(f.ArgNames)):] {
			if given[a] {
				continue
			}
			if !slices.Contains(have, a) {
				fits, missing = false, "the table has no column "+strconv.Quote(a)
				break
			}
			call.Args = append(call.Args, &pg.Node{Node: &pg.Node_NamedArgExpr{NamedArgExpr: &pg.NamedArgExpr{
				Name: a, Arg: column(a), Argnumber: -1, Location: table.Location}}})
		}
		if fits {
			return call, nil
		}
	}
	if missing == "" {
		return fc, nil // resolving the call says what is wrong with it
	}
	return nil, pgerr.New(pgerr.UndefinedFunction, "function %s cannot take the table: %s", name, missing).
		WithHint("Arguments take the columns that have their names. Name the columns in the table argument: %s(rows => TABLE(SELECT a AS x FROM t)).", name).At(b.pos(table.Location))
}

// described gives a function that computes its output columns those of this call.
func (b *binder) described(f *function.Function, args []Expr, loc int32) (*function.Function, error) {
	if f.UDF == nil || !f.UDF.Describes {
		return f, nil
	}
	if b.o.Describe == nil {
		return nil, b.unsupported(loc, "a function that computes its columns here")
	}
	row := make([]*vector.Vector, len(args))
	for i, a := range args {
		if c, ok := a.(*Const); ok && c.V != nil {
			row[i] = c.V
			continue
		}
		row[i] = vector.NewNull(f.Args[i], 1)
	}
	cols, err := b.o.Describe(f, row)
	if err != nil {
		return nil, b.at(err, loc)
	}
	g := *f
	g.Columns = cols
	return &g, nil
}
