package coordinator

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/catalog"
	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/parser"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/planner"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/storage"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// copyOptions are the options of one COPY.
type copyOptions struct {
	format     string // csv, text, parquet
	csv        *proto.CsvOptions
	forceQuote []string
}

func (x *statement) copyOptions(n *pg.CopyStmt) (*copyOptions, error) {
	o := &copyOptions{format: "text", csv: &proto.CsvOptions{}}
	if n.Filename != "" && strings.HasSuffix(strings.ToLower(n.Filename), ".parquet") {
		o.format = "parquet"
	}
	set := map[string]int32{}
	for _, on := range n.Options {
		e := on.GetDefElem()
		pos := x.st.Pos(e.Location)
		if _, twice := set[e.Defname]; twice {
			return nil, pgerr.New(pgerr.SyntaxError, "conflicting or redundant options").At(pos)
		}
		set[e.Defname] = e.Location
		text := e.Arg.GetString_().GetSval()
		boolean := func() (bool, error) {
			switch a := e.Arg.GetNode().(type) {
			case nil:
				return true, nil
			case *pg.Node_Boolean:
				return a.Boolean.Boolval, nil
			case *pg.Node_Integer:
				return a.Integer.Ival != 0, nil
			}
			v, err := types.ParseBool(text)
			if err != nil {
				return false, pgerr.New(pgerr.SyntaxError, "%s requires a Boolean value", e.Defname).At(pos)
			}
			return v, nil
		}
		columns := func() []string {
			if e.Arg.GetAStar() != nil {
				return []string{"*"}
			}
			var out []string
			for _, i := range e.Arg.GetList().GetItems() {
				out = append(out, i.GetString_().GetSval())
			}
			return out
		}
		var err error
		switch e.Defname {
		case "format":
			o.format = strings.ToLower(text)
			switch o.format {
			case "csv", "text", "parquet", "binary":
			default:
				return nil, pgerr.New(pgerr.InvalidParameterValue, "COPY format %q not recognized", text).WithHint("There are csv, text, binary and parquet.").At(pos)
			}
		case "delimiter":
			o.csv.Delimiter = text
		case "null":
			o.csv.NullString, o.csv.NullSet = text, true
		case "header":
			o.csv.Header, err = boolean()
		case "quote":
			o.csv.Quote = text
		case "escape":
			o.csv.Escape = text
		case "force_quote":
			o.forceQuote = columns()
		case "force_null":
			o.csv.ForceNull = columns()
		case "force_not_null":
			o.csv.ForceNotNull = columns()
		case "encoding":
			if u := strings.ToLower(strings.ReplaceAll(text, "-", "")); u != "utf8" {
				return nil, pgerr.New(pgerr.FeatureNotSupported, "encoding %q is not supported", text).WithHint("Convert the data to UTF-8.").At(pos)
			}
		case "freeze":
		default:
			return nil, pgerr.New(pgerr.SyntaxError, "option %q not recognized", e.Defname).At(pos)
		}
		if err != nil {
			return nil, err
		}
	}
	o.csv.TextFormat = o.format == "text"
	if o.format == "parquet" || o.format == "binary" {
		for name, loc := range set {
			if name != "format" {
				return nil, pgerr.New(pgerr.FeatureNotSupported, "COPY option %s is not for format %s", name, o.format).At(x.st.Pos(loc))
			}
		}
	}
	if o.format == "text" {
		for _, name := range []string{"force_null", "force_not_null", "quote", "escape", "force_quote"} {
			if loc, ok := set[name]; ok {
				return nil, pgerr.New(pgerr.FeatureNotSupported, "COPY %s available only in CSV mode", strings.ReplaceAll(name, "_", " ")).At(x.st.Pos(loc))
			}
		}
	}
	return o, nil
}

