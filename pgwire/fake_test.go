package pgwire

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/volleydb/volley/coordinator"
	"github.com/volleydb/volley/parser"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// engine is the fake that sessions are made of.
type engine struct {
	open     atomic.Int64 // sessions
	results  atomic.Int64 // open results
	cancels  atomic.Int64 // statements that saw their context end
	sleeping chan struct{}
	mu       sync.Mutex
	copied   bytes.Buffer
	last     *session
}

func newEngine() *engine { return &engine{sleeping: make(chan struct{}, 100)} }

// asleep tells the test that a statement waits; in the fuzz test nobody listens.
func (e *engine) asleep() {
	select {
	case e.sleeping <- struct{}{}:
	default:
	}
}

type session struct {
	e        *engine
	o        coordinator.SessionOptions
	tx       coordinator.TxStatus
	settings map[string]string
	implicit []bool // what EndImplicit was told
}

func (e *engine) NewSession(ctx context.Context, o coordinator.SessionOptions) (Session, error) {
	s := &session{e: e, o: o, tx: coordinator.TxIdle, settings: map[string]string{"timezone": "UTC"}}
	for name, value := range o.Settings {
		if name == "no_such_setting" {
			return nil, pgerr.New(pgerr.UndefinedObject, "unrecognized configuration parameter \"%s\"", name)
		}
		s.settings[strings.ToLower(name)] = value
	}
	if o.Database == "missing" {
		return nil, pgerr.New(pgerr.InvalidCatalogName, "database \"%s\" does not exist", o.Database)
	}
	// What a session says before it has started is not for the client.
	o.OnSetting("application_name", "early")
	o.OnNotice("NOTICE", "00000", "early", "")
	e.open.Add(1)
	e.mu.Lock()
	e.last = s
	e.mu.Unlock()
	return s, nil
}

func (s *session) Close()                         { s.e.open.Add(-1) }
func (s *session) TxStatus() coordinator.TxStatus { return s.tx }
func (s *session) EndImplicit(failed bool) {
	s.implicit = append(s.implicit, failed)
	if failed && s.tx == coordinator.TxActive {
		s.tx = coordinator.TxFailed
	}
}
func (s *session) Setting(name string) (string, bool) {
	v, ok := s.settings[strings.ToLower(name)]
	return v, ok
}

func (s *session) CursorFields(name string) ([]vector.Field, bool) {
	return []vector.Field{field("c", types.T(types.Int4))}, name == "cc"
}

func field(name string, t types.Type) vector.Field { return vector.Field{Name: name, Type: t} }

var (
	seriesRE = regexp.MustCompile(`^select n from series\((\d+)\)$`)
	castRE   = regexp.MustCompile(`\$\d+::([a-z0-9]+)(\[\])?`)
	setRE    = regexp.MustCompile(`^set (\w+) = '([^']*)'$`)
)

func (s *session) Prepare(ctx context.Context, st *parser.Statement, oids []uint32) (*coordinator.Prepared, error) {
	sql := strings.ToLower(strings.TrimSpace(st.SQL))
	p := &coordinator.Prepared{Statement: st}
	if s.tx == coordinator.TxFailed && sql != "rollback" && sql != "commit" {
		return nil, pgerr.New(pgerr.InFailedSQLTransaction, "current transaction is aborted, commands ignored until end of transaction block")
	}
	for i, m := range castRE.FindAllStringSubmatch(sql, -1) {
		t, ok := types.ByName(m[1])
		if m[2] != "" {
			t = types.ArrayOf(t.ID)
		}
		if i < len(oids) && oids[i] != 0 {
			t, ok = types.ByOID(oids[i])
		}
		if !ok {
			return nil, pgerr.New(pgerr.UndefinedObject, "type \"%s\" does not exist", m[1])
		}
		p.Params = append(p.Params, t)
		if strings.HasPrefix(sql, "select") {
			p.Fields = append(p.Fields, field("p"+strconv.Itoa(i+1), t))
		}
	}
	switch {
	case p.Fields != nil:
	case sql == "select * from nowhere":
		return nil, pgerr.New(pgerr.UndefinedTable, "relation \"nowhere\" does not exist").At(15)
	case sql == "select every_type":
		p.Fields = everyFields()
	case sql == "select":
		p.Fields = []vector.Field{}
	case sql == "select changed":
		p.Fields = []vector.Field{field("n", types.T(types.Int4))}
	case strings.HasPrefix(sql, "select n from big"), seriesRE.MatchString(sql), sql == "select 1", sql == "select sleep()", sql == "select late_error()":
		p.Fields = []vector.Field{field("n", types.T(types.Int8))}
	}
	return p, nil
}

