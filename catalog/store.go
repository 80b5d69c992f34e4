package catalog

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/volleydb/volley/pgerr"
)

const (
	dbFile     = "volley.db"
	lockFile   = "lock"
	tablesDir  = "tables"
	stagingDir = "staging"
)

// Store is the catalog on disk, in one data directory.
type Store struct {
	dir  string
	lock *os.File
	db   *sql.DB

	// commit is held by the one transaction that commits.
	commit sync.Mutex

	// dirs is held while a file is put into a table's directory, and while a
	// directory that seems empty is removed.
	dirs sync.Mutex

	mu      sync.Mutex // guards what follows
	current *Snapshot
	pins    map[*Snapshot]int
	garbage []garbage
	retired map[string]*retiredFile // by path
	// retention is how long files stay that are in no table any more, 0 = not at
	// all; retentionBytes bounds them.
	retention      time.Duration
	retentionBytes int64
	nextOID        uint32
	nextFile       int64
	broken         error // a commit of unknown outcome: no more changes

	// hook, when set by a test, is called before each step of a commit.
	hook func(step string) error
}

// garbage is files that are in no snapshot from version on.
type garbage struct {
	version int64
	paths   []string
}

// Open opens or creates the catalog in dir and takes the directory's lock; it
// removes data files that nothing refers to. 55006 when another process has it.
func Open(ctx context.Context, dir string) (*Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, pgerr.Wrap(err, pgerr.IOError, "data directory")
	}
	for _, d := range []string{dir, filepath.Join(dir, tablesDir), filepath.Join(dir, stagingDir)} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, ioError(err, "could not create directory \"%s\"", d)
		}
	}
	s := &Store{dir: dir, pins: map[*Snapshot]int{}}
	if s.lock, err = lockDir(dir, filepath.Join(dir, lockFile)); err != nil {
		return nil, err
	}
	if err := s.open(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Store) open(ctx context.Context) error {
	if err := s.openDB(ctx); err != nil {
		return err
	}
	snap, err := s.load(ctx)
	if err != nil {
		return err
	}
	s.current = snap
	if err := s.loadRetired(ctx); err != nil {
		return err
	}
	if err := s.bootstrap(ctx); err != nil {
		return err
	}
	return s.removeOrphans()
}

// bootstrap adds what every catalog has.
func (s *Store) bootstrap(ctx context.Context) error {
	if s.current.version > 0 {
		return nil
	}
	tx := s.Begin()
	defer tx.Rollback()
	err := tx.do(func(d *Snapshot) error {
		d.putRole(&Role{OID: BootstrapOID, Name: BootstrapRole, Superuser: true, Login: true, CreateRole: true, CreateDB: true, ConnLimit: -1})
		for _, sc := range []Schema{
			{OID: PgCatalogOID, Name: "pg_catalog", Comment: "system catalog schema"},
			{OID: PublicOID, Name: "public", Comment: "standard public schema"},
			{OID: InfoSchemaOID, Name: "information_schema"},
		} {
			sc.Owner = BootstrapRole
			d.putSchema(&sc)
		}
		for _, sc := range []uint32{PgCatalogOID, InfoSchemaOID, PublicOID} {
			g := Grant{Object: sc, Role: "public", Privilege: "USAGE"}
			d.grants[grantKey{g.Object, g.Role, g.Privilege}] = g
		}
		return nil
	})
	if err != nil {
		return err
	}
	return tx.Commit(ctx)
}

// Close releases the directory. Transactions must have ended; files of dropped
// tables that a snapshot still pinned are removed at the next Open.
func (s *Store) Close() error {
	s.commit.Lock()
	defer s.commit.Unlock()
	var err error
	if s.db != nil {
		err = s.db.Close()
		s.db = nil
	}
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
		s.lock = nil
	}
	if err != nil {
		return pgerr.Wrap(err, pgerr.IOError, "could not close the catalog")
	}
	return nil
}

// Dir is the data directory, absolute.
func (s *Store) Dir() string { return s.dir }

// Path returns the absolute path of a File.Path.
func (s *Store) Path(rel string) string { return filepath.Join(s.dir, filepath.FromSlash(rel)) }

// Snapshot returns the current snapshot, unpinned: for metadata only.
func (s *Store) Snapshot() *Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current
}

// Acquire returns the current snapshot, pinned: its files stay on disk until
// Release.
func (s *Store) Acquire() *Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pins[s.current]++
	return s.current
}

// Pinned returns the current snapshot and all others that are pinned.
func (s *Store) Pinned() []*Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []*Snapshot{s.current}
	for p := range s.pins {
		if p != s.current {
			out = append(out, p)
		}
	}
	return out
}

// Acquire pins a snapshot that is pinned already (or is a transaction's), once
// more.
func (s *Snapshot) Acquire() {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	s.store.pins[s.root()]++
}

