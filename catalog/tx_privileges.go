package catalog

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/volleydb/volley/pgerr"
)

// Who may use an object by default holds until the first GRANT or REVOKE on it;
// from then on only what is written down. An entry of the role aclMark says that
// this has happened.
const aclMark = ""

func (s *Snapshot) putLanguage(o *Language) { s.langs[o.Name], s.byOID[o.OID] = o, o }

// Language finds a language; nil if there is none.
func (s *Snapshot) Language(name string) *Language { return s.langs[name] }

// Languages returns the languages by OID.
func (s *Snapshot) Languages() []*Language {
	return sorted(maps.Values(s.langs), func(a, b *Language) int { return cmp.Compare(a.OID, b.OID) })
}

// HasACL reports whether the privileges on an object were ever changed; else
// those hold that such objects have by default.
func (s *Snapshot) HasACL(object uint32) bool {
	_, ok := s.grants[grantKey{object, aclMark, ""}]
	return ok
}

// publicByDefault reports whether everybody may use an object with no ACL.
func (s *Snapshot) publicByDefault(object uint32) bool {
	switch o := s.byOID[object].(type) {
	case *FunctionDef:
		return true
	case *Language:
		return o.Trusted
	}
	return false
}

// writeACL writes the default privileges on an object down before they change.
func (s *Snapshot) writeACL(object uint32) {
	privilege := ""
	switch s.byOID[object].(type) {
	case *FunctionDef:
		privilege = "EXECUTE"
	case *Language:
		privilege = "USAGE"
	default:
		return
	}
	if s.HasACL(object) {
		return
	}
	if s.publicByDefault(object) {
		s.grants[grantKey{object, "public", privilege}] = Grant{Object: object, Role: "public", Privilege: privilege}
	}
	s.grants[grantKey{object, aclMark, ""}] = Grant{Object: object, Role: aclMark}
}

func (s *Snapshot) grantee(role string) error {
	if role != "public" && s.roles[role] == nil {
		return noRole(role)
	}
	return nil
}

// GrantPrivilege adds a grant; 42704 for a role or object that does not exist.
func (tx *Tx) GrantPrivilege(g Grant) error {
	return tx.do(func(d *Snapshot) error {
		if err := d.grantee(g.Role); err != nil {
			return err
		}
		if d.byOID[g.Object] == nil {
			return pgerr.New(pgerr.UndefinedObject, "object with OID %d does not exist", g.Object)
		}
		d.writeACL(g.Object)
		k := grantKey{g.Object, g.Role, g.Privilege}
		c := g
		c.Grantable = g.Grantable || d.grants[k].Grantable
		d.grants[k] = c
		return nil
	})
}

// RevokePrivilege removes a grant, or with optionOnly the right to pass it on;
// revoking what is not granted is a no-op.
func (tx *Tx) RevokePrivilege(object uint32, role, privilege string, optionOnly bool) error {
	return tx.do(func(d *Snapshot) error {
		if err := d.grantee(role); err != nil {
			return err
		}
		k := grantKey{object, role, privilege}
		g, ok := d.grants[k]
		switch {
		case optionOnly && ok:
			g.Grantable = false
			d.grants[k] = g
		case !optionOnly:
			d.writeACL(object)
			delete(d.grants, k)
		}
		return nil
	})
}

// MayGrant reports whether a role may grant a privilege on an object: as
// superuser, as owner, or with a grant option.
func (s *Snapshot) MayGrant(role string, object uint32, privilege string) bool {
	if s.Owns(role, object) {
		return true
	}
	for r := range s.memberships(role) {
		if s.grants[grantKey{object, r, privilege}].Grantable {
			return true
		}
	}
	return false
}

// Owns reports whether a role is a superuser, the owner of an object, or a member
// of its owner.
func (s *Snapshot) Owns(role string, object uint32) bool {
	if r := s.roles[role]; r != nil && r.Superuser {
		return true
	}
	return s.memberships(role)[s.ownerOf(object)]
}

