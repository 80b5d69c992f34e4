package registry

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/test/engine"
	"github.com/volleydb/volley/udf"
)

// source is a plugin of which two versions are built: N is in its results.
const source = `package main

import (
	"time"

	"github.com/volleydb/volley/udf/sdk"
)

const N = %d

var rows int

func slow(x int64) int64 {
	if rows++; rows%%1000 == 0 {
		time.Sleep(5 * time.Millisecond)
	}
	return N
}

func main() {
	udf.Main(
		udf.Version("%d.0"),
		udf.Scalar("tag", func(x int64) int64 { return N }, udf.Immutable, udf.Args("x"), udf.Doc("the version's number")),
		udf.Scalar("slow", slow),
		udf.Scalar("%s", func(x string) string { return x }, udf.Immutable),
		udf.Aggregate("most", nil, func(s *int64, x int64) { *s = N }, func(into, from *int64) { *into = max(*into, *from) },
			func(s *int64) int64 { return *s }, udf.Immutable),
	)
}
`

var (
	buildOnce sync.Once
	built     [2]string
	buildDir  string
	buildErr  error
)

func TestMain(m *testing.M) {
	code := m.Run()
	_ = os.RemoveAll(buildDir)
	os.Exit(code)
}

// artifacts builds both versions once, and uploads them.
func artifacts(t *testing.T, e *engine.Engine) (v1, v2 string) {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("there is no Go toolchain: plugins cannot be built")
	}
	buildOnce.Do(func() {
		if buildDir, buildErr = os.MkdirTemp("", "volley-registry"); buildErr != nil {
			return
		}
		for i, only := range []string{"old", "fresh"} {
			dir := filepath.Join(buildDir, fmt.Sprint("v", i), "vers")
			if buildErr = os.MkdirAll(dir, 0o755); buildErr != nil {
				return
			}
			if buildErr = os.WriteFile(filepath.Join(dir, "main.go"), fmt.Appendf(nil, source, i+1, i+1, only), 0o644); buildErr != nil {
				return
			}
			built[i] = filepath.Join(buildDir, fmt.Sprint(i, ".vudf"))
			if _, buildErr = udf.Build(context.Background(), dir, udf.BuildOptions{Name: "vers", Output: built[i]}); buildErr != nil {
				return
			}
		}
	})
	if buildErr != nil {
		t.Fatalf("building the plugin: %v (%s)", buildErr, pgerr.From(buildErr).Detail)
	}
	var refs [2]string
	for i := range built {
		digest, err := e.Artifacts.PutFile(context.Background(), built[i])
		if err != nil {
			t.Fatal(err)
		}
		refs[i] = "vers@" + digest
	}
	return refs[0], refs[1]
}

// client runs statements and compares.
type client struct {
	t *testing.T
	*engine.Session
}

func connect(t *testing.T, e *engine.Engine, user string) client {
	t.Helper()
	s := e.SessionOf(user)
	t.Cleanup(s.Close)
	return client{t, s}
}

func (c client) run(sql string) *engine.Rows {
	c.t.Helper()
	return c.Must(c.t, sql)
}

// want checks rows: values with |, rows with a space.
func (c client) want(sql, rows string) {
	c.t.Helper()
	c.Want(c.t, sql, rows)
}

// fails checks an error: its SQLSTATE, and what message, detail and hint contain.
func (c client) fails(sql, code string, parts ...string) {
	c.t.Helper()
	c.Fails(c.t, sql, code, parts...)
}

func (c client) create(ref, name, symbol, options string) {
	c.t.Helper()
	c.run(fmt.Sprintf("CREATE OR REPLACE FUNCTION %s(x bigint) RETURNS bigint LANGUAGE go %s AS '%s', '%s'", name, options, ref, symbol))
}

