package pgwire

import (
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"net"
	"strings"
	"testing"
	"time"
)

const (
	statusAnn = `S(application_name=%s) S(client_encoding=UTF8) S(DateStyle=ISO, MDY) S(default_transaction_read_only=off) S(in_hot_standby=off)` +
		` S(integer_datetimes=on) S(IntervalStyle=postgres) S(is_superuser=off) S(server_encoding=UTF8) S(server_version=15.0 (Volley)) S(session_authorization=ann)` +
		` S(standard_conforming_strings=on) S(TimeZone=UTC)`
)

func TestStartup(t *testing.T) {
	status := fmt.Sprintf(statusAnn, "")
	long := strings.Repeat("x", smallMessage)
	tests := []struct {
		name string
		send []byte
		want string
		key  int // length of the cancel key
	}{
		{"3.0", startupPacket(version30, "user", "ann"), "R(0) " + status + " K Z(I)", 4},
		{"3.2", startupPacket(version32, "user", "ann"), "R(0) " + status + " K Z(I)", 32},
		{"application_name and asyncpg's quotes", startupPacket(version30, "user", "ann", "application_name", "it", "client_encoding", "'utf-8'"), "R(0) " + fmt.Sprintf(statusAnn, "it") + " K Z(I)", 4},
		{"options", startupPacket(version30, "user", "ann", "options", `-c application_name=a\ b --search-path=x -cy=z`), "R(0) " + fmt.Sprintf(statusAnn, "a b") + " K Z(I)", 4},
		{"3.9999 and a protocol option", startupPacket(3<<16|9999, "user", "ann", "_pq_.test", "1"), "v(3.2 _pq_.test) R(0) " + status + " K Z(I)", 32},
		{"protocol option", startupPacket(version30, "user", "ann", "_pq_.a", "1", "_pq_.b", ""), "v(3.0 _pq_.a _pq_.b) R(0) " + status + " K Z(I)", 4},
		{"2.0", startupPacket(2<<16, "user", "ann"), "E(V:FATAL C:0A000 M:unsupported frontend protocol 2.0: server supports 3.0 to 3.2) EOF", 0},
		{"4.0", startupPacket(4<<16, "user", "ann"), "E(V:FATAL C:0A000 M:unsupported frontend protocol 4.0: server supports 3.0 to 3.2) EOF", 0},
		{"no user", startupPacket(version30, "database", "d"), "E(V:FATAL C:28000 M:no PostgreSQL user name specified in startup packet) EOF", 0},
		{"encoding", startupPacket(version30, "user", "ann", "client_encoding", "LATIN1"), `E(V:FATAL C:22023 M:invalid value for parameter "client_encoding": "LATIN1" H:The only client encoding is UTF8.) EOF`, 0},
		{"replication", startupPacket(version30, "user", "ann", "replication", "database"), "E(V:FATAL C:0A000 M:replication connections are not supported) EOF", 0},
		{"bad option", startupPacket(version30, "user", "ann", "options", "-x"), "E(V:FATAL C:42601 M:invalid command-line argument for server process: -x) EOF", 0},
		{"the engine refuses a setting", startupPacket(version30, "user", "ann", "no_such_setting", "1"), `E(V:FATAL C:42704 M:unrecognized configuration parameter "no_such_setting") EOF`, 0},
		{"the engine refuses a database", startupPacket(version30, "user", "ann", "database", "missing"), `E(V:FATAL C:3D000 M:database "missing" does not exist) EOF`, 0},
		{"too long", startupPacket(version30, "user", long), "E(V:FATAL C:08P01 M:invalid length of startup packet) EOF", 0},
		{"too short", []byte{0, 0, 0, 4}, "E(V:FATAL C:08P01 M:invalid length of startup packet) EOF", 0},
		{"no terminator", []byte{0, 0, 0, 12, 0, 3, 0, 0, 'u', 's', 'e', 'r'}, "E(V:FATAL C:08P01 M:invalid startup packet layout: expected terminator as last byte) EOF", 0},
		{"HTTP", []byte("GET / HTTP/1.1\r\n\r\n"), "E(V:FATAL C:08P01 M:invalid length of startup packet) EOF", 0},
		{"TLS where there is none", []byte{tlsRecord}, "EOF", 0},
		{"a cancel request for nobody", startupPacket(cancelRequest, "abcdefg"), "EOF", 0},
	}
	e := newEngine()
	_, addr := serverFor(t, e, nil)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := dial(t, addr)
			c.send(tt.send)
			if got := c.until("Z"); got != tt.want {
				t.Errorf("\n got %s\nwant %s", got, tt.want)
			}
			if len(c.key) != tt.key {
				t.Errorf("the cancel key has %d bytes, want %d", len(c.key), tt.key)
			}
			_ = c.nc.Close()
		})
	}
}

