package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/volleydb/volley/coordinator"
	"github.com/volleydb/volley/exchange"
	"github.com/volleydb/volley/parser"
	"github.com/volleydb/volley/pgwire"
)

// serveConfig is what the flags of serve and coordinator say.
type serveConfig struct {
	data                  string
	listen, grpc, http    string // addresses; http may be empty
	advertise             string
	auth                  string
	trustRemote           bool
	tlsCert, tlsKey       string
	requireTLS            bool
	slots, maxConnections int
	grace                 time.Duration
	runLocally            bool
	values, sources       map[string]string
	memory                int64
	trustedKeys           string
	signingKey            string
	log                   *slog.Logger
}

func newServe() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run a server: coordinator and worker in one process",
		Long: `Runs a coordinator with an embedded worker on a data directory. Further workers
may join at the gRPC address: volley worker --coordinator HOST:7070. While any is
connected, the plans run there.

Prints its addresses, then "ready". SIGTERM: no new connections, running
statements get --grace, exit 0.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return serveCommand(cmd, true) },
	}
	addServeFlags(cmd)
	return cmd
}

func newCoordinator() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "coordinator",
		Short: "Run a coordinator; workers run the plans",
		Long: `Is serve without a worker of its own: statements that read data wait for a
worker to join (volley worker --coordinator HOST:7070).`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return serveCommand(cmd, false) },
	}
	addServeFlags(cmd)
	return cmd
}

func addServeFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	addDataFlag(f)
	addSetFlag(f)
	f.String("listen", "127.0.0.1:5433", "`address` for Postgres clients; port 0 picks a free one")
	f.String("grpc-listen", "127.0.0.1:7070", "`address` for workers")
	f.String("http-listen", "127.0.0.1:8080", "`address` for /healthz, /readyz and /metrics; empty for none")
	f.String("advertise", "", "`host:port` at which workers reach --grpc-listen, when that is not an address of one interface")
	f.String("auth", pgwire.AuthTrust, "how clients prove who they are: trust or scram-sha-256")
	f.Bool("trust-remote", false, "accept --auth trust from other machines: anybody who reaches the port is then a superuser")
	f.String("tls-cert", "", "certificate `file` (PEM); clients may then use TLS")
	f.String("tls-key", "", "private key `file` (PEM)")
	f.Bool("require-tls", false, "refuse clients without TLS")
	addMemoryFlag(f)
	f.Int("slots", 0, "tasks that run at once in this process (default: one per CPU)")
	f.String("udf-trusted-keys", "", "`file` of the keys one of which must have signed an artifact of functions (default: all artifacts are taken)")
	f.String("udf-signing-key", "", "`file` of the private key with which this server signs the artifacts that it makes itself, of source in SQL")
	f.Int("max-connections", 100, "clients that are connected at once")
	f.Duration("grace", 10*time.Second, "how long running statements may go on at shutdown")
}

func serveCommand(cmd *cobra.Command, runLocally bool) error {
	f := cmd.Flags()
	c := serveConfig{runLocally: runLocally}
	limit, err := memoryFlag(f)
	if err != nil {
		return err
	}
	c.memory = useMemory(limit)
	if c.log, err = newLog(cmd); err != nil {
		return err
	}
	if c.data, err = dataDir(cmd); err != nil {
		return err
	}
	if c.values, c.sources, err = sessionDefaults(cmd); err != nil {
		return err
	}
	c.listen, _ = f.GetString("listen")
	c.grpc, _ = f.GetString("grpc-listen")
	c.http, _ = f.GetString("http-listen")
	c.advertise, _ = f.GetString("advertise")
	c.auth, _ = f.GetString("auth")
	c.trustRemote, _ = f.GetBool("trust-remote")
	c.tlsCert, _ = f.GetString("tls-cert")
	c.tlsKey, _ = f.GetString("tls-key")
	c.requireTLS, _ = f.GetBool("require-tls")
	c.slots, _ = f.GetInt("slots")
	c.trustedKeys, _ = f.GetString("udf-trusted-keys")
	c.signingKey, _ = f.GetString("udf-signing-key")
	c.maxConnections, _ = f.GetInt("max-connections")
	c.grace, _ = f.GetDuration("grace")
	ctx, force, stop := untilSignal(cmd.Context())
	defer stop()
	return serve(ctx, force, c, cmd.OutOrStdout())
}

// serve runs a server until ctx ends, then shuts it down: gently for c.grace,
// at once when force ends.
func serve(ctx, force context.Context, c serveConfig, stdout io.Writer) (err error) {
	wire, err := c.wireConfig()
	if err != nil {
		return err
	}
	keep := func(f func() error) {
		if cerr := f(); cerr != nil && err == nil {
			err = cerr
		}
	}
	listeners, err := listenAll(c.listen, c.grpc, c.http)
	if err != nil {
		return err
	}
	defer closeAll(listeners)
	pgLn, grpcLn, httpLn := listeners[0], listeners[1], listeners[2]
	exchangeAddr := c.advertise
	if exchangeAddr == "" {
		exchangeAddr = reachable(grpcLn.Addr())
	}
	warnOpen(c.log, grpcLn.Addr())

	tracer, stopTracer, err := newTracer(ctx)
	if err != nil {
		return err
	}
	defer keep(stopTracer)

	warm := make(chan struct{})
	go func() { defer close(warm); parser.Warm(runtime.GOMAXPROCS(0)) }()
	server, err := coordinator.Open(ctx, coordinator.OpenConfig{
		Dir: c.data, RunLocally: c.runLocally, ExchangeAddress: exchangeAddr, Slots: c.slots, Memory: c.memory, Collector: true,
		Defaults: c.values, Sources: c.sources, Tracer: tracer, Log: c.log,
		TrustedKeys: c.trustedKeys, SigningKey: c.signingKey,
	})
	if err != nil {
		<-warm
		return err
	}
	defer keep(server.Close)

	g := grpc.NewServer(exchange.ServerOptions()...)
	server.Cluster.Serve(g)
	server.Worker.Serve(g)
	wire.NewSession = sessions(server)
	wire.Verifier = server.PasswordVerifier
	wire.RegName = server.RegName
	pg := pgwire.New(wire)
	var ready atomic.Bool
	web := newWeb(ready.Load, append(serverMetrics(server, pg), workerMetrics(server.Worker)...), c.log)

	// Each of these ends when its server is stopped below.
	failed := make(chan error, 3)
	running := 0
	start := func(what string, ln net.Listener, f func(net.Listener) error) {
		if ln == nil {
			return
		}
		running++
		go func() {
			if err := f(ln); err != nil {
				failed <- fmt.Errorf("%s: %w", what, err)
				return
			}
			failed <- nil
		}()
	}
	start("grpc", grpcLn, g.Serve)
	start("postgres", pgLn, func(ln net.Listener) error { return pg.Serve(force, ln) })
	start("http", httpLn, web.serve)
	<-warm
	ready.Store(true)
	fmt.Fprintf(stdout, "postgres://volley@%s/volley\n", pgLn.Addr())
	fmt.Fprintf(stdout, "grpc %s\n", grpcLn.Addr())
	if httpLn != nil {
		fmt.Fprintf(stdout, "http %s\n", httpLn.Addr())
	}
	fmt.Fprintln(stdout, "ready")
	c.log.Info("serving", "version", coordinator.Version, "data", c.data, "slots", server.Worker.Slots(), "memory", server.Worker.Memory())

	select {
	case <-ctx.Done():
		c.log.Info("shutting down", "grace", c.grace)
	case err = <-failed:
		running--
		if err == nil {
			err = errors.New("a listener was closed")
		}
	}
	ready.Store(false)
	grace, cancel := context.WithTimeout(force, c.grace)
	defer cancel()
	if pg.Shutdown(grace) != nil {
		c.log.Warn("statements were cancelled at shutdown")
	}
	server.Coordinator.Close()
	keep(server.Cluster.Close)
	g.Stop()
	web.close()
	for ; running > 0; running-- {
		keep(func() error { return <-failed })
	}
	return err
}

// wireConfig checks the flags about clients.
func (c *serveConfig) wireConfig() (pgwire.Config, error) {
	w := pgwire.Config{Auth: c.auth, TrustRemote: c.trustRemote, RequireTLS: c.requireTLS, MaxConnections: c.maxConnections,
		Logger: c.log, Version: "15.0 (Volley " + coordinator.Version + ")"}
	switch c.auth {
	case pgwire.AuthTrust:
		if !c.trustRemote && !isLoopback(c.listen) {
			return w, fmt.Errorf("--auth trust on %s would let anybody in who reaches it; use --auth scram-sha-256, or --trust-remote if that is meant", c.listen)
		}
	case pgwire.AuthScram:
	default:
		return w, fmt.Errorf("--auth is trust or scram-sha-256, not %q", c.auth)
	}
	if (c.tlsCert == "") != (c.tlsKey == "") {
		return w, errors.New("--tls-cert and --tls-key belong together")
	}
	if c.requireTLS && c.tlsCert == "" {
		return w, errors.New("--require-tls needs --tls-cert and --tls-key")
	}
	if c.tlsCert != "" {
		cert, err := tls.LoadX509KeyPair(c.tlsCert, c.tlsKey)
		if err != nil {
			return w, fmt.Errorf("could not load the TLS certificate: %w", err)
		}
		w.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	}
	return w, nil
}

// sessions opens coordinator sessions for connections.
func sessions(s *coordinator.Server) func(context.Context, coordinator.SessionOptions) (pgwire.Session, error) {
	return func(ctx context.Context, o coordinator.SessionOptions) (pgwire.Session, error) {
		ses, err := s.NewSession(ctx, o)
		if err != nil {
			return nil, err
		}
		return ses, nil
	}
}

// listenAll listens on every address; an empty one gives nil.
func listenAll(addrs ...string) ([]net.Listener, error) {
	var out []net.Listener
	for _, a := range addrs {
		if a == "" {
			out = append(out, nil)
			continue
		}
		ln, err := net.Listen("tcp", a)
		if err != nil {
			closeAll(out)
			return nil, fmt.Errorf("could not listen: %w; another address can be given by --listen, --grpc-listen and --http-listen (port 0 picks a free one)", err)
		}
		out = append(out, ln)
	}
	return out, nil
}

func closeAll(ls []net.Listener) {
	for _, l := range ls {
		if l != nil {
			_ = l.Close() // mostly closed already by its server
		}
	}
}

// isLoopback reports whether an address to listen on is for this machine only.
func isLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// reachable is the address of a listener as others may dial it, "" when it
// listens on all interfaces.
func reachable(a net.Addr) string {
	if t, ok := a.(*net.TCPAddr); ok && t.IP.IsUnspecified() {
		return ""
	}
	return a.String()
}

func warnOpen(log *slog.Logger, a net.Addr) {
	if !isLoopback(a.String()) {
		log.Warn("the gRPC address has neither encryption nor authentication: keep it in a private network", "address", a.String())
	}
}
