package coordinator

import (
	"strings"
	"testing"

	"github.com/volleydb/volley/pgerr"
)

func TestSettingsTable(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range settingsTable {
		k := strings.ToLower(s.name)
		if seen[k] {
			t.Errorf("setting %s is there twice", s.name)
		}
		seen[k] = true
		if s.doc == "" || s.category == "" {
			t.Errorf("setting %s has no doc or category", s.name)
		}
		// A default is what SET would make of it.
		if v, err := s.normalise(s.def); err != nil || v != s.def {
			t.Errorf("the default %q of %s is not in its normal form: %q %v", s.def, s.name, v, err)
		}
	}
}

func TestSet(t *testing.T) {
	for _, c := range []struct{ name, value, want, shown string }{
		{"work_mem", "64MB", "67108864", "64MB"},
		{"WORK_MEM", "1000", "1000", "1000B"},
		{"statement_timeout", "2s", "2000", "2s"},
		{"statement_timeout", "1min", "60000", "1min"},
		{"statement_timeout", "90000", "90000", "90s"},
		{"volley.batch_rows", "100", "100", "100"},
		{"row_security", "TRUE", "on", "on"},
		{"bytea_output", "ESCAPE", "escape", "escape"},
		{"client_encoding", "utf-8", "UTF8", "UTF8"},
		{"DateStyle", "iso", "ISO, MDY", "ISO, MDY"},
		{"timezone", "Europe/Berlin", "Europe/Berlin", "Europe/Berlin"},
		{"volley.seed", "-5", "-5", "-5"},
	} {
		s := newSettings()
		d, err := s.set(c.name, c.value, "session", false)
		if err != nil {
			t.Errorf("SET %s = %s: %v", c.name, c.value, err)
			continue
		}
		if got := s.get(c.name); got != c.want || d.show(got) != c.shown {
			t.Errorf("SET %s = %s: %q shown as %q, want %q and %q", c.name, c.value, got, d.show(got), c.want, c.shown)
		}
	}
	for _, c := range []struct{ name, value, code, hint string }{
		{"work_men", "1", "42704", "work_mem"},
		{"volley.sed", "1", "42704", "volley.seed"},
		{"nothing_like_it_at_all", "1", "42704", ""},
		{"work_mem", "1 fortnight", "22023", "fortnight"},
		{"work_mem", "-1", "22023", ""},
		{"work_mem", "9223372036854775807GB", "22023", "too large"},
		{"volley.batch_rows", "1", "22023", ""},
		{"row_security", "maybe", "22023", ""},
		{"bytea_output", "base64", "22023", "hex, escape"},
		{"client_encoding", "latin1", "0A000", ""},
		{"DateStyle", "German", "0A000", ""},
		{"timezone", "Atlantis", "22023", ""},
		{"server_version", "16", "55P02", ""},
		{"standard_conforming_strings", "off", "0A000", ""},
		{"volley.seed", "x", "22023", ""},
	} {
		s := newSettings()
		before := s.get(c.name)
		_, err := s.set(c.name, c.value, "session", false)
		if pgerr.Code(err) != c.code {
			t.Errorf("SET %s = %s: %v (%s), want %s", c.name, c.value, err, pgerr.Code(err), c.code)
			continue
		}
		if !strings.Contains(pgerr.From(err).Hint+pgerr.From(err).Message, c.hint) {
			t.Errorf("SET %s = %s: %v, hint %q lacks %q", c.name, c.value, err, pgerr.From(err).Hint, c.hint)
		}
		if s.get(c.name) != before {
			t.Errorf("SET %s = %s failed and changed it to %q", c.name, c.value, s.get(c.name))
		}
	}
}

func TestSplitNames(t *testing.T) {
	got := strings.Join(splitNames(`"$user", public, My_Schema,"Quoted, no", "a""b" ,`), "|")
	if want := `$user|public|my_schema|"quoted|no"|a"b`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestVerifier(t *testing.T) {
	a, err := verifier("secret")
	if err != nil || !strings.HasPrefix(a, "SCRAM-SHA-256$4096:") {
		t.Fatal(a, err)
	}
	b, _ := verifier("secret")
	if a == b {
		t.Error("two verifiers of one password are the same: no salt")
	}
	if c, _ := verifier(a); c != a {
		t.Error("a verifier is not kept as it is")
	}
}
