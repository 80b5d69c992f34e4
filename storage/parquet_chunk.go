package storage

import (
	"encoding/binary"
	"io"
	"math"
	"sync"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/metadata"

	"github.com/volleydb/volley/pgerr"
)

const (
	// windowBytes is how much of a column chunk is read at once.
	windowBytes = 2 << 20
	// maxPageBytes bounds what a page header may make a reader allocate, and
	// maxHeaderBytes the header.
	maxPageBytes   = 256 << 20
	maxHeaderBytes = 16 << 20
	// maxPooledBytes is the size up to which a buffer is kept for the next chunk.
	maxPooledBytes = 8 << 20
)

// pageBuffers keeps the buffers of chunk readers. Their content is copied out
// before the reader goes on, so that no vector refers to them.
var pageBuffers = sync.Pool{New: func() any { return new([]byte) }}

// resized returns b with room for n bytes; the content is lost.
func resized(b []byte, n int) []byte {
	if cap(b) >= n {
		return b[:n]
	}
	size := 64 << 10
	for size < n {
		size *= 2
	}
	return make([]byte, n, size)
}

// chunkReader reads the pages of a column chunk.
type chunkReader struct {
	f        io.ReaderAt
	pos, end int64  // of the file: what is not in the window yet
	window   []byte // read, not consumed: the end of *buf
	buf      *[]byte
	codec    compress.Codec // nil for none
	snappy   bool
	page     *[]byte // decompressed
	values   int64   // that later pages must have
}

// newChunkReader makes the reader of a chunk; false if the chunk has to be left
// to arrow-go.
func newChunkReader(p *parquetFile, cc *metadata.ColumnChunkMetaData) (*chunkReader, bool) {
	if cc.CryptoMetadata() != nil || cc.FilePath() != "" || p.rd.MetaData().WriterVersion().LessThan(metadata.Parquet816FixedVersion) {
		return nil, false
	}
	c := &chunkReader{f: p.f, values: cc.NumValues()}
	switch cc.Compression() {
	case compress.Codecs.Uncompressed:
	case compress.Codecs.Snappy, compress.Codecs.Zstd, compress.Codecs.Gzip, compress.Codecs.Brotli, compress.Codecs.Lz4Raw:
		codec, err := compress.GetCodec(cc.Compression())
		if err != nil {
			return nil, false
		}
		c.codec, c.snappy = codec, cc.Compression() == compress.Codecs.Snappy
	default:
		return nil, false
	}
	c.pos = cc.DataPageOffset()
	if d := cc.DictionaryPageOffset(); cc.HasDictionaryPage() && d > 0 && d < c.pos {
		c.pos = d
	}
	size := cc.TotalCompressedSize()
	if c.pos < 0 || size < 0 || c.pos > math.MaxInt64-size {
		return nil, false
	}
	c.end = c.pos + size
	c.buf, c.page = pageBuffers.Get().(*[]byte), pageBuffers.Get().(*[]byte)
	return c, true
}

// Close gives the buffers back.
func (c *chunkReader) Close() error {
	for _, b := range []*[]byte{c.buf, c.page} {
		if b != nil && cap(*b) <= maxPooledBytes {
			pageBuffers.Put(b)
		}
	}
	c.buf, c.page, c.window, c.pos = nil, nil, nil, c.end
	return nil
}

// fill reads on until the window has n bytes, or all that are left.
func (c *chunkReader) fill(n int) error {
	have := len(c.window)
	left := int64(have) + c.end - c.pos
	n = int(min(int64(n), left))
	if have >= n {
		return nil
	}
	n = int(min(left, max(int64(n), windowBytes)))
	if cap(*c.buf) < n {
		b := resized(nil, n)
		copy(b, c.window)
		*c.buf = b
	} else {
		*c.buf = (*c.buf)[:n]
		copy(*c.buf, c.window)
	}
	c.window = (*c.buf)[:have]
	m, err := c.f.ReadAt((*c.buf)[have:n], c.pos)
	if m < n-have {
		if err == nil || err == io.EOF {
			return errTruncated
		}
		return pgerr.Wrap(err, pgerr.IOError, "could not read")
	}
	c.window = (*c.buf)[:n]
	c.pos += int64(m)
	return nil
}

// chunkPage is a page with its parts, which are valid until the next one is read.
type chunkPage struct {
	pageHeader
	levels  []byte // version 2: of definition
	data    []byte // decompressed
	skipped bool   // neither is there
}

