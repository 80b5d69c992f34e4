package storage

import (
	"bytes"
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

func itoa(i int) string { return strconv.Itoa(i) }

const (
	defaultSample = 20480
	sampleBytes   = 8 << 20 // at most that much of a file's beginning is sampled
	midSample     = 500     // records sampled at the start of each of some splits
	midPlaces     = 8
)

// CSVPlan is the result of PlanCSV.
type CSVPlan struct {
	Schema       []vector.Field // all columns of the files
	Options      *proto.CsvOptions
	Splits       []*proto.Split
	RowsEstimate int64 // exact but for records that will be refused or ignored
}

// PlanCache remembers passes over CSV files by path, size, modification time
// and syntax, and the footers of Parquet files. It is safe for concurrent use.
type PlanCache struct {
	mu      sync.Mutex
	limit   int
	files   map[scanKey]scanned
	footers map[string]*footer
}

type scanKey struct {
	path                string
	size, mtime, start  int64
	splitBytes          int64
	delim, quote, esc   byte
	emptyLinesAreRecord bool
}

type scanned struct {
	splits []*proto.Split
	rows   int64
}

// NewPlanCache makes a cache of the given number of files.
func NewPlanCache(files int) *PlanCache {
	return &PlanCache{limit: files, files: map[scanKey]scanned{}, footers: map[string]*footer{}}
}

func (c *PlanCache) get(k scanKey) (scanned, bool) {
	if c == nil {
		return scanned{}, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.files[k]
	return s, ok
}

func (c *PlanCache) put(k scanKey, s scanned) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.files) >= c.limit {
		clear(c.files)
	}
	c.files[k] = s
}

// csvFile is a file under planning.
type csvFile struct {
	path  string
	size  int64
	mtime int64
	head  []byte // its beginning, ending with a newline or at sampleBytes
	start int    // of the first record in head, behind byte order mark and skipped lines
	data  int    // of the first record that is not the header
}

// PlanCSV looks at CSV files and plans their scan. Delimiter, header and types
// that o leaves open are found from the beginning of every file and from some
// places inside; whether the rest fits is checked by the scan. All files must
// have the same columns.
func PlanCSV(ctx context.Context, paths []string, o *CSVConfig) (*CSVPlan, error) {
	if o == nil {
		o = &CSVConfig{}
	}
	if len(paths) == 0 {
		return nil, pgerr.New(pgerr.UndefinedFile, "no files to read")
	}
	opts := &proto.CsvOptions{Delimiter: o.Delimiter, Quote: o.Quote, Escape: o.Escape,
		IgnoreErrors: o.IgnoreErrors, AllText: o.AllText, Skip: o.Skip,
		NullPadding: o.NullPadding, DateFormat: o.DateFormat, TimestampFormat: o.TimestampFormat}
	if o.NullString != nil {
		opts.NullString, opts.NullSet = *o.NullString, true
	}
	d, null, err := dialectOf(opts, false)
	if err != nil {
		return nil, err
	}
	p := &csvPlanner{cfg: o, opts: opts, d: d, null: null}
	if p.date, err = compileTimeFormat("dateformat", o.DateFormat); err != nil {
		return nil, err
	}
	if p.stamp, err = compileTimeFormat("timestampformat", o.TimestampFormat); err != nil {
		return nil, err
	}
	if o.ByName && len(paths) > 1 {
		return p.byName(ctx, paths)
	}
	for i, path := range paths {
		if err := ctx.Err(); err != nil {
			return nil, pgerr.From(err)
		}
		if err := p.open(path, i == 0); err != nil {
			return nil, err
		}
	}
	return p.plan(ctx)
}

type csvPlanner struct {
	cfg     *CSVConfig
	opts    *proto.CsvOptions
	d       dialect
	null    string
	files   []*csvFile
	names   []string
	header  bool
	guesses []guess
	// Patterns of dates and timestamps; nil = ISO.
	date, stamp *timeFormat
}

