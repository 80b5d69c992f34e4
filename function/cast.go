package function

import (
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// CastContext says where a cast stands; each context allows what the one before
// it does and more.
type CastContext uint8

// The contexts of casts.
const (
	Implicit   CastContext = iota // in any expression
	Assignment                    // storing into a column
	Explicit                      // CAST(x AS t), x::t
)

const notAllowed = Explicit + 1

// castTable is Postgres' pg_cast for our types: per source the targets of each
// context. Casts through text are not in it.
var castTable = func() (m [64][64]CastContext) {
	for i := range m {
		for j := range m[i] {
			m[i][j] = notAllowed
		}
	}
	set := func(from types.ID, ctx CastContext, to ...types.ID) {
		for _, t := range to {
			m[from][t] = ctx
		}
	}
	regs := []types.ID{types.Regclass, types.Regtype, types.Regproc, types.Regprocedure, types.Regnamespace}
	set(types.Bool, Assignment, types.Text, types.Varchar, types.Bpchar)
	set(types.Bool, Explicit, types.Int4)
	set(types.Bpchar, Implicit, types.Bpchar, types.Name, types.Text, types.Varchar)
	set(types.Bpchar, Assignment, types.Char)
	set(types.Char, Implicit, types.Text)
	set(types.Char, Assignment, types.Bpchar, types.Varchar)
	set(types.Char, Explicit, types.Int4)
	set(types.Date, Implicit, types.Timestamp, types.Timestamptz)
	set(types.Float4, Implicit, types.Float8)
	set(types.Float4, Assignment, types.Int2, types.Int4, types.Int8, types.Numeric)
	set(types.Float8, Assignment, types.Float4, types.Int2, types.Int4, types.Int8, types.Numeric)
	set(types.Int2, Implicit, types.Int4, types.Int8, types.Float4, types.Float8, types.Numeric, types.OID)
	set(types.Int4, Implicit, types.Int8, types.Float4, types.Float8, types.Numeric, types.OID)
	set(types.Int4, Assignment, types.Int2)
	set(types.Int4, Explicit, types.Bool, types.Char)
	set(types.Int8, Implicit, types.Float4, types.Float8, types.Numeric, types.OID)
	set(types.Int8, Assignment, types.Int2, types.Int4)
	set(types.Interval, Assignment, types.Time)
	set(types.JSON, Assignment, types.JSONB)
	set(types.JSONB, Assignment, types.JSON)
	set(types.JSONB, Explicit, types.Bool, types.Int2, types.Int4, types.Int8, types.Float4, types.Float8, types.Numeric)
	set(types.Name, Implicit, types.Text)
	set(types.Name, Assignment, types.Bpchar, types.Varchar)
	set(types.Numeric, Implicit, types.Float4, types.Float8)
	set(types.Numeric, Assignment, types.Int2, types.Int4, types.Int8)
	set(types.Text, Implicit, types.Bpchar, types.Name, types.Varchar, types.Regclass)
	set(types.Text, Assignment, types.Char)
	set(types.Varchar, Implicit, types.Bpchar, types.Name, types.Text, types.Regclass)
	set(types.Varchar, Assignment, types.Char)
	set(types.Time, Implicit, types.Interval)
	set(types.Timestamp, Implicit, types.Timestamptz)
	set(types.Timestamp, Assignment, types.Date, types.Time)
	set(types.Timestamptz, Assignment, types.Date, types.Time, types.Timestamp)
	set(types.OID, Assignment, types.Int4, types.Int8)
	set(types.Regproc, Implicit, types.Regprocedure)
	set(types.Regprocedure, Implicit, types.Regproc)
	for _, r := range regs {
		set(r, Implicit, types.OID)
		set(r, Assignment, types.Int4, types.Int8)
		set(types.OID, Implicit, r)
		set(types.Int2, Implicit, r)
		set(types.Int4, Implicit, r)
		set(types.Int8, Implicit, r)
	}
	return m
}()

// CastAllowed reports whether Postgres casts from one type to another in a
// context. Unknown casts to everything: the literal is read as the target type.
func CastAllowed(from, to types.Type, ctx CastContext) bool {
	if from.ID == types.Record && to.ID == types.Record {
		return recordCastAllowed(from, to, ctx)
	}
	if from.Same(to) || from.ID == types.Unknown {
		return true
	}
	switch to.ID {
	case types.Any, types.AnyElement:
		return true
	case types.AnyArray:
		return isArray(from)
	case types.Unknown:
		return false
	}
	if isArray(from) && isArray(to) {
		if to.ID != types.Array {
			return false
		}
		return CastAllowed(from.ElemType(), to.ElemType(), ctx)
	}
	if from.ID < 64 && to.ID < 64 && castTable[from.ID][to.ID] <= ctx {
		return true
	}
	// Through text: assignment to the string types, explicit from them.
	switch {
	case from.ID == types.Void || to.ID == types.Void || to.ID == types.Record && to.Typmod < 0:
		return false
	case category(to) == 'S':
		return ctx >= Assignment
	case category(from) == 'S':
		return ctx >= Explicit
	}
	return false
}

// errCannotCast is the error of a cast that does not exist.
func errCannotCast(from, to types.Type) error {
	return pgerr.New(pgerr.CannotCoerce, "cannot cast type %s to %s", from.Bare(), to.Bare())
}

// Cast converts v, of any form, to a type: arrays elementwise, to and from text
// by the types' text forms, anything to its own type with another modifier.
// explicit casts to varchar(n) and char(n) cut, others refuse (22001) what is
// too long. It does not ask CastAllowed.
func Cast(c *Ctx, v *vector.Vector, to types.Type, explicit bool) (*vector.Vector, error) {
	return castVector(c, v, to, explicit)
}
