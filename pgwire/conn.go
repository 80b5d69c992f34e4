package pgwire

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/volleydb/volley/coordinator"
	"github.com/volleydb/volley/parser"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
)

// errClientGone is the cause of cancelling what a vanished client has running.
var errClientGone = errors.New("pgwire: the client has closed the connection")

// errTerminate ends a connection on the client's wish.
var errTerminate = errors.New("pgwire: terminate")

// lingering is how long a connection that ended with an error waits for the
// client to read it and close.
const lingering = 250 * time.Millisecond

const (
	maxStatements = 10000
	maxPortals    = 1000
)

// conn is one connection. All fields but those with a lock beside them belong
// to the goroutine of serve.
type conn struct {
	srv    *Server
	raw    net.Conn // the socket
	nc     net.Conn // the socket or TLS over it
	tls    bool
	leaf   []byte // the certificate shown to the client
	out    writer
	in     *inbox
	ctx    context.Context
	cancel context.CancelCauseFunc
	reader sync.WaitGroup

	pid  int32  // set under srv.mu
	key  []byte // srv.mu
	user string
	sess Session

	started atomic.Bool // the session is open and reported
	toldMu  sync.Mutex
	told    map[string]string // reported settings by lower-case name

	statements map[string]*statement
	portals    map[string]*portal
	skip       bool // an extended query failed: discard until Sync
	ready      bool // ReadyForQuery was the last thing said

	runMu   sync.Mutex
	run     context.CancelCauseFunc // cancels what is running
	timer   *time.Timer             // statement_timeout
	busy    bool                    // a message is being handled
	pending error                   // a cancellation that came between two steps of the work

	text     *types.TextOptions
	textFrom [3]string // the settings that text was made from
}

func newConn(s *Server, ctx context.Context, nc net.Conn) *conn {
	c := &conn{
		srv:        s,
		raw:        nc,
		in:         newInbox(),
		told:       map[string]string{},
		statements: map[string]*statement{},
		portals:    map[string]*portal{},
	}
	// The server's context ends connections by cancelAll, with a cause that is
	// told to the client.
	c.ctx, c.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	c.out.lost = func(error) { c.cancel(errClientGone) }
	c.setConn(nc)
	return c
}

func (c *conn) setConn(nc net.Conn) { c.nc, c.out.nc = nc, nc }

// serve runs the connection to its end, and leaves nothing behind.
func (c *conn) serve() {
	err := c.session()
	c.closePortals()
	if c.sess != nil {
		c.closeSession()
	}
	c.srv.unregister(c)
	c.sayGoodbye(err)
	c.cancel(errClientGone)
	c.in.close()
	_ = c.raw.Close()
	c.reader.Wait()
}

func (c *conn) closeSession() {
	defer func() {
		if r := recover(); r != nil {
			c.srv.log.Error("panic while closing a session", "panic", r, "stack", string(debug.Stack()))
		}
	}()
	c.sess.Close()
}

func (c *conn) session() (err error) {
	defer func() {
		if r := recover(); r != nil {
			c.srv.log.Error("panic", "panic", r, "stack", string(debug.Stack()))
			err = pgerr.New(pgerr.InternalError, "internal error: %v", r)
		}
	}()
	if err := c.startup(); err != nil {
		return err
	}
	c.reader.Add(1)
	done := make(chan struct{})
	go func() {
		defer c.reader.Done()
		defer close(done)
		c.readLoop(bufio.NewReaderSize(c.nc, 16<<10))
	}()
	return c.loop()
}

// sayGoodbye tells the client why the connection ends, and gives it a moment
// to read that: closing with unread input would destroy what is on its way.
func (c *conn) sayGoodbye(err error) {
	_ = c.raw.SetWriteDeadline(time.Now().Add(hardStop))
	var pe *pgerr.Error
	if !errors.As(err, &pe) {
		c.out.flush()
		return
	}
	if pe.Class == pgerr.Bug {
		c.srv.log.Error("connection ends", "user", c.user, "code", pe.Code, "error", pe)
	} else {
		c.srv.log.Info("connection ends", "user", c.user, "code", pe.Code, "error", pe)
	}
	c.out.error("FATAL", pe)
	c.out.flush()
	out := c.raw
	if c.tls {
		out = c.nc
	}
	cw, ok := out.(interface{ CloseWrite() error })
	if !ok || cw.CloseWrite() != nil {
		return
	}
	c.in.close()
	_ = c.raw.SetReadDeadline(time.Now().Add(lingering))
	if !c.started.Load() {
		_, _ = io.Copy(io.Discard, c.nc)
	}
	c.reader.Wait()
}

