package storage

import (
	"encoding/json"

	"github.com/volleydb/volley/pgerr"
)

// ColumnStats is what is known about a column of a file or of a set of files.
type ColumnStats struct {
	Name  string `json:"name"`
	Nulls int64  `json:"nulls"`
	// Min and Max bound the values, in the type's text form; nil when unknown.
	// Max of a long string may be absent, Min of one is cut short.
	Min *string `json:"min,omitempty"`
	Max *string `json:"max,omitempty"`
	// Distinct estimates the number of distinct values; 0 = unknown.
	Distinct int64 `json:"distinct,omitempty"`
}

// FileStats describes one file of a table, as kept in the catalog.
type FileStats struct {
	Columns   []ColumnStats `json:"columns"`
	RowGroups []int64       `json:"row_groups,omitempty"` // rows of each
}

// Encode returns the stats as JSON.
func (s *FileStats) Encode() []byte {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // strings and integers only
	}
	return b
}

// DecodeStats reads what Encode wrote; empty input gives empty stats.
func DecodeStats(b []byte) (*FileStats, error) {
	s := &FileStats{}
	if len(b) == 0 {
		return s, nil
	}
	if err := json.Unmarshal(b, s); err != nil {
		return nil, pgerr.Wrap(err, pgerr.DataCorrupted, "could not read file statistics")
	}
	return s, nil
}