func (x *statement) copy(ctx context.Context, n *pg.CopyStmt) (*Result, error) {
	if n.IsProgram {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "COPY with PROGRAM is not supported")
	}
	if n.WhereClause != nil {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "COPY FROM … WHERE is not supported").WithHint("INSERT INTO … SELECT … FROM read_csv('…') WHERE …")
	}
	if n.Filename != "" {
		if err := x.mayCopyFile(n.Filename, n.IsFrom); err != nil {
			return nil, err
		}
	}
	o, err := x.copyOptions(n)
	if err != nil {
		return nil, err
	}
	if n.IsFrom {
		return x.copyFrom(ctx, n, o)
	}
	return x.copyTo(ctx, n, o)
}

// copyColumns are the numbers of the table's columns in the order of the data.
func (x *statement) copyColumns(rel *catalog.Relation, names []*pg.Node) ([]int, error) {
	var out []int
	if len(names) == 0 {
		for i := range rel.Columns {
			out = append(out, i)
		}
		return out, nil
	}
	seen := map[int]bool{}
	for _, n := range names {
		name := n.GetString_().GetSval()
		i := columnIndex(rel.Columns, name, name != strings.ToLower(name))
		if i < 0 {
			return nil, pgerr.New(pgerr.UndefinedColumn, "column %q of relation %q does not exist", name, rel.Name)
		}
		if seen[i] {
			return nil, pgerr.New(pgerr.DuplicateColumn, "column %q specified more than once", name)
		}
		seen[i] = true
		out = append(out, i)
	}
	return out, nil
}

func (x *statement) copyFrom(ctx context.Context, n *pg.CopyStmt, o *copyOptions) (*Result, error) {
	rel, err := x.table(n.Relation)
	if err != nil {
		return nil, err
	}
	cols, err := x.copyColumns(rel, n.Attlist)
	if err != nil {
		return nil, err
	}
	if len(rel.Columns) == 0 {
		return nil, noRows(rel.Name)
	}
	if len(o.forceQuote) > 0 {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "COPY force quote only available using COPY TO")
	}
	for _, names := range [][]string{o.csv.ForceNull, o.csv.ForceNotNull} {
		for _, name := range names {
			if !slices.ContainsFunc(cols, func(c int) bool { return rel.Columns[c].Name == name }) {
				return nil, pgerr.New(pgerr.InvalidColumnReference, "column %q of a FORCE option is not referenced by COPY", name)
			}
		}
	}
	if o.format == "parquet" {
		if n.Filename == "" {
			return nil, pgerr.New(pgerr.FeatureNotSupported, "COPY FROM STDIN in format parquet is not supported").WithHint("A Parquet file is read from its end: give its path on the server.")
		}
		return x.copyParquet(ctx, n.Filename, rel, cols)
	}
	var count int64
	run := func(ctx context.Context, r io.Reader) error {
		files, c, err := x.load(ctx, r, rel, cols, o)
		if err != nil {
			x.dropStaging()
			return err
		}
		count = c
		return x.stagedCommit(ctx, func(tx *catalog.Tx) error {
			if len(files) == 0 {
				return nil
			}
			return tx.AddFiles(rel.OID, files)
		})
	}
	if n.Filename != "" {
		f, err := os.Open(n.Filename)
		if err != nil {
			return nil, fileError(err, "could not open file %q for reading", n.Filename)
		}
		defer f.Close()
		if st, err := f.Stat(); err == nil && st.IsDir() {
			return nil, pgerr.New(pgerr.WrongObjectType, "%q is a directory", n.Filename)
		}
		if err := run(ctx, f); err != nil {
			return nil, err
		}
		return done("COPY " + strconv.FormatInt(count, 10)), nil
	}
	r := NewResult(nil, nil, func() string { return "COPY " + strconv.FormatInt(count, 10) }, nil)
	r.CopyIn = &CopyIn{Binary: o.format == "binary", Columns: len(cols), Run: run}
	return r, nil
}

