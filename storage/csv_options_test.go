package storage

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// scanAll reads all columns of splits; rows are values with | between.
func scanAll(t *testing.T, scan *proto.Scan, splits []*proto.Split, batchRows int) (rows []string, err error) {
	t.Helper()
	r, err := OpenScan(context.Background(), scan, splits, batchRows)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	for {
		b, err := r.Next(context.Background())
		if err != nil || b == nil {
			return rows, err
		}
		for i := range b.Rows() {
			var out []string
			for _, v := range b.Cols() {
				if v.IsNull(i) {
					out = append(out, "NULL")
				} else {
					out = append(out, string(vector.AppendText(nil, v, i, nil)))
				}
			}
			rows = append(rows, strings.Join(out, "|"))
		}
	}
}

func describe(fields []vector.Field) (out string, names []string) {
	var parts []string
	for _, f := range fields {
		parts, names = append(parts, f.Name+" "+f.Type.String()), append(names, f.Name)
	}
	return strings.Join(parts, ", "), names
}

func TestCSVOptions(t *testing.T) {
	na := "NA"
	for _, c := range []struct {
		name, text, schema, rows, err string
		cfg                           CSVConfig
	}{
		{name: "null padding", text: "a,b,c\n1\n2,x\n\n3,y,4\n5", cfg: CSVConfig{NullPadding: true, Delimiter: ","}, schema: "a bigint, b text, c bigint",
			rows: "1|NULL|NULL\n2|x|NULL\n3|y|4\n5|NULL|NULL"},
		{name: "null padding with a null string", text: "a,b\n1\n2,NA\n3,\n", cfg: CSVConfig{NullPadding: true, NullString: &na, Delimiter: ","}, schema: "a bigint, b text", rows: "1|NULL\n2|NULL\n3|"},
		{name: "null padding does not hide errors", text: "a,b\n1,2\nx\n", cfg: CSVConfig{NullPadding: true, SampleRows: 1}, err: "22P02 line 3, column \"a\""},
		{name: "too many fields are an error", text: "a,b\n1,2\n1,2,3\n", cfg: CSVConfig{NullPadding: true, SampleRows: 1}, err: "22P04 line 3"},
		{name: "dates", text: "d,t\n31/12/2023,\"Jan 2, 2024 3:04 PM\"\n1/2/2024,\"Feb 29, 2024 12:00 AM\"\n", cfg: CSVConfig{DateFormat: "%d/%m/%Y", TimestampFormat: "%b %d, %Y %I:%M %p"},
			schema: "d date, t timestamp without time zone", rows: "2023-12-31|2024-01-02 15:04:00\n2024-02-01|2024-02-29 00:00:00"},
		{name: "an offset", text: "t\n20240101T120000+0200\n", cfg: CSVConfig{TimestampFormat: "%Y%m%dT%H%M%S%z"}, schema: "t timestamp with time zone", rows: "2024-01-01 10:00:00+00"},
		{name: "a day before 1970", text: "d\n69-12-31\n70-001\n", cfg: CSVConfig{DateFormat: "%y-%j", Types: map[string]types.Type{"d": types.T(types.Date)}}, err: "22007 line 2, column \"d\""},
		{name: "of the year", text: "d\n69-365\n70-001\n", cfg: CSVConfig{DateFormat: "%y-%j"}, schema: "d date", rows: "1969-12-31\n1970-01-01"},
		{name: "no such pattern", text: "d\n1\n", cfg: CSVConfig{DateFormat: "%Q"}, err: "0A000 "},
		{name: "the whole file is the sample", text: "a\n" + strings.Repeat("1\n", 30000) + "x\n", cfg: CSVConfig{SampleRows: -1}, schema: "a text", rows: strings.TrimSuffix(strings.Repeat("1\n", 30000)+"x\n", "\n")},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := writeFile(t, "x.csv", c.text)
			p, err := PlanCSV(context.Background(), []string{path}, &c.cfg)
			var rows []string
			schema := ""
			if err == nil {
				var names []string
				schema, names = describe(p.Schema)
				rows, err = scanAll(t, &proto.Scan{Format: "csv", Name: path, Columns: names, FileSchema: ToProtoFields(p.Schema), Csv: p.Options}, p.Splits, 2)
			}
			got := ""
			if err != nil {
				pe := pgerr.From(err)
				got = pe.Code + " " + strings.TrimPrefix(pe.Where, path+", ")
			}
			if got != c.err {
				t.Fatalf("error %q (%v), want %q", got, err, c.err)
			}
			if err == nil && (schema != c.schema || strings.Join(rows, "\n") != c.rows) {
				t.Errorf("%s\n%.200s\nwant\n%s\n%.200s", schema, strings.Join(rows, "\n"), c.schema, c.rows)
			}
		})
	}
}

