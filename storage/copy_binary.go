package storage

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/vector"
)

// binarySignature begins COPY data in Postgres' binary format; flags and the
// length of an extension, 4 bytes each, follow.
const binarySignature = "PGCOPY\n\xff\r\n\x00"

// maxBinaryField is the longest value that Postgres accepts.
const maxBinaryField = 1 << 30

// BinaryCopyReader decodes COPY data in Postgres' binary format.
type BinaryCopyReader struct {
	r      *bufio.Reader
	schema []vector.Field
	table  string
	row    int64
	done   bool
	begun  bool
	field  []byte
}

// NewBinaryCopyReader makes a reader of the given columns; errors name table.
func NewBinaryCopyReader(r io.Reader, schema []vector.Field, table string) *BinaryCopyReader {
	return &BinaryCopyReader{r: bufio.NewReaderSize(r, 64<<10), schema: schema, table: table}
}

func badBinary(format string, args ...any) error {
	return pgerr.New(pgerr.BadCopyFileFormat, format, args...)
}

// full reads len(p) bytes.
func (c *BinaryCopyReader) full(p []byte) error {
	_, err := io.ReadFull(c.r, p)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return badBinary("unexpected EOF in COPY data")
	}
	return err
}

func (c *BinaryCopyReader) header() error {
	var h [len(binarySignature) + 8]byte
	if err := c.full(h[:]); err != nil {
		var pe *pgerr.Error
		if errors.As(err, &pe) && pe.Code == pgerr.BadCopyFileFormat {
			return badBinary("COPY file signature not recognized")
		}
		return err
	}
	if string(h[:len(binarySignature)]) != binarySignature {
		return badBinary("COPY file signature not recognized")
	}
	flags, ext := binary.BigEndian.Uint32(h[11:]), binary.BigEndian.Uint32(h[15:])
	if flags&(1<<16) != 0 {
		return badBinary("invalid COPY file header (WITH OIDS)")
	}
	if flags>>16 != 0 {
		return badBinary("unrecognized critical flags in COPY file header")
	}
	if n, err := c.r.Discard(int(min(ext, maxBinaryField))); err != nil || n != int(ext) {
		return badBinary("invalid COPY file header (missing length)")
	}
	return nil
}

// Next returns the next batch, nil at the end.
func (c *BinaryCopyReader) Next(ctx context.Context) (*vector.Batch, error) {
	if !c.begun {
		if err := c.header(); err != nil {
			return nil, err
		}
		c.begun = true
	}
	bs := make([]*vector.Builder, len(c.schema))
	for i, f := range c.schema {
		bs[i] = vector.NewBuilder(f.Type, 1024)
	}
	n := 0
	for !c.done && n < vector.DefaultRows {
		if n%1024 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		end, err := c.tuple(bs)
		if err != nil {
			return nil, err
		}
		if end {
			c.done = true
			break
		}
		n++
	}
	if n == 0 {
		return nil, nil
	}
	cols := make([]*vector.Vector, len(bs))
	for i, b := range bs {
		cols[i] = b.Build()
	}
	return vector.NewBatch(cols, n), nil
}

// tuple reads one row; end is the trailer, or the end of the stream in its place.
func (c *BinaryCopyReader) tuple(bs []*vector.Builder) (end bool, err error) {
	c.row++
	var b4 [4]byte
	// The stream may end without the trailer; drivers leave it out.
	if _, err := c.r.Peek(1); err == io.EOF {
		return true, nil
	}
	if err := c.full(b4[:2]); err != nil {
		return false, c.where(err, -1)
	}
	switch count := int16(binary.BigEndian.Uint16(b4[:])); {
	case count == -1:
		if _, err := c.r.ReadByte(); err == nil {
			return false, c.where(badBinary("received copy data after EOF marker"), -1)
		} else if err != io.EOF {
			return false, err
		}
		return true, nil
	case int(count) != len(bs):
		return false, c.where(badBinary("row field count is %d, expected %d", count, len(bs)), -1)
	}
	for i, b := range bs {
		if err := c.full(b4[:]); err != nil {
			return false, c.where(err, i)
		}
		size := int32(binary.BigEndian.Uint32(b4[:]))
		switch {
		case size == -1:
			b.AppendNull()
			continue
		case size < 0 || size > maxBinaryField:
			return false, c.where(badBinary("invalid field size"), i)
		}
		if err := c.value(int(size)); err != nil {
			return false, c.where(err, i)
		}
		if err := vector.ParseBinary(b, c.field); err != nil {
			return false, c.where(err, i)
		}
	}
	return false, nil
}

// value reads a field; memory follows the data that has come, not the length
// that was announced.
func (c *BinaryCopyReader) value(size int) error {
	const step = 1 << 20
	c.field = c.field[:0]
	for size > 0 {
		n := min(size, step)
		at := len(c.field)
		c.field = append(c.field, make([]byte, n)...)
		if err := c.full(c.field[at:]); err != nil {
			return err
		}
		size -= n
	}
	return nil
}

func (c *BinaryCopyReader) where(err error, column int) error {
	pe := pgerr.From(err)
	if column < 0 {
		return pe.WithWhere("COPY %s, line %d", c.table, c.row)
	}
	return pe.WithWhere("COPY %s, line %d, column %s", c.table, c.row, c.schema[column].Name)
}

// Close does nothing; the stream is the caller's.
func (c *BinaryCopyReader) Close() error { return nil }

// BinaryCopyEncoder encodes COPY data in Postgres' binary format.
type BinaryCopyEncoder struct{}

// NewBinaryCopyEncoder makes an encoder; 42883 for a type without a binary form.
func NewBinaryCopyEncoder(schema []vector.Field) (*BinaryCopyEncoder, error) {
	for _, f := range schema {
		if !vector.HasBinary(f.Type) {
			return nil, pgerr.New(pgerr.UndefinedFunction, "no binary output function available for type %s", f.Type)
		}
	}
	return &BinaryCopyEncoder{}, nil
}

// Header appends what stands before the first row.
func (*BinaryCopyEncoder) Header(dst []byte) []byte {
	return append(append(dst, binarySignature...), 0, 0, 0, 0, 0, 0, 0, 0)
}

// Trailer appends what stands behind the last row.
func (*BinaryCopyEncoder) Trailer(dst []byte) []byte { return append(dst, 0xff, 0xff) }

// AppendBatch appends the rows of a dense batch.
func (e *BinaryCopyEncoder) AppendBatch(dst []byte, b *vector.Batch) []byte {
	for i := range b.Rows() {
		dst = e.AppendRow(dst, b, i)
	}
	return dst
}

// AppendRow appends row i of a dense batch.
func (*BinaryCopyEncoder) AppendRow(dst []byte, b *vector.Batch, i int) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(b.NumCols()))
	for _, v := range b.Cols() {
		if v.IsNull(i) {
			dst = append(dst, 0xff, 0xff, 0xff, 0xff)
			continue
		}
		at := len(dst)
		dst = vector.AppendBinary(append(dst, 0, 0, 0, 0), v, i)
		binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	}
	return dst
}
