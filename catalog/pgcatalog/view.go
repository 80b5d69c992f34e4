package pgcatalog

import (
	"time"

	"github.com/volleydb/volley/catalog"
	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/vector"
)

// Table is the definition of a virtual table.
type Table struct {
	OID     uint32
	Schema  string
	Name    string
	Columns []vector.Field
}

// Setting is a row of pg_settings.
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
	PID                                 int32
	User, Database, ApplicationName     string
	ClientAddr                          string // host:port, "" for a local socket
	State, Query                        string // State as Postgres names it: active, idle, …
	BackendType                         string // "" = client backend
	WaitEventType, WaitEvent            string
	BackendStart, XactStart, QueryStart time.Time // zero = NULL
	StateChange                         time.Time
}

// Worker is a row of volley.workers.
type Worker struct {
	ID, Address, State, Version string
	Slots, Running              int
	MemoryBytes                 int64     // 0 = unknown
	Started, LastSeen           time.Time // zero = NULL
}

// View is what one statement sees. The functions are called at most once per
// Scan and may be nil.
type View struct {
	Snapshot       *catalog.Snapshot
	SearchPath     []string
	User, Database string
	Settings       func() []Setting
	Activity       func() []Activity
	Workers        func() []Worker
}

// Tables returns all virtual tables by schema and name.
func Tables() []*Table { return nil }

// Find returns a virtual table, nil if there is none.
func Find(schema, name string) *Table { return nil }

// Scan returns the rows of a table named "schema.name", with only the columns
// asked for (indexes into Table.Columns), in that order, in batches of at most
// 16,384 rows.
func (v *View) Scan(name string, columns []uint32) ([]*vector.Batch, error) {
	return nil, pgerr.New(pgerr.UndefinedTable, "relation \"%s\" does not exist", name)
}

// Lookup answers the catalog functions from the same snapshot.
func (v *View) Lookup() function.CatalogLookup { return nil }
