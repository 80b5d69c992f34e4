package catalog

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/volleydb/volley/pgerr"
)

// The put and remove methods keep a draft's maps in step.

func (s *Snapshot) putSchema(o *Schema) { s.schemas[o.Name], s.byOID[o.OID] = o, o }
func (s *Snapshot) putRole(o *Role)     { s.roles[o.Name], s.byOID[o.OID] = o, o }

func (s *Snapshot) putRelation(o *Relation) {
	s.relations[qname{o.Schema, o.Name}], s.byOID[o.OID] = o, o
}

// putFunction makes f the current version of its OID.
func (s *Snapshot) putFunction(f *FunctionDef) {
	q := qname{f.Schema, f.Name}
	fs := slices.DeleteFunc(slices.Clone(s.functions[q]), func(o *FunctionDef) bool { return o.OID == f.OID })
	fs = append(fs, f)
	slices.SortFunc(fs, func(a, b *FunctionDef) int { return cmp.Compare(a.OID, b.OID) })
	s.functions[q], s.byOID[f.OID] = fs, f
}

// remove takes an object and the grants on it out.
func (s *Snapshot) remove(o any) {
	switch o := o.(type) {
	case *Schema:
		delete(s.schemas, o.Name)
	case *Role:
		delete(s.roles, o.Name)
	case *UserType:
		delete(s.types, qname{o.Schema, o.Name})
	case *Relation:
		delete(s.relations, qname{o.Schema, o.Name})
	case *FunctionDef:
		q := qname{o.Schema, o.Name}
		fs := slices.DeleteFunc(slices.Clone(s.functions[q]), func(f *FunctionDef) bool { return f.OID == o.OID })
		if s.functions[q] = fs; len(fs) == 0 {
			delete(s.functions, q)
		}
		delete(s.versions, o.OID)
	case *Extension:
		delete(s.exts, o.Name)
	}
	oid := oidOf(o)
	delete(s.byOID, oid)
	maps.DeleteFunc(s.grants, func(k grantKey, _ Grant) bool { return k.object == oid })
}

func oidOf(o any) uint32 {
	switch o := o.(type) {
	case *Schema:
		return o.OID
	case *Role:
		return o.OID
	case *Relation:
		return o.OID
	case *FunctionDef:
		return o.OID
	case *UserType:
		return o.OID
	case *Extension:
		return o.OID
	case *Language:
		return o.OID
	}
	return 0
}

// describe names an object as Postgres' messages do.
func describe(o any) string {
	switch o := o.(type) {
	case *Schema:
		return "schema " + o.Name
	case *Role:
		return "role " + o.Name
	case *Relation:
		return o.Kind.String() + " " + qualified(o.Schema, o.Name)
	case *UserType:
		return "type " + qualified(o.Schema, o.Name)
	case *FunctionDef:
		return "function " + qualified(o.Schema, o.Signature())
	case *Extension:
		return "extension " + o.Name
	case *Language:
		return "language " + o.Name
	}
	return "object"
}

func qualified(schema, name string) string {
	if schema == "public" {
		return name
	}
	return schema + "." + name
}

// Signature is the name and the argument types: f(bigint,text).
func (f *FunctionDef) Signature() string {
	var ts []string
	for _, a := range f.Args {
		ts = append(ts, a.Type.Bare().String())
	}
	return f.Name + "(" + strings.Join(ts, ",") + ")"
}

// CommentOn sets the comment of an object by OID, or of a relation's column
// (column > 0, counted from 1); "" removes it.
func (tx *Tx) CommentOn(oid uint32, column int, comment string) error {
	return tx.do(func(d *Snapshot) error {
		switch o := d.byOID[oid].(type) {
		case *Schema:
			c := *o
			c.Comment = comment
			d.putSchema(&c)
		case *UserType:
			c := *o
			c.Comment = comment
			d.putType(&c)
		case *Role:
			c := *o
			c.Comment = comment
			d.putRole(&c)
		case *FunctionDef:
			d.alterVersions(o, func(f *FunctionDef) { f.Comment = comment })
		case *Extension:
			c := *o
			c.Comment = comment
			d.putExtension(&c)
		case *Language:
			c := *o
			c.Comment = comment
			d.putLanguage(&c)
		case *Relation:
			c := *o
			if column == 0 {
				c.Comment = comment
			} else {
				if column < 0 || column > len(c.Columns) {
					return pgerr.New(pgerr.UndefinedColumn, "column number %d of relation \"%s\" does not exist", column, o.Name)
				}
				c.Columns = slices.Clone(o.Columns)
				c.Columns[column-1].Comment = comment
			}
			d.putRelation(&c)
		default:
			return pgerr.New(pgerr.UndefinedObject, "object with OID %d does not exist", oid)
		}
		return nil
	})
}

// AlterOwner gives an object to another role.
func (tx *Tx) AlterOwner(oid uint32, role string) error {
	return tx.do(func(d *Snapshot) error {
		if d.roles[role] == nil {
			return noRole(role)
		}
		switch o := d.byOID[oid].(type) {
		case *Schema:
			c := *o
			c.Owner = role
			d.putSchema(&c)
		case *UserType:
			c := *o
			c.Owner = role
			d.putType(&c)
		case *Relation:
			c := *o
			c.Owner = role
			d.putRelation(&c)
		case *FunctionDef:
			d.alterVersions(o, func(f *FunctionDef) { f.Owner = role })
		default:
			return pgerr.New(pgerr.UndefinedObject, "object with OID %d does not exist", oid)
		}
		return nil
	})
}

func noRole(name string) error {
	return pgerr.New(pgerr.UndefinedObject, "role \"%s\" does not exist", name)
}

