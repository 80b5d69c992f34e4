package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/spf13/cobra"

	"github.com/volleydb/volley/coordinator"
	"github.com/volleydb/volley/parser"
	"github.com/volleydb/volley/pgwire"
)

// client is a connection to a server: one elsewhere, or one in this process.
// Both speak the Postgres protocol, so that a statement does the same in both.
type client struct {
	conn *pgconn.PgConn
	// progress tells how far the running query is, 0…1; nil when the server
	// cannot be asked.
	progress func() (float64, bool)
	onNotice func(*pgconn.Notice)
	// ready, if any, is closed when the parser in this process has started; a
	// statement before that would not see a cancel.
	ready <-chan struct{}
	// local is the engine in this process, nil with a server elsewhere.
	local *coordinator.Server
	close func() error
}

func addClientFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	addDataFlag(f)
	addSetFlag(f)
	f.String("host", "", "`host` of a server, or its postgres:// address; without it the data directory is opened in this process")
	f.Int("port", 5433, "`port` of the server")
	f.String("user", "volley", "role to connect as")
	f.String("dbname", "volley", "database to connect to")
	f.String("password-env", "PGPASSWORD", "environment `variable` that has the password")
	f.String("sslmode", "prefer", "disable, prefer, require, verify-ca or verify-full")
}

// connect opens the connection that the flags ask for.
func connect(ctx context.Context, cmd *cobra.Command) (*client, error) {
	host, _ := cmd.Flags().GetString("host")
	values, sources, err := sessionDefaults(cmd)
	if err != nil {
		return nil, err
	}
	if host == "" {
		dir, err := dataDir(cmd)
		if err != nil {
			return nil, err
		}
		log, err := newLog(cmd)
		if err != nil {
			return nil, err
		}
		user, _ := cmd.Flags().GetString("user")
		return connectLocal(ctx, coordinator.OpenConfig{Dir: dir, RunLocally: true, Memory: limitMemory(), Collector: true, Defaults: values, Sources: sources, Log: log}, user)
	}
	return connectRemote(ctx, cmd, host, values)
}

func connectRemote(ctx context.Context, cmd *cobra.Command, host string, settings map[string]string) (*client, error) {
	f := cmd.Flags()
	text := host
	if !strings.Contains(host, "://") {
		quote := func(s string) string {
			return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
		}
		port, _ := f.GetInt("port")
		user, _ := f.GetString("user")
		db, _ := f.GetString("dbname")
		ssl, _ := f.GetString("sslmode")
		text = fmt.Sprintf("host=%s port=%d user=%s dbname=%s sslmode=%s", quote(host), port, quote(user), quote(db), quote(ssl))
	}
	cfg, err := pgconn.ParseConfig(text)
	if err != nil {
		return nil, fmt.Errorf("could not read the server's address: %w", err)
	}
	if env, _ := f.GetString("password-env"); env != "" && cfg.Password == "" {
		if v, ok := os.LookupEnv(env); ok {
			cfg.Password = v
		} else if f.Changed("password-env") {
			return nil, fmt.Errorf("the environment variable %s of --password-env is not set", env)
		}
	}
	for k, v := range settings {
		cfg.RuntimeParams[k] = v
	}
	c := &client{}
	if err := c.dial(ctx, cfg); err != nil {
		return nil, err
	}
	c.close = func() error { return closeConn(c.conn) }
	return c, nil
}

// connectLocal opens a data directory and connects to it without a socket.
func connectLocal(ctx context.Context, o coordinator.OpenConfig, user string) (*client, error) {
	warm := make(chan struct{})
	go func() { defer close(warm); parser.Warm(1) }()
	server, err := coordinator.Open(ctx, o)
	if err != nil {
		<-warm
		return nil, err
	}
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	pg := pgwire.New(pgwire.Config{NewSession: sessions(server), Auth: pgwire.AuthTrust, Logger: log,
		Version: "15.0 (Volley " + coordinator.Version + ")"})
	ln := newPipeListener()
	served := make(chan error, 1)
	go func() { served <- pg.Serve(context.Background(), ln) }()
	c := &client{local: server, ready: warm}
	c.close = func() error {
		err := closeConn(c.conn)
		grace, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = pg.Shutdown(grace) // cancels what still runs
		<-warm
		return errors.Join(err, <-served, server.Close())
	}
	cfg, err := pgconn.ParseConfig("host=127.0.0.1 dbname=volley sslmode=disable")
	if err == nil {
		cfg.User, cfg.DialFunc = user, ln.dial
		err = c.dial(ctx, cfg)
	}
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	c.progress = func() (float64, bool) {
		for _, q := range server.Cluster.Queries() {
			return q.Progress, true
		}
		return 0, false
	}
	return c, nil
}