// TestPathColumns reads files of different columns in directories that name values.
func TestPathColumns(t *testing.T) {
	dir := t.TempDir()
	var paths []string
	for _, f := range []struct{ path, text string }{
		{"k=1/d=a%20b/x.csv", "a,b\n1,x\n"},
		{"k=2/d=" + hiveNull + "/x.csv", "c,a\n2024-01-01,2.5\n"},
	} {
		path := filepath.Join(dir, f.path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(f.text), 0o600); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	p, err := PlanCSV(context.Background(), paths, &CSVConfig{ByName: true})
	if err != nil {
		t.Fatal(err)
	}
	extra, err := PathColumns{Hive: true, Filename: "file"}.Add(p.Schema, p.Splits)
	if err != nil {
		t.Fatal(err)
	}
	schema, names := describe(append(p.Schema, extra...))
	if want := "a double precision, b text, c date, k bigint, d text, file text"; schema != want {
		t.Fatalf("%s, want %s", schema, want)
	}
	column := func(i int, ty types.Type) *proto.Expr {
		return &proto.Expr{Type: ToProtoType(ty), Node: &proto.Expr_Column{Column: &proto.Column{Index: uint32(i)}}}
	}
	constant := func(ty types.Type, text string) *proto.Expr {
		b := vector.NewBuilder(ty, 1)
		if err := vector.ParseText(b, []byte(text), nil); err != nil {
			t.Fatal(err)
		}
		return &proto.Expr{Type: ToProtoType(ty), Node: &proto.Expr_Const{Const: &proto.Const{Value: vector.AppendBinary(nil, b.Build(), 0)}}}
	}
	equal := func(f string, i int, ty types.Type, text string) *proto.Expr {
		return &proto.Expr{Node: &proto.Expr_Call{Call: &proto.Call{Function: f, Args: []*proto.Expr{column(i, ty), constant(ty, text)}}}}
	}
	all := []string{"1|x|NULL|1|a b|" + paths[0], "2.5|NULL|2024-01-01|2|NULL|" + paths[1]}
	for _, c := range []struct {
		filter *proto.Expr
		want   []string
	}{
		{nil, all},
		{equal("pg_catalog.int8eq(int8,int8)", 3, types.T(types.Int8), "2"), all[1:]},
		{equal("pg_catalog.texteq(text,text)", 4, types.T(types.Text), "a b"), all[:1]},
		{equal("pg_catalog.texteq(text,text)", 1, types.T(types.Text), "a b"), all}, // not by the name
	} {
		scan := &proto.Scan{Format: "csv", Columns: names, FileSchema: ToProtoFields(p.Schema), Csv: p.Options, ByName: true, Extra: ToProtoFields(extra), Filter: c.filter}
		rows, err := scanAll(t, scan, p.Splits, 0)
		if err != nil || strings.Join(rows, "\n") != strings.Join(c.want, "\n") {
			t.Errorf("%v: %q, want %q", err, rows, c.want)
		}
	}
}
