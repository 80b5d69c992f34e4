package function

import (
	"strings"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
)

const noFunctionHint = "No function matches the given name and argument types. You might need to add explicit type casts."

// Resolve picks the overload for argument types by Postgres' rules; Unknown is
// the type of an untyped literal, NULL or parameter. It returns the function,
// the concrete type to cast each argument to, and the result type. candidates
// may mix built-ins and UDFs. Errors are 42883 and 42725.
func Resolve(name string, candidates []*Function, args []types.Type) (f *Function, argTypes []types.Type, result types.Type, err error) {
	call := func() string { return name + "(" + typeList(args) + ")" }
	best := pick(candidates, args)
	switch len(best) {
	case 0:
		return nil, nil, result, pgerr.New(pgerr.UndefinedFunction, "function %s does not exist", call()).WithHint(noFunctionHint)
	case 1:
	default:
		return nil, nil, result, pgerr.New(pgerr.AmbiguousFunction, "function %s is not unique", call()).
			WithHint("Could not choose a best candidate function. You might need to add explicit type casts.")
	}
	argTypes, result, err = concrete(best[0], args)
	return best[0], argTypes, result, err
}

// ResolveOperator is Resolve for an operator over one or two arguments.
func ResolveOperator(op string, args []types.Type) (f *Function, argTypes []types.Type, result types.Type, err error) {
	cands := Operators(op, len(args) == 1)
	lookup := args
	if len(args) == 2 && (args[0].ID == types.Unknown) != (args[1].ID == types.Unknown) {
		// An untyped literal is first taken to be of the other side's type.
		same := args[0]
		if same.ID == types.Unknown {
			same = args[1]
		}
		if f := exact(cands, []types.Type{same.Bare(), same.Bare()}); f != nil {
			lookup = []types.Type{same, same}
			for i := range args {
				if args[i].ID == types.Unknown {
					lookup[i] = same.Bare()
				}
			}
		}
	}
	shown := func() string {
		if len(args) == 1 {
			return op + " " + args[0].Bare().String()
		}
		return args[0].Bare().String() + " " + op + " " + args[1].Bare().String()
	}
	best := pick(cands, lookup)
	switch len(best) {
	case 0:
		hint := "No operator matches the given name and argument types. You might need to add explicit type casts."
		if len(args) == 1 {
			hint = "No operator matches the given name and argument type. You might need to add an explicit type cast."
		}
		return nil, nil, result, pgerr.New(pgerr.UndefinedFunction, "operator does not exist: %s", shown()).WithHint("%s", hint)
	case 1:
	default:
		return nil, nil, result, pgerr.New(pgerr.AmbiguousFunction, "operator is not unique: %s", shown()).
			WithHint("Could not choose a best candidate operator. You might need to add explicit type casts.")
	}
	argTypes, result, err = concrete(best[0], lookup)
	return best[0], argTypes, result, err
}

func typeList(ts []types.Type) string {
	var b strings.Builder
	for i, t := range ts {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(t.Bare().String())
	}
	return b.String()
}

// declared returns the type that f declares for argument i, spreading a
// variadic one.
func (f *Function) declared(i int) types.Type {
	if f.Variadic && i >= len(f.Args)-1 {
		return f.Args[len(f.Args)-1]
	}
	return f.Args[i]
}

// takes reports whether f can be called with n arguments.
func (f *Function) takes(n int) bool {
	if f.Variadic {
		return n >= len(f.Args)-1
	}
	return n == len(f.Args)
}

func exact(cands []*Function, args []types.Type) *Function {
	for _, f := range cands {
		if f.Variadic || !f.takes(len(args)) {
			continue
		}
		same := oneEnum(f, args)
		for i, a := range args {
			same = same && f.Args[i].Same(a)
		}
		if same {
			return f
		}
	}
	return nil
}

// pick implements Postgres' func_select_candidate. It returns the best
// candidates: none, the one, or those between which it cannot choose.
func pick(cands []*Function, args []types.Type) []*Function {
	if f := exact(cands, args); f != nil {
		return []*Function{f}
	}
	var fit []*Function
	for _, f := range cands {
		if f.takes(len(args)) && applicable(f, args) {
			fit = append(fit, f)
		}
	}
	if len(fit) > 1 {
		// Only a function without a spread argument list beats an equal one with.
		fit = keepBest(fit, func(f *Function) int {
			n := 0
			for i, a := range args {
				if a.ID != types.Unknown && f.declared(i).Same(a) {
					n++
				}
			}
			return n
		})
	}
	if len(fit) > 1 {
		fit = keepBest(fit, func(f *Function) int {
			n := 0
			for i, a := range args {
				if a.ID == types.Unknown {
					continue
				}
				if d := f.declared(i); d.Same(a) || preferred(d) && category(d) == category(a) {
					n++
				}
			}
			return n
		})
	}
	if len(fit) > 1 {
		fit = byUnknowns(fit, args)
	}
	if len(fit) > 1 {
		fit = unvariadic(fit)
	}
	return fit
}

