package types

import (
	"math/big"
	"math/bits"
)

// u128 is an unsigned 128-bit number, the magnitude of a Decimal.
type u128 struct{ hi, lo uint64 }

// pow10 holds 10^0 to 10^38, the last of which a coefficient may not reach.
var pow10 = func() (p [39]u128) {
	p[0] = u128{0, 1}
	for i := 1; i < len(p); i++ {
		p[i], _ = p[i-1].mul64(10)
	}
	return p
}()

func (a u128) isZero() bool     { return a.hi|a.lo == 0 }
func (a u128) less(b u128) bool { return a.hi < b.hi || a.hi == b.hi && a.lo < b.lo }

func (a u128) cmp(b u128) int {
	switch {
	case a == b:
		return 0
	case a.less(b):
		return -1
	}
	return 1
}

func (a u128) add(b u128) (u128, bool) {
	lo, c := bits.Add64(a.lo, b.lo, 0)
	hi, c := bits.Add64(a.hi, b.hi, c)
	return u128{hi, lo}, c == 0
}

func (a u128) sub(b u128) u128 {
	lo, c := bits.Sub64(a.lo, b.lo, 0)
	hi, _ := bits.Sub64(a.hi, b.hi, c)
	return u128{hi, lo}
}

func (a u128) mul64(b uint64) (u128, bool) {
	hi, lo := bits.Mul64(a.lo, b)
	over, mid := bits.Mul64(a.hi, b)
	hi, c := bits.Add64(hi, mid, 0)
	return u128{hi, lo}, over|c == 0
}

// mul reports false if the product exceeds 128 bits.
func (a u128) mul(b u128) (u128, bool) {
	if a.hi != 0 {
		if b.hi != 0 {
			return u128{}, false
		}
		return a.mul64(b.lo)
	}
	return b.mul64(a.lo)
}

func (a u128) divMod64(b uint64) (u128, uint64) {
	hi := a.hi / b
	lo, r := bits.Div64(a.hi%b, a.lo, b)
	return u128{hi, lo}, r
}

// divMod divides by b, which is not zero.
func (a u128) divMod(b u128) (q, r u128) {
	if b.hi == 0 {
		q, lo := a.divMod64(b.lo)
		return q, u128{0, lo}
	}
	// Knuth's algorithm D for two words: the estimate from the leading words is
	// at most one too large, so it is lowered by one and corrected upwards.
	n := bits.LeadingZeros64(b.hi)
	top := b.hi<<n | b.lo>>1>>(63-n)
	est, _ := bits.Div64(a.hi>>1, a.hi<<63|a.lo>>1, top)
	est >>= 63 - n
	if est != 0 {
		est--
	}
	p, _ := b.mul64(est)
	r = a.sub(p)
	for !r.less(b) {
		r = r.sub(b)
		est++
	}
	return u128{0, est}, r
}

// digits returns the number of decimal digits, 0 for zero.
func (a u128) digits() int {
	if a.isZero() {
		return 0
	}
	n := bits.Len64(a.lo)
	if a.hi != 0 {
		n = 64 + bits.Len64(a.hi)
	}
	// 1233/4096 is just above log10(2).
	t := n * 1233 >> 12
	if t < len(pow10) && a.less(pow10[t]) {
		return t
	}
	return t + 1
}

// roundDiv returns a/b rounded half away from zero; b is not zero.
func (a u128) roundDiv(b u128) u128 {
	q, r := a.divMod(b)
	if !r.less(b.sub(r)) {
		q, _ = q.add(u128{0, 1})
	}
	return q
}

func (a u128) big() *big.Int {
	z := new(big.Int).SetUint64(a.hi)
	return z.Lsh(z, 64).Or(z, new(big.Int).SetUint64(a.lo))
}

// u128FromBig takes a value that is not negative and reports false if it needs more bits.
func u128FromBig(z *big.Int) (u128, bool) {
	if z.BitLen() > 128 {
		return u128{}, false
	}
	lo := new(big.Int).And(z, new(big.Int).SetUint64(1<<64-1)).Uint64()
	return u128{new(big.Int).Rsh(z, 64).Uint64(), lo}, true
}
