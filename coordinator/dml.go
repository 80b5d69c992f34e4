package coordinator

import (
	"context"
	"strconv"
	"sync"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/catalog"
	"github.com/volleydb/volley/parser"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/planner"
	"github.com/volleydb/volley/storage"
	"github.com/volleydb/volley/vector"
)

// maxConflicts is how often a statement outside a block starts again because
// another transaction has changed the same files.
const maxConflicts = 10

// changedTable is the table that an UPDATE, DELETE or MERGE names.
func changedTable(n *pg.Node) *pg.RangeVar {
	switch n := n.GetNode().(type) {
	case *pg.Node_UpdateStmt:
		return n.UpdateStmt.Relation
	case *pg.Node_DeleteStmt:
		return n.DeleteStmt.Relation
	case *pg.Node_MergeStmt:
		return n.MergeStmt.Relation
	}
	return nil
}

// bindChange binds an UPDATE, DELETE or MERGE. rel is nil when the planner is to
// say what is wrong with the target.
func (x *statement) bindChange(ctx context.Context, node *pg.Node) (*planner.Change, *catalog.Relation, error) {
	o := x.options()
	r := changedTable(node)
	rel, err := x.snap.ResolveRelation(x.view.SearchPath, r.Schemaname, r.Relname)
	if err == nil {
		if o.Targets, err = targets(rel); err != nil {
			return nil, nil, err
		}
	}
	c, err := planner.BindChange(ctx, x.st, node, o)
	return c, rel, err
}

// targets are all columns of a table with their defaults.
func targets(rel *catalog.Relation) ([]planner.Target, error) {
	var out []planner.Target
	for _, c := range rel.Columns {
		t := planner.Target{Name: c.Name, Type: c.Type}
		if c.Default != "" {
			var err error
			if t.Default, err = parser.ParseOne("SELECT " + c.Default); err != nil {
				return nil, err
			}
		}
		out = append(out, t)
	}
	return out, nil
}

// modify runs an UPDATE, DELETE or MERGE. Outside a block, statements that change
// the same table take turns, and one whose files a block has changed meanwhile
// starts again on what it finds then; in a block it is the COMMIT that fails (40001).
func (x *statement) modify(ctx context.Context, node *pg.Node) (*Result, error) {
	if x.s.tx != nil {
		return x.modifyOnce(ctx, node)
	}
	var unlock func()
	defer func() {
		if unlock != nil {
			unlock()
		}
	}()
	for try := 1; ; try++ {
		r := changedTable(node)
		if rel, err := x.snap.ResolveRelation(x.view.SearchPath, r.Schemaname, r.Relname); err == nil && unlock == nil {
			if unlock, err = x.s.c.writers.lock(ctx, rel.OID); err != nil {
				return nil, err
			}
			x.repin()
		}
		res, err := x.modifyOnce(ctx, node)
		if err == nil || pgerr.Code(err) != pgerr.SerializationFailure || try == maxConflicts {
			return res, err
		}
		x.repin()
	}
}

// change of a statement under way: the phases' directories in staging.
type change struct {
	x   *statement
	rel *catalog.Relation
	c   *planner.Change
	ids []string // of phases whose files the transaction may take
	id  string   // of the files with the change's rows

	files   []catalog.File // with the rows of the change
	set     *planner.FileSet
	rows    int64
	inserts int64
}

func (x *statement) modifyOnce(ctx context.Context, node *pg.Node) (*Result, error) {
	c, rel, err := x.bindChange(ctx, node)
	if err != nil {
		return nil, err
	}
	ch := &change{x: x, rel: rel, c: c}
	tag := map[bool]string{true: "DELETE", false: "UPDATE"}[c.Deletes]
	if c.Merge {
		tag = "MERGE"
	}
	return ch.run(ctx, tag+" ")
}

// run runs all phases and commits, or leaves the changes to the block.
func (ch *change) run(ctx context.Context, tag string) (*Result, error) {
	x := ch.x
	err := ch.apply(ctx)
	if err != nil {
		for _, id := range ch.ids {
			_ = x.s.c.cfg.Store.DropStaging(id)
		}
		ch.drop()
		return nil, err
	}
	full := tag + strconv.FormatInt(ch.rows, 10)
	fields := ch.c.Returns()
	if fields == nil {
		ch.drop()
		return done(full), nil
	}
	if ch.rows == 0 {
		ch.drop()
		return rows(fields, full), nil
	}
	plan, err := ch.c.Return(ch.set).Plan(ctx, nil)
	if err != nil {
		ch.drop()
		return nil, err
	}
	x.id = newID()
	run, err := x.run(ctx, plan)
	if err != nil {
		ch.drop()
		return nil, err
	}
	return NewResult(fields, run.Next, func() string { return full }, func() { run.Close(); ch.drop() }), nil
}

