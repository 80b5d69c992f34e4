package pgwire

import (
	"context"
	"strconv"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/coordinator"
	"github.com/volleydb/volley/parser"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/vector"
)

// simpleQuery runs the statements of a Query message as one implicit
// transaction. The first error ends it.
func (c *conn) simpleQuery(b *body) error {
	sql := b.str()
	if err := b.done(); err != nil {
		return err
	}
	delete(c.statements, "")
	c.closePortal("")
	list, err := c.parseSQL(sql)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		c.out.empty('I')
	}
	for _, st := range list {
		if err := c.simpleStatement(st); err != nil {
			return err
		}
	}
	c.endQuery(false)
	return nil
}

func (c *conn) simpleStatement(st *parser.Statement) error {
	ctx, cancel := context.WithCancelCause(c.ctx)
	defer cancel(nil)
	c.enter(cancel)
	defer c.leave()
	prep, err := c.sess.Prepare(ctx, st, nil)
	if err != nil {
		return why(ctx, err)
	}
	if len(prep.Params) > 0 {
		return pgerr.New(pgerr.UndefinedParameter, "there is no parameter $1")
	}
	p := &portal{prep: prep, ctx: ctx, cancel: cancel}
	defer p.close()
	if err := c.start(p); err != nil {
		return why(ctx, err)
	}
	if p.res != nil && p.res.Fields != nil {
		c.out.rowDescription(p.res.Fields, nil)
	}
	return why(ctx, c.proceed(p, 0))
}

// portal is a bound statement: not started, started, or ended. One that has
// sent as many rows as it was asked for keeps the batch it was in.
type portal struct {
	prep    *coordinator.Prepared
	params  []coordinator.Param
	formats formats

	ctx     context.Context // from the start on
	cancel  context.CancelCauseFunc
	res     *coordinator.Result
	tag     string // of a statement that pgwire did itself
	started bool
	ended   bool

	enc       *rowEncoder
	batch     *vector.Batch
	at        int // the next row of batch
	suspended bool
}

// close ends the statement and waits for it.
func (p *portal) close() {
	p.ended, p.batch, p.enc = true, nil, nil
	if p.res != nil {
		p.res.Close()
		p.res = nil
	}
	if p.cancel != nil {
		p.cancel(nil)
	}
}

// start begins the statement.
func (c *conn) start(p *portal) error {
	p.started = true
	if tag, done := c.ownStatement(p.prep.Statement); done {
		p.tag = tag
		return nil
	}
	res, err := c.sess.Execute(p.ctx, p.prep, p.params)
	if err != nil {
		return err
	}
	p.res = res
	if res.Fields != nil {
		regName := c.srv.cfg.RegName
		if s, ok := c.sess.(RegNamer); ok {
			regName = s.RegName
		}
		if res.RegName != nil {
			regName = res.RegName
		}
		text := c.textOptions()
		if res.Setting != nil {
			text = textOptionsOf(res.Setting)
		}
		p.enc, err = newRowEncoder(res.Fields, p.formats, text, regName)
	}
	return err
}

// proceed sends up to max rows, or all, of a started portal, and what follows them.
func (c *conn) proceed(p *portal, max int) error {
	if p.res == nil {
		p.ended = true
		c.out.commandComplete(p.tag)
		return nil
	}
	switch {
	case p.res.CopyOut != nil:
		if err := c.copyOut(p.ctx, p.res.CopyOut); err != nil {
			return err
		}
	case p.res.CopyIn != nil:
		if err := c.copyIn(p.ctx, p.res.CopyIn); err != nil {
			return err
		}
	default:
		sent, more, err := c.rows(p, max)
		if err != nil {
			return err
		}
		if more {
			p.suspended = true
			c.out.empty('s')
			return nil
		}
		tag := p.res.Tag()
		if p.suspended && strings.HasPrefix(tag, "SELECT ") {
			// Postgres counts the rows of the last Execute.
			tag = "SELECT " + strconv.Itoa(sent)
		}
		p.tag = tag
	}
	if p.tag == "" {
		p.tag = p.res.Tag()
	}
	p.close()
	c.out.commandComplete(p.tag)
	return nil
}

// rows sends up to max rows (0: all). It reports more when it has sent max;
// whether there is another row only the next call finds out, as in Postgres.
func (c *conn) rows(p *portal, max int) (sent int, more bool, err error) {
	for max == 0 || sent < max {
		if p.batch == nil || p.at == p.batch.Rows() {
			if p.batch, err = p.res.Next(p.ctx); err != nil || p.batch == nil {
				return sent, false, err
			}
			p.at = 0
			if p.enc != nil {
				p.enc.bind(p.batch)
			}
		}
		n := p.batch.Rows() - p.at
		if max > 0 {
			n = min(n, max-sent)
		}
		if p.enc != nil {
			if err := c.out.rows(p.enc, p.at, p.at+n); err != nil {
				return sent, false, err
			}
			if err := c.ctx.Err(); err != nil {
				return sent, false, err
			}
		}
		p.at += n
		sent += n
	}
	return sent, true, nil
}

// ownStatement runs what concerns the statements and portals that only this
// package knows (named statements if the Session does not keep them): DEALLOCATE and CLOSE of one of them it does alone; where all
// are meant, or DISCARD, it does its part and leaves the rest to the session.
func (c *conn) ownStatement(st *parser.Statement) (tag string, done bool) {
	if st.Node == nil || c.sess.TxStatus() == coordinator.TxFailed {
		return "", false
	}
	switch n := st.Node.Node.(type) {
	case *pg_query.Node_DeallocateStmt:
		name := n.DeallocateStmt.Name
		if name == "" {
			clear(c.statements)
		} else if _, ok := c.statements[name]; ok {
			delete(c.statements, name)
			return "DEALLOCATE", true
		}
	case *pg_query.Node_ClosePortalStmt:
		name := n.ClosePortalStmt.Portalname
		if name == "" {
			c.closeIdlePortals()
		} else if p, ok := c.portals[name]; ok && p.idle() {
			c.closePortal(name)
			return "CLOSE CURSOR", true
		}
	case *pg_query.Node_DiscardStmt:
		if n.DiscardStmt.Target == pg_query.DiscardMode_DISCARD_ALL {
			clear(c.statements)
			c.closeIdlePortals()
		}
	}
	return "", false
}
