package udf

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	sdk "github.com/volleydb/volley/udf/sdk"
	"github.com/volleydb/volley/vector"
)

// manyTexts are more than a function of text gets at once, with NULLs.
func manyTexts(t types.ID, n int, from, to int) *vector.Vector {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	vals := make([]string, to+3)
	var null []int
	for i := range vals {
		vals[i] = strings.Repeat("é", r.IntN(4)) + fmt.Sprint(i)
		if r.IntN(5) == 0 {
			vals[i] = ""
		}
		if k := i - from; k >= 0 && i < to && r.IntN(7) == 0 {
			null = append(null, k)
		}
	}
	return nulls(vector.Slice(vector.FromStrings(types.T(t), vals), from, to), null...)
}

// Batches of more rows than functions of text get at once, in which rows, offsets and
// NULLs do not begin at 0.
func TestManyTextRows(t *testing.T) {
	const n = 3*4096 + 77
	h := testHost(t, nil)
	ctx := testContext(t)
	text, raw := manyTexts(types.Text, n, 5, n+5), manyTexts(types.Bytea, n, 9, n+9)
	upper := make([]string, n)
	var empty []int
	length := make([]int64, n)
	for i := range upper {
		s := string(text.BytesAt(i))
		upper[i], length[i] = strings.ToUpper(s), int64(len(s))
		if s == "" || text.IsNull(i) {
			empty = append(empty, i)
		}
	}
	lengths := ints(length...).WithValid(text.RowValid())
	times := nulls(vector.FromSlice(types.T(types.Timestamp), length), 0, 4096, 4097, n-1)
	for _, c := range []struct {
		symbol  string
		returns types.ID
		args    []*vector.Vector
		want    *vector.Vector
	}{
		{"id_string", types.Text, []*vector.Vector{text}, text},
		{"id_bytes", types.Bytea, []*vector.Vector{raw}, raw},
		{"vupper", types.Text, []*vector.Vector{text}, nulls(texts(upper...), empty...)},
		{"vlength", types.Int8, []*vector.Vector{text}, lengths},
		{"coalesce3", types.Text, []*vector.Vector{text, vector.NewNull(types.T(types.Text), n), vector.NewConst(texts("none"), n)}, nil},
		{"null_time", types.Timestamp, []*vector.Vector{times}, times},
		{"null_int64", types.Int8, []*vector.Vector{lengths}, lengths},
	} {
		s, err := h.Scalar(ctx, scalarRef(c.symbol, c.returns, idsOf(c.args)...))
		if err != nil {
			t.Fatal(detail(err))
		}
		for range 2 {
			v, err := s.Call(ctx, c.args, n)
			if err != nil {
				t.Fatal(c.symbol, detail(err))
			}
			want := c.want
			if want == nil {
				want = c.args[0]
			}
			if got, want := show(v), show(want); got != want {
				t.Errorf("%s: %.200s, want %.200s", c.symbol, got, want)
			}
		}
		s.Close()
	}
	s, err := h.Scalar(ctx, scalarRef("vfirst", types.Text, types.Text))
	if err != nil {
		t.Fatal(detail(err))
	}
	defer s.Close()
	words := make([]string, n)
	for i := range words {
		words[i] = fmt.Sprint("word", i)
	}
	for range 2 {
		v, err := s.Call(ctx, []*vector.Vector{texts(words...)}, n)
		if err != nil {
			t.Fatal(detail(err))
		}
		for i := range n {
			if got := string(v.BytesAt(i)); got != "word0" {
				t.Fatalf("row %d: %q: a string that was kept has changed", i, got)
			}
		}
	}
}

func idsOf(args []*vector.Vector) (ids []types.ID) {
	for _, a := range args {
		ids = append(ids, a.Type.ID)
	}
	return ids
}

