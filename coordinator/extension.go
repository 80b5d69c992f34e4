package coordinator

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/catalog"
	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/udf"
	"github.com/volleydb/volley/udf/sdk/wire"
	"github.com/volleydb/volley/vector"
)

// build is an artifact that an extension can be made of.
type build struct {
	digest   string
	manifest *udf.Manifest
	json     []byte
}

// extensionBuild finds the artifact of an extension: of a version, or of the
// highest one there is.
func (x *statement) extensionBuild(name, version string) (*build, error) {
	all, err := x.s.c.cfg.Artifacts.List()
	if err != nil {
		return nil, err
	}
	var found []udf.Entry
	named := false
	for _, e := range all {
		if e.Manifest.Name != name {
			continue
		}
		named = true
		switch {
		case version != "" && e.Manifest.Version != version:
		case version == "" && len(found) > 0 && compareVersions(e.Manifest.Version, found[0].Manifest.Version) < 0:
		case version == "" && len(found) > 0 && compareVersions(e.Manifest.Version, found[0].Manifest.Version) > 0:
			found = []udf.Entry{e}
		default:
			found = append(found, e)
		}
	}
	switch {
	case !named:
		return nil, pgerr.New(pgerr.FeatureNotSupported, "extension %q is not available", name).
			WithDetail("There is no artifact of this name.").WithHint("Upload it with volley udf push, or SELECT volley.put_artifact(…).")
	case len(found) == 0:
		return nil, pgerr.New(pgerr.InvalidParameterValue, "extension %q has no version %q", name, version).
			WithHint("Upload it with volley udf push, or SELECT volley.put_artifact(…).")
	case len(found) > 1:
		return nil, pgerr.New(pgerr.AmbiguousFunction, "there are %d artifacts of extension %q with version %q", len(found), name, found[0].Manifest.Version).
			WithHint("Build it under a version of its own: volley udf build -version ….")
	}
	x.keepArtifact(found[0].Digest)
	if _, err := x.s.c.cfg.Artifacts.Get(found[0].Digest); err != nil {
		return nil, err // not signed, for one
	}
	b := &build{digest: found[0].Digest, manifest: found[0].Manifest}
	if b.json, err = json.Marshal(b.manifest); err != nil {
		return nil, pgerr.Wrap(err, pgerr.InternalError, "manifest")
	}
	return b, nil
}

// compareVersions orders versions: numbers by value, all else as text.
func compareVersions(a, b string) int {
	as, bs := strings.FieldsFunc(a, versionSeparator), strings.FieldsFunc(b, versionSeparator)
	for i := range max(len(as), len(bs)) {
		if i >= len(as) || i >= len(bs) {
			return len(as) - len(bs)
		}
		n, e1 := strconv.ParseUint(as[i], 10, 64)
		m, e2 := strconv.ParseUint(bs[i], 10, 64)
		switch {
		case e1 == nil && e2 == nil && n != m:
			if n < m {
				return -1
			}
			return 1
		case e1 == nil && e2 == nil:
		case as[i] != bs[i]:
			return strings.Compare(as[i], bs[i])
		}
	}
	return 0
}

func versionSeparator(r rune) bool { return r == '.' || r == '-' || r == '+' }

// manifestLanguage is the language of an artifact's functions.
func manifestLanguage(m *udf.Manifest) string {
	switch m.Runtime {
	case "", udf.RuntimeInProcess:
		return "go"
	}
	return m.Runtime
}

// manifestKinds are the kinds of functions by their names in manifests.
var manifestKinds = map[string]function.Kind{"scalar": function.Scalar, "aggregate": function.Aggregate, "grouped_map": function.GroupedMap,
	"table": function.Table, "window": function.Window}

// functions are the definitions of all functions of an artifact, under their
// names in lower case, as SQL folds them.
func (b *build) functions() ([]catalog.FunctionDef, error) {
	var out []catalog.FunctionDef
	m := b.manifest
	for i := range m.Functions {
		mf := &m.Functions[i]
		kind, ok := manifestKinds[mf.Kind]
		if !ok {
			return nil, pgerr.New(pgerr.FeatureNotSupported, "function %s of artifact %s is of kind %q, which CREATE EXTENSION does not know", mf.Name, m.Name, mf.Kind)
		}
		vol := slices.Index([]string{"immutable", "stable", "volatile"}, mf.Volatility)
		if vol < 0 {
			return nil, pgerr.New(pgerr.InvalidFunctionDefinition, "function %s of artifact %s: volatility %q is not immutable, stable or volatile", mf.Name, m.Name, mf.Volatility)
		}
		d := catalog.FunctionDef{Name: strings.ToLower(mf.Name), Kind: catalog.FuncKind(kind), Language: manifestLanguage(m), Digest: b.digest,
			Symbol: mf.Name, Source: m.Name + "@" + b.digest, Volatility: uint8(vol), Variadic: mf.Variadic, Comment: mf.Doc,
			Strict: kind == function.Scalar && takesNoNull(mf)}
		typeOf := func(p udf.ManifestParam) (types.Type, error) {
			t, ok := udf.SQLType(p)
			if !ok {
				e := pgerr.New(pgerr.FeatureNotSupported, "function %s of artifact %s has a parameter of type %s, which CREATE EXTENSION cannot declare", mf.Name, m.Name, p.Type).
					WithHint("Declare the function with CREATE FUNCTION.")
				if m.RuntimeName() == udf.RuntimePython {
					e.Hint = "Declare the function with CREATE FUNCTION, or give it types in Python: @volley.scalar(args={…}, returns=…)."
				}
				return t, e
			}
			return t, nil
		}
		if err := declaredOptions(&d, mf); err != nil {
			return nil, err
		}
		var args []types.Type
		for _, p := range mf.Args {
			t, err := typeOf(p)
			if err != nil {
				return nil, err
			}
			args = append(args, t)
			d.Args = append(d.Args, catalog.Arg{Name: p.Name, Type: t, Default: p.Default})
		}
		if mf.Returns != nil {
			t, err := typeOf(*mf.Returns)
			if err != nil {
				return nil, err
			}
			d.Returns = t
		}
		var cols []vector.Field
		for _, p := range mf.Columns {
			t, err := typeOf(p)
			if err != nil {
				return nil, err
			}
			d.Columns = append(d.Columns, catalog.Column{Name: p.Name, Type: t})
			cols = append(cols, vector.Field{Name: p.Name, Type: t})
		}
		if d.SetOf = kind == function.GroupedMap || kind == function.Table; d.SetOf {
			d.Returns = types.T(types.Record)
		}
		if err := udf.CheckSignature(m, mf.Name, kind, args, d.Returns, cols); err != nil {
			return nil, err
		}
		if kind == function.Table && len(cols) == 1 {
			d.Returns = cols[0].Type
		}
		if mf.Contract == wire.ContractRows {
			d.Settings = map[string]string{"volley.batch_rows": strconv.Itoa(max(mf.BatchRows, 1))}
		}
		out = append(out, d)
	}
	return out, nil
}

