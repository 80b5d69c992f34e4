package udf

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/types"
)

// namesOfSQL are the Go types of names that SQL has and Go has not.
var namesOfSQL = map[string]string{"bool": "bool", "boolean": "bool", "int2": "int16", "smallint": "int16", "int4": "int32", "integer": "int32",
	"int8": "int64", "bigint": "int64", "float4": "float32", "real": "float32", "float8": "float64", "double": "float64", "float": "float64",
	"text": "string", "varchar": "string", "char": "string", "bpchar": "string", "bytea": "[]byte", "date": "time.Time", "timestamp": "time.Time",
	"timestamptz": "time.Time", "time": "udf.Clock", "interval": "udf.Interval", "numeric": "udf.Decimal", "decimal": "udf.Decimal",
	"uuid": "udf.UUID", "json": "udf.JSON", "jsonb": "udf.JSONB"}

var undefinedName = regexp.MustCompile(`undefined: (\w+)`)

// typeHint explains names of SQL types that the compiler does not know; "" for
// none in what it said.
func typeHint(said string) string {
	var out []string
	seen := map[string]bool{}
	for _, m := range undefinedName.FindAllStringSubmatch(said, -1) {
		name := strings.ToLower(m[1])
		if goName := namesOfSQL[name]; goName != "" && !seen[name] {
			seen[name] = true
			out = append(out, name+" is "+goName+" in Go")
		}
	}
	if len(out) == 0 {
		return ""
	}
	return "Source has Go's types: " + strings.Join(out, ", ") + "."
}

// composites declares the composite types of arguments and results that source
// names and does not declare, in any case and with or without underscores:
// user_point is user_point or UserPoint. They are aliases of the structs without a
// name that goSpec makes.
func (in *Inline) composites() string {
	var structs []*types.UserType
	specs := map[string]string{}
	var add func(t types.Type)
	add = func(t types.Type) {
		if t.ID == types.Array {
			t = t.ElemType()
		}
		u, ok := t.User()
		if !ok || t.ID != types.Record || specs[u.Name] != "" {
			return
		}
		for _, f := range u.Fields {
			add(f.Type)
		}
		if w, ok := typeSpec(t, false); ok && u.Name != "" {
			specs[u.Name] = goSpec(w)
			structs = append(structs, u)
		}
	}
	for _, f := range in.Args {
		add(f.Type)
	}
	for _, f := range in.Columns {
		add(f.Type)
	}
	add(in.Returns)
	if len(structs) == 0 {
		return ""
	}
	free := in.unresolved()
	var b strings.Builder
	plain := func(s string) string { return strings.ReplaceAll(strings.ToLower(s), "_", "") }
	for _, u := range structs {
		for _, name := range slices.Sorted(maps.Keys(free)) {
			if plain(name) == plain(u.Name) && !in.hasArg(name) && !doc.IsPredeclared(name) && standard[name] == "" {
				b.WriteString("type " + name + " = " + specs[u.Name] + "\n")
				delete(free, name)
			}
		}
	}
	return b.String()
}

// unresolved are the names that the source uses and does not declare.
func (in *Inline) unresolved() map[string]bool {
	var file *ast.File
	if declares(in.Source) || in.Kind == function.Aggregate {
		file, _ = parser.ParseFile(token.NewFileSet(), "", packageLine+in.Source, 0)
	} else {
		file, _ = in.parseBody()
	}
	out := map[string]bool{}
	if file != nil {
		for _, id := range file.Unresolved {
			out[id.Name] = true
		}
	}
	return out
}
