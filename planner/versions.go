package planner

import (
	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/types"
)

// FunctionGuard is what a Catalog may know of users' functions besides their
// definitions: who may call them, and why there is none of a name.
type FunctionGuard interface {
	// UseFunction is told of every user's function that a statement calls; role is
	// in whose name, "" for the session's user. direct is false inside a view or
	// the body of a function. It returns 42501 where the role may not.
	UseFunction(f *function.Function, role string, direct bool) error
	// FunctionHint says why there is no function of a name, "" if it knows nothing.
	FunctionHint(schema, name string) string
	// IsProcedure reports that there is a procedure of a name, for CALL.
	IsProcedure(schema, name string) bool
}

// AloneCatalog knows functions that change the session or the server: they are
// called in statements of their own, which never come here.
type AloneCatalog interface {
	StandsAlone(schema, name string, args int) bool
}

// mayCall checks that the statement may call a function, at the time of planning.
func (b *binder) mayCall(f *function.Function) error {
	if f.OID < firstUserOID || f.Schema == "pg_catalog" || f.Schema == function.InformationSchema || f.Schema == function.VolleySchema && f.UDF == nil && f.Body == "" {
		return nil
	}
	g, ok := b.o.Catalog.(FunctionGuard)
	if !ok {
		return nil
	}
	return g.UseFunction(f, b.definer, b.views == 0 && b.frame == nil)
}

// firstUserOID is the first OID of users' objects.
const firstUserOID = 16384

// functionHint is the catalog's word on a name that no function has.
func (b *binder) functionHint(schema, name string) string {
	if g, ok := b.o.Catalog.(FunctionGuard); ok {
		return g.FunctionHint(schema, name)
	}
	return ""
}

// canary is a call whose rows go to one of two versions, as their arguments
// decide. Without arguments there is nothing to decide by, and what differs from
// one evaluation to the next decides nothing: such calls are the current version's.
func (b *binder) canary(f *function.Function, args []Expr, t types.Type, loc int32) Expr {
	current := *f
	current.Canary = nil
	if len(args) == 0 {
		return b.call(&current, args, t, loc)
	}
	for _, a := range args {
		if isVolatile(a) {
			return b.call(&current, args, t, loc)
		}
	}
	rows := append([]Expr{constInt4(int32(f.Canary.Share))}, args...)
	return &Case{
		Whens: []When{{Cond: b.call(function.CanaryRows(), rows, types.T(types.Bool), loc), Result: b.call(f.Canary.F, args, t, loc)}},
		Else:  b.call(&current, args, t, loc),
		T:     t,
	}
}
