package storage

import (
	"context"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

var gameFields = []vector.Field{{Name: "g1", Type: types.T(types.Int8)}, {Name: "g2", Type: types.T(types.Int8)}, {Name: "t", Type: types.T(types.Text)}}

func TestCopyFrom(t *testing.T) {
	csv, text := &proto.CsvOptions{}, &proto.CsvOptions{TextFormat: true}
	cases := []struct {
		name, in string
		o        *proto.CsvOptions
		rows     string // or the error as code: message [where]
	}{
		{"csv", "1,2,x\n3,,\"\"\n", csv, "1|2|\"x\" 3|NULL|\"\""},
		{"csv header", "a,b,c\n1,2,x\n", &proto.CsvOptions{Header: true}, "1|2|\"x\""},
		{"quotes toggle anywhere", "1,2,a\"b,\"\"\"c\n", csv, `1|2|"ab,\"c"`},
		{"end mark", "1,2,x\n\\.\ngarbage", csv, "1|2|\"x\""},
		{"CRLF and quotes", "1,2,\"x\"\r\n3,4,y\r\n", csv, "1|2|\"x\" 3|4|\"y\""},
		{"force null, force not null", "1,\"\",\n", &proto.CsvOptions{ForceNull: []string{"g2"}, ForceNotNull: []string{"t"}}, "1|NULL|\"\""},
		{"csv bad value", "1,2,x\n3,4,y\n5,abc,z\n", csv, `22P02: invalid input syntax for type bigint: "abc" [COPY games, line 3, column g2: "abc"]`},
		{"csv missing", "1,2,x\n3,4\n", csv, `22P04: missing data for column "t" [COPY games, line 2: "3,4"]`},
		{"csv extra", "1,2,x,y\n", csv, `22P04: extra data after last expected column [COPY games, line 1: "1,2,x,y"]`},
		{"csv empty line", "1,2,x\n\n", csv, `22P04: missing data for column "g2" [COPY games, line 2: ""]`},
		{"csv unterminated", "1,2,\"x\n", csv, `22P04: unterminated CSV quoted field [COPY games, line 1: "1,2,"x"]`},
		{"csv lines in quotes count", "1,2,\"\n\n\"\nx,2,y\n", csv, `22P02: invalid input syntax for type bigint: "x" [COPY games, line 4, column g1: "x"]`},
		{"text", "1\t2\ta\\tb\\\\\\n\\x41\\102\n\\N\t\\N\t\\N\n", text, `1|2|"a\tb\\\nAB" NULL|NULL|NULL`},
		{"text escaped newline and tab", "1\t2\ta\\\tb\\\nc\n", text, `1|2|"a\tb\nc"`},
		{"text end mark", "1\t2\tx\n\\.\n", text, "1|2|\"x\""},
		{"text empty is not null", "1\t2\t\n", text, `1|2|""`},
		{"text bad", "1\t\tx\n", text, `22P02: invalid input syntax for type bigint: "" [COPY games, line 1, column g2: ""]`},
		{"text extra", "1\t2\tx\ty\n", text, "22P04: extra data after last expected column [COPY games, line 1: \"1\t2\tx\ty\"]"},
		{"empty", "", csv, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			for _, in := range []io.Reader{strings.NewReader(c.in), iotest.OneByteReader(strings.NewReader(c.in)), iotest.DataErrReader(strings.NewReader(c.in))} {
				r, err := NewCopyReader(in, gameFields, c.o, "games")
				if err != nil {
					t.Fatal(err)
				}
				rows, err := drain(r)
				got := strings.Join(rows, " ")
				if err != nil {
					pe := pgerr.From(err)
					got = pe.Code + ": " + pe.Message + " [" + pe.Where + "]"
				}
				if got != c.rows {
					t.Errorf("got  %s\nwant %s", got, c.rows)
				}
			}
		})
	}
}

// TestCopyNullOfEveryType: the NULL of the text format is no value of any type,
// whatever its letters mean (N is a boolean).
func TestCopyNullOfEveryType(t *testing.T) {
	for _, c := range allTypes {
		fs := []vector.Field{{Name: "a", Type: c.t}}
		for _, o := range []*proto.CsvOptions{{TextFormat: true}, {}, {NullString: "no", NullSet: true}} {
			want := vector.NewBatch([]*vector.Vector{build(t, c.t, 2*len(c.vals), func(i int) (string, bool) { return c.vals[i/2], i%2 == 0 })}, 2*len(c.vals))
			e, err := NewCopyEncoder(fs, o, nil)
			if err != nil {
				t.Fatal(err)
			}
			data := e.AppendBatch(nil, want)
			r, err := NewCopyReader(strings.NewReader(string(data)), fs, o, "t")
			if err != nil {
				t.Fatal(err)
			}
			got, err := drain(r)
			exp, _ := drain(&oneBatch{want})
			if err != nil || strings.Join(got, " ") != strings.Join(exp, " ") {
				t.Errorf("%s %v: %.300s, want %.300s (%v)", c.t, o, got, exp, err)
			}
		}
	}
}

