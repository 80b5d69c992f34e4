package storage

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/schema"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// rowGroupRows is the size of a row group: the unit of parallel scans, and small
// enough that a writer's buffers stay in the tens of megabytes.
const rowGroupRows = 131072

// rowGroupBytes ends a row group of wide rows earlier.
const rowGroupBytes = 128 << 20

// A dictionary is tried for columns of which a sample has few distinct values:
// on others the library would hash every value for nothing.
const (
	dictSample   = 2048
	dictDistinct = 0.6 // share of distinct values in the sample above which there is none
)

// parquetWriter writes one Parquet file.
type parquetWriter struct {
	sink   *sink
	root   *schema.GroupNode
	fw     *file.Writer // made with the first batch, which decides on dictionaries
	rg     file.BufferedRowGroupWriter
	schema []vector.Field
	leaves []leaf
	check  *nullCheck
	rows   int64
	inRG   int64
	size   int64 // of the batches in the row group, uncompressed
	ended  bool
	levels levels
}

// levels are scratch slices of definition and repetition levels.
type levels struct{ def, rep []int16 }

func newParquetWriter(path string, fields []vector.Field, check *nullCheck, open openFunc) (Writer, error) {
	w := &parquetWriter{schema: fields, check: check}
	var nodes schema.FieldList
	for i, f := range fields {
		n, l, err := parquetNode(f, check.is(i))
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, n)
		w.leaves = append(w.leaves, l)
	}
	root, err := schema.NewGroupNode("schema", parquet.Repetitions.Required, nodes, -1)
	if err != nil {
		return nil, pgerr.Wrap(err, pgerr.InternalError, "could not make the schema of \"%s\"", path)
	}
	if w.sink, err = newSink(path, open); err != nil {
		return nil, err
	}
	w.root = root
	return w, nil
}

// start makes the library's writer. first is nil for an empty file.
func (w *parquetWriter) start(first *vector.Batch) error {
	if w.fw != nil {
		return nil
	}
	opts := []parquet.WriterProperty{parquet.WithCompression(compress.Codecs.Snappy),
		parquet.WithCreatedBy("volley"), parquet.WithVersion(parquet.V2_LATEST), parquet.WithBatchSize(8192)}
	sc := schema.NewSchema(w.root)
	for i := range w.leaves {
		if first != nil && manyDistinct(first.Col(i).Flatten()) {
			opts = append(opts, parquet.WithDictionaryPath(sc.Column(i).ColumnPath(), false))
		}
	}
	var err error
	if w.fw, err = file.NewParquetWriterWithError(w.sink, w.root, file.WithWriterProps(parquet.NewWriterProperties(opts...))); err != nil {
		return err
	}
	return w.fw.AppendKeyValueMetadata(schemaKey, encodeSchema(w.schema))
}

// manyDistinct looks at values spread over v, or over the elements of a list.
func manyDistinct(v *vector.Vector) bool {
	if v.Type.Phys() == types.PhysList {
		v = v.Child.Flatten()
	}
	width := vector.Width(v.Type.Phys())
	seen := map[string]struct{}{}
	n, step := 0, max(1, v.Len/dictSample)
	for i := 0; i < v.Len; i += step {
		if v.IsNull(i) {
			continue
		}
		n++
		if width > 0 {
			seen[string(v.Raw()[i*width:(i+1)*width])] = struct{}{}
		} else {
			seen[v.StringAt(i)] = struct{}{}
		}
	}
	return float64(len(seen)) > dictDistinct*float64(n)
}

// failed prefers what the file said to what the library made of it.
func (w *parquetWriter) failed(err error) error {
	if w.sink.err != nil {
		return w.sink.report(w.sink.err)
	}
	return pgerr.Wrap(err, pgerr.IOError, "could not write to file \"%s\"", w.sink.path)
}

// guard turns a panic of the library, which reports some write errors so, into
// an error.
func (w *parquetWriter) guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = w.failed(fmt.Errorf("%v", p))
		}
	}()
	if err := f(); err != nil {
		return w.failed(err)
	}
	if w.sink.err != nil {
		return w.sink.report(w.sink.err)
	}
	return nil
}

func (w *parquetWriter) Write(ctx context.Context, b *vector.Batch) error {
	if err := ctx.Err(); err != nil {
		return pgerr.From(err)
	}
	if err := w.check.batch(b); err != nil {
		return err
	}
	if b.Rows() == 0 {
		return nil
	}
	if err := w.guard(func() error { return w.start(b) }); err != nil {
		return err
	}
	for from := 0; from < b.Rows(); {
		n := min(b.Rows()-from, int(rowGroupRows-w.inRG))
		if err := w.guard(func() error { return w.write(b.Slice(from, from+n)) }); err != nil {
			return err
		}
		from += n
	}
	return nil
}

