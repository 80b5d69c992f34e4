package function

import (
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// RowFunction and FieldFunction are the internal functions behind ROW(…) and
// (expr).field. The first argument of a row is a text[] of the fields' names; those
// of a field are the record, the field's number from 0, and a NULL of its type.
const (
	RowFunction   = "volley_row"
	FieldFunction = "volley_field"
)

func makeRow(_ *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
	from, to := args[0].ListAt(0)
	if to-from != len(args)-1 {
		return nil, pgerr.New(pgerr.InvalidParameterValue, "%s needs a name for every field", RowFunction)
	}
	names := make([]string, 0, to-from)
	fields := make([]types.RowField, 0, to-from)
	for e := from; e < to; e++ {
		names = append(names, string(args[0].Child.Flatten().BytesAt(e)))
		fields = append(fields, types.RowField{Name: names[e-from], Type: args[1+e-from].Type})
	}
	return vector.MakeRecords(types.RowOf(fields), names, args[1:], n)
}

func rowType(args []types.Type) types.Type { return types.T(types.Record) }

// field selects a field. Where records of one column differ, one that lacks the
// field, or has another type there, is an error.
func fieldOf(_ *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
	t := args[2].Type
	k := int(vector.At[int32](args[1], 0))
	v := args[0].Flatten()
	runs, err := vector.Records(v)
	if err != nil {
		return nil, err
	}
	if len(runs) == 0 {
		return vector.New(t, 0), nil
	}
	var parts []*vector.Vector
	for _, r := range runs {
		switch {
		case r.Cols == nil && r.Types == nil:
			parts = append(parts, vector.NewNull(t, r.To-r.From).Flatten())
		case k < 0 || k >= len(r.Types):
			return nil, pgerr.New(pgerr.DatatypeMismatch, "record has %d fields where more are expected", len(r.Types))
		case !r.Types[k].Same(t):
			return nil, pgerr.New(pgerr.DatatypeMismatch, "field %q of the record is of type %s where %s is expected", r.Names[k], r.Types[k], t)
		default:
			parts = append(parts, r.Cols[k])
		}
	}
	out := parts[0]
	if len(parts) > 1 {
		out = vector.Concat(parts)
	}
	if out = out.Retype(t); out.Len == 1 && n != 1 {
		return vector.NewConst(out, n), nil
	}
	return out, nil
}

// compareRecords checks, where it differs from the row before, that two records
// may be compared, as Postgres does.
func compareRecords(k CompareKind) EvalFunc {
	return func(_ *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
		a, b := args[0], args[1]
		for i := range n {
			if a.IsNull(i) || b.IsNull(i) {
				continue
			}
			x, err := vector.RecordShapeOf(a.BytesAt(i))
			if err != nil {
				return nil, err
			}
			y, err := vector.RecordShapeOf(b.BytesAt(i))
			if err != nil {
				return nil, err
			}
			for c := 0; c < len(x.Types) && c < len(y.Types); c++ {
				if !x.Types[c].Same(y.Types[c]) {
					return nil, pgerr.New(pgerr.DatatypeMismatch, "cannot compare dissimilar column types %s and %s at record column %d", x.Types[c], y.Types[c], c+1)
				}
				if comparer(x.Types[c]) == nil {
					if k == EQ || k == NE {
						return nil, pgerr.New(pgerr.UndefinedFunction, "could not identify an equality operator for type %s", x.Types[c])
					}
					return nil, errNoOrder(x.Types[c])
				}
			}
			if len(x.Types) != len(y.Types) {
				return nil, pgerr.New(pgerr.DatatypeMismatch, "cannot compare record types with different numbers of columns")
			}
		}
		return compareRows(k, a, b, n)
	}
}

// rowIsNull is IS NULL of a record, and IS NOT NULL with the second argument true:
// true of all its fields.
func rowIsNull(_ *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
	v := args[0].Flatten()
	runs, err := vector.Records(v)
	if err != nil {
		return nil, err
	}
	out := vector.New(types.T(types.Bool), v.Len)
	res := vector.Values[bool](out)
	not := vector.At[bool](args[1], 0)
	for _, r := range runs {
		for i := r.From; i < r.To; i++ {
			if v.IsNull(i) {
				res[i] = !not
				continue
			}
			res[i] = true
			for _, c := range r.Cols {
				res[i] = res[i] && c.IsNull(i-r.From) != not
			}
		}
	}
	if v.Len == 1 && n != 1 {
		return vector.NewConst(out, n), nil
	}
	return out, nil
}

func registerRecords(r *registry) {
	f := r.scalar(RowFunction+"(text[],variadic any) record", makeRow, called)
	f.ReturnType = rowType
	f = r.scalar(FieldFunction+"(record,int4,any) any", fieldOf, called)
	f.ReturnType = func(args []types.Type) types.Type { return args[2] }
	r.scalar("volley_row_null(record,bool) bool", rowIsNull, called)
	for op, sym := range compareNames {
		r.op(sym+"(record,record) bool", compareRecords(CompareKind(op)))
	}
}
