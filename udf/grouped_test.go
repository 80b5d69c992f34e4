package udf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

func field(name string, id types.ID) vector.Field { return vector.Field{Name: name, Type: types.T(id)} }

func sumsRef() *proto.UDF {
	return ref("sums", function.GroupedMap, typeList(types.Int8, types.Float8), types.Type{}, field("k", types.Int8), field("n", types.Int8), field("sum", types.Float8))
}

func intsRef(symbol string) *proto.UDF {
	return ref(symbol, function.GroupedMap, typeList(types.Int8), types.Type{}, field("x", types.Int8))
}

// piece is one Send.
type piece struct {
	cols []*vector.Vector
	n    int
	ends []int32
}

// drive runs a stream from one goroutine, as an operator does.
func drive(ctx context.Context, s *GroupedMapStream, pieces []piece, each func(*GroupOutput)) error {
	for {
		canSend, canRecv, err := s.Wait(ctx)
		switch {
		case err != nil:
			return err
		case canRecv:
			out, err := s.Recv(ctx)
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
			each(out)
		case canSend && len(pieces) > 0:
			if err := s.Send(ctx, pieces[0].cols, pieces[0].n, pieces[0].ends); err != nil {
				return err
			}
			pieces = pieces[1:]
		case canSend:
			if err := s.CloseSend(); err != nil {
				return err
			}
		}
	}
}

func runGroups(t *testing.T, h *Host, ref *proto.UDF, o GroupOptions, pieces ...piece) (string, error) {
	t.Helper()
	ctx := testContext(t)
	s, err := h.GroupedMap(ctx, ref, o)
	if err != nil {
		return "", err
	}
	defer s.Close()
	var lines []string
	err = drive(ctx, s, pieces, func(o *GroupOutput) {
		for i := range o.N {
			line := fmt.Sprint("group ", o.Base+int64(o.Groups[i]), ":")
			for _, c := range o.Cols {
				line += " " + show(vector.Slice(c, i, i+1))
			}
			lines = append(lines, line)
		}
	})
	return strings.Join(lines, "\n"), err
}

func TestGroupedMap(t *testing.T) {
	h := testHost(t, nil)
	cases := []struct {
		name   string
		pieces []piece
		want   string
	}{
		{"no input", nil, ""},
		{"two groups", []piece{{[]*vector.Vector{ints(1, 1, 2), floats(1, 2, 3)}, 3, []int32{2, 3}}},
			"group 0: 1 2 3\ngroup 1: 2 1 3"},
		{"NULL in a nullable column", []piece{{[]*vector.Vector{ints(1, 1), nulls(floats(1, 2), 0)}, 2, []int32{2}}}, "group 0: 1 2 2"},
		{"a group over three pieces, the end in a fourth", []piece{
			{[]*vector.Vector{ints(1, 2), floats(1, 1)}, 2, []int32{1}},
			{[]*vector.Vector{ints(2, 2), floats(1, 1)}, 2, nil},
			{[]*vector.Vector{ints(2), floats(1)}, 1, nil},
			{[]*vector.Vector{ints(3), floats(1)}, 1, []int32{0, 1}},
		}, "group 0: 1 1 1\ngroup 1: 2 4 4\ngroup 2: 3 1 1"},
		{"CloseSend ends the open group", []piece{{[]*vector.Vector{ints(7, 7), floats(1, 1)}, 2, nil}}, "group 0: 7 2 2"},
		{"an empty group", []piece{{[]*vector.Vector{ints(), floats()}, 0, []int32{0}}}, "group 0: 0 0 0"},
		{"constants", []piece{{[]*vector.Vector{vector.NewConst(ints(4), 3), vector.NewConst(floats(2), 3)}, 3, []int32{1, 3}}},
			"group 0: 4 1 2\ngroup 1: 4 2 4"},
	}
	for _, plain := range []bool{false, true} {
		h := h
		if plain {
			h = testHost(t, func(c *HostConfig) { c.NoSharedMemory = true })
		}
		for _, c := range cases {
			got, err := runGroups(t, h, sumsRef(), GroupOptions{}, c.pieces...)
			if err != nil {
				t.Fatalf("%s: %s", c.name, detail(err))
			}
			if got != c.want {
				t.Errorf("%s:\n%s\nwant\n%s", c.name, got, c.want)
			}
		}
	}
	got, err := runGroups(t, h, intsRef("first_only"), GroupOptions{MaxOutputRows: 1},
		piece{[]*vector.Vector{ints(1, 2, 3)}, 3, []int32{2, 3}}, piece{[]*vector.Vector{ints(4)}, 1, []int32{1}})
	if err != nil || got != "group 0: 1\ngroup 1: 3\ngroup 2: 4" {
		t.Error(got, err)
	}
	// STRICT: rows with NULL are left out.
	r := intsRef("first_only")
	r.Strict = true
	got, err = runGroups(t, h, r, GroupOptions{}, piece{[]*vector.Vector{nulls(ints(1, 2, 3), 0)}, 3, []int32{2, 3}})
	if err != nil || got != "group 0: 2\ngroup 1: 3" {
		t.Error(got, err)
	}
}

