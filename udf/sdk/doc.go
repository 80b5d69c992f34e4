// Package udf is what authors of Volley functions write against. It uses the
// standard library only.
//
// A plugin is a main package that names its functions:
//
//	func main() {
//		udf.Main(
//			udf.Scalar("normalize", normalize),   // func(string) string
//			udf.Vector("score_row", scoreRow),    // func(x, y, out []float64) error
//			udf.GroupedMap("Score", in, out, score),
//			udf.Init(loadModel),                  // once per process
//		)
//	}
//
// `volley udf build DIR` makes an artifact of it, and CREATE FUNCTION … LANGUAGE go
// registers its functions. Volley starts the program once per worker and calls
// its functions from several goroutines: what they share needs a lock, or is
// made by Init and not changed.
//
// Types: bool, int16, int32, int64, float32, float64, string, []byte, time.Time
// (timestamp, timestamptz and date) stand for the SQL types smallint, integer,
// bigint, real, double precision, text and its kin, bytea. Null[T] is a T that
// may be NULL. A function is not called for a row where an argument is NULL whose
// Go type cannot be: the result is NULL.
//
// A panic or an error ends the statement with SQLSTATE 38000 (or the code that
// the error's SQLState method returns), the place, and the arguments; the process
// lives on. What is written to stdout and stderr goes to the worker's log.
package udf
