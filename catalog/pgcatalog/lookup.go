package pgcatalog

import (
	"slices"
	"strings"

	"github.com/volleydb/volley/catalog"
	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
)

// lookup is function.CatalogLookup, and function.CatalogDetails, over a View.
type lookup struct{ v *View }

var (
	_ function.CatalogDetails = (*lookup)(nil)
	_ function.ReceiptLookup  = (*lookup)(nil)
)

// relation finds a relation by OID; ok is false where there is none.
func (l *lookup) relation(oid uint32) (relRow, bool) {
	if r := l.v.Snapshot.RelationByOID(oid); r != nil {
		return l.v.relation(r), true
	}
	if t := FindOID(oid); t != nil {
		for _, r := range virtualRelations() {
			if r.oid == oid {
				return r, true
			}
		}
	}
	return relRow{}, false
}

// RelationName finds a table or view by OID.
func (l *lookup) RelationName(oid uint32) (schema, name string, ok bool) {
	if r := l.v.Snapshot.RelationByOID(oid); r != nil {
		return r.Schema, r.Name, true
	}
	if t := FindOID(oid); t != nil {
		return t.Schema, t.Name, true
	}
	return "", "", false
}

// RelationOID finds a table or view by a name as a user writes it, in its
// schema or along the search path; 42P01, 42602 for what is not a name.
func (l *lookup) RelationOID(name string) (uint32, error) {
	parts, err := splitName(name)
	if err != nil {
		return 0, err
	}
	switch len(parts) {
	case 3:
		if parts[0] != l.v.database() {
			return 0, pgerr.New(pgerr.FeatureNotSupported, "cross-database references are not implemented: \"%s\"", name)
		}
		parts = parts[1:]
		fallthrough
	case 2:
		if oid := l.v.relationOID(parts[0], parts[1]); oid != 0 {
			return oid, nil
		}
		return 0, pgerr.New(pgerr.UndefinedTable, "relation \"%s.%s\" does not exist", parts[0], parts[1])
	case 1:
		for _, s := range l.v.path(true) {
			if oid := l.v.relationOID(s, parts[0]); oid != 0 {
				return oid, nil
			}
		}
		e := pgerr.New(pgerr.UndefinedTable, "relation \"%s\" does not exist", parts[0])
		if near := l.v.Snapshot.Suggest(l.v.path(false), parts[0]); len(near) > 0 {
			return 0, e.WithHint("Perhaps you meant the relation \"%s\".", near[0])
		}
		return 0, e
	}
	return 0, pgerr.New(pgerr.SyntaxError, "improper relation name (too many dotted names): %s", name)
}

// relationOID returns 0 where there is no such relation.
func (v *View) relationOID(schema, name string) uint32 {
	if r := v.Snapshot.Relation(schema, name); r != nil {
		return r.OID
	}
	if t := Find(schema, name); t != nil {
		return t.OID
	}
	return 0
}

// splitName reads a qualified name: parts fold to lower case unless quoted.
func splitName(s string) ([]string, error) {
	invalid := pgerr.New(pgerr.InvalidName, "invalid name syntax")
	var parts []string
	rest := strings.TrimSpace(s)
	for {
		var part string
		if strings.HasPrefix(rest, `"`) {
			var b strings.Builder
			i := 1
			for {
				j := strings.IndexByte(rest[i:], '"')
				if j < 0 {
					return nil, invalid
				}
				b.WriteString(rest[i : i+j])
				if i += j + 1; i >= len(rest) || rest[i] != '"' {
					break
				}
				b.WriteByte('"')
				i++
			}
			part, rest = b.String(), rest[i:]
		} else {
			i := strings.IndexAny(rest, ". \t\n\"")
			if i < 0 {
				i = len(rest)
			}
			part, rest = strings.ToLower(rest[:i]), rest[i:]
		}
		if part == "" {
			return nil, invalid
		}
		parts = append(parts, part)
		rest = strings.TrimSpace(rest)
		if rest == "" {
			return parts, nil
		}
		if rest[0] != '.' {
			return nil, invalid
		}
		rest = strings.TrimSpace(rest[1:])
	}
}

