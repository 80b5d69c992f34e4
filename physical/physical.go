package physical

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// Operator yields batches; see the package comment for the contract.
type Operator interface {
	// Next returns a batch of at least one row, or nil at the end.
	Next(ctx context.Context) (*vector.Batch, error)
	// Close ends the operator and its inputs.
	Close() error
}

// Env is what the operators of one task share. It belongs to the goroutine that
// runs the task.
type Env struct {
	Task      *proto.TaskID // names TableWrite's files; may be nil on the coordinator
	TaskIndex int           // of the task in its stage
	Stage     int
	Query     *proto.QueryContext
	Splits    []*proto.TaskSplits // this task's own, by scan id
	// Exchange opens this task's partition of a stage's output: one source per
	// producer task, in task order.
	Exchange func(ctx context.Context, r *proto.ExchangeRead) ([]Source, error)
	// Input names the rows that this task reads of a stage, where other tasks read
	// the same; "" if they do not. It may be nil.
	Input func(stage uint32) string
	// Builds is what joins share with the query's other tasks; may be nil.
	Builds *SharedBuilds
	// UDF runs user code; nil refuses it.
	UDF UDFHost
	// Virtual reads a catalog table; set on the coordinator only.
	Virtual func(ctx context.Context, name string, columns []uint32) (Operator, error)
	// Functions is the template of the context that kernels get: seed, clock,
	// time zone, settings, catalog. It is copied.
	Functions *function.Ctx
	// Memory is the task's account; nil means without limit.
	Memory *Account
	// SpillDir is where spill files go; "" keeps everything in memory.
	SpillDir string
	// Stats collects figures per operator; may be nil.
	Stats *Recorder
	// Check wraps every operator in the invariants checker.
	Check bool

	fc      *function.Ctx
	outer   map[uint32]*vector.Batch // the row bound by each enclosing DependentJoin, by level
	work    map[uint32]*workRows     // of the enclosing RecursiveUnions, by table
	stats   *OperatorStats           // of the operator being built
	skip    *skipSet                 // of the operator being built, nil where rows cannot be left out
	closers []func() error           // streams to user code
	sites   map[int]*int64           // rows so far of each volatile call, in this task
}

// site returns the row counter of a volatile call. It outlives the operator: a
// DependentJoin builds its inner plan many times.
func (env *Env) site(n int) *int64 {
	if env.sites == nil {
		env.sites = map[int]*int64{}
	}
	if env.sites[n] == nil {
		env.sites[n] = new(int64)
	}
	return env.sites[n]
}

// onClose has f called when the task's operator tree is closed.
func (env *Env) onClose(f func() error) { env.closers = append(env.closers, f) }

// close ends the streams to user code, the last opened first.
func (env *Env) close() error {
	var first error
	for i := len(env.closers) - 1; i >= 0; i-- {
		if err := env.closers[i](); err != nil && first == nil {
			first = err
		}
	}
	env.closers = nil
	return first
}

// batchRows is the number of rows operators aim for in a batch.
func (env *Env) batchRows() int {
	if env.Query != nil && env.Query.BatchRows > 0 {
		return int(env.Query.BatchRows)
	}
	return vector.DefaultRows
}

// ctx returns the kernels' context of this task.
func (env *Env) ctx() *function.Ctx {
	if env.fc != nil {
		return env.fc
	}
	fc := &function.Ctx{}
	if env.Functions != nil {
		*fc = *env.Functions
	} else if q := env.Query; q != nil {
		fc.Seed, fc.Now, fc.User, fc.Database = q.Seed, q.NowUs, q.User, q.Database
		if loc, err := types.ParseSessionZone(q.TimeZone); err == nil {
			fc.Location = loc
		}
		fc.Setting = func(name string) (string, bool) { v, ok := q.Settings[name]; return v, ok }
	}
	if fc.Location == nil {
		fc.Location = time.UTC
	}
	fc.Stage, fc.Task = env.Stage, env.TaskIndex
	env.fc = fc
	return fc
}

// text returns the session's text settings.
func (env *Env) text() *types.TextOptions {
	o := types.DefaultText()
	o.Location = env.ctx().Location
	if env.Query != nil {
		o.Now = time.UnixMicro(env.Query.NowUs)
		if d, err := strconv.Atoi(env.Query.Settings["extra_float_digits"]); err == nil {
			o.ExtraFloatDigits = d
		}
		o.ByteaEscape = env.Query.Settings["bytea_output"] == "escape"
	}
	return &o
}

// TypeOf converts a type from the wire.
func TypeOf(t *proto.Type) types.Type {
	if t == nil {
		return types.T(types.Invalid)
	}
	return types.Type{ID: types.ID(t.Id), Elem: types.ID(t.Elem), Typmod: t.Typmod}.Defined(t.Definition)
}

