// Package clients drives a whole server with the programs that people use: psql
// where it is installed, pgx, and the catalog queries of other clients.
package clients
