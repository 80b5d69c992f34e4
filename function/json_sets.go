package function

import (
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// jsonRowsOf makes a table function of the values in a JSON document: f fills one
// builder per column.
func jsonRowsOf(cols []types.Type, f func(bs []*vector.Builder, r *row) error) func(*Ctx, []*vector.Vector) (Generator, error) {
	return func(c *Ctx, args []*vector.Vector) (Generator, error) {
		if anyNull(args) {
			return noRows{}, nil
		}
		bs := make([]*vector.Builder, len(cols))
		for k, t := range cols {
			bs[k] = vector.NewBuilder(t, 16)
		}
		if err := f(bs, &row{c: c, args: args}); err != nil {
			return nil, err
		}
		n := bs[0].Len()
		vs := make([]*vector.Vector, len(bs))
		for k, b := range bs {
			vs[k] = b.Build()
		}
		if n == 0 {
			return noRows{}, nil
		}
		return &batches{slicesOf(vs, n)}, nil
	}
}

// slicesOf cuts columns into batches.
func slicesOf(vs []*vector.Vector, n int) []*vector.Batch {
	var out []*vector.Batch
	for from := 0; from < n; from += vector.DefaultRows {
		to := min(from+vector.DefaultRows, n)
		part := make([]*vector.Vector, len(vs))
		for k, v := range vs {
			part[k] = vector.Slice(v, from, to)
		}
		out = append(out, vector.NewBatch(part, to-from))
	}
	return out
}

func appendJSONValue(b *vector.Builder, val []byte, asText bool) error {
	if !asText {
		b.AppendBytes(val)
		return nil
	}
	out, null, err := types.AppendJSONText(nil, val)
	switch {
	case err != nil:
		return err
	case null:
		b.AppendNull()
	default:
		b.AppendBytes(out)
	}
	return nil
}

func jsonElements(t types.ID, name string, asText bool) func(bs []*vector.Builder, r *row) error {
	return func(bs []*vector.Builder, r *row) error {
		s := r.bytes(0)
		kind := types.JSONKindOf(s)
		switch {
		case kind == types.JSONArray:
		case t == types.JSONB && kind == types.JSONObject:
			return errJSON("cannot extract elements from an object")
		case t == types.JSONB:
			return errJSON("cannot extract elements from a scalar")
		case kind == types.JSONObject:
			return errJSON("cannot call %s on a non-array", name)
		default:
			return errJSON("cannot call %s on a scalar", name)
		}
		for _, e := range elementsOf(s) {
			if err := appendJSONValue(bs[0], e, asText); err != nil {
				return err
			}
		}
		return nil
	}
}

func jsonEach(t types.ID, name string, asText bool) func(bs []*vector.Builder, r *row) error {
	return func(bs []*vector.Builder, r *row) error {
		s := r.bytes(0)
		if kind := types.JSONKindOf(s); kind != types.JSONObject {
			switch {
			case t == types.JSONB:
				return errJSON("cannot call %s on a non-object", name)
			case kind == types.JSONArray:
				return errJSON("cannot deconstruct an array as an object")
			}
			return errJSON("cannot deconstruct a scalar")
		}
		for _, m := range membersOf(s) {
			k, err := types.JSONUnescape(m.key)
			if err != nil {
				return err
			}
			bs[0].AppendBytes(k)
			if err := appendJSONValue(bs[1], m.val, asText); err != nil {
				return err
			}
		}
		return nil
	}
}

func jsonObjectKeys(name string) func(bs []*vector.Builder, r *row) error {
	return func(bs []*vector.Builder, r *row) error {
		s := r.bytes(0)
		switch types.JSONKindOf(s) {
		case types.JSONObject:
		case types.JSONArray:
			return errJSON("cannot call %s on an array", name)
		default:
			return errJSON("cannot call %s on a scalar", name)
		}
		for _, m := range membersOf(s) {
			k, err := types.JSONUnescape(m.key)
			if err != nil {
				return err
			}
			bs[0].AppendBytes(k)
		}
		return nil
	}
}

// jsonObjectsOf yields the elements of an array of objects, and an object itself
// where many is false: what json_to_record(set) reads its columns from.
func jsonObjectsOf(name string, many bool) func(bs []*vector.Builder, r *row) error {
	return func(bs []*vector.Builder, r *row) error {
		s := r.bytes(0)
		kind := types.JSONKindOf(s)
		if !many {
			switch kind {
			case types.JSONObject:
			case types.JSONArray:
				return errJSON("cannot call %s on an array", name)
			default:
				return errJSON("cannot call %s on a scalar", name)
			}
			bs[0].AppendBytes(s)
			return nil
		}
		switch kind {
		case types.JSONArray:
		case types.JSONObject:
			return errJSON("cannot call %s on an object", name)
		default:
			return errJSON("cannot call %s on a scalar", name)
		}
		for _, e := range elementsOf(s) {
			if types.JSONKindOf(e) != types.JSONObject {
				return errJSON("argument of %s must be an array of objects", name)
			}
			bs[0].AppendBytes(e)
		}
		return nil
	}
}

// outColumns names the columns of a table function.
func outColumns(cols ...vector.Field) option { return func(f *Function) { f.Columns = cols } }

func registerJSONSets(r *registry) {
	for _, t := range []types.ID{types.JSON, types.JSONB} {
		jt := types.T(t)
		n := jt.String()
		for _, asText := range []bool{false, true} {
			vt, suffix := jt, ""
			if asText {
				vt, suffix = textType, "_text"
			}
			name := n + "_array_elements" + suffix
			r.table(name+"("+n+") "+vt.String(), jsonRowsOf([]types.Type{vt}, jsonElements(t, name, asText)),
				outColumns(vector.Field{Name: "value", Type: vt}), doc("elements of a "+n+" array"))
			name = n + "_each" + suffix
			r.table(name+"("+n+") record", jsonRowsOf([]types.Type{textType, vt}, jsonEach(t, name, asText)),
				outColumns(vector.Field{Name: "key", Type: textType}, vector.Field{Name: "value", Type: vt}), doc("key value pairs of a "+n+" object"))
		}
		name := n + "_object_keys"
		r.table(name+"("+n+") text", jsonRowsOf([]types.Type{textType}, jsonObjectKeys(name)), doc("get "+n+" object keys"))
		for _, many := range []bool{false, true} {
			name := n + "_to_record"
			if many {
				name += "set"
			}
			r.table(name+"("+n+") "+n, jsonRowsOf([]types.Type{jt}, jsonObjectsOf(name, many)), doc("get records of a "+n+" document, with a column definition list"))
		}
	}
}

// jsonAgg collects the texts of values into a JSON array, or with two columns into
// an object. Its inputs are json: the planner puts f.Prepare around the arguments.
type jsonAgg struct {
	noClose
	collector
	t types.ID
}

func (a *jsonAgg) Update(groups []int32, args []*vector.Vector, n int) error {
	for _, v := range args {
		if v.Type.Phys() != types.PhysBytes {
			return pgerr.New(pgerr.InternalError, "a JSON aggregate of %s", v.Type)
		}
	}
	if len(args) > 1 {
		for i := range n {
			if args[0].IsNull(i) {
				return pgerr.New(pgerr.InvalidParameterValue, "field name must not be null")
			}
		}
	}
	a.add(groups, args, n, nil)
	return nil
}

func (a *jsonAgg) Merge(groups []int32, states []*vector.Vector, n int) error {
	a.merge(groups, states, n)
	return nil
}

func (a *jsonAgg) State(from, to int) ([]*vector.Vector, error) {
	var out []*vector.Vector
	for k := range a.collector.t {
		v, err := a.lists(k, types.ListOf(a.collector.t[k]), from, to)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

func (a *jsonAgg) Final(from, to int) (*vector.Vector, error) {
	if err := a.sort(); err != nil {
		return nil, err
	}
	object := len(a.collector.t) > 1
	vals := a.chunks[len(a.chunks)-1][0]
	keys := a.chunks[0][0]
	out := vector.NewBuilder(types.T(a.t), to-from)
	var buf []byte
	for g := from; g < to; g++ {
		rows := a.rows(g)
		if len(rows) == 0 {
			out.AppendNull()
			continue
		}
		open, end := "[", "]"
		if object {
			open, end = "{ ", " }"
		}
		buf = append(buf[:0], open...)
		for i, x := range rows {
			if i > 0 {
				buf = append(buf, ", "...)
			}
			if object {
				buf = append(appendJSONString(buf, keys.StringAt(int(x))), " : "...)
			}
			if vals.IsNull(int(x)) {
				buf = append(buf, "null"...)
				continue
			}
			v := vals.BytesAt(int(x))
			if len(v) > 0 && v[0] == structuredMark {
				if v = v[1:]; i > 0 && !object {
					buf = append(buf, "\n "...)
				}
			}
			buf = append(buf, v...)
		}
		buf = append(buf, end...)
		var err error
		if buf, err = jsonResult(a.t, buf, 0); err != nil {
			return nil, err
		}
		if out.Size()+int64(len(buf)) > maxBytes {
			return nil, errTooLong()
		}
		out.AppendBytes(buf)
	}
	return out.Build(), nil
}

// structuredMark stands before the text of a composite value or an array, which
// json_agg writes on a line of its own.
const structuredMark = 1

// jsonItem makes the texts that the JSON aggregates collect.
func jsonItem(c *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
	v := args[0]
	write, err := jsonWriter(c, v)
	if err != nil {
		return nil, err
	}
	mark := isArray(v.Type) || v.Type.ID == types.Record
	b := vector.NewBuilder(textType, n)
	var buf []byte
	for i := range n {
		if v.IsNull(i) {
			b.AppendNull()
			continue
		}
		buf = buf[:0]
		if mark {
			buf = append(buf, structuredMark)
		}
		buf = write(buf, i)
		b.AppendBytes(buf)
	}
	return b.Build(), nil
}

// jsonKey makes the texts of keys for json_object_agg.
func jsonKey(c *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
	out, err := jsonKeys(c, args)
	if err != nil {
		return nil, err
	}
	return out[0], nil
}

func registerJSONAggregates(r *registry) {
	r.scalar("volley_json_item(any) text", jsonItem, called, stable)
	r.scalar("volley_json_key(any) text", jsonKey, called, stable)
	for _, t := range []types.ID{types.JSON, types.JSONB} {
		n := types.T(t).String()
		list := types.ArrayOf(types.Text)
		r.aggregate(n+"_agg(anyelement) "+n, func([]types.Type) Aggregator {
			return &jsonAgg{collector: newCollector(textType), t: t}
		}, func([]types.Type) []types.Type { return []types.Type{list} }, doc("aggregate input into "+n),
			prepared("volley_json_item"), stable)
		r.aggregate(n+"_object_agg(any,any) "+n, func([]types.Type) Aggregator {
			return &jsonAgg{collector: newCollector(textType, textType), t: t}
		}, func([]types.Type) []types.Type { return []types.Type{list, list} }, doc("aggregate input into a "+n+" object"),
			prepared("volley_json_key", "volley_json_item"), stable)
	}
}

// prepared names functions that the planner puts around an aggregate's arguments.
func prepared(names ...string) option { return func(f *Function) { f.Prepare = names } }
