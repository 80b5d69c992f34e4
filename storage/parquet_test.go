package storage

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// allTypes lists a column of every storable type with values in text form.
var allTypes = []struct {
	t    types.Type
	vals []string
}{
	{types.T(types.Bool), []string{"t", "f"}},
	{types.T(types.Int2), []string{"-32768", "0", "32767"}},
	{types.T(types.Int4), []string{"-2147483648", "7", "2147483647"}},
	{types.T(types.Int8), []string{"-9223372036854775808", "7", "9223372036854775807"}},
	{types.T(types.Float4), []string{"1.5", "NaN", "-Infinity", "3.4028235e+38", "-0"}},
	{types.T(types.Float8), []string{"1.1", "NaN", "Infinity", "1.7976931348623157e+308", "-0", "5e-324"}},
	{types.T(types.Numeric), []string{"0.00", "-12345678901234567890123456789.123456789", "NaN", "1e10"}},
	{types.NumericOf(9, 2), []string{"1234567.89", "-0.01", "NaN"}},
	{types.NumericOf(18, 0), []string{"999999999999999999", "-1", "NaN"}},
	{types.NumericOf(38, 10), []string{"-1234567890123456789012345678.0123456789", "0.0000000001", "NaN"}},
	{types.T(types.Text), []string{"", "żółw", "a\nb", strings.Repeat("x", 5000)}},
	{types.Type{ID: types.Varchar, Typmod: 14}, []string{"abc", ""}},
	{types.Type{ID: types.Bpchar, Typmod: 7}, []string{"abc", "a  "}},
	{types.T(types.Name), []string{"pg_class"}},
	{types.T(types.Bytea), []string{`\x`, `\x00ff`}},
	{types.T(types.UUID), []string{"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"}},
	{types.T(types.JSON), []string{`{"a": 1}`}},
	{types.T(types.JSONB), []string{`{"a": 1}`}},
	{types.T(types.Date), []string{"2024-02-29", "infinity", "-infinity", "0001-01-01"}},
	{types.T(types.Time), []string{"00:00:00", "23:59:59.999999", "24:00:00"}},
	{types.T(types.Timestamp), []string{"2024-02-29 12:34:56.789012", "infinity", "-infinity"}},
	{types.T(types.Timestamptz), []string{"2024-02-29 12:34:56.789012+00", "infinity"}},
	{types.T(types.Interval), []string{"1 year 2 mons 3 days 04:05:06.789", "-1 days +02:00:00", "00:00:00"}},
	{types.T(types.OID), []string{"16384"}},
	{types.ArrayOf(types.Int8), []string{"{}", "{1,NULL,3}", "{4}"}},
	{types.ArrayOf(types.Text), []string{"{}", `{"",NULL,"a,b"}`, "{x}"}},
	{types.ArrayOf(types.Float8), []string{"{1.5,NaN}", "{}"}},
	{types.ArrayOf(types.Bool), []string{"{t,f,NULL}"}},
	{types.ArrayOf(types.Numeric), []string{"{1.50,NULL}"}},
	{types.Type{ID: types.Array, Elem: types.Numeric, Typmod: types.NumericOf(10, 2).Typmod}, []string{"{1.50,NULL,NaN}"}},
	{types.ArrayOf(types.Timestamp), []string{"{\"2024-02-29 12:00:00\"}"}},
	{types.ArrayOf(types.Interval), []string{"{\"1 mon\"}"}},
	{types.ArrayOf(types.UUID), []string{"{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}"}},
}

func build(t testing.TB, typ types.Type, n int, val func(i int) (string, bool)) *vector.Vector {
	t.Helper()
	b := vector.NewBuilder(typ, n)
	for i := range n {
		if s, ok := val(i); !ok {
			b.AppendNull()
		} else if err := vector.ParseText(b, []byte(s), nil); err != nil {
			t.Fatalf("%s %q: %v", typ, s, err)
		}
	}
	return b.Build()
}

