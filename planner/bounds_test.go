package planner

import (
	"strconv"
	"strings"
	"testing"
)

// Wide and long statements are planned, or refused with the code of a limit; what is
// quadratic in them would show as seconds.
func TestBounds(t *testing.T) {
	list := func(n int, sep string, f func(i string) string) string {
		var b strings.Builder
		for i := range n {
			if i > 0 {
				b.WriteString(sep)
			}
			b.WriteString(f(strconv.Itoa(i)))
		}
		return b.String()
	}
	r := strings.Repeat
	for _, tt := range []struct{ name, sql, refused string }{
		{"2,000 columns", "SELECT " + list(2000, ", ", func(i string) string { return "id + " + i + " AS c" + i }) + " FROM small", ""},
		{"2,000 columns of a subquery, all but two excluded", "SELECT * EXCLUDE (" + list(1998, ", ", func(i string) string { return "c" + i }) + ") FROM (SELECT " +
			list(2000, ", ", func(i string) string { return i + " AS c" + i }) + ") q", ""},
		{"2,000 keys of GROUP BY ALL", "SELECT " + list(2000, ", ", func(i string) string { return "k + " + i }) + ", count(*) FROM small GROUP BY ALL ORDER BY ALL", ""},
		{"10,000 values of IN", "SELECT 1 FROM small WHERE id IN (" + list(10_000, ", ", func(i string) string { return i }) + ")", ""},
		{"10,000 values of IN, some no constants", "SELECT 1 FROM small WHERE id NOT IN (" + list(10_000, ", ", func(i string) string { return i }) + ", k)", ""},
		{"1 MB of a string", "SELECT '" + r("x", 1<<20) + "'", ""},
		{"1 MB of rows", "SELECT * FROM (VALUES " + list(60_000, ", ", func(i string) string { return "(" + i + ", 'abc')" }) + ") v", ""},
		{"10,000 parentheses", "SELECT " + r("(", 10_000) + "1" + r(")", 10_000), "54001"},
		{"10,000 additions", "SELECT 1" + r(" + 1", 10_000), "54001"},
		{"5,000 terms of OR", "SELECT 1 FROM small WHERE " + list(5000, " OR ", func(i string) string { return "id = " + i }), ""},
		{"100 ASOF joins", "SELECT 1 FROM small s" + list(100, "", func(i string) string {
			return " ASOF JOIN mid m" + i + " ON s.k = m" + i + ".k AND s.id >= m" + i + ".id"
		}), ""},
	} {
		text := planText(tt.sql)
		if refused := strings.Contains(text, tt.refused); tt.refused != "" && !refused || tt.refused == "" && strings.HasPrefix(text, "ERROR") {
			t.Errorf("%s: %.200s", tt.name, text)
		}
	}
}
