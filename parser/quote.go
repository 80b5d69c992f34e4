package parser

import "strings"

// QuoteIdent returns a name as it is written in SQL: in double quotes when it is
// a keyword other than an unreserved one, or has anything but lower-case
// letters, digits and underscores (as Postgres' quote_ident does).
func QuoteIdent(s string) string {
	safe := s != "" && (s[0] >= 'a' && s[0] <= 'z' || s[0] == '_')
	for i := 0; safe && i < len(s); i++ {
		c := s[i]
		safe = c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_'
	}
	if safe && keywords[s] <= unreserved {
		return s
	}
	return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
}

// QuoteLiteral returns a string constant for s; one with backslashes is written
// as E'…', which means the same whatever standard_conforming_strings is.
func QuoteLiteral(s string) string {
	q := strings.ReplaceAll(s, "'", "''")
	if strings.Contains(s, `\`) {
		return "E'" + strings.ReplaceAll(q, `\`, `\\`) + "'"
	}
	return "'" + q + "'"
}