// next reads the next page; false at the end of the chunk. A data page of no more
// than skip values is passed over.
func (c *chunkReader) next(p *chunkPage, skip int) (bool, error) {
	for c.values > 0 {
		size, known := 0, false
		for want := 512; ; want *= 2 {
			if err := c.fill(want); err != nil {
				return false, err
			}
			if len(c.window) == 0 {
				return false, nil
			}
			h := headerReader{data: c.window}
			if known = h.page(&p.pageHeader); known {
				size = len(c.window) - len(h.data)
				break
			}
			if len(c.window) < want || want >= maxHeaderBytes {
				return false, pgerr.New(pgerr.DataCorrupted, "a page header is not valid")
			}
			want = max(want, len(c.window))
		}
		c.window = c.window[size:]
		packed, plain := int(p.packed), int(p.plain)
		p.skipped = false
		if packed < 0 || plain < 0 || plain > maxPageBytes || p.values < 0 {
			return false, pgerr.New(pgerr.DataCorrupted, "a page header is not valid")
		}
		if (p.kind == pageData || p.kind == pageDataV2) && int(p.values) <= skip {
			if int64(packed) > int64(len(c.window))+c.end-c.pos {
				return false, errTruncated
			}
			n := min(packed, len(c.window))
			c.window, c.pos = c.window[n:], c.pos+int64(packed-n)
			c.values -= int64(p.values)
			p.skipped = true
			return true, nil
		}
		if err := c.fill(packed); err != nil {
			return false, err
		}
		if len(c.window) < packed {
			return false, errTruncated
		}
		body := c.window[:packed]
		c.window = c.window[packed:]
		p.levels = nil
		codec := c.codec
		switch p.kind {
		case pageData:
			c.values -= int64(p.values)
		case pageDataV2:
			c.values -= int64(p.values)
			rep, def := int(p.repBytes), int(p.defBytes)
			if rep < 0 || def < 0 || rep > len(body) || def > len(body)-rep || rep+def > plain {
				return false, errTruncated
			}
			p.levels, body = body[rep:rep+def], body[rep+def:]
			plain -= rep + def
			if p.stored {
				codec = nil
			}
		case pageDict:
		default:
			continue
		}
		if codec == nil || len(body) == 0 && plain == 0 {
			if len(body) != plain {
				return false, errTruncated
			}
			p.data = body
			return true, nil
		}
		var err error
		p.data, err = c.decompress(codec, body, plain)
		return err == nil, err
	}
	return false, nil
}

func (c *chunkReader) decompress(codec compress.Codec, body []byte, plain int) ([]byte, error) {
	if c.snappy {
		// No element of three bytes makes more than 64.
		n, head := binary.Uvarint(body)
		if head <= 0 || n != uint64(plain) || plain > 64*len(body) {
			return nil, pgerr.New(pgerr.DataCorrupted, "a page is not of the size that its header names")
		}
		*c.page = resized(*c.page, plain)
		if !decodeSnappy(*c.page, body[head:]) {
			return nil, pgerr.New(pgerr.DataCorrupted, "a page is not valid Snappy")
		}
		return *c.page, nil
	}
	*c.page = resized(*c.page, plain)
	data, err := compress.Decode(codec, *c.page, body)
	if err != nil {
		return nil, err
	}
	if len(data) != plain {
		return nil, pgerr.New(pgerr.DataCorrupted, "a page is not of the size that its header names")
	}
	return data, nil
}

// The kinds of pages, as the format numbers them.
const (
	pageData   = 0
	pageDict   = 2
	pageDataV2 = 3
)

// pageHeader is what reading needs of a page's header.
type pageHeader struct {
	kind               int32
	plain, packed      int32 // bytes
	values             int32
	encoding           parquet.Encoding
	levelEncoding      parquet.Encoding // of definition levels, version 1
	defBytes, repBytes int32            // version 2
	stored             bool             // version 2: the values are not compressed
}

// headerReader reads Thrift's compact protocol. A header that is cut off or not
// valid sets bad.
type headerReader struct {
	data []byte
	bad  bool
}

func (r *headerReader) byte() byte {
	if len(r.data) == 0 {
		r.bad = true
		return 0
	}
	b := r.data[0]
	r.data = r.data[1:]
	return b
}

func (r *headerReader) uvarint() uint64 {
	x, n := binary.Uvarint(r.data)
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.data = r.data[n:]
	return x
}

