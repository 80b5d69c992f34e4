package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/udf"
	"github.com/volleydb/volley/vector"
)

// suite is one run.
type suite struct {
	host   *udf.Host
	digest string
	skip   []string
}

// Run runs the suite on the functions of an artifact that host has or can fetch.
// skip are patterns (path.Match) of functions that the runtime does not offer.
func Run(t *testing.T, host *udf.Host, digest string, skip ...string) {
	s := &suite{host, digest, skip}
	var all []typeCase
	for _, c := range scalarTypes {
		all = append(all, c, c.list())
	}
	t.Run("scalar", func(t *testing.T) {
		for _, c := range all {
			s.scalars(t, c)
		}
		for _, c := range scalarTypes {
			s.appends(t, c)
		}
		s.numbers(t)
		s.others(t)
	})
	t.Run("aggregate", func(t *testing.T) {
		for _, c := range all {
			s.first(t, c)
		}
		s.sums(t)
	})
	t.Run("grouped map", func(t *testing.T) {
		for _, c := range all {
			s.echo(t, c)
		}
	})
	t.Run("contract", s.contract)
}

func (s *suite) lacks(symbol string) bool {
	for _, p := range s.skip {
		if ok, _ := path.Match(p, symbol); ok {
			return true
		}
	}
	return false
}

func (s *suite) context(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func (s *suite) ref(symbol string, kind function.Kind, args []types.Type, returns types.Type, columns ...vector.Field) *proto.UDF {
	return udf.RefToProto(&function.Function{Name: symbol, Kind: kind, Args: args, Returns: returns, Columns: columns,
		UDF: &function.UDFRef{Digest: s.digest, Symbol: symbol}})
}

// detail prints an error with all its parts.
func detail(err error) string {
	e := pgerr.From(err)
	if e == nil {
		return ""
	}
	return fmt.Sprintf("%s %s | %s | %s | %s", e.Code, e.Message, e.Detail, e.Where, e.Hint)
}

// call calls a scalar function once.
func (s *suite) call(ctx context.Context, symbol string, returns types.Type, args ...*vector.Vector) (*vector.Vector, error) {
	var ts []types.Type
	for _, a := range args {
		ts = append(ts, a.Type)
	}
	st, err := s.host.Scalar(ctx, s.ref(symbol, function.Scalar, ts, returns))
	if err != nil {
		return nil, err
	}
	defer st.Close()
	return st.Call(ctx, args, args[0].Len)
}

func same(t testing.TB, what string, v *vector.Vector, typ types.Type, want []string) {
	t.Helper()
	if !v.Type.Same(typ) {
		t.Errorf("%s is of type %s, want %s", what, v.Type, typ)
	}
	got := show(v)
	if slices.Equal(got, want) {
		return
	}
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Errorf("%s: row %d is %s, want %s", what, i, got[i], want[i])
			return
		}
	}
	t.Errorf("%s: %d rows, want %d", what, len(got), len(want))
}

func (s *suite) scalars(t *testing.T, c typeCase) {
	ctx := s.context(t)
	open := func(symbol string, returns types.Type) *udf.ScalarStream {
		if s.lacks(symbol) {
			return nil
		}
		st, err := s.host.Scalar(ctx, s.ref(symbol, function.Scalar, []types.Type{c.typ}, returns))
		if err != nil {
			t.Errorf("%s(%s): %s", symbol, c.typ, detail(err))
			return nil
		}
		return st
	}
	id, null, isNull := open("id_"+c.name, c.typ), open("null_"+c.name, c.typ), open("is_null_"+c.name, types.T(types.Bool))
	for _, col := range c.columns(t, false) {
		want := show(col.v)
		nulls := make([]string, len(want))
		for i, w := range want {
			nulls[i] = map[bool]string{true: "t", false: "f"}[w == "NULL" && col.v.IsNull(i)]
		}
		for _, f := range []struct {
			st   *udf.ScalarStream
			name string
			typ  types.Type
			want []string
		}{{id, "id_", c.typ, want}, {null, "null_", c.typ, want}, {isNull, "is_null_", types.T(types.Bool), nulls}} {
			if f.st == nil {
				continue
			}
			for range 2 { // slots are used again
				v, err := f.st.Call(ctx, []*vector.Vector{col.v}, col.v.Len)
				what := fmt.Sprintf("%s%s(%s) of %s", f.name, c.name, c.typ, col.name)
				if err != nil {
					t.Errorf("%s: %s", what, detail(err))
					break
				}
				same(t, what, v, f.typ, f.want)
			}
		}
	}
	for _, st := range []*udf.ScalarStream{id, null, isNull} {
		if st != nil {
			st.Close()
		}
	}
}

