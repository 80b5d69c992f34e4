package main

import (
	"context"
	"fmt"
	"math"
	"syscall"
	"unsafe"

	"github.com/volleydb/volley/vector"
)

// columns are the ten features of the file in memory. They lie outside Go's
// heap: a large live heap would make Volley's collector run less often and
// flatter it.
type columns struct {
	g   [10][]float64
	out []float64
}

func mapped(n int) ([]float64, error) {
	b, err := syscall.Mmap(-1, 0, n*8, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return nil, err
	}
	return unsafe.Slice((*float64)(unsafe.Pointer(&b[0])), n), nil
}

// loadColumns reads them through Volley.
func loadColumns(ctx context.Context, v *volley, d dataset) (*columns, error) {
	c := &columns{}
	var err error
	for i := range c.g {
		if c.g[i], err = mapped(d.rows); err != nil {
			return nil, err
		}
	}
	if c.out, err = mapped(d.rows); err != nil {
		return nil, err
	}
	at := 0
	err = v.each(ctx, "SELECT "+features+" FROM read_parquet("+quote(d.parquet())+")", func(b *vector.Batch, _ []vector.Field) error {
		if at+b.Rows() > d.rows {
			return fmt.Errorf("volley: more than %d rows", d.rows)
		}
		for i := range c.g {
			copy(c.g[i][at:], vector.Values[float64](b.Col(i).Flatten()))
		}
		at += b.Rows()
		return nil
	})
	if err == nil && at != d.rows {
		err = fmt.Errorf("volley: %d rows of %d", at, d.rows)
	}
	return c, err
}

// score is the plain loop: the same arithmetic as examples/score in one
// goroutine, then the sum that the queries ask for.
func (c *columns) score() float64 {
	w := weights
	g1, g2, g3, g4, g5 := c.g[0], c.g[1], c.g[2], c.g[3], c.g[4]
	g6, g7, g8, g9, g10 := c.g[5], c.g[6], c.g[7], c.g[8], c.g[9]
	for i := range c.out {
		z := bias + w[0]*g1[i] + w[1]*g2[i] + w[2]*g3[i] + w[3]*g4[i] + w[4]*g5[i] +
			w[5]*g6[i] + w[6]*g7[i] + w[7]*g8[i] + w[8]*g9[i] + w[9]*g10[i]
		c.out[i] = 1 / (1 + math.Exp(-z))
	}
	sum := 0.0
	for _, x := range c.out {
		sum += x
	}
	return sum
}
