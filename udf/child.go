package udf

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/udf/sdk/wire"
)

// startTimeout bounds the time from the start of a child to its first frame.
const startTimeout = 30 * time.Second

// child is a running plugin: a process, or a server at the other end of a
// connection. It lives until it exits, is killed, has been idle for the host's
// IdleTimeout, or the host closes.
type child struct {
	host     *Host
	label    string // for errors: name@sha256:1234…
	digest   string
	cmd      *exec.Cmd // nil for a server elsewhere
	conn     net.Conn
	mem      *sharedMemory
	dir      string
	log      *slog.Logger
	tail     *tailWriter
	limit    int64
	overhead int64 // of the runtime, on top of limit
	manifest wire.Manifest
	where    bool // it says where user code is

	sending chan struct{}          // held, as a lock, by who writes to conn
	writer  atomic.Pointer[stream] // who does, nil if nobody

	mu      sync.Mutex
	streams map[uint32]*stream
	dying   map[uint32]*dying // cancelled, not yet answered
	parked  []parkedStream    // of streams, those that nobody uses
	lastID  uint32
	used    time.Time   // when it was last seen with a stream
	ended   bool        // no stream may be added
	served  atomic.Bool // a stream was opened: the Init hooks have run
	cause   error       // why the host killed it, nil if it did not

	told chan struct{} // closed when the streams know that it is gone
	done chan struct{} // closed when the process and all goroutines are gone
	wg   sync.WaitGroup

	mourned atomic.Bool // its loss is in a stream's figures
}

// firstToMourn is true once: of the streams that lose a child, one counts it.
func (c *child) firstToMourn() bool { return c.mourned.CompareAndSwap(false, true) }

type dying struct {
	s     *stream
	timer *time.Timer
}

// start brings a child to life as its runtime says and shakes hands. file is the
// artifact's file for this machine, in dir. release is called when the child is
// gone, or has not come to be.
func (h *Host) start(ctx context.Context, m *Manifest, dir, file, digest string, limit int64, release func()) (_ *child, err error) {
	label := m.Name + "@" + shortDigest(digest)
	served := false
	defer func() {
		if !served {
			release()
		}
	}()
	launcher, err := h.launcherOf(m, digest)
	if err != nil {
		return nil, err
	}
	c := &child{
		host: h, label: label, digest: digest, limit: limit,
		streams: map[uint32]*stream{},
		dying:   map[uint32]*dying{},
		used:    time.Now(),
		sending: make(chan struct{}, 1),
		told:    make(chan struct{}),
		done:    make(chan struct{}),
		tail:    &tailWriter{},
		log:     h.log.With("plugin", label),
	}
	if c.dir, err = os.MkdirTemp(h.cfg.TempDir, "volley-udf-"); err != nil {
		return nil, pgerr.Wrap(err, pgerr.IOError, "could not make a directory for a plugin")
	}
	startCtx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	l, err := launcher(startCtx, LaunchRequest{Manifest: m, Dir: dir, File: file, Scratch: c.dir, Limit: limit, Procs: h.cfg.Procs})
	if err != nil {
		os.RemoveAll(c.dir)
		return nil, err
	}
	c.overhead = l.Overhead
	c.mem = newSharedMemory(h.cfg.NoSharedMemory || l.NoSharedMemory || l.Conn != nil)
	exited := make(chan error, 1)
	if l.Conn != nil {
		c.conn = l.Conn
		exited <- nil
	} else if err = h.startProcess(c, &l, exited); err != nil {
		c.mem.close()
		os.RemoveAll(c.dir)
		return nil, err
	}
	h.mu.Lock()
	h.children[c] = struct{}{}
	h.mu.Unlock()
	hello := make(chan error, 1)
	served = true
	go func() {
		defer release()
		c.serve(hello, exited)
	}()
	patience := startTimeout
	if l.Patience > 0 {
		patience = l.Patience
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case err = <-hello:
	case <-ctx.Done():
		err = pgerr.From(context.Cause(ctx))
	case <-timer.C:
		err = pgerr.New(pgerr.ExternalRoutineInvocationError, "plugin %s did not answer within %s of its start", label, patience)
	}
	if err != nil {
		c.kill(err)
		<-c.done
		return nil, err
	}
	return c, nil
}