func TestGroupedMapErrors(t *testing.T) {
	h := testHost(t, nil)
	x := func(vals ...int64) piece {
		return piece{[]*vector.Vector{ints(vals...)}, len(vals), []int32{2, int32(len(vals))}}
	}
	cases := []struct {
		name   string
		ref    *proto.UDF
		pieces []piece
		group  int64
		row    int64
		want   []string
	}{
		{"panic", intsRef("gboom"), []piece{x(1, 2, 3, 13, 5)}, 1, 1,
			[]string{"38000", "assignment to entry in nil map", "row 2, function gboom", "x = 13", "group k = 1, "}},
		{"panic in a later piece", intsRef("gboom"), []piece{x(1, 2, 3), {[]*vector.Vector{ints(13)}, 1, nil}}, 2, 0, []string{"38000", "group k = 2, row 1"}},
		{"NULL", intsRef("gboom"), []piece{{[]*vector.Vector{nulls(ints(1, 2), 1)}, 2, nil}}, 0, 1, []string{"22004", `null value in column "x"`, "udf.Nullable", "CALLED ON NULL INPUT"}},
		{"wrong emit", intsRef("emits_wrong"), []piece{x(1, 2, 3)}, 0, -1, []string{"39000", `column "x" is of type int64 and cannot hold a string`}},
	}
	for _, c := range cases {
		_, err := runGroups(t, h, c.ref, GroupOptions{}, c.pieces...)
		var ce *CallError
		if !errors.As(err, &ce) {
			t.Fatalf("%s: %v", c.name, err)
		}
		if ce.Group != c.group || ce.Row != c.row {
			t.Errorf("%s: group %d row %d", c.name, ce.Group, ce.Row)
		}
		d := detail(WithGroupKey(err, func(g int64) string { return fmt.Sprint("k = ", g) }))
		for _, w := range c.want {
			if !strings.Contains(d, w) {
				t.Errorf("%s: %s: lacks %q", c.name, d, w)
			}
		}
	}
	if n := len(h.Children()); n != 1 {
		t.Errorf("%d children, want 1", n)
	}
}

// Many groups of one row are few frames.
func TestMillionGroups(t *testing.T) {
	h := testHost(t, nil)
	const n, per = 1_000_000, 16384
	var pieces []piece
	for from := 0; from < n; from += per {
		to := min(from+per, n)
		k, x, ends := make([]int64, to-from), make([]float64, to-from), make([]int32, to-from)
		for i := range k {
			k[i], x[i], ends[i] = int64(from+i), float64(i), int32(i+1)
		}
		pieces = append(pieces, piece{[]*vector.Vector{ints(k...), floats(x...)}, to - from, ends})
	}
	ctx := testContext(t)
	begin := time.Now()
	s, err := h.GroupedMap(ctx, sumsRef(), GroupOptions{})
	if err != nil {
		t.Fatal(detail(err))
	}
	defer s.Close()
	next := int64(0)
	err = drive(ctx, s, pieces, func(o *GroupOutput) {
		k := vector.Values[int64](o.Cols[0])
		for i := range o.N {
			if k[i] != next || o.Base+int64(o.Groups[i]) != next {
				t.Fatalf("row of group %d says %d, want %d", o.Base+int64(o.Groups[i]), k[i], next)
			}
			next++
		}
		if o.Done > next+per {
			t.Fatalf("%d groups done after %d", o.Done, next)
		}
	})
	if err != nil || next != n || s.Done() != n {
		t.Fatal(err, next, s.Done())
	}
	took := time.Since(begin)
	t.Logf("%v, %v per group", took, took/n)
	if took > 10*time.Second {
		t.Error("too slow")
	}
}

