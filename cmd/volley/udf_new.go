package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/volleydb/volley/udf"
)

// template is the files of a new plugin of one kind; NAME is its function.
type template struct {
	code   string // main.go, or NAME.py
	test   string // main_test.go, "" for none
	golden string
	call   string // a statement that calls it
}

// pluginKinds are the values of --kind.
var pluginKinds = []string{"scalar", "vectorised", "aggregate", "grouped", "table", "window"}

var goTemplates = map[string]template{
	"scalar": {code: `// NAME is a function for Volley: SELECT NAME(x, y).
package main

import "github.com/volleydb/volley/udf/sdk"

// NAME is called once per row, and not at all where an argument is NULL: an
// argument of type udf.Null[float64] would get those rows, too.
func NAME(x, y float64) float64 {
	return 2*x + y
}

func main() {
	udf.Main(
		udf.Version("0.1"),
		udf.Scalar("NAME", NAME, udf.Immutable, udf.Args("x", "y"), udf.Doc("twice x, and y")),
	)
}
`, test: `package main

import "testing"

func TestFunction(t *testing.T) {
	if got := NAME(1, 2); got != 4 {
		t.Errorf("NAME(1, 2) = %v, want 4", got)
	}
}
`, golden: `{
  "NAME": [
    {"in": ["1", "2"], "out": "4"},
    {"in": ["0.5", "-1"], "out": "0"},
    {"in": ["NULL", "1"], "out": "NULL"}
  ]
}
`, call: "SELECT x, NAME(x, 1) FROM generate_series(1, 3) AS g(x);"},
	"vectorised": {code: `// NAME is a function for Volley: SELECT NAME(x, y). It gets a batch of rows at a
// time, as columns.
package main

import "github.com/volleydb/volley/udf/sdk"

// NAME fills out, which has an element per row, as have x and y. Where an argument
// is NULL so is the result, whatever stands there.
func NAME(x, y, out []float64) {
	for i := range out {
		out[i] = 2*x[i] + y[i]
	}
}

func main() {
	udf.Main(
		udf.Version("0.1"),
		udf.Vector("NAME", NAME, udf.Immutable, udf.Args("x", "y"), udf.Doc("twice x, and y")),
	)
}
`, test: `package main

import "testing"

func TestFunction(t *testing.T) {
	out := make([]float64, 2)
	NAME([]float64{1, 2}, []float64{2, 3}, out)
	if out[0] != 4 || out[1] != 7 {
		t.Errorf("got %v, want 4 and 7", out)
	}
}
`, golden: `{
  "NAME": [
    {"in": ["1", "2"], "out": "4"},
    {"in": ["NULL", "1"], "out": "NULL"}
  ]
}
`, call: "SELECT x, NAME(x, 1) FROM generate_series(1, 3) AS g(x);"},
	"aggregate": {code: `// NAME is an aggregate for Volley: SELECT k, NAME(x) FROM t GROUP BY k.
package main

import "github.com/volleydb/volley/udf/sdk"

// state is what is known of the rows of a group so far. States move between
// workers: fields are exported, or have no pointers.
type state struct {
	Sum, N float64
}

// step takes one row; rows with NULL are left out.
func step(s *state, x float64) { s.Sum, s.N = s.Sum+x, s.N+1 }

// merge takes the state of other rows of the group.
func merge(into, from *state) { into.Sum, into.N = into.Sum+from.Sum, into.N+from.N }

// finish gives the result: NULL for no rows.
func finish(s *state) udf.Null[float64] {
	if s.N == 0 {
		return udf.None[float64]()
	}
	return udf.Some(s.Sum / s.N)
}

func main() {
	udf.Main(
		udf.Version("0.1"),
		udf.Aggregate("NAME", nil, step, merge, finish, udf.Immutable, udf.Args("x"), udf.Doc("the mean of x")),
	)
}
`, test: `package main

import "testing"

func TestAggregate(t *testing.T) {
	var a, b state
	step(&a, 1)
	step(&b, 2)
	step(&b, 6)
	merge(&a, &b)
	if got := finish(&a); got.V != 3 {
		t.Errorf("got %v, want 3", got)
	}
}
`, golden: `{
  "NAME": [
    {"rows": [["1"], ["2"], ["NULL"], ["6"]], "out": "3"},
    {"rows": [], "out": "NULL"}
  ]
}
`, call: "SELECT x % 2 AS k, NAME(x) FROM generate_series(1, 10) AS g(x) GROUP BY k;"},
	"grouped": {code: `// NAME is a grouped map for Volley: SELECT * FROM t GROUP BY k APPLY NAME(id, x).
// It is called once per group and gives any number of rows.
package main

import "github.com/volleydb/volley/udf/sdk"

// NAME gives each row of the group its part of the group's sum.
func NAME(ctx *udf.Context, g *udf.Group) error {
	var ids []int64
	var xs []float64
	sum := 0.0
	for g.Next() { // a group comes in batches
		ids = append(ids, g.Int64("id")...)
		for _, x := range g.Float64("x") {
			xs = append(xs, x)
			sum += x
		}
	}
	for i, id := range ids {
		g.Emit(id, xs[i]/sum)
	}
	return nil
}

func main() {
	udf.Main(
		udf.Version("0.1"),
		udf.GroupedMap("NAME",
			udf.Columns{udf.Col("id", udf.Int64), udf.Col("x", udf.Float64)},
			udf.Columns{udf.Col("id", udf.Int64), udf.Col("part", udf.Float64)},
			NAME, udf.Immutable, udf.Doc("parts of the sum of a group")),
	)
}
`, golden: `{
  "NAME": [
    {"rows": [["1", "1"], ["2", "3"]], "out_rows": [["1", "0.25"], ["2", "0.75"]]},
    {"rows": [], "out_rows": []}
  ]
}
`, call: "SELECT * FROM (SELECT x AS id, x % 2 AS k FROM generate_series(1, 6) AS g(x)) t GROUP BY k APPLY NAME(id, id);"},
	"table": {code: `// NAME is a table function for Volley: SELECT * FROM NAME('some words').
package main

import (
	"strings"

	"github.com/volleydb/volley/udf/sdk"
)

// NAME gives the words of a text, and where they stand. What is emitted goes on
// while it runs: the rows may be more than there is memory for.
func NAME(ctx *udf.Context, c *udf.TableCall) error {
	for i, w := range strings.Fields(udf.Arg[string](c, 0)) {
		c.Emit(i+1, w)
	}
	return nil
}

func main() {
	udf.Main(
		udf.Version("0.1"),
		udf.Table("NAME",
			udf.Columns{udf.Col("s", udf.String)},
			udf.Columns{udf.Col("place", udf.Int64), udf.Col("word", udf.String)},
			NAME, udf.Immutable, udf.Doc("the words of a text")),
	)
}
`, golden: `{
  "NAME": [
    {"in": ["'two words'"], "out_rows": [["1", "'two'"], ["2", "'words'"]]},
    {"in": ["''"], "out_rows": []},
    {"in": ["NULL"], "out_rows": []}
  ]
}
`, call: "SELECT * FROM NAME('some words of a text');"},
	"window": {code: `// NAME is a window function for Volley: SELECT NAME(x) OVER (PARTITION BY k ORDER BY t).
package main

import "github.com/volleydb/volley/udf/sdk"

// NAME gives each row the mean of x over its frame.
func NAME(ctx *udf.Context, p *udf.Partition, out []float64) error {
	x := udf.PartitionColumn[float64](p, 0)
	for i := range out {
		from, to := p.Frame(i)
		for _, v := range x[from:to] {
			out[i] += v / float64(to-from)
		}
	}
	return nil
}

func main() {
	udf.Main(
		udf.Version("0.1"),
		udf.Window("NAME", udf.Columns{udf.Col("x", udf.Float64)}, NAME, udf.Immutable, udf.Doc("the mean over the frame")),
	)
}
`, golden: `{
  "NAME": [
    {"rows": [["1"], ["3"], ["8"]], "out_rows": [["1"], ["2"], ["4"]]}
  ]
}
`, call: "SELECT x, NAME(x) OVER (ORDER BY x) FROM generate_series(1, 5) AS g(x);"},
}

