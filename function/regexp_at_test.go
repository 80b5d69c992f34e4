package function

import "testing"

func TestLooksBehind(t *testing.T) {
	for p, want := range map[string]bool{
		"a": false, "^a": true, "a|^b": true, "[^a]": false, "^a[^b]": true, "[^b]^": true, "[a^]": false, "[]^]": false, "[^]^]a": false,
		`\^`: false, `\ya`: true, `\\y`: false, `[\y]`: false, "[[:alpha:]^]": false, "[[:alpha:]]^": true, "[[:<:]]a": true, "[a": false, `a\`: false,
	} {
		if got := looksBehind(p); got != want {
			t.Errorf("%q: %t", p, got)
		}
	}
}
