package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"
	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/volleydb/volley/coordinator"
	"github.com/volleydb/volley/exchange"
	"github.com/volleydb/volley/worker"
)

// workerConfig is what the flags of worker say.
type workerConfig struct {
	coordinator, data, id string
	grpc, http, advertise string
	slots                 int
	memory                int64
	cache                 int64
	trustedKeys           string
	grace                 time.Duration
	log                   *slog.Logger
}

func newWorker() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "worker --coordinator HOST:7070",
		Short: "Run a worker of a cluster",
		Long: `Registers at a coordinator and runs its tasks. Its data directory holds spilled
data and fetched artifacts, nothing that would be missed. Without --data it is
the first free one of worker-1, worker-2, … in the user's data home, so that
several workers can be started on one machine without further ado.

SIGTERM: no new tasks; leaves when the queries that have data here have ended,
or after --grace.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f := cmd.Flags()
			limit, err := memoryFlag(f)
			if err != nil {
				return err
			}
			c := workerConfig{memory: useMemory(limit)}
			if c.log, err = newLog(cmd); err != nil {
				return err
			}
			c.coordinator, _ = f.GetString("coordinator")
			if c.coordinator == "" {
				return errors.New("--coordinator HOST:PORT is missing: the gRPC address that volley coordinator or volley serve has printed")
			}
			if _, _, err := net.SplitHostPort(c.coordinator); err != nil {
				return fmt.Errorf("--coordinator takes host:port: %w", err)
			}
			c.data, _ = f.GetString("data")
			c.id, _ = f.GetString("id")
			c.grpc, _ = f.GetString("grpc-listen")
			c.http, _ = f.GetString("http-listen")
			c.advertise, _ = f.GetString("advertise")
			c.slots, _ = f.GetInt("slots")
			c.trustedKeys, _ = f.GetString("udf-trusted-keys")
			cache, _ := f.GetString("artifact-cache")
			if c.cache, err = coordinator.ParseBytes(cache); err != nil || c.cache < 0 {
				return fmt.Errorf("--artifact-cache %q: bytes are expected, such as 10GB, or 0 for any number", cache)
			}
			c.grace, _ = f.GetDuration("grace")
			ctx, force, stop := untilSignal(cmd.Context())
			defer stop()
			return runWorker(ctx, force, c, cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.String("coordinator", "", "gRPC `address` of the coordinator")
	f.String("data", "", "data `directory` of this worker")
	f.String("id", "", "`name` in the cluster, stable over restarts (default: host and data directory)")
	f.String("grpc-listen", "127.0.0.1:0", "`address` at which other workers fetch this one's outputs")
	f.String("http-listen", "", "`address` for /healthz, /readyz and /metrics; empty for none")
	f.String("advertise", "", "`host:port` at which others reach --grpc-listen, when that is not an address of one interface")
	addMemoryFlag(f)
	f.Int("slots", 0, "tasks that run at once (default: one per CPU)")
	f.String("artifact-cache", "10GB", "`bytes` that fetched artifacts of functions may take; those used longest ago go first, 0 keeps all")
	f.String("udf-trusted-keys", "", "`file` of the keys one of which must have signed an artifact of functions (default: all artifacts are taken)")
	f.Duration("grace", 5*time.Minute, "how long queries may go on using this worker at shutdown")
	return cmd
}

// runWorker runs a worker until ctx ends, then drains it: for c.grace, or until
// force ends.
func runWorker(ctx, force context.Context, c workerConfig, stdout io.Writer) (err error) {
	keep := func(f func() error) {
		if cerr := f(); cerr != nil && err == nil {
			err = cerr
		}
	}
	dir, lock, err := claimWorkerDir(c.data)
	if err != nil {
		return err
	}
	defer keep(lock.Close)
	if c.id == "" {
		host, _ := os.Hostname()
		c.id = host + "/" + filepath.Base(dir)
	}
	listeners, err := listenAll(c.grpc, c.http)
	if err != nil {
		return err
	}
	defer closeAll(listeners)
	grpcLn, httpLn := listeners[0], listeners[1]
	warnOpen(c.log, grpcLn.Addr())
	if c.advertise == "" {
		if c.advertise, err = reachableFrom(grpcLn.Addr(), c.coordinator); err != nil {
			return err
		}
	}
	node, err := coordinator.NewNode(coordinator.NodeConfig{Dir: dir, ID: c.id, Slots: c.slots, Memory: c.memory, Collector: true,
		ExchangeAddress: c.advertise, Log: c.log, TrustedKeys: c.trustedKeys, ArtifactCache: c.cache})
	if err != nil {
		return err
	}
	defer keep(node.Close)
	g := grpc.NewServer(exchange.ServerOptions()...)
	node.Worker.Serve(g)
	var ready atomic.Bool
	w := newWeb(ready.Load, workerMetrics(node.Worker), c.log)

	// Each of these ends when it is stopped below.
	ended := make(chan error, 3)
	running := 0
	start := func(what string, f func() error) {
		running++
		go func() {
			if err := f(); err != nil {
				ended <- fmt.Errorf("%s: %w", what, err)
				return
			}
			ended <- nil
		}()
	}
	connected, leave := context.WithCancel(force)
	defer leave()
	left := make(chan struct{})
	start("grpc", func() error { return g.Serve(grpcLn) })
	if httpLn != nil {
		start("http", func() error { return w.serve(httpLn) })
	}
	start("coordinator", func() error {
		defer close(left)
		return node.Worker.Connect(connected, worker.ConnectConfig{Address: c.coordinator})
	})
	ready.Store(true)
	fmt.Fprintf(stdout, "worker %s\n", c.id)
	fmt.Fprintf(stdout, "grpc %s\n", grpcLn.Addr())
	if httpLn != nil {
		fmt.Fprintf(stdout, "http %s\n", httpLn.Addr())
	}
	fmt.Fprintln(stdout, "ready")

	select {
	case <-ctx.Done():
		c.log.Info("draining", "grace", c.grace)
		drain, cancel := context.WithTimeout(force, c.grace)
		node.Worker.Drain(drain)
		select {
		case <-left:
		case <-drain.Done():
			c.log.Warn("leaving with queries under way")
		}
		cancel()
	case <-left: // drained at the coordinator's wish
	case err = <-ended:
		running--
	}
	ready.Store(false)
	leave()
	g.Stop()
	w.close()
	for ; running > 0; running-- {
		keep(func() error { return <-ended })
	}
	return err
}

// claimWorkerDir locks the data directory dir, or the first free one when dir is
// empty. Two workers on one directory would remove each other's spilled data.
func claimWorkerDir(dir string) (string, *flock.Flock, error) {
	try := func(dir string) (*flock.Flock, bool, error) {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, false, err
		}
		l := flock.New(filepath.Join(dir, "lock"), flock.SetPermissions(0o600))
		ok, err := l.TryLock()
		return l, ok, err
	}
	if dir != "" {
		dir, err := filepath.Abs(dir)
		if err != nil {
			return "", nil, err
		}
		l, ok, err := try(dir)
		if err != nil {
			return "", nil, fmt.Errorf("could not use the data directory: %w", err)
		}
		if !ok {
			return "", nil, fmt.Errorf("data directory %s is in use by another process; name another by --data", dir)
		}
		return dir, l, nil
	}
	home, err := dataHome()
	if err != nil {
		return "", nil, err
	}
	for i := 1; ; i++ {
		dir := filepath.Join(home, "workers", "worker-"+strconv.Itoa(i))
		l, ok, err := try(dir)
		if err != nil {
			return "", nil, fmt.Errorf("could not use the data directory: %w", err)
		}
		if ok {
			return dir, l, nil
		}
	}
}

// reachableFrom is the address of a listener as others may dial it. For one on
// all interfaces that is the one which the way to the coordinator takes.
func reachableFrom(a net.Addr, coordinator string) (string, error) {
	if s := reachable(a); s != "" {
		return s, nil
	}
	c, err := net.Dial("udp", coordinator) // sends nothing
	if err != nil {
		return "", fmt.Errorf("no way to the coordinator %s: %w; name this worker's own address by --advertise", coordinator, err)
	}
	defer c.Close()
	host, _, err := net.SplitHostPort(c.LocalAddr().String())
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(a.String())
	return net.JoinHostPort(host, port), err
}
