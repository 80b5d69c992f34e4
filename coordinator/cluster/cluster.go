package cluster

import (
	"context"

	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/vector"
	"google.golang.org/grpc"
)

// Cluster is the membership and the running queries.
type Cluster struct{}

// New starts a cluster of the embedded worker.
func New(cfg Config) (*Cluster, error) { return &Cluster{}, nil }

// Serve registers the Control service.
func (c *Cluster) Serve(s grpc.ServiceRegistrar) {}

// Close fails what runs with 57P01 and ends everything.
func (c *Cluster) Close() error { return nil }

// Run starts a plan.
func (c *Cluster) Run(ctx context.Context, plan *proto.Plan, o Options) (*Running, error) {
	return nil, nil
}

// Workers lists the members.
func (c *Cluster) Workers() []WorkerInfo { return nil }

// Queries lists the running queries.
func (c *Cluster) Queries() []QueryInfo { return nil }

// Running is a query under way.
type Running struct{}

// Next returns the next result batch (dense), nil at the end.
func (r *Running) Next(ctx context.Context) (*vector.Batch, error) { return nil, nil }

// Stats returns the operators' statistics over all tasks, by operator id.
func (r *Running) Stats() map[uint32]*proto.OperatorStats { return nil }

// Progress is 0…1.
func (r *Running) Progress() float64 { return 0 }

// Close ends the query everywhere and waits for it.
func (r *Running) Close() {}
