package coordinator

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/volleydb/volley/catalog/pgcatalog"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/planner"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/udf/sdk/wire"
)

// setting is one row of the settings table: everything that SET, a flag, the
// environment or a startup packet can change.
type setting struct {
	name     string
	kind     string // bool, integer, real, string, enum: pg_settings.vartype
	unit     string // B, ms, …; of integers
	def      string
	min, max int64
	enum     []string
	readonly bool
	server   bool // of the server: neither a session nor a role has its own
	report   bool // told to the client when it changes (ParameterStatus)
	doc      string
	category string
	// check normalises a value.
	check func(v string) (string, error)
}

func only(want string) func(string) (string, error) {
	return func(v string) (string, error) {
		if !strings.EqualFold(strings.TrimSpace(v), want) {
			return "", pgerr.New(pgerr.FeatureNotSupported, "only the value %q is supported", want)
		}
		return want, nil
	}
}

// settingsTable is the only list of settings.
var settingsTable = append([]setting{
	{name: "volley.seed", kind: "string", def: "", category: "Volley / Execution",
		doc: "Seed of random() for every statement; empty draws one per statement.",
		check: func(v string) (string, error) {
			if v == "" {
				return v, nil
			}
			if _, err := strconv.ParseInt(v, 10, 64); err != nil {
				return "", pgerr.New(pgerr.InvalidParameterValue, "the seed must be an integer or empty")
			}
			return v, nil
		}},
	{name: "volley.on_error", kind: "enum", def: "fail", enum: []string{"fail", "null", "skip"}, category: "Volley / Execution",
		doc: "What becomes of a row on which a user-defined function fails: the statement fails, the result is NULL, or the row is left out. The latter two write the row into volley.udf_errors."},
	{name: "volley.max_group_bytes", kind: "integer", unit: "B", def: "0", min: 0, max: wire.MaxSlot, category: "Volley / Execution",
		doc: "Largest group that a function which takes whole groups is given, where the function does not set its own; 0 = what its author says, or a quarter of its volley.memory."},
	{name: "volley.function_versions", kind: "string", def: "", category: "Volley / Execution", check: checkPins,
		doc: "Versions of functions that the session calls whatever the current ones are: 'public.score=2, g=1'."},
	{name: "volley.receipts", kind: "bool", def: "on", category: "Volley / Receipts",
		doc: "Keeps a receipt of every query: what volley.query_receipt gives and volley.replay runs again."},
	{name: "volley.receipts_kept", kind: "integer", def: "10000", min: 1, max: 1 << 20, server: true, category: "Volley / Receipts",
		doc: "Number of receipts that are kept, the newest ones."},
	{name: "volley.snapshot_retention", kind: "integer", unit: "ms", def: "3600000", min: 0, max: 1 << 40, server: true, category: "Volley / Receipts",
		doc: "Time for which data files stay that their tables no longer have, so that queries over them can be replayed; 0 removes them at once."},
	{name: "volley.snapshot_retention_size", kind: "integer", unit: "B", def: "1073741824", min: 0, max: 1 << 60, server: true, category: "Volley / Receipts",
		doc: "Bytes of such files in all; the oldest go first."},
	{name: "volley.gc_grace", kind: "integer", unit: "ms", def: "604800000", min: 0, max: 1 << 40, category: "Volley / Functions",
		doc: "How long artifacts that nothing refers to, and what is compiled of unused ones, stay before they are collected."},
	{name: "volley.gc_interval", kind: "integer", unit: "ms", def: "0", min: 0, max: 1 << 40, server: true, category: "Volley / Functions",
		doc: "How often the server collects artifacts, as SELECT volley.gc() does, and at its start; 0 never does."},
	{name: "volley.udf_trusted_keys", kind: "string", def: "", readonly: true, category: "Volley / Functions",
		doc: "File of the keys one of which must have signed an artifact; empty takes all artifacts. Set by --udf-trusted-keys."},
	{name: "volley.dialect", kind: "enum", def: "postgres", enum: []string{"postgres", "mysql"}, category: "Volley / Execution",
		doc: "Dialect in which the statements of the next message are written."},
	{name: "volley.batch_rows", kind: "integer", def: "16384", min: 64, max: 1 << 16, category: "Volley / Execution",
		doc: "Rows per batch that operators aim for."},
	{name: "volley.rows_per_task", kind: "integer", def: strconv.Itoa(planner.RowsPerTask), min: 1, max: 1 << 40, category: "Volley / Execution",
		doc: "Rows that a plan gives one task; tests lower it so that small data is cut like large data."},
	{name: "work_mem", kind: "integer", unit: "B", def: "0", min: 0, max: 1 << 50, category: "Resource Usage / Memory",
		doc: "Memory of one query on one worker before its operators spill to disk; 0 uses the worker's share."},
	{name: "statement_timeout", kind: "integer", unit: "ms", def: "0", min: 0, max: 1 << 31, category: "Client Connection Defaults / Statement Behavior",
		doc: "Cancels a statement that runs longer; 0 never does."},
	{name: "idle_in_transaction_session_timeout", kind: "integer", unit: "ms", def: "0", min: 0, max: 1 << 31, category: "Client Connection Defaults / Statement Behavior",
		doc: "Ends a session that is idle longer inside a transaction; 0 never does."},
	{name: "idle_session_timeout", kind: "integer", unit: "ms", def: "0", min: 0, max: 1 << 31, category: "Client Connection Defaults / Statement Behavior",
		doc: "Ends a session that is idle longer, outside a transaction; 0 never does."},
	{name: "lock_timeout", kind: "integer", unit: "ms", def: "0", min: 0, max: 1 << 31, category: "Client Connection Defaults / Statement Behavior",
		doc: "Accepted for clients that set it; statements wait for no locks."},
	{name: "search_path", kind: "string", def: `"$user", public`, category: "Client Connection Defaults / Statement Behavior",
		doc: "Schemas in which unqualified names are looked up."},
	{name: "TimeZone", kind: "string", def: "UTC", report: true, category: "Client Connection Defaults / Locale and Formatting",
		doc: "Time zone of timestamptz values.", check: checkZone},
	{name: "DateStyle", kind: "string", def: "ISO, MDY", report: true, category: "Client Connection Defaults / Locale and Formatting",
		doc: "Format of dates; only ISO is supported.", check: func(v string) (string, error) {
			for _, p := range strings.Split(v, ",") {
				switch strings.ToLower(strings.TrimSpace(p)) {
				case "iso", "mdy", "us", "noneuro":
				default:
					return "", pgerr.New(pgerr.FeatureNotSupported, "only DateStyle \"ISO, MDY\" is supported")
				}
			}
			return "ISO, MDY", nil
		}},
	{name: "IntervalStyle", kind: "enum", def: "postgres", enum: []string{"postgres"}, report: true, category: "Client Connection Defaults / Locale and Formatting",
		doc: "Format of intervals; only postgres is supported."},
	{name: "client_encoding", kind: "string", def: "UTF8", report: true, category: "Client Connection Defaults / Locale and Formatting",
		doc: "Encoding of the client; only UTF8 is supported.", check: func(v string) (string, error) {
			switch strings.ToLower(strings.NewReplacer("-", "", "_", "").Replace(v)) {
			case "utf8", "unicode":
				return "UTF8", nil
			}
			return "", pgerr.New(pgerr.FeatureNotSupported, "client_encoding %q is not supported; only UTF8 is", v)
		}},
	{name: "extra_float_digits", kind: "integer", def: "1", min: -15, max: 3, category: "Client Connection Defaults / Locale and Formatting",
		doc: "Digits of floating-point output."},
	{name: "bytea_output", kind: "enum", def: "hex", enum: []string{"hex", "escape"}, category: "Client Connection Defaults / Statement Behavior",
		doc: "Format of bytea output."},
	{name: "application_name", kind: "string", def: "", report: true, category: "Reporting and Logging",
		doc: "Name of the client application."},
	{name: "client_min_messages", kind: "enum", def: "notice", enum: []string{"debug5", "debug4", "debug3", "debug2", "debug1", "log", "notice", "warning", "error"}, category: "Client Connection Defaults / Statement Behavior",
		doc: "Least severity of messages sent to the client."},
	{name: "standard_conforming_strings", kind: "bool", def: "on", report: true, category: "Version and Platform Compatibility",
		doc: "Backslashes in '…' are ordinary characters.", check: only("on")},
	{name: "escape_string_warning", kind: "bool", def: "on", category: "Version and Platform Compatibility", doc: "Accepted for clients that set it."},
	{name: "backslash_quote", kind: "string", def: "safe_encoding", category: "Version and Platform Compatibility", doc: "Accepted for clients that set it."},
	{name: "synchronous_commit", kind: "string", def: "on", category: "Write-Ahead Log", doc: "Accepted for clients that set it; commits are always durable."},
	{name: "row_security", kind: "bool", def: "on", category: "Client Connection Defaults / Statement Behavior", doc: "Accepted for clients that set it."},
	{name: "transaction_isolation", kind: "enum", def: "read committed", enum: []string{"read uncommitted", "read committed", "repeatable read", "serializable"}, category: "Client Connection Defaults / Statement Behavior",
		doc: "Every statement reads one snapshot; writers that conflict are refused."},
	{name: "default_transaction_isolation", kind: "enum", def: "read committed", enum: []string{"read uncommitted", "read committed", "repeatable read", "serializable"}, category: "Client Connection Defaults / Statement Behavior",
		doc: "Isolation of new transactions."},
	{name: "default_transaction_read_only", kind: "bool", def: "off", report: true, category: "Client Connection Defaults / Statement Behavior", doc: "New transactions refuse to write."},
	{name: "transaction_read_only", kind: "bool", def: "off", category: "Client Connection Defaults / Statement Behavior", doc: "This transaction refuses to write."},
	{name: "server_version", kind: "string", def: "15.0 (Volley " + Version + ")", readonly: true, report: true, category: "Preset Options", doc: "Postgres version whose dialect is spoken."},
	{name: "server_version_num", kind: "integer", def: "150000", min: 150000, max: 150000, readonly: true, category: "Preset Options", doc: "Postgres version whose dialect is spoken."},
	{name: "volley.version", kind: "string", def: Version, readonly: true, category: "Preset Options", doc: "Version of Volley."},
	{name: "server_encoding", kind: "string", def: "UTF8", readonly: true, report: true, category: "Preset Options", doc: "Encoding of the database."},
	{name: "integer_datetimes", kind: "bool", def: "on", readonly: true, report: true, category: "Preset Options", doc: "Timestamps are integers."},
	{name: "in_hot_standby", kind: "bool", def: "off", readonly: true, report: true, category: "Preset Options", doc: "Never a standby."},
	{name: "is_superuser", kind: "bool", def: "on", readonly: true, report: true, category: "Preset Options", doc: "Is the session's role a superuser."},
	{name: "session_authorization", kind: "string", def: "", readonly: true, report: true, category: "Preset Options", doc: "The session's role."},
	{name: "max_identifier_length", kind: "integer", def: "63", min: 63, max: 63, readonly: true, category: "Preset Options", doc: "Bytes of an identifier that are significant."},
	{name: "lc_collate", kind: "string", def: "C", readonly: true, category: "Preset Options", doc: "Text is compared by its bytes."},
	{name: "lc_ctype", kind: "string", def: "C.UTF-8", readonly: true, category: "Preset Options", doc: "Characters are Unicode."},
}, acceptedSettings()...)

