package logic

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/test/engine"
	"github.com/volleydb/volley/types"
)

var (
	rewrite  = flag.Bool("rewrite", false, "write the answers of the embedded mode, or of -postgres, into the files")
	postgres = flag.String("postgres", "", "connection string of a Postgres to run the files against instead of Volley")
	only     = flag.String("files", "", "comma-separated names of the files to run")
)

// cutRows is volley.rows_per_task of the cut passes: low enough that the few
// rows of a test need several tasks.
const cutRows = 3

// answer is a statement's result.
type answer struct {
	names   []string
	letters string
	rows    [][]string
	tag     string
	notices []string
	err     *failure
}

// failure is a statement's error.
type failure struct{ code, message, detail, hint, context string }

func (f *failure) lines() []string {
	var out []string
	if f.detail != "" {
		out = append(out, "DETAIL: "+strings.ReplaceAll(f.detail, "\n", `\n`))
	}
	if f.hint != "" {
		out = append(out, "HINT: "+strings.ReplaceAll(f.hint, "\n", `\n`))
	}
	if f.context != "" {
		out = append(out, "CONTEXT: "+strings.ReplaceAll(f.context, "\n", `\n`))
	}
	return out
}

// client is a session of whatever is under test.
type client interface {
	run(ctx context.Context, sql string) *answer
	close()
}

// target is what a mode runs against.
type target struct {
	props map[string]bool
	open  func(t testing.TB) client
	tmp   string
}

// compared holds the answers of compare records by pass, file and line, for the
// modes that come later.
var compared sync.Map

func TestLogic(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.test")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no test files (%v)", err)
	}
	files := map[string]*file{}
	var names []string
	for _, p := range paths {
		name := strings.TrimSuffix(filepath.Base(p), ".test")
		if *only != "" && !slices.Contains(strings.Split(*only, ","), name) {
			continue
		}
		f, err := readFile(p, name)
		if err != nil {
			t.Fatal(err)
		}
		files[name], names = f, append(names, name)
	}
	all := func(t *testing.T, tg *target, mode string) {
		for _, n := range names {
			f := files[n]
			if mode != "postgres" && f.modes != nil && !slices.Contains(f.modes, mode) {
				continue
			}
			t.Run(n, func(t *testing.T) { runFile(t, tg, f) })
		}
	}
	if *postgres != "" {
		t.Run("postgres", func(t *testing.T) { all(t, postgresTarget(t), "postgres") })
		return
	}
	for _, workers := range []int{0, 1, 2, 3} {
		name := "embedded"
		if workers > 0 {
			name = strconv.Itoa(workers) + "workers"
		}
		if *rewrite && workers > 0 {
			break
		}
		// The engine is started by the first of its two passes that is wanted.
		start := sync.OnceValue(func() *engine.Engine { return engine.Start(t, workers) })
		for _, cut := range []bool{false, true} {
			if cut {
				if *rewrite {
					break
				}
				name += "-cut"
			}
			name := name
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				all(t, volleyTarget(t, start(), workers, cut), name)
			})
		}
	}
}

func volleyTarget(t *testing.T, e *engine.Engine, workers int, cut bool) *target {
	return &target{
		tmp: t.TempDir(),
		props: map[string]bool{"volley": true, "embedded": workers == 0, "cluster": workers > 0, "cut": cut, "uncut": !cut,
			strconv.Itoa(workers) + "workers": true},
		open: func(t testing.TB) client {
			c := &volleyClient{e.Session()}
			if cut {
				for _, s := range []string{"SET volley.batch_rows = 64", fmt.Sprintf("SET volley.rows_per_task = %d", cutRows)} {
					if a := c.run(context.Background(), s); a.err != nil {
						t.Fatal(a.err)
					}
				}
			}
			return c
		},
	}
}

type volleyClient struct{ s *engine.Session }

func (c *volleyClient) close() { c.s.Close() }

func (c *volleyClient) run(ctx context.Context, sql string) *answer {
	c.s.Notices = nil
	rows, err := c.s.Run(ctx, sql)
	a := &answer{notices: c.s.Notices}
	if err != nil {
		e := pgerr.From(err)
		a.err = &failure{e.Code, e.Message, e.Detail, e.Hint, e.Where}
		return a
	}
	a.rows, a.tag = rows.Rows, rows.Tag
	for _, f := range rows.Fields {
		a.names = append(a.names, f.Name)
		a.letters += letter(f.Type.OID())
	}
	return a
}

