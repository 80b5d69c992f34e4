package udf

import (
	"testing"

	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// A row that ends the process costs three of them: the first says that the batch has
// one, the second which part of it, the third which row.
func TestDeathsPerRow(t *testing.T) {
	h := testHost(t, nil)
	ctx := testContext(t)
	s, err := h.Scalar(ctx, scalarRef("exits_at_one", types.Int8, types.Int8))
	if err != nil {
		t.Fatal(detail(err))
	}
	defer s.Close()
	s.SetOnError(OnErrorSkip)
	vals := make([]int64, 16384)
	const at = 9876
	vals[at] = 1
	v, err := s.Call(ctx, []*vector.Vector{ints(vals...)}, len(vals))
	if err != nil {
		t.Fatal(detail(err))
	}
	failed := s.TakeFailures()
	if len(failed) != 1 || failed[0].Row != at || !v.IsNull(at) || vector.CountValid(v.Valid, v.Len) != len(vals)-1 {
		t.Errorf("%d rows failed: %+v", len(failed), failed)
	}
	if f := s.Figures(); f.Restarts > 3 || f.Restarts < 1 {
		t.Errorf("%d processes for one row", f.Restarts)
	}
}
