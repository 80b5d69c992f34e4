package function

import (
	"math"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

func errInput() error { return pgerr.New(pgerr.NumericValueOutOfRange, "input is out of range") }

// checked turns a function of math into one that reports overflow and, where
// zero is reached only by underflow, underflow.
func checked(f func(float64) float64) func(float64) (float64, error) {
	return func(x float64) (float64, error) {
		r := f(x)
		if isInf(r) && !isInf(x) {
			return 0, errOverflow()
		}
		return r, nil
	}
}

// domain restricts f to [lo, hi].
func domain(lo, hi float64, f func(float64) float64) func(float64) (float64, error) {
	return func(x float64) (float64, error) {
		if x < lo || x > hi {
			return 0, errInput()
		}
		return f(x), nil
	}
}

// circular refuses the infinities.
func circular(f func(float64) float64) func(float64) (float64, error) {
	return func(x float64) (float64, error) {
		if isInf(x) {
			return 0, errInput()
		}
		r := f(x)
		if isInf(r) {
			return 0, errOverflow()
		}
		return r, nil
	}
}

func sqrtFloat(x float64) (float64, error) {
	if x < 0 {
		return 0, pgerr.New(pgerr.InvalidArgumentForPower, "cannot take square root of a negative number")
	}
	return math.Sqrt(x), nil
}

func cbrtFloat(x float64) (float64, error) { return math.Cbrt(x), nil }

func expFloat(x float64) (float64, error) {
	r := math.Exp(x)
	switch {
	case isInf(r) && !isInf(x):
		return 0, errOverflow()
	case r == 0 && !isInf(x):
		return 0, errUnderflow()
	}
	return r, nil
}

func logarithm(f func(float64) float64) func(float64) (float64, error) {
	return func(x float64) (float64, error) {
		switch {
		case x == 0:
			return 0, pgerr.New(pgerr.InvalidArgumentForLog, "cannot take logarithm of zero")
		case x < 0:
			return 0, pgerr.New(pgerr.InvalidArgumentForLog, "cannot take logarithm of a negative number")
		}
		return f(x), nil
	}
}

func powFloat(x, y float64) (float64, error) {
	switch {
	case x == 0 && y < 0:
		return 0, pgerr.New(pgerr.InvalidArgumentForPower, "zero raised to a negative power is undefined")
	case x < 0 && finite(x) && finite(y) && y != math.Trunc(y):
		return 0, pgerr.New(pgerr.InvalidArgumentForPower, "a negative number raised to a non-integer power yields a complex result")
	}
	r := math.Pow(x, y)
	switch {
	case !finite(x) || !finite(y):
	case isInf(r):
		return 0, errOverflow()
	case r == 0 && x != 0:
		return 0, errUnderflow()
	}
	return r, nil
}

// degreesOf computes trigonometry in degrees, exact at the multiples of 15 and
// 30 degrees that have short results.
func sinDegrees(x float64) float64 {
	x = math.Mod(x, 360)
	sign := 1.0
	if x < 0 {
		x, sign = -x, -1
	}
	if x > 180 {
		x, sign = 360-x, -sign
	}
	if x > 90 {
		x = 180 - x
	}
	switch x {
	case 0:
		return 0 * sign
	case 30:
		return 0.5 * sign
	case 90:
		return sign
	}
	return sign * math.Sin(x*math.Pi/180)
}

func cosDegrees(x float64) float64 {
	x = math.Abs(math.Mod(x, 360))
	sign := 1.0
	if x > 180 {
		x = 360 - x
	}
	if x > 90 {
		x, sign = 180-x, -1
	}
	switch x {
	case 0:
		return sign
	case 60:
		return 0.5 * sign
	case 90:
		return 0
	}
	return sign * math.Cos(x*math.Pi/180)
}

func tanDegrees(x float64) float64 {
	switch r := math.Mod(x, 180); r {
	case 45, -135:
		return 1
	case -45, 135:
		return -1
	case 0:
		return 0
	}
	return sinDegrees(x) / cosDegrees(x)
}

func gcd(a, b int64) uint64 {
	x, y := magnitude(a), magnitude(b)
	for y != 0 {
		x, y = y, x%y
	}
	return x
}

func magnitude(a int64) uint64 {
	if a < 0 {
		return -uint64(a)
	}
	return uint64(a)
}

func gcdOf[T signed](id types.ID, limit uint64) func(a, b T) (T, error) {
	return func(a, b T) (T, error) {
		g := gcd(int64(a), int64(b))
		if g > limit {
			return 0, errRange(types.T(id))
		}
		return T(g), nil
	}
}

func lcmOf[T signed](id types.ID, limit uint64) func(a, b T) (T, error) {
	return func(a, b T) (T, error) {
		if a == 0 || b == 0 {
			return 0, nil
		}
		x := magnitude(int64(a)) / gcd(int64(a), int64(b))
		y := magnitude(int64(b))
		p := x * y
		if p/y != x || p > limit {
			return 0, errRange(types.T(id))
		}
		return T(p), nil
	}
}

func factorial(n int64) (types.Decimal, error) {
	if n < 0 {
		return types.Decimal{}, pgerr.New(pgerr.NumericValueOutOfRange, "factorial of a negative number is undefined")
	}
	if n > 100 {
		return types.Decimal{}, pgerr.New(pgerr.NumericValueOutOfRange, "value overflows numeric format")
	}
	d := types.DecimalFromInt64(1)
	var err error
	for i := int64(2); i <= n && err == nil; i++ {
		d, err = d.Mul(types.DecimalFromInt64(i))
	}
	return d, err
}

// widthBucket is width_bucket for float8.
func widthBucket(r *row) (int32, bool, error) {
	x, lo, hi, count := r.f64(0), r.f64(1), r.f64(2), int32(r.int(3))
	fail := func(format string) (int32, bool, error) {
		return 0, false, pgerr.New("2201G", "%s", format)
	}
	switch {
	case count <= 0:
		return fail("count must be greater than zero")
	case x != x || lo != lo || hi != hi:
		return fail("operand, lower bound, and upper bound cannot be NaN")
	case isInf(lo) || isInf(hi):
		return fail("lower and upper bounds must be finite")
	case lo == hi:
		return fail("lower bound cannot equal upper bound")
	}
	below, above := x < lo, x >= hi
	if lo > hi {
		below, above = x > lo, x <= hi
	}
	switch {
	case below:
		return 0, true, nil
	case above:
		if count == math.MaxInt32 {
			return 0, false, errRange(types.T(types.Int4))
		}
		return count + 1, true, nil
	}
	return int32(float64(count)*((x-lo)/(hi-lo))) + 1, true, nil
}

func widthBucketNumeric(r *row) (int32, bool, error) {
	x, lo, hi, count := r.dec(0), r.dec(1), r.dec(2), int64(r.int(3))
	fail := func(format string) (int32, bool, error) {
		return 0, false, pgerr.New("2201G", "%s", format)
	}
	c := lo.Cmp(hi)
	switch {
	case count <= 0:
		return fail("count must be greater than zero")
	case x.NaN || lo.NaN || hi.NaN:
		return fail("operand, lower bound, and upper bound cannot be NaN")
	case c == 0:
		return fail("lower bound cannot equal upper bound")
	}
	if c > 0 {
		x, lo, hi = x.Neg(), lo.Neg(), hi.Neg()
	}
	switch {
	case x.Cmp(lo) < 0:
		return 0, true, nil
	case x.Cmp(hi) >= 0:
		return int32(count + 1), true, nil
	}
	num, err := x.Sub(lo)
	if err != nil {
		return 0, false, err
	}
	if num, err = num.Mul(types.DecimalFromInt64(count)); err != nil {
		return 0, false, err
	}
	den, err := hi.Sub(lo)
	if err != nil {
		return 0, false, err
	}
	q, err := num.DivTrunc(den)
	if err != nil {
		return 0, false, err
	}
	b, err := q.Int32()
	return b + 1, true, err
}

func pure(f func(float64) float64) EvalFunc { return unary(types.Float8, f) }

func fallible(f func(float64) (float64, error)) EvalFunc { return unaryErr(types.Float8, f) }

func noError(f func(types.Decimal) types.Decimal) EvalFunc { return unary(types.Numeric, f) }

func registerMath(r *registry) {
	inf := math.Inf(1)
	r.scalar("abs(float4) float4", unary(types.Float4, func(x float32) float32 { return float32(math.Abs(float64(x))) }))
	r.op("@(float4) float4", unary(types.Float4, func(x float32) float32 { return float32(math.Abs(float64(x))) }))
	r.scalar("abs(float8) float8", pure(math.Abs), doc("absolute value"))
	r.op("@(float8) float8", pure(math.Abs))
	r.scalar("abs(numeric) numeric", overScaled1(absScaled, noError(types.Decimal.Abs)))
	r.op("@(numeric) numeric", overScaled1(absScaled, noError(types.Decimal.Abs)))
	r.scalar("ceil(float8) float8", pure(math.Ceil), doc("nearest integer >= value"))
	r.scalar("ceiling(float8) float8", pure(math.Ceil))
	r.scalar("ceil(numeric) numeric", unaryErr(types.Numeric, types.Decimal.Ceil))
	r.scalar("ceiling(numeric) numeric", unaryErr(types.Numeric, types.Decimal.Ceil))
	r.scalar("floor(float8) float8", pure(math.Floor), doc("nearest integer <= value"))
	r.scalar("floor(numeric) numeric", unaryErr(types.Numeric, types.Decimal.Floor))
	r.scalar("round(float8) float8", pure(math.RoundToEven), doc("round to nearest integer"))
	r.scalar("round(numeric) numeric", unaryErr(types.Numeric, func(d types.Decimal) (types.Decimal, error) { return d.Round(0) }))
	r.scalar("round(numeric,int4) numeric", roundScaled(binaryErr(types.Numeric, func(d types.Decimal, s int32) (types.Decimal, error) { return d.Round(int(s)) })))
	r.scalar("trunc(float8) float8", pure(math.Trunc), doc("truncate to integer"))
	r.scalar("trunc(numeric) numeric", noError(func(d types.Decimal) types.Decimal { return d.Trunc(0) }))
	r.scalar("trunc(numeric,int4) numeric", binary(types.Numeric, func(d types.Decimal, s int32) types.Decimal { return d.Trunc(int(s)) }))
	r.scalar("sign(float8) float8", pure(func(x float64) float64 {
		switch {
		case x > 0:
			return 1
		case x < 0:
			return -1
		}
		return 0
	}))
	r.scalar("sign(numeric) numeric", noError(func(d types.Decimal) types.Decimal {
		if d.NaN {
			return d
		}
		return types.DecimalFromInt64(int64(d.Sign()))
	}))
	r.scalar("sqrt(float8) float8", fallible(sqrtFloat))
	r.scalar("sqrt(numeric) numeric", unaryErr(types.Numeric, types.Decimal.Sqrt))
	r.scalar("cbrt(float8) float8", fallible(cbrtFloat))
	r.scalar("exp(float8) float8", fallible(expFloat))
	r.scalar("exp(numeric) numeric", unaryErr(types.Numeric, types.Decimal.Exp))
	r.scalar("ln(float8) float8", fallible(logarithm(math.Log)), doc("natural logarithm"))
	r.scalar("ln(numeric) numeric", unaryErr(types.Numeric, types.Decimal.Ln))
	r.scalar("log(float8) float8", fallible(logarithm(math.Log10)), doc("base 10 logarithm"))
	r.scalar("log(numeric) numeric", unaryErr(types.Numeric, types.Decimal.Log10))
	r.scalar("log10(float8) float8", fallible(logarithm(math.Log10)))
	r.scalar("log10(numeric) numeric", unaryErr(types.Numeric, types.Decimal.Log10))
	r.scalar("log(numeric,numeric) numeric", binaryErr(types.Numeric, types.Decimal.LogBase), doc("logarithm base m of n"))
	for _, name := range []string{"power", "pow"} {
		r.scalar(name+"(float8,float8) float8", binaryErr(types.Float8, powFloat))
		r.scalar(name+"(numeric,numeric) numeric", binaryErr(types.Numeric, types.Decimal.Pow))
	}
	r.scalar("mod(numeric,numeric) numeric", binaryErr(types.Numeric, types.Decimal.Mod))
	r.scalar("div(numeric,numeric) numeric", binaryErr(types.Numeric, types.Decimal.DivTrunc), doc("trunc(x/y)"))
	for name, f := range map[string]func(float64) (float64, error){
		"sin": circular(math.Sin), "cos": circular(math.Cos), "tan": circular(math.Tan),
		"cot":  circular(func(x float64) float64 { return 1 / math.Tan(x) }),
		"asin": domain(-1, 1, math.Asin), "acos": domain(-1, 1, math.Acos),
		"sind": circular(sinDegrees), "cosd": circular(cosDegrees), "tand": circular(tanDegrees),
		"sinh": checkedNone(math.Sinh), "cosh": checkedNone(math.Cosh), "tanh": checkedNone(math.Tanh),
		"asinh": checkedNone(math.Asinh), "acosh": domain(1, inf, math.Acosh), "atanh": domain(-1, 1, math.Atanh),
		"degrees": checked(func(x float64) float64 { return x / (math.Pi / 180) }),
	} {
		r.scalar(name+"(float8) float8", fallible(f))
	}
	r.scalar("atan(float8) float8", pure(math.Atan))
	r.scalar("radians(float8) float8", pure(func(x float64) float64 { return x * (math.Pi / 180) }))
	r.scalar("atan2(float8,float8) float8", binary(types.Float8, math.Atan2))
	r.scalar("pi() float8", func(_ *Ctx, _ []*vector.Vector, n int) (*vector.Vector, error) {
		return vector.NewConst(vector.FromSlice(types.T(types.Float8), []float64{math.Pi}), n), nil
	})
	r.scalar("gcd(int4,int4) int4", binaryErr(types.Int4, gcdOf[int32](types.Int4, math.MaxInt32)))
	r.scalar("gcd(int8,int8) int8", binaryErr(types.Int8, gcdOf[int64](types.Int8, math.MaxInt64)))
	r.scalar("lcm(int4,int4) int4", binaryErr(types.Int4, lcmOf[int32](types.Int4, math.MaxInt32)))
	r.scalar("lcm(int8,int8) int8", binaryErr(types.Int8, lcmOf[int64](types.Int8, math.MaxInt64)))
	r.scalar("factorial(int8) numeric", unaryErr(types.Numeric, factorial))
	r.scalar("width_bucket(float8,float8,float8,int4) int4", toFixed(types.Int4, widthBucket))
	r.scalar("width_bucket(numeric,numeric,numeric,int4) int4", toFixed(types.Int4, widthBucketNumeric))
	r.scalar("isnan(float8) bool", unary(types.Bool, func(x float64) bool { return x != x }), doc("is the value not a number"))
	r.scalar("scale(numeric) int4", toFixed(types.Int4, func(r *row) (int32, bool, error) {
		d := r.dec(0)
		return d.Scale, !d.NaN, nil
	}))
	r.scalar("trim_scale(numeric) numeric", noError(types.Decimal.Normalize))
}

// checkedNone takes f as it is: Postgres lets these overflow to infinity.
func checkedNone(f func(float64) float64) func(float64) (float64, error) {
	return func(x float64) (float64, error) { return f(x), nil }
}