// open opens a file and reads its beginning. Files are kept open one at a time.
func (p *csvPlanner) open(path string, first bool) error {
	f, err := openFile(path)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return pgerr.Wrap(err, pgerr.IOError, "could not stat file \"%s\"", path)
	}
	if st.IsDir() {
		return pgerr.New(pgerr.WrongObjectType, "\"%s\" is a directory", path).
			WithHint("Name its files with a pattern: %s/*.csv", strings.TrimRight(path, "/"))
	}
	if !st.Mode().IsRegular() {
		return pgerr.New(pgerr.WrongObjectType, "\"%s\" is not a regular file", path)
	}
	c := &csvFile{path: path, size: st.Size(), mtime: st.ModTime().UnixNano()}
	limit := int64(sampleBytes)
	if p.cfg.SampleRows < 0 {
		if limit = c.size; limit > 1<<30 {
			return pgerr.New(pgerr.ProgramLimitExceeded, "file \"%s\" is too long to be sampled as a whole", path).
				WithHint("Declare the columns, or give a sample_size.")
		}
	}
	c.head = make([]byte, min(c.size, limit), min(c.size, limit)+1)
	if err := readFull(f, c.head, 0); err != nil {
		return err
	}
	if err := checkPlainText(path, c.head); err != nil {
		return err
	}
	if c.size <= limit && len(c.head) > 0 && c.head[len(c.head)-1] != '\n' {
		c.head = append(c.head, '\n')
	}
	if bytes.HasPrefix(c.head, byteOrderMark) {
		c.start = len(byteOrderMark)
	}
	for range p.cfg.Skip {
		j := bytes.IndexByte(c.head[c.start:], '\n')
		if j < 0 {
			c.start = len(c.head)
			break
		}
		c.start += j + 1
	}
	p.files = append(p.files, c)
	if first {
		if err := p.sniff(c); err != nil {
			return err
		}
	} else if err := p.agree(c); err != nil {
		return err
	}
	c.head = nil
	return nil
}

func checkPlainText(path string, head []byte) error {
	refuse := func(what string) error {
		return pgerr.New(pgerr.FeatureNotSupported, "file \"%s\" %s", path, what)
	}
	switch {
	case bytes.HasPrefix(head, []byte{0xff, 0xfe}), bytes.HasPrefix(head, []byte{0xfe, 0xff}):
		return pgerr.New(pgerr.FeatureNotSupported, "file \"%s\" is UTF-16 encoded", path).WithHint("Convert the file to UTF-8.")
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return refuse("is compressed with gzip, which read_csv does not support")
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return refuse("is compressed with zstd, which read_csv does not support")
	case bytes.HasPrefix(head, []byte("PAR1")):
		return pgerr.New(pgerr.BadCopyFileFormat, "file \"%s\" is a Parquet file", path).WithHint("Use read_parquet.")
	case bytes.IndexByte(head, '\n') < 0 && bytes.Count(head, []byte{'\r'}) > 1:
		return refuse("has lines that end in a carriage return only, which read_csv does not support")
	}
	return nil
}

