package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/udf"
	"github.com/volleydb/volley/vector"
)

// errors checks what is raised, and what breaks the contract: functions and rows are
// named, and SQLSTATEs are the functions' own.
func (s *suite) errors(t *testing.T) {
	bigint := types.T(types.Int8)
	x := sample(t, types.Int8, "1", "2", "7", "3")
	for _, c := range []struct {
		symbol  string
		returns types.Type
		code    string
		words   []string
	}{
		{"fail_at_seven", bigint, "38000", []string{"function fail_at_seven", "seven", "row 3,", "x = 7"}},
		{"raise_at_seven", bigint, "22012", []string{"function raise_at_seven: no sevens", "There is a seven.", "Use eight.", "row 3,", "x = 7"}},
		{"panic_at_seven", bigint, "38000", []string{"function panic_at_seven", "seven", "row 3,", "x = 7"}},
		{"vector_fails", bigint, "38000", []string{"function vector_fails", "seven", "row 3,", "x = 7"}},
		{"bad_text", types.T(types.Text), "39000", []string{"function bad_text", "not valid UTF-8", "row 3,"}},
		{"bad_json", types.T(types.JSON), "39000", []string{"function bad_json", "not JSON", "row 3,"}},
		{"bad_clock", types.T(types.Time), "39000", []string{"function bad_clock", "time of day out of range", "row 3,"}},
	} {
		s.run(t, c.symbol, "", func(t *testing.T) {
			ctx := s.context(t)
			_, err := s.call(ctx, c.symbol, c.returns, x)
			check(t, c.symbol, err, c.code, c.words...)
			v, err := s.call(ctx, c.symbol, c.returns, sample(t, types.Int8, "1"))
			if err != nil || v.Len != 1 {
				t.Errorf("after the error: %s", detail(err))
			}
		})
	}
	s.run(t, "strict_elements", "NULL", func(t *testing.T) {
		_, err := s.call(s.context(t), "strict_elements", bigint, typeCase{typ: types.ArrayOf(types.Int8)}.text(t, "{1}", "{1,NULL}"))
		check(t, "an array with NULL", err, "22004", "null element")
	})
	s.run(t, "id_int64", "another type", func(t *testing.T) {
		ctx := s.context(t)
		_, err := s.call(ctx, "id_int64", bigint, sample(t, types.Int4, "1"))
		check(t, "integer as the argument", err, "39000")
		_, err = s.call(ctx, "id_int64", types.T(types.Text), sample(t, types.Int8, "1"))
		check(t, "text as the result", err, "39000")
		_, err = s.host.Aggregate(ctx, s.ref("id_int64", function.Aggregate, []types.Type{bigint}, bigint), []types.Type{bigint})
		check(t, "as an aggregate", err, "39000")
		_, err = s.call(ctx, "no_such_function", bigint, x)
		check(t, "no_such_function", err, "42883")
	})
	s.run(t, "fail_step", "", func(t *testing.T) {
		a := s.states(s.context(t), t, "fail_step", bigint, bigint)
		a.Grow(2)
		err := a.Update([]int32{0, 1, 0, 1}, []*vector.Vector{x}, 4)
		if err == nil {
			_, err = a.Final(0, 2)
		}
		check(t, "a step", err, "38000", "function fail_step", "seven", "row 3,", "x = 7")
	})
	s.run(t, "fail_finish", "", func(t *testing.T) {
		a := s.states(s.context(t), t, "fail_finish", bigint, bigint)
		a.Grow(4)
		err := a.Update([]int32{0, 1, 2, 3}, []*vector.Vector{x}, 4)
		if err == nil {
			_, err = a.Final(0, 4)
		}
		check(t, "the result", err, "22012", "function fail_finish", "seven")
		if ce := new(udf.CallError); !errors.As(err, &ce) || ce.Group != 2 {
			t.Errorf("the group is %+v, want 2", ce)
		}
	})
	group := func(symbol string, kind function.Kind, returns types.Type, row int64, words []string, code string, columns ...vector.Field) {
		s.run(t, symbol, "error", func(t *testing.T) {
			ctx := s.context(t)
			cols, ends := []*vector.Vector{sample(t, types.Int8, "1", "2", "3", "7", "4")}, []int32{1, 2, 5}
			switch kind {
			case function.Table:
				ends = []int32{1, 2, 3, 4, 5}
			case function.Window:
				cols = append(cols, int8s(0, 0, 0, 0, 0), int8s(1, 1, 1, 1, 1))
			}
			st, err := s.open(ctx, t, symbol, kind, []types.Type{bigint}, returns, columns...)
			if err == nil {
				err = st.all(ctxcut(ctx, cols, ends, 5))
			}
			check(t, symbol, err, code, words...)
			want := int64(2)
			if kind == function.Table {
				want = 3
			}
			if ce := new(udf.CallError); !errors.As(err, &ce) || ce.Group != want || ce.Row != row {
				t.Errorf("%s: %+v, want row %d of group %d", detail(err), ce, row, want)
			}
		})
	}
	record := types.T(types.Record)
	group("count_stream", function.GroupedMap, record, 1, []string{"function count_stream", "seven", "row 2,", "x = 7"}, "38000", fieldsOf("rows", "sum")...)
	group("count_whole", function.GroupedMap, record, 1, []string{"function count_whole", "seven", "row 2,", "x = 7"}, "38000", fieldsOf("rows", "sum")...)
	group("table_fails", function.Table, record, 0, []string{"function table_fails", "seven", "x = 7"}, "38000", fieldsOf("x")...)
	group("window_fails", function.Window, bigint, 1, []string{"function window_fails", "seven", "row 2,", "x = 7"}, "38000")
	s.run(t, "bad_column", "", func(t *testing.T) {
		ctx := s.context(t)
		st, err := s.open(ctx, t, "bad_column", function.GroupedMap, []types.Type{bigint}, record,
			vector.Field{Name: "x", Type: bigint}, vector.Field{Name: "js", Type: types.ArrayOf(types.JSONB)})
		if err == nil {
			err = st.all(ctxcut(ctx, []*vector.Vector{x}, []int32{1, 4}, 4))
		}
		check(t, "bad_column", err, "39000", "function bad_column", "not JSON", `column "js"`, "row ")
	})
	s.run(t, "strict_column", "", func(t *testing.T) {
		ctx := s.context(t)
		st, err := s.open(ctx, t, "strict_column", function.GroupedMap, []types.Type{bigint}, record, fieldsOf("x")...)
		if err == nil {
			err = st.all(ctxcut(ctx, []*vector.Vector{x.WithValid([]byte{0b1101})}, []int32{4}, 4))
		}
		check(t, "NULL in a column that takes none", err, "22004", `column "x"`, "row 2,")
	})
}

