package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/volleydb/volley/udf"
)

func newUDFTest() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "test [DIR]",
		Short: "Run a plugin's Go tests and its golden cases",
		Long: `Runs go test in DIR with this binary's SDK, builds the plugin, and calls its
functions in a process of their own, as a server would, with the cases of
golden.json. Of a directory of Python it loads the functions.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := "."
			if len(args) > 0 {
				dir = args[0]
			}
			ctx, _, stop := untilSignal(cmd.Context())
			defer stop()
			run, _ := cmd.Flags().GetString("run")
			if !udf.IsPythonDir(dir) {
				out, err := udf.GoTest(ctx, dir, "-run="+run)
				cmd.OutOrStdout().Write(out)
				if err != nil {
					return err
				}
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
