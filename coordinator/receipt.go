package coordinator

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	pg "github.com/pganalyze/pg_query_go/v6"
	"github.com/zeebo/xxh3"

	"github.com/volleydb/volley/catalog"
	"github.com/volleydb/volley/catalog/pgcatalog"
	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/storage"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// Bounds of what a receipt holds: bytes of a statement's text, of its parameters
// and names of files. A receipt beyond them says so and cannot be replayed.
const (
	maxReceiptText  = 256 << 10
	maxReceiptFiles = 4096
)

// receipt is what is kept of a statement that ran a plan: all that its rows
// depended on. It is stored, and given by volley.query_receipt, as JSON.
type receipt struct {
	ID        string            `json:"query_id"`
	Command   string            `json:"command"`
	Statement string            `json:"statement"`
	Dialect   string            `json:"dialect,omitempty"` // mysql, or none
	Params    []receiptParam    `json:"parameters"`
	User      string            `json:"user"`
	Database  string            `json:"database"`
	Settings  map[string]string `json:"settings"` // those that are not the default, and search_path
	Seed      uint64            `json:"seed"`
	Now       time.Time         `json:"now"`
	Functions []receiptFunction `json:"functions"`
	Inputs    []receiptInput    `json:"inputs"`
	Engine    string            `json:"engine_version"`
	Workers   int               `json:"workers"` // remote ones that there were, 0 = embedded
	Started   time.Time         `json:"started"`
	Millis    float64           `json:"duration_ms"`
	Columns   []receiptColumn   `json:"columns"`
	State     string            `json:"state"` // stateFinished, …
	Error     *receiptError     `json:"error,omitempty"`
	Tag       string            `json:"tag,omitempty"`
	Rows      *int64            `json:"rows"` // nil unless all were read
	Hash      string            `json:"result_hash,omitempty"`
	// Incomplete says what the receipt lacks, "" when it lacks nothing.
	Incomplete string `json:"incomplete,omitempty"`
}

// The states of a receipt: all rows were read, the statement failed, or the client
// did not want all rows.
const (
	stateFinished  = "finished"
	stateFailed    = "failed"
	stateAbandoned = "abandoned"
)

type receiptParam struct {
	Type  string     `json:"type"`
	Value *string    `json:"value"`
	Def   types.Type `json:"def"`
}

type receiptColumn struct {
	Name string     `json:"name"`
	Type string     `json:"type"`
	Def  types.Type `json:"def"`
}

type receiptError struct {
	SQLState string `json:"sqlstate"`
	Message  string `json:"message"`
}

// receiptFunction is a version of a user's function that was called.
type receiptFunction struct {
	Name      string `json:"name"` // signature
	OID       uint32 `json:"oid"`
	Schema    string `json:"schema"`
	Function  string `json:"function"`
	Version   int    `json:"version"`
	Language  string `json:"language"`
	Digest    string `json:"digest,omitempty"`
	Symbol    string `json:"symbol,omitempty"`
	Source    string `json:"source,omitempty"` // of a function on a server: its address
	SQLHash   string `json:"sql_hash,omitempty"`
	Canary    string `json:"canary,omitempty"` // as volley.canary is written
	CanaryVer int    `json:"canary_version,omitempty"`
	CanaryDig string `json:"canary_digest,omitempty"`
	Share     uint32 `json:"canary_share,omitempty"` // in ten-thousandths
	// Current says that the name alone meant this version, rather than "f@2" or a
	// setting.
	Current bool `json:"current"`
	// Fingerprint is of all that the version's results depend on besides.
	Fingerprint string `json:"fingerprint"`
	CanaryPrint string `json:"canary_fingerprint,omitempty"`
	// Def and CanaryDef are the versions themselves, so that it does not matter what
	// becomes of the function.
	Def       *catalog.FunctionDef `json:"def,omitempty"`
	CanaryDef *catalog.FunctionDef `json:"canary_def,omitempty"`
}

// The kinds of receiptInput.
const (
	inputTable   = "table"
	inputView    = "view"
	inputCatalog = "catalog"
	inputFiles   = "files"
)

