package coordinator

import (
	"context"
	"io"

	"github.com/volleydb/volley/parser"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// SessionOptions is what a client says when it connects.
type SessionOptions struct {
	User     string
	Database string
	// Settings are startup parameters that are settings (application_name,
	// DateStyle, options' -c a=b, volley.seed, …).
	Settings map[string]string
	// OnSetting is called when a reported setting changes (ParameterStatus).
	OnSetting func(name, value string)
	// OnNotice is called for notices and warnings while a statement runs.
	OnNotice func(severity, code, message, hint string)
}

// Prepared is a statement that has been analysed: its parameter types are
// known and, when it returns rows, its fields.
type Prepared struct {
	Statement *parser.Statement // nil for the empty query
	Params    []types.Type
	Fields    []vector.Field // nil when the statement returns no rows
	// Late says that the fields depend on the values of the parameters: BindFields
	// knows them.
	Late bool
}

// Param is one bound parameter.
type Param struct {
	Null bool
	// Text is the value in text format when IsText, else the value in the
	// binary format of the parameter's type.
	IsText bool
	Value  []byte
}

// Result is a statement under way. Read batches until Next gives nil, then ask
// for Tag. Close may be called at any time and more than once; it cancels what
// still runs and waits for it.
type Result struct {
	Fields []vector.Field // nil when no rows are returned
	// CopyOut is set for COPY … TO STDOUT: Next is not to be called; WriteTo
	// streams the data (whole CSV or text lines, or binary) to w, one Write per
	// CopyData message.
	CopyOut *CopyOut
	// CopyIn is set for COPY … FROM STDIN: feed it, then read Tag.
	CopyIn *CopyIn
	// Setting and RegName, if not nil, say in place of the session's how values are
	// written: the rows of a replay are written as those of the query were.
	Setting func(name string) (string, bool)
	RegName func(t types.Type, oid uint32) string

	next  func(ctx context.Context) (*vector.Batch, error)
	tag   func() string
	close func()
}

// CopyOut describes COPY TO STDOUT.
type CopyOut struct {
	Binary  bool
	Columns int
	// WriteTo writes the data: each Write is a CopyData message, with one row.
	WriteTo func(ctx context.Context, w io.Writer) error
}

// CopyIn describes COPY FROM STDIN. Run consumes r to its end and commits; an
// error from r (CopyFail) rolls everything back.
type CopyIn struct {
	Binary  bool
	Columns int
	Run     func(ctx context.Context, r io.Reader) error
}

// NewResult makes a result. next, which may be nil, gives the batches, tag the
// command tag, and close, which may be nil, ends the statement.
func NewResult(fields []vector.Field, next func(context.Context) (*vector.Batch, error), tag func() string, close func()) *Result {
	return &Result{Fields: fields, next: next, tag: tag, close: close}
}

// Next returns the next batch (dense), nil at the end.
func (r *Result) Next(ctx context.Context) (*vector.Batch, error) {
	if r.next == nil {
		return nil, nil
	}
	return r.next(ctx)
}

// Tag is the command tag ("SELECT 5"), valid when the statement has ended.
func (r *Result) Tag() string { return r.tag() }

// Close ends the statement.
func (r *Result) Close() {
	if r.close != nil {
		r.close()
	}
}

// TxStatus is the transaction state as ReadyForQuery tells it.
type TxStatus byte

// The transaction states.
const (
	TxIdle   TxStatus = 'I'
	TxActive TxStatus = 'T'
	TxFailed TxStatus = 'E'
)

// The methods that package pgwire and the shell use:
//
//	func (c *Coordinator) NewSession(ctx context.Context, o SessionOptions) (*Session, error)
//	func (c *Coordinator) PasswordVerifier(user string) (scram string, ok bool)
//	func (s *Session) Prepare(ctx context.Context, st *parser.Statement, paramOIDs []uint32) (*Prepared, error)
//	func (s *Session) Execute(ctx context.Context, p *Prepared, params []Param) (*Result, error)
//	func (s *Session) BindFields(ctx context.Context, p *Prepared, params []Param) (*Prepared, error)
//	func (s *Session) TxStatus() TxStatus
//	func (s *Session) EndImplicit(failed bool) // Sync or end of a simple query: ends the implicit transaction
//	func (s *Session) Setting(name string) (string, bool)
//	func (s *Session) Close()
