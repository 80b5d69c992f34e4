package pgcatalog

import (
	"time"

	"github.com/volleydb/volley/catalog"
	"github.com/volleydb/volley/types"
)

func (v *View) workers() []Worker {
	if v.Workers == nil {
		return nil
	}
	return v.Workers()
}

// versionRow is a version of a user's function.
type versionRow struct {
	*catalog.FunctionDef
	arguments string
	current   bool
}

// versions are all versions of all functions.
func (v *View) versions() []versionRow {
	var out []versionRow
	for _, f := range v.Snapshot.AllFunctions() {
		for _, d := range v.Snapshot.FunctionVersions(f.OID) {
			p := v.user(d)
			out = append(out, versionRow{d, p.arguments(), d.Version == f.Version})
		}
	}
	return out
}

// The words for catalog.FuncKind and function.Volatility.
var (
	kindNames       = [...]string{"scalar", "aggregate", "window", "table", "grouped map"}
	volatilityNames = [...]string{"immutable", "stable", "volatile"}
)

func word(names []string, i int) string {
	if i < len(names) {
		return names[i]
	}
	return "unknown"
}

// rowsOf asks a View's function for the rows, if it has one.
func rowsOf[T any](of func(*View) func() []T) func(*View) []T {
	return func(v *View) []T {
		if f := of(v); f != nil {
			return f()
		}
		return nil
	}
}

