package clients

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/volleydb/volley/pgwire"
)

// code is the SQLSTATE of an error of pgx, "" for others.
func code(err error) string {
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		return pe.Code
	}
	return ""
}

// everyValue has an expression of each type and what pgx makes of it.
var everyValue = []struct {
	sql  string
	want any
}{
	{"true", true},
	{"1::int2", int16(1)},
	{"-2::int4", int32(-2)},
	{"3::int8", int64(3)},
	{"1.5::float4", float32(1.5)},
	{"-2.25::float8", -2.25},
	{"'a é'::text", "a é"},
	{"'vc'::varchar(5)", "vc"},
	{"'bp'::char(4)", "bp  "},
	{"'n'::name", "n"},
	{"'\\x0102ff'::bytea", []byte{1, 2, 255}},
	{"'2026-02-03'::date", time.Date(2026, 2, 3, 0, 0, 0, 0, time.UTC)},
	{"'2026-02-03 04:05:06.789'::timestamp", time.Date(2026, 2, 3, 4, 5, 6, 789e6, time.UTC)},
	{"'2026-02-03 04:05:06.789+00'::timestamptz", time.Date(2026, 2, 3, 4, 5, 6, 789e6, time.UTC)},
	{"'04:05:06.5'::time", pgtype.Time{Microseconds: 14706500000, Valid: true}},
	{"'1 mon 2 days 00:00:03'::interval", pgtype.Interval{Months: 1, Days: 2, Microseconds: 3e6, Valid: true}},
	{"123.450::numeric", pgtype.Numeric{Int: big.NewInt(123450), Exp: -3, Valid: true}},
	{"'0b6a1ba8-1f0e-4c5d-9e6a-2f3b4c5d6e7f'::uuid", [16]byte{0x0b, 0x6a, 0x1b, 0xa8, 0x1f, 0x0e, 0x4c, 0x5d, 0x9e, 0x6a, 0x2f, 0x3b, 0x4c, 0x5d, 0x6e, 0x7f}},
	{"'{\"a\": [1, null]}'::json", map[string]any{"a": []any{1.0, nil}}},
	{"'{\"a\": [1, null]}'::jsonb", map[string]any{"a": []any{1.0, nil}}},
	{"42::oid", uint32(42)},
	{"array[true,null]", []any{true, nil}},
	{"array[1,2]::int2[]", []any{int16(1), int16(2)}},
	{"array[1,null,3]", []any{int32(1), nil, int32(3)}},
	{"array[1,2]::int8[]", []any{int64(1), int64(2)}},
	{"array[0.5]::float4[]", []any{float32(0.5)}},
	{"array[0.5,1e300]::float8[]", []any{0.5, 1e300}},
	{"array['a','b \"c\"',null]", []any{"a", `b "c"`, nil}},
	{"'{}'::text[]", []any{}},
	{"array['2026-02-03'::date]", []any{time.Date(2026, 2, 3, 0, 0, 0, 0, time.UTC)}},
	{"array['2026-02-03 04:05:06'::timestamp]", []any{time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)}},
	{"null::int4", nil},
	{"null", nil},
}

// plain makes values comparable: times in UTC, numerics without trailing zeros.
func plain(v any) any {
	switch x := v.(type) {
	case time.Time:
		return x.UTC()
	case pgtype.Numeric:
		if x.Int != nil {
			f, _ := x.Value()
			return f
		}
	case []any:
		out := make([]any, len(x))
		for i := range x {
			out[i] = plain(x[i])
		}
		return out
	}
	return v
}

// Every type arrives with its value by the simple protocol (text) and by the
// extended one (binary).
func TestPgxTypes(t *testing.T) {
	s := start(t, nil)
	c := s.connect(t, "volley", "sslmode=disable")
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeCacheStatement, pgx.QueryExecModeDescribeExec} {
		for _, tc := range everyValue {
			rows, err := c.Query(deadline(t), "select "+tc.sql, mode)
			if err != nil {
				t.Fatalf("%v: select %s: %v", mode, tc.sql, err)
			}
			for rows.Next() {
				vs, err := rows.Values()
				if err != nil {
					t.Errorf("%v: select %s: %v", mode, tc.sql, err)
				} else if !reflect.DeepEqual(plain(vs[0]), plain(tc.want)) {
					t.Errorf("%v: select %s gives %#v, want %#v", mode, tc.sql, vs[0], tc.want)
				}
			}
			if err := rows.Err(); err != nil {
				t.Errorf("%v: select %s: %v", mode, tc.sql, err)
			}
		}
	}
}

