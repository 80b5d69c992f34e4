package udftest

import (
	"errors"
	"fmt"
	"testing"

	"github.com/volleydb/volley/udf/sdk"
)

// GroupedMap checks what a grouped map emits for groups (Rows and OutRows): alone and
// one after the other, with the rows of a group in one piece and in several, unless
// the function takes whole groups. columns are the output of a function with
// udf.Describe.
func (f *Functions) GroupedMap(t testing.TB, name string, groups []Group, columns ...udf.Column) {
	t.Helper()
	if f.kind(t, name, "grouped_map") {
		f.groups(t, name, groups, columns, f.desc[name].Contract == "")
	}
}

// Table checks what a table function gives for rows of arguments: In of each case is
// one call, OutRows what it emits.
func (f *Functions) Table(t testing.TB, name string, calls ...Group) {
	t.Helper()
	if !f.kind(t, name, "table") {
		return
	}
	var callable []Group
	for i, c := range calls {
		if len(c.Rows) != 1 {
			t.Fatalf("udftest: call %d of %s has %d rows of arguments, want one", i+1, name, len(c.Rows))
		}
		skip := false
		for k, v := range c.Rows[0] {
			skip = skip || v == nil && k < len(f.desc[name].Args) && !f.desc[name].Args[k].Nullable
		}
		switch {
		case !skip:
			callable = append(callable, c)
		case len(c.OutRows) > 0:
			t.Errorf("%s gives no rows: NULL is not given to an argument that is not udf.Nullable", f.describe(name, c.Rows[0]))
		}
	}
	f.groups(t, name, callable, nil, false)
}

// Window checks a window function on partitions: Rows in order, OutRows with one value
// each. The frame of a row is from the partition's first row to itself, as it is by
// default in SQL with ORDER BY.
func (f *Functions) Window(t testing.TB, name string, partitions ...Group) {
	t.Helper()
	if !f.kind(t, name, "window") {
		return
	}
	with := make([]Group, len(partitions))
	for i, p := range partitions {
		with[i].OutRows = p.OutRows
		for r, row := range p.Rows {
			with[i].Rows = append(with[i].Rows, append(row[:len(row):len(row)], 0, r+1))
		}
	}
	f.groups(t, name, with, nil, false)
}

func (f *Functions) kind(t testing.TB, name, want string) bool {
	t.Helper()
	d, ok := f.desc[name]
	if !ok || d.Kind != want {
		t.Errorf("udftest: there is no %s function %q", want, name)
		return false
	}
	return true
}

// groups compares what a function emits in several arrangements.
func (f *Functions) groups(t testing.TB, name string, groups []Group, columns udf.Columns, cut bool) {
	t.Helper()
	for i, g := range groups {
		if !f.emits(t, name, fmt.Sprintf("group %d alone", i+1), []Group{g}, columns, frames([]Group{g}, 0)) {
			return
		}
		for _, n := range []int{1, 2, 7} {
			if cut && n < len(g.Rows) && !f.emits(t, name, fmt.Sprintf("group %d in pieces of %d rows", i+1, n), []Group{g}, columns, frames([]Group{g}, n)) {
				return
			}
		}
	}
	if f.emits(t, name, "all groups at once", groups, columns, frames(groups, 0)) && cut {
		f.emits(t, name, "all groups in pieces of 3 rows", groups, columns, frames(groups, 3))
	}
}

// frames puts the rows of groups into frames of n rows, 0 for one frame.
func frames(groups []Group, n int) []udf.TestFrame {
	out := []udf.TestFrame{{}}
	for _, g := range groups {
		for _, row := range g.Rows {
			last := &out[len(out)-1]
			if n > 0 && len(last.Rows) == n {
				out = append(out, udf.TestFrame{})
				last = &out[len(out)-1]
			}
			last.Rows = append(last.Rows, row)
		}
		last := &out[len(out)-1]
		last.Ends = append(last.Ends, int32(len(last.Rows)))
	}
	return out
}

func (f *Functions) emits(t testing.TB, name, how string, groups []Group, columns udf.Columns, in []udf.TestFrame) bool {
	t.Helper()
	rows, err := f.tester.Groups(name, in, columns)
	if err != nil {
		var e *udf.TestError
		hint := ""
		if errors.As(err, &e) && e.Hint != "" {
			hint = "\nhint: " + e.Hint
		}
		t.Errorf("%s, %s: %v%s", name, how, err, hint)
		return false
	}
	got := make([]Rows, len(groups))
	for _, r := range rows {
		if r.Group < 0 || int(r.Group) >= len(groups) {
			t.Errorf("%s, %s: a row of group %d of %d", name, how, r.Group+1, len(groups))
			return false
		}
		got[r.Group] = append(got[r.Group], r.Row)
	}
	for g := range groups {
		want := groups[g].OutRows
		for i := range max(len(want), len(got[g])) {
			have, wanted := "no row", "no row"
			same := i < len(want) && i < len(got[g]) && len(want[i]) == len(got[g][i])
			if i < len(want) {
				wanted = showRow(want[i])
			}
			if i < len(got[g]) {
				have = showRow(got[g][i])
			}
			for k := 0; same && k < len(want[i]); k++ {
				same = f.same(got[g][i][k], want[i][k])
			}
			if !same {
				t.Errorf("%s, %s: row %d of group %d is %s, want %s", name, how, i+1, g+1, have, wanted)
				return false
			}
		}
	}
	return true
}

// Describe returns the columns that a function with udf.Describe has for arguments;
// nil is one that is not constant.
func (f *Functions) Describe(t testing.TB, name string, args ...any) udf.Columns {
	t.Helper()
	c, err := f.tester.Describe(name, args)
	if err != nil {
		t.Fatalf("%s: %v", f.describe(name, args), err)
	}
	return c
}
