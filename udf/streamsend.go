package udf

import (
	"time"

	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/udf/sdk/wire"
	"github.com/volleydb/volley/vector"
)

// send copies rows [from, to) of cols into input slot i, which is free, and
// sends them, after the frames waiting in buf.
func (s *stream) send(i int, op uint8, cols []*vector.Vector, from, to int, groups []int32, base, done int64) (seq uint64, err error) {
	var declared []types.Type // other operations have states
	if op == wire.OpRows {
		declared = s.args
	}
	if s.ins, err = inCols(s.ins[:0], cols, declared, from, to); err != nil {
		return 0, err
	}
	s.msg.Base, s.msg.Done = base, done
	return s.sendIns(i, op, to-from, groups)
}

// sendPiece is send for parts of calls of a scalar function.
func (s *stream) sendPiece(i int, p *callPiece) (seq uint64, err error) {
	s.ins = s.ins[:0]
	for k, x := range p.parts {
		n := len(s.ins)
		if s.ins, err = inCols(s.ins, x.call.args, s.args, x.begin, x.end); err != nil {
			return 0, err
		}
		if k == 0 {
			continue
		}
		for c := range s.ins[:n] {
			s.ins[c].more = append(s.ins[c].more, s.ins[n+c])
		}
		clear(s.ins[n:])
		s.ins = s.ins[:n]
	}
	s.msg.Base, s.msg.Done = 0, 0
	return s.sendIns(i, wire.OpRows, p.rows, nil)
}

// sendIns copies the columns in ins, of rows rows, into slot i and sends them.
func (s *stream) sendIns(i int, op uint8, rows int, groups []int32) (seq uint64, err error) {
	s.memMu.RLock()
	defer s.memMu.RUnlock()
	if err := s.ended(); err != nil {
		return 0, err
	}
	size := layoutIn(&s.msg, s.ins, rows, len(groups))
	if len(s.in[i].mem) < size {
		r, err := s.c.mem.alloc(size)
		if err != nil {
			return 0, err
		}
		old := s.in[i]
		s.in[i] = r
		s.buf = appendFrame(s.buf, wire.Header{Type: wire.Slot, Stream: s.id, Slot: uint16(i)}, slotMsg(false, r))
		// The child maps the new region before it sees another batch, and does not
		// look at the old one until then: the slot is free.
		s.c.mem.release(old)
	}
	mem := s.in[i].mem
	copyIn(mem, &s.msg, s.ins, groups)
	clear(s.ins) // what they hold is the caller's
	s.mu.Lock()
	s.busy[i] = true
	s.inflight++
	s.seq++
	seq = s.seq
	s.advance = time.Now()
	s.figures.Batches++
	s.figures.Rows += int64(rows)
	s.mu.Unlock()
	h := wire.Header{Type: wire.Batch, Flags: op, Slot: uint16(i), Stream: s.id, Seq: seq}
	var body []byte
	if s.c.mem.file == nil {
		h.Body = uint32(size)
		body = mem[:size]
	}
	s.buf = appendFrame(s.buf, h, s.msg.Append(nil))
	err = s.c.write(s, s.buf, body)
	s.buf = s.buf[:0]
	if err != nil {
		return 0, s.failure(err)
	}
	return seq, nil
}

// fit returns how many rows from from on make a piece of about pieceBytes.
func fit(cols []*vector.Vector, from, n, limit int) int {
	to := min(n, from+limit)
	for to-from > 1 {
		size := 0
		for _, c := range cols {
			size += aboutBytes(c, from, to)
		}
		if size <= 2*pieceBytes {
			break
		}
		to = from + max(1, int(int64(to-from)*pieceBytes/int64(size)))
	}
	return to
}

// flush sends the frames that wait for the next batch.
func (s *stream) flush() error {
	err := s.c.write(s, s.buf, nil)
	s.buf = s.buf[:0]
	if err != nil {
		return s.failure(err)
	}
	return nil
}
