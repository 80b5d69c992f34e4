package udf

import (
	"fmt"
	"strings"
	"sync"
	"unicode"

	"github.com/volleydb/volley/udf/sdk/wire"
)

// composite is an array type or a struct type.
type composite struct {
	spec   string
	elem   Type     // of an array, without Nullable
	fields []Column // of a struct, without Nullable
}

// composites are the types that a Type's upper bits number. They are made at
// registration and when a stream is opened, never per row.
var composites struct {
	sync.RWMutex
	list  []*composite
	index map[string]Type
}

// parts returns what an array or struct type consists of, nil for others.
func (t Type) parts() *composite {
	if f := t.form(); f != listType && f != structType {
		return nil
	}
	composites.RLock()
	defer composites.RUnlock()
	if i := int(t >> compositeShift); i < len(composites.list) {
		return composites.list[i]
	}
	return nil
}

func makeComposite(form Type, c composite) Type {
	composites.Lock()
	defer composites.Unlock()
	if t, ok := composites.index[c.spec]; ok {
		return t
	}
	if composites.index == nil {
		composites.index = map[string]Type{}
	}
	t := Type(len(composites.list))<<compositeShift | form
	composites.list = append(composites.list, &c)
	composites.index[c.spec] = t
	return t
}

// ListOf is the type of arrays of elem, which is not an array itself.
func ListOf(elem Type) Type {
	if !elem.valid() || elem.form() == listType {
		panic(fmt.Sprintf("udf: there are no arrays of %s", elem))
	}
	elem = elem.base()
	return makeComposite(listType, composite{spec: "[]" + elem.String(), elem: elem})
}

// StructOf is the type of a composite type with these fields.
func StructOf(fields ...Column) Type {
	if len(fields) == 0 {
		panic("udf: a struct without fields")
	}
	w := &wire.Type{Name: "struct"}
	own := make([]Column, len(fields))
	for i, f := range fields {
		if !f.Type.valid() {
			panic(fmt.Sprintf("udf: field %q has no type", f.Name))
		}
		own[i] = Column{f.Name, f.Type.base()}
		w.Fields = append(w.Fields, wire.TypeField{Name: f.Name, Type: own[i].Type.toWire()})
	}
	return makeComposite(structType, composite{spec: w.String(), fields: own})
}

// T returns the type that a manifest writes as spec: "numeric", "[]float64",
// "struct{a int64, b string}". It panics for others.
func T(spec string) Type {
	w, err := wire.ParseType(spec)
	if err != nil {
		panic("udf: " + err.Error())
	}
	return fromWire(w)
}

func fromWire(w *wire.Type) Type {
	switch w.Name {
	case "[]":
		return ListOf(fromWire(w.Elem))
	case "struct":
		fields := make([]Column, len(w.Fields))
		for i, f := range w.Fields {
			fields[i] = Column{f.Name, fromWire(f.Type)}
		}
		return StructOf(fields...)
	}
	for i, n := range typeNames {
		if i > 0 && n == w.Name {
			return Type(i)
		}
	}
	panic(fmt.Sprintf("udf: there is no type %q", w.Name))
}

func (t Type) toWire() *wire.Type {
	c := t.parts()
	switch {
	case c == nil:
		return &wire.Type{Name: t.String()}
	case t.form() == listType:
		return &wire.Type{Name: "[]", Elem: c.elem.toWire()}
	}
	w := &wire.Type{Name: "struct"}
	for _, f := range c.fields {
		w.Fields = append(w.Fields, wire.TypeField{Name: f.Name, Type: f.Type.toWire()})
	}
	return w
}

// declared returns the type of a column of the SQL type name for a function that
// wants want: want itself, but with Date where it has Time and SQL has date.
func declared(name string, want Type) (Type, error) {
	w, err := wire.ParseType(name)
	if err != nil {
		return 0, err
	}
	if !want.toWire().Accepts(w) {
		return 0, fmt.Errorf("%s, want %s", name, want)
	}
	return narrow(want, w) | want&Nullable, nil
}

// narrow puts the dates of w in the places of times of want, which accepts w.
func narrow(want Type, w *wire.Type) Type {
	c := want.parts()
	switch {
	case c != nil && want.form() == listType:
		return ListOf(narrow(c.elem, w.Elem))
	case c != nil:
		fields := make([]Column, len(c.fields))
		for i, f := range c.fields {
			fields[i] = Column{f.Name, narrow(f.Type, w.Fields[i].Type)}
		}
		return StructOf(fields...)
	case want.base() == Time && w.Name == "date":
		return Date
	}
	return want.base()
}

// reads reports whether a column of type t can be read, or written, as want.
func (t Type) reads(want Type) bool {
	return t.base() == want.base() || want.toWire().Accepts(t.toWire())
}

// snake is the SQL name of a Go field: UserID is user_id.
func snake(s string) string {
	var b strings.Builder
	rs := []rune(s)
	for i, r := range rs {
		if unicode.IsUpper(r) && i > 0 && (!unicode.IsUpper(rs[i-1]) || i+1 < len(rs) && unicode.IsLower(rs[i+1])) && rs[i-1] != '_' {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
