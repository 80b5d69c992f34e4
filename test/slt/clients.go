package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/test/engine"
)

// client is a session of an engine.
type client interface {
	run(ctx context.Context, sql string) *answer
	close()
}

type volley struct{ s *engine.Session }

func openVolley(e *engine.Engine) client {
	v := volley{e.Session()}
	if *cut > 0 {
		v.run(context.Background(), fmt.Sprintf("SET volley.rows_per_task = %d", *cut))
	}
	return v
}

func (v volley) close() { v.s.Close() }

func (v volley) run(ctx context.Context, sql string) *answer {
	rows, err := v.s.Run(ctx, sql)
	if err != nil {
		return &answer{err: err, code: pgerr.Code(err)}
	}
	a := &answer{}
	if rows == nil {
		return a
	}
	a.tag = rows.Tag
	for _, f := range rows.Fields {
		a.names = append(a.names, f.Name)
	}
	for _, row := range rows.Rows {
		vs := make([]*string, len(row))
		for c := range row {
			if row[c] != "NULL" { // the text NULL is written the same way by all formats
				vs[c] = &row[c]
			}
		}
		a.rows = append(a.rows, vs)
	}
	return a
}

type pg struct{ conn *pgconn.PgConn }

func openPostgres(h *host) client {
	conn, err := pgconn.Connect(context.Background(), *postgres)
	if err != nil {
		h.Fatal(err)
	}
	return pg{conn}
}

func (p pg) close() { _ = p.conn.Close(context.Background()) }

func (p pg) run(ctx context.Context, sql string) *answer {
	rs, err := p.conn.Exec(ctx, sql).ReadAll()
	a := &answer{err: err}
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		a.code = pe.Code
	}
	if err != nil || len(rs) == 0 {
		return a
	}
	last := rs[len(rs)-1]
	a.tag = last.CommandTag.String()
	for _, f := range last.FieldDescriptions {
		a.names = append(a.names, f.Name)
	}
	for _, row := range last.Rows {
		vs := make([]*string, len(row))
		for c, v := range row {
			if v != nil {
				s := string(v)
				vs[c] = &s
			}
		}
		a.rows = append(a.rows, vs)
	}
	return a
}
