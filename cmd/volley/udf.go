package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/spf13/cobra"

	"github.com/volleydb/volley/parser"
	"github.com/volleydb/volley/udf"
)

func newUDF() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "udf",
		Short: "Write, build, test, upload and list user-defined functions",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newUDFNew(), newUDFBuild(), newUDFTest(), newUDFDev(), newUDFPush(), newUDFPull(), newUDFSign(), newUDFKeygen(), newUDFList(), newUDFDebug())
	return cmd
}

func newUDFBuild() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "build DIR",
		Short: "Compile a Go plugin into an artifact",
		Long: `Compiles the main package in DIR, which calls udf.Main with its functions, into
an artifact: a file with a description and a static binary, named by the digest
of its content. The same source gives the same digest. No Volley module needs to
be downloaded: the SDK's source is in this binary.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f := cmd.Flags()
			var o udf.BuildOptions
			o.Output, _ = f.GetString("output")
			o.Name, _ = f.GetString("name")
			// pflag's own meaning of --version is the program's.
			o.Version, _ = f.GetString("artifact-version")
			o.Platforms, _ = f.GetStringSlice("platform")
			o.Runtime, _ = f.GetString("runtime")
			o.Deterministic, _ = f.GetBool("deterministic")
			ctx, _, stop := untilSignal(cmd.Context())
			defer stop()
			a, err := buildArtifact(ctx, args[0], o)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			fmt.Fprintf(out, "%s@%s\n%s\n\n-- after volley udf push %[3]s:\n%s", a.Name, a.Digest, a.Path, declarations(a.Manifest, a.Digest))
			return nil
		},
	}
	f := cmd.Flags()
	f.StringP("output", "o", "", "artifact `file` (default: NAME-DIGEST.vudf in the current directory)")
	f.String("name", "", "name of the artifact (default: what the source says, or the directory's name)")
	f.String("artifact-version", "", "version of the artifact (default: what the source says)")
	f.StringSlice("platform", nil, "`os/arch` to build for, repeatable (default: this machine's)")
	f.String("runtime", "", "`runtime` to build for: go, a process of its own, wasm, a sandboxed module, or python (default: what DIR holds)")
	f.Bool("deterministic", false, "with --runtime wasm: the module sees the same clock and random numbers in every run")
	return cmd
}

// buildArtifact builds into the current directory unless o names a file.
func buildArtifact(ctx context.Context, dir string, o udf.BuildOptions) (*udf.Artifact, error) {
	if o.Output != "" {
		return udf.Build(ctx, dir, o)
	}
	tmp, err := os.MkdirTemp("", "volley-udf-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	o.TempDir = tmp
	a, err := udf.Build(ctx, dir, o)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(a.Path)
	if err != nil {
		return nil, err
	}
	a.Path = filepath.Base(a.Path)
	return a, os.WriteFile(a.Path, data, 0o644)
}

// declarations are statements that register all functions of an artifact.
func declarations(m *udf.Manifest, digest string) string {
	return declarationsAs(m, m.Name+"@"+digest)
}

// declarationsAs is declarations with another name of the artifact.
func declarationsAs(m *udf.Manifest, artifact string) string {
	var b strings.Builder
	typed := func(ps []udf.ManifestParam, sep string) string {
		var out []string
		for _, p := range ps {
			s := "TYPE" // Python says no types: they are the statement's
			if t, ok := udf.SQLType(p); ok {
				s = t.String()
			}
			if p.Name != "" {
				s = parser.QuoteIdent(p.Name) + " " + s
			}
			out = append(out, s)
		}
		return strings.Join(out, sep)
	}
	ref := parser.QuoteLiteral(artifact)
	for i := range m.Functions {
		f := &m.Functions[i]
		name, symbol := parser.QuoteIdent(strings.ToLower(f.Name)), parser.QuoteLiteral(f.Name)
		switch f.Kind {
		case "aggregate":
			fmt.Fprintf(&b, "CREATE AGGREGATE %s(%s) (\n  ARTIFACT = %s, SYMBOL = %s, LANGUAGE = %s);\n", name, typed(f.Args, ", "), ref, symbol, m.RuntimeName())
			continue
		case "grouped_map", "table":
			fmt.Fprintf(&b, "CREATE FUNCTION %s(%s)\n  RETURNS TABLE (%s)", name, typed(f.Args, ", "), typed(f.Columns, ", "))
		default:
			returns := "TYPE"
			if f.Returns != nil {
				returns = typed([]udf.ManifestParam{{Type: f.Returns.Type}}, "")
			}
			fmt.Fprintf(&b, "CREATE FUNCTION %s(%s)\n  RETURNS %s", name, typed(f.Args, ", "), returns)
		}
		window := ""
		if f.Kind == "window" {
			window = " WINDOW"
		}
		fmt.Fprintf(&b, "\n  AS %s, %s\n  LANGUAGE %s %s%s;\n", ref, symbol, m.RuntimeName(), strings.ToUpper(f.Volatility), window)
	}
	return b.String()
}

func newUDFPush() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "push ARTIFACT [oci://REGISTRY/REPOSITORY:TAG]",
		Short: "Send an artifact to a server, into a data directory or to a registry",
		Long: `With --host the artifact goes to a server, as SELECT volley.put_artifact(…) would
