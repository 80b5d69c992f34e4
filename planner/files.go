package planner

import (
	"slices"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/parser"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/storage"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// fileFunc is read_csv, read_parquet or read_json. They are not table functions with rows
// of their own: they name files, which Scan reads in parallel.
type fileFunc struct {
	name    string
	options []string
}

// Options of all file functions, by which columns come from the files' names.
var pathOptions = []string{"filename", "hive_partitioning", "hive_types", "union_by_name"}

var jsonOptions = append([]string{"format", "columns", "types", "all_text", "all_varchar", "ignore_errors", "sample_size", "maximum_object_size", "unknown_keys"}, pathOptions...)

var fileFuncs = []*fileFunc{
	{"read_csv", append([]string{"delim", "delimiter", "sep", "header", "quote", "escape", "nullstr", "null", "columns", "types", "all_text", "all_varchar",
		"ignore_errors", "null_padding", "skip", "sample_size", "dateformat", "timestampformat"}, pathOptions...)},
	{"read_parquet", pathOptions},
	{"read_json", jsonOptions},
	{"read_ndjson", jsonOptions},
}

// unsupportedOptions are options that other engines have, with what to do instead.
var unsupportedOptions = map[string]string{
	"compression": "Files must not be compressed.", "strict_mode": "Records are read by RFC 4180; ignore_errors and null_padding are less strict.",
	"store_rejects": "ignore_errors leaves out what cannot be read.", "rejects_table": "ignore_errors leaves out what cannot be read.",
	"names": "Declare names and types with columns => 'id bigint, name text'.", "auto_detect": "What is given is not detected: delim, quote, header, columns.",
	"auto_type_candidates": "Give types => 'name type, …'.", "decimal_separator": "Read the column as text and replace it.",
	"thousands": "Read the column as text and replace it.", "encoding": "Convert the file to UTF-8.", "new_line": "Lines end in \\n or \\r\\n.",
	"max_line_size": "A record may have 256 MB.", "comment": "Skip lines at the beginning with skip.", "file_row_number": "Use row_number() OVER ().",
	"records": "Every object is a row.", "parallel": "Files are always read in parallel.",
}

// fileConfig is what the options of a file function say.
type fileConfig struct {
	csv    storage.CSVConfig
	json   storage.JSONConfig
	path   storage.PathColumns
	byName bool
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

// fileScan binds read_csv('path', name => value, …) and its like.
func (sc *selectCtx) fileScan(f *fileFunc, fc *pg.FuncCall) (Node, error) {
	b := sc.b
	bad := func(n *pg.Node, format string, args ...any) error {
		return pgerr.New(pgerr.InvalidParameterValue, format, args...).At(b.pos(nodeLocation(n)))
	}
	if b.o.Files == nil {
		return nil, b.unsupported(fc.Location, "%s here", f.name)
	}
	path := ""
	cfg := &fileConfig{}
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
	files := b.o.Files
	if r, ok := files.(RoleFiles); ok {
		if files, err = r.As(b.definer, f.name); err != nil {
			return nil, b.at(err, fc.Location)
		}
	}
	switch f.name {
	case "read_csv":
		cfg.csv.ByName = cfg.byName
		fs, err = files.CSV(b.ctx, path, &cfg.csv)
	case "read_parquet":
		fs, err = files.Parquet(b.ctx, path, cfg.byName)
	default:
		if f.name == "read_ndjson" {
			cfg.json.Format = "newline_delimited"
		}
		fs, err = files.JSON(b.ctx, path, &cfg.json)
	}
	if err == nil {
		fs.Extra, err = cfg.path.Add(fs.Schema, fs.Splits)
	}
	if err != nil {
		return nil, b.at(err, fc.Location)
	}
	return b.scan(path, slices.Concat(fs.Schema, fs.Extra), fs), nil
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

func (sc *selectCtx) fileOption(f *fileFunc, cfg *fileConfig, na *pg.NamedArgExpr) error {
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
		if hint, ok := unsupportedOptions[name]; ok {
			return b.unsupported(na.Location, "option %q of %s", na.Name, f.name).WithHint("%s", hint)
		}
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
	boolean := func(to ...*bool) error {
		x, err := types.ParseBool(v)
		if err != nil {
			return fail("option %q takes true or false, not %q", na.Name, v)
		}
		for _, p := range to {
			*p = x
		}
		return nil
	}
	columns := func() ([]vector.Field, error) {
		fs, err := b.columnList(v)
		if err != nil {
			return nil, fail("option %q takes a list such as 'id bigint, name text': %s", na.Name, err.Error())
		}
		return fs, nil
	}
	typeMap := func() (map[string]types.Type, error) {
		fs, err := columns()
		out := make(map[string]types.Type, len(fs))
		for _, f := range fs {
			out[f.Name] = f.Type
		}
		return out, err
	}
	switch name {
	case "delim", "delimiter", "sep":
		if len(v) != 1 && v != `\t` {
			return fail("the delimiter must be a single one-byte character, not %q", v)
		}
		cfg.csv.Delimiter = strings.ReplaceAll(v, `\t`, "\t")
	case "quote":
		if len(v) > 1 {
			return fail("the quote must be a single one-byte character, or '' for none, not %q", v)
		}
		if cfg.csv.Quote = v; v == "" {
			cfg.csv.Quote = "\x00" // storage's sign for no quoting
		}
	case "escape":
		if len(v) != 1 {
			return fail("the escape must be a single one-byte character, not %q", v)
		}
		cfg.csv.Escape = v
	case "nullstr", "null":
		cfg.csv.NullString = &v
	case "header":
		cfg.csv.Header = new(bool)
		return boolean(cfg.csv.Header)
	case "all_text", "all_varchar":
		return boolean(&cfg.csv.AllText, &cfg.json.AllText)
	case "ignore_errors":
		return boolean(&cfg.csv.IgnoreErrors, &cfg.json.IgnoreErrors)
	case "null_padding":
		return boolean(&cfg.csv.NullPadding)
	case "union_by_name":
		return boolean(&cfg.byName)
	case "hive_partitioning":
		return boolean(&cfg.path.Hive)
	case "hive_types":
		cfg.path.Hive = true
		cfg.path.HiveTypes, err = typeMap()
	case "filename":
		switch cfg.path.Filename = v; v { // true and false come as these words
		case "true":
			cfg.path.Filename = "filename"
		case "false":
			cfg.path.Filename = ""
		}
	case "dateformat":
		cfg.csv.DateFormat = v
	case "timestampformat":
		cfg.csv.TimestampFormat = v
	case "format":
		if cfg.json.Format = strings.ToLower(v); cfg.json.Format == "auto" {
			cfg.json.Format = ""
		}
		if f.name == "read_ndjson" {
			return fail("option %q is for read_json: read_ndjson reads newline_delimited", na.Name)
		}
	case "unknown_keys":
		switch strings.ToLower(v) {
		case "ignore", "error":
			cfg.json.UnknownError = strings.EqualFold(v, "error")
		default:
			return fail("option %q takes 'ignore' or 'error', not %q", na.Name, v)
		}
	case "skip", "maximum_object_size":
		x, err := types.ParseInt8(v)
		if err != nil || x < 0 || name != "skip" && (x == 0 || x > storage.MaxJSONObject) {
			return fail("option %q cannot be %q", na.Name, v)
		}
		cfg.csv.Skip, cfg.json.MaxObject = x, int(x)
	case "sample_size":
		x, err := types.ParseInt8(v)
		if err != nil || x < -1 || x == 0 {
			return fail("option %q takes a number of rows, or -1 for all, not %q", na.Name, v)
		}
		cfg.csv.SampleRows = int(min(x, 1<<30))
		cfg.json.SampleRows = cfg.csv.SampleRows
	case "columns":
		cfg.csv.Columns, err = columns()
		cfg.json.Columns = cfg.csv.Columns
	case "types":
		cfg.csv.Types, err = typeMap()
		cfg.json.Types = cfg.csv.Types
	}
	return err
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
		t, err := ResolveType(st, c.TypeName, nil)
		if err != nil {
			return nil, err
		}
		out = append(out, vector.Field{Name: c.Colname, Type: t})
	}
	return out, nil
}