func (s *session) result(fields []vector.Field, tag string, next func(context.Context) (*vector.Batch, error)) *coordinator.Result {
	s.e.results.Add(1)
	var once sync.Once
	return coordinator.NewResult(fields, next, func() string { return tag }, func() {
		once.Do(func() { s.e.results.Add(-1) })
	})
}

// series gives 1 to n in batches of 7.
func series(n int) func(context.Context) (*vector.Batch, error) {
	at := 0
	return func(ctx context.Context) (*vector.Batch, error) {
		if err := ctx.Err(); err != nil || at == n {
			return nil, err
		}
		vals := make([]int64, min(7, n-at))
		for i := range vals {
			at++
			vals[i] = int64(at)
		}
		return vector.NewBatch([]*vector.Vector{vector.FromSlice(types.T(types.Int8), vals)}, len(vals)), nil
	}
}

func once(cols []*vector.Vector, rows int) func(context.Context) (*vector.Batch, error) {
	done := false
	return func(context.Context) (*vector.Batch, error) {
		if done {
			return nil, nil
		}
		done = true
		return vector.NewBatch(cols, rows), nil
	}
}

func (s *session) Execute(ctx context.Context, p *coordinator.Prepared, params []coordinator.Param) (*coordinator.Result, error) {
	sql := strings.ToLower(strings.TrimSpace(p.Statement.SQL))
	tag := strings.ToUpper(sql)
	switch {
	case len(p.Params) > 0:
		return s.echo(p, params)
	case sql == "begin":
		s.tx = coordinator.TxActive
	case sql == "commit", sql == "rollback":
		if s.tx == coordinator.TxFailed {
			tag = "ROLLBACK"
		}
		s.tx = coordinator.TxIdle
	case sql == "select 1":
		return s.result(p.Fields, "SELECT 1", series(1)), nil
	case sql == "select":
		return s.result(p.Fields, "SELECT 2", once(nil, 2)), nil
	case sql == "select changed":
		return s.result([]vector.Field{field("n", types.T(types.Text))}, "SELECT 0", nil), nil
	case seriesRE.MatchString(sql):
		n, _ := strconv.Atoi(seriesRE.FindStringSubmatch(sql)[1])
		return s.result(p.Fields, fmt.Sprintf("SELECT %d", n), series(n)), nil
	case sql == "select every_type":
		return s.result(p.Fields, "SELECT 2", once(everyColumn(), 2)), nil
	case sql == "select n from big":
		v := make([]int64, 16384)
		return s.result(p.Fields, "SELECT 0", func(ctx context.Context) (*vector.Batch, error) {
			if ctx.Err() != nil {
				s.e.cancels.Add(1)
				return nil, ctx.Err()
			}
			return vector.NewBatch([]*vector.Vector{vector.FromSlice(types.T(types.Int8), v)}, len(v)), nil
		}), nil
	case sql == "select n from big_noisy":
		// Notices come from another goroutine while rows are written.
		// Now and then the rows wait for one.
		n, stop, stopped := series(70000), make(chan struct{}), make(chan struct{})
		said, batches := make(chan struct{}), 0
		go func() {
			defer close(stopped)
			for {
				select {
				case <-stop:
					return
				default:
					s.o.OnNotice("NOTICE", "00000", "still at it", "")
					select {
					case said <- struct{}{}:
					default:
					}
				}
			}
		}()
		s.e.results.Add(1)
		var once sync.Once
		next := func(ctx context.Context) (*vector.Batch, error) {
			if batches++; batches%100 == 0 {
				<-said
			}
			return n(ctx)
		}
		return coordinator.NewResult(p.Fields, next, func() string { return "SELECT 70000" }, func() {
			once.Do(func() {
				close(stop)
				<-stopped
				s.e.results.Add(-1)
			})
		}), nil
	case sql == "select sleep()":
		return s.result(p.Fields, "SELECT 0", func(ctx context.Context) (*vector.Batch, error) {
			s.e.asleep()
			<-ctx.Done()
			s.e.cancels.Add(1)
			return nil, fmt.Errorf("some operator: %w", ctx.Err())
		}), nil
	case sql == "select late_error()":
		n := series(8)
		return s.result(p.Fields, "", func(ctx context.Context) (*vector.Batch, error) {
			if b, _ := n(ctx); b != nil {
				return b, nil
			}
			return nil, pgerr.New(pgerr.DivisionByZero, "division by zero")
		}), nil
	case sql == "call fail()":
		e := pgerr.New(pgerr.ExternalRoutineException, "it broke").WithDetail("in row %d", 7).WithHint("mend it").WithWhere("score@2").At(6)
		return nil, e
	case sql == "call panic()":
		panic("a fault of the engine")
	case sql == "call notice()":
		s.o.OnNotice("WARNING", "01000", "beware", "look")
		tag = "CALL"
	case setRE.MatchString(sql):
		m := setRE.FindStringSubmatch(strings.TrimSpace(p.Statement.SQL))
		s.settings[m[1]] = m[2]
		s.o.OnSetting(m[1], m[2])
		tag = "SET"
	case strings.HasPrefix(sql, "copy t to"):
		r := s.result(nil, "COPY 2", nil)
		isBinary := strings.Contains(sql, "binary")
		r.CopyOut = &coordinator.CopyOut{Binary: isBinary, Columns: 2, WriteTo: func(ctx context.Context, w io.Writer) error {
			if isBinary {
				_, err := w.Write([]byte("PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff"))
				return err
			}
			for _, line := range []string{"1\tone\n", "2\ttwo\n"} {
				if _, err := w.Write([]byte(line)); err != nil {
					return err
				}
			}
			return ctx.Err()
		}}
		return r, nil
	case strings.HasPrefix(sql, "copy t from"):
		r := s.result(nil, "COPY 3", nil)
		r.CopyIn = &coordinator.CopyIn{Binary: strings.Contains(sql, "binary"), Columns: 2, Run: func(ctx context.Context, rd io.Reader) error {
			s.e.asleep()
			data, err := io.ReadAll(rd)
			if err != nil {
				return fmt.Errorf("copying: %w", err)
			}
			if bytes.HasPrefix(data, []byte("bad")) {
				return pgerr.New(pgerr.BadCopyFileFormat, "missing data for column \"b\"").WithWhere("COPY t, line 1: \"bad\"")
			}
			s.e.mu.Lock()
			s.e.copied.Write(data)
			s.e.mu.Unlock()
			return nil
		}}
		return r, nil
	case sql == "copy placed from stdin":
		r := s.result(nil, "", nil)
		r.CopyIn = &coordinator.CopyIn{Run: func(_ context.Context, rd io.Reader) error {
			_, err := io.ReadAll(rd)
			return pgerr.Wrap(err, pgerr.IOError, "reading").WithWhere("COPY placed, line 2")
		}}
		return r, nil
	case sql == "copy early from stdin":
		r := s.result(nil, "", nil)
		r.CopyIn = &coordinator.CopyIn{Columns: 1, Run: func(context.Context, io.Reader) error {
			return pgerr.New(pgerr.DiskFull, "no space")
		}}
		return r, nil
	default:
		tag = strings.ToUpper(strings.Fields(sql)[0])
	}
	return s.result(nil, tag, nil), nil
}

