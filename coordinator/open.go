package coordinator

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"

	"go.opentelemetry.io/otel/trace"

	"github.com/volleydb/volley/catalog"
	"github.com/volleydb/volley/coordinator/cluster"
	"github.com/volleydb/volley/exchange"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/physical"
	"github.com/volleydb/volley/udf"
	"github.com/volleydb/volley/worker"
)

// OpenConfig says what Open assembles.
type OpenConfig struct {
	Dir string // the data directory; created if missing
	// RunLocally lets the embedded worker run every plan while no remote worker
	// is connected (volley serve, the in-process shell).
	RunLocally bool
	// ExchangeAddress is where remote workers reach the embedded one; "" = nowhere.
	ExchangeAddress string
	Slots           int   // of the embedded worker; 0 = one per CPU
	Memory          int64 // bytes for its tasks; 0 = 2 GiB
	Defaults        map[string]string
	Sources         map[string]string
	Check           bool // run operators under the invariants checker (tests)
	// Collector lets work_mem govern the garbage collector, which is the process'.
	Collector bool
	Tracer    trace.Tracer // gets the spans of queries; nil = nothing
	Log       *slog.Logger
	// TrustedKeys is the file of the keys one of which must have signed an artifact,
	// see udf.TrustedKeys; "" takes all. SigningKey is the file of the key with which
	// the server signs the artifacts that it makes itself.
	TrustedKeys, SigningKey string
}

// Server is a coordinator with everything it stands on: the catalog's store,
// artifacts, the embedded worker and the cluster.
type Server struct {
	*Coordinator
	Cluster   *cluster.Cluster
	Worker    *worker.Worker
	Store     *catalog.Store
	Artifacts *udf.Store

	host *udf.Host
	out  *exchange.Store
}

// Open opens a data directory and starts the embedded worker on it; 55006 when
// another process has it open.
func Open(ctx context.Context, cfg OpenConfig) (s *Server, err error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s = &Server{}
	defer func() {
		if err != nil {
			s.Close()
			s = nil
		}
	}()
	if s.Store, err = catalog.Open(ctx, cfg.Dir); err != nil {
		return s, err
	}
	if s.Artifacts, err = openStore(udf.StoreConfig{Dir: filepath.Join(cfg.Dir, "artifacts"), Log: cfg.Log}, cfg.TrustedKeys, cfg.SigningKey); err != nil {
		return s, err
	}
	node, err := NewNode(NodeConfig{Dir: cfg.Dir, ID: "embedded", Slots: cfg.Slots, Memory: cfg.Memory, Artifacts: s.Artifacts,
		ExchangeAddress: cfg.ExchangeAddress, Check: cfg.Check, Collector: cfg.Collector, Log: cfg.Log})
	if err != nil {
		return s, err
	}
	s.Worker, s.host, s.out = node.Worker, node.host, node.out
	s.Cluster, err = cluster.New(cluster.Config{Embedded: s.Worker, Logs: s.host.AddLogs, RunLocally: cfg.RunLocally, ExchangeAddress: cfg.ExchangeAddress,
		Artifacts: func(ctx context.Context, digest string) (io.ReadCloser, []byte, error) {
			return openArtifact(s.Artifacts, digest)
		}, Log: cfg.Log})
	if err != nil {
		return s, err
	}
	s.Coordinator, err = New(Config{Store: s.Store, Cluster: s.Cluster, Artifacts: s.Artifacts, Plugins: node.host, Defaults: cfg.Defaults, Sources: cfg.Sources, Log: cfg.Log,
		UDFErrors: filepath.Join(cfg.Dir, "udf"), UDFLogs: s.host.Logs, Tracer: cfg.Tracer, Receipts: filepath.Join(cfg.Dir, "receipts")})
	return s, err
}

// Close ends everything, in the order that lets each part finish.
func (s *Server) Close() error {
	var first error
	keep := func(err error) {
		if err != nil && first == nil {
			first = err
		}
	}
	if s.Coordinator != nil {
		s.Coordinator.Close()
	}
	if s.Cluster != nil {
		keep(s.Cluster.Close())
	}
	keep((&Node{Worker: s.Worker, host: s.host, out: s.out}).Close())
	if s.Store != nil {
		keep(s.Store.Close())
	}
	return first
}

