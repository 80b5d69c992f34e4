package volleytest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	sdk "github.com/volleydb/volley/udf/sdk"
)

func functions() []sdk.Decl {
	return []sdk.Decl{
		sdk.Scalar("double_it", func(x int64) int64 { return 2 * x }, sdk.Immutable),
		sdk.Scalar("greet", func(name string) (string, error) {
			if name == "" {
				return "", sdk.Errorf("22023", "nobody to greet")
			}
			return "Hello " + name, nil
		}, sdk.Args("name")),
	}
}

// startBound is what New may take; on a machine that does nothing else it takes
// about 20 ms.
const startBound = 2 * time.Second

func TestStart(t *testing.T) {
	best := time.Hour
	for range 5 {
		t.Run("", func(t *testing.T) {
			begin := time.Now()
			New(t)
			best = min(best, time.Since(begin))
		})
	}
	t.Logf("an engine starts in %s", best)
	if best > startBound {
		t.Errorf("an engine starts in %s", best)
	}
}

func TestQuery(t *testing.T) {
	db := New(t, functions()...)
	db.LoadCSV(t, "people", "id,name\n1,Ann\n2,Bob\n3,\n")
	db.LoadCSV(t, "typed (a numeric, b text)", "a,b\n1.50,x\n")
	db.LoadRows(t, "pairs", "k bigint, note text", []any{1, "one"}, []any{2, nil})
	db.Query(t, "SELECT double_it(id), greet(name) FROM people WHERE id < 3 ORDER BY 1").Equal(t, `
		double_it | greet
		----------+----------
		2         | Hello Ann
		4         | Hello Bob`)
	if got := fmt.Sprint(db.Rows(t, "SELECT a, b FROM typed"), db.Rows(t, "SELECT note FROM pairs WHERE k = $1", 2)); got != "[[1.50 x]] [[NULL]]" {
		t.Error(got)
	}
	e := db.Error(t, "22023", "SELECT greet('')")
	if !strings.Contains(e.Message, "nobody to greet") || !strings.Contains(e.Detail, "name = ''") {
		t.Errorf("%+v", e)
	}
	r := db.Query(t, "INSERT INTO pairs VALUES (3, 'x'), (4, 'y')")
	if r.Tag != "INSERT 0 2" {
		t.Error(r.Tag)
	}
	db.Register(t, sdk.Scalar("half", func(x float64) float64 { return x / 2 }))
	db.Query(t, "SELECT half(3)").Equal(t, "half\n1.5")
}

// fake collects what a test would be told.
type fake struct {
	testing.TB
	cleanups []func()
	messages []string
}

func (f *fake) Helper()          {}
func (f *fake) TempDir() string  { return f.TB.TempDir() }
func (f *fake) Cleanup(c func()) { f.cleanups = append(f.cleanups, c) }
func (f *fake) Errorf(format string, args ...any) {
	f.messages = append(f.messages, fmt.Sprintf(format, args...))
}

type ended struct{}

func (f *fake) Fatalf(format string, args ...any) {
	f.Errorf(format, args...)
	panic(ended{})
}

// tells runs f and wants it to report words.
func tells(t *testing.T, f func(t testing.TB), words ...string) {
	t.Helper()
	x := &fake{TB: t}
	func() {
		defer func() {
			if v := recover(); v != nil && v != (ended{}) {
				panic(v)
			}
		}()
		f(x)
	}()
	for i := len(x.cleanups) - 1; i >= 0; i-- {
		x.cleanups[i]()
	}
	all := strings.Join(x.messages, "\n")
	for _, w := range words {
		if !strings.Contains(all, w) {
			t.Errorf("%q lacks %q", all, w)
		}
	}
	if len(words) == 0 && all != "" {
		t.Errorf("unexpected: %s", all)
	}
}

