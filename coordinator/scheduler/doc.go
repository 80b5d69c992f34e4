// Package scheduler decides which task runs where and when it runs again: a
// pure state machine, events in and commands out, without clock, goroutine or
// I/O, so that any history can be simulated.
package scheduler
