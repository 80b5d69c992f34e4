package udf

import (
	"context"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

func call(ctx context.Context, h *Host, ref *proto.UDF, args ...*vector.Vector) (*vector.Vector, error) {
	s, err := h.Scalar(ctx, ref)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return s.Call(ctx, args, args[0].Len)
}

func TestFatalCrash(t *testing.T) {
	h := testHost(t, nil)
	ctx := testContext(t)
	for symbol, want := range map[string]string{
		"exits":   "38000 plugin process exited: exit status 3",
		"recurse": "goroutine stack exceeds",
	} {
		_, err := call(ctx, h, scalarRef(symbol, types.Int8, types.Int8), ints(1))
		if pgerr.ClassOf(err) != pgerr.UDF || !strings.Contains(detail(err), want) {
			t.Errorf("%s: %v %s", symbol, pgerr.ClassOf(err), detail(err))
		}
		v, err := call(ctx, h, scalarRef("add", types.Float8, types.Float8, types.Float8), floats(1), floats(2))
		if err != nil || show(v) != "3" {
			t.Errorf("after %s: %s", symbol, detail(err))
		}
	}
	// Back-off: crash after crash takes longer.
	begin := time.Now()
	for range 3 {
		call(ctx, h, scalarRef("exits", types.Int8, types.Int8), ints(1))
	}
	if took := time.Since(begin); took < 200*time.Millisecond {
		t.Errorf("5 crashes in a row, the last 3 within %v", took)
	}
}

func TestLoopAndCancel(t *testing.T) {
	h := testHost(t, nil)
	ctx := testContext(t)
	// Another stream of the same child, in the middle of its work: repeated on
	// the next child.
	slow := make(chan error, 1)
	go func() {
		v, err := call(ctx, h, scalarRef("sleeps", types.Int8, types.Int8), ints(700))
		if err == nil && show(v) != "700" {
			err = pgerr.New(pgerr.InternalError, "got %s", show(v))
		}
		slow <- err
	}()
	s, err := h.Scalar(ctx, scalarRef("loops", types.Int8, types.Int8))
	if err != nil {
		t.Fatal(detail(err))
	}
	time.Sleep(50 * time.Millisecond)
	cctx, cancel := context.WithCancel(ctx)
	time.AfterFunc(50*time.Millisecond, cancel)
	begin := time.Now()
	_, err = s.Call(cctx, []*vector.Vector{ints(1)}, 1)
	if took := time.Since(begin); pgerr.Code(err) != pgerr.QueryCanceled || took > 3*time.Second {
		t.Errorf("%v after %v", err, took)
	}
	pid := h.Children()[0]
	s.Close()
	for syscall.Kill(pid, 0) == nil && time.Since(begin) < 10*time.Second {
		time.Sleep(5 * time.Millisecond)
	}
	if took := time.Since(begin); took > 4*time.Second {
		t.Errorf("the looping process lived for %v", took)
	}
	if err := <-slow; err != nil {
		t.Error(detail(err))
	}
}

func TestTimeout(t *testing.T) {
	h := testHost(t, nil)
	ctx := testContext(t)
	r := scalarRef("sleeps", types.Int8, types.Int8)
	r.TimeoutMs = 300
	begin := time.Now()
	_, err := call(ctx, h, r, ints(5000))
	if took := time.Since(begin); pgerr.Code(err) != "57014" || pgerr.ClassOf(err) != pgerr.UDF || !strings.Contains(err.Error(), "did not finish within 300ms") || took > 4*time.Second {
		t.Errorf("%s after %v", detail(err), took)
	}
	if !strings.Contains(detail(err), "It was in time.Sleep (time.go:") || !strings.Contains(detail(err), "(main.go:69)") {
		t.Errorf("the place in user code: %s", detail(err))
	}
	r = scalarRef("loops", types.Int8, types.Int8)
	r.TimeoutMs = 300
	if _, err := call(ctx, h, r, ints(1)); !strings.Contains(detail(err), "It was in main.main.func") {
		t.Errorf("the place in a loop: %s", detail(err))
	}
	// Rows that are slow one by one are progress.
	r = scalarRef("sleeps", types.Int8, types.Int8)
	r.TimeoutMs = 1000
	many := make([]int64, 300)
	for i := range many {
		many[i] = 5
	}
	if _, err := call(ctx, h, r, ints(many...)); err != nil {
		t.Error(detail(err))
	}
}

func TestMemoryLimit(t *testing.T) {
	h := testHost(t, nil)
	r := scalarRef("leaks", types.Int8, types.Int8)
	r.MemoryLimit = 64 << 20
	_, err := call(testContext(t), h, r, ints(300))
	if pgerr.Code(err) != pgerr.OutOfMemory || !strings.Contains(err.Error(), "its limit is 64 MB") {
		t.Error(detail(err))
	}
}

// A child that is killed from outside under many streams: all calls are repeated.
func TestKilledChild(t *testing.T) {
	h := testHost(t, nil)
	ctx := testContext(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			v, err := call(ctx, h, scalarRef("sleeps", types.Int8, types.Int8), ints(300))
			if err != nil || show(v) != "300" {
				t.Error(detail(err))
			}
		}()
	}
	time.Sleep(100 * time.Millisecond)
	for _, pid := range h.Children() {
		syscall.Kill(pid, syscall.SIGKILL)
	}
	wg.Wait()
}