// pythonTemplates need no packages but the module volley, which is there where the
// functions run.
var pythonTemplates = map[string]template{
	"scalar": {code: `"""NAME is a function for Volley: SELECT NAME(x, y)."""
import volley


# Called once per row, and not where an argument is NULL. With the hints pd.Series,
# np.ndarray or pa.Array it would get a batch of rows at a time.
@volley.scalar(args={"x": "float8", "y": "float8"}, returns="float8", volatility="immutable")
def NAME(x: float, y: float) -> float:
    return 2 * x + y
`, call: "SELECT x, NAME(x, 1) FROM generate_series(1, 3) AS g(x);"},
	"vectorised": {code: `"""NAME is a function for Volley: SELECT NAME(x, y)."""
import numpy as np

import volley


# Called with a batch of rows at a time; where an argument is NULL so is the result.
@volley.scalar(args={"x": "float8", "y": "float8"}, returns="float8", volatility="immutable")
def NAME(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return 2 * x + y
`, call: "SELECT x, NAME(x, 1) FROM generate_series(1, 3) AS g(x);"},
	"aggregate": {code: `"""NAME is an aggregate for Volley: SELECT k, NAME(x) FROM t GROUP BY k."""
import volley


@volley.aggregate(args={"x": "float8"}, returns="float8", volatility="immutable")
class NAME:
    """The mean of x. Its objects move between workers: they are pickled."""

    def __init__(self):
        self.sum, self.n = 0.0, 0

    def step(self, x: float):
        self.sum, self.n = self.sum + x, self.n + 1

    def merge(self, other):
        self.sum, self.n = self.sum + other.sum, self.n + other.n

    def finish(self):
        return self.sum / self.n if self.n else None
`, call: "SELECT x % 2 AS k, NAME(x) FROM generate_series(1, 10) AS g(x) GROUP BY k;"},
	"grouped": {code: `"""NAME is a grouped map for Volley: SELECT * FROM t GROUP BY k APPLY NAME(id, x)."""
import volley


# Called once per group, with a list per column. With the hint pd.DataFrame it would
# get, and could return, a DataFrame.
@volley.grouped_map(args={"id": "bigint", "x": "float8"}, columns={"id": "bigint", "part": "float8"}, volatility="immutable")
def NAME(group: dict):
    total = sum(group["x"])
    return [(i, x / total) for i, x in zip(group["id"], group["x"])]
`, call: "SELECT * FROM (SELECT x AS id, x % 2 AS k FROM generate_series(1, 6) AS g(x)) t GROUP BY k APPLY NAME(id, id);"},
	"table": {code: `"""NAME is a table function for Volley: SELECT * FROM NAME('some words')."""
import volley


@volley.table(args={"s": "text"}, columns={"place": "bigint", "word": "text"}, volatility="immutable")
def NAME(s: str):
    for i, word in enumerate(s.split()):
        yield i + 1, word
`, call: "SELECT * FROM NAME('some words of a text');"},
	"window": {code: `"""NAME is a window function for Volley: SELECT NAME(x) OVER (PARTITION BY k ORDER BY t)."""
import volley


# Called once per partition, with a list per argument; the last one is the frames.
@volley.window(args={"x": "float8"}, returns="float8", volatility="immutable")
def NAME(x: list, frames: list):
    return [sum(x[a:b]) / (b - a) for a, b in frames]
`, call: "SELECT x, NAME(x) OVER (ORDER BY x) FROM generate_series(1, 5) AS g(x);"},
}

