package udf

import (
	"context"
	"io"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/udf/sdk/wire"
)

// HostConfig configures a Host.
type HostConfig struct {
	Store *Store
	// Fetch writes the bytes of an artifact that the store lacks; nil = there is
	// nowhere to fetch from.
	Fetch func(ctx context.Context, digest string, w io.Writer) (signatures []byte, err error)
	// MemoryFraction of the machine's (or cgroup's) memory is the limit of a
	// child whose functions set none; 0 = 0.25.
	MemoryFraction float64
	Logger         *slog.Logger // nil = slog.Default()
	TempDir        string       // for children's working directories; "" = the system's
	Procs          int          // GOMAXPROCS of a child; 0 = all
	NoSharedMemory bool         // send columns over the socket
	Worker         string       // how LogLine names this process
	// RecordDir is where the batches of calls that fail are kept for a debugger,
	// the last of them; "" keeps none.
	RecordDir string
	// IdleTimeout is how long a child may stay that nobody uses: functions are
	// replaced and dropped, and what they loaded should not stay for ever; 0 = 5 min.
	IdleTimeout time.Duration
}

// Host runs artifacts in child processes: one process per digest and memory
// limit. It is safe for concurrent use; the streams it gives out belong to one
// goroutine each, unless they say otherwise.
//
// When a child is lost, streams that were idle or that share the child with
// others fail with a Transient error, since the fault may be another's: a
// scalar call is then repeated on a fresh child, other streams are for the
// task's retry. A stream that was alone at work gets 38000 "plugin process
// exited". A child that crashes is started again after a pause that doubles with
// every crash.
type Host struct {
	cfg    HostConfig
	log    *slog.Logger
	memory int64 // limit of a child for which none is set, in bytes

	mu       sync.Mutex
	closed   bool
	slots    map[string]*childSlot
	children map[*child]struct{}
	starting sync.WaitGroup

	costs       rowCosts
	logs        logRing
	recordMu    sync.Mutex // of RecordDir
	lastPrivate uint64
	turns       map[string]chan struct{} // of functions with a concurrency limit
	linked      map[string]*linkedPlugin // by digest: functions of this program
	local       sync.WaitGroup           // goroutines that serve them

	closing     chan struct{} // closed by Close
	starts      chan startRequest
	stopSpawner chan struct{}
	spawnerDone chan struct{}
}

// childSlot is the place of the child for one digest and limit.
type childSlot struct {
	lock    chan struct{} // held while looking for or starting the child; a channel for ctx
	child   *child
	crashes int // in a row
	crashed time.Time
}

// Back-off after crashes, and the time after which they are forgotten.
const (
	minBackoff    = 50 * time.Millisecond
	maxBackoff    = time.Second
	forgetCrashes = 30 * time.Second
)

// NewHost makes a host. It starts no process yet.
func NewHost(c HostConfig) (*Host, error) {
	if c.Store == nil {
		return nil, pgerr.New(pgerr.InternalError, "udf: a host without an artifact store")
	}
	if c.MemoryFraction <= 0 || c.MemoryFraction > 1 {
		c.MemoryFraction = 0.25
	}
	if c.Procs <= 0 {
		c.Procs = runtime.GOMAXPROCS(0)
	}
	if c.IdleTimeout <= 0 {
		c.IdleTimeout = 5 * time.Minute
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	h := &Host{
		cfg: c, log: c.Logger, memory: int64(float64(machineMemory()) * c.MemoryFraction),
		slots:       map[string]*childSlot{},
		children:    map[*child]struct{}{},
		closing:     make(chan struct{}),
		starts:      make(chan startRequest),
		stopSpawner: make(chan struct{}),
		spawnerDone: make(chan struct{}),
	}
	go h.spawner()
	return h, nil
}

func errClosed() error {
	return pgerr.New(pgerr.AdminShutdown, "the server is shutting down")
}

// Close ends all children and waits until they and the host's goroutines are
// gone. Streams in use fail.
func (h *Host) Close() error {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		<-h.spawnerDone
		return nil
	}
	h.closed = true
	close(h.closing)
	h.mu.Unlock()
	h.starting.Wait()
	h.mu.Lock()
	var all []*child
	for c := range h.children {
		all = append(all, c)
	}
	h.mu.Unlock()
	for _, c := range all {
		c.kill(errClosed())
	}
	for _, c := range all {
		<-c.done
	}
	h.waitLocal()
	close(h.stopSpawner)
	<-h.spawnerDone
	return nil
}

// Children returns the process ids of the running children, for tests and
// monitoring; servers elsewhere have none.
func (h *Host) Children() []int {
	h.mu.Lock()
	defer h.mu.Unlock()
	var pids []int
	for c := range h.children {
		if c.cmd != nil {
			pids = append(pids, c.cmd.Process.Pid)
		}
	}
	return pids
}

// buried forgets a child that is gone.
func (h *Host) buried(c *child, crashed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.children, c)
	if crashed {
		for _, s := range h.slots {
			if s.child == c {
				if time.Since(s.crashed) > forgetCrashes {
					s.crashes = 0
				}
				s.crashes++
				s.crashed = time.Now()
			}
		}
	}
}

