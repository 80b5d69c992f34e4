package wasmopt

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

// program builds testdata/program once.
var program = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "wasmopt-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "program.wasm")
	cmd := exec.Command("go", "build", "-ldflags=-w", "-o", out, "./testdata/program")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=")
	if b, err := cmd.CombinedOutput(); err != nil {
		return b, err
	}
	return os.ReadFile(out)
})

func build(t *testing.T) []byte {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("there is no Go toolchain")
	}
	module, err := program()
	if err != nil {
		t.Fatalf("%v: %s", err, module)
	}
	return module
}

// run runs a program and returns what it prints.
func run(t *testing.T, module []byte) string {
	t.Helper()
	ctx := context.Background()
	rt := wazero.NewRuntime(ctx)
	defer rt.Close(ctx)
	wasi_snapshot_preview1.MustInstantiate(ctx, rt)
	var out bytes.Buffer
	// Little memory, so that the collector runs, and real clocks, by which the
	// scheduler interrupts.
	_, err := rt.InstantiateWithConfig(ctx, module, wazero.NewModuleConfig().WithStdout(&out).WithStderr(&out).
		WithEnv("GOGC", "20").WithSysNanotime().WithSysWalltime().WithSysNanosleep())
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	return out.String()
}

func TestSameResults(t *testing.T) {
	module := build(t)
	better, st, err := Optimize(module)
	if err != nil {
		t.Fatal(err)
	}
	// Most functions have jumps; a few, in assembly, have another form.
	if st.Restructured < st.Functions/2 {
		t.Errorf("%d of %d functions were written anew", st.Restructured, st.Functions)
	}
	// The first line is not that of the module before: see zeroLast.
	signs, got, _ := strings.Cut(run(t, better), "\n")
	if signs != "1 0 0 1" {
		t.Errorf("signs: %s", signs)
	}
	if _, want, _ := strings.Cut(run(t, module), "\n"); got != want {
		t.Errorf("the module prints\n%s\nand before\n%s", got, want)
	}
	again, _, err := Optimize(module)
	if err != nil || !bytes.Equal(again, better) {
		t.Errorf("twice the same module gave two different ones (%v)", err)
	}
}

// TestNoLoopsLeft wants the table of branches around a whole function to be gone.
func TestNoLoopsLeft(t *testing.T) {
	better, _, err := Optimize(build(t))
	if err != nil {
		t.Fatal(err)
	}
	_, again, err := Optimize(better)
	if err != nil {
		t.Fatal(err)
	}
	if again.Restructured > 0 {
		t.Errorf("%d functions can be written anew a second time", again.Restructured)
	}
}

