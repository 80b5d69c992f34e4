package planner

import (
	"strconv"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// rowOf makes a composite value of bound fields.
func (b *binder) rowOf(names []string, fields []Expr, loc int32) (Expr, error) {
	if len(fields) > 1664 {
		return nil, pgerr.New(pgerr.TooManyColumns, "ROW expressions can have at most 1664 entries").At(b.pos(loc))
	}
	rf := make([]types.RowField, len(fields))
	args := []Expr{textArray(names)}
	for i, e := range fields {
		if e.Type().ID == types.Unknown {
			var err error
			if e, err = b.coerce(e, types.T(types.Text), function.Implicit, ""); err != nil {
				return nil, err
			}
		}
		if e.Type().Phys() == types.PhysInvalid {
			return nil, b.unsupported(loc, "a row with a field of type %s", e.Type())
		}
		rf[i] = types.RowField{Name: names[i], Type: e.Type()}
		args = append(args, e)
	}
	return b.call(builtin(function.RowFunction), args, types.RowOf(rf), loc), nil
}

func textArray(s []string) *Const {
	t := types.ArrayOf(types.Text)
	return &Const{T: t, V: vector.FromList(t, []int32{0, int32(len(s))}, vector.FromStrings(types.T(types.Text), s))}
}

// rowExprs binds the fields of ROW(…), where t.* is all columns of t.
func (sc *selectCtx) rowExprs(x *pg.RowExpr) ([]Expr, error) {
	var out []Expr
	for _, n := range x.Args {
		if ref := n.GetColumnRef(); ref != nil {
			if _, star := nameParts(ref.Fields); star {
				es, ok, err := sc.rowFields(n)
				if err != nil {
					return nil, err
				}
				if ok {
					out = append(out, es...)
					continue
				}
			}
		}
		if ind := n.GetAIndirection(); ind != nil && endsInStar(ind) {
			ts, err := sc.starOf(ind)
			if err != nil {
				return nil, err
			}
			for _, t := range ts {
				out = append(out, t.e)
			}
			continue
		}
		e, err := sc.expr(n)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

// rowValue binds ROW(…) as a value.
func (sc *selectCtx) rowValue(x *pg.RowExpr) (Expr, error) {
	fields, err := sc.rowExprs(x)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(fields))
	for i := range names {
		names[i] = "f" + strconv.Itoa(i+1)
	}
	return sc.b.rowOf(names, fields, x.Location)
}

// wholeRow binds the name of an item of FROM that is used like a column: a
// composite of its columns. nil when there is no such item.
func (sc *selectCtx) wholeRow(table ident, loc int32) (Expr, error) {
	b := sc.b
	for c := sc; c != nil; c = c.outer {
		var names []string
		var fields []Expr
		ids := colSet{}
		found := false
		for i := range c.scope {
			col := &c.scope[i]
			if !table.exact(col.Table) && !table.fold(col.Table) {
				continue
			}
			found = true
			if col.Hidden && !col.Merged {
				continue
			}
			names = append(names, col.Name)
			fields = append(fields, &Column{ID: col.ID, T: col.T, Name: col.Name, Pos: b.pos(loc)})
			ids.add(col.ID)
		}
		if !found {
			continue
		}
		row, err := b.rowOf(names, fields, loc)
		if err != nil || c.plan == nil {
			return row, err
		}
		side := nullableSide(c.plan, ids)
		if side == nil {
			return row, nil
		}
		// Below an outer join, the row is NULL where there is none: it is made
		// on that side, and the join pads it.
		for i := range c.scope {
			if have := &c.scope[i]; have.Hidden && have.Name == "" && have.Table == "" && c.wholeRows[have.ID] == table.name {
				return have.ref(), nil
			}
		}
		if c.grouped && !c.inAgg {
			return nil, b.unsupported(loc, "a whole-row reference to the optional side of an outer join here")
		}
		col := b.newCol("", row.Type())
		p := &Project{In: *side, Exprs: []Expr{row}, Out: []Col{col}}
		for _, in := range (*side).Cols() {
			p.Exprs, p.Out = append(p.Exprs, in.ref()), append(p.Out, in)
		}
		*side = p
		if !containsCol(c.plan.Cols(), col.ID) {
			return nil, b.unsupported(loc, "a whole-row reference to the optional side of this outer join").
				WithHint("Make the row in a subquery: (SELECT %s FROM …).", table.name)
		}
		if c.wholeRows == nil {
			c.wholeRows = map[ColID]string{}
		}
		c.wholeRows[col.ID] = table.name
		c.scope = append(c.scope, scopeCol{Col: col, Hidden: true})
		return col.ref(), nil
	}
	return nil, nil
}

// nullableSide finds the input of the uppermost outer join that pads these columns
// with NULL, nil if there is none.
func nullableSide(n Node, ids colSet) *Node {
	j, ok := n.(*Join)
	if !ok {
		switch n := n.(type) {
		case *Filter:
			return nullableSide(n.In, ids)
		case *Project:
			return nullableSide(n.In, ids)
		case *Dependent:
			if n.Kind == proto.DependentJoin_LEFT && idsOf(n.Right.Cols()).meets(ids) {
				return &n.Right
			}
			return nullableSide(n.Left, ids)
		case *ProjectSet:
			return nullableSide(n.In, ids)
		}
		return nil
	}
	left := idsOf(j.Left.Cols()).meets(ids)
	switch {
	case left && (j.Kind == proto.Join_RIGHT || j.Kind == proto.Join_FULL):
		return &j.Left
	case !left && (j.Kind == proto.Join_LEFT || j.Kind == proto.Join_FULL):
		return &j.Right
	case left:
		return nullableSide(j.Left, ids)
	}
	return nullableSide(j.Right, ids)
}

func endsInStar(x *pg.A_Indirection) bool {
	return len(x.Indirection) > 0 && x.Indirection[len(x.Indirection)-1].GetAStar() != nil
}

// starOf binds (expr).* of the select list: the fields of a composite.
func (sc *selectCtx) starOf(x *pg.A_Indirection) ([]*target, error) {
	b := sc.b
	loc := nodeLocation(x.Arg)
	if len(x.Indirection) == 1 {
		if fc := x.Arg.GetFuncCall(); fc != nil {
			for _, f := range b.candidates(lastName(fc.Funcname)) {
				if f.Kind != function.Table || len(f.Columns) < 2 {
					continue
				}
				var out []*target
				for _, c := range f.Columns {
					e, err := sc.setField(&pg.A_Indirection{Arg: x.Arg, Indirection: []*pg.Node{pg.MakeStrNode(c.Name)}})
					if err != nil {
						return nil, err
					}
					out = append(out, &target{e: e, name: c.Name})
				}
				return out, nil
			}
		}
	}
	arg := x.Arg
	if len(x.Indirection) > 1 {
		arg = &pg.Node{Node: &pg.Node_AIndirection{AIndirection: &pg.A_Indirection{Arg: x.Arg, Indirection: x.Indirection[:len(x.Indirection)-1]}}}
	}
	if ref := arg.GetColumnRef(); ref != nil {
		if parts, star := nameParts(ref.Fields); len(parts) == 1 && !star {
			if col, perr := findColumn(sc.scope, ident{}, ident{parts[0], b.st.Quoted(ref.Location, 0)}, ""); col == nil && perr == nil {
				if cols, err := sc.starCols(parts, ref.Location); err == nil {
					return sc.starTargets(cols, ref.Location), nil
				}
			}
		}
	}
	e, err := sc.expr(arg)
	if err != nil {
		return nil, err
	}
	if e.Type().ID != types.Record {
		return nil, pgerr.New(pgerr.WrongObjectType, "type %s is not composite", e.Type()).At(b.pos(loc))
	}
	fields, ok := e.Type().RowFields()
	if !ok {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "record type has not been registered").At(b.pos(loc))
	}
	var out []*target
	for i, f := range fields {
		fe, err := b.fieldAt(e, i, loc)
		if err != nil {
			return nil, err
		}
		out = append(out, &target{e: fe, name: f.Name})
	}
	return out, nil
}

// fieldAt selects a field of a composite value: that of a row that is written out
// without making the row.
func (b *binder) fieldAt(e Expr, i int, loc int32) (Expr, error) {
	fields, _ := e.Type().RowFields()
	if c, ok := e.(*Call); ok && c.F.Name == function.RowFunction {
		volatile := false
		for k, a := range c.Args[1:] {
			volatile = volatile || k != i && isVolatile(a)
		}
		if !volatile {
			return c.Args[1+i], nil
		}
	}
	t := types.T(types.Int4)
	k := &Const{T: t, V: vector.FromSlice(t, []int32{int32(i)})}
	return b.call(builtin(function.FieldFunction), []Expr{e, k, &Const{T: fields[i].Type}}, fields[i].Type, loc), nil
}

// field binds (expr).name.
func (b *binder) field(e Expr, name string, loc int32) (Expr, error) {
	if e.Type().ID != types.Record {
		return nil, pgerr.New(pgerr.WrongObjectType, "column notation .%s applied to type %s, which is not a composite type", name, e.Type()).At(b.pos(loc))
	}
	fields, _ := e.Type().RowFields()
	for _, match := range []func(string) bool{ident{name, true}.exact, ident{name, false}.fold} {
		for i, f := range fields {
			if match(f.Name) {
				return b.fieldAt(e, i, loc)
			}
		}
	}
	return nil, pgerr.New(pgerr.UndefinedColumn, "could not identify column %q in record data type", name).At(b.pos(loc))
}

// subscriptJSON binds j['key'] and j[1].
func (sc *selectCtx) subscriptJSON(e Expr, ix *pg.A_Indices, loc int32) (Expr, error) {
	b := sc.b
	if ix.IsSlice {
		return nil, pgerr.New(pgerr.DatatypeMismatch, "jsonb subscript does not support slices").At(b.pos(loc))
	}
	k, err := sc.expr(ix.Uidx)
	if err != nil {
		return nil, err
	}
	switch t := k.Type(); {
	case t.ID == types.Unknown || t.IsString():
		k, err = b.coerce(k, types.T(types.Text), function.Implicit, "")
	case t.ID == types.Int2 || t.ID == types.Int4 || t.ID == types.Int8:
		if k, err = b.coerce(k, types.T(types.Int4), function.Assignment, ""); err == nil {
			k, err = b.coerce(k, types.T(types.Text), function.Explicit, "")
		}
	default:
		return nil, pgerr.New(pgerr.DatatypeMismatch, "subscript type %s is not supported", t).
			WithHint("jsonb subscript must be coercible to either integer or text.").At(b.pos(loc))
	}
	if err != nil {
		return nil, err
	}
	return b.callByName("jsonb_extract_path", []Expr{e, k}, loc)
}

// columnDefinitions binds f(x) AS t(a int, b text), for the functions of JSON that
// take such a list.
func (sc *selectCtx) columnDefinitions(rf *pg.RangeFunction, fc *pg.FuncCall, ctx *selectCtx) (*fromItem, error) {
	b := sc.b
	_, name := lastName(fc.Funcname)
	defs := rf.Coldeflist
	f, args, _, err := ctx.resolveCall(fc, function.Table)
	if err != nil {
		return nil, err
	}
	switch name {
	case "json_to_record", "json_to_recordset", "jsonb_to_record", "jsonb_to_recordset":
	default:
		return nil, pgerr.New(pgerr.SyntaxError, "a column definition list is only allowed for functions returning \"record\"").At(b.pos(fc.Location))
	}
	if _, ok := ctx.plan.(*Values); !ok {
		return nil, b.unsupported(fc.Location, "a subquery as argument of a function in FROM")
	}
	doc := b.newCol("", f.Returns)
	tf := &TableFunc{F: f, Args: args, Ordinality: rf.Ordinality, Out: []Col{doc}}
	p := &Project{In: tf}
	for _, d := range defs {
		def := d.GetColumnDef()
		t, err := ResolveType(b.st, def.TypeName, b.o.Catalog)
		if err != nil {
			return nil, err
		}
		key := textConst(def.Colname, types.Text, 0)
		e, err := b.callByName("volley_json_field", []Expr{doc.ref(), key, &Const{T: t}}, fc.Location)
		if err != nil {
			return nil, err
		}
		p.Exprs = append(p.Exprs, e)
		p.Out = append(p.Out, b.newCol(def.Colname, t))
	}
	if rf.Ordinality {
		ord := b.newCol("ordinality", types.T(types.Int8))
		tf.Out = append(tf.Out, ord)
		p.Exprs, p.Out = append(p.Exprs, ord.ref()), append(p.Out, ord)
	}
	if rf.Alias != nil {
		name = rf.Alias.Aliasname
	}
	return sc.aliased(p, visible(p.Out), "", name, nil, -1)
}
