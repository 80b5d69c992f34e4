package storage

import (
	"encoding/json"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/arrow-go/v18/parquet/schema"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// schemaKey is the file metadata in which Volley keeps its own types, exactly:
// what Parquet's types cannot say (varchar(10), numeric without limits as text,
// interval as 16 bytes, name, json against jsonb).
const schemaKey = "volley.schema"

// encoding says how the values of a leaf column become values of a SQL type.
type encoding uint8

const (
	encSame        encoding = iota // the same representation
	encInt16                       // int32 holding a smallint
	encWiden                       // unsigned int32 in an int64
	encDecimal                     // integer or big-endian bytes, scaled
	encUint64                      // unsigned int64 as numeric
	encNumericText                 // numeric in text form
	encInterval                    // months, days (int32) and microseconds (int64), little-endian
	encInterval12                  // Parquet's own: months, days, milliseconds, all uint32
	encMillis                      // to microseconds
	encNanos                       // to microseconds, rounded down
	encInt96                       // nanoseconds and Julian day, to microseconds
	encFloat16
)

// leaf is a primitive column: of the file, or the elements of a list.
type leaf struct {
	sql   types.Type
	enc   encoding
	phys  parquet.Type
	width int // of fixed-length bytes
	scale int32
	check bool // text of a foreign writer: check that it is UTF-8
}

// parquetField is a column of a file as SQL sees it.
type parquetField struct {
	vector.Field
	leaf     leaf
	index    int   // of the leaf column
	list     bool  // an array of the leaf
	maxDef   int16 // of the leaf column
	repDef   int16 // list: definition level from which an element exists
	mayNull  bool  // list: the list itself can be NULL
	required bool
	shape    *columnShape // of a structure, a map or a list of such; else nil
}

type savedField struct {
	Name string     `json:"name"`
	Type types.Type `json:"type"`
}

func encodeSchema(fs []vector.Field) string {
	out := make([]savedField, len(fs))
	for i, f := range fs {
		out[i] = savedField(f)
	}
	b, err := json.Marshal(out)
	if err != nil {
		panic(err) // strings and integers only
	}
	return string(b)
}

// leafFor chooses how values of a type are stored.
func leafFor(t types.Type) (leaf, schema.LogicalType, error) {
	l := leaf{sql: t, width: -1}
	var lt schema.LogicalType = schema.NoLogicalType{}
	switch t.ID {
	case types.Bool:
		l.phys = parquet.Types.Boolean
	case types.Int2:
		l.phys, l.enc, lt = parquet.Types.Int32, encInt16, schema.NewIntLogicalType(16, true)
	case types.Int4:
		l.phys = parquet.Types.Int32
	case types.Int8, types.OID, types.Regclass, types.Regtype, types.Regproc, types.Regprocedure, types.Regnamespace:
		l.phys = parquet.Types.Int64
	case types.Float4:
		l.phys = parquet.Types.Float
	case types.Float8:
		l.phys = parquet.Types.Double
	case types.Numeric:
		p, s, ok := t.PrecisionScale()
		if !ok || s < 0 || s > p || p > 38 {
			l.phys, l.enc, lt = parquet.Types.ByteArray, encNumericText, schema.StringLogicalType{}
			break
		}
		l.enc, l.scale, lt = encDecimal, int32(s), schema.NewDecimalLogicalType(int32(p), int32(s))
		switch {
		case p <= 9:
			l.phys = parquet.Types.Int32
		case p <= 18:
			l.phys = parquet.Types.Int64
		default:
			l.phys, l.width = parquet.Types.FixedLenByteArray, 16
		}
	case types.Text, types.Varchar, types.Bpchar, types.Name, types.Char:
		l.phys, lt = parquet.Types.ByteArray, schema.StringLogicalType{}
	case types.JSON, types.JSONB:
		l.phys, lt = parquet.Types.ByteArray, schema.JSONLogicalType{}
	case types.Bytea, types.Record, types.Enum:
		// Values of users' types as the engine has them: only it reads them.
		l.phys = parquet.Types.ByteArray
	case types.UUID:
		l.phys, l.width, lt = parquet.Types.FixedLenByteArray, 16, schema.UUIDLogicalType{}
	case types.Date:
		l.phys, lt = parquet.Types.Int32, schema.DateLogicalType{}
	case types.Time:
		l.phys, lt = parquet.Types.Int64, schema.NewTimeLogicalType(false, schema.TimeUnitMicros)
	case types.Timestamp, types.Timestamptz:
		l.phys = parquet.Types.Int64
		lt = schema.NewTimestampLogicalTypeForce(t.ID == types.Timestamptz, schema.TimeUnitMicros)
	case types.Interval:
		l.phys, l.width, l.enc = parquet.Types.FixedLenByteArray, 16, encInterval
	default:
		return l, nil, pgerr.New(pgerr.FeatureNotSupported, "values of type %s cannot be stored in a Parquet file", t)
	}
	return l, lt, nil
}

// parquetNode makes the schema of one column.
func parquetNode(f vector.Field, notNull bool) (schema.Node, leaf, error) {
	rep := parquet.Repetitions.Optional
	if notNull {
		rep = parquet.Repetitions.Required
	}
	t, name := f.Type, f.Name
	if f.Type.ID == types.Array {
		t, name, rep = f.Type.ElemType(), "element", parquet.Repetitions.Optional
	}
	l, lt, err := leafFor(t)
	if err != nil {
		return nil, l, err
	}
	node, err := schema.NewPrimitiveNodeLogical(name, rep, lt, l.phys, l.width, -1)
	if err != nil || f.Type.ID != types.Array {
		return node, l, err
	}
	list, err := schema.NewGroupNode("list", parquet.Repetitions.Repeated, schema.FieldList{node}, -1)
	if err != nil {
		return nil, l, err
	}
	rep = parquet.Repetitions.Optional
	if notNull {
		rep = parquet.Repetitions.Required
	}
	group, err := schema.NewGroupNodeLogical(f.Name, rep, schema.FieldList{list}, schema.NewListLogicalType(), -1)
	return group, l, err
}

// leafOf reads the type of a column of any writer.
func leafOf(c *schema.Column) (leaf, error) {
	l := leaf{phys: c.PhysicalType(), width: c.TypeLength(), check: true}
	set := func(id types.ID, e encoding) { l.sql, l.enc = types.T(id), e }
	lt := c.LogicalType()
	if lt == nil || lt.IsNone() {
		lt = c.ConvertedType().ToLogicalType(schema.DecimalMetadata{})
	}
	if d, ok := c.LogicalType().(schema.DecimalLogicalType); ok {
		if d.Precision() > 38 {
			return l, pgerr.New(pgerr.FeatureNotSupported, "decimal(%d,%d) exceeds the supported precision of 38", d.Precision(), d.Scale())
		}
		l.sql, l.enc, l.scale = types.NumericOf(int(d.Precision()), int(d.Scale())), encDecimal, d.Scale()
		return l, nil
	}
	switch l.phys {
	case parquet.Types.Boolean:
		set(types.Bool, encSame)
	case parquet.Types.Int32:
		set(types.Int4, encSame)
		switch lt := lt.(type) {
		case schema.IntLogicalType:
			switch {
			case lt.IsSigned() && lt.BitWidth() <= 16, !lt.IsSigned() && lt.BitWidth() == 8:
				set(types.Int2, encInt16)
			case !lt.IsSigned() && lt.BitWidth() == 32:
				set(types.Int8, encWiden)
			}
		case schema.DateLogicalType:
			set(types.Date, encSame)
		case schema.TimeLogicalType:
			set(types.Time, encMillis)
		}
	case parquet.Types.Int64:
		set(types.Int8, encSame)
		switch lt := lt.(type) {
		case schema.IntLogicalType:
			if !lt.IsSigned() {
				set(types.Numeric, encUint64)
			}
		case schema.TimeLogicalType:
			set(types.Time, unitOf(lt.TimeUnit()))
		case schema.TimestampLogicalType:
			id := types.Timestamp
			if lt.IsAdjustedToUTC() {
				id = types.Timestamptz
			}
			set(id, unitOf(lt.TimeUnit()))
		}
	case parquet.Types.Int96:
		set(types.Timestamp, encInt96)
	case parquet.Types.Float:
		set(types.Float4, encSame)
	case parquet.Types.Double:
		set(types.Float8, encSame)
	case parquet.Types.ByteArray:
		set(types.Bytea, encSame)
		switch lt.(type) {
		case schema.StringLogicalType, schema.EnumLogicalType:
			set(types.Text, encSame)
		case schema.JSONLogicalType:
			set(types.JSON, encSame)
		}
	case parquet.Types.FixedLenByteArray:
		set(types.Bytea, encSame)
		switch lt.(type) {
		case schema.UUIDLogicalType:
			set(types.UUID, encSame)
		case schema.Float16LogicalType:
			set(types.Float4, encFloat16)
		case schema.IntervalLogicalType:
			set(types.Interval, encInterval12)
		}
	default:
		return l, pgerr.New(pgerr.FeatureNotSupported, "its physical type is not supported")
	}
	return l, nil
}

func unitOf(u schema.TimeUnitType) encoding {
	switch u {
	case schema.TimeUnitMillis:
		return encMillis
	case schema.TimeUnitNanos:
		return encNanos
	}
	return encSame
}

// parquetFields lists the columns of a file. A column whose type SQL cannot
// show (a list of lists) is an error, since to leave it out
// would be a wrong answer to SELECT *.
func parquetFields(path string, meta *metadata.FileMetaData) ([]parquetField, error) {
	var saved []savedField
	if v := meta.KeyValueMetadata().FindValue(schemaKey); v != nil {
		if err := json.Unmarshal([]byte(*v), &saved); err != nil {
			return nil, pgerr.New(pgerr.DataCorrupted, "file \"%s\" has damaged schema metadata", path)
		}
	}
	root := meta.Schema.Root()
	if len(saved) != root.NumFields() {
		saved = nil // rewritten by somebody else: go by what the file says
	}
	first := map[schema.Node]int{} // leaf column of each top-level field
	count := map[schema.Node]int{}
	for i := range meta.Schema.NumColumns() {
		n := meta.Schema.ColumnRoot(i)
		if count[n] == 0 {
			first[n] = i
		}
		count[n]++
	}
	var out []parquetField
	for i := range root.NumFields() {
		n := root.Field(i)
		refuse := func(why string) error {
			return pgerr.New(pgerr.FeatureNotSupported, "column \"%s\" of file \"%s\" has a type that is not supported", n.Name(), path).WithDetail("%s", why)
		}
		c := meta.Schema.Column(first[n])
		f := parquetField{index: first[n], maxDef: c.MaxDefinitionLevel(), required: c.MaxDefinitionLevel() == 0}
		var err error
		nested := count[n] != 1 || c.MaxRepetitionLevel() > 1
		if !nested && c.MaxRepetitionLevel() == 1 {
			f.list = true
			f.repDef, f.mayNull = listLevels(n)
			nested = !plainList(n)
		} else if n.Type() == schema.Group {
			nested = true
		}
		if nested {
			if f, err = structField(meta, n, first[n]); err != nil {
				return nil, refuse(pgerr.From(err).Message)
			}
			out = append(out, f)
			continue
		}
		if f.leaf, err = leafOf(c); err != nil {
			return nil, refuse(err.Error())
		}
		if saved != nil && saved[i].Name == n.Name() {
			if err := f.restore(saved[i].Type); err != nil {
				return nil, refuse(err.Error())
			}
		}
		f.Name, f.Type = n.Name(), f.leaf.sql
		if f.list {
			f.Type = types.Type{ID: types.Array, Elem: f.leaf.sql.ID, Typmod: f.leaf.sql.Typmod}
		}
		out = append(out, f)
	}
	return out, nil
}

// plainList reports that a column of one leaf is a list of it, with no structure
// around or within the list.
func plainList(n schema.Node) bool {
	repeated := false
	for depth := 0; ; depth++ {
		if n.RepetitionType() == parquet.Repetitions.Repeated {
			repeated = true
		}
		g, ok := n.(*schema.GroupNode)
		if !ok {
			return repeated
		}
		if g.NumFields() != 1 || depth > 1 {
			return false
		}
		n = g.Field(0)
		if depth == 0 && !repeated && n.RepetitionType() != parquet.Repetitions.Repeated {
			return false
		}
	}
}

// restore applies the exact type that Volley wrote.
func (f *parquetField) restore(t types.Type) error {
	if (t.ID == types.Array) != f.list {
		return pgerr.New(pgerr.DataCorrupted, "the schema metadata says %s", t)
	}
	if f.list {
		t = t.ElemType()
	}
	want, _, err := leafFor(t)
	if err != nil {
		return err
	}
	if want.phys != f.leaf.phys {
		return pgerr.New(pgerr.DataCorrupted, "the schema metadata says %s", t)
	}
	want.width = f.leaf.width
	f.leaf = want
	return nil
}

// listLevels finds the definition level at which an element of the only
// repeated node below n exists, and whether the list may be NULL; 0 when a group
// with other fields is on the way.
func listLevels(n schema.Node) (repDef int16, mayNull bool) {
	def := int16(0)
	for {
		switch n.RepetitionType() {
		case parquet.Repetitions.Optional:
			def++
			if repDef == 0 {
				mayNull = true
			}
		case parquet.Repetitions.Repeated:
			def++
			repDef = def
		}
		g, ok := n.(*schema.GroupNode)
		if !ok {
			return repDef, mayNull
		}
		if g.NumFields() != 1 {
			return 0, false
		}
		n = g.Field(0)
	}
}
