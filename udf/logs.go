package udf

import (
	"context"
	"sync"
	"time"
)

// LogLine is a line that user code has written, to its log or to stdout or stderr.
type LogLine struct {
	At       time.Time
	Query    string // "" where a process that several queries use wrote it
	Function string // "" for stdout and stderr
	Digest   string
	Worker   string
	Level    string // DEBUG, INFO, WARN, ERROR; of stdout and stderr INFO
	Line     string
}

// maxLogLines bounds the lines that a Host keeps, maxLogText the bytes of one.
const (
	maxLogLines = 10_000
	maxLogText  = 4 << 10
)

// logRing keeps the last lines.
type logRing struct {
	mu    sync.Mutex
	lines []LogLine
	next  int
}

func (r *logRing) add(l LogLine) {
	if len(l.Line) > maxLogText {
		l.Line = l.Line[:maxLogText]
	}
	l.At = time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.lines) < maxLogLines {
		r.lines = append(r.lines, l)
		return
	}
	r.lines[r.next] = l
	r.next = (r.next + 1) % maxLogLines
}

// Logs returns what user code has written lately, oldest first.
func (h *Host) Logs() []LogLine {
	h.logs.mu.Lock()
	defer h.logs.mu.Unlock()
	return append(append([]LogLine(nil), h.logs.lines[h.logs.next:]...), h.logs.lines[:h.logs.next]...)
}

type queryKey struct{}

// WithQuery says for which query streams are opened, for Logs.
func WithQuery(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, queryKey{}, id)
}

func queryOf(ctx context.Context) string {
	id, _ := ctx.Value(queryKey{}).(string)
	return id
}

// logged keeps a line of the child's. s is its stream, nil for stdout and stderr:
// that belongs to a query if the child works for one only.
func (c *child) logged(s *stream, level, line string) {
	l := LogLine{Digest: c.digest, Worker: c.host.cfg.Worker, Level: level, Line: line}
	if s != nil {
		l.Query, l.Function = s.query, s.name
	} else {
		c.mu.Lock()
		for _, s := range c.streams {
			if l.Query != "" && l.Query != s.query {
				l.Query = ""
				break
			}
			l.Query = s.query
		}
		c.mu.Unlock()
	}
	c.host.logs.add(l)
}
