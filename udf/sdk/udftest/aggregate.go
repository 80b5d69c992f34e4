package udftest

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/volleydb/volley/udf/sdk"
)

// partials is how many partial states rows are spread over.
const partials = 5

// Aggregate checks an aggregate on groups of rows: as a whole, row by row, with all
// groups at once, and in partial states that are written, read by others and merged in
// several orders, empty ones among them, as workers do. An aggregate whose result
// depends on the order of its rows has to have them in ORDER BY in SQL: call Ordered
// for it.
func (f *Functions) Aggregate(t testing.TB, name string, groups ...Group) {
	t.Helper()
	f.aggregate(t, name, groups, false)
}

// Ordered is Aggregate for an aggregate to which the order of rows matters: partial
// states are of consecutive rows and merged from the first to the last.
func (f *Functions) Ordered(t testing.TB, name string, groups ...Group) {
	t.Helper()
	f.aggregate(t, name, groups, true)
}

func (f *Functions) aggregate(t testing.TB, name string, groups []Group, ordered bool) {
	t.Helper()
	for i, g := range groups {
		got, err := f.whole(name, g.Rows, len(g.Rows))
		if err == nil && !f.same(got, g.Out) {
			t.Errorf("group %d of %d rows: %s is %s, want %s", i+1, len(g.Rows), name, show(got), show(g.Out))
			return
		}
		if err != nil {
			t.Errorf("group %d of %d rows: %s: %v", i+1, len(g.Rows), name, err)
			return
		}
		if got, err := f.whole(name, g.Rows, 1); err != nil || !f.same(got, g.Out) {
			t.Errorf("group %d: %s is %s when its rows come one by one, %s otherwise %s", i+1, name, show(got), show(g.Out), because(err))
			return
		}
		for trial := range 8 {
			got, how, err := f.merged(name, g.Rows, trial, ordered)
			if err == nil && f.same(got, g.Out) {
				continue
			}
			t.Errorf("group %d: %s is %s when %s, and %s without partial states %s\n"+
				"merge(a, b) must give the state of the rows of a and b together, also where one has no rows, and a state must be what it was after it was written and read", i+1, name, show(got), how, show(g.Out), because(err))
			return
		}
	}
	f.together(t, name, groups)
}

func because(err error) string {
	if err == nil {
		return ""
	}
	return "(" + err.Error() + ")"
}

// whole folds rows into one state, in batches.
func (f *Functions) whole(name string, rows Rows, batch int) (any, error) {
	s, err := f.tester.Aggregate(name)
	if err != nil {
		return nil, err
	}
	for at := 0; at < len(rows); at += batch {
		part := rows[at:min(at+batch, len(rows))]
		if err := s.Step(part, make([]int32, len(part)), 1); err != nil {
			return nil, err
		}
	}
	out, err := s.Final(0, 1)
	if err != nil {
		return nil, err
	}
	return out[0], nil
}

// merged spreads rows over partial states and merges them.
func (f *Functions) merged(name string, rows Rows, trial int, ordered bool) (any, string, error) {
	r := rand.New(rand.NewPCG(f.Seed, uint64(trial)))
	parts := make([]Rows, partials+1) // the last has no rows
	for i, row := range rows {
		p := r.IntN(partials)
		if ordered {
			p = i * partials / len(rows)
		}
		parts[p] = append(parts[p], row)
	}
	states := make([][]byte, len(parts))
	for i, p := range parts {
		s, err := f.tester.Aggregate(name)
		if err == nil {
			err = s.Step(p, make([]int32, len(p)), 1)
		}
		var one [][]byte
		if err == nil {
			one, err = s.States(0, 1)
		}
		if err != nil {
			return nil, "its states are written", err
		}
		states[i] = one[0]
	}
	how := "the states of its parts are merged one after the other"
	merge := func(states ...[]byte) (*udf.TestStates, error) {
		s, err := f.tester.Aggregate(name)
		if err == nil {
			err = s.Merge(states, make([]int32, len(states)), 1)
		}
		return s, err
	}
	switch {
	case trial%4 == 1 && !ordered:
		how = "the states of its parts are merged in another order"
		r.Shuffle(len(states), func(i, j int) { states[i], states[j] = states[j], states[i] })
	case trial%4 == 2:
		how = "the states of its parts are merged in pairs"
		for len(states) > 1 {
			var next [][]byte
			for i := 0; i < len(states); i += 2 {
				s, err := merge(states[i:min(i+2, len(states))]...)
				var one [][]byte
				if err == nil {
					one, err = s.States(0, 1)
				}
				if err != nil {
					return nil, how, err
				}
				next = append(next, one[0])
			}
			states = next
		}
	case trial%4 == 3:
		how = "the states of its parts are merged from the last to the first"
		for len(states) > 1 {
			n := len(states)
			s, err := merge(states[n-2], states[n-1])
			var one [][]byte
			if err == nil {
				one, err = s.States(0, 1)
			}
			if err != nil {
				return nil, how, err
			}
			states = append(states[:n-2], one[0])
		}
	}
	s, err := merge(states...)
	if err != nil {
		return nil, how, err
	}
	out, err := s.Final(0, 1)
	if err != nil {
		return nil, how, err
	}
	return out[0], how, nil
}

// together checks groups whose rows come in turns: states must not share anything.
func (f *Functions) together(t testing.TB, name string, groups []Group) {
	t.Helper()
	var rows Rows
	var to []int32
	for i := 0; ; i++ {
		more := false
		for g := range groups {
			if i < len(groups[g].Rows) {
				rows, to, more = append(rows, groups[g].Rows[i]), append(to, int32(g)), true
			}
		}
		if !more {
			break
		}
	}
	s, err := f.tester.Aggregate(name)
	if err == nil {
		err = s.Step(rows, to, len(groups))
	}
	var out []any
	if err == nil {
		out, err = s.Final(0, len(groups))
	}
	if err != nil {
		t.Errorf("%s of %d groups at once: %v", name, len(groups), err)
		return
	}
	for i, g := range groups {
		if !f.same(out[i], g.Out) {
			t.Errorf("group %d: %s is %s when %d groups are computed at once, and %s alone: do its states share a map or a slice?", i+1, name, show(out[i]), len(groups), show(g.Out))
			return
		}
	}
}

// Empty is the result of an aggregate without rows.
func (f *Functions) Empty(t testing.TB, name string) any {
	t.Helper()
	out, err := f.whole(name, nil, 1)
	if err != nil {
		t.Fatalf("%s without rows: %v", name, fmt.Sprint(err))
	}
	return out
}
