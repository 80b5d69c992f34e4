package parser

import (
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Walk calls f for node and, where f returns true, for the nodes below it, in
// the order of the fields of the tree. The fields that hold a message of a fixed
// type instead of a Node (SelectStmt.Larg, RangeSubselect.Alias, …) are walked
// through: the nodes below them are visited, they themselves are not.
func Walk(node *pg_query.Node, f func(*pg_query.Node) bool) {
	if node == nil || node.Node == nil || !f(node) {
		return
	}
	// A Node is one of some 270 messages: ask which, rather than try them all.
	m := node.ProtoReflect()
	if fd := m.WhichOneof(nodeOneof); fd != nil {
		walkFields(m.Get(fd).Message(), f)
	}
}

var nodeOneof = (*pg_query.Node)(nil).ProtoReflect().Descriptor().Oneofs().Get(0)

func walkFields(m protoreflect.Message, f func(*pg_query.Node) bool) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		if fd.Message() == nil || !m.Has(fd) {
			continue
		}
		if fd.IsList() {
			list := m.Get(fd).List()
			for k := range list.Len() {
				walkMessage(list.Get(k).Message(), f)
			}
			continue
		}
		walkMessage(m.Get(fd).Message(), f)
	}
}

func walkMessage(m protoreflect.Message, f func(*pg_query.Node) bool) {
	if n, ok := m.Interface().(*pg_query.Node); ok {
		Walk(n, f)
		return
	}
	walkFields(m, f)
}

// deeper tells whether messages are nested more than limit deep.
func deeper(m protoreflect.Message, limit int) bool {
	if limit <= 0 {
		return true
	}
	found := false
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.Message() == nil:
		case fd.IsList():
			for k := 0; k < v.List().Len() && !found; k++ {
				found = deeper(v.List().Get(k).Message(), limit-1)
			}
		default:
			found = deeper(v.Message(), limit-1)
		}
		return !found
	})
	return found
}

// Same reports whether two trees are equal but for where they stand in the text.
func Same(a, b *pg_query.Node) bool {
	if a == nil || b == nil || a.Node == nil || b.Node == nil {
		return a == b
	}
	return sameMessage(a.ProtoReflect(), b.ProtoReflect())
}

func sameMessage(a, b protoreflect.Message) bool {
	if a.Descriptor() != b.Descriptor() {
		return false
	}
	fields := a.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		if strings.HasSuffix(string(fd.Name()), "location") {
			continue
		}
		if a.Has(fd) != b.Has(fd) {
			return false
		}
		x, y := a.Get(fd), b.Get(fd)
		switch {
		case !a.Has(fd):
		case fd.IsList():
			l, r := x.List(), y.List()
			if l.Len() != r.Len() {
				return false
			}
			for k := range l.Len() {
				if fd.Message() != nil && !sameMessage(l.Get(k).Message(), r.Get(k).Message()) || fd.Message() == nil && !l.Get(k).Equal(r.Get(k)) {
					return false
				}
			}
		case fd.Message() != nil:
			if !sameMessage(x.Message(), y.Message()) {
				return false
			}
		case !x.Equal(y):
			return false
		}
	}
	return true
}
