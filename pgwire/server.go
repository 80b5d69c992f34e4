package pgwire

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/volleydb/volley/coordinator"
	"github.com/volleydb/volley/parser"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// Session is what a connection needs of the engine; *coordinator.Session is
// one. Its methods are called by one goroutine at a time.
type Session interface {
	// Prepare analyses a statement. paramOIDs are the types the client gave, 0
	// for those it left open, and may be fewer than the parameters.
	Prepare(ctx context.Context, st *parser.Statement, paramOIDs []uint32) (*coordinator.Prepared, error)
	// Execute starts a statement, which ctx cancels as long as it runs.
	Execute(ctx context.Context, p *coordinator.Prepared, params []coordinator.Param) (*coordinator.Result, error)
	TxStatus() coordinator.TxStatus
	// EndImplicit is called at Sync and at the end of a simple query. It ends
	// the implicit transaction, if there is one. failed says that something
	// since the last call failed, perhaps without the session knowing of it: an
	// open transaction block is then a failed one.
	EndImplicit(failed bool)
	// Setting returns a setting as SHOW prints it.
	Setting(name string) (string, bool)
	Close()
}

// Dialects is a Session whose settings tell the dialect of its statements.
type Dialects interface {
	Parse(sql string) ([]*parser.Statement, error)
}

// Cursors is implemented by a Session that has SQL cursors, which clients
// describe as if they were portals.
type Cursors interface {
	// CursorFields returns the fields of an open cursor.
	CursorFields(name string) ([]vector.Field, bool)
}

// Statements is implemented by a Session that keeps the named statements itself,
// because SQL's PREPARE and EXECUTE share them.
type Statements interface {
	FindStatement(name string) (*coordinator.Prepared, bool)
	// CheckStatement reports why a statement of that name cannot be added.
	CheckStatement(name string) error
	AddStatement(name string, p *coordinator.Prepared)
	DropStatement(name string) bool
}

// LateBinder is implemented by a Session that has statements whose columns depend on
// their parameters.
type LateBinder interface {
	BindFields(ctx context.Context, p *coordinator.Prepared, params []coordinator.Param) (*coordinator.Prepared, error)
}

// RegNamer is implemented by a Session that prints oids of the reg* types as
// its search path has their names.
type RegNamer interface {
	RegName(t types.Type, oid uint32) string
}

// The authentication methods.
const (
	AuthTrust = "trust"
	AuthScram = "scram-sha-256"
)

// Config is what a Server needs to know. The zero value of a field means the
// default named there.
type Config struct {
	// NewSession opens a session for an authenticated client. Required. Its
	// error is told to the client.
	NewSession func(ctx context.Context, o coordinator.SessionOptions) (Session, error)
	// Verifier returns the stored SCRAM verifier of a user in Postgres' form,
	// SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey. Required for AuthScram.
	Verifier func(user string) (scram string, ok bool)
	// Auth is AuthTrust or AuthScram. Default AuthScram if there is a Verifier,
	// else AuthTrust.
	Auth string
	// TrustRemote accepts AuthTrust from other than loopback and Unix sockets.
	TrustRemote bool
	// TLS turns TLS on. Clients may then still connect without it, unless
	// RequireTLS is set.
	TLS        *tls.Config
	RequireTLS bool
	// RegName gives the text of an oid of one of the reg* types; without it
	// they are printed as numbers.
	RegName func(t types.Type, oid uint32) string
	// Version is reported as server_version unless the session has one. It
	// decides which catalog queries clients send. Default "15.0 (Volley)".
	Version string
	// Logger gets connection errors and faults; nil discards them.
	Logger *slog.Logger
	// MaxConnections limits the sessions; further ones get 53300. Default 100.
	MaxConnections int
	// MaxMessageBytes limits a message of the client. Default 256 MiB.
	MaxMessageBytes int
	// AuthTimeout limits the time until authentication has ended. Default 1 minute.
	AuthTimeout time.Duration
}

// hardStop is how long a cancelled statement gets to end before its socket is closed.
const hardStop = 3 * time.Second

// Server serves connections. Make one with New.
type Server struct {
	cfg    Config
	log    *slog.Logger
	secret [32]byte // of the mock salts of unknown users
	drain  chan struct{}

	mu        sync.Mutex
	draining  bool
	listeners map[net.Listener]struct{}
	conns     map[*conn]struct{}
	keys      map[int32]*conn // authenticated connections by process id
	nextPID   int32
	wg        sync.WaitGroup // connections
}

