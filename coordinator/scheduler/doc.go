// Package scheduler decides which task runs where and when it runs again: a
// pure state machine, events in and commands out, without clock, goroutine or
// I/O, so that any history can be simulated.
//
// Rules. A stage starts when every task of the stages it reads is sealed. The
// unit of retry is the task; an attempt's identity is its TaskKey and only the
// current attempt's seal, from the worker it was given to, counts. An output
// that is lost is made again only when somebody still needs it: the client, or
// a consumer stage with unfinished tasks. The outputs of a volatile stage differ
// between attempts, so when one is lost that consumers may have read, the
// stage's epoch is bumped and all its consumers, transitively, start over; once
// the client has rows of such a result that is impossible and the query fails
// with 40001. User, UDF, resource and internal errors fail the query at once.
package scheduler
