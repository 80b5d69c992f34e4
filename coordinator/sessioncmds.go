package coordinator

import (
	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/pgerr"
)

// sessionCommand runs the statements with which connection pools and drivers
// tidy a session up. Prepared statements and portals belong to package pgwire,
// which has done its part before; SQL cursors and channels there are none, so
// that ending all of them is done at once. ok is false for other statements.
func (x *statement) sessionCommand() (r *Result, ok bool, err error) {
	switch n := x.st.Node.GetNode().(type) {
	case *pg.Node_DeallocateStmt:
		if name := n.DeallocateStmt.Name; name != "" {
			return nil, true, pgerr.New(pgerr.InvalidSQLStatementName, "prepared statement %q does not exist", name)
		}
		return done("DEALLOCATE ALL"), true, nil
	case *pg.Node_ClosePortalStmt:
		if name := n.ClosePortalStmt.Portalname; name != "" {
			return nil, true, pgerr.New(pgerr.InvalidCursorName, "cursor %q does not exist", name)
		}
		return done("CLOSE CURSOR ALL"), true, nil
	case *pg.Node_UnlistenStmt:
		return done("UNLISTEN"), true, nil
	case *pg.Node_ListenStmt, *pg.Node_NotifyStmt:
		return nil, true, pgerr.New(pgerr.FeatureNotSupported, "LISTEN and NOTIFY are not supported").
			WithHint("A query can be repeated instead, psql does so with \\watch.")
	}
	return nil, false, nil
}
