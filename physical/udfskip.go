package physical

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	gproto "google.golang.org/protobuf/proto"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/udf"
	"github.com/volleydb/volley/vector"
)

// udfTolerant is a UDFScalar on which rows may fail; see udf.ScalarStream.
type udfTolerant interface {
	SetOnError(udf.OnError)
	TakeFailures() []udf.RowFailure
}

// udfTolerantGroups is a GroupedMapStream on which groups may fail; see
// udf.TolerantGroups.
type udfTolerantGroups interface {
	TakeFailures() []udf.GroupFailure
}

// leastGroups is what a stream of groups may hold where the budget is used up, by the
// sort below it that gives it the rows, say: groups of a few rows need next to nothing.
const leastGroups = 1 << 20

// groupOptions are those of a stream of groups whose bytes count in mem.
func (env *Env) groupOptions(ref *proto.UDF, mem *Account) udf.GroupOptions {
	held := int64(0)
	o := udf.GroupOptions{OnError: env.onError(ref), Charge: func(n int64) error {
		err := mem.Grow(n)
		if err != nil && held+n <= leastGroups {
			err = mem.Must(n)
		}
		if err == nil {
			held += n
		}
		return err
	}}
	o.MaxGroupBytes, _ = strconv.ParseInt(env.Query.GetSettings()["volley.max_group_bytes"], 10, 64) // "" = none
	return o
}

// openGroups opens a stream of groups.
func (env *Env) openGroups(ctx context.Context, ref *proto.UDF, o udf.GroupOptions) (GroupedMapStream, error) {
	s, err := env.UDF.GroupedMap(ctx, ref, o)
	if err != nil || o.OnError == udf.OnErrorFail {
		return s, err
	}
	if _, ok := s.(udfTolerantGroups); !ok {
		_ = s.Close()
		return nil, pgerr.New(pgerr.FeatureNotSupported, "volley.on_error is not supported for function %s", ref.Display)
	}
	return s, nil
}

// onError is what becomes of rows on which ref fails.
func (env *Env) onError(ref *proto.UDF) udf.OnError {
	return udf.OnErrorOf(ref, env.Query.GetSettings()["volley.on_error"])
}

// skipSet collects the rows of one batch of an operator that its expressions
// leave out. The operator's batches then have one column more, the number of
// each row: parts of a batch that CASE and the like select carry it along.
type skipSet struct {
	used bool
	rows map[int32]bool
}

func (s *skipSet) add(row int32) {
	if s.rows == nil {
		s.rows = map[int32]bool{}
	}
	s.rows[row] = true
}

// keep returns which of the rows 0 … n-1, or of those of passed if it is not nil,
// stay, and forgets the others.
func (s *skipSet) keep(n int, passed []int32) []int32 {
	if passed == nil {
		passed = allRows(n)
	}
	out := make([]int32, 0, len(passed))
	for _, r := range passed {
		if !s.rows[r] {
			out = append(out, r)
		}
	}
	clear(s.rows)
	return out
}

// skipping runs compile, which compiles expressions that are evaluated for every
// row of the operator's input; the result is nil unless they may leave rows out.
func (n *node) skipping(compile func() error) (*skipSet, error) {
	s := &skipSet{}
	before := n.env.skip
	n.env.skip = s
	err := compile()
	n.env.skip = before
	if !s.used {
		s = nil
	}
	return s, err
}

// numbered gives each batch the column of row numbers that a skipSet needs.
type numbered struct{ in Operator }

func (o *numbered) Next(ctx context.Context) (*vector.Batch, error) {
	b, err := o.in.Next(ctx)
	if b == nil || err != nil {
		return nil, err
	}
	return b.Append(vector.NewBatch([]*vector.Vector{vector.FromSlice(types.T(types.Int4), allRows(b.Rows()))}, b.Rows())), nil
}

func (o *numbered) Close() error { return o.in.Close() }

// withoutNumbers takes the column of numbered away again.
func withoutNumbers(b *vector.Batch) *vector.Batch {
	idx := make([]int, b.NumCols()-1)
	for i := range idx {
		idx[i] = i
	}
	return b.Project(idx)
}

// maxUDFErrors bounds the failed rows of an operator in a task that are kept with
// their arguments; more are counted, in one last entry.
const maxUDFErrors = 10_000

