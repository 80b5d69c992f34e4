package planner

import (
	"math"
	"strconv"
	"time"

	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/storage"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// estimate is what is believed about a node's rows. It follows from the files'
// statistics alone, so that a query over the same files has the same plan
// everywhere.
type estimate struct {
	rows float64
	// base is how many rows there were before conditions: the distinct values of
	// several columns together are no more.
	base float64
	cols map[ColID]colEstimate
}

// colEstimate is what is believed about a column.
type colEstimate struct {
	distinct float64 // 0 = unknown
	lo, hi   float64 // where bounded
	bounded  bool
	nulls    float64 // share of the rows
	// rel is the scan that the column comes from, and relRows how many rows it
	// gives: its columns together have no more values.
	rel     *Scan
	relRows float64
}

// Shares of rows that pass a condition about which nothing is known.
const (
	equalShare   = 0.05
	rangeShare   = 0.33
	likeShare    = 0.1
	unknownShare = 0.3
)

// estimator estimates nodes, each once.
type estimator struct {
	memo   map[Node]*estimate
	shared map[*SharedPlan]*estimate
}

func newEstimator() *estimator {
	return &estimator{memo: map[Node]*estimate{}, shared: map[*SharedPlan]*estimate{}}
}

// distinct is the number of different values of e among the rows.
func (e *estimate) distinct(x Expr) float64 {
	for {
		c, ok := x.(*Cast)
		if !ok {
			break
		}
		x = c.Arg
	}
	d := 0.0
	switch x := x.(type) {
	case *Const:
		return 1
	case *Column:
		d = e.cols[x.ID].distinct
	case *Call:
		// No more than the combinations of its arguments; most functions map many
		// to one.
		d = 1
		for _, a := range x.Args {
			d *= e.distinct(a)
		}
		d = min(d, math.Pow(e.rows, 0.75))
	}
	if d == 0 {
		d = math.Pow(e.rows, 0.75)
	}
	return max(1, min(d, e.rows))
}

func (s *estimator) of(n Node) *estimate {
	if e := s.memo[n]; e != nil {
		return e
	}
	e := s.make(n)
	e.rows = max(e.rows, 1)
	e.base = max(e.base, e.rows)
	s.memo[n] = e
	return e
}

func (s *estimator) make(n Node) *estimate {
	switch n := n.(type) {
	case *Scan:
		e := scanEstimate(n)
		if n.Filter != nil {
			e = e.filtered(n.Filter)
		}
		if n.Limit > 0 {
			e.rows = min(e.rows, float64(n.Limit))
		}
		for id, c := range e.cols {
			c.rel, c.relRows = n, e.rows
			e.cols[id] = c
		}
		return e
	case *Filter:
		return s.of(n.In).filtered(n.Cond)
	case *Project:
		in := s.of(n.In)
		e := &estimate{rows: in.rows, base: in.base, cols: map[ColID]colEstimate{}}
		for i, c := range n.Out {
			if col, ok := n.Exprs[i].(*Column); ok {
				e.cols[c.ID] = in.cols[col.ID]
			} else {
				e.cols[c.ID] = colEstimate{distinct: in.distinct(n.Exprs[i])}
			}
		}
		return e
	case *Sort:
		return s.of(n.In)
	case *Window:
		return s.of(n.In)
	case *Limit:
		e := *s.of(n.In)
		if n.Count >= 0 {
			e.rows = min(e.rows, float64(n.Count))
		}
		return &e
	case *SingleRow:
		e := *s.of(n.In)
		e.rows = 1
		return &e
	case *ProjectSet:
		e := *s.of(n.In)
		e.rows *= 10
		return &e
	case *Aggregate:
		return s.aggregate(n)
	case *Join:
		return s.join(n)
	case *Dependent:
		e := *s.of(n.Left)
		return &e
	case *AsofJoin:
		e := *s.of(n.Left)
		return &e
	case *Union:
		e := &estimate{cols: map[ColID]colEstimate{}}
		for _, in := range n.In {
			x := s.of(in)
			e.rows += x.rows
			for i, c := range in.Cols() {
				if i < len(n.Out) {
					o := e.cols[n.Out[i].ID]
					o.distinct += x.distinct(c.ref())
					e.cols[n.Out[i].ID] = o
				}
			}
		}
		return e
	case *Shared:
		in := s.shared[n.Plan]
		if in == nil {
			// A plan that reads itself has this estimate of itself.
			s.shared[n.Plan] = &estimate{rows: 1000, base: 1000}
			in = s.of(n.Plan.In)
			s.shared[n.Plan] = in
		}
		e := &estimate{rows: in.rows, base: in.base, cols: map[ColID]colEstimate{}}
		for i, c := range n.Plan.In.Cols() {
			if i < len(n.Out) {
				e.cols[n.Out[i].ID] = in.cols[c.ID]
			}
		}
		return e
	case *Values:
		return &estimate{rows: float64(len(n.Rows))}
	case *VirtualScan:
		return &estimate{rows: 100}
	case *Series:
		rows := 0.0
		if n.Step != 0 {
			rows = max(0, math.Floor((float64(n.To)-float64(n.From))/float64(n.Step))+1)
		}
		return &estimate{rows: rows, cols: map[ColID]colEstimate{n.Out.ID: {distinct: rows, lo: float64(min(n.From, n.To)), hi: float64(max(n.From, n.To)), bounded: true}}}
	case *GroupedMap:
		return s.of(n.In)
	}
	// Others: what their inputs have.
	e := &estimate{rows: 1000, cols: map[ColID]colEstimate{}}
	for _, in := range n.Inputs() {
		x := s.of(in)
		e.rows = max(e.rows, x.rows)
	}
	return e
}

func scanEstimate(n *Scan) *estimate {
	e := &estimate{rows: float64(n.Files.Rows), base: float64(n.Files.Rows), cols: map[ColID]colEstimate{}}
	stats := map[string]*storage.ColumnStats{}
	for i := range n.Files.Stats {
		stats[n.Files.Stats[i].Name] = &n.Files.Stats[i]
	}
	for i, c := range n.Out {
		var ce colEstimate
		if st := stats[n.Source[i]]; st != nil {
			if st.Nulls > 0 && e.rows > 0 {
				ce.nulls = float64(st.Nulls) / e.rows
			}
			ce.distinct = float64(st.Distinct)
			if st.Min != nil && st.Max != nil {
				lo, ok1 := number(c.T, *st.Min)
				hi, ok2 := number(c.T, *st.Max)
				if ok1 && ok2 && lo <= hi {
					ce.lo, ce.hi, ce.bounded = lo, hi, true
					// Of whole numbers there are no more than between the bounds, and
					// few tables leave many out.
					switch c.T.ID {
					case types.Int2, types.Int4, types.Int8, types.Date:
						ce.distinct = min(hi-lo+1, e.rows)
					}
				}
			}
		}
		if c.T.ID == types.Bool {
			ce.distinct = 2
		}
		e.cols[c.ID] = ce
	}
	return e
}

// number is the place of a value, given as text, on a line; days for dates,
// seconds for timestamps.
func number(t types.Type, s string) (float64, bool) {
	switch t.ID {
	case types.Date:
		d, err := time.Parse("2006-01-02", s)
		return float64(d.Unix()) / 86400, err == nil
	case types.Timestamp:
		if len(s) < 19 {
			return 0, false
		}
		d, err := time.Parse("2006-01-02 15:04:05", s[:19])
		return float64(d.Unix()), err == nil
	case types.Int2, types.Int4, types.Int8, types.Numeric, types.Float4, types.Float8:
		f, err := strconv.ParseFloat(s, 64)
		return f, err == nil && !math.IsNaN(f) && !math.IsInf(f, 0)
	}
	return 0, false
}

func constNumber(c *Const) (float64, bool) {
	if c.V == nil || c.V.IsNull(0) {
		return 0, false
	}
	return number(c.T, string(vector.TextAppender(c.T, &types.TextOptions{ExtraFloatDigits: 1})(nil, c.V, 0)))
}

// filtered is e after a condition.
func (e *estimate) filtered(cond Expr) *estimate {
	out := &estimate{rows: e.rows, base: e.base, cols: make(map[ColID]colEstimate, len(e.cols))}
	for id, c := range e.cols {
		out.cols[id] = c
	}
	// The ends of a range on one column are one condition: they are taken
	// together by narrowing its bounds.
	for _, c := range conjuncts(nil, cond) {
		out.rows *= out.share(c)
		out.narrow(c)
	}
	out.rows = max(out.rows, 1)
	return out
}

// comparison takes apart column op constant, in either order.
func comparison(e Expr) (op string, col *Column, c *Const) {
	call, ok := e.(*Call)
	if !ok || len(call.Args) != 2 {
		return "", nil, nil
	}
	flip := map[string]string{"=": "=", "<>": "<>", "<": ">", ">": "<", "<=": ">=", ">=": "<="}
	if flip[call.F.Op] == "" {
		return "", nil, nil
	}
	strip := func(e Expr) Expr {
		if c, ok := e.(*Cast); ok {
			return c.Arg
		}
		return e
	}
	x, y := strip(call.Args[0]), strip(call.Args[1])
	if col, ok := x.(*Column); ok {
		if c, ok := y.(*Const); ok {
			return call.F.Op, col, c
		}
	}
	if col, ok := y.(*Column); ok {
		if c, ok := x.(*Const); ok {
			return flip[call.F.Op], col, c
		}
	}
	return "", nil, nil
}

// narrow records what rows have in common that pass c.
func (e *estimate) narrow(c Expr) {
	if l, ok := c.(*InList); ok && !l.Not {
		if col, ok := l.Arg.(*Column); ok {
			ce := e.cols[col.ID]
			ce.distinct, ce.nulls = float64(len(l.Values)), 0
			e.cols[col.ID] = ce
		}
		return
	}
	if b, ok := c.(*Bool); ok && b.Op == proto.Bool_OR {
		e.narrowAny(b)
		return
	}
	op, col, k := comparison(c)
	if op == "" || op == "<>" {
		return
	}
	ce := e.cols[col.ID]
	ce.nulls = 0
	x, ok := constNumber(k)
	span := ce.hi - ce.lo
	switch {
	case op == "=":
		ce.distinct = 1
		if ok {
			ce.lo, ce.hi, ce.bounded = x, x, true
		}
	case ok && ce.bounded:
		if op[0] == '<' {
			ce.hi = max(ce.lo, min(ce.hi, x))
		} else {
			ce.lo = min(ce.hi, max(ce.lo, x))
		}
		if span > 0 {
			ce.distinct = max(1, ce.distinct*(ce.hi-ce.lo)/span)
		}
	}
	e.cols[col.ID] = ce
}

// narrowAny records the columns that every arm of an OR says the value of.
func (e *estimate) narrowAny(or *Bool) {
	list := arms(nil, or)
	counts := map[ColID]int{}
	for _, a := range list {
		seen := colSet{}
		for _, c := range conjuncts(nil, a) {
			if op, col, _ := comparison(c); op == "=" && !seen[col.ID] {
				seen[col.ID] = true
				counts[col.ID]++
			}
		}
	}
	for id, n := range counts {
		if ce := e.cols[id]; n == len(list) && ce.distinct > float64(n) {
			ce.distinct, ce.nulls = float64(n), 0
			e.cols[id] = ce
		}
	}
}

// share of the rows that pass a condition.
func (e *estimate) share(c Expr) float64 {
	switch x := c.(type) {
	case *Const:
		if isTrue(c) {
			return 1
		}
		return 0
	case *Bool:
		switch x.Op {
		case proto.Bool_AND:
			s := 1.0
			for _, a := range x.Args {
				s *= e.share(a)
			}
			return s
		case proto.Bool_OR:
			s := 1.0
			for _, a := range x.Args {
				s *= 1 - e.share(a)
			}
			return 1 - s
		case proto.Bool_NOT:
			return 1 - e.share(x.Args[0])
		}
	case *Is:
		nulls := 0.1
		if col, ok := x.Arg.(*Column); ok {
			nulls = e.cols[col.ID].nulls
		}
		switch x.Op {
		case proto.IsTest_NULL:
			return max(nulls, 0.001)
		case proto.IsTest_NOT_NULL:
			return 1 - nulls
		case proto.IsTest_TRUE:
			return e.share(x.Arg)
		case proto.IsTest_NOT_TRUE:
			return 1 - e.share(x.Arg)
		}
	case *InList:
		s := min(1, float64(len(x.Values))*e.equal(x.Arg))
		if x.Not {
			return 1 - s
		}
		return s
	case *Call:
		return e.callShare(x)
	}
	return unknownShare
}

// equal is the share of rows where x has one given value.
func (e *estimate) equal(x Expr) float64 {
	if col, ok := x.(*Column); ok && e.cols[col.ID].distinct > 0 {
		return (1 - e.cols[col.ID].nulls) / max(1, e.cols[col.ID].distinct)
	}
	return equalShare
}

func (e *estimate) callShare(x *Call) float64 {
	op, col, k := comparison(x)
	switch op {
	case "=", "<>":
		s := e.equal(col)
		if v, ok := constNumber(k); ok {
			if ce := e.cols[col.ID]; ce.bounded && (v < ce.lo || v > ce.hi) {
				s = 0
			}
		}
		if op == "<>" {
			return 1 - s
		}
		return s
	case "<", "<=", ">", ">=":
		ce := e.cols[col.ID]
		v, ok := constNumber(k)
		if !ok || !ce.bounded {
			return rangeShare
		}
		if ce.hi == ce.lo {
			return map[bool]float64{true: 1, false: 0}[op[0] == '<' && (v > ce.lo || v == ce.lo && op == "<=") || op[0] == '>' && (v < ce.lo || v == ce.lo && op == ">=")]
		}
		s := (v - ce.lo) / (ce.hi - ce.lo)
		if op[0] == '>' {
			s = 1 - s
		}
		if len(op) == 2 && ce.distinct > 0 {
			s += 1 / ce.distinct
		}
		return (1 - ce.nulls) * min(1, max(0, s))
	}
	if len(x.Args) == 2 {
		switch x.F.Op {
		case "=":
			if isConst(x.Args[0]) || isConst(x.Args[1]) {
				return equalShare
			}
			return 1 / max(e.distinct(x.Args[0]), e.distinct(x.Args[1]))
		case "<>":
			return 0.9
		case "<", "<=", ">", ">=":
			return rangeShare
		case "~~", "~~*":
			return likeShare
		case "!~~", "!~~*":
			return 1 - likeShare
		}
	}
	return unknownShare
}

// groups is the number of groups by keys.
func (e *estimate) groups(keys []Expr) float64 {
	if len(keys) == 0 {
		return 1
	}
	g := 1.0
	of := map[*Scan]float64{}
	for _, k := range keys {
		d := e.distinct(k)
		if c, ok := k.(*Column); ok {
			if ce := e.cols[c.ID]; ce.rel != nil && ce.relRows >= 1 {
				// Beyond what the relation has, more of its columns make no more groups.
				before := max(1, of[ce.rel])
				of[ce.rel] = min(before*d, max(before, ce.relRows))
				d = of[ce.rel] / before
			}
		}
		g *= d
	}
	return max(1, min(g, e.rows))
}

// counted reports that all keys of a grouping are columns whose distinct values
// the statistics tell.
func (s *estimator) counted(n *Aggregate) bool {
	in := s.of(n.In)
	for _, k := range n.Keys {
		c, ok := k.(*Column)
		if !ok || in.cols[c.ID].distinct == 0 {
			return false
		}
	}
	return true
}

func (s *estimator) aggregate(n *Aggregate) *estimate {
	in := s.of(n.In)
	e := &estimate{rows: in.groups(n.Keys), base: in.base, cols: map[ColID]colEstimate{}}
	for i, k := range n.Keys {
		if c, ok := k.(*Column); ok {
			e.cols[n.Out[i].ID] = in.cols[c.ID]
		} else {
			e.cols[n.Out[i].ID] = colEstimate{distinct: in.distinct(k)}
		}
	}
	e.rows += float64(len(n.Always))
	return e
}

// keysDivisor is by how much the product of two sides shrinks when keys must be
// equal: the distinct values of the richer side. Several keys together have no
// more of them than either side has rows to begin with.
func keysDivisor(l, r *estimate, lk, rk []Expr) float64 {
	d, most := 1.0, 1.0
	for i := range lk {
		x, y := l.distinct(lk[i]), r.distinct(rk[i])
		// What refers to a key has no more values than there are keys.
		if y > 0.95*r.rows {
			x = min(x, r.base)
		}
		if y = max(y, 1); l.distinct(lk[i]) > 0.95*l.rows {
			y = min(y, l.base)
		}
		x = max(x, y)
		d, most = d*x, max(most, x)
	}
	return max(most, min(d, l.base, r.base))
}

func (s *estimator) join(n *Join) *estimate {
	return s.joined(n, s.of(n.Left), s.of(n.Right))
}

// joined is the estimate of a join of sides with these.
func (s *estimator) joined(n *Join, l, r *estimate) *estimate {
	e := &estimate{cols: make(map[ColID]colEstimate, len(l.cols)+len(r.cols))}
	for id, c := range l.cols {
		e.cols[id] = c
	}
	inner := l.rows * r.rows / keysDivisor(l, r, n.LeftKeys, n.RightKeys)
	rest := 1.0
	for _, c := range conjuncts(nil, n.Cond) {
		if call, ok := c.(*Call); ok && call.F.Op == "<>" {
			rest *= 0.9
		} else {
			rest *= unknownShare
		}
	}
	inner *= rest
	switch n.Kind {
	case proto.Join_SEMI, proto.Join_ANTI:
		share := 1.0
		for i := range n.LeftKeys {
			share = min(share, r.distinct(n.RightKeys[i])/l.distinct(n.LeftKeys[i]))
		}
		share *= max(rest, 0.5)
		if n.Kind == proto.Join_ANTI {
			share = max(0.1, 1-share)
		}
		e.rows, e.base = l.rows*share, l.base
		return e
	case proto.Join_MARK:
		e.rows, e.base = l.rows, l.base
		return e
	}
	// Rows without a partner have NULLs: those whose keys are more than the other
	// side has.
	missing := func(cols map[ColID]colEstimate, kept, other float64) {
		share := max(0, 1-other/kept)
		for id, c := range cols {
			c.nulls = share + (1-share)*c.nulls
			e.cols[id] = c
		}
	}
	for id, c := range r.cols {
		e.cols[id] = c
	}
	if n.Kind == proto.Join_LEFT || n.Kind == proto.Join_FULL {
		missing(r.cols, l.groups(n.LeftKeys), r.groups(n.RightKeys))
	}
	if n.Kind == proto.Join_RIGHT || n.Kind == proto.Join_FULL {
		missing(l.cols, r.groups(n.RightKeys), l.groups(n.LeftKeys))
	}
	switch n.Kind {
	case proto.Join_LEFT:
		inner = max(inner, l.rows)
	case proto.Join_RIGHT:
		inner = max(inner, r.rows)
	case proto.Join_FULL:
		inner = max(inner, l.rows+r.rows/2)
	}
	e.rows, e.base = inner, max(inner, l.base, r.base)
	return e
}
