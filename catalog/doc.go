// Package catalog keeps the metadata of a Volley installation: schemas, tables
// and their data files, views, user-defined functions, artifacts, roles,
// grants and settings.
//
// Readers use a Snapshot, which never changes: a statement takes one and plans
// against it. Writers go through a Tx, which records operations, applies them to
// a private draft and, on Commit, makes data files durable first and metadata
// last (one SQLite transaction), then publishes the next Snapshot. A crash at
// any moment leaves the old state or the new one; files that no state refers to
// are removed at the next Open.
//
// Files of dropped tables stay on disk while a Snapshot that shows them is
// pinned (Store.Acquire, Snapshot.Release).
package catalog
