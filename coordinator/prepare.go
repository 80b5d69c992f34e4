package coordinator

import (
	"context"
	"slices"
	"strings"
	"time"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/catalog/pgcatalog"
	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/parser"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/planner"
	"github.com/volleydb/volley/types"
)

// maxPrepared bounds the named statements of a session.
const maxPrepared = 10000

// named is a prepared statement with a name: of PREPARE or of the protocol's
// Parse, which share their names as in Postgres.
type named struct {
	*Prepared
	text    string // what the client sent
	fromSQL bool
	made    time.Time
	runs    int64
}

// FindStatement returns a named statement.
func (s *Session) FindStatement(name string) (*Prepared, bool) {
	if n := s.prepared[name]; n != nil {
		return n.Prepared, true
	}
	return nil, false
}

// CheckStatement reports why a statement of that name cannot be added: 42P05, or
// 54000 when there are too many.
func (s *Session) CheckStatement(name string) error {
	if s.prepared[name] != nil {
		return pgerr.New(pgerr.DuplicatePreparedStatement, "prepared statement %q already exists", name)
	}
	if len(s.prepared) >= maxPrepared {
		return pgerr.New(pgerr.ProgramLimitExceeded, "too many prepared statements").
			WithHint("A connection holds at most %d; close those that are not needed.", maxPrepared)
	}
	return nil
}

// AddStatement names a statement that the protocol's Parse made.
func (s *Session) AddStatement(name string, p *Prepared) {
	text := ""
	if p.Statement != nil {
		text = p.Statement.SQL
	}
	s.addStatement(name, &named{Prepared: p, text: text, made: time.Now()})
}

func (s *Session) addStatement(name string, n *named) {
	if s.prepared == nil {
		s.prepared = map[string]*named{}
	}
	s.prepared[name] = n
}

// DropStatement forgets a named statement and reports whether there was one.
func (s *Session) DropStatement(name string) bool {
	_, ok := s.prepared[name]
	delete(s.prepared, name)
	return ok
}

// preparedRows are the rows of pg_prepared_statements.
func (s *Session) preparedRows() []pgcatalog.PreparedStatement {
	var out []pgcatalog.PreparedStatement
	for name, n := range s.prepared {
		r := pgcatalog.PreparedStatement{Name: name, Statement: n.text, Made: n.made, FromSQL: n.fromSQL, Parameters: []uint32{}}
		for _, t := range n.Params {
			r.Parameters = append(r.Parameters, t.OID())
		}
		// Every execution is planned with its values; without parameters that is
		// what Postgres calls a generic plan.
		if r.Custom = n.runs; len(n.Params) == 0 {
			r.Custom, r.Generic = 0, n.runs
		}
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b pgcatalog.PreparedStatement) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// within is the statement inside another one: PREPARE's, EXPLAIN's.
func within(st *parser.Statement, node *pg.Node) *parser.Statement {
	in := *st
	in.Node = node
	return &in
}

// prepareStmt is PREPARE name (types) AS statement.
func (x *statement) prepareStmt(ctx context.Context, n *pg.PrepareStmt) (*Result, error) {
	p := &Prepared{Statement: within(x.st, n.Query)}
	for _, a := range n.Argtypes {
		t, err := planner.ResolveType(x.st, a.GetTypeName(), x.names())
		if err != nil {
			return nil, err
		}
		p.Params = append(p.Params, t)
	}
	if err := x.s.CheckStatement(n.Name); err != nil {
		return nil, err
	}
	y := x.s.begin(ctx, p.Statement)
	defer y.close()
	y.prepare, y.ptypes = true, p.Params
	if err := y.describe(ctx, p); err != nil {
		return nil, err
	}
	x.s.addStatement(n.Name, &named{Prepared: p, text: x.st.SQL, fromSQL: true, made: time.Now()})
	return done("PREPARE"), nil
}

// find finds the statement that EXECUTE names.
func (x *statement) find(n *pg.ExecuteStmt) (*named, error) {
	p := x.s.prepared[n.Name]
	if p == nil {
		return nil, pgerr.New(pgerr.InvalidSQLStatementName, "prepared statement %q does not exist", n.Name)
	}
	if p.Statement == nil {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "EXECUTE of an empty statement is not supported")
	}
	return p, nil
}

// become makes x the statement that EXECUTE names, with its arguments as parameters.
func (x *statement) become(ctx context.Context, n *pg.ExecuteStmt) (*named, error) {
	p, err := x.find(n)
	if err != nil {
		return nil, err
	}
	if len(n.Params) != len(p.Params) {
		return nil, pgerr.New(pgerr.SyntaxError, "wrong number of parameters for prepared statement %q", n.Name).
			WithDetail("Expected %d parameters but got %d.", len(p.Params), len(n.Params))
	}
	params := make([]*planner.Const, len(n.Params))
	for i, a := range n.Params {
		t := p.Params[i]
		_, from, err := planner.Constant(ctx, x.st, a, types.Type{}, x.options())
		if err != nil && pgerr.Code(err) != pgerr.IndeterminateDatatype {
			return nil, err
		}
		c := a.GetAConst() // an untyped literal becomes what is wanted
		if untyped := c.GetIsnull() || c.GetSval() != nil; err == nil && !untyped && from.ID != types.Unknown && !from.Same(t) && !function.CastAllowed(from, t, function.Assignment) {
			return nil, pgerr.New(pgerr.DatatypeMismatch, "parameter $%d of type %s cannot be coerced to the expected type %s", i+1, from, t).
				WithHint("You will need to rewrite or cast the expression.")
		}
		v, _, err := planner.Constant(ctx, x.st, a, t, x.options())
		if err != nil {
			return nil, err
		}
		params[i] = &planner.Const{T: t, V: v}
		if v.IsNull(0) {
			params[i].V = nil
		}
	}
	p.runs++
	x.st, x.ptypes, x.params = p.Statement, p.Params, params
	return p, nil
}

// executeStmt is EXECUTE name (values).
func (x *statement) executeStmt(ctx context.Context, n *pg.ExecuteStmt) (*Result, error) {
	p, err := x.become(ctx, n)
	if err != nil {
		return nil, err
	}
	r, err := x.execute(ctx)
	if err != nil {
		return nil, err
	}
	same := len(r.Fields) == len(p.Fields)
	for i := 0; same && i < len(r.Fields); i++ {
		same = r.Fields[i].Type.OID() == p.Fields[i].Type.OID()
	}
	if !same {
		r.Close()
		return nil, pgerr.New(pgerr.FeatureNotSupported, "cached plan must not change result type")
	}
	return r, nil
}

// deallocate is DEALLOCATE name or ALL.
func (s *Session) deallocate(n *pg.DeallocateStmt) (*Result, error) {
	if n.Name == "" {
		clear(s.prepared)
		return done("DEALLOCATE ALL"), nil
	}
	if !s.DropStatement(n.Name) {
		return nil, pgerr.New(pgerr.InvalidSQLStatementName, "prepared statement %q does not exist", n.Name)
	}
	return done("DEALLOCATE"), nil
}
