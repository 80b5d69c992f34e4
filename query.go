package volley

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/volleydb/volley/coordinator"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// Session is a client's session: it has settings and at most one transaction. It
// belongs to one goroutine.
type Session struct {
	s *coordinator.Session
}

// Session opens a session as the first role, a superuser.
func (db *DB) Session(ctx context.Context) (*Session, error) {
	s, err := db.server.NewSession(ctx, coordinator.SessionOptions{})
	if err != nil {
		return nil, err
	}
	return &Session{s}, nil
}

// Close ends the session and rolls back what is open.
func (s *Session) Close() { s.s.Close() }

// Exec runs statements in a session of their own and forgets their rows; args stand
// for $1, $2, … in a single statement.
func (db *DB) Exec(ctx context.Context, sql string, args ...any) error {
	r, err := db.Query(ctx, sql, args...)
	if err != nil {
		return err
	}
	for r.Next() {
	}
	return errors.Join(r.Err(), r.Close())
}

// Query runs statements in a session of their own and returns the rows of the last
// one. Close them.
func (db *DB) Query(ctx context.Context, sql string, args ...any) (*Rows, error) {
	s, err := db.Session(ctx)
	if err != nil {
		return nil, err
	}
	r, err := s.Query(ctx, sql, args...)
	if err != nil {
		s.Close()
		return nil, err
	}
	r.own = s
	return r, nil
}

// Exec is Query for statements whose rows do not matter.
func (s *Session) Exec(ctx context.Context, sql string, args ...any) error {
	r, err := s.Query(ctx, sql, args...)
	if err != nil {
		return err
	}
	for r.Next() {
	}
	return errors.Join(r.Err(), r.Close())
}

// Query runs statements and returns the rows of the last one, which must be read or
// closed before the next Query. Several statements are one transaction. COPY from or
// to the client needs a Postgres client: see DB.Serve.
func (s *Session) Query(ctx context.Context, sql string, args ...any) (*Rows, error) {
	params := make([]coordinator.Param, len(args))
	for i, a := range args {
		var err error
		if params[i], err = param(a); err != nil {
			return nil, fmt.Errorf("argument $%d: %w", i+1, err)
		}
	}
	list, err := s.s.Parse(sql)
	if err != nil {
		return nil, err
	}
	if len(list) > 1 && len(args) > 0 {
		return nil, pgerr.New(pgerr.SyntaxError, "cannot insert multiple commands into a prepared statement")
	}
	last := &Rows{s: s, ctx: ctx}
	for i, st := range list {
		p, err := s.s.Prepare(ctx, st, nil)
		if err == nil {
			last.r, err = s.s.Execute(ctx, p, params)
		}
		if err == nil && (last.r.CopyIn != nil || last.r.CopyOut != nil) {
			last.r.Close()
			err = pgerr.New(pgerr.FeatureNotSupported, "COPY from or to the client needs a Postgres client")
		}
		if err == nil && i < len(list)-1 {
			err = drain(ctx, last.r)
		}
		if err != nil {
			s.s.EndImplicit(true)
			return nil, err
		}
	}
	if last.r == nil {
		last.r = coordinator.NewResult(nil, nil, func() string { return "" }, nil) // no statement
	}
	last.fields = last.r.Fields
	return last, nil
}

// drain runs a statement to its end.
func drain(ctx context.Context, r *coordinator.Result) error {
	defer r.Close()
	for {
		if b, err := r.Next(ctx); b == nil || err != nil {
			return err
		}
	}
}

