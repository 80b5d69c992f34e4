package storage

import (
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// Numerics of any precision come back as they were written, narrow where there
// is no NaN and all fit 64 bits.
func TestParquetScaled(t *testing.T) {
	const n = 3000
	for _, c := range []struct {
		precision, scale int
		nulls            bool
		special          string
		form             vector.Form
	}{
		{7, 2, false, "", vector.Scaled},
		{7, 2, true, "NaN", vector.Flat},
		{15, 2, true, "", vector.Scaled},
		{18, 0, false, "-999999999999999999", vector.Scaled},
		{15, 2, true, "NaN", vector.Flat},
		{38, 4, true, "", vector.Scaled},
		{38, 4, false, "12345678901234567890123.4567", vector.Flat},
		{38, 4, true, "NaN", vector.Flat},
	} {
		typ := types.NumericOf(c.precision, c.scale)
		r := rand.New(rand.NewPCG(3, uint64(c.precision)))
		v := build(t, typ, n, func(i int) (string, bool) {
			if i == n/2 && c.special != "" {
				return c.special, true
			}
			if c.nulls && r.IntN(5) == 0 {
				return "", false
			}
			s := strconv.Itoa(r.IntN(2000) - 1000)
			if c.scale > 0 {
				s += "." + strconv.Itoa(10000 + r.IntN(10000))[1:1+c.scale]
			}
			return s, true
		})
		path := filepath.Join(t.TempDir(), "f.parquet")
		writeParquet(t, path, []vector.Field{{Name: "n", Type: typ}}, nil, vector.NewBatch([]*vector.Vector{v}, n))
		plan, err := PlanParquet(t.Context(), []string{path})
		if err != nil {
			t.Fatal(err)
		}
		rd, err := OpenScan(t.Context(), &proto.Scan{Format: "parquet", Columns: []string{"n"}}, plan.Splits, n)
		if err != nil {
			t.Fatal(err)
		}
		b, err := rd.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got := b.Col(0)
		if got.Form != c.form {
			t.Errorf("numeric(%d,%d) with %q: form %d", c.precision, c.scale, c.special, got.Form)
		}
		for i := range n {
			if g, w := textAt(got, i), textAt(v, i); g != w {
				t.Fatalf("numeric(%d,%d) row %d: %s instead of %s", c.precision, c.scale, i, g, w)
			}
		}
		_ = rd.Close()
	}
}
