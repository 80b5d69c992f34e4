package worker

import (
	"context"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/volleydb/volley/exchange"
	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/physical"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/udf"
	"github.com/volleydb/volley/vector"
)

// RunnerConfig is what the operators of a worker's tasks share.
type RunnerConfig struct {
	UDF      physical.UDFHost // nil refuses user code
	SpillDir string           // for operators; "" keeps everything in memory
	Memory   int64            // of a query whose work_mem is 0; 0 = no limit
	Store    *exchange.Store  // whose outputs share the work_mem of their query; nil: they do not
	// Collector makes the garbage collector keep to the work_mem of the queries
	// that run, when all have one. It is the process' collector.
	Collector bool
	Check     bool // wrap every operator in the invariants checker
}

// Local is what a coordinator passes beside the plan, as Task.Local, to tasks of
// its own process.
type Local struct {
	// Virtual reads a catalog table.
	Virtual func(ctx context.Context, name string, columns []uint32) (physical.Operator, error)
	// Functions is the kernels' context, with the catalog; see physical.Env.
	Functions *function.Ctx
}

// NewRunner returns the Runner that runs plans on the operators of package
// physical. The tasks of a query share one memory account of work_mem bytes.
func NewRunner(cfg RunnerConfig) Runner {
	m := &queryMemory{accounts: map[string]*sharedAccount{}, share: cfg.Memory, store: cfg.Store}
	if cfg.Collector {
		m.collector = debug.SetMemoryLimit(-1)
	}
	return func(ctx context.Context, t *Task) (Pipeline, error) { return open(ctx, cfg, m, t) }
}

// operators is a Pipeline over an operator tree.
type operators struct {
	root    physical.Operator
	keys    []*physical.Expr
	ctx     context.Context                       // of Keys
	user    func(context.Context) context.Context // for what user code is called
	rec     *physical.Recorder
	release func()

	// The recorder's figures belong to the task's goroutine; others see the
	// latest snapshot.
	snapshot atomic.Pointer[[]*proto.OperatorStats]
	taken    time.Time

	input map[uint32]int64 // rows that a leaf is expected to read, by operator id
	total int64
	ended atomic.Bool
}

func open(ctx context.Context, cfg RunnerConfig, mem *queryMemory, t *Task) (Pipeline, error) {
	run := t.Run
	st, q := run.Stage, run.Context
	account := mem.acquire(q)
	p := &operators{ctx: ctx, rec: physical.NewRecorder(), input: map[uint32]int64{}}
	env := &physical.Env{
		Task: run.Id, TaskIndex: int(t.Key.Task), Stage: int(t.Key.Stage), Query: q, Splits: run.Splits,
		Exchange: t.Exchange, UDF: cfg.UDF, Memory: account.Child("task"),
		SpillDir: cfg.SpillDir, Stats: p.rec, Check: cfg.Check, Builds: account.builds,
		Input: func(stage uint32) string { return broadcastInput(run, stage) },
	}
	if l, ok := t.Local.(*Local); ok && l != nil {
		env.Virtual, env.Functions = l.Virtual, l.Functions
	}
	own := &udf.OwnProcesses{}
	p.release = sync.OnceFunc(func() {
		own.End()
		mem.release(q.QueryId)
	})
	p.user = func(ctx context.Context) context.Context {
		ctx = udf.WithQuery(ctx, q.QueryId)
		if run.Alone {
			ctx = own.With(ctx)
		}
		return ctx
	}
	root, err := physical.Build(p.user(ctx), env, st.Root)
	if err != nil {
		p.release()
		return nil, err
	}
	p.root = root
	if st.Output.GetKind() == proto.Partitioning_HASH && exchange.Count(st.Output) > 1 {
		ts := make([]types.Type, len(st.Root.Fields))
		for i, f := range st.Root.Fields {
			ts[i] = physical.TypeOf(f.Type)
		}
		for _, k := range st.Output.Keys {
			x, err := physical.Compile(env, k, ts)
			if err != nil {
				_ = p.Close()
				return nil, err
			}
			p.keys = append(p.keys, x)
		}
	}
	p.expect(st.Root, run)
	return p, nil
}

// broadcastInput names the outputs of a stage that a task reads, if they are not
// cut into partitions, so that other tasks read the same; "" otherwise. A task of
// a cut stage may read the first partition alone: its name is no other task's.
func broadcastInput(run *proto.RunTask, stage uint32) string {
	var name []byte
	for _, s := range run.Sources {
		if s.Producer.GetStage() != stage {
			continue
		}
		if len(s.Read) != 1 || s.Read[0] != 0 {
			return ""
		}
		name = append(append(name, exchange.KeyOf(s.Producer).String()...), '@')
		name = append(append(name, s.Incarnation...), ' ')
	}
	return string(name)
}

// expect notes how many rows the leaves are to read, for Progress.
func (p *operators) expect(op *proto.Operator, run *proto.RunTask) {
	rows := int64(0)
	switch n := op.GetNode().(type) {
	case *proto.Operator_Scan:
		if i := int(n.Scan.ScanId); i < len(run.Splits) {
			for _, s := range run.Splits[i].GetSplits() {
				rows += s.Rows
			}
		}
	case *proto.Operator_ExchangeRead:
		for _, s := range run.Sources {
			if s.Producer.GetStage() == n.ExchangeRead.Stage {
				for _, part := range s.Partitions {
					rows += part.Rows
				}
			}
		}
	}
	if rows > 0 {
		p.input[op.Id] = rows
		p.total += rows
	}
	for _, in := range op.GetInputs() {
		p.expect(in, run)
	}
}

// snapshotEvery bounds how often a running task's figures are copied.
const snapshotEvery = 200 * time.Millisecond

func (p *operators) note(force bool) {
	if now := time.Now(); force || now.Sub(p.taken) >= snapshotEvery {
		p.taken = now
		s := p.rec.Stats()
		p.snapshot.Store(&s)
	}
}

func (p *operators) Next(ctx context.Context) (*vector.Batch, error) {
	b, err := p.root.Next(p.user(ctx))
	p.note(b == nil)
	if b == nil && err == nil {
		p.ended.Store(true)
	}
	return b, err
}

func (p *operators) Keys(b *vector.Batch) ([]*vector.Vector, error) {
	out := make([]*vector.Vector, len(p.keys))
	for i, k := range p.keys {
		v, err := k.Eval(p.ctx, b)
		if err != nil {
			return nil, err
		}
		out[i] = v
	}
	return out, nil
}

func (p *operators) Stats() []*proto.OperatorStats {
	if s := p.snapshot.Load(); s != nil {
		return *s
	}
	return nil
}

func (p *operators) Progress() float64 {
	if p.ended.Load() {
		return 1
	}
	if p.total == 0 {
		return 0
	}
	done := int64(0)
	for _, s := range p.Stats() {
		done += min(s.Rows, p.input[s.Id])
	}
	return float64(done) / float64(p.total)
}

func (p *operators) Close() error {
	err := p.root.Close()
	p.rec.End()
	p.note(true)
	p.release()
	return err
}
