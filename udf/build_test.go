package udf

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
)

func writeTree(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

const tinyPlugin = `package main

import "github.com/volleydb/volley/udf/sdk"

func main() { udf.Main(udf.Scalar("twice", func(x float64) float64 { return 2 * x })) }
`

func TestBuildReproducible(t *testing.T) {
	if plugin == nil {
		t.Skip("there is no Go toolchain")
	}
	ctx := context.Background()
	src, err := os.ReadFile("testdata/plugin/main.go")
	if err != nil {
		t.Fatal(err)
	}
	// The test plugin once more, outside of the repository.
	dir := filepath.Join(t.TempDir(), "a", "deep", "plugin")
	writeTree(t, dir, map[string]string{"main.go": string(src), "main_test.go": "package main\n"})
	out := filepath.Join(t.TempDir(), "x.vudf")
	a, err := Build(ctx, dir, BuildOptions{Output: out})
	if err != nil {
		t.Fatal(detail(err))
	}
	if a.Digest != plugin.Digest {
		t.Errorf("%s and %s", a.Digest, plugin.Digest)
	}
	b, _ := os.ReadFile(out)
	if digestOfBytes(b) != a.Digest || a.Path != out {
		t.Error("the file is not the artifact")
	}
	if a.Name != "testplugin" || a.Manifest.Version != "1.2" || a.Manifest.ABI != 2 || a.Manifest.Platforms[0].Arch == "" {
		t.Errorf("%+v", a.Manifest)
	}
	f, ok := a.Manifest.Function("add")
	if !ok || Signature(f) != "add(a double precision, b double precision) returns double precision" || f.Volatility != "immutable" {
		t.Errorf("%+v", f)
	}
	g, _ := a.Manifest.Function("sums")
	if Signature(g) != "sums(k bigint, x double precision) returns table (k bigint, n bigint, sum double precision)" || !g.Args[1].Nullable || g.Args[0].Nullable {
		t.Errorf("%+v", g)
	}
	// The author's directory is left as it was.
	files, _ := os.ReadDir(dir)
	if len(files) != 2 {
		t.Error(files)
	}
}

// An author's own module with a local dependency, the plugin in a subdirectory,
// from two places.
func TestBuildModule(t *testing.T) {
	if plugin == nil {
		t.Skip("there is no Go toolchain")
	}
	ctx := testContext(t)
	var digests []string
	for range 2 {
		root := t.TempDir()
		writeTree(t, root, map[string]string{
			"lib/go.mod":          "module example.com/lib\n\ngo 1.20\n",
			"lib/lib.go":          "package lib\n\nfunc Greet(s string) string { return \"hello \" + s }\n",
			"mod/go.mod":          "module example.com/plugins\n\ngo 1.20\n\nrequire (\n\texample.com/lib v0.0.0\n\tgithub.com/volleydb/volley v0.3.0\n)\n\nreplace example.com/lib => ../lib\n\nreplace github.com/volleydb/volley => ../no/such/place\n",
			"mod/inner/inner.go":  "package inner\n\nconst Mark = \"!\"\n",
			"mod/greeter/main.go": "package main\n\nimport (\n\t\"example.com/lib\"\n\t\"example.com/plugins/inner\"\n\tudf \"github.com/volleydb/volley/udf/sdk\"\n)\n\nfunc main() {\n\tudf.Main(udf.Scalar(\"greet\", func(s string) string { return lib.Greet(s) + inner.Mark }))\n}\n",
		})
		a, err := Build(ctx, filepath.Join(root, "mod", "greeter"), BuildOptions{})
		if err != nil {
			t.Fatal(detail(err))
		}
		digests = append(digests, a.Digest)
		if len(digests) == 1 {
			continue
		}
		s := openStore(t)
		if _, err := s.PutFile(ctx, a.Path); err != nil {
			t.Fatal(detail(err))
		}
		h := testHost(t, func(c *HostConfig) { c.Store = s })
		r := scalarRef("greet", types.Text, types.Text)
		r.Digest = a.Digest
		v, err := call(ctx, h, r, texts("you"))
		if err != nil || show(v) != `"hello you!"` {
			t.Error(detail(err))
		}
		if a.Name != "greeter" {
			t.Error(a.Name)
		}
	}
	if digests[0] != digests[1] {
		t.Error(digests)
	}
}

func TestBuildErrors(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	writeTree(t, dir, map[string]string{
		"ok/main.go":      tinyPlugin,
		"syntax/main.go":  strings.Replace(tinyPlugin, "2 * x", "2 * y", 1),
		"dep/main.go":     "package main\n\nimport \"example.com/none\"\n\nfunc main() { none.F() }\n",
		"lib/lib.go":      "package lib\n",
		"silent/main.go":  "package main\n\nfunc main() {}\n",
		"panics/main.go":  strings.Replace(tinyPlugin, "func(x float64) float64 { return 2 * x }", "func(x complex128) float64 { return 0 }", 1),
		"nothing/main.go": "package main\n\nimport \"github.com/volleydb/volley/udf/sdk\"\n\nfunc main() { udf.Main() }\n",
		"empty/README.md": "x",
	})
	for _, c := range []struct{ dir, tool, code, text string }{
		{"ok", "no-such-go", "58000", "there is no Go toolchain"},
		{"none", "", pgerr.UndefinedFile, ""},
		{"empty", "", pgerr.UndefinedFile, "no Go files"},
		{"syntax", "", "42P13", "main.go:5:81: undefined: y"},
		{"dep", "", "42P13", "go mod init"},
		{"lib", "", "42P13", ""},
		{"silent", "", "42P13", "does not say which functions it has"},
		{"panics", "", "42P13", "complex128 cannot be the type"},
		{"nothing", "", "42P13", "declares no functions"},
	} {
		if c.tool == "" && plugin == nil {
			t.Skip("there is no Go toolchain")
		}
		_, err := Build(ctx, filepath.Join(dir, c.dir), BuildOptions{GoTool: c.tool})
		if pgerr.Code(err) != c.code || !strings.Contains(detail(err), c.text) {
			t.Errorf("%s: %s", c.dir, detail(err))
		}
	}
}

// The kit that tests functions comes with the SDK: a plugin's directory needs no
// module for it.
func TestKitTravels(t *testing.T) {
	if plugin == nil {
		t.Skip("there is no Go toolchain: plugins cannot be built")
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"main.go": `package main

import "github.com/volleydb/volley/udf/sdk"

func functions() []udf.Decl {
	return []udf.Decl{udf.Scalar("twice", func(x float64) float64 { return 2 * x }, udf.Immutable)}
}

func main() { udf.Main(functions()...) }
`,
		"main_test.go": `package main

import (
	"testing"

	"github.com/volleydb/volley/udf/sdk/udftest"
)

func TestTwice(t *testing.T) {
	udftest.New(t, functions()...).Scalar(t, "twice", udftest.Case{In: udftest.Row{2}, Out: 4}, udftest.Case{In: udftest.Row{nil}, Out: nil})
}
`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := GoTest(testContext(t), dir); err != nil {
		t.Errorf("%s\n%s", detail(err), out)
	}
}
