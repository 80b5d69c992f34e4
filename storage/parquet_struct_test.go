package storage

import (
	"context"
	"strings"
	"testing"

	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// TestParquetStructures reads testdata/structures.parquet, which DuckDB wrote: rows
// 1 to 8 with structures that are NULL, or have fields that are, within another,
// with lists in them, and as elements of lists and maps.
func TestParquetStructures(t *testing.T) {
	want := map[string]string{
		"s":   `(1,x1,) (2,x2,"(1,""{2,NULL,3}"")") (,x3,) (4,x4,"(2,""{4,NULL,5}"")") NULL (,x6,"(3,""{6,NULL,7}"")") (7,x7,) (8,x8,"(4,""{8,NULL,9}"")")`,
		"ls":  `{} {"(2,v2)",NULL,"(,)"} {"(3,v3)",NULL,"(,)"} NULL {} {"(6,v6)",NULL,"(,)"} {"(7,v7)",NULL,"(,)"} NULL`,
		"m":   `{"(a,1)","(b,2)"} {"(a,2)","(b,4)"} {"(a,3)","(b,6)"} {"(a,4)","(b,8)"} {"(a,5)","(b,10)"} {"(a,6)","(b,12)"} {"(a,7)","(b,14)"} {"(a,8)","(b,16)"}`,
		"one": `(1) (2) (3) (4) (5) (6) (7) (8)`,
		"lz":  `{(1)} {(2)} {(3)} {(4)} {(5)} {(6)} {(7)} {(8)}`,
	}
	p, err := PlanParquet(context.Background(), []string{"testdata/structures.parquet"})
	if err != nil {
		t.Fatal(err)
	}
	for col, w := range want {
		for _, batch := range []int{1, 3, 100} {
			r, err := OpenScan(t.Context(), &proto.Scan{Format: "parquet", Columns: []string{col}}, p.Splits, batch)
			if err != nil {
				t.Fatal(err)
			}
			var rows []string
			for {
				b, err := r.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if b == nil {
					break
				}
				for i := range b.Rows() {
					if v := b.Col(0); v.IsNull(i) {
						rows = append(rows, "NULL")
					} else {
						rows = append(rows, string(vector.AppendText(nil, v, i, nil)))
					}
				}
			}
			_ = r.Close()
			if got := strings.Join(rows, " "); got != w {
				t.Errorf("%s in batches of %d: %s", col, batch, got)
			}
		}
	}
	for _, f := range p.Schema {
		if f.Name == "s" {
			if fs, ok := f.Type.RowFields(); !ok || len(fs) != 3 || fs[1].Name != "b" || fs[1].Type.ID != types.Text || fs[2].Type.ID != types.Record {
				t.Errorf("the fields of s are %v", fs)
			}
		}
	}
}
