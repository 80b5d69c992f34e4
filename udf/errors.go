package udf

import (
	"errors"
	"fmt"

	"github.com/volleydb/volley/pgerr"
)

// CallError is an error of user code with its place. It unwraps to the
// *pgerr.Error that clients see.
type CallError struct {
	Group int64 // number of the group in its stream, -1 if it belongs to none
	Row   int64 // of the call's batch, or of the group; -1 if unknown
	Err   *pgerr.Error

	seq        uint64 // of the batch
	begin, end int    // the rows of the call that the batch has; of a ScalarStream
	mixed      bool   // the batch has rows of several calls
	panic      bool   // Err.Detail has a stack
	args       string // of the row, as Err.Detail begins with them; "" = not known
	where      string
}

// setRow sets the row and the text about the place.
func (e *CallError) setRow(row int64) {
	e.Row = row
	e.Err.Where = e.where
	if row >= 0 {
		e.Err.Where = fmt.Sprintf("row %d, %s", row+1, e.where)
	}
}

func (e *CallError) Error() string { return e.Err.Error() }

// Unwrap returns the *pgerr.Error.
func (e *CallError) Unwrap() error { return e.Err }

// WithGroupKey adds to an error of a grouped-map function which group it is
// about: key gets the group's number and returns text such as "user_id = 7".
// Other errors are returned as they are.
func WithGroupKey(err error, key func(group int64) string) error {
	var ce *CallError
	if !errors.As(err, &ce) || ce.Group < 0 {
		return err
	}
	c := *ce.Err
	where := "group " + key(ce.Group)
	if c.Where != "" {
		where += ", " + c.Where
	}
	c.Where = where
	return &CallError{Group: ce.Group, Row: ce.Row, Err: &c}
}
