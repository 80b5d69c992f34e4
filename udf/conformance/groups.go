package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/udf"
	"github.com/volleydb/volley/vector"
)

// stream is a grouped map, or what runs as one, with what it has answered.
type stream struct {
	groupStream
	rows   [][]string // by column
	groups []int64    // of the rows
}

// open opens a stream of a kind; it is closed with the test.
func (s *suite) open(ctx context.Context, t *testing.T, symbol string, kind function.Kind, args []types.Type, returns types.Type, columns ...vector.Field) (*stream, error) {
	st, err := s.host.GroupedMap(ctx, s.ref(symbol, kind, args, returns, columns...), udf.GroupOptions{})
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { st.Close() })
	return &stream{groupStream: st}, nil
}

type groupStream interface {
	Wait(ctx context.Context) (canSend, canRecv bool, err error)
	Send(ctx context.Context, cols []*vector.Vector, n int, ends []int32) error
	CloseSend() error
	Recv(ctx context.Context) (*udf.GroupOutput, error)
	Close() error
}

// take takes the answers that come until the stream can be sent to, or, when all has
// been sent, until its end.
func (st *stream) take(ctx context.Context, closed bool) error {
	for {
		canSend, canRecv, err := st.Wait(ctx)
		if err != nil {
			return err
		}
		if !canRecv && canSend && !closed {
			return nil
		}
		if !canRecv {
			continue
		}
		o, err := st.Recv(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if st.rows == nil {
			st.rows = make([][]string, len(o.Cols))
		}
		for i, c := range o.Cols {
			st.rows[i] = append(st.rows[i], show(c)...)
		}
		for _, g := range o.Groups {
			if n := o.Base + int64(g); len(st.groups) > 0 && n < st.groups[len(st.groups)-1] {
				return fmt.Errorf("a row of group %d after one of group %d", n, st.groups[len(st.groups)-1])
			} else {
				st.groups = append(st.groups, n)
			}
		}
		if len(st.groups) != len(st.rows[0]) {
			return fmt.Errorf("%d group numbers for %d rows", len(st.groups), len(st.rows[0]))
		}
	}
}

// all sends pieces, with the ends of groups in each, and takes all answers.
func (st *stream) all(ctx context.Context, pieces [][]*vector.Vector, ends [][]int32) error {
	for i, p := range pieces {
		if err := st.take(ctx, false); err != nil {
			return err
		}
		if err := st.Send(ctx, p, p[0].Len, ends[i]); err != nil {
			return err
		}
	}
	if err := st.CloseSend(); err != nil {
		return err
	}
	return st.take(ctx, true)
}

// cut cuts columns into pieces of n rows, and ends likewise.
func cut(cols []*vector.Vector, ends []int32, n int) (pieces [][]*vector.Vector, parts [][]int32) {
	rows := cols[0].Len
	for from := 0; from < rows; from += n {
		to := min(from+n, rows)
		var p []*vector.Vector
		for _, c := range cols {
			p = append(p, vector.Slice(c, from, to))
		}
		e := []int32{}
		for len(ends) > 0 && int(ends[0]) <= to {
			e = append(e, ends[0]-int32(from))
			ends = ends[1:]
		}
		pieces, parts = append(pieces, p), append(parts, e)
	}
	return pieces, parts
}

// sizes makes ends of groups of n rows in all, some of them empty.
func sizes(n int) []int32 {
	var ends []int32
	for i, at := 0, 0; at < n; i++ {
		at = min(at+[]int{3, 1, 0, 5, 2}[i%5], n)
		ends = append(ends, int32(at))
	}
	return ends
}

// maps runs a grouped map of every contract.
func (s *suite) maps(t *testing.T, c typeCase) {
	k8 := types.T(types.Int8)
	fields := []vector.Field{{Name: "k", Type: k8}, {Name: "x", Type: c.typ}}
	for _, f := range []struct {
		symbol string
		order  func(ends []int32, n int) (rows []int32, keys []int64)
		ends   func(n int) []int32
	}{
		{"echo_", func(ends []int32, n int) (rows []int32, keys []int64) {
			for i := range n {
				rows, keys = append(rows, int32(i)), append(keys, int64(i))
			}
			return rows, keys
		}, sizes},
		// Backwards within groups: only who has all of a group can do that.
		{"whole_", func(ends []int32, n int) (rows []int32, keys []int64) {
			from := int32(0)
			for _, e := range ends {
				for i := e - 1; i >= from; i-- {
					rows, keys = append(rows, i), append(keys, int64(i))
				}
				from = e
			}
			return rows, keys
		}, sizes},
		// With the number of rows that a call was given.
		{"batch_", func(ends []int32, n int) (rows []int32, keys []int64) {
			from := int32(0)
			for _, e := range ends {
				for i := from; i < e; i++ {
					rows, keys = append(rows, i), append(keys, int64(e-from))
				}
				from = e
			}
			return rows, keys
		}, func(n int) []int32 {
			var ends []int32
			for at := 0; at < n; at += 4 {
				ends = append(ends, int32(min(at+4, n)))
			}
			return ends
		}},
	} {
		s.run(t, f.symbol+c.name, c.typ.String(), func(t *testing.T) {
			ctx := s.context(t)
			for _, col := range c.columns(t, true) {
				n := col.v.Len
				keys := make([]int64, n)
				for i := range keys {
					keys[i] = int64(i)
				}
				ends := f.ends(n)
				rows, ks := f.order(ends, n)
				pieces := []int{n}
				if col.name == "nulls" {
					pieces = []int{n, 7, 1} // groups end anywhere in them
				}
				for _, size := range pieces {
					st, err := s.open(ctx, t, f.symbol+c.name, function.GroupedMap, []types.Type{k8, c.typ}, types.T(types.Record), fields...)
					if err != nil {
						t.Fatal(detail(err))
					}
					if err := st.all(ctxcut(ctx, []*vector.Vector{vector.FromSlice(k8, keys), col.v}, ends, size)); err != nil {
						t.Fatalf("%s, %d rows per piece: %s", col.name, size, detail(err))
					}
					wantX, wantK := show(vector.Gather(col.v, rows)), show(vector.FromSlice(k8, ks))
					if !slices.Equal(st.rows[1], wantX) || !slices.Equal(st.rows[0], wantK) {
						t.Errorf("%s, %d rows per piece: %q %q, want %q %q", col.name, size, st.rows[0], st.rows[1], wantK, wantX)
					}
					st.Close()
				}
			}
		})
	}
}

// ctxcut is cut with a context before its results.
func ctxcut(ctx context.Context, cols []*vector.Vector, ends []int32, n int) (context.Context, [][]*vector.Vector, [][]int32) {
	p, e := cut(cols, ends, n)
	return ctx, p, e
}

// int8s is a column of bigint.
func int8s(vals ...int64) *vector.Vector { return vector.FromSlice(types.T(types.Int8), vals) }

func fieldsOf(names ...string) []vector.Field {
	var fs []vector.Field
	for _, n := range names {
		fs = append(fs, vector.Field{Name: n, Type: types.T(types.Int8)})
	}
	return fs
}

// groups runs grouped maps of one bigint column.
func (s *suite) groups(t *testing.T) {
	bigint := []types.Type{types.T(types.Int8)}
	record := types.T(types.Record)
	ones := make([]int64, 300_000)
	for i := range ones {
		ones[i] = 1
	}
	for _, symbol := range []string{"count_stream", "count_whole"} {
		s.run(t, symbol, "", func(t *testing.T) {
			ctx := s.context(t)
			for _, c := range []struct {
				ends []int32
				want []string
			}{
				{[]int32{300_000}, []string{"300000"}}, // larger than a frame
				{nil, []string{"300000"}},              // ends with the input
				{[]int32{1, 1, 150_001}, []string{"1", "0", "150000", "149999"}},
			} {
				st, err := s.open(ctx, t, symbol, function.GroupedMap, bigint, record, fieldsOf("rows", "sum")...)
				if err != nil {
					t.Fatal(detail(err))
				}
				if err := st.all(ctxcut(ctx, []*vector.Vector{int8s(ones...)}, c.ends, 70_000)); err != nil {
					t.Fatal(detail(err))
				}
				if !slices.Equal(st.rows[0], c.want) || !slices.Equal(st.rows[1], c.want) {
					t.Errorf("%v: rows %v and sums %v, want %v", c.ends, st.rows[0], st.rows[1], c.want)
				}
				st.Close()
			}
		})
	}
	s.run(t, "count_stream", "many groups", func(t *testing.T) {
		ctx := s.context(t)
		const n = 20_000
		ends := make([]int32, n)
		for i := range ends {
			ends[i] = int32(i + 1)
		}
		st, err := s.open(ctx, t, "count_stream", function.GroupedMap, bigint, record, fieldsOf("rows", "sum")...)
		if err == nil {
			err = st.all(ctxcut(ctx, []*vector.Vector{int8s(ones[:n]...)}, ends, 6000))
		}
		if err != nil {
			t.Fatal(detail(err))
		}
		if done := st.groupStream.(*udf.GroupedMapStream).Done(); len(st.groups) != n || st.groups[n-1] != n-1 || done != n {
			t.Errorf("%d rows, %d groups done", len(st.groups), done)
		}
	})
	s.run(t, "count_small", "", func(t *testing.T) {
		ctx := s.context(t)
		for n, fails := range map[int]bool{400: false, 4000: true} {
			st, err := s.open(ctx, t, "count_small", function.GroupedMap, bigint, record, fieldsOf("rows", "sum")...)
			if err == nil {
				err = st.all(ctxcut(ctx, []*vector.Vector{int8s(ones[:n]...)}, nil, 100))
			}
			if !fails && err != nil {
				t.Fatal(detail(err))
			}
			if fails {
				check(t, "a group of 32 kB", err, "53200", "volley.max_group_bytes")
			}
		}
	})
	s.run(t, "count_batch", "", func(t *testing.T) {
		ctx := s.context(t)
		st, err := s.open(ctx, t, "count_batch", function.GroupedMap, bigint, record, fieldsOf("rows", "sum")...)
		if err == nil {
			err = st.all(ctxcut(ctx, []*vector.Vector{int8s(ones[:2500]...)}, []int32{1000, 2000, 2500}, 300))
		}
		if err != nil {
			t.Fatal(detail(err))
		}
		if want := []string{"1000", "1000", "500"}; !slices.Equal(st.rows[0], want) {
			t.Errorf("%v, want %v", st.rows[0], want)
		}
	})
	s.run(t, "explode", "", func(t *testing.T) {
		// More comes out than goes in: the function waits for its reader.
		ctx := s.context(t)
		st, err := s.open(ctx, t, "explode", function.GroupedMap, bigint, record, fieldsOf("x")...)
		if err == nil {
			err = st.all(ctxcut(ctx, []*vector.Vector{int8s(5, 500_000, 0, 3)}, []int32{1, 2, 3, 4}, 4))
		}
		if err != nil {
			t.Fatal(detail(err))
		}
		if n := len(st.groups); n != 500_008 || st.rows[0][n-4] != "499999" || st.groups[n-1] != 3 || st.groups[5] != 1 {
			t.Errorf("%d rows", n)
		}
	})
}
