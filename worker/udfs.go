package worker

import (
	"github.com/volleydb/volley/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// forUDFs calls f for every UDF message within m. It goes by reflection, so that
// a new place for a UDF in the plan is not forgotten here.
func forUDFs(m protoreflect.Message, f func(*proto.UDF)) {
	if !m.IsValid() {
		return
	}
	if u, ok := m.Interface().(*proto.UDF); ok {
		f(u)
		return
	}
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if fd.Kind() != protoreflect.MessageKind || fd.IsMap() || !mayHoldUDF[fd.Message().Name()] {
			return true
		}
		if fd.IsList() {
			for i := range v.List().Len() {
				forUDFs(v.List().Get(i).Message(), f)
			}
			return true
		}
		forUDFs(v.Message(), f)
		return true
	})
}

// mayHoldUDF has the messages from which a UDF can be reached: the walk does not
// descend into constants, fields and splits, which are many.
var mayHoldUDF = reaching((&proto.UDF{}).ProtoReflect().Descriptor(), (&proto.Operator{}).ProtoReflect().Descriptor())

func reaching(target, root protoreflect.MessageDescriptor) map[protoreflect.Name]bool {
	users := map[protoreflect.Name][]protoreflect.Name{} // who contains it
	seen := map[protoreflect.Name]bool{}
	var walk func(protoreflect.MessageDescriptor)
	walk = func(d protoreflect.MessageDescriptor) {
		if seen[d.Name()] {
			return
		}
		seen[d.Name()] = true
		for i := range d.Fields().Len() {
			if m := d.Fields().Get(i).Message(); m != nil {
				users[m.Name()] = append(users[m.Name()], d.Name())
				walk(m)
			}
		}
	}
	walk(root)
	out := map[protoreflect.Name]bool{}
	var up func(protoreflect.Name)
	up = func(n protoreflect.Name) {
		if !out[n] {
			out[n] = true
			for _, u := range users[n] {
				up(u)
			}
		}
	}
	up(target.Name())
	return out
}
