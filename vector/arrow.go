package vector

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"strconv"
	"strings"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
)

// The Arrow form of a batch is lossless and, but for booleans, shares the
// vectors' buffers. Every field carries its SQL type in the metadata key
// "volley.type" as "id,elem,typmod", so a message can be read without a plan.
// Numeric is FixedSizeBinary(24), the bytes of types.Decimal, since each value
// has its own scale; interval is FixedSizeBinary(16). A Dict vector is an Arrow
// dictionary of int32. A Const vector is a dictionary of one value with int8
// indexes and "volley.form" = "const"; a constant NULL is Arrow's null type. A
// Scaled vector is Int64 with "volley.form" = "scaled" and the scale.
const (
	metaType = "volley.type"
	metaForm = "volley.form"

	formScaled = "scaled " // and the scale
)

// ArrowType returns the Arrow type that a column of t has in ToArrow.
func ArrowType(t types.Type) arrow.DataType {
	switch t.ID {
	case types.Date:
		return arrow.FixedWidthTypes.Date32
	case types.Time:
		return arrow.FixedWidthTypes.Time64us
	case types.Timestamp:
		return &arrow.TimestampType{Unit: arrow.Microsecond}
	case types.Timestamptz:
		return &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}
	}
	switch t.Phys() {
	case types.PhysBool:
		return arrow.FixedWidthTypes.Boolean
	case types.PhysInt16:
		return arrow.PrimitiveTypes.Int16
	case types.PhysInt32:
		return arrow.PrimitiveTypes.Int32
	case types.PhysInt64:
		return arrow.PrimitiveTypes.Int64
	case types.PhysFloat32:
		return arrow.PrimitiveTypes.Float32
	case types.PhysFloat64:
		return arrow.PrimitiveTypes.Float64
	case types.PhysNumeric, types.PhysInterval:
		return &arrow.FixedSizeBinaryType{ByteWidth: Width(t.Phys())}
	case types.PhysList:
		return arrow.ListOf(ArrowType(t.ElemType()))
	}
	if t.IsString() || t.ID == types.JSON || t.ID == types.JSONB {
		return arrow.BinaryTypes.String
	}
	return arrow.BinaryTypes.Binary
}

// ToArrow converts a batch; fields may be nil, else they give the names. The
// record shares the batch's memory and need not be released.
func ToArrow(b *Batch, fields []Field) (arrow.RecordBatch, error) {
	n := b.Rows()
	fs := make([]arrow.Field, b.NumCols())
	cols := make([]arrow.Array, b.NumCols())
	for i := range cols {
		v := b.Col(i)
		name := "c" + strconv.Itoa(i)
		if fields != nil {
			name = fields[i].Name
		}
		data, form, err := arrowData(v, n)
		if err != nil {
			return nil, err
		}
		keys := []string{metaType}
		vals := []string{fmt.Sprintf("%d,%d,%d", v.Type.ID, v.Type.Elem, v.Type.Typmod)}
		if form != "" {
			keys, vals = append(keys, metaForm), append(vals, form)
		}
		fs[i] = arrow.Field{Name: name, Type: data.DataType(), Nullable: true, Metadata: arrow.NewMetadata(keys, vals)}
		cols[i] = array.MakeFromData(data)
	}
	return array.NewRecordBatch(arrow.NewSchema(fs, nil), cols, int64(n)), nil
}

func arrowData(v *Vector, n int) (*array.Data, string, error) {
	if v.Len != n {
		return nil, "", pgerr.New(pgerr.InternalError, "a column has %d rows in a batch of %d", v.Len, n)
	}
	switch v.Form {
	case Const:
		if n == 0 {
			return flatData(New(v.Type, 0)), "", nil
		}
		if v.IsNull(0) {
			return array.NewData(arrow.Null, n, []*memory.Buffer{nil}, nil, n, 0), "const", nil
		}
		one := *v
		one.Form, one.Len, one.Valid = Flat, 1, nil
		dt := &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: ArrowType(v.Type)}
		idx := memory.NewBufferBytes(make([]byte, n))
		return array.NewDataWithDictionary(dt, n, []*memory.Buffer{nil, idx}, 0, 0, flatData(&one)), "const", nil
	case Dict:
		if v.Child.Len > n || v.Child.Len == 0 {
			return flatData(flattenDict(v)), "", nil
		}
		dt := &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: ArrowType(v.Type)}
		bufs := []*memory.Buffer{validBuffer(v), memory.NewBufferBytes(asBytes(v.Codes[:n]))}
		return array.NewDataWithDictionary(dt, n, bufs, v.NullCount(), 0, flatData(v.Child.Flatten())), "", nil
	case Scaled:
		raw := memory.NewBufferBytes(asBytes(Values[int64](v)))
		return array.NewData(arrow.PrimitiveTypes.Int64, n, []*memory.Buffer{validBuffer(v), raw}, nil, v.NullCount(), 0),
			formScaled + strconv.Itoa(int(v.Scale)), nil
	}
	return flatData(v), "", nil
}

