package coordinator

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/catalog"
	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/planner"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/udf/sdk/wire"
)

// pin is one item of the setting volley.function_versions.
type pin struct {
	schema, name string // schema "" is any
	version      int
}

// parsePins reads volley.function_versions: public.score=2, g=1.
func parsePins(v string) ([]pin, error) {
	var out []pin
	for _, item := range strings.Split(v, ",") {
		if strings.TrimSpace(item) == "" {
			continue
		}
		name, number, ok := strings.Cut(item, "=")
		n, err := strconv.Atoi(strings.TrimSpace(number))
		parts := splitQualified(strings.TrimSpace(name))
		if !ok || err != nil || n < 1 || len(parts) == 0 || len(parts) > 2 {
			return nil, pgerr.New(pgerr.InvalidParameterValue, "invalid value for parameter \"volley.function_versions\": %q", v).
				WithHint("Write functions and the numbers of their versions: 'public.score=2, g=1'.")
		}
		p := pin{name: parts[len(parts)-1], version: n}
		if len(parts) == 2 {
			p.schema = parts[0]
		}
		out = append(out, p)
	}
	return out, nil
}

func checkPins(v string) (string, error) {
	_, err := parsePins(v)
	return v, err
}

// splitQualified splits a possibly quoted schema.name; nil when it is none.
func splitQualified(s string) []string {
	var out []string
	for s != "" {
		var part string
		if s[0] == '"' {
			end := strings.IndexByte(s[1:], '"')
			if end < 0 {
				return nil
			}
			part, s = s[1:end+1], s[end+2:]
		} else {
			i := strings.IndexByte(s, '.')
			if i < 0 {
				i = len(s)
			}
			part, s = strings.ToLower(strings.TrimSpace(s[:i])), s[i:]
		}
		if part == "" {
			return nil
		}
		out = append(out, part)
		if s == "" {
			return out
		}
		if s[0] != '.' || len(s) == 1 {
			return nil
		}
		s = s[1:]
	}
	return nil
}

// pinned is the version that the session chose for a function, 0 for none.
func (n *names) pinned(d *catalog.FunctionDef) int {
	if !n.pinsRead {
		n.pins, _ = parsePins(n.s.settings.get("volley.function_versions")) // checked by SET
		n.pinsRead = true
	}
	for _, p := range n.pins {
		if p.name == d.Name && (p.schema == "" || p.schema == d.Schema) {
			return p.version
		}
	}
	return 0
}

// Functions returns the functions of a name as the statement sees them: the
// version that the name says ("f@2"), else the one the session has pinned, else
// the current one with its canary.
func (n *names) Functions(schema, name string) []*function.Function {
	if n.rp != nil {
		return n.rp.functions(n, schema, name)
	}
	schemas := []string{schema}
	if schema == "" {
		schemas = n.view.SearchPath
	} else {
		schemas[0] = n.s.schema(schema)
	}
	base, version, versioned := catalog.SplitVersion(name)
	var out []*function.Function
	for _, sc := range schemas {
		for _, d := range n.snap.Functions(sc, base) {
			use := version
			if !versioned {
				use = n.pinned(d)
			}
			if use == 0 {
				f := n.function(d)
				c := n.snap.FunctionVersion(d.OID, d.CanaryVersion)
				if c != nil && f.Kind == function.Scalar && f.Canary == nil {
					f.Canary = &function.Canary{F: n.arm(c), Share: d.CanaryShare}
				}
				n.rec.candidate(sc, base, d, f, c, true)
				out = append(out, f)
			} else if v := n.snap.FunctionVersion(d.OID, use); v != nil {
				n.rec.candidate(sc, base, v, n.arm(v), nil, false)
				out = append(out, n.arm(v))
			}
		}
	}
	return unhidden(out)
}

