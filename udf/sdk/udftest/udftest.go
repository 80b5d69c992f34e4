package udftest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/volleydb/volley/udf/sdk"
	"github.com/volleydb/volley/udf/sdk/wire"
)

type (
	// Row is the arguments of one call, or one row of output.
	Row = []any
	// Rows are several.
	Rows = [][]any
)

// Case is a call of a scalar function and what it gives.
type Case struct {
	In  Row
	Out any
}

// Group is the rows of one group and what becomes of them: of an aggregate Out, of a
// grouped map, table or window function OutRows, see there.
type Group struct {
	Rows    Rows
	Out     any
	OutRows Rows
}

// Functions are declared functions under test.
type Functions struct {
	// Tolerance is how far a float may be from what is expected, as a share of it.
	Tolerance float64
	// Seed makes the orders that are tried; every run tries the same.
	Seed uint64

	tester *udf.Tester
	desc   map[string]wire.Function
}

// New declares functions and runs their Init hooks.
func New(t testing.TB, decls ...udf.Decl) *Functions {
	t.Helper()
	tester, err := udf.NewTester(decls...)
	if err != nil {
		t.Fatalf("udftest: %v", err)
	}
	f := &Functions{tester: tester, desc: map[string]wire.Function{}}
	for _, d := range tester.Functions() {
		f.desc[d.Name] = d
	}
	return f
}

func (f *Functions) same(a, b any) bool { return udf.SameValue(a, b, f.Tolerance) }

func (f *Functions) describe(name string, in Row) string {
	d := f.desc[name]
	var parts []string
	for i, v := range in {
		s := show(v)
		if i < len(d.Args) && d.Args[i].Name != "" {
			s = d.Args[i].Name + " = " + s
		}
		parts = append(parts, s)
	}
	return name + "(" + strings.Join(parts, ", ") + ")"
}

func show(v any) string {
	switch x := v.(type) {
	case nil:
		return "NULL"
	case string:
		return fmt.Sprintf("%q", x)
	case []byte:
		return fmt.Sprintf("%x", x)
	}
	return fmt.Sprint(v)
}

func showRow(r Row) string {
	var parts []string
	for _, v := range r {
		parts = append(parts, show(v))
	}
	return "(" + strings.Join(parts, ", ") + ")"
}

// Call calls a scalar function for one row; an error ends the test.
func (f *Functions) Call(t testing.TB, name string, args ...any) any {
	t.Helper()
	out, err := f.tester.Scalar(name, Rows{args})
	if err != nil {
		t.Fatalf("%s: %v", f.describe(name, args), err)
	}
	return out[0]
}

// Fails calls a scalar function for one row, which must fail with an error that has
// all of words in its text; code is its SQLSTATE, "" for any.
func (f *Functions) Fails(t testing.TB, name string, in Row, code string, words ...string) {
	t.Helper()
	out, err := f.tester.Scalar(name, Rows{in})
	if err == nil {
		t.Errorf("%s is %s; want an error", f.describe(name, in), show(out[0]))
		return
	}
	if e, ok := err.(*udf.TestError); ok && code != "" && e.Code != code {
		t.Errorf("%s fails with %s (%v), want %s", f.describe(name, in), e.Code, err, code)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%s fails with %q, which lacks %q", f.describe(name, in), err, w)
		}
	}
}

// batchSizes are the rows of batches that are tried besides all at once.
var batchSizes = []int{1, 2, 3, 7, 64}

// Scalar checks that a scalar function gives what is expected: one row at a time, in
// batches of several sizes, in another order and with NULLs in between. An immutable
// function must give the same each time.
func (f *Functions) Scalar(t testing.TB, name string, cases ...Case) {
	t.Helper()
	ok := true
	ins := make(Rows, len(cases))
	for i, c := range cases {
		ins[i] = c.In
		out, err := f.tester.Scalar(name, Rows{c.In})
		switch {
		case err != nil:
			t.Errorf("case %d: %s: %v", i+1, f.describe(name, c.In), err)
			ok = false
		case !f.same(out[0], c.Out):
			t.Errorf("case %d: %s is %s, want %s", i+1, f.describe(name, c.In), show(out[0]), show(c.Out))
			ok = false
		}
	}
	if !ok || f.desc[name].Volatility == "volatile" && !f.repeats(name, ins) {
		return
	}
	f.batches(t, name, ins, func(i int) any { return cases[i].Out })
}

// repeats reports whether a function happens to give the same twice: where it does not
// batches cannot be compared.
func (f *Functions) repeats(name string, ins Rows) bool {
	a, err1 := f.tester.Scalar(name, ins)
	b, err2 := f.tester.Scalar(name, ins)
	if err1 != nil || err2 != nil {
		return true
	}
	for i := range a {
		if !f.same(a[i], b[i]) {
			return false
		}
	}
	return true
}

// Immutable checks that a scalar function that is declared immutable or stable gives
// the same for the same arguments, whatever rows are in the batch and how often it
// was called.
func (f *Functions) Immutable(t testing.TB, name string, ins ...Row) {
	t.Helper()
	if v := f.desc[name].Volatility; v == "volatile" {
		t.Errorf("%s is declared volatile: add udf.Immutable or udf.Stable if it is neither random nor a matter of time", name)
		return
	}
	want, err := f.tester.Scalar(name, ins)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	f.batches(t, name, ins, func(i int) any { return want[i] })
}

// batches calls a function on rows in many arrangements.
func (f *Functions) batches(t testing.TB, name string, ins Rows, want func(i int) any) {
	t.Helper()
	try := func(how string, order []int, size int) bool {
		t.Helper()
		for at := 0; at < len(order); at += size {
			part := order[at:min(at+size, len(order))]
			var rows Rows
			for _, i := range part {
				rows = append(rows, f.row(name, ins, i))
			}
			out, err := f.tester.Scalar(name, rows)
			if err != nil {
				t.Errorf("%s fails %s, though not row by row: %v", name, how, err)
				return false
			}
			for k, i := range part {
				if i >= 0 && !f.same(out[k], want(i)) {
					t.Errorf("%s is %s %s, and %s otherwise: its result depends on other rows or calls", f.describe(name, ins[i]), show(out[k]), how, show(want(i)))
					return false
				}
				if i < 0 && f.strict(name) && out[k] != nil {
					t.Errorf("%s is %s for NULL", name, show(out[k]))
					return false
				}
			}
		}
		return true
	}
	order := make([]int, len(ins))
	var mixed []int
	for i := range order {
		order[i] = i
		mixed = append(mixed, i)
		if i%2 == 0 && f.strict(name) {
			mixed = append(mixed, -1) // a row of NULLs
		}
	}
	ok := try("in one batch", order, max(len(order), 1)) && try("in one batch again", order, max(len(order), 1))
	for _, n := range batchSizes {
		ok = ok && (n >= len(order) || try(fmt.Sprintf("in batches of %d rows", n), order, n))
	}
	r := rand.New(rand.NewPCG(f.Seed, 1))
	r.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	_ = ok && try("in another order", order, max(len(order), 1)) && try("with NULLs between the rows", mixed, max(len(mixed), 1)) &&
		try("with NULLs, in batches of 3 rows", mixed, 3)
}

// row is ins[i], or NULLs.
func (f *Functions) row(name string, ins Rows, i int) Row {
	if i >= 0 {
		return ins[i]
	}
	return make(Row, len(f.desc[name].Args))
}

// strict reports whether some argument cannot be NULL: rows of NULLs are then not
// given to the function.
func (f *Functions) strict(name string) bool {
	for _, a := range f.desc[name].Args {
		if !a.Nullable {
			return true
		}
	}
	return false
}
