package udf

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/udf/sdk/wire"
)

// Store is a directory of artifacts, addressed by digest. It is safe for
// concurrent use, also by several processes.
//
// blobs/HEX.vudf are the artifacts; run/HEX is one unpacked, for this machine.
// Files come into being under another name and are renamed.
type Store struct {
	dir string

	mu        sync.Mutex
	manifests map[string]cachedManifest // by digest
	flights   map[string]chan struct{}  // locks of Ensure by digest
	sums      map[string]fileStamp      // by path
}

// fileStamp is a file's digest with what tells that the file has not been
// touched since: hashing megabytes for every task of a small query would cost
// more than the query. A file that was changed has another modification time.
type fileStamp struct {
	info os.FileInfo
	sum  string
}

// fileSum is the sha256 of a file in hex.
func (s *Store) fileSum(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	have, ok := s.sums[path]
	s.mu.Unlock()
	if ok && os.SameFile(have.info, info) && have.info.Size() == info.Size() && have.info.ModTime().Equal(info.ModTime()) {
		return have.sum, nil
	}
	sum, err := fileSum(path)
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	s.sums[path] = fileStamp{info, sum}
	s.mu.Unlock()
	return sum, nil
}

// cachedManifest spares List and Resolve reading artifacts that have not been
// touched.
type cachedManifest struct {
	size, mtime int64
	m           *Manifest
}

const blobSuffix = ".vudf"

// OpenStore opens the store in dir and creates what is missing.
func OpenStore(dir string) (*Store, error) {
	for _, d := range []string{"blobs", "run"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			return nil, pgerr.Wrap(err, pgerr.IOError, "could not open the artifact store")
		}
	}
	abs, err := filepath.Abs(dir) // children run in directories of their own
	if err != nil {
		return nil, pgerr.Wrap(err, pgerr.IOError, "could not open the artifact store")
	}
	return &Store{dir: abs, manifests: map[string]cachedManifest{}, flights: map[string]chan struct{}{}, sums: map[string]fileStamp{}}, nil
}

func (s *Store) blob(digest string) string {
	return filepath.Join(s.dir, "blobs", strings.TrimPrefix(digest, digestPrefix)+blobSuffix)
}

func (s *Store) runDir(digest string) string {
	return filepath.Join(s.dir, "run", strings.TrimPrefix(digest, digestPrefix))
}

// Put verifies that r is an artifact, keeps it and returns its digest. Putting
// what is there already changes nothing.
func (s *Store) Put(ctx context.Context, r io.Reader) (digest string, err error) {
	return s.write(ctx, "", func(ctx context.Context, w io.Writer) error {
		n, err := io.Copy(w, io.LimitReader(r, maxArtifact+1))
		if err == nil && n > maxArtifact {
			err = pgerr.New(pgerr.ProgramLimitExceeded, "the artifact is larger than %d bytes", int64(maxArtifact))
		}
		return err
	})
}

// PutFile is Put of a file.
func (s *Store) PutFile(ctx context.Context, path string) (digest string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", pgerr.Wrap(err, pgerr.UndefinedFile, "could not open the artifact")
	}
	defer f.Close()
	return s.Put(ctx, f)
}

// contextWriter fails when ctx ends.
type contextWriter struct {
	ctx context.Context
	w   io.Writer
}

func (c contextWriter) Write(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, pgerr.From(context.Cause(c.ctx))
	}
	return c.w.Write(b)
}

// write keeps what fetch writes, if it has the digest want ("" for any).
func (s *Store) write(ctx context.Context, want string, fetch func(context.Context, io.Writer) error) (digest string, err error) {
	f, err := os.CreateTemp(filepath.Join(s.dir, "blobs"), ".tmp-*")
	if err != nil {
		return "", pgerr.Wrap(err, pgerr.IOError, "could not keep an artifact")
	}
	defer func() {
		f.Close()
		os.Remove(f.Name()) // fails after the rename
	}()
	sum := sha256.New()
	if err := fetch(ctx, contextWriter{ctx, io.MultiWriter(f, sum)}); err != nil {
		if ctx.Err() != nil {
			return "", pgerr.From(context.Cause(ctx))
		}
		return "", pgerr.Wrap(err, pgerr.IOError, "could not fetch artifact %s", want)
	}
	digest = digestOf(sum.Sum(nil))
	if want != "" && digest != want {
		return "", errCorrupt(want, "What was fetched has the digest "+digest+".")
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", pgerr.Wrap(err, pgerr.IOError, "could not keep an artifact")
	}
	m, err := checkBundle(f)
	if err != nil {
		return "", pgerr.New(pgerr.InvalidBinaryRepresentation, "this is not an artifact of functions: %v", err)
	}
	if m.ABI != wire.ABI {
		return "", errABI(m.Name, m.ABI)
	}
	err = f.Chmod(0o400)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(f.Name(), s.blob(digest))
	}
	if err != nil {
		return "", pgerr.Wrap(err, pgerr.IOError, "could not keep an artifact")
	}
	return digest, nil
}

