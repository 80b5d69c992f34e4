package pgwire

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// TestRowEncoderAgrees compares the column-specialised cells with the plain
// functions of package vector, for every type, form, NULL pattern and format.
func TestRowEncoderAgrees(t *testing.T) {
	for _, e := range everyType {
		if e.v.Type.ID == types.Regclass {
			continue
		}
		forms := map[string]*vector.Vector{
			"as is":    e.v,
			"nulls":    e.v.Flatten().WithValid([]byte{2}),
			"all null": vector.NewNull(e.v.Type, 2),
			"const":    vector.NewConst(vector.Slice(e.v.Flatten(), 0, 1), 2),
			"empty":    vector.New(e.v.Type, 0),
			"slice":    vector.Slice(e.v, 1, 2),
		}
		if e.v.Type.Phys() == types.PhysBytes {
			forms["dict"] = vector.FromDict(e.v.Type, []int32{0, 0}, vector.Slice(e.v.Flatten(), 0, 1)).WithValid([]byte{1})
		}
		if e.v.Type.ID == types.UUID { // its second value is not one
			delete(forms, "slice")
			forms["as is"], forms["nulls"] = e.v.WithValid([]byte{1}), e.v.WithValid([]byte{1})
		}
		for name, v := range forms {
			for _, format := range []int16{0, 1} {
				enc, err := newRowEncoder([]vector.Field{{Name: "x", Type: v.Type}}, formats{format}, nil, nil)
				if err != nil {
					t.Fatal(err)
				}
				enc.bind(vector.NewBatch([]*vector.Vector{v}, v.Len))
				got, n, err := enc.appendRows(nil, 0, v.Len, 1<<20)
				if err != nil || n != v.Len {
					t.Fatalf("%d rows, %v", n, err)
				}
				var want []byte
				for i := range v.Len {
					var val []byte
					if format == 0 {
						val = vector.AppendText(nil, v.Flatten(), i, nil)
					} else {
						val = vector.AppendBinary(nil, v.Flatten(), i)
					}
					size := uint32(len(val))
					if v.IsNull(i) {
						val, size = nil, 0xffffffff
					}
					want = append(want, 'D')
					want = binary.BigEndian.AppendUint32(want, uint32(4+2+4+len(val)))
					want = binary.BigEndian.AppendUint32(append(want, 0, 1), size)
					want = append(want, val...)
				}
				if string(got) != string(want) {
					t.Errorf("%s, %s, format %d:\n got %q\nwant %q", e.name, name, format, got, want)
				}
			}
		}
	}
}

