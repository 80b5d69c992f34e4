package udf

import "fmt"

// Table declares a table function: SELECT * FROM name(args) calls fn once, and
// FROM t, name(t.a, …) once per row of t. fn emits rows of the columns out:
//
//	udf.Table("words", udf.Columns{{"s", udf.String}}, udf.Columns{{"word", udf.String}},
//		func(ctx *udf.Context, c *udf.TableCall) error {
//			for _, w := range strings.Fields(udf.Arg[string](c, 0)) {
//				c.Emit(w)
//			}
//			return nil
//		})
//
// What is emitted goes on while fn runs, so the rows may be more than memory has
// room for; when nobody wants more of them (LIMIT) the call ends inside Emit. NULL
// in an argument that is not Nullable gives no rows, without a call.
func Table(name string, in, out Columns, fn func(ctx *Context, c *TableCall) error, opts ...Option) Decl {
	f := newFunction(name, kindTable, in.types(name), out.types(name), nil)
	f.desc.Args, f.desc.Columns = in.params(), out.params()
	f.grouped = func(ctx *Context, g *Group) error {
		if !g.Next() {
			return nil // the host leaves rows with NULL out
		}
		return fn(ctx, &TableCall{g: g})
	}
	for _, o := range opts {
		o(f)
	}
	f.mustDescribe()
	return f
}

func (c Columns) types(name string) []Type {
	ts := make([]Type, len(c))
	for i, x := range c {
		if !x.Type.valid() {
			panic(fmt.Sprintf("udf: column %q of %q has no type", x.Name, name))
		}
		ts[i] = x.Type
	}
	return ts
}

// TableCall is one call of a table function, or of Describe. Use it in the call that
// was given it only.
type TableCall struct {
	g *Group
}

// Args is the number of arguments.
func (c *TableCall) Args() int { return len(c.g.s.args) }

// ArgType is the type of argument i, as the SQL function declares it.
func (c *TableCall) ArgType(i int) Type { return c.g.s.args[i].base() }

// IsNull reports whether argument i is NULL.
func (c *TableCall) IsNull(i int) bool { return c.g.s.cols[i].isNull(c.g.from) }

// Arg returns argument i as a T, which may be a Null.
func Arg[T any](c *TableCall, i int) T {
	s := c.g.s
	if i < 0 || i >= len(s.cols) {
		panic(Errorf("39000", "argument %d of %d", i, len(s.cols)))
	}
	col := &s.cols[i]
	if want := typeOf[T]().base(); !col.typ.reads(want) {
		panic(Errorf("39000", "argument %d is of type %s and cannot be read as %s", i, col.typ.base(), want))
	}
	var z T
	if n, ok := any(z).(interface{ at(c *column, i int) any }); ok {
		return n.at(col, c.g.from).(T)
	}
	if col.isNull(c.g.from) {
		return z
	}
	return decode[T](col)[c.g.from]
}

// at is one value of a column; Null.decode makes all of them.
func (Null[T]) at(c *column, i int) any {
	if c.isNull(i) {
		return Null[T]{}
	}
	return Null[T]{decode[T](c)[i], true}
}

// Emit adds one output row: see Group.Emit.
func (c *TableCall) Emit(vals ...any) { c.g.Emit(vals...) }

// EmitColumns adds rows by columns: see Group.EmitColumns.
func (c *TableCall) EmitColumns(cols ...any) { c.g.EmitColumns(cols...) }

// OutColumns are the names and types of the output columns: of use to a function
// that describes them.
func (c *TableCall) OutColumns() Columns { return c.g.OutColumns() }

// OutColumns are the names and types of the output columns.
func (g *Group) OutColumns() Columns {
	cols := make(Columns, len(g.s.out))
	for i, o := range g.s.out {
		cols[i] = Column{o.name, o.typ}
	}
	return cols
}

// Describe is for a table function or grouped map whose output columns depend on its
// arguments: declare it without columns. fn is called when a statement is planned,
// with the arguments that are constants in the statement and NULL for the others; it
// must give the same columns for the same arguments.
func Describe(fn func(c *TableCall) (Columns, error)) Option {
	return func(f *function) { f.describe, f.desc.Describes = fn, true }
}

// mustDescribe refuses a function without columns that does not describe them.
func (f *function) mustDescribe() {
	if f.describe != nil && len(f.out) > 0 {
		panic(fmt.Sprintf("udf: %q declares its output columns and describes them, too", f.desc.Name))
	}
	if f.describe == nil && len(f.out) == 0 {
		panic(fmt.Sprintf("udf: %q has no output columns", f.desc.Name))
	}
}

// describe answers a stream of wire.DescribeKind.
func (s *stream) describe(_ *Context, g *Group) error {
	if !g.Next() {
		return nil
	}
	cols, err := s.fn.describe(&TableCall{g: g})
	if err != nil {
		return err
	}
	for _, c := range cols {
		if !c.Type.valid() || c.Name == "" {
			return Errorf("39000", "Describe gave the column %q of type %s", c.Name, c.Type)
		}
		g.Emit(c.Name, c.Type.base().String())
	}
	return nil
}
