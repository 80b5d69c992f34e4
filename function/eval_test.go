package function

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// testCtx is a session in New York, so that time zones show.
func testCtx(t testing.TB) *Ctx {
	loc, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	return &Ctx{Context: t.Context(), Location: loc, User: "ann", Database: "volley", Seed: 42,
		Now: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC).UnixMicro()}
}

// testType reads a type with its modifier as the test data writes them.
func testType(t testing.TB, s string) types.Type {
	if s == "char" {
		return types.T(types.Char)
	}
	if f, ok := map[string]int32{
		"interval day": intervalDay, "interval hour to minute": intervalHour | intervalMinute,
		"interval minute to second": intervalMinute | intervalSecond,
	}[s]; ok {
		return types.Type{ID: types.Interval, Typmod: f<<16 | 0xffff}
	}
	base, mod, ok := strings.Cut(strings.TrimSuffix(s, ")"), "(")
	if !ok {
		return signatureType(s)
	}
	typ := signatureType(base)
	nums := strings.Split(mod, ",")
	p, err := strconv.Atoi(nums[0])
	if err != nil {
		t.Fatal(s)
	}
	switch typ.ID {
	case types.Numeric:
		scale := 0
		if len(nums) > 1 {
			scale, _ = strconv.Atoi(nums[1])
		}
		return types.NumericOf(p, scale)
	case types.Varchar, types.Bpchar:
		typ.Typmod = int32(p) + 4
	case types.Interval:
		typ.Typmod = intervalFull<<16 | int32(p)
	default:
		typ.Typmod = int32(p)
	}
	return typ
}

// literal makes a one-row vector of "type:text", or of "?text" for an untyped literal.
func literal(t testing.TB, c *Ctx, s string) *vector.Vector {
	if rest, ok := strings.CutPrefix(s, "?"); ok {
		return vector.FromStrings(types.T(types.Unknown), []string{rest})
	}
	name, val, _ := strings.Cut(s, ":")
	typ := testType(t, name)
	if val == `\N` {
		return vector.NewNull(typ, 1).Flatten()
	}
	v, err := Cast(c, vector.FromStrings(types.T(types.Text), []string{val}), typ, true)
	if err != nil {
		t.Fatalf("argument %s: %v", s, err)
	}
	return v.Flatten()
}

// shown renders row i as the test data does.
func shown(t testing.TB, c *Ctx, v *vector.Vector, i int) string {
	if v.IsNull(i) {
		return `\N`
	}
	out, err := outputs(c, []*vector.Vector{v.Flatten()})
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(out[0].StringAt(i), "\n", `\n`)
}

func shownError(err error) string { return "ERROR " + pgerr.Code(err) + " " + err.Error() }

// evalCase resolves and calls a function on one row, as the planner and the
// evaluator do, and once more on three rows whose middle one is NULL.
func evalCase(t testing.TB, c *Ctx, name string, args []string) string {
	vs := make([]*vector.Vector, len(args))
	ts := make([]types.Type, len(args))
	for i, a := range args {
		vs[i] = literal(t, c, a)
		ts[i] = vs[i].Type
	}
	var f *Function
	var want []types.Type
	var rt types.Type
	var err error
	if op, ok := strings.CutPrefix(name, "op:"); ok {
		f, want, rt, err = ResolveOperator(op, ts)
	} else {
		f, want, rt, err = Resolve(name, Lookup(name), ts)
	}
	if err != nil {
		return shownError(err)
	}
	for i, v := range vs {
		if vs[i], err = Cast(c, v, want[i], false); err != nil {
			return shownError(err)
		}
	}
	consts := make([]*vector.Vector, len(vs))
	for i, v := range vs {
		consts[i] = vector.NewConst(v.Flatten(), 4)
	}
	out, err := Call(c, f, consts, 4)
	if err != nil {
		return shownError(err)
	}
	if out.Len != 4 || !out.Type.Same(rt) {
		t.Errorf("%s%v gives %d rows of %s, want 4 of %s", name, args, out.Len, out.Type, rt)
	}
	res := shown(t, c, out, 3)
	if len(vs) == 0 {
		return res
	}
	rows := make([]*vector.Vector, len(vs))
	middle := int32(-1)
	if !f.Strict {
		middle = 0 // what such a function makes of a NULL has cases of its own
	}
	for i, v := range vs {
		rows[i] = vector.GatherNull(v.Flatten(), []int32{0, middle, 0})
	}
	flat, err := Call(c, f, rows, 3)
	if err != nil {
		t.Errorf("%s%v fails on rows only: %v", name, args, err)
		return res
	}
	if got := shown(t, c, flat, 2); got != res {
		t.Errorf("%s%v is %s on rows and %s on constants", name, args, got, res)
	}
	if f.Strict && !flat.IsNull(1) {
		t.Errorf("%s%v is strict but not NULL on a NULL row", name, args)
	}
	return res
}

// TestScalars compares with results that Postgres 15 gave.
func TestScalars(t *testing.T) {
	c := testCtx(t)
	eachCase(t, "testdata/scalar.tsv", func(fields []string, want string) {
		approximate := strings.Contains(strings.Join(fields[1:], "\t"), "float")
		if got := evalCase(t, c, fields[0], fields[1:]); got != want && !(approximate && nearlyEqual(got, want)) {
			t.Errorf("%s: got %s, want %s", strings.Join(fields, " "), got, want)
		}
	})
}

// nearlyEqual takes floating-point numbers to be equal when they differ by
// rounding in the last places only.
func nearlyEqual(got, want string) bool {
	g, err1 := strconv.ParseFloat(got, 64)
	w, err2 := strconv.ParseFloat(want, 64)
	return err1 == nil && err2 == nil && (g == w || (g-w)/w < 1e-14 && (w-g)/w < 1e-14)
}

func TestCasts(t *testing.T) {
	c := testCtx(t)
	eachCase(t, "testdata/casts.tsv", func(fields []string, want string) {
		v := literal(t, c, fields[0])
		to := testType(t, fields[1])
		if !CastAllowed(v.Type, to, Explicit) {
			t.Errorf("cast of %s to %s is not allowed", v.Type, to)
		}
		got := ""
		out, err := Cast(c, v, to, true)
		if err != nil {
			got = shownError(err)
		} else {
			got = shown(t, c, out, 0)
			if out.Type != to {
				t.Errorf("%v gives type %s", fields, out.Type)
			}
			null, err := Cast(c, vector.GatherNull(v, []int32{-1, 0}), to, true)
			if err != nil || !null.IsNull(0) || shown(t, c, null, 1) != got {
				t.Errorf("%v with a NULL row: %v", fields, err)
			}
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", strings.Join(fields, " to "), got, want)
		}
	})
}

func eachCase(t *testing.T, file string, f func(fields []string, want string)) {
	in, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	sc := bufio.NewScanner(in)
	for sc.Scan() {
		line := sc.Text()
		if line == "" || line[0] == '#' {
			continue
		}
		call, want, ok := strings.Cut(line, "\t=> ")
		if !ok {
			t.Fatalf("%s: no result in %q", file, line)
		}
		f(strings.Split(call, "\t"), want)
	}
	if err := sc.Err(); err != nil {
		t.Fatal(err)
	}
}
