package coordinator

import (
	"context"
	"strconv"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/catalog"
	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/planner"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/udf"
	"github.com/volleydb/volley/udf/sdk/wire"
	"github.com/volleydb/volley/vector"
)

// returnType is RETURNS type and RETURNS SETOF type, which is a table of one column
// with the function's name; SETOF record leaves the columns to the artifact.
func (x *statement) returnType(d *definition, t *pg.TypeName) (err error) {
	d.table = t.Setof
	if _, name := objectName(&pg.Node{Node: &pg.Node_TypeName{TypeName: t}}); name == "record" && t.Setof && len(t.ArrayBounds) == 0 {
		d.returns = types.T(types.Record)
		return nil
	}
	d.returns, err = planner.ResolveType(x.st, &pg.TypeName{Names: t.Names, TypeOid: t.TypeOid, PctType: t.PctType, Typmods: t.Typmods,
		Typemod: t.Typemod, ArrayBounds: t.ArrayBounds, Location: t.Location}, x.names())
	if t.Setof {
		d.columns = []catalog.Column{{Name: d.name, Type: d.returns}}
	}
	return err
}

// kindOfTable is the kind of what RETURNS TABLE and RETURNS SETOF declare: the
// artifact knows.
func kindOfTable(mf *udf.ManifestFunction) function.Kind {
	if mf.Kind == "table" {
		return function.Table
	}
	return function.GroupedMap
}

// tableKind completes the definition of a table function or grouped map from the
// artifact: the columns of RETURNS SETOF record, unless the function computes them
// from its arguments, and the contract that the planner has to know.
func (d *definition) tableKind(mf *udf.ManifestFunction) error {
	if len(d.columns) == 0 && !mf.Describes {
		for _, c := range mf.Columns {
			t, ok := udf.SQLType(c)
			if !ok {
				return pgerr.New(pgerr.InvalidFunctionDefinition, "RETURNS SETOF record needs column types that stand for one SQL type, and %q is of type %s", c.Name, c.Type).
					WithHint("Use RETURNS TABLE (…).")
			}
			d.columns = append(d.columns, catalog.Column{Name: c.Name, Type: t})
		}
	}
	_, batches := d.settings["volley.batch_rows"]
	switch {
	case mf.Contract == wire.ContractRows:
		if !batches {
			if d.settings == nil {
				d.settings = map[string]string{}
			}
			d.settings["volley.batch_rows"] = strconv.Itoa(max(mf.BatchRows, 1))
		}
	case batches:
		return pgerr.New(pgerr.InvalidFunctionDefinition, "volley.batch_rows is for functions that take batches of rows, and %q takes groups", mf.Name)
	}
	return nil
}

// checkGroupSetting checks volley.max_group_bytes and volley.batch_rows.
func checkGroupSetting(name, val string) (known bool, err error) {
	switch name {
	case "volley.max_group_bytes":
		if n, err := parseUnits(val, "B"); err != nil || n <= 0 || n > wire.MaxSlot {
			return true, pgerr.New(pgerr.InvalidParameterValue, "invalid value for %s: %q", name, val).
				WithHint("It is the size of the largest group that the function is given whole, up to '1GB'.")
		}
		return true, nil
	case "volley.batch_rows":
		if n, err := strconv.Atoi(strings.TrimSpace(val)); err != nil || n < 1 || n > 1<<20 {
			return true, pgerr.New(pgerr.InvalidParameterValue, "invalid value for %s: %q", name, val).
				WithHint("It is the number of rows of a call, from 1 to %d.", 1<<20)
		}
		return true, nil
	}
	return false, nil
}

// tableRef completes a reference from what its definition sets. A function in SQL
// has no artifact and none of these settings.
func tableRef(d *catalog.FunctionDef, f *function.Function) {
	if f.UDF == nil {
		return
	}
	if v := d.Settings["volley.max_group_bytes"]; v != "" {
		f.UDF.MaxGroupBytes, _ = parseUnits(v, "B") // checked when it was set
	}
	switch f.Kind {
	case function.GroupedMap:
		f.UDF.BatchRows, _ = strconv.Atoi(strings.TrimSpace(d.Settings["volley.batch_rows"]))
		f.Returns = types.T(types.Record)
		f.UDF.Describes = len(f.Columns) == 0
	case function.Table:
		f.UDF.Describes = len(f.Columns) == 0
	}
}

// describeColumns asks a function for its output columns; see planner.Options.
func (x *statement) describeColumns(f *function.Function, args []*vector.Vector) ([]vector.Field, error) {
	if x.s.c.cfg.Plugins == nil {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "function %s computes its output columns, which this server cannot run", f.Name)
	}
	ctx := x.fc.Context
	if ctx == nil {
		ctx = context.Background()
	}
	return x.s.c.cfg.Plugins.Describe(ctx, udf.RefToProto(f), args)
}
