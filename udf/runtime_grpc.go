package udf

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/udf/sdk/wire"
	"github.com/volleydb/volley/udf/wiregrpc"
)

func init() { RegisterRuntime(RuntimeGRPC, launchServer) }

// serverFile is where the artifact of a function server has its address.
const serverFile = "bin/any/server.json"

// connectTimeout is how long a server may stay away, being restarted for example,
// before a statement that needs it fails.
const connectTimeout = 5 * time.Second

const cannotConnect = "08001"

// serverAddress is server.json: where a server is and how it is spoken to.
type serverAddress struct {
	Address string `json:"address"` // host:port
	TLS     bool   `json:"tls,omitempty"`
	Name    string `json:"name,omitempty"` // in the server's certificate; "" = host
	CA      string `json:"ca,omitempty"`   // file on every worker; "" = the system's
	Cert    string `json:"cert,omitempty"` // of the client, with Key
	Key     string `json:"key,omitempty"`
}

// parseServer reads host:port, or tls://host:port?ca=FILE&name=NAME&cert=FILE&key=FILE.
func parseServer(s string) (serverAddress, error) {
	bad := func(why string) (serverAddress, error) {
		return serverAddress{}, pgerr.New(pgerr.InvalidParameterValue, "invalid address of a function server: %q", s).
			WithDetail("%s", why).WithHint("Write host:port, or tls://host:port?ca=FILE.")
	}
	a := serverAddress{Address: s}
	if strings.Contains(s, "://") {
		u, err := url.Parse(s)
		if err != nil {
			return bad(err.Error())
		}
		switch u.Scheme {
		case "grpc":
		case "tls":
			a.TLS = true
		default:
			return bad("There are grpc:// and tls://.")
		}
		a.Address = u.Host
		for k, v := range u.Query() {
			to := map[string]*string{"ca": &a.CA, "name": &a.Name, "cert": &a.Cert, "key": &a.Key}[k]
			if to == nil || !a.TLS {
				return bad("There is no option " + k + " here.")
			}
			*to = v[0]
		}
	}
	if host, port, err := net.SplitHostPort(a.Address); err != nil || host == "" || port == "" {
		return bad("There is no host and port.")
	}
	return a, nil
}

func (a *serverAddress) credentials() (credentials.TransportCredentials, error) {
	if !a.TLS {
		return insecure.NewCredentials(), nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: a.Name}
	if a.CA != "" {
		pem, err := os.ReadFile(a.CA)
		if err != nil {
			return nil, pgerr.Wrap(err, pgerr.UndefinedFile, "could not read the certificates for function server %s", a.Address)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, pgerr.New(pgerr.InvalidParameterValue, "file %q holds no certificates", a.CA)
		}
	}
	if a.Cert != "" {
		cert, err := tls.LoadX509KeyPair(a.Cert, a.Key)
		if err != nil {
			return nil, pgerr.Wrap(err, pgerr.InvalidParameterValue, "could not read the client's certificate for function server %s", a.Address)
		}
		c.Certificates = []tls.Certificate{cert}
	}
	return credentials.NewTLS(c), nil
}

// dial connects and reads the server's Hello. The connection that it returns
// begins with that Hello again.
func (a *serverAddress) dial(ctx context.Context) (net.Conn, *wire.HelloMsg, error) {
	creds, err := a.credentials()
	if err != nil {
		return nil, nil, err
	}
	cc, err := grpc.NewClient("passthrough:///"+a.Address,
		grpc.WithTransportCredentials(creds),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: time.Second,
		}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: wiregrpc.Keepalive, Timeout: wiregrpc.Keepalive / 2}),
		grpc.WithInitialWindowSize(wiregrpc.Window), grpc.WithInitialConnWindowSize(wiregrpc.Window),
		grpc.WithReadBufferSize(wiregrpc.Buffer), grpc.WithWriteBufferSize(wiregrpc.Buffer),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(8*wiregrpc.MaxMessage)))
	if err != nil {
		return nil, nil, pgerr.Wrap(err, cannotConnect, "could not connect to function server %s", a.Address)
	}
	// The stream outlives ctx, which bounds the way to its first frame.
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	closeAll := func() {
		end()
		cc.Close()
	}
	watch := context.AfterFunc(ctx, end)
	timer := time.AfterFunc(connectTimeout, end)
	conn, hello, err := a.hello(life, cc, closeAll)
	timer.Stop()
	watch()
	if err == nil {
		return conn, hello, nil
	}
	closeAll()
	if ctx.Err() != nil {
		return nil, nil, pgerr.From(context.Cause(ctx))
	}
	var pe *pgerr.Error
	if e := pgerr.From(err); e.Code == pgerr.ExternalRoutineInvocationError {
		pe = e
	} else {
		pe = pgerr.New(cannotConnect, "could not connect to function server %s", a.Address).WithClass(pgerr.Transient)
		pe.Detail = status.Convert(err).Message()
		switch {
		case handshakeFailed(err):
			pe.Class = pgerr.User
			pe.Hint = "Check that the address has tls:// if and only if the server has a certificate, and the options ca, name, cert and key."
		case life.Err() != nil && status.Code(err) == codes.Unavailable:
			pe.Detail = "It did not answer within " + connectTimeout.String() + ": " + pe.Detail
		case life.Err() != nil:
			pe.Detail = "It did not answer within " + connectTimeout.String() + "."
		}
	}
	return nil, nil, pe
}

