package main

import (
	"math"
	"testing"
)

// However the rows are split, merging gives the mean of all of them.
func TestMean(t *testing.T) {
	xs := []float64{3, 1, 4, 1, 5, 9, 2, 6}
	want := 31.0 / 8
	for cut := 0; cut <= len(xs); cut++ {
		var a, b state
		for _, x := range xs[:cut] {
			step(&a, x)
		}
		for _, x := range xs[cut:] {
			step(&b, x)
		}
		merge(&a, &b)
		if got := finish(&a); !got.Valid || math.Abs(got.V-want) > 1e-12 {
			t.Errorf("cut at %d: %v, want %v", cut, got, want)
		}
	}
	var empty state
	if got := finish(&empty); got.Valid {
		t.Errorf("no rows: %v, want NULL", got.V)
	}
}
