package coordinator_test

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/volleydb/volley/coordinator"
	"github.com/volleydb/volley/parser"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/vector"
)

// client is a session that runs statements to their end.
type client struct {
	t *testing.T
	s *coordinator.Session
}

func open(t *testing.T) *coordinator.Server {
	t.Helper()
	e, err := coordinator.Open(context.Background(), coordinator.OpenConfig{Dir: t.TempDir(), RunLocally: true, Check: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func connect(t *testing.T, e *coordinator.Server) *client {
	t.Helper()
	s, err := e.NewSession(context.Background(), coordinator.SessionOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return &client{t, s}
}

// run returns the first column of the last row, and the tag.
func (c *client) run(sql string) (value, tag string, err error) {
	ctx := context.Background()
	st, err := parser.ParseOne(sql)
	if err != nil {
		return "", "", err
	}
	p, err := c.s.Prepare(ctx, st, nil)
	if err != nil {
		return "", "", err
	}
	r, err := c.s.Execute(ctx, p, nil)
	if err != nil {
		return "", "", err
	}
	defer r.Close()
	for {
		b, err := r.Next(ctx)
		if err != nil {
			return "", "", err
		}
		if b == nil {
			return value, r.Tag(), nil
		}
		b = b.Dense()
		value = string(vector.AppendText(nil, b.Col(0), b.Rows()-1, nil))
	}
}

func (c *client) must(sql, want string) {
	c.t.Helper()
	value, tag, err := c.run(sql)
	if err != nil {
		c.t.Fatalf("%s: %v", sql, err)
	}
	if want != value && want != tag {
		c.t.Fatalf("%s: %q, %q; want %q", sql, value, tag, want)
	}
}

func (c *client) fails(sql, code string) {
	c.t.Helper()
	if _, tag, err := c.run(sql); pgerr.Code(err) != code {
		c.t.Fatalf("%s: %v %s, want %s", sql, err, tag, code)
	}
}

// TestUpdatesTakeTurns has sessions count in the rows of one file and, outside
// blocks, loses none of it.
func TestUpdatesTakeTurns(t *testing.T) {
	e := open(t)
	c := connect(t, e)
	c.must("CREATE TABLE t (id int, n int)", "CREATE TABLE")
	c.must("INSERT INTO t SELECT g, 0 FROM generate_series(1, 100) g", "INSERT 0 100")
	const sessions, each = 4, 6
	var wg sync.WaitGroup
	for i := range sessions {
		mine := connect(t, e)
		wg.Add(1)
		go func() {
			defer wg.Done()
			for k := range each {
				q := fmt.Sprintf("UPDATE t SET n = n + 1 WHERE id = %d", k+1)
				switch {
				case i == 0 && k%2 == 0:
					q = fmt.Sprintf("MERGE INTO t USING (SELECT %d AS k) s ON id = k WHEN MATCHED THEN UPDATE SET n = n + 1", k+1)
				case i == 1 && k%2 == 0:
					// Rows that come and go beside it do not matter.
					if _, _, err := mine.run("INSERT INTO t VALUES (-1, 0)"); err != nil {
						t.Error(err)
					}
				}
				if _, tag, err := mine.run(q); err != nil || tag != "UPDATE 1" && tag != "MERGE 1" {
					t.Errorf("%s: %q, %v", q, tag, err)
				}
			}
		}()
	}
	wg.Wait()
	c.must("SELECT sum(n) FROM t", fmt.Sprint(sessions*each))
	c.must("SELECT count(*) FROM t WHERE id > 0", "100")
	c.must("DELETE FROM t WHERE id < 0", "DELETE 3")
}

// TestConflictingBlocks lets two blocks change one file: the second to commit fails.
func TestConflictingBlocks(t *testing.T) {
	e := open(t)
	a, b := connect(t, e), connect(t, e)
	a.must("CREATE TABLE t (id int, n int)", "CREATE TABLE")
	a.must("INSERT INTO t VALUES (1, 0), (2, 0)", "INSERT 0 2")
	a.must("INSERT INTO t VALUES (3, 0)", "INSERT 0 1")

	a.must("BEGIN", "BEGIN")
	b.must("BEGIN", "BEGIN")
	a.must("UPDATE t SET n = 1 WHERE id = 1", "UPDATE 1")
	b.must("UPDATE t SET n = 2 WHERE id = 1", "UPDATE 1")
	b.must("SELECT n FROM t WHERE id = 1", "2")
	a.must("COMMIT", "COMMIT")
	b.fails("COMMIT", pgerr.SerializationFailure)
	b.must("SELECT n FROM t WHERE id = 1", "1")

	// Other files, and rows that are only added, are no conflict.
	a.must("BEGIN", "BEGIN")
	a.must("UPDATE t SET n = 3 WHERE id = 1", "UPDATE 1")
	b.must("UPDATE t SET n = 4 WHERE id = 3", "UPDATE 1")
	b.must("INSERT INTO t VALUES (4, 5)", "INSERT 0 1")
	a.must("COMMIT", "COMMIT")
	a.must("SELECT sum(n) FROM t", "12")

	// A statement outside a block and one inside: the block gives way.
	a.must("BEGIN", "BEGIN")
	a.must("DELETE FROM t", "DELETE 4")
	b.must("UPDATE t SET n = n + 1", "UPDATE 4")
	a.fails("COMMIT", pgerr.SerializationFailure)
	a.must("SELECT sum(n) FROM t", "16")

	// The table goes away under a block.
	a.must("BEGIN", "BEGIN")
	a.must("UPDATE t SET n = 0", "UPDATE 4")
	b.must("DROP TABLE t", "DROP TABLE")
	a.fails("COMMIT", pgerr.UndefinedTable)
}

// TestOnlyChangedFiles checks that files without changed rows stay as they are,
// and that nothing is left in staging.
func TestOnlyChangedFiles(t *testing.T) {
	e := open(t)
	c := connect(t, e)
	c.must("CREATE TABLE t (id int, n int)", "CREATE TABLE")
	for i := range 3 {
		c.must(fmt.Sprintf("INSERT INTO t SELECT g, 0 FROM generate_series(%d, %d) g", i*10+1, i*10+10), "INSERT 0 10")
	}
	paths := func() []string {
		var out []string
		for _, f := range e.Store.Snapshot().Relation("public", "t").Files {
			out = append(out, f.Path)
		}
		return out
	}
	before := paths()
	c.must("UPDATE t SET n = 1 WHERE id = 15", "UPDATE 1")
	after := paths()
	if len(after) != 3 || after[0] != before[0] || after[1] == before[1] || after[2] != before[2] {
		t.Errorf("files %v became %v", before, after)
	}
	c.must("DELETE FROM t WHERE id > 20", "DELETE 10")
	if got := paths(); len(got) != 2 || got[0] != after[0] || got[1] != after[1] {
		t.Errorf("files %v became %v", after, got)
	}
	c.must("UPDATE t SET n = 1 WHERE id < 0", "UPDATE 0")
	c.fails("UPDATE t SET n = 1 / (id - 3)", pgerr.DivisionByZero)
	c.must("UPDATE t SET n = 2 WHERE id = 2 RETURNING n", "2")
	left(t, e)
}

func left(t *testing.T, e *coordinator.Server) {
	t.Helper()
	dir, err := e.Store.StagingDir("probe")
	if err != nil {
		t.Fatal(err)
	}
	if names := entries(t, dir+"/.."); len(names) != 1 {
		t.Errorf("left in staging: %v", names)
	}
}

func entries(t *testing.T, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, d := range list {
		out = append(out, d.Name())
	}
	return out
}
