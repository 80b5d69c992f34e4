package storage

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/zeebo/xxh3"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// ParquetPlan is the result of PlanParquet and PlanTable.
type ParquetPlan struct {
	Schema []vector.Field
	Splits []*proto.Split // row groups
	Rows   int64          // exact
	Stats  []ColumnStats  // one per column, over all files
	Files  []FileID       // in the order given; not of managed tables
}

// FileID is what a Parquet file was when it was planned.
type FileID struct {
	Path          string
	Size, MtimeNs int64
	Footer        uint64 // hash of the footer, which has sizes and bounds of all columns
}

// FooterSum is FileID.Footer of the file as it is now.
func FooterSum(path string) (uint64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, openError(path, err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return 0, pgerr.Wrap(err, pgerr.IOError, "could not stat file \"%s\"", path)
	}
	return footerSum(f, st.Size())
}

// footerSum hashes the footer of a file of size bytes, whose last eight are the
// footer's length and a mark.
func footerSum(f *os.File, size int64) (uint64, error) {
	bad := func(err error) (uint64, error) {
		return 0, pgerr.Wrap(err, pgerr.IOError, "could not read the footer of file \"%s\"", f.Name())
	}
	var tail [8]byte
	if _, err := f.ReadAt(tail[:], max(size-8, 0)); err != nil {
		return bad(err)
	}
	n := min(int64(binary.LittleEndian.Uint32(tail[:4]))+8, size)
	b := make([]byte, n)
	if _, err := f.ReadAt(b, size-n); err != nil {
		return bad(err)
	}
	return xxh3.Hash(b), nil
}

// parquetFile is an open file with its columns.
type parquetFile struct {
	path   string
	f      *os.File
	rd     *file.Reader
	fields []parquetField
}

// damaged turns errors and panics of the decoder into one that names the file.
func damaged(path string, err error) error {
	var pe *pgerr.Error
	if errors.As(err, &pe) && pe.Code != pgerr.DataCorrupted {
		return pgerr.Wrap(err, pe.Code, "file \"%s\"", path)
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return pgerr.From(err)
	}
	return pgerr.Wrap(err, pgerr.DataCorrupted, "file \"%s\" is not a valid Parquet file", path).WithClass(pgerr.User)
}

func openParquetFile(path string) (p *parquetFile, err error) {
	f, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if r := recover(); r != nil {
			err = damaged(path, fmt.Errorf("%v", r))
		}
		if err != nil {
			f.Close()
		}
	}()
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() {
		return nil, pgerr.New(pgerr.WrongObjectType, "\"%s\" is not a regular file", path)
	}
	if kept := footers.get(path, st); kept != nil {
		rd, err := file.NewParquetReader(f, file.WithMetadata(kept.meta))
		if err != nil {
			return nil, damaged(path, err)
		}
		return &parquetFile{path: path, f: f, rd: rd, fields: kept.fields}, nil
	}
	rd, err := file.NewParquetReader(f)
	if err != nil {
		return nil, damaged(path, err)
	}
	fields, err := parquetFields(path, rd.MetaData())
	if err != nil {
		return nil, err
	}
	footers.put(path, &parsedFooter{file: st, meta: rd.MetaData(), fields: fields})
	return &parquetFile{path: path, f: f, rd: rd, fields: fields}, nil
}

func (p *parquetFile) close() {
	p.rd.Close() // closes f
	p.f.Close()
}

// PlanParquet reads the footers of Parquet files and plans their scan. All must
// have the columns of the first, with the same types, in any order.
func PlanParquet(ctx context.Context, paths []string) (*ParquetPlan, error) {
	return (*PlanCache)(nil).PlanParquet(ctx, paths)
}

