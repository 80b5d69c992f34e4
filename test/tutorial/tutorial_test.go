package tutorial

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// block is a fenced block of a page: language, what stands behind it, text.
type block struct {
	lang, arg string
	text      string
	line      int // of the fence, from 1
}

// blocks reads the fenced blocks of a page.
func blocks(page string) []block {
	var out []block
	var cur *block
	for i, l := range strings.Split(page, "\n") {
		fence, is := strings.CutPrefix(l, "```")
		switch {
		case is && cur == nil:
			lang, arg, _ := strings.Cut(fence, " ")
			cur = &block{lang: lang, arg: arg, line: i + 1}
		case is:
			out = append(out, *cur)
			cur = nil
		case cur != nil:
			cur.text += l + "\n"
		}
	}
	return out
}

var (
	spaces = regexp.MustCompile(`[ \t]+`)
	rule   = regexp.MustCompile(`^[-+ ]+$`)
	place  = regexp.MustCompile(`^[^ ]+\.sql:\d+: |^psql:<stdin>:\d+: `)
)

// lines brings output into a form that does not depend on the widths of columns.
func lines(s string) []string {
	var out []string
	for _, l := range strings.Split(s, "\n") {
		l = strings.TrimSuffix(strings.TrimSpace(spaces.ReplaceAllString(place.ReplaceAllString(l, ""), " ")), ";")
		if l != "" && !rule.MatchString(l) {
			out = append(out, l)
		}
	}
	return out
}

// matches compares output with what a page shows: … stands for any text, a line of it
// for any lines. It returns the first line of want that does not fit.
func matches(got, want []string) (bad string, ok bool) {
	if len(want) == 0 {
		if len(got) > 0 {
			return "(nothing)", false
		}
		return "", true
	}
	if want[0] == "…" {
		for i := 0; i <= len(got); i++ {
			if bad, ok = matches(got[i:], want[1:]); ok {
				return "", true
			}
		}
		return bad, false
	}
	if len(got) == 0 || !fits(got[0], want[0]) {
		return want[0], false
	}
	return matches(got[1:], want[1:])
}

func fits(got, want string) bool {
	var b strings.Builder
	for i, p := range strings.Split(want, "…") {
		if i > 0 {
			b.WriteString(".*")
		}
		b.WriteString(regexp.QuoteMeta(p))
	}
	ok, err := regexp.MatchString("^"+b.String()+"$", got)
	return ok && err == nil
}

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		got, want string
		ok        bool
	}{
		{" a |  b\n---+---\n 1 | 2\n", "a | b\n--+--\n1 | 2", true},
		{"a\nb", "a", false},
		{"a", "a\nb", false},
		{"x\ny\nz", "…\nz", true},
		{"x\ny\nz", "…\ny", false},
		{"built in 3s", "built in …", true},
		{"psql:<stdin>:1: ERROR:  no", "ERROR: no", true},
		{"4", "5", false},
	} {
		if _, ok := matches(lines(c.got), lines(c.want)); ok != c.ok {
			t.Errorf("%q and %q: %v", c.got, c.want, ok)
		}
	}
}

// world is the directory of a tutorial with its server.
type world struct {
	t           *testing.T
	dir, volley string
	port        string
	env         []string
	psql        bool
}

func (w *world) run(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = w.dir, w.env
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// serve starts the server and waits until it is ready.
func (w *world) serve(command string) string {
	cmd := exec.Command("sh", "-c", "exec "+strings.TrimSpace(command))
	cmd.Dir, cmd.Env = w.dir, w.env
	stderr, err := os.Create(filepath.Join(w.t.TempDir(), "server.log"))
	if err != nil {
		w.t.Fatal(err)
	}
	cmd.Stderr = stderr
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		kill := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
		_, _ = io.Copy(io.Discard, pipe)
		if err := cmd.Wait(); err != nil {
			log, _ := os.ReadFile(stderr.Name())
			w.t.Errorf("server: %v\n%s", err, log)
		}
		kill.Stop()
		stderr.Close()
	})
	out := ""
	r := bufio.NewReader(pipe)
	for {
		l, err := r.ReadString('\n')
		out += l
		if err != nil {
			log, _ := os.ReadFile(stderr.Name())
			w.t.Fatalf("server: %v\n%s%s", err, out, log)
		}
		if l == "ready\n" {
			return out
		}
	}
}

