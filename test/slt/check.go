package main

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"math"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// answer is a statement's result; NULL is nil.
type answer struct {
	rows  [][]*string
	names []string
	tag   string
	err   error
	code  string
}

// format writes a value as SQLite's runner does, by the letter of its column.
func format(letter byte, v *string) string {
	if v == nil {
		return "NULL"
	}
	s := *v
	switch letter {
	case 'I':
		switch s {
		case "t", "true":
			return "1"
		case "f", "false":
			return "0"
		}
		if strings.ContainsAny(s, ".eE") {
			if x, ok := new(big.Rat).SetString(s); ok {
				return new(big.Int).Quo(x.Num(), x.Denom()).String()
			}
		}
		return s
	case 'R':
		if x, err := strconv.ParseFloat(s, 64); err == nil {
			return strconv.FormatFloat(x, 'f', 3, 64)
		}
		return s
	}
	if s == "" {
		return "(empty)"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '@'
		}
		return r
	}, s)
}

var hashed = regexp.MustCompile(`^(\d+) values hashing to ([0-9a-f]{32})$`)

func hash(values []string) string {
	h := md5.New()
	for _, v := range values {
		h.Write([]byte(v))
		h.Write([]byte{'\n'})
	}
	return hex.EncodeToString(h.Sum(nil))
}

// check says what is wrong with an answer. labels holds the hashes of labelled
// queries.
func (r *record) check(a *answer, labels map[string]string) string {
	if r.kind == "statement" {
		return r.checkStatement(a)
	}
	if a.err != nil {
		return "error: " + a.err.Error()
	}
	letter := func(c int) byte {
		if c < len(r.types) {
			return r.types[c]
		}
		return 'T'
	}
	cols := 0
	var values []string
	var lines []string
	for _, row := range a.rows {
		cols = len(row)
		vs := make([]string, len(row))
		for c, v := range row {
			vs[c] = format(letter(c), v)
		}
		values = append(values, vs...)
		lines = append(lines, strings.Join(vs, "\x00"))
	}
	switch r.sort {
	case "rowsort":
		slices.Sort(lines)
		values = nil
		for _, l := range lines {
			values = append(values, strings.Split(l, "\x00")...)
		}
	case "valuesort":
		slices.Sort(values)
	}
	if r.label != "" {
		h := hash(values)
		if first, ok := labels[r.label]; ok && first != h {
			return "differs from the first query of label " + r.label
		}
		labels[r.label] = h
	}
	if !r.has {
		return ""
	}
	if len(r.rows) == 1 {
		if m := hashed.FindStringSubmatch(r.rows[0]); m != nil {
			if m[1] != strconv.Itoa(len(values)) {
				return fmt.Sprintf("%d values, not %s", len(values), m[1])
			}
			if h := hash(values); h != m[2] {
				return "another hash, of\n" + head(values)
			}
			return ""
		}
	}
	want := r.rows
	if r.names && len(want) > 0 {
		want = want[1:]
	}
	if len(want) == len(values) && slices.Equal(want, values) {
		return ""
	}
	return r.checkRows(a, want, cols)
}

// checkRows compares with lines that hold a row each, or a value each, by the
// meaning of the values.
func (r *record) checkRows(a *answer, want []string, cols int) string {
	have := a.rows
	n := len(have)
	wrong := func() string {
		var got []string
		for _, row := range have {
			var vs []string
			for _, v := range row {
				vs = append(vs, format('T', v))
			}
			got = append(got, strings.Join(vs, "\t"))
		}
		return fmt.Sprintf("want\n%s\ngot\n%s", head(want), head(got))
	}
	if len(want) != n && len(want) != n*cols {
		return wrong()
	}
	rows := make([][]string, 0, n)
	if len(want) == n && (cols != 1 || n != n*cols) {
		for _, l := range want {
			fs := strings.Split(l, "\t")
			if len(fs) != cols {
				fs = strings.Fields(l)
			}
			rows = append(rows, fs)
		}
	} else {
		for i := range n {
			rows = append(rows, want[i*cols:(i+1)*cols])
		}
	}
	if r.sort == "valuesort" {
		var w, g []string
		for i, row := range rows {
			w = append(w, row...)
			for _, v := range have[i] {
				g = append(g, format('T', v))
			}
		}
		slices.Sort(w)
		slices.Sort(g)
		if slices.Equal(w, g) {
			return ""
		}
		return wrong()
	}
	same := func(row []string, vs []*string) bool {
		if len(row) != len(vs) {
			// A text of several words among values that only spaces part.
			var all []string
			for _, v := range vs {
				all = append(all, strings.Fields(format('?', v))...)
			}
			return slices.Equal(row, all)
		}
		for c, v := range vs {
			if !sameValue(row[c], v) {
				return false
			}
		}
		return true
	}
	if r.sort == "rowsort" {
		left := slices.Clone(have)
	next:
		for _, row := range rows {
			for k, vs := range left {
				if same(row, vs) {
					left = slices.Delete(left, k, k+1)
					continue next
				}
			}
			return wrong()
		}
		return ""
	}
	for i, row := range rows {
		if !same(row, have[i]) {
			return wrong()
		}
	}
	return ""
}

func sameValue(want string, v *string) bool {
	if v == nil {
		return want == "NULL"
	}
	got := *v
	if want == got {
		return true
	}
	if p, ok := strings.CutPrefix(want, "<REGEX>:"); ok {
		re, err := regexp.Compile("(?s)^(?:" + p + ")$")
		return err == nil && re.MatchString(got)
	}
	switch strings.ToLower(want) {
	case "(empty)":
		return got == ""
	case "true", "1":
		if got == "t" {
			return true
		}
	case "false", "0":
		if got == "f" {
			return true
		}
	}
	x, err1 := strconv.ParseFloat(want, 64)
	y, err2 := strconv.ParseFloat(got, 64)
	if err1 == nil && err2 == nil {
		if strings.Trim(want, "-0123456789") == "" && strings.Trim(got, "-0123456789") == "" {
			return false // integers are exact
		}
		if math.IsNaN(x) || math.IsNaN(y) {
			return math.IsNaN(x) && math.IsNaN(y)
		}
		return x == y || math.Abs(x-y) <= 1e-6*max(math.Abs(x), math.Abs(y))
	}
	// CockroachDB writes a space within a value so, DataFusion and others quote
	// nothing, some end a row with spaces.
	return strings.ReplaceAll(want, "·", " ") == got || strings.TrimSpace(want) == strings.TrimSpace(got)
}

var sqlstate = regexp.MustCompile(`^pgcode ([0-9A-Z]{5})\s*`)

func (r *record) checkStatement(a *answer) string {
	switch r.want {
	case "maybe":
		return ""
	case "error":
		if a.err == nil {
			return "no error"
		}
		// Messages are an engine's own; a SQLSTATE is not.
		if m := sqlstate.FindStringSubmatch(r.text); m != nil && m[1] != a.code {
			return fmt.Sprintf("SQLSTATE %s, not %s: %v", a.code, m[1], a.err)
		}
		return ""
	}
	if a.err != nil {
		return "error: " + a.err.Error()
	}
	if r.want == "count" {
		if n := a.tag[strings.LastIndexByte(a.tag, ' ')+1:]; n != r.text {
			return fmt.Sprintf("%s rows, not %s", n, r.text)
		}
	}
	return ""
}

func head(lines []string) string {
	if len(lines) > 12 {
		return strings.Join(lines[:12], "\n") + fmt.Sprintf("\n… (%d)", len(lines))
	}
	return strings.Join(lines, "\n")
}
