package storage

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/vector"
)

const (
	readBytes      = 1 << 20   // first size of the read buffer
	maxRecordBytes = 256 << 20 // a longer record is refused: most likely a quote is missing
	blockRows      = 1024      // records tokenised at a time: tokens and bytes stay in the cache
	flushBytes     = 32 << 20  // a batch ends early when a column has grown to this
)

func leUint64(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }

// csvReader reads splits of files one after the other, or one stream.
type csvReader struct {
	columns
	d        dialect
	ncols    int
	schema   []vector.Field
	pad      bool   // records with too few fields are completed with NULL
	padNull  string // as the files write it
	copyName string // table name of COPY; "" when reading files

	splits []*proto.Split
	stream io.Reader
	file   *os.File // of splits[0]
	header bool     // stream: a header line is still to be skipped

	buf      []byte // buf[pos:n] is to be tokenised
	pos, n   int
	bufStart int64 // offset in the input of buf[0]
	end      int64 // offset of the split's end; stream: unknown
	final    bool  // all input up to end is in buf
	padded   bool  // a newline was added at the end of buf
	open     bool
	lines    int64 // stream: newlines before buf[0]
	record   int64 // ordinal of the record at pos
	ended    bool

	blk         *block
	err         error
	done, total int64
}

func newCSVReader(schema []vector.Field, o *proto.CsvOptions, fields []int, copyRules bool, batchRows int, s settings) (*csvReader, error) {
	d, null, err := dialectOf(o, copyRules)
	if err != nil {
		return nil, err
	}
	if batchRows <= 0 {
		batchRows = vector.DefaultRows
	}
	r := &csvReader{d: d, ncols: len(schema), schema: schema, columns: columns{batchRows: batchRows, limit: -1, ignore: o.GetIgnoreErrors()},
		pad: o.GetNullPadding(), padNull: null}
	date, err := compileTimeFormat("dateformat", o.GetDateFormat())
	if err != nil {
		return nil, err
	}
	stamp, err := compileTimeFormat("timestampformat", o.GetTimestampFormat())
	if err != nil {
		return nil, err
	}
	for _, f := range fields {
		field := schema[f]
		c := newColumn(f, field, null, s.text)
		c.date, c.stamp = date, stamp
		c.cookedNull = slices.Contains(o.GetForceNull(), field.Name)
		c.neverNull = slices.Contains(o.GetForceNotNull(), field.Name)
		r.cols = append(r.cols, c)
	}
	r.blk = newBlock(max(r.ncols, 1), min(blockRows, batchRows))
	if r.ignore {
		r.bad = make([]bool, r.blk.max)
	}
	return r, nil
}

// Next returns the next batch.
func (r *csvReader) Next(ctx context.Context) (*vector.Batch, error) {
	if r.err != nil || r.ended {
		return nil, r.err
	}
	for {
		b, err := r.next(ctx)
		if err != nil {
			r.err = err
			return nil, err
		}
		if b == nil || b.Rows() > 0 {
			return b, nil
		}
		// All its records were bad and are ignored.
	}
}

func (r *csvReader) next(ctx context.Context) (*vector.Batch, error) {
	rows := 0
	for !r.ended && rows < r.batchRows && r.limit != 0 {
		if !r.open {
			more, err := r.openNext(ctx)
			if err != nil {
				return nil, err
			}
			if !more {
				break
			}
		}
		if rows == 0 {
			r.begin()
		}
		want := min(blockRows, r.batchRows-rows)
		if r.limit > 0 && r.limit < int64(want) && !r.ignore {
			want = int(r.limit)
		}
		got, full, err := r.readBlock(ctx, want)
		if err != nil {
			return nil, err
		}
		rows += got
		if r.limit > 0 && !r.ignore {
			r.limit -= int64(got)
		}
		if full {
			if rows == 0 {
				continue
			}
			break
		}
	}
	if rows == 0 {
		r.ended = true
		return nil, nil
	}
	return r.flush(rows), nil
}

func (r *csvReader) begin() {
	// A small file has no more records than separators.
	capacity := r.batchRows
	if r.stream == nil && !r.pad {
		capacity = int(min(int64(capacity), r.total/int64(max(1, r.ncols))+int64(len(r.splits))+1))
	}
	r.columns.begin(capacity)
}

