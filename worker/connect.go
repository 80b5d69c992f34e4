package worker

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/volleydb/volley/exchange"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
)

// ConnectConfig says how a worker reaches its coordinator. Zero durations get
// their defaults.
type ConnectConfig struct {
	Address string            // host:port of the coordinator
	Dial    []grpc.DialOption // none means plaintext
	Renew   time.Duration     // of the lease; 1 s
	// LostAfter without contact the coordinator has given this worker up, and
	// its tasks are stopped; 15 s.
	LostAfter time.Duration
}

// Connect makes the worker a member of a cluster until ctx ends or Drain has
// finished; it then returns nil after all its goroutines have ended. It
// reconnects for ever, with back-off.
func (w *Worker) Connect(ctx context.Context, cfg ConnectConfig) error {
	if cfg.Renew <= 0 {
		cfg.Renew = time.Second
	}
	if cfg.LostAfter <= 0 {
		cfg.LostAfter = 15 * time.Second
	}
	if len(cfg.Dial) == 0 {
		cfg.Dial = []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}
	}
	b := backoff.DefaultConfig
	b.BaseDelay, b.MaxDelay = 100*time.Millisecond, 2*time.Second
	cfg.Dial = append([]grpc.DialOption{
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: b, MinConnectTimeout: 2 * time.Second}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(exchange.MaxMessage)),
	}, cfg.Dial...)
	// Two connections: a lease must not wait behind an artifact or a plan.
	conn, err := grpc.NewClient("passthrough:///"+cfg.Address, cfg.Dial...)
	if err != nil {
		return pgerr.Wrap(err, pgerr.IOError, "could not connect to %s", cfg.Address)
	}
	defer conn.Close()
	leaseConn, err := grpc.NewClient("passthrough:///"+cfg.Address, cfg.Dial...)
	if err != nil {
		return pgerr.Wrap(err, pgerr.IOError, "could not connect to %s", cfg.Address)
	}
	defer leaseConn.Close()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l := &link{w: w, cfg: cfg, control: proto.NewControlClient(conn), leases: proto.NewControlClient(leaseConn), seen: time.Now()}
	w.mu.Lock()
	if w.cfg.FetchArtifact == nil {
		w.fetch = l.fetchArtifact
	}
	w.mu.Unlock()
	var wg sync.WaitGroup
	wg.Add(2)
	go func() { defer wg.Done(); l.renew(ctx) }()
	go func() { defer wg.Done(); l.watchDrain(ctx, cancel) }()
	l.sessions(ctx)
	cancel()
	wg.Wait()
	l.drops.Wait()
	w.dropAll()
	return nil
}

// Drain makes a connected worker finish its tasks, keep its outputs while they
// are needed, and then leave: Connect returns. It waits for that or for ctx;
// what is left then is run again elsewhere.
func (w *Worker) Drain(ctx context.Context) {
	w.mu.Lock()
	w.draining = true
	w.signal()
	for w.running > 0 || len(w.queries) > 0 {
		ch := w.changed
		w.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-ch:
		}
		w.mu.Lock()
	}
	w.mu.Unlock()
}

// link is the connection to the coordinator.
type link struct {
	w       *Worker
	cfg     ConnectConfig
	control proto.ControlClient
	leases  proto.ControlClient
	drops   sync.WaitGroup
	epoch   uint64 // of the coordinator; 0 before the first session
	logged  uint64 // lines of user code that were sent; of renew

	mu   sync.Mutex
	seen time.Time // last contact
	cur  *session  // nil while there is none
}

// session is one Session stream.
type session struct {
	cancel context.CancelFunc
	mu     sync.Mutex
	queue  []*proto.WorkerMessage
	wake   chan struct{} // capacity 1
}

