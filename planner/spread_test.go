package planner

import "testing"

func TestDealt(t *testing.T) {
	for _, c := range []struct {
		row, rows    float64
		slots        int
		tasks, piece int
	}{
		{1e3, 1e9, 2, 0, 0},      // cheap rows
		{3.5e6, 20, 2, 0, 0},     // few of them
		{1e9, 1, 2, 1, 1},        // nothing to deal
		{3.5e6, 30, 2, 4, 1},     // no more tasks than 50 ms take
		{3.5e6, 1000, 1, 12, 10}, // long tasks
		{3.5e6, 1000, 2, 12, 10},
		{3.5e6, 1000, 4, 16, 7}, // at least four for each slot
		{3.5e6, 1000, 8, 32, 3},
		{3.5e6, 1000, 64, 128, 1}, // but not of less than 50 ms
		{3.5e6, 1e4, 2, 118, 10},
		{3.5e6, 1e4, 64, 256, 4},
		{1e9, 50, 16, 50, 1},    // no more than rows
		{1e4, 1e9, 7, 119, 256}, // as many for each
		{3.5e6, 1000, 0, 48, 2}, // not known
	} {
		if tasks, piece := dealt(c.row, c.rows, c.slots); tasks != c.tasks || piece != c.piece {
			t.Errorf("%v rows of %v ns, %d slots: %d tasks, pieces of %d, want %d and %d", c.rows, c.row, c.slots, tasks, piece, c.tasks, c.piece)
		}
	}
}
