package catalog

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"modernc.org/sqlite" // registers the driver, too
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/volleydb/volley/pgerr"
)

// migrations bring the metadata to the current layout; the position counts as
// the version. Never change one that has been released: append.
var migrations = []string{
	`CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
	INSERT INTO meta VALUES ('version', 0), ('next_oid', 16384), ('next_file', 1);
	CREATE TABLE objects (
		oid INTEGER PRIMARY KEY,
		kind TEXT NOT NULL,   -- schema, table, view, function, role
		schema TEXT NOT NULL, -- '' for schemas and roles
		name TEXT NOT NULL,
		def TEXT NOT NULL     -- JSON
	) STRICT;
	CREATE UNIQUE INDEX relation_names ON objects (schema, name) WHERE kind IN ('table', 'view');
	CREATE TABLE function_versions (
		oid INTEGER NOT NULL, version INTEGER NOT NULL, def TEXT NOT NULL,
		PRIMARY KEY (oid, version)
	) STRICT;
	CREATE TABLE files (
		relation INTEGER NOT NULL, position INTEGER NOT NULL,
		path TEXT NOT NULL UNIQUE, rows INTEGER NOT NULL, bytes INTEGER NOT NULL, stats BLOB,
		PRIMARY KEY (relation, position)
	) STRICT;
	CREATE TABLE artifacts (digest TEXT PRIMARY KEY, def TEXT NOT NULL) STRICT;
	CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
	CREATE TABLE grants (
		object INTEGER NOT NULL, role TEXT NOT NULL, privilege TEXT NOT NULL, grantable INTEGER NOT NULL,
		PRIMARY KEY (object, role, privilege)
	) STRICT;`,
	`CREATE UNIQUE INDEX extension_names ON objects (name) WHERE kind = 'extension';
	CREATE TABLE default_privileges (
		role TEXT NOT NULL, schema TEXT NOT NULL, -- '' for all schemas
		def TEXT NOT NULL, -- JSON: the grants on functions
		PRIMARY KEY (role, schema)
	) STRICT;`,
	`CREATE TABLE retired_files (
		path TEXT PRIMARY KEY, relation INTEGER NOT NULL,
		rows INTEGER NOT NULL, bytes INTEGER NOT NULL, stats BLOB,
		at INTEGER NOT NULL -- microseconds since 1970
	) STRICT;`,
}

func dbError(err error, what string) error {
	if err == nil {
		return nil
	}
	var se *sqlite.Error
	if errors.As(err, &se) && se.Code()&0xff == sqlite3.SQLITE_FULL {
		return pgerr.Wrap(err, pgerr.DiskFull, "catalog: could not %s", what).WithHint("Free some space and run the statement again.")
	}
	return pgerr.Wrap(err, pgerr.IOError, "catalog: could not %s", what)
}

