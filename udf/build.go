package udf

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/udf/sdk/wire"
	"github.com/volleydb/volley/udf/wasmhost"
	"github.com/volleydb/volley/udf/wasmopt"
)

// sdkFiles is the SDK's source: a volley binary builds plugins without a
// published module.
//
//go:embed sdk/*.go sdk/wire/*.go sdk/udftest/*.go
var sdkFiles embed.FS

// BuildOptions are the choices of Build; the zero value builds for this machine
// into the system's temporary directory.
type BuildOptions struct {
	Name      string   // default: what the source declares by udf.Name, else the directory's name
	Version   string   // default: what the source declares by udf.Version
	Output    string   // file to write; default: NAME-DIGEST.vudf in the temporary directory
	Platforms []string // os/arch; default: this machine's
	GoTool    string   // default: "go" on the PATH
	Runtime   string   // RuntimeGo, the default, or RuntimeWasm
	// Deterministic: see Manifest; of RuntimeWasm only.
	Deterministic bool
	TempDir       string
	// Offline keeps the go tool from the network.
	Offline bool
	// Debug builds for a debugger: without optimisations, with symbols and the paths
	// of the source. Of RuntimeGo only.
	Debug bool
}

const (
	volleyModule = "github.com/volleydb/volley"
	// sdkDir is where the SDK seems to lie in the author's module: it exists in
	// the compiler's overlay only. Being relative it is the same text in the
	// binary whatever the directory is, so the digest does not depend on it.
	sdkDir = ".volley-sdk"
	// plainModule is the module path given to directories without a go.mod.
	plainModule = "plugin.local"
	sdkGo       = 22 // the SDK needs Go 1.22
	systemError = "58000"
)

// Build compiles the Go package in dir, a main package over udf/sdk, into an
// artifact. The same source, SDK and Go toolchain give the same digest from any
// directory. Without a Go toolchain it fails with 58000, for source that does
// not compile with 42P13 and the compiler's output as detail.
//
// dir can be a module of its own, lie in one, or have no go.mod; the module
// github.com/volleydb/volley is always the SDK of this binary.
//
// dir can also be the file of a WebAssembly module, made by any compiler: then it
// is put into an artifact as it is.
func Build(ctx context.Context, dir string, o BuildOptions) (*Artifact, error) {
	if strings.HasSuffix(dir, ".wasm") {
		data, err := os.ReadFile(dir)
		if err != nil {
			return nil, pgerr.Wrap(err, pgerr.UndefinedFile, "could not read a module")
		}
		return packModule(ctx, data, strings.TrimSuffix(filepath.Base(dir), ".wasm"), o)
	}
	if IsPythonDir(dir) && (o.Runtime == "" || o.Runtime == RuntimePython) {
		return BuildPython(ctx, dir, o)
	}
	if o.Runtime != "" && o.Runtime != RuntimeGo && o.Runtime != RuntimeWasm {
		return nil, pgerr.New(pgerr.InvalidParameterValue, "Go source cannot be built for the runtime %q", o.Runtime).
			WithHint("There are go and wasm.")
	}
	tool := o.GoTool
	if tool == "" {
		tool = "go"
	}
	tool, err := exec.LookPath(tool)
	if err != nil {
		return nil, pgerr.New(systemError, "there is no Go toolchain to build a plugin with: %v", err).
			WithHint("Install Go, or build the artifact on another machine with volley udf build and push it.")
	}
	dir, err = filepath.Abs(dir)
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return nil, pgerr.Wrap(err, pgerr.UndefinedFile, "could not build a plugin")
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "*.go")); len(files) == 0 {
		return nil, pgerr.New(pgerr.UndefinedFile, "there are no Go files in %s", dir)
	}
	tmp, err := os.MkdirTemp(o.TempDir, "volley-build-")
	if err != nil {
		return nil, pgerr.Wrap(err, pgerr.IOError, "could not build a plugin")
	}
	defer os.RemoveAll(tmp)
	b := &builder{tool: tool, dir: dir, tmp: tmp, offline: o.Offline, debug: o.Debug}
	if err := b.prepare(ctx); err != nil {
		return nil, err
	}
	if o.Runtime == RuntimeWasm {
		if len(o.Platforms) > 0 {
			return nil, pgerr.New(pgerr.InvalidParameterValue, "modules of WebAssembly run on all platforms")
		}
		file, err := b.compile(ctx, "wasip1/wasm")
		if err != nil {
			return nil, err
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, pgerr.Wrap(err, pgerr.IOError, "could not build a plugin")
		}
		if data, _, err = wasmopt.Optimize(data); err != nil {
			return nil, pgerr.Wrap(err, pgerr.InternalError, "could not build a plugin")
		}
		return packModule(ctx, data, filepath.Base(dir), o)
	}
	here := runtime.GOOS + "/" + runtime.GOARCH
	platforms := append([]string(nil), o.Platforms...)
	if len(platforms) == 0 {
		platforms = []string{here}
	}
	sort.Strings(platforms)
	// The manifest comes from the program itself, so one is built for this
	// machine even if it is not wanted.
	local, err := b.compile(ctx, here)
	if err != nil {
		return nil, err
	}
	said, err := b.ask(ctx, local)
	if err != nil {
		return nil, err
	}
	m := &Manifest{ABI: said.ABI, Name: first(o.Name, said.Name, filepath.Base(dir)), Version: first(o.Version, said.Version),
		Toolchain: said.Toolchain, Functions: said.Functions}
	if m.Golden, err = readGolden(dir); err != nil {
		return nil, err
	}
	if err := m.checkGolden(); err != nil {
		return nil, err
	}
	bins := map[string][]byte{}
	for _, p := range platforms {
		goos, arch, ok := strings.Cut(p, "/")
		if !ok {
			return nil, pgerr.New(pgerr.InvalidParameterValue, "invalid platform: %q", p).WithHint("Write os/arch, such as linux/amd64.")
		}
		file := local
		if p != here {
			if file, err = b.compile(ctx, p); err != nil {
				return nil, err
			}
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, pgerr.Wrap(err, pgerr.IOError, "could not build a plugin")
		}
		path := "bin/" + goos + "-" + arch + "/plugin"
		sum := sha256.Sum256(data)
		m.Platforms = append(m.Platforms, Platform{goos, arch, path, hex.EncodeToString(sum[:]), int64(len(data))})
		bins[path] = data
	}
	return writeArtifact(m, bins, o)
}

