package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/volleydb/volley/test/engine"
)

var (
	postgres = flag.String("postgres", "", "connection `string` of a Postgres to run the files on instead")
	compare  = flag.Bool("compare", false, "run on Volley and on -postgres; failures are those that Postgres does not have")
	failures = flag.String("failures", "", "write the failures to this `file`")
	perFile  = flag.Int("perfile", 50, "failures of one file that are written")
	jobs     = flag.Int("j", 2, "files at a time")
	timeout  = flag.Duration("timeout", 20*time.Second, "a statement fails after this time")
	maximum  = flag.Int("records", 0, "records of a file that are run, 0 = all")
	workers  = flag.Int("workers", 0, "workers; 0 = embedded")
	noKeys   = flag.Bool("nokeys", false, "leave PRIMARY KEY and UNIQUE of CREATE TABLE and all indexes out, which Volley does not have")
	cut      = flag.Int("cut", 0, "volley.rows_per_task, 0 = as it is")
)

// host is what an engine needs of its surroundings.
type host struct {
	mu      sync.Mutex
	cleanup []func()
}

func (h *host) Helper()                        {}
func (h *host) Errorf(f string, a ...any)      { fmt.Fprintf(os.Stderr, f+"\n", a...) }
func (h *host) Fatal(a ...any)                 { fmt.Fprintln(os.Stderr, a...); os.Exit(1) }
func (h *host) Fatalf(format string, a ...any) { h.Fatal(fmt.Sprintf(format, a...)) }

func (h *host) Cleanup(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cleanup = append(h.cleanup, f)
}

func (h *host) TempDir() string {
	dir, err := os.MkdirTemp("", "volley-slt-")
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func (h *host) close() {
	for i := len(h.cleanup) - 1; i >= 0; i-- {
		h.cleanup[i]()
	}
}

// outcome is what became of a file.
type outcome struct {
	path                  string
	passed, failed, known int
	stopped               string
	failures              []string
	took                  time.Duration
}

func main() {
	flag.Parse()
	paths, err := files(flag.Args())
	if err != nil || len(paths) == 0 || *compare && *postgres == "" {
		fmt.Fprintln(os.Stderr, "usage: slt [flags] FILE|DIRECTORY…", err)
		flag.PrintDefaults()
		os.Exit(2)
	}
	h := &host{}
	ok := run(h, paths)
	h.close()
	if !ok {
		os.Exit(1)
	}
}

// files are the test files that the arguments name.
func files(args []string) ([]string, error) {
	var out []string
	for _, a := range args {
		err := filepath.WalkDir(a, func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			switch filepath.Ext(p) {
			case ".test", ".test_slow", ".slt", ".logictest":
				out = append(out, p)
			default:
				if p == a {
					out = append(out, p)
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

func run(h *host, paths []string) bool {
	log := io.Writer(io.Discard)
	if *failures != "" {
		f, err := os.Create(*failures)
		if err != nil {
			h.Fatal(err)
		}
		w := bufio.NewWriter(f)
		defer func() { _ = w.Flush(); _ = f.Close() }()
		log = w
	}
	var e *engine.Engine
	if *postgres == "" || *compare {
		e = engine.Start(h, *workers)
	}
	var mu sync.Mutex
	var total outcome
	skipped := 0
	next := make(chan int)
	var wg sync.WaitGroup
	for range max(*jobs, 1) {
		wg.Go(func() {
			for i := range next {
				o := runFile(h, e, paths[i], i)
				mu.Lock()
				state := "ok  "
				if o.failed > 0 {
					state = "FAIL"
				}
				line := fmt.Sprintf("%s %s: %d passed, %d failed, %.1f s", state, o.path, o.passed, o.failed, o.took.Seconds())
				if o.known > 0 {
					line += fmt.Sprintf(", %d failed on Postgres, too", o.known)
				}
				if o.stopped != "" && o.stopped != "halt" {
					line += ", rest skipped: " + o.stopped
					skipped++
				}
				fmt.Println(line)
				for _, f := range o.failures {
					fmt.Fprintln(log, f)
				}
				total.passed, total.failed, total.known = total.passed+o.passed, total.failed+o.failed, total.known+o.known
				mu.Unlock()
			}
		})
	}
	for i := range paths {
		next <- i
	}
	close(next)
	wg.Wait()
	n := total.passed + total.failed + total.known
	fmt.Printf("%d files, %d records: %d passed, %d failed (%.4f %%)", len(paths), n, total.passed, total.failed, 100*float64(total.failed)/max(1, float64(n)))
	if *compare {
		fmt.Printf(", %d failed on Postgres, too", total.known)
	}
	fmt.Printf("; the rest of %d files was skipped\n", skipped)
	return total.failed == 0
}

func runFile(h *host, e *engine.Engine, path string, number int) *outcome {
	o := &outcome{path: path}
	start := time.Now()
	defer func() { o.took = time.Since(start) }()
	records, stopped, err := readFile(path)
	if err != nil {
		o.failed, o.failures = 1, []string{err.Error()}
		return o
	}
	o.stopped = stopped
	var main, second client
	if e != nil {
		main = openVolley(e)
	} else {
		main = openPostgres(h)
	}
	defer main.close()
	if *compare {
		second = openPostgres(h)
		defer second.close()
	}
	schema := fmt.Sprintf("slt_%d", number)
	for _, c := range []client{main, second} {
		if c == nil {
			continue
		}
		for _, s := range []string{"DROP SCHEMA IF EXISTS " + schema + " CASCADE", "CREATE SCHEMA " + schema, "SET search_path = " + schema} {
			if a := c.run(context.Background(), s); a.err != nil {
				h.Fatal(s, a.err)
			}
		}
		defer func() { c.run(context.Background(), "ROLLBACK; DROP SCHEMA IF EXISTS "+schema+" CASCADE") }()
	}
	labels, labels2 := map[string]string{}, map[string]string{}
	for n := range records {
		r := &records[n]
		if r.kind == "halt" || *maximum > 0 && n >= *maximum {
			break
		}
		if r.kind == "threshold" {
			continue // answers are hashed when the file's are
		}
		sql := r.sql
		if *noKeys {
			if sql = withoutKeys(sql); sql == "" {
				continue
			}
		}
		do := func(c client, labels map[string]string) string {
			ctx, cancel := context.WithTimeout(context.Background(), *timeout)
			defer cancel()
			return r.check(c.run(ctx, sql), labels)
		}
		msg := do(main, labels)
		known := false
		if second != nil {
			known = do(second, labels2) != "" && msg != ""
		}
		switch {
		case known:
			o.known++
		case msg == "":
			o.passed++
		default:
			if o.failed++; o.failed <= *perFile {
				o.failures = append(o.failures, fmt.Sprintf("%s:%d: %s\n%s\n", path, r.line, strings.TrimSpace(r.sql), msg))
			}
		}
	}
	return o
}

var (
	index = regexp.MustCompile(`(?i)^\s*(create|drop)\s+(unique\s+)?index\b|^\s*reindex\b`)
	keys  = regexp.MustCompile(`(?i),\s*(primary\s+key|unique)\s*\([^)]*\)|\s+(primary\s+key|unique)\b`)
	table = regexp.MustCompile(`(?i)^\s*create\s+(temp\s+|temporary\s+)?table\b`)
)

// withoutKeys is a statement without what only an index can check; "" is one
// about an index.
func withoutKeys(sql string) string {
	if index.MatchString(sql) {
		return ""
	}
	if table.MatchString(sql) {
		return keys.ReplaceAllString(sql, "")
	}
	return sql
}
