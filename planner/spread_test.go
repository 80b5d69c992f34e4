package planner

import "testing"

func TestDealt(t *testing.T) {
	for _, c := range []struct {
		row, rows    float64
		tasks, piece int
	}{
		{1e3, 1e9, 0, 0},     // cheap rows
		{3.5e6, 20, 0, 0},    // few of them
		{1e9, 1, 1, 1},       // nothing to deal
		{3.5e6, 30, 2, 1},    // 0.1 s is worth two tasks
		{3.5e6, 400, 10, 5},  // 0.15 s each
		{3.5e6, 1000, 24, 5}, // many: as many for each of 2, 3, 4 or 6 workers
		{3.5e6, 1e4, 120, 10},
		{1e9, 50, 50, 1}, // no more than rows
		{1e4, 1e9, 120, 256},
	} {
		if tasks, piece := dealt(c.row, c.rows); tasks != c.tasks || piece != c.piece {
			t.Errorf("%v rows of %v ns: %d tasks, pieces of %d, want %d and %d", c.rows, c.row, tasks, piece, c.tasks, c.piece)
		}
	}
}
