package types

import (
	"encoding/binary"
	"encoding/json"
	"strconv"
	"strings"
)

// UserType is a type that a user made: an enum, or a composite with a name. A row
// type without a name has Fields only.
type UserType struct {
	OID    uint32      `json:"oid,omitempty"`
	Array  uint32      `json:"array,omitempty"` // OID of the array type
	Schema string      `json:"schema,omitempty"`
	Name   string      `json:"name,omitempty"`
	Labels []EnumLabel `json:"labels,omitempty"` // of an enum, in order
	Fields []RowField  `json:"fields,omitempty"`
}

// EnumLabel is a value of an enum. Sort is its place: values are stored as Sort in
// four bytes, most significant first, and the label, so that their bytes have the
// order of the definition.
type EnumLabel struct {
	Sort uint32 `json:"sort"`
	Text string `json:"text"`
}

// EnumStep is the distance of the places of labels, so that others fit between.
const EnumStep = 1 << 16

// EnumPrefix is the bytes of a value of an enum before its label.
const EnumPrefix = 4

// AppendValue appends the value as it is stored.
func (l EnumLabel) AppendValue(dst []byte) []byte {
	return append(binary.BigEndian.AppendUint32(dst, l.Sort), l.Text...)
}

// isUser tells the types that Typmod identifies: by its index in this process.
func (t Type) isUser() bool {
	return t.ID == Record || t.ID == Enum || t.ID == Array && (t.Elem == Record || t.Elem == Enum)
}

// RegisterUser returns the type with this definition, Record or Enum.
func RegisterUser(u UserType) Type {
	id := Record
	if u.Labels != nil {
		id = Enum
	}
	return Type{ID: id, Typmod: intern(u)}
}

// User returns the definition of a user's type or of the elements of an array of
// such. The result must not be changed.
func (t Type) User() (*UserType, bool) {
	if !t.isUser() || t.Typmod < 0 {
		return nil, false
	}
	rows.Lock()
	defer rows.Unlock()
	if int(t.Typmod) >= len(rows.list) {
		return nil, false
	}
	return rows.list[t.Typmod], true
}

// Definition encodes what User returns for another process; nil for other types.
func (t Type) Definition() []byte {
	u, ok := t.User()
	if !ok {
		return nil
	}
	b, err := json.Marshal(u)
	if err != nil {
		panic(err) // strings and integers only
	}
	return b
}

// Defined returns t with a definition that Definition encoded in another process,
// where Typmod had another meaning.
func (t Type) Defined(def []byte) Type {
	if !t.isUser() {
		return t
	}
	t.Typmod = -1
	var u UserType
	if len(def) == 0 || json.Unmarshal(def, &u) != nil {
		return t
	}
	t.Typmod = intern(u)
	return t
}

// plainType is Type as JSON has it, with the definition that Typmod stands for.
type plainType struct {
	ID, Elem ID
	Typmod   int32
	Def      json.RawMessage `json:",omitempty"`
}

// MarshalJSON implements json.Marshaler.
func (t Type) MarshalJSON() ([]byte, error) {
	p := plainType{ID: t.ID, Elem: t.Elem, Typmod: t.Typmod}
	if t.isUser() {
		p.Typmod, p.Def = -1, t.Definition()
	}
	return json.Marshal(p)
}

// UnmarshalJSON implements json.Unmarshaler.
func (t *Type) UnmarshalJSON(b []byte) error {
	var p plainType
	if err := json.Unmarshal(b, &p); err != nil {
		return err
	}
	*t = Type{ID: p.ID, Elem: p.Elem, Typmod: p.Typmod}.Defined(p.Def)
	return nil
}

// intern returns the number of a definition, -1 when there are too many.
func intern(u UserType) int32 {
	k := []byte(u.Schema + "\x00" + u.Name + "\x00")
	k = binary.BigEndian.AppendUint32(k, u.OID)
	for _, l := range u.Labels {
		k = append(strconv.AppendUint(k, uint64(l.Sort), 10), ' ')
		k = append(append(k, l.Text...), 0)
	}
	k = append(k, 1)
	for _, f := range u.Fields {
		k = append(append(k, f.Name...), 0, byte(f.Type.ID), byte(f.Type.Elem))
		k = binary.BigEndian.AppendUint32(k, uint32(f.Type.Typmod))
	}
	rows.Lock()
	defer rows.Unlock()
	n, ok := rows.index[string(k)]
	if !ok {
		if len(rows.list) >= maxRowTypes {
			return -1
		}
		if rows.index == nil {
			rows.index = map[string]int32{}
		}
		n = int32(len(rows.list))
		u.Fields = append([]RowField(nil), u.Fields...)
		rows.list = append(rows.list, &u)
		rows.index[string(k)] = n
	}
	return n
}

// userOID is the OID of a type with a name, or of the array of such.
func userOID(t Type) (uint32, bool) {
	u, ok := t.User()
	if !ok || u.OID == 0 {
		return 0, false
	}
	if t.ID == Array {
		return u.Array, true
	}
	return u.OID, true
}

// quoteName quotes an identifier if it needs it.
func quoteName(s string) string {
	plain := s != "" && (s[0] < '0' || s[0] > '9')
	for i := range len(s) {
		c := s[i]
		plain = plain && (c == '_' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c >= 0x80)
	}
	if plain {
		return s
	}
	return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
}
