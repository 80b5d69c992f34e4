package catalog

import (
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
	Comment string     `json:"comment,omitempty"`
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
}

// FunctionDef is one version of one overload of a user-defined function. It is
// immutable.
type FunctionDef struct {
	OID         uint32            `json:"-"`
	Schema      string            `json:"-"`
	Name        string            `json:"-"`
	Kind        FuncKind          `json:"kind"`
	Args        []Arg             `json:"args"`
	Returns     types.Type        `json:"returns"`
	Columns     []Column          `json:"columns,omitempty"` // RETURNS TABLE
	SetOf       bool              `json:"set_of,omitempty"`
	Language    string            `json:"language"`
	Digest      string            `json:"digest,omitempty"` // sha256:… of the artifact
	Symbol      string            `json:"symbol,omitempty"`
	Source      string            `json:"source,omitempty"` // the AS clause as given
	Volatility  uint8             `json:"volatility"`       // function.Volatility
	Strict      bool              `json:"strict,omitempty"`
	MemoryLimit int64             `json:"memory_limit,omitempty"` // bytes, 0 = default
	Timeout     time.Duration     `json:"timeout,omitempty"`
	Settings    map[string]string `json:"settings,omitempty"` // SET clauses
	Owner       string            `json:"owner"`
	Comment     string            `json:"comment,omitempty"`
	// Version counts from 1; CREATE OR REPLACE makes the next one.
	Version int       `json:"version"`
	Created time.Time `json:"created"`
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

// Grant is one privilege of one role on one object.
type Grant struct {
	Object    uint32 // OID of a schema, relation or function
	Role      string // "public" = everybody
	Privilege string // SELECT, INSERT, UPDATE, DELETE, TRUNCATE, USAGE, CREATE, EXECUTE
	Grantable bool
}
