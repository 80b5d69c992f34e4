package wasmopt

import (
	"bytes"
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// randomFunction writes functions of the form that Go's compiler gives to those with
// jumps, with any flow between the regions.
type randomFunction struct {
	*rand.Rand
	b       []byte
	regions int
	low     int        // the first region that is jumped to
	places  [][]uint32 // of regions
	depth   int        // of what is nested in the region
	region  int
}

// Locals, globals and imports of random functions.
const (
	rndI64      = 2 // the first of rndLocals locals
	rndLocals   = 4
	rndPointer  = rndI64 + rndLocals // the first of those that are addresses
	rndPointers = 1
	rndF64      = rndPointer + rndPointers
	rndSP       = 0 // global
	rndFuel     = 1 // global
	rndCall     = 0 // parks or returns
	rndLog      = 1 // notes a number
	rndTop      = 2048
	rndFrame    = 64
	rndBytes    = 4096 // of memory that is looked at
	rndRegions  = 14
)

func (f *randomFunction) op(b ...byte)              { f.b = append(f.b, b...) }
func (f *randomFunction) with(op byte, arg uint32)  { f.b = appendU32(append(f.b, op), arg) }
func (f *randomFunction) c32(v int)                 { f.b = appendI32Const(f.b, int32(v)) }
func (f *randomFunction) mem(op byte, at int)       { f.b = appendU32(append(f.b, op, 0), uint32(at)) }
func (f *randomFunction) local() uint32             { return rndI64 + uint32(f.IntN(rndLocals)) }
func (f *randomFunction) one(ops ...byte) byte      { return ops[f.IntN(len(ops))] }
func (f *randomFunction) open(op byte, result byte) { f.op(op, result); f.depth++ }
func (f *randomFunction) close()                    { f.op(opEnd); f.depth-- }

func (f *randomFunction) c64(v int64) {
	f.op(opI64Const)
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if v == 0 && c&0x40 == 0 || v == -1 && c&0x40 != 0 {
			f.op(c)
			return
		}
		f.op(c | 0x80)
	}
}

// address leaves an address on the stack, 32 bits.
func (f *randomFunction) address(depth int) {
	switch f.IntN(9) {
	case 0:
		f.with(opLocalGet, spLocal)
	case 1, 2: // of a variable in the frame
		f.with(opLocalGet, spLocal)
		f.op(opI64ExtendU)
		f.c64(int64(f.IntN(rndFrame)))
		f.op(opI64Add, opI32WrapI64)
	case 3: // of an element of a table
		f.c64(int64(f.IntN(1000) - 5))
		f.address(0)
		f.mem(f.one(0x31, 0x33), f.IntN(30))
		if f.IntN(2) == 0 {
			f.c64(int64(f.IntN(4)))
			f.op(0x86)
		}
		f.op(opI64Add, opI32WrapI64)
	default: // a pointer
		l := rndPointer + uint32(f.IntN(rndPointers))
		if f.IntN(8) == 0 {
			f.point(l)
		}
		for range f.IntN(2) {
			f.with(opLocalGet, l)
			f.op(opI32WrapI64)
			f.mem(opI64Load, f.IntN(16))
			f.op(opDrop)
		}
		f.with(opLocalGet, l)
		f.op(opI32WrapI64)
	}
}

// point sets a pointer.
func (f *randomFunction) point(l uint32) {
	f.value(1)
	f.c64(rndTop - 1)
	f.op(0x83) // and
	f.with(opLocalSet, l)
}

// value leaves 64 bits on the stack.
func (f *randomFunction) value(depth int) {
	if depth <= 0 {
		if f.IntN(4) == 0 {
			f.c64(f.Int64N(2000) - 1000)
		} else {
			f.with(opLocalGet, f.local())
		}
		return
	}
	switch f.IntN(8) {
	case 0:
		f.address(depth - 1)
		f.mem(byte(0x30+f.IntN(6)), f.IntN(40))
	case 1:
		f.condition(depth - 1)
		f.op(opI64ExtendU)
	case 2:
		f.value(depth - 1)
		f.op(opI32WrapI64, f.one(0xac, 0xad))
	case 3:
		f.value(depth - 1)
		f.value(depth - 1)
		f.condition(depth - 1)
		f.op(opSelect)
	case 4:
		f.value(depth - 1)
		f.with(opLocalTee, f.local())
	default:
		f.value(depth - 1)
		f.value(depth - 1)
		f.op(f.one(opI64Add, 0x7d, 0x7e, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89))
	}
}