// failedRow notes a row, or a group, that failed.
func (s *OperatorStats) failedRow(e *proto.UDFError) {
	switch n := len(s.UDFErrors); {
	case n < maxUDFErrors:
		s.UDFErrors = append(s.UDFErrors, e)
	case n == maxUDFErrors:
		s.UDFErrors = append(s.UDFErrors, &proto.UDFError{Function: e.Function, Version: e.Version, Digest: e.Digest, Message: e.Message,
			Sqlstate: e.Sqlstate, Attempt: e.Attempt, AtUs: e.AtUs})
		fallthrough
	default:
		s.moreErrors++
		s.UDFErrors[maxUDFErrors].Message = fmt.Sprintf("%d more rows of this task failed; the last said: %s", s.moreErrors, e.Message)
	}
}

// attempt is the number of the task's attempt, from 1.
func (env *Env) attempt() uint32 { return env.Task.GetAttempt() + 1 }

// udf returns the figures of a function.
func (s *OperatorStats) udf(ref *proto.UDF) *proto.UDFStats {
	for _, u := range s.UDFs {
		if u.Function == ref.GetDisplay() && u.Version == ref.GetVersion() && u.Digest == ref.GetDigest() {
			return u
		}
	}
	u := &proto.UDFStats{Function: ref.GetDisplay(), Version: ref.GetVersion(), Digest: ref.GetDigest()}
	s.UDFs = append(s.UDFs, u)
	return u
}

// measure adds what the stream has measured since the last time.
func (x *udfCall) measure() {
	m, ok := x.stream.(udfMeasured)
	if !ok {
		return
	}
	f, l := m.Figures(), x.last
	x.last = f
	x.figures.Batches += f.Batches - l.Batches
	x.figures.UserNanos += f.UserNanos - l.UserNanos
	x.figures.QueueNanos += f.QueueNanos - l.QueueNanos
	x.figures.StartNanos += f.StartNanos - l.StartNanos
	x.figures.Restarts += f.Restarts - l.Restarts
	x.figures.Errors += f.Errors - l.Errors
}

// called notes a call of rows rows that took the time since start.
func (x *udfCall) called(rows int, start time.Time) {
	took := int64(time.Since(start))
	x.stats.UDFCalls++
	x.stats.UDFNanos += took
	x.figures.Calls++
	x.figures.Rows += int64(rows)
	x.figures.TotalNanos += took
	x.measure()
}

// tolerate deals with the rows that failed in the last call: they are written
// down, and left out if that is wanted. constant says that the call stands for all
// rows of b.
func (x *udfCall) tolerate(b *vector.Batch, constant bool) {
	t, ok := x.stream.(udfTolerant)
	if !ok || x.mode == udf.OnErrorFail {
		return
	}
	failed := t.TakeFailures()
	if len(failed) == 0 {
		return
	}
	for i := range failed {
		x.stats.failedRow(failed[i].Proto(x.ref, "", x.env.attempt()))
	}
	if x.skip == nil {
		return
	}
	numbers := b.Col(b.NumCols() - 1).Flatten()
	if constant {
		for _, r := range vector.Values[int32](numbers) {
			x.skip.add(r)
		}
		return
	}
	for i := range failed {
		x.skip.add(vector.At[int32](numbers, failed[i].Row))
	}
}

// tolerant prepares the stream for rows that fail.
func (x *udfCall) tolerant() error {
	if x.mode == udf.OnErrorFail {
		return nil
	}
	t, ok := x.stream.(udfTolerant)
	if !ok {
		return pgerr.New(pgerr.FeatureNotSupported, "volley.on_error is not supported for function %s", x.ref.Display)
	}
	t.SetOnError(x.mode)
	return nil
}

// cached answers a call of an immutable function on a dictionary column, and else
// constants, by calling it once per entry. out is nil where that does not apply or
// fails: the entry at fault may not be that of any row.
func (x *udfCall) cached(fc *function.Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
	if !x.dictionary(args) {
		return nil, nil
	}
	if err := x.open(fc.Context); err != nil {
		return nil, err
	}
	fresh := x.kept.out == nil
	if t, ok := x.stream.(udfTolerant); ok && x.mode != udf.OnErrorFail {
		t.SetOnError(udf.OnErrorFail)
		defer t.SetOnError(x.mode)
	}
	dict, out := x.ofEntries(fc, args, n)
	if out == nil {
		return nil, nil
	}
	hits := int64(n)
	if fresh {
		hits -= int64(dict.Child.Len)
	}
	x.figures.CacheHits += max(hits, 0)
	if x.typ.Phys() == types.PhysBytes && out.Form == vector.Flat && out.Valid == nil {
		return vector.FromDict(x.typ, dict.Codes, out).WithValid(dict.Valid), nil
	}
	v := vector.Gather(out.Flatten(), dict.Codes)
	return v.WithValid(vector.AndValid(v.Valid, dict.Valid, dict.Len)), nil
}

