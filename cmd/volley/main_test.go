package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"
)

// asVolley makes a child of this test binary be the command.
const asVolley = "TEST_RUN_AS_VOLLEY"

func TestMain(m *testing.M) {
	if os.Getenv(asVolley) != "" {
		main()
		return
	}
	// Neither the user's data nor settings may have a say.
	home, err := os.MkdirTemp("", "volley-test-home-")
	if err != nil {
		panic(err)
	}
	for _, kv := range os.Environ() {
		if k, _, _ := strings.Cut(kv, "="); strings.HasPrefix(k, envPrefix) || strings.HasPrefix(k, "PG") {
			os.Unsetenv(k)
		}
	}
	os.Setenv("XDG_DATA_HOME", home)
	code := m.Run()
	http.DefaultClient.CloseIdleConnections()
	if err := goleak.Find(goleak.IgnoreTopFunction("github.com/golang/glog.(*fileSink).flushDaemon")); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.RemoveAll(home)
	os.Exit(code)
}

// process is a running volley.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	stderr *syncBuffer
	lines  []string // of stdout up to "ready"
	done   chan error
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// start runs volley in a process group of its own and waits until it says ready.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: exec.Command(exe, args...), stderr: &syncBuffer{}, done: make(chan error, 1)}
	p.cmd.Env = append(os.Environ(), asVolley+"=1")
	p.cmd.Stderr = p.stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s\n%s", strings.Join(args, " "), p.stderr)
		}
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // mostly gone
	})
	ready := make(chan struct{})
	go func() {
		s := bufio.NewScanner(out)
		said := false
		for s.Scan() {
			if !said {
				p.lines = append(p.lines, s.Text())
				if said = s.Text() == "ready"; said {
					close(ready)
				}
			}
		}
		p.done <- p.cmd.Wait()
	}()
	select {
	case <-ready:
	case err := <-p.done:
		t.Fatalf("ended before it was ready: %v\n%s", err, p.stderr)
	case <-time.After(2 * time.Minute):
		t.Fatalf("not ready after two minutes\n%s", p.stderr)
	}
	return p
}

// address is what follows the word on a line of stdout.
func (p *process) address(word string) string {
	p.t.Helper()
	for _, l := range p.lines {
		if a, ok := strings.CutPrefix(l, word); ok {
			return strings.TrimSpace(a)
		}
	}
	p.t.Fatalf("no %s in %q", word, p.lines)
	return ""
}

func (p *process) url() string { return "postgres://" + p.address("postgres://") }

// stop sends SIGTERM and expects exit 0 and no child left behind.
func (p *process) stop() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	select {
	case err := <-p.done:
		if err != nil {
			p.t.Fatalf("SIGTERM: %v\n%s", err, p.stderr)
		}
	case <-time.After(20 * time.Second):
		p.t.Fatalf("still there 20 s after SIGTERM\n%s", p.stderr)
	}
	if err := syscall.Kill(-p.cmd.Process.Pid, 0); !errors.Is(err, syscall.ESRCH) {
		p.t.Errorf("a child process was left behind (%v)", err)
	}
}

func serveArgs(dir string, more ...string) []string {
	return append([]string{"serve", "--data", dir, "--listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"}, more...)
}

// volley runs a command in this process.
func volley(stdin string, args ...string) (stdout, stderr string, code int) {
	var o, e bytes.Buffer
	code = run(args, strings.NewReader(stdin), &o, &e)
	return o.String(), e.String(), code
}

// must is volley for commands that have to succeed.
func must(t *testing.T, args ...string) string {
	t.Helper()
	out, errs, code := volley("", args...)
	if code != 0 {
		t.Fatalf("volley %s: exit %d\n%s", strings.Join(args, " "), code, errs)
	}
	return out
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(b)
}

// A server answers drivers and probes, keeps its data, and ends at SIGTERM.
func TestServe(t *testing.T) {
	dir := t.TempDir()
	p := start(t, serveArgs(dir, "--set", "application_name=from the flag")...)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, p.url())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(ctx, "CREATE TABLE t AS SELECT g AS id, g * 2 AS twice FROM generate_series(1, 1000) g"); err != nil {
		t.Fatal(err)
	}
	var n, sum int64
	if err := conn.QueryRow(ctx, "SELECT count(*), sum(twice)::bigint FROM t WHERE id > $1", 10).Scan(&n, &sum); err != nil {
		t.Fatal(err)
	}
	if n != 990 || sum != 1000890 {
		t.Errorf("got %d rows, sum %d", n, sum)
	}
	var source string
	if err := conn.QueryRow(ctx, "SELECT source FROM pg_settings WHERE name = 'application_name'").Scan(&source); err != nil || source != fromFlag {
		t.Errorf("source of application_name: %q, %v", source, err)
	}
	web := "http://" + p.address("http ")
	for _, path := range []string{"/healthz", "/readyz"} {
		if code, body := get(t, web+path); code != 200 {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	_, metrics := get(t, web+"/metrics")
	for _, m := range []string{"volley_connections 1\n", `volley_workers{state="up"} 1`, "volley_queries_running 0\n", "go_goroutines "} {
		if !strings.Contains(metrics, m) {
			t.Errorf("no %q among the metrics", m)
		}
	}
	_, errs, code := volley("", "sql", "--data", dir, "-c", "SELECT 1")
	if code != 1 || !strings.Contains(errs, "is in use by another Volley process") {
		t.Errorf("a second process on the data directory: exit %d, %s", code, errs)
	}
	if out := must(t, "sql", "--host", p.url(), "--format", "csv", "-c", "SELECT count(*) FROM t"); out != "count\n1000\n" {
		t.Errorf("volley sql --host: %q", out)
	}
	p.stop()
	if err := conn.Ping(ctx); err == nil {
		t.Error("the connection outlived the server")
	}
	if out := must(t, "sql", "--data", dir, "--format", "csv", "-c", "SELECT count(*) FROM t"); out != "count\n1000\n" {
		t.Errorf("after the end of the server: %q", out)
	}
}

// A statement that runs at SIGTERM is cancelled after the grace period.
func TestShutdownCancels(t *testing.T) {
	p := start(t, serveArgs(t.TempDir(), "--grace", "100ms")...)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, p.url())
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	go func() {
		_, err := conn.Exec(ctx, "SELECT count(*) FROM generate_series(1, 100000000000) g WHERE g % 7 = 8")
		failed <- err
	}()
	for i := 0; ; i++ {
		if _, m := get(t, "http://"+p.address("http ")+"/metrics"); strings.Contains(m, "volley_queries_running 1\n") {
			break
		}
		if i > 500 {
			t.Fatal("the query does not run")
		}
		time.Sleep(20 * time.Millisecond)
	}
	p.stop()
	if err := <-failed; err == nil || ctx.Err() != nil {
		t.Errorf("the statement ended with %v", err)
	}
}

