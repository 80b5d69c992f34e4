package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/reeflective/readline"

	"github.com/volleydb/volley/coordinator"
	"github.com/volleydb/volley/parser"
)

// shell runs statements and backslash commands and prints their results.
type shell struct {
	c        *client
	ctx      context.Context
	in       *bufio.Reader // standard input
	out, err io.Writer
	format   string
	expanded bool
	timing   bool
	// interactive goes on after errors.
	interactive bool
	depth       int // of \i

	// shared says that turn is held while the connection is used: another goroutine
	// uses it, too.
	shared bool
	turn   sync.Mutex

	mu      sync.Mutex // guards what follows
	running bool       // a statement that Ctrl-C cancels
}

var errQuit = errors.New("quit")

// statementBuffer collects lines until a statement is complete.
type statementBuffer struct{ text string }

// feed takes a line, or several, and runs what they complete; with last also
// what lacks its semicolon. data is where COPY … FROM STDIN finds its lines.
func (s *shell) feed(b *statementBuffer, line string, last bool, prefix string, data *copyData) error {
	if s.shared && s.depth == 0 {
		s.turn.Lock()
		defer s.turn.Unlock()
	}
	if blank(b.text) && strings.HasPrefix(strings.TrimSpace(line), `\`) {
		b.text = ""
		return s.failed(s.meta(strings.TrimSpace(line)))
	}
	b.text += line
	if !last && !strings.Contains(line, ";") {
		return nil // Split looks at all of the text
	}
	complete, rest := parser.Split(b.text)
	b.text = rest
	if last && !blank(rest) {
		complete = append(complete, strings.TrimSpace(rest))
		b.text = ""
	}
	for _, sql := range complete {
		if err := s.failed(s.statement(sql, prefix, data)); err != nil {
			return err
		}
	}
	return nil
}

// failed lets an interactive shell go on after an error that has been reported.
func (s *shell) failed(err error) error {
	var said silent
	if s.interactive && errors.As(err, &said) && !s.c.conn.IsClosed() {
		return nil
	}
	return err
}

// blank reports whether text has no statement: white space and comments only.
func blank(text string) bool {
	if strings.TrimSpace(text) == "" {
		return true
	}
	complete, rest := parser.Split(text + "\n;")
	return len(complete) == 0 && strings.TrimSpace(rest) == ""
}

// copyStdio finds the statements that move data through the client.
var copyStdio = regexp.MustCompile(`(?is)^\s*copy\b.*\b(from\s+stdin|to\s+stdout)\b`)

// statement runs one statement and prints what it gives, also its error.
func (s *shell) statement(sql, prefix string, data *copyData) error {
	if s.c.ready != nil {
		<-s.c.ready
	}
	start := time.Now()
	s.setRunning(true)
	quiet := s.startBar()
	tag, err := s.exec(sql, data, quiet)
	quiet()
	s.setRunning(false)
	if err != nil {
		printError(s.err, prefix, sql, err)
		if s.c.conn.IsClosed() {
			fmt.Fprintln(s.err, "The connection to the server was lost.")
		}
		return silent{err}
	}
	if s.format == "table" && tag != "" {
		fmt.Fprintln(s.out, tag)
	}
	if s.timing {
		fmt.Fprintf(s.out, "Time: %.3f ms\n", float64(time.Since(start).Microseconds())/1000)
	}
	return nil
}

// exec runs a statement and prints its rows. The tag is that of a statement
// without rows. quiet is called before anything is printed.
func (s *shell) exec(sql string, data *copyData, quiet func()) (tag string, err error) {
	if m := copyStdio.FindStringSubmatch(sql); m != nil {
		if strings.EqualFold(m[1][:2], "to") {
			_, err = s.c.conn.CopyTo(s.ctx, firstWrite{s.out, quiet}, sql)
			return "", err
		}
		data.rest, data.end = nil, false
		t, err := s.c.conn.CopyFrom(s.ctx, data, sql)
		return t.String(), err
	}
	results := s.c.conn.Exec(s.ctx, sql)
	for results.NextResult() {
		r := results.ResultReader()
		fields := r.FieldDescriptions()
		if len(fields) == 0 {
			t, err := r.Close()
			if err == nil {
				tag = t.String()
			}
			continue // Close of results has the error
		}
		w := newRowWriter(s.format, s.expanded, s.out)
		err := w.begin(fields)
		for err == nil && r.NextRow() {
			quiet()
			err = w.row(r.Values())
		}
		if err != nil {
			s.c.cancel() // the reader of our output has gone: so can the rows
		}
		if _, rerr := r.Close(); err == nil {
			err = rerr
		}
		quiet()
		if err == nil {
			err = w.end()
		}
		if err != nil {
			_ = results.Close()
			return "", err
		}
	}
	return tag, results.Close()
}

// firstWrite calls quiet before what is written.
type firstWrite struct {
	w     io.Writer
	quiet func()
}

func (f firstWrite) Write(b []byte) (int, error) {
	f.quiet()
	return f.w.Write(b)
}

// copyData is what COPY … FROM STDIN reads: lines up to one that is \. or, with
// whole, up to the end.
type copyData struct {
	r     *bufio.Reader
	whole bool
	rest  []byte
	end   bool
}

func (c *copyData) Read(p []byte) (int, error) {
	if c.whole {
		return c.r.Read(p)
	}
	for len(c.rest) == 0 {
		if c.end {
			return 0, io.EOF
		}
		line, err := c.r.ReadBytes('\n')
		if err == io.EOF {
			c.end = true
		} else if err != nil {
			return 0, err
		}
		if string(bytes.TrimRight(line, "\r\n")) == `\.` {
			c.end = true
			line = nil
		}
		c.rest = line
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// notice prints a notice of the server.
func (s *shell) notice(n *pgconn.Notice) {
	fmt.Fprintf(s.err, "%s:  %s\n", n.Severity, n.Message)
	printMore(s.err, n.Detail, n.Hint, n.Where)
}

// watchInterrupts makes Ctrl-C cancel the running statement. Without one it ends
// the process, if that is not interactive. The returned function undoes it.
func (s *shell) watchInterrupts() (stop func()) {
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, os.Interrupt)
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			case <-ch:
			}
			s.mu.Lock()
			running := s.running
			s.mu.Unlock()
			switch {
			case running:
				s.c.cancel()
			case !s.interactive:
				os.Exit(130)
			}
		}
	}()
	return func() {
		signal.Stop(ch)
		close(done)
		<-ended
	}
}

func (s *shell) setRunning(on bool) {
	s.mu.Lock()
	s.running = on
	s.mu.Unlock()
}

// When a statement gets a progress bar, and how often it is drawn.
const (
	progressAfter = time.Second
	progressEvery = 200 * time.Millisecond
)

// startBar shows how far the running statement is, once it has taken a while and
// if stderr is a terminal. stop removes the bar; it may be called more than once.
func (s *shell) startBar() (stop func()) {
	if !isTerminal(s.err) {
		return func() {}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	start := time.Now()
	go func() {
		defer close(ended)
		next := time.NewTimer(progressAfter)
		defer next.Stop()
		drawn := false
		for {
			select {
			case <-done:
				if drawn {
					fmt.Fprint(s.err, "\r\x1b[K")
				}
				return
			case <-next.C:
			}
			fmt.Fprint(s.err, "\r"+s.progressLine(time.Since(start))+"\x1b[K")
			drawn = true
			next.Reset(progressEvery)
		}
	}()
	return sync.OnceFunc(func() { close(done); <-ended })
}

// progressLine is the bar, or the time alone when the server cannot be asked.
func (s *shell) progressLine(elapsed time.Duration) string {
	secs := fmt.Sprintf("%.1f s", elapsed.Seconds())
	if s.c.progress != nil {
		if p, ok := s.c.progress(); ok && p > 0 {
			const cells = 30
			n := min(cells, int(p*cells))
			return fmt.Sprintf("[%s%s] %3.0f %%  %s", strings.Repeat("#", n), strings.Repeat("-", cells-n), p*100, secs)
		}
	}
	return "running  " + secs
}

// interact reads from the terminal until \q or Ctrl-D.
func (s *shell) interact() error {
	s.interactive = true
	rl := readline.NewShell()
	rl.Prompt.Primary(func() string { return "volley=> " })
	rl.Prompt.Secondary(func() string { return "volley-> " })
	rl.AcceptMultiline = func(line []rune) bool { return acceptable(string(line)) }
	if home, err := dataHome(); err == nil && os.MkdirAll(home, 0o700) == nil {
		name := filepath.Join(home, "history")
		if f, err := os.OpenFile(name, os.O_CREATE|os.O_RDONLY, 0o600); err == nil {
			_ = f.Close() // it has to exist, or it is not used
		}
		if h, err := readline.NewHistoryFromFile(name); err == nil {
			rl.History.Delete()
			rl.History.Add("volley", h)
		}
	}
	fmt.Fprintf(s.out, "Volley %s. \\? for help, \\q to leave.\n", coordinator.Version)
	for {
		line, err := rl.Readline()
		switch {
		case errors.Is(err, readline.ErrInterrupt):
			continue
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		b := statementBuffer{}
		for l := range strings.Lines(line) {
			if err := s.feed(&b, l, false, "", &copyData{r: s.in}); err != nil {
				return err
			}
		}
	}
}

// acceptable reports whether what has been typed or pasted is to be run: it is
// backslash commands and statements that have their semicolons.
func acceptable(text string) bool {
	rest := ""
	for line := range strings.Lines(text) {
		if blank(rest) && strings.HasPrefix(strings.TrimSpace(line), `\`) {
			rest = ""
			continue
		}
		if rest += line; strings.Contains(line, ";") {
			_, rest = parser.Split(rest)
		}
	}
	return blank(rest)
}
