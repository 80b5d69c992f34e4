package types

import (
	"strings"
	"sync"
)

// RowField is a field of a row type.
type RowField struct {
	Name string
	Type Type
}

// rows are the row types that this process has met: Type.Typmod of a Record is the
// index into them. A record's value says itself what fields it has, so that the
// number means nothing outside the process that bound the statement.
var rows struct {
	sync.Mutex
	list  [][]RowField
	index map[string]int32
}

// maxRowTypes bounds what the table of row types may grow to: past it a record is
// anonymous, and its fields cannot be selected by name.
const maxRowTypes = 1 << 20

// RowOf returns the record type with these fields.
func RowOf(fields []RowField) Type {
	var b strings.Builder
	for _, f := range fields {
		b.WriteString(f.Name)
		b.WriteByte(0)
		b.WriteByte(byte(f.Type.ID))
		b.WriteByte(byte(f.Type.Elem))
		for shift := 0; shift < 32; shift += 8 {
			b.WriteByte(byte(f.Type.Typmod >> shift))
		}
	}
	k := b.String()
	rows.Lock()
	defer rows.Unlock()
	n, ok := rows.index[k]
	if !ok {
		if len(rows.list) >= maxRowTypes {
			return T(Record)
		}
		if rows.index == nil {
			rows.index = map[string]int32{}
		}
		n = int32(len(rows.list))
		rows.list = append(rows.list, append([]RowField(nil), fields...))
		rows.index[k] = n
	}
	return Type{ID: Record, Typmod: n}
}

// RowFields returns the fields of a record type; ok is false where they are not
// known. The result must not be changed.
func (t Type) RowFields() (fields []RowField, ok bool) {
	if t.ID != Record || t.Typmod < 0 {
		return nil, false
	}
	rows.Lock()
	defer rows.Unlock()
	if int(t.Typmod) >= len(rows.list) {
		return nil, false
	}
	return rows.list[t.Typmod], true
}
