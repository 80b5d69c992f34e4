package pgcatalog

import (
	"hash/fnv"

	"github.com/volleydb/volley/types"
)

// OIDs of Postgres' input and output functions of users' types.
const (
	enumIn, enumOut, enumRecv, enumSend         uint32 = 3506, 3507, 3532, 3533
	recordIn, recordOut, recordRecv, recordSend uint32 = 2290, 2291, 2402, 2403
	arrayIn, arrayOut, arrayRecv, arraySend     uint32 = 750, 751, 2400, 2401
	arrayAnalyze, arraySubscript                uint32 = 3816, 6179
)

// userRows are the rows of a user's type and of the array of it, but for schema and
// owner.
func userRows(t types.Type) (r, array typeRow) {
	u, _ := t.User()
	r = typeRow{oid: u.OID, name: u.Name, size: -1, kind: 'c', category: 'C', array: u.Array,
		input: recordIn, output: recordOut, receive: recordRecv, send: recordSend, align: 'd', storage: 'x'}
	if u.Labels != nil {
		r.size, r.byVal, r.kind, r.category, r.align, r.storage = 4, true, 'e', 'E', 'i', 'p'
		r.input, r.output, r.receive, r.send = enumIn, enumOut, enumRecv, enumSend
	}
	return r, typeRow{oid: u.Array, name: "_" + u.Name, size: -1, kind: 'b', category: 'A', elem: u.OID, subscript: arraySubscript,
		input: arrayIn, output: arrayOut, receive: arrayRecv, send: arraySend, analyze: arrayAnalyze, align: r.align, storage: 'x'}
}

// userTypes are the rows of users' types and of the arrays of them.
func (v *View) userTypes() []typeRow {
	var out []typeRow
	for _, t := range v.Snapshot.Types() {
		r, a := userRows(t.Type)
		if s := v.Snapshot.Schema(t.Schema); s != nil {
			r.schema, a.schema = s.OID, s.OID
		}
		if o := v.Snapshot.Role(t.Owner); o != nil {
			r.owner, a.owner = o.OID, o.OID
		}
		out = append(out, r, a)
	}
	return out
}

// typeRowOf returns the row of a column's type.
func typeRowOf(t types.Type) *typeRow {
	if u, ok := t.User(); ok && u.OID != 0 {
		r, a := userRows(t)
		if t.ID == types.Array {
			return &a
		}
		return &r
	}
	return typeByOID(t.OID())
}

// enumRow is a row of pg_enum.
type enumRow struct {
	oid, typ uint32
	sort     float32
	label    string
}

// enumLabels are the labels of users' enums. A label has no OID of its own: it is
// made of the type's and the text, above all users' objects.
func (v *View) enumLabels() []enumRow {
	var out []enumRow
	for _, t := range v.Snapshot.Types() {
		u, _ := t.Type.User()
		for i, l := range u.Labels {
			h := fnv.New32a()
			h.Write([]byte(t.Type.String() + "\x00" + l.Text))
			out = append(out, enumRow{oid: 3_000_000_000 + h.Sum32()%1_000_000_000, typ: t.OID, sort: float32(i + 1), label: l.Text})
		}
	}
	return out
}
