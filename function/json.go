package function

import (
	"strings"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

func appendJSONString(dst []byte, s string) []byte { return types.AppendJSONString(dst, s) }

// jsonWriter returns a function that appends row i of v as JSON.
func jsonWriter(c *Ctx, v *vector.Vector) (func(dst []byte, i int) []byte, error) {
	switch {
	case v.Form == vector.Const && v.Len != 1:
		one, err := jsonWriter(c, vector.Slice(v, 0, 1))
		if err != nil {
			return nil, err
		}
		return func(dst []byte, _ int) []byte { return one(dst, 0) }, nil
	case isArray(v.Type):
		return jsonListWriter(c, v, ",")
	case v.Type.ID == types.Record:
		return jsonRecordWriter(c, v, ",")
	}
	text, err := castVector(c, v, textType, true)
	if err != nil {
		return nil, err
	}
	if text.Form == vector.Dict {
		text = text.Flatten()
	}
	t := v.Type
	if t.ID == types.Bpchar {
		text = v.Flatten()
	}
	return func(dst []byte, i int) []byte {
		if text.IsNull(i) {
			return append(dst, "null"...)
		}
		s := text.StringAt(i)
		switch {
		case t.ID == types.Bool, t.ID == types.JSON, t.ID == types.JSONB:
			return append(dst, s...)
		case t.IsNumeric():
			if last := s[len(s)-1]; last >= '0' && last <= '9' {
				return append(dst, s...)
			}
		case t.ID == types.Timestamp, t.ID == types.Timestamptz:
			s = isoTimestamp(s, t.ID == types.Timestamptz)
		}
		return appendJSONString(dst, s)
	}, nil
}

// jsonListWriter writes arrays with sep between their elements.
func jsonListWriter(c *Ctx, v *vector.Vector, sep string) (func(dst []byte, i int) []byte, error) {
	elem, err := jsonWriter(c, v.Child)
	if err != nil {
		return nil, err
	}
	return func(dst []byte, i int) []byte {
		if v.IsNull(i) {
			return append(dst, "null"...)
		}
		from, to := v.ListAt(i)
		dst = append(dst, '[')
		for e := from; e < to; e++ {
			if e > from {
				dst = append(dst, sep...)
			}
			dst = elem(dst, e)
		}
		return append(dst, ']')
	}, nil
}

// jsonRecordWriter writes records as objects with sep between their members.
func jsonRecordWriter(c *Ctx, v *vector.Vector, sep string) (func(dst []byte, i int) []byte, error) {
	v = v.Flatten()
	runs, err := vector.Records(v)
	if err != nil {
		return nil, err
	}
	write := make([][]func([]byte, int) []byte, len(runs))
	for k, r := range runs {
		for _, col := range r.Cols {
			w, err := jsonWriter(c, col)
			if err != nil {
				return nil, err
			}
			write[k] = append(write[k], w)
		}
	}
	at := 0
	return func(dst []byte, i int) []byte {
		if v.IsNull(i) {
			return append(dst, "null"...)
		}
		for i >= runs[at].To {
			at++
		}
		for i < runs[at].From {
			at--
		}
		r := &runs[at]
		dst = append(dst, '{')
		for k, w := range write[at] {
			if k > 0 {
				dst = append(dst, sep...)
			}
			dst = append(appendJSONString(dst, r.Names[k]), ':')
			dst = w(dst, i-r.From)
		}
		return append(dst, '}')
	}, nil
}

// isoTimestamp turns the text of a timestamp into the form of ISO 8601.
func isoTimestamp(s string, zone bool) string {
	s = strings.Replace(s, " ", "T", 1)
	if i := strings.LastIndexAny(s, "+-"); zone && i > 10 && len(s) == i+3 {
		s += ":00"
	}
	return s
}

// jsonResult ends the JSON text in dst[at:]: as jsonb it is brought into normal form.
func jsonResult(t types.ID, dst []byte, at int) ([]byte, error) {
	if t != types.JSONB {
		return dst, nil
	}
	text := append([]byte(nil), dst[at:]...)
	return types.AppendJSONB(dst[:at], text)
}

// jsonRows makes a function, called on NULLs, of whole rows of its arguments.
func jsonRows(t types.ID, f func(dst []byte, write []func([]byte, int) []byte, args []*vector.Vector, i int) ([]byte, error)) EvalFunc {
	return func(c *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
		write := make([]func([]byte, int) []byte, len(args))
		for k, a := range args {
			var err error
			if write[k], err = jsonWriter(c, a); err != nil {
				return nil, err
			}
		}
		b := vector.NewBuilder(types.T(t), n)
		var buf []byte
		for i := range n {
			var err error
			if buf, err = f(buf[:0], write, args, i); err != nil {
				return nil, err
			}
			if buf, err = jsonResult(t, buf, 0); err != nil {
				return nil, err
			}
			b.AppendBytes(buf)
		}
		return b.Build(), nil
	}
}

func jsonArray(dst []byte, write []func([]byte, int) []byte, _ []*vector.Vector, i int) ([]byte, error) {
	dst = append(dst, '[')
	for k, w := range write {
		if k > 0 {
			dst = append(dst, ", "...)
		}
		dst = w(dst, i)
	}
	return append(dst, ']'), nil
}

// jsonKeys are the texts of values that are to be keys of objects.
func jsonKeys(c *Ctx, vs []*vector.Vector) ([]*vector.Vector, error) {
	for _, v := range vs {
		if isArray(v.Type) || v.Type.ID == types.Record || v.Type.ID == types.JSON || v.Type.ID == types.JSONB {
			return nil, pgerr.New(pgerr.InvalidParameterValue, "key value must be scalar, not array, composite, or json")
		}
	}
	return outputs(c, vs)
}

func jsonBuildObject(t types.ID) EvalFunc {
	return func(c *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
		if len(args)%2 != 0 {
			return nil, pgerr.New(pgerr.InvalidParameterValue, "argument list must have even number of elements").
				WithHint("The arguments of %s_build_object() must consist of alternating keys and values.", types.T(t))
		}
		keys := make([]*vector.Vector, len(args)/2)
		for k := range keys {
			keys[k] = args[2*k]
		}
		keys, err := jsonKeys(c, keys)
		if err != nil {
			return nil, err
		}
		return jsonRows(t, func(dst []byte, write []func([]byte, int) []byte, _ []*vector.Vector, i int) ([]byte, error) {
			dst = append(dst, '{')
			for k, key := range keys {
				if key.IsNull(i) {
					e := pgerr.New(pgerr.InvalidParameterValue, "argument %d cannot be null", 2*k+1).WithHint("Object keys should be text.")
					if t == types.JSONB {
						e = pgerr.New(pgerr.InvalidParameterValue, "argument %d: key must not be null", 2*k+1)
					}
					return nil, e
				}
				if k > 0 {
					dst = append(dst, ", "...)
				}
				dst = append(appendJSONString(dst, key.StringAt(i)), " : "...)
				dst = write[2*k+1](dst, i)
			}
			return append(dst, '}'), nil
		})(c, args, n)
	}
}

// toJSON is to_json and to_jsonb; NULL rows come out as null and are NULL by strictness.
func toJSON(t types.ID) EvalFunc {
	return jsonRows(t, func(dst []byte, write []func([]byte, int) []byte, _ []*vector.Vector, i int) ([]byte, error) {
		return write[0](dst, i), nil
	})
}

// prettyJSON is row_to_json and array_to_json with their second argument.
func prettyJSON(writer func(c *Ctx, v *vector.Vector, sep string) (func([]byte, int) []byte, error)) EvalFunc {
	return func(c *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
		v := args[0].Flatten()
		plain, err := writer(c, v, ",")
		if err != nil {
			return nil, err
		}
		pretty, err := writer(c, v, ",\n ")
		if err != nil {
			return nil, err
		}
		b := vector.NewBuilder(types.T(types.JSON), n)
		var buf []byte
		for i := range n {
			w := plain
			if len(args) > 1 && !args[1].IsNull(i) && vector.At[bool](args[1], i) {
				w = pretty
			}
			at := i
			if v.Len == 1 {
				at = 0
			}
			buf = w(buf[:0], at)
			b.AppendBytes(buf)
		}
		return b.Build(), nil
	}
}

// jsonObjectOf makes json(b)_object of an array of keys and values, or of one of each.
func jsonObjectOf(t types.ID) EvalFunc {
	return toBytes(t, func(dst []byte, r *row) ([]byte, error) {
		at := len(dst)
		from, to := r.args[0].ListAt(r.i)
		keys, vals := r.args[0].Child, r.args[0].Child
		n, key, val := (to-from)/2, func(i int) int { return from + 2*i }, func(i int) int { return from + 2*i + 1 }
		if len(r.args) > 1 {
			vf, vt := r.args[1].ListAt(r.i)
			if vt-vf != to-from {
				return nil, pgerr.New(pgerr.ArraySubscriptError, "mismatched array dimensions")
			}
			vals, n = r.args[1].Child, to-from
			key, val = func(i int) int { return from + i }, func(i int) int { return vf + i }
		} else if (to-from)%2 != 0 {
			return nil, pgerr.New(pgerr.ArraySubscriptError, "array must have even number of elements")
		}
		dst = append(dst, '{')
		for i := range n {
			if keys.IsNull(key(i)) {
				return nil, pgerr.New(pgerr.NullValueNotAllowed, "null value not allowed for object key")
			}
			if i > 0 {
				dst = append(dst, ", "...)
			}
			dst = append(appendJSONString(dst, keys.StringAt(key(i))), " : "...)
			if vals.IsNull(val(i)) {
				dst = append(dst, "null"...)
			} else {
				dst = appendJSONString(dst, vals.StringAt(val(i)))
			}
		}
		return jsonResult(t, append(dst, '}'), at)
	})
}

// registerJSON registers what makes JSON of values, and what reads it.
func registerJSON(r *registry) {
	for _, t := range []types.ID{types.JSON, types.JSONB} {
		n := types.T(t).String()
		r.scalar(n+"_build_object(variadic any) "+n, jsonBuildObject(t), called, stable, doc("build a "+n+" object from pairwise key/value inputs"))
		r.scalar(n+"_build_object() "+n, jsonBuildObject(t), called, stable, doc("build an empty "+n+" object"))
		r.scalar(n+"_build_array(variadic any) "+n, jsonRows(t, jsonArray), called, stable, doc("build a "+n+" array from any inputs"))
		r.scalar(n+"_build_array() "+n, jsonRows(t, jsonArray), called, stable, doc("build an empty "+n+" array"))
		r.scalar("to_"+n+"(anyelement) "+n, toJSON(t), stable, doc("map input to "+n))
		r.scalar(n+"_object(text[]) "+n, jsonObjectOf(t), doc("map text array of key value pairs to "+n+" object"))
		r.scalar(n+"_object(text[],text[]) "+n, jsonObjectOf(t), doc("map text arrays of keys and values to "+n+" object"))
	}
	r.scalar("row_to_json(record) json", prettyJSON(jsonRecordWriter), stable, doc("map row to json"))
	r.scalar("row_to_json(record,bool) json", prettyJSON(jsonRecordWriter), stable, doc("map row to json with optional pretty printing"))
	r.scalar("array_to_json(anyarray) json", prettyJSON(jsonListWriter), stable, doc("map array to json"))
	r.scalar("array_to_json(anyarray,bool) json", prettyJSON(jsonListWriter), stable, doc("map array to json with optional pretty printing"))
	registerJSONAccess(r)
	registerJSONBOps(r)
	registerJSONSets(r)
	registerJSONAggregates(r)
	registerJSONPath(r)
	registerRecords(r)
	registerUserTypes(r)
}
