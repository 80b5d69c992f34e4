package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// What is misspelt is refused by name, with what was meant.
func TestUnknownNames(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"serve", "--http-lisen", "x"}, "unknown flag --http-lisen; perhaps you meant --http-listen"},
		{[]string{"serve", "--xyzzyxyzzy"}, "unknown flag --xyzzyxyzzy; see volley serve --help"},
		{[]string{"srve"}, "Did you mean this?\n\tserve"},
		{[]string{"sql", "--data", dir + "/a", "--set", "work_men=1GB", "-c", "SELECT 1"}, "unrecognized configuration parameter \"work_men\"\n  hint: Perhaps you meant \"work_mem\"."},
		{[]string{"sql", "--data", dir + "/a", "--set", "work_mem=lots", "-c", "SELECT 1"}, `invalid value for parameter "work_mem": "lots"`},
		{[]string{"sql", "--data", dir + "/a", "--set", "work_mem", "-c", "SELECT 1"}, "--set takes name=value"},
		{[]string{"sql", "--format", "tabel", "-c", "SELECT 1"}, `--format is table, csv, json, not "tabel"`},
		{[]string{"sql", "-c", "SELECT 1", "--log-level", "loud"}, "--log-level is debug, info, warn or error"},
		{[]string{"serve", "--config", file("a.toml", "lisen = \"x\"\n")}, `unknown key "lisen"; perhaps you meant "listen"`},
		{[]string{"serve", "--config", file("b.toml", "listen = [1]\n")}, `"listen" takes one value`},
		{[]string{"serve", "--config", file("c.toml", "slots = \"many\"\n")}, `invalid value "many" of slots in the configuration file`},
		{[]string{"serve", "--config", file("d.toml", "listen =\n")}, "d.toml: toml: line 1"},
		{[]string{"serve", "--config", dir + "/none.toml"}, "does not exist"},
		{[]string{"serve", "--auth", "md5"}, `--auth is trust or scram-sha-256, not "md5"`},
		{[]string{"serve", "--listen", "0.0.0.0:0"}, "--auth trust on 0.0.0.0:0 would let anybody in"},
		{[]string{"serve", "--tls-cert", "x"}, "--tls-cert and --tls-key belong together"},
		{[]string{"worker"}, "--coordinator HOST:PORT is missing"},
	} {
		_, errs, code := volley("", c.args...)
		if code != 1 || !strings.Contains(errs, c.want) {
			t.Errorf("%v: exit %d, %q; want %q", c.args, code, errs, c.want)
		}
	}
}

// The command line has precedence over the environment, that over the file.
func TestPrecedence(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "volley.toml")
	if err := os.WriteFile(file, []byte("format = \"csv\"\ngrace = \"5s\"\n[set]\napplication_name = \"file\"\nvolley.batch_rows = 128\nextra_float_digits = 0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("VOLLEY_CONFIG", file)
	show := func(args ...string) string {
		return must(t, append([]string{"sql", "--data", filepath.Join(dir, "data"), "-c",
			"SELECT name, setting, source FROM pg_settings WHERE name IN ('TimeZone', 'volley.batch_rows', 'extra_float_digits') ORDER BY 1"}, args...)...)
	}
	want := "name,setting,source\nTimeZone,UTC,default\nextra_float_digits,0,configuration file\nvolley.batch_rows,128,configuration file\n"
	if got := show(); got != want {
		t.Errorf("file: got\n%s", got)
	}
	t.Setenv("VOLLEY_FORMAT", "json")
	t.Setenv("VOLLEY_SET_VOLLEY_BATCH_ROWS", "256")
	t.Setenv("VOLLEY_SET_TIMEZONE", "Europe/Berlin")
	if got := show(); !strings.HasPrefix(got, "[{") || !strings.Contains(got, `"256", "source": "environment variable"`) || !strings.Contains(got, "Europe/Berlin") {
		t.Errorf("environment: got\n%s", got)
	}
	if got := show("--format", "csv", "--set", "volley.batch_rows=512"); !strings.Contains(got, "volley.batch_rows,512,command line\n") {
		t.Errorf("flag: got\n%s", got)
	}
	t.Setenv("VOLLEY_FORMTA", "x")
	if _, errs, _ := volley("", "sql", "--data", filepath.Join(dir, "data"), "-c", "SELECT 1"); !strings.Contains(errs, `unknown environment variable VOLLEY_FORMTA ignored; perhaps you meant "VOLLEY_FORMAT"`) {
		t.Errorf("a misspelt variable: %q", errs)
	}
}

func TestMemoryFlag(t *testing.T) {
	for _, c := range []struct {
		in   string
		want int64
		err  string
	}{
		{"", 0, ""},
		{"512MB", 512 << 20, ""},
		{"4GB", 4 << 30, ""},
		{"1", 0, "at least 64MB"},
		{"much", 0, "integer"},
		{"4 parsecs", 0, "parsecs"},
	} {
		f := pflag.NewFlagSet("t", pflag.ContinueOnError)
		addMemoryFlag(f)
		if err := f.Set("memory", c.in); err != nil {
			t.Fatal(err)
		}
		got, err := memoryFlag(f)
		if c.err == "" && (err != nil || got != c.want) || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("--memory %q: %d, %v", c.in, got, err)
		}
	}
}
