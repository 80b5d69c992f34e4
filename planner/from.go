package planner

import (
	"slices"
	"strconv"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/parser"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// fromItem is a bound item of FROM.
type fromItem struct {
	plan Node
	cols []scopeCol
}

// from binds the FROM clause into sc.plan and sc.scope.
func (sc *selectCtx) from(list []*pg.Node) error {
	for i, n := range list {
		left := &fromItem{plan: sc.plan, cols: sc.scope}
		if i == 0 {
			left = nil
		}
		it, err := sc.fromNode(n, left)
		if err != nil {
			return err
		}
		if err := sc.checkAliases(it.cols, n); err != nil {
			return err
		}
		if i == 0 {
			sc.plan = it.plan
		} else if sc.plan, err = sc.joinNodes(proto.Join_CROSS, sc.plan, it.plan, nil); err != nil {
			return err
		}
		sc.scope = append(sc.scope, it.cols...)
	}
	return nil
}

// checkAliases refuses a table name that is in scope already.
func (sc *selectCtx) checkAliases(cols []scopeCol, n *pg.Node) error {
	have := map[string]string{}
	for _, c := range sc.scope {
		have[c.Table] = c.Schema
	}
	for _, c := range cols {
		if s, ok := have[c.Table]; ok && c.Table != "" && s == c.Schema {
			return pgerr.New(pgerr.DuplicateAlias, "table name %q specified more than once", c.Table).At(sc.b.pos(nodeLocation(n)))
		}
	}
	return nil
}

// joinNodes joins, by a Dependent where the right side reads columns of the left.
func (sc *selectCtx) joinNodes(kind proto.Join_Kind, left, right Node, cond Expr) (Node, error) {
	if freeColumns(right).meets(idsOf(left.Cols())) {
		switch kind {
		case proto.Join_CROSS, proto.Join_INNER:
			if tf, ok := right.(*TableFunc); ok && tf.F.UDF == nil && !tf.Ordinality && len(tf.Out) == 1 && cond == nil {
				// f(t.c) in FROM after t: rows times results, which is ProjectSet.
				return &ProjectSet{In: left, Calls: []*Call{{F: tf.F, Args: tf.Args, T: tf.Out[0].T}}, Out: tf.Out}, nil
			}
			if tf, ok := right.(*TableFunc); ok && tf.F.UDF != nil {
				var n Node = tableMap(left, tf)
				if cond != nil {
					n = &Filter{In: n, Cond: cond}
				}
				return n, nil
			}
			var n Node = &Dependent{Kind: proto.DependentJoin_INNER, Left: left, Right: right, Out: right.Cols()}
			if cond != nil {
				n = &Filter{In: n, Cond: cond}
			}
			return n, nil
		case proto.Join_LEFT:
			if cond != nil && !isTrue(cond) {
				right = &Filter{In: right, Cond: cond}
			}
			return &Dependent{Kind: proto.DependentJoin_LEFT, Left: left, Right: right, Out: right.Cols()}, nil
		}
		return nil, pgerr.New(pgerr.InvalidColumnReference, "invalid reference to FROM-clause entry: the combining JOIN type must be INNER or LEFT for a LATERAL reference")
	}
	return &Join{Kind: kind, Left: left, Right: right, Cond: cond}, nil
}

// fromNode binds one item. left is what LATERAL items may refer to.
func (sc *selectCtx) fromNode(n *pg.Node, left *fromItem) (*fromItem, error) {
	b := sc.b
	switch {
	case n.GetRangeVar() != nil:
		r := n.GetRangeVar()
		it, err := sc.rangeVar(r)
		if err == nil && r.Alias != nil {
			for i := range it.cols {
				it.cols[i].Origin = r.Relname
			}
		}
		return it, err
	case n.GetRangeSubselect() != nil:
		rs := n.GetRangeSubselect()
		outer := sc.outer
		if rs.Lateral {
			outer = sc.lateral(left)
		}
		sel := rs.Subquery.GetSelectStmt()
		q, err := b.query(sel, outer, sc.ctes, queryOpts{})
		if err != nil {
			return nil, err
		}
		cols, err := b.renameCols(q.cols, rs.Alias.GetColnames(), "table "+strconv.Quote(rs.Alias.GetAliasname()), selectLocation(sel))
		if err != nil {
			return nil, err
		}
		it := &fromItem{plan: q.plan}
		for _, c := range cols {
			it.cols = append(it.cols, scopeCol{Col: c.Col, Table: rs.Alias.GetAliasname(), Hidden: c.Hidden})
		}
		return it, nil
	case n.GetRangeFunction() != nil:
		return sc.rangeFunction(n.GetRangeFunction(), left)
	case n.GetJoinExpr() != nil:
		if s := sampleMark(n.GetJoinExpr()); s != nil {
			return sc.fromNode(s, left)
		}
		return sc.joinExpr(n.GetJoinExpr(), left)
	case n.GetRangeTableSample() != nil:
		return sc.tableSample(n.GetRangeTableSample(), left)
	}
	return nil, b.unsupported(nodeLocation(n), "this item in FROM")
}

// lateral is the context in which a LATERAL item's outer references resolve.
func (sc *selectCtx) lateral(left *fromItem) *selectCtx {
	l := &selectCtx{b: sc.b, outer: sc.outer, ctes: sc.ctes, clause: "FROM"}
	if left != nil {
		l.scope = left.cols
	}
	return l
}

func (sc *selectCtx) rangeVar(r *pg.RangeVar) (*fromItem, error) {
	b := sc.b
	alias := r.Relname
	if r.Alias != nil {
		alias = r.Alias.Aliasname
	}
	if r.Catalogname != "" && sc.b.o.Functions != nil && r.Catalogname != sc.b.o.Functions.Database {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "cross-database references are not implemented: \"%s.%s.%s\"", r.Catalogname, r.Schemaname, r.Relname).At(b.pos(r.Location))
	}
	if r.Schemaname == "" {
		if e := sc.ctes.find(r.Relname); e != nil {
			plan, cols := b.cteRef(e)
			return sc.aliased(plan, cols, "", alias, r.Alias, r.Location)
		}
	}
	rel, err := b.o.Catalog.Relation(r.Schemaname, r.Relname)
	if err != nil {
		return nil, b.at(err, r.Location)
	}
	if rel == nil {
		name := r.Relname
		if r.Schemaname != "" {
			name = r.Schemaname + "." + name
		}
		e := pgerr.New(pgerr.UndefinedTable, "relation %q does not exist", name).At(b.pos(r.Location))
		names := b.o.Catalog.RelationNames()
		for c := sc.ctes; c != nil; c = c.up {
			names = append(names, c.name)
		}
		if s := suggest(r.Relname, names); s != "" {
			e = e.WithHint("Perhaps you meant %q.", s)
		} else if looksLikeFile(r.Relname) {
			e = e.WithHint("To read a file, write read_csv('%[1]s'), read_parquet('%[1]s') or read_json('%[1]s').", r.Relname)
		}
		return nil, e
	}
	switch rel.Kind {
	case ViewRelation:
		return sc.view(rel, alias, r)
	case VirtualRelation:
		s := &VirtualScan{Name: rel.Schema + "." + rel.Name}
		var cols []outCol
		names := map[string]bool{}
		add := func(f vector.Field, i int, hidden bool) {
			c := b.newCol(f.Name, f.Type)
			s.Out = append(s.Out, c)
			s.Source = append(s.Source, uint32(i))
			cols = append(cols, outCol{c, hidden})
			names[f.Name] = true
		}
		for i, f := range rel.Columns {
			add(f, i, false)
		}
		for i, f := range rel.Hidden {
			if !names[f.Name] {
				add(f, len(rel.Columns)+i, true)
			}
		}
		return sc.aliased(s, cols, rel.Schema, alias, r.Alias, r.Location)
	}
	s := b.scan(rel.Schema+"."+rel.Name, rel.Columns, rel.Files)
	return sc.aliased(s, visible(s.Out), rel.Schema, alias, r.Alias, r.Location)
}

