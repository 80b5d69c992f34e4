package catalog

import (
	"context"
	"database/sql"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/volleydb/volley/pgerr"
)

// Tx is a transaction. It belongs to one goroutine. All methods check names and
// dependencies and return Postgres' errors; objects are given without OID and
// get one.
type Tx struct {
	store *Store
	base  *Snapshot // pinned
	draft *Snapshot // the transaction's own state
	ops   []func(d *Snapshot) error
	final map[string]string // staged path → path in the tables directory, both relative
	done  bool
}

// do applies an operation to the draft and keeps it for a replay. Operations
// must give the same result on the same snapshot: OIDs are drawn before.
func (tx *Tx) do(op func(d *Snapshot) error) error {
	if tx.done {
		return pgerr.New(pgerr.InternalError, "catalog: transaction has ended")
	}
	// A failed operation must leave no half of itself behind.
	d := tx.draft.clone()
	if err := op(d); err != nil {
		return err
	}
	tx.draft = d
	tx.ops = append(tx.ops, op)
	return nil
}

// Snapshot shows the transaction's own state. Files it added are at their
// staging path in it.
func (tx *Tx) Snapshot() *Snapshot { return tx.draft }

// Savepoint is a state of a transaction that it can go back to.
type Savepoint struct {
	draft *Snapshot
	ops   int
}

// Savepoint marks the present state.
func (tx *Tx) Savepoint() Savepoint { return Savepoint{tx.draft, len(tx.ops)} }

// RollbackTo undoes what was done since sp, which may be used again. Files staged
// since go when the transaction ends.
func (tx *Tx) RollbackTo(sp Savepoint) {
	tx.draft, tx.ops = sp.draft, tx.ops[:sp.ops:sp.ops]
}

// Rollback drops the changes and the staged files that were added. It is a
// no-op after Commit.
func (tx *Tx) Rollback() {
	if tx.done {
		return
	}
	tx.done = true
	for staged := range tx.final {
		os.Remove(tx.store.Path(staged))
	}
	tx.base.Release()
}

// Commit makes the changes durable and publishes them. When others committed
// since the transaction began, its operations are checked and applied again on
// what they left. After an error nothing has changed, unless the error says that
// the outcome is unknown.
func (tx *Tx) Commit(ctx context.Context) error {
	if tx.done {
		return pgerr.New(pgerr.InternalError, "catalog: transaction has ended")
	}
	if len(tx.ops) == 0 {
		tx.Rollback()
		return nil
	}
	s := tx.store
	s.commit.Lock()
	defer s.commit.Unlock()
	defer tx.Rollback()
	if s.db == nil {
		return pgerr.New(pgerr.AdminShutdown, "the catalog is closed")
	}
	s.mu.Lock()
	old, broken := s.current, s.broken
	s.mu.Unlock()
	if broken != nil {
		return broken
	}
	next := tx.draft
	if old != tx.base {
		next = old.clone()
		for _, op := range tx.ops {
			if err := op(next); err != nil {
				return err
			}
		}
	}
	next = next.clone()
	next.version, next.base = old.version+1, nil
	moved, err := tx.place(next)
	if err == nil {
		err = tx.save(ctx, old, next)
	}
	if err != nil {
		s.mu.Lock()
		unknown := s.broken != nil
		s.mu.Unlock()
		if !unknown {
			s.remove(moved)
		}
		return err
	}
	if s.publish(old, next) {
		// What is over the bounds goes now rather than with the next visit; a failure
		// leaves it to that.
		_ = s.expire(context.WithoutCancel(ctx), time.Now())
	}
	return nil
}

