package pgcatalog

import (
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/volleydb/volley/catalog"
	"github.com/volleydb/volley/types"
)

// databaseRow is the one database.
type databaseRow struct {
	name     string
	sessions int
}

func (v *View) databases() []databaseRow { return []databaseRow{{name: v.database()}} }

func (v *View) databaseStatistics() []databaseRow {
	return []databaseRow{{v.database(), len(v.activity())}}
}

func (v *View) activity() []Activity {
	if v.Activity == nil {
		return nil
	}
	return v.Activity()
}

// activityRow is a session as the statement's user may see it.
type activityRow struct {
	Activity
	database, user uint32 // 0 = NULL
	host           string
	port           int
	shown          bool // else only who it is
}

// sessions hides from an ordinary user what others' sessions do.
func (v *View) sessions() []activityRow {
	super := v.superuser()
	var out []activityRow
	for _, a := range v.activity() {
		r := activityRow{Activity: a, port: -1, shown: super || a.User == v.User}
		if u := v.Snapshot.Role(a.User); u != nil {
			r.user = u.OID
		}
		if a.Database != "" {
			r.database = catalog.DatabaseOID
		}
		if host, port, err := net.SplitHostPort(a.ClientAddr); err == nil {
			r.host = host
			r.port, _ = strconv.Atoi(port)
		} else {
			r.host = a.ClientAddr
		}
		if r.BackendType == "" {
			r.BackendType = "client backend"
		}
		if !r.shown {
			r.Query = "<insufficient privilege>"
		}
		out = append(out, r)
	}
	return out
}

func sessionText(f func(*activityRow) string) column[activityRow] {
	return strOpt(func(r *activityRow) string {
		if !r.shown {
			return ""
		}
		return f(r)
	})
}

func sessionTime(f func(*activityRow) time.Time) column[activityRow] {
	return when(func(r *activityRow) time.Time {
		if !r.shown {
			return time.Time{}
		}
		return f(r)
	})
}

func nonzero[T any](f func(*T) uint32) column[T] {
	return opt(func(r *T) (int64, bool) { n := f(r); return int64(n), n != 0 })
}

func (v *View) prepared() []PreparedStatement {
	if v.Prepared == nil {
		return nil
	}
	return v.Prepared()
}

func (v *View) settings() []Setting {
	if v.Settings == nil {
		return nil
	}
	return v.Settings()
}

// tablespaceRow is a row of pg_tablespace.
type tablespaceRow struct {
	oid  uint32
	name string
}

// zoneRow is a row of pg_timezone_names.
type zoneRow struct {
	name, abbrev string
	offset       int // seconds east of UTC
	summer       bool
}

// zones are the time zones as they are now.
func (v *View) zones() []zoneRow {
	var out []zoneRow
	now := time.Now()
	for _, name := range strings.Fields(zoneNames) {
		loc, err := time.LoadLocation(name)
		if err != nil {
			continue // not in this machine's tz database
		}
		at := now.In(loc)
		abbrev, offset := at.Zone()
		out = append(out, zoneRow{name, abbrev, offset, at.IsDST()})
	}
	return out
}

