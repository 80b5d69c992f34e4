package pgwire

import (
	"context"
	"strings"
	"unsafe"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/coordinator"
	"github.com/volleydb/volley/parser"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/vector"
)

// formats are format codes as Bind gives them: none (all text), one for all,
// or one each.
type formats []int16

const binaryFormat = 1

func (f formats) of(i int) int16 {
	switch len(f) {
	case 0:
		return 0
	case 1:
		return f[0]
	}
	return f[i]
}

// statement is what Parse makes.
type statement struct{ prep *coordinator.Prepared }

func (c *conn) parse(b *body) error {
	name, sql := b.str(), b.str()
	oids := make([]uint32, 0, 8)
	for range b.u16() {
		oids = append(oids, uint32(b.i32()))
		if b.bad {
			break
		}
	}
	if err := b.done(); err != nil {
		return err
	}
	if name == "" {
		delete(c.statements, "")
	} else if keeper, ok := c.sess.(Statements); ok {
		if err := keeper.CheckStatement(name); err != nil {
			return err
		}
	} else if _, ok := c.statements[name]; ok {
		return pgerr.New(pgerr.DuplicatePreparedStatement, "prepared statement \"%s\" already exists", name)
	} else if len(c.statements) >= maxStatements {
		return pgerr.New(pgerr.ProgramLimitExceeded, "too many prepared statements").
			WithHint("A connection holds at most %d; close those that are not needed.", maxStatements)
	}
	list, err := c.parseSQL(sql)
	if err != nil {
		return err
	}
	prep := &coordinator.Prepared{} // the empty query
	switch {
	case len(list) > 1:
		return pgerr.New(pgerr.SyntaxError, "cannot insert multiple commands into a prepared statement")
	case len(list) == 1:
		ctx, cancel := context.WithCancelCause(c.ctx)
		defer cancel(nil)
		c.enter(cancel)
		defer c.leave()
		if prep, err = c.sess.Prepare(ctx, list[0], oids); err != nil {
			return why(ctx, err)
		}
	}
	if keeper, ok := c.sess.(Statements); ok && name != "" {
		keeper.AddStatement(name, prep)
	} else {
		c.statements[name] = &statement{prep}
	}
	c.out.empty('1')
	return nil
}

func (c *conn) findStatement(name string) (*statement, error) {
	if keeper, ok := c.sess.(Statements); ok && name != "" {
		if prep, ok := keeper.FindStatement(name); ok {
			return &statement{prep}, nil
		}
	}
	st, ok := c.statements[name]
	switch {
	case ok:
		return st, nil
	case name == "":
		return nil, pgerr.New(pgerr.InvalidSQLStatementName, "unnamed prepared statement does not exist")
	}
	return nil, pgerr.New(pgerr.InvalidSQLStatementName, "prepared statement \"%s\" does not exist", name)
}

func readFormats(b *body) (formats, error) {
	n := b.u16()
	if n == 0 || 2*n > len(b.b) {
		b.bad = b.bad || n > 0
		return nil, nil
	}
	f := make(formats, n)
	for i := range f {
		f[i] = int16(b.u16())
		if f[i] != 0 && f[i] != binaryFormat {
			return nil, pgerr.New(pgerr.InvalidParameterValue, "unsupported format code: %d", f[i])
		}
	}
	return f, nil
}

func (c *conn) bind(b *body) error {
	portalName, stmtName := b.str(), b.str()
	paramFormats, err := readFormats(b)
	if err != nil {
		return err
	}
	n := b.u16()
	if 4*n > len(b.b) {
		return errProtocol("invalid message format")
	}
	params := make([]coordinator.Param, n)
	for i := range params {
		size := b.i32()
		if size == -1 {
			params[i].Null = true
			continue
		}
		params[i].Value = b.take(int(size))
	}
	resultFormats, err := readFormats(b)
	if err != nil {
		return err
	}
	if err := b.done(); err != nil {
		return err
	}
	st, err := c.findStatement(stmtName)
	if err != nil {
		return err
	}
	if c.sess.TxStatus() == coordinator.TxFailed && st.prep.Statement != nil && !endsTransaction(st.prep.Statement) {
		return errAborted()
	}
	if len(paramFormats) > 1 && len(paramFormats) != n {
		return errProtocol("bind message has %d parameter formats but %d parameters", len(paramFormats), n)
	}
	if n != len(st.prep.Params) {
		return errProtocol("bind message supplies %d parameters, but prepared statement \"%s\" requires %d", n, stmtName, len(st.prep.Params))
	}
	if fields := st.prep.Fields; fields != nil && len(resultFormats) > 1 && len(resultFormats) != len(fields) {
		return errProtocol("bind message has %d result formats but query has %d columns", len(resultFormats), len(fields))
	}
	for i := range params {
		p := &params[i]
		if p.IsText = paramFormats.of(i) != binaryFormat; p.IsText && !p.Null {
			if err := validText(unsafe.String(unsafe.SliceData(p.Value), len(p.Value))); err != nil {
				return err
			}
		}
	}
	prep := st.prep
	if binder, ok := c.sess.(LateBinder); ok && prep.Late {
		ctx, cancel := context.WithCancelCause(c.ctx)
		defer cancel(nil)
		c.enter(cancel)
		defer c.leave()
		if prep, err = binder.BindFields(ctx, prep, params); err != nil {
			return why(ctx, err)
		}
	}
	if portalName == "" {
		c.closePortal("")
	} else if _, ok := c.portals[portalName]; ok {
		return pgerr.New(pgerr.DuplicateCursor, "cursor \"%s\" already exists", portalName)
	} else if len(c.portals) >= maxPortals {
		return pgerr.New(pgerr.ProgramLimitExceeded, "too many portals").
			WithHint("A connection holds at most %d; close those that are not needed.", maxPortals)
	}
	c.portals[portalName] = &portal{prep: prep, params: params, formats: resultFormats}
	c.out.empty('2')
	return nil
}

