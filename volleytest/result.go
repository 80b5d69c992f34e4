package volleytest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// UpdateVariable is the environment variable with which golden files are written
// instead of compared: VOLLEY_UPDATE=1 go test ./…
const UpdateVariable = "VOLLEY_UPDATE"

// Result is all rows of a statement as text.
type Result struct {
	SQL     string
	Columns []string
	Types   []string
	Rows    [][]string // NULL is "NULL"
	Tag     string     // such as "INSERT 0 3"
}

// String prints the result as a table: the columns' names, then a line per row,
// values parted by " | ".
func (r *Result) String() string {
	width := make([]int, len(r.Columns))
	lines := append([][]string{r.Columns}, r.Rows...)
	for _, l := range lines {
		for i, v := range l {
			width[i] = max(width[i], len([]rune(v)))
		}
	}
	var b strings.Builder
	for _, l := range lines {
		var parts []string
		for i, v := range l {
			parts = append(parts, v+strings.Repeat(" ", width[i]-len([]rune(v))))
		}
		b.WriteString(strings.TrimRight(strings.Join(parts, " | "), " ") + "\n")
	}
	return b.String()
}

// Equal compares the result with a table as String prints it. Spaces around values,
// indentation, empty lines and a line of dashes do not matter.
func (r *Result) Equal(t testing.TB, want string) {
	t.Helper()
	if d := r.differs(want); d != "" {
		t.Errorf("%s\n%s", strings.TrimSpace(r.SQL), d)
	}
}

// Golden compares the result with a file, which is written instead where the
// environment variable VOLLEY_UPDATE is set.
func (r *Result) Golden(t testing.TB, file string) {
	t.Helper()
	if os.Getenv(UpdateVariable) != "" {
		err := os.MkdirAll(filepath.Dir(file), 0o755)
		if err == nil {
			err = os.WriteFile(file, []byte(r.String()), 0o644)
		}
		if err != nil {
			t.Fatalf("volleytest: %v", err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("volleytest: there is no golden file %s; write it with %s=1 go test", file, UpdateVariable)
	} else if err != nil {
		t.Fatalf("volleytest: %v", err)
	}
	if d := r.differs(string(want)); d != "" {
		t.Errorf("%s\nis not what %s has (if it is right, run %s=1 go test)\n%s", strings.TrimSpace(r.SQL), file, UpdateVariable, d)
	}
}

// differs describes the first difference, "" for none.
func (r *Result) differs(want string) string {
	g, w := tableLines(r.String()), tableLines(want)
	for i := range max(len(g), len(w)) {
		have, wanted := "nothing", "nothing"
		if i < len(g) {
			have = strings.Join(g[i], " | ")
		}
		if i < len(w) {
			wanted = strings.Join(w[i], " | ")
		}
		if have == wanted {
			continue
		}
		place := fmt.Sprintf("row %d", i)
		if i == 0 {
			place = "the header"
		}
		return fmt.Sprintf("%s is\n  %s\nwant\n  %s\nthe whole result:\n%s", place, have, wanted, r)
	}
	return ""
}

// tableLines takes a table apart.
func tableLines(s string) [][]string {
	var out [][]string
	for _, l := range strings.Split(s, "\n") {
		if strings.Trim(l, " \t-+|") == "" && !strings.Contains(l, "|") || strings.Trim(l, " \t-+") == "" {
			continue
		}
		var vals []string
		for _, v := range strings.Split(l, "|") {
			vals = append(vals, strings.TrimSpace(v))
		}
		out = append(out, vals)
	}
	return out
}
