package function

import (
	"bytes"
	"math"
	"math/bits"
	"strconv"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// arrayFill is array_fill(value, {n}), with a lower bound of 1.
func arrayFill(c *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
	b := vector.NewBuilder(types.ListOf(args[0].Type), n)
	r := row{c: c, args: args}
	for i := range n {
		r.i = i
		if r.null(1) || len(args) > 2 && r.null(2) {
			return nil, pgerr.New(pgerr.NullValueNotAllowed, "dimension array or low bound array cannot be null")
		}
		from, to := args[1].ListAt(i)
		dims := args[1].Child
		if from == to {
			b.EndList()
			continue
		}
		if to-from > 1 {
			return nil, pgerr.New(pgerr.FeatureNotSupported, "multidimensional arrays are not supported")
		}
		if dims.IsNull(from) {
			return nil, pgerr.New(pgerr.NullValueNotAllowed, "dimension values cannot be null")
		}
		if len(args) > 2 {
			lf, lt := args[2].ListAt(i)
			if lt-lf != 1 {
				return nil, pgerr.New(pgerr.ArraySubscriptError, "wrong number of array subscripts").WithDetail("Low bound array has different size than dimensions array.")
			}
			if low := vector.At[int32](args[2].Child, lf); low != 1 {
				return nil, pgerr.New(pgerr.FeatureNotSupported, "arrays with a lower bound of %d are not supported", low)
			}
		}
		size := vector.At[int32](dims, from)
		if size < 0 || size > 1<<27-1 {
			return nil, pgerr.New(pgerr.ProgramLimitExceeded, "array size exceeds the maximum allowed (134217727)")
		}
		for range size {
			b.Elems().AppendFrom(args[0], i)
		}
		b.EndList()
	}
	return b.Build(), nil
}

func trimArray(b *vector.Builder, r *row) error {
	if r.null(0) || r.null(1) {
		b.AppendNull()
		return nil
	}
	from, to := r.args[0].ListAt(r.i)
	n := r.int(1)
	if n < 0 || n > to-from {
		return pgerr.New(pgerr.ArraySubscriptError, "number of elements to trim must be between 0 and %d", to-from)
	}
	for e := from; e < to-n; e++ {
		b.Elems().AppendFrom(r.args[0].Child, e)
	}
	b.EndList()
	return nil
}

func arrayDims(dst []byte, r *row) ([]byte, bool, error) {
	n := r.listLen(0)
	if n == 0 {
		return dst, false, nil
	}
	low := lowerBound(r.args[0].Type)
	dst = append(strconv.AppendInt(append(dst, '['), int64(low), 10), ':')
	return append(strconv.AppendInt(dst, int64(low+n-1), 10), ']'), true, nil
}

// widthBucketArray counts the thresholds, which are in order, up to the operand.
func widthBucketArray(_ *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
	x, arr := args[0], args[1]
	cmp := comparer(x.Type)
	if cmp == nil {
		return nil, errNoOrder(x.Type)
	}
	out := vector.New(types.T(types.Int4), n)
	res := vector.Values[int32](out)
	for i := range res {
		if x.IsNull(i) || arr.IsNull(i) {
			continue
		}
		from, to := arr.ListAt(i)
		lo, hi := from, to
		for lo < hi {
			mid := (lo + hi) / 2
			if arr.Child.IsNull(mid) {
				return nil, pgerr.New(pgerr.NullValueNotAllowed, "thresholds array must not contain NULLs")
			}
			if cmp(x, i, arr.Child, mid) < 0 {
				hi = mid
			} else {
				lo = mid + 1
			}
		}
		res[i] = int32(lo - from)
	}
	return out, nil
}

// countNulls counts the arguments that are NULL, or are not.
func countNulls(null bool) EvalFunc {
	return func(_ *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
		out := vector.New(types.T(types.Int4), n)
		res := vector.Values[int32](out)
		for _, a := range args {
			for i := range res {
				if a.IsNull(i) == null {
					res[i]++
				}
			}
		}
		return out, nil
	}
}

// minScale is the least scale that holds the value.
func minScale(r *row) (int32, bool, error) {
	d := r.dec(0)
	return d.Normalize().Scale, !d.NaN, nil
}

func registerMoreArrays(r *registry) {
	r.scalar("array_fill(anyelement,int4[]) anyarray", arrayFill, called, doc("array constructor with value"))
	r.scalar("array_fill(anyelement,int4[],int4[]) anyarray", arrayFill, called, doc("array constructor with value"))
	r.scalar("trim_array(anyarray,int4) anyarray", toList(trimArray), called, doc("remove last N elements of array"))
	r.scalar("array_dims(anyarray) text", toNullableBytes(types.Text, arrayDims), doc("array dimensions"))
	r.scalar("width_bucket(anyelement,anyarray) int4", widthBucketArray, doc("bucket number of operand given a sorted array of bucket lower bounds"))
	r.scalar("num_nulls(variadic any) int4", countNulls(true), called, doc("count the number of NULL arguments"))
	r.scalar("num_nonnulls(variadic any) int4", countNulls(false), called, doc("count the number of non-NULL arguments"))
	r.scalar("min_scale(numeric) int4", toFixed(types.Int4, minScale), doc("minimum scale needed to represent the value"))
	r.scalar("bit_count(bytea) int8", toFixed(types.Int8, func(r *row) (int64, bool, error) {
		n := 0
		for _, c := range r.bytes(0) {
			n += bits.OnesCount8(c)
		}
		return int64(n), true, nil
	}), doc("number of set bits"))
	r.scalar("position(bytea,bytea) int4", toInt4(func(r *row) int { return bytes.Index(r.bytes(0), r.bytes(1)) + 1 }), doc("position of substring"))
	trim := func(left, right bool) EvalFunc {
		return toBytes(types.Bytea, func(dst []byte, r *row) ([]byte, error) {
			s, set := r.bytes(0), r.bytes(1)
			for left && len(s) > 0 && bytes.IndexByte(set, s[0]) >= 0 {
				s = s[1:]
			}
			for right && len(s) > 0 && bytes.IndexByte(set, s[len(s)-1]) >= 0 {
				s = s[:len(s)-1]
			}
			return append(dst, s...), nil
		})
	}
	r.scalar("btrim(bytea,bytea) bytea", trim(true, true))
	r.scalar("ltrim(bytea,bytea) bytea", trim(true, false))
	r.scalar("rtrim(bytea,bytea) bytea", trim(false, true))
	r.scalar("gcd(numeric,numeric) numeric", binaryErr(types.Numeric, gcdNumeric), doc("greatest common divisor"))
	r.scalar("lcm(numeric,numeric) numeric", binaryErr(types.Numeric, func(a, b types.Decimal) (types.Decimal, error) {
		if !a.NaN && !b.NaN && (a.Sign() == 0 || b.Sign() == 0) {
			return types.Decimal{}.Round(int(max(a.Scale, b.Scale)))
		}
		g, err := gcdNumeric(a, b)
		if err != nil || g.NaN {
			return g, err
		}
		q, err := a.DivTrunc(g)
		if err != nil {
			return q, err
		}
		out, err := q.Mul(b)
		if err != nil {
			return out, err
		}
		return out.Abs().Round(int(max(a.Scale, b.Scale)))
	}), doc("least common multiple"))
	for name, f := range map[string]func(float64) (float64, error){
		"cotd":  circular(cotDegrees),
		"asind": domain(-1, 1, asinDegrees), "acosd": domain(-1, 1, acosDegrees),
	} {
		r.scalar(name+"(float8) float8", fallible(f))
	}
	r.scalar("atand(float8) float8", pure(atanDegrees))
	r.scalar("atan2d(float8,float8) float8", binary(types.Float8, atan2Degrees))
	registerRegexpsAt(r)
}

// The inverse functions in degrees are exact at the angles that people name: they
// are scaled by what the function gives there.
func asinDegrees(x float64) float64 {
	switch {
	case x < 0:
		return -asinDegrees(-x)
	case x <= 0.5:
		return math.Asin(x) / math.Asin(0.5) * 30
	}
	return 90 - math.Acos(x)/math.Acos(0.5)*60
}

func acosDegrees(x float64) float64 {
	switch {
	case x < 0:
		return 90 + asinDegrees(-x)
	case x <= 0.5:
		return 90 - math.Asin(x)/math.Asin(0.5)*30
	}
	return math.Acos(x) / math.Acos(0.5) * 60
}

func atanDegrees(x float64) float64 { return math.Atan(x) / math.Atan(1) * 45 }

func atan2Degrees(y, x float64) float64 { return math.Atan2(y, x) / math.Atan(1) * 45 }

func cotDegrees(x float64) float64 { return 1 / tanDegrees(x) }

func gcdNumeric(a, b types.Decimal) (types.Decimal, error) {
	scale := int(max(a.Scale, b.Scale))
	for !a.NaN && !b.NaN && b.Sign() != 0 {
		m, err := a.Mod(b)
		if err != nil {
			return m, err
		}
		a, b = b, m
	}
	if a.NaN || b.NaN {
		return types.Decimal{NaN: true}, nil
	}
	return a.Abs().Round(scale)
}
