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

// Inline is a function in Go whose source stands in CREATE FUNCTION or CREATE
// AGGREGATE. Source is one of:
//
//   - the body of a function of the declared arguments, which have their SQL
//     names (those without one are a1, a2, …): see Inline.body;
//   - declarations: a function named like the SQL one, and what it needs; of an
//     aggregate its Step, Merge and Finish: see Inline.declarations and aggregate;
//   - a whole file, package main, with a main function that calls udf.Main.
//
// Packages of the standard library, and the SDK as udf, need not be imported in
// the first two.
type Inline struct {
	Name string
	// Kind is Scalar, which may be vectorised, Aggregate, Window, or GroupedMap for
	// what returns rows: whether it is a table function the source tells.
	Kind       function.Kind
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
	if out.Err.Hint = typeHint(out.Err.Detail); out.Err.Hint == "" {
		out.Err.Hint = pe.Hint
	}
	return out
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