func TestVersions(t *testing.T) {
	e := engine.Start(t, 0)
	v1, v2 := artifacts(t, e)
	c := connect(t, e, "")
	c.create(v1, "f", "tag", "")
	c.create(v2, "f", "tag", "")
	c.want(`SELECT f(1), "f@1"(1), "f@2"(1), public."f@1"(5)`, "2|1|2|1")
	c.want(`SELECT "f@1"(x) a, count(*) FROM generate_series(1, 3) x GROUP BY "f@1"(x)`, "1|3")
	c.fails(`SELECT "f@7"(1)`, "42883", "function f@7(integer) does not exist", "f(bigint) has versions 1 to 2")
	c.run(`BEGIN; ALTER FUNCTION f(bigint) SET volley.version = '1'`)
	c.want(`SELECT f(1)`, "1")
	c.run(`ROLLBACK`)
	c.want(`SELECT f(1)`, "2")
	c.run(`ALTER FUNCTION f SET volley.version = 1`)
	c.want(`SELECT f(1)`, "1")
	c.create(v2, "f", "tag", "")
	if len(c.Notices) == 0 || !strings.Contains(c.Notices[0], "keeps version 1, and this one is 3") {
		t.Errorf("notices: %q", c.Notices)
	}
	c.want(`SELECT f(1)`, "1")
	c.want(`SELECT function, version, active, canary, created_by, digest LIKE 'sha256:%' FROM volley.function_versions ORDER BY version`,
		"public.f(bigint)|1|t|NULL|volley|t public.f(bigint)|2|f|NULL|volley|t public.f(bigint)|3|f|NULL|volley|t")
	c.want(`SELECT proconfig FROM pg_proc WHERE proname = 'f'`, "{volley.version=1}")
	c.run(`ALTER FUNCTION f(bigint) RESET volley.version`)
	c.want(`SELECT f(1)`, "2")
	c.run(`SET volley.function_versions = 'public.f=1, other=4'`)
	c.want(`SELECT f(1), "f@2"(1)`, "1|2")
	c.want(`SELECT f(1) FROM (SELECT 1) s`, "1")
	c.run(`SET volley.function_versions = 'f=9'`)
	c.fails(`SELECT f(1)`, "42883", "asks for version 9")
	c.fails(`SET volley.function_versions = 'f=zero'`, "22023")
	c.run(`RESET volley.function_versions`)
	c.fails(`ALTER FUNCTION f(bigint) SET volley.version = '8'`, "42704", "has no version 8")
	c.fails(`CREATE FUNCTION "g@2"(x bigint) RETURNS bigint LANGUAGE go AS '`+v1+`', 'tag'`, "42939")
	c.fails(`CREATE OR REPLACE FUNCTION f(x bigint) RETURNS text LANGUAGE go AS '`+v1+`', 'tag'`, "42P13")

	c.run(`ALTER FUNCTION f(bigint) STABLE STRICT COST 7 SECURITY DEFINER SET volley.memory = '64MB'`)
	c.want(`SELECT provolatile, proisstrict, procost, prosecdef, proconfig FROM pg_proc WHERE proname = 'f'`, "s|t|7|t|{volley.memory=64MB}")
	c.run(`ALTER FUNCTION f(bigint) RESET volley.memory`)
	c.fails(`ALTER FUNCTION f(bigint) SET volley.nothing = 1`, "42704")
	c.run(`ALTER FUNCTION f(bigint) RENAME TO g; CREATE SCHEMA s; ALTER FUNCTION g(bigint) SET SCHEMA s; COMMENT ON FUNCTION s.g(bigint) IS 'moved'`)
	c.want(`SELECT s.g(1), s."g@1"(1), obj_description('s.g(bigint)'::regprocedure, 'pg_proc')`, "2|1|moved")
	c.run(`CREATE OR REPLACE AGGREGATE m(bigint) (ARTIFACT = '` + v1 + `', SYMBOL = 'most'); CREATE OR REPLACE AGGREGATE m(bigint) (ARTIFACT = '` + v2 + `', SYMBOL = 'most')`)
	c.want(`SELECT m(x), "m@1"(x), "m@2"(x) FROM generate_series(1, 3) x`, "2|1|2")
}

