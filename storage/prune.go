package storage

import (
	"math"

	"github.com/apache/arrow-go/v18/parquet/file"

	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// span is the values of a column, as integers, that a filter can be true for:
// lo ≤ x ≤ hi. NULL is never among them.
type span struct{ lo, hi int64 }

// comparisons maps the IDs of the functions behind the operators, such as
// pg_catalog.int84lt(int8,int4), to eq, lt, le, gt or ge.
var comparisons = func() map[string]string {
	m := map[string]string{}
	for _, op := range []string{"eq", "lt", "le", "gt", "ge"} {
		for _, a := range []string{"2", "4", "8"} {
			for _, b := range []string{"2", "4", "8"} {
				proc := "int" + a + b + op
				if a == b {
					proc = "int" + a + op
				}
				m["pg_catalog."+proc+"(int"+a+",int"+b+")"] = op
			}
		}
		for _, t := range []string{"date", "time", "timestamp", "timestamptz"} {
			m["pg_catalog."+t+"_"+op+"("+t+","+t+")"] = op
		}
	}
	return m
}()

// spansOf reads the comparisons of columns with constants out of a conjunction,
// by output column. Whatever it does not understand does not narrow anything. Only
// types whose order is that of their integers are looked at: whole numbers,
// dates, times and timestamps, infinities included.
func spansOf(filter *proto.Expr, into map[uint32]span) {
	if b := filter.GetBool(); b != nil && b.GetOp() == proto.Bool_AND {
		for _, a := range b.GetArgs() {
			spansOf(a, into)
		}
		return
	}
	if in := filter.GetIn(); in != nil && !in.GetNot() && in.GetArg().GetColumn() != nil {
		s := span{math.MaxInt64, math.MinInt64}
		for _, c := range in.GetValues() {
			if c.GetNull() {
				continue
			}
			x, ok := ordinal(FromProtoType(in.GetArg().GetType()), c)
			if !ok {
				return
			}
			s.lo, s.hi = min(s.lo, x), max(s.hi, x)
		}
		narrow(into, in.GetArg().GetColumn().GetIndex(), s)
		return
	}
	call := filter.GetCall()
	if call == nil || len(call.GetArgs()) != 2 {
		return
	}
	op, ok := comparisons[call.GetFunction()]
	col, con := call.GetArgs()[0], call.GetArgs()[1]
	if col.GetColumn() == nil {
		col, con = con, col
		op = map[string]string{"lt": "gt", "le": "ge", "gt": "lt", "ge": "le", "eq": "eq"}[op]
	}
	if !ok || col.GetColumn() == nil || con.GetConst() == nil || con.GetConst().GetNull() {
		return
	}
	colType, conType := FromProtoType(col.GetType()), FromProtoType(con.GetType())
	if !colType.Same(conType) && !(colType.IsInteger() && conType.IsInteger()) {
		return
	}
	x, ok := ordinal(conType, con.GetConst())
	if !ok {
		return
	}
	s := span{math.MinInt64, math.MaxInt64}
	switch op {
	case "eq":
		s = span{x, x}
	case "le":
		s.hi = x
	case "ge":
		s.lo = x
	case "lt":
		if s.hi = x - 1; x == math.MinInt64 {
			s = span{0, -1}
		}
	case "gt":
		if s.lo = x + 1; x == math.MaxInt64 {
			s = span{0, -1}
		}
	default:
		return
	}
	narrow(into, col.GetColumn().GetIndex(), s)
}

func narrow(into map[uint32]span, col uint32, s span) {
	if old, had := into[col]; had {
		s = span{max(old.lo, s.lo), min(old.hi, s.hi)}
	}
	into[col] = s
}

// ordered reports a type whose values are ordered as their integers.
func ordered(t types.Type) bool {
	switch t.ID {
	case types.Int2, types.Int4, types.Int8, types.Date, types.Time, types.Timestamp, types.Timestamptz:
		return true
	}
	return false
}

// ordinal decodes a constant.
func ordinal(t types.Type, c *proto.Const) (int64, bool) {
	if !ordered(t) {
		return 0, false
	}
	b := vector.NewBuilder(t, 1)
	if vector.ParseBinary(b, c.GetValue()) != nil {
		return 0, false
	}
	return integer(b.Build())
}

func integer(v *vector.Vector) (int64, bool) {
	switch v.Type.Phys() {
	case types.PhysInt16:
		return int64(vector.At[int16](v, 0)), true
	case types.PhysInt32:
		return int64(vector.At[int32](v, 0)), true
	case types.PhysInt64:
		return vector.At[int64](v, 0), true
	}
	return 0, false
}

// excludes reports that by its statistics no row of the row group can have a
// value of s in the column.
func (s span) excludes(rg *file.RowGroupReader, f *parquetField) (none bool) {
	if s.lo > s.hi {
		return true
	}
	if f.list || !ordered(f.leaf.sql) {
		return false
	}
	defer func() {
		if recover() != nil {
			none = false // damaged statistics tell nothing
		}
	}()
	cc, err := rg.MetaData().ColumnChunk(f.index)
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
	bound := func(b []byte) (int64, bool) {
		d := rawColumn(&f.leaf, b)
		if d == nil {
			return 0, false
		}
		v, err := d.read(1)
		if err != nil {
			return 0, false
		}
		return integer(v)
	}
	lo, ok1 := bound(st.EncodeMin())
	hi, ok2 := bound(st.EncodeMax())
	return ok1 && ok2 && (hi < s.lo || lo > s.hi)
}
