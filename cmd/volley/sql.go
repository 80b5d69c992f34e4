package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func newSQL() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sql",
		Short: "Run statements, or a shell, in this process or against a server",
		Long: `Without --host the data directory is opened in this process; no server is
needed, and none may be running on it. With --host it talks to a server.

Without -c and -f it reads statements from the terminal (help: \?) or, when that
is none, from standard input. With -c or -f the exit status is 1 after an error,
and nothing that follows it is run.`,
		Args: cobra.NoArgs,
		RunE: sqlCommand,
	}
	addClientFlags(cmd)
	f := cmd.Flags()
	f.StringArrayP("command", "c", nil, "run `SQL` or a backslash command, then exit; repeatable")
	f.StringArrayP("file", "f", nil, "run the statements of a `file` (- is standard input), then exit; repeatable")
	f.String("format", "table", "how results are printed: table, csv or json")
	f.BoolP("expanded", "x", false, "a line per value in tables")
	f.Bool("timing", false, "print how long each statement took")
	cmd.MarkFlagsMutuallyExclusive("command", "file")
	return cmd
}

func sqlCommand(cmd *cobra.Command, _ []string) error {
	f := cmd.Flags()
	commands, _ := f.GetStringArray("command")
	files, _ := f.GetStringArray("file")
	format, _ := f.GetString("format")
	if !slices.Contains(formats, format) {
		return fmt.Errorf("--format is %s, not %q", strings.Join(formats, ", "), format)
	}
	if !f.Changed("log-level") {
		// A shell's stderr is for its user.
		if _, ok := os.LookupEnv(envName("log-level")); !ok {
			_ = f.Set("log-level", "error")
		}
	}
	c, err := connect(cmd.Context(), cmd)
	if err != nil {
		return err
	}
	s := &shell{c: c, ctx: cmd.Context(), in: bufio.NewReader(cmd.InOrStdin()), out: cmd.OutOrStdout(), err: cmd.ErrOrStderr(), format: format}
	s.expanded, _ = f.GetBool("expanded")
	s.timing, _ = f.GetBool("timing")
	c.onNotice = s.notice
	defer s.watchInterrupts()()
	err = func() error {
		switch {
		case len(commands) > 0:
			for _, text := range commands {
				if err := s.script(bufio.NewReader(strings.NewReader(text)), ""); err != nil {
					return err
				}
			}
			return nil
		case len(files) > 0:
			for _, name := range files {
				if err := s.file(name); err != nil {
					return err
				}
			}
			return nil
		case isTerminal(cmd.InOrStdin()):
			return s.interact()
		}
		return s.script(s.in, "stdin")
	}()
	if errors.Is(err, errQuit) {
		err = nil
	}
	return errors.Join(err, c.close())
}

func isTerminal(f any) bool {
	file, ok := f.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// file runs the statements of a file; "-" is standard input.
func (s *shell) file(name string) error {
	if name == "-" {
		return s.script(s.in, "stdin")
	}
	f, err := os.Open(name)
	if err != nil {
		fmt.Fprintf(s.err, "error: %v\n", err)
		return silent{err}
	}
	defer f.Close()
	return s.script(bufio.NewReader(f), name)
}

// script runs what r has, statement after statement, up to the first error,
// which it reports. Lines after COPY … FROM STDIN are its data up to \. when the
// script has a name; a script of -c takes the data from standard input.
func (s *shell) script(r *bufio.Reader, name string) error {
	b := statementBuffer{}
	lineNo := 0
	for {
		line, err := r.ReadString('\n')
		if err != nil && err != io.EOF {
			fmt.Fprintf(s.err, "error: %v\n", err)
			return silent{err}
		}
		last := err == io.EOF
		if line != "" {
			lineNo++
		}
		prefix := ""
		if name != "" {
			prefix = fmt.Sprintf("%s:%d: ", name, lineNo)
		}
		data := &copyData{r: s.in, whole: true}
		if name != "" {
			data = &copyData{r: r}
		}
		if err := s.feed(&b, line, last, prefix, data); err != nil {
			return err
		}
		if last {
			return nil
		}
	}
}
