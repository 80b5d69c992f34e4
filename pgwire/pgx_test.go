package pgwire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/volleydb/volley/types"
)

func pgxConnect(t testing.TB, addr, more string) *pgx.Conn {
	t.Helper()
	host, port, _ := net.SplitHostPort(addr)
	conn, err := pgx.Connect(context.Background(), fmt.Sprintf("host=%s port=%s user=ann database=d sslmode=disable %s", host, port, more))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// TestEveryType reads each type in the text and in the binary format: the text
// is Postgres', and what pgx decodes from both is the same.
func TestEveryType(t *testing.T) {
	_, addr := serverFor(t, newEngine(), nil)
	conn := pgxConnect(t, addr, "")
	m := conn.TypeMap()
	read := func(format int16) (rows [][][]byte, fields []pgconn.FieldDescription) {
		rr := conn.PgConn().ExecParams(context.Background(), "select every_type", nil, nil, nil, []int16{format})
		for rr.NextRow() {
			row := make([][]byte, len(rr.Values()))
			for i, v := range rr.Values() {
				if v != nil {
					row[i] = append([]byte{}, v...)
				}
			}
			rows = append(rows, row)
		}
		fields = rr.FieldDescriptions()
		if _, err := rr.Close(); err != nil {
			t.Fatal(err)
		}
		return rows, fields
	}
	text, fields := read(0)
	binary, _ := read(1)
	if len(text) != 2 || len(binary) != 2 || len(fields) != len(everyType) {
		t.Fatalf("%d and %d rows of %d fields", len(text), len(binary), len(fields))
	}
	for i, e := range everyType {
		if f := fields[i]; f.Name != e.name || f.DataTypeOID != e.v.Type.OID() || f.DataTypeSize != e.v.Type.Size() || f.TypeModifier != e.v.Type.Typmod {
			t.Errorf("%s is described as %+v", e.name, f)
		}
		if got := string(text[0][i]); got != e.text {
			t.Errorf("%s: text %q, want %q", e.name, got, e.text)
		}
		if e.name == "const" {
			if string(text[1][i]) != "42" {
				t.Errorf("const: second row %q", text[1][i])
			}
			continue
		}
		if text[1][i] != nil || binary[1][i] != nil {
			t.Errorf("%s: NULL became %q and %q", e.name, text[1][i], binary[1][i])
		}
		if e.v.Type.ID == types.Regclass { // pgx has no codec for it
			if !bytes.Equal(binary[0][i], []byte{0, 0, 4, 235}) {
				t.Errorf("%s: binary %x", e.name, binary[0][i])
			}
			continue
		}
		typ, ok := m.TypeForOID(e.v.Type.OID())
		if !ok {
			t.Errorf("pgx does not know type %d", e.v.Type.OID())
			continue
		}
		a, err := typ.Codec.DecodeValue(m, typ.OID, pgtype.TextFormatCode, text[0][i])
		if err != nil {
			t.Errorf("%s: text: %v", e.name, err)
		}
		b, err := typ.Codec.DecodeValue(m, typ.OID, pgtype.BinaryFormatCode, binary[0][i])
		if err != nil {
			t.Errorf("%s: binary %x: %v", e.name, binary[0][i], err)
		}
		if ta, ok := a.(time.Time); ok {
			if tb, _ := b.(time.Time); !ta.Equal(tb) {
				t.Errorf("%s: %v in text, %v in binary", e.name, a, b)
			}
		} else if x, y := fmt.Sprint(plain(a)), fmt.Sprint(plain(b)); x != y {
			t.Errorf("%s: %s in text, %s in binary", e.name, x, y)
		}
	}
}

// plain makes decoded values comparable.
func plain(v any) any {
	if n, ok := v.(pgtype.Numeric); ok {
		f, _ := n.Float64Value()
		return f.Float64
	}
	return v
}

func TestPgxParameters(t *testing.T) {
	_, addr := serverFor(t, newEngine(), nil)
	ctx := context.Background()
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec} {
		t.Run(mode.String(), func(t *testing.T) {
			conn := pgxConnect(t, addr, "")
			for range 3 {
				var i int64
				var s string
				var f float64
				var b []byte
				var null *int32
				at := time.Date(2024, 2, 29, 12, 0, 0, 123456000, time.UTC)
				var ts time.Time
				err := conn.QueryRow(ctx, "select $1::int8, $2::text, $3::float8, $4::bytea, $5::int4, $6::timestamptz", mode,
					int64(-5), "ü'\\", 2.5, []byte{0, 1}, nil, at).Scan(&i, &s, &f, &b, &null, &ts)
				if err != nil {
					t.Fatal(err)
				}
				if i != -5 || s != "ü'\\" || f != 2.5 || !bytes.Equal(b, []byte{0, 1}) || null != nil || !ts.Equal(at) {
					t.Errorf("%v %q %v %v %v %v", i, s, f, b, null, ts)
				}
			}
		})
	}
	conn := pgxConnect(t, addr, "")
	var list []int32
	if err := conn.QueryRow(ctx, "select $1::int4[]", []int32{3, 1}).Scan(&list); err != nil || fmt.Sprint(list) != "[3 1]" {
		t.Errorf("array: %v %v", list, err)
	}
}