// receiptInput is something that was read.
type receiptInput struct {
	Kind string `json:"kind"`

	// Of relations.
	Schema string `json:"schema,omitempty"`
	Name   string `json:"name,omitempty"`
	OID    uint32 `json:"oid,omitempty"`
	SQL    string `json:"sql,omitempty"` // of a view

	// Of tables. Snapshot names the list of files, which are never changed.
	Snapshot string           `json:"snapshot,omitempty"`
	Rows     int64            `json:"rows,omitempty"`
	Bytes    int64            `json:"bytes,omitempty"`
	Paths    []string         `json:"paths,omitempty"` // compressed, see compressPaths
	Columns  []catalog.Column `json:"columns,omitempty"`

	// Of file functions.
	Format  string        `json:"format,omitempty"`
	Pattern string        `json:"pattern,omitempty"`
	Files   []receiptFile `json:"files,omitempty"`
}

// receiptFile is a file outside of the catalog.
type receiptFile struct {
	Path     string    `json:"path"`
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified"`
	Checksum string    `json:"checksum,omitempty"` // of a Parquet file's footer
}

// recorder collects a receipt while a statement is planned and runs. It costs
// pointers; the JSON is made later, by the store.
type recorder struct {
	x        *statement
	started  time.Time
	settings map[string]string
	// skip is set when the statement asks for receipts, and then has none: by any
	// goroutine.
	skip atomic.Bool

	relations  []*catalog.Relation
	virtual    []string
	candidates []candidate
	calls      []calledVersion
	files      []plannedFiles

	runs    int
	seed    uint64
	workers int
	fields  []vector.Field
	hash    resultHash
	ended   bool
}

// candidate is a version of a function that a name could mean.
type candidate struct {
	schema, name string
	def, canary  *catalog.FunctionDef
	share        uint32
	current      bool
}

type calledVersion struct {
	oid     uint32
	version int
}

// plannedFiles are the files of one call of a file function.
type plannedFiles struct {
	format, pattern string
	paths           []string
	splits          []*proto.Split
	parquet         []storage.FileID
}

// record starts a receipt for a statement of a kind that runs plans.
func (x *statement) record() {
	if x.s.settings.get("volley.receipts") != "on" {
		return
	}
	switch x.st.Node.GetNode().(type) {
	case *pg.Node_SelectStmt, *pg.Node_InsertStmt, *pg.Node_UpdateStmt, *pg.Node_DeleteStmt, *pg.Node_MergeStmt,
		*pg.Node_CreateTableAsStmt, *pg.Node_CopyStmt, *pg.Node_ExecuteStmt, *pg.Node_DeclareCursorStmt:
		x.rec = &recorder{x: x, started: time.Now(), settings: x.s.settings.changed()}
	}
}

// clientSettings are those that no row depends on.
var clientSettings = map[string]bool{"application_name": true, "client_min_messages": true, "statement_timeout": true, "lock_timeout": true,
	"idle_in_transaction_session_timeout": true, "idle_session_timeout": true, "transaction_isolation": true, "transaction_read_only": true,
	"default_transaction_isolation": true, "default_transaction_read_only": true, "volley.receipts": true, "volley.dialect": true}

// bootSettings are those that rows may depend on.
var bootSettings = func() (list []struct{ key, def string }) {
	for _, d := range settingsTable {
		if k := strings.ToLower(d.name); !d.readonly && !d.server && !clientSettings[k] {
			list = append(list, struct{ key, def string }{k, d.def})
		}
	}
	return list
}()

// changed are the settings that rows may depend on and that are not the default,
// and the search path.
func (s *sessionSettings) changed() map[string]string {
	out := map[string]string{"search_path": s.value["search_path"]}
	for _, b := range bootSettings {
		if v := s.value[b.key]; v != b.def {
			out[b.key] = v
		}
	}
	if len(s.value) > len(settingsTable) { // the client has made some up
		for k, v := range s.value {
			if findSetting(k) == nil {
				out[k] = v
			}
		}
	}
	return out
}

func (r *recorder) relation(rel *catalog.Relation) {
	if r != nil && !slices.Contains(r.relations, rel) {
		r.relations = append(r.relations, rel)
	}
}

func (r *recorder) catalogTable(name string) {
	if r != nil && !slices.Contains(r.virtual, name) {
		r.virtual = append(r.virtual, name)
	}
}

// candidate notes a version that a name could mean; which one was chosen comes
// with called.
func (r *recorder) candidate(schema, name string, def *catalog.FunctionDef, f *function.Function, canary *catalog.FunctionDef, current bool) {
	if r == nil {
		return
	}
	c := candidate{schema: schema, name: name, def: def, current: current}
	if f.Canary != nil && canary != nil {
		c.canary, c.share = canary, f.Canary.Share
	}
	if !slices.Contains(r.candidates, c) {
		r.candidates = append(r.candidates, c)
	}
}

