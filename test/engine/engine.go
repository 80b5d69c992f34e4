// Package engine runs a whole Volley inside a test: embedded, or as a
// coordinator with workers that it reaches over gRPC on loopback.
package engine

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/volleydb/volley/coordinator"
	"github.com/volleydb/volley/exchange"
	"github.com/volleydb/volley/parser"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
	"github.com/volleydb/volley/worker"
)

// TB is what is needed of a test, or of whatever else starts an engine.
type TB interface {
	Helper()
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	TempDir() string
	Cleanup(func())
}

// Engine is a running server.
type Engine struct {
	*coordinator.Server
	Dir     string
	Workers []*Worker

	node coordinator.NodeConfig
	grpc *grpc.Server
	wg   sync.WaitGroup
	t    TB
}

// Worker is a worker of the cluster in this process, with connections of its own.
type Worker struct {
	Node *coordinator.Node
	Dir  string

	cancel context.CancelFunc
	grpc   *grpc.Server
	done   chan struct{}
}

// Start runs a server on a new data directory: embedded for 0 workers.
func Start(t TB, workers int) *Engine {
	t.Helper()
	e := Open(t, t.TempDir(), workers)
	t.Cleanup(e.Stop)
	return e
}

// Config is what a test may change of an engine.
type Config struct {
	Server coordinator.OpenConfig
	Node   coordinator.NodeConfig // of every worker
}

