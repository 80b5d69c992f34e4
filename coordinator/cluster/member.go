package cluster

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/volleydb/volley/coordinator/scheduler"
	"github.com/volleydb/volley/exchange"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/udf"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// member is a worker. The cluster's mutex guards it.
type member struct {
	id        scheduler.Worker
	embedded  bool
	reg       *proto.Register
	session   *session // nil while disconnected, and for the embedded worker
	suspect   bool
	probing   bool
	probed    time.Time
	connected time.Time
	seen      time.Time
}

// session is a Session stream's sending side.
type session struct {
	cancel context.CancelFunc
	sent   map[stageKey]bool // stages that the worker has
	mu     sync.Mutex
	queue  []*proto.WorkerCommand
	wake   chan struct{} // capacity 1
}

type stageKey struct {
	query string
	stage uint32
}

// send queues a command; false without a session, when a later resync tells.
func (m *member) send(c *proto.WorkerCommand) bool {
	s := m.session
	if s == nil {
		return false
	}
	s.mu.Lock()
	s.queue = append(s.queue, c)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return true
}

// run sends a task, its stage only the first time.
func (m *member) run(t *proto.RunTask) {
	if s := m.session; s != nil {
		k := stageKey{t.Id.Query, t.Id.Stage}
		if s.sent[k] {
			t.Stage, t.Context = nil, nil
		}
		s.sent[k] = true
		m.send(&proto.WorkerCommand{Command: &proto.WorkerCommand_Run{Run: t}})
	}
}

func (m *member) forget(query string) {
	if m.session == nil {
		return
	}
	for k := range m.session.sent {
		if k.query == query {
			delete(m.session.sent, k)
		}
	}
}

func (m *member) hangUp() {
	if m.session != nil {
		m.session.cancel()
		m.session = nil
	}
}

// server is the Control service.
type server struct {
	proto.UnimplementedControlServer
	c *Cluster
}

// Serve registers the Control service. The embedded worker's Exchange service is
// registered by worker.Worker.Serve.
func (c *Cluster) Serve(s grpc.ServiceRegistrar) { proto.RegisterControlServer(s, &server{c: c}) }

// Lease implements Control.
func (s *server) Lease(_ context.Context, req *proto.LeaseRequest) (*proto.LeaseReply, error) {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.members[scheduler.Worker{ID: req.WorkerId, Incarnation: req.Incarnation}]
	if m == nil {
		return &proto.LeaseReply{Epoch: c.epoch}, nil
	}
	m.seen = time.Now()
	return &proto.LeaseReply{Known: true, Epoch: c.epoch}, nil
}

// Session implements Control.
func (s *server) Session(stream grpc.BidiStreamingServer[proto.WorkerMessage, proto.WorkerCommand]) error {
	c := s.c
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	reg := first.GetRegister()
	if reg == nil || reg.WorkerId == "" || reg.Incarnation == "" {
		return status.Error(codes.InvalidArgument, "the first message must be Register, with a worker id and an incarnation")
	}
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	ses := &session{cancel: cancel, sent: map[stageKey]bool{}, wake: make(chan struct{}, 1)}
	m, err := c.register(reg, ses)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		defer cancel()
		ses.pump(ctx, stream)
	}()
	// Recv knows nothing of our cancel, only of the stream's end: it has a
	// goroutine that ends when this handler has returned.
	msgs := make(chan *proto.WorkerMessage)
	ended := make(chan error, 1)
	go func() {
		for {
			msg, err := stream.Recv()
			if err != nil {
				ended <- err
				return
			}
			select {
			case msgs <- msg:
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		select {
		case msg := <-msgs:
			c.message(m, msg)
			continue
		case err = <-ended:
		case <-ctx.Done():
			err = status.Error(codes.Unavailable, "the session was ended by the coordinator")
		}
		break
	}
	cancel()
	wg.Wait()
	c.sessionEnded(m, ses)
	if err == io.EOF {
		return nil
	}
	return err
}

func (s *session) pump(ctx context.Context, stream grpc.BidiStreamingServer[proto.WorkerMessage, proto.WorkerCommand]) {
	for {
		s.mu.Lock()
		q := s.queue
		s.queue = nil
		s.mu.Unlock()
		for _, c := range q {
			if stream.Send(c) != nil {
				return
			}
		}
		if len(q) > 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		}
	}
}