// verify reads an artifact and compares its digest.
func (s *Store) verify(digest string) error {
	if !validDigest(digest) {
		return pgerr.New(pgerr.InvalidParameterValue, "invalid artifact digest: %q", digest).
			WithHint("A digest is sha256: and 64 hexadecimal digits.")
	}
	sum, err := s.fileSum(s.blob(digest))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return pgerr.New(pgerr.UndefinedFile, "artifact %s does not exist", digest)
	case err != nil:
		return pgerr.Wrap(err, pgerr.IOError, "could not read artifact %s", digest)
	case digestPrefix+sum != digest:
		return errCorrupt(digest, "Its file has the digest "+digestPrefix+sum+".")
	}
	return nil
}

// Get returns the path of the artifact's file, verified; 58P01 if it is not there.
func (s *Store) Get(digest string) (path string, err error) {
	if err := s.verify(digest); err != nil {
		return "", err
	}
	return s.blob(digest), nil
}

// Has reports whether the artifact is there, without verifying it.
func (s *Store) Has(digest string) bool {
	if !validDigest(digest) {
		return false
	}
	_, err := os.Stat(s.blob(digest))
	return err == nil
}

// Manifest reads the manifest of an artifact, verified when it is first read.
func (s *Store) Manifest(digest string) (*Manifest, error) {
	if !validDigest(digest) {
		return nil, s.verify(digest)
	}
	st, err := os.Stat(s.blob(digest))
	if err != nil {
		return nil, s.verify(digest)
	}
	s.mu.Lock()
	c, ok := s.manifests[digest]
	s.mu.Unlock()
	if ok && c.size == st.Size() && c.mtime == st.ModTime().UnixNano() {
		return c.m, nil
	}
	if err := s.verify(digest); err != nil {
		return nil, err
	}
	f, err := os.Open(s.blob(digest))
	if err != nil {
		return nil, pgerr.Wrap(err, pgerr.IOError, "could not read artifact %s", digest)
	}
	defer f.Close()
	m, err := readManifest(tar.NewReader(f))
	if err != nil {
		return nil, errCorrupt(digest, err.Error())
	}
	s.mu.Lock()
	s.manifests[digest] = cachedManifest{st.Size(), st.ModTime().UnixNano(), m}
	s.mu.Unlock()
	return m, nil
}

// Ensure makes the artifact ready to run and returns the directory that holds
// its unpacked files. An artifact that is missing, or whose bytes are not those
// of its digest, is fetched by fetch, which writes the artifact's bytes; one
// fetch runs at a time per digest. fetch may be nil. Bytes that are corrupt and
// cannot be fetched again are XX001.
func (s *Store) Ensure(ctx context.Context, digest string, fetch func(ctx context.Context, w io.Writer) error) (dir string, err error) {
	s.mu.Lock()
	lock := s.flights[digest]
	if lock == nil {
		lock = make(chan struct{}, 1)
		s.flights[digest] = lock
	}
	s.mu.Unlock()
	select {
	case lock <- struct{}{}:
		defer func() { <-lock }()
	case <-ctx.Done():
		return "", pgerr.From(context.Cause(ctx))
	}
	err = s.verify(digest)
	if code := pgerr.Code(err); fetch != nil && (code == pgerr.UndefinedFile || code == pgerr.DataCorrupted) {
		_, ferr := s.write(ctx, digest, fetch)
		if ferr != nil && code == pgerr.DataCorrupted && ctx.Err() == nil {
			e := pgerr.From(err)
			ferr = errCorrupt(digest, e.Detail+" Fetching it again failed: "+ferr.Error())
		}
		err = ferr
	}
	if err != nil {
		return "", err
	}
	dir = s.runDir(digest)
	if s.unpacked(dir) {
		return dir, nil
	}
	f, err := os.Open(s.blob(digest))
	if err != nil {
		return "", pgerr.Wrap(err, pgerr.IOError, "could not read artifact %s", digest)
	}
	defer f.Close()
	// unpack replaces each file in one step, the manifest last, so another
	// process that does the same now writes the same.
	err = os.MkdirAll(dir, 0o700)
	if err == nil {
		err = unpack(f, dir)
	}
	if err != nil {
		return "", pgerr.Wrap(err, pgerr.IOError, "could not unpack artifact %s", digest)
	}
	return dir, nil
}

