package main

import (
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	fake "github.com/google/go-containerregistry/pkg/registry"
)

// An artifact is signed, goes to a registry, and from there to a server that takes
// signed ones only.
func TestUDFRegistry(t *testing.T) {
	needGo(t)
	h := httptest.NewServer(fake.New(fake.Logger(log.New(io.Discard, "", 0)), fake.WithReferrersSupport(true)))
	defer h.Close()
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	at := "oci://" + strings.TrimPrefix(h.URL, "http://") + "/team/normalize"
	tmp := t.TempDir()
	file := filepath.Join(tmp, "n.vudf")
	ref, _, _ := strings.Cut(must(t, "udf", "build", "../../examples/normalize", "-o", file), "\n")

	key := filepath.Join(tmp, "release")
	made := must(t, "udf", "keygen", key)
	if st, err := os.Stat(key + ".pem"); err != nil || st.Mode().Perm() != 0o600 || !strings.HasPrefix(made, "ed25519:") {
		t.Fatalf("%v %v %s", st, err, made)
	}
	pushed := strings.Split(must(t, "udf", "push", file, at+":1.0"), "\n")
	if pushed[0] != ref || !strings.HasPrefix(pushed[1], at+"@sha256:") || !strings.Contains(strings.Join(pushed, "\n"), "AS '"+pushed[1]+"'") {
		t.Fatalf("udf push said %q", pushed)
	}

	p := start(t, append(serveArgs(t.TempDir()), "--udf-trusted-keys", key+".pub")...)
	refused := func(args ...string) {
		t.Helper()
		if _, errs, code := volley("", args...); code != 1 || !strings.Contains(errs, "is not signed by a trusted key") || !strings.Contains(errs, "volley udf sign") {
			t.Errorf("%v: exit %d, %s", args, code, errs)
		}
	}
	refused("udf", "push", file, "--host", p.url())
	refused("udf", "pull", at+":1.0", "--host", p.url())
	must(t, "udf", "sign", "--key", key+".pem", file)
	must(t, "udf", "push", file, at+":1.0") // the signature
	pulled, declaration, _ := strings.Cut(must(t, "udf", "pull", pushed[1], "--host", p.url(), "-o", filepath.Join(tmp, "copy.vudf")), "\n\n")
	if pulled != ref {
		t.Errorf("udf pull said %q, build %q", pulled, ref)
	}
	a, err1 := os.ReadFile(file)
	b, err2 := os.ReadFile(filepath.Join(tmp, "copy.vudf"))
	if err1 != nil || err2 != nil || string(a) != string(b) {
		t.Error("the copy differs", err1, err2)
	}
	if sig, err := os.ReadFile(filepath.Join(tmp, "copy.vudf.sig")); err != nil || len(sig) == 0 {
		t.Error(err)
	}
	must(t, "sql", "--host", p.url(), "-c", declaration)
	if list := must(t, "udf", "list", "--host", p.url()); !strings.HasPrefix(list, ref) || !strings.Contains(list, "signed by release") {
		t.Errorf("udf list: %q", list)
	}
	// A server can fetch it itself; from a data directory it goes on by its name.
	must(t, "sql", "--host", p.url(), "-c", "DROP FUNCTION public.normalize(text)", "-c", strings.Replace(declaration, "'"+ref+"'", "'"+pushed[1]+"'", 1))
	data := t.TempDir()
	must(t, "udf", "pull", at+":1.0", "--data", data)
	if list := must(t, "udf", "list", "--data", data); !strings.HasPrefix(list, ref) || !strings.Contains(list, "signed by ed25519:") {
		t.Errorf("udf list --data: %q", list)
	}
	must(t, "udf", "push", "normalize", at+":again", "--data", data)
	if out := must(t, "udf", "pull", at+":again", "--data", t.TempDir()); !strings.HasPrefix(out, ref) {
		t.Errorf("udf pull: %q", out)
	}
}
