package pgwire

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/volleydb/volley/parser"
	"github.com/volleydb/volley/types"
)

func TestMain(m *testing.M) {
	parser.Warm(1)
	// The parser of the dialect mysql links glog, whose flusher never ends.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/golang/glog.(*fileSink).flushDaemon"))
}

// serverFor runs a server with the fake engine until the test ends, and checks
// that it leaves nothing behind.
func serverFor(t testing.TB, e *engine, change func(*Config)) (*Server, string) {
	t.Helper()
	cfg := Config{NewSession: e.NewSession, RegName: func(_ types.Type, oid uint32) string { return fmt.Sprintf("name_of_%d", oid) }}
	if change != nil {
		change(&cfg)
	}
	s := New(cfg)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(context.Background(), ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
		if n := e.open.Load(); n != 0 {
			t.Errorf("%d sessions were not closed", n)
		}
		if n := e.results.Load(); n != 0 {
			t.Errorf("%d results were not closed", n)
		}
	})
	return s, ln.Addr().String()
}

// rawClient speaks the protocol byte by byte.
type rawClient struct {
	t   testing.TB
	nc  net.Conn
	pid uint32
	key []byte
}

func dial(t testing.TB, addr string) *rawClient {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(10 * time.Second))
	return &rawClient{t: t, nc: nc}
}

func startupPacket(version uint32, pairs ...string) []byte {
	b := binary.BigEndian.AppendUint32(make([]byte, 4), version)
	for _, p := range pairs {
		b = append(append(b, p...), 0)
	}
	b = append(b, 0)
	binary.BigEndian.PutUint32(b, uint32(len(b)))
	return b
}

// connect starts a session and reads up to the first ReadyForQuery.
func connect(t testing.TB, addr string, pairs ...string) *rawClient {
	t.Helper()
	c := dial(t, addr)
	c.send(startupPacket(version30, append([]string{"user", "ann"}, pairs...)...))
	if got := c.until("Z"); !strings.HasSuffix(got, "Z(I)") {
		t.Fatalf("startup: %s", got)
	}
	return c
}

func (c *rawClient) send(bs ...[]byte) {
	if _, err := c.nc.Write(bytes.Join(bs, nil)); err != nil {
		c.t.Fatal(err)
	}
}

// recv reads one message as text, such as C(SELECT 1).
func (c *rawClient) recv() (string, error) {
	var head [5]byte
	if _, err := io.ReadFull(c.nc, head[:]); err != nil {
		return "", err
	}
	data := make([]byte, binary.BigEndian.Uint32(head[1:])-4)
	if _, err := io.ReadFull(c.nc, data); err != nil {
		return "", err
	}
	b := &body{b: data}
	s := string(head[:1])
	switch head[0] {
	case 'C':
		s += "(" + b.str() + ")"
	case 'Z':
		s += fmt.Sprintf("(%c)", b.u8())
	case 'S':
		s += "(" + b.str() + "=" + b.str() + ")"
	case 'E', 'N':
		var parts []string
		for k := b.u8(); k != 0; k = b.u8() {
			v := b.str()
			if k != 'S' {
				parts = append(parts, string(k)+":"+v)
			}
		}
		s += "(" + strings.Join(parts, " ") + ")"
	case 'T':
		var parts []string
		for range b.u16() {
			name := b.str()
			b.take(6)
			oid := b.i32()
			size, mod := int16(b.u16()), b.i32()
			parts = append(parts, fmt.Sprintf("%s:%d:%d:%d:%d", name, oid, size, mod, b.u16()))
		}
		s += "(" + strings.Join(parts, " ") + ")"
	case 't':
		var parts []string
		for range b.u16() {
			parts = append(parts, fmt.Sprint(b.i32()))
		}
		s += "(" + strings.Join(parts, " ") + ")"
	case 'D':
		var parts []string
		for range b.u16() {
			n := b.i32()
			if n < 0 {
				parts = append(parts, "NULL")
				continue
			}
			parts = append(parts, fmt.Sprintf("%q", b.take(int(n))))
		}
		s += "(" + strings.Join(parts, " ") + ")"
	case 'd':
		s += fmt.Sprintf("(%q)", data)
		b.b = nil
	case 'G', 'H':
		s += fmt.Sprintf("(%d", b.u8())
		for range b.u16() {
			s += fmt.Sprintf(" %d", b.u16())
		}
		s += ")"
	case 'K':
		c.pid, c.key = uint32(b.i32()), b.b
		b.b = nil
	case 'R':
		s += fmt.Sprintf("(%d)", b.i32())
		b.b = nil
	case 'v':
		s += fmt.Sprintf("(%d.%d", b.u16(), b.u16())
		for range b.i32() {
			s += " " + b.str()
		}
		s += ")"
	}
	if err := b.done(); err != nil {
		c.t.Errorf("%s: malformed message of the server %q", s, data)
	}
	return s, nil
}

// until reads messages up to one of the type, or the end of the stream.
func (c *rawClient) until(typ string) string {
	var out []string
	for {
		m, err := c.recv()
		if err != nil {
			if err != io.EOF {
				return strings.Join(append(out, err.Error()), " ")
			}
			return strings.Join(append(out, "EOF"), " ")
		}
		out = append(out, m)
		if strings.HasPrefix(m, typ) {
			return strings.Join(out, " ")
		}
	}
}

func frame(typ byte, parts ...any) []byte {
	b := []byte{typ, 0, 0, 0, 0}
	for _, p := range parts {
		switch p := p.(type) {
		case string:
			b = append(append(b, p...), 0)
		case int16:
			b = binary.BigEndian.AppendUint16(b, uint16(p))
		case int:
			b = binary.BigEndian.AppendUint32(b, uint32(p))
		case byte:
			b = append(b, p)
		case []byte:
			b = append(b, p...)
		}
	}
	binary.BigEndian.PutUint32(b[1:], uint32(len(b)-1))
	return b
}

func query(sql string) []byte { return frame('Q', sql) }
func parseMsg(name, sql string, oids ...int) []byte {
	parts := []any{name, sql, int16(len(oids))}
	for _, o := range oids {
		parts = append(parts, o)
	}
	return frame('P', parts...)
}

// bindMsg binds text parameters; the results come in the formats given.
func bindMsg(portal, stmt string, params []string, resultFormats ...int16) []byte {
	parts := []any{portal, stmt, int16(0), int16(len(params))}
	for _, p := range params {
		if p == "NULL" {
			parts = append(parts, -1)
			continue
		}
		parts = append(parts, len(p), []byte(p))
	}
	parts = append(parts, int16(len(resultFormats)))
	for _, f := range resultFormats {
		parts = append(parts, f)
	}
	return frame('B', parts...)
}
func describeMsg(kind byte, name string) []byte { return frame('D', kind, name) }
func closeMsg(kind byte, name string) []byte    { return frame('C', kind, name) }
func executeMsg(portal string, max int) []byte  { return frame('E', portal, max) }

var (
	sync_  = frame('S')
	flush_ = frame('H')
)