// get returns the running child of an artifact, starting it if need be.
// private, if it is not "", names a child that one stream has for itself.
func (h *Host) get(ctx context.Context, ref *proto.UDF, private string) (*child, error) {
	key, limit := h.slotKey(ref, private)
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return nil, errClosed()
	}
	slot := h.slots[key]
	if slot == nil {
		slot = &childSlot{lock: make(chan struct{}, 1)}
		h.slots[key] = slot
	}
	h.starting.Add(1)
	h.mu.Unlock()
	defer h.starting.Done()
	select {
	case slot.lock <- struct{}{}:
		defer func() { <-slot.lock }()
	case <-ctx.Done():
		return nil, pgerr.From(context.Cause(ctx))
	case <-h.closing:
		return nil, errClosed()
	}
	h.mu.Lock()
	c := slot.child
	pause := time.Duration(0)
	if slot.crashes > 0 && private == "" { // those of a private one are a search's, and bounded
		d := min(minBackoff<<min(slot.crashes-1, 10), maxBackoff)
		pause = d - time.Since(slot.crashed)
	}
	h.mu.Unlock()
	if c != nil && c.alive() {
		return c, nil
	}
	if c != nil {
		select { // its crash counts before its successor starts
		case <-c.done:
		case <-ctx.Done():
			return nil, pgerr.From(context.Cause(ctx))
		}
	}
	if pause > 0 {
		t := time.NewTimer(pause)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil, pgerr.From(context.Cause(ctx))
		case <-h.closing:
			return nil, errClosed()
		}
	}
	var fetch Fetch
	if h.cfg.Fetch != nil {
		fetch = func(ctx context.Context, w io.Writer) ([]byte, error) { return h.cfg.Fetch(ctx, ref.GetDigest(), w) }
	}
	release := h.cfg.Store.Pin(ref.GetDigest()) // as long as the child lives
	dir, err := h.cfg.Store.Ensure(ctx, ref.GetDigest(), fetch)
	if err != nil {
		release()
		return nil, err
	}
	m, path, err := readBundle(dir)
	if err != nil {
		release()
		return nil, err
	}
	c, err = h.start(ctx, m, dir, path, ref.GetDigest(), limit, release)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	slot.child = c
	h.mu.Unlock()
	return c, nil
}

// open opens a stream for ref: on the running child, or on a new one when that
// one is going away just now.
func (h *Host) open(ctx context.Context, ref *proto.UDF, kind string, outs []types.Type) (*stream, *wire.Function, error) {
	return h.openIn(ctx, ref, kind, outs, "")
}

// openIn is open on a private child, see get.
func (h *Host) openIn(ctx context.Context, ref *proto.UDF, kind string, outs []types.Type, private string) (*stream, *wire.Function, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, pgerr.From(context.Cause(ctx))
	}
	name, begin := displayName(ref), time.Now()
	for attempt := 0; ; attempt++ {
		c, err := h.get(ctx, ref, private)
		if err != nil {
			return nil, nil, err
		}
		m := Manifest{Functions: c.manifest.Functions}
		f, ok := m.Function(ref.GetSymbol())
		if !ok {
			return nil, nil, pgerr.New(pgerr.UndefinedFunction, "plugin %s has no function %q", c.label, ref.GetSymbol())
		}
		o := wire.OpenMsg{Function: f.Name, Kind: kind, Args: []string{}, Out: []string{}}
		for _, a := range ref.GetArgs() {
			t := typeFromProto(a)
			n, ok := sdkType(t, false)
			if !ok {
				return nil, nil, errType(t)
			}
			o.Args = append(o.Args, n)
		}
		decl := outs
		if kind == kindAggregate {
			decl = []types.Type{typeFromProto(ref.GetReturns())}
		}
		for _, t := range decl {
			n, ok := sdkType(t, true)
			if !ok {
				return nil, nil, errType(t)
			}
			o.Out = append(o.Out, n)
		}
		if kind == kindAggregate && ParseOnError(ref.GetOnError()) == OnErrorNull {
			o.OnError = wire.OnErrorNull
		}
		if f.Describes {
			for _, col := range ref.GetColumns() {
				o.OutNames = append(o.OutNames, col.GetName())
			}
		}
		key := ""
		if kind == kindScalar && private == "" {
			key = streamKey(ref)
			if s := c.unpark(ctx, key); s != nil {
				return s, f, nil
			}
		}
		s, err := c.open(ctx, o, name, outs, time.Duration(ref.GetTimeoutMs())*time.Millisecond)
		if err == nil {
			s.key = key
			s.figures.StartNanos = int64(time.Since(begin))
			s.goesOn = o.OnError != ""
			for _, a := range ref.GetArgs() {
				s.args = append(s.args, typeFromProto(a))
			}
			for _, c := range ref.GetColumns() {
				s.outNames = append(s.outNames, c.GetName())
			}
			return s, f, nil
		}
		if attempt >= 2 || pgerr.ClassOf(err) != pgerr.Transient {
			return nil, nil, err
		}
	}
}

func errType(t types.Type) error {
	return pgerr.New(pgerr.FeatureNotSupported, "functions in Go cannot have values of type %s", t).
		WithHint("Supported are boolean, the number types, text, varchar, bytea, json, jsonb, uuid, dates, times and intervals, arrays and composite types of these; cast other types, an enum to text for example.")
}
