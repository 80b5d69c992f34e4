// Package pgcatalog presents the catalog as the tables that Postgres clients
// ask: pg_catalog and information_schema with the columns of Postgres 15, and
// the schema volley for what Postgres has no table for.
//
// The tables are virtual: the planner finds their definitions with Find, the
// executor reads their rows from a View, and everything between is the ordinary
// engine. Rows come from a catalog.Snapshot, from the built-in functions
// (function.All) and types (types.All), and from what the View is given; rows
// that depend on nothing but the program are built once per process. A table
// that exists here without any object to show (pg_trigger, say) is empty but has
// all its columns, because clients select them by name.
//
// A View also answers the catalog functions (function.CatalogLookup), from the
// same snapshot.
package pgcatalog