// packModule makes an artifact of a module; base is its name if it has none.
func packModule(ctx context.Context, module []byte, base string, o BuildOptions) (*Artifact, error) {
	said, err := wasmhost.Describe(ctx, module)
	if ctx.Err() != nil {
		return nil, pgerr.From(context.Cause(ctx))
	}
	if err != nil {
		return nil, pgerr.New(pgerr.InvalidFunctionDefinition, "%s does not say which functions it has: %v", base, err).
			WithHint("docs/udf/wasm.md lists what a module has to export.")
	}
	if len(said.Functions) == 0 {
		return nil, pgerr.New(pgerr.InvalidFunctionDefinition, "%s declares no functions", base)
	}
	const path = "bin/wasip1-wasm/module.wasm"
	sum := sha256.Sum256(module)
	m := &Manifest{ABI: said.ABI, Name: first(o.Name, said.Name, base), Version: first(o.Version, said.Version), Toolchain: said.Toolchain,
		Runtime: RuntimeWasm, Deterministic: o.Deterministic, Functions: said.Functions,
		Platforms: []Platform{{"wasip1", "wasm", path, hex.EncodeToString(sum[:]), int64(len(module))}}}
	return writeArtifact(m, map[string][]byte{path: module}, o)
}

func writeArtifact(m *Manifest, bins map[string][]byte, o BuildOptions) (*Artifact, error) {
	var tar bytes.Buffer
	if err := writeBundle(&tar, m, bins); err != nil {
		return nil, pgerr.Wrap(err, pgerr.IOError, "could not build a plugin")
	}
	sum := sha256.Sum256(tar.Bytes())
	a := &Artifact{Name: m.Name, Digest: digestOf(sum[:]), Path: o.Output, Manifest: m}
	if a.Path == "" {
		where := first(o.TempDir, os.TempDir())
		a.Path = filepath.Join(where, fmt.Sprintf("%s-%s%s", m.Name, hex.EncodeToString(sum[:6]), blobSuffix))
	}
	if err := writeFile(a.Path, &tar, 0o644); err != nil {
		return nil, pgerr.Wrap(err, pgerr.IOError, "could not write the artifact")
	}
	return a, nil
}