// Functions travel from source to a server's process and end with it.
func TestUDFOverTheWire(t *testing.T) {
	needGo(t)
	file := filepath.Join(t.TempDir(), "n.vudf")
	built := must(t, "udf", "build", "../../examples/normalize", "-o", file)
	ref, _, _ := strings.Cut(built, "\n")
	if !strings.HasPrefix(ref, "normalize@sha256:") {
		t.Fatalf("udf build said %q", built)
	}
	dir := t.TempDir()
	p := start(t, serveArgs(dir)...)
	pushed := must(t, "udf", "push", file, "--host", p.url())
	got, declaration, _ := strings.Cut(pushed, "\n\n")
	if got != ref {
		t.Errorf("udf push said %q, build %q", got, ref)
	}
	if list := must(t, "udf", "list", "--host", p.url()); !strings.HasPrefix(list, ref) || !strings.Contains(list, "scalar") {
		t.Errorf("udf list: %q", list)
	}
	out := must(t, "sql", "--host", p.url(), "--format", "csv", "-c", declaration, "-c", `SELECT public.normalize('  A  b ') AS n`)
	if !strings.HasPrefix(out, "n\n") || strings.Contains(out, "A") {
		t.Errorf("the function gave %q", out)
	}
	p.stop() // and the plugin's process
	if list := must(t, "udf", "list", "--data", dir); !strings.HasPrefix(list, ref) {
		t.Errorf("udf list --data: %q", list)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, errs, code := volley("", "udf", "push", file, "--data", dir); code != 1 || !strings.Contains(errs, "not an artifact") {
		t.Errorf("a damaged artifact: exit %d, %s", code, errs)
	}
}

// Workers join, run the plans, and leave at SIGTERM.
func TestCluster(t *testing.T) {
	c := start(t, "coordinator", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0", "--http-listen", "")
	var workers []*process
	for _, id := range []string{"a", "b"} {
		workers = append(workers, start(t, "worker", "--coordinator", c.address("grpc "), "--data", t.TempDir(), "--id", id))
	}
	query := []string{"sql", "--host", c.url(), "--format", "csv"}
	up := func() string {
		return must(t, append(query, "-c", "SELECT string_agg(id, ' ' ORDER BY id) AS ids FROM volley.workers WHERE id <> 'embedded'")...)
	}
	wait := func(want string) {
		t.Helper()
		for i := 0; up() != want; i++ {
			if i == 200 {
				t.Fatalf("workers: %q, want %q", up(), want)
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	wait("ids\na b\n")
	out := must(t, append(query, "-c", "CREATE TABLE t AS SELECT g AS id FROM generate_series(1, 100000) g",
		"-c", "SELECT count(*) AS n, count(DISTINCT id) AS d FROM t")...)
	if out != "n,d\n100000,100000\n" {
		t.Errorf("got %q", out)
	}
	workers[0].stop()
	wait("ids\nb\n")
	if out := must(t, append(query, "-c", "SELECT count(*) AS n FROM t")...); out != "n\n100000\n" {
		t.Errorf("with one worker: %q", out)
	}
	workers[1].stop()
	c.stop()
}

// A worker does not touch a directory that another process uses, and finds one
// of its own when none is given.
func TestWorkerDirs(t *testing.T) {
	a, lockA, err := claimWorkerDir("")
	if err != nil {
		t.Fatal(err)
	}
	b, lockB, err := claimWorkerDir("")
	if err != nil {
		t.Fatal(err)
	}
	if a == b || filepath.Base(a) != "worker-1" || filepath.Base(b) != "worker-2" {
		t.Errorf("got %s and %s", a, b)
	}
	if _, _, err := claimWorkerDir(a); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("the directory was taken twice: %v", err)
	}
	if err := errors.Join(lockA.Close(), lockB.Close()); err != nil {
		t.Fatal(err)
	}
	c, lockC, err := claimWorkerDir("")
	if err != nil || c != a {
		t.Errorf("the free directory was not taken again: %s, %v", c, err)
	}
	_ = lockC.Close()
}

func TestDemo(t *testing.T) {
	needGo(t)
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	out := must(t, "demo", "--rows", "1000")
	if !strings.Contains(out, "agree for all 1000 users") {
		t.Errorf("the demo said:\n%s", out)
	}
	if left, _ := filepath.Glob(filepath.Join(tmp, "volley-*")); len(left) > 0 {
		t.Errorf("it left %v behind", left)
	}
	t.Setenv("PATH", tmp)
	if out := must(t, "demo", "--rows", "10"); !strings.Contains(out, "there is no go tool") {
		t.Errorf("without Go the demo said:\n%s", out)
	}
}
