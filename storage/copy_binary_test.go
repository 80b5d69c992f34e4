package storage

import (
	"bytes"
	"context"
	"testing"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// Rows survive the binary COPY format, NULLs and large values included.
func TestBinaryCopy(t *testing.T) {
	schema := []vector.Field{{Name: "a", Type: types.T(types.Int4)}, {Name: "b", Type: types.T(types.Text)}, {Name: "c", Type: types.ArrayOf(types.Float8)}}
	a, b, c := vector.NewBuilder(schema[0].Type, 3), vector.NewBuilder(schema[1].Type, 3), vector.NewBuilder(schema[2].Type, 3)
	vector.Append(a, int32(-1))
	a.AppendNull()
	vector.Append(a, int32(7))
	b.AppendString("")
	b.AppendString(string(bytes.Repeat([]byte("x"), 3<<20)))
	b.AppendNull()
	vector.Append(c.Elems(), 0.5)
	c.Elems().AppendNull()
	c.EndList()
	c.AppendNull()
	c.EndList()
	in := vector.NewBatch([]*vector.Vector{a.Build(), b.Build(), c.Build()}, 3)
	enc, err := NewBinaryCopyEncoder(schema)
	if err != nil {
		t.Fatal(err)
	}
	data := enc.Trailer(enc.AppendBatch(enc.Header(nil), in))
	r := NewBinaryCopyReader(bytes.NewReader(data), schema, "t")
	out, err := r.Next(context.Background())
	if err != nil || out.Rows() != 3 {
		t.Fatal(out, err)
	}
	for col := range schema {
		for i := range 3 {
			g, w := vector.AppendText(nil, out.Col(col), i, nil), vector.AppendText(nil, in.Col(col), i, nil)
			if out.Col(col).IsNull(i) != in.Col(col).IsNull(i) || !in.Col(col).IsNull(i) && !bytes.Equal(g, w) {
				t.Errorf("column %d, row %d: %.40q, want %.40q", col, i, g, w)
			}
		}
	}
	if out, err := r.Next(context.Background()); out != nil || err != nil {
		t.Errorf("after the end: %v, %v", out, err)
	}
	for name, bad := range map[string]struct {
		data []byte
		code string
	}{
		"nothing":            {nil, pgerr.BadCopyFileFormat},
		"another format":     {bytes.Repeat([]byte("1,2,3\n"), 10), pgerr.BadCopyFileFormat},
		"half a trailer":     {data[:len(data)-1], pgerr.BadCopyFileFormat},
		"inside a value":     {data[:len(data)/2], pgerr.BadCopyFileFormat},
		"after the trailer":  {append(bytes.Clone(data), 1), pgerr.BadCopyFileFormat},
		"too few fields":     {append(enc.Header(nil), 0, 1, 0, 0, 0, 4, 0, 0, 0, 1), pgerr.BadCopyFileFormat},
		"a negative length":  {append(enc.Header(nil), 0, 3, 0x80, 0, 0, 0), pgerr.BadCopyFileFormat},
		"a long int":         {append(enc.Header(nil), 0, 3, 0, 0, 0, 5, 0, 0, 0, 1, 2), pgerr.InvalidBinaryRepresentation},
		"a length for a lie": {append(enc.Header(nil), 0, 3, 0x3f, 0xff, 0xff, 0xff), pgerr.BadCopyFileFormat},
	} {
		if out, err := NewBinaryCopyReader(bytes.NewReader(bad.data), schema, "t").Next(context.Background()); pgerr.Code(err) != bad.code {
			t.Errorf("%s: %v, %v", name, out, err)
		}
	}
}
