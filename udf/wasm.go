package udf

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/udf/wasmhost"
)

func init() { RegisterRuntime(RuntimeWasm, launchWasm) }

// launchWasm runs this program again as the child of a module: package wasmhost's
// init takes over before main.
func launchWasm(_ context.Context, r LaunchRequest) (Launch, error) {
	self, err := selfPath()
	if err != nil {
		return Launch{}, err
	}
	// Machine code is kept with the unpacked artifact, whose directory nobody but
	// this server writes to, unless the server's environment names another place: one
	// for all artifacts, and workers of a machine.
	cache := os.Getenv(wasmhost.EnvCache)
	if cache == "" {
		cache = filepath.Join(r.Dir, "machine-code")
	}
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return Launch{}, pgerr.Wrap(err, pgerr.IOError, "could not make a directory for a module's machine code")
	}
	frozen := "0"
	if r.Manifest.Deterministic {
		frozen = "1"
	}
	return Launch{
		Path: self,
		Env: append(r.baseEnv(),
			wasmhost.EnvRuntime+"=wasm",
			wasmhost.EnvModule+"="+r.File,
			wasmhost.EnvCache+"="+cache,
			wasmhost.EnvLimit+"="+strconv.FormatInt(r.Limit, 10),
			wasmhost.EnvProcs+"="+strconv.Itoa(r.Procs),
			wasmhost.EnvFrozen+"="+frozen,
			"GOTRACEBACK=single"),
		Overhead: wasmhost.Overhead,
		Patience: 2 * time.Minute, // the first child of an artifact compiles it
	}, nil
}
