package planner

import (
	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
)

// Col is an output column of a logical node.
type Col struct {
	ID   ColID
	Name string
	T    types.Type
}

func (c Col) ref() *Column { return &Column{ID: c.ID, T: c.T, Name: c.Name} }

// Node is an operator of the logical plan.
type Node interface {
	// Cols are the output columns, in order.
	Cols() []Col
	// Inputs are the nodes below.
	Inputs() []Node
}

type (
	// Scan reads files: a table's, or those of read_csv and read_parquet.
	Scan struct {
		Name   string // table or path, for people
		Format string // parquet, csv
		Out    []Col
		Source []string // physical column of each output column
		Files  *FileSet
		Filter Expr // pushed down
		Limit  int64
	}
	// VirtualScan reads a catalog table.
	VirtualScan struct {
		Name   string
		Out    []Col
		Source []uint32 // column number of each output column
	}
	// Series is generate_series over integer constants, which is cut into ranges.
	Series struct {
		From, To, Step int64
		Out            Col
	}
	// Values are literal rows.
	Values struct {
		Rows [][]Expr
		Out  []Col
	}
	// Filter keeps rows where Cond is true.
	Filter struct {
		In   Node
		Cond Expr
	}
	// Project computes columns.
	Project struct {
		In    Node
		Exprs []Expr
		Out   []Col
	}
	// ProjectSet adds the columns of set-returning calls to its input.
	ProjectSet struct {
		In    Node
		Calls []*Call
		Out   []Col // of the calls
	}
	// Limit passes Count rows (-1 = all) after Offset.
	Limit struct {
		In            Node
		Count, Offset int64
	}
	// Sort orders its input.
	Sort struct {
		In   Node
		Keys []SortKey
	}
	// Aggregate groups by Keys; output is Keys, then Calls. The groups of Always
	// (constants, one per key) exist without rows, too.
	Aggregate struct {
		In     Node
		Keys   []Expr
		Calls  []*AggCall
		Out    []Col
		Always [][]Expr
		// Spread is how many of the keys assign groups to tasks, 0 = all.
		Spread int
	}
	// Join joins; Cond is any expression over both sides. For MARK, Mark is the
	// added column and Left/RightKeys the compared expressions.
	Join struct {
		Kind        proto.Join_Kind
		Left, Right Node
		LeftKeys    []Expr
		RightKeys   []Expr
		NullSafe    []bool
		Cond        Expr
		Mark        Col
	}
	// Window computes calls over one partitioning and ordering.
	Window struct {
		In        Node
		Partition []Expr
		Order     []SortKey
		Calls     []*WindowCall
		Out       []Col // of the calls
	}
	// Union concatenates; column i of every input goes to Out[i].
	Union struct {
		In  []Node
		Out []Col
	}
	// GroupedMap is GROUP BY … APPLY. With BatchRows groups are that many rows, in
	// any order; 1 is for table functions, whose Keys are input columns passed on
	// under their own IDs, and Ordinality then adds a column.
	GroupedMap struct {
		In    Node
		F     *function.Function
		Keys  []Expr
		Args  []Expr
		Order []SortKey
		Empty bool  // GROUP BY ()
		Out   []Col // keys, then the function's columns
		Pos   int

		BatchRows  int
		Ordinality bool
	}
	// TableFunc is a function in FROM. With In set, its arguments are evaluated
	// for the (single) row of In, whose columns are not passed on.
	TableFunc struct {
		F          *function.Function
		Args       []Expr
		Ordinality bool
		Out        []Col
	}
	// SingleRow gives exactly one row: 21000 for more, NULLs for none.
	SingleRow struct{ In Node }
	// Dependent runs Right once for every row of Left.
	Dependent struct {
		Kind        proto.DependentJoin_Kind
		Left, Right Node
		Out         []Col // of Right, as seen above; one boolean or array for EXISTS, ARRAY
	}
	// Shared is a subplan with several readers (a CTE used more than once).
	Shared struct {
		Plan *SharedPlan
		Out  []Col // one per column of the plan
	}
)

// SharedPlan is the one plan behind all Shared nodes of a CTE.
type SharedPlan struct {
	Name string
	In   Node
	refs int
}

// AggCall is one aggregate.
type AggCall struct {
	F        *function.Function
	Args     []Expr
	ArgTypes []types.Type
	Distinct bool
	Filter   Expr
	Order    []SortKey
	T        types.Type
	parts    *aggParts // of an aggregate made of functions
}

// WindowCall is one window function call.
type WindowCall struct {
	F           *function.Function
	Args        []Expr
	Frame       *proto.Frame
	Ranges      [2]*RangeBound // start and end of RANGE with offsets
	Filter      Expr
	IgnoreNulls bool
	T           types.Type
	parts       *aggParts
}

