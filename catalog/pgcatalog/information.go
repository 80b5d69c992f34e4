package pgcatalog

import (
	"maps"
	"strconv"

	"github.com/volleydb/volley/types"
)

// infoRelations are the relations on which the user has any privilege: what
// information_schema shows.
func (v *View) infoRelations() []relRow {
	out := append([]relRow{}, virtualRelations()...)
	for _, r := range v.relations() {
		if v.may(r.oid, tablePrivileges) {
			out = append(out, r)
		}
	}
	for i := range out {
		out[i].db, out[i].mine = v.database(), v.member(out[i].owner)
	}
	return out
}

func (v *View) infoColumns() []attrRow { return attributes(v.infoRelations()) }

func (v *View) infoViews() []relRow { return only(v.infoRelations(), (*relRow).isView) }

// infoArrays are the columns of array types.
func (v *View) infoArrays() []attrRow {
	return only(v.infoColumns(), func(a *attrRow) bool { return a.typ.ID == types.Array })
}

// infoNotNulls are the columns with NOT NULL, which information_schema calls
// check constraints.
func (v *View) infoNotNulls() []attrRow {
	return only(v.infoColumns(), func(a *attrRow) bool { return a.notNull })
}

// notNullName is the constraint's name.
func (a *attrRow) notNullName() string {
	return strconv.FormatUint(uint64(a.rel.schemaOID), 10) + "_" + strconv.FormatUint(uint64(a.rel.oid), 10) + "_" +
		strconv.Itoa(int(a.num)) + "_not_null"
}

// infoSchemaRow is a schema in a database.
type infoSchemaRow struct {
	schemaRow
	db string
}

// infoSchemata are the schemas that the user owns or may use.
func (v *View) infoSchemata() []infoSchemaRow {
	var out []infoSchemaRow
	for _, s := range v.schemas() {
		if s.virtual || v.may(s.oid, schemaPrivileges) || v.member(s.owner) {
			out = append(out, infoSchemaRow{s, v.database()})
		}
	}
	return out
}

// useRow is an object that a view uses.
type useRow struct {
	db         string
	view, used relRow
	proc       *procRow // used, when it is a function
}

// infoUses are what the views of roles that the user belongs to use.
func (v *View) infoUses(functions bool) []useRow {
	var out []useRow
	for _, r := range v.userViews() {
		if !v.member(r.owner) {
			continue
		}
		for _, o := range r.rel.Depends {
			u := useRow{db: v.database(), view: r}
			if f := v.Snapshot.FunctionByOID(o); f != nil && functions {
				p := v.user(f)
				u.proc = &p
			} else if t := v.Snapshot.RelationByOID(o); t != nil && !functions {
				u.used = v.relation(t)
			} else {
				continue
			}
			out = append(out, u)
		}
	}
	return out
}

// infoGrantRow is a privilege on a relation.
type infoGrantRow struct {
	grantRow
	db string
}

func (v *View) tableGrants() []infoGrantRow {
	var out []infoGrantRow
	for _, r := range v.relations() {
		for _, g := range v.grantsOn(r.oid, r.owner, tablePrivileges) {
			g.schema, g.name = r.schema, r.name
			out = append(out, infoGrantRow{g, v.database()})
		}
	}
	for _, r := range virtualRelations() {
		out = append(out, infoGrantRow{grantRow{schema: r.schema, name: r.name, grantor: r.owner, grantee: "PUBLIC",
			privilege: "SELECT"}, v.database()})
	}
	return out
}

// infoRoleRow is a role that the user may act as.
type infoRoleRow struct {
	grantee, role string
}

func (v *View) enabledRoles() []infoRoleRow {
	var out []infoRoleRow
	for _, r := range v.Snapshot.Roles() {
		if v.member(r.Name) {
			out = append(out, infoRoleRow{role: r.Name})
		}
	}
	return out
}

func (v *View) applicableRoles() []infoRoleRow {
	var out []infoRoleRow
	for _, m := range v.members() {
		if v.member(m.memberName) {
			out = append(out, infoRoleRow{m.memberName, m.roleName})
		}
	}
	return out
}

// infoCollationRow is a collation in a database.
type infoCollationRow struct {
	collationRow
	db string
}

func (v *View) infoCollations() []infoCollationRow {
	var out []infoCollationRow
	for _, c := range collations() {
		out = append(out, infoCollationRow{c, v.database()})
	}
	return out
}