func writeParquet(t testing.TB, path string, fs []vector.Field, notNull []bool, batches ...*vector.Batch) FileInfo {
	t.Helper()
	w, err := NewWriter(context.Background(), &proto.TableWrite{Path: path, Format: "parquet", Schema: ToProtoFields(fs), NotNull: notNull, Table: "t"}, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range batches {
		if err := w.Write(context.Background(), b); err != nil {
			t.Fatal(err)
		}
	}
	info, err := w.Close(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func readParquet(t testing.TB, p *ParquetPlan, batchRows int, rowID bool, columns ...string) []string {
	t.Helper()
	if columns == nil {
		for _, f := range p.Schema {
			columns = append(columns, f.Name)
		}
	}
	r, err := OpenScan(context.Background(), &proto.Scan{Format: "parquet", Columns: columns, RowId: rowID}, p.Splits, batchRows)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := drain(r)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// TestParquetRoundTrip: every type, with NULLs in all patterns, in batches of
// other sizes than it was written in.
func TestParquetRoundTrip(t *testing.T) {
	const n = 700
	for _, nulls := range []string{"none", "some", "all", "not null"} {
		var fs []vector.Field
		var cols []*vector.Vector
		notNull := make([]bool, len(allTypes))
		for i, c := range allTypes {
			fs = append(fs, vector.Field{Name: fmt.Sprintf("c%d", i), Type: c.t})
			notNull[i] = nulls == "not null"
			cols = append(cols, build(t, c.t, n, func(r int) (string, bool) {
				return c.vals[r%len(c.vals)], nulls != "all" && (nulls != "some" || (r*7+i)%3 != 0)
			}))
		}
		b := vector.NewBatch(cols, n)
		path := filepath.Join(t.TempDir(), "x.parquet")
		info := writeParquet(t, path, fs, notNull, b.Slice(0, 1), b.Slice(1, 300), b.Slice(300, n))
		if info.Rows != n || info.Path != path {
			t.Errorf("%+v", info)
		}
		if st, _ := os.Stat(path); st.Size() != info.Bytes {
			t.Errorf("%d bytes, said %d", st.Size(), info.Bytes)
		}
		p, err := PlanParquet(context.Background(), []string{path})
		if err != nil {
			t.Fatal(err)
		}
		if p.Rows != n || schemaString(p.Schema) != schemaString(fs) {
			t.Errorf("%d rows of %s", p.Rows, schemaString(p.Schema))
		}
		want, _ := drain(&oneBatch{b})
		for _, size := range []int{0, 1, 64, 333} {
			got := readParquet(t, p, size, false)
			if len(got) != len(want) {
				t.Fatalf("%s: %d rows, want %d", nulls, len(got), len(want))
			}
			for i := range got {
				if got[i] != want[i] {
					t.Fatalf("%s nulls, batches of %d, row %d:\n%s\nwant\n%s", nulls, size, i, got[i], want[i])
				}
			}
		}
		// The catalog's statistics give the same plan as the footer.
		q, err := PlanTable(fs, []TableFile{{Path: path, Rows: info.Rows, Bytes: info.Bytes, Stats: info.Stats}})
		if err != nil || q.Rows != n || len(q.Splits) != len(p.Splits) {
			t.Errorf("%+v %v", q, err)
		}
		if got := readParquet(t, q, 0, true, "c3"); got[n-1] != strings.Split(want[n-1], "|")[3]+fmt.Sprintf("|%d", n-1) {
			t.Errorf("last row %s", got[n-1])
		}
	}
}

func TestParquetRowGroupsAndStats(t *testing.T) {
	const n = rowGroupRows*2 + 1000
	ids := make([]int64, n)
	f := make([]float64, n)
	for i := range ids {
		ids[i], f[i] = int64(i), float64(i)/2
	}
	fs := []vector.Field{{Name: "id", Type: types.T(types.Int8)}, {Name: "f", Type: types.T(types.Float8)}, {Name: "s", Type: types.T(types.Text)}, {Name: "d", Type: types.NumericOf(20, 2)}, {Name: "z", Type: types.T(types.Date)}}
	text := build(t, fs[2].Type, n, func(i int) (string, bool) { return fmt.Sprintf("s%02d", i%50), i%10 != 0 })
	dec := build(t, fs[3].Type, n, func(i int) (string, bool) { return fmt.Sprintf("%d.50", i-10), true })
	b := vector.NewBatch([]*vector.Vector{vector.FromSlice(fs[0].Type, ids), vector.FromSlice(fs[1].Type, f), text, dec, vector.NewNull(fs[4].Type, n)}, n)
	path := filepath.Join(t.TempDir(), "x.parquet")
	info := writeParquet(t, path, fs, []bool{true}, b)
	p, err := PlanParquet(context.Background(), []string{path, path})
	if err != nil {
		t.Fatal(err)
	}
	if p.Rows != 2*n || len(p.Splits) != 6 || p.Splits[3].RowBase != n {
		t.Errorf("%d rows, splits %v", p.Rows, p.Splits)
	}
	text1 := func(s *string) string {
		if s == nil {
			return "?"
		}
		return *s
	}
	for i, want := range []string{"id 0 0 " + fmt.Sprint(n-1), "f 0 -0 131571.5", fmt.Sprintf("s %d s01 s49", 2*((n+9)/10)), "d 0 -10.50 " + fmt.Sprint(n-11) + ".50", fmt.Sprintf("z %d ? ?", 2*n)} {
		s := p.Stats[i]
		if got := fmt.Sprint(s.Name, " ", s.Nulls, " ", text1(s.Min), " ", text1(s.Max)); got != want {
			t.Errorf("stats %s, want %s", got, want)
		}
	}
	st, err := DecodeStats(info.Stats)
	if err != nil || len(st.RowGroups) != 3 || st.RowGroups[2] != 1000 || text1(st.Columns[0].Max) != fmt.Sprint(n-1) {
		t.Errorf("%+v %v", st, err)
	}
	p.Splits = p.Splits[4:]
	rows := readParquet(t, p, 50000, true, "id")
	if len(rows) != rowGroupRows+1000 || rows[0] != fmt.Sprintf("%d|%d", rowGroupRows, n+rowGroupRows) {
		t.Errorf("%d rows, first %s", len(rows), rows[0])
	}
}

func TestParquetErrors(t *testing.T) {
	fs := []vector.Field{{Name: "a", Type: types.T(types.Int8)}}
	one := vector.NewBatch([]*vector.Vector{vector.NewNull(fs[0].Type, 1)}, 1)
	dir := t.TempDir()
	tw := &proto.TableWrite{Directory: dir, Format: "parquet", Schema: ToProtoFields(fs), NotNull: []bool{true}, Table: "t"}
	w, err := NewWriter(context.Background(), tw, "1-2")
	if err != nil {
		t.Fatal(err)
	}
	err = w.Write(context.Background(), one)
	if pgerr.Code(err) != "23502" || err.Error() != `null value in column "a" of relation "t" violates not-null constraint` {
		t.Error(err)
	}
	w.Abort()
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("Abort left %v", left)
	}
	good := filepath.Join(dir, "good.parquet")
	writeParquet(t, good, fs, nil, one)
	data, _ := os.ReadFile(good)
	for name, content := range map[string][]byte{"empty": nil, "text": []byte("a,b\n1,2\n"), "cut": data[:len(data)-20], "head": append([]byte("xxxx"), data[len(data)/2:]...)} {
		p := filepath.Join(dir, name)
		os.WriteFile(p, content, 0o644)
		_, err := PlanParquet(context.Background(), []string{p})
		if err == nil {
			t.Errorf("%s: no error", name)
		} else if !strings.Contains(err.Error(), p) || pgerr.ClassOf(err) != pgerr.User {
			t.Errorf("%s: %v", name, err)
		}
	}
	rng := rand.New(rand.NewPCG(1, 1))
	bad := filepath.Join(dir, "bad.parquet")
	for range 300 {
		c := append([]byte(nil), data...)
		for range 1 + rng.IntN(3) {
			c[rng.IntN(len(c))] = byte(rng.Uint32())
		}
		os.WriteFile(bad, c, 0o644)
		p, err := PlanParquet(context.Background(), []string{bad})
		if err != nil {
			continue
		}
		if r, err := OpenScan(context.Background(), &proto.Scan{Format: "parquet", Columns: []string{"a"}}, p.Splits, 0); err == nil {
			drain(r) // an error or rows, but no panic
		}
	}
	other := filepath.Join(dir, "other.parquet")
	writeParquet(t, other, []vector.Field{{Name: "a", Type: types.T(types.Text)}}, nil)
	if _, err := PlanParquet(context.Background(), []string{good, other}); pgerr.Code(err) != "42804" {
		t.Error(err)
	}
	if _, err := PlanParquet(context.Background(), []string{filepath.Join(dir, "nix")}); pgerr.Code(err) != "58P01" {
		t.Error(err)
	}
	if _, err := NewWriter(context.Background(), &proto.TableWrite{Path: filepath.Join(dir, "no", "dir"), Format: "csv", Schema: ToProtoFields(fs)}, ""); pgerr.Code(err) != "58P01" {
		t.Error(err)
	}
}

// fullDisk accepts room bytes.
type fullDisk struct {
	*os.File
	room int
}

func (d *fullDisk) Write(p []byte) (int, error) {
	if len(p) > d.room {
		n, _ := d.File.Write(p[:d.room])
		d.room = 0
		return n, &os.PathError{Op: "write", Path: d.Name(), Err: syscall.ENOSPC}
	}
	d.room -= len(p)
	return d.File.Write(p)
}

func TestDiskFull(t *testing.T) {
	fs := []vector.Field{{Name: "a", Type: types.T(types.Int8)}}
	vals := make([]int64, rowGroupRows)
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range vals {
		vals[i] = rng.Int64()
	}
	b := vector.NewBatch([]*vector.Vector{vector.FromSlice(fs[0].Type, vals)}, len(vals))
	for _, format := range []string{"parquet", "csv"} {
		for _, room := range []int{0, 3, 1 << 20, 2500000} {
			dir := t.TempDir()
			w, err := newWriter(&proto.TableWrite{Directory: dir, Format: format, Schema: ToProtoFields(fs)}, "f", func(p string) (osFile, error) {
				f, err := os.Create(p)
				return &fullDisk{f, room}, err
			}, settings{})
			if err != nil {
				t.Fatal(err)
			}
			for range 4 {
				if err = w.Write(context.Background(), b); err != nil {
					break
				}
			}
			if err == nil {
				_, err = w.Close(context.Background())
			} else {
				w.Abort()
			}
			want := fmt.Sprintf("could not write to file \"%s\": No space left on device", filepath.Join(dir, "f."+format))
			if pgerr.Code(err) != pgerr.DiskFull || err.Error() != want {
				t.Errorf("%s, room for %d: %v", format, room, err)
			}
			if left, _ := os.ReadDir(dir); len(left) != 0 {
				t.Errorf("%s, room for %d: left %v", format, room, left)
			}
		}
	}
}

// A file that is written to by two statements at once is that of one of them;
// devices and links stay what they are, and nobody else's files are touched.
func TestWriterTargets(t *testing.T) {
	ctx := context.Background()
	fs := []vector.Field{{Name: "a", Type: types.T(types.Int8)}}
	start := func(path string, v int64) Writer {
		t.Helper()
		w, err := NewWriter(ctx, &proto.TableWrite{Path: path, Format: "csv", Schema: ToProtoFields(fs)}, "")
		if err == nil {
			err = w.Write(ctx, vector.NewBatch([]*vector.Vector{vector.FromSlice(fs[0].Type, []int64{v})}, 1))
		}
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	end := func(w Writer) {
		t.Helper()
		if _, err := w.Close(ctx); err != nil {
			t.Fatal(err)
		}
	}
	read := func(path, want string) {
		t.Helper()
		if b, err := os.ReadFile(path); err != nil || string(b) != want {
			t.Errorf("%s: %q, %v; want %q", path, b, err, want)
		}
	}
	dir := t.TempDir()
	path, link, other := filepath.Join(dir, "o.csv"), filepath.Join(dir, "l.csv"), filepath.Join(dir, "o.csv.tmp")
	if err := os.WriteFile(other, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	a, b := start(path, 1), start(path, 2)
	end(a)
	read(path, "1\n")
	end(b)
	read(path, "2\n")
	read(other, "mine")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	end(start(link, 3))
	read(path, "3\n")
	if st, err := os.Lstat(link); err != nil || st.Mode().IsRegular() {
		t.Errorf("the link: %v, %v", st, err)
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 1)
	go func() { b, _ := os.ReadFile(pipe); got <- string(b) }()
	end(start(pipe, 4))
	if g := <-got; g != "4\n" {
		t.Errorf("through the pipe: %q", g)
	}
	if st, err := os.Lstat(pipe); err != nil || st.Mode().IsRegular() {
		t.Errorf("the pipe: %v, %v", st, err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 4 {
		t.Errorf("left %v", left)
	}
}

func TestCSVWriter(t *testing.T) {
	fs := []vector.Field{{Name: "a", Type: types.T(types.Int8)}, {Name: "d", Type: types.T(types.Date)}}
	b := vector.NewBatch([]*vector.Vector{vector.FromSlice(fs[0].Type, []int64{1, 2}), vector.FromSlice(fs[1].Type, []int32{0, 1}).WithValid([]byte{1})}, 2)
	path := filepath.Join(t.TempDir(), "o.csv")
	w, err := NewWriter(context.Background(), &proto.TableWrite{Path: path, Format: "csv", Csv: &proto.CsvOptions{Header: true}, Schema: ToProtoFields(fs)}, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(context.Background(), b); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Error("the file is visible before Close")
	}
	info, err := w.Close(context.Background())
	got, _ := os.ReadFile(path)
	if err != nil || string(got) != "a,d\n1,1970-01-01\n2,\n" || info.Rows != 2 || info.Bytes != int64(len(got)) {
		t.Errorf("%q %+v %v", got, info, err)
	}
}

func benchParquet(b *testing.B, typ types.Type, val func(rng *rand.Rand) string) {
	rng := rand.New(rand.NewPCG(1, 1))
	const n = 1000000
	v := build(b, typ, n, func(int) (string, bool) { return val(rng), true })
	path := filepath.Join(b.TempDir(), "x.parquet")
	fs := []vector.Field{{Name: "a", Type: typ}}
	writeParquet(b, path, fs, nil, vector.NewBatch([]*vector.Vector{v}, n))
	p, err := PlanParquet(context.Background(), []string{path})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		r, err := OpenScan(context.Background(), &proto.Scan{Format: "parquet", Columns: []string{"a"}}, p.Splits, 0)
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
		r.Close()
	}
	b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
}

func BenchmarkParquetInt8(b *testing.B) {
	benchParquet(b, types.T(types.Int8), func(rng *rand.Rand) string { return fmt.Sprint(rng.Int64()) })
}

func BenchmarkParquetFloat8(b *testing.B) {
	benchParquet(b, types.T(types.Float8), func(rng *rand.Rand) string { return fmt.Sprint(rng.Float64()) })
}

func BenchmarkParquetText(b *testing.B) {
	benchParquet(b, types.T(types.Text), func(rng *rand.Rand) string { return fmt.Sprintf("value %d", rng.IntN(100000)) })
}

func BenchmarkParquetFewTexts(b *testing.B) {
	benchParquet(b, types.T(types.Text), func(rng *rand.Rand) string { return fmt.Sprintf("value %d", rng.IntN(8)) })
}

func BenchmarkParquetWrite(b *testing.B) {
	const n = 500000
	cols, fs := []*vector.Vector{}, []vector.Field{}
	for c := range 8 {
		vals := make([]float64, n)
		for i := range vals {
			vals[i] = math.Sin(float64(i * (c + 1)))
		}
		fs = append(fs, vector.Field{Name: fmt.Sprint("c", c), Type: types.T(types.Float8)})
		cols = append(cols, vector.FromSlice(fs[c].Type, vals))
	}
	batch := vector.NewBatch(cols, n)
	dir := b.TempDir()
	b.SetBytes(n * 8 * 8)
	b.ReportAllocs()
	for b.Loop() {
		writeParquet(b, filepath.Join(dir, "x.parquet"), fs, nil, batch)
	}
}
