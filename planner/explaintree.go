package planner

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/volleydb/volley/proto"
)

// Figures are what EXPLAIN ANALYZE measured of an operator: sums over its tasks
// (of the memory the largest), and the least and the most that a task had.
type Figures struct {
	*proto.OperatorStats
	Tasks              int
	MinRows, MaxRows   int64
	MinNanos, MaxNanos int64
}

// Add adds a task's figures.
func (f *Figures) Add(o *proto.OperatorStats) {
	if f.Tasks == 0 {
		f.OperatorStats = &proto.OperatorStats{Id: o.Id}
		f.MinRows, f.MinNanos = o.Rows, o.Nanos
	}
	f.Tasks++
	f.Rows += o.Rows
	f.Batches += o.Batches
	f.Nanos += o.Nanos
	f.PeakMemory = max(f.PeakMemory, o.PeakMemory)
	f.SpilledBytes += o.SpilledBytes
	f.UdfCalls += o.UdfCalls
	f.UdfNanos += o.UdfNanos
	for _, u := range o.Udfs {
		f.addUDF(u)
	}
	f.MinRows, f.MaxRows = min(f.MinRows, o.Rows), max(f.MaxRows, o.Rows)
	f.MinNanos, f.MaxNanos = min(f.MinNanos, o.Nanos), max(f.MaxNanos, o.Nanos)
}

// ExplainNode is an operator as EXPLAIN shows it.
type ExplainNode struct {
	Title   string
	Details [][2]string
	Inputs  []*ExplainNode

	op    *proto.Operator // nil for a headline
	stats map[uint32]*Figures
	props properties
}

// Headline is a line above plans: what a statement does with their rows.
func Headline(title string, inputs ...*ExplainNode) *ExplainNode {
	return &ExplainNode{Title: title, Inputs: inputs}
}

// Explain writes a plan as text, one line per operator with its inputs
// indented. With stats (by operator ID, from EXPLAIN ANALYZE) every line has what
// really happened.
func Explain(plan *proto.Plan, stats map[uint32]*Figures) []string {
	return append(ExplainTree(plan, stats).Text(), ExplainStages(plan)...)
}

// ExplainTree is the plan as a tree.
func ExplainTree(plan *proto.Plan, stats map[uint32]*Figures) *ExplainNode {
	x := &explainer{plan: plan, stats: stats, shown: map[uint32]bool{}, props: map[uint32]properties{}, runtime: map[*proto.Operator][]string{}}
	last := plan.Stages[len(plan.Stages)-1]
	return x.operator(last, last.Root)
}

// ExplainStages is the line about the plan as a whole, if there is something to say.
func ExplainStages(plan *proto.Plan) []string {
	n := len(plan.Stages)
	if n == 1 && plan.Stages[0].Tasks == 1 {
		return nil
	}
	tasks := uint32(0)
	for _, s := range plan.Stages {
		tasks += s.Tasks
	}
	return []string{fmt.Sprintf("Stages: %d, tasks: %d", n, tasks)}
}

// Text is the tree as lines.
func (n *ExplainNode) Text() []string { return n.text(nil, 0) }

func (n *ExplainNode) text(out []string, depth int) []string {
	prefix := ""
	if depth > 0 {
		prefix = strings.Repeat("  ", depth-1) + "-> "
	}
	out = append(out, prefix+n.Title+n.figures())
	detail := func(label, text string) {
		if text != "" {
			out = append(out, strings.Repeat("  ", depth)+"   "+label+": "+text)
		}
	}
	for _, d := range n.Details {
		detail(d[0], d[1])
	}
	if s := n.measured(); s != nil {
		if s.UdfCalls > 0 {
			detail("UDF", fmt.Sprintf("%d batches, %d rows, %s", s.UdfCalls, s.Rows, millis(s.UdfNanos)))
		}
		for _, u := range s.Udfs {
			detail(udfLine(u))
		}
		if s.Tasks > 1 {
			detail("Tasks", fmt.Sprintf("%d, rows %d to %d, time %s to %s", s.Tasks, s.MinRows, s.MaxRows, millis(s.MinNanos), millis(s.MaxNanos)))
		}
	}
	for _, c := range n.Inputs {
		out = c.text(out, depth+1)
	}
	return out
}

