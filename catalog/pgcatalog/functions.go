package pgcatalog

import (
	"cmp"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/volleydb/volley/catalog"
	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// procRow is a row of pg_proc: a built-in, a support function, or one of users'.
type procRow struct {
	oid, schemaOID, ownerOID uint32
	schema, name, owner      string
	lang                     uint32
	language                 string
	kind                     byte // prokind: f, a, w
	args                     []uint32
	ret                      uint32
	retSet                   bool
	variadic                 uint32 // element type, 0 = not variadic
	// all, modes and argNames describe every argument and, with mode t, the
	// columns of RETURNS TABLE, or with mode o those of a built-in set. all and
	// modes are nil without such columns, argNames without any name.
	all           []uint32
	modes         []string
	argNames      []string
	defaults      []string // SQL expressions of the last arguments
	volatility    byte     // i, s, v
	strict        bool
	parallel      byte   // s, r
	source, probe string // prosrc, probin
	config        []string
	view          *View // of users' functions, for acl
	comment       string
	def           *catalog.FunctionDef // of users' functions
	db            string               // the database, in rows of information_schema
	mine          bool                 // likewise: the user belongs to the owner
}

func (p *procRow) aggregate() bool { return p.kind == 'a' }

// acl is made only where it is asked for: it reads all grants.
func (p *procRow) acl() []string {
	if p.view == nil {
		return nil
	}
	return p.view.acl(p.oid, p.owner, functionPrivileges)
}

// rowCount is prorows, the planner's guess for a set.
func (p *procRow) rowCount() float32 {
	switch {
	case !p.retSet:
		return 0
	case p.def != nil && p.def.Rows > 0:
		return float32(p.def.Rows)
	}
	return expectedSetRows
}

// cost is procost.
func (p *procRow) cost() float32 {
	switch {
	case p.def == nil:
		return 1
	case p.def.Cost > 0:
		return float32(p.def.Cost)
	}
	return 100
}

var prokinds = map[function.Kind]byte{function.Scalar: 'f', function.Aggregate: 'a', function.Window: 'w', function.Table: 'f', function.GroupedMap: 'f'}

const volatilities = "isv"

// columnsOf enters the columns of the result, with a mode.
func (p *procRow) columnsOf(mode string, cols []vector.Field) {
	if p.argNames == nil {
		p.argNames = make([]string, len(p.args))
	}
	p.argNames = slices.Clone(p.argNames)
	p.all = slices.Clone(p.args)
	for range p.args {
		p.modes = append(p.modes, "i")
	}
	for _, c := range cols {
		p.all = append(p.all, c.Type.OID())
		p.modes = append(p.modes, mode)
		p.argNames = append(p.argNames, c.Name)
	}
	p.ret = types.T(types.Record).OID()
	if len(cols) == 1 {
		p.ret = cols[0].Type.OID()
	}
}

func builtin(f *function.Function) procRow {
	p := procRow{oid: f.OID, schemaOID: catalog.PgCatalogOID, ownerOID: catalog.BootstrapOID, schema: f.Schema, name: f.Name,
		owner: catalog.BootstrapRole, lang: internalLang, language: "internal", kind: prokinds[f.Kind], ret: f.Returns.OID(),
		retSet:     f.Kind == function.Table || f.Kind == function.GroupedMap,
		volatility: volatilities[f.Volatility], strict: f.Strict, parallel: 's', source: f.Name, comment: f.Doc}
	if f.Volatility == function.Volatile {
		p.parallel = 'r'
	}
	switch f.Schema {
	case function.InformationSchema:
		p.schemaOID = catalog.InfoSchemaOID
	case function.VolleySchema:
		p.schemaOID = volleySchemaOID
	}
	for _, a := range f.Args {
		p.args = append(p.args, a.OID())
	}
	if slices.ContainsFunc(f.ArgNames, func(s string) bool { return s != "" }) {
		p.argNames = f.ArgNames
	}
	if f.Variadic {
		last := f.Args[len(f.Args)-1]
		p.variadic = last.OID()
		if a := last.ArrayOID(); a != 0 && last.ID != types.Any {
			p.args[len(p.args)-1] = a
		}
	}
	if len(f.Columns) > 1 || len(f.Columns) == 1 && f.Columns[0].Name != f.Name {
		p.columnsOf("o", f.Columns)
	}
	return p
}

// user is the row of a user's function.
func (v *View) user(f *catalog.FunctionDef) procRow {
	p := procRow{oid: f.OID, schemaOID: v.schemaOID(f.Schema), ownerOID: v.roleOID(f.Owner), schema: f.Schema, name: f.Name,
		owner: f.Owner, lang: languageOID(f.Language), language: f.Language, kind: prokinds[function.Kind(f.Kind)],
		ret: f.Returns.OID(), retSet: f.SetOf || f.Kind == catalog.FuncTable && f.Body == "" || f.Kind == catalog.FuncGroupedMap,
		volatility: volatilities[min(int(f.Volatility), len(volatilities)-1)], strict: f.Strict, parallel: 's',
		source: f.Symbol, probe: f.Digest, view: v, comment: f.Comment, def: f}
	if inline(f) || p.source == "" || f.Body != "" {
		p.source = f.Source
	}
	named := false
	for _, a := range f.Args {
		p.args = append(p.args, a.Type.OID())
		p.argNames = append(p.argNames, a.Name)
		named = named || a.Name != ""
	}
	if !named {
		p.argNames = nil
	}
	if len(f.Columns) > 0 {
		mode := "t"
		if f.OutArgs {
			mode = "o"
		}
		p.columnsOf(mode, catalogFields(f.Columns))
	}
	if n := len(f.Args); f.Variadic && n > 0 {
		if p.variadic = f.Args[n-1].Type.ElemType().OID(); f.Args[n-1].Type.ID == types.AnyArray {
			p.variadic = types.T(types.AnyElement).OID()
		}
		if p.modes != nil {
			p.modes[n-1] = "v"
		}
	}
	for _, a := range f.Args {
		if a.Default != "" {
			p.defaults = append(p.defaults, a.Default)
		}
	}
	if p.ret == 0 {
		p.ret = types.T(types.Record).OID()
	}
	for k, s := range f.Settings {
		p.config = append(p.config, k+"="+s)
	}
	if f.Pinned > 0 {
		p.config = append(p.config, "volley.version="+strconv.Itoa(f.Pinned))
	}
	if c := f.Canary(); c != "" {
		p.config = append(p.config, "volley.canary="+c)
	}
	slices.Sort(p.config)
	return p
}

func catalogFields(cols []catalog.Column) []vector.Field {
	out := make([]vector.Field, len(cols))
	for i, c := range cols {
		out[i] = vector.Field{Name: c.Name, Type: c.Type}
	}
	return out
}

// inline reports whether the AS clause is source text and not an artifact's name.
func inline(f *catalog.FunctionDef) bool { return strings.ContainsAny(f.Source, " \t\n(") }

// languageOID gives a language the OID that it has in Postgres, or one of ours.
func languageOID(name string) uint32 {
	switch name {
	case "internal":
		return internalLang
	case "c":
		return 13
	case "sql":
		return 14
	case "go":
		return goLanguageOID
	case "wasm":
		return goLanguageOID + 1
	case "python":
		return goLanguageOID + 2
	case "grpc":
		return goLanguageOID + 3
	}
	h := fnv.New32a()
	h.Write([]byte(name))
	return goLanguageOID + 4 + h.Sum32()%800
}

// What builtinProcs keeps.
var (
	procsOnce sync.Once
	procRows  []procRow
	procIndex map[uint32]*procRow
	procNames map[string][]*procRow
)

// builtinProcs are the built-in functions, and those that pg_type and pg_cast
// refer to.
func builtinProcs() []procRow {
	procsOnce.Do(func() {
		procIndex, procNames = map[uint32]*procRow{}, map[string][]*procRow{}
		have := map[uint32]bool{}
		for _, f := range function.All() {
			procRows = append(procRows, builtin(f))
			have[f.OID] = true
		}
		for _, f := range function.Procedures() {
			p := procRow{oid: f.OID, schemaOID: volleySchemaOID, ownerOID: catalog.BootstrapOID, schema: f.Schema, name: f.Name,
				owner: catalog.BootstrapRole, lang: internalLang, language: "internal", kind: 'p', ret: types.T(types.Void).OID(),
				volatility: 'v', parallel: 'r', source: f.Name, argNames: f.ArgNames, comment: f.Doc}
			for _, a := range f.Args {
				p.args = append(p.args, a.OID())
			}
			procRows = append(procRows, p)
		}
		fields(supportProcs, func(x []string) {
			p := procRow{oid: number(x[0]), schemaOID: catalog.PgCatalogOID, ownerOID: catalog.BootstrapOID, schema: "pg_catalog",
				name: x[1], owner: catalog.BootstrapRole, lang: internalLang, language: "internal", kind: 'f', args: numbers(x[6:]),
				ret: number(x[5]), volatility: x[2][0], strict: x[3] == "t", parallel: x[4][0], source: x[1]}
			if !have[p.oid] {
				procRows = append(procRows, p)
			}
		})
		slices.SortFunc(procRows, func(a, b procRow) int { return cmp.Compare(a.oid, b.oid) })
		for i := range procRows {
			p := &procRows[i]
			procIndex[p.oid] = p
			procNames[p.name] = append(procNames[p.name], p)
		}
	})
	return procRows
}

// functions are the rows of users' functions.
func (v *View) functions() []procRow {
	var out []procRow
	for _, f := range v.Snapshot.AllFunctions() {
		out = append(out, v.user(f))
	}
	return out
}

// proc finds a function by OID.
func (v *View) proc(oid uint32) (procRow, bool) {
	if f := v.Snapshot.FunctionByOID(oid); f != nil {
		return v.user(f), true
	}
	builtinProcs()
	if p := procIndex[oid]; p != nil {
		return *p, true
	}
	return procRow{}, false
}

// arguments is the text of pg_get_function_arguments.
func (p *procRow) arguments() string {
	var b strings.Builder
	for i, t := range p.everyArgument() {
		if i >= len(p.args) && p.modes[i] == "t" {
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		switch {
		case i >= len(p.args):
			b.WriteString("OUT ")
		case p.variadic != 0 && i == len(p.args)-1:
			b.WriteString("VARIADIC ")
		}
		if i < len(p.argNames) && p.argNames[i] != "" {
			b.WriteString(function.QuoteIdent(p.argNames[i]))
			b.WriteByte(' ')
		}
		b.WriteString(formatType(t))
		if n := i - (len(p.args) - len(p.defaults)); n >= 0 && i < len(p.args) {
			b.WriteString(" DEFAULT " + p.defaults[n])
		}
	}
	return b.String()
}

// everyArgument is the types of the arguments and of the columns of the result.
func (p *procRow) everyArgument() []uint32 {
	if p.all != nil {
		return p.all
	}
	return p.args
}

// result is the text of pg_get_function_result.
func (p *procRow) result() string {
	if p.kind == 'p' {
		return "" // procedures have none
	}
	if n := len(p.args); n < len(p.modes) && p.modes[n] == "t" {
		var cols []string
		for i := n; i < len(p.all); i++ {
			cols = append(cols, function.QuoteIdent(p.argNames[i])+" "+formatType(p.all[i]))
		}
		return "TABLE(" + strings.Join(cols, ", ") + ")"
	}
	if p.retSet {
		return "SETOF " + formatType(p.ret)
	}
	return formatType(p.ret)
}

// definition is the text of pg_get_functiondef: a statement that makes the
// function again.
func (p *procRow) definition() string {
	var b strings.Builder
	kind, returns := "FUNCTION", "\n RETURNS "+p.result()
	if p.kind == 'p' {
		kind, returns = "PROCEDURE", ""
	}
	b.WriteString("CREATE OR REPLACE " + kind + " " + function.QuoteIdent(p.schema) + "." + function.QuoteIdent(p.name) +
		"(" + p.arguments() + ")" + returns + "\n LANGUAGE " + function.QuoteIdent(p.language) + "\n")
	var opts []string
	if p.kind == 'w' {
		opts = append(opts, "WINDOW")
	}
	switch p.volatility {
	case 'i':
		opts = append(opts, "IMMUTABLE")
	case 's':
		opts = append(opts, "STABLE")
	}
	if p.def == nil && p.parallel == 's' {
		opts = append(opts, "PARALLEL SAFE")
	}
	if p.strict {
		opts = append(opts, "STRICT")
	}
	if d := p.def; d != nil {
		if d.SecurityDefiner {
			opts = append(opts, "SECURITY DEFINER")
		}
		if d.Cost > 0 {
			opts = append(opts, "COST "+strconv.FormatFloat(d.Cost, 'g', -1, 64))
		}
		if d.Rows > 0 {
			opts = append(opts, "ROWS "+strconv.FormatFloat(d.Rows, 'g', -1, 64))
		}
	}
	if len(opts) > 0 {
		b.WriteString(" " + strings.Join(opts, " ") + "\n")
	}
	for _, c := range p.config {
		k, s, _ := strings.Cut(c, "=")
		if k == "volley.version" || k == "volley.canary" {
			continue // not of the version that the statement makes
		}
		if k == "search_path" && s != `""` {
			b.WriteString(" SET search_path TO " + s + "\n") // a list of names, not one
			continue
		} else if k == "search_path" {
			s = ""
		}
		b.WriteString(" SET " + settingName(k) + " TO " + literal(s) + "\n")
	}
	if f := p.def; f != nil && f.Body != "" && f.Source == "" {
		return b.String() + "BEGIN ATOMIC\n " + f.Body + ";\nEND\n"
	}
	b.WriteString("AS ")
	if f := p.def; f != nil && !inline(f) && f.Body == "" {
		artifact := f.Source
		if artifact == "" {
			artifact = f.Digest
		}
		b.WriteString(literal(artifact))
		if f.Symbol != "" {
			b.WriteString(", " + literal(f.Symbol))
		}
	} else {
		tag := dollarTag(p.source)
		b.WriteString(tag + p.source + tag)
	}
	return b.String() + "\n"
}

// settingName quotes the parts of a setting's name.
func settingName(s string) string {
	parts := strings.Split(s, ".")
	for i, p := range parts {
		parts[i] = function.QuoteIdent(p)
	}
	return strings.Join(parts, ".")
}

// literal quotes a string for SQL.
func literal(s string) string {
	q := "'" + strings.ReplaceAll(s, "'", "''") + "'"
	if strings.Contains(s, `\`) {
		return "E" + strings.ReplaceAll(q, `\`, `\\`)
	}
	return q
}

// dollarTag returns a dollar quote that does not stand in s.
func dollarTag(s string) string {
	tag := "function"
	for strings.Contains(s, "$"+tag) {
		tag += "x"
	}
	return "$" + tag + "$"
}

// languageRow is a row of pg_language.
type languageRow struct {
	oid         uint32
	name        string
	procedural  bool // not internal
	trusted     bool
	description string
	acl         []string
}

// languages are those of the catalog, and others that users' functions name.
func (v *View) languages() []languageRow {
	var out []languageRow
	for _, l := range v.Snapshot.Languages() {
		out = append(out, languageRow{oid: l.OID, name: l.Name, procedural: l.Name != "internal" && l.Name != "sql", trusted: l.Trusted,
			description: l.Comment, acl: v.acl(l.OID, catalog.BootstrapRole, languagePrivileges)})
	}
	for _, f := range v.Snapshot.AllFunctions() {
		if !slices.ContainsFunc(out, func(r languageRow) bool { return r.name == f.Language }) {
			out = append(out, languageRow{oid: languageOID(f.Language), name: f.Language, procedural: true})
		}
	}
	return out
}

// parts is what an aggregate is made of, nil for others.
func (p *procRow) parts() *catalog.AggDef {
	if p.def == nil {
		return nil
	}
	return p.def.Agg
}

// part is the OID of a function that an aggregate is made of.
func (p *procRow) part(of func(*catalog.AggDef) *catalog.FuncRef) uint32 {
	a := p.parts()
	if a == nil {
		return 0
	}
	r := of(a)
	if r == nil {
		return 0
	}
	if f, ok := function.ByID(r.Builtin); ok {
		return f.OID
	}
	return r.OID
}

func (v *View) aggregates() []procRow { return only(v.functions(), (*procRow).aggregate) }

// functionSources are the tables of pg_catalog about functions.
func functionSources() map[string]source {
	internal := uint32(2281)
	return map[string]source{
		"pg_catalog.pg_proc": &table[procRow]{fixed: builtinProcs, rows: (*View).functions, cols: columns[procRow]{
			"oid":             oid(func(r *procRow) uint32 { return r.oid }),
			"proname":         str(func(r *procRow) string { return r.name }),
			"pronamespace":    oid(func(r *procRow) uint32 { return r.schemaOID }),
			"proowner":        oid(func(r *procRow) uint32 { return r.ownerOID }),
			"prolang":         oid(func(r *procRow) uint32 { return r.lang }),
			"procost":         val((*procRow).cost),
			"prorows":         val((*procRow).rowCount),
			"prosecdef":       val(func(r *procRow) bool { return r.def != nil && r.def.SecurityDefiner }),
			"provariadic":     oid(func(r *procRow) uint32 { return r.variadic }),
			"prokind":         char(func(r *procRow) byte { return r.kind }),
			"proisstrict":     val(func(r *procRow) bool { return r.strict }),
			"proretset":       val(func(r *procRow) bool { return r.retSet }),
			"provolatile":     char(func(r *procRow) byte { return r.volatility }),
			"proparallel":     char(func(r *procRow) byte { return r.parallel }),
			"pronargdefaults": val(func(r *procRow) int16 { return int16(len(r.defaults)) }),
			"pronargs":        val(func(r *procRow) int16 { return int16(len(r.args)) }),
			"prorettype":      oid(func(r *procRow) uint32 { return r.ret }),
			"proargtypes":     oids(func(r *procRow) []uint32 { return r.args }),
			"proallargtypes":  oids(func(r *procRow) []uint32 { return r.all }),
			"proargmodes":     strs(func(r *procRow) []string { return r.modes }),
			"proargnames":     strs(func(r *procRow) []string { return r.argNames }),
			"prosrc":          str(func(r *procRow) string { return r.source }),
			"probin":          strOpt(func(r *procRow) string { return r.probe }),
			"proconfig":       strs(func(r *procRow) []string { return r.config }),
			"proacl":          strs((*procRow).acl),
		}},
		"pg_catalog.pg_aggregate": &table[procRow]{
			fixed: func() []procRow { return only(builtinProcs(), (*procRow).aggregate) },
			rows:  (*View).aggregates,
			cols: columns[procRow]{
				"aggfnoid":        oid(func(r *procRow) uint32 { return r.oid }),
				"aggkind":         letter[procRow]('n'),
				"aggfinalmodify":  letter[procRow]('r'),
				"aggmfinalmodify": letter[procRow]('r'),
				"aggtransfn":      oid(func(r *procRow) uint32 { return r.part(func(a *catalog.AggDef) *catalog.FuncRef { return &a.Step }) }),
				"aggfinalfn":      oid(func(r *procRow) uint32 { return r.part(func(a *catalog.AggDef) *catalog.FuncRef { return a.Final }) }),
				"aggcombinefn":    oid(func(r *procRow) uint32 { return r.part(func(a *catalog.AggDef) *catalog.FuncRef { return a.Combine }) }),
				"aggfinalextra":   val(func(r *procRow) bool { return r.parts() != nil && r.parts().Extra }),
				"agginitval": strOpt(func(r *procRow) string {
					if a := r.parts(); a != nil && a.Init != nil {
						return *a.Init
					}
					return ""
				}),
				"aggtranstype": oid(func(r *procRow) uint32 {
					if a := r.parts(); a != nil {
						return a.State.OID()
					}
					return internal
				}),
			}},
		"pg_catalog.pg_language": &table[languageRow]{rows: (*View).languages, cols: columns[languageRow]{
			"oid":          oid(func(r *languageRow) uint32 { return r.oid }),
			"lanname":      str(func(r *languageRow) string { return r.name }),
			"lanowner":     fixed[languageRow](int64(catalog.BootstrapOID)),
			"lanispl":      val(func(r *languageRow) bool { return r.procedural }),
			"lanpltrusted": val(func(r *languageRow) bool { return r.trusted }),
			"lanplcallfoid": oid(func(r *languageRow) uint32 {
				if r.procedural {
					return r.oid // no function: \dL lists languages that have one
				}
				return 0
			}),
			"lanacl": strs(func(r *languageRow) []string { return r.acl }),
		}},
		"pg_catalog.pg_depend": &table[dependRow]{rows: (*View).depends, cols: columns[dependRow]{
			"classid":     oid(func(r *dependRow) uint32 { return r.class }),
			"objid":       oid(func(r *dependRow) uint32 { return r.obj }),
			"objsubid":    val(func(r *dependRow) int32 { return r.sub }),
			"refclassid":  oid(func(r *dependRow) uint32 { return r.refClass }),
			"refobjid":    oid(func(r *dependRow) uint32 { return r.refObj }),
			"refobjsubid": val(func(r *dependRow) int32 { return r.refSub }),
			"deptype":     char(func(r *dependRow) byte { return r.kind }),
		}},
		"pg_catalog.pg_description": &table[commentRow]{fixed: builtinComments, rows: (*View).comments, cols: columns[commentRow]{
			"objoid":      oid(func(r *commentRow) uint32 { return r.obj }),
			"classoid":    oid(func(r *commentRow) uint32 { return r.class }),
			"objsubid":    val(func(r *commentRow) int32 { return r.sub }),
			"description": str(func(r *commentRow) string { return r.text }),
		}},
	}
}

// builtinComments are the one-line descriptions of built-in functions.
func builtinComments() []commentRow {
	var out []commentRow
	for _, p := range builtinProcs() {
		if p.comment != "" {
			out = append(out, commentRow{p.oid, procClass, 0, p.comment})
		}
	}
	return out
}
