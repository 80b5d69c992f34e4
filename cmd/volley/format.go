package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/mattn/go-runewidth"
)

// rowWriter prints one result. A value is text in Postgres' format, nil for NULL.
type rowWriter interface {
	begin(fields []pgconn.FieldDescription) error
	row(values [][]byte) error
	end() error
}

// The names of --format.
var formats = []string{"table", "csv", "json"}

func newRowWriter(format string, expanded bool, w io.Writer) rowWriter {
	b := bufio.NewWriterSize(w, 64<<10)
	switch {
	case format == "csv":
		return &csvWriter{w: b}
	case format == "json":
		return &jsonWriter{w: b}
	case expanded:
		return &expandedWriter{w: b}
	}
	return &tableWriter{w: b}
}

// OIDs of the types that are written to the right, and without quotes in JSON.
const (
	oidBool    = 16
	oidInt8    = 20
	oidInt2    = 21
	oidInt4    = 23
	oidOID     = 26
	oidJSON    = 114
	oidFloat4  = 700
	oidFloat8  = 701
	oidNumeric = 1700
	oidJSONB   = 3802
)

func isNumber(oid uint32) bool {
	switch oid {
	case oidInt8, oidInt2, oidInt4, oidOID, oidFloat4, oidFloat8, oidNumeric:
		return true
	}
	return false
}

// width is the number of columns that a text takes in a terminal.
func width(s string) int { return runewidth.StringWidth(s) }

// tableWriter aligns columns. It looks at the first sampleRows rows for the
// widths, so that a result of any size takes bounded memory; later values that
// are wider stick out.
type tableWriter struct {
	w      *bufio.Writer
	fields []pgconn.FieldDescription
	widths []int
	sample [][]cell // nil once the head is out
	headed bool
	rows   int
}

const sampleRows = 10000

// cell is a value as its lines.
type cell []string

func newCell(v []byte) cell {
	if v == nil {
		return cell{"NULL"}
	}
	return cell(strings.Split(printable(string(v)), "\n"))
}

