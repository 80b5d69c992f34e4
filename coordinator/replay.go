package coordinator

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/volleydb/volley/catalog"
	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/parser"
	"github.com/volleydb/volley/parser/mysql"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/planner"
	"github.com/volleydb/volley/storage"
	"github.com/volleydb/volley/vector"
)

// replay is a query that is run once more as its receipt says: its planner is told
// of the relations, files and versions of functions of that time, and of nothing
// else.
type replay struct {
	x      *statement // the CALL
	rc     *receipt
	caller string
	tables map[uint32]*catalog.Relation // as they were, by OID
	// defs are the versions that the query called, and their canaries: one value for
	// each, as in a snapshot.
	defs, canaries []*catalog.FunctionDef
	path           []string // search path of that time
}

// mayRead is 42501 unless the session's user may see the receipts of a user.
func (x *statement) mayRead(id, user string) error {
	if user == x.s.o.User || x.superuser() {
		return nil
	}
	return pgerr.New(pgerr.InsufficientPrivilege, "permission denied for the receipt of query %s", id).
		WithDetail("Only the role that ran the query and superusers may use it.")
}

func (x *statement) superuser() bool {
	r := x.snap.Role(x.s.o.User)
	return r != nil && r.Superuser
}

// receiptOf finds the receipt of a query, 42704 if there is none.
func (x *statement) receiptOf(id string) (*receipt, error) {
	rc := x.s.c.receipts.find(id)
	if rc == nil {
		e := pgerr.New(pgerr.UndefinedObject, "there is no receipt of query %q", id)
		if x.s.settings.get("volley.receipts") != "on" {
			return nil, e.WithHint("The setting volley.receipts is off.")
		}
		return nil, e.WithHint("The view volley.query_receipts has those of the last %s statements (volley.receipts_kept).", x.s.settings.get("volley.receipts_kept"))
	}
	return rc, x.mayRead(id, rc.User)
}

// findReplay finds what CALL volley.replay(id) is to run, if the rights are there.
func (x *statement) findReplay(arg *vector.Vector) (*replay, error) {
	if arg.IsNull(0) {
		return nil, pgerr.New(pgerr.NullValueNotAllowed, "the id of a query must not be null")
	}
	rc, err := x.receiptOf(arg.StringAt(0))
	if err != nil {
		return nil, err
	}
	if rc.Command != "SELECT" && rc.Command != "DECLARE CURSOR" {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "replay of %s is not supported", rc.Command).
			WithDetail("Query %s is not a SELECT.", rc.ID)
	}
	if rc.Incomplete != "" {
		return nil, cannotReplay(rc, "Its receipt is incomplete: "+rc.Incomplete+".")
	}
	return &replay{x: x, rc: rc, caller: x.s.o.User, path: splitNames(rc.Settings["search_path"])}, nil
}

// cannotReplay is 55000, with what has changed since.
func cannotReplay(rc *receipt, details ...string) *pgerr.Error {
	return pgerr.New(pgerr.ObjectNotInPrerequisiteState, "query %s cannot be replayed", rc.ID).WithDetail("%s", strings.Join(details, "\n"))
}

// fields are the columns that the query had.
func (rp *replay) fields() []vector.Field {
	out := make([]vector.Field, len(rp.rc.Columns))
	for i, c := range rp.rc.Columns {
		out[i] = vector.Field{Name: c.Name, Type: c.Def}
	}
	return out
}

// shadow is a session as the query's was.
func (rp *replay) shadow() *Session {
	s := rp.x.s
	settings := newSettings()
	for k := range clientSettings {
		settings.value[k] = s.settings.value[k] // of now: time limits, the client's name
	}
	for k, v := range rp.rc.Settings {
		settings.value[k] = v
	}
	o := SessionOptions{User: rp.rc.User, Database: rp.rc.Database, Settings: s.o.Settings, OnNotice: s.o.OnNotice}
	settings.value["session_authorization"] = o.User
	if r := rp.x.snap.Role(o.User); r == nil || !r.Superuser {
		settings.value["is_superuser"] = "off"
	}
	settings.value["volley.receipts"] = "off"
	return &Session{c: s.c, o: o, settings: settings, pid: s.pid, started: s.started}
}

