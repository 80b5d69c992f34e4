package coordinator

import (
	"context"
	"os"
	"path/filepath"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/catalog"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/planner"
	"github.com/volleydb/volley/storage"
)

// files plans file functions, with a memory of files seen.
type files struct {
	x     *statement
	cache *storage.PlanCache
	rec   *recorder // may be nil
	rp    *replay   // may be nil
	// private are the directories whose files may not be named.
	private []string
}

// As are the files as a role may read them: the session's user, or the owner of the
// SECURITY DEFINER function whose body names them.
func (f files) As(role, function string) (planner.Files, error) {
	if role == "" {
		role = f.x.s.o.User
	}
	if !f.x.snap.IsMember(role, catalog.ReadFilesRole) {
		return nil, pgerr.New(pgerr.InsufficientPrivilege, "permission denied to read files of the server").
			WithDetail("Only roles with privileges of the %q role may use %s.", catalog.ReadFilesRole, function).
			WithHint("A superuser can GRANT %s TO %s.", catalog.ReadFilesRole, quoted(role))
	}
	f.private = f.x.privateDirs(role)
	return f, nil
}

// privateDirs are the server's own directories, for all but superusers: there are
// receipts, failed rows and code of others in them.
func (x *statement) privateDirs(role string) []string {
	if r := x.snap.Role(role); r != nil && r.Superuser {
		return nil
	}
	out := []string{x.s.c.cfg.Store.Dir()}
	if a := x.s.c.cfg.Artifacts; a != nil {
		out = append(out, a.Dir())
	}
	return out
}

// glob finds the files of a pattern; for a replay those that there were.
func (f files) glob(format, pattern string) (paths []string, err error) {
	if f.rp != nil {
		paths, err = f.rp.filesOf(format, pattern)
	} else {
		paths, err = storage.Glob(pattern)
	}
	if err != nil {
		return nil, err
	}
	return paths, notPrivate(f.private, paths...)
}

// notPrivate is 42501 if one of the paths is in one of the directories.
func notPrivate(dirs []string, paths ...string) error {
	for _, dir := range dirs {
		dir = realPath(dir)
		for _, p := range paths {
			if rel, err := filepath.Rel(dir, realPath(p)); err == nil && filepath.IsLocal(rel) {
				return pgerr.New(pgerr.InsufficientPrivilege, "permission denied for file %q", p).
					WithDetail("Only superusers may use files of the server's data directory.")
			}
		}
	}
	return nil
}

// realPath is the absolute path of a file without symbolic links, whether it exists
// or would be made.
func realPath(p string) string {
	if a, err := filepath.Abs(p); err == nil {
		p = a
	}
	for range 64 { // links that point to nothing, or in a circle
		if r, err := filepath.EvalSymlinks(p); err == nil {
			return r
		}
		to, err := os.Readlink(p)
		if err != nil {
			break
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(realPath(filepath.Dir(p)), to)
		}
		p = to
	}
	if dir := filepath.Dir(p); dir != p {
		return filepath.Join(realPath(dir), filepath.Base(p))
	}
	return p
}

// mayCopyFile checks that the session's user may COPY from or to a file of the server.
func (x *statement) mayCopyFile(path string, from bool) error {
	to, role := "to", catalog.WriteFilesRole
	if from {
		to, role = "from", catalog.ReadFilesRole
	}
	if !x.snap.IsMember(x.s.o.User, role) {
		return pgerr.New(pgerr.InsufficientPrivilege, "permission denied to COPY %s a file", to).
			WithDetail("Only roles with privileges of the %q role may COPY %s a file.", role, to).
			WithHint("Anyone can COPY to stdout or from stdin. psql's \\copy command also works for anyone. A superuser can GRANT %s TO %s.",
				role, quoted(x.s.o.User))
	}
	return notPrivate(x.privateDirs(x.s.o.User), path)
}

// grantRole is GRANT and REVOKE of the predefined roles.
func (x *statement) grantRole(ctx context.Context, n *pg.GrantRoleStmt) (*Result, error) {
	for _, g := range n.GrantedRoles {
		if r := x.snap.Role(g.GetAccessPriv().GetPrivName()); r == nil || !r.Predefined() || len(n.Opt) > 0 || n.Grantor != nil {
			return nil, pgerr.From(unsupportedStatement(x.st)).
				WithHint("The roles that others can be members of, without options, are %s and %s.", catalog.ReadFilesRole, catalog.WriteFilesRole)
		}
	}
	for _, g := range n.GrantedRoles {
		if role := g.GetAccessPriv().GetPrivName(); !x.superuser() {
			return nil, pgerr.New(pgerr.InsufficientPrivilege, "must have admin option on role %q", role).WithHint("Superusers have.")
		}
	}
	var members []string
	for _, g := range n.GranteeRoles {
		m, err := x.roleName(g.GetRoleSpec())
		if err != nil {
			return nil, err
		}
		members = append(members, m)
	}
	err := x.change(ctx, func(tx *catalog.Tx) error {
		for _, g := range n.GrantedRoles {
			role := g.GetAccessPriv().GetPrivName()
			for _, m := range members {
				changed, err := tx.SetMember(role, m, n.IsGrant)
				switch {
				case err != nil:
					return err
				case !changed && n.IsGrant:
					x.s.notice("NOTICE", "00000", "role \""+m+"\" is already a member of role \""+role+"\"", "")
				case !changed:
					x.s.notice("WARNING", "01000", "role \""+m+"\" is not a member of role \""+role+"\"", "")
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if n.IsGrant {
		return done("GRANT ROLE"), nil
	}
	return done("REVOKE ROLE"), nil
}
