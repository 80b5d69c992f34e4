package function

import (
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// random() is a function of the query's seed, the place of the call in the
// plan, and the row: an attempt that runs again gives the same values, and
// there is no state that threads could share. A stream of one call site in one
// task is SplitMix64 started at a key, whose output at position i is
// mix(key + i·golden): a counter run through a bijection that passes BigCrush.
// Keys are made by the same mixer, one part after the other, so that streams of
// neighbouring tasks and sites are unrelated.

const golden = 0x9e3779b97f4a7c15

// mix is the finaliser of SplitMix64.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// stream tells the uses of randomness at one call site apart.
type stream uint64

const (
	streamFloat stream = iota
	streamUUIDHigh
	streamUUIDLow
)

// randomKey is the start of a stream.
func (c *Ctx) randomKey(s stream) uint64 {
	if c == nil {
		return mix(uint64(s))
	}
	k := mix(c.Seed + golden)
	for _, part := range [...]uint64{uint64(c.Stage), uint64(c.Task), uint64(c.Site), uint64(s)} {
		k = mix(k ^ mix(part+golden))
	}
	return k
}

func (c *Ctx) firstRow() uint64 {
	if c == nil {
		return 0
	}
	return uint64(c.Rows)
}

func randomFloats(c *Ctx, _ []*vector.Vector, n int) (*vector.Vector, error) {
	out := vector.New(types.T(types.Float8), n)
	dst := vector.Values[float64](out)
	at := c.randomKey(streamFloat) + c.firstRow()*golden
	for i := range dst {
		at += golden
		dst[i] = float64(mix(at)>>11) * 0x1p-53
	}
	return out, nil
}

// randomUUIDs makes UUIDs of version 4.
func randomUUIDs(c *Ctx, _ []*vector.Vector, n int) (*vector.Vector, error) {
	offs, data := make([]int32, n+1), make([]byte, 16*n)
	hi, lo := c.randomKey(streamUUIDHigh), c.randomKey(streamUUIDLow)
	for i := range n {
		step := (c.firstRow() + uint64(i) + 1) * golden
		a, b := mix(hi+step), mix(lo+step)
		u := data[16*i : 16*i+16]
		for k := range 8 {
			u[k], u[8+k] = byte(a>>(8*k)), byte(b>>(8*k))
		}
		u[6] = u[6]&0x0f | 0x40
		u[8] = u[8]&0x3f | 0x80
		offs[i+1] = int32(16 * (i + 1))
	}
	return vector.FromBytes(types.T(types.UUID), offs, data), nil
}

func registerRandom(r *registry) {
	r.scalar("random() float8", randomFloats, volatile, doc("random value in [0, 1)"))
	r.scalar("rand() float8", randomFloats, volatile, doc("random value in [0, 1), as random()"))
	r.scalar("gen_random_uuid() uuid", randomUUIDs, volatile, doc("generate random UUID"))
	r.scalar("setseed(float8) void", func(*Ctx, []*vector.Vector, int) (*vector.Vector, error) {
		// The session does it before a query begins; here it would come too late.
		return nil, pgerr.New(pgerr.FeatureNotSupported, "setseed is supported only as a query of its own: SELECT setseed(…)").
			WithHint("Or SET volley.seed = n.")
	}, volatile, doc("set random seed"))
}
