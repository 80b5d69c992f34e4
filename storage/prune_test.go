package storage

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"testing"

	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

func col(i uint32, t types.Type) *proto.Expr {
	return &proto.Expr{Type: ToProtoType(t), Node: &proto.Expr_Column{Column: &proto.Column{Index: i}}}
}

func constant(tb testing.TB, t types.Type, s string) *proto.Expr {
	v := build(tb, t, 1, func(int) (string, bool) { return s, true })
	return &proto.Expr{Type: ToProtoType(t), Node: &proto.Expr_Const{Const: &proto.Const{Value: vector.AppendBinary(nil, v, 0)}}}
}

func compare(op string, a, b *proto.Expr) *proto.Expr {
	proc := map[string]string{"=": "eq", "<": "lt", "<=": "le", ">": "gt", ">=": "ge", "<>": "ne"}[op]
	id := "pg_catalog.int8" + proc + "(int8,int8)"
	switch FromProtoType(b.Type).ID {
	case types.Int4:
		id = "pg_catalog.int84" + proc + "(int8,int4)"
	case types.Date:
		id = "pg_catalog.date_" + proc + "(date,date)"
	}
	return &proto.Expr{Node: &proto.Expr_Call{Call: &proto.Call{Function: id, Args: []*proto.Expr{a, b}}}}
}

// TestPruning: row groups that no row can pass the filter in are not read, and
// the ordinals of the others stay.
func TestPruning(t *testing.T) {
	const n = rowGroupRows * 3
	ids, days := make([]int64, n), make([]int32, n)
	for i := range ids {
		ids[i], days[i] = int64(i), int32(i/rowGroupRows)
	}
	i8, date, text := types.T(types.Int8), types.T(types.Date), types.T(types.Text)
	fs := []vector.Field{{Name: "id", Type: i8}, {Name: "d", Type: date}, {Name: "n", Type: i8}}
	path := filepath.Join(t.TempDir(), "x.parquet")
	writeParquet(t, path, fs, nil, vector.NewBatch([]*vector.Vector{vector.FromSlice(i8, ids), vector.FromSlice(date, days), vector.NewNull(i8, n)}, n))
	p, err := PlanParquet(context.Background(), []string{path})
	if err != nil {
		t.Fatal(err)
	}
	and := func(es ...*proto.Expr) *proto.Expr {
		return &proto.Expr{Node: &proto.Expr_Bool{Bool: &proto.Bool{Op: proto.Bool_AND, Args: es}}}
	}
	id := col(0, i8)
	at := func(x int64) *proto.Expr { return constant(t, i8, fmt.Sprint(x)) }
	cases := []struct {
		name   string
		filter *proto.Expr
		groups string // that are read
	}{
		{"equal", compare("=", id, at(5)), "[0]"},
		{"equal, last of a group", compare("=", id, at(rowGroupRows-1)), "[0]"},
		{"less", compare("<", id, at(rowGroupRows)), "[0]"},
		{"less or equal", compare("<=", id, at(rowGroupRows)), "[0 1]"},
		{"greater", compare(">", id, at(2*rowGroupRows-1)), "[2]"},
		{"constant first", compare("<=", at(2*rowGroupRows), id), "[2]"},
		{"int4 constant", compare(">", id, constant(t, types.T(types.Int4), "300000")), "[2]"},
		{"none", compare("<", id, at(math.MinInt64)), "[]"},
		{"between", and(compare(">=", id, at(rowGroupRows)), compare("<", id, at(2*rowGroupRows))), "[1]"},
		{"date", compare("=", col(1, date), constant(t, date, "1970-01-02")), "[1]"},
		{"infinity", compare("<", col(1, date), constant(t, date, "infinity")), "[0 1 2]"},
		{"nulls only: no statistics of use", compare("=", col(2, i8), at(1)), "[0 1 2]"},
		{"not understood", compare("<>", id, at(5)), "[0 1 2]"},
		{"other type", compare("=", id, constant(t, text, "5")), "[0 1 2]"},
		{"in", &proto.Expr{Node: &proto.Expr_In{In: &proto.InList{Arg: id, Values: []*proto.Const{at(1).GetConst(), at(9).GetConst(), {Null: true}}}}}, "[0]"},
		{"not in", &proto.Expr{Node: &proto.Expr_In{In: &proto.InList{Not: true, Arg: id, Values: []*proto.Const{at(1).GetConst()}}}}, "[0 1 2]"},
	}
	for _, c := range cases {
		r, err := OpenScan(context.Background(), &proto.Scan{Format: "parquet", Columns: []string{"id", "d", "n"}, RowId: true, Filter: c.filter}, p.Splits, rowGroupRows)
		if err != nil {
			t.Fatal(err)
		}
		groups := []int64{}
		for {
			b, err := r.Next(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			if b == nil {
				break
			}
			if first, row := vector.At[int64](b.Col(0), 0), vector.At[int64](b.Col(3), 0); first != row {
				t.Errorf("%s: ordinal %d of row %d", c.name, row, first)
			}
			groups = append(groups, vector.At[int64](b.Col(0), 0)/rowGroupRows)
		}
		r.Close()
		if got := fmt.Sprint(groups); got != c.groups {
			t.Errorf("%s: read groups %s, want %s", c.name, got, c.groups)
		}
	}
	// Groups that nobody wants keep the ordinals of the others as they are.
	r, err := OpenScan(context.Background(), &proto.Scan{Format: "parquet", Columns: []string{"id"}, RowId: true}, p.Splits, rowGroupRows)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	const wanted = rowGroupRows + 3
	r.(RowSkipper).SkipRows(func(from, to int64) bool { return wanted < from || wanted >= to })
	b, err := r.Next(context.Background())
	if err != nil || b == nil || vector.At[int64](b.Col(0), 3) != wanted || vector.At[int64](b.Col(1), 3) != wanted {
		t.Fatalf("read %v, %v in place of row %d", b, err, wanted)
	}
	if b, err = r.Next(context.Background()); b != nil || err != nil {
		t.Fatalf("%d rows too many, %v", b.Rows(), err)
	}
}