// sessionSources are the tables of pg_catalog about the server: its database,
// sessions and settings.
func sessionSources() map[string]source {
	return map[string]source{
		"pg_catalog.pg_database": &table[databaseRow]{rows: (*View).databases, cols: columns[databaseRow]{
			"oid":            fixed[databaseRow](int64(catalog.DatabaseOID)),
			"datname":        str(func(r *databaseRow) string { return r.name }),
			"datdba":         fixed[databaseRow](int64(catalog.BootstrapOID)),
			"encoding":       fixed[databaseRow](int32(encodingUTF8)),
			"datlocprovider": letter[databaseRow]('c'),
			"datistemplate":  flag[databaseRow](false),
			"datallowconn":   flag[databaseRow](true),
			"datconnlimit":   fixed[databaseRow](int32(unconstrained)),
			"dattablespace":  fixed[databaseRow](int64(defaultSpace)),
			"datcollate":     text[databaseRow]("C"),
			"datctype":       text[databaseRow]("C.UTF-8"),
		}},
		"pg_catalog.pg_stat_database": &table[databaseRow]{rows: (*View).databaseStatistics, cols: columns[databaseRow]{
			"datid":       fixed[databaseRow](int64(catalog.DatabaseOID)),
			"datname":     str(func(r *databaseRow) string { return r.name }),
			"numbackends": val(func(r *databaseRow) int32 { return int32(r.sessions) }),
		}},
		"pg_catalog.pg_tablespace": &table[tablespaceRow]{
			fixed: func() []tablespaceRow {
				return []tablespaceRow{{defaultSpace, "pg_default"}, {defaultSpace + 1, "pg_global"}}
			},
			cols: columns[tablespaceRow]{
				"oid":      oid(func(r *tablespaceRow) uint32 { return r.oid }),
				"spcname":  str(func(r *tablespaceRow) string { return r.name }),
				"spcowner": fixed[tablespaceRow](int64(catalog.BootstrapOID)),
			}},
		// Postgres' name for its table storage: clients compare with it.
		"pg_catalog.pg_am": &table[struct{}]{fixed: func() []struct{} { return make([]struct{}, 1) }, cols: columns[struct{}]{
			"oid":    fixed[struct{}](int64(heapAM)),
			"amname": text[struct{}]("heap"),
			"amtype": letter[struct{}]('t'),
		}},
		"pg_catalog.pg_settings": &table[Setting]{rows: (*View).settings, cols: columns[Setting]{
			"name":            str(func(r *Setting) string { return r.Name }),
			"setting":         str(func(r *Setting) string { return r.Value }),
			"unit":            strOpt(func(r *Setting) string { return r.Unit }),
			"category":        str(func(r *Setting) string { return r.Category }),
			"short_desc":      str(func(r *Setting) string { return r.ShortDesc }),
			"extra_desc":      strOpt(func(r *Setting) string { return r.ExtraDesc }),
			"context":         str(func(r *Setting) string { return r.Context }),
			"vartype":         str(func(r *Setting) string { return r.VarType }),
			"source":          str(func(r *Setting) string { return r.Source }),
			"min_val":         strOpt(func(r *Setting) string { return r.MinVal }),
			"max_val":         strOpt(func(r *Setting) string { return r.MaxVal }),
			"enumvals":        strs(func(r *Setting) []string { return r.EnumVals }),
			"boot_val":        str(func(r *Setting) string { return r.BootVal }),
			"reset_val":       str(func(r *Setting) string { return r.ResetVal }),
			"sourcefile":      strOpt(func(r *Setting) string { return r.SourceFile }),
			"sourceline":      opt(func(r *Setting) (int32, bool) { return int32(r.SourceLine), r.SourceLine != 0 }),
			"pending_restart": val(func(r *Setting) bool { return r.PendingRestart }),
		}},
		"pg_catalog.pg_prepared_statements": &table[PreparedStatement]{rows: (*View).prepared, cols: columns[PreparedStatement]{
			"name":            str(func(r *PreparedStatement) string { return r.Name }),
			"statement":       str(func(r *PreparedStatement) string { return r.Statement }),
			"prepare_time":    when(func(r *PreparedStatement) time.Time { return r.Made }),
			"parameter_types": oids(func(r *PreparedStatement) []uint32 { return r.Parameters }),
			"from_sql":        val(func(r *PreparedStatement) bool { return r.FromSQL }),
			"generic_plans":   val(func(r *PreparedStatement) int64 { return r.Generic }),
			"custom_plans":    val(func(r *PreparedStatement) int64 { return r.Custom }),
		}},
		"pg_catalog.pg_timezone_names": &table[zoneRow]{rows: (*View).zones, cols: columns[zoneRow]{
			"name":   str(func(r *zoneRow) string { return r.name }),
			"abbrev": str(func(r *zoneRow) string { return r.abbrev }),
			"utc_offset": val(func(r *zoneRow) types.IntervalValue {
				return types.IntervalValue{Micros: int64(r.offset) * time.Second.Microseconds()}
			}),
			"is_dst": val(func(r *zoneRow) bool { return r.summer }),
		}},
		"pg_catalog.pg_stat_activity": &table[activityRow]{rows: (*View).sessions, cols: columns[activityRow]{
			"datid":            nonzero(func(r *activityRow) uint32 { return r.database }),
			"datname":          strOpt(func(r *activityRow) string { return r.Database }),
			"pid":              val(func(r *activityRow) int32 { return r.PID }),
			"usesysid":         nonzero(func(r *activityRow) uint32 { return r.user }),
			"usename":          strOpt(func(r *activityRow) string { return r.User }),
			"application_name": str(func(r *activityRow) string { return r.ApplicationName }),
			"client_addr":      sessionText(func(r *activityRow) string { return r.host }),
			"client_port":      opt(func(r *activityRow) (int32, bool) { return int32(r.port), r.shown }),
			"backend_start":    sessionTime(func(r *activityRow) time.Time { return r.BackendStart }),
			"xact_start":       sessionTime(func(r *activityRow) time.Time { return r.XactStart }),
			"query_start":      sessionTime(func(r *activityRow) time.Time { return r.QueryStart }),
			"state_change":     sessionTime(func(r *activityRow) time.Time { return r.StateChange }),
			"wait_event_type":  sessionText(func(r *activityRow) string { return r.WaitEventType }),
			"wait_event":       sessionText(func(r *activityRow) string { return r.WaitEvent }),
			"state":            sessionText(func(r *activityRow) string { return r.State }),
			"query":            str(func(r *activityRow) string { return r.Query }),
			"backend_type":     sessionText(func(r *activityRow) string { return r.BackendType }),
		}},
	}
}
