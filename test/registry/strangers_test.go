package registry

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/volleydb/volley/test/engine"
)

// What the names in a SECURITY DEFINER function mean is decided where it is defined,
// not by the caller's search path and not by functions that hide built-in ones.
func TestDefinerNames(t *testing.T) {
	e := engine.Start(t, 0)
	c, ann := connect(t, e, ""), connectNew(t, e, "ann")
	c.run(`CREATE FUNCTION secret(x float8) RETURNS float8 LANGUAGE sql AS 'SELECT x + 1'; REVOKE EXECUTE ON FUNCTION secret(float8) FROM PUBLIC;
		CREATE FUNCTION helper(x float8) RETURNS float8 LANGUAGE sql AS 'SELECT x'; CREATE TABLE rates AS SELECT 10 AS rate;
		CREATE FUNCTION open(x float8) RETURNS float8 LANGUAGE sql SECURITY DEFINER AS 'SELECT secret(helper(abs(x))) + rate FROM rates';
		CREATE FUNCTION altered(x float8) RETURNS float8 LANGUAGE sql AS 'SELECT secret(helper(abs(x)))'; ALTER FUNCTION altered(float8) SECURITY DEFINER`)
	ann.want(`SELECT open(-1), altered(-1)`, "12|2")
	ann.run(`CREATE FUNCTION public.abs(x float8) RETURNS float8 LANGUAGE sql AS 'SELECT 42.0::float8';
		CREATE SCHEMA trap; CREATE FUNCTION trap.secret(x float8) RETURNS float8 LANGUAGE sql AS 'SELECT x'; SET search_path = trap, public;
		CREATE FUNCTION trap.helper(x float8) RETURNS float8 LANGUAGE sql AS 'SELECT secret(x) * 1000'; CREATE TABLE trap.rates AS SELECT 1000 AS rate;
		DROP FUNCTION trap.secret(float8)`)
	ann.want(`SELECT open(-1), altered(-1), abs(-1::float8), public.abs(-1::float8)`, "12|2|1|42")
	ann.run(`CREATE FUNCTION trap.near(x float8) RETURNS text LANGUAGE sql RETURN 'trap'; CREATE FUNCTION public.near(x float8) RETURNS text LANGUAGE sql RETURN 'public'`)
	ann.want(`SELECT near(1), near(1::float8), public.near(1)`, "trap|trap|public")
	ann.fails(`SELECT trap.helper(1)`, "42501", "permission denied for function secret")
	c.want(`SELECT proconfig FROM pg_proc WHERE proname = 'open'`, `{"search_path=\"pg_catalog\", \"public\""}`)
}

