package catalog

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
)

// Dropped lists, for NOTICE, what a DROP removed by CASCADE: "view v".
type Dropped []string

const maxColumns = 1600

// CreateSchema adds a schema; 42P06.
func (tx *Tx) CreateSchema(name, owner string) (*Schema, error) {
	sc := &Schema{OID: tx.store.newOID(), Name: name, Owner: owner}
	return sc, tx.do(func(d *Snapshot) error {
		if strings.HasPrefix(name, "pg_") {
			return pgerr.New(pgerr.ReservedName, "unacceptable schema name \"%s\"", name).
				WithDetail("The prefix \"pg_\" is reserved for system schemas.")
		}
		// The schema volley has virtual tables only.
		if d.schemas[name] != nil || name == "volley" {
			return pgerr.New(pgerr.DuplicateSchema, "schema \"%s\" already exists", name)
		}
		d.putSchema(sc)
		return nil
	})
}

// CreateTempSchema adds the schema of a session's functions, whose name is reserved.
func (tx *Tx) CreateTempSchema(name, owner string) (*Schema, error) {
	sc := &Schema{OID: tx.store.newOID(), Name: name, Owner: owner}
	return sc, tx.do(func(d *Snapshot) error {
		if d.schemas[name] == nil {
			d.putSchema(sc)
		}
		return nil
	})
}

// DropSchema removes a schema; 3F000, 2BP01 when it is not empty.
func (tx *Tx) DropSchema(name string, cascade bool) (gone Dropped, err error) {
	err = tx.do(func(d *Snapshot) error {
		gone = nil
		sc := d.schemas[name]
		if sc == nil {
			return noSchema(name)
		}
		if sc.OID == PgCatalogOID || sc.OID == InfoSchemaOID {
			return pgerr.New(pgerr.DependentObjectsStillExist, "cannot drop schema %s because it is required by the database system", name)
		}
		var inside []any
		for _, r := range d.Relations() {
			if r.Schema == name {
				inside = append(inside, r)
			}
		}
		for _, e := range d.Extensions() {
			if e.Schema == name {
				inside = append(inside, e)
			}
		}
		for _, f := range d.AllFunctions() {
			if f.Schema == name && d.extensionOf(f.OID) == nil {
				inside = append(inside, f)
			}
		}
		for _, t := range d.Types() {
			if t.Schema == name {
				inside = append(inside, t)
			}
		}
		if len(inside) > 0 && !cascade {
			var details []string
			for _, o := range inside {
				details = append(details, describe(o)+" depends on schema "+name)
			}
			return dependents("schema "+name, details)
		}
		for _, t := range d.Types() {
			if t.Schema != name {
				continue
			}
			for _, r := range d.Relations() {
				if r.Schema != name && slices.ContainsFunc(r.Columns, func(c Column) bool { return uses(c.Type, t.OID) }) {
					return pgerr.New(pgerr.FeatureNotSupported, "DROP … CASCADE of a type that is in use is not supported").
						WithDetail("%s uses %s.", describe(r), describe(t))
				}
			}
		}
		for _, o := range inside {
			if d.byOID[oidOf(o)] != nil { // not gone with another
				gone = append(gone, describe(o))
				gone = append(gone, d.removeTree(o)...)
			}
		}
		d.remove(sc)
		return nil
	})
	return gone, err
}

func noSchema(name string) error {
	return pgerr.New(pgerr.InvalidSchemaName, "schema \"%s\" does not exist", name)
}

func dependents(what string, details []string) error {
	const limit = 100
	if n := len(details); n > limit {
		details = append(details[:limit:limit], fmt.Sprintf("and %d other objects", n-limit))
	}
	return pgerr.New(pgerr.DependentObjectsStillExist, "cannot drop %s because other objects depend on it", what).
		WithDetail("%s", strings.Join(details, "\n")).
		WithHint("Use DROP ... CASCADE to drop the dependent objects too.")
}

// userSchema checks that objects may be created in a schema.
func (s *Snapshot) userSchema(name string) error {
	sc := s.schemas[name]
	if sc == nil {
		return noSchema(name)
	}
	if sc.OID == PgCatalogOID || sc.OID == InfoSchemaOID {
		return pgerr.New(pgerr.InsufficientPrivilege, "permission denied to create in schema \"%s\"", name).
			WithDetail("System catalog modifications are currently disallowed.")
	}
	return nil
}

