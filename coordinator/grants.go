package coordinator

import (
	"context"
	"slices"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/catalog"
	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
)

// invalidGrant is invalid_grant_operation.
const invalidGrant = "0LP01"

// roleName is the role that a statement names, which must exist; PUBLIC is "public".
func (x *statement) roleName(r *pg.RoleSpec) (string, error) {
	switch r.GetRoletype() {
	case pg.RoleSpecType_ROLESPEC_PUBLIC:
		return "public", nil
	case pg.RoleSpecType_ROLESPEC_CURRENT_USER, pg.RoleSpecType_ROLESPEC_SESSION_USER, pg.RoleSpecType_ROLESPEC_CURRENT_ROLE:
		return x.s.o.User, nil
	}
	name := r.GetRolename()
	if x.snap.Role(name) == nil {
		return "", pgerr.New(pgerr.UndefinedObject, "role %q does not exist", name)
	}
	return name, nil
}

// grantTarget is an object of GRANT.
type grantTarget struct {
	oid   uint32
	owner string
	kind  string // as messages name it
	name  string
}

func functionTarget(f *catalog.FunctionDef) grantTarget {
	kind := "function"
	if f.Kind == catalog.FuncAggregate {
		kind = "aggregate"
	}
	return grantTarget{f.OID, f.Owner, kind, f.Name}
}

// grantedPrivilege is the one privilege that a kind of object has, if the
// statement names that or all.
func grantedPrivilege(n *pg.GrantStmt) (string, error) {
	want, kind := "EXECUTE", "function"
	if n.Objtype == pg.ObjectType_OBJECT_LANGUAGE {
		want, kind = "USAGE", "language"
	}
	for _, p := range n.Privileges {
		a := p.GetAccessPriv()
		if len(a.Cols) > 0 {
			return "", pgerr.New(invalidGrant, "column privileges are only valid for relations")
		}
		if name := strings.ToUpper(a.PrivName); name != want {
			return "", pgerr.New(invalidGrant, "invalid privilege type %s for %s", name, kind)
		}
	}
	return want, nil
}

func (x *statement) grantees(n *pg.GrantStmt) ([]string, error) {
	var out []string
	for _, g := range n.Grantees {
		name, err := x.roleName(g.GetRoleSpec())
		if err != nil {
			return nil, err
		}
		if n.IsGrant && n.GrantOption && name == "public" {
			return nil, pgerr.New(invalidGrant, "grant options can only be granted to roles")
		}
		out = append(out, name)
	}
	return out, nil
}

