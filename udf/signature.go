package udf

import (
	"fmt"
	"strings"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/udf/sdk/wire"
	"github.com/volleydb/volley/vector"
)

func equalFold(a, b string) bool { return strings.EqualFold(a, b) }

// sqlNames is what a type of the SDK is called in SQL, for messages and for
// CREATE EXTENSION, which writes declarations from manifests.
var sqlNames = map[string]string{
	"bool": "boolean", "int16": "smallint", "int32": "integer", "int64": "bigint",
	"float32": "real", "float64": "double precision", "string": "text", "bytes": "bytea",
	"time": "timestamp", "date": "date", "timestamp": "timestamp", "timestamptz": "timestamptz", "clock": "time",
	"interval": "interval", "uuid": "uuid", "json": "json", "jsonb": "jsonb", "numeric": "numeric",
}

var sqlTypes = map[string]types.ID{
	"bool": types.Bool, "int16": types.Int2, "int32": types.Int4, "int64": types.Int8,
	"float32": types.Float4, "float64": types.Float8, "string": types.Text, "bytes": types.Bytea,
	"time": types.Timestamp, "date": types.Date, "timestamp": types.Timestamp, "timestamptz": types.Timestamptz, "clock": types.Time,
	"interval": types.Interval, "uuid": types.UUID, "json": types.JSON, "jsonb": types.JSONB, "numeric": types.Numeric,
}

// SQLType returns the SQL type that stands for a parameter's type: text for string,
// timestamp for time, a row type without a name for a struct.
func SQLType(p ManifestParam) (types.Type, bool) {
	w, err := wire.ParseType(p.Type)
	if err != nil {
		return types.T(types.Invalid), false
	}
	return sqlType(w), true
}

func sqlType(w *wire.Type) types.Type {
	switch w.Name {
	case "[]":
		return types.ListOf(sqlType(w.Elem))
	case "struct":
		fields := make([]types.RowField, len(w.Fields))
		for i, f := range w.Fields {
			fields[i] = types.RowField{Name: f.Name, Type: sqlType(f.Type)}
		}
		return types.RowOf(fields)
	}
	return types.T(sqlTypes[w.Name])
}

// CheckSignature compares what CREATE FUNCTION declares with what the artifact
// has. Errors are 42P13 with both signatures, 42883 for an unknown symbol, 0A000
// for types that functions in Go cannot have.
func CheckSignature(m *Manifest, symbol string, kind function.Kind, args []types.Type, returns types.Type, columns []vector.Field) error {
	f, ok := m.Function(symbol)
	if !ok {
		var names []string
		for _, g := range m.Functions {
			names = append(names, g.Name)
		}
		return pgerr.New(pgerr.UndefinedFunction, "artifact %q has no function %q", m.Name, symbol).
			WithHint("It has %s.", strings.Join(names, ", "))
	}
	for _, t := range args {
		if _, ok := sdkType(t, false); !ok {
			return errType(t)
		}
	}
	var outs []types.Type
	var wantOut []ManifestParam
	wantKind := ""
	switch kind {
	case function.Scalar, function.Aggregate:
		outs, wantOut = []types.Type{returns}, nil
		wantKind = kindScalar
		if kind == function.Aggregate {
			wantKind = kindAggregate
		}
		if f.Returns != nil {
			wantOut = []ManifestParam{*f.Returns}
		}
	case function.GroupedMap, function.Table:
		wantKind = kindGroupedMap
		if kind == function.Table {
			wantKind = kindTable
		}
		wantOut = f.Columns
		for _, c := range columns {
			outs = append(outs, c.Type)
		}
	case function.Window:
		outs, wantKind = []types.Type{returns}, kindWindow
		if f.Returns != nil {
			wantOut = []ManifestParam{*f.Returns}
		}
	default:
		return pgerr.New(pgerr.InternalError, "a function of kind %d", kind)
	}
	if f.Kind != wantKind {
		e := pgerr.New(pgerr.InvalidFunctionDefinition, "function %q of artifact %q is %s, not %s", f.Name, m.Name, kindText(f.Kind), kindText(wantKind))
		switch f.Kind {
		case kindGroupedMap, kindTable:
			e.Hint = "Declare it with RETURNS TABLE (…)."
		case kindWindow:
			e.Hint = "Declare it with CREATE FUNCTION … RETURNS and a type, and WINDOW."
		case kindAggregate:
			e.Hint = "Declare it with CREATE AGGREGATE."
		default:
			e.Hint = "Declare it with CREATE FUNCTION … RETURNS and a type."
		}
		return e
	}
	for _, t := range outs {
		if _, ok := sdkType(t, true); !ok {
			return errType(t)
		}
	}
	why := ""
	switch {
	case len(args) != len(f.Args):
		why = fmt.Sprintf("It takes %d arguments, not %d.", len(f.Args), len(args))
	case f.Describes && len(outs) > 0:
		why = "It computes its columns from the arguments: declare it with RETURNS SETOF record."
	case len(outs) != len(wantOut):
		why = fmt.Sprintf("It returns %d columns, not %d.", len(wantOut), len(outs))
	}
	for i := 0; why == "" && i < len(args); i++ {
		if !fits(args[i], f.Args[i]) {
			why = fmt.Sprintf("Argument %d is %s, not %s.", i+1, sqlName(f.Args[i]), args[i])
		}
	}
	for i := 0; why == "" && i < len(outs); i++ {
		switch {
		case fits(outs[i], wantOut[i]):
		case kind == function.GroupedMap || kind == function.Table:
			why = fmt.Sprintf("Column %d is %s, not %s.", i+1, sqlName(wantOut[i]), outs[i])
		default:
			why = fmt.Sprintf("It returns %s, not %s.", sqlName(wantOut[i]), outs[i])
		}
	}
	if why == "" {
		return nil
	}
	return pgerr.New(pgerr.InvalidFunctionDefinition, "the declaration does not fit function %q of artifact %q", f.Name, m.Name).
		WithDetail("Declared: %s. In the artifact: %s. %s", declared(f.Name, args, returns, columns, kind), Signature(f), why)
}

