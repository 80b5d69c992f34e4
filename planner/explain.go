package planner

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/physical"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

type explainer struct {
	plan  *proto.Plan
	stats map[uint32]*Figures
	shown map[uint32]bool
	props map[uint32]properties
	// runtime is what joins tell scans, by scan.
	runtime map[*proto.Operator][]string
}

func (x *explainer) operator(st *proto.Stage, op *proto.Operator) *ExplainNode {
	in := inputFields(op)
	e := exprPrinter{in}
	title, details := "", [][2]string{}
	add := func(label, text string) { details = append(details, [2]string{label, text}) }
	switch n := op.Node.(type) {
	case *proto.Operator_Scan:
		s := n.Scan
		title = "Scan " + s.Name
		if s.Format == "csv" {
			title = "CSV scan " + s.Name
		}
		if s.Format == "series" {
			title = "Series"
		}
		if int(s.ScanId) < len(st.Splits) {
			title += fmt.Sprintf(" (%d splits in %d tasks)", len(st.Splits[s.ScanId].Splits), st.Tasks)
		}
		var cols []string
		for _, f := range op.Fields {
			cols = append(cols, fieldName(f))
		}
		add("Columns", clip(strings.Join(cols, ", ")))
		if s.Filter != nil {
			add("Filter", exprPrinter{op.Fields}.expr(s.Filter))
		}
		add("Runtime filter", strings.Join(x.runtime[op], ", "))
	case *proto.Operator_Values:
		title = fmt.Sprintf("Values (%d rows)", len(n.Values.Rows))
	case *proto.Operator_Filter:
		title = "Filter"
		add("Condition", e.expr(n.Filter.Cond))
	case *proto.Operator_Project:
		title = "Project"
		var list []string
		for i, ex := range n.Project.Exprs {
			s := e.expr(ex)
			if name := op.Fields[i].Name; name != "" && name != s {
				s += " AS " + quoteIdent(name)
			}
			list = append(list, s)
		}
		add("Output", clip(strings.Join(list, ", ")))
	case *proto.Operator_ProjectSet:
		title = "ProjectSet"
		for _, c := range n.ProjectSet.Calls {
			add("Call", e.call(c))
		}
	case *proto.Operator_Limit:
		title = "Limit"
		if n.Limit.Limit >= 0 {
			title += " " + strconv.FormatInt(n.Limit.Limit, 10)
		}
		if n.Limit.Offset > 0 {
			title += " offset " + strconv.FormatInt(n.Limit.Offset, 10)
		}
	case *proto.Operator_Sort:
		title = "Sort"
		if n.Sort.Limit > 0 {
			title = fmt.Sprintf("Top-N sort (%d rows)", n.Sort.Limit)
		}
		add("Keys", e.keys(n.Sort.Keys))
	case *proto.Operator_Aggregate:
		title = map[proto.Aggregate_Mode]string{proto.Aggregate_SINGLE: "Aggregate", proto.Aggregate_PARTIAL: "Partial aggregate", proto.Aggregate_FINAL: "Final aggregate"}[n.Aggregate.Mode]
		add("Group by", e.list(n.Aggregate.Keys))
		if n.Aggregate.Mode != proto.Aggregate_FINAL {
			var calls []string
			for _, c := range n.Aggregate.Calls {
				calls = append(calls, e.agg(c))
			}
			add("Compute", clip(strings.Join(calls, ", ")))
		}
	case *proto.Operator_Join:
		j := n.Join
		kind := strings.ToLower(j.Kind.String())
		title = strings.ToUpper(kind[:1]) + kind[1:] + " join"
		if len(j.LeftKeys) > 0 {
			title = "Hash " + kind + " join"
		} else if j.Residual != nil {
			title = "Nested loop " + kind + " join"
		}
		l, r := exprPrinter{op.Inputs[0].Fields}, exprPrinter{op.Inputs[1].Fields}
		var ks []string
		for i := range j.LeftKeys {
			o := " = "
			if i < len(j.NullSafe) && j.NullSafe[i] {
				o = " IS NOT DISTINCT FROM "
			}
			ks = append(ks, l.expr(j.LeftKeys[i])+o+r.expr(j.RightKeys[i]))
		}
		add("Keys", strings.Join(ks, " AND "))
		for _, f := range physical.RuntimeFilters(op) {
			x.runtime[f.Scan] = append(x.runtime[f.Scan], fmt.Sprintf("%s IN build(%s)", fieldName(f.Scan.Fields[f.Column]), r.expr(j.RightKeys[f.Key])))
		}
		if j.Residual != nil {
			add("Condition", exprPrinter{append(append([]*proto.Field(nil), op.Inputs[0].Fields...), op.Inputs[1].Fields...)}.expr(j.Residual))
		}
	case *proto.Operator_AsofJoin:
		j := n.AsofJoin
		title = "Asof join"
		if j.Outer {
			title = "Asof left join"
		}
		l, r := exprPrinter{op.Inputs[0].Fields}, exprPrinter{op.Inputs[1].Fields}
		var ks []string
		for i := range j.LeftKeys {
			o := " = "
			if i == len(j.LeftKeys)-1 {
				o = map[[2]bool]string{{false, false}: " >= ", {false, true}: " > ", {true, false}: " <= ", {true, true}: " < "}[[2]bool{j.After, j.Strict}]
			}
			ks = append(ks, l.expr(j.LeftKeys[i])+o+r.expr(j.RightKeys[i]))
		}
		add("Keys", strings.Join(ks, " AND "))
	case *proto.Operator_Window:
		title = "Window"
		var calls []string
		for _, c := range n.Window.Calls {
			name := callName(c.Function, c.Udf)
			if c.Parts != nil {
				name = c.Parts.Name
			}
			calls = append(calls, name+"("+e.list(c.Args)+")")
		}
		add("Compute", strings.Join(calls, ", "))
		add("Partition by", e.list(n.Window.PartitionBy))
		add("Order by", e.keys(n.Window.OrderBy))
	case *proto.Operator_Union:
		title = "Union all"
	case *proto.Operator_GroupedMap:
		g := n.GroupedMap
		title = "Grouped map " + g.Udf.Display + " @" + shortDigest(g.Udf.Digest)
		switch {
		case function.Kind(g.Udf.Kind) == function.Table:
			title = "Table function " + g.Udf.Display + " @" + shortDigest(g.Udf.Digest)
			add("Passed on", clip(e.list(g.Keys)))
		case g.BatchRows > 0:
			add("Batches of", fmt.Sprintf("%d rows", g.BatchRows))
		default:
			add("Group by", e.list(g.Keys))
		}
		add("Arguments", clip(e.list(g.Args)))
	case *proto.Operator_TableFunction:
		title = "Function " + callName(n.TableFunction.Function, n.TableFunction.Udf) + "(" + e.list(n.TableFunction.Args) + ")"
	case *proto.Operator_ExchangeRead:
		return x.exchange(st, op, n.ExchangeRead)
	case *proto.Operator_SingleRow:
		title = "Single row"
	case *proto.Operator_DependentJoin:
		title = "Dependent join (" + strings.ToLower(n.DependentJoin.Kind.String()) + ")"
	case *proto.Operator_OuterRef:
		title = "Outer row"
	case *proto.Operator_RecursiveUnion:
		title = "Recursive union"
		if !n.RecursiveUnion.Distinct {
			title += " all"
		}
	case *proto.Operator_WorkTable:
		title = "Working table"
	case *proto.Operator_TableWrite:
		title = "Write " + n.TableWrite.Table
	case *proto.Operator_VirtualScan:
		title = "Catalog scan " + n.VirtualScan.Name
	}
	out := x.node(st, op, title, details)
	for _, c := range op.Inputs {
		out.Inputs = append(out.Inputs, x.operator(st, c))
	}
	return out
}

