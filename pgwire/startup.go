package pgwire

import (
	"crypto/subtle"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"time"

	"github.com/volleydb/volley/coordinator"
	"github.com/volleydb/volley/pgerr"
)

// What the first word of a startup packet may be.
const (
	version30     = 3 << 16
	version32     = 3<<16 | 2
	cancelRequest = 1234<<16 | 5678
	sslRequest    = 1234<<16 | 5679
	gssRequest    = 1234<<16 | 5680
)

const (
	alpn      = "postgresql"
	tlsRecord = 0x16 // the first byte of a TLS handshake
	// maxCancelKey is the protocol's limit of a secret key.
	maxCancelKey = 256
	longKey      = 32
	shortKey     = 4
)

// errQuiet ends a connection without a word to the client.
var errQuiet = errors.New("pgwire: nothing to say")

// startupParams is a startup packet.
type startupParams struct {
	version  uint32 // as agreed
	user     string
	database string
	settings map[string]string
}

// startup runs the handshake up to the first ReadyForQuery. Errors are told to
// the client as FATAL.
func (c *conn) startup() error {
	_ = c.raw.SetDeadline(time.Now().Add(c.srv.cfg.AuthTimeout))
	p, err := c.readStartup()
	if err != nil {
		return err
	}
	if err := c.authenticate(p.user); err != nil {
		return err
	}
	if err := c.srv.register(c); err != nil {
		return err
	}
	c.user = p.user
	c.sess, err = c.srv.cfg.NewSession(c.ctx, coordinator.SessionOptions{
		User:      p.user,
		Database:  p.database,
		Settings:  p.settings,
		OnSetting: c.onSetting,
		OnNotice:  c.onNotice,
	})
	if err != nil {
		c.sess = nil
		return err
	}
	c.out.auth(0, nil)
	c.reportSettings(p)
	key := c.newKey(p.version)
	c.out.begin('K')
	c.out.u32(uint32(c.pid))
	c.out.bytes(key)
	c.out.end()
	c.started.Store(true)
	c.readyForQuery()
	return c.raw.SetDeadline(time.Time{})
}

// readStartup reads packets until the one that starts a session. Exactly the
// bytes of each are read, so that nothing sent before a TLS handshake can be
// taken for something sent inside it.
func (c *conn) readStartup() (*startupParams, error) {
	secured, askedGSS := false, false
	if first, err := c.peekTLS(); err != nil {
		return nil, errQuiet
	} else if first {
		if c.srv.cfg.TLS == nil {
			return nil, errQuiet
		}
		if err := c.handshake(true); err != nil {
			return nil, err
		}
		secured = true
	}
	for {
		code, data, err := readPacket(c.nc)
		if err != nil {
			return nil, err
		}
		switch code {
		case sslRequest:
			if secured || len(data) != 0 {
				return nil, errProtocol("unsupported SSL negotiation")
			}
			if c.srv.cfg.TLS == nil {
				err = c.reply('N')
				secured = true // may be asked once
			} else if err = c.reply('S'); err == nil {
				err = c.handshake(false)
				secured = true
			}
		case gssRequest:
			if askedGSS || len(data) != 0 {
				return nil, errProtocol("unsupported GSSAPI negotiation")
			}
			askedGSS = true
			err = c.reply('N')
		case cancelRequest:
			c.srv.cancelRequest(data)
			return nil, errQuiet
		default:
			return c.parseStartup(code, data)
		}
		if err != nil {
			return nil, err
		}
	}
}

func (c *conn) reply(b byte) error {
	_, err := c.nc.Write([]byte{b})
	return err
}

// readPacket reads a packet without type byte: its first word and the rest.
func readPacket(r io.Reader) (code uint32, data []byte, err error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, errQuiet
	}
	n := binary.BigEndian.Uint32(head[:])
	if n < 8 || n > smallMessage {
		return 0, nil, errProtocol("invalid length of startup packet")
	}
	data = make([]byte, n-4)
	if _, err := io.ReadFull(r, data); err != nil {
		return 0, nil, errProtocol("incomplete startup packet")
	}
	return binary.BigEndian.Uint32(data), data[4:], nil
}

// peekTLS reports whether the client starts with a TLS handshake.
func (c *conn) peekTLS() (bool, error) {
	var b [1]byte
	if _, err := io.ReadFull(c.raw, b[:]); err != nil {
		return false, err
	}
	c.setConn(&prefixConn{Conn: c.raw, prefix: b[:]})
	return b[0] == tlsRecord, nil
}

// prefixConn gives back a byte that was read to look at it.
type prefixConn struct {
	net.Conn
	prefix []byte
}

