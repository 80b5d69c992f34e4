package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/spf13/cobra"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/udf"
	"github.com/volleydb/volley/vector"
)

func newUDFDebug() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "debug [CALL | DIR]",
		Short: "List calls of functions that have failed, and run one of them again",
		Long: `A server and its workers keep the batches of the last calls of scalar functions
that failed a statement, in udf/failed of their data directories. Without an
argument they are listed. CALL, a name from the list (or its beginning), or last,
is shown and made again, with the artifact it failed with; the row at fault is
searched.

With DIR, a directory of Go source, that source is built for a debugger, without
optimisations, and the call given by --batch is made with it. --wait starts the
process and waits until a debugger has attached to it, or for the return key, then
calls the function on the failing row; --dlv attaches Delve itself.

The exit status is 0 when no row fails any more.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, _, stop := untilSignal(cmd.Context())
			defer stop()
			data, err := dataDir(cmd)
			if err != nil {
				return err
			}
			calls, err := udf.RecordedCalls(filepath.Join(data, "udf", "failed"))
			if err != nil {
				return err
			}
			name, _ := cmd.Flags().GetString("batch")
			if len(args) == 0 && name == "" {
				listCalls(cmd.OutOrStdout(), calls)
				return nil
			}
			source := ""
			if len(args) > 0 {
				files, _ := filepath.Glob(filepath.Join(args[0], "*.go"))
				switch {
				case len(files) > 0:
					source = args[0]
				case name != "":
					return fmt.Errorf("there are no Go files in %s", args[0])
				default:
					name = args[0]
				}
			}
			c, err := findCall(calls, name)
			if err != nil {
				return err
			}
			return debugCall(ctx, cmd, c, source, filepath.Join(data, "artifacts"))
		},
	}
	f := cmd.Flags()
	addDataFlag(f)
	f.String("batch", "", "recorded `call` to make with DIR: its name, the beginning of it, its directory, or last (the default)")
	f.Int("rows", 10, "rows to show around the one that failed")
	f.Bool("all", false, "with --wait and --dlv: call the function on all rows, not only on the one that failed")
	f.Bool("wait", false, "wait for a debugger before the call")
	f.Bool("dlv", false, "attach Delve (dlv, which has to be on the PATH) before the call")
	return cmd
}

func listCalls(w io.Writer, calls []*udf.FailedCall) {
	if len(calls) == 0 {
		fmt.Fprintln(w, "no calls have been recorded")
		return
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "CALL\tFUNCTION\tSQLSTATE\tROW\tVALUES\tMESSAGE")
	for _, c := range calls {
		message, _, _ := strings.Cut(c.Message, "\n")
		fmt.Fprintf(t, "%s\t%s\t%s\t%d of %d\t%s\t%s\n", filepath.Base(c.Dir), functionOf(c), c.Code, c.Row+1, c.Rows, c.Values, message)
	}
	_ = t.Flush() // to a terminal or pipe whose end the next write shows
}

func functionOf(c *udf.FailedCall) string {
	if c.Version > 0 {
		return c.Function + "@" + strconv.Itoa(int(c.Version))
	}
	return c.Function
}

// findCall finds a call by its name, the beginning of it, its directory, or last.
func findCall(calls []*udf.FailedCall, name string) (*udf.FailedCall, error) {
	if _, err := os.Stat(filepath.Join(name, "call.json")); err == nil && name != "" {
		return udf.ReadRecordedCall(name)
	}
	if len(calls) > 0 && (name == "" || name == "last") {
		return calls[len(calls)-1], nil
	}
	var found *udf.FailedCall
	for _, c := range calls {
		if strings.HasPrefix(filepath.Base(c.Dir), name) {
			if found != nil {
				return nil, fmt.Errorf("several recorded calls begin with %q", name)
			}
			found = c
		}
	}
	if found == nil || name == "" {
		return nil, fmt.Errorf("there is no recorded call %q; volley udf debug lists them", name)
	}
	return found, nil
}

// debugCall shows a call and makes it again.
func debugCall(ctx context.Context, cmd *cobra.Command, c *udf.FailedCall, source, artifacts string) error {
	out := cmd.OutOrStdout()
	b, err := c.Batch()
	if err != nil {
		return err
	}
	ref, err := c.Ref()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s  %s\n%s of %s\n%s:  %s\n", filepath.Base(c.Dir), c.At.Format(time.DateTime), functionOf(c), c.Digest, c.Code, c.Message)
	printMore(out, c.Detail, "", "")
	rows, _ := cmd.Flags().GetInt("rows")
	if err := showRows(out, c, b, rows); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "volley-debug-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	wait, _ := cmd.Flags().GetBool("wait")
	dlv, _ := cmd.Flags().GetBool("dlv")
	var store *udf.Store
	if source == "" {
		if store, err = udf.OpenStore(artifacts); err != nil {
			return err
		}
		if wait || dlv {
			fmt.Fprintln(out, "The artifact has no symbols for a debugger: give the directory of its source, too.")
		}
	} else {
		a, err := udf.Build(ctx, source, udf.BuildOptions{TempDir: tmp, Debug: true})
		if err != nil {
			return err
		}
		if store, err = udf.OpenStore(filepath.Join(tmp, "artifacts")); err != nil {
			return err
		}
		if ref.Digest, err = store.PutFile(ctx, a.Path); err != nil {
			return err
		}
		fmt.Fprintf(out, "built %s for a debugger\n", source)
	}
	h, err := udf.NewHost(udf.HostConfig{Store: store, TempDir: tmp, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer h.Close()
	from, to := 0, b.Rows()
	if wait || dlv {
		ref.TimeoutMs, ref.MemoryLimit = 0, 0 // time stands still, and a debugger needs memory
		if all, _ := cmd.Flags().GetBool("all"); !all {
			from, to = c.Row, c.Row+1
		}
	}
	var debugger *exec.Cmd
	begin := time.Now()
	v, err := h.Replay(ctx, ref, b, from, to, func(pid int) (err error) {
		switch {
		case pid == 0:
			return nil
		case dlv:
			debugger, err = startDelve(ctx, cmd, pid)
		case wait:
			err = waitForDebugger(ctx, cmd, pid)
		}
		begin = time.Now()
		return err
	})
	if debugger != nil {
		defer func() { _ = debugger.Wait() }() // its user ends it
	}
	took := time.Since(begin).Round(time.Microsecond)
	if err != nil {
		var ce *udf.CallError
		row := -1
		if asCallError(err, &ce) {
			row = int(ce.Row)
		}
		if row >= 0 {
			fmt.Fprintf(out, "row %d of %d fails, after %v\n", row+1, b.Rows(), took)
		} else {
			fmt.Fprintf(out, "the call fails, after %v\n", took)
		}
		e := pgerr.From(err)
		fmt.Fprintf(out, "%s:  %s\n", e.Code, e.Message)
		printMore(out, e.Detail, e.Hint, "")
		return silent{err}
	}
	if to-from == 1 {
		text := "NULL"
		if v = v.Flatten(); !v.IsNull(0) {
			text = string(vector.AppendText(nil, v, 0, nil))
		}
		fmt.Fprintf(out, "row %d of %d does not fail: %s, after %v\n", from+1, b.Rows(), text, took)
		return nil
	}
	fmt.Fprintf(out, "none of %d rows fails, after %v\n", to-from, took)
	return nil
}

func asCallError(err error, ce **udf.CallError) bool {
	e, ok := err.(*udf.CallError)
	*ce = e
	return ok
}

const textOID = 25

// showRows prints the rows around the one that failed, which is marked.
func showRows(out io.Writer, c *udf.FailedCall, b *vector.Batch, rows int) error {
	if rows <= 0 {
		return nil
	}
	from := max(0, min(c.Row-rows/2, b.Rows()-rows))
	to := min(b.Rows(), from+rows)
	fields := []pgconn.FieldDescription{{Name: "", DataTypeOID: textOID}, {Name: "row", DataTypeOID: oidInt8}}
	for i := range b.NumCols() {
		name := "arg" + strconv.Itoa(i+1)
		if i < len(c.Names) && c.Names[i] != "" {
			name = c.Names[i]
		}
		oid := uint32(textOID)
		if b.Col(i).Type.IsNumeric() {
			oid = oidInt8
		}
		fields = append(fields, pgconn.FieldDescription{Name: name, DataTypeOID: oid})
	}
	w := newRowWriter("table", false, out)
	if err := w.begin(fields); err != nil {
		return err
	}
	for r := from; r < to; r++ {
		mark := ""
		if r == c.Row {
			mark = ">"
		}
		vals := [][]byte{[]byte(mark), strconv.AppendInt(nil, int64(r+1), 10)}
		for i := range b.NumCols() {
			v := vector.Slice(b.Col(i), r, r+1).Flatten()
			if v.IsNull(0) {
				vals = append(vals, nil)
				continue
			}
			vals = append(vals, vector.AppendText([]byte{}, v, 0, nil))
		}
		if err := w.row(vals); err != nil {
			return err
		}
	}
	return w.end()
}

// waitForDebugger returns when a debugger has attached to the process, or at the
// return key.
func waitForDebugger(ctx context.Context, cmd *cobra.Command, pid int) error {
	out := cmd.OutOrStdout()
	fmt.Fprintf(out, "the function's process is %d\n", pid)
	if path, err := exec.LookPath("dlv"); err == nil {
		fmt.Fprintf(out, "  %s attach %d\n", path, pid)
	}
	fmt.Fprintln(out, "waiting for a debugger, or the return key")
	key := make(chan struct{}, 1)
	go func() { // ends with the program's input at the latest
		_, _ = bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
		key <- struct{}{}
	}()
	t := time.NewTicker(100 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-key:
			return nil
		case <-t.C:
			if traced(pid) {
				return nil
			}
		}
	}
}

// startDelve runs dlv on the terminal and returns when it has attached.
func startDelve(ctx context.Context, cmd *cobra.Command, pid int) (*exec.Cmd, error) {
	if runtime.GOOS != "linux" {
		return nil, fmt.Errorf("--dlv is for Linux: use --wait, and attach the debugger by hand")
	}
	path, err := exec.LookPath("dlv")
	if err != nil {
		return nil, fmt.Errorf("Delve is not installed: go install github.com/go-delve/delve/cmd/dlv@latest")
	}
	d := exec.CommandContext(ctx, path, "attach", strconv.Itoa(pid))
	d.Stdin, d.Stdout, d.Stderr = cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr()
	if err := d.Start(); err != nil {
		return nil, err
	}
	for !traced(pid) {
		select {
		case <-ctx.Done():
			_ = d.Wait()
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
		if exited(d.Process.Pid) {
			return nil, fmt.Errorf("dlv did not attach: %v", d.Wait())
		}
	}
	return d, nil
}

// status is a line of /proc/PID/status, "" where there is none.
func status(pid int, key string) string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for _, line := range strings.Split(string(b), "\n") {
		if v, ok := strings.CutPrefix(line, key+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func traced(pid int) bool {
	v := status(pid, "TracerPid")
	return v != "" && v != "0"
}

func exited(pid int) bool { return strings.HasPrefix(status(pid, "State"), "Z") }