func checkZone(v string) (string, error) {
	if strings.EqualFold(v, "default") || strings.EqualFold(v, "local") {
		return "UTC", nil
	}
	loc, err := loadZone(v)
	if err != nil {
		return "", err
	}
	_ = loc
	return v, nil
}

func loadZone(v string) (*time.Location, error) {
	return types.ParseSessionZone(v)
}

// findSetting finds a setting by name in any case.
func findSetting(name string) *setting {
	for i := range settingsTable {
		if strings.EqualFold(settingsTable[i].name, name) {
			return &settingsTable[i]
		}
	}
	switch strings.ToLower(name) {
	case "time zone":
		return findSetting("TimeZone")
	case "session characteristics":
		return nil
	}
	return nil
}

// unknownSetting is 42704 with the nearest name.
func unknownSetting(name string) error {
	e := pgerr.New(pgerr.UndefinedObject, "unrecognized configuration parameter %q", name)
	if s := SuggestSetting(name); s != "" {
		e = e.WithHint("Perhaps you meant %q.", s)
	}
	return e
}

// customSetting is a setting that an application makes up: a name with a prefix,
// such as app.user. nil for other names, and those of our own prefix.
func customSetting(name string) *setting {
	prefix, rest, ok := strings.Cut(name, ".")
	if !ok || prefix == "" || rest == "" || strings.EqualFold(prefix, "volley") {
		return nil
	}
	return &setting{name: strings.ToLower(name), kind: "string", category: "Customized Options"}
}

