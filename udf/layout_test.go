package udf

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	oci "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"
	orasoci "oras.land/oras-go/v2/content/oci"
	"oras.land/oras-go/v2/registry"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/udf/sdk/wire"
)

// A store is a layout that other programs read.
func TestLayout(t *testing.T) {
	s := openStore(t)
	ctx := context.Background()
	a := fakeArtifact(t, wire.ABI, "score", "1.2", "one")
	d := put(t, s, a)
	key, err := NewSigningKey()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.AddSignatures(d, []ArtifactSignature{key.Sign(d)}); err != nil {
		t.Fatal(detail(err))
	}
	l, err := orasoci.New(s.Dir())
	if err != nil {
		t.Fatal(err)
	}
	desc, err := l.Resolve(ctx, Tag(d))
	if err != nil {
		t.Fatal(err)
	}
	b, err := content.FetchAll(ctx, l, desc)
	if err != nil {
		t.Fatal(err)
	}
	var m oci.Manifest
	if err := json.Unmarshal(b, &m); err != nil || m.ArtifactType != ArtifactType || m.Annotations[oci.AnnotationVersion] != "1.2" {
		t.Errorf("%v %s", err, b)
	}
	layer, ok := BundleOf(&m)
	if !ok || layer.Digest.String() != d {
		t.Errorf("layer %v, artifact %s", layer, d)
	}
	if got, err := content.FetchAll(ctx, l, layer); err != nil || !bytes.Equal(got, a) {
		t.Error(err)
	}
	config, err := content.FetchAll(ctx, l, m.Config)
	if err != nil {
		t.Fatal(err)
	}
	if mf, err := parseManifest(config); err != nil || mf.Name != "score" {
		t.Error(mf, err)
	}
	refs, err := registry.Referrers(ctx, l, desc, SignatureType)
	if err != nil || len(refs) != 1 {
		t.Error(refs, err)
	}
	// The same artifact is described alike everywhere.
	o := openStore(t)
	put(t, o, a)
	other, err := o.listed()
	if err != nil || len(other) != 1 || other[0].desc.Digest != desc.Digest {
		t.Error(other, err)
	}
}

