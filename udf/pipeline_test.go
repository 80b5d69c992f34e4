package udf

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// Batches that are submitted ahead come back in order, NULLs in their places.
func TestSubmitAhead(t *testing.T) {
	for _, plain := range []bool{false, true} {
		h := testHost(t, func(c *HostConfig) { c.NoSharedMemory = plain })
		ctx := testContext(t)
		s, err := h.Scalar(ctx, scalarRef("id_int64", types.Int8, types.Int8))
		if err != nil {
			t.Fatal(detail(err))
		}
		batch := func(k int) *vector.Vector {
			v := vector.New(types.T(types.Int8), 1+k*40)
			for i := range vector.Values[int64](v) {
				vector.Values[int64](v)[i] = int64(k*100000 + i)
			}
			switch k % 3 {
			case 1:
				return nulls(v, v.Len/2)
			case 2:
				if k%2 == 0 {
					return vector.NewNull(v.Type, v.Len)
				}
			}
			return v
		}
		const n = 20
		for k := range n + 1 {
			if k < n {
				if err := s.Submit(ctx, []*vector.Vector{batch(k)}, batch(k).Len); err != nil {
					t.Fatal(detail(err))
				}
			}
			if k == 0 {
				continue
			}
			v, err := s.Collect(ctx)
			if err != nil {
				t.Fatal(detail(err))
			}
			if got, want := show(v), show(batch(k-1)); got != want {
				t.Fatalf("batch %d: %.200s, want %.200s", k-1, got, want)
			}
		}
		if _, err := s.Collect(ctx); err == nil {
			t.Error("Collect of nothing")
		}
		one := []*vector.Vector{ints(1)}
		for range MaxSubmitted {
			if err := s.Submit(ctx, one, 1); err != nil {
				t.Fatal(detail(err))
			}
		}
		if err := s.Submit(ctx, one, 1); err == nil {
			t.Error("Submit of too many batches")
		}
		if _, err := s.Call(ctx, one, 1); err == nil {
			t.Error("Call between Submit and Collect")
		}
		s.Close()
	}
}

// The error of a batch does not come before the results of the batches before
// it, and names its own row; the batches after it are computed all the same.
func TestSubmitErrors(t *testing.T) {
	h := testHost(t, nil)
	ctx := testContext(t)
	s, err := h.Scalar(ctx, scalarRef("refuse", types.Int8, types.Int8))
	if err != nil {
		t.Fatal(detail(err))
	}
	defer s.Close()
	good, bad := ints(2, 4, 6), nulls(ints(2, 0, 4, -5, 8), 1)
	if _, err := s.Call(ctx, []*vector.Vector{good}, 3); err != nil { // the cost of a row is known from here on
		t.Fatal(detail(err))
	}
	for range 3 {
		for _, v := range []*vector.Vector{good, bad} {
			if err := s.Submit(ctx, []*vector.Vector{v}, v.Len); err != nil {
				t.Fatal(detail(err))
			}
		}
		if v, err := s.Collect(ctx); err != nil || v.Len != 3 {
			t.Fatalf("the batch before the error: %s", detail(err))
		}
		if err := s.Submit(ctx, []*vector.Vector{good}, 3); err != nil {
			t.Fatal(detail(err))
		}
		_, err := s.Collect(ctx)
		var ce *CallError
		if !errors.As(err, &ce) || ce.Row != 3 {
			t.Fatalf("the error: %s", detail(err))
		}
		if v, err := s.Collect(ctx); err != nil || v.Len != 3 {
			t.Fatalf("the batch after the error: %s", detail(err))
		}
	}
}

// A child that crashes takes the batches ahead with it; a fresh one computes
// those that were not at fault.
func TestSubmitCrash(t *testing.T) {
	h := testHost(t, nil)
	ctx := testContext(t)
	s, err := h.Scalar(ctx, scalarRef("exits", types.Int8, types.Int8))
	if err != nil {
		t.Fatal(detail(err))
	}
	defer s.Close()
	for range 2 {
		if err := s.Submit(ctx, []*vector.Vector{ints(1)}, 1); err != nil {
			t.Fatal(detail(err))
		}
	}
	for range 2 {
		if _, err := s.Collect(ctx); !strings.Contains(detail(err), "exit status 3") || pgerr.ClassOf(err) == pgerr.Transient {
			t.Errorf("a crash: %s", detail(err))
		}
	}
}

// Regions come back mapped, up to a limit, and lose their pages when trimmed.
func TestRegionsAreKept(t *testing.T) {
	m := newSharedMemory(false)
	if m.file == nil {
		t.Skip("no shared memory here")
	}
	defer m.close()
	a, err := m.alloc(100 << 10)
	if err != nil {
		t.Fatal(err)
	}
	a.mem[5] = 7
	m.release(a)
	b, err := m.alloc(90 << 10)
	if err != nil || b.off != a.off || b.mem[5] != 7 {
		t.Fatalf("region at %d after %d: %v", b.off, a.off, err)
	}
	m.release(b)
	m.trim()
	if m.kept != 0 {
		t.Errorf("%d bytes kept", m.kept)
	}
	if c, err := m.alloc(90 << 10); err != nil || c.off != a.off || c.mem[5] != 0 {
		t.Fatalf("region at %d: %v", c.off, err)
	} else {
		m.release(c)
	}
	big, err := m.alloc(keepBytes)
	if err != nil {
		t.Fatal(err)
	}
	m.release(big)
	if m.kept > keepBytes || m.size < keepBytes {
		t.Errorf("%d bytes kept of %d", m.kept, m.size)
	}
}

// Of a function with a limit on calls at once nothing is computed outside of a turn,
// also where batches are submitted ahead.
func TestSubmitInTurns(t *testing.T) {
	h := testHost(t, nil)
	ctx := testContext(t)
	r := scalarRef("at_once", types.Int8, types.Int8)
	r.Concurrency = 1
	var wg sync.WaitGroup
	for _, cost := range []float64{0, 1, 1e6} {
		wg.Add(1)
		go func() {
			defer wg.Done()
			s, err := h.Scalar(ctx, r)
			if err != nil {
				t.Error(detail(err))
				return
			}
			defer s.Close()
			for k := range 30 {
				s.nsRow = cost
				if err := s.Submit(ctx, []*vector.Vector{ints(1, 2)}, 2); err != nil {
					t.Error(detail(err))
				}
				if k < 3 {
					continue
				}
				v, err := s.Collect(ctx)
				if err != nil {
					t.Error(detail(err))
					return
				}
				if show(v) != "1 1" {
					t.Errorf("%s at once", show(v))
				}
			}
		}()
	}
	wg.Wait()
}