// SET search_path decides what the names in a body mean, of SECURITY DEFINER and INVOKER.
func TestBodyPath(t *testing.T) {
	e := engine.Start(t, 0)
	c, ann := connect(t, e, ""), connectNew(t, e, "ann")
	c.run(`CREATE SCHEMA a; CREATE SCHEMA b; CREATE SCHEMA "B c"; CREATE TABLE a.t AS SELECT 1 AS x; CREATE TABLE b.t AS SELECT 2 AS x; CREATE TABLE "B c".t AS SELECT 3 AS x;
		CREATE TABLE public.t AS SELECT 0 AS x; CREATE FUNCTION b.own() RETURNS int LANGUAGE sql AS 'SELECT x FROM t';
		CREATE FUNCTION f() RETURNS int LANGUAGE sql SET search_path = a, pg_temp AS 'SELECT x FROM t';
		CREATE FUNCTION g() RETURNS int LANGUAGE sql SECURITY DEFINER SET search_path TO b, public AS 'SELECT x + own() FROM t';
		CREATE FUNCTION q() RETURNS int LANGUAGE sql SET search_path TO "B c" AS 'SELECT x FROM t';
		CREATE FUNCTION s() RETURNS SETOF int LANGUAGE sql SET search_path = 'b, a' AS 'SELECT x + 1 FROM t';
		CREATE FUNCTION n() RETURNS float8 LANGUAGE sql STABLE SET search_path = '' AS 'SELECT abs(x)::float8 + public.f() FROM public.t'`)
	ann.want(`SELECT f(), g(), q(), n(), (SELECT max(s) FROM s()), (SELECT x FROM t)`, "1|4|3|1|3|0")
	ann.run(`SET search_path = b`)
	ann.want(`SELECT public.f(), public.q(), (SELECT x FROM t)`, "1|3|2")
	ann.run(`RESET search_path`)
	c.want(`SELECT proname, proconfig FROM pg_proc WHERE proname IN ('f', 'g', 'q', 'n') ORDER BY 1`,
		`f|{"search_path=a, pg_temp"} g|{"search_path=b, public"} n|{"search_path=\"\""} q|{"search_path=\"B c\""}`)
	c.fails(`CREATE FUNCTION h() RETURNS int LANGUAGE sql SET search_path = '' AS 'SELECT x FROM t'`, "42P01")
	c.fails(`CREATE FUNCTION h() RETURNS int LANGUAGE sql SET work_mem = '1MB' AS 'SELECT 1'`, "0A000", "setting work_mem of a function in SQL")
	c.fails(`CREATE FUNCTION h() RETURNS int LANGUAGE sql SET search_path = 1 AS 'SELECT 1'`, "22023")
	c.fails(`ALTER FUNCTION f() SET work_mem = '1MB'`, "42704")

	c.run(`ALTER FUNCTION f() SET search_path = b; ALTER FUNCTION g() SECURITY INVOKER; ALTER FUNCTION g() SET search_path = b`)
	ann.want(`SELECT f(), g()`, "2|4")
	c.run(`ALTER FUNCTION f() RESET search_path; SET search_path = a, public; CREATE FUNCTION a.d() RETURNS int LANGUAGE sql SECURITY DEFINER SET search_path = b AS 'SELECT x FROM t'`)
	ann.want(`SELECT f(), a.d()`, "0|2")
	c.run(`ALTER FUNCTION d() SECURITY DEFINER`)
	ann.want(`SELECT a.d()`, "2")
	c.run(`ALTER FUNCTION d() RESET search_path`)
	ann.want(`SELECT a.d()`, "1")
	c.run(`ALTER FUNCTION d() SET search_path FROM CURRENT; ALTER FUNCTION d() RESET ALL; SET search_path = b, public`)
	ann.want(`SELECT a.d()`, "1")
	c.run(`ALTER FUNCTION a.d() SECURITY INVOKER`)
	ann.want(`SELECT a.d()`, "0")
	c.want(`SELECT pg_get_functiondef('g()'::regprocedure) LIKE '% SET search_path TO b%', pg_get_functiondef('n()'::regprocedure) LIKE '% SET search_path TO ''''%'`, "t|t")
}

// Source is compiled, and what comes of it run, for those who may use LANGUAGE go only.
func TestSourceOfStrangers(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("there is no Go toolchain")
	}
	e := engine.Start(t, 0)
	c, ann := connect(t, e, ""), connectNew(t, e, "ann")
	trace := filepath.Join(t.TempDir(), "ran")
	source := `
var _ = os.WriteFile("` + trace + `", nil, 0o600)
type S struct{ N float64 }
func (s *S) Step(x float64) { s.N += x }
func (s *S) Merge(o *S) { s.N += o.N }
func (s *S) Finish() float64 { return s.N }
func f(x float64) float64 { return x }
`
	for lang, code := range map[string]string{"go": "42501", "wasm": "0A000", "python": "42501", "grpc": "42501"} {
		ann.fails(`CREATE FUNCTION f(x float8) RETURNS float8 LANGUAGE `+lang+` AS $$`+source+`$$`, code)
		ann.fails(`CREATE AGGREGATE a(float8) (LANGUAGE = `+lang+`, AS = $$`+source+`$$)`, code)
	}
	c.fails(`CREATE FUNCTION f(x float8) RETURNS float8 LANGUAGE grpc AS $$`+source+`$$`, "22023")
	if _, err := os.Stat(trace); err == nil {
		t.Error("source of a role that may not use LANGUAGE go was run")
	}
	c.want(`SELECT count(*) FROM volley.artifacts`, "0")
	c.run(`CREATE FUNCTION f(x float8) RETURNS float8 LANGUAGE go AS $$` + source + `$$`)
	if _, err := os.Stat(trace); err != nil {
		t.Error("the source does not show that it was run")
	}
}

// connectNew makes a role and connects as it.
func connectNew(t *testing.T, e *engine.Engine, role string) client {
	t.Helper()
	connect(t, e, "").run(`CREATE ROLE ` + role + ` LOGIN`)
	return connect(t, e, role)
}