func TestVersionsSurviveRestart(t *testing.T) {
	dir := t.TempDir()
	e := engine.Open(t, dir, 0)
	v1, v2 := artifacts(t, e)
	c := connect(t, e, "")
	c.create(v1, "f", "tag", "")
	c.create(v2, "f", "tag", "")
	c.run(`ALTER FUNCTION f SET volley.version = 1 SET volley.canary = '2:100%'; CREATE ROLE ann LOGIN;
		REVOKE EXECUTE ON FUNCTION f(bigint) FROM PUBLIC; COMMENT ON LANGUAGE wasm IS 'sandboxed';
		ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT EXECUTE ON FUNCTIONS TO ann; CREATE SCHEMA x; CREATE EXTENSION vers VERSION '1.0' SCHEMA x`)
	e.Stop()
	e = engine.Open(t, dir, 0)
	defer e.Stop()
	c = connect(t, e, "")
	c.want(`SELECT f(1), "f@1"(1), x.tag(1)`, "2|1|1")
	c.want(`SELECT proacl, proconfig FROM pg_proc WHERE oid = 'f(bigint)'::regprocedure`, "{volley=X/volley}|{volley.canary=2:100%,volley.version=1}")
	c.want(`SELECT obj_description(oid, 'pg_language') FROM pg_language WHERE lanname = 'wasm'`, "sandboxed")
	c.want(`SELECT extname, extversion FROM pg_extension`, "vers|1.0")
	c.want(`SELECT defaclobjtype, defaclacl FROM pg_default_acl`, "f|{ann=X/volley}")
}

// A canary takes the same rows however the query is cut.
func TestCanary(t *testing.T) {
	var first string
	for _, workers := range []int{0, 2} {
		e := engine.Start(t, workers)
		v1, v2 := artifacts(t, e)
		c := connect(t, e, "")
		c.create(v1, "f", "tag", "")
		c.create(v2, "f", "tag", "")
		c.fails(`ALTER FUNCTION f(bigint) SET volley.canary = '2:5%'`, "22023", "is the current version")
		c.fails(`ALTER FUNCTION f(bigint) SET volley.canary = '2:500%'`, "22023")
		c.run(`ALTER FUNCTION f(bigint) SET volley.version = '1'; ALTER FUNCTION f(bigint) SET volley.canary = '2:5%'; SET volley.rows_per_task = 2000`)
		r := c.run(`SELECT count(*) FILTER (WHERE f(x) = 2), sum(x) FILTER (WHERE f(x) = 2), count(*) FROM generate_series(1, 20000) x`)
		got := strings.Join(r.Rows[0], "|")
		if first == "" {
			first = got
		}
		var n int
		fmt.Sscan(r.Rows[0][0], &n)
		if got != first || n < 850 || n > 1150 {
			t.Errorf("%d workers: %s, want %s and about 1000 rows", workers, got, first)
		}
		plan := ""
		for _, l := range c.run(`EXPLAIN SELECT f(x) FROM generate_series(1, 20) x`).Rows {
			plan += l[0] + "\n"
		}
		if !strings.Contains(plan, "canary") || !strings.Contains(plan, "@2") || !strings.Contains(plan, "@1") {
			t.Errorf("EXPLAIN does not show the canary:\n%s", plan)
		}
		c.want(`SELECT version, active, canary FROM volley.function_versions ORDER BY version`, "1|t|NULL 2|f|5")
		c.run(`ALTER FUNCTION f(bigint) SET volley.version = '2'`)
		c.want(`SELECT count(*) FROM generate_series(1, 2000) x WHERE f(x) = 2`, "2000")
		c.want(`SELECT canary FROM volley.function_versions ORDER BY version`, "NULL NULL")
	}
}

// A query that runs while its function is replaced again and again calls one version.
func TestOneDigestPerQuery(t *testing.T) {
	e := engine.Start(t, 2)
	v1, v2 := artifacts(t, e)
	c, d := connect(t, e, ""), connect(t, e, "")
	c.create(v1, "f", "slow", "")
	c.run(`SET volley.rows_per_task = 10000`)
	done := make(chan struct{})
	var first string
	go func() {
		defer close(done)
		r, err := c.Run(context.Background(), `SELECT min(v), max(v), count(*) FROM (SELECT f(x) v FROM generate_series(1, 2000000) x) s`)
		if err != nil {
			t.Error(err)
			return
		}
		first = strings.Join(r.Rows[0], "|")
	}()
	replaced := 0
	for i := range 100 {
		select {
		case <-done:
		default:
			replaced++
		}
		d.create([]string{v2, v1}[i%2], "f", "slow", "")
	}
	<-done
	t.Logf("%d of 100 replacements while the query ran", replaced)
	if replaced < 10 || first != "1|1|2000000" && first != "2|2|2000000" {
		t.Errorf("%d replacements, result %s", replaced, first)
	}
	d.want(`SELECT count(*) FROM volley.function_versions`, "101")
}