// dictionary reports whether a call may be made per entry of a dictionary: exactly
// one argument is one. A row's NULL is not an entry, so a function that is called
// with NULLs is not for it.
func (x *udfCall) dictionary(args []*vector.Vector) bool {
	if x.volatility != function.Immutable {
		return false
	}
	found := false
	for _, a := range args {
		switch {
		case a.Form == vector.Const:
		case a.Form == vector.Dict && !found && (x.strict || a.Valid == nil):
			found = true
		default:
			return false
		}
	}
	return found
}

// liftSkips makes calls in exprs that may leave rows out columns of n's input,
// computed by a projection that does: exprs are evaluated for every row. They are
// changed in place.
func (n *node) liftSkips(exprs ...*proto.Expr) error {
	var lifted []*proto.Expr
	width := len(n.op.Inputs[0].Fields)
	var lift func(e *proto.Expr)
	lift = func(e *proto.Expr) {
		switch x := e.GetNode().(type) {
		case *proto.Expr_Call:
			if x.Call.Udf != nil && n.env.onError(x.Call.Udf) == udf.OnErrorSkip {
				c := gproto.Clone(e).(*proto.Expr)
				e.Node = &proto.Expr_Column{Column: &proto.Column{Index: uint32(width + len(lifted))}}
				lifted = append(lifted, c)
				return
			}
			for _, a := range x.Call.Args {
				lift(a)
			}
		case *proto.Expr_Cast:
			lift(x.Cast.Arg)
		}
	}
	for _, e := range exprs {
		lift(e)
	}
	if len(lifted) == 0 {
		return nil
	}
	in := n.op.Inputs[0]
	p := &proto.Project{}
	fields := slices.Clone(in.Fields)
	for i, f := range in.Fields {
		p.Exprs = append(p.Exprs, &proto.Expr{Type: f.Type, Node: &proto.Expr_Column{Column: &proto.Column{Index: uint32(i)}}})
	}
	for _, e := range lifted {
		p.Exprs = append(p.Exprs, e)
		fields = append(fields, &proto.Field{Type: e.Type})
	}
	op := &proto.Operator{Id: n.op.Id, Fields: fields, Inputs: []*proto.Operator{in}, RowsEstimate: in.RowsEstimate, Node: &proto.Operator_Project{Project: p}}
	o, err := newProject(&node{env: n.env, op: op, ins: n.ins[:1], types: fieldTypes(fields), stats: n.stats, mem: n.mem}, p)
	if err != nil {
		return err
	}
	n.ins = append([]Operator{o}, n.ins[1:]...)
	c := &proto.Operator{Id: n.op.Id, Fields: n.op.Fields, Inputs: slices.Clone(n.op.Inputs), RowsEstimate: n.op.RowsEstimate, Node: n.op.Node}
	c.Inputs[0] = op
	n.op = c
	return nil
}

// callsSkipping reports whether an expression may leave rows out.
func (env *Env) callsSkipping(e *proto.Expr) bool {
	found := false
	var walk func(*proto.Expr)
	walk = func(e *proto.Expr) {
		switch x := e.GetNode().(type) {
		case *proto.Expr_Call:
			if x.Call.Udf != nil && env.onError(x.Call.Udf) == udf.OnErrorSkip {
				found = true
			}
			for _, a := range x.Call.Args {
				walk(a)
			}
		case *proto.Expr_Cast:
			walk(x.Cast.Arg)
		}
	}
	walk(e)
	return found
}

// liftAggregate is liftSkips for an aggregation; the plan's message stays as it is.
func (n *node) liftAggregate(op *proto.Aggregate) (*proto.Aggregate, error) {
	if op.Mode == proto.Aggregate_FINAL {
		return op, nil
	}
	any := slices.ContainsFunc(op.Keys, n.env.callsSkipping)
	for _, c := range op.Calls {
		any = any || slices.ContainsFunc(c.Args, n.env.callsSkipping) || n.env.callsSkipping(c.Filter)
	}
	if !any {
		return op, nil
	}
	op = gproto.Clone(op).(*proto.Aggregate)
	exprs := slices.Clone(op.Keys)
	for _, c := range op.Calls {
		if c.Filter != nil {
			// The arguments are evaluated for the rows that pass only.
			exprs = append(exprs, c.Filter)
			continue
		}
		exprs = append(exprs, c.Args...)
	}
	return op, n.liftSkips(exprs...)
}
