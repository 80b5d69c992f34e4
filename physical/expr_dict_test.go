package physical

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// A condition gives the same for dictionary columns as for flat ones, however large
// the dictionary is against the batches that share it, and whatever came before.
func TestConditionsOverDictionaries(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	s := col(0, tText)
	conds := []*proto.Expr{
		callOf(t, "=", s, lit(tText, "v3")),
		callOf(t, "<>", s, lit(tText, "")),
		callOf(t, "~~", s, lit(tText, "%1%")),
		callOf(t, "!~~", s, lit(tText, "v2%")),
		callOf(t, "<", lit(tText, "v5"), s),
		callOf(t, "=", callOf(t, "upper", s), lit(tText, "V7")),
		callOf(t, "=", s, col(1, tText)),
		inOf(s, false, "v1", "v9", "v70"),
		inOf(s, true, "v1", ""),
		inOf(s, false, "v1", nil),
		inOf(s, true, "v1", nil),
	}
	ts := []types.Type{tText, tText}
	overDict, overFlat := make([]*Expr, len(conds)), make([]*Expr, len(conds))
	for i, c := range conds {
		var err error
		if overDict[i], err = Compile(&Env{Check: true}, c, ts); err != nil {
			t.Fatal(err)
		}
		if overFlat[i], err = Compile(&Env{Check: true}, c, ts); err != nil {
			t.Fatal(err)
		}
	}
	for range 40 {
		texts := make([]string, 1+rng.IntN(300))
		for i := range texts[1:] {
			texts[i+1] = fmt.Sprintf("v%d", i)
		}
		dict := vector.FromStrings(tText, texts)
		for range 6 {
			n := rng.IntN(200)
			codes := make([]int32, n)
			valid := vector.NewValid(n)
			for i := range codes {
				codes[i] = int32(rng.IntN(len(texts)))
				if rng.IntN(5) == 0 {
					vector.SetNull(valid, i)
				}
			}
			v := vector.FromDict(tText, codes, dict)
			if rng.IntN(2) == 0 {
				v = v.WithValid(valid)
			}
			other := vector.FromDict(tText, slices.Clone(codes), dict)
			b := vector.NewBatch([]*vector.Vector{v, other}, n)
			flat := vector.NewBatch([]*vector.Vector{v.Flatten(), other.Flatten()}, n)
			for i := range conds {
				got, err := overDict[i].trueRows(t.Context(), b)
				if err != nil {
					t.Fatal(err)
				}
				x, err := overFlat[i].Eval(t.Context(), flat)
				if err != nil {
					t.Fatal(err)
				}
				if want := trueRows(x.Flatten()); !slices.Equal(got, want) {
					t.Fatalf("condition %d: rows %v instead of %v", i, got, want)
				}
				y, err := overDict[i].Eval(t.Context(), b)
				if err != nil {
					t.Fatal(err)
				}
				for r := range n {
					if value(y.Flatten(), r) != value(x.Flatten(), r) {
						t.Fatalf("condition %d, row %d: %v instead of %v", i, r, value(y.Flatten(), r), value(x.Flatten(), r))
					}
				}
			}
		}
	}
}
