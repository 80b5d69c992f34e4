package function

import (
	"math"

	"github.com/zeebo/xxh3"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// Canary is another version of a function, which some rows go to.
type Canary struct {
	F *Function
	// Share of the rows, in ten-thousandths. Which rows is a function of their
	// arguments alone, so that all workers, and a query run again, agree.
	Share uint32
}

// canaryID names the internal function behind a canary: canary(share, arguments…)
// is true for the rows that go to it.
const canaryID = "volley.canary"

// CanaryRows is the function that chooses the rows of a canary. It is internal,
// as those of ArrayOp are: its first argument is the share, an int4, the others
// are the arguments of the call.
func CanaryRows() *Function {
	f, _ := ByID(canaryID)
	return f
}

func registerCanary(r *registry) {
	r.byID[canaryID] = &Function{ID: canaryID, Schema: "volley", Name: "canary", Args: []types.Type{types.T(types.Int4), types.T(types.Any)},
		Variadic: true, Returns: types.T(types.Bool), Eval: canaryRows}
}

// canaryParts is the unit of a share.
const canaryParts = 10_000

func canaryRows(c *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
	if len(args) == 0 || n > 0 && args[0].IsNull(0) {
		return nil, pgerr.New(pgerr.InternalError, "a canary without a share")
	}
	hash := make([]uint64, n)
	for _, a := range args[1:] {
		if err := foldHash(c, a, hash); err != nil {
			return nil, err
		}
	}
	out := make([]bool, n)
	if n == 0 {
		return vector.FromSlice(types.T(types.Bool), out), nil
	}
	share := uint64(vector.At[int32](args[0], 0))
	for i, h := range hash {
		out[i] = h%canaryParts < share
	}
	return vector.FromSlice(types.T(types.Bool), out), nil
}

// nullHash stands for NULL, which is an argument like others.
const nullHash = 0x8EBC6AF09C88C6E3

// foldHash mixes a column into the rows' hashes. Which rows a canary gets must
// not depend on how their values are held, so it hashes values: numbers of fixed
// width by their bits, all others by their text.
func foldHash(c *Ctx, v *vector.Vector, hash []uint64) error {
	switch v.Type.Phys() {
	case types.PhysBool, types.PhysInt16, types.PhysInt32, types.PhysInt64, types.PhysFloat32, types.PhysFloat64, types.PhysBytes:
	default:
		t, err := Cast(c, v, types.T(types.Text), true)
		if err != nil {
			return err
		}
		v = t
	}
	v = v.Flatten()
	var b [16]byte
	for i := range hash {
		x := uint64(nullHash)
		if !v.IsNull(i) {
			switch v.Type.Phys() {
			case types.PhysBool:
				x = 0
				if vector.At[bool](v, i) {
					x = 1
				}
			case types.PhysInt16:
				x = uint64(vector.At[int16](v, i))
			case types.PhysInt32:
				x = uint64(vector.At[int32](v, i))
			case types.PhysInt64:
				x = uint64(vector.At[int64](v, i))
			case types.PhysFloat32:
				x = floatBits(float64(vector.At[float32](v, i)))
			case types.PhysFloat64:
				x = floatBits(vector.At[float64](v, i))
			default:
				x = xxh3.Hash(vector.KeyBytes(v, i))
			}
		}
		for k := range 8 {
			b[k], b[8+k] = byte(hash[i]>>(8*k)), byte(x>>(8*k))
		}
		hash[i] = xxh3.Hash(b[:])
	}
	return nil
}

// floatBits are the bits of a float, equal ones for equal values.
func floatBits(f float64) uint64 {
	switch {
	case f == 0:
		return 0
	case f != f:
		return math.Float64bits(math.NaN())
	}
	return math.Float64bits(f)
}
