package udf

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// Inline is a function in Go whose source stands in CREATE FUNCTION. Source is
// one of:
//
//   - the body of a function of the declared arguments, which have their SQL
//     names (those without one are a1, a2, …). A body that returns two values
//     returns an error as the second. That of a grouped map has ctx, g (a
//     *udf.Group) and emit (g.Emit);
//   - declarations: a function named like the SQL one, and what it needs;
//   - a whole file, package main, with a main function that calls udf.Main.
//
// Packages of the standard library, and the SDK as udf, need not be imported in
// the first two.
type Inline struct {
	Name       string
	Kind       function.Kind // Scalar, GroupedMap; Aggregate only as a whole file
	Args       []vector.Field
	Returns    types.Type
	Columns    []vector.Field
	Volatility string
	// NullInput says that a body is also called with NULLs (CALLED ON NULL INPUT):
	// its arguments and its result are udf.Null of their types.
	NullInput bool
	Source    string
}

// inlineFile is what the source is called in positions of the compiler.
const inlineFile = "inline_source.go"

// CompileError is an error of the compiler with its place in the source.
type CompileError struct {
	Line, Column int // from 1; 0 = unknown
	Err          *pgerr.Error
}

func (e *CompileError) Error() string { return e.Err.Error() }

// Unwrap returns the *pgerr.Error.
func (e *CompileError) Unwrap() error { return e.Err }

// BuildInline compiles source into an artifact, without network. An error of
// the compiler is a *CompileError of 42P13, whose lines are those of the source.
func BuildInline(ctx context.Context, in Inline, o BuildOptions) (*Artifact, error) {
	files, err := in.files()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(o.TempDir, "volley-inline-")
	if err != nil {
		return nil, pgerr.Wrap(err, pgerr.IOError, "could not build function %q", in.Name)
	}
	defer os.RemoveAll(dir)
	// The last part of the directory's name is what messages call the plugin.
	src := filepath.Join(dir, "src")
	if err := os.Mkdir(src, 0o700); err != nil {
		return nil, pgerr.Wrap(err, pgerr.IOError, "could not build function %q", in.Name)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(src, name), []byte(text), 0o600); err != nil {
			return nil, pgerr.Wrap(err, pgerr.IOError, "could not build function %q", in.Name)
		}
	}
	if o.Name == "" {
		o.Name = in.Name
	}
	if o.TempDir == "" {
		o.TempDir = os.TempDir()
	}
	if o.Output == "" {
		out, err := os.MkdirTemp(o.TempDir, "volley-inline-out-")
		if err != nil {
			return nil, pgerr.Wrap(err, pgerr.IOError, "could not build function %q", in.Name)
		}
		o.Output = filepath.Join(out, "function"+blobSuffix)
	}
	o.Offline = true
	a, err := Build(ctx, src, o)
	if err != nil {
		return nil, in.translate(err)
	}
	return a, nil
}

var compilerLine = regexp.MustCompile(`^(?:\./|vet: )*(?:[^\s:]*/)?` + regexp.QuoteMeta(inlineFile) + `:(\d+)(?::(\d+))?: (.*)$`)

// translate gives an error of the compiler the places of the user's text.
func (in *Inline) translate(err error) error {
	var pe *pgerr.Error
	if !errors.As(err, &pe) || pe.Code != pgerr.InvalidFunctionDefinition || pe.Detail == "" {
		return err
	}
	out := &CompileError{}
	first := ""
	var lines []string
	for _, l := range strings.Split(pe.Detail, "\n") {
		m := compilerLine.FindStringSubmatch(l)
		if m == nil {
			if !strings.HasPrefix(l, "#") && strings.TrimSpace(l) != "" {
				lines = append(lines, strings.ReplaceAll(l, inlineFile, "source"))
			}
			continue
		}
		place := "line " + m[1]
		if m[2] != "" {
			place += ", column " + m[2]
		}
		if first == "" {
			first = "line " + m[1] + ": " + m[3]
			out.Line, _ = strconv.Atoi(m[1])
			out.Column, _ = strconv.Atoi(m[2])
		}
		lines = append(lines, place+": "+m[3])
	}
	if first == "" {
		return err
	}
	out.Err = pgerr.New(pgerr.InvalidFunctionDefinition, "could not compile function %q: %s", in.Name, first).
		WithDetail("%s", strings.Join(lines, "\n"))
	out.Err.Hint = pe.Hint
	return out
}

