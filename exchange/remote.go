package exchange

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/vector"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
)

// Peers keeps one connection per address of other processes' exchanges.
type Peers struct {
	opts []grpc.DialOption

	mu     sync.Mutex
	conns  map[string]*grpc.ClientConn
	closed bool
}

// A connection on which nothing has come for pingEvery (the least that gRPC
// allows) is asked for a sign of life, which must come within pingTimeout.
const (
	pingEvery   = 10 * time.Second
	pingTimeout = 5 * time.Second
)

// NewPeers makes a pool; without options it dials plaintext.
func NewPeers(opts ...grpc.DialOption) *Peers {
	if len(opts) == 0 {
		opts = []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}
	}
	b := backoff.DefaultConfig
	b.BaseDelay, b.MaxDelay = 100*time.Millisecond, 2*time.Second
	opts = append([]grpc.DialOption{
		// A process that is stopped, or behind a broken line, keeps its
		// connections: without pings a reader would wait on it for ever.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingEvery, Timeout: pingTimeout}),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: b, MinConnectTimeout: 3 * time.Second}),
		// Wide windows are the read-ahead: the transport receives while the
		// consumer works on the batch before.
		grpc.WithInitialWindowSize(4 << 20), grpc.WithInitialConnWindowSize(16 << 20),
	}, opts...)
	return &Peers{opts: opts, conns: map[string]*grpc.ClientConn{}}
}

// Client returns the client of an address.
func (p *Peers) Client(address string) (proto.ExchangeClient, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, pgerr.New(pgerr.QueryCanceled, "canceling statement due to user request").WithDetail("The process is ending.")
	}
	c := p.conns[address]
	if c == nil {
		var err error
		if c, err = grpc.NewClient("passthrough:///"+address, p.opts...); err != nil {
			return nil, pgerr.Wrap(err, pgerr.IOError, "could not connect to %s", address)
		}
		p.conns[address] = c
	}
	return proto.NewExchangeClient(c), nil
}

// Forget closes the connection to an address that is gone.
func (p *Peers) Forget(address string) {
	p.mu.Lock()
	c := p.conns[address]
	delete(p.conns, address)
	p.mu.Unlock()
	if c != nil {
		_ = c.Close()
	}
}

// Close closes all connections.
func (p *Peers) Close() error {
	p.mu.Lock()
	conns := p.conns
	p.conns, p.closed = nil, true
	p.mu.Unlock()
	var errs []error
	for _, c := range conns {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// Ping asks who answers at an address.
func (p *Peers) Ping(ctx context.Context, address string) (incarnation string, err error) {
	c, err := p.Client(address)
	if err != nil {
		return "", err
	}
	r, err := c.Ping(ctx, &proto.PingRequest{})
	if err != nil {
		return "", FromStatus(err)
	}
	return r.Incarnation, nil
}

// Remote returns a source of partitions of an output in another process. It
// connects at the first Next; after a transient error it tries again, with
// back-off, where it was; when that does not help it fails with a FetchError.
func (p *Peers) Remote(address, incarnation string, key TaskKey, partitions ...uint32) Source {
	return &remoteSource{peers: p, address: address, incarnation: incarnation, key: key, parts: partitions}
}

type remoteSource struct {
	peers       *Peers
	address     string
	incarnation string
	key         TaskKey
	parts       []uint32

	stream grpc.ServerStreamingClient[proto.Chunk]
	cancel context.CancelFunc
	blocks uint64 // handed out
	done   bool
}

// fetchBackoff are the waits between tries of one block.
var fetchBackoff = [...]time.Duration{50 * time.Millisecond, 200 * time.Millisecond, 800 * time.Millisecond}

func (r *remoteSource) Next(ctx context.Context) (*vector.Batch, error) {
	for try := 0; ; try++ {
		b, err := r.next(ctx)
		if err == nil {
			return b, nil
		}
		r.hangUp()
		if ctx.Err() != nil {
			return nil, pgerr.From(ctx.Err())
		}
		var fe *FetchError
		if errors.As(err, &fe) {
			return nil, fe
		}
		switch status.Code(err) {
		case codes.NotFound, codes.FailedPrecondition:
			return nil, &FetchError{Task: r.key, Gone: true, Err: FromStatus(err).WithClass(pgerr.FetchFailed)}
		}
		if try == len(fetchBackoff) {
			return nil, fetchError(r.key, false, "%s: %s", r.address, FromStatus(err).Message)
		}
		t := time.NewTimer(fetchBackoff[try])
		select {
		case <-ctx.Done():
			t.Stop()
			return nil, pgerr.From(ctx.Err())
		case <-t.C:
		}
	}
}

func (r *remoteSource) next(ctx context.Context) (*vector.Batch, error) {
	if r.done {
		return nil, nil
	}
	if r.stream == nil {
		c, err := r.peers.Client(r.address)
		if err != nil {
			return nil, err
		}
		// The stream outlives this call but not its owner: Close cancels it.
		sctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		r.cancel = cancel
		r.stream, err = c.Fetch(sctx, &proto.FetchRequest{
			Task: r.key.Proto(), Partitions: r.parts, Incarnation: r.incarnation, Skip: r.blocks,
		})
		if err != nil {
			return nil, err
		}
	}
	stop := context.AfterFunc(ctx, r.cancel)
	defer stop()
	var raw []byte
	for {
		c, err := r.stream.Recv()
		if err == io.EOF && raw == nil {
			r.done = true
			r.hangUp()
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if !c.More && raw == nil {
			raw = c.Data
			break
		}
		raw = append(raw, c.Data...)
		if !c.More {
			break
		}
	}
	b, err := vector.DecodeBatch(nil, raw)
	if err != nil {
		return nil, fetchError(r.key, true, "%v", err)
	}
	r.blocks++
	return b, nil
}

func (r *remoteSource) hangUp() {
	if r.cancel != nil {
		r.cancel()
		r.cancel, r.stream = nil, nil
	}
}

func (r *remoteSource) Close() error {
	r.hangUp()
	r.done = true
	return nil
}
