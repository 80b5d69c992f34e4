package function

import (
	"math"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// Whether TABLESAMPLE keeps a row is a function of a seed and of the row's number in
// its files alone, so a sample is the same however the scan is cut into tasks.

// sampled keeps the rows of the blocks whose hash, of 63 bits, is below a cutoff.
func sampled(seed uint64, args []*vector.Vector, n int) (*vector.Vector, error) {
	cutoff, block := args[2], args[3]
	out := vector.New(types.T(types.Bool), n)
	dst := vector.Values[bool](out)
	if n == 0 {
		return out, nil
	}
	if args[0].HasNulls() || cutoff.HasNulls() || block.HasNulls() || vector.At[int64](block, 0) < 1 {
		return nil, pgerr.New(pgerr.InvalidParameterValue, "the arguments of a sample must be numbers")
	}
	limit, size := uint64(vector.At[int64](cutoff, 0)), uint64(vector.At[int64](block, 0))
	rows := vector.Values[int64](args[0].Flatten())
	for i, row := range rows[:n] {
		dst[i] = mix(seed^mix(uint64(row)/size+golden))>>1 < limit
	}
	return out, nil
}

// SampleCutoff is the cutoff of a percentage from 0 to 100.
func SampleCutoff(percent float64) int64 {
	c := percent / 100 * (1 << 63)
	if c >= 1<<63 {
		return math.MaxInt64
	}
	return int64(c)
}

// SampleSeed is the seed that REPEATABLE (x) stands for.
func SampleSeed(x float64) int64 {
	if x == 0 {
		x = 0 // not -0
	}
	return int64(mix(math.Float64bits(x) + golden))
}

func registerSampling(r *registry) {
	seedOf := func(args []*vector.Vector, n int) uint64 {
		if n == 0 || args[1].IsNull(0) {
			return 0
		}
		return uint64(vector.At[int64](args[1], 0))
	}
	r.scalar("sample_row(int8,int8,int8,int8) bool", func(_ *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
		return sampled(seedOf(args, n), args, n)
	}, called, doc("whether TABLESAMPLE … REPEATABLE keeps a row: number, seed, cutoff, rows per block"))
	r.scalar("sample_row_once(int8,int8,int8,int8) bool", func(c *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
		seed := seedOf(args, n)
		if c != nil {
			seed = mix(c.Seed + golden*(seed+1))
		}
		return sampled(seed, args, n)
	}, called, stable, doc("whether TABLESAMPLE keeps a row: number, place in the statement, cutoff, rows per block"))
}
