package function

import (
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode/utf8"
)

// Most regular expressions of queries are a row of literals, characters of a class
// some times over, and optional literals, without alternatives: a URL's host, a
// number in brackets. regexChain matches those by going through the steps with
// backtracking, which takes a tenth of the time of Go's automata, and gives up where
// backtracking leads far. It finds what Go does where the order of preference
// of greedy quantifiers gives the longest match, which newRegexChain makes sure of.
type regexChain struct {
	steps []chainStep
	// first has the bytes that a match can begin with; nil if it can be empty.
	first    *[256]bool
	anchored bool
	groups   int // with the whole match
}

type chainKind uint8

const (
	chainLiteral chainKind = iota
	chainOptional
	chainClass
	chainEnd  // of the text
	chainMark // a group's start or end
)

// chainStep is a part of the expression.
type chainStep struct {
	kind       chainKind
	lit        string
	min, max   int // times of the class; max < 0 = any number
	class      *chainClassOf
	possessive bool // what it has taken is of no use to the steps behind it
	mark       int  // index into the match
}

// chainClassOf is a set of characters.
type chainClassOf struct {
	bytes [256]uint8 // 0 = not of it, 1 = of it, 2 = begins a character that has to be looked up
	all   bool
	runes []rune // pairs of bounds
}

func (k *chainClassOf) has(r rune) bool {
	for i := 0; i < len(k.runes); i += 2 {
		if k.runes[i] <= r && r <= k.runes[i+1] {
			return true
		}
	}
	return false
}

func newChainClass(runes []rune) *chainClassOf {
	k := &chainClassOf{runes: runes}
	wide := len(runes) > 0 && runes[len(runes)-1] >= utf8.RuneSelf
	for b := range 256 {
		switch {
		case b >= utf8.RuneSelf && wide:
			k.bytes[b] = 2
		case b < utf8.RuneSelf && k.has(rune(b)):
			k.bytes[b] = 1
		}
	}
	k.all = len(runes) == 2 && runes[0] == 0 && runes[1] == utf8.MaxRune
	return k
}

// newRegexChain returns nil for expressions of another kind. body is in Go's syntax.
func newRegexChain(body string, re *regexp.Regexp) *regexChain {
	tree, err := syntax.Parse(body, syntax.Perl)
	if err != nil {
		return nil
	}
	c := &regexChain{groups: re.NumSubexp() + 1}
	if !c.add(tree, true) || len(c.steps) > 64 {
		return nil
	}
	// From the back: the bytes that the rest can begin with.
	var first [256]bool
	empty, sure, ends := true, true, false
	for i := len(c.steps) - 1; i >= 0; i-- {
		s := &c.steps[i]
		switch s.kind {
		case chainEnd:
			first, empty = [256]bool{}, false
			ends = true
		case chainLiteral:
			first, empty = [256]bool{}, false
			first[s.lit[0]] = true
		case chainOptional:
			sure = sure && !first[s.lit[0]]
			first[s.lit[0]] = true
		case chainClass:
			if empty && s.class.all && s.max < 0 {
				ends = true // it takes all there is
			}
			s.possessive = true
			for b, of := range s.class.bytes {
				if of != 0 && first[b] {
					s.possessive = false
				}
			}
			sure = sure && s.possessive
			if s.min > 0 {
				first, empty = [256]bool{}, false
			}
			for b, of := range s.class.bytes {
				if of != 0 {
					first[b] = true
				}
			}
		}
	}
	// The first match in the order of preference has to be the longest one.
	if !sure && !ends {
		return nil
	}
	if !empty {
		c.first = &first
	}
	return c
}

// add appends the steps of x; false if that is no chain. front tells that nothing
// stands before x.
func (c *regexChain) add(x *syntax.Regexp, front bool) bool {
	if x.Flags&syntax.FoldCase != 0 && x.Op == syntax.OpLiteral {
		return false
	}
	switch x.Op {
	case syntax.OpEmptyMatch:
	case syntax.OpConcat:
		for i, sub := range x.Sub {
			if !c.add(sub, front && i == 0) {
				return false
			}
		}
	case syntax.OpCapture:
		c.steps = append(c.steps, chainStep{kind: chainMark, mark: 2 * x.Cap})
		if !c.add(x.Sub[0], false) {
			return false
		}
		c.steps = append(c.steps, chainStep{kind: chainMark, mark: 2*x.Cap + 1})
	case syntax.OpBeginText:
		if !front || c.anchored {
			return false
		}
		c.anchored = true
	case syntax.OpEndText:
		c.steps = append(c.steps, chainStep{kind: chainEnd})
	case syntax.OpLiteral:
		c.steps = append(c.steps, chainStep{kind: chainLiteral, lit: string(x.Rune)})
	case syntax.OpStar:
		return c.repeat(x, 0, -1)
	case syntax.OpPlus:
		return c.repeat(x, 1, -1)
	case syntax.OpQuest:
		return c.repeat(x, 0, 1)
	case syntax.OpRepeat:
		return c.repeat(x, x.Min, x.Max)
	default:
		return c.repeat(x, 1, 1)
	}
	return true
}

