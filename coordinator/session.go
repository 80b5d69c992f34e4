package coordinator

import (
	"context"
	"errors"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/catalog"
	"github.com/volleydb/volley/catalog/pgcatalog"
	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/parser"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/planner"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// Session is one client's connection. Its methods are called by one goroutine
// at a time; activity may be asked by others.
type Session struct {
	c        *Coordinator
	o        SessionOptions
	settings *sessionSettings
	pid      int32
	started  time.Time

	// tx is the open transaction block's changes, nil outside one.
	tx       *catalog.Tx
	staged   []string // statements of the block that have a staging directory
	txStatus TxStatus
	txStart  time.Time
	// undo holds the settings as they were when the block began: ROLLBACK
	// brings them back, COMMIT those that SET LOCAL changed.
	undo       *sessionSettings
	local      map[string]bool
	savepoints []savepoint

	cursors  map[string]*cursor
	prepared map[string]*named

	held []func() // releases what the open block keeps of artifacts

	seed     *uint64 // of setseed()
	seedUses uint64

	lastQuery string // id of the last statement that has a receipt, "" = none

	mu    sync.Mutex
	query string
	state string
	since time.Time
}

// statement is the surroundings of one statement's execution.
type statement struct {
	s       *Session
	st      *parser.Statement
	snap    *catalog.Snapshot
	view    *pgcatalog.View
	fc      *function.Ctx
	params  []*planner.Const
	ptypes  []types.Type
	prepare bool
	uses    map[uint32]bool // collects the functions that a view calls
	trace   *[]traced       // the plans that ran, for EXPLAIN ANALYZE
	phase   string          // what the next of them is for
	id      string
	rec     *recorder // of its receipt, nil when it gets none
	rp      *replay   // what it repeats, nil otherwise
	last    string    // the session's lastQuery when it began
	cancel  context.CancelFunc
	held    []func() // releases what the statement keeps of artifacts
	closed  bool
}

// TxStatus is the state for ReadyForQuery.
func (s *Session) TxStatus() TxStatus {
	if s.txStatus == 0 {
		return TxIdle
	}
	return s.txStatus
}

// PID identifies the session in pg_stat_activity.
func (s *Session) PID() int32 { return s.pid }

// Setting returns a setting as SHOW prints it.
func (s *Session) Setting(name string) (string, bool) { return s.settings.shown(name) }

// functionSetting answers current_setting() and what other functions ask of the
// session under names of their own.
func (s *Session) functionSetting(settings *sessionSettings, name string) (string, bool) {
	switch name {
	case "volley.backend_pid":
		return strconv.Itoa(int(s.pid)), true
	case "volley.start_time":
		return s.c.started.UTC().Format("2006-01-02 15:04:05.999999-07"), true
	}
	return settings.shown(name)
}

// EndImplicit ends what is left of an implicit transaction: every statement
// outside a block has committed or failed by itself, so only the activity changes.
// A failure that never reached the session (a protocol error) aborts an open block.
func (s *Session) EndImplicit(failed bool) {
	if failed && s.txStatus == TxActive {
		s.txStatus = TxFailed
	}
	s.setState("", "idle")
}

// Close rolls an open block back.
func (s *Session) Close() {
	s.rollback()
	s.closeCursors(func(*cursor) bool { return true })
	s.dropTemporary()
	s.c.forget(s)
}

func (s *Session) setState(query, state string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if query != "" {
		s.query = query
	}
	if state == "idle" && s.txStatus == TxActive {
		state = "idle in transaction"
	}
	s.state, s.since = state, time.Now()
}

func (s *Session) activity() pgcatalog.Activity {
	s.mu.Lock()
	defer s.mu.Unlock()
	return pgcatalog.Activity{PID: s.pid, User: s.o.User, Database: s.o.Database, ApplicationName: s.settingsApp(),
		State: s.state, Query: s.query, BackendStart: s.started, QueryStart: s.since, StateChange: s.since}
}

// settingsApp reads application_name, which only the session's goroutine writes;
// a torn read is impossible for the copy made when it was set.
func (s *Session) settingsApp() string { return s.o.Settings["application_name"] }

// Prepare analyses a statement: parameter types and result fields.
func (s *Session) Prepare(ctx context.Context, st *parser.Statement, paramOIDs []uint32) (*Prepared, error) {
	p := &Prepared{Statement: st}
	if st == nil {
		return p, nil
	}
	for _, oid := range paramOIDs {
		t := types.T(types.Unknown)
		if oid != 0 {
			var ok bool
			if t, ok = types.ByOID(oid); !ok {
				return nil, pgerr.New(pgerr.UndefinedObject, "type with OID %d does not exist", oid)
			}
		}
		p.Params = append(p.Params, t)
	}
	if err := s.checkTx(st); err != nil {
		return nil, err
	}
	x := s.begin(ctx, st)
	defer x.close()
	x.prepare, x.ptypes = true, p.Params
	err := s.guarded(st, func() error { return x.describe(ctx, p) })
	return p, s.failed(err)
}

// guarded turns a panic while a statement is analysed or started into an error
// of that statement: a bug in it must not take the other sessions along. (Tasks
// are guarded by the worker.)
func (s *Session) guarded(st *parser.Statement, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			s.c.cfg.Log.Error("panic in a statement", "pid", s.pid, "panic", p, "statement", st.SQL, "stack", string(debug.Stack()))
			err = pgerr.New(pgerr.InternalError, "internal error: %v", p).
				WithHint("This is a bug in Volley; the server's log has the place.")
		}
	}()
	return f()
}

