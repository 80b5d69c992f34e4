package udf

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// packedStream is a stream whose rows are known to be cheap.
func packedStream(t *testing.T, h *Host, ref *proto.UDF) *ScalarStream {
	t.Helper()
	s, err := h.Scalar(testContext(t), ref)
	if err != nil {
		t.Fatal(detail(err))
	}
	t.Cleanup(func() { s.Close() })
	s.nsRow = 1
	return s
}

// Small batches share frames, in every form that a column has; each gets its own rows
// back.
func TestPackedBatches(t *testing.T) {
	words := func(from, n int) []string {
		out := make([]string, n)
		for i := range out {
			out[i] = strings.Repeat("é", (from+i)%4) + fmt.Sprint(from+i)
		}
		return out
	}
	numbers := func(from, n int) *vector.Vector {
		v := vector.New(types.T(types.Int8), n)
		for i := range n {
			vector.Values[int64](v)[i] = int64(from + i)
		}
		return v
	}
	every := func(v *vector.Vector, k int) *vector.Vector {
		var rows []int
		for i := 0; i < v.Len; i += k {
			rows = append(rows, i)
		}
		return nulls(v, rows...)
	}
	codes := func(n int) []int32 {
		out := make([]int32, n)
		for i := range out {
			out[i] = int32(i % 3)
		}
		return out
	}
	text := types.T(types.Text)
	columns := map[string][]*vector.Vector{
		"id_string": {
			texts(words(0, 13)...), every(texts(words(5, 21)...), 4), texts(words(9, 8)...), vector.NewConst(texts("same"), 11),
			vector.FromDict(text, codes(10), texts("x", "", "zz")), vector.FromDict(text, codes(9), texts("x", "", "zz")).WithValid(every(texts(words(0, 9)...), 2).Valid),
			vector.Slice(every(texts(words(0, 40)...), 3), 5, 30), texts(""), texts(words(0, 1)...),
		},
		"null_int64": {
			numbers(0, 16), every(numbers(100, 16), 5), numbers(200, 8), vector.NewConst(ints(7), 3), vector.NewNull(types.T(types.Int8), 5),
			vector.Slice(every(numbers(300, 50), 3), 7, 29), numbers(400, 1), every(numbers(500, 64), 63),
		},
		"id_bool": {
			vector.FromSlice(types.T(types.Bool), []bool{true, false, true}), vector.NewConst(vector.FromSlice(types.T(types.Bool), []bool{true}), 6),
			vector.FromSlice(types.T(types.Bool), []bool{false}),
		},
	}
	for _, plain := range []bool{false, true} {
		h := testHost(t, func(c *HostConfig) { c.NoSharedMemory = plain })
		for name, batches := range columns {
			typ := batches[0].Type.ID
			s := packedStream(t, h, scalarRef(name, typ, typ))
			ctx := testContext(t)
			for range 3 { // slots are used again
				sent := s.figures.Batches
				for _, b := range batches {
					if err := s.Submit(ctx, []*vector.Vector{b}, b.Len); err != nil {
						t.Fatal(detail(err))
					}
				}
				if w := s.Window(); w != maxWindow {
					t.Errorf("%s: a window of %d", name, w)
				}
				for i, b := range batches {
					v, err := s.Collect(ctx)
					if err != nil {
						t.Fatalf("%s %d: %s", name, i, detail(err))
					}
					if got, want := show(v), show(b); got != want {
						t.Errorf("%s, batch %d: %s, want %s", name, i, got, want)
					}
				}
				if n := s.figures.Batches - sent; n != 1 {
					t.Errorf("%s: %d frames for %d batches", name, n, len(batches))
				}
			}
		}
	}
}

// Batches with nothing to call, since an argument is NULL in all rows, go with the others.
func TestPackedNothing(t *testing.T) {
	h := testHost(t, nil)
	ctx := testContext(t)
	none := vector.NewNull(types.T(types.Int8), 3)
	for _, first := range []*vector.Vector{ints(1, 2), none} {
		s := packedStream(t, h, scalarRef("id_int64", types.Int8, types.Int8))
		batches := []*vector.Vector{first, none.Flatten(), ints(4), none, ints(5)}
		for _, b := range batches {
			if err := s.Submit(ctx, []*vector.Vector{b}, b.Len); err != nil {
				t.Fatal(detail(err))
			}
			if w := s.Window(); w < 1 || w > maxWindow {
				t.Errorf("a window of %d", w)
			}
		}
		for i, b := range batches {
			if v, err := s.Collect(ctx); err != nil || show(v) != show(b) {
				t.Errorf("batch %d: %s", i, detail(err))
			}
		}
	}
}