// register admits a worker, new or back again.
func (c *Cluster) register(reg *proto.Register, ses *session) (*member, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, status.Error(codes.Unavailable, "the coordinator is shutting down")
	}
	id := scheduler.Worker{ID: reg.WorkerId, Incarnation: reg.Incarnation}
	if id.ID == c.embedded.ID {
		return nil, status.Errorf(codes.AlreadyExists, "worker name %q is the coordinator's own", id.ID)
	}
	now := time.Now()
	for _, old := range c.members {
		if old.id.ID != id.ID || old.id == id {
			continue
		}
		// A process that was restarted at its address, or whose predecessor has
		// fallen silent, takes over. Otherwise there are two of the same name:
		// taking over would let them throw each other out for ever.
		if old.session != nil && !old.suspect && old.reg.ExchangeAddress != reg.ExchangeAddress {
			c.cfg.Log.Warn("worker refused: its name is taken", "worker", id.ID, "address", reg.ExchangeAddress, "taken by", old.reg.ExchangeAddress)
			return nil, status.Errorf(codes.AlreadyExists, "another worker, at %s, has the name %q; names are given by --id", old.reg.ExchangeAddress, id.ID)
		}
		c.lost(old, "restarted")
		break
	}
	m := c.members[id]
	back := m != nil
	if !back {
		m = &member{id: id, connected: now}
		c.members[id] = m
	}
	m.hangUp()
	c.forgetDrops(id)
	m.reg, m.session, m.seen, m.suspect = reg, ses, now, false
	m.send(&proto.WorkerCommand{Command: &proto.WorkerCommand_Registered{Registered: &proto.Registered{Epoch: c.epoch}}})
	c.cfg.Log.Info("worker registered", "worker", id.ID, "incarnation", id.Incarnation, "address", reg.ExchangeAddress, "again", back)
	known := map[exchange.TaskKey]bool{}
	for _, t := range reg.Tasks {
		known[exchange.KeyOf(t.Id)] = true
	}
	if back || len(known) > 0 {
		// Before the worker counts as up, so that what it still runs is settled first.
		for _, t := range reg.Tasks {
			if t.State != proto.TaskReport_STARTED {
				c.takeReport(id, t)
			}
		}
	}
	c.handle(scheduler.WorkerUp{
		Worker: id, Address: reg.ExchangeAddress, Slots: int(max(reg.Slots, 1)),
		PlanMin: reg.PlanVersionMin, PlanMax: reg.PlanVersionMax,
	})
	if back || len(known) > 0 {
		c.handle(scheduler.WorkerResync{Worker: id, Known: known})
	}
	return m, nil
}

func (c *Cluster) message(m *member, msg *proto.WorkerMessage) {
	switch x := msg.Message.(type) {
	case *proto.WorkerMessage_Report:
		c.report(m.id, x.Report)
	case *proto.WorkerMessage_Dropped:
		c.dropped(m.id, x.Dropped.Query)
	case *proto.WorkerMessage_Logs:
		if c.cfg.Logs == nil {
			return
		}
		lines := make([]udf.LogLine, len(x.Logs.Lines))
		for i, l := range x.Logs.Lines {
			lines[i] = udf.LogLine{At: time.UnixMicro(l.AtUs), Query: l.Query, Function: l.Function, Digest: l.Digest, Worker: m.id.ID, Level: l.Level, Line: l.Line}
		}
		c.cfg.Logs(lines)
	case *proto.WorkerMessage_Draining:
		c.mu.Lock()
		c.handle(scheduler.WorkerDraining{Worker: m.id})
		c.mu.Unlock()
	}
}

// forgetDrops gives up waiting for a member's confirmations, which a broken
// session may have lost. c.mu is held.
func (c *Cluster) forgetDrops(id scheduler.Worker) {
	for q, d := range c.drops {
		delete(d.waiting, id)
		c.settle(q)
	}
}

// sessionEnded finds out whether the worker is gone or will come back.
func (c *Cluster) sessionEnded(m *member, ses *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.session != ses || c.closed {
		return // replaced, or hung up by us
	}
	m.session = nil
	c.forgetDrops(m.id)
	c.suspect(m, "its session ended")
}

// probeTimeout is how long a probe waits. No answer proves nothing; a refused
// connection or another incarnation does.
const probeTimeout = 2 * time.Second

// probeEvery is the pause between probes of a suspect.
const probeEvery = 300 * time.Millisecond

// probe asks a member's exchange who is there. c.mu is held.
func (c *Cluster) probe(id scheduler.Worker) {
	m := c.members[id]
	if m == nil || m.embedded || m.probing || c.closed {
		return
	}
	m.probing, m.probed = true, time.Now()
	address := m.reg.ExchangeAddress
	c.wg.Add(1)
	go func() {
		defer c.wg.Done()
		ctx, cancel := context.WithTimeout(c.ctx, probeTimeout)
		defer cancel()
		// A connection of its own: a pooled one may be waiting in its back-off.
		peers := exchange.NewPeers(c.cfg.Dial...)
		inc, err := peers.Ping(ctx, address)
		_ = peers.Close()
		c.mu.Lock()
		defer c.mu.Unlock()
		m.probing = false
		switch {
		case c.ctx.Err() != nil:
		case err == nil && inc != id.Incarnation:
			c.lost(m, "another process answers at its address")
		case err != nil && ctx.Err() == nil && pgerr.ClassOf(err) == pgerr.Transient:
			c.lost(m, err.Error())
		}
	}()
}

// FetchArtifact implements Control.
func (s *server) FetchArtifact(req *proto.ArtifactRequest, stream grpc.ServerStreamingServer[proto.Chunk]) error {
	if s.c.cfg.Artifacts == nil {
		return status.Error(codes.NotFound, "this coordinator has no artifacts")
	}
	r, signatures, err := s.c.cfg.Artifacts(stream.Context(), req.Digest)
	if err != nil {
		return exchange.Status(codes.NotFound, err)
	}
	defer r.Close()
	buf := make([]byte, 256<<10)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			if err := stream.Send(&proto.Chunk{Data: buf[:n], Signatures: signatures}); err != nil {
				return err
			}
			signatures = nil
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return exchange.Status(codes.Internal, pgerr.Wrap(err, pgerr.IOError, "could not read artifact %s", req.Digest))
		}
	}
}
