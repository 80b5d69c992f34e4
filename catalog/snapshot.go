package catalog

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
)

type qname struct{ schema, name string }

// Snapshot is the catalog at one moment. It never changes and may be read by
// any number of goroutines. What it returns must not be modified.
type Snapshot struct {
	store   *Store
	base    *Snapshot // of a transaction: the published snapshot it began with
	version int64

	schemas   map[string]*Schema
	relations map[qname]*Relation
	functions map[qname][]*FunctionDef  // current versions, by OID
	versions  map[uint32][]*FunctionDef // all versions, ascending
	types     map[qname]*UserType
	roles     map[string]*Role
	exts      map[string]*Extension
	langs     map[string]*Language
	defaults  map[defaultKey]*DefaultACL
	artifacts map[string]*Artifact
	settings  map[string]string // ALTER DATABASE … SET, ALTER SYSTEM
	grants    map[grantKey]Grant
	byOID     map[uint32]any // *Schema, *Relation, *FunctionDef, *UserType, *Role, *Extension, *Language
}

type defaultKey struct{ role, schema string }

type grantKey struct {
	object          uint32
	role, privilege string
}

// clone copies the maps, not the objects, which are immutable.
func (s *Snapshot) clone() *Snapshot {
	c := *s
	c.schemas = maps.Clone(s.schemas)
	c.relations = maps.Clone(s.relations)
	c.functions = maps.Clone(s.functions)
	c.versions = maps.Clone(s.versions)
	c.types = maps.Clone(s.types)
	c.roles = maps.Clone(s.roles)
	c.exts = maps.Clone(s.exts)
	c.langs = maps.Clone(s.langs)
	c.defaults = maps.Clone(s.defaults)
	c.artifacts = maps.Clone(s.artifacts)
	c.settings = maps.Clone(s.settings)
	c.grants = maps.Clone(s.grants)
	c.byOID = maps.Clone(s.byOID)
	return &c
}

func emptySnapshot(st *Store) *Snapshot {
	s := &Snapshot{
		store:     st,
		schemas:   map[string]*Schema{},
		relations: map[qname]*Relation{},
		functions: map[qname][]*FunctionDef{},
		versions:  map[uint32][]*FunctionDef{},
		types:     map[qname]*UserType{},
		roles:     map[string]*Role{},
		exts:      map[string]*Extension{},
		langs:     map[string]*Language{},
		defaults:  map[defaultKey]*DefaultACL{},
		artifacts: map[string]*Artifact{},
		settings:  map[string]string{},
		grants:    map[grantKey]Grant{},
		byOID:     map[uint32]any{},
	}
	for i := range languages {
		s.putLanguage(&languages[i])
	}
	for i := range predefinedRoles {
		s.putRole(&predefinedRoles[i])
	}
	return s
}

// Version counts the committed changes.
func (s *Snapshot) Version() int64 { return s.version }

// Schema finds a schema; nil if there is none.
func (s *Snapshot) Schema(name string) *Schema { return s.schemas[name] }

// Schemas returns all schemas by name.
func (s *Snapshot) Schemas() []*Schema {
	return sorted(maps.Values(s.schemas), func(a, b *Schema) int { return strings.Compare(a.Name, b.Name) })
}

// SchemaByOID finds a schema; nil if there is none.
func (s *Snapshot) SchemaByOID(oid uint32) *Schema { return byOID[Schema](s, oid) }

// Relation finds a table or view; nil if there is none.
func (s *Snapshot) Relation(schema, name string) *Relation { return s.relations[qname{schema, name}] }

// RelationByOID finds a table or view; nil if there is none.
func (s *Snapshot) RelationByOID(oid uint32) *Relation { return byOID[Relation](s, oid) }

// Relations returns all tables and views by OID.
func (s *Snapshot) Relations() []*Relation {
	return sorted(maps.Values(s.relations), func(a, b *Relation) int { return cmp.Compare(a.OID, b.OID) })
}

// Functions returns the current version of every overload of a name.
func (s *Snapshot) Functions(schema, name string) []*FunctionDef {
	return s.functions[qname{schema, name}]
}

// AllFunctions returns the current versions of all functions by OID.
func (s *Snapshot) AllFunctions() []*FunctionDef {
	var out []*FunctionDef
	for _, fs := range s.functions {
		out = append(out, fs...)
	}
	slices.SortFunc(out, func(a, b *FunctionDef) int { return cmp.Compare(a.OID, b.OID) })
	return out
}

// Function finds the overload with exactly these argument types; nil if there
// is none. Type modifiers do not count.
func (s *Snapshot) Function(schema, name string, args []types.Type) *FunctionDef {
	for _, f := range s.functions[qname{schema, name}] {
		if slices.EqualFunc(f.Args, args, func(a Arg, t types.Type) bool { return a.Type.Same(t) }) {
			return f
		}
	}
	return nil
}

// FunctionByOID finds the current version of a function; nil if there is none.
func (s *Snapshot) FunctionByOID(oid uint32) *FunctionDef { return byOID[FunctionDef](s, oid) }

// FunctionVersions returns all versions of a function, ascending.
func (s *Snapshot) FunctionVersions(oid uint32) []*FunctionDef { return s.versions[oid] }

// Role finds a role; nil if there is none.
func (s *Snapshot) Role(name string) *Role { return s.roles[name] }

// RoleByOID finds a role; nil if there is none.
func (s *Snapshot) RoleByOID(oid uint32) *Role { return byOID[Role](s, oid) }

