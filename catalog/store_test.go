package catalog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var ctx = context.Background()

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func update(t *testing.T, s *Store, f func(tx *Tx) error) {
	t.Helper()
	if err := s.Update(ctx, f); err != nil {
		t.Fatal(err)
	}
}

func wantCode(t *testing.T, err error, code, message string) {
	t.Helper()
	if pgerr.Code(err) != code || err != nil && !strings.Contains(err.Error(), message) {
		t.Errorf("got %s %v, want %s %s", pgerr.Code(err), err, code, message)
	}
}

func cols(names ...string) []Column {
	var out []Column
	for _, n := range names {
		out = append(out, Column{Name: n, Type: types.T(types.Int8)})
	}
	return out
}

func tableDef(name string) Relation {
	return Relation{Schema: "public", Name: name, Columns: cols("a", "b"), Owner: BootstrapRole}
}

// staged writes a file of the given content into a query's staging directory.
func staged(t *testing.T, s *Store, query, name, content string) File {
	t.Helper()
	dir, err := s.StagingDir(query)
	if err != nil {
		t.Fatal(err)
	}
	p := filepath.Join(dir, name)
	if err := os.WriteFile(p, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return File{Path: p, Rows: 1, Bytes: int64(len(content)), Stats: []byte("{}")}
}

// contents is the content of a table's files; it fails when one is missing.
func contents(t *testing.T, s *Store, name string) string {
	t.Helper()
	r := s.Snapshot().Relation("public", name)
	if r == nil {
		return "none"
	}
	var all []string
	for _, f := range r.Files {
		b, err := os.ReadFile(s.Path(f.Path))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(b))
	}
	return strings.Join(all, ",")
}

// dataFiles lists everything below tables and staging.
func dataFiles(t *testing.T, dir string) (out []string) {
	t.Helper()
	for _, d := range []string{tablesDir, stagingDir} {
		filepath.WalkDir(filepath.Join(dir, d), func(p string, e fs.DirEntry, err error) error {
			if err == nil && !e.IsDir() {
				out = append(out, p)
			}
			return nil
		})
	}
	return out
}

