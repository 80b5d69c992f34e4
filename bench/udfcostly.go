package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"google.golang.org/grpc"

	"github.com/volleydb/volley/bench/udffuncs"
	"github.com/volleydb/volley/coordinator"
	"github.com/volleydb/volley/exchange"
)

// workers is a coordinator in this process with workers in processes of their own, of
// one slot each.
type workers struct {
	v     *volley
	grpc  *grpc.Server
	procs []*exec.Cmd
}

func startWorkers(ctx context.Context, program, dir string, n int) (_ *workers, err error) {
	c := &workers{v: &volley{}}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := lis.Addr().String()
	c.v.server, err = coordinator.Open(ctx, coordinator.OpenConfig{Dir: filepath.Join(dir, "coordinator"), ExchangeAddress: addr, Slots: 1})
	if err != nil {
		return nil, err
	}
	c.grpc = grpc.NewServer(exchange.ServerOptions()...)
	c.v.server.Cluster.Serve(c.grpc)
	c.v.server.Worker.Serve(c.grpc)
	go func() { _ = c.grpc.Serve(lis) }()
	for i := range n {
		cmd := exec.CommandContext(ctx, program, "worker", "--coordinator", addr, "--slots", "1", "--id", "w"+strconv.Itoa(i+1),
			"--data", filepath.Join(dir, "worker-"+strconv.Itoa(i+1)), "--http-listen", "", "--log-level", "error")
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
		cmd.WaitDelay = 5 * time.Second
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			return nil, err
		}
		c.procs = append(c.procs, cmd)
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		up := 0
		for _, w := range c.v.server.Cluster.Workers() {
			if !w.Embedded {
				up++
			}
		}
		if up == n {
			break
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("%d of %d workers have registered", up, n)
		}
	}
	c.v.session, err = c.v.server.NewSession(ctx, coordinator.SessionOptions{})
	return c, err
}

func (c *workers) close() {
	if c.v.session != nil {
		c.v.session.Close()
	}
	for _, p := range c.procs {
		_ = p.Process.Kill() // nothing of theirs is missed
		_ = p.Wait()
	}
	if c.v.server != nil {
		_ = c.v.server.Close()
	}
	if c.grpc != nil {
		c.grpc.Stop()
	}
}

// burnRounds finds the rounds of udffuncs.Burn that take d.
func burnRounds(d time.Duration) int64 {
	const probe = 1 << 20
	best := time.Hour
	for range 20 {
		start := time.Now()
		keep = udffuncs.Burn(1, probe)
		best = min(best, time.Since(start))
	}
	return int64(float64(probe) * float64(d) / float64(best))
}

// burnLoop is the plain program: CSV in, the function, CSV out.
func burnLoop(in, out string, rounds int64) error {
	text, err := os.ReadFile(in)
	if err != nil {
		return err
	}
	rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil {
		return err
	}
	var b bytes.Buffer
	b.WriteString("id,y\n")
	for _, r := range rows[1:] {
		x, err := strconv.ParseFloat(r[1], 64)
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s,%s\n", r[0], strconv.FormatFloat(udffuncs.Burn(x, rounds), 'g', -1, 64))
	}
	return os.WriteFile(out, b.Bytes(), 0o644)
}

// twoLoops is how long the function takes for so many rows in two loops at once, with
// nothing around them: what two workers could do on this machine.
func twoLoops(rows int, rounds int64) time.Duration {
	start := time.Now()
	var wg sync.WaitGroup
	for half := range 2 {
		wg.Go(func() {
			sum := 0.0
			for i := half; i < rows; i += 2 {
				sum += udffuncs.Burn(float64(i), rounds)
			}
			kept[half] = sum
		})
	}
	wg.Wait()
	return time.Since(start)
}

var kept [2]float64 // as keep

