package types

import (
	"math"
	"strconv"
	"strings"

	"github.com/volleydb/volley/pgerr"
)

// NumFormat is a compiled template of to_char and to_number for numbers. It is
// immutable and may be used by several goroutines.
type NumFormat struct {
	nodes     []numNode
	pre, post int  // digit positions before and behind the point
	fm        bool // no padding
	zeroFrom  int  // first position with 0 before the point, pre if none
	zeroTo    int  // digits behind the point that FM keeps
	leadZero  bool // a 0 stands before the point
	point     bool
	bracket   bool // PR
	minus     bool // MI
	plus      bool // PL
	sign      bool // S, which floats in front or stands behind
	signPost  bool
	ordinal   bool // TH
}

type numKey uint8

const (
	nLiteral numKey = iota
	nDigit
	nPoint
	nGroup
	nMinus
	nPlus
	nSign
	nOrdinal
	nCurrency
)

type numNode struct {
	key  numKey
	zero bool
	text string
}

// CompileNumFormat reads a template. RN, V and EEEE are 0A000; patterns that
// exclude each other are 42601.
func CompileNumFormat(format string) (*NumFormat, error) {
	f := &NumFormat{zeroFrom: -1}
	s := format
	bad := func(msg string) (*NumFormat, error) { return nil, pgerr.New(pgerr.SyntaxError, "%s", msg) }
	for s != "" {
		switch {
		case s[0] == '9' || s[0] == '0':
			if f.bracket {
				return bad("\"9\" must be ahead of \"PR\"")
			}
			zero := s[0] == '0'
			f.nodes = append(f.nodes, numNode{key: nDigit, zero: zero})
			if f.point {
				f.post++
				if zero {
					f.zeroTo = f.post
				}
			} else {
				if zero && f.zeroFrom < 0 {
					f.zeroFrom = f.pre
				}
				f.pre++
			}
			s = s[1:]
		case s[0] == '.' || s[0]|0x20 == 'd':
			if f.point {
				return bad("multiple decimal points")
			}
			f.point = true
			f.nodes = append(f.nodes, numNode{key: nPoint})
			s = s[1:]
		case s[0] == ',' || s[0]|0x20 == 'g':
			f.nodes = append(f.nodes, numNode{key: nGroup})
			s = s[1:]
		case hasPrefixFold(s, "FM"):
			f.fm = true
			s = s[2:]
		case hasPrefixFold(s, "MI"):
			f.minus = true
			f.nodes = append(f.nodes, numNode{key: nMinus})
			s = s[2:]
		case hasPrefixFold(s, "PL"):
			f.plus = true
			f.nodes = append(f.nodes, numNode{key: nPlus})
			s = s[2:]
		case hasPrefixFold(s, "SG"):
			f.minus, f.plus = true, true
			f.nodes = append(f.nodes, numNode{key: nSign})
			s = s[2:]
		case hasPrefixFold(s, "PR"):
			if f.sign || f.minus || f.plus {
				return bad("cannot use \"PR\" and \"S\"/\"PL\"/\"MI\"/\"SG\" together")
			}
			f.bracket = true
			s = s[2:]
		case s[0]|0x20 == 's':
			if f.sign {
				return bad("cannot use \"S\" twice")
			}
			if f.plus || f.minus || f.bracket {
				return bad("cannot use \"S\" and \"PL\"/\"MI\"/\"SG\"/\"PR\" together")
			}
			f.sign, f.signPost = true, f.point || f.pre > 0
			s = s[1:]
		case hasPrefixFold(s, "TH"):
			f.ordinal = true
			f.nodes = append(f.nodes, numNode{key: nOrdinal, text: s[:2]})
			s = s[2:]
		case hasPrefixFold(s, "RN"), hasPrefixFold(s, "EEEE"), s[0]|0x20 == 'v':
			n := 1
			if s[0]|0x20 == 'r' {
				n = 2
			} else if s[0]|0x20 == 'e' {
				n = 4
			}
			return nil, pgerr.New(pgerr.FeatureNotSupported, "number format \"%s\" is not supported", strings.ToUpper(s[:n]))
		case s[0]|0x20 == 'b':
			s = s[1:]
		case s[0]|0x20 == 'l':
			f.nodes = append(f.nodes, numNode{key: nCurrency})
			s = s[1:]
		case s[0] == '"':
			s = s[1:]
			for s != "" && s[0] != '"' {
				if s[0] == '\\' && len(s) > 1 {
					s = s[1:]
				}
				f.nodes = append(f.nodes, numNode{text: s[:1]})
				s = s[1:]
			}
			s = strings.TrimPrefix(s, `"`)
		default:
			f.nodes = append(f.nodes, numNode{text: s[:1]})
			s = s[1:]
		}
	}
	f.leadZero = f.zeroFrom >= 0
	if f.zeroFrom < 0 {
		f.zeroFrom = f.pre
	}
	return f, nil
}

