package types

import "sync"

// RowField is a field of a row type.
type RowField struct {
	Name string
	Type Type
}

// rows are the row types and enums that this process has met: Type.Typmod of a
// Record or Enum is the index into them. A value says itself what fields it has, and
// plans carry the definitions, so that the number means nothing outside the process.
var rows struct {
	sync.Mutex
	list  []*UserType
	index map[string]int32
}

// maxRowTypes bounds what the table of row types may grow to: past it a record is
// anonymous, and its fields cannot be selected by name.
const maxRowTypes = 1 << 20

// RowOf returns the record type with these fields.
func RowOf(fields []RowField) Type {
	return Type{ID: Record, Typmod: intern(UserType{Fields: fields})}
}

// RowFields returns the fields of a record type; ok is false where they are not
// known. The result must not be changed.
func (t Type) RowFields() (fields []RowField, ok bool) {
	if t.ID != Record {
		return nil, false
	}
	u, ok := t.User()
	if !ok {
		return nil, false
	}
	return u.Fields, true
}
