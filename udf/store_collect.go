package udf

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	oci "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/volleydb/volley/pgerr"
)

// Pin keeps an artifact from being removed until release is called, and counts as
// a use of it. The artifact need not be there: look for it after Pin.
func (s *Store) Pin(digest string) (release func()) {
	s.removal.RLock()
	s.mu.Lock()
	s.pins[digest]++
	s.mu.Unlock()
	s.removal.RUnlock()
	s.touch(digest)
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.pins[digest]--; s.pins[digest] <= 0 {
			delete(s.pins, digest)
		}
	})
}

// Hold keeps all artifacts that are put or used from now on from being removed:
// for those who make one whose digest they do not know yet.
func (s *Store) Hold() (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastHold++
	id := s.lastHold
	s.holds[id] = time.Now().Add(-time.Second) // files' clocks are coarse
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.holds, id)
	}
}

// use is when an artifact was last used, and when that was last written down.
type use struct{ at, written time.Time }

// touchEvery bounds how often a use is written down.
const touchEvery = time.Minute

// touch notes that an artifact is used now.
func (s *Store) touch(digest string) {
	if !validDigest(digest) {
		return
	}
	now := time.Now()
	s.mu.Lock()
	u := s.uses[digest]
	late := now.Sub(u.written) >= touchEvery
	if u.at = now; late {
		u.written = now
	}
	s.uses[digest] = u
	s.mu.Unlock()
	if !late {
		return
	}
	path := s.usedFile(digest)
	if os.Chtimes(path, now, now) != nil {
		if f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600); err == nil { // a use that is not noted costs nothing but order
			f.Close()
		}
	}
}

func (s *Store) usedFile(digest string) string {
	return filepath.Join(s.dir, "used", strings.TrimPrefix(digest, digestPrefix))
}

// lastUse is when an artifact was last used, zero for never.
func (s *Store) lastUse(digest string) time.Time {
	var t time.Time
	if st, err := os.Stat(s.usedFile(digest)); err == nil {
		t = st.ModTime()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.uses[digest].at; m.After(t) {
		t = m
	}
	return t
}

// lastTouch is when an artifact was last used or came.
func (s *Store) lastTouch(digest string) time.Time {
	t := s.lastUse(digest)
	if st, err := os.Stat(s.blob(digest)); err == nil && st.ModTime().After(t) {
		t = st.ModTime()
	}
	return t
}

// Removed is something that Collect has removed.
type Removed struct {
	Kind   string `json:"kind"` // artifact; cache, what can be made again of an artifact; or leftover, of a crash
	Digest string `json:"digest"`
	Name   string `json:"name,omitempty"`
	Bytes  int64  `json:"bytes"`
}

// Collect removes the artifacts that nobody refers to, that are not pinned and that
// have not been used for grace; what is unpacked and compiled of artifacts that
// have not been used as long; and what crashes have left. referenced is asked again
// before each removal: it must know of everything that became a reference while
// the artifact was pinned. One that is used after the collection began stays.
func (s *Store) Collect(grace time.Duration, referenced func() (map[string]bool, error)) ([]Removed, error) {
	now := time.Now()
	all, err := s.listed()
	if err != nil {
		return nil, err
	}
	refs, err := referenced()
	if err != nil {
		return nil, err
	}
	var out []Removed
	idle := func(digest string) bool { return now.Sub(s.lastTouch(digest)) >= grace }
	for _, l := range all {
		if refs[l.digest] || !idle(l.digest) {
			continue
		}
		r := Removed{Kind: "artifact", Digest: l.digest}
		if m, err := s.manifest(l.digest); err == nil {
			r.Name = m.Name
		}
		ok := false
		r.Bytes, ok, err = s.remove(l.digest, func() (bool, error) {
			if s.lastTouch(l.digest).After(now) {
				return false, nil
			}
			refs, err := referenced()
			return !refs[l.digest], err
		})
		if err != nil {
			return out, err
		}
		if ok {
			out = append(out, r)
		}
	}
	runs, err := os.ReadDir(filepath.Join(s.dir, "run"))
	if err != nil {
		return out, pgerr.Wrap(err, pgerr.IOError, "could not read the artifact store")
	}
	for _, e := range runs {
		d := digestPrefix + e.Name()
		if !validDigest(d) || s.Has(d) && !idle(d) {
			continue
		}
		if n, ok := s.removeRun(d, now); ok {
			out = append(out, Removed{Kind: "cache", Digest: d, Bytes: n})
		}
	}
	left, err := s.removeLeftovers(now.Add(-max(grace, time.Hour)), refs)
	return append(out, left...), err
}

// busy reports whether an artifact must stay; s.removal is held.
func (s *Store) busy(digest string) bool {
	last := s.lastTouch(digest)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, since := range s.holds {
		if !last.Before(since) {
			return true
		}
	}
	return s.pins[digest] > 0
}

// remove removes an artifact with what was made of it and its signatures, unless it
// is busy or sure says no.
func (s *Store) remove(artifact string, sure func() (bool, error)) (bytes int64, ok bool, err error) {
	s.removal.Lock()
	defer s.removal.Unlock()
	if s.busy(artifact) {
		return 0, false, nil
	}
	if ok, err := sure(); !ok || err != nil {
		return 0, false, err
	}
	var gone []string
	err = s.changeIndex(func(ix *oci.Index) (bool, error) {
		mine := map[digest.Digest]bool{}
		for _, d := range ix.Manifests {
			if m := s.manifestOf(d); m != nil {
				if b, ok := BundleOf(m); ok && b.Digest.String() == artifact {
					mine[d.Digest] = true
				}
			}
		}
		for _, d := range ix.Manifests {
			if m := s.manifestOf(d); m != nil && m.Subject != nil && mine[m.Subject.Digest] {
				mine[d.Digest] = true
			}
		}
		dead := map[string]bool{artifact: true}
		ix.Manifests = slices.DeleteFunc(ix.Manifests, func(d oci.Descriptor) bool {
			if mine[d.Digest] {
				s.blobsOf(d, dead)
			}
			return mine[d.Digest]
		})
		kept := map[string]bool{}
		for _, d := range ix.Manifests {
			s.blobsOf(d, kept)
		}
		for d := range dead {
			if !kept[d] {
				gone = append(gone, d)
			}
		}
		return len(mine) > 0, nil
	})
	if err != nil {
		return 0, false, err
	}
	for _, d := range gone {
		path := s.blob(d)
		if st, err := os.Stat(path); err == nil {
			bytes += st.Size()
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return bytes, true, pgerr.Wrap(err, pgerr.IOError, "could not remove artifact %s", artifact)
		}
	}
	bytes += size(s.runDir(artifact))
	if err := os.RemoveAll(s.runDir(artifact)); err != nil {
		return bytes, true, pgerr.Wrap(err, pgerr.IOError, "could not remove artifact %s", artifact)
	}
	os.Remove(s.usedFile(artifact))
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.manifests, artifact)
	delete(s.vouched, artifact)
	delete(s.uses, artifact)
	for _, d := range gone {
		delete(s.ocis, d)
	}
	delete(s.bundles, s.runDir(artifact))
	for p := range s.sums {
		if p == s.blob(artifact) || strings.HasPrefix(p, s.runDir(artifact)+string(filepath.Separator)) {
			delete(s.sums, p)
		}
	}
	return bytes, true, nil
}

