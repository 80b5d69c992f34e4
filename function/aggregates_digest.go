package function

import (
	endian "encoding/binary"
	"math"
	"slices"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// digestAgg is approx_percentile(value, fraction): a t-digest per group (Dunning
// and Ertl, "Computing Extremely Accurate Quantiles Using t-Digests", 2019), with
// the scale function k1. Up to a few hundred values the answer is exact.
type digestAgg struct {
	noClose
	groups []digest
	used   int64
}

type digest struct {
	c    []centroid
	frac float64
	seen bool // a value
	null bool // the fraction is NULL
}

type centroid struct{ mean, weight float64 }

const (
	digestSize   = 200            // compression: about so many centroids stay
	digestBuffer = 5 * digestSize // values that are kept before they are compressed
)

func (a *digestAgg) Grow(n int)  { a.groups = grown(a.groups, n) }
func (a *digestAgg) Size() int64 { return sliceSize(a.groups, 48) + a.used }

func (a *digestAgg) add(d *digest, c centroid) {
	before := cap(d.c)
	if d.c = append(d.c, c); len(d.c) >= digestBuffer {
		d.compress()
	}
	a.used += int64(cap(d.c)-before) * 16
}

func (d *digest) sort() {
	slices.SortStableFunc(d.c, func(x, y centroid) int { return types.CompareFloat(x.mean, y.mean) })
}

// compress merges neighbours as far as the scale function lets them grow: little at
// the ends, much in the middle.
func (d *digest) compress() {
	d.sort()
	total := 0.0
	for _, c := range d.c {
		total += c.weight
	}
	k := func(q float64) float64 { return digestSize / (2 * math.Pi) * math.Asin(2*min(q, 1)-1) }
	out := d.c[:1]
	done := 0.0 // weight before the last centroid of out
	start := k(0)
	for _, c := range d.c[1:] {
		last := &out[len(out)-1]
		w := last.weight + c.weight
		if k((done+w)/total)-start <= 1 && !math.IsInf(c.mean, 0) && !math.IsNaN(c.mean) && !math.IsInf(last.mean, 0) {
			last.mean += (c.mean - last.mean) * c.weight / w
			last.weight = w
			continue
		}
		done += last.weight
		start = k(done / total)
		out = append(out, c)
	}
	d.c = out
}

func (a *digestAgg) Update(groups []int32, args []*vector.Vector, n int) error {
	v, p := args[0].Flatten(), args[1].Flatten()
	for i := range n {
		if v.IsNull(i) {
			continue
		}
		d := &a.groups[group(groups, i)]
		if !d.seen {
			d.seen, d.null = true, p.IsNull(i)
			if !d.null {
				d.frac = floatAt(p, i)
			}
		}
		a.add(d, centroid{floatAt(v, i), 1})
	}
	return nil
}

// A state is the fraction (NaN for NULL), then the centroids.
func (a *digestAgg) State(from, to int) ([]*vector.Vector, error) {
	b := vector.NewBuilder(types.T(types.Bytea), to-from)
	var buf []byte
	for i := from; i < to; i++ {
		d := &a.groups[i]
		if !d.seen {
			b.AppendNull()
			continue
		}
		f := d.frac
		if d.null {
			f = math.NaN()
		}
		buf = endian.LittleEndian.AppendUint64(buf[:0], math.Float64bits(f))
		for _, c := range d.c {
			buf = endian.LittleEndian.AppendUint64(buf, math.Float64bits(c.mean))
			buf = endian.LittleEndian.AppendUint64(buf, math.Float64bits(c.weight))
		}
		b.AppendBytes(buf)
	}
	return []*vector.Vector{b.Build()}, nil
}

func (a *digestAgg) Merge(groups []int32, states []*vector.Vector, n int) error {
	v := states[0].Flatten()
	for i := range n {
		if v.IsNull(i) {
			continue
		}
		s := v.BytesAt(i)
		if len(s)%16 != 8 {
			return pgerr.New(pgerr.DataCorrupted, "damaged state of approx_percentile")
		}
		d := &a.groups[group(groups, i)]
		if !d.seen {
			d.frac = math.Float64frombits(endian.LittleEndian.Uint64(s))
			d.seen, d.null = true, math.IsNaN(d.frac)
		}
		for s = s[8:]; len(s) > 0; s = s[16:] {
			a.add(d, centroid{math.Float64frombits(endian.LittleEndian.Uint64(s)), math.Float64frombits(endian.LittleEndian.Uint64(s[8:]))})
		}
	}
	return nil
}

func (a *digestAgg) Final(from, to int) (*vector.Vector, error) {
	var fault error
	v := floatResults(to-from, func(i int) (float64, bool) {
		d := &a.groups[from+i]
		if !d.seen || d.null {
			return 0, false
		}
		if !(d.frac >= 0 && d.frac <= 1) {
			fault = pgerr.New(pgerr.NumericValueOutOfRange, "percentile value %g is not between 0 and 1", d.frac)
			return 0, false
		}
		return d.at(d.frac), true
	})
	return v, fault
}

// at interpolates between the middles of the centroids.
func (d *digest) at(q float64) float64 {
	d.sort()
	total := 0.0
	for _, c := range d.c {
		total += c.weight
	}
	want := q * (total - 1) // as percentile_cont counts
	before := 0.0
	for i, c := range d.c {
		mid := before + (c.weight-1)/2
		if want <= mid || i == len(d.c)-1 {
			if i == 0 || want == mid || want > mid {
				return c.mean
			}
			p := d.c[i-1]
			low := before - p.weight + (p.weight-1)/2
			if p.mean == c.mean {
				return c.mean
			}
			return p.mean + (c.mean-p.mean)*(want-low)/(mid-low)
		}
		before += c.weight
	}
	return math.NaN()
}
