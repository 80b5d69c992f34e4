package function

import (
	"slices"
	"strconv"
	"strings"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// parseRegs reads names of objects as their OIDs: regclass, regtype, regproc,
// regprocedure, regnamespace. Digits are an OID, "-" is 0.
func parseRegs(c *Ctx, v *vector.Vector, to types.Type) (*vector.Vector, error) {
	return mapText(v, to, func(s string) (int64, error) {
		if s == "-" {
			return 0, nil
		}
		if s != "" && s[0] >= '0' && s[0] <= '9' {
			oid, err := types.ParseOID(s)
			return int64(oid), err
		}
		oid, err := lookupReg(c, s, to)
		return int64(oid), err
	})
}

func lookupReg(c *Ctx, s string, to types.Type) (uint32, error) {
	switch to.ID {
	case types.Regclass:
		cat, err := c.catalog("regclass")
		if err != nil {
			return 0, err
		}
		return cat.RelationOID(s)
	case types.Regtype:
		t, ok := ParseTypeName(s)
		if !ok {
			if oid := pseudoTypes[unquoteIdent(strings.TrimPrefix(strings.TrimSpace(s), "pg_catalog."))]; oid != 0 {
				return oid, nil
			}
			return 0, pgerr.New(pgerr.UndefinedObject, "type \"%s\" does not exist", s)
		}
		return t.OID(), nil
	case types.Regnamespace:
		cat, err := c.catalog("regnamespace")
		if err != nil {
			return 0, err
		}
		name := unquoteIdent(s)
		oid, ok := cat.SchemaOID(name)
		if !ok {
			return 0, pgerr.New(pgerr.InvalidSchemaName, "schema \"%s\" does not exist", name)
		}
		return oid, nil
	}
	return lookupProc(c, s, to)
}

// lookupProc finds a function by name (regproc) or by name and arguments
// (regprocedure).
func lookupProc(c *Ctx, s string, to types.Type) (uint32, error) {
	name, args, hasArgs := s, "", false
	if i := strings.IndexByte(s, '('); i >= 0 && strings.HasSuffix(s, ")") {
		name, args, hasArgs = s[:i], s[i+1:len(s)-1], true
	}
	oids, takes, err := c.procs(name)
	if err != nil {
		return 0, err
	}
	if to.ID == types.Regproc {
		switch len(oids) {
		case 0:
			return 0, pgerr.New(pgerr.UndefinedFunction, "function \"%s\" does not exist", s)
		case 1:
			return oids[0], nil
		}
		return 0, pgerr.New(pgerr.AmbiguousFunction, "more than one function named \"%s\"", s)
	}
	if hasArgs {
		var want []uint32
		for _, a := range strings.Split(args, ",") {
			if a = strings.TrimSpace(a); a == "" {
				continue
			}
			oid, err := lookupReg(c, a, types.T(types.Regtype))
			if err != nil {
				return 0, err
			}
			want = append(want, oid)
		}
		for _, oid := range oids {
			if slices.Equal(takes(oid), want) {
				return oid, nil
			}
		}
	}
	return 0, pgerr.New(pgerr.UndefinedFunction, "function \"%s\" does not exist", s)
}

// procs are the functions of a name, and what each takes: all where there is a
// catalog, the built-ins where there is none.
func (c *Ctx) procs(name string) (oids []uint32, takes func(uint32) []uint32, err error) {
	if c != nil && c.Catalog != nil {
		if d, ok := c.Catalog.(CatalogDetails); ok {
			oids, err = d.FunctionOIDs(name)
			return oids, d.FunctionArgTypes, err
		}
	}
	byOID := map[uint32][]uint32{}
	for _, f := range Lookup(unquoteIdent(strings.TrimPrefix(name, "pg_catalog."))) {
		args := make([]uint32, len(f.Args))
		for i, a := range f.Args {
			args[i] = a.OID()
		}
		oids, byOID[f.OID] = append(oids, f.OID), args
	}
	return oids, func(oid uint32) []uint32 { return byOID[oid] }, nil
}

// pseudoTypes are types that no value has; clients compare result types with them.
var pseudoTypes = map[string]uint32{"cstring": 2275, "any": 2276, "anyarray": 2277, "trigger": 2279, "language_handler": 2280,
	"internal": 2281, "anyelement": 2283, "event_trigger": 3838}

func pseudoTypeName(oid uint32) (string, bool) {
	for name, o := range pseudoTypes {
		if o == oid {
			if name == "any" {
				name = `"any"`
			}
			return name, true
		}
	}
	return "", false
}

// ParseTypeName reads a type's name as a user writes it: an alias, with
// pg_catalog in front, quotes, a modifier (which is dropped) and [] behind.
func ParseTypeName(s string) (types.Type, bool) {
	s = strings.TrimSpace(s)
	array := false
	for {
		base, ok := strings.CutSuffix(s, "[]")
		if !ok {
			break
		}
		s, array = strings.TrimSpace(base), true
	}
	if i := strings.IndexByte(s, '('); i >= 0 {
		j := strings.IndexByte(s, ')')
		if j < i {
			return types.T(types.Invalid), false
		}
		s = s[:i] + s[j+1:]
	}
	s = strings.TrimPrefix(strings.TrimPrefix(s, "pg_catalog."), `"pg_catalog".`)
	quoted := len(s) > 1 && s[0] == '"'
	if !quoted {
		s = strings.Join(strings.Fields(strings.ToLower(s)), " ")
	} else if s != `"char"` {
		s = unquoteIdent(s)
	}
	if s == "char" {
		s = "bpchar"
	}
	if rest, ok := strings.CutPrefix(s, "_"); ok {
		s, array = rest, true
	}
	t, ok := types.ByName(s)
	if ok && array {
		if t.ArrayOID() == 0 {
			return t, false
		}
		t = types.ListOf(t)
	}
	return t, ok
}

// unquoteIdent folds an identifier to lower case, or takes the quotes off.
func unquoteIdent(s string) string {
	if len(s) > 1 && s[0] == '"' && s[len(s)-1] == '"' {
		return strings.ReplaceAll(s[1:len(s)-1], `""`, `"`)
	}
	return strings.ToLower(s)
}

// regText is the output function of the reg types: a name, qualified unless it
// is visible, or the number where there is no such object.
func regText(c *Ctx, t types.Type, oid uint32) string {
	number := strconv.FormatUint(uint64(oid), 10)
	if oid == 0 {
		return "-"
	}
	if t.ID == types.Regtype {
		if u, ok := types.ByOID(oid); ok {
			return u.String()
		}
		if name, ok := pseudoTypeName(oid); ok {
			return name
		}
		if u, ok := c.userType(oid); ok {
			return u.String()
		}
		return number
	}
	if t.ID == types.Regproc || t.ID == types.Regprocedure {
		if f, ok := builtins().byOID(oid); ok {
			if t.ID == types.Regproc && len(Lookup(f.Name)) > 1 {
				return "pg_catalog." + quoteIdent(f.Name) // the bare name would not be read back
			}
			if t.ID == types.Regprocedure {
				return quoteIdent(f.Name) + "(" + strings.ReplaceAll(typeList(f.Args), ", ", ",") + ")"
			}
			return quoteIdent(f.Name)
		}
	}
	if c == nil || c.Catalog == nil {
		return number
	}
	var schema, name string
	var ok bool
	switch t.ID {
	case types.Regnamespace:
		if name, ok = c.Catalog.SchemaName(oid); ok {
			return quoteIdent(name)
		}
		return number
	case types.Regclass:
		schema, name, ok = c.Catalog.RelationName(oid)
	default:
		schema, name, ok = c.Catalog.FunctionName(oid)
	}
	if !ok {
		return number
	}
	out := quoteIdent(name)
	if !c.Catalog.Visible(schema) {
		out = quoteIdent(schema) + "." + out
	}
	if t.ID == types.Regprocedure {
		args, _, _ := c.Catalog.FunctionArgs(oid)
		out += "(" + args + ")"
	}
	return out
}

// RegText returns the text of a value of a reg type, as its cast to text gives it.
func RegText(c *Ctx, t types.Type, oid uint32) string { return regText(c, t, oid) }

// byOID finds a built-in in all, which is sorted by OID.
func (r *registry) byOID(oid uint32) (*Function, bool) {
	lo, hi := 0, len(r.all)
	for lo < hi {
		m := (lo + hi) / 2
		if r.all[m].OID < oid {
			lo = m + 1
		} else {
			hi = m
		}
	}
	if lo < len(r.all) && r.all[lo].OID == oid {
		return r.all[lo], true
	}
	return nil, false
}