// readBlock tokenises and converts up to want records. full tells that the batch
// should end here although it has room.
func (r *csvReader) readBlock(ctx context.Context, want int) (rows int, full bool, err error) {
	if r.header {
		if err := r.skipHeader(ctx); err != nil || !r.open {
			return 0, false, err
		}
	}
	r.blk.max = want
	st := r.d.tokenize(r.blk, r.buf[:r.n], r.pos, r.final)
	if r.blk.rows > 0 {
		if err := r.convert(); err != nil {
			return 0, false, err
		}
		rows = r.blk.rows
		for _, c := range r.cols {
			full = full || c.held() >= flushBytes
		}
	}
	r.record += int64(r.blk.rows)
	r.pos = st.next
	switch {
	case st.eod:
		r.close()
		// What follows the mark is read and ignored, as Postgres does.
		if r.stream != nil {
			if _, err := io.Copy(io.Discard, r.stream); err != nil {
				return 0, false, r.ioError(err)
			}
			r.ended = true
		}
	case st.bad == recordMissing && r.pad:
		if err := r.padRecord(st); err != nil {
			return 0, false, err
		}
		rows++
	case st.bad != recordFine:
		if !r.ignore {
			return 0, false, r.recordError(st)
		}
		r.pos = st.after
		r.record++
	case st.more:
		if err := r.fill(ctx); err != nil {
			return 0, false, err
		}
	case r.pos >= r.n:
		if !r.final {
			if err := r.fill(ctx); err != nil {
				return 0, false, err
			}
			break
		}
		if err := r.endInput(); err != nil {
			return 0, false, err
		}
	}
	return rows, full, nil
}

// padRecord adds a record with too few fields, as if delimiters and NULLs stood at
// its end.
func (r *csvReader) padRecord(st stop) error {
	text := bytes.Clone(bytes.TrimRight(r.buf[st.next:st.after], "\r\n"))
	for range r.ncols - st.col {
		text = append(append(text, r.d.delim), r.padNull...)
	}
	text = append(text, '\n')
	b, from := r.blk, r.bufStart
	r.blk = newBlock(max(r.ncols, 1), 1)
	r.d.tokenize(r.blk, append(text, make([]byte, 16)...)[:len(text)], 0, true)
	if r.blk.rows != 1 {
		r.blk = b
		return r.recordError(st)
	}
	// Errors are at the record's place in the input.
	r.bufStart += int64(st.next)
	err := r.convert()
	r.blk, r.bufStart = b, from
	r.record++
	r.pos = st.after
	return err
}

func (r *csvReader) skipHeader(ctx context.Context) error {
	for {
		if after, ok := r.d.recordEnd(r.buf[:r.n], r.pos); ok {
			r.pos, r.header = after, false
			return nil
		}
		if r.final {
			if r.pos >= r.n {
				return r.endInput()
			}
			return r.recordError(stop{next: r.pos, bad: recordUnterminated, after: r.n})
		}
		if err := r.fill(ctx); err != nil {
			return err
		}
	}
}

// convert adds the block's records to the columns. When values do not fit, the
// error of the first record is reported, whatever column was looked at first.
func (r *csvReader) convert() error {
	b := r.blk
	if r.ignore {
		clear(r.bad[:b.rows])
	}
	var first *fieldError
	var at *column
	for _, c := range r.cols {
		if fe := c.add(b, &r.d, r.bad); fe != nil && (first == nil || fe.row < first.row) {
			first, at = fe, c
		}
	}
	if first != nil {
		return r.valueError(first, at)
	}
	r.added(b.rows, r.record)
	return nil
}

// fill reads more input behind buf[pos:n], which it moves to the front.
func (r *csvReader) fill(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return pgerr.From(err)
	}
	if r.stream != nil {
		r.lines += int64(bytes.Count(r.buf[:r.pos], []byte{'\n'}))
	}
	rest := r.n - r.pos
	if rest >= maxRecordBytes {
		return r.located(pgerr.New(pgerr.ProgramLimitExceeded, "a record is longer than %d MB", maxRecordBytes>>20).
			WithHint("A quote may be missing."), r.pos, "", nil)
	}
	size := max(readBytes, 2*rest)
	if left := r.end - r.bufStart - int64(r.n); r.stream == nil && left < int64(size-rest) {
		size = rest + int(left)
	}
	// Room for an added newline and for the words that tokenize reads.
	if cap(r.buf) < size+16 {
		nb := make([]byte, size+16)
		copy(nb, r.buf[r.pos:r.n])
		r.buf = nb
	} else {
		copy(r.buf[:cap(r.buf)], r.buf[r.pos:r.n])
	}
	r.buf = r.buf[:cap(r.buf)]
	r.bufStart += int64(r.pos)
	r.pos, r.n = 0, rest
	return r.read(size)
}

