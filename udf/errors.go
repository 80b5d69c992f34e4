package udf

import (
	"errors"

	"github.com/volleydb/volley/pgerr"
)

// CallError is an error of user code with its place. It unwraps to the
// *pgerr.Error that clients see.
type CallError struct {
	Group int64 // number of the group in its stream, -1 if it belongs to none
	Row   int64 // of the call's batch, or of the group; -1 if unknown
	Err   *pgerr.Error
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
