package function

import (
	"math"
	"math/bits"

	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// Kernels over Scaled vectors compute with the coefficients. What overflows 64
// bits in some row, be it of a NULL, is left to the kernel over Decimals, for the
// whole batch; so a result never depends on the form of the arguments.

// scaledArg is an argument's coefficients, one of a constant.
type scaledArg struct {
	vals  []int64
	scale int32
}

// scaledOf views a Scaled vector or a constant of 64 bits.
func scaledOf(v *vector.Vector) (scaledArg, bool) {
	switch v.Form {
	case vector.Scaled:
		return scaledArg{vector.Values[int64](v), v.Scale}, true
	case vector.Const:
		if d := vector.Values[types.Decimal](v)[0]; narrow(&d) {
			return scaledArg{[]int64{int64(d.Lo)}, d.Scale}, true
		}
	}
	return scaledArg{}, false
}

// overScaled makes an EvalFunc that tries fast where an argument is Scaled. fast
// returns nil for what it cannot do.
func overScaled(fast func(a, b scaledArg, n int) *vector.Vector, wide EvalFunc) EvalFunc {
	return func(c *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
		if (args[0].Form == vector.Scaled || args[1].Form == vector.Scaled) && n > 0 {
			a, aok := scaledOf(args[0])
			b, bok := scaledOf(args[1])
			if aok && bok {
				if out := fast(a, b, n); out != nil {
					return out, nil
				}
			}
		}
		return wide(c, args, n)
	}
}

// overScaled1 is overScaled with one argument.
func overScaled1(fast func(a scaledArg) *vector.Vector, wide EvalFunc) EvalFunc {
	return func(c *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
		if args[0].Form == vector.Scaled && n > 0 {
			if out := fast(scaledArg{vector.Values[int64](args[0]), args[0].Scale}); out != nil {
				return out, nil
			}
		}
		return wide(c, args, n)
	}
}

var numericType = types.T(types.Numeric)

// pow10s are the powers of ten of 64 bits.
var pow10s = func() (p [19]int64) {
	p[0] = 1
	for i := 1; i < len(p); i++ {
		p[i] = 10 * p[i-1]
	}
	return p
}()

// magBits returns the bits that the magnitudes of vals need.
func magBits(vals []int64) int {
	var m uint64
	for _, x := range vals {
		m |= uint64(x ^ x>>63)
	}
	if m == math.MaxInt64 {
		return 64 // of -1<<63, whose magnitude has one more
	}
	return bits.Len64(m)
}

// scaledUp returns the coefficients at a scale that is not below theirs; false if
// some do not fit.
func (a scaledArg) scaledUp(scale int32) ([]int64, bool) {
	d := scale - a.scale
	switch {
	case d == 0:
		return a.vals, true
	case int(d) >= len(pow10s):
		return nil, false
	}
	p := pow10s[d]
	if magBits(a.vals)+bits.Len64(uint64(p)) > 63 {
		return nil, false
	}
	out := make([]int64, len(a.vals))
	for i, x := range a.vals {
		out[i] = x * p
	}
	return out, true
}

// common returns the coefficients of both at the larger scale.
func common(a, b scaledArg) (x, y []int64, scale int32, ok bool) {
	scale = max(a.scale, b.scale)
	if x, ok = a.scaledUp(scale); ok {
		y, ok = b.scaledUp(scale)
	}
	return x, y, scale, ok
}

func addScaled(a, b scaledArg, n int) *vector.Vector {
	x, y, scale, ok := common(a, b)
	if !ok || scale > mulScale {
		return nil
	}
	if len(x) < n {
		x, y = y, x
	}
	out := vector.NewScaled(numericType, n, scale)
	if addInts(x, y, vector.Values[int64](out)) < 0 {
		return nil
	}
	return out
}

func subScaled(a, b scaledArg, n int) *vector.Vector {
	x, y, scale, ok := common(a, b)
	if !ok || scale > mulScale {
		return nil
	}
	out := vector.NewScaled(numericType, n, scale)
	dst := vector.Values[int64](out)
	var bad int64
	if len(x) < n {
		c := x[0]
		for i, z := range y[:n] {
			r := c - z
			dst[i] = r
			bad |= (c ^ z) & (c ^ r)
		}
	} else {
		bad = subInts(x, y, dst)
	}
	if bad < 0 {
		return nil
	}
	return out
}

func mulScaled(a, b scaledArg, n int) *vector.Vector {
	scale := a.scale + b.scale
	if scale > mulScale {
		return nil
	}
	x, y := a.vals, b.vals
	if len(x) < n {
		x, y = y, x
	}
	x = x[:n]
	out := vector.NewScaled(numericType, n, scale)
	dst := vector.Values[int64](out)[:n]
	var mx, my uint64 // bits of the magnitudes
	if len(y) < n {
		c := y[0]
		my = uint64(c ^ c>>63)
		for i, z := range x {
			dst[i] = z * c
			mx |= uint64(z ^ z>>63)
		}
	} else {
		y = y[:n]
		for i, z := range x {
			w := y[i]
			dst[i] = z * w
			mx |= uint64(z ^ z>>63)
			my |= uint64(w ^ w>>63)
		}
	}
	if bits.Len64(mx)+bits.Len64(my) <= 62 {
		return out
	}
	m := -1
	if len(y) < n {
		m = 0
	}
	for i, z := range x {
		if _, ok := mul64(z, y[i&m]); !ok {
			return nil
		}
	}
	return out
}

func negScaled(a scaledArg) *vector.Vector {
	out := vector.NewScaled(numericType, len(a.vals), a.scale)
	dst := vector.Values[int64](out)
	var bad int64
	for i, x := range a.vals {
		dst[i] = -x
		bad |= x & -x
	}
	if bad < 0 {
		return nil
	}
	return out
}

func absScaled(a scaledArg) *vector.Vector {
	out := vector.NewScaled(numericType, len(a.vals), a.scale)
	dst := vector.Values[int64](out)
	var bad int64
	for i, x := range a.vals {
		r := x ^ x>>63 - x>>63
		dst[i] = r
		bad |= r
	}
	if bad < 0 {
		return nil
	}
	return out
}

// roundedTo returns the coefficients at another scale, rounded half away from
// zero; false if some do not fit.
func (a scaledArg) roundedTo(scale int32) ([]int64, bool) {
	if scale >= a.scale {
		return a.scaledUp(scale)
	}
	out := make([]int64, len(a.vals))
	if int(a.scale-scale) >= len(pow10s) {
		return out, a.scale-scale > int32(len(pow10s)) // 10^19 / 2 is below some coefficients
	}
	p := pow10s[a.scale-scale]
	half := p / 2
	for i, x := range a.vals {
		q, r := x/p, x%p
		switch {
		case r >= half:
			q++
		case r <= -half:
			q--
		}
		out[i] = q
	}
	return out, true
}

// roundScaled is round(numeric, int4) by a constant.
func roundScaled(wide EvalFunc) EvalFunc {
	return func(c *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
		if args[0].Form == vector.Scaled && args[1].Form == vector.Const && n > 0 {
			scale := vector.Values[int32](args[1])[0]
			if scale >= 0 && scale <= mulScale {
				a := scaledArg{vector.Values[int64](args[0]), args[0].Scale}
				if vals, ok := a.roundedTo(scale); ok {
					return vector.FromScaled(numericType, vals, scale), nil
				}
			}
		}
		return wide(c, args, n)
	}
}

// compareScaled compares where a is Scaled and b is Scaled or Const; false if it
// cannot.
func compareScaled(op CompareKind, a, b *vector.Vector, res []bool) bool {
	if a.Form != vector.Scaled {
		return false
	}
	switch b.Form {
	case vector.Scaled:
		x, y, _, ok := common(scaledArg{vector.Values[int64](a), a.Scale}, scaledArg{vector.Values[int64](b), b.Scale})
		if ok {
			compareInts(op, x, y, res)
		}
		return ok
	case vector.Const:
		compareScaledConst(op, vector.Values[int64](a), a.Scale, vector.Values[types.Decimal](b)[0], res)
		return true
	}
	return false
}

func compareScaledConst(op CompareKind, vals []int64, scale int32, d types.Decimal, res []bool) {
	c, exact, ok := d.FloorAt(scale)
	switch {
	case !ok: // beyond all coefficients, or NaN, which is greater than all
		if holds(op, -d.Sign()) {
			for i := range res {
				res[i] = true
			}
		}
		return
	case exact:
	case op == EQ || op == NE:
		for i := range res {
			res[i] = op == NE
		}
		return
	case op == LT: // below something between c and c+1
		op = LE
	case op == GE:
		op = GT
	}
	compareIntConst(op, vals, c, res)
}

// castScaled casts a Scaled vector; nil if that takes Decimals.
func castScaled(v *vector.Vector, to types.Type) *vector.Vector {
	a := scaledArg{vector.Values[int64](v), v.Scale}
	switch to.ID {
	case types.Numeric:
		p, s, limited := to.PrecisionScale()
		switch {
		case !limited:
			return v.Retype(to)
		case s < 0 || s > mulScale:
			return nil
		}
		vals, ok := a.roundedTo(int32(s))
		if !ok {
			return nil
		}
		if p < len(pow10s) {
			bad, top := false, uint64(pow10s[p])
			for _, x := range vals {
				bad = bad || uint64(x)+top-1 > 2*top-2
			}
			if bad {
				return nil
			}
		}
		if int32(s) == v.Scale {
			return v.Retype(to)
		}
		return vector.FromScaled(to, vals, int32(s))
	case types.Int8:
		if vals, ok := a.roundedTo(0); ok {
			return vector.FromSlice(to, vals)
		}
	case types.Float8:
		if a.scale > 22 || magBits(a.vals) > 53 {
			return nil
		}
		out := vector.NewDirty(to, v.Len)
		dst, p := vector.Values[float64](out), 1.0
		for range a.scale {
			p *= 10 // exact up to 10^22
		}
		for i, x := range a.vals {
			dst[i] = float64(x) / p // both exact, so rounded once
		}
		return out
	}
	return nil
}