func (r *csvReader) read(size int) error {
	dst := r.buf[r.n:size]
	if r.stream != nil {
		// One Read at a time: a COPY client may wait for what was sent so far.
		for range 100 {
			k, err := r.stream.Read(dst)
			r.n += k
			r.done += int64(k)
			if err == io.EOF {
				r.finalize()
				return nil
			}
			if err != nil {
				return r.ioError(err)
			}
			if k > 0 {
				return nil
			}
		}
		return r.ioError(io.ErrNoProgress)
	}
	k, err := r.file.ReadAt(dst, r.bufStart+int64(r.n))
	r.n += k
	r.done += int64(k)
	if k < len(dst) {
		if err == io.EOF {
			return r.changed()
		}
		return r.ioError(err)
	}
	if r.bufStart+int64(r.n) >= r.end {
		r.finalize()
	}
	return nil
}

// finalize marks the end of the input and completes its last line.
func (r *csvReader) finalize() {
	r.final = true
	if r.n > r.pos && r.buf[r.n-1] != '\n' {
		r.buf[r.n] = '\n'
		r.n++
		r.padded = true
	}
}

// openNext opens the next split.
func (r *csvReader) openNext(ctx context.Context) (bool, error) {
	r.buf, r.pos, r.n, r.final, r.padded = r.buf[:cap(r.buf)], 0, 0, false, false
	if r.stream != nil {
		r.open = true
		if err := r.fill(ctx); err != nil {
			return true, err
		}
		if bytes.HasPrefix(r.buf[:r.n], byteOrderMark) {
			r.pos = len(byteOrderMark)
		}
		return true, nil
	}
	if len(r.splits) == 0 {
		return false, nil
	}
	s := r.splits[0]
	f, err := openFile(s.GetPath())
	if err != nil {
		return false, err
	}
	r.file, r.open = f, true
	r.bufStart, r.end, r.record = s.GetOffset(), s.GetOffset()+s.GetLength(), s.GetRowBase()
	if err := r.checkUnchanged(); err != nil {
		return false, err
	}
	return true, r.fill(ctx)
}

func (r *csvReader) endInput() error {
	if r.stream != nil {
		r.ended, r.open = true, false
		return nil
	}
	if r.padded && !r.splits[0].GetLast() {
		return r.changed()
	}
	if err := r.checkUnchanged(); err != nil {
		return err
	}
	r.close()
	return nil
}

// close ends the split under way.
func (r *csvReader) close() {
	r.open = false
	if r.file != nil {
		r.file.Close()
		r.file = nil
		r.splits = r.splits[1:]
	}
}

// checkUnchanged compares the open file with what planning saw.
func (r *csvReader) checkUnchanged() error {
	return checkUnchanged(r.file, r.splits[0])
}

func checkUnchanged(f *os.File, s *proto.Split) error {
	st, err := f.Stat()
	if err != nil {
		return pgerr.Wrap(err, pgerr.IOError, "could not stat file \"%s\"", s.GetPath())
	}
	if s.GetSize() != 0 && st.Size() != s.GetSize() || s.GetMtimeNs() != 0 && st.ModTime().UnixNano() != s.GetMtimeNs() {
		return errChanged(s.GetPath())
	}
	return nil
}

func errChanged(path string) *pgerr.Error {
	return pgerr.New(pgerr.ObjectNotInPrerequisiteState, "file \"%s\" changed while the query ran", path).
		WithHint("Run the query again.")
}

func (r *csvReader) changed() error { return errChanged(r.splits[0].GetPath()) }

func (r *csvReader) ioError(err error) error {
	if pe := (*pgerr.Error)(nil); errors.As(err, &pe) {
		return pe
	}
	if r.stream != nil {
		return pgerr.Wrap(err, pgerr.IOError, "could not read COPY data").WithClass(pgerr.Transient)
	}
	return pgerr.Wrap(err, pgerr.IOError, "could not read file \"%s\"", r.splits[0].GetPath()).WithClass(pgerr.Transient)
}

// Close releases the file.
func (r *csvReader) Close() error {
	r.ended = true
	if r.file != nil {
		r.close()
	}
	r.buf, r.blk = nil, nil
	return nil
}

