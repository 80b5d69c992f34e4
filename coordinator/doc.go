// Package coordinator runs statements: it keeps sessions and their settings,
// changes the catalog, plans queries, schedules their stages on workers and
// hands results back. It knows nothing of the wire protocol (package pgwire)
// and runs no operator itself except through a worker.
package coordinator
