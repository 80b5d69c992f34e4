package coordinator

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/volleydb/volley/catalog"
	"github.com/volleydb/volley/pgerr"
)

// Functions of one session are in its schema pg_temp, which is pg_temp_N in the
// catalog, as in Postgres: it is made when the first function is created in it,
// calls have to name it (pg_temp.f(x)), and it goes with the session.

const (
	tempAlias  = "pg_temp"
	tempPrefix = "pg_temp_"
)

// tempSchema is what the session's pg_temp is called in the catalog.
func (s *Session) tempSchema() string { return fmt.Sprintf("%s%d", tempPrefix, s.pid) }

// schema is the schema that a name means in this session.
func (s *Session) schema(name string) string {
	if name == tempAlias {
		return s.tempSchema()
	}
	return name
}

// functionSchema is where a new function goes.
func (x *statement) functionSchema(ctx context.Context, schema string) (string, error) {
	if schema != tempAlias {
		return x.newSchema(schema, 0)
	}
	name := x.s.tempSchema()
	if x.snap.Schema(name) == nil {
		err := x.change(ctx, func(tx *catalog.Tx) error {
			_, err := tx.CreateTempSchema(name, x.s.o.User)
			return err
		})
		if err != nil {
			return "", err
		}
	}
	return name, nil
}

// noTemporary refuses objects that would outlive the functions that they use.
func (x *statement) noTemporary(what string) error {
	for oid := range x.uses {
		if f := x.snap.FunctionByOID(oid); f != nil && strings.HasPrefix(f.Schema, tempPrefix) {
			return pgerr.New(pgerr.FeatureNotSupported, "%s cannot use the temporary function %s", what, f.Signature()).
				WithDetail("It ends with the session.")
		}
	}
	return nil
}

// dropTemporary removes the session's functions at its end.
func (s *Session) dropTemporary() {
	store := s.c.cfg.Store
	if store == nil || store.Snapshot().Schema(s.tempSchema()) == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := dropSchemas(ctx, store, func(name string) bool { return name == s.tempSchema() }); err != nil {
		s.c.cfg.Log.Warn("temporary functions could not be dropped", "session", s.pid, "error", err)
	}
}

// dropSchemas removes temporary schemas: at the start also those of sessions that a
// server did not live to end.
func dropSchemas(ctx context.Context, store *catalog.Store, which func(name string) bool) error {
	var names []string
	for _, sc := range store.Snapshot().Schemas() {
		if strings.HasPrefix(sc.Name, tempPrefix) && which(sc.Name) {
			names = append(names, sc.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	tx := store.Begin()
	for _, n := range names {
		if _, err := tx.DropSchema(n, true); err != nil {
			tx.Rollback()
			return err
		}
	}
	return tx.Commit(ctx)
}
