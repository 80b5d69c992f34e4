package function

import (
	"unicode/utf8"

	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// textOptions are the text codec's options of the session.
func (c *Ctx) textOptions() *types.TextOptions {
	o := types.DefaultText()
	if c == nil {
		return &o
	}
	o.Location = c.location()
	o.Now = c.now()
	if c.Setting != nil {
		if s, ok := c.Setting("extra_float_digits"); ok {
			if d, err := types.ParseInt4(s); err == nil {
				o.ExtraFloatDigits = int(d)
			}
		}
		if s, ok := c.Setting("bytea_output"); ok {
			o.ByteaEscape = s == "escape"
		}
	}
	return &o
}

// castString reads text: by the target's input function, or cut and padded to
// another string type.
func castString(c *Ctx, v *vector.Vector, to types.Type, explicit bool) (*vector.Vector, error) {
	if to.IsString() {
		if v.Type.ID == types.Bpchar && to.ID != types.Bpchar {
			v = trimVector(v)
		}
		return fitStrings(v, to, explicit)
	}
	if v.Type.ID == types.Char && to.ID == types.Int4 {
		out := vector.New(to, v.Len)
		for i := range v.Len {
			if b := v.BytesAt(i); len(b) > 0 {
				vector.Values[int32](out)[i] = int32(int8(b[0]))
			}
		}
		return out, nil
	}
	if isOID(to) && to.ID != types.OID {
		return parseRegs(c, v, to)
	}
	if fields, limited := intervalFields(to); limited && v.Type.ID == types.Unknown {
		// Only a literal's bare number takes its unit from the type.
		out, err := mapText(v, types.T(types.Interval), func(s string) (types.IntervalValue, error) {
			return types.ParseIntervalFields(s, fields)
		})
		if err != nil {
			return nil, err
		}
		return intervalTypmod(out, to), nil
	}
	parseAs := to.Bare()
	if e := to.ElemType(); isArray(to) && (isOID(e) && e.ID != types.OID) {
		parseAs = types.ArrayOf(types.Text)
	}
	b := vector.NewBuilder(parseAs, v.Len)
	parse := vector.TextParser(parseAs, c.textOptions())
	for i := range v.Len {
		if v.IsNull(i) {
			b.AppendNull()
			continue
		}
		if err := parse(b, v.BytesAt(i)); err != nil {
			return nil, err
		}
	}
	out := b.Build()
	if to.ID == types.Record {
		return castRecords(c, out, to) // for the modifiers of its fields
	}
	return castVector(c, out, to, explicit)
}

// mapText applies f to the valid rows of a text vector.
func mapText[B vector.Fixed](v *vector.Vector, to types.Type, f func(string) (B, error)) (*vector.Vector, error) {
	out := vector.New(to, v.Len)
	dst := vector.Values[B](out)
	for i := range dst {
		if v.IsNull(i) {
			continue
		}
		x, err := f(v.StringAt(i))
		if err != nil {
			return nil, err
		}
		dst[i] = x
	}
	return out, nil
}

func trimVector(v *vector.Vector) *vector.Vector {
	b := vector.NewBuilder(types.T(types.Text), v.Len)
	for i := range v.Len {
		b.AppendBytes(trimBlanks(v.BytesAt(i)))
	}
	return b.Build().WithValid(v.Valid)
}

// nameLength is the most bytes of a name.
const nameLength = 63

// fitStrings makes strings of another string type, applying its length.
func fitStrings(v *vector.Vector, to types.Type, explicit bool) (*vector.Vector, error) {
	n, limited := to.Length()
	if !limited && to.ID != types.Name && to.ID != types.Char {
		return v.Retype(to), nil
	}
	b := vector.NewBuilder(to, v.Len)
	var buf []byte
	for i := range v.Len {
		s := v.BytesAt(i)
		var err error
		switch {
		case v.IsNull(i):
			s = nil
		case to.ID == types.Varchar:
			s, err = types.FitVarchar(s, n, explicit)
		case to.ID == types.Bpchar:
			buf, err = types.PadBpchar(buf[:0], s, n, explicit)
			s = buf
		case to.ID == types.Name:
			s = cutName(s)
		case to.ID == types.Char:
			s = s[:min(len(s), 1)]
		}
		if err != nil {
			return nil, err
		}
		b.AppendBytes(s)
	}
	return b.Build(), nil
}

// cutName cuts s to the length of a name without splitting a character.
func cutName(s []byte) []byte {
	if len(s) <= nameLength {
		return s
	}
	n := nameLength
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// castToString writes values by their type's output function; a boolean is
// spelt out by a cast.
func castToString(c *Ctx, v *vector.Vector, to types.Type, explicit bool) (*vector.Vector, error) {
	text := types.T(types.Text)
	if v.Type.Phys() == types.PhysBytes && relabels(v.Type, text) {
		return fitStrings(v.Retype(text).WithValid(v.Valid), to, explicit)
	}
	b := vector.NewBuilder(text, v.Len)
	switch {
	case v.Type.ID == types.Bool:
		for _, x := range vector.Values[bool](v) {
			if x {
				b.AppendString("true")
			} else {
				b.AppendString("false")
			}
		}
	case isOID(v.Type) && v.Type.ID != types.OID:
		for i, x := range vector.Values[int64](v) {
			if v.IsNull(i) {
				b.AppendString("")
				continue
			}
			b.AppendString(regText(c, v.Type, uint32(x)))
		}
	case isArray(v.Type) && isOID(v.Type.ElemType()) && v.Type.ElemType().ID != types.OID:
		elems, err := castVector(c, v.Child, text, true)
		if err != nil {
			return nil, err
		}
		return castToString(c, vector.FromList(types.ArrayOf(types.Text), v.Offs, elems).WithValid(v.Valid), to, explicit)
	default:
		write := vector.TextAppender(v.Type, c.textOptions())
		for i := range v.Len {
			if v.IsNull(i) {
				b.AppendString("")
				continue
			}
			b.AppendTo(func(dst []byte) []byte { return write(dst, v, i) })
		}
	}
	out := b.Build().WithValid(v.Valid)
	if to.ID == types.Text {
		return out, nil
	}
	return fitStrings(out, to, explicit)
}
