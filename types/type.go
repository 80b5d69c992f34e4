package types

import "fmt"

// ID identifies a SQL type. The numbers travel in plans: append only.
type ID uint8

// The SQL types. Unknown is the type of an untyped literal and of NULL.
const (
	Invalid ID = iota
	Unknown
	Bool
	Int2
	Int4
	Int8
	Float4
	Float8
	Numeric
	Text
	Varchar
	Bpchar // char(n), blank padded
	Name
	Char // the one-byte "char" of the catalogs
	Bytea
	Date
	Time
	Timestamp
	Timestamptz
	Interval
	UUID
	JSON
	JSONB
	OID
	Regclass
	Regtype
	Regproc
	Regnamespace
	Void
	Record
	Array      // Type.Elem is the element
	AnyElement // in function signatures only
	AnyArray   // in function signatures only
	Any        // in function signatures only
	Int2Vector // catalogs: an int2[] printed with blanks, 0-based
	OIDVector  // catalogs: an oid[] printed with blanks, 0-based
	Regprocedure
	JSONPathType
	Enum // Typmod says which; see UserType
	numIDs
)

// Type is a SQL type. It is comparable. Typmod is Postgres' atttypmod, or -1:
// numeric(p,s) is ((p<<16)|s)+4, varchar(n) and char(n) are n+4.
type Type struct {
	ID     ID
	Elem   ID // of an Array
	Typmod int32
}

// T returns the type id without modifier.
func T(id ID) Type { return Type{ID: id, Typmod: -1} }

// ArrayOf returns the array type of an element type.
func ArrayOf(elem ID) Type { return Type{ID: Array, Elem: elem, Typmod: -1} }

// ListOf returns the array type over t without its modifier; of a record or enum it
// is that which Typmod says.
func ListOf(t Type) Type { return Type{ID: Array, Elem: t.ID, Typmod: t.Bare().Typmod} }

// NumericOf returns numeric(precision, scale).
func NumericOf(precision, scale int) Type {
	return Type{ID: Numeric, Typmod: int32(precision<<16|scale) + 4}
}

// ElemType returns the element type of an array, and Invalid for others.
func (t Type) ElemType() Type {
	switch t.ID {
	case Array:
		return Type{ID: t.Elem, Typmod: t.Typmod}
	case Int2Vector:
		return T(Int2)
	case OIDVector:
		return T(OID)
	}
	return T(Invalid)
}

// PrecisionScale returns the modifier of a constrained numeric.
func (t Type) PrecisionScale() (precision, scale int, ok bool) {
	if t.ID != Numeric || t.Typmod < 4 {
		return 0, 0, false
	}
	m := t.Typmod - 4
	return int(m >> 16 & 0xffff), int(int16(m & 0xffff)), true
}

// Length returns n of varchar(n) and char(n).
func (t Type) Length() (int, bool) {
	if (t.ID == Varchar || t.ID == Bpchar) && t.Typmod >= 4 {
		return int(t.Typmod - 4), true
	}
	return 0, false
}

// Bare returns t without its modifier. That of a record or enum is its identity and
// stays.
func (t Type) Bare() Type {
	if !t.isUser() {
		t.Typmod = -1
	}
	return t
}

// Same reports whether two types are equal but for the modifier. Two enums are not;
// one of which it is not known which it is may be any.
func (t Type) Same(u Type) bool {
	if t.ID != u.ID || t.Elem != u.Elem {
		return false
	}
	if t.ID == Enum || t.Elem == Enum {
		return t.Typmod == u.Typmod || t.Typmod < 0 || u.Typmod < 0
	}
	return true
}

// Phys is the physical representation of a column of a type.
type Phys uint8

