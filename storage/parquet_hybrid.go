package storage

import (
	"encoding/binary"
	"math"
)

// hybrid reads Parquet's mix of run-length and bit-packed integers.
type hybrid struct {
	data  []byte
	width int
	run   int    // values left in a run of value
	value uint32 //
	pack  int    // values left in bit-packed data
	bit   int    // of the next one

	coded   bool // values are codes of a dictionary
	entries int  // of that many
}

func newHybrid(data []byte, width int) hybrid { return hybrid{data: data, width: width} }

// header starts the next run.
func (h *hybrid) header() error {
	x, n := binary.Uvarint(h.data)
	if n <= 0 || x>>1 > math.MaxInt32 || x>>1 == 0 {
		return errTruncated
	}
	h.data = h.data[n:]
	if x&1 == 1 {
		// The last group may be cut off where its values are not needed.
		h.pack, h.bit = int(x>>1)*8, 0
		return nil
	}
	h.run = int(x >> 1)
	size := (h.width + 7) / 8
	if len(h.data) < size {
		return errTruncated
	}
	h.value = 0
	for i := range size {
		h.value |= uint32(h.data[i]) << (8 * i)
	}
	h.data = h.data[size:]
	return nil
}

// skipRun passes n values if a run of v has that many left.
func (h *hybrid) skipRun(n int, v uint32) bool {
	if h.run == 0 && h.pack == 0 && n > 0 {
		at := *h
		if at.header() != nil {
			return false
		}
		*h = at
	}
	if h.run < n || h.value != v {
		return false
	}
	h.run -= n
	return true
}

// readHybrid fills dst.
func readHybrid[T int16 | int32 | uint32](h *hybrid, dst []T) error {
	for len(dst) > 0 {
		switch {
		case h.run > 0:
			n := min(h.run, len(dst))
			if h.coded && int(h.value) >= h.entries {
				return errCode(h.entries, h.value)
			}
			v := T(h.value)
			for i := range dst[:n] {
				dst[i] = v
			}
			h.run -= n
			dst = dst[n:]
		case h.pack > 0:
			n := min(h.pack, len(dst))
			if (h.bit+n*h.width+7)/8 > len(h.data) {
				return errTruncated
			}
			unpack(dst[:n], h.data, h.bit, h.width)
			if h.coded && (h.width > 31 || 1<<h.width > h.entries) {
				if err := checkCodes(dst[:n], h.entries); err != nil {
					return err
				}
			}
			h.bit += n * h.width
			h.pack -= n
			dst = dst[n:]
			if h.pack == 0 {
				h.data = h.data[min(len(h.data), (h.bit+7)/8):]
			}
		default:
			if err := h.header(); err != nil {
				return err
			}
		}
	}
	return nil
}

// pick passes n values and reads those at rows, ascending, into out.
func (h *hybrid) pick(n int, rows []int32, out []uint32) error {
	mask := uint64(1)<<h.width - 1
	for base := 0; base < n; {
		if h.run == 0 && h.pack == 0 {
			if err := h.header(); err != nil {
				return err
			}
		}
		m := min(h.run, n-base)
		if m > 0 {
			h.run -= m
			base += m
			i := 0
			for ; i < len(rows) && int(rows[i]) < base; i++ {
				out[i] = h.value
			}
			rows, out = rows[i:], out[i:]
			continue
		}
		m = min(h.pack, n-base)
		if (h.bit+m*h.width+7)/8 > len(h.data) {
			return errTruncated
		}
		i := 0
		for ; i < len(rows) && int(rows[i]) < base+m; i++ {
			bit := h.bit + (int(rows[i])-base)*h.width
			at := bit >> 3
			if at+8 <= len(h.data) {
				out[i] = uint32(binary.LittleEndian.Uint64(h.data[at:]) >> (bit & 7) & mask)
				continue
			}
			var last [8]byte
			copy(last[:], h.data[min(len(h.data), at):])
			out[i] = uint32(binary.LittleEndian.Uint64(last[:]) >> (bit & 7) & mask)
		}
		rows, out = rows[i:], out[i:]
		h.bit += m * h.width
		h.pack -= m
		base += m
		if h.pack == 0 {
			h.data = h.data[min(len(h.data), (h.bit+7)/8):]
		}
	}
	return nil
}

// unpack reads values of width bits from bit on.
func unpack[T int16 | int32 | uint32](dst []T, data []byte, bit, width int) {
	mask := uint64(1)<<width - 1
	i := 0
	w := uint(width) & 63
	switch {
	case width <= 8:
		// Eight values from where a byte begins are within eight bytes.
		for ; i < len(dst) && bit&7 != 0 && bit>>3+8 <= len(data); i++ {
			dst[i] = T(binary.LittleEndian.Uint64(data[bit>>3:]) >> (bit & 7) & mask)
			bit += width
		}
		at := bit >> 3
		for ; bit&7 == 0 && i+8 <= len(dst) && at+8 <= len(data); i += 8 {
			x := binary.LittleEndian.Uint64(data[at:])
			d := dst[i : i+8 : i+8]
			d[0] = T(x & mask)
			x >>= w
			d[1] = T(x & mask)
			x >>= w
			d[2] = T(x & mask)
			x >>= w
			d[3] = T(x & mask)
			x >>= w
			d[4] = T(x & mask)
			x >>= w
			d[5] = T(x & mask)
			x >>= w
			d[6] = T(x & mask)
			x >>= w
			d[7] = T(x & mask)
			at += width
			bit += 8 * width
		}
	case width <= 14:
		// Eight bytes hold four values wherever they start in the first of them.
		for ; i+4 <= len(dst) && bit>>3+8 <= len(data); i += 4 {
			x := binary.LittleEndian.Uint64(data[bit>>3:]) >> (bit & 7)
			d := dst[i : i+4 : i+4]
			d[0] = T(x & mask)
			x >>= w
			d[1] = T(x & mask)
			x >>= w
			d[2] = T(x & mask)
			x >>= w
			d[3] = T(x & mask)
			bit += 4 * width
		}
	case width <= 28:
		for ; i+2 <= len(dst) && bit>>3+8 <= len(data); i += 2 {
			x := binary.LittleEndian.Uint64(data[bit>>3:]) >> (bit & 7)
			d := dst[i : i+2 : i+2]
			d[0] = T(x & mask)
			d[1] = T(x >> w & mask)
			bit += 2 * width
		}
	}
	for ; i < len(dst) && bit>>3+8 <= len(data); i++ {
		dst[i] = T(binary.LittleEndian.Uint64(data[bit>>3:]) >> (bit & 7) & mask)
		bit += width
	}
	for ; i < len(dst); i++ {
		var last [8]byte
		copy(last[:], data[min(len(data), bit>>3):])
		dst[i] = T(binary.LittleEndian.Uint64(last[:]) >> (bit & 7) & mask)
		bit += width
	}
}