// sql runs a block of SQL with psql, or with Volley's own shell where there is none.
func (w *world) sql(ctx context.Context, text string) string {
	file := filepath.Join(w.t.TempDir(), "block.sql")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	var out string
	if w.psql {
		out, _ = w.run(ctx, "psql", "-X", "-h", "127.0.0.1", "-p", w.port, "-U", "volley", "-d", "volley", "-f", file)
	} else {
		out, _ = w.run(ctx, w.volley, "sql", "--host", "localhost", "-f", file) // an error is compared, too
		out = strings.ReplaceAll(out, "NULL", "")                               // which psql does not print
	}
	return out
}

func TestTutorial(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("there is no Go toolchain: plugins cannot be built")
	}
	if testing.Short() {
		t.Skip("it builds the program and several plugins")
	}
	page, err := os.ReadFile("../../docs/udf/tutorial.md")
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", bin+"/volley", "github.com/volleydb/volley/cmd/volley").CombinedOutput(); err != nil {
		t.Fatalf("building volley: %v\n%s", err, out)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	_, port, _ := net.SplitHostPort(addr)
	ln.Close()
	_, err = exec.LookPath("psql")
	w := &world{t: t, dir: t.TempDir(), volley: bin + "/volley", port: port, psql: err == nil}
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "VOLLEY_") && !strings.HasPrefix(e, "PG") {
			w.env = append(w.env, e)
		}
	}
	// The defaults of the page, at ports that nobody else has.
	w.env = append(w.env, "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "VOLLEY_LISTEN="+addr, "VOLLEY_PORT="+port,
		"VOLLEY_GRPC_LISTEN=127.0.0.1:0", "VOLLEY_HTTP_LISTEN=127.0.0.1:0", "PGTZ=UTC")
	list := blocks(string(page))
	ran, compared := 0, 0
	var scored time.Duration
	begin := time.Now()
	for i, b := range list {
		where := fmt.Sprintf("tutorial.md:%d", b.line)
		out := ""
		switch b.lang {
		case "text":
			continue // of the block before
		case "go", "json":
			path := filepath.Join(w.dir, filepath.FromSlash(b.arg))
			if _, err := os.Stat(path); err != nil {
				t.Fatalf("%s: %v", where, err)
			}
			if err := os.WriteFile(path, []byte(b.text), 0o600); err != nil {
				t.Fatal(err)
			}
			continue
		case "sh":
			if b.arg == "server" {
				out = w.serve(b.text)
				break
			}
			var err error
			out, err = w.run(ctx, "sh", "-e", "-c", b.text)
			if (err != nil) != (b.arg == "fails") {
				t.Fatalf("%s: %v\n%s%s", where, err, b.text, out)
			}
		case "sql":
			out = w.sql(ctx, b.text)
			if scored == 0 && strings.Contains(b.text, "FROM games") {
				scored = time.Since(begin)
			}
		default:
			t.Fatalf("%s: a block of %q", where, b.lang)
		}
		ran++
		if i+1 < len(list) && list[i+1].lang == "text" {
			compared++
			if bad, ok := matches(lines(out), lines(list[i+1].text)); !ok {
				t.Fatalf("%s: %s\nprints\n%s\nwhich does not fit from %q on:\n%s", where, b.text, out, bad, list[i+1].text)
			}
		}
	}
	if ran < 15 || compared < 15 {
		t.Errorf("only %d blocks were run and %d compared", ran, compared)
	}
	t.Logf("%d blocks; the first scored row came after %s", ran, scored.Round(time.Millisecond))
}