// The physical representations, as package vector stores them.
const (
	PhysInvalid  Phys = iota
	PhysBool          // []bool, one byte each
	PhysInt16         // []int16
	PhysInt32         // []int32: int4; date as days since 1970-01-01
	PhysInt64         // []int64: int8, oid and reg*; time, timestamp[tz] as microseconds (since 1970-01-01 UTC)
	PhysFloat32       // []float32
	PhysFloat64       // []float64
	PhysNumeric       // []types.Decimal
	PhysInterval      // []types.IntervalValue
	PhysBytes         // offsets and bytes: text and its kin (valid UTF-8), bytea, uuid (16 bytes), json
	PhysList          // offsets and a child vector
)

// Phys returns the physical representation of t.
func (t Type) Phys() Phys {
	switch t.ID {
	case Bool:
		return PhysBool
	case Int2:
		return PhysInt16
	case Int4, Date:
		return PhysInt32
	case Int8, Time, Timestamp, Timestamptz, OID, Regclass, Regtype, Regproc, Regprocedure, Regnamespace:
		return PhysInt64
	case Float4:
		return PhysFloat32
	case Float8:
		return PhysFloat64
	case Numeric:
		return PhysNumeric
	case Interval:
		return PhysInterval
	case Text, Varchar, Bpchar, Name, Char, Bytea, UUID, JSON, JSONB, JSONPathType, Unknown, Void, Record, Enum:
		return PhysBytes
	case Array, Int2Vector, OIDVector:
		return PhysList
	}
	return PhysInvalid
}

// IsString reports whether t holds character data.
func (t Type) IsString() bool {
	switch t.ID {
	case Text, Varchar, Bpchar, Name, Char, Unknown:
		return true
	}
	return false
}

// IsInteger reports int2, int4, int8.
func (t Type) IsInteger() bool { return t.ID == Int2 || t.ID == Int4 || t.ID == Int8 }

// IsNumeric reports the number types.
func (t Type) IsNumeric() bool {
	return t.IsInteger() || t.ID == Float4 || t.ID == Float8 || t.ID == Numeric
}

// Decimal is a numeric value: coefficient (128-bit two's complement, Hi:Lo)
// times 10^-Scale, or NaN. Scale is the display scale, as Postgres keeps it per
// value; the magnitude is below 10^38, beyond which operations report 22003.
type Decimal struct {
	Lo    uint64
	Hi    int64
	Scale int32
	NaN   bool
}

// IntervalValue is an interval; the three parts are independent, as in Postgres.
type IntervalValue struct {
	Months int32
	Days   int32
	Micros int64
}

type info struct {
	name  string // as format_type prints it
	alias []string
	oid   uint32
	array uint32 // oid of the array type
	size  int16  // typlen
}

var infos = [numIDs]info{
	Unknown:      {"unknown", nil, 705, 0, -2},
	Bool:         {"boolean", []string{"bool"}, 16, 1000, 1},
	Int2:         {"smallint", []string{"int2"}, 21, 1005, 2},
	Int4:         {"integer", []string{"int4", "int"}, 23, 1007, 4},
	Int8:         {"bigint", []string{"int8"}, 20, 1016, 8},
	Float4:       {"real", []string{"float4"}, 700, 1021, 4},
	Float8:       {"double precision", []string{"float8", "float", "double"}, 701, 1022, 8},
	Numeric:      {"numeric", []string{"decimal"}, 1700, 1231, -1},
	Text:         {"text", []string{"string"}, 25, 1009, -1},
	Varchar:      {"character varying", []string{"varchar"}, 1043, 1015, -1},
	Bpchar:       {"character", []string{"bpchar"}, 1042, 1014, -1},
	Name:         {"name", nil, 19, 1003, 64},
	Char:         {`"char"`, nil, 18, 1002, 1},
	Bytea:        {"bytea", nil, 17, 1001, -1},
	Date:         {"date", nil, 1082, 1182, 4},
	Time:         {"time without time zone", []string{"time"}, 1083, 1183, 8},
	Timestamp:    {"timestamp without time zone", []string{"timestamp"}, 1114, 1115, 8},
	Timestamptz:  {"timestamp with time zone", []string{"timestamptz"}, 1184, 1185, 8},
	Interval:     {"interval", nil, 1186, 1187, 16},
	UUID:         {"uuid", nil, 2950, 2951, 16},
	JSON:         {"json", nil, 114, 199, -1},
	JSONB:        {"jsonb", nil, 3802, 3807, -1},
	OID:          {"oid", nil, 26, 1028, 4},
	Regclass:     {"regclass", nil, 2205, 2210, 4},
	Regtype:      {"regtype", nil, 2206, 2211, 4},
	Regproc:      {"regproc", nil, 24, 1008, 4},
	Regprocedure: {"regprocedure", nil, 2202, 2207, 4},
	Regnamespace: {"regnamespace", nil, 4089, 4090, 4},
	Void:         {"void", nil, 2278, 0, 4},
	Record:       {"record", nil, 2249, 2287, -1},
	Array:        {"anyarray", nil, 2277, 0, -1},
	AnyElement:   {"anyelement", nil, 2283, 0, 4},
	AnyArray:     {"anyarray", nil, 2277, 0, -1},
	Any:          {`"any"`, nil, 2276, 0, 4},
	Int2Vector:   {"int2vector", nil, 22, 1006, -1},
	OIDVector:    {"oidvector", nil, 30, 1013, -1},
	JSONPathType: {"jsonpath", nil, 4072, 4073, -1},
	Enum:         {"anyenum", nil, 3500, 0, 4},
}

