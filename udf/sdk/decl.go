package udf

import (
	"context"
	"fmt"
	"runtime"

	"github.com/volleydb/volley/udf/sdk/wire"
)

// Decl is something a plugin declares: a function, Init, Name or Version.
type Decl interface{ declare(*plugin) }

type declFunc func(*plugin)

func (f declFunc) declare(p *plugin) { f(p) }

// plugin is what a program declared.
type plugin struct {
	name, version string
	funcs         []*function
	inits         []func(context.Context) error
}

// function is a registered function.
type function struct {
	desc wire.Function
	args []Type // Nullable where the Go side can hold NULL
	out  []Type

	scalar  func(*call)
	agg     func() aggregate
	grouped func(*Context, *Group) error
	// describe computes the output columns of a function that has none declared.
	describe func(*TableCall) (Columns, error)
}

func (f *function) declare(p *plugin) {
	for _, g := range p.funcs {
		if g.desc.Name == f.desc.Name {
			panic(fmt.Sprintf("udf: function %q is declared twice", f.desc.Name))
		}
	}
	p.funcs = append(p.funcs, f)
}

func newFunction(name, kind string, args []Type, out []Type, opts []Option) *function {
	if name == "" {
		panic("udf: a function without a name")
	}
	f := &function{args: args, out: out}
	f.desc = wire.Function{Name: name, Kind: kind, Args: []wire.Param{}, Volatility: "volatile"}
	for _, t := range args {
		f.desc.Args = append(f.desc.Args, wire.Param{Type: t.String(), Nullable: t&Nullable != 0})
	}
	if kind == kindScalar || kind == kindAggregate || kind == kindWindow {
		f.desc.Returns = &wire.Param{Type: out[0].String(), Nullable: out[0]&Nullable != 0}
	}
	for _, o := range opts {
		o(f)
	}
	return f
}

// The kinds of functions, as they stand in manifests.
const (
	kindScalar     = "scalar"
	kindAggregate  = "aggregate"
	kindGroupedMap = "grouped_map"
	kindTable      = "table"
	kindWindow     = "window"
)

// Option adds to the description of a function.
type Option func(*function)

// Immutable says that the result depends on the arguments alone, Stable that it
// does not change within a statement. A function is volatile without. CREATE
// FUNCTION has the last word.
func Immutable(f *function) { f.desc.Volatility = "immutable" }

// Stable is weaker than Immutable.
func Stable(f *function) { f.desc.Volatility = "stable" }

// Doc is one line for \df+.
func Doc(text string) Option { return func(f *function) { f.desc.Doc = text } }

// Variadic says that the last argument, an array, takes any number of values:
// f(a, b, c). Declare it VARIADIC in SQL.
func Variadic(f *function) {
	if n := len(f.args); n == 0 || f.args[n-1].form() != listType {
		panic(fmt.Sprintf("udf: the last argument of variadic function %q is not a slice", f.desc.Name))
	}
	f.desc.Variadic = true
}

// Default gives argument i, counted from 0, a default: an SQL expression such as
// "1.0" or "now()". All arguments behind it need one too.
func Default(i int, expr string) Option {
	return func(f *function) {
		if i < 0 || i >= len(f.desc.Args) || expr == "" {
			panic(fmt.Sprintf("udf: function %q has no argument %d to have the default %q", f.desc.Name, i, expr))
		}
		f.desc.Args[i].Default = expr
	}
}

// Args names the arguments.
func Args(names ...string) Option {
	return func(f *function) {
		if len(names) != len(f.desc.Args) {
			panic(fmt.Sprintf("udf: function %q has %d arguments, not %d", f.desc.Name, len(f.desc.Args), len(names)))
		}
		for i, n := range names {
			f.desc.Args[i].Name = n
		}
	}
}

// Init declares f to be run once per process before its first call: the place
// to load a model. It may print; an error fails the statement.
func Init(f func(ctx context.Context) error) Decl {
	return declFunc(func(p *plugin) { p.inits = append(p.inits, f) })
}

// Name declares the plugin's name; the default is that of its directory.
func Name(name string) Decl { return declFunc(func(p *plugin) { p.name = name }) }

// Version declares the plugin's version.
func Version(version string) Decl { return declFunc(func(p *plugin) { p.version = version }) }

var registered plugin

// Register declares functions for Serve.
func Register(decls ...Decl) {
	for _, d := range decls {
		d.declare(&registered)
	}
}

// Main is Register and Serve.
func Main(decls ...Decl) {
	Register(decls...)
	Serve()
}

func (p *plugin) manifest() wire.Manifest {
	m := wire.Manifest{ABI: wire.ABI, Name: p.name, Version: p.version, Toolchain: runtime.Version(), Functions: []wire.Function{}}
	for _, f := range p.funcs {
		m.Functions = append(m.Functions, f.desc)
	}
	return m
}

func (p *plugin) find(name string) *function {
	for _, f := range p.funcs {
		if f.desc.Name == name {
			return f
		}
	}
	return nil
}
