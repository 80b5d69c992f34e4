package function

import (
	"bytes"
	"math"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// Errors of jsonpath, by SQL/JSON's codes.
const (
	pathNoMember     = "2203A"
	pathNoArray      = "22039"
	pathBadSubscript = "22033"
	pathNotNumeric   = "22036"
	pathNotSingleton = "22038"
	pathNotNumber    = "2203B"
)

// truth3 is the result of a predicate.
type truth3 uint8

const (
	no3 truth3 = iota
	yes3
	unknown3
)

// pathRun evaluates one path over one document. Items are texts of jsonb values.
type pathRun struct {
	path  *types.JSONPath
	root  []byte
	vars  []byte
	size  int // of the innermost array that is subscripted
	regex *regexCache
}

func errPath(code, format string, args ...any) error {
	return pgerr.New(code, format, args...)
}

func (p *pathRun) lax() bool { return !p.path.Strict }

// run gives the items that the path finds.
func (p *pathRun) run() ([][]byte, error) { return p.items(nil, p.path.Expr, p.root, p.lax()) }

// items appends what node n and those after it make of the current item. unwrap
// says that an array stands for its elements where n wants something else.
func (p *pathRun) items(out [][]byte, n *types.PathNode, cur []byte, unwrap bool) ([][]byte, error) {
	next := func(out [][]byte, v []byte) ([][]byte, error) {
		if n.Next == nil {
			return append(out, v), nil
		}
		return p.items(out, n.Next, v, p.lax())
	}
	elems := func(out [][]byte, again bool) ([][]byte, error) {
		var err error
		for _, e := range elementsOf(cur) {
			if again {
				out, err = p.items(out, n, e, false)
			} else {
				out, err = next(out, e)
			}
			if err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	isArray := types.JSONKindOf(cur) == types.JSONArray
	switch n.Op {
	case types.PathRoot:
		return next(out, p.root)
	case types.PathCurrent:
		return next(out, cur)
	case types.PathVariable:
		v, ok := types.JSONField(p.vars, []byte(n.Text))
		if !ok {
			return nil, errPath(pgerr.UndefinedObject, "could not find jsonpath variable \"%s\"", n.Text)
		}
		return next(out, v)
	case types.PathLast:
		return next(out, types.AppendInt(nil, int64(p.size-1)))
	case types.PathNull:
		return next(out, []byte("null"))
	case types.PathBool:
		return next(out, boolJSON(n.Value))
	case types.PathNumber:
		return next(out, []byte(n.Text))
	case types.PathString:
		return next(out, types.AppendJSONString(nil, n.Text))
	case types.PathKey:
		switch {
		case types.JSONKindOf(cur) == types.JSONObject:
			if v, ok := types.JSONField(cur, []byte(n.Text)); ok {
				return next(out, v)
			}
			if !p.lax() {
				return nil, errPath(pathNoMember, "JSON object does not contain key \"%s\"", n.Text)
			}
		case isArray && unwrap:
			return elems(out, true)
		case !p.lax():
			return nil, errPath(pathNoMember, "jsonpath member accessor can only be applied to an object")
		}
		return out, nil
	case types.PathAnyKey:
		switch {
		case types.JSONKindOf(cur) == types.JSONObject:
			var err error
			for _, m := range membersOf(cur) {
				if out, err = next(out, m.val); err != nil {
					return nil, err
				}
			}
		case isArray && unwrap:
			return elems(out, true)
		case !p.lax():
			return nil, errPath(pathNoMember, "jsonpath wildcard member accessor can only be applied to an object")
		}
		return out, nil
	case types.PathAnyElem:
		switch {
		case isArray:
			return elems(out, false)
		case p.lax():
			return next(out, cur)
		}
		return nil, errPath(pathNoArray, "jsonpath wildcard array accessor can only be applied to an array")
	case types.PathElems:
		if !isArray && !p.lax() {
			return nil, errPath(pathNoArray, "jsonpath array accessor can only be applied to an array")
		}
		return p.subscript(out, n, cur, next)
	case types.PathDeep:
		out, err := next(out, cur)
		if err != nil {
			return nil, err
		}
		return p.deep(out, cur, next)
	case types.PathFilter:
		if isArray && unwrap {
			return elems(out, true)
		}
		ok, err := p.test(n.Args[0], cur)
		if err != nil || ok != yes3 {
			return out, err
		}
		return next(out, cur)
	case types.PathMethod:
		if isArray && unwrap && n.Text != "size" && n.Text != "type" {
			return elems(out, true)
		}
		v, err := p.method(n.Text, cur)
		if err != nil {
			return nil, err
		}
		return next(out, v)
	case types.PathAdd, types.PathSub, types.PathMul, types.PathDiv, types.PathMod:
		v, err := p.binary(n, cur)
		if err != nil {
			return nil, err
		}
		return next(out, v)
	case types.PathPlus, types.PathMinus:
		vs, err := p.unwrapped(n.Args[0], cur)
		if err != nil {
			return nil, err
		}
		for _, v := range vs {
			if types.JSONKindOf(v) != types.JSONNumber {
				return nil, errPath(pathNotNumber, "operand of unary jsonpath operator %s is not a numeric value", n.Op)
			}
			if n.Op == types.PathMinus {
				d, err := types.ParseNumeric(v)
				if err != nil {
					return nil, err
				}
				v = types.AppendNumeric(nil, d.Neg())
			}
			if out, err = next(out, v); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	ok, err := p.test(n, cur)
	switch {
	case err != nil:
		return nil, err
	case ok == unknown3:
		return next(out, []byte("null"))
	}
	return next(out, boolJSON(ok == yes3))
}

func boolJSON(b bool) []byte {
	if b {
		return []byte("true")
	}
	return []byte("false")
}

// deep appends everything under a value.
func (p *pathRun) deep(out [][]byte, v []byte, next func([][]byte, []byte) ([][]byte, error)) ([][]byte, error) {
	it, ok := types.NewJSONIter(v)
	for ok {
		var e []byte
		if _, e, ok = it.Next(); !ok {
			break
		}
		var err error
		if out, err = next(out, e); err != nil {
			return nil, err
		}
		if out, err = p.deep(out, e, next); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (p *pathRun) subscript(out [][]byte, n *types.PathNode, cur []byte, next func([][]byte, []byte) ([][]byte, error)) ([][]byte, error) {
	es := elementsOf(cur)
	save := p.size
	defer func() { p.size = save }()
	for i := 0; i < len(n.Args); i += 2 {
		p.size = len(es)
		from, err := p.index(n.Args[i], cur)
		if err != nil {
			return nil, err
		}
		to := from
		if n.Args[i+1] != nil {
			if to, err = p.index(n.Args[i+1], cur); err != nil {
				return nil, err
			}
		}
		if !p.lax() && (from < 0 || from > to || to >= int64(len(es))) {
			return nil, errPath(pathBadSubscript, "jsonpath array subscript is out of bounds")
		}
		for k := max(from, 0); k <= min(to, int64(len(es)-1)); k++ {
			p.size = save
			if out, err = next(out, es[k]); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

func (p *pathRun) index(n *types.PathNode, cur []byte) (int64, error) {
	vs, err := p.items(nil, n, cur, p.lax())
	if err != nil {
		return 0, err
	}
	if len(vs) != 1 || types.JSONKindOf(vs[0]) != types.JSONNumber {
		return 0, errPath(pathBadSubscript, "jsonpath array subscript is not a single numeric value")
	}
	d, err := types.ParseNumeric(vs[0])
	if err == nil {
		var k int32
		if k, err = d.Trunc(0).Int32(); err == nil {
			return int64(k), nil
		}
	}
	return 0, errPath(pathBadSubscript, "jsonpath array subscript is out of integer range")
}

func (p *pathRun) method(name string, v []byte) ([]byte, error) {
	kind := types.JSONKindOf(v)
	switch name {
	case "type":
		return types.AppendJSONString(nil, kind.String()), nil
	case "size":
		if kind == types.JSONArray {
			return types.AppendInt(nil, int64(types.JSONLen(v))), nil
		}
		if !p.lax() {
			return nil, errPath(pathNoArray, "jsonpath item method .size() can only be applied to an array")
		}
		return []byte("1"), nil
	case "double":
		switch kind {
		case types.JSONNumber:
			return v, nil
		case types.JSONString:
			t, _, err := types.AppendJSONText(nil, v)
			if err != nil {
				return nil, err
			}
			f, err := types.ParseFloat8(t)
			if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
				return nil, errPath(pathNotNumeric, "string argument of jsonpath item method .double() is not a valid representation of a double precision number")
			}
			d, err := types.DecimalFromFloat64(f)
			if err != nil {
				return nil, err
			}
			return types.AppendNumeric(nil, d), nil
		}
		return nil, errPath(pathNotNumeric, "jsonpath item method .double() can only be applied to a string or numeric value")
	}
	if kind != types.JSONNumber {
		return nil, errPath(pathNotNumeric, "jsonpath item method .%s() can only be applied to a numeric value", name)
	}
	d, err := types.ParseNumeric(v)
	if err != nil {
		return nil, err
	}
	switch name {
	case "abs":
		d = d.Abs()
	case "floor":
		d, err = d.Floor()
	case "ceiling":
		d, err = d.Ceil()
	}
	return types.AppendNumeric(nil, d), err
}

// unwrapped gives the items of an operand, in lax mode the elements of arrays.
func (p *pathRun) unwrapped(n *types.PathNode, cur []byte) ([][]byte, error) {
	vs, err := p.items(nil, n, cur, p.lax())
	if err != nil || !p.lax() {
		return vs, err
	}
	var out [][]byte
	for _, v := range vs {
		out = append(out, elementsOf(v)...)
	}
	return out, nil
}

func (p *pathRun) binary(n *types.PathNode, cur []byte) ([]byte, error) {
	var d [2]types.Decimal
	for k, side := range []string{"left", "right"} {
		vs, err := p.unwrapped(n.Args[k], cur)
		if err != nil {
			return nil, err
		}
		if len(vs) != 1 || types.JSONKindOf(vs[0]) != types.JSONNumber {
			return nil, errPath(pathNotSingleton, "%s operand of jsonpath operator %s is not a single numeric value", side, n.Op)
		}
		if d[k], err = types.ParseNumeric(vs[0]); err != nil {
			return nil, err
		}
	}
	var r types.Decimal
	var err error
	switch n.Op {
	case types.PathAdd:
		r, err = d[0].Add(d[1])
	case types.PathSub:
		r, err = d[0].Sub(d[1])
	case types.PathMul:
		r, err = d[0].Mul(d[1])
	case types.PathDiv:
		r, err = d[0].Div(d[1])
	default:
		r, err = d[0].Mod(d[1])
	}
	return types.AppendNumeric(nil, r), err
}

// test evaluates a predicate. Errors inside of it make it unknown.
func (p *pathRun) test(n *types.PathNode, cur []byte) (truth3, error) {
	switch n.Op {
	case types.PathOr, types.PathAnd:
		short := yes3
		if n.Op == types.PathAnd {
			short = no3
		}
		a, err := p.test(n.Args[0], cur)
		if err != nil || a == short {
			return a, err
		}
		b, err := p.test(n.Args[1], cur)
		if err != nil || b == short || a != unknown3 {
			return b, err
		}
		return a, nil
	case types.PathNot:
		a, err := p.test(n.Args[0], cur)
		if a != unknown3 {
			a = yes3 - a
		}
		return a, err
	case types.PathExists:
		vs, err := p.items(nil, n.Args[0], cur, p.lax())
		switch {
		case softPathError(err):
			return unknown3, nil
		case err != nil:
			return unknown3, err
		case len(vs) > 0:
			return yes3, nil
		}
		return no3, nil
	}
	left, err := p.unwrapped(n.Args[0], cur)
	if err == nil && n.Op == types.PathLikeRegex {
		return p.pairs(left, [][]byte{nil}, func(a, _ []byte) (truth3, error) { return p.likeRegex(n, a) })
	}
	var right [][]byte
	if err == nil {
		right, err = p.unwrapped(n.Args[1], cur)
	}
	if softPathError(err) {
		return unknown3, nil
	}
	if err != nil {
		return unknown3, err
	}
	return p.pairs(left, right, func(a, b []byte) (truth3, error) {
		if n.Op == types.PathStartsWith {
			if types.JSONKindOf(a) != types.JSONString || types.JSONKindOf(b) != types.JSONString {
				return unknown3, nil
			}
			return truthOf(bytes.HasPrefix(a[:len(a)-1], b[:len(b)-1])), nil
		}
		return comparePath(n.Op, a, b), nil
	})
}

// softPathError tells errors that a predicate swallows from those of the engine.
func softPathError(err error) bool {
	if err == nil {
		return false
	}
	switch pgerr.Code(err) {
	case pathNoMember, pathNoArray, pathBadSubscript, pathNotNumeric, pathNotSingleton, pathNotNumber, pgerr.DivisionByZero, pgerr.NumericValueOutOfRange:
		return true
	}
	return false
}

func truthOf(b bool) truth3 {
	if b {
		return yes3
	}
	return no3
}

// pairs is true if some pair is; in strict mode an unknown one decides.
func (p *pathRun) pairs(left, right [][]byte, test func(a, b []byte) (truth3, error)) (truth3, error) {
	failed, found := false, false
	for _, a := range left {
		for _, b := range right {
			t, err := test(a, b)
			if err != nil {
				return unknown3, err
			}
			switch {
			case t == unknown3 && !p.lax():
				return unknown3, nil
			case t == unknown3:
				failed = true
			case t == yes3 && p.lax():
				return yes3, nil
			case t == yes3:
				found = true
			}
		}
	}
	switch {
	case found:
		return yes3, nil
	case failed:
		return unknown3, nil
	}
	return no3, nil
}

func comparePath(op types.PathOp, a, b []byte) truth3 {
	ka, kb := types.JSONKindOf(a), types.JSONKindOf(b)
	if ka != kb {
		if ka == types.JSONNull || kb == types.JSONNull {
			return truthOf(op == types.PathNotEqual)
		}
		return unknown3
	}
	if ka >= types.JSONArray {
		return unknown3
	}
	c := types.CompareJSONB(a, b)
	switch op {
	case types.PathEqual:
		return truthOf(c == 0)
	case types.PathNotEqual:
		return truthOf(c != 0)
	case types.PathLess:
		return truthOf(c < 0)
	case types.PathLessEqual:
		return truthOf(c <= 0)
	case types.PathGreater:
		return truthOf(c > 0)
	}
	return truthOf(c >= 0)
}

func (p *pathRun) likeRegex(n *types.PathNode, v []byte) (truth3, error) {
	if types.JSONKindOf(v) != types.JSONString {
		return unknown3, nil
	}
	flags := ""
	for _, f := range n.Text {
		switch f {
		case 'i', 'q':
			flags += string(f)
		default:
			return unknown3, errPath(pgerr.FeatureNotSupported, "the flag \"%c\" of like_regex is not supported", f)
		}
	}
	re, err := p.regex.get(n.Args[1].Text, flags, false)
	if err != nil {
		return unknown3, err
	}
	t, _, err := types.AppendJSONText(nil, v)
	return truthOf(err == nil && re.Match(t)), err
}

// pathOf evaluates the path of a call: args are the document, the path, and
// perhaps variables and whether errors are to be silent, which is NULL then.
type pathCache struct {
	text string
	path *types.JSONPath
	re   regexCache
}

func (k *pathCache) run(r *row, silent bool) (vs [][]byte, ok bool, err error) {
	if s := r.str(1); k.path == nil || k.text != s {
		path, err := types.ParseJSONPath(s)
		if err != nil {
			return nil, false, err
		}
		k.text, k.path = string(r.bytes(1)), path
	}
	p := &pathRun{path: k.path, root: r.bytes(0), vars: []byte("{}"), regex: &k.re}
	if len(r.args) > 2 {
		if p.vars = r.bytes(2); types.JSONKindOf(p.vars) != types.JSONObject {
			return nil, false, errJSON3("\"vars\" argument is not an object", "Jsonpath parameters should be encoded as key-value pairs of \"vars\" object.")
		}
	}
	silent = silent || len(r.args) > 3 && r.bool(3)
	vs, err = p.run()
	if silent && softPathError(err) {
		return nil, false, nil
	}
	return vs, err == nil, err
}

func errJSON3(msg, detail string) error {
	return pgerr.New(pgerr.InvalidParameterValue, "%s", msg).WithDetail("%s", detail)
}

// pathCall gives f a cache that lives for one call of the kernel.
func pathCall(f func(k *pathCache) EvalFunc) EvalFunc {
	return func(c *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) { return f(&pathCache{})(c, args, n) }
}

func pathExists(silent bool) EvalFunc {
	return pathCall(func(k *pathCache) EvalFunc {
		return toFixed(types.Bool, func(r *row) (bool, bool, error) {
			vs, ok, err := k.run(r, silent)
			return len(vs) > 0, ok, err
		})
	})
}

func pathMatch(silent bool) EvalFunc {
	return pathCall(func(k *pathCache) EvalFunc {
		return toFixed(types.Bool, func(r *row) (bool, bool, error) {
			vs, ok, err := k.run(r, silent)
			if err != nil || !ok {
				return false, false, err
			}
			if len(vs) == 1 {
				switch types.JSONKindOf(vs[0]) {
				case types.JSONBool:
					return vs[0][0] == 't', true, nil
				case types.JSONNull:
					return false, false, nil
				}
			}
			if silent || len(r.args) > 3 && r.bool(3) {
				return false, false, nil
			}
			return false, false, errPath(pathNotSingleton, "single boolean result is expected")
		})
	})
}

func registerJSONPath(r *registry) {
	r.op("@?(jsonb,jsonpath) bool", pathExists(true))
	r.op("@@(jsonb,jsonpath) bool", pathMatch(true))
	for _, more := range []string{"", ",jsonb", ",jsonb,bool"} {
		args := "(jsonb,jsonpath" + more + ")"
		r.scalar("jsonb_path_exists"+args+" bool", pathExists(false), doc("jsonpath exists test"))
		r.scalar("jsonb_path_match"+args+" bool", pathMatch(false), doc("jsonpath match"))
		r.scalar("jsonb_path_query_array"+args+" jsonb", pathCall(func(k *pathCache) EvalFunc {
			return toBytes(types.JSONB, func(dst []byte, r *row) ([]byte, error) {
				vs, _, err := k.run(r, false)
				return appendElements(dst, vs), err
			})
		}), doc("jsonpath query wrapped into array"))
		r.scalar("jsonb_path_query_first"+args+" jsonb", pathCall(func(k *pathCache) EvalFunc {
			return toNullableBytes(types.JSONB, func(dst []byte, r *row) ([]byte, bool, error) {
				vs, _, err := k.run(r, false)
				if err != nil || len(vs) == 0 {
					return dst, false, err
				}
				return append(dst, vs[0]...), true, nil
			})
		}), doc("jsonpath query first item"))
		r.table("jsonb_path_query"+args+" jsonb", jsonRowsOf([]types.Type{types.T(types.JSONB)}, func(bs []*vector.Builder, r *row) error {
			vs, _, err := (&pathCache{}).run(r, false)
			for _, v := range vs {
				bs[0].AppendBytes(v)
			}
			return err
		}), doc("jsonpath query"))
	}
}
