package mysql

import (
	"strings"
	"testing"

	"github.com/volleydb/volley/pgerr"
)

func convert(sql string) (string, error) {
	p := split(sql)[0]
	c := &converter{sql: sql, p: p, seen: map[string]int{}}
	_, err := c.parse()
	return c.out.String(), err
}

func TestConversions(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"SELECT `a`, `order`, `Two Words`, Foo FROM `t`", `SELECT a, "order", "Two Words", Foo FROM t`},
		{`SELECT "it's", 'a\nb', 1.5, 1e3, NULL`, "SELECT 'it''s', 'a\nb', 1.5, 1e3::float8, NULL"},
		{"SELECT 1 FROM dual", "SELECT 1"},
		{"SELECT a FROM t LIMIT 5, 10", "SELECT a FROM t LIMIT 10 OFFSET 5"},
		{"SELECT a FROM t ORDER BY a, b DESC", "SELECT a FROM t ORDER BY a NULLS FIRST, b DESC NULLS LAST"},
		{"SELECT a FROM t WHERE a || b && !c", "SELECT a FROM t WHERE (a OR (b AND (NOT c)))"},
		{"SELECT a <=> b, a / b, a DIV b, a % b, a MOD b FROM t", "SELECT a IS NOT DISTINCT FROM b, a * 1.0 / nullif(b, 0), trunc(a * 1.0 / nullif(b, 0))::bigint, mod(a, nullif(b, 0)), mod(a, nullif(b, 0)) FROM t"},
		{"SELECT IF(a > 1, 'x', b), IFNULL(a, 0), ISNULL(a) FROM t", "SELECT CASE WHEN (a > 1) THEN 'x' ELSE b END, coalesce(a, 0), a IS NULL FROM t"},
		{"SELECT CONCAT(a, '-', b + 1) FROM t", "SELECT (a::text || '-'::text || (b + 1)::text) FROM t"},
		{"SELECT GROUP_CONCAT(DISTINCT a ORDER BY a DESC SEPARATOR ';') FROM t", "SELECT string_agg(DISTINCT a::text, ';' ORDER BY a DESC NULLS LAST) FROM t"},
		{"SELECT COUNT(*), COUNT(DISTINCT a, b), SUM(a > 1) FROM t", "SELECT count(*), count(DISTINCT CASE WHEN a IS NOT NULL AND b IS NOT NULL THEN ARRAY[a::text, b::text] END), sum((a > 1)::int) FROM t"},
		{"SELECT DATE_FORMAT(d, '%Y-%m week %%') FROM t", `SELECT to_char(d::timestamp, 'YYYY-MM "week" %') FROM t`},
		{"SELECT STR_TO_DATE(s, '%d/%m/%Y'), STR_TO_DATE(s, '%d.%m.%Y %H:%i') FROM t", "SELECT to_timestamp(s, 'DD/MM/YYYY')::date, to_timestamp(s, 'DD.MM.YYYY HH24:MI')::timestamp FROM t"},
		{"SELECT DATE_ADD('2024-01-31', INTERVAL 1 MONTH), d - INTERVAL 2 HOUR FROM t", "SELECT ('2024-01-31'::timestamp + 1 * interval '1 month')::date, d - 2 * interval '1 hour' FROM t"},
		{"SELECT CAST(a AS SIGNED), CAST(a AS CHAR(3)), CAST(a AS DECIMAL(5,2)), CONVERT(a, DATETIME) FROM t", "SELECT a::bigint, left(a::text, 3), a::numeric(5,2), a::timestamp FROM t"},
		{"SELECT YEAR(d), DAYOFWEEK(d), DATEDIFF(a, b), UNIX_TIMESTAMP(d) FROM t", "SELECT extract(year from d::timestamp)::bigint, (extract(dow from d::timestamp)::bigint + 1), (a::date - b::date), extract(epoch from d::timestamp)::bigint FROM t"},
		{"SELECT LOCATE('x', a), SUBSTRING_INDEX(a, '.', 2), SUBSTRING(a, 2, 3) FROM t", "SELECT strpos(a, 'x'), array_to_string((string_to_array(a, '.'))[1:2], '.'), substr(a, 2, 3) FROM t"},
		{"SELECT a FROM t WHERE a REGEXP '^x' AND b NOT RLIKE 'y' AND c LIKE 'a%'", "SELECT a FROM t WHERE (((a ~ '^x') AND (b !~ 'y')) AND (c LIKE 'a%'))"},
		{"SELECT * FROM a JOIN b USING (id) LEFT JOIN c ON a.x = c.x, d", "SELECT * FROM a JOIN b USING (id) LEFT JOIN c ON (a.x = c.x), d"},
		{"SELECT a, COUNT(*) FROM t GROUP BY a WITH ROLLUP HAVING COUNT(*) > 1", "SELECT a, count(*) FROM t GROUP BY ROLLUP (a) HAVING ((count(*)) > 1)"},
		{"SELECT a FROM t UNION ALL (SELECT b FROM u ORDER BY b LIMIT 1)", "SELECT a FROM t UNION ALL (SELECT b FROM u ORDER BY b NULLS FIRST LIMIT 1)"},
		{"SELECT ROW_NUMBER() OVER (PARTITION BY a ORDER BY b) FROM t", "SELECT row_number() OVER (PARTITION BY a ORDER BY b NULLS FIRST) FROM t"},
		{"SELECT 1 FROM t WHERE 1", "SELECT 1 FROM t WHERE true"},
		{"INSERT INTO t (a, `b`) VALUES (1, 'x'), (2, DEFAULT)", "INSERT INTO t (a, b) VALUES (1, 'x'), (2, DEFAULT)"},
		{"CREATE TABLE IF NOT EXISTS t (a INT UNSIGNED NOT NULL, b VARCHAR(10) DEFAULT 'x', c DATETIME, d DECIMAL(8,2)) ENGINE=InnoDB", "CREATE TABLE IF NOT EXISTS t (a bigint NOT NULL, b varchar(10) DEFAULT 'x', c timestamp, d numeric(8,2))"},
		{"DROP TABLE IF EXISTS `t`", "DROP TABLE IF EXISTS t"},
		{"USE `db`", "SET search_path = db"},
		{"WITH q AS (SELECT 1 AS x) SELECT x FROM q", "WITH q AS (SELECT 1 AS x) SELECT x FROM q"},
	} {
		if got, err := convert(c.in); err != nil || got != c.want {
			t.Errorf("%s\n got %s (%v)\nwant %s", c.in, got, err, c.want)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct {
		in, code string
		pos      int
	}{
		{"SELECT a, FOO(b) FROM t", "0A000", 11},
		{"SELECT 'ä', HEX(a) FROM t", "0A000", 13},
		{"REPLACE INTO t VALUES (1)", "0A000", 1},
		{"INSERT INTO t VALUES (1) ON DUPLICATE KEY UPDATE a = 2", "0A000", 29},
		{"CREATE TABLE t (a INT AUTO_INCREMENT)", "0A000", 23},
		{"CREATE TABLE t (a ENUM('x'))", "0A000", 19},
		{"SELECT a FROM t FOR UPDATE", "0A000", 17},
		{"SELECT DATE_FORMAT(d, '%U') FROM t", "0A000", 8},
		{"SELECT a FROM WHERE", "42601", 15},
		{"UPDATE t SET a = 1", "0A000", 1},
	} {
		_, err := Parse(c.in)
		if err == nil {
			t.Errorf("%s: no error", c.in)
			continue
		}
		if e := pgerr.From(err); e.Code != c.code || e.Position != c.pos {
			t.Errorf("%s: %s at %d (%s), want %s at %d", c.in, e.Code, e.Position, e.Message, c.code, c.pos)
		}
	}
}

// TestStatements splits a text and keeps positions of the user's text.
func TestStatements(t *testing.T) {
	sql := "SELECT ';' # x;\n; SET volley.dialect = 'postgres';\nSELECT IFNULL(a, 1), `b` FROM `t` WHERE c = \"x\" -- ;"
	list, err := Parse(sql)
	if err != nil || len(list) != 3 {
		t.Fatalf("%v, %v", list, err)
	}
	if list[1].Node.GetVariableSetStmt() == nil {
		t.Error("SET is not Postgres'")
	}
	sel := list[2].Node.GetSelectStmt()
	b := sel.TargetList[1].GetResTarget().Val.GetColumnRef()
	if got, want := list[2].Pos(b.Location), len([]rune(sql[:strings.Index(sql, "`b`")]))+1; got != want {
		t.Errorf("b is at %d, want %d", got, want)
	}
}
