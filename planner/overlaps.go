package planner

import (
	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
)

// overlaps binds (a, b) OVERLAPS (c, d), where b and d may be lengths.
func (sc *selectCtx) overlaps(fc *pg.FuncCall) (Expr, error) {
	b := sc.b
	schema, name := lastName(fc.Funcname)
	args, err := sc.exprs(fc.Args)
	if err != nil {
		return nil, err
	}
	unknown := 0
	for i := 1; i < 4; i += 2 {
		from, to := args[i-1].Type().ID, args[i].Type().ID
		if to == types.Interval && from != types.Unknown && from != types.Interval {
			if args[i], err = b.operator("+", []Expr{args[i-1], args[i]}, fc.Location); err != nil {
				return nil, err
			}
		}
	}
	for _, a := range args {
		if a.Type().ID == types.Unknown {
			unknown++
		}
	}
	if unknown == len(args) {
		return nil, pgerr.New("42725", "function %s.%s(%s) is not unique", "pg_catalog", name, typeList(typesOf(args))).
			WithHint("Could not choose a best candidate function. You might need to add explicit type casts.").At(b.pos(fc.Location))
	}
	shown := name
	if schema != "" {
		shown = schema + "." + name
	}
	f, ats, t, err := function.Resolve(shown, b.candidates(schema, name), typesOf(args))
	if err != nil {
		return nil, b.at(err, fc.Location)
	}
	for i := range args {
		if args[i], err = b.coerce(args[i], ats[i], function.Implicit, name); err != nil {
			return nil, b.at(err, fc.Location)
		}
	}
	return b.call(f, args, t, fc.Location), nil
}
