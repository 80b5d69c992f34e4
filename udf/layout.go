package udf

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	oci "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/volleydb/volley/pgerr"
)

// How artifacts look in OCI layouts and registries: a manifest of this type whose
// config is the artifact's manifest.json and whose only layer is the artifact. The
// layer's digest is the artifact's: what plans pin. All of it follows from the
// artifact's bytes, so the same artifact has the same OCI manifest everywhere.
const (
	ArtifactType      = "application/vnd.volley.udf.v1"
	ManifestMediaType = "application/vnd.volley.udf.manifest.v1+json"
	BundleMediaType   = "application/vnd.volley.udf.bundle.v1.tar"
	// A signature is a manifest of SignatureType that refers to the artifact's.
	SignatureType      = "application/vnd.volley.udf.signature.v1"
	SignatureMediaType = "application/vnd.volley.udf.signature.v1+json"
)

// Tag is the name of an artifact in its store's index.
func Tag(digest string) string { return strings.Replace(digest, ":", "-", 1) }

// describe returns the OCI manifest of an artifact and its descriptor. config is
// the manifest.json as it stands in the artifact.
func describe(m *Manifest, config []byte, digest string, size int64) ([]byte, oci.Descriptor, error) {
	o := oci.Manifest{
		Versioned:    specs.Versioned{SchemaVersion: 2},
		MediaType:    oci.MediaTypeImageManifest,
		ArtifactType: ArtifactType,
		Config:       descriptor(ManifestMediaType, config),
		Layers: []oci.Descriptor{{MediaType: BundleMediaType, Digest: ociDigest(digest), Size: size,
			Annotations: map[string]string{oci.AnnotationTitle: m.Name + blobSuffix}}},
		Annotations: map[string]string{oci.AnnotationTitle: m.Name},
	}
	if m.Version != "" {
		o.Annotations[oci.AnnotationVersion] = m.Version
	}
	b, err := json.Marshal(&o)
	if err != nil {
		return nil, oci.Descriptor{}, err
	}
	d := descriptor(oci.MediaTypeImageManifest, b)
	d.ArtifactType = ArtifactType
	return b, d, nil
}

func ociDigest(d string) digest.Digest { return digest.Digest(d) }

func descriptor(mediaType string, b []byte) oci.Descriptor {
	return oci.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(b), Size: int64(len(b))}
}

// BundleOf returns the layer of an OCI manifest that is an artifact of functions,
// if it has one.
func BundleOf(m *oci.Manifest) (layer oci.Descriptor, ok bool) {
	if len(m.Layers) != 1 || m.Layers[0].MediaType != BundleMediaType || !validDigest(m.Layers[0].Digest.String()) {
		return oci.Descriptor{}, false
	}
	return m.Layers[0], true
}

// openLayout creates what an OCI layout consists of and takes over artifacts of
// stores as they were before: blobs/HEX.vudf.
func (s *Store) openLayout() error {
	for _, d := range []string{"blobs/sha256", "ingest", "run", "used"} {
		if err := os.MkdirAll(filepath.Join(s.dir, d), 0o700); err != nil {
			return err
		}
	}
	layout := filepath.Join(s.dir, oci.ImageLayoutFile)
	if _, err := os.Stat(layout); errors.Is(err, fs.ErrNotExist) {
		b, err := json.Marshal(oci.ImageLayout{Version: oci.ImageLayoutVersion})
		if err != nil {
			return err
		}
		if err := writeFile(layout, bytes.NewReader(b), 0o600); err != nil {
			return err
		}
	}
	_, err := os.Stat(filepath.Join(s.dir, oci.ImageIndexFile))
	lost := errors.Is(err, fs.ErrNotExist)
	if err := s.changeIndex(func(*oci.Index) (bool, error) { return false, nil }); err != nil {
		return err
	}
	if lost { // new, or the index was: what describes itself is listed again
		blobs, err := os.ReadDir(filepath.Join(s.dir, "blobs", "sha256"))
		if err != nil {
			return err
		}
		for _, b := range blobs {
			if d := digestPrefix + b.Name(); validDigest(d) && s.enter(d) == nil {
				s.log.Warn("an artifact that was not in the index is listed again", "digest", d)
			}
		}
	}
	old, err := filepath.Glob(filepath.Join(s.dir, "blobs", "*"+blobSuffix))
	if err != nil {
		return err
	}
	for _, f := range old {
		d := digestPrefix + strings.TrimSuffix(filepath.Base(f), blobSuffix)
		if !validDigest(d) {
			continue
		}
		if err := os.Rename(f, s.blob(d)); err != nil && !errors.Is(err, fs.ErrNotExist) { // another process is at it
			return err
		}
		if err := s.enter(d); err != nil {
			s.log.Warn("an artifact of an older store cannot be used", "digest", d, "err", err)
		}
	}
	return nil
}

// index reads the layout's index.
func (s *Store) index() (*oci.Index, error) {
	ix := &oci.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: oci.MediaTypeImageIndex, Manifests: []oci.Descriptor{}}
	b, err := os.ReadFile(filepath.Join(s.dir, oci.ImageIndexFile))
	if errors.Is(err, fs.ErrNotExist) {
		return ix, nil
	}
	if err != nil {
		return nil, pgerr.Wrap(err, pgerr.IOError, "could not read the artifact store's index")
	}
	if err := json.Unmarshal(b, ix); err != nil {
		return nil, pgerr.Wrap(err, pgerr.DataCorrupted, "could not read the artifact store's index")
	}
	return ix, nil
}

