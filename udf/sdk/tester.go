package udf

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/volleydb/volley/udf/sdk/wire"
)

// Tester calls functions on Go values, as an engine would call them on columns. It is
// what package udftest, which tests are written with, is made of.
//
// Values are nil for NULL, Go values of the SDK's types, and int for all numbers.
// Results are bool, int64, float64, string, []byte, time.Time, Decimal, Interval,
// UUID, Clock, []any for arrays and composite values.
type Tester struct{ srv *Server }

// NewTester declares functions and runs their Init hooks.
func NewTester(decls ...Decl) (t *Tester, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%v", v)
		}
	}()
	t = &Tester{NewServer(decls...)}
	return t, t.srv.Init()
}

// Functions describe what was declared.
func (t *Tester) Functions() []wire.Function { return t.srv.Manifest().Functions }

// TestError is an error or a panic of user code with its place.
type TestError struct{ wire.ErrorMsg }

func (e *TestError) Error() string {
	s := e.Message
	if e.Row >= 0 {
		s = fmt.Sprintf("row %d: %s", e.Row+1, s)
	}
	if e.Group >= 0 {
		s = fmt.Sprintf("group %d: %s", e.Group+1, s)
	}
	if e.Detail != "" {
		s += " (" + e.Detail + ")"
	}
	return s
}

func (t *Tester) function(name string, kinds ...string) (*function, error) {
	f := t.srv.plugin.find(name)
	if f == nil {
		return nil, fmt.Errorf("there is no function %q", name)
	}
	for _, k := range kinds {
		if f.desc.Kind == k {
			return f, nil
		}
	}
	return nil, fmt.Errorf("function %q is of kind %s", name, f.desc.Kind)
}

// build makes columns of rows of values.
func build(f *function, types []Type, rows [][]any) (cols []*outCol, err error) {
	at, row := 0, 0
	defer func() {
		if v := recover(); v != nil {
			msg := fmt.Sprint(v)
			if e, ok := v.(error); ok {
				msg = e.Error()
			}
			err = fmt.Errorf("function %q: row %d, argument %d: %s", f.desc.Name, row+1, at+1, msg)
		}
	}()
	for _, t := range types {
		cols = append(cols, newOutCol("", t))
	}
	for r, vals := range rows {
		if len(vals) != len(types) {
			return nil, fmt.Errorf("function %q: row %d has %d values, want %d", f.desc.Name, r+1, len(vals), len(types))
		}
		for i, v := range vals {
			at, row = i, r
			emitValue(cols[i], fitted(types[i], v))
		}
	}
	return cols, nil
}

// fitted turns an int into the type's number.
func fitted(t Type, v any) any {
	n, ok := v.(int)
	if !ok {
		return v
	}
	switch t.base() {
	case Float64:
		return float64(n)
	case Float32:
		return float32(n)
	case TypeNumeric:
		return NewDecimal(int64(n), 0)
	}
	return v
}

// sql are the types with which SQL would declare a function: a time is a timestamp.
func sqlNames(ts []Type) []string {
	out := make([]string, len(ts))
	for i, t := range ts {
		out[i] = t.base().String()
		if t.base() == Time {
			out[i] = "timestamp"
		}
	}
	return out
}

// callable splits off the rows that are not given to the function, because of a NULL
// that it cannot take: their numbers stay out of kept.
func callable(f *function, rows [][]any) (sub [][]any, kept []int) {
rows:
	for r, vals := range rows {
		for i, v := range vals {
			if v == nil && i < len(f.args) && f.args[i]&Nullable == 0 {
				continue rows
			}
		}
		sub, kept = append(sub, vals), append(kept, r)
	}
	return sub, kept
}

func mems(cols []*outCol) []wire.Mem {
	out := make([]wire.Mem, len(cols))
	for i, c := range cols {
		out[i] = c.mem()
	}
	return out
}

// Scalar calls a scalar function on one batch.
func (t *Tester) Scalar(name string, rows [][]any) ([]any, error) {
	f, err := t.function(name, kindScalar)
	if err != nil {
		return nil, err
	}
	sub, kept := callable(f, rows)
	cols, err := build(f, f.args, sub)
	if err != nil {
		return nil, err
	}
	outName := sqlNames(f.out)
	l, err := t.srv.LocalScalar(name, sqlNames(f.args), outName[0])
	if err != nil {
		return nil, err
	}
	var direct []byte
	n := len(sub)
	if l.Direct() {
		direct = aligned(n * f.out[0].kind().Width())
	}
	res, fail, _ := l.Call(n, mems(cols), direct)
	if fail != nil {
		if fail.Row >= 0 && int(fail.Row) < len(kept) {
			fail.Row = int64(kept[fail.Row])
		}
		return nil, &TestError{*fail}
	}
	if direct != nil {
		res = wire.Mem{Kind: f.out[0].kind(), Rows: n, Data: direct}
	}
	if res.Rows != n {
		return nil, fmt.Errorf("function %q returned %d values for %d rows", name, res.Rows, n)
	}
	c := newColumn(&res, l.out, "")
	out := make([]any, len(rows))
	for i, r := range kept {
		out[r] = c.value(i)
	}
	return out, nil
}

