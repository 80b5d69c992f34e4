package cluster

import (
	"context"
	"testing"
	"time"
)

// TestKillDuringUpdate kills workers while statements change rows: whatever tasks
// are run again, every row changes exactly once. The parameters go through the
// extended protocol.
func TestKillDuringUpdate(t *testing.T) {
	if testing.Short() {
		t.Skip("a dead worker is noticed after 15 seconds")
	}
	c := startCluster(t, 3)
	conn := c.connect(t)
	run(t, conn, "CREATE TABLE t AS SELECT g AS id, g % 100 AS k, 0 AS n FROM generate_series(1, 1500000) g")
	type step struct {
		sql  string
		arg  int
		rows int64
	}
	for i, s := range []step{
		{"UPDATE t SET n = n + $1 WHERE k < 50", 1, 750_000},
		{"MERGE INTO t USING (SELECT g AS key FROM generate_series(1400001, 1600000) g) s ON id = key WHEN MATCHED THEN UPDATE SET n = n + $1 WHEN NOT MATCHED THEN INSERT VALUES (key, 100, 1)", 1, 200_000},
	} {
		killed := make(chan struct{})
		go func() {
			defer close(killed)
			time.Sleep(150 * time.Millisecond)
			_ = c.workers[i].cmd.Process.Kill()
		}()
		tag, err := conn.Exec(context.Background(), s.sql, s.arg)
		<-killed
		if err != nil {
			t.Fatalf("%s\n%v", s.sql, err)
		}
		if tag.RowsAffected() != s.rows {
			t.Errorf("%s: %s", s.sql, tag)
		}
	}
	var rows, ids, sum, most int64
	query(t, conn, "SELECT count(*), count(DISTINCT id), sum(n), max(n) FROM t", &rows, &ids, &sum, &most)
	if rows != 1_600_000 || ids != rows || sum != 750_000+200_000 || most != 2 {
		t.Errorf("%d rows, %d ids, sum %d, most %d", rows, ids, sum, most)
	}
	var id, n int
	if err := conn.QueryRow(context.Background(), "DELETE FROM t WHERE id = $1 RETURNING id, n", 1_500_000).Scan(&id, &n); err != nil || id != 1_500_000 || n != 2 {
		t.Errorf("deleted id %d, n %d: %v", id, n, err)
	}
}
