package storage

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func writeFile(t testing.TB, name, content string) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(p, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return p
}

// show prints a value for comparisons: NULL, or its text.
func show(v *vector.Vector, i int) string {
	if v.IsNull(i) {
		return "NULL"
	}
	switch v.Type.Phys() {
	case types.PhysBool:
		return fmt.Sprint(vector.At[bool](v, i))
	case types.PhysInt16:
		return fmt.Sprint(vector.At[int16](v, i))
	case types.PhysInt32:
		return fmt.Sprint(vector.At[int32](v, i))
	case types.PhysInt64:
		return fmt.Sprint(vector.At[int64](v, i))
	case types.PhysFloat32:
		return fmt.Sprint(vector.At[float32](v, i))
	case types.PhysFloat64:
		return fmt.Sprint(vector.At[float64](v, i))
	case types.PhysNumeric:
		return fmt.Sprint(vector.At[types.Decimal](v, i))
	case types.PhysInterval:
		return fmt.Sprint(vector.At[types.IntervalValue](v, i))
	case types.PhysList:
		from, to := v.ListAt(i)
		var s []string
		for e := from; e < to; e++ {
			s = append(s, show(v.Child, e))
		}
		return "{" + strings.Join(s, ",") + "}"
	}
	return fmt.Sprintf("%q", v.BytesAt(i))
}

func drain(r Reader) (rows []string, err error) {
	defer r.Close()
	for {
		b, err := r.Next(context.Background())
		if err != nil || b == nil {
			return rows, err
		}
		if b.Rows() == 0 {
			return rows, fmt.Errorf("an empty batch")
		}
		for i := range b.Rows() {
			var s []string
			for c := range b.NumCols() {
				s = append(s, show(b.Col(c), i))
			}
			rows = append(rows, strings.Join(s, "|"))
		}
	}
}

func scanOf(p *CSVPlan, columns ...string) *proto.Scan {
	if columns == nil {
		for _, f := range p.Schema {
			columns = append(columns, f.Name)
		}
	}
	return &proto.Scan{Format: "csv", Columns: columns, FileSchema: ToProtoFields(p.Schema), Csv: p.Options}
}

func readPlan(p *CSVPlan, columns ...string) ([]string, error) {
	r, err := OpenScan(context.Background(), scanOf(p, columns...), p.Splits, 0)
	if err != nil {
		return nil, err
	}
	return drain(r)
}

func schemaString(fs []vector.Field) string {
	var s []string
	for _, f := range fs {
		s = append(s, f.Name+" "+f.Type.String())
	}
	return strings.Join(s, ", ")
}

func yes() *bool { b := true; return &b }
func no() *bool  { b := false; return &b }

