package udf

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"time"

	oci "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/udf/sdk/wire"
)

// Store is a directory of artifacts, addressed by digest: an OCI image layout
// (layout.go) that any OCI tool reads. It is safe for concurrent use, also by
// several processes; only one of them may remove artifacts.
//
// blobs/sha256/HEX are the artifacts and what describes them; run/HEX is an
// artifact unpacked for this machine, with what runtimes cache there; used/HEX
// has the time of the last use. Files come into being under another name and are
// renamed.
type Store struct {
	dir   string
	limit int64
	keys  *TrustedKeys
	own   *SigningKey
	log   *slog.Logger

	// removal is held while an artifact is removed, and shared by those who pin one.
	removal sync.RWMutex

	mu        sync.Mutex
	manifests map[string]cachedManifest // by digest
	ocis      map[string]*oci.Manifest  // by their own digests
	last      listing                   // of the index
	flights   map[string]chan struct{}  // locks of Ensure by digest
	sums      map[string]fileStamp      // by path
	bundles   map[string]bundleStamp    // by directory
	vouched   map[string]int            // digest → the contents of keys that trust it
	pins      map[string]int            // uses by digest
	uses      map[string]use            // the last by digest
	holds     map[int]time.Time         // see Hold
	lastHold  int
	fetches   int64
}

// StoreConfig says how a store is opened.
type StoreConfig struct {
	Dir string
	// Limit, in bytes, is what a worker's cache of artifacts may take: beyond it,
	// those that were used longest ago and that nobody uses now are removed; 0 = all
	// are kept.
	Limit int64
	// Keys, if it is not nil, says whose signature an artifact must have to be put or
	// used.
	Keys *TrustedKeys
	// Own signs what the store's own server makes: of source in a CREATE FUNCTION,
	// for example.
	Own *SigningKey
	Log *slog.Logger // nil = none
}

// fileStamp is a file's digest with what tells that the file has not been
// touched since: hashing megabytes for every task of a small query would cost
// more than the query. A file that was changed has another time of its last
// change.
type fileStamp struct {
	info os.FileInfo
	sum  string
}

// bundleStamp is what the manifest of an unpacked artifact says of its binary.
type bundleStamp struct {
	info      os.FileInfo // of the manifest
	path, sum string
}

