package mainjob

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/volleydb/volley/parser"
	"github.com/volleydb/volley/test/engine"
)

// A block leaves nothing in the staging directory, however it ends.
func TestBlocksLeaveNoStagedFiles(t *testing.T) {
	e := engine.Start(t, 0)
	for _, sql := range []string{
		"BEGIN; CREATE TABLE a AS SELECT g FROM generate_series(1, 1000) g; ROLLBACK",
		"BEGIN; CREATE TABLE a AS SELECT g FROM generate_series(1, 1000) g; INSERT INTO a SELECT 1; COMMIT",
		"BEGIN; CREATE TABLE b AS SELECT g FROM generate_series(1, 1000) g WHERE g < 0; COMMIT",
		"BEGIN; CREATE TABLE c AS SELECT g FROM generate_series(1, 1000) g; SELECT 1 / 0",
	} {
		s := e.Session()
		_, err := s.Run(context.Background(), sql)
		if failing := strings.HasSuffix(sql, "0"); (err != nil) != failing {
			t.Errorf("%s: %v", sql, err)
		}
		s.Close()
		left, err := os.ReadDir(filepath.Join(e.Dir, "staging"))
		if err != nil {
			t.Fatal(err)
		}
		if len(left) > 0 {
			t.Errorf("%s: left %v", sql, left)
		}
	}
}

// Settings asked by name from a column are the session's, wherever the plan runs,
// and those of the moment at which the statement began.
func TestSettingsByColumn(t *testing.T) {
	for _, workers := range []int{0, 1} {
		e := engine.Start(t, workers)
		s := e.Session()
		must(t, s, "SET my.x = 'old'; SET TimeZone = 'Asia/Kolkata'; SET volley.rows_per_task = 20000")
		must(t, s, "CREATE TABLE n AS SELECT CASE g % 2 WHEN 0 THEN 'my.x' ELSE 'TimeZone' END AS name FROM generate_series(1, 300000) g")
		r := must(t, s, "SELECT current_setting(name), count(*) FROM n GROUP BY 1 ORDER BY 1")
		if got := fmt.Sprint(r.Rows); got != "[[Asia/Kolkata 150000] [old 150000]]" {
			t.Errorf("%d workers: %s", workers, got)
		}
		// A client may leave a result half read and change a setting.
		list, err := parser.Parse("SELECT name FROM n WHERE current_setting(name) = 'old'")
		if err != nil {
			t.Fatal(err)
		}
		ctx := context.Background()
		p, err := s.Prepare(ctx, list[0], nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := s.Execute(ctx, p, nil)
		if err != nil {
			t.Fatal(err)
		}
		rows := 0
		for {
			b, err := res.Next(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if b == nil {
				break
			}
			rows += b.Rows()
			must(t, s, "SET my.x = 'new'")
		}
		res.Close()
		if rows != 150000 {
			t.Errorf("%d workers: %d rows of the old setting", workers, rows)
		}
	}
}

// What plugins had in their working directories when the server was killed goes
// at the next start.
func TestPluginDirectories(t *testing.T) {
	dir := t.TempDir()
	e := engine.Open(t, dir, 0)
	s := e.Session()
	must(t, s, "CREATE FUNCTION ok(x bigint, at bigint) RETURNS bigint LANGUAGE go AS '"+push(t, e, "faulty")+"', 'panic_at'")
	must(t, s, "SELECT ok(1, 2)")
	plugins := filepath.Join(dir, "plugins")
	if list, err := os.ReadDir(plugins); err != nil || len(list) != 1 {
		t.Errorf("while it runs: %v, %v", list, err)
	}
	s.Close()
	e.Stop()
	if list, err := os.ReadDir(plugins); err != nil || len(list) != 0 {
		t.Errorf("after the end: %v, %v", list, err)
	}
	if err := os.MkdirAll(filepath.Join(plugins, "volley-udf-1", "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	e = engine.Open(t, dir, 0)
	defer e.Stop()
	if list, err := os.ReadDir(plugins); err != nil || len(list) != 0 {
		t.Errorf("after a crash: %v, %v", list, err)
	}
}
