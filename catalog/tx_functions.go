package catalog

import (
	"slices"
	"strings"
	"time"

	"github.com/volleydb/volley/pgerr"
)

// SplitVersion splits the name of a version, f@2, into the function's name and
// the number; ok is false for a name that is not of this form.
func SplitVersion(name string) (base string, version int, ok bool) {
	base, digits, ok := cutLast(name, '@')
	if !ok || base == "" || digits == "" || len(digits) > 9 || digits[0] == '0' {
		return name, 0, false
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return name, 0, false
		}
		version = version*10 + int(c-'0')
	}
	return base, version, true
}

func cutLast(s string, sep byte) (before, after string, ok bool) {
	if i := strings.LastIndexByte(s, sep); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}

// FunctionVersion finds a version of a function; nil if there is none.
func (s *Snapshot) FunctionVersion(oid uint32, version int) *FunctionDef {
	for _, v := range s.versions[oid] {
		if v.Version == version {
			return v
		}
	}
	return nil
}

// alterVersions changes what all versions of a function have in common. cur is
// its current version.
func (s *Snapshot) alterVersions(cur *FunctionDef, change func(f *FunctionDef)) *FunctionDef {
	var out *FunctionDef
	vs := slices.Clone(s.versions[cur.OID])
	for i, v := range vs {
		c := *v
		change(&c)
		vs[i] = &c
		if v == cur {
			out = &c
		}
	}
	s.unlist(cur)
	s.versions[cur.OID] = vs
	s.putFunction(out)
	return out
}

// unlist takes a function out of its name's overloads, before it is put back
// under another.
func (s *Snapshot) unlist(f *FunctionDef) {
	q := qname{f.Schema, f.Name}
	fs := slices.DeleteFunc(slices.Clone(s.functions[q]), func(o *FunctionDef) bool { return o.OID == f.OID })
	if s.functions[q] = fs; len(fs) == 0 {
		delete(s.functions, q)
	}
}

// kindDetails say what a function is that should have been of another kind.
var kindDetails = map[FuncKind]string{FuncAggregate: "an aggregate function", FuncWindow: "a window function"}

// replaceable checks that f may follow old: who calls it must notice nothing.
func replaceable(old, f *FunctionDef) error {
	if old.Kind != f.Kind && (old.Kind == FuncAggregate || f.Kind == FuncAggregate || old.Kind == FuncWindow || f.Kind == FuncWindow) {
		is := kindDetails[old.Kind]
		if is == "" {
			is = "a function"
		}
		return pgerr.New(pgerr.WrongObjectType, "cannot change routine kind").WithDetail("\"%s\" is %s.", f.Name, is)
	}
	drop := "FUNCTION"
	if old.Kind == FuncAggregate {
		drop = "AGGREGATE"
	}
	hint := func(e *pgerr.Error) error {
		return e.WithHint("Use DROP %s %s first.", drop, qualified(old.Schema, old.Signature()))
	}
	for i, a := range old.Args {
		if a.Name != "" && i < len(f.Args) && f.Args[i].Name != a.Name {
			return hint(pgerr.New(pgerr.InvalidFunctionDefinition, "cannot change name of input parameter \"%s\"", a.Name))
		}
	}
	if old.Returns != f.Returns || old.SetOf != f.SetOf || old.Kind != f.Kind {
		return hint(pgerr.New(pgerr.InvalidFunctionDefinition, "cannot change return type of existing function"))
	}
	if !slices.EqualFunc(old.Columns, f.Columns, func(a, b Column) bool { return a.Name == b.Name && a.Type == b.Type }) {
		return hint(pgerr.New(pgerr.InvalidFunctionDefinition, "cannot change return type of existing function").
			WithDetail("Row type defined by OUT parameters is different."))
	}
	return nil
}

// addVersion makes def the next version of old: the current one, unless another
// is pinned. It returns what was added.
func (s *Snapshot) addVersion(old *FunctionDef, def FunctionDef) *FunctionDef {
	vs := s.versions[old.OID]
	def.OID, def.Version = old.OID, vs[len(vs)-1].Version+1
	def.Owner, def.Comment = old.Owner, old.Comment
	def.Pinned, def.CanaryVersion, def.CanaryShare = old.Pinned, old.CanaryVersion, old.CanaryShare
	s.versions[def.OID] = append(slices.Clip(vs), &def)
	if def.Pinned == 0 {
		s.putFunction(&def)
	}
	return &def
}

// addFunction makes def the first version of a function, with the privileges
// that its owner's ALTER DEFAULT PRIVILEGES says.
func (s *Snapshot) addFunction(def FunctionDef) *FunctionDef {
	def.Version = 1
	s.versions[def.OID] = []*FunctionDef{&def}
	s.putFunction(&def)
	s.applyDefaults(&def)
	return &def
}

// CreateFunction adds a function, or with replace its next version; 42723,
// 42P13 where a replacement would change what callers see. What it returns is
// the new version, current or not.
func (tx *Tx) CreateFunction(f FunctionDef, replace bool) (*FunctionDef, error) {
	oid := tx.store.newOID()
	f.Created = time.Now().UTC()
	if f.CreatedBy == "" {
		f.CreatedBy = f.Owner
	}
	f.Pinned, f.CanaryVersion, f.CanaryShare = 0, 0, 0
	out := &FunctionDef{}
	return out, tx.do(func(d *Snapshot) error {
		if err := d.userSchema(f.Schema); err != nil {
			return err
		}
		if _, _, ok := SplitVersion(f.Name); ok {
			return pgerr.New(pgerr.ReservedName, "function name \"%s\" is reserved", f.Name).
				WithDetail("A name that ends in @ and a number means a version of a function.")
		}
		old := d.Function(f.Schema, f.Name, f.ArgTypes())
		if old == nil {
			def := f
			def.OID = oid
			*out = *d.addFunction(def)
			return nil
		}
		if !replace {
			return pgerr.New(pgerr.DuplicateFunction, "function \"%s\" already exists with same argument types", f.Name)
		}
		if err := replaceable(old, &f); err != nil {
			return err
		}
		*out = *d.addVersion(old, f)
		return nil
	})
}