// TestEncryptionRequests asks for GSSAPI and TLS, which a server without TLS
// declines with one byte, and goes on in the clear.
func TestEncryptionRequests(t *testing.T) {
	_, addr := serverFor(t, newEngine(), nil)
	c := dial(t, addr)
	for _, code := range []uint32{gssRequest, sslRequest} {
		c.send(binary.BigEndian.AppendUint32([]byte{0, 0, 0, 8}, code))
		var b [1]byte
		if _, err := io.ReadFull(c.nc, b[:]); err != nil || b[0] != 'N' {
			t.Fatalf("request %d: %q, %v", code, b, err)
		}
	}
	c.send(startupPacket(version30, "user", "ann"))
	if got := c.until("Z"); !strings.HasSuffix(got, "Z(I)") {
		t.Error(got)
	}
	again := dial(t, addr)
	r := binary.BigEndian.AppendUint32([]byte{0, 0, 0, 8}, sslRequest)
	again.send(r, r)
	if b, _ := io.ReadAll(again.nc); !strings.HasPrefix(string(b), "NE") {
		t.Errorf("a second SSLRequest: %q", b)
	}
}

func TestSessionOptions(t *testing.T) {
	e := newEngine()
	_, addr := serverFor(t, e, nil)
	connect(t, addr, "database", "d", "options", `-c A-B=1 --c=2\\3`, "c", "direct", "DateStyle", "ISO")
	want := map[string]string{"A_B": "1", "c": "direct", "DateStyle": "ISO"}
	if o := e.last.o; o.User != "ann" || o.Database != "d" || !maps.Equal(o.Settings, want) {
		t.Errorf("%+v", o)
	}
	connect(t, addr)
	if o := e.last.o; o.Database != "ann" {
		t.Errorf("the default database is %q", o.Database)
	}
}

func TestMaxConnections(t *testing.T) {
	s, addr := serverFor(t, newEngine(), func(c *Config) { c.MaxConnections = 2 })
	first := connect(t, addr)
	connect(t, addr)
	third := dial(t, addr)
	third.send(startupPacket(version30, "user", "ann"))
	if got, want := third.until("Z"), "E(V:FATAL C:53300 M:sorry, too many clients already H:At most 2 connections are accepted.) EOF"; got != want {
		t.Errorf("got %s", got)
	}
	_ = first.nc.Close()
	eventually(t, "the place is free again", func() bool { return s.Connections() == 1 })
	connect(t, addr)
}

func TestAuthTimeout(t *testing.T) {
	_, addr := serverFor(t, newEngine(), func(c *Config) { c.AuthTimeout = 20 * time.Millisecond })
	c := dial(t, addr)
	if got := c.until("Z"); got != "EOF" {
		t.Errorf("got %s", got)
	}
}

func TestTrustIsForLoopback(t *testing.T) {
	for addr, want := range map[string]bool{"127.0.0.1:1": true, "[::1]:1": true, "10.0.0.1:1": false, "[2001:db8::1]:1": false} {
		a, err := net.ResolveTCPAddr("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if got := isLoopback(addrConn{remote: a}); got != want {
			t.Errorf("isLoopback(%s) = %v", addr, got)
		}
	}
	if !isLoopback(addrConn{remote: &net.UnixAddr{Name: "/x", Net: "unix"}}) {
		t.Error("a Unix socket is local")
	}
	c := &conn{srv: New(Config{NewSession: newEngine().NewSession}), raw: addrConn{remote: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1)}}}
	if err := c.authenticate("ann"); err == nil || !strings.Contains(err.Error(), "10.0.0.1") {
		t.Errorf("trust from afar: %v", err)
	}
	c.srv.cfg.TrustRemote = true
	if err := c.authenticate("ann"); err != nil {
		t.Errorf("trust from afar, configured: %v", err)
	}
}

type addrConn struct {
	net.Conn
	remote net.Addr
}

func (a addrConn) RemoteAddr() net.Addr { return a.remote }

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 5 s: %s", what)
		}
	}
}

func TestParseDuration(t *testing.T) {
	for in, want := range map[string]time.Duration{"0": 0, "": 0, "250": 250 * time.Millisecond, "10ms": 10 * time.Millisecond, "5s": 5 * time.Second,
		"2min": 2 * time.Minute, "1h": time.Hour, "1d": 24 * time.Hour, "7us": 7 * time.Microsecond, "x": 0} {
		if got := parseDuration(in); got != want {
			t.Errorf("parseDuration(%q) = %v, want %v", in, got, want)
		}
	}
}
