package udf

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"regexp"
	"strconv"
	"strings"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/udf/sdk/wire"
	"github.com/volleydb/volley/vector"
)

var packageClause = regexp.MustCompile(`(?m)^\s*package\s+\w+\s*(?://.*)?;?\s*$`)
var topDeclaration = regexp.MustCompile(`(?m)^(?:func\s+[\w(]|type\s+\w)`)

// declares reports whether source declares functions or types and so is no body.
// Indented types may stand in a body; a function with a name cannot, wherever it
// starts.
func declares(source string) bool {
	if topDeclaration.MatchString(source) {
		return true
	}
	var s scanner.Scanner
	text := []byte(source)
	s.Init(token.NewFileSet().AddFile("", -1, len(text)), text, func(token.Position, string) {}, 0)
	depth, after := 0, false
	for {
		_, tok, _ := s.Scan()
		switch tok {
		case token.EOF:
			return false
		case token.LBRACE, token.LPAREN, token.LBRACK:
			depth++
		case token.RBRACE, token.RPAREN, token.RBRACK:
			depth--
		case token.IDENT:
			if after && depth == 0 {
				return true
			}
		}
		after = tok == token.FUNC
	}
}

// files are the Go files that make a program of the source.
func (in *Inline) files() (map[string]string, error) {
	switch {
	case packageClause.MatchString(in.Source):
		return map[string]string{inlineFile: in.Source}, nil
	case in.Kind == function.GroupedMap && len(in.Columns) == 0:
		return nil, pgerr.New(pgerr.FeatureNotSupported, "source of a function that computes its output columns must be a whole file").
			WithHint("Write package main with func main() { udf.Main(…) }, or declare the columns: RETURNS TABLE (…).")
	case in.Kind == function.Aggregate:
		return in.aggregate()
	case declares(in.Source):
		return in.declarations()
	}
	return in.body()
}

// goTypes are the Go types that stand for types of the SDK.
var goTypes = map[string]string{"bool": "bool", "int16": "int16", "int32": "int32", "int64": "int64", "float32": "float32",
	"float64": "float64", "string": "string", "bytes": "[]byte", "timestamp": "time.Time", "timestamptz": "time.Time",
	"date": "time.Time", "numeric": "udf.Decimal", "interval": "udf.Interval", "uuid": "udf.UUID", "clock": "udf.Clock",
	"json": "udf.JSON", "jsonb": "udf.JSONB"}

// goType is the Go type for a SQL type. Composite types are structs without a name.
func goType(t types.Type, result bool) (string, error) {
	w, ok := typeSpec(t, result)
	if !ok {
		return "", errType(t)
	}
	return goSpec(w), nil
}

func goSpec(w *wire.Type) string {
	switch w.Name {
	case "[]":
		return "[]" + goSpec(w.Elem)
	case "struct":
		fields := make([]string, len(w.Fields))
		for i, f := range w.Fields {
			fields[i] = fmt.Sprintf("%s %s `udf:%q`", goField(f.Name, i), goSpec(f.Type), f.Name)
		}
		return "struct{ " + strings.Join(fields, "; ") + " }"
	}
	return goTypes[w.Name]
}

// goField is the exported Go name of a field: user_id is UserId.
func goField(name string, i int) string {
	var b strings.Builder
	for _, w := range strings.Split(name, "_") {
		if w != "" {
			b.WriteString(strings.ToUpper(w[:1]) + w[1:])
		}
	}
	if s := b.String(); token.IsIdentifier(s) && token.IsExported(s) {
		return s
	}
	return "F" + strconv.Itoa(i+1)
}