// param makes the text of an argument, whose type the statement decides.
func param(a any) (coordinator.Param, error) {
	text := func(s string) (coordinator.Param, error) {
		return coordinator.Param{IsText: true, Value: []byte(s)}, nil
	}
	switch x := a.(type) {
	case nil:
		return coordinator.Param{Null: true}, nil
	case string:
		return text(x)
	case []byte:
		return text(`\x` + hex.EncodeToString(x))
	case bool:
		return text(strconv.FormatBool(x))
	case float64:
		return text(strconv.FormatFloat(x, 'g', -1, 64))
	case float32:
		return text(strconv.FormatFloat(float64(x), 'g', -1, 32))
	case time.Time:
		return text(x.Format("2006-01-02 15:04:05.999999Z07:00"))
	case int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64, fmt.Stringer:
		return text(fmt.Sprint(x))
	}
	return coordinator.Param{}, pgerr.New(pgerr.FeatureNotSupported, "values of type %T are not supported", a).WithHint("Give it as a string.")
}

// Rows are the result of a statement, read as it comes:
//
//	for rows.Next() {
//		err := rows.Scan(&name, &n)
//	}
//	err = rows.Err()
type Rows struct {
	s      *Session
	own    *Session // to be closed with the rows
	ctx    context.Context
	r      *coordinator.Result
	fields []vector.Field
	batch  *vector.Batch
	row    int
	err    error
	done   bool
	closed bool
	app    []func([]byte, *vector.Vector, int) []byte
}

// Columns are the names of the columns.
func (r *Rows) Columns() []string {
	var names []string
	for _, f := range r.fields {
		names = append(names, f.Name)
	}
	return names
}

// Types are the SQL types of the columns.
func (r *Rows) Types() []string {
	var out []string
	for _, f := range r.fields {
		out = append(out, f.Type.String())
	}
	return out
}

// Next moves to the next row; false at the end and after an error.
func (r *Rows) Next() bool {
	if r.done || r.closed {
		return false
	}
	if r.batch != nil && r.row+1 < r.batch.Rows() {
		r.row++
		return true
	}
	for {
		b, err := r.r.Next(r.ctx)
		if b == nil || err != nil {
			r.err, r.batch, r.done = err, nil, true
			return false
		}
		if b = b.Dense(); b.Rows() > 0 {
			r.batch, r.row = b, 0
			return true
		}
	}
}

// Err is the error that ended the rows, nil at their end.
func (r *Rows) Err() error { return r.err }

// Tag is the command tag, such as "INSERT 0 3", when the rows have been read.
func (r *Rows) Tag() string { return r.r.Tag() }

// Close ends the statement, which may run still.
func (r *Rows) Close() error {
	if !r.closed {
		r.closed = true
		r.end()
	}
	return nil
}

func (r *Rows) end() {
	r.r.Close()
	r.s.s.EndImplicit(r.err != nil)
	if r.own != nil {
		r.own.Close()
		r.own = nil
	}
}

// Scan copies the current row to pointers: *string for any column, *int64, *int,
// *int32, *float64, *bool, *[]byte and *time.Time for those that hold such values, *any
// for what fits best, pointers to pointers of these where NULL may be.
func (r *Rows) Scan(dest ...any) error {
	if r.batch == nil {
		return pgerr.New(pgerr.InvalidParameterValue, "Scan without a row")
	}
	if len(dest) != len(r.fields) {
		return pgerr.New(pgerr.InvalidParameterValue, "Scan of %d columns into %d values", len(r.fields), len(dest))
	}
	for i, d := range dest {
		if err := r.scan(i, d); err != nil {
			return err
		}
	}
	return nil
}

// Text is column i of the current row as the server prints it; null for NULL.
func (r *Rows) Text(i int) (s string, null bool) {
	v := r.batch.Col(i)
	if v.IsNull(r.row) {
		return "", true
	}
	if r.app == nil {
		o := r.s.textOptions()
		for _, f := range r.fields {
			r.app = append(r.app, vector.TextAppender(f.Type, o))
		}
	}
	return string(r.app[i](nil, v, r.row)), false
}

