package udf

import (
	"context"
	"io"
)

// Store is a directory of artifacts, addressed by digest. It is safe for
// concurrent use, also by several processes.
type Store struct{ dir string }

// OpenStore opens the store in dir and creates what is missing.
func OpenStore(dir string) (*Store, error) { return nil, nil }

// Put verifies that r is an artifact, keeps it and returns its digest. Putting
// what is there already changes nothing.
func (s *Store) Put(ctx context.Context, r io.Reader) (digest string, err error) { return "", nil }

// PutFile is Put of a file.
func (s *Store) PutFile(ctx context.Context, path string) (digest string, err error) { return "", nil }

// Get returns the path of the artifact's file, verified; 58P01 if it is not there.
func (s *Store) Get(digest string) (path string, err error) { return "", nil }

// Has reports whether the artifact is there, without verifying it.
func (s *Store) Has(digest string) bool { return false }

// Manifest reads the manifest of an artifact, verified.
func (s *Store) Manifest(digest string) (*Manifest, error) { return nil, nil }

// Ensure makes the artifact ready to run and returns the directory that holds
// its unpacked files. An artifact that is missing, or whose bytes are not those
// of its digest, is fetched by fetch, which writes the artifact's bytes; one
// fetch runs at a time per digest. fetch may be nil. Bytes that are corrupt and
// cannot be fetched again are XX001.
func (s *Store) Ensure(ctx context.Context, digest string, fetch func(ctx context.Context, w io.Writer) error) (dir string, err error) {
	return "", nil
}

// Resolve finds the digest that ref means: "name@sha256:abcd" (any unique
// prefix of at least 4 digits), "sha256:abcd", "name@version", or "name" alone
// when the store has one artifact of that name. 42704 for none, 42725 for more
// than one.
func (s *Store) Resolve(ref string) (digest string, err error) { return "", nil }

// Entry is an artifact as List shows it.
type Entry struct {
	Digest   string
	Size     int64
	Manifest *Manifest
}

// List returns all artifacts ordered by name and digest.
func (s *Store) List() ([]Entry, error) { return nil, nil }
