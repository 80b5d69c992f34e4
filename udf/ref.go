package udf

import (
	"time"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// RefToProto returns what a plan carries of a user-defined function.
func RefToProto(f *function.Function) *proto.UDF {
	p := &proto.UDF{
		Digest:      f.UDF.Digest,
		Symbol:      f.UDF.Symbol,
		Display:     f.UDF.Display,
		Kind:        uint32(f.Kind),
		Volatility:  uint32(f.Volatility),
		Strict:      f.Strict,
		MemoryLimit: f.UDF.MemoryLimit,
		TimeoutMs:   f.UDF.Timeout.Milliseconds(),
		Version:     uint32(f.UDF.Version),
		OnError:     f.UDF.OnError,
		Concurrency: uint32(f.UDF.Concurrency),

		MaxGroupBytes: f.UDF.MaxGroupBytes,
	}
	if p.Display == "" {
		p.Display = f.Name
	}
	for _, a := range f.Args {
		p.Args = append(p.Args, typeToProto(a))
	}
	if f.Kind == function.GroupedMap || f.Kind == function.Table {
		for _, c := range f.Columns {
			p.Columns = append(p.Columns, &proto.Field{Name: c.Name, Type: typeToProto(c.Type)})
		}
	} else {
		p.Returns = typeToProto(f.Returns)
	}
	return p
}

// FromProto returns the function that a plan names. It has what operators ask
// of a function's description; its code runs through a Host.
func FromProto(p *proto.UDF) *function.Function {
	f := &function.Function{
		ID:         p.GetDigest() + "/" + p.GetSymbol(),
		Name:       p.GetDisplay(),
		Kind:       function.Kind(p.GetKind()),
		Volatility: function.Volatility(p.GetVolatility()),
		Strict:     p.GetStrict(),
		Returns:    typeFromProto(p.GetReturns()),
		UDF: &function.UDFRef{
			Digest:      p.GetDigest(),
			Symbol:      p.GetSymbol(),
			Display:     p.GetDisplay(),
			MemoryLimit: p.GetMemoryLimit(),
			Timeout:     time.Duration(p.GetTimeoutMs()) * time.Millisecond,
			Version:     int(p.GetVersion()),
			OnError:     p.GetOnError(),
			Concurrency: int(p.GetConcurrency()),

			MaxGroupBytes: p.GetMaxGroupBytes(),
		},
	}
	for _, a := range p.GetArgs() {
		f.Args = append(f.Args, typeFromProto(a))
	}
	for _, c := range p.GetColumns() {
		f.Columns = append(f.Columns, vector.Field{Name: c.GetName(), Type: typeFromProto(c.GetType())})
	}
	if f.Kind == function.Aggregate {
		f.StateTypes = StateTypes
	}
	return f
}

// StateTypes are the columns of a user-defined aggregate's partial state: one
// bytea that only the same artifact reads.
func StateTypes([]types.Type) []types.Type { return []types.Type{types.T(types.Bytea)} }

func typeToProto(t types.Type) *proto.Type {
	return &proto.Type{Id: uint32(t.ID), Elem: uint32(t.Elem), Typmod: t.Typmod, Definition: t.Definition()}
}

func typeFromProto(p *proto.Type) types.Type {
	if p == nil {
		return types.T(types.Void)
	}
	return types.Type{ID: types.ID(p.GetId()), Elem: types.ID(p.GetElem()), Typmod: p.GetTypmod()}.Defined(p.GetDefinition())
}