func checkColumns(cols []Column) error {
	if len(cols) > maxColumns {
		return pgerr.New(pgerr.TooManyColumns, "tables can have at most %d columns", maxColumns)
	}
	seen := map[string]bool{}
	for _, c := range cols {
		if u, ok := c.Type.User(); (c.Type.ID == types.Record || c.Type.Elem == types.Record) && (!ok || u.Name == "") {
			return pgerr.New(pgerr.InvalidTableDefinition, "column \"%s\" has pseudo-type %s", c.Name, c.Type)
		}
		if seen[c.Name] {
			return pgerr.New(pgerr.DuplicateColumn, "column \"%s\" specified more than once", c.Name)
		}
		seen[c.Name] = true
		switch c.Type.ID {
		case types.Invalid, types.Unknown, types.Void, types.AnyElement, types.AnyArray, types.Any:
			return pgerr.New(pgerr.InvalidTableDefinition, "column \"%s\" has pseudo-type %s", c.Name, c.Type)
		}
		if c.Type.Phys() == types.PhysInvalid {
			return pgerr.New(pgerr.InvalidTableDefinition, "column \"%s\" has a type that cannot be stored", c.Name)
		}
	}
	return nil
}

// CreateTable adds a table (Schema, Name, Columns, Owner, Comment of r); 42P07.
func (tx *Tx) CreateTable(r Relation) (*Relation, error) {
	r.OID, r.Kind = tx.store.newOID(), KindTable
	r.SQL, r.Depends, r.Files = "", nil, nil
	r.Columns = slices.Clone(r.Columns)
	return &r, tx.do(func(d *Snapshot) error {
		if err := d.userSchema(r.Schema); err != nil {
			return err
		}
		if d.Relation(r.Schema, r.Name) != nil {
			return duplicateRelation(r.Name)
		}
		if err := checkColumns(r.Columns); err != nil {
			return err
		}
		d.putRelation(&r)
		return nil
	})
}

func duplicateRelation(name string) error {
	return pgerr.New(pgerr.DuplicateTable, "relation \"%s\" already exists", name)
}

// CreateView adds a view (and SQL, Depends); with replace it may replace one,
// whose columns it must keep and may add to.
func (tx *Tx) CreateView(r Relation, replace bool) (*Relation, error) {
	oid := tx.store.newOID()
	r.Kind, r.Files = KindView, nil
	r.Columns, r.Depends = slices.Clone(r.Columns), slices.Clone(r.Depends)
	out := &r
	return out, tx.do(func(d *Snapshot) error {
		if err := d.userSchema(r.Schema); err != nil {
			return err
		}
		if err := checkColumns(r.Columns); err != nil {
			return err
		}
		for _, dep := range r.Depends {
			if d.byOID[dep] == nil {
				return pgerr.New(pgerr.SerializationFailure, "could not create view \"%s\": an object it uses was dropped meanwhile", r.Name)
			}
		}
		v := r
		v.OID = oid
		if old := d.Relation(r.Schema, r.Name); old != nil {
			if !replace {
				return duplicateRelation(r.Name)
			}
			if err := keepsColumns(old, r.Columns); err != nil {
				return err
			}
			v.OID, v.Owner, v.Comment = old.OID, old.Owner, old.Comment
			if slices.Contains(d.dependencies(v.Depends), v.OID) {
				return pgerr.New(pgerr.InvalidRecursion, "infinite recursion detected in view \"%s\"", r.Name)
			}
		}
		*out = v
		c := v
		d.putRelation(&c)
		return nil
	})
}

// dependencies returns oids and everything they depend on.
func (s *Snapshot) dependencies(oids []uint32) []uint32 {
	out := slices.Clone(oids)
	for i := 0; i < len(out); i++ {
		if r := s.RelationByOID(out[i]); r != nil {
			for _, d := range r.Depends {
				if !slices.Contains(out, d) {
					out = append(out, d)
				}
			}
		}
	}
	return out
}

func keepsColumns(old *Relation, cols []Column) error {
	if old.Kind != KindView {
		return pgerr.New(pgerr.WrongObjectType, "\"%s\" is not a view", old.Name)
	}
	if len(cols) < len(old.Columns) {
		return pgerr.New(pgerr.InvalidTableDefinition, "cannot drop columns from view")
	}
	for i, c := range old.Columns {
		if c.Name != cols[i].Name {
			return pgerr.New(pgerr.InvalidTableDefinition, "cannot change name of view column \"%s\" to \"%s\"", c.Name, cols[i].Name)
		}
		if c.Type != cols[i].Type {
			return pgerr.New(pgerr.InvalidTableDefinition, "cannot change data type of view column \"%s\" from %s to %s", c.Name, c.Type, cols[i].Type)
		}
	}
	return nil
}

