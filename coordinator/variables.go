package coordinator

import (
	"context"
	"fmt"
	"strings"
	"time"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/planner"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// setSetting changes a setting of the session and tells the client.
func (s *Session) setSetting(name, value string, local bool) error {
	if local && s.tx == nil && s.txStatus != TxActive {
		s.notice("WARNING", "25P01", "SET LOCAL can only be used in transaction blocks", "")
		return nil
	}
	d, err := s.settings.set(name, value, "session", false)
	if err != nil {
		return err
	}
	if local {
		s.local[strings.ToLower(d.name)] = true
	}
	s.report(d)
	return nil
}

func (s *Session) report(d *setting) {
	if d.name == "application_name" {
		s.mu.Lock()
		if s.o.Settings == nil {
			s.o.Settings = map[string]string{}
		}
		opts := map[string]string{}
		for k, v := range s.o.Settings {
			opts[k] = v
		}
		opts["application_name"] = s.settings.get(d.name)
		s.o.Settings = opts
		s.mu.Unlock()
	}
	if d.report && s.o.OnSetting != nil {
		s.o.OnSetting(d.name, s.settings.get(d.name))
	}
}

// setValue is the text of SET name = value.
func (x *statement) setValue(ctx context.Context, n *pg.VariableSetStmt) (string, error) {
	var parts []string
	for _, a := range n.Args {
		if c := a.GetAConst(); c != nil {
			if v, ok := c.Val.(*pg.A_Const_Sval); ok {
				if len(n.Args) > 1 && strings.EqualFold(n.Name, "search_path") {
					parts = append(parts, quoteName(v.Sval.Sval))
				} else {
					parts = append(parts, v.Sval.Sval)
				}
				continue
			}
		}
		if zone, ok, err := intervalZone(n.Name, a); ok {
			if err != nil {
				return "", err
			}
			parts = append(parts, zone)
			continue
		}
		v, _, err := planner.Constant(ctx, x.st, a, types.Type{ID: types.Invalid}, x.options())
		if err != nil {
			return "", err
		}
		if v.IsNull(0) {
			return "", pgerr.New(pgerr.InvalidParameterValue, "SET %s needs a value", n.Name)
		}
		t := string(vector.AppendText(nil, v, 0, nil))
		if v.Type.ID == types.Bool {
			t = map[string]string{"t": "on", "f": "off"}[t]
		}
		parts = append(parts, t)
	}
	return strings.Join(parts, ", "), nil
}

// intervalZone reads SET TIME ZONE INTERVAL '+02:00' HOUR TO MINUTE: an offset east
// of Greenwich.
func intervalZone(name string, arg *pg.Node) (zone string, ok bool, err error) {
	c := arg.GetTypeCast()
	parts := c.GetTypeName().GetNames()
	if !strings.EqualFold(name, "timezone") || len(parts) == 0 || parts[len(parts)-1].GetString_().GetSval() != "interval" {
		return "", false, nil
	}
	v, err := types.ParseInterval(c.Arg.GetAConst().GetSval().GetSval())
	if err != nil {
		return "", true, err
	}
	if v.Months != 0 || v.Days != 0 {
		return "", true, pgerr.New(pgerr.InvalidParameterValue, "invalid interval value for time zone: must not include months or days")
	}
	minutes := v.Micros / 60_000_000
	if minutes == 0 {
		return "UTC", true, nil
	}
	sign := '-' // POSIX counts west of Greenwich
	if minutes < 0 {
		sign, minutes = '+', -minutes
	}
	return fmt.Sprintf("UTC%c%02d:%02d", sign, minutes/60, minutes%60), true, nil
}

// quoteName quotes a name for a list in which case matters.
func quoteName(s string) string {
	if s == strings.ToLower(s) && !strings.ContainsAny(s, `" ,`) {
		return s
	}
	return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
}

func (x *statement) setVariable(ctx context.Context, n *pg.VariableSetStmt) (*Result, error) {
	s := x.s
	name := n.Name
	switch n.Kind {
	case pg.VariableSetKind_VAR_SET_VALUE:
		v, err := x.setValue(ctx, n)
		if err != nil {
			return nil, err
		}
		if err := s.setSetting(name, v, n.IsLocal); err != nil {
			return nil, err
		}
		return done("SET"), nil
	case pg.VariableSetKind_VAR_SET_DEFAULT, pg.VariableSetKind_VAR_RESET:
		d := findSetting(name)
		if d == nil {
			d = customSetting(name)
		}
		if d == nil {
			return nil, unknownSetting(name)
		}
		k := strings.ToLower(d.name)
		s.settings.value[k], s.settings.source[k] = s.settings.reset[k], "default"
		s.report(d)
		if n.Kind == pg.VariableSetKind_VAR_RESET {
			return done("RESET"), nil
		}
		return done("SET"), nil
	case pg.VariableSetKind_VAR_RESET_ALL:
		s.resetAll()
		return done("RESET"), nil
	case pg.VariableSetKind_VAR_SET_MULTI:
		// SET TRANSACTION and SET SESSION CHARACTERISTICS AS TRANSACTION.
		if strings.EqualFold(name, "TRANSACTION SNAPSHOT") {
			return nil, pgerr.New(pgerr.FeatureNotSupported, "SET TRANSACTION SNAPSHOT is not supported")
		}
		session := strings.EqualFold(name, "SESSION CHARACTERISTICS")
		for _, a := range n.Args {
			if err := s.txOption(a.GetDefElem(), session); err != nil {
				return nil, err
			}
		}
		return done("SET"), nil
	}
	return nil, pgerr.New(pgerr.FeatureNotSupported, "SET %s FROM CURRENT is not supported", name)
}

func (s *Session) resetAll() {
	for i := range settingsTable {
		d := &settingsTable[i]
		k := strings.ToLower(d.name)
		if !d.readonly && s.settings.value[k] != s.settings.reset[k] {
			s.settings.value[k], s.settings.source[k] = s.settings.reset[k], "default"
			s.report(d)
		}
	}
	for k := range s.settings.value {
		if customSetting(k) != nil {
			delete(s.settings.value, k)
			delete(s.settings.source, k)
		}
	}
	s.seed = nil
}

// txOption is one option of BEGIN or SET TRANSACTION.
func (s *Session) txOption(e *pg.DefElem, session bool) error {
	name := e.Defname
	value := e.Arg.GetAConst().GetSval().GetSval()
	switch name {
	case "transaction_isolation":
	case "transaction_read_only":
		value = map[bool]string{true: "on", false: "off"}[e.Arg.GetAConst().GetIval().GetIval() != 0]
	case "transaction_deferrable":
		return nil
	default:
		return pgerr.New(pgerr.FeatureNotSupported, "transaction option %s is not supported", name)
	}
	if session {
		return s.setSetting("default_"+name, value, false)
	}
	if s.txStatus != TxActive {
		s.notice("WARNING", "25P01", "SET TRANSACTION can only be used in transaction blocks", "")
		return nil
	}
	return s.setSetting(name, value, true)
}

func showFields(n *pg.VariableShowStmt) []vector.Field {
	t := types.T(types.Text)
	if strings.EqualFold(n.Name, "all") {
		return []vector.Field{{Name: "name", Type: t}, {Name: "setting", Type: t}, {Name: "description", Type: t}}
	}
	name := n.Name
	if d := findSetting(name); d != nil {
		name = d.name
	}
	return []vector.Field{{Name: name, Type: t}}
}

func (x *statement) show(n *pg.VariableShowStmt) (*Result, error) {
	fields := showFields(n)
	t := types.T(types.Text)
	if strings.EqualFold(n.Name, "all") {
		var names, values, docs []string
		for _, r := range x.s.settings.rows() {
			v, _ := x.s.Setting(r.Name)
			names, values, docs = append(names, r.Name), append(values, v), append(docs, r.ShortDesc)
		}
		return rows(fields, "SHOW", vector.NewBatch([]*vector.Vector{vector.FromStrings(t, names), vector.FromStrings(t, values), vector.FromStrings(t, docs)}, len(names))), nil
	}
	v, ok := x.s.Setting(n.Name)
	if !ok {
		return nil, unknownSetting(n.Name)
	}
	return rows(fields, "SHOW", vector.NewBatch([]*vector.Vector{vector.FromStrings(t, []string{v})}, 1)), nil
}

func (x *statement) discard(n *pg.DiscardStmt) (*Result, error) {
	if n.Target == pg.DiscardMode_DISCARD_ALL {
		if x.s.txStatus == TxActive {
			return nil, pgerr.New(pgerr.ActiveSQLTransaction, "DISCARD ALL cannot run inside a transaction block")
		}
		x.s.resetAll()
		clear(x.s.prepared)
	}
	return done("DISCARD " + strings.TrimPrefix(n.Target.String(), "DISCARD_")), nil
}

// transaction runs BEGIN, COMMIT, ROLLBACK.
func (s *Session) transaction(ctx context.Context, n *pg.TransactionStmt) (*Result, error) {
	switch n.Kind {
	case pg.TransactionStmtKind_TRANS_STMT_BEGIN, pg.TransactionStmtKind_TRANS_STMT_START:
		tag := "BEGIN"
		if n.Kind == pg.TransactionStmtKind_TRANS_STMT_START {
			tag = "START TRANSACTION"
		}
		if s.tx != nil {
			s.notice("WARNING", pgerr.ActiveSQLTransaction, "there is already a transaction in progress", "")
			return done(tag), nil
		}
		s.tx, s.txStatus, s.txStart = s.c.cfg.Store.Begin(), TxActive, time.Now()
		s.undo, s.local = s.settings.clone(), map[string]bool{}
		s.settings.value["transaction_read_only"] = s.settings.get("default_transaction_read_only")
		s.settings.value["transaction_isolation"] = s.settings.get("default_transaction_isolation")
		for _, o := range n.Options {
			if err := s.txOption(o.GetDefElem(), false); err != nil {
				s.rollback()
				return nil, err
			}
		}
		return done(tag), nil
	case pg.TransactionStmtKind_TRANS_STMT_COMMIT:
		if s.tx == nil {
			s.notice("WARNING", pgerr.NoActiveSQLTransaction, "there is no transaction in progress", "")
			return done("COMMIT"), nil
		}
		if s.txStatus == TxFailed {
			s.rollback()
			return done("ROLLBACK"), nil
		}
		tx := s.tx
		err := tx.Commit(ctx)
		if err != nil {
			s.rollback()
			return nil, err
		}
		s.endTx(false)
		if n.Chain {
			return s.transaction(ctx, &pg.TransactionStmt{Kind: pg.TransactionStmtKind_TRANS_STMT_BEGIN})
		}
		return done("COMMIT"), nil
	case pg.TransactionStmtKind_TRANS_STMT_ROLLBACK:
		if s.tx == nil {
			s.notice("WARNING", pgerr.NoActiveSQLTransaction, "there is no transaction in progress", "")
			return done("ROLLBACK"), nil
		}
		s.rollback()
		if n.Chain {
			return s.transaction(ctx, &pg.TransactionStmt{Kind: pg.TransactionStmtKind_TRANS_STMT_BEGIN})
		}
		return done("ROLLBACK"), nil
	case pg.TransactionStmtKind_TRANS_STMT_SAVEPOINT, pg.TransactionStmtKind_TRANS_STMT_RELEASE, pg.TransactionStmtKind_TRANS_STMT_ROLLBACK_TO:
		return s.savepoint(n)
	}
	return nil, pgerr.New(pgerr.FeatureNotSupported, "two-phase commit is not supported")
}

func (s *Session) rollback() {
	if s.tx != nil {
		s.tx.Rollback()
		s.endTx(true)
	}
}

// endTx leaves the block: a rollback restores all settings, a commit those that
// were SET LOCAL.
func (s *Session) endTx(restore bool) {
	s.tx, s.txStatus = nil, TxIdle
	releaseAll(s.held)
	s.held = nil
	s.endCursors(restore)
	for _, id := range s.staged {
		_ = s.c.cfg.Store.DropStaging(id) // a leftover is removed at the next start
	}
	s.staged = nil
	s.restoreSettings(s.undo, func(k string) bool {
		return restore || s.local[k] || k == "transaction_read_only" || k == "transaction_isolation"
	})
	s.savepoints = nil
	s.undo, s.local = nil, nil
}

// restoreSettings brings back the values that some settings had.
func (s *Session) restoreSettings(to *sessionSettings, which func(name string) bool) {
	for i := range settingsTable {
		d := &settingsTable[i]
		k := strings.ToLower(d.name)
		if which(k) && s.settings.value[k] != to.value[k] {
			s.settings.value[k], s.settings.source[k] = to.value[k], to.source[k]
			s.report(d)
		}
	}
	for k := range s.settings.value {
		if customSetting(k) != nil && which(k) {
			delete(s.settings.value, k)
			delete(s.settings.source, k)
		}
	}
	for k, v := range to.value {
		if customSetting(k) != nil && which(k) {
			s.settings.value[k], s.settings.source[k] = v, to.source[k]
		}
	}
}
