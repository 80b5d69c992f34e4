package udf

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// TestFromDocs runs the plugin that docs/udf/protocol.md shows: who reads that page
// can write a runtime.
func TestFromDocs(t *testing.T) {
	if pluginStore == nil {
		t.Skip("there is no Go toolchain: the tests have no store")
	}
	python, err := Python(context.Background())
	if err != nil {
		t.Skip(err)
	}
	page, err := os.ReadFile("../docs/udf/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	_, code, ok := strings.Cut(string(page), "```python\n")
	code, _, ended := strings.Cut(code, "```\n")
	if !ok || !ended {
		t.Fatal("the page has no plugin")
	}
	// A child's PATH may lack the interpreter of this machine.
	bin := []byte(strings.Replace(code, "#!/usr/bin/env python3", "#!"+python, 1))
	file := filepath.Join(t.TempDir(), "plugin")
	if err := os.WriteFile(file, bin, 0o755); err != nil {
		t.Fatal(err)
	}
	said, err := exec.Command(file, "--manifest").Output()
	if err != nil {
		t.Fatal(err)
	}
	var m Manifest
	if err := json.Unmarshal(said, &m); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(bin)
	m.Platforms = []Platform{{runtime.GOOS, runtime.GOARCH, "bin/plugin", hex.EncodeToString(sum[:]), int64(len(bin))}}
	var tar bytes.Buffer
	if err := writeBundle(&tar, &m, map[string][]byte{"bin/plugin": bin}); err != nil {
		t.Fatal(err)
	}
	ctx := testContext(t)
	digest, err := pluginStore.Put(ctx, &tar)
	if err != nil {
		t.Fatal(detail(err))
	}
	for _, plain := range []bool{false, true} {
		h := testHost(t, func(c *HostConfig) { c.NoSharedMemory = plain })
		ref := func(symbol string) *function.Function {
			return &function.Function{Name: symbol, Kind: function.Scalar, Args: typeList(types.Float8), Returns: types.T(types.Float8),
				UDF: &function.UDFRef{Digest: digest, Symbol: symbol}}
		}
		s, err := h.Scalar(ctx, RefToProto(ref("twice")))
		if err != nil {
			t.Fatal(detail(err))
		}
		x := make([]float64, 100_000)
		for i := range x {
			x[i] = float64(i)
		}
		for range 3 {
			v, err := s.Call(ctx, []*vector.Vector{nulls(floats(x...), 3)}, len(x))
			if err != nil {
				t.Fatal(detail(err))
			}
			if !v.IsNull(3) || vector.At[float64](v, 99_999) != 199_998 {
				t.Errorf("wrong: %v", vector.At[float64](v, 99_999))
			}
		}
		s.Close()
		_, err = call(ctx, h, RefToProto(ref("inverse")), floats(1, 0, 2))
		for _, w := range []string{"38000", "ZeroDivisionError", "row 2,", "x = 0"} {
			if !strings.Contains(detail(err), w) {
				t.Errorf("%s: lacks %q", detail(err), w)
			}
		}
	}
}