// place moves the staged files that next shows into the tables directory and
// makes them durable, before any metadata speaks of them.
func (tx *Tx) place(next *Snapshot) (moved []string, err error) {
	s := tx.store
	if len(tx.final) == 0 {
		return nil, nil
	}
	if err := s.step("place"); err != nil {
		return nil, err
	}
	dirs := map[string]bool{}
	for q, r := range next.relations {
		if !slices.ContainsFunc(r.Files, func(f File) bool { return tx.final[f.Path] != "" }) {
			continue
		}
		c := *r
		c.Files = slices.Clone(r.Files)
		for i := range c.Files {
			f := &c.Files[i]
			to := tx.final[f.Path]
			if to == "" {
				continue
			}
			dirs[s.Path(path.Dir(to))] = true
			if err := syncFile(s.Path(f.Path)); err != nil {
				return moved, err
			}
			if err := s.move(s.Path(f.Path), s.Path(to)); err != nil {
				return moved, ioError(err, "could not move a data file of table \"%s\" into place", r.Name)
			}
			moved = append(moved, to)
			if err := s.step("moved"); err != nil {
				return moved, err
			}
			f.Path = to
		}
		next.relations[q], next.byOID[r.OID] = &c, &c
	}
	dirs[filepath.Join(s.dir, tablesDir)] = true
	for d := range dirs {
		if err := syncDir(d); err != nil {
			return moved, ioError(err, "could not sync directory \"%s\"", d)
		}
	}
	return moved, nil
}

// move puts a file into its table's directory, which may have been removed since
// the last one: whoever reads the dropped files of a truncated table last takes
// its directory away with them.
func (s *Store) move(from, to string) error {
	if err := s.step("move"); err != nil {
		return err
	}
	s.dirs.Lock()
	defer s.dirs.Unlock()
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	return os.Rename(from, to)
}

func syncFile(p string) error {
	f, err := os.Open(p)
	if err != nil {
		return ioError(err, "could not open data file \"%s\"", p)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return ioError(err, "could not sync data file \"%s\"", p)
	}
	return nil
}

// save commits the metadata. When the database reports an error at the commit
// itself, it is asked for the outcome; if it cannot tell, the store refuses
// further changes, as the files may or may not be in use.
func (tx *Tx) save(ctx context.Context, old, next *Snapshot) error {
	s := tx.store
	if err := s.step("save"); err != nil {
		return err
	}
	err := s.inTx(ctx, func(t *sql.Tx) error {
		if err := s.save(ctx, t, old, next); err != nil {
			return err
		}
		return s.step("saved")
	})
	if err == nil {
		_ = s.step("committed") // too late to fail
		return nil
	}
	if ok, e := s.committed(next.version); e != nil {
		s.mu.Lock()
		s.broken = pgerr.Wrap(e, pgerr.IOError, "the outcome of a catalog change is unknown, so no more are made").
			WithHint("Restart the server.")
		s.mu.Unlock()
		return s.broken
	} else if ok {
		return nil
	}
	if ctx.Err() != nil {
		return pgerr.From(ctx.Err())
	}
	return dbError(err, "write")
}

// publish makes next the current snapshot and forgets the files it dropped, or
// reports that it keeps some.
func (s *Store) publish(old, next *Snapshot) (retired bool) {
	gone := dropped(old, next)
	s.mu.Lock()
	s.current = next
	if len(gone) > 0 {
		g := garbage{version: next.version}
		for _, d := range gone {
			g.paths = append(g.paths, d.Path)
			if s.retention > 0 {
				s.retired[d.Path] = &retiredFile{File: d.File, at: time.Now()}
			}
		}
		s.garbage = append(s.garbage, g)
	}
	dead := s.takeGarbage()
	retired = len(gone) > 0 && s.retention > 0
	s.mu.Unlock()
	s.remove(dead)
	return retired
}

// stage checks files that a writer left in a staging directory and gives each
// its final name.
func (tx *Tx) stage(oid uint32, files []File) ([]File, error) {
	out := slices.Clone(files)
	for i := range out {
		rel, err := filepath.Rel(tx.store.dir, out[i].Path)
		rel = filepath.ToSlash(rel)
		if err != nil || !strings.HasPrefix(rel, stagingDir+"/") {
			return nil, pgerr.New(pgerr.InternalError, "file \"%s\" is in no staging directory", out[i].Path)
		}
		if _, err := os.Stat(out[i].Path); err != nil {
			return nil, ioError(err, "staged file is missing")
		}
		out[i].Path = rel
		if tx.final == nil {
			tx.final = map[string]string{}
		}
		tx.final[rel] = path.Join(tablesDir, strconv.FormatUint(uint64(oid), 10), tx.store.newFileName(rel))
	}
	return out, nil
}