func looksLikeFile(s string) bool {
	return strings.ContainsAny(s, "/*") || strings.HasSuffix(s, ".csv") || strings.HasSuffix(s, ".parquet") || strings.HasSuffix(s, "json")
}

func (b *binder) scan(name string, columns []vector.Field, files *FileSet) *Scan {
	s := &Scan{Name: name, Format: files.Format, Files: files}
	for _, f := range columns {
		s.Out = append(s.Out, b.newCol(f.Name, f.Type))
		s.Source = append(s.Source, f.Name)
	}
	return s
}

func (sc *selectCtx) aliased(plan Node, cols []outCol, schema, alias string, a *pg.Alias, loc int32) (*fromItem, error) {
	cols, err := sc.b.renameCols(cols, a.GetColnames(), "table "+strconv.Quote(alias), loc)
	if err != nil {
		return nil, err
	}
	it := &fromItem{plan: plan}
	if a != nil {
		schema = ""
	}
	for _, c := range cols {
		it.cols = append(it.cols, scopeCol{Col: c.Col, Schema: schema, Table: alias, Hidden: c.Hidden})
	}
	return it, nil
}

// view binds a view's own statement in its place.
func (sc *selectCtx) view(rel *Relation, alias string, r *pg.RangeVar) (*fromItem, error) {
	b := sc.b
	if b.views >= maxViewDepth {
		return nil, pgerr.New(pgerr.StatementTooComplex, "views are nested more than %d deep at %q", maxViewDepth, rel.Name).At(b.pos(r.Location))
	}
	inner := *b
	inner.st = rel.View
	inner.views++
	inner.params = nil
	inner.infer = false
	inner.frame = b.frame.within()
	q, err := inner.query(rel.View.Node.GetSelectStmt(), nil, nil, queryOpts{})
	if err != nil {
		e := *pgerr.From(err)
		e.Position = b.pos(r.Location) // the text of the view is not the user's statement
		return nil, (&e).WithWhere("view %q", rel.Name)
	}
	// The columns are those the view was created with, by position: the names
	// may have been given in CREATE VIEW v (a, b).
	var cols []outCol
	i := 0
	for _, c := range q.cols {
		if c.Hidden {
			continue
		}
		if i < len(rel.Columns) {
			c.Name = rel.Columns[i].Name
		}
		i++
		cols = append(cols, c)
	}
	if i != len(rel.Columns) {
		return nil, pgerr.New(pgerr.InvalidTableDefinition, "view %q was created with %d columns and its query gives %d now", rel.Name, len(rel.Columns), i).At(b.pos(r.Location))
	}
	return sc.aliased(q.plan, cols, rel.Schema, alias, r.Alias, r.Location)
}

