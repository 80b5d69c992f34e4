package conformance

import (
	"fmt"
	"testing"

	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// typeCase is a type of the suite with values in text form.
type typeCase struct {
	name   string
	typ    types.Type
	values []string
}

var point = types.RowOf([]types.RowField{
	{Name: "a", Type: types.T(types.Int8)}, {Name: "b", Type: types.T(types.Text)},
	{Name: "c", Type: types.ArrayOf(types.Float8)}, {Name: "d d", Type: types.T(types.Numeric)},
})

var scalarTypes = []typeCase{
	{"bool", types.T(types.Bool), []string{"t", "f"}},
	{"int16", types.T(types.Int2), []string{"0", "-32768", "32767"}},
	{"int32", types.T(types.Int4), []string{"7", "-2147483648", "2147483647"}},
	{"int64", types.T(types.Int8), []string{"7", "-9223372036854775808", "9223372036854775807"}},
	{"float32", types.T(types.Float4), []string{"0.1", "-0", "NaN", "Infinity", "1e-45"}},
	{"float64", types.T(types.Float8), []string{"0.1", "-0", "NaN", "-Infinity", "5e-324"}},
	{"numeric", types.T(types.Numeric), []string{"1.50", "-0.001", "NaN", "99999999999999999999999999999999999999", "-9223372036854775809", "0.0000000000000000000000000000000000000001", "0", "12"}},
	{"string", types.T(types.Text), []string{"", "é", "a long text that is more than sixteen bytes", " x "}},
	{"string", types.T(types.Varchar), []string{"abc", ""}},
	{"bytes", types.T(types.Bytea), []string{`\x00ff`, `\x`, `\x61`}},
	{"date", types.T(types.Date), []string{"1970-01-01", "1969-12-31", "4713-11-24 BC", "2024-02-29", "infinity", "-infinity"}},
	{"timestamp", types.T(types.Timestamp), []string{"1970-01-01 00:00:00.000001", "1969-12-31 23:59:59.999999", "0044-03-15 12:00:00 BC", "infinity"}},
	{"timestamptz", types.T(types.Timestamptz), []string{"2024-01-31 22:30:00.000005+00", "1969-12-31 23:59:59.999999+00", "-infinity"}},
	{"time", types.T(types.Date), []string{"1969-12-31", "2024-02-29"}},
	{"time", types.T(types.Timestamp), []string{"1969-12-31 23:59:59.999999"}},
	{"time", types.T(types.Timestamptz), []string{"2024-01-31 22:30:00.000005+00"}},
	{"clock", types.T(types.Time), []string{"00:00:00", "23:59:59.999999", "24:00:00"}},
	{"interval", types.T(types.Interval), []string{"1 mon -2 days 00:00:00.000003", "-1 mons", "100 years", "00:00:00"}},
	{"uuid", types.T(types.UUID), []string{"00112233-4455-6677-8899-aabbccddeeff", "00000000-0000-0000-0000-000000000000"}},
	{"json", types.T(types.JSON), []string{`{"a":  1, "a": 2}`, "null", `"é"`}},
	{"jsonb", types.T(types.JSONB), []string{`{"b": 1, "a": [1.50, null]}`, "null", "1.00"}},
	{"struct", point, nil},
}

// flat makes a column of n rows of the type's values, in turn; every nullEvery-th
// is NULL.
func (c typeCase) flat(t testing.TB, n, nullEvery int) *vector.Vector {
	isNull := func(i int) bool { return nullEvery > 0 && i%nullEvery == nullEvery-1 }
	if c.typ.ID == types.Record {
		var fields []*vector.Vector
		var names []string
		fs, _ := c.typ.RowFields()
		for k, f := range fs {
			names = append(names, f.Name)
			every := -1
			if k != 0 && k != 2 { // the others may not be NULL
				every = 2 + k
			}
			fields = append(fields, caseOf(f.Type).flat(t, n, every))
		}
		v, err := vector.MakeRecords(c.typ, names, fields, n)
		if err != nil {
			t.Fatal(err)
		}
		if nullEvery > 0 {
			valid := vector.NewValid(n)
			for i := range n {
				if isNull(i) {
					vector.SetNull(valid, i)
				}
			}
			v = v.WithValid(valid)
		}
		return v
	}
	if c.typ.ID == types.Array {
		elem := caseOf(c.typ.ElemType())
		offs := make([]int32, n+1)
		for i := range n {
			offs[i+1] = offs[i]
			if !isNull(i) {
				offs[i+1] += int32(i % 4)
			}
		}
		every := 3
		if nullEvery < 0 { // nothing is NULL, nor any element
			every = 0
		}
		v := vector.FromList(c.typ, offs, elem.flat(t, int(offs[n]), every))
		if nullEvery > 0 {
			valid := vector.NewValid(n)
			for i := range n {
				if isNull(i) {
					vector.SetNull(valid, i)
				}
			}
			v = v.WithValid(valid)
		}
		return v
	}
	b := vector.NewBuilder(c.typ, n)
	o := &types.TextOptions{}
	for i := range n {
		if isNull(i) {
			b.AppendNull()
		} else if err := vector.ParseText(b, []byte(c.values[i%len(c.values)]), o); err != nil {
			t.Fatalf("%s: %v", c.values[i%len(c.values)], err)
		}
	}
	return b.Build()
}

// caseOf finds the values of a type.
func caseOf(t types.Type) typeCase {
	if t.ID == types.Array {
		if t.ElemType().ID == types.Float8 { // fields of a Go struct of []float64
			return typeCase{name: "list_float64", typ: t}
		}
		return typeCase{typ: t}
	}
	for _, c := range scalarTypes {
		if c.typ.ID == t.ID {
			return c
		}
	}
	panic(fmt.Sprintf("conformance: no values of %s", t))
}

// list is the type of arrays of c.
func (c typeCase) list() typeCase {
	return typeCase{name: "list_" + c.name, typ: types.ListOf(c.typ)}
}

// column is a column under a name.
type column struct {
	name string
	v    *vector.Vector
}

// columns makes columns of the type in all forms.
func (c typeCase) columns(t testing.TB, short bool) []column {
	few := c.flat(t, 11, 0)
	some := c.flat(t, 23, 3)
	cols := []column{
		{"flat", few},
		{"one", c.flat(t, 1, 0)},
		{"nulls", some},
		{"all null", c.flat(t, 9, 1)},
		{"slice", vector.Slice(some, 5, 21)},
		{"const", vector.NewConst(vector.Slice(few, 2, 3), 17)},
		{"const null", vector.NewNull(c.typ, 6)},
	}
	if !short {
		cols = append(cols, column{"many", c.flat(t, 6011, 7)})
	}
	switch c.typ.Phys() {
	case types.PhysBytes:
		if c.typ.ID != types.Record {
			codes := []int32{3, 0, 0, 5, 1, 1, 2, 3, 10}
			d := vector.FromDict(c.typ, codes, few)
			valid := vector.NewValid(len(codes))
			vector.SetNull(valid, 4)
			cols = append(cols, column{"dict", d}, column{"dict with nulls", d.WithValid(valid)})
		}
	case types.PhysNumeric:
		scaled := vector.FromScaled(c.typ, []int64{150, -1, 0, 1 << 60}, 3)
		cols = append(cols, column{"scaled", scaled}, column{"scaled with nulls", scaled.WithValid([]byte{0b1101})})
	}
	return cols
}

// show prints the rows of a column.
func show(v *vector.Vector) []string {
	v = v.Flatten()
	out := make([]string, v.Len)
	write := vector.TextAppender(v.Type, &types.TextOptions{})
	for i := range out {
		out[i] = "NULL"
		if !v.IsNull(i) {
			out[i] = string(write(nil, v, i))
		}
	}
	return out
}