// aligned is memory for values of up to eight bytes; not nil.
func aligned(n int) []byte { return make([]byte, n, max(n, 8)) }

// value is row i as a Go value.
func (c *column) value(i int) any {
	if c.isNull(i) {
		return nil
	}
	switch c.typ.base() {
	case Bool:
		return fixed[bool](c)[i]
	case Int16:
		return int64(fixed[int16](c)[i])
	case Int32:
		return int64(fixed[int32](c)[i])
	case Int64:
		return fixed[int64](c)[i]
	case Float32:
		return float64(fixed[float32](c)[i])
	case Float64:
		return fixed[float64](c)[i]
	case Date:
		return epochDate(fixed[int32](c)[i])
	case Time, TypeTimestamp, TypeTimestamptz:
		return epochTime(fixed[int64](c)[i])
	case TypeClock:
		return fixed[Clock](c)[i]
	case TypeInterval:
		return fixed[Interval](c)[i]
	case TypeUUID:
		return fixed[UUID](c)[i]
	case TypeNumeric:
		return fixed[Decimal](c)[i]
	}
	if c.typ.form() == structType {
		out := make([]any, len(c.kids))
		for k := range c.kids {
			out[k] = c.kids[k].value(i)
		}
		return out
	}
	offs := c.offsets()
	if c.typ.form() == listType {
		out := []any{}
		for e := offs[i]; e < offs[i+1]; e++ {
			out = append(out, c.kids[0].value(int(e)))
		}
		return out
	}
	b := c.bytes[offs[i]:offs[i+1]]
	if c.typ.base() == Bytes {
		return append([]byte{}, b...)
	}
	return string(b)
}

// TestStates are the states of an aggregate by the numbers of groups.
type TestStates struct {
	f   *function
	agg aggregate
	out Type
}

// Aggregate makes states.
func (t *Tester) Aggregate(name string) (*TestStates, error) {
	f, err := t.function(name, kindAggregate)
	if err != nil {
		return nil, err
	}
	outs, err := parseTypes(sqlNames(f.out), f.out)
	if err != nil {
		return nil, err
	}
	return &TestStates{f: f, agg: f.agg(), out: outs[0]}, nil
}

// guarded runs user code on columns.
func (s *TestStates) guarded(types []Type, cols []*outCol, n int, do func(c *call)) (err error) {
	var stream stream
	c := &call{n: n, row: -1, progress: &stream.progress, stop: &stream.stop}
	for i, m := range mems(cols) {
		c.args = append(c.args, newColumn(&m, types[i], ""))
		if i < len(s.f.desc.Args) {
			c.args[i].name = s.f.desc.Args[i].Name
		}
	}
	defer func() {
		if v := recover(); v != nil {
			err = &TestError{*placed(v, int64(c.row), -1, c.args, c.row)}
		}
	}()
	do(c)
	return nil
}

// Step folds rows into states; row i into that of groups[i].
func (s *TestStates) Step(rows [][]any, groups []int32, states int) error {
	sub, kept := callable(s.f, rows)
	cols, err := build(s.f, s.f.args, sub)
	if err != nil {
		return err
	}
	to := make([]int32, len(kept))
	for i, r := range kept {
		to[i] = groups[r]
	}
	types, err := parseTypes(sqlNames(s.f.args), s.f.args)
	if err != nil {
		return err
	}
	return s.guarded(types, cols, len(sub), func(c *call) {
		s.agg.grow(states)
		s.agg.step(c, to)
	})
}

// States writes the states from up to to as bytes.
func (s *TestStates) States(from, to int) (states [][]byte, err error) {
	err = s.guarded(nil, nil, 0, func(*call) {
		s.agg.grow(to)
		o := newOutCol("", Bytes)
		s.agg.state(o, from, to)
		m := o.mem()
		c := newColumn(&m, Bytes, "")
		for i := range to - from {
			states = append(states, c.value(i).([]byte))
		}
	})
	return states, err
}

