package storage

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// readJSON plans and reads a file; every row is its values with | between.
func readJSON(path string, cfg *JSONConfig, batchRows int, columns ...string) (schema string, rows []string, err error) {
	p, err := PlanJSON(context.Background(), []string{path}, cfg)
	if err != nil {
		return "", nil, err
	}
	var names []string
	for _, f := range p.Schema {
		names = append(names, f.Name+" "+f.Type.String())
	}
	if columns == nil {
		for _, f := range p.Schema {
			columns = append(columns, f.Name)
		}
	}
	scan := &proto.Scan{Format: "json", Name: path, Columns: columns, FileSchema: ToProtoFields(p.Schema), Json: p.Options}
	r, err := OpenScan(context.Background(), scan, p.Splits, batchRows)
	if err != nil {
		return "", nil, err
	}
	defer r.Close()
	for {
		b, err := r.Next(context.Background())
		if err != nil || b == nil {
			return strings.Join(names, ", "), rows, err
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

func TestJSON(t *testing.T) {
	for _, c := range []struct {
		name, text, schema, rows, err string
		cfg                           JSONConfig
	}{
		{name: "types", text: `{"i":1,"f":1.5,"b":true,"s":"x","d":"2024-02-29","ts":"2024-01-01T10:00:00","z":"2024-01-01T10:00:00Z","n":null,"big":123456789012345678901}
{"i":-7,"f":2,"b":false,"s":"\u00e4\n\"","d":null,"ts":"2024-01-01 11:00:00.5","z":"2024-01-01T10:00:00+02:00","big":1}
`, schema: "i bigint, f double precision, b boolean, s text, d date, ts timestamp without time zone, z timestamp with time zone, n text, big numeric",
			rows: "1|1.5|t|x|2024-02-29|2024-01-01 10:00:00|2024-01-01 10:00:00+00|NULL|123456789012345678901\n-7|2|f|ä\n\"|NULL|2024-01-01 11:00:00.5|2024-01-01 08:00:00+00|NULL|1"},
		{name: "keys come and go, twice", text: "{\"a\":1}\n\n{\"b\":2,\"a\":3}\r\n  {\"b\":4,\"b\":5,\"c\":{}}", schema: "a bigint, b bigint, c jsonb",
			rows: "1|NULL|NULL\n3|2|NULL\nNULL|5|{}"},
		{name: "nested", text: `{"a":[1,2,null],"o":{"y":1,"x":[true]},"t":["a","b\n,"],"e":[],"m":[1,"x"],"aa":[[1]],"oo":[{"k":1}]}`,
			schema: "a bigint[], o jsonb, t text[], e jsonb, m text[], aa jsonb, oo jsonb",
			rows:   "{1,2,NULL}|{\"x\": [true], \"y\": 1}|{a,\"b\n,\"}|[]|{1,x}|[[1]]|[{\"k\": 1}]"},
		{name: "mixed scalars", text: "{\"a\":1}\n{\"a\":\"x\"}\n{\"a\":true}", schema: "a text", rows: "1\nx\ntrue"},
		{name: "mixed with objects", text: "{\"a\":1}\n{\"a\":\"x\"}\n{\"a\":{\"b\":1}}", schema: "a jsonb", rows: "1\n\"x\"\n{\"b\": 1}"},
		{name: "array", text: " [ {\"a\" : 1} ,\n {\"a\":\n2}\n]\n", schema: "a bigint", rows: "1\n2"},
		{name: "spanning lines", text: "{\n \"a\": 1\n}\n{\n \"a\": 2 }", schema: "a bigint", rows: "1\n2"},
		{name: "escaped key", text: `{"\u0061":1}` + "\n" + `{"a":2}`, schema: "a bigint", rows: "1\n2"},
		{name: "numbers in quotes are text", text: `{"a":"1"}`, schema: "a text", rows: "1"},
		{name: "declared", text: `{"x":9,"a":"1"}`, cfg: JSONConfig{Columns: []vector.Field{{Name: "a", Type: types.T(types.Int8)}, {Name: "q", Type: types.T(types.Text)}}},
			schema: "a bigint, q text", rows: "1|NULL"},
		{name: "declared, unknown", text: `{"x":9,"a":"1"}`, cfg: JSONConfig{UnknownError: true, Columns: []vector.Field{{Name: "a", Type: types.T(types.Int8)}}},
			err: "42703: key \"x\" is not a column (line 1)"},
		{name: "override", text: `{"a":1}`, cfg: JSONConfig{Types: map[string]types.Type{"A": types.T(types.Text)}}, schema: "a text", rows: "1"},
		{name: "all text", text: `{"a":1,"b":[1, 2]}`, cfg: JSONConfig{AllText: true}, schema: "a text, b text", rows: "1|[1, 2]"},
		{name: "bad value", text: "{\"a\":1}\n{\"a\":2}\n{\"a\":1.5}\n", cfg: JSONConfig{SampleRows: 2}, err: `22P02: invalid input syntax for type bigint: "1.5" (line 3, column "a")`},
		{name: "bad value ignored", text: "{\"a\":1}\n{\"a\":2}\n{\"a\":1.5}\n{\"a\":4}", cfg: JSONConfig{SampleRows: 2, IgnoreErrors: true}, schema: "a bigint", rows: "1\n2\n4"},
		{name: "object where a scalar is", text: "{\"a\":1}\n{\"a\":{}}\n", cfg: JSONConfig{SampleRows: 1}, err: `22P02: invalid input syntax for type bigint: "{}" (line 2, column "a")`},
		{name: "bad syntax", text: "{\"a\":1}\n{\"a\":2\n{\"a\":3}\n", cfg: JSONConfig{Format: "newline_delimited"}, err: "22P02: invalid input syntax for type json (line 2)"},
		{name: "bad syntax ignored", text: "{\"a\":1}\n{\"a\":2\n{\"a\":3}x\nfoo\n{\"a\":4}\n{", cfg: JSONConfig{Format: "newline_delimited", IgnoreErrors: true}, schema: "a bigint", rows: "1\n4"},
		{name: "two on a line", text: "{\"a\":1} {\"a\":2}", err: "22P02: invalid input syntax for type json (line 1)"},
		{name: "array not closed", text: "[{\"a\":1},", err: "22P02: invalid input syntax for type json (line 1)"},
		{name: "array with a comma too many", text: "[{\"a\":1},]", err: "22P02: invalid input syntax for type json (line 1)"},
		{name: "behind the array", text: "[{\"a\":1}] {}", err: "22P02: invalid input syntax for type json (line 1)"},
		{name: "no object", text: "1\n", err: "22P02: invalid input syntax for type json (line 1)"},
		{name: "half a surrogate", text: "{\"a\":\"\\ud800\"}", err: "22P02: invalid input syntax for type json (line 1, column \"a\")"},
		{name: "zero", text: "{\"a\":\"\\u0000\"}", err: "22P05: unsupported Unicode escape sequence (line 1, column \"a\")"},
		{name: "empty", text: "", err: "22P04: file \"F\" has no objects with keys, so its columns are not known"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := writeFile(t, "x.json", c.text)
			schema, rows, err := readJSON(path, &c.cfg, 0)
			got := ""
			if err != nil {
				pe := pgerr.From(err)
				got = pe.Code + ": " + strings.ReplaceAll(pe.Message, path, "F")
				if pe.Where != "" {
					got += " (" + strings.TrimPrefix(pe.Where, path+", ") + ")"
				}
			}
			if got != c.err {
				t.Fatalf("error %q, want %q", got, c.err)
			}
			if err == nil && (schema != c.schema || strings.Join(rows, "\n") != c.rows) {
				t.Errorf("%s\n%s\nwant\n%s\n%s", schema, strings.Join(rows, "\n"), c.schema, c.rows)
			}
		})
	}
}

// TestJSONSplits reads a file in pieces of all sizes.
func TestJSONSplits(t *testing.T) {
	var text strings.Builder
	var want []string
	for i := range 2000 {
		fmt.Fprintf(&text, "{\"id\":%d,\"name\":\"%s\",\"x\":{\"a\":[1,2]}}\n", i, strings.Repeat("n", i%50))
		want = append(want, fmt.Sprintf("%d|%s", i, strings.Repeat("n", i%50)))
	}
	path := writeFile(t, "x.ndjson", text.String())
	for _, size := range []int64{1, 50, 1000, 1 << 20} {
		_, rows, err := readJSON(path, &JSONConfig{SplitBytes: size}, 100, "id", "name")
		if err != nil {
			t.Fatal(err)
		}
		if strings.Join(rows, "\n") != strings.Join(want, "\n") {
			t.Errorf("splits of %d bytes: other rows", size)
		}
	}
}

// FuzzJSON compares with encoding/json, line by line.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{"a":1}`, `{"a":"x\u00e4\\"}`, `{"a":{"b":[1,2,{"c":null}]},"b":-1.5e+3}`, `{"a":tru}`, `{"b" : "long text of more than eight bytes" , "a":[]}`,
		`{"a":01}`, `{}`, `{"a":"\ud83d\ude00"}`, `{"aaaaaaaaaaaaaa":false}`, `{"a":1,}`, `["a"]`, "{\"a\":\"\x01\"}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if bytes.ContainsAny(data, "\n\x00") || len(data) > 1<<16 {
			return
		}
		tok := newJSONTok([]string{"a", "b", "aaaaaaaaaaaaaa"}, []int{0, 1, 2}, true, false)
		buf := append(bytes.Clone(data), '\n')
		n := len(buf)
		tok.reset(append(buf, make([]byte, 16)...), n)
		slots := make([]jsonSlot, 3)
		i := tok.space(0)
		next := tok.object(i, slots)
		if next >= 0 && tok.p[tok.space(next)] != '\n' {
			next = -1
		}
		var want map[string]json.RawMessage
		err := json.Unmarshal(data, &want)
		valid := err == nil && want != nil
		if strings.Contains(fmt.Sprint(err), "exceeded max depth") || tok.want == "fewer levels" {
			return
		}
		if valid != (next >= 0) && tok.want != "a key that is text" {
			t.Fatalf("%q: valid %t, but %d (%s at %d): %v", data, valid, next, tok.want, tok.at, err)
		}
		if !valid || next < 0 {
			return
		}
		for k, name := range []string{"a", "b", "aaaaaaaaaaaaaa"} {
			raw, have := want[name]
			if !have || string(raw) == "null" {
				if slots[k].kind() != jsonNull {
					t.Fatalf("%q: %s is not null", data, name)
				}
				continue
			}
			got := slots[k].bytes(tok.p)
			switch slots[k].kind() {
			case jsonString, jsonEscaped:
				got, err = jsonUnescape(nil, got)
				var s string
				if json.Unmarshal(raw, &s) != nil || err == nil && checkUTF8(got) == nil && s != string(got) {
					t.Fatalf("%q: %s is %q, want %q", data, name, got, s)
				}
			default:
				if string(got) != string(bytes.TrimSpace(raw)) {
					t.Fatalf("%q: %s is %q, want %q", data, name, got, raw)
				}
			}
		}
	})
}
