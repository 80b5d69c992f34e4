package udf

import (
	"fmt"
	"strconv"

	"github.com/volleydb/volley/proto"
)

// Figures are what a stream measured. All times are in nanoseconds.
type Figures struct {
	Batches    int64 // pieces sent
	Rows       int64
	UserNanos  int64 // inside user code, as the plugin says
	QueueNanos int64 // waiting for a turn
	StartNanos int64 // opening: the start of the process and its Init hooks
	Restarts   int64 // processes lost while the stream used them
	Errors     int64 // rows, or groups, that failed
}

func (f *Figures) add(x Figures) {
	f.Batches += x.Batches
	f.Rows += x.Rows
	f.UserNanos += x.UserNanos
	f.QueueNanos += x.QueueNanos
	f.StartNanos += x.StartNanos
	f.Restarts += x.Restarts
	f.Errors += x.Errors
}

// measured is what streams of functions that are not scalar have measured.
func (s *stream) measured() Figures {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.figures
}

// Figures returns the stream's figures so far.
func (s *ScalarStream) Figures() Figures { return s.figures }

// privateName names a process that one stream has for itself.
func (h *Host) privateName() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lastPrivate++
	return "#" + strconv.FormatUint(h.lastPrivate, 10)
}

// slotKey names the place of the process for ref.
func (h *Host) slotKey(ref *proto.UDF, private string) (key string, limit int64) {
	limit = ref.GetMemoryLimit()
	if limit <= 0 {
		limit = h.memory
	}
	return fmt.Sprintf("%s/%d%s", ref.GetDigest(), limit, private), limit
}

// endPrivate ends a private process. It does not wait: Close does.
func (h *Host) endPrivate(ref *proto.UDF, private string) {
	key, _ := h.slotKey(ref, private)
	h.mu.Lock()
	slot := h.slots[key]
	delete(h.slots, key)
	h.mu.Unlock()
	if slot == nil {
		return
	}
	slot.lock <- struct{}{} // nobody else opens streams on it
	h.mu.Lock()
	c := slot.child
	h.mu.Unlock()
	<-slot.lock
	if c != nil {
		c.kill(errClosed())
	}
}

// turnsOf is the semaphore of a function with a concurrency limit, else nil.
func (h *Host) turnsOf(ref *proto.UDF) chan struct{} {
	n := int(ref.GetConcurrency())
	if n <= 0 {
		return nil
	}
	key := ref.GetDigest() + "/" + ref.GetSymbol() + "/" + strconv.Itoa(n)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.turns == nil {
		h.turns = map[string]chan struct{}{}
	}
	t := h.turns[key]
	if t == nil {
		t = make(chan struct{}, n)
		h.turns[key] = t
	}
	return t
}
