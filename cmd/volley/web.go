package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/volleydb/volley/coordinator"
	"github.com/volleydb/volley/pgwire"
	"github.com/volleydb/volley/worker"
)

// web serves health and metrics.
type web struct{ srv *http.Server }

func newWeb(ready func() bool, metrics []prometheus.Collector, log *slog.Logger) *web {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	reg.MustRegister(metrics...)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !ready() {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "ready\n")
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{Registry: reg}))
	return &web{&http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}}
}

func (w *web) serve(ln net.Listener) error {
	if err := w.srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// close ends all connections; a scrape is not worth waiting long for.
func (w *web) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	if w.srv.Shutdown(ctx) != nil {
		_ = w.srv.Close()
	}
}

func gauge(name, help string, f func() float64) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "volley", Name: name, Help: help}, f)
}

// serverMetrics are those of a coordinator.
func serverMetrics(s *coordinator.Server, pg *pgwire.Server) []prometheus.Collector {
	return []prometheus.Collector{
		gauge("connections", "Clients that are connected.", func() float64 { return float64(pg.Connections()) }),
		gauge("queries_running", "Queries that run.", func() float64 { return float64(len(s.Cluster.Queries())) }),
		members{s},
		functions{s},
	}
}

// functions are the metrics of user-defined functions in queries that have ended.
type functions struct{ s *coordinator.Server }

var (
	udfLabels       = []string{"function", "version"}
	descUDFRows     = prometheus.NewDesc("volley_udf_rows_total", "Rows given to a user-defined function.", udfLabels, nil)
	descUDFSeconds  = prometheus.NewDesc("volley_udf_seconds_total", "Time of calls of a user-defined function.", append(udfLabels[:2:2], "phase"), nil)
	descUDFRestarts = prometheus.NewDesc("volley_udf_restarts_total", "Processes lost while they ran a user-defined function.", udfLabels, nil)
	descUDFErrors   = prometheus.NewDesc("volley_udf_errors_total", "Rows, or groups, on which a user-defined function failed.", udfLabels, nil)
	descUDFCalls    = prometheus.NewDesc("volley_udf_calls_total", "Batches that operators gave to a user-defined function.", udfLabels, nil)
	descUDFBatches  = prometheus.NewDesc("volley_udf_batches_total", "Batches that travelled to the process of a user-defined function.", udfLabels, nil)
	descUDFHits     = prometheus.NewDesc("volley_udf_cache_hits_total", "Rows that were answered without a call of a user-defined function.", udfLabels, nil)
)

// Describe implements prometheus.Collector.
func (functions) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descUDFRows, descUDFSeconds, descUDFRestarts, descUDFErrors, descUDFCalls, descUDFBatches, descUDFHits} {
		ch <- d
	}
}

// Collect implements prometheus.Collector. Artifacts of one function and version
// are one series.
func (f functions) Collect(ch chan<- prometheus.Metric) {
	type key struct{ function, version string }
	sums := map[key]*[10]float64{}
	for _, u := range f.s.UDFStats() {
		k := key{u.Function, strconv.Itoa(int(u.Version))}
		if sums[k] == nil {
			sums[k] = new([10]float64)
		}
		for i, v := range [10]int64{u.Rows, u.Restarts, u.Errors, u.UserNanos, u.TransferNanos, u.QueueNanos, u.ColdStartNanos, u.Calls, u.Batches, u.CacheHits} {
			sums[k][i] += float64(v)
		}
	}
	for k, v := range sums {
		send := func(d *prometheus.Desc, v float64, labels ...string) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, append([]string{k.function, k.version}, labels...)...)
		}
		send(descUDFRows, v[0])
		send(descUDFRestarts, v[1])
		send(descUDFErrors, v[2])
		send(descUDFCalls, v[7])
		send(descUDFBatches, v[8])
		send(descUDFHits, v[9])
		for i, phase := range []string{"user", "transfer", "queue", "cold_start"} {
			send(descUDFSeconds, v[3+i]/1e9, phase)
		}
	}
}

// members are the metrics of the cluster's workers as the coordinator sees them.
type members struct{ s *coordinator.Server }

var (
	descWorkers   = prometheus.NewDesc("volley_workers", "Workers by state.", []string{"state"}, nil)
	descTasks     = prometheus.NewDesc("volley_tasks_running", "Tasks that run on a worker.", []string{"worker"}, nil)
	descSlots     = prometheus.NewDesc("volley_worker_slots", "Tasks that may run at once on a worker.", []string{"worker"}, nil)
	descCompleted = prometheus.NewDesc("volley_tasks_completed_total", "Tasks that a worker has completed since it joined.", []string{"worker"}, nil)
	descFailed    = prometheus.NewDesc("volley_tasks_failed_total", "Tasks that have failed on a worker since it joined.", []string{"worker"}, nil)
)

// Describe implements prometheus.Collector.
func (members) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descWorkers, descTasks, descSlots, descCompleted, descFailed} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (m members) Collect(ch chan<- prometheus.Metric) {
	states := map[string]int{"up": 0, "suspect": 0, "draining": 0}
	send := func(d *prometheus.Desc, t prometheus.ValueType, v float64, label string) {
		ch <- prometheus.MustNewConstMetric(d, t, v, label)
	}
	seen := map[string]bool{} // a restarted worker may be there twice for a while
	for _, w := range m.s.Cluster.Workers() {
		states[w.State]++
		if seen[w.ID] {
			continue
		}
		seen[w.ID] = true
		send(descTasks, prometheus.GaugeValue, float64(w.RunningTasks), w.ID)
		send(descSlots, prometheus.GaugeValue, float64(w.Slots), w.ID)
		send(descCompleted, prometheus.CounterValue, float64(w.CompletedTasks), w.ID)
		send(descFailed, prometheus.CounterValue, float64(w.FailedTasks), w.ID)
	}
	for s, n := range states {
		send(descWorkers, prometheus.GaugeValue, float64(n), s)
	}
}

// workerMetrics are those of the worker in this process.
func workerMetrics(w *worker.Worker) []prometheus.Collector {
	return []prometheus.Collector{
		gauge("exchange_memory_bytes", "Retained task outputs in memory.", func() float64 { m, _, _ := w.Store().Usage(); return float64(m) }),
		gauge("exchange_disk_bytes", "Retained task outputs on disk.", func() float64 { _, d, _ := w.Store().Usage(); return float64(d) }),
		gauge("exchange_outputs", "Task outputs that are retained.", func() float64 { _, _, n := w.Store().Usage(); return float64(n) }),
	}
}
