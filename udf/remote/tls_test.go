package remote

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
)

// authority signs certificates.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	last int64
}

func newAuthority(t *testing.T, name string) *authority {
	a := &authority{t: t, dir: t.TempDir()}
	a.issue(name, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// issue writes NAME.pem and NAME.key.
func (a *authority) issue(name string, c *x509.Certificate) tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	a.last++
	c.SerialNumber, c.Subject = big.NewInt(a.last), pkix.Name{CommonName: name}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	if a.cert == nil {
		if a.cert, err = x509.ParseCertificate(der); err != nil {
			a.t.Fatal(err)
		}
		a.key = key
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	for file, data := range map[string][]byte{name + ".pem": certPEM, name + ".key": keyPEM} {
		if err := os.WriteFile(filepath.Join(a.dir, file), data, 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		a.t.Fatal(err)
	}
	return pair
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

// TestTLS: certificates of the server, and of clients where it wants them.
func TestTLS(t *testing.T) {
	ca, other := newAuthority(t, "ca"), newAuthority(t, "ca")
	cert := ca.issue("server", &x509.Certificate{DNSNames: []string{"functions.internal"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	ca.issue("client", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	other.issue("client", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	clients := x509.NewCertPool()
	clients.AddCert(ca.cert)

	one := serveWith(t, "127.0.0.1:0", "1", Options{TLS: &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}})
	both := serveWith(t, "127.0.0.1:0", "1", Options{TLS: &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12,
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients}})
	plain := serve(t, "127.0.0.1:0", "1")
	trusted := "?ca=" + ca.file("ca.pem")
	_, port, _ := net.SplitHostPort(one.addr)
	h, store := host(t)
	for _, c := range []struct{ addr, code, has string }{
		{"tls://" + one.addr + trusted, "", ""},
		{"tls://" + one.addr + trusted + "&name=functions.internal", "", ""},
		{"tls://" + both.addr + trusted + "&cert=" + ca.file("client.pem") + "&key=" + ca.file("client.key"), "", ""},
		{"tls://" + one.addr, "08001", "unknown authority"},
		{"tls://" + one.addr + "?ca=" + other.file("ca.pem"), "08001", "unknown authority"},
		{"tls://localhost:" + port + trusted, "08001", "not localhost"},
		{"tls://" + one.addr + trusted + "&name=elsewhere", "08001", "not elsewhere"},
		{"tls://" + both.addr + trusted, "08001", "certificate required"},
		{"tls://" + both.addr + trusted + "&cert=" + other.file("client.pem") + "&key=" + other.file("client.key"), "08001", ""},
		{"tls://" + both.addr + trusted + "&cert=" + ca.file("client.pem") + "&key=" + other.file("client.key"), "22023", "client's certificate"},
		{one.addr, "08001", ""},
		{"tls://" + plain.addr + trusted, "08001", ""},
		{"tls://" + one.addr + "?ca=" + ca.file("ca.key"), "22023", "holds no certificates"},
	} {
		begin := time.Now()
		digest, err := store.PutServer(context.Background(), c.addr)
		e := pgerr.From(err)
		switch {
		case c.code == "" && err != nil:
			t.Errorf("%s: %v (%s)", c.addr, err, e.Detail)
		case c.code == "":
			if got, err := call(t, h, ref(digest, "Twice", function.Scalar), 4); err != nil || got[0] != 9 {
				t.Errorf("%s: %v %v", c.addr, got, err)
			}
		case err == nil || e.Code != c.code || !strings.Contains(e.Message+" "+e.Detail, c.has):
			t.Errorf("%s: %v (%+v), want %s %q", c.addr, err, e, c.code, c.has)
		}
		if d := time.Since(begin); d > 4*time.Second {
			t.Errorf("%s took %s", c.addr, d)
		}
	}
}
