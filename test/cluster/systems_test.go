package cluster

import (
	"context"
	"syscall"
	"testing"
	"time"
)

// TestStoppedWhileReading stops a worker (SIGSTOP) whose output the client is
// reading: its connections stay open and say nothing any more.
func TestStoppedWhileReading(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for a lease to run out")
	}
	c := startCluster(t, 2)
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	rows, err := c.connect(t).Query(ctx, "SELECT g, repeat('x', 200) FROM generate_series(1, 1000000) g")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var n, g int64
	var x string
	began := time.Now()
	for rows.Next() {
		if err := rows.Scan(&g, &x); err != nil {
			t.Fatal(err)
		}
		if n++; g != n {
			t.Fatalf("row %d is %d", n, g)
		}
		if n == 10 {
			if err := c.workers[0].cmd.Process.Signal(syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.workers[0].cmd.Process.Signal(syscall.SIGCONT) }()
		}
	}
	if err := rows.Err(); err != nil || n != 1000000 {
		t.Errorf("%d rows after %v: %v", n, time.Since(began), err)
	}
	t.Logf("%d rows in %v", n, time.Since(began))
}
