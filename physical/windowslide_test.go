package physical

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// slideChunk is partitions of the given sizes, each row a peer group.
func slideChunk(sizes ...int) *chunk {
	ch := &chunk{}
	for p, size := range sizes {
		ch.parts = append(ch.parts, int32(ch.n))
		for range size {
			ch.groups = append(ch.groups, int32(ch.n))
			ch.partOf, ch.groupOf = append(ch.partOf, int32(p)), append(ch.groupOf, int32(ch.n))
			ch.n++
		}
	}
	ch.parts, ch.groups = append(ch.parts, int32(ch.n)), append(ch.groups, int32(ch.n))
	return ch
}

func rowsFrame(start, end proto.FrameBound_Kind, so, eo int64) *proto.Frame {
	return &proto.Frame{Mode: proto.Frame_ROWS, Start: &proto.FrameBound{Kind: start, Offset: so}, End: &proto.FrameBound{Kind: end, Offset: eo}}
}

// slideFrames computes the facts of given frames as those of a frame clause are.
func slideFrames(t *testing.T, ch *chunk, f *proto.Frame) *frameRows {
	t.Helper()
	fr := &frameRows{frame: f}
	if err := fr.compute(context.Background(), nil, ch); err != nil {
		t.Fatal(err)
	}
	return fr
}

func TestSlideAgreesWithFolding(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	const prec, cur, foll = proto.FrameBound_PRECEDING, proto.FrameBound_CURRENT_ROW, proto.FrameBound_FOLLOWING
	const first, last = proto.FrameBound_UNBOUNDED_PRECEDING, proto.FrameBound_UNBOUNDED_FOLLOWING
	frames := []*proto.Frame{
		rowsFrame(prec, cur, 6, 0), rowsFrame(prec, prec, 9, 3), rowsFrame(foll, foll, 2, 5), rowsFrame(prec, foll, 40, 50),
		rowsFrame(first, cur, 0, 0), rowsFrame(cur, last, 0, 0), rowsFrame(first, prec, 0, 4), rowsFrame(prec, prec, 2, 3),
	}
	for _, f := range frames[:4] { // the same by a queue, as frames by value are
		g := rowsFrame(f.Start.Kind, f.End.Kind, f.Start.Offset, f.End.Offset)
		g.Mode = proto.Frame_GROUPS
		frames = append(frames, g)
	}
	ctx := context.Background()
	numeric := types.T(types.Numeric)
	for trial := range 6 {
		ch := slideChunk(1, 200, 2, 37)
		valid := vector.NewValid(ch.n)
		ints, narrow, floats := make([]int64, ch.n), make([]int32, ch.n), make([]float64, ch.n)
		for i := range ints {
			ints[i] = r.Int64N(2000) - 1000
			narrow[i], floats[i] = int32(ints[i]), float64(ints[i])/4
			if trial%2 == 1 && r.IntN(5) == 0 {
				vector.SetNull(valid, i)
			}
		}
		if trial%2 == 0 {
			valid = nil
		}
		if trial == 4 {
			floats[100], floats[150] = math.NaN(), math.Inf(-1)
		}
		var keep []int32
		if trial > 2 {
			for i := range ch.n {
				if r.IntN(3) > 0 {
					keep = append(keep, int32(i))
				}
			}
		}
		for _, in := range []*vector.Vector{
			vector.FromSlice(tInt8, ints).WithValid(valid), vector.FromSlice(tInt4, narrow).WithValid(valid),
			vector.FromSlice(tFloat8, floats).WithValid(valid), vector.FromScaled(numeric, ints, 2).WithValid(valid),
		} {
			for _, name := range []string{"count", "sum", "avg", "min", "max"} {
				for k, f := range frames {
					p := windowFn(t, name, slideResult(name, in.Type), f, col(0, in.Type))
					n := &node{env: setup{}.env(t)}
					w := &window{n: n, inTs: []types.Type{in.Type}}
					c := slideCall(t, w, p, in.Type)
					fr := slideFrames(t, ch, f)
					got, ok, err := c.slide(ch, []*vector.Vector{in}, keep, fr)
					if err != nil || !ok {
						t.Fatalf("%s(%s), frame %d: %v, %v", name, in.Type, k, ok, err)
					}
					agg, err := c.make(ctx)
					if err != nil {
						t.Fatal(err)
					}
					agg.Grow(ch.n)
					for i := range ch.n {
						var rows []int32
						for x := fr.segs[0].lo[i]; x < fr.segs[0].hi[i]; x++ {
							if keep == nil || slices.Contains(keep, x) {
								rows = append(rows, x)
							}
						}
						if len(rows) > 0 {
							to := slices.Repeat([]int32{int32(i)}, len(rows))
							if err := agg.Update(to, []*vector.Vector{vector.Gather(in, rows)}, len(rows)); err != nil {
								t.Fatal(err)
							}
						}
					}
					want, err := agg.Final(0, ch.n)
					if err != nil {
						t.Fatal(err)
					}
					for i := range ch.n {
						g, e := value(got.Flatten(), i), value(want.Flatten(), i)
						if x, ok := e.(float64); ok && g != nil && (math.IsNaN(x) && math.IsNaN(g.(float64)) || math.Abs(g.(float64)-x) < 1e-9) {
							continue
						}
						if (g == nil) != (e == nil) || g != nil && compareValues(g, e) != 0 {
							t.Fatalf("%s(%s), frame %d %v, row %d: %v, want %v", name, in.Type, k, f, i, g, e)
						}
					}
				}
			}
		}
	}
}

