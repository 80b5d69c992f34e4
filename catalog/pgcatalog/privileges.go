package pgcatalog

import (
	"slices"
	"strings"

	"github.com/volleydb/volley/catalog"
	"github.com/volleydb/volley/function"
)

// privilege is a privilege and its letter in an aclitem.
type privilege struct {
	name   string
	letter byte
}

// The privileges on each kind of object, in the order of aclitem.
var (
	tablePrivileges = []privilege{{"INSERT", 'a'}, {"SELECT", 'r'}, {"UPDATE", 'w'}, {"DELETE", 'd'},
		{"TRUNCATE", 'D'}, {"REFERENCES", 'x'}, {"TRIGGER", 't'}}
	schemaPrivileges   = []privilege{{"USAGE", 'U'}, {"CREATE", 'C'}}
	functionPrivileges = []privilege{{"EXECUTE", 'X'}}
	languagePrivileges = []privilege{{"USAGE", 'U'}}
)

// superuser reports whether the statement's user is one.
func (v *View) superuser() bool {
	r := v.Snapshot.Role(v.User)
	return r != nil && r.Superuser
}

// may reports whether the user holds any of the privileges on an object, which
// is what information_schema shows.
func (v *View) may(oid uint32, wanted []privilege) bool {
	for _, p := range wanted {
		if v.Snapshot.HasPrivilege(v.User, oid, p.name) {
			return true
		}
	}
	return false
}

// acl returns an object's privileges as aclitems, nil where nothing was granted
// and the defaults hold.
func (v *View) acl(oid uint32, owner string, all []privilege) []string {
	grants := v.Snapshot.Grants(oid)
	if len(grants) == 0 && !v.Snapshot.HasACL(oid) {
		return nil
	}
	var own strings.Builder
	for _, p := range all {
		own.WriteByte(p.letter)
	}
	return aclOf(grants, owner, own.String(), all)
}

// aclOf writes grants as aclitems, after what the owner holds. What everybody may
// do by default, as with functions, stands first.
func aclOf(grants []catalog.Grant, owner, own string, all []privilege) []string {
	out := []string{aclItem(owner, own, owner)}
	for i := 0; i < len(grants); {
		role := grants[i].Role
		held := map[string]bool{} // privilege → grantable
		for ; i < len(grants) && grants[i].Role == role; i++ {
			held[grants[i].Privilege] = grants[i].Grantable
		}
		var b strings.Builder
		for _, p := range all {
			if option, ok := held[p.name]; ok {
				b.WriteByte(p.letter)
				if option {
					b.WriteByte('*')
				}
			}
		}
		if role == owner {
			continue // holds everything already
		}
		if item := aclItem(role, b.String(), owner); role == "public" && (all[0].name == "EXECUTE" || len(all) == 1) {
			out = slices.Insert(out, 0, item)
		} else {
			out = append(out, item)
		}
	}
	return out
}

// aclItem writes grantee=privileges/grantor; the grantee "public" is empty.
func aclItem(grantee, privileges, grantor string) string {
	if grantee == "public" {
		grantee = ""
	} else {
		grantee = function.QuoteIdent(grantee)
	}
	return grantee + "=" + privileges + "/" + function.QuoteIdent(grantor)
}

// grantRow is a privilege of a role on an object, as information_schema lists
// them: explicit grants and what owners have.
type grantRow struct {
	schema, name, specific, grantor, grantee, privilege string
	grantable                                           bool
}

// grantsOn lists the privileges on one object that concern the user: granted to
// or by a role that it is a member of, or to everybody.
func (v *View) grantsOn(oid uint32, owner string, all []privilege) []grantRow {
	var out []grantRow
	for _, p := range all {
		out = append(out, grantRow{grantor: owner, grantee: owner, privilege: p.name, grantable: true})
	}
	grants := v.Snapshot.Grants(oid)
	if all[0].name == "EXECUTE" && !v.Snapshot.HasACL(oid) {
		grants = append(grants, catalog.Grant{Role: "public", Privilege: "EXECUTE"})
	}
	for _, g := range grants {
		if g.Role == owner {
			continue
		}
		grantee := g.Role
		if grantee == "public" {
			grantee = "PUBLIC"
		}
		out = append(out, grantRow{grantor: owner, grantee: grantee, privilege: g.Privilege, grantable: g.Grantable})
	}
	kept := out[:0]
	for _, g := range out {
		if g.grantee == "PUBLIC" || v.member(g.grantee) || v.member(g.grantor) {
			kept = append(kept, g)
		}
	}
	return kept
}

// member reports whether the user is a role or belongs to it.
func (v *View) member(role string) bool {
	if v.superuser() {
		return true
	}
	seen := map[string]bool{}
	var find func(string) bool
	find = func(r string) bool {
		if r == role {
			return true
		}
		if seen[r] {
			return false
		}
		seen[r] = true
		d := v.Snapshot.Role(r)
		if d == nil {
			return false
		}
		for _, m := range d.MemberOf {
			if find(m) {
				return true
			}
		}
		return false
	}
	return find(v.User)
}

// virtualACL is what everybody may do with a virtual table.
var virtualACL = []string{
	catalog.BootstrapRole + "=arwdDxt/" + catalog.BootstrapRole,
	"=r/" + catalog.BootstrapRole,
}
