package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/volleydb/volley/bench/udffuncs"
	"github.com/volleydb/volley/udf"
	"github.com/volleydb/volley/vector"
)

// groupCase is a table of groups for a grouped map.
type groupCase struct {
	name     string
	key      string // of the file
	millions int    // rows of the file, in millions
	limit    int64  // work_mem, and memory of the worker; 0 = none
}

var groupCases = []groupCase{
	{"1M groups of 10 rows", "k1m", 10, 0},
	{"10 groups of 1M rows", "k10", 10, 0},
	{"1 group of 40M rows, 10x the memory", "k1", 40, 64 << 20},
}

// groupRun is what a process of its own measured.
type groupRun struct {
	Seconds []float64
	Answer  [][]string
	RSS     int64 // of the process, at its peak
	Plugin  int64 // of the plugin's
}

// runGroups measures grouped maps, each in a process of its own, beside a plain Go
// program that reads the same file and keeps its groups in a map.
func runGroups(ctx context.Context, c config, out, log io.Writer) error {
	tmp, err := os.MkdirTemp("", "volley-bench-groups-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	src := filepath.Join(tmp, "plugin")
	if err := os.Mkdir(src, 0o755); err != nil {
		return err
	}
	if err := udffuncs.WriteSource(src); err != nil {
		return err
	}
	a, err := udf.Build(ctx, src, udf.BuildOptions{Name: "groups", Output: filepath.Join(tmp, "groups.vudf")})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\ngrouped maps over Parquet files of (k, x), %d threads\n", c.threads)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "groups\tVolley s\tns/row\tpeak MB\tplugin MB\tplain Go s\tpeak MB\tratio")
	for i, g := range groupCases {
		if c.only != "" && !strings.Contains(g.name, c.only) {
			continue
		}
		if c.rows < 1_000_000 {
			g.millions, g.limit = 1, g.limit/40
		}
		if err := groupFile(ctx, c, g, log); err != nil {
			return err
		}
		var got [2]groupRun
		for k, who := range []string{"map", "loop"} {
			cmd := exec.CommandContext(ctx, exe, "-udf", fmt.Sprintf("group-%s-%d", who, i), "-rows", strconv.Itoa(c.rows), "-dir", c.dir, "-program", a.Path,
				"-threads", strconv.Itoa(c.threads), "-memory", strconv.FormatInt(c.memory, 10), "-reps", strconv.Itoa(min(c.reps, 2)))
			cmd.Env = append(os.Environ(), childEnv+"=1")
			var text bytes.Buffer
			cmd.Stdout, cmd.Stderr = &text, log
			if err := cmd.Run(); err != nil {
				return fmt.Errorf("%s: %w", g.name, err)
			}
			if err := json.Unmarshal(text.Bytes(), &got[k]); err != nil {
				return err
			}
		}
		if err := sameAnswer(got[0].Answer, got[1].Answer); err != nil {
			return fmt.Errorf("%s: the grouped map and the loop differ: %w", g.name, err)
		}
		best := func(r groupRun) float64 {
			b := r.Seconds[0]
			for _, s := range r.Seconds {
				b = min(b, s)
			}
			return b
		}
		v, l := best(got[0]), best(got[1])
		fmt.Fprintf(w, "%s\t%.2f\t%.0f\t%d\t%d\t%.2f\t%d\t%.2f\n", g.name, v, v*1e3/float64(g.millions), got[0].RSS>>20, got[0].Plugin>>20, l, got[1].RSS>>20, v/l)
		if err := w.Flush(); err != nil {
			return err
		}
	}
	return nil
}

func groupPath(c config, g groupCase) string {
	return filepath.Join(c.dir, fmt.Sprintf("groups-%dM-v%d.parquet", g.millions, dataVersion))
}

func groupFile(ctx context.Context, c config, g groupCase, log io.Writer) error {
	path := groupPath(c, g)
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return err
	}
	fmt.Fprintf(log, "generating %s\n", path)
	duck, err := openDuckDB(ctx, c.threads, c.memory, filepath.Join(c.dir, "duckdb-tmp"))
	if err != nil {
		return err
	}
	defer duck.close()
	n := g.millions * 1_000_000
	_, err = duck.rows(ctx, fmt.Sprintf(`COPY (SELECT 7::bigint AS k1, i * 7919 %% 10 AS k10, i * 7919 %% %d AS k1m, (i * 104729 %% 1000003)::double / 1000003 AS x FROM range(%d) t(i)) TO %s (FORMAT parquet)`,
		n/10, n, quote(path+".tmp")))
	if err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}

