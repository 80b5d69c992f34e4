package storage

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/apache/arrow-go/v18/parquet"

	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/vector"
)

// Rows that are picked out of batches are those of a reader of all rows, whatever
// was skipped before them.
func TestLateRead(t *testing.T) {
	const rows = 40_000
	plain := parquet.WithDictionaryDefault(false)
	small := parquet.WithDataPageSize(2000)
	for _, c := range []struct {
		name     string
		distinct int
		nulls    float64
		opts     []parquet.WriterProperty
	}{
		{"dictionary", 100, 0, nil},
		{"dictionary, small pages", 1000, 0, []parquet.WriterProperty{small}},
		{"dictionary, NULLs", 9, 0.3, []parquet.WriterProperty{small}},
		{"large dictionary", 18_000, 0, nil},
		{"large dictionary, NULLs, small pages", 18_000, 0.2, []parquet.WriterProperty{small}},
		{"one value", 1, 0, nil},
		{"falls back to plain", 20_000, 0, []parquet.WriterProperty{parquet.WithDictionaryPageSizeLimit(2000), small}},
		{"plain", 20_000, 0, []parquet.WriterProperty{plain}},
		{"plain, NULLs, version 2", 500, 0.5, []parquet.WriterProperty{plain, small, parquet.WithDataPageVersion(parquet.DataPageV2)}},
		{"all but NULL", 3, 1, []parquet.WriterProperty{small}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "f.parquet")
			writeMixed(t, path, rows, c.distinct, c.nulls, c.opts...)
			plan, err := PlanParquet(t.Context(), []string{path})
			if err != nil {
				t.Fatal(err)
			}
			scan := &proto.Scan{Format: "parquet", Columns: []string{"i", "d", "s", "n"}, RowId: true}
			rng := rand.New(rand.NewPCG(7, 8))
			for _, batch := range []int{333, 5000, 16384} {
				all, err := OpenScan(t.Context(), scan, plan.Splits, batch)
				if err != nil {
					t.Fatal(err)
				}
				r, err := OpenScan(t.Context(), scan, plan.Splits, batch)
				if err != nil {
					t.Fatal(err)
				}
				late := r.(LateReader)
				if batch != 5000 {
					r.(DictKeeper).KeepDicts()
				}
				for part := 0; ; part++ {
					want, err := all.Next(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					first := []bool{part%2 == 0, false, part%3 == 0, false}
					cols, n, err := late.Begin(t.Context(), first)
					if err != nil {
						t.Fatal(err)
					}
					if want == nil {
						if n != 0 {
							t.Fatalf("%d rows too many", n)
						}
						break
					}
					var sel []int32 // nil: all
					if kind := rng.IntN(8); kind > 0 {
						sel = []int32{}
						for i := range n {
							if kind > 4 && rng.IntN(kind*kind) == 0 || kind == 4 && i == n-1 {
								sel = append(sel, int32(i))
							}
						}
						want = want.Select(sel)
						for i, v := range cols {
							if v != nil {
								cols[i] = vector.Gather(v, sel)
							}
						}
					}
					if err := late.Rest(t.Context(), cols, nil, sel); err != nil {
						t.Fatal(err)
					}
					if want.Rows() == 0 {
						continue
					}
					for i, v := range cols {
						w := want.Col(i)
						if v.Len != w.Len {
							t.Fatalf("column %d: %d rows instead of %d", i, v.Len, w.Len)
						}
						for row := range w.Len {
							if a, b := textAt(w, row), textAt(v, row); a != b {
								t.Fatalf("batch %d, column %d, row %d: %s instead of %s", part, i, row, b, a)
							}
						}
					}
				}
				_ = all.Close()
				_ = r.Close()
			}
		})
	}
}

func textAt(v *vector.Vector, i int) string {
	if v.IsNull(i) {
		return "NULL"
	}
	return fmt.Sprintf("%q", vector.AppendText(nil, v, i, nil))
}