func (s *Store) openDB(ctx context.Context) error {
	path := filepath.Join(s.dir, dbFile)
	_, statErr := os.Stat(path)
	q := url.Values{"_pragma": {"journal_mode(WAL)", "synchronous(FULL)", "busy_timeout(5000)"}}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+q.Encode())
	if err != nil {
		return dbError(err, "open the database")
	}
	db.SetMaxOpenConns(1)
	s.db = db
	if _, err := db.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS migrations (version INTEGER PRIMARY KEY, applied TEXT NOT NULL) STRICT`); err != nil {
		return dbError(err, "open the database")
	}
	if os.IsNotExist(statErr) {
		if err := syncDir(s.dir); err != nil {
			return ioError(err, "could not sync \"%s\"", s.dir)
		}
	}
	var have int
	if err := db.QueryRowContext(ctx, `SELECT count(*) FROM migrations`).Scan(&have); err != nil {
		return dbError(err, "read its version")
	}
	if have > len(migrations) {
		return pgerr.New(pgerr.ObjectNotInPrerequisiteState, "data directory \"%s\" was written by a newer version of Volley", s.dir)
	}
	for i := have; i < len(migrations); i++ {
		err := s.inTx(ctx, func(tx *sql.Tx) error {
			if _, err := tx.ExecContext(ctx, migrations[i]); err != nil {
				return err
			}
			_, err := tx.ExecContext(ctx, `INSERT INTO migrations VALUES (?, ?)`, i+1, time.Now().UTC().Format(time.RFC3339))
			return err
		})
		if err != nil {
			return dbError(err, "migrate")
		}
	}
	return nil
}

func (s *Store) inTx(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		tx.Rollback()
		return err
	}
	return tx.Commit()
}

// query calls row for every row of a query.
func (s *Store) query(ctx context.Context, q string, row func(*sql.Rows) error) error {
	rows, err := s.db.QueryContext(ctx, q)
	if err != nil {
		return dbError(err, "read")
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows); err != nil {
			return dbError(err, "read")
		}
	}
	return dbError(rows.Err(), "read")
}

// load reads everything.
func (s *Store) load(ctx context.Context) (*Snapshot, error) {
	d := emptySnapshot(s)
	var err error
	read := func(q string, row func(*sql.Rows) error) {
		if err == nil {
			err = s.query(ctx, q, row)
		}
	}
	read(`SELECT key, value FROM meta`, func(r *sql.Rows) error {
		var k string
		var v int64
		if err := r.Scan(&k, &v); err != nil {
			return err
		}
		switch k {
		case "version":
			d.version = v
		case "next_oid":
			s.nextOID = uint32(v)
		case "next_file":
			s.nextFile = v
		}
		return nil
	})
	files := map[uint32][]File{}
	read(`SELECT relation, path, rows, bytes, stats FROM files ORDER BY relation, position`, func(r *sql.Rows) error {
		var rel uint32
		var f File
		if err := r.Scan(&rel, &f.Path, &f.Rows, &f.Bytes, &f.Stats); err != nil {
			return err
		}
		files[rel] = append(files[rel], f)
		return nil
	})
	read(`SELECT oid, kind, schema, name, def FROM objects ORDER BY oid`, func(r *sql.Rows) error {
		var oid uint32
		var kind, schema, name string
		var def []byte
		if err := r.Scan(&oid, &kind, &schema, &name, &def); err != nil {
			return err
		}
		return d.decode(oid, kind, schema, name, def, files[oid])
	})
	read(`SELECT oid, version, def FROM function_versions ORDER BY oid, version`, func(r *sql.Rows) error {
		var oid uint32
		var v int
		var def []byte
		if err := r.Scan(&oid, &v, &def); err != nil {
			return err
		}
		cur := d.FunctionByOID(oid)
		if cur == nil {
			return nil
		}
		if v == cur.Version {
			d.versions[oid] = append(d.versions[oid], cur)
			return nil
		}
		f := &FunctionDef{OID: oid, Schema: cur.Schema, Name: cur.Name}
		d.versions[oid] = append(d.versions[oid], f)
		return json.Unmarshal(def, f)
	})
	read(`SELECT digest, def FROM artifacts`, func(r *sql.Rows) error {
		a := &Artifact{}
		var def []byte
		if err := r.Scan(&a.Digest, &def); err != nil {
			return err
		}
		d.artifacts[a.Digest] = a
		return json.Unmarshal(def, a)
	})
	read(`SELECT name, value FROM settings`, func(r *sql.Rows) error {
		var k, v string
		err := r.Scan(&k, &v)
		d.settings[k] = v
		return err
	})
	read(`SELECT role, schema, def FROM default_privileges`, func(r *sql.Rows) error {
		a := &DefaultACL{}
		var def []byte
		if err := r.Scan(&a.Role, &a.Schema, &def); err != nil {
			return err
		}
		d.defaults[defaultKey{a.Role, a.Schema}] = a
		return json.Unmarshal(def, &a.Grants)
	})
	read(`SELECT object, role, privilege, grantable FROM grants`, func(r *sql.Rows) error {
		var g Grant
		err := r.Scan(&g.Object, &g.Role, &g.Privilege, &g.Grantable)
		d.grants[grantKey{g.Object, g.Role, g.Privilege}] = g
		return err
	})
	return d, err
}

func (s *Snapshot) decode(oid uint32, kind, schema, name string, def []byte, files []File) error {
	switch kind {
	case "schema":
		o := &Schema{OID: oid, Name: name}
		s.putSchema(o)
		return json.Unmarshal(def, o)
	case "role":
		o := &Role{OID: oid, Name: name}
		s.putRole(o)
		return json.Unmarshal(def, o)
	case "table", "view":
		o := &Relation{OID: oid, Kind: KindTable, Schema: schema, Name: name}
		if kind == "view" {
			o.Kind = KindView
		}
		o.setFiles(files)
		s.putRelation(o)
		return json.Unmarshal(def, o)
	case "type":
		o := &UserType{OID: oid, Schema: schema, Name: name}
		s.putType(o)
		return json.Unmarshal(def, o)
	case "function":
		o := &FunctionDef{OID: oid, Schema: schema, Name: name}
		s.putFunction(o)
		return json.Unmarshal(def, o)
	case "extension":
		o := &Extension{OID: oid, Schema: schema, Name: name}
		s.putExtension(o)
		return json.Unmarshal(def, o)
	case "language":
		old := byOID[Language](s, oid)
		if old == nil {
			break
		}
		o := *old
		o.Comment = ""
		s.putLanguage(&o)
		return json.Unmarshal(def, &o)
	}
	return pgerr.New(pgerr.DataCorrupted, "catalog: object %d is of unknown kind \"%s\"", oid, kind)
}

// identity returns what the objects table keeps of an object beside its definition.
func identity(o any) (kind, schema, name string) {
	switch o := o.(type) {
	case *Schema:
		return "schema", "", o.Name
	case *Role:
		return "role", "", o.Name
	case *Relation:
		return o.Kind.String(), o.Schema, o.Name
	case *UserType:
		return "type", o.Schema, o.Name
	case *FunctionDef:
		return "function", o.Schema, o.Name
	case *Extension:
		return "extension", o.Schema, o.Name
	case *Language:
		return "language", "", o.Name
	}
	panic("catalog: unknown object")
}

func sameIdentity(a, b any) bool {
	k1, s1, n1 := identity(a)
	k2, s2, n2 := identity(b)
	return k1 == k2 && s1 == s2 && n1 == n2
}

// save writes the difference between two snapshots. Objects are immutable, so
// equal pointers are equal objects.
func (s *Store) save(ctx context.Context, tx *sql.Tx, old, new *Snapshot) error {
	var err error
	exec := func(q string, args ...any) {
		if err == nil {
			_, err = tx.ExecContext(ctx, q, args...)
		}
	}
	def := func(o any) string {
		b, e := json.Marshal(o)
		if err == nil {
			err = e
		}
		return string(b)
	}
	for oid, o := range old.byOID {
		// Renamed ones go first too, since names may be swapped in one transaction.
		if n, kept := new.byOID[oid]; !kept || n != o && !sameIdentity(n, o) {
			exec(`DELETE FROM objects WHERE oid = ?`, oid)
		}
	}
	for _, oid := range slices.Sorted(maps.Keys(new.byOID)) {
		o := new.byOID[oid]
		if old.byOID[oid] == o {
			continue
		}
		kind, schema, name := identity(o)
		exec(`INSERT INTO objects VALUES (?, ?, ?, ?, ?) ON CONFLICT (oid) DO UPDATE SET kind = excluded.kind, schema = excluded.schema, name = excluded.name, def = excluded.def`,
			oid, kind, schema, name, def(o))
	}
	for oid, vs := range old.versions {
		if len(new.versions[oid]) == 0 && len(vs) > 0 {
			exec(`DELETE FROM function_versions WHERE oid = ?`, oid)
		}
	}
	for oid, vs := range new.versions {
		for i, f := range vs {
			if o := old.versions[oid]; i >= len(o) || o[i] != f {
				exec(`INSERT OR REPLACE INTO function_versions VALUES (?, ?, ?)`, oid, f.Version, def(f))
			}
		}
	}
	// All deletions of files before insertions, since paths are unique.
	from := map[*Relation]int{}
	for _, r := range new.relations {
		if o := old.RelationByOID(r.OID); o != nil && o != r {
			if n := len(o.Files); n <= len(r.Files) && samePaths(o.Files, r.Files[:n]) {
				from[r] = n
			} else {
				exec(`DELETE FROM files WHERE relation = ?`, r.OID)
			}
		}
	}
	for _, o := range old.relations {
		if new.RelationByOID(o.OID) == nil && len(o.Files) > 0 {
			exec(`DELETE FROM files WHERE relation = ?`, o.OID)
		}
	}
	for _, r := range new.relations {
		if old.RelationByOID(r.OID) == r {
			continue
		}
		for i := from[r]; i < len(r.Files); i++ {
			f := r.Files[i]
			exec(`INSERT INTO files VALUES (?, ?, ?, ?, ?, ?)`, r.OID, i, f.Path, f.Rows, f.Bytes, f.Stats)
		}
	}
	diffMaps(old.artifacts, new.artifacts,
		func(k string) { exec(`DELETE FROM artifacts WHERE digest = ?`, k) },
		func(k string, a *Artifact) { exec(`INSERT OR REPLACE INTO artifacts VALUES (?, ?)`, k, def(a)) })
	diffMaps(old.settings, new.settings,
		func(k string) { exec(`DELETE FROM settings WHERE name = ?`, k) },
		func(k, v string) { exec(`INSERT OR REPLACE INTO settings VALUES (?, ?)`, k, v) })
	diffMaps(old.defaults, new.defaults,
		func(k defaultKey) {
			exec(`DELETE FROM default_privileges WHERE role = ? AND schema = ?`, k.role, k.schema)
		},
		func(k defaultKey, a *DefaultACL) {
			exec(`INSERT OR REPLACE INTO default_privileges VALUES (?, ?, ?)`, k.role, k.schema, def(a.Grants))
		})
	diffMaps(old.grants, new.grants,
		func(k grantKey) {
			exec(`DELETE FROM grants WHERE object = ? AND role = ? AND privilege = ?`, k.object, k.role, k.privilege)
		},
		func(k grantKey, g Grant) {
			exec(`INSERT OR REPLACE INTO grants VALUES (?, ?, ?, ?)`, g.Object, g.Role, g.Privilege, g.Grantable)
		})
	s.mu.Lock()
	oid, file, keep := s.nextOID, s.nextFile, s.retention
	s.mu.Unlock()
	if keep > 0 {
		now := time.Now().UnixMicro()
		for _, d := range dropped(old, new) {
			exec(`INSERT OR REPLACE INTO retired_files VALUES (?, ?, ?, ?, ?, ?)`, d.Path, d.relation, d.Rows, d.Bytes, d.Stats, now)
		}
	}
	for k, v := range map[string]int64{"version": new.version, "next_oid": int64(oid), "next_file": file} {
		exec(`UPDATE meta SET value = ? WHERE key = ?`, v, k)
	}
	return err
}

func diffMaps[K comparable, V comparable](old, new map[K]V, del func(K), put func(K, V)) {
	for k := range old {
		if _, kept := new[k]; !kept {
			del(k)
		}
	}
	for k, v := range new {
		if o, had := old[k]; !had || o != v {
			put(k, v)
		}
	}
}

func samePaths(a, b []File) bool {
	return slices.EqualFunc(a, b, func(x, y File) bool { return x.Path == y.Path })
}

// committed reports whether the database has reached a version.
func (s *Store) committed(version int64) (bool, error) {
	var v int64
	// The outcome must be known whatever became of the caller's context.
	err := s.db.QueryRowContext(context.Background(), `SELECT value FROM meta WHERE key = 'version'`).Scan(&v)
	return v >= version, err
}
