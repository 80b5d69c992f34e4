package function

import (
	"context"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// TestRegistry checks what plans and pg_proc rely on: identities are unique and
// an ID finds its function again.
func TestRegistry(t *testing.T) {
	oids := map[uint32]string{}
	for _, f := range All() {
		if other, dup := oids[f.OID]; dup {
			t.Errorf("%s and %s have OID %d", f.ID, other, f.OID)
		}
		oids[f.OID] = f.ID
		if g, ok := ByID(f.ID); !ok || g != f {
			t.Errorf("ByID(%q) finds something else", f.ID)
		}
		if !slices.Contains(Lookup(f.Name), f) {
			t.Errorf("Lookup(%q) lacks %s", f.Name, f.ID)
		}
		switch f.Kind {
		case Scalar:
			if f.Eval == nil {
				t.Errorf("%s has no kernel", f.ID)
			}
		case Aggregate:
			if f.NewAggregate == nil || f.StateTypes == nil && !OrderedSet(f.Name) {
				t.Errorf("%s has no state", f.ID)
			}
		case Table:
			if f.NewTable == nil || len(f.Columns) == 0 {
				t.Errorf("%s has no generator", f.ID)
			}
		}
		if f.ArgNames != nil && len(f.ArgNames) != len(f.Args) {
			t.Errorf("%s names %d of %d arguments", f.ID, len(f.ArgNames), len(f.Args))
		}
	}
	if !slices.IsSortedFunc(All(), func(a, b *Function) int { return int(int64(a.OID) - int64(b.OID)) }) {
		t.Error("All is not sorted by OID")
	}
	if abs := Lookup("abs"); len(abs) < 6 || Lookup("no_such") != nil {
		t.Errorf("abs has %d overloads", len(abs))
	}
	if f, _ := ByID("pg_catalog.int4pl(int4,int4)"); f == nil || f.Op != "+" || f.OID != 177 {
		t.Errorf("int4pl is %+v", f)
	}
	if n := Names(); slices.Contains(n, "int4pl") || !slices.Contains(n, "abs") || !slices.Contains(n, "sum") {
		t.Error("Names holds the wrong names")
	}
}

// TestRandom: a value depends on seed, place and row only, and values are
// spread evenly.
func TestRandom(t *testing.T) {
	f := Lookup("random")[0]
	draw := func(c Ctx, rows int64, n int) []float64 {
		c.Rows = rows
		v, err := Call(&c, f, nil, n)
		if err != nil {
			t.Fatal(err)
		}
		return vector.Values[float64](v)
	}
	base := Ctx{Seed: 7, Stage: 1, Task: 2, Site: 3}
	all := draw(base, 0, 100_000)
	if got := append(slices.Clone(draw(base, 0, 33)), draw(base, 33, 99_967)...); !slices.Equal(all, got) {
		t.Error("the sizes of batches change the values")
	}
	for _, other := range []Ctx{{Seed: 8, Stage: 1, Task: 2, Site: 3}, {Seed: 7, Stage: 2, Task: 2, Site: 3}, {Seed: 7, Stage: 1, Task: 3, Site: 3}, {Seed: 7, Stage: 1, Task: 2, Site: 4}} {
		o := draw(other, 0, len(all))
		same, cov := 0, 0.0
		for i := range o {
			if o[i] == all[i] {
				same++
			}
			cov += (o[i] - 0.5) * (all[i] - 0.5)
		}
		// The correlation of independent streams has a deviation of 1/sqrt(n).
		if corr := cov * 12 / float64(len(o)); same > 0 || math.Abs(corr) > 5/math.Sqrt(float64(len(o))) {
			t.Errorf("%+v: %d values are the same, correlation %g", other, same, corr)
		}
	}
	var buckets [100]int
	serial := 0.0
	for i, x := range all {
		if x < 0 || x >= 1 {
			t.Fatalf("%g is not in [0, 1)", x)
		}
		buckets[int(x*100)]++
		serial += (x - 0.5) * (all[(i+1)%len(all)] - 0.5)
	}
	chi := 0.0
	for _, n := range buckets {
		d := float64(n) - 1000
		chi += d * d / 1000
	}
	// 99 degrees of freedom: 1 in 10^6 exceeds 180; too even is as wrong.
	if chi > 180 || chi < 45 {
		t.Errorf("chi square over 100 buckets is %g", chi)
	}
	if corr := serial * 12 / float64(len(all)); math.Abs(corr) > 0.02 {
		t.Errorf("serial correlation is %g", corr)
	}
}

func TestRandomUUID(t *testing.T) {
	c := testCtx(t)
	v, err := Call(c, Lookup("gen_random_uuid")[0], nil, 1000)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for i := range v.Len {
		s := shown(t, c, v, i)
		if seen[s] || s[14] != '4' || !strings.Contains("89ab", s[19:20]) {
			t.Fatalf("bad or repeated uuid %s", s)
		}
		seen[s] = true
	}
}

// drain runs a table function and joins its first column.
func drain(t testing.TB, c *Ctx, name string, lits ...string) (string, error) {
	args := make([]*vector.Vector, len(lits))
	ts := make([]types.Type, len(lits))
	for i, l := range lits {
		args[i] = literal(t, c, l)
		ts[i] = args[i].Type
	}
	f, want, rt, err := Resolve(name, Lookup(name), ts)
	if err != nil {
		return "", err
	}
	for i := range args {
		if args[i], err = Cast(c, args[i], want[i], false); err != nil {
			return "", err
		}
	}
	g, err := f.NewTable(c, args)
	if err != nil {
		return "", err
	}
	var out []string
	for {
		b, err := g.Next(context.Background())
		if err != nil || b == nil {
			return strings.Join(out, " "), err
		}
		if !b.Col(0).Type.Same(rt) {
			t.Errorf("%s%v yields %s, want %s", name, lits, b.Col(0).Type, rt)
		}
		if b.Rows() > 100 {
			for _, x := range vector.Values[int32](b.Col(0)) {
				out = append(out, strconv.Itoa(int(x)))
			}
			continue
		}
		for i := range b.Rows() {
			out = append(out, shown(t, c, b.Col(0), i))
		}
	}
}

func TestTables(t *testing.T) {
	c := testCtx(t)
	for _, tc := range []struct {
		call string
		want string
	}{
		{"generate_series int4:1 int4:5", "1 2 3 4 5"},
		{"generate_series int4:5 int4:1 int4:-2", "5 3 1"},
		{"generate_series int4:4 int4:3", ""},
		{"generate_series int4:1 int4:3 int4:0", "ERROR 22023 step size cannot equal zero"},
		{"generate_series int4:2147483646 int4:2147483647", "2147483646 2147483647"},
		{"generate_series int8:9223372036854775805 int8:9223372036854775807 int8:2", "9223372036854775805 9223372036854775807"},
		{"generate_series int8:-9223372036854775808 int8:9223372036854775807 int8:9223372036854775807", "-9223372036854775808 -1 9223372036854775806"},
		{"generate_series int4:\\N int4:3", ""},
		{"generate_series numeric:1 numeric:2 numeric:0.4", "1 1.4 1.8"},
		{"generate_series timestamp:2024-01-30 timestamp:2024-03-31 ?1mon", "2024-01-30 00:00:00 2024-02-29 00:00:00 2024-03-29 00:00:00"},
		{"generate_series timestamptz:2024-03-09 timestamptz:2024-03-11 ?1day", "2024-03-09 00:00:00-05 2024-03-10 00:00:00-05 2024-03-11 00:00:00-04"},
		{"unnest text[]:{a,NULL,c}", `a \N c`},
		{"unnest int4[]:\\N", ""},
		{"generate_subscripts int4[]:{7,8,9} int4:1", "1 2 3"},
		{"generate_subscripts int4[]:{7,8,9} int4:1 bool:t", "3 2 1"},
		{"generate_subscripts int4[]:{7,8,9} int4:2", ""},
		{"generate_subscripts int2vector:7 int4:1", "0"},
		{"regexp_matches text:foobarbaz text:ba. text:g", "{bar} {baz}"},
		{"regexp_split_to_table text:a,b text:,", "a b"},
		{"string_to_table text:a,b text:,", "a b"},
		{"pg_partition_ancestors regclass:5", ""},
	} {
		f := strings.Fields(tc.call)
		got, err := drain(t, c, f[0], f[1:]...)
		if err != nil {
			got = shownError(err)
		}
		if got != tc.want {
			t.Errorf("%s: got %q, want %q", tc.call, got, tc.want)
		}
	}
	long, err := drain(t, c, "generate_series", "int4:1", "int4:40000")
	if err != nil || len(strings.Fields(long)) != 40000 || !strings.HasSuffix(long, " 39999 40000") {
		t.Errorf("40000 rows over several batches: %v", err)
	}
}

// TestArrayOp checks ANY and ALL against a constant array, below and above the
// size from which a set is used, and against an array per row.
func TestArrayOp(t *testing.T) {
	c := testCtx(t)
	for _, tc := range []struct {
		left, op  string
		all       bool
		arr, want string
	}{
		{"int4:3", "=", false, "int4[]:{1,2,3}", "t"},
		{"int4:9", "=", false, "int4[]:{1,2,3}", "f"},
		{"int4:9", "=", false, "int4[]:{1,NULL}", `\N`},
		{"int4:1", "=", false, "int4[]:{1,NULL}", "t"},
		{"int4:1", "=", false, "int4[]:{}", "f"},
		{"int4:\\N", "=", false, "int4[]:{}", "f"},
		{"int4:\\N", "=", false, "int4[]:{1}", `\N`},
		{"int4:1", "=", false, "int4[]:\\N", `\N`},
		{"int4:5", "=", false, "int8[]:{1,2,3,4,5,6,7,8,9,10}", "t"},
		{"int4:50", "=", false, "int4[]:{1,2,3,4,5,6,7,8,9,10}", "f"},
		{"int4:50", "=", false, "int4[]:{1,2,3,4,5,6,7,8,9,NULL}", `\N`},
		{"int4:50", "<>", true, "int4[]:{1,2,3,4,5,6,7,8,9,10}", "t"},
		{"int4:5", "<>", true, "int4[]:{1,2,3,4,5,6,7,8,9,NULL}", "f"},
		{"text:e", "=", false, "text[]:{a,b,c,d,e,f,g,h,i,j}", "t"},
		{"text:z", "<>", true, "text[]:{a,b,c,d,e,f,g,h,i,NULL}", `\N`},
		{"float8:5", "=", false, "float8[]:{1,2,3,4,5,6,7,8,9,10}", "t"},
		{"bpchar:e", "=", false, "bpchar[]:{a,b,c,d,e ,f,g,h,i,j}", "t"},
		{"int4:5", ">", true, "int4[]:{1,2}", "t"},
		{"int4:5", "<", false, "int4[]:{1,9}", "t"},
		{"text:abc", "~~", false, "text[]:{x%,a%}", "t"},
		{"text:abc", "!~~", true, "text[]:{x%,a%}", "f"},
		{"name:abc", "=", false, "?{abc,d}", "t"},
	} {
		l, a := literal(t, c, tc.left), literal(t, c, tc.arr)
		f, ts, err := ArrayOp(tc.op, tc.all, []types.Type{l.Type, a.Type})
		if err != nil {
			t.Fatal(err)
		}
		if g, ok := ByID(f.ID); !ok || g != f || !slices.Contains(Lookup(strings.ToLower(strings.ReplaceAll(f.Op, tc.op+" ", "array_")+"("+tc.op+")")), f) {
			t.Errorf("%s is not found", f.ID)
		}
		if l, err = Cast(c, l, ts[0], false); err != nil {
			t.Fatal(err)
		}
		if a, err = Cast(c, a, ts[1], false); err != nil {
			t.Fatal(err)
		}
		rows := vector.Gather(l.Flatten(), []int32{0, 0})
		for _, arr := range []*vector.Vector{vector.NewConst(a.Flatten(), 2), vector.Gather(a.Flatten(), []int32{0, 0})} {
			v, err := Call(c, f, []*vector.Vector{rows, arr}, 2)
			if err != nil {
				t.Fatal(err)
			}
			if got := shown(t, c, v, 1); got != tc.want {
				t.Errorf("%s %s %s: got %s, want %s", tc.left, f.Op, tc.arr, got, tc.want)
			}
		}
	}
	if _, _, err := ArrayOp("=", false, []types.Type{types.T(types.Int4), types.T(types.Int4)}); pgerr.Code(err) != pgerr.WrongObjectType {
		t.Errorf("a scalar on the right: %v", err)
	}
}

func TestCommonType(t *testing.T) {
	for _, tc := range []struct{ ts, want string }{
		{"int4 int8", "bigint"},
		{"int4 numeric int2", "numeric"},
		{"int4 float4", "real"},
		{"float4 numeric", "real"},
		{"? ?", "text"},
		{"? int4", "integer"},
		{"varchar text", "character varying"},
		{"varchar(3) varchar(3)", "character varying(3)"},
		{"varchar(3) varchar(4)", "character varying"},
		{"date timestamptz timestamp", "timestamp with time zone"},
		{"int4 text", "ERROR 42804 CASE types integer and text cannot be matched"},
		{"bool int4", "ERROR 42804 CASE types boolean and integer cannot be matched"},
		{"int4[] int8[]", "bigint[]"},
	} {
		var ts []types.Type
		for _, s := range strings.Fields(tc.ts) {
			if s == "?" {
				ts = append(ts, types.T(types.Unknown))
			} else {
				ts = append(ts, testType(t, s))
			}
		}
		got, err := CommonType(ts, "CASE")
		res := got.String()
		if err != nil {
			res = shownError(err)
		}
		if res != tc.want {
			t.Errorf("%s: got %s, want %s", tc.ts, res, tc.want)
		}
	}
}

// TestErrorsOnNullRows: values behind NULLs must not raise errors.
func TestErrorsOnNullRows(t *testing.T) {
	zero := vector.FromSlice(types.T(types.Int4), []int32{1, 0}).WithValid([]byte{1})
	one := vector.FromSlice(types.T(types.Int4), []int32{math.MaxInt32, math.MaxInt32})
	for _, op := range []string{"/", "%"} {
		f, _, _, err := ResolveOperator(op, []types.Type{one.Type, zero.Type})
		if err != nil {
			t.Fatal(err)
		}
		v, err := Call(nil, f, []*vector.Vector{one, zero}, 2)
		if err != nil || !v.IsNull(1) || v.IsNull(0) {
			t.Errorf("%s: %v", op, err)
		}
	}
	f, _, _, _ := ResolveOperator("+", []types.Type{one.Type, one.Type})
	hidden := one.WithValid([]byte{0})
	if _, err := Call(nil, f, []*vector.Vector{hidden, one}, 2); err != nil {
		t.Errorf("overflow behind NULL: %v", err)
	}
}