// condition leaves 32 bits on the stack.
func (f *randomFunction) condition(depth int) {
	switch f.IntN(5) {
	case 0:
		f.value(depth)
		f.op(0x50)
	case 1:
		f.with(opLocalGet, rndF64)
		f.value(depth)
		f.op(0xb9, byte(0x61+f.IntN(6)))
	case 2:
		f.value(depth)
		f.op(opI32WrapI64)
		f.value(depth)
		f.op(opI32WrapI64, byte(opI32Eq+f.IntN(10)))
	default:
		f.value(depth)
		f.value(depth)
		f.op(byte(opI64Eq + f.IntN(10)))
	}
	for f.IntN(2) == 0 {
		f.op(opI32Eqz)
	}
}

// jump goes to a region.
func (f *randomFunction) jump() {
	to := f.places[f.low+f.IntN(f.regions-f.low)]
	f.c32(int(to[f.IntN(len(to))]))
	f.with(opLocalSet, 0)
	f.with(opBr, uint32(f.depth+f.regions-1-f.region))
}

func (f *randomFunction) statement(depth int) {
	switch n := f.IntN(16) - 2; {
	case n <= 0:
		f.point(rndPointer + uint32(f.IntN(rndPointers)))
	case n < 4:
		f.value(2)
		f.with(opLocalSet, f.local())
	case n < 6:
		f.address(1)
		f.value(1)
		f.mem(f.one(0x37, 0x3c, 0x3d, 0x3e), f.IntN(40))
	case n == 6:
		f.value(1)
		f.op(f.one(0xb9, 0xbf)) // a conversion; bits, which can be NaN
		f.with(opLocalSet, rndF64)
	case n == 7:
		f.with(opLocalGet, f.local())
		f.with(opCall, rndLog)
	case n == 8:
		f.address(0)
		f.address(0)
		if f.IntN(2) == 0 {
			f.c32(f.IntN(80))
		} else {
			f.value(0)
			f.c64(63)
			f.op(0x83, opI32WrapI64)
		}
		f.op(opMemory, memoryCopy, 0, 0)
	case n == 9:
		f.address(0)
		f.c32(f.IntN(2) * f.IntN(100))
		f.c32(f.IntN(160))
		f.op(opMemory, memoryFill, 0)
	case depth == 0:
	case n == 10: // forward within the region
		f.open(opBlock, noType)
		f.statement(depth - 1)
		f.condition(1)
		f.with(opBrIf, uint32(f.IntN(f.depth)))
		f.statement(depth - 1)
		if f.IntN(3) == 0 {
			f.with(opBr, 0)
		}
		f.close()
	case n == 11: // around
		f.open(opLoop, noType)
		f.fuel()
		f.statement(depth - 1)
		f.condition(1)
		f.with(opBrIf, 0)
		f.close()
	default:
		f.condition(1)
		f.open(opIf, noType)
		f.statement(depth - 1)
		switch f.IntN(8) {
		case 0, 1, 2:
			f.jump()
		case 3:
			f.op(opUnreachable)
		}
		if f.IntN(2) == 0 {
			f.op(opElse)
			f.statement(depth - 1)
			if f.IntN(3) == 0 {
				f.jump()
			}
		}
		f.close()
	}
}

// fuel ends a function that takes too long.
func (f *randomFunction) fuel() {
	f.with(opGlobalGet, rndFuel)
	f.c32(1)
	f.op(opI32Sub)
	f.with(opGlobalSet, rndFuel)
	f.with(opGlobalGet, rndFuel)
	f.op(opI32Eqz)
	f.open(opIf, noType)
	f.c32(2)
	f.op(opReturn)
	f.close()
}

