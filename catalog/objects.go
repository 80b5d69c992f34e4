package catalog

import (
	"slices"
	"strconv"
	"time"

	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// OIDs of objects that exist from the start, as in Postgres where it has them.
const (
	FirstOID        uint32 = 16384 // first of user objects
	PgCatalogOID    uint32 = 11
	PublicOID       uint32 = 2200
	InfoSchemaOID   uint32 = 13000
	BootstrapRole          = "volley"
	BootstrapOID    uint32 = 10
	DatabaseOID     uint32 = 5
	DefaultDatabase        = "volley"
)

// Schema is a namespace.
type Schema struct {
	OID     uint32 `json:"-"`
	Name    string `json:"-"`
	Owner   string `json:"owner"`
	Comment string `json:"comment,omitempty"`
}

// Column is a column of a table or view.
type Column struct {
	Name    string     `json:"name"`
	Type    types.Type `json:"type"`
	NotNull bool       `json:"not_null,omitempty"`
	Default string     `json:"default,omitempty"` // SQL text; "" = none
	// DefaultUses are the OIDs of the functions in Default, each between blanks.
	DefaultUses string `json:"default_uses,omitempty"`
	Comment     string `json:"comment,omitempty"`
}

// File is one data file of a table.
type File struct {
	Path  string // relative to the data directory, with slashes
	Rows  int64
	Bytes int64
	Stats []byte // storage.FileStats
}

// RelKind is Postgres' relkind.
type RelKind byte

// The kinds of relations.
const (
	KindTable RelKind = 'r'
	KindView  RelKind = 'v'
)

func (k RelKind) String() string {
	if k == KindView {
		return "view"
	}
	return "table"
}

// Relation is a table or a view. It is immutable.
type Relation struct {
	OID     uint32   `json:"-"`
	Kind    RelKind  `json:"-"`
	Schema  string   `json:"-"`
	Name    string   `json:"-"`
	Columns []Column `json:"columns"`
	Owner   string   `json:"owner"`
	Comment string   `json:"comment,omitempty"`

	// Of a table.
	Files []File `json:"-"` // in the order of the rows
	Rows  int64  `json:"-"` // of all files
	Bytes int64  `json:"-"`

	// Of a view.
	SQL string `json:"sql,omitempty"` // the query, as deparsed at creation
	// Depends are the OIDs of user relations and functions the view uses.
	Depends []uint32 `json:"depends,omitempty"`
}

// Fields returns the columns' names and types.
func (r *Relation) Fields() []vector.Field {
	out := make([]vector.Field, len(r.Columns))
	for i, c := range r.Columns {
		out[i] = vector.Field{Name: c.Name, Type: c.Type}
	}
	return out
}

// FuncKind mirrors function.Kind, which this package cannot import.
type FuncKind uint8

// The kinds of functions, numbered as in package function.
const (
	FuncScalar FuncKind = iota
	FuncAggregate
	FuncWindow
	FuncTable
	FuncGroupedMap
)

// Arg is a declared argument of a function.
type Arg struct {
	Name string     `json:"name,omitempty"`
	Type types.Type `json:"type"`
	// Default is the SQL expression of an argument that calls may leave out.
	Default string `json:"default,omitempty"`
}

// FunctionDef is one version of one overload of a user-defined function. It is
// immutable.
type FunctionDef struct {
	OID      uint32     `json:"-"`
	Schema   string     `json:"-"`
	Name     string     `json:"-"`
	Kind     FuncKind   `json:"kind"`
	Args     []Arg      `json:"args"`
	Returns  types.Type `json:"returns"`
	Columns  []Column   `json:"columns,omitempty"` // RETURNS TABLE
	SetOf    bool       `json:"set_of,omitempty"`
	Language string     `json:"language"`
	Digest   string     `json:"digest,omitempty"` // sha256:… of the artifact
	Symbol   string     `json:"symbol,omitempty"`
	Source   string     `json:"source,omitempty"` // the AS clause as given
	// Body is the query of a function in SQL, whichever way it was written; OutArgs
	// says that Columns are OUT arguments, Variadic that calls list the elements of
	// the last argument.
	Body     string `json:"body,omitempty"`
	OutArgs  bool   `json:"out_args,omitempty"`
	Variadic bool   `json:"variadic,omitempty"`
	// Agg is set for an aggregate made of functions, which is of no artifact.
	Agg         *AggDef           `json:"agg,omitempty"`
	Volatility  uint8             `json:"volatility"` // function.Volatility
	Strict      bool              `json:"strict,omitempty"`
	MemoryLimit int64             `json:"memory_limit,omitempty"` // bytes, 0 = default
	Timeout     time.Duration     `json:"timeout,omitempty"`
	Settings    map[string]string `json:"settings,omitempty"` // SET clauses
	Owner       string            `json:"owner"`
	Comment     string            `json:"comment,omitempty"`
	// Version counts from 1; CREATE OR REPLACE makes the next one.
	Version   int       `json:"version"`
	Created   time.Time `json:"created"`
	CreatedBy string    `json:"created_by,omitempty"` // the role that made this version

	Cost            float64 `json:"cost,omitempty"` // procost, 0 = the language's default
	Rows            float64 `json:"rows,omitempty"` // prorows, 0 = the default
	SecurityDefiner bool    `json:"security_definer,omitempty"`

	// What follows is the same in all versions of a function, as are its names,
	// owner and comment.

	// Pinned is the version that ALTER FUNCTION … SET volley.version chose, which
	// CREATE OR REPLACE leaves the current one; 0 when the newest is current.
	Pinned int `json:"pinned,omitempty"`
	// CanaryVersion takes CanaryShare of the rows, in ten-thousandths; 0 = none.
	CanaryVersion int    `json:"canary_version,omitempty"`
	CanaryShare   uint32 `json:"canary_share,omitempty"`
}

// AggDef is what an aggregate made of functions consists of. It is immutable.
type AggDef struct {
	Step    FuncRef    `json:"sfunc"`
	State   types.Type `json:"stype"`
	Init    *string    `json:"initcond,omitempty"` // nil = NULL
	Final   *FuncRef   `json:"finalfunc,omitempty"`
	Extra   bool       `json:"finalfunc_extra,omitempty"` // Final has the arguments' types, too
	Combine *FuncRef   `json:"combinefunc,omitempty"`
}

// FuncRef is a function of a user, whichever version is current, or a built-in.
type FuncRef struct {
	OID     uint32 `json:"oid,omitempty"`
	Builtin string `json:"builtin,omitempty"` // function.Function.ID
}

// uses reports whether the aggregate is made of a function.
func (a *AggDef) uses(oid uint32) bool {
	if a == nil {
		return false
	}
	for _, r := range []*FuncRef{&a.Step, a.Final, a.Combine} {
		if r != nil && r.OID == oid {
			return true
		}
	}
	return false
}

// WholeShare is the CanaryShare of all rows.
const WholeShare = 10_000

// Canary is the setting volley.canary as it is written, "" for none: 3:5%.
func (f *FunctionDef) Canary() string {
	if f.CanaryVersion == 0 {
		return ""
	}
	return strconv.Itoa(f.CanaryVersion) + ":" + strconv.FormatFloat(float64(f.CanaryShare)/(WholeShare/100), 'f', -1, 64) + "%"
}

// ArgTypes returns the types of the arguments.
func (f *FunctionDef) ArgTypes() []types.Type {
	out := make([]types.Type, len(f.Args))
	for i, a := range f.Args {
		out[i] = a.Type
	}
	return out
}

// Role is a user or group.
type Role struct {
	OID        uint32            `json:"-"`
	Name       string            `json:"-"`
	Superuser  bool              `json:"superuser,omitempty"`
	Login      bool              `json:"login,omitempty"`
	CreateRole bool              `json:"create_role,omitempty"`
	CreateDB   bool              `json:"create_db,omitempty"`
	Verifier   string            `json:"verifier,omitempty"`   // SCRAM-SHA-256$…, "" = no password
	ConnLimit  int               `json:"conn_limit,omitempty"` // -1 = none
	ValidUntil time.Time         `json:"valid_until"`
	MemberOf   []string          `json:"member_of,omitempty"`
	Settings   map[string]string `json:"settings,omitempty"` // ALTER ROLE … SET
	Comment    string            `json:"comment,omitempty"`
}

// Artifact is an uploaded build of user code.
type Artifact struct {
	Digest   string    `json:"-"` // sha256:…
	Name     string    `json:"name"`
	Size     int64     `json:"size"`
	Manifest []byte    `json:"manifest,omitempty"`
	Owner    string    `json:"owner"`
	Created  time.Time `json:"created"`
}

// Extension is an artifact all of whose functions were created together. It is
// immutable.
type Extension struct {
	OID     uint32   `json:"-"`
	Name    string   `json:"-"`
	Schema  string   `json:"-"` // of the functions
	Version string   `json:"version"`
	Digest  string   `json:"digest"`
	Members []uint32 `json:"members"` // OIDs of the functions, ascending
	Owner   string   `json:"owner"`
	Comment string   `json:"comment,omitempty"`
}

// Language is what functions may be written in. It is immutable.
type Language struct {
	OID     uint32 `json:"-"`
	Name    string `json:"-"`
	Trusted bool   `json:"-"` // everybody may use it unless that is revoked
	Comment string `json:"comment,omitempty"`
}

// The languages, with Postgres' OIDs where it has them. internal and c are there
// because built-in functions and clients name them.
var languages = []Language{
	{OID: 12, Name: "internal", Comment: "built-in functions"},
	{OID: 14, Name: "sql", Trusted: true, Comment: "SQL-language functions"},
	{OID: 15100, Name: "go", Comment: "functions in Go, in a process of their own"},
	{OID: 15101, Name: "wasm", Trusted: true, Comment: "WebAssembly modules, in a sandbox"},
	{OID: 15102, Name: "python", Comment: "functions in Python, in an interpreter of their own"},
	{OID: 15103, Name: "grpc", Comment: "functions on a remote server"},
}

// Predefined roles, with Postgres' OIDs: members may have the server read and write
// files that its user can.
const (
	ReadFilesRole  = "pg_read_server_files"
	WriteFilesRole = "pg_write_server_files"
)

var predefinedRoles = []Role{
	{OID: 4569, Name: ReadFilesRole, ConnLimit: -1},
	{OID: 4570, Name: WriteFilesRole, ConnLimit: -1},
}

// Predefined reports whether a role is one that every catalog has, for others to be
// members of.
func (r *Role) Predefined() bool {
	return slices.ContainsFunc(predefinedRoles, func(p Role) bool { return p.OID == r.OID })
}

// DefaultACL is what ALTER DEFAULT PRIVILEGES says of the functions that a role
// will create: in one schema, or in all when Schema is "". It is immutable. The
// grants in one schema add to those of all.
type DefaultACL struct {
	Role   string
	Schema string
	Grants []Grant // without Object; of all schemas it starts with what everybody has
}

// Grant is one privilege of one role on one object.
type Grant struct {
	Object    uint32 // OID of a schema, relation, function or language
	Role      string // "public" = everybody
	Privilege string // SELECT, INSERT, UPDATE, DELETE, TRUNCATE, USAGE, CREATE, EXECUTE
	Grantable bool
}