func kindText(k string) string {
	switch k {
	case kindAggregate:
		return "an aggregate"
	case kindGroupedMap:
		return "a grouped map"
	case kindTable:
		return "a table function"
	case kindWindow:
		return "a window function"
	}
	return "a scalar function"
}

// fits reports whether a SQL type can stand for a parameter.
func fits(t types.Type, p ManifestParam) bool {
	want, err := wire.ParseType(p.Type)
	if err != nil {
		return false
	}
	have, ok := typeSpec(t, false)
	return ok && want.Accepts(have)
}

func sqlName(p ManifestParam) string {
	w, err := wire.ParseType(p.Type)
	if err != nil {
		return p.Type
	}
	return specName(w)
}

// specName is a type in SQL; a struct is written as the list of its fields.
func specName(w *wire.Type) string {
	switch w.Name {
	case "[]":
		return specName(w.Elem) + "[]"
	case "struct":
		s := make([]string, len(w.Fields))
		for i, f := range w.Fields {
			s[i] = f.Name + " " + specName(f.Type)
		}
		return "row(" + strings.Join(s, ", ") + ")"
	}
	return sqlNames[w.Name]
}

// Signature is the SQL signature of a function in an artifact, such as
// "score(user_id bigint, g1 double precision) returns table (user_id bigint)".
func Signature(f *ManifestFunction) string {
	list := func(ps []ManifestParam) string {
		s := make([]string, len(ps))
		for i, p := range ps {
			s[i] = strings.TrimSpace(p.Name + " " + sqlName(p))
		}
		return strings.Join(s, ", ")
	}
	s := f.Name + "(" + list(f.Args) + ") returns "
	if f.Describes {
		return s + "setof record"
	}
	if f.Kind == kindGroupedMap || f.Kind == kindTable {
		return s + "table (" + list(f.Columns) + ")"
	}
	if f.Returns != nil {
		s += sqlName(*f.Returns)
	}
	return s
}

func declared(name string, args []types.Type, returns types.Type, columns []vector.Field, kind function.Kind) string {
	s := make([]string, len(args))
	for i, a := range args {
		s[i] = a.String()
	}
	head := name + "(" + strings.Join(s, ", ") + ") returns "
	if kind != function.GroupedMap && kind != function.Table {
		return head + returns.String()
	}
	s = s[:0]
	for _, c := range columns {
		s = append(s, strings.TrimSpace(c.Name+" "+c.Type.String()))
	}
	return head + "table (" + strings.Join(s, ", ") + ")"
}
