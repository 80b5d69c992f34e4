package parser

import (
	"errors"
	"slices"
	"strings"
	"testing"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/pgerr"
)

var rewriteTests = []struct{ intent, sql, want string }{
	{"the main job",
		`SELECT user_id, prediction FROM users GROUP BY partition_id APPLY score_udf(user_id, g1, /* ... */ g10);`,
		`SELECT user_id, prediction FROM (SELECT volley_apply(score_udf(user_id, g1, /* ... */ g10)), partition_id FROM users GROUP BY partition_id) AS score_udf;`},
	{"every clause, in any case, qualified and quoted names",
		`select distinct * from t as x where a > 1 group by x.k, "K2" apply m."score@2"(a, n => 3 order by b desc) as p having count(*) > 1 order by 1 limit 5 offset 2`,
		`select distinct * FROM (SELECT volley_apply(m."score@2"(a, n => 3 order by b desc)), x.k, "K2" from t as x where a > 1 group by x.k, "K2" having count(*) > 1) AS p order by 1 limit 5 offset 2`},
	{"the alias defaults to the unqualified name, quoted if need be",
		`SELECT * FROM t GROUP BY a APPLY m.left(x)`,
		`SELECT * FROM (SELECT volley_apply(m.left(x)), a FROM t GROUP BY a) AS "left"`},
	{"a bare alias, and one with column names",
		`SELECT * FROM t GROUP BY a APPLY f(x) r(u, v) ORDER BY u`,
		`SELECT * FROM (SELECT volley_apply(f(x)), a FROM t GROUP BY a) AS r(u, v) ORDER BY u`},
	{"a named key", `SELECT p FROM t GROUP BY user_id % 10 AS p, q APPLY f(x)`,
		`SELECT p FROM (SELECT volley_apply(f(x)), (user_id % 10) AS p, q FROM t GROUP BY user_id % 10, q) AS f`},
	{"an unnamed expression", `SELECT * FROM t GROUP BY lower(a), CASE WHEN b THEN 1 END APPLY f(x)`,
		`SELECT * FROM (SELECT volley_apply(f(x)), lower(a), CASE WHEN b THEN 1 END FROM t GROUP BY lower(a), CASE WHEN b THEN 1 END) AS f`},
	{"keys in parentheses", `SELECT * FROM t GROUP BY (a, b), (c) APPLY f(x)`,
		`SELECT * FROM (SELECT volley_apply(f(x)), a, b, c FROM t GROUP BY a, b, c) AS f`},
	{"a scalar subquery as key", `SELECT * FROM t GROUP BY (SELECT a, b) APPLY f(x)`,
		`SELECT * FROM (SELECT volley_apply(f(x)), (SELECT a, b) FROM t GROUP BY (SELECT a, b)) AS f`},
	{"one group", `SELECT * FROM t GROUP BY () APPLY train(x ORDER BY y) AS m`,
		`SELECT * FROM (SELECT volley_apply(train(x ORDER BY y)) FROM t GROUP BY ()) AS m`},
	{"a function over a table", `SELECT * FROM TABLE(m.f(rows => TABLE(s.t) PARTITION BY (a, b) ORDER BY (c DESC), x => 1)) JOIN u ON true`,
		`SELECT * FROM (SELECT volley_apply(m.f(rows => volley_table_arg(t.*), x => 1 ORDER BY c DESC)), a, b FROM s.t AS t GROUP BY a, b) AS f JOIN u ON true`},
	{"a function over a query", `SELECT * FROM TABLE(f(TABLE(SELECT * FROM t GROUP BY a APPLY g(x)) AS q (u, v) KEEP WHEN EMPTY)) AS r, TABLE(h(1))`,
		`SELECT * FROM (SELECT volley_apply(f(volley_table_arg(q.*))) FROM (SELECT * FROM (SELECT volley_apply(g(x)), a FROM t GROUP BY a) AS g) AS q(u, v) GROUP BY ()) AS r, h(1)`},
	{"without FROM", `SELECT * WHERE true GROUP BY () APPLY f(1)`,
		`SELECT * FROM (SELECT volley_apply(f(1)) WHERE true GROUP BY ()) AS f`},
	{"UNION branches", `SELECT * FROM t GROUP BY a APPLY f(x) UNION ALL SELECT * FROM u GROUP BY b APPLY h(y) HAVING b > 0 ORDER BY 1`,
		`SELECT * FROM (SELECT volley_apply(f(x)), a FROM t GROUP BY a) AS f UNION ALL SELECT * FROM (SELECT volley_apply(h(y)), b FROM u GROUP BY b HAVING b > 0) AS h ORDER BY 1`},
	{"nested in FROM and in the arguments",
		`SELECT * FROM (SELECT * FROM t GROUP BY a APPLY f(x)) AS s WHERE z IN (SELECT 1 FROM v GROUP BY w APPLY q(1)) GROUP BY b APPLY g((SELECT max(y) FROM u GROUP BY c APPLY h(y)))`,
		`SELECT * FROM (SELECT volley_apply(g((SELECT max(y) FROM (SELECT volley_apply(h(y)), c FROM u GROUP BY c) AS h))), b FROM (SELECT * FROM (SELECT volley_apply(f(x)), a FROM t GROUP BY a) AS f) AS s WHERE z IN (SELECT 1 FROM (SELECT volley_apply(q(1)), w FROM v GROUP BY w) AS q) GROUP BY b) AS g`},
	{"CTE", `WITH c AS (SELECT * FROM t GROUP BY a APPLY f(x)) SELECT * FROM c`,
		`WITH c AS (SELECT * FROM (SELECT volley_apply(f(x)), a FROM t GROUP BY a) AS f) SELECT * FROM c`},
	{"CREATE TABLE AS", `CREATE TABLE r AS SELECT * FROM t GROUP BY a APPLY f(x) WITH NO DATA`,
		`CREATE TABLE r AS SELECT * FROM (SELECT volley_apply(f(x)), a FROM t GROUP BY a) AS f WITH NO DATA`},
	{"CREATE VIEW", `CREATE VIEW r AS SELECT * FROM t GROUP BY a APPLY f(x)`,
		`CREATE VIEW r AS SELECT * FROM (SELECT volley_apply(f(x)), a FROM t GROUP BY a) AS f`},
	{"INSERT", `INSERT INTO r SELECT * FROM t GROUP BY a APPLY f(x) ON CONFLICT DO NOTHING RETURNING *`,
		`INSERT INTO r SELECT * FROM (SELECT volley_apply(f(x)), a FROM t GROUP BY a) AS f ON CONFLICT DO NOTHING RETURNING *`},
	{"EXPLAIN", `EXPLAIN (ANALYZE) SELECT * FROM t GROUP BY a APPLY f(x)`,
		`EXPLAIN (ANALYZE) SELECT * FROM (SELECT volley_apply(f(x)), a FROM t GROUP BY a) AS f`},
	{"COPY", `COPY (SELECT * FROM t GROUP BY a APPLY f(x)) TO STDOUT`,
		`COPY (SELECT * FROM (SELECT volley_apply(f(x)), a FROM t GROUP BY a) AS f) TO STDOUT`},
	{"several statements", `SELECT 1; SELECT * FROM t GROUP BY a APPLY f(x); SELECT 2`,
		`SELECT 1; SELECT * FROM (SELECT volley_apply(f(x)), a FROM t GROUP BY a) AS f; SELECT 2`},
	{"comments between any tokens", "SELECT * -- one\nFROM t /* two */ GROUP -- three\n BY a -- four\n APPLY /* five */ f -- six\n (x) -- seven\n AS /* eight */ r -- nine\n",
		"SELECT * -- one\nFROM (SELECT volley_apply(f -- six\n (x)), a FROM t GROUP -- three\n BY a) AS r -- nine\n"},
	{"IS DISTINCT FROM in the list", `SELECT a IS DISTINCT FROM b, c IS NOT DISTINCT FROM d FROM t GROUP BY a APPLY f(x)`,
		`SELECT a IS DISTINCT FROM b, c IS NOT DISTINCT FROM d FROM (SELECT volley_apply(f(x)), a FROM t GROUP BY a) AS f`},
	{"labels that are keywords", `SELECT a AS from, t.group, b AS select FROM t GROUP BY a APPLY f(x)`,
		`SELECT a AS from, t.group, b AS select FROM (SELECT volley_apply(f(x)), a FROM t GROUP BY a) AS f`},
	{"a column named apply", `SELECT apply FROM apply GROUP BY apply APPLY apply(apply) AS apply`,
		`SELECT apply FROM (SELECT volley_apply(apply(apply)), apply FROM apply GROUP BY apply) AS apply`},
	{"a key named apply", `SELECT * FROM t GROUP BY a AS apply, x.apply APPLY f(x)`,
		`SELECT * FROM (SELECT volley_apply(f(x)), (a) AS apply, x.apply FROM t GROUP BY a, x.apply) AS f`},
	{"aggregates and windows inside", `SELECT sum(s) OVER (ORDER BY k) FROM t WHERE EXTRACT(year FROM d) > 1 GROUP BY k APPLY f(x)`,
		`SELECT sum(s) OVER (ORDER BY k) FROM (SELECT volley_apply(f(x)), k FROM t WHERE EXTRACT(year FROM d) > 1 GROUP BY k) AS f`},
	{"zone, a column", `SELECT * FROM t GROUP BY zone APPLY f(x)`,
		`SELECT * FROM (SELECT volley_apply(f(x)), zone FROM t GROUP BY zone) AS f`},
	{"nulls ignored behind the call", `SELECT lag(x) IGNORE NULLS OVER (ORDER BY y) AS l, z FROM t`,
		`SELECT lag(x) FILTER (WHERE volley_ignore_nulls()) OVER (ORDER BY y) AS l, z FROM t`},
	{"nulls ignored inside the call", `SELECT last_value(x IGNORE NULLS) OVER w, lag(x, 2) RESPECT NULLS OVER w, y FROM t`,
		`SELECT last_value(x ) FILTER (WHERE volley_ignore_nulls()) OVER w, lag(x, 2)  OVER w, y FROM t`},
	{"nulls ignored beside APPLY", `SELECT lag(x) IGNORE NULLS OVER () FROM t GROUP BY a APPLY f(x)`,
		`SELECT lag(x) FILTER (WHERE volley_ignore_nulls()) OVER () FROM (SELECT volley_apply(f(x)), a FROM t GROUP BY a) AS f`},
	{"QUALIFY", `SELECT a, row_number() OVER () AS rn FROM t QUALIFY rn = 1;`,
		`SELECT a, row_number() OVER () AS rn FROM t WINDOW volley_qualify AS (PARTITION BY ( rn = 1));`},
	{"QUALIFY behind HAVING and WINDOW", `SELECT 1 FROM t GROUP BY a HAVING b WINDOW w AS (ORDER BY a), v AS () QUALIFY rank() OVER w < 3 ORDER BY 1`,
		`SELECT 1 FROM t GROUP BY a HAVING b WINDOW w AS (ORDER BY a), v AS () , volley_qualify AS (PARTITION BY ( rank() OVER w < 3)) ORDER BY 1`},
	{"QUALIFY before WINDOW", `SELECT 1 FROM t QUALIFY rank() OVER w < 3 WINDOW w AS (ORDER BY a) LIMIT 1`,
		`SELECT 1 FROM t WINDOW volley_qualify AS (PARTITION BY ( rank() OVER w < 3)) , w AS (ORDER BY a) LIMIT 1`},
	{"QUALIFY nested, and in branches", `SELECT * FROM (SELECT * FROM t qualify a IN (SELECT b FROM u QUALIFY c)) q QUALIFY d UNION SELECT * FROM v WHERE e QUALIFY (f) IS DISTINCT FROM g`,
		`SELECT * FROM (SELECT * FROM t WINDOW volley_qualify AS (PARTITION BY ( a IN (SELECT b FROM u WINDOW volley_qualify AS (PARTITION BY ( c)))))) q WINDOW volley_qualify AS (PARTITION BY ( d)) UNION SELECT * FROM v WHERE e WINDOW volley_qualify AS (PARTITION BY ( (f) IS DISTINCT FROM g))`},
	{"QUALIFY behind APPLY", `SELECT * FROM t GROUP BY a APPLY f(x) QUALIFY b > 1 ORDER BY 1`,
		`SELECT * FROM (SELECT volley_apply(f(x)), a FROM t GROUP BY a) AS f WINDOW volley_qualify AS (PARTITION BY ( b > 1)) ORDER BY 1`},
	{"QUALIFY with parentheses", `SELECT * FROM t WHERE b QUALIFY (a)`, `SELECT * FROM t WHERE b WINDOW volley_qualify AS (PARTITION BY ( (a)))`},
	{"QUALIFY after a table named so", `SELECT * FROM qualify AS q QUALIFY qualify = 1`, `SELECT * FROM qualify AS q WINDOW volley_qualify AS (PARTITION BY ( qualify = 1))`},
	{"GROUP BY ALL", `SELECT a, count(*) FROM t GROUP BY ALL HAVING b QUALIFY c; SELECT a FROM t GROUP BY ALL qualify; SELECT a FROM t GROUP BY ALL`,
		`SELECT a, count(*) FROM t GROUP BY volley_group_by_all() HAVING b WINDOW volley_qualify AS (PARTITION BY ( c)); SELECT a FROM t GROUP BY ALL qualify; SELECT a FROM t GROUP BY volley_group_by_all()`},
	{"ORDER BY ALL", `SELECT a FROM t ORDER BY ALL DESC NULLS LAST LIMIT 1`, `SELECT a FROM t ORDER BY volley_order_by_all() DESC NULLS LAST LIMIT 1`},
	{"a part of a star", `SELECT * EXCLUDE (a, "B") FROM t`, `SELECT volley_star(NULL , volley_exclude (a, "B")) FROM t`},
	{"a part of a table's star", `SELECT a * exclude(b), s.t.* EXCEPT (a), u.* EXCLUDE u.a, 1 FROM t`,
		`SELECT a * exclude(b), volley_star(s.t.* , volley_exclude (a)), volley_star(u.* , volley_exclude( u.a)), 1 FROM t`},
	{"all clauses of a star", `SELECT DISTINCT ON (z) * EXCLUDE a REPLACE (CAST(b AS int) + 1 AS b, c AS left) RENAME (d AS "E") FROM t`,
		`SELECT DISTINCT ON (z) volley_star(NULL , volley_exclude( a) , volley_replace (CAST(b AS int) + 1 , b, c , "left") , volley_rename (d , "E")) FROM t`},
	{"a star in what replaces", `SELECT * REPLACE ((SELECT * EXCLUDE x FROM u) AS b) FROM t`,
		`SELECT volley_star(NULL , volley_replace ((SELECT volley_star(NULL , volley_exclude( x)) FROM u) , b)) FROM t`},
	{"TABLESAMPLE of files", `SELECT * FROM read_csv('a') TABLESAMPLE System (1), u TABLESAMPLE bernoulli (2) JOIN read_parquet('b') AS q (x) TABLESAMPLE "B'x" (3 + 1) REPEATABLE (5) ON true`,
		`SELECT * FROM read_csv('a') CROSS JOIN volley_sample('system', 1), u TABLESAMPLE bernoulli (2) JOIN read_parquet('b') AS q (x) CROSS JOIN volley_sample('B''x', 3 + 1) CROSS JOIN volley_repeatable (5) ON true`},
	{"ASOF joins", `SELECT * FROM a ASOF JOIN b USING (c) asof left join d ON e JOIN f ON g, h x LEFT ASOF JOIN i ON j`,
		`SELECT * FROM a CROSS JOIN volley_asof() JOIN b USING (c) CROSS JOIN volley_asof() left join d ON e JOIN f ON g, h x CROSS JOIN volley_asof() LEFT JOIN i ON j`},
	{"SEMI and ANTI joins", `SELECT * FROM (SELECT 1) semi JOIN b ON true LEFT ANTI JOIN c USING (d) NATURAL SEMI JOIN e`,
		`SELECT * FROM (SELECT 1) CROSS JOIN volley_semi() JOIN b ON true CROSS JOIN volley_anti() JOIN c USING (d) CROSS JOIN volley_semi() NATURAL JOIN e`},
	{"a cast key", `SELECT * FROM t GROUP BY a::int APPLY f(x)`,
		`SELECT * FROM (SELECT volley_apply(f(x)), a::int FROM t GROUP BY a::int) AS f`},
}

