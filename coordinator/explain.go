package coordinator

import (
	"context"
	"fmt"
	"time"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/planner"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

var explainFields = []vector.Field{{Name: "QUERY PLAN", Type: types.T(types.Text)}}

// explain shows a plan; with ANALYZE it runs it, drops the rows and shows what happened.
func (x *statement) explain(ctx context.Context, n *pg.ExplainStmt) (*Result, error) {
	analyze := false
	for _, o := range n.Options {
		e := o.GetDefElem()
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
				if !equalFold(v, "text") {
					return nil, pgerr.New(pgerr.FeatureNotSupported, "EXPLAIN (FORMAT %s) is not supported", v).At(x.st.Pos(e.Location))
				}
				continue
			}
			var err error
			if on, err = types.ParseBool(v); err != nil {
				return nil, pgerr.New(pgerr.SyntaxError, "%s requires a Boolean value", e.Defname).At(x.st.Pos(e.Location))
			}
		}
		switch e.Defname {
		case "analyze":
			analyze = on
		case "verbose", "costs", "buffers", "timing", "summary", "settings", "wal":
			// What they would add is always shown, or does not exist here.
		default:
			return nil, pgerr.New(pgerr.SyntaxError, "unrecognized EXPLAIN option %q", e.Defname).At(x.st.Pos(e.Location))
		}
	}
	node := n.Query
	if c := node.GetCreateTableAsStmt(); c != nil {
		node = c.Query
	}
	if i := node.GetInsertStmt(); i != nil && i.SelectStmt != nil {
		node = i.SelectStmt
	}
	if node.GetSelectStmt() == nil {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "EXPLAIN of this statement is not supported")
	}
	if analyze && node != n.Query {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "EXPLAIN ANALYZE of a statement that writes is not supported").WithHint("EXPLAIN ANALYZE its SELECT.")
	}
	start := time.Now()
	q, err := planner.Bind(ctx, x.st, node, nil, x.options())
	if err != nil {
		return nil, err
	}
	plan, err := q.Plan(ctx, nil)
	if err != nil {
		return nil, err
	}
	planned := time.Since(start)
	if !analyze {
		return textRows(explainFields[0].Name, "EXPLAIN", planner.Explain(plan, nil)), nil
	}
	start = time.Now()
	run, err := x.run(ctx, plan)
	if err != nil {
		return nil, err
	}
	defer run.Close()
	for {
		b, err := run.Next(ctx)
		if err != nil {
			return nil, err
		}
		if b == nil {
			break
		}
	}
	lines := planner.Explain(plan, run.Stats())
	lines = append(lines, fmt.Sprintf("Planning time: %.3f ms", planned.Seconds()*1000), fmt.Sprintf("Execution time: %.3f ms", time.Since(start).Seconds()*1000))
	return textRows(explainFields[0].Name, "EXPLAIN", lines), nil
}