// DropRelation removes a table or view; 42P01, 42809 if it is of another kind.
func (tx *Tx) DropRelation(kind RelKind, schema, name string, cascade bool) (gone Dropped, err error) {
	err = tx.do(func(d *Snapshot) error {
		gone = nil
		r := d.Relation(schema, name)
		if r == nil {
			return pgerr.New(pgerr.UndefinedTable, "%s \"%s\" does not exist", kind, name)
		}
		if r.Kind != kind {
			e := pgerr.New(pgerr.WrongObjectType, "\"%s\" is not a %s", name, kind)
			return e.WithHint("Use DROP %s to remove a %s.", strings.ToUpper(r.Kind.String()), r.Kind)
		}
		if err := d.mayDrop(r, cascade); err != nil {
			return err
		}
		gone = d.removeTree(r)
		return nil
	})
	return gone, err
}

// users returns the views that use an object.
func (s *Snapshot) users(oid uint32) []*Relation {
	var out []*Relation
	for _, r := range s.relations {
		if slices.Contains(r.Depends, oid) {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b *Relation) int { return cmp.Compare(a.OID, b.OID) })
	return out
}

// aggregatesOf returns the aggregates that are made of a function.
func (s *Snapshot) aggregatesOf(oid uint32) []*FunctionDef {
	var out []*FunctionDef
	for id, vs := range s.versions {
		if slices.ContainsFunc(vs, func(f *FunctionDef) bool { return f.Agg.uses(oid) }) {
			out = append(out, s.FunctionByOID(id))
		}
	}
	slices.SortFunc(out, func(a, b *FunctionDef) int { return cmp.Compare(a.OID, b.OID) })
	return out
}

func (s *Snapshot) mayDrop(o any, cascade bool) error {
	if cascade {
		return nil
	}
	var details []string
	needed := []any{o}
	if e, ok := o.(*Extension); ok {
		for _, m := range e.Members {
			needed = append(needed, s.byOID[m])
		}
	}
	for _, n := range needed {
		for _, u := range s.users(oidOf(n)) {
			details = append(details, describe(u)+" depends on "+describe(n))
		}
		for _, u := range s.defaultUsers(oidOf(n)) {
			details = append(details, u+" depends on "+describe(n))
		}
		for _, u := range s.aggregatesOf(oidOf(n)) {
			details = append(details, describe(u)+" depends on "+describe(n))
		}
	}
	if details == nil {
		return nil
	}
	return dependents(describe(o), details)
}

// removeTree removes o and all that depends on it, and names the latter.
func (s *Snapshot) removeTree(o any) (gone Dropped) {
	s.remove(o)
	if e, ok := o.(*Extension); ok {
		for _, m := range e.Members {
			if f := s.FunctionByOID(m); f != nil {
				gone = append(gone, s.removeTree(f)...)
			}
		}
	}
	gone = append(gone, s.dropDefaults(oidOf(o))...)
	for _, f := range s.aggregatesOf(oidOf(o)) {
		gone = append(gone, describe(f))
		gone = append(gone, s.removeTree(f)...)
	}
	for _, u := range s.users(oidOf(o)) {
		if s.RelationByOID(u.OID) != nil {
			gone = append(gone, describe(u))
			gone = append(gone, s.removeTree(u)...)
		}
	}
	return gone
}

// defaultNeeds reports whether a column's default calls a function.
func (c *Column) defaultNeeds(oid uint32) bool {
	return c.DefaultUses != "" && strings.Contains(c.DefaultUses, fmt.Sprintf(" %d ", oid))
}

// defaultUsers names the defaults of columns that call a function.
func (s *Snapshot) defaultUsers(oid uint32) []string {
	var out []string
	for _, r := range s.Relations() {
		for i := range r.Columns {
			if c := &r.Columns[i]; c.defaultNeeds(oid) {
				out = append(out, "default value for column "+c.Name+" of "+describe(r))
			}
		}
	}
	return out
}

// dropDefaults removes the defaults that call a function, and names them.
func (s *Snapshot) dropDefaults(oid uint32) (gone Dropped) {
	if gone = s.defaultUsers(oid); gone == nil {
		return nil
	}
	for _, r := range s.Relations() {
		c := *r
		c.Columns = slices.Clone(r.Columns)
		changed := false
		for i := range c.Columns {
			if col := &c.Columns[i]; col.defaultNeeds(oid) {
				col.Default, col.DefaultUses, changed = "", "", true
			}
		}
		if changed {
			s.putRelation(&c)
		}
	}
	return gone
}

