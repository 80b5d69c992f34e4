package mainjob

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
