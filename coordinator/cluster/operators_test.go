package cluster

import (
	"context"
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
	"github.com/volleydb/volley/worker"
)

func int8Type() *proto.Type { return &proto.Type{Id: uint32(types.Int8), Typmod: -1} }

func column0() *proto.Expr {
	return &proto.Expr{Type: int8Type(), Node: &proto.Expr_Column{Column: &proto.Column{}}}
}

// valuesPlan yields the numbers 0…n-1 of each of two tasks, hash-partitioned on
// the way.
func (e *env) valuesPlan(n int) *proto.Plan {
	var rows []*proto.Row
	for i := range n {
		c := &proto.Const{Value: binary.BigEndian.AppendUint64(nil, uint64(i))}
		rows = append(rows, &proto.Row{Exprs: []*proto.Expr{{Type: int8Type(), Node: &proto.Expr_Const{Const: c}}}})
	}
	fields := []*proto.Field{{Name: "x", Type: int8Type()}}
	p := e.plan(2, 3)
	p.Stages = p.Stages[:2]
	p.Stages[0].Root = &proto.Operator{Id: 1, Fields: fields, RowsEstimate: 1e6, Node: &proto.Operator_Values{Values: &proto.Values{Rows: rows}}}
	p.Stages[0].Output = &proto.Partitioning{Kind: proto.Partitioning_HASH, Count: 5, Keys: []*proto.Expr{column0()}}
	p.Stages[1].Root = &proto.Operator{Id: 2, Fields: fields, Node: &proto.Operator_ExchangeRead{ExchangeRead: &proto.ExchangeRead{Stage: 1}}}
	p.Stages[1].Output = &proto.Partitioning{Kind: proto.Partitioning_RESULT}
	return p
}

// The operators of package physical run as tasks, here and remotely, with the
// same rows in the same order.
func TestOperators(t *testing.T) {
	runner := worker.NewRunner(worker.RunnerConfig{SpillDir: t.TempDir(), Check: true})
	var results [][]int64
	for _, remote := range []string{"", "ab"} {
		e := newEnvOf(t, Config{RunLocally: true}, &fake{}, runner)
		for _, id := range remote {
			e.join(string(id), func(c *worker.Config) { c.Runner = runner })
		}
		r := e.start(e.valuesPlan(1000))
		rows, err := read(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if s := r.Stats(); s[1].GetRows() != 2000 || s[2].GetRows() != 2000 {
			t.Errorf("stats: %v", s)
		}
		r.Close()
		results = append(results, rows)
	}
	if !slices.Equal(results[0], results[1]) {
		t.Error("one process and two workers differ")
	}
	slices.Sort(results[0])
	for i, x := range results[0] {
		if x != int64(i/2) {
			t.Fatalf("row %d is %d", i, x)
		}
	}
}

// A short query by the fast path is far below a millisecond.
func TestDirectLatency(t *testing.T) {
	st := newStore(t, "c")
	defer st.Close()
	w, err := worker.New(worker.Config{ID: "embedded", Store: st, Runner: worker.NewRunner(worker.RunnerConfig{})})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	c, err := New(Config{Embedded: w, RunLocally: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	e := &env{t: t, c: c}
	p := e.valuesPlan(5)
	p.Stages = p.Stages[:1]
	p.Stages[0].Tasks, p.Stages[0].Output = 1, &proto.Partitioning{Kind: proto.Partitioning_RESULT}
	best := time.Hour
	for range 50 {
		start := time.Now()
		r := e.start(p)
		b, err := r.Next(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if got := vector.Values[int64](b.Col(0)); !slices.Equal(got, []int64{0, 1, 2, 3, 4}) {
			t.Fatal(got)
		}
		if b, err := r.Next(context.Background()); b != nil || err != nil {
			t.Fatal(b, err)
		}
		r.Close()
		best = min(best, time.Since(start))
	}
	t.Logf("5 rows in %v", best)
	if best > time.Millisecond {
		t.Errorf("5 rows took %v", best)
	}
}
