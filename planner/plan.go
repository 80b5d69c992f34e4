package planner

import (
	"context"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/parser"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/physical"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"

	pg "github.com/pganalyze/pg_query_go/v6"
)

// PlanVersion is the version of the plan on the wire that this planner makes.
const PlanVersion = 1

// Write is where a query's rows go instead of to the client: files in a staging directory.
type Write struct {
	Directory string
	Table     string         // for errors
	Schema    []vector.Field // names and types of the files' columns
	NotNull   []bool
}

// writeFields are the columns that TableWrite returns per file.
var writeFields = []vector.Field{
	{Name: "path", Type: types.T(types.Text)}, {Name: "rows", Type: types.T(types.Int8)},
	{Name: "bytes", Type: types.T(types.Int8)}, {Name: "stats", Type: types.T(types.Bytea)},
}

// Plan makes the physical plan of the query; w is nil when the client gets the
// rows. The context (query ID, seed, …) is left to the caller.
func (q *Query) Plan(ctx context.Context, w *Write) (*proto.Plan, error) {
	b := q.b
	b.ctx = ctx
	var cols []Col
	var exprs []Expr
	need := colSet{}
	for _, c := range q.cols {
		if !c.Hidden {
			cols = append(cols, c.Col)
			exprs = append(exprs, c.ref())
			need[c.ID] = true
		}
	}
	if q.order != nil {
		need[q.order.ID] = true
	}
	root, err := b.optimise(q.plan, need)
	if err != nil {
		return nil, err
	}
	p := &phys{b: b, est: newEstimator(), shared: map[*SharedPlan]*sharedStage{}}
	p.steady = steady(root)
	s, err := p.lower(root)
	if err != nil {
		return nil, err
	}
	if q.order != nil && p.shuffled() {
		if s, err = p.sort(s, []SortKey{{Expr: q.order.ref()}}, 0); err != nil {
			return nil, err
		}
	}
	if !sameCols(s.cols, cols) {
		if s, err = p.project(s, exprs, cols); err != nil {
			return nil, err
		}
	}
	result := q.Fields()
	if w != nil {
		result = writeFields
		var out []Col
		for _, f := range writeFields {
			out = append(out, b.newCol(f.Name, f.Type))
		}
		op := p.node(out, 1, s)
		op.Node = &proto.Operator_TableWrite{TableWrite: &proto.TableWrite{
			Directory: w.Directory, Format: "parquet", Schema: protoFields(w.Schema), NotNull: w.NotNull, Table: w.Table}}
		s = &stream{op: op, cols: out, frag: s.frag}
	}
	p.close(s, &proto.Partitioning{Kind: proto.Partitioning_RESULT, Count: 1})
	plan := &proto.Plan{Version: PlanVersion, Stages: p.stages, Result: protoFields(result)}
	local := usesCatalog(root)
	for _, st := range plan.Stages {
		local = local || st.CoordinatorOnly
	}
	for _, st := range plan.Stages {
		st.CoordinatorOnly = local
	}
	return plan, nil
}

// shuffled reports that rows have left the order of the files.
func (p *phys) shuffled() bool {
	for _, st := range p.stages {
		if st.Output.Kind == proto.Partitioning_HASH {
			return true
		}
	}
	return false
}

