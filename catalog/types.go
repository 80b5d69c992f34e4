package catalog

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
)

// UserType is a type that a user made: an enum or a composite. It is immutable.
type UserType struct {
	OID     uint32     `json:"-"`
	Schema  string     `json:"-"`
	Name    string     `json:"-"`
	Type    types.Type `json:"type"` // its User is the definition
	Owner   string     `json:"owner"`
	Comment string     `json:"comment,omitempty"`
}

// Type finds a user's type; nil if there is none.
func (s *Snapshot) Type(schema, name string) *UserType { return s.types[qname{schema, name}] }

// Types returns the users' types by OID.
func (s *Snapshot) Types() []*UserType {
	return sorted(maps.Values(s.types), func(a, b *UserType) int { return cmp.Compare(a.OID, b.OID) })
}

// TypeByOID finds a user's type, or the array of one, by its OID.
func (s *Snapshot) TypeByOID(oid uint32) (types.Type, bool) {
	if t := byOID[UserType](s, oid); t != nil {
		return t.Type, true
	}
	for _, t := range s.types {
		if t.Type.ArrayOID() == oid {
			return types.ListOf(t.Type), true
		}
	}
	return types.Type{}, false
}

// uses reports whether a type is the user's type of an OID, or made of it.
func uses(t types.Type, oid uint32) bool {
	u, ok := t.User()
	if !ok {
		return false
	}
	return u.OID == oid || slices.ContainsFunc(u.Fields, func(f types.RowField) bool { return uses(f.Type, oid) })
}

// typeUsers names what a type is used by.
func (s *Snapshot) typeUsers(oid uint32) []string {
	var out []string
	what := describe(s.byOID[oid])
	for _, r := range s.Relations() {
		for _, c := range r.Columns {
			if uses(c.Type, oid) {
				out = append(out, fmt.Sprintf("column %s of %s depends on %s", c.Name, describe(r), what))
			}
		}
		if slices.Contains(r.Depends, oid) {
			out = append(out, describe(r)+" depends on "+what)
		}
	}
	for _, f := range s.AllFunctions() {
		if f.uses(oid) {
			out = append(out, describe(f)+" depends on "+what)
		}
	}
	for _, t := range s.Types() {
		if t.OID == oid {
			continue
		}
		u, _ := t.Type.User()
		for _, f := range u.Fields {
			if uses(f.Type, oid) {
				out = append(out, fmt.Sprintf("column %s of composite type %s depends on %s", f.Name, qualified(t.Schema, t.Name), what))
			}
		}
	}
	return out
}

// CreateType adds a type with the labels or fields of def; 42710.
func (tx *Tx) CreateType(schema, name, owner string, def types.UserType) (*UserType, error) {
	def.OID, def.Array = tx.store.newOID(), tx.store.newOID()
	def.Schema, def.Name = schema, name
	t := &UserType{OID: def.OID, Schema: schema, Name: name, Type: types.RegisterUser(def), Owner: owner}
	return t, tx.do(func(d *Snapshot) error {
		if err := d.userSchema(schema); err != nil {
			return err
		}
		if d.Type(schema, name) != nil {
			return pgerr.New(pgerr.DuplicateObject, "type \"%s\" already exists", name)
		}
		if def.Labels == nil && d.Relation(schema, name) != nil {
			return duplicateRelation(name)
		}
		d.putType(t)
		return nil
	})
}

// DropType removes a type that nothing uses; 42704, 2BP01.
func (tx *Tx) DropType(schema, name string, cascade bool) (gone Dropped, err error) {
	err = tx.do(func(d *Snapshot) error {
		gone = nil
		t := d.Type(schema, name)
		if t == nil {
			return pgerr.New(pgerr.UndefinedObject, "type \"%s\" does not exist", name)
		}
		if used := d.typeUsers(t.OID); len(used) > 0 {
			if cascade && d.onlyFunctionsUse(t.OID) {
				gone = d.dropUsers(t.OID)
				d.remove(t)
				return nil
			}
			if cascade {
				return pgerr.New(pgerr.FeatureNotSupported, "DROP TYPE … CASCADE of a type that is in use is not supported").WithDetail("%s.", used[0])
			}
			return dependents(describe(t), used)
		}
		d.remove(t)
		return nil
	})
	return gone, err
}

// onlyFunctionsUse reports that what uses a type are functions and views, which
// can be dropped with it; a table's column cannot.
func (s *Snapshot) onlyFunctionsUse(oid uint32) bool {
	for _, r := range s.Relations() {
		if r.Kind == KindTable && slices.ContainsFunc(r.Columns, func(c Column) bool { return uses(c.Type, oid) }) {
			return false
		}
	}
	for _, t := range s.Types() {
		if t.OID != oid && uses(t.Type, oid) {
			return false
		}
	}
	for _, f := range s.AllFunctions() {
		if f.uses(oid) && s.extensionOf(f.OID) != nil {
			return false
		}
	}
	return true
}

