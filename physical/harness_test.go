package physical

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/volleydb/volley/exchange"
	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	tInt2    = types.T(types.Int2)
	tInt4    = types.T(types.Int4)
	tInt8    = types.T(types.Int8)
	tFloat8  = types.T(types.Float8)
	tText    = types.T(types.Text)
	tBool    = types.T(types.Bool)
	tNumeric = types.T(types.Numeric)
	tBpchar  = types.T(types.Bpchar)
)

// table is rows of Go values: nil, bool, int64, float64, string, types.Decimal,
// or []any for arrays. The reference implementations work on it.
type table struct {
	ts   []types.Type
	rows [][]any
}

// random makes a value of a small domain, so that keys repeat.
func random(r *rand.Rand, t types.Type, domain int, nulls float64) any {
	if r.Float64() < nulls {
		return nil
	}
	k := int64(r.IntN(domain))
	switch t.Phys() {
	case types.PhysBool:
		return k%2 == 0
	case types.PhysInt16, types.PhysInt32:
		return k - 3
	case types.PhysInt64:
		if k == 1 {
			return int64(math.MinInt64) // so that ranges do not fit 64 bits with NULL
		}
		return k * 1_000_003
	case types.PhysFloat64:
		return []float64{math.NaN(), math.Inf(-1), math.Copysign(0, -1), 0, 1.5, -2.25, float64(k), 1e300}[k%8]
	case types.PhysNumeric:
		return types.Decimal{Lo: uint64(k * 10), Scale: 1 + int32(k%2)}
	}
	if t.ID == types.Bpchar && k%2 == 0 {
		return fmt.Sprintf("v%d  ", k/2)
	}
	return strings.Repeat("x", int(k%5)) + fmt.Sprint(k)
}

func randomTable(r *rand.Rand, n int, domain int, nulls float64, ts ...types.Type) table {
	t := table{ts: ts}
	for range n {
		row := make([]any, len(ts))
		for c, ty := range ts {
			row[c] = random(r, ty, domain, nulls)
		}
		t.rows = append(t.rows, row)
	}
	return t
}

func appendValue(b *vector.Builder, t types.Type, x any) {
	switch v := x.(type) {
	case nil:
		b.AppendNull()
	case bool:
		vector.Append(b, v)
	case int64:
		switch t.Phys() {
		case types.PhysInt16:
			vector.Append(b, int16(v))
		case types.PhysInt32:
			vector.Append(b, int32(v))
		default:
			vector.Append(b, v)
		}
	case float64:
		vector.Append(b, v)
	case types.Decimal:
		vector.Append(b, v)
	case string:
		b.AppendString(v)
	default:
		panic(fmt.Sprintf("%T", x))
	}
}

func column1(t types.Type, vals ...any) *vector.Vector {
	b := vector.NewBuilder(t, len(vals))
	for _, x := range vals {
		appendValue(b, t, x)
	}
	return b.Build()
}

// batches cuts the table into batches of random sizes up to limit, with
// dictionaries, constants and selections among them.
func (t table) batches(r *rand.Rand, limit int) []*vector.Batch {
	var out []*vector.Batch
	for from := 0; from < len(t.rows); {
		n := min(1+r.IntN(limit), len(t.rows)-from)
		rows := t.rows[from : from+n]
		from += n
		pad := r.IntN(2) == 0 // every row twice, then selected
		cols := make([]*vector.Vector, len(t.ts))
		for c, ty := range t.ts {
			b := vector.NewBuilder(ty, n)
			for _, row := range rows {
				appendValue(b, ty, row[c])
				if pad {
					appendValue(b, ty, row[c])
				}
			}
			cols[c] = b.Build()
			if ty.Phys() == types.PhysBytes && r.IntN(2) == 0 {
				cols[c] = toDict(cols[c])
			}
			if n == 1 && !pad && r.IntN(2) == 0 && cols[c].Form == vector.Flat {
				cols[c] = vector.NewConst(cols[c], 1)
			}
		}
		if !pad {
			out = append(out, vector.NewBatch(cols, n))
			continue
		}
		sel := make([]int32, n)
		for i := range sel {
			sel[i] = int32(2 * i)
		}
		out = append(out, vector.NewBatch(cols, 2*n).Select(sel))
	}
	return out
}

