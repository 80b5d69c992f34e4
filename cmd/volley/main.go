// Command volley is the one binary of Volley: it turns flags, environment and
// configuration file into a server, a coordinator, a worker, a shell or a
// plugin author's tool. It holds wiring and no logic.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	_ "time/tzdata" // machines without a zone database

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/volleydb/volley/coordinator"
	"github.com/volleydb/volley/pgerr"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run is main without the process: it returns the exit status.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	cmd := newRoot()
	cmd.SetArgs(args)
	cmd.SetIn(stdin)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	err := cmd.ExecuteContext(context.Background())
	if err == nil {
		return 0
	}
	var said silent
	if !errors.As(err, &said) {
		printFatal(stderr, err)
	}
	return 1
}

// silent is a failure that has been reported already.
type silent struct{ error }

func (s silent) Unwrap() error { return s.error }

func printFatal(w io.Writer, err error) {
	fmt.Fprintf(w, "volley: %v\n", err)
	var pe *pgerr.Error
	if errors.As(err, &pe) {
		if pe.Detail != "" {
			fmt.Fprintf(w, "  detail: %s\n", strings.ReplaceAll(pe.Detail, "\n", "\n  "))
		}
		if pe.Hint != "" {
			fmt.Fprintf(w, "  hint: %s\n", pe.Hint)
		}
	}
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "volley",
		Short: "A distributed SQL engine with a registry of user-defined functions in Go",
		Long: `Volley is a distributed SQL engine with a registry of user-defined functions.

  volley demo               the whole story on generated data, in a minute
  volley serve              a server on this machine: psql postgres://volley@127.0.0.1:5433/volley
  volley sql                a shell, without a server
  volley udf build DIR      a Go function becomes an artifact

Every flag can come from the environment as VOLLEY_FLAG_NAME, or from the file
given by --config as flag-name = value (TOML). The command line has precedence
over the environment, that over the file.`,
		Version:           coordinator.Version,
		SilenceErrors:     true,
		SilenceUsage:      true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return resolveFlags(cmd) },
	}
	root.SetVersionTemplate("volley {{.Version}}\n")
	root.PersistentFlags().String("config", "", "configuration `file` (TOML)")
	root.PersistentFlags().String("log-level", "info", "least severity that is logged: debug, info, warn or error")
	root.PersistentFlags().String("log-format", "text", "format of the log on stderr: text or json")
	root.SetFlagErrorFunc(flagError)
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(newServe(), newCoordinator(), newWorker(), newSQL(), newDemo(), newUDF())
	return root
}

// flagError adds the nearest flag to the complaint about an unknown one.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return err
	}
	name := unknown.GetSpecifiedName()
	if unknown.GetSpecifiedShortnames() != "" {
		return err
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	if s := nearest(name, names); s != "" {
		return fmt.Errorf("unknown flag --%s; perhaps you meant --%s", name, s)
	}
	return fmt.Errorf("unknown flag --%s; see %s --help", name, cmd.CommandPath())
}

// untilSignal returns a context that the first SIGINT or SIGTERM ends, and one
// that the second ends, for those who do not want to wait.
func untilSignal(parent context.Context) (ctx, force context.Context, stop func()) {
	force, cancelForce := context.WithCancel(parent)
	ctx, cancel := context.WithCancel(force)
	ch := make(chan os.Signal, 2)
	signal.Notify(ch, syscall.SIGINT, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		for _, f := range []func(){cancel, cancelForce} {
			select {
			case <-ch:
				f()
			case <-done:
				return
			}
		}
	}()
	return ctx, force, func() {
		signal.Stop(ch)
		close(done)
		cancel()
		cancelForce()
	}
}
