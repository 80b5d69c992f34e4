package function

import (
	"strings"
	"unicode/utf8"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// lowerBound is the subscript of the first element: 0 for the vectors of the
// catalogs, 1 for all other arrays.
func lowerBound(t types.Type) int {
	if t.ID == types.Int2Vector || t.ID == types.OIDVector {
		return 0
	}
	return 1
}

// listLen is the number of elements of argument k.
func (r *row) listLen(k int) int {
	from, to := r.args[k].ListAt(r.i)
	return to - from
}

// dimension makes a function of an array's length that is NULL for an empty
// array and for dimensions other than the first.
func dimension(f func(t types.Type, n int) int) EvalFunc {
	return toFixed(types.Int4, func(r *row) (int32, bool, error) {
		n := r.listLen(0)
		if n == 0 || len(r.args) > 1 && r.int(1) != 1 {
			return 0, false, nil
		}
		return int32(f(r.args[0].Type, n)), true, nil
	})
}

// toList makes a function of rows, called on NULLs, that appends one array to b.
func toList(f func(b *vector.Builder, r *row) error) EvalFunc {
	return func(c *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
		t := types.T(types.Unknown)
		for _, a := range args {
			if isArray(a.Type) {
				t = types.ListOf(a.Type.ElemType())
				break
			}
			if t.ID == types.Unknown {
				t = types.ListOf(a.Type)
			}
		}
		b := vector.NewBuilder(t, n)
		r := row{c: c, args: args}
		for r.i = 0; r.i < n; r.i++ {
			if err := f(b, &r); err != nil {
				return nil, err
			}
		}
		return b.Build(), nil
	}
}

// appendElems appends the elements of argument k, none if it is NULL.
func (r *row) appendElems(b *vector.Builder, k int) {
	if r.null(k) {
		return
	}
	from, to := r.args[k].ListAt(r.i)
	for e := from; e < to; e++ {
		b.Elems().AppendFrom(r.args[k].Child, e)
	}
}

func arrayAppend(b *vector.Builder, r *row) error {
	r.appendElems(b, 0)
	b.Elems().AppendFrom(r.args[1], r.i)
	b.EndList()
	return nil
}

func arrayPrepend(b *vector.Builder, r *row) error {
	b.Elems().AppendFrom(r.args[0], r.i)
	r.appendElems(b, 1)
	b.EndList()
	return nil
}

func arrayCat(b *vector.Builder, r *row) error {
	if r.null(0) && r.null(1) {
		b.AppendNull()
		return nil
	}
	r.appendElems(b, 0)
	r.appendElems(b, 1)
	b.EndList()
	return nil
}

// sameAs makes a test of elements of argument 0 against the value of argument
// k, where NULL is the same as NULL.
func (r *row) sameAs(k int) (func(e int) bool, error) {
	child, v := r.args[0].Child, r.args[k]
	cmp := comparer(child.Type)
	if cmp == nil {
		return nil, errNoOrder(child.Type)
	}
	null := v.IsNull(r.i)
	return func(e int) bool {
		if child.IsNull(e) || null {
			return null && child.IsNull(e)
		}
		return cmp(child, e, v, r.i) == 0
	}, nil
}

func arrayRemove(b *vector.Builder, r *row) error {
	if r.null(0) {
		b.AppendNull()
		return nil
	}
	same, err := r.sameAs(1)
	if err != nil {
		return err
	}
	from, to := r.args[0].ListAt(r.i)
	for e := from; e < to; e++ {
		if !same(e) {
			b.Elems().AppendFrom(r.args[0].Child, e)
		}
	}
	b.EndList()
	return nil
}

func arrayReplace(b *vector.Builder, r *row) error {
	if r.null(0) {
		b.AppendNull()
		return nil
	}
	same, err := r.sameAs(1)
	if err != nil {
		return err
	}
	from, to := r.args[0].ListAt(r.i)
	for e := from; e < to; e++ {
		if same(e) {
			b.Elems().AppendFrom(r.args[2], r.i)
		} else {
			b.Elems().AppendFrom(r.args[0].Child, e)
		}
	}
	b.EndList()
	return nil
}

// arrayPosition is called on NULL: a NULL is looked for like a value.
func arrayPosition(c *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
	b := vector.NewBuilder(types.T(types.Int4), n)
	r := row{c: c, args: args}
	for r.i = 0; r.i < n; r.i++ {
		if r.null(0) {
			b.AppendNull()
			continue
		}
		same, err := r.sameAs(1)
		if err != nil {
			return nil, err
		}
		from, to := args[0].ListAt(r.i)
		start := from
		lower := lowerBound(args[0].Type)
		if len(args) > 2 {
			if r.null(2) {
				return nil, pgerr.New(pgerr.NullValueNotAllowed, "initial position must not be null")
			}
			start = max(from+r.int(2)-lower, from)
		}
		found := -1
		for e := start; e < to && found < 0; e++ {
			if same(e) {
				found = e
			}
		}
		if found < 0 {
			b.AppendNull()
		} else {
			vector.Append(b, int32(found-from+lower))
		}
	}
	return b.Build(), nil
}

func arrayPositions(c *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
	b := vector.NewBuilder(types.ArrayOf(types.Int4), n)
	r := row{c: c, args: args}
	for r.i = 0; r.i < n; r.i++ {
		if r.null(0) {
			b.AppendNull()
			continue
		}
		same, err := r.sameAs(1)
		if err != nil {
			return nil, err
		}
		from, to := args[0].ListAt(r.i)
		for e := from; e < to; e++ {
			if same(e) {
				vector.Append(b.Elems(), int32(e-from+lowerBound(args[0].Type)))
			}
		}
		b.EndList()
	}
	return b.Build(), nil
}

// arrayGet is subscripting: NULL outside of the bounds.
func arrayGet(_ *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
	arr, sub := args[0], args[1]
	lower := int64(lowerBound(arr.Type))
	idx := make([]int32, n)
	for i := range idx {
		idx[i] = -1
		if arr.IsNull(i) || sub.IsNull(i) {
			continue
		}
		from, to := arr.ListAt(i)
		if at := int64(from) + int64(vector.At[int32](sub, i)) - lower; at >= int64(from) && at < int64(to) {
			idx[i] = int32(at)
		}
	}
	return vector.GatherNull(arr.Child, idx), nil
}

// arraySlice is arr[from:to], both ends inclusive; a NULL argument gives NULL.
func arraySlice(b *vector.Builder, r *row) error {
	if r.null(0) || r.null(1) || r.null(2) {
		b.AppendNull()
		return nil
	}
	from, to := r.args[0].ListAt(r.i)
	lower := lowerBound(r.args[0].Type)
	lo, hi := max(r.int(1)-lower, 0), min(r.int(2)-lower, to-from-1)
	for e := from + lo; e <= from+hi; e++ {
		b.Elems().AppendFrom(r.args[0].Child, e)
	}
	b.EndList()
	return nil
}

// arrayToString joins the elements; NULL ones are left out unless argument 2
// says what stands for them.
func arrayToString(c *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
	elems, err := outputs(c, []*vector.Vector{args[0].Child})
	if err != nil {
		return nil, err
	}
	child := elems[0]
	b := vector.NewBuilder(textType, n)
	var buf []byte
	for i := range n {
		if args[0].IsNull(i) || args[1].IsNull(i) {
			b.AppendNull()
			continue
		}
		buf = buf[:0]
		from, to := args[0].ListAt(i)
		first := true
		for e := from; e < to; e++ {
			s := []byte(nil)
			switch {
			case !child.IsNull(e):
				s = child.BytesAt(e)
			case len(args) > 2 && !args[2].IsNull(i):
				s = args[2].BytesAt(i)
			default:
				continue
			}
			if !first {
				buf = append(buf, args[1].BytesAt(i)...)
			}
			buf, first = append(buf, s...), false
		}
		b.AppendBytes(buf)
	}
	return b.Build(), nil
}

// splitText yields the fields of s; null is set where sep is NULL, which cuts
// into characters.
func splitText(s, sep string, nullSep bool, yield func(string)) {
	switch {
	case s == "":
	case nullSep:
		for len(s) > 0 {
			_, w := utf8.DecodeRuneInString(s)
			yield(s[:w])
			s = s[w:]
		}
	case sep == "":
		yield(s)
	default:
		for {
			i := strings.Index(s, sep)
			if i < 0 {
				yield(s)
				return
			}
			yield(s[:i])
			s = s[i+len(sep):]
		}
	}
}

func stringToArray(c *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
	b := vector.NewBuilder(types.ArrayOf(types.Text), n)
	for i := range n {
		if args[0].IsNull(i) {
			b.AppendNull()
			continue
		}
		sep := ""
		if !args[1].IsNull(i) {
			sep = args[1].StringAt(i)
		}
		splitText(args[0].StringAt(i), sep, args[1].IsNull(i), func(f string) {
			if len(args) > 2 && !args[2].IsNull(i) && f == args[2].StringAt(i) {
				b.Elems().AppendNull()
			} else {
				b.Elems().AppendString(f)
			}
		})
		b.EndList()
	}
	return b.Build(), nil
}

// contains reports whether every element of list b is in list a, where NULL is in nothing.
func contains(a *vector.Vector, i int, b *vector.Vector, j int, cmp func(*vector.Vector, int, *vector.Vector, int) int, all bool) bool {
	af, at := a.ListAt(i)
	bf, bt := b.ListAt(j)
	for y := bf; y < bt; y++ {
		found := false
		for x := af; x < at && !found && !b.Child.IsNull(y); x++ {
			found = !a.Child.IsNull(x) && cmp(a.Child, x, b.Child, y) == 0
		}
		if found != all {
			return !all
		}
	}
	return all
}

// containment makes @>, <@ and &&.
func containment(swap, all bool) EvalFunc {
	return func(_ *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
		a, b := args[0], args[1]
		if swap {
			a, b = b, a
		}
		cmp := comparer(a.Type.ElemType())
		if cmp == nil {
			return nil, errNoOrder(a.Type.ElemType())
		}
		out := vector.New(types.T(types.Bool), n)
		res := vector.Values[bool](out)
		for i := range res {
			if allValid(args, i) {
				res[i] = contains(a, i, b, i, cmp, all)
			}
		}
		return out, nil
	}
}

// parseIdent splits a qualified name into its parts.
func parseIdent(b *vector.Builder, r *row, _ *regexCache) error {
	parts, ok := SplitIdent(r.str(0))
	if !ok {
		return pgerr.New(pgerr.InvalidParameterValue, "string is not a valid identifier: \"%s\"", r.str(0))
	}
	for _, p := range parts {
		b.Elems().AppendString(p)
	}
	b.EndList()
	return nil
}

// SplitIdent splits a possibly qualified and quoted name into its parts,
// folding what is not quoted to lower case.
func SplitIdent(s string) (parts []string, ok bool) {
	for {
		s = strings.TrimLeft(s, " \t\n\r")
		var part strings.Builder
		if strings.HasPrefix(s, `"`) {
			closed := false
			for i := 1; i < len(s); i++ {
				if s[i] == '"' {
					if i+1 < len(s) && s[i+1] == '"' {
						i++
					} else {
						s, closed = s[i+1:], true
						break
					}
				}
				part.WriteByte(s[i])
			}
			if !closed {
				return nil, false
			}
		} else {
			i := 0
			for i < len(s) && (s[i] == '_' || s[i] == '$' && i > 0 || s[i]|0x20-'a' < 26 || s[i]-'0' < 10 && i > 0 || s[i] >= utf8.RuneSelf) {
				i++
			}
			part.WriteString(strings.ToLower(s[:i]))
			s = s[i:]
		}
		if part.Len() == 0 {
			return nil, false
		}
		parts = append(parts, part.String())
		s = strings.TrimLeft(s, " \t\n\r")
		if s == "" {
			return parts, true
		}
		if s[0] != '.' {
			return nil, false
		}
		s = s[1:]
	}
}

func registerArrays(r *registry) {
	r.scalar("array_length(anyarray,int4) int4", dimension(func(_ types.Type, n int) int { return n }), doc("array length"))
	r.scalar("array_upper(anyarray,int4) int4", dimension(func(t types.Type, n int) int { return n - 1 + lowerBound(t) }), doc("array upper dimension"))
	r.scalar("array_lower(anyarray,int4) int4", dimension(func(t types.Type, _ int) int { return lowerBound(t) }), doc("array lower dimension"))
	r.scalar("array_ndims(anyarray) int4", dimension(func(types.Type, int) int { return 1 }))
	r.scalar("cardinality(anyarray) int4", toInt4(func(r *row) int { return r.listLen(0) }), doc("array cardinality"))
	r.scalar("array_append(anyarray,anyelement) anyarray", toList(arrayAppend), called)
	r.scalar("array_prepend(anyelement,anyarray) anyarray", toList(arrayPrepend), called)
	r.scalar("array_cat(anyarray,anyarray) anyarray", toList(arrayCat), called)
	for _, f := range []struct {
		sig  string
		eval EvalFunc
	}{
		{"||(anyarray,anyelement) anyarray", toList(arrayAppend)},
		{"||(anyelement,anyarray) anyarray", toList(arrayPrepend)},
		{"||(anyarray,anyarray) anyarray", toList(arrayCat)},
	} {
		r.opAlias(f.sig, f.eval, called)
	}
	r.scalar("array_remove(anyarray,anyelement) anyarray", toList(arrayRemove), called)
	r.scalar("array_replace(anyarray,anyelement,anyelement) anyarray", toList(arrayReplace), called)
	r.scalar("array_position(anyarray,anyelement) int4", arrayPosition, called)
	r.scalar("array_position(anyarray,anyelement,int4) int4", arrayPosition, called)
	r.scalar("array_positions(anyarray,anyelement) int4[]", arrayPositions, called)
	r.scalar("array_get(anyarray,int4) anyelement", arrayGet, called, doc("array subscript"))
	r.scalar("array_slice(anyarray,int4,int4) anyarray", toList(arraySlice), called, doc("array slice"))
	r.scalar("array_to_string(anyarray,text) text", arrayToString, called, stable)
	r.scalar("array_to_string(anyarray,text,text) text", arrayToString, called, stable)
	r.scalar("string_to_array(text,text) text[]", stringToArray, called)
	r.scalar("string_to_array(text,text,text) text[]", stringToArray, called)
	r.op("@>(anyarray,anyarray) bool", containment(false, true))
	r.op("<@(anyarray,anyarray) bool", containment(true, true))
	r.op("&&(anyarray,anyarray) bool", containment(false, false))
	r.scalar("parse_ident(text) text[]", toTextArray(parseIdent))
	registerMoreArrays(r)
}