// PlanParquet is PlanParquet that reads the footers of unchanged files once.
func (c *PlanCache) PlanParquet(ctx context.Context, paths []string) (*ParquetPlan, error) {
	if len(paths) == 0 {
		return nil, pgerr.New(pgerr.UndefinedFile, "no files to read")
	}
	plan := &ParquetPlan{}
	var all []*FileStats
	for i, path := range paths {
		if err := ctx.Err(); err != nil {
			return nil, pgerr.From(err)
		}
		if err := plan.addFile(c, path, i == 0, &all); err != nil {
			return nil, err
		}
	}
	plan.Stats = mergeStats(plan.Schema, all)
	return plan, nil
}

func (p *ParquetPlan) addFile(cache *PlanCache, path string, first bool, all *[]*FileStats) error {
	f, err := cache.footer(path)
	if err != nil {
		return err
	}
	if first {
		for _, c := range f.fields {
			if fieldIndex(p.Schema, c.Name) >= 0 {
				return pgerr.New(pgerr.DuplicateColumn, "file \"%s\" has two columns of the name \"%s\"", path, c.Name)
			}
			p.Schema = append(p.Schema, c)
		}
	} else if len(f.fields) != len(p.Schema) {
		return pgerr.New(pgerr.DatatypeMismatch, "file \"%s\" has %d columns but the first file has %d", path, len(f.fields), len(p.Schema))
	}
	for _, c := range f.fields {
		i := fieldIndex(p.Schema, c.Name)
		if i < 0 {
			return pgerr.New(pgerr.DatatypeMismatch, "file \"%s\" has a column \"%s\" that the first file lacks", path, c.Name)
		}
		if p.Schema[i].Type != c.Type {
			return pgerr.New(pgerr.DatatypeMismatch, "column \"%s\" is %s in file \"%s\" but %s in the first file", c.Name, c.Type, path, p.Schema[i].Type)
		}
	}
	p.addSplits(path, f.stats.RowGroups, f.size, f.mtime)
	p.Files = append(p.Files, FileID{Path: path, Size: f.size, MtimeNs: f.mtime, Footer: f.sum})
	*all = append(*all, f.stats)
	return nil
}

// footer is what planning needs of a Parquet file; it is not changed once made.
type footer struct {
	size, mtime int64 // in bytes; in ns
	sum         uint64
	fields      []vector.Field
	stats       *FileStats
}

// footer reads a file's footer, or remembers it if the file has not changed.
func (c *PlanCache) footer(path string) (*footer, error) {
	if c != nil {
		if st, err := os.Stat(path); err == nil {
			c.mu.Lock()
			f := c.footers[path]
			c.mu.Unlock()
			if f != nil && f.size == st.Size() && f.mtime == st.ModTime().UnixNano() {
				return f, nil
			}
		}
	}
	p, err := openParquetFile(path)
	if err != nil {
		return nil, err
	}
	defer p.close()
	st, err := p.f.Stat()
	if err != nil {
		return nil, pgerr.Wrap(err, pgerr.IOError, "could not stat file \"%s\"", path)
	}
	f := &footer{size: st.Size(), mtime: st.ModTime().UnixNano(), stats: statsOf(p.rd.MetaData(), p.fields)}
	if f.sum, err = footerSum(p.f, f.size); err != nil {
		return nil, err
	}
	for _, c := range p.fields {
		f.fields = append(f.fields, c.Field)
	}
	if c != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.footers) >= c.limit {
			clear(c.footers)
		}
		c.footers[path] = f
	}
	return f, nil
}

func (p *ParquetPlan) addSplits(path string, rowGroups []int64, size, mtime int64) {
	for g, rows := range rowGroups {
		if rows == 0 {
			continue
		}
		p.Splits = append(p.Splits, &proto.Split{Path: path, Offset: int64(g), Length: 1, Rows: rows, RowBase: p.Rows,
			Size: size, MtimeNs: mtime, Last: g == len(rowGroups)-1})
		p.Rows += rows
	}
}

// TableFile is a file of a managed table, as the catalog knows it.
type TableFile struct {
	Path  string // absolute
	Rows  int64
	Bytes int64
	Stats []byte
}

