package udf

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/volleydb/volley/udf/sdk/wire"
)

// Server answers hosts over connections instead of an inherited socket: what a
// process that serves functions to other machines is made of (see package
// udf/remote, which does so by gRPC). It is safe for concurrent use.
type Server struct {
	plugin plugin
}

// NewServer declares the functions of a server. Init hooks run once, before the
// first call.
func NewServer(decls ...Decl) *Server {
	s := &Server{}
	for _, d := range decls {
		d.declare(&s.plugin)
	}
	hooks := s.plugin.inits
	once := sync.OnceValue(func() error {
		for _, f := range hooks {
			if err := f(context.Background()); err != nil {
				return err
			}
		}
		return nil
	})
	s.plugin.inits = []func(context.Context) error{func(context.Context) error { return once() }}
	return s
}

// Manifest is what the server says of itself. Version, if the declarations have
// none, is set by the caller, before the first connection.
func (s *Server) Manifest() wire.Manifest { return s.plugin.manifest() }

// SetVersion sets the version that clients compare with the one they know.
func (s *Server) SetVersion(v string) { s.plugin.version = v }

// ServeConn speaks the protocol with the host at the other end of conn, columns
// inline, until conn ends, and waits for the calls under way: their contexts are
// cancelled. The end of the connection is no error.
func (s *Server) ServeConn(conn io.ReadWriter) error {
	srv := &server{plugin: &s.plugin, conn: conn}
	err := srv.serve()
	srv.mu.Lock()
	for id, st := range srv.byID {
		delete(srv.byID, id)
		st.stop.Store(true)
		st.cancel()
		close(st.work)
	}
	srv.mu.Unlock()
	srv.streams.Wait()
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}
