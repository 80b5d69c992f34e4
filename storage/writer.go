package storage

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/vector"
)

// osFile is what the writers need of a file; tests put a full disk there.
type osFile interface {
	io.Writer
	Sync() error
	Close() error
}

// sink is a file under construction: written under a temporary name, and given
// its own when it is complete and durable.
type sink struct {
	path, tmp string // no tmp: written in place
	f         osFile
	w         *bufio.Writer
	bytes     int64
	err       error // the first
	ended     bool
}

type openFunc func(path string) (osFile, error)

// createFile makes a file that is not there yet: nobody else's is overwritten.
func createFile(path string) (osFile, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
}

func newSink(path string, open openFunc) (*sink, error) {
	s := &sink{path: path}
	// The target is written through links, as by an open. What is no ordinary
	// file, a device or a pipe, cannot be replaced and is written in place.
	if st, err := os.Lstat(path); err == nil && st.Mode()&fs.ModeSymlink != 0 {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			s.path = real
		}
	}
	var f osFile
	var err error
	if st, e := os.Stat(s.path); e == nil && !st.Mode().IsRegular() {
		f, err = os.OpenFile(s.path, os.O_WRONLY, 0)
	} else {
		// Two statements may write to the same path: each has a name of its own.
		s.tmp = fmt.Sprintf("%s.%016x.tmp", s.path, rand.Uint64())
		f, err = open(s.tmp)
	}
	if err != nil {
		return nil, s.report(err)
	}
	s.f, s.w = f, bufio.NewWriterSize(f, 1<<20)
	return s, nil
}

func (s *sink) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	s.bytes += int64(n)
	if err != nil && s.err == nil {
		s.err = err
	}
	return n, err
}

// report words an error of the operating system as Postgres does.
func (s *sink) report(err error) error {
	var pe *fs.PathError
	cause := err
	if errors.As(err, &pe) {
		cause = pe.Err
	}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return pgerr.New(pgerr.DiskFull, "could not write to file \"%s\": No space left on device", s.path).
			WithHint("Free some space and run the statement again.")
	case errors.Is(err, fs.ErrNotExist):
		return pgerr.New(pgerr.UndefinedFile, "could not open file \"%s\" for writing: No such file or directory", s.path)
	case errors.Is(err, fs.ErrPermission):
		return pgerr.New(pgerr.InsufficientPrivilege, "could not open file \"%s\" for writing: Permission denied", s.path)
	}
	return pgerr.New(pgerr.IOError, "could not write to file \"%s\": %v", s.path, cause).WithClass(pgerr.Transient)
}

// finish makes the file durable under its name.
func (s *sink) finish() error {
	err := s.err
	if err == nil {
		err = s.w.Flush()
	}
	s.ended = true
	if s.tmp == "" {
		if err = errors.Join(err, s.f.Close()); err != nil {
			return s.report(err)
		}
		return nil
	}
	if err == nil {
		err = s.f.Sync()
	}
	err = errors.Join(err, s.f.Close())
	if err == nil {
		err = os.Rename(s.tmp, s.path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(s.path))
	}
	if err != nil {
		os.Remove(s.tmp)
		return s.report(err)
	}
	return nil
}

func (s *sink) abort() {
	if s.ended {
		return
	}
	s.ended = true
	s.f.Close()
	if s.tmp != "" {
		os.Remove(s.tmp)
	}
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) {
		return err
	}
	return nil
}

// NewWriter starts a file: w.Path when set, else w.Directory/fileBase plus the
// format's extension. What is written is invisible under that name until Close.
func NewWriter(ctx context.Context, w *proto.TableWrite, fileBase string, opts ...Option) (Writer, error) {
	return newWriter(w, fileBase, createFile, settingsOf(opts))
}

func newWriter(w *proto.TableWrite, fileBase string, open openFunc, set settings) (Writer, error) {
	path := w.GetPath()
	if path == "" {
		path = filepath.Join(w.GetDirectory(), fileBase+"."+w.GetFormat())
	} else if st, err := os.Stat(path); err == nil && st.IsDir() {
		return nil, pgerr.New(pgerr.WrongObjectType, "\"%s\" is a directory", path)
	}
	schema := FromProtoFields(w.GetSchema())
	check := &nullCheck{table: w.GetTable(), schema: schema, notNull: w.GetNotNull()}
	switch w.GetFormat() {
	case "parquet":
		return newParquetWriter(path, schema, check, open)
	case "csv", "text":
		o := w.GetCsv()
		if o == nil {
			o = &proto.CsvOptions{TextFormat: w.GetFormat() == "text"}
		}
		enc, err := NewCopyEncoder(schema, o, set.forceQuote, func(s *settings) { *s = set })
		if err != nil {
			return nil, err
		}
		s, err := newSink(path, open)
		if err != nil {
			return nil, err
		}
		return &textWriter{sink: s, enc: enc, check: check, buf: enc.Header(nil)}, nil
	}
	return nil, pgerr.New(pgerr.FeatureNotSupported, "file format \"%s\" is not supported", w.GetFormat())
}

// nullCheck refuses NULLs in NOT NULL columns.
type nullCheck struct {
	table   string
	schema  []vector.Field
	notNull []bool
}

func (c *nullCheck) is(col int) bool { return col < len(c.notNull) && c.notNull[col] }

func (c *nullCheck) batch(b *vector.Batch) error {
	for i := range c.schema {
		if c.is(i) && b.Col(i).NullCount() > 0 {
			return pgerr.New(pgerr.NotNullViolation, "null value in column \"%s\" of relation \"%s\" violates not-null constraint",
				c.schema[i].Name, c.table)
		}
	}
	return nil
}

// textWriter writes csv and text files.
type textWriter struct {
	sink  *sink
	enc   *CopyEncoder
	check *nullCheck
	buf   []byte
	rows  int64
}

func (w *textWriter) Write(ctx context.Context, b *vector.Batch) error {
	if err := ctx.Err(); err != nil {
		return pgerr.From(err)
	}
	if err := w.check.batch(b); err != nil {
		return err
	}
	w.buf = w.enc.AppendBatch(w.buf, b)
	w.rows += int64(b.Rows())
	return w.flush()
}

func (w *textWriter) flush() error {
	_, err := w.sink.Write(w.buf)
	w.buf = w.buf[:0]
	if err != nil {
		return w.sink.report(err)
	}
	return nil
}

func (w *textWriter) Close(ctx context.Context) (FileInfo, error) {
	if err := ctx.Err(); err != nil {
		w.Abort()
		return FileInfo{}, pgerr.From(err)
	}
	if err := w.flush(); err != nil {
		w.Abort()
		return FileInfo{}, err
	}
	if err := w.sink.finish(); err != nil {
		return FileInfo{}, err
	}
	return FileInfo{Path: w.sink.path, Rows: w.rows, Bytes: w.sink.bytes}, nil
}

func (w *textWriter) Abort() { w.sink.abort() }
