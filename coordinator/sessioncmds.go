package coordinator

import (
	"context"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/pgerr"
)

// sessionCommand runs the statements with which connection pools and drivers
// tidy a session up. The protocol's portals and its unnamed statement belong to
// package pgwire, which has done its part before; channels there are none, so that
// ending all of them is done at once. ok is false for other statements.
func (x *statement) sessionCommand(ctx context.Context) (r *Result, ok bool, err error) {
	switch n := x.st.Node.GetNode().(type) {
	case *pg.Node_DeallocateStmt:
		r, err := x.s.deallocate(n.DeallocateStmt)
		return r, true, err
	case *pg.Node_PrepareStmt:
		r, err := x.prepareStmt(ctx, n.PrepareStmt)
		return r, true, err
	case *pg.Node_ClosePortalStmt:
		name := n.ClosePortalStmt.Portalname
		if name == "" {
			x.s.closeCursors(func(*cursor) bool { return true })
			return done("CLOSE CURSOR ALL"), true, nil
		}
		c, err := x.s.cursor(name)
		if err != nil {
			return nil, true, err
		}
		x.s.closeCursors(func(o *cursor) bool { return o == c })
		return done("CLOSE CURSOR"), true, nil
	case *pg.Node_DeclareCursorStmt:
		r, err := x.declare(ctx, n.DeclareCursorStmt)
		return r, true, err
	case *pg.Node_FetchStmt:
		r, err := x.fetch(n.FetchStmt)
		return r, true, err
	case *pg.Node_UnlistenStmt:
		return done("UNLISTEN"), true, nil
	case *pg.Node_ListenStmt, *pg.Node_NotifyStmt:
		return nil, true, pgerr.New(pgerr.FeatureNotSupported, "LISTEN and NOTIFY are not supported").
			WithHint("A query can be repeated instead, psql does so with \\watch.")
	}
	return nil, false, nil
}
