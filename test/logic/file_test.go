package logic

import (
	"fmt"
	"os"
	"regexp"
	"sort"
	"strings"
	"unicode/utf8"
)

// record is one statement of a file with what is expected of it.
type record struct {
	line int // of the statement's first line, 1-based
	// from and to are the lines of expectation after ----, and head that of the
	// directive, for -rewrite; 0-based, to exclusive. from is that after ----.
	head, from, to int
	divider        bool

	kind   string // statement, query, compare, session, halt
	want   string // ok, error, notice, count of a statement
	text   string // the rest of the directive
	types  string
	sort   string
	names  bool
	sql    string
	expect []string
	skip   []string
	only   []string
}

// file is a parsed test file.
type file struct {
	name    string
	lines   []string
	records []*record
	modes   []string // those that the file is run in; nil = all
}

func readFile(path, name string) (*file, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	f := &file{name: name, lines: strings.Split(strings.TrimRight(string(data), "\n"), "\n")}
	var skip, only []string
	for i := 0; i < len(f.lines); {
		l := strings.TrimSpace(f.lines[i])
		if l == "" || l[0] == '#' {
			i++
			continue
		}
		word, rest, _ := strings.Cut(l, " ")
		rest = strings.TrimSpace(rest)
		r := &record{line: i + 1, head: i, kind: word, skip: skip, only: only}
		i++
		switch word {
		case "skipif":
			skip = append(skip, rest)
			continue
		case "onlyif":
			only = append(only, rest)
			continue
		case "modes":
			f.modes = strings.Fields(rest)
			continue
		case "session", "halt":
			r.text = rest
			f.records = append(f.records, r)
			skip, only = nil, nil
			continue
		case "statement":
			r.want, r.text, _ = strings.Cut(rest, " ")
			switch r.want {
			case "ok", "error", "notice", "count":
			default:
				return nil, fmt.Errorf("%s:%d: statement ok, error, notice or count, not %q", name, r.line, r.want)
			}
		case "query":
			for k, w := range strings.Fields(rest) {
				switch {
				case w == "rowsort" || w == "valuesort" || w == "nosort":
					r.sort = w
				case w == "names":
					r.names = true
				case k == 0:
					r.types = w
				}
			}
		case "compare":
		default:
			return nil, fmt.Errorf("%s:%d: unknown directive %q", name, r.line, word)
		}
		skip, only = nil, nil
		r.line = i + 1
		var sql []string
		for ; i < len(f.lines) && strings.TrimSpace(f.lines[i]) != "" && f.lines[i] != "----"; i++ {
			sql = append(sql, f.lines[i])
		}
		r.sql = strings.Join(sql, "\n")
		r.from, r.to = i, i
		if i < len(f.lines) && f.lines[i] == "----" {
			r.divider = true
			i++
			r.from = i
			for ; i < len(f.lines) && strings.TrimSpace(f.lines[i]) != ""; i++ {
				r.expect = append(r.expect, f.lines[i])
			}
			r.to = i
		}
		if r.sql == "" {
			return nil, fmt.Errorf("%s:%d: there is no statement", name, r.line)
		}
		f.records = append(f.records, r)
	}
	return f, nil
}

// applies reports whether the record is for a run with these properties.
func (r *record) applies(props map[string]bool) bool {
	for _, s := range r.skip {
		if props[s] {
			return false
		}
	}
	for _, o := range r.only {
		if !props[o] {
			return false
		}
	}
	return true
}

// edit is a replacement of expectation lines.
type edit struct {
	r      *record
	head   string // "" keeps it
	expect []string
}

// write applies edits from the last to the first.
func (f *file) write(path string, edits []edit) error {
	lines := append([]string(nil), f.lines...)
	for i := len(edits) - 1; i >= 0; i-- {
		e := edits[i]
		tail := append([]string(nil), lines[e.r.to:]...)
		lines = lines[:e.r.from]
		if e.r.divider {
			lines = lines[:len(lines)-1]
		}
		if e.r.kind == "query" || len(e.expect) > 0 {
			lines = append(append(lines, "----"), e.expect...)
		}
		lines = append(lines, tail...)
		if e.head != "" {
			lines[e.r.head] = e.head
		}
	}
	return os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o644)
}

var separator = regexp.MustCompile(`\t|  +`)

// cell writes a value so that it cannot be taken for a separator.
func cell(s string) string {
	if s == "" {
		return "(empty)"
	}
	s = strings.NewReplacer("\n", `\n`, "\t", `\t`, "\r", `\r`).Replace(s)
	for strings.Contains(s, "  ") {
		s = strings.ReplaceAll(s, "  ", "␠ ")
	}
	if strings.HasPrefix(s, " ") {
		s = "␠" + s[1:]
	}
	if strings.HasSuffix(s, " ") {
		s = s[:len(s)-1] + "␠"
	}
	return s
}

func cells(rows [][]string) [][]string {
	out := make([][]string, len(rows))
	for i, r := range rows {
		out[i] = make([]string, len(r))
		for j, v := range r {
			out[i][j] = cell(v)
		}
	}
	return out
}

// align lays rows out in columns.
func align(rows [][]string) []string {
	var width []int
	for _, r := range rows {
		for len(width) < len(r) {
			width = append(width, 0)
		}
		for j, v := range r {
			if n := utf8.RuneCountInString(v); n <= 40 {
				width[j] = max(width[j], n)
			}
		}
	}
	out := make([]string, len(rows))
	for i, r := range rows {
		var b strings.Builder
		for j, v := range r {
			b.WriteString(v)
			if j < len(r)-1 {
				b.WriteString(strings.Repeat(" ", max(2, width[j]-utf8.RuneCountInString(v)+2)))
			}
		}
		out[i] = b.String()
	}
	return out
}

// canonical brings rows into the form in which two results are compared.
func (r *record) canonical(rows [][]string) [][]string {
	switch r.sort {
	case "rowsort":
		key := func(x []string) string { return strings.Join(x, "\x00") }
		sort.SliceStable(rows, func(i, j int) bool { return key(rows[i]) < key(rows[j]) })
	case "valuesort":
		var all []string
		for _, x := range rows {
			all = append(all, x...)
		}
		sort.Strings(all)
		rows = nil
		for _, v := range all {
			rows = append(rows, []string{v})
		}
	}
	return rows
}

func (r *record) expected() (header []string, rows [][]string) {
	for _, l := range r.expect {
		rows = append(rows, separator.Split(strings.TrimRight(l, " \t"), -1))
	}
	if r.names && len(rows) > 0 {
		header, rows = rows[0], rows[1:]
	}
	return header, rows
}