// Values go out as parameters and come back the same, with the types that the
// statement implies.
func TestPgxParameters(t *testing.T) {
	s := start(t, nil)
	s.run(t, "create table p(b bool, i2 int2, i4 int4, i8 int8, f float8, n numeric(12,3), s text, y bytea, d date, ts timestamp, tz timestamptz, iv interval, u uuid, j jsonb, a int[], x text[])")
	c := s.connect(t, "volley", "sslmode=disable")
	ctx := deadline(t)
	at := time.Date(2026, 2, 3, 4, 5, 6, 7000, time.UTC)
	day := time.Date(2026, 2, 3, 0, 0, 0, 0, time.UTC)
	in := []any{true, int16(1), int32(2), int64(3), 4.5, "5.125", "six", []byte{7}, day, at, at, time.Hour, "0b6a1ba8-1f0e-4c5d-9e6a-2f3b4c5d6e7f",
		`{"k": 1}`, []int32{1, 2}, []string{"a", "b,c"}}
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeSimpleProtocol} {
		if tag, err := c.Exec(ctx, "insert into p values ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16)", append([]any{mode}, in...)...); err != nil || tag.String() != "INSERT 0 1" {
			t.Fatalf("%v: %v, %v", mode, tag, err)
		}
	}
	if _, err := c.Exec(ctx, "insert into p(i4, s) values ($1, $2)", nil, nil); err != nil {
		t.Fatal(err)
	}
	var n int
	err := c.QueryRow(ctx, "select count(*) from p where b = $1 and i2 = $2 and i4 = $3 and i8 = $4 and f = $5 and n = $6 and s = $7 and y = $8 and d = $9 and ts = $10 and tz = $11 and iv = $12 and u = $13 and j::text = $14::jsonb::text and a = $15 and x = $16", in...).Scan(&n)
	if err != nil || n != 2 {
		t.Errorf("found %d rows, %v", n, err)
	}
	for _, tc := range []struct {
		sql  string
		want []uint32
	}{
		{"select $1 + 1", []uint32{pgtype.Int4OID}},
		{"select * from p where tz < $1 and s like $2 and i8 in ($3, $4)", []uint32{pgtype.TimestamptzOID, pgtype.TextOID, pgtype.Int8OID, pgtype.Int8OID}},
		{"select $1::int8 + $2", []uint32{pgtype.Int8OID, pgtype.Int8OID}},
		{"select * from p where i4 = any($1)", []uint32{pgtype.Int4ArrayOID}},
		{"select $1", []uint32{pgtype.TextOID}},
		{"insert into p(d, a) values ($1, $2)", []uint32{pgtype.DateOID, pgtype.Int4ArrayOID}},
		{"select i4 from p limit $1 offset $2", []uint32{pgtype.Int8OID, pgtype.Int8OID}},
	} {
		sd, err := c.Prepare(ctx, "", tc.sql)
		if err != nil {
			t.Errorf("%s: %v", tc.sql, err)
		} else if !reflect.DeepEqual(sd.ParamOIDs, tc.want) {
			t.Errorf("%s takes %v, want %v", tc.sql, sd.ParamOIDs, tc.want)
		}
	}
	if err := c.QueryRow(ctx, "select count(*) from pg_class where oid = $1::regclass", pgx.QueryResultFormats{0}, "public.p").Scan(&n); err != nil || n != 1 {
		t.Errorf("regclass: %d, %v", n, err)
	}
	if err := c.QueryRow(ctx, "select count(*) from p where i4 = any($1)", []int32{2, 5}).Scan(&n); err != nil || n != 2 {
		t.Errorf("= any: %d, %v", n, err)
	}
	if err := c.QueryRow(ctx, "select count(*) from (select i4 from p limit $1 offset $2) q", 1, 1).Scan(&n); err != nil || n != 1 {
		t.Errorf("limit: %d, %v", n, err)
	}
}