// Progress returns bytes read and to read.
func (r *csvReader) Progress() (done, total int64) { return r.done, max(r.total, r.done) }

const typeHint = "The type was inferred from a sample of the file, or declared. Declare another type with the columns option, or read all columns as text with all_text."

func (r *csvReader) valueError(fe *fieldError, c *column) error {
	pe := *pgerr.From(fe.err)
	at := int(r.blk.starts[fe.row])
	if r.copyName != "" {
		// Postgres counts the lines of the record too.
		at = int(r.blk.starts[fe.row+1]) - 1
	} else if pe.Hint == "" && pe.Code != pgerr.CharacterNotInRepertoire {
		pe.Hint = typeHint
	}
	return r.located(&pe, at, c.name, fe.raw)
}

func (r *csvReader) recordError(st stop) error {
	var e *pgerr.Error
	col := func(i int) string { return r.schema[min(max(i, 0), len(r.schema)-1)].Name }
	at := st.next
	if r.copyName != "" {
		at = max(at, st.after-1)
	}
	switch st.bad {
	case recordMissing:
		e = pgerr.New(pgerr.BadCopyFileFormat, "missing data for column \"%s\"", col(st.col))
	case recordExtra:
		e = pgerr.New(pgerr.BadCopyFileFormat, "extra data after last expected column")
	case recordAfterQuote:
		e = pgerr.New(pgerr.BadCopyFileFormat, "unexpected text after the closing quote in column \"%s\"", col(st.col)).
			WithHint("A quote inside a quoted value is written twice. If the file has no quoting, set the quote option to an empty string.")
	default:
		e = pgerr.New(pgerr.BadCopyFileFormat, "unterminated CSV quoted field")
		if r.d.text {
			e = pgerr.New(pgerr.BadCopyFileFormat, "COPY data ends in a backslash")
		}
	}
	if r.copyName == "" {
		e.WithDetail("The file has %d columns; the record is: %s", r.ncols, excerpt(bytes.TrimRight(r.buf[st.next:st.after], "\r\n")))
	}
	return r.located(e, at, "", bytes.TrimRight(r.buf[st.next:st.after], "\r\n"))
}

// located says where in the input position at of buf is.
func (r *csvReader) located(e *pgerr.Error, at int, col string, raw []byte) error {
	line, err := r.line(at)
	if err != nil {
		return err
	}
	if r.copyName == "" {
		where := fmt.Sprintf("%s, line %d", r.splits[0].GetPath(), line)
		if col != "" {
			where += fmt.Sprintf(", column \"%s\"", col)
		}
		return e.WithWhere("%s", where)
	}
	where := fmt.Sprintf("COPY %s, line %d", r.copyName, line)
	if col != "" {
		where += ", column " + col
	}
	if raw != nil {
		where += fmt.Sprintf(": \"%s\"", excerpt(raw))
	}
	return e.WithWhere("%s", where)
}

// excerpt cuts long values as Postgres does in error contexts.
func excerpt(s []byte) string {
	const limit = 100
	if len(s) <= limit {
		return string(bytes.ToValidUTF8(s, []byte("?")))
	}
	return string(bytes.ToValidUTF8(s[:limit], nil)) + "..."
}

// line counts lines from 1. For a file it reads what is before, which only
// happens on the way to an error.
func (r *csvReader) line(at int) (int64, error) {
	nl := []byte{'\n'}
	if r.stream != nil {
		return 1 + r.lines + int64(bytes.Count(r.buf[:at], nl)), nil
	}
	n := int64(1)
	buf := make([]byte, readBytes)
	for off, to := int64(0), r.bufStart+int64(at); off < to; {
		k, err := r.file.ReadAt(buf[:min(int64(len(buf)), to-off)], off)
		n += int64(bytes.Count(buf[:k], nl))
		off += int64(k)
		if err != nil && off < to {
			return 0, r.ioError(err)
		}
	}
	return n, nil
}

func openFile(path string) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, openError(path, err)
	}
	return f, nil
}

func openError(path string, err error) error {
	switch {
	case errors.Is(err, os.ErrNotExist):
		return pgerr.New(pgerr.UndefinedFile, "could not open file \"%s\" for reading: No such file or directory", path)
	case errors.Is(err, os.ErrPermission):
		return pgerr.New(pgerr.InsufficientPrivilege, "could not open file \"%s\" for reading: Permission denied", path)
	}
	return pgerr.Wrap(err, pgerr.IOError, "could not open file \"%s\" for reading", path)
}
