// Package pgerr is the one error type of Volley: a message with a SQLSTATE,
// and optionally a position in the statement, a detail and a hint, as Postgres
// reports them; and a Class that tells the scheduler what may be retried.
//
// Every error that can reach a client is made here, by New or Wrap, and is
// never turned into a string and back on its way: over gRPC it travels as
// proto.Error (see package proto), inside a process it is found by errors.As.
package pgerr
