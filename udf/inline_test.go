package udf

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

func float8Fields(names ...string) (out []vector.Field) {
	for _, n := range names {
		out = append(out, vector.Field{Name: n, Type: types.T(types.Float8)})
	}
	return out
}

func TestInline(t *testing.T) {
	if plugin == nil {
		t.Skip("there is no Go toolchain")
	}
	ctx := testContext(t)
	for _, c := range []struct{ name, source, want string }{
		{"body", "return math.Abs(x) + y", "3.5"},
		{"fails", "if y > 100 {\n\treturn 0, errors.New(\"big\")\n}\nreturn x, nil", "-1.5"},
		{"decls", "const two = 2\n\nfunc Decls(x, y float64) float64 { return two * y }", "4"},
		{"spaced", " func spaced(x, y float64) float64 { return two() * y }\n\tfunc two() float64 { return 2 }", "4"},
		{"file", "package main\n\nimport \"github.com/volleydb/volley/udf/sdk\"\n\nfunc main() { udf.Main(udf.Scalar(\"file\", func(x, y float64) float64 { return x })) }\n", "-1.5"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, err := BuildInline(ctx, Inline{Name: c.name, Kind: function.Scalar, Args: float8Fields("x", "y"), Returns: types.T(types.Float8), Source: c.source}, BuildOptions{})
			if err != nil {
				t.Fatal(detail(err))
			}
			s := openStore(t)
			if _, err := s.PutFile(ctx, a.Path); err != nil {
				t.Fatal(err)
			}
			h := testHost(t, func(hc *HostConfig) { hc.Store = s })
			r := scalarRef(InlineSymbol(a.Manifest, c.name), types.Float8, types.Float8, types.Float8)
			r.Digest = a.Digest
			v, err := call(ctx, h, r, floats(-1.5), floats(2))
			if err != nil || show(v) != c.want {
				t.Errorf("%v %s", v, detail(err))
			}
		})
	}
}

func TestDeclares(t *testing.T) {
	for source, want := range map[string]bool{
		"func f(x float64) float64 { return x }":                           true,
		"\n  func f(x float64) float64 { return x }":                       true,
		" // the square\n\n /* of x */ func f(x float64) float64 { }":      true,
		"  const k = 2\n  func f() float64 { return k }":                   true,
		"  type t struct{ x int }\n  v := t{x: 1}\n  return v.x":           false,
		"  g := func(x int) int { return x }\n  return g(1)":               false,
		"  // func f(x float64) stands in a comment\n  return `\n func f`": false,
		"return func(x int) int { return x }(1)":                           false,
		"it's (no Go":                                                      false,
	} {
		if declares(source) != want {
			t.Errorf("%q: %v", source, !want)
		}
	}
}

func TestInlineErrors(t *testing.T) {
	if plugin == nil {
		t.Skip("there is no Go toolchain")
	}
	_, err := BuildInline(testContext(t), Inline{Name: "f", Kind: function.Scalar, Args: float8Fields("x"), Returns: types.T(types.Float8),
		Source: "\n  y := 2 * x\n  return strings.ToUpper(\"a\")\n"}, BuildOptions{})
	var ce *CompileError
	if !errors.As(err, &ce) || ce.Line != 2 || ce.Err.Code != pgerr.InvalidFunctionDefinition || !strings.Contains(ce.Err.Detail, "line 3, column ") {
		t.Errorf("%+v %s", ce, detail(err))
	}
	for source, hint := range map[string]string{
		"return float8(x)":                        "float8 is float64 in Go",
		"func f(x bigint) (y numeric) { return }": "bigint is int64 in Go, numeric is udf.Decimal in Go",
	} {
		_, err = BuildInline(testContext(t), Inline{Name: "f", Kind: function.Scalar, Args: float8Fields("x"), Returns: types.T(types.Float8), Source: source}, BuildOptions{})
		if e := pgerr.From(err); e.Code != pgerr.InvalidFunctionDefinition || !strings.Contains(e.Hint, hint) {
			t.Error(detail(err))
		}
	}
	_, err = BuildInline(testContext(t), Inline{Name: "f", Source: "return 1"}, BuildOptions{GoTool: "no-such-go", TempDir: t.TempDir()})
	if pgerr.From(err).Code != "42804" && pgerr.From(err).Code != "58000" && pgerr.From(err).Code != pgerr.FeatureNotSupported {
		t.Error(detail(err))
	}
}

