package answers

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
)

// Null stands for NULL in rows.
const Null = `\N`

// Answer is what a query has to answer.
type Answer struct {
	Name  string
	Kinds []string // DuckDB's types of the columns
	Keys  []int    // the columns that the rows are sorted by, the first one first
	// Pool holds the rows that may be in the answer: as many as it has, or with
	// those that tie with the first or last of them. In order of the keys.
	Pool [][]string
	// Rows is how many rows the answer has, and From where in Pool a row of the
	// answer's first one's keys is.
	Rows, From int
}

// New is the answer that has these rows and no others.
func New(kinds []string, keys []int, rows [][]string) *Answer {
	return &Answer{Kinds: kinds, Keys: keys, Pool: canonical(kinds, rows), Rows: len(rows)}
}

// NewLimited is the answer to a query with LIMIT that has n rows from that of
// this offset in all of the query's rows without it.
func NewLimited(kinds []string, keys []int, all [][]string, offset, n int) *Answer {
	a := New(kinds, keys, all)
	a.Rows, a.From = n, offset
	if n == 0 {
		a.Pool, a.From = nil, 0
		return a
	}
	lo, hi := offset, offset+n
	for lo > 0 && a.sameKeys(a.Pool[lo-1], a.Pool[offset]) {
		lo--
	}
	for hi < len(a.Pool) && a.sameKeys(a.Pool[hi], a.Pool[offset+n-1]) {
		hi++
	}
	a.Pool, a.From = a.Pool[lo:hi], offset-lo
	return a
}

// WithTies is an answer of these rows, or in place of some of them of others
// that are in pool and have the same keys.
func WithTies(kinds []string, keys []int, rows, pool [][]string) *Answer {
	a := New(kinds, keys, rows)
	a.Pool = append(a.Pool, canonical(kinds, pool)...)
	return a
}

// tidy orders rows of the same keys, which have no order.
func (a *Answer) tidy() {
	for lo := 0; lo < len(a.Pool); {
		hi := lo + 1
		for hi < len(a.Pool) && a.sameKeys(a.Pool[hi], a.Pool[lo]) {
			hi++
		}
		slices.SortFunc(a.Pool[lo:hi], slices.Compare)
		lo = hi
	}
}

func (a *Answer) sameKeys(x, y []string) bool {
	for _, k := range a.Keys {
		if !sameValue(a.Kinds[k], x[k], y[k]) {
			return false
		}
	}
	return true
}

// Check says how rows differ from the answer.
func (a *Answer) Check(rows [][]string) error {
	if len(rows) != a.Rows {
		return fmt.Errorf("%d rows, not %d", len(rows), a.Rows)
	}
	for i, r := range rows {
		if len(r) != len(a.Kinds) {
			return fmt.Errorf("%d columns, not %d", len(r), len(a.Kinds))
		}
		if a.From+i >= len(a.Pool) {
			return fmt.Errorf("only %d rows are stored", len(a.Pool))
		}
		if want := a.Pool[a.From+i]; !a.sameKeys(canonicalRow(a.Kinds, r), want) {
			return fmt.Errorf("row %d has other values of ORDER BY (columns %v)\n  got  %q\n  want %q", i+1, a.Keys, r, want)
		}
	}
	// Every row has to be one of the pool's. What is exact leads to candidates,
	// of which the one with the nearest floats is taken.
	exact := func(r []string) string {
		var b strings.Builder
		for c, v := range r {
			if !inexact(a.Kinds[c]) || v == Null {
				b.WriteString(v)
			}
			b.WriteByte(0)
		}
		return b.String()
	}
	left := map[string][][]string{}
	for _, r := range a.Pool {
		k := exact(r)
		left[k] = append(left[k], r)
	}
	for i, r := range canonical(a.Kinds, rows) {
		k := exact(r)
		list := left[k]
		best, at := math.Inf(1), -1
		for j, w := range list {
			if d := a.distance(r, w); d < best {
				best, at = d, j
			}
		}
		if at < 0 {
			near := ""
			if len(list) > 0 {
				near = fmt.Sprintf("\n  near %q", list[0])
			} else if a.From+i < len(a.Pool) {
				near = fmt.Sprintf("\n  in its place %q", a.Pool[a.From+i])
			}
			return fmt.Errorf("row %d is not in the answer\n  got  %q%s", i+1, r, near)
		}
		left[k] = slices.Delete(list, at, at+1)
	}
	return nil
}

