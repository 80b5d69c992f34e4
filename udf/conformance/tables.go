package conformance

import (
	"fmt"
	"slices"
	"testing"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// table calls table_X(n, x): n rows of x.
func (s *suite) table(t *testing.T, c typeCase) {
	symbol := "table_" + c.name
	s.run(t, symbol, c.typ.String(), func(t *testing.T) {
		ctx := s.context(t)
		k8 := types.T(types.Int8)
		fields := []vector.Field{{Name: "k", Type: k8}, {Name: "x", Type: c.typ}}
		for _, col := range c.columns(t, true) {
			n := col.v.Len
			counts, ends := make([]int64, n), make([]int32, n)
			var rows []int32
			var keys, groups []int64
			nulls := vector.NewValid(n)
			for i := range n {
				counts[i], ends[i] = int64(i%3), int32(i+1)
				if i%5 == 4 { // NULL in an argument that takes none: no rows
					vector.SetNull(nulls, i)
					continue
				}
				for k := range i % 3 {
					rows, keys, groups = append(rows, int32(i)), append(keys, int64(k)), append(groups, int64(i))
				}
			}
			st, err := s.open(ctx, t, symbol, function.Table, []types.Type{k8, c.typ}, types.T(types.Record), fields...)
			if err == nil {
				err = st.all(ctxcut(ctx, []*vector.Vector{vector.FromSlice(k8, counts).WithValid(nulls), col.v}, ends, 9))
			}
			if err != nil {
				t.Fatalf("%s: %s", col.name, detail(err))
			}
			if len(rows) == 0 {
				if len(st.groups) > 0 {
					t.Errorf("%s: %q, want no rows", col.name, st.rows)
				}
				continue
			}
			if len(st.rows) == 0 || !slices.Equal(st.rows[0], show(vector.FromSlice(k8, keys))) || !slices.Equal(st.rows[1], show(vector.Gather(col.v, rows))) || !slices.Equal(st.groups, groups) {
				t.Errorf("%s: %q of %v, want %q of %v", col.name, st.rows, st.groups, show(vector.Gather(col.v, rows)), groups)
			}
			st.Close()
		}
	})
}

// tables calls table functions that are not one per type.
func (s *suite) tables(t *testing.T) {
	bigints := []types.Type{types.T(types.Int8), types.T(types.Int8)}
	s.run(t, "series", "", func(t *testing.T) {
		ctx := s.context(t)
		st, err := s.open(ctx, t, "series", function.Table, bigints, types.T(types.Record), fieldsOf("n")...)
		if err == nil {
			err = st.all(ctxcut(ctx, []*vector.Vector{int8s(1, 5, 1, 9), int8s(3, 4, 300_000, 9)}, []int32{1, 2, 3, 4}, 4))
		}
		if err != nil {
			t.Fatal(detail(err))
		}
		if n := len(st.groups); n != 300_004 || st.rows[0][n-2] != "300000" || st.rows[0][n-1] != "9" || st.groups[n-1] != 3 || st.groups[3] != 2 {
			t.Errorf("%d rows", n)
		}
	})
	s.run(t, "series", "not to its end", func(t *testing.T) {
		ctx := s.context(t)
		pids := fmt.Sprint(s.host.Children())
		for range 3 {
			st, err := s.open(ctx, t, "series", function.Table, bigints, types.T(types.Record), fieldsOf("n")...)
			if err == nil {
				err = st.Send(ctx, []*vector.Vector{int8s(1), int8s(1 << 40)}, 1, []int32{1})
			}
			if err == nil {
				_, err = st.Recv(ctx)
			}
			if err != nil {
				t.Fatal(detail(err))
			}
			st.Close()
		}
		if now := fmt.Sprint(s.host.Children()); now != pids {
			t.Errorf("processes %s, then %s: a call that nobody wants the end of is no fault", pids, now)
		}
	})
}

// window calls window_X(x): the value in the last row of the frame.
func (s *suite) window(t *testing.T, c typeCase) {
	symbol := "window_" + c.name
	s.run(t, symbol, c.typ.String(), func(t *testing.T) {
		ctx := s.context(t)
		for _, col := range c.columns(t, true) {
			n := col.v.Len
			ends := sizes(n)
			from, to := make([]int64, n), make([]int64, n)
			at := make([]int32, n)
			first := 0
			for _, e := range ends {
				for i := first; i < int(e); i++ {
					// ROWS BETWEEN 2 PRECEDING AND 1 PRECEDING.
					from[i], to[i] = int64(max(i-first-2, 0)), int64(i-first)
					if at[i] = int32(i - 1); i == first {
						at[i] = -1
					}
				}
				first = int(e)
			}
			st, err := s.open(ctx, t, symbol, function.Window, []types.Type{c.typ}, c.typ)
			if err == nil {
				err = st.all(ctxcut(ctx, []*vector.Vector{col.v, int8s(from...), int8s(to...)}, ends, 7))
			}
			if err != nil {
				t.Fatalf("%s: %s", col.name, detail(err))
			}
			if want := show(vector.GatherNull(col.v, at)); !slices.Equal(st.rows[0], want) {
				t.Errorf("%s: %q, want %q", col.name, st.rows[0], want)
			}
			st.Close()
		}
	})
}

// windows calls a window function on a partition of several frames.
func (s *suite) windows(t *testing.T) {
	s.run(t, "frame_rows", "", func(t *testing.T) {
		ctx := s.context(t)
		const n = 150_000
		x, from, to, want := make([]int64, n), make([]int64, n), make([]int64, n), make([]string, n)
		for i := range x {
			from[i], to[i] = int64(max(i-3, 0)), int64(min(i+2, n))
			want[i] = fmt.Sprint(to[i] - from[i])
		}
		st, err := s.open(ctx, t, "frame_rows", function.Window, []types.Type{types.T(types.Int8)}, types.T(types.Int8))
		if err == nil {
			err = st.all(ctxcut(ctx, []*vector.Vector{int8s(x...), int8s(from...), int8s(to...)}, nil, 60_000))
		}
		if err != nil {
			t.Fatal(detail(err))
		}
		if !slices.Equal(st.rows[0], want) {
			t.Errorf("%d rows", len(st.rows[0]))
		}
	})
}

// describe asks for output columns that depend on the arguments.
func (s *suite) describe(t *testing.T) {
	args := []types.Type{types.T(types.Text), types.T(types.Int8)}
	s.run(t, "pick", "", func(t *testing.T) {
		ctx := s.context(t)
		ref := s.ref("pick", function.Table, args, types.T(types.Record))
		cols, err := s.host.Describe(ctx, ref, []*vector.Vector{sample(t, types.Text, "int64 string numeric floats timestamptz point"), vector.NewNull(args[1], 1)})
		if err != nil {
			t.Fatal(detail(err))
		}
		want := []types.Type{types.T(types.Int8), types.T(types.Text), types.T(types.Numeric), types.ArrayOf(types.Float8), types.T(types.Timestamptz), point}
		for i, c := range cols {
			if i >= len(want) || !c.Type.Same(want[i]) || c.Name != fmt.Sprint("c", i+1) {
				t.Errorf("column %d is %s %s", i+1, c.Name, c.Type)
			}
		}
		if len(cols) != len(want) {
			t.Fatalf("%d columns", len(cols))
		}
		st, err := s.open(ctx, t, "pick", function.Table, args, types.T(types.Record), cols...)
		if err == nil {
			err = st.all(ctx, [][]*vector.Vector{{sample(t, types.Text, "any"), int8s(2)}}, [][]int32{{1}})
		}
		if err != nil {
			t.Fatal(detail(err))
		}
		if got := fmt.Sprint(st.rows); got != "[[0 1] [NULL NULL] [NULL NULL] [NULL NULL] [NULL NULL] [NULL NULL]]" {
			t.Error(got)
		}
		_, err = s.host.Describe(ctx, ref, []*vector.Vector{vector.NewNull(args[0], 1), int8s(1)})
		check(t, "without the constant", err, "22023", "have to be a constant")
	})
	s.run(t, "pick_group", "", func(t *testing.T) {
		ctx := s.context(t)
		bigint := args[1:]
		cols, err := s.host.Describe(ctx, s.ref("pick_group", function.GroupedMap, bigint, types.T(types.Record)), []*vector.Vector{vector.NewNull(bigint[0], 1)})
		if err != nil || len(cols) != 2 || cols[1].Name != "b" {
			t.Fatal(cols, detail(err))
		}
		st, err := s.open(ctx, t, "pick_group", function.GroupedMap, bigint, types.T(types.Record), cols...)
		if err == nil {
			err = st.all(ctx, [][]*vector.Vector{{int8s(4, 5)}}, [][]int32{{1, 2}})
		}
		if err != nil {
			t.Fatal(detail(err))
		}
		if got := fmt.Sprint(st.rows); got != "[[4 5] [4 5]]" {
			t.Error(got)
		}
	})
}
