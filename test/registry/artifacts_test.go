package registry

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	fake "github.com/google/go-containerregistry/pkg/registry"

	"github.com/volleydb/volley/parser"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/test/engine"
	"github.com/volleydb/volley/udf"
	oci "github.com/volleydb/volley/udf/registry"
)

// logged collects a log.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// 50 first calls at once fetch an artifact once per worker; a worker's copy that
// somebody has changed is refused, removed and fetched again.
func TestOneDownload(t *testing.T) {
	var logs logged
	e := engine.Open(t, t.TempDir(), 2, func(c *engine.Config) { c.Node.Log = slog.New(slog.NewTextHandler(&logs, nil)) })
	defer e.Stop()
	v1, _ := artifacts(t, e)
	digest := v1[strings.Index(v1, "sha256:"):]
	c := connect(t, e, "volley")
	c.create(v1, "tag", "tag", "")
	c.run("CREATE TABLE t (x bigint)")
	for range 10 { // of as many files, and so of as many tasks
		c.run("INSERT INTO t SELECT x FROM generate_series(1, 100) x")
	}
	const sql = "SELECT sum(tag(x)) FROM t"
	var wg sync.WaitGroup
	for range 50 {
		s := connect(t, e, "volley")
		s.run("SET volley.rows_per_task = 100")
		wg.Add(1)
		go func() {
			defer wg.Done()
			r, err := s.Run(context.Background(), sql)
			if err != nil || r.Rows[0][0] != "1000" {
				t.Errorf("%v %v", r, err)
			}
		}()
	}
	wg.Wait()
	for _, w := range e.Workers {
		if n := w.Node.Artifacts.Fetches(); n != 1 {
			t.Errorf("%s has fetched the artifact %d times", w.Node.Worker.ID(), n)
		}
	}
	for _, w := range e.Workers {
		path, err := w.Node.Artifacts.Get(digest)
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err == nil {
			b[len(b)/2] ^= 1
			err = os.Chmod(path, 0o600)
		}
		if err == nil {
			err = os.WriteFile(path, b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Node.Artifacts.Get(digest); pgerr.Code(err) != pgerr.DataCorrupted {
			t.Errorf("a tampered copy: %v", err)
		}
	}
	c.run("SET volley.rows_per_task = 100")
	deadline := time.Now().Add(20 * time.Second)
	for _, w := range e.Workers {
		for w.Node.Artifacts.Fetches() == 1 && time.Now().Before(deadline) { // tasks go where there is room
			c.want(sql, "1000")
		}
	}
	for _, w := range e.Workers {
		if n := w.Node.Artifacts.Fetches(); n != 2 {
			t.Errorf("%s has fetched the artifact %d times", w.Node.Worker.ID(), n)
		}
		if _, err := w.Node.Artifacts.Get(digest); err != nil {
			t.Error(err)
		}
	}
	if n := strings.Count(logs.String(), "is corrupt: it is removed and fetched again"); n != 2 {
		t.Errorf("%d lines in\n%s", n, &logs)
	}
}

// startRegistry runs a registry and returns the start of references to it.
func startRegistry(t *testing.T) string {
	t.Helper()
	h := httptest.NewServer(fake.New(fake.Logger(log.New(io.Discard, "", 0)), fake.WithReferrersSupport(true)))
	t.Cleanup(h.Close)
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	return oci.Prefix + strings.TrimPrefix(h.URL, "http://") + "/"
}

func TestCreateFromRegistry(t *testing.T) {
	at := startRegistry(t)
	ctx := context.Background()
	outside := engine.Start(t, 0) // another installation
	v1, v2 := artifacts(t, outside)
	push := func(ref, as string) string {
		t.Helper()
		pinned, err := oci.Push(ctx, outside.Artifacts, ref[strings.Index(ref, "sha256:"):], as, oci.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return pinned
	}
	pinned := push(v1, at+"team/vers:stable")
	e := engine.Start(t, 0)
	c := connect(t, e, "volley")
	c.create(at+"team/vers:stable", "tag", "tag", "")
	c.want("SELECT tag(1)", "1")
	c.want("SELECT digest FROM volley.function_versions WHERE function LIKE '%tag%'", v1[strings.Index(v1, "sha256:"):])
	if !strings.Contains(strings.Join(c.Notices, "\n"), " is artifact "+v1) {
		t.Error(c.Notices)
	}
	// The tag moves on: what was created stays what it was.
	push(v2, at+"team/vers:stable")
	c.want("SELECT tag(1)", "1")
	c.create(at+"team/vers:stable", "tag", "tag", "")
	c.want("SELECT tag(1)", "2")
	c.create(pinned, "tag", "tag", "")
	c.want("SELECT tag(1)", "1")
	c.fails("CREATE FUNCTION n(x bigint) RETURNS bigint LANGUAGE go AS '"+at+"team/none:1', 'tag'", pgerr.UndefinedObject, "does not exist")
	c.run("CREATE ROLE ann LOGIN; GRANT USAGE ON LANGUAGE go TO ann")
	ann := connect(t, e, "ann")
	ann.fails("CREATE FUNCTION n(x bigint) RETURNS bigint LANGUAGE go AS '"+pinned+"', 'tag'", pgerr.InsufficientPrivilege, "registries", "superuser")
}

func TestCollect(t *testing.T) {
	e := engine.Start(t, 1) // the worker has its own copies
	v1, v2 := artifacts(t, e)
	d1, d2 := v1[strings.Index(v1, "sha256:"):], v2[strings.Index(v2, "sha256:"):]
	c := connect(t, e, "volley")
	other := connect(t, e, "volley")
	for _, s := range []client{c, other} { // a receipt keeps the artifacts it names
		s.run("SET volley.receipts = off")
	}
	c.create(v1, "tag", "tag", "")
	c.want("SELECT tag(1)", "1")
	gc := func(want string) {
		t.Helper()
		c.run("SET volley.gc_grace = 0")
		got := c.run("SELECT volley.gc()").Rows[0][0]
		if !strings.HasPrefix(got, `{"artifacts":`+want+`,`) {
			t.Errorf("%s, want %s artifacts", got, want)
		}
	}
	// Young ones stay.
	c.want("SELECT volley.gc()", `{"artifacts":0,"caches":0,"leftovers":0,"bytes":0,"removed":[]}`)
	// A block that has not ended needs what it has made.
	other.run("BEGIN")
	other.create(v2, "tag", "tag", "")
	gc("0")
	other.want("SELECT tag(1)", "2")
	other.run("ROLLBACK")
	gc("1")
	if e.Artifacts.Has(d2) || !e.Artifacts.Has(d1) {
		t.Error("the wrong artifact was removed")
	}
	c.want("SELECT tag(1)", "1") // what was unpacked of it is made again
	c.fails("CREATE FUNCTION g(x bigint) RETURNS bigint LANGUAGE go AS '"+v2+"', 'tag'", pgerr.UndefinedObject)
	// All versions of a function are needed.
	artifacts(t, e)
	c.create(v2, "tag", "tag", "")
	gc("0")
	c.want(`SELECT "tag@1"(1) + tag(1)`, "3")
	// A query that runs needs what it began with, whatever is dropped meanwhile.
	c.run("DROP FUNCTION tag(bigint)")
	c.create(v1, "slow", "slow", "")
	other.run("BEGIN")
	other.run("DECLARE c CURSOR FOR SELECT slow(x::bigint) FROM generate_series(1, 40000) x")
	other.run("FETCH 5 FROM c")
	c.run("DROP FUNCTION slow(bigint)")
	gc("1") // the second
	if !e.Artifacts.Has(d1) {
		t.Error("the artifact of a running query was removed")
	}
	if n := len(other.run("FETCH ALL FROM c").Rows); n != 39995 {
		t.Errorf("%d rows", n)
	}
	other.run("COMMIT")
	gc("1")
	artifacts(t, e)
	c.create(v1, "tag", "tag", "")
	other.run("SET volley.receipts = on")
	other.want("SELECT tag(1)", "1")
	c.run("DROP FUNCTION tag(bigint)")
	gc("1") // the second: a receipt names the first
	if !e.Artifacts.Has(d1) {
		t.Error("the artifact of a receipt was removed")
	}
	c.run("CREATE ROLE ann LOGIN")
	connect(t, e, "ann").fails("SELECT volley.gc()", pgerr.InsufficientPrivilege, "permission denied for function gc")
}

// With the setting on, the server collects by itself.
func TestCollectRegularly(t *testing.T) {
	e := engine.Open(t, t.TempDir(), 0, func(c *engine.Config) {
		c.Server.Defaults = map[string]string{"volley.gc_interval": "20ms", "volley.gc_grace": "0"}
	})
	defer e.Stop()
	v1, _ := artifacts(t, e)
	deadline := time.Now().Add(10 * time.Second)
	for e.Artifacts.Has(v1[strings.Index(v1, "sha256:"):]) {
		if time.Now().After(deadline) {
			t.Fatal("an artifact that nothing refers to stays")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestSigned(t *testing.T) {
	dir := t.TempDir()
	key, err := udf.NewSigningKey()
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := udf.NewSigningKey()
	if err != nil {
		t.Fatal(err)
	}
	file := func(name string, k *udf.SigningKey) string {
		t.Helper()
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(udf.TrustedLine(k.Public(), name)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	ours, theirs := file("ours", key), file("theirs", stranger)
	workers := ours
	e := engine.Open(t, t.TempDir(), 1, func(c *engine.Config) { c.Server.TrustedKeys, c.Node.TrustedKeys = ours, workers })
	defer e.Stop()
	plain := engine.Start(t, 0)
	v1, v2 := artifacts(t, plain)
	d1 := v1[strings.Index(v1, "sha256:"):]
	data, err := os.ReadFile(built[0])
	if err != nil {
		t.Fatal(err)
	}
	c := connect(t, e, "volley")
	c.want("SHOW volley.udf_trusted_keys", ours)
	c.fails("SET volley.udf_trusted_keys = ''", pgerr.CantChangeRuntimeParam)
	put := func(list ...udf.ArtifactSignature) string {
		bytea := `'\x` + hex.EncodeToString(data) + `'`
		if list == nil {
			return "SELECT volley.put_artifact(" + bytea + ")"
		}
		return "SELECT volley.put_artifact(" + bytea + ", " + parser.QuoteLiteral(string(udf.FormatSignatures(list))) + ")"
	}
	c.fails(put(), pgerr.InsufficientPrivilege, "is not signed by a trusted key", "It has no signature.", "volley udf sign")
	c.fails(put(stranger.Sign(d1)), pgerr.InsufficientPrivilege, "which is not trusted")
	c.fails(put(key.Sign(v2[strings.Index(v2, "sha256:"):])), pgerr.InvalidParameterValue, "the signature is for artifact")
	c.fails("CREATE FUNCTION tag(x bigint) RETURNS bigint LANGUAGE go AS '"+v1+"', 'tag'", pgerr.UndefinedObject)
	c.fails("CREATE FUNCTION twice(x bigint) RETURNS bigint LANGUAGE go AS $$ return x * 2 $$", pgerr.InsufficientPrivilege, "--udf-signing-key")
	c.want(put(key.Sign(d1)), v1)
	c.create(v1, "tag", "tag", "")
	c.run("CREATE TABLE t AS SELECT x FROM generate_series(1, 10) x")
	c.want("SELECT sum(tag(x)) FROM t", "10")
	c.want("SELECT signed_by FROM volley.artifacts", "{ours}")

	// A worker that trusts others does not run it, whatever the coordinator thinks.
	if err := os.Rename(theirs, ours); err != nil {
		t.Fatal(err)
	}
	c.fails("SELECT sum(tag(x)) FROM t", pgerr.InsufficientPrivilege, "is not signed by a trusted key")
	c.fails("CREATE FUNCTION tag2(x bigint) RETURNS bigint LANGUAGE go AS '"+v1+"', 'tag'", pgerr.InsufficientPrivilege, "which is not trusted")
	c.fails("CREATE EXTENSION vers", pgerr.InsufficientPrivilege, "which is not trusted")
}

// A server with a key of its own may make artifacts of source.
func TestSignedBySelf(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles")
	}
	dir := t.TempDir()
	key, err := udf.NewSigningKey()
	if err != nil {
		t.Fatal(err)
	}
	own, list := filepath.Join(dir, "own.pem"), filepath.Join(dir, "keys")
	if err := key.WriteFile(own); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(list, []byte(udf.TrustedLine(key.Public(), "this server")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	e := engine.Open(t, t.TempDir(), 0, func(c *engine.Config) { c.Server.TrustedKeys, c.Server.SigningKey = list, own })
	defer e.Stop()
	c := connect(t, e, "volley")
	c.run("CREATE FUNCTION twice(x bigint) RETURNS bigint LANGUAGE go AS $$ return x * 2 $$")
	c.want("SELECT twice(4)", "8")
	c.want("SELECT runtime, signed_by FROM volley.artifacts", "go|{\"this server\"}")
}

func TestArtifactsView(t *testing.T) {
	e := engine.Start(t, 0)
	v1, v2 := artifacts(t, e)
	c := connect(t, e, "volley")
	c.create(v1, "tag1", "tag", "")
	c.run("CREATE EXTENSION vers VERSION '2.0' SCHEMA public")
	d1, d2 := v1[strings.Index(v1, "sha256:"):], v2[strings.Index(v2, "sha256:"):]
	for d, n := range map[string]string{d1: "1", d2: "2"} {
		st, err := os.Stat(built[n[0]-'1'])
		if err != nil {
			t.Fatal(err)
		}
		c.want("SELECT name, version, runtime, cardinality(functions), cardinality(platforms), size, owner, created > now() - interval '1 hour', last_used > now() - interval '1 hour', signed_by FROM volley.artifacts WHERE digest = '"+d+"'",
			fmt.Sprintf("vers|%s.0|go|4|1|%d|volley|t|t|{}", n, st.Size()))
	}
	c.want("SELECT referenced_by[1] FROM volley.artifacts WHERE version = '1.0'", "function public.tag1(bigint) version 1")
	c.want("SELECT cardinality(referenced_by), 'extension vers 2.0' = ANY (referenced_by) FROM volley.artifacts WHERE version = '2.0'", "5|t")
	c.want("SELECT count(*) FROM volley.artifacts, unnest(functions) f WHERE f = 'tag(x bigint) returns bigint'", "2")
}