// A child that is killed while nobody uses it is nobody's failure, however soon the
// next call comes.
func TestKilledIdleChild(t *testing.T) {
	h := testHost(t, nil)
	ctx := testContext(t)
	for i := range 2 {
		for _, symbol := range []string{"at_once", "inits"} { // of which only one has a stream that is kept
			if v, err := call(ctx, h, scalarRef(symbol, types.Int8, types.Int8), ints(1)); err != nil || show(v) != "1" {
				t.Fatal(i, symbol, v, detail(err))
			}
			for _, pid := range h.Children() {
				syscall.Kill(pid, syscall.SIGKILL)
			}
			time.Sleep(time.Duration(i) * 200 * time.Microsecond)
		}
	}
}

// A process that does not read is ended when nobody wants its answers any more, or when
// the function's time is over, though those who write to it wait for it meanwhile.
func TestStoppedChild(t *testing.T) {
	h := testHost(t, func(c *HostConfig) { c.NoSharedMemory = true })
	ctx := testContext(t)
	large := texts(strings.Repeat("x", 8<<20)) // more than a socket holds
	for _, c := range []struct {
		cancel, timeout time.Duration
		want            string
	}{
		{300 * time.Millisecond, 0, "canceling"},
		{time.Minute, 500 * time.Millisecond, "did not finish within 500ms"},
	} {
		r := scalarRef("upper", types.Text, types.Text)
		if v, err := call(ctx, h, r, texts("a")); err != nil || show(v) != `"A"` {
			t.Fatal(v, detail(err))
		}
		r.TimeoutMs = c.timeout.Milliseconds()
		for _, pid := range h.Children() {
			syscall.Kill(pid, syscall.SIGSTOP)
		}
		canceled, stop := context.WithTimeout(ctx, c.cancel)
		var wg sync.WaitGroup
		begin := time.Now()
		for range 3 {
			wg.Go(func() {
				_, err := call(canceled, h, r, large)
				if pgerr.Code(err) != pgerr.QueryCanceled || !strings.Contains(detail(err), c.want) {
					t.Errorf("%s, want %s", detail(err), c.want)
				}
			})
		}
		wg.Wait()
		stop()
		if took := time.Since(begin); took > 15*time.Second {
			t.Error(took)
		}
	}
	if v, err := call(ctx, h, scalarRef("upper", types.Text, types.Text), texts("b")); err != nil || show(v) != `"B"` {
		t.Error(v, detail(err))
	}
}

// Many streams at once on one child, opened and closed; then nothing is left.
func TestManyStreams(t *testing.T) {
	h := testHost(t, nil)
	ctx := testContext(t)
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range 20 {
				x := float64(100*g + i)
				v, err := call(ctx, h, scalarRef("add", types.Float8, types.Float8, types.Float8), floats(x, x), floats(1, 2))
				if err != nil {
					t.Error(detail(err))
					return
				}
				if a := vector.Values[float64](v); a[0] != x+1 || a[1] != x+2 {
					t.Error(a)
				}
			}
		}()
	}
	wg.Wait()
	pids := h.Children()
	if len(pids) != 1 {
		t.Fatal(pids)
	}
	h.Close()
	if _, err := os.Stat("/proc/" + strconv.Itoa(pids[0])); err == nil {
		t.Error("the child is still there, or a zombie")
	}
	if _, err := h.Scalar(ctx, scalarRef("upper", types.Text, types.Text)); pgerr.Code(err) != pgerr.AdminShutdown {
		t.Error(err)
	}
}

// Close while calls run: they fail, nothing hangs.
func TestCloseInUse(t *testing.T) {
	h := testHost(t, nil)
	ctx := testContext(t)
	errs := make(chan error, 4)
	for range 4 {
		go func() {
			_, err := call(ctx, h, scalarRef("loops", types.Int8, types.Int8), ints(1))
			errs <- err
		}()
	}
	time.Sleep(100 * time.Millisecond)
	h.Close()
	for range 4 {
		if err := <-errs; pgerr.Code(err) != pgerr.AdminShutdown {
			t.Error(detail(err))
		}
	}
}

// A child that nobody uses goes, one in use stays, and who comes later gets another.
func TestIdle(t *testing.T) {
	h := testHost(t, func(c *HostConfig) { c.IdleTimeout = 300 * time.Millisecond })
	ctx := testContext(t)
	add := scalarRef("add", types.Float8, types.Float8, types.Float8)
	s, err := h.Scalar(ctx, add)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	if v, err := s.Call(ctx, []*vector.Vector{floats(1), floats(2)}, 1); err != nil || show(v) != "3" {
		t.Errorf("after a second: %s", detail(err))
	}
	if n := len(h.Children()); n != 1 {
		t.Errorf("%d children while a stream is open", n)
	}
	s.Close()
	for deadline := time.Now().Add(10 * time.Second); len(h.Children()) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the idle child stays")
		}
	}
	for range 10 { // around the moment of its end, too
		if v, err := call(ctx, h, add, floats(1), floats(2)); err != nil || show(v) != "3" {
			t.Fatalf("a later call: %s", detail(err))
		}
		time.Sleep(300*time.Millisecond - time.Duration(time.Now().UnixNano()%30)*time.Millisecond)
	}
}
