package coordinator

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/catalog"
	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/udf"
	"github.com/volleydb/volley/vector"
)

// definition is a CREATE FUNCTION or CREATE AGGREGATE before it is checked
// against its artifact.
type definition struct {
	schema, name string
	args         []catalog.Arg
	returns      types.Type // Invalid when left to the artifact
	columns      []catalog.Column
	table        bool
	window       bool
	language     string
	artifact     string
	symbol       string
	volatility   string // "" when left to the artifact
	strict       *bool
	memory       int64
	timeout      time.Duration
	settings     map[string]string
	cost, rows   float64
	definer      bool
	aggregate    bool
	replace      bool
	pos          int
	inline       inlineDef
}

// createFunction is CREATE FUNCTION … LANGUAGE go AS 'artifact', 'Symbol'.
func (x *statement) createFunction(ctx context.Context, n *pg.CreateFunctionStmt) (*Result, error) {
	if n.IsProcedure {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "procedures are not supported")
	}
	d := &definition{replace: n.Replace, settings: map[string]string{}}
	names := n.Funcname
	d.name = names[len(names)-1].GetString_().GetSval()
	if len(names) > 1 {
		d.schema = names[len(names)-2].GetString_().GetSval()
	}
	var err error
	if d.schema, err = x.functionSchema(ctx, d.schema); err != nil {
		return nil, err
	}
	if err := x.functionParameters(ctx, d, n); err != nil {
		return nil, err
	}
	if languageOf(n) == "sql" {
		return x.createSQLFunction(ctx, d, n)
	}
	if d.inline.outArgs {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "OUT and INOUT arguments are supported for functions in SQL only").WithHint("Use RETURNS TABLE (…).")
	}
	if n.ReturnType != nil && !d.table {
		if err := x.returnType(d, n.ReturnType); err != nil {
			return nil, err
		}
	}
	if !d.table && n.ReturnType == nil {
		return nil, pgerr.New(pgerr.InvalidFunctionDefinition, "function result type must be specified")
	}
	for _, o := range n.Options {
		if err := x.functionOption(ctx, d, o.GetDefElem()); err != nil {
			return nil, err
		}
	}
	return x.defineFunction(ctx, d, "CREATE FUNCTION")
}

func (x *statement) functionOption(ctx context.Context, d *definition, e *pg.DefElem) error {
	pos := x.st.Pos(e.Location)
	switch e.Defname {
	case "as":
		d.pos = pos
		items := e.Arg.GetList().GetItems()
		d.artifact = items[0].GetString_().GetSval()
		if len(items) > 1 {
			d.symbol = items[1].GetString_().GetSval()
		}
	case "language":
		d.language = e.Arg.GetString_().GetSval()
	case "volatility":
		d.volatility = e.Arg.GetString_().GetSval()
	case "window":
		d.window = e.Arg.GetBoolean().GetBoolval()
	case "strict":
		v := e.Arg.GetBoolean().GetBoolval()
		d.strict = &v
	case "security":
		d.definer = e.Arg.GetBoolean().GetBoolval()
	case "cost", "rows":
		v, err := numericOption(e)
		if err != nil || !(v > 0) {
			return pgerr.New(pgerr.InvalidParameterValue, "%s must be positive", strings.ToUpper(e.Defname)).At(pos)
		}
		if e.Defname == "cost" {
			d.cost = v
		} else {
			d.rows = v
		}
	case "parallel", "leakproof":
		// Accepted: how a function is run is decided by measurement, and it
		// always runs in a process of its own.
	case "set":
		return x.functionSetting(ctx, d, e.Arg.GetVariableSetStmt(), pos)
	default:
		return pgerr.New(pgerr.FeatureNotSupported, "function option %s is not supported", strings.ToUpper(e.Defname)).At(pos)
	}
	return nil
}

// numericOption is the number of COST and ROWS.
func numericOption(e *pg.DefElem) (float64, error) {
	if f := e.Arg.GetFloat(); f != nil {
		return strconv.ParseFloat(f.Fval, 64)
	}
	return float64(e.Arg.GetInteger().GetIval()), nil
}

// functionSetting is SET volley.memory = '64MB' and SET volley.timeout = '10s'.
func (x *statement) functionSetting(ctx context.Context, d *definition, v *pg.VariableSetStmt, pos int) error {
	val, err := x.setValue(ctx, v)
	if err != nil {
		return err
	}
	return d.limit(v.Name, val, pos)
}