// AppendNumeric is to_char of a numeric.
func (f *NumFormat) AppendNumeric(dst []byte, d Decimal) ([]byte, error) {
	if d.NaN {
		if f.ordinal {
			return dst, pgerr.New(pgerr.InvalidTextRepresentation, "\"NaN\" is not a number")
		}
		return f.append(dst, false, "NaN", ""), nil
	}
	r, err := d.Round(f.post)
	if err != nil {
		return dst, err
	}
	t := r.Abs().String()
	whole, frac, _ := strings.Cut(t, ".")
	return f.append(dst, r.Hi < 0, whole, frac), nil
}

// AppendInt8 is to_char of an integer.
func (f *NumFormat) AppendInt8(dst []byte, v int64) ([]byte, error) {
	return f.AppendNumeric(dst, NewDecimal(v, 0))
}

// AppendFloat8 is to_char of a float8, which has 15 digits.
func (f *NumFormat) AppendFloat8(dst []byte, v float64) ([]byte, error) {
	return f.appendFloat(dst, v, 15), nil
}

// AppendFloat4 is to_char of a float4, which has 6 digits.
func (f *NumFormat) AppendFloat4(dst []byte, v float32) ([]byte, error) {
	return f.appendFloat(dst, float64(v), 6), nil
}

func (f *NumFormat) appendFloat(dst []byte, v float64, digits int) []byte {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		w := "NaN"
		if math.IsInf(v, 0) {
			w = "Infinity"
		}
		return f.append(dst, v < 0, w, "")
	}
	post := f.post
	n := len(strconv.FormatFloat(math.Abs(v), 'f', 0, 64))
	if n >= digits {
		post = 0
	} else if n+post > digits {
		post = digits - n
	}
	t := strconv.FormatFloat(math.Abs(v), 'f', post, 64)
	whole, frac, _ := strings.Cut(t, ".")
	return f.append(dst, v < 0, whole, frac)
}

// append prints a number given by its digits. A number that does not fit is
// shown as #. The sign stands where the first digit is.
func (f *NumFormat) append(dst []byte, neg bool, whole, frac string) []byte {
	overflow := len(whole) > f.pre
	if overflow {
		whole, frac = strings.Repeat("#", f.pre), strings.Repeat("#", f.post)
	}
	// 0.5 in 9.9 has a blank before the point, unless FM leaves nothing behind it.
	blankZero := whole == "0" && f.post > 0 && !f.leadZero
	kept := len(frac)
	if f.fm {
		for kept > f.zeroTo && frac[kept-1] == '0' {
			kept--
		}
	}
	w := numWriter{f: f, dst: dst, neg: neg}
	w.signDone = f.minus
	lead := f.pre - len(whole)
	pos, behind, point := 0, 0, false
	last := -1 // the node behind which a trailing sign stands
	for i, n := range f.nodes {
		if n.key == nDigit || n.key == nPoint {
			last = i
		}
	}
	for i, n := range f.nodes {
		switch n.key {
		case nDigit:
			switch {
			case point:
				if behind >= len(frac) {
					return w.dst // Postgres ends where its digits do
				}
				if behind < kept {
					w.put(frac[behind])
				}
				behind++
			case pos < lead && pos < f.zeroFrom:
				w.blank()
				pos++
			case pos < lead:
				w.put('0')
				pos++
			case blankZero:
				if f.fm && kept == 0 {
					w.put('0')
				} else {
					w.blank()
				}
				pos++
			default:
				w.put(whole[pos-lead])
				pos++
			}
		case nPoint:
			if frac == "" && !overflow {
				return w.dst
			}
			point = true
			w.put('.')
		case nGroup:
			if w.digits {
				w.dst = append(w.dst, ',')
			} else {
				w.blank()
			}
		case nMinus:
			w.either(neg, '-')
		case nPlus:
			w.either(!neg, '+')
		case nSign:
			if neg {
				w.dst = append(w.dst, '-')
			} else {
				w.dst = append(w.dst, '+')
			}
		case nOrdinal:
			if !neg && !f.point && whole != "" && isDigit(whole[0]) {
				w.dst = append(w.dst, ordinalSuffix([]byte(whole), n.text == "TH")...)
			}
		case nCurrency:
			w.dst = append(w.dst, ' ')
		default:
			w.dst = append(w.dst, n.text...)
		}
		if i == last {
			w.trailing()
		}
	}
	return w.dst
}

