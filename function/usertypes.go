package function

import (
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// UserTypes is what a CatalogLookup may know besides: the types that users made.
type UserTypes interface {
	UserType(oid uint32) (types.Type, bool)
}

// userType finds a user's type or the array of one by its OID.
func (c *Ctx) userType(oid uint32) (types.Type, bool) {
	if c == nil {
		return types.Type{}, false
	}
	if u, ok := c.Catalog.(UserTypes); ok {
		return u.UserType(oid)
	}
	return types.Type{}, false
}

// recordCastAllowed reports whether records of one row type become such of another:
// field by field. Of a type whose fields are not known nothing is known.
func recordCastAllowed(from, to types.Type, ctx CastContext) bool {
	if from == to || to.Typmod < 0 {
		return true
	}
	a, ok1 := from.RowFields()
	b, ok2 := to.RowFields()
	if !ok1 || !ok2 {
		return false
	}
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		at, bt := a[i].Type, b[i].Type
		// A literal in ROW(…) became text before it was known for what it stands.
		if !CastAllowed(at, bt, ctx) && !(at.ID == types.Text && CastAllowed(at, bt, Explicit)) {
			return false
		}
	}
	return true
}

// castRecords casts records field by field.
func castRecords(c *Ctx, v *vector.Vector, to types.Type) (*vector.Vector, error) {
	fields, ok := to.RowFields()
	if !ok || v.Type == to && !hasModifier(fields) {
		return v.Retype(to), nil
	}
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.Name
	}
	runs, err := vector.Records(v)
	if err != nil {
		return nil, err
	}
	var parts []*vector.Vector
	for _, r := range runs {
		n := r.To - r.From
		if r.Types == nil && r.Cols == nil {
			parts = append(parts, vector.NewNull(to, n).Flatten())
			continue
		}
		if len(r.Cols) != len(fields) {
			what := "Input has too many columns."
			if len(r.Cols) < len(fields) {
				what = "Input has too few columns."
			}
			return nil, pgerr.New(pgerr.CannotCoerce, "cannot cast type record to %s", to).WithDetail("%s", what)
		}
		cols := make([]*vector.Vector, len(fields))
		for k, f := range fields {
			if cols[k], err = castVector(c, r.Cols[k], f.Type, false); err != nil {
				return nil, err
			}
		}
		rows, err := vector.MakeRecords(to, names, cols, n)
		if err != nil {
			return nil, err
		}
		for i := range n {
			if v.IsNull(r.From + i) {
				if rows.Valid == nil {
					rows.Valid = vector.NewValid(n)
				}
				vector.SetNull(rows.Valid, i)
			}
		}
		parts = append(parts, rows)
	}
	if len(parts) == 1 {
		return parts[0].Retype(to), nil
	}
	return vector.Concat(parts).Retype(to), nil
}

func hasModifier(fields []types.RowField) bool {
	for _, f := range fields {
		if f.Type != f.Type.Bare() {
			return true
		}
	}
	return false
}

// enumLabels returns those of an argument's enum.
func enumLabels(t types.Type) ([]types.EnumLabel, error) {
	u, ok := t.User()
	if !ok {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "could not determine actual enum type")
	}
	return u.Labels, nil
}

func enumEnd(last bool) EvalFunc {
	return func(_ *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
		t := args[0].Type
		labels, err := enumLabels(t)
		if err != nil {
			return nil, err
		}
		if len(labels) == 0 {
			return nil, pgerr.New(pgerr.ObjectNotInPrerequisiteState, "enum %s contains no values", t)
		}
		l := labels[0]
		if last {
			l = labels[len(labels)-1]
		}
		b := l.AppendValue(nil)
		return vector.NewConst(vector.FromBytes(t, []int32{0, int32(len(b))}, b), n), nil
	}
}

// enumRange gives the labels between two, of which NULL is the end of all.
func enumRange(_ *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
	t := args[0].Type
	labels, err := enumLabels(t)
	if err != nil {
		return nil, err
	}
	b := vector.NewBuilder(types.ListOf(t), n)
	for i := range n {
		for _, l := range labels {
			v := l.AppendValue(nil)
			if len(args) == 2 && (!args[0].IsNull(i) && string(v) < string(args[0].BytesAt(i)) ||
				!args[1].IsNull(i) && string(v) > string(args[1].BytesAt(i))) {
				continue
			}
			b.Elems().AppendBytes(v)
		}
		b.EndList()
	}
	return b.Build(), nil
}

func registerUserTypes(r *registry) {
	same := func(args []types.Type) types.Type { return args[0] }
	list := func(args []types.Type) types.Type { return types.ListOf(args[0]) }
	r.scalar("enum_first(anyenum) anyenum", enumEnd(false), called, stable, doc("first value of the enum type")).ReturnType = same
	r.scalar("enum_last(anyenum) anyenum", enumEnd(true), called, stable, doc("last value of the enum type")).ReturnType = same
	r.scalar("enum_range(anyenum) anyarray", enumRange, called, stable, doc("all values of the enum type")).ReturnType = list
	r.scalar("enum_range(anyenum,anyenum) anyarray", enumRange, called, stable, doc("range of values of the enum type")).ReturnType = list
	for op, sym := range compareNames {
		k := CompareKind(op)
		r.op(sym+"(anyenum,anyenum) bool", func(_ *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
			return compareRows(k, args[0], args[1], n)
		})
	}
}

// formatType is FormatType, which knows users' types.
func (c *Ctx) formatType(oid uint32, typmod int32, given bool) string {
	if t, ok := c.userType(oid); ok {
		return t.String()
	}
	return FormatType(oid, typmod, given)
}