// PlanTable plans the scan of a managed table without touching its files.
func PlanTable(schema []vector.Field, files []TableFile) (*ParquetPlan, error) {
	plan := &ParquetPlan{Schema: schema}
	var all []*FileStats
	for _, f := range files {
		st, err := DecodeStats(f.Stats)
		if err != nil {
			return nil, err
		}
		if len(st.RowGroups) > 0 || f.Rows == 0 {
			plan.addSplits(f.Path, st.RowGroups, f.Bytes, 0)
		} else {
			plan.Splits = append(plan.Splits, &proto.Split{Path: f.Path, Length: math.MaxInt32, Rows: f.Rows, RowBase: plan.Rows, Size: f.Bytes, Last: true})
			plan.Rows += f.Rows
		}
		all = append(all, st)
	}
	plan.Stats = mergeStats(schema, all)
	return plan, nil
}

// statsOf collects the statistics of a footer.
func statsOf(meta *metadata.FileMetaData, fields []parquetField) *FileStats {
	out := &FileStats{}
	parts := make([]*FileStats, 0, len(meta.RowGroups))
	schema := make([]vector.Field, len(fields))
	for i, f := range fields {
		schema[i] = f.Field
	}
	for g := range meta.RowGroups {
		rg := meta.RowGroup(g)
		out.RowGroups = append(out.RowGroups, rg.NumRows())
		part := &FileStats{RowGroups: []int64{rg.NumRows()}}
		for i := range fields {
			part.Columns = append(part.Columns, chunkStats(rg, &fields[i]))
		}
		parts = append(parts, part)
	}
	out.Columns = mergeStats(schema, parts)
	return out
}

// chunkStats reads the bounds of one column chunk; what is absent or damaged is
// unknown.
func chunkStats(rg *metadata.RowGroupMetaData, f *parquetField) (s ColumnStats) {
	s.Name, s.Nulls = f.Name, -1
	defer func() { _ = recover() }() // statistics of foreign writers are not worth failing for
	if f.list {
		return s
	}
	cc, err := rg.ColumnChunk(f.index)
	if err != nil {
		return s
	}
	defer func() { s.Distinct = distinctOf(cc, f, &s) }()
	if set, err := cc.StatsSet(); err != nil || !set {
		return s
	}
	st, err := cc.Statistics()
	if err != nil || st == nil {
		return s
	}
	if st.HasNullCount() {
		s.Nulls = st.NullCount()
	}
	if !st.HasMinMax() {
		return s
	}
	lo, hi := boundOf(f, st.EncodeMin()), boundOf(f, st.EncodeMax())
	if lo != nil && hi != nil {
		s.Min, s.Max = lo, hi
	}
	return s
}

// distinctOf estimates the distinct values of a column chunk by the size of its
// dictionary, which the footer tells; 0 when it has none.
func distinctOf(cc *metadata.ColumnChunkMetaData, f *parquetField, s *ColumnStats) int64 {
	if !cc.HasDictionaryPage() || cc.DictionaryPageOffset() <= 0 || cc.DataPageOffset() <= cc.DictionaryPageOffset() || cc.TotalCompressedSize() <= 0 {
		return 0
	}
	const header = 16 // of the page, about
	size := float64(cc.DataPageOffset() - cc.DictionaryPageOffset() - header)
	size *= max(1, float64(cc.TotalUncompressedSize())/float64(cc.TotalCompressedSize()))
	width := 8.0
	switch {
	case f.Type.ID == types.Int2 || f.Type.ID == types.Int4 || f.Type.ID == types.Date || f.Type.ID == types.Float4:
		width = 4
	case f.Type.ID == types.Text || f.Type.ID == types.Bytea:
		width = 12
		if s.Min != nil && s.Max != nil {
			width = 4 + float64(len(*s.Min)+len(*s.Max))/2
		}
	}
	return int64(max(1, size/width))
}

const maxBoundBytes = 64

