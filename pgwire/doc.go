// Package pgwire speaks the Postgres frontend/backend protocol, 3.0 and 3.2:
// it turns a client's bytes into calls on a Session and the Session's batches
// into DataRow messages.
//
// One connection has two goroutines. The reader cuts the byte stream into
// messages and puts them into a bounded inbox; because it keeps reading while a
// statement runs, it notices at once when the client has gone, and cancels. The
// other one owns the Session and the prepared statements and portals, handles
// one message after the other, and writes. Rows are encoded straight from the
// vectors into the write buffer, which goes to the socket whenever it exceeds
// 64 KiB: a client that does not read makes the statement wait.
//
// # Limits
//
//   - A message before authentication has at most 10,000 bytes, one of a kind
//     that carries neither SQL nor data too; others at most
//     Config.MaxMessageBytes. A larger one ends the connection with 08P01.
//   - A client may send 1 MiB or 1,024 messages ahead of the one being handled;
//     then the reader waits, and a lost client is noticed only by writing to it.
//   - A client that goes away, even after a proper Terminate, cancels what it
//     still has running or queued.
//   - A client that stays but does not read holds its statement up: cancelling
//     and timeouts take effect when it reads again, or on shutdown.
//   - A connection holds at most 10,000 prepared statements and 1,000 portals.
//   - client_encoding is UTF8. The function-call message, replication
//     connections, GSSAPI, and the password methods other than SCRAM-SHA-256
//     are refused.
//   - Elements of arrays of reg* types are printed as numbers.
//   - RowDescription says table 0, column 0 for every field.
//   - A cursor made by SQL's DECLARE can be described as a portal when the
//     Session has the method of Cursors; it cannot be executed as one. FETCH
//     does not see portals made by Bind; CLOSE and DISCARD do.
//   - Named statements of Parse and of SQL's PREPARE are the same when the
//     Session has the methods of Statements.
package pgwire
