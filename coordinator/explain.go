package coordinator

import (
	"context"
	"fmt"
	"time"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/parser"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/planner"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// explainOptions are the options of EXPLAIN.
type explainOptions struct {
	analyze, json   bool
	summary, timing bool
}

func explainOptionsOf(st *parser.Statement, n *pg.ExplainStmt) (o explainOptions, err error) {
	o.timing = true
	summary := false
	for _, node := range n.Options {
		e := node.GetDefElem()
		on := true
		if e.Arg != nil {
			v := e.Arg.GetString_().GetSval()
			if i := e.Arg.GetInteger(); i != nil {
				v = map[bool]string{true: "on", false: "off"}[i.Ival != 0]
			}
			if b := e.Arg.GetBoolean(); b != nil {
				v = map[bool]string{true: "on", false: "off"}[b.Boolval]
			}
			if e.Defname == "format" {
				switch {
				case equalFold(v, "json"):
					o.json = true
				case equalFold(v, "text"):
					o.json = false
				case equalFold(v, "xml"), equalFold(v, "yaml"):
					return o, pgerr.New(pgerr.FeatureNotSupported, "EXPLAIN (FORMAT %s) is not supported", v).At(st.Pos(e.Location))
				default:
					return o, pgerr.New(pgerr.InvalidParameterValue, "unrecognized value for EXPLAIN option \"format\": %q", v).At(st.Pos(e.Location))
				}
				continue
			}
			if on, err = types.ParseBool(v); err != nil {
				return o, pgerr.New(pgerr.SyntaxError, "%s requires a Boolean value", e.Defname).At(st.Pos(e.Location))
			}
		}
		switch e.Defname {
		case "analyze":
			o.analyze = on
		case "summary":
			o.summary, summary = on, true
		case "timing":
			o.timing = on
		case "verbose", "costs", "buffers", "settings", "wal", "generic_plan", "memory":
			// What they would add is always shown, or does not exist here.
		default:
			return o, pgerr.New(pgerr.SyntaxError, "unrecognized EXPLAIN option %q", e.Defname).At(st.Pos(e.Location))
		}
	}
	if !summary {
		o.summary = o.analyze
	}
	return o, nil
}

// explainFields are the columns of EXPLAIN's result.
func explainFields(o explainOptions) []vector.Field {
	t := types.T(types.Text)
	if o.json {
		t = types.T(types.JSON)
	}
	return []vector.Field{{Name: "QUERY PLAN", Type: t}}
}

// traced is a plan that a statement ran, for EXPLAIN ANALYZE.
type traced struct {
	what  string // "" for the rows that the statement finds
	plan  *proto.Plan
	stats map[uint32]*planner.Figures
}

// explained is what EXPLAIN shows.
type explained struct {
	tree     *planner.ExplainNode
	stages   []string
	planning time.Duration
}

// explain shows a plan; with ANALYZE it runs it, drops the rows and shows what happened.
func (x *statement) explain(ctx context.Context, n *pg.ExplainStmt) (*Result, error) {
	o, err := explainOptionsOf(x.st, n)
	if err != nil {
		return nil, err
	}
	node := n.Query
	if e := node.GetExecuteStmt(); e != nil {
		p, err := x.become(ctx, e)
		if err != nil {
			return nil, err
		}
		node = p.Statement.Node
	}
	var out explained
	var took *float64
	if o.analyze {
		start := time.Now()
		if out, err = x.explainAnalyze(ctx, node); err != nil {
			return nil, err
		}
		ms := (time.Since(start) - out.planning).Seconds() * 1000
		took = &ms
	} else if out, err = x.explainPlan(ctx, node); err != nil {
		return nil, err
	}
	planning := out.planning.Seconds() * 1000
	field := explainFields(o)[0]
	if o.json {
		p, t := &planning, took
		if !o.summary {
			p, t = nil, nil
		}
		v := vector.FromStrings(field.Type, []string{planner.ExplainJSON(out.tree, p, t)})
		return rows([]vector.Field{field}, "EXPLAIN", vector.NewBatch([]*vector.Vector{v}, 1)), nil
	}
	lines := append(out.tree.Text(), out.stages...)
	if o.summary {
		if out.planning > 0 { // the phases of a change plan one after the other
			lines = append(lines, fmt.Sprintf("Planning time: %.3f ms", planning))
		}
		if took != nil {
			lines = append(lines, fmt.Sprintf("Execution time: %.3f ms", *took))
		}
	}
	return textRows(field.Name, "EXPLAIN", lines), nil
}

// explainPlan plans a statement.
func (x *statement) explainPlan(ctx context.Context, node *pg.Node) (out explained, err error) {
	start := time.Now()
	var q *planner.Query
	headline := ""
	switch n := node.GetNode().(type) {
	case *pg.Node_SelectStmt:
		q, err = planner.Bind(ctx, x.st, node, nil, x.options())
	case *pg.Node_CreateTableAsStmt:
		query := n.CreateTableAsStmt.Query
		if e := query.GetExecuteStmt(); e != nil {
			p, err := x.become(ctx, e)
			if err != nil {
				return out, err
			}
			query = p.Statement.Node
		}
		headline = "Create table " + n.CreateTableAsStmt.Into.Rel.Relname
		q, err = planner.Bind(ctx, x.st, query, nil, x.options())
	case *pg.Node_InsertStmt:
		headline = "Insert on " + n.InsertStmt.Relation.Relname
		if q, _, err = x.bindInsert(ctx, n.InsertStmt); err == nil && len(n.InsertStmt.ReturningList) > 0 {
			var c *planner.Change
			if c, _, err = x.bindInsertReturning(ctx, n.InsertStmt); err == nil {
				q = c.Rows
			}
		}
	case *pg.Node_UpdateStmt, *pg.Node_DeleteStmt, *pg.Node_MergeStmt:
		headline = changeHeadline(node)
		var c *planner.Change
		if c, _, err = x.bindChange(ctx, node); err == nil {
			q = c.Rows
		}
	default:
		err = pgerr.New(pgerr.FeatureNotSupported, "EXPLAIN of this statement is not supported")
	}
	if err != nil {
		return out, err
	}
	plan, err := q.Plan(ctx, nil)
	if err != nil {
		return out, err
	}
	out.planning = time.Since(start)
	out.tree, out.stages = planner.ExplainTree(plan, nil), planner.ExplainStages(plan)
	if headline != "" {
		out.tree = planner.Headline(headline, out.tree)
	}
	return out, nil
}

// changeHeadline names what an UPDATE, DELETE or MERGE does.
func changeHeadline(node *pg.Node) string {
	verb := "Update"
	switch {
	case node.GetDeleteStmt() != nil:
		verb = "Delete"
	case node.GetMergeStmt() != nil:
		verb = "Merge"
	}
	return verb + " on " + changedTable(node).Relname
}

// explainAnalyze runs a statement for what it does and how.
func (x *statement) explainAnalyze(ctx context.Context, node *pg.Node) (out explained, err error) {
	if node.GetSelectStmt() == nil {
		return x.explainChange(ctx, node)
	}
	start := time.Now()
	q, err := planner.Bind(ctx, x.st, node, nil, x.options())
	if err != nil {
		return out, err
	}
	plan, err := q.Plan(ctx, nil)
	if err != nil {
		return out, err
	}
	out.planning = time.Since(start)
	run, err := x.run(ctx, plan)
	if err != nil {
		return out, err
	}
	defer run.Close()
	for {
		b, err := run.Next(ctx)
		if err != nil {
			return out, err
		}
		if b == nil {
			break
		}
	}
	out.tree, out.stages = planner.ExplainTree(plan, run.Stats()), planner.ExplainStages(plan)
	return out, nil
}

// explainChange runs a statement that writes: EXPLAIN ANALYZE does what it explains.
func (x *statement) explainChange(ctx context.Context, node *pg.Node) (out explained, err error) {
	headline := ""
	switch n := node.GetNode().(type) {
	case *pg.Node_CreateTableAsStmt:
		headline = "Create table " + n.CreateTableAsStmt.Into.Rel.Relname
	case *pg.Node_InsertStmt:
		headline = "Insert on " + n.InsertStmt.Relation.Relname
	case *pg.Node_UpdateStmt, *pg.Node_DeleteStmt, *pg.Node_MergeStmt:
		headline = changeHeadline(node)
	default:
		return out, pgerr.New(pgerr.FeatureNotSupported, "EXPLAIN of this statement is not supported")
	}
	x.st = within(x.st, node)
	x.trace = &[]traced{}
	r, err := x.execute(ctx)
	if err != nil {
		return out, err
	}
	defer r.Close()
	for {
		b, err := r.Next(ctx)
		if err != nil {
			return out, err
		}
		if b == nil {
			break
		}
	}
	var plans []*planner.ExplainNode
	for _, t := range *x.trace {
		tree := planner.ExplainTree(t.plan, t.stats)
		if t.what != "" {
			tree = planner.Headline(t.what, tree)
		}
		plans = append(plans, tree)
	}
	out.tree = planner.Headline(headline, plans...)
	return out, nil
}