// unhidden leaves out the functions that others of the same arguments, earlier in the
// search path, hide.
func unhidden(fs []*function.Function) []*function.Function {
	out := fs[:0]
	for _, f := range fs {
		if !slices.ContainsFunc(out, func(g *function.Function) bool { return slices.EqualFunc(g.Args, f.Args, types.Type.Same) }) {
			out = append(out, f)
		}
	}
	return out
}

// function gives one value for each version in a statement, so that two calls of
// it are seen to be the same.
func (n *names) function(d *catalog.FunctionDef) *function.Function {
	if n.made == nil {
		n.made, n.arms = map[*catalog.FunctionDef]*function.Function{}, map[*catalog.FunctionDef]*function.Function{}
	}
	f := n.made[d]
	if f == nil {
		f = functionOf(d)
		n.made[d] = f
		n.parts(f, d)
	}
	return f
}

// arm is a version that was chosen, whatever canary its function has.
func (n *names) arm(d *catalog.FunctionDef) *function.Function {
	if n.made == nil {
		n.function(d)
	}
	f := n.arms[d]
	if f == nil {
		f = functionOf(d)
		n.arms[d] = f
		n.parts(f, d)
	}
	return f
}

// UseFunction checks that a role may call a function, and notes that the
// statement does.
func (n *names) UseFunction(f *function.Function, role string, direct bool) error {
	if direct && n.uses != nil {
		n.uses[f.OID] = true
	}
	n.rec.called(f)
	if role == "" {
		if role = n.s.o.User; n.rp != nil {
			role = n.rp.caller
		}
	}
	if n.rp != nil && n.snap.FunctionByOID(f.OID) == nil {
		return n.rp.mayCall(n, f, role)
	}
	if n.snap.HasPrivilege(role, f.OID, "EXECUTE") {
		return nil
	}
	kind, name := "function", f.Name
	if f.Kind == function.Aggregate {
		kind = "aggregate"
	}
	if d := n.snap.FunctionByOID(f.OID); d != nil {
		name = d.Name
	}
	return pgerr.New(pgerr.InsufficientPrivilege, "permission denied for %s %s", kind, name)
}

// FunctionHint says that a function has no such version.
func (n *names) FunctionHint(schema, name string) string {
	schemas := []string{schema}
	if schema == "" {
		schemas = n.view.SearchPath
	} else {
		schemas[0] = n.s.schema(schema)
	}
	base, _, versioned := catalog.SplitVersion(name)
	for _, sc := range schemas {
		for _, d := range n.snap.Functions(sc, base) {
			vs := n.snap.FunctionVersions(d.OID)
			have := fmt.Sprintf("%s has versions 1 to %d.", d.Signature(), vs[len(vs)-1].Version)
			if len(vs) == 1 {
				have = fmt.Sprintf("%s has version 1 only.", d.Signature())
			}
			if versioned {
				return "Function " + have
			}
			if v := n.pinned(d); v > 0 {
				return fmt.Sprintf("The setting volley.function_versions asks for version %d, and function %s", v, have)
			}
		}
	}
	return ""
}

// mustOwn is 42501 unless the session's user owns an object.
func (x *statement) mustOwn(oid uint32, kind, name string) error {
	if x.snap.Owns(x.s.o.User, oid) {
		return nil
	}
	return pgerr.New(pgerr.InsufficientPrivilege, "must be owner of %s %s", kind, name)
}

func (x *statement) mustOwnFunction(f *catalog.FunctionDef) error {
	kind := "function"
	if f.Kind == catalog.FuncAggregate {
		kind = "aggregate"
	}
	return x.mustOwn(f.OID, kind, f.Name)
}