// fileError gives an I/O error its SQLSTATE.
func fileError(err error, format string, args ...any) error {
	code := pgerr.IOError
	switch {
	case os.IsNotExist(err):
		code = pgerr.UndefinedFile
	case os.IsPermission(err):
		code = pgerr.InsufficientPrivilege
	}
	if pe, ok := err.(*os.PathError); ok {
		err = pe.Err
	}
	msg := err.Error()
	return pgerr.New(code, format+": %s", append(args, strings.ToUpper(msg[:1])+msg[1:])...)
}

// load decodes a stream into a staged file of the table's shape.
func (x *statement) load(ctx context.Context, r io.Reader, rel *catalog.Relation, cols []int, o *copyOptions) ([]catalog.File, int64, error) {
	opts := storage.WithText(&types.TextOptions{Location: x.fc.Location, ExtraFloatDigits: 1})
	schema := make([]vector.Field, len(cols))
	for i, c := range cols {
		schema[i] = vector.Field{Name: rel.Columns[c].Name, Type: rel.Columns[c].Type.Bare()}
	}
	var rd interface {
		Next(context.Context) (*vector.Batch, error)
		Close() error
	}
	var err error
	if o.format == "binary" {
		rd = storage.NewBinaryCopyReader(r, schema, rel.Name)
	} else if rd, err = storage.NewCopyReader(r, schema, o.csv, rel.Name, opts); err != nil {
		return nil, 0, err
	}
	defer rd.Close()
	// Values come in the bare types: lengths and precisions are as in an INSERT.
	fit := func(b *vector.Batch) (*vector.Batch, error) {
		vs := append([]*vector.Vector(nil), b.Cols()...)
		for i, c := range cols {
			to := rel.Columns[c].Type
			if to.Typmod < 0 {
				continue
			}
			var err error
			if vs[i], err = function.Cast(x.fc, vs[i], to, false); err != nil {
				return nil, pgerr.From(err).WithWhere("COPY %s, column %s", rel.Name, rel.Columns[c].Name)
			}
		}
		return vector.NewBatch(vs, b.Rows()), nil
	}
	// Columns that the data does not have get their default, evaluated per row.
	fill, err := x.defaults(ctx, rel, cols)
	if err != nil {
		return nil, 0, err
	}
	dir, err := x.s.c.cfg.Store.StagingDir(x.id)
	if err != nil {
		return nil, 0, err
	}
	w := &proto.TableWrite{Directory: dir, Format: "parquet", Schema: storage.ToProtoFields(rel.Fields()), Table: rel.Name}
	for _, c := range rel.Columns {
		w.NotNull = append(w.NotNull, c.NotNull)
	}
	wr, err := storage.NewWriter(ctx, w, "copy")
	if err != nil {
		return nil, 0, err
	}
	var n int64
	for {
		b, err := rd.Next(ctx)
		if err == nil && b == nil {
			break
		}
		if err == nil {
			var full *vector.Batch
			if b, err = fit(b); err == nil {
				full, err = fill(b)
			}
			if err == nil {
				n += int64(b.Rows())
				err = wr.Write(ctx, full)
			}
		}
		if err != nil {
			wr.Abort()
			return nil, 0, err
		}
	}
	if n == 0 {
		wr.Abort()
		return nil, 0, nil
	}
	fi, err := wr.Close(ctx)
	if err != nil {
		return nil, 0, err
	}
	return []catalog.File{{Path: fi.Path, Rows: fi.Rows, Bytes: fi.Bytes, Stats: fi.Stats}}, n, nil
}

// defaults returns a function that completes batches of some columns to batches
// of all.
func (x *statement) defaults(ctx context.Context, rel *catalog.Relation, cols []int) (func(*vector.Batch) (*vector.Batch, error), error) {
	at := make([]int, len(rel.Columns))
	for i := range at {
		at[i] = -1
	}
	for i, c := range cols {
		at[c] = i
	}
	exprs := make([]*planner.RowExpr, len(rel.Columns))
	for i, c := range rel.Columns {
		if at[i] < 0 && c.Default != "" {
			e, err := planner.DefaultExpr(ctx, c.Default, c.Type, x.options())
			if err != nil {
				return nil, err
			}
			exprs[i] = e
		}
	}
	return func(b *vector.Batch) (*vector.Batch, error) {
		out := make([]*vector.Vector, len(rel.Columns))
		for i, c := range rel.Columns {
			switch {
			case at[i] >= 0:
				out[i] = b.Col(at[i])
			case exprs[i] != nil:
				v, err := exprs[i].Eval(ctx, b.Rows())
				if err != nil {
					return nil, err
				}
				out[i] = v
			default:
				out[i] = vector.NewNull(c.Type, b.Rows())
			}
		}
		return vector.NewBatch(out, b.Rows()), nil
	}, nil
}