func (d *definition) limit(name, val string, pos int) error {
	if known, err := checkUDFSetting(name, val); known {
		if err != nil {
			return pgerr.From(err).At(pos)
		}
		if d.settings == nil {
			d.settings = map[string]string{}
		}
		d.settings[name] = val
		return nil
	}
	unit := map[string]string{"volley.memory": "B", "volley.timeout": "ms"}[name]
	if unit == "" {
		return pgerr.New(pgerr.UndefinedObject, "a function has no setting %q", name).
			WithHint("There are volley.memory, volley.timeout, volley.on_error and volley.concurrency.").At(pos)
	}
	n, err := parseUnits(val, unit)
	if err != nil || n <= 0 {
		return pgerr.New(pgerr.InvalidParameterValue, "invalid value for %s: %q", name, val).WithHint("Examples: '64MB', '10s'.").At(pos)
	}
	if name == "volley.memory" {
		d.memory = n
	} else {
		d.timeout = time.Duration(n) * time.Millisecond
	}
	if d.settings == nil {
		d.settings = map[string]string{}
	}
	d.settings[name] = val
	return nil
}

// defineFunction checks a definition against its artifact and stores it.
func (x *statement) defineFunction(ctx context.Context, d *definition, tag string) (*Result, error) {
	if err := x.mayDefine(d); err != nil {
		return nil, err
	}
	d.language = strings.ToLower(d.language)
	switch d.language {
	case "go", "wasm", "python", "grpc":
	case "":
		return nil, pgerr.New(pgerr.InvalidFunctionDefinition, "no language specified").WithHint("Languages are go, python, sql, wasm and grpc.")
	case "plpgsql", "c", "internal", "plpython3u", "plpythonu":
		return nil, pgerr.New(pgerr.FeatureNotSupported, "language %q is not supported", d.language).WithHint("Languages are go, python, sql, wasm and grpc.")
	default:
		return nil, pgerr.New(pgerr.UndefinedObject, "language %q does not exist", d.language).WithHint("Languages are go, python, sql, wasm and grpc.")
	}
	if d.artifact == "" {
		return nil, pgerr.New(pgerr.InvalidFunctionDefinition, "no artifact specified").WithHint("AS 'name@sha256:…', 'Symbol' names a build that volley udf push has uploaded.")
	}
	store := x.s.c.cfg.Artifacts
	x.hold(store.Hold())
	if d.language == "wasm" && udf.IsSource(d.artifact) {
		// Not compiled first and refused then: a build runs what it has built, and
		// this language is for those, too, who may not run native code.
		return nil, pgerr.New(pgerr.FeatureNotSupported, "source in language wasm is not supported").
			WithHint("Build an artifact with volley udf build --runtime wasm, or write LANGUAGE go.").At(d.pos)
	}
	if d.inline.source = ""; d.language == "go" && udf.IsSource(d.artifact) {
		if err := x.buildInline(ctx, d); err != nil {
			return nil, err
		}
	}
	digest, err := x.artifactOf(ctx, d)
	if err != nil {
		return nil, pgerr.From(err).At(d.pos)
	}
	x.keepArtifact(digest)
	m, err := store.Manifest(digest)
	if err != nil {
		return nil, pgerr.From(err).At(d.pos)
	}
	if have := manifestLanguage(m); have != d.language {
		return nil, pgerr.New(pgerr.InvalidFunctionDefinition, "artifact %q is not of language %s", d.artifact, d.language).
			WithHint("Write LANGUAGE %s.", have).At(d.pos)
	}
	if d.symbol == "" {
		d.symbol = d.name
		if _, ok := m.Function(d.symbol); !ok && len(m.Functions) == 1 {
			d.symbol = m.Functions[0].Name
		}
	}
	mf, ok := m.Function(d.symbol)
	if !ok {
		var have []string
		for _, f := range m.Functions {
			have = append(have, f.Name)
		}
		return nil, pgerr.New(pgerr.UndefinedFunction, "artifact %q has no function %q", d.artifact, d.symbol).
			WithHint("It has %s.", strings.Join(have, ", ")).At(d.pos)
	}
	kind := function.Scalar
	switch {
	case d.aggregate:
		kind = function.Aggregate
	case d.table:
		if err := d.tableKind(mf); err != nil {
			return nil, pgerr.From(err).At(d.pos)
		}
		kind = kindOfTable(mf)
	case d.window || mf.Kind == "window":
		kind = function.Window
	}
	if d.aggregate && d.returns.ID == types.Invalid && mf.Returns != nil {
		t, ok := udf.SQLType(*mf.Returns)
		if ok {
			d.returns = t
		}
	}
	var argTypes []types.Type
	for _, a := range d.args {
		argTypes = append(argTypes, a.Type)
	}
	var cols []vector.Field
	for _, c := range d.columns {
		cols = append(cols, vector.Field{Name: c.Name, Type: c.Type})
	}
	if err := udf.CheckSignature(m, mf.Name, kind, argTypes, d.returns, cols); err != nil {
		return nil, pgerr.From(err).At(d.pos)
	}
	if err := d.nullInput(mf, kind); err != nil {
		return nil, pgerr.From(err).At(d.pos)
	}
	if _, err := udf.RunGolden(ctx, store, digest, mf.Name); err != nil {
		return nil, pgerr.From(err).At(d.pos)
	}
	vol := mf.Volatility
	if d.volatility != "" {
		vol = strings.ToLower(d.volatility)
	}
	v, ok := map[string]function.Volatility{"immutable": function.Immutable, "stable": function.Stable, "volatile": function.Volatile}[vol]
	if !ok {
		return nil, pgerr.New(pgerr.InvalidFunctionDefinition, "volatility %q is not immutable, stable or volatile", vol)
	}
	if err := settingsOfKind(kind, d.settings); err != nil {
		return nil, pgerr.From(err).At(d.pos)
	}
	def := catalog.FunctionDef{Schema: d.schema, Name: d.name, Kind: catalog.FuncKind(kind), Args: d.args, Returns: d.returns, Columns: d.columns,
		SetOf: d.table, Language: d.language, Digest: digest, Symbol: mf.Name, Source: d.sourceText(), Variadic: d.inline.variadic, Volatility: uint8(v),
		MemoryLimit: d.memory, Timeout: d.timeout, Settings: d.settings, Owner: x.s.o.User, Cost: d.cost, Rows: d.rows, SecurityDefiner: d.definer}
	if d.strict != nil {
		def.Strict = *d.strict
	}
	if d.table {
		def.Returns = types.T(types.Record)
		if kind == function.Table && len(d.columns) == 1 {
			def.Returns = d.columns[0].Type
		}
	}
	for _, a := range d.args {
		if err := storable(a.Name, a.Type); err != nil {
			return nil, err
		}
	}
	for _, b := range function.Lookup(d.name) {
		if b.Schema == "pg_catalog" && sameTypes(b.Args, argTypes) {
			x.s.notice("WARNING", "00000", "function "+d.name+" is hidden by the built-in function of the same name and arguments",
				"Call it with its schema: "+d.schema+"."+d.name+".")
			break
		}
	}
	manifest, err := json.Marshal(m)
	if err != nil {
		return nil, pgerr.Wrap(err, pgerr.InternalError, "manifest")
	}
	err = x.change(ctx, func(tx *catalog.Tx) error {
		if err := tx.PutArtifact(catalog.Artifact{Digest: digest, Name: m.Name, Manifest: manifest, Owner: x.s.o.User}); err != nil {
			return err
		}
		return x.putFunction(tx, def, d.replace)
	})
	if err != nil {
		return nil, err
	}
	return done(tag), nil
}