// DropFunction removes a function with all its versions; 42883, 2BP01.
func (tx *Tx) DropFunction(oid uint32, cascade bool) (gone Dropped, err error) {
	err = tx.do(func(d *Snapshot) error {
		gone = nil
		f := d.FunctionByOID(oid)
		if f == nil {
			return noFunction(oid)
		}
		if e := d.extensionOf(oid); e != nil {
			return pgerr.New(pgerr.DependentObjectsStillExist, "cannot drop %s because extension %s requires it", describe(f), e.Name).
				WithHint("You can drop extension %s instead.", e.Name)
		}
		if err := d.mayDrop(f, cascade); err != nil {
			return err
		}
		gone = d.removeTree(f)
		return nil
	})
	return gone, err
}

func noFunction(oid uint32) error {
	return pgerr.New(pgerr.UndefinedFunction, "function with OID %d does not exist", oid)
}

// onFunction runs f on the current version of a function; 42883.
func (tx *Tx) onFunction(oid uint32, f func(d *Snapshot, cur *FunctionDef) error) error {
	return tx.do(func(d *Snapshot) error {
		cur := d.FunctionByOID(oid)
		if cur == nil {
			return noFunction(oid)
		}
		return f(d, cur)
	})
}

func noVersion(f *FunctionDef, version int) error {
	return pgerr.New(pgerr.UndefinedObject, "function %s has no version %d", qualified(f.Schema, f.Signature()), version)
}

// UseFunctionVersion makes a version the current one, and keeps it so when others
// are created. Version 0 takes the newest, now and when others are created.
func (tx *Tx) UseFunctionVersion(oid uint32, version int) error {
	return tx.onFunction(oid, func(d *Snapshot, cur *FunctionDef) error {
		vs := d.versions[oid]
		use := version
		if use == 0 {
			use = vs[len(vs)-1].Version
		}
		if d.FunctionVersion(oid, use) == nil {
			return noVersion(cur, use)
		}
		d.alterVersions(cur, func(f *FunctionDef) {
			f.Pinned = version
			if f.CanaryVersion == use {
				f.CanaryVersion, f.CanaryShare = 0, 0 // it has all rows now
			}
		})
		d.putFunction(d.FunctionVersion(oid, use))
		return nil
	})
}

// SetCanary gives a version a share of the rows, in ten-thousandths; version 0
// ends it.
func (tx *Tx) SetCanary(oid uint32, version int, share uint32) error {
	return tx.onFunction(oid, func(d *Snapshot, cur *FunctionDef) error {
		switch {
		case version == 0:
			share = 0
		case d.FunctionVersion(oid, version) == nil:
			return noVersion(cur, version)
		case version == cur.Version:
			return pgerr.New(pgerr.InvalidParameterValue, "version %d is the current version of function %s", version, qualified(cur.Schema, cur.Signature())).
				WithHint("Make another one current first: ALTER FUNCTION … SET volley.version = '…'.")
		}
		d.alterVersions(cur, func(f *FunctionDef) { f.CanaryVersion, f.CanaryShare = version, share })
		return nil
	})
}

// AlterFunction changes properties of a function's current version: volatility,
// strictness, cost, limits and settings. Versions of other numbers keep theirs.
func (tx *Tx) AlterFunction(oid uint32, change func(f *FunctionDef)) error {
	return tx.onFunction(oid, func(d *Snapshot, cur *FunctionDef) error {
		c := *cur
		change(&c)
		vs := slices.Clone(d.versions[oid])
		vs[slices.Index(vs, cur)] = &c
		d.versions[oid] = vs
		d.putFunction(&c)
		return nil
	})
}

// RenameFunction gives a function another name or schema. One that views use
// keeps its name, as their text names it.
func (tx *Tx) RenameFunction(oid uint32, schema, name string) error {
	return tx.onFunction(oid, func(d *Snapshot, cur *FunctionDef) error {
		if err := d.userSchema(schema); err != nil {
			return err
		}
		if _, _, ok := SplitVersion(name); ok {
			return pgerr.New(pgerr.ReservedName, "function name \"%s\" is reserved", name).
				WithDetail("A name that ends in @ and a number means a version of a function.")
		}
		if other := d.Function(schema, name, cur.ArgTypes()); other != nil {
			return pgerr.New(pgerr.DuplicateFunction, "function %s already exists in schema \"%s\"", other.Signature(), schema)
		}
		if us := d.users(oid); len(us) > 0 {
			return pgerr.New(pgerr.FeatureNotSupported, "renaming a function that views use is not supported").
				WithDetail("%s depends on %s", describe(us[0]), describe(cur))
		}
		if us := d.defaultUsers(oid); len(us) > 0 {
			return pgerr.New(pgerr.FeatureNotSupported, "renaming a function that defaults of columns use is not supported").
				WithDetail("%s depends on %s", us[0], describe(cur))
		}
		if e := d.extensionOf(oid); e != nil {
			return pgerr.New(pgerr.FeatureNotSupported, "renaming a function of an extension is not supported").
				WithDetail("%s is a member of extension %s.", describe(cur), e.Name)
		}
		d.alterVersions(cur, func(f *FunctionDef) { f.Schema, f.Name = schema, name })
		return nil
	})
}