// loop handles messages until the connection ends, and returns why.
func (c *conn) loop() error {
	for {
		m, err := c.next()
		if err != nil {
			return err
		}
		c.ready = false
		if err := c.handle(m); err != nil {
			if err := c.failed(m, err); err != nil {
				return err
			}
		}
	}
}

// next waits for a message. While it waits, a cancellation has nothing to
// cancel, shutdown may close the connection, and idle timeouts run.
func (c *conn) next() (message, error) {
	var idle <-chan time.Time
	var idleErr error
	for {
		m, ok, err := c.in.take()
		var broken *pgerr.Error
		switch {
		case !ok && errors.As(err, &broken):
			return message{}, broken
		case c.ctx.Err() != nil:
			return message{}, context.Cause(c.ctx)
		case ok:
			return m, nil
		case err != nil:
			return message{}, errClientGone
		}
		if idle == nil && c.ready {
			d, err := c.idleTimeout()
			if idleErr = err; d > 0 {
				t := time.NewTimer(d)
				defer t.Stop()
				idle = t.C
			}
		}
		c.setBusy(false)
		select {
		case <-c.in.ready:
		case <-c.ctx.Done():
		case <-idle:
			return message{}, idleErr
		case <-c.srv.drain:
			return message{}, errShutdown()
		}
		c.setBusy(true)
	}
}

func (c *conn) idleTimeout() (time.Duration, error) {
	if c.sess.TxStatus() == coordinator.TxIdle {
		return c.duration("idle_session_timeout"),
			pgerr.New(pgerr.IdleSessionTimeout, "terminating connection due to idle-session timeout")
	}
	return c.duration("idle_in_transaction_session_timeout"),
		pgerr.New(pgerr.IdleInTransactionTimeout, "terminating connection due to idle-in-transaction timeout")
}

// duration reads a setting that is a time; 0 is none.
func (c *conn) duration(name string) time.Duration {
	s, ok := c.sess.Setting(name)
	if !ok {
		return 0
	}
	return parseDuration(s)
}

// parseDuration reads a time as SHOW prints it: a number with a unit, or
// milliseconds.
func parseDuration(s string) time.Duration {
	i := 0
	for i < len(s) && s[i]-'0' < 10 {
		i++
	}
	n, err := strconv.ParseInt(s[:i], 10, 32)
	if err != nil {
		return 0
	}
	unit := time.Millisecond
	switch s[i:] {
	case "us":
		unit = time.Microsecond
	case "s":
		unit = time.Second
	case "min":
		unit = time.Minute
	case "h":
		unit = time.Hour
	case "d":
		unit = 24 * time.Hour
	}
	return time.Duration(n) * unit
}

// handle handles one message. An error is the client's to know.
func (c *conn) handle(m message) error {
	switch m.typ {
	case 'X':
		return errTerminate
	case 'S':
		if len(m.body) > 0 {
			return errProtocol("invalid message format")
		}
		failed := c.skip
		c.skip = false
		c.endQuery(failed)
		return nil
	}
	if c.skip {
		return nil
	}
	b := &body{b: m.body}
	switch m.typ {
	case 'Q':
		return c.simpleQuery(b)
	case 'P':
		return c.parse(b)
	case 'B':
		return c.bind(b)
	case 'D':
		return c.describe(b)
	case 'E':
		return c.executePortal(b)
	case 'C':
		return c.closeMessage(b)
	case 'H':
		c.out.flush()
		return nil
	case 'd', 'c', 'f':
		return nil // what the client still sent of a COPY that failed
	case 'F':
		return pgerr.New(pgerr.FeatureNotSupported, "the function call message is not supported").
			WithHint("Call the function with SELECT.")
	}
	return errFatalProtocol("invalid frontend message type %d", m.typ)
}

// fatalError ends the connection, whatever its code.
type fatalError struct{ err *pgerr.Error }