// TestRowEncoderStops checks the size limit: whole rows, none twice.
func TestRowEncoderStops(t *testing.T) {
	vals := make([]int64, 1000)
	for i := range vals {
		vals[i] = int64(i)
	}
	enc, err := newRowEncoder([]vector.Field{field("n", types.T(types.Int8))}, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	enc.bind(vector.NewBatch([]*vector.Vector{vector.FromSlice(types.T(types.Int8), vals)}, len(vals)))
	all, _, _ := enc.appendRows(nil, 0, len(vals), 1<<20)
	var pieces []byte
	for i := 0; i < len(vals); {
		var piece []byte
		from := i
		piece, i, _ = enc.appendRows(nil, i, len(vals), 100)
		if i == from || len(piece) > 100+20 {
			t.Fatalf("%d bytes, rows %d to %d", len(piece), from, i)
		}
		pieces = append(pieces, piece...)
	}
	if string(all) != string(pieces) {
		t.Error("the pieces are not the whole")
	}
}

func TestRowEncoderAllocates(t *testing.T) {
	enc, _ := newRowEncoder([]vector.Field{field("a", types.T(types.Int8)), field("b", types.T(types.Float8)), field("c", types.T(types.Text)), field("d", types.T(types.Timestamptz))}, nil, nil, nil)
	b := benchBatch(1000)
	enc.bind(vector.NewBatch([]*vector.Vector{b["int8"], b["float8"], b["text"], b["timestamptz"]}, 1000))
	buf := make([]byte, 0, 1<<20)
	if n := testing.AllocsPerRun(10, func() { buf, _, _ = enc.appendRows(buf[:0], 0, 1000, 1<<30) }); n != 0 {
		t.Errorf("%v allocations for 1,000 rows", n)
	}
}

func benchBatch(n int) map[string]*vector.Vector {
	r := rand.New(rand.NewPCG(1, 2))
	i8, f8, ts, txt := make([]int64, n), make([]float64, n), make([]int64, n), make([]string, n)
	num := make([]types.Decimal, n)
	for i := range n {
		i8[i] = r.Int64N(1 << 40)
		f8[i] = r.NormFloat64() * 1000
		ts[i] = 1_600_000_000_000_000 + r.Int64N(1e15)
		txt[i] = fmt.Sprintf("value %08d", r.IntN(1e8))
		num[i] = types.Decimal{Lo: r.Uint64N(1e10), Scale: 2}
	}
	return map[string]*vector.Vector{
		"int8": vector.FromSlice(types.T(types.Int8), i8), "float8": vector.FromSlice(types.T(types.Float8), f8),
		"text": vector.FromStrings(types.T(types.Text), txt), "timestamptz": vector.FromSlice(types.T(types.Timestamptz), ts),
		"numeric": vector.FromSlice(types.T(types.Numeric), num),
		"null":    vector.FromSlice(types.T(types.Int8), i8).WithValid(make([]byte, (n+7)/8)),
	}
}

// BenchmarkEncode encodes a million rows per iteration, in batches, and reports ns per value.
func BenchmarkEncode(b *testing.B) {
	const rows = 1_000_000
	cols := benchBatch(vector.DefaultRows)
	for _, set := range [][]string{{"int8"}, {"float8"}, {"text"}, {"timestamptz"}, {"numeric"}, {"null"}, {"int8", "float8", "text"}} {
		for _, format := range []int16{0, 1} {
			b.Run(fmt.Sprintf("%v/%s", set, [...]string{"text", "binary"}[format]), func(b *testing.B) {
				var fields []vector.Field
				var vs []*vector.Vector
				for _, name := range set {
					fields, vs = append(fields, field(name, cols[name].Type)), append(vs, cols[name])
				}
				enc, err := newRowEncoder(fields, formats{format}, nil, nil)
				if err != nil {
					b.Fatal(err)
				}
				batch := vector.NewBatch(vs, vector.DefaultRows)
				buf := make([]byte, 0, 2*flushSize)
				for b.Loop() {
					for at := 0; at < rows; at += vector.DefaultRows {
						enc.bind(batch)
						for i, n := 0, min(vector.DefaultRows, rows-at); i < n; {
							buf, i, _ = enc.appendRows(buf[:0], i, n, flushSize)
						}
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows/float64(len(set)), "ns/value")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

// BenchmarkServe reads an endless int8 column over loopback TCP, 16 Ki rows a step.
func BenchmarkServe(b *testing.B) {
	_, addr := serverFor(b, newEngine(), nil)
	for _, format := range []int16{0, 1} {
		b.Run([...]string{"text", "binary"}[format], func(b *testing.B) {
			c := connect(b, addr)
			_ = c.nc.SetDeadline(time.Time{})
			c.send(parseMsg("", "select n from big"), bindMsg("", "", nil, format), executeMsg("", 0), sync_)
			step := int64(vector.DefaultRows * (5 + 2 + 4 + 8))
			if format == 0 {
				step = vector.DefaultRows * (5 + 2 + 4 + 1)
			}
			for b.Loop() {
				if _, err := io.CopyN(io.Discard, c.nc, step); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/vector.DefaultRows, "ns/row")
			b.ReportMetric(0, "ns/op")
			_ = c.nc.Close()
		})
	}
}
