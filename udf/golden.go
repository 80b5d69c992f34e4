package udf

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// GoldenFile is where an author's directory has the golden cases of its
// functions: a JSON object of lists of GoldenCase, by the functions' names.
const GoldenFile = "golden.json"

// GoldenCase is a call of a function and what it must give. Values are written as
// literals of SQL: NULL, true, 1.5, 'text', '{1,2}'.
type GoldenCase struct {
	// In and Out are the arguments and the result of a scalar function.
	In []string `json:"in,omitempty"`
	// Out is also the result of an aggregate.
	Out string `json:"out,omitempty"`
	// Rows are the rows of one group: of a grouped map, an aggregate, or a partition
	// of a window function, whose frames are those of ORDER BY.
	Rows [][]string `json:"rows,omitempty"`
	// OutRows are what a grouped map emits for them, in order, a table function for
	// In, and a window function: a row of one value for each of Rows.
	OutRows [][]string `json:"out_rows,omitempty"`
	// Tolerance is how far a float may be from what is expected, as a share of it;
	// 0 = not at all.
	Tolerance float64 `json:"tolerance,omitempty"`
}

// readGolden reads the golden cases of a directory, nil for none.
func readGolden(dir string) (map[string][]GoldenCase, error) {
	data, err := os.ReadFile(filepath.Join(dir, GoldenFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, pgerr.Wrap(err, pgerr.IOError, "could not read %s", GoldenFile)
	}
	d := json.NewDecoder(strings.NewReader(string(data)))
	d.DisallowUnknownFields()
	var out map[string][]GoldenCase
	if err := d.Decode(&out); err != nil {
		return nil, pgerr.Wrap(err, pgerr.InvalidFunctionDefinition, "could not read %s", GoldenFile).
			WithHint(`It looks like {"f": [{"in": ["1", "'a'"], "out": "NULL"}]}.`)
	}
	return out, nil
}

// checkGolden refuses cases of functions that there are not.
func (m *Manifest) checkGolden() error {
	for name := range m.Golden {
		if _, ok := m.Function(name); !ok {
			return pgerr.New(pgerr.InvalidFunctionDefinition, "%s has cases of %q, and there is no such function", GoldenFile, name)
		}
	}
	return nil
}

// GoldenCases are the cases of a function of the artifact.
func (m *Manifest) GoldenCases(symbol string) []GoldenCase {
	if c, ok := m.Golden[symbol]; ok {
		return c
	}
	for name, c := range m.Golden {
		if equalFold(name, symbol) {
			return c
		}
	}
	return nil
}

// maxGolden bounds the cases that are run, so that CREATE FUNCTION stays quick.
const maxGolden = 10_000

// RunGolden runs the golden cases of a function of a stored artifact and returns
// how many there are. The first that does not hold is an error of class 22, which
// names it.
func RunGolden(ctx context.Context, store *Store, digest, symbol string) (int, error) {
	m, err := store.Manifest(digest)
	if err != nil {
		return 0, err
	}
	cases := m.GoldenCases(symbol)
	if len(cases) == 0 {
		return 0, nil
	}
	if len(cases) > maxGolden {
		return 0, pgerr.New(pgerr.ProgramLimitExceeded, "function %q has more than %d golden cases", symbol, maxGolden)
	}
	f, ok := m.Function(symbol)
	if !ok {
		return 0, pgerr.New(pgerr.UndefinedFunction, "artifact %q has no function %q", m.Name, symbol)
	}
	g := &goldenRun{f: f, text: types.DefaultText()}
	if err := g.prepare(digest); err != nil {
		return 0, err
	}
	h, err := NewHost(HostConfig{Store: store, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Procs: 2})
	if err != nil {
		return 0, err
	}
	defer h.Close()
	g.h = h
	switch f.Kind {
	case kindScalar:
		err = g.scalar(ctx, cases)
	case kindAggregate:
		err = g.aggregate(ctx, cases)
	default:
		err = g.grouped(ctx, cases)
	}
	return len(cases), err
}

// goldenRun is the run of one function's cases.
type goldenRun struct {
	h    *Host
	f    *ManifestFunction
	ref  *proto.UDF
	args []types.Type
	outs []types.Type
	text types.TextOptions
}

func (g *goldenRun) prepare(digest string) error {
	sql := func(p ManifestParam) (types.Type, error) {
		t, ok := SQLType(p)
		if !ok {
			return t, pgerr.New(pgerr.FeatureNotSupported, "golden cases with values of type %s are not supported", p.Type)
		}
		return t, nil
	}
	fn := &function.Function{Name: g.f.Name, UDF: &function.UDFRef{Digest: digest, Symbol: g.f.Name}}
	for _, a := range g.f.Args {
		t, err := sql(a)
		if err != nil {
			return err
		}
		g.args = append(g.args, t)
	}
	fn.Args = g.args
	switch {
	case g.f.Kind == kindGroupedMap || g.f.Kind == kindTable:
		if fn.Kind = function.GroupedMap; g.f.Kind == kindTable {
			fn.Kind = function.Table
		}
		for _, c := range g.f.Columns {
			t, err := sql(c)
			if err != nil {
				return err
			}
			g.outs = append(g.outs, t)
			fn.Columns = append(fn.Columns, vector.Field{Name: c.Name, Type: t})
		}
	case g.f.Returns != nil:
		switch g.f.Kind {
		case kindAggregate:
			fn.Kind = function.Aggregate
		case kindWindow:
			fn.Kind = function.Window
		}
		t, err := sql(*g.f.Returns)
		if err != nil {
			return err
		}
		fn.Returns, g.outs = t, []types.Type{t}
	}
	g.ref = RefToProto(fn)
	return nil
}

// literal parses a literal of SQL as a value of type t.
func (g *goldenRun) literal(b *vector.Builder, t types.Type, s string) error {
	s = strings.TrimSpace(s)
	if strings.EqualFold(s, "null") {
		b.AppendNull()
		return nil
	}
	if strings.HasPrefix(s, "'") {
		if len(s) < 2 || !strings.HasSuffix(s, "'") {
			return pgerr.New(pgerr.SyntaxError, "unterminated quoted string at or near %q", s)
		}
		s = strings.ReplaceAll(s[1:len(s)-1], "''", "'")
	}
	return vector.ParseText(b, []byte(s), &g.text)
}

// columns makes vectors of rows of literals.
func (g *goldenRun) columns(rows [][]string, ts []types.Type, what func(row int) string) ([]*vector.Vector, error) {
	bs := make([]*vector.Builder, len(ts))
	for i, t := range ts {
		bs[i] = vector.NewBuilder(t, len(rows))
	}
	for r, row := range rows {
		if len(row) != len(ts) {
			return nil, pgerr.New(pgerr.InvalidFunctionDefinition, "%s of function %q has %d values, not %d", what(r), g.f.Name, len(row), len(ts))
		}
		for i, s := range row {
			if err := g.literal(bs[i], ts[i], s); err != nil {
				e := *pgerr.From(err)
				return nil, (&e).WithDetail("In %s of function %q: %s.", what(r), g.f.Name, s)
			}
		}
	}
	out := make([]*vector.Vector, len(ts))
	for i, b := range bs {
		out[i] = b.Build()
	}
	return out, nil
}

// show is a value as text; NULL for NULL.
func (g *goldenRun) show(v *vector.Vector, i int) string {
	if v.IsNull(i) {
		return "NULL"
	}
	return string(vector.AppendText(nil, v, i, &g.text))
}

// same compares row i of got with row j of want.
func (g *goldenRun) same(got *vector.Vector, i int, want *vector.Vector, j int, tolerance float64) bool {
	a, b := g.show(got, i), g.show(want, j)
	if a == b || tolerance <= 0 {
		return a == b
	}
	x, err1 := strconv.ParseFloat(a, 64)
	y, err2 := strconv.ParseFloat(b, 64)
	return err1 == nil && err2 == nil && math.Abs(x-y) <= tolerance*max(math.Abs(x), math.Abs(y))
}

// failed says which case does not hold.
func (g *goldenRun) failed(n int, in, got, want string) error {
	return pgerr.New("22000", "golden case %d of function %q gives %s, not %s", n+1, g.f.Name, got, want).
		WithDetail("%s(%s)", g.f.Name, in).
		WithHint("The function does not do what its author tested. Correct it or its %s, and build it again.", GoldenFile)
}

func caseOf(i int) string { return fmt.Sprintf("golden case %d", i+1) }

func (g *goldenRun) scalar(ctx context.Context, cases []GoldenCase) error {
	var ins, outs [][]string
	for _, c := range cases {
		ins, outs = append(ins, c.In), append(outs, []string{c.Out})
	}
	args, err := g.columns(ins, g.args, caseOf)
	if err != nil {
		return err
	}
	want, err := g.columns(outs, g.outs, caseOf)
	if err != nil {
		return err
	}
	s, err := g.h.Scalar(ctx, g.ref)
	if err != nil {
		return err
	}
	defer s.Close()
	got, err := s.Call(ctx, args, len(cases))
	if err != nil {
		return err
	}
	for i, c := range cases {
		if !g.same(got, i, want[0], i, c.Tolerance) {
			return g.failed(i, strings.Join(c.In, ", "), g.show(got, i), g.show(want[0], i))
		}
	}
	return nil
}

func (g *goldenRun) aggregate(ctx context.Context, cases []GoldenCase) error {
	a, err := g.h.Aggregate(ctx, g.ref, g.args)
	if err != nil {
		return err
	}
	defer a.Close()
	a.Grow(len(cases))
	var outs [][]string
	for i, c := range cases {
		outs = append(outs, []string{c.Out})
		args, err := g.columns(c.Rows, g.args, func(r int) string { return fmt.Sprintf("row %d of golden case %d", r+1, i+1) })
		if err != nil {
			return err
		}
		if len(c.Rows) == 0 {
			continue
		}
		groups := make([]int32, len(c.Rows))
		for r := range groups {
			groups[r] = int32(i)
		}
		if err := a.Update(groups, args, len(c.Rows)); err != nil {
			return err
		}
	}
	want, err := g.columns(outs, g.outs, caseOf)
	if err != nil {
		return err
	}
	got, err := a.Final(0, len(cases))
	if err != nil {
		return err
	}
	for i, c := range cases {
		if !g.same(got, i, want[0], i, c.Tolerance) {
			return g.failed(i, fmt.Sprintf("%d rows", len(c.Rows)), g.show(got, i), g.show(want[0], i))
		}
	}
	return nil
}

func (g *goldenRun) grouped(ctx context.Context, cases []GoldenCase) error {
	for i, c := range cases {
		place := func(r int) string { return fmt.Sprintf("row %d of golden case %d", r+1, i+1) }
		if g.f.Kind == kindTable {
			c.Rows = [][]string{c.In}
		}
		in, err := g.columns(c.Rows, g.args, place)
		if err != nil {
			return err
		}
		if g.f.Kind == kindWindow {
			from, to := make([]int64, len(c.Rows)), make([]int64, len(c.Rows))
			for r := range to {
				to[r] = int64(r + 1)
			}
			int8 := types.T(types.Int8)
			in = append(in, vector.FromSlice(int8, from), vector.FromSlice(int8, to))
		}
		want, err := g.columns(c.OutRows, g.outs, place)
		if err != nil {
			return err
		}
		if err := g.group(ctx, i, c, in, want); err != nil {
			return err
		}
	}
	return nil
}

// group runs one group and compares what it emits.
func (g *goldenRun) group(ctx context.Context, n int, c GoldenCase, in, want []*vector.Vector) error {
	s, err := g.h.GroupedMap(ctx, g.ref, GroupOptions{})
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.Send(ctx, in, len(c.Rows), []int32{int32(len(c.Rows))}); err != nil {
		return err
	}
	if err := s.CloseSend(); err != nil {
		return err
	}
	row := func(cols []*vector.Vector, i int) string {
		vals := make([]string, len(cols))
		for j, v := range cols {
			vals[j] = g.show(v, i)
		}
		return "(" + strings.Join(vals, ", ") + ")"
	}
	seen := 0
	input := fmt.Sprintf("a group of %d rows", len(c.Rows))
	for {
		out, err := s.Recv(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		for i := range out.N {
			if seen >= len(c.OutRows) {
				return g.failed(n, input, "one more row "+row(out.Cols, i), strconv.Itoa(len(c.OutRows))+" rows")
			}
			for j := range want {
				if !g.same(out.Cols[j], i, want[j], seen, c.Tolerance) {
					return g.failed(n, input, fmt.Sprintf("row %d %s", seen+1, row(out.Cols, i)), row(want, seen))
				}
			}
			seen++
		}
	}
	if seen < len(c.OutRows) {
		return g.failed(n, input, strconv.Itoa(seen)+" rows", strconv.Itoa(len(c.OutRows)))
	}
	return nil
}
