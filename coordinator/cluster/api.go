package cluster

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/udf"
	"github.com/volleydb/volley/worker"
	"google.golang.org/grpc"
)

// Config says how a Cluster works. The zero durations get their defaults.
type Config struct {
	// Embedded runs in this process. It is required: plans over catalog tables
	// never leave the coordinator.
	Embedded *worker.Worker
	// RunLocally lets the embedded worker run every plan while no remote worker
	// is connected (`volley serve`). Without it (`volley coordinator`) it runs
	// only coordinator-only plans and plans that read no data.
	RunLocally bool
	// ExchangeAddress is where remote workers reach the embedded worker's
	// exchange. When empty, a plan with any coordinator-only stage runs embedded.
	ExchangeAddress string
	// Dial are the options for connections to workers' exchanges; none means
	// plaintext.
	Dial []grpc.DialOption
	// Artifacts opens a UDF artifact for a worker that asks for it, with its
	// signatures; may be nil.
	Artifacts func(ctx context.Context, digest string) (r io.ReadCloser, signatures []byte, err error)

	// Logs gets what user code has written on the workers; may be nil.
	Logs func([]udf.LogLine)

	SuspectAfter time.Duration // without a lease renewal: no new tasks, probe; 5 s
	DeadAfter    time.Duration // without a lease renewal: gone; 15 s
	NoWorkerWait time.Duration // how long a query waits for a first worker; 10 s
	LostWait     time.Duration // how long it waits when all its workers are gone; 30 s
	Log          *slog.Logger
}

// Options are per query.
type Options struct {
	// Local travels beside the plan to tasks of the embedded worker as
	// worker.Task.Local.
	Local any
	// ForceEmbedded runs the plan on the embedded worker whatever is connected.
	ForceEmbedded bool
	// Ended is called once, when the rows have been read or the query is closed,
	// with the figures of its operators. failed says that it ended with an error.
	Ended func(stats []*proto.OperatorStats, failed bool)
	// Timed keeps the times of tasks for Running.Tasks.
	Timed bool
	// NoWorkerWait overrides Config.NoWorkerWait when positive.
	NoWorkerWait time.Duration
}

// WorkerInfo describes a member.
type WorkerInfo struct {
	ID              string
	Incarnation     string
	Address         string // of its exchange, "" for the embedded worker
	Version         string
	State           string // up, suspect, draining
	Embedded        bool
	Slots           int
	Memory          int64
	RunningTasks    int
	PlanVersionMin  int
	PlanVersionMax  int
	ConnectedAt     time.Time
	LastSeen        time.Time
	CompletedTasks  int64
	FailedTasks     int64
	RetainedOutputs int64 // sealed task outputs of running queries
}

// QueryInfo describes a running query.
type QueryInfo struct {
	ID       string
	Started  time.Time
	Progress float64
	Stages   []StageInfo
}

// StageInfo describes a stage of a running query.
type StageInfo struct {
	ID, Epoch                      uint32
	Tasks, Waiting, Running, Ended int
	Attempts                       int // started so far
}