// CreateRole adds a role; 42710.
func (tx *Tx) CreateRole(r Role) (*Role, error) {
	r.OID = tx.store.newOID()
	return &r, tx.do(func(d *Snapshot) error {
		if r.Name == "public" || r.Name == "none" || strings.HasPrefix(r.Name, "pg_") {
			return pgerr.New(pgerr.ReservedName, "role name \"%s\" is reserved", r.Name)
		}
		if d.roles[r.Name] != nil {
			return pgerr.New(pgerr.DuplicateObject, "role \"%s\" already exists", r.Name)
		}
		return d.checkedRole(&r)
	})
}

// AlterRole replaces the attributes of a role of the same name; 42704.
func (tx *Tx) AlterRole(r Role) error {
	return tx.do(func(d *Snapshot) error {
		old := d.roles[r.Name]
		if old == nil {
			return noRole(r.Name)
		}
		if old.Predefined() {
			return pgerr.New(pgerr.ReservedName, "role name \"%s\" is reserved", r.Name).WithDetail("Cannot alter reserved roles.")
		}
		c := r
		c.OID = old.OID
		if old.OID == BootstrapOID && !c.Superuser {
			return pgerr.New(pgerr.FeatureNotSupported, "permission denied to alter role").
				WithDetail("The bootstrap user must have the SUPERUSER attribute.")
		}
		return d.checkedRole(&c)
	})
}

// SetMember makes a role a member of another, or ends that; it reports whether that
// changes anything. 42704, 0LP01 for a circle.
func (tx *Tx) SetMember(of, member string, is bool) (changed bool, err error) {
	err = tx.do(func(d *Snapshot) error {
		m := d.roles[member]
		if m == nil {
			return noRole(member)
		}
		if d.roles[of] == nil {
			return noRole(of)
		}
		if changed = slices.Contains(m.MemberOf, of) != is; !changed {
			return nil
		}
		c := *m
		c.MemberOf = slices.DeleteFunc(slices.Clone(m.MemberOf), func(r string) bool { return r == of })
		if is {
			c.MemberOf = append(c.MemberOf, of)
			slices.Sort(c.MemberOf)
		}
		return d.checkedRole(&c)
	})
	return changed, err
}

// checkedRole puts a role whose memberships exist and make no circle.
func (s *Snapshot) checkedRole(r *Role) error {
	for _, m := range r.MemberOf {
		if s.roles[m] == nil {
			return noRole(m)
		}
		if s.memberships(m)[r.Name] {
			return pgerr.New("0LP01", "role \"%s\" is a member of role \"%s\"", m, r.Name)
		}
	}
	c := *r
	s.putRole(&c)
	return nil
}

// DropRole removes a role that owns nothing; 42704, 2BP01.
func (tx *Tx) DropRole(name string) error {
	return tx.do(func(d *Snapshot) error {
		r := d.roles[name]
		if r == nil {
			return noRole(name)
		}
		var details []string
		for oid := range d.byOID {
			if d.ownerOf(oid) == name {
				details = append(details, "owner of "+describe(d.byOID[oid]))
			}
		}
		for k := range d.grants {
			if k.role == name {
				details = append(details, "privileges for "+describe(d.byOID[k.object]))
			}
		}
		details = append(details, d.defaultsOf(name)...)
		if r.OID == BootstrapOID || r.Predefined() {
			return pgerr.New(pgerr.DependentObjectsStillExist, "cannot drop role %s because it is required by the database system", name)
		}
		if details != nil {
			slices.Sort(details)
			return pgerr.New(pgerr.DependentObjectsStillExist, "role \"%s\" cannot be dropped because some objects depend on it", name).
				WithDetail("%s", strings.Join(slices.Compact(details), "\n"))
		}
		d.remove(r)
		for _, o := range d.Roles() {
			if slices.Contains(o.MemberOf, name) {
				c := *o
				c.MemberOf = slices.DeleteFunc(slices.Clone(o.MemberOf), func(m string) bool { return m == name })
				d.putRole(&c)
			}
		}
		return nil
	})
}

// SetSetting sets a default of the database; value nil removes it.
func (tx *Tx) SetSetting(name string, value *string) error {
	return tx.do(func(d *Snapshot) error {
		if value == nil {
			delete(d.settings, name)
		} else {
			d.settings[name] = *value
		}
		return nil
	})
}

// PutArtifact records an artifact; recording one again is a no-op.
func (tx *Tx) PutArtifact(a Artifact) error {
	if a.Created.IsZero() {
		a.Created = time.Now().UTC()
	}
	return tx.do(func(d *Snapshot) error {
		if d.artifacts[a.Digest] == nil {
			d.artifacts[a.Digest] = &a
		}
		return nil
	})
}

// DropArtifact removes an artifact; 2BP01 while a version of a function uses it.
func (tx *Tx) DropArtifact(digest string) error {
	return tx.do(func(d *Snapshot) error {
		if d.artifacts[digest] == nil {
			return pgerr.New(pgerr.UndefinedObject, "artifact \"%s\" does not exist", digest)
		}
		for _, vs := range d.versions {
			for _, f := range vs {
				if f.Digest == digest {
					return pgerr.New(pgerr.DependentObjectsStillExist, "cannot drop artifact %s because other objects depend on it", digest).
						WithDetail("version %d of %s depends on it", f.Version, describe(f))
				}
			}
		}
		delete(d.artifacts, digest)
		return nil
	})
}

// FunctionNames returns the names of a schema's functions, sorted, for hints.
func (s *Snapshot) FunctionNames(schema string) []string {
	var out []string
	for q := range s.functions {
		if q.schema == schema {
			out = append(out, q.name)
		}
	}
	slices.Sort(out)
	return out
}