func (p *prefixConn) Read(b []byte) (int, error) {
	if len(p.prefix) > 0 && len(b) > 0 {
		n := copy(b, p.prefix)
		p.prefix = p.prefix[n:]
		return n, nil
	}
	return p.Conn.Read(b)
}

// handshake turns TLS on. It keeps the certificate that was shown, which
// channel binding is bound to.
func (c *conn) handshake(direct bool) error {
	pick := func(base *tls.Config, hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if base.GetCertificate != nil {
			if cert, err := base.GetCertificate(hello); cert != nil || err != nil {
				return cert, err
			}
		}
		for i := range base.Certificates {
			if hello.SupportsCertificate(&base.Certificates[i]) == nil {
				return &base.Certificates[i], nil
			}
		}
		if len(base.Certificates) == 0 {
			return nil, errors.New("no certificate")
		}
		return &base.Certificates[0], nil
	}
	outer := &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		base := c.srv.cfg.TLS
		if base.GetConfigForClient != nil {
			if own, err := base.GetConfigForClient(hello); err != nil {
				return nil, err
			} else if own != nil {
				base = own
			}
		}
		inner := base.Clone()
		inner.GetConfigForClient = nil
		inner.Certificates = nil // else GetCertificate is not asked when there is no SNI
		inner.NextProtos = []string{alpn}
		inner.SessionTicketsDisabled = true // a resumed session shows no certificate
		inner.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			cert, err := pick(base, hello)
			if err == nil {
				c.leaf = cert.Certificate[0]
			}
			return cert, err
		}
		return inner, nil
	}}
	tc := tls.Server(c.nc, outer)
	if err := tc.HandshakeContext(c.ctx); err != nil {
		c.srv.log.Debug("TLS handshake", "remote", c.raw.RemoteAddr(), "error", err)
		return errQuiet
	}
	c.setConn(tc)
	c.tls = true
	if direct && tc.ConnectionState().NegotiatedProtocol != alpn {
		return errProtocol("received direct SSL connection request without ALPN protocol negotiation extension")
	}
	return nil
}

func (c *conn) parseStartup(code uint32, data []byte) (*startupParams, error) {
	if code>>16 != 3 {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "unsupported frontend protocol %d.%d: server supports 3.0 to 3.2", code>>16, code&0xffff)
	}
	p := &startupParams{version: min(code, version32), settings: map[string]string{}}
	var unknown []string
	b := body{b: data}
	options, replication := "", ""
	for {
		name := b.str()
		if name == "" {
			break
		}
		value := b.str()
		if validText(name) != nil || validText(value) != nil {
			return nil, pgerr.New(pgerr.CharacterNotInRepertoire, "startup packet is not in UTF8")
		}
		switch {
		case name == "user":
			p.user = value
		case name == "database":
			p.database = value
		case name == "options":
			options = value
		case name == "replication":
			replication = value
		case strings.HasPrefix(name, "_pq_."):
			unknown = append(unknown, name)
		default:
			p.settings[name] = value
		}
	}
	if b.bad || len(b.b) > 0 {
		return nil, errProtocol("invalid startup packet layout: expected terminator as last byte")
	}
	if code > version32 || len(unknown) > 0 {
		c.out.begin('v')
		c.out.u32(p.version)
		c.out.u32(uint32(len(unknown)))
		for _, u := range unknown {
			c.out.str(u)
		}
		c.out.end()
	}
	if c.srv.cfg.RequireTLS && !c.tls && c.raw.LocalAddr().Network() != "unix" {
		return nil, pgerr.New(pgerr.InvalidAuthorization, "connection requires TLS").WithHint("Connect with sslmode=require.")
	}
	if p.user == "" {
		return nil, pgerr.New(pgerr.InvalidAuthorization, "no PostgreSQL user name specified in startup packet")
	}
	if p.database == "" {
		p.database = p.user
	}
	switch strings.ToLower(replication) {
	case "", "0", "f", "false", "n", "no", "off":
	default:
		return nil, pgerr.New(pgerr.FeatureNotSupported, "replication connections are not supported")
	}
	if err := parseOptions(options, p.settings); err != nil {
		return nil, err
	}
	for name, value := range p.settings {
		if strings.EqualFold(name, "client_encoding") {
			if !isUTF8(value) {
				return nil, pgerr.New(pgerr.InvalidParameterValue, "invalid value for parameter \"client_encoding\": \"%s\"", value).
					WithHint("The only client encoding is UTF8.")
			}
			p.settings[name] = "UTF8"
		}
	}
	return p, nil
}

// isUTF8 knows the names of the encoding; some clients quote them.
func isUTF8(name string) bool {
	switch strings.ToLower(strings.Trim(strings.TrimSpace(name), `'"`)) {
	case "utf8", "utf-8", "unicode":
		return true
	}
	return false
}

