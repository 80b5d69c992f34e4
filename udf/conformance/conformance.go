package conformance

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
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
	host            *udf.Host
	digest          string
	skip            []string
	passed, skipped int
}

// Run runs the suite on the functions of an artifact that host has or can fetch.
// skip are patterns (path.Match) of functions that the runtime does not offer, each
// with ": " and the reason behind it, if there is one to tell.
func Run(t *testing.T, host *udf.Host, digest string, skip ...string) {
	s := &suite{host: host, digest: digest, skip: skip}
	var all []typeCase
	for _, c := range scalarTypes {
		all = append(all, c, c.list())
	}
	each := func(f func(t *testing.T, c typeCase)) func(t *testing.T) {
		return func(t *testing.T) {
			for _, c := range all {
				f(t, c)
			}
		}
	}
	t.Run("scalar", each(s.scalars))
	t.Run("scalar others", func(t *testing.T) {
		for _, c := range scalarTypes {
			s.appends(t, c)
		}
		s.numbers(t)
		s.others(t)
	})
	t.Run("aggregate", each(s.first))
	t.Run("aggregate others", s.aggregates)
	t.Run("grouped map", each(s.maps))
	t.Run("grouped map others", s.groups)
	t.Run("table", each(s.table))
	t.Run("table others", s.tables)
	t.Run("window", each(s.window))
	t.Run("window others", s.windows)
	t.Run("describe", s.describe)
	t.Run("errors", s.errors)
	t.Run("on_error", s.onError)
	t.Run("on_error of groups", s.onErrorGroups)
	t.Run("streams", s.streams)
	t.Logf("conformance: %d cases passed, %d skipped", s.passed, s.skipped)
}

// lacks says why the runtime has no such function, "" if it has.
func (s *suite) lacks(symbol string) string {
	for _, p := range s.skip {
		p, why, _ := strings.Cut(p, ": ")
		if ok, _ := path.Match(p, symbol); ok {
			return cmp.Or(why, "not offered")
		}
	}
	return ""
}

// run is one case: what concerns one function, and a type if what has one.
func (s *suite) run(t *testing.T, symbol, what string, f func(t *testing.T)) {
	name := symbol
	if what != "" {
		name += "(" + what + ")"
	}
	ok := t.Run(name, func(t *testing.T) {
		if why := s.lacks(symbol); why != "" {
			s.skipped++
			s.passed--
			t.Skip(why)
		}
		f(t)
	})
	if ok {
		s.passed++
	}
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
	boolean := types.T(types.Bool)
	for _, f := range []struct {
		symbol  string
		returns types.Type
		want    func(v *vector.Vector, i int, text string) string
	}{
		{"id_", c.typ, nil}, {"null_", c.typ, nil}, {"vector_", c.typ, nil},
		{"is_null_", boolean, func(v *vector.Vector, i int, _ string) string {
			return map[bool]string{true: "t", false: "f"}[v.IsNull(i)]
		}},
	} {
		s.run(t, f.symbol+c.name, c.typ.String(), func(t *testing.T) {
			ctx := s.context(t)
			st, err := s.host.Scalar(ctx, s.ref(f.symbol+c.name, function.Scalar, []types.Type{c.typ}, f.returns))
			if err != nil {
				t.Fatal(detail(err))
			}
			defer st.Close()
			for _, col := range c.columns(t, f.want != nil) {
				want := show(col.v)
				for i := range want {
					if f.want != nil {
						want[i] = f.want(col.v, i, want[i])
					}
				}
				times := 1
				if col.name == "nulls" {
					times = 3 // slots are used again
				}
				for range times {
					v, err := st.Call(ctx, []*vector.Vector{col.v}, col.v.Len)
					if err != nil {
						t.Fatalf("%s: %s", col.name, detail(err))
					}
					same(t, col.name, v, f.returns, want)
				}
			}
		})
	}
}