func errAborted() error {
	return pgerr.New(pgerr.InFailedSQLTransaction, "current transaction is aborted, commands ignored until end of transaction block")
}

// endsTransaction reports the commands that a failed transaction block takes.
func endsTransaction(st *parser.Statement) bool {
	tx := st.Node.GetTransactionStmt()
	switch tx.GetKind() {
	case pg_query.TransactionStmtKind_TRANS_STMT_COMMIT, pg_query.TransactionStmtKind_TRANS_STMT_ROLLBACK, pg_query.TransactionStmtKind_TRANS_STMT_ROLLBACK_TO:
		return true
	}
	return false
}

func (c *conn) describe(b *body) error {
	kind, name := b.u8(), b.str()
	if err := b.done(); err != nil {
		return err
	}
	var fields []vector.Field
	var f formats
	switch kind {
	case 'S':
		st, err := c.findStatement(name)
		if err != nil {
			return err
		}
		if st.prep.Late {
			return pgerr.New(pgerr.FeatureNotSupported, "the columns of this statement are not known before its parameters are bound").
				WithHint("Write the arguments of CALL as constants, use the simple query protocol, or describe the portal instead of the statement.")
		}
		c.out.parameterDescription(st.prep.Params)
		fields = st.prep.Fields
	case 'P':
		p, ok := c.portals[name]
		if !ok {
			cursors, has := c.sess.(Cursors)
			if has {
				fields, ok = cursors.CursorFields(name)
			}
			if !ok {
				return errNoPortal(name)
			}
		} else {
			fields, f = p.prep.Fields, p.formats
		}
	default:
		return errProtocol("invalid DESCRIBE message subtype %d", kind)
	}
	if fields == nil {
		c.out.empty('n')
		return nil
	}
	c.out.rowDescription(fields, f)
	return nil
}

func errNoPortal(name string) error {
	return pgerr.New(pgerr.InvalidCursorName, "portal \"%s\" does not exist", name)
}

func (c *conn) executePortal(b *body) error {
	name, max := b.str(), int(b.i32())
	if err := b.done(); err != nil {
		return err
	}
	p, ok := c.portals[name]
	if !ok {
		return errNoPortal(name)
	}
	if max < 0 {
		max = 0
	}
	switch {
	case p.prep.Statement == nil:
		c.out.empty('I')
		return nil
	case p.ended && strings.HasPrefix(p.tag, "SELECT "):
		c.out.commandComplete("SELECT 0")
		return nil
	case p.ended:
		return pgerr.New(pgerr.ObjectNotInPrerequisiteState, "portal \"%s\" cannot be run", name)
	case p.started && c.sess.TxStatus() == coordinator.TxFailed:
		return errAborted()
	}
	if !p.started {
		p.ctx, p.cancel = context.WithCancelCause(c.ctx)
	}
	c.enter(p.cancel)
	defer c.leave()
	var err error
	if !p.started {
		if err = c.start(p); err == nil && p.res != nil && !sameFields(p.prep.Fields, p.res.Fields) {
			err = pgerr.New(pgerr.FeatureNotSupported, "cached plan must not change result type")
		}
	}
	if err == nil {
		err = c.proceed(p, max)
	}
	if err != nil {
		err = why(p.ctx, err)
		p.close()
	}
	return err
}

// sameFields compares what the client was told with what it would get.
func sameFields(a, b []vector.Field) bool {
	if len(a) != len(b) || (a == nil) != (b == nil) {
		return false
	}
	for i := range a {
		if a[i].Type.OID() != b[i].Type.OID() {
			return false
		}
	}
	return true
}

func (c *conn) closeMessage(b *body) error {
	kind, name := b.u8(), b.str()
	if err := b.done(); err != nil {
		return err
	}
	switch kind {
	case 'S':
		delete(c.statements, name)
		if keeper, ok := c.sess.(Statements); ok && name != "" {
			keeper.DropStatement(name)
		}
	case 'P':
		c.closePortal(name)
	default:
		return errProtocol("invalid CLOSE message subtype %d", kind)
	}
	c.out.empty('3')
	return nil
}

func (c *conn) closePortal(name string) {
	if p, ok := c.portals[name]; ok {
		delete(c.portals, name)
		p.close()
	}
}

func (c *conn) closePortals() {
	for name := range c.portals {
		c.closePortal(name)
	}
}

// idle reports a portal that is not the one being executed; that one cannot
// close itself.
func (p *portal) idle() bool { return !p.started || p.res != nil || p.ended }

func (c *conn) closeIdlePortals() {
	for name, p := range c.portals {
		if p.idle() {
			c.closePortal(name)
		}
	}
}
