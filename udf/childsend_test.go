package udf

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/udf/sdk/wire"
	"github.com/volleydb/volley/vector"
)

// Calls beside each other, each with a context that ends with it: a write that has to
// wait for another's is not cancelled by the end of the call before.
func TestContextsOfCalls(t *testing.T) {
	arg := texts(strings.Split(strings.Repeat(strings.Repeat("x", 100)+" ", 2000), " ")...)
	for name, h := range map[string]*Host{"shared memory": testHost(t, nil), "socket": testHost(t, func(c *HostConfig) { c.NoSharedMemory = true })} {
		t.Run(name, func(t *testing.T) {
			ctx := testContext(t)
			var wg sync.WaitGroup
			defer wg.Wait()
			for range 4 {
				wg.Go(func() {
					s, err := h.Scalar(ctx, scalarRef("upper", types.Text, types.Text))
					if err != nil {
						t.Error(detail(err))
						return
					}
					defer func() { _ = s.Close() }()
					for range 150 {
						one, cancel := context.WithCancel(ctx)
						_, err := s.Call(one, []*vector.Vector{arg}, arg.Len)
						cancel()
						if err != nil {
							t.Error(detail(err))
							return
						}
					}
				})
			}
		})
	}
}

// A process that pauses, on a machine that was suspended, say, while it is sent
// something that nobody has cancelled, goes on.
func TestPausedChild(t *testing.T) {
	h := testHost(t, func(c *HostConfig) { c.NoSharedMemory = true })
	ctx := testContext(t)
	s, err := h.Scalar(ctx, scalarRef("upper", types.Text, types.Text))
	if err != nil {
		t.Fatal(detail(err))
	}
	defer func() { _ = s.Close() }()
	first, cancel := context.WithCancel(ctx)
	if _, err := s.Call(first, []*vector.Vector{texts("a")}, 1); err != nil {
		t.Fatal(detail(err))
	}
	cancel()
	pid := h.Children()[0]
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	go func() {
		time.Sleep(2 * cancelGrace)
		_ = syscall.Kill(pid, syscall.SIGCONT)
	}()
	if _, err := s.Call(ctx, []*vector.Vector{texts(strings.Repeat("x", 8<<20))}, 1); err != nil {
		t.Error(detail(err))
	}
	if p := h.Children(); len(p) != 1 || p[0] != pid {
		t.Errorf("the process was ended: %v, was %d", p, pid)
	}
}

// A process that asks for a larger slot and ends before it gets one has exited: it has
// not broken the protocol.
func TestGrowThenExit(t *testing.T) {
	h := testHost(t, nil)
	ctx := testContext(t)
	opened := appendFrame(nil, wire.Header{Type: wire.Opened, Stream: 1}, nil)
	grow := appendFrame(nil, wire.Header{Type: wire.Grow, Stream: 1, Slot: 0}, binary.LittleEndian.AppendUint64(nil, 1<<20))
	welcome, err := json.Marshal(wire.WelcomeMsg{ABI: wire.ABI})
	if err != nil {
		t.Fatal(err)
	}
	asked := fmt.Sprintf("head -c %d <&3 >/dev/null\n", 2*wire.HeaderSize+len(welcome))
	digest, err := scripted(t, h.cfg.Store, "grows", "#!/bin/sh\n"+bytesOut(helloOf(t, wire.ABI))+asked+bytesOut(append(opened, grow...))+"exit 3\n", nil)
	if err != nil {
		t.Fatal(detail(err))
	}
	ref := &proto.UDF{Digest: digest, Symbol: "f", Display: "f", Args: []*proto.Type{typeToProto(types.T(types.Int8))}, Returns: typeToProto(types.T(types.Int8))}
	for range 5 {
		if _, err := call(ctx, h, ref, ints(1)); pgerr.Code(err) != pgerr.ExternalRoutineException || !strings.Contains(err.Error(), "exit status 3") {
			t.Error(detail(err))
		}
	}
}

// Streams of one task that is to be alone share a process, which is nobody else's and
// ends with the task.
func TestOwnProcesses(t *testing.T) {
	h := testHost(t, nil)
	ctx := testContext(t)
	shared, err := h.GroupedMap(ctx, sumsRef(), GroupOptions{})
	if err != nil {
		t.Fatal(detail(err))
	}
	defer func() { _ = shared.Close() }()
	own := &OwnProcesses{}
	var alone []*GroupedMapStream
	for range 20 {
		s, err := h.GroupedMap(own.With(ctx), sumsRef(), GroupOptions{})
		if err != nil {
			t.Fatal(detail(err))
		}
		alone = append(alone, s)
	}
	if n := len(h.Children()); n != 2 {
		t.Errorf("%d processes", n)
	}
	for _, s := range alone {
		_ = s.Close()
	}
	own.End()
	for deadline := time.Now().Add(10 * time.Second); len(h.Children()) > 1; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it goes on")
		}
	}
	if shared.s.c != alone[0].s.c && shared.s.c.alive() {
		return
	}
	t.Error("the shared one was ended")
}
