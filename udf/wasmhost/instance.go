package wasmhost

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/sys"

	"github.com/volleydb/volley/udf/sdk/wire"
)

// randomSource is the system's random numbers.
type randomSource struct{}

func (randomSource) Read(b []byte) (int, error) { return rand.Read(b) }

// item is a frame for an instance: header and payload, and the columns that
// follow it, in memory that stays until the module has said Done.
type item struct {
	h    wire.Header
	head []byte
	body []byte
}

// instance is one instance of the module and the goroutine that is in it.
type instance struct {
	e    *engine
	mod  api.Module
	mem  *linear
	log  *output
	out  io.Writer                                               // what the module prints; nil: log
	emit func(in *instance, h wire.Header, payload, body []byte) // a frame from the module
	slot func(in *instance, j, n int) []byte                     // where the columns of a Result go
	// region is a slot of the stream in the memory that is shared with the host; zero:
	// there is none.
	region func(in *instance, out bool, j int) region

	mu     sync.Mutex
	cond   *sync.Cond
	queue  []item
	closed bool

	// Of the goroutine.
	cur, body []byte // what recv gives out next
	began     time.Time
	frame     []byte // what send has of a frame
	head      wire.Header
	dst       []byte // rest of the place of the frame's body
	whole     []byte // the place
	left      int    // rest of the body
	placed    map[slotName]placement

	progressAt atomic.Uint32
	stopAt     atomic.Uint32 // what to raise when the stream is cancelled; 0: nothing
	calls      atomic.Uint64
	reported   uint64 // of the child's ticker
	idleSince  time.Time
}

func (e *engine) newInstance(log *output) *instance {
	in := &instance{e: e, mem: &linear{limit: uint64(e.cfg.limit), file: wire.MemoryFD}, log: log}
	in.cond = sync.NewCond(&in.mu)
	return in
}

// slotName names a slot, and placement says where in the module's memory it lies.
type slotName struct {
	out bool
	j   int
}

type placement struct {
	at, size uint32
	region   region
}

// lay lays a slot over the module's memory at address at, so that its columns need
// not be copied; false: the module cannot have it there. Without at the memory is
// the module's own again.
func (in *instance) lay(p slotName, at, size uint32) bool {
	if old, ok := in.placed[p]; ok {
		in.mem.reclaim(old.at, old.size)
		delete(in.placed, p)
	}
	if at == 0 || in.region == nil {
		return false
	}
	r := in.region(in, p.out, p.j)
	if r.mem == nil || int(size) != len(r.mem) || uint64(at)+uint64(size) > uint64(in.mod.Memory().Size()) ||
		in.mem.lay(at, size, r.off) != nil {
		return false
	}
	if in.placed == nil {
		in.placed = map[slotName]placement{}
	}
	in.placed[p] = placement{at, size, r}
	return true
}

// reclaim makes the memory of all slots the module's own.
func (in *instance) reclaim() {
	for p := range in.placed {
		in.lay(p, 0, 0)
	}
}

type instanceKey struct{}

// run makes the instance and stays in it until the module ends; its error is what
// ended it. args are the module's.
func (in *instance) run(main func(ctx context.Context) error, args ...string) (err error) {
	in.e.tokens <- struct{}{}
	defer func() { <-in.e.tokens }()
	if in.out == nil {
		in.out = in.log
	}
	ctx := context.WithValue(context.Background(), instanceKey{}, in)
	in.mod, err = in.e.rt.InstantiateModule(experimental.WithMemoryAllocator(ctx, in.mem), in.e.mod, in.e.moduleConfig(in.out, in.log, args...))
	if err != nil {
		return err
	}
	defer in.mod.Close(ctx)
	if main != nil {
		return main(ctx)
	}
	_, err = in.mod.ExportedFunction("_start").Call(ctx)
	return err
}

// push gives the instance a frame.
func (in *instance) push(it item) {
	in.mu.Lock()
	in.queue = append(in.queue, it)
	in.mu.Unlock()
	in.cond.Signal()
}

