package mysql

import (
	"strconv"
	"strings"

	"vitess.io/vitess/go/vt/sqlparser"

	"github.com/volleydb/volley/parser"
)

func (c *converter) statement(st sqlparser.Statement) {
	switch n := st.(type) {
	case *sqlparser.Select, *sqlparser.Union, *sqlparser.ValuesStatement:
		c.query(n.(sqlparser.TableStatement))
	case *sqlparser.Insert:
		c.insert(n)
	case *sqlparser.CreateTable:
		c.createTable(n)
	case *sqlparser.DropTable:
		if n.Temp {
			c.refuse("temporary", "DROP TEMPORARY TABLE")
		}
		c.put("DROP TABLE ")
		if n.IfExists {
			c.put("IF EXISTS ")
		}
		list(c, n.FromTables, c.table)
	case *sqlparser.TruncateTable:
		c.put("TRUNCATE ")
		c.table(n.Table)
	case *sqlparser.Use:
		c.put("SET search_path = ")
		c.name(n.DBName.String())
	case *sqlparser.ExplainStmt:
		c.put("EXPLAIN ")
		c.statement(n.Statement)
	case *sqlparser.ExplainTab:
		if n.Wild != "" {
			c.refuse("describe", "DESCRIBE of some columns")
		}
		c.describe(n.Table)
	case *sqlparser.Show:
		c.show(n)
	default:
		c.refuse(c.first(0), "%s", strings.ToUpper(c.first(0)))
	}
}

// describe lists the columns of a table as MySQL does.
func (c *converter) describe(t sqlparser.TableName) {
	schema := "current_schema()"
	if q := t.Qualifier.String(); q != "" {
		schema = parser.QuoteLiteral(q)
	}
	c.put(`SELECT column_name AS "Field", data_type AS "Type", is_nullable AS "Null", '' AS "Key", column_default AS "Default", '' AS "Extra" FROM information_schema.columns WHERE table_schema = `,
		schema, " AND lower(table_name) = ", parser.QuoteLiteral(strings.ToLower(t.Name.String())), " ORDER BY ordinal_position")
}

func (c *converter) show(n *sqlparser.Show) {
	b, ok := n.Internal.(*sqlparser.ShowBasic)
	if !ok {
		c.refuse("show", "this SHOW")
		return
	}
	column := ""
	switch b.Command {
	case sqlparser.Table:
		schema := "current_schema()"
		if q := b.DbName.String(); q != "" {
			schema = parser.QuoteLiteral(q)
		}
		column = "table_name"
		c.put(`SELECT table_name AS "Tables" FROM information_schema.tables WHERE table_schema = `, schema)
	case sqlparser.Database:
		column = "schema_name"
		c.put(`SELECT schema_name AS "Database" FROM information_schema.schemata WHERE true`)
	case sqlparser.Column:
		if b.Filter != nil || b.Full {
			c.refuse("show", "SHOW COLUMNS with a filter")
		}
		t := b.Tbl
		if t.Qualifier.IsEmpty() {
			t.Qualifier = b.DbName
		}
		c.describe(t)
		return
	default:
		c.refuse("show", "SHOW %s", strings.ToUpper(c.first(1)))
		return
	}
	if f := b.Filter; f != nil {
		if f.Filter != nil {
			c.refuse("where", "SHOW … WHERE")
		}
		c.put(" AND ", column, " LIKE ", parser.QuoteLiteral(f.Like))
	}
	c.put(" ORDER BY 1")
}

func (c *converter) insert(n *sqlparser.Insert) {
	switch {
	case n.Action == sqlparser.ReplaceAct:
		c.refuse("replace", "REPLACE")
	case bool(n.Ignore):
		c.refuse("ignore", "INSERT IGNORE")
	case len(n.OnDup) > 0:
		c.refuse("duplicate", "ON DUPLICATE KEY UPDATE")
	case len(n.Partitions) > 0 || n.RowAlias != nil:
		c.refuse("insert", "this form of INSERT")
	}
	c.put("INSERT INTO ")
	if t, ok := n.Table.Expr.(sqlparser.TableName); ok {
		c.table(t)
	}
	if len(n.Columns) > 0 {
		c.put(" (")
		c.columns(n.Columns)
		c.put(")")
	}
	c.put(" ")
	switch rows := n.Rows.(type) {
	case sqlparser.Values:
		c.put("VALUES ")
		list(c, rows, func(t sqlparser.ValTuple) { c.expr(t) })
	case sqlparser.TableStatement:
		c.query(rows)
	default:
		c.refuse("insert", "this form of INSERT")
	}
}

func (c *converter) columns(cols sqlparser.Columns) {
	list(c, cols, func(i sqlparser.IdentifierCI) { c.name(i.String()) })
}

