package catalog

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestRetention keeps files that tables have dropped, for their time and size,
// through a restart.
func TestRetention(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	// add makes a table of one file of 100 bytes, and returns its path.
	add := func(name string) (oid uint32, path string) {
		t.Helper()
		staging, err := s.StagingDir("q")
		if err != nil {
			t.Fatal(err)
		}
		staged := filepath.Join(staging, name+".parquet")
		if err := os.WriteFile(staged, make([]byte, 100), 0o600); err != nil {
			t.Fatal(err)
		}
		update(t, s, func(tx *Tx) error {
			r, err := tx.CreateTable(tableDef(name))
			if err != nil {
				return err
			}
			oid = r.OID
			return tx.AddFiles(oid, []File{{Path: staged, Rows: 3, Bytes: 100, Stats: []byte{7}}})
		})
		return oid, s.Snapshot().RelationByOID(oid).Files[0].Path
	}
	drop := func(name string) {
		t.Helper()
		update(t, s, func(tx *Tx) error { _, err := tx.DropRelation(KindTable, "public", name, false); return err })
	}
	on := func(path string) bool { _, err := os.Stat(s.Path(path)); return err == nil }
	hold := func(paths ...string) int {
		files, release := s.HoldRetired(paths)
		defer release()
		for _, f := range files {
			if f.Rows != 3 || f.Bytes != 100 || len(f.Stats) != 1 {
				t.Errorf("%+v", f)
			}
		}
		return len(files)
	}

	_, a := add("a")
	drop("a")
	if on(a) || hold(a) != 0 {
		t.Error("kept without retention")
	}
	if err := s.SetRetention(time.Hour, 250); err != nil {
		t.Fatal(err)
	}
	_, b := add("b")
	_, c := add("c")
	_, d := add("d")
	drop("b")
	drop("c")
	if !on(b) || !on(c) || hold(b, c, d, a) != 2 {
		t.Error("not kept")
	}

	// The oldest goes when there are too many bytes, but not while it is held.
	files, release := s.HoldRetired([]string{b})
	if len(files) != 1 {
		t.Fatal("not held")
	}
	drop("d")
	if !on(b) || on(c) || !on(d) {
		t.Errorf("held %v, oldest %v, newest %v", on(b), on(c), on(d))
	}
	release()

	// A snapshot that still shows a file keeps it beyond its time.
	_, e := add("e")
	pin := s.Acquire()
	drop("e")
	if err := s.SetRetention(time.Nanosecond, 250); err != nil {
		t.Fatal(err)
	}
	if on(b) || on(d) || !on(e) || hold(b, d, e) != 0 {
		t.Error("after their time")
	}
	pin.Release()
	if on(e) {
		t.Error("still there, and nobody sees it")
	}

	// A restart keeps them, and knows when their time is over.
	if err := s.SetRetention(time.Hour, 250); err != nil {
		t.Fatal(err)
	}
	_, f := add("f")
	drop("f")
	for i, want := range []bool{true, false} {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if s, err = Open(ctx, dir); err != nil {
			t.Fatal(err)
		}
		if !on(f) || hold(f) != 1 {
			t.Errorf("restart %d: gone", i)
		}
		keep := time.Hour
		if !want {
			keep = 0
		}
		if err := s.SetRetention(keep, 250); err != nil {
			t.Fatal(err)
		}
		if on(f) != want || hold(f) == 1 != want {
			t.Errorf("restart %d: kept %v", i, on(f))
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