// dataType is information_schema's data_type.
func dataType(t types.Type) string {
	if t.ID == types.Array || t.ID == types.Int2Vector || t.ID == types.OIDVector {
		return "ARRAY"
	}
	return t.Bare().String()
}

// The limits of text in information_schema.
const (
	maxTextBytes = 1 << 30
	maxCharBytes = 4 // per character
)

func charLength(t types.Type) (int32, bool) {
	n, ok := t.Length()
	return int32(n), ok
}

func charBytes(t types.Type) (int32, bool) {
	switch t.ID {
	case types.Text, types.Varchar, types.Bpchar:
		if n, ok := t.Length(); ok {
			return int32(n * maxCharBytes), true
		}
		return maxTextBytes, true
	}
	return 0, false
}

// numericShape is precision, radix and scale; -1 for NULL.
func numericShape(t types.Type) (precision, radix, scale int32) {
	switch t.ID {
	case types.Int2:
		return 16, 2, 0
	case types.Int4:
		return 32, 2, 0
	case types.Int8:
		return 64, 2, 0
	case types.Float4:
		return 24, 2, -1
	case types.Float8:
		return 53, 2, -1
	case types.Numeric:
		if p, s, ok := t.PrecisionScale(); ok {
			return int32(p), 10, int32(s)
		}
		return -1, 10, -1
	}
	return -1, -1, -1
}

func numericPart(f func(types.Type) int32) column[attrRow] {
	return opt(func(r *attrRow) (int32, bool) { n := f(r.typ); return n, n >= 0 })
}

// datetimePrecision is the digits of fractions of a second.
func datetimePrecision(t types.Type) (int32, bool) {
	switch t.ID {
	case types.Date:
		return 0, true
	case types.Time, types.Timestamp, types.Timestamptz, types.Interval:
		return 6, true
	}
	return 0, false
}

func (a *attrRow) database() string { return a.rel.db }
func (a *attrRow) schema() string   { return a.rel.schema }
func (a *attrRow) relation() string { return a.rel.name }
func (a *attrRow) updatable() bool  { return a.rel.isTable() && a.rel.def == nil }
func (a *attrRow) ordinal() string  { return strconv.Itoa(int(a.num)) }

// shape are the columns that describe a data type.
func shape() columns[attrRow] {
	return columns[attrRow]{
		"data_type":                str(func(r *attrRow) string { return dataType(r.typ) }),
		"character_maximum_length": opt(func(r *attrRow) (int32, bool) { return charLength(r.typ) }),
		"character_octet_length":   opt(func(r *attrRow) (int32, bool) { return charBytes(r.typ) }),
		"numeric_precision":        numericPart(func(t types.Type) int32 { p, _, _ := numericShape(t); return p }),
		"numeric_precision_radix":  numericPart(func(t types.Type) int32 { _, r, _ := numericShape(t); return r }),
		"numeric_scale":            numericPart(func(t types.Type) int32 { _, _, s := numericShape(t); return s }),
		"datetime_precision":       opt(func(r *attrRow) (int32, bool) { return datetimePrecision(r.typ) }),
		"collation_catalog":        strOpt(func(r *attrRow) string { return r.ifCollated(r.rel.db) }),
		"collation_schema":         strOpt(func(r *attrRow) string { return r.ifCollated("pg_catalog") }),
		"collation_name":           strOpt(func(r *attrRow) string { return r.ifCollated("C") }),
		"udt_catalog":              str((*attrRow).database),
		"udt_schema":               text[attrRow]("pg_catalog"),
		"udt_name":                 str(func(r *attrRow) string { return r.info.name }),
		"dtd_identifier":           str((*attrRow).ordinal),
	}
}

// ifCollated is s for columns that have a collation other than the default.
func (a *attrRow) ifCollated(s string) string {
	if a.info.collation == cCollate {
		return s
	}
	return ""
}