func first(vals ...string) string {
	for _, v := range vals {
		if v != "" {
			return v
		}
	}
	return ""
}

// builder is one Build.
type builder struct {
	tool, dir, tmp string
	overlay        string // file
	offline        bool
	debug          bool
}

// prepare writes the overlay: the SDK's source and a go.mod that knows it, on
// top of the author's directory, which is not touched.
func (b *builder) prepare(ctx context.Context) error {
	root, modfile, err := findModule(b.dir)
	if err != nil {
		return pgerr.Wrap(err, pgerr.IOError, "could not build a plugin")
	}
	mod := fmt.Sprintf("module %s\n\ngo 1.24\n\nrequire %s v0.0.0\n\nreplace %s => ./%s\n", plainModule, volleyModule, volleyModule, sdkDir)
	edit := modfile != nil
	if edit {
		mod = string(modfile)
	} else {
		root = b.dir
	}
	replace := map[string]string{}
	add := func(target, name string, data []byte) error {
		file := filepath.Join(b.tmp, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return err
		}
		replace[filepath.Join(root, target)] = file
		return os.WriteFile(file, data, 0o600)
	}
	err = add("go.mod", "go.mod", []byte(mod))
	if err == nil {
		err = add(filepath.Join(sdkDir, "go.mod"), "sdk.mod", []byte("module "+volleyModule+"\n\ngo 1."+strconv.Itoa(sdkGo)+"\n"))
	}
	if err == nil {
		err = fs.WalkDir(sdkFiles, ".", func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.HasSuffix(path, "_test.go") || path == "sdk/gen.go" {
				return err
			}
			data, err := sdkFiles.ReadFile(path)
			if err != nil {
				return err
			}
			return add(filepath.Join(sdkDir, "udf", filepath.FromSlash(path)), path, data)
		})
	}
	if err == nil {
		b.overlay = filepath.Join(b.tmp, "overlay.json")
		var j []byte
		if j, err = json.Marshal(map[string]any{"Replace": replace}); err == nil {
			err = os.WriteFile(b.overlay, j, 0o600)
		}
	}
	if err != nil {
		return pgerr.Wrap(err, pgerr.IOError, "could not build a plugin")
	}
	if !edit {
		return nil
	}
	args := []string{"mod", "edit", "-require=" + volleyModule + "@v0.0.0", "-dropreplace=" + volleyModule,
		"-replace=" + volleyModule + "=./" + sdkDir}
	if v := goDirective.FindStringSubmatch(mod); v == nil {
		args = append(args, "-go=1."+strconv.Itoa(sdkGo))
	} else if n, err := strconv.Atoi(v[1]); err == nil && n < sdkGo {
		args = append(args, "-go=1."+strconv.Itoa(sdkGo))
	}
	if out, err := b.run(ctx, nil, append(args, filepath.Join(b.tmp, "go.mod"))...); err != nil {
		return b.failed(ctx, err, out)
	}
	return nil
}

var goDirective = regexp.MustCompile(`(?m)^go 1\.(\d+)`)
var moduleDirective = regexp.MustCompile(`(?m)^module\s+"?([^\s"]+)`)

// findModule returns the root and go.mod of the module that dir lies in, nil if
// it lies in none. Volley's own module counts as none: examples are plain
// directories wherever they are.
func findModule(dir string) (root string, mod []byte, err error) {
	for d := dir; ; d = filepath.Dir(d) {
		mod, err := os.ReadFile(filepath.Join(d, "go.mod"))
		if err == nil {
			if m := moduleDirective.FindSubmatch(mod); m != nil && string(m[1]) == volleyModule {
				return "", nil, nil
			}
			return d, mod, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", nil, err
		}
		if d == filepath.Dir(d) {
			return "", nil, nil
		}
	}
}

