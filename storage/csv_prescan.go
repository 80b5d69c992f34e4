package storage

import (
	"bytes"
	"context"
	"io"
	"os"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
)

var byteOrderMark = []byte{0xef, 0xbb, 0xbf}

// pieceBytes is the unit of the pass over a file. Pieces begin behind a newline,
// so that neither a doubled quote nor an escape can straddle two of them.
const pieceBytes = 2 << 20

// maxAlign is how far the pass looks for that newline before it gives up
// splitting the file.
const maxAlign = 16 << 20

// prescan passes once over data from offset start, which begins a record, and
// returns splits of about splitBytes each that start at records, with the
// ordinal of their first row from 0. oneColumn: empty lines are records.
//
// Pieces are read in parallel under the assumption that they begin outside
// quotes. Going through them in order then tells where that is wrong, and such
// a piece is read again; that happens only where a newline inside quotes is the
// first one behind a piece's nominal start.
func prescan(ctx context.Context, f *os.File, d *dialect, start, size, splitBytes int64, oneColumn bool) (splits []*proto.Split, rows int64, err error) {
	return prescanPieces(ctx, f, d, start, size, splitBytes, oneColumn, pieceBytes)
}

func prescanPieces(ctx context.Context, f *os.File, d *dialect, start, size, splitBytes int64, oneColumn bool, pieceBytes int64) (splits []*proto.Split, rows int64, err error) {
	n := int((size - start + pieceBytes - 1) / pieceBytes)
	pieces := make([]piece, n)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), n) {
		wg.Go(func() {
			var buf []byte
			for {
				i := int(next.Add(1) - 1)
				if i >= n || ctx.Err() != nil {
					return
				}
				p := &pieces[i]
				var e error
				if buf, e = p.load(f, buf, start, size, int64(i), pieceBytes); e != nil {
					cancel(e)
					return
				}
				if !p.unaligned {
					p.walk(d, buf, false, oneColumn)
				}
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, 0, pgerr.From(err)
	}
	in := false
	var buf []byte
	add := func(at, row int64) {
		if k := len(splits); k > 0 {
			splits[k-1].Length = at - splits[k-1].Offset
			splits[k-1].Rows = row - splits[k-1].RowBase
		}
		splits = append(splits, &proto.Split{Offset: at, RowBase: row})
	}
	for i := range pieces {
		p := &pieces[i]
		if p.unaligned {
			// One record is longer than a split may be; the rest is one split.
			if len(splits) == 0 {
				add(start, 0)
			}
			last := splits[len(splits)-1]
			last.Length = size - last.Offset
			last.Last = true
			return splits, -1, nil
		}
		if in && p.from < p.to {
			if buf, err = p.load(f, buf, start, size, int64(i), pieceBytes); err != nil {
				return nil, 0, err
			}
			p.walk(d, buf, true, oneColumn)
		}
		if p.first >= 0 && (len(splits) == 0 || p.first-splits[len(splits)-1].Offset >= splitBytes) {
			row := rows
			if in {
				row++ // the record that ends in this piece belongs to the split before
			}
			add(p.first, row)
		}
		if p.from < p.to {
			in = p.in
		}
		rows += p.ends
	}
	if k := len(splits); k > 0 {
		s := splits[k-1]
		s.Length, s.Rows, s.Last = size-s.Offset, rows-s.RowBase, true
	}
	return splits, rows, nil
}

// piece is the part of a file between two newlines, and what a walk over it found.
type piece struct {
	from, to  int64
	unaligned bool
	in        bool  // it ends inside quotes
	ends      int64 // records that end in it
	first     int64 // offset of the first record that starts in it, -1 = none
}

// load reads piece i: from behind the first newline at or after its nominal
// start less one, to the same of the next piece. The last one gets a newline at
// its end where it lacks.
func (p *piece) load(f *os.File, buf []byte, start, size, i, pieceBytes int64) ([]byte, error) {
	from := start + i*pieceBytes
	to := min(from+pieceBytes, size)
	lead := int64(0)
	if i > 0 {
		lead = 1
	}
	if room := min(pieceBytes, size-start) + 1 + min(64<<10, size); int64(cap(buf)) < room {
		buf = make([]byte, room)
	}
	buf = buf[:to-from+lead]
	if err := readFull(f, buf, from-lead); err != nil {
		return buf, err
	}
	skip := 0
	if i > 0 {
		skip = bytes.IndexByte(buf, '\n') + 1
		if skip == 0 {
			// No record starts here: the piece is empty.
			p.from, p.to = to, to
			p.first = -1
			p.unaligned = to-from >= pieceBytes && noNewline(f, to, size)
			return buf[:0], nil
		}
	}
	p.from = from - lead + int64(skip)
	for at := to; at < size && buf[len(buf)-1] != '\n'; {
		k := min(int64(64<<10), size-at)
		n := len(buf)
		buf = append(buf, make([]byte, k)...)
		if err := readFull(f, buf[n:], at); err != nil {
			return buf, err
		}
		if j := bytes.IndexByte(buf[n:], '\n'); j >= 0 {
			buf = buf[:n+j+1]
			at += int64(j) + 1
			to = at
			break
		}
		at += k
		to = at
		if at-from > pieceBytes+maxAlign {
			p.unaligned = true
			return buf[:0], nil
		}
	}
	p.to = to
	buf = buf[skip:]
	if to == size && len(buf) > 0 && buf[len(buf)-1] != '\n' {
		buf = append(buf, '\n')
	}
	return buf, nil
}

// noNewline reports that no newline follows within maxAlign.
func noNewline(f *os.File, at, size int64) bool {
	buf := make([]byte, 256<<10)
	for to := min(at+maxAlign, size); at < to; {
		k, err := f.ReadAt(buf[:min(int64(len(buf)), to-at)], at)
		if bytes.IndexByte(buf[:k], '\n') >= 0 {
			return false
		}
		at += int64(k)
		if err != nil {
			return false
		}
	}
	return at < size
}

func readFull(f *os.File, buf []byte, at int64) error {
	if _, err := f.ReadAt(buf, at); err != nil {
		if err == io.EOF {
			return errChanged(f.Name())
		}
		return pgerr.Wrap(err, pgerr.IOError, "could not read file \"%s\"", f.Name()).WithClass(pgerr.Transient)
	}
	return nil
}

// walk follows the quotes through the piece's bytes.
func (p *piece) walk(d *dialect, data []byte, in, oneColumn bool) {
	p.first, p.ends, p.in = -1, 0, false
	atStart := !in
	if !in && len(data) > 0 {
		p.first = p.from
	}
	for pos := 0; pos < len(data); {
		if in {
			q := d.endQuote(data, pos)
			if q < 0 {
				p.in = true
				return
			}
			pos, in, atStart = q+1, false, false
			continue
		}
		// Up to the next quote that opens a field.
		open := len(data)
		if d.quote != 0 {
			for from := pos; from < len(data); {
				j := bytes.IndexByte(data[from:], d.quote)
				if j < 0 {
					break
				}
				j += from
				if j == 0 || data[j-1] == d.delim || data[j-1] == '\n' {
					open = j
					break
				}
				from = j + 1
			}
		}
		seg := data[pos:open]
		n := int64(bytes.Count(seg, []byte{'\n'}))
		if n > 0 && p.first < 0 {
			p.first = p.from + int64(pos+bytes.IndexByte(seg, '\n')) + 1
			if p.first >= p.from+int64(len(data)) {
				p.first = -1 // the record starts in the next piece
			}
		}
		p.ends += n
		if n > 0 && !oneColumn {
			p.ends -= emptyLines(seg, atStart)
		}
		if open == len(data) {
			return
		}
		pos, in = open+1, true
	}
}

// emptyLines counts the lines of seg without anything in them but a carriage
// return; atStart tells that seg begins a record.
func emptyLines(seg []byte, atStart bool) (n int64) {
	if atStart && (bytes.HasPrefix(seg, []byte("\n")) || bytes.HasPrefix(seg, []byte("\r\n"))) {
		n++
	}
	for _, pat := range []string{"\n\n", "\n\r\n"} {
		for s := seg; ; {
			j := bytes.Index(s, []byte(pat))
			if j < 0 {
				break
			}
			n++
			s = s[j+1:]
		}
	}
	return n
}