// Stores as they were before layouts are taken over.
func TestLayoutMigration(t *testing.T) {
	dir := t.TempDir()
	a := fakeArtifact(t, wire.ABI, "score", "1", "one")
	d := digestOfBytes(a)
	if err := os.MkdirAll(filepath.Join(dir, "blobs"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{strings.TrimPrefix(d, digestPrefix): a, strings.Repeat("ab", 32): []byte("damaged")} {
		if err := os.WriteFile(filepath.Join(dir, "blobs", name+blobSuffix), data, 0o400); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // and it stays
		s, err := OpenStore(dir)
		if err != nil {
			t.Fatal(detail(err))
		}
		all, err := s.List()
		if err != nil || len(all) != 1 || all[0].Digest != d || all[0].Size != int64(len(a)) {
			t.Fatal(all, err)
		}
		if _, err := s.Ensure(context.Background(), d, nil); err != nil {
			t.Error(detail(err))
		}
	}
}

// An index that is lost costs no artifact.
func TestLostIndex(t *testing.T) {
	s := openStore(t)
	d := put(t, s, fakeArtifact(t, wire.ABI, "score", "1", "one"))
	unfinished := filepath.Join(s.dir, "ingest", "artifact-1")
	if err := os.WriteFile(unfinished, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(s.dir, oci.ImageIndexFile)); err != nil {
		t.Fatal(err)
	}
	left, err := s.removeLeftovers(time.Now().Add(time.Minute), map[string]bool{d: true})
	if err != nil || !s.Has(d) || len(left) != 3 { // its config and OCI manifest, and the file
		t.Error(left, err)
	}
	if _, err := os.Stat(unfinished); err == nil {
		t.Error("what was never finished stays")
	}
	if s, err = OpenStore(s.dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(s.dir, oci.ImageIndexFile)); err != nil {
		t.Fatal(err)
	}
	if s, err = OpenStore(s.dir); err != nil {
		t.Fatal(err)
	}
	if l, err := s.List(); err != nil || len(l) != 1 || l[0].Digest != d {
		t.Error(l, err)
	}
}

// age makes an artifact look as if it had not been used for an hour.
func age(t *testing.T, s *Store, d string) {
	t.Helper()
	then := time.Now().Add(-time.Hour)
	for _, f := range []string{s.blob(d), s.usedFile(d)} {
		if err := os.Chtimes(f, then, then); err != nil {
			t.Fatal(err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.uses, d)
}

func TestCollect(t *testing.T) {
	s := openStore(t)
	ctx := context.Background()
	var ds []string
	for _, name := range []string{"used", "dropped", "young", "pinned", "made", "late"} {
		ds = append(ds, put(t, s, fakeArtifact(t, wire.ABI, name, "", name)))
	}
	used, dropped, young, pinned, made, late := ds[0], ds[1], ds[2], ds[3], ds[4], ds[5]
	key, _ := NewSigningKey()
	if err := s.AddSignatures(dropped, []ArtifactSignature{key.Sign(dropped)}); err != nil {
		t.Fatal(err)
	}
	for _, d := range ds {
		if _, err := s.Ensure(ctx, d, nil); err != nil {
			t.Fatal(detail(err))
		}
		if d != young {
			age(t, s, d)
		}
	}
	release := s.Pin(pinned)
	age(t, s, pinned)
	unhold := s.Hold()
	s.touch(made) // by the one who holds
	asked := 0
	refs := func() (map[string]bool, error) {
		asked++
		// What refers to "late" is committed while artifacts are being collected.
		return map[string]bool{used: true, late: asked > 1}, nil
	}
	removed, err := s.Collect(time.Minute, refs)
	if err != nil {
		t.Fatal(detail(err))
	}
	got := ""
	for _, r := range removed {
		got += r.Kind + " " + r.Name + ","
		if r.Bytes <= 0 {
			t.Errorf("%+v", r)
		}
	}
	// Of the artifacts that are kept but have not been used for long, what can be
	// made again goes.
	if got != "artifact dropped,cache ,cache ," {
		t.Errorf("removed %s", got)
	}
	for _, d := range ds {
		_, err := os.Stat(s.runDir(d))
		if want := d != dropped; s.Has(d) != want {
			t.Errorf("%s: has %v", d, s.Has(d))
		} else if kept := err == nil; kept != (d == young || d == pinned || d == made) {
			t.Errorf("%s: unpacked %v", d, kept)
		}
	}
	if _, err := s.Ensure(ctx, used, nil); err != nil {
		t.Error(detail(err))
	}
	// Nothing of the removed one is left, signatures included.
	if out, err := s.removeLeftovers(time.Now().Add(time.Minute), nil); err != nil || len(out) != 0 {
		t.Error(out, err)
	}
	release()
	unhold()
	age(t, s, pinned)
	age(t, s, made)
	age(t, s, late)
	if removed, err = s.Collect(time.Minute, func() (map[string]bool, error) { return map[string]bool{used: true}, nil }); err != nil || len(removed) != 3 {
		t.Error(removed, err)
	}
	if l, err := s.List(); err != nil || len(l) != 2 {
		t.Error(l, err)
	}
}

// A worker's cache stays below its limit; what is used, or was used lately, stays.
func TestCacheLimit(t *testing.T) {
	program := strings.Repeat("x", 100_000)
	s, err := OpenStoreWith(StoreConfig{Dir: t.TempDir(), Limit: 900_000}) // four of twice the size
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	fetched := map[int]int{}
	get := func(i int) string {
		a := fakeArtifact(t, wire.ABI, "f", "", program+string(rune('a'+i)))
		d := digestOfBytes(a)
		_, err := s.Ensure(ctx, d, func(_ context.Context, w io.Writer) ([]byte, error) {
			fetched[i]++
			_, err := w.Write(a)
			return nil, err
		})
		if err != nil {
			t.Fatal(detail(err))
		}
		return d
	}
	at := time.Now().Add(-time.Hour)
	ds := map[int]string{}
	var release func()
	for i := range 6 {
		ds[i] = get(i)
		if i == 0 {
			release = s.Pin(ds[0])
		}
		for _, f := range []string{s.blob(ds[i]), s.usedFile(ds[i])} { // in this order, whatever the clock's tick
			if err := os.Chtimes(f, at, at); err != nil {
				t.Fatal(err)
			}
		}
		s.mu.Lock()
		delete(s.uses, ds[i])
		s.mu.Unlock()
		at = at.Add(time.Minute)
	}
	if n := size(s.dir); n > 910_000 {
		t.Errorf("%d bytes", n)
	}
	for i, want := range []bool{true, false, false, true, true, true} {
		if s.Has(ds[i]) != want {
			t.Errorf("%d: has %v", i, s.Has(ds[i]))
		}
	}
	release()
	get(1)
	if s.Has(ds[0]) || fetched[1] != 2 || fetched[5] != 1 {
		t.Error("the one that was in use has not become the oldest", fetched)
	}
}

func TestTrust(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	key, _ := NewSigningKey()
	stranger, _ := NewSigningKey()
	list := filepath.Join(dir, "keys")
	trust := func(k *SigningKey) {
		t.Helper()
		if err := os.WriteFile(list, []byte("# who builds for us\n\n"+TrustedLine(k.Public(), "release 2026")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	trust(key)
	keys, err := OpenTrustedKeys(list)
	if err != nil {
		t.Fatal(detail(err))
	}
	a := fakeArtifact(t, wire.ABI, "score", "1", "one")
	d := digestOfBytes(a)
	open := func(own *SigningKey) *Store {
		s, err := OpenStoreWith(StoreConfig{Dir: t.TempDir(), Keys: keys, Own: own})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open(nil)
	refused := func(what string, err error, code, text string) {
		t.Helper()
		if pgerr.Code(err) != code || !strings.Contains(detail(err), text) {
			t.Errorf("%s: %s", what, detail(err))
		}
	}
	_, err = s.Put(ctx, bytes.NewReader(a))
	refused("unsigned", err, pgerr.InsufficientPrivilege, "It has no signature.")
	if s.Has(d) {
		t.Error("what was refused has been kept")
	}
	_, err = s.Put(ctx, bytes.NewReader(a), stranger.Sign(d))
	refused("stranger", err, pgerr.InsufficientPrivilege, "which is not trusted")
	forged := stranger.Sign(d)
	forged.Key = key.Public()
	_, err = s.Put(ctx, bytes.NewReader(a), forged)
	refused("forged", err, pgerr.InvalidParameterValue, "is wrong")
	_, err = s.Put(ctx, bytes.NewReader(a), key.Sign(digestOfBytes([]byte("another"))))
	refused("of another", err, pgerr.InvalidParameterValue, "the signature is for artifact")
	if _, err = s.Put(ctx, bytes.NewReader(a), stranger.Sign(d), key.Sign(d)); err != nil {
		t.Fatal(detail(err))
	}
	if _, err := s.Ensure(ctx, d, nil); err != nil {
		t.Error(detail(err))
	}
	e, err := s.List()
	if err != nil || strings.Join(e[0].SignedBy, ",") != KeyID(stranger.Public())+" (not trusted),release 2026" {
		t.Errorf("%+v %v", e, err)
	}

	// A key that is not trusted any more: the copy here is refused, too.
	trust(stranger)
	if _, err := s.Ensure(ctx, d, nil); err != nil {
		t.Error(detail(err))
	}
	other, _ := NewSigningKey()
	trust(other)
	_, err = s.Ensure(ctx, d, nil)
	refused("revoked", err, pgerr.InsufficientPrivilege, "not trusted")
	_, err = s.Manifest(d)
	refused("revoked", err, pgerr.InsufficientPrivilege, "not trusted")
	if err := s.AddSignatures(d, []ArtifactSignature{other.Sign(d)}); err != nil {
		t.Error(detail(err))
	}
	if _, err := s.Ensure(ctx, d, nil); err != nil {
		t.Error(detail(err))
	}
	if err := os.Remove(list); err != nil {
		t.Fatal(err)
	}
	_, err = s.Ensure(ctx, d, nil)
	refused("no list", err, pgerr.UndefinedFile, "could not read the trusted keys")
	trust(key)

	// A worker: the signatures come with the bytes. A copy whose signatures do not
	// do is fetched again, for they may have come later.
	w := open(nil)
	fetch := func(sigs ...ArtifactSignature) Fetch {
		return func(_ context.Context, w io.Writer) ([]byte, error) {
			_, err := w.Write(a)
			return FormatSignatures(sigs), err
		}
	}
	_, err = w.Ensure(ctx, d, fetch())
	refused("worker", err, pgerr.InsufficientPrivilege, "It has no signature.")
	if _, err = w.Ensure(ctx, d, fetch(key.Sign(d))); err != nil {
		t.Error(detail(err))
	}
	trust(other)
	_, err = w.Ensure(ctx, d, fetch(key.Sign(d)))
	refused("worker", err, pgerr.InsufficientPrivilege, "not trusted")
	if _, err = w.Ensure(ctx, d, fetch(key.Sign(d), other.Sign(d))); err != nil {
		t.Error(detail(err))
	}

	// What the server makes itself.
	_, err = open(nil).PutOwn(ctx, bytes.NewReader(a))
	refused("own", err, pgerr.InsufficientPrivilege, "--udf-signing-key")
	if _, err := open(other).PutOwn(ctx, bytes.NewReader(a)); err != nil {
		t.Error(detail(err))
	}
	_, err = open(other).Put(ctx, bytes.NewReader(a))
	refused("not own", err, pgerr.InsufficientPrivilege, "It has no signature.")

	// Files.
	file := filepath.Join(dir, "key.pem")
	if err := key.WriteFile(file); err != nil {
		t.Fatal(err)
	}
	if again, err := ReadSigningKey(file); err != nil || again.Public() != key.Public() {
		t.Error(err)
	}
	if err := key.WriteFile(file); err == nil {
		t.Error("a key was overwritten")
	}
	for _, line := range []string{"ed25519 AAAA x", "rsa AAAA x", "ed25519"} {
		if err := os.WriteFile(list, []byte(line+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := OpenTrustedKeys(list)
		refused(line, err, pgerr.InvalidParameterValue, "line 1 of the trusted keys")
	}
}
