package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
)

// terminal is a shell on a pseudo-terminal.
type terminal struct {
	t    *testing.T
	tty  *os.File
	seen *syncBuffer
	from int // what of seen has been expected already
}

// expect waits for text after what was expected before.
func (x *terminal) expect(text string) {
	x.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; {
		rest := x.seen.String()[x.from:]
		if i := strings.Index(rest, text); i >= 0 {
			x.from += i + len(text)
			return
		}
		if time.Now().After(deadline) {
			x.t.Fatalf("no %q in %q", text, rest[max(0, len(rest)-2000):])
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// line types a line at the prompt, and waits until it has been read.
func (x *terminal) line(text string) {
	x.t.Helper()
	const drawn = "\x1b[?25h" // what is typed while the editor draws may be lost
	x.expect("volley=> ")
	x.expect(drawn)
	x.send(text)
	x.expect(text)
	x.expect(drawn)
	x.send("\r")
	x.expect("\x1b[0 q") // the cursor's usual shape: the editor has ended
}

func (x *terminal) send(text string) {
	x.t.Helper()
	if _, err := x.tty.WriteString(text); err != nil {
		x.t.Fatal(err)
	}
}

// On a terminal there are a prompt, statements over several lines, a progress
// bar, and Ctrl-C, which ends the statement and not the shell.
func TestShell(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	cmd := exec.Command(exe, "sql", "--data", filepath.Join(home, "data"))
	cmd.Env = append(os.Environ(), asVolley+"=1", "XDG_DATA_HOME="+home, "TERM=xterm", "INPUTRC=/dev/null")
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 40, Cols: 120})
	if err != nil {
		t.Skip("no pseudo-terminal: ", err)
	}
	x := &terminal{t: t, tty: tty, seen: &syncBuffer{}}
	read := make(chan struct{})
	go func() {
		defer close(read)
		buf := make([]byte, 4096)
		for {
			n, err := tty.Read(buf)
			_, _ = x.seen.Write(buf[:n])
			// What a terminal answers to the question where its cursor is.
			for range strings.Count(string(buf[:n]), "\x1b[6n") {
				_, _ = tty.WriteString("\x1b[1;1R")
			}
			if err != nil {
				return
			}
		}
	}()
	defer func() {
		_ = cmd.Process.Kill()
		_ = tty.Close()
		<-read
	}()
	x.line("SELECT 40 + 2 AS answer;")
	x.expect(" answer\r\n")
	x.expect("     42\r\n")
	x.line("SELECT nonsense;")
	x.expect(`ERROR:  column "nonsense" does not exist`)
	x.line("SELECT count(*) FROM generate_series(1, 100000000000) g WHERE g % 7 = 8;")
	x.expect(" s\x1b[K") // the progress bar
	x.send("\x03")
	x.expect("ERROR:  canceling statement due to user request")
	x.line(`\q`)
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("\\q: %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("\\q did not leave")
	}
	history, err := os.ReadFile(filepath.Join(home, "volley", "history"))
	if err != nil || !strings.Contains(string(history), "AS answer;") {
		t.Errorf("history: %s, %v", history, err)
	}
}