// uses reports whether a type stands in a function's signature.
func (f *FunctionDef) uses(oid uint32) bool {
	return uses(f.Returns, oid) || slices.ContainsFunc(f.Args, func(a Arg) bool { return uses(a.Type, oid) }) ||
		slices.ContainsFunc(f.Columns, func(c Column) bool { return uses(c.Type, oid) })
}

// dropUsers drops the functions and views that use a type, and names them.
func (s *Snapshot) dropUsers(oid uint32) (gone Dropped) {
	for _, f := range s.AllFunctions() {
		if f.uses(oid) && s.FunctionByOID(f.OID) != nil {
			gone = append(append(gone, describe(f)), s.removeTree(f)...)
		}
	}
	for _, r := range s.Relations() {
		if s.RelationByOID(r.OID) == nil {
			continue // with another
		}
		if slices.Contains(r.Depends, oid) || slices.ContainsFunc(r.Columns, func(c Column) bool { return uses(c.Type, oid) }) {
			gone = append(append(gone, describe(r)), s.removeTree(r)...)
		}
	}
	return gone
}

// AddLabel adds a value to an enum, at the end or beside another; 42710.
func (tx *Tx) AddLabel(oid uint32, label, neighbor string, after bool) error {
	return tx.do(func(d *Snapshot) error {
		t := byOID[UserType](d, oid)
		if t == nil {
			return pgerr.New(pgerr.UndefinedObject, "type with OID %d does not exist", oid)
		}
		old, _ := t.Type.User()
		def := *old
		at := len(def.Labels)
		for i, l := range def.Labels {
			if l.Text == label {
				return pgerr.New(pgerr.DuplicateObject, "enum label \"%s\" already exists", label)
			}
			if neighbor != "" && l.Text == neighbor {
				if at = i; after {
					at++
				}
			}
		}
		if neighbor != "" && !slices.ContainsFunc(def.Labels, func(l types.EnumLabel) bool { return l.Text == neighbor }) {
			return pgerr.New(pgerr.InvalidParameterValue, "\"%s\" is not an existing enum label", neighbor)
		}
		var lo, hi uint32
		if at > 0 {
			lo = def.Labels[at-1].Sort
		}
		if hi = lo + 2*types.EnumStep; at < len(def.Labels) {
			hi = def.Labels[at].Sort
		}
		if hi <= lo+1 {
			return pgerr.New(pgerr.FeatureNotSupported, "there is no place left between two labels of type %s", t.Type)
		}
		def.Labels = slices.Insert(slices.Clone(def.Labels), at, types.EnumLabel{Sort: lo + (hi-lo)/2, Text: label})
		d.retype(t.OID, types.RegisterUser(def))
		return nil
	})
}

// retype gives a type another definition wherever it is used.
func (s *Snapshot) retype(oid uint32, to types.Type) {
	var changed func(t types.Type) types.Type
	changed = func(t types.Type) types.Type {
		u, ok := t.User()
		if !ok || !uses(t, oid) {
			return t
		}
		if u.OID == oid {
			t.Typmod = to.Typmod
			return t
		}
		def := *u
		def.Fields = slices.Clone(def.Fields)
		for i := range def.Fields {
			def.Fields[i].Type = changed(def.Fields[i].Type)
		}
		t.Typmod = types.RegisterUser(def).Typmod
		return t
	}
	columns := func(cols []Column) []Column {
		cols = slices.Clone(cols)
		for i := range cols {
			cols[i].Type = changed(cols[i].Type)
		}
		return cols
	}
	for _, t := range s.Types() {
		if uses(t.Type, oid) {
			c := *t
			c.Type = changed(t.Type)
			s.putType(&c)
		}
	}
	for _, r := range s.Relations() {
		if slices.ContainsFunc(r.Columns, func(c Column) bool { return uses(c.Type, oid) }) {
			c := *r
			c.Columns = columns(r.Columns)
			s.putRelation(&c)
		}
	}
	for id, vs := range s.versions {
		vs = slices.Clone(vs)
		for i, f := range vs {
			c := *f
			c.Returns, c.Columns, c.Args = changed(f.Returns), columns(f.Columns), slices.Clone(f.Args)
			for k := range c.Args {
				c.Args[k].Type = changed(c.Args[k].Type)
			}
			if c.Returns == f.Returns && slices.Equal(c.Columns, f.Columns) && slices.Equal(c.Args, f.Args) {
				continue
			}
			vs[i] = &c
			if s.byOID[id] == any(f) {
				s.putFunction(&c)
			}
		}
		s.versions[id] = vs
	}
}

func (s *Snapshot) putType(o *UserType) { s.types[qname{o.Schema, o.Name}], s.byOID[o.OID] = o, o }
