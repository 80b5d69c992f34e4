package exchange

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/vector"
)

// StoreConfig says where outputs are kept.
type StoreConfig struct {
	Dir         string // for spilled outputs; emptied at start. Required.
	Memory      int64  // bytes of batches held in memory; 0 = 256 MiB
	Disk        int64  // bytes of spilled outputs; 0 = no limit but the disk's
	Incarnation string // of the process; remote readers must name it
}

// Store keeps the outputs of this process' tasks until their query is dropped.
type Store struct {
	cfg    StoreConfig
	memory atomic.Int64 // bytes of resident batches
	disk   atomic.Int64 // bytes in spill files

	mu      sync.Mutex
	outputs map[TaskKey]*Output
	queries map[string]*holding // of queries with outputs or a limit
	dropped map[string]struct{} // tombstones: late tasks of these queries are refused
	order   []string            // of dropped, oldest first
}

// maxTombstones bounds the memory of dropped query ids.
const maxTombstones = 4096

// NewStore makes a store and empties its folder of a former process' outputs.
func NewStore(cfg StoreConfig) (*Store, error) {
	if cfg.Memory <= 0 {
		cfg.Memory = 256 << 20
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, pgerr.Wrap(err, pgerr.IOError, "could not create the exchange directory %q", cfg.Dir)
	}
	old, err := os.ReadDir(cfg.Dir)
	if err != nil {
		return nil, pgerr.Wrap(err, pgerr.IOError, "could not list the exchange directory %q", cfg.Dir)
	}
	for _, f := range old {
		if !strings.HasSuffix(f.Name(), spillSuffix) {
			continue
		}
		if err := os.Remove(filepath.Join(cfg.Dir, f.Name())); err != nil {
			return nil, pgerr.Wrap(err, pgerr.IOError, "could not remove an old exchange file")
		}
	}
	return &Store{cfg: cfg, outputs: map[TaskKey]*Output{}, queries: map[string]*holding{}, dropped: map[string]struct{}{}}, nil
}

// Incarnation is that of the process.
func (s *Store) Incarnation() string { return s.cfg.Incarnation }

// Usage returns the bytes held in memory and on disk, and the number of outputs.
func (s *Store) Usage() (memory, disk int64, outputs int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.memory.Load(), s.disk.Load(), len(s.outputs)
}

// Create begins the output of a task's attempt. It is refused when the query
// has been dropped (57014) or the attempt exists already.
func (s *Store) Create(key TaskKey, partitions int) (*Output, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.dropped[key.Query]; ok {
		return nil, pgerr.New(pgerr.QueryCanceled, "canceling statement due to user request").WithDetail("The query of task %s has ended.", key)
	}
	if _, ok := s.outputs[key]; ok {
		return nil, pgerr.New(pgerr.InternalError, "task %s has an output already", key)
	}
	o := &Output{store: s, key: key, parts: make([]partition, partitions), query: s.holding(key.Query)}
	s.outputs[key] = o
	return o, nil
}

// Open returns a source of one or more partitions of a sealed output, one after
// the other. What is not there, or not sealed, is a FetchError that is Gone.
func (s *Store) Open(key TaskKey, partitions ...uint32) (Source, error) {
	o, err := s.find(key, partitions)
	if err != nil {
		return nil, err
	}
	return &localSource{out: o, parts: partitions}, nil
}