// A batch is one round trip; an error ends it and leaves the connection usable.
func TestPgxBatch(t *testing.T) {
	s := start(t, nil)
	s.run(t, "create table b(x int)")
	c := s.connect(t, "volley", "sslmode=disable")
	ctx := deadline(t)
	b := &pgx.Batch{}
	for i := range 3 {
		b.Queue("insert into b values ($1)", i)
	}
	b.Queue("select count(*), sum(x) from b")
	r := c.SendBatch(ctx, b)
	for range 3 {
		if _, err := r.Exec(); err != nil {
			t.Fatal(err)
		}
	}
	var n, sum int
	if err := r.QueryRow().Scan(&n, &sum); err != nil || n != 3 || sum != 3 {
		t.Errorf("count %d, sum %d, %v", n, sum, err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	b = &pgx.Batch{}
	b.Queue("select 1")
	b.Queue("select 1/0")
	b.Queue("select 2")
	if err := c.SendBatch(ctx, b).Close(); code(err) != "22012" {
		t.Errorf("a batch with an error: %v", err)
	}
	if err := c.Ping(ctx); err != nil {
		t.Error(err)
	}
}

// COPY in both formats, in and out.
func TestPgxCopy(t *testing.T) {
	s := start(t, nil)
	s.run(t, "create table c(id int8 not null, name text, at timestamptz, v float8[])")
	c := s.connect(t, "volley", "sslmode=disable")
	ctx := deadline(t)
	at := time.Date(2026, 2, 3, 4, 5, 6, 7000, time.UTC)
	n, err := c.CopyFrom(ctx, pgx.Identifier{"c"}, []string{"id", "name", "at", "v"}, pgx.CopyFromSlice(20000, func(i int) ([]any, error) {
		if i%2 == 0 {
			return []any{int64(i), nil, nil, nil}, nil
		}
		return []any{int64(i), fmt.Sprint("n", i), at, []float64{float64(i), 0.5}}, nil
	}))
	if err != nil || n != 20000 {
		t.Fatalf("CopyFrom: %d, %v", n, err)
	}
	var rows, names int
	var sum int64
	var last time.Time
	if err := c.QueryRow(ctx, "select count(*), count(name), sum(id), max(at) from c").Scan(&rows, &names, &sum, &last); err != nil ||
		rows != 20000 || names != 10000 || sum != 199990000 || !last.Equal(at) {
		t.Errorf("%d rows, %d names, sum %d, %v, %v", rows, names, sum, last, err)
	}
	// Binary out and in again is the same table.
	s.run(t, "create table c2(id int8 not null, name text, at timestamptz, v float8[])")
	var data strings.Builder
	if _, err := c.PgConn().CopyTo(ctx, &data, "copy c to stdout (format binary)"); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(data.String(), "PGCOPY\n\xff\r\n\x00") {
		t.Errorf("binary COPY begins with %q", data.String()[:20])
	}
	if tag, err := c.PgConn().CopyFrom(ctx, strings.NewReader(data.String()), "copy c2 from stdin binary"); err != nil || tag.RowsAffected() != 20000 {
		t.Fatal(tag, err)
	}
	if err := c.QueryRow(ctx, "select count(*) from (select * from c except select * from c2) q").Scan(&rows); err != nil || rows != 0 {
		t.Errorf("%d rows differ, %v", rows, err)
	}
	for name, bad := range map[string]string{
		"no signature": "hello",
		"cut off":      data.String()[:len(data.String())-7],
		"bad count":    data.String()[:19] + "\x00\x03",
	} {
		if _, err := c.PgConn().CopyFrom(ctx, strings.NewReader(bad), "copy c2 from stdin binary"); code(err) != "22P04" {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err = c.CopyFrom(ctx, pgx.Identifier{"c2"}, []string{"id"}, pgx.CopyFromRows([][]any{{int64(1)}, {nil}}))
	if code(err) != "23502" {
		t.Errorf("NULL in a NOT NULL column: %v", err)
	}
	if err := c.QueryRow(ctx, "select count(*) from c2").Scan(&rows); err != nil || rows != 20000 {
		t.Errorf("%d rows after failed copies, %v", rows, err)
	}
	// Lengths and precisions hold in every format.
	s.run(t, "create table c3(v varchar(3), n numeric(5,2))")
	for _, tc := range []struct{ sql, data, want string }{
		{"copy c3 from stdin csv", "abcd,1", "22001"},
		{"copy c3 from stdin csv", "abc,1000.5", "22003"},
		{"copy c3 from stdin csv", "abc,1.005", ""},
		{"copy c3 from stdin binary", "PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x04abcd\xff\xff\xff\xff", "22001"},
	} {
		if _, err := c.PgConn().CopyFrom(ctx, strings.NewReader(tc.data), tc.sql); code(err) != tc.want {
			t.Errorf("%s with %q: %v", tc.sql, tc.data, err)
		}
	}
	var v string
	if err := c.QueryRow(ctx, "select v || n::text from c3").Scan(&v); err != nil || v != "abc1.01" {
		t.Errorf("%q, %v", v, err)
	}
	// A client that gives up rolls back.
	_, err = c.CopyFrom(ctx, pgx.Identifier{"c2"}, []string{"id"}, pgx.CopyFromFunc(func() ([]any, error) { return nil, errors.New("no more") }))
	if err == nil || c.Ping(ctx) != nil {
		t.Errorf("a copy that the client ended: %v", err)
	}
	data.Reset()
	if _, err := c.PgConn().CopyTo(ctx, &data, "copy (select id, name from c where id < 2 order by id) to stdout"); err != nil || data.String() != "0\t\\N\n1\tn1\n" {
		t.Errorf("copy to: %q, %v", data.String(), err)
	}
}

// A context that ends cancels the statement on the server.
func TestPgxCancel(t *testing.T) {
	s := start(t, nil)
	cfg, err := pgx.ParseConfig(s.url("volley", "sslmode=disable"))
	if err != nil {
		t.Fatal(err)
	}
	cfg.BuildContextWatcherHandler = func(pg *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: pg, DeadlineDelay: 10 * time.Second}
	}
	c, err := pgx.ConnectConfig(deadline(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	begin := time.Now()
	_, err = c.Exec(ctx, "select pg_sleep(60)")
	if d := time.Since(begin); code(err) != "57014" || d > 2*time.Second {
		t.Errorf("after %v: %v", d, err)
	}
	if err := c.Ping(deadline(t)); err != nil {
		t.Errorf("the connection is gone: %v", err)
	}
	if _, err := c.Exec(deadline(t), "set statement_timeout = '100ms'; select pg_sleep(60)"); code(err) != "57014" {
		t.Errorf("statement_timeout: %v", err)
	}
}

// Transactions: what is rolled back is gone, what fails aborts, and what there
// is not is refused by name.
func TestPgxTransactions(t *testing.T) {
	s := start(t, nil)
	s.run(t, "create table x(i int)")
	c := s.connect(t, "volley", "sslmode=disable")
	ctx := deadline(t)
	count := func(want int) {
		t.Helper()
		var n int
		if err := c.QueryRow(ctx, "select count(*) from x").Scan(&n); err != nil || n != want {
			t.Errorf("%d rows, want %d, %v", n, want, err)
		}
	}
	tx, err := c.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.Serializable})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(ctx, "insert into x values ($1)", 1); err != nil {
		t.Fatal(err)
	}
	count(1)
	if err := tx.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	count(0)
	if err := pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error { _, err := tx.Exec(ctx, "insert into x values (2)"); return err }); err != nil {
		t.Fatal(err)
	}
	count(1)
	tx, _ = c.Begin(ctx)
	if _, err := tx.Exec(ctx, "insert into nosuch values (1)"); code(err) != "42P01" {
		t.Error(err)
	}
	if _, err := tx.Exec(ctx, "select 1"); code(err) != "25P02" {
		t.Error(err)
	}
	if err := tx.Commit(ctx); !errors.Is(err, pgx.ErrTxCommitRollback) {
		t.Error(err)
	}
	tx, _ = c.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly})
	if _, err := tx.Exec(ctx, "insert into x values (3)"); code(err) != "25006" {
		t.Error(err)
	}
	_ = tx.Rollback(ctx)
	for _, tc := range [][2]string{
		{"listen a", "0A000"},
		{"notify a", "0A000"},
		{"unlisten *", ""},
		{"close all", ""},
		{"deallocate p", "26000"},
		{"close p", "34000"},
		{"show app.me", "42704"},
		{"set app.me = 1", ""},
		{"show app.me", ""},
		{"set time zone interval '+02:00' hour to minute", ""},
		{"set enable_seqscan = off", ""},
		{"set volley.nosuch = 1", "42704"},
		{"discard all", ""},
		{"show app.me", "42704"},
		{"reset all", ""},
	} {
		if _, err := c.Exec(ctx, tc[0], pgx.QueryExecModeExec); code(err) != tc[1] {
			t.Errorf("%s: %v", tc[0], err)
		}
	}
}