// optimise applies the rules.
func (b *binder) optimise(n Node, need colSet) (Node, error) {
	n, err := b.inlineShared(n)
	if err != nil {
		return nil, err
	}
	if n, err = b.filterShared(n); err != nil {
		return nil, err
	}
	est := newEstimator()
	// Shared plans first: how many rows they give decides about what reads them.
	err = sharedPlans(n, map[*SharedPlan]bool{}, func(s *SharedPlan) error {
		cols := s.In.Cols()
		in, err := b.rules(s.In, idsOf(cols), est)
		if err != nil {
			return err
		}
		s.In = inOrder(in, cols)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return b.rules(n, need, est)
}

func (b *binder) rules(n Node, need colSet, est *estimator) (Node, error) {
	n, err := (&nullCalls{b: b, nulls: colSet{}}).node(n)
	if err != nil {
		return nil, err
	}
	if n, err = b.decorrelate(n); err != nil {
		return nil, err
	}
	if n, err = b.pushDown(n, nil); err != nil {
		return nil, err
	}
	if n, err = b.notIn(n, columnReads(n, need), est); err != nil {
		return nil, err
	}
	// Pruning turns mark joins into semi joins, which the ordering moves.
	n = prune(n, need)
	if n, err = b.rollUp(n, est); err != nil {
		return nil, err
	}
	if n, err = b.orderJoins(n, est); err != nil {
		return nil, err
	}
	if n, err = b.rewriteAggregates(prune(n, need), est); err != nil {
		return nil, err
	}
	if callsUDF(n) {
		if n, err = b.postpone(n); err != nil {
			return nil, err
		}
		n = prune(n, need)
	}
	return b.lateFetch(n, est)
}

// Assign makes the query give exactly the columns of a table: source[i] is the
// query's column for column i of the table, or -1 for its default. A value of a
// type that assignment does not allow is 42804.
func (q *Query) Assign(columns []vector.Field, source []int, defaults []Expr) error {
	b := q.b
	var vis []Col
	for _, c := range q.cols {
		if !c.Hidden {
			vis = append(vis, c.Col)
		}
	}
	p := &Project{In: q.plan}
	var out []outCol
	for i, f := range columns {
		var e Expr
		switch {
		case source[i] >= 0:
			x, err := b.assign(vis[source[i]].ref(), f.Name, f.Type)
			if err != nil {
				return err
			}
			e = x
		case defaults[i] != nil:
			e = defaults[i]
		default:
			e = &Const{T: f.Type}
		}
		c := b.newCol(f.Name, f.Type)
		p.Exprs = append(p.Exprs, e)
		p.Out = append(p.Out, c)
		out = append(out, outCol{Col: c})
	}
	q.plan, q.cols = p, out
	return nil
}

// assign makes e a value of a table's column.
func (b *binder) assign(e Expr, column string, t types.Type) (Expr, error) {
	from := e.Type()
	if from != t && from.ID != types.Unknown && !from.Same(t) && !function.CastAllowed(from, t, function.Assignment) {
		return nil, pgerr.New(pgerr.DatatypeMismatch, "column %q is of type %s but expression is of type %s", column, t, from).
			WithHint("You will need to rewrite or cast the expression.").At(exprPos(e))
	}
	return b.coerce(e, t, function.Assignment, "")
}

// Default binds a column's DEFAULT expression for use in this query.
func (q *Query) Default(st *parser.Statement, t types.Type) (Expr, error) {
	return bindDefault(q.b, st, t)
}

// bindDefault binds SELECT expr.
func bindDefault(b *binder, st *parser.Statement, t types.Type) (Expr, error) {
	sel := st.Node.GetSelectStmt()
	if sel == nil || len(sel.TargetList) != 1 {
		return nil, pgerr.New(pgerr.SyntaxError, "a default must be one expression")
	}
	inner := *b
	inner.st = st
	inner.params, inner.infer = nil, false
	sc := &selectCtx{b: &inner, clause: "DEFAULT expressions", plan: nil}
	e, err := sc.expr(sel.TargetList[0].GetResTarget().Val)
	if err != nil {
		return nil, err
	}
	return inner.coerce(e, t, function.Assignment, "DEFAULT")
}

// CheckDefault reports what is wrong with a DEFAULT expression, as CREATE TABLE
// needs it. expr is SQL text.
func CheckDefault(ctx context.Context, expr string, t types.Type, o *Options) error {
	st, err := parser.ParseOne("SELECT " + expr)
	if err != nil {
		return err
	}
	_, err = bindDefault(newBinder(ctx, st, o), st, t)
	return err
}

// Constant evaluates an expression that may use no table, such as a value in
// SET or EXECUTE; t Invalid leaves the type to the expression.
func Constant(ctx context.Context, st *parser.Statement, n *pg.Node, t types.Type, o *Options) (*vector.Vector, types.Type, error) {
	b := newBinder(ctx, st, o)
	sc := &selectCtx{b: b, clause: "this place"}
	e, err := sc.expr(n)
	if err != nil {
		return nil, t, err
	}
	if t.ID == types.Invalid {
		t = concrete(e.Type())
	}
	if e, err = b.coerce(e, t, function.Assignment, ""); err != nil {
		return nil, t, err
	}
	if c, ok := e.(*Const); ok {
		if c.V == nil {
			return vector.NewNull(t, 1), t, nil
		}
		return c.V, t, nil
	}
	p, err := lowerExpr(e, nil)
	if err != nil {
		return nil, t, err
	}
	v, err := physical.EvalConst(b.functions(), p)
	return v, t, err
}

// RowExpr evaluates an expression without columns for any number of rows.
type RowExpr struct {
	e *physical.Expr
}

// DefaultExpr compiles a column's DEFAULT.
func DefaultExpr(ctx context.Context, expr string, t types.Type, o *Options) (*RowExpr, error) {
	st, err := parser.ParseOne("SELECT " + expr)
	if err != nil {
		return nil, err
	}
	b := newBinder(ctx, st, o)
	e, err := bindDefault(b, st, t)
	if err != nil {
		return nil, err
	}
	p, err := lowerExpr(e, nil)
	if err != nil {
		return nil, err
	}
	c, err := physical.Compile(&physical.Env{Functions: b.functions()}, p, nil)
	if err != nil {
		return nil, err
	}
	return &RowExpr{c}, nil
}

// Eval returns the values of the next n rows.
func (r *RowExpr) Eval(ctx context.Context, n int) (*vector.Vector, error) {
	return r.e.Eval(ctx, vector.NewBatch(nil, n))
}