func (sc *selectCtx) joinExpr(j *pg.JoinExpr, left *fromItem) (*fromItem, error) {
	b := sc.b
	larg, mark := joinMark(j.Larg)
	l, err := sc.fromNode(larg, left)
	if err != nil {
		return nil, err
	}
	both := l
	if left != nil {
		both = &fromItem{cols: append(append([]scopeCol(nil), left.cols...), l.cols...)}
	}
	r, err := sc.fromNode(j.Rarg, both)
	if err != nil {
		return nil, err
	}
	probe := &selectCtx{b: b, scope: l.cols}
	if err := probe.checkAliases(r.cols, j.Rarg); err != nil {
		return nil, err
	}
	kind := map[pg.JoinType]proto.Join_Kind{
		pg.JoinType_JOIN_INNER: proto.Join_INNER, pg.JoinType_JOIN_LEFT: proto.Join_LEFT,
		pg.JoinType_JOIN_RIGHT: proto.Join_RIGHT, pg.JoinType_JOIN_FULL: proto.Join_FULL}[j.Jointype]
	loc := nodeLocation(j.Rarg)
	if mark != "" {
		if kind, err = b.markedKind(mark, kind, loc); err != nil {
			return nil, err
		}
	}
	asof := mark == "asof"

	var using []string
	if j.IsNatural {
		for _, c := range l.cols {
			if c.Hidden || c.Merged {
				continue
			}
			if d, _ := findColumn(r.cols, ident{}, ident{c.Name, true}, ""); d != nil {
				using = append(using, c.Name)
			}
		}
	} else {
		using, _ = nameParts(j.UsingClause)
	}
	on := &selectCtx{b: b, outer: sc.outer, ctes: sc.ctes, clause: "JOIN conditions"}
	on.scope = append(append(on.scope, l.cols...), r.cols...)
	var cond Expr
	var cols []scopeCol
	var merged []Expr
	var mergedCols []Col
	if len(using) > 0 {
		hide := map[ColID]bool{}
		for i, name := range using {
			if slices.Contains(using[:i], name) {
				return nil, pgerr.New(pgerr.DuplicateColumn, "column name %q appears more than once in USING clause", name).At(b.pos(loc))
			}
			id := ident{name, false}
			lc, perr := findColumn(l.cols, ident{}, id, "")
			if perr != nil {
				return nil, perr.At(b.pos(loc))
			}
			rc, perr := findColumn(r.cols, ident{}, id, "")
			if perr != nil {
				return nil, perr.At(b.pos(loc))
			}
			if lc == nil || rc == nil {
				side := "left"
				if lc != nil {
					side = "right"
				}
				return nil, pgerr.New(pgerr.UndefinedColumn, "column %q specified in USING clause does not exist in %s table", name, side).At(b.pos(loc))
			}
			op := "="
			if asof && i == len(using)-1 {
				op = ">="
			}
			eq, err := b.operator(op, []Expr{lc.ref(), rc.ref()}, loc)
			if err != nil {
				return nil, err
			}
			cond = and(cond, eq)
			hide[lc.ID], hide[rc.ID] = true, true
			// The merged column has the common type of both, as in Postgres; one
			// that is no plain column of a side is computed above the join.
			t, err := commonType([]types.Type{lc.T, rc.T}, "JOIN/USING")
			if err != nil {
				return nil, b.at(err, loc)
			}
			x, err := b.coerce(lc.ref(), t, function.Implicit, "")
			if err != nil {
				return nil, err
			}
			y, err := b.coerce(rc.ref(), t, function.Implicit, "")
			if err != nil {
				return nil, err
			}
			var m Expr
			switch {
			case kind == proto.Join_FULL:
				m = &Coalesce{Op: proto.Coalesce_COALESCE, Args: []Expr{x, y}, T: t}
			case kind == proto.Join_RIGHT:
				m = y
			case kind == proto.Join_LEFT || asof:
				m = x
			default:
				if m = x; !isColumn(x) && isColumn(y) {
					m = y
				}
			}
			if c, ok := m.(*Column); ok {
				cols = append(cols, scopeCol{Col: Col{ID: c.ID, Name: lc.Name, T: c.T}})
				continue
			}
			c := b.newCol(lc.Name, t)
			merged = append(merged, m)
			mergedCols = append(mergedCols, c)
			cols = append(cols, scopeCol{Col: c})
		}
		for _, c := range on.scope {
			if hide[c.ID] {
				c.Hidden, c.Merged = true, true
			}
			cols = append(cols, c)
		}
	} else {
		cols = on.scope
	}
	if j.Quals != nil {
		on.plan = &Values{}
		marker := on.plan
		e, err := on.boolExpr(j.Quals, "JOIN/ON")
		if err != nil {
			return nil, err
		}
		if on.plan != marker {
			if mark != "" {
				return nil, b.unsupported(nodeLocation(j.Quals), "a subquery in the condition of an ASOF, SEMI or ANTI JOIN")
			}
			// Subqueries in ON: for an inner join they may as well stand in WHERE.
			if kind != proto.Join_INNER {
				plan, err := sc.outerJoinOn(kind, j.Quals, l, r, on.scope, loc)
				if err != nil {
					return nil, err
				}
				return sc.joinAlias(j, &fromItem{plan: plan, cols: cols})
			}
			plan, err := sc.joinNodes(proto.Join_CROSS, l.plan, r.plan, nil)
			if err != nil {
				return nil, err
			}
			w := &selectCtx{b: b, outer: sc.outer, ctes: sc.ctes, clause: "JOIN conditions", scope: on.scope, plan: plan}
			if err := w.where(j.Quals); err != nil {
				return nil, err
			}
			return sc.joinAlias(j, &fromItem{plan: w.plan, cols: cols})
		}
		cond = e
	}
	if cond == nil && kind == proto.Join_INNER {
		kind = proto.Join_CROSS
	}
	var plan Node
	if asof {
		plan, err = sc.asofJoin(l.plan, r.plan, cond, kind == proto.Join_LEFT, loc)
	} else {
		plan, err = sc.joinNodes(kind, l.plan, r.plan, cond)
	}
	if err != nil {
		return nil, b.at(err, loc)
	}
	if kind == proto.Join_SEMI || kind == proto.Join_ANTI {
		return sc.joinAlias(j, &fromItem{plan: plan, cols: l.cols})
	}
	if len(merged) > 0 {
		p := &Project{In: plan}
		for _, c := range plan.Cols() {
			p.Out = append(p.Out, c)
			p.Exprs = append(p.Exprs, c.ref())
		}
		for i, e := range merged {
			p.Out = append(p.Out, mergedCols[i])
			p.Exprs = append(p.Exprs, e)
		}
		plan = p
	}
	return sc.joinAlias(j, &fromItem{plan: plan, cols: cols})
}

