package udf

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/udf/sdk/wire"
)

// manifestName is the first file of an artifact's tar.
const manifestName = "manifest.json"

// maxArtifact bounds an artifact's size, maxManifest that of its manifest.
const (
	maxArtifact = 2 << 30
	maxManifest = 16 << 20
)

// ManifestOf reads the manifest of an artifact, without verifying the rest.
func ManifestOf(r io.Reader) (*Manifest, error) {
	m, err := readManifest(tar.NewReader(r))
	if err != nil {
		return nil, pgerr.New(pgerr.InvalidBinaryRepresentation, "this is not an artifact of functions: %v", err)
	}
	return m, nil
}

// digestPrefix starts a digest.
const digestPrefix = "sha256:"

func digestOf(sum []byte) string { return digestPrefix + hex.EncodeToString(sum) }

// shortDigest is a digest for people.
func shortDigest(d string) string {
	if len(d) > len(digestPrefix)+12 {
		return d[:len(digestPrefix)+12]
	}
	return d
}

// validDigest reports whether d is "sha256:" and 64 lower-case hex digits.
func validDigest(d string) bool {
	h, ok := strings.CutPrefix(d, digestPrefix)
	return ok && len(h) == 64 && isHex(h)
}

func isHex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }

func errCorrupt(digest, why string) *pgerr.Error {
	e := pgerr.New(pgerr.DataCorrupted, "artifact %s is corrupt", digest)
	if why != "" {
		e.Detail = why
	}
	return e
}

// writeBundle writes an artifact: the same content gives the same bytes.
func writeBundle(w io.Writer, m *Manifest, bins map[string][]byte) error {
	mj, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	t := tar.NewWriter(w)
	add := func(name string, mode int64, data []byte) error {
		h := &tar.Header{Name: name, Mode: mode, Size: int64(len(data)), ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR, Typeflag: tar.TypeReg}
		if err := t.WriteHeader(h); err != nil {
			return err
		}
		_, err := t.Write(data)
		return err
	}
	if err := add(manifestName, 0o644, append(mj, '\n')); err != nil {
		return err
	}
	for _, p := range m.Platforms { // in order
		if err := add(p.Path, 0o755, bins[p.Path]); err != nil {
			return err
		}
	}
	return t.Close()
}

// readManifest reads the manifest of an artifact and leaves the tar at the file
// after it.
func readManifest(t *tar.Reader) (*Manifest, error) {
	m, _, err := readManifestFile(t)
	return m, err
}

func parseManifest(b []byte) (*Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("%s: %w", manifestName, err)
	}
	if m.ABI < 1 || m.Name == "" || len(m.Platforms) == 0 {
		return nil, fmt.Errorf("%s lacks the ABI version, the name or the platforms", manifestName)
	}
	if strings.ContainsFunc(m.Name, unicode.IsControl) {
		return nil, fmt.Errorf("%s has the name %q", manifestName, m.Name)
	}
	for _, p := range m.Platforms {
		if p.Path != filepath.ToSlash(filepath.Clean(p.Path)) || !filepath.IsLocal(p.Path) || !strings.HasPrefix(p.Path, "bin/") {
			return nil, fmt.Errorf("%s names the file %q", manifestName, p.Path)
		}
	}
	return &m, nil
}

// checkBundle reads a whole artifact and verifies that it is one.
func checkBundle(r io.Reader) (*Manifest, error) {
	t := tar.NewReader(r)
	m, err := readManifest(t)
	if err != nil {
		return nil, err
	}
	if err := m.checkRuntime(); err != nil {
		return nil, err
	}
	left := map[string]Platform{}
	for _, p := range m.Platforms {
		left[p.Path] = p
	}
	for {
		h, err := t.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		p, ok := left[h.Name]
		if !ok {
			return nil, fmt.Errorf("the file %q is not in the manifest", h.Name)
		}
		delete(left, h.Name)
		s := sha256.New()
		if _, err := io.Copy(s, t); err != nil {
			return nil, err
		}
		if hex.EncodeToString(s.Sum(nil)) != p.SHA256 {
			return nil, fmt.Errorf("the file %q is not what the manifest says", h.Name)
		}
	}
	for p := range left {
		return nil, fmt.Errorf("the file %q is missing", p)
	}
	return m, nil
}

