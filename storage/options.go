package storage

import (
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// Option adjusts a reader, encoder or writer.
type Option func(*settings)

type settings struct {
	text       *types.TextOptions
	forceQuote []string
}

// WithText sets the session's text settings (time zone, float digits); without
// it they are the defaults.
func WithText(o *types.TextOptions) Option { return func(s *settings) { s.text = o } }

// WithForceQuote names the columns of a written csv file whose values are always
// quoted, "*" all of them.
func WithForceQuote(columns []string) Option { return func(s *settings) { s.forceQuote = columns } }

func settingsOf(opts []Option) settings {
	var s settings
	for _, o := range opts {
		o(&s)
	}
	return s
}

// ToProtoType and FromProtoType convert types for the plan.
func ToProtoType(t types.Type) *proto.Type {
	return &proto.Type{Id: uint32(t.ID), Elem: uint32(t.Elem), Typmod: t.Typmod, Definition: t.Definition()}
}

// FromProtoType is the inverse of ToProtoType.
func FromProtoType(t *proto.Type) types.Type {
	return types.Type{ID: types.ID(t.GetId()), Elem: types.ID(t.GetElem()), Typmod: t.GetTypmod()}.Defined(t.GetDefinition())
}

// ToProtoFields converts fields for the plan.
func ToProtoFields(fs []vector.Field) []*proto.Field {
	out := make([]*proto.Field, len(fs))
	for i, f := range fs {
		out[i] = &proto.Field{Name: f.Name, Type: ToProtoType(f.Type)}
	}
	return out
}

// FromProtoFields is the inverse of ToProtoFields.
func FromProtoFields(fs []*proto.Field) []vector.Field {
	out := make([]vector.Field, len(fs))
	for i, f := range fs {
		out[i] = vector.Field{Name: f.GetName(), Type: FromProtoType(f.GetType())}
	}
	return out
}

// oneByte checks an option that is a single one-byte character.
func oneByte(name, v string, def byte) (byte, error) {
	switch {
	case v == "":
		return def, nil
	case len(v) > 1:
		return 0, pgerr.New(pgerr.FeatureNotSupported, "COPY %s must be a single one-byte character", name)
	case v == "\n" || v == "\r":
		return 0, pgerr.New(pgerr.InvalidParameterValue, "COPY %s cannot be newline or carriage return", name)
	}
	return v[0], nil
}

// dialectOf resolves and checks the syntax options. In the plan a quote of "\x00"
// means that there is none.
func dialectOf(o *proto.CsvOptions, copyRules bool) (dialect, string, error) {
	d := dialect{copy: copyRules && !o.GetTextFormat(), text: o.GetTextFormat()}
	null := o.GetNullString()
	switch e := o.GetEncoding(); e {
	case "", "utf8", "UTF8", "utf-8", "UTF-8":
	default:
		return d, "", pgerr.New(pgerr.FeatureNotSupported, "encoding \"%s\" is not supported", e).
			WithHint("Convert the file to UTF-8.")
	}
	var err error
	if d.text {
		if d.delim, err = oneByte("delimiter", o.GetDelimiter(), '\t'); err != nil {
			return d, "", err
		}
		if o.GetQuote() != "" || o.GetEscape() != "" {
			return d, "", pgerr.New(pgerr.FeatureNotSupported, "COPY quote and escape are available only in CSV mode")
		}
		if c := d.delim; c == '\\' || c == '.' || c-'0' < 10 || c-'a' < 26 {
			return d, "", pgerr.New(pgerr.InvalidParameterValue, "COPY delimiter cannot be \"%c\"", c)
		}
		if !o.GetNullSet() && null == "" {
			null = `\N`
		}
		return d, null, nil
	}
	if d.delim, err = oneByte("delimiter", o.GetDelimiter(), ','); err != nil {
		return d, "", err
	}
	if d.quote, err = oneByte("quote", o.GetQuote(), '"'); err != nil {
		return d, "", err
	}
	if d.escape, err = oneByte("escape", o.GetEscape(), d.quote); err != nil {
		return d, "", err
	}
	if d.delim == d.quote {
		return d, "", pgerr.New(pgerr.InvalidParameterValue, "COPY delimiter and quote must be different")
	}
	for _, c := range []byte(null) {
		if c == d.delim {
			return d, "", pgerr.New(pgerr.InvalidParameterValue, "COPY delimiter character must not appear in the NULL specification")
		}
		if c == '\n' || c == '\r' {
			return d, "", pgerr.New(pgerr.InvalidParameterValue, "COPY null representation cannot use newline or carriage return")
		}
		if c == d.quote && c != 0 {
			return d, "", pgerr.New(pgerr.InvalidParameterValue, "CSV quote character must not appear in the NULL specification")
		}
	}
	return d, null, nil
}