func TestGolden(t *testing.T) {
	if plugin == nil {
		t.Skip("there is no Go toolchain")
	}
	ctx := testContext(t)
	for golden, want := range map[string]string{
		`{"twice": [{"in": ["1.5"], "out": "3"}, {"in": ["NULL"], "out": "NULL"}]}`: "",
		`{"twice": [{"in": ["1"], "out": "2"}, {"in": ["2"], "out": "5"}]}`:         `golden case 2 of function "twice" gives 4, not 5`,
	} {
		dir := t.TempDir()
		writeTree(t, dir, map[string]string{"main.go": tinyPlugin, GoldenFile: golden})
		a, err := Build(ctx, dir, BuildOptions{TempDir: t.TempDir()})
		if err != nil {
			t.Fatal(detail(err))
		}
		s := openStore(t)
		if _, err := s.PutFile(ctx, a.Path); err != nil {
			t.Fatal(err)
		}
		n, err := RunGolden(ctx, s, a.Digest, "twice")
		switch {
		case n != 2, want == "" && err != nil, want != "" && (err == nil || pgerr.From(err).Code != "22000" || !strings.Contains(err.Error(), want)):
			t.Error(n, detail(err))
		}
	}
	dir := t.TempDir()
	writeTree(t, dir, map[string]string{"main.go": tinyPlugin, GoldenFile: `{"thrice": [{"in": ["1"], "out": "3"}]}`})
	if _, err := Build(ctx, dir, BuildOptions{TempDir: t.TempDir()}); pgerr.From(err).Code != pgerr.InvalidFunctionDefinition {
		t.Error(detail(err))
	}
}

// Every type that plugins may have has a Go type in source without declarations.
func TestInlineTypes(t *testing.T) {
	if plugin == nil {
		t.Skip("there is no Go toolchain")
	}
	var fields []vector.Field
	for _, id := range []types.ID{types.Bool, types.Int2, types.Int4, types.Int8, types.Float4, types.Float8, types.Numeric, types.Text, types.Varchar, types.Bytea,
		types.UUID, types.Date, types.Time, types.Timestamp, types.Timestamptz, types.Interval, types.JSON, types.JSONB} {
		fields = append(fields, vector.Field{Name: fmt.Sprint("c", len(fields)), Type: types.T(id)})
	}
	ctx := testContext(t)
	grouped := Inline{Name: "g", Kind: function.GroupedMap, Args: fields, Columns: fields, Source: "return nil"}
	if _, err := BuildInline(ctx, grouped, BuildOptions{}); err != nil {
		t.Error(detail(err))
	}
	args := make([]types.Type, len(fields))
	for i, f := range fields {
		args[i] = f.Type
	}
	for _, null := range []bool{false, true} {
		in := Inline{Name: "f", Kind: function.Scalar, Args: fields, Returns: types.T(types.Timestamptz), NullInput: null, Source: "return c14"}
		if null {
			in.Source = "if !c0.Valid {\n\treturn c14, errors.New(\"NULL\")\n}\nreturn c14, nil"
		}
		a, err := BuildInline(ctx, in, BuildOptions{})
		if err == nil {
			err = CheckSignature(a.Manifest, InlineSymbol(a.Manifest, "f"), function.Scalar, args, in.Returns, nil)
		}
		if err != nil {
			t.Error(detail(err))
		}
	}
}
