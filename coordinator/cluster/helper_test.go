package cluster

import (
	"context"
	"net"
	"sync"

	"github.com/volleydb/volley/coordinator/scheduler"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// tracked dials connections that can be cut at once.
type tracked struct {
	mu    sync.Mutex
	conns []net.Conn
	dead  bool
}

func (d *tracked) options() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			c, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
			d.mu.Lock()
			defer d.mu.Unlock()
			if err == nil && d.dead {
				_ = c.Close()
				return nil, net.ErrClosed
			}
			if err == nil {
				d.conns = append(d.conns, c)
			}
			return c, err
		}),
	}
}

func (d *tracked) cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dead = true
	for _, c := range d.conns {
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	}
}

// schedulerUp gives the embedded worker an address after the fact.
func schedulerUp(e *env) scheduler.WorkerUp {
	return scheduler.WorkerUp{Worker: e.c.embedded, Address: e.addr, Slots: 2, Embedded: true}
}
