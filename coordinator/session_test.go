package coordinator

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/volleydb/volley/parser"
	"github.com/volleydb/volley/pgerr"
)

// A panic belongs to its statement.
func TestGuarded(t *testing.T) {
	var log bytes.Buffer
	s := &Session{c: &Coordinator{cfg: Config{Log: slog.New(slog.NewTextHandler(&log, nil))}}}
	st := &parser.Statement{SQL: "SELECT what_panics"}
	err := s.guarded(st, func() error { return assignNil(nil) })
	if e := pgerr.From(err); e.Code != pgerr.InternalError || !strings.Contains(e.Message, "nil map") {
		t.Errorf("%v", err)
	}
	if !strings.Contains(log.String(), "what_panics") || !strings.Contains(log.String(), "session_test.go") {
		t.Errorf("the log does not say where: %s", log.String())
	}
	if err := s.guarded(st, func() error { return nil }); err != nil {
		t.Error(err)
	}
}

// assignNil panics when m is nil, where no tool sees that it always is.
func assignNil(m map[string]int) error {
	m["x"] = 1
	return nil
}
