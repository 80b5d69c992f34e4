package coordinator

import (
	"context"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/coordinator/cluster"
	"github.com/volleydb/volley/parser"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/physical"
	"github.com/volleydb/volley/planner"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
	"github.com/volleydb/volley/worker"
)

func openFile(path string) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, pgerr.Wrap(err, pgerr.UndefinedFile, "could not open file %q", path)
	}
	return f, nil
}

// done is the result of a statement that returns no rows.
func done(tag string) *Result {
	return NewResult(nil, nil, func() string { return tag }, nil)
}

// rows is a result of batches that are there already.
func rows(fields []vector.Field, tag string, batches ...*vector.Batch) *Result {
	return NewResult(fields, func(context.Context) (*vector.Batch, error) {
		for len(batches) > 0 {
			b := batches[0]
			batches = batches[1:]
			if b != nil && b.Rows() > 0 {
				return b, nil
			}
		}
		return nil, nil
	}, func() string { return tag }, nil)
}

// textRows is a result of one text column.
func textRows(field, tag string, lines []string) *Result {
	t := types.T(types.Text)
	return rows([]vector.Field{{Name: field, Type: t}}, tag, vector.NewBatch([]*vector.Vector{vector.FromStrings(t, lines)}, len(lines)))
}

// execute runs any statement.
func (x *statement) execute(ctx context.Context) (*Result, error) {
	if err := x.st.OtherDatabase(x.s.o.Database); err != nil {
		return nil, err
	}
	switch n := x.st.Node.GetNode().(type) {
	case *pg.Node_SelectStmt:
		if r, err := x.special(ctx, n.SelectStmt); r != nil || err != nil {
			return r, err
		}
		return x.query(ctx, x.st.Node)
	case *pg.Node_ExplainStmt:
		return x.explain(ctx, n.ExplainStmt)
	case *pg.Node_ExecuteStmt:
		return x.executeStmt(ctx, n.ExecuteStmt)
	case *pg.Node_TransactionStmt:
		return x.s.transaction(ctx, n.TransactionStmt)
	case *pg.Node_VariableSetStmt:
		return x.setVariable(ctx, n.VariableSetStmt)
	case *pg.Node_VariableShowStmt:
		return x.show(n.VariableShowStmt)
	case *pg.Node_DiscardStmt:
		return x.discard(n.DiscardStmt)
	case *pg.Node_CallStmt:
		return x.call(ctx, n.CallStmt)
	}
	if r, ok, err := x.sessionCommand(ctx); ok {
		return r, err
	}
	if x.s.settings.get("transaction_read_only") == "on" || x.s.tx == nil && x.s.settings.get("default_transaction_read_only") == "on" {
		if c := x.st.Node.GetCopyStmt(); c == nil || c.IsFrom {
			return nil, pgerr.New(pgerr.ReadOnlySQLTransaction, "cannot execute %s in a read-only transaction", statementName(x.st))
		}
	}
	switch n := x.st.Node.GetNode().(type) {
	case *pg.Node_CreateStmt:
		return x.createTable(ctx, n.CreateStmt)
	case *pg.Node_CreateTableAsStmt:
		return x.createTableAs(ctx, n.CreateTableAsStmt)
	case *pg.Node_InsertStmt:
		return x.insert(ctx, n.InsertStmt)
	case *pg.Node_UpdateStmt, *pg.Node_DeleteStmt, *pg.Node_MergeStmt:
		return x.modify(ctx, x.st.Node)
	case *pg.Node_CopyStmt:
		return x.copy(ctx, n.CopyStmt)
	case *pg.Node_ViewStmt:
		return x.createView(ctx, n.ViewStmt)
	case *pg.Node_CreateSchemaStmt:
		return x.createSchema(ctx, n.CreateSchemaStmt)
	case *pg.Node_CreateEnumStmt:
		return x.createEnum(ctx, n.CreateEnumStmt)
	case *pg.Node_CompositeTypeStmt:
		return x.createComposite(ctx, n.CompositeTypeStmt)
	case *pg.Node_AlterEnumStmt:
		return x.alterEnum(ctx, n.AlterEnumStmt)
	case *pg.Node_DropStmt:
		return x.drop(ctx, n.DropStmt)
	case *pg.Node_TruncateStmt:
		return x.truncate(ctx, n.TruncateStmt)
	case *pg.Node_RenameStmt:
		return x.rename(ctx, n.RenameStmt)
	case *pg.Node_AlterFunctionStmt:
		return x.alterFunction(ctx, n.AlterFunctionStmt)
	case *pg.Node_AlterOwnerStmt:
		return x.alterOwner(ctx, n.AlterOwnerStmt)
	case *pg.Node_AlterObjectSchemaStmt:
		return x.alterSchema(ctx, n.AlterObjectSchemaStmt)
	case *pg.Node_GrantStmt:
		return x.grant(ctx, n.GrantStmt)
	case *pg.Node_GrantRoleStmt:
		return x.grantRole(ctx, n.GrantRoleStmt)
	case *pg.Node_AlterDefaultPrivilegesStmt:
		return x.alterDefaultPrivileges(ctx, n.AlterDefaultPrivilegesStmt)
	case *pg.Node_CreateExtensionStmt:
		return x.createExtension(ctx, n.CreateExtensionStmt)
	case *pg.Node_AlterExtensionStmt:
		return x.alterExtension(ctx, n.AlterExtensionStmt)
	case *pg.Node_CommentStmt:
		return x.comment(ctx, n.CommentStmt)
	case *pg.Node_CreateFunctionStmt:
		return x.createFunction(ctx, n.CreateFunctionStmt)
	case *pg.Node_DefineStmt:
		return x.define(ctx, n.DefineStmt)
	case *pg.Node_CreateRoleStmt:
		return x.createRole(ctx, n.CreateRoleStmt)
	case *pg.Node_AlterRoleStmt:
		return x.alterRole(ctx, n.AlterRoleStmt)
	case *pg.Node_DropRoleStmt:
		return x.dropRole(ctx, n.DropRoleStmt)
	}
	return nil, unsupportedStatement(x.st)
}

