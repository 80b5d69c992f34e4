package udf

import (
	"fmt"
	"go/ast"
	"strconv"
	"strings"

	"github.com/volleydb/volley/pgerr"
)

// aggregateHelpers are for steps that cannot fail, by their number of arguments.
const aggregateHelpers = `
func step1[S, A any](f func(*S, A)) func(*S, A) error {
	return func(s *S, a A) error { f(s, a); return nil }
}

func step2[S, A, B any](f func(*S, A, B)) func(*S, A, B) error {
	return func(s *S, a A, b B) error { f(s, a, b); return nil }
}

func step3[S, A, B, C any](f func(*S, A, B, C)) func(*S, A, B, C) error {
	return func(s *S, a A, b B, c C) error { f(s, a, b, c); return nil }
}

func step4[S, A, B, C, D any](f func(*S, A, B, C, D)) func(*S, A, B, C, D) error {
	return func(s *S, a A, b B, c C, d D) error { f(s, a, b, c, d); return nil }
}
`

const aggregateHint = "Declare a type with the methods Step(x …), Merge(o *T) and Finish() R, or functions Step(s *T, x …), Merge(into, from *T) and Finish(s *T) R; New() T makes the first state, if it is not the zero value."

// aggregate makes the program of an aggregate: a type with the methods Step, Merge
// and Finish, or functions of these names whose first parameter is the state.
func (in *Inline) aggregate() (map[string]string, error) {
	src := newGoSource(in.Source)
	if n := len(in.Args); n < 1 || n > 4 {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "an aggregate in Go source has 1 to 4 arguments, not %d", n)
	}
	parts := map[string]*ast.FuncDecl{}
	methods := map[string]map[string]*ast.FuncDecl{} // by receiver
	if src.file != nil {
		for _, d := range src.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			name := strings.ToLower(f.Name.Name)
			if f.Recv == nil {
				parts[name] = f
				continue
			}
			r := strings.TrimPrefix(src.text[f.Recv.List[0].Type.Pos()-1:f.Recv.List[0].Type.End()-1], "*")
			if methods[r] == nil {
				methods[r] = map[string]*ast.FuncDecl{}
			}
			methods[r][name] = f
		}
	}
	expr := func(name string) (string, *ast.FuncDecl) {
		if f := parts[name]; f != nil {
			return f.Name.Name, f
		}
		return "", nil
	}
	state := ""
	for r, m := range methods {
		if m["step"] != nil && m["finish"] != nil {
			state = r
			expr = func(name string) (string, *ast.FuncDecl) {
				if f := m[name]; f != nil {
					return "(*" + r + ")." + f.Name.Name, f
				}
				return "", nil
			}
		}
	}
	step, sf := expr("step")
	merge, _ := expr("merge")
	finish, _ := expr("finish")
	missing := ""
	switch "" {
	case step:
		missing = "Step"
	case merge:
		missing = "Merge"
	case finish:
		missing = "Finish"
	}
	if missing != "" {
		if src.file == nil || !strings.Contains(in.Source, "func") {
			return nil, pgerr.New(pgerr.InvalidFunctionDefinition, "the source of aggregate %q does not declare %s", in.Name, missing).WithHint(aggregateHint)
		}
		if len(parts) == 0 && len(methods) == 0 {
			return in.program("nil", ""), nil // it does not parse: the compiler says why
		}
		return nil, pgerr.New(pgerr.InvalidFunctionDefinition, "the source of aggregate %q does not declare %s", in.Name, missing).WithHint(aggregateHint)
	}
	n := len(in.Args)
	want := n
	if state == "" {
		want++
	}
	if got := len(src.params(sf)); got != want {
		return nil, pgerr.New(pgerr.InvalidFunctionDefinition, "Step of aggregate %q takes %d arguments, and the aggregate %d", in.Name, got-(want-n), n).WithHint(aggregateHint)
	}
	if sf.Type.Results.NumFields() == 0 {
		step = fmt.Sprintf("step%d(%s)", n, step)
	}
	first := "nil"
	for _, name := range []string{"new", "new" + strings.ToLower(state), "newstate"} {
		if f := parts[name]; f != nil && f.Type.Params.NumFields() == 0 && f.Type.Results.NumFields() == 1 {
			first = f.Name.Name
			if t := src.text[f.Type.Results.List[0].Type.Pos()-1 : f.Type.Results.List[0].Type.End()-1]; strings.HasPrefix(t, "*") {
				first = "func() " + t[1:] + " { return *" + f.Name.Name + "() }"
			}
			break
		}
	}
	return in.program(fmt.Sprintf("udf.Aggregate%d(%s, %s, %s, %s, %s%s)", n, strconv.Quote(in.Name), first, step, merge, finish, in.options()), aggregateHelpers), nil
}