// Value is column i of the current row: nil, a bool, int64, float64, []byte or
// time.Time where that is what it is, else its text.
func (r *Rows) Value(i int) any {
	v := r.batch.Col(i)
	if v.IsNull(r.row) {
		return nil
	}
	switch v.Type.ID {
	case types.Bool:
		return vector.At[bool](v, r.row)
	case types.Int2:
		return int64(vector.At[int16](v, r.row))
	case types.Int4:
		return int64(vector.At[int32](v, r.row))
	case types.Int8:
		return vector.At[int64](v, r.row)
	case types.Float4:
		return float64(vector.At[float32](v, r.row))
	case types.Float8:
		return vector.At[float64](v, r.row)
	case types.Bytea:
		return append([]byte{}, v.BytesAt(r.row)...)
	case types.Timestamp, types.Timestamptz:
		return time.UnixMicro(vector.At[int64](v, r.row)).UTC()
	case types.Date:
		return time.Unix(int64(vector.At[int32](v, r.row))*86400, 0).UTC()
	}
	s, _ := r.Text(i)
	return s
}

func (r *Rows) scan(i int, dest any) error {
	val := r.Value(i)
	bad := func() error {
		what := "a value of type " + r.fields[i].Type.String()
		if val == nil {
			what = "NULL"
		}
		return pgerr.New(pgerr.DatatypeMismatch, "column %q: cannot put %s into a %T", r.fields[i].Name, what, dest)
	}
	if done, err := r.scanPointer(i, dest, val); done {
		return err
	}
	if val == nil {
		if p, ok := dest.(*any); ok {
			*p = nil
			return nil
		}
		return bad()
	}
	switch p := dest.(type) {
	case *any:
		*p = val
		return nil
	case *string:
		*p, _ = r.Text(i)
		return nil
	case *[]byte:
		if b, ok := val.([]byte); ok {
			*p = b
			return nil
		}
		s, _ := r.Text(i)
		*p = []byte(s)
		return nil
	case *bool:
		return put(p, val, bad)
	case *time.Time:
		return put(p, val, bad)
	case *int64:
		return put(p, val, bad)
	case *int:
		if n, ok := val.(int64); ok && int64(int(n)) == n {
			*p = int(n)
			return nil
		}
	case *int32:
		if n, ok := val.(int64); ok && int64(int32(n)) == n {
			*p = int32(n)
			return nil
		}
	case *float64:
		switch n := val.(type) {
		case float64:
			*p = n
			return nil
		case int64:
			*p = float64(n)
			return nil
		case string: // numeric
			if f, err := strconv.ParseFloat(n, 64); err == nil && r.fields[i].Type.IsNumeric() {
				*p = f
				return nil
			}
		}
	}
	return bad()
}

func put[T any](p *T, val any, bad func() error) error {
	v, ok := val.(T)
	if !ok {
		return bad()
	}
	*p = v
	return nil
}

// scanPointer serves pointers to pointers, which NULL makes nil.
func (r *Rows) scanPointer(i int, dest, val any) (done bool, err error) {
	switch p := dest.(type) {
	case **string:
		return true, scanInto(r, i, p, val)
	case **int64:
		return true, scanInto(r, i, p, val)
	case **int:
		return true, scanInto(r, i, p, val)
	case **int32:
		return true, scanInto(r, i, p, val)
	case **float64:
		return true, scanInto(r, i, p, val)
	case **bool:
		return true, scanInto(r, i, p, val)
	case **time.Time:
		return true, scanInto(r, i, p, val)
	}
	return false, nil
}

func scanInto[T any](r *Rows, i int, p **T, val any) error {
	if *p = nil; val == nil {
		return nil
	}
	v := new(T)
	if err := r.scan(i, v); err != nil {
		return err
	}
	*p = v
	return nil
}

// textOptions are the session's settings for the text of values.
func (s *Session) textOptions() *types.TextOptions {
	get := func(name string) string { v, _ := s.s.Setting(name); return v }
	o := &types.TextOptions{ByteaEscape: get("bytea_output") == "escape"}
	o.ExtraFloatDigits, _ = strconv.Atoi(get("extra_float_digits"))
	if loc, err := types.ParseSessionZone(get("TimeZone")); err == nil {
		o.Location = loc
	}
	return o
}
