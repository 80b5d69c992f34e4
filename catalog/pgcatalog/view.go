package pgcatalog

import (
	"slices"
	"time"

	"github.com/volleydb/volley/catalog"
	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// Setting is a row of pg_settings. Optional strings are "".
type Setting struct {
	Name, Value, Unit, Category string
	ShortDesc, ExtraDesc        string
	Context, VarType, Source    string
	MinVal, MaxVal              string
	EnumVals                    []string
	BootVal, ResetVal           string
	SourceFile                  string
	SourceLine                  int
	PendingRestart              bool
}

// Activity is a row of pg_stat_activity: one session.
type Activity struct {
	PID                             int32
	User, Database, ApplicationName string
	ClientAddr                      string // host:port, "" for a local socket
	State, Query                    string // State as Postgres names it: active, idle, …
	BackendType                     string // "" = client backend
	WaitEventType, WaitEvent        string

	BackendStart, XactStart, QueryStart, StateChange time.Time // zero = NULL
}

// Worker is a row of volley.workers.
type Worker struct {
	ID, Address, State, Version string
	Slots, Running              int
	MemoryBytes                 int64     // 0 = unknown
	Started, LastSeen           time.Time // zero = NULL
}

// PreparedStatement is a row of pg_prepared_statements.
type PreparedStatement struct {
	Name, Statement string
	Made            time.Time
	Parameters      []uint32 // types
	FromSQL         bool
	Generic, Custom int64 // executions
}

// UDFError is a row of volley.udf_errors: a row, or a group, on which user code
// failed and which became NULL or was left out.
type UDFError struct {
	User                                                         string // who ran the query
	Query, Function, Digest, Key, Args, Message, SQLState, Stack string
	Version, Attempt                                             int32
	Row                                                          int64 // 0 = unknown
	At                                                           time.Time
}

// UDFStat is a row of volley.udf_stats: a function since the server's start.
type UDFStat struct {
	Function, Digest                                     string
	Version                                              int32
	Queries, Calls, Batches, Rows, CacheHits             int64
	Restarts, Errors                                     int64
	UserNanos, TransferNanos, QueueNanos, ColdStartNanos int64
}

// UDFLog is a row of volley.udf_logs: a line that user code has written.
type UDFLog struct {
	At                                           time.Time
	Query, Function, Digest, Worker, Level, Line string
}

// QueryReceipt is a row of volley.query_receipts: a statement that ran.
type QueryReceipt struct {
	ID, User, Database, Command, Statement, State, Hash, Error string
	Started                                                    time.Time
	Millis                                                     float64
	Rows                                                       int64 // -1 = unknown
}

// Artifact is a row of volley.artifacts.
type Artifact struct {
	Digest, Name, Version, Runtime               string
	Owner                                        string // "" when it came to the store by itself
	Functions, Platforms, SignedBy, ReferencedBy []string
	Size                                         int64
	Created, LastUsed                            time.Time // zero = NULL
	Manifest                                     string
}

// View is what one statement sees. The functions are called at most once per
// Scan and may be nil. A View may be used by several goroutines.
type View struct {
	Snapshot       *catalog.Snapshot
	SearchPath     []string // "$user" stands for User
	User, Database string
	Settings       func() []Setting
	Activity       func() []Activity
	Workers        func() []Worker
	Prepared       func() []PreparedStatement
	UDFErrors      func() []UDFError
	UDFStats       func() []UDFStat
	UDFLogs        func() []UDFLog
	Receipts       func() []QueryReceipt
	// Receipt gives the receipt of a query as JSON.
	Receipt   func(id string) (string, error)
	Artifacts func() []Artifact
}

// Tables returns all virtual tables by schema and name.
func Tables() []*Table { return tables().all }

// Find returns a virtual table, nil if there is none.
func Find(schema, name string) *Table { return tables().byName[schema+"."+name] }

// FindOID returns the virtual table with an OID, nil if there is none.
func FindOID(oid uint32) *Table { return tables().byOID[oid] }

// SystemColumns are the columns that every virtual table has besides its own and
// that only a query which names them sees. The first follows the last of
// Table.Columns in the numbering of Scan.
func SystemColumns() []vector.Field {
	return []vector.Field{{Name: "tableoid", Type: types.T(types.OID)}, {Name: "xmin", Type: types.T(types.OID)}}
}

// Scan returns the rows of a table named "schema.name", with only the columns
// asked for (indexes into Table.Columns and on into SystemColumns), in that
// order, in batches of at most 16,384 rows. The vectors may be shared with other
// scans.
func (v *View) Scan(name string, columns []uint32) ([]*vector.Batch, error) {
	t := tables().byName[name]
	if t == nil {
		return nil, pgerr.New(pgerr.UndefinedTable, "relation \"%s\" does not exist", name)
	}
	for _, c := range columns {
		if int(c) >= len(t.Columns)+len(SystemColumns()) {
			return nil, pgerr.New(pgerr.InternalError, "%s has no column %d", name, c)
		}
	}
	if t.rows == nil {
		return nil, nil
	}
	return t.rows.scan(v, t, columns), nil
}

// system is n rows of system column i. xmin is the version of the catalog: a
// client that looks for rows newer than its last visit finds all or none.
func (v *View) system(t *Table, i, n int) *vector.Vector {
	x := int64(t.OID)
	if i > 0 {
		x = firstXID + v.Snapshot.Version()
	}
	return vector.NewConst(vector.FromSlice(types.T(types.OID), []int64{x}), n)
}

// firstXID is the first ordinary transaction number in Postgres.
const firstXID = 3

// Lookup answers the catalog functions from the same snapshot.
func (v *View) Lookup() function.CatalogLookup { return &lookup{v: v} }

// schemaRow is a schema.
type schemaRow struct {
	oid         uint32
	name, owner string
	comment     string
	acl         []string
	ownerOID    uint32
	virtual     bool // has no entry in the snapshot
}

// schemas are those of the snapshot and volley.
func (v *View) schemas() []schemaRow {
	var out []schemaRow
	for _, s := range v.Snapshot.Schemas() {
		out = append(out, schemaRow{oid: s.OID, name: s.Name, owner: s.Owner, comment: s.Comment,
			acl: v.acl(s.OID, s.Owner, schemaPrivileges), ownerOID: v.roleOID(s.Owner)})
	}
	if v.Snapshot.Schema("volley") == nil {
		out = append(out, schemaRow{oid: volleySchemaOID, name: "volley", owner: catalog.BootstrapRole,
			comment: "workers, artifacts and versions of functions", ownerOID: catalog.BootstrapOID,
			acl: []string{catalog.BootstrapRole + "=UC/" + catalog.BootstrapRole, "=U/" + catalog.BootstrapRole}, virtual: true})
	}
	return out
}

// schemaOID returns 0 where there is no such schema.
func (v *View) schemaOID(name string) uint32 {
	if s := v.Snapshot.Schema(name); s != nil {
		return s.OID
	}
	if name == "volley" {
		return volleySchemaOID
	}
	return 0
}

// roleOID returns the bootstrap role's for a name that is gone.
func (v *View) roleOID(name string) uint32 {
	if r := v.Snapshot.Role(name); r != nil {
		return r.OID
	}
	return catalog.BootstrapOID
}

func (v *View) database() string {
	if v.Database != "" {
		return v.Database
	}
	return catalog.DefaultDatabase
}

// path is the search path: existing schemas only, pg_catalog in front unless it
// is named.
func (v *View) path(implicit bool) []string {
	out := []string{}
	for _, s := range v.SearchPath {
		if s == "$user" {
			// Only a schema that was made for the user: the default role has the
			// name of our own schema.
			if s = v.User; v.Snapshot.Schema(s) == nil {
				continue
			}
		}
		if v.schemaOID(s) != 0 && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	if implicit && !slices.Contains(out, "pg_catalog") {
		out = slices.Insert(out, 0, "pg_catalog")
	}
	return out
}
