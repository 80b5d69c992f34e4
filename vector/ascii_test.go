package vector

import (
	"bytes"
	"testing"
)

func TestIsASCII(t *testing.T) {
	for n := range 100 {
		b := bytes.Repeat([]byte{0x7f}, n)
		if !IsASCII(b) {
			t.Error(n)
		}
		for i := range b {
			b[i] = 0x80
			if IsASCII(b) {
				t.Errorf("byte %d of %d", i, n)
			}
			b[i] = 0
		}
	}
}
