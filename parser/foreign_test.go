package parser

import (
	"strings"
	"testing"

	"github.com/volleydb/volley/pgerr"
)

func TestOtherDatabase(t *testing.T) {
	for _, c := range []struct{ sql, want string }{
		{"SELECT * FROM here.public.t, public.u, v WHERE x = '1.2.3' AND y > 1.5", ""},
		{"SELECT here.public.f(t.a.b.c) FROM here.public.t", ""},
		{"SELECT * FROM other.public.t", `"other.public.t"`},
		{"SELECT 1 FROM a WHERE EXISTS (SELECT * FROM other.public.t)", `"other.public.t"`},
		{"INSERT INTO other.public.t VALUES (1)", `"other.public.t"`},
		{"DELETE FROM other.public.t", `"other.public.t"`},
		{"CREATE TABLE other.public.t (a int)", `"other.public.t"`},
		{"TRUNCATE other.public.t", `"other.public.t"`},
		{"COPY other.public.t FROM stdin", `"other.public.t"`},
		{"DROP TABLE here.public.t, other.public.t", `"other.public.t"`},
		{"ALTER TABLE other.public.t RENAME TO u", `"other.public.t"`},
		{"SELECT other.public.f(1)", "other.public.f"},
		{"CALL other.public.f(1)", "other.public.f"},
		{"SELECT x::other.public.t FROM y", "other.public.t"},
		{"DROP FUNCTION other.public.f(int)", "other.public.f"},
		{"GRANT EXECUTE ON FUNCTION other.public.f(int) TO u", "other.public.f"},
		{"CREATE FUNCTION other.public.f() RETURNS int LANGUAGE sql AS 'select 1'", "other.public.f"},
		{"EXPLAIN SELECT * FROM other.public.t", `"other.public.t"`},
	} {
		sts, err := Parse(c.sql)
		if err != nil {
			t.Fatalf("%s: %v", c.sql, err)
		}
		err = sts[0].OtherDatabase("here")
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", c.sql, err)
			}
			continue
		}
		if pgerr.Code(err) != pgerr.FeatureNotSupported || !strings.HasSuffix(err.Error(), "cross-database references are not implemented: "+c.want) {
			t.Errorf("%s: %v, want one to %s", c.sql, err, c.want)
		}
	}
}