func (s *Store) find(key TaskKey, partitions []uint32) (*Output, error) {
	s.mu.Lock()
	o := s.outputs[key]
	s.mu.Unlock()
	if o == nil {
		return nil, fetchError(key, true, "it is not here")
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.sealed || o.gone {
		return nil, fetchError(key, true, "it is not sealed")
	}
	for _, p := range partitions {
		if int(p) >= len(o.parts) {
			return nil, fetchError(key, true, "it has no partition %d", p)
		}
	}
	return o, nil
}

// Dropped reports whether a query has been dropped lately.
func (s *Store) Dropped(query string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.dropped[query]
	return ok
}

// Discard frees the output of one attempt, if it is here.
func (s *Store) Discard(key TaskKey) {
	s.mu.Lock()
	o := s.outputs[key]
	delete(s.outputs, key)
	s.mu.Unlock()
	if o != nil {
		o.free()
	}
}

// DropQuery frees all outputs of a query and refuses new ones.
func (s *Store) DropQuery(query string) {
	s.mu.Lock()
	if _, ok := s.dropped[query]; !ok {
		s.dropped[query] = struct{}{}
		s.order = append(s.order, query)
		if len(s.order) > maxTombstones {
			delete(s.dropped, s.order[0])
			s.order = s.order[1:]
		}
	}
	s.mu.Unlock()
	s.FreeQuery(query)
}

// FreeQuery frees all outputs of a query, which may go on.
func (s *Store) FreeQuery(query string) {
	s.mu.Lock()
	var gone []*Output
	for k, o := range s.outputs {
		if k.Query == query {
			gone = append(gone, o)
			delete(s.outputs, k)
		}
	}
	delete(s.queries, query)
	s.mu.Unlock()
	for _, o := range gone {
		o.free()
	}
}

// Close frees everything.
func (s *Store) Close() error {
	s.mu.Lock()
	outs := s.outputs
	s.outputs = map[TaskKey]*Output{}
	s.mu.Unlock()
	for _, o := range outs {
		o.free()
	}
	return nil
}

// block is one stored batch: in memory, or at off in the output's file.
type block struct {
	batch *vector.Batch
	size  int64 // in memory when batch is set, else in the file
	off   int64
}

type partition struct {
	blocks []block
	rows   int64
	bytes  int64
}

// Output is what one attempt of a task produces. One goroutine appends and
// seals; after that any number read.
type Output struct {
	store    *Store
	key      TaskKey
	query    *holding
	resident atomic.Int64

	mu      sync.Mutex
	parts   []partition
	file    *os.File
	fileLen int64
	sealed  bool
	gone    bool
}

const spillSuffix = ".exchange"

// Key is the attempt's identity.
func (o *Output) Key() TaskKey { return o.key }

// Append stores a batch, which must be dense and stay unchanged.
func (o *Output) Append(part int, b *vector.Batch) error {
	size := b.Size()
	o.mu.Lock()
	if o.sealed || o.gone {
		gone := o.gone
		o.mu.Unlock()
		if gone {
			return pgerr.New(pgerr.QueryCanceled, "canceling statement due to user request").WithDetail("The output of task %s has been dropped.", o.key)
		}
		return pgerr.New(pgerr.InternalError, "output of task %s is sealed", o.key)
	}
	p := &o.parts[part]
	p.blocks = append(p.blocks, block{batch: b, size: size})
	p.rows += int64(b.Rows())
	p.bytes += size
	o.resident.Add(size)
	o.mu.Unlock()
	return o.store.reserve(o, size)
}

// Seal ends the output and makes it readable.
func (o *Output) Seal() ([]*proto.PartitionStat, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.gone {
		return nil, pgerr.New(pgerr.QueryCanceled, "canceling statement due to user request").WithDetail("The output of task %s has been dropped.", o.key)
	}
	o.sealed = true
	stats := make([]*proto.PartitionStat, len(o.parts))
	for i := range o.parts {
		stats[i] = &proto.PartitionStat{Rows: o.parts[i].rows, Bytes: o.parts[i].bytes}
	}
	return stats, nil
}

// Abort removes the output of an attempt that failed.
func (o *Output) Abort() {
	s := o.store
	s.mu.Lock()
	if s.outputs[o.key] == o {
		delete(s.outputs, o.key)
	}
	s.mu.Unlock()
	o.free()
}

func (o *Output) free() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.gone {
		return
	}
	o.gone = true
	o.parts = nil
	n := o.resident.Swap(0)
	o.store.memory.Add(-n)
	o.query.resident.Add(-n)
	if o.file != nil {
		name := o.file.Name()
		_ = o.file.Close() // it was only read since the last successful write
		_ = os.Remove(name)
		o.file = nil
		o.store.disk.Add(-o.fileLen)
	}
}

