package catalog

import (
	"context"
	"testing"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
)

func TestSplitVersion(t *testing.T) {
	for _, x := range []struct {
		in, base string
		version  int
		ok       bool
	}{{"f@2", "f", 2, true}, {"f", "f", 0, false}, {"a@b@12", "a@b", 12, true}, {"@1", "@1", 0, false}, {"f@", "f@", 0, false},
		{"f@02", "f@02", 0, false}, {"f@x", "f@x", 0, false}, {"f@1234567890", "f@1234567890", 0, false}} {
		base, v, ok := SplitVersion(x.in)
		if ok != x.ok || ok && (base != x.base || v != x.version) {
			t.Errorf("%s: %s %d %v", x.in, base, v, ok)
		}
	}
}

// What users say of functions is there when the store is opened again, also one
// whose database is of the first layout.
func TestFunctionsPersist(t *testing.T) {
	dir := t.TempDir()
	ctx := context.Background()
	s, err := Open(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	// All migrations but the first undone make a database of the first layout.
	for _, q := range []string{`DROP TABLE retired_files`, `DROP TABLE default_privileges`, `DROP INDEX extension_names`, `DELETE FROM migrations WHERE version > 1`} {
		if _, err := s.db.ExecContext(ctx, q); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(ctx, dir); err != nil {
		t.Fatal(err)
	}
	def := FunctionDef{Schema: "public", Name: "f", Args: []Arg{{Name: "x", Type: types.T(types.Int8)}}, Returns: types.T(types.Int8), Language: "go", Owner: "volley", Digest: "sha256:1"}
	var oid uint32
	err = s.Update(ctx, func(tx *Tx) error {
		f, err := tx.CreateFunction(def, false)
		if err != nil {
			return err
		}
		oid = f.OID
		if _, err = tx.CreateFunction(def, true); err != nil {
			return err
		}
		for _, op := range []func() error{
			func() error { return tx.UseFunctionVersion(oid, 1) },
			func() error { return tx.SetCanary(oid, 2, 500) },
			func() error { _, err := tx.CreateRole(Role{Name: "ann"}); return err },
			func() error { return tx.GrantPrivilege(Grant{Object: oid, Role: "ann", Privilege: "EXECUTE"}) },
			func() error { return tx.RevokePrivilege(oid, "public", "EXECUTE", false) },
			func() error { return tx.GrantPrivilege(Grant{Object: 15100, Role: "ann", Privilege: "USAGE"}) },
			func() error { return tx.CommentOn(15101, 0, "sandboxed") },
			func() error { return tx.AlterDefaultPrivileges("ann", "", false, executeByAll) },
			func() error {
				_, err := tx.CreateExtension(Extension{Name: "e", Schema: "public", Version: "1", Digest: "sha256:2", Owner: "volley"},
					[]FunctionDef{{Name: "g", Returns: types.T(types.Int8), Language: "go"}})
				return err
			},
		} {
			if err := op(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for round := range 2 {
		d := s.Snapshot()
		f := d.FunctionByOID(oid)
		if f.Version != 1 || f.Pinned != 1 || f.Canary() != "2:5%" || len(d.FunctionVersions(oid)) != 2 || f.CreatedBy != "volley" {
			t.Errorf("round %d: %+v", round, f)
		}
		if !d.HasPrivilege("ann", oid, "EXECUTE") || d.HasPrivilege("bob", oid, "EXECUTE") || !d.HasPrivilege("ann", 15100, "USAGE") || d.HasPrivilege("bob", 15100, "USAGE") ||
			!d.HasPrivilege("bob", 15101, "USAGE") || !d.HasPrivilege("bob", 14, "USAGE") {
			t.Errorf("round %d: privileges", round)
		}
		if l := d.Language("wasm"); l.Comment != "sandboxed" || !l.Trusted || d.Language("go").Comment == "" {
			t.Errorf("round %d: %+v", round, l)
		}
		if a := d.DefaultACLs(); len(a) != 1 || a[0].Role != "ann" || len(a[0].Grants) != 0 {
			t.Errorf("round %d: %+v", round, a)
		}
		e := d.Extension("e")
		if e == nil || e.Version != "1" || len(e.Members) != 1 || d.FunctionByOID(e.Members[0]).Name != "g" || d.FunctionByOID(e.Members[0]).Digest != "sha256:2" {
			t.Errorf("round %d: %+v", round, e)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if s, err = Open(ctx, dir); err != nil {
			t.Fatal(err)
		}
	}
	defer s.Close()
	err = s.Update(ctx, func(tx *Tx) error {
		_, err := tx.DropFunction(tx.Snapshot().Extension("e").Members[0], true)
		return err
	})
	if pgerr.Code(err) != pgerr.DependentObjectsStillExist {
		t.Error(err)
	}
}
