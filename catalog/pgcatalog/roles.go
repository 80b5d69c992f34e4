package pgcatalog

import (
	"slices"
	"time"

	"github.com/volleydb/volley/catalog"
)

// roleRow is a role as the statement's user may see it.
type roleRow struct {
	*catalog.Role
	password string // verifier, "" = NULL
	config   []string
}

// roles are all roles; only a superuser sees verifiers.
func (v *View) roles() []roleRow {
	super := v.superuser()
	var out []roleRow
	for _, r := range v.Snapshot.Roles() {
		row := roleRow{Role: r, config: configOf(r.Settings)}
		if super {
			row.password = r.Verifier
		}
		out = append(out, row)
	}
	return out
}

func (r *roleRow) login() bool { return r.Login }

func (v *View) users() []roleRow { return only(v.roles(), (*roleRow).login) }

// configOf writes settings as name=value, sorted; nil for none.
func configOf(settings map[string]string) []string {
	var out []string
	for k, s := range settings {
		out = append(out, k+"="+s)
	}
	slices.Sort(out)
	return out
}

// memberRow is a membership.
type memberRow struct {
	role, member uint32
	roleName     string
	memberName   string
}

func (v *View) members() []memberRow {
	var out []memberRow
	for _, r := range v.Snapshot.Roles() {
		for _, m := range r.MemberOf {
			if g := v.Snapshot.Role(m); g != nil {
				out = append(out, memberRow{g.OID, r.OID, m, r.Name})
			}
		}
	}
	return out
}

// groupRow is a row of pg_group: a role that cannot log in.
type groupRow struct {
	role    *catalog.Role
	members []uint32
}

func (v *View) groups() []groupRow {
	members := map[uint32][]uint32{}
	for _, m := range v.members() {
		members[m.role] = append(members[m.role], m.member)
	}
	var out []groupRow
	for _, r := range v.Snapshot.Roles() {
		if !r.Login {
			out = append(out, groupRow{r, append([]uint32{}, members[r.OID]...)})
		}
	}
	return out
}

// configRow is a row of pg_db_role_setting.
type configRow struct {
	database, role uint32
	config         []string
}

func (v *View) configs() []configRow {
	var out []configRow
	if c := configOf(v.Snapshot.Settings()); c != nil {
		out = append(out, configRow{catalog.DatabaseOID, 0, c})
	}
	for _, r := range v.Snapshot.Roles() {
		if c := configOf(r.Settings); c != nil {
			out = append(out, configRow{0, r.OID, c})
		}
	}
	return out
}

func (v *View) sharedComments() []commentRow {
	var out []commentRow
	for _, r := range v.Snapshot.Roles() {
		if r.Comment != "" {
			out = append(out, commentRow{r.OID, roleClass, 0, r.Comment})
		}
	}
	return out
}

// hidden stands for passwords where Postgres never shows them.
const hidden = "********"

// roleSources are the tables of pg_catalog about roles.
func roleSources() map[string]source {
	auth := func() columns[roleRow] {
		return columns[roleRow]{
			"oid":            oid(func(r *roleRow) uint32 { return r.OID }),
			"rolname":        str(func(r *roleRow) string { return r.Name }),
			"rolsuper":       val(func(r *roleRow) bool { return r.Superuser }),
			"rolinherit":     flag[roleRow](true),
			"rolcreaterole":  val(func(r *roleRow) bool { return r.CreateRole }),
			"rolcreatedb":    val(func(r *roleRow) bool { return r.CreateDB }),
			"rolcanlogin":    val(func(r *roleRow) bool { return r.Login }),
			"rolreplication": flag[roleRow](false),
			"rolbypassrls":   val(func(r *roleRow) bool { return r.Superuser }),
			"rolconnlimit":   val(func(r *roleRow) int32 { return int32(r.ConnLimit) }),
			"rolpassword":    strOpt(func(r *roleRow) string { return r.password }),
			"rolvaliduntil":  when(func(r *roleRow) time.Time { return r.ValidUntil }),
		}
	}
	roles := auth()
	roles["rolpassword"] = text[roleRow](hidden)
	roles["rolconfig"] = strs(func(r *roleRow) []string { return r.config })
	user := func(password column[roleRow]) columns[roleRow] {
		return columns[roleRow]{
			"usename":      str(func(r *roleRow) string { return r.Name }),
			"usesysid":     oid(func(r *roleRow) uint32 { return r.OID }),
			"usecreatedb":  val(func(r *roleRow) bool { return r.CreateDB }),
			"usesuper":     val(func(r *roleRow) bool { return r.Superuser }),
			"userepl":      flag[roleRow](false),
			"usebypassrls": val(func(r *roleRow) bool { return r.Superuser }),
			"passwd":       password,
			"valuntil":     when(func(r *roleRow) time.Time { return r.ValidUntil }),
			"useconfig":    strs(func(r *roleRow) []string { return r.config }),
		}
	}
	return map[string]source{
		"pg_catalog.pg_authid": &table[roleRow]{rows: (*View).roles, cols: auth()},
		"pg_catalog.pg_roles":  &table[roleRow]{rows: (*View).roles, cols: roles},
		"pg_catalog.pg_user":   &table[roleRow]{rows: (*View).users, cols: user(text[roleRow](hidden))},
		"pg_catalog.pg_shadow": &table[roleRow]{rows: (*View).users,
			cols: user(strOpt(func(r *roleRow) string { return r.password }))},
		"pg_catalog.pg_group": &table[groupRow]{rows: (*View).groups, cols: columns[groupRow]{
			"groname":  str(func(r *groupRow) string { return r.role.Name }),
			"grosysid": oid(func(r *groupRow) uint32 { return r.role.OID }),
			"grolist":  oids(func(r *groupRow) []uint32 { return r.members }),
		}},
		"pg_catalog.pg_auth_members": &table[memberRow]{rows: (*View).members, cols: columns[memberRow]{
			"roleid":  oid(func(r *memberRow) uint32 { return r.role }),
			"member":  oid(func(r *memberRow) uint32 { return r.member }),
			"grantor": fixed[memberRow](int64(catalog.BootstrapOID)),
		}},
		"pg_catalog.pg_db_role_setting": &table[configRow]{rows: (*View).configs, cols: columns[configRow]{
			"setdatabase": oid(func(r *configRow) uint32 { return r.database }),
			"setrole":     oid(func(r *configRow) uint32 { return r.role }),
			"setconfig":   strs(func(r *configRow) []string { return r.config }),
		}},
		"pg_catalog.pg_shdescription": &table[commentRow]{rows: (*View).sharedComments, cols: columns[commentRow]{
			"objoid":      oid(func(r *commentRow) uint32 { return r.obj }),
			"classoid":    oid(func(r *commentRow) uint32 { return r.class }),
			"description": str(func(r *commentRow) string { return r.text }),
		}},
	}
}