// FunctionName finds a function by OID.
func (l *lookup) FunctionName(oid uint32) (schema, name string, ok bool) {
	p, ok := l.v.proc(oid)
	return p.schema, p.name, ok
}

// FunctionArgs gives the texts of pg_get_function_arguments and _result.
func (l *lookup) FunctionArgs(oid uint32) (args, result string, ok bool) {
	p, ok := l.v.proc(oid)
	if !ok {
		return "", "", false
	}
	return p.arguments(), p.result(), true
}

// FunctionDef gives the text of pg_get_functiondef; aggregates have none.
func (l *lookup) FunctionDef(oid uint32) (string, bool) {
	p, ok := l.v.proc(oid)
	if !ok || p.aggregate() {
		return "", false
	}
	return p.definition(), true
}

// FunctionOIDs finds all overloads of a name as a user writes it, in its schema
// or in the first schema of the search path that has any.
func (l *lookup) FunctionOIDs(name string) ([]uint32, error) {
	parts, err := splitName(name)
	if err != nil {
		return nil, err
	}
	schemas, base := l.v.path(true), parts[len(parts)-1]
	if len(parts) > 1 {
		schemas = parts[len(parts)-2 : len(parts)-1]
	}
	for _, s := range schemas {
		var out []uint32
		for _, f := range l.v.Snapshot.Functions(s, base) {
			out = append(out, f.OID)
		}
		if s == "pg_catalog" {
			builtinProcs()
			for _, p := range procNames[base] {
				out = append(out, p.oid)
			}
		}
		if len(out) > 0 {
			return out, nil
		}
	}
	return nil, nil
}

// FunctionArgTypes gives the types that a function takes, nil where there is none.
func (l *lookup) FunctionArgTypes(oid uint32) []uint32 {
	p, _ := l.v.proc(oid)
	return p.args
}

// LanguageOID finds a language by its exact name, 0 where there is none.
func (l *lookup) LanguageOID(name string) uint32 {
	if d := l.v.Snapshot.Language(name); d != nil {
		return d.OID
	}
	return 0
}

// LanguageName finds a language by OID, "" where there is none.
func (l *lookup) LanguageName(oid uint32) string {
	for _, d := range l.v.Snapshot.Languages() {
		if d.OID == oid {
			return d.Name
		}
	}
	return ""
}

// Describe names an object as pg_describe_object does; names in the search path
// are not qualified.
func (l *lookup) Describe(class, oid uint32, sub int32) (string, bool) {
	qualify := func(schema, name string) string {
		if l.Visible(schema) {
			return function.QuoteIdent(name)
		}
		return function.QuoteIdent(schema) + "." + function.QuoteIdent(name)
	}
	switch class {
	case relationClass:
		r, ok := l.relation(oid)
		if !ok {
			return "", false
		}
		kind := "table "
		if r.isView() {
			kind = "view "
		}
		if sub > 0 && r.rel != nil && int(sub) <= len(r.rel.Columns) {
			return "column " + function.QuoteIdent(r.rel.Columns[sub-1].Name) + " of " + kind + qualify(r.schema, r.name), true
		}
		return kind + qualify(r.schema, r.name), true
	case procClass:
		p, ok := l.v.proc(oid)
		if !ok {
			return "", false
		}
		var args []string
		for _, t := range p.args {
			args = append(args, formatType(t))
		}
		return "function " + qualify(p.schema, p.name) + "(" + strings.Join(args, ",") + ")", true
	case schemaClass:
		name, ok := l.SchemaName(oid)
		return "schema " + function.QuoteIdent(name), ok
	case languageClass:
		name := l.LanguageName(oid)
		return "language " + function.QuoteIdent(name), name != ""
	case extensionClass:
		for _, e := range l.v.Snapshot.Extensions() {
			if e.OID == oid {
				return "extension " + function.QuoteIdent(e.Name), true
			}
		}
	case typeClass:
		if t, ok := l.UserType(oid); ok {
			return "type " + t.String(), true
		}
		if t, ok := types.ByOID(oid); ok {
			return "type " + t.String(), true
		}
	}
	return "", false
}