// Frames do not grow beyond what they should hold, and batches that fill one do not
// wait for more.
func TestPackedFull(t *testing.T) {
	h := testHost(t, nil)
	s := packedStream(t, h, scalarRef("id_int64", types.Int8, types.Int8))
	ctx := testContext(t)
	b := vector.New(types.T(types.Int8), 20_000)
	for k := range 8 {
		if err := s.Submit(ctx, []*vector.Vector{b}, b.Len); err != nil {
			t.Fatal(detail(err))
		}
		if want := min(int64((k+1)/3), 2); s.figures.Batches != want { // two slots
			t.Errorf("%d frames after %d batches, want %d", s.figures.Batches, k+1, want)
		}
		if w := s.Window(); w != 6 {
			t.Errorf("a window of %d", w)
		}
	}
	for range 8 {
		if v, err := s.Collect(ctx); err != nil || v.Len != b.Len {
			t.Fatal(detail(err))
		}
		s.nsRow = 1
	}
	s.nsRow = 1e6
	if err := s.Submit(ctx, []*vector.Vector{b}, b.Len); err != nil {
		t.Fatal(detail(err))
	}
	if w := s.Window(); w != 1 || s.figures.Batches <= 3 {
		t.Errorf("costly: a window of %d, %d frames", w, s.figures.Batches)
	}
}

// When a row of a frame of several batches fails the others have their results, and
// the error names the row of its batch.
func TestPackedErrors(t *testing.T) {
	h := testHost(t, nil)
	ctx := testContext(t)
	s := packedStream(t, h, scalarRef("refuse", types.Int8, types.Int8))
	batches := []*vector.Vector{ints(2, 4), nulls(ints(2, 0, 4, -5, 8), 1), ints(6), ints(-1), ints(10, 12, 14)}
	fails := []int64{-1, 3, -1, 0, -1}
	for range 2 {
		for _, b := range batches {
			if err := s.Submit(ctx, []*vector.Vector{b}, b.Len); err != nil {
				t.Fatal(detail(err))
			}
		}
		for i, b := range batches {
			v, err := s.Collect(ctx)
			if fails[i] < 0 {
				if err != nil || v.Len != b.Len {
					t.Fatalf("batch %d: %s", i, detail(err))
				}
				continue
			}
			var ce *CallError
			if !errors.As(err, &ce) || ce.Row != fails[i] {
				t.Errorf("batch %d: %s", i, detail(err))
			}
		}
	}

	// The same where the rows become NULL.
	s = packedStream(t, h, scalarRef("refuse", types.Int8, types.Int8))
	s.SetOnError(OnErrorNull)
	for _, b := range batches {
		if err := s.Submit(ctx, []*vector.Vector{b}, b.Len); err != nil {
			t.Fatal(detail(err))
		}
	}
	for i := range batches {
		v, err := s.Collect(ctx)
		if err != nil {
			t.Fatalf("batch %d: %s", i, detail(err))
		}
		f := s.TakeFailures()
		if fails[i] < 0 && len(f) > 0 || fails[i] >= 0 && (len(f) != 1 || int64(f[0].Row) != fails[i] || !v.IsNull(f[0].Row)) {
			t.Errorf("batch %d: failures %v", i, f)
		}
	}
}

// A row that ends the process ends that of a frame with other batches; only its own
// batch fails.
func TestPackedCrash(t *testing.T) {
	h := testHost(t, nil)
	ctx := testContext(t)
	s := packedStream(t, h, scalarRef("exits_at_one", types.Int8, types.Int8))
	for _, b := range []*vector.Vector{ints(2, 3), ints(4, 1, 5), ints(6)} {
		if err := s.Submit(ctx, []*vector.Vector{b}, b.Len); err != nil {
			t.Fatal(detail(err))
		}
	}
	if v, err := s.Collect(ctx); err != nil || show(v) != "2 3" {
		t.Errorf("the batch before: %s", detail(err))
	}
	var ce *CallError
	if _, err := s.Collect(ctx); !errors.As(err, &ce) || ce.Row != 1 {
		t.Errorf("the batch with the row: %s", detail(err))
	}
	if v, err := s.Collect(ctx); err != nil || show(v) != "6" {
		t.Errorf("the batch after: %s", detail(err))
	}
}

