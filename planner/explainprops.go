package planner

import (
	"strings"

	"github.com/volleydb/volley/proto"
)

// properties say where an operator's rows are and in which order, as far as the
// plan promises it.
type properties struct {
	kind string // Single, Hash, Random, Broadcast
	hash []int  // columns, of Hash
	// order are the columns that each task's rows are sorted by.
	order []orderedBy
}

type orderedBy struct {
	col              int
	desc, nullsFirst bool
}

const (
	distSingle    = "Single"
	distHash      = "Hash"
	distRandom    = "Random"
	distBroadcast = "Broadcast"
)

func (p properties) distribution(op *proto.Operator) string {
	if p.kind != distHash {
		return p.kind
	}
	var cols []string
	for _, c := range p.hash {
		cols = append(cols, fieldName(op.Fields[c]))
	}
	return distHash + "(" + strings.Join(cols, ", ") + ")"
}

func (p properties) ordering(op *proto.Operator) string {
	var cols []string
	for _, o := range p.order {
		s := fieldName(op.Fields[o.col])
		if o.desc {
			s += " DESC"
		}
		if o.nullsFirst != o.desc {
			s += map[bool]string{true: " NULLS FIRST", false: " NULLS LAST"}[o.nullsFirst]
		}
		cols = append(cols, s)
	}
	return strings.Join(cols, ", ")
}

// columnOf is the column that an expression is, -1 if it is more than that.
func columnOf(e *proto.Expr) int {
	if c, ok := e.GetNode().(*proto.Expr_Column); ok {
		return int(c.Column.Index)
	}
	return -1
}

func orderOf(keys []*proto.SortKey) []orderedBy {
	var out []orderedBy
	for _, k := range keys {
		c := columnOf(k.Expr)
		if c < 0 {
			break
		}
		out = append(out, orderedBy{c, k.Desc, k.NullsFirst})
	}
	return out
}

// through maps properties over an operator whose output column i is the input's
// column from[i], or -1.
func (p properties) through(from []int) properties {
	at := map[int]int{}
	for i := len(from) - 1; i >= 0; i-- {
		at[from[i]] = i
	}
	out := properties{kind: p.kind}
	if p.kind == distHash {
		for _, c := range p.hash {
			i, ok := at[c]
			if !ok {
				out.kind, out.hash = distRandom, nil
				break
			}
			out.hash = append(out.hash, i)
		}
	}
	for _, o := range p.order {
		i, ok := at[o.col]
		if !ok {
			break
		}
		out.order = append(out.order, orderedBy{i, o.desc, o.nullsFirst})
	}
	return out
}

func columnsOfList(es []*proto.Expr) []int {
	out := make([]int, len(es))
	for i, e := range es {
		out[i] = columnOf(e)
	}
	return out
}

// properties derives an operator's properties from those of its inputs.
func (x *explainer) properties(st *proto.Stage, op *proto.Operator) properties {
	if p, ok := x.props[op.Id]; ok {
		return p
	}
	p := x.derive(st, op)
	if st.Tasks == 1 {
		p.kind, p.hash = distSingle, nil
	}
	x.props[op.Id] = p
	return p
}

func (x *explainer) derive(st *proto.Stage, op *proto.Operator) properties {
	in := func(i int) properties { return x.properties(st, op.Inputs[i]) }
	switch n := op.Node.(type) {
	case *proto.Operator_Filter, *proto.Operator_Limit, *proto.Operator_Window, *proto.Operator_ProjectSet:
		return in(0)
	case *proto.Operator_Sort:
		p := in(0)
		p.order = orderOf(n.Sort.Keys)
		return p
	case *proto.Operator_Project:
		return in(0).through(columnsOfList(n.Project.Exprs))
	case *proto.Operator_Aggregate:
		p := in(0).through(columnsOfList(n.Aggregate.Keys))
		p.order = nil
		return p
	case *proto.Operator_GroupedMap:
		p := in(0).through(columnsOfList(n.GroupedMap.Keys))
		p.order = nil
		return p
	case *proto.Operator_Join:
		l, r := in(0), in(1)
		if l.kind == distBroadcast && r.kind != distBroadcast {
			// The rows are where the other side's are.
			l = properties{kind: r.kind}
			for _, c := range r.hash {
				l.hash = append(l.hash, c+len(op.Inputs[0].Fields))
			}
		}
		if n.Join.Kind == proto.Join_RIGHT || n.Join.Kind == proto.Join_FULL {
			l.order = nil
		}
		return l
	case *proto.Operator_DependentJoin:
		return in(0)
	case *proto.Operator_ExchangeRead:
		src := x.plan.Stages[n.ExchangeRead.Stage]
		below := x.properties(src, src.Root)
		p := properties{kind: distRandom}
		switch src.Output.Kind {
		case proto.Partitioning_HASH:
			p.kind = distHash
			for _, k := range src.Output.Keys {
				c := columnOf(k)
				if c < 0 {
					return properties{kind: distRandom}
				}
				p.hash = append(p.hash, c)
			}
			return p
		case proto.Partitioning_BROADCAST:
			p.kind = distBroadcast
		}
		if len(n.ExchangeRead.Merge) > 0 {
			p.order = orderOf(n.ExchangeRead.Merge)
		} else if src.Tasks == 1 {
			p.order = below.order
		}
		return p
	}
	return properties{kind: distRandom}
}
