package catalog

import (
	"context"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
)

var errSoon = pgerr.New(pgerr.FeatureNotSupported, "catalog: under construction")

// Store is the catalog on disk, in one data directory.
type Store struct{}

// Open opens or creates the catalog in dir and takes the directory's lock; it
// removes data files that nothing refers to. 55006 when another process has it.
func Open(ctx context.Context, dir string) (*Store, error) { return nil, errSoon }

// Close releases the directory. Pinned snapshots must have been released.
func (s *Store) Close() error { return nil }

// Dir is the data directory.
func (s *Store) Dir() string { return "" }

// Path returns the absolute path of a File.Path.
func (s *Store) Path(rel string) string { return "" }

// Snapshot returns the current snapshot, unpinned: for metadata only.
func (s *Store) Snapshot() *Snapshot { return nil }

// Acquire returns the current snapshot, pinned: its files stay on disk until
// Release.
func (s *Store) Acquire() *Snapshot { return nil }

// Acquire pins a snapshot that is pinned already, once more.
func (s *Snapshot) Acquire() {}

// Release undoes one Acquire.
func (s *Snapshot) Release() {}

// StagingDir creates and returns the directory into which a query writes files
// before they are committed.
func (s *Store) StagingDir(query string) (string, error) { return "", errSoon }

// DropStaging removes a query's staging directory.
func (s *Store) DropStaging(query string) error { return nil }

// Update runs f in a transaction and commits it.
func (s *Store) Update(ctx context.Context, f func(tx *Tx) error) error { return errSoon }

// Begin starts a transaction. It takes no lock: operations are checked against
// the transaction's own snapshot now and once more at Commit, against whatever
// others committed meanwhile.
func (s *Store) Begin() *Tx { return nil }

// Tx is a transaction. It belongs to one goroutine. All methods check names and
// dependencies and return Postgres' errors; objects are given without OID and
// get one.
type Tx struct{}

// Commit makes the changes durable and publishes them. Rollback drops them; it
// is a no-op after Commit.
func (tx *Tx) Commit(ctx context.Context) error { return errSoon }

// Rollback drops the changes and the staged files that were added.
func (tx *Tx) Rollback() {}

// Snapshot shows the transaction's own state. Files it added are at their
// staging path in it.
func (tx *Tx) Snapshot() *Snapshot { return nil }

// Dropped lists, for NOTICE, what a DROP removed by CASCADE: "view v".
type Dropped []string

// CreateSchema adds a schema; 42P06.
func (tx *Tx) CreateSchema(name, owner string) (*Schema, error) { return nil, errSoon }

// DropSchema removes a schema; 3F000, 2BP01 when it is not empty.
func (tx *Tx) DropSchema(name string, cascade bool) (Dropped, error) { return nil, errSoon }

// CreateTable adds a table (Schema, Name, Columns, Owner, Comment of r); 42P07.
func (tx *Tx) CreateTable(r Relation) (*Relation, error) { return nil, errSoon }

// CreateView adds a view (and SQL, Depends); with replace it may replace one,
// whose columns it must keep.
func (tx *Tx) CreateView(r Relation, replace bool) (*Relation, error) { return nil, errSoon }

// DropRelation removes a table or view; 42P01, 42809 if it is of another kind.
func (tx *Tx) DropRelation(kind RelKind, schema, name string, cascade bool) (Dropped, error) {
	return nil, errSoon
}

// RenameRelation gives a table or view another name.
func (tx *Tx) RenameRelation(oid uint32, name string) error { return errSoon }

// AlterColumns replaces the columns of a table that has no files, or changes
// only defaults, NOT NULL, names and comments otherwise.
func (tx *Tx) AlterColumns(oid uint32, cols []Column) error { return errSoon }

// AddFiles appends staged files to a table; File.Path is absolute, inside a
// staging directory.
func (tx *Tx) AddFiles(oid uint32, files []File) error { return errSoon }

// ReplaceFiles removes old (paths as in the snapshot) and puts new ones at the
// place of the first; 40001 if one of old is gone.
func (tx *Tx) ReplaceFiles(oid uint32, old []string, files []File) error { return errSoon }

// Truncate removes all files of a table.
func (tx *Tx) Truncate(oid uint32) error { return errSoon }

// CreateFunction adds a function, or with replace its next version; 42723.
func (tx *Tx) CreateFunction(f FunctionDef, replace bool) (*FunctionDef, error) {
	return nil, errSoon
}

// DropFunction removes a function with all its versions; 42883.
func (tx *Tx) DropFunction(oid uint32, cascade bool) (Dropped, error) { return nil, errSoon }

// UseFunctionVersion makes an earlier version the current one again.
func (tx *Tx) UseFunctionVersion(oid uint32, version int) error { return errSoon }

// CommentOn sets the comment of an object by OID, or of a table's column
// (column > 0, counted from 1); "" removes it.
func (tx *Tx) CommentOn(oid uint32, column int, comment string) error { return errSoon }

// CreateRole adds a role; 42710.
func (tx *Tx) CreateRole(r Role) (*Role, error) { return nil, errSoon }

// AlterRole replaces the attributes of a role of the same name; 42704.
func (tx *Tx) AlterRole(r Role) error { return errSoon }

// DropRole removes a role that owns nothing; 42704, 2BP01.
func (tx *Tx) DropRole(name string) error { return errSoon }

// SetSetting sets a default of the database; value nil removes it.
func (tx *Tx) SetSetting(name string, value *string) error { return errSoon }

// PutArtifact records an artifact; recording one again is a no-op.
func (tx *Tx) PutArtifact(a Artifact) error { return errSoon }

// DropArtifact removes an artifact; 2BP01 while a function uses it.
func (tx *Tx) DropArtifact(digest string) error { return errSoon }

// GrantPrivilege adds a grant; RevokePrivilege removes it.
func (tx *Tx) GrantPrivilege(g Grant) error { return errSoon }

// RevokePrivilege removes a grant; revoking what is not granted is a no-op.
func (tx *Tx) RevokePrivilege(object uint32, role, privilege string) error { return errSoon }

// FunctionNames is for hints: all function names of a schema.
func (s *Snapshot) FunctionNames(schema string) []string { return nil }

var _ = types.Invalid
