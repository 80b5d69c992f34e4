package udf

import (
	"fmt"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/udf/sdk/wire"
	"github.com/volleydb/volley/vector"
)

// wholeGroups collects the pieces of groups for a function that wants each group in
// one piece. It holds the group that has not ended.
type wholeGroups struct {
	limit  int64 // bytes of a group
	charge func(int64) error
	pieces [][]*vector.Vector
	rows   int
	bytes  int64
	groups int64 // ended so far
	held   int64 // bytes charged
}

// newWholeGroups takes the limit from CREATE FUNCTION, the author or the child's memory:
// the function has its input, what it makes of it, and the frames in between.
func newWholeGroups(ref *proto.UDF, f *wire.Function, o GroupOptions) *wholeGroups {
	limit := ref.GetMaxGroupBytes()
	if limit <= 0 {
		limit = o.MaxGroupBytes
	}
	if limit <= 0 {
		limit = f.MaxGroupBytes
	}
	if limit <= 0 {
		limit = wire.MaxSlot
		if m := ref.GetMemoryLimit(); m > 0 {
			limit = min(limit, m/4)
		}
	}
	return &wholeGroups{limit: min(limit, wire.MaxSlot), charge: o.Charge}
}

// add returns the groups that end in a piece, with what came before of the first, and
// keeps the rest.
func (w *wholeGroups) add(name string, cols []*vector.Vector, n int, ends []int32) ([]*vector.Vector, int, []int32, error) {
	from, first := 0, int32(0)
	if len(ends) > 0 {
		first = ends[len(ends)-1]
	}
	for _, e := range ends {
		if err := w.check(name, cols, from, int(e)); err != nil {
			return nil, 0, nil, err
		}
		from = int(e)
		w.groups++
		if w.rows > 0 { // the one that was open has ended
			w.bytes = 0
		}
	}
	var out []*vector.Vector
	outEnds := ends
	rows := int(first)
	if len(ends) > 0 {
		out = sliceAll(cols, 0, rows)
		if before, k := w.take(); k > 0 {
			for i := range out {
				out[i] = vector.Concat([]*vector.Vector{before[i], out[i]})
			}
			outEnds = make([]int32, len(ends))
			for i, e := range ends {
				outEnds[i] = e + int32(k)
			}
			rows += k
		}
	}
	if rest := n - int(first); rest > 0 {
		if err := w.check(name, cols, int(first), n); err != nil {
			return nil, 0, nil, err
		}
		size := bytesOf(cols, int(first), n)
		if w.charge != nil {
			if err := w.charge(size); err != nil {
				e := *pgerr.From(err)
				e.Hint = fmt.Sprintf("Function %s takes whole groups, which work_mem has to hold: raise it, or declare the function without udf.WholeGroup and read its group piece by piece.", name)
				return nil, 0, nil, &e
			}
			w.held += size
		}
		w.pieces = append(w.pieces, sliceAll(cols, int(first), n))
		w.rows += rest
		w.bytes += size
	}
	return out, rows, outEnds, nil
}

// check fails when the open group with rows [from, to) of cols is too large.
func (w *wholeGroups) check(name string, cols []*vector.Vector, from, to int) error {
	size := w.bytes + bytesOf(cols, from, to)
	if size <= w.limit {
		return nil
	}
	e := pgerr.New(pgerr.OutOfMemory, "a group of function %s is larger than volley.max_group_bytes (%d bytes)", name, w.limit).
		WithDetail("It has %d rows so far.", w.rows+to-from).
		WithHint("The function takes whole groups: raise volley.max_group_bytes (and volley.memory) in CREATE FUNCTION, or declare it without udf.WholeGroup and read its group piece by piece, which has no limit.")
	return &CallError{Group: w.groups, Row: -1, Err: e, where: "function " + name}
}

// take returns the rows of the open group and forgets them.
func (w *wholeGroups) take() ([]*vector.Vector, int) {
	if w.rows == 0 {
		return nil, 0
	}
	out := make([]*vector.Vector, len(w.pieces[0]))
	for i := range out {
		if len(w.pieces) == 1 {
			out[i] = w.pieces[0][i]
			continue
		}
		parts := make([]*vector.Vector, len(w.pieces))
		for k, p := range w.pieces {
			parts[k] = p[i]
		}
		out[i] = vector.Concat(parts)
	}
	n := w.rows
	w.pieces, w.rows, w.bytes = nil, 0, 0
	w.free()
	return out, n
}

// free gives back what was charged for the open group: it is on its way, in frames.
func (w *wholeGroups) free() {
	if w.charge != nil && w.held > 0 {
		_ = w.charge(-w.held) // giving back is never refused
		w.held = 0
	}
}

func sliceAll(cols []*vector.Vector, from, to int) []*vector.Vector {
	out := make([]*vector.Vector, len(cols))
	for i, c := range cols {
		out[i] = vector.Slice(c, from, to)
	}
	return out
}

// bytesOf is what rows of columns take in a frame.
func bytesOf(cols []*vector.Vector, from, to int) int64 {
	n := int64(0)
	if from < to {
		for _, c := range cols {
			n += int64(aboutBytes(c, from, to))
		}
	}
	return n
}
