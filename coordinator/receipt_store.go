package coordinator

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"github.com/volleydb/volley/catalog/pgcatalog"
)

// Bounds of the receipts besides their number: bytes in memory, and of a file, of
// which there are two, the current and the one before.
const (
	maxReceiptBytes   = 64 << 20
	maxReceipt        = 4 << 20 // of one
	maxReceiptJournal = 64 << 20
	// receiptDelay is how long receipts wait to be written together.
	receiptDelay = 100 * time.Millisecond
	receiptTick  = 10 * time.Second
)

// receiptStore keeps the receipts of the last statements, in memory and in a
// journal that outlives the process. It is safe for concurrent use.
type receiptStore struct {
	log  *slog.Logger
	keep int // receipts

	mu      sync.Mutex
	list    []*receiptEntry // oldest first
	byID    map[string]*receiptEntry
	bytes   int
	pending []*receiptEntry // not in the journal yet
	disk    *journal        // nil without; the writer's
	closed  bool

	tick func()        // called now and then by the writer
	wake chan struct{} // capacity 1
	stop chan struct{} // closed by close
	done chan struct{} // closed when the writer has ended; nil without one
}

// receiptEntry is one receipt: made by a recorder, or JSON.
type receiptEntry struct {
	head *receipt  // while raw is there, complete but for what raw knows
	raw  *recorder // nil once encoded
	once sync.Once
	json []byte
	arts []string // digests of artifacts, once encoded
	// What volley.query_receipts shows.
	row  pgcatalog.QueryReceipt
	size int // about what it takes, as counted in receiptStore.bytes
}

// encode makes the JSON, once.
func (e *receiptEntry) encode() []byte {
	e.once.Do(func() {
		if e.raw == nil {
			return
		}
		e.raw.complete(e.head)
		b, err := json.Marshal(e.head)
		if err != nil || len(b) > maxReceipt {
			short := *e.head
			short.Params, short.Functions, short.Inputs, short.Columns, short.Incomplete = nil, nil, nil, nil, "it would be too long"
			b, _ = json.Marshal(&short) // strings and numbers only
		}
		e.json, e.arts = b, e.head.artifacts()
		e.raw, e.head = nil, nil
	})
	return e.json
}

func receiptRow(rc *receipt) pgcatalog.QueryReceipt {
	r := pgcatalog.QueryReceipt{ID: rc.ID, User: rc.User, Database: rc.Database, Command: rc.Command, Statement: rc.Statement, State: rc.State,
		Hash: rc.Hash, Started: rc.Started, Millis: rc.Millis, Rows: -1}
	if rc.Rows != nil {
		r.Rows = *rc.Rows
	}
	if rc.Error != nil {
		r.Error = rc.Error.Message
	}
	return r
}

// openReceipts reads the journal in dir; "" keeps none. tick is called every
// receiptTick if there is one.
func openReceipts(dir string, keep int, tick func(), log *slog.Logger) (*receiptStore, error) {
	s := &receiptStore{log: log, tick: tick, keep: max(keep, 1), byID: map[string]*receiptEntry{}, wake: make(chan struct{}, 1), stop: make(chan struct{})}
	if dir == "" {
		return s, nil
	}
	disk, err := openJournal(dir, "receipts.jsonl", maxReceiptJournal, s.keep, func(line []byte) {
		var rc receipt
		if json.Unmarshal(line, &rc) != nil || rc.ID == "" {
			return
		}
		s.insert(&receiptEntry{json: bytes.Clone(bytes.TrimSpace(line)), arts: rc.artifacts(), row: receiptRow(&rc)})
	})
	if err != nil {
		return nil, err
	}
	s.disk = disk
	s.done = make(chan struct{})
	go s.run()
	return s, nil
}

// insert enters a receipt and lets the oldest go; mu is held, or the store is not
// shared yet.
func (s *receiptStore) insert(e *receiptEntry) {
	s.list = append(s.list, e)
	s.byID[e.row.ID] = e
	e.size = entrySize + 2*len(e.row.Statement) + len(e.json)
	s.bytes += e.size
	s.trim()
}