func (w *parquetWriter) write(b *vector.Batch) (err error) {
	if w.rg == nil {
		if w.rg, err = w.fw.AppendBufferedRowGroupChecked(); err != nil {
			return err
		}
	}
	for i := range w.leaves {
		cw, err := w.rg.Column(i)
		if err != nil {
			return err
		}
		v := b.Col(i).Flatten()
		w.size += v.Size()
		if err := w.column(cw, &w.leaves[i], v, w.check.is(i)); err != nil {
			return pgerr.Wrap(err, pgerr.InternalError, "column \"%s\"", w.schema[i].Name)
		}
	}
	w.inRG += int64(b.Rows())
	w.rows += int64(b.Rows())
	if w.inRG >= rowGroupRows || w.size >= rowGroupBytes {
		return w.endRowGroup()
	}
	return nil
}

func (w *parquetWriter) endRowGroup() error {
	if w.rg == nil {
		return nil
	}
	err := w.rg.Close()
	w.rg, w.inRG, w.size = nil, 0, 0
	return err
}

func (w *parquetWriter) Close(ctx context.Context) (FileInfo, error) {
	if err := ctx.Err(); err != nil {
		w.Abort()
		return FileInfo{}, pgerr.From(err)
	}
	var stats *FileStats
	err := w.guard(func() error {
		if err := w.start(nil); err != nil {
			return err
		}
		if err := w.endRowGroup(); err != nil {
			return err
		}
		if err := w.fw.Close(); err != nil {
			return err
		}
		meta, err := w.fw.FileMetadata()
		if err != nil {
			return err
		}
		fields, err := parquetFields(w.sink.path, meta)
		if err != nil {
			return err
		}
		stats = statsOf(meta, fields)
		return nil
	})
	if err != nil {
		w.Abort()
		return FileInfo{}, err
	}
	w.ended = true
	if err := w.sink.finish(); err != nil {
		return FileInfo{}, err
	}
	return FileInfo{Path: w.sink.path, Rows: w.rows, Bytes: w.sink.bytes, Stats: stats.Encode()}, nil
}

// Abort drops the file. The library's writer is just let go: its buffers are
// ordinary memory.
func (w *parquetWriter) Abort() {
	if w.ended {
		return
	}
	w.ended = true
	w.sink.abort()
}

// column writes a vector to a column chunk.
func (w *parquetWriter) column(cw file.ColumnChunkWriter, l *leaf, v *vector.Vector, required bool) error {
	if v.Type.Phys() == types.PhysList {
		def, rep, child := w.listLevels(v, required)
		return writeLeaf(cw, l, child, def, rep)
	}
	var def []int16
	if !required {
		def = w.levels.defs(v.Len)
		if v.Valid == nil {
			for i := range def {
				def[i] = 1
			}
		} else {
			for i := range def {
				def[i] = int16(v.Valid[i>>3] >> (i & 7) & 1)
			}
		}
	}
	return writeLeaf(cw, l, v, def, nil)
}

func (l *levels) defs(n int) []int16 {
	if cap(l.def) < n {
		l.def = make([]int16, n)
	}
	return l.def[:n]
}

// listLevels gives every element, every empty and every NULL list its levels,
// and the elements that rows refer to, in order.
func (w *parquetWriter) listLevels(v *vector.Vector, required bool) (def, rep []int16, child *vector.Vector) {
	base := int16(1) // level of a list that is there and empty
	if required {
		base = 0
	}
	def, rep = w.levels.def[:0], w.levels.rep[:0]
	kid := v.Child.Flatten()
	idx := make([]int32, 0, kid.Len)
	for i := range v.Len {
		if v.IsNull(i) {
			def, rep = append(def, 0), append(rep, 0)
			continue
		}
		from, to := v.ListAt(i)
		if from == to {
			def, rep = append(def, base), append(rep, 0)
			continue
		}
		for e := from; e < to; e++ {
			d, r := base+2, int16(1)
			if kid.IsNull(e) {
				d--
			}
			if e == from {
				r = 0
			}
			def, rep = append(def, d), append(rep, r)
			idx = append(idx, int32(e))
		}
	}
	w.levels.def, w.levels.rep = def, rep
	return def, rep, vector.Gather(kid, idx)
}

// batchWriter is what the typed chunk writers of arrow-go have in common.
type batchWriter[P any] interface {
	WriteBatch(values []P, def, rep []int16) (int64, error)
}

