package function

import (
	"bytes"
	"math"
	"sort"
	"strconv"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// jsonMemberText is a member of a jsonb object: the key as it is written between
// quotes, and the text of the value. In normal form equal keys are written equal.
type jsonMemberText struct{ key, val []byte }

func membersOf(s []byte) []jsonMemberText {
	var ms []jsonMemberText
	it, ok := types.NewJSONIter(s)
	for ok {
		var k, v []byte
		if k, v, ok = it.Next(); ok {
			ms = append(ms, jsonMemberText{k, v})
		}
	}
	return ms
}

// elementsOf are the elements of an array; any other value is the only one.
func elementsOf(s []byte) [][]byte {
	if types.JSONKindOf(s) != types.JSONArray {
		return [][]byte{s}
	}
	var out [][]byte
	it, _ := types.NewJSONIter(s)
	for {
		_, v, ok := it.Next()
		if !ok {
			return out
		}
		out = append(out, v)
	}
}

// rawKey writes a name as it stands between quotes.
func rawKey(name []byte) []byte {
	q := types.AppendJSONString(nil, name)
	return q[1 : len(q)-1]
}

// keyLess is the order of keys in jsonb: by length, then by bytes.
func keyLess(a, b []byte) bool {
	if x, err := types.JSONUnescape(a); err == nil {
		a = x
	}
	if x, err := types.JSONUnescape(b); err == nil {
		b = x
	}
	if len(a) != len(b) {
		return len(a) < len(b)
	}
	return bytes.Compare(a, b) < 0
}

func appendMembers(dst []byte, ms []jsonMemberText) []byte {
	dst = append(dst, '{')
	for i, m := range ms {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		dst = append(append(append(dst, '"'), m.key...), `": `...)
		dst = append(dst, m.val...)
	}
	return append(dst, '}')
}

func appendElements(dst []byte, es [][]byte) []byte {
	dst = append(dst, '[')
	for i, e := range es {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		dst = append(dst, e...)
	}
	return append(dst, ']')
}

// withMember returns the members with one more, in its place.
func withMember(ms []jsonMemberText, m jsonMemberText) []jsonMemberText {
	at := sort.Search(len(ms), func(i int) bool { return !keyLess(ms[i].key, m.key) })
	out := append(append([]jsonMemberText(nil), ms[:at]...), m)
	return append(out, ms[at:]...)
}

func isScalarJSON(s []byte) bool { return types.JSONKindOf(s) < types.JSONArray }

// equalScalars compares two jsonb scalars.
func equalScalars(a, b []byte) bool {
	return bytes.Equal(a, b) || types.JSONKindOf(a) == types.JSONNumber && types.JSONKindOf(b) == types.JSONNumber && types.CompareJSONB(a, b) == 0
}

// jsonbContains is a @> b. raw says that a, b are whole documents, where an array
// contains a scalar.
func jsonbContains(a, b []byte, whole bool) bool {
	ka, kb := types.JSONKindOf(a), types.JSONKindOf(b)
	switch {
	case ka == types.JSONObject && kb == types.JSONObject:
		for _, m := range membersOf(b) {
			v, ok := rawField(a, m.key)
			if !ok || !jsonbContains(v, m.val, false) {
				return false
			}
		}
		return true
	case ka == types.JSONArray && (kb == types.JSONArray || whole && isScalarJSON(b)):
		es := elementsOf(a)
		for _, want := range elementsOf(b) {
			found := false
			for _, e := range es {
				if isScalarJSON(want) {
					found = isScalarJSON(e) && equalScalars(e, want)
				} else {
					found = types.JSONKindOf(e) == types.JSONKindOf(want) && jsonbContains(e, want, false)
				}
				if found {
					break
				}
			}
			if !found {
				return false
			}
		}
		return true
	}
	return isScalarJSON(a) && isScalarJSON(b) && equalScalars(a, b)
}

// rawField finds a member by its key as written.
func rawField(s, key []byte) ([]byte, bool) {
	it, ok := types.NewJSONIter(s)
	for ok {
		var k, v []byte
		if k, v, ok = it.Next(); ok && bytes.Equal(k, key) {
			return v, true
		}
	}
	return nil, false
}

// jsonbHas reports whether a name is a key of an object or a string of an array.
func jsonbHas(s, name []byte) bool {
	key := rawKey(name)
	if types.JSONKindOf(s) == types.JSONObject {
		_, ok := rawField(s, key)
		return ok
	}
	for _, e := range elementsOf(s) {
		if len(e) == len(key)+2 && e[0] == '"' && bytes.Equal(e[1:len(e)-1], key) {
			return true
		}
	}
	return false
}

// jsonbHasAll is ?& (all) and ?|.
func jsonbHasAll(all bool) EvalFunc {
	return toFixed(types.Bool, func(r *row) (bool, bool, error) {
		from, to := r.args[1].ListAt(r.i)
		names := r.args[1].Child
		for e := from; e < to; e++ {
			if !names.IsNull(e) && jsonbHas(r.bytes(0), names.BytesAt(e)) != all {
				return !all, true, nil
			}
		}
		return all, true, nil
	})
}

func jsonbConcat(dst, a, b []byte) []byte {
	if types.JSONKindOf(a) != types.JSONObject || types.JSONKindOf(b) != types.JSONObject {
		return appendElements(dst, append(elementsOf(a), elementsOf(b)...))
	}
	x, y := membersOf(a), membersOf(b)
	var out []jsonMemberText
	for len(x) > 0 || len(y) > 0 {
		switch {
		case len(y) == 0 || len(x) > 0 && !bytes.Equal(x[0].key, y[0].key) && keyLess(x[0].key, y[0].key):
			out, x = append(out, x[0]), x[1:]
		case len(x) > 0 && bytes.Equal(x[0].key, y[0].key):
			x = x[1:]
		default:
			out, y = append(out, y[0]), y[1:]
		}
	}
	return appendMembers(dst, out)
}

// jsonbDrop removes the keys, or the strings of an array, for which drop is true.
func jsonbDrop(dst, s []byte, drop func(name []byte) bool) ([]byte, error) {
	switch types.JSONKindOf(s) {
	case types.JSONObject:
		var out []jsonMemberText
		for _, m := range membersOf(s) {
			if !drop(m.key) {
				out = append(out, m)
			}
		}
		return appendMembers(dst, out), nil
	case types.JSONArray:
		var out [][]byte
		for _, e := range elementsOf(s) {
			if e[0] != '"' || !drop(e[1:len(e)-1]) {
				out = append(out, e)
			}
		}
		return appendElements(dst, out), nil
	}
	return nil, errJSON("cannot delete from scalar")
}

func jsonbDropElem(dst []byte, r *row) ([]byte, error) {
	s, n := r.bytes(0), r.int(1)
	switch types.JSONKindOf(s) {
	case types.JSONObject:
		return nil, errJSON("cannot delete from object using integer index")
	case types.JSONArray:
	default:
		return nil, errJSON("cannot delete from scalar")
	}
	es := elementsOf(s)
	if n < 0 {
		n += len(es)
	}
	if n < 0 || n >= len(es) {
		return append(dst, s...), nil
	}
	return appendElements(dst, append(es[:n:n], es[n+1:]...)), nil
}

// What setting a path does.
const (
	pathCreate = 1 << iota
	pathDelete
	pathReplace
	pathBefore
	pathAfter
)

const pathCreates = pathCreate | pathBefore | pathAfter

// pathSetter changes one place of a jsonb document.
type pathSetter struct {
	steps    *vector.Vector
	from, to int
	val      []byte
	op       int
}

func (p *pathSetter) set(dst, s []byte, level int) ([]byte, error) {
	if p.steps.IsNull(p.from + level) {
		return nil, pgerr.New(pgerr.NullValueNotAllowed, "path element at position %d is null", level+1)
	}
	step := p.steps.BytesAt(p.from + level)
	last := level == p.to-p.from-1
	switch types.JSONKindOf(s) {
	case types.JSONObject:
		return p.setMember(dst, membersOf(s), rawKey(step), level, last)
	case types.JSONArray:
		return p.setElement(dst, elementsOf(s), step, level, last)
	}
	return append(dst, s...), nil
}

func (p *pathSetter) setMember(dst []byte, ms []jsonMemberText, key []byte, level int, last bool) ([]byte, error) {
	for i, m := range ms {
		if !bytes.Equal(m.key, key) {
			continue
		}
		ms = append([]jsonMemberText(nil), ms...)
		switch {
		case !last:
			v, err := p.set(nil, m.val, level+1)
			if err != nil {
				return nil, err
			}
			ms[i].val = v
		case p.op&(pathBefore|pathAfter) != 0:
			return nil, errJSON2("cannot replace existing key", "Try using the function jsonb_set to replace key value.")
		case p.op&pathDelete != 0:
			ms = append(ms[:i], ms[i+1:]...)
		default:
			ms[i].val = p.val
		}
		return appendMembers(dst, ms), nil
	}
	if last && p.op&pathCreates != 0 {
		ms = withMember(ms, jsonMemberText{key, p.val})
	}
	return appendMembers(dst, ms), nil
}

func errJSON2(msg, hint string) error {
	return pgerr.New(pgerr.InvalidParameterValue, "%s", msg).WithHint("%s", hint)
}

func (p *pathSetter) setElement(dst []byte, es [][]byte, step []byte, level int, last bool) ([]byte, error) {
	idx, err := strconv.ParseInt(string(bytes.TrimLeft(step, " \t\n\r\v\f")), 10, 32)
	if err != nil {
		return nil, pgerr.New(pgerr.InvalidTextRepresentation, "path element at position %d is not an integer: \"%s\"", level+1, step)
	}
	n := int64(len(es))
	if idx < 0 {
		if idx += n; idx < 0 {
			idx = math.MinInt32
		}
	}
	idx = min(idx, n)
	var out [][]byte
	done := false
	if (idx == math.MinInt32 || n == 0) && last && p.op&pathCreates != 0 {
		out, done = append(out, p.val), true
	}
	for i, e := range es {
		if int64(i) != idx {
			out = append(out, e)
			continue
		}
		done = true
		if !last {
			v, err := p.set(nil, e, level+1)
			if err != nil {
				return nil, err
			}
			out = append(out, v)
			continue
		}
		if p.op&(pathBefore|pathCreate) != 0 {
			out = append(out, p.val)
		}
		if p.op&(pathBefore|pathAfter) != 0 {
			out = append(out, e)
		}
		if p.op&(pathAfter|pathReplace) != 0 {
			out = append(out, p.val)
		}
	}
	if !done && last && p.op&pathCreates != 0 {
		out = append(out, p.val)
	}
	return appendElements(dst, out), nil
}

// setPath changes args[0] at the path args[1].
func setPath(dst []byte, r *row, val []byte, op int) ([]byte, error) {
	s := r.bytes(0)
	if isScalarJSON(s) {
		if op == pathDelete {
			return nil, errJSON("cannot delete path in scalar")
		}
		return nil, errJSON("cannot set path in scalar")
	}
	p := &pathSetter{steps: r.args[1].Child, val: val, op: op}
	if p.from, p.to = r.args[1].ListAt(r.i); p.from == p.to || op&pathCreates == 0 && types.JSONLen(s) == 0 {
		return append(dst, s...), nil
	}
	return p.set(dst, s, 0)
}

func jsonbSet(dst []byte, r *row) ([]byte, error) {
	op := pathCreate
	if len(r.args) > 3 && !r.bool(3) {
		op = pathReplace
	}
	return setPath(dst, r, r.bytes(2), op)
}

func jsonbInsert(dst []byte, r *row) ([]byte, error) {
	op := pathBefore
	if len(r.args) > 3 && r.bool(3) {
		op = pathAfter
	}
	return setPath(dst, r, r.bytes(2), op)
}

// jsonbSetLax is called on NULLs.
func jsonbSetLax(c *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
	b := vector.NewBuilder(types.T(types.JSONB), n)
	r := &row{c: c, args: args}
	for i := range n {
		r.i = i
		if r.null(0) || r.null(1) || len(args) > 3 && r.null(3) {
			b.AppendNull()
			continue
		}
		op, how := pathCreate, "use_json_null"
		if len(args) > 3 && !r.bool(3) {
			op = pathReplace
		}
		if len(args) > 4 {
			if r.null(4) {
				return nil, errJSON("null_value_treatment must be \"delete_key\", \"return_target\", \"use_json_null\", or \"raise_exception\"")
			}
			how = r.str(4)
		}
		val := []byte("null")
		if !r.null(2) {
			val = r.bytes(2)
		} else {
			switch how {
			case "raise_exception":
				return nil, pgerr.New(pgerr.NullValueNotAllowed, "JSON value must not be null").
					WithDetail("Exception was raised because null_value_treatment is \"raise_exception\".").
					WithHint("To avoid, either change the null_value_treatment argument or ensure that an SQL NULL is not passed.")
			case "use_json_null":
			case "delete_key":
				op = pathDelete
			case "return_target":
				b.AppendBytes(r.bytes(0))
				continue
			default:
				return nil, errJSON("null_value_treatment must be \"delete_key\", \"return_target\", \"use_json_null\", or \"raise_exception\"")
			}
		}
		out, err := setPath(nil, r, val, op)
		if err != nil {
			return nil, err
		}
		b.AppendBytes(out)
	}
	return b.Build(), nil
}

// jsonbTo casts jsonb scalars to another type.
func jsonbTo(c *Ctx, v *vector.Vector, to types.Type) (*vector.Vector, error) {
	want := types.JSONNumber
	if to.ID == types.Bool {
		want = types.JSONBool
	}
	b := vector.NewBuilder(types.T(types.Text), v.Len)
	for i := range v.Len {
		if v.IsNull(i) {
			b.AppendNull()
			continue
		}
		s := v.BytesAt(i)
		if k := types.JSONKindOf(s); k != want {
			what := k.String()
			if k == types.JSONNumber {
				what = "numeric"
			}
			return nil, errJSON("cannot cast jsonb %s to type %s", what, to.Bare())
		}
		b.AppendBytes(s)
	}
	if to.ID == types.Bool {
		return castVector(c, b.Build(), to, true)
	}
	num, err := castVector(c, b.Build(), types.T(types.Numeric), true)
	if err != nil {
		return nil, err
	}
	return castVector(c, num, to, true)
}

func registerJSONBOps(r *registry) {
	for op, sym := range compareNames {
		k := CompareKind(op)
		r.op(sym+"(jsonb,jsonb) bool", func(_ *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
			return compareRows(k, args[0], args[1], n)
		})
	}
	boolean := func(f func(r *row) bool) EvalFunc {
		return toFixed(types.Bool, func(r *row) (bool, bool, error) { return f(r), true, nil })
	}
	r.op("@>(jsonb,jsonb) bool", boolean(func(r *row) bool { return jsonbContains(r.bytes(0), r.bytes(1), true) }))
	r.op("<@(jsonb,jsonb) bool", boolean(func(r *row) bool { return jsonbContains(r.bytes(1), r.bytes(0), true) }))
	r.op("?(jsonb,text) bool", boolean(func(r *row) bool { return jsonbHas(r.bytes(0), r.bytes(1)) }))
	r.op("?|(jsonb,text[]) bool", jsonbHasAll(false))
	r.op("?&(jsonb,text[]) bool", jsonbHasAll(true))
	r.op("||(jsonb,jsonb) jsonb", toBytes(types.JSONB, func(dst []byte, r *row) ([]byte, error) {
		return jsonbConcat(dst, r.bytes(0), r.bytes(1)), nil
	}))
	r.op("-(jsonb,text) jsonb", toBytes(types.JSONB, func(dst []byte, r *row) ([]byte, error) {
		key := rawKey(r.bytes(1))
		return jsonbDrop(dst, r.bytes(0), func(k []byte) bool { return bytes.Equal(k, key) })
	}))
	r.op("-(jsonb,int4) jsonb", toBytes(types.JSONB, jsonbDropElem))
	r.op("-(jsonb,text[]) jsonb", toBytes(types.JSONB, func(dst []byte, r *row) ([]byte, error) {
		keys := map[string]bool{}
		from, to := r.args[1].ListAt(r.i)
		for e := from; e < to; e++ {
			if !r.args[1].Child.IsNull(e) {
				keys[string(rawKey(r.args[1].Child.BytesAt(e)))] = true
			}
		}
		return jsonbDrop(dst, r.bytes(0), func(k []byte) bool { return keys[string(k)] })
	}))
	r.op("#-(jsonb,text[]) jsonb", toBytes(types.JSONB, func(dst []byte, r *row) ([]byte, error) {
		return setPath(dst, r, nil, pathDelete)
	}))
	for _, more := range []string{"", ",bool"} {
		r.scalar("jsonb_set(jsonb,text[],jsonb"+more+") jsonb", toBytes(types.JSONB, jsonbSet), doc("set part of a jsonb"))
		r.scalar("jsonb_insert(jsonb,text[],jsonb"+more+") jsonb", toBytes(types.JSONB, jsonbInsert), doc("insert value into a jsonb"))
	}
	for _, more := range []string{"", ",bool", ",bool,text"} {
		r.scalar("jsonb_set_lax(jsonb,text[],jsonb"+more+") jsonb", jsonbSetLax, called, doc("set part of a jsonb, handling NULL value"))
	}
}