// columns is the Go expression of udf.Columns.
func (in *Inline) columns(fs []vector.Field, result bool) (string, error) {
	out := make([]string, len(fs))
	for i, f := range fs {
		w, ok := typeSpec(f.Type, result)
		if !ok {
			return "", errType(f.Type)
		}
		t := "udf.T(" + strconv.Quote(w.String()) + ")"
		if result || in.NullInput {
			t += " | udf.Nullable"
		}
		name := f.Name
		if name == "" {
			name = "a" + strconv.Itoa(i+1)
		}
		out[i] = "udf.Col(" + strconv.Quote(name) + ", " + t + ")"
	}
	return "udf.Columns{" + strings.Join(out, ", ") + "}", nil
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

// argument is the Go type of an argument, as a body gets it.
func (in *Inline) argument(i int) (string, error) {
	t, err := goType(in.Args[i].Type, false)
	if err == nil && in.NullInput {
		t = "udf.Null[" + t + "]"
	}
	return t, err
}

// parameters are the arguments as Go parameters, each type behind before. Then come
// those of more whose names no argument has.
func (in *Inline) parameters(before string, more ...[2]string) (string, error) {
	var out []string
	used := map[string]bool{}
	for i := range in.Args {
		name, err := in.parameter(i)
		if err != nil {
			return "", err
		}
		t, err := in.argument(i)
		if err != nil {
			return "", err
		}
		used[name] = true
		out = append(out, name+" "+before+t)
	}
	for _, m := range more {
		if used[m[0]] {
			m[0] = "_"
		}
		out = append(out, m[0]+" "+m[1])
	}
	return strings.Join(out, ", "), nil
}

// resultType is the Go type of the result of a body.
func (in *Inline) resultType() (string, error) {
	t, err := goType(in.Returns, true)
	if err == nil && (in.NullInput || strings.Contains(in.Source, "udf.None") || strings.Contains(in.Source, "udf.Some")) {
		t = "udf.Null[" + t + "]"
	}
	return t, err
}

// body wraps the body of a function. Besides its arguments it has, by what it is:
//
//   - scalar: nothing; it returns the result, or two values, the second an error;
//   - vectorised, known by not returning a value and using out: slices for its
//     arguments, and out, the slice of the results;
//   - window function: slices, out, p (a *udf.Partition) and ctx;
//   - grouped map, known by using g: no arguments but g (a *udf.Group), emit
//     (g.Emit) and ctx;
//   - table function: emit, a function of the columns, c (a *udf.TableCall) and ctx.
//
// All but the first return nothing, or an error.
func (in *Inline) body() (map[string]string, error) {
	file, returns := in.parseBody()
	uses := func(name string) bool {
		found := false
		if file != nil {
			for _, id := range file.Unresolved {
				found = found || id.Name == name
			}
		}
		return found && !in.hasArg(name)
	}
	end := "\n}\n"
	result := ""
	if returns > 0 {
		result, end = " error", "\n\n//line generated.go:1\n\treturn nil\n}\n"
	}
	var params, call, prelude string
	var err error
	switch {
	case in.Kind == function.GroupedMap && uses("g"):
		decl, err := in.groupedHead()
		if err != nil {
			return nil, err
		}
		params, result, prelude = "ctx *udf.Context, g *udf.Group", " error", "\temit := g.Emit\n\t_ = emit\n"
		end = "\n\n//line generated.go:1\n\treturn nil\n}\n"
		call = decl + "inlineFunction" + in.options() + ")"
	case in.Kind == function.GroupedMap:
		emit, err := in.emitType()
		if err != nil {
			return nil, err
		}
		if params, err = in.parameters("", [2]string{"ctx", "*udf.Context"}, [2]string{"c", "*udf.TableCall"}, [2]string{"emit", emit}); err != nil {
			return nil, err
		}
		if call, err = in.tableCall("inlineFunction", emit, true, result != ""); err != nil {
			return nil, err
		}
	case in.Kind == function.Window, in.Kind == function.Scalar && returns < 1 && uses("out"):
		r, err := in.resultType()
		if err != nil {
			return nil, err
		}
		more := [][2]string{{"out", "[]" + r}}
		if in.Kind == function.Window {
			more = append(more, [2]string{"p", "*udf.Partition"}, [2]string{"ctx", "*udf.Context"})
		}
		if params, err = in.parameters("[]", more...); err != nil {
			return nil, err
		}
		if in.Kind == function.Window {
			call, err = in.windowCall("inlineFunction", r, result != "")
		} else {
			call = "udf.Vector(" + strconv.Quote(in.Name) + ", inlineFunction" + in.options() + ")"
		}
		if err != nil {
			return nil, err
		}
	default:
		if params, err = in.parameters(""); err != nil {
			return nil, err
		}
		if result, err = in.resultType(); err != nil {
			return nil, err
		}
		if len(in.Args) > typedArgs {
			call, err = in.registerWide("inlineFunction", result, returns == 2)
		} else {
			call = in.register("inlineFunction", returns == 2)
		}
		if err != nil {
			return nil, err
		}
		if returns == 2 {
			result = "(" + result + ", error)"
		}
		result, end = " "+result, "\n}\n"
	}
	text := "func inlineFunction(" + params + ")" + result + " {\n" + prelude + "//line " + inlineFile + ":1:1\n" + in.Source + end +
		"\n//line generated.go:10\nfunc main() { udf.Main(" + call + ") }\n" + in.composites()
	return map[string]string{"main.go": "package main\n\n" + imports("package main\n"+text, "main.go") + text}, nil
}

func (in *Inline) hasArg(name string) bool {
	for _, a := range in.Args {
		if a.Name == name {
			return true
		}
	}
	return false
}

// parseBody parses a body as far as it can be, and tells the most values that it
// returns at once, -1 for none.
func (in *Inline) parseBody() (file *ast.File, returns int) {
	file, _ = parser.ParseFile(token.NewFileSet(), "", "package main\nfunc inlineFunction() {\n"+in.Source+"\n}", 0)
	returns = -1
	if file == nil {
		return nil, returns
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			return false
		case *ast.ReturnStmt:
			returns = max(returns, len(n.Results))
		}
		return true
	})
	return file, returns
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
func (in *Inline) registerWide(goName, result string, fails bool) (string, error) {
	var cols, row strings.Builder
	for i := range in.Args {
		t, err := in.argument(i)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&cols, "c%d []%s, ", i+1, t)
		fmt.Fprintf(&row, "c%d[i], ", i+1)
	}
	call := "out[i] = " + goName + "(" + strings.TrimSuffix(row.String(), ", ") + ")"
	if fails {
		call = "var err error; if " + strings.Replace(call, "out[i] =", "out[i], err =", 1) + "; err != nil { return err }"
	}
	return "udf.Vector(" + strconv.Quote(in.Name) + ", func(" + cols.String() + "out []" + result + ") error { for i := range out { " +
		call + " }; return nil }" + in.options() + ")", nil
}

