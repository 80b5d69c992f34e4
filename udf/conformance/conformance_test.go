package conformance

import (
	"context"
	"io"
	"log/slog"
	"os/exec"
	"testing"

	"go.uber.org/goleak"

	"github.com/volleydb/volley/udf"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestGo runs the suite on plugins of the Go SDK, with and without shared memory.
func TestGo(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("there is no Go toolchain: plugins cannot be built")
	}
	ctx := context.Background()
	a, err := udf.Build(ctx, SourceDir(t), udf.BuildOptions{Output: t.TempDir() + "/conformance.tar"})
	if err != nil {
		t.Fatal(detail(err))
	}
	store, err := udf.OpenStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.PutFile(ctx, a.Path); err != nil {
		t.Fatal(err)
	}
	for name, plain := range map[string]bool{"shared memory": false, "socket": true} {
		t.Run(name, func(t *testing.T) {
			h, err := udf.NewHost(udf.HostConfig{Store: store, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), TempDir: t.TempDir(), NoSharedMemory: plain})
			if err != nil {
				t.Fatal(err)
			}
			defer h.Close()
			Run(t, h, a.Digest)
		})
	}
}