// Cols implementations.
func (n *Scan) Cols() []Col        { return n.Out }
func (n *VirtualScan) Cols() []Col { return n.Out }
func (n *Series) Cols() []Col      { return []Col{n.Out} }
func (n *Values) Cols() []Col      { return n.Out }
func (n *Filter) Cols() []Col      { return n.In.Cols() }
func (n *Project) Cols() []Col     { return n.Out }
func (n *ProjectSet) Cols() []Col  { return concatCols(n.In.Cols(), n.Out) }
func (n *Limit) Cols() []Col       { return n.In.Cols() }
func (n *Sort) Cols() []Col        { return n.In.Cols() }
func (n *Aggregate) Cols() []Col   { return n.Out }
func (n *Join) Cols() []Col {
	switch n.Kind {
	case proto.Join_SEMI, proto.Join_ANTI:
		return n.Left.Cols()
	case proto.Join_MARK:
		return concatCols(n.Left.Cols(), []Col{n.Mark})
	}
	return concatCols(n.Left.Cols(), n.Right.Cols())
}
func (n *Window) Cols() []Col     { return concatCols(n.In.Cols(), n.Out) }
func (n *Union) Cols() []Col      { return n.Out }
func (n *GroupedMap) Cols() []Col { return n.Out }
func (n *TableFunc) Cols() []Col  { return n.Out }
func (n *SingleRow) Cols() []Col  { return n.In.Cols() }
func (n *Dependent) Cols() []Col  { return concatCols(n.Left.Cols(), n.Out) }
func (n *Shared) Cols() []Col     { return n.Out }

// Inputs implementations.
func (n *Scan) Inputs() []Node        { return nil }
func (n *VirtualScan) Inputs() []Node { return nil }
func (n *Series) Inputs() []Node      { return nil }
func (n *Values) Inputs() []Node      { return nil }
func (n *Filter) Inputs() []Node      { return []Node{n.In} }
func (n *Project) Inputs() []Node     { return []Node{n.In} }
func (n *ProjectSet) Inputs() []Node  { return []Node{n.In} }
func (n *Limit) Inputs() []Node       { return []Node{n.In} }
func (n *Sort) Inputs() []Node        { return []Node{n.In} }
func (n *Aggregate) Inputs() []Node   { return []Node{n.In} }
func (n *Join) Inputs() []Node        { return []Node{n.Left, n.Right} }
func (n *Window) Inputs() []Node      { return []Node{n.In} }
func (n *Union) Inputs() []Node       { return n.In }
func (n *GroupedMap) Inputs() []Node  { return []Node{n.In} }
func (n *TableFunc) Inputs() []Node   { return nil }
func (n *SingleRow) Inputs() []Node   { return []Node{n.In} }
func (n *Dependent) Inputs() []Node   { return []Node{n.Left, n.Right} }
func (n *Shared) Inputs() []Node      { return nil }

func concatCols(a, b []Col) []Col {
	return append(a[:len(a):len(a)], b...)
}

func idsOf(cols []Col) colSet {
	s := colSet{}
	for _, c := range cols {
		s[c.ID] = true
	}
	return s
}

// nodeExprs calls f for every expression that a node evaluates over its input.
func nodeExprs(n Node, f func(Expr)) {
	sortKeys := func(ks []SortKey) {
		for _, k := range ks {
			f(k.Expr)
		}
	}
	list := func(es []Expr) {
		for _, e := range es {
			f(e)
		}
	}
	opt := func(e Expr) {
		if e != nil {
			f(e)
		}
	}
	switch n := n.(type) {
	case *Scan:
		opt(n.Filter)
	case *Values:
		for _, r := range n.Rows {
			list(r)
		}
	case *Filter:
		f(n.Cond)
	case *Project:
		list(n.Exprs)
	case *ProjectSet:
		for _, c := range n.Calls {
			f(c)
		}
	case *Sort:
		sortKeys(n.Keys)
	case *Aggregate:
		list(n.Keys)
		for _, c := range n.Calls {
			list(c.Args)
			opt(c.Filter)
			sortKeys(c.Order)
		}
	case *Join:
		list(n.LeftKeys)
		list(n.RightKeys)
		opt(n.Cond)
	case *AsofJoin:
		list(n.exprs())
	case *Window:
		list(n.Partition)
		sortKeys(n.Order)
		for _, c := range n.Calls {
			list(c.Args)
			opt(c.Filter)
			for _, r := range c.Ranges {
				if r != nil {
					f(r.Key)
					f(r.Limit)
				}
			}
		}
	case *GroupedMap:
		list(n.Keys)
		list(n.Args)
		sortKeys(n.Order)
	case *TableFunc:
		list(n.Args)
	}
}

// freeColumns are the columns that a tree reads and does not make: references
// to enclosing queries.
func freeColumns(n Node) colSet {
	used, made := colSet{}, colSet{}
	var visit func(Node)
	visit = func(n Node) {
		nodeExprs(n, func(e Expr) { addColumns(used, e) })
		for _, c := range n.Cols() {
			made[c.ID] = true
		}
		for _, in := range n.Inputs() {
			visit(in)
		}
		if s, ok := n.(*Shared); ok {
			visit(s.Plan.In) // a WITH of a correlated subquery
		}
	}
	visit(n)
	for id := range made {
		delete(used, id)
	}
	return used
}
