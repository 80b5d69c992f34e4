// Package udftest tests functions without an engine: it calls them as Volley does, in
// batches of several sizes, with NULLs among the rows, with states that move between
// workers, and says where a result depends on what it must not depend on. It needs
// the SDK alone.
//
//	func TestFunctions(t *testing.T) {
//		f := udftest.New(t, functions()...)
//		f.Scalar(t, "normalize", udftest.Case{In: udftest.Row{" Ann "}, Out: "ann"})
//		f.Aggregate(t, "mean", udftest.Group{Rows: udftest.Rows{{1}, {2}, {6}}, Out: 3})
//		f.Golden(t, "golden.json")
//	}
//
// Values are what Go has for the SDK's types; nil is NULL, an int is any number.
// Results are compared by value: 3 is 3.0.
package udftest