// Roles returns all roles by OID.
func (s *Snapshot) Roles() []*Role {
	return sorted(maps.Values(s.roles), func(a, b *Role) int { return cmp.Compare(a.OID, b.OID) })
}

// Artifact finds an artifact by digest; nil if there is none.
func (s *Snapshot) Artifact(digest string) *Artifact { return s.artifacts[digest] }

// Artifacts returns all artifacts by digest.
func (s *Snapshot) Artifacts() []*Artifact {
	return sorted(maps.Values(s.artifacts), func(a, b *Artifact) int { return strings.Compare(a.Digest, b.Digest) })
}

// Settings returns the database's defaults of settings.
func (s *Snapshot) Settings() map[string]string { return maps.Clone(s.settings) }

// Grants returns the privileges on an object, by role and privilege.
func (s *Snapshot) Grants(object uint32) []Grant {
	var out []Grant
	for k, g := range s.grants {
		if k.object == object && k.role != aclMark {
			out = append(out, g)
		}
	}
	slices.SortFunc(out, func(a, b Grant) int {
		return cmp.Or(strings.Compare(a.Role, b.Role), strings.Compare(a.Privilege, b.Privilege))
	})
	return out
}

// HasPrivilege reports whether a role holds a privilege on an object: as
// superuser, as owner, by a grant, or through a role it is a member of.
func (s *Snapshot) HasPrivilege(role string, object uint32, privilege string) bool {
	held := s.memberships(role)
	owner := s.ownerOf(object)
	for r := range held {
		if d := s.roles[r]; d != nil && d.Superuser && r == role || r == owner {
			return true
		}
		if _, ok := s.grants[grantKey{object, r, privilege}]; ok {
			return true
		}
	}
	if _, ok := s.grants[grantKey{object, "public", privilege}]; ok {
		return true
	}
	return s.publicByDefault(object) && !s.HasACL(object)
}

// memberships returns role and all roles it belongs to, directly or not.
func (s *Snapshot) memberships(role string) map[string]bool {
	held := map[string]bool{}
	var visit func(string)
	visit = func(r string) {
		if held[r] {
			return
		}
		held[r] = true
		if d := s.roles[r]; d != nil {
			for _, m := range d.MemberOf {
				visit(m)
			}
		}
	}
	visit(role)
	return held
}

func (s *Snapshot) ownerOf(oid uint32) string {
	switch o := s.byOID[oid].(type) {
	case *Schema:
		return o.Owner
	case *Relation:
		return o.Owner
	case *FunctionDef:
		return o.Owner
	case *UserType:
		return o.Owner
	case *Extension:
		return o.Owner
	case *Language:
		return BootstrapRole
	}
	return ""
}

// ResolveRelation finds a relation by a possibly unqualified name: in schema
// when that is given, else in the first schema of path that has it. 42P01 with a
// hint if there is none.
func (s *Snapshot) ResolveRelation(path []string, schema, name string) (*Relation, error) {
	if schema != "" {
		if r := s.Relation(schema, name); r != nil {
			return r, nil
		}
		return nil, s.noRelation(path, schema, name)
	}
	for _, p := range path {
		if r := s.Relation(p, name); r != nil {
			return r, nil
		}
	}
	return nil, s.noRelation(path, "", name)
}

func (s *Snapshot) noRelation(path []string, schema, name string) error {
	full := name
	if schema != "" {
		full = schema + "." + name
	}
	e := pgerr.New(pgerr.UndefinedTable, "relation \"%s\" does not exist", full)
	if near := s.Suggest(path, name); len(near) > 0 {
		return e.WithHint("Perhaps you meant the relation \"%s\".", near[0])
	}
	return e
}

func byOID[T any](s *Snapshot, oid uint32) *T {
	x, _ := s.byOID[oid].(*T)
	return x
}

func sorted[T any](seq func(func(T) bool), by func(a, b T) int) []T {
	return slices.SortedFunc(seq, by)
}

// Suggest returns the relations whose names are nearest to name, best first, at
// most three: those within edit distance of a third of the name, and the same
// name in a schema outside path. Names outside path are qualified.
func (s *Snapshot) Suggest(path []string, name string) []string {
	type near struct {
		name string
		dist int
	}
	var found []near
	limit := min(max(1, min(3, len(name)/3)), len(name)-1)
	low := strings.ToLower(name)
	for q := range s.relations {
		d := editDistance(low, strings.ToLower(q.name), limit)
		if d > limit {
			continue
		}
		if slices.Contains(path, q.schema) {
			found = append(found, near{q.name, d})
		} else {
			found = append(found, near{q.schema + "." + q.name, d})
		}
	}
	slices.SortFunc(found, func(a, b near) int {
		return cmp.Or(cmp.Compare(a.dist, b.dist), strings.Compare(a.name, b.name))
	})
	var out []string
	for _, f := range found[:min(3, len(found))] {
		out = append(out, f.name)
	}
	return out
}

// editDistance is Levenshtein's, and limit+1 for anything above limit.
func editDistance(a, b string, limit int) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit {
		return limit + 1
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diag, best := row[0], limit+1
		row[0] = i + 1
		for j := range len(b) {
			sub := diag
			if a[i] != b[j] {
				sub++
			}
			diag = row[j+1]
			row[j+1] = min(sub, diag+1, row[j]+1)
			best = min(best, row[j+1])
		}
		if best > limit {
			return limit + 1
		}
	}
	return row[len(b)]
}
