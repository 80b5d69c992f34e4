package pgwire

import (
	"strings"
	"testing"
)

const n8 = "T(n:20:8:-1:0)"

// TestProtocol sends frames in one write and compares everything that comes
// back up to the n-th ReadyForQuery or the end of the connection.
func TestProtocol(t *testing.T) {
	tests := []struct {
		name string
		send [][]byte
		want []string // one line per ReadyForQuery, the last may end with EOF
	}{
		{"simple query", [][]byte{query("select 1")}, []string{n8 + ` D("1") C(SELECT 1) Z(I)`}},
		{"several statements, one ReadyForQuery", [][]byte{query("select 1; update t set a = 1; select n from series(2)")},
			[]string{n8 + ` D("1") C(SELECT 1) C(UPDATE) ` + n8 + ` D("1") D("2") C(SELECT 2) Z(I)`}},
		{"empty query", [][]byte{query(""), query(" -- ping\n;")}, []string{"I Z(I)", "I Z(I)"}},
		{"no columns", [][]byte{query("select")}, []string{"T() D() D() C(SELECT 2) Z(I)"}},
		{"an error stops the rest", [][]byte{query("select 1; call fail(); select 1"), query("select 1")},
			[]string{n8 + ` D("1") C(SELECT 1) E(V:ERROR C:38000 M:it broke D:in row 7 H:mend it P:6 W:score@2) Z(I)`, n8 + ` D("1") C(SELECT 1) Z(I)`}},
		{"a syntax error runs nothing", [][]byte{query("select 1; selekt 1")}, []string{`E(V:ERROR C:42601 M:syntax error at or near "selekt" P:11) Z(I)`}},
		{"error after rows", [][]byte{query("select late_error()")},
			[]string{n8 + ` D("1") D("2") D("3") D("4") D("5") D("6") D("7") D("8") E(V:ERROR C:22012 M:division by zero) Z(I)`}},
		{"parameter in a simple query", [][]byte{query("select $1::int8")}, []string{"E(V:ERROR C:42P02 M:there is no parameter $1) Z(I)"}},
		{"transaction states", [][]byte{query("begin"), query("select * from nowhere"), query("select 1"), query("commit"), query("begin; commit")},
			[]string{"C(BEGIN) Z(T)", `E(V:ERROR C:42P01 M:relation "nowhere" does not exist P:15) Z(E)`,
				"E(V:ERROR C:25P02 M:current transaction is aborted, commands ignored until end of transaction block) Z(E)", "C(ROLLBACK) Z(I)", "C(BEGIN) C(COMMIT) Z(I)"}},
		{"notice and setting", [][]byte{query("call notice()"), query("set timezone = 'Europe/Berlin'"), query("set timezone = 'Europe/Berlin'"), query("set search_path = 'a'")},
			[]string{"N(V:WARNING C:01000 M:beware H:look) C(CALL) Z(I)", "S(TimeZone=Europe/Berlin) C(SET) Z(I)", "C(SET) Z(I)", "C(SET) Z(I)"}},
		{"invalid UTF-8", [][]byte{query("select '\xff'")}, []string{`E(V:ERROR C:22021 M:invalid byte sequence for encoding "UTF8": 0xff) Z(I)`}},

		{"extended", [][]byte{parseMsg("", "select $1::int8"), bindMsg("", "", []string{"12"}), describeMsg('P', ""), executeMsg("", 0), sync_},
			[]string{`1 2 T(p1:20:8:-1:0) D("12") C(SELECT 1) Z(I)`}},
		{"describe a statement", [][]byte{parseMsg("s", "select $1::int8, $2::text", 0, 1043), describeMsg('S', "s"), flush_, parseMsg("u", "update t set a = $1::int4"), describeMsg('S', "u"), sync_},
			[]string{"1 t(20 1043) T(p1:20:8:-1:0 p2:1043:-1:-1:0) 1 t(23) n Z(I)"}},
		{"formats: one for all, one each", [][]byte{parseMsg("", "select $1::int4, $2::text"), bindMsg("", "", []string{"1", "x"}, 1), describeMsg('P', ""), executeMsg("", 0),
			bindMsg("", "", []string{"1", "x"}, 1, 0), describeMsg('P', ""), executeMsg("", 0), sync_},
			[]string{`1 2 T(p1:23:4:-1:1 p2:25:-1:-1:1) D("\x00\x00\x00\x01" "x") C(SELECT 1) 2 T(p1:23:4:-1:1 p2:25:-1:-1:0) D("\x00\x00\x00\x01" "x") C(SELECT 1) Z(I)`}},
		{"execute without describe", [][]byte{parseMsg("", "set application_name = 'x'"), bindMsg("", "", nil), executeMsg("", 1), sync_},
			[]string{"1 2 S(application_name=x) C(SET) Z(I)"}},
		{"the unnamed statement survives Sync, not a Query", [][]byte{parseMsg("", "select 1"), sync_, bindMsg("", "", nil), executeMsg("", 0), sync_, query("select 1"), bindMsg("", "", nil), sync_},
			[]string{"1 Z(I)", `2 D("1") C(SELECT 1) Z(I)`, n8 + ` D("1") C(SELECT 1) Z(I)`, "E(V:ERROR C:26000 M:unnamed prepared statement does not exist) Z(I)"}},
		{"row limit", [][]byte{parseMsg("", "select n from series(9)"), bindMsg("p", "", nil), executeMsg("p", 3), executeMsg("p", 5), executeMsg("p", 0), executeMsg("p", 0), sync_},
			[]string{`1 2 D("1") D("2") D("3") s D("4") D("5") D("6") D("7") D("8") s D("9") C(SELECT 1) C(SELECT 0) Z(I)`}},
		{"exactly the limit suspends", [][]byte{parseMsg("", "select n from series(2)"), bindMsg("", "", nil), executeMsg("", 2), executeMsg("", 2), sync_},
			[]string{`1 2 D("1") D("2") s C(SELECT 0) Z(I)`}},
		{"a portal ends with its transaction", [][]byte{parseMsg("", "select n from series(9)"), bindMsg("p", "", nil), executeMsg("p", 1), sync_, executeMsg("p", 1), sync_},
			[]string{`1 2 D("1") s Z(I)`, `E(V:ERROR C:34000 M:portal "p" does not exist) Z(I)`}},
		{"a portal lives in a transaction block", [][]byte{query("begin"), parseMsg("", "select n from series(9)"), bindMsg("p", "", nil), executeMsg("p", 1), sync_, executeMsg("p", 1), sync_, query("commit"), executeMsg("p", 1), sync_},
			[]string{"C(BEGIN) Z(T)", `1 2 D("1") s Z(T)`, `D("2") s Z(T)`, "C(COMMIT) Z(I)", `E(V:ERROR C:34000 M:portal "p" does not exist) Z(I)`}},
		{"a command does not run twice", [][]byte{parseMsg("", "update t set a = 1"), bindMsg("", "", nil), executeMsg("", 0), executeMsg("", 0), sync_},
			[]string{`1 2 C(UPDATE) E(V:ERROR C:55000 M:portal "" cannot be run) Z(I)`}},
		{"an error discards until Sync, queries too", [][]byte{parseMsg("", "select * from nowhere"), bindMsg("", "", nil), describeMsg('P', ""), executeMsg("", 0), flush_, query("select 1"), closeMsg('S', ""), sync_, query("select 1")},
			[]string{`E(V:ERROR C:42P01 M:relation "nowhere" does not exist P:15) Z(I)`, n8 + ` D("1") C(SELECT 1) Z(I)`}},
		{"pipeline with one Sync", [][]byte{parseMsg("a", "select $1::int8"), parseMsg("b", "update t set a = 1"), bindMsg("", "a", []string{"1"}), executeMsg("", 0), bindMsg("", "b", nil), executeMsg("", 0), bindMsg("", "a", []string{"NULL"}), executeMsg("", 0), sync_},
			[]string{`1 1 2 D("1") C(SELECT 1) 2 C(UPDATE) 2 D(NULL) C(SELECT 1) Z(I)`}},
		{"empty extended query", [][]byte{parseMsg("", ""), describeMsg('S', ""), bindMsg("", "", nil), describeMsg('P', ""), executeMsg("", 0), sync_}, []string{"1 t() n 2 n I Z(I)"}},
		{"names", [][]byte{parseMsg("s", "select 1"), parseMsg("s", "select 1"), sync_, bindMsg("p", "s", nil), bindMsg("p", "s", nil), sync_, bindMsg("", "zz", nil), sync_, closeMsg('S', "s"), closeMsg('S', "s"), closeMsg('P', "q"), bindMsg("", "s", nil), sync_},
			[]string{`1 E(V:ERROR C:42P05 M:prepared statement "s" already exists) Z(I)`, `2 E(V:ERROR C:42P03 M:cursor "p" already exists) Z(I)`,
				`E(V:ERROR C:26000 M:prepared statement "zz" does not exist) Z(I)`, `3 3 3 E(V:ERROR C:26000 M:prepared statement "s" does not exist) Z(I)`}},
		{"DEALLOCATE and DISCARD see statements of Parse", [][]byte{parseMsg("s", "select 1"), sync_, query(`DEALLOCATE "s"`), bindMsg("", "s", nil), sync_, parseMsg("s", "select 1"), parseMsg("d", "discard all"), bindMsg("", "d", nil), executeMsg("", 0), bindMsg("", "s", nil), sync_},
			[]string{"1 Z(I)", "C(DEALLOCATE) Z(I)", `E(V:ERROR C:26000 M:prepared statement "s" does not exist) Z(I)`,
				`1 1 2 C(DISCARD) E(V:ERROR C:26000 M:prepared statement "s" does not exist) Z(I)`}},
		{"CLOSE sees portals of Bind", [][]byte{query("begin"), parseMsg("", "select n from series(3)"), bindMsg("p", "", nil), executeMsg("p", 1), sync_, query("close p"), executeMsg("p", 1), sync_},
			[]string{"C(BEGIN) Z(T)", `1 2 D("1") s Z(T)`, "C(CLOSE CURSOR) Z(T)", `E(V:ERROR C:34000 M:portal "p" does not exist) Z(E)`}},
		{"an SQL cursor is described as a portal", [][]byte{describeMsg('P', "cc"), sync_}, []string{"T(c:23:4:-1:0) Z(I)"}},
		{"changed result type", [][]byte{parseMsg("", "select changed"), bindMsg("", "", nil), executeMsg("", 0), sync_}, []string{"1 2 E(V:ERROR C:0A000 M:cached plan must not change result type) Z(I)"}},
		{"two commands in Parse", [][]byte{parseMsg("", "select 1; select 1"), sync_}, []string{"E(V:ERROR C:42601 M:cannot insert multiple commands into a prepared statement) Z(I)"}},
		{"parameter count", [][]byte{parseMsg("", "select $1::int8"), bindMsg("", "", nil), sync_}, []string{`1 E(V:ERROR C:08P01 M:bind message supplies 0 parameters, but prepared statement "" requires 1) Z(I)`}},
		{"parameter format count", [][]byte{parseMsg("", "select $1::int8"), frame('B', "", "", int16(2), int16(0), int16(0), int16(1), -1, int16(0)), sync_}, []string{"1 E(V:ERROR C:08P01 M:bind message has 2 parameter formats but 1 parameters) Z(I)"}},
		{"result format count", [][]byte{parseMsg("", "select 1"), bindMsg("", "", nil, 1, 1), sync_}, []string{"1 E(V:ERROR C:08P01 M:bind message has 2 result formats but query has 1 columns) Z(I)"}},
		{"format code", [][]byte{parseMsg("", "select 1"), bindMsg("", "", nil, 7), sync_}, []string{"1 E(V:ERROR C:22023 M:unsupported format code: 7) Z(I)"}},
		{"parameter not UTF-8", [][]byte{parseMsg("", "select $1::text"), bindMsg("", "", []string{"a\x00"}), sync_}, []string{`1 E(V:ERROR C:22021 M:invalid byte sequence for encoding "UTF8": 0x00) Z(I)`}},
		{"subtypes", [][]byte{describeMsg('x', ""), sync_, closeMsg('x', ""), sync_}, []string{"E(V:ERROR C:08P01 M:invalid DESCRIBE message subtype 120) Z(I)", "E(V:ERROR C:08P01 M:invalid CLOSE message subtype 120) Z(I)"}},
		{"malformed bodies", [][]byte{frame('P', []byte("no end")), sync_, frame('B', "", "", int16(3)), sync_, frame('E', ""), sync_, frame('Q', []byte("x")), frame('B', "", "", int16(0), int16(1), -7), sync_},
			[]string{"E(V:ERROR C:08P01 M:invalid message format) Z(I)", "E(V:ERROR C:08P01 M:invalid message format) Z(I)", "E(V:ERROR C:08P01 M:invalid message format) Z(I)", "E(V:ERROR C:08P01 M:invalid message format) Z(I)", "E(V:ERROR C:08P01 M:invalid message format) Z(I)"}},
		{"function call", [][]byte{frame('F', 1, int16(0), int16(0), int16(0))}, []string{"E(V:ERROR C:0A000 M:the function call message is not supported H:Call the function with SELECT.) Z(I)"}},
		{"unknown message", [][]byte{query("select 1"), {'!', 0, 0, 0, 4}}, []string{n8 + ` D("1") C(SELECT 1) Z(I)`, "E(V:FATAL C:08P01 M:invalid frontend message type 33) EOF"}},
		{"password out of place", [][]byte{frame('p', "x")}, []string{"E(V:FATAL C:08P01 M:invalid frontend message type 112) EOF"}},
		{"length too small", [][]byte{{'Q', 0, 0, 0, 3}}, []string{"E(V:FATAL C:08P01 M:invalid message length) EOF"}},
		{"length too large", [][]byte{{'Q', 0x7f, 0, 0, 0}}, []string{"E(V:FATAL C:08P01 M:invalid message length) EOF"}},
		{"Sync too large", [][]byte{{'S', 0, 1, 0, 0}}, []string{"E(V:FATAL C:08P01 M:invalid message length) EOF"}},
		{"terminate", [][]byte{query("select 1"), frame('X')}, []string{n8 + ` D("1") C(SELECT 1) Z(I)`, "EOF"}},
		{"a panic ends the connection only", [][]byte{query("call panic()")}, []string{"E(V:FATAL C:XX000 M:internal error: a fault of the engine) EOF"}},

		{"COPY out", [][]byte{query("copy t to stdout"), query("copy t to stdout (format binary)")},
			[]string{`H(0 0 0) d("1\tone\n") d("2\ttwo\n") c C(COPY 2) Z(I)`, `H(1 1 1) d("PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff") c C(COPY 2) Z(I)`}},
		{"COPY out, extended", [][]byte{parseMsg("", "copy t to stdout"), bindMsg("", "", nil), describeMsg('P', ""), executeMsg("", 0), sync_},
			[]string{`1 2 n H(0 0 0) d("1\tone\n") d("2\ttwo\n") c C(COPY 2) Z(I)`}},
		{"COPY in", [][]byte{query("copy t from stdin"), frame('d', []byte("1\t")), frame('d', []byte{}), frame('d', []byte("x\n")), frame('c')}, []string{"G(0 0 0) C(COPY 3) Z(I)"}},
		{"COPY in, extended, with Sync before the data", [][]byte{parseMsg("", "copy t from stdin"), bindMsg("", "", nil), executeMsg("", 0), sync_, flush_, frame('d', []byte("1\tx\n")), frame('c'), sync_},
			[]string{"1 2 G(0 0 0) C(COPY 3) Z(I)"}},
		{"COPY in fails by the client", [][]byte{query("copy t from stdin"), frame('d', []byte("1\t")), frame('f', "no more"), query("select 1")},
			[]string{"G(0 0 0) E(V:ERROR C:57014 M:COPY from stdin failed: no more) Z(I)", n8 + ` D("1") C(SELECT 1) Z(I)`}},
		{"COPY in fails by its data", [][]byte{query("copy t from stdin"), frame('d', []byte("bad\n")), frame('c'), query("select 1")},
			[]string{`G(0 0 0) E(V:ERROR C:22P04 M:missing data for column "b" W:COPY t, line 1: "bad") Z(I)`, n8 + ` D("1") C(SELECT 1) Z(I)`}},
		{"COPY in fails early: the rest of the data is ignored", [][]byte{query("copy early from stdin"), frame('d', []byte("1\n")), frame('c'), query("select 1")},
			[]string{"G(0 0) E(V:ERROR C:53100 M:no space) Z(I)", n8 + ` D("1") C(SELECT 1) Z(I)`}},
		{"COPY in, extended, fails: discarded until Sync", [][]byte{parseMsg("", "copy t from stdin"), bindMsg("", "", nil), executeMsg("", 0), frame('f', "no"), frame('d', []byte("1\n")), sync_},
			[]string{"1 2 G(0 0 0) E(V:ERROR C:57014 M:COPY from stdin failed: no) Z(I)"}},
		{"another message during COPY in", [][]byte{query("copy t from stdin"), query("select 1"), query("select 1")},
			[]string{"G(0 0 0) E(V:FATAL C:08P01 M:unexpected message type 0x51 during COPY from stdin) EOF"}},
		{"COPY in, the engine adds the place", [][]byte{query("copy placed from stdin"), frame('d', []byte("1\n")), frame('f', "no")},
			[]string{"G(0) E(V:ERROR C:57014 M:COPY from stdin failed: no W:COPY placed, line 2) Z(I)"}},
		{"a failed transaction refuses Bind", [][]byte{parseMsg("s", "select 1"), parseMsg("r", "rollback"), query("begin; call fail()"), bindMsg("", "s", nil), executeMsg("", 0), sync_, bindMsg("", "r", nil), executeMsg("", 0), sync_},
			[]string{"1 1 C(BEGIN) E(V:ERROR C:38000 M:it broke D:in row 7 H:mend it P:6 W:score@2) Z(E)",
				"E(V:ERROR C:25P02 M:current transaction is aborted, commands ignored until end of transaction block) Z(E)", "2 C(ROLLBACK) Z(I)"}},
		{"Bind replaces the unnamed portal, Query ends it", [][]byte{query("begin"), parseMsg("s", "select n from series(9)"), bindMsg("", "s", nil), executeMsg("", 1), bindMsg("", "s", nil), executeMsg("", 1), sync_, query("select 1"), executeMsg("", 1), sync_},
			[]string{"C(BEGIN) Z(T)", `1 2 D("1") s 2 D("1") s Z(T)`, n8 + ` D("1") C(SELECT 1) Z(T)`, `E(V:ERROR C:34000 M:portal "" does not exist) Z(E)`}},
		{"a portal outlives its statement", [][]byte{parseMsg("s", "select 1"), bindMsg("", "s", nil), closeMsg('S', "s"), executeMsg("", 0), sync_}, []string{`1 2 3 D("1") C(SELECT 1) Z(I)`}},
	}
	e := newEngine()
	_, addr := serverFor(t, e, nil)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := connect(t, addr)
			c.send(tt.send...)
			for i, want := range tt.want {
				if got := c.until("Z"); got != want {
					t.Errorf("answer %d\n got %s\nwant %s", i, got, want)
				}
			}
			_ = c.nc.Close()
		})
	}
}