// statementNames are the statements whose name the grammar's does not spell out.
var statementNames = map[string]string{
	"index": "CREATE INDEX", "create_seq": "CREATE SEQUENCE", "create_trig": "CREATE TRIGGER", "create_enum": "CREATE TYPE",
	"composite_type": "CREATE TYPE", "create_range": "CREATE TYPE", "rule": "CREATE RULE", "createdb": "CREATE DATABASE",
	"dropdb": "DROP DATABASE", "check_point": "CHECKPOINT", "sec_label": "SECURITY LABEL", "create_plang": "CREATE LANGUAGE",
	"create_table_space": "CREATE TABLESPACE", "create_policy": "CREATE POLICY", "create_cast": "CREATE CAST", "grant_role": "GRANT",
	"create": "CREATE TABLE", "view": "CREATE VIEW", "truncate": "TRUNCATE TABLE",
	"alter_seq": "ALTER SEQUENCE", "alter_enum": "ALTER TYPE",
}

// statementName is how messages call a statement.
func statementName(st *parser.Statement) string {
	r := st.Node.ProtoReflect()
	fd := r.WhichOneof(r.Descriptor().Oneofs().Get(0))
	name := "this statement"
	if fd != nil {
		field := strings.TrimSuffix(string(fd.Name()), "_stmt")
		if name = statementNames[field]; name == "" {
			name = strings.ToUpper(strings.ReplaceAll(field, "_", " "))
		}
	}
	if v := st.Node.GetVacuumStmt(); v != nil && !v.IsVacuumcmd {
		name = "ANALYZE"
	}
	return name
}

// unsupportedStatement names a statement that the grammar has and Volley has not.
func unsupportedStatement(st *parser.Statement) error {
	name := statementName(st)
	return pgerr.New(pgerr.FeatureNotSupported, "%s is not supported", name).At(st.Pos(int32(0)))
}

