package main

import "testing"

func TestNormalize(t *testing.T) {
	for in, want := range map[string]string{
		"":                 "",
		"  ":               "",
		" Hello   World\t": "hello world",
		"Crème  Brûlée":    "creme brulee",
		"Cafe\u0301":       "cafe",
		"STRAẞE Straße":    "strasse strasse",
		"Æsir œuvre":       "aesir oeuvre",
		"日本 語":             "日本 語",
		"a\u00a0b\n\n c":   "a b c",
		"no change":        "no change",
	} {
		if got := normalize(in); got != want {
			t.Errorf("normalize(%q) = %q, want %q", in, got, want)
		}
	}
}