// runCostly is Wallaroo's experiment: a function that computes for 3.5 ms per row, over
// files in CSV, by a plain loop and by 1, 2 and 4 workers of one slot. The files that
// they write have to be the same.
func runCostly(ctx context.Context, c config, program string, out, log io.Writer) error {
	tmp, err := os.MkdirTemp("", "volley-bench-costly-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	src := filepath.Join(tmp, "plugin")
	if err := os.Mkdir(src, 0o755); err != nil {
		return err
	}
	if err := udffuncs.WriteSource(src); err != nil {
		return err
	}
	rounds := burnRounds(c.burn)
	counts := []int{1, 2, 4}
	clusters := map[int]*workers{}
	for _, n := range counts {
		w, err := startWorkers(ctx, program, filepath.Join(tmp, strconv.Itoa(n)), n)
		if err != nil {
			return err
		}
		defer w.close()
		clusters[n] = w
		digest, err := w.v.putPlugin(ctx, src, "costly", "")
		if err != nil {
			return err
		}
		if _, err := w.v.rows(ctx, fmt.Sprintf("CREATE FUNCTION burn(x float8, rounds bigint) RETURNS float8 LANGUAGE go IMMUTABLE STRICT COST %d AS %s, 'burn'",
			c.burn/25, quote(digest))); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "\na function of %v per row, CSV in and out, workers of one slot, %d CPUs\n", c.burn, c.threads)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "rows\tplain loop s\ttwo loops at once s\t1 worker s\t2 workers s\t4 workers s\t1 worker/loop\t1/2 workers\tloop/two loops\tfiles\tplan without the work ms")
	for _, rows := range []int{1000, 10_000} {
		if rows > 1000 && c.rows < 1_000_000 {
			continue // a short run
		}
		in := filepath.Join(tmp, fmt.Sprintf("in-%d.csv", rows))
		var b strings.Builder
		b.WriteString("id,x\n")
		for i := range rows {
			fmt.Fprintf(&b, "%d,%v\n", i, float64(i*7919%100000)/64)
		}
		if err := os.WriteFile(in, []byte(b.String()), 0o644); err != nil {
			return err
		}
		reps := 3
		if rows > 1000 {
			reps = 1
		}
		best, both := map[int]time.Duration{}, time.Hour
		files := "identical"
		query := func(rounds int64, to string) string {
			return fmt.Sprintf("COPY (SELECT id, burn(x, %d) AS y FROM read_csv(%s)) TO %s (FORMAT csv, HEADER)", rounds, quote(in), quote(to))
		}
		idle := time.Hour // what the same plan takes when the function does next to nothing
		for range 5 {
			start := time.Now()
			if _, err := clusters[1].v.rows(ctx, query(1, filepath.Join(tmp, "idle.csv"))); err != nil {
				return err
			}
			idle = min(idle, time.Since(start))
		}
		fmt.Fprintf(log, "%d rows; without the work %v\n", rows, idle)
		for range reps {
			both = min(both, twoLoops(rows, rounds))
			for _, n := range append([]int{0}, counts...) {
				to := filepath.Join(tmp, fmt.Sprintf("out-%d.csv", n))
				if err := os.Remove(to); err != nil && !errors.Is(err, os.ErrNotExist) {
					return err
				}
				start := time.Now()
				if n == 0 {
					err = burnLoop(in, to, rounds)
				} else {
					_, err = clusters[n].v.rows(ctx, query(rounds, to))
				}
				took := time.Since(start)
				if err != nil {
					return fmt.Errorf("%d workers: %w", n, err)
				}
				if best[n] == 0 || took < best[n] {
					best[n] = took
				}
				if n == 0 {
					continue
				}
				if cmp := exec.CommandContext(ctx, "cmp", filepath.Join(tmp, "out-0.csv"), to); cmp.Run() != nil {
					files = fmt.Sprintf("of %d workers differs", n)
				}
			}
		}
		s := func(n int) float64 { return best[n].Seconds() }
		fmt.Fprintf(w, "%d\t%.3f\t%.3f\t%.3f\t%.3f\t%.3f\t%+.1f %%\t%.2fx\t%.2fx\t%s\t%.0f\n", rows, s(0), both.Seconds(), s(1), s(2), s(4),
			100*(s(1)/s(0)-1), s(1)/s(2), s(0)/both.Seconds(), files, float64(idle)/1e6)
		if err := w.Flush(); err != nil {
			return err
		}
		if files != "identical" {
			return errors.New("the file " + files)
		}
	}
	return nil
}