func toDict(v *vector.Vector) *vector.Vector {
	codes := make([]int32, v.Len)
	seen := map[string]int32{"": 0}
	words := []string{""}
	for i := range codes {
		if v.IsNull(i) {
			continue
		}
		s := string(v.BytesAt(i))
		c, ok := seen[s]
		if !ok {
			c = int32(len(words))
			seen[s] = c
			words = append(words, s)
		}
		codes[i] = c
	}
	return vector.FromDict(v.Type, codes, vector.FromStrings(v.Type, words)).WithValid(v.Valid)
}

func value(v *vector.Vector, i int) any {
	if v.IsNull(i) {
		return nil
	}
	switch v.Type.Phys() {
	case types.PhysBool:
		return vector.At[bool](v, i)
	case types.PhysInt16:
		return int64(vector.At[int16](v, i))
	case types.PhysInt32:
		return int64(vector.At[int32](v, i))
	case types.PhysInt64:
		return vector.At[int64](v, i)
	case types.PhysFloat64:
		return vector.At[float64](v, i)
	case types.PhysNumeric:
		return vector.At[types.Decimal](v, i)
	case types.PhysBytes:
		return string(v.BytesAt(i))
	case types.PhysList:
		from, to := v.ListAt(i)
		out := []any{}
		for e := from; e < to; e++ {
			out = append(out, value(v.Child, e))
		}
		return out
	}
	panic(v.Type.String())
}

// show prints a row; -0 and 0, and decimals of different scales, stay apart.
func show(row []any) string {
	parts := make([]string, len(row))
	for i, x := range row {
		switch v := x.(type) {
		case nil:
			parts[i] = "NULL"
		case string:
			parts[i] = fmt.Sprintf("%q", v)
		case types.Decimal:
			parts[i] = fmt.Sprintf("%de-%d", int64(v.Lo), v.Scale)
		default:
			parts[i] = fmt.Sprint(v)
		}
	}
	return strings.Join(parts, "|")
}

func showAll(rows [][]any) []string {
	out := make([]string, len(rows))
	for i, r := range rows {
		out[i] = show(r)
	}
	return out
}

// compareValues is SQL's order, NULL last.
func compareValues(a, b any) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return 1
	case b == nil:
		return -1
	}
	switch x := a.(type) {
	case bool:
		return types.CompareBool(x, b.(bool))
	case int64:
		return cmp.Compare(x, b.(int64))
	case float64:
		return types.CompareFloat(x, b.(float64))
	case string:
		return strings.Compare(x, b.(string))
	case types.Decimal:
		return rat(x).Cmp(rat(b.(types.Decimal)))
	}
	panic(fmt.Sprintf("%T", a))
}

func rat(d types.Decimal) *big.Rat {
	n := new(big.Int).SetInt64(d.Hi)
	n.Lsh(n, 64).Add(n, new(big.Int).SetUint64(d.Lo))
	return new(big.Rat).SetFrac(n, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(d.Scale)), nil))
}

// trimmed removes the blanks that do not count in char(n).
func trimmed(t types.Type, x any) any {
	if s, ok := x.(string); ok && t.ID == types.Bpchar {
		return strings.TrimRight(s, " ")
	}
	return x
}

// keyText is equal for values that GROUP BY holds equal.
func keyText(ts []types.Type, vals []any) string {
	var b strings.Builder
	for i, x := range vals {
		switch v := trimmed(ts[i], x).(type) {
		case float64:
			fmt.Fprintf(&b, "%v;", v+0)
		case types.Decimal:
			fmt.Fprintf(&b, "%s;", rat(v))
		default:
			fmt.Fprintf(&b, "%T%q;", v, fmt.Sprint(v))
		}
	}
	return b.String()
}

// Plan building.

func typed(t types.Type, e *proto.Expr) *proto.Expr { e.Type = TypeProto(t); return e }

func col(i int, t types.Type) *proto.Expr {
	return typed(t, &proto.Expr{Node: &proto.Expr_Column{Column: &proto.Column{Index: uint32(i)}}})
}

func lit(t types.Type, x any) *proto.Expr {
	return typed(t, &proto.Expr{Node: &proto.Expr_Const{Const: EncodeConst(column1(t, x), 0)}})
}

// call calls an operator or a function by name.
func callOf(t testing.TB, name string, args ...*proto.Expr) *proto.Expr {
	t.Helper()
	ts := make([]types.Type, len(args))
	for i, a := range args {
		ts[i] = TypeOf(a.Type)
	}
	cands := function.Lookup(name)
	if cands == nil {
		cands = function.Operators(name, len(args) == 1)
	}
	for _, f := range cands {
		if slices.EqualFunc(f.Args, ts, types.Type.Same) {
			return typed(f.Returns, &proto.Expr{Node: &proto.Expr_Call{Call: &proto.Call{Function: f.ID, Args: args}}})
		}
	}
	t.Fatalf("no function %s%v", name, ts)
	return nil
}

