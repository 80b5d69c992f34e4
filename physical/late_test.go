package physical

import (
	"context"
	"testing"

	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// Runs that have become many are merged: few files are open, and the rows are in order.
func TestLateRuns(t *testing.T) {
	ctx := context.Background()
	env := setup{budget: 1 << 20, rows: 100}.env(t)
	n := &node{env: env, types: []types.Type{tInt8}, mem: env.Memory.Child("late"), stats: &OperatorStats{}}
	s := newLate(n)
	const runs, each = 1500, 7
	for i := range runs {
		v := make([]int64, each)
		for k := range v {
			v[k] = int64(k*runs + i)
		}
		col := vector.FromSlice(tInt8, v)
		if err := s.addToRun(ctx, vector.NewBatch([]*vector.Vector{col, col}, each)); err != nil {
			t.Fatal(err)
		}
		if err := s.endRun(ctx); err != nil {
			t.Fatal(err)
		}
		if len(s.runs) > 3*mergeFanIn {
			t.Fatalf("%d runs are open after %d", len(s.runs), i+1)
		}
	}
	next := int64(0)
	for {
		b, err := s.nextLate(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if b == nil {
			break
		}
		for _, x := range vector.Values[int64](b.Col(0).Flatten())[:b.Rows()] {
			if x != next {
				t.Fatalf("%d, want %d", x, next)
			}
			next++
		}
	}
	if next != runs*each {
		t.Errorf("%d rows", next)
	}
	s.close()
	if used := n.mem.Used(); used != 0 {
		t.Errorf("%d bytes are still charged", used)
	}
}
