package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

const shellHelp = `Statements end with a semicolon and may span lines. Ctrl-C cancels, Ctrl-D leaves.

  \d [NAME]     tables and views, or the columns of those that NAME fits (* and ? are wild)
  \dt [NAME]    tables
  \df [NAME]    functions
  \da [NAME]    aggregates
  \dn           schemas
  \l            databases
  \copy ...     COPY with a file of this machine: \copy t from 'file.csv' (format csv, header)
  \i FILE       run the statements of a file
  \x            a line per value, on or off
  \timing       how long statements take, on or off
  \h            the statements that Volley has beyond Postgres
  \?            this help
  \q            leave
`

const sqlHelp = `Volley speaks the SQL of Postgres. Beyond it:

  CREATE TABLE t AS SELECT * FROM read_csv('path or glob');
  CREATE TABLE t AS SELECT * FROM read_parquet('path or glob');
  CREATE FUNCTION f(x float8, ...) RETURNS float8
      AS 'artifact@sha256:...', 'Symbol' LANGUAGE go;
  CREATE FUNCTION f(x float8, ...) RETURNS TABLE (y float8, ...)
      AS 'artifact@sha256:...', 'Symbol' LANGUAGE go;
  CREATE AGGREGATE f(float8) (ARTIFACT = 'artifact@sha256:...', SYMBOL = 'Symbol');
  SELECT ... FROM t GROUP BY key APPLY f(columns ORDER BY column);

Functions are built by volley udf build DIR and uploaded by volley udf push.
`

// meta runs a backslash command.
func (s *shell) meta(line string) error {
	name, arg, _ := strings.Cut(strings.TrimSuffix(line, ";"), " ")
	arg = strings.TrimSpace(arg)
	// The words of Postgres' own shell: + asks for more, S for system objects.
	base := strings.TrimRight(name, "+S")
	switch base {
	case `\q`, `\quit`:
		return errQuit
	case `\?`, `\help`:
		fmt.Fprint(s.out, shellHelp)
	case `\h`:
		fmt.Fprint(s.out, sqlHelp)
	case `\x`:
		return s.toggle(&s.expanded, arg, "Expanded display")
	case `\timing`:
		return s.toggle(&s.timing, arg, "Timing")
	case `\i`, `\include`:
		return s.include(arg)
	case `\copy`:
		return s.copyFile(arg)
	case `\d`:
		if arg != "" {
			return s.describe(arg)
		}
		return s.list(listRelations, arg, "'r','v','m','f','p'", "List of relations")
	case `\dt`:
		return s.list(listRelations, arg, "'r','p'", "List of tables")
	case `\dv`:
		return s.list(listRelations, arg, "'v','m'", "List of views")
	case `\df`:
		return s.list(listFunctions, arg, "'f','p','w','a'", "List of functions")
	case `\da`:
		return s.list(listFunctions, arg, "'a'", "List of aggregates")
	case `\dn`:
		return s.list(listSchemas, arg, "", "List of schemas")
	case `\l`:
		return s.list(listDatabases, arg, "", "List of databases")
	default:
		fmt.Fprintf(s.err, "error: unknown command %s; \\? lists the commands\n", name)
		return silent{errors.New("unknown command " + name)}
	}
	return nil
}

func (s *shell) toggle(v *bool, arg, what string) error {
	switch strings.ToLower(arg) {
	case "on":
		*v = true
	case "off":
		*v = false
	case "":
		*v = !*v
	default:
		fmt.Fprintf(s.err, "error: on or off, not %q\n", arg)
		return silent{errors.New("bad argument")}
	}
	fmt.Fprintf(s.out, "%s is %s.\n", what, map[bool]string{true: "on", false: "off"}[*v])
	return nil
}

const maxIncludes = 16

func (s *shell) include(name string) error {
	name = strings.Trim(name, `'`)
	if name == "" || s.depth >= maxIncludes {
		fmt.Fprintln(s.err, `error: \i takes a file, and files may not include each other without end`)
		return silent{errors.New("include")}
	}
	s.depth++
	defer func() { s.depth-- }()
	interactive := s.interactive
	s.interactive = false // a file ends at its first error
	defer func() { s.interactive = interactive }()
	return s.file(name)
}

