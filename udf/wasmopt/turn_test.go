package wasmopt

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"
)

// Functions of other compilers are read, too.
func TestTurnVectors(t *testing.T) {
	compare := []byte{opI32Const, 0, opLocalGet, 0, opLocalGet, 1, opI32And, 0x48} // i32.lt_s
	turned := []byte{opLocalGet, 0, opLocalGet, 1, opI32And, opI32Const, 0, 0x4a}  // i32.gt_s
	before := append([]byte{1, 2, 0x7b,                                            // two locals of v128
		0xfd, 12}, make([]byte, 16)...) // v128.const
	before = append(before, 0xfd, 27, 3, 0x1a, // i32x4.extract_lane 3, drop
		opBlock, 5, opEnd, // of type 5
		0xd0, 0x70, 0xd1, 0x1a, // ref.null func, ref.is_null, drop
		opI32Const, 0, opI32Const, 0, opI32Const, 0, 0xfc, 8, 1, 0) // memory.init
	end := []byte{opBrIf, 0, opEnd}
	got, ok := turnBody(slices.Concat(before, compare, end))
	if want := slices.Concat(before, turned, end); !ok || !bytes.Equal(got, want) {
		t.Errorf("%v: % x, want % x", ok, got, want)
	}
	if _, ok := turnBody(slices.Concat(before, []byte{0xfd, 0x80, 0x04}, compare, end)); ok {
		t.Error("an unknown instruction was read")
	}
}

// A module as Go made it compares zeros as it should, and computes the rest as before.
func TestTurnZeros(t *testing.T) {
	module := build(t)
	start := time.Now()
	turned, err := TurnZeros(module)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes in %v", len(module), time.Since(start))
	signs, got, _ := strings.Cut(run(t, turned), "\n")
	if signs != "1 0 0 1" {
		t.Errorf("signs: %s", signs)
	}
	if _, want, _ := strings.Cut(run(t, module), "\n"); got != want {
		t.Errorf("the module prints\n%s\nand before\n%s", got, want)
	}
	again, err := TurnZeros(turned)
	if err != nil || !bytes.Equal(again, turned) {
		t.Errorf("there was something left to turn (%v)", err)
	}
	better, _, err := Optimize(module)
	if err != nil {
		t.Fatal(err)
	}
	if same, err := TurnZeros(better); err != nil || !bytes.Equal(same, better) {
		t.Errorf("Optimize left something to turn (%v)", err)
	}
	for _, bad := range [][]byte{nil, module[:7], module[:100], module[:len(module)-9], append(bytes.Clone(module), 1, 2, 3)} {
		if _, err := TurnZeros(bad); err == nil && len(bad) < 200 {
			t.Errorf("%d bytes of a module are no module", len(bad))
		}
	}
}