func (x *explainer) node(st *proto.Stage, op *proto.Operator, title string, details [][2]string) *ExplainNode {
	return &ExplainNode{Title: title, Details: details, op: op, stats: x.stats, props: x.properties(st, op)}
}

func (x *explainer) exchange(st *proto.Stage, op *proto.Operator, r *proto.ExchangeRead) *ExplainNode {
	src := x.plan.Stages[r.Stage]
	from := exprPrinter{src.Root.Fields}
	var how string
	switch src.Output.Kind {
	case proto.Partitioning_HASH:
		how = fmt.Sprintf("hash (%s), %d partitions", from.list(src.Output.Keys), src.Output.Count)
	case proto.Partitioning_BROADCAST:
		how = fmt.Sprintf("broadcast to %d tasks", st.Tasks)
	case proto.Partitioning_CHUNK:
		how = fmt.Sprintf("deal over %d tasks, %d rows at a time", src.Output.Count, src.Output.ChunkRows)
	default:
		how = "gather"
		if r.ChunkRows > 0 {
			how = fmt.Sprintf("collect in order, %d rows at a time", r.ChunkRows)
		}
		if len(r.Merge) > 0 {
			how = "gather, merging by " + exprPrinter{op.Fields}.keys(r.Merge)
		}
	}
	out := x.node(st, op, fmt.Sprintf("Exchange: %s; from stage %d with %d tasks", how, r.Stage, src.Tasks), nil)
	if x.shown[r.Stage] {
		out.Details = [][2]string{{"Stage", fmt.Sprintf("%d, as above", r.Stage)}}
		return out
	}
	x.shown[r.Stage] = true
	out.Inputs = []*ExplainNode{x.operator(src, src.Root)}
	return out
}

