// Package volley embeds the engine in a Go program: a database in a directory, SQL,
// and functions that the program declares with package udf/sdk and that are called
// without leaving the process.
//
//	db, err := volley.Open(ctx, volley.Options{Dir: "data"})
//	…
//	defer db.Close()
//	err = db.Register(ctx, udf.Scalar("clean", clean, udf.Immutable))
//	rows, err := db.Query(ctx, "SELECT clean(name), count(*) FROM people GROUP BY 1")
//
// The same directory can be served by the volley program later, though not at the
// same time; functions of this program can then not be called.
package volley