// copyParquet is INSERT INTO t SELECT * FROM read_parquet(path), by position.
func (x *statement) copyParquet(ctx context.Context, path string, rel *catalog.Relation, cols []int) (*Result, error) {
	st, err := parser.ParseOne("SELECT * FROM read_parquet(" + parser.QuoteLiteral(path) + ")")
	if err != nil {
		return nil, err
	}
	q, err := planner.Bind(ctx, st, st.Node, nil, x.options())
	if err != nil {
		return nil, withoutPosition(err)
	}
	if have := len(q.Fields()); have != len(cols) {
		return nil, pgerr.New(pgerr.BadCopyFileFormat, "file %q has %d columns where %d are expected", path, have, len(cols))
	}
	source := make([]int, len(rel.Columns))
	defaults := make([]planner.Expr, len(rel.Columns))
	for i := range source {
		source[i] = -1
	}
	for i, c := range cols {
		source[c] = i
	}
	for i, c := range rel.Columns {
		if source[i] < 0 && c.Default != "" {
			ds, err := parser.ParseOne("SELECT " + c.Default)
			if err != nil {
				return nil, err
			}
			if defaults[i], err = q.Default(ds, c.Type); err != nil {
				return nil, err
			}
		}
	}
	if err := q.Assign(rel.Fields(), source, defaults); err != nil {
		return nil, err
	}
	files, n, err := x.writeRows(ctx, q, rel.Name, rel.Columns)
	if err != nil {
		x.dropStaging()
		return nil, withoutPosition(err)
	}
	err = x.stagedCommit(ctx, func(tx *catalog.Tx) error {
		if len(files) == 0 {
			return nil
		}
		return tx.AddFiles(rel.OID, files)
	})
	if err != nil {
		return nil, err
	}
	return done("COPY " + strconv.FormatInt(n, 10)), nil
}

// withoutPosition drops a position that points into a text that is not the user's.
func withoutPosition(err error) error {
	e := *pgerr.From(err)
	e.Position = 0
	return &e
}

