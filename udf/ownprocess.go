package udf

import (
	"context"
	"sync"

	"github.com/volleydb/volley/proto"
)

// OwnProcesses makes GroupedMap and Aggregate use processes that no other task does: one
// for each artifact and memory limit. It is for tasks that run again because a process
// they shared has ended: whose call ended it was not clear, and now it is, or nearly;
// and who was not at fault goes on however often the others end theirs. Scalar
// functions, and groups that may fail, search by themselves.
type OwnProcesses struct {
	mu    sync.Mutex
	names map[string]string // by the key of the process shared
	ends  []func()
}

type ownKey struct{}

// With returns a context whose streams use the processes of o.
func (o *OwnProcesses) With(ctx context.Context) context.Context {
	return context.WithValue(ctx, ownKey{}, o)
}

// End ends the processes. Streams that use them must be closed before.
func (o *OwnProcesses) End() {
	o.mu.Lock()
	ends := o.ends
	o.names, o.ends = nil, nil
	o.mu.Unlock()
	for _, f := range ends {
		f()
	}
}

// ownProcess is the private name of the process for ref where ctx asks for one, else "".
func (h *Host) ownProcess(ctx context.Context, ref *proto.UDF) string {
	o, _ := ctx.Value(ownKey{}).(*OwnProcesses)
	if o == nil {
		return ""
	}
	key, _ := h.slotKey(ref, "")
	o.mu.Lock()
	defer o.mu.Unlock()
	name := o.names[key]
	if name == "" {
		name = h.privateName()
		if o.names == nil {
			o.names = map[string]string{}
		}
		o.names[key] = name
		o.ends = append(o.ends, func() { h.endPrivate(ref, name) })
	}
	return name
}
