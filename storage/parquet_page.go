package storage

import (
	"encoding/binary"
	"math"
	"math/bits"
	"unsafe"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// The page decoders below read the pages that arrow-go decompresses, for the
// encodings that most files have: plain and dictionary. Fixed-width values go
// from the page into the vector in one step, and text with few distinct values
// stays dictionary-encoded, so that comparisons and group keys work on codes.
// Lists, booleans, int96 and other encodings are left to arrow-go's decoders.

// maxKeptDict is the number of distinct values up to which text stays
// dictionary-encoded: half a batch, from where on operators gain nothing.
const maxKeptDict = vector.DefaultRows / 2

// ownPages reports whether the page decoders can read a column chunk.
func ownPages(rg *file.RowGroupReader, f *parquetField) bool {
	if f.list {
		return false
	}
	switch f.leaf.phys {
	case parquet.Types.Int32, parquet.Types.Int64, parquet.Types.Float, parquet.Types.Double:
	case parquet.Types.ByteArray:
		if f.leaf.enc != encSame {
			return false
		}
	default:
		return false
	}
	cc, err := rg.MetaData().ColumnChunk(f.index)
	if err != nil {
		return false
	}
	for _, e := range cc.Encodings() {
		switch e {
		case parquet.Encodings.Plain, parquet.Encodings.PlainDict, parquet.Encodings.RLEDict, parquet.Encodings.RLE:
		default:
			return false
		}
	}
	return len(cc.Encodings()) > 0
}

// newPageDecoder makes the decoder of a column chunk for which ownPages holds.
func newPageDecoder(f *parquetField, pr file.PageReader) (columnDecoder, error) {
	p := pages{rd: pr, maxDef: f.maxDef}
	switch f.leaf.phys {
	case parquet.Types.Int32:
		return int32Decoder(f, &fixedPages[int32]{pages: p})
	case parquet.Types.Int64:
		return int64Decoder(f, &fixedPages[int64]{pages: p})
	case parquet.Types.Float:
		return fixed[float32, float32](f, &fixedPages[float32]{pages: p}, nil), nil
	case parquet.Types.Double:
		return fixed[float64, float64](f, &fixedPages[float64]{pages: p}, nil), nil
	default:
		return &textPages{pages: p, typ: f.leaf.sql, check: f.leaf.check}, nil
	}
}

// pages walks the data pages of a column chunk.
type pages struct {
	rd     file.PageReader
	maxDef int16
	left   int    // rows left in the page
	levels hybrid // definition levels, when maxDef > 0
	coded  bool   // the page's values are dictionary codes
	codes  hybrid
	plain  []byte // else the values that are left
}

// next moves to the next data page with rows, handing a dictionary to dict; false
// at the end of the chunk.
func (p *pages) next(dict func(data []byte, n int) error) (bool, error) {
	for p.left == 0 {
		if !p.rd.Next() {
			return false, p.rd.Err()
		}
		page := p.rd.Page()
		data := page.Data()
		levels := []byte(nil)
		switch page := page.(type) {
		case *file.DictionaryPage:
			if e := parquet.Encoding(page.Encoding()); e != parquet.Encodings.Plain && e != parquet.Encodings.PlainDict {
				return false, pgerr.New(pgerr.DataCorrupted, "a dictionary page has the encoding %s", e)
			}
			if err := dict(data, int(page.NumValues())); err != nil {
				return false, err
			}
			continue
		case *file.DataPageV1:
			if p.maxDef > 0 {
				if page.DefinitionLevelEncoding() != parquet.Encodings.RLE {
					return false, pgerr.New(pgerr.DataCorrupted, "definition levels have the encoding %s", page.DefinitionLevelEncoding())
				}
				if len(data) < 4 || uint64(binary.LittleEndian.Uint32(data)) > uint64(len(data)-4) {
					return false, errTruncated
				}
				n := binary.LittleEndian.Uint32(data)
				levels, data = data[4:4+n], data[4+n:]
			}
		case *file.DataPageV2:
			rep, def := int(page.RepetitionLevelByteLen()), int(page.DefinitionLevelByteLen())
			if rep < 0 || def < 0 || rep+def > len(data) {
				return false, errTruncated
			}
			levels, data = data[rep:rep+def], data[rep+def:]
		default:
			continue
		}
		p.left = int(page.NumValues())
		if p.maxDef > 0 {
			p.levels = newHybrid(levels, bits.Len16(uint16(p.maxDef)))
		}
		switch e := parquet.Encoding(page.Encoding()); e {
		case parquet.Encodings.Plain:
			p.coded, p.plain = false, data
		case parquet.Encodings.PlainDict, parquet.Encodings.RLEDict:
			p.coded, p.codes = true, hybrid{}
			if len(data) > 0 {
				if data[0] > 32 {
					return false, errTruncated
				}
				p.codes = newHybrid(data[1:], int(data[0]))
			}
		default:
			return false, pgerr.New(pgerr.DataCorrupted, "a data page has the encoding %s, which the footer does not name", e)
		}
	}
	return true, nil
}

// defined reads the levels of n rows and returns how many have a value. def
// holds them if that is not all.
func (p *pages) defined(n int, def []int16) (int, error) {
	p.left -= n
	if p.maxDef == 0 || p.levels.skipRun(n, uint32(p.maxDef)) {
		return n, nil
	}
	if err := readHybrid(&p.levels, def[:n]); err != nil {
		return 0, err
	}
	values := 0
	for _, l := range def[:n] {
		if l == p.maxDef {
			values++
		}
	}
	return values, nil
}

// fixedPages reads fixed-width values; it is a pageReader. Levels are written
// only if some value is missing.
type fixedPages[P int32 | int64 | float32 | float64] struct {
	pages
	dict  []P
	index []uint32
}

func (d *fixedPages[P]) setDict(data []byte, n int) error {
	var z P
	if n < 0 || len(data) < n*int(unsafe.Sizeof(z)) {
		return errTruncated
	}
	d.dict = make([]P, n)
	copyPlain(d.dict, data)
	return nil
}

// ReadBatchInPage reads up to batch levels of one page, and their values.
func (d *fixedPages[P]) ReadBatchInPage(batch int64, values []P, def, _ []int16) (int64, int, error) {
	more, err := d.next(d.setDict)
	if err != nil || !more {
		return 0, 0, err
	}
	n := min(int(batch), d.left)
	k, err := d.defined(n, def)
	if err != nil {
		return 0, 0, err
	}
	if !d.coded {
		var z P
		size := k * int(unsafe.Sizeof(z))
		if len(d.plain) < size {
			return 0, 0, errTruncated
		}
		copyPlain(values[:k], d.plain)
		d.plain = d.plain[size:]
		return int64(n), k, nil
	}
	if len(d.index) < k {
		d.index = make([]uint32, max(k, vector.DefaultRows))
	}
	index := d.index[:k]
	if err := readHybrid(&d.codes, index); err != nil {
		return 0, 0, err
	}
	if err := checkCodes(index, len(d.dict)); err != nil {
		return 0, 0, err
	}
	dict := d.dict
	for i, c := range index {
		values[i] = dict[c]
	}
	return int64(n), k, nil
}

// copyPlain fills dst from little-endian values, which is what memory holds on
// every platform that Volley is built for (vector.FromRaw relies on it too).
func copyPlain[P any](dst []P, data []byte) {
	if len(dst) > 0 {
		copy(unsafe.Slice((*byte)(unsafe.Pointer(&dst[0])), len(dst)*int(unsafe.Sizeof(dst[0]))), data)
	}
}

func checkCodes(codes []uint32, n int) error {
	top := uint32(0)
	for _, c := range codes {
		top = max(top, c)
	}
	if len(codes) > 0 && int(top) >= n {
		return pgerr.New(pgerr.DataCorrupted, "a dictionary of %d values has no value %d", n, top)
	}
	return nil
}

// textPages reads byte arrays.
type textPages struct {
	pages
	typ   types.Type
	check bool
	dict  *vector.Vector
	def   []int16
	codes []uint32
	size  int // bytes of the last batch, to size the next
}

func (d *textPages) checked(v *vector.Vector) (*vector.Vector, error) {
	if d.check && d.typ.ID != types.Bytea && d.typ.ID != types.UUID && !plainASCII(v.Bytes) {
		for i := range v.Len {
			if err := checkUTF8(v.Bytes[v.Offs[i]:v.Offs[i+1]]); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}

func (d *textPages) setDict(data []byte, n int) (err error) {
	if n < 0 || n > len(data)/4 {
		return errTruncated
	}
	offs := make([]int32, 1, n+1)
	text := make([]byte, 0, len(data)-4*n)
	if _, offs, text, err = takeTexts(data, n, offs, text); err != nil {
		return err
	}
	d.dict, err = d.checked(vector.FromBytes(d.typ, offs, text))
	return err
}

// takeTexts appends n values, each behind its length, and returns what is left
// of data.
func takeTexts(data []byte, n int, offs []int32, text []byte) ([]byte, []int32, []byte, error) {
	for range n {
		if len(data) < 4 {
			return nil, nil, nil, errTruncated
		}
		size := uint64(binary.LittleEndian.Uint32(data))
		if size > uint64(len(data)-4) {
			return nil, nil, nil, errTruncated
		}
		text = append(text, data[4:4+size]...)
		data = data[4+size:]
		offs = append(offs, int32(len(text)))
	}
	if len(text) > math.MaxInt32 {
		return nil, nil, nil, pgerr.New(pgerr.ProgramLimitExceeded, "values of a column exceed 2 GB")
	}
	return data, offs, text, nil
}

// read returns codes of the dictionary if it is small and serves all n rows,
// else the text itself.
func (d *textPages) read(n int) (*vector.Vector, error) {
	if len(d.def) < n {
		d.def, d.codes = make([]int16, n), make([]uint32, n)
	}
	var valid []byte
	var kept []int32 // codes of the rows before at, while all rows have one
	var offs []int32 // else their text
	var text []byte
	for at := 0; at < n; {
		more, err := d.next(d.setDict)
		if err != nil {
			return nil, err
		}
		if !more {
			return nil, errTruncated
		}
		m := min(n-at, d.left)
		k, err := d.defined(m, d.def)
		if err != nil {
			return nil, err
		}
		if k < m && valid == nil {
			valid = vector.NewValid(n)
		}
		def := d.def[:m]
		keep := d.coded && d.dict != nil && d.dict.Len > 0 && d.dict.Len <= maxKeptDict && offs == nil
		if !keep && offs == nil {
			offs = append(make([]int32, 0, n+1), 0)
			text = make([]byte, 0, d.size+d.size/8)
			for i, c := range kept {
				if vector.IsValid(valid, i) {
					text = append(text, d.dict.BytesAt(int(c))...)
				}
				offs = append(offs, int32(len(text)))
			}
		}
		codes := d.codes[:k]
		if d.coded {
			if err := readHybrid(&d.pages.codes, codes); err != nil {
				return nil, err
			}
			size := 0
			if d.dict != nil {
				size = d.dict.Len
			}
			if err := checkCodes(codes, size); err != nil {
				return nil, err
			}
		}
		switch {
		case keep:
			if kept == nil {
				kept = make([]int32, 0, n)
			}
			kept = appendCodes(kept, codes, def, d.maxDef)
		case d.coded:
			offs, text = appendOfDict(offs, text, d.dict, codes, def, d.maxDef)
		case k == m:
			d.plain, offs, text, err = takeTexts(d.plain, m, offs, text)
		default:
			for _, l := range def {
				if l == d.maxDef {
					if d.plain, offs, text, err = takeTexts(d.plain, 1, offs, text); err != nil {
						break
					}
				} else {
					offs = append(offs, int32(len(text)))
				}
			}
		}
		if err != nil {
			return nil, err
		}
		if k < m {
			for i, l := range def {
				if l != d.maxDef {
					vector.SetNull(valid, at+i)
				}
			}
		}
		at += m
	}
	if offs == nil {
		return vector.FromDict(d.typ, kept, d.dict).WithValid(valid), nil
	}
	if len(text) > math.MaxInt32 {
		return nil, pgerr.New(pgerr.ProgramLimitExceeded, "%d values of a column exceed 2 GB", n)
	}
	d.size = len(text)
	v, err := d.checked(vector.FromBytes(d.typ, offs, text))
	if err != nil {
		return nil, err
	}
	return v.WithValid(valid), nil
}

// appendCodes spreads codes over the rows; a NULL row gets code 0.
func appendCodes(dst []int32, codes []uint32, def []int16, maxDef int16) []int32 {
	if len(codes) == len(def) {
		for _, c := range codes {
			dst = append(dst, int32(c))
		}
		return dst
	}
	k := 0
	for _, l := range def {
		c := int32(0)
		if l == maxDef {
			c = int32(codes[k])
			k++
		}
		dst = append(dst, c)
	}
	return dst
}

func appendOfDict(offs []int32, text []byte, dict *vector.Vector, codes []uint32, def []int16, maxDef int16) ([]int32, []byte) {
	if len(codes) == len(def) {
		o, b := dict.Offs, dict.Bytes
		for _, c := range codes {
			text = append(text, b[o[c]:o[c+1]]...)
			offs = append(offs, int32(len(text)))
		}
		return offs, text
	}
	k := 0
	for _, l := range def {
		if l == maxDef {
			text = append(text, dict.BytesAt(int(codes[k]))...)
			k++
		}
		offs = append(offs, int32(len(text)))
	}
	return offs, text
}

// hybrid reads Parquet's mix of run-length and bit-packed integers.
type hybrid struct {
	data  []byte
	width int
	run   int    // values left in a run of value
	value uint32 //
	pack  int    // values left in bit-packed data
	bit   int    // of the next one
}

func newHybrid(data []byte, width int) hybrid { return hybrid{data: data, width: width} }

// header starts the next run.
func (h *hybrid) header() error {
	x, n := binary.Uvarint(h.data)
	if n <= 0 || x>>1 > math.MaxInt32 || x>>1 == 0 {
		return errTruncated
	}
	h.data = h.data[n:]
	if x&1 == 1 {
		// The last group may be cut off where its values are not needed.
		h.pack, h.bit = int(x>>1)*8, 0
		return nil
	}
	h.run = int(x >> 1)
	size := (h.width + 7) / 8
	if len(h.data) < size {
		return errTruncated
	}
	h.value = 0
	for i := range size {
		h.value |= uint32(h.data[i]) << (8 * i)
	}
	h.data = h.data[size:]
	return nil
}

// skipRun passes n values if a run of v has that many left.
func (h *hybrid) skipRun(n int, v uint32) bool {
	if h.run == 0 && h.pack == 0 && n > 0 {
		at := *h
		if at.header() != nil {
			return false
		}
		*h = at
	}
	if h.run < n || h.value != v {
		return false
	}
	h.run -= n
	return true
}

// readHybrid fills dst.
func readHybrid[T int16 | uint32](h *hybrid, dst []T) error {
	for len(dst) > 0 {
		switch {
		case h.run > 0:
			n := min(h.run, len(dst))
			v := T(h.value)
			for i := range dst[:n] {
				dst[i] = v
			}
			h.run -= n
			dst = dst[n:]
		case h.pack > 0:
			n := min(h.pack, len(dst))
			if (h.bit+n*h.width+7)/8 > len(h.data) {
				return errTruncated
			}
			unpack(dst[:n], h.data, h.bit, h.width)
			h.bit += n * h.width
			h.pack -= n
			dst = dst[n:]
			if h.pack == 0 {
				h.data = h.data[min(len(h.data), (h.bit+7)/8):]
			}
		default:
			if err := h.header(); err != nil {
				return err
			}
		}
	}
	return nil
}

// unpack reads values of width bits from bit on.
func unpack[T int16 | uint32](dst []T, data []byte, bit, width int) {
	mask := uint64(1)<<width - 1
	i := 0
	// Eight bytes hold a value wherever it starts in the first of them.
	for ; i < len(dst) && bit>>3+8 <= len(data); i++ {
		dst[i] = T(binary.LittleEndian.Uint64(data[bit>>3:]) >> (bit & 7) & mask)
		bit += width
	}
	for ; i < len(dst); i++ {
		var last [8]byte
		copy(last[:], data[min(len(data), bit>>3):])
		dst[i] = T(binary.LittleEndian.Uint64(last[:]) >> (bit & 7) & mask)
		bit += width
	}
}
