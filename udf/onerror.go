package udf

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// OnError says what becomes of a row on which user code fails.
type OnError uint8

// The choices of volley.on_error.
const (
	OnErrorFail OnError = iota // the statement fails
	OnErrorNull                // the result is NULL
	OnErrorSkip                // the row is left out
)

// ParseOnError reads a setting; "" and what is unknown are OnErrorFail.
func ParseOnError(s string) OnError {
	switch s {
	case "null":
		return OnErrorNull
	case "skip":
		return OnErrorSkip
	}
	return OnErrorFail
}

// OnErrorOf is what a call of ref does in a session with the given
// volley.on_error: the function's own setting goes before the session's. A session's
// skip is for functions whose rows or groups can be left out: the others fail.
func OnErrorOf(ref *proto.UDF, session string) OnError {
	if s := ref.GetOnError(); s != "" {
		session = s
	}
	o := ParseOnError(session)
	if k := function.Kind(ref.GetKind()); o == OnErrorSkip && (k == function.Aggregate || k == function.Window) {
		return OnErrorFail
	}
	return o
}

// Bounds on the processes that the rows of one stream may end: the first death
// says that a piece has such a row, the second which part of it, the third which
// row. Where failing rows are not fatal there may be several of them.
const (
	maxDeathsFail = 6
	maxDeathsSkip = 100
)

// suspect is a range of rows of a call of which one is known to have failed.
// death says that its process ended: then it is better to run many small parts,
// since each further death costs a start and a run of the Init hooks; else the
// range is halved, since each part costs a call.
type suspect struct {
	lo, hi int
	death  bool
	level  int // deaths while searching
	// err was raised for the range as a whole. When each of its rows then passes by
	// itself the fault is not a row's, and the error stands: results of smaller
	// batches are no substitute, a function may well look at the whole.
	err error
}

// step is how many rows to try next.
func (q *suspect) step() int {
	n := q.hi - q.lo
	switch {
	case n <= 1 || q.death && q.level > 0:
		return 1
	case q.death:
		return int(math.Ceil(math.Sqrt(float64(n))))
	}
	return (n + 1) / 2
}

// blame finds out what to do about an error of the oldest call: nil to go on (the
// error is a row's and rows may fail, or the range at fault is being narrowed).
func (s *ScalarStream) blame(c *scalarCall, err error, died, stuck bool, first *callPiece) error {
	var ce *CallError
	switch {
	case errors.As(err, &ce):
		if ce.Row >= 0 {
			return s.culprit(c, int(ce.Row), ce.Err, ce.panic)
		}
		if ce.end <= ce.begin {
			return err // not of a piece: an Init hook's
		}
		if ce.end-ce.begin == 1 {
			return s.culprit(c, ce.begin, ce.Err, ce.panic)
		}
		whole := *ce
		whole.begin, whole.end = 0, 0 // not to be searched again
		s.narrow(c, &suspect{lo: ce.begin, hi: ce.end, err: &whole})
		return nil
	case died || stuck:
		s.deaths++
		limit := maxDeathsFail
		if s.onError != OnErrorFail {
			limit = maxDeathsSkip
		}
		if s.deaths > limit {
			e := *pgerr.From(err)
			if e.Class == pgerr.Transient {
				e.Class = pgerr.UDF
			}
			e.Message += fmt.Sprintf(" (%d times in one task)", s.deaths)
			return &e
		}
		// The private process has this stream only, with one piece at a time while
		// a row is searched. A timeout is the stream's own in any case.
		q := &suspect{lo: c.out.at, hi: c.handed(), death: true}
		if s.private != "" && first != nil && first.parts[0].call == c && c.suspect != nil {
			q.lo, q.hi, q.level = max(first.parts[0].begin, c.out.at), first.parts[0].end, c.suspect.level+1
		}
		if q.hi <= q.lo {
			q.hi = q.lo + 1
		}
		if q.hi-q.lo == 1 && (stuck || s.private != "") {
			return s.culprit(c, q.lo, pgerr.From(err), true)
		}
		// Not on a process that is about to be ended because of this piece.
		s.endPrivate()
		s.private = s.h.privateName()
		s.narrow(c, q)
		return nil
	}
	return err
}

func (s *ScalarStream) narrow(c *scalarCall, q *suspect) {
	c.suspect = q
}

// culprit deals with a row that is known to fail. lost says that the error has a
// stack, or what the process said, as its detail.
func (s *ScalarStream) culprit(c *scalarCall, row int, e *pgerr.Error, stack bool) error {
	at := row
	if c.rows != nil && row < len(c.rows) {
		at = int(c.rows[row])
	}
	f := RowFailure{Failure: Failure{At: time.Now()}, Row: at, Ordinal: s.base + int64(at) + 1}
	f.Args = argText(s.names, c.args, row)
	x := *e
	f.Err = &x
	prefix := "Arguments: " + f.Args + "."
	detail := x.Detail
	if rest, ok := cutArguments(detail, prefix); ok {
		detail = rest
	} else if len(detail) >= len("Arguments: ") && detail[:len("Arguments: ")] == "Arguments: " {
		prefix, detail = detail, "" // as the plugin writes them
	}
	if stack {
		f.Stack = detail
	}
	x.Detail = prefix
	if f.Args == "" {
		x.Detail = ""
	}
	if detail != "" {
		if x.Detail != "" {
			x.Detail += " "
		}
		x.Detail += detail
	}
	if x.Class == pgerr.Transient {
		x.Class = pgerr.UDF
	}
	x.Where = "row " + strconv.FormatInt(f.Ordinal, 10) + ", " + s.where()
	s.figures.Errors++
	if s.onError == OnErrorFail {
		s.h.recordFailed(s.ref, s.query, s.names, c.args, c.n, row, &x)
		return &CallError{Group: -1, Row: int64(at), Err: &x}
	}
	c.fails(int32(row))
	if c.suspect != nil && c.suspect.death {
		// It stays in a process of its own, but not in the one that was hurt.
		s.fatal = true
		s.endPrivate()
		s.private = s.h.privateName()
	}
	c.suspect = nil
	s.failures = append(s.failures, f)
	return nil
}

