package function

import (
	"strings"
	"unicode/utf8"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

func errFormat(format string, args ...any) *pgerr.Error {
	return pgerr.New(pgerr.InvalidParameterValue, format, args...)
}

// formatText is format(): %s, %I, %L with position, - and width.
func formatText(c *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
	texts, err := outputs(c, args)
	if err != nil {
		return nil, err
	}
	b := vector.NewBuilder(textType, n)
	var buf []byte
	for i := range n {
		if texts[0].IsNull(i) {
			b.AppendNull()
			continue
		}
		if buf, err = formatRow(buf[:0], texts, i); err != nil {
			return nil, err
		}
		b.AppendBytes(buf)
	}
	return b.Build(), nil
}

func formatRow(dst []byte, texts []*vector.Vector, row int) ([]byte, error) {
	f := texts[0].StringAt(row)
	next := 1 // the argument that an unnumbered specifier takes
	arg := func(k int) (*vector.Vector, error) {
		if k >= len(texts) {
			return nil, errFormat("too few arguments for format()")
		}
		return texts[k], nil
	}
	for i := 0; i < len(f); i++ {
		if f[i] != '%' {
			dst = append(dst, f[i])
			continue
		}
		unterminated := func() error {
			return errFormat("unterminated format() type specifier").WithHint("For a single \"%%%%\" use \"%%%%%%%%\".")
		}
		number := func() (int, bool) {
			n, any := 0, false
			for i < len(f) && f[i] >= '0' && f[i] <= '9' && n < maxText {
				n, any = n*10+int(f[i]-'0'), true
				i++
			}
			return n, any
		}
		if i++; i >= len(f) {
			return nil, unterminated()
		}
		if f[i] == '%' {
			dst = append(dst, '%')
			continue
		}
		k, width, minus := 0, 0, false
		if n, ok := number(); ok {
			if i < len(f) && f[i] == '$' {
				if n == 0 {
					return nil, errFormat("format specifies argument 0, but arguments are numbered from 1")
				}
				k = n
				i++
			} else {
				width = n
			}
		}
		for i < len(f) && f[i] == '-' {
			minus = true
			i++
		}
		if i < len(f) && f[i] == '*' {
			i++
			w := next
			if n, ok := number(); ok {
				if i >= len(f) || f[i] != '$' {
					return nil, errFormat("width argument position must be ended by \"$\"")
				}
				i++
				w, next = n, n+1
			} else {
				next++
			}
			v, err := arg(w)
			if err != nil {
				return nil, err
			}
			if !v.IsNull(row) {
				x, err := types.ParseInt4(v.StringAt(row))
				if err != nil {
					return nil, err
				}
				if width = int(x); width < 0 {
					minus, width = true, -width
				}
			}
		} else if n, ok := number(); ok {
			width = n
		}
		if i >= len(f) {
			return nil, unterminated()
		}
		if k == 0 {
			k = next
			next++
		} else {
			next = k + 1
		}
		if f[i] != 's' && f[i] != 'I' && f[i] != 'L' {
			return nil, errFormat("unrecognized format() type specifier \"%c\"", f[i]).WithHint("For a single \"%%%%\" use \"%%%%%%%%\".")
		}
		v, err := arg(k)
		if err != nil {
			return nil, err
		}
		s, null := "", v.IsNull(row)
		if !null {
			s = v.StringAt(row)
		}
		switch f[i] {
		case 'I':
			if null {
				return nil, pgerr.New(pgerr.NullValueNotAllowed, "null values cannot be formatted as an SQL identifier")
			}
			s = quoteIdent(s)
		case 'L':
			if null {
				s = "NULL"
			} else {
				s = quoteLiteral(s)
			}
		}
		if width > maxText {
			return nil, errLength()
		}
		pad := max(width-utf8.RuneCountInString(s), 0)
		if !minus {
			dst = append(dst, strings.Repeat(" ", pad)...)
		}
		dst = append(dst, s...)
		if minus {
			dst = append(dst, strings.Repeat(" ", pad)...)
		}
	}
	return dst, nil
}
