package planner

import (
	"math"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// TABLESAMPLE is a condition on the numbers that rows have in their files: a
// repeatable sample of a table is the same for any number of workers and tasks, and
// new files at the table's end do not change what it keeps of the old ones. SYSTEM
// keeps or drops blocks of sampleBlock consecutive rows; it reads as much as
// BERNOULLI does.
const sampleBlock = 256

const (
	invalidSample     = "2202H" // invalid_tablesample_argument
	invalidRepeatable = "2202G" // invalid_tablesample_repeat
)

// sampleMark makes TABLESAMPLE of what the parser writes for it behind a call; see
// parser/clauses.go. nil for any other join.
func sampleMark(j *pg.JoinExpr) *pg.Node {
	call, larg := markCall(j, "volley_repeatable")
	var repeat *pg.Node
	if call != nil && len(call.Args) == 1 && larg.GetJoinExpr() != nil {
		repeat = call.Args[0]
		j = larg.GetJoinExpr()
	}
	call, larg = markCall(j, "volley_sample")
	if call == nil || len(call.Args) < 1 || call.Args[0].GetAConst().GetSval() == nil {
		return nil
	}
	method := &pg.Node{Node: &pg.Node_String_{String_: &pg.String{Sval: call.Args[0].GetAConst().GetSval().Sval}}}
	s := &pg.RangeTableSample{Relation: larg, Method: []*pg.Node{method}, Args: call.Args[1:], Repeatable: repeat, Location: call.Location}
	node := &pg.Node{Node: &pg.Node_RangeTableSample{RangeTableSample: s}}
	if l := larg.GetJoinExpr(); l != nil { // a CROSS JOIN f() TABLESAMPLE …: of f alone
		s.Relation = l.Rarg
		return &pg.Node{Node: &pg.Node_JoinExpr{JoinExpr: &pg.JoinExpr{Jointype: l.Jointype, IsNatural: l.IsNatural, Larg: l.Larg, Rarg: node,
			UsingClause: l.UsingClause, JoinUsingAlias: l.JoinUsingAlias, Quals: l.Quals, Alias: l.Alias, Rtindex: l.Rtindex}}}
	}
	return node
}

// markCall is the call of that name on the right of a CROSS JOIN, and what stands on
// the left.
func markCall(j *pg.JoinExpr, name string) (*pg.FuncCall, *pg.Node) {
	if j.Alias != nil || j.Quals != nil || len(j.UsingClause) > 0 || j.IsNatural || j.Jointype != pg.JoinType_JOIN_INNER {
		return nil, nil
	}
	items := j.Rarg.GetRangeFunction().GetFunctions()
	if len(items) != 1 || len(items[0].GetList().GetItems()) == 0 {
		return nil, nil
	}
	fc := items[0].GetList().Items[0].GetFuncCall()
	if fc == nil || len(fc.Funcname) != 1 || fc.Funcname[0].GetString_().GetSval() != name {
		return nil, nil
	}
	return fc, j.Larg
}

// tableSample binds t TABLESAMPLE method (percent) [REPEATABLE (seed)].
func (sc *selectCtx) tableSample(n *pg.RangeTableSample, left *fromItem) (*fromItem, error) {
	b := sc.b
	loc := nodeLocation(n.Relation)
	wrong := pgerr.New(pgerr.FeatureNotSupported, "TABLESAMPLE clause can only be applied to tables and materialized views").At(b.pos(loc))
	if r := n.Relation.GetRangeVar(); r != nil {
		if r.Schemaname == "" && sc.ctes.find(r.Relname) != nil {
			return nil, wrong
		}
		if rel, err := b.o.Catalog.Relation(r.Schemaname, r.Relname); err == nil && rel != nil && rel.Kind == ViewRelation {
			return nil, wrong
		}
	}
	it, err := sc.fromNode(n.Relation, left)
	if err != nil {
		return nil, err
	}
	_, method := lastName(n.Method)
	if method != "bernoulli" && method != "system" {
		parts, _ := nameParts(n.Method)
		return nil, pgerr.New(pgerr.UndefinedObject, "tablesample method %s does not exist", strings.Join(parts, ".")).At(b.pos(n.Location))
	}
	if len(n.Args) != 1 {
		return nil, pgerr.New(invalidSample, "tablesample method %s requires 1 argument, not %d", method, len(n.Args)).At(b.pos(n.Location))
	}
	scan, ok := it.plan.(*Scan)
	if _, catalog := it.plan.(*VirtualScan); catalog {
		return nil, b.unsupported(loc, "TABLESAMPLE of a catalog table")
	}
	if !ok {
		return nil, wrong
	}
	percent, null, err := sc.sampleArg(n.Args[0], types.Float4, "TABLESAMPLE")
	switch {
	case err != nil:
		return nil, err
	case null:
		return nil, pgerr.New(invalidSample, "TABLESAMPLE parameter cannot be null")
	case !(percent >= 0 && percent <= 100):
		return nil, pgerr.New(invalidSample, "sample percentage must be between 0 and 100")
	}
	*b.sites++
	name, seed := "sample_row_once", int64(*b.sites)
	if n.Repeatable != nil {
		x, null, err := sc.sampleArg(n.Repeatable, types.Float8, "REPEATABLE")
		if err != nil {
			return nil, err
		}
		if null {
			return nil, pgerr.New(invalidRepeatable, "TABLESAMPLE REPEATABLE parameter cannot be null")
		}
		name, seed = "sample_row", function.SampleSeed(x)
	}
	if percent == 100 {
		return it, nil
	}
	block := int64(1)
	if method == "system" {
		block = sampleBlock
	}
	row := b.newCol("row number", types.T(types.Int8))
	s := *scan
	s.Out = append(s.Out[:len(s.Out):len(s.Out)], row)
	s.Source = append(s.Source[:len(s.Source):len(s.Source)], rowNumber)
	keep := &Call{F: builtin(name), T: boolType, Args: []Expr{row.ref(), constInt8(seed), constInt8(function.SampleCutoff(percent)), constInt8(block)}}
	it.plan = &Filter{In: &s, Cond: keep}
	return it, nil
}

// sampleArg is the value of an argument, which has no columns.
func (sc *selectCtx) sampleArg(n *pg.Node, t types.ID, what string) (v float64, null bool, err error) {
	b := sc.b
	plan := &Values{Rows: [][]Expr{{}}}
	arg := &selectCtx{b: b, ctes: sc.ctes, clause: "functions in FROM", plan: plan}
	e, err := arg.expr(n)
	if err != nil {
		return 0, false, err
	}
	if from := e.Type(); from.ID != types.Unknown && !function.CastAllowed(from, types.T(t), function.Assignment) {
		return 0, false, pgerr.New(pgerr.DatatypeMismatch, "argument of %s must be type %s, not type %s", what, types.T(t), from).At(b.pos(nodeLocation(n)))
	}
	if e, err = b.coerce(e, types.T(t), function.Assignment, what); err != nil {
		return 0, false, err
	}
	if e, err = b.coerce(e, types.T(types.Float8), function.Implicit, what); err != nil {
		return 0, false, err
	}
	c, ok := e.(*Const)
	switch {
	case !ok && b.infer && arg.plan == Node(plan):
		return 50, false, nil // a parameter without a value yet
	case !ok:
		return 0, false, b.unsupported(nodeLocation(n), "an argument of %s that is not constant", what)
	case c.V == nil || c.V.IsNull(0):
		return 0, true, nil
	}
	v = vector.At[float64](c.V, 0)
	if math.IsInf(v, 0) {
		v = math.Copysign(math.MaxFloat64, v)
	}
	return v, false, nil
}