func (s *suite) appends(t *testing.T, c typeCase) {
	symbol := "append_" + c.name
	s.run(t, symbol, c.typ.String(), func(t *testing.T) {
		lists, elems := c.list().flat(t, 50, 0), c.flat(t, 50, 4)
		v, err := s.call(s.context(t), symbol, lists.Type, lists, elems)
		if err != nil {
			t.Fatal(detail(err))
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
	})
}

// sample is a column of three values.
func sample(t testing.TB, id types.ID, vals ...string) *vector.Vector {
	return typeCase{typ: types.T(id), values: vals}.flat(t, len(vals), 0)
}

var numberTypes = map[string]types.ID{"int16": types.Int2, "int32": types.Int4, "int64": types.Int8,
	"float32": types.Float4, "float64": types.Float8, "numeric": types.Numeric}

func (s *suite) numbers(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(numberTypes)) {
		id := numberTypes[name]
		s.run(t, "add_"+name, "", func(t *testing.T) {
			v, err := s.call(s.context(t), "add_"+name, types.T(id), sample(t, id, "1", "-2", "30"), vector.NewConst(sample(t, id, "12"), 3))
			if err != nil {
				t.Fatal(detail(err))
			}
			same(t, "sum", v, types.T(id), []string{"13", "10", "42"})
		})
	}
	s.run(t, "add_numeric", "38 digits", func(t *testing.T) {
		ctx := s.context(t)
		v, err := s.call(ctx, "add_numeric", types.T(types.Numeric), sample(t, types.Numeric, "0.1", "99999999999999999999999999999999999998", "-1.50", "NaN"),
			sample(t, types.Numeric, "0.20", "1", "1.5", "1"))
		if err != nil {
			t.Fatal(detail(err))
		}
		same(t, "sum", v, types.T(types.Numeric), []string{"0.30", "99999999999999999999999999999999999999", "0.00", "NaN"})
		_, err = s.call(ctx, "add_numeric", types.T(types.Numeric), sample(t, types.Numeric, "1", "99999999999999999999999999999999999999"), sample(t, types.Numeric, "1", "1"))
		if err == nil {
			t.Error("39 digits are no error")
		}
	})
}

// manyRows calls a function of text on more rows than it may get at once, several
// times on one stream, with NULLs.
func (s *suite) manyRows(t *testing.T) {
	const n = 10_000
	ctx, text := s.context(t), types.T(types.Text)
	st, err := s.host.Scalar(ctx, s.ref("concat_string", function.Scalar, []types.Type{text, text}, text))
	if err != nil {
		t.Fatal(detail(err))
	}
	defer st.Close()
	for k := range 4 {
		a, valid := make([]string, n), vector.NewValid(n)
		for i := range a {
			a[i] = strings.Repeat("é", (i+k)%5) + strconv.Itoa(i*k)
			if i%11 == k {
				vector.SetNull(valid, i)
			}
		}
		v, err := st.Call(ctx, []*vector.Vector{vector.FromStrings(text, a).WithValid(valid), vector.NewConst(vector.FromStrings(text, []string{"!"}), n)}, n)
		if err != nil {
			t.Fatal(detail(err))
		}
		for i := range a {
			if null := !vector.IsValid(valid, i); v.IsNull(i) != null || !null && string(v.BytesAt(i)) != a[i]+"!" {
				t.Fatalf("call %d, row %d: %q, want %q", k, i, v.BytesAt(i), a[i]+"!")
			}
		}
	}
}

func (s *suite) others(t *testing.T) {
	run := func(symbol string, returns types.Type, want []string, args ...*vector.Vector) {
		t.Helper()
		s.run(t, symbol, "", func(t *testing.T) {
			v, err := s.call(s.context(t), symbol, returns, args...)
			if err != nil {
				t.Fatal(detail(err))
			}
			same(t, symbol, v, returns, want)
		})
	}
	text := types.T(types.Text)
	s.run(t, "concat_string", "many rows", s.manyRows)
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

func check(t testing.TB, what string, err error, code string, words ...string) {
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