// called notes that a statement calls a version.
func (r *recorder) called(f *function.Function) {
	if r == nil {
		return
	}
	c := calledVersion{oid: f.OID}
	if f.UDF != nil && f.UDF.Version > 0 {
		c.version = f.UDF.Version
	} else { // sql/oid@version and agg/oid@version
		c.version, _ = strconv.Atoi(f.ID[strings.LastIndexByte(f.ID, '@')+1:])
	}
	if !slices.Contains(r.calls, c) {
		r.calls = append(r.calls, c)
	}
}

func (r *recorder) planned(f plannedFiles) {
	if r != nil {
		r.files = append(r.files, f)
	}
}

// ran notes that a plan was started.
func (r *recorder) ran(seed uint64, remote int) {
	if r == nil {
		return
	}
	if r.runs++; r.runs == 1 {
		r.seed, r.workers = seed, remote
	}
}

// end makes the receipt and gives it to the store.
func (r *recorder) end(state string, failure error, tag string) {
	if r == nil || r.ended {
		return
	}
	r.ended = true
	if r.runs == 0 || r.skip.Load() {
		return
	}
	x := r.x
	x.s.lastQuery = x.id
	command := "SELECT"
	if x.st.Node.GetSelectStmt() == nil {
		command = statementName(x.st)
	}
	rc := &receipt{ID: x.id, Command: command, Statement: x.st.SQL, User: x.s.o.User, Database: x.s.o.Database, Settings: r.settings, Seed: r.seed,
		Now: time.UnixMicro(x.fc.Now).UTC(), Engine: Version, Workers: r.workers, Started: r.started.UTC(),
		Millis: float64(time.Since(r.started).Microseconds()) / 1000, State: state, Tag: tag}
	if state == stateFinished && r.fields != nil {
		n := r.hash.rows
		rc.Rows, rc.Hash = &n, r.hash.String()
	}
	if x.st.Translated {
		rc.Dialect = "mysql"
	}
	if failure != nil {
		e := pgerr.From(failure)
		rc.Error = &receiptError{e.Code, e.Message}
	}
	x.s.c.receipts.add(&receiptEntry{head: rc, raw: r})
}

// complete fills in what end left to the store. It is called once, and touches
// nothing of the statement that still changes.
func (r *recorder) complete(rc *receipt) {
	x := r.x
	if len(rc.Statement) > maxReceiptText {
		rc.Statement, rc.Incomplete = strings.ToValidUTF8(rc.Statement[:maxReceiptText], ""), "the statement is too long"
	}
	rc.Params, rc.Functions, rc.Inputs, rc.Columns = []receiptParam{}, []receiptFunction{}, []receiptInput{}, []receiptColumn{}
	size := 0
	for i, c := range x.params {
		p := receiptParam{Type: x.ptypes[i].String(), Def: x.ptypes[i]}
		if c.V != nil {
			v := string(vector.AppendText(nil, c.V, 0, &types.TextOptions{Location: time.UTC, ExtraFloatDigits: 1}))
			if size += len(v); size > maxReceiptText {
				rc.Incomplete = "the parameters are too long"
				break
			}
			p.Value = &v
		}
		rc.Params = append(rc.Params, p)
	}
	for _, f := range r.fields {
		rc.Columns = append(rc.Columns, receiptColumn{f.Name, f.Type.String(), f.Type})
	}
	for _, c := range r.candidates {
		if slices.Contains(r.calls, calledVersion{c.def.OID, c.def.Version}) {
			rc.Functions = appendFunction(rc.Functions, c)
		}
	}
	for _, rel := range r.relations {
		in := receiptInput{Kind: inputTable, Schema: rel.Schema, Name: rel.Name, OID: rel.OID, SQL: rel.SQL, Columns: rel.Columns}
		if rel.Kind == catalog.KindView {
			in.Kind = inputView
		} else {
			in.Rows, in.Bytes, in.Snapshot = rel.Rows, rel.Bytes, snapshotID(rel.Files)
			for _, f := range rel.Files {
				in.Paths = append(in.Paths, f.Path)
			}
			if in.Paths = compressPaths(in.Paths); len(in.Paths) > maxReceiptFiles {
				in.Paths, rc.Incomplete = nil, "there are too many files"
			}
		}
		rc.Inputs = append(rc.Inputs, in)
	}
	for _, v := range r.virtual {
		schema, name, _ := strings.Cut(v, ".")
		rc.Inputs = append(rc.Inputs, receiptInput{Kind: inputCatalog, Schema: schema, Name: name})
	}
	for _, f := range r.files {
		in := receiptInput{Kind: inputFiles, Format: f.format, Pattern: f.pattern}
		if len(f.paths) > maxReceiptFiles {
			rc.Incomplete = "there are too many files"
		} else {
			in.Files = f.identities()
		}
		rc.Inputs = append(rc.Inputs, in)
	}
}

