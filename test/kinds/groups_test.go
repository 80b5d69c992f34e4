package kinds

import (
	"context"
	"fmt"
	"testing"

	"github.com/volleydb/volley/test/engine"
)

// TestGroupSizes: many small groups, few large ones, one that is ten times what
// operators may hold. The group streams: the function sees it in pieces.
func TestGroupSizes(t *testing.T) {
	for _, workers := range []int{0, 2} {
		e := engine.Start(t, workers)
		if _, err := e.Artifacts.PutFile(context.Background(), artifact); err != nil {
			t.Fatal(err)
		}
		s := e.Session()
		run(t, s, "CREATE FUNCTION pieces(id bigint) RETURNS TABLE (rows bigint, calls bigint, total bigint) AS 'kinds', 'Pieces' LANGUAGE go")
		for _, c := range []struct {
			rows, groups int
			workMem      string
			pieces       string
		}{
			{200_000, 20_000, "4MB", "max(calls) = 1 OR max(calls) = 2"},
			{400_000, 4, "4MB", "min(calls) > 1"},
			{700_000, 1, "1MB", "min(calls) > 5"}, // of 16 bytes at least with its key
		} {
			run(t, s, "SET work_mem = '"+c.workMem+"'")
			from := fmt.Sprintf("FROM (SELECT i AS id, (i::bigint * 7919) %% %d AS k FROM generate_series(1, %d) g(i)) s", c.groups, c.rows)
			want := run(t, s, fmt.Sprintf("SELECT count(*), sum(n)::bigint, sum(total)::bigint, sum(k * n)::bigint, true FROM (SELECT k, count(*) n, sum(id) total %s GROUP BY k) t", from))
			got := run(t, s, fmt.Sprintf("SELECT count(*), sum(rows)::bigint, sum(total)::bigint, sum(k * rows)::bigint, %s FROM (SELECT k, rows, calls, total %s GROUP BY k APPLY pieces(id)) t", c.pieces, from))
			if text(got) != text(want) {
				t.Errorf("%d workers, %d rows in %d groups: %s, want %s", workers, c.rows, c.groups, text(got), text(want))
			}
		}
	}
}
