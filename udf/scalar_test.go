package udf

import (
	"fmt"
	"strings"
	"testing"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// detail prints the parts of an error that tests look at.
func detail(err error) string {
	e := pgerr.From(err)
	if e == nil {
		return ""
	}
	return fmt.Sprintf("%s %s | %s | %s | %s", e.Code, e.Message, e.Detail, e.Where, e.Hint)
}

func TestScalarTypesAndNulls(t *testing.T) {
	raw := func(id types.ID, n int, set func(v *vector.Vector)) *vector.Vector {
		v := vector.New(types.T(id), n)
		set(v)
		return v
	}
	dict := vector.FromDict(types.T(types.Text), []int32{1, 0, 1}, texts("a", "bb"))
	cases := []struct {
		symbol  string
		returns types.ID
		args    []*vector.Vector
		want    string
	}{
		{"id_bool", types.Bool, []*vector.Vector{raw(types.Bool, 2, func(v *vector.Vector) { vector.Values[bool](v)[1] = true })}, "false true"},
		{"id_int16", types.Int2, []*vector.Vector{vector.FromSlice(types.T(types.Int2), []int16{-32768, 7})}, "-32768 7"},
		{"id_int32", types.Int4, []*vector.Vector{vector.FromSlice(types.T(types.Int4), []int32{-2147483648, 7})}, "-2147483648 7"},
		{"id_int64", types.Int8, []*vector.Vector{nulls(ints(1, 2, 3), 1)}, "1 NULL 3"},
		{"id_float32", types.Float4, []*vector.Vector{vector.FromSlice(types.T(types.Float4), []float32{0.5})}, "0.5"},
		{"id_float64", types.Float8, []*vector.Vector{floats(0.5, -1e300)}, "0.5 -1e+300"},
		{"id_string", types.Text, []*vector.Vector{nulls(texts("é", "", "x"), 2)}, `"é" "" NULL`},
		{"id_string", types.Text, []*vector.Vector{dict}, `"bb" "a" "bb"`},
		{"id_string", types.Text, []*vector.Vector{vector.NewConst(texts("const"), 3)}, `"const" "const" "const"`},
		{"id_string", types.Text, []*vector.Vector{vector.NewNull(types.T(types.Text), 2)}, `NULL NULL`},
		{"id_bytes", types.Bytea, []*vector.Vector{vector.FromStrings(types.T(types.Bytea), []string{"\x00\xff", ""})}, `"\x00\xff" ""`},
		{"id_time", types.Timestamp, []*vector.Vector{vector.FromSlice(types.T(types.Timestamp), []int64{1700000000123456, -1})}, "1700000000123456 -1"},
		{"id_time", types.Date, []*vector.Vector{vector.FromSlice(types.T(types.Date), []int32{-1, 0, 20000, -700000})}, "-1 0 20000 -700000"},
		{"null_int64", types.Int8, []*vector.Vector{nulls(ints(1, 2, 3), 0, 2)}, "NULL 2 NULL"},
		{"null_time", types.Date, []*vector.Vector{nulls(vector.FromSlice(types.T(types.Date), []int32{1, 2}), 0)}, "NULL 2"},
		{"coalesce3", types.Text, []*vector.Vector{nulls(texts("a", "b", "c", "d"), 1, 2, 3), nulls(texts("e", "f", "g", "h"), 2, 3), nulls(texts("i", "j", "none", "l"), 3)}, `"a" "f" NULL NULL`},
		{"upper", types.Text, []*vector.Vector{texts("abc", "")}, `"ABC" ""`},
		{"add", types.Float8, []*vector.Vector{floats(1, 2), vector.NewConst(floats(10), 2)}, "11 12"},
		{"slow_path", types.Text, []*vector.Vector{vector.FromSlice(types.T(types.Int2), []int16{1}), vector.FromSlice(types.T(types.Float4), []float32{2.5}), raw(types.Bool, 1, func(*vector.Vector) {})}, `"1 2.5 false"`},
		{"vadd", types.Float8, []*vector.Vector{nulls(floats(1, 2, 3), 1), floats(1, 1, 1)}, "2 NULL 4"},
		{"vupper", types.Text, []*vector.Vector{texts("a", "", "c")}, `"A" NULL "C"`},
		{"inits", types.Int8, []*vector.Vector{ints(1, 2)}, "1 1"},
	}
	for _, plain := range []bool{false, true} {
		h := testHost(t, func(c *HostConfig) { c.NoSharedMemory = plain })
		for _, c := range cases {
			var args []types.ID
			for _, a := range c.args {
				args = append(args, a.Type.ID)
			}
			ctx := testContext(t)
			s, err := h.Scalar(ctx, scalarRef(c.symbol, c.returns, args...))
			if err != nil {
				t.Fatalf("%s: %s", c.symbol, detail(err))
			}
			for range 3 { // slots are used again
				v, err := s.Call(ctx, c.args, c.args[0].Len)
				if err != nil {
					t.Fatalf("%s: %s", c.symbol, detail(err))
				}
				if got := show(v); got != c.want {
					t.Errorf("%s = %s, want %s", c.symbol, got, c.want)
				}
				if v.Type.ID != c.returns {
					t.Errorf("%s is of type %s", c.symbol, v.Type)
				}
			}
			s.Close()
		}
		if n := len(h.Children()); n != 1 {
			t.Errorf("%d children, want 1", n)
		}
	}
}

// A call of many rows is cut in pieces and put together again.
func TestScalarLarge(t *testing.T) {
	h := testHost(t, nil)
	ctx := testContext(t)
	const n = 300_000
	xs, ss := make([]float64, n), make([]string, n)
	for i := range xs {
		xs[i] = float64(i)
		ss[i] = fmt.Sprint("row ", i)
	}
	add, err := h.Scalar(ctx, scalarRef("add", types.Float8, types.Float8, types.Float8))
	if err != nil {
		t.Fatal(err)
	}
	upper, err := h.Scalar(ctx, scalarRef("upper", types.Text, types.Text))
	if err != nil {
		t.Fatal(err)
	}
	defer add.Close()
	defer upper.Close()
	for range 3 {
		null := nulls(floats(xs...), 5, n-1)
		v, err := add.Call(ctx, []*vector.Vector{null, floats(xs...)}, n)
		if err != nil {
			t.Fatal(detail(err))
		}
		for i, x := range vector.Values[float64](v) {
			if want := i == 5 || i == n-1; v.IsNull(i) != want || !want && x != 2*xs[i] {
				t.Fatalf("row %d: %v", i, x)
			}
		}
		u, err := upper.Call(ctx, []*vector.Vector{texts(ss...)}, n)
		if err != nil {
			t.Fatal(detail(err))
		}
		for i := range n {
			if u.StringAt(i) != strings.ToUpper(ss[i]) {
				t.Fatalf("row %d: %q", i, u.StringAt(i))
			}
		}
	}
	// Results that are larger than their slot, all together and each.
	rep, err := h.Scalar(ctx, scalarRef("repeat", types.Text, types.Text, types.Int8))
	if err != nil {
		t.Fatal(err)
	}
	defer rep.Close()
	v, err := rep.Call(ctx, []*vector.Vector{vector.NewConst(texts("abcdefgh"), 4), ints(1, 1<<21, 3, 1<<20)}, 4)
	if err != nil {
		t.Fatal(detail(err))
	}
	for i, want := range []int{8, 8 << 21, 24, 8 << 20} {
		if got := len(v.BytesAt(i)); got != want {
			t.Errorf("row %d has %d bytes, want %d", i, got, want)
		}
	}
}

func TestScalarErrors(t *testing.T) {
	h := testHost(t, nil)
	ctx := testContext(t)
	many := make([]int64, 5000)
	for i := range many {
		many[i] = int64(i)
	}
	cases := []struct {
		symbol string
		arg    *vector.Vector
		want   []string
	}{
		{"boom", ints(many...), []string{"38000", "function boom: panic: thirteen", "row 1001, function boom of testplugin@sha256:", "x = 1000", "main.go:"}},
		{"boom", nulls(ints(1, 2, 1000), 0, 1), []string{"row 3,"}},
		{"refuse", ints(1, -5), []string{"22003", "function refuse: x is negative", "row 2,", "Give a positive x.", "Arguments: -5."}},
		{"fails", ints(1), []string{"38000", "does not work"}},
		{"vfail", ints(1, 2, 7), []string{"38000", "seven", "row 3,", "7"}},
	}
	for _, c := range cases {
		s, err := h.Scalar(ctx, scalarRef(c.symbol, types.Int8, types.Int8))
		if err != nil {
			t.Fatal(detail(err))
		}
		for range 2 { // the child survives
			s.base = 0 // rows count on from call to call
			_, err = s.Call(ctx, []*vector.Vector{c.arg}, c.arg.Len)
			if err == nil {
				t.Fatalf("%s: no error", c.symbol)
			}
			for _, w := range c.want {
				if !strings.Contains(detail(err), w) {
					t.Errorf("%s: %s: lacks %q", c.symbol, detail(err), w)
				}
			}
		}
		s.Close()
	}
	s, err := h.Scalar(ctx, scalarRef("garbage", types.Text, types.Text))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Call(ctx, []*vector.Vector{texts("a", "b")}, 2); !strings.Contains(detail(err), "39000 function garbage returned text that is not valid UTF-8") {
		t.Error(detail(err))
	}
	if _, err := h.Scalar(ctx, scalarRef("nosuch", types.Int8)); pgerr.Code(err) != pgerr.UndefinedFunction {
		t.Error(detail(err))
	}
	if _, err := h.Scalar(ctx, scalarRef("upper", types.Text, types.Int8)); pgerr.Code(err) != "39000" {
		t.Error(detail(err))
	}
	if n := len(h.Children()); n != 1 {
		t.Errorf("%d children, want 1", n)
	}
}
