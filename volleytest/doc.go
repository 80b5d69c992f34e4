// Package volleytest runs an engine inside a Go test: with the functions of the
// program under test, over rows that the test gives, in a directory that is gone
// afterwards.
//
//	func TestScore(t *testing.T) {
//		db := volleytest.New(t, functions()...)
//		db.LoadCSV(t, "games", "user_id,g1\n1,0.5\n2,0.25\n")
//		db.Query(t, "SELECT user_id, score(g1) FROM games ORDER BY 1").Equal(t, `
//			user_id | score
//			1       | 0.62
//			2       | 0.56`)
//	}
//
// The engine starts in a few milliseconds. In a build without cgo, or without the
// tag pgquery_cgo, the first statement of a test program takes a second or two more:
// the SQL parser is then WebAssembly and is compiled on first use.
package volleytest