// sniff settles delimiter, header, names and types by the first file.
func (p *csvPlanner) sniff(c *csvFile) error {
	if p.cfg.Delimiter == "" {
		p.d.delim = sniffDelimiter(p.d, c.head, c.start)
		p.opts.Delimiter = string(rune(p.d.delim))
	}
	var s sample
	s.take(&p.d, c.head, c.start, p.sampleRows(0)+1)
	declared := p.cfg.Columns
	if len(s.records) == 0 {
		if int64(c.start) < c.size && c.size > sampleBytes {
			return pgerr.New(pgerr.BadCopyFileFormat, "file \"%s\" has no complete record in its first %d MB", c.path, sampleBytes>>20).
				WithHint("A quote may be missing.")
		}
		if len(bytes.TrimSpace(c.head[c.start:])) > 0 {
			return pgerr.New(pgerr.BadCopyFileFormat, "unterminated CSV quoted field").WithWhere("%s", c.path)
		}
		if declared == nil {
			return pgerr.New(pgerr.BadCopyFileFormat, "file \"%s\" is empty, so its columns are not known", c.path).
				WithHint("Declare them with the columns option.")
		}
	}
	var first []cell
	var rest [][]cell
	if len(s.records) > 0 {
		first, rest = s.records[0], s.records[1:]
	}
	n := len(first)
	if declared != nil {
		n = len(declared)
	}
	if declared == nil && p.cfg.NullPadding {
		for _, r := range rest {
			n = max(n, len(r))
		}
		first = append(slices.Clip(first), make([]cell, n-len(first))...)
	}
	guesses := make([]guess, n)
	for i := range guesses {
		guesses[i].date, guesses[i].stamp = p.date, p.stamp
	}
	guessColumns(guesses, rest, p.null)
	switch {
	case p.cfg.Header != nil:
		p.header = *p.cfg.Header
	case declared != nil:
		p.header = namesDeclared(first, declared) || len(first) > 0 && !fitsDeclared(first, declared, p.null)
	case len(rest) == 0:
		p.header = sniffHeader(first, guesses, nil)
	default:
		p.header = sniffHeader(first, guesses, rest[:min(len(rest), 1000)])
	}
	if !p.header && len(first) > 0 {
		guessColumns(guesses, s.records[:1], p.null)
	}
	p.guesses = guesses
	p.names = columnNames(first, p.header)
	if declared != nil {
		p.names = nil
		for _, f := range declared {
			p.names = append(p.names, f.Name)
		}
	}
	p.opts.Header = p.header
	return p.placeData(c)
}

// placeData finds where the data begins behind the header.
func (p *csvPlanner) placeData(c *csvFile) error {
	c.data = c.start
	if !p.header {
		return nil
	}
	// Empty lines may stand before the header.
	for c.data < len(c.head) {
		cells, next, ok := p.d.split(c.head, c.data, nil)
		if !ok {
			return pgerr.New(pgerr.BadCopyFileFormat, "unterminated CSV quoted field").WithWhere("%s, line 1", c.path)
		}
		c.data = next
		if len(cells) > 1 || len(cells[0].val) > 0 || cells[0].quoted {
			break
		}
	}
	return nil
}

func (p *csvPlanner) sampleRows(file int) int {
	n := p.cfg.SampleRows
	if n < 0 {
		return 1 << 60
	}
	if n == 0 {
		n = defaultSample
	}
	if file > 0 {
		n = max(n/(file+1), 500)
	}
	return n
}

// agree checks that a further file has the columns of the first.
func (p *csvPlanner) agree(c *csvFile) error {
	var s sample
	s.take(&p.d, c.head, c.start, p.sampleRows(len(p.files))+1)
	if err := p.placeData(c); err != nil || len(s.records) == 0 {
		return err
	}
	records := s.records
	if p.header {
		names := columnNames(records[0], true)
		if p.cfg.Columns == nil && !slices.Equal(names, p.names) {
			return pgerr.New(pgerr.BadCopyFileFormat, "file \"%s\" has other columns than \"%s\"", c.path, p.files[0].path).
				WithDetail("Columns are %s and %s.", strings.Join(names, ", "), strings.Join(p.names, ", "))
		}
		records = records[1:]
	} else if len(records[0]) != len(p.names) {
		return pgerr.New(pgerr.BadCopyFileFormat, "file \"%s\" has %d columns but \"%s\" has %d", c.path, len(records[0]), p.files[0].path, len(p.names))
	}
	guessColumns(p.guesses, records, p.null)
	return nil
}

func namesDeclared(first []cell, declared []vector.Field) bool {
	if len(first) != len(declared) {
		return false
	}
	for i, c := range first {
		if !strings.EqualFold(strings.TrimSpace(string(c.val)), declared[i].Name) {
			return false
		}
	}
	return true
}

// fitsDeclared reports that the first record can be data.
func fitsDeclared(first []cell, declared []vector.Field, null string) bool {
	for i, c := range first {
		if i >= len(declared) {
			break
		}
		if string(c.val) == null || len(c.val) == 0 {
			continue
		}
		if vector.ParseText(vector.NewBuilder(declared[i].Type, 1), c.val, nil) != nil {
			return false
		}
	}
	return true
}

