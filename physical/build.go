package physical

import (
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
)

// make calls the constructor of the operator's kind. A constructor that fails
// leaves the inputs open; build closes them.
func (b *builder) make(n *node) (Operator, error) {
	switch op := n.op.Node.(type) {
	case *proto.Operator_Scan:
		s, err := newScan(n, op.Scan)
		if err != nil {
			return nil, err
		}
		b.scans[n.op] = s
		return s, nil
	case *proto.Operator_Values:
		return newValues(n, op.Values)
	case *proto.Operator_Filter:
		return newFilter(n, op.Filter)
	case *proto.Operator_Project:
		return newProject(n, op.Project)
	case *proto.Operator_ProjectSet:
		return newProjectSet(n, op.ProjectSet)
	case *proto.Operator_Limit:
		return newLimit(n, op.Limit)
	case *proto.Operator_Sort:
		return newSort(n, op.Sort)
	case *proto.Operator_Aggregate:
		for _, k := range op.Aggregate.Keys {
			if s, c := b.groupedColumn(n.op.Inputs[0], k); s != nil {
				s.keepDict(c)
			}
		}
		return newAggregate(n, op.Aggregate)
	case *proto.Operator_Join:
		j, err := newJoin(n, op.Join)
		if err != nil {
			return nil, err
		}
		for _, f := range RuntimeFilters(n.op) {
			if s := b.scans[f.Scan]; s != nil {
				j.filters = append(j.filters, s.restrict(f.Column, f.Key))
			}
		}
		if j.canFlip() {
			for _, f := range keyScans(n.op.Inputs[1], op.Join.RightKeys, op.Join.LeftKeys, op.Join.NullSafe) {
				if s := b.scans[f.Scan]; s != nil {
					j.flipFilters = append(j.flipFilters, s.restrict(f.Column, f.Key))
				}
			}
		}
		return j, nil
	case *proto.Operator_AsofJoin:
		return newAsofJoin(n, op.AsofJoin)
	case *proto.Operator_Window:
		return newWindow(n, op.Window)
	case *proto.Operator_Union:
		return &union{n: n}, nil
	case *proto.Operator_GroupedMap:
		return newGroupedMap(n, op.GroupedMap)
	case *proto.Operator_TableFunction:
		return newTableFunction(n, op.TableFunction)
	case *proto.Operator_ExchangeRead:
		return newExchangeRead(n, op.ExchangeRead)
	case *proto.Operator_SingleRow:
		return &singleRow{n: n}, nil
	case *proto.Operator_DependentJoin:
		return newDependentJoin(n, op.DependentJoin)
	case *proto.Operator_OuterRef:
		return newOuterRef(n, op.OuterRef)
	case *proto.Operator_RecursiveUnion:
		return newRecursiveUnion(n, op.RecursiveUnion)
	case *proto.Operator_WorkTable:
		return newWorkTable(n, op.WorkTable)
	case *proto.Operator_TableWrite:
		return newTableWrite(n, op.TableWrite)
	case *proto.Operator_VirtualScan:
		if n.env.Virtual == nil {
			return nil, pgerr.New(pgerr.InternalError, "catalog table %s outside of the coordinator", op.VirtualScan.Name)
		}
		return n.env.Virtual(b.ctx, op.VirtualScan.Name, op.VirtualScan.Columns)
	}
	return nil, pgerr.New(pgerr.InternalError, "operator %d is of an unknown kind", n.op.Id)
}

// groupedColumn is the column of a scan that an expression over op has the values
// of, or is computed from alone by a call: as codes of a dictionary they are grouped,
// and the call evaluated, once per value.
func (b *builder) groupedColumn(op *proto.Operator, e *proto.Expr) (*scan, int) {
	for {
		if c := e.GetCall(); c != nil && c.Udf == nil {
			var of *proto.Expr
			for _, a := range c.Args {
				if a.GetConst() != nil {
					continue
				}
				if of != nil {
					return nil, 0
				}
				of = a
			}
			if of == nil {
				return nil, 0
			}
			e = of
			continue
		}
		c := e.GetColumn()
		if c == nil {
			return nil, 0
		}
		at := int(c.Index)
		switch n := op.Node.(type) {
		case *proto.Operator_Scan:
			if at >= len(n.Scan.Columns) || !TypeOf(op.Fields[at].Type).IsString() {
				return nil, 0
			}
			return b.scans[op], at
		case *proto.Operator_Filter:
		case *proto.Operator_Project:
			e = n.Project.Exprs[at]
		default:
			return nil, 0
		}
		op = op.Inputs[0]
	}
}

// arity returns the number of inputs of an operator, -1 for any.
func arity(op *proto.Operator) int {
	switch op.Node.(type) {
	case *proto.Operator_Scan, *proto.Operator_Values, *proto.Operator_ExchangeRead,
		*proto.Operator_VirtualScan, *proto.Operator_OuterRef, *proto.Operator_WorkTable:
		return 0
	case *proto.Operator_Join, *proto.Operator_DependentJoin, *proto.Operator_RecursiveUnion, *proto.Operator_AsofJoin:
		return 2
	case *proto.Operator_Union, *proto.Operator_TableFunction:
		return -1
	}
	return 1
}

// operatorName names an operator in errors and statistics.
func operatorName(op *proto.Operator) string {
	switch op.Node.(type) {
	case *proto.Operator_Scan:
		return "Scan"
	case *proto.Operator_Values:
		return "Values"
	case *proto.Operator_Filter:
		return "Filter"
	case *proto.Operator_Project:
		return "Project"
	case *proto.Operator_Limit:
		return "Limit"
	case *proto.Operator_Sort:
		return "Sort"
	case *proto.Operator_Aggregate:
		return "Aggregate"
	case *proto.Operator_Join:
		return "Join"
	case *proto.Operator_AsofJoin:
		return "AsofJoin"
	case *proto.Operator_Window:
		return "Window"
	case *proto.Operator_Union:
		return "Union"
	case *proto.Operator_GroupedMap:
		return "GroupedMap"
	case *proto.Operator_TableFunction:
		return "TableFunction"
	case *proto.Operator_ExchangeRead:
		return "ExchangeRead"
	case *proto.Operator_SingleRow:
		return "SingleRow"
	case *proto.Operator_DependentJoin:
		return "DependentJoin"
	case *proto.Operator_TableWrite:
		return "TableWrite"
	case *proto.Operator_VirtualScan:
		return "VirtualScan"
	case *proto.Operator_OuterRef:
		return "OuterRef"
	case *proto.Operator_ProjectSet:
		return "ProjectSet"
	case *proto.Operator_RecursiveUnion:
		return "RecursiveUnion"
	case *proto.Operator_WorkTable:
		return "WorkTable"
	}
	return "Operator"
}
