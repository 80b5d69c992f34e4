package udftest

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/volleydb/volley/udf/sdk"
)

// goldenCase is a case of golden.json, as package udf and CREATE FUNCTION read it.
type goldenCase struct {
	In        []string   `json:"in"`
	Out       string     `json:"out"`
	Rows      [][]string `json:"rows"`
	OutRows   [][]string `json:"out_rows"`
	Tolerance float64    `json:"tolerance"`
}

// Golden checks the cases of a golden file, which volley udf build puts into the
// artifact and CREATE FUNCTION runs. Values are literals of SQL: numbers, true, NULL,
// 'text'; arrays and composite types are not supported here.
func (f *Functions) Golden(t testing.TB, file string) {
	t.Helper()
	data, err := os.ReadFile(file)
	var all map[string][]goldenCase
	if err == nil {
		err = json.Unmarshal(data, &all)
	}
	if err != nil {
		t.Fatalf("udftest: %s: %v", file, err)
	}
	tolerance := f.Tolerance
	defer func() { f.Tolerance = tolerance }()
	for name, cases := range all {
		d, ok := f.desc[name]
		if !ok {
			t.Errorf("%s has cases of %q, and there is no such function", file, name)
			continue
		}
		var args, outs []string
		for _, a := range d.Args {
			args = append(args, a.Type)
		}
		for _, c := range d.Columns {
			outs = append(outs, c.Type)
		}
		for i, c := range cases {
			f.Tolerance = max(tolerance, c.Tolerance)
			where := fmt.Sprintf("%s, case %d of %s", file, i+1, name)
			rows, err := literals(c.Rows, args)
			var in, out, outRows Rows
			if err == nil && d.Kind == "scalar" {
				in, err = literals([][]string{c.In}, args)
			}
			if err == nil && d.Returns != nil {
				out, err = literals([][]string{{c.Out}}, []string{d.Returns.Type})
			}
			if err == nil {
				outRows, err = literals(c.OutRows, outs)
			}
			if err != nil {
				t.Errorf("%s: %v", where, err)
				continue
			}
			switch d.Kind {
			case "scalar":
				if got, err := f.tester.Scalar(name, in); err != nil {
					t.Errorf("%s: %v", where, err)
				} else if !f.same(got[0], out[0][0]) {
					t.Errorf("%s: %s is %s, want %s", where, f.describe(name, in[0]), show(got[0]), show(out[0][0]))
				}
			case "aggregate":
				if got, err := f.whole(name, rows, max(len(rows), 1)); err != nil {
					t.Errorf("%s: %v", where, err)
				} else if !f.same(got, out[0][0]) {
					t.Errorf("%s: it is %s, want %s", where, show(got), show(out[0][0]))
				}
			case "grouped_map":
				g := []Group{{Rows: rows, OutRows: outRows}}
				f.emits(t, name, where, g, nil, frames(g, 0))
			default:
				t.Errorf("%s: golden cases of %s functions are not supported", where, d.Kind)
			}
		}
	}
}

// literals reads rows of literals of SQL as values of types.
func literals(rows [][]string, types []string) (Rows, error) {
	var out Rows
	for _, row := range rows {
		if len(row) != len(types) {
			return nil, fmt.Errorf("%d values, want %d", len(row), len(types))
		}
		vals := make(Row, len(row))
		for i, s := range row {
			var err error
			if vals[i], err = literal(s, types[i]); err != nil {
				return nil, fmt.Errorf("%s: %w", s, err)
			}
		}
		out = append(out, vals)
	}
	return out, nil
}

func literal(s, typ string) (any, error) {
	s = strings.TrimSpace(s)
	if strings.EqualFold(s, "null") {
		return nil, nil
	}
	if n := len(s); n >= 2 && s[0] == '\'' && s[n-1] == '\'' {
		s = strings.ReplaceAll(s[1:n-1], "''", "'")
	}
	switch typ {
	case "bool":
		return strconv.ParseBool(s)
	case "int16":
		n, err := strconv.ParseInt(s, 10, 16)
		return int16(n), err
	case "int32":
		n, err := strconv.ParseInt(s, 10, 32)
		return int32(n), err
	case "int64":
		return strconv.ParseInt(s, 10, 64)
	case "float32":
		x, err := strconv.ParseFloat(s, 32)
		return float32(x), err
	case "float64":
		return strconv.ParseFloat(s, 64)
	case "string":
		return s, nil
	case "json":
		return udf.JSON(s), nil
	case "jsonb":
		return udf.JSONB(s), nil
	case "numeric":
		return udf.ParseDecimal(s)
	case "bytes":
		return []byte(s), nil
	case "date", "time", "timestamp", "timestamptz":
		for _, layout := range []string{"2006-01-02", "2006-01-02 15:04:05.999999", time.RFC3339Nano, "2006-01-02 15:04:05.999999Z07"} {
			if x, err := time.Parse(layout, s); err == nil {
				switch typ {
				case "date":
					return udf.Day{Time: x}, nil
				case "timestamp":
					return udf.Timestamp{Time: x}, nil
				case "timestamptz":
					return udf.Timestamptz{Time: x}, nil
				}
				return x, nil
			}
		}
	}
	return nil, fmt.Errorf("literals of type %s are not supported here", typ)
}
