package udf

import (
	"log/slog"
	"net"
	"testing"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/udf/sdk/wire"
)

// A stream that cannot be opened, since the process is going away, says so: another
// process is then asked.
func TestOpenOnDyingChild(t *testing.T) {
	ours, theirs := net.Pipe()
	ours.Close()
	theirs.Close()
	done := make(chan struct{})
	close(done)
	c := &child{label: "p@sha256:0", conn: ours, mem: &sharedMemory{}, log: slog.New(slog.DiscardHandler),
		streams: map[uint32]*stream{}, dying: map[uint32]*dying{}, sending: make(chan struct{}, 1), told: done, done: done}
	_, err := c.open(testContext(t), wire.OpenMsg{}, "f", nil, 0)
	c.wg.Wait()
	for _, d := range c.dying {
		d.timer.Stop()
	}
	if pgerr.Code(err) != pgerr.CrashShutdown || pgerr.ClassOf(err) != pgerr.Transient {
		t.Errorf("%v", err)
	}
}