// onError has failing rows made NULL, and the others computed.
func (s *suite) onError(t *testing.T) {
	bigint := types.T(types.Int8)
	for _, symbol := range []string{"fail_at_seven", "raise_at_seven", "panic_at_seven", "vector_fails"} {
		s.run(t, symbol, "on_error", func(t *testing.T) {
			ctx := s.context(t)
			st, err := s.host.Scalar(ctx, s.ref(symbol, function.Scalar, []types.Type{bigint}, bigint))
			if err != nil {
				t.Fatal(detail(err))
			}
			defer st.Close()
			st.SetOnError(udf.OnErrorNull)
			v, err := st.Call(ctx, []*vector.Vector{sample(t, types.Int8, "7", "1", "2", "7", "3", "100").WithValid([]byte{0b011111})}, 6)
			if err != nil {
				t.Fatal(detail(err))
			}
			same(t, symbol, v, bigint, []string{"NULL", "1", "2", "NULL", "3", "NULL"})
			var rows []string
			for _, f := range st.TakeFailures() {
				rows = append(rows, fmt.Sprint(f.Row, " ", f.Args))
				if !strings.Contains(f.Err.Message, "seven") {
					t.Errorf("row %d: %s", f.Row, f.Err.Message)
				}
			}
			if got := strings.Join(rows, ", "); got != "0 x = 7, 3 x = 7" {
				t.Errorf("failed rows %s", got)
			}
		})
	}
}

