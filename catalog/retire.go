package catalog

import (
	"cmp"
	"context"
	"database/sql"
	"os"
	"slices"
	"time"
)

// retiredFile is a data file that its table no longer has, kept for a while so that
// queries over it can be run again.
type retiredFile struct {
	File
	at     time.Time
	holds  int
	unseen bool // no pinned snapshot shows it either
}

// droppedFile is a file that a change takes out of a relation.
type droppedFile struct {
	File
	relation uint32
}

// dropped are the files of old that next does not have.
func dropped(old, next *Snapshot) []droppedFile {
	var out []droppedFile
	for _, o := range old.relations {
		n := next.RelationByOID(o.OID)
		if n == o || len(o.Files) == 0 {
			continue
		}
		kept := map[string]bool{}
		if n != nil {
			for _, f := range n.Files {
				kept[f.Path] = true
			}
		}
		for _, f := range o.Files {
			if !kept[f.Path] {
				out = append(out, droppedFile{f, o.OID})
			}
		}
	}
	return out
}

func (s *Store) loadRetired(ctx context.Context) error {
	s.retired = map[string]*retiredFile{}
	return s.query(ctx, `SELECT path, rows, bytes, stats, at FROM retired_files`, func(r *sql.Rows) error {
		f := &retiredFile{unseen: true}
		var at int64
		if err := r.Scan(&f.Path, &f.Rows, &f.Bytes, &f.Stats, &at); err != nil {
			return err
		}
		f.at = time.UnixMicro(at)
		s.retired[f.Path] = f
		return nil
	})
}

// SetRetention says how long, and up to how many bytes, data files are kept that
// their tables no longer have; 0 removes them as soon as no statement reads them.
func (s *Store) SetRetention(keep time.Duration, bytes int64) error {
	s.mu.Lock()
	s.retention, s.retentionBytes = keep, bytes
	s.mu.Unlock()
	return s.ExpireRetired(context.Background())
}

// ExpireRetired removes the files whose time is over.
func (s *Store) ExpireRetired(ctx context.Context) error {
	s.commit.Lock()
	defer s.commit.Unlock()
	if s.db == nil {
		return nil
	}
	return s.expire(ctx, time.Now())
}

// expire removes retired files that are too old or, the oldest first, too many
// bytes. s.commit is held.
func (s *Store) expire(ctx context.Context, now time.Time) error {
	s.mu.Lock()
	list := make([]*retiredFile, 0, len(s.retired))
	var bytes int64
	for _, f := range s.retired {
		list = append(list, f)
		bytes += f.Bytes
	}
	slices.SortFunc(list, func(a, b *retiredFile) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.Path, b.Path)) })
	var over []*retiredFile
	for _, f := range list {
		if f.holds == 0 && (now.Sub(f.at) >= s.retention || bytes > s.retentionBytes) {
			over = append(over, f)
			bytes -= f.Bytes
			delete(s.retired, f.Path) // from now on nobody can hold it
		}
	}
	s.mu.Unlock()
	if len(over) == 0 {
		return nil
	}
	err := s.inTx(ctx, func(tx *sql.Tx) error {
		for _, f := range over {
			if _, err := tx.ExecContext(ctx, `DELETE FROM retired_files WHERE path = ?`, f.Path); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		s.mu.Lock()
		for _, f := range over {
			s.retired[f.Path] = f
		}
		s.mu.Unlock()
		return dbError(err, "forget old data files")
	}
	// Those that a snapshot still shows go with it.
	s.mu.Lock()
	var dead []string
	for _, f := range over {
		if f.unseen {
			dead = append(dead, f.Path)
		}
	}
	s.mu.Unlock()
	s.remove(dead)
	return nil
}

// HoldRetired finds retired files by their paths and keeps them until release. Those
// that are gone are missing in the result.
func (s *Store) HoldRetired(paths []string) (files []File, release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var held []*retiredFile
	for _, p := range paths {
		if f := s.retired[p]; f != nil {
			if _, err := os.Stat(s.Path(p)); err != nil {
				continue
			}
			f.holds++
			held = append(held, f)
			files = append(files, f.File)
		}
	}
	return files, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, f := range held {
			f.holds--
		}
		held = nil
	}
}