// query runs a SELECT and streams its rows.
func (x *statement) query(ctx context.Context, node *pg.Node) (*Result, error) {
	q, err := planner.Bind(ctx, x.st, node, nil, x.options())
	if err != nil {
		return nil, err
	}
	plan, err := q.Plan(ctx, nil)
	if err != nil {
		return nil, err
	}
	run, err := x.run(ctx, plan)
	if err != nil {
		return nil, err
	}
	var n int64
	fields := q.Fields()
	if fields == nil {
		fields = []vector.Field{}
	}
	return NewResult(fields, func(ctx context.Context) (*vector.Batch, error) {
		b, err := run.Next(ctx)
		if err != nil {
			return nil, err
		}
		if b != nil {
			n += int64(b.Rows())
		}
		return b, nil
	}, func() string { return "SELECT " + strconv.FormatInt(n, 10) }, run.Close), nil
}

// seedOf spreads setseed's argument over 64 bits.
func seedOf(f float64) uint64 {
	h := math.Float64bits(f) * 0xBF58476D1CE4E5B9
	return h ^ h>>31
}

// run starts a plan.
func (x *statement) run(ctx context.Context, plan *proto.Plan) (*cluster.Running, error) {
	plan.Context = x.queryContext()
	if x.rec != nil {
		x.rec.ran(plan.Context.Seed, x.s.c.cfg.Cluster.Remote())
	}
	if len(plan.Stages) > 1 || plan.Stages[0].Tasks > 1 {
		// Tasks read settings in goroutines of their own, while the client may
		// leave a portal half read and change some.
		settings := x.s.settings.clone()
		x.view.Settings = settings.rows
		x.fc.Setting = x.settingsOf(settings)
	}
	release := x.s.c.pinPlan(plan)
	started := time.Now()
	var r *cluster.Running // what ends before it is known leaves no spans
	var err error
	r, err = x.s.c.cfg.Cluster.Run(ctx, plan, cluster.Options{Local: &worker.Local{Virtual: x.virtual, Functions: x.fc}, ForceEmbedded: x.s.c.callsLinked(plan),
		Timed: x.s.c.cfg.Tracer != nil,
		Ended: func(stats []*proto.OperatorStats, failed bool) {
			release()
			x.s.c.udfs.ended(x.id, x.s.o.User, stats, failed)
			x.tracePlan(r, started, failed)
		}})
	if err != nil {
		release()
	}
	return r, err
}

// virtual opens a catalog table for a task of this process.
func (x *statement) virtual(_ context.Context, name string, columns []uint32) (physical.Operator, error) {
	batches, err := x.view.Scan(name, columns)
	if err != nil {
		return nil, err
	}
	return &batchScan{batches}, nil
}

// batchScan is an operator over batches that are there already.
type batchScan struct{ batches []*vector.Batch }

func (s *batchScan) Next(context.Context) (*vector.Batch, error) {
	for len(s.batches) > 0 {
		b := s.batches[0]
		s.batches = s.batches[1:]
		if b.Rows() > 0 {
			return b, nil
		}
	}
	return nil, nil
}

func (s *batchScan) Close() error { return nil }

// special is a function that changes the session or the server. It stands alone:
// SELECT f(constants).
type special struct {
	schema, name string
	args         []types.ID
	result       types.ID
	run          func(ctx context.Context, x *statement, args []*vector.Vector) (string, error)
}