// Open is Start on a given directory; the caller stops it. change may be given to
// change the configuration.
func Open(t TB, dir string, workers int, change ...func(*Config)) *Engine {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	if os.Getenv("VOLLEY_TEST_LOG") != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	e := &Engine{Dir: dir, t: t}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Server: coordinator.OpenConfig{Dir: dir, RunLocally: workers == 0, ExchangeAddress: lis.Addr().String(), Slots: 2, Check: true, Log: log},
		Node: coordinator.NodeConfig{Slots: 2, Check: true, Log: log}}
	for _, f := range change {
		f(&cfg)
	}
	e.node = cfg.Node
	if e.Server, err = coordinator.Open(context.Background(), cfg.Server); err != nil {
		t.Fatal(err)
	}
	e.grpc = grpc.NewServer(exchange.ServerOptions()...)
	e.Cluster.Serve(e.grpc)
	e.Worker.Serve(e.grpc)
	e.wg.Add(1)
	go func() { defer e.wg.Done(); _ = e.grpc.Serve(lis) }()
	for i := 0; i < workers; i++ {
		e.AddWorker(lis.Addr().String())
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		up := 0
		for _, w := range e.Cluster.Workers() {
			if !w.Embedded {
				up++
			}
		}
		if up == workers {
			return e
		}
		if time.Now().After(deadline) {
			t.Fatalf("only %d of %d workers have registered", up, workers)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// AddWorker starts one more worker.
func (e *Engine) AddWorker(coordinatorAddr string) {
	e.t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		e.t.Fatal(err)
	}
	cfg := e.node
	cfg.Dir, cfg.ID, cfg.ExchangeAddress = e.t.TempDir(), "w"+strconv.Itoa(len(e.Workers)+1), lis.Addr().String()
	n, err := coordinator.NewNode(cfg)
	if err != nil {
		e.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	w := &Worker{Node: n, Dir: cfg.Dir, cancel: cancel, grpc: grpc.NewServer(exchange.ServerOptions()...), done: make(chan struct{})}
	n.Worker.Serve(w.grpc)
	e.wg.Add(1)
	go func() { defer e.wg.Done(); _ = w.grpc.Serve(lis) }()
	go func() {
		defer close(w.done)
		_ = n.Worker.Connect(ctx, worker.ConnectConfig{Address: coordinatorAddr})
	}()
	e.Workers = append(e.Workers, w)
}

// Stop ends everything.
func (e *Engine) Stop() {
	for _, w := range e.Workers {
		w.cancel()
		<-w.done
		w.grpc.Stop()
		if err := w.Node.Close(); err != nil {
			e.t.Errorf("close worker: %v", err)
		}
	}
	if err := e.Server.Close(); err != nil {
		e.t.Errorf("close server: %v", err)
	}
	e.grpc.Stop()
	e.wg.Wait()
}

// Session is a client's session.
type Session struct {
	*coordinator.Session
	Notices []string
}

// Session opens a session of the superuser.
func (e *Engine) Session() *Session {
	e.t.Helper()
	return e.SessionOf("")
}

// SessionOf opens a session of a role.
func (e *Engine) SessionOf(user string) *Session {
	e.t.Helper()
	s := &Session{}
	var err error
	s.Session, err = e.NewSession(context.Background(), coordinator.SessionOptions{
		User: user,
		OnNotice: func(severity, code, message, hint string) {
			s.Notices = append(s.Notices, severity+": "+message)
		}})
	if err != nil {
		e.t.Fatal(err)
	}
	return s
}

// Rows are a statement's result as text; NULL is "NULL".
type Rows struct {
	Fields []vector.Field
	Rows   [][]string
	Tag    string
}

// Run executes every statement of a text and returns the last one's result.
func (s *Session) Run(ctx context.Context, sql string) (*Rows, error) {
	list, err := s.Parse(sql)
	if err != nil {
		return nil, err
	}
	var out *Rows
	for _, st := range list {
		if out, err = s.one(ctx, st); err != nil {
			s.EndImplicit(true)
			return nil, err
		}
	}
	s.EndImplicit(false)
	return out, nil
}

func (s *Session) one(ctx context.Context, st *parser.Statement) (*Rows, error) {
	p, err := s.Prepare(ctx, st, nil)
	if err != nil {
		return nil, err
	}
	r, err := s.Execute(ctx, p, nil)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if r.CopyIn != nil || r.CopyOut != nil {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "COPY from or to the client needs a client")
	}
	if (p.Fields == nil) != (r.Fields == nil) || len(p.Fields) != len(r.Fields) {
		return nil, fmt.Errorf("Prepare said %v and Execute %v", p.Fields, r.Fields)
	}
	out := &Rows{Fields: r.Fields}
	app := make([]func([]byte, *vector.Vector, int) []byte, len(r.Fields))
	text, regName := textOptions(s.Setting), s.RegName
	if r.Setting != nil {
		text, regName = textOptions(r.Setting), r.RegName
	}
	for i, f := range r.Fields {
		app[i] = vector.TextAppender(f.Type, text)
		switch f.Type.ID {
		case types.Regclass, types.Regtype, types.Regproc, types.Regprocedure, types.Regnamespace:
			app[i] = func(dst []byte, v *vector.Vector, i int) []byte {
				return append(dst, regName(f.Type, uint32(vector.At[int64](v, i)))...)
			}
		}
	}
	for {
		b, err := r.Next(ctx)
		if err != nil {
			return nil, err
		}
		if b == nil {
			break
		}
		b = b.Dense()
		for i := 0; i < b.Rows(); i++ {
			row := make([]string, len(r.Fields))
			for c := range row {
				if b.Col(c).IsNull(i) {
					row[c] = "NULL"
				} else {
					row[c] = string(app[c](nil, b.Col(c), i))
				}
			}
			out.Rows = append(out.Rows, row)
		}
	}
	out.Tag = r.Tag()
	return out, nil
}

// textOptions are the settings for the text of values.
func textOptions(setting func(name string) (string, bool)) *types.TextOptions {
	get := func(name string) string { v, _ := setting(name); return v }
	o := &types.TextOptions{ByteaEscape: get("bytea_output") == "escape"}
	o.ExtraFloatDigits, _ = strconv.Atoi(get("extra_float_digits"))
	if loc, err := types.ParseSessionZone(get("TimeZone")); err == nil {
		o.Location = loc
	}
	return o
}
