package vector

import (
	"bytes"
	"slices"
	"testing"

	"github.com/volleydb/volley/types"
)

func TestTrim(t *testing.T) {
	tests := []struct {
		name string
		v    *Vector
	}{
		{"integers", FromSlice(types.T(types.Int8), []int64{1, 2, 3})},
		{"texts", FromStrings(types.T(types.Text), []string{"a", "bc", ""})},
		{"none", New(types.T(types.Int8), 0)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := NewAppender(tt.v.Type)
			a.Expect(1000)
			for i := range tt.v.Len {
				a.Append(tt.v, []int32{int32(i)})
			}
			got := a.Build()
			got.Trim()
			if cap(got.buf) > 2*len(got.buf) || cap(got.Offs) > 2*len(got.Offs) || cap(got.Bytes) > 8+2*len(got.Bytes) {
				t.Errorf("capacities %d, %d, %d after Trim of %d rows", cap(got.buf), cap(got.Offs), cap(got.Bytes), got.Len)
			}
			if !bytes.Equal(got.buf, tt.v.buf) || !slices.Equal(got.Offs, tt.v.Offs) || !bytes.Equal(got.Bytes, tt.v.Bytes) {
				t.Errorf("rows have changed: %v, were %v", got, tt.v)
			}
		})
	}
}
