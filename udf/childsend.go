package udf

import (
	"context"
	"time"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/udf/sdk/wire"
)

// write sends frames and, without shared memory, the columns of the last, for the user
// of s, or (nil) for the host itself. A child that does not read makes it wait, and all
// others who write: see watchWriter.
func (c *child) write(s *stream, frames, body []byte) error {
	select {
	case c.sending <- struct{}{}:
	default:
		var canceled <-chan struct{}
		if s != nil {
			canceled = s.context().Done()
		}
		select {
		case c.sending <- struct{}{}:
		case <-canceled:
			return pgerr.From(context.Cause(s.context()))
		}
	}
	if s != nil {
		s.writing.Store(time.Now().UnixNano())
		c.writer.Store(s)
	}
	_, err := c.conn.Write(frames)
	if err == nil && body != nil {
		_, err = c.conn.Write(body)
	}
	c.writer.Store(nil)
	<-c.sending
	if err != nil {
		return c.lost(err)
	}
	return nil
}

// watchWriter ends a child that does not read what is written to it, when nobody wants
// it any more or the function's time is over. It is called several times a second.
func (c *child) watchWriter() {
	s := c.writer.Load()
	if s == nil {
		return
	}
	since := time.Since(time.Unix(0, s.writing.Load()))
	grace := cancelGrace
	if c.cmd == nil {
		grace = connGrace
	}
	switch {
	case s.timeout > 0 && since > s.timeout:
		s.late("The process does not read what it is sent.")
	case s.context().Err() == nil || since < grace:
		return
	}
	c.log.Warn("the process does not read what it is sent: ending it", "function", s.name)
	c.kill(pgerr.New(pgerr.CrashShutdown, "plugin %s was ended because it did not read what function %s was sent", c.label, s.name).
		WithClass(pgerr.Transient))
}

// lost is the error of a write to a child that is going away; what really
// happened is known when it is gone.
func (c *child) lost(err error) error {
	select {
	case <-c.told:
	case <-time.After(2 * time.Second):
	}
	return pgerr.New(pgerr.CrashShutdown, "plugin %s is not running: %v", c.label, err).WithClass(pgerr.Transient)
}

// post writes a frame, but not from here: the caller wants to go on at once, and the
// socket may be full. False if the child is gone.
func (c *child) post(h wire.Header) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return false
	}
	c.wg.Add(1) // under mu, before serve can wait
	go func() {
		defer c.wg.Done()
		c.sending <- struct{}{}
		defer func() { <-c.sending }()
		// An error means that the child is gone, which the reader sees too.
		_, _ = c.conn.Write(appendFrame(nil, h, nil))
	}()
	return true
}