var packageClause = regexp.MustCompile(`(?m)^\s*package\s+\w+\s*(?://.*)?;?\s*$`)
var funcDeclaration = regexp.MustCompile(`(?m)^func\s+[\w(]`)

// files are the Go files that make a program of the source.
func (in *Inline) files() (map[string]string, error) {
	if packageClause.MatchString(in.Source) {
		return map[string]string{inlineFile: in.Source}, nil
	}
	if in.Kind == function.Aggregate {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "the source of an aggregate must be a whole file").
			WithHint("Write package main with func main() { udf.Main(udf.Aggregate(…)) }.")
	}
	if in.Kind != function.Scalar && in.Kind != function.GroupedMap {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "the source of a table or window function must be a whole file").
			WithHint("Write package main with func main() { udf.Main(…) }.")
	}
	if funcDeclaration.MatchString(in.Source) {
		return in.declarations()
	}
	return in.body()
}

// goTypes are the Go types that stand for types of the SDK.
var goTypes = map[string]string{"bool": "bool", "int16": "int16", "int32": "int32", "int64": "int64", "float32": "float32",
	"float64": "float64", "string": "string", "bytes": "[]byte", "date": "time.Time", "timestamp": "time.Time", "timestamptz": "time.Time",
	"clock": "udf.Clock", "numeric": "udf.Decimal", "interval": "udf.Interval", "uuid": "udf.UUID", "json": "udf.JSON", "jsonb": "udf.JSONB"}

// sdkNames are the SDK's names of column types, where they are not the type's own.
var sdkNames = map[string]string{"timestamp": "TypeTimestamp", "timestamptz": "TypeTimestamptz", "clock": "TypeClock", "numeric": "TypeNumeric",
	"interval": "TypeInterval", "uuid": "TypeUUID", "json": "TypeJSON", "jsonb": "TypeJSONB"}

// goType is the Go type for a SQL type.
func goType(t types.Type, result bool) (string, error) {
	if t.ID == types.Array {
		e, err := goType(t.ElemType(), result)
		return "[]" + e, err
	}
	n, ok := sdkType(t, result)
	if !ok || goTypes[n] == "" {
		return "", errType(t)
	}
	return goTypes[n], nil
}

// sdkColumn is the Go expression of the SDK's type of a column.
func sdkColumn(t types.Type, result, nullable bool) (string, error) {
	n, ok := sdkType(t, result)
	if !ok || goTypes[n] == "" || t.ID == types.Array {
		return "", errType(t)
	}
	s := "udf." + sdkNames[n]
	if sdkNames[n] == "" {
		s += strings.ToUpper(n[:1]) + n[1:]
	}
	if nullable {
		s += " | udf.Nullable"
	}
	return s, nil
}

// parameter is the Go name of an argument.
func (in *Inline) parameter(i int) (string, error) {
	n := in.Args[i].Name
	if n == "" {
		return "a" + strconv.Itoa(i+1), nil
	}
	if !token.IsIdentifier(n) || n == "_" || n == "udf" {
		return "", pgerr.New(pgerr.InvalidFunctionDefinition, "argument name %q is no name in Go", n).
			WithHint("Choose another name, or leave it out: arguments without names are a1, a2, ….")
	}
	return n, nil
}

// body wraps the body of a function.
func (in *Inline) body() (map[string]string, error) {
	var head, tail strings.Builder
	if in.Kind == function.GroupedMap {
		decl, err := in.groupedHead()
		if err != nil {
			return nil, err
		}
		head.WriteString("func main() {\n\tudf.Main(" + decl + "func(ctx *udf.Context, g *udf.Group) error {\n\temit := g.Emit\n\t_ = emit\n")
		tail.WriteString("\n//line generated.go:1\n\treturn nil\n}" + in.options() + "))\n}\n")
	} else {
		params := make([]string, len(in.Args))
		goTypes := make([]string, len(in.Args))
		for i, a := range in.Args {
			name, err := in.parameter(i)
			if err != nil {
				return nil, err
			}
			t, err := goType(a.Type, false)
			if err != nil {
				return nil, err
			}
			if in.NullInput {
				t = "udf.Null[" + t + "]"
			}
			params[i] = name + " " + t
			goTypes[i] = t
		}
		result, err := goType(in.Returns, true)
		if err != nil {
			return nil, err
		}
		if in.NullInput || strings.Contains(in.Source, "udf.None") || strings.Contains(in.Source, "udf.Some") {
			result = "udf.Null[" + result + "]"
		}
		returns, fails := result, returnsError(in.Source)
		if fails {
			returns = "(" + result + ", error)"
		}
		fmt.Fprintf(&head, "func inlineFunction(%s) %s {\n", strings.Join(params, ", "), returns)
		decl := in.register("inlineFunction", fails)
		if len(params) > typedArgs {
			decl = in.registerWide("inlineFunction", goTypes, result, fails)
		}
		tail.WriteString("\n}\n\n//line generated.go:1\nfunc main() { udf.Main(" + decl + ") }\n")
	}
	text := head.String() + "//line " + inlineFile + ":1:1\n" + in.Source + tail.String()
	return map[string]string{"main.go": "package main\n\n" + imports("package main\n"+text, "main.go") + text}, nil
}