// changeIndex lets f change the index, alone among all processes.
func (s *Store) changeIndex(f func(*oci.Index) (changed bool, err error)) error {
	l := flock.New(filepath.Join(s.dir, "lock"), flock.SetPermissions(0o600))
	if err := l.Lock(); err != nil {
		return pgerr.Wrap(err, pgerr.IOError, "could not lock the artifact store")
	}
	defer l.Close()
	ix, err := s.index()
	if err != nil {
		return err
	}
	path := filepath.Join(s.dir, oci.ImageIndexFile)
	changed, err := f(ix)
	if err != nil {
		return err
	}
	if _, serr := os.Stat(path); !changed && serr == nil {
		return nil
	}
	b, err := json.Marshal(ix)
	if err != nil {
		return err
	}
	if err := writeFile(path, bytes.NewReader(b), 0o600); err != nil {
		return pgerr.Wrap(err, pgerr.IOError, "could not write the artifact store's index")
	}
	return nil
}

// putBlob keeps a small blob.
func (s *Store) putBlob(b []byte) error {
	path := s.blob(digestOfBytes(b))
	if have, err := os.ReadFile(path); err == nil && bytes.Equal(have, b) {
		now := time.Now()
		return os.Chtimes(path, now, now) // it is no leftover any more
	}
	if err := writeFile(path, bytes.NewReader(b), 0o400); err != nil {
		return pgerr.Wrap(err, pgerr.IOError, "could not keep an artifact")
	}
	return nil
}

func digestOfBytes(b []byte) string {
	sum := sha256.Sum256(b)
	return digestOf(sum[:])
}

// enter puts an artifact whose blob is there into the index.
func (s *Store) enter(digest string) error {
	f, err := os.Open(s.blob(digest))
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	m, config, err := readManifestFile(tar.NewReader(f))
	if err != nil {
		return err
	}
	b, d, err := describe(m, config, digest, st.Size())
	if err != nil {
		return err
	}
	if err := s.putBlob(config); err != nil {
		return err
	}
	d.Annotations = map[string]string{oci.AnnotationRefName: Tag(digest)}
	return s.list(b, d)
}

// list puts the blob of a manifest and names it in the index.
func (s *Store) list(b []byte, d oci.Descriptor) error {
	if err := s.putBlob(b); err != nil {
		return err
	}
	return s.changeIndex(func(ix *oci.Index) (bool, error) {
		if slices.ContainsFunc(ix.Manifests, func(o oci.Descriptor) bool { return o.Digest == d.Digest }) {
			return false, nil
		}
		ix.Manifests = append(ix.Manifests, d)
		return true, nil
	})
}

// manifestOf reads the manifest that a descriptor of the index names; nil when it
// is not there or is none.
func (s *Store) manifestOf(d oci.Descriptor) *oci.Manifest {
	if d.MediaType != oci.MediaTypeImageManifest || !validDigest(d.Digest.String()) {
		return nil
	}
	key := d.Digest.String()
	s.mu.Lock()
	m := s.ocis[key]
	s.mu.Unlock()
	if m != nil {
		return m
	}
	b, err := os.ReadFile(s.blob(key))
	if err != nil || digestOfBytes(b) != key {
		return nil
	}
	m = new(oci.Manifest)
	if json.Unmarshal(b, m) != nil {
		return nil
	}
	s.mu.Lock()
	s.ocis[key] = m
	s.mu.Unlock()
	return m
}

// listed is an artifact as the index has it.
type listed struct {
	digest     string
	desc       oci.Descriptor
	signatures []oci.Descriptor // manifests that refer to desc
}

// listing is what listed found in an index.
type listing struct {
	stamp os.FileInfo // of the index
	all   []listed
}

// listed returns the artifacts in the index, which the caller does not change.
func (s *Store) listed() ([]listed, error) {
	stamp, err := os.Stat(filepath.Join(s.dir, oci.ImageIndexFile))
	if err != nil {
		return nil, pgerr.Wrap(err, pgerr.IOError, "could not read the artifact store's index")
	}
	s.mu.Lock()
	have := s.last
	s.mu.Unlock()
	if have.stamp != nil && sameFile(have.stamp, stamp) {
		return have.all, nil
	}
	all, err := s.readListed()
	if err == nil {
		s.mu.Lock()
		s.last = listing{stamp, all}
		s.mu.Unlock()
	}
	return all, err
}

func (s *Store) readListed() ([]listed, error) {
	ix, err := s.index()
	if err != nil {
		return nil, err
	}
	var out []listed
	at := map[digest.Digest]int{}
	for _, d := range ix.Manifests {
		m := s.manifestOf(d)
		if m == nil {
			continue
		}
		if b, ok := BundleOf(m); ok {
			at[d.Digest] = len(out)
			out = append(out, listed{digest: b.Digest.String(), desc: d})
		}
	}
	for _, d := range ix.Manifests {
		if m := s.manifestOf(d); m != nil && m.Subject != nil && m.ArtifactType == SignatureType {
			if i, ok := at[m.Subject.Digest]; ok {
				out[i].signatures = append(out[i].signatures, d)
			}
		}
	}
	return out, nil
}

// readManifestFile reads the manifest of an artifact with its bytes and leaves
// the tar at the file after it.
func readManifestFile(t *tar.Reader) (*Manifest, []byte, error) {
	h, err := t.Next()
	if err != nil {
		return nil, nil, fmt.Errorf("not a tar file: %w", err)
	}
	if h.Name != manifestName {
		return nil, nil, fmt.Errorf("the first file is %q, want %q", h.Name, manifestName)
	}
	if h.Size > maxManifest {
		return nil, nil, fmt.Errorf("%s has %d bytes, more than %d", manifestName, h.Size, maxManifest)
	}
	b, err := io.ReadAll(t)
	if err != nil {
		return nil, nil, err
	}
	m, err := parseManifest(b)
	return m, b, err
}
