package wasmhost

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"github.com/tetratelabs/wazero/sys"

	"github.com/volleydb/volley/udf/sdk/wire"
	"github.com/volleydb/volley/udf/wasmopt"
)

// pageSize is WebAssembly's.
const pageSize = 64 << 10

// config is what a module may use.
type config struct {
	cache  string // directory for machine code, "" = none
	limit  int64  // bytes of memory of an instance
	procs  int    // instances that compute at the same time
	frozen bool   // clocks and random numbers are the same in every run
	slow   bool   // interpret: to run a little of it, that is quicker than to compile
}

// engine is a compiled module.
type engine struct {
	cfg   config
	rt    wazero.Runtime
	mod   wazero.CompiledModule
	plain bool // exports functions instead of speaking frames
	// tokens are held by instances that compute: machine code of modules cannot be
	// preempted, so there must be processors left for the child itself.
	tokens chan struct{}
}

// newEngine compiles a module.
func newEngine(ctx context.Context, module []byte, cfg config) (_ *engine, err error) {
	// linear refuses what is above the limit: then it is known that this was why.
	cfg.limit = min(cfg.limit, 65536*pageSize) &^ (pageSize - 1)
	rc := wazero.NewRuntimeConfig()
	if cfg.slow {
		rc = wazero.NewRuntimeConfigInterpreter()
	}
	if cfg.cache != "" {
		// Without the cache it is only slower.
		if c, err := wazero.NewCompilationCacheWithDir(cfg.cache); err == nil {
			rc = rc.WithCompilationCache(c)
		}
	}
	e := &engine{cfg: cfg, rt: wazero.NewRuntimeWithConfig(ctx, rc), tokens: make(chan struct{}, max(cfg.procs, 1))}
	defer func() {
		if err != nil {
			e.close()
		}
	}()
	if _, err = wasi_snapshot_preview1.Instantiate(ctx, e.rt); err != nil {
		return nil, err
	}
	i32 := api.ValueTypeI32
	_, err = e.rt.NewHostModuleBuilder("volley").
		NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(hostRecv), []api.ValueType{i32, i32}, []api.ValueType{i32}).Export("recv").
		NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(hostSend), []api.ValueType{i32, i32}, nil).Export("send").
		NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(hostProgress), []api.ValueType{i32}, nil).Export("progress").
		NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(hostSlot), []api.ValueType{i32, i32, i32, i32}, []api.ValueType{i32}).Export("slot").
		NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(hostStop), []api.ValueType{i32}, nil).Export("stop").
		Instantiate(ctx)
	if err != nil {
		return nil, err
	}
	// Modules of volley udf build have nothing left to turn, those from elsewhere may.
	// What is damaged the engine refuses itself.
	if turned, err := wasmopt.TurnZeros(module); err == nil {
		module = turned
	}
	e.mod, err = e.rt.CompileModule(experimental.WithCompilationWorkers(ctx, runtime.GOMAXPROCS(0)), module)
	if err != nil {
		return nil, fmt.Errorf("the module cannot be compiled: %w", err)
	}
	for _, m := range e.mod.ExportedMemories() {
		if need := int64(m.Min()) * pageSize; need > cfg.limit {
			return nil, fmt.Errorf("the module needs %d MB of memory at its start, its limit is %d MB", need>>20, cfg.limit>>20)
		}
	}
	exports := e.mod.ExportedFunctions()
	_, plain := exports["volley_call"]
	_, command := exports["_start"]
	if !plain && !command {
		return nil, fmt.Errorf("the module exports neither volley_call nor _start")
	}
	e.plain = plain
	if plain {
		for _, f := range plainExports {
			if exports[f.name] == nil {
				return nil, fmt.Errorf("the module does not export %s", f.name)
			}
			if err := f.check(exports[f.name]); err != nil {
				return nil, err
			}
		}
	}
	return e, nil
}

func (e *engine) close() { _ = e.rt.Close(context.Background()) }

// The clock of frozen modules stands here and moves when they sleep.
var frozenStart = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// moduleConfig is the world that an instance sees: no files, no network, no
// environment but what its own runtime needs.
func (e *engine) moduleConfig(out, log io.Writer, args ...string) wazero.ModuleConfig {
	mc := wazero.NewModuleConfig().WithName("").WithStartFunctions().
		WithArgs(append([]string{"plugin"}, args...)...).
		WithStdout(out).WithStderr(log).
		WithSysNanosleep().WithOsyield(runtime.Gosched).
		WithEnv(wire.EnvCookie, "1").
		WithEnv("GOGC", "400").
		WithEnv("GOMEMLIMIT", fmt.Sprint(e.cfg.limit/10*8))
	if !e.cfg.frozen {
		return mc.WithSysWalltime().WithSysNanotime().WithRandSource(randomSource{})
	}
	var slept, looks int64 // nanoseconds; looks because Go's runtime divides by what passes
	src := rand.NewChaCha8([32]byte{'v', 'o', 'l', 'l', 'e', 'y'})
	return mc.
		WithWalltime(func() (int64, int32) {
			t := frozenStart.Add(time.Duration(slept))
			return t.Unix(), int32(t.Nanosecond())
		}, sys.ClockResolution(time.Microsecond)).
		WithNanotime(func() int64 { looks += int64(time.Microsecond); return slept + looks }, sys.ClockResolution(time.Microsecond)).
		WithNanosleep(func(ns int64) { slept += ns }).
		WithRandSource(src)
}
