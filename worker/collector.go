package worker

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

// collectorPercent is how much the heap grows over what lives, in per cent,
// before the collector runs: batches are large and live briefly.
const collectorPercent = 400

// TuneCollector sets the process's collector to run when the heap has grown by
// 400 % of what lives and by at least a sixteenth of memory, at most 512 MB.
// With little alive, as between and in small queries, 400 % of it is a few
// megabytes, and the collector would run dozens of times in a query of 50 ms;
// over TPC-H and H2O that is a tenth of all time. memory is in bytes, what
// tasks may use; the limit of debug.SetMemoryLimit goes before all this.
//
// The runtime knows no least heap, only the percentage, so that is set anew
// after each collection (a finalizer runs in each, as in Uber's GOGC tuner). stop
// ends that and leaves the percentage as it was before.
func TuneCollector(memory int64) (stop func()) {
	t := &tuner{least: max(16<<20, min(memory/16, 512<<20)), live: []metrics.Sample{{Name: "/gc/heap/live:bytes"}}}
	t.before = debug.SetGCPercent(collectorPercent)
	t.percent = collectorPercent
	t.adjust()
	runtime.SetFinalizer(&cycle{tuner: t}, (*cycle).collected)
	return t.stop
}

type tuner struct {
	mu      sync.Mutex
	least   int64 // growth in bytes before a collection
	live    []metrics.Sample
	before  int // percentages before TuneCollector and now
	percent int
	stopped bool
}

// cycle is garbage as soon as it is made; its finalizer is the notice of a
// collection. It is larger than what the runtime packs together.
type cycle struct {
	tuner *tuner
	_     [16]byte
}

func (c *cycle) collected() {
	if c.tuner.adjust() {
		runtime.SetFinalizer(c, (*cycle).collected)
	}
}

// adjust sets the percentage for what lived at the last collection. It reports
// whether it is to be called after the next one.
func (t *tuner) adjust() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopped {
		return false
	}
	metrics.Read(t.live)
	live := max(int64(t.live[0].Value.Uint64()), 1<<20)
	want := max(collectorPercent, int(t.least*100/live))
	// Setting it stops the world for a moment: not for a small change.
	if want > t.percent+t.percent/8 || want < t.percent-t.percent/8 {
		debug.SetGCPercent(want)
		t.percent = want
	}
	return true
}

func (t *tuner) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.stopped {
		t.stopped = true
		debug.SetGCPercent(t.before)
	}
}
