package function

import (
	"hash/fnv"
	"slices"
	"strings"
	"sync"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// Lookup returns the overloads of the built-in function of a lower-case name,
// nil if there is none. The functions behind operators are found by their
// Postgres names (int4pl) here, and by the operator in Operators.
func Lookup(name string) []*Function { return builtins().byName[name] }

// ByID finds a built-in by its ID.
func ByID(id string) (*Function, bool) {
	f, ok := builtins().byID[id]
	return f, ok
}

// All returns every built-in in the order of their OIDs.
func All() []*Function { return builtins().all }

// Names returns the sorted names of the built-ins, without those that only
// stand behind operators: what a hint may suggest.
func Names() []string { return builtins().names }

// Operators returns the overloads of a prefix operator (unary) or of an infix one.
func Operators(op string, unary bool) []*Function {
	if op == "!=" {
		op = "<>"
	}
	if unary {
		return builtins().unary[op]
	}
	return builtins().binary[op]
}

// registry is the table of built-ins. It is built once and then read only.
type registry struct {
	all    []*Function
	names  []string
	byName map[string][]*Function
	byID   map[string]*Function
	binary map[string][]*Function
	unary  map[string][]*Function
}

var (
	builtinsOnce  sync.Once
	builtinsTable *registry
)

func builtins() *registry {
	builtinsOnce.Do(func() { builtinsTable = buildRegistry() })
	return builtinsTable
}

func buildRegistry() *registry {
	r := &registry{
		byName: map[string][]*Function{},
		byID:   map[string]*Function{},
		binary: map[string][]*Function{},
		unary:  map[string][]*Function{},
	}
	for _, family := range families() {
		family(r)
	}
	registerArrayOps(r)
	registerCanary(r)
	r.registerFields()
	for name, fs := range r.byName {
		if fs[0].Op == "" {
			r.names = append(r.names, name)
		}
	}
	slices.Sort(r.names)
	slices.SortFunc(r.all, func(a, b *Function) int { return int(int64(a.OID) - int64(b.OID)) })
	return r
}

// option changes a Function while it is registered.
type option func(*Function)

func stable(f *Function)   { f.Volatility = Stable }
func volatile(f *Function) { f.Volatility = Volatile }

// called marks a function that is called on NULL arguments.
func called(f *Function) { f.Strict = false }

func doc(s string) option { return func(f *Function) { f.Doc = s } }

func argNames(names ...string) option { return func(f *Function) { f.ArgNames = names } }

// parseSignature reads "name(type, variadic type) result".
func parseSignature(sig string) *Function {
	open, end := strings.IndexByte(sig, '('), strings.LastIndexByte(sig, ')')
	f := &Function{Schema: "pg_catalog", Name: sig[:open], Strict: true}
	if args := strings.TrimSpace(sig[open+1 : end]); args != "" {
		for _, a := range strings.Split(args, ",") {
			a = strings.TrimSpace(a)
			if rest, ok := strings.CutPrefix(a, "variadic "); ok {
				f.Variadic, a = true, rest
			}
			f.Args = append(f.Args, signatureType(a))
		}
	}
	f.Returns = signatureType(strings.TrimSpace(sig[end+1:]))
	return f
}

// signatureType maps the names in signatures, which are those of pg_type with
// [] for arrays.
func signatureType(s string) types.Type {
	switch s {
	case "any":
		return types.T(types.Any)
	case "anyelement":
		return types.T(types.AnyElement)
	case `"char"`:
		return types.T(types.Char)
	case "anyarray":
		return types.T(types.AnyArray)
	}
	elem, isArray := strings.CutSuffix(s, "[]")
	t, ok := types.ByName(elem)
	if !ok {
		panic("function: no type " + s)
	}
	if isArray {
		return types.ListOf(t)
	}
	return t
}

// typeName is the pg_type name of t as IDs use it.
func typeName(t types.Type) string {
	switch t.ID {
	case types.Array:
		return typeName(types.T(t.Elem)) + "[]"
	case types.Bool:
		return "bool"
	case types.Int2:
		return "int2"
	case types.Int4:
		return "int4"
	case types.Int8:
		return "int8"
	case types.Float4:
		return "float4"
	case types.Float8:
		return "float8"
	case types.Varchar:
		return "varchar"
	case types.Bpchar:
		return "bpchar"
	case types.Char:
		return "char"
	case types.Time:
		return "time"
	case types.Timestamp:
		return "timestamp"
	case types.Timestamptz:
		return "timestamptz"
	case types.Any:
		return "any"
	}
	return t.Bare().String()
}

// argList writes argument types as IDs have them.
func argList(args []types.Type, variadic bool) string {
	var b strings.Builder
	for i, a := range args {
		if i > 0 {
			b.WriteByte(',')
		}
		if variadic && i == len(args)-1 {
			b.WriteString("variadic ")
		}
		b.WriteString(typeName(a))
	}
	return b.String()
}

// add completes f's identity and enters it.
func (r *registry) add(f *Function, opts []option) *Function {
	for _, o := range opts {
		o(f)
	}
	args := argList(f.Args, f.Variadic)
	if f.Op != "" {
		p, ok := operatorProcs[f.Op+"("+args+")"]
		if !ok {
			p = f.Op
		}
		f.Name = p
	}
	f.ID = f.Schema + "." + f.Name + "(" + args + ")"
	if _, dup := r.byID[f.ID]; dup {
		panic("function: " + f.ID + " is defined twice")
	}
	f.OID = oidOf(f.Name + "(" + args + ")")
	r.all = append(r.all, f)
	r.byID[f.ID] = f
	r.byName[f.Name] = append(r.byName[f.Name], f)
	if f.Op != "" {
		r.enterOperator(f)
	}
	return f
}

// oidOf returns the OID that Postgres gives the function, or for those that it
// does not have one from a range that neither initdb nor a user's objects
// reach, derived from the signature so that it stays the same between versions.
func oidOf(sig string) uint32 {
	if oid, ok := procOIDs[sig]; ok {
		return oid
	}
	h := fnv.New32a()
	h.Write([]byte(sig))
	return ownOIDs + h.Sum32()%ownOIDRange
}

const (
	ownOIDs     = 1_000_000_000
	ownOIDRange = 1_000_000_000
)

// scalar registers a scalar function: Immutable and Strict unless opts say otherwise.
func (r *registry) scalar(sig string, eval EvalFunc, opts ...option) *Function {
	f := parseSignature(sig)
	f.Eval = eval
	return r.add(f, opts)
}

// opAlias registers an operator whose function has an entry under its own name
// already: Postgres has one function for both, here the operator's entry is
// found by its symbol.
func (r *registry) opAlias(sig string, eval EvalFunc, opts ...option) {
	f := parseSignature(sig)
	f.Op, f.Eval = f.Name, eval
	for _, o := range opts {
		o(f)
	}
	args := argList(f.Args, false)
	name := operatorProcs[f.Op+"("+args+")"]
	if own, ok := r.byID["pg_catalog."+name+"("+args+")"]; ok {
		own.Op = f.Op
		r.enterOperator(own)
		return
	}
	r.op(sig, eval, opts...)
}

func (r *registry) enterOperator(f *Function) {
	if len(f.Args) == 1 {
		r.unary[f.Op] = append(r.unary[f.Op], f)
	} else {
		r.binary[f.Op] = append(r.binary[f.Op], f)
	}
}

// op registers an operator; sig starts with the operator in place of a name.
func (r *registry) op(sig string, eval EvalFunc, opts ...option) *Function {
	f := parseSignature(sig)
	f.Op, f.Eval = f.Name, eval
	return r.add(f, opts)
}

// window registers a pure window function, which package physical evaluates by name.
func (r *registry) window(sig string, opts ...option) {
	f := parseSignature(sig)
	f.Kind, f.Strict = Window, false
	r.add(f, opts)
}

// table registers a table function with one output column unless opts set Columns.
func (r *registry) table(sig string, gen func(*Ctx, []*vector.Vector) (Generator, error), opts ...option) {
	f := parseSignature(sig)
	f.Kind, f.NewTable = Table, gen
	f.Columns = []vector.Field{{Name: f.Name, Type: f.Returns}}
	r.add(f, opts)
}

// Call evaluates a scalar function over n rows and does for a Strict one what
// EvalFunc leaves to the caller: constant NULLs, and the NULLs of the result.
// It evaluates all-constant arguments of a function that is not Volatile once.
func Call(c *Ctx, f *Function, args []*vector.Vector, n int) (*vector.Vector, error) {
	if f.Eval == nil {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "function %s cannot be called here", f.Name)
	}
	rt := resultType(f, args)
	allConst := f.Volatility != Volatile
	for _, a := range args {
		if a.Form != vector.Const {
			allConst = false
		} else if f.Strict && a.IsNull(0) {
			return vector.NewNull(rt, n), nil
		}
	}
	if allConst && n != 1 {
		if n == 0 {
			return vector.New(rt, 0), nil
		}
		ones := make([]*vector.Vector, len(args))
		for i, a := range args {
			ones[i] = vector.Slice(a, 0, 1)
		}
		one, err := Call(c, f, ones, 1)
		if err != nil {
			return nil, err
		}
		return vector.NewConst(one, n), nil
	}
	out, err := f.Eval(c, args, n)
	if err != nil || !f.Strict {
		return out, err
	}
	valid := rowsValid(args, n)
	if valid == nil {
		return out, nil
	}
	if out.Form == vector.Const {
		out = out.Flatten()
	}
	return out.WithValid(vector.AndValid(out.Valid, valid, n)), nil
}

// rowsValid intersects the validity of args, nil when no row is NULL. The result may
// alias an argument's.
func rowsValid(args []*vector.Vector, n int) []byte {
	var valid []byte
	for _, a := range args {
		if a.Valid != nil {
			valid = vector.AndValid(valid, a.RowValid(), n)
		}
	}
	return valid
}

func resultType(f *Function, args []*vector.Vector) types.Type {
	ts := make([]types.Type, len(args))
	for i, a := range args {
		ts[i] = a.Type
	}
	if t, err := resolvedResult(f, ts); err == nil {
		return t
	}
	return f.Returns
}
