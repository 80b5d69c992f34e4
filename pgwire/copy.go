package pgwire

import (
	"context"
	"errors"
	"io"

	"github.com/volleydb/volley/coordinator"
	"github.com/volleydb/volley/pgerr"
)

// copyOut sends the data of COPY TO STDOUT.
func (c *conn) copyOut(ctx context.Context, co *coordinator.CopyOut) error {
	c.out.copyResponse('H', co.Binary, co.Columns)
	if err := co.WriteTo(ctx, &c.out); err != nil {
		return err
	}
	c.out.empty('c')
	return nil
}

// copyIn feeds the data that the client sends to COPY FROM STDIN.
func (c *conn) copyIn(ctx context.Context, ci *coordinator.CopyIn) error {
	c.out.copyResponse('G', ci.Binary, ci.Columns)
	c.out.flush()
	r := &copyReader{c: c, ctx: ctx}
	err := ci.Run(ctx, r)
	if r.err != nil && r.err != io.EOF {
		return r.reason(err)
	}
	if err != nil {
		return err
	}
	// The engine may know the end before the client says so.
	if _, err := io.Copy(io.Discard, r); err != nil {
		return err
	}
	return nil
}

// copyReader is the stream of the CopyData messages.
type copyReader struct {
	c    *conn
	ctx  context.Context
	rest []byte
	err  error
}

func (r *copyReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		r.rest, r.err = r.next()
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// reason is the error that ended the stream, however the engine has put it,
// and what the engine has said about the place.
func (r *copyReader) reason(err error) error {
	failed, ok := r.err.(*pgerr.Error)
	var pe *pgerr.Error
	if !ok || !errors.As(err, &pe) || failed.Where != "" {
		return r.err
	}
	e := *failed
	e.Where = pe.Where
	return &e
}

func (r *copyReader) next() ([]byte, error) {
	m, err := r.c.nextOfCopy(r.ctx)
	if err != nil {
		return nil, err
	}
	switch m.typ {
	case 'd':
		return m.body, nil
	case 'c':
		return nil, io.EOF
	case 'f':
		b := body{b: m.body}
		return nil, pgerr.New(pgerr.QueryCanceled, "COPY from stdin failed: %s", b.str())
	case 'H', 'S':
		return nil, nil // sent before the client knew that this is a COPY
	case 'X':
		return nil, errTerminate
	}
	// The client expects another answer to this than the COPY's.
	return nil, errFatalProtocol("unexpected message type 0x%02X during COPY from stdin", m.typ)
}

// nextOfCopy waits for a message while a COPY runs, which ctx ends.
func (c *conn) nextOfCopy(ctx context.Context) (message, error) {
	for {
		if ctx.Err() != nil {
			return message{}, context.Cause(ctx)
		}
		m, ok, err := c.in.take()
		var broken *pgerr.Error
		switch {
		case ok:
			return m, nil
		case errors.As(err, &broken):
			return message{}, fatalError{broken}
		case err != nil:
			return message{}, errClientGone
		}
		select {
		case <-c.in.ready:
		case <-ctx.Done():
		}
	}
}
