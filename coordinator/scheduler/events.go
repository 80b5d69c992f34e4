package scheduler

import (
	"time"

	"github.com/volleydb/volley/exchange"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
)

// Worker identifies a worker's process: a restarted one is another.
type Worker struct {
	ID          string
	Incarnation string
}

// Event is something that happened. Events of queries, attempts and workers
// that are not current have no effect.
type Event interface{ event() }

// The events.
type (
	// WorkerUp registers a worker, or updates it.
	WorkerUp struct {
		Worker   Worker
		Address  string // of its exchange
		Slots    int
		Embedded bool
		// Plan versions it can run; 0, 0 = any.
		PlanMin, PlanMax uint32
	}
	// WorkerSuspect says whether a worker may get new tasks.
	WorkerSuspect struct {
		Worker  Worker
		Suspect bool
	}
	// WorkerDraining: it finishes what it has and gets nothing new.
	WorkerDraining struct{ Worker Worker }
	// WorkerLost is the one way in which a worker goes, with all its outputs.
	WorkerLost struct{ Worker Worker }
	// WorkerResync follows a reconnection: Known are the attempts that it has.
	WorkerResync struct {
		Worker Worker
		Known  map[exchange.TaskKey]bool
	}
	// QuerySubmitted starts a plan.
	QuerySubmitted struct {
		Query    string
		Plan     *proto.Plan
		Embedded bool          // everything on the embedded worker
		Wait     time.Duration // for a first worker; 0 = Config's
	}
	// TaskSealed: the attempt's output is complete.
	TaskSealed struct {
		Worker     Worker
		Task       exchange.TaskKey
		Partitions []*proto.PartitionStat
	}
	// TaskProgress tells how far a running attempt is, 0…1.
	TaskProgress struct {
		Task     exchange.TaskKey
		Progress float64
	}
	// TaskFailed: the attempt has ended without output. Lost is the input that
	// could not be read, if that was the reason; Gone that its worker said so.
	TaskFailed struct {
		Worker Worker
		Task   exchange.TaskKey
		Err    *pgerr.Error
		Lost   *exchange.TaskKey
		Gone   bool
	}
	// FetchFailed: the coordinator itself could not read a result output.
	FetchFailed struct {
		Task exchange.TaskKey
		Gone bool
	}
	// ResultTaken: rows of a result task went to the client; Done: all of them.
	ResultTaken struct {
		Query string
		Task  uint32
		Done  bool
	}
	// Cancelled ends a query; nothing more is said about it.
	Cancelled struct{ Query string }
	// Tick tells the time, of any origin but monotonic.
	Tick struct{ Now time.Duration }
)

func (WorkerUp) event()       {}
func (WorkerSuspect) event()  {}
func (WorkerDraining) event() {}
func (WorkerLost) event()     {}
func (WorkerResync) event()   {}
func (QuerySubmitted) event() {}
func (TaskSealed) event()     {}
func (TaskProgress) event()   {}
func (TaskFailed) event()     {}
func (FetchFailed) event()    {}
func (ResultTaken) event()    {}
func (Cancelled) event()      {}
func (Tick) event()           {}

// Command is something to do.
type Command interface{ command() }

// The commands.
type (
	// RunTask starts an attempt.
	RunTask struct {
		Worker  Worker
		Task    exchange.TaskKey
		Stage   *proto.Stage
		Sources []*proto.TaskSource
		// Alone: an earlier attempt failed where it may be another task's fault.
		Alone bool
	}
	// CancelTask stops an attempt whose output nobody wants any more.
	CancelTask struct {
		Worker Worker
		Task   exchange.TaskKey
	}
	// DropQuery stops a query's tasks and frees its outputs on workers.
	DropQuery struct {
		Query   string
		Workers []Worker
		Running bool // some task may still run
	}
	// Probe asks for a check whether a worker lives.
	Probe struct{ Worker Worker }
	// ResultReady: a result task's output can be read (again).
	ResultReady struct {
		Task    exchange.TaskKey
		Worker  Worker
		Address string
		Rows    int64
		Bytes   int64
	}
	// ResultLost: stop reading it; a later ResultReady follows.
	ResultLost struct{ Task exchange.TaskKey }
	// QueryDone: the client has everything.
	QueryDone struct{ Query string }
	// QueryFailed ends a query with an error.
	QueryFailed struct {
		Query string
		Err   *pgerr.Error
	}
)

func (RunTask) command()     {}
func (CancelTask) command()  {}
func (DropQuery) command()   {}
func (Probe) command()       {}
func (ResultReady) command() {}
func (ResultLost) command()  {}
func (QueryDone) command()   {}
func (QueryFailed) command() {}