// One group, larger than all slots, in and out.
func TestHugeGroup(t *testing.T) {
	h := testHost(t, nil)
	ctx := testContext(t)
	r := ref("echo", function.GroupedMap, typeList(types.Text, types.Int8), types.Type{}, field("s", types.Text), field("n", types.Int8))
	s, err := h.GroupedMap(ctx, r, GroupOptions{})
	if err != nil {
		t.Fatal(detail(err))
	}
	defer s.Close()
	const pieces, rows = 40, 20_000 // of 100 bytes: 80 MB
	text := make([]string, rows)
	num := make([]int64, rows)
	for i := range text {
		text[i] = fmt.Sprintf("%0100d", i)
		num[i] = int64(i)
	}
	in := piece{[]*vector.Vector{texts(text...), ints(num...)}, rows, nil}
	all := make([]piece, pieces)
	for i := range all {
		all[i] = in
	}
	got := 0
	err = drive(ctx, s, all, func(o *GroupOutput) {
		for i := range o.N {
			if want := got % rows; o.Cols[0].StringAt(i) != text[want] || vector.At[int64](o.Cols[1], i) != num[want] {
				t.Fatalf("row %d is %s", got, o.Cols[0].StringAt(i))
			}
			got++
		}
	})
	if err != nil || got != pieces*rows {
		t.Fatal(err, got)
	}
}

// Output that is much larger than its input, with a sender and a receiver.
func TestExplodingGroup(t *testing.T) {
	h := testHost(t, nil)
	ctx := testContext(t)
	r := ref("explode", function.GroupedMap, typeList(types.Int8), types.Type{}, field("i", types.Int8), field("s", types.Text))
	s, err := h.GroupedMap(ctx, r, GroupOptions{MaxOutputRows: 5000})
	if err != nil {
		t.Fatal(detail(err))
	}
	defer s.Close()
	const n, pieces = 200_000, 4
	sent := make(chan error, 1)
	go func() {
		var err error
		for range pieces {
			if err == nil {
				err = s.Send(ctx, []*vector.Vector{ints(n)}, 1, []int32{1})
			}
		}
		if err == nil {
			err = s.CloseSend()
		}
		sent <- err
	}()
	rows := 0
	for {
		o, err := s.Recv(ctx)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if o.N > 5000 {
			t.Fatal(o.N)
		}
		for i, x := range vector.Values[int64](o.Cols[0]) {
			if x != int64(rows%n) || o.Base+int64(o.Groups[i]) != int64(rows/n) {
				t.Fatalf("row %d is %d of group %d", rows, x, o.Base+int64(o.Groups[i]))
			}
			rows++
		}
	}
	if err := <-sent; err != nil || rows != n*pieces {
		t.Fatal(err, rows)
	}
}

func TestCancelGroupedMap(t *testing.T) {
	h := testHost(t, nil)
	for _, symbol := range []string{"waits", "gloops"} {
		ctx, cancel := context.WithCancel(testContext(t))
		s, err := h.GroupedMap(ctx, intsRef(symbol), GroupOptions{})
		if err != nil {
			t.Fatal(detail(err))
		}
		if err := s.Send(ctx, []*vector.Vector{ints(1)}, 1, []int32{1}); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(50*time.Millisecond, cancel)
		begin := time.Now()
		_, err = s.Recv(ctx)
		if took := time.Since(begin); pgerr.Code(err) != pgerr.QueryCanceled || took > 3*time.Second {
			t.Errorf("%s: %v after %v", symbol, err, took)
		}
		s.Close()
	}
	// The looping child is killed within the grace, and replaced.
	deadline := time.Now().Add(10 * time.Second)
	for len(h.Children()) > 0 && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
	if n := len(h.Children()); n != 0 {
		t.Errorf("%d children, want 0", n)
	}
	got, err := runGroups(t, h, intsRef("first_only"), GroupOptions{}, piece{[]*vector.Vector{ints(1)}, 1, nil})
	if err != nil || got != "group 0: 1" {
		t.Error(got, err)
	}
}