// volleySources are the tables of the schema volley.
func volleySources() map[string]source {
	list := func(l []string) []string { // empty, not NULL
		if l == nil {
			return []string{}
		}
		return l
	}
	ms := func(nanos int64) float64 { return float64(nanos) / 1e6 }
	some := func(n int64) (int64, bool) { return n, n != 0 }
	version := func(n int32) (int32, bool) { return n, n != 0 }
	return map[string]source{
		"volley.udf_errors": &table[UDFError]{rows: rowsOf(func(v *View) func() []UDFError { return v.UDFErrors }), cols: columns[UDFError]{
			"query_id": str(func(r *UDFError) string { return r.Query }),
			"function": str(func(r *UDFError) string { return r.Function }),
			"version":  opt(func(r *UDFError) (int32, bool) { return version(r.Version) }),
			"digest":   str(func(r *UDFError) string { return r.Digest }),
			"key":      strOpt(func(r *UDFError) string { return r.Key }),
			"row_no":   opt(func(r *UDFError) (int64, bool) { return some(r.Row) }),
			"args":     strOpt(func(r *UDFError) string { return r.Args }),
			"message":  str(func(r *UDFError) string { return r.Message }),
			"sqlstate": str(func(r *UDFError) string { return r.SQLState }),
			"stack":    strOpt(func(r *UDFError) string { return r.Stack }),
			"attempt":  val(func(r *UDFError) int32 { return r.Attempt }),
			"at":       when(func(r *UDFError) time.Time { return r.At }),
		}},
		"volley.udf_stats": &table[UDFStat]{rows: rowsOf(func(v *View) func() []UDFStat { return v.UDFStats }), cols: columns[UDFStat]{
			"function":      str(func(r *UDFStat) string { return r.Function }),
			"version":       opt(func(r *UDFStat) (int32, bool) { return version(r.Version) }),
			"digest":        str(func(r *UDFStat) string { return r.Digest }),
			"queries":       val(func(r *UDFStat) int64 { return r.Queries }),
			"calls":         val(func(r *UDFStat) int64 { return r.Calls }),
			"batches":       val(func(r *UDFStat) int64 { return r.Batches }),
			"rows":          val(func(r *UDFStat) int64 { return r.Rows }),
			"cache_hits":    val(func(r *UDFStat) int64 { return r.CacheHits }),
			"restarts":      val(func(r *UDFStat) int64 { return r.Restarts }),
			"errors":        val(func(r *UDFStat) int64 { return r.Errors }),
			"user_ms":       val(func(r *UDFStat) float64 { return ms(r.UserNanos) }),
			"transfer_ms":   val(func(r *UDFStat) float64 { return ms(r.TransferNanos) }),
			"queue_ms":      val(func(r *UDFStat) float64 { return ms(r.QueueNanos) }),
			"cold_start_ms": val(func(r *UDFStat) float64 { return ms(r.ColdStartNanos) }),
		}},
		"volley.udf_logs": &table[UDFLog]{rows: rowsOf(func(v *View) func() []UDFLog { return v.UDFLogs }), cols: columns[UDFLog]{
			"at":       when(func(r *UDFLog) time.Time { return r.At }),
			"query_id": strOpt(func(r *UDFLog) string { return r.Query }),
			"function": strOpt(func(r *UDFLog) string { return r.Function }),
			"digest":   strOpt(func(r *UDFLog) string { return r.Digest }),
			"worker":   strOpt(func(r *UDFLog) string { return r.Worker }),
			"level":    str(func(r *UDFLog) string { return r.Level }),
			"line":     str(func(r *UDFLog) string { return r.Line }),
		}},
		"volley.query_receipts": &table[QueryReceipt]{rows: rowsOf(func(v *View) func() []QueryReceipt { return v.Receipts }), cols: columns[QueryReceipt]{
			"query_id":    str(func(r *QueryReceipt) string { return r.ID }),
			"user_name":   str(func(r *QueryReceipt) string { return r.User }),
			"database":    str(func(r *QueryReceipt) string { return r.Database }),
			"command":     str(func(r *QueryReceipt) string { return r.Command }),
			"statement":   str(func(r *QueryReceipt) string { return r.Statement }),
			"started":     when(func(r *QueryReceipt) time.Time { return r.Started }),
			"duration_ms": val(func(r *QueryReceipt) float64 { return r.Millis }),
			"state":       str(func(r *QueryReceipt) string { return r.State }),
			"rows":        opt(func(r *QueryReceipt) (int64, bool) { return r.Rows, r.Rows >= 0 }),
			"result_hash": strOpt(func(r *QueryReceipt) string { return r.Hash }),
			"error":       strOpt(func(r *QueryReceipt) string { return r.Error }),
		}},
		"volley.workers": &table[Worker]{rows: (*View).workers, cols: columns[Worker]{
			"id":           str(func(r *Worker) string { return r.ID }),
			"address":      str(func(r *Worker) string { return r.Address }),
			"state":        str(func(r *Worker) string { return r.State }),
			"version":      str(func(r *Worker) string { return r.Version }),
			"slots":        val(func(r *Worker) int32 { return int32(r.Slots) }),
			"running":      val(func(r *Worker) int32 { return int32(r.Running) }),
			"memory_bytes": opt(func(r *Worker) (int64, bool) { return r.MemoryBytes, r.MemoryBytes != 0 }),
			"started":      when(func(r *Worker) time.Time { return r.Started }),
			"last_seen":    when(func(r *Worker) time.Time { return r.LastSeen }),
		}},
		"volley.artifacts": &table[Artifact]{rows: rowsOf(func(v *View) func() []Artifact { return v.Artifacts }), cols: columns[Artifact]{
			"digest":        str(func(r *Artifact) string { return r.Digest }),
			"name":          str(func(r *Artifact) string { return r.Name }),
			"version":       strOpt(func(r *Artifact) string { return r.Version }),
			"runtime":       strOpt(func(r *Artifact) string { return r.Runtime }),
			"functions":     strs(func(r *Artifact) []string { return list(r.Functions) }),
			"platforms":     strs(func(r *Artifact) []string { return list(r.Platforms) }),
			"size":          val(func(r *Artifact) int64 { return r.Size }),
			"owner":         strOpt(func(r *Artifact) string { return r.Owner }),
			"created":       when(func(r *Artifact) time.Time { return r.Created }),
			"last_used":     when(func(r *Artifact) time.Time { return r.LastUsed }),
			"signed_by":     strs(func(r *Artifact) []string { return list(r.SignedBy) }),
			"referenced_by": strs(func(r *Artifact) []string { return list(r.ReferencedBy) }),
			"manifest":      strOpt(func(r *Artifact) string { return r.Manifest }),
		}},
		"volley.functions": &table[versionRow]{rows: (*View).versions, cols: columns[versionRow]{
			"oid":          oid(func(r *versionRow) uint32 { return r.OID }),
			"schema":       str(func(r *versionRow) string { return r.Schema }),
			"function":     str(func(r *versionRow) string { return r.Name }),
			"arguments":    str(func(r *versionRow) string { return r.arguments }),
			"version":      val(func(r *versionRow) int32 { return int32(r.Version) }),
			"current":      val(func(r *versionRow) bool { return r.current }),
			"kind":         str(func(r *versionRow) string { return word(kindNames[:], int(r.Kind)) }),
			"language":     str(func(r *versionRow) string { return r.Language }),
			"digest":       strOpt(func(r *versionRow) string { return r.Digest }),
			"symbol":       strOpt(func(r *versionRow) string { return r.Symbol }),
			"volatility":   str(func(r *versionRow) string { return word(volatilityNames[:], int(r.Volatility)) }),
			"strict":       val(func(r *versionRow) bool { return r.Strict }),
			"memory_limit": opt(func(r *versionRow) (int64, bool) { return r.MemoryLimit, r.MemoryLimit != 0 }),
			"timeout": opt(func(r *versionRow) (types.IntervalValue, bool) {
				return types.IntervalValue{Micros: r.Timeout.Microseconds()}, r.Timeout != 0
			}),
			"owner":   str(func(r *versionRow) string { return r.Owner }),
			"created": when(func(r *versionRow) time.Time { return r.Created }),
			"comment": strOpt(func(r *versionRow) string { return r.Comment }),
		}},
	}
}
