package storage

import (
	"slices"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// CopyEncoder encodes COPY TO data, csv or text, as Postgres does.
type CopyEncoder struct {
	d       dialect
	null    string
	header  bool
	schema  []vector.Field
	force   []bool // quote every value of the column
	special [256]bool
	text    *types.TextOptions
	app     []func(dst []byte, v *vector.Vector, i int) []byte // nil for character types
	scratch []byte
}

// NewCopyEncoder makes an encoder; forceQuote names columns whose values are
// always quoted (csv), "*" all of them.
func NewCopyEncoder(schema []vector.Field, o *proto.CsvOptions, forceQuote []string, opts ...Option) (*CopyEncoder, error) {
	d, null, err := dialectOf(o, true)
	if err != nil {
		return nil, err
	}
	if d.text && len(forceQuote) > 0 {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "COPY force quote available only in CSV mode")
	}
	e := &CopyEncoder{d: d, null: null, header: o.GetHeader(), schema: schema, text: settingsOf(opts).text}
	for _, name := range forceQuote {
		if name != "*" && fieldIndex(schema, name) < 0 {
			return nil, pgerr.New(pgerr.UndefinedColumn, "column \"%s\" does not exist", name)
		}
	}
	for _, f := range schema {
		e.force = append(e.force, slices.Contains(forceQuote, f.Name) || slices.Contains(forceQuote, "*"))
		if f.Type.IsString() {
			e.app = append(e.app, nil)
		} else {
			e.app = append(e.app, vector.TextAppender(f.Type, e.text))
		}
	}
	mark := []byte{d.delim, '\n', '\r'}
	if d.text {
		mark = append(mark, '\\', '\b', '\f', '\t', '\v')
	} else if d.quote != 0 {
		mark = append(mark, d.quote)
	}
	for _, c := range mark {
		e.special[c] = true
	}
	return e, nil
}

// Header appends the header line if the options ask for one.
func (e *CopyEncoder) Header(dst []byte) []byte {
	if !e.header {
		return dst
	}
	for i, f := range e.schema {
		if i > 0 {
			dst = append(dst, e.d.delim)
		}
		dst = e.value(dst, []byte(f.Name), false)
	}
	return append(dst, '\n')
}

// AppendBatch appends the rows of b as lines.
func (e *CopyEncoder) AppendBatch(dst []byte, b *vector.Batch) []byte {
	for i := range b.Rows() {
		dst = e.AppendRow(dst, b, i)
	}
	return dst
}

// AppendRow appends row i of a dense batch as a line.
func (e *CopyEncoder) AppendRow(dst []byte, b *vector.Batch, i int) []byte {
	for c, v := range b.Cols() {
		if c > 0 {
			dst = append(dst, e.d.delim)
		}
		switch {
		case v.IsNull(i):
			dst = append(dst, e.null...)
		case e.app[c] == nil:
			dst = e.value(dst, v.BytesAt(i), e.force[c])
		default:
			e.scratch = e.app[c](e.scratch[:0], v, i)
			dst = e.value(dst, e.scratch, e.force[c])
		}
	}
	return append(dst, '\n')
}

func (e *CopyEncoder) value(dst, s []byte, force bool) []byte {
	plain := true
	for _, c := range s {
		if e.special[c] {
			plain = false
			break
		}
	}
	if e.d.text {
		if plain {
			return append(dst, s...)
		}
		return e.escape(dst, s)
	}
	if plain && !force && string(s) != e.null && !(len(e.schema) == 1 && string(s) == `\.`) {
		return append(dst, s...)
	}
	dst = append(dst, e.d.quote)
	for _, c := range s {
		if c == e.d.quote || c == e.d.escape {
			dst = append(dst, e.d.escape)
		}
		dst = append(dst, c)
	}
	return append(dst, e.d.quote)
}

func (e *CopyEncoder) escape(dst, s []byte) []byte {
	for _, c := range s {
		if e.special[c] {
			dst = append(dst, '\\')
			switch c {
			case '\b':
				c = 'b'
			case '\f':
				c = 'f'
			case '\n':
				c = 'n'
			case '\r':
				c = 'r'
			case '\t':
				c = 't'
			case '\v':
				c = 'v'
			}
		}
		dst = append(dst, c)
	}
	return dst
}
