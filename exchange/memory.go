package exchange

import "sync/atomic"

// holding is what the outputs of one query keep in memory here.
type holding struct {
	resident atomic.Int64
	free     atomic.Pointer[func() int64] // what they may keep now; nil = no limit of the query's
}

func (s *Store) holding(query string) *holding {
	h := s.queries[query]
	if h == nil {
		h = &holding{}
		s.queries[query] = h
	}
	return h
}

// Limit bounds what the outputs of a query keep in memory by free, which tells
// the bytes that the query's operators leave of its budget. It holds until the
// query is dropped or freed. free may be called from any goroutine.
func (s *Store) Limit(query string, free func() int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.dropped[query]; !ok {
		s.holding(query).free.Store(&free)
	}
}

// Resident is the bytes that the outputs of a query keep in memory.
func (s *Store) Resident(query string) int64 {
	s.mu.Lock()
	h := s.queries[query]
	s.mu.Unlock()
	if h == nil {
		return 0
	}
	return h.resident.Load()
}

// Shrink moves outputs of a query to disk until those in memory are within limit
// bytes, or none is left.
func (s *Store) Shrink(query string, limit int64) error {
	s.mu.Lock()
	h := s.queries[query]
	s.mu.Unlock()
	if h == nil {
		return nil
	}
	for h.resident.Load() > limit {
		if done, err := s.spillLargest(query); done || err != nil {
			return err
		}
	}
	return nil
}

// reserve makes room for n bytes more of an output, spilling the outputs that
// hold most.
func (s *Store) reserve(o *Output, n int64) error {
	if free := o.query.free.Load(); o.query.resident.Add(n) > 0 && free != nil {
		if err := s.Shrink(o.key.Query, max(0, (*free)())); err != nil {
			return err
		}
	}
	if s.memory.Add(n) <= s.cfg.Memory {
		return nil
	}
	for s.memory.Load() > s.cfg.Memory {
		if done, err := s.spillLargest(""); done || err != nil {
			return err
		}
	}
	return nil
}

// spillLargest spills the output that holds most, of one query or of all. It is
// done when none holds anything: what then is left is on its way, bounded by one
// batch per task.
func (s *Store) spillLargest(query string) (done bool, err error) {
	s.mu.Lock()
	var big *Output
	var size int64
	for k, o := range s.outputs {
		if query != "" && k.Query != query {
			continue
		}
		if r := o.resident.Load(); r > size {
			big, size = o, r
		}
	}
	s.mu.Unlock()
	if big == nil {
		return true, nil
	}
	return false, big.spill()
}