// blobsOf adds the blobs of a manifest and itself to a set.
func (s *Store) blobsOf(d oci.Descriptor, set map[string]bool) {
	set[d.Digest.String()] = true
	m := s.manifestOf(d)
	if m == nil {
		return
	}
	set[m.Config.Digest.String()] = true
	for _, l := range m.Layers {
		set[l.Digest.String()] = true
	}
}

// removeRun removes what is unpacked and compiled of an artifact that nobody uses or
// has used since.
func (s *Store) removeRun(digest string, since time.Time) (bytes int64, ok bool) {
	s.removal.Lock()
	defer s.removal.Unlock()
	if s.busy(digest) || s.lastTouch(digest).After(since) {
		return 0, false
	}
	dir := s.runDir(digest)
	bytes = size(dir)
	return bytes, os.RemoveAll(dir) == nil
}

// removeLeftovers removes blobs that no manifest of the index names and files that
// were never finished, which are older than before. Those in refs stay all the same.
func (s *Store) removeLeftovers(before time.Time, refs map[string]bool) ([]Removed, error) {
	var out []Removed
	err := s.changeIndex(func(ix *oci.Index) (bool, error) { // nothing is listed meanwhile
		kept := map[string]bool{}
		for _, d := range ix.Manifests {
			s.blobsOf(d, kept)
		}
		for _, dir := range []string{"ingest", filepath.Join("blobs", "sha256")} {
			files, err := os.ReadDir(filepath.Join(s.dir, dir))
			if err != nil {
				return false, err
			}
			for _, f := range files {
				d := digestPrefix + f.Name()
				st, err := f.Info()
				if err != nil || !st.Mode().IsRegular() || !st.ModTime().Before(before) || kept[d] || refs[d] {
					continue
				}
				if os.Remove(filepath.Join(s.dir, dir, f.Name())) == nil {
					out = append(out, Removed{Kind: "leftover", Digest: d, Bytes: st.Size()})
				}
			}
		}
		return false, nil
	})
	return out, err
}

// size is the number of bytes in the files of a directory.
func size(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			if st, err := e.Info(); err == nil {
				n += st.Size()
			}
		}
		return nil // what cannot be read has no size
	})
	return n
}

// shrink brings the store below its limit: those used longest ago go first, those
// in use stay.
func (s *Store) shrink() {
	if s.limit <= 0 {
		return
	}
	total := size(filepath.Join(s.dir, "blobs")) + size(filepath.Join(s.dir, "run"))
	if total <= s.limit {
		return
	}
	all, err := s.listed()
	if err != nil {
		s.log.Warn("could not shrink the artifact cache", "err", err)
		return
	}
	last := map[string]time.Time{}
	for _, l := range all {
		last[l.digest] = s.lastTouch(l.digest)
	}
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b listed) int {
		return cmp.Or(last[a.digest].Compare(last[b.digest]), strings.Compare(a.digest, b.digest))
	})
	for _, l := range all {
		if total <= s.limit {
			return
		}
		n, ok, err := s.remove(l.digest, func() (bool, error) { return true, nil })
		if err != nil {
			s.log.Warn("could not shrink the artifact cache", "err", err)
		}
		if ok {
			total -= n
			s.log.Info("artifact removed from the cache", "digest", l.digest, "bytes", n)
		}
	}
}
