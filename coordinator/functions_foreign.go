package coordinator

import (
	"context"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/udf"
	"github.com/volleydb/volley/udf/registry"
	"github.com/volleydb/volley/vector"
)

// declaration is what the definition says to languages whose code does not know
// its SQL types.
func (d *definition) declaration(symbol string) udf.Declaration {
	u := udf.Declaration{Symbol: symbol, Kind: function.Scalar, Returns: d.returns}
	switch {
	case d.aggregate:
		u.Kind = function.Aggregate
	case d.table:
		u.Kind = function.GroupedMap // or a table function: the code says
	case d.window:
		u.Kind = function.Window
	}
	for _, a := range d.args {
		u.Names, u.Args = append(u.Names, a.Name), append(u.Args, a.Type)
	}
	for _, c := range d.columns {
		u.Columns = append(u.Columns, vector.Field{Name: c.Name, Type: c.Type})
	}
	return u
}

// artifactOf finds the artifact that a definition names, or makes one: of source
// in Python, of Python files with the types that SQL gives them, of what a
// function server says of itself.
func (x *statement) artifactOf(ctx context.Context, d *definition) (digest string, err error) {
	store := x.s.c.cfg.Artifacts
	named := store.Resolve
	if registry.IsReference(d.artifact) {
		named = func(ref string) (string, error) { return x.pull(ctx, ref) }
	}
	switch d.language {
	case "python":
		if d.symbol == "" && udf.IsSource(d.artifact) {
			return store.PutPythonSource(ctx, d.artifact, d.declaration(d.name))
		}
		from, err := named(d.artifact)
		if err != nil {
			return "", err
		}
		m, err := store.Manifest(from)
		if err != nil || m.RuntimeName() != udf.RuntimePython {
			return from, err // refused by the caller
		}
		symbol := d.symbol
		if symbol == "" {
			symbol = d.name
			if _, ok := m.Function(symbol); !ok && len(m.Functions) == 1 {
				symbol = m.Functions[0].Name
			}
		}
		return store.BindPython(ctx, from, d.declaration(symbol))
	case "grpc":
		return store.PutServer(ctx, d.artifact)
	}
	return named(d.artifact)
}
