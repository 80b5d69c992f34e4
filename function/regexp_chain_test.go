package function

import (
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Chains find what Go's engine does, with all groups, or give up.
func TestRegexChain(t *testing.T) {
	rng := rand.New(rand.NewPCG(21, 22))
	atoms := []string{"a", "b", "ab", "ä", "[ab]", "[^a]", "[b-ä]", ".", `\d`, "c", `[^/]`, "/", "1"}
	counts := []string{"", "", "", "*", "+", "?", "{2}", "{1,2}", "{0,3}", "{2,}"}
	chars := []rune("aabbc/1ä\nü")
	chains, matches, gaveUp := 0, 0, 0
	for range 6000 {
		var p strings.Builder
		if rng.IntN(2) == 0 {
			p.WriteString("^")
		}
		for range 1 + rng.IntN(5) {
			a, n := atoms[rng.IntN(len(atoms))], counts[rng.IntN(len(counts))]
			switch {
			case len(a) == 2 && a[0] != '\\':
				p.WriteString("(?:" + a + ")" + strings.Trim(n, "*+{0123,}"))
			case rng.IntN(4) == 0:
				p.WriteString("(" + a + n + ")")
			default:
				p.WriteString(a + n)
			}
		}
		switch rng.IntN(4) {
		case 0:
			p.WriteString("$")
		case 1:
			p.WriteString(".*$")
		case 2:
			p.WriteString("(.*)")
		}
		body := []string{"(?s)", "(?m)", ""}[rng.IntN(3)] + p.String()
		re := regexp.MustCompile(body)
		re.Longest()
		c := newRegexChain(body, re)
		if c == nil {
			continue
		}
		chains++
		m := make([]int, 2*(re.NumSubexp()+1))
		for range 20 {
			var b strings.Builder
			for range rng.IntN(12) {
				b.WriteRune(chars[rng.IntN(len(chars))])
			}
			s := b.String()
			found, known := c.find(s, m)
			if !known {
				gaveUp++
				continue
			}
			want := re.FindStringSubmatchIndex(s)
			if found != (want != nil) || found && !slices.Equal(m, want) {
				t.Fatalf("%q in %q: %v %v instead of %v", body, s, found, m, want)
			}
			if found {
				matches++
			}
		}
	}
	if chains < 1000 || matches < 5000 || gaveUp > matches/10 {
		t.Errorf("%d chains, %d matches, %d given up", chains, matches, gaveUp)
	}
	// Time stays in proportion to the text.
	re := regexp.MustCompile(`(?s)[ab]*[abc]*[abd]*[abe]*[abf]*x$`)
	c := newRegexChain(re.String(), re)
	if c == nil {
		t.Fatal("no chain")
	}
	if _, known := c.find(strings.Repeat("ab", 5000), make([]int, 2)); known {
		t.Error("it went on for long")
	}
}

func BenchmarkRegexReplace(b *testing.B) {
	re, chain, err := compileChain(`^https?://(?:www\.)?([^/]+)/.*$`, regexFlags{})
	if err != nil || chain == nil {
		b.Fatal(err)
	}
	s := "https://www.example.com/some/path?with=parameters&and=more"
	m := make([]int, 4)
	b.Run("chain", func(b *testing.B) {
		for b.Loop() {
			chain.find(s, m)
		}
	})
	b.Run("go", func(b *testing.B) {
		for b.Loop() {
			re.FindStringSubmatchIndex(s)
		}
	})
}
