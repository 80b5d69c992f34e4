package udf

import (
	"errors"
	"fmt"
	"runtime"
	"strings"

	"github.com/volleydb/volley/udf/sdk/wire"
)

// Error is an error with an SQLSTATE. Any error with a method SQLState() string
// does as well.
type Error struct {
	Code    string // five characters; "" is 38000
	Message string
	Detail  string
	Hint    string
}

func (e *Error) Error() string { return e.Message }

// SQLState returns the code.
func (e *Error) SQLState() string { return e.Code }

// Errorf makes an error with an SQLSTATE.
func Errorf(code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// AtRow says which row (of the batch, or of the group's current batch) err is
// about, where Volley cannot know: in vectorised functions and grouped maps.
func AtRow(row int, err error) error {
	if err == nil {
		return nil
	}
	return &rowError{row, err}
}

type rowError struct {
	row int
	err error
}

func (e *rowError) Error() string { return e.err.Error() }
func (e *rowError) Unwrap() error { return e.err }

func asRowError(err error, re **rowError) bool { return errors.As(err, re) }

// raised carries an error that user code returned out of a loop over rows.
type raised struct{ err error }

// cancelled ends user code of a stream that was cancelled.
type cancelled struct{}

// toMessage describes what user code returned or panicked with; stack is the
// panic's, "" for an error.
func toMessage(v any) *wire.ErrorMsg {
	m := &wire.ErrorMsg{Code: "38000", Row: -1, Group: -1}
	switch x := v.(type) {
	case raised:
		fromError(m, x.err)
	case *Error:
		fromError(m, x)
	default:
		m.Panic = true
		m.Message = "panic: " + fmt.Sprint(v)
		m.Hint = ""
		m.Detail = userStack()
	}
	return m
}

func fromError(m *wire.ErrorMsg, err error) {
	m.Message = err.Error()
	var re *rowError
	if errors.As(err, &re) {
		m.Row = int64(re.row)
	}
	var s interface{ SQLState() string }
	if errors.As(err, &s) && validCode(s.SQLState()) {
		m.Code = s.SQLState()
	}
	var e *Error
	if errors.As(err, &e) {
		m.Detail, m.Hint = e.Detail, e.Hint
	}
}

func validCode(c string) bool {
	if len(c) != 5 || c[:2] == "00" {
		return false
	}
	for _, r := range c {
		if !(r >= '0' && r <= '9' || r >= 'A' && r <= 'Z') {
			return false
		}
	}
	return true
}

// userStack is the part of a panicking goroutine's stack between the panic and
// this package: a line per call.
func userStack() string {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	var b strings.Builder
	inPanic, lines := false, 0
	for {
		f, more := frames.Next()
		switch {
		case strings.HasPrefix(f.Function, "runtime."):
			inPanic = true
		case strings.HasPrefix(f.Function, sdkPackage) && inPanic:
			if lines > 0 {
				return b.String()
			}
		case inPanic && lines < 12:
			if lines > 0 {
				b.WriteString("; ")
			}
			file := f.File
			if i := strings.LastIndexByte(file, '/'); i >= 0 {
				file = file[i+1:]
			}
			fmt.Fprintf(&b, "%s (%s:%d)", f.Function, file, f.Line)
			lines++
		}
		if !more {
			return b.String()
		}
	}
}

const sdkPackage = "github.com/volleydb/volley/udf/sdk."

// values prints row i of args for an error's detail.
func values(args []column, i int) string {
	var b strings.Builder
	for k := range args {
		c := &args[k]
		if i < 0 || i >= c.n {
			return ""
		}
		if k > 0 {
			b.WriteString(", ")
		}
		if c.name != "" {
			b.WriteString(c.name)
			b.WriteString(" = ")
		}
		b.WriteString(c.format(i))
	}
	return b.String()
}

// formatElems bounds what is printed of an array.
const formatElems = 10

func (c *column) formatParts(i int) string {
	if c.typ.kind() == wire.Struct {
		s := make([]string, len(c.kids))
		for k := range c.kids {
			s[k] = c.kids[k].format(i)
		}
		return "ROW(" + strings.Join(s, ", ") + ")"
	}
	from, to := int(c.offsets()[i]), int(c.offsets()[i+1])
	var s []string
	for e := from; e < min(to, from+formatElems); e++ {
		s = append(s, c.kids[0].format(e))
	}
	if to-from > formatElems {
		s = append(s, "…")
	}
	return "ARRAY[" + strings.Join(s, ", ") + "]"
}

func (c *column) format(i int) string {
	if c.isNull(i) {
		return "NULL"
	}
	switch c.typ.base() {
	case Bool:
		return fmt.Sprint(fixed[bool](c)[i])
	case Int16:
		return fmt.Sprint(fixed[int16](c)[i])
	case Int32:
		return fmt.Sprint(fixed[int32](c)[i])
	case Int64:
		return fmt.Sprint(fixed[int64](c)[i])
	case Float32:
		return fmt.Sprint(fixed[float32](c)[i])
	case Float64:
		return fmt.Sprint(fixed[float64](c)[i])
	case Date:
		return epochDate(fixed[int32](c)[i]).Format("'2006-01-02'")
	case Time, TypeTimestamp:
		return epochTime(fixed[int64](c)[i]).Format("'2006-01-02 15:04:05.999999'")
	case TypeTimestamptz:
		return epochTime(fixed[int64](c)[i]).Format("'2006-01-02 15:04:05.999999Z07:00'")
	case TypeClock:
		return "'" + fixed[Clock](c)[i].String() + "'"
	case TypeInterval:
		return "'" + fixed[Interval](c)[i].String() + "'"
	case TypeUUID:
		return "'" + fixed[UUID](c)[i].String() + "'"
	case TypeNumeric:
		return fixed[Decimal](c)[i].String()
	}
	if len(c.kids) > 0 {
		return c.formatParts(i)
	}
	offs := c.offsets()
	v := c.bytes[offs[i]:offs[i+1]]
	more := ""
	if len(v) > 100 {
		v, more = v[:100], "…"
	}
	if c.typ.base() == Bytes {
		return fmt.Sprintf(`'\x%x%s'`, v, more)
	}
	return "'" + strings.ToValidUTF8(string(v), "") + more + "'"
}
