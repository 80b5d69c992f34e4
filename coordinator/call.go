package coordinator

import (
	"context"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/planner"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// procedure is what CALL calls.
type procedure struct {
	function.Procedure
	// fields are the columns of the rows it returns, nil when it returns none. They
	// may depend on the arguments.
	fields func(x *statement, args []*vector.Vector) ([]vector.Field, error)
	run    func(ctx context.Context, x *statement, args []*vector.Vector) (*Result, error)
}

// procedures are filled in by init: what they run refers to them.
var procedures []procedure

func init() {
	for _, p := range function.Procedures() {
		switch p.Name {
		case "replay":
			procedures = append(procedures, procedure{p,
				func(x *statement, args []*vector.Vector) ([]vector.Field, error) {
					rp, err := x.findReplay(args[0])
					if err != nil {
						return nil, err
					}
					return rp.fields(), nil
				},
				func(ctx context.Context, x *statement, args []*vector.Vector) (*Result, error) {
					rp, err := x.findReplay(args[0])
					if err != nil {
						return nil, err
					}
					return rp.run(ctx)
				}})
		}
	}
}

// IsProcedure reports that CALL has a procedure of a name, for who writes SELECT.
func (n *names) IsProcedure(schema, name string) bool {
	return len(proceduresOf(n, schema, name)) > 0
}

// proceduresOf finds the procedures of a name. The schema volley is on no search
// path unless somebody puts it there.
func proceduresOf(n *names, schema, name string) []*procedure {
	var out []*procedure
	for i := range procedures {
		p := &procedures[i]
		if p.Name != name {
			continue
		}
		found := p.Schema == schema
		for _, s := range n.view.SearchPath {
			found = found || schema == "" && s == p.Schema
		}
		if found {
			out = append(out, p)
		}
	}
	return out
}

// calledProcedure finds the procedure of a CALL, and its arguments in order.
func (x *statement) calledProcedure(ctx context.Context, fc *pg.FuncCall) (*procedure, []*pg.Node, error) {
	var parts []string
	for _, p := range fc.Funcname {
		parts = append(parts, p.GetString_().GetSval())
	}
	name, schema := parts[len(parts)-1], ""
	if len(parts) > 1 {
		schema = parts[len(parts)-2]
	}
	pos := x.st.Pos(fc.Location)
	n := x.names()
	for _, p := range proceduresOf(n, schema, name) {
		if len(fc.Args) != len(p.Args) || fc.AggStar || fc.AggDistinct || len(fc.AggOrder) > 0 || fc.FuncVariadic {
			continue
		}
		args := make([]*pg.Node, len(p.Args))
		ok := true
		for i, a := range fc.Args {
			at := i
			if na := a.GetNamedArgExpr(); na != nil {
				at, a = -1, na.Arg
				for k, name := range p.ArgNames {
					if name == na.Name {
						at = k
					}
				}
			}
			if ok = ok && at >= 0 && args[max(at, 0)] == nil; ok {
				args[at] = a
			}
		}
		if ok {
			return p, args, nil
		}
	}
	ts, list, err := x.callTypes(ctx, fc)
	if err != nil {
		return nil, nil, err
	}
	shown := strings.Join(parts, ".") + "(" + list + ")"
	// A function of that name and these arguments is no procedure.
	cands := n.Functions(schema, name)
	for _, f := range function.Lookup(name) {
		if f.Schema == schema || schema == "" && f.Schema == "pg_catalog" {
			cands = append(cands, f)
		}
	}
	if len(cands) > 0 {
		if _, _, _, err := function.Resolve(name, cands, ts); err == nil {
			return nil, nil, pgerr.New(pgerr.WrongObjectType, "%s is not a procedure", shown).WithHint("To call a function, use SELECT.").At(pos)
		}
	}
	return nil, nil, pgerr.New(pgerr.UndefinedFunction, "procedure %s does not exist", shown).
		WithHint("No procedure matches the given name and argument types. You might need to add explicit type casts.").At(pos)
}

// callTypes are the types of a call's arguments, and how messages list them.
func (x *statement) callTypes(ctx context.Context, fc *pg.FuncCall) ([]types.Type, string, error) {
	var ts []types.Type
	var list []string
	for _, a := range fc.Args {
		name := ""
		if na := a.GetNamedArgExpr(); na != nil {
			a, name = na.Arg, na.Name+" => "
		}
		t := types.T(types.Unknown)
		if c := a.GetAConst(); !(c.GetIsnull() || c.GetSval() != nil) && a.GetParamRef() == nil {
			_, from, err := planner.Constant(ctx, x.st, a, types.Type{}, x.options())
			if err != nil {
				return nil, "", err
			}
			t = from
		}
		ts = append(ts, t)
		list = append(list, name+t.Bare().String())
	}
	return ts, strings.Join(list, ", "), nil
}

// callArgs are the values of a procedure's arguments.
func (x *statement) callArgs(ctx context.Context, p *procedure, nodes []*pg.Node) ([]*vector.Vector, error) {
	out := make([]*vector.Vector, len(nodes))
	for i, a := range nodes {
		v, _, err := planner.Constant(ctx, x.st, a, p.Args[i], x.options())
		if err != nil {
			return nil, err
		}
		out[i] = v
	}
	return out, nil
}

// describeCall finds the parameters of a CALL and, if the arguments are known, the
// columns of what it returns.
func (x *statement) describeCall(ctx context.Context, n *pg.CallStmt, p *Prepared) error {
	proc, nodes, err := x.calledProcedure(ctx, n.Funccall)
	if err != nil {
		return err
	}
	for i, a := range nodes {
		if k := int(a.GetParamRef().GetNumber()); k > 0 {
			for len(p.Params) < k {
				p.Params = append(p.Params, types.T(types.Unknown))
			}
			if p.Params[k-1].ID == types.Unknown {
				p.Params[k-1] = proc.Args[i]
			}
		}
	}
	if proc.fields == nil {
		return nil
	}
	if len(p.Params) > 0 {
		p.Late = true
		return nil
	}
	args, err := x.callArgs(ctx, proc, nodes)
	if err != nil {
		return err
	}
	p.Fields, err = proc.fields(x, args)
	return err
}

// call is CALL procedure(args).
func (x *statement) call(ctx context.Context, n *pg.CallStmt) (*Result, error) {
	p, nodes, err := x.calledProcedure(ctx, n.Funccall)
	if err != nil {
		return nil, err
	}
	args, err := x.callArgs(ctx, p, nodes)
	if err != nil {
		return nil, err
	}
	return p.run(ctx, x, args)
}

// BindFields returns a statement whose fields depend on its parameters with those
// fields, for the parameters of one execution.
func (s *Session) BindFields(ctx context.Context, p *Prepared, params []Param) (*Prepared, error) {
	n := p.Statement.Node.GetCallStmt()
	if !p.Late || n == nil {
		return p, nil
	}
	if err := s.checkTx(p.Statement); err != nil {
		return nil, err
	}
	x := s.begin(ctx, p.Statement)
	defer x.close()
	x.ptypes, x.params = p.Params, []*planner.Const{}
	out := *p
	out.Late = false
	err := s.guarded(p.Statement, func() error {
		for i, v := range params {
			c, err := x.paramValue(i, p.Params[i], v)
			if err != nil {
				return err
			}
			x.params = append(x.params, c)
		}
		proc, nodes, err := x.calledProcedure(ctx, n.Funccall)
		if err != nil {
			return err
		}
		args, err := x.callArgs(ctx, proc, nodes)
		if err != nil {
			return err
		}
		out.Fields, err = proc.fields(x, args)
		return err
	})
	return &out, s.failed(err)
}
