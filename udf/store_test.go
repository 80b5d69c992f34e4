package udf

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/udf/sdk/wire"
	"github.com/volleydb/volley/vector"
)

// fakeArtifact is an artifact whose program is not one.
func fakeArtifact(t *testing.T, abi int, name, version, program string) []byte {
	t.Helper()
	path := "bin/" + runtime.GOOS + "-" + runtime.GOARCH + "/plugin"
	sum := digestOfBytes([]byte(program))
	m := &Manifest{ABI: abi, Name: name, Version: version, Functions: []ManifestFunction{{Name: "f", Kind: kindScalar}},
		Platforms: []Platform{{runtime.GOOS, runtime.GOARCH, path, strings.TrimPrefix(sum, digestPrefix), int64(len(program))}}}
	var b bytes.Buffer
	if err := writeBundle(&b, m, map[string][]byte{path: []byte(program)}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func openStore(t *testing.T) *Store {
	t.Helper()
	s, err := OpenStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t *testing.T, s *Store, b []byte) string {
	t.Helper()
	d, err := s.Put(context.Background(), bytes.NewReader(b))
	if err != nil {
		t.Fatal(detail(err))
	}
	return d
}

// flip changes one byte in the middle of a file.
func flip(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	os.Remove(path)
	if err := os.WriteFile(path, b, 0o700); err != nil {
		t.Fatal(err)
	}
}

func TestStore(t *testing.T) {
	s := openStore(t)
	ctx := context.Background()
	a := fakeArtifact(t, wire.ABI, "score", "1", "one")
	d := put(t, s, a)
	if d != digestOfBytes(a) || put(t, s, a) != d || !s.Has(d) {
		t.Error(d)
	}
	path, err := s.Get(d)
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(path); !bytes.Equal(b, a) {
		t.Error("other bytes")
	}
	m, err := s.Manifest(d)
	if err != nil || m.Name != "score" {
		t.Error(m, err)
	}
	dir, err := s.Ensure(ctx, d, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, prog, err := readBundle(dir)
	if b, _ := os.ReadFile(prog); err != nil || string(b) != "one" {
		t.Error(prog, err)
	}
	for _, c := range []struct {
		data []byte
		code string
	}{
		{[]byte("no tar"), pgerr.InvalidBinaryRepresentation},
		{a[:len(a)/2], pgerr.InvalidBinaryRepresentation},
		{fakeArtifact(t, wire.ABI+1, "new", "", "x"), pgerr.ExternalRoutineInvocationError},
	} {
		if _, err := s.Put(ctx, bytes.NewReader(c.data)); pgerr.Code(err) != c.code {
			t.Error(detail(err))
		}
	}
	if _, err := s.Get(digestPrefix + strings.Repeat("0", 64)); pgerr.Code(err) != pgerr.UndefinedFile {
		t.Error(detail(err))
	}
	if _, err := s.Get("../../etc/passwd"); pgerr.Code(err) != pgerr.InvalidParameterValue {
		t.Error(detail(err))
	}
	left, _ := filepath.Glob(filepath.Join(s.dir, "ingest", "*"))
	if len(left) != 0 {
		t.Error(left)
	}
}

func TestStoreCorruption(t *testing.T) {
	s := openStore(t)
	ctx := context.Background()
	a := fakeArtifact(t, wire.ABI, "score", "", strings.Repeat("program", 1000))
	d := put(t, s, a)
	dir, err := s.Ensure(ctx, d, nil)
	if err != nil {
		t.Fatal(err)
	}
	// The unpacked program: unpacked again.
	_, prog, _ := readBundle(dir)
	flip(t, prog)
	if _, err := s.Ensure(ctx, d, nil); err != nil || !s.unpacked(dir) {
		t.Error(err)
	}
	// The artifact: an error, and fetched again where that is possible.
	flip(t, s.blob(d))
	_, err = s.Ensure(ctx, d, nil)
	if pgerr.Code(err) != pgerr.DataCorrupted || !strings.Contains(err.Error(), "artifact "+d+" is corrupt") {
		t.Error(detail(err))
	}
	if _, err := s.Get(d); pgerr.Code(err) != pgerr.DataCorrupted {
		t.Error(detail(err))
	}
	bytesOf := func(b []byte) Fetch {
		return func(_ context.Context, w io.Writer) ([]byte, error) { _, err := w.Write(b); return nil, err }
	}
	if _, err = s.Ensure(ctx, d, bytesOf(a[1:])); pgerr.Code(err) != pgerr.DataCorrupted {
		t.Error(detail(err))
	}
	if s.Has(d) {
		t.Error("the corrupt artifact has not been removed")
	}
	put(t, s, a)
	flip(t, s.blob(d))
	noRoute := func(context.Context, io.Writer) ([]byte, error) { return nil, errors.New("no route") }
	if _, err = s.Ensure(ctx, d, noRoute); pgerr.Code(err) != pgerr.DataCorrupted || !strings.Contains(pgerr.From(err).Detail, "no route") {
		t.Error(detail(err))
	}
	put(t, s, a)
	// Changed so that neither the length nor the time of the modification tells.
	st, err := os.Stat(s.blob(d))
	if err != nil {
		t.Fatal(err)
	}
	in, err := os.ReadFile(s.blob(d))
	if err == nil {
		in[len(in)/2] ^= 1
		err = os.Chmod(s.blob(d), 0o600)
	}
	if err == nil {
		err = os.WriteFile(s.blob(d), in, 0o600) // the same file
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(s.blob(d), st.ModTime(), st.ModTime()); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	s.log = slog.New(slog.NewTextHandler(&log, nil))
	if _, err = s.Ensure(ctx, d, bytesOf(a)); err != nil {
		t.Error(detail(err))
	}
	if _, err := s.Get(d); err != nil || !strings.Contains(log.String(), "corrupt: it is removed and fetched again") || !strings.Contains(log.String(), "artifact fetched") {
		t.Errorf("%v\n%s", err, &log)
	}
}

func TestEnsureSingleFlight(t *testing.T) {
	s := openStore(t)
	a := fakeArtifact(t, wire.ABI, "score", "", "x")
	d := digestOfBytes(a)
	var fetches atomic.Int32
	fetch := func(_ context.Context, w io.Writer) ([]byte, error) {
		fetches.Add(1)
		time.Sleep(50 * time.Millisecond)
		_, err := w.Write(a)
		return nil, err
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if _, err := s.Ensure(context.Background(), d, fetch); err != nil {
				t.Error(detail(err))
			}
		}()
	}
	wg.Wait()
	if n := fetches.Load(); n != 1 {
		t.Errorf("%d fetches", n)
	}
}

func TestResolve(t *testing.T) {
	s := openStore(t)
	d1 := put(t, s, fakeArtifact(t, wire.ABI, "score", "1", "a"))
	d2 := put(t, s, fakeArtifact(t, wire.ABI, "score", "2", "b"))
	d3 := put(t, s, fakeArtifact(t, wire.ABI, "mean", "", "c"))
	for _, c := range []struct{ ref, want, code string }{
		{"score@" + d1, d1, ""},
		{"score@" + d2[:len(digestPrefix)+8], d2, ""},
		{"score@" + d2[:len(digestPrefix)+8] + "…", d2, ""},
		{d3[:len(digestPrefix)+8], d3, ""},
		{"score@1", d1, ""},
		{"mean", d3, ""},
		{"score", "", pgerr.AmbiguousFunction},
		{"score@3", "", pgerr.UndefinedObject},
		{"score@" + d3, "", pgerr.UndefinedObject},
		{"none", "", pgerr.UndefinedObject},
		{"score@sha256:a", "", pgerr.InvalidParameterValue},
		{"score@sha256:xyzw", "", pgerr.InvalidParameterValue},
	} {
		got, err := s.Resolve(c.ref)
		if got != c.want || err != nil && pgerr.Code(err) != c.code || err == nil && c.code != "" {
			t.Errorf("%s: %s %s", c.ref, got, detail(err))
		}
	}
	all, err := s.List()
	if err != nil || len(all) != 3 || all[0].Manifest.Name != "mean" {
		t.Error(all, err)
	}
}

func TestHostArtifactFaults(t *testing.T) {
	s := openStore(t)
	ctx := testContext(t)
	h := testHost(t, func(c *HostConfig) { c.Store = s })
	open := func(b []byte) error {
		r := scalarRef("f", types.Int8, types.Int8)
		r.Digest = put(t, s, b)
		_, err := h.Scalar(ctx, r)
		return err
	}
	if err := open(fakeArtifact(t, wire.ABI, "a", "", "no program")); err == nil || !strings.Contains(err.Error(), "could not start plugin a@sha256:") {
		t.Error(detail(err))
	}
	if err := open(fakeArtifact(t, wire.ABI, "b", "", "#!/bin/sh\necho oops >&2\nexit 4\n")); pgerr.Code(err) != "38000" || !strings.Contains(detail(err), "exit status 4 | Last output: oops") {
		t.Error(detail(err))
	}
	// A program that says another protocol version than its manifest.
	hello := `#!/bin/sh
printf '\055\000\000\000\100\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000' >&3
printf '{"magic":"volley-udf","abi":99,"manifest":{}}' >&3
sleep 5
`
	if err := open(fakeArtifact(t, wire.ABI, "c", "", hello)); pgerr.Code(err) != "39000" || !strings.Contains(err.Error(), "speaks protocol version 99, this server version 2") {
		t.Error(detail(err))
	}
	r := scalarRef("f", types.Int8, types.Int8)
	r.Digest = digestPrefix + strings.Repeat("ab", 32)
	if _, err := h.Scalar(ctx, r); pgerr.Code(err) != pgerr.UndefinedFile {
		t.Error(detail(err))
	}
	if n := len(h.Children()); n != 0 {
		t.Errorf("%d children", n)
	}
}

func TestCheckSignature(t *testing.T) {
	p := func(name, typ string) ManifestParam { return ManifestParam{Name: name, Type: typ} }
	ret := p("", "float64")
	m := &Manifest{Name: "score", Functions: []ManifestFunction{
		{Name: "Score", Kind: kindGroupedMap, Args: []ManifestParam{p("id", "int64"), p("at", "time")}, Columns: []ManifestParam{p("id", "int64"), p("p", "float64")}},
		{Name: "mean", Kind: kindAggregate, Args: []ManifestParam{p("", "float64")}, Returns: &ret},
	}}
	cols := []vector.Field{field("a", types.Int8), field("b", types.Float8)}
	cases := []struct {
		symbol  string
		kind    function.Kind
		args    []types.ID
		returns types.ID
		columns []vector.Field
		code    string
		text    string
	}{
		{"Score", function.GroupedMap, []types.ID{types.Int8, types.Date}, types.Record, cols, "", ""},
		{"score", function.GroupedMap, []types.ID{types.Int8, types.Timestamptz}, types.Record, cols, "", ""},
		{"mean", function.Aggregate, []types.ID{types.Float8}, types.Float8, nil, "", ""},
		{"none", function.Scalar, nil, types.Int8, nil, pgerr.UndefinedFunction, "It has Score, mean."},
		{"mean", function.Scalar, []types.ID{types.Float8}, types.Float8, nil, "42P13", "is an aggregate, not a scalar function"},
		{"mean", function.Aggregate, []types.ID{types.Int8}, types.Float8, nil, "42P13",
			"Declared: mean(bigint) returns double precision. In the artifact: mean(double precision) returns double precision. Argument 1 is double precision, not bigint."},
		{"mean", function.Aggregate, []types.ID{types.Float8}, types.Int8, nil, "42P13", "It returns double precision, not bigint."},
		{"mean", function.Aggregate, nil, types.Float8, nil, "42P13", "It takes 1 arguments, not 0."},
		{"mean", function.Aggregate, []types.ID{types.Numeric}, types.Float8, nil, "42P13", "Argument 1 is double precision, not numeric."},
		{"mean", function.Aggregate, []types.ID{types.Regclass}, types.Float8, nil, pgerr.FeatureNotSupported, "regclass"},
		{"Score", function.GroupedMap, []types.ID{types.Int8, types.Date}, types.Record, cols[:1], "42P13",
			"Declared: Score(bigint, date) returns table (a bigint). In the artifact: Score(id bigint, at timestamp) returns table (id bigint, p double precision). It returns 2 columns, not 1."},
	}
	for _, c := range cases {
		err := CheckSignature(m, c.symbol, c.kind, typeList(c.args...), types.T(c.returns), c.columns)
		if err == nil && c.code == "" {
			continue
		}
		if err == nil || pgerr.Code(err) != c.code || !strings.Contains(detail(err), c.text) {
			t.Errorf("%s %v: %s", c.symbol, c.args, detail(err))
		}
	}
}

func TestRefRoundTrip(t *testing.T) {
	f := &function.Function{Name: "score_udf", Kind: function.GroupedMap, Args: typeList(types.Int8, types.Text), Returns: types.T(types.Record),
		Columns: []vector.Field{field("a", types.Int8)}, Volatility: function.Stable, Strict: true,
		UDF: &function.UDFRef{Digest: "sha256:x", Symbol: "Score", MemoryLimit: 5, Timeout: 3 * time.Second}}
	g := FromProto(RefToProto(f))
	if g.Name != "score_udf" || g.Kind != f.Kind || len(g.Args) != 2 || g.Args[1] != f.Args[1] || g.Columns[0] != f.Columns[0] ||
		g.Volatility != f.Volatility || !g.Strict || g.UDF.Timeout != f.UDF.Timeout || g.UDF.MemoryLimit != 5 || g.UDF.Symbol != "Score" {
		t.Errorf("%+v %+v", g, g.UDF)
	}
}