var (
	byName = map[string]ID{}
	byOID  = map[uint32]Type{}
)

func init() {
	for id := range infos {
		in := &infos[id]
		if in.name == "" || ID(id) == Array {
			continue
		}
		byName[in.name] = ID(id)
		for _, a := range in.alias {
			byName[a] = ID(id)
		}
		byOID[in.oid] = T(ID(id))
		if in.array != 0 {
			byOID[in.array] = ArrayOf(ID(id))
		}
	}
	byName["char"] = Char // how the grammar spells "char": pg_catalog.char
}

// ByName finds a type by its SQL name or an alias such as int4, in lower case
// and without modifier or brackets.
func ByName(name string) (Type, bool) {
	id, ok := byName[name]
	return T(id), ok
}

// ByOID finds a type by its Postgres OID.
func ByOID(oid uint32) (Type, bool) {
	t, ok := byOID[oid]
	return t, ok
}

// OID returns the Postgres OID of t.
func (t Type) OID() uint32 {
	if oid, ok := userOID(t); ok {
		return oid
	}
	if t.ID == Array {
		return infos[t.Elem].array
	}
	return infos[t.ID].oid
}

// ArrayOID returns the OID of the array type over t, 0 if there is none.
func (t Type) ArrayOID() uint32 {
	if u, ok := t.User(); ok && u.Array != 0 && t.ID != Array {
		return u.Array
	}
	return infos[t.ID].array
}

// Size returns Postgres' typlen: -1 for variable length.
func (t Type) Size() int16 {
	if t.ID == Array {
		return -1
	}
	return infos[t.ID].size
}

// String returns the name as Postgres' format_type prints it, with modifier.
func (t Type) String() string {
	if t.ID == Array {
		return Type{ID: t.Elem, Typmod: t.Typmod}.String() + "[]"
	}
	if int(t.ID) >= len(infos) || t.ID == Invalid {
		return "invalid"
	}
	if u, ok := t.User(); ok && u.Name != "" {
		return quoteName(u.Name)
	}
	if p, s, ok := t.PrecisionScale(); ok {
		return fmt.Sprintf("numeric(%d,%d)", p, s)
	}
	if n, ok := t.Length(); ok {
		return fmt.Sprintf("%s(%d)", infos[t.ID].name, n)
	}
	return infos[t.ID].name
}

// All calls f for every concrete type that has an OID, in ID order.
func All(f func(Type)) {
	for id := range infos {
		if infos[id].oid != 0 && ID(id) != Array {
			f(T(ID(id)))
		}
	}
}
