package coordinator

import (
	"context"
	"math"
	"strconv"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/vector"
)

// cursor is a query under way whose rows FETCH takes. It reads the snapshot of
// its DECLARE and belongs to the session, which closes it with the block unless
// it is WITH HOLD.
type cursor struct {
	name string
	hold bool
	made bool // in the open block: a hold cursor goes with a rollback of it
	x    *statement
	r    *Result
	b    *vector.Batch // rows read from r, of which the first at are gone
	at   int
	end  bool
}

// The options of DECLARE, as the grammar numbers them.
const (
	cursorBinary = 0x01
	cursorScroll = 0x02
	cursorHold   = 0x20
)

// cursor finds an open cursor.
func (s *Session) cursor(name string) (*cursor, error) {
	if c := s.cursors[name]; c != nil {
		return c, nil
	}
	return nil, pgerr.New(pgerr.InvalidCursorName, "cursor %q does not exist", name)
}

// CursorFields returns the fields of an open cursor, which clients describe as
// if it were a portal.
func (s *Session) CursorFields(name string) ([]vector.Field, bool) {
	c := s.cursors[name]
	if c == nil {
		return nil, false
	}
	return c.r.Fields, true
}

// closeCursors ends some cursors.
func (s *Session) closeCursors(which func(*cursor) bool) {
	for name, c := range s.cursors {
		if which(c) {
			c.r.Close()
			delete(s.cursors, name)
		}
	}
}

// endCursors is called at the end of a block.
func (s *Session) endCursors(rollback bool) {
	s.closeCursors(func(c *cursor) bool { return !c.hold || rollback && c.made })
	for _, c := range s.cursors {
		c.made = false
	}
}

// declare is DECLARE name CURSOR FOR query.
func (x *statement) declare(ctx context.Context, n *pg.DeclareCursorStmt) (*Result, error) {
	s := x.s
	hold := n.Options&cursorHold != 0
	if n.Options&cursorScroll != 0 {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "SCROLL cursors are not supported").WithHint("Cursors run forward, and keep no rows that were fetched.")
	}
	if n.Options&cursorBinary != 0 {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "BINARY cursors are not supported").WithHint("The protocol's extended query has binary results.")
	}
	if hold && len(s.staged) > 0 {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "a cursor WITH HOLD over rows that the block has written is not supported").WithHint("Declare it after COMMIT.")
	}
	if !hold && s.tx == nil {
		return nil, pgerr.New(pgerr.NoActiveSQLTransaction, "DECLARE CURSOR can only be used in transaction blocks")
	}
	if s.cursors[n.Portalname] != nil {
		return nil, pgerr.New(pgerr.DuplicateCursor, "cursor %q already exists", n.Portalname)
	}
	if n.Query.GetSelectStmt() == nil {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "a cursor over this statement is not supported")
	}
	// The query outlives the statement that declares it.
	cctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	y := s.begin(cctx, x.st)
	y.params, y.ptypes, y.cancel = x.params, x.ptypes, cancel
	if y.rec, x.rec = x.rec, nil; y.rec != nil {
		y.rec.x = y // it ends with the cursor
	}
	r, err := y.query(cctx, n.Query)
	if err != nil {
		y.close()
		return nil, err
	}
	if s.cursors == nil {
		s.cursors = map[string]*cursor{}
	}
	s.cursors[n.Portalname] = &cursor{name: n.Portalname, hold: hold, made: s.tx != nil, x: y, r: y.wrap(cctx, r)}
	return done("DECLARE CURSOR"), nil
}

// fetch is FETCH and MOVE.
func (x *statement) fetch(n *pg.FetchStmt) (*Result, error) {
	c, err := x.s.cursor(n.Portalname)
	if err != nil {
		return nil, err
	}
	if n.Direction != pg.FetchDirection_FETCH_FORWARD || n.HowMany < 0 {
		return nil, pgerr.New(pgerr.ObjectNotInPrerequisiteState, "cursor can only scan forward").WithHint("FETCH and MOVE take NEXT, FORWARD n and ALL.")
	}
	if n.HowMany == 0 {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "FETCH 0 is not supported: the present row is not kept")
	}
	left, count := n.HowMany, int64(0)
	next := func(ctx context.Context) (*vector.Batch, error) {
		for left > 0 && !c.end {
			if c.b == nil || c.at == c.b.Rows() {
				b, err := c.r.Next(ctx)
				if err != nil {
					c.end = true
					return nil, err
				}
				if b == nil {
					c.end = true
					break
				}
				c.b, c.at = b.Dense(), 0
				continue
			}
			k := int(min(left, int64(c.b.Rows()-c.at)))
			out := c.b.Slice(c.at, c.at+k)
			c.at += k
			count += int64(k)
			if left != math.MaxInt64 {
				left -= int64(k)
			}
			return out, nil
		}
		return nil, nil
	}
	if !n.Ismove {
		return NewResult(c.r.Fields, next, func() string { return "FETCH " + strconv.FormatInt(count, 10) }, nil), nil
	}
	for {
		b, err := next(x.fc.Context)
		if err != nil {
			return nil, err
		}
		if b == nil {
			return done("MOVE " + strconv.FormatInt(count, 10)), nil
		}
	}
}