// body writes a function.
func (f *randomFunction) body() []byte {
	f.regions = 1 + f.IntN(rndRegions)
	f.low = min(f.IntN(2), f.regions-1)
	f.places = make([][]uint32, f.regions)
	n := uint32(0)
	for i := range f.places {
		for range 1 + f.IntN(3) {
			f.places[i] = append(f.places[i], n)
			n++
		}
	}
	f.b = []byte{3, 1, i32, rndLocals + rndPointers, i64, 1, 0x7c}
	f.with(opGlobalGet, rndSP)
	f.with(opLocalSet, spLocal)
	f.op(opBlock, noType, opLoop, noType)
	for range f.regions {
		f.op(opBlock, noType)
	}
	f.with(opLocalGet, 0)
	f.with(opBrTable, n-1)
	for i, places := range f.places {
		for range places {
			f.b = appendU32(f.b, uint32(i))
		}
	}
	f.op(opEnd)
	calls := f.IntN(2) == 0 // some have many
	for i := range f.regions {
		f.region = i
		if i == 0 && f.low > 0 {
			f.with(opLocalGet, spLocal)
			f.c32(rndFrame)
			f.op(opI32Sub)
			f.with(opLocalTee, spLocal)
			f.with(opGlobalSet, rndSP)
		}
		f.fuel()
		for range f.IntN(8) {
			f.statement(2)
		}
		switch n := f.IntN(12); {
		case n < 4 || calls && n < 7:
			if i+1 == f.regions {
				break
			}
			f.c32(i)
			f.with(opCall, rndCall)
			f.with(opGlobalGet, rndSP)
			f.with(opLocalSet, spLocal)
			f.with(opBrIf, uint32(f.regions-i))
		case n < 7:
			f.jump()
		case n < 10:
			f.condition(1)
			f.open(opIf, noType)
			f.jump()
			f.close()
			if f.IntN(2) == 0 {
				f.jump()
			}
		case n == 10 && f.IntN(3) == 0:
			f.c32(0)
			f.op(opReturn)
		}
		f.op(opEnd)
	}
	f.op(opUnreachable, opEnd)
	f.c32(1)
	f.op(opEnd)
	return f.b
}

// randomModule has functions f0, f1, …, with the places of their regions.
func randomModule(r *rand.Rand, n int) (module []byte, places [][][]uint32) {
	section := func(id byte, body ...byte) {
		module = appendU32(append(module, id), uint32(len(body)))
		module = append(module, body...)
	}
	module = append(module, magic...)
	section(sectionType, 2, 0x60, 1, i32, 1, i32, 0x60, 1, i64, 0)
	section(2, 2, 1, 'h', 4, 'c', 'a', 'l', 'l', 0, 0, 1, 'h', 3, 'l', 'o', 'g', 0, 1)
	section(sectionFunction, append(appendU32(nil, uint32(n)), make([]byte, n)...)...)
	section(5, 1, 0, 9) // elements of tables are within these pages
	global := func(v int32) []byte { return append(appendI32Const([]byte{i32, 1}, v), opEnd) }
	section(6, append(append([]byte{2}, global(rndTop)...), global(0)...)...)
	exports := append(appendU32(nil, uint32(n+3)), 2, 's', 'p', 3, rndSP, 4, 'f', 'u', 'e', 'l', 3, rndFuel, 3, 'm', 'e', 'm', 2, 0)
	code := appendU32(nil, uint32(n))
	for i := range n {
		name := fmt.Sprint("f", i)
		exports = appendU32(append(append(append(exports, byte(len(name))), name...), 0), uint32(i+2))
		f := randomFunction{Rand: r}
		body := f.body()
		code = append(appendU32(code, uint32(len(body))), body...)
		places = append(places, f.places)
	}
	section(7, exports...)
	section(sectionCode, code...)
	return module, places
}

// behaviour runs the functions of a module, each a few times, and says what each did.
func behaviour(t *testing.T, module []byte, places [][][]uint32) (out []string) {
	t.Helper()
	ctx := context.Background()
	rt := wazero.NewRuntime(ctx)
	defer rt.Close(ctx)
	var did string
	var script *rand.Rand
	parked := 0
	_, err := rt.NewHostModuleBuilder("h").
		NewFunctionBuilder().WithFunc(func(region int32) int32 {
		if script.IntN(3) == 0 {
			parked = int(region)
			return 1
		}
		return 0
	}).Export("call").
		NewFunctionBuilder().WithFunc(func(v int64) { did += fmt.Sprintf(" %x", v) }).Export("log").Instantiate(ctx)
	if err != nil {
		t.Fatal(err)
	}
	mod, err := rt.Instantiate(ctx, module)
	if err != nil {
		t.Fatal(err)
	}
	sp, fuel := mod.ExportedGlobal("sp").(api.MutableGlobal), mod.ExportedGlobal("fuel").(api.MutableGlobal)
	for i, at := range places {
		did = ""
		for run := range uint64(4) {
			script = rand.New(rand.NewPCG(uint64(i), run))
			sp.Set(rndTop)
			fuel.Set(300)
			mem, _ := mod.Memory().Read(0, rndBytes)
			for k := range mem {
				mem[k] = byte(script.Uint32())
			}
			place := uint32(0)
			for {
				res, err := mod.ExportedFunction(fmt.Sprint("f", i)).Call(ctx, uint64(place))
				if err != nil {
					did += " trap"
					break
				}
				if did += fmt.Sprint(" =", res[0]); res[0] != 1 {
					break
				}
				next := at[parked+1]
				place = next[script.IntN(len(next))]
			}
			mem, _ = mod.Memory().Read(0, rndBytes)
			sum := fnv.New64a()
			sum.Write(mem)
			did += fmt.Sprintf(" sp %d fuel %d memory %x;", sp.Get(), fuel.Get(), sum.Sum64())
		}
		out = append(out, did)
	}
	return out
}