func (s *suite) appends(t *testing.T, c typeCase) {
	symbol := "append_" + c.name
	if s.lacks(symbol) {
		return
	}
	lists, elems := c.list().flat(t, 50, 0), c.flat(t, 50, 4)
	v, err := s.call(s.context(t), symbol, lists.Type, lists, elems)
	if err != nil {
		t.Errorf("%s: %s", symbol, detail(err))
		return
	}
	offs := make([]int32, 51)
	b := vector.NewAppender(elems.Type)
	for i := range 50 {
		from, to := lists.ListAt(i)
		for e := from; e < to; e++ {
			b.Append(lists.Child, []int32{int32(e)})
		}
		b.Append(elems, []int32{int32(i)})
		offs[i+1] = int32(b.Len())
	}
	same(t, symbol, v, lists.Type, show(vector.FromList(lists.Type, offs, b.Build())))
}

// sample is a column of three values.
func sample(t testing.TB, id types.ID, vals ...string) *vector.Vector {
	return typeCase{typ: types.T(id), values: vals}.flat(t, len(vals), 0)
}

var numberTypes = map[string]types.ID{"int16": types.Int2, "int32": types.Int4, "int64": types.Int8,
	"float32": types.Float4, "float64": types.Float8, "numeric": types.Numeric}

func (s *suite) numbers(t *testing.T) {
	ctx := s.context(t)
	for name, id := range numberTypes {
		if s.lacks("add_" + name) {
			continue
		}
		v, err := s.call(ctx, "add_"+name, types.T(id), sample(t, id, "1", "-2", "30"), vector.NewConst(sample(t, id, "12"), 3))
		if err != nil {
			t.Errorf("add_%s: %s", name, detail(err))
			continue
		}
		same(t, "add_"+name, v, types.T(id), []string{"13", "10", "42"})
	}
	if s.lacks("add_numeric") {
		return
	}
	v, err := s.call(ctx, "add_numeric", types.T(types.Numeric), sample(t, types.Numeric, "0.1", "99999999999999999999999999999999999998", "-1.50", "NaN"),
		sample(t, types.Numeric, "0.20", "1", "1.5", "1"))
	if err != nil {
		t.Fatal(detail(err))
	}
	same(t, "add_numeric", v, types.T(types.Numeric), []string{"0.30", "99999999999999999999999999999999999999", "0.00", "NaN"})
	_, err = s.call(ctx, "add_numeric", types.T(types.Numeric), sample(t, types.Numeric, "1", "99999999999999999999999999999999999999"), sample(t, types.Numeric, "1", "1"))
	if err == nil {
		t.Error("add_numeric: 39 digits are no error")
	}
}

func (s *suite) others(t *testing.T) {
	ctx := s.context(t)
	run := func(symbol string, returns types.Type, want []string, args ...*vector.Vector) {
		t.Helper()
		if s.lacks(symbol) {
			return
		}
		v, err := s.call(ctx, symbol, returns, args...)
		if err != nil {
			t.Errorf("%s: %s", symbol, detail(err))
			return
		}
		same(t, symbol, v, returns, want)
	}
	text := types.T(types.Text)
	run("concat_string", text, []string{"ab", "é", "cx"}, sample(t, types.Text, "a", "", "c"), sample(t, types.Text, "b", "é", "x"))
	run("concat_all", text, []string{"a-NULL-c", ""}, vector.NewConst(sample(t, types.Text, "-"), 2),
		typeCase{typ: types.ArrayOf(types.Text), values: nil}.text(t, `{a,NULL,c}`, `{}`))
	run("with_default", types.T(types.Int8), []string{"3"}, sample(t, types.Int8, "1"), sample(t, types.Int8, "2"))
	run("strict_elements", types.T(types.Int8), []string{"6", "0"}, typeCase{typ: types.ArrayOf(types.Int8)}.text(t, `{1,2,3}`, `{}`))
}

