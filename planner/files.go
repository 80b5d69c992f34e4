package planner

import (
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/parser"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/storage"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// fileFunc is read_csv or read_parquet. They are not table functions with rows
// of their own: they name files, which Scan reads in parallel.
type fileFunc struct {
	name    string
	options []string
}

var fileFuncs = []*fileFunc{
	{"read_csv", []string{"delim", "delimiter", "sep", "header", "quote", "escape", "nullstr", "null", "columns", "types", "all_text", "ignore_errors", "skip", "sample_size"}},
	{"read_parquet", nil},
}

func fileFunction(name string) *fileFunc {
	for _, f := range fileFuncs {
		if f.name == name {
			return f
		}
	}
	return nil
}

// FileFunctionNames are the names of the file functions, for help and hints.
func FileFunctionNames() []string {
	var out []string
	for _, f := range fileFuncs {
		out = append(out, f.name)
	}
	return out
}

// fileScan binds read_csv('path', name => value, …) and read_parquet('path').
func (sc *selectCtx) fileScan(f *fileFunc, fc *pg.FuncCall) (Node, error) {
	b := sc.b
	bad := func(n *pg.Node, format string, args ...any) error {
		return pgerr.New(pgerr.InvalidParameterValue, format, args...).At(b.pos(nodeLocation(n)))
	}
	if b.o.Files == nil {
		return nil, b.unsupported(fc.Location, "%s here", f.name)
	}
	path := ""
	cfg := &storage.CSVConfig{}
	given := map[string]bool{}
	for i, a := range fc.Args {
		named := a.GetNamedArgExpr()
		if named == nil {
			if i > 0 {
				return nil, bad(a, "%s takes one path; options are written name => value", f.name)
			}
			v, err := sc.constText(a, f.name)
			if err != nil {
				return nil, err
			}
			path = v
			continue
		}
		if given[named.Name] {
			return nil, pgerr.New(pgerr.SyntaxError, "argument name %q used more than once", named.Name).At(b.pos(named.Location))
		}
		given[named.Name] = true
		if err := sc.fileOption(f, cfg, named); err != nil {
			return nil, err
		}
	}
	if path == "" {
		return nil, pgerr.New(pgerr.UndefinedFunction, "%s needs the path of a file or a glob pattern", f.name).
			WithHint("Example: SELECT * FROM %s('data/*.%s')", f.name, strings.TrimPrefix(f.name, "read_")).At(b.pos(fc.Location))
	}
	var fs *FileSet
	var err error
	if f.name == "read_csv" {
		fs, err = b.o.Files.CSV(b.ctx, path, cfg)
	} else {
		fs, err = b.o.Files.Parquet(b.ctx, path)
	}
	if err != nil {
		return nil, b.at(err, fc.Location)
	}
	return b.scan(path, fs.Schema, fs), nil
}

// constText evaluates an argument that must be a constant text.
func (sc *selectCtx) constText(n *pg.Node, what string) (string, error) {
	e, err := sc.expr(n)
	if err != nil {
		return "", err
	}
	if e, err = sc.b.coerce(e, types.T(types.Text), function.Explicit, what); err != nil {
		return "", err
	}
	c, ok := e.(*Const)
	if !ok && sc.b.infer {
		return "", sc.b.unsupported(nodeLocation(n), "a parameter as argument of %s", what)
	}
	if !ok || c.V == nil {
		return "", pgerr.New(pgerr.InvalidParameterValue, "arguments of %s must be constants and not NULL", what).At(sc.b.pos(nodeLocation(n)))
	}
	return c.V.StringAt(0), nil
}

func (sc *selectCtx) fileOption(f *fileFunc, cfg *storage.CSVConfig, na *pg.NamedArgExpr) error {
	b := sc.b
	name := strings.ToLower(na.Name)
	fail := func(format string, args ...any) error {
		return pgerr.New(pgerr.InvalidParameterValue, format, args...).At(b.pos(na.Location))
	}
	known := false
	for _, o := range f.options {
		known = known || o == name
	}
	if !known {
		e := pgerr.New(pgerr.InvalidParameterValue, "%s has no option %q", f.name, na.Name).At(b.pos(na.Location))
		if s := suggest(name, f.options); s != "" {
			return e.WithHint("Perhaps you meant %q.", s)
		}
		if len(f.options) > 0 {
			return e.WithHint("Its options are %s.", strings.Join(f.options, ", "))
		}
		return e
	}
	v, err := sc.constText(na.Arg, f.name)
	if err != nil {
		return err
	}
	boolean := func() (bool, error) {
		x, err := types.ParseBool(v)
		if err != nil {
			return false, fail("option %q takes true or false, not %q", na.Name, v)
		}
		return x, nil
	}
	switch name {
	case "delim", "delimiter", "sep":
		if len(v) != 1 && v != `\t` {
			return fail("the delimiter must be a single one-byte character, not %q", v)
		}
		cfg.Delimiter = strings.ReplaceAll(v, `\t`, "\t")
	case "quote":
		if len(v) > 1 {
			return fail("the quote must be a single one-byte character, or '' for none, not %q", v)
		}
		if cfg.Quote = v; v == "" {
			cfg.Quote = "\x00" // storage's sign for no quoting
		}
	case "escape":
		if len(v) != 1 {
			return fail("the escape must be a single one-byte character, not %q", v)
		}
		cfg.Escape = v
	case "nullstr", "null":
		cfg.NullString = &v
	case "header":
		x, err := boolean()
		if err != nil {
			return err
		}
		cfg.Header = &x
	case "all_text":
		if cfg.AllText, err = boolean(); err != nil {
			return err
		}
	case "ignore_errors":
		if cfg.IgnoreErrors, err = boolean(); err != nil {
			return err
		}
	case "skip", "sample_size":
		x, err := types.ParseInt8(v)
		if err != nil || x < 0 {
			return fail("option %q takes a number of lines, not %q", na.Name, v)
		}
		if name == "skip" {
			cfg.Skip = x
		} else {
			cfg.SampleRows = int(min(x, 1<<30))
		}
	case "columns":
		fs, err := b.columnList(v)
		if err != nil {
			return fail("option \"columns\" takes a list such as 'id bigint, name text': %s", err.Error())
		}
		cfg.Columns = fs
	case "types":
		fs, err := b.columnList(v)
		if err != nil {
			return fail("option \"types\" takes a list such as 'id bigint, name text': %s", err.Error())
		}
		cfg.Types = map[string]types.Type{}
		for _, f := range fs {
			cfg.Types[f.Name] = f.Type
		}
	}
	return nil
}

// columnList parses "name type, …" with the grammar of CREATE TABLE.
func (b *binder) columnList(s string) ([]vector.Field, error) {
	st, err := parser.ParseOne("CREATE TABLE t (" + s + ")")
	if err != nil {
		return nil, err
	}
	create := st.Node.GetCreateStmt()
	if create == nil {
		return nil, pgerr.New(pgerr.SyntaxError, "syntax error")
	}
	var out []vector.Field
	for _, n := range create.TableElts {
		c := n.GetColumnDef()
		if c == nil {
			return nil, pgerr.New(pgerr.SyntaxError, "only columns may stand here")
		}
		t, err := ResolveType(st, c.TypeName)
		if err != nil {
			return nil, err
		}
		out = append(out, vector.Field{Name: c.Colname, Type: t})
	}
	return out, nil
}