// Rows of failures are those of the batch.
func TestManyTextRowsFail(t *testing.T) {
	const n = 3 * 4096
	native := testHost(t, nil)
	linked, ref := linkedHost(t,
		sdk.Vector("vfail_text", func(s, _ []string) error {
			for i := range s {
				switch s[i] {
				case "refused":
					return sdk.AtRow(i, errors.New("a word that is refused"))
				case "far":
					return sdk.AtRow(i+1<<20, errors.New("a row that there is not"))
				}
			}
			return nil
		}),
		sdk.Scalar1("boom_text", func(s string) string {
			if s == "refused" {
				panic("boom")
			}
			return s
		}))
	ctx := testContext(t)
	for _, c := range []struct {
		symbol, word string
		row          int
	}{
		{"vfail_text", "refused", 2},
		{"vfail_text", "refused", 2*4096 + 5},
		{"boom_text", "refused", 4095},
		{"boom_text", "refused", 4096},
		{"vfail_text", "far", 4100}, // searched for
	} {
		for _, h := range []*Host{native, linked} {
			r := scalarRef(c.symbol, types.Text, types.Text)
			if h == linked {
				r = ref(c.symbol, types.Text, types.Text)
			}
			s, err := h.Scalar(ctx, r)
			if err != nil {
				t.Fatal(detail(err))
			}
			words := make([]string, n)
			for i := range words {
				words[i] = fmt.Sprint("word ", i)
			}
			if _, err := s.Call(ctx, []*vector.Vector{texts(words...)}, n); err != nil { // cheap, it turns out
				t.Fatal(detail(err))
			}
			words[c.row] = c.word
			_, err = s.Call(ctx, []*vector.Vector{texts(words...)}, n)
			var ce *CallError
			if !errors.As(err, &ce) {
				t.Fatalf("%s: %v", c.symbol, err)
			}
			if want := "Arguments: '" + c.word + "'"; ce.Row != int64(c.row) || !strings.Contains(detail(err), want) {
				t.Errorf("%s at row %d: row %d, %s", c.symbol, c.row, ce.Row, detail(err))
			}
			s.Close()
		}
	}
}

// A batch that is computed in parts has all of its results, also where there is no
// shared memory.
func TestManyTextRowsToNumbers(t *testing.T) {
	linked, ref := linkedHost(t, sdk.Vector("vlength", func(s []string, out []int64) {
		for i := range out {
			out[i] = int64(len(s[i]))
		}
	}))
	in := scalarRef("vlength", types.Int8, types.Text)
	t.Run("in process", func(t *testing.T) { testLengths(t, linked, ref("vlength", types.Int8, types.Text)) })
	t.Run("process", func(t *testing.T) { testLengths(t, testHost(t, nil), in) })
	t.Run("socket", func(t *testing.T) {
		testLengths(t, testHost(t, func(c *HostConfig) { c.NoSharedMemory = true }), in)
	})
}

func testLengths(t *testing.T, h *Host, ref *proto.UDF) {
	const n = 3*4096 + 77
	ctx := testContext(t)
	s, err := h.Scalar(ctx, ref)
	if err != nil {
		t.Fatal(detail(err))
	}
	defer s.Close()
	words := make([]string, n)
	for k := range 6 {
		want := make([]int64, n)
		for i := range words {
			words[i] = "wwwwwwwwwwwwwwww"[:(i+k)%16]
			want[i] = int64(len(words[i]))
		}
		v, err := s.Call(ctx, []*vector.Vector{texts(words...)}, n)
		if err != nil {
			t.Fatal(detail(err))
		}
		for i, w := range want {
			if got := vector.At[int64](v, i); got != w {
				t.Fatalf("call %d, row %d: %d, want %d", k, i, got, w)
			}
		}
	}
}

// Results of text are written where they are sent from, for which room is made by the
// size of the results before: any size that follows is right.
func TestTextOutgrowsItsPlace(t *testing.T) {
	t.Run("process", func(t *testing.T) { testOutgrown(t, testHost(t, nil)) })
	t.Run("socket", func(t *testing.T) { testOutgrown(t, testHost(t, func(c *HostConfig) { c.NoSharedMemory = true })) })
	t.Run("wasm", func(t *testing.T) {
		native := plugin
		plugin = wasmArtifact(t, "testdata/plugin", false)
		defer func() { plugin = native }()
		testOutgrown(t, testHost(t, nil))
	})
}