// boundOf converts an encoded bound to the type's text form.
func boundOf(f *parquetField, b []byte) *string {
	l := &f.leaf
	rd := rawColumn(l, b)
	if rd == nil {
		return nil
	}
	v, err := rd.read(1)
	if err != nil || v.IsNull(0) {
		return nil
	}
	s := string(vector.AppendText(nil, v, 0, nil))
	if len(s) > maxBoundBytes {
		return nil
	}
	return &s
}

// oneValue is a page of one value, for the statistics.
type oneValue[P any] struct{ v P }

func (o oneValue[P]) ReadBatchInPage(_ int64, values []P, def, _ []int16) (int64, int, error) {
	values[0] = o.v
	return 1, 1, nil
}

// rawColumn makes a decoder that yields one plainly encoded value of the types
// whose bounds are of use to the planner; nil for the others.
func rawColumn(l *leaf, b []byte) columnDecoder {
	f := &parquetField{leaf: *l}
	le := binary.LittleEndian
	switch l.phys {
	case parquet.Types.Int32:
		x := int32(le.Uint32(b))
		switch l.enc {
		case encSame:
			return fixed[int32, int32](f, oneValue[int32]{x}, nil)
		case encInt16:
			return fixed(f, oneValue[int32]{x}, func(x int32) (int16, error) { return int16(x), nil })
		case encDecimal:
			if x == math.MinInt32 {
				return nil // NaN is not ordered so
			}
			return fixed(f, oneValue[int32]{x}, func(x int32) (types.Decimal, error) { return decimal64(int64(x), l.scale), nil })
		}
	case parquet.Types.Int64:
		x := int64(le.Uint64(b))
		switch l.enc {
		case encSame:
			return fixed[int64, int64](f, oneValue[int64]{x}, nil)
		case encDecimal:
			if x == math.MinInt64 {
				return nil
			}
			return fixed(f, oneValue[int64]{x}, func(x int64) (types.Decimal, error) { return decimal64(x, l.scale), nil })
		}
	case parquet.Types.Float:
		return fixed[float32, float32](f, oneValue[float32]{math.Float32frombits(le.Uint32(b))}, nil)
	case parquet.Types.Double:
		return fixed[float64, float64](f, oneValue[float64]{math.Float64frombits(le.Uint64(b))}, nil)
	case parquet.Types.FixedLenByteArray:
		if l.enc == encDecimal {
			return fixed(f, oneValue[parquet.FixedLenByteArray]{b}, func(x parquet.FixedLenByteArray) (types.Decimal, error) {
				d, err := decimalBytes(x, l.scale, true)
				if d.NaN {
					err = errTruncated // NaN is not ordered so: no bound
				}
				return d, err
			})
		}
	case parquet.Types.ByteArray:
		if l.enc == encSame && l.sql.IsString() && checkUTF8(b) == nil {
			return &bytesDecoder[parquet.ByteArray]{typ: l.sql, rd: oneValue[parquet.ByteArray]{b}}
		}
	}
	return nil
}

// parquetReader reads row groups one after the other.
type parquetReader struct {
	scan      *proto.Scan
	splits    []*proto.Split
	batchRows int
	limit     int64
	file      *parquetFile
	group     int // next row group of splits[0]
	last      int // one behind its last
	cols      []columnDecoder
	chunks    []io.Closer
	left      int64 // rows left in the row group
	begun     int   // rows of the batch that Begin started
	row       int64 // ordinal of the next row
	done      int64
	total     int64
	spans     map[uint32]span           // what the filter asks of output columns
	equals    map[uint32]*oneOf         // and that they be one of some constants
	size      int64                     // rows of the row group
	ranges    []rowRange                // of them, what is worth reading; nil = all
	skip      func(from, to int64) bool // rows that nobody wants; may be nil
	dicts     bool                      // KeepDicts
	err       error
}