// change replaces a relation by a changed copy.
func (tx *Tx) change(oid uint32, f func(d *Snapshot, r *Relation) error) error {
	return tx.do(func(d *Snapshot) error {
		old := d.RelationByOID(oid)
		if old == nil {
			return pgerr.New(pgerr.UndefinedTable, "relation with OID %d does not exist", oid).
				WithDetail("It was dropped meanwhile.")
		}
		c := *old
		if err := f(d, &c); err != nil {
			return err
		}
		if c.Name != old.Name {
			delete(d.relations, qname{old.Schema, old.Name})
		}
		d.putRelation(&c)
		return nil
	})
}

// RenameRelation gives a table or view another name. One that views use keeps
// its name, as their text names it.
func (tx *Tx) RenameRelation(oid uint32, name string) error {
	return tx.change(oid, func(d *Snapshot, r *Relation) error {
		if d.Relation(r.Schema, name) != nil {
			return duplicateRelation(name)
		}
		if us := d.users(oid); len(us) > 0 {
			return pgerr.New(pgerr.FeatureNotSupported, "renaming a relation that views use is not supported").
				WithDetail("%s depends on %s", describe(us[0]), describe(r))
		}
		r.Name = name
		return nil
	})
}

// AlterColumns replaces the columns of a table. Names and types of a table that
// has data or that views use must stay as they are: only defaults, NOT NULL and
// comments may change.
func (tx *Tx) AlterColumns(oid uint32, cols []Column) error {
	cols = slices.Clone(cols)
	return tx.change(oid, func(d *Snapshot, r *Relation) error {
		if r.Kind != KindTable {
			return pgerr.New(pgerr.WrongObjectType, "\"%s\" is not a table", r.Name)
		}
		if err := checkColumns(cols); err != nil {
			return err
		}
		same := slices.EqualFunc(r.Columns, cols, func(a, b Column) bool { return a.Name == b.Name && a.Type == b.Type })
		if !same && len(r.Files) > 0 {
			return pgerr.New(pgerr.FeatureNotSupported, "changing the columns of a table that has rows is not supported").
				WithHint("Create a new table from a query over the old one.")
		}
		if !same && len(d.users(oid)) > 0 {
			return pgerr.New(pgerr.FeatureNotSupported, "changing the columns of a table that views use is not supported")
		}
		r.Columns = cols
		return nil
	})
}

// AddFiles appends staged files to a table; File.Path is absolute, inside a
// staging directory.
func (tx *Tx) AddFiles(oid uint32, files []File) error {
	files, err := tx.stage(oid, files)
	if err != nil {
		return err
	}
	return tx.change(oid, func(d *Snapshot, r *Relation) error {
		if err := holdsData(r); err != nil {
			return err
		}
		r.setFiles(slices.Concat(r.Files, files))
		return nil
	})
}

func holdsData(r *Relation) error {
	if r.Kind != KindTable {
		return pgerr.New(pgerr.WrongObjectType, "cannot insert into view \"%s\"", r.Name)
	}
	return nil
}

// ReplaceFiles removes old (paths as in the snapshot) and puts new ones at the
// place of the first; 40001 if one of old is gone.
func (tx *Tx) ReplaceFiles(oid uint32, old []string, files []File) error {
	files, err := tx.stage(oid, files)
	if err != nil {
		return err
	}
	old = slices.Clone(old)
	return tx.change(oid, func(d *Snapshot, r *Relation) error {
		if err := holdsData(r); err != nil {
			return err
		}
		var out []File
		found := 0
		for _, f := range r.Files {
			if !slices.Contains(old, f.Path) {
				out = append(out, f)
				continue
			}
			if found == 0 {
				out = append(out, files...)
			}
			found++
		}
		if found != len(old) {
			return pgerr.New(pgerr.SerializationFailure, "could not serialize access due to concurrent update")
		}
		if len(old) == 0 {
			out = append(out, files...)
		}
		r.setFiles(out)
		return nil
	})
}

// Truncate removes all files of a table.
func (tx *Tx) Truncate(oid uint32) error {
	return tx.change(oid, func(d *Snapshot, r *Relation) error {
		if r.Kind != KindTable {
			return pgerr.New(pgerr.WrongObjectType, "\"%s\" is not a table", r.Name)
		}
		r.setFiles(nil)
		return nil
	})
}

func (r *Relation) setFiles(files []File) {
	r.Files, r.Rows, r.Bytes = files, 0, 0
	for _, f := range files {
		r.Rows += f.Rows
		r.Bytes += f.Bytes
	}
}
