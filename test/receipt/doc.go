// Package receipt tests receipts of queries and their replay, embedded and on a
// cluster.
package receipt
