package pgwire

import (
	"math"
	"testing"

	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// Scaled numerics are written as Flat ones are, at every scale.
func TestScaledText(t *testing.T) {
	coefs := []int64{0, 1, -1, 9, 10, -99, 100, 12345, -1234567890123, math.MaxInt64, math.MinInt64}
	for scale := range int32(37) {
		v := vector.FromScaled(types.T(types.Numeric), coefs, scale)
		got, want := textNumeric(v), textNumeric(v.Flatten())
		for i := range coefs {
			if g, w := string(got(nil, i)), string(want(nil, i)); g != w {
				t.Errorf("%d at scale %d: %q instead of %q", coefs[i], scale, g, w)
			}
		}
	}
}