func TestExtension(t *testing.T) {
	e := engine.Start(t, 0)
	artifacts(t, e)
	c := connect(t, e, "")
	c.fails(`CREATE EXTENSION nothing`, "0A000", "is not available")
	c.fails(`CREATE EXTENSION vers VERSION '9.9'`, "22023")
	c.run(`CREATE EXTENSION vers VERSION '1.0'`)
	c.fails(`CREATE EXTENSION vers`, "42710", `extension "vers" already exists`)
	c.run(`CREATE EXTENSION IF NOT EXISTS vers`)
	c.want(`SELECT tag(1), old('x'), most(2)`, "1|x|1")
	c.want(`SELECT extname, extversion, extnamespace::regnamespace FROM pg_extension`, "vers|1.0|public")
	c.want(`SELECT pg_describe_object(classid, objid, 0) FROM pg_depend WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e' ORDER BY 1`,
		"function most(bigint) function old(text) function slow(bigint) function tag(bigint)")
	c.fails(`DROP FUNCTION tag(bigint)`, "2BP01", "cannot drop function tag(bigint) because extension vers requires it", "You can drop extension vers instead.")
	c.run(`CREATE VIEW v AS SELECT old('a') AS o, tag(1) AS t; COMMENT ON EXTENSION vers IS 'for tests'`)
	c.fails(`ALTER EXTENSION vers UPDATE`, "2BP01", "view v depends on function old(text)")
	c.want(`SELECT tag(1), extversion FROM pg_extension`, "1|1.0")
	c.run(`DROP VIEW v; CREATE VIEW v AS SELECT tag(1) AS t`)
	c.run(`BEGIN; ALTER EXTENSION vers UPDATE TO '2.0'`)
	c.want(`SELECT tag(1), fresh('x'), (SELECT most(2)), t FROM v`, "2|x|2|2")
	c.run(`ROLLBACK`)
	c.want(`SELECT tag(1), old('x')`, "1|x")
	c.run(`ALTER EXTENSION vers UPDATE`)
	c.want(`SELECT tag(1), "tag@1"(1), fresh('x'), extversion FROM pg_extension`, "2|1|x|2.0")
	c.fails(`SELECT old('x')`, "42883")
	c.run(`ALTER EXTENSION vers UPDATE TO '1.0'`)
	c.want(`SELECT tag(1), count(*) FROM volley.function_versions WHERE function LIKE 'public.tag%'`, "1|2")
	c.fails(`DROP EXTENSION vers`, "2BP01", "cannot drop extension vers because other objects depend on it", "view v depends on function tag(bigint)")
	c.run(`DROP EXTENSION vers CASCADE; DROP EXTENSION IF EXISTS vers`)
	c.want(`SELECT count(*) FROM pg_extension`, "0")
	c.fails(`SELECT tag(1)`, "42883")
	c.fails(`SELECT * FROM v`, "42P01")
	c.run(`CREATE SCHEMA s; CREATE EXTENSION vers SCHEMA s; DROP SCHEMA s CASCADE`)
	c.want(`SELECT count(*) FROM pg_extension`, "0")
}

