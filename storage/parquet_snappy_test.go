package storage

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/compress/snappy"
)

// snappyInputs are blocks of what columns hold: numbers of few and of many bytes,
// text with repetitions, runs of every short pattern, noise.
func snappyInputs(r *rand.Rand) [][]byte {
	out := [][]byte{nil, {1}, bytes.Repeat([]byte{7}, 100_000)}
	for _, top := range []int64{3, 300, 200_000, 1 << 40} {
		var b []byte
		for range 20_000 {
			b = binary.LittleEndian.AppendUint64(b, uint64(r.Int64N(top)))
		}
		out = append(out, b, b[:777])
	}
	var text []byte
	for range 20_000 {
		text = fmt.Appendf(text, "http://%d.example/%x?q=%d", r.IntN(50), r.IntN(1000), r.IntN(1<<r.IntN(30)))
	}
	out = append(out, text)
	for size := 1; size < 70; size++ {
		var b []byte
		for len(b) < 3000 {
			unit := make([]byte, size)
			for i := range unit {
				unit[i] = byte(r.Uint32())
			}
			b = append(b, bytes.Repeat(unit, 1+r.IntN(20))...)
		}
		out = append(out, b)
	}
	noise := make([]byte, 100_000)
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	return append(out, noise)
}

// decodeBlock is decodeSnappy behind the length, within guard bytes.
func decodeBlock(t *testing.T, block []byte) ([]byte, bool) {
	t.Helper()
	n, head := binary.Uvarint(block)
	if head <= 0 || n > uint64(64*len(block)) {
		return nil, false
	}
	const guard = 64
	dst := bytes.Repeat([]byte{0xa5}, int(n)+guard)
	ok := decodeSnappy(dst[:n:n], block[head:])
	if !bytes.Equal(dst[n:], bytes.Repeat([]byte{0xa5}, guard)) {
		t.Fatalf("a block of %d bytes is written beyond its end", n)
	}
	return dst[:n], ok
}

func TestDecodeSnappy(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for i, in := range snappyInputs(r) {
		block := snappy.Encode(nil, in)
		if out, ok := decodeBlock(t, block); !ok || !bytes.Equal(out, in) {
			t.Errorf("input %d of %d bytes is decoded to something else", i, len(in))
		}
		// Damaged blocks are refused as the other decoder does.
		for range 60 {
			bad := bytes.Clone(block)
			for range 1 + r.IntN(3) {
				bad[r.IntN(len(bad))] = byte(r.Uint32())
			}
			bad = bad[:len(bad)-r.IntN(min(3, len(bad)))]
			compareSnappy(t, bad)
		}
	}
}

func compareSnappy(t *testing.T, block []byte) {
	t.Helper()
	n, err := snappy.DecodedLen(block)
	if err != nil || n > 64*len(block) {
		return
	}
	want, err := snappy.Decode(nil, block)
	out, ok := decodeBlock(t, block)
	if ok != (err == nil) || ok && !bytes.Equal(out, want) {
		t.Errorf("%x: valid is %v, the other decoder says %v", block[:min(len(block), 64)], ok, err)
	}
}

func FuzzDecodeSnappy(f *testing.F) {
	for _, in := range snappyInputs(rand.New(rand.NewPCG(3, 4))) {
		f.Add(snappy.Encode(nil, in[:min(len(in), 600)]))
	}
	f.Fuzz(func(t *testing.T, block []byte) { compareSnappy(t, block) })
}

func BenchmarkDecodeSnappy(b *testing.B) {
	for i, in := range snappyInputs(rand.New(rand.NewPCG(1, 2)))[:12] {
		block := snappy.Encode(nil, in)
		dst := make([]byte, len(in))
		_, head := binary.Uvarint(block)
		b.Run(fmt.Sprint(i), func(b *testing.B) {
			b.SetBytes(int64(len(in)))
			for b.Loop() {
				decodeSnappy(dst, block[head:])
			}
		})
	}
}
