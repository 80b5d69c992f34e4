package function

import (
	"regexp"
	"strings"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
)

func errParameter(name string, v int) error {
	return pgerr.New(pgerr.InvalidParameterValue, "invalid value for parameter \"%s\": %d", name, v)
}

// regexCall is a call of a regular expression function with a place to start at.
type regexCall struct {
	re *regexp.Regexp
	s  string // from the start on
	at int    // characters before s
}

// regexFrom prepares a search from character start (from 1) on. What an expression
// sees of the text before it, as ^ does, cannot be told from there, so that such
// expressions are refused.
func regexFrom(k *regexCache, r *row, name, flags string, start int) (c regexCall, err error) {
	if start < 1 {
		return c, errParameter("start", start)
	}
	if c.re, err = k.get(r.str(1), flags, false); err != nil {
		return c, err
	}
	if k.f.global && name != "regexp_replace" {
		return c, pgerr.New(pgerr.InvalidParameterValue, "%s() does not support the \"global\" option", name)
	}
	c.s = r.str(0)
	if start > 1 {
		if looksBehind(r.str(1)) {
			return c, pgerr.New(pgerr.FeatureNotSupported, "%s with a start and an expression that looks at what is before it is not supported", name)
		}
		c.at = start - 1
		c.s = c.s[charOffset(r.bytes(0), c.at):]
	}
	return c, nil
}

// looksBehind reports an expression with a constraint on what is before a match:
// ^ outside brackets, \A, \m, \M, \y, \Y, [[:<:]] and their like.
func looksBehind(p string) bool {
	for i := 0; i < len(p); i++ {
		switch p[i] {
		case '^':
			return true
		case '\\':
			if i++; i < len(p) && strings.IndexByte("AmMyYbB<>", p[i]) >= 0 {
				return true
			}
		case '[':
			if strings.HasPrefix(p[i:], "[[:<:]]") || strings.HasPrefix(p[i:], "[[:>:]]") {
				return true
			}
			if i++; i < len(p) && p[i] == '^' {
				i++
			}
			if i < len(p) && p[i] == ']' { // stands for itself there
				i++
			}
			for ; i < len(p) && p[i] != ']'; i++ {
				if p[i] == '\\' {
					i++
				} else if p[i] == '[' && i+1 < len(p) && strings.IndexByte(":.=", p[i+1]) >= 0 {
					if end := strings.Index(p[i+2:], p[i+1:i+2]+"]"); end >= 0 {
						i += end + 3
					}
				}
			}
		}
	}
	return false
}

// nth finds match n (from 1), nil if there are fewer.
func (c *regexCall) nth(n int) []int {
	all := c.re.FindAllStringSubmatchIndex(c.s, n)
	if len(all) < n {
		return nil
	}
	return all[n-1]
}

// intArg and strArg are optional arguments.
func (r *row) intArg(k, otherwise int) int {
	if len(r.args) > k {
		return r.int(k)
	}
	return otherwise
}

func regexCount(k *regexCache) EvalFunc {
	return toFixed(types.Int4, func(r *row) (int32, bool, error) {
		c, err := regexFrom(k, r, "regexp_count", regexFlagsArg(r, 3), r.intArg(2, 1))
		if err != nil {
			return 0, false, err
		}
		return int32(len(c.re.FindAllStringIndex(c.s, -1))), true, nil
	})
}

// subMatch returns the bounds of group g of match n, ok false if there is none.
func (c *regexCall) subMatch(n, g int) (from, to int, ok bool, err error) {
	if n < 1 {
		return 0, 0, false, errParameter("n", n)
	}
	if g < 0 {
		return 0, 0, false, errParameter("subexpr", g)
	}
	m := c.nth(n)
	if m == nil || 2*g+1 >= len(m) || m[2*g] < 0 {
		return 0, 0, false, nil
	}
	return m[2*g], m[2*g+1], true, nil
}

func regexInstr(k *regexCache) EvalFunc {
	return toFixed(types.Int4, func(r *row) (int32, bool, error) {
		c, err := regexFrom(k, r, "regexp_instr", regexFlagsArg(r, 5), r.intArg(2, 1))
		if err != nil {
			return 0, false, err
		}
		end := r.intArg(4, 0)
		if end != 0 && end != 1 {
			return 0, false, errParameter("endoption", end)
		}
		from, to, ok, err := c.subMatch(r.intArg(3, 1), r.intArg(6, 0))
		if err != nil || !ok {
			return 0, true, err
		}
		if end == 1 {
			from = to
		}
		return int32(c.at + len([]rune(c.s[:from])) + 1), true, nil
	})
}

func regexSubstr(k *regexCache) EvalFunc {
	return toNullableBytes(types.Text, func(dst []byte, r *row) ([]byte, bool, error) {
		c, err := regexFrom(k, r, "regexp_substr", regexFlagsArg(r, 4), r.intArg(2, 1))
		if err != nil {
			return nil, false, err
		}
		from, to, ok, err := c.subMatch(r.intArg(3, 1), r.intArg(5, 0))
		if err != nil || !ok {
			return dst, false, err
		}
		return append(dst, c.s[from:to]...), true, nil
	})
}

// regexReplaceAt replaces match n, or all for 0, from a start on.
func regexReplaceAt(k *regexCache) EvalFunc {
	return text(func(dst []byte, r *row) ([]byte, error) {
		c, err := regexFrom(k, r, "regexp_replace", regexFlagsArg(r, 5), r.int(3))
		if err != nil {
			return nil, err
		}
		n := 1
		if k.f.global {
			n = 0
		}
		if n = r.intArg(4, n); n < 0 {
			return nil, errParameter("n", n)
		}
		s, by := r.str(0), r.str(2)
		dst = append(dst, s[:len(s)-len(c.s)]...)
		at := 0
		for i, m := range c.re.FindAllStringSubmatchIndex(c.s, -1) {
			if n > 0 && i != n-1 {
				continue
			}
			dst = append(dst, c.s[at:m[0]]...)
			dst = expandReplacement(dst, by, c.s, m)
			at = m[1]
		}
		return append(dst, c.s[at:]...), nil
	})
}

func registerRegexpsAt(r *registry) {
	for _, more := range []string{",int4", ",int4,text"} {
		r.scalar("regexp_count(text,text"+more+") int4", perCall(regexCount))
	}
	for _, more := range []string{"", ",int4", ",int4,int4", ",int4,int4,int4", ",int4,int4,int4,text", ",int4,int4,int4,text,int4"} {
		r.scalar("regexp_instr(text,text"+more+") int4", perCall(regexInstr), doc("position at which the regular expression matched"))
	}
	for _, more := range []string{",int4", ",int4,int4", ",int4,int4,text", ",int4,int4,text,int4"} {
		r.scalar("regexp_substr(text,text"+more+") text", perCall(regexSubstr))
	}
	for _, more := range []string{",int4", ",int4,int4", ",int4,int4,text"} {
		r.scalar("regexp_replace(text,text,text"+more+") text", perCall(regexReplaceAt))
	}
}