func TestReopen(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	var table, fn uint32
	update(t, s, func(tx *Tx) error {
		_, err := tx.CreateSchema("app", BootstrapRole)
		r, err2 := tx.CreateTable(Relation{Schema: "public", Name: "t", Owner: BootstrapRole, Comment: "hi", Columns: []Column{
			{Name: "a", Type: types.NumericOf(10, 2), NotNull: true, Default: "1+1"}, {Name: "b", Type: types.ArrayOf(types.Text), Comment: "c"}}})
		table = r.OID
		f, err3 := tx.CreateFunction(FunctionDef{Schema: "app", Name: "f", Kind: FuncGroupedMap, Args: []Arg{{Name: "x", Type: types.T(types.Int8)}},
			Columns: cols("y"), Language: "go", Digest: "sha256:1", Symbol: "F", Settings: map[string]string{"volley.memory": "1MB"}, Owner: BootstrapRole}, false)
		fn = f.OID
		_, err4 := tx.CreateView(Relation{Schema: "public", Name: "v", Columns: cols("a"), SQL: "SELECT 1", Depends: []uint32{r.OID, fn}}, false)
		_, err5 := tx.CreateRole(Role{Name: "ann", Login: true, Verifier: "SCRAM-SHA-256$x", Settings: map[string]string{"a": "b"}})
		v := "UTC"
		return errors.Join(err, err2, err3, err4, err5, tx.SetSetting("timezone", &v), tx.PutArtifact(Artifact{Digest: "sha256:1", Manifest: []byte("{}")}),
			tx.GrantPrivilege(Grant{Object: r.OID, Role: "ann", Privilege: "SELECT"}), tx.AddFiles(table, []File{staged(t, s, "q", "x.parquet", "one")}))
	})
	update(t, s, func(tx *Tx) error {
		_, err := tx.CreateFunction(FunctionDef{Schema: "app", Name: "f", Kind: FuncGroupedMap, Args: []Arg{{Name: "x", Type: types.T(types.Int8)}},
			Columns: cols("y"), Language: "go", Digest: "sha256:2", Owner: BootstrapRole}, true)
		return err
	})
	update(t, s, func(tx *Tx) error { return tx.UseFunctionVersion(fn, 1) })
	describeAll := func(d *Snapshot) string {
		out := fmt.Sprintf("v%d %v %v", d.Version(), d.Settings(), d.Grants(table))
		for _, r := range d.Relations() {
			out += fmt.Sprintf("\n%+v", *r)
		}
		for _, f := range d.FunctionVersions(fn) {
			out += fmt.Sprintf("\n%+v", *f)
		}
		for _, r := range d.Roles() {
			out += fmt.Sprintf("\n%+v", *r)
		}
		for _, r := range d.Schemas() {
			out += fmt.Sprintf("\n%+v", *r)
		}
		return out + fmt.Sprintf("\n%+v %d", *d.Artifacts()[0], d.FunctionByOID(fn).Version)
	}
	before := describeAll(s.Snapshot())
	if got := contents(t, s, "t"); got != "one" {
		t.Error(got)
	}
	s.Close()
	s = open(t, dir)
	if after := describeAll(s.Snapshot()); after != before {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
	if got := contents(t, s, "t"); got != "one" {
		t.Error(got)
	}
	if !s.Snapshot().HasPrivilege("ann", table, "SELECT") || s.Snapshot().HasPrivilege("ann", table, "INSERT") || !s.Snapshot().HasPrivilege(BootstrapRole, table, "INSERT") {
		t.Error("privileges")
	}
	// A new object does not reuse an OID.
	update(t, s, func(tx *Tx) error {
		r, err := tx.CreateTable(tableDef("u"))
		if r.OID <= fn {
			t.Errorf("OID %d after %d", r.OID, fn)
		}
		return err
	})
}

func TestErrors(t *testing.T) {
	s := open(t, t.TempDir())
	var t1, f1 uint32
	update(t, s, func(tx *Tx) error {
		r, err := tx.CreateTable(tableDef("t"))
		t1 = r.OID
		f, err2 := tx.CreateFunction(FunctionDef{Schema: "public", Name: "f", Args: []Arg{{Name: "", Type: types.T(types.Int8)}}, Returns: types.T(types.Int8)}, false)
		f1 = f.OID
		_, err3 := tx.CreateView(Relation{Schema: "public", Name: "v", Columns: cols("a"), Depends: []uint32{t1, f1}, Owner: BootstrapRole}, false)
		v := tx.Snapshot().Relation("public", "v")
		_, err4 := tx.CreateView(Relation{Schema: "public", Name: "w", Columns: cols("a"), Depends: []uint32{v.OID}, Owner: BootstrapRole}, false)
		_, err5 := tx.CreateRole(Role{Name: "ann"})
		return errors.Join(err, err2, err3, err4, err5, tx.AlterOwner(t1, "ann"))
	})
	cases := []struct {
		name, code, message string
		f                   func(tx *Tx) error
	}{
		{"table twice", "42P07", `relation "t" already exists`, func(tx *Tx) error { _, err := tx.CreateTable(tableDef("t")); return err }},
		{"column twice", "42701", `column "a" specified more than once`, func(tx *Tx) error {
			_, err := tx.CreateTable(Relation{Schema: "public", Name: "x", Columns: cols("a", "a")})
			return err
		}},
		{"pseudo-type", "42P16", `column "a" has pseudo-type unknown`, func(tx *Tx) error {
			_, err := tx.CreateTable(Relation{Schema: "public", Name: "x", Columns: []Column{{Name: "a", Type: types.T(types.Unknown)}}})
			return err
		}},
		{"no schema", "3F000", `schema "nix" does not exist`, func(tx *Tx) error {
			_, err := tx.CreateTable(Relation{Schema: "nix", Name: "x"})
			return err
		}},
		{"system schema", "42501", "permission denied", func(tx *Tx) error {
			_, err := tx.CreateTable(Relation{Schema: "pg_catalog", Name: "x"})
			return err
		}},
		{"reserved schema", "42939", `unacceptable schema name "pg_x"`, func(tx *Tx) error { _, err := tx.CreateSchema("pg_x", ""); return err }},
		{"schema twice", "42P06", `schema "public" already exists`, func(tx *Tx) error { _, err := tx.CreateSchema("public", ""); return err }},
		{"drop of nothing", "42P01", `table "x" does not exist`, func(tx *Tx) error { _, err := tx.DropRelation(KindTable, "public", "x", false); return err }},
		{"drop of the wrong kind", "42809", `"v" is not a table`, func(tx *Tx) error { _, err := tx.DropRelation(KindTable, "public", "v", false); return err }},
		{"drop with a view", "2BP01", "cannot drop table t because other objects depend on it", func(tx *Tx) error {
			_, err := tx.DropRelation(KindTable, "public", "t", false)
			return err
		}},
		{"drop function with a view", "2BP01", "cannot drop function f(bigint) because", func(tx *Tx) error { _, err := tx.DropFunction(f1, false); return err }},
		{"drop schema", "2BP01", "cannot drop schema public because", func(tx *Tx) error { _, err := tx.DropSchema("public", false); return err }},
		{"drop system schema", "2BP01", "required by the database system", func(tx *Tx) error { _, err := tx.DropSchema("pg_catalog", true); return err }},
		{"function twice", "42723", `function "f" already exists with same argument types`, func(tx *Tx) error {
			_, err := tx.CreateFunction(FunctionDef{Schema: "public", Name: "f", Args: []Arg{{Name: "", Type: types.T(types.Int8)}}}, false)
			return err
		}},
		{"function of another result", "42P13", "cannot change return type of existing function", func(tx *Tx) error {
			_, err := tx.CreateFunction(FunctionDef{Schema: "public", Name: "f", Args: []Arg{{Name: "", Type: types.T(types.Int8)}}, Returns: types.T(types.Text)}, true)
			return err
		}},
		{"no such version", "42704", "has no version 7", func(tx *Tx) error { return tx.UseFunctionVersion(f1, 7) }},
		{"view loses columns", "42P16", "cannot drop columns from view", func(tx *Tx) error {
			_, err := tx.CreateView(Relation{Schema: "public", Name: "v"}, true)
			return err
		}},
		{"view over itself", "42P19", "infinite recursion", func(tx *Tx) error {
			w := tx.Snapshot().Relation("public", "w")
			_, err := tx.CreateView(Relation{Schema: "public", Name: "v", Columns: cols("a"), Depends: []uint32{w.OID}}, true)
			return err
		}},
		{"view over a table name", "42809", `"t" is not a view`, func(tx *Tx) error { _, err := tx.CreateView(tableDef("t"), true); return err }},
		{"role twice", "42710", `role "ann" already exists`, func(tx *Tx) error { _, err := tx.CreateRole(Role{Name: "ann"}); return err }},
		{"role owns", "2BP01", "some objects depend on it", func(tx *Tx) error { return tx.DropRole("ann") }},
		{"bootstrap role", "2BP01", "required", func(tx *Tx) error { return tx.DropRole(BootstrapRole) }},
		{"no role", "42704", `role "bob" does not exist`, func(tx *Tx) error { return tx.DropRole("bob") }},
		{"member circle", "0LP01", "is a member of", func(tx *Tx) error { return tx.AlterRole(Role{Name: "ann", MemberOf: []string{"ann"}}) }},
		{"files outside staging", "XX000", "is in no staging directory", func(tx *Tx) error { return tx.AddFiles(t1, []File{{Path: "/etc/passwd"}}) }},
		{"rename of a used table", "0A000", "that views use", func(tx *Tx) error { return tx.RenameRelation(t1, "z") }},
	}
	version := s.Snapshot().Version()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { wantCode(t, s.Update(ctx, c.f), c.code, c.message) })
	}
	if s.Snapshot().Version() != version {
		t.Error("a failed transaction was published")
	}
	update(t, s, func(tx *Tx) error {
		gone, err := tx.DropRelation(KindTable, "public", "t", true)
		if !slices.Equal(gone, Dropped{"view v", "view w"}) {
			t.Errorf("cascade: %v", gone)
		}
		return err
	})
	if n := len(s.Snapshot().Relations()); n != 0 {
		t.Errorf("%d relations left", n)
	}
}

