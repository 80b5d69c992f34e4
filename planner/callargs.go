package planner

import (
	"slices"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/parser"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
)

// shape is one way to call a function with the arguments of a call: by name, with
// defaults for those left out, or with the elements of its last argument listed.
type shape struct {
	f *function.Function // the function itself
	// eff is a function of the call's arguments in the call's order.
	eff *function.Function
	// at is, for each argument of the call, which of f's it is; those from spread
	// on are elements of the last one (-1: none are).
	at     []int
	spread int
	// defaults is how many arguments of f the call leaves out.
	defaults int
	missing  []int
	// ambiguous says that another function fits as well, with defaults: an error if
	// this one is chosen.
	ambiguous bool
}

// callShapes are the shapes of one call.
type callShapes []*shape

func (s callShapes) candidates() []*function.Function {
	out := make([]*function.Function, len(s))
	for i, x := range s {
		out[i] = x.eff
	}
	return out
}

func (s callShapes) of(eff *function.Function) *shape {
	for _, x := range s {
		if x.eff == eff {
			return x
		}
	}
	return nil
}

// callList is the types of a call's arguments as messages show them.
func callList(args []Expr, order []string) string {
	var out []string
	for i, a := range args {
		t := a.Type().Bare().String()
		if n := i - (len(args) - len(order)); n >= 0 {
			t = quoteIdent(order[n]) + " => " + t
		}
		out = append(out, t)
	}
	return strings.Join(out, ", ")
}

// shapes finds the ways in which a call fits its candidates. The named arguments
// are appended to args in their order. nil says that the call is an ordinary one,
// for which the candidates are as they are.
func (b *binder) shapes(fc *pg.FuncCall, cands []*function.Function, args *[]Expr, named map[string]Expr, order []string) (callShapes, error) {
	special := fc.FuncVariadic || len(order) > 0
	for _, f := range cands {
		special = special || len(f.Defaults) > 0 || f.Spread
	}
	if !special {
		return nil, nil
	}
	npos := len(*args)
	if len(cands) > 0 && cands[0].Name == "make_interval" && cands[0].UDF == nil && len(order) > 0 && npos == 0 {
		return b.makeInterval(cands, args, named, order)
	}
	for _, n := range order {
		*args = append(*args, named[n])
	}
	out := callShapes{}
	for _, f := range cands {
		if s := fit(f, npos, order, fc.FuncVariadic); s != nil {
			out = append(out, s)
		}
	}
	// Of shapes with the same argument types one is chosen, as in Postgres: that
	// of a schema earlier in the path, which candidates are in the order of; then an
	// ordinary one before one that lists elements. Defaults make them ambiguous.
	if fc.FuncVariadic && len(out) == 0 && slices.ContainsFunc(cands, func(f *function.Function) bool { return f.Variadic }) {
		return nil, b.unsupported(fc.Location, "VARIADIC in a call of a built-in function")
	}
	kept := out[:0:0]
	for _, s := range out {
		i := slices.IndexFunc(kept, func(k *shape) bool {
			return slices.EqualFunc(k.eff.Args, s.eff.Args, types.Type.Same) && !k.eff.Variadic && !s.eff.Variadic
		})
		if i < 0 {
			kept = append(kept, s)
			continue
		}
		k := kept[i]
		switch {
		case k.f.Schema != s.f.Schema:
		case (k.spread < 0) != (s.spread < 0):
			if s.spread < 0 {
				kept[i] = s
			}
		case k.defaults > 0 || s.defaults > 0:
			k.ambiguous = true
		}
	}
	return kept, nil
}

