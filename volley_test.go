package volley_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/volleydb/volley"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/udf/sdk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) }

type meanState struct {
	N   int64
	Sum float64
}

// functions are one of every kind.
func functions() []udf.Decl {
	return []udf.Decl{
		udf.Name("app"), udf.Version("1"),
		udf.Scalar("Tidy", func(s string) string { return strings.ToLower(strings.TrimSpace(s)) }, udf.Immutable, udf.Args("s"), udf.Doc("Trims and lowers.")),
		udf.Scalar("power", math.Pow, udf.Immutable, udf.Args("base", "exponent"), udf.Default(1, "2")),
		udf.Scalar("join_all", func(sep string, xs ...string) string { return strings.Join(xs, sep) }),
		udf.Scalar("boom", func(x int64) (int64, error) {
			if x == 3 {
				return 0, errors.New("three")
			}
			return x, nil
		}, udf.Args("x")),
		udf.Vector("twice", func(x, out []float64) {
			for i := range out {
				out[i] = 2 * x[i]
			}
		}, udf.Stable),
		udf.Aggregate("average", nil,
			func(s *meanState, x float64) { s.N++; s.Sum += x },
			func(into, from *meanState) { into.N += from.N; into.Sum += from.Sum },
			func(s *meanState) float64 { return s.Sum / float64(s.N) }),
		udf.GroupedMap("count_rows", udf.Columns{udf.Col("k", udf.Int64)}, udf.Columns{udf.Col("k", udf.Int64), udf.Col("n", udf.Int64)},
			func(ctx *udf.Context, g *udf.Group) error {
				n, k := 0, int64(0)
				for g.Next() {
					n, k = n+g.Len(), g.Int64("k")[0]
				}
				g.Emit(k, n)
				return nil
			}),
		udf.Table("letters", udf.Columns{udf.Col("s", udf.String)}, udf.Columns{udf.Col("letter", udf.String)},
			func(ctx *udf.Context, c *udf.TableCall) error {
				for _, r := range udf.Arg[string](c, 0) {
					c.Emit(string(r))
				}
				return nil
			}),
		udf.Window("place", udf.Columns{udf.Col("x", udf.Int64)}, func(ctx *udf.Context, p *udf.Partition, out []int64) error {
			for i := range out {
				out[i] = int64(p.Len() - i)
			}
			return nil
		}),
	}
}

func open(t testing.TB, dir string) *volley.DB {
	t.Helper()
	db, err := volley.Open(context.Background(), volley.Options{Dir: dir, Slots: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// text runs a query and prints its rows: values by |, rows by ;.
func text(db *volley.DB, sql string, args ...any) (string, error) {
	rows, err := db.Query(context.Background(), sql, args...)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var row []string
		for i := range rows.Columns() {
			s, null := rows.Text(i)
			if null {
				s = "NULL"
			}
			row = append(row, s)
		}
		out = append(out, strings.Join(row, "|"))
	}
	return strings.Join(out, ";"), rows.Err()
}

func TestRegister(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	db := open(t, dir)
	if err := db.Register(ctx, functions()...); err != nil {
		t.Fatal(err)
	}
	if err := db.Exec(ctx, "CREATE TABLE t AS SELECT i AS x, 'Name ' || i AS s FROM generate_series(1, 5) i"); err != nil {
		t.Fatal(err)
	}
	check := func(sql, want string, args ...any) {
		t.Helper()
		got, err := text(db, sql, args...)
		if err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", sql, got, err, want)
		}
	}
	check("SELECT tidy('  AbC '), Tidy(NULL)", "abc|NULL")
	check("SELECT power(3), power(2, 10), power(exponent => 3, base => 2)", "9|1024|8")
	check("SELECT join_all('-', 'a', 'b', 'c')", "a-b-c")
	check("SELECT sum(twice(x)) FROM t", "30")
	check("SELECT average(x), average(x) FILTER (WHERE x > 3) FROM t", "3|4.5")
	check("SELECT * FROM letters('añb')", "a;ñ;b")
	check("SELECT x, place(x) OVER (ORDER BY x) FROM t ORDER BY x LIMIT 2", "1|5;2|4")
	check("SELECT * FROM (SELECT x % 2 AS k FROM t) q GROUP BY k APPLY count_rows(k) ORDER BY 1", "0|2;1|3")
	check("SELECT x FROM t WHERE x = $1 AND s = $2", "4", 4, "Name 4")
	check("SELECT proname, provolatile, proisstrict, pg_get_function_arguments(oid) FROM pg_proc WHERE proname IN ('power', 'twice') AND pronamespace = 'public'::regnamespace ORDER BY 1",
		"power|i|t|base double precision, exponent double precision DEFAULT 2;twice|s|t|double precision")
	check("SELECT function, version, active FROM volley.function_versions WHERE function LIKE 'public.tidy%'", "public.tidy(text)|1|t")
	if _, err := text(db, "SELECT boom(x) FROM t"); pgerr.Code(err) != "38000" || !strings.Contains(fmt.Sprint(pgerr.From(err).Detail), "x = 3") {
		t.Errorf("an error: %v", err)
	}
	check("SET volley.on_error = 'skip'; SELECT sum(boom(x)) FROM t", "12")

	check("SELECT name, version, runtime FROM volley.artifacts", "app|1|inprocess")
	if err := db.Exec(ctx, "SELECT volley.gc()"); err != nil {
		t.Error(err)
	}
	check("SELECT average(x) FROM t; CALL volley.replay(volley.last_query_id())", "3")

	// The same declarations change nothing, others are a next version.
	if err := db.Register(ctx, functions()...); err != nil {
		t.Fatal(err)
	}
	check("SELECT max(version) FROM volley.function_versions", "1")
	if err := db.Register(ctx, udf.Name("app"), udf.Version("2"), udf.Scalar("tidy", strings.ToUpper, udf.Args("s"))); err != nil {
		t.Fatal(err)
	}
	check(`SELECT tidy('aB'), "tidy@1"('aB')`, "AB|ab")
	if err := db.Exec(ctx, "ALTER FUNCTION tidy(text) SET volley.version = '1'"); err != nil {
		t.Fatal(err)
	}
	check("SELECT tidy('aB')", "ab")
	err := db.Register(ctx, udf.Name("app"), udf.Version("3"), udf.Scalar("tidy", func(s string) int64 { return 0 }, udf.Args("s")))
	if pgerr.Code(err) != "42P13" {
		t.Errorf("another result: %v", err)
	}

	// A program that does not register them cannot call them.
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, dir)
	if _, err := text(db, "SELECT twice(x) FROM t"); pgerr.Code(err) != "0A000" || !strings.Contains(err.Error(), "part of the program that registered them") {
		t.Errorf("without functions: %v", err)
	}
	check("SELECT count(*) FROM t", "5")
	if err := db.Register(ctx, functions()...); err != nil {
		t.Fatal(err)
	}
	check("SELECT sum(twice(x)) FROM t", "30")
}

