// Package exchange keeps the sealed outputs of tasks and moves them to the
// tasks that read them: as the same batches inside a process, as Arrow IPC
// blocks over gRPC between processes.
//
// A task's attempt writes one Output, through a Writer that partitions its
// batches. The output is addressed by TaskKey and partition, becomes readable
// when it is sealed, and is kept until its query is dropped. Memory comes
// first: batches are held by pointer until the store's budget is exceeded, then
// the largest outputs move to one indexed file each. A producer never waits for
// a consumer.
package exchange