// Merge folds states that were written into those of groups.
func (s *TestStates) Merge(states [][]byte, groups []int32, n int) error {
	o := newOutCol("", Bytes)
	for _, b := range states {
		o.appendBytes(b)
	}
	return s.guarded([]Type{Bytes}, []*outCol{o}, len(states), func(c *call) {
		s.agg.grow(n)
		s.agg.merge(c, groups)
	})
}

// Final returns the results of the groups from up to to.
func (s *TestStates) Final(from, to int) (vals []any, err error) {
	row := -1
	err = s.guarded(nil, nil, 0, func(*call) {
		s.agg.grow(to)
		o := newOutCol("", s.out)
		s.agg.final(o, from, to, &row)
		m := o.mem()
		c := newColumn(&m, s.out, "")
		for i := range to - from {
			vals = append(vals, c.value(i))
		}
	})
	if e, ok := err.(*TestError); ok && row >= 0 {
		e.Row, e.Group = -1, int64(from+row)
	}
	return vals, err
}

// TestFrame is rows on their way to a grouped map, a table function (each row a group
// of its own) or a window function (each group a partition). Ends are the rows before
// which groups end.
type TestFrame struct {
	Rows [][]any
	Ends []int32
}

// TestOutput is a row that a function emitted.
type TestOutput struct {
	Group int64
	Row   []any
}

// testConn takes the frames of a stream, which writes them from its own goroutine.
type testConn struct {
	s     *stream
	outs  []Type
	head  wire.Header
	data  []byte // of a Result: its payload, until the body comes
	rows  []TestOutput
	err   error
	freed chan struct{} // a token per frame that is done
	ended chan struct{}
}

func (c *testConn) Read([]byte) (int, error) { select {} }

func (c *testConn) Write(b []byte) (int, error) {
	if c.data != nil {
		c.result(b)
		c.data = nil
		return len(b), nil
	}
	if err := c.head.Get(b); err != nil {
		return 0, err
	}
	payload := b[wire.HeaderSize:]
	switch c.head.Type {
	case wire.Grow:
		sl := &c.s.outSl[c.head.Slot]
		sl.mem = make([]byte, 2*int(wireUint64(payload)))
		c.s.grown <- struct{}{}
	case wire.Result:
		if c.data = bytes.Clone(payload); c.head.Body == 0 {
			c.result(nil)
			c.data = nil
		}
	case wire.Done:
		c.freed <- struct{}{}
	case wire.Error:
		e := &TestError{}
		if err := json.Unmarshal(payload, &e.ErrorMsg); err != nil {
			c.err = err
		} else {
			c.err = e
		}
		close(c.ended)
	case wire.Finished:
		close(c.ended)
	}
	return len(b), nil
}

func wireUint64(b []byte) (n uint64) {
	for i := range 8 {
		n |= uint64(b[i]) << (8 * i)
	}
	return n
}

func (c *testConn) result(body []byte) {
	var m wire.BatchMsg
	if err := m.Parse(c.data); err != nil {
		c.err = err
		return
	}
	var groups []int32
	if m.Groups > 0 {
		g := column{n: int(m.Groups), data: body[m.GroupsAt:]}
		groups = fixed[int32](&g)
	}
	cols := make([]column, len(m.Cols))
	for i := range cols {
		mem := m.Cols[i].In(body, int(m.Rows))
		cols[i] = newColumn(&mem, c.outs[i], "")
	}
	for r := range int(m.Rows) {
		o := TestOutput{Group: m.Base}
		if r < len(groups) {
			o.Group += int64(groups[r])
		}
		for i := range cols {
			o.Row = append(o.Row, cols[i].value(r))
		}
		c.rows = append(c.rows, o)
	}
	c.s.free <- int(c.head.Slot)
}

