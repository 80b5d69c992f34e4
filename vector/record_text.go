package vector

import (
	"encoding/binary"
	"math"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
)

// recordHeader is the header of records of these fields, with its length.
func recordHeader(names []string, ts []types.Type) []byte {
	hdr := binary.AppendUvarint(nil, uint64(len(ts)))
	for k, t := range ts {
		hdr = append(hdr, byte(t.ID), byte(t.Elem))
		hdr = append(binary.AppendUvarint(hdr, uint64(len(names[k]))), names[k]...)
	}
	return append(binary.AppendUvarint(nil, uint64(len(hdr))), hdr...)
}

// enumParser reads labels of an enum.
func enumParser(t types.Type) func(b *Builder, s []byte) error {
	u, ok := t.User()
	if !ok {
		return func(*Builder, []byte) error {
			return pgerr.New(pgerr.FeatureNotSupported, "cannot accept a value of type %s", t)
		}
	}
	values := make(map[string][]byte, len(u.Labels))
	for _, l := range u.Labels {
		values[l.Text] = l.AppendValue(nil)
	}
	return func(b *Builder, s []byte) error {
		v, ok := values[string(s)]
		if !ok {
			return pgerr.New(pgerr.InvalidTextRepresentation, "invalid input value for enum %s: \"%s\"", t, s)
		}
		b.AppendBytes(v)
		return nil
	}
}

// recordParser reads (1,x) as a record of a type whose fields are known.
func recordParser(t types.Type, o *types.TextOptions) func(b *Builder, s []byte) error {
	fields, ok := t.RowFields()
	if !ok {
		return func(*Builder, []byte) error {
			return pgerr.New(pgerr.FeatureNotSupported, "input of anonymous composite types is not implemented")
		}
	}
	var names []string
	var ts []types.Type
	for _, f := range fields {
		names, ts = append(names, f.Name), append(ts, f.Type)
	}
	hdr := recordHeader(names, ts)
	var read []func(b *Builder, s []byte) error
	var out, field []byte
	return func(b *Builder, s []byte) error {
		if read == nil {
			// Made by need: a type may be read that has fields nobody can.
			for _, t := range ts {
				read = append(read, TextParser(t, o))
			}
		}
		bad := func(detail string) error {
			return pgerr.New(pgerr.InvalidTextRepresentation, "malformed record literal: \"%s\"", s).WithDetail("%s", detail)
		}
		p := s
		for len(p) > 0 && isSpace(p[0]) {
			p = p[1:]
		}
		if len(p) == 0 || p[0] != '(' {
			return bad("Missing left parenthesis.")
		}
		p = p[1:]
		out = append(out[:0], hdr...)
		for k, t := range ts {
			if k > 0 {
				if len(p) == 0 || p[0] != ',' {
					return bad("Too few columns.")
				}
				p = p[1:]
			}
			one := NewBuilder(t, 1)
			if len(p) > 0 && (p[0] == ',' || p[0] == ')') {
				one.AppendNull()
			} else {
				field = field[:0]
				for quoted := false; quoted || len(p) == 0 || p[0] != ',' && p[0] != ')'; {
					if len(p) == 0 {
						return bad("Unexpected end of input.")
					}
					c := p[0]
					p = p[1:]
					switch {
					case c == '\\':
						if len(p) == 0 {
							return bad("Unexpected end of input.")
						}
						field, p = append(field, p[0]), p[1:]
					case c == '"' && !quoted:
						quoted = true
					case c == '"' && len(p) > 0 && p[0] == '"':
						field, p = append(field, '"'), p[1:]
					case c == '"':
						quoted = false
					default:
						field = append(field, c)
					}
				}
				if err := read[k](one, field); err != nil {
					return err
				}
			}
			out = appendField(out, one.Build(), 0)
		}
		if len(p) == 0 || p[0] != ')' {
			return bad("Too many columns.")
		}
		for _, c := range p[1:] {
			if !isSpace(c) {
				return bad("Junk after right parenthesis.")
			}
		}
		if len(b.bytes)+len(out) > math.MaxInt32 {
			return pgerr.New(pgerr.ProgramLimitExceeded, "the records of one batch exceed 2 GB")
		}
		b.AppendBytes(out)
		return nil
	}
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// enumLabel is the label of a stored value of an enum.
func enumLabel(b []byte) []byte {
	if len(b) < types.EnumPrefix {
		return nil
	}
	return b[types.EnumPrefix:]
}