// run runs the go tool in the author's directory with an environment in which
// nothing but the source and the toolchain decides about the result.
func (b *builder) run(ctx context.Context, env []string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, b.tool, args...)
	cmd.Dir = b.dir
	cmd.WaitDelay = time.Second
	for _, e := range os.Environ() {
		k, _, _ := strings.Cut(e, "=")
		switch k {
		case "GOFLAGS", "GOWORK", "GOOS", "GOARCH", "GOAMD64", "GOARM64", "GOEXPERIMENT", "GO111MODULE", "CGO_ENABLED", "GODEBUG", "PWD":
			continue
		}
		cmd.Env = append(cmd.Env, e)
	}
	// GOFLAGS must not be empty, or one from the user's go env file counts.
	cmd.Env = append(cmd.Env, "GOFLAGS=-trimpath", "GOWORK=off", "GO111MODULE=on", "CGO_ENABLED=0", "PWD="+b.dir)
	if b.offline {
		cmd.Env = append(cmd.Env, "GOPROXY=off", "GOTOOLCHAIN=local")
	}
	if _, err := os.UserCacheDir(); err != nil && os.Getenv("GOCACHE") == "" {
		// A server may run without HOME.
		cmd.Env = append(cmd.Env, "GOCACHE="+filepath.Join(os.TempDir(), "volley-gocache"))
	}
	cmd.Env = append(cmd.Env, env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.Bytes(), err
}

var goVersion = regexp.MustCompile(`\bgo1\.(\d+)`)

// aligns reports whether the toolchain that builds in b.dir can align functions.
func (b *builder) aligns(ctx context.Context) bool {
	out, err := b.run(ctx, nil, "env", "GOVERSION")
	v := goVersion.FindSubmatch(out)
	if err != nil || v == nil {
		return false
	}
	minor, err := strconv.Atoi(string(v[1]))
	return err == nil && minor >= 26
}

// compile builds the program for a platform and returns its file.
func (b *builder) compile(ctx context.Context, platform string) (string, error) {
	goos, arch, _ := strings.Cut(platform, "/")
	file := filepath.Join(b.tmp, "out", goos+"-"+arch)
	args := []string{"build", "-overlay=" + b.overlay, "-mod=readonly", "-buildvcs=false", "-o", file}
	if b.debug {
		args = append(args, "-gcflags=all=-N -l")
	} else {
		ldflags := "-ldflags=-s -w -buildid="
		switch {
		case arch == "wasm":
			ldflags = "-ldflags=-w -buildid=" // wasmopt needs the names of functions
		case b.aligns(ctx):
			// Whole cache lines: how fast a loop runs must not depend on the code before
			// it, 40 % for one of text on EPYC.
			ldflags += " -funcalign=64"
		}
		args = append(args, "-trimpath", ldflags)
	}
	out, err := b.run(ctx, []string{"GOOS=" + goos, "GOARCH=" + arch, "GOAMD64=v1", "GOARM64=v8.0", "GOWASM="}, append(args, ".")...)
	if err != nil {
		return "", b.failed(ctx, err, out)
	}
	if _, err := os.Stat(file); err != nil {
		return "", pgerr.New(pgerr.InvalidFunctionDefinition, "%s is not a main package", b.dir).
			WithHint("A plugin is package main with func main() { udf.Main(…) }.")
	}
	return file, nil
}

// failed describes a failure of the go tool.
func (b *builder) failed(ctx context.Context, err error, out []byte) error {
	if ctx.Err() != nil {
		return pgerr.From(context.Cause(ctx))
	}
	text := strings.ReplaceAll(string(bytes.TrimSpace(out)), b.dir+string(filepath.Separator), "")
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return pgerr.Wrap(err, systemError, "could not run the Go toolchain")
	}
	head := text
	for _, line := range strings.Split(text, "\n") {
		if line != "" && !strings.HasPrefix(line, "#") {
			head = strings.TrimPrefix(line, "./")
			break
		}
	}
	if len(text) > 8<<10 {
		text = text[:8<<10] + "\n…"
	}
	e := pgerr.New(pgerr.InvalidFunctionDefinition, "could not compile %s: %s", filepath.Base(b.dir), head)
	e.Detail = text
	if strings.Contains(text, "no required module provides package") || strings.Contains(text, "cannot find module providing package") {
		e.Hint = "Run go mod init and go get in the plugin's directory; a directory without go.mod can use the standard library and the SDK only."
	}
	return e
}

