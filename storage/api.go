package storage

import (
	"context"

	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// Reader yields batches. It belongs to one goroutine.
type Reader interface {
	// Next returns the next batch, nil at the end. A batch has at least one row.
	Next(ctx context.Context) (*vector.Batch, error)
	// Close releases files; it may be called more than once.
	Close() error
	// Progress returns the bytes (of the input files) read and to read.
	Progress() (done, total int64)
}

// LateReader is a Reader that can decode some columns first and the others only
// for the rows that are wanted then. Begin, and then Rest, stand in
// place of Next.
type LateReader interface {
	Reader
	// Begin starts the next batch of n rows, n = 0 at the end, and returns its
	// columns, of which those are nil that want does not name.
	Begin(ctx context.Context, want []bool) (cols []*vector.Vector, n int, err error)
	// Rest fills in the columns that are nil and that want names, all if it is nil:
	// all n rows, or those that rows names, ascending, if it is not nil. Of no rows
	// it reads as little as it can, and may leave columns nil. It is called until
	// all columns were read.
	Rest(ctx context.Context, cols []*vector.Vector, want []bool, rows []int32) error
}

// DictKeeper is a Reader that leaves text in dictionaries which are small against
// what they serve, if not against a batch, when it is told before the first batch:
// for a caller that looks at them once and copies what it hands on.
type DictKeeper interface{ KeepDicts() }

// Narrower is a Reader that can leave out more than the scan's filter says, if it
// is told before the first batch.
type Narrower interface {
	// Narrow says that only rows are wanted whose value of output column col, as
	// an integer, is between lo and hi; others may come nevertheless.
	Narrow(col int, lo, hi int64)
}

// RowSkipper is a Reader that can leave out rows by their ordinals, if it is told
// before the first batch.
type RowSkipper interface {
	// SkipRows says that no row from from to to-1 is wanted where skip is true;
	// some may come nevertheless.
	SkipRows(skip func(from, to int64) bool)
}

// Writer writes one file. It belongs to one goroutine. Exactly one of Close and
// Abort ends it; Abort after Close is a no-op.
type Writer interface {
	Write(ctx context.Context, b *vector.Batch) error
	// Close completes the file under its final name and syncs it. After an
	// error nothing is left on disk.
	Close(ctx context.Context) (FileInfo, error)
	// Abort removes what was written.
	Abort()
}

// FileInfo describes a written file.
type FileInfo struct {
	Path  string
	Rows  int64
	Bytes int64
	Stats []byte // FileStats.Encode
}

// CSVConfig is what the user says about a CSV file; the zero value leaves
// everything to sniffing.
type CSVConfig struct {
	Delimiter  string // "" = sniffed among , tab ; |
	Quote      string // "" = "
	Escape     string // "" = the quote, doubled
	Header     *bool  // nil = sniffed
	NullString *string
	// Columns declares the names and types of all columns of the file.
	Columns []vector.Field
	// Types overrides the inferred types of some columns.
	Types        map[string]types.Type
	AllText      bool
	IgnoreErrors bool
	Skip         int64 // lines to skip at the beginning, before the header
	NullPadding  bool  // a record with too few fields has NULL for the rest
	SampleRows   int   // rows to infer types from; 0 = 20480, -1 = all
	// DateFormat and TimestampFormat are strftime patterns; "" = ISO.
	DateFormat, TimestampFormat string
	// ByName unites the columns of the files; otherwise all must have the same.
	ByName     bool
	SplitBytes int64 // size of a split; 0 = chosen by file size
	// Cache remembers the pass over files that have not changed; may be nil.
	Cache *PlanCache
}