func (s *session) send(m *proto.WorkerMessage) {
	s.mu.Lock()
	s.queue = append(s.queue, m)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (l *link) contact() {
	l.mu.Lock()
	l.seen = time.Now()
	l.mu.Unlock()
}

// send queues a message on the current session. Without one it is dropped: the
// next registration tells the state of every task.
func (l *link) send(m *proto.WorkerMessage) {
	l.mu.Lock()
	s := l.cur
	l.mu.Unlock()
	if s != nil {
		s.send(m)
	}
}

// maxLogLines bounds the lines of user code that a message carries.
const maxLogLines = 1000

// sendLogs sends what user code has written since the last time. Without a session
// it waits where it is.
func (l *link) sendLogs() {
	l.mu.Lock()
	s := l.cur
	l.mu.Unlock()
	if s == nil || l.w.cfg.Logs == nil {
		return
	}
	for {
		lines, next := l.w.cfg.Logs(l.logged, maxLogLines)
		l.logged = next
		if len(lines) == 0 {
			return
		}
		m := &proto.LogLines{}
		for _, x := range lines {
			m.Lines = append(m.Lines, &proto.LogLine{AtUs: x.At.UnixMicro(), Query: x.Query, Function: x.Function, Digest: x.Digest, Level: x.Level, Line: x.Line})
		}
		s.send(&proto.WorkerMessage{Message: &proto.WorkerMessage_Logs{Logs: m}})
	}
}

func (l *link) report(r *proto.TaskReport) {
	l.send(&proto.WorkerMessage{Message: &proto.WorkerMessage_Report{Report: r}})
}

// sessions keeps a session open until ctx ends.
func (l *link) sessions(ctx context.Context) {
	const first, most = 100 * time.Millisecond, 2 * time.Second
	wait := first
	for ctx.Err() == nil {
		start := time.Now()
		err := l.session(ctx)
		if ctx.Err() != nil {
			return
		}
		l.w.cfg.Log.Warn("connection to the coordinator lost", "coordinator", l.cfg.Address, "error", err)
		if time.Since(start) > most {
			wait = first
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, most)
	}
}

func (l *link) session(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := l.control.Session(ctx)
	if err != nil {
		return err
	}
	w := l.w
	s := &session{cancel: cancel, wake: make(chan struct{}, 1)}
	// From here on reports go to this session; those of before are in Tasks.
	l.mu.Lock()
	l.cur = s
	l.mu.Unlock()
	reg := &proto.Register{
		WorkerId: w.cfg.ID, Incarnation: w.Incarnation(), ExchangeAddress: w.cfg.ExchangeAddress,
		Slots: uint32(w.cfg.Slots), Memory: w.cfg.Memory, Version: w.cfg.Version,
		PlanVersionMin: PlanVersionMin, PlanVersionMax: PlanVersionMax, Tasks: w.Reports(),
	}
	err = stream.Send(&proto.WorkerMessage{Message: &proto.WorkerMessage_Register{Register: reg}})
	var wg sync.WaitGroup
	if err == nil {
		wg.Add(1)
		go func() {
			defer wg.Done()
			defer cancel()
			s.pump(ctx, stream)
		}()
	}
	// Recv tells the stream's real error, also when a Send has failed.
	err = l.receive(stream)
	l.mu.Lock()
	l.cur = nil
	l.mu.Unlock()
	cancel()
	wg.Wait()
	return err
}

// pump sends the queue.
func (s *session) pump(ctx context.Context, stream grpc.BidiStreamingClient[proto.WorkerMessage, proto.WorkerCommand]) {
	for {
		s.mu.Lock()
		q := s.queue
		s.queue = nil
		s.mu.Unlock()
		for _, m := range q {
			if stream.Send(m) != nil {
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

// receive carries out commands, in order, without waiting for their ends.
func (l *link) receive(stream grpc.BidiStreamingClient[proto.WorkerMessage, proto.WorkerCommand]) error {
	w := l.w
	for {
		c, err := stream.Recv()
		if err != nil {
			return err
		}
		l.contact()
		switch c := c.Command.(type) {
		case *proto.WorkerCommand_Registered:
			if l.epoch != 0 && l.epoch != c.Registered.Epoch {
				// Another coordinator process: it knows nothing of what we have.
				w.dropAll()
			}
			l.epoch = c.Registered.Epoch
			w.mu.Lock()
			draining := w.draining
			w.mu.Unlock()
			if draining {
				l.send(drainingMessage())
			}
		case *proto.WorkerCommand_Run:
			if c.Run.CoordinatorEpoch == l.epoch {
				w.Start(c.Run, nil, l.report)
			}
		case *proto.WorkerCommand_Cancel:
			w.Cancel(exchange.KeyOf(c.Cancel.Id))
		case *proto.WorkerCommand_Drop:
			id := c.Drop.Query
			l.drops.Add(1)
			go func() {
				defer l.drops.Done()
				w.Drop(id)
				l.send(&proto.WorkerMessage{Message: &proto.WorkerMessage_Dropped{Dropped: &proto.Dropped{Query: id}}})
			}()
		case *proto.WorkerCommand_Drain:
			w.mu.Lock()
			w.draining = true
			w.signal()
			w.mu.Unlock()
		}
	}
}

func drainingMessage() *proto.WorkerMessage {
	return &proto.WorkerMessage{Message: &proto.WorkerMessage_Draining{Draining: &proto.Draining{}}}
}

// watchDrain announces a drain and ends the connection when nothing is left.
func (l *link) watchDrain(ctx context.Context, leave context.CancelFunc) {
	w := l.w
	said := false
	for {
		w.mu.Lock()
		draining, empty, ch := w.draining, w.running == 0 && len(w.queries) == 0, w.changed
		w.mu.Unlock()
		if draining && !said {
			said = true
			l.send(drainingMessage())
		}
		if draining && empty {
			// A command may be on its way: give it the time of a renewal.
			select {
			case <-ctx.Done():
				return
			case <-time.After(min(l.cfg.Renew, 200*time.Millisecond)):
			}
			if w.Idle() {
				leave()
				return
			}
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-ch:
		}
	}
}

// renew keeps the lease, and ends everything here when it is lost: the
// coordinator then runs the tasks elsewhere.
func (l *link) renew(ctx context.Context) {
	t := time.NewTicker(l.cfg.Renew)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		l.sendLogs()
		rctx, cancel := context.WithTimeout(ctx, 3*l.cfg.Renew)
		r, err := l.leases.Lease(rctx, &proto.LeaseRequest{WorkerId: l.w.cfg.ID, Incarnation: l.w.Incarnation()})
		cancel()
		l.mu.Lock()
		if err == nil {
			l.seen = time.Now()
			if !r.Known && l.cur != nil {
				l.cur.cancel() // register again
			}
		}
		lost := time.Since(l.seen) > l.cfg.LostAfter
		if lost {
			l.seen = time.Now()
			if l.cur != nil {
				l.cur.cancel() // it may hang on a connection that is half open
			}
		}
		l.mu.Unlock()
		if lost && ctx.Err() == nil {
			l.w.cfg.Log.Warn("lease lost, stopping all tasks", "coordinator", l.cfg.Address)
			l.w.dropAll()
		}
	}
}

func (l *link) fetchArtifact(ctx context.Context, digest string, dst io.Writer) (signatures []byte, err error) {
	stream, err := l.control.FetchArtifact(ctx, &proto.ArtifactRequest{Digest: digest})
	if err != nil {
		return nil, exchange.FromStatus(err)
	}
	for {
		c, err := stream.Recv()
		if err == io.EOF {
			return signatures, nil
		}
		if err != nil {
			return nil, exchange.FromStatus(err)
		}
		if len(c.Signatures) > 0 {
			signatures = c.Signatures
		}
		if _, err := dst.Write(c.Data); err != nil {
			return nil, pgerr.Wrap(err, pgerr.IOError, "could not store artifact %s", digest)
		}
	}
}