// outerJoinOn plans an outer join whose ON clause has subqueries. They join the
// side that they read, or, when they read both, the side that is looked up for
// each row of the other.
func (sc *selectCtx) outerJoinOn(kind proto.Join_Kind, quals *pg.Node, l, r *fromItem, scope []scopeCol, loc int32) (Node, error) {
	b := sc.b
	bind := func(plan Node) (Node, Expr, error) {
		on := &selectCtx{b: b, outer: sc.outer, ctes: sc.ctes, clause: "JOIN conditions", scope: scope, plan: plan}
		e, err := on.boolExpr(quals, "JOIN/ON")
		return on.plan, e, err
	}
	left, cond, err := bind(l.plan)
	if err != nil {
		return nil, err
	}
	if !freeColumns(left).meets(idsOf(r.plan.Cols())) {
		return sc.joinNodes(kind, left, r.plan, cond)
	}
	right, cond, err := bind(r.plan)
	if err != nil {
		return nil, err
	}
	switch {
	case !freeColumns(right).meets(idsOf(l.plan.Cols())) || kind == proto.Join_LEFT:
		return sc.joinNodes(kind, l.plan, right, cond)
	case kind == proto.Join_RIGHT:
		left, cond, err := bind(l.plan)
		if err != nil {
			return nil, err
		}
		return sc.joinNodes(proto.Join_LEFT, r.plan, left, cond)
	}
	return nil, b.unsupported(loc, "a subquery over both sides in the ON clause of a FULL JOIN")
}