var specials = []special{
	{"pg_catalog", "setseed", []types.ID{types.Float8}, types.Void, func(_ context.Context, x *statement, args []*vector.Vector) (string, error) {
		f := vector.At[float64](args[0], 0)
		if !(f >= -1 && f <= 1) {
			return "", pgerr.New(pgerr.InvalidParameterValue, "setseed parameter %v is out of allowed range [-1,1]", f)
		}
		seed := seedOf(f)
		x.s.seed, x.s.seedUses = &seed, 0
		return "", nil
	}},
	{"pg_catalog", "set_config", []types.ID{types.Text, types.Text, types.Bool}, types.Text, func(_ context.Context, x *statement, args []*vector.Vector) (string, error) {
		name := args[0].StringAt(0)
		if err := x.s.setSetting(name, args[1].StringAt(0), vector.At[bool](args[2], 0)); err != nil {
			return "", err
		}
		shown, _ := x.s.Setting(name)
		return shown, nil
	}},
	{"volley", "put_artifact", []types.ID{types.Bytea}, types.Text, func(ctx context.Context, x *statement, args []*vector.Vector) (string, error) {
		return x.putArtifact(ctx, args[0].BytesAt(0), "")
	}},
	{"volley", "put_artifact", []types.ID{types.Bytea, types.Text}, types.Text, func(ctx context.Context, x *statement, args []*vector.Vector) (string, error) {
		return x.putArtifact(ctx, args[0].BytesAt(0), args[1].StringAt(0))
	}},
	{"volley", "gc", nil, types.JSON, func(ctx context.Context, x *statement, _ []*vector.Vector) (string, error) {
		return x.collect(ctx)
	}},
}

// specialCall recognises the call of a special, with the name of its column.
func specialCall(sel *pg.SelectStmt) (sp *special, fc *pg.FuncCall, label string) {
	if len(sel.TargetList) != 1 || len(sel.FromClause) > 0 || sel.WhereClause != nil || sel.Op != pg.SetOperation_SETOP_NONE || sel.LimitCount != nil ||
		sel.LimitOffset != nil || sel.HavingClause != nil || sel.WithClause != nil || len(sel.GroupClause) > 0 || len(sel.LockingClause) > 0 {
		return nil, nil, ""
	}
	rt := sel.TargetList[0].GetResTarget()
	if fc = rt.GetVal().GetFuncCall(); fc == nil || fc.Over != nil || fc.AggFilter != nil || fc.AggDistinct {
		return nil, nil, ""
	}
	parts := make([]string, 0, 2)
	for _, n := range fc.Funcname {
		parts = append(parts, n.GetString_().GetSval())
	}
	name := parts[len(parts)-1]
	for i := range specials {
		sp := &specials[i]
		if sp.name != name || len(fc.Args) != len(sp.args) {
			continue
		}
		if len(parts) == 1 && sp.schema != "pg_catalog" || len(parts) > 1 && parts[len(parts)-2] != sp.schema {
			continue
		}
		if label = rt.Name; label == "" {
			label = name
		}
		return sp, fc, label
	}
	return nil, nil, ""
}

// StandsAlone reports whether a call is that of a special.
func (n *names) StandsAlone(schema, name string, args int) bool {
	for _, sp := range specials {
		if sp.name == name && len(sp.args) == args && (schema == sp.schema || schema == "" && sp.schema == "pg_catalog") {
			return true
		}
	}
	return false
}

var _ planner.AloneCatalog = (*names)(nil)

// special runs a special; nil when the SELECT is not one.
func (x *statement) special(ctx context.Context, sel *pg.SelectStmt) (*Result, error) {
	sp, fc, label := specialCall(sel)
	if sp == nil {
		return nil, nil
	}
	x.rec = nil // what changes the session is no query
	t := types.T(sp.result)
	fields := []vector.Field{{Name: label, Type: t}}
	args := make([]*vector.Vector, len(fc.Args))
	for i, a := range fc.Args {
		v, _, err := planner.Constant(ctx, x.st, a, types.T(sp.args[i]), x.options())
		if err != nil {
			return nil, err
		}
		if v.IsNull(0) {
			return rows(fields, "SELECT 1", vector.NewBatch([]*vector.Vector{vector.NewNull(t, 1)}, 1)), nil
		}
		args[i] = v
	}
	out, err := sp.run(ctx, x, args)
	if err != nil {
		return nil, err
	}
	return rows(fields, "SELECT 1", vector.NewBatch([]*vector.Vector{vector.FromStrings(t, []string{out})}, 1)), nil
}
