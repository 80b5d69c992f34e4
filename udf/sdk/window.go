package udf

import "fmt"

// Window declares a window function: name(args) OVER (PARTITION BY … ORDER BY …).
// fn is called once per partition, with its rows in order, and fills out, which has
// an element per row:
//
//	udf.Window("smooth", udf.Columns{{"x", udf.Float64}},
//		func(ctx *udf.Context, p *udf.Partition, out []float64) error {
//			x := udf.PartitionColumn[float64](p, 0)
//			for i := range out {
//				from, to := p.Frame(i)
//				for _, v := range x[from:to] {
//					out[i] += v / float64(to-from)
//				}
//			}
//			return nil
//		})
//
// R is a type of a scalar function's result; a Null for one that may be NULL. A
// partition has to fit into the function's memory: see MaxGroupBytes.
func Window[R any](name string, in Columns, fn func(ctx *Context, p *Partition, out []R) error, opts ...Option) Decl {
	f := newFunction(name, kindWindow, in.types(name), []Type{typeOf[R]()}, nil)
	f.desc.Args = in.params()
	f.grouped = func(ctx *Context, g *Group) error {
		if !g.Next() {
			return nil
		}
		p := &Partition{g: g, frames: decode[int64](&g.s.cols[len(in)])[g.from:g.to], ends: decode[int64](&g.s.cols[len(in)+1])[g.from:g.to]}
		out := make([]R, g.Len())
		if err := fn(ctx, p, out); err != nil {
			return err
		}
		encode(g.s.out[0], out)
		g.emitted(len(out))
		return nil
	}
	for _, o := range opts {
		o(f)
	}
	return f
}

// Partition is the rows of one partition, in order. Use it in the call that was given
// it only.
type Partition struct {
	g            *Group
	frames, ends []int64
}

// Len is the number of rows.
func (p *Partition) Len() int { return p.g.Len() }

// Frame is the frame of row i: rows from up to, but without, to.
func (p *Partition) Frame(i int) (from, to int) { return int(p.frames[i]), int(p.ends[i]) }

// IsNull reports whether argument arg is NULL in row i.
func (p *Partition) IsNull(arg, i int) bool { return p.g.s.cols[arg].isNull(p.g.from + i) }

// Row tells Volley which row is being worked on, for the errors and panics that
// follow.
func (p *Partition) Row(i int) { p.g.Row(i) }

// PartitionColumn returns the values of argument arg, one per row; with Null[T] for an
// argument that may be NULL.
func PartitionColumn[T any](p *Partition, arg int) []T {
	c := &p.g.s.cols[arg]
	if want := typeOf[T]().base(); arg >= len(p.g.s.fn.args) || !c.typ.reads(want) {
		panic(Errorf("39000", "argument %d cannot be read as %s", arg, fmt.Sprint(want)))
	}
	return decode[T](c)[p.g.from:p.g.to:p.g.to]
}
