package physical

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"math/bits"
	"slices"

	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// sortKeys are compiled sort expressions with their orders.
type sortKeys struct {
	exprs  []*Expr
	orders []keyOrder
}

func compileSortKeys(env *Env, ks []*proto.SortKey, ts []types.Type) (*sortKeys, error) {
	s := &sortKeys{}
	for _, k := range ks {
		x, err := Compile(env, k.Expr, ts)
		if err != nil {
			return nil, err
		}
		s.exprs = append(s.exprs, x)
		s.orders = append(s.orders, keyOrder{desc: k.Desc, nullsFirst: k.NullsFirst})
	}
	return s, nil
}

// columnKeys are sort keys that are the columns themselves.
func columnKeys(env *Env, cols []int, ts []types.Type, orders []keyOrder) *sortKeys {
	s := &sortKeys{orders: orders}
	for _, c := range cols {
		s.exprs = append(s.exprs, &Expr{Type: ts[c], root: &column{i: c, typ: ts[c]}, fc: env.ctx()})
	}
	return s
}

// encode returns the rows' keys in an encoding that is the same for all batches.
func (s *sortKeys) encode(ctx context.Context, b *vector.Batch) (encodedKeys, error) {
	vs, err := evalAll(ctx, s.exprs, b)
	if err != nil {
		return encodedKeys{}, err
	}
	return encodeKeys(vs, s.orders, b.Rows()), nil
}

// sortRows returns the rows of b in order; equal rows keep their order.
func (s *sortKeys) sortRows(ctx context.Context, b *vector.Batch) ([]int32, error) {
	n := b.Rows()
	vs, err := evalAll(ctx, s.exprs, b)
	if err != nil {
		return nil, err
	}
	for i, v := range vs {
		if v.Form != vector.Dict || !rankable(v.Type) {
			vs[i] = flatOrScaled(v)
		}
	}
	if recs, width, ok := packKeys(vs, s.orders, n); ok {
		return sortPacked(ctx, recs, width)
	}
	if narrow, ok := narrowSortKeys(vs); ok {
		if recs, width, ok := packKeys(narrow, s.orders, n); ok {
			return sortPacked(ctx, recs, width)
		}
	}
	for i := range vs {
		vs[i] = flat(vs[i])
	}
	return sortEncoded(ctx, encodeKeys(vs, s.orders, n), n)
}

// rec is a row with (the first 64 bits of) its key.
type rec struct {
	key uint64
	row int32
}

// packKeys tries to put all keys of a row into one 64-bit number: each column
// takes only the bits of its range of values, and one more value for NULL. It
// returns the number of bits in use.
func packKeys(vs []*vector.Vector, orders []keyOrder, n int) ([]rec, int, bool) {
	if n == 0 {
		return nil, 0, true
	}
	type colPack struct {
		lo, span uint64 // values are lo … lo+span
		nulls    bool
		bits     int
	}
	packs := make([]colPack, len(vs))
	total := 0
	for c, v := range vs {
		lo, hi, nulls, ok := keyRange(v)
		if !ok {
			return nil, 0, false
		}
		p := colPack{lo: lo, span: hi - lo, nulls: nulls}
		if nulls && p.span == 1<<64-1 {
			return nil, 0, false
		}
		last := p.span
		if nulls {
			last++
		}
		p.bits = bits.Len64(last)
		packs[c] = p
		if total += p.bits; total > 64 {
			return nil, 0, false
		}
	}
	recs := make([]rec, n)
	for i := range recs {
		recs[i].row = int32(i)
	}
	for c, v := range vs {
		p := packs[c]
		o := orders[c]
		base := uint64(0) // of values; NULL takes 0 or span+1
		null := p.span + 1
		if p.nulls && o.nullsFirst {
			base, null = 1, 0
		}
		switch v.Type.Phys() {
		case types.PhysBool:
			packColumn(recs, v, vector.Values[bool](v), boolKey, p.lo, p.span, base, null, o.desc, uint(p.bits))
		case types.PhysInt16:
			packColumn(recs, v, vector.Values[int16](v), intKey[int16], p.lo, p.span, base, null, o.desc, uint(p.bits))
		case types.PhysInt32:
			packColumn(recs, v, vector.Values[int32](v), intKey[int32], p.lo, p.span, base, null, o.desc, uint(p.bits))
		case types.PhysInt64:
			packColumn(recs, v, vector.Values[int64](v), intKey[int64], p.lo, p.span, base, null, o.desc, uint(p.bits))
		case types.PhysFloat32:
			packColumn(recs, v, vector.Values[float32](v), floatKey[float32], p.lo, p.span, base, null, o.desc, uint(p.bits))
		case types.PhysFloat64:
			packColumn(recs, v, vector.Values[float64](v), floatKey[float64], p.lo, p.span, base, null, o.desc, uint(p.bits))
		case types.PhysNumeric: // Scaled, says keyRange
			packColumn(recs, v, vector.Values[int64](v), intKey[int64], p.lo, p.span, base, null, o.desc, uint(p.bits))
		}
	}
	return recs, total, true
}

