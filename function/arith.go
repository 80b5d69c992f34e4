package function

import (
	"math/bits"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

func errDivisionByZero() error { return pgerr.New(pgerr.DivisionByZero, "division by zero") }

// intLoop computes out[i] = a[i] op b[i] and returns a negative number if some
// row overflowed or must be looked at; b has one element when it is constant.
type intLoop[T signed] func(a, b, out []T) (bad T)

// intOp makes an EvalFunc of a loop. slow computes one row with its error; it
// runs only when the loop reports a bad row.
func intOp[T signed](rt types.ID, loop intLoop[T], slow func(a, b T) (T, error)) EvalFunc {
	return func(_ *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
		out := vector.NewDirty(types.T(rt), n)
		if n == 0 {
			return out, nil
		}
		a, b, dst := args[0], args[1], vector.Values[T](out)
		if a.Form == vector.Const && b.Form != vector.Const {
			a = a.Flatten()
		}
		if b.Form == vector.Const && a.Form == vector.Const {
			dst = dst[:1]
		}
		x, y := vector.Values[T](a), vector.Values[T](b)
		if loop(x[:len(dst)], y, dst) < 0 {
			m := indexMask(b)
			for i := range dst {
				r, err := slow(x[i], y[i&m])
				if err != nil && allValid(args, i) {
					return nil, err
				}
				dst[i] = r
			}
		}
		if len(dst) < n {
			all := vector.Values[T](out)
			for i := range all {
				all[i] = dst[0]
			}
		}
		return out, nil
	}
}

func addInts[T signed](a, b, out []T) (bad T) {
	a = a[:len(out)]
	if len(b) == 1 {
		c := b[0]
		for i := range out {
			r := a[i] + c
			out[i] = r
			bad |= (a[i] ^ r) & (c ^ r)
		}
		return bad
	}
	b = b[:len(out)]
	for i := range out {
		r := a[i] + b[i]
		out[i] = r
		bad |= (a[i] ^ r) & (b[i] ^ r)
	}
	return bad
}

func subInts[T signed](a, b, out []T) (bad T) {
	a = a[:len(out)]
	if len(b) == 1 {
		c := b[0]
		for i := range out {
			r := a[i] - c
			out[i] = r
			bad |= (a[i] ^ c) & (a[i] ^ r)
		}
		return bad
	}
	b = b[:len(out)]
	for i := range out {
		r := a[i] - b[i]
		out[i] = r
		bad |= (a[i] ^ b[i]) & (a[i] ^ r)
	}
	return bad
}

// mulInts multiplies narrow integers in 64 bits.
func mulInts[T int16 | int32](a, b, out []T) (bad T) {
	a = a[:len(out)]
	var lost int64
	if len(b) == 1 {
		c := int64(b[0])
		for i := range out {
			p := int64(a[i]) * c
			r := T(p)
			out[i] = r
			lost |= p ^ int64(r)
		}
	} else {
		b = b[:len(out)]
		for i := range out {
			p := int64(a[i]) * int64(b[i])
			r := T(p)
			out[i] = r
			lost |= p ^ int64(r)
		}
	}
	if lost != 0 {
		return -1
	}
	return 0
}

// mulInt64 takes products of factors of 32 bits as safe and has the others
// looked at.
func mulInt64(a, b, out []int64) (bad int64) {
	a = a[:len(out)]
	var wide uint64
	if len(b) == 1 {
		c := b[0]
		wide = uint64(c + 1<<31)
		for i := range out {
			out[i] = a[i] * c
			wide |= uint64(a[i] + 1<<31)
		}
	} else {
		b = b[:len(out)]
		for i := range out {
			out[i] = a[i] * b[i]
			wide |= uint64(a[i]+1<<31) | uint64(b[i]+1<<31)
		}
	}
	if wide > 1<<32-1 {
		return -1
	}
	return 0
}

func mul64(x, y int64) (int64, bool) {
	r := x * y
	hi, lo := bits.Mul64(uint64(x), uint64(y))
	hi -= uint64(x>>63)&uint64(y) + uint64(y>>63)&uint64(x)
	return r, hi == uint64(int64(lo)>>63)
}

func divInts[T signed](a, b, out []T) (bad T) {
	a = a[:len(out)]
	if len(b) == 1 {
		c := b[0]
		if c == 0 || c == -1 {
			return -1
		}
		for i := range out {
			out[i] = a[i] / c
		}
		return 0
	}
	b = b[:len(out)]
	for i := range out {
		if b[i] == 0 || b[i] == -1 {
			bad = -1
			continue
		}
		out[i] = a[i] / b[i]
	}
	return bad
}

func modInts[T signed](a, b, out []T) (bad T) {
	a = a[:len(out)]
	if len(b) == 1 {
		c := b[0]
		if c == 0 || c == -1 {
			return -1
		}
		for i := range out {
			out[i] = a[i] % c
		}
		return 0
	}
	b = b[:len(out)]
	for i := range out {
		if b[i] == 0 || b[i] == -1 {
			bad = -1
			continue
		}
		out[i] = a[i] % b[i]
	}
	return bad
}

func addInt[T signed](t types.ID) func(a, b T) (T, error) {
	return func(a, b T) (T, error) {
		r := a + b
		if (a^r)&(b^r) < 0 {
			return 0, errRange(types.T(t))
		}
		return r, nil
	}
}

func subInt[T signed](t types.ID) func(a, b T) (T, error) {
	return func(a, b T) (T, error) {
		r := a - b
		if (a^b)&(a^r) < 0 {
			return 0, errRange(types.T(t))
		}
		return r, nil
	}
}

func mulInt[T signed](t types.ID) func(a, b T) (T, error) {
	return func(a, b T) (T, error) {
		p, ok := mul64(int64(a), int64(b))
		if r := T(p); !ok || int64(r) != p {
			return 0, errRange(types.T(t))
		}
		return T(p), nil
	}
}

func divInt[T signed](t types.ID) func(a, b T) (T, error) {
	return func(a, b T) (T, error) {
		switch b {
		case 0:
			return 0, errDivisionByZero()
		case -1:
			if a == -a && a != 0 {
				return 0, errRange(types.T(t))
			}
			return -a, nil
		}
		return a / b, nil
	}
}

func modInt[T signed](a, b T) (T, error) {
	switch b {
	case 0:
		return 0, errDivisionByZero()
	case -1:
		return 0, nil
	}
	return a % b, nil
}

// floatOp makes an EvalFunc of a loop that looks for results to check itself.
func floatOp[T float](rt types.ID, loop func(args []*vector.Vector, a, b, out []T) error) EvalFunc {
	return func(_ *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
		out := vector.NewDirty(types.T(rt), n)
		if n == 0 {
			return out, nil
		}
		a, b, dst := args[0], args[1], vector.Values[T](out)
		if a.Form == vector.Const {
			a = a.Flatten()
		}
		if err := loop(args, vector.Values[T](a), vector.Values[T](b), dst); err != nil {
			return nil, err
		}
		return out, nil
	}
}

// x-x is 0 for all but the infinities and NaN.
func finite[T float](x T) bool { return x-x == 0 }

func isInf[T float](x T) bool { return x == x && x-x != 0 }

func addFloats[T float](args []*vector.Vector, a, b, out []T) error {
	a = a[:len(out)]
	bad := false
	if len(b) == 1 {
		c := b[0]
		for i := range out {
			r := a[i] + c
			out[i] = r
			bad = bad || !finite(r)
		}
	} else {
		b = b[:len(out)]
		for i := range out {
			r := a[i] + b[i]
			out[i] = r
			bad = bad || !finite(r)
		}
	}
	return overflowCheck(bad, args, a, b, out)
}

func subFloats[T float](args []*vector.Vector, a, b, out []T) error {
	a = a[:len(out)]
	bad := false
	if len(b) == 1 {
		c := b[0]
		for i := range out {
			r := a[i] - c
			out[i] = r
			bad = bad || !finite(r)
		}
	} else {
		b = b[:len(out)]
		for i := range out {
			r := a[i] - b[i]
			out[i] = r
			bad = bad || !finite(r)
		}
	}
	return overflowCheck(bad, args, a, b, out)
}

// overflowCheck looks for a valid row with an infinite result of finite arguments.
func overflowCheck[T float](bad bool, args []*vector.Vector, a, b, out []T) error {
	if !bad {
		return nil
	}
	m := constMask(b)
	for i := range out {
		if isInf(out[i]) && !isInf(a[i]) && !isInf(b[i&m]) && allValid(args, i) {
			return errOverflow()
		}
	}
	return nil
}

// constMask is indexMask for a slice that has one element when it is constant.
func constMask[T any](b []T) int {
	if len(b) == 1 {
		return 0
	}
	return -1
}

func mulFloats[T float](args []*vector.Vector, a, b, out []T) error {
	a = a[:len(out)]
	bad := false
	m := constMask(b)
	if m == 0 {
		c := b[0]
		for i := range out {
			r := a[i] * c
			out[i] = r
			bad = bad || !finite(r) || r == 0
		}
	} else {
		b = b[:len(out)]
		for i := range out {
			r := a[i] * b[i]
			out[i] = r
			bad = bad || !finite(r) || r == 0
		}
	}
	if err := overflowCheck(bad, args, a, b, out); err != nil || !bad {
		return err
	}
	for i := range out {
		if out[i] == 0 && a[i] != 0 && b[i&m] != 0 && allValid(args, i) {
			return errUnderflow()
		}
	}
	return nil
}

func divFloats[T float](args []*vector.Vector, a, b, out []T) error {
	a = a[:len(out)]
	bad := false
	m := constMask(b)
	for i := range out {
		r := a[i] / b[i&m]
		out[i] = r
		bad = bad || !finite(r) || r == 0
	}
	if !bad {
		return nil
	}
	for i := range out {
		y, r := b[i&m], out[i]
		if !(finite(r) && r != 0) && allValid(args, i) {
			switch {
			case y == 0 && a[i] == a[i]:
				return errDivisionByZero()
			case isInf(r) && !isInf(a[i]):
				return errOverflow()
			case r == 0 && a[i] != 0 && !isInf(y):
				return errUnderflow()
			}
		}
	}
	return nil
}

// narrow reports that d is a number of 64 bits.
func narrow(d *types.Decimal) bool { return d.Hi == int64(d.Lo)>>63 && !d.NaN }

// safeHi bounds coefficients whose sum cannot reach 10^38.
const safeHi = 1 << 60

func addDecimal(a, b types.Decimal) (types.Decimal, error) {
	if a.Scale == b.Scale && !a.NaN && !b.NaN && uint64(a.Hi+safeHi) < 2*safeHi && uint64(b.Hi+safeHi) < 2*safeHi {
		lo, c := bits.Add64(a.Lo, b.Lo, 0)
		return types.Decimal{Lo: lo, Hi: a.Hi + b.Hi + int64(c), Scale: a.Scale}, nil
	}
	return a.Add(b)
}

func subDecimal(a, b types.Decimal) (types.Decimal, error) {
	if a.Scale == b.Scale && !a.NaN && !b.NaN && uint64(a.Hi+safeHi) < 2*safeHi && uint64(b.Hi+safeHi) < 2*safeHi {
		lo, c := bits.Sub64(a.Lo, b.Lo, 0)
		return types.Decimal{Lo: lo, Hi: a.Hi - b.Hi - int64(c), Scale: a.Scale}, nil
	}
	return a.Sub(b)
}

// mulScale is the most that the scales of a product taken inline add up to.
const mulScale = 30

func mulDecimal(a, b types.Decimal) (types.Decimal, error) {
	if narrow(&a) && narrow(&b) && a.Scale+b.Scale <= mulScale {
		hi, lo := bits.Mul64(a.Lo, b.Lo)
		hi -= uint64(a.Hi)&b.Lo + uint64(b.Hi)&a.Lo // Hi is the sign's mask
		return types.Decimal{Lo: lo, Hi: int64(hi), Scale: a.Scale + b.Scale}, nil
	}
	return a.Mul(b)
}

// widening evaluates over both arguments cast to t.
func widening(t types.ID, eval EvalFunc) EvalFunc {
	return func(c *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
		a, err := castVector(c, args[0], types.T(t), false)
		if err != nil {
			return nil, err
		}
		b, err := castVector(c, args[1], types.T(t), false)
		if err != nil {
			return nil, err
		}
		return eval(c, []*vector.Vector{a, b}, n)
	}
}

func registerArithmetic(r *registry) {
	registerInts(r, "int2", types.Int2, mulInts[int16])
	registerInts(r, "int4", types.Int4, mulInts[int32])
	registerInts(r, "int8", types.Int8, mulInt64)
	type mixed struct{ a, b, wide string }
	for _, m := range []mixed{
		{"int2", "int4", "int4"}, {"int4", "int2", "int4"}, {"int2", "int8", "int8"}, {"int8", "int2", "int8"},
		{"int4", "int8", "int8"}, {"int8", "int4", "int8"}, {"float4", "float8", "float8"}, {"float8", "float4", "float8"},
	} {
		wide := signatureType(m.wide)
		if m.wide == "float8" {
			registerFloats[float64](r, types.Float8, m.a, m.b)
			continue
		}
		for _, op := range []string{"+", "-", "*", "/"} {
			same := r.byID[operatorID(op, m.wide, m.wide)]
			r.op(op+"("+m.a+","+m.b+") "+m.wide, widening(wide.ID, same.Eval))
		}
	}
	registerFloats[float32](r, types.Float4, "float4", "float4")
	registerFloats[float64](r, types.Float8, "float8", "float8")
	r.op("-(float4) float4", unary(types.Float4, func(x float32) float32 { return -x }))
	r.op("-(float8) float8", unary(types.Float8, func(x float64) float64 { return -x }))
	r.op("+(float4) float4", passThrough)
	r.op("+(float8) float8", passThrough)

	r.op("+(numeric,numeric) numeric", overScaled(addScaled, binaryErr(types.Numeric, addDecimal)))
	r.op("-(numeric,numeric) numeric", overScaled(subScaled, binaryErr(types.Numeric, subDecimal)))
	r.op("*(numeric,numeric) numeric", overScaled(mulScaled, binaryErr(types.Numeric, mulDecimal)))
	r.op("/(numeric,numeric) numeric", binaryErr(types.Numeric, types.Decimal.Div))
	r.op("%(numeric,numeric) numeric", binaryErr(types.Numeric, types.Decimal.Mod))
	r.op("^(numeric,numeric) numeric", binaryErr(types.Numeric, types.Decimal.Pow))
	r.op("-(numeric) numeric", overScaled1(negScaled, unary(types.Numeric, types.Decimal.Neg)))
	r.op("+(numeric) numeric", passThrough)
	r.op("^(float8,float8) float8", binaryErr(types.Float8, powFloat))
	r.op("|/(float8) float8", unaryErr(types.Float8, sqrtFloat))
	r.op("||/(float8) float8", unaryErr(types.Float8, cbrtFloat))
}

// operatorID is the ID of a binary operator's function.
func operatorID(op, a, b string) string {
	args := "(" + a + "," + b + ")"
	name, ok := operatorProcs[op+args]
	if !ok {
		name = op
	}
	return "pg_catalog." + name + args
}

func passThrough(_ *Ctx, args []*vector.Vector, _ int) (*vector.Vector, error) { return args[0], nil }

func registerInts[T signed](r *registry, name string, id types.ID, mul intLoop[T]) {
	sig := func(op string) string { return op + "(" + name + "," + name + ") " + name }
	r.op(sig("+"), intOp(id, addInts[T], addInt[T](id)))
	r.op(sig("-"), intOp(id, subInts[T], subInt[T](id)))
	r.op(sig("*"), intOp(id, mul, mulInt[T](id)))
	r.op(sig("/"), intOp(id, divInts[T], divInt[T](id)))
	r.op(sig("%"), intOp(id, modInts[T], modInt[T]))
	r.op(sig("&"), binary(id, func(a, b T) T { return a & b }))
	r.op(sig("|"), binary(id, func(a, b T) T { return a | b }))
	r.op(sig("#"), binary(id, func(a, b T) T { return a ^ b }))
	width := int32(8 * vector.Width(types.T(id).Phys()))
	// C shifts by the count modulo the width; int2 is shifted as an int.
	if width < 32 {
		width = 32
	}
	r.op("<<("+name+",int4) "+name, binary(id, func(a T, n int32) T { return a << (n & (width - 1)) }))
	r.op(">>("+name+",int4) "+name, binary(id, func(a T, n int32) T { return a >> (n & (width - 1)) }))
	r.op("~("+name+") "+name, unary(id, func(a T) T { return ^a }))
	r.op("+("+name+") "+name, passThrough)
	neg := func(a T) (T, error) {
		if a == -a && a != 0 {
			return 0, errRange(types.T(id))
		}
		return -a, nil
	}
	r.op("-("+name+") "+name, unaryErr(id, neg))
	abs := func(a T) (T, error) {
		if a < 0 {
			return neg(a)
		}
		return a, nil
	}
	r.op("@("+name+") "+name, unaryErr(id, abs))
	r.scalar("abs("+name+") "+name, unaryErr(id, abs))
	r.scalar("mod("+name+","+name+") "+name, intOp(id, modInts[T], modInt[T]))
}

func registerFloats[T float](r *registry, id types.ID, a, b string) {
	sig := func(op string) string { return op + "(" + a + "," + b + ") " + typeName(types.T(id)) }
	wrap := func(e EvalFunc) EvalFunc {
		if a != b {
			return widening(id, e)
		}
		return e
	}
	r.op(sig("+"), wrap(floatOp(id, addFloats[T])))
	r.op(sig("-"), wrap(floatOp(id, subFloats[T])))
	r.op(sig("*"), wrap(floatOp(id, mulFloats[T])))
	r.op(sig("/"), wrap(floatOp(id, divFloats[T])))
}