// IsMember reports whether a role is another or belongs to it, directly or not,
// or is a superuser.
func (s *Snapshot) IsMember(role, of string) bool {
	if r := s.roles[role]; r != nil && r.Superuser {
		return true
	}
	return s.memberships(role)[of]
}

// DefaultACLs returns what ALTER DEFAULT PRIVILEGES has said, by role and schema.
func (s *Snapshot) DefaultACLs() []*DefaultACL {
	return sorted(maps.Values(s.defaults), func(a, b *DefaultACL) int {
		return cmp.Or(strings.Compare(a.Role, b.Role), strings.Compare(a.Schema, b.Schema))
	})
}

var executeByAll = Grant{Role: "public", Privilege: "EXECUTE"}

// AlterDefaultPrivileges grants or revokes EXECUTE on the functions that a role
// will create, in a schema or ("") in all.
func (tx *Tx) AlterDefaultPrivileges(role, schema string, grant bool, g Grant) error {
	return tx.do(func(d *Snapshot) error {
		if d.roles[role] == nil {
			return noRole(role)
		}
		if schema != "" && d.schemas[schema] == nil {
			return noSchema(schema)
		}
		if err := d.grantee(g.Role); err != nil {
			return err
		}
		if g.Role == role {
			return nil // owners hold everything
		}
		k := defaultKey{role, schema}
		a := &DefaultACL{Role: role, Schema: schema}
		if old := d.defaults[k]; old != nil {
			a.Grants = slices.Clone(old.Grants)
		} else if schema == "" {
			a.Grants = []Grant{executeByAll}
		}
		at := slices.IndexFunc(a.Grants, func(o Grant) bool { return o.Role == g.Role && o.Privilege == g.Privilege })
		switch {
		case grant && at >= 0:
			a.Grants[at].Grantable = a.Grants[at].Grantable || g.Grantable
		case grant:
			a.Grants = append(a.Grants, Grant{Role: g.Role, Privilege: g.Privilege, Grantable: g.Grantable})
		case at >= 0 && g.Grantable: // GRANT OPTION FOR
			a.Grants[at].Grantable = false
		case at >= 0:
			a.Grants = slices.Delete(a.Grants, at, at+1)
		}
		slices.SortFunc(a.Grants, func(x, y Grant) int { return strings.Compare(x.Role, y.Role) })
		// What says the same as no entry is none.
		if schema != "" && len(a.Grants) == 0 || schema == "" && slices.Equal(a.Grants, []Grant{executeByAll}) {
			delete(d.defaults, k)
		} else {
			d.defaults[k] = a
		}
		return nil
	})
}

// applyDefaults gives a new function the privileges that its owner wants.
func (s *Snapshot) applyDefaults(f *FunctionDef) {
	put := func(a *DefaultACL) {
		for _, g := range a.Grants {
			g.Object = f.OID
			s.grants[grantKey{f.OID, g.Role, g.Privilege}] = g
		}
	}
	if a := s.defaults[defaultKey{f.Owner, ""}]; a != nil {
		s.grants[grantKey{f.OID, aclMark, ""}] = Grant{Object: f.OID, Role: aclMark}
		put(a)
	}
	if a := s.defaults[defaultKey{f.Owner, f.Schema}]; a != nil {
		s.writeACL(f.OID)
		put(a)
	}
}

// defaultsOf names, for DROP ROLE, the default privileges that speak of a role.
func (s *Snapshot) defaultsOf(role string) []string {
	var out []string
	for _, a := range s.DefaultACLs() {
		in := ""
		if a.Schema != "" {
			in = " in schema " + a.Schema
		}
		switch {
		case a.Role == role:
			out = append(out, "owner of default privileges on new functions belonging to role "+role+in)
		case slices.ContainsFunc(a.Grants, func(g Grant) bool { return g.Role == role }):
			out = append(out, "privileges for default privileges on new functions belonging to role "+a.Role+in)
		}
	}
	return out
}
