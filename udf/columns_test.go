package udf

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/udf/sdk/wire"
	"github.com/volleydb/volley/vector"
)

var nested = types.RowOf([]types.RowField{{Name: "a", Type: types.T(types.Bool)}, {Name: "b", Type: types.ArrayOf(types.Text)}})

// decodedTypes are what FuzzCopyOut reads columns as.
var decodedTypes = []types.Type{
	types.T(types.Bool), types.T(types.Int4), types.T(types.Numeric), types.T(types.Interval), types.T(types.UUID), types.T(types.Text),
	types.T(types.JSONB), types.T(types.JSON), types.T(types.Date), types.T(types.Timestamptz), types.T(types.Time),
	types.ArrayOf(types.Text), types.ArrayOf(types.Numeric), nested, types.ListOf(nested),
}

// encoded returns a batch message and a slot that hold v.
func encoded(t testing.TB, v *vector.Vector) (msg, mem []byte) {
	t.Helper()
	in, err := inCols(nil, []*vector.Vector{v}, nil, 0, v.Len)
	if err != nil {
		t.Fatal(err)
	}
	var m wire.BatchMsg
	mem = make([]byte, layoutIn(&m, in, v.Len, 0))
	copyIn(mem, &m, in, nil)
	return m.Append(nil), mem
}

// samples are columns of decodedTypes.
func samples(t testing.TB) []*vector.Vector {
	text := func(typ types.Type, vals ...string) *vector.Vector {
		b := vector.NewBuilder(typ, len(vals))
		for _, s := range vals {
			if s == "NULL" {
				b.AppendNull()
			} else if err := vector.ParseText(b, []byte(s), &types.TextOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		return b.Build()
	}
	rec, err := vector.MakeRecords(nested, []string{"a", "b"}, []*vector.Vector{text(types.T(types.Bool), "t", "NULL", "f"), text(types.ArrayOf(types.Text), "{a,NULL}", "NULL", "{}")}, 3)
	if err != nil {
		t.Fatal(err)
	}
	rec = nulls(rec, 1)
	return []*vector.Vector{
		text(types.T(types.Bool), "t", "NULL"), text(types.T(types.Int4), "1", "2", "3"), text(types.T(types.Numeric), "1.50", "NaN", "NULL"),
		text(types.T(types.Interval), "1 mon"), text(types.T(types.UUID), "00112233-4455-6677-8899-aabbccddeeff", "NULL"), text(types.T(types.Text), "é", "", "NULL"),
		text(types.T(types.JSONB), `{"a": [1]}`, "NULL"), text(types.T(types.JSON), "[1 ]"), text(types.T(types.Date), "infinity", "2024-01-01"),
		text(types.T(types.Timestamptz), "2024-01-01 00:00:00+00"), text(types.T(types.Time), "24:00:00"),
		text(types.ArrayOf(types.Text), "{a,NULL,é}", "NULL", "{}"), text(types.ArrayOf(types.Numeric), "{1.5,NULL}", "{NaN}"), rec,
		vector.FromList(types.ListOf(nested), []int32{0, 2, 2, 3}, rec),
	}
}

// What goes into a slot comes out of it.
func TestColumnsRoundTrip(t *testing.T) {
	for _, v := range samples(t) {
		msg, mem := encoded(t, v)
		var m wire.BatchMsg
		if err := m.Parse(msg); err != nil {
			t.Fatal(err)
		}
		got, err := copyOut(mem, &m.Cols[0], int(m.Rows), v.Type)
		if err != nil {
			t.Errorf("%s: %v", v.Type, err)
			continue
		}
		if g, w := rowsText(got), rowsText(v); g != w {
			t.Errorf("%s: %s, want %s", v.Type, g, w)
		}
	}
}

func rowsText(v *vector.Vector) string {
	s := ""
	for i := range v.Len {
		if v.IsNull(i) {
			s += "NULL "
		} else {
			s += fmt.Sprintf("%s ", vector.AppendText(nil, v, i, &types.TextOptions{}))
		}
	}
	return s
}

// FuzzCopyOut damages frames and slots: what a plugin may do. A column that is taken
// must be one that the engine can print.
func FuzzCopyOut(f *testing.F) {
	for _, v := range samples(f) {
		msg, mem := encoded(f, v)
		f.Add(msg, mem)
	}
	f.Fuzz(decodeDamaged)
}

func decodeDamaged(t *testing.T, msg, slot []byte) {
	var m wire.BatchMsg
	if m.Parse(msg) != nil || len(slot) > 1<<16 {
		return
	}
	mem := make([]byte, wire.Align(len(slot)+8)) // aligned, as slots are
	copy(mem, slot)
	for i := range m.Cols {
		for _, typ := range decodedTypes {
			v, err := copyOut(mem, &m.Cols[i], int(m.Rows), typ)
			if err != nil {
				continue
			}
			if v.Len != int(m.Rows) {
				t.Fatalf("%s: %d rows, want %d", typ, v.Len, m.Rows)
			}
			rowsText(v)
		}
	}
}

// TestDamagedColumns is a short FuzzCopyOut that is the same every time.
func TestDamagedColumns(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	edges := []byte{0, 1, 2, 7, 8, 11, 12, 64, 0x7f, 0x80, 0xff}
	for _, v := range samples(t) {
		msg, mem := encoded(t, v)
		for range 3000 {
			a, b := bytes.Clone(msg), bytes.Clone(mem)
			for range 1 + r.IntN(3) {
				x := a
				if r.IntN(2) == 0 {
					x = b
				}
				x[r.IntN(len(x))] = edges[r.IntN(len(edges))]
			}
			decodeDamaged(t, a, b)
		}
	}
}

func TestTypeText(t *testing.T) {
	for _, s := range []string{"numeric", "[]float64", "struct{a int64, b string}", `[]struct{"d d" []uuid, x struct{y time}}`} {
		w, err := wire.ParseType(s)
		if err != nil || w.String() != s {
			t.Errorf("%s: %v, %v", s, w, err)
		}
	}
	for _, s := range []string{"", "int", "[]", "struct{}", "struct{a}", "struct{a int64", "int64 x", "[]int64]"} {
		if w, err := wire.ParseType(s); err == nil {
			t.Errorf("%q is %s", s, w)
		}
	}
}
