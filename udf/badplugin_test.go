package udf

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/udf/sdk/wire"
)

// scripted makes an artifact whose binary is a shell script, or whatever text.
func scripted(t *testing.T, store *Store, name, text string, change func(*Manifest)) (digest string, err error) {
	t.Helper()
	path := "bin/" + runtime.GOOS + "-" + runtime.GOARCH + "/plugin"
	sum := sha256.Sum256([]byte(text))
	m := &Manifest{ABI: wire.ABI, Name: name, Toolchain: "none", Functions: []ManifestFunction{{Name: "f", Kind: "scalar", Volatility: "immutable",
		Args: []ManifestParam{{Name: "x", Type: "int64"}}, Returns: &ManifestParam{Type: "int64"}}},
		Platforms: []Platform{{runtime.GOOS, runtime.GOARCH, path, hex.EncodeToString(sum[:]), int64(len(text))}}}
	if change != nil {
		change(m)
	}
	a, err := writeArtifact(m, map[string][]byte{m.Platforms[0].Path: []byte(text)}, BuildOptions{TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return store.PutFile(context.Background(), a.Path)
}

// bytesOut is a command of the shell that writes b to the control socket.
func bytesOut(b []byte) string {
	var s strings.Builder
	for _, c := range b {
		fmt.Fprintf(&s, "\\%03o", c)
	}
	return "printf '" + s.String() + "' >&3\n"
}

func helloOf(t *testing.T, abi int) []byte {
	m := wire.HelloMsg{Magic: wire.Magic, ABI: abi, Manifest: wire.Manifest{ABI: abi, Toolchain: "none", Functions: []wire.Function{{Name: "f", Kind: "scalar",
		Args: []wire.Param{{Name: "x", Type: "int64"}}, Returns: &wire.Param{Type: "int64"}}}}}
	payload, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return appendFrame(nil, wire.Header{Type: wire.Hello}, payload)
}

// Plugins that do not keep to the protocol: each is an error of the call that says
// what is wrong, its process is gone, and other plugins of the host are not touched.
func TestBadPlugins(t *testing.T) {
	h := testHost(t, nil)
	store := h.cfg.Store
	const sh = "#!/bin/sh\n"
	opened := appendFrame(nil, wire.Header{Type: wire.Opened, Stream: 1}, nil)
	// Until it has been asked to open a stream.
	welcome, err := json.Marshal(wire.WelcomeMsg{ABI: wire.ABI})
	if err != nil {
		t.Fatal(err)
	}
	asked := fmt.Sprintf("head -c %d <&3 >/dev/null\n", 2*wire.HeaderSize+len(welcome))
	nonsense := []byte("this is not a frame, and long enough for a header\n")
	// A result in a slot that the child was never given.
	wild := appendFrame(nil, wire.Header{Type: wire.Result, Stream: 1, Slot: 999, Seq: 1, Flags: wire.FlagLast}, (&wire.BatchMsg{Rows: 1}).Append(nil))
	// A result whose columns lie beyond the slot.
	beyond := appendFrame(nil, wire.Header{Type: wire.Result, Stream: 1, Seq: 1, Flags: wire.FlagLast},
		(&wire.BatchMsg{Rows: 1, Cols: []wire.Col{{Kind: wire.Int64, Data: 1 << 30}}}).Append(nil))
	for _, c := range []struct{ name, text, code, says string }{
		{"garbage", sh + bytesOut(nonsense) + "sleep 60\n", "39000", "broke the protocol"},
		{"truncated", sh + bytesOut(helloOf(t, wire.ABI)[:30]), "38000", "exited"},
		{"old", sh + bytesOut(helloOf(t, wire.ABI-1)) + "sleep 60\n", "39000", fmt.Sprintf("speaks protocol version %d, this server version %d", wire.ABI-1, wire.ABI)},
		{"leaves", sh + "echo cannot find the model >&2\nexit 9\n", "38000", "exit status 9"},
		{"hangs-up", sh + "exec 3>&-\nsleep 60\n", "38000", "exited"},
		{"no-program", "neither a script nor a binary", "53000", "could not start plugin no-program"},
		{"no-interpreter", "#!/nowhere/interpreter\n", "53000", "could not start plugin no-interpreter"},
		{"garbage-later", sh + bytesOut(helloOf(t, wire.ABI)) + asked + bytesOut(opened) + bytesOut(nonsense) + "sleep 60\n", "39000", "broke the protocol"},
		{"unasked", sh + bytesOut(helloOf(t, wire.ABI)) + bytesOut(appendFrame(nil, wire.Header{Type: wire.Closed, Stream: 77}, nil)) + "sleep 60\n", "39000", "broke the protocol"},
		{"wild-slot", sh + bytesOut(helloOf(t, wire.ABI)) + asked + bytesOut(opened) + bytesOut(wild) + "sleep 60\n", "39000", "broke the protocol"},
		{"beyond", sh + bytesOut(helloOf(t, wire.ABI)) + asked + bytesOut(opened) + bytesOut(beyond) + "sleep 60\n", "39000", "f returned"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx := testContext(t)
			digest, err := scripted(t, store, c.name, c.text, nil)
			if err != nil {
				t.Fatal(detail(err))
			}
			ref := &proto.UDF{Digest: digest, Symbol: "f", Display: "f", Args: []*proto.Type{typeToProto(types.T(types.Int8))}, Returns: typeToProto(types.T(types.Int8))}
			begin := time.Now()
			_, err = call(ctx, h, ref, ints(1))
			if err == nil || pgerr.Code(err) != c.code || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s", detail(err))
			}
			if c.name == "leaves" && !strings.Contains(detail(err), "cannot find the model") {
				t.Errorf("what it wrote is not told: %s", detail(err))
			}
			if c.name == "old" && !strings.Contains(pgerr.From(err).Hint, "Build the plugin again") {
				t.Errorf("hint: %q", pgerr.From(err).Hint)
			}
			if took := time.Since(begin); took > 10*time.Second {
				t.Errorf("after %v", took)
			}
		})
	}
	// A plugin that says nothing ends with the statement that waits for it.
	digest, err := scripted(t, store, "silent", sh+"sleep 60\n", nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(testContext(t), 500*time.Millisecond)
	defer cancel()
	ref := &proto.UDF{Digest: digest, Symbol: "f", Display: "f", Args: []*proto.Type{typeToProto(types.T(types.Int8))}, Returns: typeToProto(types.T(types.Int8))}
	if _, err := call(ctx, h, ref, ints(1)); pgerr.Code(err) != pgerr.QueryCanceled {
		t.Errorf("silent: %s", detail(err))
	}
	// What cannot run here is refused when it is stored, or else when it is called.
	for _, c := range []struct {
		name, code, says string
		change           func(*Manifest)
	}{
		{"elsewhere", "0A000", "has no binary for " + runtime.GOOS + "/" + runtime.GOARCH, func(m *Manifest) {
			m.Platforms[0].OS, m.Platforms[0].Arch, m.Platforms[0].Path = "plan9", "mips", "bin/plan9-mips/plugin"
		}},
		{"sql", "22023", `has the unknown runtime "sql"`, func(m *Manifest) { m.Runtime = "sql" }},
		{"no-module", "0A000", "no module of WebAssembly", func(m *Manifest) { m.Runtime = RuntimeWasm }},
		{"ancient", "39000", "speaks protocol version", func(m *Manifest) { m.ABI = 1 }},
	} {
		digest, err := scripted(t, store, c.name, sh, c.change)
		if stored := c.name == "elsewhere"; stored != (err == nil) {
			t.Errorf("%s is stored: %v, want %v", c.name, err == nil, stored)
		}
		if c.name == "sql" && !strings.Contains(detail(err), "go, grpc, inprocess, python, wasm") {
			t.Errorf("the hint does not name the runtimes: %s", detail(err))
		}
		if err == nil {
			_, err = call(testContext(t), h, &proto.UDF{Digest: digest, Symbol: "f", Display: "f", Args: ref.Args, Returns: ref.Returns}, ints(1))
		}
		if pgerr.Code(err) != c.code || !strings.Contains(fmt.Sprint(err), c.says) {
			t.Errorf("%s: %s", c.name, detail(err))
		}
	}
	// Nothing is left of them, and others work.
	v, err := call(testContext(t), h, scalarRef("add", types.Float8, types.Float8, types.Float8), floats(1), floats(2))
	if err != nil || show(v) != "3" {
		t.Error(detail(err))
	}
	deadline := time.Now().Add(30 * time.Second)
	for len(h.Children()) > 1 && time.Now().Before(deadline) {
		time.Sleep(20 * time.Millisecond)
	}
	if pids := h.Children(); len(pids) != 1 || syscall.Kill(pids[0], 0) != nil {
		t.Errorf("children: %v", pids)
	}
}