func (f fatalError) Error() string { return f.err.Message }
func (f fatalError) Unwrap() error { return f.err }

func errFatalProtocol(format string, args ...any) error {
	return fatalError{errProtocol(format, args...)}
}

// failed reports an error of handling m. It returns one that ends the connection.
func (c *conn) failed(m message, err error) error {
	var fatal fatalError
	if err == errTerminate || errors.As(err, &fatal) {
		return err
	}
	if c.ctx.Err() != nil {
		return context.Cause(c.ctx)
	}
	e := pgerr.From(err)
	if e.Class == pgerr.Bug {
		c.srv.log.Error("statement failed", "user", c.user, "code", e.Code, "error", err)
	}
	c.out.error("ERROR", e)
	switch m.typ {
	case 'P', 'B', 'D', 'E', 'C', 'H':
		c.skip = true
	default:
		c.endQuery(true)
	}
	return nil
}

// endQuery ends the implicit transaction, and portals that do not outlive it,
// and says that the next query may come.
func (c *conn) endQuery(failed bool) {
	if failed || c.sess.TxStatus() != coordinator.TxActive {
		c.closePortals()
	}
	c.sess.EndImplicit(failed)
	c.readyForQuery()
}

func (c *conn) readyForQuery() {
	c.out.begin('Z')
	c.out.u8(byte(c.sess.TxStatus()))
	c.out.end()
	c.out.flush()
	c.ready = true
}

// setBusy says whether a message is being handled, which is when a
// cancellation means something.
func (c *conn) setBusy(busy bool) {
	c.runMu.Lock()
	c.busy = busy
	c.pending = nil
	c.runMu.Unlock()
}

// cancelRunning cancels what is running, or the next step of the work at hand.
func (c *conn) cancelRunning(cause error) {
	c.runMu.Lock()
	defer c.runMu.Unlock()
	switch {
	case c.run != nil:
		c.run(cause)
	case c.busy:
		c.pending = cause
	}
}

// enter makes cancel what a CancelRequest and the statement timeout call,
// until leave.
func (c *conn) enter(cancel context.CancelCauseFunc) {
	d := c.duration("statement_timeout")
	c.runMu.Lock()
	defer c.runMu.Unlock()
	c.run = cancel
	if c.pending != nil {
		cancel(c.pending)
		c.pending = nil
	}
	if d > 0 {
		c.timer = time.AfterFunc(d, func() {
			cancel(pgerr.New(pgerr.QueryCanceled, "canceling statement due to statement timeout"))
		})
	}
}

func (c *conn) leave() {
	c.runMu.Lock()
	defer c.runMu.Unlock()
	c.run = nil
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
}

// why replaces the error of a cancelled step by the reason of the cancellation.
func why(ctx context.Context, err error) error {
	var cause *pgerr.Error
	if err != nil && ctx.Err() != nil && errors.As(context.Cause(ctx), &cause) {
		return cause
	}
	return err
}

// textOptions are the session's settings for the text of values.
func (c *conn) textOptions() *types.TextOptions {
	var from [3]string
	for i, name := range [...]string{"TimeZone", "extra_float_digits", "bytea_output"} {
		from[i], _ = c.sess.Setting(name)
	}
	if c.text != nil && from == c.textFrom {
		return c.text
	}
	c.text, c.textFrom = textOptionsOf(c.sess.Setting), from
	return c.text
}

// textOptionsOf reads them from settings.
func textOptionsOf(setting func(name string) (string, bool)) *types.TextOptions {
	o := types.DefaultText()
	if v, _ := setting("TimeZone"); v != "" {
		if loc, err := types.ParseSessionZone(v); err == nil {
			o.Location = loc
		}
	}
	v, _ := setting("extra_float_digits")
	if n, err := strconv.Atoi(v); err == nil {
		o.ExtraFloatDigits = n
	}
	v, _ = setting("bytea_output")
	o.ByteaEscape = v == "escape"
	return &o
}

// parseSQL parses a text that has come as bytes of unknown worth.
func (c *conn) parseSQL(sql string) ([]*parser.Statement, error) {
	if err := validText(sql); err != nil {
		return nil, err
	}
	if d, ok := c.sess.(Dialects); ok {
		return d.Parse(sql)
	}
	return parser.Parse(sql)
}
