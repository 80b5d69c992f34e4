package parser

import (
	"strings"
	"testing"
	"unicode/utf8"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	pgparser "github.com/wasilibs/go-pgquery/parser"
	"google.golang.org/protobuf/proto"
)

var lexSeeds = []string{
	`SELECT a, "B""c", U&"d\0061" FROM t WHERE x = 'it''s' AND y = E'\'a' -- c`,
	"select 'a' -- x\n 'b', E'a'\n'\\'', /* a /* b */ c */ $1, $$a'b$$, $t$ $$ $t$, b'01', x'1F', n'q', u&'z'",
	`select 1.5e10, .5, 1., 1.e5, 0x1F, 1_000, a::int, a[1:2], b => 1, c := 2, 1..2`,
	`select a@-b, a*-b, a<>-1, a||'x', a->>'b', a<=b, a!=b, @ x, a+-+b, x%y, a/*c*/+b, 1-- c`,
	"select é, ñ$1, _a1 from \"É\"; ; select 2",
	"SELECT * FROM t GROUP BY g APPLY f(x)",
	"copy (select 1) to stdout; begin; end",
	"A\"0\"\"0\" B'''0'",
}

// sameTokens compares the lexer with libpg_query's on a text that that one takes.
func sameTokens(t *testing.T, sql string) {
	if strings.IndexByte(sql, 0) >= 0 || !utf8.ValidString(sql) || len(sql) > 4000 {
		return
	}
	b, err := guarded(pgparser.ScanToProtobuf, sql)
	if err != nil {
		return
	}
	var res pg_query.ScanResult
	if err := proto.Unmarshal(b, &res); err != nil {
		t.Fatal(err)
	}
	l := lexer{text: sql}
	for _, want := range res.Tokens {
		got := l.rawNext()
		if got.start != int(want.Start) || got.end != int(want.End) {
			t.Fatalf("%q: token %q at %d, libpg_query has %q (%v) at %d", sql,
				sql[got.start:got.end], got.start, sql[want.Start:want.End], want.Token, want.Start)
		}
		class := int(want.KeywordKind)
		nchar := got.end-got.start == 1 && want.Token == pg_query.Token_NCHAR // n'…'
		if got.kind == tokWord && int(got.class) != class && !nchar {
			t.Fatalf("%q: %q has class %d, libpg_query says %d", sql, sql[got.start:got.end], got.class, class)
		}
		comment := want.Token == pg_query.Token_SQL_COMMENT || want.Token == pg_query.Token_C_COMMENT
		quoted := want.Token == pg_query.Token_UIDENT || want.Token == pg_query.Token_IDENT && sql[want.Start] == '"'
		text := want.Token == pg_query.Token_SCONST || want.Token == pg_query.Token_USCONST ||
			want.Token == pg_query.Token_BCONST || want.Token == pg_query.Token_XCONST
		if comment != (got.kind == tokComment) || quoted != (got.kind == tokQuoted) || text != (got.kind == tokString) {
			t.Fatalf("%q: %q is of kind %d, libpg_query says %v", sql, sql[got.start:got.end], got.kind, want.Token)
		}
	}
	if got := l.rawNext(); got.kind != tokEOF {
		t.Fatalf("%q: one token too many: %q", sql, sql[got.start:got.end])
	}
}

func TestLexerAgreesWithPostgres(t *testing.T) {
	for _, sql := range lexSeeds {
		sameTokens(t, sql)
	}
	for word, class := range keywords {
		sameTokens(t, "x "+strings.ToUpper(word))
		if got := QuoteIdent(word); (got == word) != (class <= unreserved) {
			t.Errorf("QuoteIdent(%q) = %s", word, got)
		}
	}
}

func FuzzLexer(f *testing.F) {
	for _, sql := range lexSeeds {
		f.Add(sql)
	}
	f.Fuzz(sameTokens)
}