// sameFile reports whether a file is what it was.
func sameFile(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime()) && changeTime(a) == changeTime(b)
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
	if ok && sameFile(have.info, info) {
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

// blobSuffix ends the names of artifacts' files.
const blobSuffix = ".vudf"

// OpenStore opens the store in dir and creates what is missing.
func OpenStore(dir string) (*Store, error) { return OpenStoreWith(StoreConfig{Dir: dir}) }

// OpenStoreWith is OpenStore with more to say.
func OpenStoreWith(c StoreConfig) (*Store, error) {
	abs, err := filepath.Abs(c.Dir) // children run in directories of their own
	if err != nil {
		return nil, pgerr.Wrap(err, pgerr.IOError, "could not open the artifact store")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	s := &Store{dir: abs, limit: c.Limit, keys: c.Keys, own: c.Own, log: c.Log,
		manifests: map[string]cachedManifest{}, ocis: map[string]*oci.Manifest{}, flights: map[string]chan struct{}{}, sums: map[string]fileStamp{}, bundles: map[string]bundleStamp{},
		vouched: map[string]int{}, pins: map[string]int{}, uses: map[string]use{}, holds: map[int]time.Time{}}
	if err := s.openLayout(); err != nil {
		return nil, pgerr.Wrap(err, pgerr.IOError, "could not open the artifact store")
	}
	return s, nil
}

// Keys are those whose signature artifacts must have; nil for none.
func (s *Store) Keys() *TrustedKeys { return s.keys }

// Dir is the layout's directory.
func (s *Store) Dir() string { return s.dir }

// Fetches counts the artifacts that Ensure has fetched.
func (s *Store) Fetches() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fetches
}

func (s *Store) blob(digest string) string {
	return filepath.Join(s.dir, "blobs", "sha256", strings.TrimPrefix(digest, digestPrefix))
}

func (s *Store) runDir(digest string) string {
	return filepath.Join(s.dir, "run", strings.TrimPrefix(digest, digestPrefix))
}

// Put verifies that r is an artifact, keeps it with its signatures and returns its
// digest. Putting what is there already changes nothing but adds signatures.
func (s *Store) Put(ctx context.Context, r io.Reader, signatures ...ArtifactSignature) (digest string, err error) {
	return s.write(ctx, "", copied(r, signatures), false)
}

// PutAs is Put of an artifact whose digest is known; XX001 if r has other bytes.
func (s *Store) PutAs(ctx context.Context, digest string, r io.Reader, signatures ...ArtifactSignature) error {
	_, err := s.write(ctx, digest, copied(r, signatures), false)
	return err
}

// copied is what write gets of a reader.
func copied(r io.Reader, signatures []ArtifactSignature) Fetch {
	return func(ctx context.Context, w io.Writer) ([]byte, error) {
		n, err := io.Copy(w, io.LimitReader(r, maxArtifact+1))
		if err == nil && n > maxArtifact {
			err = pgerr.New(pgerr.ProgramLimitExceeded, "the artifact is larger than %d bytes", int64(maxArtifact))
		}
		return FormatSignatures(signatures), err
	}
}

// PutOwn is Put of what this server has made itself: it has its signature, if it
// has a key.
func (s *Store) PutOwn(ctx context.Context, r io.Reader) (digest string, err error) {
	return s.write(ctx, "", copied(r, nil), true)
}

// PutFile is Put of a file. The signatures are those in the file of this name with
// .sig after it, if there is one.
func (s *Store) PutFile(ctx context.Context, path string) (digest string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", pgerr.Wrap(err, pgerr.UndefinedFile, "could not open the artifact")
	}
	defer f.Close()
	list, err := ReadSignatures(path)
	if err != nil {
		return "", err
	}
	return s.Put(ctx, f, list...)
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

// Fetch writes the bytes of an artifact and returns its signatures, as
// FormatSignatures writes them.
type Fetch = func(ctx context.Context, w io.Writer) (signatures []byte, err error)

// write keeps what fetch writes, if it has the digest want ("" for any). own says
// that this server has made it.
func (s *Store) write(ctx context.Context, want string, fetch Fetch, own bool) (digest string, err error) {
	f, err := os.CreateTemp(filepath.Join(s.dir, "ingest"), "artifact-*")
	if err != nil {
		return "", pgerr.Wrap(err, pgerr.IOError, "could not keep an artifact")
	}
	defer func() {
		f.Close()
		os.Remove(f.Name()) // fails after the rename
	}()
	sum := sha256.New()
	sigs, err := fetch(ctx, contextWriter{ctx, io.MultiWriter(f, sum)})
	if err != nil {
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
	if pe := (*pgerr.Error)(nil); errors.As(err, &pe) {
		return "", err
	}
	if err != nil {
		return "", pgerr.New(pgerr.InvalidBinaryRepresentation, "this is not an artifact of functions: %v", err)
	}
	if m.ABI != wire.ABI {
		return "", errABI(m.Name, m.ABI)
	}
	list, err := s.admit(digest, sigs, own)
	if err != nil {
		return "", err
	}
	err = f.Chmod(0o400)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(f.Name(), s.blob(digest))
	}
	if err == nil {
		err = s.enter(digest)
	}
	if err != nil {
		return "", pgerr.Wrap(err, pgerr.IOError, "could not keep an artifact")
	}
	s.touch(digest)
	return digest, s.AddSignatures(digest, list)
}

// admit returns the signatures to keep with a new artifact, or an error when the
// store's keys demand another.
func (s *Store) admit(digest string, sigs []byte, own bool) ([]ArtifactSignature, error) {
	list, err := ParseSignatures(sigs)
	if err != nil {
		return nil, err
	}
	if own && s.own != nil {
		list = append(list, s.own.Sign(digest))
	}
	for _, g := range list {
		if err := g.Check(digest); err != nil {
			return nil, err
		}
	}
	if s.keys == nil {
		return list, nil
	}
	all := list
	if have, err := s.Signatures(digest); err == nil { // it may be here already
		all = append(have, list...)
	}
	err = s.trusted(digest, all)
	if e := pgerr.From(err); err != nil && own && s.own == nil && e.Code == pgerr.InsufficientPrivilege {
		err = e.WithDetail("Artifacts that this server makes itself are not signed.").
			WithHint("Build it with volley udf build, sign and push it; or start the server with --udf-signing-key.")
	}
	return list, err
}

// verify says whether an artifact is there, as its digest says, and may be used.
func (s *Store) verify(digest string) error {
	if err := s.verifyBytes(digest); err != nil {
		return err
	}
	return s.checkTrust(digest)
}

// verifyBytes reads an artifact and compares its digest.
func (s *Store) verifyBytes(digest string) error {
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
	m, err := s.manifest(digest)
	if err != nil {
		return nil, err
	}
	return m, s.checkTrust(digest)
}

// manifest is Manifest whoever has signed.
func (s *Store) manifest(digest string) (*Manifest, error) {
	if !validDigest(digest) {
		return nil, s.verifyBytes(digest)
	}
	st, err := os.Stat(s.blob(digest))
	if err != nil {
		return nil, s.verifyBytes(digest)
	}
	s.mu.Lock()
	c, ok := s.manifests[digest]
	s.mu.Unlock()
	if ok && c.size == st.Size() && c.mtime == st.ModTime().UnixNano() {
		return c.m, nil
	}
	if err := s.verifyBytes(digest); err != nil {
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
// its unpacked files; Pin keeps it there. An artifact that is missing, or whose
// bytes are not those of its digest, is fetched by fetch, which writes the
// artifact's bytes; one fetch runs at a time per digest. fetch may be nil. Bytes
// that are corrupt and cannot be fetched again are XX001, an artifact without a
// signature that the store demands is 42501.
func (s *Store) Ensure(ctx context.Context, digest string, fetch Fetch) (dir string, err error) {
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
	defer s.Pin(digest)()
	err = s.verify(digest)
	if fetch != nil {
		switch code := pgerr.Code(err); code {
		case pgerr.UndefinedFile:
			err = s.fetch(ctx, digest, fetch)
		case pgerr.InsufficientPrivilege: // the signature may be newer than the copy
			if s.fetch(ctx, digest, fetch) == nil {
				err = nil
			}
		case pgerr.DataCorrupted:
			was := pgerr.From(err).Detail
			s.log.Warn("a cached artifact is corrupt: it is removed and fetched again", "digest", digest, "found", was)
			os.Remove(s.blob(digest)) // what cannot be removed is replaced
			if err = s.fetch(ctx, digest, fetch); err != nil && ctx.Err() == nil {
				err = errCorrupt(digest, was+" Fetching it again failed: "+err.Error())
			}
		}
	}
	if err != nil {
		return "", err
	}
	dir = s.runDir(digest)
	if s.unpacked(dir) {
		return dir, nil
	}
	if _, err := os.Stat(filepath.Join(dir, manifestName)); err == nil {
		s.log.Warn("the unpacked files of an artifact are not its own: it is unpacked again", "digest", digest)
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
	s.shrink()
	return dir, nil
}

// fetch gets an artifact from elsewhere.
func (s *Store) fetch(ctx context.Context, digest string, fetch Fetch) error {
	begun := time.Now()
	s.mu.Lock()
	s.fetches++
	s.mu.Unlock()
	if _, err := s.write(ctx, digest, fetch, false); err != nil {
		return err
	}
	s.log.Info("artifact fetched", "digest", digest, "time", time.Since(begun))
	return nil
}

// unpacked reports whether dir has a manifest and the binary that it describes.
func (s *Store) unpacked(dir string) bool {
	info, err := os.Stat(filepath.Join(dir, manifestName))
	if err != nil {
		return false
	}
	s.mu.Lock()
	have, ok := s.bundles[dir]
	s.mu.Unlock()
	if !ok || !sameFile(have.info, info) {
		m, path, err := readBundle(dir)
		if err != nil {
			return false
		}
		p, _ := m.platform()
		have = bundleStamp{info, path, p.SHA256}
		s.mu.Lock()
		s.bundles[dir] = have
		s.mu.Unlock()
	}
	sum, err := s.fileSum(have.path)
	return err == nil && sum == have.sum
}

// Entry is an artifact as List shows it.
type Entry struct {
	Digest   string
	Size     int64
	Manifest *Manifest
	Stored   time.Time // when it came here
	Used     time.Time // last use here, zero when there was none
	SignedBy []string  // names of the keys, sorted
}

// List returns all artifacts ordered by name and digest, also those without a
// signature that the store demands; corrupt ones are left out.
func (s *Store) List() ([]Entry, error) {
	all, err := s.listed()
	if err != nil {
		return nil, err
	}
	var out []Entry
	for _, l := range all {
		info, err := os.Stat(s.blob(l.digest))
		if err != nil {
			continue // gone since
		}
		m, err := s.manifest(l.digest)
		if err != nil {
			continue
		}
		e := Entry{Digest: l.digest, Size: info.Size(), Manifest: m, Stored: info.ModTime(), Used: s.lastUse(l.digest)}
		if len(l.signatures) > 0 {
			e.SignedBy = s.signedBy(l)
		}
		out = append(out, e)
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
	if whole := digestPrefix + prefix; byDigest && validDigest(whole) {
		if m, err := s.manifest(whole); err == nil && (name == "" || name == m.Name) {
			return whole, nil
		}
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
