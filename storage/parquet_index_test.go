package storage

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/schema"

	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// indexed is the values of a file of row groups of two optional columns, k int64
// and s text; nil is NULL.
type indexed struct {
	path  string
	k     []*int64
	s     []*string
	group int // rows of a row group
}

func writeIndexed(t *testing.T, rng *rand.Rand, sorted bool, opts ...parquet.WriterProperty) indexed {
	t.Helper()
	x := indexed{path: filepath.Join(t.TempDir(), "f.parquet"), group: 3000}
	root := schema.MustGroup(schema.NewGroupNode("schema", parquet.Repetitions.Required, schema.FieldList{
		schema.MustPrimitive(schema.NewPrimitiveNode("k", parquet.Repetitions.Optional, parquet.Types.Int64, -1, -1)),
		schema.MustPrimitive(schema.NewPrimitiveNodeConverted("s", parquet.Repetitions.Optional, parquet.Types.ByteArray, schema.ConvertedTypes.UTF8, -1, 0, 0, -1)),
	}, -1))
	f, err := os.Create(x.path)
	if err != nil {
		t.Fatal(err)
	}
	opts = append(opts, parquet.WithPageIndexEnabled(true), parquet.WithBloomFilterEnabled(true), parquet.WithMaxBloomFilterBytes(1<<16),
		parquet.WithDictionaryDefault(false), parquet.WithDataPageSize(1500), parquet.WithBatchSize(100))
	w := file.NewParquetWriter(f, root, file.WithWriterProps(parquet.NewWriterProperties(opts...)))
	for g := range 3 {
		rg, err := w.AppendRowGroupChecked()
		if err != nil {
			t.Fatal(err)
		}
		var ks []int64
		var ss []parquet.ByteArray
		var kd, sd []int16
		for i := range x.group {
			// Even numbers: what is odd is between the bounds and not there.
			n := int64(rng.IntN(20_000)) * 2
			if sorted {
				n = int64(g*x.group+i) / 3 * 2
			}
			text := fmt.Sprintf("%06d", n)
			x.k, x.s = append(x.k, &n), append(x.s, &text)
			kd, sd = append(kd, 1), append(sd, 1)
			if rng.IntN(20) == 0 || g == 1 && i > 2000 {
				x.k[len(x.k)-1], kd[i] = nil, 0
			} else {
				ks = append(ks, n)
			}
			if rng.IntN(20) == 0 {
				x.s[len(x.s)-1], sd[i] = nil, 0
			} else {
				ss = append(ss, parquet.ByteArray(text))
			}
		}
		cw, err := rg.NextColumn()
		if err == nil {
			_, err = cw.(*file.Int64ColumnChunkWriter).WriteBatch(ks, kd, nil)
		}
		if err == nil {
			err = cw.Close()
		}
		if err == nil {
			cw, err = rg.NextColumn()
		}
		if err == nil {
			_, err = cw.(*file.ByteArrayColumnChunkWriter).WriteBatch(ss, sd, nil)
		}
		if err == nil {
			err = cw.Close()
		}
		if err == nil {
			err = rg.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return x
}

// What the page indexes and Bloom filters leave out are rows that do not pass: the
// others come with their values and ordinals, whichever way they are read.
func TestPageIndex(t *testing.T) {
	i8, text := types.T(types.Int8), types.T(types.Text)
	k, s := col(0, i8), col(1, text)
	and := func(es ...*proto.Expr) *proto.Expr {
		return &proto.Expr{Node: &proto.Expr_Bool{Bool: &proto.Bool{Op: proto.Bool_AND, Args: es}}}
	}
	num := func(x int64) *proto.Expr { return constant(t, i8, fmt.Sprint(x)) }
	str := func(x int64) *proto.Expr { return constant(t, text, fmt.Sprintf("%06d", x)) }
	textEq := func(a, b *proto.Expr) *proto.Expr {
		return &proto.Expr{Node: &proto.Expr_Call{Call: &proto.Call{Function: "pg_catalog.texteq(text,text)", Args: []*proto.Expr{a, b}}}}
	}
	in := func(c *proto.Expr, vs ...*proto.Expr) *proto.Expr {
		l := &proto.InList{Arg: c, Values: []*proto.Const{{Null: true}}}
		for _, v := range vs {
			l.Values = append(l.Values, v.GetConst())
		}
		return &proto.Expr{Node: &proto.Expr_In{In: l}}
	}
	rng := rand.New(rand.NewPCG(31, 32))
	for _, sorted := range []bool{true, false} {
		x := writeIndexed(t, rng, sorted)
		plan, err := PlanParquet(t.Context(), []string{x.path})
		if err != nil {
			t.Fatal(err)
		}
		read, passing, all := 0, 0, 0
		for range 60 {
			a, b := int64(rng.IntN(6100)), int64(rng.IntN(6100))
			eqText := func(v *string, n int64) bool { return v != nil && *v == fmt.Sprintf("%06d", n) }
			eqNum := func(v *int64, n int64) bool { return v != nil && *v == n }
			for _, c := range []struct {
				filter *proto.Expr
				pass   func(k *int64, s *string) bool
			}{
				{compare("=", k, num(a)), func(k *int64, _ *string) bool { return eqNum(k, a) }},
				{textEq(str(a), s), func(_ *int64, s *string) bool { return eqText(s, a) }},
				{in(k, num(a), num(b)), func(k *int64, _ *string) bool { return eqNum(k, a) || eqNum(k, b) }},
				{in(s, str(a), str(b)), func(_ *int64, s *string) bool { return eqText(s, a) || eqText(s, b) }},
				{and(compare(">=", k, num(a)), compare("<", k, num(a+100))), func(k *int64, _ *string) bool { return k != nil && *k >= a && *k < a+100 }},
				{and(compare("<", k, num(a)), textEq(s, str(b))), func(k *int64, s *string) bool { return k != nil && *k < a && eqText(s, b) }},
			} {
				batch := 1 + rng.IntN(2000)
				r, err := OpenScan(t.Context(), &proto.Scan{Format: "parquet", Columns: []string{"k", "s"}, RowId: true, Filter: c.filter}, plan.Splits, batch)
				if err != nil {
					t.Fatal(err)
				}
				late := r.(LateReader)
				got := map[int64]bool{}
				for part := 0; ; part++ {
					var rows []int32
					cols, n, err := late.Begin(t.Context(), []bool{part%2 == 0, part%3 == 0})
					if err != nil {
						t.Fatal(err)
					}
					if n == 0 {
						break
					}
					read += n
					ids := vector.Values[int64](cols[2])
					if cols[0] == nil && cols[1] == nil && n > 3 {
						rows = []int32{0, int32(n / 2), int32(n - 1)}
					}
					if err := late.Rest(t.Context(), cols, nil, rows); err != nil {
						t.Fatal(err)
					}
					for i := range cols[0].Len {
						id := ids[i]
						if rows != nil {
							id = ids[rows[i]]
						}
						want := x.k[id]
						if cols[0].IsNull(i) != (want == nil) || want != nil && *want != vector.At[int64](cols[0], i) {
							t.Fatalf("row %d: another k", id)
						}
						if w := x.s[id]; cols[1].IsNull(i) != (w == nil) || w != nil && *w != cols[1].StringAt(i) {
							t.Fatalf("row %d: another s", id)
						}
					}
					for _, id := range ids {
						got[id] = true
					}
				}
				r.Close()
				for id := range x.k {
					if c.pass(x.k[id], x.s[id]) {
						if passing++; !got[int64(id)] {
							t.Fatalf("sorted %v: row %d is not read for %v", sorted, id, c.filter)
						}
					}
				}
				all += len(x.k)
			}
		}
		if passing == 0 || sorted && read > all/20 || !sorted && read > all*4/5 {
			t.Errorf("sorted %v: %d rows read of %d, %d pass", sorted, read, all, passing)
		}
	}
}

// Damaged indexes and Bloom filters tell nothing, or make an error about the file;
// they do not panic.
func TestPageIndexDamaged(t *testing.T) {
	rng := rand.New(rand.NewPCG(33, 34))
	x := writeIndexed(t, rng, true)
	good, err := os.ReadFile(x.path)
	if err != nil {
		t.Fatal(err)
	}
	i8, text := types.T(types.Int8), types.T(types.Text)
	filters := []*proto.Expr{compare("=", col(0, i8), constant(t, i8, "500")),
		{Node: &proto.Expr_Call{Call: &proto.Call{Function: "pg_catalog.texteq(text,text)", Args: []*proto.Expr{col(1, text), constant(t, text, "000700")}}}}}
	plan, err := PlanParquet(t.Context(), []string{x.path})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 400 {
		data := slices.Clone(good)
		for range 1 + rng.IntN(20) {
			data[len(data)-1-rng.IntN(len(data)/3)] ^= byte(1 << rng.IntN(8))
		}
		if bytes.Equal(data, good) {
			continue
		}
		if err := os.WriteFile(x.path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := OpenScan(t.Context(), &proto.Scan{Format: "parquet", Columns: []string{"k", "s"}, Filter: filters[i%2]}, plan.Splits, 1000)
		if err != nil {
			continue
		}
		for {
			b, err := r.Next(t.Context())
			if b == nil || err != nil {
				break
			}
		}
		r.Close()
	}
}