// plan passes over the files and settles the types.
func (p *csvPlanner) plan(ctx context.Context) (*CSVPlan, error) {
	out := &CSVPlan{Options: p.opts}
	var total int64
	for _, c := range p.files {
		total += c.size
	}
	splitBytes := p.cfg.SplitBytes
	if splitBytes <= 0 {
		splitBytes = min(max(total/64, 4<<20), 32<<20)
	}
	base := int64(0)
	for _, c := range p.files {
		splits, rows, err := p.scan(ctx, c, splitBytes)
		if err != nil {
			return nil, err
		}
		out.RowsEstimate += max(rows, 0)
		for _, s := range splits {
			q := &proto.Split{Path: c.path, Offset: s.Offset, Length: s.Length, Rows: s.Rows,
				Last: s.Last, RowBase: base + s.RowBase, Size: c.size, MtimeNs: c.mtime}
			out.Splits = append(out.Splits, q)
		}
		if rows < 0 {
			// Not counted: leave as many ordinals as it can have rows.
			rows = c.size
			out.RowsEstimate += c.size / 64
		}
		base += rows
	}
	return out, p.settle(out)
}

func (p *csvPlanner) scan(ctx context.Context, c *csvFile, splitBytes int64) ([]*proto.Split, int64, error) {
	k := scanKey{c.path, c.size, c.mtime, int64(c.data), splitBytes, p.d.delim, p.d.quote, p.d.escape, len(p.names) == 1}
	if s, ok := p.cfg.Cache.get(k); ok {
		return s.splits, s.rows, p.sampleInside(c, s.splits)
	}
	f, err := openFile(c.path)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	splits, rows, err := prescan(ctx, f, &p.d, int64(c.data), c.size, splitBytes, len(p.names) == 1)
	if err != nil {
		return nil, 0, err
	}
	p.cfg.Cache.put(k, scanned{splits, rows})
	return splits, rows, p.sampleInside(c, splits)
}

// sampleInside looks at some records at the starts of later splits.
func (p *csvPlanner) sampleInside(c *csvFile, splits []*proto.Split) error {
	if p.cfg.AllText || p.cfg.Columns != nil || len(splits) < 2 {
		return nil
	}
	f, err := openFile(c.path)
	if err != nil {
		return err
	}
	defer f.Close()
	step := max(1, (len(splits)-1)/midPlaces)
	for i := len(splits) - 1; i > 0; i -= step {
		buf := make([]byte, min(splits[i].Length, 256<<10))
		if err := readFull(f, buf, splits[i].Offset); err != nil {
			return err
		}
		var s sample
		s.take(&p.d, buf, 0, midSample)
		guessColumns(p.guesses, s.records, p.null)
	}
	return nil
}

// settle makes the schema.
func (p *csvPlanner) settle(out *CSVPlan) error {
	out.Schema = slices.Clone(p.cfg.Columns)
	if out.Schema == nil {
		for i, name := range p.names {
			t := types.T(types.Text)
			if !p.cfg.AllText {
				t = p.guesses[i].typ()
			}
			out.Schema = append(out.Schema, vector.Field{Name: name, Type: t})
		}
	}
	for name, t := range p.cfg.Types {
		i := slices.IndexFunc(out.Schema, func(f vector.Field) bool { return strings.EqualFold(f.Name, name) })
		if i < 0 {
			return pgerr.New(pgerr.UndefinedColumn, "column \"%s\" does not exist in file \"%s\"", name, p.files[0].path).
				WithHint("Its columns are %s.", strings.Join(p.names, ", "))
		}
		if exact := fieldIndex(out.Schema, name); exact >= 0 {
			i = exact
		}
		out.Schema[i].Type = t
	}
	for _, f := range out.Schema {
		if !f.Type.IsString() {
			// A quoted empty value can only be NULL in it.
			p.opts.ForceNull = append(p.opts.ForceNull, f.Name)
		}
	}
	return nil
}