func (c *client) dial(ctx context.Context, cfg *pgconn.Config) error {
	if cfg.RuntimeParams["application_name"] == "" {
		cfg.RuntimeParams["application_name"] = "volley sql"
	}
	cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		if c.onNotice != nil {
			c.onNotice(n)
		}
	}
	var err error
	c.conn, err = pgconn.ConnectConfig(ctx, cfg)
	return err
}

func closeConn(conn *pgconn.PgConn) error {
	if conn == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	return conn.Close(ctx)
}

// cancel asks the server to cancel the running statement.
func (c *client) cancel() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = c.conn.CancelRequest(ctx) // the statement may have ended
}

// query runs a statement that returns little and gives its rows as text.
func (c *client) query(ctx context.Context, sql string, args ...string) ([]pgconn.FieldDescription, [][][]byte, error) {
	params := make([][]byte, len(args))
	for i, a := range args {
		params[i] = []byte(a)
	}
	r := c.conn.ExecParams(ctx, sql, params, nil, nil, nil)
	var rows [][][]byte
	for r.NextRow() {
		row := make([][]byte, len(r.Values()))
		for i, v := range r.Values() {
			row[i] = bytes.Clone(v) // a nil stays nil
		}
		rows = append(rows, row)
	}
	fields := slices.Clone(r.FieldDescriptions())
	_, err := r.Close()
	return fields, rows, err
}

// pipeListener accepts connections from within this process.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	a, b := net.Pipe()
	select {
	case l.conns <- b:
		return a, nil
	case <-l.done:
	case <-ctx.Done():
	}
	_ = a.Close()
	_ = b.Close()
	return nil, net.ErrClosed
}

// Accept implements net.Listener.
func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

// Addr implements net.Listener.
func (l *pipeListener) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }

// printError writes an error as psql does, with a caret under its place in sql.
func printError(w io.Writer, prefix, sql string, err error) {
	var pe *pgconn.PgError
	if !errors.As(err, &pe) {
		fmt.Fprintf(w, "%serror: %v\n", prefix, err)
		return
	}
	fmt.Fprintf(w, "%s%s:  %s\n", prefix, pe.Severity, pe.Message)
	if pe.Position > 0 {
		fmt.Fprint(w, caret(sql, int(pe.Position)))
	}
	printMore(w, pe.Detail, pe.Hint, pe.Where)
}

func printMore(w io.Writer, detail, hint, where string) {
	for _, p := range []struct{ label, text string }{{"DETAIL", detail}, {"HINT", hint}, {"CONTEXT", where}} {
		if p.text != "" {
			fmt.Fprintf(w, "%s:  %s\n", p.label, p.text)
		}
	}
}

// caretWidth is the most columns of a line that are shown around an error.
const caretWidth = 72

// caret shows the line of sql that has the pos-th character (from 1), and a caret
// under it.
func caret(sql string, pos int) string {
	runes := []rune(sql)
	if pos > len(runes)+1 {
		return ""
	}
	at := pos - 1
	line, start := 1, 0
	for i, r := range runes[:at] {
		if r == '\n' {
			line, start = line+1, i+1
		}
	}
	end := start
	for end < len(runes) && runes[end] != '\n' {
		end++
	}
	head := "LINE " + strconv.Itoa(line) + ": "
	before, after := "", ""
	if at-start > caretWidth/2 && end-start > caretWidth {
		start, before = min(at-caretWidth/2, end-caretWidth), "..."
	}
	if end-start > caretWidth {
		end, after = start+caretWidth, "..."
	}
	clean := func(rs []rune) string {
		return strings.Map(func(r rune) rune {
			if r < ' ' {
				return ' '
			}
			return r
		}, string(rs))
	}
	upTo := head + before + clean(runes[start:at])
	return upTo + clean(runes[at:end]) + after + "\n" + strings.Repeat(" ", width(upTo)) + "^\n"
}
