package physical

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// Counting the rows of few keys gives what sorting gives, ties in their order.
func TestSortGroups(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	ctx := context.Background()
	for _, ty := range []types.Type{tInt2, tInt4, tInt8, tText} {
		for _, o := range []keyOrder{{}, {desc: true}, {nullsFirst: true}, {desc: true, nullsFirst: true}} {
			for _, distinct := range []int{1, 2, 9, maxSortGroups - 1, 200} {
				env := &Env{}
				keys := columnKeys(env, []int{0}, []types.Type{ty, tInt8}, []keyOrder{o})
				var bs []*vector.Batch
				row := int64(0)
				for k := range 12 {
					n := 1 + r.IntN(300)
					ks, ids := make([]any, n), make([]any, n)
					whole := r.IntN(distinct) // some batches are of one key
					for i := range n {
						x := r.IntN(distinct)
						if k%3 == 0 {
							x = whole
						}
						switch {
						case k%4 != 1 && r.IntN(10) == 0:
						case ty == tText:
							ks[i] = fmt.Sprint("key ", x*7%13, x)
						default:
							ks[i] = int64(x - 5)
						}
						ids[i], row = row, row+1
					}
					v := column1(ty, ks...)
					if k%5 == 4 {
						v = vector.NewConst(vector.Slice(v, 0, 1), n)
					}
					bs = append(bs, vector.NewBatch([]*vector.Vector{v, column1(tInt8, ids...)}, n))
				}
				pieces, ok, err := keys.sortGroups(ctx, bs)
				if err != nil || ok != (distinct < maxSortGroups) {
					t.Fatalf("%s, %d keys: %v, %v", ty, distinct, ok, err)
				}
				if !ok {
					continue
				}
				all := vector.ConcatBatches([]types.Type{ty, tInt8}, bs)
				order, err := keys.sortRows(ctx, all)
				if err != nil {
					t.Fatal(err)
				}
				want := vector.Values[int64](vector.Gather(all.Col(1), order))
				for _, target := range []int{16, 5000} {
					s := newSorter(&node{env: &Env{}}, []types.Type{ty, tInt8}, keys, 0)
					s.pieces = append([]sortPiece(nil), pieces...)
					at := 0
					for len(s.pieces) > 0 {
						b := s.nextPiece(target)
						for _, id := range vector.Values[int64](b.Col(1).Flatten()) {
							if id != want[at] {
								t.Fatalf("%s %+v, %d keys: row %d is %d, want %d", ty, o, distinct, at, id, want[at])
							}
							at++
						}
						if b.Col(0).Len != b.Rows() {
							t.Fatal("columns differ in length")
						}
					}
					if at != len(want) {
						t.Fatalf("%d rows of %d", at, len(want))
					}
				}
			}
		}
	}
}