// writeLeaf writes the values of v that are not NULL with the given levels.
func writeLeaf(cw file.ColumnChunkWriter, l *leaf, v *vector.Vector, def, rep []int16) error {
	switch cw := cw.(type) {
	case *file.BooleanColumnChunkWriter:
		return writeSame[bool](cw, v, def, rep)
	case *file.Float32ColumnChunkWriter:
		return writeSame[float32](cw, v, def, rep)
	case *file.Float64ColumnChunkWriter:
		return writeSame[float64](cw, v, def, rep)
	case *file.Int32ColumnChunkWriter:
		switch l.enc {
		case encInt16:
			return writeConv(cw, v, def, rep, func(x int16) (int32, error) { return int32(x), nil })
		case encDecimal:
			return writeConv(cw, v, def, rep, func(x types.Decimal) (int32, error) {
				if x.NaN {
					return math.MinInt32, nil
				}
				x, err := fitDecimal(x, l.sql)
				return int32(x.Lo), err
			})
		}
		return writeSame[int32](cw, v, def, rep)
	case *file.Int64ColumnChunkWriter:
		if l.enc == encDecimal {
			return writeConv(cw, v, def, rep, func(x types.Decimal) (int64, error) {
				if x.NaN {
					return math.MinInt64, nil
				}
				x, err := fitDecimal(x, l.sql)
				return int64(x.Lo), err
			})
		}
		return writeSame[int64](cw, v, def, rep)
	case *file.ByteArrayColumnChunkWriter:
		if l.enc == encNumericText {
			var arena []byte
			return writeConv(cw, v, def, rep, func(x types.Decimal) (parquet.ByteArray, error) {
				at := len(arena)
				arena = types.AppendNumeric(arena, x)
				return arena[at:len(arena):len(arena)], nil
			})
		}
		return writeBytes[parquet.ByteArray](cw, v, def, rep)
	case *file.FixedLenByteArrayColumnChunkWriter:
		arena := make([]byte, 0, 16*v.Len) // never moves: values point into it
		switch l.enc {
		case encDecimal:
			return writeConv(cw, v, def, rep, func(x types.Decimal) (parquet.FixedLenByteArray, error) {
				if x.NaN {
					x = types.Decimal{Hi: math.MinInt64}
				} else {
					var err error
					if x, err = fitDecimal(x, l.sql); err != nil {
						return nil, err
					}
				}
				arena = binary.BigEndian.AppendUint64(arena, uint64(x.Hi))
				arena = binary.BigEndian.AppendUint64(arena, x.Lo)
				return arena[len(arena)-16:], nil
			})
		case encInterval:
			return writeConv(cw, v, def, rep, func(x types.IntervalValue) (parquet.FixedLenByteArray, error) {
				arena = binary.LittleEndian.AppendUint32(arena, uint32(x.Months))
				arena = binary.LittleEndian.AppendUint32(arena, uint32(x.Days))
				arena = binary.LittleEndian.AppendUint64(arena, uint64(x.Micros))
				return arena[len(arena)-16:], nil
			})
		}
		return writeBytes[parquet.FixedLenByteArray](cw, v, def, rep)
	}
	return pgerr.New(pgerr.InternalError, "no writer for %s", l.sql)
}

// fitDecimal brings a value to the column's scale and checks its precision.
func fitDecimal(x types.Decimal, t types.Type) (types.Decimal, error) {
	p, s, _ := t.PrecisionScale()
	return types.RoundNumeric(x, p, s)
}

func writeSame[T vector.Fixed](cw batchWriter[T], v *vector.Vector, def, rep []int16) error {
	vals := vector.Values[T](v)
	if v.Valid != nil {
		dense := make([]T, 0, len(vals))
		for i, x := range vals {
			if vector.IsValid(v.Valid, i) {
				dense = append(dense, x)
			}
		}
		vals = dense
	}
	_, err := cw.WriteBatch(vals, def, rep)
	return err
}

func writeConv[P any, T vector.Fixed](cw batchWriter[P], v *vector.Vector, def, rep []int16, conv func(T) (P, error)) error {
	dense := make([]P, 0, v.Len)
	for i, x := range vector.Values[T](v) {
		if vector.IsValid(v.Valid, i) {
			p, err := conv(x)
			if err != nil {
				return err
			}
			dense = append(dense, p)
		}
	}
	_, err := cw.WriteBatch(dense, def, rep)
	return err
}

func writeBytes[P ~[]byte](cw batchWriter[P], v *vector.Vector, def, rep []int16) error {
	dense := make([]P, 0, v.Len)
	for i := range v.Len {
		if vector.IsValid(v.Valid, i) {
			dense = append(dense, P(v.BytesAt(i)))
		}
	}
	_, err := cw.WriteBatch(dense, def, rep)
	return err
}