func (a *serverAddress) hello(ctx context.Context, cc *grpc.ClientConn, closeAll func()) (net.Conn, *wire.HelloMsg, error) {
	var s grpc.BidiStreamingClient[proto.Frames, proto.Frames]
	for {
		var err error
		if s, err = proto.NewFunctionsClient(cc).Run(ctx); err == nil {
			break
		}
		// A server that is away may come back; one that does not trust us, or we it,
		// stays what it is.
		if handshakeFailed(err) || status.Code(err) != codes.Unavailable {
			return nil, nil, err
		}
		select {
		case <-ctx.Done():
			return nil, nil, err // which says more
		case <-time.After(50 * time.Millisecond):
		}
	}
	conn := wiregrpc.NewConn(s, closeAll)
	var read bytes.Buffer
	h, payload, err := readFrame(bufio.NewReaderSize(io.TeeReader(conn, &read), 16), nil)
	if err != nil {
		return nil, nil, err
	}
	var m wire.HelloMsg
	if h.Type != wire.Hello || json.Unmarshal(payload, &m) != nil || m.Magic != wire.Magic {
		return nil, nil, pgerr.New(pgerr.ExternalRoutineInvocationError, "%s is not a server of functions for Volley", a.Address)
	}
	if m.ABI != wire.ABI {
		return nil, nil, errABI(a.Address, m.ABI)
	}
	return &replayConn{Conn: conn, head: read.Bytes()}, &m, nil
}

// handshakeFailed reports whether a connection was refused for its certificates, or
// for speaking TLS, or not.
func handshakeFailed(err error) bool {
	text := err.Error()
	return strings.Contains(text, "handshake failed") || strings.Contains(text, "error reading server preface") || strings.Contains(text, "tls: ")
}

// replayConn is a connection of which the beginning was read already.
type replayConn struct {
	net.Conn
	head []byte
}

func (c *replayConn) Read(b []byte) (int, error) {
	if len(c.head) > 0 {
		n := copy(b, c.head)
		c.head = c.head[n:]
		return n, nil
	}
	return c.Conn.Read(b)
}

// serverManifest is what is kept of what a server said of itself.
func serverManifest(a *serverAddress, said *wire.Manifest) *Manifest {
	return &Manifest{ABI: said.ABI, Name: first(said.Name, a.Address), Version: said.Version, Toolchain: said.Toolchain,
		Runtime: RuntimeGRPC, Functions: said.Functions}
}

// sameServer reports whether a server is still the one that was declared: the
// same version, the same functions.
func sameServer(a, b *Manifest) bool {
	x, err1 := json.Marshal(a.Functions)
	y, err2 := json.Marshal(b.Functions)
	return err1 == nil && err2 == nil && a.Version == b.Version && a.Name == b.Name && bytes.Equal(x, y)
}

// PutServer asks the function server at address (host:port, or
// tls://host:port?ca=FILE&name=NAME&cert=FILE&key=FILE) what it has, and makes an
// artifact of the answer: a server that answers otherwise later is refused with
// 39000. 08001 if there is none.
func (s *Store) PutServer(ctx context.Context, address string) (digest string, err error) {
	a, err := parseServer(address)
	if err != nil {
		return "", err
	}
	conn, hello, err := a.dial(ctx)
	if err != nil {
		return "", err
	}
	conn.Close()
	m := serverManifest(&a, &hello.Manifest)
	data, err := json.Marshal(a)
	if err != nil {
		return "", pgerr.Wrap(err, pgerr.InternalError, "address of a function server")
	}
	sum := sha256.Sum256(data)
	m.Platforms = []Platform{{anyPlatform, anyPlatform, serverFile, hex.EncodeToString(sum[:]), int64(len(data))}}
	var tar bytes.Buffer
	if err := writeBundle(&tar, m, map[string][]byte{serverFile: data}); err != nil {
		return "", pgerr.Wrap(err, pgerr.IOError, "could not write an artifact")
	}
	return s.PutOwn(ctx, &tar)
}

// launchServer connects to the artifact's server.
func launchServer(ctx context.Context, r LaunchRequest) (Launch, error) {
	data, err := os.ReadFile(r.File)
	if err != nil {
		return Launch{}, pgerr.Wrap(err, pgerr.IOError, "could not read an artifact")
	}
	var a serverAddress
	if err := json.Unmarshal(data, &a); err != nil {
		return Launch{}, pgerr.Wrap(err, pgerr.DataCorrupted, "could not read an artifact")
	}
	conn, hello, err := a.dial(ctx)
	if err != nil {
		return Launch{}, err
	}
	if now := serverManifest(&a, &hello.Manifest); !sameServer(r.Manifest, now) {
		conn.Close()
		return Launch{}, pgerr.New(pgerr.ExternalRoutineInvocationError, "function server %s has changed since its functions were created", a.Address).
			WithDetail("It was %s version %q, it is %s version %q.", r.Manifest.Name, r.Manifest.Version, now.Name, now.Version).
			WithHint("Run CREATE OR REPLACE FUNCTION again to take what it has now.")
	}
	return Launch{Conn: conn}, nil
}