// The lists: %[1]s is a condition on the name, %[2]s a list of kinds.
const (
	listRelations = `
SELECT n.nspname AS "Schema", c.relname AS "Name",
  CASE c.relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' ELSE 'other' END AS "Type",
  pg_catalog.pg_get_userbyid(c.relowner) AS "Owner"
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN (%[2]s) AND %[1]s
ORDER BY 1, 2`
	listFunctions = `
SELECT n.nspname AS "Schema", c.proname AS "Name",
  pg_catalog.pg_get_function_result(c.oid) AS "Result", pg_catalog.pg_get_function_arguments(c.oid) AS "Arguments",
  CASE c.prokind WHEN 'a' THEN 'aggregate' WHEN 'w' THEN 'window' ELSE 'function' END AS "Kind"
FROM pg_catalog.pg_proc c JOIN pg_catalog.pg_namespace n ON n.oid = c.pronamespace
WHERE c.prokind IN (%[2]s) AND %[1]s
ORDER BY 1, 2, 4`
	listSchemas = `
SELECT n.nspname AS "Name", pg_catalog.pg_get_userbyid(n.nspowner) AS "Owner"
FROM pg_catalog.pg_namespace n
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
ORDER BY 1`
	listDatabases = `
SELECT d.datname AS "Name", pg_catalog.pg_get_userbyid(d.datdba) AS "Owner"
FROM pg_catalog.pg_database d
ORDER BY 1`
)

// list prints one of the lists.
func (s *shell) list(query, pattern, kinds, title string) error {
	cond, args := nameCondition(pattern, strings.Contains(query, "pg_proc"))
	sql := query
	if strings.Contains(query, "%[1]s") {
		sql = fmt.Sprintf(query, cond, kinds)
	} else {
		args = nil
	}
	return s.show(title, sql, args...)
}

// nameCondition is the condition that pattern, [schema.]name, puts on relations
// or functions c in schemas n.
func nameCondition(pattern string, functions bool) (cond string, args []string) {
	col, visible := "c.relname", "pg_catalog.pg_table_is_visible(c.oid)"
	if functions {
		col, visible = "c.proname", "pg_catalog.pg_function_is_visible(c.oid)"
	}
	if pattern == "" {
		return visible + " AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'volley')", nil
	}
	schema, name := splitPattern(pattern)
	if schema == "" {
		return col + " LIKE $1 AND " + visible, []string{name}
	}
	return col + " LIKE $1 AND n.nspname LIKE $2", []string{name, schema}
}