// identityTests hold the words of the rewrite and the traps in places where they
// are names; the text must not change.
var identityTests = []string{
	`SELECT apply FROM apply`, `SELECT * FROM t GROUP BY apply`, `SELECT apply(x) FROM t GROUP BY apply(x), apply`,
	`SELECT 'GROUP BY a APPLY f(x)', $$ APPLY f(x) $$ /* GROUP BY a APPLY f(x) */ FROM t GROUP BY b -- APPLY f(x)`,
	`SELECT "apply" FROM t apply`, `SELECT a apply FROM t GROUP BY a`,
	`SELECT * FROM a AS asof JOIN b ON true`, `SELECT * FROM a "semi" JOIN b ON true`, `SELECT * FROM semi JOIN b ON true`,
	`SELECT * FROM a, anti JOIN b ON true`, `SELECT * FROM a JOIN asof ON true`, `SELECT * FROM a semi LEFT JOIN b ON true`,
	`SELECT * FROM x.semi JOIN b ON true`, `SELECT * FROM b JOIN c ON b.x = semi JOIN d ON true`,
	`SELECT * FROM t "qualify" WHERE true`, `SELECT * FROM t AS qualify (a)`, `SELECT qualify FROM t`, `SELECT * FROM t qualify WHERE true`,
	`SELECT * FROM t qualify LEFT JOIN u ON true`, `SELECT * FROM qualify (1)`, `CREATE TABLE qualify (a int)`,
	`UPDATE t qualify SET a = 1`, `SELECT * FROM t sample`, `SELECT * FROM t AS sample (a)`, `SELECT sample FROM t`,
	`CREATE FUNCTION f() RETURNS TABLE (a int) LANGUAGE sql AS 'select 1'`, `TABLE t`,
	`CREATE TABLE model (a int)`, `SELECT model FROM model`, `SELECT exclude, ignore, respect FROM t`,
	`SELECT ignore FROM t ORDER BY ignore NULLS FIRST`, `SELECT a * exclude (b) FROM t`,
	`SELECT 1 EXCEPT (SELECT 2)`, `SELECT * FROM t EXCEPT (SELECT 2)`, `SELECT a FROM t GROUP BY ALL a`,
	`SELECT a FROM t UNION ALL SELECT 1`, `SELECT *, user_id % 10 AS partition_id FROM t`, `SELECT rand()`,
	`SELECT a qualify FROM t`, `SELECT a exclude, b asof, c replace FROM t`, `SELECT exclude FROM t WHERE asof = 1 AND qualify`,
	`SELECT asof.a FROM asof JOIN b ON true`, `SELECT * FROM asof`, `SELECT t.* replace FROM t`, `SELECT t.* exclude FROM t`,
	`SELECT * FROM t qualify (a, b)`, `SELECT * FROM t qualify (a) JOIN u ON true`, `SELECT * FROM t qualify (a), u`,
	`SELECT * FROM t WHERE qualify`, `SELECT * FROM t ORDER BY qualify`, `SELECT max(qualify) OVER (PARTITION BY qualify) FROM t`,
	`SELECT a * rename (b), 2 * exclude FROM t`, `SELECT replace(a, b, c) * replace(d, e, f) FROM t`,
	`SELECT a FROM t GROUP BY ALL (a)`, `SELECT a FROM t GROUP BY ALL asof`,
	`SELECT a AS case, b AS end FROM t apply`, `SELECT (SELECT 1 FROM t GROUP BY apply)`,
}