func cutArguments(detail, prefix string) (string, bool) {
	if len(detail) < len(prefix) || detail[:len(prefix)] != prefix {
		return detail, false
	}
	rest := detail[len(prefix):]
	if rest != "" && rest[0] == ' ' {
		rest = rest[1:]
	}
	return rest, true
}

// where names the function in an error's context.
func (s *ScalarStream) where() string {
	return "function " + displayName(s.ref) + " of " + s.label
}

// displayName is how messages call a function: name@version.
func displayName(ref *proto.UDF) string {
	name := ref.GetDisplay()
	if name == "" {
		name = ref.GetSymbol()
	}
	if v := ref.GetVersion(); v > 0 {
		name += "@" + strconv.Itoa(int(v))
	}
	return name
}

// TakeFailures returns the rows that failed in the batch that Call or Collect
// returned last, in ascending order; their results are NULL.
func (s *ScalarStream) TakeFailures() []RowFailure {
	f := s.failures
	s.failures = nil
	return f
}

// SetOnError sets what becomes of failing rows; the default is OnErrorFail.
func (s *ScalarStream) SetOnError(o OnError) { s.onError = o }

// fails adds a row to those that are not sent any more.
func (c *scalarCall) fails(row int32) {
	i := len(c.bad)
	for i > 0 && c.bad[i-1] > row {
		i--
	}
	if i > 0 && c.bad[i-1] == row {
		return
	}
	c.bad = append(c.bad, 0)
	copy(c.bad[i+1:], c.bad[i:])
	c.bad[i] = row
}

// nextBad is the first row from at on that is not to be sent, c.n if none.
func (c *scalarCall) nextBad(at int) int {
	lo, hi := 0, len(c.bad)
	for lo < hi {
		m := (lo + hi) / 2
		if int(c.bad[m]) < at {
			lo = m + 1
		} else {
			hi = m
		}
	}
	if lo == len(c.bad) {
		return c.n
	}
	return int(c.bad[lo])
}

// handed is the row up to which the rows have been sent, at least one.
func (c *scalarCall) handed() int { return max(c.sent, min(c.out.at+1, c.n)) }

// pad adds the NULLs of failed rows that come next.
func (s *ScalarStream) pad(c *scalarCall) error {
	for c.out.at < c.n && len(c.bad) > 0 && c.nextBad(c.out.at) == c.out.at {
		if err := c.out.add(vector.NewNull(s.returns, 1).Flatten()); err != nil {
			return err
		}
		c.sent = max(c.sent, c.out.at)
	}
	if q := c.suspect; q != nil {
		q.lo = max(q.lo, c.out.at)
		if q.lo >= q.hi {
			c.suspect = nil
			if q.err != nil {
				return q.err
			}
		}
	}
	return nil
}

// settle leaves the private process when no row of this stream was at fault for
// the death of the shared one.
func (s *ScalarStream) settle() {
	if s.private == "" || s.fatal || s.s == nil {
		return
	}
	for _, c := range s.queue {
		if c.suspect != nil {
			return
		}
	}
	s.s.close()
	s.s = nil
	s.endPrivate()
}

func (s *ScalarStream) endPrivate() {
	if s.private != "" {
		s.h.endPrivate(s.ref, s.private)
		s.private = ""
	}
}

// maxArgText bounds the text of one argument, in bytes.
const maxArgText = 100

// argText prints row i of args: x = 1, s = 'abc'.
func argText(names []string, args []*vector.Vector, i int) string {
	var b []byte
	for k, a := range args {
		if i < 0 || i >= a.Len {
			return ""
		}
		if k > 0 {
			b = append(b, ", "...)
		}
		if k < len(names) && names[k] != "" {
			b = append(append(b, names[k]...), " = "...)
		}
		b = append(b, valueText(a, i)...)
	}
	return string(b)
}

func valueText(v *vector.Vector, i int) string {
	v = vector.Slice(v, i, i+1).Flatten()
	if v.IsNull(0) {
		return "NULL"
	}
	if v.Type.ID == types.Bool {
		return strconv.FormatBool(vector.At[bool](v, 0))
	}
	text := vector.AppendText(nil, v, 0, nil)
	if v.Type.IsNumeric() {
		return string(text)
	}
	more := ""
	if len(text) > maxArgText {
		cut := maxArgText
		for cut > 0 && text[cut]&0xC0 == 0x80 {
			cut--
		}
		text, more = text[:cut], "…"
	}
	return "'" + string(text) + more + "'"
}

// waitTurn takes one of the turns that the function's concurrency limit gives.
func (s *ScalarStream) waitTurn(ctx context.Context) (release func(), err error) {
	if s.turns == nil {
		return func() {}, nil
	}
	start := time.Now()
	defer func() { s.figures.QueueNanos += int64(time.Since(start)) }()
	select {
	case s.turns <- struct{}{}:
		return func() { <-s.turns }, nil
	case <-ctx.Done():
		return nil, pgerr.From(context.Cause(ctx))
	case <-s.h.closing:
		return nil, errClosed()
	}
}