// columnTypes are the plain types of CREATE TABLE. Unsigned integers have the next
// wider type, which holds all their values.
var columnTypes = map[string][2]string{
	"tinyint": {"smallint", "smallint"}, "smallint": {"smallint", "integer"}, "mediumint": {"integer", "integer"},
	"int": {"integer", "bigint"}, "integer": {"integer", "bigint"}, "bigint": {"bigint", "numeric(20,0)"},
	"float": {"real", "real"}, "double": {"double precision", "double precision"}, "real": {"double precision", "double precision"},
	"decimal": {"numeric", "numeric"}, "numeric": {"numeric", "numeric"}, "bool": {"boolean", ""}, "boolean": {"boolean", ""},
	"char": {"varchar", ""}, "varchar": {"varchar", ""}, "text": {"text", ""}, "tinytext": {"text", ""}, "mediumtext": {"text", ""}, "longtext": {"text", ""},
	"blob": {"bytea", ""}, "tinyblob": {"bytea", ""}, "mediumblob": {"bytea", ""}, "longblob": {"bytea", ""}, "binary": {"bytea", ""}, "varbinary": {"bytea", ""},
	"date": {"date", ""}, "time": {"time", ""}, "datetime": {"timestamp", ""}, "timestamp": {"timestamp", ""}, "json": {"jsonb", ""},
}

func (c *converter) columnType(t *sqlparser.ColumnType) {
	name := strings.ToLower(t.Type)
	known, ok := columnTypes[name]
	if !ok {
		c.refuse(name, "type %s", strings.ToUpper(name))
		return
	}
	typ := known[0]
	if t.Unsigned && known[1] != "" {
		typ = known[1]
	}
	c.put(typ)
	switch {
	case typ == "numeric" && t.Length != nil:
		scale := 0
		if t.Scale != nil {
			scale = *t.Scale
		}
		c.put("(", strconv.Itoa(*t.Length), ",", strconv.Itoa(scale), ")")
	case typ == "numeric":
		c.put("(10,0)")
	case typ == "varchar" && t.Length != nil:
		c.put("(", strconv.Itoa(*t.Length), ")")
	case typ == "varchar":
		c.put("(1)")
	}
}

func (c *converter) createTable(n *sqlparser.CreateTable) {
	switch {
	case n.Temp:
		c.refuse("temporary", "CREATE TEMPORARY TABLE")
	case n.OptLike != nil:
		c.refuse("like", "CREATE TABLE … LIKE")
	case !n.FullyParsed && n.TableSpec == nil && n.Select == nil, n.IgnoreOrReplace != sqlparser.NoIgnoreOrReplace:
		c.refuse("create", "this form of CREATE TABLE")
	}
	c.put("CREATE TABLE ")
	if n.IfNotExists {
		c.put("IF NOT EXISTS ")
	}
	c.table(n.Table)
	if s := n.TableSpec; s != nil {
		switch {
		case len(s.Indexes) > 0:
			c.refuse("key", "a key of a table")
		case len(s.Constraints) > 0:
			c.refuse("constraint", "a constraint of a table")
		case s.PartitionOption != nil:
			c.refuse("partition", "PARTITION BY of a table")
		}
		if n.Select != nil && len(s.Columns) > 0 {
			c.refuse("select", "CREATE TABLE with columns and a query")
		}
		if n.Select == nil {
			c.put(" (")
			list(c, s.Columns, c.columnDefinition)
			c.put(")")
		}
	}
	if n.Select != nil {
		c.put(" AS ")
		c.query(n.Select)
	}
}

func (c *converter) columnDefinition(d *sqlparser.ColumnDefinition) {
	// A column keeps its name as it is written; it is found in any case.
	c.mark(d.Name.String())
	c.put(parser.QuoteIdent(d.Name.String()), " ")
	c.columnType(d.Type)
	o := d.Type.Options
	if o == nil {
		return
	}
	switch {
	case o.Autoincrement:
		c.refuse("auto_increment", "AUTO_INCREMENT")
	case o.As != nil:
		c.refuse("as", "a generated column")
	case o.OnUpdate != nil:
		c.refuse("update", "ON UPDATE of a column")
	case o.Reference != nil:
		c.refuse("references", "REFERENCES")
	case o.KeyOpt != 0:
		c.refuse("key", "a key of a column")
	}
	if o.Null != nil && !*o.Null {
		c.put(" NOT NULL")
	}
	if o.Default != nil {
		if _, null := o.Default.(*sqlparser.NullVal); !null {
			c.put(" DEFAULT ")
			c.expr(o.Default)
		}
	}
}
