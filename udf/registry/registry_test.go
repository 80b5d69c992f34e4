package registry

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	fake "github.com/google/go-containerregistry/pkg/registry"
	"go.uber.org/goleak"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/udf"
	"github.com/volleydb/volley/udf/sdk/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is a registry that counts downloads of blobs and may ask for a password.
type server struct {
	http.Handler
	blobs    atomic.Int64
	password string
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, p, _ := r.BasicAuth(); s.password != "" && p != s.password {
		w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
		s.blobs.Add(1)
	}
	s.Handler.ServeHTTP(w, r)
}

// start runs a registry and returns the prefix of references to it.
func start(t *testing.T, referrers bool) (*server, string) {
	t.Helper()
	s := &server{Handler: fake.New(fake.Logger(log.New(io.Discard, "", 0)), fake.WithReferrersSupport(referrers))}
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	return s, Prefix + strings.TrimPrefix(h.URL, "http://") + "/"
}

// artifact is one whose program is none.
func artifact(t *testing.T, name string) []byte {
	t.Helper()
	program := []byte("program of " + name)
	sum := sha256.Sum256(program)
	m := udf.Manifest{ABI: wire.ABI, Name: name, Version: "1.0", Functions: []udf.ManifestFunction{{Name: "f", Kind: "scalar"}},
		Platforms: []udf.Platform{{OS: runtime.GOOS, Arch: runtime.GOARCH, Path: "bin/plugin", SHA256: hex.EncodeToString(sum[:]), Size: int64(len(program))}}}
	mj, err := json.Marshal(&m)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range []struct {
		name string
		data []byte
	}{{"manifest.json", mj}, {"bin/plugin", program}} {
		if err := w.WriteHeader(&tar.Header{Name: f.name, Mode: 0o755, Size: int64(len(f.data)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(f.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func store(t *testing.T, c udf.StoreConfig) *udf.Store {
	t.Helper()
	c.Dir = t.TempDir()
	s, err := udf.OpenStoreWith(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func refused(t *testing.T, err error, code, text string) {
	t.Helper()
	e := pgerr.From(err)
	if err == nil || e.Code != code || !strings.Contains(e.Message+" "+e.Detail+" "+e.Hint, text) {
		t.Errorf("%v (%+v), want %s %q", err, e, code, text)
	}
}

func TestPushPull(t *testing.T) {
	for _, referrers := range []bool{true, false} { // the API, or the tag scheme of older registries
		t.Log("referrers API:", referrers)
		srv, at := start(t, referrers)
		ctx := context.Background()
		from := store(t, udf.StoreConfig{})
		d, err := from.Put(ctx, bytes.NewReader(artifact(t, "score")))
		if err != nil {
			t.Fatal(err)
		}
		key, err := udf.NewSigningKey()
		if err != nil {
			t.Fatal(err)
		}
		pinned, err := Push(ctx, from, d, at+"team/score:1.0", Options{})
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(pinned, at+"team/score@sha256:") {
			t.Error(pinned)
		}
		to := store(t, udf.StoreConfig{})
		for _, ref := range []string{at + "team/score:1.0", pinned, at + "team/score:1.0"} {
			if got, err := Pull(ctx, to, ref, Options{}); err != nil || got != d {
				t.Errorf("%s: %s %v", ref, got, err)
			}
		}
		if _, err := to.Ensure(ctx, d, nil); err != nil {
			t.Error(err)
		}
		if n := srv.blobs.Load(); n != 1 {
			t.Errorf("%d blobs fetched for one artifact pulled three times", n)
		}

		// Signatures travel along, and are found when they came later.
		list := filepath.Join(t.TempDir(), "keys")
		if err := os.WriteFile(list, []byte(udf.TrustedLine(key.Public(), "release")), 0o600); err != nil {
			t.Fatal(err)
		}
		keys, err := udf.OpenTrustedKeys(list)
		if err != nil {
			t.Fatal(err)
		}
		strict := store(t, udf.StoreConfig{Keys: keys})
		_, err = Pull(ctx, strict, pinned, Options{})
		refused(t, err, pgerr.InsufficientPrivilege, "It has no signature.")
		if err := from.AddSignatures(d, []udf.ArtifactSignature{key.Sign(d)}); err != nil {
			t.Fatal(err)
		}
		if again, err := Push(ctx, from, d, at+"team/score:1.0", Options{}); err != nil || again != pinned {
			t.Error(again, err)
		}
		if got, err := Pull(ctx, strict, pinned, Options{}); err != nil || got != d {
			t.Error(got, err)
		}
		if l, err := strict.List(); err != nil || len(l) != 1 || strings.Join(l[0].SignedBy, ",") != "release" {
			t.Error(l, err)
		}
		// One that has the bytes gets the signature only.
		n := srv.blobs.Load()
		if _, err := Pull(ctx, to, pinned, Options{}); err != nil {
			t.Error(err)
		}
		if l, err := to.Signatures(d); err != nil || len(l) != 1 || srv.blobs.Load() != n+1 {
			t.Error(l, err, srv.blobs.Load()-n)
		}
	}
}

func TestRefused(t *testing.T) {
	srv, at := start(t, true)
	ctx := context.Background()
	s := store(t, udf.StoreConfig{})
	d, err := s.Put(ctx, bytes.NewReader(artifact(t, "score")))
	if err != nil {
		t.Fatal(err)
	}
	_, err = Pull(ctx, s, at+"team/none:1", Options{})
	refused(t, err, pgerr.UndefinedObject, "does not exist")
	_, err = Pull(ctx, s, at+"team/none", Options{})
	refused(t, err, pgerr.InvalidParameterValue, "names no tag and no digest")
	_, err = Pull(ctx, s, "oci://UPPER/x y", Options{})
	refused(t, err, pgerr.InvalidParameterValue, "invalid reference")
	_, err = Push(ctx, s, d, at+"team/score@"+d, Options{})
	refused(t, err, pgerr.InvalidParameterValue, "Name a tag")
	_, err = Push(ctx, s, "sha256:"+strings.Repeat("ab", 32), at+"team/score:1", Options{})
	refused(t, err, pgerr.UndefinedFile, "does not exist")

	// Something else in the repository.
	image := `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"x/y","digest":"` + d + `","size":1},"layers":[]}`
	req, err := http.NewRequest(http.MethodPut, "http://"+strings.TrimPrefix(at, Prefix)+"v2/team/image/manifests/1", strings.NewReader(image))
	if err != nil {
		t.Fatal(err)
	}
	req.URL.Path = "/v2/team/image/manifests/1"
	req.Header.Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
	res, err := http.DefaultClient.Do(req)
	if err != nil || res.StatusCode/100 != 2 {
		t.Fatal(res, err)
	}
	res.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	_, err = Pull(ctx, s, at+"team/image:1", Options{})
	refused(t, err, pgerr.WrongObjectType, "is not an artifact of functions")

	// A password, from Docker's configuration.
	srv.password = "secret"
	_, err = Push(ctx, s, d, at+"team/score:1", Options{})
	refused(t, err, pgerr.InvalidAuthorization, "docker login")
	host := strings.TrimSuffix(strings.TrimPrefix(at, Prefix), "/")
	config := `{"auths":{"` + host + `":{"auth":"dXNlcjpzZWNyZXQ="}}}` // user:secret
	if err := os.WriteFile(filepath.Join(os.Getenv("DOCKER_CONFIG"), "config.json"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err = Push(ctx, s, d, at+"team/score:1", Options{}); err != nil {
		t.Error(err)
	}
	if _, err = Pull(ctx, s, at+"team/score:1", Options{}); err != nil {
		t.Error(err)
	}
	over, cancel := context.WithCancel(ctx)
	cancel()
	_, err = Pull(over, s, at+"team/score:1", Options{})
	refused(t, err, pgerr.QueryCanceled, "")
}
