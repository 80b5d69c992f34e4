package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// record is a statement or query of a file, or one of the directives that the
// runner carries out in order (halt, threshold).
type record struct {
	line  int
	kind  string // statement, query, halt, threshold, session
	sql   string
	want  string // of a statement: ok, error, maybe, count
	text  string // pattern of an error, count, threshold, session
	types string
	sort  string
	label string
	names bool
	rows  []string // expected lines
	has   bool     // there was a divider, so the answer is compared
}

// me reports whether skipif and onlyif mean this engine.
func me(name string) bool { return name == "postgresql" || name == "postgres" || name == "volley" }

// reader is the state of reading one file.
type reader struct {
	path    string
	records []record
	stopped string // why the rest of the file is skipped
	depth   int
}

// readFile reads a file. A directive that it does not know ends the file there,
// with the reason.
func readFile(path string) ([]record, string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, "", err
	}
	r := &reader{path: path}
	r.read(strings.Split(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n"), 0, nil)
	return r.records, r.stopped, nil
}

// variable is a loop's.
type variable struct{ name, value string }

func substitute(s string, vars []variable) string {
	for _, v := range vars {
		s = strings.ReplaceAll(strings.ReplaceAll(s, "${"+v.name+"}", v.value), "$"+v.name, v.value)
	}
	return s
}

// read appends the records of lines, of which the first has the number base+1.
func (r *reader) read(lines []string, base int, vars []variable) {
	skip, skipMode := false, false
	for i := 0; i < len(lines) && r.stopped == ""; {
		l, _, _ := strings.Cut(substitute(lines[i], vars), "#")
		f := strings.Fields(l)
		i++
		if len(f) == 0 {
			continue
		}
		rec := record{line: base + i, kind: f[0]}
		switch f[0] {
		case "skipif", "onlyif":
			if len(f) > 1 && me(f[1]) == (f[0] == "skipif") {
				skip = true
			}
			continue
		case "mode":
			if len(f) > 1 {
				switch f[1] {
				case "skip":
					skipMode = true
				case "unskip":
					skipMode = false
				}
			}
			continue
		case "halt":
			if !skip {
				r.records = append(r.records, rec)
				r.stopped = "halt"
			}
		case "hash-threshold":
			rec.kind, rec.text = "threshold", f[len(f)-1]
			r.records = append(r.records, rec)
		case "subtest", "user", "control", "skip_on_retry", "retry", "traceon", "traceoff", "sleep", "restart", "reconnect", "query_verification", "set", "load", "unzip", "reset":
			// What they say is about another engine, or about the time it takes.
		case "include":
			r.include(f[1:], base+i, vars)
		case "require", "require-env", "test-env":
			if len(f) > 1 && (f[1] == "vector_size" || f[1] == "skip_reload" || f[1] == "noforcestorage" || f[1] == "no_vector_verification" || f[1] == "64bit" || f[1] == "no_alternative_verify" || f[1] == "noalternativeverify") {
				break
			}
			r.stopped = strings.Join(f, " ")
		case "loop", "foreach", "concurrentloop", "concurrentforeach":
			end, depth := i, 1
			for ; end < len(lines); end++ {
				w := strings.Fields(lines[end])
				if len(w) == 0 {
					continue
				}
				if w[0] == "endloop" {
					if depth--; depth == 0 {
						break
					}
				} else if w[0] == "loop" || w[0] == "foreach" || w[0] == "concurrentloop" || w[0] == "concurrentforeach" {
					depth++
				}
			}
			values, err := loopValues(f)
			if err != nil || end == len(lines) {
				r.stopped = l
				break
			}
			for _, v := range values {
				r.read(lines[i:end], base+i, append(vars[:len(vars):len(vars)], variable{f[1], v}))
			}
			i = end + 1
		case "statement", "query":
			i = r.sql(&rec, f, lines, i, vars)
			if !skip && !skipMode {
				r.records = append(r.records, rec)
			}
		default:
			r.stopped = fmt.Sprintf("line %d: %s", base+i, l)
		}
		skip = false
	}
}

// sql reads the statement that follows a directive, and what is expected of it.
func (r *reader) sql(rec *record, f, lines []string, i int, vars []variable) int {
	if rec.kind == "statement" {
		if len(f) > 1 {
			rec.want = f[1]
			rec.text = strings.Join(f[2:], " ")
		}
	} else {
		for k, w := range f[1:] {
			if k == 0 {
				if w == "error" {
					rec.kind, rec.want, rec.text = "statement", "error", strings.Join(f[2:], " ")
					break
				}
				rec.types = w
				continue
			}
			for _, o := range strings.Split(w, ",") {
				switch {
				case o == "nosort" || o == "rowsort" || o == "valuesort":
					rec.sort = o
				case o == "colnames":
					rec.names = true
				case k > 1:
					rec.label = o
				}
			}
		}
	}
	var sql []string
	for ; i < len(lines) && strings.TrimSpace(lines[i]) != "" && strings.TrimRight(lines[i], " ") != "----"; i++ {
		sql = append(sql, substitute(lines[i], vars))
	}
	rec.sql = strings.Join(sql, "\n")
	if i < len(lines) && strings.TrimRight(lines[i], " ") == "----" {
		rec.has = true
		for i++; i < len(lines) && strings.TrimSpace(lines[i]) != ""; i++ {
			rec.rows = append(rec.rows, substitute(lines[i], vars))
		}
	}
	return i
}

func (r *reader) include(patterns []string, line int, vars []variable) {
	for _, p := range patterns {
		found, _ := filepath.Glob(filepath.Join(filepath.Dir(r.path), p))
		if len(found) == 0 || r.depth > 5 {
			r.stopped = fmt.Sprintf("line %d: include %s", line, p)
			return
		}
		for _, f := range found {
			data, err := os.ReadFile(f)
			if err != nil {
				r.stopped = err.Error()
				return
			}
			r.depth++
			r.read(strings.Split(string(data), "\n"), 0, vars)
			r.depth--
		}
	}
}

// loopValues are those that "loop i 0 10" and "foreach x a b" go through.
func loopValues(f []string) ([]string, error) {
	if len(f) < 3 {
		return nil, fmt.Errorf("incomplete")
	}
	if strings.HasSuffix(f[0], "foreach") {
		for _, v := range f[2:] {
			if strings.HasPrefix(v, "<") {
				return nil, fmt.Errorf("a collection of another engine")
			}
		}
		return f[2:], nil
	}
	if len(f) < 4 {
		return nil, fmt.Errorf("incomplete")
	}
	lo, err1 := strconv.Atoi(f[2])
	hi, err2 := strconv.Atoi(f[3])
	if err1 != nil || err2 != nil || hi-lo > 10000 {
		return nil, fmt.Errorf("no numbers")
	}
	var out []string
	for i := lo; i < hi; i++ {
		out = append(out, strconv.Itoa(i))
	}
	return out, nil
}