// letter is the class of a type.
func letter(oid uint32) string {
	t, ok := types.ByOID(oid)
	if !ok {
		return "T"
	}
	switch t.ID {
	case types.Bool:
		return "B"
	case types.Int2, types.Int4, types.Int8:
		return "I"
	case types.Float4, types.Float8, types.Numeric:
		return "R"
	case types.Date, types.Time, types.Timestamp, types.Timestamptz, types.Interval:
		return "D"
	}
	return "T"
}

// runFile runs a file's records in order.
func runFile(t *testing.T, tg *target, f *file) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	pass := "plain"
	if tg.props["cut"] {
		pass = "cut"
	}
	schema := "test_" + f.name
	if tg.props["cut"] {
		schema += "_cut"
	}
	tmp := filepath.Join(tg.tmp, f.name)
	if err := os.MkdirAll(tmp, 0o777); err != nil {
		t.Fatal(err)
	}
	_ = os.Chmod(tmp, 0o777) // a Postgres server runs as another user
	sessions := map[string]client{}
	defer func() {
		for _, s := range sessions {
			s.close()
		}
	}()
	enter := func(name string) client {
		if sessions[name] == nil {
			c := tg.open(t)
			sessions[name] = c
			for _, sql := range []string{"CREATE SCHEMA IF NOT EXISTS " + schema, "SET search_path = " + schema} {
				if a := c.run(ctx, sql); a.err != nil {
					t.Fatalf("%s: %s", sql, a.err.message)
				}
			}
		}
		return sessions[name]
	}
	cur := enter("default")
	var edits []edit
	for _, r := range f.records {
		if !r.applies(tg.props) {
			continue
		}
		if r.kind == "halt" {
			break
		}
		if r.kind == "session" {
			cur = enter(r.text)
			continue
		}
		a := cur.run(ctx, strings.ReplaceAll(strings.ReplaceAll(r.sql, "$TMP", tmp), "$SCHEMA", schema))
		scrub(a, tmp, schema)
		if *rewrite {
			if e, ok := r.rewritten(t, f, a); ok {
				edits = append(edits, e)
			}
			continue
		}
		key := fmt.Sprintf("%s/%s/%d", pass, f.name, r.line)
		if msg := r.check(a, key); msg != "" {
			t.Errorf("testdata/%s.test:%d: %s\n%s", f.name, r.line, r.sql, msg)
		}
		if ctx.Err() != nil {
			t.Fatalf("testdata/%s.test:%d: the file takes too long", f.name, r.line)
		}
	}
	if *rewrite && len(edits) > 0 {
		if err := f.write(filepath.Join("testdata", f.name+".test"), edits); err != nil {
			t.Fatal(err)
		}
	}
}

// scrub replaces what differs from run to run.
func scrub(a *answer, tmp, schema string) {
	fix := strings.NewReplacer(tmp, "$TMP", schema, "$SCHEMA").Replace
	for _, row := range a.rows {
		for i := range row {
			row[i] = fix(row[i])
		}
	}
	for i := range a.notices {
		a.notices[i] = fix(a.notices[i])
	}
	if a.err != nil {
		e := a.err
		e.message, e.detail, e.hint, e.context = fix(e.message), fix(e.detail), fix(e.hint), fix(e.context)
	}
}

// rewritten is the record with what really came.
func (r *record) rewritten(t *testing.T, f *file, a *answer) (edit, bool) {
	e := edit{r: r, expect: r.expect}
	switch {
	case r.kind == "compare":
		return e, false
	case a.err != nil && (r.kind == "query" || r.want != "error"):
		t.Errorf("testdata/%s.test:%d: %s\n%s %s\n%s", f.name, r.line, r.sql, a.err.code, a.err.message, strings.Join(a.err.lines(), "\n"))
		return e, false
	case r.kind == "query":
		mode := ""
		if r.sort != "" {
			mode = " " + r.sort
		}
		if r.names {
			mode += " names"
		}
		rows := r.canonical(cells(a.rows))
		if r.names {
			rows = append(cells([][]string{a.names}), rows...)
		}
		e.head, e.expect = "query "+a.letters+mode, align(rows)
	case r.want == "error":
		if a.err == nil {
			t.Errorf("testdata/%s.test:%d: %s\nno error", f.name, r.line, r.sql)
			return e, false
		}
		if r.text == "" || r.checkError(a.err) != "" {
			e.head, e.expect = "statement error "+a.err.code+" "+strings.ReplaceAll(a.err.message, "\n", `\n`), nil
		}
		if r.divider || len(r.expect) > 0 {
			e.expect = a.err.lines()
		}
	case r.want == "count":
		e.head = "statement count " + count(a.tag)
	}
	return e, true
}