// fit is how a function can be called with npos arguments by position and others
// by name; nil when it cannot.
func fit(f *function.Function, npos int, order []string, variadic bool) *shape {
	s := &shape{f: f, spread: -1}
	n := npos + len(order)
	if f.Variadic { // a built-in, whose arguments have no names
		if variadic || len(order) > 0 {
			return nil
		}
		s.eff = f
		for i := range n {
			s.at = append(s.at, i)
		}
		return s
	}
	if variadic && !f.Spread || npos > len(f.Args) && !f.Spread {
		return nil
	}
	eff := *f
	eff.Args, eff.ArgNames, eff.Spread = nil, nil, false
	given := make([]bool, len(f.Args))
	elements := f.Spread && !variadic
	for i := range npos {
		j := i
		if elements && i >= len(f.Args)-1 {
			j = len(f.Args) - 1
			if s.spread < 0 {
				s.spread = i
			}
			t := f.Args[j].ElemType()
			if f.Args[j].ID == types.AnyArray {
				t = types.T(types.AnyElement)
			}
			eff.Args = append(eff.Args, t)
		} else if j < len(f.Args) {
			eff.Args = append(eff.Args, f.Args[j])
		} else {
			return nil
		}
		s.at = append(s.at, j)
		given[j] = true
	}
	for _, name := range order {
		j := slices.Index(f.ArgNames, name)
		if j < 0 {
			j = slices.IndexFunc(f.ArgNames, func(a string) bool { return strings.EqualFold(a, name) })
		}
		if j < 0 || given[j] {
			return nil
		}
		if elements && j == len(f.Args)-1 {
			return nil // by name it is an array, which takes VARIADIC
		}
		s.at = append(s.at, j)
		given[j] = true
		eff.Args = append(eff.Args, f.Args[j])
	}
	for j, ok := range given {
		if ok {
			continue
		}
		if j < len(f.Args)-len(f.Defaults) {
			return nil
		}
		s.missing = append(s.missing, j)
	}
	s.defaults = len(s.missing)
	s.eff = &eff
	return s
}

// arrange puts the arguments of a call, which have the types of s.eff, in the
// order of the function.
func (sc *selectCtx) arrange(s *shape, args []Expr, loc int32) (*function.Function, []Expr, error) {
	if s.ambiguous {
		return nil, nil, pgerr.New(pgerr.AmbiguousFunction, "function %s(%s) is not unique", s.f.Name, callList(args, nil)).
			WithHint("Could not choose a best candidate function. You might need to add explicit type casts.").At(sc.b.pos(loc))
	}
	if s.eff == s.f {
		return s.f, args, nil
	}
	out := make([]Expr, len(s.f.Args))
	var elems []Expr
	for i, a := range args {
		if s.spread >= 0 && i >= s.spread && s.at[i] == len(out)-1 {
			elems = append(elems, a)
			continue
		}
		out[s.at[i]] = a
	}
	if elems != nil {
		t := s.f.Args[len(out)-1].ElemType()
		if s.f.Args[len(out)-1].ID == types.AnyArray {
			t = elems[0].Type()
		}
		a, err := sc.arrayOf(elems, t.Bare(), loc)
		if err != nil {
			return nil, nil, err
		}
		out[len(out)-1] = a
	}
	for _, j := range s.missing {
		e, err := sc.defaultArg(s.f, j)
		if err != nil {
			return nil, nil, sc.inBody(err, s.f, loc)
		}
		out[j] = e
	}
	return s.f, out, nil
}

// defaultArg binds the default of an argument.
func (sc *selectCtx) defaultArg(f *function.Function, i int) (Expr, error) {
	st, err := parser.ParseOne("SELECT " + f.Defaults[i-(len(f.Args)-len(f.Defaults))])
	if err != nil {
		return nil, err
	}
	inner := *sc.b
	inner.st, inner.params, inner.frame = st, nil, &sqlFrame{args: []Expr{}, up: sc.b.frame}
	body := &selectCtx{b: &inner, clause: "DEFAULT expressions"}
	e, err := body.expr(st.Node.GetSelectStmt().TargetList[0].GetResTarget().Val)
	if err != nil {
		return nil, err
	}
	t := f.Args[i]
	if t.ID == types.AnyElement || t.ID == types.AnyArray {
		t = e.Type()
	}
	return inner.coerce(e, t, function.Assignment, "")
}

// makeInterval is the only built-in with defaults that people call by name: 0
// everywhere.
func (b *binder) makeInterval(cands []*function.Function, args *[]Expr, named map[string]Expr, order []string) (callShapes, error) {
	for _, f := range cands {
		if len(f.ArgNames) < 7 {
			continue
		}
		left := len(named)
		var out []Expr
		for _, n := range f.ArgNames {
			e := named[n]
			if e != nil {
				left--
			} else {
				e = textConst("0", types.Unknown, 0)
			}
			out = append(out, e)
		}
		if left == 0 {
			*args = out
			return callShapes{{f: f, eff: f, spread: -1}}, nil
		}
	}
	for _, n := range order {
		*args = append(*args, named[n])
	}
	return callShapes{}, nil
}