// startProcess starts the process of a launch with the control socket and the
// shared memory; exited gets what its end says.
func (h *Host) startProcess(c *child, l *Launch, exited chan<- error) error {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return pgerr.Wrap(err, pgerr.InsufficientResources, "could not make a socket for a plugin")
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "control"), os.NewFile(uintptr(fds[1]), "control")
	conn, err := net.FileConn(ours)
	ours.Close()
	if err != nil {
		theirs.Close()
		return pgerr.Wrap(err, pgerr.InsufficientResources, "could not make a socket for a plugin")
	}
	cmd := l.command(c.dir)
	cmd.ExtraFiles = []*os.File{theirs}
	if c.mem.file != nil {
		cmd.ExtraFiles = append(cmd.ExtraFiles, c.mem.file)
		cmd.Env = append(cmd.Env, wire.EnvShared+"=1")
	}
	cmd.SysProcAttr = childAttr()
	cmd.Stdout, cmd.Stderr = &logWriter{c: c}, &logWriter{c: c, keep: true}
	cmd.WaitDelay = 500 * time.Millisecond // for what the child started and left behind
	c.conn, c.cmd = conn, cmd
	err = h.spawn(cmd)
	theirs.Close() // the child's exit is to be the end of the socket
	if err != nil {
		conn.Close()
		return pgerr.Wrap(err, pgerr.InsufficientResources, "could not start plugin %s", c.label)
	}
	c.log.Debug("plugin started", "pid", cmd.Process.Pid)
	go func() {
		err := cmd.Wait()
		// What it left behind may hold the other end of the socket.
		conn.SetReadDeadline(time.Now().Add(time.Second))
		exited <- err
	}()
	return nil
}

// serve reads frames until the socket ends, then ends everything that belongs to
// the child.
func (c *child) serve(hello chan<- error, exited <-chan error) {
	defer close(c.done)
	r := bufio.NewReaderSize(c.conn, 64<<10)
	err := c.shake(r)
	if err == nil {
		hello <- nil
		stop := make(chan struct{})
		c.wg.Add(1)
		go c.watch(stop)
		err = c.read(r)
		close(stop)
		if !isEnd(err) {
			c.kill(pgerr.New(pgerr.ExternalRoutineInvocationError, "plugin %s broke the protocol: %v", c.label, err))
		}
		err = nil
	}
	if err != nil && !isEnd(err) {
		c.signalKill()
	}
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
	// A child that closed the socket but lives on is of no use.
	var exit error
	select {
	case exit = <-exited:
	case <-time.After(time.Second):
		c.signalKill()
		exit = <-exited
	}
	c.conn.Close()
	c.wg.Wait()
	if err != nil {
		var pe *pgerr.Error
		switch {
		case isEnd(err):
			err = c.exitError(exit)
		case !errors.As(err, &pe):
			err = pgerr.New(pgerr.ExternalRoutineInvocationError, "plugin %s broke the protocol: %v", c.label, err)
		}
		hello <- err
	}
	c.bury(exit)
	c.mem.close()
	os.RemoveAll(c.dir)
}

// isEnd reports whether an error of the socket says that the child is gone.
func isEnd(err error) bool {
	for _, e := range []error{io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE, os.ErrDeadlineExceeded} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// shake reads the child's Hello and answers it.
func (c *child) shake(r *bufio.Reader) error {
	h, payload, err := readFrame(r, nil)
	if err != nil {
		return err
	}
	var m wire.HelloMsg
	if h.Type != wire.Hello || json.Unmarshal(payload, &m) != nil || m.Magic != wire.Magic {
		return pgerr.New(pgerr.ExternalRoutineInvocationError, "plugin %s is not a Volley plugin", c.label)
	}
	if m.ABI != wire.ABI {
		return errABI(c.label, m.ABI)
	}
	c.manifest, c.where = m.Manifest, m.Where
	b, err := json.Marshal(wire.WelcomeMsg{ABI: wire.ABI})
	if err != nil {
		return err
	}
	return c.reply(appendFrame(nil, wire.Header{Type: wire.Welcome}, b))
}

func errABI(label string, abi int) error {
	return pgerr.New(pgerr.ExternalRoutineInvocationError, "plugin %s speaks protocol version %d, this server version %d", label, abi, wire.ABI).
		WithHint("Build the plugin again with this release's volley udf build.")
}

func readFrame(r *bufio.Reader, buf []byte) (wire.Header, []byte, error) {
	var h wire.Header
	var b [wire.HeaderSize]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return h, nil, err
	}
	if err := h.Get(b[:]); err != nil {
		return h, nil, err
	}
	if cap(buf) < int(h.Len) {
		buf = make([]byte, h.Len)
	}
	buf = buf[:h.Len]
	_, err := io.ReadFull(r, buf)
	return h, buf, err
}

