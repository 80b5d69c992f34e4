package storage

import (
	"encoding/binary"
	"math"
	"math/bits"
	"unsafe"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/metadata"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// The page decoders below read the pages of column chunks for the encodings that most files have: plain and dictionary. Fixed-width values go
// from the page into the vector in one step, and text with few distinct values
// stays dictionary-encoded, so that comparisons and group keys work on codes.
// Lists, booleans, int96 and other encodings are left to arrow-go's decoders.

// MaxKeptDict is the number of distinct values up to which text stays
// dictionary-encoded: a batch. Joins and groups look each of a dictionary up once;
// other operators gain nothing beyond half of that, nor do they lose.
const MaxKeptDict = vector.DefaultRows

// ownPages reports whether the page decoders can read a column chunk.
func ownPages(cc *metadata.ColumnChunkMetaData, f *parquetField) bool {
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
func newPageDecoder(f *parquetField, pr *chunkReader) (columnDecoder, error) {
	p := pages{rd: pr, maxDef: f.maxDef, width: f.leaf.phys.ByteSize()}
	if f.leaf.phys == parquet.Types.ByteArray {
		p.width = 0
	}
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
		return &textPages{pages: p, typ: f.leaf.sql, check: f.leaf.check, rows: pr.values}, nil
	}
}

// pages walks the data pages of a column chunk.
type pages struct {
	rd      *chunkReader
	page    chunkPage
	entries int // of the dictionary
	maxDef  int16
	left    int    // rows left in the page
	levels  hybrid // definition levels, when maxDef > 0
	coded   bool   // the page's values are dictionary codes
	codes   hybrid
	plain   []byte // else the values that are left
	width   int    // of a plain value in bytes, 0 for text
	debt    int    // rows that are to be skipped before anything is read
	skipDef []int16
}

// next moves to the next data page with rows, handing a dictionary to dict; false at the end of the chunk.
func (p *pages) next(dict func(data []byte, n int) error) (bool, error) {
	for p.left == 0 || p.debt > 0 {
		if p.left > 0 {
			n := min(p.left, p.debt)
			p.debt -= n
			if err := p.skip(n); err != nil {
				return false, err
			}
			continue
		}
		page := &p.page
		if more, err := p.rd.next(page, p.debt); err != nil || !more {
			return false, err
		}
		if page.skipped {
			p.debt -= int(page.values)
			continue
		}
		data, levels := page.data, page.levels
		switch page.kind {
		case pageDict:
			if e := page.encoding; e != parquet.Encodings.Plain && e != parquet.Encodings.PlainDict {
				return false, pgerr.New(pgerr.DataCorrupted, "a dictionary page has the encoding %s", e)
			}
			if err := dict(data, int(page.values)); err != nil {
				return false, err
			}
			p.entries = int(page.values)
			continue
		case pageData:
			if p.maxDef > 0 {
				if page.levelEncoding != parquet.Encodings.RLE {
					return false, pgerr.New(pgerr.DataCorrupted, "definition levels have the encoding %s", page.levelEncoding)
				}
				if len(data) < 4 || uint64(binary.LittleEndian.Uint32(data)) > uint64(len(data)-4) {
					return false, errTruncated
				}
				n := binary.LittleEndian.Uint32(data)
				levels, data = data[4:4+n], data[4+n:]
			}
		}
		p.left = int(page.values)
		if p.maxDef > 0 {
			p.levels = newHybrid(levels, bits.Len16(uint16(p.maxDef)))
		}
		switch page.encoding {
		case parquet.Encodings.Plain:
			p.coded, p.plain = false, data
		case parquet.Encodings.PlainDict, parquet.Encodings.RLEDict:
			p.coded, p.codes = true, hybrid{entries: p.entries, coded: p.width == 0}
			if len(data) > 0 {
				if data[0] > 32 {
					return false, errTruncated
				}
				p.codes.data, p.codes.width = data[1:], int(data[0])
			}
		default:
			return false, pgerr.New(pgerr.DataCorrupted, "a data page has the encoding %s, which the footer does not name", page.encoding)
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

// skip passes n rows of the page.
func (p *pages) skip(n int) error {
	if len(p.skipDef) == 0 && p.maxDef > 0 {
		p.skipDef = make([]int16, vector.DefaultRows)
	}
	for n > 0 {
		m := n
		if p.maxDef > 0 {
			m = min(n, len(p.skipDef))
		}
		n -= m
		k, err := p.defined(m, p.skipDef)
		switch {
		case err != nil:
			return err
		case p.coded:
			if err := p.codes.pick(k, nil, nil); err != nil {
				return err
			}
		case p.width > 0:
			if len(p.plain) < k*p.width {
				return errTruncated
			}
			p.plain = p.plain[k*p.width:]
		default:
			for range k {
				if len(p.plain) < 4 {
					return errTruncated
				}
				size := uint64(binary.LittleEndian.Uint32(p.plain))
				if size > uint64(len(p.plain)-4) {
					return errTruncated
				}
				p.plain = p.plain[4+size:]
			}
		}
	}
	return nil
}

// inPage moves to the next page if need be and takes n rows from it that all
// have a value; false, with nothing taken, if there are not as many.
func (p *pages) inPage(n int, dict func(data []byte, n int) error) (bool, error) {
	more, err := p.next(dict)
	if err != nil || !more || p.left < n || p.maxDef > 0 && !p.levels.skipRun(n, uint32(p.maxDef)) {
		return false, err
	}
	p.left -= n
	return true, nil
}

// pick reads those of the next n values that rows names into out; false, with
// nothing read, if they are not of one page or some are NULL.
func (d *fixedPages[P]) pick(n int, rows []int32, out []P) (bool, error) {
	if ok, err := d.inPage(n, d.setDict); err != nil || !ok {
		return false, err
	}
	if d.coded {
		if len(d.picked) < len(rows) {
			d.picked = make([]uint32, max(len(rows), vector.DefaultRows/2))
		}
		codes := d.picked[:len(rows)]
		if err := d.codes.pick(n, rows, codes); err != nil {
			return false, err
		}
		return true, d.entriesOf(codes, out)
	}
	if len(d.plain) < n*d.width {
		return false, errTruncated
	}
	if n > 0 {
		// Pages are aligned to bytes only, which holds for no type with pointers.
		src := unsafe.Slice((*P)(unsafe.Pointer(&d.plain[0])), n)
		for i, r := range rows {
			out[i] = src[r]
		}
	}
	d.plain = d.plain[n*d.width:]
	return true, nil
}

// entriesOf looks codes up in the dictionary.
func (d *fixedPages[P]) entriesOf(codes []uint32, out []P) error {
	dict := d.dict
	out = out[:len(codes)]
	for i, c := range codes {
		if uint(c) >= uint(len(dict)) {
			return errCode(len(dict), c)
		}
		out[i] = dict[c]
	}
	return nil
}

// fixedPages reads fixed-width values; it is a pageReader. Levels are written
// only if some value is missing.
type fixedPages[P int32 | int64 | float32 | float64] struct {
	pages
	dict   []P
	index  [1024]uint32 // codes on their way
	picked []uint32
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
	out := values[:k]
	for len(out) > 0 {
		index := d.index[:min(len(out), len(d.index))]
		if err := readHybrid(&d.codes, index); err != nil {
			return 0, 0, err
		}
		if err := d.entriesOf(index, out); err != nil {
			return 0, 0, err
		}
		out = out[len(index):]
	}
	return int64(n), k, nil
}

// whole returns the next n values as a buffer of their own, nil if they are not
// plain, of one page and without NULL. Appending copies into memory that was not
// cleared first.
func (d *fixedPages[P]) whole(n int) ([]byte, error) {
	more, err := d.next(d.setDict)
	if err != nil || !more {
		return nil, err
	}
	var z P
	size := n * int(unsafe.Sizeof(z))
	if d.coded || d.left < n || len(d.plain) < size || d.maxDef > 0 && !d.levels.skipRun(n, uint32(d.maxDef)) {
		return nil, nil
	}
	d.left -= n
	out := append([]byte(nil), d.plain[:size]...)
	d.plain = d.plain[size:]
	return out, nil
}

// copyPlain fills dst from little-endian values, which is what memory holds on
// every platform that Volley is built for (vector.FromRaw relies on it too).
func copyPlain[P any](dst []P, data []byte) {
	if len(dst) > 0 {
		copy(unsafe.Slice((*byte)(unsafe.Pointer(&dst[0])), len(dst)*int(unsafe.Sizeof(dst[0]))), data)
	}
}

// checkCodes reports a code that is not of the dictionary.
func checkCodes[T int16 | int32 | uint32](codes []T, n int) error {
	// Four maxima, so that one step need not wait for the other.
	var m [4]uint32
	i := 0
	for ; i+4 <= len(codes); i += 4 {
		c := codes[i : i+4 : i+4]
		m[0] = max(m[0], uint32(c[0]))
		m[1] = max(m[1], uint32(c[1]))
		m[2] = max(m[2], uint32(c[2]))
		m[3] = max(m[3], uint32(c[3]))
	}
	for ; i < len(codes); i++ {
		m[0] = max(m[0], uint32(codes[i]))
	}
	if top := max(m[0], m[1], m[2], m[3]); len(codes) > 0 && int(top) >= n {
		return errCode(n, top)
	}
	return nil
}

func errCode(n int, code uint32) error {
	return pgerr.New(pgerr.DataCorrupted, "a dictionary of %d values has no value %d", n, code)
}

// textPages reads byte arrays.
type textPages struct {
	pages
	typ   types.Type
	check bool
	dict  *vector.Vector
	def   []int16
	codes []int32
	size  int   // bytes of the last batch, to size the next
	rows  int64 // of the chunk
	wide  bool  // dictionaries are kept that are small against the chunk, if not against a batch
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

// pick reads those of the next n values that rows names, as codes if the page keeps
// them; nil, with nothing read, if they are not of one page, or some are NULL.
func (d *textPages) pick(n int, rows []int32) (*vector.Vector, error) {
	if ok, err := d.inPage(n, d.setDict); err != nil || !ok {
		return nil, err
	}
	if !d.coded {
		return d.pickPlain(n, rows)
	}
	codes := make([]uint32, len(rows))
	if err := d.pages.codes.pick(n, rows, codes); err != nil {
		return nil, err
	}
	entries := 0
	if d.dict != nil {
		entries = d.dict.Len
	}
	out := make([]int32, len(rows))
	for i, c := range codes {
		if uint(c) >= uint(entries) {
			return nil, errCode(entries, c)
		}
		out[i] = int32(c)
	}
	if d.dict == nil {
		return vector.New(d.typ, 0), nil
	}
	v := vector.FromDict(d.typ, out, d.dict)
	if !d.keeps() {
		v = v.Flatten()
	}
	return v, nil
}

// keeps reports that the page's text stays dictionary-encoded.
func (d *textPages) keeps() bool {
	return d.coded && d.dict != nil && d.dict.Len > 0 && (d.dict.Len <= MaxKeptDict || d.wide && int64(d.dict.Len) <= d.rows/2)
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

// read returns codes of the dictionary if it is small and serves all n rows,
// else the text itself.
func (d *textPages) read(n int) (*vector.Vector, error) {
	if len(d.def) < n {
		d.def, d.codes = make([]int16, n), make([]int32, n)
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
		keep := d.keeps() && offs == nil
		if !keep && offs == nil {
			offs = append(dirtyInts(n + 1)[:0], 0)
			text = dirtyBytes(d.expect(n, m))[:0]
			for i, c := range kept {
				if vector.IsValid(valid, i) {
					text = append(text, d.dict.BytesAt(int(c))...)
				}
				offs = append(offs, int32(len(text)))
			}
		}
		codes := d.codes[:k]
		if keep {
			if kept == nil {
				kept = dirtyInts(n)[:0]
			}
			codes = kept[len(kept) : len(kept)+k] // where they stay unless there are NULLs between
		}
		if d.coded {
			if d.dict == nil && k > 0 {
				return nil, errCode(0, 0)
			}
			if err := readHybrid(&d.pages.codes, codes); err != nil {
				return nil, err
			}
		}
		switch {
		case keep:
			kept = kept[:len(kept)+m]
			if k < m {
				spreadCodes(kept[len(kept)-m:], k, def, d.maxDef)
			}
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

// expect guesses the bytes of n values, of which the page has left ones, and then
// some: to grow copies what there is.
func (d *textPages) expect(n, left int) int {
	size := d.size
	switch {
	case size > 0:
	case d.coded && d.dict != nil && d.dict.Len > 0:
		size = len(d.dict.Bytes) / d.dict.Len * n
	case !d.coded:
		size = max(0, len(d.plain)-4*left)
		if rows := left + d.left; rows > n {
			size = max(0, len(d.plain)/rows-4) * n
		}
	}
	return min(size+size/8+wideCopy, maxPageBytes)
}

// spreadCodes moves the first k codes to the rows that have one, from the back; a
// NULL row gets code 0.
func spreadCodes(out []int32, k int, def []int16, maxDef int16) {
	for i := len(out) - 1; i >= 0; i-- {
		c := int32(0)
		if def[i] == maxDef {
			k--
			c = out[k]
		}
		out[i] = c
	}
}
