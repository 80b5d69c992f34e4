package clients

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/volleydb/volley/coordinator"
	"github.com/volleydb/volley/pgwire"
	"github.com/volleydb/volley/test/engine"
)

func TestMain(m *testing.M) {
	// The parser of the dialect mysql links glog, whose flusher never ends.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/golang/glog.(*fileSink).flushDaemon"))
}

// server is an engine that listens to Postgres clients.
type server struct {
	*engine.Engine
	host, port string
}

// start serves a new engine. conf, which may be nil, changes how.
func start(t *testing.T, conf func(*pgwire.Config)) *server {
	t.Helper()
	return serve(t, engine.Start(t, 0), conf)
}

// serve is start with an engine that is there.
func serve(t *testing.T, e *engine.Engine, conf func(*pgwire.Config)) *server {
	t.Helper()
	cfg := pgwire.Config{
		NewSession: func(ctx context.Context, o coordinator.SessionOptions) (pgwire.Session, error) {
			return e.NewSession(ctx, o)
		},
		Verifier: e.PasswordVerifier,
		Auth:     pgwire.AuthTrust,
		RegName:  e.RegName,
	}
	if conf != nil {
		conf(&cfg)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- pgwire.New(cfg).Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	s := &server{Engine: e}
	s.host, s.port, _ = net.SplitHostPort(ln.Addr().String())
	return s
}

// url is a connection string; options are further parameters, a=b&c=d.
func (s *server) url(user, options string) string {
	return "postgres://" + user + "@" + net.JoinHostPort(s.host, s.port) + "/volley?" + options
}

// connect opens a pgx connection.
func (s *server) connect(t *testing.T, user, options string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(deadline(t), s.url(user, options))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// run executes statements in a session of their own.
func (s *server) run(t *testing.T, sql string) {
	t.Helper()
	sess := s.Session()
	defer sess.Close()
	if _, err := sess.Run(deadline(t), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// deadline is a context for one step of a test.
func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}
