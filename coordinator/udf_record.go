package coordinator

import (
	"encoding/json"
	"log/slog"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/volleydb/volley/catalog/pgcatalog"
	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/udf"
)

// Bounds of the journal of failed rows: rows in memory, and bytes of a file of
// which there are two, the current and the one before.
const (
	maxErrorRows    = 100_000
	maxJournalBytes = 32 << 20
)

// udfRecord is what the coordinator remembers of user code: the rows on which it
// failed, in a journal that outlives the process, and figures per function since
// the start. It is safe for concurrent use.
type udfRecord struct {
	log  *slog.Logger
	logs func() []udf.LogLine

	mu     sync.Mutex
	disk   *journal             // nil without
	errors []pgcatalog.UDFError // oldest first
	stats  map[udfKey]*pgcatalog.UDFStat
}

type udfKey struct {
	function string
	version  uint32
	digest   string
}

// openUDFRecord reads the journal in dir; "" keeps none.
func openUDFRecord(dir string, log *slog.Logger) (*udfRecord, error) {
	u := &udfRecord{log: log, stats: map[udfKey]*pgcatalog.UDFStat{}}
	if dir == "" {
		return u, nil
	}
	disk, err := openJournal(dir, "errors.jsonl", maxJournalBytes, 0, func(line []byte) {
		var e pgcatalog.UDFError
		if json.Unmarshal(line, &e) == nil {
			u.errors = append(u.errors, e)
			u.trim()
		}
	})
	if err != nil {
		return nil, err
	}
	u.disk = disk
	return u, nil
}

func (u *udfRecord) trim() {
	if n := len(u.errors) - maxErrorRows; n > maxErrorRows/10 {
		u.errors = append([]pgcatalog.UDFError(nil), u.errors[n:]...)
	}
}

// ended takes the figures of a query that has ended. The rows that failed count
// when the query has not: otherwise none of its rows do.
func (u *udfRecord) ended(query, user string, ops []*proto.OperatorStats, failed bool) {
	any := false
	for _, o := range ops {
		any = any || len(o.Udfs) > 0 || len(o.UdfErrors) > 0
	}
	if !any {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	seen := map[udfKey]bool{}
	var rows []pgcatalog.UDFError
	for _, o := range ops {
		for _, f := range o.Udfs {
			k := udfKey{f.Function, f.Version, f.Digest}
			s := u.stats[k]
			if s == nil {
				s = &pgcatalog.UDFStat{Function: f.Function, Version: int32(f.Version), Digest: f.Digest}
				u.stats[k] = s
			}
			if !seen[k] {
				seen[k] = true
				s.Queries++
			}
			s.Calls += f.Calls
			s.Batches += f.Batches
			s.Rows += f.Rows
			s.CacheHits += f.CacheHits
			s.Restarts += f.Restarts
			s.Errors += f.Errors
			s.UserNanos += f.UserNanos
			s.QueueNanos += f.QueueNanos
			s.ColdStartNanos += f.StartNanos
			s.TransferNanos += max(f.TotalNanos-f.UserNanos-f.QueueNanos-f.StartNanos, 0)
		}
		if failed {
			continue
		}
		for _, e := range o.UdfErrors {
			rows = append(rows, pgcatalog.UDFError{User: user, Query: query, Function: e.Function, Digest: e.Digest, Key: e.Key, Args: e.Args, Message: e.Message,
				SQLState: e.Sqlstate, Stack: e.Stack, Version: int32(e.Version), Attempt: int32(e.Attempt), Row: e.Row, At: time.UnixMicro(e.AtUs)})
		}
	}
	if len(rows) == 0 {
		return
	}
	sort.SliceStable(rows, func(i, j int) bool { return rows[i].At.Before(rows[j].At) })
	u.errors = append(u.errors, rows...)
	u.trim()
	if err := u.write(rows); err != nil {
		u.log.Error("rows of volley.udf_errors could not be written", "query_id", query, "err", err)
	}
}

// write appends rows to the journal; mu is held.
func (u *udfRecord) write(rows []pgcatalog.UDFError) error {
	if u.disk == nil {
		return nil
	}
	var b []byte
	for i := range rows {
		line, err := json.Marshal(&rows[i])
		if err != nil {
			return err
		}
		b = append(append(b, line...), '\n')
	}
	if err := u.disk.write(b, len(rows)); err != nil {
		return err
	}
	return u.disk.sync()
}

func (u *udfRecord) close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.disk != nil {
		_ = u.disk.close() // every write was synced
	}
}

func (u *udfRecord) errorRows() []pgcatalog.UDFError {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]pgcatalog.UDFError(nil), u.errors[max(0, len(u.errors)-maxErrorRows):]...)
}

// statRows are the figures per function, by name, version and digest.
func (u *udfRecord) statRows() []pgcatalog.UDFStat {
	u.mu.Lock()
	defer u.mu.Unlock()
	out := make([]pgcatalog.UDFStat, 0, len(u.stats))
	for _, s := range u.stats {
		out = append(out, *s)
	}
	sort.Slice(out, func(i, j int) bool {
		a, b := &out[i], &out[j]
		if a.Function != b.Function {
			return a.Function < b.Function
		}
		if a.Version != b.Version {
			return a.Version < b.Version
		}
		return a.Digest < b.Digest
	})
	return out
}

// rowCost is the time that user code took for a row of f, in nanoseconds; 0 where too
// few rows were measured.
func (u *udfRecord) rowCost(f *function.Function) float64 {
	const enough = 20
	u.mu.Lock()
	defer u.mu.Unlock()
	s := u.stats[udfKey{f.UDF.Display, uint32(f.UDF.Version), f.UDF.Digest}]
	if s == nil || s.Rows < enough {
		return 0
	}
	return float64(s.UserNanos) / float64(s.Rows)
}

func (u *udfRecord) logRows() []pgcatalog.UDFLog {
	if u.logs == nil {
		return nil
	}
	var out []pgcatalog.UDFLog
	for _, l := range u.logs() {
		out = append(out, pgcatalog.UDFLog{At: l.At, Query: l.Query, Function: l.Function, Digest: l.Digest, Worker: l.Worker, Level: l.Level, Line: l.Line})
	}
	return out
}

// udfErrors are the rows of volley.udf_errors that the session's user may see. They
// have arguments of queries: as with receipts those are for the role that ran them
// and for superusers.
func (x *statement) udfErrors() []pgcatalog.UDFError {
	all := x.s.c.udfs.errorRows()
	if x.superuser() {
		return all
	}
	return slices.DeleteFunc(all, func(e pgcatalog.UDFError) bool { return e.User != x.s.o.User })
}

// udfLogs are the lines of volley.udf_logs that the session's user may see: those of
// the queries whose receipts are the user's.
func (x *statement) udfLogs() []pgcatalog.UDFLog {
	all := x.s.c.udfs.logRows()
	if x.superuser() {
		return all
	}
	mine := map[string]bool{}
	for _, r := range x.s.c.receipts.rows(func(user string) bool { return user == x.s.o.User }) {
		mine[r.ID] = true
	}
	return slices.DeleteFunc(all, func(l pgcatalog.UDFLog) bool { return !mine[l.Query] })
}

// UDFStats are the figures of user-defined functions since the start, for metrics.
func (c *Coordinator) UDFStats() []pgcatalog.UDFStat { return c.udfs.statRows() }