// ask runs the program for its manifest.
func (b *builder) ask(ctx context.Context, file string) (*wire.Manifest, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, file, "--manifest")
	cmd.Dir = b.tmp
	cmd.Env = []string{"PATH=/usr/bin:/bin"}
	cmd.WaitDelay = time.Second
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var m wire.Manifest
	if err == nil {
		err = json.Unmarshal(out.Bytes(), &m)
	}
	if err != nil {
		text := strings.TrimSpace(errs.String())
		if i := strings.Index(text, "\n\ngoroutine "); i > 0 {
			text = text[:i]
		}
		return nil, pgerr.New(pgerr.InvalidFunctionDefinition, "%s does not say which functions it has: %v", filepath.Base(b.dir), err).
			WithDetail("%s", text).
			WithHint("Its main function calls udf.Main(…), and prints nothing before that.")
	}
	if len(m.Functions) == 0 {
		return nil, pgerr.New(pgerr.InvalidFunctionDefinition, "%s declares no functions", filepath.Base(b.dir)).
			WithHint("Name them in udf.Main(udf.Scalar(…), …).")
	}
	return &m, nil
}

// GoTest runs the tests of the Go package in dir with this binary's SDK, and
// returns what the go tool said. err is 42P13 when tests fail.
func GoTest(ctx context.Context, dir string, args ...string) (output []byte, err error) {
	tool, err := exec.LookPath("go")
	if err != nil {
		return nil, pgerr.New(systemError, "there is no Go toolchain to test a plugin with: %v", err).WithHint("Install Go.")
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, pgerr.Wrap(err, pgerr.UndefinedFile, "could not test a plugin")
	}
	tmp, err := os.MkdirTemp("", "volley-test-")
	if err != nil {
		return nil, pgerr.Wrap(err, pgerr.IOError, "could not test a plugin")
	}
	defer os.RemoveAll(tmp)
	b := &builder{tool: tool, dir: dir, tmp: tmp}
	if err := b.prepare(ctx); err != nil {
		return nil, err
	}
	test := []string{"test", "-overlay=" + b.overlay, "-mod=readonly"}
	if _, err := os.Stat(filepath.Join(dir, sdkDir, "udf", "sdk", "udftest")); err != nil {
		// vet runs in the directories of packages, and that of the kit is in the overlay alone.
		test = append(test, "-vet=off")
	}
	out, err := b.run(ctx, nil, append(test, append(args, "./...")...)...)
	if err != nil {
		if ctx.Err() != nil {
			return out, pgerr.From(context.Cause(ctx))
		}
		return out, pgerr.New(pgerr.InvalidFunctionDefinition, "the tests of %s fail", filepath.Base(dir))
	}
	return out, nil
}

// WriteSDK writes the SDK's source below dir, where the go.mod of a new plugin
// finds it, so that editors and the go tool know it. It returns the directory,
// relative to dir.
func WriteSDK(dir string) (string, error) {
	write := func(name string, data []byte) error {
		file := filepath.Join(dir, sdkDir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		return os.WriteFile(file, data, 0o644)
	}
	err := write("go.mod", []byte("module "+volleyModule+"\n\ngo 1."+strconv.Itoa(sdkGo)+"\n"))
	if err == nil {
		err = fs.WalkDir(sdkFiles, ".", func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.HasSuffix(path, "_test.go") || path == "sdk/gen.go" {
				return err
			}
			data, err := sdkFiles.ReadFile(path)
			if err != nil {
				return err
			}
			return write("udf/"+path, data)
		})
	}
	if err != nil {
		return "", pgerr.Wrap(err, pgerr.IOError, "could not write the SDK")
	}
	return sdkDir, nil
}
