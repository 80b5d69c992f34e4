package coordinator

import (
	"context"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/volleydb/volley/catalog"
	"github.com/volleydb/volley/catalog/pgcatalog"
	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/parser"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/planner"
	"github.com/volleydb/volley/storage"
	"github.com/volleydb/volley/udf"
	"github.com/volleydb/volley/vector"
)

type (
	ioReader = io.Reader
	ioWriter = io.Writer
)

// names answers the planner's questions from one snapshot.
type names struct {
	s    *Session
	snap *catalog.Snapshot
	view *pgcatalog.View
	// uses collects the functions that the statement itself calls; may be nil.
	uses map[uint32]bool
	rec  *recorder // may be nil
	rp   *replay   // may be nil
	// bodyPath is the search path of the body of a function that has one, nil outside.
	bodyPath []string

	pins       []pin // of the setting volley.function_versions
	pinsRead   bool
	made, arms map[*catalog.FunctionDef]*function.Function
}

// path is the search path with pg_catalog first, as Postgres has it.
func (n *names) path() []string { return append([]string{"pg_catalog"}, n.view.SearchPath...) }

// InPath looks names up in another search path, for the same statement.
func (n *names) InPath(path []string) planner.Catalog {
	out, v := *n, *n.view
	schemas := []string{}
	for _, p := range path {
		switch {
		case p == "$user" && n.rp != nil:
			p = n.rp.rc.User
		case p == "$user":
			p = n.s.o.User
		case p == tempAlias || strings.HasPrefix(p, tempPrefix):
			continue // nothing without a schema is looked up there
		}
		schemas = append(schemas, p)
	}
	v.SearchPath = schemas
	out.view, out.bodyPath = &v, schemas
	return &out
}

// BeforeBuiltins reports that the search path names pg_catalog, after a schema.
func (n *names) BeforeBuiltins(schema string) bool {
	path := n.bodyPath
	switch {
	case path != nil:
	case n.rp != nil:
		path = n.rp.path
	default:
		path = splitNames(n.s.settings.get("search_path"))
	}
	for _, p := range path[:max(slices.Index(path, "pg_catalog"), 0)] {
		switch {
		case p == "$user" && n.rp != nil:
			p = n.rp.rc.User
		case p == "$user":
			p = n.s.o.User
		}
		if p == schema || n.s.schema(p) == schema {
			return true
		}
	}
	return false
}

func (n *names) Relation(schema, name string) (*planner.Relation, error) {
	if n.rp != nil {
		return n.rp.relation(n, schema, name)
	}
	if schema != "" && n.snap.Schema(schema) == nil && pgcatalog.Find(schema, name) == nil {
		return nil, pgerr.New(pgerr.UndefinedTable, "relation %q does not exist", schema+"."+name).
			WithHint("There is no schema %q.", schema)
	}
	schemas := []string{schema}
	if schema == "" {
		schemas = n.path()
	}
	for _, sc := range schemas {
		if t := pgcatalog.Find(sc, name); t != nil {
			n.rec.catalogTable(t.Schema + "." + t.Name)
			return &planner.Relation{Kind: planner.VirtualRelation, Schema: t.Schema, Name: t.Name, Columns: t.Columns, Hidden: pgcatalog.SystemColumns()}, nil
		}
		if r := n.snap.Relation(sc, name); r != nil {
			n.rec.relation(r)
			return n.relation(r)
		}
	}
	return nil, nil
}

func (n *names) relation(r *catalog.Relation) (*planner.Relation, error) {
	out := &planner.Relation{Schema: r.Schema, Name: r.Name, Columns: r.Fields()}
	if r.Kind == catalog.KindView {
		st, err := parser.ParseOne(r.SQL)
		if err != nil || st == nil {
			return nil, pgerr.New(pgerr.InternalError, "the text of view %q does not parse: %v", r.Name, err)
		}
		out.Kind, out.View = planner.ViewRelation, st
		return out, nil
	}
	fs, err := tableFiles(n.s.c.cfg.Store, r)
	out.Files = fs
	return out, err
}

// tableFiles plans the scan of a table's files.
func tableFiles(store *catalog.Store, r *catalog.Relation) (*planner.FileSet, error) {
	list := make([]storage.TableFile, len(r.Files))
	for i, f := range r.Files {
		list[i] = storage.TableFile{Path: store.Path(f.Path), Rows: f.Rows, Bytes: f.Bytes, Stats: f.Stats}
	}
	p, err := storage.PlanTable(r.Fields(), list)
	if err != nil {
		return nil, err
	}
	return &planner.FileSet{Format: "parquet", Splits: p.Splits, Rows: p.Rows, Bytes: r.Bytes, Schema: p.Schema, Stats: p.Stats}, nil
}

func (n *names) RelationNames() []string {
	var out []string
	for _, r := range n.snap.Relations() {
		for _, p := range n.view.SearchPath {
			if r.Schema == p {
				out = append(out, r.Name)
			}
		}
	}
	return out
}