// SchemaName finds a schema by OID.
func (l *lookup) SchemaName(oid uint32) (string, bool) {
	if s := l.v.Snapshot.SchemaByOID(oid); s != nil {
		return s.Name, true
	}
	if oid == volleySchemaOID {
		return "volley", true
	}
	return "", false
}

// SchemaOID finds a schema by its exact name.
func (l *lookup) SchemaOID(name string) (uint32, bool) {
	oid := l.v.schemaOID(name)
	return oid, oid != 0
}

// RoleName finds a role by OID.
func (l *lookup) RoleName(oid uint32) (string, bool) {
	if r := l.v.Snapshot.RoleByOID(oid); r != nil {
		return r.Name, true
	}
	return "", false
}

// Visible reports whether a schema is in the search path, pg_catalog included.
func (l *lookup) Visible(schema string) bool { return slices.Contains(l.v.path(true), schema) }

// ViewDef gives the query of a view; the virtual ones have none.
func (l *lookup) ViewDef(oid uint32) (string, bool) {
	if r := l.v.Snapshot.RelationByOID(oid); r != nil {
		row := l.v.relation(r)
		return row.definition(), row.isView()
	}
	return "", false
}

// RelationSize is the bytes of a relation's files.
func (l *lookup) RelationSize(oid uint32) (int64, bool) {
	r, ok := l.relation(oid)
	return r.bytes, ok
}

// CurrentSchemas are the existing schemas of the search path.
func (l *lookup) CurrentSchemas(implicit bool) []string { return l.v.path(implicit) }

// Comment gives the comment on an object of a catalog (pg_class, pg_proc,
// pg_namespace, pg_authid; "" is any of them), or on a column of a relation if
// sub > 0.
func (l *lookup) Comment(class string, oid uint32, sub int32) (string, bool) {
	snap := l.v.Snapshot
	is := func(c string) bool { return class == "" || class == c }
	text := ""
	switch {
	case is("pg_class") && snap.RelationByOID(oid) != nil:
		r := snap.RelationByOID(oid)
		if text = r.Comment; sub > 0 {
			text = ""
			if int(sub) <= len(r.Columns) {
				text = r.Columns[sub-1].Comment
			}
		}
	case sub != 0:
	case is("pg_namespace") && l.v.schemaComment(oid) != "":
		text = l.v.schemaComment(oid)
	case is("pg_authid") && snap.RoleByOID(oid) != nil:
		text = snap.RoleByOID(oid).Comment
	case is("pg_extension") && l.v.extension(oid) != nil:
		text = l.v.extension(oid).Comment
	case is("pg_language") && l.LanguageName(oid) != "":
		text = l.v.Snapshot.Language(l.LanguageName(oid)).Comment
	case is("pg_proc"):
		p, _ := l.v.proc(oid)
		text = p.comment
	}
	return text, text != ""
}

func (v *View) schemaComment(oid uint32) string {
	for _, s := range v.schemas() {
		if s.oid == oid {
			return s.comment
		}
	}
	return ""
}

// HasPrivilege reports whether a role holds a privilege (as has_table_privilege
// and its like name it) on a schema, relation or function by OID. Everybody may
// read the virtual tables, use their schemas and call built-ins.
func (l *lookup) HasPrivilege(role string, object uint32, privilege string) bool {
	if l.v.Snapshot.HasPrivilege(role, object, privilege) {
		return true
	}
	switch privilege {
	case "SELECT":
		return FindOID(object) != nil
	case "USAGE":
		return object == volleySchemaOID
	case "EXECUTE":
		builtinProcs()
		return procIndex[object] != nil
	}
	return false
}

// QueryReceipt implements function.ReceiptLookup.
func (l *lookup) QueryReceipt(id string) (string, error) {
	if l.v.Receipt == nil {
		return "", pgerr.New(pgerr.FeatureNotSupported, "query_receipt is not supported here")
	}
	return l.v.Receipt(id)
}

// UserType finds a type that a user made by its OID.
func (l *lookup) UserType(oid uint32) (types.Type, bool) {
	if oid < catalog.FirstOID {
		return types.Type{}, false
	}
	return l.v.Snapshot.TypeByOID(oid)
}