// flattenDict is Flatten, also for a dictionary without values, whose rows are
// all NULL.
func flattenDict(v *Vector) *Vector {
	if v.Child.Len == 0 {
		return New(v.Type, v.Len).WithValid(v.Valid)
	}
	return v.Flatten()
}

func validBuffer(v *Vector) *memory.Buffer {
	if v.Valid == nil {
		return nil
	}
	return memory.NewBufferBytes(v.Valid)
}

func asBytes[T any](s []T) []byte {
	if len(s) == 0 {
		return []byte{}
	}
	var z T
	return unsafe.Slice((*byte)(unsafe.Pointer(&s[0])), len(s)*int(unsafe.Sizeof(z)))
}

func flatData(v *Vector) *array.Data {
	dt, n := ArrowType(v.Type), v.Len
	valid, nulls := validBuffer(v), v.NullCount()
	switch v.Type.Phys() {
	case types.PhysBool:
		bits := make([]byte, (n+7)/8)
		for i, x := range Values[bool](v) {
			if x {
				bits[i>>3] |= 1 << (i & 7)
			}
		}
		return array.NewData(dt, n, []*memory.Buffer{valid, memory.NewBufferBytes(bits)}, nil, nulls, 0)
	case types.PhysBytes:
		offs := memory.NewBufferBytes(asBytes(v.Offs[:n+1]))
		data := v.Bytes
		if data == nil {
			data = []byte{}
		}
		return array.NewData(dt, n, []*memory.Buffer{valid, offs, memory.NewBufferBytes(data)}, nil, nulls, 0)
	case types.PhysList:
		offs := memory.NewBufferBytes(asBytes(v.Offs[:n+1]))
		child := v.Child
		if child.Form == Dict {
			child = flattenDict(child)
		}
		return array.NewData(dt, n, []*memory.Buffer{valid, offs}, []arrow.ArrayData{flatData(child.Flatten())}, nulls, 0)
	}
	raw := v.buf
	if raw == nil {
		raw = []byte{}
	}
	return array.NewData(dt, n, []*memory.Buffer{valid, memory.NewBufferBytes(raw[:n*Width(v.Type.Phys())])}, nil, nulls, 0)
}