// distance of two rows' floats, relative; infinite where they are not the same.
func (a *Answer) distance(x, y []string) float64 {
	sum := 0.0
	for c, kind := range a.Kinds {
		if !sameValue(kind, x[c], y[c]) {
			return math.Inf(1)
		}
		if inexact(kind) && x[c] != y[c] {
			f, _ := strconv.ParseFloat(x[c], 64)
			g, _ := strconv.ParseFloat(y[c], 64)
			sum += math.Abs(f-g) / max(1, math.Abs(f))
		}
	}
	return sum
}

func inexact(kind string) bool { return kind == "DOUBLE" || kind == "FLOAT" }

// sameValue compares canonical values.
func sameValue(kind, a, b string) bool {
	if a == b {
		return true
	}
	if !inexact(kind) || a == Null || b == Null {
		return false
	}
	x, err1 := strconv.ParseFloat(a, 64)
	y, err2 := strconv.ParseFloat(b, 64)
	return err1 == nil && err2 == nil && math.Abs(x-y) <= 1e-9*max(1, math.Abs(x), math.Abs(y))
}

func canonical(kinds []string, rows [][]string) [][]string {
	out := make([][]string, len(rows))
	for i, r := range rows {
		out[i] = canonicalRow(kinds, r)
	}
	return out
}

// canonicalRow writes values in the one form that is compared: decimals without
// trailing zeros, booleans as words.
func canonicalRow(kinds []string, row []string) []string {
	out := slices.Clone(row)
	for c, s := range row {
		if c >= len(kinds) || s == Null {
			continue
		}
		switch kind := kinds[c]; {
		case kind == "BOOLEAN":
			switch s {
			case "t":
				out[c] = "true"
			case "f":
				out[c] = "false"
			}
		case strings.HasPrefix(kind, "DECIMAL") || strings.HasSuffix(kind, "INT") || kind == "INTEGER":
			if x, ok := new(big.Rat).SetString(s); ok {
				n, _ := x.FloatPrec() // all decimals are finite
				out[c] = x.FloatString(n)
			}
		}
	}
	return out
}

var (
	escape   = strings.NewReplacer("\\", `\\`, "\t", `\t`, "\n", `\n`, "\r", `\r`)
	unescape = strings.NewReplacer(`\\`, "\\", `\t`, "\t", `\n`, "\n", `\r`, "\r")
)

// Write writes answers to a file: a line "== name rows from pool keys", one of the
// columns' types, and the rows of the pool, tabs between values. Floats have 15
// digits, which is what does not depend on the order of additions.
func Write(w io.Writer, answers []*Answer) error {
	b := bufio.NewWriter(w)
	for _, a := range answers {
		a.tidy()
		keys := make([]string, len(a.Keys))
		for i, k := range a.Keys {
			keys[i] = strconv.Itoa(k)
		}
		fmt.Fprintf(b, "== %s %d %d %d %s\n%s\n", a.Name, a.Rows, a.From, len(a.Pool), cmp.Or(strings.Join(keys, ","), "-"), strings.Join(a.Kinds, "\t"))
		for _, r := range a.Pool {
			for c, v := range r {
				if c > 0 {
					b.WriteByte('\t')
				}
				if f, err := strconv.ParseFloat(v, 64); inexact(a.Kinds[c]) && err == nil {
					v = strconv.FormatFloat(f, 'g', 15, 64)
				}
				if v != Null {
					v = escape.Replace(v)
				}
				b.WriteString(v)
			}
			b.WriteByte('\n')
		}
	}
	return b.Flush()
}

// Read reads what Write has written.
func Read(r io.Reader) ([]*Answer, error) {
	b := bufio.NewReader(r)
	line := func() (string, error) {
		l, err := b.ReadString('\n')
		return strings.TrimSuffix(l, "\n"), err
	}
	var out []*Answer
	for {
		l, err := line()
		if err == io.EOF && l == "" {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		a := &Answer{}
		var keys string
		var n int
		if _, err := fmt.Sscanf(l, "== %s %d %d %d %s", &a.Name, &a.Rows, &a.From, &n, &keys); err != nil {
			return nil, fmt.Errorf("%q: %w", l, err)
		}
		if keys != "-" {
			for _, k := range strings.Split(keys, ",") {
				i, err := strconv.Atoi(k)
				if err != nil {
					return nil, err
				}
				a.Keys = append(a.Keys, i)
			}
		}
		if l, err = line(); err != nil {
			return nil, err
		}
		a.Kinds = strings.Split(l, "\t")
		for range n {
			if l, err = line(); err != nil {
				return nil, err
			}
			row := strings.Split(l, "\t")
			for i, v := range row {
				if v != Null {
					row[i] = unescape.Replace(v)
				}
			}
			a.Pool = append(a.Pool, row)
		}
		out = append(out, a)
	}
}
