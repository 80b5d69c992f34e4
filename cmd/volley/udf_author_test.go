package main

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/volleydb/volley/pgerr"
)

func needGo(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("there is no Go toolchain")
	}
}

// What volley udf new writes passes go test with go vet, and its golden cases; and
// the call that its README shows works.
func TestNewPlugins(t *testing.T) {
	needGo(t)
	for _, runtime := range []string{"go", "python"} {
		for _, kind := range pluginKinds {
			t.Run(runtime+"/"+kind, func(t *testing.T) {
				if runtime == "python" {
					if _, err := exec.LookPath("python3"); err != nil {
						t.Skip("there is no Python")
					}
					if kind == "vectorised" && exec.Command("python3", "-c", "import numpy").Run() != nil {
						t.Skip("there is no numpy")
					}
				}
				dir := filepath.Join(t.TempDir(), "mine")
				said := must(t, "udf", "new", dir, "--kind", kind, "--runtime", runtime)
				out := must(t, "udf", "test", dir)
				if want := regexp.MustCompile(`(?m)^ok  \tmine\(.*\d golden cases$`); !want.MatchString(out) || runtime == "go" && strings.Contains(out, "\t0 golden") {
					t.Errorf("udf test: %s", out)
				}
				if runtime == "go" {
					if out, err := vet(dir); err != nil {
						t.Errorf("go vet: %v\n%s", err, out)
					}
				}
				_, call, _ := strings.Cut(said, "there:\n")
				rows, errs, code := volley(call, "udf", "dev", dir, "--sql", "--data", t.TempDir())
				if code != 0 || !strings.Contains(rows, "row") || strings.Contains(errs, "ERROR") {
					t.Errorf("udf dev --sql: exit %d\n%s\n%s", code, rows, errs)
				}
			})
		}
	}
	for _, args := range [][]string{{"x", "--kind", "nothing"}, {"x", "--runtime", "cobol"}, {"1x"}, {"select"}} {
		if _, errs, code := volley("", append([]string{"udf", "new"}, args...)...); code == 0 {
			t.Errorf("udf new %v succeeds: %s", args, errs)
		}
	}
}

// vet runs go vet as an author would: the SDK is in the directory.
func vet(dir string) ([]byte, error) {
	cmd := exec.Command("go", "vet", "./...")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "GOWORK=off")
	return cmd.CombinedOutput()
}

// The shell of dev --sql takes a change in without being left, others do not see its
// functions, and what changes its type or goes away is replaced.
func TestDevShell(t *testing.T) {
	needGo(t)
	p := start(t, serveArgs(t.TempDir())...)
	defer p.stop()
	dir := filepath.Join(t.TempDir(), "score")
	must(t, "udf", "new", dir)
	in, feed := io.Pipe()
	out, errs := &syncBuffer{}, &syncBuffer{}
	done := make(chan int, 1)
	go func() {
		done <- run([]string{"udf", "dev", dir, "--sql", "--host", p.url()}, in, out, errs)
	}()
	waitFor := func(b *syncBuffer, text string) {
		t.Helper()
		for end := time.Now().Add(2 * time.Minute); !strings.Contains(b.String(), text); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("no %q in\n%s\n%s", text, out, errs)
			}
		}
	}
	waitFor(errs, "serving pg_temp.score(x double precision, y double precision) returns double precision")
	io.WriteString(feed, "SELECT 'first', pg_temp.score(1, 2);\n")
	waitFor(out, "first    |     4")
	if _, errs, code := volley("", "sql", "--host", p.url(), "-c", "SELECT pg_temp.score(1, 2)"); code == 0 || !strings.Contains(errs, "does not exist") {
		t.Errorf("another session: %d %s", code, errs)
	}
	change(t, dir, "return 2*x + y", "return 3*x + y")
	waitFor(errs, "golden case 1") // which does not hold any more: nothing is registered
	rewrite(t, filepath.Join(dir, "golden.json"), "{}")
	for end := time.Now().Add(time.Minute); strings.Count(errs.String(), "serving after") < 2; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(errs.String())
		}
	}
	// Not in the middle of a transaction.
	io.WriteString(feed, "BEGIN;\n")
	waitFor(out, "BEGIN")
	change(t, dir, "func score(x, y float64) float64", "func score(x, y float64) string", "return 3*x + y", `return "changed"`)
	time.Sleep(500 * time.Millisecond)
	io.WriteString(feed, "SELECT 'inside', pg_temp.score(1, 2);\nCOMMIT;\n")
	waitFor(out, "COMMIT")
	waitFor(errs, "returns text")
	io.WriteString(feed, "SELECT pg_temp.score(1, 2);\n")
	waitFor(out, "changed")
	if !strings.Contains(out.String(), "inside   |     5") {
		t.Errorf("the transaction saw another version: %s", out)
	}
	feed.Close()
	if code := <-done; code != 0 {
		t.Errorf("exit %d\n%s", code, errs)
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		rows := must(t, "sql", "--host", p.url(), "-c", "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'pg_temp%'")
		if strings.Contains(rows, " 0") {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("left behind: %s", rows)
		}
	}
}

