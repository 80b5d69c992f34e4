package engine

import (
	"context"
	"strings"
	"time"

	"github.com/volleydb/volley/pgerr"
)

// Must runs statements that may not fail, nor hang.
func (s *Session) Must(t TB, sql string) *Rows {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	r, err := s.Run(ctx, sql)
	if err != nil {
		e := pgerr.From(err)
		t.Fatalf("%s\n%s: %s (%s; %s; %s)", sql, e.Code, e.Message, e.Detail, e.Hint, e.Where)
	}
	return r
}

// Want checks the rows of the last statement: values with | between them, rows
// with a space.
func (s *Session) Want(t TB, sql, rows string) {
	t.Helper()
	if got := s.Must(t, sql).Text("|", " "); got != rows {
		t.Errorf("%s\n got %s\nwant %s", sql, got, rows)
	}
}

// Fails checks an error: its SQLSTATE, and what message, detail, hint and context
// contain.
func (s *Session) Fails(t TB, sql, code string, parts ...string) {
	t.Helper()
	_, err := s.Run(context.Background(), sql)
	e := pgerr.From(err)
	if err == nil || e.Code != code {
		t.Errorf("%s\n got %v, want %s", sql, err, code)
		return
	}
	text := e.Message + "\n" + e.Detail + "\n" + e.Hint + "\n" + e.Where
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%s\n got %s\nwithout %s", sql, text, p)
		}
	}
}

// Text joins the values of a row, and the rows.
func (r *Rows) Text(values, rows string) string {
	lines := make([]string, len(r.Rows))
	for i, row := range r.Rows {
		lines[i] = strings.Join(row, values)
	}
	return strings.Join(lines, rows)
}