func testOutgrown(t *testing.T, h *Host) {
	ctx := testContext(t)
	for _, symbol := range []string{"vupper", "id_string"} {
		s, err := h.Scalar(ctx, scalarRef(symbol, types.Text, types.Text))
		if err != nil {
			t.Fatal(detail(err))
		}
		for k, c := range []struct{ n, size, last int }{
			{5000, 3, 3}, {5000, 3, 3}, {5000, 4, 4},
			{5001, 4, 40_000},  // the last row does not fit
			{5000, 4, 4},       // a guess that is too large
			{5003, 300, 300},   // few rows fit
			{9000, 300, 300},   //
			{5000, 3000, 3000}, // more than one Result
			{5000, 3000, 0},    // a guess that is more than one Result
			{5000, 0, 0}, {5000, 0, 0}, {3, 0, 1}, {1, 9, 9}, {8193, 7, 7}, {8193, 7, 7},
		} {
			words, null := make([]string, c.n), []int(nil)
			for i := range words {
				words[i] = strings.Repeat("X", c.size) + fmt.Sprint(i % 7)[:min(c.size, 1)]
				if i%11 == 3 && k%2 == 0 {
					null = append(null, i)
				}
			}
			words[c.n-1] = strings.Repeat("Y", c.last)
			arg := nulls(texts(words...), null...)
			if symbol == "vupper" {
				arg = texts(words...)
			}
			for again := range 2 {
				v, err := s.Call(ctx, []*vector.Vector{arg}, c.n)
				if err != nil {
					t.Fatal(symbol, k, detail(err))
				}
				for i := range words {
					if v.IsNull(i) != (arg.IsNull(i) || symbol == "vupper" && words[i] == "") || !v.IsNull(i) && string(v.BytesAt(i)) != words[i] {
						t.Fatalf("%s, batch %d.%d, row %d: %.50q, want %.50q", symbol, k, again, i, v.BytesAt(i), words[i])
					}
				}
			}
		}
		s.Close()
	}
	s, err := h.Scalar(ctx, scalarRef("repeat", types.Text, types.Text, types.Int8))
	if err != nil {
		t.Fatal(detail(err))
	}
	defer s.Close()
	// 7000: more Results than there are slots, which are small at first; at last both
	// have had a row that is larger than a Result.
	for _, size := range []int{1, 7000, 1, 9 << 20, 9 << 20, 1, 7000, 1} {
		const n = 5000
		words, times := make([]string, n), make([]int64, n)
		for i := range words {
			words[i], times[i] = string(rune('a'+i%26)), int64(size+i%5)
			if size > 1<<20 && i > 0 {
				times[i] = 1
			}
		}
		v, err := s.Call(ctx, []*vector.Vector{texts(words...), ints(times...)}, n)
		if err != nil {
			t.Fatal(detail(err))
		}
		for i, w := range words {
			if got := string(v.BytesAt(i)); len(got) != int(times[i]) || strings.Trim(got, w) != "" {
				t.Fatalf("%d of row %d: %.50q", size, i, got)
			}
		}
	}
}

// Rows that are longer than those after them: the room for these is no multiple of
// theirs, which would end the process.
func TestFirstRowsLongest(t *testing.T) {
	h := testHost(t, nil)
	ctx := testContext(t)
	r := scalarRef("repeat", types.Text, types.Text, types.Int8)
	r.MemoryLimit = 256 << 20
	s, err := h.Scalar(ctx, r)
	if err != nil {
		t.Fatal(detail(err))
	}
	defer func() { _ = s.Close() }()
	const n = 64 << 10
	words, times := make([]string, n), make([]int64, n)
	for i := range words {
		words[i], times[i] = "x", 1
	}
	for _, size := range []int64{1, 40_000} { // the first says what a row has
		for i := range 2048 {
			times[i] = size
		}
		v, err := s.Call(ctx, []*vector.Vector{texts(words...), ints(times...)}, n)
		if err != nil {
			t.Fatal(detail(err))
		}
		if want := int(2048*size) + n - 2048; len(v.Bytes) != want || v.Len != n {
			t.Errorf("%d bytes in %d rows, want %d", len(v.Bytes), v.Len, want)
		}
	}
	if s.Figures().Restarts > 0 {
		t.Error("the process was ended")
	}
}
