package vector

import (
	"testing"

	"github.com/volleydb/volley/types"
)

// Join keeps dictionaries while they are small, and the values in any case.
func TestJoin(t *testing.T) {
	text := types.T(types.Text)
	a, b := FromStrings(text, []string{"x", "y"}), FromStrings(text, []string{"y", "z"})
	codes := func(n, step int) []int32 {
		c := make([]int32, n)
		for i := range c {
			c[i] = int32(i / step % 2)
		}
		return c
	}
	withNull := func(v *Vector) *Vector {
		valid := NewValid(v.Len)
		SetNull(valid, 1)
		return v.WithValid(valid)
	}
	for _, c := range []struct {
		name string
		in   []*Vector
		form Form
	}{
		{"one dictionary", []*Vector{FromDict(text, codes(30, 1), a), FromDict(text, codes(20, 2), a)}, Dict},
		{"two dictionaries", []*Vector{FromDict(text, codes(30, 1), a), withNull(FromDict(text, codes(20, 2), b)), FromDict(text, codes(9, 3), a)}, Dict},
		{"large dictionaries", []*Vector{FromDict(text, codes(3, 1), a), FromDict(text, codes(2, 2), b)}, Flat},
		{"mixed", []*Vector{withNull(FromDict(text, codes(30, 1), a)), b}, Flat},
	} {
		got, want := Join(c.in), Concat(c.in)
		if got.Form != c.form || got.Len != want.Len {
			t.Fatalf("%s: form %v of %d rows", c.name, got.Form, got.Len)
		}
		for i := range want.Len {
			if got.IsNull(i) != want.IsNull(i) || !got.IsNull(i) && string(got.BytesAt(i)) != string(want.BytesAt(i)) {
				t.Errorf("%s: row %d differs", c.name, i)
			}
		}
	}
}