// onErrorGroups has groups fail alone: of aggregates, whose result is NULL, and of
// what emits rows, of which nothing is left.
func (s *suite) onErrorGroups(t *testing.T) {
	bigint, record := types.T(types.Int8), types.T(types.Record)
	failures := func(t *testing.T, st any, want ...int64) {
		t.Helper()
		var got []int64
		for _, f := range st.(interface{ TakeFailures() []udf.GroupFailure }).TakeFailures() {
			got = append(got, f.Group)
			if !strings.Contains(f.Err.Message, "seven") {
				t.Errorf("group %d: %s", f.Group, f.Err.Message)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("failed groups %v, want %v", got, want)
		}
	}
	for symbol, want := range map[string][]string{"fail_step": {"1", "NULL", "8", "0"}, "fail_finish": {"1", "NULL", "8", "0"}} {
		s.run(t, symbol, "on_error", func(t *testing.T) {
			ctx := s.context(t)
			ref := s.ref(symbol, function.Aggregate, []types.Type{bigint}, bigint)
			ref.OnError = "null"
			var as []function.Aggregator
			for range 2 {
				a, err := s.host.Aggregate(ctx, ref, []types.Type{bigint})
				if err != nil {
					t.Fatal(detail(err))
				}
				defer a.Close()
				a.Grow(4)
				as = append(as, a)
			}
			// 7 in group 1; what else comes to that group does not matter.
			err := as[0].Update([]int32{0, 1, 2}, []*vector.Vector{int8s(1, 7, 3)}, 3)
			if err == nil {
				err = as[1].Update([]int32{2}, []*vector.Vector{int8s(5)}, 1)
			}
			var states []*vector.Vector
			if err == nil {
				states, err = as[0].State(0, 4)
			}
			if err == nil {
				err = as[1].Merge([]int32{0, 1, 2, 3}, states, 4)
			}
			var v *vector.Vector
			if err == nil {
				v, err = as[1].Final(0, 4)
			}
			if err != nil {
				t.Fatal(detail(err))
			}
			same(t, symbol, v, bigint, want)
			// The failure is told where it happens.
			if symbol == "fail_step" {
				failures(t, as[0], 1)
				failures(t, as[1])
			} else {
				failures(t, as[0])
				failures(t, as[1], 1)
			}
		})
	}
	for _, c := range []struct {
		symbol string
		kind   function.Kind
		fields []vector.Field
		null   string
		skip   string
	}{
		{"count_stream", function.GroupedMap, fieldsOf("rows", "sum"), "0=1 1=NULL 2=2", "0=1 2=2"},
		{"count_whole", function.GroupedMap, fieldsOf("rows", "sum"), "0=1 1=NULL 2=2", "0=1 2=2"},
		{"table_fails", function.Table, fieldsOf("x"), "0=1 1=NULL 2=3 3=NULL 4=4", "0=1 2=3 4=4"},
	} {
		s.run(t, c.symbol, "on_error", func(t *testing.T) {
			for on, want := range map[udf.OnError]string{udf.OnErrorNull: c.null, udf.OnErrorSkip: c.skip} {
				ctx := s.context(t)
				g, err := s.host.TolerantGroupedMap(ctx, s.ref(c.symbol, c.kind, []types.Type{bigint}, record, c.fields...), udf.GroupOptions{OnError: on})
				if err != nil {
					t.Fatal(detail(err))
				}
				defer g.Close()
				x, ends, bad := int8s(1, 2, 7, 3, 4), []int32{1, 3, 5}, []int64{1}
				if c.kind == function.Table {
					x, ends, bad = int8s(1, 7, 3, 7, 4), []int32{1, 2, 3, 4, 5}, []int64{1, 3}
				}
				st := &stream{groupStream: g}
				if err := st.all(ctxcut(ctx, []*vector.Vector{x}, ends, 2)); err != nil {
					t.Fatal(detail(err))
				}
				var got []string
				for i, n := range st.groups {
					got = append(got, fmt.Sprint(n, "=", st.rows[0][i]))
				}
				if strings.Join(got, " ") != want {
					t.Errorf("%v: %v, want %s", on, got, want)
				}
				failures(t, g, bad...)
			}
		})
	}
}

// streams checks calls at the same time, and calls that are given up.
func (s *suite) streams(t *testing.T) {
	s.run(t, "id_string", "at the same time", func(t *testing.T) {
		ctx := s.context(t)
		col := caseOf(types.T(types.Text)).flat(t, 5000, 7)
		want := strings.Join(show(col), "|")
		var wg sync.WaitGroup
		for range 6 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				st, err := s.host.Scalar(ctx, s.ref("id_string", function.Scalar, []types.Type{col.Type}, col.Type))
				if err != nil {
					t.Error(detail(err))
					return
				}
				defer st.Close()
				for range 4 {
					v, err := st.Call(ctx, []*vector.Vector{col}, col.Len)
					if err != nil || strings.Join(show(v), "|") != want {
						t.Errorf("wrong: %s", detail(err))
						return
					}
				}
			}()
		}
		wg.Wait()
	})
	s.run(t, "sleep_ms", "given up", func(t *testing.T) {
		ctx, cancel := context.WithCancel(s.context(t))
		time.AfterFunc(100*time.Millisecond, cancel)
		begin := time.Now()
		_, err := s.call(ctx, "sleep_ms", types.T(types.Int8), int8s(2500))
		if err == nil || time.Since(begin) > 2*time.Second {
			t.Errorf("%s after %s", detail(err), time.Since(begin))
		}
		if v, err := s.call(s.context(t), "sleep_ms", types.T(types.Int8), int8s(1)); err != nil || show(v)[0] != "1" {
			t.Errorf("after the cancel: %s", detail(err))
		}
	})
	s.run(t, "sleep_ms", "timeout", func(t *testing.T) {
		ctx := s.context(t)
		bigint := types.T(types.Int8)
		ref := s.ref("sleep_ms", function.Scalar, []types.Type{bigint}, bigint)
		ref.TimeoutMs = 800
		for _, c := range []struct {
			ms   []int64
			code string
		}{
			{[]int64{1, 2000}, pgerr.QueryCanceled},
			{[]int64{150, 150, 150, 150, 150, 150, 150, 150}, ""}, // slow is not stuck
		} {
			st, err := s.host.Scalar(ctx, ref)
			if err == nil {
				_, err = st.Call(ctx, []*vector.Vector{int8s(c.ms...)}, len(c.ms))
				st.Close()
			}
			if c.code == "" && err != nil || c.code != "" && pgerr.Code(err) != c.code {
				t.Errorf("%v: %s, want %q", c.ms, detail(err), c.code)
			}
		}
	})
}