// runGroupChild is the process that measures: part is group-map-N or group-loop-N,
// program the artifact of the plugin.
func runGroupChild(ctx context.Context, c config, part, program string, out io.Writer) error {
	who, number, _ := strings.Cut(strings.TrimPrefix(part, "group-"), "-")
	i, err := strconv.Atoi(number)
	if err != nil || i >= len(groupCases) {
		return fmt.Errorf("there is no part %q", part)
	}
	g := groupCases[i]
	if c.rows < 1_000_000 {
		g.millions, g.limit = 1, g.limit/40
	}
	tmp, err := os.MkdirTemp("", "volley-bench-group-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	memory := c.memory
	if g.limit > 0 {
		memory = g.limit
	}
	v, err := openVolley(ctx, filepath.Join(tmp, "volley"), c.threads, memory)
	if err != nil {
		return err
	}
	var r groupRun
	from := " FROM read_parquet(" + quote(groupPath(c, g)) + ")"
	err = func() error {
		defer v.close()
		if who == "map" {
			if _, err := v.server.Artifacts.PutFile(ctx, program); err != nil {
				return err
			}
			if _, err := v.rows(ctx, "CREATE FUNCTION stats(x float8) RETURNS TABLE (n bigint, total float8, above float8) LANGUAGE go IMMUTABLE AS 'groups', 'stats'"); err != nil {
				return err
			}
		}
		if g.limit > 0 {
			if _, err := v.rows(ctx, fmt.Sprintf("SET work_mem = '%dkB'", g.limit>>10)); err != nil {
				return err
			}
		}
		for range c.reps {
			start := time.Now()
			if who == "map" {
				r.Answer, err = v.rows(ctx, "SELECT count(*), sum(n)::bigint, sum(total), sum(above) FROM (SELECT n, total, above"+from+" GROUP BY "+g.key+" APPLY stats(x)) t")
			} else {
				r.Answer, err = loopGroups(ctx, v, "SELECT "+g.key+", x"+from)
			}
			if err != nil {
				return err
			}
			r.Seconds = append(r.Seconds, time.Since(start).Seconds())
		}
		r.RSS = peakOf("self")
		children, err := filepath.Glob("/proc/self/task/*/children")
		if err != nil {
			return err
		}
		for _, f := range children {
			pids, err := os.ReadFile(f)
			if err != nil {
				continue // of a thread that has ended
			}
			for _, pid := range strings.Fields(string(pids)) {
				r.Plugin = max(r.Plugin, peakOf(pid))
			}
		}
		return nil
	}()
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(r)
}

// peakOf is the greatest resident set of a process, 0 if the system does not tell.
// (What wait tells is wrong: it counts what was there before exec.)
func peakOf(pid string) int64 {
	text, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	kb, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	n, err := strconv.ParseInt(kb, 10, 64)
	if err != nil {
		return 0
	}
	return n << 10
}

// loopGroups is the plain program: one goroutine, a map, the file read by the engine's
// own scan.
func loopGroups(ctx context.Context, v *volley, query string) ([][]string, error) {
	groups := map[int64]*udffuncs.Moments{}
	err := v.each(ctx, query, func(b *vector.Batch, _ []vector.Field) error {
		keys, xs := vector.Values[int64](b.Col(0).Flatten()), vector.Values[float64](b.Col(1).Flatten())
		var last *udffuncs.Moments
		for i, k := range keys {
			if i == 0 || k != keys[i-1] {
				if last = groups[k]; last == nil {
					last = &udffuncs.Moments{}
					groups[k] = last
				}
			}
			last.Add(xs[i : i+1])
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var n int64
	var sum, above float64
	for _, m := range groups {
		a, b, c := m.Values()
		n, sum, above = n+a, sum+b, above+c
	}
	f := func(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }
	return [][]string{{strconv.Itoa(len(groups)), strconv.FormatInt(n, 10), f(sum), f(above)}}, nil
}