// end makes the module's next recv the end of its input.
func (in *instance) end() {
	in.mu.Lock()
	in.closed = true
	in.mu.Unlock()
	in.cond.Signal()
}

// pop waits for the next frame; ok is false at the end. Waiting, the instance
// gives its processor to others.
func (in *instance) pop() (it item, ok bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.queue) == 0 && !in.closed {
		<-in.e.tokens
		for len(in.queue) == 0 && !in.closed {
			in.cond.Wait()
		}
		in.mu.Unlock()
		in.e.tokens <- struct{}{}
		in.mu.Lock()
	}
	if len(in.queue) == 0 {
		return it, false
	}
	it = in.queue[0]
	in.queue = append(in.queue[:0], in.queue[1:]...)
	return it, true
}

// recv copies what is next of the frames into p; 0 at the end. A call does not
// reach from a frame's payload into its body, so that bodies are copied straight
// to their place in the module.
func (in *instance) recv(p []byte) int {
	if len(in.cur) == 0 {
		if len(in.body) > 0 {
			in.cur, in.body = in.body, nil
		} else {
			it, ok := in.pop()
			if !ok {
				return 0
			}
			in.cur, in.body = it.head, it.body
			if it.h.Type == wire.Batch {
				in.began = time.Now()
				if p, ok := in.placed[slotName{false, int(it.h.Slot)}]; ok && len(it.body) > 0 && &it.body[0] == &p.region.mem[0] {
					it.h.Body, in.body = 0, nil // it is there
					it.h.Put(in.cur)
				}
			}
		}
	}
	n := copy(p, in.cur)
	in.cur = in.cur[n:]
	return n
}

// send takes the next bytes of the module's frames.
func (in *instance) send(p []byte) error {
	for len(p) > 0 {
		if in.left > 0 {
			n := min(in.left, len(p))
			copy(in.dst, p[:n])
			in.dst, in.left, p = in.dst[n:], in.left-n, p[n:]
			if in.left == 0 {
				in.forward()
			}
			continue
		}
		want := wire.HeaderSize
		if len(in.frame) >= want {
			want += int(in.head.Len)
		}
		n := min(want-len(in.frame), len(p))
		in.frame = append(in.frame, p[:n]...)
		p = p[n:]
		if len(in.frame) == wire.HeaderSize && n > 0 {
			if err := in.head.Get(in.frame); err != nil {
				return err
			}
			if in.head.Type < wire.Hello {
				return fmt.Errorf("frame of type %d", in.head.Type)
			}
			want += int(in.head.Len)
		}
		if len(in.frame) < want || len(in.frame) < wire.HeaderSize {
			continue
		}
		in.whole = nil
		if in.left = int(in.head.Body); in.left == 0 {
			in.forward()
			continue
		}
		if in.head.Type != wire.Result {
			return fmt.Errorf("frame of type %d with columns", in.head.Type)
		}
		in.whole = in.slot(in, int(in.head.Slot), in.left)
		if in.whole == nil {
			return fmt.Errorf("result of %d bytes in slot %d", in.left, in.head.Slot)
		}
		in.dst = in.whole
	}
	return nil
}

// forward sends on the frame that send has put together.
func (in *instance) forward() {
	payload := in.frame[wire.HeaderSize:]
	if in.e.cfg.frozen && in.head.Type == wire.Result && len(payload) >= 32 && in.head.Flags&wire.FlagLast != 0 {
		// The module's clock tells it nothing of what a batch costs.
		binary.LittleEndian.PutUint64(payload[24:], uint64(time.Since(in.began)))
	}
	in.calls.Add(1)
	in.emit(in, in.head, payload, in.whole)
	in.frame, in.whole, in.dst = in.frame[:0], nil, nil
}

// steps is a number that changes when the module advances.
func (in *instance) steps() uint64 {
	return in.calls.Load() + in.mem.counter(in.progressAt.Load())
}

func instanceOf(ctx context.Context) *instance { return ctx.Value(instanceKey{}).(*instance) }