// SuggestSetting returns the setting whose name is nearest to name, "" if none is near.
func SuggestSetting(name string) string {
	best, dist := "", len(name)/3+2
	for _, s := range settingsTable {
		if d := distance(strings.ToLower(name), strings.ToLower(s.name)); d < dist {
			best, dist = s.name, d
		}
	}
	return best
}

// distance is the Levenshtein distance.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		prev := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			prev, row[j] = row[j], min(row[j]+1, row[j-1]+1, prev+cost)
		}
	}
	return row[len(b)]
}

// normalise checks a value and writes it the way SHOW prints it.
func (s *setting) normalise(v string) (string, error) {
	bad := func(hint string) error {
		e := pgerr.New(pgerr.InvalidParameterValue, "invalid value for parameter %q: %q", s.name, v)
		if hint != "" {
			e = e.WithHint("%s", hint)
		}
		return e
	}
	switch s.kind {
	case "bool":
		b, err := types.ParseBool(v)
		if err != nil {
			return "", pgerr.New(pgerr.InvalidParameterValue, "parameter %q requires a Boolean value", s.name)
		}
		v = map[bool]string{true: "on", false: "off"}[b]
	case "integer":
		n, err := parseUnits(v, s.unit)
		if err != nil {
			return "", bad(err.Error())
		}
		if n < s.min || n > s.max {
			return "", pgerr.New(pgerr.InvalidParameterValue, "%d is outside the valid range for parameter %q (%d .. %d)", n, s.name, s.min, s.max)
		}
		v = strconv.FormatInt(n, 10)
	case "enum":
		ok := false
		for _, e := range s.enum {
			if strings.EqualFold(e, v) {
				v, ok = e, true
			}
		}
		if !ok {
			return "", bad("Available values: " + strings.Join(s.enum, ", ") + ".")
		}
	}
	if s.check != nil {
		return s.check(v)
	}
	return v, nil
}