// splitPattern turns [schema.]name with * and ? into LIKE patterns. What is in
// double quotes keeps its case and has no wild cards.
func splitPattern(p string) (schema, name string) {
	var b strings.Builder
	quoted := false
	for _, r := range p {
		switch {
		case r == '"':
			quoted = !quoted
		case quoted && strings.ContainsRune(`%_\`, r), r == '_', r == '%', r == '\\':
			b.WriteRune('\\')
			b.WriteRune(r)
		case quoted:
			b.WriteRune(r)
		case r == '.':
			schema = b.String()
			b.Reset()
		case r == '*':
			b.WriteByte('%')
		case r == '?':
			b.WriteByte('_')
		default:
			b.WriteString(strings.ToLower(string(r)))
		}
	}
	return schema, b.String()
}

// show runs a query over the catalog and prints it under a title.
func (s *shell) show(title, sql string, args ...string) error {
	fields, rows, err := s.c.query(s.ctx, sql, args...)
	if err != nil {
		printError(s.err, "", sql, err)
		return silent{err}
	}
	return s.print(title, fields, rows)
}

func (s *shell) print(title string, fields []pgconn.FieldDescription, rows [][][]byte) error {
	if title != "" && s.format == "table" {
		fmt.Fprintln(s.out, title)
	}
	w := newRowWriter(s.format, s.expanded, s.out)
	if err := w.begin(fields); err != nil {
		return err
	}
	for _, r := range rows {
		if err := w.row(r); err != nil {
			return err
		}
	}
	return w.end()
}

// describe prints the columns of the relations that fit a pattern.
func (s *shell) describe(pattern string) error {
	cond, args := nameCondition(pattern, false)
	sql := `SELECT c.oid, n.nspname, c.relname, c.relkind
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE ` + cond + ` ORDER BY 2, 3`
	_, found, err := s.c.query(s.ctx, sql, args...)
	if err != nil {
		printError(s.err, "", sql, err)
		return silent{err}
	}
	if len(found) == 0 {
		fmt.Fprintf(s.err, "Did not find any relation named %q.\n", pattern)
		return silent{errors.New("no such relation")}
	}
	for _, r := range found {
		oid, view := string(r[0]), string(r[3]) == "v"
		title := map[bool]string{true: "View ", false: "Table "}[view] + `"` + string(r[1]) + "." + string(r[2]) + `"`
		err := s.show(title, `
SELECT a.attname AS "Column", pg_catalog.format_type(a.atttypid, a.atttypmod) AS "Type",
  CASE WHEN a.attnotnull THEN 'not null' ELSE '' END AS "Nullable"
FROM pg_catalog.pg_attribute a
WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum`, oid)
		if err != nil {
			return err
		}
		if !view || s.format != "table" {
			continue
		}
		def := "SELECT pg_catalog.pg_get_viewdef($1::oid)"
		_, rows, err := s.c.query(s.ctx, def, oid)
		if err != nil {
			printError(s.err, "", def, err)
			return silent{err}
		}
		if len(rows) == 1 {
			fmt.Fprintf(s.out, "View definition:\n%s\n\n", rows[0][0])
		}
	}
	return nil
}

// copyFile is \copy: COPY whose file is on this machine.
func (s *shell) copyFile(arg string) error {
	fail := func(err error) error {
		fmt.Fprintf(s.err, "error: \\copy: %v\n", err)
		return silent{err}
	}
	what, to, file, options, err := splitCopy(arg)
	if err != nil {
		return fail(err)
	}
	std := strings.ToLower(file)
	dir, end := "FROM", "STDIN"
	if to {
		dir, end = "TO", "STDOUT"
	}
	sql := strings.TrimSpace(fmt.Sprintf("COPY %s %s %s %s", what, dir, end, options))
	if std == "stdin" || std == "stdout" {
		return s.statement(sql, "", &copyData{r: s.in, whole: !s.interactive})
	}
	s.setRunning(true)
	defer s.setRunning(false)
	quiet := s.startBar()
	defer quiet()
	var tag pgconn.CommandTag
	if to {
		f, err := os.Create(file)
		if err != nil {
			return fail(err)
		}
		w := bufio.NewWriterSize(f, 256<<10)
		tag, err = s.c.conn.CopyTo(s.ctx, w, sql)
		err = errors.Join(err, w.Flush(), f.Close())
		if err != nil {
			quiet()
			printError(s.err, "", sql, err)
			return silent{err}
		}
	} else {
		f, err := os.Open(file)
		if err != nil {
			return fail(err)
		}
		defer f.Close()
		if tag, err = s.c.conn.CopyFrom(s.ctx, bufio.NewReaderSize(f, 256<<10), sql); err != nil {
			quiet()
			printError(s.err, "", sql, err)
			return silent{err}
		}
	}
	quiet()
	fmt.Fprintln(s.out, tag)
	return nil
}

// splitCopy takes the argument of \copy apart: t (a, b) from 'file' (options), or
// (query) to file.
func splitCopy(arg string) (what string, to bool, file, options string, err error) {
	bad := errors.New(`expected: \copy table|(query) from|to 'file' (options)`)
	depth, quote := 0, rune(0)
	word := 0 // start of the current word
	at, after := -1, -1
	for i, r := range arg + " " {
		switch {
		case quote != 0:
			if r == quote {
				quote = 0
			}
		case r == '\'' || r == '"':
			quote = r
		case r == '(':
			depth++
		case r == ')':
			depth--
		}
		if r == ' ' || r == '\t' || r == '\n' {
			if w := strings.ToLower(arg[word:i]); depth == 0 && quote == 0 && (w == "from" || w == "to") {
				at, after, to = word, i, w == "to"
				break
			}
			word = i + 1
		}
	}
	if at < 1 {
		return "", false, "", "", bad
	}
	what = strings.TrimSpace(arg[:at])
	rest := strings.TrimSpace(arg[min(after, len(arg)):])
	if strings.HasPrefix(rest, "'") {
		end := 1
		for end < len(rest) && rest[end] != '\'' {
			end++
		}
		if end == len(rest) {
			return "", false, "", "", bad
		}
		file, options = rest[1:end], rest[end+1:]
	} else {
		file, options, _ = strings.Cut(rest, " ")
	}
	if what == "" || file == "" {
		return "", false, "", "", bad
	}
	return what, to, file, strings.TrimSpace(options), nil
}
