package parser

import (
	"errors"
	"fmt"
	"runtime"
	"strings"

	"github.com/wasilibs/go-pgquery/parser"

	"github.com/volleydb/volley/pgerr"
)

// slots bounds the calls into the library at one time. The WebAssembly build
// keeps an instance per concurrent call, each a second of CPU and some ten
// megabytes, so a burst of clients must not make one instance each.
var slots = make(chan struct{}, max(1, min(runtime.GOMAXPROCS(0), 8)))

// guarded calls the library; a panic in it (the overflow of the WebAssembly
// stack, which check should have prevented) becomes an error, and no later call
// gets the instance that it left in the middle of its work.
func guarded[I, O any](call func(I) (O, error), in I) (out O, err error) {
	slots <- struct{}{}
	defer func() {
		if p := recover(); p != nil {
			dropInstances()
			err = pgerr.New(pgerr.InternalError, "the SQL parser failed: %.200s", fmt.Sprint(p))
		}
		<-slots
	}()
	return call(in)
}

func parseToProtobuf(sql string) ([]byte, error) { return guarded(parser.ParseToProtobuf, sql) }

func deparseFromProtobuf(tree []byte) (string, error) {
	return guarded(parser.DeparseFromProtobuf, tree)
}

// translate turns an error of the library about src.text into one about the
// user's text. The library gives no SQLSTATE; the grammar has few besides 42601.
func (s *source) translate(err error) error {
	var e *parser.Error
	if !errors.As(err, &e) {
		return pgerr.From(err)
	}
	pos := 0
	code, msg := pgerr.SyntaxError, e.Message
	if e.Cursorpos > 0 {
		at := byteOffset(s.text, e.Cursorpos)
		pos = s.charPos(s.userOffset(at))
		if strings.HasPrefix(msg, "syntax error at ") && s.inserted(at) {
			msg = syntaxErrorAt(s.user, s.userOffset(at))
		}
	}
	switch {
	case strings.HasPrefix(msg, "memory exhausted"), strings.HasPrefix(msg, "stack depth limit"):
		return tooComplex(pos)
	case strings.HasPrefix(msg, "out of memory"), strings.HasPrefix(msg, "invalid memory alloc"):
		code = pgerr.OutOfMemory
	case strings.Contains(msg, "not yet implemented"), strings.Contains(msg, "not supported"),
		strings.HasSuffix(msg, "not implemented"):
		code = pgerr.FeatureNotSupported
	case strings.HasPrefix(msg, "frame start"), strings.HasPrefix(msg, "frame end"):
		code = pgerr.WindowingError
	case strings.HasPrefix(msg, "invalid byte sequence"):
		code = pgerr.CharacterNotInRepertoire
	}
	return pgerr.New(code, "%s", msg).At(pos)
}

// syntaxErrorAt is Postgres' message about the token at a place of the user's text.
func syntaxErrorAt(text string, off int) string {
	l := lexer{text: text, pos: min(off, len(text))}
	t := l.next()
	if t.kind == tokEOF {
		return "syntax error at end of input"
	}
	return "syntax error at or near \"" + text[t.start:t.end] + "\""
}
