package main

import (
	"context"
	"math"
	"testing"
)

func TestScoreRow(t *testing.T) {
	if err := load(context.Background()); err != nil {
		t.Fatal(err)
	}
	col := func(v float64) []float64 { return []float64{0, v} }
	out := make([]float64, 2)
	scoreRow(col(1), col(1), col(1), col(1), col(1), col(1), col(1), col(1), col(1), col(1), out)
	sum := current.bias
	if want := 1 / (1 + math.Exp(-sum)); math.Abs(out[0]-want) > 1e-12 {
		t.Errorf("all zero: %v, want %v", out[0], want)
	}
	for _, w := range current.weights {
		sum += w
	}
	if want := 1 / (1 + math.Exp(-sum)); math.Abs(out[1]-want) > 1e-12 {
		t.Errorf("all one: %v, want %v", out[1], want)
	}
}