// options are the trailing arguments of a declaration.
func (in *Inline) options() string {
	s := map[string]string{"immutable": ", udf.Immutable", "stable": ", udf.Stable"}[in.Volatility]
	if in.Kind == function.GroupedMap || in.Kind == function.Window || len(in.Args) == 0 {
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
	args, err := in.columns(in.Args, false)
	if err != nil {
		return "", err
	}
	cols, err := in.columns(in.Columns, true)
	return "udf.GroupedMap(" + strconv.Quote(in.Name) + ", " + args + ", " + cols + ", ", err
}

// emitType is the type of emit in a table function: of the columns' types, or of any
// values where the source speaks of NULL.
func (in *Inline) emitType() (string, error) {
	if in.NullInput || strings.Contains(in.Source, "udf.None") || strings.Contains(in.Source, "udf.Some") {
		return "func(...any)", nil
	}
	list := make([]string, len(in.Columns))
	for i, c := range in.Columns {
		t, err := goType(c.Type, true)
		if err != nil {
			return "", err
		}
		list[i] = t
	}
	return "func(" + strings.Join(list, ", ") + ")", nil
}

// tableCall declares a table function whose Go function takes its arguments, then,
// if all, ctx and c, and last emit.
func (in *Inline) tableCall(goName, emit string, all, fails bool) (string, error) {
	args, err := in.columns(in.Args, false)
	if err != nil {
		return "", err
	}
	cols, err := in.columns(in.Columns, true)
	if err != nil {
		return "", err
	}
	var given []string
	for i := range in.Args {
		t, err := in.argument(i)
		if err != nil {
			return "", err
		}
		given = append(given, fmt.Sprintf("udf.Arg[%s](c, %d)", t, i))
	}
	if all {
		given = append(given, "ctx", "c")
	}
	if emit == "func(...any)" {
		given = append(given, "c.Emit")
	} else {
		var ps, vs []string
		for i, c := range in.Columns {
			t, err := goType(c.Type, true)
			if err != nil {
				return "", err
			}
			ps, vs = append(ps, fmt.Sprintf("v%d %s", i, t)), append(vs, fmt.Sprintf("v%d", i))
		}
		given = append(given, "func("+strings.Join(ps, ", ")+") { c.Emit("+strings.Join(vs, ", ")+") }")
	}
	call := goName + "(" + strings.Join(given, ", ") + ")"
	if fails {
		call = "return " + call
	} else {
		call += "; return nil"
	}
	return "udf.Table(" + strconv.Quote(in.Name) + ", " + args + ", " + cols + ", func(ctx *udf.Context, c *udf.TableCall) error { " + call + " }" + in.options() + ")", nil
}

// windowCall declares a window function whose Go function takes slices, out, p and
// ctx.
func (in *Inline) windowCall(goName, result string, fails bool) (string, error) {
	args, err := in.columns(in.Args, false)
	if err != nil {
		return "", err
	}
	var given []string
	for i := range in.Args {
		t, err := in.argument(i)
		if err != nil {
			return "", err
		}
		given = append(given, fmt.Sprintf("udf.PartitionColumn[%s](p, %d)", t, i))
	}
	call := goName + "(" + strings.Join(append(given, "out", "p", "ctx"), ", ") + ")"
	if fails {
		call = "return " + call
	} else {
		call += "; return nil"
	}
	return "udf.Window(" + strconv.Quote(in.Name) + ", " + args + ", func(ctx *udf.Context, p *udf.Partition, out []" + result + ") error { " +
		call + " }" + in.options() + ")", nil
}

// program adds a main function to declarations.
func (in *Inline) program(call, helpers string) map[string]string {
	named := in.composites()
	main := "package main\n\nimport udf \"" + volleyModule + "/udf/sdk\"\n\nfunc main() { udf.Main(" + call + ") }\n" + named + helpers
	if strings.Contains(call+named, "time.Time") {
		main = strings.Replace(main, "import udf", "import \"time\"\nimport udf", 1)
	}
	head := "package main\n\n" + imports("package main\n"+in.Source, inlineFile)
	return map[string]string{"source.go": head + "//line " + inlineFile + ":1:1\n" + in.Source + "\n", "main.go": main}
}

// declarations adds a main function to a source of declarations. Its function has
// the SQL function's name, or is the only one; what it is its parameters tell:
//
//   - func(ctx *udf.Context, g *udf.Group) error is a grouped map;
//   - func(ctx *udf.Context, c *udf.TableCall) error is a table function, as is one
//     of the arguments and, last, emit func(column, …);
//   - func(ctx *udf.Context, p *udf.Partition, out []R) error is a window function;
//   - one of slices that returns nothing or an error is vectorised;
//   - others are called per row.
func (in *Inline) declarations() (map[string]string, error) {
	src := newGoSource(in.Source)
	found, names := src.find(in.Name)
	if found == nil && len(names) > 0 {
		return nil, pgerr.New(pgerr.InvalidFunctionDefinition, "the source declares no function %q", in.Name).
			WithHint("It has %s. A whole file starts with package main.", strings.Join(names, ", "))
	}
	if found == nil {
		// It does not parse: the compiler says why.
		return in.program(in.register(in.Name, false), ""), nil
	}
	goName := found.Name.Name
	params, results := src.params(found), found.Type.Results.NumFields()
	has := func(t string) bool {
		for _, p := range params {
			if p == t {
				return true
			}
		}
		return false
	}
	last := ""
	if len(params) > 0 {
		last = params[len(params)-1]
	}
	call := ""
	var err error
	switch in.Kind {
	case function.GroupedMap:
		var head string
		switch {
		case has("*udf.TableCall"):
			args, aerr := in.columns(in.Args, false)
			cols, cerr := in.columns(in.Columns, true)
			if err = aerr; err == nil {
				err = cerr
			}
			call = "udf.Table(" + strconv.Quote(in.Name) + ", " + args + ", " + cols + ", " + goName + in.options() + ")"
		case strings.HasPrefix(last, "func("):
			emit := last
			if strings.Contains(last, "...any") || strings.Contains(last, "...interface{}") {
				emit = "func(...any)"
			}
			call, err = in.tableCall(goName, emit, false, results == 1)
		default:
			head, err = in.groupedHead()
			call = head + goName + in.options() + ")"
		}
	case function.Window:
		var args string
		args, err = in.columns(in.Args, false)
		call = "udf.Window(" + strconv.Quote(in.Name) + ", " + args + ", " + goName + in.options() + ")"
	default:
		if results == 0 || results == 1 && len(params) == len(in.Args)+1 && strings.HasPrefix(last, "[]") {
			call = "udf.Vector(" + strconv.Quote(in.Name) + ", " + goName + in.options() + ")"
		} else {
			call = in.register(goName, results == 2)
		}
	}
	if err != nil {
		return nil, err
	}
	return in.program(call, ""), nil
}

// goSource is declarations, parsed as far as they can be.
type goSource struct {
	text string
	file *ast.File // may be nil
}

const packageLine = "package main\n"

func newGoSource(source string) *goSource {
	s := &goSource{text: packageLine + source}
	s.file, _ = parser.ParseFile(token.NewFileSet(), inlineFile, s.text, 0)
	return s
}

// find finds the function of a name, in any case, or else the only one; names are
// those of all.
func (s *goSource) find(name string) (found *ast.FuncDecl, names []string) {
	if s.file == nil {
		return nil, nil
	}
	var all []*ast.FuncDecl
	for _, d := range s.file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Recv != nil || f.Name.Name == "init" {
			continue
		}
		all, names = append(all, f), append(names, f.Name.Name)
		if found == nil && equalFold(f.Name.Name, name) {
			found = f
		}
	}
	if found == nil && len(all) == 1 {
		found = all[0]
	}
	return found, names
}

// params are the types of a function's parameters, one per parameter.
func (s *goSource) params(f *ast.FuncDecl) []string {
	var out []string
	for _, p := range f.Type.Params.List {
		t := s.text[p.Type.Pos()-1 : p.Type.End()-1]
		for range max(len(p.Names), 1) {
			out = append(out, t)
		}
	}
	return out
}