func approx(f float64) string { return strconv.FormatFloat(math.Round(f), 'f', 0, 64) }

func millis(ns int64) string {
	return strconv.FormatFloat(float64(ns)/float64(time.Millisecond), 'f', 3, 64) + "ms"
}

func bytesText(n int64) string {
	switch {
	case n >= 10<<20:
		return fmt.Sprintf("%dMB", n>>20)
	case n >= 10<<10:
		return fmt.Sprintf("%dkB", n>>10)
	}
	return fmt.Sprintf("%dB", n)
}

func clip(s string) string {
	const limit = 400
	if len(s) <= limit {
		return s
	}
	cut := limit
	for cut > 0 && s[cut]&0xC0 == 0x80 {
		cut--
	}
	return s[:cut] + "…"
}

func shortDigest(d string) string {
	d = strings.TrimPrefix(d, "sha256:")
	if len(d) > 12 {
		d = d[:12]
	}
	return d
}

func inputFields(op *proto.Operator) []*proto.Field {
	if len(op.Inputs) == 0 {
		return nil
	}
	return op.Inputs[0].Fields
}

func fieldName(f *proto.Field) string {
	if f.Name == "" {
		return "(computed)"
	}
	return quoteIdent(f.Name)
}

func callName(id string, u *proto.UDF) string {
	if u != nil {
		if u.Version > 0 {
			return u.Display + "@" + strconv.Itoa(int(u.Version))
		}
		return u.Display
	}
	if f, ok := function.ByID(id); ok {
		return f.Name
	}
	return id
}

// exprPrinter writes expressions over the columns of an operator's input.
type exprPrinter struct{ in []*proto.Field }

func (e exprPrinter) list(es []*proto.Expr) string {
	var out []string
	for _, x := range es {
		out = append(out, e.expr(x))
	}
	return strings.Join(out, ", ")
}

func (e exprPrinter) keys(ks []*proto.SortKey) string {
	var out []string
	for _, k := range ks {
		s := e.expr(k.Expr)
		if k.Desc {
			s += " DESC"
		}
		if k.NullsFirst != k.Desc {
			s += map[bool]string{true: " NULLS FIRST", false: " NULLS LAST"}[k.NullsFirst]
		}
		out = append(out, s)
	}
	return strings.Join(out, ", ")
}

func (e exprPrinter) agg(c *proto.AggCall) string {
	s := callName(c.Function, c.Udf) + "("
	if c.Parts != nil {
		s = c.Parts.Name + "("
	}
	if c.Distinct {
		s += "DISTINCT "
	}
	if len(c.Args) == 0 {
		s += "*"
	}
	s += e.list(c.Args)
	if len(c.OrderBy) > 0 {
		s += " ORDER BY " + e.keys(c.OrderBy)
	}
	s += ")"
	if c.Filter != nil {
		s += " FILTER (WHERE " + e.expr(c.Filter) + ")"
	}
	return s
}

