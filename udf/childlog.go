package udf

import (
	"bytes"
	"log/slog"
	"sync"
	"time"
)

// logWriter passes the child's output on, line by line, at most logRate bytes
// per second.
type logWriter struct {
	c       *child
	keep    bool // for error messages too
	line    []byte
	begin   time.Time
	n       int
	dropped int
}

const (
	logRate = 256 << 10
	logLine = 16 << 10
)

func (w *logWriter) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			w.line = append(w.line, b...)
			b = nil
			if len(w.line) < logLine {
				break
			}
		} else {
			w.line = append(w.line, b[:i]...)
			b = b[i+1:]
		}
		w.emit()
	}
	return n, nil
}

func (w *logWriter) emit() {
	if w.keep {
		w.c.tail.add(w.line)
	}
	if now := time.Now(); now.Sub(w.begin) > time.Second {
		if w.dropped > 0 {
			w.c.log.Warn("plugin output dropped", "lines", w.dropped)
		}
		w.begin, w.n, w.dropped = now, 0, 0
	}
	if w.n += len(w.line); w.n > logRate {
		w.dropped++
	} else {
		w.c.log.Info(string(w.line))
		w.c.logged(nil, slog.LevelInfo.String(), string(w.line))
	}
	w.line = w.line[:0]
}

// tailWriter keeps the part of stderr that explains an exit: from the line in
// which the Go runtime says what is wrong, else the last lines.
type tailWriter struct {
	mu    sync.Mutex
	fatal bool
	buf   []byte
}

const tailBytes = 2 << 10

func (t *tailWriter) add(line []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.fatal {
		for _, p := range []string{"fatal error:", "panic:", "runtime: goroutine stack exceeds", "SIGSEGV", "unexpected fault"} {
			if len(line) >= len(p) && string(line[:len(p)]) == p {
				t.fatal = true
				t.buf = t.buf[:0]
			}
		}
	}
	if t.fatal {
		if len(t.buf) < tailBytes && len(line) > 0 {
			t.buf = append(append(t.buf, line...), '\n')
		}
		return
	}
	t.buf = append(append(t.buf, line...), '\n')
	if n := len(t.buf); n > 2*tailBytes {
		t.buf = append(t.buf[:0], t.buf[n-tailBytes:]...)
	}
}

func (t *tailWriter) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := t.buf
	if len(b) > tailBytes && t.fatal {
		b = b[:tailBytes]
	} else if len(b) > tailBytes {
		b = b[len(b)-tailBytes:]
	}
	for len(b) > 0 && b[len(b)-1] == '\n' {
		b = b[:len(b)-1]
	}
	return string(b)
}