// TestDamaged gives Optimize what is no module of Go's: it must not panic or take
// for ever.
func TestDamaged(t *testing.T) {
	module := build(t)
	if _, _, err := Optimize([]byte("no module")); err == nil {
		t.Error("text is a module")
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 8 {
		bad := bytes.Clone(module)
		for range 200 {
			bad[8+rnd.IntN(len(bad)-8)] = byte(rnd.Uint32())
		}
		_, _, _ = Optimize(bad[:len(bad)-rnd.IntN(len(bad)/2)])
		_, _, _ = Optimize(bad)
	}
	short := module[:len(module)/3]
	if _, _, err := Optimize(short); err == nil {
		t.Error("a third of a module is one")
	}
}

func TestSimplify(t *testing.T) {
	load := func(off uint64) instr {
		return instr{op: opI64Load, arg: off, raw: append([]byte{opI64Load, 3}, byte(off))}
	}
	store := func(off uint64) instr {
		return instr{op: opI64Store, arg: off, raw: append([]byte{opI64Store, 3}, byte(off))}
	}
	load8, low8 := instr{op: opI64Load8U, raw: []byte{opI64Load8U, 0, 0}}, instr{op: 0x2d, raw: []byte{0x2d, 0, 0}}
	get := func(l uint32) instr { return indexed(opLocalGet, l) }
	c64 := func(v byte) instr { return instr{op: opI64Const, arg: uint64(v), raw: []byte{opI64Const, v}} }
	frame := func(v byte) []instr {
		return []instr{get(spLocal), simple(opI64ExtendU), c64(v), simple(opI64Add), simple(opI32WrapI64)}
	}
	cat := func(parts ...any) (out []instr) {
		for _, p := range parts {
			switch p := p.(type) {
			case instr:
				out = append(out, p)
			case []instr:
				out = append(out, p...)
			}
		}
		return out
	}
	for name, c := range map[string]struct{ in, want []instr }{
		"not less": {cat(get(2), get(3), simple(0x53), simple(opI32Eqz)), cat(get(2), get(3), simple(0x59))},
		// NaN is not less and not greater or equal.
		"floats": {cat(get(2), get(3), simple(0x63), simple(opI32Eqz)), cat(get(2), get(3), simple(0x63), simple(opI32Eqz))},
		"0 with an and": {cat(c64(0), get(2), get(3), simple(opI64And), simple(0x53), simple(opI32Eqz)),
			cat(get(2), get(3), simple(opI64And), c64(0), simple(0x57))},
		"what may be 0 with an and": {cat(get(5), get(2), get(3), simple(opI64And), simple(0x53)),
			cat(get(2), get(3), simple(opI64And), get(5), simple(0x55))},
		"what is set meanwhile": {cat(get(2), get(3), indexed(opLocalTee, 2), get(4), simple(opI64And), simple(0x53)),
			cat(get(2), get(3), indexed(opLocalTee, 2), get(4), simple(opI64And), simple(0x53))},
		"widened": {cat(get(2), simple(opI64ExtendU), simple(opI32WrapI64)), cat(get(2))},
		"load":    {cat(frame(16), load(8)), cat(get(spLocal), load(24))},
		"store":   {cat(frame(16), get(2), store(8)), cat(get(spLocal), get(2), store(24))},
		"store of a sum": {cat(frame(16), get(2), get(3), simple(opI64Add), store(0)),
			cat(get(spLocal), get(2), get(3), simple(opI64Add), store(16))},
		"store of a load": {cat(frame(16), frame(32), load(0), store(0)), cat(get(spLocal), get(spLocal), load(32), store(16))},
		"of a table of bytes": {cat(c64(64), get(2), simple(opI32WrapI64), load8, simple(opI64Add), simple(opI32WrapI64), load(8)),
			cat(get(2), simple(opI32WrapI64), low8, load(72))},
		"of a table of words": {cat(c64(64), get(2), simple(opI32WrapI64), load8, c64(3), simple(opI64Shl), simple(opI64Add), simple(opI32WrapI64), load(8)),
			cat(get(2), simple(opI32WrapI64), load8, c64(3), simple(opI64Shl), simple(opI32WrapI64), load(72))},
		// A negative index reaches below the address.
		"of an array": {cat(c64(64), get(2), simple(opI64Add), simple(opI32WrapI64), load(8)),
			cat(c64(64), get(2), simple(opI64Add), simple(opI32WrapI64), load(8))},
		"not zero": {cat(get(2), simple(opI64Eqz), simple(opI32Eqz)), cat(get(2), c64(0), simple(opI64Ne))},
		"constant": {cat(c64(9), simple(opI32WrapI64)), cat(i32Const(9))},
		"an address that is computed with": {cat(frame(16), i32Const(4), simple(opI32Add), load(0)),
			cat(get(spLocal), i32Const(16), simple(opI32Add), i32Const(4), simple(opI32Add), load(0))},
		"an address that is kept": {cat(frame(16), indexed(opLocalTee, 5), load(0)),
			cat(get(spLocal), i32Const(16), simple(opI32Add), indexed(opLocalTee, 5), load(0))},
		"an address that is a value": {cat(get(4), frame(16), store(0)), cat(get(4), get(spLocal), i32Const(16), simple(opI32Add), store(0))},
		"one of two": {cat(frame(16), get(2), get(3), simple(opSelect), load(0)),
			cat(get(spLocal), i32Const(16), simple(opI32Add), get(2), get(3), simple(opSelect), load(0))},
	} {
		s := simplifier{sp: true}
		got := s.simplify(c.in)
		flat := func(ins []instr) (b []byte) {
			for _, x := range ins {
				b = append(b, x.raw...)
			}
			return b
		}
		want := flat(c.want)
		if !bytes.Equal(flat(got), want) {
			t.Errorf("%s: %x, want %x", name, flat(got), want)
		}
	}
	if s := (simplifier{}); len(s.simplify(frame(16))) != 5 {
		t.Error("an address of a function without a stack pointer was changed")
	}
}
