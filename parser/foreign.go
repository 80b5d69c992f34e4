package parser

import (
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/volleydb/volley/pgerr"
)

// OtherDatabase refuses names of relations, functions, types and other objects that
// begin with a database other than the given one, as Postgres does, wherever they
// stand in the statement: 0A000. Who looks such names up need not look at the first
// of their three parts. Columns are left to their scopes.
func (st *Statement) OtherDatabase(database string) error {
	if strings.Count(st.SQL, ".") < 2 || st.Node == nil {
		return nil // nothing has three parts
	}
	return otherDatabase(st, st.Node.ProtoReflect(), database)
}

func otherDatabase(st *Statement, m protoreflect.Message, database string) error {
	if m.Descriptor() == nodeDescriptor {
		if fd := m.WhichOneof(nodeOneof); fd != nil {
			return otherDatabase(st, m.Get(fd).Message(), database)
		}
		return nil
	}
	if err := namesOther(st, m.Interface(), database); err != nil {
		return err
	}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		if fd.Message() == nil || !m.Has(fd) {
			continue
		}
		if !fd.IsList() {
			if err := otherDatabase(st, m.Get(fd).Message(), database); err != nil {
				return err
			}
			continue
		}
		list := m.Get(fd).List()
		for k := range list.Len() {
			if err := otherDatabase(st, list.Get(k).Message(), database); err != nil {
				return err
			}
		}
	}
	return nil
}

var nodeDescriptor = (*pg_query.Node)(nil).ProtoReflect().Descriptor()

// namesOther looks at the name in one message; those below it are not its business.
func namesOther(st *Statement, m proto.Message, database string) error {
	var names []*pg_query.Node
	location, quote := int32(-1), ""
	switch m := m.(type) {
	case *pg_query.RangeVar:
		if m.Catalogname == "" || m.Catalogname == database {
			return nil
		}
		return errOtherDatabase(st, m.Location, `"`+m.Catalogname+"."+m.Schemaname+"."+m.Relname+`"`)
	case *pg_query.FuncCall:
		names, location = m.Funcname, m.Location
	case *pg_query.TypeName:
		names, location = m.Names, m.Location
	case *pg_query.ObjectWithArgs:
		names = m.Objname
	case *pg_query.CreateFunctionStmt:
		names = m.Funcname
	case *pg_query.DefineStmt:
		names = m.Defnames
	case *pg_query.List: // of DROP, COMMENT and others: a name, or things that have names
		names, quote = m.Items, `"`
	}
	if len(names) != 3 {
		return nil
	}
	parts := make([]string, 3)
	for i, n := range names {
		s := n.GetString_()
		if s == nil {
			return nil
		}
		parts[i] = s.Sval
	}
	if parts[0] == database {
		return nil
	}
	return errOtherDatabase(st, location, quote+strings.Join(parts, ".")+quote)
}

func errOtherDatabase(st *Statement, location int32, name string) error {
	e := pgerr.New(pgerr.FeatureNotSupported, "cross-database references are not implemented: %s", name)
	if location >= 0 {
		e = e.At(st.Pos(location))
	}
	return e
}
