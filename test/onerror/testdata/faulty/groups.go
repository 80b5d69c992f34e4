package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/volleydb/volley/udf/sdk"
)

// trouble does what its value says.
func trouble(x int64) error {
	switch x {
	case -1:
		panic("no value for -1")
	case -2:
		os.Exit(4)
	case -3:
		for {
		}
	case -4:
		for {
			b := make([]byte, 8<<20)
			for i := range b {
				b[i] = 1
			}
			leaked = append(leaked, b)
			time.Sleep(time.Millisecond)
		}
	case -5:
		return errors.New("minus five")
	}
	return nil
}

// sums emits the rows and the sum of each batch of a group: some before it fails.
func sums(_ *udf.Context, g *udf.Group) error {
	for g.Next() {
		x := g.Int64("x")
		sum := int64(0)
		for i := range x {
			g.Row(i)
			if err := trouble(x[i]); err != nil {
				return udf.AtRow(i, err)
			}
			sum += x[i]
		}
		g.Emit(int64(len(x)), sum)
	}
	return nil
}

var (
	in  = udf.Columns{{"x", udf.Int64}}
	out = udf.Columns{{"rows", udf.Int64}, {"sum", udf.Int64}}
)

type total struct{ Sum int64 }

func groups() []udf.Decl {
	return []udf.Decl{
		udf.GroupedMap("shaky", in, out, sums),
		udf.GroupedMap("shaky_whole", in, out, sums, udf.WholeGroup),
		udf.Table("shaky_rows", in, udf.Columns{{"n", udf.Int64}}, func(_ *udf.Context, c *udf.TableCall) error {
			x := udf.Arg[int64](c, 0)
			c.Emit(x)
			if err := trouble(x); err != nil {
				return err
			}
			c.Emit(x + 1)
			return nil
		}),
		udf.Window("shaky_window", in, func(_ *udf.Context, p *udf.Partition, out []int64) error {
			x := udf.PartitionColumn[int64](p, 0)
			for i := range out {
				if err := trouble(x[i]); err != nil {
					return err
				}
				out[i] = 2 * x[i]
			}
			return nil
		}),
		udf.Aggregate1("shaky_sum", nil, func(s *total, x int64) error {
			if err := trouble(x); err != nil {
				return err
			}
			s.Sum += x
			return nil
		}, func(into, from *total) { into.Sum += from.Sum }, func(s *total) int64 {
			if s.Sum == 13 {
				panic(fmt.Sprint("no result of ", s.Sum))
			}
			return s.Sum
		}, udf.Args("x")),
	}
}
