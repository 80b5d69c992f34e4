package function

import (
	"math"
	"math/bits"

	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// Registers of a HyperLogLog sketch: 2^11 give a standard error of 2.3 %.
const (
	hllBits      = 11
	hllRegisters = 1 << hllBits
)

// approxDistinctAgg is approx_count_distinct: a HyperLogLog sketch per group
// (Flajolet et al., 2007), with linear counting while registers are empty.
type approxDistinctAgg struct {
	noClose
	sketch [][]uint8 // nil until the first value
	used   int64
}

func (a *approxDistinctAgg) Grow(n int)  { a.sketch = grown(a.sketch, n) }
func (a *approxDistinctAgg) Size() int64 { return sliceSize(a.sketch, 24) + a.used*hllRegisters }

func (a *approxDistinctAgg) registers(g int32) []uint8 {
	if a.sketch[g] == nil {
		a.sketch[g] = make([]uint8, hllRegisters)
		a.used++
	}
	return a.sketch[g]
}

// hashBytes mixes the bytes of a value eight at a time.
func hashBytes(b []byte) uint64 {
	h := mix(uint64(len(b)) + golden)
	for len(b) >= 8 {
		x := uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 | uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
		h = mix(h^x) + golden
		b = b[8:]
	}
	x := uint64(0)
	for i, c := range b {
		x |= uint64(c) << (8 * i)
	}
	return mix(h ^ x)
}

// hasher returns a hash of rows of v in which equal values have equal hashes.
func hasher(v *vector.Vector) func(i int) uint64 {
	switch v.Type.Phys() {
	case types.PhysBool:
		return func(i int) uint64 {
			if vector.At[bool](v, i) {
				return mix(golden)
			}
			return mix(1)
		}
	case types.PhysInt16, types.PhysInt32, types.PhysInt64:
		at, _ := integerAt(v)
		return func(i int) uint64 { return mix(uint64(at(i)) + golden) }
	case types.PhysFloat32:
		return func(i int) uint64 { return mix(types.FloatKey(float64(vector.At[float32](v, i)))) }
	case types.PhysFloat64:
		return func(i int) uint64 { return mix(types.FloatKey(floatAt(v, i))) }
	case types.PhysNumeric:
		return func(i int) uint64 {
			d := vector.At[types.Decimal](v, i).Normalize()
			if d.NaN {
				return 0
			}
			return mix(mix(d.Lo+golden) ^ mix(uint64(d.Hi)) ^ uint64(d.Scale)<<32)
		}
	case types.PhysInterval:
		return func(i int) uint64 {
			hi, lo := vector.At[types.IntervalValue](v, i).Key()
			return mix(mix(lo+golden) ^ uint64(hi))
		}
	case types.PhysList:
		elem := hasher(v.Child)
		return func(i int) uint64 {
			from, to := v.ListAt(i)
			h := mix(uint64(to-from) + golden)
			for e := from; e < to; e++ {
				if v.Child.IsNull(e) {
					h = mix(h + golden)
				} else {
					h = mix(h ^ elem(e))
				}
			}
			return h
		}
	}
	if v.Type.ID == types.Bpchar {
		return func(i int) uint64 { return hashBytes(trimBlanks(v.BytesAt(i))) }
	}
	return func(i int) uint64 { return hashBytes(v.BytesAt(i)) }
}

func (a *approxDistinctAgg) Update(groups []int32, args []*vector.Vector, n int) error {
	v := args[0]
	hash := hasher(v)
	for i := range n {
		if v.IsNull(i) {
			continue
		}
		h := hash(i)
		reg := a.registers(group(groups, i))
		// The first bits choose a register, which keeps the longest run of
		// zeros that the rest began with.
		k := h >> (64 - hllBits)
		rank := uint8(bits.LeadingZeros64(h<<hllBits|1<<(hllBits-1))) + 1
		reg[k] = max(reg[k], rank)
	}
	return nil
}

func (a *approxDistinctAgg) Merge(groups []int32, states []*vector.Vector, n int) error {
	for i := range n {
		if states[0].IsNull(i) {
			continue
		}
		reg := a.registers(group(groups, i))
		for k, x := range states[0].BytesAt(i) {
			reg[k] = max(reg[k], x)
		}
	}
	return nil
}

func (a *approxDistinctAgg) State(from, to int) ([]*vector.Vector, error) {
	b := vector.NewBuilder(types.T(types.Bytea), to-from)
	for _, reg := range a.sketch[from:to] {
		if reg == nil {
			b.AppendNull()
		} else {
			b.AppendBytes(reg)
		}
	}
	return []*vector.Vector{b.Build()}, nil
}

func (a *approxDistinctAgg) Final(from, to int) (*vector.Vector, error) {
	out := vector.New(types.T(types.Int8), to-from)
	for i, dst := 0, vector.Values[int64](out); i < len(dst); i++ {
		dst[i] = estimate(a.sketch[from+i])
	}
	return out, nil
}

func estimate(reg []uint8) int64 {
	if reg == nil {
		return 0
	}
	const m = float64(hllRegisters)
	sum, zeros := 0.0, 0
	for _, r := range reg {
		sum += math.Ldexp(1, -int(r))
		if r == 0 {
			zeros++
		}
	}
	e := 0.7213 / (1 + 1.079/m) * m * m / sum
	if e <= 2.5*m && zeros > 0 {
		e = m * math.Log(m/float64(zeros))
	}
	return int64(math.Round(e))
}

func registerApproximate(r *registry) {
	r.aggregate("approx_count_distinct(any) int8", func([]types.Type) Aggregator { return &approxDistinctAgg{} }, states(types.Bytea),
		doc("estimate of the number of distinct values, standard error 2.3 %"))
}