// register is the expression that declares a scalar function.
func (in *Inline) register(goName string, fails bool) string {
	f := "udf.Scalar"
	if fails {
		f = "udf.ScalarErr"
	}
	if n := len(in.Args); n > 0 && n <= typedArgs {
		f += strconv.Itoa(n)
	} else {
		f = "udf.Scalar"
	}
	return f + "(" + strconv.Quote(in.Name) + ", " + goName + in.options() + ")"
}

// typedArgs is the largest N for which the SDK has a ScalarN.
const typedArgs = 12

// registerWide is register for a body with more arguments than ScalarN are there
// for: a loop over columns, as calls by reflection cost a microsecond each.
func (in *Inline) registerWide(goName string, types []string, result string, fails bool) string {
	var cols, row strings.Builder
	for i, t := range types {
		fmt.Fprintf(&cols, "c%d []%s, ", i+1, t)
		fmt.Fprintf(&row, "c%d[i], ", i+1)
	}
	call := "out[i] = " + goName + "(" + strings.TrimSuffix(row.String(), ", ") + ")"
	if fails {
		call = "var err error\n\t\t\tif " + strings.Replace(call, "out[i] =", "out[i], err =", 1) + "; err != nil {\n\t\t\t\treturn err\n\t\t\t}"
	}
	return "udf.Vector(" + strconv.Quote(in.Name) + ", func(" + cols.String() + "out []" + result + ") error {\n\t\tfor i := range out {\n\t\t\t" +
		call + "\n\t\t}\n\t\treturn nil\n\t}" + in.options() + ")"
}

// options are the trailing arguments of a declaration.
func (in *Inline) options() string {
	s := map[string]string{"immutable": ", udf.Immutable", "stable": ", udf.Stable"}[in.Volatility]
	if in.Kind == function.GroupedMap || len(in.Args) == 0 {
		return s
	}
	names := make([]string, len(in.Args))
	for i, a := range in.Args {
		names[i] = strconv.Quote(a.Name)
	}
	return s + ", udf.Args(" + strings.Join(names, ", ") + ")"
}

// groupedHead is the declaration of a grouped map up to its function.
func (in *Inline) groupedHead() (string, error) {
	list := func(fs []vector.Field, result bool) (string, error) {
		out := make([]string, len(fs))
		for i, f := range fs {
			t, err := sdkColumn(f.Type, result, result || in.NullInput)
			if err != nil {
				return "", err
			}
			name := f.Name
			if name == "" {
				name = "a" + strconv.Itoa(i+1)
			}
			out[i] = "udf.Col(" + strconv.Quote(name) + ", " + t + ")"
		}
		return "udf.Columns{" + strings.Join(out, ", ") + "}", nil
	}
	args, err := list(in.Args, false)
	if err != nil {
		return "", err
	}
	cols, err := list(in.Columns, true)
	return "udf.GroupedMap(" + strconv.Quote(in.Name) + ", " + args + ", " + cols + ", ", err
}