// joinAlias applies (a JOIN b …) AS j.
func (sc *selectCtx) joinAlias(j *pg.JoinExpr, it *fromItem) (*fromItem, error) {
	if j.JoinUsingAlias != nil {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "an alias for JOIN … USING is not supported")
	}
	if j.Alias == nil {
		return it, nil
	}
	var cols []outCol
	for _, c := range it.cols {
		if !c.Merged {
			cols = append(cols, outCol{c.Col, c.Hidden})
		}
	}
	return sc.aliased(it.plan, cols, "", j.Alias.Aliasname, j.Alias, nodeLocation(j.Larg))
}

// rangeFunction binds a function in FROM.
func (sc *selectCtx) rangeFunction(rf *pg.RangeFunction, left *fromItem) (*fromItem, error) {
	b := sc.b
	if rf.IsRowsfrom && len(rf.Functions) > 1 {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "ROWS FROM with several functions is not supported")
	}
	item := rf.Functions[0].GetList().GetItems()
	node := item[0]
	if len(rf.Coldeflist) > 0 && node.GetFuncCall() != nil {
		ctx := sc.lateral(left)
		ctx.clause = "functions in FROM"
		ctx.plan = &Values{Rows: [][]Expr{{}}}
		return sc.columnDefinitions(rf, node.GetFuncCall(), ctx)
	}
	if len(rf.Coldeflist) > 0 || len(item) > 1 && item[1].GetList() != nil && len(item[1].GetList().Items) > 0 {
		return nil, b.unsupported(nodeLocation(node), "a column definition list")
	}
	fc := node.GetFuncCall()
	ctx := sc.lateral(left)
	ctx.clause = "functions in FROM"
	ctx.plan = &Values{Rows: [][]Expr{{}}}
	if fc == nil {
		// CURRENT_DATE and the like: one row of the value.
		e, err := ctx.expr(node)
		if err != nil {
			return nil, err
		}
		name := figureName(node)
		p := &Project{In: ctx.plan, Exprs: []Expr{e}, Out: []Col{b.newCol(name, e.Type())}}
		return sc.functionAlias(p, visible(p.Out), name, rf)
	}
	schema, name := lastName(fc.Funcname)
	if name == "unnest" && len(fc.Args) > 1 {
		return nil, b.unsupported(fc.Location, "unnest of several arrays")
	}
	if f := fileFunction(name); f != nil && (schema == "" || schema == "pg_catalog") {
		s, err := sc.fileScan(f, fc)
		if err != nil {
			return nil, err
		}
		if rf.Ordinality {
			return nil, b.unsupported(fc.Location, "WITH ORDINALITY for %s", name).WithHint("Use row_number() OVER ().")
		}
		return sc.functionAlias(s, visible(s.Cols()), name, rf)
	}
	f, args, t, err := ctx.resolveCall(fc, function.Table)
	if err != nil {
		return nil, err
	}
	if f.Body != "" && f.Kind == function.Table {
		return ctx.sqlRows(f, args, t, rf, name, fc.Location)
	}
	if f.Kind == function.Scalar {
		cn := name
		if rf.Alias != nil {
			cn = rf.Alias.Aliasname
		}
		e, err := ctx.call(f, args, t, fc.Location)
		if err != nil {
			return nil, err
		}
		p := &Project{In: ctx.plan, Exprs: []Expr{e}, Out: []Col{b.newCol(cn, t)}}
		return sc.functionAlias(p, visible(p.Out), name, rf)
	}
	if f.Kind != function.Table {
		return nil, pgerr.New(pgerr.WrongObjectType, "%s is %s and cannot be used in FROM", name, kindName(f.Kind)).At(b.pos(fc.Location))
	}
	if _, ok := ctx.plan.(*Values); !ok {
		return nil, b.unsupported(fc.Location, "a subquery as argument of a function in FROM")
	}
	if f, err = b.described(f, args, fc.Location); err != nil {
		return nil, err
	}
	var out []Col
	if len(f.Columns) > 1 || len(f.Columns) == 1 && f.UDF != nil {
		for _, c := range f.Columns {
			ct := c.Type
			if ct.ID == types.AnyElement || ct.ID == types.AnyArray {
				ct = t
			}
			out = append(out, b.newCol(c.Name, ct))
		}
	} else {
		cn := name
		if rf.Alias != nil {
			cn = rf.Alias.Aliasname
		}
		if len(f.Columns) == 1 && f.Columns[0].Name != f.Name {
			cn = f.Columns[0].Name // the name of its OUT parameter
		}
		out = []Col{b.newCol(cn, t)}
	}
	if s := series(name, args, out); s != nil && !rf.Ordinality {
		return sc.functionAlias(s, visible(out), name, rf)
	}
	tf := &TableFunc{F: f, Args: args, Ordinality: rf.Ordinality, Out: out}
	if rf.Ordinality {
		tf.Out = append(tf.Out, b.newCol("ordinality", types.T(types.Int8)))
	}
	return sc.functionAlias(tf, visible(tf.Out), name, rf)
}

