package pgcatalog

import (
	"strconv"
	"strings"
	"time"

	"github.com/volleydb/volley/types"
)

// specificName is information_schema's name for one overload.
func (p *procRow) specificName() string { return p.name + "_" + strconv.FormatUint(uint64(p.oid), 10) }

// infoRoutines are the functions that the user may execute.
func (v *View) infoRoutines() []procRow {
	out := append([]procRow{}, builtinProcs()...)
	for _, p := range v.functions() {
		if v.may(p.oid, functionPrivileges) {
			out = append(out, p)
		}
	}
	for i := range out {
		out[i].db, out[i].mine = v.database(), v.member(out[i].owner)
	}
	return out
}

// paramRow is an argument of a function or a column of its result.
type paramRow struct {
	proc     *procRow
	num      int32
	mode     string
	name     string
	typ      uint32
	isColumn bool
}

func (v *View) infoParameters() []paramRow {
	var out []paramRow
	procs := v.infoRoutines()
	for i := range procs {
		p := &procs[i]
		for j, t := range p.everyArgument() {
			r := paramRow{proc: p, num: int32(j + 1), mode: "IN", typ: t, isColumn: j >= len(p.args)}
			if r.isColumn {
				r.mode = "OUT"
			}
			if j < len(p.argNames) {
				r.name = p.argNames[j]
			}
			out = append(out, r)
		}
	}
	return out
}

// routineGrantRow is EXECUTE on a function.
type routineGrantRow struct {
	grantRow
	db string
}

func (v *View) routineGrants() []routineGrantRow {
	var out []routineGrantRow
	for _, p := range v.functions() {
		for _, g := range v.grantsOn(p.oid, p.owner, functionPrivileges) {
			g.schema, g.name, g.specific = p.schema, p.name, p.specificName()
			out = append(out, routineGrantRow{g, v.database()})
		}
	}
	return out
}

// roleRoutineGrants are those granted to roles and not to everybody.
func (v *View) roleRoutineGrants() []routineGrantRow {
	return only(v.routineGrants(), func(g *routineGrantRow) bool { return g.grantee != "PUBLIC" })
}

// oidDataType is data_type of a type by OID.
func oidDataType(oid uint32) string {
	if t, ok := types.ByOID(oid); ok {
		return dataType(t)
	}
	return formatType(oid)
}

// informationFunctions are the views of information_schema about functions.
func informationFunctions() map[string]source {
	grants := columns[routineGrantRow]{
		"grantor":          str(func(r *routineGrantRow) string { return r.grantor }),
		"grantee":          str(func(r *routineGrantRow) string { return r.grantee }),
		"specific_catalog": str(func(r *routineGrantRow) string { return r.db }),
		"specific_schema":  str(func(r *routineGrantRow) string { return r.schema }),
		"specific_name":    str(func(r *routineGrantRow) string { return r.specific }),
		"routine_catalog":  str(func(r *routineGrantRow) string { return r.db }),
		"routine_schema":   str(func(r *routineGrantRow) string { return r.schema }),
		"routine_name":     str(func(r *routineGrantRow) string { return r.name }),
		"privilege_type":   text[routineGrantRow]("EXECUTE"),
		"is_grantable":     yes(func(r *routineGrantRow) bool { return r.grantable }),
	}
	return map[string]source{
		"information_schema.routines": &table[procRow]{rows: (*View).infoRoutines, cols: columns[procRow]{
			"specific_catalog": str(func(r *procRow) string { return r.db }),
			"specific_schema":  str(func(r *procRow) string { return r.schema }),
			"specific_name":    str((*procRow).specificName),
			"routine_catalog":  str(func(r *procRow) string { return r.db }),
			"routine_schema":   str(func(r *procRow) string { return r.schema }),
			"routine_name":     str(func(r *procRow) string { return r.name }),
			"routine_type": strOpt(func(r *procRow) string {
				if r.kind == 'f' {
					return "FUNCTION"
				}
				if r.kind == 'p' {
					return "PROCEDURE"
				}
				return ""
			}),
			"data_type":        str(func(r *procRow) string { return oidDataType(r.ret) }),
			"type_udt_catalog": str(func(r *procRow) string { return r.db }),
			"type_udt_schema":  text[procRow]("pg_catalog"),
			"type_udt_name":    str(func(r *procRow) string { return typeByOID(r.ret).name }),
			"dtd_identifier":   text[procRow]("0"),
			"routine_body": str(func(r *procRow) string {
				if r.language == "sql" {
					return "SQL"
				}
				return "EXTERNAL"
			}),
			"routine_definition": strOpt(func(r *procRow) string {
				if r.def == nil || !r.mine {
					return ""
				}
				return r.source
			}),
			"external_language":       str(func(r *procRow) string { return strings.ToUpper(r.language) }),
			"parameter_style":         text[procRow]("GENERAL"),
			"is_deterministic":        yes(func(r *procRow) bool { return r.volatility == 'i' }),
			"sql_data_access":         text[procRow]("MODIFIES"),
			"is_null_call":            yes(func(r *procRow) bool { return r.strict }),
			"schema_level_routine":    text[procRow]("YES"),
			"max_dynamic_result_sets": fixed[procRow](int32(0)),
			"is_user_defined_cast":    text[procRow]("NO"),
			"is_implicitly_invocable": text[procRow]("NO"),
			"security_type": str(func(r *procRow) string {
				if r.def != nil && r.def.SecurityDefiner {
					return "DEFINER"
				}
				return "INVOKER"
			}),
			"as_locator":       text[procRow]("NO"),
			"is_udt_dependent": text[procRow]("NO"),
			"created":          when((*procRow).created),
		}},
		"information_schema.parameters": &table[paramRow]{rows: (*View).infoParameters, cols: columns[paramRow]{
			"specific_catalog": str(func(r *paramRow) string { return r.proc.db }),
			"specific_schema":  str(func(r *paramRow) string { return r.proc.schema }),
			"specific_name":    str(func(r *paramRow) string { return r.proc.specificName() }),
			"ordinal_position": val(func(r *paramRow) int32 { return r.num }),
			"parameter_mode":   str(func(r *paramRow) string { return r.mode }),
			"is_result":        text[paramRow]("NO"),
			"as_locator":       text[paramRow]("NO"),
			"parameter_name":   strOpt(func(r *paramRow) string { return r.name }),
			"data_type":        str(func(r *paramRow) string { return oidDataType(r.typ) }),
			"udt_catalog":      str(func(r *paramRow) string { return r.proc.db }),
			"udt_schema":       text[paramRow]("pg_catalog"),
			"udt_name":         str(func(r *paramRow) string { return typeByOID(r.typ).name }),
			"dtd_identifier":   str(func(r *paramRow) string { return strconv.Itoa(int(r.num)) }),
		}},
		"information_schema.routine_privileges":  &table[routineGrantRow]{rows: (*View).routineGrants, cols: grants},
		"information_schema.role_routine_grants": &table[routineGrantRow]{rows: (*View).roleRoutineGrants, cols: grants},
	}
}

// created is when the current version of a user's function was made.
func (p *procRow) created() time.Time {
	if p.def == nil {
		return time.Time{}
	}
	return p.def.Created
}