// nullInput settles whether a function is STRICT. One that cannot be given NULL in any
// argument is, unless the definition says otherwise, which it may not: CALLED ON NULL
// INPUT is for functions that take NULL in all arguments. Between the two, rows with
// NULL where it is not taken give NULL without a call.
func (d *definition) nullInput(mf *udf.ManifestFunction, kind function.Kind) error {
	if kind != function.Scalar && kind != function.Table || len(mf.Args) == 0 {
		return nil
	}
	if d.strict == nil {
		strict := kind == function.Scalar && takesNoNull(mf)
		d.strict = &strict
		return nil
	}
	if *d.strict {
		return nil
	}
	return takesNull(mf)
}

// takesNoNull reports functions that cannot be given NULL in any argument.
func takesNoNull(mf *udf.ManifestFunction) bool {
	for _, a := range mf.Args {
		if a.Nullable {
			return false
		}
	}
	return len(mf.Args) > 0
}

// takesNull refuses CALLED ON NULL INPUT for a function that cannot be given NULL.
func takesNull(mf *udf.ManifestFunction) error {
	for i, a := range mf.Args {
		if a.Nullable {
			continue
		}
		name := ""
		if a.Name != "" {
			name = " (" + a.Name + ")"
		}
		return pgerr.New(pgerr.InvalidFunctionDefinition, "function %q cannot be CALLED ON NULL INPUT: its argument %d%s takes no NULL", mf.Name, i+1, name).
			WithDetail("In the artifact: %s.", udf.Signature(mf)).
			WithHint("Make the argument a type that holds NULL (udf.Null in Go), or leave CALLED ON NULL INPUT out: then rows with NULL there give NULL without a call.")
	}
	return nil
}

