package parser

import (
	"sort"
	"strings"
	"sync"
	"unicode/utf8"
)

// source is one text given to Parse, with what became of it. It is shared by
// the statements of the text and immutable but for the lazily built index.
type source struct {
	user  string // what the user wrote
	text  string // what libpg_query parsed; the same string when nothing was rewritten
	spans []span // ascending by at, first one at 0; empty when text == user
	once  sync.Once
	marks []int // runes before byte k*markEvery of user; nil when user is ASCII
}

// span says where the bytes of text from at on, up to the next span, come from.
type span struct {
	at   int  // byte offset in text
	user int  // byte offset in user
	copy bool // a copy of user from there; otherwise inserted, all of it standing for that one place
}

// markEvery is the distance in bytes of the index of characters: a position is
// found by counting at most that many bytes.
const markEvery = 4096

// spanOf finds the span that a byte of the rewritten text is in, nil when nothing
// was rewritten.
func (s *source) spanOf(off int) *span {
	i := sort.Search(len(s.spans), func(i int) bool { return s.spans[i].at > off }) - 1
	if i < 0 {
		return nil
	}
	return &s.spans[i]
}

// inserted tells whether the user did not write the byte of the rewritten text.
func (s *source) inserted(off int) bool {
	sp := s.spanOf(off)
	return sp != nil && !sp.copy
}

// userOffset maps a byte offset in the rewritten text to one in the user's.
func (s *source) userOffset(off int) int {
	if len(s.spans) == 0 {
		return min(off, len(s.user))
	}
	sp := s.spanOf(off)
	if sp == nil {
		return 0
	}
	if !sp.copy {
		return sp.user
	}
	return min(sp.user+off-sp.at, len(s.user))
}

// charPos turns a byte offset in the user's text into a 1-based character position.
func (s *source) charPos(off int) int {
	s.once.Do(func() {
		n := 0
		marks := make([]int, 0, len(s.user)/markEvery+1)
		for at := 0; at < len(s.user); at += markEvery {
			marks = append(marks, n)
			n += runeStarts(s.user[at:min(at+markEvery, len(s.user))])
		}
		if n != len(s.user) {
			s.marks = marks
		}
	})
	off = max(0, min(off, len(s.user)))
	if len(s.marks) == 0 {
		return off + 1
	}
	k := min(off/markEvery, len(s.marks)-1)
	return s.marks[k] + runeStarts(s.user[k*markEvery:off]) + 1
}

// byteOffset turns a 1-based character position in text into a byte offset.
func byteOffset(text string, pos int) int {
	off := 0
	for ; pos > 1 && off < len(text); pos-- {
		_, n := utf8.DecodeRuneInString(text[off:])
		off += n
	}
	return off
}

// runeStarts counts the characters that begin in s.
func runeStarts(s string) int {
	n := 0
	for i := 0; i < len(s); i++ {
		if utf8.RuneStart(s[i]) {
			n++
		}
	}
	return n
}

// builder writes the rewritten text and its spans.
type builder struct {
	user  string
	text  strings.Builder
	spans []span
}

// copy appends user[from:to].
func (b *builder) copy(from, to int) {
	if from >= to {
		return
	}
	b.spans = append(b.spans, span{at: b.text.Len(), user: from, copy: true})
	b.text.WriteString(b.user[from:to])
}

// insert appends text that the user did not write; errors in it are shown at at.
func (b *builder) insert(text string, at int) {
	b.spans = append(b.spans, span{at: b.text.Len(), user: at})
	b.text.WriteString(text)
}
