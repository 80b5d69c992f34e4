package clients

import (
	"context"
	"fmt"
	"reflect"
	"testing"

	"github.com/jackc/pgx/v5"
)

// column reads a one-column result as text.
func column(ctx context.Context, c *pgx.Conn, sql string) ([]string, error) {
	rows, err := c.Query(ctx, sql, pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (string, error) { return string(r.RawValues()[0]), nil })
}

// steps runs statements and compares what each gives: rows, a tag or a SQLSTATE.
func steps(t *testing.T, c *pgx.Conn, list [][2]string) {
	t.Helper()
	ctx := deadline(t)
	for i, st := range list {
		got := ""
		r, err := c.PgConn().Exec(ctx, st[0]).ReadAll()
		if err != nil {
			got = code(err)
			if got == "" {
				t.Fatalf("%d: %s: %v", i, st[0], err)
			}
		} else {
			last := r[len(r)-1]
			got = last.CommandTag.String()
			if len(last.FieldDescriptions) > 0 {
				vs := []string{}
				for _, row := range last.Rows {
					vs = append(vs, string(row[0]))
				}
				got = fmt.Sprint(vs)
			}
		}
		if got != st[1] {
			t.Errorf("%d: %s: %s, want %s", i, st[0], got, st[1])
		}
	}
}

// Cursors give rows in pieces, read the snapshot of their DECLARE, and end with
// their block.
func TestCursors(t *testing.T) {
	s := start(t, nil)
	s.run(t, "create table t as select i from generate_series(1, 7) i")
	c := s.connect(t, "volley", "sslmode=disable")
	steps(t, c, [][2]string{
		{"declare c cursor for select i from t", "25P01"},
		{"begin", "BEGIN"},
		{"declare c cursor for select i from t order by i", "DECLARE CURSOR"},
		{"fetch c", "[1]"},
		{"fetch 2 from c", "[2 3]"},
		{"insert into t values (100)", "INSERT 0 1"},
		{"move 1 from c", "MOVE 1"},
		{"fetch forward all in c", "[5 6 7]"},
		{"fetch c", "FETCH 0"},
		{"close c", "CLOSE CURSOR"},
		{"declare d no scroll cursor without hold for select i from t where i > 50", "DECLARE CURSOR"},
		{"fetch next from d", "[100]"},
		{"rollback", "ROLLBACK"},
		{"fetch d", "34000"},
		{"declare h cursor with hold for select i from t order by i desc", "DECLARE CURSOR"},
		{"fetch 2 h", "[7 6]"},
		{"drop table t", "DROP TABLE"},
		{"fetch 2 h", "[5 4]"},
		{"declare h cursor with hold for select 1", "42P03"},
		{"fetch backward 1 from h", "55000"},
		{"close all", "CLOSE CURSOR ALL"},
		{"fetch h", "34000"},
		{"begin", "BEGIN"},
		{"declare k scroll cursor for select 1", "0A000"},
		{"rollback", "ROLLBACK"},
		{"begin", "BEGIN"},
		{"declare k cursor with hold for select 1", "DECLARE CURSOR"},
		{"commit", "COMMIT"},
		{"fetch k", "[1]"},
	})
	// With parameters, as psycopg's server-side cursors have them.
	ctx := deadline(t)
	if _, err := c.Exec(ctx, "begin"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Exec(ctx, "declare p cursor for select x from generate_series(1, $1::int) x", 3); err != nil {
		t.Fatal(err)
	}
	if got, err := column(ctx, c, "fetch all p"); err != nil || !reflect.DeepEqual(got, []string{"1", "2", "3"}) {
		t.Errorf("%v, %v", got, err)
	}
}

// Many open cursors leave room for other queries.
func TestOpenCursors(t *testing.T) {
	s := start(t, nil)
	s.run(t, "create table t as select i, i % 10 as k from generate_series(1, 300000) i")
	c := s.connect(t, "volley", "sslmode=disable")
	list := [][2]string{{"begin", "BEGIN"}}
	for i := range 6 {
		list = append(list, [2]string{fmt.Sprintf("declare c%d cursor for select i from t where i > %d", i, i), "DECLARE CURSOR"},
			[2]string{fmt.Sprintf("fetch c%d", i), fmt.Sprintf("[%d]", i+1)})
	}
	list = append(list, [2]string{"select count(*) from (select k, sum(i) from t group by k) q", "[10]"},
		[2]string{"fetch c0", "[2]"}, [2]string{"move all c5", "MOVE 299994"}, [2]string{"commit", "COMMIT"})
	steps(t, c, list)
}

// Savepoints undo a part of a block: rows, tables and settings.
func TestSavepoints(t *testing.T) {
	s := start(t, nil)
	s.run(t, "create table t(i int)")
	c := s.connect(t, "volley", "sslmode=disable")
	steps(t, c, [][2]string{
		{"savepoint a", "25P01"},
		{"begin", "BEGIN"},
		{"insert into t values (1)", "INSERT 0 1"},
		{"savepoint a", "SAVEPOINT"},
		{"insert into t values (2)", "INSERT 0 1"},
		{"set application_name = 'inner'", "SET"},
		{"create table u(x int)", "CREATE TABLE"},
		{"select 1/0", "22012"},
		{"select 1", "25P02"},
		{"savepoint b", "25P02"},
		{"rollback to nosuch", "3B001"},
		{"rollback to a", "ROLLBACK"},
		{"select count(*) from t", "[1]"},
		{"show application_name", "[]"},
		{"select * from u", "42P01"},
		{"rollback to savepoint a", "ROLLBACK"},
		{"savepoint b", "SAVEPOINT"},
		{"insert into t values (3)", "INSERT 0 1"},
		{"release b", "RELEASE"},
		{"rollback to b", "3B001"},
		{"rollback to a", "ROLLBACK"},
		{"insert into t values (4)", "INSERT 0 1"},
		{"commit", "COMMIT"},
		{"select i from t order by i", "[1 4]"},
		{"begin", "BEGIN"},
		{"savepoint a", "SAVEPOINT"},
		{"declare c cursor for select i from t order by i", "DECLARE CURSOR"},
		{"rollback to a", "ROLLBACK"},
		{"fetch c", "34000"},
		{"rollback", "ROLLBACK"},
	})
	ctx := deadline(t)
	err := pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "insert into t values (5)"); err != nil {
			return err
		}
		nested, err := tx.Begin(ctx)
		if err != nil {
			return err
		}
		if _, err := nested.Exec(ctx, "insert into t values (6)"); err != nil {
			return err
		}
		return nested.Rollback(ctx)
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := column(ctx, c, "select i from t order by i"); err != nil || !reflect.DeepEqual(got, []string{"1", "4", "5"}) {
		t.Errorf("%v, %v", got, err)
	}
}