// unpacked reports whether dir has a manifest and the binary that it describes.
func (s *Store) unpacked(dir string) bool {
	m, path, err := readBundle(dir)
	if err != nil {
		return false
	}
	p, _ := m.platform()
	sum, err := s.fileSum(path)
	return err == nil && sum == p.SHA256
}

// Entry is an artifact as List shows it.
type Entry struct {
	Digest   string
	Size     int64
	Manifest *Manifest
}

// List returns all artifacts ordered by name and digest; corrupt ones are left
// out.
func (s *Store) List() ([]Entry, error) {
	files, err := os.ReadDir(filepath.Join(s.dir, "blobs"))
	if err != nil {
		return nil, pgerr.Wrap(err, pgerr.IOError, "could not list the artifact store")
	}
	var out []Entry
	for _, f := range files {
		h, ok := strings.CutSuffix(f.Name(), blobSuffix)
		if b, err := hex.DecodeString(h); !ok || err != nil || len(b) != sha256.Size {
			continue
		}
		info, err := f.Info()
		if err != nil {
			continue // gone since
		}
		m, err := s.Manifest(digestPrefix + h)
		if err != nil {
			continue
		}
		out = append(out, Entry{digestPrefix + h, info.Size(), m})
	}
	sort.Slice(out, func(i, j int) bool {
		a, b := out[i], out[j]
		if a.Manifest.Name != b.Manifest.Name {
			return a.Manifest.Name < b.Manifest.Name
		}
		return a.Digest < b.Digest
	})
	return out, nil
}

// Resolve finds the digest that ref means: "name@sha256:abcd" (any unique
// prefix of at least 4 digits), "sha256:abcd", "name@version", or "name" alone
// when the store has one artifact of that name. 42704 for none, 42725 for more
// than one.
func (s *Store) Resolve(ref string) (digest string, err error) {
	name, tag, hasTag := strings.Cut(ref, "@")
	if strings.HasPrefix(ref, digestPrefix) {
		name, tag, hasTag = "", ref, true
	}
	prefix, byDigest := strings.CutPrefix(tag, digestPrefix)
	prefix = strings.TrimSuffix(strings.TrimSuffix(prefix, "…"), "...")
	if byDigest && (len(prefix) < 4 || len(prefix) > 64 || !isHex(prefix)) {
		return "", pgerr.New(pgerr.InvalidParameterValue, "invalid artifact digest: %q", tag).
			WithHint("Give sha256: and 4 to 64 hexadecimal digits.")
	}
	all, err := s.List()
	if err != nil {
		return "", err
	}
	var found, named []Entry
	for _, e := range all {
		if name != "" && e.Manifest.Name != name {
			continue
		}
		named = append(named, e)
		switch {
		case byDigest && !strings.HasPrefix(e.Digest, digestPrefix+prefix):
		case hasTag && !byDigest && e.Manifest.Version != tag:
		default:
			found = append(found, e)
		}
	}
	if len(found) == 1 {
		return found[0].Digest, nil
	}
	describe := func(es []Entry) string {
		var b strings.Builder
		for i, e := range es {
			if i == 10 {
				return b.String() + ", …"
			}
			if i > 0 {
				b.WriteString(", ")
			}
			fmt.Fprintf(&b, "%s@%s", e.Manifest.Name, shortDigest(e.Digest))
			if e.Manifest.Version != "" {
				fmt.Fprintf(&b, " (version %s)", e.Manifest.Version)
			}
		}
		return b.String()
	}
	if len(found) > 1 {
		return "", pgerr.New(pgerr.AmbiguousFunction, "artifact %q is ambiguous", ref).
			WithDetail("It could be %s.", describe(found)).
			WithHint("Name one by more digits of its digest.")
	}
	e := pgerr.New(pgerr.UndefinedObject, "artifact %q does not exist", ref)
	if len(named) > 0 && name != "" {
		return "", e.WithDetail("There are %s.", describe(named))
	}
	return "", e.WithHint("Upload it with volley udf push, or SELECT volley.put_artifact(…).")
}