// moduleBytes is n bytes of the module's memory; outside of it the module traps.
func moduleBytes(mod api.Module, at, n uint64) []byte {
	mem := mod.Memory()
	if mem == nil {
		panic(errors.New("the module has no memory"))
	}
	b, ok := mem.Read(uint32(at), uint32(n))
	if !ok {
		panic(errors.New("out of bounds memory access"))
	}
	return b
}

func hostRecv(ctx context.Context, mod api.Module, stack []uint64) {
	stack[0] = uint64(instanceOf(ctx).recv(moduleBytes(mod, stack[0], stack[1])))
}

func hostSend(ctx context.Context, mod api.Module, stack []uint64) {
	if err := instanceOf(ctx).send(moduleBytes(mod, stack[0], stack[1])); err != nil {
		panic(err)
	}
}

func hostSlot(ctx context.Context, _ api.Module, stack []uint64) {
	ok := instanceOf(ctx).lay(slotName{uint32(stack[0]) != 0, int(uint32(stack[1]))}, uint32(stack[2]), uint32(stack[3]))
	if stack[0] = 0; ok {
		stack[0] = 1
	}
}

func hostProgress(ctx context.Context, _ api.Module, stack []uint64) {
	instanceOf(ctx).progressAt.Store(uint32(stack[0]))
}

func hostStop(ctx context.Context, _ api.Module, stack []uint64) {
	instanceOf(ctx).stopAt.Store(uint32(stack[0]))
}

// ended describes how a module ended that should not have.
func (in *instance) ended(err error) *wire.ErrorMsg {
	m := &wire.ErrorMsg{Code: "38000", Row: -1, Group: -1, Panic: true}
	said := in.log.tail()
	var exit *sys.ExitError
	switch {
	case err == nil:
		m.Message = "the module ended"
	case errors.As(err, &exit):
		m.Message = fmt.Sprintf("the module exited with status %d", exit.ExitCode())
	default:
		first, trace, _ := strings.Cut(err.Error(), "\n")
		m.Message = "the module trapped: " + strings.TrimPrefix(first, "wasm error: ")
		m.Message = strings.TrimSuffix(m.Message, " (recovered by wazero)")
		if said == "" {
			said = clip(strings.TrimSpace(trace), 1<<10)
		}
	}
	if said != "" {
		m.Detail = "Last output: " + said
	}
	if in.mem.full.Load() || strings.Contains(said, "out of memory") {
		m.Code = "53200"
		m.Message = fmt.Sprintf("the module needs more memory than its limit of %d MB", in.e.cfg.limit>>20)
		m.Hint = "Raise the limit with ALTER FUNCTION … SET volley.memory, or keep less in the function."
	}
	return m
}

func clip(s string, n int) string {
	if len(s) > n {
		return strings.ToValidUTF8(s[:n], "") + "…"
	}
	return s
}

// output passes on what an instance prints, and keeps the part of it that
// explains an end: from the line in which Go says what is wrong, else the last.
type output struct {
	w io.Writer

	mu    sync.Mutex
	fatal bool
	kept  []byte
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	if !o.fatal {
		for _, p := range []string{"fatal error:", "panic:", "runtime: goroutine stack exceeds"} {
			if strings.Contains(string(b), p) {
				o.fatal, o.kept = true, o.kept[:0]
			}
		}
	}
	switch {
	case !o.fatal:
		o.kept = append(o.kept, b...)
		if n := len(o.kept); n > 4<<10 {
			o.kept = append(o.kept[:0], o.kept[n-1<<10:]...)
		}
	case len(o.kept) < 2<<10:
		o.kept = append(o.kept, b...)
	}
	o.mu.Unlock()
	return o.w.Write(b)
}

func (o *output) tail() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := strings.TrimSpace(string(o.kept))
	if !o.fatal && len(s) > 1<<10 {
		s = s[len(s)-1<<10:]
	}
	return strings.ToValidUTF8(clip(s, 2<<10), "")
}
