package coordinator

import (
	"context"
	"encoding/json"

	"github.com/volleydb/volley/catalog"
	"github.com/volleydb/volley/parser"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/udf"
	sdk "github.com/volleydb/volley/udf/sdk"
	"github.com/volleydb/volley/worker"
)

// Register makes functions of this program functions of the database: it creates
// them in a schema ("" is public), under their names in lower case, or their next
// versions where the program is another build than the one that registered them
// last. What the catalog has already stays as it is. A program registers its
// functions each time it starts.
//
// The functions run in this process, on the embedded worker: a statement that calls
// one runs there as a whole, whichever workers are connected.
func (s *Server) Register(ctx context.Context, schema string, decls ...sdk.Decl) error {
	digest, m, err := s.host.Link(ctx, decls...)
	if err != nil {
		return err
	}
	b := &build{digest: digest, manifest: m}
	if b.json, err = json.Marshal(m); err != nil {
		return pgerr.Wrap(err, pgerr.InternalError, "manifest")
	}
	fns, err := b.functions()
	if err != nil {
		return err
	}
	if schema == "" {
		schema = "public"
	}
	tx := s.Store.Begin()
	if err := register(tx, b, schema, fns); err != nil {
		tx.Rollback()
		return err
	}
	return tx.Commit(ctx)
}

func register(tx *catalog.Tx, b *build, schema string, fns []catalog.FunctionDef) error {
	if err := tx.PutArtifact(b.artifact(catalog.BootstrapRole)); err != nil {
		return err
	}
	for _, f := range fns {
		f.Schema, f.Owner = schema, catalog.BootstrapRole
		if old := tx.Snapshot().Function(schema, f.Name, f.ArgTypes()); old != nil {
			versions := tx.Snapshot().FunctionVersions(old.OID)
			if last := versions[len(versions)-1]; last.Digest == f.Digest && last.Symbol == f.Symbol {
				continue
			}
		}
		if _, err := tx.CreateFunction(f, true); err != nil {
			return err
		}
	}
	return nil
}

// declaredOptions takes STRICT from the manifest and checks the defaults.
func declaredOptions(d *catalog.FunctionDef, mf *udf.ManifestFunction) error {
	d.Strict = mf.Kind == "scalar" // if it cannot take NULL in any argument
	defaults := false
	for i, p := range mf.Args {
		d.Strict = d.Strict && !p.Nullable
		switch {
		case p.Default != "":
			if list, err := parser.Parse("SELECT (" + p.Default + ")"); err != nil || len(list) != 1 {
				return pgerr.New(pgerr.InvalidFunctionDefinition, "argument %d of function %s has the default %q, which is no expression", i+1, mf.Name, p.Default)
			}
			defaults = true
		case defaults:
			return pgerr.New(pgerr.InvalidFunctionDefinition, "input parameters after one with a default value must also have defaults").
				WithDetail("Function %s, argument %d.", mf.Name, i+1)
		}
	}
	return nil
}

// callsLinked reports whether a plan calls a function of this program, which no other
// worker has.
func (c *Coordinator) callsLinked(p *proto.Plan) bool {
	if c.cfg.Plugins == nil || !c.cfg.Plugins.HasLinked() {
		return false
	}
	for _, st := range p.Stages {
		for _, d := range worker.Digests(st) {
			if c.cfg.Plugins.Linked(d) {
				return true
			}
		}
	}
	return false
}
