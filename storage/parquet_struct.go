package storage

import (
	"errors"
	"io"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/arrow-go/v18/parquet/schema"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// columnShape is a column, or a field of one, that may be made of several leaf columns:
// a leaf or a list of one; a structure of kids; a list of such structures.
type columnShape struct {
	typ   types.Type
	leaf  *parquetField // nil of a structure
	names []string
	kids  []*columnShape
	def   int16 // of a structure: it is there from this definition level on
	null  bool  // of a structure: it can be NULL where what it is in is not
	elems *columnShape
}

// first returns a leaf below s, whose levels tell which structures are there.
func (s *columnShape) first() *parquetField {
	for s.leaf == nil {
		if s.elems != nil {
			s = s.elems
		} else {
			s = s.kids[0]
		}
	}
	return s.leaf
}

// shapes walks the schema of a file; next counts its leaf columns.
type shapes struct {
	meta *metadata.FileMetaData
	next int
}

var (
	errNestedList  = pgerr.New(pgerr.FeatureNotSupported, "It is a list of lists.")
	errEmptyStruct = pgerr.New(pgerr.FeatureNotSupported, "It has a structure without fields.")
)

// of describes a node below definition level def. Within a list, rep is the level
// from which its element exists; else it is 0.
func (w *shapes) of(n schema.Node, def, rep int16) (*columnShape, error) {
	null := n.RepetitionType() == parquet.Repetitions.Optional
	if n.RepetitionType() == parquet.Repetitions.Repeated {
		if rep > 0 {
			return nil, errNestedList
		}
		return w.list(n, def)
	}
	if null {
		def++
	}
	g, ok := n.(*schema.GroupNode)
	if !ok {
		f, err := w.leafField(rep)
		if err != nil {
			return nil, err
		}
		return &columnShape{typ: f.Type, leaf: f}, nil
	}
	if g.NumFields() == 1 && g.Field(0).RepetitionType() == parquet.Repetitions.Repeated {
		if rep > 0 {
			return nil, errNestedList
		}
		return w.list(g.Field(0), def)
	}
	return w.structure(g, def, rep, null)
}

func (w *shapes) structure(g *schema.GroupNode, def, rep int16, null bool) (*columnShape, error) {
	if g.NumFields() == 0 {
		return nil, errEmptyStruct
	}
	s := &columnShape{def: def, null: null}
	var fields []types.RowField
	for i := range g.NumFields() {
		k, err := w.of(g.Field(i), def, rep)
		if err != nil {
			return nil, err
		}
		s.names, s.kids = append(s.names, g.Field(i).Name()), append(s.kids, k)
		t := k.typ
		if k.leaf != nil && rep > 0 {
			t = k.leaf.leaf.sql
		}
		fields = append(fields, types.RowField{Name: g.Field(i).Name(), Type: t})
	}
	s.typ = types.RowOf(fields)
	return s, nil
}

// list describes a repeated node: the elements themselves, or a group around them.
func (w *shapes) list(n schema.Node, def int16) (*columnShape, error) {
	def++ // the element's row exists
	rep := def
	g, ok := n.(*schema.GroupNode)
	var el *columnShape
	var err error
	switch {
	case !ok:
		var f *parquetField
		if f, err = w.leafField(rep); err == nil {
			el = &columnShape{typ: f.Type, leaf: f}
		}
	case g.NumFields() == 1:
		el, err = w.of(g.Field(0), def, rep)
	default:
		el, err = w.structure(g, def, rep, false)
	}
	if err != nil {
		return nil, err
	}
	if el.leaf != nil {
		return el, nil // a leaf below a repeated node is a list already
	}
	return &columnShape{typ: types.Type{ID: types.Array, Elem: types.Record, Typmod: el.typ.Typmod}, elems: el}, nil
}

// leafField describes the next leaf column.
func (w *shapes) leafField(rep int16) (*parquetField, error) {
	c := w.meta.Schema.Column(w.next)
	f := &parquetField{index: w.next, maxDef: c.MaxDefinitionLevel(), list: rep > 0, repDef: rep, mayNull: true}
	w.next++
	l, err := leafOf(c)
	if err != nil {
		return nil, err
	}
	f.leaf, f.Name, f.Type = l, c.Name(), l.sql
	if f.list {
		f.Type = types.Type{ID: types.Array, Elem: l.sql.ID, Typmod: l.sql.Typmod}
	}
	return f, nil
}

// structField makes the field of a top-level column of several leaf columns, of
// which first is the first.
func structField(meta *metadata.FileMetaData, n schema.Node, first int) (f parquetField, err error) {
	w := &shapes{meta: meta, next: first}
	s, err := w.of(n, 0, 0)
	if err != nil {
		return f, err
	}
	// Bounds, indexes and filters of a single leaf say nothing about the whole, as
	// with lists.
	f = parquetField{shape: s, index: first, list: true, mayNull: true}
	f.Name, f.Type, f.leaf.sql = n.Name(), s.typ, s.typ
	return f, nil
}

// opener opens the leaf columns of a shape: their values, or their levels.
type opener func(f *parquetField, levels bool) (columnDecoder, error)

func (s *columnShape) open(leaf opener) (columnDecoder, error) {
	switch {
	case s.leaf != nil:
		return leaf(s.leaf, false)
	case s.elems != nil:
		d := &structListDecoder{s: s}
		// The tree is opened once to list its columns in the order of use.
		if _, err := s.elems.open(func(f *parquetField, levels bool) (columnDecoder, error) {
			col, err := leaf(f, levels)
			d.cols = append(d.cols, col)
			return nil, err
		}); err != nil {
			return nil, err
		}
		return d, nil
	}
	d := &structDecoder{s: s}
	for _, k := range s.kids {
		c, err := k.open(leaf)
		if err != nil {
			return nil, err
		}
		d.kids = append(d.kids, c)
	}
	if s.null {
		var err error
		if d.levels, err = leaf(s.first(), true); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// structDecoder makes records of the columns of a structure.
type structDecoder struct {
	s      *columnShape
	kids   []columnDecoder
	levels columnDecoder // nil where it cannot be NULL
}

func (d *structDecoder) read(n int) (*vector.Vector, error) {
	cols := make([]*vector.Vector, len(d.kids))
	for k, c := range d.kids {
		var err error
		if cols[k], err = c.read(n); err != nil {
			return nil, err
		}
	}
	v, err := vector.MakeRecords(d.s.typ, d.s.names, cols, n)
	if err != nil || d.levels == nil {
		return v, err
	}
	lv, err := d.levels.read(n)
	if err != nil {
		return nil, err
	}
	for i := range n {
		if !lv.IsNull(i) && vector.At[int16](lv, i) < d.s.def {
			if v.Valid == nil {
				v.Valid = vector.NewValid(n)
			}
			vector.SetNull(v.Valid, i)
		}
	}
	return v, nil
}

// structListDecoder makes arrays of records: its columns are lists of the same
// lengths.
type structListDecoder struct {
	s    *columnShape
	cols []columnDecoder
}

// given is the decoder of elements that were read already.
type given struct{ v *vector.Vector }

func (g given) read(int) (*vector.Vector, error) { return g.v, nil }

func (d *structListDecoder) read(n int) (*vector.Vector, error) {
	var lists, elems []*vector.Vector
	for _, c := range d.cols {
		v, err := c.read(n)
		if err != nil {
			return nil, err
		}
		v = v.Flatten()
		from, to := 0, 0
		if n > 0 {
			from, _ = v.ListAt(0)
			_, to = v.ListAt(n - 1)
		}
		lists, elems = append(lists, v), append(elems, vector.Slice(v.Child.Flatten(), from, to))
	}
	m := elems[0].Len
	for _, e := range elems {
		if e.Len != m {
			return nil, pgerr.New(pgerr.DataCorrupted, "the columns of a list of structures differ in length")
		}
	}
	tree, err := d.s.elems.open(func(*parquetField, bool) (columnDecoder, error) {
		g := given{elems[0]}
		elems = elems[1:]
		return g, nil
	})
	if err != nil {
		return nil, err
	}
	child, err := tree.read(m)
	if err != nil {
		return nil, err
	}
	first := lists[0]
	offs := make([]int32, n+1)
	base := 0
	if n > 0 {
		base, _ = first.ListAt(0)
	}
	var valid []byte
	for i := range n {
		_, to := first.ListAt(i)
		offs[i+1] = int32(to - base)
		if first.IsNull(i) {
			if valid == nil {
				valid = vector.NewValid(n)
			}
			vector.SetNull(valid, i)
		}
	}
	return vector.FromList(d.s.typ, offs, child).WithValid(valid), nil
}

// levelDecoder reads the definition levels of a flat column as smallints.
type levelDecoder struct{ el elements }

func (d levelDecoder) read(n int) (*vector.Vector, error) {
	out := make([]int16, n)
	for at := 0; at < n; {
		k, err := d.el.page(out[at:], nil)
		if err != nil {
			return nil, err
		}
		if k == 0 {
			return nil, errTruncated
		}
		at += k
	}
	return vector.FromSlice(types.T(types.Int2), out), nil
}

// closers are what a column of several leaf columns leaves to be closed.
type closers []io.Closer

// Close closes all.
func (c closers) Close() error {
	var errs []error
	for _, x := range c {
		errs = append(errs, x.Close())
	}
	return errors.Join(errs...)
}

// openStruct is openColumn of a column with a shape.
func (p *parquetFile) openStruct(f *parquetField, rg *file.RowGroupReader) (columnDecoder, io.Closer, error) {
	var open closers
	d, err := f.shape.open(func(leaf *parquetField, levels bool) (columnDecoder, error) {
		if !levels {
			d, c, err := p.openColumn(leaf, rg)
			if c != nil {
				open = append(open, c)
			}
			return d, err
		}
		chunk, err := rg.Column(leaf.index)
		if err != nil {
			return nil, err
		}
		if c, ok := chunk.(io.Closer); ok {
			open = append(open, c)
		}
		d, err := newFlatDecoder(leaf, chunk)
		if err != nil {
			return nil, err
		}
		el := d.(elements)
		if !leaf.list {
			return levelDecoder{el}, nil
		}
		as := *leaf
		as.Type = types.ArrayOf(types.Int2)
		return &listDecoder{f: &as, el: el, rows: int(rg.NumRows()), levels: true}, nil
	})
	if err != nil {
		_ = open.Close()
		return nil, nil, err
	}
	return d, open, nil
}