// TypeProto converts a type to the wire.
func TypeProto(t types.Type) *proto.Type {
	return &proto.Type{Id: uint32(t.ID), Elem: uint32(t.Elem), Typmod: t.Typmod, Definition: t.Definition()}
}

// fieldTypes returns the types of an operator's output columns.
func fieldTypes(fs []*proto.Field) []types.Type {
	ts := make([]types.Type, len(fs))
	for i, f := range fs {
		ts[i] = TypeOf(f.Type)
	}
	return ts
}

// Build makes the operator tree of a task. The caller closes it.
func Build(ctx context.Context, env *Env, op *proto.Operator) (Operator, error) {
	if env.sites == nil {
		env.sites = map[int]*int64{} // shared with the copies that DependentJoin makes
	}
	b := &builder{env: env, ctx: ctx, scans: map[*proto.Operator]*scan{}}
	root, err := b.build(op)
	if err != nil {
		_ = env.close()
		return nil, err
	}
	return &tree{root: root, env: env}, nil
}

// tree is a whole operator tree: closing it ends what expressions have opened.
type tree struct {
	root   Operator
	env    *Env
	closed bool
}

func (t *tree) Next(ctx context.Context) (*vector.Batch, error) { return t.root.Next(ctx) }

func (t *tree) Close() error {
	if t.closed {
		return nil
	}
	t.closed = true
	err := t.root.Close()
	if e := t.env.close(); err == nil {
		err = e
	}
	return err
}

type builder struct {
	env   *Env
	ctx   context.Context
	scans map[*proto.Operator]*scan // built so far
}

// build makes one operator and its inputs; on failure the inputs are closed.
func (b *builder) build(op *proto.Operator) (Operator, error) {
	if op == nil {
		return nil, pgerr.New(pgerr.InternalError, "plan without an operator")
	}
	ins := make([]Operator, 0, len(op.Inputs))
	fail := func(err error) (Operator, error) {
		for _, in := range ins {
			_ = in.Close()
		}
		return nil, err
	}
	// A DependentJoin builds its inner plan itself, once per outer row, and a
	// RecursiveUnion once per round.
	_, dependent := op.Node.(*proto.Operator_DependentJoin)
	if _, ok := op.Node.(*proto.Operator_RecursiveUnion); ok {
		dependent = true
	}
	for i, in := range op.Inputs {
		if dependent && i == 1 {
			break
		}
		o, err := b.build(in)
		if err != nil {
			return fail(err)
		}
		ins = append(ins, o)
	}
	if need := arity(op); need >= 0 && len(op.Inputs) != need {
		return fail(pgerr.New(pgerr.InternalError, "operator %d has %d inputs instead of %d", op.Id, len(op.Inputs), need))
	}
	n := &node{env: b.env, op: op, ins: ins, types: fieldTypes(op.Fields)}
	n.stats = b.env.Stats.operator(op.Id)
	n.mem = b.env.Memory.Child(operatorName(op))
	n.mem.peak = n.stats
	b.env.stats = n.stats
	out, err := b.make(n)
	if err != nil {
		return fail(err)
	}
	if b.env.Check {
		out = &checker{in: out, types: n.types, name: operatorName(op)}
	}
	return &measured{in: out, stats: n.stats, mem: n.mem}, nil
}

// node is what a constructor gets: the plan's operator with its built inputs.
type node struct {
	env   *Env
	op    *proto.Operator
	ins   []Operator
	types []types.Type // of the output columns
	stats *OperatorStats
	mem   *Account
}

// inTypes returns the column types of input i.
func (n *node) inTypes(i int) []types.Type { return fieldTypes(n.op.Inputs[i].Fields) }

func (n *node) compile(e *proto.Expr, input int) (*Expr, error) {
	return Compile(n.env, e, n.inTypes(input))
}

func (n *node) compileAll(es []*proto.Expr, input int) ([]*Expr, error) {
	out := make([]*Expr, len(es))
	ts := n.inTypes(input)
	for i, e := range es {
		var err error
		if out[i], err = Compile(n.env, e, ts); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (n *node) closeInputs() error { return closeAll(n.ins) }

// closeAll closes every operator and returns the first error.
func closeAll(ops []Operator) error {
	var first error
	for _, o := range ops {
		if o == nil {
			continue
		}
		if err := o.Close(); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// cancelled returns the typed error of a context that has ended: its cause where
// that is one.
func cancelled(ctx context.Context) error {
	err := ctx.Err()
	if err == nil {
		return nil
	}
	var pe *pgerr.Error
	if errors.As(context.Cause(ctx), &pe) {
		return pe
	}
	return pgerr.From(err)
}