// describe fills in what a statement takes and gives.
func (x *statement) describe(ctx context.Context, p *Prepared) error {
	if err := x.st.OtherDatabase(x.s.o.Database); err != nil {
		return err
	}
	switch n := x.st.Node.GetNode().(type) {
	case *pg.Node_SelectStmt:
		if sp, fc, label := specialCall(n.SelectStmt); sp != nil {
			p.Fields = []vector.Field{{Name: label, Type: types.T(sp.result)}}
			for i, a := range fc.Args {
				if k := int(a.GetParamRef().GetNumber()); k > 0 {
					for len(p.Params) < k {
						p.Params = append(p.Params, types.T(types.Unknown))
					}
					if p.Params[k-1].ID == types.Unknown {
						p.Params[k-1] = types.T(sp.args[i])
					}
				}
			}
			return nil
		}
		q, err := planner.Bind(ctx, x.st, x.st.Node, nil, x.options())
		if err != nil {
			return err
		}
		p.Params, p.Fields = q.Params(), q.Fields()
		if p.Fields == nil {
			p.Fields = []vector.Field{}
		}
	case *pg.Node_UpdateStmt, *pg.Node_DeleteStmt, *pg.Node_MergeStmt:
		c, _, err := x.bindChange(ctx, x.st.Node)
		if err != nil {
			return err
		}
		p.Params, p.Fields = c.Rows.Params(), c.Returns()
	case *pg.Node_InsertStmt:
		if len(n.InsertStmt.ReturningList) > 0 {
			c, _, err := x.bindInsertReturning(ctx, n.InsertStmt)
			if err != nil {
				return err
			}
			p.Params, p.Fields = c.Rows.Params(), c.Returns()
			return nil
		}
		q, _, err := x.bindInsert(ctx, n.InsertStmt)
		if err != nil {
			return err
		}
		p.Params = q.Params()
	case *pg.Node_CreateTableAsStmt:
		if e := n.CreateTableAsStmt.Query.GetExecuteStmt(); e != nil {
			_, err := x.find(e)
			return err
		}
		q, err := planner.Bind(ctx, x.st, n.CreateTableAsStmt.Query, nil, x.options())
		if err != nil {
			return err
		}
		p.Params = q.Params()
	case *pg.Node_DeclareCursorStmt:
		q, err := planner.Bind(ctx, x.st, n.DeclareCursorStmt.Query, nil, x.options())
		if err != nil {
			return err
		}
		p.Params = q.Params()
	case *pg.Node_ExecuteStmt:
		named, err := x.find(n.ExecuteStmt)
		if err != nil {
			return err
		}
		p.Fields = named.Fields
	case *pg.Node_FetchStmt:
		c, err := x.s.cursor(n.FetchStmt.Portalname)
		if err != nil {
			return err
		}
		if !n.FetchStmt.Ismove {
			p.Fields = c.r.Fields
		}
	case *pg.Node_ExplainStmt:
		o, err := explainOptionsOf(x.st, n.ExplainStmt)
		if err != nil {
			return err
		}
		if err := x.describeExplained(ctx, n.ExplainStmt.Query, p); err != nil {
			return err
		}
		p.Fields = explainFields(o)
	case *pg.Node_VariableShowStmt:
		p.Fields = showFields(n.VariableShowStmt)
	case *pg.Node_CallStmt:
		return x.describeCall(ctx, n.CallStmt, p)
	}
	return nil
}