// mayDefine checks that the user may create a function in its language, and
// replace the one that is there.
func (x *statement) mayDefine(d *definition) error {
	if err := x.mayUseLanguage(d.language); err != nil {
		return err
	}
	var args []types.Type
	for _, a := range d.args {
		args = append(args, a.Type)
	}
	if old := x.snap.Function(d.schema, d.name, args); old != nil && d.replace {
		return x.mustOwnFunction(old)
	}
	return nil
}

// putFunction stores a function or its next version. Where a pin keeps that one
// from being called the client is told.
func (x *statement) putFunction(tx *catalog.Tx, def catalog.FunctionDef, replace bool) error {
	f, err := tx.CreateFunction(def, replace)
	if err != nil {
		return x.unqualified(err)
	}
	if f.Pinned != 0 && f.Pinned != f.Version {
		x.s.notice("NOTICE", "00000", fmt.Sprintf("function %s keeps version %d, and this one is %d", f.Signature(), f.Pinned, f.Version),
			"ALTER FUNCTION … RESET volley.version takes the newest.")
	}
	return nil
}

func sameTypes(a, b []types.Type) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !a[i].Same(b[i]) {
			return false
		}
	}
	return true
}

// mayUpload checks that the user may use the language of an artifact, and its name:
// CREATE FUNCTION and CREATE EXTENSION find artifacts by name, and what one role has
// uploaded must not take the place of another's.
func (x *statement) mayUpload(data []byte) error {
	if x.superuser() {
		return nil
	}
	m, err := udf.ManifestOf(bytes.NewReader(data))
	if err != nil {
		return err
	}
	if err := x.mayUseLanguage(manifestLanguage(m)); err != nil {
		return err
	}
	sum := sha256.Sum256(data)
	if x.snap.Artifact("sha256:"+hex.EncodeToString(sum[:])) != nil {
		return nil // it is there
	}
	for _, a := range x.snap.Artifacts() {
		if a.Name == m.Name && a.Owner != x.s.o.User {
			return pgerr.New(pgerr.InsufficientPrivilege, "permission denied to upload an artifact named %q", m.Name).
				WithDetail("Role %q has artifacts of this name.", a.Owner)
		}
	}
	return nil
}

// putArtifact stores an uploaded artifact with its signatures, as volley udf sign
// writes them, and returns name@digest.
func (x *statement) putArtifact(ctx context.Context, data []byte, signatures string) (string, error) {
	store := x.s.c.cfg.Artifacts
	list, err := udf.ParseSignatures([]byte(signatures))
	if err != nil {
		return "", err
	}
	if err := x.mayUpload(data); err != nil {
		return "", err
	}
	x.hold(store.Hold())
	digest, err := store.Put(ctx, bytes.NewReader(data), list...)
	if err != nil {
		return "", err
	}
	m, err := store.Manifest(digest)
	if err != nil {
		return "", err
	}
	manifest, err := json.Marshal(m)
	if err != nil {
		return "", pgerr.Wrap(err, pgerr.InternalError, "manifest")
	}
	err = x.change(ctx, func(tx *catalog.Tx) error {
		return tx.PutArtifact(catalog.Artifact{Digest: digest, Name: m.Name, Size: int64(len(data)), Manifest: manifest, Owner: x.s.o.User})
	})
	return m.Name + "@" + digest, err
}