func TestRewrite(t *testing.T) {
	for _, tt := range rewriteTests {
		src := &source{user: tt.sql, text: tt.sql}
		special, err := check(tt.sql)
		if err != nil || !special {
			t.Fatalf("%s: check = %v, %v", tt.intent, special, err)
		}
		if err := rewrite(src); err != nil {
			t.Errorf("%s: %v", tt.intent, err)
			continue
		}
		if src.text != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.intent, src.text, tt.want)
		}
		for _, sp := range src.spans {
			if sp.copy && src.user[sp.user] != src.text[sp.at] {
				t.Errorf("%s: the span at %d maps to the wrong place", tt.intent, sp.at)
			}
		}
		list, err := Parse(tt.sql)
		if err != nil {
			t.Errorf("%s: %v", tt.intent, err)
		}
		checkPositions(t, tt.sql, list)
	}
	for _, sql := range identityTests {
		src := &source{user: sql, text: sql}
		if err := rewrite(src); err != nil || src.text != sql {
			t.Errorf("%s: rewritten to %s, %v", sql, src.text, err)
		}
		if list, err := Parse(sql); err != nil {
			t.Errorf("%s: %v", sql, err)
		} else {
			checkPositions(t, sql, list)
		}
	}
}

// checkPositions holds the position of each column reference to the user's text.
func checkPositions(t *testing.T, sql string, list []*Statement) {
	t.Helper()
	runes := []rune(sql)
	for _, s := range list {
		if got := sql[s.Offset : s.Offset+len(s.SQL)]; got != s.SQL {
			t.Errorf("%s: Offset %d leads to %q, SQL is %q", sql, s.Offset, got, s.SQL)
		}
		Walk(s.Node, func(n *pg_query.Node) bool {
			ref := n.GetColumnRef()
			if ref == nil || ref.Fields[0].GetString_() == nil {
				return true
			}
			name := ref.Fields[0].GetString_().Sval
			quoted := s.Quoted(ref.Location, 0)
			if quoted {
				name = `"` + name + `"`
			}
			if s.src.inserted(int(ref.Location)) {
				return true
			}
			at := s.Pos(ref.Location) - 1
			if at < 0 || at > len(runes) || !strings.HasPrefix(strings.ToLower(string(runes[at:])), strings.ToLower(name)) {
				t.Errorf("%s: %s is said to be at %d", sql, name, at+1)
			}
			return true
		})
	}
}

