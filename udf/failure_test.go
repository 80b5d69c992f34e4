package udf

import (
	"testing"

	"github.com/volleydb/volley/udf/sdk/wire"
)

// Arguments may have anything in them, full stops too.
func TestGroupFailureArguments(t *testing.T) {
	for _, args := range []string{"", "x = 7", "s = 'It is. Or is it?', n = 1", "s = 'a.\nb'"} {
		for _, sep := range []string{" ", "\n"} {
			detail := "main.go:1 f"
			if args != "" {
				detail = "Arguments: " + args + "." + sep + detail
			}
			e := newCallError("f@1", "plugin p", 0, &wire.ErrorMsg{Code: "38000", Message: "no", Detail: detail, Args: args, Row: 2, Group: 5, Panic: true})
			f := groupFailure(e.Group, e.Row, e.Err, e.args, e.panic)
			if f.Args != args || f.Stack != "main.go:1 f" || f.Group != 5 || f.Row != 3 {
				t.Errorf("%q: %+v", args, f)
			}
		}
	}
}
