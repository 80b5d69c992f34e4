package udf

import (
	"context"
	"sort"
	"strings"
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
	total uint64 // lines so far
}

// plainText is what a plugin has written as it can go to other processes and to
// clients, where text is text.
func plainText(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

func (r *logRing) add(l LogLine) {
	if len(l.Line) > maxLogText {
		l.Line = l.Line[:maxLogText]
	}
	l.Line = plainText(l.Line)
	if l.At.IsZero() {
		l.At = time.Now()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.total++
	if len(r.lines) < maxLogLines {
		r.lines = append(r.lines, l)
		return
	}
	r.lines[r.next] = l
	r.next = (r.next + 1) % maxLogLines
}

// all returns the lines in the order in which they came; mu is held.
func (r *logRing) all() []LogLine {
	return append(append([]LogLine(nil), r.lines[r.next:]...), r.lines[:r.next]...)
}

// Logs returns what user code has written lately, oldest first: here, and what
// AddLogs was given.
func (h *Host) Logs() []LogLine {
	h.logs.mu.Lock()
	out := h.logs.all()
	h.logs.mu.Unlock()
	sort.SliceStable(out, func(i, j int) bool { return out[i].At.Before(out[j].At) })
	return out
}

// AddLogs adds lines that user code has written on another worker.
func (h *Host) AddLogs(lines []LogLine) {
	for _, l := range lines {
		h.logs.add(l)
	}
}

// LogsSince returns up to most of the lines after the first n that there were, and
// the number for the next call. What the host does not keep any more is passed over.
func (h *Host) LogsSince(n uint64, most int) ([]LogLine, uint64) {
	h.logs.mu.Lock()
	defer h.logs.mu.Unlock()
	if n >= h.logs.total {
		return nil, h.logs.total
	}
	out := h.logs.all()
	n = max(n, h.logs.total-uint64(len(out)))
	out = out[uint64(len(out))-(h.logs.total-n):]
	out = out[:min(len(out), most)]
	return out, n + uint64(len(out))
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

func (s *stream) queryID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.query
}

// logged keeps a line of the child's. s is its stream, nil for stdout and stderr:
// that belongs to a query if the child works for one only.
func (c *child) logged(s *stream, level, line string) {
	l := LogLine{Digest: c.digest, Worker: c.host.cfg.Worker, Level: level, Line: line}
	if s != nil {
		l.Query, l.Function = s.queryID(), s.name
	} else {
		c.mu.Lock()
		for _, s := range c.streams {
			q := s.queryID()
			if q == "" {
				continue // nobody's, or parked
			}
			if l.Query != "" && l.Query != q {
				l.Query = ""
				break
			}
			l.Query = q
		}
		c.mu.Unlock()
	}
	c.host.logs.add(l)
}
