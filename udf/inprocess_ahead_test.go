package udf

import (
	"errors"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	sdk "github.com/volleydb/volley/udf/sdk"
	"github.com/volleydb/volley/vector"
)

// Batches of any size, submitted ahead, some of whose rows fail.
func TestInProcessAheadFailures(t *testing.T) {
	h, ref := linkedHost(t,
		sdk.Vector("placed", func(s, out []string) error {
			for i := range s {
				if strings.HasPrefix(s[i], "!") {
					return sdk.AtRow(i, errors.New("refused"))
				}
				out[i] = s[i] + "."
			}
			return nil
		}),
		sdk.Vector("somewhere", func(s, out []string) error {
			for i := range s {
				if strings.HasPrefix(s[i], "!") {
					return errors.New("refused")
				}
				out[i] = s[i] + "."
			}
			return nil
		}),
		sdk.Scalar1("rowwise", func(s string) string {
			if strings.HasPrefix(s, "!") {
				panic("refused")
			}
			return s + "."
		}))
	ctx := testContext(t)
	for seed := range uint64(12) {
		r := rand.New(rand.NewPCG(1, seed))
		f := []string{"placed", "somewhere", "rowwise"}[seed%3]
		s, err := h.Scalar(ctx, ref(f, types.Text, types.Text))
		if err != nil {
			t.Fatal(detail(err))
		}
		s.SetOnError(OnErrorNull)
		var queue []*vector.Vector
		base := int64(0)
		collect := func() {
			in := queue[0]
			queue = queue[1:]
			v, err := s.Collect(ctx)
			if err != nil {
				t.Fatal(detail(err))
			}
			bad := s.TakeFailures()
			for i := range in.Len {
				want := string(in.BytesAt(i))
				switch {
				case strings.HasPrefix(want, "!"):
					if len(bad) == 0 || bad[0].Row != i || bad[0].Ordinal != base+int64(i)+1 || !strings.Contains(bad[0].Args, want) {
						t.Fatalf("%s, seed %d: row %d of %d: %v", f, seed, i, in.Len, bad)
					}
					bad = bad[1:]
					fallthrough
				case in.IsNull(i):
					if !v.IsNull(i) {
						t.Fatalf("%s, seed %d: row %d: %q", f, seed, i, v.BytesAt(i))
					}
				default:
					if v.IsNull(i) || string(v.BytesAt(i)) != want+"." {
						t.Fatalf("%s, seed %d: row %d: %q, want %q", f, seed, i, v.BytesAt(i), want)
					}
				}
			}
			if len(bad) > 0 {
				t.Fatalf("%s, seed %d: %v", f, seed, bad)
			}
			base += int64(in.Len)
		}
		k := 0
		for range 40 {
			n := []int{1, 7, 1000, 4096, 4097, 9000}[r.IntN(6)]
			vals := make([]string, n)
			var null []int
			fails := r.IntN(3) == 0
			for i := range vals {
				k++
				vals[i] = strings.Repeat("x", r.IntN(3)) + strconv.Itoa(k)
				switch r.IntN(1500) {
				case 0:
					if fails {
						vals[i] = "!" + vals[i]
					}
				case 1:
					null = append(null, i)
				}
			}
			v := texts(vals...)
			if len(null) > 0 {
				v = nulls(v, null...)
			}
			if len(queue) == MaxSubmitted {
				collect()
			}
			if err := s.Submit(ctx, []*vector.Vector{v}, n); err != nil {
				t.Fatal(detail(err))
			}
			queue = append(queue, v)
			for len(queue) > 0 && r.IntN(2) == 0 {
				collect()
			}
		}
		for len(queue) > r.IntN(2) {
			collect()
		}
		s.Close()
	}
}

// negative is a function that fails on 13, with the row or without, and does not come
// back from 99 before stuck is closed.
func negative(calls *atomic.Int64, stuck chan struct{}, atRow bool) sdk.Decl {
	return sdk.Vector("f", func(x, out []int64) error {
		calls.Add(1)
		for i := range x {
			switch {
			case x[i] == 13 && atRow:
				return sdk.AtRow(i, errors.New("thirteen"))
			case x[i] == 13:
				return errors.New("thirteen")
			case x[i] == 99:
				<-stuck
			}
			out[i] = -x[i]
		}
		return nil
	})
}

// Batches that were submitted are computed before they are collected. One that fails
// fails alone, and one that hangs takes nothing from those behind it, nor does it hold
// up Close.
func TestInProcessAhead(t *testing.T) {
	var calls atomic.Int64
	stuck := make(chan struct{})
	h, ref := linkedHost(t, negative(&calls, stuck, true))
	defer close(stuck)
	ctx := testContext(t)
	r := ref("f", types.Int8, types.Int8)
	r.TimeoutMs = 100
	open := func() *ScalarStream {
		s, err := h.Scalar(ctx, r)
		if err != nil {
			t.Fatal(detail(err))
		}
		return s
	}
	submit := func(s *ScalarStream, vals ...int64) {
		if err := s.Submit(ctx, []*vector.Vector{ints(vals...)}, len(vals)); err != nil {
			t.Fatal(detail(err))
		}
	}
	s := open()
	submit(s, 1, 2)
	submit(s, 3, 13)
	submit(s, 5)
	submit(s, 99)
	submit(s, 7)
	for end := time.Now().Add(10 * time.Second); calls.Load() < 4; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d calls before the first is collected", calls.Load())
		}
	}
	for i, want := range []string{"-1 -2", "38000", "-5", "57014", "-7"} {
		v, err := s.Collect(ctx)
		got := pgerr.Code(err)
		if err == nil {
			got = show(v)
		}
		if got != want {
			t.Errorf("batch %d: %s, want %s", i, detail(err), want)
		}
		var ce *CallError
		if want == "38000" && (!errors.As(err, &ce) || ce.Row != 1) {
			t.Errorf("the row that fails: %s", detail(err))
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	s = open()
	submit(s, 99)
	submit(s, 1)
	start := time.Now()
	s.Close()
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("Close took %s", took)
	}
}

// While a row that fails is searched in a batch, those that were submitted behind it
// do not fail it.
func TestInProcessSearchBeforeOthers(t *testing.T) {
	stuck := make(chan struct{})
	var calls atomic.Int64
	h, ref := linkedHost(t, negative(&calls, stuck, false))
	defer close(stuck)
	ctx := testContext(t)
	r := ref("f", types.Int8, types.Int8)
	r.TimeoutMs = 200
	s, err := h.Scalar(ctx, r)
	if err != nil {
		t.Fatal(detail(err))
	}
	defer s.Close()
	s.SetOnError(OnErrorNull)
	for _, vals := range [][]int64{{1, 13, 3, 4}, {99}, {7}} {
		if err := s.Submit(ctx, []*vector.Vector{ints(vals...)}, len(vals)); err != nil {
			t.Fatal(detail(err))
		}
	}
	for end := time.Now().Add(10 * time.Second); calls.Load() < 2; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nothing is computed ahead")
		}
	}
	for i, want := range []string{"-1 NULL -3 -4", "57014", "-7"} {
		v, err := s.Collect(ctx)
		got := pgerr.Code(err)
		if err == nil {
			got = show(v)
		}
		if got != want {
			t.Errorf("batch %d: %s %s, want %s", i, got, detail(err), want)
		}
	}
}