func (r *headerReader) int32() int32 {
	x := r.uvarint()
	v := int64(x>>1) ^ -int64(x&1)
	if v != int64(int32(v)) {
		r.bad = true
	}
	return int32(v)
}

func (r *headerReader) skipBytes(n uint64) {
	if n > uint64(len(r.data)) {
		r.bad = true
		return
	}
	r.data = r.data[n:]
}

// The types of Thrift's compact protocol.
const (
	thriftTrue = iota + 1
	thriftFalse
	thriftByte
	thriftInt16
	thriftInt32
	thriftInt64
	thriftDouble
	thriftBinary
	thriftList
	thriftSet
	thriftMap
	thriftStruct
	thriftUUID
)

// field reads the header of the field behind last; type 0 ends the struct.
func (r *headerReader) field(last int) (id int, typ byte) {
	b := r.byte()
	if r.bad || b&15 == 0 {
		return 0, 0
	}
	if b>>4 != 0 {
		return last + int(b>>4), b & 15
	}
	return int(r.int32()), b & 15
}

// skip passes a value of a struct's field.
func (r *headerReader) skip(typ byte, depth int) {
	if depth > 16 {
		r.bad = true
	}
	if r.bad {
		return
	}
	switch typ {
	case thriftTrue, thriftFalse:
	case thriftByte:
		r.byte()
	case thriftInt16, thriftInt32, thriftInt64:
		r.uvarint()
	case thriftDouble:
		r.skipBytes(8)
	case thriftUUID:
		r.skipBytes(16)
	case thriftBinary:
		r.skipBytes(r.uvarint())
	case thriftList, thriftSet:
		b := r.byte()
		n, elem := uint64(b>>4), b&15
		if n == 15 {
			n = r.uvarint()
		}
		r.elements(n, depth, elem)
	case thriftMap:
		if n := r.uvarint(); n > 0 {
			b := r.byte()
			r.elements(n, depth, b>>4, b&15)
		}
	case thriftStruct:
		for id := 0; !r.bad; {
			var t byte
			if id, t = r.field(id); t == 0 {
				return
			}
			r.skip(t, depth+1)
		}
	default:
		r.bad = true
	}
}

// elements passes n times elements of the types; inside of collections a bool
// takes a byte.
func (r *headerReader) elements(n uint64, depth int, types ...byte) {
	if n > uint64(len(r.data)) { // each takes one byte at least
		r.bad = true
	}
	for ; n > 0 && !r.bad; n-- {
		for _, t := range types {
			if t == thriftTrue || t == thriftFalse {
				t = thriftByte
			}
			r.skip(t, depth+1)
		}
	}
}

// page reads a page header; false if it is cut off or not valid.
func (r *headerReader) page(h *pageHeader) bool {
	*h = pageHeader{kind: -1, plain: -1, packed: -1, values: -1}
	for id := 0; !r.bad; {
		var t byte
		if id, t = r.field(id); t == 0 {
			break
		}
		switch {
		case t == thriftInt32 && id == 1:
			h.kind = r.int32()
		case t == thriftInt32 && id == 2:
			h.plain = r.int32()
		case t == thriftInt32 && id == 3:
			h.packed = r.int32()
		case t == thriftStruct && (id == 5 || id == 7 || id == 8):
			r.part(h, id)
		default:
			r.skip(t, 0)
		}
	}
	if h.kind != pageData && h.kind != pageDict && h.kind != pageDataV2 {
		h.values = 0 // such a page is passed over
	}
	return !r.bad
}

// part reads the header of a data page (5), a dictionary (7) or a data page of
// version 2 (8).
func (r *headerReader) part(h *pageHeader, of int) {
	for id := 0; !r.bad; {
		var t byte
		if id, t = r.field(id); t == 0 {
			return
		}
		switch {
		case t == thriftInt32 && id == 1:
			h.values = r.int32()
		case t == thriftInt32 && (id == 2 && of != 8 || id == 4 && of == 8):
			h.encoding = parquet.Encoding(r.int32())
		case t == thriftInt32 && id == 3 && of == 5:
			h.levelEncoding = parquet.Encoding(r.int32())
		case t == thriftInt32 && id == 5 && of == 8:
			h.defBytes = r.int32()
		case t == thriftInt32 && id == 6 && of == 8:
			h.repBytes = r.int32()
		case id == 7 && of == 8 && (t == thriftTrue || t == thriftFalse):
			h.stored = t == thriftFalse
		default:
			r.skip(t, 1)
		}
	}
}