func appendFunction(list []receiptFunction, c candidate) []receiptFunction {
	d := c.def
	for i := range list {
		if list[i].OID == d.OID && list[i].Version == d.Version {
			// The same version by two names: "f@1" and f.
			if list[i].Current = list[i].Current || c.current; c.canary == nil {
				return list
			}
			list = slices.Delete(list, i, i+1)
			c.current = true
			break
		}
	}
	f := receiptFunction{Name: c.schema + "." + d.Signature(), OID: d.OID, Schema: c.schema, Function: c.name, Version: d.Version, Language: d.Language,
		Digest: d.Digest, Symbol: d.Symbol, Current: c.current, Fingerprint: fingerprint(d), Def: kept(d)}
	if d.Language == "grpc" {
		f.Source = d.Source
	}
	if d.Body != "" {
		f.SQLHash = hex64(xxh3.HashString(d.Body))
	}
	if c.canary != nil {
		f.CanaryVer, f.CanaryDig, f.Share, f.CanaryPrint = c.canary.Version, c.canary.Digest, c.share, fingerprint(c.canary)
		f.CanaryDef = kept(c.canary)
		f.Canary = (&catalog.FunctionDef{CanaryVersion: c.canary.Version, CanaryShare: c.share}).Canary()
	}
	return append(list, f)
}

// kept is a version without what no call of it needs.
func kept(d *catalog.FunctionDef) *catalog.FunctionDef {
	c := *d
	if c.Comment, c.CreatedBy = "", ""; c.Digest != "" || c.Body != "" {
		c.Source = "" // long, and in the artifact
	}
	return &c
}

// version is a version of the function as it was.
func (f *receiptFunction) version(canary bool) *catalog.FunctionDef {
	d := f.Def
	if canary {
		d = f.CanaryDef
	}
	if d == nil {
		return nil
	}
	c := *d
	c.OID, c.Schema, c.Name = f.OID, f.Schema, f.Function
	return &c
}

// fingerprint is of all of a version that its results depend on.
func fingerprint(d *catalog.FunctionDef) string {
	c := *d
	c.Owner, c.Comment, c.CreatedBy, c.Created = "", "", "", time.Time{}
	c.Pinned, c.CanaryVersion, c.CanaryShare, c.MemoryLimit, c.Timeout, c.Rows = 0, 0, 0, 0, 0, 0
	if c.Body != "" {
		c.Cost = 0 // of others it moves calls to other tasks, where random() gives other numbers
	}
	b, err := json.Marshal(&c)
	if err != nil {
		return "" // strings and numbers only
	}
	return hex64(xxh3.Hash(b))
}

// snapshotID names a list of files of a table.
func snapshotID(files []catalog.File) string {
	h := xxh3.New()
	for _, f := range files {
		_, _ = h.WriteString(f.Path) // never fails
		_, _ = h.WriteString("\n")
	}
	return hex64(h.Sum64())
}

func hex64(n uint64) string {
	s := strconv.FormatUint(n, 16)
	return strings.Repeat("0", 16-len(s)) + s
}

// identities are the files as planning found them.
func (f *plannedFiles) identities() []receiptFile {
	found := map[string]receiptFile{}
	for _, s := range f.splits {
		if _, ok := found[s.Path]; !ok {
			found[s.Path] = receiptFile{Path: s.Path, Size: s.Size, Modified: time.Unix(0, s.MtimeNs).UTC()}
		}
	}
	for _, id := range f.parquet {
		found[id.Path] = receiptFile{Path: id.Path, Size: id.Size, Modified: time.Unix(0, id.MtimeNs).UTC(), Checksum: hex64(id.Footer)}
	}
	out := make([]receiptFile, 0, len(f.paths))
	for _, p := range f.paths {
		rf, ok := found[p]
		if !ok || rf.Modified.UnixNano() == 0 {
			now, err := statFile(p) // one without rows has no splits
			if err != nil {
				now = receiptFile{Path: p, Size: -1}
			}
			rf = now
		}
		out = append(out, rf)
	}
	return out
}

