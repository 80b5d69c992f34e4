package storage

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/vector"
)

const defaultMaxObject = 64 << 20

// MaxJSONObject is the largest maximum size of an object: positions in the buffer,
// which may be twice as long, have 29 bits.
const MaxJSONObject = 200 << 20

// jsonReader reads splits of files of JSON objects, one after the other. In files
// of lines every object ends on its line; in whole files objects follow each other,
// or are the elements of one array.
type jsonReader struct {
	columns
	lines     bool
	names     []string // all keys that are columns of the file
	tok       *jsonTok
	maxObject int

	splits []*proto.Split
	file   *os.File // of splits[0]

	buf      []byte // buf[pos:n] is to be scanned
	pos, n   int
	bufStart int64 // offset in the file of buf[0]
	end      int64 // offset of the split's end
	final    bool  // all input up to end is in buf
	open     bool
	record   int64 // ordinal of the next object
	state    int   // whole files: where in the array it is

	blk         *jsonBlock
	err         error
	ended       bool
	done, total int64
}

// Where a whole file's reader is.
const (
	jsonStart  = iota // before anything
	jsonFirst         // behind [
	jsonComma         // behind an element's comma
	jsonBehind        // behind an element
	jsonBare          // objects without an array around them
	jsonEnd           // behind ]
)

func openJSON(scan *proto.Scan, splits []*proto.Split, batchRows int, s settings) (Reader, error) {
	o := scan.GetJson()
	schema := FromProtoFields(scan.GetFileSchema())
	if batchRows <= 0 {
		batchRows = vector.DefaultRows
	}
	r := &jsonReader{lines: !o.GetWhole(), columns: columns{rowID: scan.GetRowId(), batchRows: batchRows, limit: -1, ignore: o.GetIgnoreErrors()},
		maxObject: int(o.GetMaxObject()), splits: splits}
	if r.maxObject <= 0 {
		r.maxObject = defaultMaxObject
	}
	slots := make([]int, len(schema))
	for i, f := range schema {
		r.names = append(r.names, f.Name)
		slots[i] = -1
	}
	for i, name := range scan.GetColumns() {
		k := fieldIndex(schema, name)
		if k < 0 {
			return nil, pgerr.New(pgerr.InternalError, "scan of \"%s\" asks for column \"%s\", which the file does not have", scan.GetName(), name)
		}
		slots[k] = i
		r.cols = append(r.cols, newColumn(k, schema[k], "", s.text))
	}
	r.tok = newJSONTok(r.names, slots, r.lines, o.GetUnknownError())
	if scan.GetLimit() > 0 {
		r.limit = scan.GetLimit()
	}
	for _, s := range splits {
		r.total += s.GetLength()
	}
	rows := min(blockRows, batchRows)
	r.blk = &jsonBlock{ncols: len(r.cols), slots: make([]jsonSlot, rows*len(r.cols)), starts: make([]uint32, rows+1)}
	if r.ignore {
		r.bad = make([]bool, rows)
	}
	return r, nil
}

// Next returns the next batch.
func (r *jsonReader) Next(ctx context.Context) (*vector.Batch, error) {
	for r.err == nil && !r.ended {
		b, err := r.next(ctx)
		if err != nil {
			r.err = err
			return nil, err
		}
		if b == nil || b.Rows() > 0 {
			return b, nil
		}
	}
	return nil, r.err
}

func (r *jsonReader) next(ctx context.Context) (*vector.Batch, error) {
	rows := 0
	for rows < r.batchRows && r.limit != 0 {
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
		full, err := r.readBlock(ctx, want)
		if err != nil {
			return nil, err
		}
		rows += r.blk.rows
		if r.limit > 0 && !r.ignore {
			r.limit -= int64(r.blk.rows)
		}
		if full && rows > 0 {
			break
		}
	}
	if rows == 0 {
		r.ended = true
		return nil, nil
	}
	return r.flush(rows), nil
}

func (r *jsonReader) begin() {
	// An object with a comma or a newline behind it has three bytes at least.
	capacity := int(min(int64(r.batchRows), r.total/3+int64(len(r.splits))+1))
	r.columns.begin(capacity)
}

