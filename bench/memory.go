package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"text/tabwriter"
)

// memoryCases have an operator each that holds most of the events.
func memoryCases(events string) []suiteQuery {
	from := " FROM read_parquet(" + quote(events) + ")"
	return []suiteQuery{
		{"sort", "SELECT sum(a), max(t) FROM (SELECT user_id, ts t, amount a" + from + " ORDER BY amount, ts OFFSET 1000000) x"},
		{"top-N, large N", "SELECT sum(a), max(t) FROM (SELECT user_id, ts t, amount a" + from + " ORDER BY amount, ts LIMIT 10000000) x"},
		{"window, one partition", "SELECT sum(rn)::bigint, sum(rn * user_id) FROM (SELECT row_number() OVER (ORDER BY amount, ts) rn, kind, user_id" + from + ") x"},
		{"window, partitions", "SELECT count(*), sum(d) FROM (SELECT amount - lag(amount) OVER (PARTITION BY user_id ORDER BY ts) d" + from + ") x WHERE d > 5"},
		{"window, whole frame", "SELECT count(*) FROM (SELECT amount, avg(amount) OVER (PARTITION BY kind) m" + from + ") x WHERE amount > m"},
		{"aggregate, all groups", "SELECT count(*), sum(c)::bigint FROM (SELECT ts, amount, count(*) c" + from + " GROUP BY ts, amount) x"},
		{"count(DISTINCT)", "SELECT count(DISTINCT ts)" + from},
		{"count(DISTINCT) by key", "SELECT sum(c)::bigint FROM (SELECT kind, count(DISTINCT ts) c" + from + " GROUP BY kind) x"},
		{"array_agg", "SELECT sum(array_length(a, 1))::bigint FROM (SELECT user_id, array_agg(ts ORDER BY ts) a" + from + " GROUP BY user_id) x"},
		{"percentile", "SELECT kind, percentile_cont(0.5) WITHIN GROUP (ORDER BY amount)" + from + " GROUP BY kind ORDER BY kind"},
		{"DISTINCT", "SELECT count(*) FROM (SELECT DISTINCT ts, kind" + from + ") x"},
		{"join", "SELECT count(*), sum(a.user_id)::bigint FROM (SELECT ts, user_id" + from + ") a JOIN (SELECT ts, amount" + from + ") b ON a.ts = b.ts"},
		{"left join", "SELECT count(*), count(b.ts), sum(a.user_id)::bigint FROM (SELECT ts, user_id" + from + ") a LEFT JOIN (SELECT ts, amount" + from + " WHERE amount < 50) b ON a.ts = b.ts AND b.amount < a.user_id"},
		{"full join", "SELECT count(*), count(a.ts), count(b.ts) FROM (SELECT ts" + from + " WHERE amount > 30) a FULL JOIN (SELECT ts" + from + " WHERE amount < 60) b ON a.ts = b.ts"},
		{"NOT IN", "SELECT count(*)" + from + " WHERE ts NOT IN (SELECT ts" + from + " WHERE amount < 80)"},
		{"EXCEPT", "SELECT count(*) FROM (SELECT ts" + from + " EXCEPT SELECT ts" + from + " WHERE amount < 50) x"},
		{"GROUPING SETS", "SELECT count(*), sum(n)::bigint FROM (SELECT ts, user_id, count(*) n" + from + " GROUP BY GROUPING SETS ((ts), (user_id), ())) x"},
		{"CREATE TABLE AS, sorted", "CREATE TABLE sorted AS SELECT *" + from + " ORDER BY ts"},
	}
}

// runMemory runs every operator in a process of its own, first with all memory
// and then with a tenth of what it used, and tells whether the answers are the
// same and how the peak of the resident set compares with the budget.
func runMemory(ctx context.Context, c config, binary string, scale float64, out, log io.Writer) error {
	tmp, err := os.MkdirTemp("", "volley-memory-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	duck, err := openDuckDB(ctx, c.threads, c.memory, filepath.Join(tmp, "duckdb"))
	if err != nil {
		return err
	}
	dir, err := suiteData(ctx, c.dir, "features", scale, duck, func(f string, a ...any) { fmt.Fprintf(log, f, a...) })
	duck.close()
	if err != nil {
		return err
	}
	_, rss, _, err := runLimited(ctx, binary, tmp, "64GB", "SELECT 1")
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "features, %g million rows; a process that runs SELECT 1 has %d MB\n", scale, rss>>20)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "operator\tworking set MB\twork_mem MB\tpeak RSS MB\tratio\tseconds\tanswer")
	var failed []error
	for _, q := range memoryCases(filepath.Join(dir, "events.parquet")) {
		if c.only != "" && !strings.Contains(q.name, c.only) {
			continue
		}
		want, most, secs, err := runLimited(ctx, binary, tmp, "64GB", q.sql)
		if err != nil {
			return err
		}
		budget := max(most/10, 64<<20)
		got, rss, less, err := runLimited(ctx, binary, tmp, fmt.Sprintf("%dkB", budget>>10), q.sql)
		answer := "same"
		if err != nil {
			answer = err.Error()
		} else if got != want && rounded(got) != rounded(want) {
			answer = fmt.Sprintf("differs: %q, %q", want, got)
		}
		if answer != "same" {
			failed = append(failed, fmt.Errorf("%s: %s", q.name, answer))
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%.2f\t%.1f -> %.1f\t%s\n", q.name, most>>20, budget>>20, rss>>20, float64(rss)/float64(budget), secs, less, answer)
		if err := w.Flush(); err != nil {
			return err
		}
	}
	return errors.Join(failed...)
}

var floatText = regexp.MustCompile(`\d+\.\d{9,}`)

// rounded cuts floats, which are added in another order when operators spill.
func rounded(s string) string {
	return floatText.ReplaceAllStringFunc(s, func(f string) string {
		if n := strings.IndexByte(f, '.'); n < 12 {
			return f[:12]
		}
		return f[:strings.IndexByte(f, '.')]
	})
}

// runLimited runs a query in a process of its own on an empty data directory and
// returns what it printed, its greatest resident set in bytes and the seconds.
func runLimited(ctx context.Context, binary, tmp, workMem, sql string) (text string, rss int64, secs float64, err error) {
	data := filepath.Join(tmp, "data")
	if err := os.RemoveAll(data); err != nil {
		return "", 0, 0, err
	}
	cmd := exec.CommandContext(ctx, binary, "sql", "--data", data, "-c", "SET work_mem = '"+workMem+"'", "-c", sql)
	b, err := cmd.CombinedOutput()
	if err != nil {
		return "", 0, 0, fmt.Errorf("%w: %s", err, b)
	}
	rss = cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10
	return string(b), rss, (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds(), nil
}
