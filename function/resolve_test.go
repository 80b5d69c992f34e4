package function

import (
	"errors"
	"strings"
	"testing"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
)

// TestResolve compares the type of a call, or the error, with what Postgres 15
// says. "?" is an untyped NULL.
func TestResolve(t *testing.T) {
	eachCase(t, "testdata/resolve.tsv", func(fields []string, want string) {
		args := make([]types.Type, len(fields)-1)
		for i, a := range fields[1:] {
			if a == "?" {
				args[i] = types.T(types.Unknown)
			} else {
				args[i] = testType(t, a)
			}
		}
		var rt types.Type
		var f *Function
		var ts []types.Type
		var err error
		if op, ok := strings.CutPrefix(fields[0], "op:"); ok {
			f, ts, rt, err = ResolveOperator(op, args)
		} else {
			f, ts, rt, err = Resolve(fields[0], Lookup(fields[0]), args)
		}
		got := rt.String()
		if err != nil {
			got = shownError(err)
		}
		if got != want {
			t.Errorf("%v: got %s, want %s", fields, got, want)
		}
		if err != nil {
			var pe *pgerr.Error
			if !errors.As(err, &pe) || pe.Hint == "" {
				t.Errorf("%v: %v has no hint", fields, err)
			}
			return
		}
		for i, a := range ts {
			if !CastAllowed(args[i], a, Implicit) || a.ID == types.Unknown || a.Phys() == types.PhysInvalid {
				t.Errorf("%v: %s resolves argument %d to %s", fields, f.ID, i, a)
			}
		}
	})
}