// SET TIME ZONE takes an offset as an interval, as Sequelize sends it.
func TestPgxTimeZone(t *testing.T) {
	s := start(t, nil)
	c := s.connect(t, "volley", "sslmode=disable")
	for zone, want := range map[string]string{
		"interval '+02:00' hour to minute": "2026-01-01 02:00:00+02",
		"interval '-03:30' hour to minute": "2025-12-31 20:30:00-03:30",
		"interval '+00:00' hour to minute": "2026-01-01 00:00:00+00",
		"'Europe/Berlin'":                  "2026-01-01 01:00:00+01",
	} {
		if _, err := c.Exec(deadline(t), "set time zone "+zone); err != nil {
			t.Errorf("%s: %v", zone, err)
			continue
		}
		var got string
		if err := c.QueryRow(deadline(t), "select '2026-01-01 00:00+00'::timestamptz::text").Scan(&got); err != nil || got != want {
			t.Errorf("%s: %q, %v", zone, got, err)
		}
	}
}

// SCRAM over TLS, with and without the right password and certificate.
func TestPgxScramTLS(t *testing.T) {
	cert, pool := certificate(t)
	s := start(t, func(c *pgwire.Config) {
		c.Auth, c.RequireTLS = pgwire.AuthScram, true
		c.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	})
	s.run(t, "create role ann login password 'secret'")
	for name, tc := range map[string]struct {
		password, options, want string
		pool                    *x509.CertPool
	}{
		"right password": {"secret", "sslmode=verify-full", "", pool},
		"wrong password": {"other", "sslmode=verify-full", "28P01", pool},
		"no TLS":         {"secret", "sslmode=disable", "28000", nil},
	} {
		cfg, err := pgx.ParseConfig(s.url("ann", tc.options))
		if err != nil {
			t.Fatal(err)
		}
		cfg.Password = tc.password
		if cfg.TLSConfig != nil {
			cfg.TLSConfig.RootCAs, cfg.TLSConfig.ServerName = tc.pool, "localhost"
		}
		c, err := pgx.ConnectConfig(deadline(t), cfg)
		if code(err) != tc.want || tc.want == "" && err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err != nil {
			continue
		}
		var user string
		if err := c.QueryRow(deadline(t), "select current_user").Scan(&user); err != nil || user != "ann" {
			t.Errorf("%s: %q, %v", name, user, err)
		}
		_ = c.Close(context.Background())
	}
}