// ParseBytes reads an amount of memory as settings have it: 64MB, 2GB.
func ParseBytes(v string) (int64, error) { return parseUnits(v, "B") }

// parseUnits reads an integer with an optional unit: 64MB, 2s.
func parseUnits(v, unit string) (int64, error) {
	v = strings.TrimSpace(v)
	i := len(v)
	for i > 0 && (v[i-1] < '0' || v[i-1] > '9') {
		i--
	}
	num, suffix := strings.TrimSpace(v[:i]), strings.TrimSpace(v[i:])
	n, err := strconv.ParseInt(num, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("an integer is expected")
	}
	units := map[string]map[string]int64{
		"B":  {"": 1, "b": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30, "tb": 1 << 40},
		"ms": {"": 1, "ms": 1, "s": 1000, "min": 60000, "h": 3600000, "d": 86400000},
		"":   {"": 1},
	}[unit]
	f, ok := units[strings.ToLower(suffix)]
	if !ok {
		return 0, fmt.Errorf("unknown unit %q", suffix)
	}
	if n != 0 && f > (1<<62)/max(n, -n) {
		return 0, fmt.Errorf("the value is too large")
	}
	return n * f, nil
}

// show prints a value as SHOW does: with its unit.
func (s *setting) show(v string) string {
	if s.kind != "integer" || s.unit == "" || v == "0" {
		return v
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		return v
	}
	type step struct {
		f int64
		u string
	}
	steps := []step{{1 << 30, "GB"}, {1 << 20, "MB"}, {1 << 10, "kB"}, {1, "B"}}
	if s.unit == "ms" {
		steps = []step{{86400000, "d"}, {3600000, "h"}, {60000, "min"}, {1000, "s"}, {1, "ms"}}
	}
	for _, st := range steps {
		if n%st.f == 0 {
			return strconv.FormatInt(n/st.f, 10) + st.u
		}
	}
	return v
}

