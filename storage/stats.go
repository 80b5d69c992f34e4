package storage

import (
	"cmp"
	"encoding/json"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
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

// mergeStats combines the statistics of parts, column by column. A bound that
// one part lacks is unknown for the whole, except of a part with NULLs only.
// Of floats, NaN is not counted among the values that are bounded.
func mergeStats(schema []vector.Field, parts []*FileStats) []ColumnStats {
	out := make([]ColumnStats, len(schema))
	for i, f := range schema {
		s := &out[i]
		s.Name = f.Name
		less := boundOrder(f.Type)
		known, any := less != nil, false
		for _, p := range parts {
			c := p.column(f.Name)
			if c == nil {
				known, s.Nulls = false, -1
				continue
			}
			if c.Nulls < 0 || s.Nulls < 0 {
				s.Nulls = -1
			} else {
				s.Nulls += c.Nulls
			}
			s.Distinct = max(s.Distinct, c.Distinct)
			if c.Min == nil || c.Max == nil {
				// No values at all leave the bounds as they are.
				known = known && c.Nulls >= 0 && c.Nulls == p.rows()
				continue
			}
			if !known {
				continue
			}
			if !any || less(*c.Min, *s.Min) {
				s.Min = c.Min
			}
			if !any || less(*s.Max, *c.Max) {
				s.Max = c.Max
			}
			any = true
		}
		if !known {
			s.Min, s.Max = nil, nil
		}
	}
	return out
}

func (s *FileStats) column(name string) *ColumnStats {
	for i := range s.Columns {
		if s.Columns[i].Name == name {
			return &s.Columns[i]
		}
	}
	return nil
}

// rows is the number of rows, -1 when it is not recorded.
func (s *FileStats) rows() int64 {
	if s.RowGroups == nil {
		return -1
	}
	n := int64(0)
	for _, r := range s.RowGroups {
		n += r
	}
	return n
}

// boundOrder compares two bounds in text form; nil for types without an order
// that is of use.
func boundOrder(t types.Type) func(a, b string) bool {
	switch t.ID {
	case types.Int2, types.Int4, types.Int8:
		return orderBy(types.ParseInt8[string])
	case types.Float4, types.Float8:
		return orderBy(types.ParseFloat8[string])
	case types.Numeric:
		return func(a, b string) bool {
			x, err1 := types.ParseNumeric(a)
			y, err2 := types.ParseNumeric(b)
			return err1 == nil && err2 == nil && x.Cmp(y) < 0
		}
	case types.Date:
		return orderBy(func(s string) (int32, error) { return types.ParseDate(s, nil) })
	case types.Timestamp:
		return orderBy(func(s string) (int64, error) { return types.ParseTimestamp(s, nil) })
	case types.Timestamptz:
		return orderBy(func(s string) (int64, error) { return types.ParseTimestamptz(s, nil) })
	case types.Time, types.Text, types.Varchar, types.Name:
		return func(a, b string) bool { return a < b }
	}
	return nil
}

func orderBy[T cmp.Ordered](parse func(string) (T, error)) func(a, b string) bool {
	return func(a, b string) bool {
		x, err1 := parse(a)
		y, err2 := parse(b)
		return err1 == nil && err2 == nil && x < y
	}
}
