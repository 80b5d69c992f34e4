package coordinator

import (
	"maps"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/catalog"
	"github.com/volleydb/volley/pgerr"
)

// savepoint is a state of the open block: its changes and the session's settings.
// Names may repeat; the latest counts.
type savepoint struct {
	name     string
	state    catalog.Savepoint
	settings *sessionSettings
	local    map[string]bool
	cursors  map[string]*cursor
}

// savepoint runs SAVEPOINT, RELEASE and ROLLBACK TO.
func (s *Session) savepoint(n *pg.TransactionStmt) (*Result, error) {
	command := map[pg.TransactionStmtKind]string{pg.TransactionStmtKind_TRANS_STMT_SAVEPOINT: "SAVEPOINT",
		pg.TransactionStmtKind_TRANS_STMT_RELEASE: "RELEASE", pg.TransactionStmtKind_TRANS_STMT_ROLLBACK_TO: "ROLLBACK"}[n.Kind]
	if s.tx == nil {
		what := map[string]string{"SAVEPOINT": "SAVEPOINT", "RELEASE": "RELEASE SAVEPOINT", "ROLLBACK": "ROLLBACK TO SAVEPOINT"}[command]
		return nil, pgerr.New(pgerr.NoActiveSQLTransaction, "%s can only be used in transaction blocks", what)
	}
	if command == "SAVEPOINT" {
		s.savepoints = append(s.savepoints, savepoint{n.SavepointName, s.tx.Savepoint(), s.settings.clone(), maps.Clone(s.local), maps.Clone(s.cursors)})
		return done(command), nil
	}
	at := len(s.savepoints) - 1
	for at >= 0 && s.savepoints[at].name != n.SavepointName {
		at--
	}
	if at < 0 {
		return nil, pgerr.New(pgerr.SavepointException, "savepoint %q does not exist", n.SavepointName)
	}
	if command == "RELEASE" {
		s.savepoints = s.savepoints[:at]
		return done(command), nil
	}
	sp := s.savepoints[at]
	s.savepoints = s.savepoints[:at+1]
	s.closeCursors(func(c *cursor) bool { return sp.cursors[c.name] != c })
	s.tx.RollbackTo(sp.state)
	s.restoreSettings(sp.settings, func(string) bool { return true })
	s.local = maps.Clone(sp.local)
	s.txStatus = TxActive
	return done(command), nil
}
