package physical

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"syscall"

	"github.com/klauspost/compress/s2"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// spillFile is a file of batches: written once from start to end, then read
// from the start. Each batch is its length (32 bits), then an Arrow IPC block of
// package vector compressed with S2. The file is unlinked as soon as it is open,
// so that nothing stays behind whatever happens to the process.
type spillFile struct {
	dir     string
	f       *os.File // nil until something is written
	w       *bufio.Writer
	rows    int64
	bytes   int64
	largest int64 // bytes of the largest block, before it was compressed
	types   []types.Type
	stats   *OperatorStats
	raw     []byte
	comp    []byte
}

// spillBlock is the target size of a spilled batch: what a reader of many files
// holds of each.
const spillBlock = 256 << 10

// newSpillFile prepares a file; it is created at the first write.
func newSpillFile(env *Env, stats *OperatorStats, ts []types.Type) *spillFile {
	return &spillFile{dir: env.SpillDir, types: ts, stats: stats}
}

func (s *spillFile) open() error {
	f, err := os.CreateTemp(s.dir, "spill-*")
	if err != nil {
		return spillError(err, "could not create a temporary file")
	}
	if err := os.Remove(f.Name()); err != nil {
		_ = f.Close()
		return spillError(err, "could not unlink a temporary file")
	}
	s.f, s.w = f, bufio.NewWriterSize(f, 64<<10)
	return nil
}

func spillError(err error, what string) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return pgerr.Wrap(err, pgerr.DiskFull, "%s", what).WithHint("Free space in the spill directory, or raise work_mem.")
	}
	return pgerr.Wrap(err, pgerr.IOError, "%s", what)
}

// write appends a batch, in blocks.
func (s *spillFile) write(ctx context.Context, b *vector.Batch) error {
	n := b.Rows()
	if n == 0 {
		return nil
	}
	per := max(int(batchBytes(b))/n, 1)
	step := max(spillBlock/per, 16)
	for from := 0; from < n; from += step {
		if err := cancelled(ctx); err != nil {
			return err
		}
		if err := s.block(b.Slice(from, min(from+step, n)).Dense()); err != nil {
			return err
		}
	}
	return nil
}

func (s *spillFile) block(b *vector.Batch) error {
	var err error
	if s.raw, err = vector.EncodeBatch(s.raw[:0], b); err != nil {
		return err
	}
	s.largest = max(s.largest, int64(len(s.raw)))
	s.comp = s2.Encode(s.comp[:cap(s.comp)], s.raw)
	if s.f == nil {
		if err := s.open(); err != nil {
			return err
		}
	}
	var head [4]byte
	binary.LittleEndian.PutUint32(head[:], uint32(len(s.comp)))
	if _, err = s.w.Write(head[:]); err == nil {
		_, err = s.w.Write(s.comp)
	}
	if err != nil {
		return spillError(err, "could not write to a temporary file")
	}
	s.rows += int64(b.Rows())
	s.bytes += int64(len(s.comp)) + 4
	s.stats.SpilledBytes += int64(len(s.comp)) + 4
	return nil
}

// done ends writing and frees the buffers.
func (s *spillFile) done() error {
	if s.w == nil {
		return nil
	}
	err := s.w.Flush()
	s.w, s.raw, s.comp = nil, nil, nil
	if err != nil {
		return spillError(err, "could not write to a temporary file")
	}
	return nil
}

// reader returns a reader from the start; there may be several.
func (s *spillFile) reader() (*spillReader, error) {
	if err := s.done(); err != nil {
		return nil, err
	}
	if s.f == nil {
		return &spillReader{file: s, r: bufio.NewReader(eofReader{})}, nil
	}
	return &spillReader{file: s, r: bufio.NewReaderSize(io.NewSectionReader(s.f, 0, s.bytes), 64<<10)}, nil
}

func (s *spillFile) close() {
	if s != nil && s.f != nil {
		_ = s.f.Close() // unlinked: there is nothing left to lose
		s.f = nil
	}
}

type eofReader struct{}

func (eofReader) Read([]byte) (int, error) { return 0, io.EOF }

// spillReader reads a spillFile's batches.
type spillReader struct {
	file *spillFile
	r    *bufio.Reader
	comp []byte
	raw  []byte
}

// Next returns the next batch, nil at the end.
func (r *spillReader) Next(ctx context.Context) (*vector.Batch, error) {
	if err := cancelled(ctx); err != nil {
		return nil, err
	}
	var head [4]byte
	if _, err := io.ReadFull(r.r, head[:]); err == io.EOF {
		return nil, nil
	} else if err != nil {
		return nil, spillError(err, "could not read a temporary file")
	}
	n := int(binary.LittleEndian.Uint32(head[:]))
	if cap(r.comp) < n {
		r.comp = make([]byte, n)
	}
	r.comp = r.comp[:n]
	if _, err := io.ReadFull(r.r, r.comp); err != nil {
		return nil, spillError(err, "could not read a temporary file")
	}
	var err error
	if r.raw, err = s2.Decode(r.raw[:cap(r.raw)], r.comp); err != nil {
		return nil, pgerr.Wrap(err, pgerr.DataCorrupted, "damaged temporary file")
	}
	b, err := vector.DecodeBatch(r.file.types, r.raw)
	if err != nil {
		return nil, err
	}
	return retypeBatch(b, r.file.types), nil
}

// batchBytes estimates the memory of a batch once it is copied: dictionaries,
// which batches share, count by what the rows take of them.
func batchBytes(b *vector.Batch) int64 {
	n := int64(64)
	for i := range b.NumCols() {
		n += vectorBytes(b.Col(i))
	}
	return n
}

func vectorBytes(v *vector.Vector) int64 {
	switch v.Form {
	case vector.Dict:
		avg := int64(8)
		if v.Child.Len > 0 {
			avg += v.Child.Size() / int64(v.Child.Len)
		}
		return int64(v.Len) * avg
	case vector.Const:
		return max(v.Size(), int64(v.Len)*int64(max(vector.Width(v.Type.Phys()), 4)))
	}
	return v.Size()
}
