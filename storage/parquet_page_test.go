package storage

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/arrow-go/v18/parquet/schema"

	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// writeMixed writes one row group of four columns: int64, double, text with the
// given number of distinct values, int32, all optional.
func writeMixed(t *testing.T, path string, rows, distinct int, nulls float64, opts ...parquet.WriterProperty) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, uint64(distinct)))
	node := func(name string, p parquet.Type, conv schema.ConvertedType) schema.Node {
		if conv == schema.ConvertedTypes.None {
			return schema.MustPrimitive(schema.NewPrimitiveNode(name, parquet.Repetitions.Optional, p, -1, -1))
		}
		return schema.MustPrimitive(schema.NewPrimitiveNodeConverted(name, parquet.Repetitions.Optional, p, conv, -1, 0, 0, -1))
	}
	root := schema.MustGroup(schema.NewGroupNode("schema", parquet.Repetitions.Required, schema.FieldList{
		node("i", parquet.Types.Int64, schema.ConvertedTypes.None), node("d", parquet.Types.Double, schema.ConvertedTypes.None),
		node("s", parquet.Types.ByteArray, schema.ConvertedTypes.UTF8), node("n", parquet.Types.Int32, schema.ConvertedTypes.None),
	}, -1))
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := file.NewParquetWriter(f, root, file.WithWriterProps(parquet.NewWriterProperties(opts...)))
	rg, err := w.AppendRowGroupChecked()
	if err != nil {
		t.Fatal(err)
	}
	def := make([]int16, rows)
	values := 0
	for i := range def {
		// Stretches without NULL, and stretches of them, as well as a mix.
		if nulls == 0 || i/1000%3 == 0 || i/1000%3 == 1 && rng.Float64() >= nulls {
			def[i] = 1
			values++
		}
	}
	ints, doubles := make([]int64, values), make([]float64, values)
	texts, small := make([]parquet.ByteArray, values), make([]int32, values)
	for i := range values {
		x := rng.IntN(distinct)
		ints[i], doubles[i], small[i] = int64(x)*1_000_003, float64(x)/3, int32(x)
		texts[i] = parquet.ByteArray(fmt.Sprintf("%*d ä", x%13, x))
	}
	for c := range 4 {
		cw, err := rg.NextColumn()
		if err == nil {
			switch c {
			case 0:
				_, err = cw.(*file.Int64ColumnChunkWriter).WriteBatch(ints, def, nil)
			case 1:
				_, err = cw.(*file.Float64ColumnChunkWriter).WriteBatch(doubles, def, nil)
			case 2:
				_, err = cw.(*file.ByteArrayColumnChunkWriter).WriteBatch(texts, def, nil)
			case 3:
				_, err = cw.(*file.Int32ColumnChunkWriter).WriteBatch(small, def, nil)
			}
		}
		if err == nil {
			err = cw.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// The page decoders and arrow-go's give the same values, whatever the encoding,
// the page version, the NULLs and the batch size are.
func TestPageDecoders(t *testing.T) {
	const rows = 30_000
	plain := parquet.WithDictionaryDefault(false)
	smallPages := parquet.WithDataPageSize(1000)
	for _, c := range []struct {
		name     string
		distinct int
		nulls    float64
		kept     bool // text stays dictionary-encoded
		mixed    bool // at first
		opts     []parquet.WriterProperty
	}{
		{"dictionary", 8, 0, true, false, nil},
		{"one value", 1, 0, true, false, nil},
		{"dictionary, NULLs", 100, 0.3, true, false, nil},
		{"large dictionary", 20_000, 0.01, false, false, nil},
		{"falls back to plain", 20_000, 0.1, false, true, []parquet.WriterProperty{parquet.WithDictionaryPageSizeLimit(2000), smallPages}},
		{"plain", 500, 0, false, false, []parquet.WriterProperty{plain}},
		{"plain, NULLs, small pages", 500, 0.5, false, false, []parquet.WriterProperty{plain, smallPages}},
		{"all but NULL", 3, 1, true, false, []parquet.WriterProperty{smallPages}},
		{"version 2 pages", 100, 0.2, true, false, []parquet.WriterProperty{parquet.WithDataPageVersion(parquet.DataPageV2), smallPages}},
		{"version 2 pages, plain, zstd", 100, 0.2, false, false, []parquet.WriterProperty{plain, parquet.WithDataPageVersion(parquet.DataPageV2), parquet.WithCompression(compress.Codecs.Zstd)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "f.parquet")
			writeMixed(t, path, rows, c.distinct, c.nulls, c.opts...)
			p, err := openParquetFile(path)
			if err != nil {
				t.Fatal(err)
			}
			defer p.close()
			rg := p.rd.RowGroup(0)
			for _, batch := range []int{7000, 16384, 999} {
				for i := range p.fields {
					f := &p.fields[i]
					own, closer, err := p.openColumn(f, rg)
					if err != nil {
						t.Fatal(err)
					}
					if _, ok := closer.(*chunkReader); !ok {
						t.Fatalf("%s is left to arrow-go", f.Name)
					}
					chunk, err := rg.Column(f.index)
					if err != nil {
						t.Fatal(err)
					}
					other, err := newDecoder(f, chunk, rows)
					if err != nil {
						t.Fatal(err)
					}
					for at := 0; at < rows; at += batch {
						n := min(batch, rows-at)
						a, err := own.read(n)
						if err != nil {
							t.Fatal(err)
						}
						if f.Name == "s" && (a.Form == vector.Dict) != c.kept && !c.mixed {
							t.Errorf("row %d: form %d", at, a.Form)
						}
						b, err := other.read(n)
						if err != nil {
							t.Fatal(err)
						}
						for i := range n {
							x, y := "NULL", "NULL"
							if !a.IsNull(i) {
								x = string(vector.AppendText(nil, a, i, nil))
							}
							if !b.IsNull(i) {
								y = string(vector.AppendText(nil, b, i, nil))
							}
							if x != y {
								t.Fatalf("%s, row %d: %s, arrow-go %s", f.Name, at+i, x, y)
							}
						}
					}
					if _, err := own.read(1); err == nil {
						t.Error("a row behind the last one")
					}
					_ = closer.Close()
				}
			}
		})
	}
}

// Damaged data is an error, never a panic that escapes or a read past the end.
func TestHybridDamaged(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	dst := make([]uint32, 100)
	for range 20_000 {
		data := make([]byte, rng.IntN(40))
		for i := range data {
			data[i] = byte(rng.Uint32() >> rng.IntN(8))
		}
		h := newHybrid(data, rng.IntN(33))
		_ = readHybrid(&h, dst)
		p := newHybrid(data, rng.IntN(33))
		_ = p.pick(len(dst), []int32{0, 7, 8, 40, 99}, dst)
	}
	for _, c := range []struct {
		data  []byte
		width int
	}{{nil, 1}, {[]byte{0x80}, 1}, {[]byte{0}, 4}, {[]byte{200, 1}, 9}, {[]byte{3, 0xff}, 4}} {
		h := newHybrid(c.data, c.width)
		if err := readHybrid(&h, dst); err == nil {
			t.Errorf("%x with width %d is read", c.data, c.width)
		}
	}
}

// A file that has been replaced is planned anew.
func TestPlanCacheFooter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.parquet")
	cache := NewPlanCache(2)
	for _, rows := range []int{100, 250} {
		writeMixed(t, path, rows, 10, 0)
		for range 2 {
			p, err := cache.PlanParquet(t.Context(), []string{path})
			if err != nil {
				t.Fatal(err)
			}
			if p.Rows != int64(rows) {
				t.Errorf("%d rows planned of %d", p.Rows, rows)
			}
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := cache.PlanParquet(t.Context(), []string{path}); err == nil {
		t.Error("a removed file is planned")
	}
}

// A footer is read once while its file stays the same, and anew for another file
// of the same name, size and time.
func TestFooterCache(t *testing.T) {
	dir := t.TempDir()
	path, other := filepath.Join(dir, "f.parquet"), filepath.Join(dir, "g.parquet")
	then := time.Now().Add(-time.Hour)
	meta := func() *metadata.FileMetaData {
		t.Helper()
		p, err := openParquetFile(path)
		if err != nil {
			t.Fatal(err)
		}
		defer p.close()
		return p.rd.MetaData()
	}
	writeMixed(t, path, 100, 10, 0)
	if a, b := meta(), meta(); a == b {
		t.Error("a footer that may still change is kept")
	}
	if err := os.Chtimes(path, then, then); err != nil {
		t.Fatal(err)
	}
	first := meta()
	if meta() != first {
		t.Error("the footer of an unchanged file is read again")
	}
	writeMixed(t, other, 100, 10, 0)
	if err := errors.Join(os.Chtimes(other, then, then), os.Rename(other, path)); err != nil {
		t.Fatal(err)
	}
	if meta() == first {
		t.Error("another file is read by the old one's footer")
	}
	c := footerCache{kept: map[string]*parsedFooter{}}
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 * maxFooterBytes / first.Size() {
		c.put(fmt.Sprint(i), &parsedFooter{file: st, meta: first})
	}
	if c.bytes > maxFooterBytes || c.bytes != len(c.kept)*first.Size() {
		t.Errorf("%d footers of %d bytes are kept", len(c.kept), c.bytes)
	}
}

// Every file that is cut or changed anywhere is read, or refused with an error
// about the file: no panic, no allocation of what a header only claims.
func TestChunkDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.parquet")
	writeMixed(t, path, 3000, 50, 0.2, parquet.WithCompression(compress.Codecs.Snappy), parquet.WithDataPageSize(500))
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p, err := openParquetFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	rng := rand.New(rand.NewPCG(5, 6))
	refused := 0
	for range 3000 {
		data := slices.Clone(good)
		for range 1 + rng.IntN(3) {
			data[rng.IntN(len(data)-2000)] = byte(rng.Uint32())
		}
		rg := p.rd.RowGroup(0)
		for i := range p.fields {
			cc, err := rg.MetaData().ColumnChunk(p.fields[i].index)
			if err != nil {
				t.Fatal(err)
			}
			rd, ok := newChunkReader(p, cc)
			if !ok {
				t.Fatal("left to arrow-go")
			}
			rd.f = bytes.NewReader(data)
			d, err := newPageDecoder(&p.fields[i], rd)
			for at := 0; at < 3000 && err == nil; at += 1000 {
				_, err = d.read(1000)
			}
			if err != nil {
				refused++
			}
			_ = rd.Close()
		}
	}
	if refused == 0 {
		t.Error("no damage was noticed")
	}
	for range 50_000 {
		data := make([]byte, rng.IntN(30))
		for i := range data {
			data[i] = byte(rng.Uint32() >> rng.IntN(30))
		}
		r := headerReader{data: data}
		r.page(&pageHeader{})
	}
}

// Integers that are widened or narrowed all at once are those converted one by one.
func TestPageDecodersCast(t *testing.T) {
	const rows = 20_000
	for _, nulls := range []float64{0, 0.4} {
		for _, opts := range [][]parquet.WriterProperty{nil, {parquet.WithDictionaryDefault(false), parquet.WithDataPageSize(900)}} {
			path := filepath.Join(t.TempDir(), "f.parquet")
			writeMixed(t, path, rows, 30_000, nulls, opts...)
			p, err := openParquetFile(path)
			if err != nil {
				t.Fatal(err)
			}
			f := p.fields[3]
			f.leaf.enc, f.leaf.sql = encInt16, types.T(types.Int2)
			open := func() *fixedDecoder[int32, int16] {
				t.Helper()
				d, _, err := p.openColumn(&f, p.rd.RowGroup(0))
				if err != nil {
					t.Fatal(err)
				}
				return d.(*fixedDecoder[int32, int16])
			}
			a, b := open(), open()
			if b.all == nil {
				t.Fatal("converted one by one")
			}
			b.all = nil
			rng := rand.New(rand.NewPCG(1, 2))
			for left := rows; left > 0; {
				n := min(left, 1+rng.IntN(5000))
				left -= n
				var x, y *vector.Vector
				if rng.IntN(2) == 0 {
					picked := []int32{0, int32(n / 2), int32(n - 1)}
					x, err = readRows(a, n, picked)
					if err == nil {
						y, err = readRows(b, n, picked)
					}
				} else if x, err = a.read(n); err == nil {
					y, err = b.read(n)
				}
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(vector.Values[int16](x), vector.Values[int16](y)) || !bytes.Equal(x.Valid, y.Valid) {
					t.Fatalf("%d rows before the end: %v instead of %v", left, vector.Values[int16](x), vector.Values[int16](y))
				}
			}
			p.close()
		}
	}
}