// sessionSettings are a session's values with where each came from.
type sessionSettings struct {
	value  map[string]string // by lower-case name
	source map[string]string
	reset  map[string]string // what RESET goes back to
}

func newSettings() *sessionSettings {
	s := &sessionSettings{value: map[string]string{}, source: map[string]string{}, reset: map[string]string{}}
	for _, d := range settingsTable {
		k := strings.ToLower(d.name)
		s.value[k], s.reset[k], s.source[k] = d.def, d.def, "default"
	}
	return s
}

func (s *sessionSettings) get(name string) string { return s.value[strings.ToLower(name)] }

// shown is a setting as SHOW prints it.
func (s *sessionSettings) shown(name string) (string, bool) {
	d := findSetting(name)
	if d == nil {
		v, ok := s.value[strings.ToLower(name)] // one that the client made up
		return v, ok
	}
	return d.show(s.get(d.name)), true
}

func (s *sessionSettings) int(name string) int64 {
	n, _ := strconv.ParseInt(s.get(name), 10, 64)
	return n
}

// set checks and stores a value; start makes it the value RESET returns to.
func (s *sessionSettings) set(name, v, source string, start bool) (*setting, error) {
	d := findSetting(name)
	if d == nil {
		d = customSetting(name)
	}
	if d == nil {
		return nil, unknownSetting(name)
	}
	if d.readonly {
		return nil, pgerr.New(pgerr.CantChangeRuntimeParam, "parameter %q cannot be changed", d.name)
	}
	if d.server && (!start || source == "client" || source == "user" || source == "database") {
		return nil, pgerr.New(pgerr.CantChangeRuntimeParam, "parameter %q cannot be changed without restarting the server", d.name)
	}
	n, err := d.normalise(v)
	if err != nil {
		return nil, err
	}
	k := strings.ToLower(d.name)
	s.value[k], s.source[k] = n, source
	if start {
		s.reset[k] = n
	}
	return d, nil
}

func (s *sessionSettings) clone() *sessionSettings {
	c := newSettings()
	for k, v := range s.value {
		c.value[k], c.source[k], c.reset[k] = v, s.source[k], s.reset[k]
	}
	return c
}

// rows are the session's pg_settings.
func (s *sessionSettings) rows() []pgcatalog.Setting {
	var out []pgcatalog.Setting
	for _, d := range settingsTable {
		k := strings.ToLower(d.name)
		ctx := "user"
		if d.readonly {
			ctx = "internal"
		} else if d.server {
			ctx = "postmaster"
		}
		r := pgcatalog.Setting{Name: d.name, Value: s.value[k], Unit: d.unit, Category: d.category, ShortDesc: d.doc,
			Context: ctx, VarType: d.kind, Source: s.source[k], EnumVals: d.enum, BootVal: d.def, ResetVal: s.reset[k]}
		if d.kind == "integer" {
			r.MinVal, r.MaxVal = strconv.FormatInt(d.min, 10), strconv.FormatInt(d.max, 10)
		}
		out = append(out, r)
	}
	sort.Slice(out, func(i, j int) bool { return strings.ToLower(out[i].Name) < strings.ToLower(out[j].Name) })
	return out
}
