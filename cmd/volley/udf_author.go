package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/volleydb/volley/udf"
)

// The files of a new plugin; NAME is its function.
const (
	newMain = `// NAME is a function for Volley: SELECT NAME(x, y).
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
`
	newTest = `package main

import "testing"

func TestFunction(t *testing.T) {
	if got := NAME(1, 2); got != 4 {
		t.Errorf("NAME(1, 2) = %v, want 4", got)
	}
}
`
	newGolden = `{
  "NAME": [
    {"in": ["1", "2"], "out": "4"},
    {"in": ["0.5", "-1"], "out": "0"},
    {"in": ["NULL", "1"], "out": "NULL"}
  ]
}
`
	newReadme = `# NAME

A function for Volley.

    volley udf test .           # go test, and the cases of golden.json
    volley udf dev .            # build, register and serve again at every change
    volley udf build .          # an artifact, and the statements that register it
    volley udf push NAME-….vudf --host HOST

The cases of golden.json travel in the artifact: CREATE FUNCTION runs them and
refuses a build that does not give their results. Values are literals of SQL:
NULL, true, 1.5, 'text', '{1,2}'. An aggregate or grouped map has "rows" (of one
group) in place of "in", and a grouped map "out_rows" in place of "out".

.volley-sdk is the SDK's source, for editors; ` + "`volley udf build`" + ` uses its own.
`
)

func newUDFNew() *cobra.Command {
	return &cobra.Command{
		Use:   "new NAME",
		Short: "Make the directory of a new plugin",
		Long: `Makes the directory NAME with a Go plugin of one function, a test, golden cases
and a README. The function has the directory's name.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := args[0]
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
			sdk, err := udf.WriteSDK(dir)
			if err != nil {
				return err
			}
			const module = "github.com/volleydb/volley"
			for file, text := range map[string]string{
				"main.go": newMain, "main_test.go": newTest, udf.GoldenFile: newGolden, "README.md": newReadme, ".gitignore": sdk + "/\n*.vudf\n",
				"go.mod": "module NAME\n\ngo 1.24\n\nrequire " + module + " v0.0.0\n\nreplace " + module + " => ./" + sdk + "\n",
			} {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(strings.ReplaceAll(text, "NAME", name)), 0o644); err != nil {
					return err
				}
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: function %s(x, y)\n\nnext:\n  volley udf test %[1]s\n  volley udf dev %[1]s --host localhost\n", dir, name)
			return nil
		},
	}
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
	case "main", "init", "udf", "_", "func", "type", "var", "map", "range", "select", "go", "test":
		return ""
	}
	return s
}

func newUDFTest() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "test [DIR]",
		Short: "Run a plugin's Go tests and its golden cases",
		Long: `Runs go test in DIR with this binary's SDK, builds the plugin, and calls its
functions in a process of their own, as a server would, with the cases of
golden.json.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := "."
			if len(args) > 0 {
				dir = args[0]
			}
			ctx, _, stop := untilSignal(cmd.Context())
			defer stop()
			run, _ := cmd.Flags().GetString("run")
			out, err := udf.GoTest(ctx, dir, "-run="+run)
			cmd.OutOrStdout().Write(out)
			if err != nil {
				return err
			}
			tmp, err := os.MkdirTemp("", "volley-udf-")
			if err != nil {
				return err
			}
			defer os.RemoveAll(tmp)
			a, err := udf.Build(ctx, dir, udf.BuildOptions{TempDir: tmp})
			if err != nil {
				return err
			}
			store, err := udf.OpenStore(filepath.Join(tmp, "store"))
			if err != nil {
				return err
			}
			if _, err := store.PutFile(ctx, a.Path); err != nil {
				return err
			}
			for i := range a.Manifest.Functions {
				f := &a.Manifest.Functions[i]
				n, err := udf.RunGolden(ctx, store, a.Digest, f.Name)
				if err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "ok  \t%s\t%d golden cases\n", udf.Signature(f), n)
			}
			return nil
		},
	}
	cmd.Flags().String("run", ".", "only Go tests that match `regexp`")
	return cmd
}

func newUDFDev() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dev DIR",
		Short: "Build and register a plugin again whenever it changes",
		Long: `Builds the plugin in DIR, sends it to the server and registers all its functions
with CREATE OR REPLACE, now and after every change of a file. Running statements
end with the version that they began with.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if host, _ := cmd.Flags().GetString("host"); host == "" {
				if err := cmd.Flags().Set("host", "localhost"); err != nil {
					return err
				}
			}
			ctx, _, stop := untilSignal(cmd.Context())
			defer stop()
			once, _ := cmd.Flags().GetBool("once")
			c, err := connect(ctx, cmd)
			if err != nil {
				return err
			}
			err = develop(ctx, cmd, c, args[0], once)
			return errors.Join(err, c.close())
		},
	}
	addClientFlags(cmd)
	cmd.Flags().Bool("once", false, "build and register once, and do not wait for changes")
	return cmd
}

// watchEvery is how often files are looked at.
const watchEvery = 150 * time.Millisecond

// develop is the loop of volley udf dev.
func develop(ctx context.Context, cmd *cobra.Command, c *client, dir string, once bool) error {
	seen := ""
	for {
		now, err := fingerprint(dir)
		if err != nil {
			return err
		}
		if now != seen {
			seen = now
			if err := serveOnce(ctx, cmd, c, dir); err != nil {
				if once || ctx.Err() != nil || c.conn.IsClosed() {
					return err
				}
				printError(cmd.ErrOrStderr(), "", "", err)
			}
		}
		if once {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(watchEvery):
		}
	}
}

// fingerprint changes when a file of the plugin does.
func fingerprint(dir string) (string, error) {
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != dir && strings.HasPrefix(d.Name(), ".") {
			return filepath.SkipDir
		}
		if ext := filepath.Ext(path); d.IsDir() || ext != ".go" && ext != ".json" && ext != ".mod" && ext != ".sum" {
			return nil
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil // an editor's temporary file
		}
		if err == nil {
			fmt.Fprintf(&b, "%s %d %d\n", path, info.Size(), info.ModTime().UnixNano())
		}
		return err
	})
	return b.String(), err
}

// serveOnce builds, uploads and registers.
func serveOnce(ctx context.Context, cmd *cobra.Command, c *client, dir string) error {
	start := time.Now()
	tmp, err := os.MkdirTemp("", "volley-udf-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	a, err := udf.Build(ctx, dir, udf.BuildOptions{TempDir: tmp})
	if err != nil {
		return err
	}
	data, err := os.ReadFile(a.Path)
	if err != nil {
		return err
	}
	built := time.Since(start)
	const byteaOID, binary = 17, 1
	if r := c.conn.ExecParams(ctx, "SELECT volley.put_artifact($1)", [][]byte{data}, []uint32{byteaOID}, []int16{binary}, nil).Read(); r.Err != nil {
		return r.Err
	}
	statements := strings.NewReplacer("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", "CREATE AGGREGATE", "CREATE OR REPLACE AGGREGATE").
		Replace(declarations(a.Manifest, a.Digest))
	if _, err := c.conn.Exec(ctx, statements).ReadAll(); err != nil {
		return err
	}
	for i := range a.Manifest.Functions {
		fmt.Fprintf(cmd.OutOrStdout(), "serving %s\n", udf.Signature(&a.Manifest.Functions[i]))
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s@%s built in %v, serving after %v\n", a.Name, a.Digest[:19], built.Round(time.Millisecond), time.Since(start).Round(time.Millisecond))
	return nil
}