func slideResult(name string, in types.Type) types.Type {
	switch {
	case name == "count" || name == "sum" && in.ID == types.Int4:
		return tInt8
	case name[0] == 'm' || in.ID == types.Float8:
		return in
	}
	return types.T(types.Numeric)
}

func slideCall(t *testing.T, w *window, p *proto.WindowCall, in types.Type) *windowCall {
	t.Helper()
	w.n.op = &proto.Operator{Inputs: []*proto.Operator{read(0, []types.Type{in})}}
	c, err := w.newCall(p, keyOrder{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Sums of floats must be the same bits wherever their partition lies in a chunk,
// and short frames those of adding from left to right.
func TestSlideFloatsDoNotDependOnTheCut(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	const size = 5000
	x := make([]float64, size)
	for i := range x {
		x[i] = r.NormFloat64() * math.Pow(10, float64(r.IntN(8)))
	}
	for _, f := range []*proto.Frame{
		rowsFrame(proto.FrameBound_PRECEDING, proto.FrameBound_FOLLOWING, 400, 333),
		rowsFrame(proto.FrameBound_CURRENT_ROW, proto.FrameBound_UNBOUNDED_FOLLOWING, 0, 0),
		rowsFrame(proto.FrameBound_PRECEDING, proto.FrameBound_CURRENT_ROW, 50, 0),
	} {
		sums := func(lead int) []float64 {
			ch := slideChunk(lead, size)
			fr := slideFrames(t, ch, f)
			s := &slider{ch: ch, fr: fr, lo: fr.segs[0].lo, hi: fr.segs[0].hi}
			return floatSums(s, append(make([]float64, lead), x...))[lead:]
		}
		a, b := sums(1), sums(777)
		for i := range a {
			if a[i] != b[i] {
				t.Fatalf("%v, row %d: %v or %v", f, i, a[i], b[i])
			}
		}
		if f.Start.Offset == 50 {
			for i := range a {
				want := 0.0
				for _, v := range x[max(0, i-50) : i+1] {
					want += v
				}
				if a[i] != want {
					t.Fatalf("row %d: %v, want %v", i, a[i], want)
				}
			}
		}
	}
}

func TestNarrowSortKeys(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	const n = 3000
	b := vector.NewBuilder(tText, n)
	amounts, times := make([]float64, n), make([]int64, n)
	for i := range n {
		if r.IntN(9) == 0 {
			b.AppendNull()
		} else {
			b.AppendBytes([]byte([]string{"b", "", "a much longer text", "ab", "Z"}[r.IntN(5)]))
		}
		amounts[i] = float64(r.IntN(4000)-2000) / 100
		times[i] = r.Int64N(1 << 40)
	}
	text := b.Build()
	for _, v := range []*vector.Vector{text, toDict(text)} {
		vs := []*vector.Vector{v, vector.FromSlice(tFloat8, amounts), vector.FromSlice(tInt8, times)}
		for _, o := range []keyOrder{{}, {desc: true}, {nullsFirst: true}} {
			orders := []keyOrder{o, {desc: !o.desc}, o}
			narrow, ok := narrowSortKeys(vs)
			if !ok {
				t.Fatal("not narrowed")
			}
			recs, width, ok := packKeys(narrow, orders, n)
			if !ok {
				t.Fatal("not packed")
			}
			got, err := sortPacked(context.Background(), recs, width)
			if err != nil {
				t.Fatal(err)
			}
			want, err := sortEncoded(context.Background(), encodeKeys([]*vector.Vector{text, vs[1], vs[2]}, orders, n), n)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, want) {
				t.Fatalf("%v: another order", o)
			}
		}
	}
	for _, x := range [][]float64{{1.5, math.NaN()}, {math.Inf(1)}, {1e300}, {0.123456789}} {
		if decimalFloats(vector.FromSlice(tFloat8, x)) != nil {
			t.Errorf("%v are taken for decimals", x)
		}
	}
}