func boolOf(op proto.Bool_Op, args ...*proto.Expr) *proto.Expr {
	return typed(tBool, &proto.Expr{Node: &proto.Expr_Bool{Bool: &proto.Bool{Op: op, Args: args}}})
}

func fieldsOf(ts ...types.Type) []*proto.Field {
	out := make([]*proto.Field, len(ts))
	for i, t := range ts {
		out[i] = &proto.Field{Name: fmt.Sprint("c", i), Type: TypeProto(t)}
	}
	return out
}

// read is an operator over input k of the run.
func read(k int, ts []types.Type) *proto.Operator {
	return &proto.Operator{Id: uint32(100 + k), Fields: fieldsOf(ts...),
		Node: &proto.Operator_ExchangeRead{ExchangeRead: &proto.ExchangeRead{Stage: uint32(k)}}}
}

// setup is how a plan is run in a test.
type setup struct {
	inputs  [][]*vector.Batch // of read(k)
	budget  int64             // bytes; 0 = no limit
	rows    int               // batch size; 0 = the default
	host    UDFHost
	stats   *Recorder
	ctx     context.Context
	sources func(r *proto.ExchangeRead) []Source
	splits  []*proto.TaskSplits
}

func (s setup) env(t testing.TB) *Env {
	env := &Env{Query: &proto.QueryContext{BatchRows: uint32(s.rows), Seed: 7, TimeZone: "UTC"}, Check: true, UDF: s.host, Stats: s.stats, Splits: s.splits}
	if s.budget > 0 {
		env.Memory = NewAccount("query", s.budget)
		env.SpillDir = t.TempDir()
	}
	env.Exchange = func(_ context.Context, r *proto.ExchangeRead) ([]Source, error) {
		if s.sources != nil {
			return s.sources(r), nil
		}
		return []Source{exchange.NewSlice(s.inputs[r.Stage]...)}, nil
	}
	return env
}

func (s setup) run(t testing.TB, op *proto.Operator) ([][]any, error) {
	t.Helper()
	ctx := s.ctx
	if ctx == nil {
		ctx = context.Background()
	}
	env := s.env(t)
	root, err := Build(ctx, env, op)
	if err != nil {
		return nil, err
	}
	var out [][]any
	for {
		b, e := root.Next(ctx)
		if e != nil {
			err = e
			break
		}
		if b == nil {
			break
		}
		for i := range b.Rows() {
			row := make([]any, b.NumCols())
			for c := range row {
				row[c] = value(b.Col(c), i)
			}
			out = append(out, row)
		}
	}
	if e := root.Close(); e != nil {
		t.Errorf("close: %v", e)
	}
	if used := env.Memory.Used(); used != 0 {
		t.Errorf("%d bytes are still charged", used)
	}
	return out, err
}

func (s setup) must(t testing.TB, op *proto.Operator) [][]any {
	t.Helper()
	rows, err := s.run(t, op)
	if err != nil {
		t.Fatalf("%v (%s) %s", err, pgerr.Code(err), pgerr.From(err).Detail)
	}
	return rows
}

func same(t testing.TB, what string, got, want [][]any) {
	t.Helper()
	a, b := showAll(got), showAll(want)
	if len(a) != len(b) {
		t.Errorf("%s: %d rows, want %d", what, len(a), len(b))
	}
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			t.Fatalf("%s: row %d is %s, want %s", what, i, a[i], b[i])
		}
	}
	if len(a) != len(b) {
		t.FailNow()
	}
}

// sameSet compares without order.
func sameSet(t testing.TB, what string, got, want [][]any) {
	t.Helper()
	a, b := showAll(got), showAll(want)
	slices.Sort(a)
	slices.Sort(b)
	if !slices.Equal(a, b) {
		t.Fatalf("%s: %d rows, want %d\n got %.600q\nwant %.600q", what, len(a), len(b), a, b)
	}
}

func hasCode(t testing.TB, err error, code string) {
	t.Helper()
	if pgerr.Code(err) != code {
		t.Fatalf("error %v (%s), want %s", err, pgerr.Code(err), code)
	}
}