// change replaces texts in main.go, in pairs.
func change(t *testing.T, dir string, pairs ...string) {
	t.Helper()
	file := filepath.Join(dir, "main.go")
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	rewrite(t, file, strings.NewReplacer(pairs...).Replace(string(src)))
	// The function's own test is not what is tested here.
	_ = os.Remove(filepath.Join(dir, "main_test.go"))
}

func rewrite(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// From an empty directory to the first row that psql shows, and from a change of one
// line to the new version. The goals are 60 s and 5 s on a quiet machine whose Go has
// been used before; the bounds here leave room for busy ones.
func TestTimeToFirstRow(t *testing.T) {
	needGo(t)
	psql, err := exec.LookPath("psql")
	if err != nil {
		found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/psql")
		if len(found) > 0 {
			psql = found[0]
		}
	}
	work := t.TempDir()
	begun := time.Now()
	p := start(t, serveArgs(filepath.Join(work, "data"))...)
	defer p.stop()
	ask := func(sql string) string {
		if psql == "" {
			out, _, _ := volley("", "sql", "--host", p.url(), "--format", "csv", "-c", sql)
			lines := strings.Split(strings.TrimSpace(out), "\n")
			return lines[len(lines)-1]
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, psql, "-X", "-A", "-t", "-d", p.url(), "-c", sql)
		cmd.Env = append(os.Environ(), "PGUSER=volley", "PGDATABASE=volley")
		out, _ := cmd.Output()
		return strings.TrimSpace(string(out))
	}
	until := func(sql, want string, bound time.Duration) {
		t.Helper()
		for end := time.Now().Add(bound); ; time.Sleep(20 * time.Millisecond) {
			got := ask(sql)
			if got == want {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%s gives %q after %v, want %q", sql, got, bound, want)
			}
		}
	}
	dir := filepath.Join(work, "score")
	must(t, "udf", "new", dir)
	errs := &syncBuffer{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		cmd := newRoot()
		cmd.SetArgs([]string{"udf", "dev", dir, "--host", p.url()})
		cmd.SetOut(errs)
		cmd.SetErr(errs)
		if err := cmd.ExecuteContext(ctx); err != nil {
			t.Errorf("udf dev: %v (%s)\n%s", err, pgerr.From(err).Detail, errs)
		}
	}()
	defer func() { cancel(); <-done }()
	until("SELECT score(20, 2)", "42", 3*time.Minute)
	t.Logf("from an empty directory to the first row: %v (psql: %v)", time.Since(begun).Round(10*time.Millisecond), psql != "")
	rewrite(t, filepath.Join(dir, "golden.json"), "{}")
	for strings.Count(errs.String(), "serving after") < 2 {
		time.Sleep(10 * time.Millisecond)
	}
	for i, c := range []string{"3*x + y", "4*x + y", "5*x + y"} {
		begun = time.Now()
		change(t, dir, []string{"2*x + y", "3*x + y", "4*x + y"}[i], c)
		until("SELECT score(20, 2)", []string{"62", "82", "102"}[i], time.Minute)
		t.Logf("from a change to the new version: %v", time.Since(begun).Round(10*time.Millisecond))
	}
}