// describeExplained finds the parameters of the statement that EXPLAIN is about.
func (x *statement) describeExplained(ctx context.Context, node *pg.Node, p *Prepared) error {
	y := *x
	y.st = within(x.st, node)
	if node.GetExplainStmt() != nil {
		return nil
	}
	return y.describe(ctx, p)
}

// checkTx refuses everything but the end of a failed block.
func (s *Session) checkTx(st *parser.Statement) error {
	if s.txStatus != TxFailed {
		return nil
	}
	if t := st.Node.GetTransactionStmt(); t != nil {
		switch t.Kind {
		case pg.TransactionStmtKind_TRANS_STMT_COMMIT, pg.TransactionStmtKind_TRANS_STMT_ROLLBACK, pg.TransactionStmtKind_TRANS_STMT_ROLLBACK_TO:
			return nil
		}
	}
	return pgerr.New(pgerr.InFailedSQLTransaction, "current transaction is aborted, commands ignored until end of transaction block")
}

// failed notes an error: in a transaction block it aborts the block.
func (s *Session) failed(err error) error {
	if err == nil {
		return nil
	}
	if s.txStatus == TxActive {
		s.txStatus = TxFailed
	}
	return pgerr.From(err)
}

// Execute runs a prepared statement with its parameters.
func (s *Session) Execute(ctx context.Context, p *Prepared, params []Param) (*Result, error) {
	st := p.Statement
	if st == nil {
		return NewResult(nil, nil, func() string { return "" }, nil), nil
	}
	if err := s.checkTx(st); err != nil {
		return nil, err
	}
	s.setState(st.SQL, "active")
	if len(params) != len(p.Params) {
		return nil, s.failed(pgerr.New(pgerr.ProtocolViolation, "bind message supplies %d parameters, but the statement requires %d", len(params), len(p.Params)))
	}
	x := s.begin(ctx, st)
	x.ptypes = p.Params
	for i, v := range params {
		c, err := x.paramValue(i, p.Params[i], v)
		if err != nil {
			x.close()
			return nil, s.failed(err)
		}
		x.params = append(x.params, c)
	}
	if x.params == nil {
		x.params = []*planner.Const{}
	}
	var cancel context.CancelFunc
	limit := s.settings.int("statement_timeout")
	if limit > 0 {
		ctx, cancel = context.WithTimeoutCause(ctx, time.Duration(limit)*time.Millisecond, errStatementTimeout)
	} else {
		ctx, cancel = context.WithCancel(ctx)
	}
	x.cancel = cancel
	x.record()
	start := time.Now()
	var r *Result
	err := s.guarded(st, func() (err error) { r, err = x.execute(ctx); return err })
	if err != nil {
		err = x.timedOut(ctx, err)
		x.rec.end(stateFailed, err, "")
		x.close()
		s.c.cfg.Log.Debug("statement failed", "pid", s.pid, "query_id", x.id, "err", err, "ms", time.Since(start).Milliseconds())
		return nil, s.failed(err)
	}
	return x.wrap(ctx, r), nil
}