// text makes a column of values in text form.
func (c typeCase) text(t testing.TB, vals ...string) *vector.Vector {
	b := vector.NewBuilder(c.typ, len(vals))
	for _, x := range vals {
		if err := vector.ParseText(b, []byte(x), &types.TextOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	return b.Build()
}

// first runs first_X over groups, in two halves whose states are merged.
func (s *suite) first(t *testing.T, c typeCase) {
	symbol := "first_" + c.name
	if s.lacks(symbol) {
		return
	}
	ctx := s.context(t)
	open := func() function.Aggregator {
		a, err := s.host.Aggregate(ctx, s.ref(symbol, function.Aggregate, []types.Type{c.typ}, c.typ), []types.Type{c.typ})
		if err != nil {
			t.Errorf("%s(%s): %s", symbol, c.typ, detail(err))
			return nil
		}
		return a
	}
	a, b := open(), open()
	if a == nil || b == nil {
		return
	}
	defer a.Close()
	defer b.Close()
	const groups = 5
	col := c.flat(t, 40, 3)
	numbers := make([]int32, 40)
	var firsts []int32
	for i := range numbers {
		numbers[i] = int32(i % (groups - 1)) // the last group has no row
		if i < groups-1 {
			firsts = append(firsts, int32(i))
		}
	}
	a.Grow(groups)
	b.Grow(groups)
	err := a.Update(numbers[:20], []*vector.Vector{vector.Slice(col, 0, 20)}, 20)
	if err == nil {
		err = b.Update(numbers[20:], []*vector.Vector{vector.Slice(col, 20, 40)}, 20)
	}
	var states []*vector.Vector
	if err == nil {
		states, err = b.State(0, groups)
	}
	if err == nil {
		err = a.Merge([]int32{0, 1, 2, 3, 4}, states, groups)
	}
	var v *vector.Vector
	if err == nil {
		v, err = a.Final(0, groups)
	}
	if err != nil {
		t.Errorf("%s(%s): %s", symbol, c.typ, detail(err))
		return
	}
	same(t, symbol, v, c.typ, append(show(vector.Gather(col, firsts)), "NULL"))
}

func (s *suite) sums(t *testing.T) {
	ctx := s.context(t)
	for name, id := range numberTypes {
		if s.lacks("sum_" + name) {
			continue
		}
		typ := types.T(id)
		a, err := s.host.Aggregate(ctx, s.ref("sum_"+name, function.Aggregate, []types.Type{typ}, typ), []types.Type{typ})
		if err != nil {
			t.Errorf("sum_%s: %s", name, detail(err))
			continue
		}
		x := sample(t, id, "1", "2", "3", "100").WithValid([]byte{0b0111})
		a.Grow(2)
		err = a.Update(nil, []*vector.Vector{x}, 4)
		var v *vector.Vector
		if err == nil {
			v, err = a.Final(0, 2)
		}
		a.Close()
		if err != nil {
			t.Errorf("sum_%s: %s", name, detail(err))
			continue
		}
		same(t, "sum_"+name, v, typ, []string{"6", "NULL"})
	}
}

// echo runs echo_X over groups of many sizes.
func (s *suite) echo(t *testing.T, c typeCase) {
	symbol := "echo_" + c.name
	if s.lacks(symbol) {
		return
	}
	ctx := s.context(t)
	fields := []vector.Field{{Name: "k", Type: types.T(types.Int8)}, {Name: "x", Type: c.typ}}
	for _, col := range c.columns(t, true) {
		what := fmt.Sprintf("%s(%s) of %s", symbol, c.typ, col.name)
		n := col.v.Len
		keys := make([]int64, n)
		var ends []int32
		for i := range keys {
			keys[i] = int64(len(ends))
			if i%4 == 3 || i%4 == 0 {
				ends = append(ends, int32(i+1))
			}
		}
		k := vector.FromSlice(types.T(types.Int8), keys)
		st, err := s.host.GroupedMap(ctx, s.ref(symbol, function.GroupedMap, []types.Type{types.T(types.Int8), c.typ}, types.T(types.Record), fields...), udf.GroupOptions{})
		if err == nil {
			err = st.Send(ctx, []*vector.Vector{k, col.v}, n, ends)
		}
		if err == nil {
			err = st.CloseSend()
		}
		var ks, xs []string
		for err == nil {
			var out *udf.GroupOutput
			if out, err = st.Recv(ctx); err == nil {
				ks, xs = append(ks, show(out.Cols[0])...), append(xs, show(out.Cols[1])...)
			}
		}
		if st != nil {
			st.Close()
		}
		if !errors.Is(err, io.EOF) {
			t.Errorf("%s: %s", what, detail(err))
			continue
		}
		if want := show(col.v); !slices.Equal(xs, want) || !slices.Equal(ks, show(k)) {
			t.Errorf("%s: %q, want %q", what, xs, want)
		}
	}
}

// contract checks errors: what is raised, and what breaks the contract.
func (s *suite) contract(t *testing.T) {
	ctx := s.context(t)
	x := sample(t, types.Int8, "1", "2", "7", "3")
	for _, c := range []struct {
		symbol  string
		returns types.Type
		code    string
		words   []string
	}{
		{"fail_at_seven", types.T(types.Int8), "38000", []string{"function fail_at_seven", "seven", "row 3,", "x = 7"}},
		{"bad_text", types.T(types.Text), "39000", []string{"function bad_text", "not valid UTF-8", "row 3,"}},
		{"bad_json", types.T(types.JSON), "39000", []string{"function bad_json", "not JSON", "row 3,"}},
		{"bad_clock", types.T(types.Time), "39000", []string{"function bad_clock", "time of day out of range", "row 3,"}},
	} {
		if s.lacks(c.symbol) {
			continue
		}
		_, err := s.call(ctx, c.symbol, c.returns, x)
		check(t, c.symbol, err, c.code, c.words)
	}
	if !s.lacks("strict_elements") {
		_, err := s.call(ctx, "strict_elements", types.T(types.Int8), typeCase{typ: types.ArrayOf(types.Int8)}.text(t, "{1}", "{1,NULL}"))
		check(t, "strict_elements", err, "22004", []string{"null element"})
	}
	if !s.lacks("id_int64") {
		_, err := s.call(ctx, "id_int64", types.T(types.Int8), sample(t, types.Int4, "1"))
		check(t, "id_int64(integer)", err, "39000", nil)
	}
	if s.lacks("bad_column") {
		return
	}
	st, err := s.host.GroupedMap(ctx, s.ref("bad_column", function.GroupedMap, []types.Type{x.Type}, types.T(types.Record),
		vector.Field{Name: "x", Type: x.Type}, vector.Field{Name: "js", Type: types.ArrayOf(types.JSONB)}), udf.GroupOptions{})
	if err != nil {
		t.Fatal(detail(err))
	}
	defer st.Close()
	if err = st.Send(ctx, []*vector.Vector{x}, 4, []int32{1, 4}); err == nil {
		err = st.CloseSend()
	}
	for err == nil {
		_, err = st.Recv(ctx)
	}
	check(t, "bad_column", err, "39000", []string{"function bad_column", "not JSON", `column "js"`, "row "})
}

func check(t testing.TB, what string, err error, code string, words []string) {
	t.Helper()
	if err == nil || pgerr.Code(err) != code {
		t.Errorf("%s: %s, want %s", what, detail(err), code)
		return
	}
	for _, w := range words {
		if !strings.Contains(detail(err), w) {
			t.Errorf("%s: %s: lacks %q", what, detail(err), w)
		}
	}
}