func TestErrors(t *testing.T) {
	for _, tt := range []struct {
		sql, code, message string
		at                 string // what stands at the position; "$" for the end
	}{
		{`SELECT 'é', 1 2 FROM t`, "42601", `syntax error at or near "2"`, "2 FROM"},
		{`SELECT 'é' FROM t GROUP BY a APPLY f(x y) AS r`, "42601", `syntax error at or near "y"`, "y) AS"},
		{`SELECT 'é' FROM t WHERE b c GROUP BY a APPLY f(x) AS r`, "42601", `syntax error at or near "c"`, "c GROUP"},
		{`SELECT 'é' FROM t GROUP BY a APPLY f(x) AS r HAVING 1 2 ORDER BY 1`, "42601", `syntax error at or near "2"`, "2 ORDER"},
		{`SELECT 'é' FROM t GROUP BY a APPLY f(x) AS r LIMIT LIMIT`, "42601", `syntax error at or near "LIMIT"`, "LIMIT$"},
		{`SELECT * FROM t GROUP BY a APPLY f(x) AS`, "42601", `syntax error at end of input`, "$"},
		{`SELECT * FROM t GROUP BY a APPLY f(x) AS 1`, "42601", `syntax error at or near "1"`, "1$"},
		{`SELECT * FROM t GROUP BY a APPLY f(x) AS select`, "42601", `syntax error at or near "select"`, "select"},
		{`SELECT * FROM t GROUP BY APPLY f(x)`, "42601", `syntax error at or near "f"`, "f(x)"},
		{`SELECT * FROM t GROUP BY a APPLY f(x) + 1`, "42601", `syntax error at or near "+"`, "+ 1"},
		{`SELECT * FROM t GROUP BY a APPLY f(x) AS r WHERE b`, "42601", `syntax error at or near "WHERE"`, "WHERE"},
		{`SELECT * FROM t GROUP BY a APPLY f(x) JOIN u ON true`, "42601", `syntax error at or near "JOIN"`, "JOIN"},
		{`SELECT * FROM t GROUP BY a APPLY f(x) AS r GROUP BY z`, "42601", `syntax error at or near "GROUP"`, "GROUP BY z"},
		{`SELECT * FROM t GROUP BY a APPLY f(x) AS r [1]`, "42601", `syntax error at or near "["`, "["},
		{`SELECT * FROM t GROUP BY a APPLY f(x) AS r(z)(y)`, "42601", `syntax error at or near "("`, "(y"},
		{`SELECT * FROM t GROUP BY a APPLY f(x) AS r, u`, "42601", `syntax error at or near ","`, ", u"},
		{`SELECT 'abc`, "42601", `unterminated quoted string at or near "'abc"`, "'abc"},
		{`SELECT 1; SELECT FROM FROM`, "42601", `syntax error at or near "FROM"`, "FROM$"},
		{`SELECT * FROM t GROUP BY a APPLY f(x) WINDOW w AS ()`, "0A000", `WINDOW with APPLY is not supported yet`, "WINDOW"},
		{`SELECT * FROM t GROUP BY ROLLUP (a) APPLY f(x)`, "0A000", `GROUP BY ROLLUP with APPLY is not supported yet`, "ROLLUP"},
		{`SELECT * FROM t GROUP BY DISTINCT a APPLY f(x)`, "0A000", `GROUP BY DISTINCT with APPLY is not supported yet`, "DISTINCT"},
		{`SELECT * FROM t GROUP BY a, 1 APPLY f(x)`, "0A000", `a GROUP BY position with APPLY is not supported yet`, "1 APPLY"},
		{`SELECT * FROM t GROUP BY a APPLY f(x) FILTER (WHERE b)`, "0A000", `FILTER after APPLY is not supported yet`, "FILTER"},
		{`SELECT * FROM t GROUP BY a APPLY f(x) APPLY g(y)`, "0A000", `more than one function after APPLY is not supported yet`, "APPLY g"},
		{`SELECT * FROM t GROUP BY a APPLY f(x), g(y)`, "0A000", `more than one function after APPLY is not supported yet`, ", g"},
		{`SELECT * FROM é ASOF RIGHT JOIN b ON true`, "0A000", `ASOF RIGHT JOIN is not supported yet`, "ASOF"},
		{`SELECT * FROM a NATURAL asof join b`, "0A000", `NATURAL ASOF JOIN is not supported yet`, "asof"},
		{`SELECT * FROM a RIGHT SEMI JOIN b USING (c)`, "0A000", `RIGHT SEMI JOIN is not supported yet`, "SEMI"},
		{`SELECT 'é' FROM a ASOF JOIN b`, "42601", `syntax error at end of input`, "$"},
		{`SELECT * FROM t QUALIFY (a)`, "42601", `QUALIFY and a name in parentheses may be the clause or the alias of a table`, "QUALIFY"},
		{`SELECT 'é' FROM t QUALIFY a +`, "42601", `syntax error at end of input`, "$"},
		{`SELECT 'é' FROM t QUALIFY a + ORDER BY 1`, "42601", `syntax error at or near "ORDER"`, "ORDER"},
		{`SELECT 'é' FROM (SELECT 1 FROM t QUALIFY a b) q`, "42601", `syntax error at or near "b"`, "b)"},
		{`SELECT * FROM t QUALIFY a, b`, "42601", `syntax error at or near ","`, ", b"},
		{`SELECT * FROM t QUALIFY a WHERE b`, "42601", `syntax error at or near "WHERE"`, "WHERE"},
		{`SELECT * FROM t QUALIFY a QUALIFY b`, "42601", `syntax error at or near "QUALIFY"`, "QUALIFY b"},
		{`SELECT * FROM t ORDER BY a QUALIFY b`, "42601", `syntax error at or near "QUALIFY"`, "QUALIFY b"},
		{`SELECT * FROM t WHERE QUALIFY b`, "42601", `syntax error at or near "b"`, "b$"},
		{`SELECT * EXCLUDE () FROM t`, "42601", `syntax error at or near ")"`, ") FROM"},
		{`SELECT * EXCLUDE (a) EXCLUDE (b) FROM t`, "42601", `syntax error at or near "EXCLUDE"`, "EXCLUDE (b"},
		{`SELECT * EXCLUDE (a b) FROM t`, "42601", `syntax error at or near "b"`, "b) FROM"},
		{`SELECT * REPLACE (a) FROM t`, "42601", `syntax error at or near ")"`, ") FROM"},
		{`SELECT * REPLACE (a AS b, c) FROM t`, "42601", `syntax error at or near ")"`, ") FROM"},
		{`SELECT * RENAME (ALL a AS b) FROM t`, "42601", `syntax error at or near "ALL"`, "ALL"},
		{`SELECT a FROM t ORDER BY ALL, b c`, "42601", `syntax error at or near "c"`, "c$"},
		{`SELECT a FROM t GROUP BY ALL, b`, "42601", `syntax error at or near ","`, ", b"},
		{`SELECT * FROM t SAMPLE 10`, "0A000", `SAMPLE is not supported yet`, "SAMPLE"},
		{`SELECT * FROM t SAMPLE (10 ROWS)`, "0A000", `SAMPLE is not supported yet`, "SAMPLE"},
		{`SELECT * FROM t USING SAMPLE 10%`, "0A000", `SAMPLE is not supported yet`, "SAMPLE"},
		{`SELECT TABLE(f(rows => TABLE(t)))`, "0A000", `TABLE(…) in this place is not supported yet`, "TABLE(f"},
		{`SELECT * FROM TABLE(f(rows => TABLE(t) PARTITION BY k COPARTITION (a, b)))`, "0A000", `COPARTITION is not supported yet`, "COPARTITION"},
		{`SELECT * FROM TABLE(f(a => TABLE(t), b => TABLE(u)))`, "0A000", `more than one table argument is not supported yet`, "TABLE(u"},
		{`SELECT * FROM TABLE(f(a => TABLE(t) PRUNE WHEN EMPTY))`, "0A000", `PRUNE WHEN EMPTY here is not supported yet`, "PRUNE"},
		{`SELECT * FROM TABLE(f(a => TABLE(t) PARTITION BY))`, "42601", `syntax error at or near ")"`, "))"},
		{`CREATE OR REPLACE MODEL m USING x AS SELECT 1`, "0A000", `CREATE MODEL is not supported yet`, "MODEL"},
		{`CREATE MODEL m AS SELECT 1`, "0A000", `CREATE MODEL is not supported yet`, "MODEL"},
		{`SELECT a FROM t GROUP BY ALL APPLY f(x)`, "0A000", `GROUP BY ALL with APPLY is not supported yet`, "ALL"},
		{`SELECT array_agg(x IGNORE NULLS) FROM t`, "0A000", `IGNORE NULLS is not supported yet`, "IGNORE"},
		{`SELECT max(x) respect nulls FROM t`, "0A000", `RESPECT NULLS is not supported yet`, "respect"},
		{`CREATE ASSERTION a CHECK (true)`, "0A000", `CREATE ASSERTION is not yet implemented`, ""},
	} {
		_, err := Parse(tt.sql)
		var e *pgerr.Error
		if !errors.As(err, &e) {
			t.Errorf("%s: no error", tt.sql)
			continue
		}
		if e.Code != tt.code || e.Message != tt.message {
			t.Errorf("%s: %s %q, want %s %q", tt.sql, e.Code, e.Message, tt.code, tt.message)
		}
		if strings.HasSuffix(e.Message, "yet") && e.Hint == "" {
			t.Errorf("%s: no hint", tt.sql)
		}
		if tt.at == "" {
			continue
		}
		rest := ""
		if runes := []rune(tt.sql + "$"); e.Position > 0 && e.Position <= len(runes) {
			rest = string(runes[e.Position-1:])
		}
		if !strings.HasPrefix(rest, tt.at) {
			t.Errorf("%s: position %d, before %q, want it before %q", tt.sql, e.Position, rest, tt.at)
		}
	}
}

var clauseWords = []string{"apply", "nulls", "qualify", "asof", "semi", "anti", "exclude", "except", "replace", "rename", "all", "table"}

func FuzzParse(f *testing.F) {
	for _, tt := range rewriteTests {
		f.Add(tt.sql)
	}
	for _, sql := range append(identityTests, lexSeeds...) {
		f.Add(sql)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		list, err := Parse(sql)
		if pgerr.Code(err) == pgerr.InternalError {
			t.Fatalf("%q: %v", sql, err)
		}
		for _, s := range list {
			if !strings.HasPrefix(sql[s.Offset:], s.SQL) {
				t.Fatalf("%q: statement %q at %d", sql, s.SQL, s.Offset)
			}
			if low := strings.ToLower(sql); s.src.text != sql && !slices.ContainsFunc(clauseWords, func(w string) bool { return strings.Contains(low, w) }) {
				t.Fatalf("%q: rewritten to %q", sql, s.src.text)
			}
		}
	})
}
