package volleytest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/volleydb/volley"
	"github.com/volleydb/volley/parser"
	"github.com/volleydb/volley/pgerr"
	sdk "github.com/volleydb/volley/udf/sdk"
)

// DB is a database that lives as long as a test.
type DB struct {
	// Engine is the database itself, for what this package has no helper for.
	Engine *volley.DB
	dir    string // for files of tests
	tables int
	mu     sync.Mutex
}

// New starts an engine on an empty database in a directory of the test and registers
// functions. The test's cleanup stops the engine and reports goroutines that it
// leaves, unless other engines run at the same time.
func New(t testing.TB, decls ...sdk.Decl) *DB {
	t.Helper()
	dir := t.TempDir()
	opened()
	engine, err := volley.Open(context.Background(), volley.Options{Dir: filepath.Join(dir, "db"), Slots: 2, Memory: 512 << 20})
	if err != nil {
		closed()
		t.Fatalf("volleytest: could not start the engine: %s", explain(err))
	}
	db := &DB{Engine: engine, dir: dir}
	t.Cleanup(func() {
		err := engine.Close()
		alone := closed()
		if err != nil {
			t.Errorf("volleytest: could not stop the engine: %s", explain(err))
		} else if left := leaks(alone); left != "" {
			t.Errorf("volleytest: the engine leaves goroutines behind; does a function not return?\n%s", left)
		}
	})
	if len(decls) > 0 {
		db.Register(t, decls...)
	}
	return db
}

// Register registers functions, as volley.DB.Register.
func (db *DB) Register(t testing.TB, decls ...sdk.Decl) {
	t.Helper()
	if err := db.Engine.Register(context.Background(), decls...); err != nil {
		t.Fatalf("volleytest: Register: %s", explain(err))
	}
}

// Exec runs statements; an error ends the test.
func (db *DB) Exec(t testing.TB, sql string, args ...any) {
	t.Helper()
	if err := db.Engine.Exec(context.Background(), sql, args...); err != nil {
		t.Fatalf("%s\nfailed: %s", sql, explain(err))
	}
}

// Query runs statements and returns all rows of the last one; an error ends the test.
func (db *DB) Query(t testing.TB, sql string, args ...any) *Result {
	t.Helper()
	r, err := db.run(sql, args)
	if err != nil {
		t.Fatalf("%s\nfailed: %s", sql, explain(err))
	}
	return r
}

// Rows is Query for the values alone, as text; NULL is "NULL".
func (db *DB) Rows(t testing.TB, sql string, args ...any) [][]string {
	t.Helper()
	return db.Query(t, sql, args...).Rows
}

// Error runs statements that must fail with an SQLSTATE ("" is any) and returns the
// error; its success ends the test.
func (db *DB) Error(t testing.TB, code, sql string, args ...any) *pgerr.Error {
	t.Helper()
	r, err := db.run(sql, args)
	switch {
	case err == nil:
		t.Fatalf("%s\ndid not fail; it returned\n%s", sql, r)
	case code != "" && pgerr.Code(err) != code:
		t.Fatalf("%s\nfailed with %s, not %s: %s", sql, pgerr.Code(err), code, explain(err))
	}
	return pgerr.From(err)
}

func (db *DB) run(sql string, args []any) (*Result, error) {
	rows, err := db.Engine.Query(context.Background(), sql, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	r := &Result{SQL: sql, Columns: rows.Columns(), Types: rows.Types()}
	for rows.Next() {
		row := make([]string, len(r.Columns))
		for i := range row {
			var null bool
			if row[i], null = rows.Text(i); null {
				row[i] = "NULL"
			}
		}
		r.Rows = append(r.Rows, row)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	r.Tag = rows.Tag()
	return r, nil
}

// LoadCSV makes a table of CSV text with a header. Types are those that the values
// look like, unless the name is followed by columns:
//
//	db.LoadCSV(t, "games (user_id bigint, g1 numeric)", "user_id,g1\n1,0.5\n")
func (db *DB) LoadCSV(t testing.TB, table, text string) {
	t.Helper()
	name, columns, typed := strings.Cut(table, "(")
	name = strings.TrimSpace(name)
	file := db.file(t, "csv", []byte(text))
	option := ""
	if typed {
		columns = strings.TrimSuffix(strings.TrimSpace(columns), ")")
		option = ", columns => " + parser.QuoteLiteral(columns)
	}
	db.Exec(t, fmt.Sprintf("CREATE TABLE %s AS SELECT * FROM read_csv(%s, header => true%s)", name, parser.QuoteLiteral(file), option))
}

// LoadRows makes a table with the given columns ("id bigint, name text") and rows, in
// whose values nil is NULL.
func (db *DB) LoadRows(t testing.TB, table, columns string, rows ...[]any) {
	t.Helper()
	db.Exec(t, fmt.Sprintf("CREATE TABLE %s (%s)", table, columns))
	for i, row := range rows {
		var marks []string
		for k := range row {
			marks = append(marks, fmt.Sprintf("$%d", k+1))
		}
		if err := db.Engine.Exec(context.Background(), fmt.Sprintf("INSERT INTO %s VALUES (%s)", table, strings.Join(marks, ", ")), row...); err != nil {
			t.Fatalf("volleytest: row %d of %s: %s", i+1, table, explain(err))
		}
	}
}

// file writes a file of the test.
func (db *DB) file(t testing.TB, suffix string, data []byte) string {
	t.Helper()
	db.mu.Lock()
	db.tables++
	path := filepath.Join(db.dir, fmt.Sprintf("%d.%s", db.tables, suffix))
	db.mu.Unlock()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatalf("volleytest: %v", err)
	}
	return path
}

// explain prints an error with all its parts.
func explain(err error) string {
	e := pgerr.From(err)
	s := e.Code + " " + e.Message
	for _, p := range []struct{ what, text string }{{"DETAIL", e.Detail}, {"HINT", e.Hint}, {"CONTEXT", e.Where}} {
		if p.text != "" {
			s += "\n  " + p.what + ": " + p.text
		}
	}
	return s
}

// Engines that run at the same time cannot be told apart by their goroutines.
var (
	enginesMu sync.Mutex
	engines   int
	shared    bool // since there was none, there were several
)

func opened() {
	enginesMu.Lock()
	defer enginesMu.Unlock()
	if engines++; engines > 1 {
		shared = true
	}
}

// closed reports whether the engine was alone from its start to its end.
func closed() (alone bool) {
	enginesMu.Lock()
	defer enginesMu.Unlock()
	alone = !shared
	if engines--; engines == 0 {
		shared = false
	}
	return alone
}

// leaks waits until no goroutine runs the engine's code and returns those that do
// not end.
func leaks(alone bool) string {
	if !alone {
		return ""
	}
	for wait := time.Millisecond; ; wait *= 2 {
		left := running()
		if left == "" || wait > time.Second {
			return left
		}
		time.Sleep(wait)
	}
}

func running() string {
	buf := make([]byte, 1<<20)
	var left []string
	for _, g := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if strings.Contains(g, "github.com/volleydb/volley/") && !strings.Contains(g, "testing.tRunner(") && !strings.Contains(g, "testing.(*M).") {
			left = append(left, g)
		}
	}
	return strings.Join(left, "\n\n")
}
