// Package kinds tests every kind of user-defined function from SQL, on one server and
// on clusters.
package kinds