func TestRights(t *testing.T) {
	e := engine.Start(t, 0)
	v1, _ := artifacts(t, e)
	c := connect(t, e, "")
	c.create(v1, "f", "tag", "")
	c.run(`CREATE AGGREGATE m(bigint) (ARTIFACT = '` + v1 + `', SYMBOL = 'most'); CREATE ROLE ann LOGIN; CREATE ROLE bob LOGIN; CREATE VIEW v AS SELECT f(1) AS x`)
	ann := connect(t, e, "ann")
	ann.want(`SELECT f(1), m(1), x FROM v GROUP BY x`, "1|1|1")
	c.want(`SELECT proacl FROM pg_proc WHERE proname = 'f'`, "NULL")
	c.run(`REVOKE EXECUTE ON FUNCTION f(bigint), m(bigint) FROM PUBLIC`)
	c.want(`SELECT proacl FROM pg_proc WHERE proname = 'f'`, "{volley=X/volley}")
	ann.fails(`SELECT f(1)`, "42501", "permission denied for function f")
	ann.fails(`SELECT "f@1"(1)`, "42501", "permission denied for function f")
	ann.fails(`EXPLAIN SELECT m(1)`, "42501", "permission denied for aggregate m")
	ann.fails(`SELECT * FROM v`, "42501", "permission denied for function f")
	ann.fails(`GRANT EXECUTE ON FUNCTION f(bigint) TO ann`, "42501", "permission denied for function f")
	c.run(`GRANT EXECUTE ON FUNCTION f TO ann WITH GRANT OPTION`)
	c.want(`SELECT proacl FROM pg_proc WHERE proname = 'f'`, "{volley=X/volley,ann=X*/volley}")
	ann.want(`SELECT f(1)`, "1")
	ann.run(`GRANT ALL ON FUNCTION f(bigint) TO bob`)
	c.want(`SELECT has_function_privilege('ann', 'f(bigint)', 'EXECUTE'), has_function_privilege('bob', 'f(bigint)', 'EXECUTE'), has_function_privilege('bob', 'm(bigint)', 'EXECUTE')`, "t|t|f")
	c.run(`GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO PUBLIC`)
	c.want(`SELECT proacl FROM pg_proc WHERE proname = 'm'`, "{=X/volley,volley=X/volley}")
	c.fails(`GRANT SELECT ON FUNCTION f(bigint) TO ann`, "0LP01", "invalid privilege type SELECT for function")
	c.fails(`GRANT EXECUTE ON FUNCTION f(bigint) TO nobody`, "42704", `role "nobody" does not exist`)
	c.fails(`GRANT EXECUTE ON FUNCTION f(bigint) TO PUBLIC WITH GRANT OPTION`, "0LP01")
	ann.fails(`ALTER FUNCTION f(bigint) STRICT`, "42501", "must be owner of function f")
	ann.fails(`DROP FUNCTION f(bigint)`, "42501", "must be owner of function f")
	ann.fails(`ALTER FUNCTION f(bigint) SET volley.version = 1`, "42501", "must be owner of function f")

	create := `CREATE FUNCTION g(x bigint) RETURNS bigint LANGUAGE go AS '` + v1 + `', 'tag'`
	ann.fails(create, "42501", "permission denied for language go")
	ann.fails(`CREATE EXTENSION vers VERSION '1.0'`, "42501", `permission denied to create extension "vers"`)
	c.want(`SELECT lanname, lanpltrusted, has_language_privilege('ann', lanname, 'USAGE') FROM pg_language ORDER BY oid`,
		"internal|f|f sql|t|t go|f|f wasm|t|t python|f|f grpc|f|f")
	c.run(`GRANT USAGE ON LANGUAGE go TO ann; ALTER DEFAULT PRIVILEGES FOR ROLE ann REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
		ALTER DEFAULT PRIVILEGES FOR ROLE ann IN SCHEMA public GRANT EXECUTE ON FUNCTIONS TO bob; REVOKE USAGE ON LANGUAGE wasm FROM PUBLIC`)
	c.want(`SELECT lanacl FROM pg_language WHERE lanname IN ('go', 'wasm') ORDER BY oid`, "{volley=U/volley,ann=U/volley} {volley=U/volley}")
	ann.run(create)
	c.want(`SELECT proacl FROM pg_proc WHERE proname = 'g'`, "{ann=X/ann,bob=X/ann}")
	c.want(`SELECT defaclnamespace = 0, defaclacl FROM pg_default_acl ORDER BY 1`, "f|{bob=X/ann} t|{ann=X/ann}")
	c.fails(`DROP ROLE bob`, "2BP01", "privileges for function f(bigint)", "privileges for default privileges on new functions belonging to role ann in schema public")
	c.run(`ALTER FUNCTION g(bigint) OWNER TO bob`)
	ann.fails(`SELECT g(1)`, "42501", "permission denied for function g")
	c.want(`SELECT specific_schema, external_language, security_type FROM information_schema.routines WHERE routine_name = 'g'`, "public|GO|INVOKER")
}

