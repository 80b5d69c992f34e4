package storage

import (
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/vector"
)

// Glob returns the files that pattern matches, sorted; * and ? do not cross
// slashes, ** stands for any number of directories. A pattern without metacharacters must name an existing file: 58P01.
func Glob(pattern string) ([]string, error) {
	if _, err := os.Stat(pattern); err == nil {
		return []string{pattern}, nil
	} else if !strings.ContainsAny(pattern, "*?[") {
		return nil, openError(pattern, err)
	}
	found, err := globFiles(pattern)
	if err != nil {
		return nil, pgerr.New(pgerr.InvalidParameterValue, "invalid file name pattern \"%s\"", pattern)
	}
	found = slices.DeleteFunc(found, func(p string) bool {
		st, err := os.Stat(p)
		return err == nil && st.IsDir()
	})
	if len(found) == 0 {
		return nil, pgerr.New(pgerr.UndefinedFile, "no file matches \"%s\"", pattern)
	}
	slices.Sort(found)
	return found, nil
}

func globFiles(pattern string) ([]string, error) {
	root, rest, deep := strings.Cut(pattern, "**/")
	if !deep {
		return filepath.Glob(pattern)
	}
	roots := []string{filepath.Clean(root)}
	if strings.ContainsAny(root, "*?[") {
		var err error
		if roots, err = filepath.Glob(filepath.Clean(root)); err != nil {
			return nil, err
		}
	}
	var out []string
	for _, r := range roots {
		err := filepath.WalkDir(r, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.IsDir() {
				return nil // what cannot be read is not matched, as by *
			}
			found, err := globFiles(path + "/" + rest)
			out = append(out, found...)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// OpenScan opens a scan over splits. Batches have the columns of scan.Columns
// (and the row ordinal when scan.RowId), at most batchRows rows each
// (0 = vector.DefaultRows). scan.Filter is not applied, but row groups in which no
// row can pass it are left out; scan.Limit is applied.
func OpenScan(ctx context.Context, scan *proto.Scan, splits []*proto.Split, batchRows int, opts ...Option) (Reader, error) {
	if len(scan.GetExtra()) > 0 || scan.GetByName() {
		return openExtra(scan, splits, batchRows, opts)
	}
	switch scan.GetFormat() {
	case "csv":
		return openCSV(scan, splits, batchRows, settingsOf(opts))
	case "parquet":
		return openParquet(ctx, scan, splits, batchRows)
	case "json":
		return openJSON(scan, splits, batchRows, settingsOf(opts))
	}
	return nil, pgerr.New(pgerr.FeatureNotSupported, "file format \"%s\" is not supported", scan.GetFormat())
}

func openCSV(scan *proto.Scan, splits []*proto.Split, batchRows int, s settings) (Reader, error) {
	schema := FromProtoFields(scan.GetFileSchema())
	fields := make([]int, len(scan.GetColumns()))
	for i, name := range scan.GetColumns() {
		if fields[i] = fieldIndex(schema, name); fields[i] < 0 {
			return nil, pgerr.New(pgerr.InternalError, "scan of \"%s\" asks for column \"%s\", which the file does not have", scan.GetName(), name)
		}
	}
	r, err := newCSVReader(schema, scan.GetCsv(), fields, false, batchRows, s)
	if err != nil {
		return nil, err
	}
	r.rowID = scan.GetRowId()
	if scan.GetLimit() > 0 {
		r.limit = scan.GetLimit()
	}
	r.splits = splits
	for _, s := range splits {
		r.total += s.GetLength()
	}
	return r, nil
}

// NewCopyReader decodes COPY FROM data, csv or text, with Postgres' rules and
// errors; schema is the columns in the order of the data, name is the table's,
// for errors. The reader does not close in.
func NewCopyReader(in io.Reader, schema []vector.Field, o *proto.CsvOptions, name string, opts ...Option) (Reader, error) {
	fields := make([]int, len(schema))
	for i := range fields {
		fields[i] = i
	}
	r, err := newCSVReader(schema, o, fields, true, 0, settingsOf(opts))
	if err != nil {
		return nil, err
	}
	r.stream, r.copyName, r.header = in, name, o.GetHeader()
	if len(schema) == 0 {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "COPY of no columns is not supported")
	}
	return r, nil
}
