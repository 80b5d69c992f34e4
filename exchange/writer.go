package exchange

import (
	"context"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/vector"
)

// Writer partitions a task's batches into its Output. It belongs to one
// goroutine. Small pieces are collected into batches of a fair size before they
// are stored; what it holds back is at most that per partition.
type Writer struct {
	out   *Output
	kind  proto.Partitioning_Kind
	parts []pending
	rows  int // target per stored batch

	chunk    int64 // CHUNK: rows of a chunk
	chunkRow int64 // CHUNK: rows written so far
	task     int   // CHUNK: where the rotation starts

	hashes []uint64
	ids    []int32
	sel    []int32 // row numbers grouped by partition
	starts []int32
	seq    []int32 // 0, 1, 2, …
}

type pending struct {
	cols []*vector.Appender
	rows int
}

// chunkRows is the unit of CHUNK partitioning. It counts rows of the task's
// output, not batches, so that the assignment does not depend on batch sizes.
const chunkRows = 16384

// NewWriter makes a writer of output out. task is the number of the task in its
// stage; batchRows the target batch size, 0 for the default.
func NewWriter(out *Output, p *proto.Partitioning, task, batchRows int) *Writer {
	if batchRows <= 0 {
		batchRows = vector.DefaultRows
	}
	n := Count(p)
	w := &Writer{out: out, kind: p.GetKind(), parts: make([]pending, n), rows: batchRows, task: task, chunk: chunkRows}
	if c := p.GetChunkRows(); c > 0 {
		w.chunk = int64(c)
	}
	if n > 16 {
		// Many partitions: smaller batches bound what is held back.
		w.rows = max(min(batchRows, 16*batchRows/n), min(batchRows, 1024))
	}
	return w
}

// Write stores a batch. keys are the partitioning's keys evaluated over it, for
// HASH only.
func (w *Writer) Write(ctx context.Context, b *vector.Batch, keys []*vector.Vector) error {
	if err := ctx.Err(); err != nil {
		return pgerr.From(err)
	}
	n := b.Rows()
	if n == 0 {
		return nil
	}
	switch w.kind {
	case proto.Partitioning_HASH:
		if len(w.parts) > 1 {
			return w.scatter(b, keys)
		}
	case proto.Partitioning_CHUNK:
		return w.chunks(b)
	}
	return w.whole(0, b)
}

// whole stores a batch that goes to one partition, without copying when it is
// big enough to stand alone.
func (w *Writer) whole(part int, b *vector.Batch) error {
	p := &w.parts[part]
	if b.Rows() >= w.rows/4 {
		if err := w.flush(part); err != nil {
			return err
		}
		return w.out.Append(part, b.Dense())
	}
	return w.collect(p, part, b, w.sequence(b.Rows()))
}

func (w *Writer) sequence(n int) []int32 {
	for i := len(w.seq); i < n; i++ {
		w.seq = append(w.seq, int32(i))
	}
	return w.seq[:n]
}

func (w *Writer) collect(p *pending, part int, b *vector.Batch, idx []int32) error {
	if p.cols == nil {
		p.cols = make([]*vector.Appender, b.NumCols())
		for i := range p.cols {
			p.cols[i] = vector.NewAppender(b.Col(i).Type)
		}
	}
	for i, c := range p.cols {
		if p.rows > 0 && !c.Room(b.Col(i), idx) {
			if err := w.flush(part); err != nil {
				return err
			}
			return w.collect(p, part, b, idx)
		}
	}
	for i, c := range p.cols {
		c.Append(b.Col(i), idx)
	}
	p.rows += len(idx)
	if p.rows >= w.rows {
		return w.flush(part)
	}
	return nil
}

// flush stores what a partition has collected.
func (w *Writer) flush(part int) error {
	p := &w.parts[part]
	if p.rows == 0 {
		return nil
	}
	cols := make([]*vector.Vector, len(p.cols))
	for i, c := range p.cols {
		cols[i] = c.Build()
		cols[i].Trim() // the first and the last batches of a partition
	}
	b := vector.NewBatch(cols, p.rows)
	p.rows = 0
	return w.out.Append(part, b)
}

func (w *Writer) chunks(b *vector.Batch) error {
	for from, n := 0, b.Rows(); from < n; {
		part := int((int64(w.task) + w.chunkRow/w.chunk) % int64(len(w.parts)))
		to := min(n, from+int(w.chunk-w.chunkRow%w.chunk))
		if err := w.whole(part, b.Slice(from, to)); err != nil {
			return err
		}
		w.chunkRow += int64(to - from)
		from = to
	}
	return nil
}

// scatter groups the rows by partition with a counting sort, which keeps their
// order, and gathers each group into the partition's collector.
func (w *Writer) scatter(b *vector.Batch, keys []*vector.Vector) error {
	n, count := b.Rows(), len(w.parts)
	if cap(w.hashes) < n {
		w.hashes, w.ids, w.sel = make([]uint64, n), make([]int32, n), make([]int32, n)
	}
	hashes, ids, sel := w.hashes[:n], w.ids[:n], w.sel[:n]
	HashRows(keys, n, hashes)
	if len(w.starts) == 0 {
		w.starts = make([]int32, count+1)
	}
	starts := w.starts
	clear(starts)
	for i, h := range hashes {
		p := int32(HashPartition(h, count))
		ids[i] = p
		starts[p+1]++
	}
	for p := range count {
		starts[p+1] += starts[p]
	}
	for i, p := range ids {
		sel[starts[p]] = int32(i)
		starts[p]++
	}
	// starts[p] is now the end of p's group.
	from := int32(0)
	for p := range count {
		to := starts[p]
		if to > from {
			if err := w.collect(&w.parts[p], p, b, sel[from:to]); err != nil {
				return err
			}
		}
		from = to
	}
	return nil
}

// Seal stores what is held back and seals the output.
func (w *Writer) Seal() ([]*proto.PartitionStat, error) {
	for p := range w.parts {
		if err := w.flush(p); err != nil {
			return nil, err
		}
	}
	return w.out.Seal()
}
