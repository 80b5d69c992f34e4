package pgwire

import (
	"encoding/binary"
	"net"
	"sync"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// flushSize is the number of buffered bytes from which on they are sent.
const flushSize = 64 << 10

// maxKept is the largest buffer kept for reuse: one giant row does not hold its
// memory for the life of the connection.
const maxKept = 1 << 20

// writer builds messages in a buffer. begin takes the lock that end releases,
// so that a notice of another goroutine never falls into a message.
type writer struct {
	mu    sync.Mutex
	nc    net.Conn
	buf   []byte
	start int   // of the message being built
	err   error // the first error of writing; from then on all is dropped
	lost  func(error)
}

func (w *writer) begin(typ byte) {
	w.mu.Lock()
	w.start = len(w.buf)
	w.buf = append(w.buf, typ, 0, 0, 0, 0)
}

func (w *writer) end() {
	binary.BigEndian.PutUint32(w.buf[w.start+1:], uint32(len(w.buf)-w.start-1))
	if len(w.buf) >= flushSize {
		w.flushLocked()
	}
	w.mu.Unlock()
}

func (w *writer) u8(b byte)      { w.buf = append(w.buf, b) }
func (w *writer) i16(v int)      { w.buf = binary.BigEndian.AppendUint16(w.buf, uint16(v)) }
func (w *writer) u32(v uint32)   { w.buf = binary.BigEndian.AppendUint32(w.buf, v) }
func (w *writer) bytes(b []byte) { w.buf = append(w.buf, b...) }

// str appends a null-terminated string; a NUL inside ends it, as the client
// would read it anyway.
func (w *writer) str(s string) {
	for i := 0; i < len(s); i++ {
		if s[i] == 0 {
			s = s[:i]
			break
		}
	}
	w.buf = append(w.buf, s...)
	w.buf = append(w.buf, 0)
}

func (w *writer) empty(typ byte) {
	w.begin(typ)
	w.end()
}

func (w *writer) flush() {
	w.mu.Lock()
	w.flushLocked()
	w.mu.Unlock()
}

func (w *writer) flushLocked() {
	if w.err == nil && len(w.buf) > 0 {
		if _, err := w.nc.Write(w.buf); err != nil {
			w.err = err
			w.lost(err)
		}
	}
	if cap(w.buf) > maxKept {
		w.buf = nil
	}
	w.buf = w.buf[:0]
}

// rows appends the rows of the encoder from row i on, up to n, sending as it
// goes. It stops early when the client is gone.
func (w *writer) rows(e *rowEncoder, i, n int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i < n && w.err == nil {
		if cap(w.buf) < flushSize+flushSize/4 {
			w.buf = append(make([]byte, 0, flushSize+flushSize/2), w.buf...)
		}
		var err error
		if w.buf, i, err = e.appendRows(w.buf, i, n, flushSize); err != nil {
			return err
		}
		if len(w.buf) >= flushSize {
			w.flushLocked()
		}
	}
	return nil
}

// Write sends p as one CopyData message.
func (w *writer) Write(p []byte) (int, error) {
	w.begin('d')
	w.bytes(p)
	w.end()
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(p), w.err
}

func (w *writer) auth(code uint32, data []byte) {
	w.begin('R')
	w.u32(code)
	w.bytes(data)
	w.end()
}

func (w *writer) parameterStatus(name, value string) {
	w.begin('S')
	w.str(name)
	w.str(value)
	w.end()
}

func (w *writer) commandComplete(tag string) {
	w.begin('C')
	w.str(tag)
	w.end()
}

func (w *writer) field(code byte, s string) {
	w.u8(code)
	w.str(s)
}

func (w *writer) error(severity string, e *pgerr.Error) {
	w.begin('E')
	w.report(severity, e)
	w.end()
}

func (w *writer) notice(severity string, e *pgerr.Error) {
	w.begin('N')
	w.report(severity, e)
	w.end()
}

func (w *writer) report(severity string, e *pgerr.Error) {
	w.field('S', severity)
	w.field('V', severity)
	w.field('C', e.Code)
	w.field('M', e.Message)
	if e.Detail != "" {
		w.field('D', e.Detail)
	}
	if e.Hint != "" {
		w.field('H', e.Hint)
	}
	if e.Position > 0 {
		var b [20]byte
		w.u8('P')
		w.bytes(types.AppendInt(b[:0], int64(e.Position)))
		w.u8(0)
	}
	if e.Where != "" {
		w.field('W', e.Where)
	}
	w.u8(0)
}

// rowDescription describes the fields; formats has none, one or all.
func (w *writer) rowDescription(fields []vector.Field, formats formats) {
	w.begin('T')
	w.i16(len(fields))
	for i, f := range fields {
		w.str(f.Name)
		w.u32(0) // table: unknown, which spares catalog queries
		w.i16(0) // column
		w.u32(f.Type.OID())
		w.i16(int(f.Type.Size()))
		mod := f.Type.Typmod
		if _, user := f.Type.User(); user {
			mod = -1 // of a record or enum it is a number of this process
		}
		w.u32(uint32(mod))
		format := formats.of(i)
		if !vector.HasBinary(f.Type) {
			format = 0 // goes as text whatever was asked for
		}
		w.i16(int(format))
	}
	w.end()
}

func (w *writer) parameterDescription(params []types.Type) {
	w.begin('t')
	w.i16(len(params))
	for _, t := range params {
		w.u32(t.OID())
	}
	w.end()
}

// copyResponse is CopyInResponse ('G') or CopyOutResponse ('H').
func (w *writer) copyResponse(typ byte, isBinary bool, columns int) {
	format := 0
	if isBinary {
		format = 1
	}
	w.begin(typ)
	w.u8(byte(format))
	w.i16(columns)
	for range columns {
		w.i16(format)
	}
	w.end()
}
