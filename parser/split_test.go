package parser

import (
	"reflect"
	"strings"
	"testing"
)

func TestSplit(t *testing.T) {
	for _, tt := range []struct {
		sql      string
		complete []string
		rest     string
	}{
		{"", nil, ""},
		{"select 1", nil, "select 1"},
		{"select 1;", []string{"select 1"}, ""},
		{" select 1 ; ; select 2;\nsel", []string{"select 1", "select 2"}, "\nsel"},
		{`select ';', ";", E'\';', U&';', $$;$$, $a$;$$;$a$ -- ;` + "\n/* ; /* ; */ ; */;x", []string{`select ';', ";", E'\';', U&';', $$;$$, $a$;$$;$a$ -- ;` + "\n/* ; /* ; */ ; */"}, "x"},
		{"select 'a;", nil, "select 'a;"},
		{`select "a;`, nil, `select "a;`},
		{"select $a$;$$;", nil, "select $a$;$$;"},
		{"select 1 /* ;", nil, "select 1 /* ;"},
		{"select (1;2);", []string{"select (1;2)"}, ""},
		{"select 1); select 2;", []string{"select 1)", "select 2"}, ""},
		{"begin; end;", []string{"begin", "end"}, ""},
		{"create function f() returns int begin atomic select 1; select case when a then 1 end; end; select 2;",
			[]string{"create function f() returns int begin atomic select 1; select case when a then 1 end; end", "select 2"}, ""},
		{"-- only a comment\n; select 1;", []string{"select 1"}, ""},
	} {
		complete, rest := Split(tt.sql)
		if !reflect.DeepEqual(complete, tt.complete) || rest != tt.rest {
			t.Errorf("Split(%q) = %q, %q; want %q, %q", tt.sql, complete, rest, tt.complete, tt.rest)
		}
	}
}

func TestQuote(t *testing.T) {
	for _, tt := range []struct{ in, ident, literal string }{
		{"a", "a", "'a'"}, {"_a1", "_a1", "'_a1'"}, {"A", `"A"`, "'A'"}, {"", `""`, "''"}, {"1a", `"1a"`, "'1a'"},
		{"select", `"select"`, "'select'"}, {"left", `"left"`, "'left'"}, {"int", `"int"`, "'int'"}, {"year", "year", "'year'"}, {"apply", "apply", "'apply'"},
		{`a"b'c\d`, `"a""b'c\d"`, `E'a"b''c\\d'`}, {"é", `"é"`, "'é'"}, {"score@2", `"score@2"`, "'score@2'"},
	} {
		if got := QuoteIdent(tt.in); got != tt.ident {
			t.Errorf("QuoteIdent(%q) = %s, want %s", tt.in, got, tt.ident)
		}
		if got := QuoteLiteral(tt.in); got != tt.literal {
			t.Errorf("QuoteLiteral(%q) = %s, want %s", tt.in, got, tt.literal)
		}
	}
}

func FuzzSplit(f *testing.F) {
	for _, sql := range lexSeeds {
		f.Add(sql)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		complete, rest := Split(sql)
		if !strings.HasSuffix(sql, rest) {
			t.Fatalf("%q: rest %q is not its end", sql, rest)
		}
		if more, again := Split(rest); len(more) != 0 || again != rest {
			t.Fatalf("%q: the rest %q splits again", sql, rest)
		}
		at := 0
		for _, s := range complete {
			i := strings.Index(sql[at:], s)
			if i < 0 || s == "" {
				t.Fatalf("%q: %q is not part of it", sql, s)
			}
			at += i + len(s)
			if more, again := Split(s); len(more) != 0 || strings.TrimSpace(again) != s {
				t.Fatalf("%q: the statement %q splits again", sql, s)
			}
		}
	})
}
