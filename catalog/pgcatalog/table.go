package pgcatalog

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// The OIDs of what Postgres does not have, below those of users' objects.
const (
	volleySchemaOID uint32 = 15000
	goLanguageOID   uint32 = 15100
)

// batchRows is the most rows of a batch.
const batchRows = vector.DefaultRows

// Table is the definition of a virtual table.
type Table struct {
	OID     uint32
	Schema  string
	Name    string
	Columns []vector.Field

	kind    byte   // 'r' or 'v', as in Postgres
	notNull []bool // per column
	rows    source // nil: always empty
}

// source gives the rows of a table.
type source interface {
	scan(v *View, t *Table, columns []uint32) []*vector.Batch
	names() []string // of the columns it has
}

// table is a source: rows that are the same for every View, made once per
// process, and rows that are not. Columns that it does not name are NULL, or
// zero in a column that is NOT NULL.
type table[T any] struct {
	fixed func() []T        // may be nil
	rows  func(v *View) []T // may be nil
	cols  columns[T]

	mu     sync.Mutex
	loaded bool
	cache  []T
	vecs   map[uint32]*vector.Vector // of the fixed rows, per column
}

func (s *table[T]) names() []string {
	var out []string
	for n := range s.cols {
		out = append(out, n)
	}
	return out
}

func (s *table[T]) scan(v *View, t *Table, cols []uint32) []*vector.Batch {
	var out []*vector.Batch
	if s.fixed != nil {
		if b := s.scanFixed(v, t, cols); b.Rows() > 0 {
			out = append(out, b)
		}
	}
	if s.rows == nil {
		return out
	}
	for rows := range slices.Chunk(s.rows(v), batchRows) {
		vecs := make([]*vector.Vector, len(cols))
		for i, c := range cols {
			if n := int(c) - len(t.Columns); n >= 0 {
				vecs[i] = v.system(t, n, len(rows))
				continue
			}
			vecs[i] = s.column(t, c, rows)
		}
		out = append(out, vector.NewBatch(vecs, len(rows)))
	}
	return out
}

// scanFixed returns the fixed rows, which are fewer than a batch holds.
func (s *table[T]) scanFixed(v *View, t *Table, cols []uint32) *vector.Batch {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.loaded {
		s.cache, s.vecs, s.loaded = s.fixed(), map[uint32]*vector.Vector{}, true
	}
	vecs := make([]*vector.Vector, len(cols))
	for i, c := range cols {
		if n := int(c) - len(t.Columns); n >= 0 {
			vecs[i] = v.system(t, n, len(s.cache))
			continue
		}
		if s.vecs[c] == nil {
			s.vecs[c] = s.column(t, c, s.cache)
		}
		vecs[i] = s.vecs[c]
	}
	return vector.NewBatch(vecs, len(s.cache))
}

func (s *table[T]) column(t *Table, c uint32, rows []T) *vector.Vector {
	typ := t.Columns[c].Type
	switch f := s.cols[t.Columns[c].Name]; {
	case f != nil:
		return f(typ, rows)
	case t.notNull[c]:
		return zeroes(typ, len(rows))
	}
	return vector.NewNull(typ, len(rows))
}

// tableSet is all tables.
type tableSet struct {
	all    []*Table
	byName map[string]*Table // "schema.name"
	byOID  map[uint32]*Table
}

var (
	tablesOnce sync.Once
	tablesAll  *tableSet
)

func tables() *tableSet {
	tablesOnce.Do(func() { tablesAll = buildTables() })
	return tablesAll
}

func buildTables() *tableSet {
	s := &tableSet{byName: map[string]*Table{}, byOID: map[uint32]*Table{}}
	for _, d := range []struct{ schema, text string }{
		{"information_schema", informationSchema},
		{"pg_catalog", pgCatalogTables},
		{"pg_catalog", pgCatalogViews},
		{"volley", volleyTables},
	} {
		s.all = append(s.all, parseTables(d.schema, d.text)...)
	}
	slices.SortFunc(s.all, func(a, b *Table) int { return strings.Compare(a.Schema+"."+a.Name, b.Schema+"."+b.Name) })
	for _, t := range s.all {
		s.byName[t.Schema+"."+t.Name], s.byOID[t.OID] = t, t
	}
	for _, family := range []func() map[string]source{
		relationSources, typeSources, functionSources, roleSources, sessionSources,
		informationRelations, informationFunctions, volleySources, extensionSources,
	} {
		for name, src := range family() {
			t := s.byName[name]
			if t == nil || t.rows != nil {
				panic("pgcatalog: rows for " + name)
			}
			for _, c := range src.names() {
				if !slices.ContainsFunc(t.Columns, func(f vector.Field) bool { return f.Name == c }) {
					panic("pgcatalog: no column " + name + "." + c)
				}
			}
			t.rows = src
		}
	}
	return s
}

// parseTables reads definitions. One starts with a line "name oid kind"; the
// lines after it that start with a tab are columns with their types, those that
// may be NULL with a question mark, separated by commas.
func parseTables(schema, text string) []*Table {
	var out []*Table
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		if line[0] != '\t' {
			t := &Table{Schema: schema}
			if _, err := fmt.Sscanf(line, "%s %d %c", &t.Name, &t.OID, &t.kind); err != nil {
				panic("pgcatalog: " + line)
			}
			out = append(out, t)
			continue
		}
		t := out[len(out)-1]
		for _, c := range strings.Split(strings.Trim(line, "\t,"), ",") {
			name, typ, _ := strings.Cut(strings.TrimSpace(c), " ")
			typ, null := strings.CutSuffix(typ, "?")
			t.Columns = append(t.Columns, vector.Field{Name: name, Type: columnType(typ)})
			t.notNull = append(t.notNull, !null)
		}
	}
	return out
}

func columnType(s string) types.Type {
	elem, array := strings.CutSuffix(s, "[]")
	t, ok := types.ByName(elem)
	if !ok {
		panic("pgcatalog: type " + s)
	}
	if array {
		return types.ArrayOf(t.ID)
	}
	return t
}

// fields reads the generated data: lines of blank-separated values.
func fields(text string, f func(x []string)) {
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		f(strings.Fields(line))
	}
}

func number(s string) uint32 {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		panic("pgcatalog: " + s)
	}
	return uint32(n)
}

func numbers(xs []string) []uint32 {
	out := make([]uint32, len(xs))
	for i, s := range xs {
		out[i] = number(s)
	}
	return out
}