// alterFunction is ALTER FUNCTION f(args) IMMUTABLE, COST 10, SET volley.version = '2', ….
func (x *statement) alterFunction(ctx context.Context, n *pg.AlterFunctionStmt) (*Result, error) {
	if n.Objtype == pg.ObjectType_OBJECT_PROCEDURE {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "procedures are not supported")
	}
	tag := "ALTER " + strings.TrimPrefix(n.Objtype.String(), "OBJECT_")
	// Aggregates have versions, too, and ALTER AGGREGATE has no SET.
	f, err := x.findFunction(x.snap, n.Func, pg.ObjectType_OBJECT_ROUTINE)
	if err != nil {
		return nil, err
	}
	if err := x.mustOwnFunction(f); err != nil {
		return nil, err
	}
	var ops []func(tx *catalog.Tx) error
	alter := func(change func(f *catalog.FunctionDef)) {
		ops = append(ops, func(tx *catalog.Tx) error { return tx.AlterFunction(f.OID, change) })
	}
	for _, a := range n.Actions {
		e := a.GetDefElem()
		if e.Defname == "set" {
			v := e.Arg.GetVariableSetStmt()
			op, err := x.alterFunctionSetting(ctx, f, v, x.st.Pos(e.Location))
			if err != nil {
				return nil, err
			}
			ops = append(ops, op)
			continue
		}
		var d definition
		if err := x.functionOption(ctx, &d, e); err != nil {
			return nil, err
		}
		switch e.Defname {
		case "volatility":
			v := slices.Index([]string{"immutable", "stable", "volatile"}, strings.ToLower(d.volatility))
			alter(func(f *catalog.FunctionDef) { f.Volatility = uint8(v) })
		case "strict":
			if !*d.strict && f.Digest != "" && (f.Kind == catalog.FuncScalar || f.Kind == catalog.FuncTable) {
				if m, err := x.s.c.cfg.Artifacts.Manifest(f.Digest); err == nil {
					if mf, ok := m.Function(f.Symbol); ok {
						if err := takesNull(mf); err != nil {
							return nil, err
						}
					}
				}
			}
			alter(func(f *catalog.FunctionDef) { f.Strict = *d.strict })
		case "cost":
			alter(func(f *catalog.FunctionDef) { f.Cost = d.cost })
		case "rows":
			if !f.SetOf {
				return nil, pgerr.New(pgerr.InvalidParameterValue, "ROWS is not applicable when function does not return a set")
			}
			alter(func(f *catalog.FunctionDef) { f.Rows = d.rows })
		case "security":
			alter(func(f *catalog.FunctionDef) {
				f.SecurityDefiner = d.definer
				path := f.Settings["search_path"]
				if keptPath(path) {
					path = ""
				}
				setBodyPath(f, path, x.definerPath())
			})
		}
	}
	err = x.change(ctx, func(tx *catalog.Tx) error {
		for _, op := range ops {
			if err := op(tx); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return done(tag), nil
}

// alterFunctionSetting is SET and RESET in ALTER FUNCTION.
func (x *statement) alterFunctionSetting(ctx context.Context, f *catalog.FunctionDef, v *pg.VariableSetStmt, pos int) (func(tx *catalog.Tx) error, error) {
	name := strings.ToLower(v.Name)
	reset := v.Kind == pg.VariableSetKind_VAR_RESET || v.Kind == pg.VariableSetKind_VAR_SET_DEFAULT
	if v.Kind == pg.VariableSetKind_VAR_RESET_ALL {
		return func(tx *catalog.Tx) error {
			if err := tx.UseFunctionVersion(f.OID, 0); err != nil {
				return err
			}
			if err := tx.SetCanary(f.OID, 0, 0); err != nil {
				return err
			}
			return tx.AlterFunction(f.OID, func(f *catalog.FunctionDef) {
				f.MemoryLimit, f.Timeout, f.Settings = 0, 0, nil
				setBodyPath(f, "", x.definerPath())
			})
		}, nil
	}
	if name == "search_path" && f.Language == "sql" {
		path, err := x.bodyPath(v, pos)
		if err != nil {
			return nil, err
		}
		return func(tx *catalog.Tx) error {
			return tx.AlterFunction(f.OID, func(f *catalog.FunctionDef) { setBodyPath(f, path, x.definerPath()) })
		}, nil
	}
	if v.Kind == pg.VariableSetKind_VAR_SET_CURRENT {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "SET … FROM CURRENT is not supported").At(pos)
	}
	val := ""
	if !reset {
		var err error
		if val, err = x.setValue(ctx, v); err != nil {
			return nil, err
		}
	}
	switch name {
	case "volley.version":
		version := 0
		if !reset {
			var err error
			if version, err = strconv.Atoi(strings.TrimSpace(val)); err != nil || version < 1 {
				return nil, pgerr.New(pgerr.InvalidParameterValue, "invalid value for volley.version: %q", val).
					WithHint("It is the number of a version of the function; RESET volley.version takes the newest.").At(pos)
			}
		}
		return func(tx *catalog.Tx) error { return tx.UseFunctionVersion(f.OID, version) }, nil
	case "volley.canary":
		if reset || strings.TrimSpace(val) == "" {
			return func(tx *catalog.Tx) error { return tx.SetCanary(f.OID, 0, 0) }, nil
		}
		version, share, err := parseCanary(val)
		if err != nil {
			return nil, pgerr.From(err).At(pos)
		}
		if f.Kind != catalog.FuncScalar || f.Language == "sql" {
			return nil, pgerr.New(pgerr.FeatureNotSupported, "a canary of %s is not supported", f.Signature()).
				WithHint("Only scalar functions that are not in LANGUAGE sql can have one.").At(pos)
		}
		return func(tx *catalog.Tx) error { return tx.SetCanary(f.OID, version, share) }, nil
	}
	if reset {
		var d definition
		if err := d.knownLimit(name, pos); err != nil {
			return nil, err
		}
		return func(tx *catalog.Tx) error {
			return tx.AlterFunction(f.OID, func(f *catalog.FunctionDef) {
				switch name {
				case "volley.memory":
					f.MemoryLimit = 0
				case "volley.timeout":
					f.Timeout = 0
				}
				f.Settings = without(f.Settings, name)
			})
		}, nil
	}
	var d definition
	if err := d.limit(name, val, pos); err != nil {
		return nil, err
	}
	if f.Language == "sql" {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "setting %s of a function in SQL is not supported", name).At(pos)
	}
	if err := settingsOfKind(function.Kind(f.Kind), d.settings); err != nil {
		return nil, pgerr.From(err).At(pos)
	}
	if name == "volley.batch_rows" {
		m, err := x.s.c.cfg.Artifacts.Manifest(f.Digest)
		if err != nil {
			return nil, err
		}
		if mf, ok := m.Function(f.Symbol); !ok || mf.Contract != wire.ContractRows {
			return nil, pgerr.New(pgerr.InvalidFunctionDefinition, "volley.batch_rows is for functions that take batches of rows, and %q takes groups", f.Symbol).At(pos)
		}
	}
	return func(tx *catalog.Tx) error {
		return tx.AlterFunction(f.OID, func(f *catalog.FunctionDef) {
			if d.memory > 0 {
				f.MemoryLimit = d.memory
			}
			if d.timeout > 0 {
				f.Timeout = d.timeout
			}
			f.Settings = without(f.Settings, name)
			for k, s := range d.settings {
				f.Settings[k] = s
			}
		})
	}, nil
}

