package vector

import (
	"bytes"
	"encoding/hex"
	"math"
	"testing"
	"time"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
)

// codecTypes are the types with a codec, and a text of each that is its normal form.
var codecTypes = []struct {
	t     types.Type
	texts []string
	wire  string // the first text as Postgres 15 sends it, in hex
}{
	{types.T(types.Bool), []string{"t", "f"}, "01"},
	{types.T(types.Int2), []string{"-32768", "32767"}, "8000"},
	{types.T(types.Int4), []string{"-5", "2147483647"}, "fffffffb"},
	{types.T(types.Int8), []string{"9223372036854775807", "-1"}, "7fffffffffffffff"},
	{types.T(types.Float4), []string{"1.5", "NaN", "-Infinity", "1e+10"}, "3fc00000"},
	{types.T(types.Float8), []string{"-0.1", "NaN", "Infinity", "1e+300"}, "bfb999999999999a"},
	{types.T(types.Numeric), []string{"-12345.6789", "NaN", "0.00", "99999999999999999999999999999999999999"}, "0003000140000004000109291a85"},
	{types.T(types.Text), []string{"häuser", ""}, "68c3a475736572"},
	{types.T(types.Varchar), []string{"a b"}, "612062"},
	{types.T(types.Bpchar), []string{"ab  "}, "61622020"},
	{types.T(types.Name), []string{"pg_class"}, "70675f636c617373"},
	{types.T(types.Char), []string{"r", ""}, "72"},
	{types.T(types.Unknown), []string{"x"}, "78"},
	{types.T(types.Bytea), []string{`\x00ff5c`, `\x`}, "00ff5c"},
	{types.T(types.Date), []string{"2024-01-31", "infinity", "-infinity", "0044-03-15 BC"}, "0000225c"},
	{types.T(types.Time), []string{"10:20:30.5", "24:00:00"}, "00000008ab1c58a0"},
	{types.T(types.Timestamp), []string{"2024-01-31 10:20:30.5", "infinity", "-infinity"}, "0002b339ff42d8a0"},
	{types.T(types.Timestamptz), []string{"2024-01-31 10:20:30.5+00"}, "0002b339ff42d8a0"},
	{types.T(types.Interval), []string{"1 year 2 mons 3 days 04:05:06.5", "-1 days", "00:00:00"}, "000000036c9361a0000000030000000e"},
	{types.T(types.UUID), []string{"00112233-4455-6677-8899-aabbccddeeff"}, "00112233445566778899aabbccddeeff"},
	{types.T(types.JSON), []string{`{"b":1,  "a":2}`}, "7b2262223a312c20202261223a327d"},
	{types.T(types.JSONB), []string{`{"a": 2, "b": 1}`}, "017b2261223a20322c202262223a20317d"},
	{types.T(types.OID), []string{"4294967295", "0"}, "ffffffff"},
	{types.T(types.Regclass), []string{"1259"}, "000004eb"},
	{types.T(types.Regprocedure), []string{"1259"}, "000004eb"},
	{types.ArrayOf(types.Int4), []string{"{1,NULL,3}", "{}"},
		"00000001000000010000001700000003000000010000000400000001ffffffff0000000400000003"},
	{types.ArrayOf(types.Text), []string{`{a,NULL,"","b c","NULL","q\"\\"}`},
		"00000001000000010000001900000006000000010000000161ffffffff0000000000000003622063000000044e554c4c0000000371225c"},
	{types.ArrayOf(types.Timestamp), []string{`{"2024-01-31 10:20:30","infinity"}`}, ""},
	{types.ArrayOf(types.Numeric), []string{"{1.50,NaN}"}, ""},
	{types.ArrayOf(types.Interval), []string{`{"1 day","04:05:06"}`}, ""},
	{types.ArrayOf(types.Bool), []string{"{t,f}"}, ""},
	{types.T(types.Int2Vector), []string{"1 2 3", ""}, "0000000100000000000000150000000300000000000000020001000000020002000000020003"},
	{types.T(types.OIDVector), []string{"", "23 25"}, "00000001000000000000001a0000000000000000"},
}

