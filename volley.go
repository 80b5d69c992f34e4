package volley

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/volleydb/volley/coordinator"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/pgwire"
	sdk "github.com/volleydb/volley/udf/sdk"
)

// Options are the choices of Open; the zero value is an empty database that is gone
// after Close.
type Options struct {
	// Dir is the data directory, created if missing; "" is a temporary one, which
	// Close removes. One program at a time can have a directory open.
	Dir string
	// Slots is how many tasks run at once; 0 = one per CPU.
	Slots int
	// Memory bounds what statements keep in memory, in bytes; what is more goes to
	// disk. 0 = 2 GiB.
	Memory int64
	// Settings are defaults of sessions: {"TimeZone": "Europe/Berlin"}.
	Settings map[string]string
	Log      *slog.Logger // nil = nowhere
}

// DB is an open database. It is safe for concurrent use.
type DB struct {
	server *coordinator.Server
	temp   string // to be removed
	log    *slog.Logger

	mu     sync.Mutex
	closed bool
	wire   map[*pgwire.Server]struct{}
}

// Open opens the database in a directory and starts the engine in this process;
// 55006 when another one has it open.
func Open(ctx context.Context, o Options) (db *DB, err error) {
	db = &DB{log: o.Log, wire: map[*pgwire.Server]struct{}{}}
	if o.Dir == "" {
		if o.Dir, err = os.MkdirTemp("", "volley-"); err != nil {
			return nil, pgerr.Wrap(err, pgerr.IOError, "could not make a directory for the database")
		}
		db.temp = o.Dir
	}
	sources := map[string]string{}
	for k := range o.Settings {
		sources[k] = "configuration file"
	}
	db.server, err = coordinator.Open(ctx, coordinator.OpenConfig{Dir: o.Dir, RunLocally: true, Slots: o.Slots, Memory: o.Memory,
		Defaults: o.Settings, Sources: sources, Log: o.Log})
	if err != nil {
		if db.temp != "" {
			_ = os.RemoveAll(db.temp)
		}
		return nil, err
	}
	return db, nil
}

// Close ends the statements that run and the engine.
func (db *DB) Close() error {
	db.mu.Lock()
	if db.closed {
		db.mu.Unlock()
		return nil
	}
	db.closed = true
	var wires []*pgwire.Server
	for w := range db.wire {
		wires = append(wires, w)
	}
	db.mu.Unlock()
	now, cancel := context.WithCancel(context.Background())
	cancel()
	for _, w := range wires {
		_ = w.Shutdown(now) // that statements were cancelled
	}
	err := db.server.Close()
	if db.temp != "" {
		err = errors.Join(err, os.RemoveAll(db.temp))
	}
	return err
}

// Register makes functions of this program functions of the database, in the schema
// public, under their names in lower case: \df shows them, volley.function_versions
// their versions. It is called each time the program starts; another build of the
// program registers a next version of each function, unless udf.Version says which
// version the functions are. Arguments, results, volatility, names, defaults and
// VARIADIC are as declared; whose arguments cannot be NULL is STRICT.
//
// The functions are called in this process: a crash is the program's, and a function
// that does not return cannot be ended. See docs/udf/embedding.md.
func (db *DB) Register(ctx context.Context, decls ...sdk.Decl) error {
	return db.server.Register(ctx, "public", decls...)
}

// RegisterIn is Register in another schema.
func (db *DB) RegisterIn(ctx context.Context, schema string, decls ...sdk.Decl) error {
	return db.server.Register(ctx, schema, decls...)
}

// Serve lets Postgres clients in at ln, as anybody they say they are, until Close or
// the end of ctx. Only addresses of this machine are served: for others there is
// volley serve, with passwords and TLS.
func (db *DB) Serve(ctx context.Context, ln net.Listener) error {
	w := pgwire.New(pgwire.Config{Auth: pgwire.AuthTrust, Logger: db.log, Version: "15.0 (Volley " + coordinator.Version + ")", RegName: db.server.RegName,
		NewSession: func(ctx context.Context, o coordinator.SessionOptions) (pgwire.Session, error) {
			s, err := db.server.NewSession(ctx, o)
			if err != nil {
				return nil, err
			}
			return s, nil
		}})
	db.mu.Lock()
	if db.closed {
		db.mu.Unlock()
		return errClosed()
	}
	db.wire[w] = struct{}{}
	db.mu.Unlock()
	defer func() {
		db.mu.Lock()
		delete(db.wire, w)
		db.mu.Unlock()
	}()
	stop := context.AfterFunc(ctx, func() {
		now, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		_ = w.Shutdown(now)
	})
	defer stop()
	return w.Serve(ctx, ln)
}

func errClosed() error { return pgerr.New(pgerr.AdminShutdown, "the database is closed") }
