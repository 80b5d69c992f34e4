package storage

import (
	"bytes"

	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/metadata"
)

// maxIndexBytes bounds the page indexes of a column chunk.
const maxIndexBytes = 4 << 20

// rowRange is rows [from, to) of a row group.
type rowRange struct{ from, to int64 }

// asks is what a filter asks of a column.
type asks struct {
	f   *parquetField
	s   span
	has bool // s is set
	one *oneOf
}

// asked returns what the filter asks of output column c, which is f.
func (r *parquetReader) asked(c int, f *parquetField) asks {
	a := asks{f: f, one: r.equals[uint32(c)]}
	a.s, a.has = r.spans[uint32(c)]
	if a.one != nil && !a.one.suits(f) {
		a.one = nil
	}
	a.has = a.has && !f.list && ordered(f.leaf.sql)
	return a
}

func (a *asks) any() bool { return a.has || a.one != nil }

// bound decodes a bound of statistics.
func (a *asks) bound(b []byte) (int64, bool) {
	d := rawColumn(&a.f.leaf, b)
	if d == nil {
		return 0, false
	}
	v, err := d.read(1)
	if err != nil {
		return 0, false
	}
	return integer(v)
}

// within reports whether values between two encoded bounds may pass.
func (a *asks) within(lo, hi []byte) bool {
	if a.one != nil && a.one.isText {
		for _, x := range a.one.texts {
			if bytes.Compare(lo, x) <= 0 && bytes.Compare(x, hi) <= 0 {
				return true
			}
		}
		return false
	}
	min, ok1 := a.bound(lo)
	max, ok2 := a.bound(hi)
	switch {
	case !ok1 || !ok2:
		return true
	case a.has && (max < a.s.lo || min > a.s.hi):
		return false
	case a.one == nil:
		return true
	}
	for _, x := range a.one.ints {
		if min <= x && x <= max {
			return true
		}
	}
	return false
}

// excluded reports that by its statistics or its Bloom filter no row of a row group
// can pass.
func (a *asks) excluded(p *parquetFile, rg *file.RowGroupReader, group int) bool {
	switch {
	case a.has && a.s.excludes(rg, a.f):
		return true
	case a.one == nil:
		return false
	}
	return a.outside(rg) || a.one.noneIn(p, group, a.f)
}

// outside reports that the constants are not within the bounds of a column chunk.
func (a *asks) outside(rg *file.RowGroupReader) (none bool) {
	defer func() {
		if recover() != nil {
			none = false // damaged statistics tell nothing
		}
	}()
	cc, err := rg.MetaData().ColumnChunk(a.f.index)
	if err != nil {
		return false
	}
	if set, err := cc.StatsSet(); err != nil || !set {
		return false
	}
	st, err := cc.Statistics()
	if err != nil || st == nil || !st.HasMinMax() {
		return false
	}
	return !a.within(st.EncodeMin(), st.EncodeMax())
}

// pageRanges returns the rows of the pages that may have rows which pass, as the
// page index of the column chunk tells; false if it tells nothing.
func (a *asks) pageRanges(p *parquetFile, rg *file.RowGroupReader) (out []rowRange, known bool) {
	defer func() {
		if recover() != nil {
			out, known = nil, false
		}
	}()
	cc, err := rg.MetaData().ColumnChunk(a.f.index)
	if err != nil || cc.CryptoMetadata() != nil {
		return nil, false
	}
	read := func(at *metadata.IndexLocation) []byte {
		if at == nil || at.Offset <= 0 || at.Length <= 0 || at.Length > maxIndexBytes {
			return nil
		}
		b := make([]byte, at.Length)
		if n, _ := p.f.ReadAt(b, at.Offset); n < len(b) {
			return nil
		}
		return b
	}
	of, bounds := read(cc.GetOffsetIndexLocation()), read(cc.GetColumnIndexLocation())
	if of == nil || bounds == nil {
		return nil, false
	}
	pages := metadata.NewOffsetIndex(of, nil, nil).GetPageLocations()
	index := metadata.NewColumnIndex(p.rd.MetaData().Schema.Column(a.f.index), bounds, nil, nil)
	nulls, lo, hi := index.GetNullPages(), index.GetMinValues(), index.GetMaxValues()
	if len(nulls) != len(pages) || len(lo) != len(pages) || len(hi) != len(pages) || len(pages) == 0 || pages[0].FirstRowIndex != 0 {
		return nil, false
	}
	for i, page := range pages {
		r := rowRange{page.FirstRowIndex, rg.NumRows()}
		if i+1 < len(pages) {
			r.to = pages[i+1].FirstRowIndex
		}
		switch {
		case r.from > r.to || r.to > rg.NumRows():
			return nil, false
		case nulls[i] || !a.within(lo[i], hi[i]):
		case len(out) > 0 && out[len(out)-1].to == r.from:
			out[len(out)-1].to = r.to
		default:
			out = append(out, r)
		}
	}
	return out, true
}

// both intersects ascending ranges.
func both(a, b []rowRange) []rowRange {
	var out []rowRange
	for len(a) > 0 && len(b) > 0 {
		if r := (rowRange{max(a[0].from, b[0].from), min(a[0].to, b[0].to)}); r.from < r.to {
			out = append(out, r)
		}
		if a[0].to < b[0].to {
			a = a[1:]
		} else {
			b = b[1:]
		}
	}
	return out
}

// toRange passes rows that the page indexes exclude and returns how many of the
// next n rows are to be read; 0 if it has passed the last one of the row group.
func (r *parquetReader) toRange(n int) (int, error) {
	if r.ranges == nil {
		return n, nil
	}
	at := r.size - r.left
	for len(r.ranges) > 0 && r.ranges[0].to <= at {
		r.ranges = r.ranges[1:]
	}
	from := r.size
	if len(r.ranges) > 0 {
		from = max(at, r.ranges[0].from)
	}
	if k := from - at; k > 0 {
		if err := r.pass(k); err != nil {
			return 0, err
		}
	}
	if r.left == 0 {
		return 0, nil
	}
	return int(min(int64(n), r.left, r.ranges[0].to-from)), nil
}

// pass passes k rows of the row group.
func (r *parquetReader) pass(k int64) error {
	r.row += k
	r.left -= k
	r.done += k * int64(max(1, len(r.scan.GetColumns()))) * 8
	if r.left == 0 {
		return nil
	}
	for _, c := range r.cols {
		if k <= maxPassed && skipRows(c, int(k)) {
			continue
		}
		for left := k; left > 0; {
			n := min(left, int64(r.batchRows))
			if _, err := c.read(int(n)); err != nil {
				return damaged(r.file.path, err)
			}
			left -= n
		}
	}
	return nil
}

// maxPassed keeps what columns owe within their counters.
const maxPassed = 1 << 30
