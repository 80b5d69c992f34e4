package clients

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/volleydb/volley/test/engine"
)

// tap keeps what the server sends.
type tap struct {
	net.Conn
	mu  sync.Mutex
	got []byte
}

func (t *tap) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	t.mu.Lock()
	t.got = append(t.got, p[:n]...)
	t.mu.Unlock()
	return n, err
}

// rows are the RowDescription and DataRow messages since the last call, as bytes,
// and how many rows.
func (t *tap) rows(test *testing.T) (out []byte, n int) {
	test.Helper()
	t.mu.Lock()
	defer t.mu.Unlock()
	b := t.got
	t.got = nil
	for len(b) >= 5 {
		end := 1 + int(binary.BigEndian.Uint32(b[1:]))
		if end > len(b) {
			test.Fatal("half a message")
		}
		if b[0] == 'T' || b[0] == 'D' {
			out = append(out, b[:end]...)
		}
		if b[0] == 'D' {
			n++
		}
		b = b[end:]
	}
	return out, n
}

// TestReplayBytes compares what goes over the wire: of queries, in both protocols
// and formats, and of their replays, after everything has changed.
func TestReplayBytes(t *testing.T) {
	for _, workers := range []int{0, 2, 3} {
		t.Run(fmt.Sprint(workers, " workers"), func(t *testing.T) {
			s := serve(t, engine.Start(t, workers), nil)
			cfg, err := pgconn.ParseConfig(s.url("volley", ""))
			if err != nil {
				t.Fatal(err)
			}
			var wire *tap
			cfg.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
				c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
				wire = &tap{Conn: c}
				return wire, err
			}
			c, err := pgconn.ConnectConfig(deadline(t), cfg)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.Close(context.Background()) })
			simple := func(q string) string {
				t.Helper()
				r, err := c.Exec(deadline(t), q).ReadAll()
				if err != nil {
					t.Fatalf("%s: %v", q, err)
				}
				return r[len(r)-1].CommandTag.String()
			}
			extended := func(q, arg string, format int16) string {
				t.Helper()
				r := c.ExecParams(deadline(t), q, [][]byte{[]byte(arg)}, nil, nil, []int16{format}).Read()
				if r.Err != nil {
					t.Fatalf("%s: %v", q, r.Err)
				}
				return r.CommandTag.String()
			}
			lastID := func() string {
				t.Helper()
				r, err := c.Exec(deadline(t), `SELECT volley.last_query_id()`).ReadAll()
				if err != nil {
					t.Fatal(err)
				}
				wire.rows(t)
				return string(r[0].Rows[0][0])
			}
			simple(`SET volley.rows_per_task = 500; SET TimeZone = 'America/New_York'; SET extra_float_digits = -3; SET bytea_output = escape;
				CREATE TABLE t AS SELECT i AS id, i % 7 AS k, 'row ' || i AS s, i / 3.0::float8 AS x FROM generate_series(1, 5000) i;
				CREATE FUNCTION f(x bigint) RETURNS bigint LANGUAGE sql AS 'SELECT x * 2'`)
			wire.rows(t)
			type asked struct {
				id     string
				format int16 // -1 = simple protocol
				bytes  []byte
			}
			var all []asked
			query := func(q string) {
				simple(q)
				b, n := wire.rows(t)
				if n == 0 {
					t.Fatalf("%s: no rows", q)
				}
				all = append(all, asked{lastID(), -1, b})
			}
			query(`SELECT id, s, x, rand(), now(), '\xff00'::bytea, f(id), 't'::regclass FROM t WHERE k = 3`)
			query(`SELECT k, count(*), sum(x), max(s), sum(random()) FROM t GROUP BY k`)
			query(`SELECT now(), random(), f(21), NULL::int, numeric '1.500'`)
			for _, format := range []int16{0, 1} {
				extended(`SELECT id, s, x, rand(), now(), f(id) FROM t WHERE id < $1::bigint ORDER BY x DESC`, "100", format)
				b, n := wire.rows(t)
				if n != 99 {
					t.Fatalf("%d rows", n)
				}
				all = append(all, asked{lastID(), format, b})
			}
			simple(`SET TimeZone = 'UTC'; RESET extra_float_digits; RESET bytea_output; SET search_path = pg_catalog;
				UPDATE public.t SET x = x + 1; CREATE OR REPLACE FUNCTION public.f(x bigint) RETURNS bigint LANGUAGE sql AS 'SELECT 0::bigint'`)
			wire.rows(t)
			for i, a := range all {
				var tag string
				if a.format < 0 {
					tag = simple(`CALL volley.replay('` + a.id + `')`)
				} else {
					tag = extended(`CALL volley.replay($1)`, a.id, a.format)
				}
				b, n := wire.rows(t)
				if !bytes.Equal(a.bytes, b) || tag != "CALL" {
					t.Errorf("%d: %d rows, tag %s\n got %q\nwant %q", i, n, tag, b[:min(len(b), 400)], a.bytes[:min(len(a.bytes), 400)])
				}
			}
		})
	}
}

