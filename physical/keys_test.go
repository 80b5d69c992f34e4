package physical

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// Values listed in ascending order; each list ends with NULL, which sorts last.
func TestKeysOfOtherTypes(t *testing.T) {
	floats := vector.NewBuilder(types.T(types.Float4), 0)
	for _, f := range []float32{float32(math.Inf(-1)), -1, 0, 2, float32(math.Inf(1)), float32(math.NaN())} {
		vector.Append(floats, f)
	}
	floats.AppendNull()
	byteas := vector.NewBuilder(types.T(types.Bytea), 0)
	for _, s := range []string{"", "\x00", "\x00\x00", "\x00\x01", "\x00\xff", "\x01", "a", "a\x00", "a\x00b", "ab", "\xff"} {
		byteas.AppendString(s)
	}
	byteas.AppendNull()
	ints := vector.NewBuilder(types.ArrayOf(types.Int4), 0)
	for _, list := range [][]any{{}, {int32(-1)}, {int32(1)}, {int32(1), int32(-5)}, {int32(1), nil}, {int32(2)}, {nil}} {
		for _, x := range list {
			if x == nil {
				ints.Elems().AppendNull()
			} else {
				vector.Append(ints.Elems(), x.(int32))
			}
		}
		ints.EndList()
	}
	ints.AppendNull()
	texts := vector.NewBuilder(types.ArrayOf(types.Text), 0)
	for _, list := range [][]string{{}, {""}, {"", "b"}, {"a"}, {"a", "b"}, {"ab"}} {
		for _, s := range list {
			texts.Elems().AppendString(s)
		}
		texts.EndList()
	}
	texts.AppendNull()
	for _, b := range []*vector.Builder{floats, byteas, ints, texts} {
		v := b.Build()
		n := v.Len
		null := n - 1
		for _, o := range []keyOrder{{}, {desc: true}, {nullsFirst: true}, {desc: true, nullsFirst: true}} {
			// Beside a second column, so that nothing leans on the end of the key.
			second := vector.NewConst(vector.FromSlice(tInt4, []int32{5}), n)
			k := encodeKeys([]*vector.Vector{v, second}, []keyOrder{o, {}}, n)
			for i := range n {
				for j := range n {
					want := i - j
					switch {
					case i == j:
					case i == null || j == null:
						if o.nullsFirst {
							want = -want
						}
					case o.desc:
						want = -want
					}
					if got := bytes.Compare(k.at(i), k.at(j)); (got < 0) != (want < 0) || (got > 0) != (want > 0) {
						t.Fatalf("%s %+v: row %d against %d is %d, want %d", v.Type, o, i, j, got, want)
					}
				}
			}
		}
		k := encodeKeys([]*vector.Vector{v}, nil, n)
		for i := range n {
			for j := range n {
				if bytes.Equal(k.at(i), k.at(j)) != (i == j) {
					t.Fatalf("%s: rows %d and %d", v.Type, i, j)
				}
			}
		}
	}
}

// A table that outgrows the caches, with NULL among the keys, gives every key
// one group, in order of first appearance.
func TestGroupTableLarge(t *testing.T) {
	const n = 200_000
	keys := make([]int64, n)
	for i := range keys {
		keys[i] = int64(i*7919) % 90_001
	}
	v := vector.FromSlice(tInt8, keys)
	valid := vector.NewValid(n)
	vector.SetNull(valid, 77)
	vector.SetNull(valid, 150_000)
	v = v.WithValid(valid)
	table := newGroupTable([]types.Type{tInt8})
	groups := make([]int32, n)
	want := map[any]int32{}
	for from := 0; from < n; from += 20_000 {
		part := vector.Slice(v, from, from+20_000)
		if _, err := table.find(t.Context(), []*vector.Vector{part}, 20_000, groups[from:from+20_000], true); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		k := value(v, i)
		g, ok := want[k]
		if !ok {
			g = int32(len(want))
			want[k] = g
		}
		if groups[i] != g {
			t.Fatalf("row %d (%v) is in group %d, want %d", i, k, groups[i], g)
		}
	}
	probe := []*vector.Vector{column1(tInt8, int64(90_001), int64(7919), nil)}
	found := make([]int32, 3)
	if _, err := table.find(t.Context(), probe, 3, found, false); err != nil {
		t.Fatal(err)
	}
	if found[0] != -1 || found[1] != 1 || found[2] != want[nil] {
		t.Errorf("found %v", found)
	}
	cols := table.columns()
	for k, g := range want {
		if got := value(cols[0], int(g)); got != k {
			t.Fatalf("group %d has key %v, want %v", g, got, k)
		}
	}
}

// Functions of a dictionary are computed per entry.
func TestCallOverDictionary(t *testing.T) {
	codes := make([]int32, 100)
	for i := range codes {
		codes[i] = int32(i % 3)
	}
	valid := vector.NewValid(100)
	vector.SetNull(valid, 4)
	d := vector.FromDict(tText, codes, vector.FromStrings(tText, []string{"a", "bb", "", "unused"})).WithValid(valid)
	b := vector.NewBatch([]*vector.Vector{d}, 100)
	lengths, err := evalValues(t, callOf(t, "length", col(0, tText)), b)
	if err != nil {
		t.Fatal(err)
	}
	uppers, err := evalValues(t, callOf(t, "upper", col(0, tText)), b)
	if err != nil {
		t.Fatal(err)
	}
	equal, err := evalValues(t, callOf(t, "=", col(0, tText), lit(tText, "bb")), b)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		want := []any{[]any{int64(1), "A", false}, []any{int64(2), "BB", true}, []any{int64(0), "", false}}[i%3].([]any)
		if i == 4 {
			want = []any{nil, nil, nil}
		}
		if got := []any{lengths[i], uppers[i], equal[i]}; show(got) != show(want) {
			t.Fatalf("row %d: %v, want %v", i, got, want)
		}
	}
}

// Functions of a dictionary that is longer than the batches are computed once per
// entry, when as many rows have come, with the same results as before and after.
func TestCallOverLongDictionary(t *testing.T) {
	names := make([]string, 300)
	for i := range names {
		names[i] = fmt.Sprint("name ", i*7)
	}
	dict := vector.FromStrings(tText, names)
	x, err := Compile(&Env{}, callOf(t, "upper", col(0, tText)), []types.Type{tText})
	if err != nil {
		t.Fatal(err)
	}
	eq, err := Compile(&Env{}, callOf(t, "=", col(0, tText), lit(tText, "name 14")), []types.Type{tText})
	if err != nil {
		t.Fatal(err)
	}
	for batch := range 20 {
		if batch == 12 {
			dict = vector.FromStrings(tText, append([]string{"other"}, names...))
		}
		codes := make([]int32, 100)
		for i := range codes {
			codes[i] = int32((batch*100 + i*3) % dict.Len)
		}
		v := vector.FromDict(tText, codes, dict)
		b := vector.NewBatch([]*vector.Vector{v}, 100)
		up, err := x.Eval(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		same, err := eq.Eval(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 100 {
			s := v.StringAt(i)
			if got, want := value(up, i), strings.ToUpper(s); got != want {
				t.Fatalf("batch %d row %d: %v, want %v", batch, i, got, want)
			}
			if got, want := value(same, i), s == "name 14"; got != want {
				t.Fatalf("batch %d row %d: %v, want %v", batch, i, got, want)
			}
		}
	}
}