// copyTo writes a table or a query.
func (x *statement) copyTo(ctx context.Context, n *pg.CopyStmt, o *copyOptions) (*Result, error) {
	st, node := x.st, n.Query
	if n.Relation != nil {
		rel, err := x.table(n.Relation)
		if err != nil {
			if pgerr.Code(err) == pgerr.WrongObjectType {
				return nil, pgerr.From(err).WithHint("Try the COPY (SELECT …) TO variant.")
			}
			return nil, err
		}
		cols, err := x.copyColumns(rel, n.Attlist)
		if err != nil {
			return nil, err
		}
		var list []string
		for _, c := range cols {
			list = append(list, quoted(rel.Columns[c].Name))
		}
		if st, err = parser.ParseOne("SELECT " + strings.Join(list, ", ") + " FROM " + quoted(rel.Schema) + "." + quoted(rel.Name)); err != nil {
			return nil, err
		}
		node = st.Node
	}
	if node.GetSelectStmt() == nil {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "COPY of this statement is not supported")
	}
	q, err := planner.Bind(ctx, st, node, nil, x.options())
	if err != nil {
		return nil, err
	}
	fields := q.Fields()
	plan, err := q.Plan(ctx, nil)
	if err != nil {
		return nil, err
	}
	for _, names := range [][]string{o.csv.ForceNull, o.csv.ForceNotNull} {
		if len(names) > 0 {
			return nil, pgerr.New(pgerr.FeatureNotSupported, "COPY force null and force not null are only available using COPY FROM")
		}
	}
	var count int64
	text := storage.WithText(&types.TextOptions{Location: x.fc.Location, ExtraFloatDigits: int(x.s.settings.int("extra_float_digits")),
		ByteaEscape: x.s.settings.get("bytea_output") == "escape"})
	each := func(ctx context.Context, f func(b *vector.Batch) error) error {
		run, err := x.run(ctx, plan)
		if err != nil {
			return err
		}
		defer run.Close()
		for {
			b, err := run.Next(ctx)
			if err != nil || b == nil {
				return err
			}
			b = b.Dense()
			count += int64(b.Rows())
			if err := f(b); err != nil {
				return err
			}
		}
	}
	tag := func() string { return "COPY " + strconv.FormatInt(count, 10) }
	if n.Filename != "" {
		if !filepath.IsAbs(n.Filename) {
			return nil, pgerr.New(pgerr.InvalidParameterValue, "relative path not allowed for COPY to file").WithHint("psql's \\copy writes to a file of the client.")
		}
		if o.format == "binary" {
			return nil, pgerr.New(pgerr.FeatureNotSupported, "COPY to a file of the server in format binary is not supported").WithHint("There are csv, text and parquet; psql's \\copy writes binary to a file of the client.")
		}
		w := &proto.TableWrite{Path: n.Filename, Format: "csv", Csv: o.csv, Schema: storage.ToProtoFields(fields)}
		if o.format == "parquet" {
			w.Format, w.Csv = "parquet", nil
			for _, f := range fields {
				if isUserType(f.Type) {
					return nil, pgerr.New(pgerr.FeatureNotSupported, "COPY of column %q of type %s to a Parquet file is not supported", f.Name, f.Type).
						WithHint("Cast it to text, or name its fields: (%s).*.", f.Name)
				}
			}
		}
		wr, err := storage.NewWriter(ctx, w, "", text, storage.WithForceQuote(o.forceQuote))
		if err != nil {
			return nil, err
		}
		if err := each(ctx, func(b *vector.Batch) error { return wr.Write(ctx, b) }); err != nil {
			wr.Abort()
			return nil, err
		}
		if _, err := wr.Close(ctx); err != nil {
			return nil, err
		}
		return done(tag()), nil
	}
	if o.format == "parquet" {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "COPY TO STDOUT in format parquet is not supported").WithHint("Give a path on the server.")
	}
	var enc interface {
		Header(dst []byte) []byte
		AppendRow(dst []byte, b *vector.Batch, row int) []byte
	}
	var trailer []byte
	if o.format == "binary" {
		be, err := storage.NewBinaryCopyEncoder(fields)
		if err != nil {
			return nil, err
		}
		enc, trailer = be, be.Trailer(nil)
	} else if enc, err = storage.NewCopyEncoder(fields, o.csv, o.forceQuote, text); err != nil {
		return nil, err
	}
	r := NewResult(nil, nil, tag, nil)
	r.CopyOut = &CopyOut{Binary: o.format == "binary", Columns: len(fields), WriteTo: func(ctx context.Context, w io.Writer) error {
		// Clients take a message for a row, as Postgres sends them: a header of names is
		// one, that of the binary format stands before the first row, or the trailer.
		buf := enc.Header(nil)
		if o.format != "binary" && len(buf) > 0 {
			if _, err := w.Write(buf); err != nil {
				return err
			}
			buf = buf[:0]
		}
		err := each(ctx, func(b *vector.Batch) error {
			for i := range b.Rows() {
				buf = enc.AppendRow(buf, b, i)
				if _, err := w.Write(buf); err != nil {
					return err
				}
				buf = buf[:0]
			}
			return nil
		})
		if buf = append(buf, trailer...); err == nil && len(buf) > 0 {
			_, err = w.Write(buf)
		}
		return err
	}}
	return r, nil
}

func quoted(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
