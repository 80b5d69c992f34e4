package udf

import (
	"context"
	"net"
	"os"
	"os/exec"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/udf/sdk/wire"
)

// The runtimes of artifacts: Manifest.Runtime, "" being RuntimeGo. All of them
// speak docs/udf/protocol.md; nothing above a Host knows which one a function has.
const (
	RuntimeGo        = "go"        // a native binary per platform
	RuntimeWasm      = "wasm"      // a WebAssembly module, run by this program started again
	RuntimePython    = "python"    // source, run by a Python interpreter
	RuntimeGRPC      = "grpc"      // a server elsewhere
	RuntimeInProcess = "inprocess" // declarations linked into this program
)

// anyPlatform is the os and arch of files that run everywhere.
const anyPlatform = "any"

// LaunchRequest is what a Launcher knows of the child to start.
type LaunchRequest struct {
	Manifest *Manifest
	Dir      string // the unpacked artifact; read-only but for what a launcher caches there
	File     string // the artifact's file for this machine, see Manifest.Platforms
	Scratch  string // the child's own directory, removed with the child; its working directory
	Limit    int64  // bytes of memory that the functions may use
	Procs    int    // processors that the child may use
}

// Launch says how a child comes to be: a process to start, or, if Conn is set, a
// connection that is there already and over which columns travel inline.
type Launch struct {
	// Path and Args are the process. It gets the control socket as fd 3 and, unless
	// NoSharedMemory, the shared memory as fd 4. Env is its whole environment
	// but for wire.EnvCookie and wire.EnvShared.
	Path string
	Args []string
	Env  []string

	NoSharedMemory bool
	// Overhead is the resident memory, in bytes, that the runtime itself needs and
	// that does not count against the functions' limit.
	Overhead int64

	// Patience is the longest time from the start to the first frame, 0 for what
	// is enough for a program to start.
	Patience time.Duration

	// Conn replaces the process. The host closes it to end the child.
	Conn net.Conn
}

// Launcher prepares the start of a child. It must be quick, but for a Conn that
// is dialled: ctx bounds that.
type Launcher func(ctx context.Context, r LaunchRequest) (Launch, error)

var (
	launchersMu sync.RWMutex
	launchers   = map[string]Launcher{RuntimeGo: launchGo}
)

// RegisterRuntime makes a runtime known, in an init function; a second launcher
// of one name replaces the first.
func RegisterRuntime(name string, l Launcher) {
	launchersMu.Lock()
	defer launchersMu.Unlock()
	launchers[name] = l
}

// Runtimes are the names of the runtimes that this program has.
func Runtimes() []string {
	launchersMu.RLock()
	defer launchersMu.RUnlock()
	var names []string
	for n := range launchers {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}

// knownRuntimes are the names that a manifest may have, sorted.
func knownRuntimes() []string {
	names := append(Runtimes(), RuntimeGo, RuntimeWasm, RuntimePython, RuntimeGRPC, RuntimeInProcess)
	sort.Strings(names)
	return slices.Compact(names)
}

// RuntimeName is the manifest's runtime, never "".
func (m *Manifest) RuntimeName() string {
	if m.Runtime == "" {
		return RuntimeGo
	}
	return m.Runtime
}

func (h *Host) launcherOf(m *Manifest, digest string) (Launcher, error) {
	if m.RuntimeName() == RuntimeInProcess {
		return func(ctx context.Context, r LaunchRequest) (Launch, error) { return h.launchLinked(ctx, r, digest) }, nil
	}
	launchersMu.RLock()
	defer launchersMu.RUnlock()
	if l := launchers[m.RuntimeName()]; l != nil {
		return l, nil
	}
	return nil, pgerr.New(pgerr.FeatureNotSupported, "artifact %q needs the runtime %q, which this server does not have", m.Name, m.RuntimeName())
}

// launchGo runs the artifact's own binary.
func launchGo(_ context.Context, r LaunchRequest) (Launch, error) {
	return Launch{Path: r.File, Env: r.goEnv(r.Limit / 10 * 8)}, nil
}

// baseEnv is what every child may know of its surroundings: nothing of the
// server's environment.
func (r *LaunchRequest) baseEnv() []string {
	return []string{"TMPDIR=" + r.Scratch, "HOME=" + r.Scratch, "PATH=/usr/bin:/bin"}
}

// goEnv is baseEnv for programs written in Go, whose collector is to keep below
// soft bytes.
func (r *LaunchRequest) goEnv(soft int64) []string {
	return append(r.baseEnv(),
		"GOMAXPROCS="+strconv.Itoa(r.Procs),
		"GOMEMLIMIT="+strconv.FormatInt(soft, 10),
		"GOGC=400",
		"GOTRACEBACK=single")
}

// command makes the process of a launch.
func (l *Launch) command(dir string) *exec.Cmd {
	cmd := exec.Command(l.Path, l.Args...)
	cmd.Dir = dir
	cmd.Env = append([]string{wire.EnvCookie + "=1"}, l.Env...)
	return cmd
}

// platformKey is the os and arch by which an artifact of this runtime names the
// file for this machine.
func (m *Manifest) platformKey(goos, arch string) (string, string) {
	switch m.RuntimeName() {
	case RuntimeGo:
		return goos, arch
	case RuntimeWasm:
		return "wasip1", "wasm"
	}
	return anyPlatform, anyPlatform
}

// selfPath is this program, for runtimes that start it again.
func selfPath() (string, error) {
	path, err := os.Executable()
	if err != nil {
		return "", pgerr.Wrap(err, pgerr.IOError, "could not find this program's file")
	}
	// A program replaced while it runs is still there under this name.
	if strings.HasSuffix(path, " (deleted)") {
		path = "/proc/self/exe"
	}
	return path, nil
}
