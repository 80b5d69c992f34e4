package conformance

import (
	"context"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/udf"
	"github.com/volleydb/volley/udf/conformance/decls"
	"github.com/volleydb/volley/udf/remote"
	sdk "github.com/volleydb/volley/udf/sdk"
	"github.com/volleydb/volley/udf/sdk/wire"
	"github.com/volleydb/volley/udf/wasmhost"
)

func TestMain(m *testing.M) {
	// The module takes seconds to compile: its machine code is kept for the next run,
	// as the go tool keeps what it builds.
	// The name has the compiler's version, which a test does not know of itself.
	mod, _ := os.ReadFile("../../go.mod")
	compiler := regexp.MustCompile(`wazero v\S+`).Find(mod)
	if dir, err := os.UserCacheDir(); err == nil && compiler != nil && os.Getenv(wasmhost.EnvCache) == "" && os.Getenv(wire.EnvCookie) == "" {
		dir = filepath.Join(dir, "volley-test", strings.ReplaceAll(string(compiler), " ", "-"))
		old, _ := filepath.Glob(filepath.Join(dir, "*", "*"))
		for _, f := range old {
			if info, err := os.Stat(f); err == nil && time.Since(info.ModTime()) > 24*time.Hour {
				_ = os.Remove(f) // of another version of the SDK
			}
		}
		os.Setenv(wasmhost.EnvCache, dir)
	}
	goleak.VerifyTestMain(m)
}

func needGo(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("there is no Go toolchain: plugins cannot be built")
	}
}

func newStore(t *testing.T) *udf.Store {
	t.Helper()
	s, err := udf.OpenStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// put stores an artifact that was built.
func put(t *testing.T, s *udf.Store, a *udf.Artifact, err error) string {
	t.Helper()
	if err == nil {
		_, err = s.PutFile(context.Background(), a.Path)
	}
	if err != nil {
		t.Fatal(detail(err))
	}
	return a.Digest
}

func newHost(t *testing.T, s *udf.Store, change func(*udf.HostConfig)) *udf.Host {
	t.Helper()
	c := udf.HostConfig{Store: s, Logger: slog.New(slog.DiscardHandler), TempDir: t.TempDir()}
	if change != nil {
		change(&c)
	}
	h, err := udf.NewHost(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// TestGo runs the suite on a plugin of the Go SDK, with and without shared memory.
func TestGo(t *testing.T) {
	needGo(t)
	s := newStore(t)
	a, err := udf.Build(context.Background(), SourceDir(t), udf.BuildOptions{Output: t.TempDir() + "/conformance.tar"})
	digest := put(t, s, a, err)
	t.Run("shared memory", func(t *testing.T) { Run(t, newHost(t, s, nil), digest) })
	t.Run("socket", func(t *testing.T) {
		Run(t, newHost(t, s, func(c *udf.HostConfig) { c.NoSharedMemory = true }), digest)
	})
}

// TestInlineGo runs it on the same source as CREATE FUNCTION … LANGUAGE go AS $$…$$
// compiles it.
func TestInlineGo(t *testing.T) {
	needGo(t)
	s := newStore(t)
	a, err := udf.BuildInline(context.Background(), udf.Inline{Name: "id_int64", Kind: function.Scalar, Source: Source()}, udf.BuildOptions{TempDir: t.TempDir()})
	Run(t, newHost(t, s, nil), put(t, s, a, err))
}

// TestWasm runs it on the same source as a WebAssembly module.
func TestWasm(t *testing.T) {
	needGo(t)
	s := newStore(t)
	a, err := udf.Build(context.Background(), SourceDir(t), udf.BuildOptions{Output: t.TempDir() + "/conformance.tar", Runtime: udf.RuntimeWasm})
	Run(t, newHost(t, s, nil), put(t, s, a, err))
}

// TestGRPC runs it on a server.
func TestGRPC(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- remote.Serve(ctx, lis, remote.Options{}, append(decls.All(), sdk.Name("conformance"), sdk.Version("1"))...)
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	s := newStore(t)
	digest, err := s.PutServer(ctx, lis.Addr().String())
	if err != nil {
		t.Fatal(detail(err))
	}
	Run(t, newHost(t, s, nil), digest)
}

// TestInProcess runs it on the same functions linked into this program.
func TestInProcess(t *testing.T) {
	h := newHost(t, newStore(t), nil)
	digest, _, err := h.Link(context.Background(), append(decls.All(), sdk.Name("conformance"), sdk.Version("1"))...)
	if err != nil {
		t.Fatal(detail(err))
	}
	Run(t, h, digest)
}

// TestPython runs it on the functions in decls.py, with columns as values, and what
// depends on that with those of the libraries that are installed. VOLLEY_PYTHON names
// the interpreter.
func TestPython(t *testing.T) {
	python, err := udf.Python(context.Background())
	if err != nil {
		t.Skip(err)
	}
	others := []string{"id_*", "null_*", "is_null_*", "append_*", "first_*", "echo_*", "batch_*", "table_*", "window_*", "add_*", "sum_*", "concat_*",
		"with_default", "strict_*", "weighted", "joined", "distinct_*", "count_*", "explode", "series", "frame_*", "pick*", "fail_*", "raise_*", "panic_*",
		"vector_fails", "bad_*", "sleep_*"}
	const why = ": infinite timestamps are 22008 in numpy and pandas"
	infinite := []string{"vector_timestamp" + why, "vector_timestamptz" + why, "whole_timestamp" + why, "whole_timestamptz" + why}
	const decimals = ": decimals of arrow have no NaN, and one scale for all rows"
	for _, c := range []struct {
		style string
		skip  []string
	}{
		{"rows", []string{"strict_elements: elements of lists can always be None", "bad_clock: datetime.time is never out of range"}},
		{"numpy", append(infinite, others...)},
		{"pandas", append([]string{"vector_float??: NaN and NULL are one in pandas", "whole_float??: NaN and NULL are one in pandas"}, append(infinite, others...)...)},
		{"arrow", append([]string{"*numeric" + decimals, "*struct" + decimals}, others...)},
	} {
		t.Run(c.style, func(t *testing.T) {
			if module := map[string]string{"numpy": "numpy", "pandas": "pandas", "arrow": "pyarrow"}[c.style]; module != "" {
				if exec.Command(python, "-I", "-c", "import "+module).Run() != nil {
					t.Skipf("%s has no module %s; VOLLEY_PYTHON names another interpreter", python, module)
				}
			}
			s := newStore(t)
			a, err := udf.BuildPython(context.Background(), PythonDir(t, c.style), udf.BuildOptions{Name: "conformance", Version: "1", Output: t.TempDir() + "/conformance.tar"})
			Run(t, newHost(t, s, nil), put(t, s, a, err), c.skip...)
		})
	}
}