// spill moves the resident batches to the file.
func (o *Output) spill() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.gone {
		return nil
	}
	if o.file == nil {
		f, err := os.CreateTemp(o.store.cfg.Dir, "*"+spillSuffix)
		if err != nil {
			return diskError(err, o.key)
		}
		o.file = f
	}
	var buf []byte
	for i := range o.parts {
		for j := range o.parts[i].blocks {
			b := &o.parts[i].blocks[j]
			if b.batch == nil {
				continue
			}
			var err error
			if buf, err = vector.EncodeBatch(buf[:0], b.batch); err != nil {
				return err
			}
			n := int64(len(buf))
			if used := o.store.disk.Add(n); o.store.cfg.Disk > 0 && used > o.store.cfg.Disk {
				o.store.disk.Add(-n)
				return pgerr.New(pgerr.DiskFull, "exchange data exceeds the limit of %d bytes on disk", o.store.cfg.Disk).
					WithDetail("Spilling the output of task %s.", o.key)
			}
			if _, err := o.file.WriteAt(buf, o.fileLen); err != nil {
				o.store.disk.Add(-n)
				return diskError(err, o.key)
			}
			o.store.memory.Add(-b.size)
			o.query.resident.Add(-b.size)
			o.resident.Add(-b.size)
			*b = block{size: n, off: o.fileLen}
			o.fileLen += n
		}
	}
	return nil
}

func diskError(err error, key TaskKey) error {
	code := pgerr.IOError
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		code = pgerr.DiskFull
	}
	return pgerr.Wrap(err, code, "could not spill the output of task %s", key)
}

// read returns block i of a partition as a batch or as its encoded bytes (in a
// buffer of its own), and false at the end.
func (o *Output) read(part uint32, i int) (b *vector.Batch, raw []byte, ok bool, err error) {
	o.mu.Lock()
	if o.gone {
		o.mu.Unlock()
		return nil, nil, false, fetchError(o.key, true, "it has been dropped")
	}
	blocks := o.parts[part].blocks
	if i >= len(blocks) {
		o.mu.Unlock()
		return nil, nil, false, nil
	}
	bl, f := blocks[i], o.file
	o.mu.Unlock()
	if bl.batch != nil {
		return bl.batch, nil, true, nil
	}
	raw = make([]byte, bl.size)
	if _, err := f.ReadAt(raw, bl.off); err != nil {
		return nil, nil, false, fetchError(o.key, true, "%v", err)
	}
	return nil, raw, true, nil
}

// blocks counts the blocks of partitions.
func (o *Output) blocks(part uint32) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.gone {
		return 0
	}
	return len(o.parts[part].blocks)
}

// localSource hands out the stored batches themselves.
type localSource struct {
	out   *Output
	parts []uint32
	next  int // block of parts[0]
}

func (l *localSource) Next(ctx context.Context) (*vector.Batch, error) {
	for len(l.parts) > 0 {
		if err := ctx.Err(); err != nil {
			return nil, pgerr.From(err)
		}
		b, raw, ok, err := l.out.read(l.parts[0], l.next)
		if err != nil {
			return nil, err
		}
		if !ok {
			l.parts, l.next = l.parts[1:], 0
			continue
		}
		l.next++
		if b == nil {
			if b, err = vector.DecodeBatch(nil, raw); err != nil {
				return nil, fetchError(l.out.key, true, "%v", err)
			}
		}
		return b, nil
	}
	return nil, nil
}

func (l *localSource) Close() error {
	l.parts = nil
	return nil
}