// readBlock scans and converts up to want objects. full tells that the batch
// should end here although it has room.
func (r *jsonReader) readBlock(ctx context.Context, want int) (full bool, err error) {
	b := r.blk
	b.data, b.rows = r.buf, 0
	slots := b.slots[:want*b.ncols]
	clear(slots)
	again := false // more input is needed before the next object
	for b.rows < want {
		i, more := r.seek()
		if i < 0 {
			again = more
			if !more {
				if err := r.syntaxError(); err != nil {
					return false, err
				}
				continue
			}
			break
		}
		r.pos = i
		if i >= r.n {
			again = true
			break
		}
		row := slots[b.rows*b.ncols:]
		next := r.tok.object(i, row[:b.ncols])
		if next >= 0 && r.lines {
			// Nothing else may stand on its line.
			j := r.tok.space(next)
			switch {
			case r.tok.p[j] == '\n':
				next = j + 1
			case j >= r.n && !r.final:
				next = r.tok.fail(r.n, "the end of the line")
			case j < r.n:
				next = r.tok.fail(j, "the end of the line")
			}
		}
		if next < 0 {
			clear(row[:b.ncols])
			if !r.final && (r.tok.at >= r.n || r.ignore && r.lines && bytes.IndexByte(r.buf[r.pos:r.n], '\n') < 0) {
				again = true
				break
			}
			if err := r.syntaxError(); err != nil {
				if e := r.convert(); e != nil { // an error before that one comes first
					return false, e
				}
				return false, err
			}
			continue
		}
		if next-i > r.maxObject {
			return false, r.tooLong()
		}
		b.starts[b.rows] = uint32(i)
		b.rows++
		b.starts[b.rows] = uint32(next)
		r.pos = next
		if r.state != jsonBare {
			r.state = jsonBehind
		}
	}
	if b.rows > 0 {
		if err := r.convert(); err != nil {
			return false, err
		}
		r.record += int64(b.rows)
		for _, c := range r.cols {
			full = full || c.held() >= flushBytes
		}
	}
	if again {
		if !r.final {
			return full, r.fill(ctx)
		}
		return full, r.endInput()
	}
	return full, nil
}

// seek finds the next object: its position, r.n at the end of what was read, or
// -1 and more = false for something that may not stand there.
func (r *jsonReader) seek() (i int, more bool) {
	t := r.tok
	if r.lines {
		for i = t.space(r.pos); t.p[i] == '\n'; {
			i = t.space(i + 1)
		}
		return i, true
	}
	for i = t.space(r.pos); i < r.n; i = t.space(i + 1) {
		c := t.p[i]
		switch {
		case c == '{' && (r.state == jsonFirst || r.state == jsonComma || r.state == jsonBare):
			return i, true
		case c == '{' && r.state == jsonStart:
			r.state = jsonBare
			return i, true
		case c == '[' && r.state == jsonStart:
			r.state = jsonFirst
		case c == ',' && r.state == jsonBehind:
			r.state = jsonComma
		case c == ']' && (r.state == jsonBehind || r.state == jsonFirst):
			r.state = jsonEnd
		default:
			want := map[int]string{jsonStart: "an object or an array of objects", jsonFirst: "an object", jsonComma: "an object",
				jsonBehind: "a comma or a closing bracket", jsonBare: "an object", jsonEnd: "the end of the file"}[r.state]
			return t.fail(i, want), false
		}
		r.pos = i + 1
	}
	return r.n, true
}

// convert adds the block's objects to the columns.
func (r *jsonReader) convert() error {
	b := r.blk
	if r.ignore {
		clear(r.bad[:b.rows])
	}
	var first *fieldError
	var at *column
	for k, c := range r.cols {
		if fe := c.addJSON(b, k, r.bad); fe != nil && (first == nil || fe.row < first.row) {
			first, at = fe, c
		}
	}
	if first != nil {
		pe := *pgerr.From(first.err)
		if pe.Hint == "" && pe.Code != pgerr.CharacterNotInRepertoire {
			pe.Hint = jsonTypeHint
		}
		return r.located(&pe, int(b.starts[first.row]), at.name)
	}
	r.added(b.rows, r.record)
	return nil
}

const jsonTypeHint = "The type was inferred from a sample of the file, or declared. Declare another with the types option, infer from more with sample_size, or skip such objects with ignore_errors."

// syntaxError is the error of the text at the tokenizer's failure; nil when it is
// ignored, and pos is then behind its line.
func (r *jsonReader) syntaxError() error {
	t := r.tok
	if r.ignore && r.lines {
		j := bytes.IndexByte(r.buf[r.pos:r.n], '\n')
		if j < 0 {
			j = r.n - r.pos - 1
		}
		r.pos += j + 1
		r.record++
		return nil
	}
	if t.want == "" {
		return r.located(pgerr.New(pgerr.UndefinedColumn, "key \"%s\" is not a column", excerpt(t.name)).
			WithHint("Its columns are declared, or were inferred from a sample of the file; unknown_keys => 'ignore' leaves other keys out."), t.at, "")
	}
	e := pgerr.New(pgerr.InvalidTextRepresentation, "invalid input syntax for type json")
	found := "the end of the file"
	if t.at < r.n {
		line := r.buf[t.at:r.n]
		if line[0] == '\n' {
			found = "the end of the line"
		} else {
			if j := bytes.IndexByte(line, '\n'); j >= 0 {
				line = line[:j]
			}
			found = fmt.Sprintf("\"%s\"", excerpt(bytes.TrimRight(line[:min(len(line), 40)], "\r")))
		}
	}
	e = e.WithDetail("Expected %s, but found %s.", t.want, found)
	if r.lines {
		e = e.WithHint("Every line must hold one object. Objects that span lines are read with format => 'unstructured', an array of objects with format => 'array', and bad lines are skipped with ignore_errors => true.")
	}
	return r.located(e, t.at, "")
}