// echo returns the parameters as one row.
func (s *session) echo(p *coordinator.Prepared, params []coordinator.Param) (*coordinator.Result, error) {
	cols := make([]*vector.Vector, len(params))
	for i, in := range params {
		b := vector.NewBuilder(p.Params[i], 1)
		var err error
		switch {
		case in.Null:
			b.AppendNull()
		case in.IsText:
			err = vector.ParseText(b, in.Value, nil)
		default:
			err = vector.ParseBinary(b, in.Value)
		}
		if err != nil {
			return nil, err
		}
		cols[i] = b.Build()
	}
	if p.Fields == nil {
		return s.result(nil, "INSERT 0 1", nil), nil
	}
	return s.result(p.Fields, "SELECT 1", once(cols, 1)), nil
}

// everyType is a column of each type: a value and a NULL, with the text that
// Postgres prints.
var everyType = []struct {
	name string
	v    *vector.Vector
	text string
}{
	{"b", vector.FromSlice(types.T(types.Bool), []bool{true, false}), "t"},
	{"i2", vector.FromSlice(types.T(types.Int2), []int16{-2, 0}), "-2"},
	{"i4", vector.FromSlice(types.T(types.Int4), []int32{math.MinInt32, 0}), "-2147483648"},
	{"i8", vector.FromSlice(types.T(types.Int8), []int64{math.MaxInt64, 0}), "9223372036854775807"},
	{"f4", vector.FromSlice(types.T(types.Float4), []float32{1e7, 0}), "1e+07"},
	{"f8", vector.FromSlice(types.T(types.Float8), []float64{1e20, 0}), "1e+20"},
	{"num", vector.FromSlice(types.NumericOf(10, 3), []types.Decimal{{Lo: 1234500, Scale: 3}, {}}), "1234.500"},
	{"t", vector.FromStrings(types.T(types.Text), []string{"päö", ""}), "päö"},
	{"vc", vector.FromStrings(types.Type{ID: types.Varchar, Typmod: 14}, []string{"ten", ""}), "ten"},
	{"nm", vector.FromStrings(types.T(types.Name), []string{"pg_class", ""}), "pg_class"},
	{"ch", vector.FromStrings(types.T(types.Char), []string{"r", ""}), "r"},
	{"by", vector.FromStrings(types.T(types.Bytea), []string{"\x00\xff", ""}), `\x00ff`},
	{"d", vector.FromSlice(types.T(types.Date), []int32{19000, 0}), "2022-01-08"},
	{"dinf", vector.FromSlice(types.T(types.Date), []int32{types.DateInfinity, 0}), "infinity"},
	{"tm", vector.FromSlice(types.T(types.Time), []int64{3723000001, 0}), "01:02:03.000001"},
	{"ts", vector.FromSlice(types.T(types.Timestamp), []int64{1_600_000_000_500_000, 0}), "2020-09-13 12:26:40.5"},
	{"tz", vector.FromSlice(types.T(types.Timestamptz), []int64{1_600_000_000_000_000, 0}), "2020-09-13 12:26:40+00"},
	{"tinf", vector.FromSlice(types.T(types.Timestamp), []int64{types.TimestampNegInfinity, 0}), "-infinity"},
	{"iv", vector.FromSlice(types.T(types.Interval), []types.IntervalValue{{Months: 14, Days: -2, Micros: 11045500000}, {}}), "1 year 2 mons -2 days +03:04:05.5"},
	{"u", vector.FromStrings(types.T(types.UUID), []string{"0123456789abcdef", ""}), "30313233-3435-3637-3839-616263646566"},
	{"j", vector.FromStrings(types.T(types.JSON), []string{`{"a": 1}`, ""}), `{"a": 1}`},
	{"jb", vector.FromStrings(types.T(types.JSONB), []string{`{"a": 1}`, ""}), `{"a": 1}`},
	{"o", vector.FromSlice(types.T(types.OID), []int64{4294967295, 0}), "4294967295"},
	{"rc", vector.FromSlice(types.T(types.Regclass), []int64{1259, 0}), "name_of_1259"},
	{"a4", vector.FromList(types.ArrayOf(types.Int4), []int32{0, 2, 2}, vector.FromSlice(types.T(types.Int4), []int32{1, -2})), "{1,-2}"},
	{"at", vector.FromList(types.ArrayOf(types.Text), []int32{0, 2, 2}, vector.FromStrings(types.T(types.Text), []string{"a b", "NULL"})), `{"a b","NULL"}`},
	{"dict", vector.FromDict(types.T(types.Text), []int32{1, 0}, vector.FromStrings(types.T(types.Text), []string{"no", "yes"})), "yes"},
	{"const", vector.NewConst(vector.FromSlice(types.T(types.Int4), []int32{42}), 2), "42"},
}

func everyFields() []vector.Field {
	out := make([]vector.Field, len(everyType))
	for i, e := range everyType {
		out[i] = field(e.name, e.v.Type)
	}
	return out
}

func everyColumn() []*vector.Vector {
	out := make([]*vector.Vector, len(everyType))
	for i, e := range everyType {
		out[i] = e.v
		if e.v.Form != vector.Const {
			out[i] = e.v.WithValid([]byte{1})
		}
	}
	return out
}
