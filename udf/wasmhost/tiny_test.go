package wasmhost

import (
	"bytes"
	"context"
	"encoding/binary"
	"flag"
	"math"
	"os"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write ../testdata/tiny/tiny.wasm")

const tinyFile = "../testdata/tiny/tiny.wasm"

const tinyManifest = `{"abi":2,"name":"tiny","toolchain":"by hand","functions":[` +
	`{"name":"twice_plus_one","args":[{"name":"x","type":"float64"}],"returns":{"type":"float64"},"volatility":"immutable"},` +
	`{"name":"same","args":[{"name":"x","type":"string","nullable":true}],"returns":{"type":"string","nullable":true},"volatility":"immutable"},` +
	`{"name":"traps","args":[{"type":"int64"}],"returns":{"type":"int64"}},` +
	`{"name":"refuses","args":[{"type":"int64"}],"returns":{"type":"int64"}},` +
	`{"name":"lies","args":[{"type":"int64"}],"returns":{"type":"int64"}},` +
	`{"name":"loops","args":[{"type":"int64"}],"returns":{"type":"int64"}}]}`

const tinyError = `{"code":"22003","message":"too tiny","hint":"Ask a larger module."}`

// tiny is the module of ../testdata/tiny/tiny.wat.
func tiny() []byte {
	uleb := func(v uint64) []byte { return binary.AppendUvarint(nil, v) }
	sleb := func(v int64) (b []byte) {
		for {
			c := byte(v & 0x7f)
			v >>= 7
			if v == 0 && c&0x40 == 0 || v == -1 && c&0x40 != 0 {
				return append(b, c)
			}
			b = append(b, c|0x80)
		}
	}
	cat := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	vec := func(items ...[]byte) []byte { return cat(append([][]byte{uleb(uint64(len(items)))}, items...)...) }
	name := func(s string) []byte { return cat(uleb(uint64(len(s))), []byte(s)) }
	section := func(id byte, body []byte) []byte { return cat([]byte{id}, uleb(uint64(len(body))), body) }
	const i32, i64 = 0x7f, 0x7e
	typ := func(params, results []byte) []byte {
		return cat([]byte{0x60}, uleb(uint64(len(params))), params, uleb(uint64(len(results))), results)
	}
	get := func(i byte) []byte { return []byte{0x20, i} }
	set := func(i byte) []byte { return []byte{0x21, i} }
	c32 := func(v int64) []byte { return cat([]byte{0x41}, sleb(v)) }
	c64 := func(v int64) []byte { return cat([]byte{0x42}, sleb(v)) }
	f64 := func(v float64) []byte {
		return binary.LittleEndian.AppendUint64([]byte{0x44}, math.Float64bits(v))
	}
	op := func(b ...byte) []byte { return b }
	load := func(off uint64) []byte { return cat(op(0x28, 2), uleb(off)) }
	const end = 0x0b
	code := func(locals byte, body ...[]byte) []byte {
		decl := op(0)
		if locals > 0 {
			decl = op(1, locals, i32)
		}
		b := cat(decl, cat(body...), op(end))
		return cat(uleb(uint64(len(b))), b)
	}
	const at = 1024 // of the texts
	packed := func(addr, n int) []byte { return c64(int64(addr)<<32 | int64(n)) }
	isFn := func(n int64, body ...[]byte) []byte {
		return cat(get(0), c32(n), op(0x46, 0x04, 0x40), cat(body...), op(end))
	}
	call := code(2, // params 0 fn, 1 ptr, 2 len; locals 3 p, 4 end
		isFn(2, op(0x00)),                     // unreachable
		isFn(3, c64(0), op(0x0f)),             // return 0: see volley_error
		isFn(4, packed(1<<30, 96), op(0x0f)),  // outside of the memory
		isFn(5, op(0x03, 0x40, 0x0c, 0, end)), // loop br 0
		isFn(0,
			get(1), load(40), set(3), // the first column's data
			get(3), get(1), load(0), c32(3), op(0x74), op(0x6a), set(4),
			op(0x02, 0x40, 0x03, 0x40),
			get(3), get(4), op(0x4f, 0x0d, 1),
			get(3), get(3), op(0x2b, 3, 0), f64(2), op(0xa2), f64(1), op(0xa0), op(0x39, 3, 0),
			get(3), c32(8), op(0x6a), set(3),
			op(0x0c, 0, end, end)),
		get(1), op(0xad), c64(32), op(0x86), get(2), op(0xad), op(0x84)) // the batch itself
	return cat([]byte("\x00asm\x01\x00\x00\x00"),
		section(1, vec(typ(nil, op(i32)), typ(nil, op(i64)), typ(op(i32), op(i32)), typ(op(i32, i32), nil), typ(op(i32, i32, i32), op(i64)))),
		section(3, vec(op(0), op(1), op(2), op(3), op(4), op(1))),
		section(5, vec(op(0, 1))),
		section(7, vec(
			cat(name("memory"), op(2, 0)),
			cat(name("volley_abi"), op(0, 0)), cat(name("volley_manifest"), op(0, 1)), cat(name("volley_alloc"), op(0, 2)),
			cat(name("volley_free"), op(0, 3)), cat(name("volley_call"), op(0, 4)), cat(name("volley_error"), op(0, 5)))),
		section(10, vec(
			code(0, c32(PlainABI)),
			code(0, packed(at, len(tinyManifest))),
			code(1, // grow by the pages that it takes; 0 if that fails
				get(0), c32(65535), op(0x6a), c32(16), op(0x76), op(0x40, 0), op(0x22, 1),
				c32(-1), op(0x46, 0x04, i32), c32(0), op(0x05), get(1), c32(16), op(0x74), op(end)),
			code(0),
			call,
			code(0, packed(at+len(tinyManifest), len(tinyError))))),
		section(11, vec(cat(op(0), c32(at), op(end), name(tinyManifest+tinyError)))))
}

func TestTinyModule(t *testing.T) {
	module := tiny()
	if *rewrite {
		if err := os.WriteFile(tinyFile, module, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if have, err := os.ReadFile(tinyFile); err != nil || !bytes.Equal(have, module) {
		t.Errorf("%s is not what this test makes: run it with -rewrite (%v)", tinyFile, err)
	}
	m, err := Describe(context.Background(), module)
	if err != nil {
		t.Fatal(err)
	}
	if m.Name != "tiny" || len(m.Functions) != 6 || m.Functions[2].Volatility != "volatile" {
		t.Errorf("manifest %+v", m)
	}
}

func TestBadModules(t *testing.T) {
	good := string(tiny())
	for want, module := range map[string]string{
		"cannot be compiled":                "no module",
		"does not export volley_abi":        strings.Replace(good, "volley_abi", "volley_abc", 1),
		"exports neither":                   strings.Replace(good, "volley_call", "volley_cull", 1),
		"version 2 of the ABI":              strings.Replace(good, "\x04\x00\x41\x01\x0b", "\x04\x00\x41\x02\x0b", 1),
		"manifest: invalid character":       strings.Replace(good, `{"abi":2`, `["abi":2`, 1),
		"there is no type \"float65\"":      strings.Replace(good, "float64", "float65", 1),
		"volley_free has another signature": strings.Replace(good, "\x60\x02\x7f\x7f\x00", "\x60\x02\x7f\x7e\x00", 1),
	} {
		if _, err := Describe(context.Background(), []byte(module)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
