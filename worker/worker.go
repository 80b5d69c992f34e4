package worker

import (
	"context"
	"io"
	"log/slog"

	"github.com/volleydb/volley/exchange"
)

// Config says what a Worker is made of.
type Config struct {
	ID     string // stable name; must be unique in a cluster
	Slots  int    // tasks that run at once
	Memory int64  // bytes for tasks, as registered
	Store  *exchange.Store
	Runner Runner
	// Artifacts may be nil when no UDF with an artifact is ever run.
	Artifacts Artifacts
	// FetchArtifact gets an artifact that is missing. A remote worker's Connect
	// sets it; nil means there is nowhere to fetch from.
	FetchArtifact func(ctx context.Context, digest string, w io.Writer) error
	// ExchangeAddress is where other workers reach this one's exchange.
	ExchangeAddress string
	Version         string
	Log             *slog.Logger
}

// Worker runs tasks.
type Worker struct{ cfg Config }

// New makes a worker; it is idle until told to run something.
func New(cfg Config) (*Worker, error) { return &Worker{cfg: cfg}, nil }
