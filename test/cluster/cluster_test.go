// Package cluster runs real processes: a coordinator and workers of the built
// binary, some of which are killed.
package cluster

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/volleydb/volley/examples"
	"github.com/volleydb/volley/udf"
)

var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "volley-cluster")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "volley")
	out, err := exec.Command("go", "build", "-o", binary, "github.com/volleydb/volley/cmd/volley").CombinedOutput()
	if err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// process is a running volley command.
type process struct {
	cmd   *exec.Cmd
	addr  map[string]string // by the first word of the lines it printed
	ended chan struct{}
}

// start runs the binary until it prints "ready".
func start(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(binary, args...), addr: map[string]string{}, ended: make(chan struct{})}
	logs, err := os.CreateTemp(t.TempDir(), args[0])
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stderr = logs
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make(chan bool, 1)
	go func() {
		defer close(p.ended)
		sc := bufio.NewScanner(out)
		for sc.Scan() {
			line := sc.Text()
			switch {
			case strings.HasPrefix(line, "postgres://"):
				p.addr["postgres"] = line
			case line == "ready":
				ready <- true
			default:
				if k, v, ok := strings.Cut(line, " "); ok {
					p.addr[k] = v
				}
			}
		}
		_ = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.ended:
		case <-time.After(20 * time.Second):
			t.Errorf("volley %v does not end at SIGTERM", args)
			_ = p.cmd.Process.Kill()
			<-p.ended
		}
		if t.Failed() {
			_, _ = logs.Seek(0, io.SeekStart)
			b, _ := io.ReadAll(logs)
			t.Logf("log of %v:\n%s", args, tail(b, 4000))
		}
		_ = logs.Close()
	})
	select {
	case <-ready:
	case <-p.ended:
		b, _ := os.ReadFile(logs.Name())
		t.Fatalf("volley %v has ended:\n%s", args, b)
	case <-time.After(30 * time.Second):
		t.Fatalf("volley %v is not ready", args)
	}
	return p
}

func tail(b []byte, n int) []byte {
	if len(b) > n {
		return b[len(b)-n:]
	}
	return b
}

// cluster is a coordinator and its workers.
type cluster struct {
	coordinator *process
	workers     []*process
}

