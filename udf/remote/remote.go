package remote

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"os"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"github.com/volleydb/volley/proto"
	udf "github.com/volleydb/volley/udf/sdk"
	"github.com/volleydb/volley/udf/wiregrpc"
)

// Options are the choices of Serve.
type Options struct {
	// TLS, if not nil, is required of clients, which then write tls://host:port.
	TLS *tls.Config
	// MaxConnections bounds the streams of one client connection; 0 = no bound.
	MaxConnections uint32
}

// Serve answers on lis until ctx ends, which ends the calls under way too.
func Serve(ctx context.Context, lis net.Listener, o Options, decls ...udf.Decl) error {
	opts := []grpc.ServerOption{
		grpc.InitialWindowSize(wiregrpc.Window), grpc.InitialConnWindowSize(wiregrpc.Window),
		grpc.ReadBufferSize(wiregrpc.Buffer), grpc.WriteBufferSize(wiregrpc.Buffer),
		grpc.MaxRecvMsgSize(2 * wiregrpc.MaxMessage),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: wiregrpc.Keepalive / 2, PermitWithoutStream: true}),
	}
	if o.TLS != nil {
		opts = append(opts, grpc.Creds(credentials.NewTLS(o.TLS)))
	}
	if o.MaxConnections > 0 {
		opts = append(opts, grpc.MaxConcurrentStreams(o.MaxConnections))
	}
	s := grpc.NewServer(opts...)
	Register(s, decls...)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Add(1)
	go func() {
		defer wg.Done()
		select {
		case <-ctx.Done():
		case <-stop:
		}
		s.Stop()
	}()
	err := s.Serve(lis)
	close(stop)
	wg.Wait()
	if ctx.Err() != nil && (err == nil || errors.Is(err, grpc.ErrServerStopped)) {
		return nil
	}
	return err
}

// Register adds the functions to a gRPC server that has other services, or
// options, of its own. A declaration without udf.Version gets one of the
// program's file, so that workers notice when the code behind a function changed.
func Register(s grpc.ServiceRegistrar, decls ...udf.Decl) {
	srv := udf.NewServer(decls...)
	if srv.Manifest().Version == "" {
		srv.SetVersion(buildVersion())
	}
	proto.RegisterFunctionsServer(s, &functions{srv: srv})
}

// buildVersion is the digest of this program's file, "" if that cannot be read.
var buildVersion = sync.OnceValue(func() string {
	path, err := os.Executable()
	if err != nil {
		return ""
	}
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return ""
	}
	return "build:" + hex.EncodeToString(sum.Sum(nil)[:8])
})

type functions struct {
	proto.UnimplementedFunctionsServer
	srv *udf.Server
}

// Run implements the service.
func (f *functions) Run(stream grpc.BidiStreamingServer[proto.Frames, proto.Frames]) error {
	return f.srv.ServeConn(wiregrpc.NewConn(stream, nil))
}
