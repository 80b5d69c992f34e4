package pgwire

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/xdg-go/scram"
)

// verifierOf makes what the catalog stores for a password.
func verifierOf(t testing.TB, password string) string {
	t.Helper()
	client, err := scram.SHA256.NewClient("", password, "")
	if err != nil {
		t.Fatal(err)
	}
	creds, err := client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: "0123456789abcdef", Iters: 4096})
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$4096:%s$%s:%s", b64([]byte(creds.Salt)), b64(creds.StoredKey), b64(creds.ServerKey))
}

func certificate(t testing.TB) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func withScram(t testing.TB, change func(*Config)) func(*Config) {
	stored := verifierOf(t, "sésame")
	return func(c *Config) {
		c.Verifier = func(user string) (string, bool) {
			switch user {
			case "ann":
				return stored, true
			case "broken":
				return "md5abc", true
			}
			return "", false
		}
		if change != nil {
			change(c)
		}
	}
}

func pgconnect(t testing.TB, addr, user, password, more string) (*pgconn.PgConn, error) {
	t.Helper()
	host, port, _ := net.SplitHostPort(addr)
	cfg, err := pgconn.ParseConfig(fmt.Sprintf("host=%s port=%s user=%s password=%s database=d %s", host, port, user, password, more))
	if err != nil {
		t.Fatal(err)
	}
	return pgconn.ConnectConfig(context.Background(), cfg)
}

func TestScram(t *testing.T) {
	withTLS := func(c *Config) {
		c.TLS = &tls.Config{GetCertificate: func(h func() tls.Certificate) func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			cert := h()
			return func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &cert, nil }
		}(func() tls.Certificate { return certificate(t) })}
	}
	withListed := func(c *Config) {
		c.TLS = &tls.Config{Certificates: []tls.Certificate{certificate(t)}}
		c.RequireTLS = true
	}
	tests := []struct {
		name, user, password, more string
		change                     func(*Config)
		wantErr                    string
	}{
		{"plain", "ann", "sésame", "sslmode=disable", nil, ""},
		{"wrong password", "ann", "sesame", "sslmode=disable", nil, `FATAL: password authentication failed for user "ann" (SQLSTATE 28P01)`},
		{"unknown user", "bob", "sésame", "sslmode=disable", nil, `FATAL: password authentication failed for user "bob" (SQLSTATE 28P01)`},
		{"broken verifier", "broken", "sésame", "sslmode=disable", nil, `FATAL: password authentication failed for user "broken" (SQLSTATE 28P01)`},
		{"TLS, bound", "ann", "sésame", "sslmode=require channel_binding=require", withTLS, ""},
		{"TLS, bound, wrong password", "ann", "x", "sslmode=require channel_binding=require", withTLS, `FATAL: password authentication failed for user "ann" (SQLSTATE 28P01)`},
		{"TLS, not bound", "ann", "sésame", "sslmode=require channel_binding=disable", withTLS, ""},
		{"direct TLS", "ann", "sésame", "sslmode=require sslnegotiation=direct channel_binding=require", withListed, ""},
		{"clear where TLS is required", "ann", "sésame", "sslmode=disable", withListed, "FATAL: connection requires TLS (SQLSTATE 28000)"},
		{"binding without TLS", "ann", "sésame", "sslmode=disable channel_binding=require", nil, "channel binding"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, addr := serverFor(t, newEngine(), withScram(t, tt.change))
			pc, err := pgconnect(t, addr, tt.user, tt.password, tt.more)
			if tt.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
					t.Fatalf("got %v, want %s", err, tt.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer pc.Close(context.Background())
			r, err := pc.Exec(context.Background(), "select 1").ReadAll()
			if err != nil || string(r[0].Rows[0][0]) != "1" {
				t.Errorf("%v, %v", r, err)
			}
		})
	}
}