func (c *child) read(r *bufio.Reader) error {
	var payload []byte
	for {
		h, p, err := readFrame(r, payload)
		if err != nil {
			return err
		}
		payload = p
		c.mu.Lock()
		s := c.streams[h.Stream]
		d := c.dying[h.Stream]
		if h.Type == wire.Closed {
			delete(c.dying, h.Stream)
		}
		c.mu.Unlock()
		switch {
		case h.Type == wire.Closed:
			if d == nil {
				return fmt.Errorf("stream %d closed unasked", h.Stream)
			}
			d.timer.Stop()
			d.s.freeMemory()
			continue
		case h.Type == wire.Log:
			name := ""
			if s != nil {
				name = s.name
			}
			c.log.Log(context.Background(), slog.Level(h.Flags)-8, string(p), "function", name)
			c.logged(s, (slog.Level(h.Flags) - 8).String(), string(p))
			continue
		case s == nil:
			if _, err := io.CopyN(io.Discard, r, int64(h.Body)); err != nil {
				return err
			}
			continue
		case h.Type == wire.Grow:
			if len(p) != 8 {
				return fmt.Errorf("grow message of %d bytes", len(p))
			}
			if err := s.grow(int(h.Slot), binary.LittleEndian.Uint64(p)); err != nil {
				return err
			}
			continue
		}
		if h.Body > 0 {
			if err := s.readBody(r, h); err != nil {
				return err
			}
		}
		if err := s.handle(h, p); err != nil {
			return fmt.Errorf("frame %d: %w", h.Type, err)
		}
	}
}

// readBody reads the columns of a result where there is no shared memory.
func (s *stream) readBody(r io.Reader, h wire.Header) error {
	s.memMu.RLock()
	defer s.memMu.RUnlock()
	s.outMu.Lock()
	defer s.outMu.Unlock()
	if s.ended() != nil {
		_, err := io.CopyN(io.Discard, r, int64(h.Body))
		return err
	}
	if int(h.Slot) >= wire.OutSlots || int(h.Body) > len(s.out[h.Slot].mem) {
		return fmt.Errorf("result of %d bytes in slot %d", h.Body, h.Slot)
	}
	_, err := io.ReadFull(r, s.out[h.Slot].mem[:h.Body])
	return err
}

func (c *child) add(s *stream) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		if c.cause == nil {
			return pgerr.New(pgerr.CrashShutdown, "plugin %s is not running", c.label).WithClass(pgerr.Transient)
		}
		// Worth another try on another child, since the fault may be another stream's; if
		// all end like this one, this is why.
		e := *pgerr.From(c.cause)
		if e.Code != pgerr.AdminShutdown {
			e.Class = pgerr.Transient
		}
		return &e
	}
	c.lastID++
	s.c, s.id = c, c.lastID
	c.streams[s.id] = s
	return nil
}

// alive reports whether streams can be opened.
func (c *child) alive() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.ended
}

// cancel tells the child to end a stream and kills the child if it does not.
func (c *child) cancel(s *stream) {
	c.mu.Lock()
	if c.streams[s.id] != s {
		c.mu.Unlock()
		return
	}
	delete(c.streams, s.id)
	d := &dying{s: s}
	grace := cancelGrace
	if c.cmd == nil {
		grace = connGrace
	}
	d.timer = time.AfterFunc(grace, func() {
		c.log.Warn("function does not end after a cancel: ending its process", "function", s.name)
		c.kill(pgerr.New(pgerr.CrashShutdown, "plugin %s was ended because function %s did not return after a cancel", c.label, s.name).
			WithClass(pgerr.Transient))
	})
	c.dying[s.id] = d
	c.mu.Unlock()
	c.post(wire.Header{Type: wire.Cancel, Stream: s.id})
}

// kill ends the process; cause is what its streams will say.
func (c *child) kill(cause error) {
	c.mu.Lock()
	if c.cause == nil {
		c.cause = cause
	}
	c.ended = true
	c.mu.Unlock()
	c.signalKill()
}

// signalKill kills the child and what it started.
func (c *child) signalKill() {
	if c.cmd == nil {
		c.conn.Close()
		return
	}
	if err := killGroup(c.cmd.Process); err != nil {
		_ = c.cmd.Process.Kill() // it is gone already
	}
}

