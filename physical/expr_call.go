package physical

import (
	"context"
	"time"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/udf"
	"github.com/volleydb/volley/vector"
)

// call compiles a scalar function call, of a built-in or of user code.
func (c *compiler) call(n *proto.Call, t types.Type) (evaluator, error) {
	args, err := c.all(n.Args)
	if err != nil {
		return nil, err
	}
	x := &call{args: args, typ: t, site: int(n.Site), pos: int(n.Position)}
	if n.Function == "" {
		if n.Udf == nil {
			return nil, pgerr.New(pgerr.InternalError, "call without a function")
		}
		if c.env.UDF == nil {
			return nil, pgerr.New(pgerr.FeatureNotSupported, "function %s cannot be called here", n.Udf.Display)
		}
		x.strict, x.volatility = n.Udf.Strict, function.Volatility(n.Udf.Volatility)
		return newUDFCall(c.env, *x, n.Udf)
	}
	f, ok := function.ByID(n.Function)
	if !ok || f.Eval == nil {
		return nil, pgerr.New(pgerr.InternalError, "unknown function %s in a plan", n.Function)
	}
	x.fn, x.strict, x.volatility = f.Eval, f.Strict, f.Volatility
	if f.Volatility == function.Volatile {
		x.rows = c.env.site(x.site)
	}
	if f.Volatility == function.Immutable {
		return c.fold(x, args...), nil
	}
	return x, nil
}

// worth reports whether to evaluate the entries of v's dictionary, if out does not
// have them already. Unless the results are lasting they serve these rows only.
func (k *entries) worth(v *vector.Vector, lasting bool) bool {
	size := v.Child.Len
	if !lasting {
		*k = entries{}
		return size > 0 && size <= v.Len/2
	}
	if k.dict != v.Child {
		*k = entries{dict: v.Child}
	}
	k.rows += v.Len
	// A large dictionary pays when the batches to come use it as well.
	return k.out != nil || !k.bad && size > 0 && (size <= v.Len/2 || size <= 2*k.rows)
}

// call evaluates a built-in.
type call struct {
	fn         function.EvalFunc
	args       []evaluator
	typ        types.Type
	strict     bool
	noNulls    bool // not strict, but ofEntries is asked only where no row is NULL
	volatility function.Volatility
	site       int
	pos        int
	rows       *int64 // that this site has produced in this task
	kept       entries
}

// entries are a call's results for the entries of a dictionary, which the batches
// of a column chunk share.
type entries struct {
	dict *vector.Vector
	out  *vector.Vector // nil: not known, or failed
	bad  bool
	rows int // that were evaluated without
}

// evalArgs evaluates the arguments. done is the result when a strict function
// has a constant NULL; constant says that all arguments are Const.
func (x *call) evalArgs(fc *function.Ctx, b *vector.Batch) (args []*vector.Vector, constant bool, done *vector.Vector, err error) {
	args = make([]*vector.Vector, len(x.args))
	constant = true
	for i, a := range x.args {
		if args[i], err = a.eval(fc, b); err != nil {
			return nil, false, nil, err
		}
		if args[i].Form != vector.Const {
			constant = false
		} else if x.strict && args[i].IsNull(0) && done == nil {
			// The other arguments are still evaluated: they may raise errors.
			done = vector.NewNull(x.typ, b.Rows())
		}
	}
	return args, constant, done, nil
}

func (x *call) eval(fc *function.Ctx, b *vector.Batch) (*vector.Vector, error) {
	v, dict, err := x.evalDict(fc, b)
	if err != nil || dict == nil {
		return v, err
	}
	if x.typ.Phys() == types.PhysBytes && v.Form == vector.Flat && v.Valid == nil {
		return vector.FromDict(x.typ, dict.Codes, v).WithValid(dict.Valid), nil
	}
	v = vector.Gather(v.Flatten(), dict.Codes)
	return v.WithValid(vector.AndValid(v.Valid, dict.Valid, dict.Len)), nil
}

