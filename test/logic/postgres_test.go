package logic

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// postgresTarget runs the files against a real Postgres, in which the schemas of
// an earlier run are dropped.
func postgresTarget(t *testing.T) *target {
	tmp, err := os.MkdirTemp("", "volley-logic")
	if err != nil {
		t.Fatal(err)
	}
	_ = os.Chmod(tmp, 0o755)
	t.Cleanup(func() { _ = os.RemoveAll(tmp) })
	open := func(t testing.TB) client {
		cfg, err := pgconn.ParseConfig(*postgres)
		if err != nil {
			t.Fatal(err)
		}
		c := &postgresClient{}
		cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
			c.notices = append(c.notices, n.Severity+": "+n.Message)
		}
		if c.conn, err = pgconn.ConnectConfig(context.Background(), cfg); err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := open(t)
	defer c.close()
	a := c.run(context.Background(), `DO $$ DECLARE s text; BEGIN
		FOR s IN SELECT nspname FROM pg_namespace WHERE nspname LIKE 'test\_%' LOOP EXECUTE 'DROP SCHEMA ' || s || ' CASCADE'; END LOOP; END $$`)
	if a.err != nil {
		t.Fatal(a.err.message)
	}
	return &target{tmp: tmp, props: map[string]bool{"postgres": true, "uncut": true}, open: open}
}

type postgresClient struct {
	conn    *pgconn.PgConn
	notices []string
}

func (c *postgresClient) close() { _ = c.conn.Close(context.Background()) }

func (c *postgresClient) run(ctx context.Context, sql string) *answer {
	c.notices = nil
	a := &answer{}
	results := c.conn.Exec(ctx, sql)
	for results.NextResult() {
		a.read(results.ResultReader())
	}
	err := results.Close()
	a.notices = c.notices
	if err != nil {
		var pe *pgconn.PgError
		if errors.As(err, &pe) {
			a.err = &failure{pe.Code, pe.Message, pe.Detail, pe.Hint, pe.Where}
		} else {
			a.err = &failure{"?????", err.Error(), "", "", ""}
		}
		return a
	}
	return a
}

// read takes the result of one statement; that of the last stays.
func (a *answer) read(r *pgconn.ResultReader) {
	a.rows, a.names, a.letters = nil, nil, ""
	for _, f := range r.FieldDescriptions() {
		a.names = append(a.names, f.Name)
		a.letters += letter(f.DataTypeOID)
	}
	for r.NextRow() {
		row := r.Values()
		vals := make([]string, len(row))
		for i, v := range row {
			if v == nil {
				vals[i] = "NULL"
			} else {
				vals[i] = string(v)
			}
		}
		a.rows = append(a.rows, vals)
	}
	tag, _ := r.Close()
	a.tag = tag.String()
}