func openParquet(_ context.Context, scan *proto.Scan, splits []*proto.Split, batchRows int) (Reader, error) {
	if batchRows <= 0 {
		batchRows = vector.DefaultRows
	}
	r := &parquetReader{scan: scan, splits: splits, batchRows: batchRows, limit: -1}
	if scan.GetLimit() > 0 {
		r.limit = scan.GetLimit()
	} else if scan.GetFilter() != nil {
		r.spans = map[uint32]span{}
		spansOf(scan.GetFilter(), r.spans)
		r.equals = map[uint32]*oneOf{}
		equalsOf(scan.GetFilter(), r.equals)
	}
	for _, s := range splits {
		r.total += r.splitBytes(s)
	}
	return r, nil
}

// splitBytes estimates a split's share of its file, for progress.
func (r *parquetReader) splitBytes(s *proto.Split) int64 {
	return max(1, s.GetRows()) * int64(max(1, len(r.scan.GetColumns()))) * 8
}

func (r *parquetReader) Next(ctx context.Context) (*vector.Batch, error) {
	cols, n, err := r.Begin(ctx, nil)
	if err != nil || n == 0 {
		return nil, err
	}
	return vector.NewBatch(cols, n), nil
}

// Narrow leaves out row groups whose bounds exclude lo to hi.
func (r *parquetReader) Narrow(col int, lo, hi int64) {
	if r.limit >= 0 || col >= len(r.scan.GetColumns()) {
		return
	}
	if r.spans == nil {
		r.spans = map[uint32]span{}
	}
	narrow(r.spans, uint32(col), span{lo, hi})
}

// KeepDicts implements DictKeeper.
func (r *parquetReader) KeepDicts() { r.dicts = true }

// SkipRows leaves out row groups of which skip says so.
func (r *parquetReader) SkipRows(skip func(from, to int64) bool) {
	if r.limit < 0 {
		r.skip = skip
	}
}

// guard makes errors and panics of decoders ones that name the file, and lasting.
func (r *parquetReader) guard(err *error) {
	if p := recover(); p != nil {
		if r.file == nil {
			panic(p)
		}
		*err = damaged(r.file.path, fmt.Errorf("%v", p))
	}
	if *err != nil {
		r.err = *err
	}
}

// Begin reads the columns that want names, all if it is nil, of the next rows.
func (r *parquetReader) Begin(ctx context.Context, want []bool) (cols []*vector.Vector, n int, err error) {
	if r.err != nil || r.limit == 0 {
		return nil, 0, r.err
	}
	if err := ctx.Err(); err != nil {
		return nil, 0, pgerr.From(err)
	}
	defer r.guard(&err)
	for n == 0 {
		for r.left == 0 {
			more, err := r.nextGroup()
			if err != nil || !more {
				return nil, 0, err
			}
		}
		if n, err = r.toRange(int(min(r.left, int64(r.batchRows)))); err != nil {
			return nil, 0, err
		}
	}
	if r.limit >= 0 {
		n = min(n, int(r.limit))
		r.limit -= int64(n)
	}
	cols = make([]*vector.Vector, len(r.cols), len(r.cols)+1)
	for i, c := range r.cols {
		if want != nil && !want[i] {
			continue
		}
		if cols[i], err = c.read(n); err != nil {
			return nil, 0, damaged(r.file.path, err)
		}
	}
	if r.scan.GetRowId() {
		ids := make([]int64, n)
		for i := range ids {
			ids[i] = r.row + int64(i)
		}
		cols = append(cols, vector.FromSlice(types.T(types.Int8), ids))
	}
	r.begun = n
	r.row += int64(n)
	r.left -= int64(n)
	r.done += int64(n) * int64(max(1, len(r.scan.GetColumns()))) * 8
	return cols, n, nil
}

// Rest reads columns that Begin left out.
func (r *parquetReader) Rest(_ context.Context, cols []*vector.Vector, want []bool, rows []int32) (err error) {
	defer r.guard(&err)
	n := r.begun
	for i, c := range r.cols {
		switch {
		case cols[i] != nil || want != nil && !want[i]:
		case rows == nil:
			cols[i], err = c.read(n)
		case len(rows) == 0 && skipRows(c, n):
		default:
			cols[i], err = readRows(c, n, rows)
		}
		if err != nil {
			return damaged(r.file.path, err)
		}
	}
	return nil
}