// New makes a server. It panics when cfg lacks what it requires.
func New(cfg Config) *Server {
	if cfg.NewSession == nil {
		panic("pgwire: Config.NewSession is nil")
	}
	if cfg.Auth == "" {
		cfg.Auth = AuthTrust
		if cfg.Verifier != nil {
			cfg.Auth = AuthScram
		}
	}
	if cfg.Auth != AuthTrust && (cfg.Auth != AuthScram || cfg.Verifier == nil) {
		panic("pgwire: Config.Auth " + cfg.Auth)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Version == "" {
		cfg.Version = "15.0 (Volley)"
	}
	if cfg.MaxConnections <= 0 {
		cfg.MaxConnections = 100
	}
	if cfg.MaxMessageBytes <= 0 {
		cfg.MaxMessageBytes = 256 << 20
	}
	if cfg.AuthTimeout <= 0 {
		cfg.AuthTimeout = time.Minute
	}
	s := &Server{
		cfg:       cfg,
		log:       cfg.Logger,
		drain:     make(chan struct{}),
		listeners: map[net.Listener]struct{}{},
		conns:     map[*conn]struct{}{},
		keys:      map[int32]*conn{},
	}
	_, _ = rand.Read(s.secret[:])
	return s
}

// Serve accepts connections on ln until Shutdown is called or ctx ends, which
// ends all connections at once; then it returns nil when the connections have
// ended. It closes ln. It may be called for several listeners.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	s.mu.Lock()
	if s.draining {
		s.mu.Unlock()
		_ = ln.Close()
		return nil
	}
	s.listeners[ln] = struct{}{}
	s.mu.Unlock()
	stop := context.AfterFunc(ctx, func() {
		s.startDrain()
		s.cancelAll()
	})
	defer stop()
	err := s.accept(ctx, ln)
	s.mu.Lock()
	delete(s.listeners, ln)
	draining := s.draining
	s.mu.Unlock()
	_ = ln.Close()
	if draining {
		s.waitConns(ctx)
		return nil
	}
	return pgerr.Wrap(err, pgerr.IOError, "could not accept connections")
}

func (s *Server) accept(ctx context.Context, ln net.Listener) error {
	const maxPause = time.Second
	pause := 5 * time.Millisecond
	for {
		nc, err := ln.Accept()
		if err != nil {
			var ne net.Error
			if errors.Is(err, net.ErrClosed) || !errors.As(err, &ne) {
				return err
			}
			// Such as too many open files: others may end meanwhile.
			s.log.Warn("accept", "error", err)
			select {
			case <-s.drain:
				return err
			case <-time.After(pause):
			}
			pause = min(2*pause, maxPause)
			continue
		}
		pause = 5 * time.Millisecond
		if tc, ok := nc.(*net.TCPConn); ok {
			_ = tc.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: time.Minute, Interval: 15 * time.Second, Count: 4})
		}
		s.start(ctx, nc)
	}
}

// start runs a connection in its own goroutine. Beyond a multiple of
// MaxConnections, clients that never authenticate are not even read.
func (s *Server) start(ctx context.Context, nc net.Conn) {
	c := newConn(s, ctx, nc)
	s.mu.Lock()
	if s.draining || len(s.conns) >= 2*s.cfg.MaxConnections+64 {
		s.mu.Unlock()
		c.cancel(nil)
		_ = nc.Close()
		return
	}
	s.conns[c] = struct{}{}
	s.wg.Add(1)
	s.mu.Unlock()
	go func() {
		defer s.wg.Done()
		c.serve()
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	}()
}

// register gives an authenticated connection its process id.
func (s *Server) register(c *conn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return pgerr.New(pgerr.CannotConnectNow, "the database system is shutting down")
	}
	if len(s.keys) >= s.cfg.MaxConnections {
		return pgerr.New(pgerr.TooManyConnections, "sorry, too many clients already").
			WithHint("At most %d connections are accepted.", s.cfg.MaxConnections)
	}
	for {
		s.nextPID = max(s.nextPID+1, 1)
		if s.keys[s.nextPID] == nil {
			break
		}
	}
	c.pid = s.nextPID
	s.keys[c.pid] = c
	return nil
}

func (s *Server) unregister(c *conn) {
	if c.pid == 0 {
		return
	}
	s.mu.Lock()
	delete(s.keys, c.pid)
	s.mu.Unlock()
}

// Connections returns the number of authenticated connections.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.keys)
}

// Shutdown accepts no more connections, closes idle ones with 57P01, and waits
// for running statements until ctx ends; then it cancels them and returns
// ctx's error. All connections have ended when it returns.
func (s *Server) Shutdown(ctx context.Context) error {
	s.startDrain()
	done := make(chan struct{})
	go func() {
		s.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	s.cancelAll()
	select {
	case <-done:
	case <-time.After(hardStop):
		s.closeAll()
		<-done
	}
	return ctx.Err()
}

func (s *Server) startDrain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return
	}
	s.draining = true
	close(s.drain)
	for ln := range s.listeners {
		_ = ln.Close()
	}
	for c := range s.conns {
		if c.pid == 0 {
			_ = c.raw.Close() // in its handshake
		}
	}
}

func (s *Server) cancelAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.cancel(errShutdown())
	}
}

func (s *Server) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.raw.Close()
	}
}

// waitConns waits for the connections to end, the hard way once ctx has ended.
func (s *Server) waitConns(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		s.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
		return
	case <-ctx.Done():
	}
	select {
	case <-done:
	case <-time.After(hardStop):
		s.closeAll()
		<-done
	}
}

func errShutdown() *pgerr.Error {
	return pgerr.New(pgerr.AdminShutdown, "terminating connection due to administrator command")
}
