// Package worker runs tasks: it takes RunTask commands, turns each into a
// pipeline of operators (through a Runner), writes what the pipeline yields to
// the exchange store, and reports. The same Worker serves embedded in a
// coordinator's process, by direct calls, and remotely, as the client of the
// coordinator's Control service (see Connect).
package worker