// A stream that ended well serves the next task; one that did not is closed, and all
// are some time after their last use.
func TestParkedStreams(t *testing.T) {
	h := testHost(t, nil)
	ctx := testContext(t)
	id := func(name, query string) uint32 {
		s, err := h.Scalar(WithQuery(ctx, query), scalarRef(name, types.Int8, types.Int8))
		if err != nil {
			t.Fatal(detail(err))
		}
		defer s.Close()
		if s.s.queryID() != query {
			t.Errorf("the stream is for query %q, want %q", s.s.queryID(), query)
		}
		_, _ = s.Call(ctx, []*vector.Vector{ints(4, 6)}, 2)
		if s.s == nil {
			return 0
		}
		return s.s.id
	}
	first := id("id_int64", "a")
	if again := id("id_int64", "b"); again != first {
		t.Errorf("stream %d, want %d again", again, first)
	}
	if other := id("refuse", "c"); other == first {
		t.Error("another function has the stream")
	}
	if bad := id("fails", "d"); bad != 0 {
		t.Errorf("stream %d goes on after an error", bad)
	}
	// Text and varchar are alike for the plugin, not for the engine.
	for _, typ := range []types.ID{types.Text, types.Varchar, types.Text} {
		s, err := h.Scalar(ctx, scalarRef("id_string", typ, typ))
		if err != nil {
			t.Fatal(detail(err))
		}
		if v, err := s.Call(ctx, []*vector.Vector{vector.FromStrings(types.T(typ), []string{"x"})}, 1); err != nil || v.Type.ID != typ {
			t.Errorf("a column of type %s: %s", types.T(typ), detail(err))
		}
		s.Close()
	}
	h.mu.Lock()
	var c *child
	for c = range h.children {
	}
	h.mu.Unlock()
	busy, err := h.Scalar(ctx, scalarRef("id_int64", types.Int8, types.Int8))
	if err != nil {
		t.Fatal(detail(err))
	}
	if err := busy.Submit(ctx, []*vector.Vector{ints(1)}, 1); err != nil {
		t.Fatal(detail(err))
	}
	busy.Close()
	c.closeParked(time.Now().Add(time.Hour))
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		c.mu.Lock()
		left := len(c.streams) + len(c.dying)
		c.mu.Unlock()
		if left == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d streams are left", left)
		}
	}
	if next := id("id_int64", "f"); next == first {
		t.Error("a closed stream is used again")
	}
}

// A result against the contract is that of its row, also where the results of a frame
// come in several parts.
func TestBadRowOfLargeResult(t *testing.T) {
	h := testHost(t, nil)
	ctx := testContext(t)
	words := make([]string, 300)
	for i := range words {
		words[i] = strings.Repeat("x", 100)
	}
	words[250] = "\xff"
	args := []*vector.Vector{texts(words...), vector.NewConst(ints(1000), len(words))}
	for _, on := range []OnError{OnErrorFail, OnErrorNull} {
		s := packedStream(t, h, scalarRef("repeat", types.Text, types.Text, types.Int8))
		s.SetOnError(on)
		v, err := s.Call(ctx, args, len(words))
		if on == OnErrorFail {
			var ce *CallError
			if !errors.As(err, &ce) || ce.Row != 250 || !strings.Contains(detail(err), "row 251") {
				t.Errorf("%.300s", detail(err))
			}
			continue
		}
		if err != nil {
			t.Fatal(detail(err))
		}
		if f := s.TakeFailures(); len(f) != 1 || f[0].Row != 250 || v.NullCount() != 1 || !v.IsNull(250) {
			t.Errorf("%d failures, %d rows are NULL", len(f), v.NullCount())
		}
	}
}

// Pieces are long enough for their frames not to show: where rows are costly, too,
// since a busy processor takes its time to hand the next piece over.
func TestPieceRows(t *testing.T) {
	for _, c := range []struct {
		nsRow float64
		rows  int
		ahead bool
		want  int
	}{
		{0, 16_384, true, firstPiece}, // unknown
		{0, 10, true, 10},
		{1, 16_384, true, 16_384},
		{1, 1_000_000, false, 250_000},
		{1e4, 16_384, true, 964}, // 10 ms, in equal pieces
		{1e4, 16_384, false, 64}, // not 25
		{3.5e6, 31, true, 16},    // at most 100 ms, in equal pieces
		{3.5e6, 1000, false, 28},
		{1e9, 5, true, 1},
	} {
		s := &ScalarStream{nsRow: c.nsRow}
		if got := s.piece(&scalarCall{n: c.rows, ahead: c.ahead}); got != c.want {
			t.Errorf("%v ns, %d rows, ahead %v: %d rows, want %d", c.nsRow, c.rows, c.ahead, got, c.want)
		}
	}
}