// keepBest keeps the candidates of the highest score, in order.
func keepBest(fit []*Function, score func(*Function) int) []*Function {
	best, out := -1, []*Function(nil)
	for _, f := range fit {
		switch n := score(f); {
		case n > best:
			best, out = n, []*Function{f}
		case n == best:
			out = append(out, f)
		}
	}
	return out
}

func unvariadic(fit []*Function) []*Function {
	var out []*Function
	for _, f := range fit {
		if !f.Variadic {
			out = append(out, f)
		}
	}
	if len(out) == 1 {
		return out
	}
	return fit
}

// byUnknowns chooses by the positions of untyped literals: by category, strings
// before all others, then by assuming that they are of the type that all other
// arguments have.
func byUnknowns(fit []*Function, args []types.Type) []*Function {
	unknowns := 0
	for _, a := range args {
		if a.ID == types.Unknown {
			unknowns++
		}
	}
	if unknowns == 0 {
		return fit
	}
	type want struct {
		cat  byte
		pref bool
	}
	wants := make([]want, len(args))
	resolved := true
	for i, a := range args {
		if a.ID != types.Unknown {
			continue
		}
		w := want{}
		conflict := false
		for _, f := range fit {
			d := f.declared(i)
			c, p := category(d), preferred(d)
			switch {
			case w.cat == 0:
				w = want{c, p}
			case c == w.cat:
				w.pref = w.pref || p
			case c == 'S':
				w = want{c, p}
				conflict = false
			case w.cat != 'S':
				conflict = true
			}
		}
		if conflict && w.cat != 'S' {
			resolved = false
			break
		}
		wants[i] = w
	}
	if resolved {
		var out []*Function
		for _, f := range fit {
			ok := true
			for i, a := range args {
				if a.ID != types.Unknown {
					continue
				}
				d := f.declared(i)
				if category(d) != wants[i].cat || wants[i].pref && !preferred(d) {
					ok = false
					break
				}
			}
			if ok {
				out = append(out, f)
			}
		}
		if len(out) > 0 {
			fit = out
		}
		if len(fit) == 1 {
			return fit
		}
	}
	if unknowns == len(args) {
		return fit
	}
	known := types.T(types.Unknown)
	for _, a := range args {
		if a.ID == types.Unknown {
			continue
		}
		if known.ID == types.Unknown {
			known = a
		} else if !known.Same(a) {
			return fit
		}
	}
	all := make([]types.Type, len(args))
	for i := range all {
		all[i] = known
	}
	var out []*Function
	for _, f := range fit {
		if applicable(f, all) {
			out = append(out, f)
		}
	}
	if len(out) == 1 {
		return out
	}
	return fit
}

// applicable reports whether every argument can be passed to f by implicit
// casts, and whether the polymorphic ones agree.
func applicable(f *Function, args []types.Type) bool {
	for i, a := range args {
		d := f.declared(i)
		switch d.ID {
		case types.Any:
		case types.AnyElement:
			if f.Op == "||" && isArray(a) && !f.takesArray() {
				return false // text || anynonarray
			}
		case types.AnyArray:
			if a.ID != types.Unknown && !isArray(a) {
				return false
			}
		default:
			if !CastAllowed(a, d, Implicit) {
				return false
			}
		}
	}
	if !oneEnum(f, args) {
		return false
	}
	_, _, ok := polymorphic(f, args)
	return ok
}

// oneEnum reports whether the arguments that f wants to be enums are of one, or
// literals beside one.
func oneEnum(f *Function, args []types.Type) bool {
	var is types.Type
	wanted := false
	for i, a := range args {
		if f.declared(i).ID != types.Enum {
			continue
		}
		wanted = true
		if a.ID == types.Enum {
			if is.ID == types.Enum && is != a {
				return false
			}
			is = a
		}
	}
	return !wanted || is.ID == types.Enum
}

func isArray(t types.Type) bool {
	return t.ID == types.Array || t.ID == types.Int2Vector || t.ID == types.OIDVector
}

func (f *Function) takesArray() bool {
	for _, a := range f.Args {
		if a.ID == types.AnyArray {
			return true
		}
	}
	return false
}

func (f *Function) polymorphicArgs() int {
	n := 0
	for _, a := range f.Args {
		if a.ID == types.AnyArray || a.ID == types.AnyElement {
			n++
		}
	}
	return n
}

// polymorphic finds the type that AnyElement stands for: the common type of the
// arguments at AnyElement and of the elements of those at AnyArray. used is
// false when f has no such argument.
func polymorphic(f *Function, args []types.Type) (elem types.Type, used, ok bool) {
	var ts []types.Type
	for i, a := range args {
		switch f.declared(i).ID {
		case types.AnyElement:
			ts = append(ts, a)
		case types.AnyArray:
			if a.ID == types.Unknown {
				ts = append(ts, a)
			} else {
				ts = append(ts, a.ElemType())
			}
		}
	}
	if len(ts) == 0 {
		return types.T(types.Invalid), false, true
	}
	if f.Op != "" && f.Op != "||" {
		// Comparisons and containment want both arrays of one type; functions
		// and || find a common one.
		for _, t := range ts[1:] {
			if t.ID != types.Unknown && ts[0].ID != types.Unknown && !t.Same(ts[0]) {
				return ts[0], true, false
			}
		}
	}
	elem, err := CommonType(ts, f.Name)
	return elem, true, err == nil
}