var errStatementTimeout = errors.New("statement timeout")

// timedOut tells a statement timeout from a cancel by the client.
func (x *statement) timedOut(ctx context.Context, err error) error {
	if err != nil && errors.Is(context.Cause(ctx), errStatementTimeout) {
		return pgerr.New(pgerr.QueryCanceled, "canceling statement due to statement timeout")
	}
	return err
}

// wrap makes a result note errors and free the statement at its end.
func (x *statement) wrap(ctx context.Context, r *Result) *Result {
	next, cl, rec := r.next, r.close, x.rec
	if rec != nil {
		rec.fields = r.Fields
	}
	// The caller's context ends the call, the statement's ends the statement.
	join := func(callCtx context.Context) (context.Context, func()) {
		c, cancel := context.WithCancel(ctx)
		stop := context.AfterFunc(callCtx, cancel)
		return c, func() { stop(); cancel() }
	}
	if next != nil {
		r.next = func(callCtx context.Context) (*vector.Batch, error) {
			c, done := join(callCtx)
			defer done()
			b, err := next(c)
			if err != nil {
				err = x.timedOut(ctx, err)
				rec.end(stateFailed, err, "")
				return nil, x.s.failed(err)
			}
			if rec != nil {
				if b == nil {
					rec.end(stateFinished, nil, r.tag())
				} else {
					b = b.Dense()
					rec.hash.add(b)
				}
			}
			return b, nil
		}
	}
	if in := r.CopyIn; in != nil {
		run := in.Run
		r.CopyIn = &CopyIn{Binary: in.Binary, Columns: in.Columns, Run: func(callCtx context.Context, rd ioReader) error {
			c, done := join(callCtx)
			defer done()
			err := x.timedOut(ctx, run(c, rd))
			rec.copied(r, err)
			return x.s.failed(err)
		}}
	}
	if out := r.CopyOut; out != nil {
		write := out.WriteTo
		r.CopyOut = &CopyOut{Binary: out.Binary, Columns: out.Columns, WriteTo: func(callCtx context.Context, w ioWriter) error {
			c, done := join(callCtx)
			defer done()
			err := x.timedOut(ctx, write(c, w))
			rec.copied(r, err)
			return x.s.failed(err)
		}}
	}
	r.close = func() {
		switch {
		case rec == nil || rec.ended:
		case next == nil && r.CopyIn == nil && r.CopyOut == nil:
			rec.end(stateFinished, nil, r.tag())
		default:
			rec.end(stateAbandoned, nil, "")
		}
		if cl != nil {
			cl()
			cl = nil
		}
		x.close()
	}
	return r
}

// begin pins a snapshot for one statement.
func (s *Session) begin(ctx context.Context, st *parser.Statement) *statement {
	x := &statement{s: s, st: st, id: newID(), last: s.lastQuery}
	x.pin(ctx)
	return x
}