// compressPaths writes runs of numbered files, "tables/16385/3.parquet" to
// "…/9.parquet", as one: "tables/16385/3-9.parquet".
func compressPaths(paths []string) []string {
	var out []string
	for i := 0; i < len(paths); {
		dir, n, ext, ok := numbered(paths[i])
		j := i + 1
		for ok && j < len(paths) && paths[j] == dir+strconv.FormatInt(n+int64(j-i), 10)+ext {
			j++
		}
		if j-i > 1 {
			out = append(out, dir+strconv.FormatInt(n, 10)+"-"+strconv.FormatInt(n+int64(j-i)-1, 10)+ext)
		} else {
			out = append(out, paths[i])
		}
		i = j
	}
	return out
}

// expandPaths undoes compressPaths.
func expandPaths(paths []string) []string {
	var out []string
	for _, p := range paths {
		slash := strings.LastIndexByte(p, '/') + 1
		name, ext, _ := strings.Cut(p[slash:], ".")
		from, to, isRun := strings.Cut(name, "-")
		a, err1 := strconv.ParseInt(from, 10, 64)
		b, err2 := strconv.ParseInt(to, 10, 64)
		if !isRun || err1 != nil || err2 != nil {
			out = append(out, p)
			continue
		}
		for n := a; n <= b; n++ {
			out = append(out, p[:slash]+strconv.FormatInt(n, 10)+"."+ext)
		}
	}
	return out
}

func numbered(p string) (dir string, n int64, ext string, ok bool) {
	slash := strings.LastIndexByte(p, '/') + 1
	name, ext, dot := strings.Cut(p[slash:], ".")
	n, err := strconv.ParseInt(name, 10, 64)
	if err != nil || !dot || strconv.FormatInt(n, 10) != name {
		return "", 0, "", false
	}
	return p[:slash], n, "." + ext, true
}

// copied ends the receipt of a COPY from or to the client.
func (r *recorder) copied(res *Result, err error) {
	switch {
	case r == nil:
	case err != nil:
		r.end(stateFailed, err, "")
	default:
		r.end(stateFinished, nil, res.tag())
	}
}

// openReceipts reads the receipts of former runs and starts keeping files for them.
func (c *Coordinator) openReceipts() (err error) {
	c.receipts, err = openReceipts(c.cfg.Receipts, int(c.defaults.int("volley.receipts_kept")), func() {
		if err := c.cfg.Store.ExpireRetired(context.Background()); err != nil {
			c.cfg.Log.Error("old data files could not be removed", "err", err)
		}
	}, c.cfg.Log)
	if err != nil {
		return err
	}
	keep := time.Duration(c.defaults.int("volley.snapshot_retention")) * time.Millisecond
	if c.defaults.get("volley.receipts") != "on" || c.cfg.Receipts == "" {
		keep = 0
	}
	return c.cfg.Store.SetRetention(keep, c.defaults.int("volley.snapshot_retention_size"))
}

// PinnedArtifacts are the digests of artifacts that receipts name: without them
// the queries cannot be replayed.
func (c *Coordinator) PinnedArtifacts() map[string]bool { return c.receipts.digests() }

// settingsOf are the settings that functions of the statement ask for, and what
// they ask for under names of their own.
func (x *statement) settingsOf(settings *sessionSettings) func(name string) (string, bool) {
	return func(name string) (string, bool) {
		if name == "volley.last_query_id" {
			x.noReceipt()
			return x.last, true
		}
		return x.s.functionSetting(settings, name)
	}
}

// noReceipt is called when the statement asks about receipts: it gets none, so that
// the last query stays the one that the user means.
func (x *statement) noReceipt() {
	if x.rec != nil {
		x.rec.skip.Store(true)
	}
}

// receiptRows are the rows of volley.query_receipts that the user may see.
func (x *statement) receiptRows() []pgcatalog.QueryReceipt {
	x.noReceipt()
	all := x.superuser()
	return x.s.c.receipts.rows(func(user string) bool { return all || user == x.s.o.User })
}

// receiptJSON is a receipt as volley.query_receipt gives it.
func (x *statement) receiptJSON(id string) (string, error) {
	x.noReceipt()
	rc, err := x.receiptOf(id)
	if err != nil {
		return "", err
	}
	b, err := json.Marshal(rc.public())
	if err != nil {
		return "", pgerr.Wrap(err, pgerr.InternalError, "the receipt of query %s", id)
	}
	return string(b), nil
}
