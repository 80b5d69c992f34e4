package storage

import (
	"encoding/binary"
	"math"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/metadata"

	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// maxBloomBytes bounds what is read to find out that a row group has none of some
// values.
const maxBloomBytes = 4 << 20

// oneOf is the constants of which a filter asks a column to be one: integers as
// spans have them, or texts.
type oneOf struct {
	ints   []int64
	texts  [][]byte
	isText bool
}

// equalsOf reads = and IN with constants out of a conjunction, by output column, as
// spansOf does.
func equalsOf(filter *proto.Expr, into map[uint32]*oneOf) {
	if b := filter.GetBool(); b != nil && b.GetOp() == proto.Bool_AND {
		for _, a := range b.GetArgs() {
			equalsOf(a, into)
		}
		return
	}
	if in := filter.GetIn(); in != nil && !in.GetNot() {
		addEquals(into, in.GetArg(), FromProtoType(in.GetArg().GetType()), in.GetValues())
		return
	}
	call := filter.GetCall()
	if call == nil || len(call.GetArgs()) != 2 {
		return
	}
	if op := comparisons[call.GetFunction()]; op != "eq" && call.GetFunction() != "pg_catalog.texteq(text,text)" {
		return
	}
	col, con := call.GetArgs()[0], call.GetArgs()[1]
	if col.GetColumn() == nil {
		col, con = con, col
	}
	if con.GetConst() != nil {
		addEquals(into, col, FromProtoType(con.GetType()), []*proto.Const{con.GetConst()})
	}
}

// addEquals notes that col is one of constants of type t, if it understands that.
func addEquals(into map[uint32]*oneOf, col *proto.Expr, t types.Type, consts []*proto.Const) {
	c := FromProtoType(col.GetType())
	if col.GetColumn() == nil || !c.Same(t) && !(c.IsInteger() && t.IsInteger()) || into[col.GetColumn().GetIndex()] != nil {
		return
	}
	one := &oneOf{isText: t.ID == types.Text}
	for _, k := range consts {
		if k.GetNull() {
			continue
		}
		if one.isText {
			b := vector.NewBuilder(t, 1)
			if vector.ParseBinary(b, k.GetValue()) != nil {
				return
			}
			one.texts = append(one.texts, b.Build().BytesAt(0))
			continue
		}
		x, ok := ordinal(t, k)
		if !ok {
			return
		}
		one.ints = append(one.ints, x)
	}
	into[col.GetColumn().GetIndex()] = one
}

// suits reports whether the constants are of the kind that a column is stored as.
func (o *oneOf) suits(f *parquetField) bool {
	switch l := &f.leaf; {
	case f.list || l.enc != encSame && l.enc != encInt16:
		return false
	case o.isText:
		return l.phys == parquet.Types.ByteArray && l.sql.ID == types.Text
	default:
		return ordered(l.sql) && (l.phys == parquet.Types.Int32 || l.phys == parquet.Types.Int64)
	}
}

// noneIn reports that by its Bloom filter a column chunk has none of the constants.
func (o *oneOf) noneIn(p *parquetFile, group int, f *parquetField) (none bool) {
	if !o.suits(f) {
		return false
	}
	defer func() {
		if recover() != nil {
			none = false // a damaged filter tells nothing
		}
	}()
	cc, err := p.rd.MetaData().RowGroup(group).ColumnChunk(f.index)
	if err != nil || cc.CryptoMetadata() != nil || cc.BloomFilterOffset() <= 0 || cc.BloomFilterLength() > maxBloomBytes {
		return false
	}
	if n, ok := bloomBytes(p, cc); !ok || n > maxBloomBytes {
		return false
	}
	rg, err := p.rd.GetBloomFilterReader().RowGroup(group)
	if err != nil {
		return false
	}
	none = true
	err = rg.VisitColumnBloomFilter(f.index, func(b metadata.BloomFilter) error {
		h := b.Hasher()
		for _, x := range o.texts {
			none = none && !b.CheckHash(h.Sum64(x))
		}
		var buf [8]byte
		for _, x := range o.ints {
			n := 8
			if binary.LittleEndian.PutUint64(buf[:], uint64(x)); f.leaf.phys == parquet.Types.Int32 {
				if n = 4; x < math.MinInt32 || x > math.MaxInt32 {
					continue
				}
			}
			none = none && !b.CheckHash(h.Sum64(buf[:n]))
		}
		return nil
	})
	return none && err == nil
}

// bloomBytes reads the size of a chunk's Bloom filter, the first field of its header.
func bloomBytes(p *parquetFile, cc *metadata.ColumnChunkMetaData) (int64, bool) {
	var buf [16]byte
	if n, _ := p.f.ReadAt(buf[:], cc.BloomFilterOffset()); n < len(buf) {
		return 0, false
	}
	h := headerReader{data: buf[:]}
	if id, typ := h.field(0); id != 1 || typ != thriftInt32 {
		return 0, false
	}
	n := h.int32()
	return int64(n), !h.bad && n > 0
}
