package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/spf13/cobra"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/udf"
)

func newUDFDev() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dev DIR",
		Short: "Build and register a plugin again whenever it changes",
		Long: `Builds the plugin in DIR, sends it to the server and registers all its functions
with CREATE OR REPLACE, now and after every change of a file. Running statements
end with the version that they began with.

With --sql it is a shell, too, and the functions are those of its session: they are
called pg_temp.name, nobody else sees them, and they are gone when the shell ends.
Without --host the shell opens the data directory in this process, as volley sql
does.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f := cmd.Flags()
			sql, _ := f.GetBool("sql")
			if host, _ := f.GetString("host"); host == "" && !sql {
				if err := f.Set("host", "localhost"); err != nil {
					return err
				}
			}
			if sql {
				return devShell(cmd, args[0])
			}
			ctx, _, stop := untilSignal(cmd.Context())
			defer stop()
			c, err := connect(ctx, cmd)
			if err != nil {
				return err
			}
			once, _ := f.GetBool("once")
			d := newDeveloper(cmd, c, args[0], false)
			return errors.Join(d.loop(ctx, once), c.close())
		},
	}
	addClientFlags(cmd)
	f := cmd.Flags()
	f.Bool("once", false, "build and register once, and do not wait for changes")
	f.Bool("sql", false, "open a shell whose session has the functions in pg_temp")
	f.String("runtime", "", "`runtime` to build for: see volley udf build")
	cmd.MarkFlagsMutuallyExclusive("once", "sql")
	return cmd
}

// devShell is volley udf dev --sql: a shell, and a loop that registers between its
// statements.
func devShell(cmd *cobra.Command, dir string) error {
	if !cmd.Flags().Changed("log-level") {
		if _, ok := os.LookupEnv(envName("log-level")); !ok {
			_ = cmd.Flags().Set("log-level", "error")
		}
	}
	c, err := connect(cmd.Context(), cmd)
	if err != nil {
		return err
	}
	s := &shell{c: c, ctx: cmd.Context(), in: bufio.NewReader(cmd.InOrStdin()), out: cmd.OutOrStdout(), err: cmd.ErrOrStderr(), format: "table", shared: true}
	c.onNotice = s.notice
	d := newDeveloper(cmd, c, dir, true)
	d.turn = &s.turn
	d.out = cmd.ErrOrStderr()
	seen, err := fingerprint(dir)
	if err == nil {
		err = d.serve(cmd.Context())
	}
	if err != nil {
		printError(cmd.ErrOrStderr(), "", "", err) // the next change may mend it
	}
	ctx, cancel := context.WithCancel(cmd.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.seen = seen
		_ = d.loop(ctx, false)
	}()
	defer s.watchInterrupts()()
	if isTerminal(cmd.InOrStdin()) {
		err = s.interact()
	} else {
		err = s.script(s.in, "stdin")
	}
	if errors.Is(err, errQuit) {
		err = nil
	}
	cancel()
	<-done
	return errors.Join(err, c.close())
}

// developer builds and registers a plugin.
type developer struct {
	c    *client
	dir  string
	opts udf.BuildOptions
	temp bool // into pg_temp
	out  interface{ Write([]byte) (int, error) }
	err  interface{ Write([]byte) (int, error) }
	turn *sync.Mutex // held while the connection is used
	seen string      // fingerprint of what was built last
	made []string    // functions that the last registration has made: "FUNCTION pg_temp.f(…)"
}

func newDeveloper(cmd *cobra.Command, c *client, dir string, temp bool) *developer {
	d := &developer{c: c, dir: dir, temp: temp, out: cmd.OutOrStdout(), err: cmd.ErrOrStderr(), turn: new(sync.Mutex)}
	d.opts.Runtime, _ = cmd.Flags().GetString("runtime")
	return d
}

// watchEvery is how often files are looked at.
const watchEvery = 150 * time.Millisecond

// loop registers after every change, until ctx ends.
func (d *developer) loop(ctx context.Context, once bool) error {
	for {
		now, err := fingerprint(d.dir)
		if err != nil {
			return err
		}
		if now != d.seen {
			d.seen = now
			if err := d.serve(ctx); err != nil {
				if once || ctx.Err() != nil || d.c.conn.IsClosed() {
					return err
				}
				printError(d.err, "", "", err)
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
		if d.IsDir() && path != dir && (strings.HasPrefix(d.Name(), ".") || d.Name() == "__pycache__") {
			return filepath.SkipDir
		}
		if d.IsDir() || !slices.Contains([]string{".go", ".json", ".mod", ".sum", ".py", ".txt", ".wasm"}, filepath.Ext(path)) {
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

// serve builds, uploads and registers.
func (d *developer) serve(ctx context.Context) error {
	start := time.Now()
	tmp, err := os.MkdirTemp("", "volley-udf-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	o := d.opts
	o.TempDir = tmp
	a, err := udf.Build(ctx, d.dir, o)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(a.Path)
	if err != nil {
		return err
	}
	built := time.Since(start)
	statements, made := registrations(a.Manifest, a.Digest, d.temp)
	if err := d.idle(ctx); err != nil {
		return err
	}
	defer d.turn.Unlock()
	const byteaOID, binary = 17, 1
	if r := d.c.conn.ExecParams(ctx, "SELECT volley.put_artifact($1)", [][]byte{data}, []uint32{byteaOID}, []int16{binary}, nil).Read(); r.Err != nil {
		return r.Err
	}
	if d.temp {
		if err := d.dropOld(ctx, made); err != nil {
			return err
		}
	}
	for i, sql := range statements {
		_, err := d.c.conn.Exec(ctx, sql).ReadAll()
		var pe *pgconn.PgError
		if d.temp && errors.As(err, &pe) && pe.Code == pgerr.InvalidFunctionDefinition && strings.HasPrefix(pe.Message, "cannot change") {
			// Nothing depends on it: it can begin anew.
			if _, err = d.c.conn.Exec(ctx, "DROP "+made[i]).ReadAll(); err == nil {
				_, err = d.c.conn.Exec(ctx, sql).ReadAll()
			}
		}
		if err != nil {
			return err
		}
	}
	d.made = made
	for i := range a.Manifest.Functions {
		prefix := ""
		if d.temp {
			prefix = "pg_temp."
		}
		fmt.Fprintf(d.out, "serving %s%s\n", prefix, udf.Signature(&a.Manifest.Functions[i]))
	}
	fmt.Fprintf(d.out, "%s@%s built in %v, serving after %v\n", a.Name, a.Digest[:19], built.Round(time.Millisecond), time.Since(start).Round(time.Millisecond))
	return nil
}

// idle takes the connection when no transaction is open on it: a registration must
// not become part of one.
func (d *developer) idle(ctx context.Context) error {
	for {
		d.turn.Lock()
		if d.c.conn.IsClosed() || d.c.conn.TxStatus() == 'I' {
			return nil
		}
		d.turn.Unlock()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(watchEvery):
		}
	}
}

// dropOld removes what the last build had and this one has not.
func (d *developer) dropOld(ctx context.Context, made []string) error {
	for _, f := range d.made {
		if slices.Contains(made, f) {
			continue
		}
		if _, err := d.c.conn.Exec(ctx, "DROP "+f).ReadAll(); err != nil {
			return err
		}
	}
	return nil
}

// registrations are the statements that make or replace the functions of an
// artifact, and how DROP calls each of them.
func registrations(m *udf.Manifest, digest string, temp bool) (statements, made []string) {
	for i := range m.Functions {
		f := m.Functions[i]
		one := *m
		one.Functions = []udf.ManifestFunction{f}
		sql := strings.TrimSpace(declarations(&one, digest))
		kind := "FUNCTION"
		if f.Kind == "aggregate" {
			kind = "AGGREGATE"
		}
		into := "CREATE OR REPLACE " + kind + " "
		if temp {
			into += "pg_temp."
		}
		sql = into + strings.TrimPrefix(sql, "CREATE "+kind+" ")
		statements = append(statements, sql)
		head := strings.TrimPrefix(sql, "CREATE OR REPLACE ")
		if at := strings.IndexByte(head, '\n'); at > 0 {
			head = head[:at]
		}
		made = append(made, strings.TrimSuffix(strings.TrimSpace(head), " ("))
	}
	return statements, made
}
