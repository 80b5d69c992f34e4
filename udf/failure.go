package udf

import (
	"time"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
)

// Failure is what is known of user code that failed while OnError is not fail.
type Failure struct {
	Args  string // the arguments, printed
	Stack string // of a panic, or what the process said when it ended; may be ""
	Err   *pgerr.Error
	At    time.Time
}

// RowFailure is a row on which a scalar function failed.
type RowFailure struct {
	Failure
	Row     int   // of the batch
	Ordinal int64 // of the rows that the stream has seen, from 1
}

// GroupFailure is a group on which another function failed.
type GroupFailure struct {
	Failure
	Group int64
	Row   int64 // of the group, from 1; 0 = unknown
}

// Proto is what travels to volley.udf_errors.
func (f *RowFailure) Proto(ref *proto.UDF, key string, attempt uint32) *proto.UDFError {
	return f.proto(ref, key, f.Ordinal, attempt)
}

// Proto is what travels to volley.udf_errors.
func (f *GroupFailure) Proto(ref *proto.UDF, key string, attempt uint32) *proto.UDFError {
	return f.proto(ref, key, f.Row, attempt)
}

func (f *Failure) proto(ref *proto.UDF, key string, row int64, attempt uint32) *proto.UDFError {
	return &proto.UDFError{Function: ref.GetDisplay(), Version: ref.GetVersion(), Digest: ref.GetDigest(), Key: key, Row: row,
		Args: f.Args, Message: f.Err.Message, Sqlstate: f.Err.Code, Stack: f.Stack, Attempt: attempt, AtUs: f.At.UnixMicro()}
}