// NodeConfig says what NewNode assembles.
type NodeConfig struct {
	Dir             string // for spilled data and, without Artifacts, artifacts
	ID              string
	Slots           int   // 0 = one per CPU
	Memory          int64 // bytes for tasks; 0 = 2 GiB
	Artifacts       *udf.Store
	ExchangeAddress string
	Check           bool
	Collector       bool // see OpenConfig
	Log             *slog.Logger
	// Of the artifacts that the worker fetches, when Artifacts is nil: TrustedKeys as
	// in OpenConfig, and the bytes that they may take, 0 = any number.
	TrustedKeys   string
	ArtifactCache int64
}

// Node is a worker with what it stands on: the exchange's store and the host of
// user code. volley worker runs one, and every coordinator has one embedded.
type Node struct {
	Worker    *worker.Worker
	Artifacts *udf.Store
	host      *udf.Host
	out       *exchange.Store
}

// NewNode starts a worker.
func NewNode(cfg NodeConfig) (*Node, error) {
	if cfg.Slots <= 0 {
		cfg.Slots = runtime.GOMAXPROCS(0)
	}
	if cfg.Memory <= 0 {
		cfg.Memory = 2 << 30
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	n := &Node{}
	if cfg.Artifacts == nil {
		var err error
		store := udf.StoreConfig{Dir: filepath.Join(cfg.Dir, "artifacts"), Limit: cfg.ArtifactCache, Log: cfg.Log}
		if cfg.Artifacts, err = openStore(store, cfg.TrustedKeys, ""); err != nil {
			return nil, err
		}
	}
	n.Artifacts = cfg.Artifacts
	spill, err := emptied(cfg.Dir, "spill")
	if err != nil {
		return nil, err
	}
	plugins, err := emptied(cfg.Dir, "plugins") // their working directories
	if err != nil {
		return nil, err
	}
	n.out, err = exchange.NewStore(exchange.StoreConfig{Dir: filepath.Join(cfg.Dir, "exchange"), Memory: cfg.Memory / 2, Incarnation: newID()})
	if err != nil {
		return nil, err
	}
	n.host, err = udf.NewHost(udf.HostConfig{Store: cfg.Artifacts, TempDir: plugins, Worker: cfg.ID, RecordDir: filepath.Join(cfg.Dir, "udf", "failed"), Logger: cfg.Log})
	if err != nil {
		_ = n.out.Close()
		return nil, err
	}
	n.Worker, err = worker.New(worker.Config{ID: cfg.ID, Slots: cfg.Slots, Memory: cfg.Memory, Store: n.out, Artifacts: cfg.Artifacts,
		Runner:          worker.NewRunner(worker.RunnerConfig{UDF: physical.HostOf(n.host), SpillDir: spill, Memory: cfg.Memory / 2, Store: n.out, Collector: cfg.Collector, Check: cfg.Check}),
		ExchangeAddress: cfg.ExchangeAddress, Version: Version, Logs: n.host.LogsSince, Log: cfg.Log})
	if err != nil {
		_ = n.Close()
		return nil, err
	}
	return n, nil
}

// openStore opens a store of artifacts with the keys in two files, either of which
// may be "".
func openStore(cfg udf.StoreConfig, trusted, own string) (_ *udf.Store, err error) {
	if trusted != "" {
		if cfg.Keys, err = udf.OpenTrustedKeys(trusted); err != nil {
			return nil, err
		}
	}
	if own != "" {
		if cfg.Own, err = udf.ReadSigningKey(own); err != nil {
			return nil, err
		}
	}
	return udf.OpenStoreWith(cfg)
}

// emptied makes a folder of the data directory, without what a former process
// that was killed left in it.
func emptied(dir, name string) (string, error) {
	p, err := filepath.Abs(filepath.Join(dir, name)) // plugins have another working directory
	if err != nil {
		return "", pgerr.Wrap(err, pgerr.IOError, "data directory")
	}
	if err := os.RemoveAll(p); err != nil {
		return "", pgerr.Wrap(err, pgerr.IOError, "could not empty %q", p)
	}
	if err := os.MkdirAll(p, 0o700); err != nil {
		return "", pgerr.Wrap(err, pgerr.IOError, "could not create %q", p)
	}
	return p, nil
}

// Close ends the tasks, the children and the retained outputs.
func (n *Node) Close() error {
	var first error
	keep := func(err error) {
		if err != nil && first == nil {
			first = err
		}
	}
	if n.Worker != nil {
		keep(n.Worker.Close())
	}
	if n.host != nil {
		keep(n.host.Close())
	}
	if n.out != nil {
		keep(n.out.Close())
	}
	return first
}