func TestReadCSV(t *testing.T) {
	semi := "NA"
	cases := []struct {
		name, in string
		cfg      CSVConfig
		schema   string
		rows     string
	}{
		{"types", "a,b,c,d,e,f\n1,1.5,true,2024-02-29,2024-01-01 10:00:00,x\n,,,,,\n-3,2,FALSE,2024-01-01,2024-01-01,y\n", CSVConfig{},
			"a bigint, b double precision, c boolean, d date, e timestamp without time zone, f text",
			"1|1.5|true|19782|1704103200000000|\"x\"\nNULL|NULL|NULL|NULL|NULL|NULL\n-3|2|false|19723|1704067200000000|\"y\""},
		{"CRLF, byte order mark, no last newline", "\ufeffG1,G2\r\n1,\"x\"\r\n2,y", CSVConfig{}, "G1 bigint, G2 text", "1|\"x\"\n2|\"y\""},
		{"quotes", "a,b\n1,\"x, \"\"y\"\"\nz\"\n2,\"\"\n3,\n", CSVConfig{}, "a bigint, b text", "1|\"x, \\\"y\\\"\\nz\"\n2|\"\"\n3|NULL"},
		{"quoted empty value in a number column", "a,b\n\"1\",x\n\"\",y\n", CSVConfig{}, "a bigint, b text", "1|\"x\"\nNULL|\"y\""},
		{"types said", "a,b\n\"\",\"\"\n1,2\n", CSVConfig{Types: map[string]types.Type{"a": types.T(types.Text), "b": types.T(types.Int4)}}, "a text, b integer", "\"\"|NULL\n\"1\"|2"},
		{"quote inside an unquoted field", "a,b\n5\" pipe,1\n6\" pipe,2\n", CSVConfig{}, "a text, b bigint", "\"5\\\" pipe\"|1\n\"6\\\" pipe\"|2"},
		{"semicolons", "a;b\n1,5;2\n", CSVConfig{}, "a text, b bigint", "\"1,5\"|2"},
		{"tabs, no header", "1\tx\n2\ty\n", CSVConfig{}, "column1 bigint, column2 text", "1|\"x\"\n2|\"y\""},
		{"empty lines", "a,b\n\n1,2\n\r\n\n3,4\n\n", CSVConfig{}, "a bigint, b bigint", "1|2\n3|4"},
		{"one column: an empty line is NULL", "a\n1\n\n2\n", CSVConfig{}, "a bigint", "1\nNULL\n2"},
		{"skip", "# comment\nx\na,b\n1,2\n", CSVConfig{Skip: 2}, "a bigint, b bigint", "1|2"},
		{"header only", "a,b\n", CSVConfig{}, "a text, b text", ""},
		{"all text", "a,b\n1,2\n", CSVConfig{AllText: true}, "a text, b text", "\"1\"|\"2\""},
		{"leading zeros are kept", "zip\n00501\n10001\n", CSVConfig{}, "zip text", "\"00501\"\n\"10001\""},
		{"forced header and names", "1,1,\n2,3,4\n", CSVConfig{Header: yes()}, "1 bigint, 1_1 bigint, column3 bigint", "2|3|4"},
		{"text columns, header", "name,city\nann,rome\nbob,oslo\n", CSVConfig{}, "name text, city text", "\"ann\"|\"rome\"\n\"bob\"|\"oslo\""},
		{"no header said", "name,city\nann,rome\n", CSVConfig{Header: no()}, "column1 text, column2 text", "\"name\"|\"city\"\n\"ann\"|\"rome\""},
		{"null string", "a,b\nNA,x\n1,NA\n2,\"NA\"\n", CSVConfig{NullString: &semi}, "a bigint, b text", "NULL|\"x\"\n1|NULL\n2|\"NA\""},
		{"backslash escapes", "a,b\n1,\"x\\\"y,\n\\\\\"\n", CSVConfig{Escape: `\`}, "a bigint, b text", "1|\"x\\\"y,\\n\\\\\""},
		{"no quoting", "a,b\n\"x,1\n\"y,2\n", CSVConfig{Quote: "\x00"}, "a text, b bigint", "\"\\\"x\"|1\n\"\\\"y\"|2"},
		{"ignore errors", "a,b\n1,2\nx,3\n4\n5,6,7\n8,9\n", CSVConfig{IgnoreErrors: true, Types: map[string]types.Type{"A": types.T(types.Int8)}}, "a bigint, b bigint", "1|2\n8|9"},
		{"unicode", "a,b\nż,1\n日本,2\n", CSVConfig{}, "a text, b bigint", "\"ż\"|1\n\"日本\"|2"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p, err := PlanCSV(context.Background(), []string{writeFile(t, "t.csv", c.in)}, &c.cfg)
			if err != nil {
				t.Fatal(err)
			}
			if got := schemaString(p.Schema); got != c.schema {
				t.Errorf("schema %s, want %s", got, c.schema)
			}
			rows, err := readPlan(p)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(rows, "\n"); got != c.rows {
				t.Errorf("rows\n%s\nwant\n%s", got, c.rows)
			}
		})
	}
}

func TestReadCSVErrors(t *testing.T) {
	two := []vector.Field{{Name: "a", Type: types.T(types.Int8)}, {Name: "b", Type: types.T(types.Text)}}
	cases := []struct{ name, in, code, message, where string }{
		{"bad value", "a,b\n1,x\n\"\n\",y\n", "22P02", "invalid input syntax for type bigint: \"\n\"", `line 3, column "a"`},
		{"bad value after quoted newline", "a,b\n1,\"\n\n\"\nz,y\n", "22P02", `invalid input syntax for type bigint: "z"`, `line 5, column "a"`},
		{"out of range", "a,b\n99999999999999999999,x\n", "22003", `value "99999999999999999999" is out of range for type bigint`, `line 2, column "a"`},
		{"too few", "a,b\n1,x\n2\n", "22P04", `missing data for column "b"`, "line 3"},
		{"too many", "a,b\n1,x,\n", "22P04", "extra data after last expected column", "line 2"},
		{"unterminated", "a,b\n1,x\n2,\"y\n3,z\n", "22P04", "unterminated CSV quoted field", "line 3"},
		{"after quote", "a,b\n1,\"x\"y\n", "22P04", `unexpected text after the closing quote in column "b"`, "line 2"},
		{"utf8", "a,b\n1,ok\n2,\xc3\n", "22021", `invalid byte sequence for encoding "UTF8": 0xc3`, `line 3, column "b"`},
		{"nul", "a,b\n1,o\x00k\n", "22021", `invalid byte sequence for encoding "UTF8": 0x00`, `line 2, column "b"`},
		{"first of two", "a,b\n1,\xff\nx,y\n", "22021", `invalid byte sequence for encoding "UTF8": 0xff`, `line 2, column "b"`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			path := writeFile(t, "t.csv", c.in)
			p, err := PlanCSV(context.Background(), []string{path}, &CSVConfig{Columns: two, Header: yes()})
			if err == nil {
				_, err = readPlan(p)
			}
			if err == nil {
				t.Fatal("no error")
			}
			pe := pgerr.From(err)
			if pe.Code != c.code || pe.Message != c.message || pe.Where != path+", "+c.where {
				t.Errorf("%s %q %q, want %s %q %q", pe.Code, pe.Message, pe.Where, c.code, c.message, c.where)
			}
		})
	}
}

func TestInferenceIsCheckedWhileScanning(t *testing.T) {
	var b strings.Builder
	b.WriteString("id,v\n")
	for i := range 3000 {
		fmt.Fprintf(&b, "%d,%d\n", i, i)
	}
	b.WriteString("3000,abc\n")
	path := writeFile(t, "t.csv", b.String())
	p, err := PlanCSV(context.Background(), []string{path}, &CSVConfig{SampleRows: 1000})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = readPlan(p); err == nil {
		t.Fatal("no error")
	}
	pe := pgerr.From(err)
	if pe.Where != path+`, line 3002, column "v"` || !strings.Contains(pe.Hint, "all_text") {
		t.Errorf("where %q, hint %q", pe.Where, pe.Hint)
	}
	if _, err := readPlan(p, "id"); err != nil {
		t.Errorf("a column that is not read is not parsed: %v", err)
	}
}

func TestManyFiles(t *testing.T) {
	dir := t.TempDir()
	for i, s := range []string{"a,b\n1,2\n3,4\n", "a,b\n", "a,b\n5,6.5\n"} {
		os.WriteFile(filepath.Join(dir, fmt.Sprintf("f%d.csv", i)), []byte(s), 0o644)
	}
	paths, err := Glob(filepath.Join(dir, "f*.csv"))
	if err != nil || len(paths) != 3 {
		t.Fatal(paths, err)
	}
	p, err := PlanCSV(context.Background(), paths, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := scanOf(p)
	s.RowId = true
	r, _ := OpenScan(context.Background(), s, p.Splits, 0)
	rows, err := drain(r)
	if err != nil || strings.Join(rows, " ") != "1|2|0 3|4|1 5|6.5|2" || p.RowsEstimate != 3 {
		t.Error(rows, err, p.RowsEstimate)
	}
	os.WriteFile(filepath.Join(dir, "f9.csv"), []byte("a,c\n1,2\n"), 0o644)
	if _, err := PlanCSV(context.Background(), append(paths, filepath.Join(dir, "f9.csv")), nil); pgerr.Code(err) != "22P04" {
		t.Error("other columns:", err)
	}
	if _, err := Glob(filepath.Join(dir, "nix.csv")); pgerr.Code(err) != "58P01" {
		t.Error(err)
	}
	if _, err := Glob(filepath.Join(dir, "nix*.csv")); pgerr.Code(err) != "58P01" {
		t.Error(err)
	}
}

func TestChangedFile(t *testing.T) {
	path := writeFile(t, "t.csv", "a,b\n1,2\n")
	p, err := PlanCSV(context.Background(), []string{path}, nil)
	if err != nil {
		t.Fatal(err)
	}
	os.WriteFile(path, []byte("a,b\n1,2\n3,4\n"), 0o644)
	if _, err := readPlan(p); pgerr.Code(err) != "55000" {
		t.Error(err)
	}
	os.Remove(path)
	if _, err := readPlan(p); pgerr.Code(err) != "58P01" {
		t.Error(err)
	}
}

func TestLimitAndCountOnly(t *testing.T) {
	path := writeFile(t, "t.csv", "a,b\n1,2\n3,4\n5,6\n")
	p, _ := PlanCSV(context.Background(), []string{path}, nil)
	s := scanOf(p)
	s.Limit = 2
	r, _ := OpenScan(context.Background(), s, p.Splits, 0)
	if rows, err := drain(r); err != nil || len(rows) != 2 {
		t.Error(rows, err)
	}
	s = &proto.Scan{Format: "csv", FileSchema: ToProtoFields(p.Schema), Csv: p.Options}
	r, _ = OpenScan(context.Background(), s, p.Splits, 0)
	if rows, err := drain(r); err != nil || len(rows) != 3 {
		t.Error(rows, err)
	}
}

// naive reads CSV one byte at a time by the rules of files.
func naive(in string, ncols int) (rows []string, bad bool) {
	i := 0
	for i < len(in) {
		if ncols > 1 && (in[i] == '\n' || strings.HasPrefix(in[i:], "\r\n") || in[i:] == "\r") {
			j := strings.IndexByte(in[i:], '\n')
			if j < 0 {
				break
			}
			i += j + 1
			continue
		}
		var rec []string
		for end := false; !end; {
			var f strings.Builder
			quoted := i < len(in) && in[i] == '"'
			if quoted {
				for i++; ; i++ {
					if i >= len(in) {
						return rows, true
					}
					if in[i] == '"' {
						if i+1 < len(in) && in[i+1] == '"' {
							i++
						} else {
							i++
							break
						}
					}
					f.WriteByte(in[i])
				}
				if i < len(in) && in[i] != ',' && in[i] != '\n' && !strings.HasPrefix(in[i:], "\r\n") && in[i:] != "\r" {
					return rows, true
				}
				if strings.HasPrefix(in[i:], "\r") {
					i++
				}
			} else {
				for i < len(in) && in[i] != ',' && in[i] != '\n' {
					f.WriteByte(in[i])
					i++
				}
			}
			s := f.String()
			if end = i >= len(in) || in[i] == '\n'; end && !quoted {
				s = strings.TrimSuffix(s, "\r")
			}
			i++
			if s == "" && !quoted {
				rec = append(rec, "NULL")
			} else {
				rec = append(rec, fmt.Sprintf("%q", s))
			}
		}
		if len(rec) != ncols {
			return rows, true
		}
		rows = append(rows, strings.Join(rec, "|"))
	}
	return rows, false
}

func planText(path string, ncols int, split int64) (*CSVPlan, error) {
	var fs []vector.Field
	for i := range ncols {
		fs = append(fs, vector.Field{Name: fmt.Sprintf("c%d", i), Type: types.T(types.Text)})
	}
	return PlanCSV(context.Background(), []string{path}, &CSVConfig{Columns: fs, Header: no(), Delimiter: ",", SplitBytes: split})
}

func checkNaive(t *testing.T, in string, ncols int) {
	t.Helper()
	if checkPlainText("", []byte(in)) != nil {
		return
	}
	want, bad := naive(in, ncols)
	p, err := planText(writeFile(t, "t.csv", in), ncols, 0)
	var got []string
	if err == nil {
		got, err = readPlan(p)
	}
	if bad != (err != nil) {
		t.Fatalf("%q: error %v, reference bad=%v", in, err, bad)
	}
	if !bad && strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Fatalf("%q:\n%v\nwant\n%v", in, got, want)
	}
	if !bad && p.RowsEstimate != int64(len(want)) {
		t.Fatalf("%q: counted %d records, want %d", in, p.RowsEstimate, len(want))
	}
}

func randomCSV(rng *rand.Rand, n int, alphabet string) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[rng.IntN(len(alphabet))]
	}
	return string(b)
}

func TestAgainstReference(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 700 {
		checkNaive(t, randomCSV(rng, rng.IntN(40), "ab,,\n\n\"\"\r"), 1+rng.IntN(3))
	}
}

func FuzzCSV(f *testing.F) {
	f.Add("a,b\n\"x\"\"\n\",y\r\n", 2)
	f.Fuzz(func(t *testing.T, in string, ncols int) {
		if strings.IndexByte(in, 0) >= 0 || strings.ToValidUTF8(in, "") != in || strings.HasPrefix(in, "\ufeff") || ncols < 1 || ncols > 5 {
			return
		}
		checkNaive(t, in, ncols)
	})
}

// goodCSV makes valid records full of quoted newlines, doubled quotes and
// delimiters, with a running number in the first column.
func goodCSV(rng *rand.Rand, size int) string {
	var b strings.Builder
	words := []string{"x", "\"a\nb\"", "\"\"\"\"", "\"\n\n\n\"", "\",\"", "", "\"\"", "12345678", "\"\"\"\n\"\"\"", "5\" pipe", "\"\r\n\""}
	eol := []string{"\n", "\r\n", "\n\n"}
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, "%d,%s,%s%s", i, words[rng.IntN(len(words))], words[rng.IntN(len(words))], eol[rng.IntN(len(eol))])
	}
	return b.String()
}

// TestSplits: whatever the split and piece size, the splits give the rows, the
// ordinals and the error lines of one read.
func TestSplits(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for round := range 6 {
		in := goodCSV(rng, 200+rng.IntN(600))
		path := writeFile(t, "t.csv", in)
		want, bad := naive(in, 3)
		if bad {
			t.Fatalf("round %d: the reference refuses %q", round, in)
		}
		f, _ := os.Open(path)
		for piece := int64(1); piece < 60; piece++ {
			splits, rows, err := prescanPieces(context.Background(), f, &dialect{delim: ',', quote: '"', escape: '"'}, 0, int64(len(in)), 1, false, piece)
			if err != nil || rows != int64(len(want)) {
				t.Fatalf("pieces of %d: %d rows, %v; want %d\n%q", piece, rows, err, len(want), in)
			}
			p, err := planText(path, 3, 0)
			if err != nil {
				t.Fatal(err)
			}
			size := p.Splits[0].Size
			var got []string
			for i, s := range splits {
				s.Path, s.Size = path, size
				sc := scanOf(p)
				sc.RowId = true
				r, _ := OpenScan(context.Background(), sc, []*proto.Split{s}, 3)
				part, err := drain(r)
				if err != nil {
					t.Fatalf("pieces of %d, split %d: %v\n%q", piece, i, err, in)
				}
				if int64(len(part)) != s.Rows {
					t.Fatalf("pieces of %d, split %d: %d rows, planned %d", piece, i, len(part), s.Rows)
				}
				got = append(got, part...)
			}
			for i := range got {
				if i >= len(want) || got[i] != fmt.Sprintf("%s|%d", want[i], i) {
					t.Fatalf("pieces of %d: row %d is %s, want %s", piece, i, got[i], want[i])
				}
			}
			if len(got) != len(want) {
				t.Fatalf("pieces of %d: %d rows, want %d", piece, len(got), len(want))
			}
		}
		f.Close()
	}
}

func TestSplitErrorLines(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	head := goodCSV(rng, 3000)
	in := head + "oops\n" + goodCSV(rng, 500)
	line := 1 + strings.Count(head, "\n")
	path := writeFile(t, "t.csv", in)
	p, err := planText(path, 3, 0)
	if err != nil {
		t.Fatal(err)
	}
	f, _ := os.Open(path)
	defer f.Close()
	splits, _, err := prescanPieces(context.Background(), f, &dialect{delim: ',', quote: '"', escape: '"'}, 0, int64(len(in)), 1, false, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range splits {
		s.Path = path
	}
	p.Splits = splits
	_, err = readPlan(p)
	if want := fmt.Sprintf("%s, line %d", path, line); err == nil || pgerr.From(err).Where != want {
		t.Errorf("where %q, want %q (%v)", pgerr.From(err).Where, want, err)
	}
}

func TestFastParsersAgree(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for range 100000 {
		s := []byte(randomCSV(rng, 1+rng.IntN(22), "0123456789.e-"))
		if v, ok := fastInt(s); ok {
			if w, err := types.ParseInt8(s); err != nil || v != w {
				t.Fatalf("%s: %d, want %d %v", s, v, w, err)
			}
		}
		if v, ok := fastFloat(s); ok {
			if w, err := types.ParseFloat8(s); err != nil || v != w {
				t.Fatalf("%s: %v, want %v %v", s, v, w, err)
			}
		}
	}
}

func benchCSV(b *testing.B, line func(rng *rand.Rand, buf *bytes.Buffer), columns ...string) {
	rng := rand.New(rand.NewPCG(9, 9))
	var buf bytes.Buffer
	buf.WriteString("a,b,c,d,e,f,g,h\n")
	for buf.Len() < 32<<20 {
		line(rng, &buf)
	}
	path := writeFile(b, "b.csv", buf.String())
	p, err := PlanCSV(context.Background(), []string{path}, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(buf.Len()))
	b.ReportAllocs()
	for b.Loop() {
		s := scanOf(p)
		if columns != nil {
			s.Columns = columns
		}
		r, err := OpenScan(context.Background(), s, p.Splits, 0)
		if err != nil {
			b.Fatal(err)
		}
		for {
			batch, err := r.Next(context.Background())
			if err != nil {
				b.Fatal(err)
			}
			if batch == nil {
				break
			}
		}
	}
}

func intLine(rng *rand.Rand, buf *bytes.Buffer) {
	for i := range 8 {
		if i > 0 {
			buf.WriteByte(',')
		}
		fmt.Fprintf(buf, "%d", rng.IntN(1000000000))
	}
	buf.WriteByte('\n')
}

func floatLine(rng *rand.Rand, buf *bytes.Buffer) {
	for i := range 8 {
		if i > 0 {
			buf.WriteByte(',')
		}
		fmt.Fprintf(buf, "%.6f", rng.Float64()*1000)
	}
	buf.WriteByte('\n')
}

func textLine(rng *rand.Rand, buf *bytes.Buffer) {
	fmt.Fprintf(buf, "%d,\"some quoted text\",plain words here,x,2024-01-%02d,,\"a \"\"b\"\"\",%d\n", rng.IntN(1e6), 1+rng.IntN(28), rng.IntN(1e6))
}

func BenchmarkCSVInts(b *testing.B)      { benchCSV(b, intLine) }
func BenchmarkCSVFloats(b *testing.B)    { benchCSV(b, floatLine) }
func BenchmarkCSVText(b *testing.B)      { benchCSV(b, textLine) }
func BenchmarkCSVOneColumn(b *testing.B) { benchCSV(b, intLine, "c") }
func BenchmarkCSVPlan(b *testing.B) {
	rng := rand.New(rand.NewPCG(9, 9))
	var buf bytes.Buffer
	buf.WriteString("a,b,c,d,e,f,g,h\n")
	for buf.Len() < 64<<20 {
		textLine(rng, &buf)
	}
	path := writeFile(b, "b.csv", buf.String())
	b.SetBytes(int64(buf.Len()))
	for b.Loop() {
		if _, err := PlanCSV(context.Background(), []string{path}, nil); err != nil {
			b.Fatal(err)
		}
	}
}