// pin takes the snapshot that the statement sees.
func (x *statement) pin(ctx context.Context) {
	s := x.s
	if s.tx != nil {
		x.snap = s.tx.Snapshot()
		x.snap.Acquire()
	} else {
		x.snap = s.c.cfg.Store.Acquire()
	}
	x.view = &pgcatalog.View{Snapshot: x.snap, SearchPath: s.searchPath(x.snap), User: s.o.User, Database: s.o.Database,
		Settings: s.settings.rows, Activity: s.c.activity, Workers: s.c.workers, Prepared: s.preparedRows,
		UDFErrors: x.udfErrors, UDFStats: s.c.udfs.statRows, UDFLogs: x.udfLogs,
		Artifacts: x.artifactRows, Receipts: x.receiptRows, Receipt: x.receiptJSON}
	loc, err := loadZone(s.settings.get("TimeZone"))
	if err != nil {
		loc = time.UTC
	}
	now := time.Now()
	if s.tx != nil {
		now = s.txStart
	}
	x.fc = &function.Ctx{Context: ctx, Now: now.UnixMicro(), Location: loc, User: s.o.User, Database: s.o.Database,
		Setting: x.settingsOf(s.settings), Catalog: x.view.Lookup()}
}

// repin lets a statement outside a block see what has been committed since it began.
func (x *statement) repin() {
	x.snap.Release()
	x.pin(x.fc.Context)
}

func (x *statement) close() {
	if x.closed {
		return
	}
	x.closed = true
	if x.cancel != nil {
		x.cancel()
	}
	releaseAll(x.held)
	x.snap.Release()
}

// options are what the planner gets.
func (x *statement) options() *planner.Options {
	return &planner.Options{Catalog: x.names(), Files: files{x: x, cache: x.s.c.files, rec: x.rec, rp: x.rp, private: x.privateDirs(x.s.o.User)}, Functions: x.fc, ParamTypes: x.ptypes, Params: x.params,
		RowsPerTask: x.s.settings.int("volley.rows_per_task"), Describe: x.describeColumns, MeasuredCost: x.s.c.udfs.rowCost, Slots: x.s.c.cfg.Cluster.Slots}
}

// searchPath are the schemas that unqualified names are looked up in.
func (s *Session) searchPath(snap *catalog.Snapshot) []string {
	var out []string
	for _, p := range splitNames(s.settings.get("search_path")) {
		// $user is only a schema made for the user: the default role has the
		// name of our own schema.
		own := p == "volley"
		if p == "$user" {
			p = s.o.User
		}
		if own || snap.Schema(p) != nil {
			out = append(out, p)
		}
	}
	return out
}

// definerPath is the search path as a SECURITY DEFINER function that is defined now
// keeps it: without schemas of sessions.
func (x *statement) definerPath() string {
	out := []string{`"pg_catalog"`}
	for _, p := range x.s.searchPath(x.snap) {
		if p != tempAlias && p != "pg_catalog" && !strings.HasPrefix(p, tempPrefix) {
			out = append(out, `"`+strings.ReplaceAll(p, `"`, `""`)+`"`)
		}
	}
	return strings.Join(out, ", ")
}

// bodyPath is SET search_path of a function in SQL, as it is kept: names as SQL
// writes them, `""` for no schema, and "" for none set.
func (x *statement) bodyPath(v *pg.VariableSetStmt, pos int) (string, error) {
	var list []string
	switch v.Kind {
	case pg.VariableSetKind_VAR_SET_VALUE:
		for _, a := range v.Args {
			c, ok := a.GetAConst().GetVal().(*pg.A_Const_Sval)
			if !ok {
				return "", pgerr.New(pgerr.InvalidParameterValue, "invalid value for parameter \"search_path\"").
					WithHint("It is a list of names of schemas.").At(pos)
			}
			if s := c.Sval.Sval; len(v.Args) == 1 && strings.Contains(s, ",") {
				list = splitNames(s) // as SET of the session takes it
			} else if s != "" {
				list = append(list, s)
			}
		}
	case pg.VariableSetKind_VAR_SET_CURRENT:
		list = splitNames(x.s.settings.get("search_path"))
	default:
		return "", nil
	}
	for i, p := range list {
		list[i] = function.QuoteIdent(p)
	}
	if len(list) == 0 {
		return `""`, nil
	}
	return strings.Join(list, ", "), nil
}

// keptPath reports a search path that definerPath made, and no SET.
func keptPath(path string) bool { return strings.HasPrefix(path, `"pg_catalog"`) }

