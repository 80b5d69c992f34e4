package storage

import (
	"encoding/binary"
	"io"
	"math"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow/float16"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// columnDecoder yields the rows of one column of one row group in order. It is
// the seam behind which another page decoder can be put.
type columnDecoder interface {
	// read returns the next n rows; there are that many.
	read(n int) (*vector.Vector, error)
}

// pageReader is what the typed chunk readers of arrow-go have in common. Values
// stay valid until the next call, which may move to another page.
type pageReader[P any] interface {
	ReadBatchInPage(batch int64, values []P, def, rep []int16) (levels int64, n int, err error)
}

// readRows returns those of the next n rows that rows names, ascending: from
// decoders that can with little work for the others.
func readRows(d columnDecoder, n int, rows []int32) (*vector.Vector, error) {
	if len(rows) > 0 {
		if p, ok := d.(interface {
			pick(n int, rows []int32) (*vector.Vector, error)
		}); ok {
			if v, err := p.pick(n, rows); err != nil || v != nil {
				return v, err
			}
		}
	}
	v, err := d.read(n)
	if err != nil {
		return nil, err
	}
	return vector.Gather(v, rows), nil
}

// skipRows passes n rows; false if the decoder has to read them for that.
func skipRows(d columnDecoder, n int) bool {
	s, ok := d.(interface{ skipRows(n int) bool })
	return ok && s.skipRows(n)
}

// skipRows leaves the rows to the next read, which may find whole pages of them.
func (p *pages) skipRows(n int) bool {
	p.debt += n
	return true
}

// pagePicker is a pageReader that can look at single values.
type pagePicker[P any] interface {
	pick(n int, rows []int32, out []P) (bool, error)
	skipRows(n int) bool
}

func (d *fixedDecoder[P, T]) skipRows(n int) bool {
	return d.picks != nil && d.picks.skipRows(n)
}

func (d *fixedDecoder[P, T]) pick(n int, rows []int32) (*vector.Vector, error) {
	if d.picks == nil {
		return nil, nil
	}
	v := d.make(len(rows))
	out := vector.Values[T](v)
	buf, same := any(out).([]P)
	if !same || d.conv != nil {
		if len(d.buf) < len(rows) {
			d.buf = make([]P, n)
		}
		buf, same = d.buf[:len(rows)], false
	}
	if ok, err := d.picks.pick(n, rows, buf); err != nil || !ok {
		return nil, err
	}
	if !same && d.all != nil {
		d.all(out, buf)
	} else if !same {
		for i, p := range buf {
			var err error
			if out[i], err = d.conv(p); err != nil {
				return nil, err
			}
		}
	}
	return d.finish(v), nil
}

// elements is a decoder's view for lists: values one by one.
type elements interface {
	// page reads up to len(def) levels, all of one page, and their values.
	page(def, rep []int16) (levels int, err error)
	// appendTo appends the i-th value of the page that was read.
	appendTo(b *vector.Builder, i int) error
}

var errTruncated = pgerr.New(pgerr.DataCorrupted, "a column chunk ends early")

// fixedDecoder decodes columns of fixed-width SQL types.
type fixedDecoder[P any, T vector.Fixed] struct {
	typ    types.Type
	maxDef int16
	rd     pageReader[P]
	conv   func(P) (T, error) // nil when P and T are one type
	all    func([]T, []P)     // conv of many, where that cannot fail; may be nil
	plain  wholeReader        // not nil if rd can serve whole batches
	picks  pagePicker[P]      // not nil if rd can
	buf    []P
	def    []int16

	scaled *scaling // not nil for numerics read as their coefficients
}

// scaling is how integers are numerics.
type scaling struct {
	scale  int32
	nan    int64 // the integer that stands for NaN
	hasNaN bool  // there may be such
}

// make returns a vector to fill with n values.
func (d *fixedDecoder[P, T]) make(n int) *vector.Vector {
	if d.scaled != nil {
		return vector.NewScaled(d.typ, n, d.scaled.scale)
	}
	return vector.NewDirty(d.typ, n)
}

// finish returns the vector that was filled.
func (d *fixedDecoder[P, T]) finish(v *vector.Vector) *vector.Vector {
	if d.scaled == nil || !d.scaled.hasNaN {
		return v
	}
	nan := d.scaled.nan
	for _, c := range vector.Values[int64](v) {
		if c == nan {
			return withNaNs(v, nan)
		}
	}
	return v
}

// withNaNs returns a Scaled vector as a Flat one where nan stands for NaN.
func withNaNs(v *vector.Vector, nan int64) *vector.Vector {
	out := v.Flatten()
	dst := vector.Values[types.Decimal](out)
	for i, c := range vector.Values[int64](v) {
		if c == nan && !v.IsNull(i) {
			dst[i] = types.Decimal{NaN: true}
		}
	}
	return out
}

// narrowDecoder reads numerics that are stored as bytes, most of which fit 64 bits.
type narrowDecoder struct{ columnDecoder }

func (d narrowDecoder) read(n int) (*vector.Vector, error) {
	v, err := d.columnDecoder.read(n)
	if err != nil {
		return nil, err
	}
	return vector.Narrow(v), nil
}

// wholeReader is a pageReader that can hand out values without a look at each.
type wholeReader interface {
	// whole returns the next n values, nil if they need decoding.
	whole(n int) ([]byte, error)
}

func (d *fixedDecoder[P, T]) read(n int) (*vector.Vector, error) {
	if d.plain != nil && n > 0 {
		if raw, err := d.plain.whole(n); err != nil {
			return nil, err
		} else if raw != nil {
			if d.scaled != nil {
				return d.finish(vector.FromScaledRaw(d.typ, raw, n, d.scaled.scale)), nil
			}
			return vector.FromRaw(d.typ, raw, n), nil
		}
	}
	v := d.make(n)
	out := vector.Values[T](v)
	if len(d.def) < n {
		d.def = make([]int16, n)
	}
	same, direct := any(out).([]P)
	direct = direct && d.conv == nil
	if !direct && len(d.buf) < n {
		d.buf = make([]P, n)
	}
	for at := 0; at < n; {
		dst := d.buf
		if direct {
			dst = same[at:]
		}
		levels, values, err := d.rd.ReadBatchInPage(int64(n-at), dst[:n-at], d.def[:n-at], nil)
		if err != nil {
			return nil, err
		}
		if levels == 0 {
			return nil, errTruncated
		}
		if d.all != nil {
			d.all(out[at:at+values], dst)
		} else if !direct {
			for i, p := range dst[:values] {
				if out[at+i], err = d.conv(p); err != nil {
					return nil, err
				}
			}
		}
		if values < int(levels) {
			if v.Valid == nil {
				v.Valid = vector.NewValid(n)
			}
			spread(out[at:at+int(levels)], values, d.def, d.maxDef, v.Valid, at)
		}
		at += int(levels)
	}
	return d.finish(v), nil
}

// spread moves the first k values of out to the rows that have one, from the
// back, and clears the others.
func spread[T any](out []T, k int, def []int16, maxDef int16, valid []byte, at int) {
	var zero T
	for i := len(out) - 1; i >= 0; i-- {
		if def[i] == maxDef {
			k--
			out[i] = out[k]
		} else {
			out[i] = zero
			vector.SetNull(valid, at+i)
		}
	}
}

func (d *fixedDecoder[P, T]) page(def, rep []int16) (int, error) {
	if len(d.buf) < len(def) {
		d.buf = make([]P, len(def))
	}
	levels, _, err := d.rd.ReadBatchInPage(int64(len(def)), d.buf[:len(def)], def, rep)
	return int(levels), err
}

func (d *fixedDecoder[P, T]) appendTo(b *vector.Builder, i int) error {
	if d.conv == nil {
		vector.Append(b, any(d.buf[i]).(T))
		return nil
	}
	x, err := d.conv(d.buf[i])
	if err == nil {
		vector.Append(b, x)
	}
	return err
}

// bytesDecoder decodes text, bytea, uuid and json.
type bytesDecoder[P ~[]byte] struct {
	typ    types.Type
	maxDef int16
	check  bool
	rd     pageReader[P]
	buf    []P
	def    []int16
	size   int // bytes of the last batch, to size the next
}

func (d *bytesDecoder[P]) read(n int) (*vector.Vector, error) {
	if len(d.buf) < n {
		d.buf, d.def = make([]P, n), make([]int16, n)
	}
	offs := make([]int32, 1, n+1)
	data := make([]byte, 0, d.size+d.size/8)
	var valid []byte
	for at := 0; at < n; {
		levels, values, err := d.rd.ReadBatchInPage(int64(n-at), d.buf[:n-at], d.def[:n-at], nil)
		if err != nil {
			return nil, err
		}
		if levels == 0 {
			return nil, errTruncated
		}
		if values == int(levels) {
			for _, s := range d.buf[:values] {
				data = append(data, s...)
				offs = append(offs, int32(len(data)))
			}
		} else {
			if valid == nil {
				valid = vector.NewValid(n)
			}
			k := 0
			for i := range int(levels) {
				if d.def[i] == d.maxDef {
					data = append(data, d.buf[k]...)
					k++
				} else {
					vector.SetNull(valid, at+i)
				}
				offs = append(offs, int32(len(data)))
			}
		}
		at += int(levels)
		if len(data) > math.MaxInt32 {
			return nil, pgerr.New(pgerr.ProgramLimitExceeded, "%d values of a column exceed 2 GB", n)
		}
	}
	d.size = len(data)
	if d.check && d.typ.ID != types.Bytea && d.typ.ID != types.UUID && !plainASCII(data) {
		for i := range n {
			if err := checkUTF8(data[offs[i]:offs[i+1]]); err != nil {
				return nil, err
			}
		}
	}
	return vector.FromBytes(d.typ, offs, data).WithValid(valid), nil
}

func (d *bytesDecoder[P]) page(def, rep []int16) (int, error) {
	if len(d.buf) < len(def) {
		d.buf = make([]P, len(def))
	}
	levels, _, err := d.rd.ReadBatchInPage(int64(len(def)), d.buf[:len(def)], def, rep)
	return int(levels), err
}

func (d *bytesDecoder[P]) appendTo(b *vector.Builder, i int) error {
	if d.check && d.typ.ID != types.Bytea && d.typ.ID != types.UUID && !utf8.Valid(d.buf[i]) {
		return checkUTF8(d.buf[i])
	}
	b.AppendBytes(d.buf[i])
	return nil
}

// listDecoder decodes a list column by definition and repetition levels. It
// decodes the row group at once: only the start of the next row shows where one
// ends.
type listDecoder struct {
	f    *parquetField
	el   elements
	rows int // of the row group
	all  *vector.Vector
	at   int
	// levels reads the elements' definition levels in their place.
	levels bool
}

func (d *listDecoder) read(n int) (*vector.Vector, error) {
	if d.all == nil {
		if err := d.decode(); err != nil {
			return nil, err
		}
	}
	v := vector.Slice(d.all, d.at, d.at+n)
	d.at += n
	return v, nil
}

func (d *listDecoder) decode() error {
	b := vector.NewBuilder(d.f.Type, d.rows)
	def, rep := make([]int16, vector.DefaultRows), make([]int16, vector.DefaultRows)
	open := false // a row with elements is under way
	for {
		levels, err := d.el.page(def, rep)
		if err != nil {
			return err
		}
		if levels == 0 {
			break
		}
		k := 0
		for i, l := range def[:levels] {
			if rep[i] == 0 && open {
				b.EndList()
				open = false
			}
			switch {
			case d.levels && l >= d.f.repDef:
				vector.Append(b.Elems(), l)
				open = true
			case l == d.f.maxDef:
				if err := d.el.appendTo(b.Elems(), k); err != nil {
					return err
				}
				k++
				open = true
			case l >= d.f.repDef:
				b.Elems().AppendNull()
				open = true
			case l == d.f.repDef-1:
				b.EndList()
			default:
				b.AppendNull()
			}
		}
	}
	if open {
		b.EndList()
	}
	if b.Len() != d.rows {
		return errTruncated
	}
	d.all = b.Build()
	return nil
}

// openColumn makes the decoder of a column of a row group, and what is to be
// closed after it.
func (p *parquetFile) openColumn(f *parquetField, rg *file.RowGroupReader) (columnDecoder, io.Closer, error) {
	if f.shape != nil {
		return p.openStruct(f, rg)
	}
	cc, err := rg.MetaData().ColumnChunk(f.index)
	if err != nil {
		return nil, nil, err
	}
	if ownPages(cc, f) {
		if rd, ok := newChunkReader(p, cc); ok {
			d, err := newPageDecoder(f, rd)
			return d, rd, err
		}
	}
	chunk, err := rg.Column(f.index)
	if err != nil {
		return nil, nil, err
	}
	d, err := newDecoder(f, chunk, int(rg.NumRows()))
	closer, _ := chunk.(io.Closer)
	return d, closer, err
}

// newDecoder makes arrow-go's decoder of a column chunk.
func newDecoder(f *parquetField, rd file.ColumnChunkReader, rows int) (columnDecoder, error) {
	flat, err := newFlatDecoder(f, rd)
	if err != nil || !f.list {
		if f.leaf.enc == encDecimal && f.leaf.phys != parquet.Types.Int32 && f.leaf.phys != parquet.Types.Int64 {
			flat = narrowDecoder{flat}
		}
		return flat, err
	}
	return &listDecoder{f: f, el: flat.(elements), rows: rows}, nil
}

func newFlatDecoder(f *parquetField, chunk file.ColumnChunkReader) (columnDecoder, error) {
	l := &f.leaf
	switch rd := chunk.(type) {
	case *file.BooleanColumnChunkReader:
		return fixed[bool, bool](f, rd, nil), nil
	case *file.Float32ColumnChunkReader:
		return fixed[float32, float32](f, rd, nil), nil
	case *file.Float64ColumnChunkReader:
		return fixed[float64, float64](f, rd, nil), nil
	case *file.Int96ColumnChunkReader:
		return fixed(f, rd, func(x parquet.Int96) (int64, error) { return x.ToTime().UnixMicro(), nil }), nil
	case *file.Int32ColumnChunkReader:
		return int32Decoder(f, rd)
	case *file.Int64ColumnChunkReader:
		return int64Decoder(f, rd)
	case *file.ByteArrayColumnChunkReader:
		switch l.enc {
		case encDecimal:
			return fixed(f, rd, func(x parquet.ByteArray) (types.Decimal, error) { return decimalBytes(x, l.scale, false) }), nil
		case encNumericText:
			return fixed(f, rd, func(x parquet.ByteArray) (types.Decimal, error) { return types.ParseNumeric([]byte(x)) }), nil
		}
		return &bytesDecoder[parquet.ByteArray]{typ: l.sql, maxDef: f.maxDef, check: l.check, rd: rd}, nil
	case *file.FixedLenByteArrayColumnChunkReader:
		switch l.enc {
		case encDecimal:
			return fixed(f, rd, func(x parquet.FixedLenByteArray) (types.Decimal, error) { return decimalBytes(x, l.scale, !l.check) }), nil
		case encFloat16:
			return fixed(f, rd, func(x parquet.FixedLenByteArray) (float32, error) { return float16.FromLEBytes(x).Float32(), nil }), nil
		case encInterval:
			return fixed(f, rd, func(x parquet.FixedLenByteArray) (types.IntervalValue, error) {
				return types.IntervalValue{Months: int32(binary.LittleEndian.Uint32(x)), Days: int32(binary.LittleEndian.Uint32(x[4:])),
					Micros: int64(binary.LittleEndian.Uint64(x[8:]))}, nil
			}), nil
		case encInterval12:
			return fixed(f, rd, func(x parquet.FixedLenByteArray) (types.IntervalValue, error) {
				return types.IntervalValue{Months: int32(binary.LittleEndian.Uint32(x)), Days: int32(binary.LittleEndian.Uint32(x[4:])),
					Micros: int64(binary.LittleEndian.Uint32(x[8:])) * 1000}, nil
			}), nil
		}
		return &bytesDecoder[parquet.FixedLenByteArray]{typ: l.sql, maxDef: f.maxDef, check: l.check, rd: rd}, nil
	}
	return nil, pgerr.New(pgerr.FeatureNotSupported, "column \"%s\" has a type that is not supported", f.Name)
}

func int32Decoder(f *parquetField, rd pageReader[int32]) (columnDecoder, error) {
	l := &f.leaf
	switch l.enc {
	case encInt16:
		return fixedInts[int32, int16](f, rd), nil
	case encWiden:
		return fixed(f, rd, func(x int32) (int64, error) { return int64(uint32(x)), nil }), nil
	case encMillis:
		return fixed(f, rd, func(x int32) (int64, error) { return int64(x) * 1000, nil }), nil
	case encDecimal:
		scale, nan := l.scale, !l.check
		if !f.list {
			d := fixedScaled(f, rd, func(x int32) (int64, error) { return int64(x), nil }, math.MinInt32)
			d.(*fixedDecoder[int32, int64]).all = castAll[int32, int64]
			return d, nil
		}
		return fixed(f, rd, func(x int32) (types.Decimal, error) {
			if x == math.MinInt32 && nan {
				return types.Decimal{NaN: true}, nil
			}
			return decimal64(int64(x), scale), nil
		}), nil
	}
	return fixed[int32, int32](f, rd, nil), nil
}

func int64Decoder(f *parquetField, rd pageReader[int64]) (columnDecoder, error) {
	l := &f.leaf
	switch l.enc {
	case encMillis:
		return fixed(f, rd, func(x int64) (int64, error) {
			if x > math.MaxInt64/1000 || x < math.MinInt64/1000 {
				return 0, pgerr.New(pgerr.DatetimeFieldOverflow, "timestamp out of range")
			}
			return x * 1000, nil
		}), nil
	case encNanos:
		return fixed(f, rd, func(x int64) (int64, error) { return (x - (x%1000+1000)%1000) / 1000, nil }), nil
	case encUint64:
		return fixed(f, rd, func(x int64) (types.Decimal, error) { return types.Decimal{Lo: uint64(x)}, nil }), nil
	case encDecimal:
		scale, nan := l.scale, !l.check
		if !f.list {
			return fixedScaled(f, rd, nil, math.MinInt64), nil
		}
		return fixed(f, rd, func(x int64) (types.Decimal, error) {
			if x == math.MinInt64 && nan {
				return types.Decimal{NaN: true}, nil
			}
			return decimal64(x, scale), nil
		}), nil
	}
	return fixed[int64, int64](f, rd, nil), nil
}

// fixedInts is fixed for integers of another width.
func fixedInts[P int32 | int64, T int16 | int64](f *parquetField, rd pageReader[P]) columnDecoder {
	d := fixed(f, rd, func(x P) (T, error) { return T(x), nil }).(*fixedDecoder[P, T])
	d.all = castAll[P, T]
	return d
}

func castAll[P int32 | int64, T int16 | int64](dst []T, src []P) {
	src = src[:len(dst)]
	for i := range dst {
		dst[i] = T(src[i])
	}
}

func fixed[P any, T vector.Fixed](f *parquetField, rd pageReader[P], conv func(P) (T, error)) columnDecoder {
	d := &fixedDecoder[P, T]{typ: f.leaf.sql, maxDef: f.maxDef, rd: rd, conv: conv}
	if _, same := any(([]T)(nil)).([]P); same && conv == nil {
		d.plain, _ = rd.(wholeReader)
	}
	d.picks, _ = rd.(pagePicker[P])
	return d
}

// fixedScaled is fixed for numerics by their coefficients. In Volley's own files
// nan stands for NaN.
func fixedScaled[P any](f *parquetField, rd pageReader[P], conv func(P) (int64, error), nan int64) columnDecoder {
	d := fixed(f, rd, conv).(*fixedDecoder[P, int64])
	d.scaled = &scaling{scale: f.leaf.scale, nan: nan, hasNaN: !f.leaf.check}
	return d
}

func decimal64(x int64, scale int32) types.Decimal {
	return types.Decimal{Lo: uint64(x), Hi: x >> 63, Scale: scale}
}

// decimalBytes reads a big-endian two's complement number. The least 128-bit
// number, far beyond any precision, stands for NaN in Volley's own files.
func decimalBytes(x []byte, scale int32, nan bool) (types.Decimal, error) {
	var w [16]byte
	sign := byte(0)
	if len(x) > 0 && x[0]&0x80 != 0 {
		sign = 0xff
	}
	for len(x) > 16 {
		if x[0] != sign || (x[1]^sign)&0x80 != 0 {
			return types.Decimal{}, pgerr.New(pgerr.NumericValueOutOfRange, "numeric field overflow")
		}
		x = x[1:]
	}
	for i := range w {
		w[i] = sign
	}
	copy(w[16-len(x):], x)
	d := types.Decimal{Hi: int64(binary.BigEndian.Uint64(w[:8])), Lo: binary.BigEndian.Uint64(w[8:]), Scale: scale}
	if nan && d.Hi == math.MinInt64 && d.Lo == 0 {
		return types.Decimal{NaN: true}, nil
	}
	return d, nil
}
