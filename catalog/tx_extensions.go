package catalog

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/volleydb/volley/pgerr"
)

func (s *Snapshot) putExtension(o *Extension) { s.exts[o.Name], s.byOID[o.OID] = o, o }

// Extension finds an extension; nil if there is none.
func (s *Snapshot) Extension(name string) *Extension { return s.exts[name] }

// Extensions returns all extensions by name.
func (s *Snapshot) Extensions() []*Extension {
	return sorted(maps.Values(s.exts), func(a, b *Extension) int { return strings.Compare(a.Name, b.Name) })
}

// extensionOf is the extension that a function is a member of; nil if none.
func (s *Snapshot) extensionOf(function uint32) *Extension {
	for _, e := range s.exts {
		if slices.Contains(e.Members, function) {
			return e
		}
	}
	return nil
}

// members gives the definitions of an extension's functions what they share.
func (e *Extension) members(fns []FunctionDef) []FunctionDef {
	fns = slices.Clone(fns)
	now := time.Now().UTC()
	for i := range fns {
		f := &fns[i]
		f.Schema, f.Digest, f.Created = e.Schema, e.Digest, now
		if f.Owner == "" {
			f.Owner = e.Owner
		}
		if f.CreatedBy == "" {
			f.CreatedBy = f.Owner
		}
	}
	return fns
}

// CreateExtension adds an extension (Name, Schema, Version, Digest, Owner) with
// its functions; 42710, 42723.
func (tx *Tx) CreateExtension(e Extension, fns []FunctionDef) (*Extension, error) {
	e.OID, e.Members = tx.store.newOID(), nil
	fns = e.members(fns)
	for i := range fns {
		fns[i].OID = tx.store.newOID()
		e.Members = append(e.Members, fns[i].OID)
	}
	return &e, tx.do(func(d *Snapshot) error {
		if err := d.userSchema(e.Schema); err != nil {
			return err
		}
		if d.exts[e.Name] != nil {
			return pgerr.New(pgerr.DuplicateObject, "extension \"%s\" already exists", e.Name)
		}
		for _, f := range fns {
			if d.Function(f.Schema, f.Name, f.ArgTypes()) != nil {
				return pgerr.New(pgerr.DuplicateFunction, "function \"%s\" already exists with same argument types", f.Name)
			}
			d.addFunction(f)
		}
		d.putExtension(&e)
		return nil
	})
}

// UpdateExtension brings an extension to another artifact, all functions at
// once: those it has already get a new version, or the one again that is of the
// same artifact; those that it has no more are dropped, 2BP01 where something
// uses them. Pins end: the functions of an extension belong together.
func (tx *Tx) UpdateExtension(name, version, digest, by string, fns []FunctionDef) error {
	oids := make([]uint32, len(fns))
	for i := range fns {
		oids[i] = tx.store.newOID()
	}
	now := time.Now().UTC()
	return tx.do(func(d *Snapshot) error {
		old := d.exts[name]
		if old == nil {
			return noExtension(name)
		}
		e := *old
		e.Version, e.Digest, e.Members = version, digest, nil
		kept := map[uint32]bool{}
		var add []FunctionDef
		for i, f := range e.members(fns) {
			f.Created, f.CreatedBy, f.OID = now, by, oids[i]
			cur := d.Function(f.Schema, f.Name, f.ArgTypes())
			if cur == nil {
				add = append(add, f)
				continue
			}
			if !slices.Contains(old.Members, cur.OID) {
				return pgerr.New(pgerr.DuplicateFunction, "function \"%s\" already exists with same argument types", f.Name).
					WithDetail("%s is not a member of extension \"%s\".", describe(cur), name)
			}
			if replaceable(cur, &f) != nil {
				add = append(add, f) // another function of the same name: the old one goes
				continue
			}
			kept[cur.OID] = true
			cur = d.alterVersions(cur, func(v *FunctionDef) { v.Pinned = 0 })
			at := slices.IndexFunc(d.versions[cur.OID], func(v *FunctionDef) bool { return v.Digest == digest && v.Symbol == f.Symbol })
			if at >= 0 {
				d.putFunction(d.versions[cur.OID][at])
			} else {
				d.addVersion(cur, f)
			}
		}
		for _, m := range old.Members {
			f := d.FunctionByOID(m)
			if kept[m] || f == nil {
				continue
			}
			if err := d.mayDrop(f, false); err != nil {
				return err
			}
			d.remove(f)
		}
		for _, f := range add {
			kept[d.addFunction(f).OID] = true
		}
		e.Members = slices.Sorted(maps.Keys(kept))
		d.putExtension(&e)
		return nil
	})
}

func noExtension(name string) error {
	return pgerr.New(pgerr.UndefinedObject, "extension \"%s\" does not exist", name)
}

// DropExtension removes an extension with its functions; 42704, 2BP01.
func (tx *Tx) DropExtension(name string, cascade bool) (gone Dropped, err error) {
	err = tx.do(func(d *Snapshot) error {
		gone = nil
		e := d.exts[name]
		if e == nil {
			return noExtension(name)
		}
		if err := d.mayDrop(e, cascade); err != nil {
			return err
		}
		gone = d.removeTree(e)
		return nil
	})
	return gone, err
}
