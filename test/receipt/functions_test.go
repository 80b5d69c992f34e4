package receipt

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/volleydb/volley/test/engine"
)

// TestVersions replays what called functions that have been replaced since.
func TestVersions(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("there is no Go toolchain: functions cannot be built")
	}
	modes(t, func(t *testing.T, workers int) {
		e := engine.Start(t, workers)
		c := connect(t, e, "volley")
		c.run(setup)
		v := func(n string) {
			c.run(`CREATE OR REPLACE FUNCTION tag(x bigint) RETURNS bigint LANGUAGE go IMMUTABLE AS $$ return x*10 + ` + n + ` $$`)
		}
		v("1")
		c.run(`CREATE FUNCTION wrapped(x bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT tag(x) + 1000';
			CREATE FUNCTION add(a bigint, b bigint) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT AS 'SELECT a + b';
			CREATE AGGREGATE total(bigint) (SFUNC = add, STYPE = bigint, COMBINEFUNC = add)`)
		type ran struct{ rows, id string }
		var all []ran
		ask := func(queries ...string) {
			for _, q := range queries {
				rows, id := c.query(q)
				all = append(all, ran{rows, id})
			}
		}
		if workers != 3 {
			c.run(`CREATE FUNCTION sums(x bigint) RETURNS TABLE (n bigint, total bigint) LANGUAGE go AS $$
				var n, sum int64
				for g.Next() {
					for _, v := range g.Int64("x") { n++; sum += v }
				}
				emit(n, sum) $$;
				CREATE FUNCTION words(s text) RETURNS TABLE (word text, size int) LANGUAGE go AS $$
				for _, w := range strings.Fields(s) { emit(w, int32(len(w))) } $$`)
			ask(`SELECT k, n, total FROM t GROUP BY k APPLY sums(id ORDER BY id)`,
				`SELECT t.id, w.* FROM t, words(t.s) w WHERE t.id < 4 ORDER BY 1, 2`,
				`SELECT * FROM TABLE(sums(rows => TABLE(t) PARTITION BY (k), x => id))`)
			c.run(`DROP FUNCTION sums(bigint); DROP FUNCTION words(text)`)
			for _, r := range all {
				c.again(r.id, r.rows)
			}
			all = nil
		}
		ask(`SELECT id, tag(id) FROM t WHERE id < 5 ORDER BY id`,
			`SELECT k, sum(tag(id)), total(id) FROM t GROUP BY k ORDER BY k`,
			`SELECT wrapped(id), "tag@1"(id) FROM t WHERE id < 5 ORDER BY id`)
		v("2")
		ask(`SELECT sum(tag(id) - "tag@1"(id)) FROM t`)
		c.run(`ALTER FUNCTION tag(bigint) SET volley.canary = '1:30%'`)
		ask(`SELECT id, tag(id) FROM t ORDER BY id LIMIT 50`)
		c.run(`SET volley.function_versions = 'tag=1'`)
		ask(`SELECT id, tag(id) FROM t ORDER BY id LIMIT 5`)
		c.run(`RESET volley.function_versions`)

		fn := c.receipt(all[4].id)["functions"].([]any)[0].(map[string]any)
		if fn["name"] != "public.tag(bigint)" || fn["version"].(float64) != 2 || !strings.HasPrefix(fn["digest"].(string), "sha256:") ||
			fn["canary"] != "1:30%" || !strings.HasPrefix(fn["canary_digest"].(string), "sha256:") || fn["canary_digest"] == fn["digest"] || fn["current"] != true {
			t.Errorf("%v", fn)
		}
		if fs := c.receipt(all[2].id)["functions"].([]any); len(fs) != 2 {
			t.Errorf("functions under a function in SQL: %v", fs)
		}
		pinned := e.PinnedArtifacts()
		if want := map[bool]int{true: 4, false: 2}[workers != 3]; len(pinned) != want || !pinned[fn["digest"].(string)] {
			t.Errorf("pinned: %v", pinned)
		}

		v("3")
		c.run(`ALTER FUNCTION tag(bigint) RESET volley.canary;
			CREATE OR REPLACE FUNCTION wrapped(x bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT 0::bigint';
			CREATE OR REPLACE FUNCTION add(a bigint, b bigint) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT AS 'SELECT 0::bigint';
			CREATE FUNCTION tag(x int) RETURNS text LANGUAGE sql AS $$SELECT 'other'$$;
			CREATE SCHEMA front; CREATE FUNCTION front.tag(x bigint) RETURNS text LANGUAGE sql AS $$SELECT 'front'$$;
			ALTER FUNCTION tag(bigint) SET volley.memory = '100MB';
			SET search_path = front, public`)
		for _, r := range all {
			c.again(r.id, r.rows)
		}
		c.run(`ALTER FUNCTION wrapped(bigint) RENAME TO wrapped2; ALTER FUNCTION public.tag(bigint) VOLATILE; ALTER FUNCTION public.tag(bigint) STRICT`)
		for _, r := range all {
			c.again(r.id, r.rows)
		}
		c.run(`DROP AGGREGATE total(bigint); DROP FUNCTION add(bigint, bigint); DROP FUNCTION public.tag(bigint) CASCADE;
			CREATE FUNCTION public.tag(x bigint) RETURNS text LANGUAGE sql AS $$SELECT 'new'$$; SELECT volley.gc()`)
		for _, r := range all {
			c.again(r.id, r.rows)
		}

		// An artifact that is not there.
		digest := fn["canary_digest"].(string)
		if _, err := e.Artifacts.Get(digest); err != nil {
			t.Fatal(err)
		}
		err := filepath.WalkDir(filepath.Join(e.Dir, "artifacts"), func(p string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() && strings.Contains(p, strings.TrimPrefix(digest, "sha256:")) {
				return os.Remove(p)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		c.fails(`CALL volley.replay('`+all[4].id+`')`, "55000", "The artifact "+digest+" of version 1 of function public.tag(bigint) is gone.")
	})
}

// TestAltered calls a version as it was.
func TestAltered(t *testing.T) {
	e := engine.Start(t, 0)
	c := connect(t, e, "volley")
	c.run(`CREATE FUNCTION plus(x bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT x + 1'`)
	rows, id := c.query(`SELECT plus(1)`)
	c.run(`COMMENT ON FUNCTION plus(bigint) IS 'one more'; ALTER FUNCTION plus(bigint) COST 5; REVOKE ALL ON FUNCTION plus(bigint) FROM PUBLIC; CREATE ROLE ann LOGIN; ALTER FUNCTION plus(bigint) OWNER TO ann`)
	c.again(id, rows)
	c.run(`ALTER FUNCTION plus(bigint) STRICT; ALTER FUNCTION plus(bigint) VOLATILE`)
	c.again(id, rows)
	c.run(`CREATE SCHEMA a; CREATE TABLE a.t AS SELECT 1 AS x; CREATE TABLE t AS SELECT 2 AS x; CREATE FUNCTION a.two() RETURNS int LANGUAGE sql AS 'SELECT 2';
		CREATE FUNCTION there() RETURNS int LANGUAGE sql SET search_path = a, pg_temp AS 'SELECT x * two() FROM t'`)
	rows, id = c.query(`SELECT there() + x FROM t`)
	c.run(`SET search_path = a; UPDATE public.t SET x = 5; UPDATE a.t SET x = 7`)
	c.again(id, rows)
}
