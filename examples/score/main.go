// Score is a logistic regression over ten features, once as a grouped map and
// once as a vectorised scalar function.
package main

import (
	"context"
	"math"

	"github.com/volleydb/volley/udf/sdk"
)

// model is what a training run would leave behind.
type model struct {
	bias    float64
	weights [10]float64
}

// current is made once per process, before the first call, and only read then.
var current *model

func load(context.Context) error {
	current = &model{bias: -0.3, weights: [10]float64{0.8, -1.1, 0.45, 0.2, -0.65, 1.3, -0.15, 0.7, -0.9, 0.25}}
	return nil
}

func sigmoid(z float64) float64 { return 1 / (1 + math.Exp(-z)) }

// predict writes the prediction for every row of ten columns into out.
func (m *model) predict(g *[10][]float64, out []float64) {
	w := &m.weights
	g1, g2, g3, g4, g5, g6, g7, g8, g9, g10 := g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7], g[8], g[9]
	for i := range out {
		z := m.bias + w[0]*g1[i] + w[1]*g2[i] + w[2]*g3[i] + w[3]*g4[i] + w[4]*g5[i] +
			w[5]*g6[i] + w[6]*g7[i] + w[7]*g8[i] + w[8]*g9[i] + w[9]*g10[i]
		out[i] = sigmoid(z)
	}
}

var features = [10]string{"g1", "g2", "g3", "g4", "g5", "g6", "g7", "g8", "g9", "g10"}

// score is the grouped map: the rows of a group come in batches, so that a group
// can be larger than memory, and a prediction goes out for each.
func score(ctx *udf.Context, g *udf.Group) error {
	var cols [10][]float64
	var out []float64
	for g.Next() {
		for i, name := range features {
			cols[i] = g.Float64(name)
		}
		if cap(out) < g.Len() {
			out = make([]float64, g.Len())
		}
		out = out[:g.Len()]
		current.predict(&cols, out)
		g.EmitColumns(g.Int64("user_id"), out)
	}
	return nil
}

// scoreRow is the vectorised scalar function: slices in, a slice out.
func scoreRow(g1, g2, g3, g4, g5, g6, g7, g8, g9, g10, out []float64) {
	current.predict(&[10][]float64{g1, g2, g3, g4, g5, g6, g7, g8, g9, g10}, out)
}

func main() {
	in := udf.Columns{udf.Col("user_id", udf.Int64)}
	for _, name := range features {
		in = append(in, udf.Col(name, udf.Float64))
	}
	udf.Main(
		udf.Version("1.0"),
		udf.Init(load),
		udf.GroupedMap("Score", in, udf.Columns{udf.Col("user_id", udf.Int64), udf.Col("prediction", udf.Float64)}, score,
			udf.Immutable, udf.Doc("logistic regression over g1 … g10, by group")),
		udf.Vector("score_row", scoreRow,
			udf.Immutable, udf.Args(features[:]...), udf.Doc("logistic regression over g1 … g10")),
	)
}