// trim lets the oldest go; mu is held.
func (s *receiptStore) trim() {
	drop := 0
	for len(s.list)-drop > s.keep || s.bytes > maxReceiptBytes && len(s.list)-drop > 1 {
		old := s.list[drop]
		s.bytes -= old.size
		delete(s.byID, old.row.ID)
		s.list[drop] = nil
		drop++
	}
	s.list = s.list[drop:]
}

// entrySize is about what a receipt takes besides texts.
const entrySize = 1000

// add takes the receipt of a statement that has ended.
func (s *receiptStore) add(e *receiptEntry) {
	e.row = receiptRow(e.head)
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.insert(e)
	first := false
	if s.done != nil {
		first = len(s.pending) == 0
		s.pending = append(s.pending, e)
		if n := len(s.pending) - s.keep; n > 0 {
			s.pending = s.pending[n:] // faster than the disk: they would not be kept
		}
	}
	s.mu.Unlock()
	if s.done == nil {
		e.encode() // rather than keep the statement
	}
	if first {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// run writes what has come, until close.
func (s *receiptStore) run() {
	defer close(s.done)
	ticks := time.NewTicker(receiptTick)
	defer ticks.Stop()
	for open := true; open; {
		select {
		case <-ticks.C:
			s.tick()
		case <-s.wake:
			select {
			case <-time.After(receiptDelay):
			case <-s.stop:
				open = false
			}
		case <-s.stop:
			open = false
		}
		s.flush()
	}
}

// flush writes what is pending. Only the writer calls it.
func (s *receiptStore) flush() {
	s.mu.Lock()
	list := s.pending
	s.pending = nil
	s.mu.Unlock()
	if len(list) == 0 {
		return
	}
	var b []byte
	for _, e := range list {
		b = append(append(b, e.encode()...), '\n')
	}
	s.mu.Lock()
	for _, e := range list {
		if s.byID[e.row.ID] == e {
			e.size += len(e.json)
			s.bytes += len(e.json)
		}
	}
	s.trim()
	s.mu.Unlock()
	if err := s.disk.write(b, len(list)); err != nil {
		s.log.Error("receipts could not be written", "err", err)
	}
}

// close writes what is pending and ends the writer.
func (s *receiptStore) close() {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.closed = true
	s.mu.Unlock()
	if s.done == nil {
		return
	}
	close(s.stop)
	<-s.done
	if err := s.disk.close(); err != nil {
		s.log.Error("receipts could not be written", "err", err)
	}
}

// find returns a receipt, nil if there is none.
func (s *receiptStore) find(id string) *receipt {
	s.mu.Lock()
	e := s.byID[id]
	s.mu.Unlock()
	if e == nil {
		return nil
	}
	rc := &receipt{}
	if json.Unmarshal(e.encode(), rc) != nil {
		return nil // made by this program, or checked when it was read
	}
	return rc
}

// rows are the receipts that a user may see, oldest first.
func (s *receiptStore) rows(visible func(user string) bool) []pgcatalog.QueryReceipt {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]pgcatalog.QueryReceipt, 0, len(s.list))
	for _, e := range s.list {
		if visible(e.row.User) {
			out = append(out, e.row)
		}
	}
	return out
}

// digests are the artifacts that receipts name: a replay needs them.
func (s *receiptStore) digests() map[string]bool {
	s.mu.Lock()
	list := append([]*receiptEntry(nil), s.list...)
	s.mu.Unlock()
	out := map[string]bool{}
	for _, e := range list {
		e.encode()
		for _, d := range e.arts {
			out[d] = true
		}
	}
	return out
}

// artifacts are the digests of what the query called.
func (rc *receipt) artifacts() (out []string) {
	for _, f := range rc.Functions {
		for _, d := range []string{f.Digest, f.CanaryDig} {
			if d != "" {
				out = append(out, d)
			}
		}
	}
	return out
}
