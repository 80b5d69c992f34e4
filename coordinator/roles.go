package coordinator

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
	"github.com/xdg-go/scram"

	"github.com/volleydb/volley/catalog"
	"github.com/volleydb/volley/pgerr"
)

// scramIterations is the work factor of new verifiers, Postgres' default.
const scramIterations = 4096

// verifier turns a password into what the catalog keeps of it. One that is a
// verifier already (psql's \password sends it so) is kept.
func verifier(password string) (string, error) {
	if strings.HasPrefix(password, "SCRAM-SHA-256$") {
		return password, nil
	}
	c, err := scram.SHA256.NewClient("", password, "")
	if err != nil {
		return "", pgerr.Wrap(err, pgerr.InvalidParameterValue, "password")
	}
	salt := make([]byte, 16)
	if _, err := rand.Read(salt); err != nil {
		return "", pgerr.Wrap(err, pgerr.InternalError, "random salt")
	}
	k, err := c.GetStoredCredentialsWithError(scram.KeyFactors{Salt: string(salt), Iters: scramIterations})
	if err != nil {
		return "", pgerr.Wrap(err, pgerr.InternalError, "password")
	}
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", scramIterations, b64(salt), b64(k.StoredKey), b64(k.ServerKey)), nil
}

func (x *statement) roleOptions(r *catalog.Role, opts []*pg.Node) error {
	for _, o := range opts {
		e := o.GetDefElem()
		on := e.Arg.GetBoolean().GetBoolval()
		switch e.Defname {
		case "superuser":
			r.Superuser = on
		case "canlogin":
			r.Login = on
		case "createrole":
			r.CreateRole = on
		case "createdb":
			r.CreateDB = on
		case "inherit":
		case "password":
			if e.Arg == nil {
				r.Verifier = ""
				continue
			}
			v, err := verifier(e.Arg.GetString_().GetSval())
			if err != nil {
				return err
			}
			r.Verifier = v
		case "connectionlimit":
			r.ConnLimit = int(e.Arg.GetInteger().GetIval())
		default:
			return pgerr.New(pgerr.FeatureNotSupported, "role option %s is not supported", strings.ToUpper(e.Defname)).At(x.st.Pos(e.Location))
		}
	}
	return nil
}

// manageRoles checks that the session may change roles.
func (x *statement) manageRoles() error {
	if r := x.snap.Role(x.s.o.User); r == nil || !r.Superuser && !r.CreateRole {
		return pgerr.New(pgerr.InsufficientPrivilege, "permission denied to manage roles")
	}
	return nil
}

func (x *statement) createRole(ctx context.Context, n *pg.CreateRoleStmt) (*Result, error) {
	if err := x.manageRoles(); err != nil {
		return nil, err
	}
	r := catalog.Role{Name: n.Role, ConnLimit: -1, Login: n.StmtType == pg.RoleStmtType_ROLESTMT_USER}
	if err := x.roleOptions(&r, n.Options); err != nil {
		return nil, err
	}
	if r.Superuser && !x.superuser() {
		return nil, pgerr.New(pgerr.InsufficientPrivilege, "must be superuser to create superusers")
	}
	if err := x.change(ctx, func(tx *catalog.Tx) error { _, err := tx.CreateRole(r); return err }); err != nil {
		return nil, err
	}
	return done("CREATE ROLE"), nil
}

func (x *statement) alterRole(ctx context.Context, n *pg.AlterRoleStmt) (*Result, error) {
	name := n.Role.GetRolename()
	if n.Role.GetRoletype() == pg.RoleSpecType_ROLESPEC_CURRENT_USER || n.Role.GetRoletype() == pg.RoleSpecType_ROLESPEC_SESSION_USER {
		name = x.s.o.User
	}
	if name != x.s.o.User {
		if err := x.manageRoles(); err != nil {
			return nil, err
		}
	}
	have := x.snap.Role(name)
	if have == nil {
		return nil, pgerr.New(pgerr.UndefinedObject, "role %q does not exist", name)
	}
	r := *have
	if err := x.roleOptions(&r, n.Options); err != nil {
		return nil, err
	}
	if (r.Superuser || have.Superuser) && !x.superuser() {
		return nil, pgerr.New(pgerr.InsufficientPrivilege, "must be superuser to alter superuser roles or change superuser attribute")
	}
	if r.Superuser && !have.Superuser || r.CreateRole && !have.CreateRole {
		if err := x.manageRoles(); err != nil {
			return nil, err
		}
	}
	if err := x.change(ctx, func(tx *catalog.Tx) error { return tx.AlterRole(r) }); err != nil {
		return nil, err
	}
	return done("ALTER ROLE"), nil
}

func (x *statement) dropRole(ctx context.Context, n *pg.DropRoleStmt) (*Result, error) {
	if err := x.manageRoles(); err != nil {
		return nil, err
	}
	for _, o := range n.Roles {
		name := o.GetRoleSpec().GetRolename()
		if x.snap.Role(name) == nil && n.MissingOk {
			x.s.notice("NOTICE", "00000", "role \""+name+"\" does not exist, skipping", "")
			continue
		}
		if name == x.s.o.User {
			return nil, pgerr.New(pgerr.ObjectInUse, "current user cannot be dropped")
		}
		if r := x.snap.Role(name); r != nil && r.Superuser && !x.superuser() {
			return nil, pgerr.New(pgerr.InsufficientPrivilege, "must be superuser to drop superusers")
		}
		if err := x.change(ctx, func(tx *catalog.Tx) error { return tx.DropRole(name) }); err != nil {
			return nil, err
		}
	}
	return done("DROP ROLE"), nil
}
