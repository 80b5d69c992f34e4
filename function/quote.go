package function

import "strings"

// reserved holds the words that quote_ident quotes: Postgres' keywords but the
// unreserved ones.
var reserved = func() map[string]bool {
	m := map[string]bool{}
	for _, k := range keywords {
		for _, w := range strings.Fields(k.words) {
			m[w] = k.code != 'U'
		}
	}
	return m
}()

// quoteIdent quotes an identifier where the parser would not read it back as is.
func quoteIdent(s string) string {
	safe := s != "" && (s[0] >= 'a' && s[0] <= 'z' || s[0] == '_')
	for i := 0; safe && i < len(s); i++ {
		c := s[i]
		safe = c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_'
	}
	if safe && !reserved[s] {
		return s
	}
	return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
}

// QuoteIdent is quote_ident.
func QuoteIdent(s string) string { return quoteIdent(s) }

// quoteLiteral quotes a literal, in the E” form if it holds a backslash.
func quoteLiteral(s string) string {
	q := "'" + strings.ReplaceAll(s, "'", "''") + "'"
	if strings.Contains(q, `\`) {
		return "E" + strings.ReplaceAll(q, `\`, `\\`)
	}
	return q
}