func count(tag string) string { return tag[strings.LastIndexByte(tag, ' ')+1:] }

var codePattern = regexp.MustCompile(`^([0-9A-Z]{5})(?: +(.*))?$`)

func (r *record) checkError(f *failure) string {
	text := r.text
	if m := codePattern.FindStringSubmatch(text); m != nil {
		if m[1] != f.code {
			return fmt.Sprintf("got  %s %s\nwant %s", f.code, f.message, text)
		}
		text = m[2]
	}
	msg := strings.ReplaceAll(f.message, "\n", `\n`)
	if !strings.Contains(msg, text) {
		re, err := regexp.Compile(text)
		if err != nil || !re.MatchString(msg) {
			return fmt.Sprintf("got  %s %s\nwant %s", f.code, msg, r.text)
		}
	}
	have := f.lines()
	for _, l := range r.expect {
		if !slices.Contains(have, l) {
			return fmt.Sprintf("got\n%s\nwant\n%s", strings.Join(have, "\n"), l)
		}
	}
	return ""
}

// check says what is wrong with an answer.
func (r *record) check(a *answer, key string) string {
	if r.kind == "statement" && r.want == "error" {
		if a.err == nil {
			return fmt.Sprintf("no error; want %s", r.text)
		}
		return r.checkError(a.err)
	}
	if a.err != nil {
		return strings.TrimSpace(fmt.Sprintf("ERROR %s: %s\n%s", a.err.code, a.err.message, strings.Join(a.err.lines(), "\n")))
	}
	switch {
	case r.kind == "compare":
		have := strings.Join(append([]string{strings.Join(a.names, "\t")}, tsv(a.rows)...), "\n")
		if first, loaded := compared.LoadOrStore(key, have); loaded && first.(string) != have {
			return fmt.Sprintf("differs from the mode before\n%s", diff(strings.Split(first.(string), "\n"), strings.Split(have, "\n")))
		}
	case r.kind == "query":
		if r.types != a.letters && !strings.Contains(r.types, "?") {
			return fmt.Sprintf("column types %s, want %s", a.letters, r.types)
		}
		header, want := r.expected()
		if r.names && !slices.Equal(header, cells([][]string{a.names})[0]) {
			return fmt.Sprintf("columns %q, want %q", a.names, header)
		}
		have, want := r.canonical(cells(a.rows)), r.canonical(want)
		if !slices.EqualFunc(have, want, slices.Equal) {
			return diff(tsv(want), tsv(have))
		}
	case r.want == "notice":
		if !slices.ContainsFunc(a.notices, func(n string) bool { return strings.Contains(n, r.text) }) {
			return fmt.Sprintf("notices %q, want %s", a.notices, r.text)
		}
	case r.want == "count":
		if count(a.tag) != r.text {
			return fmt.Sprintf("tag %q, want %s rows", a.tag, r.text)
		}
	}
	return ""
}

func tsv(rows [][]string) []string {
	out := make([]string, len(rows))
	for i, r := range rows {
		out[i] = strings.Join(r, "\t")
	}
	return out
}

// diff shows both sides where they differ.
func diff(want, have []string) string {
	var b strings.Builder
	for i := range max(len(want), len(have)) {
		switch {
		case i >= len(want):
			b.WriteString("+ " + have[i] + "\n")
		case i >= len(have):
			b.WriteString("- " + want[i] + "\n")
		case want[i] != have[i]:
			b.WriteString("- " + want[i] + "\n+ " + have[i] + "\n")
		default:
			b.WriteString("  " + want[i] + "\n")
		}
		if b.Len() > 4000 {
			b.WriteString("…\n")
			break
		}
	}
	return "(- want, + got)\n" + b.String()
}
