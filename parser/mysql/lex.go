package mysql

import "strings"

// token is a word, a quoted name or a number of the user's text, without quotes.
type token struct {
	word string // in lower case; of a quoted name as it is
	at   int
}

// piece is one statement of a text.
type piece struct {
	from, to int
	words    []token
}

// split cuts a text at its semicolons and notes where names and keywords stand.
func split(sql string) []piece {
	var out []piece
	cur := piece{}
	end := func(at int) {
		cur.to = at
		if len(cur.words) > 0 || strings.TrimSpace(sql[cur.from:at]) != "" {
			out = append(out, cur)
		}
		cur = piece{from: at + 1}
	}
	for i := 0; i < len(sql); {
		switch c := sql[i]; {
		case c == ';':
			end(i)
			i++
		case c == '#', strings.HasPrefix(sql[i:], "--") && (i+2 == len(sql) || sql[i+2] <= ' '):
			if j := strings.IndexByte(sql[i:], '\n'); j >= 0 {
				i += j
			} else {
				i = len(sql)
			}
		case strings.HasPrefix(sql[i:], "/*"):
			if j := strings.Index(sql[i+2:], "*/"); j >= 0 {
				i += j + 4
			} else {
				i = len(sql)
			}
		case c == '\'' || c == '"' || c == '`':
			j := i + 1
			for j < len(sql) && sql[j] != c {
				if sql[j] == '\\' && c != '`' {
					j++
				}
				j++
			}
			j = min(j, len(sql))
			if c == '`' {
				cur.words = append(cur.words, token{sql[i+1 : j], i})
			}
			i = min(j+1, len(sql))
		case isWord(c):
			j := i
			for j < len(sql) && isWord(sql[j]) {
				j++
			}
			cur.words = append(cur.words, token{strings.ToLower(sql[i:j]), i})
			i = j
		default:
			i++
		}
	}
	end(len(sql))
	return out
}

func isWord(c byte) bool {
	return c == '_' || c == '$' || c >= 0x80 || c-'0' < 10 || c|0x20-'a' < 26
}