// declarations adds a main function to declarations.
func (in *Inline) declarations() (map[string]string, error) {
	set := token.NewFileSet()
	// What does not parse is the compiler's to say; its tree is as far as it got.
	file, _ := parser.ParseFile(set, inlineFile, "package main\n"+in.Source, 0)
	var found *ast.FuncDecl
	n := 0
	var names []string
	if file != nil {
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Recv != nil || f.Name.Name == "init" {
				continue
			}
			names = append(names, f.Name.Name)
			if n++; equalFold(f.Name.Name, in.Name) {
				found = f
				break
			}
		}
		if found == nil && n == 1 {
			for _, d := range file.Decls {
				if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name == names[0] {
					found = f
				}
			}
		}
	}
	if found == nil && file != nil && len(names) > 0 {
		return nil, pgerr.New(pgerr.InvalidFunctionDefinition, "the source declares no function %q", in.Name).
			WithHint("It has %s. A whole file starts with package main.", strings.Join(names, ", "))
	}
	goName, fails := in.Name, false
	if found != nil {
		goName, fails = found.Name.Name, found.Type.Results != nil && found.Type.Results.NumFields() == 2
	}
	reg := in.register(goName, fails)
	if in.Kind == function.GroupedMap {
		head, err := in.groupedHead()
		if err != nil {
			return nil, err
		}
		reg = head + goName + in.options() + ")"
	}
	main := "package main\n\nimport udf \"" + volleyModule + "/udf/sdk\"\n\nfunc main() { udf.Main(" + reg + ") }\n"
	head := "package main\n\n" + imports("package main\n"+in.Source, inlineFile)
	return map[string]string{"source.go": head + "//line " + inlineFile + ":1:1\n" + in.Source + "\n", "main.go": main}, nil
}

// returnsError reports whether a body returns two values.
func returnsError(body string) bool {
	file, _ := parser.ParseFile(token.NewFileSet(), "", "package main\nfunc f() {\n"+body+"\n}", parser.SkipObjectResolution)
	if file == nil {
		return false
	}
	two := false
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			return false
		case *ast.ReturnStmt:
			two = two || len(n.Results) == 2
		}
		return true
	})
	return two
}

// standard are the packages that source need not import, by name.
var standard = func() map[string]string {
	m := map[string]string{"udf": volleyModule + "/udf/sdk"}
	for _, p := range []string{"bufio", "bytes", "cmp", "context", "encoding/base64", "encoding/binary", "encoding/csv", "encoding/hex", "encoding/json",
		"errors", "fmt", "hash/crc32", "hash/fnv", "html", "io", "maps", "math", "math/big", "math/bits", "math/cmplx", "net/netip", "net/url", "os", "path",
		"regexp", "slices", "sort", "strconv", "strings", "sync", "sync/atomic", "text/template", "time", "unicode", "unicode/utf8", "crypto/md5", "crypto/sha1", "crypto/sha256",
		"crypto/hmac", "math/rand/v2"} {
		name := p[strings.LastIndexByte(p, '/')+1:]
		if p == "math/rand/v2" {
			name = "rand"
		}
		m[name] = p
	}
	return m
}()

// imports are declarations for the packages that a file uses and does not import.
func imports(text, name string) string {
	file, _ := parser.ParseFile(token.NewFileSet(), name, text, 0)
	if file == nil {
		return "import udf \"" + volleyModule + "/udf/sdk\"\n\n"
	}
	free := map[*ast.Ident]bool{}
	for _, id := range file.Unresolved {
		free[id] = true
	}
	have := map[string]bool{}
	for _, i := range file.Imports {
		p, _ := strconv.Unquote(i.Path.Value)
		if i.Name != nil {
			have[i.Name.Name] = true
		} else if p == standard["udf"] {
			have["udf"] = true
		} else {
			have[p[strings.LastIndexByte(p, '/')+1:]] = true
		}
	}
	used := map[string]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if id, ok := s.X.(*ast.Ident); ok && free[id] && standard[id.Name] != "" && !have[id.Name] {
				used[id.Name] = true
			}
		}
		return true
	})
	names := make([]string, 0, len(used))
	for n := range used {
		names = append(names, n)
	}
	sort.Strings(names)
	var b bytes.Buffer
	for _, n := range names {
		if n == "udf" {
			fmt.Fprintf(&b, "import udf %q\n", standard[n])
		} else {
			fmt.Fprintf(&b, "import %q\n", standard[n])
		}
	}
	if b.Len() > 0 {
		b.WriteByte('\n')
	}
	return b.String()
}

// IsSource tells the source of a function from the name of an artifact, in the AS
// clause of CREATE FUNCTION.
func IsSource(as string) bool { return strings.ContainsAny(as, " \t\n(){};") }

// InlineSymbol is the function of an artifact built from source that CREATE
// FUNCTION name means.
func InlineSymbol(m *Manifest, name string) string {
	if i := slices.IndexFunc(m.Functions, func(f ManifestFunction) bool { return equalFold(f.Name, name) }); i >= 0 {
		return m.Functions[i].Name
	}
	if len(m.Functions) == 1 {
		return m.Functions[0].Name
	}
	return name
}
