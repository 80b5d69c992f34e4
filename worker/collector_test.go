package worker

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

func percentNow() int {
	p := debug.SetGCPercent(100)
	debug.SetGCPercent(p)
	return p
}

// The percentage follows what lives: large with a small heap, 400 with a large
// one, and as before after stop.
func TestTuneCollector(t *testing.T) {
	before := percentNow()
	stop := TuneCollector(16 * 64 << 20) // at least 64 MB of growth
	defer stop()
	runtime.GC()
	wait(t, func() bool { return percentNow() > collectorPercent })

	big := make([]byte, 256<<20)
	runtime.GC()
	wait(t, func() bool { return percentNow() == collectorPercent })
	runtime.KeepAlive(big)

	big = nil
	runtime.GC()
	wait(t, func() bool { return percentNow() > collectorPercent })

	stop()
	runtime.GC()
	time.Sleep(10 * time.Millisecond)
	if p := percentNow(); p != before {
		t.Errorf("after stop: %d, before %d", p, before)
	}
}

func wait(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the percentage stays at %d", percentNow())
		}
		runtime.GC()
	}
}