// TestCallClients calls a procedure from drivers.
func TestCallClients(t *testing.T) {
	s := start(t, nil)
	c := s.connect(t, "volley", "")
	ctx := deadline(t)
	var n int64
	if err := c.QueryRow(ctx, `SELECT $1::bigint + 1`, 41).Scan(&n); err != nil || n != 42 {
		t.Fatal(n, err)
	}
	var id string
	if err := c.QueryRow(ctx, `SELECT volley.last_query_id()`).Scan(&id); err != nil {
		t.Fatal(err)
	}
	n = 0
	if err := c.QueryRow(ctx, `CALL volley.replay('`+id+`')`).Scan(&n); err != nil || n != 42 {
		t.Error(n, err)
	}
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol} {
		n = 0
		if err := c.QueryRow(ctx, `CALL volley.replay($1)`, mode, id).Scan(&n); err != nil || n != 42 {
			t.Error(mode, n, err)
		}
	}
	// To prepare it is to ask for columns that nobody knows yet.
	if err := c.QueryRow(ctx, `CALL volley.replay($1)`, id).Scan(&n); code(err) != "0A000" {
		t.Error(err)
	}
	if err := c.QueryRow(ctx, `CALL volley.replay($1)`, pgx.QueryExecModeExec, "nope").Scan(&n); code(err) != "42704" {
		t.Error(err)
	}
	if err := c.QueryRow(ctx, `SELECT 1 + 1`).Scan(&n); err != nil || n != 2 {
		t.Error(n, err)
	}
	var receipt string
	if err := c.QueryRow(ctx, `SELECT volley.query_receipt($1) ->> 'statement'`, id).Scan(&receipt); err != nil || receipt != `SELECT $1::bigint + 1` {
		t.Error(receipt, err)
	}
}

// TestCallPsql shows what a person sees.
func TestCallPsql(t *testing.T) {
	s := start(t, nil)
	cmd := s.psql(t, "-q", "-v", "ON_ERROR_STOP=0")
	cmd.Stdin = strings.NewReader(`SET volley.seed = 7;
SELECT 1 AS one, rand() < 2 AS r;
SELECT volley.last_query_id() AS id \gset
\unset ON_ERROR_STOP
\set QUIET off
CALL volley.replay(:'id');
SELECT r ->> 'command' AS command, r ->> 'rows' AS rows, r ->> 'state' AS state, r -> 'columns' AS columns FROM volley.query_receipt(:'id') r;
CALL abs(1);
SELECT volley.replay('x');
\df volley.*
`)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{`
 one | r 
-----+---
   1 | t
(1 row)

`, `
 command | rows |  state   |           columns            
---------+------+----------+------------------------------
 SELECT  | 1    | finished | ["one integer", "r boolean"]
(1 row)
`, `ERROR:  abs(integer) is not a procedure
LINE 1: CALL abs(1);
             ^
HINT:  To call a function, use SELECT.
`, `ERROR:  volley.replay(unknown) is a procedure
LINE 1: SELECT volley.replay('x');
               ^
HINT:  To call a procedure, use CALL.
`, " volley | last_query_id ", " volley | query_receipt ", " volley | replay        |                  | query_id text       | proc"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("got\n%s\nwant in it\n%s", out, want)
		}
	}
}