// parseOptions reads the command-line arguments of the startup parameter
// options: -c name=value, -cname=value and --name=value. A backslash takes a
// blank into an argument. A setting that the packet also names keeps that value.
func parseOptions(s string, settings map[string]string) error {
	var args []string
	var arg []byte
	in := false
	for i := 0; i < len(s); i++ {
		switch ch := s[i]; {
		case ch == '\\' && i+1 < len(s):
			i++
			arg, in = append(arg, s[i]), true
		case strings.IndexByte(" \t\n\r\v\f", ch) >= 0:
			if in {
				args = append(args, string(arg))
			}
			arg, in = arg[:0], false
		default:
			arg, in = append(arg, ch), true
		}
	}
	if in {
		args = append(args, string(arg))
	}
	for i := 0; i < len(args); i++ {
		a := args[i]
		var pair string
		switch {
		case a == "-c" && i+1 < len(args):
			i++
			pair = args[i]
		case strings.HasPrefix(a, "-c"):
			pair = a[2:]
		case strings.HasPrefix(a, "--"):
			pair = a[2:]
		}
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return pgerr.New(pgerr.SyntaxError, "invalid command-line argument for server process: %s", a)
		}
		name = strings.ReplaceAll(name, "-", "_")
		if _, given := settings[name]; !given {
			settings[name] = value
		}
	}
	return nil
}

// newKey makes the secret that a CancelRequest has to show. Its length depends
// on the protocol's version.
func (c *conn) newKey(version uint32) []byte {
	n := shortKey
	if version >= version32 {
		n = longKey
	}
	key := make([]byte, n)
	randomBytes(key)
	c.srv.mu.Lock()
	c.key = key
	c.srv.mu.Unlock()
	return key
}

// cancelRequest cancels what a connection is running. It never answers, so
// that keys cannot be guessed by it.
func (s *Server) cancelRequest(data []byte) {
	if len(data) < 4 || len(data) > 4+maxCancelKey {
		return
	}
	pid := int32(binary.BigEndian.Uint32(data))
	s.mu.Lock()
	c := s.keys[pid]
	ok := c != nil && len(c.key) > 0 && subtle.ConstantTimeCompare(c.key, data[4:]) == 1
	s.mu.Unlock()
	if ok {
		c.cancelRunning(pgerr.New(pgerr.QueryCanceled, "canceling statement due to user request"))
	}
}

// reported lists the settings that the client is told of, with what is said
// when the session does not have them.
var reported = [...]struct{ name, fallback string }{
	{"application_name", ""},
	{"client_encoding", "UTF8"},
	{"DateStyle", "ISO, MDY"},
	{"default_transaction_read_only", "off"},
	{"in_hot_standby", "off"},
	{"integer_datetimes", "on"},
	{"IntervalStyle", "postgres"},
	{"is_superuser", "off"},
	{"server_encoding", "UTF8"},
	{"server_version", ""},
	{"session_authorization", ""},
	{"standard_conforming_strings", "on"},
	{"TimeZone", "UTC"},
}

// reportSettings sends the ParameterStatus messages of a new session.
func (c *conn) reportSettings(p *startupParams) {
	for _, r := range reported {
		value, ok := c.sess.Setting(r.name)
		if !ok {
			switch value = r.fallback; r.name {
			case "application_name":
				value = p.settings["application_name"]
			case "server_version":
				value = c.srv.cfg.Version
			case "session_authorization":
				value = p.user
			}
		}
		c.toldMu.Lock()
		c.told[strings.ToLower(r.name)] = value
		c.toldMu.Unlock()
		c.out.parameterStatus(r.name, value)
	}
}

// onSetting is the session's report of a changed setting. Before the session
// has started, and for settings that clients need not know, it says nothing.
func (c *conn) onSetting(name, value string) {
	if !c.started.Load() {
		return
	}
	for _, r := range reported {
		if strings.EqualFold(r.name, name) {
			key := strings.ToLower(name)
			c.toldMu.Lock()
			same := c.told[key] == value
			c.told[key] = value
			c.toldMu.Unlock()
			if !same {
				c.out.parameterStatus(r.name, value)
			}
			return
		}
	}
}

// onNotice sends a notice at once: it may be about something that takes long.
func (c *conn) onNotice(severity, code, message, hint string) {
	if !c.started.Load() {
		return
	}
	e := pgerr.New(code, "%s", message)
	e.Hint = hint
	c.out.notice(severity, e)
	c.out.flush()
}

// isLoopback reports a client on this machine.
func isLoopback(nc net.Conn) bool {
	a := nc.RemoteAddr()
	if a == nil || a.Network() == "unix" || a.Network() == "pipe" {
		return true
	}
	host, _, err := net.SplitHostPort(a.String())
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