// setBodyPath gives a function in SQL a search path, "" for what it has without:
// path or, of SECURITY DEFINER, kept.
func setBodyPath(f *catalog.FunctionDef, path, kept string) {
	if f.Settings = without(f.Settings, "search_path"); path == "" && f.SecurityDefiner && f.Language == "sql" {
		path = kept
	}
	if path != "" {
		f.Settings["search_path"] = path
	}
}

// splitNames splits a list of possibly quoted identifiers.
func splitNames(v string) []string {
	var out []string
	for _, p := range strings.Split(v, ",") {
		p = strings.TrimSpace(p)
		if len(p) >= 2 && p[0] == '"' && p[len(p)-1] == '"' {
			p = strings.ReplaceAll(p[1:len(p)-1], `""`, `"`)
		} else {
			p = strings.ToLower(p)
		}
		if p != "" {
			out = append(out, p)
		}
	}
	return out
}

// queryContext is what all tasks of the statement share.
func (x *statement) queryContext() *proto.QueryContext {
	s := x.s
	qc := &proto.QueryContext{QueryId: x.id, NowUs: x.fc.Now, TimeZone: s.settings.get("TimeZone"), User: s.o.User, Database: s.o.Database,
		WorkMem: s.settings.int("work_mem"), BatchRows: uint32(s.settings.int("volley.batch_rows")), Settings: map[string]string{}}
	for _, n := range []string{"extra_float_digits", "bytea_output", "search_path", "volley.on_error"} {
		qc.Settings[n] = s.settings.get(n)
	}
	if n := s.settings.int("volley.max_group_bytes"); n > 0 {
		qc.Settings["volley.max_group_bytes"] = strconv.FormatInt(n, 10)
	}
	switch v := s.settings.get("volley.seed"); {
	case x.rp != nil:
		qc.Seed = x.rp.rc.Seed
	case s.seed != nil:
		// setseed(): statement after statement, a sequence of its own.
		s.seedUses++
		qc.Seed = *s.seed + s.seedUses*0x9E3779B97F4A7C15
	case v != "":
		n, _ := strconv.ParseInt(v, 10, 64)
		qc.Seed = uint64(n)*0xBF58476D1CE4E5B9 + 1
	default:
		qc.Seed = randomSeed()
	}
	x.fc.Seed = qc.Seed
	return qc
}

// paramValue decodes a bound parameter.
func (x *statement) paramValue(i int, t types.Type, p Param) (*planner.Const, error) {
	if p.Null {
		return &planner.Const{T: t}, nil
	}
	b := vector.NewBuilder(t, 1)
	var err error
	switch {
	case p.IsText && isReg(t):
		// A name, which only the catalog can tell.
		v, err := function.Cast(x.fc, vector.FromStrings(types.T(types.Text), []string{string(p.Value)}), t, true)
		if err != nil {
			return nil, pgerr.From(err).WithWhere("portal parameter $%d", i+1)
		}
		return &planner.Const{T: t, V: v}, nil
	case p.IsText:
		err = vector.ParseText(b, p.Value, &types.TextOptions{Location: x.fc.Location, ExtraFloatDigits: 1})
	default:
		err = vector.ParseBinary(b, p.Value)
	}
	if err != nil {
		return nil, pgerr.From(err).WithWhere("portal parameter $%d", i+1)
	}
	return &planner.Const{T: t, V: b.Build()}, nil
}

// isReg says that a value is an OID written as the name of an object.
func isReg(t types.Type) bool {
	switch t.ID {
	case types.Regclass, types.Regtype, types.Regproc, types.Regprocedure, types.Regnamespace:
		return true
	}
	return false
}

func (s *Session) notice(severity, code, message, hint string) {
	if s.o.OnNotice != nil {
		s.o.OnNotice(severity, code, message, hint)
	}
}
