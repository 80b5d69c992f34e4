package physical

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/volleydb/volley/exchange"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// Tasks that run at once and share builds give what each gives alone, for all
// kinds and key types; of packed keys the right side is read by one of them, and
// nothing stays charged.
func TestSharedBuilds(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 9))
	kinds := []proto.Join_Kind{proto.Join_INNER, proto.Join_LEFT, proto.Join_SEMI, proto.Join_ANTI, proto.Join_MARK, proto.Join_RIGHT, proto.Join_FULL}
	const tasks = 4
	for _, kind := range kinds {
		for _, key := range []types.Type{tInt4, tText} {
			ts := []types.Type{key, tText}
			right := randomTable(r, 300, 40, 0.1, ts...)
			op := joinPlan(t, kind, ts, ts, 1, nil, false)
			op.Inputs[1].RowsEstimate = 1 // it is the side that is held
			mem := NewAccount("query", 1<<20)
			builds := NewSharedBuilds(mem)
			var mu sync.Mutex
			opened := 0
			got, want := make([][][]any, tasks), make([][][]any, tasks)
			var wg sync.WaitGroup
			for k := range tasks {
				in := setup{inputs: [][]*vector.Batch{randomTable(r, 200, 60, 0.1, ts...).batches(r, 50), right.batches(r, 50)}}
				want[k] = in.must(t, op)
				env := in.env(t)
				env.Memory, env.SpillDir, env.Builds = mem.Child("task"), t.TempDir(), builds
				env.Input = func(stage uint32) string { return []string{"", "all"}[stage] }
				env.Exchange = func(_ context.Context, e *proto.ExchangeRead) ([]Source, error) {
					mu.Lock()
					defer mu.Unlock()
					opened += int(e.Stage)
					return []Source{exchange.NewSlice(in.inputs[e.Stage]...)}, nil
				}
				wg.Go(func() {
					root, err := Build(t.Context(), env, op)
					if err != nil {
						t.Error(err)
						return
					}
					for {
						b, err := root.Next(t.Context())
						if err != nil {
							t.Error(err)
						}
						if b == nil || err != nil {
							break
						}
						for i := range b.Rows() {
							row := make([]any, b.NumCols())
							for c := range row {
								row[c] = value(b.Col(c), i)
							}
							got[k] = append(got[k], row)
						}
					}
					if err := root.Close(); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			for k := range tasks {
				same(t, kind.String(), got[k], want[k])
			}
			noted := slices.Contains([]proto.Join_Kind{proto.Join_RIGHT, proto.Join_FULL}, kind)
			if each := noted || key == tText; each && opened != tasks || !each && opened != 1 {
				t.Errorf("%s: %d of %d tasks read the right side", kind, opened, tasks)
			}
			if held := mem.Used(); noted && held != 0 || !noted && key == tInt4 && held == 0 {
				t.Errorf("%s: %d bytes are charged", kind, held)
			}
			if err := mem.Grow(1 << 20); err != nil {
				t.Error("what no task uses does not give way:", err)
			}
			mem.Shrink(1 << 20)
			builds.Close()
			if held := mem.Used(); held != 0 {
				t.Errorf("%s: %d bytes are still charged", kind, held)
			}
		}
	}
}

// A task whose maker fails makes the build itself.
func TestSharedBuildFails(t *testing.T) {
	s := NewSharedBuilds(NewAccount("query", 0))
	k := sharedKey{input: "all"}
	e, first, err := s.acquire(t.Context(), k)
	if err != nil || !first {
		t.Fatal(first, err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		_, first, err := s.acquire(t.Context(), k)
		if err != nil || !first {
			t.Error(first, err)
		}
	})
	s.fail(k, e)
	wg.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := s.acquire(ctx, k); err == nil {
		t.Error("a cancelled task waits")
	}
}
