package planner

import (
	"fmt"

	"github.com/volleydb/volley/proto"
)

// addUDF adds a task's figures of a function.
func (f *Figures) addUDF(u *proto.UDFStats) {
	for _, s := range f.Udfs {
		if s.Function == u.Function && s.Version == u.Version && s.Digest == u.Digest {
			s.Calls += u.Calls
			s.Batches += u.Batches
			s.Rows += u.Rows
			s.UserNanos += u.UserNanos
			s.TotalNanos += u.TotalNanos
			s.QueueNanos += u.QueueNanos
			s.StartNanos += u.StartNanos
			s.Restarts += u.Restarts
			s.CacheHits += u.CacheHits
			s.Errors += u.Errors
			return
		}
	}
	f.Udfs = append(f.Udfs, &proto.UDFStats{Function: u.Function, Version: u.Version, Digest: u.Digest, Calls: u.Calls, Batches: u.Batches,
		Rows: u.Rows, UserNanos: u.UserNanos, TotalNanos: u.TotalNanos, QueueNanos: u.QueueNanos, StartNanos: u.StartNanos,
		Restarts: u.Restarts, CacheHits: u.CacheHits, Errors: u.Errors})
}

// udfLine is EXPLAIN's line about a function: sums over tasks. What is neither
// user code, nor waiting for a turn, nor a start is the way there and back.
func udfLine(u *proto.UDFStats) (label, text string) {
	label = "UDF " + u.Function
	if u.Version > 0 {
		label += fmt.Sprintf("@%d", u.Version)
	}
	text = fmt.Sprintf("%d calls, %d batches, %d rows, user %s, transfer %s, queue %s, cold start %s", u.Calls, u.Batches, u.Rows,
		millis(u.UserNanos), millis(max(u.TotalNanos-u.UserNanos-u.QueueNanos-u.StartNanos, 0)), millis(u.QueueNanos), millis(u.StartNanos))
	if u.Restarts > 0 {
		text += fmt.Sprintf(", %d restarts", u.Restarts)
	}
	if u.CacheHits > 0 {
		text += fmt.Sprintf(", %d cache hits", u.CacheHits)
	}
	if u.Errors > 0 {
		text += fmt.Sprintf(", %d errors", u.Errors)
	}
	return label, text
}