// concrete returns the types to cast the arguments to and the result type.
func concrete(f *Function, args []types.Type) ([]types.Type, types.Type, error) {
	elem, _, _ := polymorphic(f, args)
	out := make([]types.Type, len(args))
	for i, a := range args {
		d := f.declared(i)
		switch d.ID {
		case types.Any:
			if a.ID == types.Unknown {
				a = types.T(types.Text)
			}
			out[i] = a
		case types.AnyElement:
			if out[i] = elem; a.Same(elem) {
				out[i] = a
			}
		case types.AnyArray:
			// The vectors of the catalogs keep their type, and with it their lower
			// bound of 0, unless they must agree with another argument.
			if out[i] = types.ListOf(elem); a.Same(out[i]) || isArray(a) && f.polymorphicArgs() == 1 {
				out[i] = a
			}
		default:
			if out[i] = d; d.ID == types.Record && d.Typmod >= 0 {
				// A user's function takes this composite type and no other row.
			} else if a.Same(d) {
				out[i] = a
			} else if d.ID == types.Enum || d.ID == types.Record {
				// A literal is of the other's type.
				for _, o := range args {
					if o.ID == d.ID {
						out[i] = o
					}
				}
			}
		}
	}
	result, err := resolvedResult(f, out)
	return out, result, err
}

// resolvedResult is the result type of f for concrete argument types.
func resolvedResult(f *Function, args []types.Type) (types.Type, error) {
	if f.ReturnType != nil {
		return f.ReturnType(args), nil
	}
	if f.Returns.ID != types.AnyElement && f.Returns.ID != types.AnyArray {
		return f.Returns, nil
	}
	elem, used, ok := polymorphic(f, args)
	if !used || !ok || isArray(elem) {
		return f.Returns, pgerr.New(pgerr.DatatypeMismatch, "could not determine the result type of function %s", f.Name)
	}
	if f.Returns.ID == types.AnyElement {
		return elem, nil
	}
	return types.ListOf(elem), nil
}

// category is Postgres' typcategory.
func category(t types.Type) byte {
	switch t.ID {
	case types.Bool:
		return 'B'
	case types.Int2, types.Int4, types.Int8, types.Float4, types.Float8, types.Numeric, types.OID,
		types.Regclass, types.Regtype, types.Regproc, types.Regprocedure, types.Regnamespace:
		return 'N'
	case types.Text, types.Varchar, types.Bpchar, types.Name:
		return 'S'
	case types.Date, types.Time, types.Timestamp, types.Timestamptz:
		return 'D'
	case types.Interval:
		return 'T'
	case types.Array, types.Int2Vector, types.OIDVector, types.AnyArray:
		return 'A'
	case types.Enum:
		return 'E'
	case types.Unknown:
		return 'X'
	case types.Char:
		return 'Z'
	case types.AnyElement, types.Any, types.Void, types.Record:
		return 'P'
	}
	return 'U'
}

// preferred is Postgres' typispreferred.
func preferred(t types.Type) bool {
	switch t.ID {
	case types.Bool, types.Float8, types.OID, types.Text, types.Timestamptz, types.Interval:
		return true
	}
	return false
}

// CommonType finds the type to which all branches of a construct are cast
// (UNION, CASE, VALUES, COALESCE, ARRAY, IN, …); context names the construct in
// the error, which is 42804.
func CommonType(ts []types.Type, context string) (types.Type, error) {
	if len(ts) == 0 {
		return types.T(types.Text), nil
	}
	identical := true
	for _, t := range ts[1:] {
		identical = identical && t == ts[0]
	}
	if identical && ts[0].ID != types.Unknown {
		return ts[0], nil
	}
	best := types.T(types.Unknown)
	for _, t := range ts {
		switch {
		case t.ID == types.Unknown || best.Same(t):
			if best.Same(t) && best != t {
				best = best.Bare()
			}
		case best.ID == types.Unknown:
			best = t
		case category(best) != category(t):
			return best, pgerr.New(pgerr.DatatypeMismatch, "%s types %s and %s cannot be matched", context, best.Bare(), t.Bare())
		case !preferred(best) && CastAllowed(best, t, Implicit) && !CastAllowed(t, best, Implicit):
			best = t.Bare()
		default:
			best = best.Bare()
		}
	}
	if best.ID == types.Unknown {
		return types.T(types.Text), nil
	}
	for _, t := range ts {
		if !CastAllowed(t, best, Implicit) {
			return best, pgerr.New(pgerr.CannotCoerce, "%s could not convert type %s to %s", context, t.Bare(), best.Bare())
		}
	}
	return best, nil
}