// repeat appends a class that is taken min to max times.
func (c *regexChain) repeat(x *syntax.Regexp, min, max int) bool {
	one := x
	switch x.Op {
	case syntax.OpStar, syntax.OpPlus, syntax.OpQuest, syntax.OpRepeat:
		if x.Flags&syntax.NonGreedy != 0 {
			return false
		}
		one = x.Sub[0]
	}
	var runes []rune
	switch one.Op {
	case syntax.OpLiteral:
		if one.Flags&syntax.FoldCase != 0 {
			return false
		}
		if min == 0 && max == 1 {
			c.steps = append(c.steps, chainStep{kind: chainOptional, lit: string(one.Rune)})
			return true
		}
		if len(one.Rune) != 1 {
			return false
		}
		runes = []rune{one.Rune[0], one.Rune[0]}
	case syntax.OpCharClass:
		runes = one.Rune
	case syntax.OpAnyChar:
		runes = []rune{0, utf8.MaxRune}
	case syntax.OpAnyCharNotNL:
		runes = []rune{0, '\n' - 1, '\n' + 1, utf8.MaxRune}
	default:
		return false
	}
	c.steps = append(c.steps, chainStep{kind: chainClass, min: min, max: max, class: newChainClass(runes)})
	return true
}

// chainRun is a search in s.
type chainRun struct {
	*regexChain
	s    string
	m    []int
	left int // work until it gives up
}

// find writes the groups' bounds into m, which has room for them. known is false
// when it gave up.
func (c *regexChain) find(s string, m []int) (found, known bool) {
	r := chainRun{regexChain: c, s: s, m: m, left: 32 * (len(s) + 16)}
	for at := 0; at <= len(s); at++ {
		if c.first != nil && !c.anchored {
			if lead := &c.steps[0]; lead.kind == chainLiteral {
				i := strings.Index(s[at:], lead.lit)
				if i < 0 {
					return false, true
				}
				at += i
			} else {
				for at < len(s) && !c.first[s[at]] {
					at++
				}
			}
		}
		if at < len(s) && at > 0 && !utf8.RuneStart(s[at]) {
			continue
		}
		end := r.match(0, at)
		if r.left < 0 {
			return false, false
		}
		if end >= 0 {
			m[0], m[1] = at, end
			return true, true
		}
		if c.anchored {
			break
		}
	}
	return false, true
}

// match returns where the steps from i on end that begin at byte at; < 0 for nowhere.
func (r *chainRun) match(i, at int) int {
	s := r.s
	for ; i < len(r.steps); i++ {
		if r.left--; r.left < 0 {
			return -1
		}
		x := &r.steps[i]
		switch x.kind {
		case chainMark:
			r.m[x.mark] = at
		case chainEnd:
			if at != len(s) {
				return -1
			}
		case chainLiteral:
			if !strings.HasPrefix(s[at:], x.lit) {
				return -1
			}
			at += len(x.lit)
		case chainOptional:
			if strings.HasPrefix(s[at:], x.lit) {
				if end := r.match(i+1, at+len(x.lit)); end >= 0 {
					return end
				}
			}
		case chainClass:
			end, n := x.take(s, at)
			if n < x.min {
				return -1
			}
			r.left -= n
			if x.possessive {
				at = end
				continue
			}
			for ; n > x.min; n-- {
				if to := r.match(i+1, end); to >= 0 {
					return to
				}
				if end--; s[end] >= utf8.RuneSelf {
					_, w := utf8.DecodeLastRuneInString(s[:end+1])
					end -= w - 1
				}
			}
			at = end
		}
	}
	return at
}

// take returns the end of as many characters as there are of the class from at on,
// and their number, which for all of them may be less.
func (x *chainStep) take(s string, at int) (end, n int) {
	k := x.class
	if k.all && x.max < 0 && x.possessive {
		if at == len(s) {
			return at, 0
		}
		if x.min <= 1 {
			return len(s), 1
		}
	}
	for at < len(s) && n != x.max {
		switch k.bytes[s[at]] {
		case 0:
			return at, n
		case 1:
			at++
		default:
			c, w := utf8.DecodeRuneInString(s[at:])
			if !k.has(c) {
				return at, n
			}
			at += w
		}
		n++
	}
	return at, n
}