// grant is GRANT and REVOKE on functions and languages.
func (x *statement) grant(ctx context.Context, n *pg.GrantStmt) (*Result, error) {
	tag := "GRANT"
	if !n.IsGrant {
		tag = "REVOKE"
	}
	var targets []grantTarget
	switch n.Objtype {
	case pg.ObjectType_OBJECT_FUNCTION, pg.ObjectType_OBJECT_ROUTINE:
		if n.Targtype == pg.GrantTargetType_ACL_TARGET_ALL_IN_SCHEMA {
			for _, o := range n.Objects {
				schema := o.GetString_().GetSval()
				if x.snap.Schema(schema) == nil {
					return nil, pgerr.New(pgerr.InvalidSchemaName, "schema %q does not exist", schema)
				}
				for _, f := range x.snap.AllFunctions() {
					if f.Schema == schema {
						targets = append(targets, functionTarget(f))
					}
				}
			}
			break
		}
		for _, o := range n.Objects {
			f, err := x.findFunction(x.snap, o.GetObjectWithArgs(), pg.ObjectType_OBJECT_ROUTINE)
			if err != nil {
				if _, name := objectName(o); pgerr.Code(err) == pgerr.UndefinedFunction && len(function.Lookup(name)) > 0 {
					return nil, pgerr.New(pgerr.FeatureNotSupported, "changing the privileges on built-in functions is not supported")
				}
				return nil, err
			}
			targets = append(targets, functionTarget(f))
		}
	case pg.ObjectType_OBJECT_LANGUAGE:
		for _, o := range n.Objects {
			name := o.GetString_().GetSval()
			l := x.snap.Language(name)
			if l == nil {
				return nil, pgerr.New(pgerr.UndefinedObject, "language %q does not exist", name)
			}
			targets = append(targets, grantTarget{l.OID, catalog.BootstrapRole, "language", name})
		}
	default:
		what := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(n.Objtype.String(), "OBJECT_"), "_", " "))
		return nil, pgerr.New(pgerr.FeatureNotSupported, "%s on a %s is not supported", tag, what).
			WithHint("Privileges are kept on functions and languages.")
	}
	privilege, err := grantedPrivilege(n)
	if err != nil {
		return nil, err
	}
	roles, err := x.grantees(n)
	if err != nil {
		return nil, err
	}
	for _, t := range targets {
		if !x.snap.MayGrant(x.s.o.User, t.oid, privilege) {
			if !x.snap.HasPrivilege(x.s.o.User, t.oid, privilege) {
				return nil, pgerr.New(pgerr.InsufficientPrivilege, "permission denied for %s %s", t.kind, t.name)
			}
			// One who may use it but not pass it on gets a warning, as in Postgres.
			verb := "granted"
			if !n.IsGrant {
				verb = "revoked"
			}
			x.s.notice("WARNING", "01007", "no privileges were "+verb+" for \""+t.name+"\"", "")
			return done(tag), nil
		}
		if !n.IsGrant && slices.Contains(roles, t.owner) {
			return nil, pgerr.New(pgerr.FeatureNotSupported, "revoking an owner's privileges on its own %s is not supported", t.kind)
		}
	}
	err = x.change(ctx, func(tx *catalog.Tx) error {
		for _, t := range targets {
			for _, r := range roles {
				var err error
				if n.IsGrant {
					err = tx.GrantPrivilege(catalog.Grant{Object: t.oid, Role: r, Privilege: privilege, Grantable: n.GrantOption})
				} else {
					err = tx.RevokePrivilege(t.oid, r, privilege, n.GrantOption)
				}
				if err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return done(tag), nil
}

// alterDefaultPrivileges is ALTER DEFAULT PRIVILEGES … ON FUNCTIONS.
func (x *statement) alterDefaultPrivileges(ctx context.Context, n *pg.AlterDefaultPrivilegesStmt) (*Result, error) {
	a := n.Action
	if a.Objtype != pg.ObjectType_OBJECT_FUNCTION && a.Objtype != pg.ObjectType_OBJECT_ROUTINE {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "ALTER DEFAULT PRIVILEGES is supported for functions only")
	}
	var owners, schemas []string
	for _, o := range n.Options {
		e := o.GetDefElem()
		for _, i := range e.Arg.GetList().GetItems() {
			switch e.Defname {
			case "schemas":
				schema := i.GetString_().GetSval()
				if x.snap.Schema(schema) == nil {
					return nil, pgerr.New(pgerr.InvalidSchemaName, "schema %q does not exist", schema)
				}
				schemas = append(schemas, schema)
			case "roles":
				name, err := x.roleName(i.GetRoleSpec())
				if err != nil {
					return nil, err
				}
				owners = append(owners, name)
			}
		}
	}
	if owners == nil {
		owners = []string{x.s.o.User}
	}
	if schemas == nil {
		schemas = []string{""}
	}
	for _, o := range owners {
		if !x.snap.IsMember(x.s.o.User, o) {
			return nil, pgerr.New(pgerr.InsufficientPrivilege, "must be member of role %q", o)
		}
	}
	privilege, err := grantedPrivilege(a)
	if err != nil {
		return nil, err
	}
	roles, err := x.grantees(a)
	if err != nil {
		return nil, err
	}
	for _, o := range owners {
		if !a.IsGrant && slices.Contains(roles, o) {
			return nil, pgerr.New(pgerr.FeatureNotSupported, "revoking an owner's privileges on its own function is not supported")
		}
	}
	err = x.change(ctx, func(tx *catalog.Tx) error {
		for _, o := range owners {
			for _, s := range schemas {
				for _, r := range roles {
					if err := tx.AlterDefaultPrivileges(o, s, a.IsGrant, catalog.Grant{Role: r, Privilege: privilege, Grantable: a.GrantOption}); err != nil {
						return err
					}
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return done("ALTER DEFAULT PRIVILEGES"), nil
}

// mayUseLanguage checks that the user may create functions in a language.
func (x *statement) mayUseLanguage(name string) error {
	l := x.snap.Language(strings.ToLower(name))
	if l == nil || x.snap.HasPrivilege(x.s.o.User, l.OID, "USAGE") {
		return nil // what does not exist is reported where it is looked up
	}
	e := pgerr.New(pgerr.InsufficientPrivilege, "permission denied for language %s", l.Name)
	if !l.Trusted {
		e = e.WithHint("Only superusers, and roles with USAGE on it, can use an untrusted language.")
	}
	return e
}