// printable replaces what would move the cursor.
func printable(s string) string {
	clean := true
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' && c != '\n' || c == 0x7f {
			clean = false
			break
		}
	}
	if clean && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\n':
			b.WriteRune(r)
		case r == '\t':
			b.WriteString("    ")
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\x%02X`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func (c cell) width() int {
	n := 0
	for _, l := range c {
		n = max(n, width(l))
	}
	return n
}

func (t *tableWriter) begin(fields []pgconn.FieldDescription) error {
	t.fields = fields
	t.widths = make([]int, len(fields))
	for i, f := range fields {
		t.widths[i] = width(f.Name)
	}
	return nil
}

func (t *tableWriter) row(values [][]byte) error {
	cells := make([]cell, len(values))
	for i, v := range values {
		cells[i] = newCell(v)
	}
	t.rows++
	if t.headed {
		return t.print(cells)
	}
	for i, c := range cells {
		t.widths[i] = max(t.widths[i], c.width())
	}
	t.sample = append(t.sample, cells)
	if len(t.sample) == sampleRows {
		return t.flushSample()
	}
	return nil
}

func (t *tableWriter) flushSample() error {
	t.headed = true
	for i, f := range t.fields {
		if i > 0 {
			t.w.WriteByte('|')
		}
		pad := t.widths[i] - width(f.Name)
		t.w.WriteString(strings.Repeat(" ", pad/2+1) + f.Name)
		if i < len(t.fields)-1 {
			t.w.WriteString(strings.Repeat(" ", pad-pad/2+1))
		}
	}
	t.w.WriteByte('\n')
	for i, n := range t.widths {
		if i > 0 {
			t.w.WriteByte('+')
		}
		t.w.WriteString(strings.Repeat("-", n+2))
	}
	t.w.WriteByte('\n')
	for _, r := range t.sample {
		if err := t.print(r); err != nil {
			return err
		}
	}
	t.sample = nil
	return nil
}

func (t *tableWriter) print(cells []cell) error {
	lines := 1
	for _, c := range cells {
		lines = max(lines, len(c))
	}
	for l := range lines {
		var b strings.Builder
		for i, c := range cells {
			if i > 0 {
				b.WriteByte('|')
			}
			text, mark := "", " "
			if l < len(c) {
				text = c[l]
			}
			if l < len(c)-1 {
				mark = "+" // the value goes on in the next line
			}
			pad := strings.Repeat(" ", max(0, t.widths[i]-width(text)))
			b.WriteByte(' ')
			if isNumber(t.fields[i].DataTypeOID) {
				b.WriteString(pad + text)
			} else {
				b.WriteString(text + pad)
			}
			b.WriteString(mark)
		}
		t.w.WriteString(strings.TrimRight(b.String(), " "))
		if err := t.w.WriteByte('\n'); err != nil {
			return err
		}
	}
	return nil
}

func (t *tableWriter) end() error {
	if !t.headed {
		if err := t.flushSample(); err != nil {
			return err
		}
	}
	t.w.WriteString(rowCount(t.rows) + "\n\n")
	return t.w.Flush()
}

func rowCount(n int) string {
	if n == 1 {
		return "(1 row)"
	}
	return fmt.Sprintf("(%d rows)", n)
}

// expandedWriter prints a line per value.
type expandedWriter struct {
	w      *bufio.Writer
	fields []pgconn.FieldDescription
	names  int // width of the names
	rows   int
}

func (e *expandedWriter) begin(fields []pgconn.FieldDescription) error {
	e.fields = fields
	for _, f := range fields {
		e.names = max(e.names, width(f.Name))
	}
	return nil
}

func (e *expandedWriter) row(values [][]byte) error {
	e.rows++
	head := fmt.Sprintf("-[ RECORD %d ]", e.rows)
	e.w.WriteString(head + strings.Repeat("-", max(1, e.names+12-len(head))) + "\n")
	for i, v := range values {
		name := e.fields[i].Name + strings.Repeat(" ", e.names-width(e.fields[i].Name))
		for _, l := range newCell(v) {
			e.w.WriteString(strings.TrimRight(name+" | "+l, " ") + "\n")
			name = strings.Repeat(" ", e.names)
		}
	}
	return nil
}

func (e *expandedWriter) end() error {
	e.w.WriteString(rowCount(e.rows) + "\n\n")
	return e.w.Flush()
}

// csvWriter prints CSV as COPY … WITH (FORMAT csv, HEADER) does: NULL is nothing,
// an empty text is "".
type csvWriter struct{ w *bufio.Writer }

func (c *csvWriter) begin(fields []pgconn.FieldDescription) error {
	for i, f := range fields {
		c.field(i, []byte(f.Name), len(fields))
	}
	return c.w.WriteByte('\n')
}

func (c *csvWriter) field(i int, v []byte, n int) {
	if i > 0 {
		c.w.WriteByte(',')
	}
	s := string(v)
	switch {
	case v == nil:
	case s == "" || n == 1 && s == `\.` || strings.ContainsAny(s, ",\"\r\n"):
		c.w.WriteString(`"` + strings.ReplaceAll(s, `"`, `""`) + `"`)
	default:
		c.w.WriteString(s)
	}
}

func (c *csvWriter) row(values [][]byte) error {
	for i, v := range values {
		c.field(i, v, len(values))
	}
	return c.w.WriteByte('\n')
}

func (c *csvWriter) end() error { return c.w.Flush() }

// jsonWriter prints an array of objects, one per line.
type jsonWriter struct {
	w      *bufio.Writer
	fields []pgconn.FieldDescription
	names  [][]byte
	rows   int
}

func (j *jsonWriter) begin(fields []pgconn.FieldDescription) error {
	j.fields = fields
	for _, f := range fields {
		j.names = append(j.names, jsonString(f.Name))
	}
	return j.w.WriteByte('[')
}

func (j *jsonWriter) row(values [][]byte) error {
	if j.rows > 0 {
		j.w.WriteString(",\n ")
	}
	j.rows++
	j.w.WriteByte('{')
	for i, v := range values {
		if i > 0 {
			j.w.WriteString(", ")
		}
		j.w.Write(j.names[i])
		j.w.WriteString(": ")
		j.w.Write(jsonValue(j.fields[i].DataTypeOID, v))
	}
	return j.w.WriteByte('}')
}

func (j *jsonWriter) end() error {
	j.w.WriteString("]\n")
	return j.w.Flush()
}

// jsonValue is a value as JSON. Numbers keep all their digits; NaN and the
// infinities, which JSON lacks, are strings.
func jsonValue(oid uint32, v []byte) []byte {
	switch {
	case v == nil:
		return []byte("null")
	case oid == oidBool:
		if string(v) == "t" {
			return []byte("true")
		}
		return []byte("false")
	case oid == oidJSON || oid == oidJSONB:
		if json.Valid(v) {
			return v
		}
	case isNumber(oid) && json.Valid(v):
		return v
	}
	return jsonString(string(v))
}

func jsonString(s string) []byte {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string can always be written
	return []byte(strings.TrimSuffix(b.String(), "\n"))
}