func TestResolveAndSuggest(t *testing.T) {
	s := open(t, t.TempDir())
	update(t, s, func(tx *Tx) error {
		_, err := tx.CreateTable(tableDef("customers"))
		_, err2 := tx.CreateSchema("app", BootstrapRole)
		d := tableDef("orders")
		d.Schema = "app"
		_, err3 := tx.CreateTable(d)
		return errors.Join(err, err2, err3)
	})
	d := s.Snapshot()
	path := []string{"pg_catalog", "public"}
	if r, err := d.ResolveRelation(path, "", "customers"); err != nil || r.Name != "customers" {
		t.Error(r, err)
	}
	if r, err := d.ResolveRelation(path, "app", "orders"); err != nil || r.Name != "orders" {
		t.Error(r, err)
	}
	for name, hint := range map[string]string{"custmers": `Perhaps you meant the relation "customers".`, "orders": `Perhaps you meant the relation "app.orders".`, "xyz": ""} {
		_, err := d.ResolveRelation(path, "", name)
		wantCode(t, err, "42P01", fmt.Sprintf("relation %q does not exist", name))
		if h := pgerr.From(err).Hint; h != hint {
			t.Errorf("%s: hint %q", name, h)
		}
	}
}

func TestLock(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	_, err := Open(ctx, dir)
	wantCode(t, err, "55006", fmt.Sprintf("data directory %q is in use by another Volley process (pid %d)", dir, os.Getpid()))
	s.Close()
	s2, err := Open(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	s2.Close()
	wantCode(t, s2.Update(ctx, func(tx *Tx) error { _, err := tx.CreateSchema("x", ""); return err }), "57P01", "closed")
}

// TestTransactions: concurrent transactions are checked again at their commit.
func TestTransactions(t *testing.T) {
	s := open(t, t.TempDir())
	var oid uint32
	update(t, s, func(tx *Tx) error { r, err := tx.CreateTable(tableDef("t")); oid = r.OID; return err })
	a, b, c := s.Begin(), s.Begin(), s.Begin()
	defer c.Rollback()
	if _, err := a.CreateTable(tableDef("u")); err != nil {
		t.Fatal(err)
	}
	if err := a.AddFiles(oid, []File{staged(t, s, "a", "1.parquet", "A")}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.CreateTable(tableDef("u")); err != nil {
		t.Fatal(err)
	}
	if err := c.AddFiles(oid, []File{staged(t, s, "c", "1.parquet", "C")}); err != nil {
		t.Fatal(err)
	}
	// The transaction sees its own file where it is, others do not see it.
	own := a.Snapshot().RelationByOID(oid)
	if body, err := os.ReadFile(s.Path(own.Files[0].Path)); string(body) != "A" {
		t.Error(err)
	}
	if s.Snapshot().Relation("public", "u") != nil || a.Snapshot().Relation("public", "u") == nil {
		t.Error("isolation")
	}
	if err := a.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	wantCode(t, b.Commit(ctx), "42P07", `relation "u" already exists`)
	if err := c.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if got := contents(t, s, "t"); got != "A,C" {
		t.Errorf("both inserts must stand: %s", got)
	}
	// A file that is replaced twice is a conflict.
	old := s.Snapshot().RelationByOID(oid).Files[0].Path
	d, e := s.Begin(), s.Begin()
	for _, tx := range []*Tx{d, e} {
		if err := tx.ReplaceFiles(oid, []string{old}, []File{staged(t, s, fmt.Sprintf("%p", tx), "x.parquet", "R")}); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	wantCode(t, e.Commit(ctx), "40001", "could not serialize")
	if got := contents(t, s, "t"); got != "R,C" {
		t.Error(got)
	}
	// Insert into a table that was dropped meanwhile.
	f := s.Begin()
	if err := f.AddFiles(oid, []File{staged(t, s, "f", "1.parquet", "F")}); err != nil {
		t.Fatal(err)
	}
	update(t, s, func(tx *Tx) error { _, err := tx.DropRelation(KindTable, "public", "t", false); return err })
	wantCode(t, f.Commit(ctx), "42P01", "does not exist")
	if left := dataFiles(t, s.Dir()); len(left) != 0 {
		t.Errorf("left on disk: %v", left)
	}
}

// TestPins: files of a dropped table live as long as a snapshot that shows them.
func TestPins(t *testing.T) {
	s := open(t, t.TempDir())
	var oid uint32
	update(t, s, func(tx *Tx) error {
		r, err := tx.CreateTable(tableDef("t"))
		oid = r.OID
		return errors.Join(err, tx.AddFiles(oid, []File{staged(t, s, "q", "1.parquet", "one")}))
	})
	snap := s.Acquire()
	snap.Acquire()
	file := s.Path(snap.RelationByOID(oid).Files[0].Path)
	exists := func() bool { _, err := os.Stat(file); return err == nil }
	update(t, s, func(tx *Tx) error { return tx.Truncate(oid) })
	later := s.Acquire()
	snap.Release()
	if !exists() {
		t.Fatal("a pinned file was removed")
	}
	snap.Release()
	if exists() {
		t.Error("the file is still there after the last release")
	}
	later.Release()
	if n := len(s.pins); n != 0 {
		t.Errorf("%d pins left", n)
	}
}

// TestCrash copies the directory at every step of commits, opens the copy as
// after a crash and looks for the old state or the new one, and nothing else on
// disk.
func TestCrash(t *testing.T) {
	s := open(t, t.TempDir())
	var oid uint32
	update(t, s, func(tx *Tx) error {
		r, err := tx.CreateTable(tableDef("t"))
		oid = r.OID
		return errors.Join(err, tx.AddFiles(oid, []File{staged(t, s, "q0", "1.parquet", "old")}))
	})
	type copied struct{ step, dir string }
	var copies []copied
	s.hook = func(step string) error {
		dir := filepath.Join(t.TempDir(), "copy")
		if err := os.CopyFS(dir, os.DirFS(s.dir)); err != nil {
			t.Fatal(err)
		}
		copies = append(copies, copied{step, dir})
		return nil
	}
	update(t, s, func(tx *Tx) error {
		_, err := tx.CreateTable(tableDef("u"))
		old := tx.Snapshot().RelationByOID(oid).Files[0].Path
		return errors.Join(err, tx.ReplaceFiles(oid, []string{old}, []File{staged(t, s, "q1", "1.parquet", "new"), staged(t, s, "q1", "2.parquet", "er")}))
	})
	s.hook = nil
	var steps []string
	for _, c := range copies {
		steps = append(steps, c.step)
		crashed := open(t, c.dir)
		want, u := "old", false
		if c.step == "committed" {
			want, u = "new,er", true
		}
		if got := contents(t, crashed, "t"); got != want {
			t.Errorf("crash at %s: %s, want %s", c.step, got, want)
		}
		if (crashed.Snapshot().Relation("public", "u") != nil) != u {
			t.Errorf("crash at %s: table u", c.step)
		}
		if n := len(dataFiles(t, c.dir)); n != strings.Count(want, ",")+1 {
			t.Errorf("crash at %s: orphans in %v", c.step, dataFiles(t, c.dir))
		}
		// It works on.
		update(t, crashed, func(tx *Tx) error { return tx.Truncate(oid) })
		crashed.Close()
	}
	if want := []string{"place", "move", "moved", "move", "moved", "save", "saved", "committed"}; !slices.Equal(steps, want) {
		t.Errorf("steps %v, want %v", steps, want)
	}
	if got := contents(t, s, "t"); got != "new,er" || len(dataFiles(t, s.dir)) != 2 {
		t.Error(got, dataFiles(t, s.dir))
	}
}

// TestFailedCommit: an error at any step leaves the old state and no files.
func TestFailedCommit(t *testing.T) {
	for _, at := range []string{"place", "moved", "save", "saved"} {
		s := open(t, t.TempDir())
		var oid uint32
		update(t, s, func(tx *Tx) error { r, err := tx.CreateTable(tableDef("t")); oid = r.OID; return err })
		s.hook = func(step string) error {
			if step == at {
				return errors.New("injected")
			}
			return nil
		}
		err := s.Update(ctx, func(tx *Tx) error {
			return tx.AddFiles(oid, []File{staged(t, s, "q", "1.parquet", "x"), staged(t, s, "q", "2.parquet", "y")})
		})
		s.hook = nil
		if err == nil || contents(t, s, "t") != "" || len(dataFiles(t, s.dir)) != 0 {
			t.Errorf("%s: %v, files %v", at, err, dataFiles(t, s.dir))
		}
		update(t, s, func(tx *Tx) error { return tx.AddFiles(oid, []File{staged(t, s, "q", "1.parquet", "z")}) })
		if contents(t, s, "t") != "z" {
			t.Errorf("%s: not usable afterwards", at)
		}
	}
}

func TestOrphansAtOpen(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	update(t, s, func(tx *Tx) error {
		r, err := tx.CreateTable(tableDef("t"))
		return errors.Join(err, tx.AddFiles(r.OID, []File{staged(t, s, "q", "1.parquet", "one")}))
	})
	s.Close()
	os.MkdirAll(filepath.Join(dir, tablesDir, "99999"), 0o700)
	os.WriteFile(filepath.Join(dir, tablesDir, "99999", "5.parquet"), nil, 0o600)
	os.MkdirAll(filepath.Join(dir, stagingDir, "dead"), 0o700)
	os.WriteFile(filepath.Join(dir, stagingDir, "dead", "x"), nil, 0o600)
	s = open(t, dir)
	if contents(t, s, "t") != "one" || len(dataFiles(t, dir)) != 1 {
		t.Error(dataFiles(t, dir))
	}
	if _, err := os.Stat(filepath.Join(dir, tablesDir, "99999")); err == nil {
		t.Error("the orphan's directory is still there")
	}
}

func TestRenameSwap(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	var a, b uint32
	update(t, s, func(tx *Tx) error {
		x, err := tx.CreateTable(tableDef("a"))
		y, err2 := tx.CreateTable(tableDef("b"))
		a, b = x.OID, y.OID
		return errors.Join(err, err2)
	})
	update(t, s, func(tx *Tx) error {
		return errors.Join(tx.RenameRelation(a, "tmp"), tx.RenameRelation(b, "a"), tx.RenameRelation(a, "b"))
	})
	s.Close()
	s = open(t, dir)
	if s.Snapshot().Relation("public", "a").OID != b || s.Snapshot().Relation("public", "b").OID != a {
		t.Error("names are not swapped")
	}
}

// TestModel compares random histories, with reopening, with a map.
func TestModel(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	dir := t.TempDir()
	s, err := Open(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { s.Close() }()
	model := map[string][]string{}
	for step := range 250 {
		name := string(rune('a' + rng.IntN(4)))
		r := s.Snapshot().Relation("public", name)
		if _, ok := model[name]; ok != (r != nil) {
			t.Fatalf("step %d: table %s exists: %v", step, name, r != nil)
		}
		content := fmt.Sprint(step)
		switch op := rng.IntN(6); {
		case r == nil:
			update(t, s, func(tx *Tx) error { _, err := tx.CreateTable(tableDef(name)); return err })
			model[name] = nil
		case op <= 2:
			update(t, s, func(tx *Tx) error { return tx.AddFiles(r.OID, []File{staged(t, s, "q", "f", content)}) })
			model[name] = append(model[name], content)
		case op == 3 && len(r.Files) > 0:
			i := rng.IntN(len(r.Files))
			update(t, s, func(tx *Tx) error {
				return tx.ReplaceFiles(r.OID, []string{r.Files[i].Path}, []File{staged(t, s, "q", "f", content), staged(t, s, "q", "g", "g")})
			})
			model[name] = slices.Replace(model[name], i, i+1, content, "g")
		case op == 4:
			update(t, s, func(tx *Tx) error { return tx.Truncate(r.OID) })
			model[name] = nil
		case op == 5:
			update(t, s, func(tx *Tx) error { _, err := tx.DropRelation(KindTable, "public", name, false); return err })
			delete(model, name)
		}
		if step%25 == 0 {
			s.Close()
			if s, err = Open(ctx, dir); err != nil {
				t.Fatal(err)
			}
		}
		files := 0
		for n, want := range model {
			if got := contents(t, s, n); got != strings.Join(want, ",") {
				t.Fatalf("step %d: %s has %s, want %v", step, n, got, want)
			}
			files += len(want)
		}
		if n := len(dataFiles(t, dir)); n != files {
			t.Fatalf("step %d: %d files on disk, want %d", step, n, files)
		}
	}
}

func TestConcurrentUpdates(t *testing.T) {
	s := open(t, t.TempDir())
	var oid uint32
	update(t, s, func(tx *Tx) error { r, err := tx.CreateTable(tableDef("t")); oid = r.OID; return err })
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for k := range 5 {
				f := staged(t, s, fmt.Sprintf("q%d", i), fmt.Sprint(k), "x")
				if err := s.Update(ctx, func(tx *Tx) error { return tx.AddFiles(oid, []File{f}) }); err != nil {
					t.Error(err)
				}
				snap := s.Acquire()
				for _, f := range snap.RelationByOID(oid).Files {
					if _, err := os.Stat(s.Path(f.Path)); err != nil {
						t.Error(err)
					}
				}
				snap.Release()
			}
		})
	}
	wg.Wait()
	if r := s.Snapshot().RelationByOID(oid); r.Rows != 40 {
		t.Errorf("%d rows", r.Rows)
	}
}

// The last reader of a truncated table's files lets go while new files are on
// their way into the table's directory.
func TestDirectoryRemovedDuringCommit(t *testing.T) {
	s := open(t, t.TempDir())
	var oid uint32
	update(t, s, func(tx *Tx) error {
		r, err := tx.CreateTable(tableDef("t"))
		oid = r.OID
		return errors.Join(err, tx.AddFiles(oid, []File{staged(t, s, "q1", "1.parquet", "old")}))
	})
	reader := s.Acquire()
	update(t, s, func(tx *Tx) error { return tx.Truncate(oid) })
	s.hook = func(step string) error {
		if step == "move" && reader != nil {
			reader.Release()
			reader = nil
		}
		return nil
	}
	update(t, s, func(tx *Tx) error {
		return tx.AddFiles(oid, []File{staged(t, s, "q2", "1.parquet", "new"), staged(t, s, "q2", "2.parquet", "er")})
	})
	s.hook = nil
	if reader != nil {
		t.Fatal("the reader was not released")
	}
	if got := contents(t, s, "t"); got != "new,er" {
		t.Errorf("content %q", got)
	}
}

// A full disk is 53100, changes nothing, and passes.
func TestFullDisk(t *testing.T) {
	s := open(t, t.TempDir())
	limit := func(pages int) {
		t.Helper()
		if _, err := s.db.Exec(fmt.Sprintf("PRAGMA max_page_count = %d", pages)); err != nil {
			t.Fatal(err)
		}
	}
	limit(1) // the least is what there is
	var err error
	tables := 0
	for ; err == nil && tables < 10000; tables++ {
		r := tableDef(fmt.Sprint("t", tables))
		r.Comment = strings.Repeat("x", 10000)
		err = s.Update(context.Background(), func(tx *Tx) error { _, err := tx.CreateTable(r); return err })
	}
	if pgerr.Code(err) != pgerr.DiskFull {
		t.Fatalf("after %d tables: %v", tables, err)
	}
	if s.Snapshot().Relation("public", fmt.Sprint("t", tables-1)) != nil {
		t.Error("the table is there")
	}
	limit(1 << 30)
	update(t, s, func(tx *Tx) error { _, err := tx.CreateTable(tableDef("last")); return err })
}