// certificate makes one for localhost, and the pool that trusts it.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// messages keeps each CopyData apart.
type messages []string

func (m *messages) Write(p []byte) (int, error) {
	*m = append(*m, string(p))
	return len(p), nil
}

// A CopyData message of the server is a row, as of Postgres: clients count on it.
func TestCopyRowsApart(t *testing.T) {
	s := start(t, nil)
	ctx := context.Background()
	c, err := pgx.Connect(ctx, s.url("volley", "sslmode=disable"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(ctx) }()
	const header = "PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	row := func(n byte) string { return "\x00\x01\x00\x00\x00\x04\x00\x00\x00" + string(rune(n)) }
	for _, x := range []struct {
		sql  string
		want []string
	}{
		{"copy (select i, 'a\nb' from generate_series(1, 3) i) to stdout", []string{"1\ta\\nb\n", "2\ta\\nb\n", "3\ta\\nb\n"}},
		{"copy (select i from generate_series(1, 2) i) to stdout csv header", []string{"i\n", "1\n", "2\n"}},
		{"copy (select 'a\nb' as i from generate_series(1, 2)) to stdout csv", []string{"\"a\nb\"\n", "\"a\nb\"\n"}},
		{"copy (select i from generate_series(1, 2) i) to stdout binary", []string{header + row(1), row(2), "\xff\xff"}},
		{"copy (select i from generate_series(1, 0) i) to stdout binary", []string{header + "\xff\xff"}},
		{"copy (select i from generate_series(1, 0) i) to stdout", nil},
	} {
		var got messages
		if _, err := c.PgConn().CopyTo(ctx, &got, x.sql); err != nil || !reflect.DeepEqual([]string(got), x.want) {
			t.Errorf("%s: %q, %v", x.sql, got, err)
		}
	}
	var many messages
	if _, err := c.PgConn().CopyTo(ctx, &many, "copy (select i, i * 2 from generate_series(1, 100000) i) to stdout"); err != nil || len(many) != 100_000 || many[99_999] != "100000\t200000\n" {
		t.Errorf("%d messages, %v", len(many), err)
	}
}
