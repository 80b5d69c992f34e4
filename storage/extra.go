package storage

import (
	"context"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// PathColumns are columns whose values come from the names of the files.
type PathColumns struct {
	Filename string // the column with the file's path; "" = none
	// Hive makes columns of the directories named key=value.
	Hive      bool
	HiveTypes map[string]types.Type // overrides the types found
}

const hiveNull = "__HIVE_DEFAULT_PARTITION__"

// Add gives the splits the values of the columns and returns these. The type of a
// key is bigint or date if all its values are, otherwise text. schema is the files'
// own columns, among which the names must not be.
func (o PathColumns) Add(schema []vector.Field, splits []*proto.Split) ([]vector.Field, error) {
	if o.Filename == "" && !o.Hive {
		return nil, nil
	}
	var keys []string
	values := map[string][][]byte{} // by path; nil = NULL
	var guesses []guess
	for _, s := range splits {
		path := s.GetPath()
		if _, seen := values[path]; seen || !o.Hive {
			continue
		}
		ks, vs, err := hiveValues(path)
		if err != nil {
			return nil, err
		}
		if len(values) == 0 {
			keys, guesses = ks, make([]guess, len(ks))
		} else if !slices.Equal(keys, ks) {
			return nil, pgerr.New(pgerr.InvalidParameterValue, "file \"%s\" has other directories of the form key=value than \"%s\"", path, splits[0].GetPath()).
				WithDetail("Keys are %s and %s.", strings.Join(ks, ", "), strings.Join(keys, ", "))
		}
		values[path] = vs
		for i, v := range vs {
			if v != nil {
				guesses[i].add(v)
			}
		}
	}
	if o.Hive && len(keys) == 0 && len(splits) > 0 {
		return nil, pgerr.New(pgerr.InvalidParameterValue, "hive_partitioning needs directories of the form key=value, which \"%s\" has not", splits[0].GetPath())
	}
	var out []vector.Field
	for i, k := range keys {
		t := types.T(types.Text)
		if g := guesses[i].typ(); g.ID == types.Int8 || g.ID == types.Date {
			t = g
		}
		if d, ok := o.HiveTypes[k]; ok {
			t = d
		}
		out = append(out, vector.Field{Name: k, Type: t})
	}
	for k := range o.HiveTypes {
		if !slices.Contains(keys, k) {
			return nil, pgerr.New(pgerr.UndefinedColumn, "\"%s\" is no key of the directories", k).WithHint("The keys are %s.", strings.Join(keys, ", "))
		}
	}
	if o.Filename != "" {
		out = append(out, vector.Field{Name: o.Filename, Type: types.T(types.Text)})
	}
	for i, f := range out {
		if fieldIndex(schema, f.Name) >= 0 || fieldIndex(out[:i], f.Name) >= 0 {
			return nil, pgerr.New(pgerr.DuplicateColumn, "column \"%s\" of the files' names exists in the files too", f.Name).
				WithHint("Another name for the path is given with filename => 'name'.")
		}
	}
	for _, s := range splits {
		for i, f := range out {
			v := []byte(s.GetPath())
			if i < len(keys) {
				v = values[s.GetPath()][i]
			}
			c := &proto.Const{Null: v == nil}
			if v != nil {
				b := vector.NewBuilder(f.Type, 1)
				if err := vector.ParseText(b, v, nil); err != nil {
					return nil, pgerr.From(err).WithWhere("%s, column \"%s\"", s.GetPath(), f.Name)
				}
				c.Value = vector.AppendBinary(nil, b.Build(), 0)
			}
			s.Extra = append(s.Extra, c)
		}
	}
	return out, nil
}

// hiveValues reads the directories key=value of a path.
func hiveValues(path string) (keys []string, values [][]byte, err error) {
	for _, part := range strings.Split(filepath.ToSlash(filepath.Dir(path)), "/") {
		k, v, ok := strings.Cut(part, "=")
		if !ok || k == "" {
			continue
		}
		text, err := url.PathUnescape(v)
		if err != nil {
			text = v
		}
		if err := checkUTF8([]byte(text)); err != nil {
			return nil, nil, pgerr.From(err).WithWhere("%s", path)
		}
		keys = append(keys, k)
		if v == hiveNull {
			values = append(values, nil)
		} else {
			values = append(values, []byte(text))
		}
	}
	return keys, values, nil
}

// extraReader reads the files of a scan one after the other and adds to each the
// columns that its name tells, and NULL for those it lacks.
type extraReader struct {
	scan      *proto.Scan
	extra     []vector.Field
	types     []types.Type // of the output columns
	source    []int        // of an output column: index in extra, or -1
	splits    []*proto.Split
	batchRows int
	opts      []Option

	in      Reader
	columns []int // of in, by output column; -1 = none
	consts  []*vector.Vector
	limit   int64
	done    int64
	total   int64
}

func openExtra(scan *proto.Scan, splits []*proto.Split, batchRows int, opts []Option) (Reader, error) {
	r := &extraReader{scan: scan, extra: FromProtoFields(scan.GetExtra()), batchRows: batchRows, opts: opts, limit: -1}
	if scan.GetLimit() > 0 {
		r.limit = scan.GetLimit()
	}
	schema := FromProtoFields(scan.GetFileSchema())
	for _, name := range scan.GetColumns() {
		k := fieldIndex(r.extra, name)
		r.source = append(r.source, k)
		switch f := fieldIndex(schema, name); {
		case k >= 0:
			r.types = append(r.types, r.extra[k].Type)
		case f >= 0:
			r.types = append(r.types, schema[f].Type)
		default:
			return nil, pgerr.New(pgerr.InternalError, "scan of \"%s\" asks for column \"%s\", which the files do not have", scan.GetName(), name)
		}
	}
	for _, s := range splits {
		keep, err := r.wanted(scan.GetFilter(), s)
		if err != nil {
			return nil, err
		}
		if keep {
			r.splits = append(r.splits, s)
			r.total += s.GetLength()
		}
	}
	return r, nil
}

// wanted reports whether rows of a split can pass a filter, by the columns that
// its file's name tells.
func (r *extraReader) wanted(filter *proto.Expr, s *proto.Split) (bool, error) {
	if b := filter.GetBool(); b != nil && b.GetOp() == proto.Bool_AND {
		for _, a := range b.GetArgs() {
			if ok, err := r.wanted(a, s); !ok || err != nil {
				return ok, err
			}
		}
		return true, nil
	}
	col, test := columnTest(filter)
	if test == nil || int(col) >= len(r.source) || r.source[col] < 0 {
		return true, nil
	}
	k := r.source[col]
	if k >= len(s.GetExtra()) {
		return true, nil
	}
	return test(r.extra[k].Type, s.GetExtra()[k]), nil
}

// columnTest reads an equality, IN list or comparison of one column with constants
// as a test of a value; nil for anything else.
func columnTest(e *proto.Expr) (col uint32, test func(t types.Type, v *proto.Const) bool) {
	if in := e.GetIn(); in != nil && !in.GetNot() && in.GetArg().GetColumn() != nil {
		return in.GetArg().GetColumn().GetIndex(), func(_ types.Type, v *proto.Const) bool {
			return !v.GetNull() && slices.ContainsFunc(in.GetValues(), func(c *proto.Const) bool {
				return !c.GetNull() && string(c.GetValue()) == string(v.GetValue())
			})
		}
	}
	if col, con, ok := textEquality(e); ok {
		return col, func(_ types.Type, v *proto.Const) bool {
			return !v.GetNull() && string(con) == string(v.GetValue())
		}
	}
	spans := map[uint32]span{}
	spansOf(e, spans)
	for col, s := range spans {
		return col, func(t types.Type, v *proto.Const) bool {
			if v.GetNull() {
				return false
			}
			x, ok := ordinal(t, v)
			return !ok || x >= s.lo && x <= s.hi
		}
	}
	return 0, nil
}

// textEquality recognises column = constant of text.
func textEquality(e *proto.Expr) (col uint32, value []byte, ok bool) {
	call := e.GetCall()
	if call == nil || len(call.GetArgs()) != 2 || call.GetFunction() != "pg_catalog.texteq(text,text)" {
		return 0, nil, false
	}
	c, k := call.GetArgs()[0], call.GetArgs()[1]
	if c.GetColumn() == nil {
		c, k = k, c
	}
	if c.GetColumn() == nil || k.GetConst() == nil || k.GetConst().GetNull() ||
		FromProtoType(c.GetType()).ID != types.Text || FromProtoType(k.GetType()).ID != types.Text {
		return 0, nil, false
	}
	return c.GetColumn().GetIndex(), k.GetConst().GetValue(), true
}

// next opens the next file's splits.
func (r *extraReader) next(ctx context.Context) error {
	n := 1
	first := r.splits[0]
	for n < len(r.splits) && r.splits[n].GetPath() == first.GetPath() {
		n++
	}
	sub := &proto.Scan{Format: r.scan.GetFormat(), Name: r.scan.GetName(), FileSchema: r.scan.GetFileSchema(), Csv: r.scan.GetCsv(),
		Json: r.scan.GetJson(), RowId: r.scan.GetRowId()}
	if len(first.GetFileSchema()) > 0 {
		sub.FileSchema = first.GetFileSchema()
	}
	have := FromProtoFields(sub.GetFileSchema())
	r.columns, r.consts = make([]int, len(r.source)), make([]*vector.Vector, len(r.source))
	for i, name := range r.scan.GetColumns() {
		r.columns[i] = -1
		if k := r.source[i]; k >= 0 {
			b := vector.NewBuilder(r.types[i], 1)
			if c := first.GetExtra()[k]; c.GetNull() {
				b.AppendNull()
			} else if err := vector.ParseBinary(b, c.GetValue()); err != nil {
				return err
			}
			r.consts[i] = b.Build()
		} else if fieldIndex(have, name) >= 0 {
			r.columns[i] = len(sub.Columns)
			sub.Columns = append(sub.Columns, name)
		} else {
			r.consts[i] = vector.NewNull(r.types[i], 1)
		}
	}
	sub.Filter = r.remap(r.scan.GetFilter())
	if r.limit >= 0 {
		sub.Limit = r.limit
	}
	in, err := OpenScan(ctx, sub, r.splits[:n], r.batchRows, r.opts...)
	r.in, r.splits = in, r.splits[n:]
	return err
}

// remap keeps the comparisons of a filter that read columns of the file under way.
func (r *extraReader) remap(e *proto.Expr) *proto.Expr {
	if b := e.GetBool(); b != nil && b.GetOp() == proto.Bool_AND {
		var args []*proto.Expr
		for _, a := range b.GetArgs() {
			if m := r.remap(a); m != nil {
				args = append(args, m)
			}
		}
		if len(args) == 0 {
			return nil
		}
		return &proto.Expr{Type: e.GetType(), Node: &proto.Expr_Bool{Bool: &proto.Bool{Op: proto.Bool_AND, Args: args}}}
	}
	column := func(a *proto.Expr) *proto.Expr {
		i := int(a.GetColumn().GetIndex())
		if i >= len(r.columns) || r.columns[i] < 0 {
			return nil
		}
		return &proto.Expr{Type: a.GetType(), Node: &proto.Expr_Column{Column: &proto.Column{Index: uint32(r.columns[i])}}}
	}
	if in := e.GetIn(); in != nil && !in.GetNot() && in.GetArg().GetColumn() != nil {
		c := column(in.GetArg())
		if c == nil {
			return nil
		}
		return &proto.Expr{Type: e.GetType(), Node: &proto.Expr_In{In: &proto.InList{Arg: c, Values: in.GetValues()}}}
	}
	call := e.GetCall()
	if call == nil || len(call.GetArgs()) != 2 || call.GetUdf() != nil {
		return nil
	}
	args := slices.Clone(call.GetArgs())
	for i, a := range args {
		if a.GetColumn() != nil {
			if args[i] = column(a); args[i] == nil {
				return nil
			}
		} else if a.GetConst() == nil {
			return nil
		}
	}
	return &proto.Expr{Type: e.GetType(), Node: &proto.Expr_Call{Call: &proto.Call{Function: call.GetFunction(), Args: args}}}
}

// Next returns the next batch.
func (r *extraReader) Next(ctx context.Context) (*vector.Batch, error) {
	for r.limit != 0 {
		if r.in == nil {
			if len(r.splits) == 0 {
				return nil, nil
			}
			if err := r.next(ctx); err != nil {
				return nil, err
			}
		}
		b, err := r.in.Next(ctx)
		if err != nil {
			return nil, err
		}
		if b == nil {
			d, _ := r.in.Progress()
			r.done += d
			err := r.in.Close()
			r.in = nil
			if err != nil {
				return nil, err
			}
			continue
		}
		vs := make([]*vector.Vector, len(r.columns), len(r.columns)+1)
		for i, k := range r.columns {
			if k >= 0 {
				vs[i] = b.Col(k)
			} else {
				vs[i] = vector.NewConst(r.consts[i], b.Rows())
			}
		}
		if r.scan.GetRowId() {
			vs = append(vs, b.Col(b.NumCols()-1))
		}
		if r.limit > 0 {
			r.limit -= int64(b.Rows())
		}
		return vector.NewBatch(vs, b.Rows()), nil
	}
	return nil, nil
}

// Close closes the file under way.
func (r *extraReader) Close() error {
	r.splits = nil
	if r.in == nil {
		return nil
	}
	err := r.in.Close()
	r.in = nil
	return err
}

// Progress returns bytes read and to read.
func (r *extraReader) Progress() (done, total int64) {
	done = r.done
	if r.in != nil {
		d, _ := r.in.Progress()
		done += d
	}
	return done, max(r.total, done)
}