func TestPgxErrors(t *testing.T) {
	_, addr := serverFor(t, newEngine(), nil)
	conn := pgxConnect(t, addr, "")
	ctx := context.Background()
	_, err := conn.Exec(ctx, "call fail()")
	var pe *pgconn.PgError
	if !errors.As(err, &pe) {
		t.Fatal(err)
	}
	if pe.Severity != "ERROR" || pe.SeverityUnlocalized != "ERROR" || pe.Code != "38000" || pe.Message != "it broke" || pe.Detail != "in row 7" ||
		pe.Hint != "mend it" || pe.Where != "score@2" || pe.Position != 6 {
		t.Errorf("%+v", pe)
	}
	if err := conn.Ping(ctx); err != nil {
		t.Errorf("ping: %v", err)
	}
}

func TestPgxTransactionAndBatch(t *testing.T) {
	_, addr := serverFor(t, newEngine(), nil)
	conn := pgxConnect(t, addr, "")
	ctx := context.Background()
	tx, err := conn.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	b := &pgx.Batch{}
	b.Queue("select $1::int8", 1)
	b.Queue("select n from series(3)")
	b.Queue("update t set a = 1")
	res := tx.SendBatch(ctx, b)
	var n int
	if err := res.QueryRow().Scan(&n); err != nil || n != 1 {
		t.Errorf("%d %v", n, err)
	}
	rows, _ := res.Query()
	list, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil || fmt.Sprint(list) != "[1 2 3]" {
		t.Errorf("%v %v", list, err)
	}
	if tag, err := res.Exec(); err != nil || tag.String() != "UPDATE" {
		t.Errorf("%v %v", tag, err)
	}
	if err := res.Close(); err != nil {
		t.Error(err)
	}
	if got := conn.PgConn().TxStatus(); got != 'T' {
		t.Errorf("status %c", got)
	}
	if err := tx.Commit(ctx); err != nil {
		t.Error(err)
	}
}

func TestPgxPipeline(t *testing.T) {
	_, addr := serverFor(t, newEngine(), nil)
	pc := pgxConnect(t, addr, "").PgConn()
	p := pc.StartPipeline(context.Background())
	p.SendQueryParams("select $1::int8", [][]byte{[]byte("7")}, nil, nil, nil)
	p.SendPrepare("bad", "select * from nowhere", nil)
	p.SendQueryParams("select $1::int8", [][]byte{[]byte("8")}, nil, nil, nil)
	if err := p.Sync(); err != nil {
		t.Fatal(err)
	}
	p.SendQueryParams("select $1::int8", [][]byte{[]byte("9")}, nil, nil, nil)
	if err := p.Sync(); err != nil {
		t.Fatal(err)
	}
	var got []string
	for {
		r, err := p.GetResults()
		if err != nil {
			got = append(got, pgCode(err))
			continue
		}
		switch r := r.(type) {
		case nil:
			if err := p.Close(); err != nil {
				t.Error(err)
			}
			if s := strings.Join(got, " "); s != "7 42P01 sync 9 sync" {
				t.Error(s)
			}
			return
		case *pgconn.ResultReader:
			got = append(got, string(r.Read().Rows[0][0]))
		case *pgconn.PipelineSync:
			got = append(got, "sync")
		}
	}
}

func pgCode(err error) string {
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		return pe.Code
	}
	return err.Error()
}

