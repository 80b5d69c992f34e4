// Package foreign tests functions in languages whose code runs outside of Go,
// python and grpc, from SQL.
package foreign
