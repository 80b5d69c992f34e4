package udffuncs

import (
	"math"

	"github.com/volleydb/volley/udf/sdk"
)

// Lin is the cheapest function there is.
func Lin(x float64) float64 { return x*2 + 1 }

// LinVector is Lin over a column.
func LinVector(x, out []float64) {
	for i, v := range x {
		out[i] = v*2 + 1
	}
}

// Bias and Weights are a model.
const Bias = -0.3

var Weights = [8]float64{0.8, -1.1, 0.45, 0.2, -0.65, 1.3, -0.15, 0.7}

// Score is a logistic regression.
func Score(g1, g2, g3, g4, g5, g6, g7, g8 float64) float64 {
	w := &Weights
	return 1 / (1 + math.Exp(-(Bias + w[0]*g1 + w[1]*g2 + w[2]*g3 + w[3]*g4 + w[4]*g5 + w[5]*g6 + w[6]*g7 + w[7]*g8)))
}

// ScoreVector is Score over columns.
func ScoreVector(g1, g2, g3, g4, g5, g6, g7, g8, out []float64) {
	w := &Weights
	for i := range out {
		z := Bias + w[0]*g1[i] + w[1]*g2[i] + w[2]*g3[i] + w[3]*g4[i] + w[4]*g5[i] + w[5]*g6[i] + w[6]*g7[i] + w[7]*g8[i]
		out[i] = 1 / (1 + math.Exp(-z))
	}
}

// lower is the lower-case form of bytes, 0 for ASCII characters that are neither
// letters nor digits.
var lower = func() (t [256]byte) {
	for c := range 256 {
		switch {
		case 'A' <= c && c <= 'Z':
			t[c] = byte(c) | 0x20
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c >= 0x80:
			t[c] = byte(c)
		}
	}
	return t
}()

// normalize writes the normal form of s to dst, which is as long, and returns its
// length.
func normalize(dst []byte, s string) (n int) {
	gap := false
	for i := 0; i < len(s); i++ {
		c := lower[s[i]]
		if c == 0 {
			gap = n > 0
			continue
		}
		if gap {
			dst[n] = ' '
			n++
			gap = false
		}
		dst[n] = c
		n++
	}
	return n
}

// Norm lower-cases ASCII letters and makes one space of every run of other ASCII
// characters that are no digits, none at the ends.
func Norm(s string) string {
	var buf [64]byte
	dst := buf[:]
	if len(s) > len(buf) {
		dst = make([]byte, len(s))
	}
	return string(dst[:normalize(dst, s)])
}

// NormVector is Norm over a column.
func NormVector(s, out []string) {
	for i, x := range s {
		out[i] = Norm(x)
	}
}

// Moments are what Stats emits for a group.
type Moments struct {
	n          int64
	sum, above float64
}

// Stats is a grouped map that reads its group once, in batches: the number of rows,
// their sum, and the sum of what is above 0.5.
func Stats(_ *udf.Context, g *udf.Group) error {
	var m Moments
	for g.Next() {
		m.Add(g.Float64("x"))
	}
	g.Emit(m.n, m.sum, m.above)
	return nil
}

// Add takes more rows of a group.
func (m *Moments) Add(x []float64) {
	m.n += int64(len(x))
	for _, v := range x {
		m.sum += v
		if v > 0.5 {
			m.above += v
		}
	}
}

// Values are what m holds.
func (m *Moments) Values() (n int64, sum, above float64) { return m.n, m.sum, m.above }

// Burn computes for rounds steps, each of which needs the one before. Inlined
// with a constant x of 1 it would be an empty loop: 1 is what it comes to.
//
//go:noinline
func Burn(x float64, rounds int64) float64 {
	for range rounds {
		x = x*0.999999 + 1e-6
	}
	return x
}

// Decls are the functions of the benchmark.
func Decls() []udf.Decl {
	return []udf.Decl{
		udf.Vector("lin", LinVector, udf.Immutable), udf.Vector("score", ScoreVector, udf.Immutable), udf.Vector("norm", NormVector, udf.Immutable),
		udf.Scalar("lin_row", Lin), udf.Scalar("score_row", Score), udf.Scalar("norm_row", Norm),
		udf.Scalar2("burn", Burn),
		udf.GroupedMap("stats", []udf.Column{{Name: "x", Type: udf.Float64}},
			[]udf.Column{{Name: "n", Type: udf.Int64}, {Name: "total", Type: udf.Float64}, {Name: "above", Type: udf.Float64}}, Stats),
	}
}