// run runs the query. Its rows come as they are computed; at their end they are
// compared with the receipt, and an error says that they are others.
func (rp *replay) run(ctx context.Context) (*Result, error) {
	rc := rp.rc
	st, err := rc.parse()
	if err != nil {
		return nil, cannotReplay(rc, "Its text does not parse: "+pgerr.From(err).Message+".")
	}
	y := rp.shadow().begin(ctx, st)
	release, err := rp.pin(y.snap)
	if err != nil {
		y.close()
		return nil, err
	}
	end := func() { y.close(); release() }
	y.rp = rp
	y.fc.Now, y.fc.User, y.view.User = rc.Now.UnixMicro(), rc.User, rc.User
	y.params = []*planner.Const{}
	for i, p := range rc.Params {
		v := Param{Null: p.Value == nil, IsText: true}
		if p.Value != nil {
			v.Value = []byte(*p.Value)
		}
		c, err := y.paramValue(i, p.Def, v)
		if err != nil {
			end()
			return nil, err
		}
		y.params, y.ptypes = append(y.params, c), append(y.ptypes, p.Def)
	}
	node := st.Node
	if d := node.GetDeclareCursorStmt(); d != nil {
		node = d.Query
	} else if p := node.GetPrepareStmt(); p != nil {
		node = p.Query // of EXECUTE, whose statement's text is that of PREPARE
	}
	if rc.Engine != Version {
		rp.x.s.notice("NOTICE", "00000", fmt.Sprintf("query %s was run by Volley %s, and this is %s", rc.ID, rc.Engine, Version), "")
	}
	r, err := y.query(ctx, node)
	if err != nil {
		end()
		return nil, err
	}
	r.Setting, r.RegName = y.s.Setting, y.s.RegName
	next, cl := r.next, r.close
	var hash resultHash
	r.next = func(ctx context.Context) (*vector.Batch, error) {
		b, err := next(ctx)
		if err != nil {
			return nil, err
		}
		if b != nil {
			b = b.Dense()
			hash.add(b)
			return b, nil
		}
		return nil, rp.compare(&hash)
	}
	r.tag = func() string { return "CALL" }
	r.close = func() {
		if cl != nil {
			cl()
		}
		end()
	}
	return r, nil
}

// parse parses the statement, in its dialect.
func (rc *receipt) parse() (*parser.Statement, error) {
	parse := parser.Parse
	if rc.Dialect == "mysql" {
		parse = mysql.Parse
	}
	list, err := parse(rc.Statement)
	if err == nil && len(list) != 1 {
		err = pgerr.New(pgerr.InternalError, "it has %d statements", len(list))
	}
	if err != nil {
		return nil, err
	}
	return list[0], nil
}

// compare is 55000 unless all rows have come again.
func (rp *replay) compare(h *resultHash) error {
	rc := rp.rc
	if rc.Rows == nil || h.rows == *rc.Rows && h.String() == rc.Hash {
		return nil
	}
	detail := fmt.Sprintf("It had %d rows with the hash %s; now there were %d with %s.", *rc.Rows, rc.Hash, h.rows, h.String())
	return pgerr.New(pgerr.ObjectNotInPrerequisiteState, "the replay of query %s gave other rows than the query", rc.ID).WithDetail("%s", detail).
		WithHint("The receipt pins settings, seed, time, versions of functions and inputs. A function that depends on something else, such as a server or clock_timestamp(), does not repeat.")
}

// pin finds everything the query used and reports all that is not there any more.
// release lets old files of tables go again.
func (rp *replay) pin(snap *catalog.Snapshot) (release func(), err error) {
	rc := rp.rc
	var gone []string
	var hint string
	var releases []func()
	release = func() {
		for _, f := range releases {
			f()
		}
	}
	for _, f := range rc.Functions {
		for _, d := range []string{f.Digest, f.CanaryDig} {
			if d != "" {
				releases = append(releases, rp.x.s.c.cfg.Artifacts.Pin(d))
			}
		}
		gone = append(gone, rp.checkFunction(f)...)
		rp.defs, rp.canaries = append(rp.defs, f.version(false)), append(rp.canaries, f.version(true))
	}
	rp.tables = map[uint32]*catalog.Relation{}
	for _, in := range rc.Inputs {
		switch in.Kind {
		case inputCatalog:
			gone = append(gone, fmt.Sprintf("It read %s.%s, which shows the present only.", in.Schema, in.Name))
		case inputFiles:
			for _, f := range in.Files {
				if d := changedFile(in.Format, f); d != "" {
					gone = append(gone, d)
				}
			}
		case inputTable:
			rel, free, d := rp.table(snap, in)
			if releases = append(releases, free); d != "" {
				gone = append(gone, d)
				hint = "Files that tables no longer have are kept for the time volley.snapshot_retention, as long as they take no more than volley.snapshot_retention_size."
			}
			rp.tables[in.OID] = rel
		}
	}
	if len(gone) > 0 {
		release()
		e := cannotReplay(rc, gone...)
		if hint != "" {
			e = e.WithHint("%s", hint)
		}
		return nil, e
	}
	return release, nil
}