// Every value survives text and wire form, alone and after others, also from a
// Const vector; what Postgres sends is sent.
func TestCodecRoundTrip(t *testing.T) {
	for _, c := range codecTypes {
		b, bin := NewBuilder(c.t, 0), NewBuilder(c.t, 0)
		for _, s := range c.texts {
			if err := ParseText(b, []byte(s), nil); err != nil {
				t.Fatalf("%s %q: %v", c.t, s, err)
			}
			b.AppendNull()
		}
		v := b.Build()
		if v.Len != 2*len(c.texts) || v.NullCount() != len(c.texts) {
			t.Fatalf("%s: %d rows, %d null", c.t, v.Len, v.NullCount())
		}
		for i, s := range c.texts {
			want := s
			if c.t == types.ArrayOf(types.Timestamp) {
				want = `{"2024-01-31 10:20:30",infinity}`
			}
			if c.t == types.ArrayOf(types.Interval) {
				want = `{"1 day",04:05:06}`
			}
			if got := AppendText(nil, v, 2*i, nil); string(got) != want {
				t.Errorf("%s %q prints as %q", c.t, s, got)
			}
			wire := AppendBinary(nil, v, 2*i)
			if i == 0 && c.wire != "" && hex.EncodeToString(wire) != c.wire {
				t.Errorf("%s %q is sent as\n%x, want\n%s", c.t, s, wire, c.wire)
			}
			if err := ParseBinary(bin, wire); err != nil {
				t.Errorf("%s %q as %x: %v", c.t, s, wire, err)
				continue
			}
			one := NewConst(Slice(v, 2*i, 2*i+1), 5)
			if got := AppendText(nil, one, 3, nil); string(got) != want {
				t.Errorf("%s %q from Const prints as %q", c.t, s, got)
			}
		}
		back := bin.Build()
		for i := range c.texts {
			if got, want := AppendText(nil, back, i, nil), AppendText(nil, v, 2*i, nil); !bytes.Equal(got, want) {
				t.Errorf("%s came back from the wire as %q, want %q", c.t, got, want)
			}
		}
	}
}

func TestTextOptions(t *testing.T) {
	ny, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	o := &types.TextOptions{Location: ny, ByteaEscape: true}
	for _, c := range []struct {
		id        types.ID
		in, plain string
		out       string
	}{
		{types.Timestamptz, "2024-07-01 12:00:00", "2024-07-01 16:00:00+00", "2024-07-01 12:00:00-04"},
		{types.Float8, "0.1234567890123456789", "0.12345678901234568", "0.123456789012346"},
		{types.Float8, "1000000", "1000000", "1000000"},
		{types.Float8, "1e22", "1e+22", "1e+22"},
		{types.Float4, "0.123456789", "0.12345679", "0.123457"},
		{types.Bytea, `\x005c61ff`, `\x005c61ff`, `\000\\a\377`},
	} {
		b := NewBuilder(types.T(c.id), 0)
		if err := ParseText(b, []byte(c.in), o); err != nil {
			t.Fatal(err)
		}
		v := b.Build()
		if got := AppendText(nil, v, 0, nil); string(got) != c.plain {
			t.Errorf("%s plainly: %s, want %s", c.in, got, c.plain)
		}
		if got := AppendText(nil, v, 0, o); string(got) != c.out {
			t.Errorf("%s with options: %s, want %s", c.in, got, c.out)
		}
	}
}

// A value that is refused leaves the builder as it was.
func TestCodecErrors(t *testing.T) {
	arr := types.ArrayOf(types.Text)
	for _, c := range []struct {
		t      types.Type
		binary bool
		in     string
		code   string
	}{
		{types.T(types.Int4), false, "x", pgerr.InvalidTextRepresentation},
		{types.T(types.Int4), false, "2147483648", pgerr.NumericValueOutOfRange},
		{types.T(types.Text), false, "a\xff", pgerr.CharacterNotInRepertoire},
		{types.T(types.Text), false, "a\x00", pgerr.CharacterNotInRepertoire},
		{types.T(types.Bytea), false, `\xab0`, pgerr.InvalidParameterValue},
		{types.T(types.JSON), false, "{", pgerr.InvalidTextRepresentation},
		{types.T(types.JSONB), false, `{"a":"\u0000"}`, "22P05"},
		{types.T(types.Regclass), false, "pg_class", pgerr.FeatureNotSupported},
		{types.T(types.Record), false, "(1)", pgerr.FeatureNotSupported},
		{arr, false, `{a,b,"`, pgerr.InvalidTextRepresentation},
		{types.ArrayOf(types.Int4), false, "{1,2,x}", pgerr.InvalidTextRepresentation},
		{types.T(types.Int2Vector), false, "1 x", pgerr.InvalidTextRepresentation},
		{types.T(types.Int4), true, "\x00\x00\x01", pgerr.InvalidBinaryRepresentation},
		{types.T(types.UUID), true, "short", pgerr.InvalidBinaryRepresentation},
		{types.T(types.Text), true, "a\xff", pgerr.CharacterNotInRepertoire},
		{types.T(types.Timestamp), true, "\x7f\xff\xff\xff\xff\xff\xff\xfe", pgerr.DatetimeFieldOverflow},
		{types.T(types.Date), true, "\x7f\xff\xff\xfe", pgerr.DatetimeFieldOverflow},
		{types.T(types.Time), true, "\x7f\xff\xff\xff\xff\xff\xff\xff", pgerr.DatetimeFieldOverflow},
		{types.T(types.Numeric), true, "\x00\x01\x00\x00\x00\x00\x00\x00\x27\x10", pgerr.InvalidBinaryRepresentation},
		{types.T(types.Numeric), true, "\x00\x01\x00\x20\x00\x00\x00\x00\x00\x01", pgerr.NumericValueOutOfRange},
		{arr, true, "\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x19", pgerr.FeatureNotSupported},
		{arr, true, "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x17", pgerr.DatatypeMismatch},
		{arr, true, "\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x19\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\x00\x01a\x00\x00\x00\x09a", pgerr.InvalidBinaryRepresentation},
		{arr, true, "\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x19\x7f\xff\xff\xff\x00\x00\x00\x01", pgerr.InvalidBinaryRepresentation},
	} {
		b := NewBuilder(c.t, 0)
		b.AppendNull()
		var err error
		if c.binary {
			err = ParseBinary(b, []byte(c.in))
		} else {
			err = ParseText(b, []byte(c.in), nil)
		}
		if pgerr.Code(err) != c.code {
			t.Errorf("%s %q: %v, want %s", c.t, c.in, err, c.code)
		}
		b.AppendNull()
		v := b.Build()
		if v.Len != 2 || v.NullCount() != 2 || len(v.Bytes) != 0 || v.Child != nil && v.Child.Len != 0 {
			t.Errorf("%s %q left %d rows, %d bytes behind", c.t, c.in, v.Len, len(v.Bytes))
		}
	}
}