func (e exprPrinter) call(c *proto.Call) string {
	if f, ok := function.ByID(c.Function); ok && c.Udf == nil && f.Op != "" {
		switch len(c.Args) {
		case 2:
			return "(" + e.expr(c.Args[0]) + " " + f.Op + " " + e.expr(c.Args[1]) + ")"
		case 1:
			return "(" + f.Op + " " + e.expr(c.Args[0]) + ")"
		}
	}
	return callName(c.Function, c.Udf) + "(" + e.list(c.Args) + ")"
}

func (e exprPrinter) expr(x *proto.Expr) string {
	switch n := x.Node.(type) {
	case *proto.Expr_Column:
		if i := int(n.Column.Index); i < len(e.in) {
			return fieldName(e.in[i])
		}
		return fmt.Sprintf("#%d", n.Column.Index)
	case *proto.Expr_Const:
		return constText(physical.TypeOf(x.Type), n.Const)
	case *proto.Expr_Call:
		return e.call(n.Call)
	case *proto.Expr_Case:
		var sb strings.Builder
		sb.WriteString("CASE")
		for _, w := range n.Case.Whens {
			sb.WriteString(" WHEN " + e.expr(w.Cond) + " THEN " + e.expr(w.Result))
		}
		if n.Case.Else != nil {
			sb.WriteString(" ELSE " + e.expr(n.Case.Else))
		}
		return sb.String() + " END"
	case *proto.Expr_Bool:
		if n.Bool.Op == proto.Bool_NOT {
			return "NOT " + e.expr(n.Bool.Args[0])
		}
		var parts []string
		for _, a := range n.Bool.Args {
			parts = append(parts, e.expr(a))
		}
		return "(" + strings.Join(parts, " "+n.Bool.Op.String()+" ") + ")"
	case *proto.Expr_Is:
		op := strings.ReplaceAll(n.Is.Op.String(), "_", " ")
		if n.Is.Right != nil {
			op = map[proto.IsTest_Op]string{proto.IsTest_DISTINCT: "DISTINCT FROM", proto.IsTest_NOT_DISTINCT: "NOT DISTINCT FROM"}[n.Is.Op]
			return "(" + e.expr(n.Is.Arg) + " IS " + op + " " + e.expr(n.Is.Right) + ")"
		}
		return "(" + e.expr(n.Is.Arg) + " IS " + op + ")"
	case *proto.Expr_Cast:
		return e.expr(n.Cast.Arg) + "::" + physical.TypeOf(x.Type).String()
	case *proto.Expr_Coalesce:
		return strings.ToLower(n.Coalesce.Op.String()) + "(" + e.list(n.Coalesce.Args) + ")"
	case *proto.Expr_In:
		var vs []string
		for i, v := range n.In.Values {
			if i == 10 {
				vs = append(vs, fmt.Sprintf("… %d more", len(n.In.Values)-i))
				break
			}
			vs = append(vs, constText(physical.TypeOf(n.In.Arg.Type), v))
		}
		not := ""
		if n.In.Not {
			not = "NOT "
		}
		return "(" + e.expr(n.In.Arg) + " " + not + "IN (" + strings.Join(vs, ", ") + "))"
	case *proto.Expr_Array:
		return "ARRAY[" + e.list(n.Array.Elems) + "]"
	}
	return "?"
}

func constText(t types.Type, c *proto.Const) string {
	if c.Null {
		return "NULL"
	}
	v, err := physical.DecodeConst(t, c)
	if err != nil {
		return "?"
	}
	s := string(vector.AppendText(nil, v, 0, nil))
	if t.IsNumeric() || t.ID == types.Bool {
		if t.ID == types.Bool {
			return map[string]string{"t": "true", "f": "false"}[s]
		}
		return s
	}
	s = "'" + strings.ReplaceAll(s, "'", "''") + "'"
	if !t.IsString() {
		s += "::" + t.String()
	}
	return s
}
