package inline

import (
	"os"
	"strings"
	"testing"

	"github.com/volleydb/volley/parser"
	"github.com/volleydb/volley/test/engine"
)

// The statements of docs/udf/inline.md give what stands below them.
func TestDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/udf/inline.md")
	if err != nil {
		t.Fatal(err)
	}
	s := engine.Start(t, 0).Session()
	var got []string
	blocks := 0
	for i, part := range strings.Split(string(page), "```") {
		lang, body, _ := strings.Cut(part, "\n")
		switch {
		case i%2 == 0:
		case lang == "sql":
			blocks++
			list, rest := parser.Split(body)
			if strings.TrimSpace(rest) != "" {
				t.Fatalf("not a statement: %s", rest)
			}
			for _, sql := range list {
				if r := run(t, s, sql); len(r.Rows) > 0 {
					got = append(got, text(r))
				}
			}
		case lang == "text":
			if g := strings.Join(got, "\n"); g != strings.TrimSpace(body) {
				t.Errorf("got\n%s\nwant\n%s", g, body)
			}
			got = nil
		}
	}
	if blocks < 6 {
		t.Errorf("%d blocks of SQL", blocks)
	}
}
