package storage

import (
	"context"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/vector"
)

var errSoon = pgerr.New(pgerr.FeatureNotSupported, "storage: under construction")

// ParquetPlan is the result of PlanParquet.
type ParquetPlan struct {
	Schema []vector.Field
	Splits []*proto.Split // one per row group
	Rows   int64          // exact
	Stats  []ColumnStats  // one per column, over all files
}

// PlanParquet reads the footers of Parquet files and plans their scan.
func PlanParquet(ctx context.Context, paths []string) (*ParquetPlan, error) { return nil, errSoon }

// TableFile is a file of a managed table, as the catalog knows it.
type TableFile struct {
	Path  string
	Rows  int64
	Bytes int64
	Stats []byte
}

// PlanTable plans the scan of a managed table without touching its files.
func PlanTable(schema []vector.Field, files []TableFile) (*ParquetPlan, error) { return nil, errSoon }

func openParquet(ctx context.Context, scan *proto.Scan, splits []*proto.Split, batchRows int) (Reader, error) {
	return nil, errSoon
}

// NewWriter starts a file: w.Path when set, else w.Directory/fileBase plus the
// format's extension.
func NewWriter(ctx context.Context, w *proto.TableWrite, fileBase string) (Writer, error) {
	return nil, errSoon
}
