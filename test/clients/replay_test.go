package clients

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// corpusVar names a file of queries that clients send, in blocks separated by a
// line "-- SPLIT", with comments "-- client: …" and "-- protocol: …".
const corpusVar = "VOLLEY_CLIENT_QUERIES"

type block struct {
	client   string
	extended bool
	oids     []uint32
	sql      string
}

var oidList = regexp.MustCompile(`param oids \[([0-9 ,]*)\]`)

func readCorpus(t *testing.T) []block {
	path := os.Getenv(corpusVar)
	if path == "" {
		t.Skipf("%s is not set", corpusVar)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Skip(err)
	}
	var out []block
	for _, part := range strings.Split(string(text), "\n-- SPLIT\n")[1:] {
		var b block
		lines := strings.Split(part, "\n")
		for len(lines) > 0 && strings.HasPrefix(lines[0], "-- ") {
			l := lines[0]
			lines = lines[1:]
			if c, ok := strings.CutPrefix(l, "-- client: "); ok {
				b.client = c
				continue
			}
			if !strings.HasPrefix(l, "-- protocol: ") {
				lines = append([]string{l}, lines...)
				break
			}
			b.extended = strings.HasPrefix(l, "-- protocol: extended")
			if m := oidList.FindStringSubmatch(l); m != nil {
				for _, f := range strings.Fields(strings.ReplaceAll(m[1], ",", " ")) {
					n, _ := strconv.ParseUint(f, 10, 32)
					b.oids = append(b.oids, uint32(n))
				}
			}
		}
		b.sql = strings.Join(lines, "\n")
		out = append(out, b)
	}
	return out
}

// parameter is a value that any statement of the corpus takes.
func parameter(oid uint32) []byte {
	switch oid {
	case 16:
		return []byte("t")
	case 20, 21, 23, 26, 700, 701, 1700, 2205, 2206:
		return []byte("1")
	case 1082, 1114, 1184:
		return []byte("2026-01-01")
	case 1002, 1005, 1007, 1016, 1028, 1009, 1015, 1003, 1022:
		return []byte("{}")
	}
	return []byte("t")
}

var (
	copyIn    = regexp.MustCompile(`(?i)^copy\s.*\sfrom\s+stdin`)
	inBlock   = regexp.MustCompile(`(?i)^\s*(savepoint|release|rollback to|declare|fetch|close)\s`)
	useSaved  = regexp.MustCompile(`(?i)(?:^|;)\s*(?:release|rollback to)\s+(?:savepoint\s+)?("[^"]+"|\w+)`)
	setSaved  = regexp.MustCompile(`(?i)(?:^|;)\s*savepoint\s`)
	useCursor = regexp.MustCompile(`(?i)^\s*(?:fetch|close)\s+(?:\w+\s+)*?(?:from\s+|in\s+)?("[^"]+"|[a-z_0-9]+)\s*;?\s*$`)
)

// before is what a block stood after: the block of a savepoint or a cursor.
func (b block) before() string {
	if !inBlock.MatchString(b.sql) || strings.HasPrefix(strings.ToLower(b.sql), "close all") {
		return ""
	}
	sql := "begin;"
	if m := useSaved.FindStringSubmatchIndex(b.sql); m != nil && !setSaved.MatchString(b.sql[:m[0]]) {
		sql += "savepoint " + b.sql[m[2]:m[3]] + ";"
	}
	if m := useCursor.FindStringSubmatch(b.sql); m != nil {
		sql += "declare " + m[1] + " cursor for select 1;"
	}
	return sql
}

func (b block) run(ctx context.Context, c *pgconn.PgConn) error {
	if sql := b.before(); sql != "" {
		if _, err := c.Exec(ctx, sql).ReadAll(); err != nil {
			return err
		}
	}
	if copyIn.MatchString(b.sql) {
		data := ""
		if strings.Contains(strings.ToLower(b.sql), "binary") {
			data = "PGCOPY\n\xff\r\n\x00" + strings.Repeat("\x00", 8) + "\xff\xff"
		}
		_, err := c.CopyFrom(ctx, strings.NewReader(data), b.sql)
		return err
	}
	if !b.extended {
		_, err := c.Exec(ctx, b.sql).ReadAll()
		return err
	}
	sd, err := c.Prepare(ctx, "s", b.sql, b.oids)
	if err != nil {
		return err
	}
	params := make([][]byte, len(sd.ParamOIDs))
	for i, o := range sd.ParamOIDs {
		params[i] = parameter(o)
	}
	return c.ExecPrepared(ctx, "s", params, nil, nil).Read().Err
}

// corpusErrors are statements that are right to fail, by a part of their text.
var corpusErrors = map[string]string{
	"::mood":                     "42704", // an enum of the recorded database
	"$1::text::regtype::oid":     "42704", // given the name of a table, which has no row type
	`"#Tableau_1_Connect_Check"`: "42P01", // the temporary table was refused
}

func (b block) expected(code string) bool {
	for part, c := range corpusErrors {
		if c == code && strings.Contains(b.sql, part) {
			return true
		}
	}
	return false
}

// Every statement that clients were seen to send runs, or is refused as
// something that is not supported.
func TestClientQueries(t *testing.T) {
	blocks := readCorpus(t)
	s := start(t, nil)
	s.run(t, `create table t(id int not null, a text not null, b numeric(10,2), c timestamptz, d float8[]);
		create view v as select * from t; create table p(id int, x jsonb)`)
	s.functions(t)
	var refused, failed []string
	start := time.Now()
	slow := ""
	var slowest time.Duration
	for i, b := range blocks {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		c, err := pgconn.Connect(ctx, s.url("volley", "sslmode=disable"))
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		err = b.run(ctx, c)
		if d := time.Since(begin); d > slowest {
			slowest, slow = d, b.sql
		}
		_ = c.Close(ctx)
		cancel()
		if err == nil {
			continue
		}
		line := fmt.Sprintf("block %d, %s: %v\n    %s", i, b.client, err, strings.ReplaceAll(head(b.sql, 1500), "\n", "\n    "))
		var pe *pgconn.PgError
		if errors.As(err, &pe) {
			line = fmt.Sprintf("block %d, %s: %s at %d (%s): %s\n    %s", i, b.client, pe.Code, pe.Position, pe.Message, pe.Detail+pe.Hint, strings.ReplaceAll(head(b.sql, 1500), "\n", "\n    "))
			if b.expected(pe.Code) {
				continue
			}
			if pe.Code == "0A000" {
				refused = append(refused, line)
				continue
			}
		}
		failed = append(failed, line)
	}
	t.Logf("%d statements in %v, slowest %v: %s", len(blocks), time.Since(start), slowest, head(slow, 200))
	for _, l := range refused {
		t.Log("REFUSED ", l)
	}
	for _, l := range failed {
		t.Error("FAILED ", l)
	}
	t.Logf("%d ran, %d refused, %d failed", len(blocks)-len(refused)-len(failed), len(refused), len(failed))
}

func head(s string, n int) string {
	if len(s) > n {
		return s[:n] + " …"
	}
	return s
}