// An encoded block is blockHeader bytes (the magic, then the CRC-32C of the
// rest, both little-endian) and an Arrow IPC stream. The checksum is not only
// for the disk: arrow-go trusts the sizes in the metadata it parses, and
// damaged ones could make it allocate without bounds.
const (
	blockMagic  = 0x31424C56 // "VLB1"
	blockHeader = 8
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// EncodeBatch appends a batch to dst as one block: a checksum and a complete
// Arrow IPC stream of schema, dictionaries and one record batch.
func EncodeBatch(dst []byte, b *Batch) ([]byte, error) {
	rec, err := ToArrow(b, nil)
	if err != nil {
		return dst, err
	}
	start := len(dst)
	buf := bytes.NewBuffer(append(dst, make([]byte, blockHeader)...))
	iw := ipc.NewWriter(buf, ipc.WithSchema(rec.Schema()))
	if err := iw.Write(rec); err != nil {
		return dst, pgerr.Wrap(err, pgerr.InternalError, "could not encode a batch")
	}
	if err := iw.Close(); err != nil {
		return dst, pgerr.Wrap(err, pgerr.InternalError, "could not encode a batch")
	}
	out := buf.Bytes()
	binary.LittleEndian.PutUint32(out[start:], blockMagic)
	binary.LittleEndian.PutUint32(out[start+4:], crc32.Checksum(out[start+blockHeader:], castagnoli))
	return out, nil
}

// DecodeBatch reads what EncodeBatch wrote. Damaged input is an error (XX001),
// never a panic now or later. want may be nil, else the columns must have these
// types (but for modifiers). The batch does not alias data.
func DecodeBatch(want []types.Type, data []byte) (b *Batch, err error) {
	if len(data) < blockHeader || binary.LittleEndian.Uint32(data) != blockMagic {
		return nil, corrupt("no block header")
	}
	sum := binary.LittleEndian.Uint32(data[4:])
	data = data[blockHeader:]
	if crc32.Checksum(data, castagnoli) != sum {
		return nil, corrupt("checksum mismatch")
	}
	return DecodeStream(want, data)
}

// DecodeStream is DecodeBatch for the first batch of a bare Arrow IPC stream.
func DecodeStream(want []types.Type, data []byte) (b *Batch, err error) {
	defer func() {
		// arrow-go panics on some malformed input.
		if p := recover(); p != nil {
			b, err = nil, corrupt("%v", p)
		}
	}()
	limit := int64(len(data)) + 1
	mr := ipc.NewMessageReader(bytes.NewReader(data), ipc.WithBodySizeLimit(limit), ipc.WithMetadataSizeLimit(limit))
	r, err := ipc.NewReaderFromMessageReader(mr)
	if err != nil {
		return nil, corrupt("%v", err)
	}
	rec, err := r.Read()
	if err != nil {
		return nil, corrupt("%v", err)
	}
	b, err = FromArrow(rec)
	if err != nil {
		return nil, err
	}
	if want != nil {
		if len(want) != b.NumCols() {
			return nil, corrupt("%d columns instead of %d", b.NumCols(), len(want))
		}
		for i, t := range want {
			if got := b.cols[i].Type; !got.Same(t) {
				return nil, corrupt("column %d has type %s instead of %s", i+1, got, t)
			}
		}
	}
	return b, nil
}

func corrupt(format string, args ...any) error {
	return pgerr.New(pgerr.DataCorrupted, "invalid Arrow batch: %s", fmt.Sprintf(format, args...))
}

// FromArrow converts a record that ToArrow made, sharing its memory where the
// layouts agree. Offsets, codes and lengths are checked.
func FromArrow(rec arrow.RecordBatch) (*Batch, error) {
	n := rec.NumRows()
	if n < 0 || n > math.MaxInt32 {
		return nil, corrupt("%d rows", n)
	}
	cols := make([]*Vector, rec.NumCols())
	for i := range cols {
		f := rec.Schema().Field(i)
		t, err := fieldType(f)
		if err != nil {
			return nil, err
		}
		form, _ := f.Metadata.GetValue(metaForm)
		v, err := fromData(t, rec.Column(i).Data(), form)
		if err != nil {
			return nil, err
		}
		if v.Len != int(n) {
			return nil, corrupt("a column has %d rows of %d", v.Len, n)
		}
		cols[i] = v
	}
	return NewBatch(cols, int(n)), nil
}

func fieldType(f arrow.Field) (types.Type, error) {
	s, ok := f.Metadata.GetValue(metaType)
	if !ok {
		return types.Type{}, corrupt("column %q has no %s", f.Name, metaType)
	}
	var id, elem uint8
	var typmod int32
	if _, err := fmt.Sscanf(s, "%d,%d,%d", &id, &elem, &typmod); err != nil {
		return types.Type{}, corrupt("type %q", s)
	}
	t := types.Type{ID: types.ID(id), Elem: types.ID(elem), Typmod: typmod}
	p := t.Phys()
	if p == types.PhysInvalid || p == types.PhysList && (t.ElemType().Phys() == types.PhysInvalid || t.ElemType().Phys() == types.PhysList) {
		return types.Type{}, corrupt("type %q", s)
	}
	return t, nil
}

func fromData(t types.Type, d arrow.ArrayData, form string) (*Vector, error) {
	n := d.Len()
	switch dt := d.DataType().(type) {
	case *arrow.NullType:
		return NewNull(t, n), nil
	case *arrow.DictionaryType:
		dict, err := fromFlat(t, d.Dictionary())
		if err != nil {
			return nil, err
		}
		if form == "const" {
			if dict.Len != 1 {
				return nil, corrupt("a constant of %d values", dict.Len)
			}
			return NewConst(dict, n), nil
		}
		return fromDict(t, dt, d, dict)
	}
	if scale, ok := strings.CutPrefix(form, formScaled); ok {
		return fromScaled(t, d, scale)
	}
	return fromFlat(t, d)
}

func fromDict(t types.Type, dt *arrow.DictionaryType, d arrow.ArrayData, dict *Vector) (*Vector, error) {
	if dt.IndexType.ID() != arrow.INT32 || t.Phys() != types.PhysBytes || dict.HasNulls() {
		return nil, corrupt("dictionary of %s by %s", t, dt.IndexType)
	}
	n := d.Len()
	valid, err := validOf(d)
	if err != nil {
		return nil, err
	}
	codes, err := int32s(d, 1, n)
	if err != nil {
		return nil, err
	}
	for i, c := range codes {
		if uint32(c) >= uint32(dict.Len) {
			return nil, corrupt("code %d of %d at row %d", c, dict.Len, i)
		}
	}
	return FromDict(t, codes, dict).WithValid(valid), nil
}

func buffer(d arrow.ArrayData, i int) []byte {
	if bufs := d.Buffers(); i < len(bufs) && bufs[i] != nil {
		return bufs[i].Bytes()
	}
	return nil
}

func validOf(d arrow.ArrayData) ([]byte, error) {
	if d.NullN() == 0 || d.Len() == 0 {
		return nil, nil
	}
	b := buffer(d, 0)
	off, n := d.Offset(), d.Len()
	if len(b) < (off+n+7)/8 {
		if b == nil && d.NullN() < 0 {
			return nil, nil
		}
		return nil, corrupt("validity bitmap of %d bytes for %d rows", len(b), n)
	}
	return sliceValid(b, off, off+n), nil
}

// int32s returns n values of buffer i from the data's offset on.
func int32s(d arrow.ArrayData, i, n int) ([]int32, error) {
	b := buffer(d, i)
	from := d.Offset()
	if len(b) < 4*(from+n) {
		return nil, corrupt("buffer of %d bytes for %d values", len(b), n)
	}
	if n == 0 {
		return []int32{}, nil
	}
	b = b[4*from : 4*(from+n)]
	if uintptr(unsafe.Pointer(&b[0]))%4 != 0 {
		c := alignedBytes(len(b))
		copy(c, b)
		b = c
	}
	return unsafe.Slice((*int32)(unsafe.Pointer(&b[0])), n), nil
}

func offsets(d arrow.ArrayData, limit int) ([]int32, error) {
	if d.Len() == 0 {
		return []int32{0}, nil
	}
	offs, err := int32s(d, 1, d.Len()+1)
	if err != nil {
		return nil, err
	}
	last := int32(0)
	for _, o := range offs {
		if o < last {
			return nil, corrupt("offsets go back from %d to %d", last, o)
		}
		last = o
	}
	if int(last) > limit {
		return nil, corrupt("offset %d of %d", last, limit)
	}
	if offs[0] != 0 {
		return nil, corrupt("first offset is %d", offs[0])
	}
	return offs, nil
}

func fromFlat(t types.Type, d arrow.ArrayData) (*Vector, error) {
	if d == nil || !arrow.TypeEqual(d.DataType(), ArrowType(t)) {
		return nil, corrupt("%s instead of %s for %s", d.DataType(), ArrowType(t), t)
	}
	n := d.Len()
	if n < 0 || n > math.MaxInt32 {
		return nil, corrupt("%d rows", n)
	}
	valid, err := validOf(d)
	if err != nil {
		return nil, err
	}
	switch p := t.Phys(); p {
	case types.PhysBool:
		bits, off := buffer(d, 1), d.Offset()
		if len(bits) < (off+n+7)/8 {
			return nil, corrupt("%d bytes for %d booleans", len(bits), n)
		}
		v := New(t, n)
		for i, vals := 0, Values[bool](v); i < n; i++ {
			vals[i] = bits[(off+i)>>3]&(1<<((off+i)&7)) != 0
		}
		return v.WithValid(valid), nil
	case types.PhysBytes:
		data := buffer(d, 2)
		offs, err := offsets(d, len(data))
		if err != nil {
			return nil, err
		}
		return FromBytes(t, offs, data).WithValid(valid), nil
	case types.PhysList:
		if len(d.Children()) != 1 {
			return nil, corrupt("array without elements")
		}
		child, err := fromFlat(t.ElemType(), d.Children()[0])
		if err != nil {
			return nil, err
		}
		offs, err := offsets(d, child.Len)
		if err != nil {
			return nil, err
		}
		return FromList(t, offs, child).WithValid(valid), nil
	default:
		w, off, b := Width(p), d.Offset(), buffer(d, 1)
		if len(b) < w*(off+n) {
			return nil, corrupt("%d bytes for %d values of %s", len(b), n, t)
		}
		v := FromRaw(t, b[w*off:], n)
		if p == types.PhysNumeric {
			// A bool of any other byte would be undefined behaviour.
			const at = unsafe.Offsetof(types.Decimal{}.NaN)
			for i := range n {
				if v.buf[i*w+int(at)] > 1 {
					return nil, corrupt("numeric at row %d", i)
				}
			}
		}
		return v.WithValid(valid), nil
	}
}
