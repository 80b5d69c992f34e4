package function

import (
	"bytes"
	"strconv"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// jsonGet appends what -> (asText false) or ->> make of a value that was found.
func jsonGet(dst, val []byte, found, asText bool) ([]byte, bool, error) {
	if !found {
		return dst, false, nil
	}
	if !asText {
		return append(dst, val...), true, nil
	}
	dst, null, err := types.AppendJSONText(dst, val)
	return dst, !null, err
}

// jsonMember is -> and ->> by name.
func jsonMember(asText bool) func(dst []byte, r *row) ([]byte, bool, error) {
	return func(dst []byte, r *row) ([]byte, bool, error) {
		val, ok := types.JSONField(r.bytes(0), r.bytes(1))
		return jsonGet(dst, val, ok, asText)
	}
}

// jsonElement is -> and ->> by number. A jsonb scalar counts as an array of one.
func jsonElement(t types.ID, asText bool) func(dst []byte, r *row) ([]byte, bool, error) {
	return func(dst []byte, r *row) ([]byte, bool, error) {
		s, n := r.bytes(0), int64(r.int(1))
		val, ok := types.JSONElem(s, n)
		if !ok && t == types.JSONB && types.JSONKindOf(s) < types.JSONArray && (n == 0 || n == -1) {
			val, ok = s, true
		}
		return jsonGet(dst, val, ok, asText)
	}
}

// jsonStep goes one step of a path given as texts.
func jsonStep(s, step []byte) ([]byte, bool) {
	switch types.JSONKindOf(s) {
	case types.JSONObject:
		return types.JSONField(s, step)
	case types.JSONArray:
		n, err := strconv.ParseInt(string(bytes.TrimLeft(step, " \t\n\r\v\f")), 10, 32)
		if err != nil {
			return nil, false
		}
		return types.JSONElem(s, n)
	}
	return nil, false
}

// jsonPathText is #> and #>>.
func jsonPathText(asText bool) func(dst []byte, r *row) ([]byte, bool, error) {
	return func(dst []byte, r *row) ([]byte, bool, error) {
		s, ok := r.bytes(0), true
		from, to := r.args[1].ListAt(r.i)
		steps := r.args[1].Child
		for e := from; e < to && ok; e++ {
			if steps.IsNull(e) {
				return dst, false, nil
			}
			s, ok = jsonStep(s, steps.BytesAt(e))
		}
		return jsonGet(dst, s, ok, asText)
	}
}

// jsonExtract is json_extract_path with its steps as arguments.
func jsonExtract(asText bool) func(dst []byte, r *row) ([]byte, bool, error) {
	return func(dst []byte, r *row) ([]byte, bool, error) {
		s, ok := r.bytes(0), true
		for k := 1; k < len(r.args) && ok; k++ {
			s, ok = jsonStep(s, r.bytes(k))
		}
		return jsonGet(dst, s, ok, asText)
	}
}

func jsonTypeof(dst []byte, r *row) ([]byte, error) {
	return append(dst, types.JSONKindOf(r.bytes(0)).String()...), nil
}

func errJSON(format string, args ...any) error {
	return pgerr.New(pgerr.InvalidParameterValue, format, args...)
}

func jsonArrayLength(r *row) (int32, bool, error) {
	s := r.bytes(0)
	switch types.JSONKindOf(s) {
	case types.JSONArray:
		return int32(types.JSONLen(s)), true, nil
	case types.JSONObject:
		return 0, false, errJSON("cannot get array length of a non-array")
	}
	return 0, false, errJSON("cannot get array length of a scalar")
}

// stripNulls copies a value without the members that are null; sep and colon
// separate what is left.
func stripNulls(dst, s []byte, sep, colon string) []byte {
	it, ok := types.NewJSONIter(s)
	if !ok {
		return append(dst, types.TrimJSON(s)...)
	}
	end := byte(']')
	if it.Object() {
		end = '}'
		dst = append(dst, '{')
	} else {
		dst = append(dst, '[')
	}
	for first := true; ; {
		key, val, ok := it.Next()
		if !ok {
			return append(dst, end)
		}
		if it.Object() && types.JSONKindOf(val) == types.JSONNull {
			continue
		}
		if !first {
			dst = append(dst, sep...)
		}
		first = false
		if it.Object() {
			dst = append(append(append(dst, '"'), key...), '"')
			dst = append(dst, colon...)
		}
		dst = stripNulls(dst, val, sep, colon)
	}
}

// jsonPretty is jsonb_pretty.
func jsonPretty(dst, s []byte, depth int) []byte {
	it, ok := types.NewJSONIter(s)
	if !ok {
		return append(dst, s...)
	}
	indent := func(n int) {
		dst = append(dst, '\n')
		for range n {
			dst = append(dst, "    "...)
		}
	}
	end := byte(']')
	if it.Object() {
		end = '}'
		dst = append(dst, '{')
	} else {
		dst = append(dst, '[')
	}
	for first := true; ; first = false {
		key, val, ok := it.Next()
		if !ok {
			indent(depth)
			return append(dst, end)
		}
		if !first {
			dst = append(dst, ',')
		}
		indent(depth + 1)
		if it.Object() {
			dst = append(append(append(dst, '"'), key...), `": `...)
		}
		dst = jsonPretty(dst, val, depth+1)
	}
}

// jsonField reads the member args[1] of a JSON object as the type of args[2], as
// json_to_record and its like do.
func jsonField(c *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
	t := args[2].Type
	obj, name := args[0], args[1]
	raw := func(i int) ([]byte, bool) {
		if obj.IsNull(i) {
			return nil, false
		}
		val, ok := types.JSONField(obj.BytesAt(i), name.BytesAt(i))
		return val, ok && (t.ID == types.JSON || t.ID == types.JSONB || types.JSONKindOf(val) != types.JSONNull)
	}
	if t.ID == types.Array {
		return jsonLists(c, t, raw, n)
	}
	return jsonScalars(c, t, raw, n)
}

// jsonScalars reads JSON values as a type: json as it is, strings as the text of
// the type, and so all others.
func jsonScalars(c *Ctx, t types.Type, raw func(i int) ([]byte, bool), n int) (*vector.Vector, error) {
	b := vector.NewBuilder(textType, n)
	var buf []byte
	for i := range n {
		val, ok := raw(i)
		if !ok {
			b.AppendNull()
			continue
		}
		if t.ID == types.JSON || t.ID == types.JSONB {
			b.AppendBytes(val)
			continue
		}
		var err error
		if buf, _, err = types.AppendJSONText(buf[:0], val); err != nil {
			return nil, err
		}
		b.AppendBytes(buf)
	}
	return castVector(c, b.Build(), t, false)
}

// jsonLists reads JSON arrays as arrays of a type, and strings as their text.
func jsonLists(c *Ctx, t types.Type, raw func(i int) ([]byte, bool), n int) (*vector.Vector, error) {
	var elems [][]byte
	offs := make([]int32, n+1)
	var nulls []int
	for i := range n {
		val, ok := raw(i)
		switch it, isArray := types.NewJSONIter(val); {
		case !ok:
			nulls = append(nulls, i)
		case isArray && !it.Object():
			for {
				_, e, ok := it.Next()
				if !ok {
					break
				}
				elems = append(elems, e)
			}
		case types.JSONKindOf(val) == types.JSONString:
			text, _, err := types.AppendJSONText(nil, val)
			if err != nil {
				return nil, err
			}
			err = types.ParseArray(text, func(e string, null bool) error {
				if null {
					elems = append(elems, []byte("null"))
				} else {
					elems = append(elems, types.AppendJSONString(nil, e))
				}
				return nil
			})
			if err != nil {
				return nil, err
			}
		default:
			return nil, pgerr.New(pgerr.InvalidTextRepresentation, "expected JSON array")
		}
		offs[i+1] = int32(len(elems))
	}
	et := t.ElemType()
	child, err := jsonScalars(c, et, func(i int) ([]byte, bool) {
		return elems[i], et.ID == types.JSON || et.ID == types.JSONB || types.JSONKindOf(elems[i]) != types.JSONNull
	}, len(elems))
	if err != nil {
		return nil, err
	}
	return setNulls(vector.FromList(t, offs, child.Flatten()), nulls), nil
}

func registerJSONAccess(r *registry) {
	for _, t := range []types.ID{types.JSON, types.JSONB} {
		n := types.T(t).String()
		r.op("->("+n+",text) "+n, toNullableBytes(t, jsonMember(false)))
		r.op("->("+n+",int4) "+n, toNullableBytes(t, jsonElement(t, false)))
		r.op("->>("+n+",text) text", toNullableBytes(types.Text, jsonMember(true)))
		r.op("->>("+n+",int4) text", toNullableBytes(types.Text, jsonElement(t, true)))
		r.scalar(n+"_extract_path("+n+",variadic text) "+n, toNullableBytes(t, jsonExtract(false)), doc("get value from "+n+" with path elements"))
		r.scalar(n+"_extract_path_text("+n+",variadic text) text", toNullableBytes(types.Text, jsonExtract(true)), doc("get value from "+n+" as text with path elements"))
		r.op("#>("+n+",text[]) "+n, toNullableBytes(t, jsonPathText(false)))
		r.op("#>>("+n+",text[]) text", toNullableBytes(types.Text, jsonPathText(true)))
		r.scalar(n+"_typeof("+n+") text", toBytes(types.Text, jsonTypeof), doc("get the type of a "+n+" value"))
		r.scalar(n+"_array_length("+n+") int4", toFixed(types.Int4, jsonArrayLength), doc("length of "+n+" array"))
		sep, colon := ",", ":"
		if t == types.JSONB {
			sep, colon = ", ", ": "
		}
		r.scalar(n+"_strip_nulls("+n+") "+n, toBytes(t, func(dst []byte, r *row) ([]byte, error) {
			return stripNulls(dst, r.bytes(0), sep, colon), nil
		}), doc("remove object fields with null values from "+n))
		f := r.scalar("volley_json_field("+n+",text,any) any", jsonField, called, stable)
		f.ReturnType = func(args []types.Type) types.Type { return args[2] }
	}
	r.scalar("jsonb_pretty(jsonb) text", toBytes(types.Text, func(dst []byte, r *row) ([]byte, error) {
		return jsonPretty(dst, r.bytes(0), 0), nil
	}), doc("indented text from jsonb"))
}