func TestScan(t *testing.T) {
	db := open(t, "")
	rows, err := db.Query(context.Background(), `SELECT 1, 2::bigint, 1.5::float8, 2.25, true, 'x', '\x01'::bytea, date '2020-01-02', NULL::text, NULL::int, 7, ARRAY[1,2]`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var (
		a         int32
		b         int64
		c, d      float64
		e         bool
		f         string
		g         []byte
		h         time.Time
		i         *string
		j         *int64
		k         *int
		l         any
		wrong     bool
		wantTypes = "integer bigint double precision numeric boolean"
	)
	if !rows.Next() {
		t.Fatal(rows.Err())
	}
	if err := rows.Scan(&a, &b, &c, &d, &e, &f, &g, &h, &i, &j, &k, &l); err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(fmt.Sprintln(a, b, c, d, e, f, g, h.Format("2006-01-02"), i, j, *k, l)); got != "1 2 1.5 2.25 true x [1] 2020-01-02 <nil> <nil> 7 {1,2}" {
		t.Error(got)
	}
	if got := strings.Join(rows.Types()[:5], " "); got != wantTypes {
		t.Error(got)
	}
	err = rows.Scan(&wrong, &b, &c, &d, &e, &f, &g, &h, &i, &j, &k, &l)
	if err == nil || !strings.Contains(err.Error(), "cannot put a value of type integer into a *bool") {
		t.Error(err)
	}
	var notNull string
	if err = rows.Scan(&a, &b, &c, &d, &e, &f, &g, &h, &notNull, &j, &k, &l); err == nil || !strings.Contains(err.Error(), "NULL") {
		t.Error(err)
	}
	if rows.Next() || rows.Err() != nil || rows.Tag() != "SELECT 1" {
		t.Error(rows.Err(), rows.Tag())
	}
}

func TestSession(t *testing.T) {
	ctx := context.Background()
	db := open(t, "")
	s, err := db.Session(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Exec(ctx, "CREATE TABLE t (x int); BEGIN; INSERT INTO t VALUES (1), (2)"); err != nil {
		t.Fatal(err)
	}
	if got, _ := text(db, "SELECT count(*) FROM t"); got != "0" {
		t.Errorf("before COMMIT: %s", got)
	}
	if err := s.Exec(ctx, "COMMIT"); err != nil {
		t.Fatal(err)
	}
	if got, _ := text(db, "SELECT count(*) FROM t"); got != "2" {
		t.Errorf("after COMMIT: %s", got)
	}
	if err := s.Exec(ctx, "SELECT 1/0"); pgerr.Code(err) != "22012" {
		t.Error(err)
	}
}

// Postgres clients see the program's functions.
func TestServe(t *testing.T) {
	ctx := context.Background()
	db := open(t, "")
	if err := db.Register(ctx, functions()...); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- db.Serve(ctx, ln) }()
	c, err := pgx.Connect(ctx, "postgres://volley@"+ln.Addr().String()+"/volley")
	if err != nil {
		t.Fatal(err)
	}
	var x float64
	if err := c.QueryRow(ctx, "SELECT twice(21)").Scan(&x); err != nil || x != 42 {
		t.Errorf("%v %v", x, err)
	}
	c.Close(ctx)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