// evalDict is eval that need not spread results over rows: where dict is not nil, v
// has those of the entries of that dictionary column.
func (x *call) evalDict(fc *function.Ctx, b *vector.Batch) (v, dict *vector.Vector, err error) {
	n := b.Rows()
	args, constant, done, err := x.evalArgs(fc, b)
	if err != nil {
		return nil, nil, err
	}
	if n == 0 {
		return vector.New(x.typ, 0), nil, nil
	}
	if x.volatility == function.Volatile {
		fc.Site, fc.Rows = x.site, *x.rows
		*x.rows += int64(n)
		constant = false
	}
	if done != nil {
		return done, nil, nil
	}
	if constant {
		for i := range args {
			args[i] = vector.Slice(args[i], 0, 1)
		}
		out, err := x.apply(fc, args, 1)
		if err != nil {
			return nil, nil, err
		}
		return vector.NewConst(out, n), nil, nil
	}
	if dict, out := x.ofEntries(fc, args, n); out != nil {
		return out, dict, nil
	}
	for i := range args {
		args[i] = flat(args[i])
	}
	v, err = x.apply(fc, args, n)
	return v, nil, err
}

// ofEntries evaluates a call with one dictionary column, which it returns, and else
// constants once per dictionary entry. out is nil where that does not apply, or when
// it fails: the entry at fault may not be referenced by any row.
func (x *call) ofEntries(fc *function.Ctx, args []*vector.Vector, n int) (dict, out *vector.Vector) {
	if !x.strict && !x.noNulls || x.volatility == function.Volatile {
		return nil, nil
	}
	at, lasting := -1, true
	for i, a := range args {
		switch {
		case a.Form == vector.Const:
			_, fixed := x.args[i].(*constant)
			lasting = lasting && fixed
		case a.Form == vector.Dict && at < 0:
			at = i
		default:
			return nil, nil
		}
	}
	if at < 0 || args[at].Child.Len == 0 {
		return nil, nil
	}
	dict = args[at]
	size := dict.Child.Len
	if !x.kept.worth(dict, lasting) {
		return nil, nil
	}
	if x.kept.out != nil {
		return dict, x.kept.out
	}
	sub := make([]*vector.Vector, len(args))
	for i, a := range args {
		if i == at {
			sub[i] = dict.Child.Retype(dict.Type)
			continue
		}
		k := *a
		k.Len = size
		sub[i] = &k
	}
	out, err := x.apply(fc, sub, size)
	if err != nil {
		x.kept.bad = lasting
		return nil, nil
	}
	if lasting {
		x.kept.out = out
	}
	return dict, out
}

// dictEvaluator is an evaluator with evalDict.
type dictEvaluator interface {
	evalDict(fc *function.Ctx, b *vector.Batch) (v, dict *vector.Vector, err error)
}

// trueRows returns the rows of b for which the condition is true.
func (x *Expr) trueRows(ctx context.Context, b *vector.Batch) ([]int32, error) {
	if d, ok := x.root.(dictEvaluator); ok {
		if ctx != nil {
			x.fc.Context = ctx
		}
		v, dict, err := d.evalDict(x.fc, b)
		switch {
		case err != nil:
			return nil, err
		case dict != nil:
			return trueCodes(dict, v), nil
		}
		return trueRows(flat(v)), nil
	}
	v, err := x.Eval(ctx, b)
	if err != nil {
		return nil, err
	}
	return trueRows(flat(v)), nil
}

// trueCodes returns the rows of dict for whose entry holds is true.
func trueCodes(dict, holds *vector.Vector) []int32 {
	holds = holds.Flatten()
	pass := make([]uint8, holds.Len)
	for i, t := range vector.Values[bool](holds) {
		if t && !holds.IsNull(i) {
			pass[i] = 1
		}
	}
	rows := dirtyRows(dict.Len)
	k := 0
	if dict.Valid == nil {
		for i, c := range dict.Codes[:dict.Len] {
			rows[k] = int32(i)
			k += int(pass[c])
		}
		return rows[:k]
	}
	for i, c := range dict.Codes[:dict.Len] {
		rows[k] = int32(i)
		k += int(pass[c] & (dict.Valid[i>>3] >> (i & 7)))
	}
	return rows[:k]
}

// apply calls the kernel and merges the NULLs of a strict function.
func (x *call) apply(fc *function.Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
	out, err := x.fn(fc, args, n)
	if err != nil {
		return nil, positioned(err, x.pos)
	}
	if out.Len != n {
		return nil, pgerr.New(pgerr.InternalError, "a kernel gave %d rows instead of %d", out.Len, n)
	}
	out = out.Retype(x.typ)
	if x.strict {
		var valid []byte
		for _, a := range args {
			if a.Valid != nil {
				valid = vector.AndValid(valid, a.RowValid(), n)
			}
		}
		if valid != nil {
			if out.Form == vector.Const {
				out = out.Flatten()
			}
			out = out.WithValid(vector.AndValid(out.Valid, valid, n))
		}
	}
	return out, nil
}

