package pgwire

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/xdg-go/scram"

	"github.com/volleydb/volley/pgerr"
)

const (
	mechScram     = "SCRAM-SHA-256"
	mechScramPlus = "SCRAM-SHA-256-PLUS"

	authSASL         = 10
	authSASLContinue = 11
	authSASLFinal    = 12

	mockIterations = 4096 // Postgres' default, so that a mock looks like the rest
)

func randomBytes(b []byte) { _, _ = rand.Read(b) }

// authenticate finds out whether the client is user.
func (c *conn) authenticate(user string) error {
	if c.srv.cfg.Auth == AuthTrust {
		if !c.srv.cfg.TrustRemote && !isLoopback(c.raw) {
			host, _, _ := net.SplitHostPort(c.raw.RemoteAddr().String())
			return pgerr.New(pgerr.InvalidAuthorization, "trust authentication is not accepted from host \"%s\"", host).
				WithHint("Give the role a password and turn scram-sha-256 authentication on.")
		}
		return nil
	}
	return c.scram(user)
}

// scram runs SCRAM-SHA-256, offering channel binding under TLS. An unknown
// user goes through the same exchange with a salt that stays the same, so that
// its answer tells nothing.
func (c *conn) scram(user string) error {
	failed := pgerr.New(pgerr.InvalidPassword, "password authentication failed for user \"%s\"", user)
	creds, known := c.credentials(user)
	server, err := scram.SHA256.NewServer(func(string) (scram.StoredCredentials, error) { return creds, nil })
	if err != nil {
		return pgerr.Wrap(err, pgerr.InternalError, "SCRAM")
	}
	conv, plus := server.NewConversation(), false
	if binding, ok := c.channelBinding(); ok {
		conv, plus = server.NewConversationWithChannelBinding(binding), true
	}
	var mechs []byte
	if plus {
		mechs = append(mechs, mechScramPlus+"\x00"...)
	}
	c.out.auth(authSASL, append(mechs, mechScram+"\x00\x00"...))
	c.out.flush()

	resp, err := c.readPassword()
	if err != nil {
		return err
	}
	b := body{b: resp}
	mech := b.str()
	first := string(b.take(int(b.i32())))
	if err := b.done(); err != nil {
		return err
	}
	if mech != mechScram && (mech != mechScramPlus || !plus) {
		return errProtocol("client selected an invalid SASL authentication mechanism")
	}
	if bound := strings.HasPrefix(first, "p="); bound != (mech == mechScramPlus) {
		return errProtocol("malformed SCRAM message").WithDetail("The channel binding flag does not fit the mechanism.")
	}
	answer, err := conv.Step(first)
	if err != nil {
		return errProtocol("malformed SCRAM message").WithDetail("%s", err)
	}
	c.out.auth(authSASLContinue, []byte(answer))
	c.out.flush()
	if resp, err = c.readPassword(); err != nil {
		return err
	}
	answer, err = conv.Step(string(resp))
	if err != nil || !conv.Valid() || !known {
		c.srv.log.Info("authentication failed", "user", user, "remote", c.raw.RemoteAddr())
		return failed
	}
	c.out.auth(authSASLFinal, []byte(answer))
	return nil
}

// readPassword reads the answer to an authentication request.
func (c *conn) readPassword() ([]byte, error) {
	m, err := readMessage(c.nc, smallMessage)
	if err != nil {
		if _, broken := err.(*pgerr.Error); broken {
			return nil, err
		}
		return nil, errQuiet
	}
	if m.typ != 'p' {
		return nil, errProtocol("expected SASL response, got message type %d", m.typ)
	}
	return m.body, nil
}

// credentials returns what is stored for user, or a mock.
func (c *conn) credentials(user string) (creds scram.StoredCredentials, known bool) {
	if stored, ok := c.srv.cfg.Verifier(user); ok {
		creds, err := parseVerifier(stored)
		if err == nil {
			return creds, true
		}
		c.srv.log.Error("invalid SCRAM verifier", "user", user, "error", err)
	}
	mac := hmac.New(sha256.New, c.srv.secret[:])
	mac.Write([]byte(user))
	key := make([]byte, sha256.Size)
	randomBytes(key)
	return scram.StoredCredentials{
		KeyFactors: scram.KeyFactors{Salt: string(mac.Sum(nil)[:16]), Iters: mockIterations},
		StoredKey:  key,
		ServerKey:  key,
	}, false
}

// parseVerifier reads SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey.
func parseVerifier(s string) (creds scram.StoredCredentials, err error) {
	bad := func() (scram.StoredCredentials, error) {
		return scram.StoredCredentials{}, fmt.Errorf("not a SCRAM-SHA-256 verifier")
	}
	rest, ok := strings.CutPrefix(s, mechScram+"$")
	factors, keys, ok2 := strings.Cut(rest, "$")
	iters, salt64, ok3 := strings.Cut(factors, ":")
	stored64, server64, ok4 := strings.Cut(keys, ":")
	if !ok || !ok2 || !ok3 || !ok4 {
		return bad()
	}
	n, err1 := strconv.Atoi(iters)
	salt, err2 := base64.StdEncoding.DecodeString(salt64)
	stored, err3 := base64.StdEncoding.DecodeString(stored64)
	server, err4 := base64.StdEncoding.DecodeString(server64)
	if err1 != nil || err2 != nil || err3 != nil || err4 != nil || n < 1 || len(stored) != sha256.Size || len(server) != sha256.Size {
		return bad()
	}
	creds.Salt, creds.Iters, creds.StoredKey, creds.ServerKey = string(salt), n, stored, server
	return creds, nil
}

// channelBinding returns the binding to the certificate that was shown.
func (c *conn) channelBinding() (scram.ChannelBinding, bool) {
	if c.leaf == nil {
		return scram.ChannelBinding{}, false
	}
	cert, err := x509.ParseCertificate(c.leaf)
	if err != nil {
		return scram.ChannelBinding{}, false
	}
	// The helper hashes the peer's certificate, being written for the client.
	b, err := scram.NewTLSServerEndpointBinding(&tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}})
	return b, err == nil
}