// bury tells the streams of a child that is gone.
func (c *child) bury(exit error) {
	c.mu.Lock()
	streams, dead := c.streams, c.dying
	c.streams, c.dying = map[uint32]*stream{}, map[uint32]*dying{}
	cause, served := c.cause, c.served.Load()
	c.mu.Unlock()
	for _, d := range dead {
		d.timer.Stop()
		d.s.freeMemory()
	}
	busy := 0
	for _, s := range streams {
		if s.active() {
			busy++
		}
	}
	for _, s := range streams {
		var err *pgerr.Error // one each: callers add to it
		if cause == nil {
			err = c.exitError(exit)
			err.Where = "function " + s.name + " of " + err.Where
			if !s.active() || busy > 1 || c.cmd == nil || served && !s.taken() {
				// Somebody else's call may have ended it, or the network: worth another try.
				err.Class = pgerr.Transient
			}
		} else {
			e := *pgerr.From(cause)
			if errors.Is(cause, errMemory) && !s.active() {
				e.Class = pgerr.Transient
			}
			err = &e
		}
		s.mu.Lock()
		s.gone = true
		// Not at a shutdown, which ends what is healthy.
		s.died = s.died || err.Code != pgerr.AdminShutdown && (s.inflight > 0 || !s.opened && !served)
		s.mu.Unlock()
		s.fail(err)
	}
	close(c.told)
	for _, s := range streams {
		s.freeMemory() // which waits for those that write
	}
	if cause == nil {
		c.log.Error("plugin process exited", "status", exitText(exit), "stderr", c.tail.String())
	}
	c.host.buried(c, cause == nil)
}

// exitError is the error for a process that ended by itself.
func (c *child) exitError(exit error) *pgerr.Error {
	what := "plugin process exited: " + exitText(exit)
	if c.cmd == nil {
		what = "the connection to the function server was lost"
	}
	e := pgerr.New(pgerr.ExternalRoutineException, "%s", what).
		WithWhere("plugin %s", c.label)
	if t := c.tail.String(); t != "" {
		e.Detail = "Last output: " + t
	}
	return e
}

func exitText(exit error) string {
	if exit == nil {
		return "exit status 0"
	}
	return exit.Error()
}

var errMemory = errors.New("memory limit")

// retire ends a child that nobody has used for the host's IdleTimeout.
func (c *child) retire() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.streams)+len(c.dying) > 0 {
		c.used = time.Now()
		return false
	}
	idle := time.Since(c.used)
	if !c.ended && idle > keepTime {
		c.mem.trim()
	}
	if c.ended || idle < c.host.cfg.IdleTimeout {
		return false
	}
	// From here on no stream is added: whoever comes starts another child.
	c.ended, c.cause = true, pgerr.New(pgerr.CrashShutdown, "plugin %s was ended because it was not used", c.label).WithClass(pgerr.Transient)
	c.log.Debug("plugin ended: not used")
	c.signalKill()
	return true
}

// watch ends the child when nobody uses it any more, and kills it when it does not read
// or when its own memory, which is what is resident less what it shares, exceeds its
// limit.
func (c *child) watch(stop <-chan struct{}) {
	defer c.wg.Done()
	t := time.NewTicker(100 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-stop:
			return
		case <-t.C:
		}
		c.closeParked(time.Now().Add(-parkTime))
		if c.retire() {
			return
		}
		c.watchWriter()
		if c.cmd == nil {
			continue
		}
		rss, ok := privateMemory(c.cmd.Process.Pid)
		rss -= c.overhead
		if !ok || rss <= c.limit {
			continue
		}
		e := pgerr.Wrap(errMemory, pgerr.OutOfMemory, "plugin %s", c.label)
		e.Message = fmt.Sprintf("plugin %s used %d MB of memory, its limit is %d MB", c.label, rss>>20, c.limit>>20)
		e.Hint = "Raise the limit with ALTER FUNCTION … SET volley.memory, or keep less in the function."
		c.kill(e)
		return
	}
}

// spawn starts cmd on the host's own thread: the kernel kills a child whose
// parent thread (not process) ends, see childAttr.
func (h *Host) spawn(cmd *exec.Cmd) error {
	done := make(chan error, 1)
	select {
	case h.starts <- startRequest{cmd, done}:
		return <-done
	case <-h.closing:
		return errClosed()
	}
}

type startRequest struct {
	cmd  *exec.Cmd
	done chan error
}

// spawner starts processes until the host is closed and all children are gone.
func (h *Host) spawner() {
	defer close(h.spawnerDone)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for {
		select {
		case r := <-h.starts:
			r.done <- r.cmd.Start()
		case <-h.stopSpawner:
			return
		}
	}
}