func (r *jsonReader) tooLong() error {
	return r.located(pgerr.New(pgerr.ProgramLimitExceeded, "an object is longer than %d bytes", r.maxObject).
		WithHint("Raise maximum_object_size, which may be up to %d.", MaxJSONObject), r.pos, "")
}

// located says where in the file position at of buf is.
func (r *jsonReader) located(e *pgerr.Error, at int, col string) error {
	line, buf := int64(1), make([]byte, 256<<10)
	for off, to := int64(0), r.bufStart+int64(at); off < to; {
		k, err := r.file.ReadAt(buf[:min(int64(len(buf)), to-off)], off)
		line += int64(bytes.Count(buf[:k], []byte{'\n'}))
		off += int64(k)
		if err != nil && off < to {
			break // the added newline at the end
		}
	}
	where := fmt.Sprintf("%s, line %d", r.splits[0].GetPath(), line)
	if col != "" {
		where += fmt.Sprintf(", column \"%s\"", col)
	}
	return e.WithWhere("%s", where)
}

// fill reads more input behind buf[pos:n], which it moves to the front.
func (r *jsonReader) fill(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return pgerr.From(err)
	}
	rest := r.n - r.pos
	if rest > r.maxObject {
		return r.tooLong()
	}
	size := max(readBytes, 2*rest)
	if left := r.end - r.bufStart - int64(r.n); left < int64(size-rest) {
		size = rest + int(left)
	}
	const spare = 16 // for an added newline and the bytes behind the end that are scanned
	if cap(r.buf) < size+spare {
		nb := make([]byte, size+spare)
		copy(nb, r.buf[r.pos:r.n])
		r.buf = nb
	} else {
		r.buf = r.buf[:cap(r.buf)]
		copy(r.buf, r.buf[r.pos:r.n])
	}
	r.bufStart += int64(r.pos)
	r.pos, r.n = 0, rest
	k, err := r.file.ReadAt(r.buf[r.n:size], r.bufStart+int64(r.n))
	r.n += k
	r.done += int64(k)
	if r.n < size {
		if err == io.EOF {
			return errChanged(r.splits[0].GetPath())
		}
		return pgerr.Wrap(err, pgerr.IOError, "could not read file \"%s\"", r.splits[0].GetPath()).WithClass(pgerr.Transient)
	}
	if r.bufStart+int64(r.n) >= r.end {
		r.final = true
		if r.n > 0 && r.buf[r.n-1] != '\n' {
			r.buf[r.n] = '\n'
			r.n++
		}
	}
	r.tok.reset(r.buf, r.n)
	return nil
}

// openNext opens the next split.
func (r *jsonReader) openNext(ctx context.Context) (bool, error) {
	if len(r.splits) == 0 {
		return false, nil
	}
	s := r.splits[0]
	f, err := openFile(s.GetPath())
	if err != nil {
		return false, err
	}
	r.file, r.open = f, true
	r.pos, r.n, r.final, r.state = 0, 0, false, jsonStart
	r.bufStart, r.end, r.record = s.GetOffset(), s.GetOffset()+s.GetLength(), s.GetRowBase()
	if r.lines {
		r.state = jsonBare
	}
	if err := checkUnchanged(f, s); err != nil {
		return false, err
	}
	if err := r.fill(ctx); err != nil {
		return false, err
	}
	if s.GetOffset() == 0 && bytes.HasPrefix(r.buf[:r.n], byteOrderMark) {
		r.pos = len(byteOrderMark)
	}
	return true, nil
}

func (r *jsonReader) endInput() error {
	if err := checkUnchanged(r.file, r.splits[0]); err != nil {
		return err
	}
	if r.state == jsonFirst || r.state == jsonComma || r.state == jsonBehind && !r.lines {
		r.tok.fail(r.n, "a closing bracket")
		return r.syntaxError()
	}
	r.close()
	return nil
}

func (r *jsonReader) close() {
	r.open = false
	if r.file != nil {
		r.file.Close()
		r.file = nil
		r.splits = r.splits[1:]
	}
}

// Close releases the file.
func (r *jsonReader) Close() error {
	r.ended = true
	r.close()
	r.buf, r.blk = nil, nil
	return nil
}

// Progress returns bytes read and to read.
func (r *jsonReader) Progress() (done, total int64) { return r.done, max(r.total, r.done) }
