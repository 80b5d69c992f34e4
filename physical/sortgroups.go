package physical

import (
	"context"

	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// maxSortGroups is the number of different keys up to which rows are sorted by
// listing the rows of each.
const maxSortGroups = 64

// sortPiece is rows of a batch, in their order; rows is nil for all of them.
type sortPiece struct {
	b    *vector.Batch
	rows []int32
}

func (p *sortPiece) count() int {
	if p.rows == nil {
		return p.b.Rows()
	}
	return len(p.rows)
}

// sortGroups sorts batches by one key that has few different values, such as the
// groups of an APPLY: the rows of each value are listed batch by batch, and
// nothing is concatenated. It reports false where that does not apply.
func (s *sortKeys) sortGroups(ctx context.Context, bs []*vector.Batch) ([]sortPiece, bool, error) {
	if len(s.exprs) != 1 || len(bs) == 0 || !groupable(s.exprs[0].Type) {
		return nil, false, nil
	}
	c := newGroupCoder(s.exprs[0].Type)
	rows := make([][]groupRows, len(bs)) // by batch
	var firsts []*vector.Vector          // a row of each group
	for i, b := range bs {
		vs, err := evalAll(ctx, s.exprs, b)
		if err != nil {
			return nil, false, err
		}
		v := vs[0]
		if v.Form == vector.Dict {
			v = v.Flatten()
		}
		if rows[i] = c.rows(v); rows[i] == nil {
			return nil, false, nil
		}
		for _, g := range rows[i] {
			if int(g.code) == len(firsts) {
				firsts = append(firsts, vector.Slice(v, int(g.first), int(g.first)+1).Flatten())
			}
		}
	}
	keys := vector.Concat(firsts)
	columns := &sortKeys{orders: s.orders, exprs: []*Expr{{Type: keys.Type, root: &column{i: 0, typ: keys.Type}, fc: s.exprs[0].fc}}}
	order, err := columns.sortRows(ctx, vector.NewBatch([]*vector.Vector{keys}, keys.Len))
	if err != nil {
		return nil, false, err
	}
	byGroup := make([][]sortPiece, len(firsts))
	for i, b := range bs {
		for _, g := range rows[i] {
			byGroup[g.code] = append(byGroup[g.code], sortPiece{b, g.rows})
		}
	}
	var out []sortPiece
	for _, g := range order {
		out = append(out, byGroup[g]...)
	}
	return out, true, nil
}

// groupable says for which types equal keys are equal values.
func groupable(t types.Type) bool {
	return isIntPhys(t.Phys()) || t.ID == types.Text || t.ID == types.Varchar
}

// groupRows is the rows of a batch with one key.
type groupRows struct {
	code  int32
	first int32
	rows  []int32 // nil for all
}

// groupCoder numbers the values of a column in the order in which they appear.
type groupCoder struct {
	text  bool
	ints  map[int64]int32
	texts map[string]int32
	null  int32 // -1 while there is none
	next  int32
	codes []int32
}

func newGroupCoder(t types.Type) *groupCoder {
	return &groupCoder{text: !isIntPhys(t.Phys()), ints: map[int64]int32{}, texts: map[string]int32{}, null: -1}
}

// rows lists the rows of v by value, values in the order of their codes; nil if
// there have been too many values.
func (c *groupCoder) rows(v *vector.Vector) []groupRows {
	n := v.Len
	if n == 0 {
		return []groupRows{}
	}
	if v.Form == vector.Const {
		v = vector.Slice(v, 0, 1).Flatten()
	}
	var counts, firsts [maxSortGroups]int32
	if cap(c.codes) < v.Len {
		c.codes = make([]int32, v.Len)
	}
	codes := c.codes[:v.Len]
	var ints []int64
	if !c.text {
		ints = widen(v)
	}
	code := int32(-1)
	for i := range codes {
		switch {
		case v.Valid != nil && !vector.IsValid(v.Valid, i):
			if c.null < 0 {
				c.null = c.next
				c.next++
			}
			code = c.null
		case c.text:
			x := v.Bytes[v.Offs[i]:v.Offs[i+1]]
			if k, ok := c.texts[string(x)]; ok {
				code = k
			} else {
				code = c.next
				c.texts[string(x)] = code
				c.next++
			}
		default:
			if i > 0 && ints[i] == ints[i-1] && code != c.null {
				break
			}
			if k, ok := c.ints[ints[i]]; ok {
				code = k
			} else {
				code = c.next
				c.ints[ints[i]] = code
				c.next++
			}
		}
		if c.next > maxSortGroups {
			return nil
		}
		if counts[code] == 0 {
			firsts[code] = int32(i)
		}
		counts[code]++
		codes[i] = code
	}
	if int(counts[code]) == len(codes) {
		return []groupRows{{code: code}}
	}
	out := make([]groupRows, 0, c.next)
	all := make([]int32, n)
	var at [maxSortGroups]int32
	from := int32(0)
	for k, count := range counts[:c.next] {
		at[k] = from
		if count > 0 {
			out = append(out, groupRows{int32(k), firsts[k], all[from : from+count : from+count]})
		}
		from += count
	}
	for i, k := range codes {
		all[at[k]] = int32(i)
		at[k]++
	}
	return out
}

// nextPiece gives the next rows of what sortGroups made: those of one batch
// where they are many, else those of several, copied together: about target rows.
func (s *sorter) nextPiece(target int) *vector.Batch {
	k, rows := 0, 0
	for k < len(s.pieces) && rows < target/2 && (k == 0 || rows+s.pieces[k].count() <= target) {
		rows += s.pieces[k].count()
		k++
	}
	take := s.pieces[:k]
	s.pieces = s.pieces[k:]
	if k == 1 {
		if take[0].rows == nil {
			return take[0].b
		}
		return take[0].b.Select(take[0].rows)
	}
	cols := make([]*vector.Vector, len(s.ts))
	for c, t := range s.ts {
		a := vector.NewAppender(t)
		a.Expect(rows)
		for _, p := range take {
			idx := p.rows
			if idx == nil {
				idx = rowNumbers(p.b.Rows())
			}
			a.Append(p.b.Col(c), idx)
		}
		cols[c] = a.Build()
	}
	return vector.NewBatch(cols, rows)
}

func rowNumbers(n int) []int32 {
	s := make([]int32, n)
	for i := range s {
		s[i] = int32(i)
	}
	return s
}