send it. Without, it goes straight into the data directory, where a server that
runs on it finds it, too. With an oci:// reference it goes to an OCI registry;
ARTIFACT may then also be name@digest in the data directory. Credentials are
those of Docker's configuration. Signatures in ARTIFACT.sig, which volley udf sign
writes, travel along.`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 {
				return pushToRegistry(cmd, args[0], args[1])
			}
			ref, m, digest, err := push(cmd, args[0])
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s\n\n%s", ref, declarations(m, digest))
			return nil
		},
	}
	addClientFlags(cmd)
	addRegistryFlags(cmd)
	return cmd
}

func push(cmd *cobra.Command, path string) (ref string, m *udf.Manifest, digest string, err error) {
	host, _ := cmd.Flags().GetString("host")
	open := func() (*udf.Store, func(), error) {
		s, err := openArtifacts(cmd)
		return s, func() {}, err
	}
	if host != "" { // a store of our own checks the file before it travels, and reads its manifest
		open = temporaryStore
	}
	store, remove, err := open()
	if err != nil {
		return "", nil, "", err
	}
	defer remove()
	if digest, err = store.PutFile(cmd.Context(), path); err != nil {
		return "", nil, "", err
	}
	if m, err = store.Manifest(digest); err != nil {
		return "", nil, "", err
	}
	if host != "" {
		list, err := store.Signatures(digest)
		if err != nil {
			return "", nil, "", err
		}
		if err := putArtifact(cmd.Context(), cmd, path, list); err != nil {
			return "", nil, "", err
		}
	}
	return m.Name + "@" + digest, m, digest, nil
}

// reported prints a server's error with its hints.
func reported(cmd *cobra.Command, err error) error {
	var pe *pgconn.PgError
	if !errors.As(err, &pe) {
		return err
	}
	printError(cmd.ErrOrStderr(), "", "", err)
	return silent{err}
}

func openArtifacts(cmd *cobra.Command) (*udf.Store, error) {
	dir, err := dataDir(cmd)
	if err != nil {
		return nil, err
	}
	return udf.OpenStore(filepath.Join(dir, "artifacts"))
}

func newUDFList() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the artifacts of a server or a data directory",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			host, _ := cmd.Flags().GetString("host")
			if host == "" {
				store, err := openArtifacts(cmd)
				if err != nil {
					return err
				}
				list, err := store.List()
				if err != nil {
					return err
				}
				for _, e := range list {
					printArtifact(cmd.OutOrStdout(), e.Digest, e.Manifest, e.SignedBy)
				}
				return nil
			}
			c, err := connect(cmd.Context(), cmd)
			if err != nil {
				return err
			}
			_, rows, err := c.query(cmd.Context(), "SELECT digest, manifest, array_to_string(signed_by, '\n') FROM volley.artifacts ORDER BY name, digest")
			if err != nil {
				return errors.Join(reported(cmd, err), c.close())
			}
			for _, r := range rows {
				var m udf.Manifest
				if err := json.Unmarshal(r[1], &m); err != nil {
					return errors.Join(fmt.Errorf("manifest of %s: %w", r[0], err), c.close())
				}
				printArtifact(cmd.OutOrStdout(), string(r[0]), &m, strings.FieldsFunc(string(r[2]), func(c rune) bool { return c == '\n' }))
			}
			return c.close()
		},
	}
	addClientFlags(cmd)
	return cmd
}

// printArtifact writes name@digest and, below, what is in it.
func printArtifact(w io.Writer, digest string, m *udf.Manifest, signers []string) {
	fmt.Fprintf(w, "%s@%s", m.Name, digest)
	if m.Version != "" {
		fmt.Fprintf(w, "  version %s", m.Version)
	}
	fmt.Fprintln(w)
	fmt.Fprint(w, signedBy(signers))
	for i := range m.Functions {
		fmt.Fprintf(w, "  %-11s %s\n", strings.ReplaceAll(m.Functions[i].Kind, "_", " "), udf.Signature(&m.Functions[i]))
	}
}