func boolKey(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

func intKey[T int16 | int32 | int64](x T) uint64 { return types.IntKey(int64(x)) }

func floatKey[T float32 | float64](x T) uint64 { return types.FloatKey(float64(x)) }

func packColumn[T any](recs []rec, v *vector.Vector, vals []T, key func(T) uint64, lo, span, base, null uint64, desc bool, width uint) {
	for i := range recs {
		k := key(vals[i]) - lo
		if desc {
			k = span - k
		}
		k += base
		if v.Valid != nil && v.IsNull(i) {
			k = null
		}
		recs[i].key = recs[i].key<<width | k
	}
}

// keyRange returns the least and greatest key of a column's values.
func keyRange(v *vector.Vector) (lo, hi uint64, nulls, ok bool) {
	switch v.Type.Phys() {
	case types.PhysBool:
		lo, hi, nulls = rangeOf(v, vector.Values[bool](v), boolKey)
	case types.PhysInt16:
		lo, hi, nulls = rangeOf(v, vector.Values[int16](v), intKey[int16])
	case types.PhysInt32:
		lo, hi, nulls = rangeOf(v, vector.Values[int32](v), intKey[int32])
	case types.PhysInt64:
		lo, hi, nulls = rangeOf(v, vector.Values[int64](v), intKey[int64])
	case types.PhysFloat32:
		lo, hi, nulls = rangeOf(v, vector.Values[float32](v), floatKey[float32])
	case types.PhysFloat64:
		lo, hi, nulls = rangeOf(v, vector.Values[float64](v), floatKey[float64])
	case types.PhysNumeric:
		if v.Form != vector.Scaled {
			return 0, 0, false, false
		}
		lo, hi, nulls = rangeOf(v, vector.Values[int64](v), intKey[int64])
	default:
		return 0, 0, false, false
	}
	if lo > hi { // all NULL
		lo, hi = 0, 0
	}
	return lo, hi, nulls, true
}

func rangeOf[T any](v *vector.Vector, vals []T, key func(T) uint64) (lo, hi uint64, nulls bool) {
	lo = 1<<64 - 1
	for i, x := range vals {
		if v.Valid != nil && v.IsNull(i) {
			nulls = true
			continue
		}
		k := key(x)
		lo, hi = min(lo, k), max(hi, k)
	}
	return lo, hi, nulls
}

func sortPacked(ctx context.Context, recs []rec, width int) ([]int32, error) {
	if err := radixSort(ctx, recs, width); err != nil {
		return nil, err
	}
	out := make([]int32, len(recs))
	for i := range recs {
		out[i] = recs[i].row
	}
	return out, nil
}

// radixSort sorts stably by the low width bits of the keys, which hold all of
// them: least significant byte first, without the bytes that are the same in
// all keys.
func radixSort(ctx context.Context, recs []rec, width int) error {
	n := len(recs)
	sorted := true
	for i := 1; i < n; i++ {
		if recs[i].key < recs[i-1].key {
			sorted = false
			break
		}
	}
	if sorted {
		return nil
	}
	if n <= 256 {
		slices.SortFunc(recs, func(a, b rec) int {
			if c := cmp.Compare(a.key, b.key); c != 0 {
				return c
			}
			return int(a.row - b.row)
		})
		return nil
	}
	digits := (width + 7) / 8
	var count [8][256]int32
	for i := range recs {
		k := recs[i].key
		for d := range digits {
			count[d][byte(k>>(8*d))]++
		}
	}
	tmp := make([]rec, n)
	src, dst := recs, tmp
	for d := range digits {
		shift := 8 * d
		c := &count[d]
		if c[byte(src[0].key>>shift)] == int32(n) {
			continue
		}
		if err := cancelled(ctx); err != nil {
			return err
		}
		at := int32(0)
		for i, k := range c {
			c[i] = at
			at += k
		}
		for _, r := range src {
			b := byte(r.key >> shift)
			dst[c[b]] = r
			c[b]++
		}
		src, dst = dst, src
	}
	if &src[0] != &recs[0] {
		copy(recs, src)
	}
	return nil
}

// sortEncoded sorts by the first eight bytes that differ, then rows that are
// equal in those by the next eight, and so on.
func sortEncoded(ctx context.Context, k encodedKeys, n int) ([]int32, error) {
	if n == 0 {
		return nil, nil
	}
	first := k.at(0)
	skip := len(first)
	for i := 1; i < n && skip > 0; i++ {
		key := k.at(i)
		skip = min(skip, len(key))
		for skip > 0 && !bytes.Equal(first[:skip], key[:skip]) {
			j := 0
			for first[j] == key[j] {
				j++
			}
			skip = j
		}
	}
	recs := make([]rec, n)
	for i := range recs {
		recs[i] = rec{key: prefix64(k.at(i)[skip:]), row: int32(i)}
	}
	if err := radixSort(ctx, recs, 64); err != nil {
		return nil, err
	}
	if err := sortTies(ctx, recs, &k, skip+8); err != nil {
		return nil, err
	}
	out := make([]int32, n)
	for i := range recs {
		out[i] = recs[i].row
	}
	return out, nil
}

// sortTies sorts runs of equal keys by the bytes of the encoded keys from depth.
// No encoded key is the beginning of another, so zeros may stand for what is
// behind the end of one.
func sortTies(ctx context.Context, recs []rec, k *encodedKeys, depth int) error {
	for from := 0; from < len(recs); {
		to := from + 1
		for to < len(recs) && recs[to].key == recs[from].key {
			to++
		}
		run := recs[from:to]
		from = to
		if len(run) == 1 {
			continue
		}
		more := false
		for i := range run {
			key := k.at(int(run[i].row))
			run[i].key = 0
			if len(key) > depth {
				run[i].key = prefix64(key[depth:])
				more = true
			}
		}
		if !more {
			continue
		}
		if err := radixSort(ctx, run, 64); err != nil {
			return err
		}
		if err := sortTies(ctx, run, k, depth+8); err != nil {
			return err
		}
	}
	return nil
}

func prefix64(b []byte) uint64 {
	if len(b) >= 8 {
		return binary.BigEndian.Uint64(b)
	}
	var w [8]byte
	copy(w[:], b)
	return binary.BigEndian.Uint64(w[:])
}
