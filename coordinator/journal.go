package coordinator

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/volleydb/volley/pgerr"
)

// journal is a file of lines that outlives the process, with the one before it
// (PATH.1): a file that is full takes that one's place. It is for one goroutine at
// a time.
type journal struct {
	path     string
	maxBytes int64
	maxLines int // 0 = any number

	file   *os.File // nil before the first write and after a failure
	size   int64
	lines  int
	closed bool
}

// openJournal reads what is there, oldest first, and creates dir and the file. each
// gets every line, of which the last may be cut short by a crash; it must not keep
// the slice. Errors are 58030.
func openJournal(dir, name string, maxBytes int64, maxLines int, each func(line []byte)) (*journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, pgerr.Wrap(err, pgerr.IOError, "could not create %q", dir)
	}
	j := &journal{path: filepath.Join(dir, name), maxBytes: maxBytes, maxLines: maxLines}
	for _, p := range []string{j.path + ".1", j.path} {
		if err := j.read(p, each); err != nil {
			return nil, pgerr.Wrap(err, pgerr.IOError, "could not read %q", p)
		}
	}
	return j, j.open()
}

func (j *journal) read(path string, each func(line []byte)) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	j.lines = 0 // of the file read last, which is the current one
	for r := bufio.NewReader(f); ; {
		line, err := r.ReadBytes('\n')
		if len(line) > 0 {
			each(line)
			j.lines++
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (j *journal) open() error {
	f, err := os.OpenFile(j.path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return pgerr.Wrap(err, pgerr.IOError, "could not open %q", j.path)
	}
	st, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return pgerr.Wrap(err, pgerr.IOError, "could not read %q", j.path)
	}
	j.file, j.size = f, st.Size()
	if j.size > 0 {
		// A line that a crash, or a full disk, has cut short must not swallow the next.
		last := make([]byte, 1)
		if _, err := f.ReadAt(last, j.size-1); err == nil && last[0] != '\n' {
			n, _ := f.Write([]byte{'\n'})
			j.size += int64(n)
		}
	}
	return nil
}

// write appends lines, each with its newline. After an error the file is opened
// again by the next write.
func (j *journal) write(b []byte, lines int) error {
	if j.closed {
		return nil
	}
	if j.file == nil {
		if err := j.open(); err != nil {
			return err
		}
	}
	if j.size > 0 && (j.maxLines > 0 && j.lines >= j.maxLines || j.size+int64(len(b)) > j.maxBytes) {
		_ = j.file.Close() // it is not read again before the next start
		j.file = nil
		if err := os.Rename(j.path, j.path+".1"); err != nil {
			return pgerr.Wrap(err, pgerr.IOError, "could not rename %q", j.path)
		}
		j.lines = 0
		if err := j.open(); err != nil {
			return err
		}
	}
	n, err := j.file.Write(b)
	j.size += int64(n)
	j.lines += lines
	if err != nil {
		_ = j.file.Close()
		j.file = nil
		return pgerr.Wrap(err, pgerr.IOError, "could not write %q", j.path)
	}
	return nil
}

// sync makes what was written durable.
func (j *journal) sync() error {
	if j.file == nil {
		return nil
	}
	return j.file.Sync()
}

// close syncs and closes the file; later writes do nothing.
func (j *journal) close() error {
	j.closed = true
	if j.file == nil {
		return nil
	}
	err := errors.Join(j.file.Sync(), j.file.Close())
	j.file = nil
	return err
}