// TestByteByByte sends a pipeline one byte at a time.
func TestByteByByte(t *testing.T) {
	_, addr := serverFor(t, newEngine(), nil)
	c := connect(t, addr)
	for _, m := range [][]byte{parseMsg("", "select $1::int8"), bindMsg("", "", []string{"12"}), executeMsg("", 0), sync_} {
		for i := range m {
			c.send(m[i : i+1])
		}
	}
	if got, want := c.until("Z"), `1 2 D("12") C(SELECT 1) Z(I)`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestImplicit checks when the engine is told that the implicit transaction ends.
func TestImplicit(t *testing.T) {
	e := newEngine()
	_, addr := serverFor(t, e, nil)
	c := connect(t, addr)
	s := e.last
	for _, m := range [][]byte{
		query("select 1; select 1"), query("select 1; call fail()"), query("selekt"),
		append(append(parseMsg("", "select 1"), parseMsg("", "selekt")...), sync_...), sync_,
	} {
		c.send(m)
		c.until("Z")
	}
	want := []bool{false, true, true, true, false}
	if len(s.implicit) != len(want) {
		t.Fatalf("EndImplicit(failed) calls: %v, want %v", s.implicit, want)
	}
	for i := range want {
		if s.implicit[i] != want[i] {
			t.Fatalf("EndImplicit(failed) calls: %v, want %v", s.implicit, want)
		}
	}
}

// TestLimits checks the caps on statements and portals.
func TestLimits(t *testing.T) {
	_, addr := serverFor(t, newEngine(), nil)
	c := connect(t, addr)
	c.send(parseMsg("", "select 1"))
	var all []byte
	for i := range maxPortals + 1 {
		all = append(all, bindMsg("p"+strings.Repeat("x", i), "", nil)...)
	}
	go func() { c.send(all, sync_) }()
	got := c.until("Z")
	if !strings.HasSuffix(got, "2 E(V:ERROR C:54000 M:too many portals H:A connection holds at most 1000; close those that are not needed.) Z(I)") {
		t.Errorf("got …%s", got[max(0, len(got)-200):])
	}
}

// TestLargeMessages sends what is within and beyond the configured limit.
func TestLargeMessages(t *testing.T) {
	_, addr := serverFor(t, newEngine(), func(c *Config) { c.MaxMessageBytes = 3 << 20 })
	c := connect(t, addr)
	big := strings.Repeat("x", 3<<20-100)
	go c.send(parseMsg("", "select $1::text"), bindMsg("", "", []string{big}), executeMsg("", 0), sync_)
	if got, want := c.until("Z"), `1 2 D("`+big+`") C(SELECT 1) Z(I)`; got != want {
		t.Errorf("%d bytes came back", len(got))
	}
	c.send(query(strings.Repeat(" ", 3<<20)))
	if got, want := c.until("Z"), "E(V:FATAL C:08P01 M:invalid message length) EOF"; got != want {
		t.Error(got)
	}
}

// TestTextSettings checks that the text of values follows the session's settings.
func TestTextSettings(t *testing.T) {
	_, addr := serverFor(t, newEngine(), nil)
	c := connect(t, addr)
	for _, tt := range []struct{ set, want string }{
		{"", `"2020-09-13 12:26:40+00"`},
		{"set timezone = 'Europe/Berlin'", `"2020-09-13 14:26:40+02"`},
		{"set timezone = 'America/New_York'", `"2020-09-13 08:26:40-04"`},
		{"set bytea_output = 'escape'", `"\\000\\377"`},
		{"set extra_float_digits = '0'", `"1e+20"`},
	} {
		c.send(query(tt.set))
		c.until("Z")
		c.send(query("select every_type"))
		if got := c.until("Z"); !strings.Contains(got, tt.want) {
			t.Errorf("after %s: no %s in %s", tt.set, tt.want, got)
		}
	}
}

// TestNoticesBetweenRows checks that messages of two goroutines stay whole.
func TestNoticesBetweenRows(t *testing.T) {
	_, addr := serverFor(t, newEngine(), nil)
	c := connect(t, addr)
	c.send(query("select n from big_noisy"))
	rows, notices := 0, 0
	for {
		m, err := c.recv()
		if err != nil {
			t.Fatal(err)
		}
		switch m[0] {
		case 'D':
			rows++
		case 'N':
			notices++
		case 'Z':
			if rows != 70000 || notices < 100 {
				t.Errorf("%d rows and %d notices", rows, notices)
			}
			return
		}
	}
}
