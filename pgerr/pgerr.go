package pgerr

import (
	"context"
	"errors"
	"fmt"
)

// Class says who is at fault, which is what decides about a retry.
type Class uint8

// The closed set of classes.
const (
	User        Class = iota // the statement or its data: never retried
	UDF                      // user code raised or broke its contract
	Resource                 // memory, disk, limits
	FetchFailed              // a sealed output could not be read: a vote, not a verdict
	WorkerLost               // the worker that ran the task is gone
	Transient                // I/O that may succeed when tried again
	Cancelled                // by the client, a timeout or shutdown
	Bug                      // an invariant of Volley's own does not hold
)

var classNames = [...]string{"user", "udf", "resource", "fetch_failed", "worker_lost", "transient", "cancelled", "bug"}

func (c Class) String() string {
	if int(c) < len(classNames) {
		return classNames[c]
	}
	return fmt.Sprintf("class(%d)", uint8(c))
}

// Error is an error as a Postgres client sees it.
type Error struct {
	Code     string // SQLSTATE, five characters
	Message  string
	Detail   string
	Hint     string
	Where    string // context, such as "COPY games, line 3, column G2"
	Position int    // 1-based offset in characters into the statement; 0 = none
	Class    Class
	cause    error
}

// New makes an error of the class that its SQLSTATE implies.
func New(code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), Class: classOf(code)}
}

// Wrap makes an error with a cause; the cause's text is appended to the message.
// A cause that already is an *Error keeps its code and class, and its message
// gets the new one as prefix.
func Wrap(err error, code, format string, args ...any) *Error {
	msg := fmt.Sprintf(format, args...)
	var pe *Error
	if errors.As(err, &pe) {
		c := *pe
		c.Message = msg + ": " + pe.Message
		c.cause = err
		return &c
	}
	return &Error{Code: code, Message: msg + ": " + err.Error(), Class: classOf(code), cause: err}
}

// From returns err as an *Error: itself if it is one, 57014 for a cancelled
// context, XX000 for anything else. From(nil) is nil.
func From(err error) *Error {
	if err == nil {
		return nil
	}
	var pe *Error
	switch {
	case errors.As(err, &pe):
		return pe
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		e := New(QueryCanceled, "canceling statement due to user request")
		e.cause = err
		return e
	}
	return &Error{Code: InternalError, Message: err.Error(), Class: Bug, cause: err}
}

func (e *Error) Error() string { return e.Message }

func (e *Error) Unwrap() error { return e.cause }

// WithDetail, WithHint, WithWhere, WithClass and At return e with one more
// field set, for use where the error is made.
func (e *Error) WithDetail(format string, args ...any) *Error {
	e.Detail = fmt.Sprintf(format, args...)
	return e
}

func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

func (e *Error) WithWhere(format string, args ...any) *Error {
	e.Where = fmt.Sprintf(format, args...)
	return e
}

func (e *Error) WithClass(c Class) *Error { e.Class = c; return e }

// At sets the position: a 1-based character offset into the statement.
// A position that is already set is kept, since the innermost is the best.
func (e *Error) At(pos int) *Error {
	if e.Position == 0 {
		e.Position = pos
	}
	return e
}

// Code returns the SQLSTATE of err, XX000 if it has none, "" for nil.
func Code(err error) string {
	if err == nil {
		return ""
	}
	return From(err).Code
}

// ProcessEnded reports whether err says that a process with user code has ended, through
// the fault, perhaps, of another of its users.
func ProcessEnded(err error) bool {
	e := From(err)
	return e != nil && e.Class == Transient && (e.Code == ExternalRoutineException || e.Code == CrashShutdown)
}

// ClassOf returns the class of err.
func ClassOf(err error) Class { return From(err).Class }