func TestDependencies(t *testing.T) {
	e := engine.Start(t, 0)
	v1, _ := artifacts(t, e)
	c := connect(t, e, "")
	c.create(v1, "f", "tag", "")
	c.run(`CREATE AGGREGATE m(bigint) (ARTIFACT = '` + v1 + `', SYMBOL = 'most'); CREATE VIEW v AS SELECT f(1) AS x`)
	c.fails(`DROP FUNCTION f(bigint)`, "2BP01", "cannot drop function f(bigint) because other objects depend on it", "view v depends on function f(bigint)", "Use DROP ... CASCADE")
	c.fails(`CREATE OR REPLACE FUNCTION f(y bigint) RETURNS bigint LANGUAGE go AS '`+v1+`', 'tag'`, "42P13", `cannot change name of input parameter "x"`, "Use DROP FUNCTION f(bigint) first.")
	c.fails(`ALTER FUNCTION f(bigint) RENAME TO h`, "0A000")
	c.run(`CREATE TABLE d (a bigint, b bigint DEFAULT f(3))`)
	c.run(`CREATE OR REPLACE VIEW v AS SELECT 1::bigint AS x`)
	c.fails(`DROP FUNCTION f(bigint)`, "2BP01", "default value for column b of table d depends on function f(bigint)")
	c.run(`INSERT INTO d (a) VALUES (1); DROP FUNCTION f(bigint) CASCADE; INSERT INTO d (a) VALUES (2)`)
	c.want(`SELECT a, b FROM d ORDER BY a`, "1|1 2|NULL")
	c.create(v1, "f", "tag", "")
	c.run(`CREATE OR REPLACE VIEW v AS SELECT "f@1"(1) AS x`)
	c.fails(`DROP FUNCTION f(bigint)`, "2BP01", "view v depends on function f(bigint)")
	c.run(`DROP FUNCTION f(bigint) CASCADE`)
	if n := c.Notices[len(c.Notices)-1]; n != "NOTICE: drop cascades to view v" {
		t.Errorf("notice %q", n)
	}
}

// A SECURITY DEFINER function in SQL may what its owner may.
func TestSecurityDefiner(t *testing.T) {
	e := engine.Start(t, 0)
	c := connect(t, e, "")
	c.run(`CREATE ROLE ann LOGIN; CREATE FUNCTION secret(x int) RETURNS int LANGUAGE sql AS 'SELECT x + 1'; REVOKE EXECUTE ON FUNCTION secret(int) FROM PUBLIC;
		CREATE FUNCTION open(x int) RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT secret(x)';
		CREATE FUNCTION who() RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT current_user::text';
		CREATE FUNCTION closed(x int) RETURNS int LANGUAGE sql AS 'SELECT secret(x)'; CREATE VIEW v AS SELECT closed(1) AS x`)
	ann := connect(t, e, "ann")
	ann.want(`SELECT open(1), who(), current_user`, "2|volley|ann")
	ann.fails(`SELECT closed(1)`, "42501", "permission denied for function secret")
	ann.fails(`SELECT open(secret(1))`, "42501", "permission denied for function secret")
	ann.fails(`SELECT * FROM v`, "42501", "permission denied for function secret")
	c.want(`SELECT * FROM v`, "2")
	c.run(`CREATE OR REPLACE FUNCTION closed(x int) RETURNS int LANGUAGE sql AS 'SELECT x * 100'`)
	c.want(`SELECT closed(1), "closed@1"(1)`, "100|2")
	c.run(`DROP FUNCTION secret(int)`) // as in Postgres, the text of a body holds nothing
	c.fails(`DROP FUNCTION closed(int)`, "2BP01", "view v depends on function closed(integer)")
}

func TestTypeCascade(t *testing.T) {
	c := connect(t, engine.Start(t, 0), "")
	c.run(`CREATE TYPE mood AS ENUM ('sad', 'ok')`)
	c.run(`CREATE FUNCTION glad(m mood) RETURNS mood LANGUAGE sql AS 'SELECT m'`)
	c.fails(`DROP TYPE mood`, "2BP01", "function glad(mood) depends on type mood")
	c.run(`DROP TYPE mood CASCADE`)
	c.want(`SELECT count(*) FROM pg_proc WHERE proname = 'glad'`, "0")
}