func (sc *selectCtx) functionAlias(plan Node, cols []outCol, name string, rf *pg.RangeFunction) (*fromItem, error) {
	if rf.Alias != nil {
		name = rf.Alias.Aliasname
	}
	it, err := sc.aliased(plan, cols, "", name, rf.Alias, -1)
	if err == nil && len(it.cols) == 1 {
		it.cols[0].Scalar = true
	}
	return it, err
}

// series recognises generate_series over integer constants. It is planned as
// ranges, so that several tasks make their part of it.
func series(name string, args []Expr, out []Col) *Series {
	if name != "generate_series" || len(args) < 2 {
		return nil
	}
	v := [3]int64{0, 0, 1}
	for i, a := range args {
		c, ok := a.(*Const)
		if !ok || c.V == nil {
			return nil
		}
		switch c.T.ID {
		case types.Int8:
			v[i] = vector.At[int64](c.V, 0)
		case types.Int4:
			v[i] = int64(vector.At[int32](c.V, 0))
		default:
			return nil
		}
	}
	if v[2] == 0 || out[0].T.ID != types.Int8 && out[0].T.ID != types.Int4 {
		return nil // the function itself reports a zero step
	}
	const safe = 1 << 61
	for _, x := range v {
		if x > safe || x < -safe {
			return nil
		}
	}
	return &Series{From: v[0], To: v[1], Step: v[2], Out: out[0]}
}

func isColumn(e Expr) bool { _, ok := e.(*Column); return ok }

func quoteIdent(s string) string { return parser.QuoteIdent(s) }

func kindName(k function.Kind) string {
	switch k {
	case function.Aggregate:
		return "an aggregate function"
	case function.Window:
		return "a window function"
	case function.Table:
		return "a set-returning function"
	case function.GroupedMap:
		return "a grouped map function"
	}
	return "a function"
}