// udfCall evaluates user code. The host is asked for the function at the first
// batch, so that a plan compiles without starting anything; the stream is closed
// with the task.
type udfCall struct {
	call
	env    *Env
	ref    *proto.UDF
	stats  *OperatorStats
	stream UDFScalar

	pending []udfTicket // see ahead
	unpiped bool        // stream is no UDFPipeline

	mode    udf.OnError
	skip    *skipSet // where rows that fail are left out
	figures *proto.UDFStats
	last    udf.Figures    // of stream, that figures has
	once    *vector.Vector // of arguments that are constants of the plan
}

func newUDFCall(env *Env, base call, ref *proto.UDF) (*udfCall, error) {
	x := &udfCall{call: base, env: env, ref: ref, stats: env.stats, mode: env.onError(ref)}
	if x.stats == nil {
		x.stats = &OperatorStats{}
	}
	x.figures, x.noNulls = x.stats.udf(ref), true
	x.fn = func(fc *function.Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
		for i := range args {
			args[i] = flat(args[i])
		}
		start := time.Now()
		out, err := x.stream.Call(fc.Context, args, n)
		x.called(n, start)
		if err != nil {
			return nil, err
		}
		return x.checked(out, n)
	}
	if x.mode == udf.OnErrorSkip {
		if env.skip == nil {
			return nil, pgerr.New(pgerr.FeatureNotSupported, "volley.on_error = skip is not supported where function %s is called here", ref.Display).
				WithHint("Call it in the select list or the WHERE of a subquery.").At(x.pos)
		}
		x.skip = env.skip
		x.skip.used = true
	}
	return x, nil
}

func (x *udfCall) open(ctx context.Context) (err error) {
	if x.stream != nil {
		return nil
	}
	if x.stream, err = x.env.UDF.Scalar(ctx, x.ref); err != nil {
		x.stream = nil
		return err
	}
	x.last = udf.Figures{}
	x.measure()
	x.env.onClose(x.stream.Close)
	return x.tolerant()
}

func (x *udfCall) eval(fc *function.Ctx, b *vector.Batch) (*vector.Vector, error) {
	n := b.Rows()
	if len(x.pending) > 0 {
		if out, ok, err := x.collect(fc.Context, b); err != nil || ok {
			return out, err
		}
	}
	args, constant, done, err := x.evalArgs(fc, b)
	if err != nil || done != nil {
		return done, err
	}
	if n == 0 {
		return vector.New(x.typ, 0), nil
	}
	constant = constant && x.volatility != function.Volatile
	if constant && x.once != nil {
		x.figures.CacheHits += int64(n)
		return vector.NewConst(x.once, n), nil
	}
	if out, err := x.cached(fc, args, n); out != nil || err != nil {
		return out, err
	}
	if err := x.open(fc.Context); err != nil {
		return nil, positioned(err, x.pos)
	}
	rows := n
	if constant {
		rows = 1
	}
	for i := range args {
		if constant {
			args[i] = vector.Slice(args[i], 0, 1)
		}
		args[i] = flat(args[i])
	}
	start := time.Now()
	out, err := x.stream.Call(fc.Context, args, rows)
	x.called(rows, start)
	errors := x.figures.Errors
	x.tolerate(b, constant)
	if err != nil {
		return nil, positioned(err, x.pos)
	}
	if out, err = x.checked(out, rows); err == nil && constant {
		if errors == 0 && x.settledConst() {
			x.once = out
		}
		out = vector.NewConst(out, n)
	}
	return out, err
}

// settledConst reports whether all arguments are constants of the plan.
func (x *udfCall) settledConst() bool {
	for _, a := range x.args {
		if _, ok := a.(*constant); !ok {
			return false
		}
	}
	return true
}

// viable reports whether cached would answer, without changing what is kept.
func (x *udfCall) viable(args []*vector.Vector) bool {
	for _, a := range args {
		if a.Form == vector.Dict {
			size := a.Child.Len
			return size > 0 && (x.kept.dict == a.Child && x.kept.out != nil || size <= a.Len/2 && !(x.kept.dict == a.Child && x.kept.bad))
		}
	}
	return false
}

// checked is a result of rows rows as the type that the plan says.
func (x *udfCall) checked(out *vector.Vector, rows int) (*vector.Vector, error) {
	if out.Len != rows || out.Type.Phys() != x.typ.Phys() {
		return nil, pgerr.New(pgerr.ExternalRoutineInvocationError,
			"function %s returned %d rows of %s for %d rows of %s", x.ref.Display, out.Len, out.Type, rows, x.typ)
	}
	return out.Retype(x.typ), nil
}