// drop removes the files with the change's rows.
func (ch *change) drop() {
	if ch.id != "" {
		_ = ch.x.s.c.cfg.Store.DropStaging(ch.id)
	}
}

// phase gives the next plan a name and a staging directory of its own.
func (ch *change) phase(what string) {
	ch.x.phase = what
	ch.x.id = newID()
	ch.ids = append(ch.ids, ch.x.id)
}

// apply finds the changed rows, writes the files anew that have some, and puts them
// in the place of the old ones.
func (ch *change) apply(ctx context.Context) error {
	x := ch.x
	if len(ch.rel.Columns) == 0 {
		return noRows(ch.rel.Name)
	}
	x.id, x.phase = newID(), ""
	ch.id = x.id
	var cols []catalog.Column
	for _, f := range ch.c.Fields() {
		cols = append(cols, catalog.Column{Name: f.Name, Type: f.Type})
	}
	var err error
	if ch.files, ch.rows, err = x.writeRows(ctx, ch.c.Rows, ch.rel.Name, cols); err != nil {
		return err
	}
	if ch.rows == 0 {
		return nil
	}
	if ch.set, err = ch.fileSet(ch.files, ch.c.Fields()); err != nil {
		return err
	}
	var old []string
	var fresh []catalog.File
	if !ch.c.Inserts {
		if old, fresh, err = ch.rewrite(ctx); err != nil {
			return err
		}
	} else {
		ch.inserts = ch.rows
	}
	if ch.inserts > 0 {
		ch.phase("Write new files")
		added, _, err := x.writeRows(ctx, ch.c.Inserted(ch.set), ch.rel.Name, ch.rel.Columns)
		if err != nil {
			return err
		}
		fresh = append(fresh, added...)
	}
	err = x.change(ctx, func(tx *catalog.Tx) error {
		if len(old) == 0 {
			return tx.AddFiles(ch.rel.OID, fresh)
		}
		return tx.ReplaceFiles(ch.rel.OID, old, fresh)
	})
	if err != nil {
		return err
	}
	if x.s.tx != nil {
		x.s.staged = append(x.s.staged, ch.ids...)
		return nil
	}
	for _, id := range ch.ids {
		_ = x.s.c.cfg.Store.DropStaging(id)
	}
	return nil
}

func (ch *change) fileSet(files []catalog.File, schema []vector.Field) (*planner.FileSet, error) {
	list := make([]storage.TableFile, len(files))
	var bytes int64
	for i, f := range files {
		list[i] = storage.TableFile{Path: f.Path, Rows: f.Rows, Bytes: f.Bytes, Stats: f.Stats}
		bytes += f.Bytes
	}
	p, err := storage.PlanTable(schema, list)
	if err != nil {
		return nil, err
	}
	return &planner.FileSet{Format: "parquet", Splits: p.Splits, Rows: p.Rows, Bytes: bytes, Schema: p.Schema, Stats: p.Stats}, nil
}

// rewrite writes what is left of the files that have changed rows.
func (ch *change) rewrite(ctx context.Context) (old []string, fresh []catalog.File, err error) {
	x := ch.x
	all, err := tableFiles(x.s.c.cfg.Store, ch.rel)
	if err != nil {
		return nil, nil, err
	}
	hit, err := ch.affected(ctx)
	if err != nil {
		return nil, nil, err
	}
	again := map[string]bool{}
	part := &planner.FileSet{Format: all.Format, Schema: all.Schema}
	for i, f := range ch.rel.Files {
		if hit[i].updated+hit[i].deleted == 0 {
			continue
		}
		old = append(old, f.Path)
		if hit[i].deleted < f.Rows {
			again[x.s.c.cfg.Store.Path(f.Path)] = true
			part.Rows += f.Rows
			part.Bytes += f.Bytes
		}
	}
	for _, s := range all.Splits {
		if again[s.Path] {
			part.Splits = append(part.Splits, s)
		}
	}
	if len(part.Splits) == 0 {
		return old, nil, nil
	}
	ch.phase("Write changed files")
	fresh, _, err = x.writeRows(ctx, ch.c.Rewrite(part, ch.set), ch.rel.Name, ch.rel.Columns)
	return old, fresh, err
}