func startCluster(t *testing.T, workers int) *cluster {
	t.Helper()
	c := &cluster{coordinator: start(t, "coordinator", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0")}
	for i := 0; i < workers; i++ {
		c.workers = append(c.workers, start(t, "worker", "--coordinator", c.coordinator.addr["grpc"], "--data", t.TempDir(), "--id", fmt.Sprintf("w%d", i+1), "--slots", "2"))
	}
	conn := c.connect(t)
	deadline := time.Now().Add(20 * time.Second)
	for {
		var n int
		query(t, conn, "SELECT count(*) FROM volley.workers WHERE id LIKE 'w%' AND state = 'up'", &n)
		if n == workers {
			return c
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d workers are up", n, workers)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (c *cluster) connect(t *testing.T) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), c.coordinator.addr["postgres"])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func query(t *testing.T, conn *pgx.Conn, sql string, dst ...any) {
	t.Helper()
	if err := conn.QueryRow(context.Background(), sql).Scan(dst...); err != nil {
		t.Fatalf("%s\n%v", sql, err)
	}
}

func run(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(context.Background(), sql); err != nil {
		t.Fatalf("%s\n%v", sql, err)
	}
}

var (
	scoreOnce sync.Once
	scoreFile string
	scoreErr  error
)

// pushScore uploads examples/score over the wire.
func pushScore(t *testing.T, conn *pgx.Conn) string {
	t.Helper()
	scoreOnce.Do(func() {
		dir := filepath.Join(filepath.Dir(binary), "score")
		if scoreErr = os.MkdirAll(dir, 0o755); scoreErr == nil {
			scoreErr = examples.Write("score", dir)
		}
		if scoreErr == nil {
			scoreFile = filepath.Join(dir, "score.vudf")
			_, scoreErr = udf.Build(context.Background(), dir, udf.BuildOptions{Output: scoreFile})
		}
	})
	if scoreErr != nil {
		t.Fatal(scoreErr)
	}
	data, err := os.ReadFile(scoreFile)
	if err != nil {
		t.Fatal(err)
	}
	var ref string
	if err := conn.QueryRow(context.Background(), "SELECT volley.put_artifact($1)", data).Scan(&ref); err != nil {
		t.Fatal(err)
	}
	return ref
}

const rowCount = 5_000_000

// job makes the users' table out of generated rows, with the numbering that
// depends on random(), and scores it.
func job(t *testing.T, conn *pgx.Conn, during func()) (answer string) {
	t.Helper()
	run(t, conn, "SET volley.seed = 7")
	ref := pushScore(t, conn)
	run(t, conn, `CREATE FUNCTION score_udf(user_id bigint, g1 float8, g2 float8, g3 float8, g4 float8, g5 float8,
		g6 float8, g7 float8, g8 float8, g9 float8, g10 float8)
		RETURNS TABLE (user_id bigint, prediction float8) AS '`+ref+`', 'Score' LANGUAGE go IMMUTABLE`)
	done := make(chan struct{})
	var wg sync.WaitGroup
	if during != nil {
		wg.Add(1)
		go func() { defer wg.Done(); during() }()
	}
	run(t, conn, fmt.Sprintf(`CREATE TABLE users AS SELECT *, user_id %% 10 AS partition_id FROM (
		SELECT g, g %% 2 AS a, g %% 3 AS b, random() AS c, row_number() OVER (ORDER BY random()) AS user_id FROM generate_series(1, %d) g) s`, rowCount))
	run(t, conn, `CREATE TABLE scored AS SELECT * FROM users GROUP BY partition_id
		APPLY score_udf(user_id, a, b, c, a, b, c, a, b, c, a)`)
	close(done)
	wg.Wait()
	var n, distinct, lo, hi int64
	query(t, conn, "SELECT count(*), count(DISTINCT user_id), min(user_id), max(user_id) FROM scored", &n, &distinct, &lo, &hi)
	if n != rowCount || distinct != rowCount || lo != 1 || hi != rowCount {
		t.Errorf("%d rows with %d ids in %d…%d, want %d of each", n, distinct, lo, hi, rowCount)
	}
	query(t, conn, `SELECT concat_ws(' ', (SELECT sum(user_id * g) FROM users), (SELECT sum(c * (user_id % 1000)) FROM users),
		(SELECT sum(prediction) FROM scored), (SELECT sum(prediction * (user_id % 977)) FROM scored))`, &answer)
	return answer
}

// TestKill kills a worker with SIGKILL while the job runs, at several moments.
// The answers must be those of an undisturbed run.
func TestKill(t *testing.T) {
	if testing.Short() {
		t.Skip("five million rows")
	}
	c := startCluster(t, 3)
	began := time.Now()
	want := job(t, c.connect(t), nil)
	took := time.Since(began)
	for _, share := range []float64{0.2, 0.5, 0.8} {
		t.Run(fmt.Sprintf("at %.0f%%", share*100), func(t *testing.T) {
			c := startCluster(t, 3)
			killed := make(chan string, 1)
			got := job(t, c.connect(t), func() {
				time.Sleep(time.Duration(share * float64(took)))
				// The worker that has most to lose.
				conn, err := pgx.Connect(context.Background(), c.coordinator.addr["postgres"])
				if err != nil {
					killed <- err.Error()
					return
				}
				defer conn.Close(context.Background())
				var id string
				var running int
				err = conn.QueryRow(context.Background(), "SELECT id, running FROM volley.workers WHERE id LIKE 'w%' ORDER BY running DESC, id LIMIT 1").Scan(&id, &running)
				if err != nil {
					killed <- err.Error()
					return
				}
				var n int
				fmt.Sscanf(id, "w%d", &n)
				_ = c.workers[n-1].cmd.Process.Kill()
				killed <- fmt.Sprintf("%s with %d tasks", id, running)
			})
			t.Logf("killed %s", <-killed)
			if got != want {
				t.Errorf("the answer is %s, without a kill it was %s", got, want)
			}
		})
	}
}

// TestStopped stops a worker (SIGSTOP): it is silent but its connections live.
func TestStopped(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for a lease to run out")
	}
	c := startCluster(t, 2)
	conn := c.connect(t)
	if err := c.workers[0].cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.workers[0].cmd.Process.Signal(syscall.SIGCONT) }()
	var sum int64
	query(t, conn, "SELECT sum(g) FROM generate_series(1, 3000000) g", &sum)
	if sum != 4500001500000 {
		t.Errorf("sum %d", sum)
	}
}

// TestCancel: cancelling a query on a cluster returns quickly and leaves it usable.
func TestCancel(t *testing.T) {
	c := startCluster(t, 2)
	conn := c.connect(t)
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := conn.Exec(ctx, "SELECT count(*) FROM generate_series(1, 10000000) a, generate_series(1, 100000) b WHERE a + b = 0")
	if err == nil {
		t.Error("a query of 10^12 rows has ended")
	}
	if d := time.Since(began); d > 2*time.Second {
		t.Errorf("cancelling took %v", d)
	}
	var one int
	query(t, c.connect(t), "SELECT count(*) FROM generate_series(1, 1000000) g", &one)
}