const newReadme = `# NAME
A KIND function for Volley.

    volley udf test .              # the tests, and the cases of golden.json
    volley udf dev . --sql         # a shell that has the function, again after every change
    volley udf dev . --host HOST   # a server has it, again after every change
    volley udf build .BUILD          # an artifact, and the statements that register it
    volley udf push NAME-….vudf --host HOST

In the shell of dev --sql the function is pg_temp.NAME, and nobody else sees it; with
dev --host it is NAME, for everybody:

    CALL
`

const goldenReadme = `
The cases of golden.json travel in the artifact: CREATE FUNCTION runs them and
refuses a build that does not give their results. Values are literals of SQL:
NULL, true, 1.5, 'text', '{1,2}'. "in" are arguments, "rows" the rows of a group or
partition, "out" is a result, "out_rows" are rows of results.

.volley-sdk is the SDK's source, for editors; ` + "`volley udf build`" + ` uses its own.
`

func newUDFNew() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "new NAME",
		Short: "Make the directory of a new plugin",
		Long: `Makes the directory NAME with a plugin of one function, which has the directory's
name: in Go with a test, golden cases and a README, or in Python.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			kind, _ := cmd.Flags().GetString("kind")
			runtime, _ := cmd.Flags().GetString("runtime")
			return newPlugin(cmd, args[0], kind, runtime)
		},
	}
	cmd.Flags().String("kind", "scalar", "`kind` of function: "+strings.Join(pluginKinds, ", "))
	cmd.Flags().String("runtime", "go", "`runtime`: go, wasm or python")
	return cmd
}

// newPlugin writes the files of a new plugin.
func newPlugin(cmd *cobra.Command, dir, kind, runtime string) error {
	if !slices.Contains(pluginKinds, kind) {
		return fmt.Errorf("--kind is one of %s, not %q", strings.Join(pluginKinds, ", "), kind)
	}
	if !slices.Contains([]string{"go", "wasm", "python"}, runtime) {
		return fmt.Errorf("--runtime is go, wasm or python, not %q", runtime)
	}
	name := functionName(filepath.Base(dir))
	if name == "" {
		return fmt.Errorf("%q is no name for a function: use letters, digits and _", filepath.Base(dir))
	}
	if list, err := os.ReadDir(dir); err == nil && len(list) > 0 {
		return fmt.Errorf("%s is there already and not empty", dir)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	t := goTemplates[kind]
	files := map[string]string{}
	build := ""
	if runtime == "python" {
		t = pythonTemplates[kind]
		files[name+".py"] = t.code
		files[".gitignore"] = "__pycache__/\n*.vudf\n"
		files["README.md"] = newReadme
	} else {
		sdk, err := udf.WriteSDK(dir)
		if err != nil {
			return err
		}
		const module = "github.com/volleydb/volley"
		files["main.go"], files[udf.GoldenFile] = t.code, t.golden
		if t.test != "" {
			files["main_test.go"] = t.test
		}
		files[".gitignore"] = sdk + "/\n*.vudf\n"
		files["README.md"] = newReadme + goldenReadme
		files["go.mod"] = "module NAME\n\ngo 1.24\n\nrequire " + module + " v0.0.0\n\nreplace " + module + " => ./" + sdk + "\n"
		if runtime == "wasm" {
			build = " --runtime wasm"
		}
	}
	readme := strings.NewReplacer("KIND", kind, "CALL", t.call, "BUILD", build)
	files["README.md"] = readme.Replace(files["README.md"])
	for file, text := range files {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(strings.ReplaceAll(text, "NAME", name)), 0o644); err != nil {
			return err
		}
	}
	flag := ""
	if runtime == "wasm" {
		flag = " --runtime wasm"
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s: the %s function %s\n\nnext:\n  volley udf test %[1]s\n  volley udf dev %[1]s%[4]s --sql\n\nthere:\n  %[5]s\n", dir, kind, name, flag,
		strings.ReplaceAll(strings.ReplaceAll(t.call, "NAME", "pg_temp.NAME"), "NAME", name))
	return nil
}

// functionName makes a name that is one in Go and in SQL without quotes, "" when
// that cannot be.
func functionName(s string) string {
	s = strings.ToLower(strings.ReplaceAll(s, "-", "_"))
	for i, r := range s {
		if !(r == '_' || 'a' <= r && r <= 'z' || i > 0 && '0' <= r && r <= '9') {
			return ""
		}
	}
	switch s {
	case "main", "init", "udf", "_", "func", "type", "var", "map", "range", "select", "go", "test", "step", "merge", "finish", "state",
		"volley", "def", "class", "for", "if", "return", "in", "is", "not", "and", "or", "lambda", "with", "yield":
		return ""
	}
	return s
}