// unpack writes the manifest and this machine's binary of the artifact in data
// into dir.
func unpack(data io.Reader, dir string) error {
	t := tar.NewReader(data)
	m, err := readManifest(t)
	if err != nil {
		return err
	}
	want, ok := m.platform()
	if !ok {
		return errPlatform(m)
	}
	for {
		h, err := t.Next()
		if err != nil {
			return fmt.Errorf("the file %q is missing: %w", want.Path, err)
		}
		if h.Name == want.Path {
			break
		}
	}
	path := filepath.Join(dir, filepath.FromSlash(want.Path))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if err := writeFile(path, t, 0o500); err != nil {
		return err
	}
	mj, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, manifestName), bytes.NewReader(mj), 0o400)
}

// writeFile writes and syncs a new file; an old one is replaced in one step. No
// process is started meanwhile: until its own exec it would have the file open for
// writing too, and a program that anybody writes to cannot be started ("text file
// busy").
func writeFile(path string, r io.Reader, mode os.FileMode) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails after the rename
	_, err = io.Copy(f, r)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	return err
}

// checkRuntime refuses an artifact whose runtime nobody knows, and one without
// the only file that its runtime could run. A native artifact for other machines
// is none of these: a cluster may have them.
func (m *Manifest) checkRuntime() error {
	known := knownRuntimes()
	if !slices.Contains(known, m.RuntimeName()) {
		return pgerr.New(pgerr.InvalidParameterValue, "artifact %q has the unknown runtime %q", m.Name, m.RuntimeName()).
			WithHint("Known runtimes are %s.", strings.Join(known, ", "))
	}
	// Of a runtime that was registered from outside nothing is known.
	if m.RuntimeName() == RuntimeWasm {
		if _, ok := m.platform(); !ok {
			return errPlatform(m)
		}
	}
	return nil
}

// platform is the entry of this machine.
func (m *Manifest) platform() (Platform, bool) {
	goos, arch := m.platformKey(runtime.GOOS, runtime.GOARCH)
	for _, p := range m.Platforms {
		if p.OS == goos && p.Arch == arch {
			return p, true
		}
	}
	return Platform{}, false
}

func errPlatform(m *Manifest) error {
	var have []string
	for _, p := range m.Platforms {
		have = append(have, p.OS+"/"+p.Arch)
	}
	goos, arch := m.platformKey(runtime.GOOS, runtime.GOARCH)
	e := pgerr.New(pgerr.FeatureNotSupported, "artifact %q has no binary for %s/%s", m.Name, goos, arch).
		WithDetail("It has binaries for %s.", strings.Join(have, ", "))
	switch m.RuntimeName() {
	case RuntimeGo:
		return e.WithHint("Build it with volley udf build --platform %s/%s.", goos, arch)
	case RuntimeWasm:
		e.Message = fmt.Sprintf("artifact %q has the runtime wasm and no module of WebAssembly", m.Name)
		return e.WithHint("The module is the file of the platform %s/%s: build it with volley udf build --runtime wasm.", goos, arch)
	}
	return e
}

// readBundle reads what unpack wrote: the manifest and the path of the binary.
func readBundle(dir string) (*Manifest, string, error) {
	b, err := os.ReadFile(filepath.Join(dir, manifestName))
	if err != nil {
		return nil, "", pgerr.Wrap(err, pgerr.IOError, "could not read an artifact")
	}
	m, err := parseManifest(b)
	if err != nil {
		return nil, "", pgerr.Wrap(err, pgerr.DataCorrupted, "could not read an artifact")
	}
	if m.ABI != wire.ABI {
		return nil, "", errABI(m.Name, m.ABI)
	}
	p, ok := m.platform()
	if !ok {
		return nil, "", errPlatform(m)
	}
	return m, filepath.Join(dir, filepath.FromSlash(p.Path)), nil
}

// fileSum is the sha256 of a file in hex.
func fileSum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	s := sha256.New()
	if _, err := io.Copy(s, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(s.Sum(nil)), nil
}
