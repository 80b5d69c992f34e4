package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const faultySource = `package main

import (
	"fmt"
	"os"

	"github.com/volleydb/volley/udf/sdk"
)

func main() {
	udf.Main(
		udf.Scalar("half", func(x int64, s string) int64 {
			if x == 77 {
				panic(fmt.Sprintf("cannot halve %d", x))
			}
			return x / 2
		}, udf.Immutable, udf.Args("x", "s")),
		udf.Scalar("leaves", func(x int64) int64 {
			if x == 31 {
				os.Exit(7)
			}
			return x
		}, udf.Args("x")),
	)
}
`

// A call that failed is listed, shown and made again: with the artifact it failed
// with, with source built for a debugger, and with source that is mended.
func TestUDFDebug(t *testing.T) {
	needGo(t)
	dir, src := t.TempDir(), filepath.Join(t.TempDir(), "shaky")
	if err := os.Mkdir(src, 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		if err := os.WriteFile(filepath.Join(src, "main.go"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(faultySource)
	if out := must(t, "udf", "debug", "--data", dir); !strings.Contains(out, "no calls") {
		t.Errorf("without any: %s", out)
	}
	file := filepath.Join(t.TempDir(), "shaky.vudf")
	must(t, "udf", "build", src, "-o", file)
	_, declaration, _ := strings.Cut(must(t, "udf", "push", file, "--data", dir), "\n\n")
	must(t, "sql", "--data", dir, "-c", declaration)
	for _, q := range []string{"SELECT sum(half(g, 'row ' || g)) FROM generate_series(1, 200) g", "SELECT sum(leaves(g)) FROM generate_series(1, 100) g"} {
		if _, _, code := volley("", "sql", "--data", dir, "-c", q); code == 0 {
			t.Errorf("%s does not fail", q)
		}
	}
	list := must(t, "udf", "debug", "--data", dir)
	if !regexp.MustCompile(`half@1 +38000 .*x = 77, s = 'row 77' .*cannot halve 77`).MatchString(list) || !regexp.MustCompile(`leaves@1 .*x = 31 .*exit status 7`).MatchString(list) {
		t.Fatal(list)
	}
	name := regexp.MustCompile(`(?m)^(\S+) +half@1`).FindStringSubmatch(list)[1]

	out, _, code := volley("", "udf", "debug", "--data", dir, name)
	if code != 1 || !regexp.MustCompile(`(?m)^ > +\| +\d+ \| +77 \| row 77`).MatchString(out) || !regexp.MustCompile(`row \d+ of \d+ fails`).MatchString(out) || strings.Count(out, "cannot halve 77") < 2 {
		t.Errorf("exit %d\n%s", code, out)
	}
	// What ends the process is found, too.
	out, _, code = volley("", "udf", "debug", "--data", dir, "last", "--rows", "1")
	if code != 1 || !strings.Contains(out, "exit status 7") || !regexp.MustCompile(`row \d+ of \d+ fails`).MatchString(out) {
		t.Errorf("exit %d\n%s", code, out)
	}
	// The source, waiting for a debugger: the failing row alone.
	out, _, code = volley("\n", "udf", "debug", "--data", dir, src, "--batch", name, "--wait")
	if code != 1 || !strings.Contains(out, "for a debugger") || !regexp.MustCompile(`process is \d+`).MatchString(out) || !strings.Contains(out, "main.go:14)") {
		t.Errorf("exit %d\n%s", code, out)
	}
	write(strings.Replace(faultySource, "x == 77", "x == -1", 1))
	out, _, code = volley("", "udf", "debug", "--data", dir, src, "--batch", name)
	if code != 0 || !regexp.MustCompile(`none of \d+ rows fails`).MatchString(out) {
		t.Errorf("mended: exit %d\n%s", code, out)
	}
	out, _, code = volley("\n", "udf", "debug", "--data", dir, src, "--batch", name, "--wait")
	if code != 0 || !strings.Contains(out, "does not fail: 38, after") {
		t.Errorf("mended: exit %d\n%s", code, out)
	}
	if _, errs, code := volley("", "udf", "debug", "--data", dir, "nothing"); code != 1 || !strings.Contains(errs, "no recorded call") {
		t.Errorf("exit %d: %s", code, errs)
	}
}