// nextGroup opens the next row group.
func (r *parquetReader) nextGroup() (bool, error) {
	r.closeChunks()
	if r.group >= r.last {
		if r.last > 0 {
			r.splits = r.splits[1:]
		}
		r.group, r.last = 0, 0
		if len(r.splits) == 0 {
			return false, nil
		}
		s := r.splits[0]
		if r.file == nil || r.file.path != s.GetPath() {
			r.closeFile()
			f, err := openParquetFile(s.GetPath())
			if err != nil {
				return false, err
			}
			r.file = f
		}
		if err := checkUnchanged(r.file.f, s); err != nil {
			return false, err
		}
		groups := r.file.rd.NumRowGroups()
		r.group, r.last = int(s.GetOffset()), int(min(s.GetOffset()+s.GetLength(), int64(groups)))
		if r.group >= groups && s.GetRows() > 0 {
			return false, errChanged(s.GetPath())
		}
		r.row = s.GetRowBase()
		if r.group >= r.last {
			r.last = r.group + 1
			r.group = r.last
			return true, nil
		}
	}
	rg := r.file.rd.RowGroup(r.group)
	r.group++
	r.cols = r.cols[:0]
	if r.skip != nil && r.skip(r.row, r.row+rg.NumRows()) {
		r.row += rg.NumRows()
		r.done += rg.NumRows() * int64(max(1, len(r.scan.GetColumns()))) * 8
		return true, nil
	}
	fields := make([]*parquetField, len(r.scan.GetColumns()))
	for c, name := range r.scan.GetColumns() {
		var f *parquetField
		for i := range r.file.fields {
			if r.file.fields[i].Name == name {
				f = &r.file.fields[i]
			}
		}
		if f == nil {
			return false, pgerr.New(pgerr.UndefinedColumn, "file \"%s\" has no column \"%s\"", r.file.path, name)
		}
		fields[c] = f
		if a := r.asked(c, f); a.any() && a.excluded(r.file, rg, r.group-1) {
			r.row += rg.NumRows()
			r.done += rg.NumRows() * int64(len(r.scan.GetColumns())) * 8
			return true, nil // with no rows left: the next group's turn
		}
	}
	for _, f := range fields {
		d, closer, err := r.file.openColumn(f, rg)
		if err != nil {
			return false, damaged(r.file.path, err)
		}
		if t, ok := d.(*textPages); ok {
			t.wide = r.dicts
		}
		r.cols = append(r.cols, d)
		if closer != nil {
			r.chunks = append(r.chunks, closer)
		}
	}
	r.left, r.size, r.ranges = rg.NumRows(), rg.NumRows(), nil
	for c, f := range fields {
		a := r.asked(c, f)
		if !a.any() {
			continue
		}
		if pages, known := a.pageRanges(r.file, rg); known {
			if r.ranges == nil {
				r.ranges = []rowRange{{0, r.size}}
			}
			r.ranges = both(r.ranges, pages)
			if len(r.ranges) == 0 {
				return true, r.pass(r.left)
			}
		}
	}
	return true, nil
}

func (r *parquetReader) closeChunks() {
	for _, c := range r.chunks {
		_ = c.Close()
	}
	r.chunks = r.chunks[:0]
}

func (r *parquetReader) closeFile() {
	if r.file != nil {
		r.file.close()
		r.file = nil
	}
}

// Close releases the file.
func (r *parquetReader) Close() error {
	r.limit = 0
	r.closeChunks()
	r.closeFile()
	r.cols = nil
	return nil
}

// Progress returns an estimate in bytes.
func (r *parquetReader) Progress() (done, total int64) { return r.done, max(r.total, r.done) }