func TestMessages(t *testing.T) {
	db := New(t, functions()...)
	tells(t, func(t testing.TB) { db.Query(t, "SELECT nobody(1)") }, "SELECT nobody(1)", "42883", "does not exist")
	tells(t, func(t testing.TB) { db.Exec(t, "SELEC 1") }, "42601")
	tells(t, func(t testing.TB) { db.Error(t, "22023", "SELECT greet('you')") }, "did not fail", "Hello you")
	tells(t, func(t testing.TB) { db.Error(t, "22023", "SELECT 1/0") }, "22012, not 22023")
	tells(t, func(t testing.TB) { db.Query(t, "VALUES (1), (2)").Equal(t, "column1\n1\n3") }, "row 2 is\n  2\nwant\n  3")
	tells(t, func(t testing.TB) { db.Query(t, "VALUES (1)").Equal(t, "column1\n1\n3") }, "row 2 is\n  nothing\nwant\n  3")
	tells(t, func(t testing.TB) { db.Query(t, "SELECT 1 AS a").Equal(t, "b\n1") }, "the header is")
	tells(t, func(t testing.TB) { db.LoadRows(t, "bad", "x int", []any{"no"}) }, "row 1 of bad", "22P02")
	tells(t, func(t testing.TB) {
		db.Register(t, sdk.Scalar("a", func(x int64) int64 { return x }), sdk.Scalar("a", func(x int64) int64 { return x }))
	},
		"declared twice")
}

func TestGolden(t *testing.T) {
	db := New(t)
	file := filepath.Join(t.TempDir(), "testdata", "x.txt")
	r := db.Query(t, "SELECT 1 AS a, NULL AS b")
	tells(t, func(t testing.TB) { r.Golden(t, file) }, "there is no golden file", "VOLLEY_UPDATE=1")
	t.Setenv(UpdateVariable, "1")
	r.Golden(t, file)
	os.Unsetenv(UpdateVariable)
	r.Golden(t, file)
	tells(t, func(t testing.TB) { db.Query(t, "SELECT 2 AS a, NULL AS b").Golden(t, file) }, "is not what", "x.txt", "row 1 is")
}

// A function that never returns is told of; the engine itself leaves nothing.
func TestLeaks(t *testing.T) {
	var stop atomic.Bool
	tells(t, func(t testing.TB) {
		db := New(t, sdk.Scalar("hangs", func(x int64) int64 {
			for !stop.Load() {
				time.Sleep(time.Millisecond)
			}
			return x
		}))
		db.Exec(t, "ALTER FUNCTION hangs(bigint) SET volley.timeout = '50ms'")
		db.Error(t, "57014", "SELECT hangs(1)")
	}, "leaves goroutines behind")
	stop.Store(true)
	tells(t, func(t testing.TB) {
		db := New(t, functions()...)
		db.Query(t, "SELECT sum(double_it(x)) FROM generate_series(1, 100000) x").Equal(t, "sum\n10000100000")
	})
}

func ExampleNew() {
	t := exampleTest{} // a *testing.T
	defer t.end()
	db := New(&t, sdk.Scalar("initials", func(name string) string {
		s := ""
		for _, w := range strings.Fields(name) {
			s += w[:1]
		}
		return s
	}, sdk.Immutable))
	db.LoadCSV(&t, "people", "name\nAda Lovelace\nGrace Hopper\n")
	fmt.Print(db.Query(&t, "SELECT name, initials(name) FROM people ORDER BY 1"))
	// Output:
	// name         | initials
	// Ada Lovelace | AL
	// Grace Hopper | GH
}

// exampleTest stands for the *testing.T that an example has not.
type exampleTest struct {
	testing.TB
	cleanups []func()
}

func (t *exampleTest) Helper()          {}
func (t *exampleTest) Cleanup(f func()) { t.cleanups = append(t.cleanups, f) }
func (t *exampleTest) TempDir() string {
	dir, err := os.MkdirTemp("", "example-")
	if err != nil {
		panic(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
func (t *exampleTest) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (t *exampleTest) Errorf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (t *exampleTest) end() {
	for i := len(t.cleanups) - 1; i >= 0; i-- {
		t.cleanups[i]()
	}
}