func (n *names) FunctionNames() []string {
	var out []string
	for _, f := range n.snap.AllFunctions() {
		if strings.HasPrefix(f.Schema, tempPrefix) {
			continue
		}
		out = append(out, f.Name)
	}
	return out
}

// functionOf is a catalog function as planner and operators see it.
func functionOf(d *catalog.FunctionDef) *function.Function {
	f := &function.Function{
		ID: d.Digest + "/" + d.Symbol, Schema: d.Schema, Name: d.Name, Kind: function.Kind(d.Kind), Args: d.ArgTypes(), Returns: d.Returns,
		Volatility: function.Volatility(d.Volatility), Strict: d.Strict, OID: d.OID, Doc: d.Comment,
		UDF: &function.UDFRef{Digest: d.Digest, Symbol: d.Symbol, Display: d.Name, MemoryLimit: d.MemoryLimit, Timeout: d.Timeout,
			Version: int(d.Version), OnError: d.Settings["volley.on_error"], Concurrency: concurrencyOf(d), Cost: d.Cost},
	}
	for _, a := range d.Args {
		f.ArgNames = append(f.ArgNames, a.Name)
		if a.Default != "" {
			f.Defaults = append(f.Defaults, a.Default)
		}
	}
	f.Spread = d.Variadic
	if f.Body = d.Body; f.Body != "" {
		f.ID, f.UDF, f.OneRow = "sql/"+strconv.Itoa(int(d.OID))+"@"+strconv.Itoa(d.Version), nil, d.OutArgs && !d.SetOf
		if d.SecurityDefiner {
			f.Definer = d.Owner
		}
		if p := d.Settings["search_path"]; p != "" {
			f.BodyPath = append([]string{}, splitNames(p)...) // never nil
			if i := slices.Index(f.BodyPath, "$user"); i >= 0 && d.SecurityDefiner {
				f.BodyPath[i] = d.Owner
			}
		}
	}
	for _, c := range d.Columns {
		f.Columns = append(f.Columns, vector.Field{Name: c.Name, Type: c.Type})
	}
	if f.Kind == function.Aggregate {
		f.StateTypes = udf.StateTypes
	}
	if d.Agg != nil {
		f.ID, f.StateTypes, f.Definer = "agg/"+strconv.Itoa(int(d.OID))+"@"+strconv.Itoa(d.Version), nil, d.Owner
		f.UDF = &function.UDFRef{Display: d.Name}
	}
	tableRef(d, f)
	return f
}

func (f files) CSV(ctx context.Context, pattern string, c *storage.CSVConfig) (*planner.FileSet, error) {
	paths, err := f.glob("csv", pattern)
	if err != nil {
		return nil, err
	}
	c.Cache = f.cache
	p, err := storage.PlanCSV(ctx, paths, c)
	if err != nil {
		return nil, err
	}
	var bytes int64
	for _, s := range p.Splits {
		bytes += s.Length
	}
	f.rec.planned(plannedFiles{format: "csv", pattern: pattern, paths: paths, splits: p.Splits})
	return &planner.FileSet{Format: "csv", CSV: p, Splits: p.Splits, Rows: p.RowsEstimate, Bytes: bytes, Schema: p.Schema, ByName: c.ByName}, nil
}

func (f files) JSON(ctx context.Context, pattern string, c *storage.JSONConfig) (*planner.FileSet, error) {
	paths, err := f.glob("json", pattern)
	if err != nil {
		return nil, err
	}
	p, err := storage.PlanJSON(ctx, paths, c)
	if err != nil {
		return nil, err
	}
	var bytes int64
	for _, s := range p.Splits {
		bytes += s.Length
	}
	f.rec.planned(plannedFiles{format: "json", pattern: pattern, paths: paths, splits: p.Splits})
	return &planner.FileSet{Format: "json", JSON: p, Splits: p.Splits, Rows: p.RowsEstimate, Bytes: bytes, Schema: p.Schema}, nil
}

func (f files) Parquet(ctx context.Context, pattern string, byName bool) (*planner.FileSet, error) {
	paths, err := f.glob("parquet", pattern)
	if err != nil {
		return nil, err
	}
	plan := f.cache.PlanParquet
	if byName {
		plan = f.cache.PlanParquetByName
	}
	p, err := plan(ctx, paths)
	if err != nil {
		return nil, err
	}
	f.rec.planned(plannedFiles{format: "parquet", pattern: pattern, paths: paths, parquet: p.Files})
	return &planner.FileSet{Format: "parquet", Splits: p.Splits, Rows: p.Rows, Schema: p.Schema, Stats: p.Stats, ByName: byName}, nil
}

// openArtifact opens an artifact for a worker, with its signatures.
func openArtifact(store *udf.Store, digest string) (io.ReadCloser, []byte, error) {
	path, err := store.Get(digest)
	if err != nil {
		return nil, nil, err
	}
	list, err := store.Signatures(digest)
	if err != nil {
		return nil, nil, err
	}
	f, err := openFile(path)
	if err != nil {
		return nil, nil, err
	}
	return f, udf.FormatSignatures(list), nil
}
