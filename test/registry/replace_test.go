package registry

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/volleydb/volley/test/engine"
)

// The promises of versions hold embedded and with workers: a query calls the version
// that its plan was made with although its function is replaced 100 times, two
// versions run in one query, and rollback is one statement.
func TestReplaceRunRollback(t *testing.T) {
	for _, workers := range []int{0, 2} {
		t.Run(fmt.Sprintf("%dworkers", workers), func(t *testing.T) {
			e := engine.Start(t, workers)
			v1, v2 := artifacts(t, e)
			c, d := connect(t, e, ""), connect(t, e, "")
			c.create(v1, "f", "slow", "")
			c.run(`SET volley.rows_per_task = 10000`)
			results := make(chan []string, 1)
			stop := make(chan struct{})
			go func() {
				var got []string
				for {
					r, err := c.Run(context.Background(), `SELECT min(v), max(v), count(*) FROM (SELECT f(x) v FROM generate_series(1, 100000) x) s`)
					if err != nil {
						got = append(got, err.Error())
					} else {
						got = append(got, strings.Join(r.Rows[0], "|"))
					}
					select {
					case <-stop:
						results <- got
						return
					default:
					}
				}
			}()
			for i := range 100 {
				d.create([]string{v2, v1}[i%2], "f", "slow", "")
			}
			close(stop)
			seen := map[string]int{}
			for _, r := range <-results {
				seen[r]++
				if r != "1|1|100000" && r != "2|2|100000" {
					t.Errorf("a query saw two versions: %s", r)
				}
			}
			t.Logf("%v", seen)
			d.want(`SELECT count(*) FROM volley.function_versions`, "101")

			// Version 101 is of the first artifact, version 100 of the second.
			d.want(`SELECT sum("f@100"(x)), sum(f(x)) FROM generate_series(1, 20000) x`, "40000|20000")
			d.want(`SELECT count(*) FROM generate_series(1, 3000) x WHERE "f@100"(x) > "f@101"(x)`, "3000")
			d.run(`ALTER FUNCTION f(bigint) SET volley.version = '100'`)
			d.want(`SELECT sum(f(x)) FROM generate_series(1, 20000) x`, "40000")
			d.run(`ALTER FUNCTION f(bigint) RESET volley.version`)
			d.want(`SELECT sum(f(x)) FROM generate_series(1, 20000) x`, "20000")
		})
	}
}

// An aggregate made of functions calls them in its owner's name, who had to be
// allowed to when it was made; callers need EXECUTE of the aggregate alone.
func TestAggregateRights(t *testing.T) {
	e := engine.Start(t, 0)
	c := connect(t, e, "")
	c.run(`CREATE FUNCTION plus(a int, b int) RETURNS int LANGUAGE sql IMMUTABLE STRICT AS 'SELECT a + b'`)
	c.run(`CREATE AGGREGATE adds(int) (SFUNC = plus, STYPE = int)`)
	c.run(`CREATE ROLE bob LOGIN`)
	c.run(`REVOKE EXECUTE ON FUNCTION plus(int, int) FROM PUBLIC`)
	b := connect(t, e, "bob")
	b.want(`SELECT adds(x) FROM generate_series(1, 4) x`, "10")
	b.fails(`SELECT plus(1, 2)`, "42501", "permission denied for function plus")
	b.fails(`CREATE AGGREGATE mine(int) (SFUNC = plus, STYPE = int)`, "42501", "permission denied for function plus")
	c.run(`REVOKE EXECUTE ON FUNCTION adds(int) FROM PUBLIC`)
	b.fails(`SELECT adds(x) FROM generate_series(1, 4) x`, "42501", "permission denied for aggregate adds")
	c.run(`GRANT EXECUTE ON FUNCTION plus(int, int), adds(int) TO bob`)
	b.run(`CREATE AGGREGATE mine(int) (SFUNC = plus, STYPE = int)`)
	b.want(`SELECT mine(x) FROM generate_series(1, 4) x`, "10")
	c.run(`REVOKE EXECUTE ON FUNCTION plus(int, int) FROM bob`)
	c.fails(`SELECT mine(x) FROM generate_series(1, 4) x`, "42501", "permission denied for function plus")

	// Functions of a session are nobody else's.
	b.run(`CREATE FUNCTION pg_temp.own(x int) RETURNS int LANGUAGE sql AS 'SELECT x * 2'`)
	b.want(`SELECT pg_temp.own(4)`, "8")
	c.fails(`SELECT pg_temp.own(4)`, "42883", "function pg_temp.own(integer) does not exist")
}