// without copies settings without one.
func without(m map[string]string, name string) map[string]string {
	out := map[string]string{}
	for k, v := range m {
		if k != name {
			out[k] = v
		}
	}
	return out
}

// knownLimit is an error for a setting that functions do not have.
func (d *definition) knownLimit(name string, pos int) error {
	for _, val := range []string{"1MB", "1s", "1", "fail"} { // a value of each kind
		err := d.limit(name, val, pos)
		if err == nil {
			return nil
		}
		if pgerr.Code(err) == pgerr.UndefinedObject {
			return err
		}
	}
	return nil
}

// parseCanary reads volley.canary: 3:5%.
func parseCanary(val string) (version int, share uint32, err error) {
	bad := pgerr.New(pgerr.InvalidParameterValue, "invalid value for volley.canary: %q", val).
		WithHint("Write the number of a version and its share of the rows: '3:5%%'.")
	number, percent, ok := strings.Cut(strings.TrimSpace(val), ":")
	percent, isPercent := strings.CutSuffix(strings.TrimSpace(percent), "%")
	version, e1 := strconv.Atoi(strings.TrimSpace(number))
	p, e2 := strconv.ParseFloat(strings.TrimSpace(percent), 64)
	if !ok || !isPercent || e1 != nil || e2 != nil || version < 1 || !(p > 0 && p <= 100) {
		return 0, 0, bad
	}
	share = uint32(p*(catalog.WholeShare/100) + 0.5)
	if share == 0 {
		return 0, 0, bad.WithDetail("The least share is 0.01%%.")
	}
	return version, share, nil
}