// checkFunction looks for the artifacts of a function. The rights to call it are
// checked when the query is planned.
func (rp *replay) checkFunction(f receiptFunction) (gone []string) {
	check := func(d *catalog.FunctionDef) {
		if d == nil || d.Digest == "" {
			return
		}
		if _, err := rp.x.s.c.cfg.Artifacts.Get(d.Digest); err != nil {
			gone = append(gone, fmt.Sprintf("The artifact %s of version %d of function %s is gone.", d.Digest, d.Version, f.Name))
		}
	}
	if f.Def == nil {
		return []string{fmt.Sprintf("The receipt does not have function %s.", f.Name)}
	}
	check(f.Def)
	check(f.CanaryDef)
	return gone
}

// mayCall checks that a role may call a function of the replay that has been dropped:
// its owner of then may, and superusers.
func (rp *replay) mayCall(n *names, f *function.Function, role string) error {
	for _, d := range rp.defs {
		if r := n.snap.Role(role); d.OID == f.OID && (d.Owner == role || r != nil && r.Superuser) {
			return nil
		}
	}
	return pgerr.New(pgerr.InsufficientPrivilege, "permission denied for function %s", f.Name).
		WithDetail("It has been dropped: in a replay, only superusers and the role that owned it may call it.")
}

// table is a table with the files it had; release lets those go that it has no more.
func (rp *replay) table(snap *catalog.Snapshot, in receiptInput) (rel *catalog.Relation, release func(), gone string) {
	name := in.Schema + "." + in.Name
	rel = &catalog.Relation{OID: in.OID, Kind: catalog.KindTable, Schema: in.Schema, Name: in.Name, Columns: in.Columns, Rows: in.Rows, Bytes: in.Bytes}
	have := map[string]catalog.File{}
	now := snap.RelationByOID(in.OID)
	if now != nil {
		for _, f := range now.Files {
			have[f.Path] = f
		}
	}
	paths := expandPaths(in.Paths)
	var old []string
	for _, p := range paths {
		if _, ok := have[p]; !ok {
			old = append(old, p)
		}
	}
	files, release := rp.x.s.c.cfg.Store.HoldRetired(old)
	for _, f := range files {
		have[f.Path] = f
	}
	missing := 0
	for _, p := range paths {
		f, ok := have[p]
		if !ok {
			missing++
			continue
		}
		rel.Files = append(rel.Files, f)
	}
	if missing > 0 {
		what := "has changed"
		switch {
		case now == nil:
			what = "has been dropped"
		case slices.ContainsFunc(paths, func(p string) bool { return strings.HasPrefix(p, "staging/") }):
			return rel, release, fmt.Sprintf("It read rows of table %s that its transaction had written and not committed.", name)
		}
		return rel, release, fmt.Sprintf("Table %s %s since: %d of the %d files that it had are gone.", name, what, missing, len(paths))
	}
	return rel, release, ""
}

// statFile is the identity that a file has now, without checksum.
func statFile(path string) (receiptFile, error) {
	st, err := os.Stat(path)
	if err != nil {
		return receiptFile{}, err
	}
	return receiptFile{Path: path, Size: st.Size(), Modified: st.ModTime().UTC()}, nil
}

// changedFile says how a file differs from what it was, "" if it does not.
func changedFile(format string, f receiptFile) string {
	now, err := statFile(f.Path)
	if err != nil {
		return fmt.Sprintf("File %q is gone.", f.Path)
	}
	if now.Size == f.Size && now.Modified.Equal(f.Modified) {
		return ""
	}
	if now.Size == f.Size && f.Checksum != "" {
		if sum, err := storage.FooterSum(f.Path); err == nil && hex64(sum) == f.Checksum {
			return ""
		}
	}
	const stamp = "2006-01-02 15:04:05.999999999-07"
	return fmt.Sprintf("File %q has changed: it had %d bytes and was modified %s, now it has %d and was modified %s.", f.Path, f.Size,
		f.Modified.Format(stamp), now.Size, now.Modified.Format(stamp))
}