// The readers and printers of plain types do not allocate per value.
func TestCodecAllocations(t *testing.T) {
	buf := make([]byte, 0, 128)
	for _, c := range codecTypes {
		if c.t.Phys() == types.PhysList || c.t.ID == types.JSON || c.t.ID == types.JSONB {
			continue
		}
		parse, app := TextParser(c.t, nil), TextAppender(c.t, nil)
		b := NewBuilder(c.t, 1<<12)
		if b.bytes == nil && b.offs != nil {
			b.bytes = make([]byte, 0, 1<<20)
		}
		in := []byte(c.texts[0])
		if n := testing.AllocsPerRun(1000, func() {
			if err := parse(b, in); err != nil {
				t.Fatal(err)
			}
		}); n != 0 && c.t.ID != types.Interval {
			t.Errorf("reading %s allocates %v times", c.t, n)
		}
		v := b.Build()
		if n := testing.AllocsPerRun(1000, func() { app(buf, v, 7) }); n != 0 {
			t.Errorf("printing %s allocates %v times", c.t, n)
		}
	}
}

func FuzzBinary(f *testing.F) {
	for i, c := range codecTypes {
		b := NewBuilder(c.t, 0)
		if err := ParseText(b, []byte(c.texts[0]), nil); err != nil {
			f.Fatal(err)
		}
		f.Add(i, AppendBinary(nil, b.Build(), 0))
	}
	f.Fuzz(func(t *testing.T, i int, data []byte) {
		if i < 0 || i >= len(codecTypes) {
			return
		}
		typ := codecTypes[i].t
		b := NewBuilder(typ, 0)
		if ParseBinary(b, data) != nil {
			if b.Len() != 0 {
				t.Fatal("an error left a row")
			}
			return
		}
		v := b.Build()
		wire := AppendBinary(nil, v, 0)
		back := NewBuilder(typ, 0)
		if err := ParseBinary(back, wire); err != nil {
			t.Fatalf("%s %x is sent as %x: %v", typ, data, wire, err)
		}
		if again := AppendBinary(nil, back.Build(), 0); !bytes.Equal(again, wire) {
			t.Fatalf("%s %x is sent as %x, then %x", typ, data, wire, again)
		}
		AppendText(nil, v, 0, nil)
	})
}

func BenchmarkCodec(b *testing.B) {
	const n = 4096
	ints, floats := make([]int64, n), make([]float64, n)
	nums, stamps := make([]types.Decimal, n), make([]int64, n)
	for i := range n {
		ints[i] = int64(i) * 7919
		floats[i] = math.Sqrt(float64(i))
		nums[i] = types.NewDecimal(int64(i)*1234567, 2)
		stamps[i] = 1.7e15 + int64(i)*1234567
	}
	for _, v := range []*Vector{
		FromSlice(types.T(types.Int8), ints), FromSlice(types.T(types.Float8), floats),
		FromSlice(types.T(types.Numeric), nums), FromSlice(types.T(types.Timestamp), stamps),
	} {
		app, parse := TextAppender(v.Type, nil), TextParser(v.Type, nil)
		var texts [][]byte
		for i := range n {
			texts = append(texts, app(nil, v, i))
		}
		b.Run("append/"+v.Type.String(), func(b *testing.B) {
			buf := make([]byte, 0, 64*n)
			for b.Loop() {
				buf = buf[:0]
				for i := range n {
					buf = app(buf, v, i)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/value")
		})
		b.Run("binary/"+v.Type.String(), func(b *testing.B) {
			buf := make([]byte, 0, 64*n)
			for b.Loop() {
				buf = buf[:0]
				for i := range n {
					buf = AppendBinary(buf, v, i)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/value")
		})
		b.Run("parse/"+v.Type.String(), func(b *testing.B) {
			for b.Loop() {
				bl := NewBuilder(v.Type, n)
				for _, s := range texts {
					_ = parse(bl, s)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/value")
		})
	}
}
