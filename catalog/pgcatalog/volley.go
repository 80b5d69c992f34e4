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

func (v *View) artifacts() []*catalog.Artifact { return v.Snapshot.Artifacts() }

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

// volleySources are the tables of the schema volley.
func volleySources() map[string]source {
	type artifact = *catalog.Artifact
	return map[string]source{
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
		"volley.artifacts": &table[artifact]{rows: (*View).artifacts, cols: columns[artifact]{
			"digest":   str(func(r *artifact) string { return (*r).Digest }),
			"name":     str(func(r *artifact) string { return (*r).Name }),
			"size":     val(func(r *artifact) int64 { return (*r).Size }),
			"owner":    str(func(r *artifact) string { return (*r).Owner }),
			"created":  when(func(r *artifact) time.Time { return (*r).Created }),
			"manifest": strOpt(func(r *artifact) string { return string((*r).Manifest) }),
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