// relation is names.Relation of a replay: what the receipt has of that name.
func (rp *replay) relation(n *names, schema, name string) (*planner.Relation, error) {
	schemas := []string{schema}
	if schema == "" {
		schemas = append([]string{"pg_catalog"}, rp.schemas(n)...)
	}
	for _, sc := range schemas {
		for _, in := range rp.rc.Inputs {
			if in.Schema != sc || in.Name != name {
				continue
			}
			switch in.Kind {
			case inputTable:
				return n.relation(rp.tables[in.OID])
			case inputView:
				return n.relation(&catalog.Relation{OID: in.OID, Kind: catalog.KindView, Schema: in.Schema, Name: in.Name, SQL: in.SQL, Columns: in.Columns})
			}
		}
	}
	return nil, nil
}

// schemas is the search path, whatever has become of the schemas in it.
func (rp *replay) schemas(n *names) []string {
	if n.bodyPath != nil {
		return n.bodyPath
	}
	var out []string
	for _, p := range rp.path {
		if p == "$user" {
			p = rp.rc.User
		}
		out = append(out, p)
	}
	return out
}

// functions is names.Functions of a replay: the versions that the query called.
func (rp *replay) functions(n *names, schema, name string) []*function.Function {
	schemas := []string{schema}
	if schema == "" {
		schemas = rp.schemas(n)
	}
	base, version, versioned := catalog.SplitVersion(name)
	var out []*function.Function
	for _, sc := range schemas {
		for i, f := range rp.rc.Functions {
			if f.Function != base || f.Schema != sc && !(sc == tempAlias && strings.HasPrefix(f.Schema, tempPrefix)) {
				continue
			}
			use := version
			if !versioned {
				use = n.pinned(&catalog.FunctionDef{Schema: f.Schema, Name: f.Function})
			}
			d := rp.defs[i]
			switch {
			case d == nil || use != 0 && use != f.Version || use == 0 && !f.Current:
			case use != 0:
				out = append(out, n.arm(d))
			default:
				fn := n.function(d)
				if c := rp.canaries[i]; c != nil && fn.Canary == nil {
					fn.Canary = &function.Canary{F: n.arm(c), Share: f.Share}
				}
				out = append(out, fn)
			}
		}
	}
	return unhidden(out)
}

// part is the version of a function that an aggregate is made of, nil if the query
// did not call it.
func (rp *replay) part(n *names, oid uint32) *catalog.FunctionDef {
	for i, f := range rp.rc.Functions {
		if use := n.pinned(&catalog.FunctionDef{Schema: f.Schema, Name: f.Function}); f.OID == oid && (f.Version == use || use == 0 && f.Current) {
			return rp.defs[i]
		}
	}
	return nil
}

// filesOf are the files of that time of one call of a file function, in the order
// of the calls.
func (rp *replay) filesOf(format, pattern string) ([]string, error) {
	for _, in := range rp.rc.Inputs {
		if in.Kind == inputFiles && in.Format == format && in.Pattern == pattern {
			var out []string
			for _, f := range in.Files {
				out = append(out, f.Path)
			}
			return out, nil
		}
	}
	return nil, pgerr.New(pgerr.InternalError, "the receipt of query %s does not have the files %q", rp.rc.ID, pattern)
}

// public is a receipt as volley.query_receipt gives it: without what only a replay
// understands.
func (rc *receipt) public() *receiptView {
	for i := range rc.Functions {
		rc.Functions[i].Def, rc.Functions[i].CanaryDef = nil, nil
	}
	v := &receiptView{receipt: rc, Settings: rc.Settings, Params: []publicParam{}, Columns: []string{}, Inputs: []publicInput{}}
	for _, p := range rc.Params {
		v.Params = append(v.Params, publicParam{p.Type, p.Value})
	}
	for _, c := range rc.Columns {
		v.Columns = append(v.Columns, c.Name+" "+c.Type)
	}
	for _, in := range rc.Inputs {
		p := publicInput{receiptInput: in}
		for _, c := range in.Columns {
			p.Columns = append(p.Columns, c.Name+" "+c.Type.String())
		}
		v.Inputs = append(v.Inputs, p)
	}
	return v
}

// receiptView is receipt with other types of some members.
type receiptView struct {
	*receipt
	Params   []publicParam     `json:"parameters"`
	Columns  []string          `json:"columns"`
	Inputs   []publicInput     `json:"inputs"`
	Settings map[string]string `json:"settings"`
}

type publicParam struct {
	Type  string  `json:"type"`
	Value *string `json:"value"`
}

type publicInput struct {
	receiptInput
	Columns []string `json:"columns,omitempty"`
}
