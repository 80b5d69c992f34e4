package function

import (
	"strings"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// appendJSONString appends s as a JSON string.
func appendJSONString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\f':
			dst = append(dst, '\\', 'f')
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			if c < ' ' {
				dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			} else {
				dst = append(dst, c)
			}
		}
	}
	return append(dst, '"')
}

// jsonWriter returns a function that appends row i of v as JSON.
func jsonWriter(c *Ctx, v *vector.Vector) (func(dst []byte, i int) []byte, error) {
	if isArray(v.Type) {
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
					dst = append(dst, ',')
				}
				dst = elem(dst, e)
			}
			return append(dst, ']')
		}, nil
	}
	text, err := castVector(c, v, textType, true)
	if err != nil {
		return nil, err
	}
	if text.Form == vector.Dict {
		text = text.Flatten()
	}
	t := v.Type
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

// isoTimestamp turns the text of a timestamp into the form of ISO 8601.
func isoTimestamp(s string, zone bool) string {
	s = strings.Replace(s, " ", "T", 1)
	if i := strings.LastIndexAny(s, "+-"); zone && i > 10 && len(s) == i+3 {
		s += ":00"
	}
	return s
}

// jsonRows makes a function of whole rows of its arguments.
func jsonRows(f func(dst []byte, write []func([]byte, int) []byte, args []*vector.Vector, i int) ([]byte, error)) EvalFunc {
	return func(c *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
		write := make([]func([]byte, int) []byte, len(args))
		for k, a := range args {
			var err error
			if write[k], err = jsonWriter(c, a); err != nil {
				return nil, err
			}
		}
		b := vector.NewBuilder(types.T(types.JSON), n)
		var buf []byte
		for i := range n {
			var err error
			if buf, err = f(buf[:0], write, args, i); err != nil {
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

func jsonBuildObject(c *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
	if len(args)%2 != 0 {
		return nil, pgerr.New(pgerr.InvalidParameterValue, "argument list must have even number of elements").
			WithHint("The arguments of json_build_object() must consist of alternating keys and values.")
	}
	keys := make([]*vector.Vector, len(args)/2)
	for k := range keys {
		keys[k] = args[2*k]
	}
	keys, err := outputs(c, keys)
	if err != nil {
		return nil, err
	}
	return jsonRows(func(dst []byte, write []func([]byte, int) []byte, _ []*vector.Vector, i int) ([]byte, error) {
		dst = append(dst, '{')
		for k, key := range keys {
			if key.IsNull(i) {
				return nil, pgerr.New(pgerr.InvalidParameterValue, "argument %d cannot be null", 2*k+1).WithHint("Object keys should be text.")
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

// registerJSON registers what makes JSON of values: drivers' catalog queries
// want it. There are no operators on JSON.
func registerJSON(r *registry) {
	r.scalar("json_build_object(variadic any) json", jsonBuildObject, called, stable, doc("build a json object from pairwise key/value inputs"))
	r.scalar("json_build_array(variadic any) json", jsonRows(jsonArray), called, stable, doc("build a json array from any inputs"))
	r.scalar("to_json(anyelement) json", jsonRows(func(dst []byte, write []func([]byte, int) []byte, _ []*vector.Vector, i int) ([]byte, error) {
		return write[0](dst, i), nil
	}), stable, doc("map input to json"))
}
