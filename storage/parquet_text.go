package storage

import (
	"encoding/binary"
	"math"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// Most texts are short, and to call memmove for each costs more than the bytes. A
// text of up to wideCopy bytes is therefore copied as that many, where both sides
// have room; what is too much is overwritten by the next.
const wideCopy = 32

// dirtyInts returns n numbers that hold anything, for a caller that writes all.
func dirtyInts(n int) []int32 {
	return vector.Values[int32](vector.NewDirty(types.T(types.Int4), n))
}

// dirtyBytes is dirtyInts for bytes.
func dirtyBytes(n int) []byte {
	return vector.NewDirty(types.T(types.Int8), (n+7)/8).Raw()
}

// takeTexts appends n values, each behind its length, and returns what is left
// of data.
func takeTexts(data []byte, n int, offs []int32, text []byte) ([]byte, []int32, []byte, error) {
	at, end := 0, len(text)
	for range n {
		if len(data)-at < 4 {
			return nil, nil, nil, errTruncated
		}
		size := int(binary.LittleEndian.Uint32(data[at:]))
		at += 4
		if size > len(data)-at {
			return nil, nil, nil, errTruncated
		}
		if size <= wideCopy && at+wideCopy <= len(data) && end+wideCopy <= cap(text) {
			*(*[wideCopy]byte)(text[end : end+wideCopy]) = *(*[wideCopy]byte)(data[at:])
		} else {
			text = append(text[:end], data[at:at+size]...)
		}
		at += size
		end += size
		offs = append(offs, int32(end))
	}
	if end > math.MaxInt32 {
		return nil, nil, nil, pgerr.New(pgerr.ProgramLimitExceeded, "values of a column exceed 2 GB")
	}
	return data[at:], offs, text[:end], nil
}

// appendOfDict appends the entries that codes name, which are of the dictionary.
func appendOfDict(offs []int32, text []byte, dict *vector.Vector, codes []int32, def []int16, maxDef int16) ([]int32, []byte) {
	if len(codes) == len(def) {
		o, b, end := dict.Offs, dict.Bytes, len(text)
		for _, c := range codes {
			at, size := int(o[c]), int(o[c+1]-o[c])
			if size <= wideCopy && at+wideCopy <= len(b) && end+wideCopy <= cap(text) {
				*(*[wideCopy]byte)(text[end : end+wideCopy]) = *(*[wideCopy]byte)(b[at:])
			} else {
				text = append(text[:end], b[at:at+size]...)
			}
			end += size
			offs = append(offs, int32(end))
		}
		return offs, text[:end]
	}
	k := 0
	for _, l := range def {
		if l == maxDef {
			text = append(text, dict.BytesAt(int(codes[k]))...)
			k++
		}
		offs = append(offs, int32(len(text)))
	}
	return offs, text
}

// pickPlain reads those of the next n values of a plain page that rows names.
func (d *textPages) pickPlain(n int, rows []int32) (*vector.Vector, error) {
	offs := append(dirtyInts(len(rows) + 1)[:0], 0)
	var text []byte
	if d.size > 0 {
		text = dirtyBytes(d.size)[:0]
	}
	data := d.plain
	for i := range n {
		if len(data) < 4 {
			return nil, errTruncated
		}
		size := int(binary.LittleEndian.Uint32(data))
		if size > len(data)-4 {
			return nil, errTruncated
		}
		for len(rows) > 0 && int(rows[0]) == i {
			text = append(text, data[4:4+size]...)
			offs = append(offs, int32(len(text)))
			rows = rows[1:]
		}
		data = data[4+size:]
	}
	d.plain = data
	d.size = len(text)
	return d.checked(vector.FromBytes(d.typ, offs, text))
}
