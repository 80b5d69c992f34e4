package coordinator

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/volleydb/volley/catalog"
	"github.com/volleydb/volley/catalog/pgcatalog"
	"github.com/volleydb/volley/coordinator/cluster"
	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/storage"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/udf"
)

// Version is the version of this build.
const Version = "0.1.0"

// Config is what a Coordinator is made of. It owns none of these.
type Config struct {
	Store     *catalog.Store
	Cluster   *cluster.Cluster
	Artifacts *udf.Store
	// Plugins runs what functions compute while a statement is planned; nil = nothing.
	Plugins *udf.Host
	// Defaults are settings from flags, the environment and the config file, by
	// name; Sources says which of them it was, for pg_settings.
	Defaults map[string]string
	Sources  map[string]string
	Log      *slog.Logger
	// UDFErrors is the folder of the journal of rows on which user code failed; ""
	// keeps them in memory.
	UDFErrors string
	// UDFLogs gives what user code has logged lately; may be nil.
	UDFLogs func() []udf.LogLine
	// Tracer gets the spans of plans that have ended; nil = nothing.
	Tracer trace.Tracer
	// Receipts is the folder of the journal of receipts; "" keeps them in memory.
	Receipts string
}

// Coordinator runs statements of many sessions.
type Coordinator struct {
	cfg      Config
	defaults *sessionSettings
	files    *storage.PlanCache
	started  time.Time

	nextPID  atomic.Int32
	mu       sync.Mutex
	sessions map[*Session]bool
	closed   bool
	writers  tableLocks
	udfs     *udfRecord
	receipts *receiptStore

	gcMu sync.Mutex     // one collection at a time
	wg   sync.WaitGroup // of what runs in the background, until stop
	stop context.CancelFunc
}

// New makes a Coordinator; 42704 or 22023 for a bad default setting.
func New(cfg Config) (*Coordinator, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	c := &Coordinator{cfg: cfg, files: storage.NewPlanCache(256), sessions: map[*Session]bool{}, started: time.Now()}
	var err error
	if c.udfs, err = openUDFRecord(cfg.UDFErrors, cfg.Log); err != nil {
		return nil, err
	}
	c.udfs.logs = cfg.UDFLogs
	c.defaults = newSettings()
	for k, v := range cfg.Defaults {
		src := cfg.Sources[k]
		if src == "" {
			src = "command line"
		}
		if _, err := c.defaults.set(k, v, src, true); err != nil {
			return nil, err
		}
	}
	if cfg.Store != nil {
		if err := dropSchemas(context.Background(), cfg.Store, func(string) bool { return true }); err != nil {
			return nil, err
		}
	}
	if err := c.openReceipts(); err != nil {
		return nil, err
	}
	c.openArtifacts()
	return c, nil
}

// NewSession starts a session for a client that has been authenticated.
func (c *Coordinator) NewSession(ctx context.Context, o SessionOptions) (*Session, error) {
	snap := c.cfg.Store.Snapshot()
	if o.User == "" {
		o.User = catalog.BootstrapRole
	}
	role := snap.Role(o.User)
	if role == nil || !role.Login {
		return nil, pgerr.New(pgerr.InvalidAuthorization, "role %q does not exist", o.User).
			WithHint("The first role is %q: psql -U %[1]s", catalog.BootstrapRole)
	}
	if o.Database == "" || o.Database == o.User {
		o.Database = catalog.DefaultDatabase
	}
	if o.Database != catalog.DefaultDatabase {
		return nil, pgerr.New(pgerr.InvalidCatalogName, "database %q does not exist", o.Database).
			WithHint("The database is %q: psql -d %[1]s", catalog.DefaultDatabase)
	}
	s := &Session{c: c, o: o, settings: c.defaults.clone(), pid: c.nextPID.Add(1), started: time.Now()}
	s.settings.value["session_authorization"] = o.User
	s.settings.value["is_superuser"] = map[bool]string{true: "on", false: "off"}[role.Superuser]
	for k, v := range snap.Settings() {
		if _, err := s.settings.set(k, v, "database", true); err != nil {
			c.cfg.Log.Warn("setting of the database ignored", "name", k, "err", err)
		}
	}
	for k, v := range role.Settings {
		if _, err := s.settings.set(k, v, "user", true); err != nil {
			c.cfg.Log.Warn("setting of the role ignored", "name", k, "err", err)
		}
	}
	for k, v := range o.Settings {
		if _, err := s.settings.set(k, v, "client", true); err != nil {
			return nil, err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, pgerr.New(pgerr.CannotConnectNow, "the server is shutting down")
	}
	c.sessions[s] = true
	return s, nil
}

// PasswordVerifier returns the SCRAM verifier of a role.
func (c *Coordinator) PasswordVerifier(user string) (scram string, ok bool) {
	r := c.cfg.Store.Snapshot().Role(user)
	if r == nil || !r.Login || r.Verifier == "" {
		return "", false
	}
	return r.Verifier, true
}

// RegName is the text form of a regclass, regtype, … value for a client.
func (c *Coordinator) RegName(t types.Type, oid uint32) string {
	snap := c.cfg.Store.Acquire()
	defer snap.Release()
	v := &pgcatalog.View{Snapshot: snap, SearchPath: []string{"public"}, User: catalog.BootstrapRole, Database: catalog.DefaultDatabase}
	return function.RegText(&function.Ctx{Catalog: v.Lookup()}, t, oid)
}

// RegName is Coordinator.RegName as this session sees names: those on its
// search path are not qualified.
func (s *Session) RegName(t types.Type, oid uint32) string {
	snap := s.c.cfg.Store.Acquire
	if s.tx != nil {
		snap = func() *catalog.Snapshot {
			tx := s.tx.Snapshot()
			tx.Acquire()
			return tx
		}
	}
	at := snap()
	defer at.Release()
	v := &pgcatalog.View{Snapshot: at, SearchPath: s.searchPath(at), User: s.o.User, Database: s.o.Database}
	return function.RegText(&function.Ctx{Catalog: v.Lookup()}, t, oid)
}

// Close refuses new sessions. Sessions are closed by their owners.
func (c *Coordinator) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	if c.stop != nil {
		c.stop()
	}
	c.wg.Wait()
	c.udfs.close()
	c.receipts.close()
}

func (c *Coordinator) forget(s *Session) {
	c.mu.Lock()
	delete(c.sessions, s)
	c.mu.Unlock()
}

func (c *Coordinator) activity() []pgcatalog.Activity {
	c.mu.Lock()
	list := make([]*Session, 0, len(c.sessions))
	for s := range c.sessions {
		list = append(list, s)
	}
	c.mu.Unlock()
	var out []pgcatalog.Activity
	for _, s := range list {
		out = append(out, s.activity())
	}
	return out
}

func (c *Coordinator) workers() []pgcatalog.Worker {
	var out []pgcatalog.Worker
	for _, w := range c.cfg.Cluster.Workers() {
		out = append(out, pgcatalog.Worker{ID: w.ID, Address: w.Address, State: w.State, Version: w.Version,
			Slots: w.Slots, Running: w.RunningTasks, MemoryBytes: w.Memory, Started: w.ConnectedAt, LastSeen: w.LastSeen})
	}
	return out
}

// newID returns a random query ID.
func newID() string {
	var b [8]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

func randomSeed() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:])
	return binary.LittleEndian.Uint64(b[:])
}