// TestMockSalt asks twice for an unknown user: the same salt both times, as for
// one that exists, and another one for another name.
func TestMockSalt(t *testing.T) {
	s := New(Config{NewSession: newEngine().NewSession, Verifier: func(string) (string, bool) { return "", false }})
	c := &conn{srv: s}
	a, known := c.credentials("bob")
	b, _ := c.credentials("bob")
	other, _ := c.credentials("eve")
	if known || a.KeyFactors != b.KeyFactors || a.Salt == other.Salt || len(a.Salt) != 16 || a.Iters != 4096 {
		t.Errorf("%v %+v %+v %+v", known, a.KeyFactors, b.KeyFactors, other.KeyFactors)
	}
}

func TestSASLMessages(t *testing.T) {
	_, addr := serverFor(t, newEngine(), withScram(t, nil))
	initial := func(mech, first string) []byte { return frame('p', mech, len(first), []byte(first)) }
	tests := []struct {
		name string
		send []byte
		want string
	}{
		{"another message", query("select 1"), "E(V:FATAL C:08P01 M:expected SASL response, got message type 81) EOF"},
		{"another mechanism", initial("PLAIN", "x"), "E(V:FATAL C:08P01 M:client selected an invalid SASL authentication mechanism) EOF"},
		{"PLUS without TLS", initial(mechScramPlus, "p=tls-server-end-point,,n=,r=abc"), "E(V:FATAL C:08P01 M:client selected an invalid SASL authentication mechanism) EOF"},
		{"binding with the plain mechanism", initial(mechScram, "p=tls-server-end-point,,n=,r=abc"), "E(V:FATAL C:08P01 M:malformed SCRAM message D:The channel binding flag does not fit the mechanism.) EOF"},
		{"truncated", frame('p', mechScram, 10, []byte("n")), "E(V:FATAL C:08P01 M:invalid message format) EOF"},
		{"too long", append([]byte{'p', 0, 0xff, 0xff, 0xff}, "x"...), "E(V:FATAL C:08P01 M:invalid message length) EOF"},
		{"wrong proof", append(initial(mechScram, "n,,n=,r=abc"), frame('p', []byte("c=biws,r=abc,p=AAAA"))...), `R(11) E(V:FATAL C:28P01 M:password authentication failed for user "ann") EOF`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := dial(t, addr)
			c.send(startupPacket(version30, "user", "ann"))
			if got := c.until("R"); got != "R(10)" {
				t.Fatal(got)
			}
			c.send(tt.send)
			if got := c.until("Z"); got != tt.want {
				t.Errorf("\n got %s\nwant %s", got, tt.want)
			}
		})
	}
}

// TestDirectTLSNeedsALPN connects with TLS at once but without the protocol's name.
func TestDirectTLSNeedsALPN(t *testing.T) {
	_, addr := serverFor(t, newEngine(), func(c *Config) { c.TLS = &tls.Config{Certificates: []tls.Certificate{certificate(t)}} })
	tc, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer tc.Close()
	_ = tc.SetDeadline(time.Now().Add(30 * time.Second))
	c := &rawClient{t: t, nc: tc}
	if got := c.until("Z"); !strings.HasPrefix(got, "E(V:FATAL C:08P01 M:received direct SSL connection request without ALPN") {
		t.Error(got)
	}
}

// TestInjectedBeforeTLS sends a startup packet in the clear together with the
// SSLRequest: it must not be read as if it had come through TLS.
func TestInjectedBeforeTLS(t *testing.T) {
	e := newEngine()
	_, addr := serverFor(t, e, func(c *Config) { c.TLS = &tls.Config{Certificates: []tls.Certificate{certificate(t)}} })
	c := dial(t, addr)
	c.send([]byte{0, 0, 0, 8, 4, 210, 22, 47}, startupPacket(version30, "user", "mallory"), query("select 1"))
	var b [1]byte
	if _, err := c.nc.Read(b[:]); err != nil || b[0] != 'S' {
		t.Fatalf("%q %v", b, err)
	}
	if got := c.until("Z"); strings.Contains(got, "Z(") || e.open.Load() != 0 {
		t.Errorf("a session started: %s", got)
	}
}
