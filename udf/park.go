package udf

import (
	"context"
	"sync"
	"time"

	gproto "google.golang.org/protobuf/proto"

	"github.com/volleydb/volley/proto"
)

// Every task opens a stream for each function that it calls, and tasks are short:
// streams of scalar functions that ended well are kept for the tasks to come, with
// their slots, of at most keepBytes together, and their side in the plugin.
const (
	maxParked = 16 // of one child
	parkTime  = keepTime
)

// parkedStream waits for its next user.
type parkedStream struct {
	s     *stream
	since time.Time
	bytes int // of its slots
}

// park keeps s for the next user of the same function; false if it must be closed.
func (s *stream) park() bool {
	s.mu.Lock()
	ok := s.key != "" && s.err == nil && !s.closed && s.inflight == 0 && len(s.results) == 0
	s.query, s.ctx = "", context.Background()
	s.mu.Unlock()
	bytes, c := s.slotBytes(), s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	all := bytes
	for i := range c.parked {
		all += c.parked[i].bytes
	}
	if !ok || c.ended || len(c.parked) >= maxParked || all > keepBytes {
		return false
	}
	c.parked = append(c.parked, parkedStream{s, time.Now(), bytes})
	return true
}

// unpark returns a stream that was kept, nil if there is none.
func (c *child) unpark(ctx context.Context, key string) *stream {
	c.mu.Lock()
	var s *stream
	for i := len(c.parked) - 1; i >= 0 && s == nil; i-- {
		if c.parked[i].s.key == key {
			s = c.parked[i].s
			c.parked = append(c.parked[:i], c.parked[i+1:]...)
		}
	}
	c.mu.Unlock()
	if s == nil {
		return nil
	}
	if s.ended() != nil {
		s.close() // it may have failed unasked
		return nil
	}
	s.mu.Lock()
	s.query, s.ctx, s.figures, s.advance = queryOf(ctx), ctx, Figures{}, time.Now()
	s.mu.Unlock()
	return s
}

// closeParked closes the streams that have been parked since before, or longer.
func (c *child) closeParked(before time.Time) {
	c.mu.Lock()
	var old []*stream
	n := 0
	for _, p := range c.parked {
		if p.since.Before(before) {
			old = append(old, p.s)
			continue
		}
		c.parked[n] = p
		n++
	}
	clear(c.parked[n:])
	c.parked = c.parked[:n]
	c.mu.Unlock()
	for _, s := range old {
		s.close()
	}
}

// streamKey says which streams are alike for their users; "" where that is not known.
// Display and version are the name in errors and logs: several functions can be one
// symbol of an artifact.
func streamKey(ref *proto.UDF) string {
	b, err := gproto.MarshalOptions{Deterministic: true}.Marshal(&proto.UDF{Symbol: ref.Symbol, Args: ref.Args, Returns: ref.Returns, TimeoutMs: ref.TimeoutMs,
		Display: ref.Display, Version: ref.Version})
	if err != nil {
		return ""
	}
	return string(b)
}

// rowCosts remembers what rows cost in functions of a host, in nanoseconds.
type rowCosts struct {
	mu sync.Mutex
	ns map[string]float64
}

// maxRowCosts bounds the functions that are remembered.
const maxRowCosts = 10_000

func (h *Host) rowCost(ref *proto.UDF) float64 {
	h.costs.mu.Lock()
	defer h.costs.mu.Unlock()
	return h.costs.ns[ref.GetDigest()+"/"+ref.GetSymbol()]
}

func (h *Host) setRowCost(ref *proto.UDF, ns float64) {
	h.costs.mu.Lock()
	defer h.costs.mu.Unlock()
	key := ref.GetDigest() + "/" + ref.GetSymbol()
	if _, ok := h.costs.ns[key]; h.costs.ns == nil || !ok && len(h.costs.ns) >= maxRowCosts {
		h.costs.ns = map[string]float64{}
	}
	h.costs.ns[key] = ns
}