// informationRelations are the views of information_schema about schemas,
// relations and roles.
func informationRelations() map[string]source {
	cols := shape()
	maps.Copy(cols, columns[attrRow]{
		"table_catalog":       str((*attrRow).database),
		"table_schema":        str((*attrRow).schema),
		"table_name":          str((*attrRow).relation),
		"column_name":         str(func(r *attrRow) string { return r.name }),
		"ordinal_position":    val(func(r *attrRow) int32 { return int32(r.num) }),
		"column_default":      strOpt(func(r *attrRow) string { return r.def }),
		"is_nullable":         yes(func(r *attrRow) bool { return !r.notNull }),
		"is_self_referencing": text[attrRow]("NO"),
		"is_identity":         text[attrRow]("NO"),
		"identity_cycle":      text[attrRow]("NO"),
		"is_generated":        text[attrRow]("NEVER"),
		"is_updatable":        yes((*attrRow).updatable),
	})
	element := columns[attrRow]{
		"object_catalog":             str((*attrRow).database),
		"object_schema":              str((*attrRow).schema),
		"object_name":                str((*attrRow).relation),
		"object_type":                str(func(r *attrRow) string { return map[byte]string{'r': "TABLE", 'v': "VIEW"}[r.rel.kind] }),
		"collection_type_identifier": str((*attrRow).ordinal),
		"data_type":                  str(func(r *attrRow) string { return dataType(r.typ.ElemType()) }),
		"udt_catalog":                str((*attrRow).database),
		"udt_schema":                 text[attrRow]("pg_catalog"),
		"udt_name":                   str(func(r *attrRow) string { return typeByOID(r.typ.ElemType().OID()).name }),
		"dtd_identifier":             str(func(r *attrRow) string { return "a" + r.ordinal() }),
	}
	grants := columns[infoGrantRow]{
		"grantor":        str(func(r *infoGrantRow) string { return r.grantor }),
		"grantee":        str(func(r *infoGrantRow) string { return r.grantee }),
		"table_catalog":  str(func(r *infoGrantRow) string { return r.db }),
		"table_schema":   str(func(r *infoGrantRow) string { return r.schema }),
		"table_name":     str(func(r *infoGrantRow) string { return r.name }),
		"privilege_type": str(func(r *infoGrantRow) string { return r.privilege }),
		"is_grantable":   yes(func(r *infoGrantRow) bool { return r.grantable }),
		"with_hierarchy": yes(func(r *infoGrantRow) bool { return r.privilege == "SELECT" }),
	}
	return map[string]source{
		"information_schema.information_schema_catalog_name": &table[databaseRow]{rows: (*View).databases, cols: columns[databaseRow]{
			"catalog_name": str(func(r *databaseRow) string { return r.name }),
		}},
		"information_schema.schemata": &table[infoSchemaRow]{rows: (*View).infoSchemata, cols: columns[infoSchemaRow]{
			"catalog_name": str(func(r *infoSchemaRow) string { return r.db }),
			"schema_name":  str(func(r *infoSchemaRow) string { return r.name }),
			"schema_owner": str(func(r *infoSchemaRow) string { return r.owner }),
		}},
		"information_schema.tables": &table[relRow]{rows: (*View).infoRelations, cols: columns[relRow]{
			"table_catalog":      str(func(r *relRow) string { return r.db }),
			"table_schema":       str(func(r *relRow) string { return r.schema }),
			"table_name":         str(func(r *relRow) string { return r.name }),
			"table_type":         str(func(r *relRow) string { return map[byte]string{'r': "BASE TABLE", 'v': "VIEW"}[r.kind] }),
			"is_insertable_into": yes(func(r *relRow) bool { return r.isTable() && r.def == nil }),
			"is_typed":           text[relRow]("NO"),
		}},
		"information_schema.views": &table[relRow]{rows: (*View).infoViews, cols: columns[relRow]{
			"table_catalog": str(func(r *relRow) string { return r.db }),
			"table_schema":  str(func(r *relRow) string { return r.schema }),
			"table_name":    str(func(r *relRow) string { return r.name }),
			"view_definition": strOpt(func(r *relRow) string {
				if !r.mine {
					return ""
				}
				return r.definition()
			}),
			"check_option":               text[relRow]("NONE"),
			"is_updatable":               text[relRow]("NO"),
			"is_insertable_into":         text[relRow]("NO"),
			"is_trigger_updatable":       text[relRow]("NO"),
			"is_trigger_deletable":       text[relRow]("NO"),
			"is_trigger_insertable_into": text[relRow]("NO"),
		}},
		"information_schema.columns":       &table[attrRow]{rows: (*View).infoColumns, cols: cols},
		"information_schema.element_types": &table[attrRow]{rows: (*View).infoArrays, cols: element},
		"information_schema.table_constraints": &table[attrRow]{rows: (*View).infoNotNulls, cols: columns[attrRow]{
			"constraint_catalog": str((*attrRow).database),
			"constraint_schema":  str((*attrRow).schema),
			"constraint_name":    str((*attrRow).notNullName),
			"table_catalog":      str((*attrRow).database),
			"table_schema":       str((*attrRow).schema),
			"table_name":         str((*attrRow).relation),
			"constraint_type":    text[attrRow]("CHECK"),
			"is_deferrable":      text[attrRow]("NO"),
			"initially_deferred": text[attrRow]("NO"),
			"enforced":           text[attrRow]("YES"),
		}},
		"information_schema.check_constraints": &table[attrRow]{rows: (*View).infoNotNulls, cols: columns[attrRow]{
			"constraint_catalog": str((*attrRow).database),
			"constraint_schema":  str((*attrRow).schema),
			"constraint_name":    str((*attrRow).notNullName),
			"check_clause":       str(func(r *attrRow) string { return r.name + " IS NOT NULL" }),
		}},
		"information_schema.view_table_usage": &table[useRow]{rows: func(v *View) []useRow { return v.infoUses(false) }, cols: columns[useRow]{
			"view_catalog":  str(func(r *useRow) string { return r.db }),
			"view_schema":   str(func(r *useRow) string { return r.view.schema }),
			"view_name":     str(func(r *useRow) string { return r.view.name }),
			"table_catalog": str(func(r *useRow) string { return r.db }),
			"table_schema":  str(func(r *useRow) string { return r.used.schema }),
			"table_name":    str(func(r *useRow) string { return r.used.name }),
		}},
		"information_schema.view_routine_usage": &table[useRow]{rows: func(v *View) []useRow { return v.infoUses(true) }, cols: columns[useRow]{
			"table_catalog":    str(func(r *useRow) string { return r.db }),
			"table_schema":     str(func(r *useRow) string { return r.view.schema }),
			"table_name":       str(func(r *useRow) string { return r.view.name }),
			"specific_catalog": str(func(r *useRow) string { return r.db }),
			"specific_schema":  str(func(r *useRow) string { return r.proc.schema }),
			"specific_name":    str(func(r *useRow) string { return r.proc.specificName() }),
		}},
		"information_schema.table_privileges":  &table[infoGrantRow]{rows: (*View).tableGrants, cols: grants},
		"information_schema.role_table_grants": &table[infoGrantRow]{rows: (*View).roleTableGrants, cols: grants},
		"information_schema.enabled_roles": &table[infoRoleRow]{rows: (*View).enabledRoles, cols: columns[infoRoleRow]{
			"role_name": str(func(r *infoRoleRow) string { return r.role }),
		}},
		"information_schema.applicable_roles": &table[infoRoleRow]{rows: (*View).applicableRoles, cols: columns[infoRoleRow]{
			"grantee":      str(func(r *infoRoleRow) string { return r.grantee }),
			"role_name":    str(func(r *infoRoleRow) string { return r.role }),
			"is_grantable": text[infoRoleRow]("NO"),
		}},
		"information_schema.character_sets": &table[databaseRow]{rows: (*View).databases, cols: columns[databaseRow]{
			"character_set_name":      text[databaseRow]("UTF8"),
			"character_repertoire":    text[databaseRow]("UCS"),
			"form_of_use":             text[databaseRow]("UTF8"),
			"default_collate_catalog": str(func(r *databaseRow) string { return r.name }),
			"default_collate_schema":  text[databaseRow]("pg_catalog"),
			"default_collate_name":    text[databaseRow]("C"),
		}},
		"information_schema.collations": &table[infoCollationRow]{rows: (*View).infoCollations, cols: columns[infoCollationRow]{
			"collation_catalog": str(func(r *infoCollationRow) string { return r.db }),
			"collation_schema":  text[infoCollationRow]("pg_catalog"),
			"collation_name":    str(func(r *infoCollationRow) string { return r.name }),
			"pad_attribute":     text[infoCollationRow]("NO PAD"),
		}},
	}
}

// roleTableGrants are those granted to roles and not to everybody.
func (v *View) roleTableGrants() []infoGrantRow {
	return only(v.tableGrants(), func(g *infoGrantRow) bool { return g.grantee != "PUBLIC" })
}