// Release undoes one Acquire.
func (s *Snapshot) Release() {
	st, root := s.store, s.root()
	st.mu.Lock()
	if st.pins[root]--; st.pins[root] <= 0 {
		delete(st.pins, root)
	}
	dead := st.takeGarbage()
	st.mu.Unlock()
	st.remove(dead)
}

// root is the published snapshot that this one is or was made from.
func (s *Snapshot) root() *Snapshot {
	if s.base != nil {
		return s.base
	}
	return s
}

// takeGarbage returns the files that no pinned snapshot shows any more.
func (s *Store) takeGarbage() []string {
	oldest := s.current.version
	for p := range s.pins {
		oldest = min(oldest, p.version)
	}
	var dead []string
	s.garbage = slices.DeleteFunc(s.garbage, func(g garbage) bool {
		if oldest < g.version {
			return false
		}
		for _, p := range g.paths {
			if r := s.retired[p]; r != nil {
				r.unseen = true
			} else {
				dead = append(dead, p)
			}
		}
		return true
	})
	return dead
}

// remove deletes data files; what cannot be deleted now is an orphan for the
// next Open.
func (s *Store) remove(rel []string) {
	for _, r := range rel {
		p := s.Path(r)
		os.Remove(p)
		s.dirs.Lock()
		os.Remove(filepath.Dir(p)) // succeeds when it was the last file
		s.dirs.Unlock()
	}
}

// StagingDir creates and returns the directory into which a query writes files
// before they are committed.
func (s *Store) StagingDir(query string) (string, error) {
	if query == "" || strings.ContainsAny(query, `/\`) || query[0] == '.' {
		return "", pgerr.New(pgerr.InternalError, "bad query id %q for a staging directory", query)
	}
	p := filepath.Join(s.dir, stagingDir, query)
	if err := os.MkdirAll(p, 0o700); err != nil {
		return "", ioError(err, "could not create directory \"%s\"", p)
	}
	return p, nil
}

// DropStaging removes a query's staging directory with what is left in it.
func (s *Store) DropStaging(query string) error {
	if query == "" || strings.ContainsAny(query, `/\`) || query[0] == '.' {
		return pgerr.New(pgerr.InternalError, "bad query id %q for a staging directory", query)
	}
	if err := os.RemoveAll(filepath.Join(s.dir, stagingDir, query)); err != nil {
		return ioError(err, "could not remove the staging directory of query %s", query)
	}
	return nil
}

// removeOrphans deletes staged files and data files that the catalog does not
// know: leftovers of a crash.
func (s *Store) removeOrphans() error {
	staged, err := os.ReadDir(filepath.Join(s.dir, stagingDir))
	if err != nil {
		return ioError(err, "could not read the staging directory")
	}
	for _, e := range staged {
		if err := os.RemoveAll(filepath.Join(s.dir, stagingDir, e.Name())); err != nil {
			return ioError(err, "could not remove \"%s\"", e.Name())
		}
	}
	known := map[string]bool{}
	for _, r := range s.current.relations {
		for _, f := range r.Files {
			known[f.Path] = true
		}
	}
	for p := range s.retired {
		known[p] = true
	}
	root := filepath.Join(s.dir, tablesDir)
	var dirs []string
	err = filepath.WalkDir(root, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			if p != root {
				dirs = append(dirs, p)
			}
			return nil
		}
		rel, err := filepath.Rel(s.dir, p)
		if err != nil || known[filepath.ToSlash(rel)] {
			return err
		}
		return os.Remove(p)
	})
	if err != nil {
		return ioError(err, "could not remove orphaned data files")
	}
	for _, d := range slices.Backward(dirs) {
		os.Remove(d) // fails for those in use, as it should
	}
	return nil
}

// Begin starts a transaction. It takes no lock: operations are checked against
// the transaction's own snapshot now and once more at Commit, against whatever
// others committed meanwhile.
func (s *Store) Begin() *Tx {
	base := s.Acquire()
	d := base.clone()
	d.base = base
	return &Tx{store: s, base: base, draft: d}
}

// Update runs f in a transaction and commits it.
func (s *Store) Update(ctx context.Context, f func(tx *Tx) error) error {
	tx := s.Begin()
	defer tx.Rollback()
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

func (s *Store) newOID() uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nextOID++
	return s.nextOID - 1
}

// newFileName makes a name that no other file of the installation has.
func (s *Store) newFileName(staged string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nextFile++
	return strconv.FormatInt(s.nextFile-1, 10) + filepath.Ext(staged)
}

// step is a point at which a test may fail or look at the disk.
func (s *Store) step(name string) error {
	if s.hook != nil {
		return s.hook(name)
	}
	return nil
}

func ioError(err error, format string, args ...any) error {
	if errors.Is(err, syscall.ENOSPC) {
		return pgerr.Wrap(err, pgerr.DiskFull, format, args...)
	}
	return pgerr.Wrap(err, pgerr.IOError, format, args...)
}
