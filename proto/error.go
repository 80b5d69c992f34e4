package proto

import "github.com/volleydb/volley/pgerr"

// FromError converts err for the wire; nil stays nil. The class survives, and so
// do all fields that a client sees; the cause does not travel.
func FromError(err error) *Error {
	e := pgerr.From(err)
	if e == nil {
		return nil
	}
	return &Error{
		Code: e.Code, Message: e.Message, Detail: e.Detail, Hint: e.Hint, Where: e.Where,
		Position: int32(e.Position), Class: uint32(e.Class),
	}
}

// Err converts an error from the wire; nil stays a nil error. What a peer must
// not send (no SQLSTATE, an unknown class) becomes an internal error that
// keeps the message.
func (x *Error) Err() error {
	if x == nil {
		return nil
	}
	return x.PgError()
}

// PgError is Err as the concrete type, nil for nil.
func (x *Error) PgError() *pgerr.Error {
	if x == nil {
		return nil
	}
	e := &pgerr.Error{
		Code: x.Code, Message: x.Message, Detail: x.Detail, Hint: x.Hint, Where: x.Where,
		Position: int(x.Position), Class: pgerr.Class(x.Class),
	}
	if len(e.Code) != 5 {
		e.Code, e.Class = pgerr.InternalError, pgerr.Bug
	}
	if x.Class > uint32(pgerr.Bug) {
		e.Class = pgerr.Bug
	}
	return e
}