// TestRandomFlow compares functions of random flow before and after: what they
// compute, where they park, and how they go on from there.
func TestRandomFlow(t *testing.T) {
	if testing.Short() {
		t.Skip("seconds")
	}
	const modules = uint64(24)
	total, done := 0, 0
	for seed := range modules {
		module, places := randomModule(rand.New(rand.NewPCG(seed, 0)), 60)
		better, st, err := Optimize(module)
		if err != nil {
			t.Fatal(err)
		}
		total, done = total+st.Functions, done+st.Restructured
		want, got := behaviour(t, module, places), behaviour(t, better, places)
		for i := range want {
			if want[i] != got[i] {
				t.Errorf("function %d of module %d did\n%s\nand before\n%s", i, seed, got[i], want[i])
			}
		}
	}
	t.Logf("%d of %d functions were written anew", done, total)
	if done < total/4 {
		t.Errorf("only %d of %d functions were written anew", done, total)
	}
}

// FuzzOptimize wants no panic for any module, and twice the same for the same.
func FuzzOptimize(f *testing.F) {
	for seed := range uint64(6) {
		module, _ := randomModule(rand.New(rand.NewPCG(seed, 1)), 1+int(seed%3))
		f.Add(module)
	}
	f.Add(magic)
	f.Fuzz(func(t *testing.T, module []byte) {
		better, _, _ := Optimize(module)
		if again, _, _ := Optimize(module); !bytes.Equal(again, better) {
			t.Fatal("twice the same module gave two different ones")
		}
	})
}

// TestOddModules wants modules that are valid to be valid afterwards, those that Go's
// compiler would not make, too.
func TestOddModules(t *testing.T) {
	ctx := context.Background()
	valid := func(module []byte) bool {
		rt := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter())
		defer rt.Close(ctx)
		_, err := rt.CompileModule(ctx, module)
		return err == nil
	}
	rnd := rand.New(rand.NewPCG(9, 9))
	odd := 0
	for range 40 {
		module, _ := randomModule(rnd, 2)
		from := bytes.Index(module, []byte{opBrTable}) // of the first function
		for range 30 {
			bad := bytes.Clone(module)
			for range 1 + rnd.IntN(3) {
				bad[from+rnd.IntN(len(bad)-from)] ^= 1 << rnd.IntN(8)
			}
			if !valid(bad) {
				continue
			}
			odd++
			if better, _, err := Optimize(bad); err != nil || !valid(better) {
				t.Errorf("a module is not valid any more (%v): %x", err, bad)
			}
		}
	}
	if odd < 20 {
		t.Errorf("%d odd modules", odd)
	}
	// A number is left on the stack by the jump to a loop, which another jump passes.
	body := []byte{0, opLoop, noType, opBlock, noType, opBlock, noType, opBlock, noType,
		opLocalGet, 0, opBrTable, 2, 0, 1, 2, opEnd,
		opLocalGet, 0, opIf, noType, opI32Const, 2, opLocalSet, 0, opBr, 3, opEnd,
		opI32Const, 9, opI32Const, 1, opLocalSet, 0, opBr, 2, opEnd,
		opI32Const, 1, opLocalSet, 0, opBr, 1, opEnd,
		opI32Const, 0, opReturn, opEnd, opUnreachable, opEnd}
	module := append(bytes.Clone(magic), sectionType, 6, 1, 0x60, 1, i32, 1, i32, sectionFunction, 2, 1, 0,
		sectionCode, byte(len(body)+2), 1, byte(len(body)))
	module = append(module, body...)
	better, st, err := Optimize(module)
	if err != nil || st.Restructured != 1 || !valid(module) || !valid(better) {
		t.Errorf("what a jump leaves on the stack: %v %v, %x", st, err, better)
	}
}

// TestNested gives blocks nested too deep to be followed.
func TestNested(t *testing.T) {
	body := []byte{0, opLoop, noType, opBlock, noType, opLocalGet, 0, opBrTable, 0, 0, opEnd}
	body = append(body, bytes.Repeat([]byte{opBlock, noType}, 20_000_000)...)
	if _, err := parse(body, callees{}); err == nil {
		t.Error("blocks without an end are a function")
	}
}