// Reading and writing files of the server needs membership of a predefined role, and
// its own files are for superusers.
func TestServerFiles(t *testing.T) {
	e := engine.Start(t, 0)
	c, ann := connect(t, e, ""), connectNew(t, e, "ann")
	dir := t.TempDir()
	out, mine := filepath.Join(dir, "out.csv"), filepath.Join(dir, "mine.csv")
	copyTo := func(p string) string { return `COPY (SELECT 1 AS a) TO '` + p + `' (FORMAT csv, HEADER)` }
	read := func(p string) string { return `SELECT * FROM read_csv('` + p + `')` }
	c.run(copyTo(out) + `; CREATE TABLE t (a int); CREATE VIEW v AS ` + read(out))
	c.run(`CREATE FUNCTION rows() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS $$ SELECT count(*) FROM read_csv('` + out + `') $$;
		CREATE FUNCTION caller() RETURNS bigint LANGUAGE sql AS $$ SELECT count(*) FROM read_csv('` + out + `') $$`)
	copyFrom := `COPY t FROM '` + out + `' (FORMAT csv, HEADER)`
	refused := func() {
		t.Helper()
		ann.fails(copyTo(mine), "42501", "permission denied to COPY to a file", `privileges of the "pg_write_server_files" role`, `GRANT pg_write_server_files TO "ann"`)
		ann.fails(copyFrom, "42501", "permission denied to COPY from a file", `privileges of the "pg_read_server_files" role`)
		for _, f := range []string{"read_csv", "read_json", "read_ndjson", "read_parquet"} {
			ann.fails(`SELECT * FROM `+f+`('`+filepath.Join(dir, "*")+`')`, "42501", "permission denied to read files of the server", "may use "+f, `GRANT pg_read_server_files TO "ann"`)
			ann.fails(`SELECT * FROM `+f+`('/none')`, "42501") // nor is it told what there is
		}
		for _, q := range []string{`SELECT * FROM v`, `SELECT caller()`, `EXPLAIN ` + read(out), `CREATE TABLE u AS ` + read(out), `INSERT INTO t ` + read(out), `PREPARE p AS ` + read(out) + `; EXECUTE p`} {
			ann.fails(q, "42501", "permission denied to read files of the server")
		}
	}
	refused()
	ann.want(`SELECT rows()`, "1") // in the name of its owner
	ann.fails(`GRANT pg_read_server_files TO ann`, "42501", "must have admin option")
	c.fails(`GRANT volley TO ann`, "0A000")
	c.fails(`GRANT pg_read_server_files TO ann WITH ADMIN OPTION`, "0A000")
	c.fails(`GRANT pg_read_server_files TO public`, "42704")
	c.fails(`GRANT pg_read_server_files TO nobody`, "42704")
	c.fails(`DROP ROLE pg_read_server_files`, "2BP01")
	c.fails(`ALTER ROLE pg_read_server_files LOGIN`, "42939")
	c.run(`CREATE ROLE boss CREATEROLE LOGIN`)
	boss := connect(t, e, "boss")
	boss.fails(`GRANT pg_read_server_files TO boss`, "42501")
	boss.fails(`CREATE ROLE king SUPERUSER`, "42501", "must be superuser to create superusers")
	boss.fails(`ALTER ROLE boss SUPERUSER`, "42501", "must be superuser to alter superuser roles")
	boss.fails(`ALTER ROLE volley PASSWORD 'x'`, "42501", "must be superuser to alter superuser roles")
	boss.fails(`DROP ROLE volley`, "42501", "must be superuser to drop superusers")

	c.run(`GRANT pg_read_server_files TO ann; GRANT pg_read_server_files TO ann`)
	c.want(`SELECT r.rolname, m.rolname, r.rolcanlogin FROM pg_auth_members a JOIN pg_roles r ON r.oid = a.roleid JOIN pg_roles m ON m.oid = a.member`, "pg_read_server_files|ann|f")
	ann.want(read(out), "1")
	ann.want(`SELECT * FROM v`, "1")
	ann.want(`SELECT caller()`, "1")
	ann.run(copyFrom)
	ann.fails(copyTo(mine), "42501")
	c.run(`GRANT pg_write_server_files TO ann`)
	ann.run(copyTo(mine))

	own := filepath.Join(e.Dir, "own.csv")
	if err := os.WriteFile(own, []byte("a\n7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	link, dangling := filepath.Join(dir, "link"), filepath.Join(dir, "dangling")
	for l, to := range map[string]string{link: e.Dir, dangling: filepath.Join(e.Dir, "new.csv")} {
		if err := os.Symlink(to, l); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range []string{own, filepath.Join(link, "*.csv"), filepath.Join(e.Dir, "tables", "..", "own.csv")} {
		ann.fails(read(p), "42501", "permission denied for file")
		c.want(read(p), "7")
	}
	for _, p := range []string{own, dangling, filepath.Join(link, "new.csv"), filepath.Join(e.Dir, "catalog.db")} {
		ann.fails(copyTo(p), "42501", "permission denied for file")
	}
	ann.fails(`COPY t FROM '`+filepath.Join(link, "own.csv")+`' (FORMAT csv, HEADER)`, "42501", "permission denied for file")
	c.run(`REVOKE pg_read_server_files, pg_write_server_files FROM ann`)
	c.want(`SELECT count(*) FROM pg_auth_members`, "0")
	refused()
}

// Names of functions are looked up in pg_catalog first, unless the search path names it
// later: nobody changes what others' calls of built-in functions do.
func TestBuiltinsFirst(t *testing.T) {
	e := engine.Start(t, 0)
	c, ann := connect(t, e, ""), connectNew(t, e, "ann")
	ann.run(`CREATE FUNCTION public.upper(x text) RETURNS text LANGUAGE sql AS $$ SELECT 'trap' $$;
		CREATE FUNCTION public.initcap(x text, y int DEFAULT 1) RETURNS text LANGUAGE sql AS $$ SELECT 'default' $$;
		CREATE FUNCTION public.upper(x int) RETURNS text LANGUAGE sql AS $$ SELECT 'int' $$;
		CREATE FUNCTION public.normalize(x text) RETURNS text LANGUAGE sql AS $$ SELECT 'trap' $$;
		CREATE FUNCTION public.generate_series(x int, y int) RETURNS SETOF int LANGUAGE sql AS $$ SELECT 42 $$;
		CREATE FUNCTION public.sum(x text) RETURNS text LANGUAGE sql AS $$ SELECT 'scalar' $$;
		CREATE FUNCTION more(x int, y int) RETURNS int LANGUAGE sql AS $$ SELECT greatest(x, y) $$;
		CREATE FUNCTION more(x text, y text) RETURNS text LANGUAGE sql AS $$ SELECT greatest(x, y) $$;
		CREATE AGGREGATE public.sum(int) (sfunc = more, stype = int);
		CREATE AGGREGATE public.lower(int) (sfunc = more, stype = int);
		CREATE AGGREGATE public.lower(text) (sfunc = more, stype = text)`)
	c.run(`CREATE TABLE t AS SELECT * FROM (VALUES (1, 'a'), (2, 'b')) v(n, s)`)
	for _, u := range []client{c, ann} {
		u.want(`SELECT initcap('ab'::text), upper('a'), upper('a'::text), upper(1), public.upper('a'::text), normalize('a'), pg_catalog.upper('a'::text)`, "Ab|A|A|int|trap|a|A")
		u.want(`SELECT * FROM generate_series(1, 2)`, "1 2")
		u.want(`SELECT generate_series(1, 2)`, "1 2")
		u.want(`SELECT * FROM public.generate_series(1, 2)`, "42")
		u.want(`SELECT sum(n), public.sum(n) FROM t`, "3|2")
		u.want(`SELECT n, lower(s), sum(n) OVER (ORDER BY n) FROM t ORDER BY n`, "1|a|1 2|b|3")
		u.want(`SELECT public.lower(s) FROM t`, "b")
		u.fails(`SELECT public.sum('x'::text) FROM t`, "0A000", "beside an aggregate of the same name")
		u.want(`SELECT n FROM t WHERE lower(s) = 'b'`, "2")
	}
	c.run(`SET search_path = public, pg_catalog`)
	c.want(`SELECT upper('a'::text), sum(n) FROM t GROUP BY 1`, "trap|2")
	c.want(`SELECT * FROM generate_series(1, 2)`, "42")
	c.run(`SET search_path = pg_catalog, public`)
	c.want(`SELECT upper('a'::text), sum(n) FROM t GROUP BY 1`, "A|3")
}

// Statements about a function take the first in the search path, as calls do.
func TestFirstInPath(t *testing.T) {
	e := engine.Start(t, 0)
	c := connect(t, e, "")
	c.run(`CREATE SCHEMA a; CREATE SCHEMA b; CREATE FUNCTION b.tag(x bigint) RETURNS text LANGUAGE sql AS $$ SELECT 'b' $$;
		CREATE FUNCTION a.tag(x bigint) RETURNS text LANGUAGE sql AS $$ SELECT 'a' $$; SET search_path = a, b`)
	c.want(`SELECT tag(1)`, "a")
	c.run(`ALTER FUNCTION tag(bigint) COST 7; COMMENT ON FUNCTION tag(bigint) IS 'first'; ALTER FUNCTION tag STABLE`)
	c.want(`SELECT pronamespace::regnamespace, procost, provolatile FROM pg_proc WHERE proname = 'tag' ORDER BY procost`, "a|7|s b|100|v")
	c.run(`DROP FUNCTION tag(bigint)`)
	c.want(`SELECT tag(1)`, "b")
	c.run(`CREATE FUNCTION a.tag(x text) RETURNS text LANGUAGE sql AS $$ SELECT 'text' $$`)
	c.fails(`DROP FUNCTION tag`, "42725", "not unique")
}

// Uploading needs the language of the artifact, and a name that is nobody else's.
func TestUploadRights(t *testing.T) {
	e := engine.Start(t, 0)
	c, ann := connect(t, e, ""), connectNew(t, e, "ann")
	put := func(name, version, runtime string) string {
		return fmt.Sprintf(`SELECT volley.put_artifact('\x%x'::bytea)`, bundle(t, name, version, runtime))
	}
	c.run(put("tools", "1", "wasm"))
	ann.fails(put("mine", "1", ""), "42501", "permission denied for language go")
	ann.fails(put("mine", "1", "python"), "42501", "permission denied for language python")
	ann.fails(put("tools", "99", "wasm"), "42501", `permission denied to upload an artifact named "tools"`, `Role "volley" has artifacts of this name.`)
	c.fails(put("other", "1", "sql"), "22023", `artifact "other" has the unknown runtime "sql"`, "go, grpc, inprocess, python, wasm")
	ann.run(put("mine", "1", "wasm"))
	ann.run(put("tools", "1", "wasm")) // the same bytes
	c.want(`SELECT name, version, owner FROM volley.artifacts ORDER BY name`, "mine|1|ann tools|1|volley")
	for _, sql := range []string{`SELECT length(volley.put_artifact('x'::bytea))`, `SELECT volley.put_artifact('x'::bytea), 1`, `SELECT volley.put_artifact(b, 'y') FROM (VALUES ('x'::bytea)) t(b)`,
		`SELECT volley.put_artifact('x'::bytea) WHERE true`} {
		c.fails(sql, "0A000", "within a query is not supported", "Call it alone")
	}
	c.fails(`SELECT volley.put_artifact(), 1`, "42883")
	c.fails(put("a\nb", "1", "wasm"), "22P03", `has the name "a\nb"`)
}

// bundle is an artifact whose code does nothing.
func bundle(t *testing.T, name, version, runtime string) []byte {
	t.Helper()
	code := []byte("code")
	sum := sha256.Sum256(code)
	if runtime != "" {
		runtime = fmt.Sprintf(`"runtime": %q, `, runtime)
	}
	goos, arch := "linux", "amd64"
	if strings.Contains(runtime, "wasm") {
		goos, arch = "wasip1", "wasm"
	}
	manifest := fmt.Sprintf(`{"abi": 2, "name": %q, "version": %q, %s"functions": [], "platforms": [{"os": %q, "arch": %q, "path": "bin/x", "sha256": %q}]}`,
		name, version, runtime, goos, arch, hex.EncodeToString(sum[:]))
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range []struct {
		name string
		data []byte
	}{{"manifest.json", []byte(manifest)}, {"bin/x", code}} {
		if err := w.WriteHeader(&tar.Header{Name: f.name, Mode: 0o644, Size: int64(len(f.data)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(f.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Arguments of failed rows and lines of logs are for who ran the query.
func TestOthersErrors(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("there is no Go toolchain")
	}
	e := engine.Start(t, 0)
	c, ann, bob := connect(t, e, ""), connectNew(t, e, "ann"), connectNew(t, e, "bob")
	c.run(`CREATE FUNCTION bad(x text) RETURNS text LANGUAGE go SET volley.on_error = 'null' AS $$ println("log", x); return "", errors.New("no") $$`)
	c.want(`SELECT bad('of volley')`, "NULL")
	ann.want(`SELECT bad('of ann')`, "NULL")
	c.want(`SELECT args FROM volley.udf_errors ORDER BY 1`, "x = 'of ann' x = 'of volley'")
	ann.want(`SELECT args FROM volley.udf_errors`, "x = 'of ann'")
	bob.want(`SELECT args FROM volley.udf_errors`, "")
	bob.want(`SELECT line FROM volley.udf_logs`, "")
}