// fileChange counts the changed rows of a file; seen has a bit for each of them.
type fileChange struct {
	updated, deleted int64
	seen             []uint64
}

// affected reads which rows change and counts them by file. A row that MERGE
// would change twice is an error.
func (ch *change) affected(ctx context.Context) ([]fileChange, error) {
	files := ch.rel.Files
	hit := make([]fileChange, len(files))
	ends := make([]int64, len(files)) // the row number after each file's
	var rows int64
	for i, f := range files {
		rows += f.Rows
		ends[i] = rows
	}
	scan := planner.ChangeScan(ch.rel.Name, ch.c.Merge)
	r, err := storage.OpenScan(ctx, scan, ch.set.Splits, 0)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	at := 0
	for {
		b, err := r.Next(ctx)
		if err != nil {
			return nil, err
		}
		if b == nil {
			return hit, nil
		}
		b = b.Dense()
		ids := vector.Values[int64](b.Col(0))
		var acts []int32
		if ch.c.Merge {
			acts = vector.Values[int32](b.Col(1))
		}
		for i := 0; i < b.Rows(); i++ {
			if acts != nil && acts[i] == planner.ActInsert {
				ch.inserts++
				continue
			}
			id := ids[i]
			if id < 0 || id >= rows {
				return nil, pgerr.New(pgerr.InternalError, "row %d of table %q, which has %d", id, ch.rel.Name, rows)
			}
			for at > 0 && id < ends[at-1] {
				at--
			}
			for id >= ends[at] {
				at++
			}
			h := &hit[at]
			if h.seen == nil {
				h.seen = make([]uint64, (files[at].Rows+63)/64)
			}
			k := id - ends[at] + files[at].Rows
			if h.seen[k/64]&(1<<(k%64)) != 0 {
				if !ch.c.Merge {
					return nil, pgerr.New(pgerr.InternalError, "row %d of table %q changes twice", id, ch.rel.Name)
				}
				return nil, pgerr.New(pgerr.CardinalityViolation, "MERGE command cannot affect row a second time").
					WithHint("Ensure that not more than one source row matches any one target row.")
			}
			h.seen[k/64] |= 1 << (k % 64)
			if ch.c.Deletes || acts != nil && acts[i] == planner.ActDelete {
				h.deleted++
			} else {
				h.updated++
			}
		}
	}
}

// insertReturning is INSERT … RETURNING.
func (x *statement) insertReturning(ctx context.Context, n *pg.InsertStmt) (*Result, error) {
	c, rel, err := x.bindInsertReturning(ctx, n)
	if err != nil {
		return nil, err
	}
	return (&change{x: x, rel: rel, c: c}).run(ctx, "INSERT 0 ")
}

func (x *statement) bindInsertReturning(ctx context.Context, n *pg.InsertStmt) (*planner.Change, *catalog.Relation, error) {
	q, rel, err := x.bindInsert(ctx, n)
	if err != nil {
		return nil, nil, err
	}
	c, err := q.Returning(&planner.Relation{Schema: rel.Schema, Name: rel.Name, Columns: rel.Fields()}, n.Relation.Alias, n.ReturningList)
	return c, rel, err
}

// tableLocks lets statements that change a table take turns. A lock is there
// while somebody holds it or waits for it.
type tableLocks struct {
	mu   sync.Mutex
	held map[uint32]*tableLock
}

type tableLock struct {
	token chan struct{} // holds one token while the lock is free
	users int
}

// lock waits for the lock of a table.
func (l *tableLocks) lock(ctx context.Context, oid uint32) (unlock func(), err error) {
	l.mu.Lock()
	t := l.held[oid]
	if t == nil {
		if l.held == nil {
			l.held = map[uint32]*tableLock{}
		}
		t = &tableLock{token: make(chan struct{}, 1)}
		t.token <- struct{}{}
		l.held[oid] = t
	}
	t.users++
	l.mu.Unlock()
	leave := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if t.users--; t.users == 0 {
			delete(l.held, oid)
		}
	}
	select {
	case <-t.token:
		return func() { t.token <- struct{}{}; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, pgerr.From(ctx.Err())
	}
}
