package clients

import (
	"bytes"
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/volleydb/volley/catalog"
	"github.com/volleydb/volley/pgwire"
	"github.com/volleydb/volley/types"
)

var update = flag.Bool("update", false, "write what psql printed into testdata/psql.out")

// psql makes a command, skipping the test where there is no psql.
func (s *server) psql(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath("psql")
	if err != nil {
		t.Skip("psql is not installed")
	}
	cmd := exec.CommandContext(deadline(t), path, append([]string{"-X", "-h", s.host, "-p", s.port, "-U", "volley", "-d", "volley"}, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "PGTZ=UTC", "PAGER=cat", "PGCLIENTENCODING=UTF8")
	return cmd
}

// functions enters user-defined functions into the catalog, whose code
// nobody calls.
func (s *server) functions(t *testing.T) {
	t.Helper()
	tx := s.Store.Begin()
	f8 := types.T(types.Float8)
	digest := "sha256:" + strings.Repeat("ab", 32)
	for _, f := range []catalog.FunctionDef{
		{Schema: "public", Name: "score_udf", Args: []catalog.Arg{{Name: "x", Type: f8}, {Name: "n", Type: types.T(types.Int8)}}, Returns: f8,
			Language: "go", Digest: digest, Symbol: "Score", Source: "score@" + digest, Strict: true, Owner: "volley", Comment: "the score of a row"},
		{Schema: "public", Name: "twice", Args: []catalog.Arg{{Type: f8}}, Returns: f8, Language: "go", Digest: digest, Symbol: "Twice", Source: "score@" + digest, Owner: "volley"},
		{Schema: "public", Name: "f", Returns: f8, Language: "go", Digest: digest, Symbol: "F", Source: "score@" + digest, Owner: "volley"},
		{Schema: "public", Name: "mean_udf", Kind: catalog.FuncAggregate, Args: []catalog.Arg{{Name: "x", Type: f8}}, Returns: f8,
			Language: "go", Digest: digest, Symbol: "Mean", Source: "mean@" + digest, Owner: "volley"},
	} {
		if _, err := tx.CreateFunction(f, false); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(context.Background()); err != nil {
		t.Fatal(err)
	}
}

var errorPlace = regexp.MustCompile(`(?m)^psql:<stdin>:\d+: `)

// psql's commands and statements print what testdata/psql.out says, which was
// read by a person and compared with Postgres 15's.
func TestPsql(t *testing.T) {
	s := start(t, nil)
	s.functions(t)
	cmd := s.psql(t, "-a", "-f", "-")
	script, err := os.ReadFile(filepath.Join("testdata", "psql.sql"))
	if err != nil {
		t.Fatal(err)
	}
	version, _ := exec.Command(cmd.Path, "--version").Output()
	cmd.Stdin = bytes.NewReader(script)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out = errorPlace.ReplaceAll(out, nil)
	file := filepath.Join("testdata", "psql.out")
	if *update {
		if err := os.WriteFile(file, out, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(version), " 15.") {
		t.Skipf("the expected text is psql 15's: %s", version)
	}
	g, w := strings.Split(string(out), "\n"), strings.Split(string(want), "\n")
	for i := range max(len(g), len(w)) {
		if i >= len(g) || i >= len(w) || g[i] != w[i] {
			from := max(i-6, 0)
			t.Fatalf("line %d differs; got:\n%s\n\nwant:\n%s", i+1, strings.Join(g[from:min(i+6, len(g))], "\n"), strings.Join(w[from:min(i+6, len(w))], "\n"))
		}
	}
}

// Ctrl-C ends a running statement within a second, and the session lives on.
func TestPsqlInterrupt(t *testing.T) {
	for name, query := range map[string]string{
		"sleeps":     "select pg_sleep(60)",
		"aggregates": "select sum(a.x::int8 * b.x) from generate_series(1, 100000000) a(x), generate_series(1, 1000000) b(x)",
		"sorts":      "select count(*) from (select x, row_number() over (order by random()) r from generate_series(1, 300000000) g(x)) q",
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, nil)
			cmd := s.psql(t, "-A", "-t")
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			// psql on a pipe ends at an interrupt, after it has cancelled.
			cmd.Stdin = strings.NewReader(query + ";\nselect 'on';\n")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			s.waitFor(t, "active", true)
			time.Sleep(200 * time.Millisecond)
			begin := time.Now()
			if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			s.waitFor(t, "active", false)
			if d := time.Since(begin); d > time.Second {
				t.Errorf("the interrupt took %v", d)
			}
			if got := out.String(); !strings.Contains(got, "canceling statement due to user request") {
				t.Errorf("psql printed %q", got)
			}
		})
	}
}

// waitFor waits until there is another session in a state, or none any more.
func (s *server) waitFor(t *testing.T, state string, some bool) {
	t.Helper()
	sess := s.Session()
	defer sess.Close()
	for ctx := deadline(t); ; time.Sleep(10 * time.Millisecond) {
		r, err := sess.Run(ctx, "select 1 from pg_stat_activity where state = '"+state+"' and query not like '%pg_stat_activity%'")
		if err != nil {
			t.Fatal(err)
		}
		if (len(r.Rows) > 0) == some {
			return
		}
	}
}

// psql authenticates by SCRAM when the server asks for it.
func TestPsqlScram(t *testing.T) {
	s := start(t, func(c *pgwire.Config) { c.Auth = pgwire.AuthScram })
	s.run(t, "create role ann login password 'secret'")
	for _, tc := range []struct{ password, want string }{
		{"secret", "ann"},
		{"wrong", `FATAL:  password authentication failed for user "ann"`},
	} {
		cmd := s.psql(t, "-U", "ann", "-At", "-c", "select current_user")
		cmd.Env = append(cmd.Env, "PGPASSWORD="+tc.password)
		out, _ := cmd.CombinedOutput()
		if !strings.Contains(string(out), tc.want) {
			t.Errorf("with password %q: %s", tc.password, out)
		}
	}
}
