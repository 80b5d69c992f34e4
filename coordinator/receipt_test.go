package coordinator

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

func TestCompressPaths(t *testing.T) {
	for _, x := range []struct{ paths, want string }{
		{"", ""},
		{"tables/1/7.parquet", "tables/1/7.parquet"},
		{"tables/1/7.parquet tables/1/8.parquet tables/1/9.parquet", "tables/1/7-9.parquet"},
		{"tables/1/9.parquet tables/1/8.parquet tables/1/10.parquet", "tables/1/9.parquet tables/1/8.parquet tables/1/10.parquet"},
		{"tables/1/9.parquet tables/1/10.parquet tables/2/11.parquet tables/2/12.parquet", "tables/1/9-10.parquet tables/2/11-12.parquet"},
		{"tables/1/07.parquet tables/1/08.parquet", "tables/1/07.parquet tables/1/08.parquet"},
		{"staging/ab/x.parquet 3 a/4", "staging/ab/x.parquet 3 a/4"},
	} {
		paths := strings.Fields(x.paths)
		got := compressPaths(paths)
		if s := strings.Join(got, " "); s != x.want {
			t.Errorf("%s: %s, want %s", x.paths, s, x.want)
		}
		if back := expandPaths(got); !slices.Equal(back, paths) {
			t.Errorf("%s: back %v", x.paths, back)
		}
	}
}

// TestResultHash: rows give one hash however they are cut and stored, and others
// another.
func TestResultHash(t *testing.T) {
	ints := vector.FromSlice(types.T(types.Int8), []int64{1, 2, 2, 2, 5})
	valid := []byte{0b11101}
	text := types.T(types.Text)
	dict := vector.FromDict(text, []int32{1, 0, 1, 1, 0}, vector.FromStrings(text, []string{"b", "a"}))
	flat := vector.FromStrings(text, []string{"a", "b", "a", "a", "b"})
	nan := math.Float64frombits(0x7FF8000000000123)
	hash := func(cols []*vector.Vector, cuts ...int) string {
		var h resultHash
		b := vector.NewBatch(cols, 5)
		from := 0
		for _, to := range append(cuts, 5) {
			h.add(b.Slice(from, to).Dense())
			from = to
		}
		return h.String()
	}
	f8 := types.T(types.Float8)
	floats := func(x float64) *vector.Vector { return vector.FromSlice(f8, []float64{1, x, 0, 4, 5}) }
	same := []string{
		hash([]*vector.Vector{ints.WithValid(valid), flat, floats(math.NaN())}),
		hash([]*vector.Vector{ints.WithValid(valid), flat, floats(math.NaN())}, 1, 2, 4),
		hash([]*vector.Vector{ints.WithValid(valid), dict, floats(nan)}, 3),
	}
	for _, h := range same[1:] {
		if h != same[0] {
			t.Errorf("%v", same)
		}
	}
	constant := vector.NewConst(vector.FromSlice(types.T(types.Int8), []int64{2}), 5)
	if a, b := hash([]*vector.Vector{constant}), hash([]*vector.Vector{vector.FromSlice(types.T(types.Int8), []int64{2, 2, 2, 2, 2})}, 2); a != b {
		t.Errorf("constant %s, flat %s", a, b)
	}
	seen := map[string]string{same[0]: "the rows"}
	for name, cols := range map[string][]*vector.Vector{
		"no NULL":         {ints, flat, floats(math.NaN())},
		"another value":   {ints.WithValid(valid), flat, floats(2)},
		"minus zero":      {vector.FromSlice(f8, []float64{math.Copysign(0, -1), 0, 0, 0, 0})},
		"zero":            {vector.FromSlice(f8, []float64{0, 0, 0, 0, 0})},
		"another order":   {vector.FromSlice(types.T(types.Int8), []int64{2, 1, 2, 2, 5})},
		"the first order": {vector.FromSlice(types.T(types.Int8), []int64{1, 2, 2, 2, 5})},
		"columns swapped": {flat, ints.WithValid(valid), floats(math.NaN())},
		"moved":           {vector.FromStrings(text, []string{"ab", "", "a", "a", "b"})},
		"moved back":      {vector.FromStrings(text, []string{"a", "b", "a", "a", "b"})},
	} {
		h := hash(cols)
		if seen[h] != "" {
			t.Errorf("%s and %s have one hash", name, seen[h])
		}
		seen[h] = name
	}
}

func TestReceiptStore(t *testing.T) {
	dir := t.TempDir()
	log := slog.New(slog.DiscardHandler)
	open := func(keep int) *receiptStore {
		t.Helper()
		s, err := openReceipts(dir, keep, func() {}, log)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	put := func(s *receiptStore, from, to int) {
		for i := from; i < to; i++ {
			rc := &receipt{ID: fmt.Sprint("q", i), Statement: "SELECT 1", User: "ann", Functions: []receiptFunction{{Digest: fmt.Sprint("sha256:", i)}}}
			b, err := json.Marshal(rc)
			if err != nil {
				t.Fatal(err)
			}
			s.add(&receiptEntry{head: rc, json: b, arts: rc.artifacts()})
		}
	}
	ids := func(s *receiptStore) string {
		var out []string
		for _, r := range s.rows(func(user string) bool { return user == "ann" }) {
			out = append(out, r.ID)
		}
		return strings.Join(out, " ")
	}
	s := open(5)
	put(s, 0, 8)
	if got := ids(s); got != "q3 q4 q5 q6 q7" {
		t.Error(got)
	}
	if s.find("q2") != nil || s.find("q3") == nil || len(s.digests()) != 5 || !s.digests()["sha256:7"] {
		t.Error("find")
	}
	s.close()
	put(s, 8, 9) // too late, and no panic

	// A line cut short by a crash is skipped, and does not spoil the next.
	path := filepath.Join(dir, "receipts.jsonl")
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"query_id":"cut`); err != nil {
		t.Fatal(err)
	}
	f.Close()
	s = open(5)
	if got := ids(s); got != "q3 q4 q5 q6 q7" {
		t.Error(got)
	}
	put(s, 10, 12)
	s.close()
	s = open(4)
	if got := ids(s); got != "q6 q7 q10 q11" {
		t.Error(got)
	}
	if got := s.find("q11"); got == nil || got.Functions[0].Digest != "sha256:11" || !s.digests()["sha256:6"] {
		t.Errorf("%v", got)
	}
	s.close()

	// The files do not grow without bound.
	for range 20 {
		s = open(5)
		put(s, 100, 105)
		s.close()
	}
	for _, p := range []string{path, path + ".1"} {
		if st, err := os.Stat(p); err != nil || st.Size() > 6000 {
			t.Error(p, st, err)
		}
	}
	s = open(5)
	if got := ids(s); got != "q100 q101 q102 q103 q104" {
		t.Error(got)
	}
	s.close()
}

// TestChangedSettings: settings are compared with what they start with.
func TestChangedSettings(t *testing.T) {
	s := newSettings()
	if got := s.changed(); len(got) != 1 || got["search_path"] == "" {
		t.Errorf("%v", got)
	}
	for k, v := range map[string]string{"TimeZone": "Asia/Tokyo", "app.x": "1", "application_name": "psql", "statement_timeout": "5s"} {
		if _, err := s.set(k, v, "session", false); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.changed(); len(got) != 3 || got["timezone"] != "Asia/Tokyo" || got["app.x"] != "1" {
		t.Errorf("%v", got)
	}
}
