// Package cluster owns the workers and the queries that run on them: it keeps
// the membership (leases, probes), drives the scheduler's state machine with
// what happens, carries its commands to the workers, and hands a query's result
// batches to the caller.
package cluster
