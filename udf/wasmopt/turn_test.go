package wasmopt

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

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