func (n *ExplainNode) measured() *Figures {
	if n.op == nil || n.stats == nil {
		return nil
	}
	return n.stats[n.op.Id]
}

func (n *ExplainNode) figures() string {
	if n.op == nil {
		return ""
	}
	props := n.props.distribution(n.op)
	if o := n.props.ordering(n.op); o != "" {
		props += ", order " + o
	}
	if n.stats == nil {
		return fmt.Sprintf("  (rows≈%s, %s)", approx(n.op.RowsEstimate), props)
	}
	s := n.measured()
	if s == nil {
		return "  (never ran)"
	}
	out := fmt.Sprintf("  (rows=%d of ≈%s time=%s", s.Rows, approx(n.op.RowsEstimate), millis(s.Nanos))
	if s.PeakMemory > 0 {
		out += " memory=" + bytesText(s.PeakMemory)
	}
	if s.SpilledBytes > 0 {
		out += " spilled=" + bytesText(s.SpilledBytes)
	}
	return out + ", " + props + ")"
}

// jsonField keeps the order of an object's fields.
type jsonField struct {
	name  string
	value any
}

// jsonText is v as JSON, in which < and > stay as they are.
func jsonText(v any, indent string) string {
	var sb strings.Builder
	e := json.NewEncoder(&sb)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	if err := e.Encode(v); err != nil {
		return "null" // a number that JSON has not
	}
	return strings.TrimSuffix(sb.String(), "\n")
}

func jsonObject(fields []jsonField) json.RawMessage {
	var sb strings.Builder
	sb.WriteByte('{')
	for i, f := range fields {
		if i > 0 {
			sb.WriteByte(',')
		}
		sb.WriteString(strconv.Quote(f.name) + ":" + jsonText(f.value, ""))
	}
	sb.WriteByte('}')
	return json.RawMessage(sb.String())
}

// MarshalJSON has the names of Postgres' EXPLAIN (FORMAT JSON) where there are any.
func (n *ExplainNode) MarshalJSON() ([]byte, error) {
	fields := []jsonField{{"Node Type", n.Title}}
	if n.op != nil {
		fields = append(fields, jsonField{"Plan Rows", int64(min(n.op.RowsEstimate, 1<<62))}, jsonField{"Distribution", n.props.distribution(n.op)})
		if o := n.props.ordering(n.op); o != "" {
			fields = append(fields, jsonField{"Ordering", o})
		}
		if n.stats != nil {
			s := n.measured()
			if s == nil {
				fields = append(fields, jsonField{"Actual Loops", 0})
			} else {
				ms := func(ns int64) float64 { return float64(ns) / 1e6 }
				fields = append(fields, jsonField{"Actual Total Time", ms(s.Nanos)}, jsonField{"Actual Rows", s.Rows}, jsonField{"Actual Loops", s.Tasks},
					jsonField{"Peak Memory", s.PeakMemory}, jsonField{"Spilled Bytes", s.SpilledBytes})
				if s.UdfCalls > 0 {
					fields = append(fields, jsonField{"UDF Batches", s.UdfCalls}, jsonField{"UDF Time", ms(s.UdfNanos)})
				}
				if s.Tasks > 1 {
					fields = append(fields, jsonField{"Task Rows Min", s.MinRows}, jsonField{"Task Rows Max", s.MaxRows},
						jsonField{"Task Time Min", ms(s.MinNanos)}, jsonField{"Task Time Max", ms(s.MaxNanos)})
				}
			}
		}
	}
	for _, d := range n.Details {
		if d[1] != "" {
			fields = append(fields, jsonField{d[0], d[1]})
		}
	}
	if len(n.Inputs) > 0 {
		fields = append(fields, jsonField{"Plans", n.Inputs})
	}
	return jsonObject(fields), nil
}

// ExplainJSON is the text of EXPLAIN (FORMAT JSON); the times, in ms, are given with
// ANALYZE.
func ExplainJSON(n *ExplainNode, planning, execution *float64) string {
	fields := []jsonField{{"Plan", n}}
	if planning != nil {
		fields = append(fields, jsonField{"Planning Time", *planning})
	}
	if execution != nil {
		fields = append(fields, jsonField{"Execution Time", *execution})
	}
	return jsonText([]json.RawMessage{jsonObject(fields)}, "  ")
}
