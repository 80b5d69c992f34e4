package coordinator

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestJournal(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "j")
	reopen := func(bytes int64, lines int) (*journal, string) {
		t.Helper()
		var got []string
		j, err := openJournal(dir, "x.jsonl", bytes, lines, func(line []byte) { got = append(got, strings.TrimSpace(string(line))) })
		if err != nil {
			t.Fatal(err)
		}
		return j, strings.Join(got, " ")
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	j, got := reopen(1000, 3)
	if got != "" {
		t.Errorf("a new journal has %q", got)
	}
	for _, line := range []string{"a", "b", "c", "d"} {
		must(j.write([]byte(line+"\n"), 1))
	}
	must(j.close())
	must(j.write([]byte("late\n"), 1))
	if j, got = reopen(1000, 3); got != "a b c d" || j.lines != 1 {
		t.Errorf("after a rotation by lines: %q, %d in the current file", got, j.lines)
	}
	must(j.close())

	// What a crash has cut short costs itself only.
	f, err := os.OpenFile(j.path, os.O_APPEND|os.O_WRONLY, 0)
	must(err)
	_, err = f.WriteString(`{"cut`)
	must(err)
	must(f.Close())
	j, _ = reopen(1000, 0)
	must(j.write([]byte("e\n"), 1))
	must(j.close())
	if j, got = reopen(10, 0); got != `a b c d {"cut e` {
		t.Errorf("after a crash: %q", got)
	}

	// A failure is told, and the next write tries again.
	must(os.Rename(j.path+".1", j.path+".old"))
	must(os.Mkdir(j.path+".1", 0o700))
	must(os.WriteFile(filepath.Join(j.path+".1", "x"), nil, 0o600))
	if err := j.write([]byte("lost\n"), 1); err == nil {
		t.Error("a file took the place of a directory")
	}
	must(os.RemoveAll(j.path + ".1"))
	must(j.write([]byte("f\n"), 1))
	must(j.close())
	if _, got = reopen(1000, 0); got != `d {"cut e f` {
		t.Errorf("after a failure: %q", got)
	}
}