func TestPgxCopy(t *testing.T) {
	e := newEngine()
	_, addr := serverFor(t, e, nil)
	pc := pgxConnect(t, addr, "").PgConn()
	ctx := context.Background()
	var out bytes.Buffer
	tag, err := pc.CopyTo(ctx, &out, "copy t to stdout")
	if err != nil || out.String() != "1\tone\n2\ttwo\n" || tag.String() != "COPY 2" {
		t.Errorf("%q %v %v", out.String(), tag, err)
	}
	data := strings.Repeat("12345\tabcdefghij\n", 200_000) // beyond the inbox
	if tag, err = pc.CopyFrom(ctx, strings.NewReader(data), "copy t from stdin"); err != nil || tag.String() != "COPY 3" {
		t.Errorf("%v %v", tag, err)
	}
	if e.copied.String() != data {
		t.Errorf("%d bytes arrived of %d", e.copied.Len(), len(data))
	}
	if _, err = pc.CopyFrom(ctx, strings.NewReader("bad\n"), "copy t from stdin"); pgCode(err) != "22P04" {
		t.Error(err)
	}
	if _, err = pc.CopyFrom(ctx, strings.NewReader(data), "copy early from stdin"); pgCode(err) != "53100" {
		t.Error(err)
	}
	if _, err = pc.CopyFrom(ctx, &failingReader{}, "copy t from stdin"); pgCode(err) != "57014" {
		t.Error(err)
	}
	if r, err := pc.Exec(ctx, "select 1").ReadAll(); err != nil || len(r) != 1 {
		t.Error(err)
	}
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errors.New("cannot read the file") }

func TestPgxCancel(t *testing.T) {
	e := newEngine()
	_, addr := serverFor(t, e, nil)
	for _, protocol := range []string{"3.0", "3.2"} {
		pc := pgxConnect(t, addr, "max_protocol_version="+protocol).PgConn()
		go func() {
			<-e.sleeping
			_ = pc.CancelRequest(context.Background())
		}()
		_, err := pc.Exec(context.Background(), "select sleep()").ReadAll()
		if pgCode(err) != "57014" {
			t.Errorf("%s: %v", protocol, err)
		}
	}
}

func TestPgxManyRows(t *testing.T) {
	_, addr := serverFor(t, newEngine(), nil)
	conn := pgxConnect(t, addr, "")
	rows, err := conn.Query(context.Background(), "select n from series(100000)")
	if err != nil {
		t.Fatal(err)
	}
	var n, want int64
	_, err = pgx.ForEachRow(rows, []any{&n}, func() error {
		if want++; n != want {
			return fmt.Errorf("row %d is %d", want, n)
		}
		return nil
	})
	if err != nil || want != 100000 {
		t.Errorf("%d rows, %v", want, err)
	}
}

func TestUnixSocket(t *testing.T) {
	e := newEngine()
	s := New(Config{NewSession: e.NewSession})
	dir := t.TempDir()
	ln, err := net.Listen("unix", dir+"/.s.PGSQL.5433")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(context.Background(), ln) }()
	conn, err := pgx.Connect(context.Background(), "host="+dir+" port=5433 user=ann sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Ping(context.Background()); err != nil {
		t.Error(err)
	}
	_ = conn.Close(context.Background())
	if err := s.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// TestPsql runs psql, when there is one.
func TestPsql(t *testing.T) {
	psql, err := exec.LookPath("psql")
	if err != nil {
		t.Skip("no psql")
	}
	_, addr := serverFor(t, newEngine(), withScram(t, nil))
	host, port, _ := net.SplitHostPort(addr)
	run := func(in string, args ...string) string {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, psql, append([]string{"-X", "-At", "host=" + host + " port=" + port + " user=ann password=sésame dbname=d"}, args...)...)
		cmd.Stdin = strings.NewReader(in)
		cmd.Env = append(cmd.Environ(), "PGCLIENTENCODING=UTF8", "LC_ALL=C.UTF-8")
		out, err := cmd.CombinedOutput()
		if err != nil {
			out = append(out, err.Error()...)
		}
		return string(out)
	}
	tests := []struct {
		name, in string
		args     []string
		want     string
	}{
		{"two commands", "", []string{"-c", "select 1; select n from series(2)"}, "1\n1\n2\n"},
		{"error with position", "select * from nowhere;\nselect 1;\n", nil, "ERROR:  relation \"nowhere\" does not exist\nLINE 1: select * from nowhere;\n                      ^\n1\n"},
		{"copy out", "", []string{"-c", "copy t to stdout"}, "1\tone\n2\ttwo\n"},
		{"copy in", "copy t from stdin;\n1\tx\n\\.\nselect 1;\n", nil, "COPY 3\n1\n"},
		{"version", "\\echo :SERVER_VERSION_NAME :ENCODING\n", nil, "15.0 (Volley) UTF8\n"},
		{"gexec, cursor-wise", "\\set FETCH_COUNT 0\nselect n from series(3) \\gx\n", nil, "n|1\n\nn|2\n\nn|3\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := run(tt.in, tt.args...); got != tt.want {
				t.Errorf("\n got %q\nwant %q", got, tt.want)
			}
		})
	}
}