// prepare checks the user's right to the language and gives the functions.
func (x *statement) extensionFunctions(b *build) ([]catalog.FunctionDef, error) {
	if err := x.mayUseLanguage(manifestLanguage(b.manifest)); err != nil {
		return nil, pgerr.New(pgerr.InsufficientPrivilege, "permission denied to create extension %q", b.manifest.Name).
			WithDetail("%s.", pgerr.From(err).Message).WithHint("Must be superuser to create this extension.")
	}
	fns, err := b.functions()
	if err != nil {
		return nil, err
	}
	if len(fns) == 0 {
		return nil, pgerr.New(pgerr.InvalidFunctionDefinition, "artifact %q has no functions", b.manifest.Name)
	}
	for i := range fns {
		fns[i].Owner = x.s.o.User
	}
	return fns, nil
}

func (b *build) artifact(owner string) catalog.Artifact {
	return catalog.Artifact{Digest: b.digest, Name: b.manifest.Name, Manifest: b.json, Owner: owner}
}

// createExtension is CREATE EXTENSION name [VERSION 'x'] [SCHEMA s].
func (x *statement) createExtension(ctx context.Context, n *pg.CreateExtensionStmt) (*Result, error) {
	schema, version := "", ""
	for _, o := range n.Options {
		e := o.GetDefElem()
		switch e.Defname {
		case "schema":
			schema = e.Arg.GetString_().GetSval()
		case "new_version":
			version = e.Arg.GetString_().GetSval()
		case "cascade": // extensions need no others
		default:
			return nil, pgerr.New(pgerr.FeatureNotSupported, "option %s of CREATE EXTENSION is not supported", strings.ToUpper(e.Defname)).At(x.st.Pos(e.Location))
		}
	}
	if x.snap.Extension(n.Extname) != nil {
		if n.IfNotExists {
			x.s.notice("NOTICE", pgerr.DuplicateObject, "extension \""+n.Extname+"\" already exists, skipping", "")
			return done("CREATE EXTENSION"), nil
		}
		return nil, pgerr.New(pgerr.DuplicateObject, "extension %q already exists", n.Extname)
	}
	schema, err := x.newSchema(schema, 0)
	if err != nil {
		return nil, err
	}
	b, err := x.extensionBuild(n.Extname, version)
	if err != nil {
		return nil, err
	}
	fns, err := x.extensionFunctions(b)
	if err != nil {
		return nil, err
	}
	err = x.change(ctx, func(tx *catalog.Tx) error {
		if err := tx.PutArtifact(b.artifact(x.s.o.User)); err != nil {
			return err
		}
		_, err := tx.CreateExtension(catalog.Extension{Name: n.Extname, Schema: schema, Version: b.manifest.Version, Digest: b.digest, Owner: x.s.o.User}, fns)
		return err
	})
	if err != nil {
		return nil, err
	}
	return done("CREATE EXTENSION"), nil
}

// alterExtension is ALTER EXTENSION name UPDATE [TO 'y'].
func (x *statement) alterExtension(ctx context.Context, n *pg.AlterExtensionStmt) (*Result, error) {
	e := x.snap.Extension(n.Extname)
	if e == nil {
		return nil, pgerr.New(pgerr.UndefinedObject, "extension %q does not exist", n.Extname)
	}
	if err := x.mustOwn(e.OID, "extension", e.Name); err != nil {
		return nil, err
	}
	version := ""
	for _, o := range n.Options {
		if d := o.GetDefElem(); d.Defname == "new_version" {
			version = d.Arg.GetString_().GetSval()
		}
	}
	b, err := x.extensionBuild(n.Extname, version)
	if err != nil {
		return nil, err
	}
	if b.digest == e.Digest {
		x.s.notice("NOTICE", "00000", "version \""+e.Version+"\" of extension \""+e.Name+"\" is already installed", "")
		return done("ALTER EXTENSION"), nil
	}
	fns, err := x.extensionFunctions(b)
	if err != nil {
		return nil, err
	}
	err = x.change(ctx, func(tx *catalog.Tx) error {
		if err := tx.PutArtifact(b.artifact(x.s.o.User)); err != nil {
			return err
		}
		if err := tx.UpdateExtension(e.Name, b.manifest.Version, b.digest, x.s.o.User, fns); err != nil {
			return x.unqualified(err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return done("ALTER EXTENSION"), nil
}
