package wire

import (
	"fmt"
	"strconv"
	"strings"
)

// Type is a type as manifests and Open messages write it: a name, []T or
// struct{name T, …}.
type Type struct {
	Name   string // of a scalar type; "[]" or "struct"
	Elem   *Type  // of "[]"
	Fields []TypeField
}

// TypeField is a field of a struct.
type TypeField struct {
	Name string
	Type *Type
}

// scalarKinds are the types that have no parts and how columns of them look. time
// is a timestamp, timestamptz or date, as CREATE FUNCTION declares; it stands in
// manifests only.
var scalarKinds = map[string]Kind{
	"bool": Bool, "int16": Int16, "int32": Int32, "int64": Int64, "float32": Float32, "float64": Float64,
	"string": Bytes, "bytes": Bytes, "json": Bytes, "jsonb": Bytes, "uuid": Fixed16, "numeric": Decimal,
	"date": Int32, "timestamp": Int64, "timestamptz": Int64, "time": Int64, "clock": Int64, "interval": Interval,
}

// Kind returns how columns of t look.
func (t *Type) Kind() Kind {
	switch t.Name {
	case "[]":
		return List
	case "struct":
		return Struct
	}
	return scalarKinds[t.Name]
}

// String is the inverse of ParseType.
func (t *Type) String() string {
	switch t.Name {
	case "[]":
		return "[]" + t.Elem.String()
	case "struct":
		var b strings.Builder
		b.WriteString("struct{")
		for i, f := range t.Fields {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(quoteField(f.Name) + " " + f.Type.String())
		}
		return b.String() + "}"
	}
	return t.Name
}

func isWord(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c >= 0x80
}

func quoteField(s string) string {
	plain := s != ""
	for i := range len(s) {
		plain = plain && isWord(s[i])
	}
	if plain {
		return s
	}
	return strconv.Quote(s)
}

// ParseType reads a type such as "numeric", "[]float64" or
// "struct{a int64, b []string}". Names of fields that are not words stand in
// double quotes.
func ParseType(s string) (*Type, error) {
	t, rest, err := parseType(s, 0)
	if err == nil && strings.TrimSpace(rest) != "" {
		err = fmt.Errorf("unexpected %q", rest)
	}
	if err != nil {
		return nil, fmt.Errorf("type %q: %w", s, err)
	}
	return t, nil
}

func parseType(s string, depth int) (*Type, string, error) {
	s = strings.TrimLeft(s, " ")
	if depth > MaxDepth {
		return nil, "", fmt.Errorf("nested more than %d deep", MaxDepth)
	}
	if rest, ok := strings.CutPrefix(s, "[]"); ok {
		elem, rest, err := parseType(rest, depth+1)
		return &Type{Name: "[]", Elem: elem}, rest, err
	}
	if rest, ok := strings.CutPrefix(s, "struct{"); ok {
		t := &Type{Name: "struct"}
		for {
			rest = strings.TrimLeft(rest, " ")
			var f TypeField
			if strings.HasPrefix(rest, `"`) {
				q, err := strconv.QuotedPrefix(rest)
				if err != nil {
					return nil, "", err
				}
				if f.Name, err = strconv.Unquote(q); err != nil {
					return nil, "", err
				}
				rest = rest[len(q):]
			} else {
				f.Name, rest = word(rest)
			}
			if f.Name == "" {
				return nil, "", fmt.Errorf("a field without a name at %q", rest)
			}
			var err error
			if f.Type, rest, err = parseType(rest, depth+1); err != nil {
				return nil, "", err
			}
			t.Fields = append(t.Fields, f)
			rest = strings.TrimLeft(rest, " ")
			switch {
			case strings.HasPrefix(rest, ","):
				rest = rest[1:]
			case strings.HasPrefix(rest, "}"):
				return t, rest[1:], nil
			default:
				return nil, "", fmt.Errorf("want , or } at %q", rest)
			}
		}
	}
	name, rest := word(s)
	if scalarKinds[name] == 0 {
		return nil, "", fmt.Errorf("there is no type %q", name)
	}
	return &Type{Name: name}, rest, nil
}

func word(s string) (w, rest string) {
	i := 0
	for i < len(s) && isWord(s[i]) {
		i++
	}
	return s[:i], s[i:]
}

// Accepts reports whether columns of t may be given to a function that declares
// d: the types are the same, but where d has time, t has timestamp, timestamptz
// or date.
func (d *Type) Accepts(t *Type) bool {
	switch {
	case d.Name == "time":
		return t.Name == "timestamp" || t.Name == "timestamptz" || t.Name == "date" || t.Name == "time"
	case d.Name != t.Name || len(d.Fields) != len(t.Fields):
		return false
	case d.Name == "[]":
		return d.Elem.Accepts(t.Elem)
	}
	for i := range d.Fields {
		if d.Fields[i].Name != t.Fields[i].Name || !d.Fields[i].Type.Accepts(t.Fields[i].Type) {
			return false
		}
	}
	return true
}