// renameFunction is ALTER FUNCTION … RENAME TO.
func (x *statement) renameFunction(ctx context.Context, n *pg.RenameStmt) (*Result, error) {
	f, err := x.findFunction(x.snap, n.Object.GetObjectWithArgs(), n.RenameType)
	if err != nil {
		return nil, err
	}
	if err := x.mustOwnFunction(f); err != nil {
		return nil, err
	}
	if err := x.change(ctx, func(tx *catalog.Tx) error { return tx.RenameFunction(f.OID, f.Schema, n.Newname) }); err != nil {
		return nil, err
	}
	return done("ALTER " + strings.TrimPrefix(n.RenameType.String(), "OBJECT_")), nil
}

func functionObject(t pg.ObjectType) bool {
	return t == pg.ObjectType_OBJECT_FUNCTION || t == pg.ObjectType_OBJECT_AGGREGATE || t == pg.ObjectType_OBJECT_ROUTINE
}

// alterSchema is ALTER FUNCTION … SET SCHEMA.
func (x *statement) alterSchema(ctx context.Context, n *pg.AlterObjectSchemaStmt) (*Result, error) {
	if !functionObject(n.ObjectType) {
		return nil, unsupportedStatement(x.st)
	}
	f, err := x.findFunction(x.snap, n.Object.GetObjectWithArgs(), n.ObjectType)
	if err != nil {
		return nil, err
	}
	if err := x.mustOwnFunction(f); err != nil {
		return nil, err
	}
	if strings.HasPrefix(f.Schema, tempPrefix) || n.Newschema == tempAlias {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "cannot move objects into or out of temporary schemas")
	}
	schema, err := x.newSchema(n.Newschema, 0)
	if err != nil {
		return nil, err
	}
	if schema != f.Schema {
		if err := x.change(ctx, func(tx *catalog.Tx) error { return tx.RenameFunction(f.OID, schema, f.Name) }); err != nil {
			return nil, err
		}
	}
	return done("ALTER " + strings.TrimPrefix(n.ObjectType.String(), "OBJECT_")), nil
}

// alterOwner is ALTER FUNCTION … OWNER TO.
func (x *statement) alterOwner(ctx context.Context, n *pg.AlterOwnerStmt) (*Result, error) {
	if !functionObject(n.ObjectType) {
		return nil, unsupportedStatement(x.st)
	}
	f, err := x.findFunction(x.snap, n.Object.GetObjectWithArgs(), n.ObjectType)
	if err != nil {
		return nil, err
	}
	if err := x.mustOwnFunction(f); err != nil {
		return nil, err
	}
	to, err := x.roleName(n.Newowner)
	if err != nil {
		return nil, err
	}
	if !x.snap.IsMember(x.s.o.User, to) {
		return nil, pgerr.New(pgerr.InsufficientPrivilege, "must be member of role %q", to)
	}
	if err := x.change(ctx, func(tx *catalog.Tx) error { return tx.AlterOwner(f.OID, to) }); err != nil {
		return nil, err
	}
	return done("ALTER " + strings.TrimPrefix(n.ObjectType.String(), "OBJECT_")), nil
}

var _ planner.FunctionGuard = (*names)(nil)
