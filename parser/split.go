package parser

import "strings"

// Split cuts text at the ';' that end statements: those outside quotes,
// comments, dollar quotes, parentheses and the BEGIN ATOMIC … END of a function's
// body. It returns the complete statements without their ';' (empty ones are
// dropped), and the rest, which has no end yet: for a shell that reads lines.
func Split(sql string) (complete []string, rest string) {
	l := lexer{text: sql}
	start, depth, atomic := 0, 0, 0
	var prev token
	for {
		t := l.next()
		switch {
		case t.kind == tokEOF:
			return complete, sql[start:]
		case t.is("(") || t.is("["):
			depth++
		case (t.is(")") || t.is("]")) && depth > 0:
			depth--
		case t.is("atomic") && prev.is("begin"), atomic > 0 && t.is("case"):
			atomic++
		case atomic > 0 && t.is("end"):
			atomic--
		case t.is(";") && depth == 0 && atomic == 0:
			if s := strings.TrimSpace(sql[start:t.start]); prev.kind != tokEOF && s != "" {
				complete = append(complete, s)
			}
			start = t.end
			prev = token{}
			continue
		}
		prev = t
	}
}
