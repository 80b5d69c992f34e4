package function

import (
	"context"
	"time"

	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// Kind says where a function may stand.
type Kind uint8

// The kinds of functions.
const (
	Scalar     Kind = iota
	Aggregate       // also usable OVER a window
	Window          // only OVER a window: row_number, lag, …
	Table           // FROM f(args): generate_series, read_csv, …
	GroupedMap      // GROUP BY k APPLY f(args)
)

// Volatility is Postgres' provolatile.
type Volatility uint8

// The volatilities. Only Immutable functions are folded; Volatile ones are
// evaluated exactly once per output row and never moved.
const (
	Immutable Volatility = iota
	Stable
	Volatile
)

// Function describes one overload.
type Function struct {
	ID     string // unique and stable: travels in plans
	Schema string // pg_catalog for built-ins
	Name   string
	// Op is the operator that the function stands behind ("+", "=", "~~"), ""
	// for an ordinary function. A unary operator has one argument.
	Op       string
	Kind     Kind
	Args     []types.Type // may use AnyElement, AnyArray, Any
	ArgNames []string     // nil or one per argument
	// Variadic repeats the last argument type zero or more times.
	Variadic   bool
	Returns    types.Type     // AnyElement/AnyArray follow the arguments
	Columns    []vector.Field // output columns of Table and GroupedMap
	Volatility Volatility
	// Strict functions give NULL for a NULL argument and their kernel is not
	// asked about such rows' values (it may see zero values there).
	Strict bool
	OID    uint32 // pg_proc OID
	Doc    string // one line for \df+

	// Prepare names, for each argument of an aggregate, a scalar function that the
	// planner puts around it; "" or a missing one is none. It is how an aggregate
	// gets at what depends on the session: the text of values.
	Prepare []string

	// Eval computes a scalar function (see EvalFunc).
	Eval EvalFunc
	// ReturnType computes the result type from the argument types where Returns
	// and the polymorphic rules are not enough (numeric typmod, for example); may be nil.
	ReturnType func(args []types.Type) types.Type
	// NewAggregate makes the state of an aggregate over args (types resolved).
	NewAggregate func(args []types.Type) Aggregator
	// StateTypes are the columns of an aggregate's partial state.
	StateTypes func(args []types.Type) []types.Type
	// NewTable makes the generator of a table function from constant arguments.
	NewTable func(c *Ctx, args []*vector.Vector) (Generator, error)

	// UDF is set for user-defined functions in a plugin.
	UDF *UDFRef
	// Canary is the version that some of a scalar function's rows go to; nil for none.
	Canary *Canary
	// Definer is the role with whose rights the body of a SECURITY DEFINER
	// function in SQL is bound; "" is the caller's. That of an aggregate made of
	// functions is its owner, who must be allowed to call them.
	Definer string
	// BodyPath is the search path of the body of a function in SQL, nil for the
	// caller's. A SECURITY DEFINER function has one, SET search_path or else that
	// of its definition, so that no caller decides what its names mean. Nil for none.
	BodyPath []string
	// Parts is set for an aggregate made of functions. Its UDF has a name and
	// nothing else.
	Parts *AggParts

	// Body is the query of a user's function in SQL: the planner puts it in place
	// of calls. OneRow says that a Table function with a Body gives its first row,
	// or a row of NULLs, and not all rows.
	Body   string
	OneRow bool
	// Defaults are the SQL expressions of the last arguments, which calls may leave out.
	Defaults []string
	// Spread says that calls may list the elements of the last argument, an array
	// (VARIADIC of users' functions).
	Spread bool
}

// UDFRef names user code: what to fetch, verify and call.
type UDFRef struct {
	Digest      string        // "sha256:…" of the artifact
	Symbol      string        // name of the function inside the artifact
	Display     string        // how errors name it, e.g. "score_udf"
	MemoryLimit int64         // bytes, 0 = default
	Timeout     time.Duration // per batch without progress, 0 = default
	Version     int           // in the catalog, 0 = unknown
	OnError     string        // fail, null or skip; "" is the session's volley.on_error
	Concurrency int           // calls at once on a worker, 0 = no limit
	Cost        float64       // COST, if it was declared
	// MaxGroupBytes bounds the groups of a grouped map that wants them whole; 0 = default.
	MaxGroupBytes int64
	// BatchRows is set for a grouped map that takes that many rows at once, whatever
	// their keys; Describes for one whose Columns depend on the arguments.
	BatchRows int
	Describes bool
}

// Ctx is what kernels may need of their surroundings. One per task and
// goroutine.
type Ctx struct {
	Context  context.Context
	Seed     uint64 // of the query; random() is a function of it and the row
	Stage    int    // with Task: names the place in the plan, the same on a retry
	Task     int
	Now      int64          // microseconds since 1970 UTC: statement start
	Location *time.Location // session time zone
	User     string
	Database string
	// Setting returns the value of a session setting, for current_setting().
	Setting func(name string) (string, bool)
	// Catalog answers the catalog functions (pg_get_userbyid, regclass casts,
	// …) on the coordinator; nil on workers.
	Catalog CatalogLookup
	// Rows counts the rows this call site has produced so far in this task; the
	// evaluator advances it. (Seed, Stage, Task, Site, Rows+i) identify a value
	// of random(), whatever attempt computes it.
	Rows int64
	Site int // number of the volatile call in its stage
}

// CatalogLookup is the part of the catalog that functions ask; package catalog
// implements it. ok is false where there is no such object.
type CatalogLookup interface {
	RelationName(oid uint32) (schema, name string, ok bool)
	RelationOID(name string) (oid uint32, err error) // possibly qualified and quoted; 42P01
	FunctionName(oid uint32) (schema, name string, ok bool)
	FunctionArgs(oid uint32) (args string, result string, ok bool) // as pg_get_function_arguments/result
	FunctionDef(oid uint32) (def string, ok bool)
	SchemaName(oid uint32) (string, bool)
	SchemaOID(name string) (uint32, bool)
	RoleName(oid uint32) (string, bool)
	Visible(schema string) bool // is the schema in the search path
	ViewDef(oid uint32) (string, bool)
	RelationSize(oid uint32) (int64, bool)
	CurrentSchemas(implicit bool) []string
}

// CatalogDetails is what a CatalogLookup may know besides: obj_description,
// has_…_privilege and casts of names to regproc ask for it.
type CatalogDetails interface {
	// FunctionOIDs finds all overloads of a function, built-in or not, by a name
	// that may be qualified and quoted.
	FunctionOIDs(name string) ([]uint32, error)
	// Comment gives the comment on an object of a catalog (pg_class, pg_proc,
	// pg_namespace, pg_authid; "" is any of them), or on column sub > 0 of a relation.
	Comment(class string, oid uint32, sub int32) (string, bool)
	// HasPrivilege reports whether a role holds a privilege on a schema, relation
	// or function.
	HasPrivilege(role string, object uint32, privilege string) bool
	// FunctionArgTypes gives the types that a function takes, as OIDs.
	FunctionArgTypes(oid uint32) []uint32
	// LanguageOID and LanguageName give 0 and "" where there is no such language.
	LanguageOID(name string) uint32
	LanguageName(oid uint32) string
	// Describe names an object as pg_describe_object does.
	Describe(class, oid uint32, sub int32) (string, bool)
}

// EvalFunc computes one vector of n rows from arguments of n rows each, Flat or
// Const (Dict only if all the function does is pass them on). For a Strict
// function the caller merges the arguments' NULLs into the result and
// short-circuits constant NULLs; the kernel may ignore validity but must not
// fail on the rows that are NULL: Ctx-free kernels that can raise errors check
// valid(i) through the argument vectors. All-Const arguments of an Immutable
// function are evaluated with n = 1 and spread by the caller.
type EvalFunc func(c *Ctx, args []*vector.Vector, n int) (*vector.Vector, error)

// Aggregator holds the states of one aggregate call for many groups, in columns
// indexed by group number. Not safe for concurrent use.
type Aggregator interface {
	// Grow makes room for groups 0 … n-1; new ones are in the initial state.
	Grow(n int)
	// Update folds n rows: row i belongs to groups[i]. args are Flat or Const.
	// groups is nil when all rows belong to group 0.
	Update(groups []int32, args []*vector.Vector, n int) error
	// Merge folds partial states: row i of states goes into groups[i].
	Merge(groups []int32, states []*vector.Vector, n int) error
	// State returns the states of groups [from, to) as columns of StateTypes.
	State(from, to int) ([]*vector.Vector, error)
	// Final returns the results of groups [from, to).
	Final(from, to int) (*vector.Vector, error)
	// Size is the bytes of memory held.
	Size() int64
	// Close frees what a UDF's state holds outside the process; a no-op for built-ins.
	Close() error
}

// DictTaker is an Aggregator whose Update takes Dict arguments too.
type DictTaker interface{ TakesDict() }

// Generator produces the rows of a table function. Next returns nil at the end.
type Generator interface {
	Next(ctx context.Context) (*vector.Batch, error)
}