func TestCopyFromAbort(t *testing.T) {
	fail := pgerr.New(pgerr.QueryCanceled, "COPY from stdin failed: no")
	r, _ := NewCopyReader(io.MultiReader(strings.NewReader("1,2,x\n"), iotest.ErrReader(fail)), gameFields, &proto.CsvOptions{}, "games")
	_, err := drain(r)
	if err == nil || pgerr.From(err).Message != fail.Message {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r, _ = NewCopyReader(strings.NewReader("1,2,x\n"), gameFields, &proto.CsvOptions{}, "games")
	if _, err := r.Next(ctx); pgerr.Code(err) != pgerr.QueryCanceled {
		t.Error(err)
	}
}

func TestCopyTo(t *testing.T) {
	fs := []vector.Field{{Name: "a", Type: types.T(types.Text)}, {Name: "b,c", Type: types.T(types.Varchar)}}
	b := vector.NewBatch([]*vector.Vector{
		vector.FromStrings(fs[0].Type, []string{"x", "", "a,b", "say \"hi\"", "tab\tnl\n\\", "\\."}),
		vector.FromStrings(fs[1].Type, []string{"1", "2", "3", "4", "5", "6"}).WithValid([]byte{0b111101}),
	}, 6)
	cases := []struct {
		name  string
		o     *proto.CsvOptions
		force []string
		want  string
	}{
		{"csv", &proto.CsvOptions{Header: true}, nil, "a,\"b,c\"\nx,1\n\"\",\n\"a,b\",3\n\"say \"\"hi\"\"\",4\n\"tab\tnl\n\\\",5\n\\.,6\n"},
		{"text", &proto.CsvOptions{TextFormat: true}, nil, "x\t1\n\t\\N\na,b\t3\nsay \"hi\"\t4\ntab\\tnl\\n\\\\\t5\n\\\\.\t6\n"},
		{"force quote", &proto.CsvOptions{}, []string{"b,c"}, "x,\"1\"\n\"\",\n\"a,b\",\"3\"\n\"say \"\"hi\"\"\",\"4\"\n\"tab\tnl\n\\\",\"5\"\n\\.,\"6\"\n"},
		{"delimiter, null, escape", &proto.CsvOptions{Delimiter: ";", NullString: "x", NullSet: true, Escape: `\`}, nil, "\"x\";1\n;x\na,b;3\n\"say \\\"hi\\\"\";4\n\"tab\tnl\n\\\\\";5\n\\.;6\n"},
	}
	for _, c := range cases {
		e, err := NewCopyEncoder(fs, c.o, c.force)
		if err != nil {
			t.Fatal(err)
		}
		got := string(e.AppendBatch(e.Header(nil), b))
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		// What was written reads back.
		o := c.o
		r, err := NewCopyReader(strings.NewReader(got), fs, o, "t")
		if err != nil {
			t.Fatal(err)
		}
		rows, err := drain(r)
		want, _ := drain(&oneBatch{b})
		if err != nil || strings.Join(rows, "\n") != strings.Join(want, "\n") {
			t.Errorf("%s: read back %q, %v", c.name, rows, err)
		}
	}
}

type oneBatch struct{ b *vector.Batch }

func (o *oneBatch) Next(context.Context) (*vector.Batch, error) {
	b := o.b
	o.b = nil
	return b, nil
}
func (o *oneBatch) Close() error             { return nil }
func (o *oneBatch) Progress() (int64, int64) { return 0, 0 }

func TestCopyOptions(t *testing.T) {
	for _, c := range []struct {
		o    *proto.CsvOptions
		code string
	}{
		{&proto.CsvOptions{Delimiter: "||"}, "0A000"},
		{&proto.CsvOptions{Delimiter: "\n"}, "22023"},
		{&proto.CsvOptions{Delimiter: "\"", Quote: "\""}, "22023"},
		{&proto.CsvOptions{NullString: ","}, "22023"},
		{&proto.CsvOptions{Encoding: "latin1"}, "0A000"},
		{&proto.CsvOptions{TextFormat: true, Quote: "x"}, "0A000"},
	} {
		if _, err := NewCopyReader(strings.NewReader(""), gameFields, c.o, "t"); pgerr.Code(err) != c.code {
			t.Errorf("%v: %v", c.o, err)
		}
	}
}