// Groups runs a grouped map, a table function or a window function. The frames of
// window functions hold whole partitions and, behind the arguments, the two ends of
// each row's frame. columns are the output of a function that describes it.
func (t *Tester) Groups(name string, frames []TestFrame, columns Columns) ([]TestOutput, error) {
	f, err := t.function(name, kindGroupedMap, kindTable, kindWindow)
	if err != nil {
		return nil, err
	}
	args := f.args
	if f.desc.Kind == kindWindow {
		args = append(args[:len(args):len(args)], Int64, Int64)
	}
	o := &wire.OpenMsg{Function: name, Kind: f.desc.Kind, Args: sqlNames(f.args), Out: sqlNames(f.out)}
	if f.desc.Kind == kindWindow {
		o.Args = append(o.Args, Int64.String(), Int64.String())
	}
	if f.describe != nil {
		o.Out = nil
		for _, c := range columns {
			o.Out, o.OutNames = append(o.Out, c.Type.base().String()), append(o.OutNames, c.Name)
		}
	}
	conn := &testConn{freed: make(chan struct{}, len(frames)+1), ended: make(chan struct{})}
	srv := &server{plugin: &plugin{funcs: t.srv.plugin.funcs}, conn: conn}
	s, err := newStream(srv, 1, f, o)
	if err != nil {
		return nil, err
	}
	conn.s, conn.outs = s, s.outs
	for j := range s.outSl {
		s.outSl[j].mem = make([]byte, 64<<10)
		s.free <- j
	}
	var built []([]*outCol)
	for _, fr := range frames {
		cols, err := build(f, args, fr.Rows)
		if err != nil {
			return nil, err
		}
		built = append(built, cols)
	}
	srv.streams.Add(1)
	go func() {
		defer close(s.work)
		for i, fr := range frames {
			if i >= wire.InSlots {
				select {
				case <-conn.freed:
				case <-conn.ended:
					return
				}
			}
			w := frame{h: wire.Header{Type: wire.Batch, Flags: wire.OpRows, Slot: uint16(i % wire.InSlots), Seq: uint64(i + 1)}}
			size := layout(&w.msg, built[i], 0, len(fr.Rows), len(fr.Ends))
			mem := aligned(max(size, 8))
			if len(fr.Ends) > 0 {
				g := column{n: len(fr.Ends), data: mem}
				copy(fixed[int32](&g), fr.Ends)
			}
			fill(&w.msg, mem, built[i], 0, len(fr.Rows))
			s.in[w.h.Slot].mem = mem
			s.work <- w
		}
		s.work <- frame{h: wire.Header{Type: wire.End}}
		<-conn.ended
	}()
	s.run()
	return conn.rows, conn.err
}

// Describe returns the columns that a function computes from its arguments; nil
// stands for those that are not constant.
func (t *Tester) Describe(name string, args []any) (Columns, error) {
	f, err := t.function(name, kindGroupedMap, kindTable)
	if err != nil || f.describe == nil {
		return nil, err
	}
	types := make([]Type, len(f.args))
	for i, a := range f.args {
		types[i] = a | Nullable
	}
	cols, err := build(f, types, [][]any{args})
	if err != nil {
		return nil, err
	}
	s := &stream{fn: f, args: types}
	for i, m := range mems(cols) {
		s.cols = append(s.cols, newColumn(&m, types[i], f.desc.Args[i].Name))
	}
	return f.describe(&TableCall{g: &Group{s: s, to: 1}})
}

// SameValue compares two values as they come from a Tester, or as a test's author
// writes them: numbers by value, within tolerance (a share) if they are floats; NaN is
// itself.
func SameValue(got, want any, tolerance float64) bool {
	got, want = plain(got), plain(want)
	a, okA := got.(float64)
	b, okB := want.(float64)
	switch {
	case okA && okB:
		return a == b || math.IsNaN(a) && math.IsNaN(b) || math.Abs(a-b) <= tolerance*max(math.Abs(a), math.Abs(b))
	case okA != okB:
		return false
	}
	if x, ok := got.([]any); ok {
		y, ok := want.([]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for i := range x {
			if !SameValue(x[i], y[i], tolerance) {
				return false
			}
		}
		return true
	}
	if x, ok := got.(time.Time); ok {
		y, ok := want.(time.Time)
		return ok && x.Equal(y)
	}
	return got == want
}

// plain makes values comparable: all numbers are float64 as long as that is exact,
// bytes and the types of the SDK text.
func plain(v any) any {
	switch x := v.(type) {
	case int:
		return plain(int64(x))
	case int16:
		return float64(x)
	case int32:
		return float64(x)
	case int64:
		if int64(float64(x)) == x && x < 1<<53 && x > -1<<53 {
			return float64(x)
		}
		return fmt.Sprint(x)
	case float32:
		return float64(x)
	case []byte:
		return string(x)
	case JSON:
		return string(x)
	case JSONB:
		return string(x)
	case Timestamp:
		return x.Time
	case Timestamptz:
		return x.Time
	case Day:
		return x.Time
	case Decimal:
		return x.String()
	case Interval, UUID, Clock:
		return fmt.Sprint(x)
	case []string:
		return anys(x)
	case []int64:
		return anys(x)
	case []float64:
		return anys(x)
	}
	return v
}

func anys[T any](x []T) []any {
	out := make([]any, len(x))
	for i, v := range x {
		out[i] = v
	}
	return out
}