type numWriter struct {
	f        *NumFormat
	dst      []byte
	neg      bool
	signDone bool
	digits   bool // a digit has been written, so groups are separated
}

func (w *numWriter) blank() {
	if !w.f.fm {
		w.dst = append(w.dst, ' ')
	}
}

func (w *numWriter) either(cond bool, c byte) {
	if cond {
		w.dst = append(w.dst, c)
	} else {
		w.blank()
	}
}

// put writes a digit or the point, and before the first of them the sign.
func (w *numWriter) put(c byte) {
	if !w.signDone {
		w.signDone = true
		switch {
		case w.f.sign && w.f.signPost:
		case w.f.sign:
			if w.neg {
				w.dst = append(w.dst, '-')
			} else {
				w.dst = append(w.dst, '+')
			}
		case w.f.bracket:
			w.either(w.neg, '<')
		default:
			w.either(w.neg, '-')
		}
	}
	w.dst = append(w.dst, c)
	if c != '.' {
		w.digits = true
	}
}

// trailing writes what stands behind the last digit.
func (w *numWriter) trailing() {
	switch {
	case w.f.bracket:
		w.either(w.neg, '>')
	case w.f.sign && w.f.signPost && w.neg:
		w.dst = append(w.dst, '-')
	case w.f.sign && w.f.signPost:
		w.dst = append(w.dst, '+')
	}
}

// Parse is to_number. Text that the template has no digit for is passed over;
// errors are 22P02 when there is no number.
func (f *NumFormat) Parse(s string) (Decimal, error) {
	neg := false
	var whole, frac []byte
	point := false
	t := s
	take := func() {
		for t != "" && isSpace(t[0]) && len(whole)+len(frac) == 0 {
			t = t[1:]
		}
		if t != "" && (t[0] == '-' || t[0] == '+' || t[0] == '<') && len(whole)+len(frac) == 0 {
			neg = t[0] != '+'
			t = t[1:]
		}
		for t != "" && isSpace(t[0]) && len(whole)+len(frac) == 0 {
			t = t[1:]
		}
		switch {
		case t == "":
		case isDigit(t[0]) && point:
			frac, t = append(frac, t[0]), t[1:]
		case isDigit(t[0]):
			whole, t = append(whole, t[0]), t[1:]
		case t[0] == '.' && f.point && !point:
			point, t = true, t[1:]
		default:
			t = t[1:] // what is no digit takes the place of one
		}
	}
	for _, n := range f.nodes {
		if t == "" {
			break
		}
		switch n.key {
		case nDigit:
			take()
		case nPoint:
			// Digits beyond the template's belong to nobody.
			if t[0] == '.' {
				point, t = true, t[1:]
			} else if i := strings.IndexByte(t, '.'); i >= 0 && len(whole) == f.pre {
				point, t = true, t[i+1:]
			} else {
				point = true
			}
		case nGroup:
			if t[0] == ',' {
				t = t[1:]
			}
		case nMinus, nPlus, nSign:
			if t[0] == '-' || t[0] == '+' {
				neg = t[0] == '-' || neg
				t = t[1:]
			}
		case nCurrency, nLiteral:
			if !isDigit(t[0]) && strings.IndexByte("+-.,", t[0]) < 0 {
				t = t[1:]
			}
		case nOrdinal:
			if len(t) >= 2 && isAlpha(t[0]) {
				t = t[2:]
			}
		}
		if !point && t != "" && t[0] == '.' && len(whole) > 0 && f.point {
			continue
		}
	}
	if t != "" && (f.sign || f.minus || f.plus || f.bracket) && (strings.Contains(t, "-") || strings.Contains(t, ">")) {
		neg = true
	}
	if len(whole)+len(frac) == 0 {
		return nan, errSyntax("numeric", " ")
	}
	out := append(whole, '.')
	d, err := ParseNumeric(append(out, frac...))
	if neg {
		d = d.Neg()
	}
	return d, err
}
