package udf

import (
	"context"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

var benchWeights = [10]float64{0.1, -0.2, 0.3, -0.4, 0.5, -0.6, 0.7, -0.8, 0.9, -1}

// plainScore is scoreRow of testdata/plugin.
func plainScore(g [][]float64, out []float64) {
	w := &benchWeights
	g1, g2, g3, g4, g5, g6, g7, g8, g9, g10 := g[1], g[2], g[3], g[4], g[5], g[6], g[7], g[8], g[9], g[10]
	for i := range out {
		z := w[0]*g1[i] + w[1]*g2[i] + w[2]*g3[i] + w[3]*g4[i] + w[4]*g5[i] + w[5]*g6[i] + w[6]*g7[i] + w[7]*g8[i] + w[8]*g9[i] + w[9]*g10[i]
		out[i] = 1 / (1 + math.Exp(-z))
	}
}

// BenchmarkScore is the logistic score of 11 float8 columns in batches of 16k
// rows: as a plain loop that allocates its output, and through a child process.
// The batches differ, so that they come from memory.
func BenchmarkScore(b *testing.B) {
	const rows, batches = 16384, 32
	data := make([][][]float64, batches)
	vecs := make([][]*vector.Vector, batches)
	for k := range data {
		data[k] = make([][]float64, 11)
		vecs[k] = make([]*vector.Vector, 11)
		for c := range data[k] {
			col := make([]float64, rows)
			for i := range col {
				col[i] = float64((i*(c+7)+k)%1000) / 500
			}
			data[k][c] = col
			vecs[k][c] = floats(col...)
		}
	}
	perRow := func(b *testing.B) { b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/row") }
	b.Run("plain", func(b *testing.B) {
		for i := range b.N {
			plainScore(data[i%batches], make([]float64, rows))
		}
		perRow(b)
	})
	for _, plain := range []bool{false, true} {
		b.Run(fmt.Sprintf("child/socket=%v", plain), func(b *testing.B) {
			h := testHost(b, func(c *HostConfig) { c.NoSharedMemory = plain })
			args := make([]types.ID, 11)
			for i := range args {
				args[i] = types.Float8
			}
			ctx := context.Background()
			s, err := h.Scalar(ctx, scalarRef("score_row", types.Float8, args...))
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			for i := 0; i < batches; i++ {
				if _, err := s.Call(ctx, vecs[i], rows); err != nil {
					b.Fatal(err)
				}
			}
			b.ResetTimer()
			for i := range b.N {
				if _, err := s.Call(ctx, vecs[i%batches], rows); err != nil {
					b.Fatal(err)
				}
			}
			perRow(b)
		})
	}
}

// BenchmarkRowFunction is a cheap function of one row, typed and by reflection.
func BenchmarkRowFunction(b *testing.B) {
	const rows = 16384
	h := testHost(b, nil)
	ctx := context.Background()
	for _, c := range []struct {
		symbol string
		ret    types.ID
		args   []*vector.Vector
	}{
		{"add", types.Float8, []*vector.Vector{vector.New(types.T(types.Float8), rows), vector.New(types.T(types.Float8), rows)}},
		{"upper", types.Text, []*vector.Vector{vector.NewConst(texts("some text"), rows)}},
		{"slow_path", types.Text, []*vector.Vector{vector.New(types.T(types.Int2), rows), vector.New(types.T(types.Float4), rows), vector.New(types.T(types.Bool), rows)}},
	} {
		b.Run(c.symbol, func(b *testing.B) {
			var ids []types.ID
			for _, a := range c.args {
				ids = append(ids, a.Type.ID)
			}
			s, err := h.Scalar(ctx, scalarRef(c.symbol, c.ret, ids...))
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			begin := time.Now()
			for range b.N {
				if _, err := s.Call(ctx, c.args, rows); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(time.Since(begin).Nanoseconds())/float64(b.N)/rows, "ns/row")
		})
	}
}
